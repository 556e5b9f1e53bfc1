//! One history: ninety days of customers, people, providers and machines, with all that goes
//! wrong in them, drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lapsed::ledger::{Command, Head};
use lapsed::model::hold::HoldReason;
use lapsed::model::standing::{Phase, State};
use lapsed::reconcile::pass::Occasion;
use lapsed_disk::{Image, Trouble};
use serde_json::json;

use crate::network::{Asked, Fate, Kind, wrong_reads, wrong_writes};
use crate::oracle::Sub;
use crate::people::{FileText, Line, Who, Wish, ZONE};
use crate::time::begins;
use crate::world::{Act, End, SUCCESSOR, World, Written, sub_of};

/// How long a history is.
pub const DAYS: i64 = 90;

/// Numbers from here on are of people whom nobody means to cancel.
const INNOCENT: u32 = 500;

/// What may go wrong in one history: each kind in a quarter of them.
#[derive(Clone, Debug)]
struct Dangers {
    crashes: bool,
    power: bool,
    disk: bool,
    clock: bool,
    provider_clock: bool,
    sleeps: bool,
    restores: bool,
    files: bool,
    mistakes: bool,
    pauses: bool,
    freezes: bool,
    observes: bool,
    limits: bool,
    comebacks: bool,
}

pub struct History {
    pub world: World,
    random: fastrand::Rng,
    dangers: Dangers,
    file: FileText,
    /// What stands in the file is not what was meant, since then.
    mistake: Option<FileText>,
    broken: bool,
    /// When each subscription's period ends, and how long it is.
    periods: BTreeMap<Sub, (DateTime<Utc>, i64)>,
    next_number: u32,
    /// The ledger of some day, to be put back on another, and how far its record went.
    copy: Option<(Image, Option<Head>)>,
    paused: BTreeSet<Option<Who>>,
    fates: Fates,
}

