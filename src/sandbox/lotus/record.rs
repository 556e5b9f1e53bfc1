//! One subscription record at Lotus: what it is, what ends it, and how it is shown.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::body::{CancelTerms, UpdateTerms};
use super::view::{self, View};
use crate::sandbox::cast;
use crate::sandbox::moment::{Moment, to_micros};
use crate::sandbox::store::{Record, Tally, Truth};
use crate::sandbox::wire::{Manner, Provider};

/// Whose it is. Only lists ask; a request by id does not (transcript I).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::sandbox) enum Organization {
    #[default]
    Ours,
    Other,
}

/// What a list can be filtered by (`ListSubscriptionRecordFilter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Active,
    Ended,
    NotStarted,
}

/// A name and value a subscription is narrowed by.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::sandbox) struct Filter {
    pub property_name: String,
    pub value: String,
}

/// An add-on, as seeded.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::sandbox) struct AddonTraits {
    /// 32 hex digits: `addon_sub_<hex>`, and `sub_<hex>` as an entry of the list.
    pub id: String,
    #[serde(default = "AddonTraits::usual_name")]
    pub name: String,
    #[serde(default = "AddonTraits::usual_addon_id")]
    pub addon_id: String,
    #[serde(default = "AddonTraits::usual_version_id")]
    pub version_id: String,
    #[serde(default = "AddonTraits::usual_start")]
    pub start: Moment,
    #[serde(default = "AddonTraits::usual_end")]
    pub end: Moment,
}

impl AddonTraits {
    fn usual_name() -> String {
        "Extra support".to_owned()
    }

    fn usual_addon_id() -> String {
        cast::LOTUS_ADDON.to_owned()
    }

    fn usual_version_id() -> String {
        cast::LOTUS_ADDON_VERSION.to_owned()
    }

    fn usual_start() -> Moment {
        Moment::days(-5)
    }

    fn usual_end() -> Moment {
        Moment::days(20)
    }
}

/// What records of one seed have in common.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::sandbox) struct Traits {
    pub organization: Organization,
    /// By default `cust_` and the record's own 32 digits.
    pub customer_id: Option<String>,
    pub customer_name: String,
    /// By default the customer's id at example.com, with `canary-` before it.
    pub customer_email: Option<String>,
    pub time_zone: Tz,
    pub plan_name: String,
    /// With its prefix, `plan_<hex>`.
    pub plan_id: String,
    pub version_id: String,
    pub version: Value,
    /// Whether the plan has a usage component: it decides `fully_billed` after a cancel.
    pub metered: bool,
    pub start: Moment,
    pub end: Moment,
    pub auto_renew: bool,
    /// False for one that a renewal made.
    pub is_new: bool,
    pub fully_billed: bool,
    pub filters: Vec<Filter>,
    pub addons: Vec<AddonTraits>,
    pub metadata: Map<String, Value>,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            organization: Organization::default(),
            customer_id: None,
            customer_name: "Canary Customer".to_owned(),
            customer_email: None,
            time_zone: Tz::UTC,
            plan_name: "Pro Monthly".to_owned(),
            plan_id: cast::LOTUS_PLAN.to_owned(),
            version_id: cast::LOTUS_PLAN_VERSION.to_owned(),
            version: json!(1),
            metered: false,
            start: Moment::days(-10),
            end: Moment::days(20),
            auto_renew: true,
            is_new: true,
            fully_billed: false,
            filters: Vec::new(),
            addons: Vec::new(),
            metadata: Map::new(),
        }
    }
}

/// What of an add-on changes.
#[derive(Clone, Debug)]
pub(super) struct AddonState {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub auto_renew: bool,
    pub fully_billed: bool,
}

/// One subscription record.
#[derive(Clone, Debug)]
pub(in crate::sandbox) struct Subscription {
    pub(super) hex: Arc<str>,
    pub(super) traits: Arc<Traits>,
    pub(super) start: DateTime<Utc>,
    pub(super) end: DateTime<Utc>,
    /// Its end as it was seeded.
    planned_end: DateTime<Utc>,
    pub(super) auto_renew: bool,
    pub(super) fully_billed: bool,
    /// What an update wrote, in place of the seed's.
    pub(super) metadata: Option<Box<Value>>,
    pub(super) addons: Box<[AddonState]>,
    tally: Tally,
}

/// Why a cancel did not happen.
pub(super) enum Refused {
    AlreadyEnded,
    /// The database's words about a record that would end before it starts (transcript G).
    NotStarted(String),
}

impl Subscription {
    pub fn new(hex: Arc<str>, traits: Arc<Traits>, now: DateTime<Utc>) -> Self {
        let addons = traits.addons.iter().map(|addon| AddonState {
            start: addon.start.on(now),
            end: addon.end.on(now),
            auto_renew: true,
            fully_billed: false,
        });
        Self {
            start: traits.start.on(now),
            end: traits.end.on(now),
            planned_end: traits.end.on(now),
            auto_renew: traits.auto_renew,
            fully_billed: traits.fully_billed,
            metadata: None,
            addons: addons.collect(),
            hex,
            traits,
            tally: Tally::default(),
        }
    }

    /// active = start <= now <= end; ended = end < now; not started = start > now.
    pub(super) fn state(&self, now: DateTime<Utc>) -> State {
        state(self.start, self.end, now)
    }

