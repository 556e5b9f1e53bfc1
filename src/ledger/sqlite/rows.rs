//! Rows to values and back.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;

use super::{DAY, Tx, millis};
use crate::ledger::chain::{self, Hash};
use crate::ledger::{Incoming, LedgerError};
use crate::model::hold::HoldReason;
use crate::model::ids::{Key, ProviderName, SubscriptionId};
use crate::model::provider::ProviderKind;
use crate::model::request::Request;
use crate::model::standing::{Event, Phase};
use crate::model::terms::Place;

/// What [`request`] reads, in its order.
pub(super) const COLUMNS: &str = "id, version, provider, subscription, again, kind, standing, \
     terms, file, line, last_line, revision, due_at, deadline_at, wake_at, look, doubt, \
     held_since, hold_details, idle_looks, note, created_at, changed_at, seen, late, chain, accepted_as, \
     not_before";

/// A request together with what only the ledger needs of its row.
#[derive(Clone, PartialEq)]
pub(super) struct Stored {
    pub request: Request,
    /// The revision since when the file has it; 0 where it has not.
    pub seen: i64,
    /// Newer terms, which came after the send.
    pub late: Option<Late>,
    pub chain: Hash,
    /// The provider's name when the request was first accepted.
    pub accepted_as: ProviderName,
}

impl Stored {
    /// The key that the request's chain is hashed over: it stays when a provider is renamed.
    pub(super) fn chained_key(&self) -> String {
        Key {
            provider: self.accepted_as.clone(),
            ..self.request.key.clone()
        }
        .to_string()
    }
}

/// Terms that came too late for what is in flight, and are taken up if it had no effect.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Late {
    pub wanted: crate::model::terms::Wanted,
    pub revision: String,
    pub due_at: Option<i64>,
    pub wake_at: Option<i64>,
    #[serde(default)]
    pub not_before: i64,
    #[serde(default)]
    pub deadline_at: Option<i64>,
    pub holds: std::collections::BTreeMap<crate::model::hold::HoldReason, String>,
}

impl Late {
    pub(super) fn of(item: &Incoming, revision: &str) -> Self {
        Self {
            wanted: item.wanted.clone(),
            revision: revision.to_owned(),
            due_at: item.due_at.map(millis),
            wake_at: item.wake_at.map(millis),
            not_before: millis(item.not_before),
            deadline_at: item.deadline_at.map(millis),
            holds: super::accept::new_holds(item),
        }
    }
}

/// A count, which is never negative.
pub(super) fn count(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or_default())
}

/// Bytes as a hash.
pub(super) fn hash(bytes: &[u8]) -> Result<Hash, LedgerError> {
    bytes
        .try_into()
        .map_err(|_| LedgerError::Failed("a hash of the ledger has the wrong length".to_owned()))
}

