//! What webhooks are told: an outbox beside the record.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};

use super::{Tx, millis, open, rows};
use crate::ledger::{Delivery, LedgerError, Outgoing, Undelivered};
use crate::model::notice::Notice;

/// Up to which event of the record people were told.
const TOLD_UP_TO: &str = "told_up_to";

pub(super) fn told_up_to(conn: &Connection) -> Result<i64, LedgerError> {
    let told = open::meta(conn, TOLD_UP_TO)?.and_then(|text| text.parse().ok());
    Ok(told.unwrap_or_default())
}

pub(super) fn due(
    conn: &Connection,
    webhook: &str,
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<Outgoing>, LedgerError> {
    let mut found = conn.prepare_cached(
        "SELECT id, tries, notice FROM notices
         WHERE webhook = ?1 AND delivered_at IS NULL AND next_at <= ?2 ORDER BY next_at, id LIMIT ?3",
    )?;
    let mut found = found.query(params![webhook, millis(now), limit])?;
    let mut due = Vec::new();
    while let Some(row) = found.next()? {
        let notice: String = row.get(2)?;
        due.push(Outgoing {
            number: row.get(0)?,
            tries: row.get(1)?,
            notice: serde_json::from_str(&notice)?,
        });
    }
    Ok(due)
}

pub(super) fn undelivered(conn: &Connection) -> Result<BTreeMap<String, Undelivered>, LedgerError> {
    let mut found = conn.prepare_cached(
        "SELECT webhook, count(*), min(at) FROM notices WHERE delivered_at IS NULL GROUP BY webhook",
    )?;
    let found = found.query_map([], |row| {
        let undelivered = Undelivered {
            count: rows::count(row, 1)?,
            oldest: rows::instant(row.get(2)?),
        };
        Ok((row.get(0)?, undelivered))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

impl Tx<'_> {
    pub(super) fn notify(
        &self,
        notices: &[(String, Notice)],
        told_up_to: Option<i64>,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        for (webhook, notice) in notices {
            self.conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO notices (webhook, name, at, notice, next_at)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    webhook,
                    notice.id,
                    millis(notice.at),
                    serde_json::to_string(notice)?,
                    millis(at)
                ])?;
        }
        if let Some(number) = told_up_to {
            self.note(TOLD_UP_TO, &number.to_string())?;
        }
        Ok(())
    }

    pub(super) fn delivered(&self, number: i64, delivery: Delivery) -> Result<(), LedgerError> {
        match delivery {
            Delivery::Taken { at } => self.conn.execute(
                "UPDATE notices SET delivered_at = ?2, tries = tries + 1 WHERE id = ?1",
                params![number, millis(at)],
            )?,
            Delivery::Again { at } => self.conn.execute(
                "UPDATE notices SET next_at = ?2, tries = tries + 1 WHERE id = ?1",
                params![number, millis(at)],
            )?,
        };
        Ok(())
    }

    pub(super) fn forget_delivered(&self, before: DateTime<Utc>) -> Result<(), LedgerError> {
        self.conn.execute(
            "DELETE FROM notices WHERE delivered_at < ?1",
            [millis(before)],
        )?;
        Ok(())
    }
}
