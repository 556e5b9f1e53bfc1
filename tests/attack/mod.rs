//! The built binary under attack: real files, signals, sockets, disks and clocks.
//!
//! Every fact is held against the truth at the sandbox and against the ledger's file, not
//! against what the daemon says of itself. What the machine does not permit (mounting, another
//! clock) is left out with a line that says so.

mod bodies;
mod clock;
mod connections;
mod copies;
mod disk;
mod flipped;
mod log;
mod migration;
mod proxy;
mod signals;
mod stopped;

use std::path::Path;
use std::time::Duration;

use lapsed::clock::{Clock as _, SystemClock};
use lapsed::sandbox::Seeds;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::support::{Daemon, Home, until};

/// Two that are alive at Revere, of the demo's cast.
const A: &str = "0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01";
const B: &str = "0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d02";

/// Limits that let everything through.
const NO_LIMITS: &str = "limits: {per_hour: 100000, per_day: 100000, approval_above: 100000, stop_after_failures: 100000}\n";

/// A home whose sandbox has so many that are alive at each provider.
fn many(kajabi: u32, revere: u32, lotus: u32) -> Home {
    let seeds: Vec<_> = [
        (
            kajabi,
            json!({"provider": "kajabi", "count": kajabi, "prefix": "9"}),
        ),
        (
            revere,
            json!({"provider": "revere", "count": revere, "prefix": "bulk-"}),
        ),
        (lotus, json!({"provider": "lotus", "count": lotus})),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(_, seed)| seed)
    .collect();
    Home::with(Seeds::parse(&json!(seeds)).unwrap())
}

/// A line of the file for each.
fn lines(of: &[(&'static str, String)]) -> String {
    of.iter()
        .map(|(provider, id)| format!("\n  - {{id: \"{id}\", provider: {provider}}}"))
        .collect()
}

/// The text with other patience: both for every provider.
fn patient(text: &str, timeout: &str, resend_after: &str) -> String {
    text.replace(
        "timeout: 2s\n    resend_after: 4s",
        &format!("timeout: {timeout}\n    resend_after: {resend_after}"),
    )
}

/// Waits until everything at the sandbox has ended, each by one effect, and the ledger says so
/// and is whole.
fn until_each_is_cancelled_once(home: &Home, count: usize) {
    until("everything is settled", || settled(home) == count as u64);
    let totals = &home.truth()["totals"];
    assert_eq!(totals["live"], 0, "forgotten: {totals}");
    assert_eq!(totals["cancels_effective"], count, "{totals}");
    assert_eq!(totals["cancelled_more_than_once"], 0, "{totals}");
    home.run(&["ledger", "verify"]).ended(0);
}

/// How many the ledger has as ended.
fn settled(home: &Home) -> u64 {
    let status = home.run(&["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap_or_default();
    let count = |state: &str| status["totals"][state].as_u64().unwrap_or(0);
    count("canceled") + count("already_canceled")
}

/// One attempt, as the ledger's file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Attempt {
    subscription: String,
    number: i64,
    send_before: i64,
    outcome: Option<String>,
}

/// Every attempt that the ledger's file has.
fn attempts(ledger: &Path) -> Vec<Attempt> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(ledger, flags).unwrap();
    conn.busy_timeout(Duration::from_secs(60)).unwrap();
    let mut rows = conn
        .prepare("SELECT subscription, number, send_before, outcome FROM attempts ORDER BY id")
        .unwrap();
    rows.query_map([], |row| {
        Ok(Attempt {
            subscription: row.get(0)?,
            number: row.get(1)?,
            send_before: row.get(2)?,
            outcome: row.get(3)?,
        })
    })
    .unwrap()
    .collect::<rusqlite::Result<_>>()
    .unwrap()
}

/// This moment, as the ledger writes it.
fn now() -> i64 {
    SystemClock::new().now().timestamp_millis()
}

/// Waits until a moment has gone by.
fn until_past(millis: i64) {
    until("the moment has gone by", || now() > millis);
}

/// A metric's value, where it is there.
fn metric(daemon: &Daemon, line_begins: &str) -> Option<f64> {
    let metrics = daemon.get("/metrics").body;
    let line = metrics.lines().find(|it| it.starts_with(line_begins))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// How many of a provider's passes have ended.
fn passes(daemon: &Daemon, provider: &str) -> f64 {
    let metrics = daemon.get("/metrics").body;
    metrics
        .lines()
        .filter(|it| it.starts_with("lapsed_reconcile_runs_total"))
        .filter(|it| it.contains(&format!("provider=\"{provider}\"")))
        .filter_map(|it| it.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// Waits until a provider has been through so many further passes.
fn until_passes(daemon: &Daemon, provider: &str, further: f64) {
    let before = passes(daemon, provider);
    until("further passes have ended", || {
        passes(daemon, provider) >= before + further
    });
}

/// A number that whoever runs the tests has given.
fn asked_for(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a seed to replay")]
    std::env::var(name).ok()?.parse().ok()
}