/// Milliseconds as an instant.
pub(super) fn instant(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

fn json<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            index,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

fn json_or_none<T: DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<T>> {
    match row.get::<_, Option<String>>(index)? {
        None => Ok(None),
        Some(_) => json(row, index).map(Some),
    }
}

fn instant_or_none(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<DateTime<Utc>>> {
    Ok(row.get::<_, Option<i64>>(index)?.map(instant))
}

/// The key in three columns from `first` on.
pub(super) fn key(row: &Row<'_>, first: usize) -> rusqlite::Result<Key> {
    Ok(Key {
        provider: provider_name(row, first)?,
        id: SubscriptionId::stored(row.get_ref(first + 1)?.as_str()?),
        again: row.get(first + 2)?,
    })
}

/// A provider's name.
pub(super) fn provider_name(row: &Row<'_>, index: usize) -> rusqlite::Result<ProviderName> {
    ProviderName::parse(row.get_ref(index)?.as_str()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            index,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

fn kind(row: &Row<'_>, index: usize) -> rusqlite::Result<ProviderKind> {
    let text: String = row.get(index)?;
    ProviderKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or(rusqlite::Error::InvalidQuery)
}

/// A row in the order of [`COLUMNS`].
pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let chain: Vec<u8> = row.get(25)?;
    Ok(Stored {
        request: Request {
            row: row.get(0)?,
            version: row.get(1)?,
            key: key(row, 2)?,
            kind: kind(row, 5)?,
            standing: json(row, 6)?,
            terms: json(row, 7)?,
            place: Place {
                file: row.get(8)?,
                line: row.get(9)?,
                last_line: row.get(10)?,
            },
            revision: row.get(11)?,
            not_before: instant(row.get(27)?),
            due_at: instant_or_none(row, 12)?,
            deadline_at: instant_or_none(row, 13)?,
            wake_at: instant_or_none(row, 14)?,
            look: json_or_none(row, 15)?,
            doubt: json_or_none(row, 16)?,
            held_since: instant_or_none(row, 17)?,
            hold_details: json(row, 18)?,
            idle_looks: row.get(19)?,
            note: row.get(20)?,
            created_at: instant(row.get(21)?),
            changed_at: instant(row.get(22)?),
        },
        seen: row.get(23)?,
        late: json_or_none(row, 24)?,
        chain: chain
            .try_into()
            .map_err(|_| rusqlite::Error::InvalidQuery)?,
        accepted_as: provider_name(row, 26)?,
    })
}

/// A row as the rest of the house knows it.
pub(super) fn request(row: &Row<'_>) -> rusqlite::Result<Request> {
    stored(row).map(|stored| stored.request)
}

/// The request of a key.
pub(super) fn find(conn: &Connection, key: &Key) -> Result<Option<Stored>, LedgerError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM requests WHERE provider = ?1 AND subscription = ?2 AND again = ?3"
    );
    Ok(conn
        .prepare_cached(&sql)?
        .query_row(
            params![key.provider.as_str(), key.id.as_str(), key.again],
            stored,
        )
        .optional()?)
}

/// The request of a row.
pub(super) fn load(conn: &Connection, row: i64) -> Result<Stored, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM requests WHERE id = ?1");
    Ok(conn.prepare_cached(&sql)?.query_row([row], stored)?)
}

/// Which pass takes it: 0 a tick, 1 by itself, none: closed.
pub(super) fn lane(request: &Request) -> Option<i64> {
    match request.standing.phase {
        // A look at a period's end that is ahead needs no tick: nothing can be sent yet.
        Phase::Waiting if only_looks(request) => Some(1),
        Phase::Waiting => Some(0),
        Phase::Retrying | Phase::Sending | Phase::Unknown | Phase::Ending => Some(1),
        Phase::Withdrawn | Phase::Settled(_) => None,
    }
}

fn only_looks(request: &Request) -> bool {
    match (request.due_at, request.wake_at) {
        (None, _) => true,
        (Some(due_at), Some(wake_at)) => wake_at < due_at,
        (Some(_), None) => false,
    }
}

/// The holds as the row has them, to be searched.
pub(super) fn holds(request: &Request) -> String {
    let names: Vec<_> = request
        .standing
        .holds
        .iter()
        .map(|it| it.as_str())
        .collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(",{},", names.join(","))
    }
}

/// Its lines are not in a file that is not valid.
pub(super) fn stale() -> Event {
    Event::Held {
        reason: HoldReason::ConfigStale,
        detail: "the newest text of the file is not valid and lacks these lines".to_owned(),
    }
}

