//! Commands beside a running daemon.

use serde_json::json;

use crate::support::{Home, until};

const ITEM: &str = "\n  - {id: \"2145871\", provider: academy}";
const KEY: &str = "academy/2145871";

#[test]
fn a_pause_holds_until_it_is_resumed() {
    let home = Home::new();
    home.write(" []");
    let daemon = home.daemon();
    let asked = home
        .run(&["pause", "--by", "dana", "--reason", "an audit"])
        .ended(0);
    assert!(asked.out.contains("running daemon"), "{}", asked.out);
    until("it is paused", || {
        daemon
            .get("/metrics")
            .body
            .contains(r#"lapsed_paused{provider="academy"} 1"#)
    });
    home.write(ITEM);
    home.until_state(KEY, "held");
    let explained = home.run(&["explain", KEY]).ended(0);
    for fragment in ["paused", "dana", "an audit"] {
        assert!(explained.out.contains(fragment), "{}", explained.out);
    }
    assert!(home.writes().is_empty());
    home.run(&["resume"]).ended(0);
    home.until_state(KEY, "canceled");
}

#[test]
fn reconcile_makes_a_tick_that_the_schedule_would_not() {
    let home = Home::new();
    let rarely = home
        .text("", ITEM)
        .replace("\"* * * * * *\"", "\"0 0 29 2 *\"");
    home.write_text(&rarely);
    let _daemon = home.daemon();
    home.until_state(KEY, "scheduled");
    assert!(home.writes().is_empty());
    home.run(&["reconcile", "academy"]).ended(0);
    home.until_state(KEY, "canceled");
}

#[test]
fn what_failed_can_be_planned_afresh_and_nothing_else_can() {
    let home = Home::new();
    home.write(ITEM);
    home.fault(&json!({"provider": "kajabi", "operation": "cancel", "status": 422}));
    let _daemon = home.daemon();
    home.until_state(KEY, "failed");
    let wrong = home.run(&["retry", "academy/2145872"]).ended(1);
    assert!(wrong.err.contains("not in the ledger"), "{}", wrong.err);
    home.run(&["retry", KEY, "--by", "dana", "--reason", "unlocked"])
        .ended(0);
    home.until_state(KEY, "canceled");
    let done = home.run(&["retry", KEY]).ended(1);
    assert!(done.err.contains("is canceled"), "{}", done.err);
    let history = home.run(&["history", KEY]).ended(0);
    assert!(history.out.contains("dana"), "{}", history.out);
}

#[test]
fn a_name_that_is_mistyped_gets_the_nearest_one() {
    let home = Home::new();
    home.write(ITEM);
    home.run(&["run", "--once"]).ended(0);
    let told = home.run(&["pause", "acadmy"]).ended(1);
    assert!(told.err.contains("did you mean `academy`?"), "{}", told.err);
    let told = home.run(&["explain", "2145871"]).ended(1);
    assert!(told.err.contains("PROVIDER/ID"), "{}", told.err);
}

#[test]
fn a_ledger_put_back_from_an_old_copy_is_not_acted_on_before_it_is_trusted() {
    let home = Home::new();
    home.write(" []");
    home.run(&["run", "--once"]).ended(0);
    // A copy of SQLite in WAL mode is the database and its log.
    let files = ["", "-wal"].map(|end| format!("{}{end}", home.ledger().display()));
    let old = files.clone().map(|file| std::fs::read(file).ok());
    home.write(ITEM);
    home.run(&["run", "--once"]).ended(0);
    assert_eq!(home.writes().len(), 1);
    let _ = std::fs::remove_file(format!("{}-shm", home.ledger().display()));
    for (file, bytes) in files.iter().zip(old) {
        let _ = std::fs::remove_file(file);
        if let Some(bytes) = bytes {
            std::fs::write(file, bytes).unwrap();
        }
    }
    // Another item, alive and due.
    home.write(
        "\n  - {id: \"2145871\", provider: academy}\n  - {id: \"2145872\", provider: academy}",
    );
    let doubtful = home.run(&["run", "--once"]).ended(1);
    assert!(doubtful.out.contains("2 held"), "{}", doubtful.out);
    assert!(doubtful.err.contains("ledger_doubt"), "{}", doubtful.err);
    assert_eq!(home.writes().len(), 1, "nothing is sent in doubt");
    assert_eq!(home.state("academy/2145872"), "held");
    let explained = home.run(&["explain", "academy/2145872"]).ended(0);
    assert!(explained.out.contains("ledger_doubt"), "{}", explained.out);
    let trusted = home.run(&["ledger", "trust", "--by", "dana"]).ended(0);
    assert!(trusted.out.contains("trusted by dana"), "{}", trusted.out);
    home.run(&["run", "--once"]).ended(0);
    assert_eq!(home.state("academy/2145872"), "canceled");
    // What had been cancelled before the copy was put back is found ended: one confirming
    // cancel, no second effect.
    assert_eq!(home.truth_of("2145871")["cancels_effective"], 1);
}

#[test]
fn a_record_that_was_altered_is_found() {
    let home = Home::new();
    home.write(ITEM);
    home.run(&["run", "--once"]).ended(0);
    home.run(&["ledger", "verify"]).ended(0);
    let ledger = rusqlite::Connection::open(home.ledger()).unwrap();
    ledger
        .execute("UPDATE requests SET state = 'failed'", [])
        .unwrap();
    drop(ledger);
    let told = home.run(&["ledger", "verify"]).ended(1);
    assert!(told.out.contains(KEY) || told.err.contains(KEY), "{told:?}");
}

#[test]
fn the_doctor_says_what_is_well_and_what_to_do_about_the_rest() {
    let home = Home::new();
    home.write(ITEM);
    let before = home.run(&["doctor"]).ended(0);
    for fragment in [
        "there is none at",
        "ok    academy",
        "account 4801",
        "next ticks",
    ] {
        assert!(before.out.contains(fragment), "{fragment}: {}", before.out);
    }
    assert!(home.writes().is_empty());
    let _daemon = home.daemon();
    home.until_state(KEY, "canceled");
    let beside = home.run(&["doctor"]).ended(0);
    assert!(beside.out.contains("is running"), "{}", beside.out);
    assert!(beside.out.contains("1 of 100 writes"), "{}", beside.out);
    let other = home
        .text("", ITEM)
        .replace(
            "organization_id: org_5a4d0b0c000040008000000000000001",
            "organization_id: org_5a4d0b0c000040008000000000000002",
        )
        .replace("sandbox-revere-key", "wrong-key");
    let other = other.replace(
        "\n...",
        "\n  - {id: 0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01, provider: donations}\n...",
    );
    home.write_text(&other);
    let told = home.run(&["doctor"]).ended(1);
    for fragment in [
        "bad   metered",
        "bad   donations",
        "ok    academy",
        "ok    permissions",
    ] {
        assert!(told.out.contains(fragment), "{fragment}: {}", told.out);
    }
    // A secret in a file that everybody may read.
    use std::os::unix::fs::PermissionsExt as _;
    let secret = home.path().join("revere.key");
    std::fs::write(&secret, "sandbox-revere-key\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    home.write_text(
        &home
            .text("", ITEM)
            .replace("{value: sandbox-revere-key}", "{file: revere.key}"),
    );
    let told = home.run(&["doctor"]).ended(0);
    assert!(told.out.contains("others may read"), "{}", told.out);
}
