//! The append-only record, the queue of what is due, and the only maker of an [`Intent`].
//!
//! A row carries what the next pass needs; its state is a cache of the fold over its events,
//! written in the event's own transaction by [`Standing::after`], the one function that moves
//! a state. Only the daemon that holds the lock writes states and the record; commands and
//! the API append to an inbox that the daemon applies.
//!
//! [`Ledger`] is what the rest of the house knows. SQLite is one; a shared PostgreSQL will be
//! another; `tests/ledger` is written against the trait.
//!
//! [`Standing::after`]: crate::model::standing::Standing::after

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::model::act::Action;
use crate::model::approval::{Approved, Approving, Waiting};
use crate::model::hold::HoldReason;
use crate::model::ids::{Key, ProviderName, SubscriptionId};
use crate::model::memory::{Assumed, Cap, Pauses, ProviderMemory, Used, Verdict};
use crate::model::notice::Notice;
use crate::model::observed::Look;
use crate::model::provider::ProviderKind;
use crate::model::request::{Doubt, Request, Witness};
use crate::model::standing::{Event, State};
use crate::model::terms::{Place, Wanted};

use self::intent::Intent;

pub mod chain;
pub mod intent;
pub mod sqlite;

/// What every operation gives.
pub type Reply<'a, T> = BoxFuture<'a, Result<T, LedgerError>>;

/// The record and the queue.
pub trait Ledger: Send + Sync {
    /// Which ledger this is, and whether it may be acted on.
    fn identity(&self) -> Reply<'_, Identity>;
    /// The file says which ledger it means: another one is in doubt until it is trusted in that
    /// one's place.
    fn named(&self, ledger_id: String) -> Reply<'_, ()>;
    /// A person says that the ledger may be acted on.
    fn trust(&self, by: String, at: DateTime<Utc>) -> Reply<'_, ()>;

    // Revisions.

    /// The revision that is in force.
    fn current(&self) -> Reply<'_, Option<Revision>>;
    /// The same without its text.
    fn revision_head(&self) -> Reply<'_, Option<RevisionHead>>;
    /// The commits of revisions, by the digest of each that has one.
    fn commits(&self) -> Reply<'_, BTreeMap<String, String>>;
    /// A revision whose acceptance was begun and not finished.
    fn accepting(&self) -> Reply<'_, Option<Revision>>;
    /// What is remembered of each key.
    fn find_many(&self, keys: Vec<Key>) -> Reply<'_, Vec<Option<Request>>>;
    /// By provider: what revisions accepted since then let through without an approval.
    fn let_through(&self, since: DateTime<Utc>) -> Reply<'_, BTreeMap<ProviderName, u64>>;
    /// What waits for an approval, by file.
    fn waiting(&self) -> Reply<'_, Vec<Waiting>>;
    /// What a digest was noted of, in the order of the file; none: it was not.
    fn members(&self, plan: String) -> Reply<'_, Option<Vec<Member>>>;
    /// Unfinished requests that the file asks for, by provider; those held as `removal` aside.
    fn open_by_provider(&self) -> Reply<'_, BTreeMap<ProviderName, u64>>;
    /// Stores a revision's text and the verdict on it, as *accepting*. Gives its number.
    fn begin_revision(&self, revision: NewRevision) -> Reply<'_, i64>;
    /// Inserts what is new, re-plans what changed, revives what is back.
    fn take_in(&self, number: i64, items: Vec<Incoming>, at: DateTime<Utc>) -> Reply<'_, ()>;
    /// Withdraws (or holds as `removal`) what the revision leaves out, frees what its approvals
    /// name and what waited before it, and makes it current. Tells what became of each
    /// approval, in their order.
    fn finish_revision(
        &self,
        number: i64,
        close: Close,
        at: DateTime<Utc>,
    ) -> Reply<'_, Vec<Approved>>;
    /// Gives a provider's requests to its new name.
    fn rename_provider(&self, from: ProviderName, to: ProviderName) -> Reply<'_, u64>;

