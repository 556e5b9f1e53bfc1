//! One provider's situation: what is allowed.
//!
//! The gates are computed from what holds now and never stored. A [`Permit`] is the only key
//! to an intent, and only this module makes one.

use chrono::{DateTime, Utc};

use crate::config::{Approval, Freeze, Limits, Mode, ProviderConfig, Subject};
use crate::model::act::Action;
use crate::model::hold::HoldReason;
use crate::model::ids::ProviderName;
use crate::model::memory::{Assumed, Cap, CapOf, Pauses, ProviderMemory, Used};
use crate::model::observed::Look;
use crate::model::request::Request;
use crate::planted::planted;

/// A provider's clock that differs from ours by more than this many seconds holds its items.
pub const MOST_SKEW: i64 = 300;

/// What holds now, of one provider and of all.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// Now.
    pub now: DateTime<Utc>,
    /// Why the ledger may not be acted on.
    pub ledger_doubt: Option<&'a str>,
    /// What is paused.
    pub pauses: &'a Pauses,
    /// What is remembered of the provider.
    pub memory: &'a ProviderMemory,
    /// How the provider is spoken to.
    pub provider: &'a ProviderConfig,
    /// Caps over all.
    pub limits: &'a Limits,
    /// Times in which nothing is sent.
    pub freezes: &'a [Freeze],
    /// Approvals, of which some have a limit of their own.
    pub approvals: &'a [Approval],
    /// What of the rolling limits is used.
    pub used: &'a Used,
}

/// A gate that is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Why.
    pub reason: HoldReason,
    /// In words.
    pub detail: String,
    /// When it may open by itself.
    pub opens_at: Option<DateTime<Utc>>,
}

/// Whether a provider may be acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It may.
    Open,
    /// One request may be tried, to see whether the provider works again.
    Trial,
    /// It may not.
    Closed(Gate),
}

