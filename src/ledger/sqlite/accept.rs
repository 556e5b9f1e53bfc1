//! Accepting a revision: comparing, storing as *accepting*, taking the items in, closing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{self, Late, Stored};
use super::{Tx, millis};
use crate::ledger::chain::GENESIS;
use crate::ledger::{Close, Incoming, LedgerError, NewRevision, Revision};
use crate::model::approval::Approved;
use crate::model::hold::HoldReason;
use crate::model::ids::ProviderName;
use crate::model::memory::Verdict;
use crate::model::request::Request;
use crate::model::standing::{Event, Phase, Settlement, Standing};
use crate::model::terms::When;
use crate::planted::planted;

/// The revision in a status, if there is one.
pub(super) fn revision(conn: &Connection, status: &str) -> Result<Option<Revision>, LedgerError> {
    let found: Option<(i64, String, Option<String>, i64, String, String)> = conn
        .prepare_cached(
            "SELECT number, digest, commit_id, accepted_at, files, verdict
             FROM revisions WHERE status <> 'past' AND status = ?1",
        )?
        .query_row([status], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
            ))
        })
        .optional()?;
    let Some((number, digest, commit, accepted_at, files, verdict)) = found else {
        return Ok(None);
    };
    Ok(Some(Revision {
        number,
        digest,
        commit,
        accepted_at: rows::instant(accepted_at),
        files: serde_json::from_str(&files)?,
        verdict: serde_json::from_str(&verdict)?,
    }))
}

/// By provider: what revisions accepted since then let through without an approval. All are
/// asked: one that a clock that was behind dates back hides none before it.
pub(super) fn let_through(
    conn: &Connection,
    since: DateTime<Utc>,
) -> Result<BTreeMap<ProviderName, u64>, LedgerError> {
    let mut through = BTreeMap::new();
    let mut rows = conn.prepare_cached(
        "SELECT verdict FROM revisions WHERE accepted_at > ?1 AND status <> 'accepting'",
    )?;
    let mut rows = rows.query([millis(since)])?;
    while let Some(row) = rows.next()? {
        let verdict: String = row.get(0)?;
        let verdict: Verdict = serde_json::from_str(&verdict)?;
        for (name, count) in verdict.let_through() {
            *through.entry(name).or_default() += count;
        }
    }
    Ok(through)
}

/// Unfinished requests by provider, those held as `removal` aside.
pub(super) fn open_by_provider(
    conn: &Connection,
) -> Result<BTreeMap<ProviderName, u64>, LedgerError> {
    let mut rows = conn.prepare_cached(
        "SELECT provider, count(*) FROM requests
         WHERE lane IS NOT NULL AND holds NOT LIKE '%,removal,%' GROUP BY provider",
    )?;
    let counts = rows.query_map([], |row| {
        Ok((rows::provider_name(row, 0)?, rows::count(row, 1)?))
    })?;
    Ok(counts.collect::<rusqlite::Result<_>>()?)
}