    // The queue.

    /// What a pass takes next: what was looked at in vain least often, of these the earliest
    /// deadline first, then the earliest due.
    fn claim(&self, claim: Claim) -> Reply<'_, Vec<Request>>;
    /// Requests of which nothing is in flight and whose deadline lies before an instant, the
    /// earliest first.
    fn overdue(
        &self,
        provider: ProviderName,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Reply<'_, Vec<Request>>;
    /// Records what happened to one request. Fails with [`LedgerError::Moved`] if the request
    /// changed since it was read, or another revision is in force, or about to be, than the one by
    /// which it was decided.
    fn record(&self, change: Change) -> Reply<'_, Request>;
    /// Checks what the permit assumed, counts the limits and journals the intent, in one
    /// transaction.
    fn intend(&self, intended: Intended) -> Reply<'_, Result<(Intent, Request), NotIntended>>;
    /// The earliest moment at which a request of this provider wakes by itself, or a deadline
    /// has gone by.
    fn next_wake(&self, provider: ProviderName) -> Reply<'_, Option<DateTime<Utc>>>;
    /// Rows that a process left as `sending`, at start: their outcome is unknown from now on.
    fn interrupt_all(&self, at: DateTime<Utc>) -> Reply<'_, u64>;
    /// Lets requests of a provider be looked at again now, because what held them may be gone.
    fn wake_held(&self, provider: ProviderName, at: DateTime<Utc>) -> Reply<'_, u64>;
    /// Lets nothing of a provider wait for a time that was told by a clock which was ahead: what was
    /// sent or is held is looked at now, and what was accepted by that clock may act from
    /// `not_before` on.
    fn set_back(
        &self,
        provider: ProviderName,
        at: DateTime<Utc>,
        not_before: DateTime<Utc>,
    ) -> Reply<'_, u64>;
    /// Holds as `config_stale` exactly the given rows; frees all others of it.
    fn mark_stale(&self, rows: Vec<i64>, at: DateTime<Utc>) -> Reply<'_, u64>;

    // Providers, pauses, inbox.

    /// What is remembered of a provider.
    fn provider(&self, name: ProviderName) -> Reply<'_, ProviderMemory>;
    /// Remembers it.
    fn remember(&self, name: ProviderName, memory: ProviderMemory) -> Reply<'_, ()>;
    /// The names under which an account is remembered.
    fn names_of_account(&self, kind: ProviderKind, account: String)
    -> Reply<'_, Vec<ProviderName>>;
    /// What is paused, and the number that every pause and resume raises.
    fn pauses(&self) -> Reply<'_, Pauses>;
    /// Appends a command for the daemon.
    fn post(&self, command: Posted) -> Reply<'_, i64>;
    /// Commands that were not applied yet, oldest first.
    fn inbox(&self) -> Reply<'_, Vec<Posted>>;
    /// Applies a command and marks it as applied, in one transaction: a pause or resume raises
    /// the epoch; a retry plans afresh what it names and the file still asks for; a reconcile
    /// is only marked (the daemon makes the tick); a trust clears the doubt. Gives how many
    /// rows it moved.
    fn apply(&self, command: Posted, at: DateTime<Utc>) -> Reply<'_, u64>;

    /// Puts notices, each with the webhook that it is for, into the outbox; one that was put there
    /// before is there once. Notes in the same transaction up to which event of the record people
    /// were told.
    fn notify(
        &self,
        notices: Vec<(String, Notice)>,
        told_up_to: Option<i64>,
        at: DateTime<Utc>,
    ) -> Reply<'_, ()>;
    /// Up to which event of the record people were told, or nobody was to be told.
    fn told_up_to(&self) -> Reply<'_, i64>;
    /// What a webhook is to be told now, the longest due first.
    fn due_notices(
        &self,
        webhook: String,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Reply<'_, Vec<Outgoing>>;
    /// What became of a try to tell something.
    fn delivered(&self, number: i64, delivery: Delivery) -> Reply<'_, ()>;
    /// By webhook: what it was not told yet.
    fn undelivered(&self) -> Reply<'_, BTreeMap<String, Undelivered>>;
    /// Forgets what was told before this instant.
    fn forget_delivered(&self, before: DateTime<Utc>) -> Reply<'_, ()>;

    // Reports. All of them only read.

    /// One request.
    fn find(&self, key: Key) -> Reply<'_, Option<Request>>;
    /// Every request for a subscription, newest `again` first.
    fn find_all(&self, provider: ProviderName, id: SubscriptionId) -> Reply<'_, Vec<Request>>;
    /// A page of requests in the order of their rows.
    fn page(&self, page: Page) -> Reply<'_, Vec<Request>>;
    /// Rows and places of requests that are unfinished or may be retried, for the comparison
    /// with a broken file.
    fn open_places(&self) -> Reply<'_, Vec<(i64, Place)>>;
    /// Counts for status, metrics and the page.
    fn tally(&self, now: DateTime<Utc>) -> Reply<'_, Tally>;
    /// What falls on each day of UTC, behind and ahead.
    fn days(&self, span: DaySpan) -> Reply<'_, Days>;
    /// What of the rolling limits is used.
    fn used(&self, now: DateTime<Utc>) -> Reply<'_, Used>;
    /// The newest events, or those after a number.
    fn events(&self, query: EventQuery) -> Reply<'_, Vec<Recorded>>;
    /// Checks the chain and folds every request again.
    fn verify(&self) -> Reply<'_, Verification>;
    /// The newest block of the chain.
    fn head(&self) -> Reply<'_, Head>;
    /// Whether a block of that hash, in hex, is part of the chain.
    fn has_block(&self, hash: String) -> Reply<'_, bool>;
}

/// Which ledger it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// 32 hex digits, made when the ledger was.
    pub ledger_id: String,
    /// Why it may not be acted on until a person says so.
    pub doubt: Option<String>,
}

/// A revision as it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its number in this ledger, from 1.
    pub number: i64,
    /// The digest over its files.
    pub digest: String,
    /// The commit, where one is known.
    pub commit: Option<String>,
    /// When.
    pub accepted_at: DateTime<Utc>,
    /// Its files, main first.
    pub files: Vec<KeptFile>,
    /// What the guards said of it.
    pub verdict: Verdict,
}

