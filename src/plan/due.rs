//! When an item may act, and what holds it from the start.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::config::{Config, ProviderConfig, Subject};
use crate::model::hold::HoldReason;
use crate::model::terms::{Terms, Wanted, When};

use super::window::{self, Hours, Wait, Way};

/// An item whose day lay further back than this when it was first accepted waits for an
/// approval (design, section 5): a slip of the year must not cancel at once.
const LONGEST_BACKDATE: Duration = Duration::from_secs(24 * 60 * 60);

/// What acceptance makes of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstPlan {
    /// Nothing is done before this instant.
    pub not_before: DateTime<Utc>,
    /// When it may act; unknown while its period's end is.
    pub due_at: Option<DateTime<Utc>>,
    /// Until when it is in time, as far as that is known without a reading.
    pub deadline_at: Option<DateTime<Utc>>,
    /// When a pass takes it first; none: only another line can free it.
    pub wake_at: Option<DateTime<Utc>>,
    /// What holds it in any case, with words.
    pub holds: BTreeMap<HoldReason, String>,
}

/// Plans an item that is accepted at `now` and of which nothing is done before `not_before`.
pub fn first_plan(
    wanted: &Wanted,
    provider: &ProviderConfig,
    config: &Config,
    not_before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> FirstPlan {
    if let Some(due_at) = wanted.terms.when.value.due(not_before) {
        return FirstPlan {
            not_before,
            due_at: Some(due_at),
            wake_at: Some(due_at),
            ..FirstPlan::default()
        };
    }
    let Wait {
        due_at,
        deadline_at,
        look_at,
        hold,
    } = first_period(wanted, provider, config, not_before, now);
    FirstPlan {
        not_before,
        due_at,
        deadline_at,
        wake_at: look_at,
        holds: hold.into_iter().collect(),
    }
}

/// What is known of a period before anybody has read it.
fn first_period(
    wanted: &Wanted,
    provider: &ProviderConfig,
    config: &Config,
    not_before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Wait {
    let kind = provider.kind();
    if Way::of(kind, provider.renewal_off) == Way::RenewalOffAtOnce {
        return Wait {
            due_at: Some(not_before),
            deadline_at: None,
            look_at: Some(not_before),
            hold: None,
        };
    }
    let Some(end) = &wanted.terms.period_ends else {
        return if kind.capabilities().tells_period_end {
            Wait {
                due_at: None,
                deadline_at: None,
                look_at: Some(now),
                hold: None,
            }
        } else {
            window::unknown(kind)
        };
    };
    let subject = Subject::new(&wanted.key, kind, &wanted.terms.labels);
    let hours = Hours::of(&provider.schedule, &config.freezes, &subject);
    window::planned(end.value, &wanted.terms, &hours, not_before, now)
}

/// Why an item waits for an approval by itself: its day lies so far back that a slip of the
/// year is more likely than an intention.
pub fn backdated(terms: &Terms, now: DateTime<Utc>) -> Option<String> {
    let When::At(at) = terms.when.value else {
        return None;
    };
    (at + LONGEST_BACKDATE < now).then(|| {
        format!(
            "its day, {}, lay more than 24 h in the past when it was accepted",
            terms.when_text
        )
    })
}
