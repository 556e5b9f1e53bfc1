//! An included CSV, of any bytes.

use super::{HEAD, MAIN, asked, assert_ids_are_written, assert_told_well, judge, printed};

const NAME: &str = "batch/a.csv";

/// Longer ones are not cut at every byte: the time goes with the square.
const LONGEST_CUT: usize = 400;

fn main_file() -> String {
    format!("{HEAD}include: [\"batch/*.csv\"]\ncancellations: []\n...\n")
}

/// It is refused in words, or its rows are items: the same ones as a file of YAML has that says
/// the same, and the same first ones wherever it is cut.
pub fn hold(data: &[u8]) {
    let main = main_file();
    let files = [(MAIN, main.as_bytes()), (NAME, data)];
    let manifest = match judge(&files) {
        Err(problems) => return assert_told_well(&problems, &files),
        Ok(manifest) => manifest,
    };
    assert_ids_are_written(&manifest, &files);
    let yaml = printed(&manifest.wanted);
    let again = judge(&[(MAIN, yaml.as_bytes())]);
    let again = again.unwrap_or_else(|problems| panic!("{problems:#?}\n{yaml}"));
    assert_eq!(asked(&again), asked(&manifest), "{yaml}");
    if data.len() > LONGEST_CUT {
        return;
    }
    for end in 0..data.len() {
        let cut = [files[0], (NAME, &data[..end])];
        if let Ok(cut) = judge(&cut) {
            let (some, all) = (asked(&cut), asked(&manifest));
            assert!(all.starts_with(&some), "cut at {end}: {some:?}");
        }
    }
}
