//! What the record has of one subscription, with all that its hashes are made of: whoever has it can
//! check them without lapsed (docs/evidence.md).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use serde::Serialize;

use super::rows::{self, COLUMNS};
use super::{SqliteLedger, open};
use crate::ledger::chain::GENESIS;
use crate::ledger::{Head, LedgerError};
use crate::model::ids::{ProviderName, SubscriptionId};
use crate::model::terms::hex;

/// The record of one subscription.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// Which ledger has it.
    pub ledger_id: String,
    /// The newest block of the whole record when this was read.
    pub head: Head,
    /// Each request for it, oldest first.
    pub requests: Vec<Chain>,
    /// The blocks in which its events stand, each with all hashes that it is made of.
    pub blocks: Vec<Block>,
}

/// The events of one request, each after the one before it.
#[derive(Clone, Debug, Serialize)]
pub struct Chain {
    /// Which request for it, from 1.
    pub again: u32,
    /// What it is called in the hashes: by the provider's first name.
    pub key: String,
    /// The revisions that ask for it or let go of it.
    pub revisions: Vec<AskedBy>,
    /// What happened.
    pub events: Vec<Link>,
}

/// A revision that an event names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AskedBy {
    /// The digest over its files.
    pub revision: String,
    /// The commit that git said it was, where it said one.
    pub commit: Option<String>,
    /// When lapsed accepted it.
    pub accepted_at: DateTime<Utc>,
}

/// One event, with all that its hash is made of.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// Its number in the ledger.
    pub number: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The same in milliseconds since 1970.
    pub at_millis: i64,
    /// The kind of event.
    pub kind: String,
    /// What its payload is salted with, in hex; none where it was erased.
    pub salt: Option<String>,
    /// The payload, to the letter; none where it was erased.
    pub payload: Option<String>,
    /// SHA-256 over the salt's length, the salt and the payload.
    pub digest: String,
    /// The hash of the event before it; zeros before the first.
    pub before: String,
    /// SHA-256 over `before`, the key, the kind, `at_millis` and `digest`.
    pub hash: String,
    /// The block in which it stands.
    pub block: i64,
}

/// All events that were committed together.
#[derive(Clone, Debug, Serialize)]
pub struct Block {
    /// Its number, from 1.
    pub number: i64,
    /// The hash of the block before it; zeros before the first.
    pub before: String,
    /// The hashes of its events, in order.
    pub events: Vec<String>,
    /// SHA-256 over `before` and the events' hashes.
    pub hash: String,
}

impl SqliteLedger {
    /// What the record has of one subscription; no request where it has none.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn evidence(
        &self,
        provider: ProviderName,
        id: SubscriptionId,
    ) -> Result<Evidence, LedgerError> {
        self.read(move |conn| evidence(conn, &provider, &id)).await
    }
}

fn evidence(
    conn: &Connection,
    provider: &ProviderName,
    id: &SubscriptionId,
) -> Result<Evidence, LedgerError> {
    let mut requests = Vec::new();
    let sql = format!(
        "SELECT {COLUMNS} FROM requests WHERE provider = ?1 AND subscription = ?2 ORDER BY again"
    );
    let mut found = conn.prepare(&sql)?;
    let found = found.query_map([provider.as_str(), id.as_str()], rows::stored)?;
    for stored in found {
        let stored = stored?;
        requests.push(Chain {
            again: stored.request.key.again,
            key: stored.chained_key(),
            revisions: revisions(conn, stored.request.row)?,
            events: links(conn, stored.request.row)?,
        });
    }
    // Each with one event of it.
    let mut in_blocks = BTreeMap::new();
    for event in requests.iter().flat_map(|it| &it.events) {
        in_blocks.entry(event.block).or_insert(event.number);
    }
    let blocks = in_blocks
        .into_iter()
        .map(|(number, event)| block(conn, number, event));
    Ok(Evidence {
        ledger_id: open::meta(conn, "ledger_id")?.unwrap_or_default(),
        head: open::head(conn)?,
        blocks: blocks.collect::<Result<_, _>>()?,
        requests,
    })
}

fn links(conn: &Connection, request: i64) -> Result<Vec<Link>, LedgerError> {
    let mut found = conn.prepare_cached(
        "SELECT e.id, e.at, e.kind, e.digest, e.hash, e.block, p.salt, p.body FROM events e
         LEFT JOIN payloads p ON p.event = e.id WHERE e.request = ?1 ORDER BY e.id",
    )?;
    let mut found = found.query([request])?;
    let mut before = hex(&GENESIS);
    let mut links = Vec::new();
    while let Some(row) = found.next()? {
        let at_millis: i64 = row.get(1)?;
        let hash = hex(&row.get::<_, Vec<u8>>(4)?);
        links.push(Link {
            number: row.get(0)?,
            at: rows::instant(at_millis),
            at_millis,
            kind: row.get(2)?,
            salt: row.get::<_, Option<Vec<u8>>>(6)?.map(|salt| hex(&salt)),
            payload: row.get(7)?,
            digest: hex(&row.get::<_, Vec<u8>>(3)?),
            before: std::mem::replace(&mut before, hash.clone()),
            hash,
            block: row.get(5)?,
        });
    }
    Ok(links)
}

/// The revisions that the events of a request name, in the order of their numbers.
fn revisions(conn: &Connection, request: i64) -> Result<Vec<AskedBy>, LedgerError> {
    let mut found = conn.prepare_cached(
        "SELECT digest, commit_id, accepted_at FROM revisions
         WHERE digest IN (SELECT json_extract(p.body, '$.revision') FROM events e
           JOIN payloads p ON p.event = e.id WHERE e.request = ?1)
         ORDER BY number",
    )?;
    let found = found.query_map([request], |row| {
        Ok(AskedBy {
            revision: row.get(0)?,
            commit: row.get(1)?,
            accepted_at: rows::instant(row.get(2)?),
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// A block, whose events stand side by side around one of them.
fn block(conn: &Connection, number: i64, event: i64) -> Result<Block, LedgerError> {
    let hash_of = |number: i64| -> Result<String, LedgerError> {
        let hash = conn
            .prepare_cached("SELECT hash FROM blocks WHERE number = ?1")?
            .query_row([number], |row| row.get::<_, Vec<u8>>(0))?;
        Ok(hex(&hash))
    };
    let along = |sql: &str| -> Result<Vec<String>, LedgerError> {
        let mut found = conn.prepare_cached(sql)?;
        let mut found = found.query([event])?;
        let mut hashes = Vec::new();
        while let Some(row) = found.next()? {
            if row.get::<_, i64>(0)? != number {
                break;
            }
            hashes.push(hex(&row.get::<_, Vec<u8>>(1)?));
        }
        Ok(hashes)
    };
    let mut events = along("SELECT block, hash FROM events WHERE id < ?1 ORDER BY id DESC")?;
    events.reverse();
    events.extend(along(
        "SELECT block, hash FROM events WHERE id >= ?1 ORDER BY id",
    )?);
    Ok(Block {
        number,
        before: match number {
            1 => hex(&GENESIS),
            _ => hash_of(number - 1)?,
        },
        events,
        hash: hash_of(number)?,
    })
}
