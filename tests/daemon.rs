//! The daemon's own care of its workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use lapsed::clock::{Clock, SystemClock};
use lapsed::config::{Address, Config, ProviderConfig, Webhook};
use lapsed::daemon::Daemon;
use lapsed::daemon::notifier::Deliver;
use lapsed::daemon::worker::Connect;
use lapsed::ledger::intent::Intent;
use lapsed::ledger::sqlite::{OpenAs, SqliteLedger};
use lapsed::ledger::{KeptFile, Ledger};
use lapsed::metrics::Metrics;
use lapsed::model::act::Answer;
use lapsed::model::hold::HoldReason;
use lapsed::model::ids::{ProviderName, SubscriptionId};
use lapsed::model::memory::Destination;
use lapsed::model::notice::Notice;
use lapsed::model::observed::{Billing, Life, Look, Observed, Subscription};
use lapsed::provider::list::{Cursor, ListPage, Scope};
use lapsed::provider::{Admission, Canceller, LookError, Reader};
use lapsed::reconcile::accept::{self, Proposal};
use lapsed::reconcile::inbox::Inbox;
use lapsed::reconcile::live::Live;
use lapsed::reconcile::pass::{Party, Tools};
use lapsed::source::{Options, Source};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// Breaks the first worker, and tells the second that there is no secret.
#[derive(Default)]
struct Breaks {
    asked: AtomicU32,
}

impl Connect for Breaks {
    fn connect(&self, _: &ProviderConfig) -> Result<Party, String> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(asked > 0, "the first worker breaks, as the test wants it");
        Err("no secret".to_owned())
    }

    fn fingerprint(&self, _: &ProviderConfig) -> Option<[u8; 32]> {
        None
    }

    fn destination(&self, config: &ProviderConfig) -> Option<Destination> {
        Some(config.destination(None))
    }

    fn in_force(&self, _: &Config) {}
}

/// Tells nobody anything.
struct Mute;

impl Deliver for Mute {
    fn tell<'a>(
        &'a self,
        _: &'a Webhook,
        _: &'a str,
        _: &'a Notice,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn beat<'a>(&'a self, _: &'a Address, _: &'a Value) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
}

/// A provider at which everything lives, and which counts the cancels.
#[derive(Default)]
struct Counts {
    cancels: AtomicU32,
}

impl Reader for Counts {
    fn account(&self) -> BoxFuture<'_, Result<String, LookError>> {
        Box::pin(async { Ok("account".to_owned()) })
    }

    fn look<'a>(&'a self, _: &'a SubscriptionId) -> BoxFuture<'a, Result<Look, LookError>> {
        Box::pin(async {
            Ok(Look {
                observed: Observed::Found(Subscription {
                    life: Life::Active,
                    billing: Billing::Recurring,
                    facts: BTreeMap::new(),
                    period_end: None,
                    successor: None,
                }),
                at: SystemClock::new().now(),
                server_date: None,
            })
        })
    }

    fn list(&self, _: Scope, _: Option<Cursor>) -> BoxFuture<'_, Result<ListPage, LookError>> {
        let why = "nobody lists here".to_owned();
        Box::pin(async { Err(LookError::Unavailable { why }) })
    }

    fn clock_skew(&self) -> Option<i64> {
        None
    }
}

impl Canceller for Counts {
    fn admit(&self) -> BoxFuture<'_, Result<Admission, LookError>> {
        Box::pin(async { Ok(Admission::granted()) })
    }

    fn cancel<'a>(&'a self, _: &'a Intent, _: Admission) -> BoxFuture<'a, Answer> {
        self.cancels.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Answer::Accepted })
    }
}

/// Connects everything to one [`Counts`].
struct To(Arc<Counts>);

impl Connect for To {
    fn connect(&self, config: &ProviderConfig) -> Result<Party, String> {
        Ok(Party {
            config: config.clone(),
            reader: Arc::clone(&self.0) as Arc<dyn Reader>,
            canceller: Some(Arc::clone(&self.0) as Arc<dyn Canceller>),
        })
    }

