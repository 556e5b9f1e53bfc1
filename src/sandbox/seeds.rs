//! What a sandbox begins with: subscriptions written as JSON, one by one or many at once.
//!
//! ```json
//! [{"provider": "lotus", "id": "sub_65aafd4e30a8416c8b7a8187e78e6f6b", "end": "+20d"},
//!  {"provider": "revere", "count": 10000, "prefix": "bulk-"}]
//! ```
//!
//! Ids of many are `prefix` and a number from `first` (0) on: at Kajabi and Revere with at
//! least six digits, at Lotus filled up with zeros to 32 hex digits. Without a prefix they
//! are decimal (Kajabi), a UUID (Revere), or begin with `b01c` (Lotus).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::reading::read;
use super::store::MOST_RECORDS;
use super::wire::Provider;
use super::{cast, kajabi, lotus, revere};

/// Subscriptions to begin with.
#[derive(Clone, Debug, Default)]
pub struct Seeds {
    batches: Vec<Batch>,
}

/// Subscriptions that differ in nothing but their ids.
#[derive(Clone, Debug)]
struct Batch {
    ids: Ids,
    traits: Traits,
}

#[derive(Clone, Debug)]
enum Traits {
    Kajabi(Arc<kajabi::Traits>),
    Revere(Arc<revere::Traits>),
    Lotus(Arc<lotus::Traits>),
}

#[derive(Clone, Debug)]
enum Ids {
    One(String),
    Many {
        prefix: String,
        /// How many characters the number is filled up to.
        digits: usize,
        first: u64,
        count: u64,
    },
}

/// The part of a seed that is the same at every provider.
#[derive(Deserialize)]
struct Head {
    provider: Provider,
    id: Option<String>,
    count: Option<u64>,
    prefix: Option<String>,
    first: Option<u64>,
}

