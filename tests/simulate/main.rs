//! The proof by simulation: the real plan, pass, ledger and adapters over a simulated clock,
//! network and disk, thousands of histories, and an oracle that knows better.
//!
//! `LAPSED_SIMULATE_SEEDS=20000 cargo test --features planted --test simulate` runs more of
//! them; a failing seed prints the command that replays it.

#![expect(
    clippy::unwrap_used,
    reason = "clippy allows it in tests, but not in their helpers"
)]

mod cases;
mod history;
mod network;
mod oracle;
mod people;
mod plants;
mod scope;
mod time;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use history::{DAYS, History};

/// Histories in one run of the tests.
const SEEDS: u64 = 100;

fn asked_for(name: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is told how long to go on"
    )]
    std::env::var(name).ok()?.parse().ok()
}

/// What one history came to, or all of them.
#[derive(Default)]
struct Outcome {
    faults: Vec<String>,
    seen: BTreeMap<String, u64>,
    /// Things that went wrong because the history wanted it.
    injected: u64,
    trace: u64,
    days: i64,
}

fn simulate(seed: u64) -> Outcome {
    simulate_and(seed, false)
}

fn simulate_and(seed: u64, talks: bool) -> Outcome {
    let mut history = History::begin(seed);
    history.world.oracle.lock().unwrap().talks = talks;
    history.run();
    let mut oracle = history.world.oracle.lock().unwrap();
    Outcome {
        faults: std::mem::take(&mut oracle.faults),
        seen: std::mem::take(&mut oracle.seen),
        injected: oracle.injected,
        trace: oracle.trace(),
        days: DAYS,
    }
}

/// More failing seeds than these tell nothing new.
const MOST_FAILURES: usize = 10;

/// Runs seeds on every core until all are done or too many fail. Each that fails is told at once.
fn simulate_all(seeds: impl Iterator<Item = u64> + Send) -> (Outcome, Vec<String>) {
    let seeds = Mutex::new(seeds);
    let total = Mutex::new(Outcome::default());
    let failed = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    if failed.lock().unwrap().len() >= MOST_FAILURES {
                        return;
                    }
                    let Some(seed) = seeds.lock().unwrap().next() else {
                        return;
                    };
                    let outcome = simulate(seed);
                    let mut total = total.lock().unwrap();
                    total.days += outcome.days;
                    total.injected += outcome.injected;
                    for (what, count) in outcome.seen {
                        *total.seen.entry(what).or_default() += count;
                    }
                    if !outcome.faults.is_empty() {
                        let what = format!(
                            "{}\nreplay with LAPSED_TEST_SEED={seed} cargo test --features planted --test simulate -- histories",
                            outcome.faults.join("\n")
                        );
                        eprintln!("{what}");
                        failed.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    (total.into_inner().unwrap(), failed.into_inner().unwrap())
}

/// Seeds in which a fault of lapsed was found: they run every time.
const ONCE_FAILED: [u64; 5] = [203, 543, 1_019, 1_568, 18_865];

#[test]
fn histories_break_no_promise() {
    if let Some(seed) = asked_for("LAPSED_TEST_SEED") {
        let outcome = simulate_and(seed, true);
        assert!(outcome.faults.is_empty(), "{}", outcome.faults.join("\n"));
        return;
    }
    let count = asked_for("LAPSED_SIMULATE_SEEDS").unwrap_or(SEEDS);
    let watch = lapsed::clock::Stopwatch::start();
    let seeds = (0..count).chain(ONCE_FAILED.into_iter().filter(|seed| *seed >= count));
    let (outcome, failed) = simulate_all(seeds);
    let Outcome {
        seen,
        injected,
        days,
        ..
    } = outcome;
    let took = watch.elapsed().as_secs_f64();
    let years = days as f64 / 365.25;
    for (what, count) in &seen {
        eprintln!("{count:>9} {what}");
    }
    eprintln!(
        "{count} histories (seeds 0 to {}, and those that once failed), {years:.0} years in {took:.0} s: {:.0} years a minute; {injected} faults injected",
        count.saturating_sub(1),
        years * 60.0 / took
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Of the points of the second power cut, one in so many is tried; all of the first. An odd number, so
/// that both sides of a sync come up.
const STRIDE: u64 = 39;

#[test]
fn each_case_keeps_its_promise() {
    let faults: Vec<String> = cases::faults().collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_power_cut_at_any_point_cancels_twice_or_forgets() {
    // The gate takes outcomes of each sort, and a full run all of them and one in five.
    let asked = asked_for("LAPSED_SIMULATE_STRIDE");
    let which = match asked {
        Some(_) => scope::Outcomes::All,
        None => scope::Outcomes::OfEachSort,
    };
    let stride = asked.unwrap_or(STRIDE);
    let watch = lapsed::clock::Stopwatch::start();
    let scope::Enumerated {
        runs,
        power_cuts,
        faults,
    } = scope::enumerate(which, stride);
    assert!(
        faults.is_empty(),
        "{} faults, such as\n{}",
        faults.len(),
        faults[..faults.len().min(10)].join("\n")
    );
    eprintln!(
        "{runs} runs with {power_cuts} power cuts enumerated in {:.0} s",
        watch.elapsed().as_secs_f64()
    );
}

#[test]
fn every_planted_fault_is_noticed() {
    if let Some(noticed) = plants::look_for_nothing() {
        panic!("where nothing is planted, {noticed:?} is noticed");
    }
    let all = lapsed::planted::Fault::ALL;
    let only = asked_for("LAPSED_TEST_FAULT").map(|place| place as usize);
    let from = asked_for("LAPSED_TEST_FAULTS_FROM").unwrap_or(0) as usize;
    let next = AtomicU64::new(0);
    let noticed = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed) as usize;
                    let Some(fault) = all.get(place) else { return };
                    if only.is_some_and(|only| only != place) || place < from {
                        continue;
                    }
                    let watch = lapsed::clock::Stopwatch::start();
                    let found = plants::look_for(*fault);
                    let took = watch.elapsed().as_secs_f64();
                    let how = found
                        .as_ref()
                        .map_or("it SURVIVES".to_owned(), ToString::to_string);
                    eprintln!("{fault:?}, in {took:.0} s: {how}");
                    noticed.lock().unwrap().push((*fault, found));
                }
            });
        }
    });
    let noticed = noticed.into_inner().unwrap();
    let survivors: Vec<String> = noticed
        .iter()
        .filter(|(_, found)| found.is_none())
        .map(|(fault, _)| format!("{fault:?}"))
        .collect();
    eprintln!(
        "{} faults planted, {} noticed",
        noticed.len(),
        noticed.len() - survivors.len()
    );
    assert!(
        survivors.is_empty(),
        "nothing notices {}",
        survivors.join(", ")
    );
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..5 {
        assert_eq!(simulate(seed).trace, simulate(seed).trace, "seed {seed}");
    }
}
