//! The file's shape: every key, every value still as the text that was written.
//!
//! The comments on the keys are what an editor shows: the JSON Schema is made from them.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::schema;

/// The main file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["version", "providers"]))]
pub(super) struct Root {
    /// The version of this format: 1.
    #[schemars(schema_with = "schema::literal_one")]
    pub version: Option<String>,
    /// observe (default): everything but the write; enforce: act. A provider can have its own.
    #[schemars(schema_with = "schema::mode")]
    pub mode: Option<String>,
    /// Where metrics, health, API and page are served, such as 127.0.0.1:9740. Takes effect at the
    /// next start.
    pub listen: Option<String>,
    /// A second address for metrics and health alone.
    pub metrics_listen: Option<String>,
    /// The ledger: `sqlite:PATH`. Takes effect at the next start.
    #[schemars(schema_with = "schema::ledger")]
    pub ledger: Option<String>,
    /// The id of the ledger that this file means; another one is not acted on. `lapsed run` prints
    /// it at its first start.
    #[schemars(schema_with = "schema::hex32")]
    pub ledger_id: Option<String>,
    /// The password of a shared ledger.
    pub ledger_password: Option<Secret>,
    /// What `POST /-/…` asks for as a Bearer token.
    pub admin_token: Option<Secret>,
    /// What the page and the API ask for off loopback.
    pub read_token: Option<Secret>,
    /// Names that a request may have in `Host`, beside IP literals and localhost.
    pub allowed_hosts: Option<Vec<String>>,
    /// More items than this are refused (2000000).
    #[schemars(schema_with = "schema::count")]
    pub max_items: Option<String>,
    /// More bytes than this, over all files, are refused (512MiB).
    #[schemars(schema_with = "schema::size")]
    pub max_bytes: Option<String>,
    /// When passes run.
    pub reconcile: Option<Reconcile>,
    /// The billing providers; the key is the name that everything else uses.
    pub providers: Option<BTreeMap<String, Provider>>,
    /// Read top to bottom; for each field the first policy that matches and sets it wins.
    pub policies: Option<Vec<Policy>>,
    /// Caps on what may happen, over all providers.
    pub limits: Option<Limits>,
    /// Times in which nothing is sent.
    pub freezes: Option<Vec<Freeze>>,
    /// What a person has approved, by the digest that `lapsed plan` prints.
    pub approvals: Option<Vec<Approval>>,
    /// Patterns of files below this file's folder, such as `cancellations/*.yaml`.
    pub include: Option<Vec<String>>,
    /// What shall end.
    #[schemars(schema_with = "schema::cancellations")]
    pub cancellations: Option<IgnoredAny>,
}

/// An included file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Included {
    /// Fields for every item of this file that does not set them itself.
    #[schemars(schema_with = "schema::defaults")]
    pub defaults: Option<Item>,
    /// What shall end.
    #[schemars(schema_with = "schema::cancellations")]
    pub cancellations: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Reconcile {
    /// When writes may start: cron with five fields, six with seconds first, or `@hourly` and the
    /// like (`*/5 * * * *`).
    #[schemars(schema_with = "schema::schedule")]
    pub schedule: Option<String>,
    /// An IANA zone such as Europe/Berlin: where a bare day begins, and what the schedules mean.
    pub timezone: Option<String>,
    /// Time to revert a commit before it is acted on (0s).
    #[schemars(schema_with = "schema::duration")]
    pub wait_after_accept: Option<String>,
    /// Warned of when no reading of the whole set has succeeded for this long (24h).
    #[schemars(schema_with = "schema::duration")]
    pub source_max_age: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["type"]))]
