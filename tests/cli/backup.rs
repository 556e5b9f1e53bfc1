//! A copy of the ledger beside a daemon at work, and what becomes of one that is put back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lapsed::sandbox::cast;
use serde_json::Value;

use crate::support::Home;

fn first() -> String {
    format!(
        "\n  - {{id: \"{}\", provider: academy}}\n  - {{id: nobody, provider: donations}}",
        cast::KAJABI_ACTIVE
    )
}

fn second() -> String {
    format!(
        "{}\n  - {{id: \"{}\", provider: academy}}",
        first(),
        cast::KAJABI_ACTIVE_TOO
    )
}

/// What lies in a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_copy_beside_a_daemon_is_whole_and_nobody_elses_and_replaces_nothing() {
    let home = Home::new();
    home.write(&first());
    let daemon = home.daemon();
    home.until_state(&format!("academy/{}", cast::KAJABI_ACTIVE), "canceled");
    let copies = home.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    let folder = copies.to_str().unwrap();

    let told = home.run(&["ledger", "backup", folder]).ended(0).out;
    let found = files(&copies);
    let [copy] = found.as_slice() else {
        panic!("one file, and nothing half done: {found:?}");
    };
    let mode = std::fs::metadata(copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(told.starts_with(&format!("{}: 2 requests and ", copy.display())));
    let place = format!("sqlite:{}", copy.display());
    let verified = home.run(&["ledger", "verify", "--ledger", &place]).ended(0);
    let head = told.split("head: ").nth(1).unwrap();
    assert!(verified.out.contains(head), "{}", verified.out);

    let again = home.run(&["ledger", "backup", copy.to_str().unwrap()]);
    assert!(again.ended(1).err.contains("is there already"));
    let nowhere = home.run(&["ledger", "backup", "not-there/copy.db"]);
    assert!(
        nowhere
            .ended(1)
            .err
            .contains("cannot write not-there/copy.db")
    );
    assert_eq!(daemon.get("/readyz").status, 200);
}

#[test]
fn a_copy_that_is_put_back_is_doubted_and_repeats_nothing() {
    let home = Home::new();
    home.write(&first());
    let daemon = home.daemon();
    home.until_state(&format!("academy/{}", cast::KAJABI_ACTIVE), "canceled");
    home.run(&["ledger", "backup", "copy.db"]).ended(0);
    home.write(&second());
    let later = format!("academy/{}", cast::KAJABI_ACTIVE_TOO);
    home.until_state(&later, "canceled");
    daemon.kill();

    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", home.ledger().display()));
    }
    std::fs::rename(home.path().join("copy.db"), home.ledger()).unwrap();
    let writes = home.writes().len();
    let ran = home.run(&["run", "--once"]).ended(1);
    assert!(ran.err.contains("ledger_doubt"), "{}", ran.err);
    assert_eq!(home.writes().len(), writes, "sent in doubt");
    home.run(&["ledger", "trust", "--by", "dana"]).ended(0);
    home.run(&["run", "--once"]);
    // The copy knows nothing of the second one: the provider does.
    home.until_state(&later, "already_canceled");
    assert_eq!(
        home.truth_of(cast::KAJABI_ACTIVE_TOO)["cancels_effective"],
        1
    );
}

#[test]
fn an_export_has_what_the_api_tells_of_each_cancellation_and_each_event_a_line_each() {
    let home = Home::new();
    home.write(&first());
    let daemon = home.daemon();
    home.until_state(&format!("academy/{}", cast::KAJABI_ACTIVE), "canceled");
    home.until_state("donations/nobody", "held");
    let out = home.run(&["ledger", "export"]).ended(0).out;
    let lines: Vec<Value> = out
        .lines()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let of = |what: &str| -> Vec<&Value> { lines.iter().filter(|it| it["type"] == what).collect() };
    let status = daemon.get("/api/v1/status").json();
    assert_eq!(lines[0]["id"], status["ledger"]["id"]);
    let told = daemon.get("/api/v1/cancellations").json();
    let told = told["items"].as_array().unwrap();
    let items = of("cancellation");
    assert_eq!(items.len(), told.len());
    for (exported, told) in items.iter().zip(told) {
        for field in ["provider", "id", "state", "terms", "origin", "note"] {
            assert_eq!(exported[field], told[field], "{field}");
        }
    }
    let told = daemon.get("/api/v1/events?after=0").json();
    let told = told["events"].as_array().unwrap();
    let events = of("event");
    assert!(events.len() >= told.len() && told.len() > 4, "{out}");
    for (exported, told) in events.iter().zip(told) {
        assert_eq!(exported["hash"], told["hash"]);
    }
}

#[test]
fn compacting_waits_for_no_daemon_and_keeps_every_row() {
    let home = Home::new();
    home.write(&first());
    let daemon = home.daemon();
    home.until_state(&format!("academy/{}", cast::KAJABI_ACTIVE), "canceled");
    let refused = home.run(&["ledger", "compact"]).ended(1);
    assert!(refused.err.contains("another daemon"), "{}", refused.err);
    daemon.kill();
    let exported = |home: &Home| {
        let out = home.run(&["ledger", "export"]).ended(0).out;
        out.lines().filter(|it| it.contains("\"event\"")).count()
    };
    let before = exported(&home);
    let told = home.run(&["ledger", "compact"]).ended(0).out;
    assert!(told.contains(" before, "), "{told}");
    home.run(&["ledger", "verify"]).ended(0);
    assert_eq!(exported(&home), before);
    let _daemon = home.daemon();
    home.write(&second());
    home.until_state(&format!("academy/{}", cast::KAJABI_ACTIVE_TOO), "canceled");
    let nowhere = ["ledger", "compact", "--ledger", "sqlite:not-there.db"];
    assert!(home.run(&nowhere).ended(1).err.contains("not-there.db"));
}