impl Tx<'_> {
    /// Moves a request by one event and adds the event to the record. The row itself is
    /// written by [`Tx::store`].
    pub(super) fn happen(
        &mut self,
        stored: &mut Stored,
        event: &Event,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let was_stale = stored
            .request
            .standing
            .holds
            .contains(&HoldReason::ConfigStale);
        stored.request.standing = stored.request.standing.after(event)?;
        if was_stale && matches!(event, Event::Settled { .. }) {
            // The file is still broken when it is tried again.
            self.conn
                .prepare_cached("INSERT OR IGNORE INTO stale (request) VALUES (?1)")?
                .execute([stored.request.row])?;
        }
        let request = &mut stored.request;
        match event {
            Event::Held { reason, detail } => {
                request.hold_details.insert(*reason, detail.clone());
            }
            Event::Freed { reason } => {
                request.hold_details.remove(reason);
            }
            Event::Settled { note, .. } => request.note = Some(note.clone()),
            _ => {}
        }
        request
            .hold_details
            .retain(|reason, _| request.standing.holds.contains(reason));
        request.held_since = match (request.standing.holds.is_empty(), request.held_since) {
            (true, _) => None,
            (false, since) => since.or(Some(at)),
        };
        self.append(stored, event, at)?;
        self.hold_if_stale(stored, event, at)
    }

    /// What was in flight when the file broke, and could be sent again now, is held in the same
    /// transaction.
    fn hold_if_stale(
        &mut self,
        stored: &mut Stored,
        event: &Event,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let frees = matches!(event, Event::ProvenNotDone { .. } | Event::Retried { .. });
        if !frees || !stored.request.standing.plannable() {
            return Ok(());
        }
        let marked = self
            .conn
            .prepare_cached("DELETE FROM stale WHERE request = ?1")?
            .execute([stored.request.row])?;
        if marked == 0 {
            return Ok(());
        }
        self.happen(stored, &stale(), at)
    }

    /// Adds an event to the record.
    pub(super) fn append(
        &mut self,
        stored: &mut Stored,
        event: &Event,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let body = serde_json::to_string(event)?;
        let salt: Vec<u8> = self
            .conn
            .prepare_cached("SELECT randomblob(16)")?
            .query_row([], |row| row.get(0))?;
        let digest = chain::payload_digest(&salt, &body);
        let key = stored.chained_key();
        let hash = chain::event_hash(&stored.chain, &key, millis(at), event.kind(), &digest);
        self.conn
            .prepare_cached(
                "INSERT INTO events (request, at, kind, digest, hash, block)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                stored.request.row,
                millis(at),
                event.kind(),
                digest.as_slice(),
                hash.as_slice(),
                self.block
            ])?;
        let number = self.conn.last_insert_rowid();
        if let Event::Settled { as_, .. } = event {
            self.conn
                .prepare_cached(
                    "INSERT INTO settled_days (day, state, settled) VALUES (?1, ?2, 1)
                     ON CONFLICT (day, state) DO UPDATE SET settled = settled + 1",
                )?
                .execute(params![millis(at).div_euclid(DAY), as_.state().as_str()])?;
        }
        self.conn
            .prepare_cached("INSERT INTO payloads (event, salt, body) VALUES (?1, ?2, ?3)")?
            .execute(params![number, salt, body])?;
        stored.chain = hash;
        self.hashes.push(hash);
        Ok(())
    }

    /// Writes a request's row as it now stands, and gives it its next version.
    pub(super) fn store(&self, stored: &mut Stored, at: DateTime<Utc>) -> Result<(), LedgerError> {
        let request = &mut stored.request;
        let before = request.version;
        request.version += 1;
        request.changed_at = at;
        if lane(request).is_none() {
            request.wake_at = None;
            request.doubt = None;
        }
        let changed = self
            .conn
            .prepare_cached(
                "UPDATE requests SET version = ?2, state = ?3, lane = ?4, standing = ?5,
                   holds = ?6, terms = ?7, terms_digest = ?8, late = ?9, file = ?10, line = ?11,
                   last_line = ?12, revision = ?13, seen = ?14, due_at = ?15, deadline_at = ?16,
                   wake_at = ?17, look = ?18, doubt = ?19, held_since = ?20, hold_details = ?21,
                   idle_looks = ?22, note = ?23, changed_at = ?24, chain = ?25,
                   kind = ?26, not_before = ?27
                 WHERE id = ?1 AND version = ?28",
            )?
            .execute(params![
                request.row,
                request.version,
                request.state().as_str(),
                lane(request),
                serde_json::to_string(&request.standing)?,
                holds(request),
                serde_json::to_string(&request.terms)?,
                request.terms.digest(),
                stored
                    .late
                    .as_ref()
                    .map(serde_json::to_string)
                    .transpose()?,
                request.place.file,
                request.place.line,
                request.place.last_line,
                request.revision,
                stored.seen,
                request.due_at.map(millis),
                request.deadline_at.map(millis),
                request.wake_at.map(millis),
                request
                    .look
                    .as_ref()
                    .map(serde_json::to_string)
                    .transpose()?,
                request
                    .doubt
                    .as_ref()
                    .map(serde_json::to_string)
                    .transpose()?,
                request.held_since.map(millis),
                serde_json::to_string(&request.hold_details)?,
                request.idle_looks,
                request.note,
                millis(request.changed_at),
                stored.chain.as_slice(),
                request.kind.as_str(),
                millis(request.not_before),
                before,
            ])?;
        if changed == 1 {
            Ok(())
        } else {
            Err(LedgerError::Moved)
        }
    }
}
