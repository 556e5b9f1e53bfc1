//! Another ledger than the newest one in its place: an old copy, half a copy, none at all.

use std::path::PathBuf;

use super::{A, B};
use crate::support::Home;

const FIRST: &str = "\n  - {id: \"2145871\", provider: academy}";

/// Both, alive and long due.
fn due() -> String {
    format!(
        "{FIRST}\n  - {{id: {A}, provider: donations, when: 2020-01-01}}\n  - {{id: {B}, provider: donations, when: 2020-01-01}}"
    )
}

fn beside(home: &Home, ending: &str) -> PathBuf {
    format!("{}{ending}", home.ledger().display()).into()
}

/// What is due is not sent, is held as `ledger_doubt`, and is sent once a person has said so.
fn is_doubted_until_trusted(home: &Home) {
    home.write(&due());
    let before = home.writes().len();
    for _ in 0..2 {
        let ran = home.run(&["run", "--once"]).ended(1);
        assert!(ran.err.contains("ledger_doubt"), "{}", ran.err);
    }
    assert_eq!(home.writes().len(), before, "sent in doubt");
    let explained = home.run(&["explain", &format!("donations/{A}")]).ended(0);
    assert!(explained.out.contains("ledger_doubt"), "{}", explained.out);
    home.run(&["ledger", "trust", "--by", "dana"]).ended(0);
    approve(home);
    home.run(&["run", "--once"]).ended(0);
    for id in [A, B] {
        home.until_state(&format!("donations/{id}"), "canceled");
        assert_eq!(home.truth_of(id)["cancels_effective"], 1);
    }
    assert_eq!(home.truth_of("2145871")["cancels_effective"], 1);
    home.run(&["run", "--once"]).ended(0);
    home.run(&["ledger", "verify"]).ended(0);
}

/// A day long past waits for an approval of its own.
fn approve(home: &Home) {
    let plan = home
        .run(&["plan", "--offline", "--format", "json"])
        .ended(0);
    let plan: serde_json::Value = serde_json::from_str(&plan.out).unwrap();
    for digest in plan["digests"].as_array().unwrap() {
        let digest = digest["digest"].as_str().unwrap();
        home.run(&["approve", digest, "--by", "dana"]).ended(0);
    }
}

#[test]
fn a_database_copied_without_its_log_is_doubted() {
    let home = Home::new();
    home.write(" []");
    home.run(&["run", "--once"]).ended(0);
    home.write(FIRST);
    let daemon = home.daemon();
    home.until_state("academy/2145871", "canceled");
    daemon.kill();
    // What was committed last stands in the log alone.
    assert!(std::fs::metadata(beside(&home, "-wal")).unwrap().len() > 0);
    for ending in ["-wal", "-shm"] {
        std::fs::remove_file(beside(&home, ending)).unwrap();
    }
    let begun = std::fs::metadata(home.ledger()).unwrap().len() > 0;
    assert!(begun, "there is a database without its log");
    is_doubted_until_trusted(&home);
}

#[test]
fn an_old_copy_whose_mark_was_removed_is_doubted() {
    let home = Home::new();
    home.write(" []");
    home.run(&["run", "--once"]).ended(0);
    home.write("\n  - {id: \"2145876\", provider: academy}");
    home.run(&["run", "--once"]);
    let files = ["", "-wal"].map(|ending| beside(&home, ending));
    let old = files.clone().map(|file| std::fs::read(file).ok());
    home.write(FIRST);
    home.run(&["run", "--once"]);
    assert_eq!(home.writes().len(), 1);
    let _ = std::fs::remove_file(beside(&home, "-shm"));
    for (file, bytes) in files.iter().zip(old) {
        let _ = std::fs::remove_file(file);
        if let Some(bytes) = bytes {
            std::fs::write(file, bytes).unwrap();
        }
    }
    std::fs::remove_file(beside(&home, ".mark")).unwrap();
    is_doubted_until_trusted_but_failed(&home);
}

/// As [`is_doubted_until_trusted`], where one of before has failed for good.
fn is_doubted_until_trusted_but_failed(home: &Home) {
    home.write(&due());
    let ran = home.run(&["run", "--once"]).ended(1);
    assert!(ran.err.contains("ledger_doubt"), "{}", ran.err);
    assert_eq!(home.writes().len(), 1, "sent in doubt");
    home.run(&["ledger", "trust", "--by", "dana"]).ended(0);
    approve(home);
    home.run(&["run", "--once"]);
    for id in [A, B, "2145871"] {
        assert_eq!(home.truth_of(id)["cancels_effective"], 1, "{id}");
    }
}

#[test]
fn an_empty_ledger_in_the_place_of_one_is_doubted() {
    let home = Home::new();
    home.write(FIRST);
    home.run(&["run", "--once"]).ended(0);
    for ending in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(beside(&home, ending));
    }
    is_doubted_until_trusted(&home);
}

/// With nothing left beside it, only the file can say that there was one.
#[test]
fn a_ledger_that_is_not_the_one_that_the_file_names_is_doubted() {
    let home = Home::new();
    home.write(FIRST);
    let ran = home.run(&["run", "--once", "--log-level", "info"]).ended(0);
    let id = ran.err.split("ledger ").nth(1).unwrap();
    let id = id.split(' ').next().unwrap();
    assert_eq!(id.len(), 32, "{}", ran.err);
    let named = format!("ledger_id: {id}\n");
    home.write_text(&home.text(&named, FIRST));
    let still = home.run(&["run", "--once"]).ended(0);
    assert!(!still.err.contains("ledger_doubt"), "{}", still.err);
    for ending in ["", "-wal", "-shm", ".lock", ".mark"] {
        let _ = std::fs::remove_file(beside(&home, ending));
    }
    home.write_text(&home.text(&named, &due()));
    let before = home.writes().len();
    for _ in 0..2 {
        let ran = home.run(&["run", "--once"]).ended(1);
        assert!(ran.err.contains("ledger_doubt"), "{}", ran.err);
    }
    assert_eq!(home.writes().len(), before, "sent in doubt");
}