/// A revision without its text, which may be a hundred megabytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RevisionHead {
    /// Its number in this ledger, from 1.
    pub number: i64,
    /// The digest over its files.
    pub digest: String,
    /// The commit, where one is known.
    pub commit: Option<String>,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
}

/// One file of a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// The name that people see.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A revision to be stored as *accepting*.
#[derive(Clone, Debug)]
pub struct NewRevision {
    /// The digest over its files.
    pub digest: String,
    /// The commit, where one is known.
    pub commit: Option<String>,
    /// Its files, main first.
    pub files: Vec<KeptFile>,
    /// What the guards said of it.
    pub verdict: Verdict,
    /// When.
    pub at: DateTime<Utc>,
}

/// One item on its way in.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// What is wanted.
    pub wanted: Wanted,
    /// The provider's kind.
    pub kind: ProviderKind,
    /// When it may act.
    pub due_at: Option<DateTime<Utc>>,
    /// When a pass takes it first.
    pub wake_at: Option<DateTime<Utc>>,
    /// Nothing is done before this instant.
    pub not_before: DateTime<Utc>,
    /// Until when it can be done in time, as far as that is known without a reading.
    pub deadline_at: Option<DateTime<Utc>>,
    /// Why it waits for an approval, if it does.
    pub waits: Option<String>,
    /// What holds it in any case, with words.
    pub holds: BTreeMap<HoldReason, String>,
}

