//! The file's shape: every key, every value still as the text that was written.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The main file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Root {
    pub version: Option<String>,
    pub mode: Option<String>,
    pub listen: Option<String>,
    pub metrics_listen: Option<String>,
    pub ledger: Option<String>,
    pub ledger_id: Option<String>,
    pub ledger_password: Option<Secret>,
    pub admin_token: Option<Secret>,
    pub read_token: Option<Secret>,
    pub allowed_hosts: Option<Vec<String>>,
    pub max_items: Option<String>,
    pub max_bytes: Option<String>,
    pub reconcile: Option<Reconcile>,
    pub providers: Option<BTreeMap<String, Provider>>,
    pub policies: Option<Vec<Policy>>,
    pub limits: Option<Limits>,
    pub freezes: Option<Vec<Freeze>>,
    pub approvals: Option<Vec<Approval>>,
    pub include: Option<Vec<String>>,
    pub cancellations: Option<IgnoredAny>,
}

/// An included file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Included {
    pub defaults: Option<Item>,
    pub cancellations: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Reconcile {
    pub schedule: Option<String>,
    pub timezone: Option<String>,
    pub wait_after_accept: Option<String>,
    pub source_max_age: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Provider {
    pub r#type: Option<String>,
    pub client_id: Option<Secret>,
    pub client_secret: Option<Secret>,
    pub token: Option<Secret>,
    pub api_key: Option<Secret>,
    pub group_id: Option<String>,
    pub linked_account_id: Option<String>,
    pub organization_id: Option<String>,
    pub base_url: Option<String>,
    pub schedule: Option<String>,
    pub mode: Option<String>,
    pub rate_limit: Option<String>,
    pub concurrency: Option<String>,
    pub timeout: Option<String>,
    pub resend_after: Option<String>,
    pub require_expect: Option<Vec<String>>,
    pub ca: Option<Secret>,
    pub proxy: Option<String>,
    pub payment_plans: Option<String>,
    pub reasons: Option<Vec<String>>,
    pub renewal_off: Option<String>,
    pub formerly: Option<String>,
    pub limits: Option<Limits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub per_hour: Option<String>,
    pub per_day: Option<String>,
    pub approval_above: Option<String>,
    pub removal_above: Option<String>,
    pub stop_after_failures: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Policy {
    pub name: Option<String>,
    pub r#match: Option<Match>,
    pub set: Option<Set>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Match {
    pub provider: Option<OneOrMany>,
    pub r#type: Option<OneOrMany>,
    pub id: Option<OneOrMany>,
    pub labels: Option<BTreeMap<String, OneOrMany>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Set {
    pub when: Option<String>,
    pub reason: Option<String>,
    pub window: Option<Window>,
    pub when_missed: Option<String>,
    pub flat_fee_behavior: Option<String>,
    pub usage_behavior: Option<String>,
    pub invoicing_behavior: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Window {
    pub opens: Option<String>,
    pub closes: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Freeze {
    pub name: Option<String>,
    pub from: Option<String>,
    pub until: Option<String>,
    pub cron: Option<String>,
    pub r#for: Option<String>,
    pub r#match: Option<Match>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Approval {
    pub plan: Option<String>,
    pub by: Option<String>,
    pub until: Option<String>,
    pub at_most: Option<String>,
    pub per_day: Option<String>,
}

/// One cancellation, and the defaults of a file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Item {
    pub id: Option<String>,
    pub provider: Option<String>,
    pub when: Option<String>,
    pub reason: Option<String>,
    pub requested: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
    pub expect: Option<BTreeMap<String, String>>,
    pub again: Option<String>,
    pub period_ends: Option<String>,
    pub window: Option<Window>,
    pub when_missed: Option<String>,
    pub flat_fee_behavior: Option<String>,
    pub usage_behavior: Option<String>,
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
