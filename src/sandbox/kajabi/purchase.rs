//! One purchase: what its API shows, and whether it really bills.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::sandbox::moment::Moment;
use crate::sandbox::store::{Record, Tally, Truth};
use crate::sandbox::wire::{Manner, Provider};

/// What was bought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::sandbox) enum Kind {
    #[default]
    Subscription,
    /// A debt paid in instalments; it bills like a subscription.
    PaymentPlan,
    OneTime,
    Free,
}

impl Kind {
    /// `payment_type` is not enumerated; these values were seen in the documents' examples
    /// and, for `multipay`, in public code.
    fn payment_type(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::PaymentPlan => "multipay",
            Self::OneTime => "single",
            Self::Free => "free",
        }
    }

    fn has_subscription(self) -> bool {
        matches!(self, Self::Subscription | Self::PaymentPlan)
    }

    /// The offer that a purchase of this kind belongs to, unless its seed names another.
    fn usual_offer(self) -> &'static str {
        match self {
            Self::Subscription => "150001",
            Self::PaymentPlan => "150002",
            Self::OneTime => "150003",
            Self::Free => "150004",
        }
    }

    /// What kind the usual offer of an id is.
    pub(super) fn of_offer(id: &str) -> Option<Self> {
        [
            Self::Subscription,
            Self::PaymentPlan,
            Self::OneTime,
            Self::Free,
        ]
        .into_iter()
        .find(|kind| kind.usual_offer() == id)
    }

    /// The offer resource, with the booleans of `/v1/offers/{id}` in `openapi.yaml`. Which of
    /// them a payment plan sets is undocumented: recurring, and none of the others.
    pub(super) fn offer(self, id: &str) -> Value {
        json!({
            "id": id,
            "type": "offers",
            "attributes": {
                "title": format!("Sandbox offer {id}"),
                "recurring_offer": self.has_subscription(),
                "subscription": self == Self::Subscription,
                "one_time": self == Self::OneTime,
                "single": self == Self::OneTime,
                "free": self == Self::Free,
                "payment_method": "stripe",
            },
        })
    }
}

/// What purchases of one seed have in common.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::sandbox) struct Traits {
    pub kind: Kind,
    /// When it was deactivated, by a cancel or not.
    pub deactivated: Option<Moment>,
    /// Whether it still bills; by default if it has a subscription and is not deactivated.
    pub billing: Option<bool>,
    pub created: Moment,
    pub amount_in_cents: u32,
    pub currency: String,
    /// By default the purchase's own id with an 8 before it.
    pub customer_id: Option<String>,
    /// By default the usual one of its kind: 150001 to 150004 in the order of kinds.
    pub offer_id: Option<String>,
    pub payments_made: u32,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            deactivated: None,
            billing: None,
            created: Moment::days(-90),
            amount_in_cents: 4_900,
            currency: "USD".to_owned(),
            customer_id: None,
            offer_id: None,
            payments_made: 2,
        }
    }
}

/// One purchase.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Purchase {
    id: Arc<str>,
    traits: Arc<Traits>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deactivated_at: Option<DateTime<Utc>>,
    bills: bool,
    tally: Tally,
}

impl Purchase {
    pub fn new(id: Arc<str>, traits: Arc<Traits>, now: DateTime<Utc>) -> Self {
        let created_at = traits.created.on(now);
        let deactivated_at = traits.deactivated.map(|moment| moment.on(now));
        let usually = traits.kind.has_subscription() && deactivated_at.is_none();
        Self {
            id,
            created_at,
            updated_at: deactivated_at.unwrap_or(created_at),
            deactivated_at,
            bills: traits.billing.unwrap_or(usually),
            traits,
            tally: Tally::default(),
        }
    }

    /// Whether the subscription behind it goes on billing.
    pub fn bills(&self) -> bool {
        self.bills
    }

    pub fn has_subscription(&self) -> bool {
        self.traits.kind.has_subscription()
    }

    /// Stops billing and deactivates, both at once. One that was deactivated before keeps
    /// that time (undocumented).
    pub fn cancel(&mut self, now: DateTime<Utc>) {
        self.bills = false;
        self.deactivated_at.get_or_insert(now);
        self.updated_at = now;
        self.tally.cancelled(now);
    }

    /// What a cancel would answer, without the cancel.
    pub fn as_if_cancelled(&self, now: DateTime<Utc>) -> Value {
        let mut other = self.clone();
        other.cancel(now);
        other.resource(None)
    }