    fn fingerprint(&self, _: &ProviderConfig) -> Option<[u8; 32]> {
        Some([0; 32])
    }

    fn destination(&self, config: &ProviderConfig) -> Option<Destination> {
        Some(config.destination(None))
    }

    fn in_force(&self, _: &Config) {}
}

#[tokio::test]
async fn what_was_taken_out_while_no_daemon_ran_is_not_sent_by_the_next_one() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let file = path.join("lapsed.yaml");
    let text = |items: &str| {
        format!(
            "version: 1\nmode: enforce\nreconcile: {{schedule: \"* * * * * *\"}}\nproviders: {{academy: {{type: kajabi, token: {{env: T}}}}}}\ncancellations: {items}\n"
        )
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ledger: Arc<dyn Ledger> =
        Arc::new(SqliteLedger::open(&path.join("lapsed.db"), OpenAs::Daemon).unwrap());
    let files = vec![KeptFile {
        name: "lapsed.yaml".to_owned(),
        text: text("[{id: \"1\", when: now}]"),
    }];
    let before = Proposal {
        digest: "before".to_owned(),
        commit: None,
        manifest: accept::read_kept(&files).unwrap(),
        files,
    };
    accept::accept(&*ledger, &before, None, clock.now())
        .await
        .unwrap();
    std::fs::write(&file, text("[]")).unwrap();
    let (inbox, asks) = Inbox::new(Arc::clone(&ledger));
    let stop = CancellationToken::new();
    let live = Arc::new(Live::default());
    let counts = Arc::new(Counts::default());
    let daemon = Daemon {
        tools: Tools {
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&clock),
            metrics: Arc::new(Metrics::new("test", "test")),
            inbox,
            stop: stop.clone(),
        },
        asks,
        live: Arc::clone(&live),
        connect: Arc::new(To(Arc::clone(&counts))),
        deliver: Arc::new(Mute),
        source: Source::watch(
            file,
            Arc::new(lapsed::desired::includes),
            Options::default(),
            clock,
        ),
    };
    let running = tokio::spawn(daemon.run());
    let accepted = async {
        while live
            .in_force
            .load()
            .as_ref()
            .is_none_or(|it| it.digest == "before")
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), accepted)
        .await
        .expect("the newest text is accepted");
    assert_eq!(counts.cancels.load(Ordering::SeqCst), 0);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_that_breaks_is_replaced_and_its_provider_goes_on() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let file = path.join("lapsed.yaml");
    std::fs::write(
        &file,
        "version: 1\nproviders: {academy: {type: kajabi, token: {env: T}}}\ncancellations: []\n",
    )
    .unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ledger: Arc<dyn Ledger> =
        Arc::new(SqliteLedger::open(&path.join("lapsed.db"), OpenAs::Daemon).unwrap());
    let (inbox, asks) = Inbox::new(Arc::clone(&ledger));
    let stop = CancellationToken::new();
    let connect = Arc::new(Breaks::default());
    let options = Options {
        settle: Duration::from_millis(10),
        poll: Duration::from_millis(50),
        ..Options::default()
    };
    let daemon = Daemon {
        tools: Tools {
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&clock),
            metrics: Arc::new(Metrics::new("test", "test")),
            inbox,
            stop: stop.clone(),
        },
        asks,
        live: Arc::new(Live::default()),
        connect: Arc::clone(&connect) as Arc<dyn Connect>,
        deliver: Arc::new(Mute),
        source: Source::watch(file, Arc::new(lapsed::desired::includes), options, clock),
    };
    let running = tokio::spawn(daemon.run());
    let academy = ProviderName::parse("academy").unwrap();
    let noted = async {
        loop {
            let memory = ledger.provider(academy.clone()).await.unwrap();
            if memory
                .stop
                .is_some_and(|it| it.reason == HoldReason::Credentials)
            {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), noted)
        .await
        .expect("another worker goes on");
    assert!(connect.asked.load(Ordering::SeqCst) > 1);
    stop.cancel();
    running.await.unwrap().unwrap();
}
