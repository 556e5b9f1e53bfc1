//! A wall clock that is set while the daemon runs, by libfaketime. The time since boot, and
//! every other process, keep the true one.

use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use lapsed::clock::{Clock as _, SystemClock};

use super::{A, B, metric, until_passes};
use crate::support::{Daemon, Home, until};

/// The library that shifts a process's clock, where it is installed.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    let found = folders
        .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .chain([PathBuf::from("/usr/lib/faketime/libfaketimeMT.so.1")])
        .find(|path| path.exists());
    if found.is_none() {
        println!("LEFT OUT: libfaketime is not installed");
    }
    found
}

/// A clock that a test sets; `+0` is the true time.
struct WallClock(PathBuf);

impl WallClock {
    fn set(&self, shift: &str) {
        let next = self.0.with_extension("next");
        std::fs::write(&next, format!("{shift}\n")).unwrap();
        std::fs::rename(next, &self.0).unwrap();
    }
}

/// A daemon whose clock begins shifted so.
fn daemon(home: &Home, library: &Path, shift: &str) -> (Daemon, WallClock) {
    let clock = WallClock(home.path().join("clock"));
    clock.set(shift);
    let mut daemon = home.start_as(|command| {
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", &clock.0)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_RESET", "1")
            .env("NO_FAKE_STAT", "1");
    });
    daemon.serving();
    (daemon, clock)
}

fn until_it_sees_the_skew(daemon: &Daemon, sees: impl Fn(f64) -> bool) {
    until("it sees how wrong its clock is", || {
        metric(
            daemon,
            "lapsed_provider_clock_skew_seconds{provider=\"donations\"}",
        )
        .is_some_and(&sees)
    });
}

fn item(id: &str, when: &str) -> String {
    format!("\n  - {{id: {id}, provider: donations, when: {when}}}")
}

#[test]
fn a_clock_set_forward_by_days_cancels_nobody_whose_day_is_ahead() {
    let Some(library) = faketime() else { return };
    let home = Home::new();
    let ahead = SystemClock::new().now() + TimeDelta::days(2);
    let ahead = item(A, &ahead.format("%Y-%m-%d").to_string());
    home.write(&ahead);
    let (daemon, clock) = daemon(&home, &library, "+0");
    home.until_state(&format!("donations/{A}"), "scheduled");
    clock.set("+6d");
    until_it_sees_the_skew(&daemon, |skew| skew < -400_000.0);
    until_passes(&daemon, "donations", 2.0);
    assert!(home.writes().is_empty(), "{:?}", home.writes());
    let status = home.run(&["status"]).ended(0);
    assert!(status.out.contains("clock_skew"), "{}", status.out);
    // Right again, it goes on: what is due now is cancelled, and the other waits for its day.
    clock.set("+0");
    home.write(&format!("{ahead}{}", item(B, "now")));
    home.until_state(&format!("donations/{B}"), "canceled");
    assert_eq!(home.writes().len(), 1, "{:?}", home.writes());
    assert_eq!(home.truth_of(A)["live"], true);
}

#[test]
fn a_clock_set_back_by_a_day_neither_repeats_nor_silences_anything() {
    let Some(library) = faketime() else { return };
    let home = Home::new();
    home.write(&item(A, "now"));
    let (daemon, clock) = daemon(&home, &library, "+0");
    home.until_state(&format!("donations/{A}"), "canceled");
    clock.set("-1d");
    // The schedule goes on by the clock as it is now.
    until_passes(&daemon, "donations", 3.0);
    home.write(&format!("{}{}", item(A, "now"), item(B, "now")));
    until_it_sees_the_skew(&daemon, |skew| skew > 80_000.0);
    until_passes(&daemon, "donations", 2.0);
    assert_eq!(home.writes().len(), 1, "{:?}", home.writes());
    clock.set("+0");
    home.until_state(&format!("donations/{B}"), "canceled");
    assert_eq!(home.writes().len(), 2, "{:?}", home.writes());
    assert_eq!(home.truth_of(A)["cancels_effective"], 1);
    assert_eq!(home.truth_of(B)["cancels_effective"], 1);
    home.run(&["ledger", "verify"]).ended(0);
}

#[test]
fn an_outcome_that_is_unknown_when_the_clock_is_set_back_is_soon_looked_at_all_the_same() {
    let Some(library) = faketime() else { return };
    let home = Home::new();
    home.write(&item(A, "now"));
    home.fault(&serde_json::json!({"provider": "revere", "operation": "cancel", "drop": "after"}));
    // The reading that would show it fails until the clock is another.
    home.fault(
        &serde_json::json!({"provider": "revere", "operation": "get", "after": 1, "times": 3, "drop": "before"}),
    );
    let (_daemon, clock) = daemon(&home, &library, "+0");
    until("its outcome is unknown", || {
        home.state(&format!("donations/{A}")) == "unknown"
    });
    clock.set("-1d");
    home.until_state(&format!("donations/{A}"), "canceled");
    assert_eq!(home.writes().len(), 1, "{:?}", home.writes());
}