/// One of those that a digest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which request.
    pub key: Key,
    /// The digest of the terms on which it waited.
    pub terms: String,
    /// Whether an approval has freed it.
    pub freed: bool,
}

/// How a revision is closed.
#[derive(Clone, Debug, Default)]
pub struct Close {
    /// Unfinished requests of these providers that it leaves out are held as `removal`; all
    /// others are withdrawn.
    pub held_at: Vec<ProviderName>,
    /// What its file approves.
    pub approvals: Vec<Approving>,
    /// Providers where it allows what nobody could approve before: its own approvals free
    /// nothing there.
    pub allows_more: Vec<ProviderName>,
}

/// What a pass asks for.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Of whom.
    pub provider: ProviderName,
    /// Which of them.
    pub lane: Lane,
    /// Those with `wake_at` up to here.
    pub now: DateTime<Utc>,
    /// Only what comes after this one in the order, so that a pass meets each once.
    pub after: Option<Cursor>,
    /// At most so many.
    pub limit: u32,
}

/// Which requests a pass takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// All that are due: a tick of the schedule, when writes may start.
    Tick,
    /// What wakes by itself: readings back, unknown outcomes, retries.
    Wake,
}

/// Where a pass has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// How often in a row it was looked at in vain: the more, the later, so that it blocks no
    /// other.
    pub in_vain: u32,
    /// Milliseconds; the greatest number for none.
    pub deadline: i64,
    /// Milliseconds; 0 for none.
    pub due: i64,
    /// The row.
    pub row: i64,
}

impl Cursor {
    /// The place of a request in the order.
    pub fn of(request: &Request) -> Self {
        Self {
            in_vain: request.idle_looks,
            deadline: request
                .deadline_at
                .map_or(i64::MAX, |at| at.timestamp_millis()),
            due: request.due_at.map_or(0, |at| at.timestamp_millis()),
            row: request.row,
        }
    }
}

/// What happened to one request, and what the next pass needs of it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The row.
    pub row: i64,
    /// As it was read.
    pub version: i64,
    /// The revision by which it was decided: by another one it would be decided anew. None: it is a
    /// fact, whatever is in force.
    pub decided_by: Option<i64>,
    /// When.
    pub at: DateTime<Utc>,
    /// For the record, in order; may be empty.
    pub events: Vec<Event>,
    /// When a pass takes it next: `None` leaves it, `Some(None)` means never by itself.
    pub wake_at: Option<Option<DateTime<Utc>>>,
    /// When it may act and until when in time: `None` leaves both.
    pub timing: Option<Timing>,
    /// What was observed.
    pub look: Option<Look>,
    /// While the outcome is unknown.
    pub doubt: Option<Doubt>,
    /// Looks in a row that changed nothing.
    pub idle_looks: u32,
}

impl Change {
    /// A change to a request as it was read, which so far changes nothing.
    pub fn to(request: &Request, at: DateTime<Utc>) -> Self {
        Self {
            row: request.row,
            version: request.version,
            decided_by: None,
            at,
            events: Vec::new(),
            wake_at: None,
            timing: None,
            look: None,
            doubt: None,
            idle_looks: request.idle_looks,
        }
    }
}

/// When a request may act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// From then on; unknown while its period's end is.
    pub due_at: Option<DateTime<Utc>>,
    /// Until then it is in time.
    pub deadline_at: Option<DateTime<Utc>>,
}

/// An attempt that wants to be journaled.
#[derive(Clone, Debug)]
pub struct Intended {
    /// The row.
    pub row: i64,
    /// What the permit assumed.
    pub assumed: Assumed,
    /// What will be sent.
    pub action: Action,
    /// The reading that it rests on.
    pub look: Look,
    /// Now, by both clocks.
    pub now: Witness,
    /// The last moment to send, by both clocks.
    pub send_before: Witness,
    /// The caps of this provider and of all.
    pub caps: Vec<Cap>,
    /// How long it may still take effect if it is lost.
    pub resend_after: Duration,
}

