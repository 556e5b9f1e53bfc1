//! The days ahead: which item acts at which tick, by the same rules as a pass.
//!
//! Ticks, freezes, the order of deadlines, the rolling limits and the rate limit are played
//! through; nothing is known of outages, and what nobody has read yet has no place here. From
//! it come the calendar of a plan, and whether each deadline can be met and what is in the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::config::{Config, Freeze, ProviderConfig};
use crate::model::ids::ProviderName;
use crate::model::memory::Used;

use super::window::Hours;

const HOUR: chrono::Duration = chrono::Duration::hours(1);
const DAY: chrono::Duration = chrono::Duration::hours(24);

/// How long after the last is due the rest may take.
const AFTERWARDS: chrono::Duration = chrono::Duration::days(400);

/// Passes that are played through at most: years of a schedule that is held by its limits.
const MOST_PASSES: usize = 200_000;

/// One item that waits for nothing but its time.
#[derive(Clone, Debug)]
pub struct Work<'a> {
    /// Where.
    pub provider: ProviderName,
    /// Its place among those of the same deadline.
    pub order: i64,
    /// When it may act.
    pub due_at: DateTime<Utc>,
    /// Until when in time.
    pub deadline_at: Option<DateTime<Utc>>,
    /// The freezes that speak of it.
    pub freezes: Vec<&'a Freeze>,
    /// The plan that it was approved with, and its limit, where that has one of its own.
    pub own_limit: Option<(&'a str, u64)>,
}

/// What is in the way of a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The schedule has no tick in time.
    Schedule,
    /// A freeze covers every tick in time.
    Freeze(String),
    /// A rolling limit lets others go first.
    Limit,
    /// The provider's rate limit does.
    Rate,
}

impl Obstacle {
    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::Schedule => "the schedule has no tick in time".to_owned(),
            Self::Freeze(name) => format!("`{name}` freezes every tick in time"),
            Self::Limit => "the limits of writes let others go first".to_owned(),
            Self::Rate => "the rate limit lets others go first".to_owned(),
        }
    }
}

/// What becomes of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foretold {
    /// When it acts; none within the time that was looked at.
    pub at: Option<DateTime<Utc>>,
    /// What is in the way of its deadline, if it is not met.
    pub obstacle: Option<Obstacle>,
}