impl Situation<'_> {
    /// Every gate that is closed for the whole provider, in the order of the guards. What is
    /// due there is held by them.
    pub fn gates(&self) -> Vec<Gate> {
        let gate = |reason, detail: String, opens_at| Gate {
            reason,
            detail,
            opens_at,
        };
        let mut gates = Vec::new();
        if let Some(why) = self.ledger_doubt {
            gates.push(gate(HoldReason::LedgerDoubt, why.to_owned(), None));
        }
        if let Some(other) = &self.memory.other_account {
            let known = self.memory.account.as_deref().unwrap_or("another");
            let detail = format!("the credentials belong to {other}, known is {known}");
            gates.push(gate(HoldReason::AccountChanged, detail, None));
        }
        if let Some(elsewhere) = &self.memory.elsewhere {
            let detail = elsewhere.refusal(&self.provider.name);
            gates.push(gate(HoldReason::AccountChanged, detail, None));
        }
        if let Some(stop) = &self.memory.stop {
            gates.push(gate(stop.reason, stop.why.clone(), Some(stop.trial_at)));
        }
        if let Some(until) = self.memory.pause_until(self.now) {
            let detail = format!("the provider asked for a pause until {}", instant(until));
            gates.push(gate(HoldReason::ProviderStopped, detail, Some(until)));
        }
        if let Some(pause) = self.pauses.of(&self.provider.name) {
            let detail = format!("paused by {}: {}", pause.by, pause.reason);
            gates.push(gate(HoldReason::Paused, detail, None));
        }
        if let Some((freeze, until)) = self.frozen_whole() {
            gates.push(frozen(freeze, until));
        }
        let spent = self.provider_spent();
        if let Some(detail) = spent.or_else(|| self.common_spent().filter(|_| !self.own_limits())) {
            gates.push(gate(HoldReason::Limit, detail, None));
        }
        let observes = self.provider.mode == Mode::Observe;
        if planted!(ObserveActs, false, observes) {
            let detail = "it would be cancelled now".to_owned();
            gates.push(gate(HoldReason::ObserveMode, detail, None));
        }
        gates.sort_by_key(|gate| gate.reason);
        gates
    }

    /// Whether rows of this provider may be looked at and acted on. Observe mode looks.
    pub fn opening(&self) -> Opening {
        let mut trial = false;
        for gate in self.gates() {
            let is_stop = self.memory.stop.as_ref().is_some_and(|stop| {
                stop.reason == gate.reason && stop.why == gate.detail && stop.trial_is_due(self.now)
            });
            match gate.reason {
                HoldReason::ObserveMode => {}
                _ if is_stop => trial = true,
                _ => return Opening::Closed(gate),
            }
        }
        if trial { Opening::Trial } else { Opening::Open }
    }

    /// Whether what was sent may be read back: everything but a provider that cannot be read
    /// allows it.
    pub fn may_read(&self) -> bool {
        let paused = self.memory.pause_until(self.now).is_some();
        let stopped = self.memory.stop.as_ref().is_some_and(|stop| {
            stop.reason == HoldReason::Credentials
                && !stop.of_writes
                && !stop.trial_is_due(self.now)
        });
        !paused
            && !stopped
            && self.memory.other_account.is_none()
            && self.memory.elsewhere.is_none()
    }

    /// The freeze that covers everything of this provider, if any does: the one that ends last.
    fn frozen_whole(&self) -> Option<(&Freeze, DateTime<Utc>)> {
        let (name, kind) = (&self.provider.name, self.provider.kind());
        planted!(FreezeIgnored, &[][..], self.freezes)
            .iter()
            .filter(|freeze| freeze.matcher.by_provider_only())
            .filter(|freeze| freeze.matcher.matches_provider(name, kind))
            .filter_map(|freeze| Some((freeze, freeze.holds_until(self.now)?)))
            .max_by_key(|(_, until)| *until)
    }

    /// The freeze that covers one item, if any does.
    pub fn frozen(&self, request: &Request) -> Option<Gate> {
        let subject = Subject::new(&request.key, request.kind, &request.terms.labels);
        planted!(FreezeIgnored, &[][..], self.freezes)
            .iter()
            .filter(|freeze| freeze.matcher.matches(&subject))
            .filter_map(|freeze| Some((freeze, freeze.holds_until(self.now)?)))
            .max_by_key(|(_, until)| *until)
            .map(|(freeze, until)| frozen(freeze, until))
    }

    /// The limit that holds one item, if one does.
    pub fn limited(&self, request: &Request) -> Option<Gate> {
        let common = || match own_limit(request, self.approvals) {
            Some((plan, most)) => {
                let used = self.used.plans.get(plan).copied().unwrap_or(0);
                spent(used, most, "in these 24 h of what was approved with it")
            }
            None => self.common_spent(),
        };
        let detail = self.provider_spent().or_else(common)?;
        Some(Gate {
            reason: HoldReason::Limit,
            detail,
            opens_at: None,
        })
    }

    /// Whether something here may have a limit of its own, so that the common one does not
    /// close the provider.
    fn own_limits(&self) -> bool {
        self.approvals.iter().any(|it| it.per_day.is_some())
    }

    fn provider_spent(&self) -> Option<String> {
        let own = &self.provider.limits;
        let name = &self.provider.name;
        let of = |used: &std::collections::BTreeMap<ProviderName, u64>| {
            used.get(name).copied().unwrap_or(0)
        };
        own.per_hour
            .and_then(|most| spent(of(&self.used.hour), most, "in this hour at this provider"))
            .or_else(|| {
                spent(
                    of(&self.used.day),
                    own.per_day?,
                    "in these 24 h at this provider",
                )
            })
    }

    fn common_spent(&self) -> Option<String> {
        let Used {
            common_hour,
            common_day,
            ..
        } = self.used;
        spent(*common_hour, self.limits.per_hour, "in this hour")
            .or_else(|| spent(*common_day, self.limits.per_day, "in these 24 h"))
    }
}

