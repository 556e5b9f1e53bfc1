//! How many writes were begun in the last hour and day, kept in memory and rebuilt from the
//! attempts at every start.
//!
//! The writer thread is the only one that journals intents, so what it counts here is the
//! truth; what belongs to a transaction that fails is forgotten again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use crate::ledger::LedgerError;
use crate::model::memory::Cap;

/// The longest rolling time that is counted.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Default)]
pub(super) struct Rolling {
    /// By provider, oldest first: when each write was intended, in milliseconds.
    writes: BTreeMap<String, VecDeque<i64>>,
    /// Of this transaction, in order.
    pending: Vec<String>,
}

impl Rolling {
    pub(super) fn load(conn: &Connection) -> Result<Self, LedgerError> {
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
            "SELECT provider, intended_at FROM attempts
             WHERE intended_at >= ?1 AND outcome IS NOT 'not_sent' ORDER BY intended_at",
        )?;
        let mut rows = rows.query([since])?;
        while let Some(row) = rows.next()? {
            rolling
                .writes
                .entry(row.get(0)?)
                .or_default()
                .push_back(row.get(1)?);
        }
        Ok(rolling)
    }

    /// Counts a write of this transaction.
    pub(super) fn count(&mut self, provider: &str, at: i64) {
        let writes = self.writes.entry(provider.to_owned()).or_default();
        let too_old = at - LONGEST.as_millis() as i64;
        while writes.front().is_some_and(|oldest| *oldest <= too_old) {
            writes.pop_front();
        }
        writes.push_back(at);
        self.pending.push(provider.to_owned());
    }

    /// How many writes of this transaction were counted so far.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes back what was counted after `pending`.
    pub(super) fn forget_from(&mut self, pending: usize) {
        for provider in self.pending.drain(pending..) {
            if let Some(writes) = self.writes.get_mut(&provider) {
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
        let mut counted: Vec<&VecDeque<i64>> = Vec::new();
        match &cap.provider {
            Some(name) => counted.extend(self.writes.get(name.as_str())),
            None => counted.extend(self.writes.values()),
        }
        let inside = |writes: &&VecDeque<i64>| writes.len() - first_inside(writes, now - over);
        let used: usize = counted.iter().map(inside).sum();
        if (used as u64) < cap.most {
            return Ok(());
        }
        if cap.most == 0 {
            return Err(None);
        }
        let oldest = counted
            .iter()
            .filter_map(|writes| writes.get(first_inside(writes, now - over)))
            .min();
        Err(oldest.map(|at| at + over))
    }
}

/// The index of the first write after `since`.
fn first_inside(writes: &VecDeque<i64>, since: i64) -> usize {
    writes.partition_point(|at| *at <= since)
}
