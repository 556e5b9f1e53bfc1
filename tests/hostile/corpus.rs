//! Every file of every corpus under `fuzz/`, asked again: what fuzzing found once stays found,
//! without the toolchain that found it.

use std::path::{Path, PathBuf};

use super::properties::{ALL, Property};

/// The files of one corpus, in the order of their names.
pub fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = folder.read_dir().unwrap_or_else(|error| {
        panic!("{}: {error}", folder.display());
    });
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(target: &str, hold: Property) {
    let files = corpus(target);
    assert!(!files.is_empty(), "the corpus of {target} is empty");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let held = std::panic::catch_unwind(|| hold(&bytes));
        assert!(held.is_ok(), "{}", file.display());
    }
}

#[test]
fn every_file_of_every_corpus_holds() {
    for (target, hold) in ALL {
        replay(target, hold);
    }
}

#[test]
fn every_fuzz_target_is_a_property_with_a_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut targets: Vec<String> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    targets.sort();
    let properties: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(targets, properties);
}
