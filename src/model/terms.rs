//! What is wanted of one subscription: when and how it ends, and where each of these came
//! from.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ids::Key;
use super::labels::Labels;
use super::provider::ExpectField;
use crate::planted::planted;

/// When a subscription shall end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At the next tick.
    Now,
    /// When what is paid for has run out.
    EndOfPeriod,
    /// Not before an instant; a day means its first instant.
    At(DateTime<Utc>),
}

impl When {
    /// The first instant at which it may act where nothing is done before `not_before`; none: that
    /// is a matter of its period.
    pub fn due(&self, not_before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Now => Some(not_before),
            Self::At(day) => {
                let at = planted!(DueADayEarly, *day - chrono::TimeDelta::days(1), *day);
                Some(at.max(not_before))
            }
            Self::EndOfPeriod => None,
        }
    }
}

/// The span before a period's end in which a cancel may be sent, `[end − opens, end − closes]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// How long before the end it opens.
    pub opens: Duration,
    /// How long before the end it closes; shorter than `opens`.
    pub closes: Duration,
}

/// What happens when a window has gone by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenMissed {
    /// Scheduled for the next period's end.
    NextPeriod,
    /// Left to a person.
    Ask,
    /// Cancelled late.
    Now,
}

/// Lotus: what becomes of fees that were charged in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlatFeeBehavior {
    /// Credited in full.
    Refund,
    /// Charged for the part that was used.
    ChargeProrated,
    /// Charged in full.
    ChargeFull,
}

/// Lotus: what becomes of usage that was not billed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageBehavior {
    /// Billed.
    BillFull,
    /// Waived.
    BillNone,
}

/// Lotus: when the last invoice is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvoicingBehavior {
    /// With the customer's next invoice.
    AddToNextInvoice,
    /// At once.
    InvoiceNow,
}

/// The three behaviours of a Lotus cancel, all of which are always sent.
///
/// `flat_fee: None` is sent as JSON null: each charge's own setting
/// (`SubscriptionRecordCancelSerializer`, model_serializers.py line 2151).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behaviors {
    /// `flat_fee_behavior`.
    pub flat_fee: Option<FlatFeeBehavior>,
    /// `usage_behavior`.
    pub usage: UsageBehavior,
    /// `invoicing_behavior`.
    pub invoicing: InvoicingBehavior,
}

/// Where the value of a field came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// The item itself.
    Item,
    /// The `defaults` of the file that the item stands in.
    FileDefaults,
    /// The policy of that name.
    Policy(String),
    /// The documented default.
    Default,
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item => f.write_str("item"),
            Self::FileDefaults => f.write_str("file defaults"),
            Self::Policy(name) => write!(f, "policy `{name}`"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub from: From,
}

impl<T> Sourced<T> {
    /// A value from where it came from.
    pub const fn new(value: T, from: From) -> Self {
        Self { value, from }
    }
}

/// A field that was set for an item whose provider has no use for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unused {
    /// The field's name in the file.
    pub field: String,
    /// Its value as written.
    pub value: String,
    /// Who set it.
    pub from: From,
    /// Why it is of no use here.
    pub why: String,
}

/// How one subscription shall end: every field resolved, each with its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// When.
    pub when: Sourced<When>,
    /// `when` as a person wrote it, such as `2026-12-31`.
    pub when_text: String,
    /// The reason; sent to Revere, and kept for every provider.
    pub reason: Option<Sourced<String>>,
    /// Used with [`When::EndOfPeriod`].
    pub window: Sourced<Window>,
    /// Used with [`When::EndOfPeriod`].
    pub when_missed: Sourced<WhenMissed>,
    /// Where the provider does not tell it: when the paid period ends.
    pub period_ends: Option<Sourced<DateTime<Utc>>>,
    /// Lotus, cut off before the period's end.
    pub flat_fee_behavior: Option<Sourced<FlatFeeBehavior>>,
    /// Lotus, cut off before the period's end.
    pub usage_behavior: Option<Sourced<UsageBehavior>>,
    /// Lotus, cut off before the period's end.
    pub invoicing_behavior: Option<Sourced<InvoicingBehavior>>,
    /// What the provider must say of the subscription, or nothing is done.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub expect: BTreeMap<ExpectField, String>,
    /// Free words for policies, freezes and reports.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// When it was asked for; information only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<String>,
    /// What was set for it and is of no use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<Unused>,
}

impl Terms {
    /// A digest over all that decides what happens, and nothing else: two items with equal
    /// digests are treated alike. 32 hex digits. Where a value came from does not count.
    pub fn digest(&self) -> String {
        let decisive = serde_json::json!({
            "when": self.when.value,
            "reason": self.reason.as_ref().map(|it| &it.value),
            "window": self.window.value,
            "when_missed": self.when_missed.value,
            "period_ends": self.period_ends.as_ref().map(|it| &it.value),
            "flat_fee_behavior": self.flat_fee_behavior.as_ref().map(|it| &it.value),
            "usage_behavior": self.usage_behavior.as_ref().map(|it| &it.value),
            "invoicing_behavior": self.invoicing_behavior.as_ref().map(|it| &it.value),
            "expect": self.expect,
            "labels": self.labels,
        });
        short_digest(decisive.to_string().as_bytes())
    }

    /// The behaviours to send, where the provider takes them and all that must be chosen was.
    pub fn behaviors(&self) -> Option<Behaviors> {
        Some(Behaviors {
            flat_fee: self.flat_fee_behavior.as_ref().map(|it| it.value),
            usage: self.usage_behavior.as_ref()?.value,
            invoicing: self.invoicing_behavior.as_ref()?.value,
        })
    }
}

/// The first 128 bits of a SHA-256, as 32 hex digits.
pub fn short_digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..16])
}

/// Bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where an item stands: its file, and the lines from its first to its last character.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file's name as people see it.
    pub file: String,
    /// The line on which the item begins, from 1.
    pub line: u32,
    /// The line on which it ends.
    pub last_line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One item of the file, its policies resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Which request it is.
    pub key: Key,
    /// How it shall end.
    pub terms: Terms,
    /// Where it stands.
    pub place: Place,
}
