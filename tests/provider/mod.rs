//! Each provider's adapter, held against its documents over a real socket.
//!
//! The answers are the documents' own samples, or what no document explains. What is sent is
//! compared byte for byte; what comes back is compared with the one value that it may mean.

mod kajabi;
mod limits;
mod list;
mod lotus;
mod revere;
mod secrets;
pub mod server;
mod transport;
mod witness;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lapsed::clock::{Clock as _, ManualClock, SystemClock};
use lapsed::config::ProviderConfig;
use lapsed::desired::{self, FileText, Input, Manifest};
use lapsed::ledger::intent::Intent;
use lapsed::ledger::sqlite::{OpenAs, SqliteLedger};
use lapsed::ledger::{Claim, Intended, KeptFile, Lane, Ledger as _};
use lapsed::model::act::{Action, Answer};
use lapsed::model::ids::{ProviderName, SubscriptionId};
use lapsed::model::memory::Assumed;
use lapsed::model::observed::{Look, Observed, Subscription};
use lapsed::model::provider::ProviderKind;
use lapsed::model::request::Witness;
use lapsed::model::terms::{Behaviors, InvoicingBehavior, UsageBehavior};
use lapsed::provider::transport::Throttle;
use lapsed::provider::{
    Admission, Canceller, Credentials, LookError, Meter, Reader, Setup, Way, both,
};
use lapsed::reconcile::accept::{self, Proposal};

use self::server::{Says, Server};

/// When every test begins.
const NOW: &str = "2026-11-24T12:00:00Z";

const KAJABI_TOKEN: &str = "kajabi-ready-token";
const KAJABI_CLIENT_ID: &str = "client & id";
const KAJABI_CLIENT_SECRET: &str = "client=secret+%";
const REVERE_KEY: &str = "revere-raw-key";
const LOTUS_KEY: &str = "abcdefgh.0123456789abcdef0123456789abcdef";
const LOTUS_TOKEN: &str = "lotus-login-token";

/// A provider, and how it is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Account {
    KajabiClient,
    KajabiToken,
    Revere,
    LotusKey,
    LotusToken,
}

impl Account {
    /// One of each kind, such that a cancel is one request.
    const EACH: [Self; 3] = [Self::KajabiToken, Self::Revere, Self::LotusKey];

    const fn kind(self) -> ProviderKind {
        match self {
            Self::KajabiClient | Self::KajabiToken => ProviderKind::Kajabi,
            Self::Revere => ProviderKind::Revere,
            Self::LotusKey | Self::LotusToken => ProviderKind::Lotus,
        }
    }

