//! The trait, each operation in a line.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    SqliteLedger, accept, approve, memory, notices, open, pages, queue, report, rows, verify,
};
use crate::ledger::intent::Intent;
use crate::ledger::{
    Change, Claim, Close, DaySpan, Days, Delivery, EventQuery, Head, Identity, Incoming, Intended,
    Ledger, Member, NewRevision, NotIntended, Outgoing, Page, Posted, Recorded, Reply, Revision,
    RevisionHead, Tally, Undelivered, Verification,
};
use crate::model::approval::{Approved, Waiting};
use crate::model::ids::{Key, ProviderName, SubscriptionId};
use crate::model::memory::{Pauses, ProviderMemory, Used};
use crate::model::notice::Notice;
use crate::model::provider::ProviderKind;
use crate::model::request::Request;
use crate::model::terms::Place;

impl Ledger for SqliteLedger {
    fn identity(&self) -> Reply<'_, Identity> {
        self.read(|conn| {
            Ok(Identity {
                ledger_id: open::meta(conn, "ledger_id")?.unwrap_or_default(),
                doubt: open::meta(conn, "doubt")?,
            })
        })
    }

    fn named(&self, ledger_id: String) -> Reply<'_, ()> {
        self.write(move |tx| tx.named(&ledger_id))
    }

    fn trust(&self, by: String, at: DateTime<Utc>) -> Reply<'_, ()> {
        self.write(move |tx| tx.trust(&by, at))
    }

    fn current(&self) -> Reply<'_, Option<Revision>> {
        self.read(|conn| accept::revision(conn, "current"))
    }

    fn revision_head(&self) -> Reply<'_, Option<RevisionHead>> {
        self.read(report::revision_head)
    }

    fn commits(&self) -> Reply<'_, BTreeMap<String, String>> {
        self.read(report::commits)
    }

    fn accepting(&self) -> Reply<'_, Option<Revision>> {
        self.read(|conn| accept::revision(conn, "accepting"))
    }

    fn find_many(&self, keys: Vec<Key>) -> Reply<'_, Vec<Option<Request>>> {
        self.read(move |conn| {
            keys.iter()
                .map(|key| Ok(rows::find(conn, key)?.map(|stored| stored.request)))
                .collect()
        })
    }

    fn let_through(&self, since: DateTime<Utc>) -> Reply<'_, BTreeMap<ProviderName, u64>> {
        self.read(move |conn| accept::let_through(conn, since))
    }

    fn waiting(&self) -> Reply<'_, Vec<Waiting>> {
        self.read(approve::waiting)
    }

    fn members(&self, plan: String) -> Reply<'_, Option<Vec<Member>>> {
        self.read(move |conn| approve::members(conn, &plan))
    }

    fn open_by_provider(&self) -> Reply<'_, BTreeMap<ProviderName, u64>> {
        self.read(accept::open_by_provider)
    }

    fn begin_revision(&self, revision: NewRevision) -> Reply<'_, i64> {
        self.write(move |tx| tx.begin_revision(&revision))
    }

    fn take_in(&self, number: i64, items: Vec<Incoming>, at: DateTime<Utc>) -> Reply<'_, ()> {
        self.write(move |tx| tx.take_in(number, &items, at))
    }

    fn finish_revision(
        &self,
        number: i64,
        close: Close,
        at: DateTime<Utc>,
    ) -> Reply<'_, Vec<Approved>> {
        self.write(move |tx| tx.finish_revision(number, &close, at))
    }

    fn rename_provider(&self, from: ProviderName, to: ProviderName) -> Reply<'_, u64> {
        self.write(move |tx| tx.rename_provider(&from, &to))
    }

    fn claim(&self, claim: Claim) -> Reply<'_, Vec<Request>> {
        self.read(move |conn| queue::claim(conn, &claim))
    }

    fn overdue(
        &self,
        provider: ProviderName,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Reply<'_, Vec<Request>> {
        self.read(move |conn| queue::overdue(conn, &provider, now, limit))
    }

    fn record(&self, change: Change) -> Reply<'_, Request> {
        self.write(move |tx| tx.record(&change))
    }

    fn intend(&self, intended: Intended) -> Reply<'_, Result<(Intent, Request), NotIntended>> {
        self.write(move |tx| tx.intend(&intended))
    }

    fn next_wake(&self, provider: ProviderName) -> Reply<'_, Option<DateTime<Utc>>> {
        self.read(move |conn| queue::next_wake(conn, &provider))
    }

    fn interrupt_all(&self, at: DateTime<Utc>) -> Reply<'_, u64> {
        self.write(move |tx| tx.interrupt_all(at))
    }

    fn wake_held(&self, provider: ProviderName, at: DateTime<Utc>) -> Reply<'_, u64> {
        self.write(move |tx| tx.wake_held(&provider, at))
    }

    fn set_back(
        &self,
        provider: ProviderName,
        at: DateTime<Utc>,
        not_before: DateTime<Utc>,
    ) -> Reply<'_, u64> {
        self.write(move |tx| tx.set_back(&provider, at, not_before))
    }

    fn mark_stale(&self, rows: Vec<i64>, at: DateTime<Utc>) -> Reply<'_, u64> {
        self.write(move |tx| tx.mark_stale(&rows.into_iter().collect(), at))
    }

    fn provider(&self, name: ProviderName) -> Reply<'_, ProviderMemory> {
        self.read(move |conn| memory::provider(conn, &name))
    }

    fn remember(&self, name: ProviderName, memory: ProviderMemory) -> Reply<'_, ()> {
        self.write(move |tx| tx.remember(&name, &memory))
    }

    fn names_of_account(
        &self,
        kind: ProviderKind,
        account: String,
    ) -> Reply<'_, Vec<ProviderName>> {
        self.read(move |conn| memory::names_of_account(conn, kind, &account))
    }

    fn pauses(&self) -> Reply<'_, Pauses> {
        self.read(memory::pauses)
    }

    fn post(&self, command: Posted) -> Reply<'_, i64> {
        self.append(move |tx| tx.post(&command))
    }

    fn inbox(&self) -> Reply<'_, Vec<Posted>> {
        self.read(memory::inbox)
    }

    fn apply(&self, command: Posted, at: DateTime<Utc>) -> Reply<'_, u64> {
        self.write(move |tx| tx.apply(&command, at))
    }

    fn notify(
        &self,
        notices: Vec<(String, Notice)>,
        told_up_to: Option<i64>,
        at: DateTime<Utc>,
    ) -> Reply<'_, ()> {
        self.write(move |tx| tx.notify(&notices, told_up_to, at))
    }

    fn told_up_to(&self) -> Reply<'_, i64> {
        self.read(notices::told_up_to)
    }

    fn due_notices(
        &self,
        webhook: String,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Reply<'_, Vec<Outgoing>> {
        self.read(move |conn| notices::due(conn, &webhook, now, limit))
    }

    fn delivered(&self, number: i64, delivery: Delivery) -> Reply<'_, ()> {
        self.write(move |tx| tx.delivered(number, delivery))
    }

    fn undelivered(&self) -> Reply<'_, BTreeMap<String, Undelivered>> {
        self.read(notices::undelivered)
    }

    fn forget_delivered(&self, before: DateTime<Utc>) -> Reply<'_, ()> {
        self.write(move |tx| tx.forget_delivered(before))
    }

    fn find(&self, key: Key) -> Reply<'_, Option<Request>> {
        self.read(move |conn| Ok(rows::find(conn, &key)?.map(|stored| stored.request)))
    }

    fn find_all(&self, provider: ProviderName, id: SubscriptionId) -> Reply<'_, Vec<Request>> {
        self.read(move |conn| report::find_all(conn, &provider, &id))
    }

    fn page(&self, page: Page) -> Reply<'_, Vec<Request>> {
        self.read(move |conn| pages::page(conn, &page))
    }

    fn open_places(&self) -> Reply<'_, Vec<(i64, Place)>> {
        self.read(report::open_places)
    }

    fn tally(&self, now: DateTime<Utc>) -> Reply<'_, Tally> {
        self.read(move |conn| report::tally(conn, now))
    }

    fn days(&self, span: DaySpan) -> Reply<'_, Days> {
        self.read(move |conn| report::days(conn, span))
    }

    fn used(&self, now: DateTime<Utc>) -> Reply<'_, Used> {
        self.read(move |conn| report::used(conn, now))
    }

    fn events(&self, query: EventQuery) -> Reply<'_, Vec<Recorded>> {
        self.read(move |conn| report::events(conn, &query))
    }

    fn verify(&self) -> Reply<'_, Verification> {
        self.read(verify::verify)
    }

    fn head(&self) -> Reply<'_, Head> {
        self.read(|conn| Ok(open::head(conn)?))
    }

    fn has_block(&self, hash: String) -> Reply<'_, bool> {
        self.read(move |conn| {
            Ok(conn
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM blocks WHERE lower(hex(hash)) = ?1)")?
                .query_row([hash.to_ascii_lowercase()], |row| row.get(0))?)
        })
    }
}
