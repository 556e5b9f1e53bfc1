//! What shall go wrong, and for whom: read from JSON, checked, and handed out one at a time.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lotus;
use super::moment::{Shift, Span};
use super::reading::read;
use super::store::lock;
use super::wire::{Call, Operation, Provider};

/// The most faults that wait at one time.
const MOST_FAULTS: usize = 100_000;

/// The most headers that are added: HTTP libraries hold twice as many.
const MOST_HEADERS: u16 = 10_000;

/// The longest that an answer is held back: no client waits longer.
const LONGEST_DELAY: Duration = Duration::from_secs(3_600);

/// A fault, checked.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub number: u64,
    aim: Aim,
    /// How often it still happens; none is for ever.
    times: Option<u32>,
    /// How many more requests it lets pass first.
    after: u32,
    fired: u32,
    pub kind: Kind,
    pub trim: Trim,
    /// As it was written, to be shown.
    written: Value,
}

/// Whom it is for; what is not said is any.
#[derive(Clone, Debug)]
struct Aim {
    provider: Option<Provider>,
    operation: Option<Operation>,
    id: Option<String>,
}

/// What happens in place of the plain answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// The plain answer, only trimmed.
    Plain,
    /// A failing status, in the provider's own shape or with this body.
    Status {
        status: StatusCode,
        effect: bool,
        body: Option<String>,
    },
    /// The connection is closed without an answer.
    Drop { effect: bool },
    /// As `Drop`, and the effect comes this much later.
    Late(Duration),
    /// 200 with a web page.
    Html { effect: bool },
    /// The answer ends in the middle, as a whole body or with the connection.
    Cut { cut: Cut, effect: bool },
    /// 307 to an address.
    Redirect { to: String, effect: bool },
    /// 200, and nothing was done.
    Idle(Idle),
    /// The answer is about another subscription.
    OtherBody,
    /// A read shows what was true before any cancel.
    Stale,
    /// The answer comes for ever, one byte at a time.
    Drip { every: Duration, effect: bool },
    /// The answer is this many bytes long.
    Huge { bytes: u64, effect: bool },
    /// As `Huge`, compressed to a hundred-and-fiftieth.
    Bomb { bytes: u64, effect: bool },
}

/// What may be added to any kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Trim {
    /// How long the answer is held back; the effect is not.
    pub delay: Duration,
    pub retry_after: Option<HeaderValue>,
    /// How wrong the `Date` header is.
    pub date_skew: TimeDelta,
    /// How many headers of a hundred bytes are added.
    pub headers: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cut {
    /// A whole HTTP answer whose JSON is not.
    Json,
    /// The connection breaks before the promised length is reached.
    Connection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Idle {
    /// The body says it was done.
    Claims,
    /// The body shows the subscription as it is.
    Shows,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Before,
    After,
}

/// `true`, or a word that says which.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Flag<T> {
    Plain(bool),
    Word(T),
}

impl<T> Flag<T> {
    fn or(self, usual: T) -> Option<T> {
        match self {
            Self::Plain(true) => Some(usual),
            Self::Plain(false) => None,
            Self::Word(word) => Some(word),
        }
    }
}

/// A fault as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    provider: Option<Provider>,
    operation: Option<Operation>,
    id: Option<String>,
    #[serde(default = "once")]
    times: Option<u32>,
    #[serde(default)]
    after: u32,
    status: Option<u16>,
    body: Option<String>,
    drop: Option<Side>,
    late: Option<Span>,
    #[serde(default)]
    html: bool,
    cut: Option<Flag<Cut>>,
    redirect: Option<String>,
    ok_without_effect: Option<Flag<Idle>>,
    #[serde(default)]
    other_body: bool,
    drip: Option<Span>,
    huge: Option<u64>,
    bomb: Option<u64>,
    #[serde(default)]
    stale: bool,
    effect: Option<bool>,
    delay: Option<Span>,
    retry_after: Option<String>,
    date_skew: Option<Shift>,
    #[serde(default)]
    headers: u16,
}

/// The usual `times`; null is for ever.
fn once() -> Option<u32> {
    Some(1)
}