impl Tx<'_> {
    pub(super) fn begin_revision(&self, revision: &NewRevision) -> Result<i64, LedgerError> {
        self.conn.execute(
            "UPDATE revisions SET status = 'past' WHERE status <> 'past' AND status = 'accepting'",
            [],
        )?;
        self.conn.execute(
            "INSERT INTO revisions (digest, commit_id, accepted_at, files, verdict, status)
             VALUES (?1, ?2, ?3, ?4, ?5, 'accepting')",
            params![
                revision.digest,
                revision.commit,
                millis(revision.at),
                serde_json::to_string(&revision.files)?,
                serde_json::to_string(&revision.verdict)?
            ],
        )?;
        Ok(self.conn.last_insert_rowid())
    }

    /// The digest of a revision that is being accepted.
    fn accepting(&self, number: i64) -> Result<String, LedgerError> {
        Ok(self
            .conn
            .prepare_cached("SELECT digest FROM revisions WHERE number = ?1")?
            .query_row([number], |row| row.get(0))?)
    }

    pub(super) fn take_in(
        &mut self,
        number: i64,
        items: &[Incoming],
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let revision = self.accepting(number)?;
        for item in items {
            let row = match rows::find(self.conn, &item.wanted.key)? {
                None => self.insert(number, &revision, item, at)?,
                Some(stored) => self.meet(stored, number, &revision, item, at)?,
            };
            self.present.note(number, row);
        }
        Ok(())
    }

    fn insert(
        &mut self,
        number: i64,
        revision: &str,
        item: &Incoming,
        at: DateTime<Utc>,
    ) -> Result<i64, LedgerError> {
        let holds = new_holds(item);
        let event = Event::Accepted {
            revision: revision.to_owned(),
            terms: item.wanted.terms.digest(),
            origin: item.wanted.place.to_string(),
            holds: holds.keys().copied().collect(),
        };
        let key = &item.wanted.key;
        self.conn
            .prepare_cached(
                "INSERT INTO requests (version, provider, subscription, again, accepted_as, kind, state,
                   standing, holds, terms, terms_digest, file, line, last_line, revision, seen,
                   hold_details, idle_looks, created_at, changed_at, chain)
                 VALUES (0, ?1, ?2, ?3, ?1, ?4, '', '', '', '', '', '', 0, 0, '', ?5, '{}', 0, ?6, ?6, ?7)",
            )?
            .execute(params![
                key.provider.as_str(),
                key.id.as_str(),
                key.again,
                item.kind.as_str(),
                number,
                millis(at),
                GENESIS.as_slice()
            ])?;
        let mut stored = Stored {
            request: Request {
                row: self.conn.last_insert_rowid(),
                version: 0,
                key: key.clone(),
                kind: item.kind,
                terms: item.wanted.terms.clone(),
                place: item.wanted.place.clone(),
                revision: revision.to_owned(),
                standing: Standing::first(&event)?,
                not_before: item.not_before,
                due_at: None,
                deadline_at: None,
                wake_at: None,
                look: None,
                doubt: None,
                held_since: (!holds.is_empty()).then_some(at),
                hold_details: BTreeMap::new(),
                idle_looks: 0,
                note: None,
                created_at: at,
                changed_at: at,
            },
            seen: number,
            late: None,
            chain: GENESIS,
            accepted_as: key.provider.clone(),
        };
        self.append(&mut stored, &event, at)?;
        plan_afresh(&mut stored, item, holds, revision);
        self.store(&mut stored, at)?;
        Ok(stored.request.row)
    }

    /// An item whose request is remembered. Its row is written if something of it changes.
    fn meet(
        &mut self,
        mut stored: Stored,
        number: i64,
        revision: &str,
        item: &Incoming,
        at: DateTime<Utc>,
    ) -> Result<i64, LedgerError> {
        let before = stored.clone();
        if stored.seen == 0 {
            stored.seen = number;
        }
        // Where it stands in the newest accepted text: a broken one is compared with that.
        stored.request.place = item.wanted.place.clone();
        // What is in doubt is read as what it was sent as.
        if !stored.request.standing.in_doubt() {
            stored.request.kind = item.kind;
        }
        let standing = &stored.request.standing;
        let same_terms = stored.request.terms.digest() == item.wanted.terms.digest();
        match standing.phase {
            // What a retry would plan is what the file says by then.
            Phase::Settled(Settlement::Failed | Settlement::Missed) => {
                stored.late = (!same_terms).then(|| later(&stored, item, revision));
                stored.request.place = item.wanted.place.clone();
            }
            Phase::Settled(Settlement::Canceled | Settlement::AlreadyCanceled) => {}
            Phase::Withdrawn => {
                let holds = new_holds(item);
                let event = revived(item, revision, &holds);
                self.happen(&mut stored, &event, at)?;
                plan_afresh(&mut stored, item, holds, revision);
            }
            Phase::Waiting | Phase::Retrying if same_terms => {
                self.line_is_back(&mut stored, at)?;
                self.wait_for_approval(&mut stored, item, at)?;
                stored.request.place = item.wanted.place.clone();
                // Where a value came from may have changed without changing what happens.
                stored.request.terms = item.wanted.terms.clone();
                may_act_sooner(&mut stored.request, item);
            }
            Phase::Waiting | Phase::Retrying => {
                let mut holds = new_holds(item);
                if let Some(detail) = still_waits(&stored.request) {
                    holds.entry(HoldReason::Approval).or_insert(detail);
                }
                let event = Event::Replanned {
                    revision: revision.to_owned(),
                    terms: item.wanted.terms.digest(),
                    origin: item.wanted.place.to_string(),
                    holds: holds.keys().copied().collect(),
                };
                self.happen(&mut stored, &event, at)?;
                plan_afresh(&mut stored, item, holds, revision);
            }
            Phase::Sending | Phase::Unknown | Phase::Ending => {
                if !standing.wanted {
                    let event = revived(item, revision, &BTreeMap::new());
                    self.happen(&mut stored, &event, at)?;
                }
                if same_terms {
                    stored.late = None;
                } else {
                    self.too_late(&mut stored, item, revision, at)?;
                }
            }
        }
        if stored != before {
            self.store(&mut stored, at)?;
        }
        Ok(before.request.row)
    }

    fn line_is_back(&mut self, stored: &mut Stored, at: DateTime<Utc>) -> Result<(), LedgerError> {
        if stored.request.standing.holds.contains(&HoldReason::Removal) {
            let event = Event::Freed {
                reason: HoldReason::Removal,
            };
            self.happen(stored, &event, at)?;
            stored.request.wake_at = resume(&stored.request, at);
        }
        Ok(())
    }

    /// It may act earlier than before though its terms are the same: a freeze, a mode.
    fn wait_for_approval(
        &mut self,
        stored: &mut Stored,
        item: &Incoming,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let standing = &stored.request.standing;
        let (Some(detail), false) = (&item.waits, standing.holds.contains(&HoldReason::Approval))
        else {
            return Ok(());
        };
        let event = Event::Held {
            reason: HoldReason::Approval,
            detail: detail.clone(),
        };
        self.happen(stored, &event, at)?;
        if item.wanted.terms.when.value != When::EndOfPeriod {
            stored.request.wake_at = None;
        }
        Ok(())
    }

    fn too_late(
        &mut self,
        stored: &mut Stored,
        item: &Incoming,
        revision: &str,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let known = stored
            .late
            .as_ref()
            .is_some_and(|late| late.wanted.terms.digest() == item.wanted.terms.digest());
        if !known {
            self.happen(
                stored,
                &Event::TooLate {
                    revision: revision.to_owned(),
                },
                at,
            )?;
        }
        stored.late = Some(later(stored, item, revision));
        Ok(())
    }

    pub(super) fn finish_revision(
        &mut self,
        number: i64,
        close: &Close,
        at: DateTime<Utc>,
    ) -> Result<Vec<Approved>, LedgerError> {
        let revision = self.accepting(number)?;
        for row in self.missing(number, "lane IS NOT NULL")? {
            self.line_is_gone(row, &revision, close, at)?;
        }
        // No retry sends for what the file does not have any more.
        for row in self.missing(number, "state IN ('failed', 'missed') AND seen > 0")? {
            self.conn
                .prepare_cached("UPDATE requests SET seen = 0 WHERE id = ?1")?
                .execute([row])?;
        }
        let mut approved = Vec::with_capacity(close.approvals.len());
        for approving in &close.approvals {
            approved.push(self.approve_by_file(approving, &revision, close, at)?);
        }
        self.note_waiting(number)?;
        for (outcome, approving) in approved.iter_mut().zip(&close.approvals) {
            // What came with this very revision is noted by now, and was not before.
            if *outcome == Approved::Unknown && self.is_noted(&approving.plan)? {
                *outcome = Approved::TooEarly;
            }
        }
        self.conn.execute(
            "UPDATE revisions SET status = 'past' WHERE status <> 'past' AND status = 'current'",
            [],
        )?;
        self.conn.execute(
            "UPDATE revisions SET status = 'current' WHERE number = ?1",
            [number],
        )?;
        Ok(approved)
    }

    /// Rows of some kind that were not among what a revision took in.
    fn missing(&self, number: i64, which: &str) -> Result<Vec<i64>, LedgerError> {
        let mut missing = Vec::new();
        let mut rows = self
            .conn
            .prepare_cached(&format!("SELECT id FROM requests WHERE {which}"))?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let row = row.get(0)?;
            if !self.present.has(number, row) {
                missing.push(row);
            }
        }
        Ok(missing)
    }

    fn line_is_gone(
        &mut self,
        row: i64,
        revision: &str,
        close: &Close,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let mut stored = rows::load(self.conn, row)?;
        let standing = &stored.request.standing;
        let settled = !standing.wanted || standing.holds.contains(&HoldReason::Removal);
        if planted!(RemovedGoesOn, true, settled) {
            return Ok(());
        }
        let held = standing.plannable() && close.held_at.contains(&stored.request.key.provider);
        let event = if held {
            Event::Held {
                reason: HoldReason::Removal,
                detail: "its line vanished together with many others".to_owned(),
            }
        } else {
            Event::Withdrawn {
                revision: revision.to_owned(),
            }
        };
        self.happen(&mut stored, &event, at)?;
        if held {
            stored.request.wake_at = None;
        }
        self.store(&mut stored, at)
    }

    /// Takes up the terms that came while an attempt was in flight, which is now known to have
    /// had no effect, or after it had failed.
    pub(super) fn take_up_late(
        &mut self,
        stored: &mut Stored,
        at: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        if !stored.request.standing.plannable() {
            return Ok(());
        }
        let Some(mut late) = stored.late.take() else {
            return Ok(());
        };
        // The file that asks for other terms may be broken by now.
        let stale = stored.request.hold_details.get(&HoldReason::ConfigStale);
        if let Some(detail) = stale {
            late.holds.insert(HoldReason::ConfigStale, detail.clone());
        }
        if let Some(detail) = still_waits(&stored.request) {
            late.holds.entry(HoldReason::Approval).or_insert(detail);
        }
        let item = Incoming {
            wanted: late.wanted,
            kind: stored.request.kind,
            due_at: late.due_at.map(rows::instant),
            wake_at: late.wake_at.map(rows::instant),
            not_before: rows::instant(late.not_before),
            deadline_at: late.deadline_at.map(rows::instant),
            waits: None,
            holds: late.holds.clone(),
        };
        let event = Event::Replanned {
            revision: late.revision.clone(),
            terms: item.wanted.terms.digest(),
            origin: item.wanted.place.to_string(),
            holds: late.holds.keys().copied().collect(),
        };
        self.happen(stored, &event, at)?;
        plan_afresh(stored, &item, late.holds, &late.revision);
        Ok(())
    }

    /// Nothing that was accepted by a clock which was ahead waits longer than until `not_before`.
    pub(super) fn bring_forward(
        &mut self,
        provider: &ProviderName,
        at: DateTime<Utc>,
        not_before: DateTime<Utc>,
    ) -> Result<u64, LedgerError> {
        let was_ahead: bool = self
            .conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM revisions WHERE accepted_at > ?1)")?
            .query_row([millis(at)], |row| row.get(0))?;
        if !was_ahead {
            return Ok(0);
        }
        let rows: Vec<i64> = self
            .conn
            .prepare_cached(
                "SELECT id FROM requests
                 WHERE provider = ?1 AND lane IS NOT NULL AND not_before > ?2",
            )?
            .query_map(params![provider.as_str(), millis(not_before)], |row| {
                row.get(0)
            })?
            .collect::<rusqlite::Result<_>>()?;
        for row in &rows {
            let mut stored = rows::load(self.conn, *row)?;
            let request = &mut stored.request;
            if request.due_at == Some(request.not_before) {
                request.due_at = request.terms.when.value.due(not_before);
            }
            request.not_before = not_before;
            if request.wake_at.is_some()
                && let Some(wake_at) = resume(request, at)
            {
                request.wake_at = Some(wake_at);
            }
            self.store(&mut stored, at)?;
        }
        Ok(rows.len() as u64)
    }

    pub(super) fn mark_stale(
        &mut self,
        rows: &BTreeSet<i64>,
        at: DateTime<Utc>,
    ) -> Result<u64, LedgerError> {
        let marked: Vec<i64> = self
            .conn
            .prepare("SELECT id FROM requests WHERE holds LIKE '%,config_stale,%'")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let mut changed = 0;
        for row in marked.iter().filter(|row| !rows.contains(row)) {
            let mut stored = rows::load(self.conn, *row)?;
            self.happen(
                &mut stored,
                &Event::Freed {
                    reason: HoldReason::ConfigStale,
                },
                at,
            )?;
            stored.request.wake_at = resume(&stored.request, at);
            self.store(&mut stored, at)?;
            changed += 1;
        }
        self.conn.execute("DELETE FROM stale", [])?;
        for row in rows {
            let mut stored = rows::load(self.conn, *row)?;
            let standing = &stored.request.standing;
            if !standing.plannable() {
                self.conn
                    .prepare_cached("INSERT INTO stale (request) VALUES (?1)")?
                    .execute([row])?;
                continue;
            }
            if standing.holds.contains(&HoldReason::ConfigStale) {
                continue;
            }
            self.happen(&mut stored, &rows::stale(), at)?;
            stored.request.wake_at = None;
            self.store(&mut stored, at)?;
            changed += 1;
        }
        Ok(changed)
    }
}

