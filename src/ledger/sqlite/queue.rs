//! The queue: what is due, what happened to it, and the journal of intents.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{self, COLUMNS, Stored};
use super::{Tx, memory, millis};
use crate::ledger::intent::{Intent, Journaled};
use crate::ledger::{Change, Claim, Cursor, Intended, Lane, LedgerError, NotIntended};
use crate::model::act::Answer;
use crate::model::ids::ProviderName;
use crate::model::memory::CapOf;
use crate::model::request::{Doubt, Request, Witness};
use crate::model::standing::{Event, Phase};
use crate::planted::planted;

/// The number of the revision in force, by its index: reading past every revision's text would
/// make each intent dearer with each revision.
const IN_FORCE: &str = "SELECT number FROM revisions WHERE status <> 'past' AND status = 'current'";

/// Whether a revision is being accepted, by the same index.
const ACCEPTING: &str =
    "SELECT EXISTS (SELECT 1 FROM revisions WHERE status <> 'past' AND status = 'accepting')";

fn is_accepting(conn: &Connection) -> Result<bool, LedgerError> {
    Ok(conn
        .prepare_cached(ACCEPTING)?
        .query_row([], |row| row.get(0))?)
}

pub(super) fn claim(conn: &Connection, claim: &Claim) -> Result<Vec<Request>, LedgerError> {
    if is_accepting(conn)? {
        return Ok(Vec::new());
    }
    let lanes = match claim.lane {
        Lane::Tick => "(0, 1)",
        Lane::Wake => "(1)",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM requests
         WHERE provider = ?1 AND lane IN {lanes} AND wake_at <= ?2
           AND (idle_looks, coalesce(deadline_at, ?7), coalesce(due_at, 0), id)
             > (?8, ?3, ?4, ?5)
         ORDER BY idle_looks, coalesce(deadline_at, ?7), coalesce(due_at, 0), id LIMIT ?6"
    );
    let first = Cursor {
        in_vain: 0,
        deadline: i64::MIN,
        due: i64::MIN,
        row: 0,
    };
    let Cursor {
        in_vain,
        deadline,
        due,
        row,
    } = claim.after.unwrap_or(first);
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(
        params![
            claim.provider.as_str(),
            millis(claim.now),
            deadline,
            due,
            row,
            claim.limit,
            i64::MAX,
            in_vain
        ],
        rows::request,
    )?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// What could not be done in time; nothing while a revision is being accepted.
pub(super) fn overdue(
    conn: &Connection,
    provider: &ProviderName,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Request>, LedgerError> {
    if is_accepting(conn)? {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM requests
         WHERE provider = ?1 AND deadline_at IS NOT NULL AND lane IS NOT NULL AND deadline_at < ?2
           AND state IN ('scheduled', 'held', 'retrying')
         ORDER BY deadline_at, id LIMIT ?3"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(
        params![provider.as_str(), millis(now), limit],
        rows::request,
    )?;
    let found: Vec<Request> = found.collect::<rusqlite::Result<_>>()?;
    Ok(found
        .into_iter()
        .filter(|request| request.standing.plannable())
        .collect())
}

pub(super) fn next_wake(
    conn: &Connection,
    provider: &ProviderName,
) -> Result<Option<DateTime<Utc>>, LedgerError> {
    let found: Option<i64> = conn
        .prepare_cached(
            "SELECT min(wake_at) FROM requests WHERE provider = ?1 AND lane = 1 AND wake_at IS NOT NULL",
        )?
        .query_row([provider.as_str()], |row| row.get(0))?;
    // A deadline that goes by is told at once, and not at the next tick of a sparse schedule.
    let deadline: Option<i64> = conn
        .prepare_cached(
            "SELECT min(deadline_at) FROM requests
             WHERE provider = ?1 AND deadline_at IS NOT NULL AND lane IS NOT NULL
               AND state IN ('scheduled', 'held', 'retrying')",
        )?
        .query_row([provider.as_str()], |row| row.get(0))?;
    let deadline = deadline.map(|at| at + 1);
    Ok(found.into_iter().chain(deadline).min().map(rows::instant))
}

pub(super) fn wake_held(
    conn: &Connection,
    provider: &ProviderName,
    at: DateTime<Utc>,
) -> Result<u64, LedgerError> {
    // What only a person or a revision can free has no `wake_at` and stays asleep.
    let woken = conn.execute(
        "UPDATE requests SET wake_at = ?2, version = version + 1,
           lane = CASE WHEN due_at IS NULL OR due_at > ?2 THEN 1 ELSE lane END
         WHERE provider = ?1 AND lane IS NOT NULL AND state IN ('held', 'scheduled', 'retrying')
           AND (due_at <= ?2 OR holds <> '') AND wake_at > ?2",
        params![provider.as_str(), millis(at)],
    )?;
    Ok(woken as u64)
}

pub(super) fn wake_sent(
    conn: &Connection,
    provider: &ProviderName,
    at: DateTime<Utc>,
) -> Result<u64, LedgerError> {
    let woken = conn.execute(
        "UPDATE requests SET wake_at = ?2, version = version + 1
         WHERE provider = ?1 AND state IN ('sending', 'unknown', 'retrying') AND wake_at > ?2",
        params![provider.as_str(), millis(at)],
    )?;
    Ok(woken as u64)
}

impl Tx<'_> {
    pub(super) fn record(&mut self, change: &Change) -> Result<Request, LedgerError> {
        if let Some(number) = change.decided_by
            && !self.is_in_force(number)?
        {
            return Err(LedgerError::Moved);
        }
        let mut stored = self.at_version(change.row, change.version)?;
        for event in &change.events {
            self.happen(&mut stored, event, change.at)?;
            self.follow_attempt(&stored, event, change.at)?;
        }
        let request = &mut stored.request;
        if let Some(wake_at) = change.wake_at {
            request.wake_at = wake_at;
        }
        if let Some(timing) = change.timing {
            request.due_at = timing.due_at;
            request.deadline_at = timing.deadline_at;
        }
        if change.look.is_some() {
            request.look.clone_from(&change.look);
        }
        request.doubt.clone_from(&change.doubt);
        request.idle_looks = change.idle_looks;
        let proven = change
            .events
            .iter()
            .any(|event| matches!(event, Event::ProvenNotDone { .. }));
        if proven {
            self.take_up_late(&mut stored, change.at)?;
        }
        self.store(&mut stored, change.at)?;
        Ok(stored.request)
    }

    fn at_version(&self, row: i64, version: i64) -> Result<Stored, LedgerError> {
        let stored = rows::load(self.conn, row)?;
        if stored.request.version == version {
            Ok(stored)
        } else {
            Err(LedgerError::Moved)
        }
    }

    /// An attempt stays open until it is known what became of it.
    fn follow_attempt(
        &mut self,
        stored: &Stored,
        event: &Event,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let row = stored.request.row;
        match event {
            Event::Answered { attempt, answer } => {
                self.conn
                    .prepare_cached(
                        "UPDATE attempts SET outcome = ?3, answered_at = ?4
                         WHERE request = ?1 AND number = ?2",
                    )?
                    .execute(params![row, attempt, answer.outcome(), millis(at)])?;
                self.recount |= matches!(answer, Answer::NotSent { .. });
            }
            Event::ProvenNotDone { .. } | Event::EndingBegan { .. } | Event::Settled { .. } => {
                self.conn
                    .prepare_cached("UPDATE attempts SET open = 0 WHERE request = ?1 AND open = 1")?
                    .execute([row])?;
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn intend(
        &mut self,
        intended: &Intended,
    ) -> Result<Result<(Intent, Request), NotIntended>, LedgerError> {
        let mut stored = match self.at_version(intended.row, intended.assumed.version) {
            Ok(stored) => stored,
            Err(LedgerError::Moved) => return Ok(Err(NotIntended::Changed)),
            Err(other) => return Err(other),
        };
        if !planted!(PermitNotChecked, true, self.still_holds(intended, &stored)?) {
            return Ok(Err(NotIntended::Changed));
        }
        let now = millis(intended.now.at);
        for cap in &intended.caps {
            if let Err(frees_at) = self.rolling.allows(cap, now) {
                let frees_at = frees_at.map(rows::instant);
                return Ok(Err(NotIntended::Limit { frees_at }));
            }
        }
        if self.in_flight(&stored)? {
            return Ok(Err(NotIntended::InFlight));
        }
        let attempt = stored.request.standing.attempts + 1;
        let event = Event::Intended {
            attempt,
            action: intended.action.clone(),
            send_before: intended.send_before.at,
            look: intended.look.clone(),
        };
        self.happen(&mut stored, &event, intended.now.at)?;
        let key = stored.request.key.clone();
        let plan = intended.caps.iter().find_map(|cap| match &cap.of {
            CapOf::Plan(plan) => Some(plan.as_str()),
            CapOf::All | CapOf::Provider(_) => None,
        });
        self.conn
            .prepare_cached(
                "INSERT INTO attempts (request, provider, subscription, number, intended_at, send_before, open, plan)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7)",
            )?
            .execute(params![
                stored.request.row,
                key.provider.as_str(),
                key.id.as_str(),
                attempt,
                now,
                millis(intended.send_before.at),
                plan
            ])?;
        self.rolling.count(key.provider.as_str(), plan, now);
        let request = &mut stored.request;
        request.look = Some(intended.look.clone());
        request.doubt = Some(Doubt {
            send_before: intended.send_before.clone(),
            reads: 0,
            first_alive: None,
            resend_after: intended.resend_after,
        });
        // If nothing comes after this, the next pass asks what became of it.
        request.wake_at = Some(intended.send_before.at);
        self.store(&mut stored, intended.now.at)?;
        let intent = Intent::journaled(Journaled {
            row: stored.request.row,
            key,
            attempt,
            action: intended.action.clone(),
            send_before: intended.send_before.at,
            send_before_boot: intended.send_before.since_boot,
            boot_id: intended.send_before.boot_id.clone(),
        });
        Ok(Ok((intent, stored.request)))
    }

    /// Whether a revision is in force, and none is about to follow it.
    fn is_in_force(&self, number: i64) -> Result<bool, LedgerError> {
        let current: Option<i64> = self
            .conn
            .prepare_cached(IN_FORCE)?
            .query_row([], |row| row.get(0))
            .optional()?;
        Ok(current == Some(number) && !is_accepting(self.conn)?)
    }

    /// Whether what the permit assumed still holds.
    fn still_holds(&self, intended: &Intended, stored: &Stored) -> Result<bool, LedgerError> {
        let pauses = memory::pauses(self.conn)?;
        let standing = &stored.request.standing;
        Ok(self.is_in_force(intended.assumed.revision)?
            && pauses.epoch == intended.assumed.pause_epoch
            && pauses.of(&stored.request.key.provider).is_none()
            && standing.plannable()
            && standing.wanted
            && standing.holds.is_empty())
    }

    fn in_flight(&self, stored: &Stored) -> Result<bool, LedgerError> {
        let key = &stored.request.key;
        Ok(self
            .conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM attempts
                 WHERE provider = ?1 AND subscription = ?2 AND open = 1)",
            )?
            .query_row([key.provider.as_str(), key.id.as_str()], |row| row.get(0))?)
    }

    pub(super) fn interrupt_all(&mut self, at: DateTime<Utc>) -> Result<u64, LedgerError> {
        let found: Vec<i64> = self
            .conn
            .prepare("SELECT id FROM requests WHERE state = 'sending'")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for row in &found {
            let mut stored = rows::load(self.conn, *row)?;
            debug_assert_eq!(stored.request.standing.phase, Phase::Sending);
            let attempt = stored.request.standing.attempts;
            self.happen(&mut stored, &Event::Interrupted { attempt }, at)?;
            if planted!(InterruptedIsUnsent, true, false) {
                let unsent = Event::ProvenNotDone {
                    attempt,
                    counts: false,
                    because: String::new(),
                };
                self.happen(&mut stored, &unsent, at)?;
            }
            let request = &mut stored.request;
            request.wake_at = Some(at);
            request.doubt.get_or_insert_with(|| Doubt {
                send_before: Witness {
                    at,
                    boot_id: String::new(),
                    since_boot: std::time::Duration::ZERO,
                },
                reads: 0,
                first_alive: None,
                resend_after: std::time::Duration::ZERO,
            });
            self.store(&mut stored, at)?;
        }
        Ok(found.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_in_force_is_found_without_reading_past_the_texts() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("0001_begin.sql")).unwrap();
        for question in [IN_FORCE, ACCEPTING] {
            let plan: Vec<String> = conn
                .prepare(&format!("EXPLAIN QUERY PLAN {question}"))
                .unwrap()
                .query_map([], |row| row.get(3))
                .unwrap()
                .collect::<rusqlite::Result<_>>()
                .unwrap();
            let plan = plan.join("; ");
            assert!(plan.contains("INDEX one_current"), "{question}: {plan}");
        }
    }
}
