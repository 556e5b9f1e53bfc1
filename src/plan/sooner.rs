//! Whether a revision lets an item act earlier or harsher than it would have: such items are
//! counted together with the new ones, and above a limit they wait for a person.
//!
//! In doubt it counts: to be asked once too often is cheaper than a cancellation that nobody
//! meant.

use chrono::{DateTime, Utc};

use crate::config::{Config, Mode, PaymentPlans, ProviderConfig, RenewalOff, Subject};
use crate::model::observed::{Billing, Observed};
use crate::model::request::Request;
use crate::model::terms::{Terms, Wanted, When, WhenMissed};

use super::decide::period_end;
use super::window::{Hours, Way};

/// A tick that comes earlier by no more than this is the schedule's grain.
const GRAIN: chrono::Duration = chrono::Duration::hours(1);

/// How far ahead ticks are looked for.
const HORIZON: chrono::Duration = chrono::Duration::days(400);

/// One provider in one revision.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The revision's configuration.
    pub config: &'a Config,
    /// The provider in it.
    pub provider: &'a ProviderConfig,
}

/// What the two revisions say of one provider, compared once for all of its items.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    before: Side<'a>,
    after: Side<'a>,
    times_differ: bool,
}

impl<'a> Change<'a> {
    /// From one revision to the next.
    pub fn between(before: Side<'a>, after: Side<'a>) -> Self {
        let freezes = |side: Side<'_>| format!("{:?}", side.config.freezes);
        let schedule = |side: Side<'a>| side.provider.schedule.text();
        let times_differ = freezes(before) != freezes(after)
            || schedule(before) != schedule(after)
            || before.config.reconcile.timezone != after.config.reconcile.timezone;
        Self {
            before,
            after,
            times_differ,
        }
    }

    /// Why the item may act earlier or harsher than before; none: it may not.
    pub fn sooner(
        &self,
        known: &Request,
        wanted: &Wanted,
        now: DateTime<Utc>,
    ) -> Option<&'static str> {
        let same_terms = known.terms.digest() == wanted.terms.digest();
        self.loosened(known, wanted)
            .or_else(|| {
                if same_terms {
                    None
                } else {
                    harsher(known, &wanted.terms, self.way(known), now)
                }
            })
            .or_else(|| {
                let compare = self.times_differ || !same_terms;
                (compare && self.earlier_tick(known, wanted, now))
                    .then_some("a freeze or the schedule lets it act earlier")
            })
    }

    fn way(&self, known: &Request) -> Way {
        Way::of(known.kind, self.after.provider.renewal_off)
    }

    /// What the provider's configuration no longer holds back.
    fn loosened(&self, known: &Request, wanted: &Wanted) -> Option<&'static str> {
        let (before, after) = (self.before.provider, self.after.provider);
        if (before.mode, after.mode) == (Mode::Observe, Mode::Enforce) {
            return Some("its provider is turned to enforce");
        }
        if before.kind() != after.kind() {
            return Some("its provider is of another type");
        }
        let turns = (before.renewal_off, after.renewal_off);
        let native = known.kind.capabilities().native_period_end
            && wanted.terms.when.value == When::EndOfPeriod;
        if native && turns == (RenewalOff::InWindow, RenewalOff::AtOnce) {
            return Some("renewal is turned off at once");
        }
        self.allows_more(known, wanted)
    }

    /// Whether something may happen at the provider that could not happen before.
    pub fn loosens(&self) -> bool {
        let (before, after) = (self.before.provider, self.after.provider);
        let plans = (before.payment_plans, after.payment_plans);
        plans == (PaymentPlans::Hold, PaymentPlans::Cancel)
            || !before.require_expect.is_subset(&after.require_expect)
    }

    /// What may happen to an item that could not happen before, whenever it acts: not even one
    /// that was approved on these terms was approved with that.
    pub fn allows_more(&self, known: &Request, wanted: &Wanted) -> Option<&'static str> {
        let (before, after) = (self.before.provider, self.after.provider);
        let may_be_a_plan = match known.look.as_ref().map(|look| &look.observed) {
            Some(Observed::Found(found)) => found.billing == Billing::PaymentPlan,
            Some(Observed::NotFound | Observed::NotOurs { .. }) | None => true,
        };
        let plans = (before.payment_plans, after.payment_plans);
        if plans == (PaymentPlans::Hold, PaymentPlans::Cancel) && may_be_a_plan {
            return Some("instalment plans are no longer held");
        }
        let dropped = before.require_expect.difference(&after.require_expect);
        dropped
            .into_iter()
            .any(|field| !wanted.terms.expect.contains_key(field))
            .then_some("an expectation is no longer required")
    }

    /// Whether the first tick that it may act at comes earlier.
    fn earlier_tick(&self, known: &Request, wanted: &Wanted, now: DateTime<Utc>) -> bool {
        let first = |side: Side<'_>, terms: &Terms| {
            let from = act_at(known, terms, now);
            let subject = Subject::new(&wanted.key, known.kind, &terms.labels);
            let hours = Hours::of(&side.provider.schedule, &side.config.freezes, &subject);
            hours
                .first_tick(from, from + HORIZON)
                .unwrap_or(from + HORIZON)
        };
        first(self.after, &wanted.terms) + GRAIN < first(self.before, &known.terms)
    }
}

