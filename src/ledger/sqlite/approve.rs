//! What waits for a person: named by digests, freed by an approval.
//!
//! At the end of each acceptance the ledger notes what waits in each file under the digest that
//! a plan prints of it. An approval frees exactly those, as far as they still wait on the same
//! terms; what has come to wait since has a digest of its own.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Tx;
use super::accept::resume;
use super::rows::{self, COLUMNS};
use crate::ledger::{Close, LedgerError, Member, Posted};
use crate::model::approval::{Approved, Approving, Gathering, Waiting, What};
use crate::model::request::Request;
use crate::model::standing::Event;

/// Who approves, and where it is written.
pub(super) struct Voice<'v> {
    pub by: &'v str,
    /// The revision whose file says so; none: a command.
    pub revision: Option<&'v str>,
    /// Why.
    pub reason: Option<&'v str>,
}

/// Which members of a plan may be freed.
#[derive(Clone, Copy)]
enum Freed {
    /// Those that it never freed.
    Never,
    /// Also those that it freed before, and that have come to wait again.
    OrBefore,
}

/// One file's requests that wait for the same, in the order of their lines.
struct Group {
    file: String,
    what: What,
    gathering: Gathering,
    rows: Vec<(i64, String)>,
}

impl Group {
    fn waiting(&self) -> Waiting {
        self.gathering.waiting(&self.file, self.what, true)
    }
}

/// What waits now, by file.
pub(super) fn waiting(conn: &Connection) -> Result<Vec<Waiting>, LedgerError> {
    let mut all = Vec::new();
    for what in What::ALL {
        all.extend(groups(conn, what)?.iter().map(Group::waiting));
    }
    Ok(all)
}

fn groups(conn: &Connection, what: What) -> Result<Vec<Group>, LedgerError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM requests WHERE holds <> '' AND holds LIKE ?1
         ORDER BY file, line, id"
    );
    let mut found = conn.prepare_cached(&sql)?;
    let pattern = format!("%,{},%", what.hold());
    let found = found.query_map([pattern], rows::request)?;
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for request in found {
        let request: Request = request?;
        // What was missed while it waited has to be planned afresh first.
        if !request.standing.plannable() {
            continue;
        }
        let terms = request.terms.digest();
        let group = groups
            .entry(request.place.file.clone())
            .or_insert_with(|| Group {
                file: request.place.file.clone(),
                what,
                gathering: Gathering::default(),
                rows: Vec::new(),
            });
        group.gathering.add(&request.key, &terms, request.due_at);
        group.rows.push((request.row, terms));
    }
    Ok(groups.into_values().collect())
}

/// What a digest was noted of.
pub(super) fn members(conn: &Connection, plan: &str) -> Result<Option<Vec<Member>>, LedgerError> {
    let noted: bool = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM plans WHERE digest = ?1)")?
        .query_row([plan], |row| row.get(0))?;
    if !noted {
        return Ok(None);
    }
    let mut found = conn.prepare_cached(
        "SELECT r.provider, r.subscription, r.again, w.terms, w.freed
         FROM waiting w JOIN requests r ON r.id = w.request
         WHERE w.digest = ?1 ORDER BY w.place",
    )?;
    let found = found.query_map([plan], |row| {
        Ok(Member {
            key: rows::key(row, 0)?,
            terms: row.get(3)?,
            freed: row.get(4)?,
        })
    })?;
    Ok(Some(found.collect::<rusqlite::Result<_>>()?))
}

