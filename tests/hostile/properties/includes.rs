//! Patterns of `include`, names of files and what stands in them, of any bytes.
//!
//! `FF` ends each part: the patterns, one on a line; then a name and a text, and so on.

use lapsed::desired::{includes, read};
use lapsed::source::included_names;

use super::{HEAD, MAIN, Named, assert_ids_are_written, assert_told_well, input};

/// What a pattern takes in lies where it may, and whatever is wrong is told of its file.
pub fn hold(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0xFF);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let patterns = text(parts.next().unwrap_or_default());
    let patterns: Vec<String> = patterns.lines().map(str::to_owned).collect();
    let mut files: Vec<(String, &[u8])> = Vec::new();
    while let (Some(name), Some(bytes)) = (parts.next(), parts.next()) {
        let name = text(name);
        if !files.iter().any(|(known, _)| *known == name) {
            files.push((name, bytes));
        }
    }
    let mut names: Vec<String> = files.iter().map(|(name, _)| name.clone()).collect();
    names.push(MAIN.to_owned());
    let main = format!(
        "{HEAD}include: {}\ncancellations: []\n...\n",
        serde_json::Value::from(patterns.clone())
    );
    let included = included_names(&includes(main.as_bytes()), &names, MAIN);
    for name in &included {
        assert!(names.contains(name) && name != MAIN, "{name:?}");
        let leads_up = name.split('/').any(|part| part.starts_with(".."));
        assert!(!leads_up, "{name:?} by {patterns:?}");
    }
    let mut all: Vec<Named<'_>> = vec![(MAIN, main.as_bytes())];
    let included = files.iter().filter(|(name, _)| included.contains(name));
    all.extend(included.map(|(name, bytes)| (name.as_str(), *bytes)));
    let mut input = input(&all);
    input.unmatched = patterns.into_iter().take(1).collect();
    match read(&input) {
        Err(problems) => assert_told_well(&problems, &all),
        Ok(manifest) => {
            assert_ids_are_written(&manifest, &all);
            if !manifest.warnings.is_empty() {
                assert_told_well(&manifest.warnings, &all);
            }
        }
    }
}
