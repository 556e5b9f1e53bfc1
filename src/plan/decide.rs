//! One request and what was observed: what to do.
//!
//! [`decide`] speaks of a request of which nothing is in flight; [`resolve`] of one that was
//! sent and whose outcome is not known. Neither ever answers "send" for the second kind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::config::PaymentPlans;
use crate::model::act::{Action, Answer};
use crate::model::hold::HoldReason;
use crate::model::observed::{Billing, Life, Observed, Subscription, Successor};
use crate::model::provider::{ExpectField, ProviderKind};
use crate::model::request::{Doubt, Request, Witness};
use crate::model::standing::Settlement;

use super::backoff;

/// Attempts in all before a request is left to a person (design, section 6, step 5).
pub const MOST_ATTEMPTS: u32 = 5;

/// What a provider's configuration says of deciding.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// What every item must expect.
    pub require_expect: &'a BTreeSet<ExpectField>,
    /// What becomes of instalment plans.
    pub payment_plans: PaymentPlans,
}

/// What to do with a request of which nothing is in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send, if the guard permits it.
    Act(Action),
    /// Nothing is left to do.
    Settle {
        /// How it ended.
        as_: Settlement,
        /// In words.
        note: String,
    },
    /// It may not act, for these reasons.
    Hold(BTreeMap<HoldReason, String>),
}

/// Decides on what is due, from a reading made just now.
pub fn decide(request: &Request, observed: &Observed, rules: Rules<'_>) -> Decision {
    let found = match observed {
        Observed::NotFound => {
            return hold(
                HoldReason::NotFound,
                "the provider knows no such subscription",
            );
        }
        Observed::NotOurs { why } => return hold(HoldReason::Expectation, why),
        Observed::Found(found) => found,
    };
    let holds = unmet(request, found, rules.require_expect);
    if !holds.is_empty() {
        return Decision::Hold(holds);
    }
    match &found.life {
        Life::Ended { .. } => match &found.successor {
            Some(successor) => hold(HoldReason::Successor, &goes_on(request, successor)),
            None => decide_ended(request, found.billing, rules.payment_plans),
        },
        Life::NotStarted { starts_at } => hold(
            HoldReason::NotStarted,
            &format!("it starts on {}", starts_at.format("%Y-%m-%d")),
        ),
        Life::Unclear { status } => hold(
            HoldReason::StateUnclear,
            &format!("the provider calls its state {status:?}"),
        ),
        Life::Active | Life::Lapsing | Life::Ending { .. } => {
            decide_living(request, found.billing, rules.payment_plans)
        }
    }
}

/// Kajabi's *deactivate* leaves the billing on, so that a purchase found deactivated is sent
/// one confirming cancel, once ever. Elsewhere ended is ended.
fn decide_ended(request: &Request, billing: Billing, payment_plans: PaymentPlans) -> Decision {
    let standing = &request.standing;
    if standing.sent_while_alive {
        return Decision::Settle {
            as_: Settlement::Canceled,
            note: "read back as ended after a cancel of ours".to_owned(),
        };
    }
    if request.kind == ProviderKind::Kajabi && !standing.confirmed {
        if (billing, payment_plans) == (Billing::PaymentPlan, PaymentPlans::Hold) {
            return instalments();
        }
        return Decision::Act(Action::ConfirmCancel);
    }
    Decision::Settle {
        as_: Settlement::AlreadyCanceled,
        note: "found ended, not by us".to_owned(),
    }
}

fn decide_living(request: &Request, billing: Billing, payment_plans: PaymentPlans) -> Decision {
    match (billing, payment_plans) {
        (Billing::OneTime, _) => Decision::Settle {
            as_: Settlement::Failed,
            note: "a purchase without a subscription: there is nothing to cancel".to_owned(),
        },
        (Billing::PaymentPlan, PaymentPlans::Hold) => instalments(),
        (Billing::Unclear, _) => hold(
            HoldReason::StateUnclear,
            "the provider does not say whether it is a subscription",
        ),
        (Billing::Recurring, _) | (Billing::PaymentPlan, PaymentPlans::Cancel) => {
            Decision::Act(cancel(request))
        }
    }
}

fn instalments() -> Decision {
    hold(
        HoldReason::PaymentPlan,
        "an instalment plan; cancelling it writes the rest of the debt off",
    )
}

fn cancel(request: &Request) -> Action {
    let can = request.kind.capabilities();
    Action::Cancel {
        reason: request
            .terms
            .reason
            .as_ref()
            .filter(|_| can.takes_reason)
            .map(|reason| reason.value.clone()),
        behaviors: request.terms.behaviors().filter(|_| can.takes_behaviors),
    }
}

fn hold(reason: HoldReason, detail: &str) -> Decision {
    Decision::Hold(BTreeMap::from([(reason, detail.to_owned())]))
}

/// Expectations that the subscription does not meet, and those that are missing.
fn unmet(
    request: &Request,
    found: &Subscription,
    required: &BTreeSet<ExpectField>,
) -> BTreeMap<HoldReason, String> {
    let expect = &request.terms.expect;
    let mut holds = BTreeMap::new();
    let wrong: Vec<String> = expect
        .iter()
        .filter(|(field, value)| found.facts.get(field) != Some(value))
        .map(|(field, value)| {
            let there = found.facts.get(field).map_or("nothing", String::as_str);
            format!("{} is {there}, not {value}", field.as_str())
        })
        .collect();
    if !wrong.is_empty() {
        holds.insert(HoldReason::Expectation, wrong.join("; "));
    }
    let missing: Vec<&str> = required
        .iter()
        .filter(|field| !expect.contains_key(field))
        .map(|field| field.as_str())
        .collect();
    if !missing.is_empty() {
        let detail = format!("the item does not say its {}", missing.join(", "));
        holds.insert(HoldReason::ExpectationMissing, detail);
    }
    holds
}