    const fn id(self) -> &'static str {
        match self.kind() {
            ProviderKind::Kajabi => kajabi::ID,
            ProviderKind::Revere => revere::ID,
            ProviderKind::Lotus => lotus::ID,
        }
    }

    /// The provider's lines of a file.
    const fn lines(self) -> &'static str {
        match self {
            Self::KajabiClient => "type: kajabi, client_id: {env: A}, client_secret: {env: B}",
            Self::KajabiToken => "type: kajabi, token: {env: A}",
            Self::Revere => {
                "type: revere, group_id: group-1, linked_account_id: linked-2, api_key: {env: A}"
            }
            Self::LotusKey => "type: lotus, api_key: {env: A}",
            Self::LotusToken => "type: lotus, token: {env: A}",
        }
    }

    fn credentials(self) -> Credentials {
        match self {
            Self::KajabiClient => Credentials::KajabiClient {
                client_id: KAJABI_CLIENT_ID.into(),
                client_secret: KAJABI_CLIENT_SECRET.into(),
            },
            Self::KajabiToken => Credentials::KajabiToken(KAJABI_TOKEN.into()),
            Self::Revere => Credentials::RevereKey(REVERE_KEY.into()),
            Self::LotusKey => Credentials::LotusKey(LOTUS_KEY.into()),
            Self::LotusToken => Credentials::LotusToken(LOTUS_TOKEN.into()),
        }
    }

    /// The plainest cancel that the provider takes.
    fn cancel(self) -> Action {
        Action::Cancel {
            reason: None,
            behaviors: (self.kind() == ProviderKind::Lotus).then_some(Behaviors {
                flat_fee: None,
                usage: UsageBehavior::BillFull,
                invoicing: InvoicingBehavior::InvoiceNow,
            }),
        }
    }

    /// What a living subscription answers to a look: an answer for each request.
    fn living(self) -> Vec<Says> {
        match self.kind() {
            ProviderKind::Kajabi => vec![Says::json(200, &kajabi::living())],
            ProviderKind::Revere => vec![Says::json(200, &revere::living())],
            ProviderKind::Lotus => lotus::living(),
        }
    }

    /// What a cancel is answered that worked.
    fn cancelled(self) -> String {
        match self.kind() {
            ProviderKind::Kajabi => kajabi::cancelled(),
            ProviderKind::Revere => revere::cancelled(),
            ProviderKind::Lotus => lotus::cancelled(),
        }
        .to_string()
    }

    /// An intent for [`Account::cancel`] that may be sent for 30 s.
    async fn intent(self) -> Intent {
        self.intent_to(self.cancel()).await
    }

    async fn intent_to(self, action: Action) -> Intent {
        let ahead = Duration::from_secs(30);
        let now = witness();
        let send_before = Witness {
            at: now.at + ahead,
            since_boot: now.since_boot + ahead,
            ..now
        };
        self.intent_until(action, send_before).await
    }

    /// An intent as only a ledger makes one.
    async fn intent_until(self, action: Action, send_before: Witness) -> Intent {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("lapsed.db");
        let ledger = SqliteLedger::open(&path, OpenAs::Daemon).unwrap();
        let now = witness();
        let text = self.file("http://127.0.0.1:1");
        let proposal = Proposal {
            digest: "0".repeat(32),
            commit: None,
            manifest: read(&text),
            files: vec![KeptFile {
                name: "lapsed.yaml".to_owned(),
                text,
            }],
        };
        let revision = accept::accept(&ledger, &proposal, None, now.at)
            .await
            .unwrap()
            .number;
        let claim = Claim {
            provider: name(),
            lane: Lane::Tick,
            now: now.at,
            after: None,
            limit: 1,
        };
        let request = ledger.claim(claim).await.unwrap().swap_remove(0);
        let intended = Intended {
            row: request.row,
            assumed: Assumed {
                revision,
                pause_epoch: ledger.pauses().await.unwrap().epoch,
                version: request.version,
            },
            action,
            look: Look {
                observed: Observed::NotFound,
                at: now.at,
                server_date: None,
            },
            now,
            send_before,
            caps: Vec::new(),
            resend_after: std::time::Duration::from_secs(1_800),
        };
        ledger.intend(intended).await.unwrap().unwrap().0
    }

    /// A whole file with this provider and one item.
    fn file(self, base_url: &str) -> String {
        let terms = match self.kind() {
            ProviderKind::Kajabi | ProviderKind::Revere => "when: now",
            ProviderKind::Lotus => {
                "when: now, usage_behavior: bill_full, invoicing_behavior: invoice_now"
            }
        };
        format!(
            "version: 1\nmode: enforce\nreconcile: {{schedule: \"* * * * *\", timezone: UTC}}\nproviders:\n  p: {{{}, base_url: \"{base_url}\", rate_limit: 1000000/s}}\ncancellations:\n  - {{id: {}, provider: p, {terms}}}\n...\n",
            self.lines(),
            self.id()
        )
    }
}

fn read(text: &str) -> Manifest {
    desired::read(&Input {
        files: vec![FileText {
            name: "lapsed.yaml",
            bytes: text.as_bytes(),
        }],
        ..Input::default()
    })
    .unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
}

fn name() -> ProviderName {
    ProviderName::parse("p").unwrap()
}

