//! One request and what was observed: what to do.
//!
//! [`decide`] speaks of a request of which nothing is in flight; [`resolve`] of one that was
//! sent and whose outcome is not known. Neither ever answers "send" for the second kind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::config::{Config, Freeze, PaymentPlans, ProviderConfig, RenewalOff, Subject};
use crate::model::act::{Action, Answer};
use crate::model::hold::HoldReason;
use crate::model::observed::{Billing, Life, Observed, Subscription, Successor};
use crate::model::provider::{ExpectField, ProviderKind};
use crate::model::request::{Doubt, Request, Witness};
use crate::model::standing::{BILLING_NOT_CONFIRMED, Settlement};
use crate::model::terms::When;
use crate::planted::planted;
use crate::schedule::Schedule;

use super::backoff;
use super::window::{self, Hours, Turn, Wait, Way, Window};

/// Attempts in all before a request is left to a person (design, section 6, step 5).
pub const MOST_ATTEMPTS: u32 = 5;

/// What a provider's configuration says of deciding.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// What every item must expect.
    pub require_expect: &'a BTreeSet<ExpectField>,
    /// What becomes of instalment plans.
    pub payment_plans: PaymentPlans,
    /// When renewal is turned off, where that ends it.
    pub renewal_off: RenewalOff,
    /// When writes may start.
    pub schedule: &'a Schedule,
    /// When they may not.
    pub freezes: &'a [Freeze],
    /// Whether a write may follow at once.
    pub at_a_tick: bool,
}

impl<'a> Rules<'a> {
    /// Those of a provider.
    pub fn of(provider: &'a ProviderConfig, config: &'a Config) -> Self {
        Self {
            require_expect: &provider.require_expect,
            payment_plans: provider.payment_plans,
            renewal_off: provider.renewal_off,
            schedule: &provider.schedule,
            freezes: &config.freezes,
            at_a_tick: false,
        }
    }

    /// The same where a write may follow at once: a tick is at work, or something is tried
    /// again.
    pub const fn at_a_tick(self) -> Self {
        Self {
            at_a_tick: true,
            ..self
        }
    }

    /// When one item may be acted on.
    pub fn hours(&self, request: &Request) -> Hours<'a> {
        let subject = Subject::new(&request.key, request.kind, &request.terms.labels);
        Hours {
            at_a_tick: self.at_a_tick,
            ..Hours::of(self.schedule, self.freezes, &subject)
        }
    }

    /// How one item is ended at its period's end.
    pub const fn way(&self, request: &Request) -> Way {
        Way::of(request.kind, self.renewal_off)
    }
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
    /// Its window is ahead; or its period's end is not known, which holds.
    Wait(Wait),
    /// Send, if the guard permits it, before its window closes.
    ActInWindow {
        /// What.
        action: Action,
        /// Since when its window is open.
        due_at: DateTime<Utc>,
        /// When it closes; none: it has, and late is what was asked for.
        deadline_at: Option<DateTime<Utc>>,
    },
    /// Its window has gone by.
    Missed {
        /// When it closed.
        closed_at: DateTime<Utc>,
    },
    /// An earlier attempt had its effect after all: it ends by itself.
    Ending {
        /// When.
        at: DateTime<Utc>,
    },
}

/// Decides on what is due, or on when it will be, from a reading made just now.
pub fn decide(
    request: &Request,
    observed: &Observed,
    rules: Rules<'_>,
    now: DateTime<Utc>,
) -> Decision {
    let found = match observed {
        Observed::NotFound if planted!(NotFoundIsCanceled, true, false) => {
            return Decision::Settle {
                as_: Settlement::AlreadyCanceled,
                note: String::new(),
            };
        }
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
        Life::Ending { at } if ends_natively(request, rules) => decide_ending(request, found, *at),
        Life::Active | Life::Lapsing | Life::Ending { .. } => {
            decide_living(request, found, rules, now)
        }
    }
}

fn ends_natively(request: &Request, rules: Rules<'_>) -> bool {
    request.terms.when.value == When::EndOfPeriod && rules.way(request).native()
}