pub(super) struct Provider {
    /// Which API it speaks.
    #[schemars(schema_with = "schema::kind")]
    pub r#type: Option<String>,
    /// Kajabi: the client's id.
    pub client_id: Option<Secret>,
    /// Kajabi: the client's secret.
    pub client_secret: Option<Secret>,
    /// Kajabi: a ready token. Lotus: a login token (two hours; for tries, not for a daemon).
    pub token: Option<Secret>,
    /// Revere: sent as it is in `Authorization`. Lotus: sent as `X-API-KEY`.
    pub api_key: Option<Secret>,
    /// Revere: required.
    pub group_id: Option<String>,
    /// Revere: required.
    pub linked_account_id: Option<String>,
    /// Lotus: must be what the API says the key belongs to.
    pub organization_id: Option<String>,
    /// Required for lotus; elsewhere the documented address. https, or http on loopback.
    pub base_url: Option<String>,
    /// Overrides `reconcile.schedule`.
    #[schemars(schema_with = "schema::schedule")]
    pub schedule: Option<String>,
    /// Overrides `mode`.
    #[schemars(schema_with = "schema::mode")]
    pub mode: Option<String>,
    /// Requests per second, minute or hour, such as 60/m (60/m).
    #[schemars(schema_with = "schema::rate")]
    pub rate_limit: Option<String>,
    /// Requests in flight (2).
    #[schemars(schema_with = "schema::positive")]
    pub concurrency: Option<String>,
    /// For one whole request (20s).
    #[schemars(schema_with = "schema::duration")]
    pub timeout: Option<String>,
    /// How long a lost request may still take effect over there (30m); longer than `timeout`.
    #[schemars(schema_with = "schema::duration")]
    pub resend_after: Option<String>,
    /// Every item must name these in its `expect`.
    #[schemars(schema_with = "schema::expect_fields")]
    pub require_expect: Option<Vec<String>>,
    /// A private certificate authority, as PEM.
    pub ca: Option<Secret>,
    /// A proxy. None is taken from the environment.
    pub proxy: Option<String>,
    /// Kajabi: an instalment plan is a debt; cancelling it writes the rest off. hold (default) or
    /// cancel.
    #[schemars(schema_with = "schema::payment_plans")]
    pub payment_plans: Option<String>,
    /// If given, every reason must be one of these.
    #[schemars(schema_with = "schema::texts")]
    pub reasons: Option<Vec<String>>,
    /// Lotus, `end_of_period`: renewal is turned off at_once (default) or in_window.
    #[schemars(schema_with = "schema::renewal_off")]
    pub renewal_off: Option<String>,
    /// The name that this provider had before: its requests go on under the new one.
    pub formerly: Option<String>,
    /// Caps of its own, beside the common ones.
    pub limits: Option<Limits>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    /// Writes in any rolling hour (100). Zero means zero.
    #[schemars(schema_with = "schema::count")]
    pub per_hour: Option<String>,
    /// Writes in any rolling 24 h (500). Zero means zero.
    #[schemars(schema_with = "schema::count")]
    pub per_day: Option<String>,
    /// More new items than this in one revision wait for an approval (100).
    #[schemars(schema_with = "schema::count")]
    pub approval_above: Option<String>,
    /// More open items than this gone in one revision are held (20%; five never are).
    #[schemars(schema_with = "schema::share")]
    pub removal_above: Option<String>,
    /// Failures in a row that stop the provider (5).
    #[schemars(schema_with = "schema::positive")]
    pub stop_after_failures: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "set"]))]