/// Its terms are the same, and what is known without a reading is that it may act sooner than
/// was planned: renewal may be turned off at once.
fn may_act_sooner(request: &mut Request, item: &Incoming) {
    let at_period_end = item.wanted.terms.when.value == When::EndOfPeriod;
    let sooner = match (item.due_at, request.due_at) {
        (Some(due_at), Some(known)) => due_at < known,
        _ => false,
    };
    if at_period_end && item.wanted.terms.period_ends.is_none() && sooner && request.may_be_read() {
        request.due_at = item.due_at;
        request.wake_at = item.wake_at;
    }
}

/// Terms that come too late for now. What waited for an approval before waits on: an edit is
/// no approval, and neither is another revision.
fn later(stored: &Stored, item: &Incoming, revision: &str) -> Late {
    let mut late = Late::of(item, revision);
    let waited = stored
        .late
        .as_ref()
        .and_then(|before| before.holds.get(&HoldReason::Approval));
    if let Some(detail) = waited {
        late.holds.insert(HoldReason::Approval, detail.clone());
    }
    late
}

/// Why terms that differ from those before wait for an approval in any case: an edit is none,
/// and one stands with the terms that it was given for.
fn still_waits(request: &Request) -> Option<String> {
    let waits = request.hold_details.get(&HoldReason::Approval).cloned();
    let lost = || "its terms have changed since its approval".to_owned();
    waits.or_else(|| request.standing.approved.as_ref().map(|_| lost()))
}

