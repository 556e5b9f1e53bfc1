//! Histories of one moment, each about one promise: what it takes for the promise to be broken,
//! and nothing besides. Whatever the oracle does not like is a fault; so is what the case itself
//! finds missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lapsed::ledger::Command;
use lapsed::model::standing::State;
use lapsed::reconcile::pass::Occasion;
use lapsed_disk::{AtSync, Trouble};
use serde_json::{Value, json};

use crate::network::{Fate, Kind};
use crate::people::{FileText, Line, Who, Wish, ZONE};
use crate::world::{Act, End, SUCCESSOR, World, Written};

/// A case: what is true, and how to see it fail.
type Case = (&'static str, fn(&mut Bench));

/// All of them.
const CASES: &[Case] = &[
    ("a pause sends nothing", pause),
    (
        "a pause that comes between permit and intent sends nothing",
        pause_meanwhile,
    ),
    ("a rate is kept", rate),
    ("a limit holds over a restart", limit_over_a_restart),
    ("a commit that fails is no intent", failing_commits),
    ("a commit that lasts sends nothing stale", lasting_commits),
    ("what a renewal made is not forgotten", successor),
    ("a text without its end is none", end_mark),
    ("another's state is not taken for this one's", other_object),
    ("a clock that is days ahead sends nothing", clock_ahead),
    ("a clock that jumps proves nothing", clock_jumps),
    ("a clock that was ahead silences nothing", clock_set_back),
    ("an answer that was left lying proves nothing", stopped),
    (
        "an answer that was left lying is nothing to act on",
        left_lying,
    ),
    ("what a reading waits for its turn proves nothing", turn),
    ("too many lines gone at once are held", removal),
    ("too many lines at once wait for an approval", approval),
    (
        "another customer's subscription is not touched",
        expectation,
    ),
    (
        "what only lost its access is not taken for ended",
        deactivated,
    ),
    ("a day is not begun the day before", day),
    ("a period is not cut short", window),
    ("a freeze sends nothing", freeze),
    ("observe mode sends nothing", observe),
    ("a refused key is not shown", refused_key),
    ("a ledger that was put back is in doubt", put_back),
    ("counters go on after a restart", counters),
];

/// One machine and its file.
pub struct Bench {
    world: World,
    file: FileText,
}

impl Bench {
    fn new(seed: u64) -> Self {
        Self {
            world: World::new(seed),
            file: FileText::new(),
        }
    }

    /// A subscription that lives, with more of what is true of it.
    fn lives(&self, who: Who, number: u32, more: Value) {
        let mut seed = match who {
            Who::Academy => json!({"provider": "kajabi"}),
            Who::Donations => json!({"provider": "revere", "next_bill": "+40d"}),
            Who::Metered => json!({"provider": "lotus", "customer_id": "cust-7", "end": "+40d"}),
        };
        seed["id"] = who.id(number).into();
        if let Value::Object(more) = more {
            for (key, value) in more {
                seed[key] = value;
            }
        }
        self.world.network.seed((who, number), &seed);
    }

    fn line(&mut self, who: Who, number: u32, wish: Wish) {
        self.file.lines.push(Line {
            wish,
            ..Line::now(who, number)
        });
    }

    /// Lives, and shall end now.
    fn wanted(&mut self, who: Who, number: u32) {
        self.lives(who, number, Value::Null);
        self.line(who, number, Wish::Now);
    }

    fn written(&mut self) -> Written {
        self.file.edition += 1;
        Written {
            bytes: self.file.text().into_bytes(),
            means: Some(self.file.clone()),
        }
    }

    /// The process runs and has read the file.
    fn begin(&mut self) {
        self.start();
        let written = self.written();
        self.world.does(vec![Act::Take(written)]);
    }

    fn start(&mut self) {
        for _ in 0..20 {
            if self.world.is_running() || self.world.start() {
                return;
            }
        }
    }

    fn tick(&mut self, who: Who) {
        self.world.does(vec![Act::Pass(who, Occasion::Tick)]);
    }

    fn later(&self, by: Duration) {
        self.world.universe.advance(by);
    }

    /// Whatever comes by itself in so many hours.
    fn goes_on(&mut self, hours: i64) {
        let until = self.world.universe.wall() + chrono::Duration::hours(hours);
        for _ in 0..400 {
            self.start();
            self.world.glance();
            let off = self.world.clock.off();
            let Some((at, who, occasion)) = self.world.next() else {
                break;
            };
            if at - off > until {
                break;
            }
            let wait = (at - off - self.world.universe.wall()).to_std();
            self.later(wait.unwrap_or_default());
            self.world.does(vec![Act::Pass(who, occasion)]);
        }
    }

    fn states(&self) -> Vec<State> {
        self.world.requests().iter().map(|it| it.state()).collect()
    }

    fn today(&self) -> chrono::NaiveDate {
        let now = self.world.universe.wall();
        now.with_timezone(&ZONE).date_naive()
    }

    /// What becomes of the first request of a kind.
    fn first(&self, kind: Kind, mishap: &'static str) {
        let asked_so_far = AtomicU64::new(0);
        self.world.network.fates(move |asked| {
            match asked.kind == kind && asked_so_far.fetch_add(1, Ordering::Relaxed) == 0 {
                true => Fate::Mishap(mishap),
                false => Fate::Well,
            }
        });
    }

    fn is_canceled_within(&mut self, hours: i64) {
        self.goes_on(hours);
        self.must(
            self.states() == [State::Canceled],
            "it is canceled in the end",
        );
    }

    fn must(&self, holds: bool, what: &str) {
        if !holds {
            self.world.fault("case", what);
        }
    }
}

/// Runs every case, or the one that was asked for; the first fault that each shows.
pub fn faults() -> impl Iterator<Item = String> {
    let only = crate::asked_for("LAPSED_TEST_CASE").map(|place| place as usize);
    (0..CASES.len())
        .filter(move |place| only.is_none_or(|only| only == *place))
        .filter_map(move |place| fault_of(place, only.is_some()))
}

fn fault_of(place: usize, talks: bool) -> Option<String> {
    let (name, run) = CASES[place];
    let mut bench = Bench::new(1);
    bench.world.oracle.lock().unwrap().talks = talks;
    run(&mut bench);
    bench.world.verify();
    let fault = bench.world.oracle.lock().unwrap().faults.first().cloned();
    fault.map(|fault| {
        format!("{name}: {fault}\nreplay with LAPSED_TEST_CASE={place} cargo test --features planted --test simulate -- each_case")
    })
}

/// The same in a machine of its own, with another seed.
fn anew(bench: &mut Bench, seed: u64, run: impl FnOnce(&mut Bench)) {
    let mut other = Bench::new(seed);
    run(&mut other);
    other.world.verify();
    let faults = std::mem::take(&mut other.world.oracle.lock().unwrap().faults);
    bench.world.oracle.lock().unwrap().faults.extend(faults);
}

fn pause(bench: &mut Bench) {
    bench.wanted(Who::Donations, 1);
    bench.begin();
    let provider = Some(Who::Donations.name());
    bench
        .world
        .does(vec![Act::Command(Command::Pause { provider })]);
    bench.later(Duration::from_secs(60));
    bench.tick(Who::Donations);
    bench.must(bench.states() == [State::Scheduled], "it waits");
}

/// The pause comes at another moment of the pass each time.
fn pause_meanwhile(bench: &mut Bench) {
    for seed in 0..30 {
        anew(bench, seed, |bench| {
            for number in 1..4 {
                bench.wanted(Who::Donations, number);
            }
            bench.begin();
            let acts = vec![
                Act::Pass(Who::Donations, Occasion::Tick),
                Act::Command(Command::Pause { provider: None }),
            ];
            bench.world.does(acts);
        });
    }
}

fn rate(bench: &mut Bench) {
    bench.file.rate = 12;
    bench.file.concurrency = 1;
    for number in 1..11 {
        bench.wanted(Who::Donations, number);
    }
    bench.begin();
    bench.later(Duration::from_secs(600));
    bench.tick(Who::Donations);
    bench.must(
        bench.states().iter().all(|it| *it == State::Canceled),
        "all are canceled",
    );
}

fn limit_over_a_restart(bench: &mut Bench) {
    bench.file.per_hour = 1;
    bench.wanted(Who::Donations, 1);
    bench.wanted(Who::Donations, 2);
    bench.begin();
    bench.tick(Who::Donations);
    bench.world.dies(End::Killed);
    bench.start();
    bench.tick(Who::Donations);
    bench.goes_on(3);
    bench.must(
        bench.states() == [State::Canceled; 2],
        "both are canceled in the end",
    );
}

/// Every sync of a cancel's way fails, one after the other.
fn failing_commits(bench: &mut Bench) {
    for nth in 1..30 {
        anew(bench, nth, |bench| {
            bench.wanted(Who::Donations, 1);
            bench.begin();
            let at = bench.world.disk().syncs() + nth;
            bench.world.disk().at_sync(AtSync::Fails(at));
            bench.tick(Who::Donations);
            bench.is_canceled_within(3);
        });
    }
}

/// Every sync lasts ten minutes, one after the other; also where something held it before.
fn lasting_commits(bench: &mut Bench) {
    for nth in 1..30 {
        for lasts in [120, 600] {
            anew(bench, nth, |bench| {
                bench.line(Who::Donations, 1, Wish::Now);
                bench.begin();
                bench.tick(Who::Donations);
                bench.must(bench.states() == [State::Held], "nobody knows it yet");
                bench.lives(Who::Donations, 1, Value::Null);
                bench.later(Duration::from_secs(7_200));
                let universe = bench.world.universe.clone();
                let at = bench.world.disk().syncs() + nth;
                let meanwhile = move || universe.advance(Duration::from_secs(lasts));
                bench
                    .world
                    .disk()
                    .at_sync(AtSync::Meanwhile(at, std::sync::Arc::new(meanwhile)));
                bench.tick(Who::Donations);
                bench.is_canceled_within(30);
            });
        }
    }
}

fn successor(bench: &mut Bench) {
    bench.wanted(Who::Metered, 7);
    let renewed = json!({"start": "+40d", "end": "+70d"});
    bench.lives(Who::Metered, 7 + SUCCESSOR, renewed);
    bench.begin();
    bench.tick(Who::Metered);
    bench.must(
        bench.states() == [State::Held],
        "it is held, with the line to add",
    );
}

fn end_mark(bench: &mut Bench) {
    bench.wanted(Who::Donations, 1);
    bench.wanted(Who::Donations, 2);
    bench.begin();
    let text = bench.file.text();
    let cut = text[..text.len() - "...\n".len()]
        .trim_end()
        .rfind('\n')
        .unwrap()
        + 1;
    let bytes = text.as_bytes()[..cut].to_vec();
    bench
        .world
        .does(vec![Act::Take(Written { bytes, means: None })]);
}

fn other_object(bench: &mut Bench) {
    bench.wanted(Who::Donations, 1);
    bench.lives(Who::Donations, 2, json!({"status": "canceled"}));
    bench.first(Kind::Look, "another's body");
    bench.begin();
    bench.tick(Who::Donations);
    bench.is_canceled_within(6);
}

fn clock_ahead(bench: &mut Bench) {
    let day = bench.today() + chrono::Days::new(2);
    bench.lives(Who::Donations, 1, Value::Null);
    bench.line(Who::Donations, 1, Wish::Day(day));
    bench.begin();
    bench.world.clock.set_off(chrono::Duration::days(3));
    bench.tick(Who::Donations);
    bench.goes_on(3);
    bench.must(bench.states() != [State::Canceled], "its day has not come");
}

/// By less than what is noticed, and more than what is waited for.
fn clock_jumps(bench: &mut Bench) {
    bench.file.resend_after = Duration::from_secs(60);
    bench.wanted(Who::Donations, 1);
    bench.first(Kind::Write, "lost");
    bench.begin();
    bench.tick(Who::Donations);
    bench.world.clock.set_off(chrono::Duration::seconds(280));
    bench
        .world
        .does(vec![Act::Pass(Who::Donations, Occasion::Wake)]);
    bench.is_canceled_within(6);
}

/// Found in histories: what could not be read while the clock was ahead was left alone until the
/// time came that it had told.
fn clock_set_back(bench: &mut Bench) {
    for trouble in [Trouble::None, Trouble::Broken] {
        anew(bench, 1, |bench| {
            bench.world.network.fates(|asked| match asked.kind {
                Kind::Look => Fate::Mishap("cut JSON"),
                _ => Fate::Well,
            });
            bench.wanted(Who::Donations, 1);
            bench.world.clock.set_off(chrono::Duration::days(55));
            bench.begin();
            bench.tick(Who::Donations);
            bench.must(bench.states() == [State::Held], "it cannot be read");
            bench.world.network.fates(|_| Fate::Well);
            bench.world.clock.set_off(chrono::Duration::zero());
            // What the ledger could not take in at first is not forgotten.
            bench.world.disk().trouble(trouble);
            bench.world.glance();
            bench.world.disk().trouble(Trouble::None);
            bench.is_canceled_within(30);
        });
    }
}

/// Found in histories, seed 1568: the process is stopped while the first reading after a lost cancel
/// is on its way, so that it looks hours older than what it tells.
fn stopped(bench: &mut Bench) {
    bench.wanted(Who::Donations, 1);
    let universe = bench.world.universe.clone();
    let (looks, writes) = (AtomicU64::new(0), AtomicU64::new(0));
    bench.world.network.fates(move |asked| {
        let nth = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        match asked.kind {
            Kind::Write if nth(&writes) == 0 => return Fate::Mishap("lost"),
            Kind::Look if nth(&looks) == 1 => universe.advance(Duration::from_secs(3 * 3_600)),
            _ => {}
        }
        Fate::Well
    });
    bench.begin();
    bench.tick(Who::Donations);
    bench.is_canceled_within(6);
}

/// Found in histories, seed 18865: a reading that waits for its turn is made long after it was asked for,
/// and two that were made seconds apart looked far apart.
fn turn(bench: &mut Bench) {
    bench.file.resend_after = Duration::from_secs(60);
    bench.wanted(Who::Academy, 1);
    let universe = bench.world.universe.clone();
    let [looks, writes, tokens] = [const { AtomicU64::new(0) }; 3];
    bench.world.network.fates(move |asked| {
        let count = match asked.kind {
            Kind::Look => &looks,
            Kind::Write => &writes,
            Kind::Token => &tokens,
            Kind::Account | Kind::List => return Fate::Well,
        };
        match (asked.kind, count.fetch_add(1, Ordering::Relaxed)) {
            (Kind::Write, 0) => Fate::Mishap("lost"),
            // Before the cancel, right after it, and the first that could prove something: it needs
            // a new token, and both of them their time.
            (Kind::Look, 1) => Fate::NotConnected,
            (Kind::Look, 2) => {
                universe.advance(Duration::from_secs(28));
                Fate::Mishap("401")
            }
            (Kind::Token, 1) => {
                universe.advance(Duration::from_secs(28));
                Fate::Well
            }
            _ => Fate::Well,
        }
    });
    bench.begin();
    bench.tick(Who::Academy);
    bench.later(Duration::from_secs(40));
    bench.is_canceled_within(6);
}

/// The process is stopped while the reading before a cancel is on its way, and the clock is set back by
/// as much: by wall time that reading is fresh.
fn left_lying(bench: &mut Bench) {
    const STOPPED: Duration = Duration::from_secs(100);
    bench.wanted(Who::Donations, 1);
    let clock = Arc::clone(&bench.world.clock);
    let looks = AtomicU64::new(0);
    bench.world.network.fates(move |asked| {
        let is_look = matches!(asked.kind, Kind::Look);
        if is_look && looks.fetch_add(1, Ordering::Relaxed) == 0 {
            clock.set_off(-chrono::Duration::from_std(STOPPED).unwrap());
            return Fate::LeftLying(STOPPED);
        }
        Fate::Well
    });
    bench.begin();
    bench.tick(Who::Donations);
    bench.is_canceled_within(6);
}

fn removal(bench: &mut Bench) {
    let later = bench.world.universe.wall() + chrono::Duration::days(30);
    for number in 1..9 {
        bench.lives(Who::Donations, number, Value::Null);
        bench.line(Who::Donations, number, Wish::Instant(later));
    }
    bench.begin();
    bench.file.lines.clear();
    let written = bench.written();
    bench.world.does(vec![Act::Take(written)]);
    bench.must(bench.states() == [State::Held; 8], "all are held");
}

fn approval(bench: &mut Bench) {
    for number in 1..21 {
        bench.wanted(Who::Donations, number);
    }
    for line in &mut bench.file.lines {
        line.mistaken = true;
    }
    bench.begin();
    bench.tick(Who::Donations);
    bench.must(bench.states() == [State::Held; 20], "all are held");
}

fn expectation(bench: &mut Bench) {
    bench.wanted(Who::Academy, 1);
    bench.file.lines[0].customer = Some("wrong".to_owned());
    bench.begin();
    bench.tick(Who::Academy);
    bench.must(bench.states() == [State::Held], "it is held");
}

fn deactivated(bench: &mut Bench) {
    bench.wanted(Who::Academy, 1);
    bench.lives(
        Who::Academy,
        1,
        json!({"deactivated": "-3d", "billing": true}),
    );
    bench.begin();
    bench.tick(Who::Academy);
    bench.goes_on(1);
    bench.must(
        bench.states() == [State::Canceled],
        "one confirming cancel ends it",
    );
}

fn day(bench: &mut Bench) {
    let today = bench.today();
    bench.lives(Who::Donations, 1, Value::Null);
    bench.line(Who::Donations, 1, Wish::Day(today + chrono::Days::new(2)));
    bench.begin();
    bench.goes_on(30);
    bench.must(bench.states() == [State::Scheduled], "its day has not come");
    bench.goes_on(48);
    bench.must(bench.states() == [State::Canceled], "its day has come");
}

fn window(bench: &mut Bench) {
    bench.lives(Who::Donations, 1, Value::Null);
    let wish = Wish::Period {
        opens: 20,
        closes: 4,
        late: false,
        ends: None,
    };
    bench.line(Who::Donations, 1, wish);
    bench.begin();
    bench.tick(Who::Donations);
    bench.goes_on(24 * 41);
    bench.must(
        bench.states() == [State::Canceled],
        "it is canceled in its window",
    );
}

fn freeze(bench: &mut Bench) {
    let today = bench.today();
    bench.file.freeze = Some((today, today));
    bench.wanted(Who::Donations, 1);
    bench.begin();
    bench.tick(Who::Donations);
    bench.goes_on(48);
    bench.must(
        bench.states() == [State::Canceled],
        "it is canceled the next day",
    );
}

fn observe(bench: &mut Bench) {
    bench.file.observes = vec![Who::Donations];
    bench.wanted(Who::Donations, 1);
    bench.begin();
    bench.tick(Who::Donations);
    bench.must(bench.states() == [State::Scheduled], "it is only looked at");
}

fn refused_key(bench: &mut Bench) {
    bench.wanted(Who::Metered, 1);
    bench.world.network.fates(|asked| match asked.kind {
        Kind::Look => Fate::Mishap("401"),
        _ => Fate::Well,
    });
    bench.begin();
    bench.tick(Who::Metered);
    bench.world.verify();
}

fn put_back(bench: &mut Bench) {
    bench.wanted(Who::Donations, 1);
    bench.begin();
    let copy = bench.world.copy_of_ledger();
    bench.tick(Who::Donations);
    bench.goes_on(1);
    bench.lives(Who::Donations, 1, Value::Null);
    bench.world.restore(&copy);
    bench.start();
    bench.tick(Who::Donations);
    bench.goes_on(3);
}

fn counters(bench: &mut Bench) {
    bench.wanted(Who::Donations, 1);
    bench.begin();
    bench.tick(Who::Donations);
    bench.goes_on(1);
    bench.world.dies(End::Killed);
    bench.start();
    bench.world.verify();
}