pub(super) struct Policy {
    /// Unique; `explain` names it.
    pub name: Option<String>,
    /// All conditions must hold; no match: everything.
    pub r#match: Option<Match>,
    /// What it sets.
    pub set: Option<Set>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Match {
    /// Names of providers; globs.
    pub provider: Option<OneOrMany>,
    /// Types of providers: kajabi, revere, lotus.
    pub r#type: Option<OneOrMany>,
    /// Ids of subscriptions; globs.
    pub id: Option<OneOrMany>,
    /// Labels of the item; the values are globs.
    pub labels: Option<BTreeMap<String, OneOrMany>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Set {
    /// now, end_of_period, a day such as 2026-12-31, or an RFC 3339 instant.
    #[schemars(schema_with = "schema::when")]
    pub when: Option<String>,
    /// Sent to Revere word for word, and kept for every provider.
    #[schemars(schema_with = "schema::text")]
    pub reason: Option<String>,
    /// end_of_period: when before the period ends the cancel may be sent.
    pub window: Option<Window>,
    /// end_of_period: what happens when the window has gone by (next_period).
    #[schemars(schema_with = "schema::when_missed")]
    pub when_missed: Option<String>,
    /// Lotus: what becomes of fees charged in advance; unset: each charge's own setting.
    #[schemars(schema_with = "schema::flat_fee")]
    pub flat_fee_behavior: Option<String>,
    /// Lotus, cut off before the period ends: what becomes of usage not billed yet. No default.
    #[schemars(schema_with = "schema::usage")]
    pub usage_behavior: Option<String>,
    /// Lotus, cut off before the period ends: when the last invoice is made. No default.
    #[schemars(schema_with = "schema::invoicing")]
    pub invoicing_behavior: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Window {
    /// How long before the period ends it opens (24h).
    #[schemars(schema_with = "schema::duration")]
    pub opens: Option<String>,
    /// How long before the period ends it closes (6h).
    #[schemars(schema_with = "schema::duration")]
    pub closes: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub(super) struct Freeze {
    /// Shown wherever it holds something.
    pub name: Option<String>,
    /// The first day, in `reconcile.timezone`.
    #[schemars(schema_with = "schema::day")]
    pub from: Option<String>,
    /// The last day, included.
    #[schemars(schema_with = "schema::day")]
    pub until: Option<String>,
    /// Or: when it begins, with `for`.
    #[schemars(schema_with = "schema::schedule")]
    pub cron: Option<String>,
    /// How long it lasts from each time that `cron` names.
    #[schemars(schema_with = "schema::duration")]
    pub r#for: Option<String>,
    /// Whom it holds; as in policies.
    pub r#match: Option<Match>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["plan", "by", "until"]))]
pub(super) struct Approval {
    /// The digest that `lapsed plan` prints for what waits.
    #[schemars(schema_with = "schema::hex32")]
    pub plan: Option<String>,
    /// Who approved.
    pub by: Option<String>,
    /// May first apply until then, that day included.
    #[schemars(schema_with = "schema::day")]
    pub until: Option<String>,
    /// A canary: frees only the first so many.
    #[schemars(schema_with = "schema::count")]
    pub at_most: Option<String>,
    /// A limit of their own for these items.
    #[schemars(schema_with = "schema::count")]
    pub per_day: Option<String>,
}

/// One cancellation, and the defaults of a file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Item {
    /// The subscription's id at the provider; for Kajabi the purchase's. Quote it: ids are text.
    #[schemars(schema_with = "schema::text")]
    pub id: Option<String>,
    /// A name under `providers`; needed unless there is only one, or the file's defaults name it.
    pub provider: Option<String>,
    /// now, end_of_period, a day such as 2026-12-31 (its first instant), or an RFC 3339 instant.
    #[schemars(schema_with = "schema::when")]
    pub when: Option<String>,
    /// Sent to Revere word for word, and kept for every provider.
    #[schemars(schema_with = "schema::text")]
    pub reason: Option<String>,
    /// When it was asked for; information only.
    #[schemars(schema_with = "schema::text")]
    pub requested: Option<String>,
    /// Free words for policies, freezes and reports; no personal data.
    #[schemars(schema_with = "schema::texts_by_name")]
    pub labels: Option<BTreeMap<String, String>>,
    /// What the provider must say of the subscription, or nothing is done.
    #[schemars(schema_with = "schema::expect")]
    pub expect: Option<BTreeMap<String, String>>,
    /// 2 asks a second time for the same subscription (1).
    #[schemars(schema_with = "schema::positive")]
    pub again: Option<String>,
    /// When the paid period ends, for providers that do not tell.
    #[schemars(schema_with = "schema::moment")]
    pub period_ends: Option<String>,
    /// end_of_period: when before the period ends the cancel may be sent.
    pub window: Option<Window>,
    /// end_of_period: what happens when the window has gone by (next_period).
    #[schemars(schema_with = "schema::when_missed")]
    pub when_missed: Option<String>,
    /// Lotus: what becomes of fees charged in advance; unset: each charge's own setting.
    #[schemars(schema_with = "schema::flat_fee")]
    pub flat_fee_behavior: Option<String>,
    /// Lotus, cut off before the period ends: what becomes of usage not billed yet. No default.
    #[schemars(schema_with = "schema::usage")]
    pub usage_behavior: Option<String>,
    /// Lotus, cut off before the period ends: when the last invoice is made. No default.
    #[schemars(schema_with = "schema::invoicing")]
    pub invoicing_behavior: Option<String>,
}

/// One text, or a list of them.
#[derive(Clone, Debug, Default)]
pub(super) struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMany(texts))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

/// Where a secret is found. One that stands in the file itself is refused without a word of
/// it.
#[derive(Clone, Debug)]
pub(super) enum Secret {
    Env(String),
    File(String),
    Value(secrecy::SecretString),
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reference;
        const ALLOWED: &str =
            "a secret is written as `{env: NAME}` or `{file: PATH}`, never itself";
        impl<'de> Visitor<'de> for Reference {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`{env: NAME}` or `{file: PATH}`")
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Secret, E> {
                Err(E::custom(ALLOWED))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                let mut found = None;
                while let Some(key) = map.next_key::<String>()? {
                    if found.is_some() {
                        return Err(de::Error::custom(ALLOWED));
                    }
                    let value: String = map.next_value()?;
                    found = Some(match key.as_str() {
                        "env" => Secret::Env(value),
                        "file" => Secret::File(value),
                        "value" => Secret::Value(value.into()),
                        _ => return Err(de::Error::custom(ALLOWED)),
                    });
                }
                found.ok_or_else(|| de::Error::custom(ALLOWED))
            }
        }
        deserializer.deserialize_any(Reference)
    }
}
