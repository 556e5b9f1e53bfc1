//! Reports: all of them only read.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter, types::Value};

use super::rows::{self, COLUMNS};
use super::{DAY, millis};
use crate::ledger::{DaySpan, Days, EventQuery, LedgerError, Recorded, RevisionHead, Space, Tally};
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

pub(super) fn commits(conn: &Connection) -> Result<BTreeMap<String, String>, LedgerError> {
    let mut found = conn.prepare_cached(
        "SELECT digest, commit_id FROM revisions WHERE commit_id IS NOT NULL ORDER BY number",
    )?;
    let found = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
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

/// Read off the counts that the database keeps and off what is first in an index: it costs the same
/// however many requests there are, but for those of one provider and state that are due on this day.
pub(super) fn tally(conn: &Connection, now: DateTime<Utc>) -> Result<Tally, LedgerError> {
    let mut tally = Tally::default();
    counts(conn, now, &mut tally)?;
    due(conn, now, &mut tally)?;
    attempts(conn, &mut tally)?;
    tally.space = space(conn);
    Ok(tally)
}

fn counts(conn: &Connection, now: DateTime<Utc>, tally: &mut Tally) -> Result<(), LedgerError> {
    let mut rows = conn.prepare_cached(
        "SELECT provider, state, holds, sum(requests),
           coalesce(sum(requests) FILTER (WHERE due BETWEEN 0 AND ?1 - 1), 0),
           coalesce(sum(requests) FILTER (WHERE due BETWEEN 0 AND ?1 - 1 AND looked), 0),
           coalesce(sum(requests) FILTER (WHERE deadline >= 0), 0)
         FROM counts GROUP BY provider, state, holds",
    )?;
    let mut rows = rows.query([millis(now).div_euclid(DAY)])?;
    while let Some(row) = rows.next()? {
        let name = rows::provider_name(row, 0)?;
        let (state, holds): (String, String) = (row.get(1)?, row.get(2)?);
        let Some(state) = State::parse(&state) else {
            continue;
        };
        let all = rows::count(row, 3)?;
        let count = tally.states.entry((name.clone(), state)).or_default();
        count.all += all;
        if tells_due(state) {
            count.due += rows::count(row, 4)?;
            count.looked += rows::count(row, 5)?;
        }
        let with_deadline = rows::count(row, 6)?;
        if matches!(state, State::Canceled | State::AlreadyCanceled) && with_deadline > 0 {
            *tally.deadlines_met.entry(name.clone()).or_default() += with_deadline;
        }
        if state.open() {
            for reason in holds.split(',').filter_map(HoldReason::parse) {
                *tally.holds.entry((name.clone(), reason)).or_default() += all;
            }
        }
    }
    Ok(())
}

/// Of which it is told how many are due: the others are under way, held or finished.
const fn tells_due(state: State) -> bool {
    matches!(state, State::Scheduled | State::Retrying)
}

/// What of this day is due by now, and what is first.
fn due(conn: &Connection, now: DateTime<Utc>, tally: &mut Tally) -> Result<(), LedgerError> {
    let day = millis(now).div_euclid(DAY) * DAY;
    let now = millis(now);
    let mut of_today = conn.prepare_cached(
        "SELECT count(*) FROM requests
         WHERE provider = ?1 AND state = ?2 AND looked = ?3 AND due_at >= ?4 AND due_at <= ?5",
    )?;
    let mut first = conn.prepare_cached(
        "SELECT due_at FROM requests
         WHERE provider = ?1 AND state = ?2 AND looked = ?3 AND due_at IS NOT NULL
         ORDER BY due_at LIMIT 1",
    )?;
    let mut in_its_way = conn.prepare_cached(
        "SELECT due_at FROM requests
         WHERE provider = ?1 AND state = ?2 AND looked = ?3 AND due_at <= ?4 AND wake_at <= ?5
         ORDER BY due_at LIMIT 1",
    )?;
    let soon = now + LONGEST_RETRY.num_milliseconds();
    for ((name, state), count) in &mut tally.states {
        for looked in [false, true] {
            let key = (name.as_str(), state.as_str(), looked);
            if tells_due(*state) {
                let params = params![key.0, key.1, key.2, day, now];
                let due = of_today.query_row(params, |row| rows::count(row, 0))?;
                count.due += due;
                count.looked += if looked { due } else { 0 };
            }
            let oldest: Option<i64> = match state {
                State::Sending | State::Unknown => first
                    .query_row(key, |row| row.get(0))
                    .optional()?
                    .filter(|due| *due <= now),
                State::Scheduled | State::Retrying => in_its_way
                    .query_row(params![key.0, key.1, key.2, now, soon], |row| row.get(0))
                    .optional()?,
                _ => None,
            };
            earlier(&mut tally.oldest_due, name, oldest);
            if *state == State::Scheduled {
                let next = first.query_row(key, |row| row.get(0)).optional()?;
                earlier(&mut tally.next_due, name, next);
            }
        }
    }
    let since: Option<i64> = conn
        .prepare_cached(
            "SELECT held_since FROM requests
             WHERE lane IS NOT NULL AND instr(holds, ',approval,') AND held_since IS NOT NULL
             ORDER BY held_since LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    tally.oldest_approval = since.map(rows::instant);
    Ok(())
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

fn earlier(
    known: &mut BTreeMap<ProviderName, DateTime<Utc>>,
    name: &ProviderName,
    found: Option<i64>,
) {
    if let Some(at) = found.map(rows::instant) {
        let first = known.entry(name.clone()).or_insert(at);
        *first = at.min(*first);
    }
}

fn attempts(conn: &Connection, tally: &mut Tally) -> Result<(), LedgerError> {
    let mut rows =
        conn.prepare_cached("SELECT provider, outcome, attempts FROM answers WHERE attempts > 0")?;
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
            "SELECT due, sum(requests) FROM counts
             WHERE state IN ('scheduled', 'retrying') AND due BETWEEN 0 AND ?1 GROUP BY 1",
        ),
        (
            &mut days.deadlines,
            "SELECT deadline, sum(requests) FROM counts
             WHERE state NOT IN ('withdrawn', 'canceled', 'already_canceled', 'failed', 'missed')
               AND deadline BETWEEN 0 AND ?1 GROUP BY 1",
        ),
    ] {
        let mut rows = conn.prepare_cached(sql)?;
        let mut rows = rows.query([number(span.until)])?;
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