impl Fault {
    /// Reads one fault, or an array of them. The error lists every problem.
    pub fn parse(json: &Value) -> Result<Vec<Self>, Vec<String>> {
        let written = match json {
            Value::Array(faults) => faults.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut faults = Vec::new();
        let mut problems = Vec::new();
        for (place, fault) in written.iter().enumerate() {
            match Self::parse_one(fault) {
                Ok(fault) => faults.push(fault),
                Err(problem) => problems.push(format!("fault {}: {problem}", place + 1)),
            }
        }
        if problems.is_empty() {
            Ok(faults)
        } else {
            Err(problems)
        }
    }

    fn parse_one(json: &Value) -> Result<Self, String> {
        let written: Written = read(json)?;
        if written.times == Some(0) {
            return Err("`times` is 0; write 1 or more, or null for ever".to_owned());
        }
        let aim = Aim {
            provider: written.provider,
            operation: written.operation,
            // The shelf's own spelling, should it be an id of Lotus.
            id: written
                .id
                .as_deref()
                .map(|id| lotus::normal(id).unwrap_or_else(|| id.to_owned())),
        };
        Ok(Self {
            number: 0,
            aim,
            times: written.times,
            after: written.after,
            fired: 0,
            trim: Trim::of(&written)?,
            kind: Kind::of(&written)?,
            written: json.clone(),
        })
    }

    fn hits(&self, provider: Provider, call: &Call) -> bool {
        let Aim {
            provider: wanted,
            operation,
            id,
        } = &self.aim;
        wanted.is_none_or(|wanted| wanted == provider)
            && operation.is_none_or(|operation| operation == call.operation)
            && (id.is_none() || same_id(id.as_deref(), provider, call))
    }
}

/// Whether an id that was brought into Lotus' spelling means this call's subscription.
fn same_id(wanted: Option<&str>, provider: Provider, call: &Call) -> bool {
    match (provider, call.id.as_deref()) {
        (_, None) => false,
        (Provider::Lotus, given) => wanted == given,
        // A UUID of Revere lost its dashes when it was taken for one of Lotus.
        (_, Some(given)) => wanted == Some(given) || (wanted == lotus::normal(given).as_deref()),
    }
}

impl Kind {
    fn of(written: &Written) -> Result<Self, String> {
        let effect = |usual| written.effect.unwrap_or(usual);
        let mut kinds = Vec::new();
        if let Some(number) = written.status {
            let status = StatusCode::from_u16(number)
                .ok()
                .filter(|status| status.as_u16() >= 200)
                .ok_or_else(|| format!("`status` is {number}; write 200 to 999"))?;
            kinds.push(Self::Status {
                status,
                effect: effect(false),
                body: written.body.clone(),
            });
        } else if written.body.is_some() {
            return Err("`body` goes with `status` only".to_owned());
        }
        if let Some(side) = written.drop {
            let effect = matches!(side, Side::After);
            kinds.push(Self::Drop { effect });
        }
        if let Some(Span(later)) = written.late {
            kinds.push(Self::Late(later));
        }
        if written.html {
            kinds.push(Self::Html {
                effect: effect(false),
            });
        }
        if let Some(cut) = written.cut.and_then(|cut| cut.or(Cut::Json)) {
            kinds.push(Self::Cut {
                cut,
                effect: effect(true),
            });
        }
        if let Some(to) = &written.redirect {
            HeaderValue::try_from(to).map_err(|_| "`redirect` does not fit into a header")?;
            kinds.push(Self::Redirect {
                to: to.clone(),
                effect: effect(false),
            });
        }
        if let Some(idle) = written.ok_without_effect.and_then(|it| it.or(Idle::Claims)) {
            kinds.push(Self::Idle(idle));
        }
        if written.other_body {
            kinds.push(Self::OtherBody);
        }
        if let Some(Span(every)) = written.drip {
            kinds.push(Self::Drip {
                every: every.max(Duration::from_millis(1)),
                effect: effect(true),
            });
        }
        if let Some(bytes) = written.huge {
            kinds.push(Self::Huge {
                bytes,
                effect: effect(true),
            });
        }
        if let Some(bytes) = written.bomb {
            kinds.push(Self::Bomb {
                bytes,
                effect: effect(true),
            });
        }
        if written.stale {
            kinds.push(Self::Stale);
        }
        Self::only(kinds, written)
    }