/// Plays the time from `now` until `until` through. Gives one answer for each item, in their
/// order.
pub fn forecast(
    config: &Config,
    work: &[Work<'_>],
    used: &Used,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Vec<Foretold> {
    let mut play = Play::new(config, work, used, now);
    for _ in 0..MOST_PASSES {
        let Some((at, name, queue)) = play.next_pass(until) else {
            break;
        };
        play.pass(at, name, queue);
    }
    let Play { acts, stops, .. } = play;
    work.iter()
        .zip(acts)
        .map(|(one, at)| Foretold {
            at,
            obstacle: obstacle(config, one, at, stops.get(&one.provider), now),
        })
        .collect()
}

/// How far the days ahead are played through so that everything has its turn, as far as the
/// limits let it within a year after it is due.
pub fn horizon(work: &[Work<'_>], now: DateTime<Utc>) -> DateTime<Utc> {
    let last = work
        .iter()
        .flat_map(|one| [Some(one.due_at), one.deadline_at])
        .flatten()
        .max();
    last.unwrap_or(now).max(now) + AFTERWARDS
}

/// How long before its deadline an item acts; negative: too late. None: it has no deadline.
pub fn slack(work: &Work<'_>, foretold: &Foretold, until: DateTime<Utc>) -> Option<f64> {
    let deadline = work.deadline_at?;
    let at = foretold.at.unwrap_or(until.max(deadline));
    Some((deadline - at).as_seconds_f64())
}

fn obstacle(
    config: &Config,
    work: &Work<'_>,
    at: Option<DateTime<Utc>>,
    stops: Option<&Vec<DateTime<Utc>>>,
    now: DateTime<Utc>,
) -> Option<Obstacle> {
    let deadline = work.deadline_at?;
    if at.is_some_and(|at| at <= deadline) {
        return None;
    }
    let schedule = &config.providers.get(&work.provider)?.schedule;
    let from = work.due_at.max(now);
    let free = Hours {
        schedule,
        freezes: Vec::new(),
        at_a_tick: false,
    };
    let Some(tick) = free.first_tick(from, deadline) else {
        return Some(Obstacle::Schedule);
    };
    let hours = Hours {
        schedule,
        freezes: work.freezes.clone(),
        at_a_tick: false,
    };
    let Some(first) = hours.first_tick(from, deadline) else {
        let frozen = work
            .freezes
            .iter()
            .find(|it| it.holds_until(tick).is_some());
        return Some(frozen.map_or(Obstacle::Schedule, |freeze| {
            Obstacle::Freeze(freeze.name.clone())
        }));
    };
    let limited = stops.is_some_and(|stops| stops.iter().any(|at| *at >= first && *at <= deadline));
    Some(if limited {
        Obstacle::Limit
    } else {
        Obstacle::Rate
    })
}

/// Writes in a rolling time.
#[derive(Default)]
struct Rolling {
    writes: VecDeque<DateTime<Utc>>,
    /// Writes before the play began. When they leave is not known: as late as they can.
    before: u64,
}

impl Rolling {
    fn used(&self, at: DateTime<Utc>, over: chrono::Duration, began: DateTime<Utc>) -> u64 {
        let inside = self.writes.iter().rev().take_while(|it| **it > at - over);
        let before = if began > at - over { self.before } else { 0 };
        inside.count() as u64 + before
    }

    /// When the oldest write that is in the way leaves.
    fn frees_at(
        &self,
        at: DateTime<Utc>,
        over: chrono::Duration,
        began: DateTime<Utc>,
    ) -> DateTime<Utc> {
        if self.before > 0 && began > at - over {
            return began + over;
        }
        let oldest = self.writes.iter().find(|it| **it > at - over);
        oldest.map_or(at + over, |oldest| *oldest + over)
    }
}

/// Whose writes are counted together, and in which time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cap {
    CommonHour,
    CommonDay,
    Hour(ProviderName),
    Day(ProviderName),
    Plan(String),
}

impl Cap {
    fn over(&self) -> chrono::Duration {
        match self {
            Self::CommonHour | Self::Hour(_) => HOUR,
            Self::CommonDay | Self::Day(_) | Self::Plan(_) => DAY,
        }
    }
}

/// The order in which a pass takes what is due: earliest deadline first, then earliest due.
type Turn = (DateTime<Utc>, DateTime<Utc>, i64, usize);

/// What waits at one provider.
struct Queue<'p> {
    provider: &'p ProviderConfig,
    /// By the moment from which a tick may take it.
    coming: BTreeSet<(DateTime<Utc>, usize)>,
    /// What was due at an earlier tick and had to let others go first.
    ready: BTreeSet<Turn>,
    /// The next pass begins no sooner.
    not_before: DateTime<Utc>,
}

impl<'p> Queue<'p> {
    fn new(provider: &'p ProviderConfig, not_before: DateTime<Utc>) -> Self {
        Self {
            provider,
            coming: BTreeSet::new(),
            ready: BTreeSet::new(),
            not_before,
        }
    }

    /// From when on a tick finds something to do.
    fn from(&self) -> Option<DateTime<Utc>> {
        if !self.ready.is_empty() {
            return Some(self.not_before);
        }
        let (ready_at, _) = self.coming.first()?;
        Some(self.not_before.max(*ready_at))
    }
}

struct Play<'p> {
    config: &'p Config,
    work: &'p [Work<'p>],
    began: DateTime<Utc>,
    queues: BTreeMap<ProviderName, Queue<'p>>,
    rolling: BTreeMap<Cap, Rolling>,
    acts: Vec<Option<DateTime<Utc>>>,
    /// When a limit stopped a provider's pass.
    stops: BTreeMap<ProviderName, Vec<DateTime<Utc>>>,
    /// Whether something has a limit of its own.
    own_limits: bool,
}

