//! First measures of the real binary against the sandbox on loopback, printed as a table.
//!
//! `cargo bench --bench first`; some minutes. A machine's own numbers differ from run to run:
//! what to compare is one build with another on one machine, and the ratios.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot go on has nothing to say"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use lapsed::clock::Stopwatch;
use lapsed::sandbox::Seeds;
use serde_json::json;

use support::{Daemon, Home, until};

/// How long passes run unwatched, one each second.
const PASSES: Duration = Duration::from_secs(8);

fn main() {
    println!("| measure | value |\n| --- | --- |");
    end_to_end(10_000);
    let small = idle(10);
    let large = idle(100_000);
    println!(
        "| idle pass, 100,000 items to 10 items | {:.2} × |",
        large.as_secs_f64() / small.as_secs_f64()
    );
}

fn row(measure: &str, value: &str) {
    println!("| {measure} | {value} |");
}

/// Everything due at once, no rate limit that bites: look, cancel, read back, settle.
fn end_to_end(items: u64) {
    let home = Home::with(
        Seeds::parse(&json!([{"provider": "revere", "count": items, "prefix": "bulk-"}])).unwrap(),
    );
    write(&home, items, "now");
    let watch = Stopwatch::start();
    let daemon = home.daemon();
    wait_for(
        &daemon,
        r#"lapsed_settled_total{provider="donations",state="canceled"}"#,
        items,
    );
    let took = watch.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let rate = items as f64 / took.as_secs_f64();
    row(
        &format!("{items} items end to end, start and acceptance included"),
        &format!("{:.1} s, {rate:.0} items/s", took.as_secs_f64()),
    );
    row("peak memory of that run", &memory(&daemon, "VmHWM:"));
    assert_eq!(home.truth()["totals"]["live"], 0);
}

/// Nothing is due for decades: start, memory at rest, the time of a pass.
fn idle(items: u64) -> Duration {
    let home = Home::with(Seeds::none());
    write(&home, items, "2099-12-31");
    let watch = Stopwatch::start();
    let daemon = home.daemon();
    wait_for(&daemon, "lapsed_config_items", items);
    row(
        &format!("first start with {items} new items, until they are accepted"),
        &format!("{:.2} s", watch.elapsed().as_secs_f64()),
    );
    row("peak memory of that start", &memory(&daemon, "VmHWM:"));
    daemon.kill();
    let watch = Stopwatch::start();
    let daemon = home.daemon();
    until("it is ready", || daemon.get("/readyz").status == 200);
    row(
        &format!("start with {items} items that the ledger knows, until ready"),
        &format!("{:.2} s", watch.elapsed().as_secs_f64()),
    );
    let passes = || {
        let of =
            |what| format!(r#"lapsed_reconcile_duration_seconds_{what}{{provider="donations"}}"#);
        (value(&daemon, &of("sum")), value(&daemon, &of("count")))
    };
    // The first ones run beside the start.
    until("the first passes have run", || passes().1 >= 3.0);
    let before = passes();
    // A scrape counts rows, and would be measured with the passes: none while they run.
    std::thread::park_timeout(PASSES);
    let after = passes();
    row("memory at rest", &memory(&daemon, "VmRSS:"));
    row("peak memory of that start", &memory(&daemon, "VmHWM:"));
    let pass = Duration::from_secs_f64((after.0 - before.0) / (after.1 - before.1));
    row(
        &format!("an idle pass with {items} items"),
        &format!("{:.2} ms", pass.as_secs_f64() * 1_000.0),
    );
    pass
}

fn write(home: &Home, items: u64, when: &str) {
    let lines: String = (0..items)
        .map(|n| format!("\n  - {{id: bulk-{n:06}, provider: donations, when: {when}}}"))
        .collect();
    let settings = "limits: {per_hour: 10000000, per_day: 10000000, approval_above: 10000000}\n";
    home.write_text(&home.text(settings, &lines).replace(
        "rate_limit: 1000/s",
        "rate_limit: 1000000/s\n    concurrency: 32",
    ));
}

fn wait_for(daemon: &Daemon, metric: &str, least: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let least = least as f64;
    until(metric, || value(daemon, metric) >= least);
}

/// A sample of the metrics; 0 where it is not there.
fn value(daemon: &Daemon, metric: &str) -> f64 {
    let metrics = daemon.get("/metrics").body;
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(metric)?.trim().parse().ok())
        .unwrap_or(0.0)
}

/// A line of `/proc/PID/status`, in MiB.
fn memory(daemon: &Daemon, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let kib: f64 = status
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        })
        .unwrap();
    format!("{:.1} MiB", kib / 1024.0)
}
