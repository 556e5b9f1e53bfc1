//! What a large file costs: to check it, to accept it, to change ten of its lines, to start with it and
//! to have it. Checking is set beside a bare reader of the same text: serde_yaml into plain structs, in a
//! process of its own, taken in turn with ours.
//!
//! `cargo bench --bench file`; `LAPSED_BENCH_ITEMS=1000000` for more than a hundred thousand. Medians;
//! what to compare are the ratios.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot go on has nothing to say"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lapsed::clock::Stopwatch;
use serde::Deserialize;
use serde_yaml::Value;

use support::{Daemon, Home};

/// Runs for one median.
const TIMES: usize = 5;

/// How often memory is looked at: what a process took at most is told until it ends.
const LOOK: Duration = Duration::from_millis(5);

/// Told to this program: read this file, and nothing else.
const BARE: &str = "--bare-reader";

/// What the bare reader makes of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is read, and no more")]
struct Bare {
    version: Value,
    mode: Value,
    ledger: Value,
    reconcile: Value,
    providers: Value,
    policies: Value,
    limits: Value,
    max_bytes: Value,
    cancellations: Vec<BareItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is read, and no more")]
struct BareItem {
    id: String,
    provider: String,
    reason: String,
    when: String,
    labels: std::collections::BTreeMap<String, String>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "how many items, and which of its two programs this is, is for whoever runs it to say"
)]
fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(BARE) {
        let text = std::fs::read(arguments.next().unwrap()).unwrap();
        let bare: Bare = serde_yaml::from_slice(&text).unwrap();
        println!("{}", bare.cancellations.len());
        return;
    }
    let items = std::env::var("LAPSED_BENCH_ITEMS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_000);
    let itself = std::env::current_exe().unwrap();
    println!("| {items} items | value | beside |\n| --- | --- | --- |");
    let home = written(items);
    let size = std::fs::metadata(home.file()).unwrap().len();
    println!("| the file | {:.1} MB | |", mb(size));
    let bare = check(&home, &itself);
    let full = accept(&home, bare, size);
    change(&home, items, full);
    start(&home);
}

fn written(items: u64) -> Home {
    let home = Home::new();
    home.write_text(&text(&home, items, "Customer request"));
    home
}

fn text(home: &Home, items: u64, of_the_first: &str) -> String {
    let lines: String = (0..items)
        .map(|place| {
            let id = 1_000_000 + place;
            let reason = if place < 10 { of_the_first } else { "Customer request" };
            format!(
                "\n  - id: \"{id}\"\n    provider: academy\n    reason: \"{reason} {place}\"\n    when: 2099-12-{:02}\n    labels: {{batch: autumn, ticket: T{place}}}",
                1 + place % 28
            )
        })
        .collect();
    let limits = format!("limits: {{approval_above: {items}}}\nmax_bytes: 512MiB\n");
    home.text(&limits, &lines)
}

/// Gives how long the bare reader takes.
fn check(home: &Home, itself: &Path) -> Duration {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let mut command = support::lapsed();
        command.arg("check").arg("--config").arg(home.file());
        ours.push(run(command));
        let mut command = Command::new(itself);
        command.arg(BARE).arg(home.file());
        bare.push(run(command));
    }
    let median = |runs: &mut Vec<(Duration, u64)>| {
        runs.sort_by_key(|(took, _)| *took);
        let took = runs[TIMES / 2].0;
        runs.sort_by_key(|(_, peak)| *peak);
        (took, runs[TIMES / 2].1)
    };
    let (ours, bare) = (median(&mut ours), median(&mut bare));
    println!(
        "| `check` | {:.2} s | {:.2} × a bare reader ({:.2} s) |",
        ours.0.as_secs_f64(),
        ours.0.as_secs_f64() / bare.0.as_secs_f64(),
        bare.0.as_secs_f64()
    );
    println!(
        "| its peak memory | {:.0} MB | {:.2} × a bare reader ({:.0} MB) |",
        mb(ours.1),
        mb(ours.1) / mb(bare.1),
        mb(bare.1)
    );
    bare.0
}

/// How long it takes, and the most bytes that it has.
fn run(mut command: Command) -> (Duration, u64) {
    let watch = Stopwatch::start();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = memory(child.id(), "VmHWM:").unwrap_or(peak);
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::park_timeout(LOOK),
        }
    };
    assert!(status.success(), "{status}");
    (watch.elapsed(), peak)
}

fn accept(home: &Home, bare: Duration, size: u64) -> Duration {
    let watch = Stopwatch::start();
    let daemon = home.daemon();
    until_reloaded(&daemon, 1);
    let took = watch.elapsed();
    println!(
        "| start and acceptance, all new | {:.1} s | {:.1} × the bare reader |",
        took.as_secs_f64(),
        took.as_secs_f64() / bare.as_secs_f64()
    );
    let peak = memory(daemon.id(), "VmHWM:").unwrap();
    println!(
        "| peak memory of that | {:.0} MB | {:.1} × the file |",
        mb(peak),
        mb(peak) / mb(size)
    );
    daemon.kill();
    took
}

fn change(home: &Home, items: u64, full: Duration) {
    let daemon = home.daemon();
    until_reloaded(&daemon, 1);
    std::fs::write(home.file(), text(home, items, "Fraud")).unwrap();
    let watch = Stopwatch::start();
    until_reloaded(&daemon, 2);
    println!(
        "| ten changed, from the file to the ledger | {:.2} s | {:.2} × the first acceptance |",
        watch.elapsed().as_secs_f64(),
        watch.elapsed().as_secs_f64() / full.as_secs_f64()
    );
    daemon.kill();
}

fn start(home: &Home) {
    let ready = |home: &Home| {
        let mut took: Vec<(Duration, u64)> = (0..TIMES)
            .map(|_| {
                let watch = Stopwatch::start();
                let daemon = home.daemon();
                while daemon.get("/readyz").status != 200 {
                    std::thread::park_timeout(LOOK);
                }
                let took = watch.elapsed();
                until_reloaded(&daemon, 1);
                // What the first reading took goes back to the machine.
                std::thread::park_timeout(Duration::from_secs(3));
                let rest = memory(daemon.id(), "VmRSS:").unwrap();
                daemon.kill();
                (took, rest)
            })
            .collect();
        took.sort();
        took[TIMES / 2]
    };
    let few = written(10);
    let (few, many) = (ready(&few), ready(home));
    println!(
        "| start until ready | {:.2} s | {:.1} × with ten items ({:.2} s) |",
        many.0.as_secs_f64(),
        many.0.as_secs_f64() / few.0.as_secs_f64(),
        few.0.as_secs_f64()
    );
    println!(
        "| memory at rest | {:.0} MB | {:.1} × with ten items ({:.0} MB) |",
        mb(many.1),
        mb(many.1) / mb(few.1),
        mb(few.1)
    );
}

/// Until so many readings of the file were found to be in force.
fn until_reloaded(daemon: &Daemon, times: u32) {
    let sample = format!(r#"lapsed_config_reloads_total{{outcome="accepted"}} {times}"#);
    while !daemon.get("/metrics").body.contains(&sample) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// A line of `/proc/PID/status`, in bytes; none where the process has ended.
fn memory(id: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))?
        .parse()
        .ok()?;
    Some(kib * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
