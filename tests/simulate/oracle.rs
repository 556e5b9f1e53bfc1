//! Knows true time, every file that was accepted and every provider's true state, and holds
//! against it whatever reaches a provider.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::people::{FileText, INVOICING, Line, USAGE, Who, Wish, first_instant};
use crate::time::begins;

/// A subscription.
pub type Sub = (Who, u32);

/// How far a clock may be wrong before it must be noticed (design, section 5), and a second for
/// `Date`, which has whole ones.
const SKEW: chrono::Duration = chrono::Duration::seconds(302);

/// Between a permit and its last byte (`send_before`).
const LONGEST_TO_SEND: Duration = Duration::from_secs(31);

/// What came back of a write, as the process could know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing, or what no document explains.
    Nothing,
    /// Not now: it may have been done all the same, and counts as no attempt.
    Busy,
    /// A success.
    Success,
    /// What a document says was not done.
    Refusal,
}

/// A write that reached its provider.
#[derive(Clone, Debug)]
pub struct Write {
    pub at: Duration,
    /// A cancel of what has ended already: Kajabi's confirming one.
    pub confirms: bool,
    pub effective: bool,
    /// Until then the provider may still carry it out.
    pub may_act_until: Duration,
    pub heard: Heard,
}

/// A reading that the process got whole.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    pub at: Duration,
    /// It showed a living subscription.
    pub alive: bool,
}

/// A request, as the network hands it over.
pub struct Sent<'a> {
    pub sub: Sub,
    pub method: &'a str,
    pub path: &'a str,
    pub body: &'a [u8],
    /// What is true of the subscription just before.
    pub before: &'a World,
    /// When the intent was journaled, by true time, as a disk would have it that lost its power
    /// now; none: it would be gone.
    pub intended_at: Option<DateTime<Utc>>,
}

/// What is true of a subscription.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// There is such a subscription.
    pub exists: bool,
    pub live: bool,
    pub effects: u32,
    /// Access is gone, whatever is billed (Kajabi).
    pub deactivated: bool,
    pub period_end: Option<DateTime<Utc>>,
}

/// A revision that was accepted.
pub struct Accepted {
    pub at: Duration,
    pub file: FileText,
}

/// Everything that is held against what happens.
pub struct Oracle {
    pub faults: Vec<String>,
    pub accepted: Vec<Accepted>,
    pub paused: BTreeMap<Option<Who>, Duration>,
    pub writes: BTreeMap<Sub, Vec<Write>>,
    pub reads: BTreeMap<Sub, Vec<Read>>,
    /// When each write left, ever.
    times: VecDeque<Duration>,
    pub retry_until: BTreeMap<Who, Duration>,
    /// When that was heard.
    pub retry_heard: BTreeMap<Who, Duration>,
    requests: BTreeMap<Who, VecDeque<Duration>>,
    pub in_flight: BTreeMap<Who, u32>,
    /// Nothing may be sent until a person has said so.
    pub quarantine: bool,
    /// Nothing may be sent: only a plan is made.
    pub previews: bool,
    /// When the last plan was made: a process of its own, with a rate limit of its own.
    pub planned_at: Option<Duration>,
    /// Subscriptions of which a ledger that was put back knows less than happened.
    pub forgotten: BTreeSet<Sub>,
    /// Before this the limits were counted in a ledger that is gone.
    pub limits_since: Duration,
    /// Whose window was told as missed: where late is better than never, any time will do.
    pub told: BTreeSet<Sub>,
    /// What was seen, and how often.
    pub seen: BTreeMap<String, u64>,
    /// How many things went wrong.
    pub injected: u64,
    trace: DefaultHasher,
    /// Whether the trace is printed.
    pub talks: bool,
}