/// When an item acts on these terms at the earliest, as far as anybody knows.
fn act_at(known: &Request, terms: &Terms, now: DateTime<Utc>) -> DateTime<Utc> {
    let at = match terms.when.value {
        When::Now => now,
        When::At(at) => at,
        // Nobody has read it yet: it may be at once.
        When::EndOfPeriod => known.due_at.unwrap_or(now),
    };
    at.max(now)
}

/// Why these terms are earlier or harsher than those that are known.
fn harsher(known: &Request, after: &Terms, way: Way, now: DateTime<Utc>) -> Option<&'static str> {
    let before = &known.terms;
    let money = |terms: &Terms| {
        (
            terms.flat_fee_behavior.as_ref().map(|it| it.value),
            terms.usage_behavior.as_ref().map(|it| it.value),
            terms.invoicing_behavior.as_ref().map(|it| it.value),
        )
    };
    let loosened = before
        .expect
        .iter()
        .any(|(field, value)| after.expect.get(field) != Some(value));
    if is_earlier(known, after, way, now) {
        Some("its day is earlier")
    } else if money(before) != money(after) {
        Some("what is billed with it changes")
    } else if loosened {
        Some("what it expects is no longer expected")
    } else {
        None
    }
}

fn is_earlier(known: &Request, after: &Terms, way: Way, now: DateTime<Utc>) -> bool {
    let before = &known.terms;
    match (&before.when.value, &after.when.value) {
        (When::Now, _) => false,
        (When::At(at), When::Now) => *at > now,
        (When::At(before), When::At(after)) => (*after).max(now) < (*before).max(now),
        (When::At(at), When::EndOfPeriod) => *at > now && !ends_after(known, after, way, *at),
        (When::EndOfPeriod, When::Now) => true,
        (When::EndOfPeriod, When::At(at)) => {
            way.native() || known.due_at.is_none_or(|due_at| (*at).max(now) < due_at)
        }
        (When::EndOfPeriod, When::EndOfPeriod) => {
            let ends = |terms: &Terms| terms.period_ends.as_ref().map(|it| it.value);
            after.window.value.opens > before.window.value.opens
                || rank(after.when_missed.value) > rank(before.when_missed.value)
                || ends(after) < ends(before)
                || (ends(before).is_none() && ends(after).is_some() && known.due_at.is_none())
        }
    }
}

/// Whether the window of a period whose end is known opens no earlier than a day.
fn ends_after(known: &Request, after: &Terms, way: Way, day: DateTime<Utc>) -> bool {
    let told = match known.look.as_ref().map(|look| &look.observed) {
        Some(Observed::Found(found)) => found.period_end,
        Some(Observed::NotFound | Observed::NotOurs { .. }) | None => None,
    };
    let of_these_terms = Request {
        terms: after.clone(),
        ..known.clone()
    };
    period_end(&of_these_terms, told).is_some_and(|end| way.window(end, after).opens_at >= day)
}

/// The more, the more is done by itself.
const fn rank(when_missed: WhenMissed) -> u8 {
    match when_missed {
        WhenMissed::Ask => 0,
        WhenMissed::NextPeriod => 1,
        WhenMissed::Now => 2,
    }
}