impl<'p> Play<'p> {
    fn new(config: &'p Config, work: &'p [Work<'p>], used: &Used, now: DateTime<Utc>) -> Self {
        let mut queues: BTreeMap<ProviderName, Queue<'p>> = BTreeMap::new();
        for (index, one) in work.iter().enumerate() {
            // What is of a provider that the file does not have never acts.
            if let Some(provider) = config.providers.get(&one.provider) {
                queues
                    .entry(one.provider.clone())
                    .or_insert_with(|| Queue::new(provider, now))
                    .coming
                    .insert((one.due_at.max(now), index));
            }
        }
        let mut rolling: BTreeMap<Cap, Rolling> = BTreeMap::new();
        let mut begin = |cap: Cap, before: u64| rolling.entry(cap).or_default().before = before;
        begin(Cap::CommonHour, used.common_hour);
        begin(Cap::CommonDay, used.common_day);
        for (name, count) in &used.hour {
            begin(Cap::Hour(name.clone()), *count);
        }
        for (name, count) in &used.day {
            begin(Cap::Day(name.clone()), *count);
        }
        for (plan, count) in &used.plans {
            begin(Cap::Plan(plan.clone()), *count);
        }
        Self {
            config,
            work,
            began: now,
            queues,
            rolling,
            acts: vec![None; work.len()],
            stops: BTreeMap::new(),
            own_limits: work.iter().any(|one| one.own_limit.is_some()),
        }
    }

    /// Takes out what waits at the earliest tick at which something may act.
    fn next_pass(
        &mut self,
        until: DateTime<Utc>,
    ) -> Option<(DateTime<Utc>, ProviderName, Queue<'p>)> {
        let (tick, name) = self
            .queues
            .iter()
            .filter_map(|(name, queue)| {
                let just_before = queue.from()? - chrono::Duration::nanoseconds(1);
                let tick = queue.provider.schedule.next_after(just_before)?;
                (tick <= until).then(|| (tick, name.clone()))
            })
            .min()?;
        let queue = self.queues.remove(&name)?;
        Some((tick, name, queue))
    }

    fn pass(&mut self, tick: DateTime<Utc>, name: ProviderName, mut queue: Queue<'p>) {
        let provider = queue.provider;
        self.become_ready(&mut queue, tick);
        let cost = cost_of_one(provider);
        let mut at = tick;
        let mut waits: Vec<Turn> = Vec::new();
        let mut frees_at: Option<DateTime<Utc>> = None;
        while let Some(turn) = queue.ready.pop_first() {
            let (.., index) = turn;
            let one = &self.work[index];
            let frozen = one.freezes.iter().filter_map(|it| it.holds_until(at)).max();
            if let Some(thawed) = frozen {
                queue.coming.insert((thawed, index));
                continue;
            }
            if let Some(until) = self.spent(one, provider, at) {
                self.stops.entry(name.clone()).or_default().push(at);
                frees_at = Some(frees_at.map_or(until, |so_far| so_far.min(until)));
                waits.push(turn);
                // Only what has a limit of its own may still have its turn.
                if !self.own_limits {
                    break;
                }
                continue;
            }
            self.acts[index] = Some(at);
            self.count(one, at);
            at += cost;
        }
        queue.ready.extend(waits);
        let after = tick + chrono::Duration::nanoseconds(1);
        queue.not_before = at.max(after).max(frees_at.unwrap_or(after));
        self.queues.insert(name, queue);
    }

    fn become_ready(&self, queue: &mut Queue<'_>, tick: DateTime<Utc>) {
        while let Some(first) = queue.coming.first().copied() {
            if first.0 > tick {
                break;
            }
            queue.coming.remove(&first);
            let one = &self.work[first.1];
            let deadline = one.deadline_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
            queue
                .ready
                .insert((deadline, one.due_at, one.order, first.1));
        }
    }

    fn caps(&self, one: &Work<'_>, provider: &ProviderConfig) -> Vec<(Cap, u64)> {
        let limits = &self.config.limits;
        let mut caps = match one.own_limit {
            Some((plan, most)) => vec![(Cap::Plan(plan.to_owned()), most)],
            None => vec![
                (Cap::CommonHour, limits.per_hour),
                (Cap::CommonDay, limits.per_day),
            ],
        };
        let name = &provider.name;
        caps.extend(
            provider
                .limits
                .per_hour
                .map(|most| (Cap::Hour(name.clone()), most)),
        );
        caps.extend(
            provider
                .limits
                .per_day
                .map(|most| (Cap::Day(name.clone()), most)),
        );
        caps
    }

    /// When a limit that holds the item frees it; none: none holds it.
    fn spent(
        &self,
        one: &Work<'_>,
        provider: &ProviderConfig,
        at: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let empty = Rolling::default();
        self.caps(one, provider)
            .into_iter()
            .filter_map(|(cap, most)| {
                let over = cap.over();
                let rolling = self.rolling.get(&cap).unwrap_or(&empty);
                (rolling.used(at, over, self.began) >= most)
                    .then(|| rolling.frees_at(at, over, self.began))
            })
            .max()
    }

    fn count(&mut self, one: &Work<'_>, at: DateTime<Utc>) {
        let name = &one.provider;
        let mut caps = vec![Cap::Hour(name.clone()), Cap::Day(name.clone())];
        match one.own_limit {
            Some((plan, _)) => caps.push(Cap::Plan(plan.to_owned())),
            None => caps.extend([Cap::CommonHour, Cap::CommonDay]),
        }
        for cap in caps {
            let over = cap.over();
            let writes = &mut self.rolling.entry(cap).or_default().writes;
            while writes.front().is_some_and(|oldest| *oldest <= at - over) {
                writes.pop_front();
            }
            writes.push_back(at);
        }
    }
}

/// How long the rate limit keeps a provider busy with one item.
pub fn cost_of_one(provider: &ProviderConfig) -> chrono::Duration {
    let requests = provider.kind().capabilities().requests_per_item();
    let one: Duration = provider.rate_limit.per / provider.rate_limit.requests.max(1);
    chrono::Duration::from_std(one * requests).unwrap_or(HOUR)
}
