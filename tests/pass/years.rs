//! Years of ends of periods: zones, changes of the clock, month ends, a leap day, freezes, periods
//! that are put off, a daemon that is down and a provider that does not answer.
//!
//! The world is the real ledger, plan and pass. An oracle knows each subscription's true periods
//! and when a cancel took effect. Each history has a seed, which a failure prints.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fastrand::Rng;
use lapsed::ledger::{EventQuery, Ledger as _, Page};
use lapsed::model::hold::HoldReason;
use lapsed::model::request::Request;
use lapsed::model::standing::{Event, Phase, State};
use lapsed::provider::LookError;

use super::world::World;

/// Histories of a year and more; `LAPSED_TEST_HISTORIES` asks for another number.
const HISTORIES: u64 = 24;
const DAYS: i64 = 430;
const ITEMS: usize = 5;

/// Zones whose clocks change in ways of their own, and one whose does not.
const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Pacific/Apia",
    "UTC",
];

const SCHEDULES: [&str; 5] = [
    "0 * * * *",
    "30 2 * * *",
    "0 9-17 * * MON-FRI",
    "15 */6 * * *",
    "0 12 1,15 * *",
];

const FREEZES: [&str; 3] = [
    "freezes: []",
    "freezes: [{name: weekends, cron: \"0 0 * * SAT\", for: 48h}]",
    "freezes: [{name: holidays, from: 2027-12-23, until: 2028-01-03}, {name: nights, cron: \"0 0 * * *\", for: 6h}]",
];

/// One subscription of a history.
struct Sub {
    id: String,
    opens: chrono::Duration,
    closes: chrono::Duration,
    when_missed: &'static str,
}

struct History {
    seed: u64,
    rng: Rng,
    world: World,
    subs: Vec<Sub>,
}

fn histories() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is told how long to go on"
    )]
    let asked_for = std::env::var("LAPSED_TEST_HISTORIES");
    asked_for.map_or(HISTORIES, |count| count.parse().unwrap())
}

fn hours(count: i64) -> chrono::Duration {
    chrono::Duration::hours(count)
}

impl History {
    async fn begin(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::new()
            .in_zone(ZONES[rng.usize(..ZONES.len())])
            .with(FREEZES[rng.usize(..FREEZES.len())])
            .provider_says(&format!(
                "schedule: \"{}\", limits: {{stop_after_failures: 1000}}",
                SCHEDULES[rng.usize(..SCHEDULES.len())]
            ));
        // A leap day lies within.
        let begins: DateTime<Utc> = "2027-11-20T10:30:00Z".parse().unwrap();
        world.clock.set_wall(begins);
        let mut subs = Vec::new();
        for index in 0..ITEMS {
            let closes = rng.i64(1..12);
            let opens = closes + rng.i64(2..90);
            let when_missed = ["next_period", "ask", "now"][rng.usize(..3)];
            let sub = Sub {
                id: format!("s{index}"),
                opens: hours(opens),
                closes: hours(closes),
                when_missed,
            };
            let ends = begins + hours(rng.i64(-4..900));
            let every = [7, 28, 30, 31, 365][rng.usize(..5)];
            world.renews(&sub.id, &ends.to_rfc3339(), every);
            let terms = format!(
                "when: end_of_period, window: {{opens: {opens}h, closes: {closes}h}}, when_missed: {when_missed}"
            );
            world.add(&sub.id, &terms);
            subs.push(sub);
        }
        world.accept().await;
        Self {
            seed,
            rng,
            world,
            subs,
        }
    }

    /// Lets the time go by until the end, with all that goes wrong in it.
    async fn run(&mut self) {
        let ends = self.world.now() + chrono::Duration::days(DAYS);
        while self.world.now() < ends {
            let trouble = self.world.now() + hours(self.rng.i64(1..900));
            self.calm_until(trouble.min(ends)).await;
            let lasts = hours(self.rng.i64(1..200));
            match self.rng.u8(..4) {
                // The daemon is down.
                0 => {
                    self.world.clock.advance(lasts.to_std().unwrap());
                    self.world.restart().await;
                }
                // The provider does not answer.
                1 => {
                    for sub in &self.subs {
                        let why = "no answer".to_owned();
                        self.world.poison(&sub.id, LookError::Unavailable { why });
                    }
                    let until = self.world.now() + lasts;
                    self.calm_until(until.min(ends)).await;
                    for sub in &self.subs {
                        self.world.heal(&sub.id);
                    }
                }
                // A period is put off.
                2 => {
                    let index = self.rng.usize(..self.subs.len());
                    let by = hours(self.rng.i64(1..400));
                    self.world.put_off(&self.subs[index].id, by);
                }
                _ => {}
            }
        }
        let settled = self.world.now() + hours(72);
        self.calm_until(settled).await;
    }

    /// Every pass that finds something to do until then, as the daemon would make it.
    async fn calm_until(&self, until: DateTime<Utc>) {
        while let Some((at, tick)) = self.next_pass().await {
            if at > until {
                break;
            }
            self.go_to(at);
            if tick {
                self.world.tick().await;
            } else {
                self.world.wake().await;
            }
        }
        self.go_to(until);
    }