impl Seeds {
    /// Nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads one seed, or an array of them. The error lists every problem.
    pub fn parse(json: &Value) -> Result<Self, Vec<String>> {
        let written = match json {
            Value::Array(seeds) => seeds.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut batches = Vec::new();
        let mut problems = Vec::new();
        for (place, seed) in written.iter().enumerate() {
            match Batch::parse(seed) {
                Ok(batch) => batches.push(batch),
                Err(problem) => problems.push(format!("seed {}: {problem}", place + 1)),
            }
        }
        if problems.is_empty() {
            Ok(Self { batches })
        } else {
            Err(problems)
        }
    }

    /// The cast of [`cast::CAST`], its times counted from when it is loaded.
    pub fn demo() -> Self {
        Self::parse(&demo()).expect("the cast is written here and read by a test")
    }

    /// How many subscriptions these are.
    pub fn len(&self) -> u64 {
        self.batches.iter().map(|batch| batch.ids.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts them on the shelves.
    pub(super) fn load(
        &self,
        kajabi: &kajabi::Kajabi,
        revere: &revere::Revere,
        lotus: &lotus::Lotus,
        now: DateTime<Utc>,
    ) {
        for Batch { ids, traits } in &self.batches {
            match traits {
                Traits::Kajabi(traits) => kajabi.purchases.load(
                    ids.each()
                        .map(|id| kajabi::Purchase::new(id, Arc::clone(traits), now)),
                ),
                Traits::Revere(traits) => revere.subscriptions.load(
                    ids.each()
                        .map(|id| revere::Subscription::new(id, Arc::clone(traits), now)),
                ),
                Traits::Lotus(traits) => lotus.subscriptions.load(
                    ids.each()
                        .map(|id| lotus::Subscription::new(id, Arc::clone(traits), now)),
                ),
            }
        }
    }
}

impl Batch {
    fn parse(seed: &Value) -> Result<Self, String> {
        let Value::Object(members) = seed else {
            return Err("is not an object".to_owned());
        };
        let (head, rest): (Map<_, _>, Map<_, _>) = members
            .clone()
            .into_iter()
            .partition(|(name, _)| HEAD.contains(&name.as_str()));
        let head: Head = read(&Value::Object(head))?;
        let rest = Value::Object(rest);
        let traits = match head.provider {
            Provider::Kajabi => Traits::Kajabi(Arc::new(read(&rest)?)),
            Provider::Revere => Traits::Revere(Arc::new(read(&rest)?)),
            Provider::Lotus => Traits::Lotus(Arc::new(read(&rest)?)),
        };
        Ok(Self {
            ids: Ids::of(head)?,
            traits,
        })
    }
}

/// The members of [`Head`].
const HEAD: [&str; 5] = ["provider", "id", "count", "prefix", "first"];

impl Ids {
    fn of(head: Head) -> Result<Self, String> {
        match head {
            Head {
                provider,
                id: Some(id),
                count: None,
                prefix: None,
                first: None,
            } => Self::one(provider, id),
            Head {
                provider,
                id: None,
                count: Some(count),
                prefix,
                first,
            } => Self::many(provider, count, prefix, first.unwrap_or_default()),
            _ => Err("needs either `id`, or `count` with or without `prefix` and `first`".into()),
        }
    }

    fn one(provider: Provider, id: String) -> Result<Self, String> {
        match provider {
            Provider::Lotus => lotus::normal(&id)
                .map(Self::One)
                .ok_or_else(|| format!("`{id}` is no id of Lotus; write `sub_` and 32 hex digits")),
            Provider::Kajabi | Provider::Revere if id.is_empty() => Err("`id` is empty".into()),
            Provider::Kajabi | Provider::Revere => Ok(Self::One(id)),
        }
    }

    fn many(
        provider: Provider,
        count: u64,
        prefix: Option<String>,
        first: u64,
    ) -> Result<Self, String> {
        if count > MOST_RECORDS as u64 {
            return Err(format!("`count` is {count}; at most {MOST_RECORDS}"));
        }
        let last = first.checked_add(count).ok_or("`first` is too large")?;
        let (prefix, digits) = match (provider, prefix) {
            (Provider::Kajabi, None) => ("90".to_owned(), 8),
            (Provider::Revere, None) => ("b01c0000-0000-4000-8000-".to_owned(), 12),
            (Provider::Kajabi | Provider::Revere, Some(prefix)) => (prefix, 6),
            (Provider::Lotus, prefix) => {
                let prefix = prefix.unwrap_or_else(|| "b01c".to_owned());
                let prefix = prefix
                    .strip_prefix("sub_")
                    .unwrap_or(&prefix)
                    .to_lowercase();
                let room = 32_usize.saturating_sub(prefix.len());
                let fits = last.to_string().len() <= room;
                if !fits || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(
                        "`prefix` at Lotus is hex digits, few enough for the number to fit into 32"
                            .into(),
                    );
                }
                (prefix, room)
            }
        };
        Ok(Self::Many {
            prefix,
            digits,
            first,
            count,
        })
    }

    fn len(&self) -> u64 {
        match self {
            Self::One(_) => 1,
            Self::Many { count, .. } => *count,
        }
    }

    fn each(&self) -> Box<dyn Iterator<Item = Arc<str>> + '_> {
        match self {
            Self::One(id) => Box::new(std::iter::once(Arc::from(id.as_str()))),
            Self::Many {
                prefix,
                digits,
                first,
                count,
            } => Box::new((*first..first + count).map(move |number| {
                Arc::from(format!("{prefix}{number:0>width$}", width = *digits).as_str())
            })),
        }
    }
}

/// The cast in its own words.
fn demo() -> Value {
    let other_plan = "plan_9b1de0a0000040008000000000000005";
    json!([
        {"provider": "kajabi", "id": cast::KAJABI_ACTIVE},
        {"provider": "kajabi", "id": cast::KAJABI_ACTIVE_TOO, "amount_in_cents": 9900},
        {"provider": "kajabi", "id": cast::KAJABI_CANCELLED, "deactivated": "-12d"},
        {"provider": "kajabi", "id": cast::KAJABI_DEACTIVATED, "deactivated": "-3d", "billing": true},
        {"provider": "kajabi", "id": cast::KAJABI_PAYMENT_PLAN, "kind": "payment_plan"},
        {"provider": "kajabi", "id": cast::KAJABI_ONE_TIME, "kind": "one_time"},

        {"provider": "revere", "id": cast::REVERE_MONTHLY},
        {"provider": "revere", "id": cast::REVERE_ANNUAL, "billing_cycle": "annual",
         "next_bill": "+200d", "amount": 24000, "charge_count": 1},
        {"provider": "revere", "id": cast::REVERE_FAILED, "status": "failed",
         "retry_count": 3, "next_bill": "-6d"},
        {"provider": "revere", "id": cast::REVERE_PAUSED, "status": "paused"},
        {"provider": "revere", "id": cast::REVERE_CANCELED, "status": "canceled",
         "retry_count": 3, "cancel_reason": "Customer request"},

        {"provider": "lotus", "id": cast::LOTUS_ACTIVE, "customer_id": "cust_anna"},
        {"provider": "lotus", "id": cast::LOTUS_NEW_YORK, "customer_id": "cust_bert",
         "time_zone": "America/New_York"},
        {"provider": "lotus", "id": cast::LOTUS_ENDED, "customer_id": "cust_cleo",
         "start": "-34d", "end": "-4d", "auto_renew": false, "fully_billed": true},
        {"provider": "lotus", "id": cast::LOTUS_NOT_STARTED, "customer_id": "cust_dora",
         "start": "+10d", "end": "+40d"},
        {"provider": "lotus", "id": cast::LOTUS_RENEWED, "customer_id": "cust_emil"},
        {"provider": "lotus", "id": cast::LOTUS_SUCCESSOR, "customer_id": "cust_emil",
         "start": "+20d", "end": "+50d", "is_new": false},
        {"provider": "lotus", "id": cast::LOTUS_ENDING, "customer_id": "cust_finn",
         "auto_renew": false},
        {"provider": "lotus", "id": cast::LOTUS_WITH_ADDON, "customer_id": "cust_gwen",
         "plan_id": other_plan, "plan_name": "Metered Monthly", "metered": true,
         "addons": [{"id": cast::LOTUS_ADDON_ENTRY.trim_start_matches("sub_")}]},
        {"provider": "lotus", "id": cast::LOTUS_FOREIGN, "customer_id": "cust_hugo",
         "organization": "other"},
    ])
}