/// Why an intent was not journaled. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotIntended {
    /// What the permit assumed does not hold any more: decide anew.
    Changed,
    /// A cap is reached.
    Limit {
        /// When the oldest write leaves the rolling time; none where the cap is zero.
        frees_at: Option<DateTime<Utc>>,
    },
    /// Another attempt for the same subscription is open.
    InFlight,
}

/// A command that waits for the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Its number; 0 before it is appended.
    pub number: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What.
    pub command: Command,
}

/// A notice in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number there.
    pub number: i64,
    /// How often it was tried.
    pub tries: u32,
    /// What is told.
    pub notice: Notice,
}

/// What became of a try to tell something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was taken.
    Taken {
        /// When.
        at: DateTime<Utc>,
    },
    /// It was not, or nobody knows: it is tried again.
    Again {
        /// When.
        at: DateTime<Utc>,
    },
}

/// What a webhook was not told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// How many notices.
    pub count: u64,
    /// When the oldest of them happened.
    pub oldest: DateTime<Utc>,
}

/// What a person asks the daemon to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Command {
    /// Send nothing, at one provider or at all.
    Pause {
        /// None: all.
        provider: Option<ProviderName>,
    },
    /// Go on.
    Resume {
        /// None: all.
        provider: Option<ProviderName>,
    },
    /// Make a tick now.
    Reconcile {
        /// None: all.
        provider: Option<ProviderName>,
    },
    /// Plan afresh what failed or was missed.
    Retry {
        /// Of whom.
        provider: ProviderName,
        /// One subscription; none: all of the state.
        id: Option<SubscriptionId>,
        /// `failed` or `missed`.
        state: State,
    },
    /// Free what waits under a digest.
    Approve {
        /// The digest that a plan printed.
        plan: String,
        /// Only the first so many.
        at_most: Option<u64>,
    },
    /// The ledger may be acted on.
    Trust,
}

/// A page of requests.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Of one provider.
    pub provider: Option<ProviderName>,
    /// In one of these states, gates aside; empty: any.
    pub states: Vec<State>,
    /// Only those whose time has come.
    pub due_by: Option<DateTime<Utc>>,
    /// Only those that this holds, gates aside.
    pub held_by: Option<HoldReason>,
    /// Only ids that begin so, in the order of ids; of one provider.
    pub prefix: Option<String>,
    /// After this row.
    pub after: i64,
    /// At most so many.
    pub limit: u32,
    /// Earliest due first instead of in the order of rows; `after` is ignored.
    pub by_due: bool,
    /// Only what comes after this place, where the earliest due is first.
    pub after_due: Option<DuePlace>,
}

/// A place in the order of what is due; what has no time comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuePlace {
    /// When the request there is due.
    pub due_at: Option<DateTime<Utc>>,
    /// Its row.
    pub row: i64,
}

impl DuePlace {
    /// Where a request stands.
    pub const fn of(request: &Request) -> Self {
        Self {
            due_at: request.due_at,
            row: request.row,
        }
    }
}

/// Counts for status, metrics and the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By provider and stored state.
    pub states: BTreeMap<(ProviderName, State), Count>,
    /// By provider and stored hold; an item counts once for each that it has.
    pub holds: BTreeMap<(ProviderName, HoldReason), u64>,
    /// The earliest `due_at` of what is scheduled.
    pub next_due: BTreeMap<ProviderName, DateTime<Utc>>,
    /// The earliest `due_at` in the past, of what is in flight or could be taken now; what waits
    /// longer than for a retry is put off by a freeze of its own.
    pub oldest_due: BTreeMap<ProviderName, DateTime<Utc>>,
    /// Attempts by provider and outcome, over all time.
    pub attempts: BTreeMap<(ProviderName, String), u64>,
    /// The oldest intent whose outcome is unknown.
    pub oldest_unknown: BTreeMap<ProviderName, DateTime<Utc>>,
    /// Windows that were missed, over all time.
    pub windows_missed: BTreeMap<ProviderName, u64>,
    /// Requests with a deadline that were carried out, over all time.
    pub deadlines_met: BTreeMap<ProviderName, u64>,
    /// Since when the oldest request waits for an approval.
    pub oldest_approval: Option<DateTime<Utc>>,
    /// None where the ledger lies on no disk of its own.
    pub space: Option<Space>,
}