    fn only(mut kinds: Vec<Self>, written: &Written) -> Result<Self, String> {
        let Some(kind) = kinds.pop() else {
            let trimmed = written.delay.is_some()
                || written.retry_after.is_some()
                || written.date_skew.is_some()
                || written.headers > 0;
            return match (trimmed, written.effect) {
                (true, None) => Ok(Self::Plain),
                (true, Some(_)) => Err("`effect` needs something that can go without".to_owned()),
                (false, _) => Err(format!(
                    "says nothing that goes wrong; write one of {KINDS}"
                )),
            };
        };
        if !kinds.is_empty() {
            return Err(format!("says more than one of {KINDS}"));
        }
        let settled = matches!(
            kind,
            Self::Drop { .. } | Self::Late(_) | Self::Idle(_) | Self::OtherBody | Self::Stale
        );
        if settled && written.effect.is_some() {
            return Err("`effect` is settled already by what goes wrong".to_owned());
        }
        Ok(kind)
    }
}

const KINDS: &str = "`status`, `drop`, `late`, `html`, `cut`, `redirect`, `ok_without_effect`, \
                     `other_body`, `stale`, `drip`, `huge`, `bomb`, or a mere `delay`, \
                     `retry_after`, `date_skew`, `headers`";

impl Trim {
    fn of(written: &Written) -> Result<Self, String> {
        let delay = written.delay.map_or(Duration::ZERO, |Span(delay)| delay);
        if delay > LONGEST_DELAY {
            return Err("`delay` is longer than an hour".to_owned());
        }
        let retry_after = written
            .retry_after
            .as_deref()
            .map(|text| HeaderValue::from_bytes(text.as_bytes()))
            .transpose()
            .map_err(|_| "`retry_after` does not fit into a header")?;
        if written.headers > MOST_HEADERS {
            return Err(format!("`headers` is more than {MOST_HEADERS}"));
        }
        Ok(Self {
            delay,
            headers: written.headers,
            retry_after,
            date_skew: written
                .date_skew
                .map_or(TimeDelta::zero(), |Shift(skew)| skew),
        })
    }
}

/// The faults that wait, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Faults {
    waiting: Mutex<VecDeque<Fault>>,
    /// How many wait, so that a request without any takes no lock.
    count: AtomicUsize,
    last: AtomicUsize,
}

/// A waiting fault, for the control API.
#[derive(Serialize)]
pub(super) struct Shown {
    number: u64,
    fault: Value,
    fired: u32,
    /// How often it still happens; null is for ever.
    left: Option<u32>,
}

impl Faults {
    /// Adds faults behind the others; gives their numbers.
    pub fn add(&self, faults: Vec<Fault>) -> Result<Vec<u64>, String> {
        let mut waiting = lock(&self.waiting);
        if waiting.len() + faults.len() > MOST_FAULTS {
            return Err(format!("more than {MOST_FAULTS} faults would wait"));
        }
        let mut numbers = Vec::with_capacity(faults.len());
        for mut fault in faults {
            fault.number = self.last.fetch_add(1, Ordering::Relaxed) as u64 + 1;
            numbers.push(fault.number);
            waiting.push_back(fault);
        }
        self.count.store(waiting.len(), Ordering::Release);
        Ok(numbers)
    }

    /// The first fault that hits this call, if one does; it is used up by that.
    pub fn take(&self, provider: Provider, call: &Call) -> Option<Fault> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut waiting = lock(&self.waiting);
        let mut chosen = None;
        for (place, fault) in waiting.iter_mut().enumerate() {
            if !fault.hits(provider, call) {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            fault.fired += 1;
            fault.times = fault.times.map(|times| times - 1);
            chosen = Some((place, fault.clone()));
            break;
        }
        let (place, fault) = chosen?;
        if fault.times == Some(0) {
            waiting.remove(place);
            self.count.store(waiting.len(), Ordering::Release);
        }
        Some(fault)
    }

    /// What waits.
    pub fn shown(&self) -> Vec<Shown> {
        let waiting = lock(&self.waiting);
        let show = |fault: &Fault| Shown {
            number: fault.number,
            fault: fault.written.clone(),
            fired: fault.fired,
            left: fault.times,
        };
        waiting.iter().map(show).collect()
    }

    /// Takes back one fault; says whether it was still waiting.
    pub fn remove(&self, number: u64) -> bool {
        let mut waiting = lock(&self.waiting);
        let before = waiting.len();
        waiting.retain(|fault| fault.number != number);
        self.count.store(waiting.len(), Ordering::Release);
        waiting.len() < before
    }

    /// Takes back all.
    pub fn clear(&self) {
        lock(&self.waiting).clear();
        self.count.store(0, Ordering::Release);
    }
}