impl Tx<'_> {
    /// Notes what waits under each file's digest, since a revision. What is known stays as it
    /// was first noted.
    pub(super) fn note_waiting(&self, revision: i64) -> Result<(), LedgerError> {
        for what in What::ALL {
            for group in groups(self.conn, what)? {
                self.note_group(&group, revision)?;
            }
        }
        Ok(())
    }

    fn note_group(&self, group: &Group, revision: i64) -> Result<(), LedgerError> {
        let Waiting {
            file,
            what,
            digest,
            items,
            ..
        } = group.waiting();
        let new = self
            .conn
            .prepare_cached(
                "INSERT OR IGNORE INTO plans (digest, file, what, items, revision)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                digest,
                file,
                what.as_str(),
                i64::try_from(items).unwrap_or(i64::MAX),
                revision
            ])?;
        if new == 0 {
            return Ok(());
        }
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO waiting (digest, request, terms, place) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for (place, (row, terms)) in group.rows.iter().enumerate() {
            insert.execute(params![digest, row, terms, place as i64])?;
        }
        Ok(())
    }

    /// Frees what a file's approval names, if it waited before this revision.
    pub(super) fn approve_by_file(
        &mut self,
        approving: &Approving,
        revision: &str,
        close: &Close,
        at: DateTime<Utc>,
    ) -> Result<Approved, LedgerError> {
        let Approving {
            plan,
            by,
            at_most,
            past,
        } = approving;
        let Some(what) = self.noted(plan)? else {
            return Ok(Approved::Unknown);
        };
        let freed = self.freed(plan)?;
        if *past && freed == 0 {
            return Ok(Approved::Past);
        }
        let voice = Voice {
            by,
            revision: Some(revision),
            reason: None,
        };
        let left = at_most.map(|most| most.saturating_sub(freed));
        let mut members = self.members(plan, Freed::Never)?;
        let all = members.len();
        if what == What::Approval && !close.allows_more.is_empty() {
            let mut find = self
                .conn
                .prepare_cached("SELECT provider FROM requests WHERE id = ?1")?;
            let mut early = BTreeSet::new();
            for (row, _) in &members {
                let name = find.query_row([row], |found| rows::provider_name(found, 0))?;
                if close.allows_more.contains(&name) {
                    early.insert(*row);
                }
            }
            members.retain(|(row, _)| !early.contains(row));
        }
        if members.is_empty() && all > 0 {
            return Ok(Approved::TooEarly);
        }
        self.free(plan, what, members, &voice, left, at)
    }

    /// Frees what a command's approval names. What waits just now needs not have been noted.
    pub(super) fn approve_by_command(
        &mut self,
        plan: &str,
        at_most: Option<u64>,
        posted: &Posted,
        at: DateTime<Utc>,
    ) -> Result<u64, LedgerError> {
        let current: Option<i64> = self
            .conn
            .query_row(
                "SELECT number FROM revisions WHERE status <> 'past' AND status = 'current'",
                [],
                |row| row.get(0),
            )
            .optional()?;
        self.note_waiting(current.unwrap_or_default())?;
        let Some(what) = self.noted(plan)? else {
            return Ok(0);
        };
        let voice = Voice {
            by: &posted.by,
            revision: None,
            reason: Some(&posted.reason),
        };
        // What was freed before and waits again is freed by a person who says so now, and not by
        // what still stands in a file.
        let members = self.members(plan, Freed::OrBefore)?;
        Ok(match self.free(plan, what, members, &voice, at_most, at)? {
            Approved::Freed(count) => count,
            _ => 0,
        })
    }

    pub(super) fn is_noted(&self, plan: &str) -> Result<bool, LedgerError> {
        Ok(self.noted(plan)?.is_some())
    }

    fn noted(&self, plan: &str) -> Result<Option<What>, LedgerError> {
        let found: Option<String> = self
            .conn
            .prepare_cached("SELECT what FROM plans WHERE digest = ?1")?
            .query_row([plan], |row| row.get(0))
            .optional()?;
        Ok(found.and_then(|word| What::ALL.into_iter().find(|what| what.as_str() == word)))
    }

    /// How many this plan has freed so far.
    fn freed(&self, plan: &str) -> Result<u64, LedgerError> {
        Ok(self
            .conn
            .prepare_cached("SELECT count(*) FROM waiting WHERE digest = ?1 AND freed = 1")?
            .query_row([plan], |row| rows::count(row, 0))?)
    }

    /// What a plan names, in the order of its lines.
    fn members(&self, plan: &str, freed: Freed) -> Result<Vec<(i64, String)>, LedgerError> {
        let most = match freed {
            Freed::Never => 0,
            Freed::OrBefore => 1,
        };
        Ok(self
            .conn
            .prepare_cached(
                "SELECT request, terms FROM waiting WHERE digest = ?1 AND freed <= ?2 ORDER BY place",
            )?
            .query_map(params![plan, most], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?)
    }

    fn free(
        &mut self,
        plan: &str,
        what: What,
        members: Vec<(i64, String)>,
        voice: &Voice<'_>,
        at_most: Option<u64>,
        at: DateTime<Utc>,
    ) -> Result<Approved, LedgerError> {
        let mut freed = 0;
        for (row, terms) in members {
            if at_most.is_some_and(|most| freed >= most) {
                break;
            }
            freed += u64::from(self.free_one(row, &terms, plan, what, voice, at)?);
        }
        Ok(if freed == 0 {
            Approved::Spent
        } else {
            Approved::Freed(freed)
        })
    }

    /// Frees one, if it still waits on the same terms.
    fn free_one(
        &mut self,
        row: i64,
        terms: &str,
        plan: &str,
        what: What,
        voice: &Voice<'_>,
        at: DateTime<Utc>,
    ) -> Result<bool, LedgerError> {
        let mut stored = rows::load(self.conn, row)?;
        let standing = &stored.request.standing;
        if !standing.plannable()
            || !standing.holds.contains(&what.hold())
            || stored.request.terms.digest() != terms
        {
            return Ok(false);
        }
        let approved = Event::Approved {
            plan: plan.to_owned(),
            by: voice.by.to_owned(),
            revision: voice.revision.map(str::to_owned),
            reason: voice.reason.map(str::to_owned),
        };
        self.happen(&mut stored, &approved, at)?;
        if what == What::Removal {
            let withdrawn = Event::Withdrawn {
                revision: voice.revision.unwrap_or_default().to_owned(),
            };
            self.happen(&mut stored, &withdrawn, at)?;
        }
        stored.request.wake_at = resume(&stored.request, at);
        self.store(&mut stored, at)?;
        self.conn
            .prepare_cached("UPDATE waiting SET freed = 1 WHERE digest = ?1 AND request = ?2")?
            .execute(params![plan, row])?;
        Ok(true)
    }
}
