//! A ledger on the bench: opened, filled, killed and opened again.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lapsed::ledger::intent::Intent;
use lapsed::ledger::sqlite::{OpenAs, SqliteLedger};
use lapsed::ledger::{
    Change, Claim, Close, Command, EventQuery, Incoming, Intended, KeptFile, Lane, Ledger,
    NewRevision, NotIntended, Page, Posted, Recorded,
};
use lapsed::model::act::{Action, Answer};
use lapsed::model::hold::HoldReason;
use lapsed::model::ids::{Key, ProviderName, SubscriptionId};
use lapsed::model::labels::Labels;
use lapsed::model::memory::{Assumed, Cap, CapOf, Verdict};
use lapsed::model::observed::{Billing, Life, Look, Observed, Subscription};
use lapsed::model::provider::ProviderKind;
use lapsed::model::request::{Request, Witness};
use lapsed::model::standing::{Event, Settlement, State};
use lapsed::model::terms::{From, Place, Sourced, Terms, Wanted, When, WhenMissed, Window};
use tempfile::TempDir;

pub const HOUR: Duration = Duration::from_secs(60 * 60);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Where a ledger lives.
pub trait Home {
    /// Opens it for the first time.
    fn open(&self) -> Arc<dyn Ledger>;
    /// The process is killed and another one starts: opens what was durable at this moment,
    /// without a word to the one that had it open.
    fn open_after_kill(&mut self) -> Arc<dyn Ledger>;
    /// A home of the same kind for a ledger that is not this one.
    fn another(&self) -> Box<dyn Home>;
}

/// A folder with a SQLite database in it.
pub struct Folder {
    folders: Vec<TempDir>,
}

impl Folder {
    pub fn new() -> Self {
        Self {
            folders: vec![tempfile::tempdir().unwrap()],
        }
    }

    pub fn database(&self) -> PathBuf {
        database(self.folders.last().unwrap())
    }
}

impl Home for Folder {
    fn open(&self) -> Arc<dyn Ledger> {
        Arc::new(SqliteLedger::open(&self.database(), OpenAs::Daemon).unwrap())
    }

    fn open_after_kill(&mut self) -> Arc<dyn Ledger> {
        let next = tempfile::tempdir().unwrap();
        copy_as_it_stands(&self.database(), &database(&next));
        self.folders.push(next);
        self.open()
    }

    fn another(&self) -> Box<dyn Home> {
        Box::new(Self::new())
    }
}

/// The database of a folder, by its real name.
pub fn database(folder: &TempDir) -> PathBuf {
    folder.path().canonicalize().unwrap().join("lapsed.db")
}

/// What a killed process leaves: the database, its log and its mark. The index of the log is
/// rebuilt, and the lock is nobody's any more.
pub fn copy_as_it_stands(from: &Path, to: &Path) {
    for ending in ["", "-wal", ".mark"] {
        let file = beside(from, ending);
        if file.exists() {
            std::fs::copy(file, beside(to, ending)).unwrap();
        }
    }
}

pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A ledger, and how it comes back.
pub struct Bench {
    home: Box<dyn Home>,
    ledger: Arc<dyn Ledger>,
}

impl Deref for Bench {
    type Target = dyn Ledger;

    fn deref(&self) -> &Self::Target {
        &*self.ledger
    }
}

impl Bench {
    pub fn of(home: impl Home + 'static) -> Self {
        Self::on(Box::new(home))
    }

    fn on(home: Box<dyn Home>) -> Self {
        let ledger = home.open();
        Self { home, ledger }
    }

    /// An empty ledger of the same kind.
    pub fn another(&self) -> Self {
        Self::on(self.home.another())
    }

    pub fn kill(&mut self) {
        self.ledger = self.home.open_after_kill();
    }

    /// Accepts exactly these items. Gives the revision's number.
    pub async fn accept(&self, items: &[Incoming]) -> i64 {
        self.accept_holding(items, &[]).await
    }

    /// The same, where what vanished at these providers is held.
    pub async fn accept_holding(&self, items: &[Incoming], held_at: &[ProviderName]) -> i64 {
        let number = self.begin_revision(revision("text")).await.unwrap();
        self.take_in(number, items.to_vec(), at(0)).await.unwrap();
        let close = Close {
            held_at: held_at.to_vec(),
            approvals: Vec::new(),
            ..Close::default()
        };
        self.finish_revision(number, close, at(0)).await.unwrap();
        number
    }

    pub async fn request(&self, id: &str) -> Request {
        self.again(id, 1).await
    }

    pub async fn again(&self, id: &str, again: u32) -> Request {
        let found = self.find(key("p", id, again)).await.unwrap();
        found.unwrap_or_else(|| panic!("{id} is not in the ledger"))
    }

