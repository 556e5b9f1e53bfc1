//! A world for one provider: the real ledger, plan and pass, over a clock that the test sets
//! and a provider whose every mood the test decides.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use lapsed::clock::{Clock, ManualClock};
use lapsed::config::Config;
use lapsed::daemon::keeper::Keeper;
use lapsed::desired::{self, FileText, Input, Manifest};
use lapsed::ledger::intent::Intent;
use lapsed::ledger::sqlite::{OpenAs, SqliteLedger};
use lapsed::ledger::{Command, Incoming, KeptFile, Ledger, NewRevision, Posted};
use lapsed::metrics::Metrics;
use lapsed::model::act::{Action, Answer};
use lapsed::model::approval::Approved;
use lapsed::model::ids::{ProviderName, SubscriptionId};
use lapsed::model::memory::{Comparison, Verdict};
use lapsed::model::observed::{Billing, Life, Look, Observed, Subscription};
use lapsed::model::provider::{ExpectField, ProviderKind};
use lapsed::model::request::Request;
use lapsed::model::standing::State;
use lapsed::provider::list::{Cursor, ListPage, Scope};
use lapsed::provider::{Admission, Canceller, LookError, Reader};
use lapsed::reconcile::accept::{self, Proposal};
use lapsed::reconcile::account;
use lapsed::reconcile::inbox::Inbox;
use lapsed::reconcile::live::{InForce, Live};
use lapsed::reconcile::pass::{Occasion, Party, PassReport, Tools, let_time_go_by, pass};
use lapsed::reconcile::preview::{Planned, Preview, Reading, Sources, preview};
use lapsed::reconcile::report::{ItemReport, Standpoint};
use lapsed::source::{Latest, SourceFile, Text};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// `resend_after` of the world's provider.
pub const RESEND_AFTER: Duration = Duration::from_secs(30 * 60);

/// What the provider does with the next cancel.
#[derive(Clone, Debug)]
pub enum Mood {
    /// Carries it out and answers so.
    Works,
    /// Carries it out; the answer is lost.
    DoesItSilently,
    /// Does nothing; the answer is lost.
    LosesIt,
    /// Carries it out later, once the test says so; the answer is lost.
    DoesItLater,
    /// Does nothing, and answers success.
    Lies,
    /// Does nothing, and answers so.
    Says(Answer),
    /// Carries it out, and answers so.
    DoesItAndSays(Answer),
}

/// What was asked of the provider, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Look(String),
    Cancel(String, Action),
}

/// A cancel that took effect.
#[derive(Clone, Copy, Debug)]
pub struct Effect {
    /// When.
    pub at: DateTime<Utc>,
    /// When the period that ran then would have ended.
    pub period_end: DateTime<Utc>,
}

/// A provider in memory.
#[derive(Default)]
pub struct Provider {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    subscriptions: BTreeMap<String, Subscription>,
    effective: BTreeMap<String, u32>,
    effects: BTreeMap<String, Vec<Effect>>,
    moods: BTreeMap<String, VecDeque<Mood>>,
    calls: Vec<Call>,
    look_errors: VecDeque<LookError>,
    later: Vec<(String, Action)>,
    not_ours: BTreeMap<String, String>,
    account: Option<Result<String, LookError>>,
    poisoned: BTreeMap<String, LookError>,
    accounts_asked: u32,
    /// How long each period of one that renews is, when it was charged for one, and when read.
    renews: BTreeMap<String, chrono::Duration>,
    charges: BTreeMap<String, Vec<DateTime<Utc>>>,
    looked_at: BTreeMap<String, Vec<DateTime<Utc>>>,
    skew: Option<i64>,
    clock: Option<Arc<ManualClock>>,
    /// Rung when the next write has arrived, and when it may be answered.
    meets: Option<(Arc<Notify>, Arc<Notify>)>,
}

impl Provider {
    fn with<T>(&self, ask: impl FnOnce(&mut Inner) -> T) -> T {
        ask(&mut self.inner.lock().unwrap())
    }
}