impl Oracle {
    pub fn new() -> Self {
        Self {
            faults: Vec::new(),
            accepted: Vec::new(),
            paused: BTreeMap::new(),
            writes: BTreeMap::new(),
            reads: BTreeMap::new(),
            times: VecDeque::new(),
            retry_until: BTreeMap::new(),
            retry_heard: BTreeMap::new(),
            requests: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            quarantine: false,
            previews: false,
            planned_at: None,
            forgotten: BTreeSet::new(),
            limits_since: Duration::ZERO,
            told: BTreeSet::new(),
            seen: BTreeMap::new(),
            injected: 0,
            trace: DefaultHasher::new(),
            talks: false,
        }
    }

    /// Counts what happened, so that a run can tell what it has seen.
    pub fn saw(&mut self, what: &str) {
        *self.seen.entry(what.to_owned()).or_default() += 1;
    }

    /// Counts what went wrong, because the history wanted it.
    pub fn struck(&mut self, what: &str) {
        self.injected += 1;
        self.saw(what);
    }

    /// Adds to the trace: the same seed gives the same.
    pub fn note(&mut self, at: Duration, what: &str) {
        if self.talks {
            eprintln!("{} {what}", (begins() + at).format("%m-%d %H:%M:%S%.3f"));
        }
        at.hash(&mut self.trace);
        what.hash(&mut self.trace);
    }

    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    pub fn fault(&mut self, rule: &str, what: impl std::fmt::Display) {
        if self.talks {
            eprintln!("FAULT {rule}: {what}");
        }
        self.faults.push(format!("{rule}: {what}"));
    }

    /// The file in force, and those before it that were in force at or after an instant.
    fn in_force_since(&self, at: Duration) -> impl Iterator<Item = &FileText> {
        let last = self.accepted.len();
        self.accepted
            .iter()
            .enumerate()
            .filter(move |(place, it)| {
                let until = self.accepted.get(place + 1).map(|next| next.at);
                *place + 1 == last || until.is_some_and(|until| until >= at) || it.at >= at
            })
            .map(|(_, it)| &it.file)
    }

    /// Lines that ask for a subscription to end and were in force at or after an instant.
    fn lines(&self, sub: Sub, since: Duration) -> Vec<&Line> {
        self.in_force_since(since)
            .flat_map(|file| &file.lines)
            .filter(|line| (line.who, line.number) == sub)
            .collect()
    }

    /// The highest `again` that was ever accepted of it: so often it may take effect.
    fn most_effects(&self, sub: Sub) -> u32 {
        self.lines(sub, Duration::ZERO)
            .iter()
            .map(|line| line.again)
            .max()
            .unwrap_or(0)
    }

    /// Any request leaves.
    pub fn leaves(&mut self, who: Who, now: Duration) {
        if let Some(until) = self.retry_until.get(&who)
            && now < *until
        {
            let left = *until - now;
            self.fault(
                "S13",
                format!(
                    "a request to {} while it asked for {left:?} more of peace",
                    who.as_str()
                ),
            );
        }
        let Some(file) = self.accepted.last().map(|it| &it.file) else {
            return;
        };
        let (rate, concurrency) = (file.rate as usize, file.concurrency);
        // A revision that came a moment ago may have allowed more.
        let settled = self
            .accepted
            .last()
            .is_some_and(|it| now > it.at + Duration::from_secs(90));
        let requests = self.requests.entry(who).or_default();
        requests.push_back(now);
        while requests
            .front()
            .is_some_and(|at| now - *at >= Duration::from_secs(60))
        {
            requests.pop_front();
        }
        let planned = self
            .planned_at
            .is_some_and(|at| now.saturating_sub(at) < Duration::from_secs(60));
        let rate = if planned || self.previews {
            2 * rate
        } else {
            rate
        };
        if settled && requests.len() > rate + 2 {
            let count = requests.len();
            self.fault(
                "S13",
                format!(
                    "{count} requests to {} in a minute, {rate} are allowed",
                    who.as_str()
                ),
            );
        }
        let in_flight = self.in_flight.entry(who).or_default();
        *in_flight += 1;
        if settled && *in_flight > concurrency {
            let count = *in_flight;
            self.fault(
                "S13",
                format!("{count} requests at once to {}", who.as_str()),
            );
        }
    }

