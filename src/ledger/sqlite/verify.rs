//! Checks the whole record: the database's own structure, payloads against their digests, each request's chain, each
//! block, and each row against the fold over its events.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::DAY;
use super::open;
use super::rows::{self, COLUMNS, Stored};
use crate::ledger::chain::{self, GENESIS, Hash};
use crate::ledger::{LedgerError, Verification};
use crate::model::standing::{Event, Phase, Standing};

/// Faults that are told; the rest is more of the same.
const MOST_FAULTS: usize = 100;

pub(super) fn verify(conn: &Connection) -> Result<Verification, LedgerError> {
    let mut verification = Verification {
        head: open::head(conn)?,
        ..Verification::default()
    };
    pages(conn, &mut verification)?;
    requests(conn, &mut verification)?;
    blocks(conn, &mut verification)?;
    days(conn, &mut verification)?;
    counts(conn, &mut verification)?;
    Ok(verification)
}

fn fault(verification: &mut Verification, what: String) {
    if verification.faults.len() < MOST_FAULTS {
        verification.faults.push(what);
    }
}

/// Whether the days say of each as much as the record.
fn days(conn: &Connection, verification: &mut Verification) -> Result<(), LedgerError> {
    let mut differing = conn.prepare(
        "SELECT day, sum(counted), sum(recorded) FROM (
           SELECT day, settled AS counted, 0 AS recorded FROM settled_days
           UNION ALL SELECT at / ?1, 0, 1 FROM events WHERE kind = 'settled'
         ) GROUP BY day HAVING sum(counted) <> sum(recorded)",
    )?;
    let mut differing = differing.query([DAY])?;
    while let Some(row) = differing.next()? {
        let (day, counted, recorded): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        fault(
            verification,
            format!("day {day} since 1970 counts {counted} settled, and the record has {recorded}"),
        );
    }
    Ok(())
}

/// Whether the counts say of each kind of row as much as the rows.
fn counts(conn: &Connection, verification: &mut Verification) -> Result<(), LedgerError> {
    let mut differing = conn.prepare(
        "SELECT what, sum(counted), sum(found) FROM (
           SELECT provider || ' ' || state || holds || ' ' || looked || ' ' || due || ' ' || deadline AS what,
             requests AS counted, 0 AS found FROM counts
           UNION ALL SELECT provider || ' ' || state || holds || ' ' || looked || ' ' || due_day || ' ' || deadline_day,
             0, 1 FROM requests
           UNION ALL SELECT provider || ' answered ' || outcome, attempts, 0 FROM answers
           UNION ALL SELECT provider || ' answered ' || outcome, 0, 1 FROM attempts WHERE outcome IS NOT NULL
         ) GROUP BY what HAVING sum(counted) <> sum(found)",
    )?;
    let mut differing = differing.query([])?;
    while let Some(row) = differing.next()? {
        let (what, counted, found): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        fault(
            verification,
            format!("the counts have {counted} of `{what}`, and the rows {found}"),
        );
    }
    Ok(())
}

/// Whether the database is whole in itself: pages, rows and every index over them.
fn pages(conn: &Connection, verification: &mut Verification) -> Result<(), LedgerError> {
    let mut found = conn.prepare("PRAGMA integrity_check")?;
    let mut found = found.query([])?;
    while let Some(row) = found.next()? {
        let what: String = row.get(0)?;
        if what != "ok" {
            fault(verification, format!("the database: {what}"));
        }
    }
    Ok(())
}

fn requests(conn: &Connection, verification: &mut Verification) -> Result<(), LedgerError> {
    let renames = renames(conn)?;
    // What is read off the standing stands last.
    let sql = format!("SELECT {COLUMNS}, state, lane, holds FROM requests ORDER BY id");
    let mut all = conn.prepare(&sql)?;
    let mut all = all.query([])?;
    while let Some(row) = all.next()? {
        let stored = rows::stored(row)?;
        verification.requests += 1;
        let request = &stored.request;
        let key = request.key.to_string();
        let Folded {
            standing,
            newest,
            terms,
        } = fold(conn, &stored, &key, verification)?;
        if terms.is_some_and(|terms| terms != request.terms.digest()) {
            fault(
                verification,
                format!("{key}: its terms are not those that were accepted"),
            );
        }
        if newest != stored.chain {
            fault(
                verification,
                format!("{key}: its row does not end its chain"),
            );
        }
        let read_off: (String, Option<i64>, String) = (row.get(28)?, row.get(29)?, row.get(30)?);
        let expected = (
            request.state().as_str().to_owned(),
            rows::lane(request),
            rows::holds(request),
        );
        if standing.as_ref() != Some(&request.standing) || read_off != expected {
            fault(
                verification,
                format!("{key}: its row differs from the fold over its events"),
            );
        }
        let provider = request.key.provider.as_str();
        if !names_since(stored.accepted_as.as_str(), &renames).contains(provider) {
            fault(
                verification,
                format!(
                    "{key}: it was accepted for `{}`, which was never renamed to `{provider}`",
                    stored.accepted_as
                ),
            );
        }
    }
    Ok(())
}

