//! The ledger's file system full, or turned read-only under the running daemon.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::proxy::{Gate, Proxy};
use super::{
    NO_LIMITS, attempts, lines, many, metric, settled, until_each_is_cancelled_once, until_passes,
};
use crate::support::{Daemon, Home, until};

const ITEMS: u32 = 120;

/// Something mounted; taken away when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// None, and a line that says so, where mounting is not permitted.
    fn new(at: PathBuf, options: &[&str]) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let done = Command::new("mount").args(options).arg(&at).output();
        match done {
            Ok(done) if done.status.success() => Some(Self(at)),
            Ok(done) => {
                println!("LEFT OUT: {}", String::from_utf8_lossy(&done.stderr).trim());
                None
            }
            Err(error) => {
                println!("LEFT OUT: mount: {error}");
                None
            }
        }
    }

    fn again(&self, options: &str) -> bool {
        let done = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .output();
        done.is_ok_and(|done| done.status.success())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A file whose ledger lies in this folder.
fn with_ledger_in(home: &Home, folder: &Path, text: &str) -> PathBuf {
    let ledger = folder.join("lapsed.db");
    let there = home.ledger().display().to_string();
    assert!(text.contains(&there));
    home.write_text(&text.replace(&there, &ledger.display().to_string()));
    ledger
}

/// Every write that the sandbox got was journaled before.
fn each_write_is_journaled(home: &Home, ledger: &Path) {
    let journaled: BTreeSet<String> = attempts(ledger)
        .into_iter()
        .map(|it| it.subscription)
        .collect();
    for write in home.writes() {
        assert!(
            journaled.iter().any(|id| write.contains(id.as_str())),
            "{write} stands in no ledger"
        );
    }
}

/// It serves, and says that its ledger does not work.
fn it_says_so(daemon: &Daemon, words: &str) {
    until("the ledger's failures are counted", || {
        metric(daemon, "lapsed_ledger_errors_total").is_some_and(|it| it >= 3.0)
    });
    until("it is not ready", || {
        let ready = daemon.get("/readyz");
        ready.status == 503 && ready.body.contains(words)
    });
    // Also after others, who have nothing to write, found nothing amiss.
    until_passes(daemon, "academy", 2.0);
    assert_eq!(daemon.get("/readyz").status, 503);
    assert_eq!(daemon.get("/").status, 200);
    assert_eq!(daemon.get("/livez").status, 200);
}

/// Starts a daemon that has accepted everything and is held at its first readings. A provider that is
/// not asked for anything is known by then, which is written down once.
fn held_at_its_readings(home: &Home, folder: &Path) -> (PathBuf, Daemon, Proxy, Gate) {
    let reads = Gate::shut_at_first();
    let held = reads.clone();
    let proxy = Proxy::start(home, move |exchange| {
        if !exchange.is_write() {
            held.pass();
        }
        exchange.pass();
    });
    let text = home.text(NO_LIMITS, &lines(&home.all()));
    let text = proxy.before(home, "revere", &super::patient(&text, "60s", "64s"));
    let ledger = with_ledger_in(home, folder, &text);
    let daemon = home.daemon();
    reads.until_came(1);
    until_passes(&daemon, "academy", 1.0);
    (ledger, daemon, proxy, reads)
}

#[test]
fn on_a_full_disk_nothing_is_sent_that_is_not_journaled_and_room_is_all_it_needs() {
    let home = many(0, ITEMS, 0);
    let options = ["-t", "tmpfs", "-o", "size=6m", "none"];
    let Some(disk) = Mounted::new(home.path().join("disk"), &options) else {
        return;
    };
    let (ledger, daemon, _proxy, reads) = held_at_its_readings(&home, &disk.0);
    let filler = disk.0.join("filler");
    fill(&filler);
    reads.open();
    it_says_so(&daemon, "full");
    each_write_is_journaled(&home, &ledger);
    assert!(settled(&home) < u64::from(ITEMS), "the disk was not full");
    std::fs::remove_file(&filler).unwrap();
    until_each_is_cancelled_once(&home, ITEMS as usize);
    assert_eq!(home.writes().len(), ITEMS as usize);
    until("it is ready again", || daemon.get("/readyz").status == 200);
    // And one that starts while there is no room: it works, or says why not.
    daemon.kill();
    fill(&filler);
    let ran = home.run(&["run", "--once"]);
    assert!(
        ran.code == 0 || ran.err.contains("full"),
        "{}: {}",
        ran.code,
        ran.err
    );
    std::fs::remove_file(&filler).unwrap();
    home.run(&["run", "--once"]).ended(0);
    home.run(&["ledger", "verify"]).ended(0);
    assert_eq!(home.writes().len(), ITEMS as usize);
}

/// Leaves not a byte.
fn fill(filler: &Path) {
    let mut file = std::fs::File::create(filler).unwrap();
    while file.write_all(&[7; 4096]).is_ok() {}
    while file.write_all(&[7]).is_ok() {}
}

/// As a disk does that fails: the kernel takes its file system from whoever writes.
#[test]
fn on_a_disk_that_turned_read_only_nothing_is_sent_that_is_not_journaled() {
    let home = many(0, ITEMS, 0);
    let image = home.path().join("image");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(32 << 20)
        .unwrap();
    let made = Command::new("mkfs.ext4").arg("-q").arg(&image).output();
    if !made.is_ok_and(|made| made.status.success()) {
        println!("LEFT OUT: no mkfs.ext4");
        return;
    }
    let at = home.path().join("disk");
    let image = image.display().to_string();
    let options = ["-o", "loop", image.as_str()];
    let Some(disk) = Mounted::new(at.clone(), &options) else {
        return;
    };
    let (ledger, daemon, _proxy, reads) = held_at_its_readings(&home, &disk.0);
    if !disk.again("abort") {
        println!("LEFT OUT: a file system that cannot be aborted");
        return;
    }
    reads.open();
    it_says_so(&daemon, "");
    assert!(home.writes().is_empty(), "{:?}", home.writes());
    daemon.kill();
    let refused = home.run(&["run", "--once"]).ended(1);
    assert!(refused.err.contains("writ"), "{}", refused.err);
    drop(disk);
    let _disk = Mounted::new(at, &options).unwrap();
    let _daemon = home.daemon();
    until_each_is_cancelled_once(&home, ITEMS as usize);
    each_write_is_journaled(&home, &ledger);
    assert_eq!(home.writes().len(), ITEMS as usize);
}