    /// A write leaves.
    pub fn write_leaves(&mut self, now: Duration, sent: &Sent<'_>) {
        let sub = sent.sub;
        let (who, number) = sub;
        let id = format!("{}/{}", who.as_str(), who.id(number));
        let wall = begins() + now;
        self.note(now, &format!("write {id} {}", sent.path));
        if self.quarantine {
            self.fault(
                "S16",
                format!("{id} is sent although the ledger is in doubt"),
            );
        }
        if self.previews {
            self.fault("S16", format!("{id} is sent by a plan"));
        }
        // S4.
        let Some(intended) = sent.intended_at else {
            self.fault(
                "S4",
                format!("{id} is sent and its intent would not survive a power cut"),
            );
            return;
        };
        let intended = (intended - begins()).to_std().unwrap_or_default();
        if now > intended + LONGEST_TO_SEND {
            self.fault(
                "S5",
                format!("{id} is sent {:?} after its intent", now - intended),
            );
        }
        self.judge_permission(now, intended, &id, sent);
        self.judge_time(wall, &id, sent);
        self.judge_repetition(now, &id, sent);
        self.judge_limits(now, &id);
        // S14.
        let fresh = self
            .reads
            .get(&sub)
            .and_then(|reads| reads.last())
            .is_some_and(|read| now - read.at <= Duration::from_secs(62));
        if !fresh {
            self.fault(
                "S14",
                format!("{id} is sent without a reading of the last minute"),
            );
        }
        self.writes.entry(sub).or_default().push(Write {
            at: now,
            confirms: who == Who::Academy && sent.before.deactivated,
            effective: false,
            may_act_until: now,
            heard: Heard::Nothing,
        });
    }

    fn judge_permission(&mut self, now: Duration, intended: Duration, id: &str, sent: &Sent<'_>) {
        let (who, _) = sent.sub;
        let lines = self.lines(sent.sub, intended);
        if lines.is_empty() {
            self.fault(
                "S1",
                format!("{id} is sent and no file in force asks for it"),
            );
            return;
        }
        if lines.iter().all(|line| line.mistaken) {
            self.fault(
                "S1",
                format!("{id} is sent although only a mistake asks for it"),
            );
            return;
        }
        if !lines.iter().any(|line| exact(line, sent)) {
            let body = String::from_utf8_lossy(sent.body).into_owned();
            self.fault(
                "S2",
                format!(
                    "{id}: {} {} {body} is not what its line asks for",
                    sent.method, sent.path
                ),
            );
        }
        let watched = self.in_force_since(intended);
        if watched.into_iter().all(|file| file.observes.contains(&who)) {
            self.fault("S16", format!("{id} is sent in observe mode"));
        }
        let frozen = |file: &FileText| {
            file.freeze.is_some_and(|(from, until)| {
                let wall = begins() + intended;
                let ends = first_instant(until + chrono::Days::new(1));
                wall >= first_instant(from) + SKEW && wall < ends - SKEW
            })
        };
        if self.in_force_since(intended).all(frozen) {
            self.fault("S11", format!("{id} is sent in a freeze"));
        }
        for whom in [None, Some(who)] {
            let since = self.paused.get(&whom);
            if since.is_some_and(|since| intended > *since) {
                self.fault("S11", format!("{id} is sent although it is paused"));
            }
        }
        let expected: Vec<String> = self
            .lines(sent.sub, intended)
            .iter()
            .filter_map(|line| line.customer.clone())
            .collect();
        // Whoever the customer is stands in the subscription's own number; a wrong one is a
        // mistake of the line's.
        if expected.iter().any(|it| it.starts_with("wrong")) {
            self.fault(
                "S14",
                format!("{id} is sent although it is not the customer's who was expected"),
            );
        }
        let _ = now;
    }