    fn go_to(&self, at: DateTime<Utc>) {
        let by = (at - self.world.now()).to_std().unwrap_or_default();
        self.world.clock.advance(by);
    }

    /// When something happens next, and whether at a tick.
    async fn next_pass(&self) -> Option<(DateTime<Utc>, bool)> {
        let now = self.world.now();
        let later = now + chrono::Duration::seconds(1);
        let schedule = &self.world.party().config.schedule;
        let tick = |from: DateTime<Utc>| {
            schedule.next_after(from.max(later) - chrono::Duration::nanoseconds(1))
        };
        let mut next: Option<(DateTime<Utc>, bool)> = None;
        for request in self.requests().await {
            let by_itself = request.standing.phase != Phase::Waiting
                || request
                    .due_at
                    .is_none_or(|due| request.wake_at.is_some_and(|at| at < due));
            let wakes = request.wake_at.and_then(|at| {
                if by_itself {
                    Some((at.max(later), false))
                } else {
                    Some((tick(at)?, true))
                }
            });
            let overdue = request
                .deadline_at
                .filter(|_| request.standing.plannable())
                .map(|at| ((at + chrono::Duration::milliseconds(1)).max(later), false));
            next = next.into_iter().chain(wakes).chain(overdue).min();
        }
        next
    }

    async fn requests(&self) -> Vec<Request> {
        let page = Page {
            limit: 1_000,
            ..Page::default()
        };
        self.world.ledger.page(page).await.unwrap()
    }

    async fn events(&self, id: &str) -> Vec<Event> {
        let query = EventQuery {
            row: Some(self.world.request(id).await.row),
            after: Some(0),
            limit: 10_000,
            ..EventQuery::default()
        };
        let events = self.world.ledger.events(query).await.unwrap();
        events.into_iter().filter_map(|it| it.event).collect()
    }

    /// How often it was charged for another period although the end of the one before had been
    /// read while its window was ahead. Where it could not be read at all it was held as that.
    fn charged_though_known(&self, sub: &Sub) -> u32 {
        let charges = self.world.charges(&sub.id);
        let looks = self.world.looked_at(&sub.id);
        let mut before = DateTime::<Utc>::MIN_UTC;
        let mut known = 0;
        for charge in charges {
            let in_time = before..charge - sub.closes;
            known += u32::from(looks.iter().any(|at| in_time.contains(at)));
            before = charge;
        }
        known
    }

    /// What must hold of each subscription, whatever happened.
    async fn judge(&self, seen: &mut BTreeMap<&'static str, u32>) {
        let seed = self.seed;
        for sub in &self.subs {
            let id = &sub.id;
            let missed = self
                .events(id)
                .await
                .iter()
                .filter(|event| matches!(event, Event::WindowMissed { .. }))
                .count() as u32;
            let effects = self.world.effects(id);
            let state = self.world.request(id).await.state();
            let charged = self.charged_though_known(sub);
            assert!(effects.len() <= 1, "seed {seed}: {id} was cancelled twice");
            // Once it was told, it is overdue until it is made up for, or a person is asked.
            let told = match sub.when_missed {
                "now" | "ask" if missed > 0 => charged,
                _ => missed,
            };
            assert!(
                charged <= told,
                "seed {seed}: {id} was charged {charged} times and {told} were told"
            );
            if sub.when_missed == "ask" && missed > 0 {
                assert_eq!(
                    (state, effects.len()),
                    (State::Missed, 0),
                    "seed {seed}: {id}"
                );
                assert_eq!(missed, 1, "seed {seed}: {id}");
            }
            for effect in effects {
                assert_eq!(state, State::Canceled, "seed {seed}: {id}");
                let opens_at = effect.period_end - sub.opens;
                let closes_at = effect.period_end - sub.closes;
                let late = sub.when_missed == "now" && missed > 0;
                let in_time = opens_at <= effect.at && effect.at <= closes_at;
                assert!(
                    in_time || late,
                    "seed {seed}: {id} was cancelled at {}, its window was {opens_at} to {closes_at}",
                    effect.at
                );
                let freezes = &self.world.in_force().config.freezes;
                let frozen = freezes.iter().any(|it| it.holds_until(effect.at).is_some());
                assert!(!frozen, "seed {seed}: {id} was cancelled in a freeze");
                let what = if late { "late" } else { "in its window" };
                *seen.entry(what).or_default() += 1;
            }
            *seen.entry("missed").or_default() += missed;
            *seen.entry("asked").or_default() += u32::from(state == State::Missed);
            if state == State::Held {
                let holds = self.world.request(id).await.standing.holds;
                let known = [HoldReason::NoSafeWindow, HoldReason::ProviderUnavailable];
                assert!(
                    holds.iter().all(|hold| known.contains(hold)),
                    "seed {seed}: {id} is held as {holds:?}"
                );
            }
        }
        self.world.verify().await;
    }
}