/// It will not be renewed: what was asked for, if nothing follows it.
fn decide_ending(request: &Request, found: &Subscription, at: DateTime<Utc>) -> Decision {
    if request.standing.sent_while_alive {
        return Decision::Ending { at };
    }
    match &found.successor {
        Some(successor) => hold(HoldReason::Successor, &goes_on(request, successor)),
        None => Decision::Settle {
            as_: Settlement::AlreadyCanceled,
            note: format!("found set to end on {}, not by us", at.format("%Y-%m-%d")),
        },
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
    let must_confirm = request.kind == ProviderKind::Kajabi && !standing.confirmed;
    if planted!(DeactivatedIsProof, false, must_confirm) {
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

fn decide_living(
    request: &Request,
    found: &Subscription,
    rules: Rules<'_>,
    now: DateTime<Utc>,
) -> Decision {
    match (found.billing, rules.payment_plans) {
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
            match request.terms.when.value {
                When::Now | When::At(_) => Decision::Act(cancel(request)),
                When::EndOfPeriod => decide_period(request, found.period_end, rules, now),
            }
        }
    }
}

/// It shall end when what is paid for has run out.
fn decide_period(
    request: &Request,
    told: Option<DateTime<Utc>>,
    rules: Rules<'_>,
    now: DateTime<Utc>,
) -> Decision {
    let way = rules.way(request);
    let end = period_end(request, told);
    match window::turn(request, way, end, &rules.hours(request), now) {
        Turn::Wait(wait) => Decision::Wait(wait),
        Turn::Missed { closed_at } => Decision::Missed { closed_at },
        Turn::Act {
            due_at,
            deadline_at,
        } => Decision::ActInWindow {
            action: if way.native() {
                Action::TurnOffRenewal
            } else {
                cancel(request)
            },
            due_at,
            deadline_at,
        },
    }
}

/// What is waited for instead, where a period's end was put off before it came: its window is
/// ahead again, and nothing was missed. An end that has come and is another one by now was
/// renewed, and what it was renewed for may have been paid.
pub fn put_off(
    request: &Request,
    observed: &Observed,
    rules: Rules<'_>,
    now: DateTime<Utc>,
) -> Option<Wait> {
    let before = match request.look.as_ref().map(|look| &look.observed) {
        Some(Observed::Found(before)) => before.period_end?,
        Some(Observed::NotFound | Observed::NotOurs { .. }) | None => return None,
    };
    let Observed::Found(found) = observed else {
        return None;
    };
    let after = found.period_end?;
    if now > before || after <= before {
        return None;
    }
    let way = rules.way(request);
    match window::turn(request, way, Some(after), &rules.hours(request), now) {
        Turn::Wait(wait) => Some(wait),
        Turn::Act {
            due_at,
            deadline_at,
        } => Some(Wait {
            due_at: Some(due_at),
            deadline_at,
            look_at: Some(due_at),
            hold: None,
        }),
        Turn::Missed { .. } => None,
    }
}

/// The window of one that something holds, as far as its reading tells: until when it can still
/// be done in time. None where that reading says nothing new of it.
pub fn time_left(
    request: &Request,
    observed: &Observed,
    rules: Rules<'_>,
    now: DateTime<Utc>,
) -> Option<Window> {
    let Observed::Found(found) = observed else {
        return None;
    };
    if request.terms.when.value != When::EndOfPeriod || found.ended() {
        return None;
    }
    let end = period_end(request, found.period_end)?;
    let Window {
        opens_at,
        closes_at,
    } = rules.way(request).window(end, &request.terms);
    let told = request.standing.missed;
    if now > closes_at && told.is_some_and(|known| closes_at <= known) {
        return None;
    }
    Some(Window {
        opens_at: opens_at.max(request.not_before),
        closes_at,
    })
}

/// Decides on the time of one that nobody has read, from what its line says of its period.
pub fn unread(request: &Request, rules: Rules<'_>, now: DateTime<Utc>) -> Decision {
    decide_period(request, None, rules, now)
}

/// When the running period ends: what the item says, where its provider tells nothing.
pub fn period_end(request: &Request, told: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    request
        .terms
        .period_ends
        .as_ref()
        .map(|given| given.value)
        .or(told)
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

/// What a provider names, unless it could be a person's address.
fn shown(there: &str) -> &str {
    if there.contains('@') {
        "[masked]"
    } else {
        there
    }
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
            let there = found
                .facts
                .get(field)
                .map_or("nothing", |there| shown(there));
            format!("{} is {there}, not {value}", field.as_str())
        })
        .collect();
    if planted!(ExpectationIgnored, false, !wrong.is_empty()) {
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

/// What goes on after it, and the line that would end it too.
pub fn goes_on(request: &Request, successor: &Successor) -> String {
    format!(
        "{} of the same customer and plan goes on from {} on; to end it too, add the line `- {{id: {}, provider: {}}}`",
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
    /// It will end by itself, by our doing.
    Ending {
        /// When.
        at: DateTime<Utc>,
        /// What goes on after it, in words.
        goes_on: Option<String>,
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

/// When a reading was made: what it tells was so at some moment between the two. They lie apart where
/// the process was stopped, or waited for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Before anything was asked.
    pub from: Witness,
    /// Once the answer was there.
    pub by: Witness,
}

impl Seen {
    /// From when on another reading counts as being a while after this one.
    fn over(&self) -> Witness {
        planted!(WaitingProves, self.from.clone(), self.by.clone())
    }
}

/// Resolves an unknown outcome from a reading. Gives what is known from now on beside it.
pub fn resolve(
    request: &Request,
    observed: &Observed,
    seen: &Seen,
    resend_after: Duration,
) -> (Resolution, Doubt) {
    let mut doubt = request.doubt.clone().unwrap_or_else(|| Doubt {
        send_before: seen.from.clone(),
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
    if request.standing.action == Some(Action::TurnOffRenewal)
        && let Some(resolution) = renewal_is_off(request, found, seen.from.at)
    {
        return (resolution, doubt);
    }
    let resolution = match &found.life {
        Life::Ended { .. } => match &found.successor {
            // Once the line is gone nobody wants what goes on to end.
            Some(successor) if request.standing.wanted => Resolution::Successor {
                detail: goes_on(request, successor),
            },
            Some(_) | None => settle_ended(request),
        },
        Life::Active | Life::Lapsing | Life::Ending { .. } => {
            living_after_send(request, &mut doubt, seen, resend_after).unwrap_or(still_unknown)
        }
        Life::NotStarted { .. } | Life::Unclear { .. } => still_unknown,
    };
    (resolution, doubt)
}

/// Renewal is off: by us, if ours may have had an effect. It is watched until it has ended and
/// nothing has followed.
fn renewal_is_off(
    request: &Request,
    found: &Subscription,
    now: DateTime<Utc>,
) -> Option<Resolution> {
    let at = match &found.life {
        Life::Ending { at } => *at,
        Life::Ended { at } => at.unwrap_or(now),
        Life::Active | Life::Lapsing | Life::NotStarted { .. } | Life::Unclear { .. } => {
            return None;
        }
    };
    if request.standing.ours() {
        return Some(Resolution::Ending {
            at,
            goes_on: found.successor.as_ref().map(|it| goes_on(request, it)),
        });
    }
    Some(match &found.successor {
        Some(successor) => Resolution::Successor {
            detail: goes_on(request, successor),
        },
        None => Resolution::Settle {
            as_: Settlement::AlreadyCanceled,
            note: "found set not to renew, although our request had no effect".to_owned(),
        },
    })
}

/// How long after its end one that was not renewed is watched: the renewal that made another
/// one may have run late (Lotus renews by an hourly job).
pub const WATCHED_AFTER_END: chrono::Duration = chrono::Duration::hours(48);

/// Between two readings of one that is watched, at least …
const SHORTEST_WATCH: chrono::Duration = chrono::Duration::hours(1);

/// … and at most.
const LONGEST_WATCH: chrono::Duration = chrono::Duration::days(7);

/// What a reading says of one that ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It has ended, and nothing has followed.
    Settle {
        /// In words.
        note: String,
    },
    /// So far as it should be; read again then.
    Goes {
        /// When.
        look_at: DateTime<Utc>,
    },
    /// Something is not as it should be.
    Hold {
        /// What.
        reason: HoldReason,
        /// In words.
        detail: String,
        /// Read again after so long; none: after some backoff.
        next_in: Option<Duration>,
    },
    /// Its renewal was turned on again.
    Undone {
        /// How that is known.
        because: String,
    },
}

/// Watches one whose renewal we have turned off. Gives what is known from now on beside it.
pub fn watch(
    request: &Request,
    observed: &Observed,
    seen: &Seen,
    resend_after: Duration,
) -> (Watch, Option<Doubt>) {
    let hold = |reason, detail: &str| Watch::Hold {
        reason,
        detail: detail.to_owned(),
        next_in: None,
    };
    let found = match observed {
        Observed::NotFound => {
            let detail = "the provider knows no such subscription any more";
            return (hold(HoldReason::NotFound, detail), None);
        }
        Observed::NotOurs { why } => return (hold(HoldReason::Expectation, why), None),
        Observed::Found(found) => found,
    };
    let going = match &found.life {
        Life::Active | Life::Lapsing => return undone(request, seen, resend_after),
        Life::Unclear { status } => {
            let detail = format!("the provider calls its state {status:?}");
            return (hold(HoldReason::StateUnclear, &detail), None);
        }
        Life::NotStarted { .. } => {
            let detail = "the provider says that it has not begun";
            return (hold(HoldReason::NotStarted, detail), None);
        }
        Life::Ending { at } => Watch::Goes {
            look_at: next_watch(seen.from.at, *at),
        },
        Life::Ended { at } => ended(at.unwrap_or(seen.from.at), seen.from.at),
    };
    let watch = match (&found.successor, going) {
        // The line is gone, and with it the wish that what goes on should end.
        (Some(successor), Watch::Settle { note }) if !request.standing.wanted => Watch::Settle {
            note: format!(
                "{note}, but {}, which the file does not ask to end",
                successor.id
            ),
        },
        (Some(_), going @ Watch::Goes { .. }) if !request.standing.wanted => going,
        (Some(successor), _) => hold(HoldReason::Successor, &goes_on(request, successor)),
        (None, going) => going,
    };
    (watch, None)
}

fn ended(at: DateTime<Utc>, now: DateTime<Utc>) -> Watch {
    let sure_at = at + WATCHED_AFTER_END;
    if now >= sure_at {
        let note = format!(
            "it ended on {} and nothing has followed, after we had turned its renewal off",
            at.format("%Y-%m-%d")
        );
        return Watch::Settle { note };
    }
    Watch::Goes { look_at: sure_at }
}

/// Half-way to the end, then at the end.
pub fn next_watch(now: DateTime<Utc>, ends_at: DateTime<Utc>) -> DateTime<Utc> {
    let half = ((ends_at - now) / 2).min(LONGEST_WATCH);
    if half < SHORTEST_WATCH {
        ends_at.max(now + chrono::Duration::minutes(5))
    } else {
        now + half
    }
}

/// It runs and would be renewed. One reading may be stale; two far enough apart are not.
fn undone(request: &Request, seen: &Seen, resend_after: Duration) -> (Watch, Option<Doubt>) {
    let mut doubt = request.doubt.clone().unwrap_or_else(|| Doubt {
        send_before: seen.from.clone(),
        reads: 0,
        first_alive: None,
        resend_after,
    });
    doubt.reads = doubt.reads.saturating_add(1);
    let first = doubt.first_alive.get_or_insert_with(|| seen.over());
    if seen.from.since(first) >= resend_after / 2 {
        let because = "its renewal is on again, after we had turned it off; nobody is cancelled twice for one request: if it shall end all the same, run `lapsed retry` or add the line again with the next `again`";
        let because = because.to_owned();
        return (Watch::Undone { because }, None);
    }
    let watch = Watch::Hold {
        reason: HoldReason::StateUnclear,
        detail: "it says that it will be renewed, after we had turned its renewal off; it is read again to be sure".to_owned(),
        next_in: Some(resend_after / 2),
    };
    (watch, Some(doubt))
}

/// It has ended: by us, if a send that was journaled while it lived may have had an effect.
fn settle_ended(request: &Request) -> Resolution {
    let standing = &request.standing;
    let (as_, note) = match (&standing.action, &standing.answer) {
        (Some(Action::ConfirmCancel), Some(Answer::Accepted)) => (
            Settlement::Canceled,
            format!(
                "found deactivated; the confirming cancel was accepted; {BILLING_NOT_CONFIRMED}"
            ),
        ),
        (Some(Action::ConfirmCancel), Some(Answer::Refused { .. })) => (
            Settlement::AlreadyCanceled,
            format!(
                "found deactivated; the confirming cancel was refused; {BILLING_NOT_CONFIRMED}"
            ),
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
            format!(
                "found deactivated; what became of the confirming cancel is not known; {BILLING_NOT_CONFIRMED}"
            ),
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
    seen: &Seen,
    resend_after: Duration,
) -> Option<Resolution> {
    let standing = &request.standing;
    if planted!(RetryBlindly, true, false) {
        return Some(Resolution::NotDone {
            counts: true,
            because: String::new(),
            wait: None,
        });
    }
    if planted!(
        SuccessIsBelieved,
        standing.answer == Some(Answer::Accepted),
        false
    ) {
        return Some(Resolution::Settle {
            as_: Settlement::Canceled,
            note: String::new(),
        });
    }
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
    let first_alive = doubt.first_alive.get_or_insert_with(|| seen.over());
    let late_enough = planted!(
        NothingComesLate,
        true,
        seen.from.since(&doubt.send_before) > resend_after
    );
    let far_enough = planted!(
        OneReadingProves,
        true,
        seen.from.since(first_alive) >= resend_after / 2
    );
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