/// How often each kind of request meets which trouble.
#[derive(Clone)]
struct Fates {
    random: fastrand::Rng,
    reads: Vec<&'static str>,
    writes: Vec<&'static str>,
    /// One in so many.
    rate: u32,
    connects: bool,
    cuts: bool,
    /// Nothing of this provider works.
    down: Option<(Who, &'static str)>,
}

impl Fates {
    fn decide(&mut self, asked: &Asked) -> Fate {
        if let Some((who, how)) = self.down
            && who == asked.who
        {
            return if how == "not connected" {
                Fate::NotConnected
            } else {
                Fate::Mishap(how)
            };
        }
        if self.random.u32(0..self.rate) != 0 {
            return Fate::Well;
        }
        let write = asked.kind == Kind::Write;
        if write && self.cuts && self.random.u32(0..3) == 0 {
            return if self.random.bool() {
                Fate::PowerCutBefore
            } else {
                Fate::PowerCutAfter
            };
        }
        if self.connects && self.random.u32(0..6) == 0 {
            return Fate::NotConnected;
        }
        let kinds = if write { &self.writes } else { &self.reads };
        if kinds.is_empty() || (!write && asked.kind != Kind::Look && self.random.bool()) {
            return Fate::Well;
        }
        let name = kinds[self.random.usize(..kinds.len())];
        // Only a subscription can be shown as it was, or as another.
        let looks = asked.kind == Kind::Look;
        if !write && !looks && matches!(name, "stale" | "another's body" | "422" | "404") {
            return Fate::Well;
        }
        Fate::Mishap(name)
    }
}

fn hours(count: i64) -> chrono::Duration {
    chrono::Duration::hours(count)
}

impl History {
    /// Of three histories, two have each danger in one of four, and one has it in every other.
    pub fn begin(seed: u64) -> Self {
        let one_in = if seed.is_multiple_of(3) { 2 } else { 4 };
        let mut random = fastrand::Rng::with_seed(seed);
        let world = World::new(seed);
        // Some histories are calm: then everything must simply work.
        let calm = random.u32(0..8) == 0;
        let mut quarter = || !calm && random.u32(0..one_in) == 0;
        let dangers = Dangers {
            crashes: quarter(),
            power: quarter(),
            disk: quarter(),
            clock: quarter(),
            provider_clock: quarter(),
            sleeps: quarter(),
            restores: quarter(),
            files: quarter(),
            mistakes: quarter(),
            pauses: quarter(),
            freezes: quarter(),
            observes: quarter(),
            limits: quarter(),
            comebacks: quarter(),
        };
        let mut some = |of: Vec<&'static str>| -> Vec<&'static str> {
            of.into_iter().filter(|_| quarter()).collect()
        };
        let reads = some(wrong_reads());
        let writes = some(wrong_writes());
        let (connects, cuts) = (quarter(), quarter());
        let fates = Fates {
            reads,
            writes,
            rate: [2, 4, 12][random.usize(..3)],
            connects,
            cuts,
            down: None,
            random: random.fork(),
        };
        let mut file = FileText::new();
        if dangers.limits {
            file.per_hour = random.u64(1..4);
            file.per_day = file.per_hour + random.u64(1..6);
        }
        if random.u32(0..4) == 0 {
            file.rate = 12;
            file.concurrency = 1;
        }
        Self {
            world,
            random,
            dangers,
            file,
            mistake: None,
            broken: false,
            periods: BTreeMap::new(),
            next_number: 1,
            copy: None,
            paused: BTreeSet::new(),
            fates,
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.world.universe.wall()
    }

    /// The whole history, and then calm, in which everything must come to its end.
    pub fn run(&mut self) {
        self.world.stops_now_and_then = self.dangers.sleeps;
        self.set_fates();
        for _ in 0..self.random.u32(3..9) {
            self.add_line();
        }
        self.start();
        self.take();
        let ends = begins() + chrono::Duration::days(DAYS);
        while self.now() < ends && self.world.oracle.lock().unwrap().faults.is_empty() {
            let until = self.now() + chrono::Duration::minutes(self.random.i64(10..100 * 60));
            self.calm_until(until.min(ends));
            self.something_happens();
        }
        self.calm_down();
        let settled = self.now() + chrono::Duration::days(4);
        self.calm_until(settled);
        self.judge_the_end();
    }

    fn set_fates(&mut self) {
        let mut fates = self.fates.clone();
        fates.random = self.random.fork();
        self.world.network.fates(move |asked| fates.decide(asked));
    }

    fn start(&mut self) {
        if self.world.is_running() {
            return;
        }
        for _ in 0..200 {
            if self.world.start() {
                break;
            }
            self.world.universe.advance(Duration::from_secs(10));
        }
        if !self.world.is_running() {
            // A disk that fails lets nothing start, and says so.
            return;
        }
        // What a person does who is told that the ledger is in doubt.
        let doubt = self
            .world
            .asks(|ledger| ledger.identity())
            .is_some_and(|identity| identity.doubt.is_some());
        let quarantine = self.world.oracle.lock().unwrap().quarantine;
        if quarantine && !doubt {
            self.world
                .fault("S16", "a ledger that was put back is taken for the newest");
        }
        if !self.broken {
            self.take();
        }
    }

    /// The daemon reads the file as it stands.
    fn take(&mut self) {
        let written = Written {
            bytes: self.file.text().into_bytes(),
            means: Some(self.file.clone()),
        };
        self.world.does(vec![Act::Take(written)]);
    }

    /// Every pass that finds something to do until then, as the daemon would make it.
    fn calm_until(&mut self, until: DateTime<Utc>) {
        let mut moments = 0;
        while self.world.oracle.lock().unwrap().faults.is_empty() {
            self.start();
            if self.world.owes() && !self.broken {
                self.take();
            }
            self.nature();
            self.world.glance();
            let off = self.world.clock.off();
            let Some((at, who, occasion)) = self.world.next() else {
                break;
            };
            // By the clock of the process.
            let at = at - off;
            let mut at = at.max(self.now() + chrono::Duration::seconds(1));
            let mut occasion = occasion;
            // A tick that is missed collapses with the next; so many are not needed.
            moments += 1;
            if moments > 6 {
                let ticks = self.random.i64(0..moments.min(40));
                at += chrono::Duration::minutes(30 * ticks);
                if ticks > 0 {
                    occasion = Occasion::Tick;
                }
            }
            if at > until {
                break;
            }
            self.go_to(at);
            let mut acts = vec![Act::Pass(who, occasion)];
            for other in Who::ALL.into_iter().filter(|it| *it != who) {
                if self.random.bool() {
                    acts.push(Act::Pass(other, occasion));
                }
            }
            self.world.does(acts);
        }
        self.go_to(until);
    }

    fn go_to(&self, at: DateTime<Utc>) {
        let by = (at - self.now()).to_std().unwrap_or_default();
        self.world.universe.advance(by);
    }

    /// What time does to subscriptions: they are charged and renewed.
    fn nature(&mut self) {
        let now = self.now();
        let due: Vec<(Sub, DateTime<Utc>, i64)> = self
            .periods
            .iter()
            .filter(|(_, (end, _))| *end <= now)
            .map(|(sub, (end, days))| (*sub, *end, *days))
            .collect();
        for (sub, end, days) in due {
            let next = end + chrono::Duration::days(days);
            let truth = self.world.network.account_for(sub);
            match sub.0 {
                Who::Donations if truth.live => {
                    self.live(sub, next);
                    self.periods.insert(sub, (next, days));
                }
                Who::Metered if self.renews(sub) => {
                    // A renewal is a record of its own.
                    let successor = (sub.0, sub.1 + SUCCESSOR);
                    if sub.1 < SUCCESSOR {
                        self.seed_lotus(successor, sub.1, end, next);
                    }
                    self.periods.remove(&sub);
                }
                _ => {
                    self.periods.remove(&sub);
                }
            }
        }
    }

    fn renews(&self, (who, number): Sub) -> bool {
        let api = &self.world.network.sites[&who].api;
        let truth = api.truth(who.provider(), &who.id(number));
        truth.is_some_and(|it| it.detail["auto_renew"] == true && it.cancels_effective == 0)
    }

    fn seed_lotus(&self, sub: Sub, customer: u32, start: DateTime<Utc>, end: DateTime<Utc>) {
        let seed = json!({
            "provider": "lotus", "id": sub.0.id(sub.1), "customer_id": format!("cust-{customer}"),
            "start": start.to_rfc3339(), "end": end.to_rfc3339(),
        });
        self.world.network.seed(sub, &seed);
    }

    /// A living subscription whose period ends then.
    fn live(&mut self, sub: Sub, end: DateTime<Utc>) {
        let (who, number) = sub;
        let id = who.id(number);
        match who {
            Who::Academy => self.world.network.seed(
                sub,
                &json!({"provider": "kajabi", "id": id, "customer_id": format!("cust-{number}")}),
            ),
            Who::Donations => self.world.network.seed(
                sub,
                &json!({"provider": "revere", "id": id, "next_bill": end.to_rfc3339()}),
            ),
            Who::Metered => self.seed_lotus(sub, number, self.now() - hours(48), end),
        }
    }

    fn new_subscription(&mut self, who: Who, number: u32) -> Sub {
        let days = [7, 14, 28, 30][self.random.usize(..4)];
        // Revere tells days only.
        let end = self.now() + hours(self.random.i64(30..24 * 30));
        let end = end.date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc();
        let sub = (who, number);
        self.live(sub, end);
        if who != Who::Academy {
            self.periods.insert(sub, (end, days));
        }
        sub
    }

    fn add_line(&mut self) {
        let who = Who::ALL[self.random.usize(..3)];
        let number = self.next_number;
        self.next_number += 1;
        let (_, number) = self.new_subscription(who, number);
        match self.random.u32(0..12) {
            // The id is mistyped: there is no such subscription.
            2 => {
                let number = self.next_number;
                self.next_number += 1;
                self.file.lines.push(Line::now(who, number));
            }
            // The customer has gone by himself.
            0 => self.ended_by_others((who, number)),
            // It only looks ended: access is gone and billing goes on.
            1 if who == Who::Academy => self.world.network.seed(
                (who, number),
                &json!({"provider": "kajabi", "id": who.id(number), "customer_id": format!("cust-{number}"), "deactivated": "-3d", "billing": true}),
            ),
            _ => {}
        }
        let wish = self.wish(who);
        let customer = match self.random.u32(0..8) {
            0 if who != Who::Donations => Some("wrong".to_owned()),
            1 | 2 if who != Who::Donations => Some(format!("cust-{number}")),
            _ => None,
        };
        self.file.lines.push(Line {
            who,
            number,
            again: 1,
            wish,
            reason: (self.random.u32(0..3) == 0).then(|| "moved away".to_owned()),
            customer,
            mistaken: false,
        });
    }

    fn ended_by_others(&mut self, sub: Sub) {
        let id = sub.0.id(sub.1);
        let seed = match sub.0 {
            Who::Academy => {
                json!({"provider": "kajabi", "id": id, "customer_id": format!("cust-{}", sub.1), "deactivated": "-3d"})
            }
            Who::Donations => json!({"provider": "revere", "id": id, "status": "canceled"}),
            Who::Metered => {
                json!({"provider": "lotus", "id": id, "customer_id": format!("cust-{}", sub.1), "start": "-40d", "end": "-1d", "auto_renew": false})
            }
        };
        self.world.network.seed(sub, &seed);
        self.periods.remove(&sub);
    }

    fn wish(&mut self, who: Who) -> Wish {
        let now = self.now();
        let later = now + hours(self.random.i64(1..24 * 20));
        match self.random.u32(0..5) {
            0 | 1 => Wish::Now,
            2 => Wish::Day(later.with_timezone(&ZONE).date_naive()),
            3 => Wish::Instant(later),
            _ => {
                let closes = self.random.i64(1..8);
                Wish::Period {
                    opens: closes + self.random.i64(3..40),
                    closes,
                    late: self.random.bool(),
                    ends: (who == Who::Academy).then(|| now + hours(self.random.i64(50..24 * 30))),
                }
            }
        }
    }

    fn something_happens(&mut self) {
        match self.random.u32(0..24) {
            0..=3 => {
                for _ in 0..self.random.u32(1..4) {
                    self.add_line();
                }
                self.write();
            }
            4 => self.take_a_line_out(),
            5 => self.change_a_line(),
            6 | 7 if self.dangers.crashes => self.world.dies(End::Killed),
            8 | 9 if self.dangers.power => self.world.dies(End::PowerLost),
            10 if self.dangers.disk => self.disk_trouble(),
            11 if self.dangers.clock => self.clock_jumps(),
            12 if self.dangers.mistakes => self.mistake(),
            13 if self.dangers.files => self.break_file(),
            14 if self.dangers.pauses => self.pause_or_resume(),
            15 if self.dangers.freezes => self.freeze(),
            16 if self.dangers.observes => {
                let who = Who::ALL[self.random.usize(..3)];
                if self.file.observes.contains(&who) {
                    self.file.observes.clear();
                } else {
                    self.file.observes.push(who);
                }
                self.write();
            }
            17 if self.dangers.comebacks => self.comeback(),
            18 if self.dangers.restores => self.restore(),
            19 => self.outage(),
            20 => self.world.does(vec![Act::Plan]),
            21 => {
                self.world.stops();
                let away = Duration::from_secs(self.random.u64(60..3 * 24 * 3600));
                self.world.universe.advance(away);
            }
            22 if self.dangers.limits => {
                self.file.per_hour = self.random.u64(1..4);
                self.file.per_day = self.file.per_hour + self.random.u64(0..6);
                self.write();
            }
            23 if self.dangers.provider_clock && self.world.clock.off().is_zero() => {
                let who = Who::ALL[self.random.usize(..3)];
                let off = chrono::Duration::seconds(self.random.i64(-200..200));
                self.world.network.sites[&who].clock.set_off(off);
            }
            _ => self.approve_what_was_meant(),
        }
    }

    /// A person writes the file, and the daemon reads it while it works.
    fn write(&mut self) {
        if self.broken {
            return;
        }
        self.file.edition += 1;
        let written = Written {
            bytes: self.file.text().into_bytes(),
            means: Some(self.file.clone()),
        };
        let mut acts = vec![Act::Take(written)];
        for who in Who::ALL {
            if self.random.u32(0..3) == 0 {
                acts.push(Act::Pass(who, Occasion::Tick));
            }
        }
        self.world.does(acts);
    }

    fn take_a_line_out(&mut self) {
        if self.mistake.is_some() || self.file.lines.is_empty() {
            return;
        }
        let place = self.random.usize(..self.file.lines.len());
        self.file.lines.remove(place);
        self.write();
    }

    fn change_a_line(&mut self) {
        if self.mistake.is_some() || self.file.lines.is_empty() {
            return;
        }
        let place = self.random.usize(..self.file.lines.len());
        let who = self.file.lines[place].who;
        self.file.lines[place].wish = self.wish(who);
        self.write();
    }

    /// Too much is added, or taken out, at once; the next day it is put right.
    fn mistake(&mut self) {
        if let Some(meant) = self.mistake.take() {
            let edition = self.file.edition;
            self.file = FileText { edition, ..meant };
            self.write();
            return;
        }
        if self.broken {
            return;
        }
        self.mistake = Some(self.file.clone());
        if self.random.bool() {
            let first = INNOCENT + self.next_number;
            self.next_number += 20;
            let who = Who::ALL[self.random.usize(..3)];
            for number in first..first + 20 {
                let sub = self.new_subscription(who, number);
                // Nobody renews the innocent: nothing ever happens to them.
                self.periods.remove(&sub);
                self.file.lines.push(Line {
                    mistaken: true,
                    ..Line::now(who, number)
                });
            }
            self.write();
        } else {
            let open = self.open();
            self.file.lines.clear();
            self.write();
            // More than the guard lets go are held and neither acted on nor withdrawn. What was settled
            // just before is not gone.
            if self.world.is_running() && !self.world.owes() {
                let mut gone = self.world.requests().to_vec();
                gone.retain(|it| open.contains(&it.row) && !it.state().finished());
                let lost = gone.iter().find(|it| it.state() == State::Withdrawn);
                if let Some(lost) = lost.filter(|_| gone.len() > 6) {
                    let what = format!("{} was withdrawn with too many others", lost.key);
                    self.world.fault("S10", what);
                }
            }
        }
    }

    /// Open requests that the file asks for.
    fn open(&self) -> BTreeSet<i64> {
        let wanted = self.world.requests().iter().filter(|it| {
            let held = it.standing.holds.contains(&HoldReason::Removal);
            it.state().open() && it.standing.wanted && !held
        });
        wanted.map(|it| it.row).collect()
    }

    fn break_file(&mut self) {
        if self.broken {
            self.broken = false;
            self.write();
            return;
        }
        self.file.edition += 1;
        let whole = self.file.text();
        let bytes = match self.random.u32(0..6) {
            0 => Vec::new(),
            1 => b"# nothing\n".to_vec(),
            2 => whole
                .replace("cancellations:", "<<<<<<< HEAD\ncancellations:")
                .into_bytes(),
            3 => whole.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            4 => whole
                .replace("version: 1", "version: 1\nversion: 1")
                .into_bytes(),
            // The most treacherous: most of these still parse.
            _ => whole.as_bytes()[..self.random.usize(1..whole.len() - 4)].to_vec(),
        };
        self.broken = true;
        self.world
            .does(vec![Act::Take(Written { bytes, means: None })]);
    }

    fn pause_or_resume(&mut self) {
        let provider = self.random.bool().then(|| Who::ALL[self.random.usize(..3)]);
        let name = provider.map(Who::name);
        let command = if self.paused.remove(&provider) {
            if provider.is_none() {
                self.paused.clear();
            }
            Command::Resume { provider: name }
        } else {
            self.paused.insert(provider);
            Command::Pause { provider: name }
        };
        let mut acts = vec![Act::Command(command)];
        acts.extend(Who::ALL.map(|who| Act::Pass(who, Occasion::Tick)));
        self.world.does(acts);
        if !self.world.is_running() {
            // Whether it was heard is not known; it is said again.
            self.paused.remove(&provider);
            self.world.oracle.lock().unwrap().paused.remove(&provider);
        }
    }

    fn freeze(&mut self) {
        self.file.freeze = match self.file.freeze {
            Some(_) => None,
            None => {
                let from = (self.now() + hours(self.random.i64(-5..30)))
                    .with_timezone(&ZONE)
                    .date_naive();
                Some((from, from + chrono::Days::new(self.random.u64(0..4))))
            }
        };
        self.write();
    }

    fn disk_trouble(&mut self) {
        let trouble = if self.random.bool() {
            Trouble::Full
        } else {
            Trouble::Broken
        };
        self.world
            .oracle
            .lock()
            .unwrap()
            .struck(&format!("disk: {trouble:?}"));
        self.world.disk().trouble(trouble);
        let until = self.now() + hours(self.random.i64(1..12));
        self.bounded_until(until);
        self.world.disk().trouble(Trouble::None);
    }

    /// As `calm_until`, where nothing may succeed.
    fn bounded_until(&mut self, until: DateTime<Utc>) {
        for _ in 0..20 {
            if !self.world.is_running() {
                break;
            }
            let acts = Who::ALL.map(|who| Act::Pass(who, Occasion::Tick));
            self.world.does(acts.into());
            self.world.universe.advance(Duration::from_secs(600));
            if self.now() > until {
                break;
            }
        }
    }

    fn clock_jumps(&mut self) {
        let off = match self.random.u32(0..5) {
            0 => chrono::Duration::zero(),
            1 | 2 => chrono::Duration::seconds(self.random.i64(-290..290)),
            3 => chrono::Duration::minutes(self.random.i64(-6_000..6_000)),
            _ => chrono::Duration::days(self.random.i64(-400..400)),
        };
        for site in self.world.network.sites.values() {
            site.clock.set_off(chrono::Duration::zero());
        }
        self.world.oracle.lock().unwrap().struck("own clock set");
        self.world.clock.set_off(off);
        // It is noticed and set right after a while.
        let until = self.now() + hours(self.random.i64(1..40));
        self.bounded_until(until);
        if self.random.u32(0..3) > 0 {
            self.world.clock.set_off(chrono::Duration::zero());
        }
    }

    /// One who was cancelled subscribes again under the same id.
    fn comeback(&mut self) {
        let gone: Vec<Sub> = self
            .world
            .requests()
            .iter()
            .filter(|it| it.state() == State::Canceled)
            .filter_map(sub_of)
            .filter(|sub| sub.0 != Who::Metered && sub.1 < INNOCENT)
            .collect();
        if gone.is_empty() {
            return;
        }
        let sub = gone[self.random.usize(..gone.len())];
        self.new_subscription(sub.0, sub.1);
        self.world
            .oracle
            .lock()
            .unwrap()
            .saw("a customer comes back");
        if self.random.bool() && self.mistake.is_none() {
            // And is to be cancelled once more.
            let line = self
                .file
                .lines
                .iter()
                .find(|it| (it.who, it.number) == sub)
                .cloned();
            if let Some(line) = line {
                let again = self
                    .file
                    .lines
                    .iter()
                    .filter(|it| (it.who, it.number) == sub)
                    .map(|it| it.again)
                    .max()
                    .unwrap_or(1)
                    + 1;
                self.file.lines.push(Line { again, ..line });
            }
        }
        // The old line, written anew, asks for nothing.
        self.write();
    }

    fn restore(&mut self) {
        let head = self.world.asks(|ledger| ledger.head());
        match self.copy.take() {
            None => {
                self.world.stops();
                self.copy = Some((self.world.copy_of_ledger(), head));
            }
            // Nothing has happened since: the same is not an old one.
            Some((_, copied)) if copied.is_none() || copied == head => {}
            Some((copy, _)) => {
                let lost = self.random.u32(0..3) == 0;
                let copy = if lost { Image::new() } else { copy };
                self.world.restore(&copy);
                self.start();
                // Looked at for a while, and then believed.
                let until = self.now() + hours(5);
                self.bounded_until(until);
                self.paused.clear();
                self.world.oracle.lock().unwrap().paused.clear();
                self.trust();
                self.copy = None;
            }
        }
    }

    /// A person says that the ledger may be acted on, until it is heard.
    fn trust(&mut self) {
        for _ in 0..20 {
            self.start();
            match self.world.asks(|ledger| ledger.identity()) {
                Some(identity) if identity.doubt.is_none() => return,
                _ => self.world.does(vec![Act::Command(Command::Trust)]),
            }
        }
    }

    fn outage(&mut self) {
        if self.fates.reads.is_empty() {
            return;
        }
        let who = Who::ALL[self.random.usize(..3)];
        let how = [
            "not connected",
            "401",
            "503",
            "500 undone",
            "lost in silence",
            "a page with 200",
        ][self.random.usize(..6)];
        self.world
            .oracle
            .lock()
            .unwrap()
            .struck(&format!("down: {how}"));
        self.fates.down = Some((who, how));
        self.set_fates();
        let until = self.now() + hours(self.random.i64(1..60));
        self.calm_until(until);
        self.fates.down = None;
        self.set_fates();
    }

    /// Whoever meant what waits says so.
    fn approve_what_was_meant(&mut self) {
        if self.mistake.is_some() || !self.world.is_running() {
            return;
        }
        let Some(waiting) = self.world.asks(|ledger| ledger.waiting()) else {
            return;
        };
        let innocent = self.world.requests().iter().any(|it| {
            it.standing.holds.contains(&HoldReason::Approval)
                && sub_of(it).is_some_and(|sub| sub.1 >= INNOCENT && sub.1 < SUCCESSOR)
        });
        if innocent {
            return;
        }
        for plan in waiting.into_iter().map(|it| it.digest) {
            self.world.oracle.lock().unwrap().saw("approved");
            self.world.does(vec![Act::Command(Command::Approve {
                plan,
                at_most: None,
            })]);
        }
    }

    /// Nothing goes wrong any more.
    fn calm_down(&mut self) {
        self.world.stops_now_and_then = false;
        self.world.network.fates(|_| Fate::Well);
        self.world.disk().trouble(Trouble::None);
        self.world.clock.set_off(chrono::Duration::zero());
        for site in self.world.network.sites.values() {
            site.clock.set_off(chrono::Duration::zero());
        }
        self.dangers.mistakes = false;
        if let Some(meant) = self.mistake.take() {
            let edition = self.file.edition;
            self.file = FileText { edition, ..meant };
        }
        self.broken = false;
        self.file.freeze = None;
        self.file.observes.clear();
        (self.file.per_hour, self.file.per_day) = (100, 1_000);
        self.file.approval_above = 1_000;
        self.start();
        self.trust();
        // Of all is also of each, and of what stood in a ledger that was put back.
        self.paused.clear();
        let everything = Command::Resume { provider: None };
        self.world.does(vec![Act::Command(everything)]);
        self.write();
        self.approve_what_was_meant();
    }

    /// L1: whoever is due and is not held for a person's reason has come to an end.
    fn judge_the_end(&mut self) {
        if !self.world.is_running() {
            self.world
                .fault("L3", "it does not run although nothing goes wrong any more");
            return;
        }
        self.world.verify();
        let now = self.now();
        if !self.world.oracle.lock().unwrap().faults.is_empty() {
            return;
        }
        for who in Who::ALL {
            let memory = self.world.asks(|ledger| ledger.provider(who.name()));
            let mut oracle = self.world.oracle.lock().unwrap();
            oracle.note(
                self.world.universe.now(),
                &format!("{} is remembered as {memory:?}", who.as_str()),
            );
        }
        for request in self.world.requests() {
            // A reading that tells nothing leaves it to a person, whatever was sent.
            let unclear = request
                .look
                .as_ref()
                .is_some_and(|it| it.observed.summary().contains("status "));
            if unclear {
                continue;
            }
            let key = &request.key;
            let state = request.state();
            let open = matches!(
                request.standing.phase,
                Phase::Sending | Phase::Unknown | Phase::Retrying
            );
            let stuck = open && state != State::Held;
            let overdue = request
                .due_at
                .is_some_and(|due| due < now - chrono::Duration::days(2));
            let waits = state == State::Scheduled && overdue;
            if stuck || waits {
                self.world.fault(
                    "L1",
                    format!(
                        "{key} is {state} although nothing is in its way: due {:?}, wakes {:?}, {:?}",
                        request.due_at,
                        request.wake_at,
                        request.look.as_ref().map(|it| it.observed.summary())
                    ),
                );
            }
            let by_a_person = |reason: &HoldReason| {
                matches!(
                    reason,
                    HoldReason::Approval | HoldReason::Removal | HoldReason::Expectation | HoldReason::Successor
                        // Over and still set to renew: nothing tells what became of it.
                        | HoldReason::StateUnclear
                        | HoldReason::NotFound | HoldReason::PeriodEndUnknown | HoldReason::NoSafeWindow | HoldReason::NotStarted
                )
            };
            if state == State::Held && !request.standing.holds.iter().any(by_a_person) {
                self.world.fault(
                    "L1",
                    format!(
                        "{key} is held although nothing goes wrong any more: {:?}, {:?}",
                        request.hold_details,
                        request.look.as_ref().map(|it| it.observed.summary())
                    ),
                );
            }
        }
    }
}
