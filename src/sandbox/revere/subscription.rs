//! One subscription at Revere: what its API shows, and what is true.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::sandbox::cast;
use crate::sandbox::moment::Moment;
use crate::sandbox::store::{Record, Tally, Truth};
use crate::sandbox::wire::{Manner, Provider};

/// `status` is not enumerated: `active` and `canceled` (one l) are in the samples, `failed`
/// is named by the plans page, paused is implied by a webhook event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::sandbox) enum Status {
    #[default]
    Active,
    /// Retries are spent.
    Failed,
    Paused,
    Canceled,
}

/// What subscriptions of one seed have in common.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::sandbox) struct Traits {
    pub status: Status,
    /// Kept after a cancel; always shown as midnight in UTC.
    pub next_bill: Moment,
    /// How many cycles; 0 is endless.
    pub duration: Option<u32>,
    pub amount: u32,
    pub billing_cycle: String,
    pub billing_factor: u32,
    pub charge_count: u32,
    pub retry_count: u32,
    pub cancel_reason: Option<String>,
    pub email: String,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            status: Status::default(),
            next_bill: Moment::days(12),
            duration: Some(0),
            amount: 2_500,
            billing_cycle: "monthly".to_owned(),
            billing_factor: 1,
            charge_count: 4,
            retry_count: 0,
            cancel_reason: None,
            email: "canary-payer@example.com".to_owned(),
        }
    }
}

/// One subscription.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Subscription {
    id: Arc<str>,
    traits: Arc<Traits>,
    next_bill_at: DateTime<Utc>,
    cancel_reason: Option<Box<str>>,
    status: Status,
    tally: Tally,
}

impl Subscription {
    pub fn new(id: Arc<str>, traits: Arc<Traits>, now: DateTime<Utc>) -> Self {
        Self {
            id,
            next_bill_at: midnight(traits.next_bill.on(now)),
            cancel_reason: traits.cancel_reason.as_deref().map(Box::from),
            status: traits.status,
            traits,
            tally: Tally::default(),
        }
    }

    pub fn is_canceled(&self) -> bool {
        self.status == Status::Canceled
    }

    /// At once; `next_bill_date` stays as it is.
    pub fn cancel(&mut self, reason: Option<String>, now: DateTime<Utc>) {
        self.status = Status::Canceled;
        self.cancel_reason = reason.map(String::into_boxed_str);
        self.tally.cancelled(now);
    }

    /// What a cancel would answer, without the cancel.
    pub fn as_if_canceled(&self, reason: Option<String>) -> Value {
        let mut other = self.clone();
        other.status = Status::Canceled;
        other.cancel_reason = reason.map(String::into_boxed_str);
        other.object()
    }

    /// As it is, or for a stale read as it was before any cancel.
    pub fn shown(&self, manner: Manner) -> Cow<'_, Self> {
        if manner != Manner::Stale {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self {
            status: self.traits.status,
            cancel_reason: self.traits.cancel_reason.as_deref().map(Box::from),
            ..self.clone()
        })
    }

    /// Whether the list's filters let it through.
    pub fn matches(&self, id: Option<&str>, name: Option<&str>, email: Option<&str>) -> bool {
        id.is_none_or(|id| id == &*self.id)
            && name.is_none_or(|name| "Canary Payer".contains(name))
            && email.is_none_or(|email| email == self.traits.email)
    }

    /// The object as `get` and `cancel` show it. The set of keys follows the samples of
    /// `subscriptions/{get,getAll,cancel}`; personal data comes with every read.
    pub fn object(&self) -> Value {
        let traits = &self.traits;
        json!({
            "id": &*self.id,
            "plan_id": cast::REVERE_PLAN,
            "duration": traits.duration,
            "amounts": {
                "amount": traits.amount,
                "tax_amount": 0,
                "shipping_amount": 0,
                "initial_amount": 0,
            },
            "billing_cycle": traits.billing_cycle,
            "billing_factor": traits.billing_factor,
            "next_bill_date": self.next_bill_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            "description": "Sandbox plan",
            "currency": "USD",
            "processor_id": "5f1e8f5c-0000-4000-8000-000000000001",
            "retry_count": traits.retry_count,
            "trial_period_days": 0,
            "payment_method": "card",
            "payment_details": {
                "card": { "brand": "visa", "first_six": "411111", "last_four": "4242" },
            },
            "billing_address": { "address": {
                "first_name": "Canary",
                "last_name": "Payer",
                "company": null,
                "line_1": "1 Canary Row",
                "line_2": null,
                "city": "Canaryville",
                "subdivision": "UT",
                "postal_code": "CANARY-84101",
                "country": "US",
                "email": traits.email,
            }},
            "status": self.status,
            "gateway_customer_id": "gwc_51c0de",
            "metadata": self.metadata(),
        })
    }

    /// The object as the list shows it: `plan_name` is there only.
    pub fn list_item(&self) -> Value {
        let mut object = self.object();
        object["plan_name"] = json!("Sandbox plan");
        object
    }

    fn metadata(&self) -> Value {
        let mut metadata = json!({
            "max_retry_count": 3,
            "form_layout_id": null,
            "form_layout_external_id": null,
            "form_entry_id": null,
            "charge_count": self.traits.charge_count,
        });
        if let Some(reason) = &self.cancel_reason {
            metadata["cancel_reason"] = json!(reason);
        }
        metadata
    }
}

impl Record for Subscription {
    fn id(&self) -> &Arc<str> {
        &self.id
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn truth(&self, _now: DateTime<Utc>) -> Truth {
        Truth {
            provider: Provider::Revere,
            id: self.id.to_string(),
            live: !self.is_canceled(),
            ended_at: self.tally.cancelled_at,
            cancelled_at: self.tally.cancelled_at,
            requests: self.tally.requests,
            cancels_received: self.tally.cancels_received,
            cancels_effective: self.tally.cancels_effective,
            updates_effective: self.tally.updates_effective,
            detail: json!({
                "status": self.status,
                "next_bill_at": self.next_bill_at,
                "cancel_reason": self.cancel_reason,
            }),
        }
    }

    fn group(&self) -> Option<Arc<str>> {
        None
    }
}

/// The day's first instant in UTC: the samples show bill dates in no other way.
fn midnight(instant: DateTime<Utc>) -> DateTime<Utc> {
    let since = instant.num_seconds_from_midnight();
    let whole = instant.with_nanosecond(0).unwrap_or(instant);
    whole - chrono::TimeDelta::seconds(since.into())
}
