//! Reports: all of them only read.

use std::path::Path;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter, types::Value};

use super::rows::{self, COLUMNS};
use super::{DAY, millis};
use crate::ledger::{
    Count, DaySpan, Days, EventQuery, LedgerError, Page, Recorded, RevisionHead, Space, Tally,
};
use crate::model::hold::HoldReason;
use crate::model::ids::{ProviderName, SubscriptionId};
use crate::model::memory::Used;
use crate::model::request::Request;
use crate::model::standing::State;
use crate::model::terms::{Place, hex};
use crate::planted::planted;

pub(super) fn find_all(
    conn: &Connection,
    provider: &ProviderName,
    id: &SubscriptionId,
) -> Result<Vec<Request>, LedgerError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM requests WHERE provider = ?1 AND subscription = ?2 ORDER BY again DESC"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map([provider.as_str(), id.as_str()], rows::request)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn revision_head(conn: &Connection) -> Result<Option<RevisionHead>, LedgerError> {
    let mut statement = conn.prepare_cached(
        "SELECT number, digest, commit_id, accepted_at FROM revisions
         WHERE status <> 'past' AND status = 'current'",
    )?;
    let head = statement.query_row([], |row| {
        Ok(RevisionHead {
            number: row.get(0)?,
            digest: row.get(1)?,
            commit: row.get(2)?,
            accepted_at: rows::instant(row.get(3)?),
        })
    });
    Ok(head.optional()?)
}