/// What the ledger takes of its disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// The database with its write-ahead log.
    pub size: u64,
    /// What is free for us on its disk.
    pub free: u64,
}

/// Days of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySpan {
    /// What was settled is counted from this day on.
    pub from: NaiveDate,
    /// What is due or has its deadline is counted up to this day, with it.
    pub until: NaiveDate,
}

/// What falls on each day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// Settled, by what it was settled as.
    pub settled: BTreeMap<(NaiveDate, State), u64>,
    /// Due, of what is scheduled or retried.
    pub due: BTreeMap<NaiveDate, u64>,
    /// Deadlines of what is not finished.
    pub deadlines: BTreeMap<NaiveDate, u64>,
}

/// How many, and how many of them are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All.
    pub all: u64,
    /// With `due_at` in the past, of what is scheduled or retrying.
    pub due: u64,
    /// Of these, looked at.
    pub looked: u64,
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Of one request.
    pub row: Option<i64>,
    /// After this number, oldest first; none: the newest, newest first.
    pub after: Option<i64>,
    /// Before this number.
    pub before: Option<i64>,
    /// Of these kinds; empty: any.
    pub kinds: Vec<&'static str>,
    /// At most so many.
    pub limit: u32,
}

/// An event of the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its number in the ledger.
    pub number: i64,
    /// Which request.
    pub key: Key,
    /// When.
    pub at: DateTime<Utc>,
    /// What; none where it was erased.
    pub event: Option<Event>,
    /// The kind, which stays when the rest is erased.
    pub kind: String,
    /// Its place in the chain.
    pub hash: String,
}

/// What a check of the whole record found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Requests folded.
    pub requests: u64,
    /// Events checked.
    pub events: u64,
    /// Blocks checked.
    pub blocks: u64,
    /// What is wrong, in words; empty: nothing.
    pub faults: Vec<String>,
    /// The newest block.
    pub head: Head,
}

/// The newest block of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number; 0 before the first.
    pub block: i64,
    /// Its hash, in hex.
    pub hash: String,
}

/// Why the ledger did not do it. One variant for each reaction.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The request changed since it was read: read it again and decide anew.
    #[error("the request changed meanwhile")]
    Moved,
    /// An event that cannot follow: a fault of ours, and nothing was written.
    #[error(transparent)]
    Illegal(#[from] crate::model::standing::IllegalTransition),
    /// Another daemon holds it.
    #[error("another daemon holds the ledger {path} (lock file {path}.lock); stop it first")]
    Locked {
        /// The database.
        path: String,
    },
    /// It was written by a newer version.
    #[error(
        "the ledger {path} has schema {found}, and this version knows up to {known}; run the newer version"
    )]
    Newer {
        /// The database.
        path: String,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It cannot be used as it is.
    #[error("{why}")]
    Unfit {
        /// What is wrong, and the cure.
        why: String,
    },
    /// It does not exist, where a command only reads.
    #[error("there is no ledger at {path} yet; `lapsed run` makes it")]
    Missing {
        /// The database.
        path: String,
    },
    /// Its thread has ended, and it will not work again in this process.
    #[error("the ledger's thread has ended")]
    Gone,
    /// The database failed. Nothing may be sent until it works again.
    #[error("the ledger failed: {0}")]
    Failed(String),
}