    pub async fn state(&self, id: &str) -> State {
        self.request(id).await.state()
    }

    /// What would be asked of the ledger for an attempt at `now`, resting on what holds now.
    pub async fn intended(&self, request: &Request, now: i64) -> Intended {
        let revision = self.current().await.unwrap().unwrap();
        Intended {
            row: request.row,
            assumed: Assumed {
                revision: revision.number,
                pause_epoch: self.pauses().await.unwrap().epoch,
                version: request.version,
            },
            action: cancel(),
            look: alive(now),
            now: witness(now),
            send_before: witness(now + 30),
            caps: Vec::new(),
            resend_after: std::time::Duration::from_secs(1_800),
        }
    }

    pub async fn try_send(
        &self,
        request: &Request,
        now: i64,
        caps: &[Cap],
    ) -> Result<(Intent, Request), NotIntended> {
        let mut intended = self.intended(request, now).await;
        intended.caps = caps.to_vec();
        self.intend(intended).await.unwrap()
    }

    /// Journals an attempt and gives the request in flight.
    pub async fn send(&self, id: &str, now: i64) -> Request {
        let request = self.request(id).await;
        self.try_send(&request, now, &[]).await.unwrap().1
    }

    /// Records events, as somebody who has just read the request.
    pub async fn happens(&self, request: &Request, now: i64, events: &[Event]) -> Request {
        let mut change = Change::to(request, at(now));
        change.events = events.to_vec();
        change.doubt.clone_from(&request.doubt);
        self.record(change).await.unwrap()
    }

    /// An attempt whose answer was lost.
    pub async fn send_and_lose(&self, id: &str, now: i64) -> Request {
        let request = self.send(id, now).await;
        let event = answered(&request, lost());
        self.happens(&request, now + 1, &[event]).await
    }

    /// An attempt that is known to have had no effect.
    pub async fn send_in_vain(&self, id: &str, now: i64) -> Request {
        let request = self.send_and_lose(id, now).await;
        let event = proven_not_done(&request);
        self.happens(&request, now + 2, &[event]).await
    }

    /// An attempt that ended it.
    pub async fn cancel(&self, id: &str, now: i64) -> Request {
        let request = self.send(id, now).await;
        let events = [
            answered(&request, Answer::Accepted),
            settled(Settlement::Canceled),
        ];
        self.happens(&request, now + 1, &events).await
    }

    /// Ends it without an attempt.
    pub async fn settle(&self, id: &str, now: i64, as_: Settlement) -> Request {
        let request = self.request(id).await;
        self.happens(&request, now, &[settled(as_)]).await
    }

    pub async fn hold(&self, id: &str, now: i64, reason: HoldReason) -> Request {
        let request = self.request(id).await;
        self.happens(&request, now, &[held(reason)]).await
    }

    /// Posts a command and applies it.
    pub async fn command(&self, command: Command, now: i64) -> u64 {
        let mut posted = posted(command, now);
        posted.number = self.post(posted.clone()).await.unwrap();
        self.apply(posted, at(now)).await.unwrap()
    }

    pub async fn claimed(&self, claim: Claim) -> Vec<String> {
        let claimed = self.claim(claim).await.unwrap();
        claimed.iter().map(|it| it.key.id.to_string()).collect()
    }

    /// Every event of the record, oldest first.
    pub async fn record_so_far(&self) -> Vec<Recorded> {
        let query = EventQuery {
            row: None,
            after: Some(0),
            limit: u32::MAX,
            ..EventQuery::default()
        };
        self.events(query).await.unwrap()
    }

    pub async fn kinds(&self, id: &str) -> Vec<String> {
        let row = self.request(id).await.row;
        let query = EventQuery {
            row: Some(row),
            after: Some(0),
            limit: u32::MAX,
            ..EventQuery::default()
        };
        let events = self.events(query).await.unwrap();
        events.into_iter().map(|it| it.kind).collect()
    }

    pub async fn all(&self) -> Vec<Request> {
        let page = Page {
            limit: u32::MAX,
            ..Page::default()
        };
        self.page(page).await.unwrap()
    }

    pub async fn verified(&self) {
        let verification = self.verify().await.unwrap();
        assert_eq!(verification.faults, Vec::<String>::new());
    }
}

pub fn at(seconds: i64) -> DateTime<Utc> {
    let begin: DateTime<Utc> = "2026-11-24T12:00:00Z".parse().unwrap();
    begin + TimeDelta::seconds(seconds)
}

