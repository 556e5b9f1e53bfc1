//! Files that were cut short, at every byte.
//!
//! A file whose last accepted version ended in the end mark is accepted again only with it: then
//! no cut changes what is asked for. A file that never had one has no such shield, and the test
//! below says how bare it is.

use std::path::{Path, PathBuf};

use lapsed::desired::Manifest;
use lapsed::ledger::KeptFile;
use lapsed::reconcile::accept::{self, Proposal};

use super::properties::{HEAD, MAIN, Named, asked, judge};

/// A set of files: the main one first.
type Set = Vec<(String, Vec<u8>)>;

fn named(set: &Set) -> Vec<Named<'_>> {
    set.iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect()
}

/// Every set of files that comes with the project, and its folder.
fn shipped() -> Vec<(PathBuf, Set)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut mains: Vec<PathBuf> = vec![root.join("config/lapsed.yaml")];
    for entry in root.join("examples").read_dir().unwrap() {
        let main = entry.unwrap().path().join(MAIN);
        mains.extend(main.exists().then_some(main));
    }
    mains.sort();
    mains
        .into_iter()
        .map(|main| {
            let mut set = vec![(MAIN.to_owned(), std::fs::read(&main).unwrap())];
            let folder = main.parent().unwrap().join("cancellations");
            if let Ok(entries) = folder.read_dir() {
                let mut more: Vec<PathBuf> = entries.map(|it| it.unwrap().path()).collect();
                more.sort();
                set.extend(more.into_iter().map(|path| {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    (
                        format!("cancellations/{name}"),
                        std::fs::read(path).unwrap(),
                    )
                }));
            }
            (main, set)
        })
        .collect()
}

/// A file of each style that people write, told apart by a number.
fn generated(number: u64) -> Set {
    let mut random = fastrand::Rng::with_seed(number);
    let mut text = HEAD.to_owned();
    text.push_str("cancellations:\n");
    for item in 0..random.usize(1..5) {
        let id: u32 = random.u32(100..1_000_000);
        let when = [
            "now",
            "2026-12-31",
            "end_of_period",
            "\"2026-12-31T09:00:00+01:00\"",
        ];
        let when = when[random.usize(..when.len())];
        let reason = [
            "",
            "plain words",
            "'quoted: \"x\"'",
            "\"an \\u00e9scape\"",
            ">-\n      folded\n      words",
        ];
        let reason = reason[random.usize(..reason.len())];
        if random.bool() {
            text.push_str(&format!("  # ... of {item}\n"));
        }
        match (random.bool(), reason) {
            (true, "") => {
                text.push_str(&format!(
                    "  - {{id: {id}{item}, provider: donations, when: {when}}}\n"
                ));
            }
            (_, reason) => {
                text.push_str(&format!(
                    "  - id: \"{id}{item}\"\n    provider: donations\n    when: {when}\n"
                ));
                if !reason.is_empty() {
                    text.push_str(&format!("    reason: {reason}\n"));
                }
            }
        }
    }
    text.push_str("...\n");
    if random.bool() {
        text.push_str("# the end\n");
    }
    vec![(MAIN.to_owned(), text.into_bytes())]
}

/// What the daemon makes of a set after another one was accepted.
fn accepted(before: &Manifest, set: &[Named<'_>]) -> Option<Manifest> {
    let manifest = judge(set).ok()?;
    let files = set.iter().map(|(name, bytes)| KeptFile {
        name: (*name).to_owned(),
        text: String::from_utf8_lossy(bytes).into_owned(),
    });
    let proposal = Proposal {
        digest: String::new(),
        commit: None,
        files: files.collect(),
        manifest,
    };
    match accept::lost_its_end(Some(before), &proposal) {
        Some(_) => None,
        None => Some(proposal.manifest),
    }
}

/// Cuts each file that ends in the end mark at every byte, the others whole.
fn cut_everywhere(set: &Set, what: &str) {
    let whole = named(set);
    let before = judge(&whole).unwrap_or_else(|problems| panic!("{what}: {problems:#?}"));
    for (index, (name, bytes)) in whole.iter().enumerate() {
        if !before.end_marks.contains(*name) {
            continue;
        }
        for end in 0..bytes.len() {
            let mut cut = whole.clone();
            cut[index].1 = &bytes[..end];
            if let Some(manifest) = accepted(&before, &cut) {
                assert_eq!(
                    asked(&manifest),
                    asked(&before),
                    "{what}: {name} cut at {end}"
                );
            }
        }
    }
}

#[test]
fn no_shipped_file_that_was_cut_is_accepted_after_the_whole_one() {
    for (main, set) in shipped() {
        cut_everywhere(&set, &main.display().to_string());
    }
}

#[test]
fn no_generated_file_that_was_cut_is_accepted_after_the_whole_one() {
    for number in 0..24 {
        cut_everywhere(&generated(number), &format!("generated({number})"));
    }
}

#[test]
fn a_marked_file_that_others_include_is_not_accepted_when_cut() {
    let main = format!("{HEAD}include: [\"more/*.yaml\"]\ncancellations: []\n...\n");
    let more = "defaults: {provider: donations, when: 2026-12-31}\ncancellations:\n  - id: 1000123\n  - {id: 1000124, reason: \"two\n      lines\"}\n...\n";
    let set = vec![
        (MAIN.to_owned(), main.into_bytes()),
        ("more/a.yaml".to_owned(), more.as_bytes().to_vec()),
    ];
    cut_everywhere(&set, "an included file");
}

/// The reason for the end mark: without it, cuts pass, and some with half an id.
#[test]
fn a_file_without_the_end_mark_passes_when_cut_even_in_half_an_id() {
    let text = format!(
        "{HEAD}cancellations:\n  - provider: donations\n    when: now\n    id: 1000123\n  - provider: donations\n    when: now\n    id: 1000456\n"
    );
    let before = judge(&[(MAIN, text.as_bytes())]).unwrap();
    let whole: Vec<String> = before.wanted.iter().map(|it| it.key.to_string()).collect();
    let mut foreign = 0;
    let mut valid = 0;
    for end in 0..text.len() {
        let cut = [(MAIN, &text.as_bytes()[..end])];
        if let Some(manifest) = accepted(&before, &cut) {
            valid += 1;
            let known = |it: &lapsed::model::terms::Wanted| whole.contains(&it.key.to_string());
            foreign += usize::from(!manifest.wanted.iter().all(known));
        }
    }
    // An id of seven digits can be cut after each of its first six: once for either item.
    assert_eq!(foreign, 12, "of {valid} cuts that pass");
    let marked = format!("{text}...\n");
    cut_everywhere(
        &vec![(MAIN.to_owned(), marked.into_bytes())],
        "with the mark",
    );
}

/// A CSV has no end mark: its last line must end instead, so that a cut leaves whole rows, which
/// are told by the guard on what vanishes.
#[test]
fn a_csv_that_was_cut_has_whole_rows_or_is_refused() {
    let csv = "id,provider,when,reason\r\n1000123,donations,now,\"two\r\nlines, no\"\r\n1000456,donations,2026-12-31,\r\n";
    super::properties::csv::hold(csv.replace("two\r\nlines", "two lines").as_bytes());
    super::properties::csv::hold(
        csv.replace('\r', "")
            .replace("two\nlines", "one")
            .as_bytes(),
    );
}