impl Inner {
    /// What time does to a subscription: one that is not renewed ends, all others are charged
    /// for the next period.
    fn time_goes_by(&mut self, id: &str) {
        let now = self.clock.as_ref().unwrap().now();
        let Some(subscription) = self.subscriptions.get_mut(id) else {
            return;
        };
        match subscription.life {
            Life::Ending { at } if at <= now => subscription.life = Life::Ended { at: Some(at) },
            Life::Active => {
                let period = self.renews.get(id).copied();
                while let (Some(end), Some(period)) = (subscription.period_end, period) {
                    if end > now {
                        break;
                    }
                    subscription.period_end = Some(end + period);
                    self.charges.entry(id.to_owned()).or_default().push(end);
                }
            }
            _ => {}
        }
    }

    fn observed(&mut self, id: &str) -> Observed {
        self.time_goes_by(id);
        if let Some(why) = self.not_ours.get(id) {
            return Observed::NotOurs { why: why.clone() };
        }
        self.subscriptions
            .get(id)
            .map_or(Observed::NotFound, |found| Observed::Found(found.clone()))
    }

    fn take_effect(&mut self, id: &str, action: &Action) {
        self.time_goes_by(id);
        let now = self.clock.as_ref().unwrap().now();
        if let Some(subscription) = self.subscriptions.get_mut(id) {
            self.effects.entry(id.to_owned()).or_default().push(Effect {
                at: now,
                period_end: subscription.period_end.unwrap_or(now),
            });
            subscription.life = match (action, subscription.period_end) {
                (Action::TurnOffRenewal, Some(at)) => Life::Ending { at },
                _ => Life::Ended { at: Some(now) },
            };
            *self.effective.entry(id.to_owned()).or_default() += 1;
        }
    }

    fn cancel(&mut self, id: &str, action: &Action) -> Answer {
        self.calls.push(Call::Cancel(id.to_owned(), action.clone()));
        let mood = self.moods.get_mut(id).and_then(VecDeque::pop_front);
        let lost = || Answer::Unclear {
            why: "no answer".to_owned(),
        };
        match mood.unwrap_or(Mood::Works) {
            Mood::Works => {
                self.take_effect(id, action);
                Answer::Accepted
            }
            Mood::DoesItSilently => {
                self.take_effect(id, action);
                lost()
            }
            Mood::LosesIt => lost(),
            Mood::DoesItLater => {
                self.later.push((id.to_owned(), action.clone()));
                lost()
            }
            Mood::Lies => Answer::Accepted,
            Mood::Says(answer) => answer,
            Mood::DoesItAndSays(answer) => {
                self.take_effect(id, action);
                answer
            }
        }
    }
}

struct Half(Arc<Provider>, Arc<ManualClock>);

impl Reader for Half {
    fn account(&self) -> BoxFuture<'_, Result<String, LookError>> {
        let account = self.0.with(|it| {
            it.accounts_asked += 1;
            it.account.clone()
        });
        Box::pin(async move { account.unwrap_or(Ok("the account".to_owned())) })
    }

    fn look<'a>(&'a self, id: &'a SubscriptionId) -> BoxFuture<'a, Result<Look, LookError>> {
        let at = self.1.now();
        let result = self.0.with(|it| {
            it.calls.push(Call::Look(id.to_string()));
            if let Some(error) = it.poisoned.get(id.as_str()) {
                return Err(error.clone());
            }
            match it.look_errors.pop_front() {
                Some(error) => Err(error),
                None => {
                    it.looked_at.entry(id.to_string()).or_default().push(at);
                    Ok(it.observed(id.as_str()))
                }
            }
        });
        Box::pin(async move {
            result.map(|observed| Look {
                observed,
                at,
                server_date: None,
            })
        })
    }

    fn list(&self, _: Scope, _: Option<Cursor>) -> BoxFuture<'_, Result<ListPage, LookError>> {
        let why = "nobody lists here".to_owned();
        Box::pin(async { Err(LookError::Unavailable { why }) })
    }

    fn clock_skew(&self) -> Option<i64> {
        self.0.with(|it| it.skew)
    }
}

impl Canceller for Half {
    fn admit(&self) -> BoxFuture<'_, Result<Admission, LookError>> {
        Box::pin(async { Ok(Admission::granted()) })
    }

    fn cancel<'a>(&'a self, intent: &'a Intent, _: Admission) -> BoxFuture<'a, Answer> {
        let clock = &self.1;
        let answer = if intent.still_valid(clock.now(), &clock.boot_id(), clock.since_boot()) {
            let id = intent.key().id.as_str();
            self.0.with(|it| it.cancel(id, intent.action()))
        } else {
            Answer::NotSent {
                why: "its time ran out".to_owned(),
            }
        };
        let meets = self.0.with(|it| it.meets.take());
        Box::pin(async move {
            if let Some((sent, goes_on)) = meets {
                sent.notify_one();
                goes_on.notified().await;
            }
            answer
        })
    }
}

