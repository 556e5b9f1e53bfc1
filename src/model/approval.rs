//! What waits for a person, named by a digest that changes with any of it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::hold::HoldReason;
use super::ids::Key;
use super::terms::short_digest;

/// What a digest stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Items that may be carried out once approved.
    Approval,
    /// Items whose lines vanished, which are withdrawn once approved.
    Removal,
}

impl What {
    /// Both, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::Approval, Self::Removal];

    /// The word in output and in the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Removal => "removal",
        }
    }

    /// The hold of what waits.
    pub const fn hold(self) -> HoldReason {
        match self {
            Self::Approval => HoldReason::Approval,
            Self::Removal => HoldReason::Removal,
        }
    }
}

/// The digest of what waits in one file: over ids and resolved terms, the same in whatever
/// order they stand. 32 hex digits.
#[derive(Clone, Debug, Default)]
pub struct Gathering {
    lines: BTreeSet<String>,
    due: Option<DueSpan>,
}

impl Gathering {
    /// Adds one that waits, on the terms of this digest, with when it is due as far as that is known.
    pub fn add(&mut self, key: &Key, terms: &str, due_at: Option<DateTime<Utc>>) {
        let Key {
            provider,
            id,
            again,
        } = key;
        self.lines
            .insert(format!("{provider} {id} {again} {terms}"));
        if let Some(at) = due_at {
            let span = self.due.get_or_insert(DueSpan {
                first: at,
                last: at,
            });
            span.first = span.first.min(at);
            span.last = span.last.max(at);
        }
    }

    /// What a person is told of it.
    pub fn waiting(&self, file: &str, what: What, accepted: bool) -> Waiting {
        Waiting {
            file: file.to_owned(),
            what,
            digest: self.digest(what),
            items: self.lines.len() as u64,
            accepted,
            due: self.due,
        }
    }

    /// The digest.
    pub fn digest(&self, what: What) -> String {
        let mut text = what.as_str().to_owned();
        for line in &self.lines {
            text.push('\n');
            text.push_str(line);
        }
        short_digest(text.as_bytes())
    }
}

/// An approval of a revision's file, on its way to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approving {
    /// The digest that a plan printed.
    pub plan: String,
    /// Who.
    pub by: String,
    /// Frees only the first so many.
    pub at_most: Option<u64>,
    /// Its day is past: it frees nothing that it has not begun to free.
    pub past: bool,
}

/// What became of an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approved {
    /// It freed so many.
    Freed(u64),
    /// All that it can free is free.
    Spent,
    /// Nothing waits or ever waited under this digest.
    Unknown,
    /// What it names has come with the same revision: it counts from the next one on.
    TooEarly,
    /// Its day is past.
    Past,
}

/// What waits in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The file.
    pub file: String,
    /// What for.
    pub what: What,
    /// Over ids and terms.
    pub digest: String,
    /// How many.
    pub items: u64,
    /// Whether they are accepted and wait already.
    pub accepted: bool,
    /// When they are due, as far as that is known.
    #[serde(skip)]
    pub due: Option<DueSpan>,
}

/// From the first moment at which one of many is due to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueSpan {
    /// The first.
    pub first: DateTime<Utc>,
    /// The last.
    pub last: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{ProviderName, SubscriptionId};
    use crate::model::provider::ProviderKind;

    fn key(id: &str) -> Key {
        Key {
            provider: ProviderName::parse("p").unwrap(),
            id: SubscriptionId::parse(ProviderKind::Revere, id).unwrap(),
            again: 1,
        }
    }

    fn digest(items: &[(&str, &str)]) -> String {
        let mut gathering = Gathering::default();
        for (id, terms) in items {
            gathering.add(&key(id), terms, None);
        }
        gathering.digest(What::Approval)
    }

    #[test]
    fn a_digest_does_not_change_with_the_order_and_changes_with_any_id_or_term() {
        let one = digest(&[("a", "t1"), ("b", "t2")]);
        assert_eq!(one, digest(&[("b", "t2"), ("a", "t1")]));
        for other in [
            digest(&[("a", "t1")]),
            digest(&[("a", "t1"), ("b", "t1")]),
            digest(&[("a", "t2"), ("b", "t1")]),
            digest(&[("a", "t1"), ("c", "t2")]),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn what_waits_is_told_with_its_number_and_when_the_first_and_the_last_are_due() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0);
        let mut gathering = Gathering::default();
        gathering.add(&key("a"), "t", None);
        let told = |it: &Gathering| it.waiting("lapsed.yaml", What::Approval, true);
        assert_eq!((told(&gathering).items, told(&gathering).due), (1, None));
        for (id, due_at) in [("b", at(2)), ("c", at(3)), ("d", at(1))] {
            gathering.add(&key(id), "t", due_at);
        }
        let due = told(&gathering).due.unwrap();
        assert_eq!((Some(due.first), Some(due.last)), (at(1), at(3)));
        assert_eq!(told(&gathering).items, 4);
    }

    #[test]
    fn what_vanished_has_another_digest_than_what_waits() {
        let mut gathering = Gathering::default();
        gathering.add(&key("a"), "t", None);
        assert_ne!(
            gathering.digest(What::Approval),
            gathering.digest(What::Removal)
        );
    }
}
