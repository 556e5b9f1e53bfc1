//! How many writes were begun in the last hour and day, kept in memory and rebuilt from the
//! attempts at every start.
//!
//! The writer thread is the only one that journals intents, so what it counts here is the
//! truth; what belongs to a transaction that fails is forgotten again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use crate::ledger::LedgerError;
use crate::model::memory::{Cap, CapOf};
use crate::planted::planted;

/// The longest rolling time that is counted.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Default)]
pub(super) struct Rolling {
    /// Oldest first: when each write was intended, in milliseconds.
    writes: BTreeMap<Whose, VecDeque<i64>>,
    /// Of this transaction, in order.
    pending: Vec<[Whose; 2]>,
}

/// Whose writes are counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// Of all, but for what has a limit of its own.
    All,
    Provider(String),
    /// Of what was approved together and has a limit of its own.
    Plan(String),
}

/// Each write counts for its provider, and either for all or for the plan that has a limit of
/// its own.
fn counted_for(provider: &str, plan: Option<&str>) -> [Whose; 2] {
    [
        Whose::Provider(provider.to_owned()),
        plan.map_or(Whose::All, |plan| Whose::Plan(plan.to_owned())),
    ]
}

impl Rolling {
    pub(super) fn load(conn: &Connection) -> Result<Self, LedgerError> {
        if planted!(LimitsForgotten, true, false) {
            return Ok(Self::default());
        }
        // The last one, not the latest: a clock that was once ahead must hide no later write.
        let newest: Option<i64> = conn
            .query_row(
                "SELECT intended_at FROM attempts ORDER BY id DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .optional()?;
        let since = newest.unwrap_or(0) - LONGEST.as_millis() as i64;
        let mut rolling = Self::default();
        let mut rows = conn.prepare(
            "SELECT provider, plan, intended_at FROM attempts
             WHERE intended_at >= ?1 AND outcome IS NOT 'not_sent' ORDER BY intended_at",
        )?;
        let mut rows = rows.query([since])?;
        while let Some(row) = rows.next()? {
            let (provider, plan): (String, Option<String>) = (row.get(0)?, row.get(1)?);
            for whose in counted_for(&provider, plan.as_deref()) {
                let writes = rolling.writes.entry(whose).or_default();
                writes.push_back(row.get(2)?);
            }
        }
        Ok(rolling)
    }

    /// Counts a write of this transaction.
    pub(super) fn count(&mut self, provider: &str, plan: Option<&str>, at: i64) {
        let both = counted_for(provider, plan);
        let too_old = at - LONGEST.as_millis() as i64;
        for whose in &both {
            let writes = self.writes.entry(whose.clone()).or_default();
            while writes.front().is_some_and(|oldest| *oldest <= too_old) {
                writes.pop_front();
            }
            writes.push_back(at);
        }
        self.pending.push(both);
    }

    /// How many writes of this transaction were counted so far.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes back what was counted after `pending`.
    pub(super) fn forget_from(&mut self, pending: usize) {
        for whose in self.pending.drain(pending..).flatten() {
            if let Some(writes) = self.writes.get_mut(&whose) {
                writes.pop_back();
            }
        }
    }

    /// The transaction stands.
    pub(super) fn keep(&mut self) {
        self.pending.clear();
    }

    /// Whether one more write at `now` stays within the cap; if not, when the oldest write
    /// that is in the way leaves the rolling time.
    pub(super) fn allows(&self, cap: &Cap, now: i64) -> Result<(), Option<i64>> {
        let over = cap.over.as_millis() as i64;
        let whose = match &cap.of {
            CapOf::All => Whose::All,
            CapOf::Provider(name) => Whose::Provider(name.as_str().to_owned()),
            CapOf::Plan(plan) => Whose::Plan(plan.clone()),
        };
        let none = VecDeque::new();
        let writes = self.writes.get(&whose).unwrap_or(&none);
        let first = first_inside(writes, now - over);
        let used = writes.len() - first;
        let most = planted!(LimitPlusOne, cap.most + 1, cap.most);
        if (used as u64) < most {
            return Ok(());
        }
        if cap.most == 0 {
            return Err(None);
        }
        Err(writes.get(first).map(|at| at + over))
    }
}

/// The index of the first write after `since`.
fn first_inside(writes: &VecDeque<i64>, since: i64) -> usize {
    writes.partition_point(|at| *at <= since)
}
