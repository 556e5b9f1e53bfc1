//! When an item may act, and what holds it from the start.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::model::hold::HoldReason;
use crate::model::provider::ProviderKind;
use crate::model::terms::{Terms, When};

/// An item whose day lay further back than this when it was first accepted waits for an
/// approval (design, section 5): a slip of the year must not cancel at once.
const LONGEST_BACKDATE: Duration = Duration::from_secs(24 * 60 * 60);

/// What acceptance makes of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstPlan {
    /// When it may act; unknown while its period's end is.
    pub due_at: Option<DateTime<Utc>>,
    /// What holds it in any case, with words.
    pub holds: BTreeMap<HoldReason, String>,
    /// What holds it if it is new, with words.
    pub holds_if_new: BTreeMap<HoldReason, String>,
}

/// Plans an item that is accepted at `now` and may be reverted until `wait` later.
pub fn first_plan(
    kind: ProviderKind,
    terms: &Terms,
    now: DateTime<Utc>,
    wait: Duration,
) -> FirstPlan {
    let earliest = now + wait;
    match terms.when.value {
        When::Now => FirstPlan {
            due_at: Some(earliest),
            ..FirstPlan::default()
        },
        When::At(at) => FirstPlan {
            due_at: Some(at.max(earliest)),
            holds_if_new: backdated(at, now),
            ..FirstPlan::default()
        },
        When::EndOfPeriod => FirstPlan {
            holds: no_window(kind, terms),
            ..FirstPlan::default()
        },
    }
}

fn backdated(at: DateTime<Utc>, now: DateTime<Utc>) -> BTreeMap<HoldReason, String> {
    if at + LONGEST_BACKDATE >= now {
        return BTreeMap::new();
    }
    let detail = format!(
        "its day, {}, lay more than 24 h in the past when it was accepted",
        at.format("%Y-%m-%d")
    );
    BTreeMap::from([(HoldReason::Approval, detail)])
}

/// Cancelling at a period's end is not carried out by this version: never fall back to now.
fn no_window(kind: ProviderKind, terms: &Terms) -> BTreeMap<HoldReason, String> {
    let mut holds = BTreeMap::from([(
        HoldReason::NoSafeWindow,
        "windows before a period's end are not carried out by this version".to_owned(),
    )]);
    if !kind.capabilities().tells_period_end && terms.period_ends.is_none() {
        holds.insert(
            HoldReason::PeriodEndUnknown,
            format!("{kind} does not tell when the period ends, and the item does not either"),
        );
    }
    holds
}