#[tokio::test]
async fn over_years_nobody_is_cancelled_early_or_twice_or_missed_in_silence() {
    let mut seen = BTreeMap::new();
    for seed in 0..histories() {
        let mut history = History::begin(seed).await;
        history.run().await;
        history.judge(&mut seen).await;
    }
    // A check that nothing can fail is none: all of it has happened.
    for what in ["in its window", "late", "missed", "asked"] {
        assert!(
            seen.get(what).is_some_and(|count| *count > 3),
            "{what}: {seen:?}"
        );
    }
}

/// Twenty items of every kind under narrow limits.
async fn crowd(seed: u64) -> World {
    let mut rng = Rng::with_seed(seed);
    let freezes = [
        "freezes: []",
        "freezes: [{name: sale, from: 2026-11-27, until: 2026-11-29}, {name: nights, cron: \"0 22 * * *\", for: 9h}]",
    ];
    let mut world = World::new()
        .in_zone(ZONES[rng.usize(..ZONES.len())])
        .with(&format!(
            "limits: {{per_hour: {}, per_day: {}}}\n{}",
            rng.u32(1..5),
            rng.u32(3..9),
            freezes[rng.usize(..freezes.len())]
        ))
        .provider_says(&format!(
            "rate_limit: 1000/s, schedule: \"{}\"",
            ["0 * * * *", "*/20 * * * *", "0 6,18 * * *"][rng.usize(..3)]
        ));
    for index in 0..20 {
        let id = format!("s{index}");
        let now = world.now();
        let ends = now + hours(rng.i64(30..600));
        world.renews(&id, &ends.to_rfc3339(), 365);
        let day = (now + hours(rng.i64(10..500))).to_rfc3339();
        let terms = match rng.u8(..3) {
            0 => "when: now".to_owned(),
            1 => format!("when: \"{day}\""),
            _ => "when: end_of_period, window: {opens: 48h, closes: 1h}".to_owned(),
        };
        world.add(&id, &terms);
    }
    world
}

#[tokio::test]
async fn what_a_plan_foretells_is_what_then_happens() {
    let mut compared = 0;
    for seed in 0..25 {
        let mut world = crowd(seed).await;
        world.later(Duration::from_secs(60));
        let until = world.now() + chrono::Duration::days(40);
        let foretold = world.plan_until(until).await;
        world.accept().await;
        let history = History {
            seed,
            rng: Rng::with_seed(seed),
            world,
            subs: Vec::new(),
        };
        history.calm_until(until).await;
        for item in &foretold.items {
            let id = &item.item.id;
            let effect = history.world.effects(id).first().map(|effect| effect.at);
            let apart = |one: DateTime<Utc>, other: DateTime<Utc>| (one - other).abs();
            let agree = match (item.acts_at, effect) {
                (Some(foretold), Some(at)) => apart(foretold, at) < chrono::Duration::minutes(1),
                (None, None) => true,
                // Foretold too late for its window: by then it is missed, and waits.
                (Some(_), None) => item.obstacle.is_some(),
                (None, Some(_)) => false,
            };
            assert!(
                agree,
                "seed {seed}: {id} was foretold for {:?} and was cancelled {effect:?} ({:?}, {:?})",
                item.acts_at, item.obstacle, item.item.when
            );
            compared += u32::from(effect.is_some());
        }
    }
    assert!(compared > 300, "{compared}");
}

/// The limits that a crowd has are kept, whatever comes due at once.
#[tokio::test]
async fn limits_over_a_rolling_hour_and_day_are_never_exceeded() {
    for seed in 0..10 {
        let mut world = crowd(seed).await;
        world.accept().await;
        let limits = world.in_force().config.limits;
        let until = world.now() + chrono::Duration::days(40);
        let history = History {
            seed,
            rng: Rng::with_seed(seed),
            world,
            subs: Vec::new(),
        };
        history.calm_until(until).await;
        let mut at: Vec<DateTime<Utc>> = (0..20)
            .flat_map(|index| history.world.effects(&format!("s{index}")))
            .map(|effect| effect.at)
            .collect();
        at.sort_unstable();
        for (over, most) in [(hours(1), limits.per_hour), (hours(24), limits.per_day)] {
            for (index, first) in at.iter().enumerate() {
                let inside = at[index..].iter().take_while(|it| **it - *first < over);
                assert!(inside.count() as u64 <= most, "seed {seed}");
            }
        }
    }
}

/// A clock that is set back and forward moves nothing ahead of its window.
#[tokio::test]
async fn a_wall_clock_that_jumps_cancels_nobody_early() {
    for seed in 0..10 {
        let mut rng = Rng::with_seed(seed);
        let mut world = World::new().provider_says("schedule: \"0 * * * *\"");
        let begins = world.now();
        let ends = begins + hours(400);
        world.renews("s0", &ends.to_rfc3339(), 30);
        world.add("s0", "when: end_of_period");
        world.accept().await;
        let mut right = begins;
        while right < ends - hours(30) {
            right += hours(1);
            // Wrong by up to ten minutes either way, which the provider's clock lets pass.
            let wrong = chrono::Duration::seconds(rng.i64(-600..600));
            world.clock.set_wall(right + wrong);
            world.clock.advance(Duration::ZERO);
            world.wake().await;
            world.tick().await;
            assert_eq!(world.cancels(), 0, "seed {seed}");
        }
    }
}