fn goes_on(request: &Request, successor: &Successor) -> String {
    format!(
        "{} of the same customer and plan goes on since {}; to end it too, add the line `- {{id: {}, provider: {}}}`",
        successor.id,
        successor.starts_at.format("%Y-%m-%d"),
        successor.id,
        request.key.provider
    )
}

/// What a reading says of a request whose outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It is over.
    Settle {
        /// How it ended.
        as_: Settlement,
        /// In words.
        note: String,
    },
    /// It ended, but another record goes on.
    Successor {
        /// In words.
        detail: String,
    },
    /// It is known that the attempt had no effect and can have none any more.
    NotDone {
        /// Whether it counts as an attempt.
        counts: bool,
        /// How that is known.
        because: String,
        /// The pause that the provider asked for.
        wait: Option<Duration>,
    },
    /// Read again after so long.
    StillUnknown {
        /// How long.
        next_in: Duration,
    },
}

/// Resolves an unknown outcome from a reading that began at `seen_at`. Gives what is known from
/// now on beside it.
pub fn resolve(
    request: &Request,
    observed: &Observed,
    seen_at: &Witness,
    resend_after: Duration,
) -> (Resolution, Doubt) {
    let mut doubt = request.doubt.clone().unwrap_or_else(|| Doubt {
        send_before: seen_at.clone(),
        reads: 0,
        first_alive: None,
        resend_after,
    });
    let resend_after = resend_after.max(doubt.resend_after);
    doubt.reads = doubt.reads.saturating_add(1);
    let still_unknown = Resolution::StillUnknown {
        next_in: backoff::unknown(doubt.reads, resend_after),
    };
    let Observed::Found(found) = observed else {
        return (still_unknown, doubt);
    };
    let resolution = match &found.life {
        Life::Ended { .. } => match &found.successor {
            Some(successor) => Resolution::Successor {
                detail: goes_on(request, successor),
            },
            None => settle_ended(request),
        },
        Life::Active | Life::Lapsing | Life::Ending { .. } => {
            living_after_send(request, &mut doubt, seen_at, resend_after).unwrap_or(still_unknown)
        }
        Life::NotStarted { .. } | Life::Unclear { .. } => still_unknown,
    };
    (resolution, doubt)
}

/// It has ended: by us, if a send that was journaled while it lived may have had an effect.
fn settle_ended(request: &Request) -> Resolution {
    let standing = &request.standing;
    let (as_, note) = match (&standing.action, &standing.answer) {
        (Some(Action::ConfirmCancel), Some(Answer::Accepted)) => (
            Settlement::Canceled,
            "found deactivated; the confirming cancel was accepted; billing not confirmed".to_owned(),
        ),
        (Some(Action::ConfirmCancel), Some(Answer::Refused { .. })) => (
            Settlement::AlreadyCanceled,
            "found deactivated; the confirming cancel was refused; billing not confirmed".to_owned(),
        ),
        (Some(Action::ConfirmCancel), Some(answer)) if answer.surely_not_done() => {
            return Resolution::NotDone {
                counts: answer.counts_as_attempt(),
                because: format!("the provider answered {}", answer.outcome()),
                wait: answer.retry_after(),
            };
        }
        (Some(Action::ConfirmCancel), _) => (
            Settlement::AlreadyCanceled,
            "found deactivated; what became of the confirming cancel is not known; billing not confirmed"
                .to_owned(),
        ),
        _ if standing.ours() => (
            Settlement::Canceled,
            "read back as ended after our cancel".to_owned(),
        ),
        _ => (
            Settlement::AlreadyCanceled,
            "found ended, although our cancel had no effect".to_owned(),
        ),
    };
    Resolution::Settle { as_, note }
}

/// It still lives: is that proof that nothing will come any more?
fn living_after_send(
    request: &Request,
    doubt: &mut Doubt,
    seen_at: &Witness,
    resend_after: Duration,
) -> Option<Resolution> {
    let standing = &request.standing;
    match &standing.answer {
        Some(Answer::Refused { status, words }) if standing.wanted => {
            return Some(Resolution::Settle {
                as_: Settlement::Failed,
                note: format!("the provider refuses with {status}: {words}"),
            });
        }
        Some(answer) if answer.surely_not_done() => {
            return Some(Resolution::NotDone {
                counts: answer.counts_as_attempt(),
                because: format!("the provider answered {}, and it lives", answer.outcome()),
                wait: answer.retry_after(),
            });
        }
        _ => {}
    }
    let first_alive = doubt.first_alive.get_or_insert_with(|| seen_at.clone());
    let late_enough = seen_at.since(&doubt.send_before) > resend_after;
    let far_enough = seen_at.since(first_alive) >= resend_after / 2;
    (late_enough && far_enough).then(|| Resolution::NotDone {
        counts: standing
            .answer
            .as_ref()
            .is_none_or(Answer::counts_as_attempt),
        because: format!(
            "two readings found it living, the last of them more than {} s after the send",
            resend_after.as_secs()
        ),
        wait: standing.answer.as_ref().and_then(Answer::retry_after),
    })
}