pub(super) fn new_holds(item: &Incoming) -> BTreeMap<HoldReason, String> {
    let mut holds = item.holds.clone();
    holds.extend(
        item.waits
            .iter()
            .map(|detail| (HoldReason::Approval, detail.clone())),
    );
    holds
}

fn revived(item: &Incoming, revision: &str, holds: &BTreeMap<HoldReason, String>) -> Event {
    Event::Revived {
        revision: revision.to_owned(),
        terms: item.wanted.terms.digest(),
        origin: item.wanted.place.to_string(),
        holds: holds.keys().copied().collect(),
    }
}

/// Gives a request new terms, and its first look.
fn plan_afresh(
    stored: &mut Stored,
    item: &Incoming,
    holds: BTreeMap<HoldReason, String>,
    revision: &str,
) {
    let request = &mut stored.request;
    request.terms = item.wanted.terms.clone();
    request.place = item.wanted.place.clone();
    request.revision = revision.to_owned();
    request.not_before = item.not_before;
    request.due_at = item.due_at;
    request.deadline_at = item.deadline_at;
    request.wake_at = item.wake_at.filter(|_| request.may_be_read());
    request.hold_details = holds;
    request.idle_looks = 0;
}

/// When a pass takes a request again once nothing holds it.
pub(super) fn resume(request: &Request, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if !request.standing.plannable() || !request.may_be_read() {
        return None;
    }
    // A period's end may have moved meanwhile.
    if request.terms.when.value == When::EndOfPeriod {
        return Some(at);
    }
    request.due_at
}
