//! What a provider said of one subscription.
//!
//! Only what decides is kept: no name, address, card or e-mail is ever read into these types.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::provider::ExpectField;

/// One reading of one subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// What was found.
    pub observed: Observed,
    /// When the reading began, by our clock.
    pub at: DateTime<Utc>,
    /// The `Date` header of the answer, by the provider's clock, in whole seconds.
    pub server_date: Option<DateTime<Utc>>,
}

/// What a reading found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed {
    /// The subscription, as its provider describes it.
    Found(Subscription),
    /// The provider says that there is no such subscription.
    NotFound,
    /// It exists, but not among what the credentials' account owns (Lotus: a GET by id is not
    /// limited to the key's organization, a customer's list is).
    NotOurs {
        /// What was missing, in words.
        why: String,
    },
}

/// A subscription as its provider describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Where it stands in its life.
    pub life: Life,
    /// What kind of obligation it is.
    pub billing: Billing,
    /// Customer, plan and offer, as far as the provider tells them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub facts: BTreeMap<ExpectField, String>,
    /// When the running period ends, where the provider tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<DateTime<Utc>>,
    /// A record of the same customer and plan that starts at or after this one's end and
    /// lives (Lotus: a renewal or a plan switch makes one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Successor>,
}

/// Where a subscription stands in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// Runs, and will be billed again.
    Active,
    /// Runs no more for want of payment, but could revive (Revere: `failed`). Cancelled like
    /// an active one.
    Lapsing,
    /// Has not begun.
    NotStarted {
        /// When it will.
        starts_at: DateTime<Utc>,
    },
    /// Runs until its period's end and is not renewed.
    Ending {
        /// When it ends.
        at: DateTime<Utc>,
    },
    /// Has ended.
    Ended {
        /// When, as far as the provider tells. Shown; never compared with our clock.
        at: Option<DateTime<Utc>>,
    },
    /// A status that no document explains; masked and cut.
    Unclear {
        /// The provider's word.
        status: String,
    },
}

/// What kind of obligation a purchase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billing {
    /// Billed again and again.
    Recurring,
    /// A debt paid in instalments.
    PaymentPlan,
    /// Paid once, or free: there is no subscription to cancel.
    OneTime,
    /// The provider does not say.
    Unclear,
}

/// A record that goes on after the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Successor {
    /// Its id, in its one spelling.
    pub id: String,
    /// When it starts or started.
    pub starts_at: DateTime<Utc>,
}

impl Subscription {
    /// Whether it has ended.
    pub const fn ended(&self) -> bool {
        matches!(self.life, Life::Ended { .. })
    }

    /// Whether a cancel would still have something to end.
    pub const fn lives(&self) -> bool {
        matches!(
            self.life,
            Life::Active | Life::Lapsing | Life::Ending { .. }
        )
    }
}

impl Observed {
    /// One short line for tables and pages.
    pub fn summary(&self) -> String {
        match self {
            Self::NotFound => "not found".to_owned(),
            Self::NotOurs { why } => why.clone(),
            Self::Found(subscription) => subscription.summary(),
        }
    }
}

impl Subscription {
    fn summary(&self) -> String {
        let mut words = vec![match &self.life {
            Life::Active => "active".to_owned(),
            Life::Lapsing => "failed, may revive".to_owned(),
            Life::NotStarted { starts_at } => format!("starts {}", day(starts_at)),
            Life::Ending { at } => format!("ends {}", day(at)),
            Life::Ended { at: Some(at) } => format!("ended {}", day(at)),
            Life::Ended { at: None } => "ended".to_owned(),
            Life::Unclear { status } => format!("status {status:?}"),
        }];
        words.extend(
            self.facts
                .iter()
                .map(|(field, value)| format!("{} {value}", field.as_str())),
        );
        words.join(", ")
    }
}

fn day(at: &DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}
