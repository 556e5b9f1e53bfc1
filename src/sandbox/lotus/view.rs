//! The bodies of Lotus' good answers, member by member in the real one's order, so that a
//! transcript can be replayed byte for byte.

use chrono::{DateTime, Timelike, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use serde_json::{Value, json};

use super::record::{AddonState, AddonTraits, Filter, Subscription};

/// A subscription as every endpoint shows it (`docs/openapi.yaml`, transcript A).
#[derive(Clone, Debug, Serialize)]
pub(in crate::sandbox) struct View {
    subscription_id: String,
    start_date: String,
    end_date: String,
    auto_renew: bool,
    is_new: bool,
    subscription_filters: Vec<Filter>,
    customer: CustomerView,
    billing_plan: PlanView,
    fully_billed: bool,
    addons: Vec<AddonView>,
    metadata: Value,
}

#[derive(Clone, Debug, Serialize)]
struct CustomerView {
    customer_name: String,
    email: String,
    customer_id: String,
}

#[derive(Clone, Debug, Serialize)]
struct PlanView {
    plan_name: String,
    plan_id: String,
    version_id: String,
    version: Value,
}

#[derive(Clone, Debug, Serialize)]
struct AddonView {
    addon_subscription_id: String,
    start_date: String,
    end_date: String,
    addon: AddonKind,
    fully_billed: bool,
}

#[derive(Clone, Debug, Serialize)]
struct AddonKind {
    addon_name: String,
    addon_id: String,
    addon_type: &'static str,
    billing_frequency: &'static str,
}

impl View {
    pub(super) fn of(record: &Subscription) -> Self {
        let traits = &record.traits;
        let zone = traits.time_zone;
        let addons = record.addons.iter().zip(&traits.addons);
        Self {
            subscription_id: format!("sub_{}", record.hex),
            start_date: iso(record.start, zone),
            end_date: iso(record.end, zone),
            auto_renew: record.auto_renew,
            is_new: traits.is_new,
            subscription_filters: traits.filters.clone(),
            customer: CustomerView::of(record),
            billing_plan: PlanView {
                plan_name: traits.plan_name.clone(),
                plan_id: traits.plan_id.clone(),
                version_id: traits.version_id.clone(),
                version: traits.version.clone(),
            },
            fully_billed: record.fully_billed,
            addons: addons
                .map(|(state, addon)| AddonView::of(state, addon, zone))
                .collect(),
            metadata: match &record.metadata {
                Some(written) => (**written).clone(),
                None => Value::Object(traits.metadata.clone()),
            },
        }
    }

    /// An add-on as the entry of its own that a list makes of it.
    pub(super) fn of_addon(parent: &Subscription, state: &AddonState, addon: &AddonTraits) -> Self {
        let zone = parent.traits.time_zone;
        let hex_of_addon = addon.addon_id.trim_start_matches("addon_");
        Self {
            subscription_id: format!("sub_{}", addon.id),
            start_date: iso(state.start, zone),
            end_date: iso(state.end, zone),
            auto_renew: state.auto_renew,
            is_new: true,
            subscription_filters: Vec::new(),
            customer: CustomerView::of(parent),
            billing_plan: PlanView {
                plan_name: addon.name.clone(),
                plan_id: format!("plan_{hex_of_addon}"),
                version_id: addon.version_id.clone(),
                version: json!(1),
            },
            fully_billed: state.fully_billed,
            addons: Vec::new(),
            metadata: json!({}),
        }
    }
}

impl CustomerView {
    fn of(record: &Subscription) -> Self {
        let customer_id = record.customer_id();
        Self {
            customer_name: record.traits.customer_name.clone(),
            email: match &record.traits.customer_email {
                Some(email) => email.clone(),
                None => format!("canary-{customer_id}@example.com"),
            },
            customer_id,
        }
    }
}

impl AddonView {
    fn of(state: &AddonState, addon: &AddonTraits, zone: Tz) -> Self {
        Self {
            addon_subscription_id: format!("addon_sub_{}", addon.id),
            start_date: iso(state.start, zone),
            end_date: iso(state.end, zone),
            addon: AddonKind {
                addon_name: addon.name.clone(),
                addon_id: addon.addon_id.clone(),
                addon_type: "flat",
                billing_frequency: "recurring",
            },
            fully_billed: state.fully_billed,
        }
    }
}

/// A customer with its *active* subscriptions only (transcript A). Invoices are not kept.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CustomerBody {
    customer_id: String,
    email: String,
    customer_name: String,
    invoices: [Value; 0],
    total_amount_due: f64,
    subscriptions: Vec<View>,
    integrations: Value,
    default_currency: Value,
    payment_provider: Value,
    payment_provider_id: Value,
    has_payment_method: bool,
    address: Value,
    billing_address: Value,
    shipping_address: Value,
    tax_rate: Value,
    timezone: &'static str,
    tax_providers: [Value; 0],
}

impl CustomerBody {
    pub fn of(any: &Subscription, subscriptions: Vec<View>) -> Self {
        let CustomerView {
            customer_name,
            email,
            customer_id,
        } = CustomerView::of(any);
        Self {
            customer_id,
            email,
            customer_name,
            invoices: [],
            total_amount_due: 0.0,
            subscriptions,
            integrations: json!({ "stripe": null, "braintree": null }),
            default_currency: json!({ "code": "USD", "name": "US Dollar", "symbol": "$" }),
            payment_provider: Value::Null,
            payment_provider_id: Value::Null,
            has_payment_method: false,
            address: Value::Null,
            billing_address: Value::Null,
            shipping_address: Value::Null,
            tax_rate: Value::Null,
            timezone: any.traits.time_zone.name(),
            tax_providers: [],
        }
    }
}

/// ISO 8601 in the customer's zone, with a numeric offset; microseconds only if there are
/// any (transcript L).
fn iso(instant: DateTime<Utc>, zone: Tz) -> String {
    let local = instant.with_timezone(&zone);
    let format = if local.nanosecond() == 0 {
        "%Y-%m-%dT%H:%M:%S%:z"
    } else {
        "%Y-%m-%dT%H:%M:%S%.6f%:z"
    };
    local.format(format).to_string()
}

/// An instant as PostgreSQL prints one.
pub(super) fn postgres(instant: DateTime<Utc>) -> String {
    let format = if instant.nanosecond() == 0 {
        "%Y-%m-%d %H:%M:%S+00"
    } else {
        "%Y-%m-%d %H:%M:%S%.6f+00"
    };
    instant.format(format).to_string()
}

/// 32 hex digits as a UUID with dashes.
pub(super) fn dashed(hex: &str) -> String {
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}
