//! What is remembered of providers, what is paused, and the inbox.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Tx, millis, open, queue, rows};
use crate::ledger::{Command, LedgerError, Posted};
use crate::model::ids::ProviderName;
use crate::model::memory::{Pause, Pauses, ProviderMemory};
use crate::model::provider::ProviderKind;
use crate::model::standing::{Event, State};

/// What stands for all providers in `pauses`; no provider can be called so.
const ALL: &str = "*";

pub(super) fn provider(
    conn: &Connection,
    name: &ProviderName,
) -> Result<ProviderMemory, LedgerError> {
    let found: Option<String> = conn
        .prepare_cached("SELECT memory FROM providers WHERE name = ?1")?
        .query_row([name.as_str()], |row| row.get(0))
        .optional()?;
    match found {
        None => Ok(ProviderMemory::default()),
        Some(text) => Ok(serde_json::from_str(&text)?),
    }
}

pub(super) fn names_of_account(
    conn: &Connection,
    kind: ProviderKind,
    account: &str,
) -> Result<Vec<ProviderName>, LedgerError> {
    let mut rows =
        conn.prepare_cached("SELECT name FROM providers WHERE kind = ?1 AND account = ?2")?;
    let names = rows.query_map([kind.as_str(), account], |row| rows::provider_name(row, 0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn pauses(conn: &Connection) -> Result<Pauses, LedgerError> {
    let epoch = open::meta(conn, "pause_epoch")?.and_then(|text| text.parse().ok());
    let mut pauses = Pauses {
        epoch: epoch.unwrap_or_default(),
        ..Pauses::default()
    };
    let mut rows = conn.prepare_cached("SELECT provider, since, by_whom, reason FROM pauses")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let pause = Pause {
            since: rows::instant(row.get(1)?),
            by: row.get(2)?,
            reason: row.get(3)?,
        };
        if row.get_ref(0)?.as_str().is_ok_and(|name| name == ALL) {
            pauses.all = Some(pause);
        } else {
            pauses.providers.insert(rows::provider_name(row, 0)?, pause);
        }
    }
    Ok(pauses)
}

pub(super) fn inbox(conn: &Connection) -> Result<Vec<Posted>, LedgerError> {
    let mut rows = conn.prepare_cached(
        "SELECT id, at, by_whom, reason, command FROM inbox WHERE applied_at IS NULL ORDER BY id",
    )?;
    let mut rows = rows.query([])?;
    let mut inbox = Vec::new();
    while let Some(row) = rows.next()? {
        let command: String = row.get(4)?;
        inbox.push(Posted {
            number: row.get(0)?,
            at: rows::instant(row.get(1)?),
            by: row.get(2)?,
            reason: row.get(3)?,
            command: serde_json::from_str(&command)?,
        });
    }
    Ok(inbox)
}

impl Tx<'_> {
    pub(super) fn remember(
        &self,
        name: &ProviderName,
        memory: &ProviderMemory,
    ) -> Result<(), LedgerError> {
        self.conn
            .prepare_cached(
                "INSERT INTO providers (name, kind, account, memory) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) DO UPDATE SET kind = excluded.kind,
                   account = excluded.account, memory = excluded.memory",
            )?
            .execute(params![
                name.as_str(),
                memory.kind.map(ProviderKind::as_str),
                memory.account,
                serde_json::to_string(memory)?
            ])?;
        Ok(())
    }

    pub(super) fn post(&self, posted: &Posted) -> Result<i64, LedgerError> {
        self.conn
            .prepare_cached(
                "INSERT INTO inbox (at, by_whom, reason, command) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                millis(posted.at),
                posted.by,
                posted.reason,
                serde_json::to_string(&posted.command)?
            ])?;
        Ok(self.conn.last_insert_rowid())
    }

    pub(super) fn apply(&mut self, posted: &Posted, at: DateTime<Utc>) -> Result<u64, LedgerError> {
        let marked = self.conn.execute(
            "UPDATE inbox SET applied_at = ?2 WHERE id = ?1 AND applied_at IS NULL",
            params![posted.number, millis(at)],
        )?;
        if marked == 0 {
            return Ok(0);
        }
        match &posted.command {
            Command::Pause { provider } => self.pause(provider.as_ref(), posted),
            Command::Resume { provider } => self.resume(provider.as_ref()),
            Command::Reconcile { .. } => Ok(0),
            Command::Retry {
                provider,
                id,
                state,
            } => {
                if !matches!(state, State::Failed | State::Missed) {
                    return Ok(0);
                }
                // Nobody is cancelled whom the file does not ask for any more.
                let mut sql = "SELECT id FROM requests WHERE provider = ?1 AND state = ?2
                     AND seen > 0"
                    .to_owned();
                if id.is_some() {
                    sql.push_str(" AND subscription = ?3");
                }
                let mut values = vec![provider.as_str(), state.as_str()];
                values.extend(id.as_ref().map(|id| id.as_str()));
                let found: Vec<i64> = self
                    .conn
                    .prepare(&sql)?
                    .query_map(rusqlite::params_from_iter(values), |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?;
                for row in &found {
                    let mut stored = rows::load(self.conn, *row)?;
                    let event = Event::Retried {
                        by: posted.by.clone(),
                        reason: posted.reason.clone(),
                    };
                    self.happen(&mut stored, &event, at)?;
                    stored.request.wake_at = Some(at);
                    stored.request.idle_looks = 0;
                    stored.request.note = None;
                    self.take_up_late(&mut stored, at)?;
                    self.store(&mut stored, at)?;
                }
                Ok(found.len() as u64)
            }
            Command::Approve { plan, at_most } => match self.allow_destination(plan)? {
                0 => self.approve_by_command(plan, *at_most, posted, at),
                allowed => Ok(allowed),
            },
            Command::Trust => self.trust(&posted.by, at).map(|()| 1),
        }
    }

    /// Lets credentials go where the file sends them, if the digest is that of such a place.
    fn allow_destination(&self, digest: &str) -> Result<u64, LedgerError> {
        let names: Vec<ProviderName> = self
            .conn
            .prepare_cached("SELECT name FROM providers")?
            .query_map([], |row| rows::provider_name(row, 0))?
            .collect::<rusqlite::Result<_>>()?;
        for name in names {
            let mut memory = provider(self.conn, &name)?;
            let named = memory
                .elsewhere
                .take_if(|elsewhere| elsewhere.digest(&name) == digest);
            if named.is_some() {
                memory.destination = named;
                self.remember(&name, &memory)?;
                return Ok(1);
            }
        }
        Ok(0)
    }

    fn pause(&self, provider: Option<&ProviderName>, posted: &Posted) -> Result<u64, LedgerError> {
        self.conn.execute(
            "INSERT INTO pauses (provider, since, by_whom, reason) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (provider) DO UPDATE SET by_whom = excluded.by_whom, reason = excluded.reason",
            params![
                provider.map_or(ALL, ProviderName::as_str),
                millis(posted.at),
                posted.by,
                posted.reason
            ],
        )?;
        self.raise_epoch()
    }

    fn resume(&self, provider: Option<&ProviderName>) -> Result<u64, LedgerError> {
        match provider {
            Some(name) => self
                .conn
                .execute("DELETE FROM pauses WHERE provider = ?1", [name.as_str()])?,
            None => self.conn.execute("DELETE FROM pauses", [])?,
        };
        self.raise_epoch()
    }

    fn raise_epoch(&self) -> Result<u64, LedgerError> {
        self.conn.execute(
            "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'pause_epoch'",
            [],
        )?;
        Ok(1)
    }

    /// Notes which ledger the file means, and doubts this one if it is another.
    pub(super) fn named(&mut self, meant: &str) -> Result<(), LedgerError> {
        let own = open::meta(self.conn, "ledger_id")?.unwrap_or_default();
        let trusted = open::meta(self.conn, "trusted_in_place_of")?;
        let known = meant == own || trusted.as_deref() == Some(meant);
        if known || open::meta(self.conn, "doubt")?.is_some() {
            return self.note("named", meant);
        }
        self.note("named", meant)?;
        self.note(
            "doubt",
            &format!("the file means ledger {meant}, but this one is {own}; was it lost, or is the path another?"),
        )
    }

    pub(super) fn note(&self, key: &str, value: &str) -> Result<(), LedgerError> {
        self.conn.execute(
            "INSERT INTO meta (key, value) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [key, value],
        )?;
        Ok(())
    }

    pub(super) fn trust(&mut self, by: &str, at: DateTime<Utc>) -> Result<(), LedgerError> {
        self.conn
            .execute("DELETE FROM meta WHERE key = 'doubt'", [])?;
        if let Some(meant) = open::meta(self.conn, "named")? {
            self.note("trusted_in_place_of", &meant)?;
        }
        self.note("trusted", &format!("{} by {by}", at.to_rfc3339()))?;
        self.trusted = true;
        Ok(())
    }

    pub(super) fn rename_provider(
        &mut self,
        from: &ProviderName,
        to: &ProviderName,
    ) -> Result<u64, LedgerError> {
        let names = [from.as_str(), to.as_str()];
        let changed_places = self.let_the_older_go_on(from, to)?;
        let moved = self.conn.execute(
            "UPDATE OR IGNORE requests SET provider = ?2 WHERE provider = ?1",
            names,
        )?;
        let moved = moved + changed_places;
        if moved > 0 {
            self.conn.execute(
                "INSERT INTO renames (old_name, new_name) VALUES (?1, ?2)",
                names,
            )?;
        }
        // A name that never had an account of its own remembers nothing worth keeping.
        self.conn.execute(
            "DELETE FROM providers WHERE name = ?1 AND account IS NULL
               AND EXISTS (SELECT 1 FROM providers WHERE name = ?2)",
            [to.as_str(), from.as_str()],
        )?;
        for table in ["attempts", "pauses"] {
            self.conn.execute(
                &format!("UPDATE OR IGNORE {table} SET provider = ?2 WHERE provider = ?1"),
                names,
            )?;
        }
        self.conn.execute(
            "UPDATE OR IGNORE providers SET name = ?2 WHERE name = ?1",
            names,
        )?;
        self.conn
            .execute("DELETE FROM providers WHERE name = ?1", [from.as_str()])?;
        *self.rolling = super::rolling::Rolling::load(self.conn)?;
        Ok(moved as u64)
    }

    /// Where both names have a request and nothing was sent under the new one, the one with a
    /// history is to go on: the two change places.
    fn let_the_older_go_on(
        &self,
        from: &ProviderName,
        to: &ProviderName,
    ) -> Result<usize, LedgerError> {
        let pairs: Vec<(i64, i64)> = self
            .conn
            .prepare(
                "SELECT older.id, newer.id FROM requests older JOIN requests newer
                   ON newer.provider = ?2 AND newer.subscription = older.subscription
                     AND newer.again = older.again
                 WHERE older.provider = ?1
                   AND NOT EXISTS (SELECT 1 FROM attempts WHERE request = newer.id)",
            )?
            .query_map([from.as_str(), to.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        if pairs.is_empty() {
            return Ok(0);
        }
        self.conn.execute(
            "INSERT INTO renames (old_name, new_name) VALUES (?1, ?2)",
            [to.as_str(), from.as_str()],
        )?;
        let mut call = self
            .conn
            .prepare("UPDATE requests SET provider = ?2, version = version + 1 WHERE id = ?1")?;
        for (older, newer) in &pairs {
            call.execute(params![newer, ALL])?;
            call.execute(params![older, to.as_str()])?;
            call.execute(params![newer, from.as_str()])?;
        }
        Ok(pairs.len())
    }

    pub(super) fn wake_held(
        &self,
        provider: &ProviderName,
        at: DateTime<Utc>,
    ) -> Result<u64, LedgerError> {
        queue::wake_held(self.conn, provider, at)
    }

    pub(super) fn set_back(
        &mut self,
        provider: &ProviderName,
        at: DateTime<Utc>,
        not_before: DateTime<Utc>,
    ) -> Result<u64, LedgerError> {
        // First, since what is due by then is looked at now.
        let due = self.bring_forward(provider, at, not_before)?;
        let held = queue::wake_held(self.conn, provider, at)?;
        let sent = queue::wake_sent(self.conn, provider, at)?;
        Ok(due + held + sent)
    }
}
