//! `kill -9` of the real daemon at random moments: nobody is cancelled twice, nobody forgotten.

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lapsed::sandbox::Seeds;
use serde_json::{Value, json};

use crate::support::{Home, post, until};

/// Kills over one ledger, and in one run of the tests; `tests/run --full` asks for more.
const KILLS: u32 = 50;

/// Requests that a life may live to see, at most.
const LONGEST_LIFE: u64 = 24;

/// Items for each kill: more than a life can finish, so that the last kill still hits.
const ITEMS_PER_KILL: u32 = 9;

#[test]
fn no_kill_at_any_moment_cancels_twice_or_forgets() {
    let kills = asked_for("LAPSED_TEST_KILLS").map_or(KILLS, |kills| {
        u32::try_from(kills).expect("a number of kills")
    });
    let seed = asked_for("LAPSED_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    let next = AtomicU32::new(0);
    let rounds = kills.div_ceil(KILLS);
    // What waits for processes to start leaves a core to another round.
    std::thread::scope(|scope| {
        for _ in 0..rounds.min(2) {
            scope.spawn(|| {
                loop {
                    let round = next.fetch_add(1, Ordering::Relaxed);
                    if round >= rounds {
                        return;
                    }
                    kill_and_settle(
                        KILLS.min(kills - round * KILLS),
                        seed.wrapping_add(round.into()),
                    );
                }
            });
        }
    });
    // On the screen in any case: what the macros print is kept from it where all goes well.
    let told =
        format!("{kills} kills of the daemon, seeds from {seed}: none twice, none forgotten");
    writeln!(std::io::stderr(), "{told}").unwrap();
}

/// So many kills over one ledger, and then a daemon that is left alone.
fn kill_and_settle(kills: u32, seed: u64) {
    eprintln!("replay with LAPSED_TEST_SEED={seed} LAPSED_TEST_KILLS={kills}");
    let mut random = fastrand::Rng::with_seed(seed);
    let each = kills * ITEMS_PER_KILL / 3;
    let home = Home::with(
        Seeds::parse(&json!([
            {"provider": "kajabi", "count": each, "prefix": "9"},
            {"provider": "revere", "count": each, "prefix": "bulk-"},
            {"provider": "lotus", "count": each},
        ]))
        .unwrap(),
    );
    slow_down(&home, 3);
    // A slow machine must not look like a provider that is gone, which is left alone for minutes.
    home.write_text(&home.text(
        "limits: {per_hour: 100000, per_day: 100000, approval_above: 100000, stop_after_failures: 1000}\n",
        &items(&home),
    ));
    let mut killed_at_work = 0;
    for _ in 0..kills {
        kill_once(&home, &mut random);
        if open(&home) > 0 {
            killed_at_work += 1;
        }
    }
    assert_eq!(
        killed_at_work, kills,
        "some kills hit nothing: too few items"
    );
    slow_down(&home, 0);
    let daemon = home.daemon();
    let mut last = LastSeen {
        status: String::new(),
        log: &|| daemon.log(),
    };
    until("everything is settled", || {
        last.status = home.run(&["status", "--format", "json"]).out;
        settled(&last.status) == u64::from(each) * 3
    });
    let truth = home.truth();
    assert_eq!(truth["totals"]["live"], 0, "forgotten, seed {seed}");
    assert_eq!(
        truth["totals"]["cancels_effective"],
        u64::from(each) * 3,
        "seed {seed}"
    );
    assert_eq!(
        truth["totals"]["cancelled_more_than_once"], 0,
        "twice, seed {seed}"
    );
    home.run(&["ledger", "verify"]).ended(0);
    eprintln!("{kills} kills, and {} cancels once each", each * 3);
}

/// What there was to see when something was waited for in vain.
struct LastSeen<'d> {
    status: String,
    log: &'d dyn Fn() -> String,
}

impl Drop for LastSeen<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = (self.log)();
            let newest = log.lines().rev().take(40).collect::<Vec<_>>();
            eprintln!("{}\n{}", self.status, newest.join("\n"));
        }
    }
}

/// Starts the daemon and kills it: while it starts, or once it has sent so many requests.
fn kill_once(home: &Home, random: &mut fastrand::Rng) {
    let before = requests(home);
    let daemon = home.start();
    if random.u8(..4) == 0 {
        // Somewhere in its start; how far that is depends on the machine, and may.
        let moment = Duration::from_micros(random.u64(..60_000));
        std::thread::park_timeout(moment);
    } else {
        let life = random.u64(1..=LONGEST_LIFE);
        until("the daemon is at work", || {
            requests(home) >= before + life || open(home) == 0
        });
    }
    daemon.kill();
}

fn asked_for(name: &str) -> Option<u64> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is told how long to go on"
    )]
    std::env::var(name).ok()?.parse().ok()
}

fn slow_down(home: &Home, milliseconds: u64) {
    let body = json!({"latency_ms": milliseconds}).to_string();
    assert_eq!(
        post(home.sandbox(), "/sandbox/settings", &[], &body).status,
        200
    );
}

/// One line for each subscription at the sandbox.
fn items(home: &Home) -> String {
    home.all()
        .into_iter()
        .map(|(provider, id)| format!("\n  - {{id: \"{id}\", provider: {provider}}}"))
        .collect()
}

/// Requests that the providers received, ever.
fn requests(home: &Home) -> u64 {
    let log = crate::support::get(
        home.sandbox(),
        "/sandbox/requests?after=18446744073709551615",
    );
    log.json()["last"].as_u64().unwrap()
}

fn open(home: &Home) -> u64 {
    let state = crate::support::get(home.sandbox(), "/sandbox/state?limit=0");
    state.json()["totals"]["live"].as_u64().unwrap()
}

/// Items that are canceled, in a status report.
fn settled(status: &str) -> u64 {
    let status: Value = serde_json::from_str(status).unwrap_or_default();
    let count = |state: &str| status["totals"][state].as_u64().unwrap_or(0);
    count("canceled") + count("already_canceled")
}