fn spent(used: u64, most: u64, what: &str) -> Option<String> {
    (used >= most).then(|| format!("{used} of {most} writes {what}"))
}

fn frozen(freeze: &Freeze, until: DateTime<Utc>) -> Gate {
    Gate {
        reason: HoldReason::Frozen,
        detail: format!("frozen by `{}` until {}", freeze.name, instant(until)),
        opens_at: Some(until),
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The plan that an item was approved with, and its limit, where that has one of its own.
pub fn own_limit<'a>(request: &Request, approvals: &'a [Approval]) -> Option<(&'a str, u64)> {
    let plan = request.standing.approved.as_ref()?;
    let approval = approvals.iter().find(|it| it.plan == *plan)?;
    Some((&approval.plan, approval.per_day?))
}

/// The caps that the intent's transaction counts.
pub fn caps(
    limits: &Limits,
    provider: &ProviderConfig,
    own_limit: Option<(&str, u64)>,
) -> Vec<Cap> {
    const HOUR: std::time::Duration = std::time::Duration::from_secs(60 * 60);
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);
    let own = &provider.limits;
    let cap = |of, over, most| Cap { of, over, most };
    let mut caps = match own_limit {
        Some((plan, most)) => vec![cap(CapOf::Plan(plan.to_owned()), DAY, most)],
        None => vec![
            cap(CapOf::All, HOUR, limits.per_hour),
            cap(CapOf::All, DAY, limits.per_day),
        ],
    };
    let here = || CapOf::Provider(provider.name.clone());
    caps.extend(own.per_hour.map(|most| cap(here(), HOUR, most)));
    caps.extend(own.per_day.map(|most| cap(here(), DAY, most)));
    caps
}

/// The permission to journal one intent, with what it rests on.
#[derive(Debug)]
pub struct Permit {
    row: i64,
    action: Action,
    look: Look,
    assumed: Assumed,
}

impl Permit {
    /// What it permits, for the ledger.
    pub fn into_parts(self) -> (i64, Action, Look, Assumed) {
        let Self {
            row,
            action,
            look,
            assumed,
        } = self;
        (row, action, look, assumed)
    }
}

/// How old a reading may be when a write rests on it (invariant S14).
const OLDEST_LOOK: chrono::Duration = chrono::Duration::seconds(60);

/// Permits one act, or says what holds it.
///
/// # Errors
/// The first gate that is closed, in the order of the guards.
pub fn permit(
    situation: &Situation<'_>,
    request: &Request,
    action: Action,
    look: Look,
    assumed: Assumed,
) -> Result<Permit, Gate> {
    let refuse = |reason, detail: &str| Gate {
        reason,
        detail: detail.to_owned(),
        opens_at: None,
    };
    let mut gates = situation.gates();
    // A stop whose trial is due lets this one through; that only one is tried is the pass's.
    gates.retain(|gate| {
        !situation.memory.stop.as_ref().is_some_and(|stop| {
            stop.reason == gate.reason
                && stop.why == gate.detail
                && stop.trial_is_due(situation.now)
        })
    });
    gates.extend(situation.frozen(request));
    gates.extend(situation.limited(request));
    gates.sort_by_key(|gate| gate.reason);
    if let Some(gate) = gates.into_iter().next() {
        return Err(gate);
    }
    let stored = request.standing.holds.iter().find(|it| !it.from_look());
    if let Some(reason) = stored {
        return Err(refuse(*reason, reason.cure()));
    }
    if request.due_at.is_none_or(|due_at| due_at > situation.now) {
        return Err(refuse(HoldReason::PeriodEndUnknown, "it is not due"));
    }
    let old = situation.now - look.at > OLDEST_LOOK;
    if planted!(OldLookTaken, false, old) {
        return Err(refuse(
            HoldReason::ProviderUnavailable,
            "the reading is too old to act on",
        ));
    }
    Ok(Permit {
        row: request.row,
        action,
        look,
        assumed,
    })
}
