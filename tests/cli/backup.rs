//! A copy of the ledger beside a daemon at work, and what becomes of one that is put back.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lapsed::sandbox::cast;

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