/// Every rename of a provider, in order.
fn renames(conn: &Connection) -> Result<Vec<(String, String)>, LedgerError> {
    let mut renames = conn.prepare("SELECT old_name, new_name FROM renames ORDER BY id")?;
    let renames = renames.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(renames.collect::<rusqlite::Result<_>>()?)
}

/// The names that a provider may have had since it was called `first`.
fn names_since<'n>(first: &'n str, renames: &'n [(String, String)]) -> BTreeSet<&'n str> {
    let mut names = BTreeSet::from([first]);
    for (old, new) in renames {
        if names.contains(old.as_str()) {
            names.insert(new);
        }
    }
    names
}

/// What one request's events come to.
struct Folded {
    standing: Option<Standing>,
    /// The hash of the newest one.
    newest: Hash,
    /// The digest of the terms in force.
    terms: Option<String>,
}

/// Folds one request's events.
fn fold(
    conn: &Connection,
    stored: &Stored,
    key: &str,
    verification: &mut Verification,
) -> Result<Folded, LedgerError> {
    let mut statement = conn.prepare_cached(
        "SELECT e.id, e.at, e.kind, e.digest, e.hash, p.salt, p.body FROM events e
         LEFT JOIN payloads p ON p.event = e.id WHERE e.request = ?1 ORDER BY e.id",
    )?;
    let mut found = statement.query([stored.request.row])?;
    let chained_key = stored.chained_key();
    let mut chain_end = GENESIS;
    let mut standing: Option<Standing> = None;
    let mut in_force = None;
    while let Some(event) = found.next()? {
        verification.events += 1;
        let number: i64 = event.get(0)?;
        let kind: String = event.get(2)?;
        let digest = rows::hash(event.get_ref(3)?.as_blob().unwrap_or_default())?;
        let hash = rows::hash(event.get_ref(4)?.as_blob().unwrap_or_default())?;
        if chain::event_hash(&chain_end, &chained_key, event.get(1)?, &kind, &digest) != hash {
            fault(
                verification,
                format!("{key}: event {number} does not follow the one before it"),
            );
        }
        chain_end = hash;
        let (salt, body): (Option<Vec<u8>>, Option<String>) = (event.get(5)?, event.get(6)?);
        let (Some(salt), Some(body)) = (salt, body) else {
            continue;
        };
        if chain::payload_digest(&salt, &body) != digest {
            fault(
                verification,
                format!("{key}: the payload of event {number} was changed"),
            );
        }
        let Ok(body) = serde_json::from_str::<Event>(&body) else {
            fault(
                verification,
                format!("{key}: event {number} cannot be read"),
            );
            continue;
        };
        // A line that is back while something is in flight asks for terms that come too late.
        let too_late = standing.as_ref().is_some_and(|it| {
            matches!(body, Event::Revived { .. }) && it.phase != Phase::Withdrawn
        });
        if let Event::Accepted { terms, .. }
        | Event::Replanned { terms, .. }
        | Event::Revived { terms, .. } = &body
            && !too_late
        {
            in_force = Some(terms.clone());
        }
        let next = match &standing {
            None => Standing::first(&body),
            Some(before) => before.after(&body),
        };
        match next {
            Ok(next) => standing = Some(next),
            Err(illegal) => fault(verification, format!("{key}: event {number}: {illegal}")),
        }
    }
    Ok(Folded {
        standing,
        newest: chain_end,
        terms: in_force,
    })
}

fn blocks(conn: &Connection, verification: &mut Verification) -> Result<(), LedgerError> {
    let mut hashes: BTreeMap<i64, Vec<Hash>> = BTreeMap::new();
    let mut events = conn.prepare("SELECT block, hash FROM events ORDER BY id")?;
    let mut events = events.query([])?;
    while let Some(row) = events.next()? {
        let hash = rows::hash(row.get_ref(1)?.as_blob().unwrap_or_default())?;
        hashes.entry(row.get(0)?).or_default().push(hash);
    }
    let mut before = GENESIS;
    let mut blocks = conn.prepare("SELECT number, hash FROM blocks ORDER BY number")?;
    let mut blocks = blocks.query([])?;
    while let Some(row) = blocks.next()? {
        verification.blocks += 1;
        let number: i64 = row.get(0)?;
        let hash = rows::hash(row.get_ref(1)?.as_blob().unwrap_or_default())?;
        let inside = hashes.remove(&number).unwrap_or_default();
        if i64::try_from(verification.blocks).ok() != Some(number)
            || chain::block_hash(&before, &inside) != hash
        {
            fault(
                verification,
                format!("block {number} does not follow the one before it"),
            );
        }
        before = hash;
    }
    for number in hashes.keys() {
        fault(
            verification,
            format!("events stand in block {number}, which is missing"),
        );
    }
    Ok(())
}