    /// As it is, or for a stale read as it was before any cancel.
    pub fn shown(&self, manner: Manner) -> Cow<'_, Self> {
        if manner != Manner::Stale || self.deactivated_at != self.tally.cancelled_at {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self {
            deactivated_at: None,
            updated_at: self.created_at,
            ..self.clone()
        })
    }

    /// Ends access; **billing goes on**.
    /// <https://developers.kajabi.com/api-reference/purchases/deactivate-purchase>
    pub fn deactivate(&mut self, now: DateTime<Utc>) {
        if self.deactivated_at.is_none() {
            self.deactivated_at = Some(now);
            self.updated_at = now;
            self.tally.updates_effective += 1;
        }
    }

    /// Gives access back; a cancelled subscription stays cancelled.
    /// <https://developers.kajabi.com/api-reference/purchases/reactivate-purchase>
    pub fn reactivate(&mut self) {
        if self.deactivated_at.take().is_some() {
            self.tally.updates_effective += 1;
        }
    }

    /// Whether the list's filters let it through.
    pub fn matches(&self, customer: Option<&str>, active: bool, deactivated: bool) -> bool {
        customer.is_none_or(|wanted| self.customer() == wanted)
            && (!active || self.deactivated_at.is_none())
            && (!deactivated || self.deactivated_at.is_some())
    }

    /// Its kind, if it was bought under this offer.
    pub fn kind_under_offer(&self, offer: &str) -> Option<Kind> {
        (self.offer() == offer).then_some(self.traits.kind)
    }

    /// The resource, of `purchases_attributes` in `openapi.yaml`, whole or only some fields.
    pub fn resource(&self, fields: Option<&[String]>) -> Value {
        let mut resource = json!({
            "id": &*self.id,
            "type": "purchases",
            "attributes": self.attributes(),
            "relationships": self.relationships(),
        });
        if let Some(fields) = fields {
            keep_only(fields, &mut resource["attributes"]);
            keep_only(fields, &mut resource["relationships"]);
        }
        resource
    }

    fn attributes(&self) -> Value {
        let traits = &self.traits;
        json!({
            "amount_in_cents": traits.amount_in_cents,
            "payment_type": traits.kind.payment_type(),
            "multipay_payments_made": (traits.kind == Kind::PaymentPlan).then_some(traits.payments_made),
            "opt_in": true,
            "raw_extra_contact_information": {
                "email": "canary-cardholder@example.com",
                "phone": "+1-555-0100-canary",
            },
            "currency": traits.currency,
            "effective_start_at": null,
            "cardholder_name": "Canary Cardholder",
            "billing_address_zip": "CANARY-90210",
            "deactivated_at": self.deactivated_at.map(time),
            "deactivation_reason": self.deactivated_at.map(|_| "canceled"),
            "coupon_code": null,
            "source": null,
            "referrer": null,
            "quantity": 1,
            "created_at": time(self.created_at),
            "updated_at": time(self.updated_at),
        })
    }

    fn relationships(&self) -> Value {
        json!({
            "offer": { "data": { "id": self.offer(), "type": "offers" } },
            "customer": { "data": { "id": self.customer(), "type": "customers" } },
            "transactions": { "data": [] },
            "products": { "data": [{ "id": "17001", "type": "products" }] },
        })
    }

    fn offer(&self) -> &str {
        match &self.traits.offer_id {
            Some(id) => id,
            None => self.traits.kind.usual_offer(),
        }
    }

    fn customer(&self) -> String {
        match &self.traits.customer_id {
            Some(id) => id.clone(),
            None => format!("8{}", self.id),
        }
    }
}

impl Record for Purchase {
    fn id(&self) -> &Arc<str> {
        &self.id
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn truth(&self, _now: DateTime<Utc>) -> Truth {
        let ended_at = self.tally.cancelled_at.or(self.deactivated_at);
        Truth {
            provider: Provider::Kajabi,
            id: self.id.to_string(),
            live: self.bills,
            ended_at: ended_at.filter(|_| !self.bills),
            cancelled_at: self.tally.cancelled_at,
            requests: self.tally.requests,
            cancels_received: self.tally.cancels_received,
            cancels_effective: self.tally.cancels_effective,
            updates_effective: self.tally.updates_effective,
            detail: json!({
                "kind": self.traits.kind,
                "billing": self.bills,
                "deactivated_at": self.deactivated_at,
                "customer_id": self.customer(),
                "offer_id": self.offer(),
            }),
        }
    }

    fn group(&self) -> Option<Arc<str>> {
        None
    }
}

/// Leaves those members of an object that are named.
fn keep_only(names: &[String], object: &mut Value) {
    if let Value::Object(members) = object {
        members.retain(|name, _| names.contains(name));
    }
}

/// `2026-08-02T20:26:32.995Z`, as the documents show times.
fn time(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}
