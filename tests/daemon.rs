//! The daemon's own care of its workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lapsed::clock::{Clock, SystemClock};
use lapsed::config::{Config, ProviderConfig};
use lapsed::daemon::Daemon;
use lapsed::daemon::worker::Connect;
use lapsed::ledger::Ledger;
use lapsed::ledger::sqlite::{OpenAs, SqliteLedger};
use lapsed::metrics::Metrics;
use lapsed::model::hold::HoldReason;
use lapsed::model::ids::ProviderName;
use lapsed::reconcile::inbox::Inbox;
use lapsed::reconcile::live::Live;
use lapsed::reconcile::pass::{Party, Tools};
use lapsed::source::{Options, Source};
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

    fn in_force(&self, _: &Config) {}
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