    /// Whether a cancel at this time passes its first check, `end_date <= now`.
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.end > now
    }

    pub fn customer_id(&self) -> String {
        match &self.traits.customer_id {
            Some(id) => id.clone(),
            None => format!("cust_{}", self.hex),
        }
    }

    /// `cancel_subscription` (`backend/metering_billing/models.py`, line 3161).
    pub(super) fn cancel(
        &mut self,
        terms: CancelTerms,
        now: DateTime<Utc>,
        manner: Manner,
    ) -> Result<View, Refused> {
        let now = to_micros(now);
        if manner == Manner::Idly {
            return Ok(self.view());
        }
        if manner != Manner::AlreadyChecked && !self.is_live(now) {
            return Err(Refused::AlreadyEnded);
        }
        if self.start > now {
            return Err(Refused::NotStarted(self.constraint_violation(now)));
        }
        if manner == Manner::Pretending {
            let mut other = self.clone();
            other.end_at(now, terms);
            return Ok(other.view());
        }
        self.end_at(now, terms);
        self.tally.cancelled(now);
        Ok(self.view())
    }

    fn end_at(&mut self, now: DateTime<Utc>, terms: CancelTerms) {
        self.auto_renew = false;
        self.end = now;
        self.fully_billed = terms.invoices_now
            && !terms.charges_full
            && (terms.bills_usage || !self.traits.metered);
        for addon in &mut self.addons {
            if addon.end > now {
                addon.end = now;
                addon.auto_renew = false;
                addon.fully_billed = self.fully_billed;
            }
        }
    }

    /// Applies an update; the wrong state is accepted, and an end date in the future brings
    /// an ended record back (transcript F).
    pub(super) fn update(&mut self, terms: UpdateTerms) {
        let UpdateTerms {
            turn_off_auto_renew,
            end_date,
            metadata,
        } = terms;
        let changes = (turn_off_auto_renew && self.auto_renew)
            || end_date.is_some_and(|end| end != self.end)
            || metadata.is_some();
        self.tally.updates_effective += u32::from(changes);
        self.auto_renew &= !turn_off_auto_renew;
        if let Some(end) = end_date {
            self.end = to_micros(end);
        }
        if let Some(metadata) = metadata {
            self.metadata = Some(Box::new(metadata));
        }
    }

    /// As it is, or for a stale read as it was before any cancel.
    pub fn shown(&self, manner: Manner) -> Cow<'_, Self> {
        if manner != Manner::Stale {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self {
            end: self.planned_end,
            auto_renew: self.traits.auto_renew,
            fully_billed: self.traits.fully_billed,
            ..self.clone()
        })
    }

    /// The record as every endpoint shows it.
    pub fn view(&self) -> View {
        View::of(self)
    }

    /// Its entries in a list: itself, and each add-on under an id of its own (transcript M).
    pub(super) fn list_entries(&self, wanted: &[State], now: DateTime<Utc>) -> Vec<View> {
        let lets = |state| wanted.is_empty() || wanted.contains(&state);
        let own = lets(self.state(now)).then(|| self.view());
        let addons = self.addons.iter().zip(&self.traits.addons);
        let addons = addons
            .filter(|(addon, _)| lets(state(addon.start, addon.end, now)))
            .map(|(addon, traits)| View::of_addon(self, addon, traits));
        own.into_iter().chain(addons).collect()
    }

    fn constraint_violation(&self, now: DateTime<Utc>) -> String {
        let flag = |value: bool| if value { 't' } else { 'f' };
        format!(
            "new row for relation \"metering_billing_subscriptionrecord\" violates check \
             constraint \"end_date_gte_start_date\"\nDETAIL:  Failing row contains (35, {}, {}, \
             f, {}, 35, 2, 1, null, t, null, {}, null, 1, {{}}, {{}}, null).\n",
            view::postgres(self.start),
            view::postgres(now),
            flag(self.traits.is_new),
            view::dashed(&self.hex),
        )
    }
}

fn state(start: DateTime<Utc>, end: DateTime<Utc>, now: DateTime<Utc>) -> State {
    if start > now {
        State::NotStarted
    } else if end < now {
        State::Ended
    } else {
        State::Active
    }
}

impl Record for Subscription {
    fn id(&self) -> &Arc<str> {
        &self.hex
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn truth(&self, now: DateTime<Utc>) -> Truth {
        Truth {
            provider: Provider::Lotus,
            id: format!("sub_{}", self.hex),
            live: self.is_live(now),
            ended_at: (!self.is_live(now)).then_some(self.end),
            cancelled_at: self.tally.cancelled_at,
            requests: self.tally.requests,
            cancels_received: self.tally.cancels_received,
            cancels_effective: self.tally.cancels_effective,
            updates_effective: self.tally.updates_effective,
            detail: json!({
                "state": self.state(now),
                "start": self.start,
                "end": self.end,
                "auto_renew": self.auto_renew,
                "is_new": self.traits.is_new,
                "customer_id": self.customer_id(),
                "plan_id": self.traits.plan_id,
                "organization": self.traits.organization,
            }),
        }
    }

    fn group(&self) -> Option<Arc<str>> {
        self.traits.customer_id.as_deref().map(Arc::from)
    }
}