pub fn witness(seconds: i64) -> Witness {
    Witness {
        at: at(seconds),
        boot_id: "boot".to_owned(),
        since_boot: Duration::from_secs(u64::try_from(10_000 + seconds).unwrap()),
    }
}

pub fn provider(name: &str) -> ProviderName {
    ProviderName::parse(name).unwrap()
}

pub fn id(text: &str) -> SubscriptionId {
    SubscriptionId::parse(ProviderKind::Revere, text).unwrap()
}

pub fn key(name: &str, text: &str, again: u32) -> Key {
    Key {
        provider: provider(name),
        id: id(text),
        again,
    }
}

/// A line of the file that asks to end a subscription of `p` now.
pub fn item(text: &str) -> Incoming {
    item_at("p", text)
}

pub fn item_at(name: &str, text: &str) -> Incoming {
    Incoming {
        wanted: Wanted {
            key: key(name, text, 1),
            terms: terms(),
            place: Place {
                file: "lapsed.yaml".to_owned(),
                line: 7,
                last_line: 8,
            },
        },
        kind: ProviderKind::Revere,
        due_at: Some(at(0)),
        wake_at: Some(at(0)),
        not_before: at(0),
        deadline_at: None,
        waits: None,
        holds: BTreeMap::new(),
    }
}

/// The same line with a reason, which is another act.
pub fn changed(mut item: Incoming) -> Incoming {
    item.wanted.terms.reason = Some(Sourced::new("Fraud".to_owned(), From::Item));
    item
}

pub fn due(mut item: Incoming, seconds: i64) -> Incoming {
    item.due_at = Some(at(seconds));
    item.wake_at = Some(at(seconds));
    item
}

pub fn awaiting_approval(mut item: Incoming) -> Incoming {
    item.waits = Some("many are new".to_owned());
    item
}

fn terms() -> Terms {
    Terms {
        when: Sourced::new(When::Now, From::Item),
        when_text: "now".to_owned(),
        reason: None,
        window: Sourced::new(
            Window {
                opens: DAY,
                closes: HOUR,
            },
            From::Default,
        ),
        when_missed: Sourced::new(WhenMissed::NextPeriod, From::Default),
        period_ends: None,
        flat_fee_behavior: None,
        usage_behavior: None,
        invoicing_behavior: None,
        expect: BTreeMap::new(),
        labels: Labels::default(),
        requested: None,
        unused: Vec::new(),
    }
}

pub fn revision(digest: &str) -> NewRevision {
    NewRevision {
        digest: digest.to_owned(),
        commit: Some("c0ffee".to_owned()),
        files: vec![KeptFile {
            name: "lapsed.yaml".to_owned(),
            text: format!("# {digest}\n"),
        }],
        verdict: Verdict::default(),
        at: at(0),
    }
}

pub fn cancel() -> Action {
    Action::Cancel {
        reason: None,
        behaviors: None,
    }
}

pub fn alive(seconds: i64) -> Look {
    Look {
        observed: Observed::Found(Subscription {
            life: Life::Active,
            billing: Billing::Recurring,
            facts: BTreeMap::new(),
            period_end: None,
            successor: None,
        }),
        at: at(seconds),
        server_date: None,
    }
}

pub fn lost() -> Answer {
    Answer::Unclear {
        why: "no answer".to_owned(),
    }
}

pub fn answered(request: &Request, answer: Answer) -> Event {
    Event::Answered {
        attempt: request.standing.attempts,
        answer,
    }
}

pub fn proven_not_done(request: &Request) -> Event {
    Event::ProvenNotDone {
        attempt: request.standing.attempts,
        counts: true,
        because: "it lives".to_owned(),
    }
}

pub fn settled(as_: Settlement) -> Event {
    Event::Settled {
        as_,
        look: None,
        note: "so it ended".to_owned(),
    }
}

pub fn held(reason: HoldReason) -> Event {
    Event::Held {
        reason,
        detail: "so it is".to_owned(),
    }
}

pub fn posted(command: Command, now: i64) -> Posted {
    Posted {
        number: 0,
        at: at(now),
        by: "dana".to_owned(),
        reason: "because".to_owned(),
        command,
    }
}

pub fn pause(name: Option<&str>) -> Command {
    Command::Pause {
        provider: name.map(provider),
    }
}

pub fn resume(name: Option<&str>) -> Command {
    Command::Resume {
        provider: name.map(provider),
    }
}

pub fn per(over: Duration, most: u64) -> Cap {
    Cap {
        of: CapOf::All,
        over,
        most,
    }
}

/// All of `p` that is awake at `now`.
pub fn claim(lane: Lane, now: i64) -> Claim {
    Claim {
        provider: provider("p"),
        lane,
        now: at(now),
        after: None,
        limit: 100,
    }
}