fn instant(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

/// The moment at which every test begins, by both clocks.
fn witness() -> Witness {
    let clock = ManualClock::at(instant(NOW));
    Witness {
        at: clock.now(),
        boot_id: clock.boot_id(),
        since_boot: clock.since_boot(),
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Book(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    requests: Vec<(&'static str, &'static str)>,
    blocked: usize,
}

impl Meter for Book {
    fn request(&self, operation: &'static str, outcome: &'static str, _: Duration) {
        self.0.lock().unwrap().requests.push((operation, outcome));
    }

    /// How often it is told depends on how fast the machine is.
    fn waited(&self, _: Duration) {}

    fn blocked_write(&self) {
        self.0.lock().unwrap().blocked += 1;
    }
}

/// Both halves of an adapter before a server.
struct Bench {
    account: Account,
    server: Server,
    clock: Arc<ManualClock>,
    meter: Arc<Book>,
    setup: Setup,
    reader: Arc<dyn Reader>,
    canceller: Arc<dyn Canceller>,
}

impl Bench {
    /// Before a server that gives these answers in order.
    async fn scripted(account: Account, answers: impl IntoIterator<Item = Says>) -> Self {
        Self::before(account, Server::scripted(answers).await)
    }

    fn before(account: Account, server: Server) -> Self {
        Self::tuned(account, server, |_| {})
    }

    fn tuned(account: Account, server: Server, tune: impl FnOnce(&mut ProviderConfig)) -> Self {
        let clock = Arc::new(ManualClock::at(instant(NOW)));
        let meter = Arc::new(Book::default());
        let setup = setup(account, server.address, &clock, &meter, tune);
        let (reader, canceller) = both(&setup).unwrap();
        Self {
            account,
            server,
            clock,
            meter,
            setup,
            reader,
            canceller,
        }
    }

    async fn look(&self) -> Result<Look, LookError> {
        let id = SubscriptionId::parse(self.account.kind(), self.account.id()).unwrap();
        self.reader.look(&id).await
    }

    async fn observed(&self) -> Observed {
        self.look().await.unwrap().observed
    }

    async fn found(&self) -> Subscription {
        match self.observed().await {
            Observed::Found(subscription) => subscription,
            other => panic!("{other:?}"),
        }
    }

    /// Sends an intent whose turn has come.
    async fn send(&self, intent: &Intent) -> Answer {
        self.canceller.cancel(intent, Admission::granted()).await
    }

    fn requests(&self) -> Vec<(&'static str, &'static str)> {
        self.meter.0.lock().unwrap().requests.clone()
    }
}

fn setup(
    account: Account,
    address: SocketAddr,
    clock: &Arc<ManualClock>,
    meter: &Arc<Book>,
    tune: impl FnOnce(&mut ProviderConfig),
) -> Setup {
    let text = account.file(&format!("http://{address}"));
    let mut config = read(&text).config.providers.remove(&name()).unwrap();
    tune(&mut config);
    Setup {
        credentials: account.credentials(),
        ca_pem: None,
        clock: Arc::clone(clock) as _,
        meter: Arc::clone(meter) as _,
        throttle: Arc::new(Throttle::new(
            config.rate_limit,
            config.concurrency,
            Arc::new(SystemClock::new()),
        )),
        way: Way::Network,
        config,
    }
}

/// What one answer to a cancel means; exactly one request is sent for it.
async fn meaning(account: Account, intent: &Intent, says: Says) -> Answer {
    let bench = Bench::scripted(account, [says]).await;
    let answer = bench.send(intent).await;
    assert_eq!(bench.server.lines().len(), 1, "{account:?}: {answer:?}");
    answer
}

/// What these answers to the requests of one look mean; all of them are needed.
async fn reading(account: Account, answers: Vec<Says>) -> Result<Look, LookError> {
    let expected = answers.len();
    let bench = Bench::scripted(account, answers).await;
    let result = bench.look().await;
    assert_eq!(
        bench.server.lines().len(),
        expected,
        "{account:?}: {result:?}"
    );
    result
}

fn refused(status: u16, words: &str) -> Answer {
    Answer::Refused {
        status,
        words: words.to_owned(),
    }
}

fn is_unclear(answer: &Answer) -> bool {
    matches!(answer, Answer::Unclear { .. })
}

fn is_not_sent(answer: &Answer) -> bool {
    matches!(answer, Answer::NotSent { .. })
}

fn is_unavailable(result: &Result<Look, LookError>) -> bool {
    matches!(result, Err(LookError::Unavailable { .. }))
}

fn is_credentials(result: &Result<Look, LookError>) -> bool {
    matches!(result, Err(LookError::Credentials { .. }))
}