/// The world.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub provider: Arc<Provider>,
    pub ledger: Arc<SqliteLedger>,
    tools: Tools,
    in_force: Option<Arc<InForce>>,
    folder: TempDir,
    kind: ProviderKind,
    named: &'static str,
    head: String,
    provider_says: String,
    mode: &'static str,
    zone: &'static str,
    wait_after_accept: &'static str,
    lines: Vec<String>,
    revisions: u32,
    verdict: Verdict,
    /// What became of the approvals of the last accepted file.
    pub approvals: Vec<Approved>,
}

impl World {
    /// A Revere provider called `p` in enforce mode, with nothing in the file.
    pub fn new() -> Self {
        Self::of(ProviderKind::Revere)
    }

    /// A world of one kind of provider.
    pub fn of(kind: ProviderKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at("2026-11-24T12:00:00Z".parse().unwrap()));
        let provider = Arc::new(Provider::default());
        provider.with(|it| it.clock = Some(Arc::clone(&clock)));
        let (ledger, tools) = open(&folder, &clock);
        Self {
            clock,
            provider,
            ledger,
            tools,
            in_force: None,
            folder,
            kind,
            named: "p",
            head: String::new(),
            provider_says: String::new(),
            mode: "enforce",
            zone: "UTC",
            wait_after_accept: "0s",
            lines: Vec::new(),
            revisions: 0,
            verdict: Verdict::default(),
            approvals: Vec::new(),
        }
    }

    /// Lines of the file beside the providers and the items.
    pub fn with(mut self, head: &str) -> Self {
        self.head.push_str(head);
        self.head.push('\n');
        self
    }

    /// What the file says beside the providers and the items, from the next revision on.
    pub fn says(mut self, head: &str) -> Self {
        self.head = format!("{head}\n");
        self
    }

    /// An item on which a policy decides everything.
    pub fn add_bare(&mut self, id: &str) {
        self.lines
            .push(format!("  - {{id: {id}, provider: {}}}", self.named));
    }

    /// Another text in the line of one item.
    pub fn edit_line(&mut self, id: &str, from: &str, to: &str) {
        let begins = format!("  - {{id: {id},");
        for line in self.lines.iter_mut().filter(|it| it.starts_with(&begins)) {
            *line = line.replace(from, to);
        }
    }

    pub async fn approve(&self, plan: &str, at_most: Option<u64>) {
        let plan = plan.to_owned();
        self.command(Command::Approve { plan, at_most }).await;
    }

    /// A revision's text and verdict are stored, and the process dies before an item is taken in.
    pub async fn begin_to_accept(&mut self) {
        let current = self.ledger.current().await.unwrap().unwrap();
        let before = accept::read_kept(&current.files).unwrap().config;
        let proposal = self.proposal("cut short");
        let sooner = self.lines.len() as u64;
        let verdict = Verdict {
            approval: vec![self.name()],
            counts: Comparison {
                sooner: BTreeMap::from([(self.name(), sooner)]),
                ..Comparison::default()
            },
            ..Verdict::default()
        };
        assert_ne!(before.mode, proposal.manifest.config.mode);
        let begun = NewRevision {
            digest: proposal.digest,
            commit: None,
            files: proposal.files,
            verdict,
            at: self.now(),
        };
        self.ledger.begin_revision(begun).await.unwrap();
    }

    /// More of what the file says of the provider.
    pub fn provider_says(mut self, more: &str) -> Self {
        self.provider_says = format!(", {more}");
        self
    }

    /// In observe mode from the next revision on.
    pub fn observing(mut self) -> Self {
        self.mode = "observe";
        self
    }

    pub fn in_zone(mut self, zone: &'static str) -> Self {
        self.zone = zone;
        self
    }

    pub fn wait_after_accept(&mut self, wait: &'static str) {
        self.wait_after_accept = wait;
    }

    /// A person approves everything that waits.
    pub async fn approve_all(&self) {
        for waiting in self.ledger.waiting().await.unwrap() {
            let plan = waiting.digest;
            self.command(Command::Approve {
                plan,
                at_most: None,
            })
            .await;
        }
    }

    pub fn set_mode(&mut self, mode: &'static str) {
        self.mode = mode;
    }

    /// The file calls the same provider otherwise from the next revision on.
    pub fn call_it(&mut self, name: &'static str, more: &str) {
        self.calls_it(name);
        self.provider_says = more.to_owned();
    }

    /// The file says that the provider is of another type.
    pub fn set_kind(&mut self, kind: ProviderKind) {
        self.kind = kind;
    }

    /// A living subscription that the file asks to end now.
    pub fn wants(mut self, id: &str) -> Self {
        self.add(id, "when: now");
        self.lives(id);
        self
    }

    /// A line of the file.
    pub fn add(&mut self, id: &str, terms: &str) {
        self.lines.push(format!(
            "  - {{id: {id}, provider: {}, {terms}}}",
            self.named
        ));
    }

    /// The provider has another name in the file from the next revision on.
    pub fn calls_it(&mut self, named: &'static str) {
        let (old, new) = (
            format!("provider: {},", self.named),
            format!("provider: {named},"),
        );
        for line in &mut self.lines {
            *line = line.replace(&old, &new);
        }
        self.named = named;
    }

    fn name(&self) -> ProviderName {
        ProviderName::parse(self.named).unwrap()
    }

    /// A second name for the same account.
    pub fn second_name(&mut self, named: &'static str) {
        self.provider_says = format!(
            "}}\n  {named}: {{type: {}, group_id: other, linked_account_id: l, api_key: {{env: KEY}}",
            self.kind
        );
    }

    /// A line of the file for another provider.
    pub fn add_at(&mut self, named: &str, id: &str, terms: &str) {
        self.lines
            .push(format!("  - {{id: {id}, provider: {named}, {terms}}}"));
    }

    pub fn edit_lines(&mut self, from: &str, to: &str) {
        for line in &mut self.lines {
            *line = line.replace(from, to);
        }
    }

    pub fn remove(&mut self, id: &str) {
        let begins = format!("  - {{id: {id},");
        self.lines.retain(|line| !line.starts_with(&begins));
    }

    pub fn lives(&self, id: &str) {
        self.set(id, Life::Active);
    }

    pub fn set(&self, id: &str, life: Life) {
        self.edit(id, |it| it.life = life);
    }

    /// It exists, but not among what the account owns.
    pub fn belongs_to_others(&self, id: &str) {
        let why = "it is not in its customer's list".to_owned();
        self.provider
            .with(|it| it.not_ours.insert(id.to_owned(), why));
    }

    pub fn edit(&self, id: &str, edit: impl FnOnce(&mut Subscription)) {
        let id = SubscriptionId::parse(self.kind, id).unwrap();
        self.provider.with(|it| {
            let subscription =
                it.subscriptions
                    .entry(id.to_string())
                    .or_insert_with(|| Subscription {
                        life: Life::Active,
                        billing: Billing::Recurring,
                        facts: BTreeMap::from([(ExpectField::Customer, "cus_1".to_owned())]),
                        period_end: None,
                        successor: None,
                    });
            edit(subscription);
        });
    }

    /// Its running period ends then, and another of the same length follows.
    pub fn renews(&self, id: &str, ends: &str, every_days: i64) {
        let ends = ends.parse().unwrap();
        self.edit(id, |it| it.period_end = Some(ends));
        let id = SubscriptionId::parse(self.kind, id).unwrap();
        let period = chrono::Duration::days(every_days);
        self.provider
            .with(|it| it.renews.insert(id.to_string(), period));
    }

    /// Its running period ends later than was said.
    pub fn put_off(&self, id: &str, by: chrono::Duration) {
        self.provider.with(|it| {
            it.time_goes_by(id);
            if let Some(subscription) = it.subscriptions.get_mut(id) {
                subscription.period_end = subscription.period_end.map(|end| end + by);
            }
        });
    }

    /// When it was charged for another period.
    pub fn charges(&self, id: &str) -> Vec<DateTime<Utc>> {
        self.provider.with(|it| {
            it.time_goes_by(id);
            it.charges.get(id).cloned().unwrap_or_default()
        })
    }

    /// When it was read.
    pub fn looked_at(&self, id: &str) -> Vec<DateTime<Utc>> {
        self.provider
            .with(|it| it.looked_at.get(id).cloned().unwrap_or_default())
    }

    /// Readings work again.
    pub fn heal(&self, id: &str) {
        self.provider.with(|it| it.poisoned.remove(id));
    }

    /// The cancels that took effect.
    pub fn effects(&self, id: &str) -> Vec<Effect> {
        self.provider
            .with(|it| it.effects.get(id).cloned().unwrap_or_default())
    }

    /// What `plan --refresh --until` says of the file as it now stands.
    pub async fn plan_until(&self, until: DateTime<Utc>) -> Preview {
        self.plan_and(Some(until), Reading::All).await
    }

    /// How often it was charged for another period.
    pub fn charged(&self, id: &str) -> u32 {
        let id = SubscriptionId::parse(self.kind, id).unwrap();
        self.charges(id.as_str()).len() as u32
    }

    pub fn mood(self, id: &str, moods: impl IntoIterator<Item = Mood>) -> Self {
        let id = SubscriptionId::parse(self.kind, id).unwrap();
        self.provider
            .with(|it| it.moods.entry(id.to_string()).or_default().extend(moods));
        self
    }

    pub fn reading_fails(&self, errors: impl IntoIterator<Item = LookError>) {
        self.provider.with(|it| it.look_errors.extend(errors));
    }

    pub fn reading_works_again(&self) {
        self.provider.with(|it| it.look_errors.clear());
    }

    /// Every reading of this one fails so.
    pub fn poison(&self, id: &str, error: LookError) {
        self.provider
            .with(|it| it.poisoned.insert(id.to_owned(), error));
    }

    /// How often the account was asked for.
    pub fn accounts_asked(&self) -> u32 {
        self.provider.with(|it| it.accounts_asked)
    }

    pub fn skewed(&self, seconds: i64) {
        self.provider.with(|it| it.skew = Some(seconds));
    }

    pub fn account(&self, account: Result<&str, LookError>) {
        let account = account.map(str::to_owned);
        self.provider.with(|it| it.account = Some(account));
    }

    /// What was delayed over there takes effect.
    pub fn late_effects_happen(&self) {
        self.provider.with(|it| {
            for (id, action) in std::mem::take(&mut it.later) {
                it.take_effect(&id, &action);
            }
        });
    }

    pub fn text(&self) -> String {
        let auth = match self.kind {
            ProviderKind::Revere => "group_id: g, linked_account_id: l, api_key: {env: KEY}",
            ProviderKind::Kajabi => "token: {env: KEY}",
            ProviderKind::Lotus => "api_key: {env: KEY}, base_url: \"https://lotus.example.com\"",
        };
        let items = if self.lines.is_empty() {
            " []".to_owned()
        } else {
            format!("\n{}", self.lines.join("\n"))
        };
        format!(
            "version: 1\nmode: {}\nreconcile: {{schedule: \"* * * * *\", timezone: {}, wait_after_accept: {}}}\nproviders:\n  {}: {{type: {}, {auth}{}}}\n{}cancellations:{items}\n...\n",
            self.mode,
            self.zone,
            self.wait_after_accept,
            self.named,
            self.kind,
            self.provider_says,
            self.head
        )
    }

    /// Accepts the file as it now stands.
    pub async fn accept(&mut self) -> &Verdict {
        self.revisions += 1;
        let before: Option<Config> = self.in_force.as_ref().map(|it| (*it.config).clone());
        let proposal = self.proposal(&format!("{:032x}", self.revisions));
        let now = self.clock.now();
        let accept::Acceptance {
            number,
            verdict,
            approvals,
        } = accept::accept(&*self.ledger, &proposal, before.as_ref(), now)
            .await
            .unwrap();
        self.approvals = approvals;
        self.in_force = Some(Arc::new(InForce {
            config: Arc::new(proposal.manifest.config),
            number,
            digest: proposal.digest,
            items: 0,
            accepted_at: self.clock.now(),
        }));
        self.verdict = verdict;
        &self.verdict
    }

    fn proposal(&self, digest: &str) -> Proposal {
        Proposal {
            digest: digest.to_owned(),
            commit: None,
            files: self.files(),
            manifest: self.manifest(),
        }
    }

    fn files(&self) -> Vec<KeptFile> {
        vec![KeptFile {
            name: "lapsed.yaml".to_owned(),
            text: self.text(),
        }]
    }

    /// The file as it now stands is accepted while the next write is in flight.
    pub async fn tick_while_a_revision_is_accepted(&self) -> PassReport {
        let (sent, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        self.provider
            .with(|it| it.meets = Some((Arc::clone(&sent), Arc::clone(&goes_on))));
        let accept = async {
            sent.notified().await;
            let config = &self.in_force().config;
            let proposal = self.proposal("another");
            accept::accept(&*self.ledger, &proposal, Some(config), self.now())
                .await
                .unwrap();
            goes_on.notify_one();
        };
        tokio::join!(self.tick(), accept).0
    }

    /// The newest text is not valid, and says only this.
    pub async fn breaks(&self, newest: &str) {
        let open = self.ledger.open_places().await.unwrap();
        let newest = [("lapsed.yaml".to_owned(), newest.as_bytes().to_vec())];
        let stale = accept::stale_rows(&open, &self.files(), &newest);
        self.ledger.mark_stale(stale, self.now()).await.unwrap();
    }

    /// The daemon's keeper, which has begun anew, and what it knows.
    pub async fn keeper(&self) -> (Keeper, Arc<Live>) {
        let live = Arc::new(Live::default());
        let mut keeper = Keeper::new(self.tools.clone(), Arc::clone(&live));
        keeper.begin().await.unwrap();
        (keeper, live)
    }

    /// The newest text, as the source tells it.
    pub fn latest(&self) -> Latest {
        let text = self.text();
        Latest {
            text: Some(Arc::new(Text {
                commit: None,
                revision: format!("{:032x}", text.len()),
                files: vec![SourceFile {
                    name: "lapsed.yaml".to_owned(),
                    bytes: text.into_bytes(),
                }],
                unmatched: Vec::new(),
                outside: Vec::new(),
            })),
            problem: None,
            seen_at: Some(self.now()),
        }
    }

    /// Begins to accept the file as it now stands, and takes the first items in.
    pub async fn cut_short(&self, items: usize) -> Verdict {
        let manifest = self.manifest();
        let keys = manifest.wanted.iter().map(|it| it.key.clone()).collect();
        let known = self.ledger.find_many(keys).await.unwrap();
        let incoming: Vec<Incoming> = manifest
            .wanted
            .iter()
            .zip(known)
            .take(items)
            .map(|(wanted, known)| Incoming {
                wanted: wanted.clone(),
                kind: self.kind,
                due_at: Some(self.now()),
                wake_at: Some(self.now()),
                not_before: self.now(),
                deadline_at: None,
                waits: known.is_none().then(|| "too many".to_owned()),
                holds: BTreeMap::new(),
            })
            .collect();
        let new = manifest.wanted.len() as u64;
        let verdict = Verdict {
            approval: vec![self.name()],
            counts: Comparison {
                new: BTreeMap::from([(self.name(), new)]),
                sooner: BTreeMap::from([(self.name(), new)]),
                ..Comparison::default()
            },
            ..Verdict::default()
        };
        let begun = NewRevision {
            digest: "cut short".to_owned(),
            commit: None,
            files: vec![KeptFile {
                name: "lapsed.yaml".to_owned(),
                text: self.text(),
            }],
            verdict: verdict.clone(),
            at: self.now(),
        };
        let number = self.ledger.begin_revision(begun).await.unwrap();
        self.ledger
            .take_in(number, incoming, self.now())
            .await
            .unwrap();
        verdict
    }

    /// The same, where nothing was too much.
    pub async fn cut_short_unheld(&mut self, items: usize) {
        let manifest = self.manifest();
        let incoming: Vec<Incoming> = manifest
            .wanted
            .iter()
            .take(items)
            .map(|wanted| Incoming {
                wanted: wanted.clone(),
                kind: self.kind,
                due_at: Some(self.now()),
                wake_at: Some(self.now()),
                not_before: self.now(),
                deadline_at: None,
                waits: None,
                holds: BTreeMap::new(),
            })
            .collect();
        let new = BTreeMap::from([(self.name(), manifest.wanted.len() as u64)]);
        let begun = NewRevision {
            digest: "failed half-way".to_owned(),
            commit: None,
            files: self.files(),
            verdict: Verdict {
                counts: Comparison {
                    new: new.clone(),
                    sooner: new,
                    ..Comparison::default()
                },
                ..Verdict::default()
            },
            at: self.now(),
        };
        let number = self.ledger.begin_revision(begun).await.unwrap();
        let now = self.now();
        self.ledger.take_in(number, incoming, now).await.unwrap();
    }

    /// Goes on under what a keeper has accepted.
    pub fn follows(&mut self, in_force: Arc<InForce>) {
        self.in_force = Some(in_force);
    }

    pub fn manifest(&self) -> Manifest {
        let text = self.text();
        desired::read(&Input {
            files: vec![FileText {
                name: "lapsed.yaml",
                bytes: text.as_bytes(),
            }],
            ..Input::default()
        })
        .unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
    }

    pub fn party(&self) -> Party {
        self.party_of(&self.name())
    }

    fn party_of(&self, name: &ProviderName) -> Party {
        let in_force = self.in_force.as_ref().expect("accept first");
        let config = in_force.config.providers[name].clone();
        let half = || Arc::new(Half(Arc::clone(&self.provider), Arc::clone(&self.clock)));
        let acts = config.mode == lapsed::config::Mode::Enforce;
        Party {
            config,
            reader: half(),
            canceller: acts.then(|| half() as Arc<dyn Canceller>),
        }
    }

    /// A tick's pass.
    pub async fn tick(&self) -> PassReport {
        self.pass(Occasion::Tick).await
    }

    /// A pass for what wakes by itself.
    pub async fn wake(&self) -> PassReport {
        self.pass(Occasion::Wake).await
    }

    /// A tick's passes of the provider and of another one, side by side.
    pub async fn tick_both(&self, other: &str) {
        let other = self.party_of(&ProviderName::parse(other).unwrap());
        tokio::join!(self.tick(), self.pass_of(&other, Occasion::Tick));
    }

    async fn pass(&self, occasion: Occasion) -> PassReport {
        self.pass_of(&self.party(), occasion).await
    }

    async fn pass_of(&self, party: &Party, occasion: Occasion) -> PassReport {
        let in_force = self.in_force.as_ref().expect("accept first");
        if !account::bind(&self.tools, party, in_force).await.unwrap() {
            let config = &party.config;
            let_time_go_by(&self.tools, config, in_force).await.unwrap();
            return PassReport::default();
        }
        pass(&self.tools, party, in_force, occasion).await.unwrap()
    }

    pub fn in_force(&self) -> Arc<InForce> {
        Arc::clone(self.in_force.as_ref().expect("accept first"))
    }

    /// A tick's pass of a worker that has not heard of the newest revision.
    pub async fn pass_with(&self, party: &Party, in_force: &InForce) -> PassReport {
        pass(&self.tools, party, in_force, Occasion::Tick)
            .await
            .unwrap()
    }

    /// What the daemon does when a provider's configuration changed.
    pub async fn ledger_wakes(&self) {
        self.ledger
            .wake_held(self.name(), self.clock.now())
            .await
            .unwrap();
    }

    pub fn later(&self, by: Duration) -> &Self {
        self.clock.advance(by);
        self
    }

    /// The process is gone, and what it kept beside its ledger is as well: another one starts
    /// and cannot know whether the ledger is the newest.
    pub async fn restart_without_mark(&mut self) {
        let mut mark = self.path().into_os_string();
        mark.push(".mark");
        std::fs::remove_file(mark).unwrap();
        self.restart().await;
    }

    /// The process is gone and another one starts.
    pub async fn restart(&mut self) {
        let guest = Arc::new(self.guest());
        let memory = std::mem::replace(&mut self.ledger, guest);
        let old = std::mem::replace(&mut self.tools, tools_over(&self.ledger, &self.clock));
        drop((memory, old));
        // The old ledger's threads end once nobody holds it; its lock tells when.
        let (ledger, tools) = loop {
            match SqliteLedger::open(&self.path(), OpenAs::Daemon) {
                Ok(ledger) => {
                    let ledger = Arc::new(ledger);
                    let tools = tools_over(&ledger, &self.clock);
                    break (ledger, tools);
                }
                Err(lapsed::ledger::LedgerError::Locked { .. }) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        };
        self.ledger = ledger;
        self.tools = tools;
        self.ledger.interrupt_all(self.clock.now()).await.unwrap();
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.folder.path().canonicalize().unwrap().join("lapsed.db")
    }

    fn guest(&self) -> SqliteLedger {
        SqliteLedger::open(&self.path(), OpenAs::Guest).unwrap()
    }

    pub async fn command(&self, command: Command) {
        self.ledger
            .post(Posted {
                number: 0,
                at: self.clock.now(),
                by: "dana".to_owned(),
                reason: "because".to_owned(),
                command,
            })
            .await
            .unwrap();
    }

    pub async fn request(&self, id: &str) -> Request {
        let id = SubscriptionId::parse(self.kind, id).unwrap();
        let mut found = self.ledger.find_all(self.name(), id).await.unwrap();
        found.swap_remove(0)
    }

    pub async fn item(&self, id: &str) -> ItemReport {
        let config = Arc::clone(&self.in_force.as_ref().expect("accept first").config);
        let standpoint = Standpoint::read(&*self.ledger, config, self.clock.now())
            .await
            .unwrap();
        standpoint.item(&self.request(id).await)
    }

    /// The state that people see, and what holds it.
    pub async fn state(&self, id: &str) -> (State, Option<String>) {
        let item = self.item(id).await;
        (item.state, item.hold.map(|hold| hold.reason.to_string()))
    }

    /// What `plan --refresh` says of the file as it now stands.
    pub async fn plan(&self) -> Preview {
        self.plan_and(None, Reading::All).await
    }

    /// What `plan --offline` says of it.
    pub async fn plan_offline(&self) -> Preview {
        self.plan_and(None, Reading::Offline).await
    }

    async fn plan_and(&self, until: Option<DateTime<Utc>>, reading: Reading) -> Preview {
        let manifest = self.manifest();
        let reader: Arc<dyn Reader> =
            Arc::new(Half(Arc::clone(&self.provider), Arc::clone(&self.clock)));
        let sources = Sources {
            manifest: &manifest,
            revision: "the next",
            ledger: Some(&*self.ledger),
            readers: BTreeMap::from([(self.name(), reader)]),
            reading,
            now: self.clock.now(),
            against: None,
            until,
        };
        preview(sources, &|_, _| {}).await.unwrap()
    }

    /// What the plan says of one item.
    pub async fn planned(&self, id: &str) -> Planned {
        let plan = self.plan().await;
        let found = plan.items.iter().find(|it| it.item.id == id);
        found
            .unwrap_or_else(|| panic!("{id} is not in the plan"))
            .action
    }

    pub async fn standpoint(&self) -> Standpoint {
        let config = Arc::clone(&self.in_force().config);
        Standpoint::read(&*self.ledger, config, self.clock.now())
            .await
            .unwrap()
    }

    pub fn calls(&self) -> Vec<Call> {
        self.provider.with(|it| it.calls.clone())
    }

    /// How many cancels were sent.
    pub fn cancels(&self) -> usize {
        self.calls()
            .iter()
            .filter(|call| matches!(call, Call::Cancel(..)))
            .count()
    }

    /// How often a cancel took effect.
    pub fn effective(&self, id: &str) -> u32 {
        let id = SubscriptionId::parse(self.kind, id).unwrap();
        self.provider
            .with(|it| it.effective.get(id.as_str()).copied().unwrap_or(0))
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub async fn verify(&self) {
        let verification = self.ledger.verify().await.unwrap();
        assert_eq!(verification.faults, Vec::<String>::new());
    }
}

/// The provider's name.
pub fn name() -> ProviderName {
    ProviderName::parse("p").unwrap()
}

fn open(folder: &TempDir, clock: &Arc<ManualClock>) -> (Arc<SqliteLedger>, Tools) {
    let path = folder.path().canonicalize().unwrap().join("lapsed.db");
    let ledger = Arc::new(SqliteLedger::open(&path, OpenAs::Daemon).unwrap());
    let tools = tools_over(&ledger, clock);
    (ledger, tools)
}

fn tools_over(ledger: &Arc<SqliteLedger>, clock: &Arc<ManualClock>) -> Tools {
    let shared: Arc<dyn Ledger> = Arc::clone(ledger) as Arc<dyn Ledger>;
    let (inbox, _) = Inbox::new(Arc::clone(&shared));
    Tools {
        ledger: shared,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        metrics: Arc::new(Metrics::new("test", "test")),
        inbox,
        stop: CancellationToken::new(),
    }
}