    fn judge_time(&mut self, wall: DateTime<Utc>, id: &str, sent: &Sent<'_>) {
        let since = (wall - begins()).to_std().unwrap_or_default();
        let lines = self.lines(sent.sub, since.saturating_sub(LONGEST_TO_SEND));
        let early = lines
            .iter()
            .all(|line| line.due().is_some_and(|due| wall < due - SKEW));
        let told = self.told.contains(&sent.sub);
        let outside = lines.iter().all(|line| {
            let Wish::Period {
                opens,
                closes,
                late,
                ends,
            } = &line.wish
            else {
                return false;
            };
            let Some(end) = ends
                .or(sent.before.period_end)
                .filter(|_| sent.sub.0 != Who::Metered)
            else {
                return false;
            };
            // What has ended already may be confirmed at any time.
            if sent.before.deactivated || (*late && told) {
                return false;
            }
            let opened = wall >= end - chrono::Duration::hours(*opens) - SKEW;
            let closed = wall > end - chrono::Duration::hours(*closes) + SKEW;
            !opened || (closed && !*late)
        });
        if early || (outside && !lines.is_empty()) {
            let wishes: Vec<String> = lines
                .iter()
                .map(|line| format!("{:?}", line.wish))
                .collect();
            self.fault(
                "S3",
                format!(
                    "{id} is sent at {wall}, its period ends {:?}, and its line says {}",
                    sent.before.period_end,
                    wishes.join(" or ")
                ),
            );
        }
    }

    /// S5, S6 and S7.
    fn judge_repetition(&mut self, now: Duration, id: &str, sent: &Sent<'_>) {
        let sub = sent.sub;
        if self.forgotten.contains(&sub) {
            return;
        }
        let most = self.most_effects(sub);
        let resend_after = self.accepted.last().map(|it| it.file.resend_after);
        let resend_after = resend_after.unwrap_or_default();
        let writes = self.writes.get(&sub).cloned().unwrap_or_default();
        let confirms = sub.0 == Who::Academy && sent.before.deactivated;
        let mut faults = Vec::new();
        if let Some(open) = writes.iter().find(|it| it.may_act_until > now) {
            faults.push((
                "S5",
                format!(
                    "{id} is sent while the one of {:?} ago may still be carried out",
                    now - open.at
                ),
            ));
        }
        let same = writes.iter().filter(|it| it.confirms == confirms);
        let effective = same.clone().filter(|it| it.effective).count() as u32;
        // One that was surely not carried out may be confirmed again.
        let confirmed = same.clone().filter(|it| it.heard != Heard::Refusal).count() as u32;
        let before = if confirms { confirmed } else { effective };
        if before >= most {
            faults.push(("S6", format!("{id} is sent again after it took effect")));
        }
        if let Some(last) = writes
            .last()
            .filter(|it| !it.effective && !it.confirms && !confirms)
        {
            let reads = self.reads.get(&sub).cloned().unwrap_or_default();
            let alive: Vec<Duration> = reads
                .iter()
                .filter(|read| read.alive && read.at > last.at)
                .map(|read| read.at)
                .collect();
            let enough = match last.heard {
                Heard::Refusal => !alive.is_empty(),
                Heard::Nothing | Heard::Busy | Heard::Success => {
                    two_apart(&alive, last.at, resend_after)
                }
            };
            if !enough {
                faults.push(("S7", format!(
                    "{id} is sent again {:?} after one of which {:?} was heard; readings since: {:?}",
                    now - last.at,
                    last.heard,
                    alive.iter().map(|at| *at - last.at).collect::<Vec<_>>()
                )));
            }
        }
        let counted = writes
            .iter()
            .filter(|it| !matches!(it.heard, Heard::Refusal | Heard::Busy) && !it.confirms)
            .count();
        if counted >= 5 * most.max(1) as usize {
            faults.push(("S7", format!("{id} is sent for the {}. time", counted + 1)));
        }
        for (rule, what) in faults {
            self.fault(rule, what);
        }
    }