pub(super) fn page(conn: &Connection, page: &Page) -> Result<Vec<Request>, LedgerError> {
    let mut conditions = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    if let Some(provider) = &page.provider {
        conditions.push("provider = ?".to_owned());
        values.push(provider.as_str().to_owned().into());
    }
    if !page.states.is_empty() {
        let marks = vec!["?"; page.states.len()].join(", ");
        conditions.push(format!("state IN ({marks})"));
        values.extend(
            page.states
                .iter()
                .map(|state| state.as_str().to_owned().into()),
        );
    }
    if let Some(due_by) = page.due_by {
        conditions.push("due_at <= ?".to_owned());
        values.push(millis(due_by).into());
    }
    if let Some(reason) = page.held_by {
        conditions.push("holds <> '' AND holds LIKE ?".to_owned());
        values.push(format!("%,{reason},%").into());
    }
    if let Some(prefix) = &page.prefix {
        conditions.push("subscription >= ? AND subscription < ?".to_owned());
        values.push(prefix.clone().into());
        values.push(format!("{prefix}{}", char::MAX).into());
    } else if !page.by_due {
        conditions.push("id > ?".to_owned());
        values.push(page.after.into());
    }
    values.push(i64::from(page.limit).into());
    let order = match (&page.prefix, page.by_due) {
        (Some(_), _) => "provider, subscription, again",
        (None, true) => "due_at IS NULL, due_at, id",
        (None, false) => "id",
    };
    let conditions = if conditions.is_empty() {
        "1".to_owned()
    } else {
        conditions.join(" AND ")
    };
    let sql = format!("SELECT {COLUMNS} FROM requests WHERE {conditions} ORDER BY {order} LIMIT ?");
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(values), rows::request)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn open_places(conn: &Connection) -> Result<Vec<(i64, Place)>, LedgerError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, file, line, last_line FROM requests
         WHERE lane IS NOT NULL OR state IN ('failed', 'missed') ORDER BY id",
    )?;
    let found = statement.query_map([], |row| {
        let place = Place {
            file: row.get(1)?,
            line: row.get(2)?,
            last_line: row.get(3)?,
        };
        Ok((row.get(0)?, place))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// No retry is put off for longer (design, section 6, step 5).
const LONGEST_RETRY: TimeDelta = TimeDelta::minutes(5);

pub(super) fn tally(conn: &Connection, now: DateTime<Utc>) -> Result<Tally, LedgerError> {
    let mut tally = Tally::default();
    let mut rows = conn.prepare_cached(
        "SELECT provider, state, count(*), count(*) FILTER (WHERE due_at <= ?1),
           count(*) FILTER (WHERE due_at <= ?1 AND look IS NOT NULL),
           min(due_at) FILTER (WHERE state = 'scheduled'),
           min(due_at) FILTER (WHERE state IN ('sending', 'unknown')
             OR (state IN ('scheduled', 'retrying') AND wake_at <= ?2)),
           count(*) FILTER (WHERE deadline_at IS NOT NULL
             AND state IN ('canceled', 'already_canceled'))
         FROM requests GROUP BY provider, state",
    )?;
    let mut rows = rows.query([millis(now), millis(now + LONGEST_RETRY)])?;
    while let Some(row) = rows.next()? {
        let name = rows::provider_name(row, 0)?;
        let state: String = row.get(1)?;
        let Some(state) = State::parse(&state) else {
            continue;
        };
        if let Some(due) = row.get::<_, Option<i64>>(5)? {
            tally.next_due.insert(name.clone(), rows::instant(due));
        }
        if let Some(due) = row.get::<_, Option<i64>>(6)?.map(rows::instant)
            && due <= now
        {
            let oldest = tally.oldest_due.entry(name.clone()).or_insert(due);
            *oldest = due.min(*oldest);
        }
        if let met @ 1.. = rows::count(row, 7)? {
            *tally.deadlines_met.entry(name.clone()).or_default() += met;
        }
        let count = Count {
            all: rows::count(row, 2)?,
            due: rows::count(row, 3)?,
            looked: rows::count(row, 4)?,
        };
        tally.states.insert((name, state), count);
    }
    drop(rows);
    holds(conn, &mut tally)?;
    attempts(conn, &mut tally)?;
    tally.space = space(conn);
    Ok(tally)
}

/// None where there is no file, or nobody says what is free.
fn space(conn: &Connection) -> Option<Space> {
    let path = Path::new(conn.path()?);
    let size = |path: &Path| std::fs::metadata(path).map(|it| it.len());
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(Space {
        size: size(path).ok()? + size(Path::new(&log)).unwrap_or(0),
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
    })
}

fn holds(conn: &Connection, tally: &mut Tally) -> Result<(), LedgerError> {
    let mut rows = conn.prepare_cached(
        "SELECT provider, holds, count(*), min(held_since) FROM requests
         WHERE holds <> '' AND lane IS NOT NULL GROUP BY provider, holds",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let name = rows::provider_name(row, 0)?;
        let count = rows::count(row, 2)?;
        let names: String = row.get(1)?;
        let since: Option<i64> = row.get(3)?;
        for reason in names.split(',').filter_map(HoldReason::parse) {
            if reason == HoldReason::Approval {
                let known = tally.oldest_approval.into_iter();
                tally.oldest_approval = known.chain(since.map(rows::instant)).min();
            }
            *tally.holds.entry((name.clone(), reason)).or_default() += count;
        }
    }
    Ok(())
}

fn attempts(conn: &Connection, tally: &mut Tally) -> Result<(), LedgerError> {
    let mut rows = conn.prepare_cached(
        "SELECT provider, outcome, count(*) FROM attempts WHERE outcome IS NOT NULL GROUP BY provider, outcome",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let key = (rows::provider_name(row, 0)?, row.get(1)?);
        tally.attempts.insert(key, rows::count(row, 2)?);
    }
    drop(rows);
    let mut rows = conn.prepare_cached(
        "SELECT a.provider, min(a.intended_at) FROM attempts a
         WHERE a.open = 1 GROUP BY a.provider",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let at = rows::instant(row.get(1)?);
        tally
            .oldest_unknown
            .insert(rows::provider_name(row, 0)?, at);
    }
    drop(rows);
    let mut rows = conn.prepare_cached(
        "SELECT r.provider, count(*) FROM events e JOIN requests r ON r.id = e.request
         WHERE e.kind = 'window_missed' GROUP BY r.provider",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        tally
            .windows_missed
            .insert(rows::provider_name(row, 0)?, rows::count(row, 1)?);
    }
    Ok(())
}

pub(super) fn days(conn: &Connection, span: DaySpan) -> Result<Days, LedgerError> {
    let number = |day: NaiveDate| i64::from(day.to_epoch_days());
    let date = |number: i64| {
        i32::try_from(number)
            .ok()
            .and_then(NaiveDate::from_epoch_days)
    };
    let mut days = Days::default();
    let mut rows =
        conn.prepare_cached("SELECT day, state, settled FROM settled_days WHERE day >= ?1")?;
    let mut rows = rows.query([number(span.from)])?;
    while let Some(row) = rows.next()? {
        let state: String = row.get(1)?;
        if let (Some(day), Some(state)) = (date(row.get(0)?), State::parse(&state)) {
            days.settled.insert((day, state), rows::count(row, 2)?);
        }
    }
    drop(rows);
    for (into, sql) in [
        (
            &mut days.due,
            "SELECT due_at / ?1, count(*) FROM requests
             WHERE state IN ('scheduled', 'retrying') AND due_at < ?2 GROUP BY 1",
        ),
        (
            &mut days.deadlines,
            "SELECT deadline_at / ?1, count(*) FROM requests
             WHERE deadline_at IS NOT NULL AND lane IS NOT NULL AND deadline_at < ?2 GROUP BY 1",
        ),
    ] {
        let mut rows = conn.prepare_cached(sql)?;
        let mut rows = rows.query([DAY, (number(span.until) + 1) * DAY])?;
        while let Some(row) = rows.next()? {
            if let Some(day) = date(row.get(0)?) {
                into.insert(day, rows::count(row, 1)?);
            }
        }
    }
    Ok(days)
}

pub(super) fn used(conn: &Connection, now: DateTime<Utc>) -> Result<Used, LedgerError> {
    const HOUR: i64 = 60 * 60 * 1000;
    let now = millis(now);
    let mut used = Used::default();
    if planted!(LimitsForgotten, true, false) {
        return Ok(used);
    }
    let mut rows = conn.prepare_cached(
        "SELECT provider, plan, count(*) FILTER (WHERE intended_at > ?1), count(*) FROM attempts
         WHERE intended_at > ?2 AND outcome IS NOT 'not_sent' GROUP BY provider, plan",
    )?;
    let mut rows = rows.query(params![now - HOUR, now - 24 * HOUR])?;
    while let Some(row) = rows.next()? {
        let name = rows::provider_name(row, 0)?;
        let (hour, day) = (rows::count(row, 2)?, rows::count(row, 3)?);
        *used.hour.entry(name.clone()).or_default() += hour;
        *used.day.entry(name).or_default() += day;
        match row.get::<_, Option<String>>(1)? {
            None => {
                used.common_hour += hour;
                used.common_day += day;
            }
            Some(plan) => *used.plans.entry(plan).or_default() += day,
        }
    }
    Ok(used)
}

pub(super) fn events(conn: &Connection, query: &EventQuery) -> Result<Vec<Recorded>, LedgerError> {
    let mut conditions = vec!["1"];
    let mut values: Vec<Value> = Vec::new();
    if let Some(row) = query.row {
        conditions.push("e.request = ?");
        values.push(row.into());
    }
    if let Some(after) = query.after {
        conditions.push("e.id > ?");
        values.push(after.into());
    }
    if let Some(before) = query.before {
        conditions.push("e.id < ?");
        values.push(before.into());
    }
    let kinds = format!("e.kind IN ({})", vec!["?"; query.kinds.len()].join(", "));
    if !query.kinds.is_empty() {
        conditions.push(&kinds);
        values.extend(query.kinds.iter().map(|kind| (*kind).to_owned().into()));
    }
    values.push(i64::from(query.limit).into());
    let order = if query.after.is_some() {
        "e.id"
    } else {
        "e.id DESC"
    };
    let sql = format!(
        "SELECT e.id, r.provider, r.subscription, r.again, e.at, e.kind, e.hash, p.body
         FROM events e JOIN requests r ON r.id = e.request LEFT JOIN payloads p ON p.event = e.id
         WHERE {} ORDER BY {order} LIMIT ?",
        conditions.join(" AND ")
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    let mut events = Vec::new();
    while let Some(row) = found.next()? {
        let body: Option<String> = row.get(7)?;
        let hash: Vec<u8> = row.get(6)?;
        events.push(Recorded {
            number: row.get(0)?,
            key: rows::key(row, 1)?,
            at: rows::instant(row.get(4)?),
            event: body.map(|body| serde_json::from_str(&body)).transpose()?,
            kind: row.get(5)?,
            hash: hex(&hash),
        });
    }
    Ok(events)
}
