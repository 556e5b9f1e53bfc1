//! The main file, of any bytes.

use lapsed::desired::lines::without;
use lapsed::desired::{FileText, Manifest, includes, named_ledger};

use super::{MAIN, asked, assert_ids_are_written, assert_told_well, instant, judge};

/// Items that are taken out one by one, at most: the rest goes the same way.
const MOST_TAKEN_OUT: usize = 4;

/// It is refused in words, or accepted for what it says.
pub fn hold(data: &[u8]) {
    let files = [(MAIN, data)];
    // A file that is refused is still asked these two.
    let patterns = includes(data);
    let _ = named_ledger(data);
    match judge(&files) {
        Err(problems) => assert_told_well(&problems, &files),
        Ok(manifest) => {
            assert_ids_are_written(&manifest, &files);
            assert_eq!(manifest.config.include, patterns);
            if !manifest.warnings.is_empty() {
                assert_told_well(&manifest.warnings, &files);
            }
            for wanted in &manifest.wanted {
                let lines = (wanted.place.line, wanted.place.last_line);
                assert!(lines.0 >= 1 && lines.0 <= lines.1, "{wanted:?}");
                let _ = instant(&wanted.terms);
            }
            no_cut_passes_for_whole(data, &manifest);
            taken_out_alone(data, &manifest);
        }
    }
}

/// A prefix that ends in the end mark says all that the file says. Every prefix that could pass
/// ends with `...` and white space or comments, so that those alone are asked.
fn no_cut_passes_for_whole(data: &[u8], manifest: &Manifest) {
    if !manifest.end_mark {
        return;
    }
    let marks = data.windows(3).enumerate().filter(|(_, it)| *it == b"...");
    for end in marks.map(|(at, _)| at + 3).filter(|end| *end < data.len()) {
        if let Ok(cut) = judge(&[(MAIN, &data[..end])]) {
            assert!(
                !cut.end_mark || asked(&cut) == asked(manifest),
                "cut at {end}, it passes for whole"
            );
        }
    }
}

/// A file without the lines of one item wants the same of everybody else, or is no valid file
/// (an anchor may stand in the lines that are gone), which `tidy` looks for.
fn taken_out_alone(data: &[u8], manifest: &Manifest) {
    let count = manifest.wanted.len();
    for gone in 0..count.min(MOST_TAKEN_OUT) {
        let mut goes = vec![false; count];
        goes[gone] = true;
        let file = FileText {
            name: MAIN,
            bytes: data,
        };
        let without = without(file, &goes);
        if !without.bound.is_empty() {
            continue;
        }
        let text = without.edited.text();
        let mut others = asked(manifest);
        others.remove(gone);
        match judge(&[(MAIN, text.as_bytes())]) {
            Ok(rest) => assert_eq!(asked(&rest), others, "without item {gone}:\n{text}"),
            Err(problems) => assert!(data.contains(&b'&'), "{problems:#?}\n{text}"),
        }
    }
}