    /// S12.
    fn judge_limits(&mut self, now: Duration, id: &str) {
        self.times.push_back(now);
        let Some(current) = self.accepted.last() else {
            return;
        };
        let (mut hour, mut day) = (current.file.per_hour, current.file.per_day);
        // What an earlier revision allowed in this time was allowed.
        let day_ago = now.saturating_sub(Duration::from_secs(24 * 3600));
        for file in self.in_force_since(day_ago) {
            hour = hour.max(file.per_hour);
            day = day.max(file.per_day);
        }
        // A clock that is wrong and not yet noticed shortens the hour by twice as much.
        let wrong = Duration::from_secs(2 * 302);
        for (over, most) in [(3600, hour), (24 * 3600, day)] {
            let since = now.saturating_sub(Duration::from_secs(over) - wrong);
            let since = since.max(self.limits_since);
            let count = self.times.iter().filter(|at| **at > since).count() as u64;
            if count > most {
                self.fault(
                    "S12",
                    format!("{id} is the {count}. write in {over} s, {most} are allowed"),
                );
            }
        }
    }

    fn newest(&mut self, sub: Sub) -> Option<&mut Write> {
        self.writes.get_mut(&sub)?.last_mut()
    }

    /// Until then the provider may carry out the newest write.
    pub fn may_act_until(&mut self, sub: Sub, until: Duration) {
        if let Some(newest) = self.newest(sub) {
            newest.may_act_until = until;
        }
    }

    /// The newest write was carried out.
    pub fn took_effect(&mut self, sub: Sub, now: Duration) {
        self.note(now, &format!("effect {sub:?}"));
        if let Some(newest) = self.newest(sub) {
            newest.effective = true;
        }
    }

    /// What was heard of the newest write.
    pub fn heard(&mut self, sub: Sub, heard: Heard) {
        if let Some(newest) = self.newest(sub) {
            newest.heard = heard;
        }
    }

    pub fn read(&mut self, sub: Sub, read: Read) {
        self.reads.entry(sub).or_default().push(read);
    }

    /// The process died: what it heard a moment ago it could not write down any more.
    pub fn dies(&mut self, now: Duration) {
        self.in_flight.clear();
        for (who, heard) in std::mem::take(&mut self.retry_heard) {
            if now < heard + Duration::from_secs(1) {
                self.retry_until.remove(&who);
            }
        }
    }

    pub fn comes_back(&mut self, who: Who) {
        if let Some(count) = self.in_flight.get_mut(&who) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Two readings that found it living, far enough apart, the last of them late enough.
fn two_apart(alive: &[Duration], sent_at: Duration, resend_after: Duration) -> bool {
    let slack = Duration::from_secs(2);
    let (Some(first), Some(last)) = (alive.first(), alive.last()) else {
        return false;
    };
    *last + slack >= sent_at + resend_after && *last + slack >= *first + resend_after / 2
}

/// Whether a request is, to the letter, what the documents have for what the line asks.
fn exact(line: &Line, sent: &Sent<'_>) -> bool {
    let body: Value = serde_json::from_slice(sent.body).unwrap_or(Value::Null);
    let id = line.id();
    match line.who {
        Who::Academy => {
            sent.method == "POST"
                && sent.path == format!("/kajabi/v1/purchases/{id}/cancel_subscription")
                && sent.body.is_empty()
        }
        Who::Donations => {
            let reason = line
                .reason
                .as_ref()
                .map_or(json!({}), |it| json!({"reason": it}));
            sent.method == "PUT" && sent.path.ends_with(&format!("/{id}/cancel")) && body == reason
        }
        Who::Metered => {
            let period = matches!(line.wish, Wish::Period { .. });
            let verb = if period { "update" } else { "cancel" };
            let wanted = if period {
                json!({"turn_off_auto_renew": true})
            } else {
                json!({"flat_fee_behavior": null, "usage_behavior": USAGE, "invoicing_behavior": INVOICING})
            };
            sent.method == "POST"
                && sent.path.ends_with(&format!("/{verb}/"))
                && sent.path.contains(id.trim_start_matches("sub_"))
                && body == wanted
        }
    }
}
