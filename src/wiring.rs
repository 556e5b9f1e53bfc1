//! Builds what the configuration names; only this room names concrete adapters.
//!
//! Secrets are found here, from the environment that the command line hands in and from the
//! files that the configuration names, and go straight into the adapters.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use std::sync::{Mutex, OnceLock, PoisonError};

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::clock::Clock;
use crate::config::{
    Address, Auth, Config, KajabiAuth, LotusAuth, Mode, ProviderConfig, RateLimit, SecretRef,
    Webhook, message_url,
};
use crate::daemon::notifier::Deliver;
use crate::daemon::worker::Connect;
use crate::http::{App, Tokens};
use crate::ledger::{Ledger, LedgerError, Tally};
use crate::metrics::{Counted, Metrics};
use crate::model::ids::ProviderName;
use crate::model::memory::Destination;
use crate::model::notice::Notice;
use crate::planted::planted;
use crate::provider::transport::Throttle;
use crate::provider::{Credentials, Meter, Reader, Setup, Way};
use crate::reconcile::inbox::{Asked, Inbox};
use crate::reconcile::live::Live;
use crate::reconcile::pass::{Party, Tools};
use crate::webhook::Sender;

/// No secret and no bundle of certificates is larger.
const LARGEST_SECRET: u64 = 1 << 20;

/// The process environment, read once by the command line.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The variables.
    pub variables: BTreeMap<String, String>,
    /// The main file's folder: relative secret files are found from here.
    pub folder: PathBuf,
    /// How requests travel.
    pub way: Way,
}

/// A secret that is not there: what was asked for, never its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SecretMissing {
    /// In words.
    pub why: String,
}

impl Environment {
    /// Finds a secret.
    ///
    /// # Errors
    /// The variable is not set or empty, the file cannot be read or is empty.
    pub fn find(&self, secret: &SecretRef) -> Result<SecretString, SecretMissing> {
        let missing = |why| SecretMissing { why };
        match secret {
            SecretRef::Value(value) => Ok(value.clone()),
            SecretRef::Env(name) => self
                .variables
                .get(name)
                .filter(|value| !value.is_empty())
                .map(|value| value.clone().into())
                .ok_or_else(|| missing(format!("the environment variable {name} is not set"))),
            SecretRef::File(path) => {
                let bytes = self.read(path)?;
                let text = String::from_utf8(bytes).map_err(|_| {
                    missing(format!("the secret file {} is not text", path.display()))
                })?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\r').unwrap_or(text);
                if text.is_empty() {
                    return Err(missing(format!(
                        "the secret file {} is empty",
                        path.display()
                    )));
                }
                Ok(text.to_owned().into())
            }
        }
    }

    /// Reads a file that may be a link, as secrets often are, but is a small file in the end: a
    /// pipe would hold its reader up, and a device may never end.
    fn read(&self, path: &Path) -> Result<Vec<u8>, SecretMissing> {
        let place = self.folder.join(path);
        let failed = |error: std::io::Error| SecretMissing {
            why: format!("the secret file {} cannot be read: {error}", path.display()),
        };
        let unfit = |what: &str| SecretMissing {
            why: format!("the secret file {} {what}", path.display()),
        };
        if !std::fs::metadata(&place).map_err(failed)?.is_file() {
            return Err(unfit("is no regular file"));
        }
        let mut bytes = Vec::new();
        std::fs::File::open(&place)
            .and_then(|file| file.take(LARGEST_SECRET + 1).read_to_end(&mut bytes))
            .map_err(failed)?;
        if bytes.len() as u64 > LARGEST_SECRET {
            return Err(unfit("has more than 1 MiB"));
        }
        Ok(bytes)
    }

    /// Where a provider's credentials would go; none while its certificate authority cannot be
    /// read, and then nothing is sent.
    pub fn destination(&self, config: &ProviderConfig) -> Option<Destination> {
        let ca_pem = self.ca_pem(config).ok()?;
        Some(config.destination(ca_pem.as_deref()))
    }

    fn ca_pem(&self, config: &ProviderConfig) -> Result<Option<Vec<u8>>, SecretMissing> {
        Ok(match &config.ca {
            None => None,
            Some(SecretRef::File(path)) => Some(self.read(path)?),
            Some(other) => Some(self.find(other)?.expose_secret().as_bytes().to_vec()),
        })
    }

    /// The first secret of a provider that is not there, in words.
    pub fn missing(&self, config: &ProviderConfig) -> Option<String> {
        let clock: Arc<dyn Clock> = Arc::new(crate::clock::SystemClock::new());
        let throttle = throttle(config, &clock);
        self.setup(config, clock, Arc::new(NoMeter), throttle)
            .err()
            .map(|missing| missing.to_string())
    }

    /// Finds everything that a provider's adapter needs.
    ///
    /// # Errors
    /// The first secret that is not there.
    pub fn setup(
        &self,
        config: &ProviderConfig,
        clock: Arc<dyn Clock>,
        meter: Arc<dyn Meter>,
        throttle: Arc<Throttle>,
    ) -> Result<Setup, SecretMissing> {
        let credentials = match &config.auth {
            Auth::Kajabi(KajabiAuth::Client {
                client_id,
                client_secret,
            }) => Credentials::KajabiClient {
                client_id: self.find(client_id)?,
                client_secret: self.find(client_secret)?,
            },
            Auth::Kajabi(KajabiAuth::Token(token)) => Credentials::KajabiToken(self.find(token)?),
            Auth::Revere { api_key, .. } => Credentials::RevereKey(self.find(api_key)?),
            Auth::Lotus { auth, .. } => match auth {
                LotusAuth::ApiKey(key) => Credentials::LotusKey(self.find(key)?),
                LotusAuth::Token(token) => Credentials::LotusToken(self.find(token)?),
            },
        };
        Ok(Setup {
            config: config.clone(),
            credentials,
            ca_pem: self.ca_pem(config)?,
            clock,
            meter,
            throttle,
            way: self.way.clone(),
        })
    }
}

/// A provider's limits, with nothing used of them.
fn throttle(config: &ProviderConfig, clock: &Arc<dyn Clock>) -> Arc<Throttle> {
    let clock = Arc::clone(clock);
    Arc::new(Throttle::new(config.rate_limit, config.concurrency, clock))
}

/// A meter that counts nothing: for commands that end at once.
#[derive(Debug)]
pub struct NoMeter;

impl Meter for NoMeter {
    fn request(&self, _: &'static str, _: &'static str, _: Duration) {}
    fn waited(&self, _: Duration) {}
    fn blocked_write(&self) {}
}

/// The read half of a provider, for a preview, which has no means to write.
///
/// # Errors
/// A secret is missing, or the adapter cannot be built; in words for a person.
pub fn preview(
    config: &ProviderConfig,
    environment: &Environment,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Reader>, String> {
    let throttle = throttle(config, &clock);
    let setup = environment
        .setup(config, clock, Arc::new(NoMeter), throttle)
        .map_err(|missing| missing.to_string())?;
    crate::provider::reader(&setup).map_err(|error| error.to_string())
}

/// Everything that a daemon is made of, but for the files that it watches.
pub struct House {
    /// What every pass works with.
    pub tools: Tools,
    /// What the daemon itself has to do, out of the inbox.
    pub asks: UnboundedReceiver<Asked>,
    /// What the daemon knows of itself.
    pub live: Arc<Live>,
    /// Builds adapters.
    pub connect: Arc<dyn Connect>,
    /// Carries messages to webhooks.
    pub deliver: Arc<dyn Deliver>,
    /// What the HTTP port serves.
    pub app: Arc<App>,
}

impl House {
    /// Builds it over a ledger. Counters of rare events go on from what the ledger knows.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn build(
        ledger: Arc<dyn Ledger>,
        environment: Environment,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LedgerError> {
        let revision = option_env!("LAPSED_BUILD_REVISION").unwrap_or("unknown");
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"), revision));
        let tally = ledger.tally(clock.now()).await?;
        if planted!(CountersForgotten, false, true) {
            metrics.rebuild(&counted(&tally));
        }
        // One daemon holds the lock of its ledger, and is the one that acts.
        metrics.leader(true);
        let live = Arc::new(Live::default());
        let stop = CancellationToken::new();
        let (inbox, asks) = Inbox::new(Arc::clone(&ledger));
        let app = Arc::new(App::new(
            Arc::clone(&ledger),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            Arc::clone(&live),
        ));
        let deliver = Arc::new(Messenger {
            environment: environment.clone(),
            clock: Arc::clone(&clock),
            sender: OnceLock::new(),
        });
        let connect = Arc::new(Adapters {
            environment,
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            app: Arc::clone(&app),
            stop: stop.clone(),
            throttles: Mutex::default(),
            known: Mutex::default(),
        });
        Ok(Self {
            tools: Tools {
                ledger,
                clock,
                metrics,
                inbox,
                stop,
            },
            asks,
            live,
            connect,
            deliver,
            app,
        })
    }
}

/// What the ledger has counted of rare events.
fn counted(tally: &Tally) -> Counted {
    Counted {
        settled: tally
            .states
            .iter()
            .filter(|((_, state), _)| state.finished())
            .map(|(key, count)| (key.clone(), count.all))
            .collect(),
        attempts: tally.attempts.clone(),
        windows_missed: tally.windows_missed.clone(),
        deadlines_met: tally.deadlines_met.clone(),
    }
}

/// Builds the adapters of a daemon. Their rate limits live here, so that an adapter that is
/// built anew goes on under what the old one has used.
pub struct Adapters {
    environment: Environment,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    app: Arc<App>,
    /// Set when no write may begin any more.
    stop: CancellationToken,
    throttles: Mutex<BTreeMap<ProviderName, Limited>>,
    /// Providers that have metrics.
    known: Mutex<BTreeSet<ProviderName>>,
}

/// A rate limit, and what it was built for.
struct Limited {
    rate: RateLimit,
    concurrency: u32,
    throttle: Arc<Throttle>,
}

impl Adapters {
    fn throttle(&self, config: &ProviderConfig) -> Arc<Throttle> {
        let mut throttles = self
            .throttles
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = throttles.get(&config.name).filter(|known| {
            known.rate == config.rate_limit && known.concurrency == config.concurrency
        });
        if let Some(known) = known {
            return Arc::clone(&known.throttle);
        }
        let clock = Arc::clone(&self.clock);
        let throttle = Throttle::new(config.rate_limit, config.concurrency, clock);
        let throttle = Arc::new(throttle.until(self.stop.clone()));
        throttles.insert(
            config.name.clone(),
            Limited {
                rate: config.rate_limit,
                concurrency: config.concurrency,
                throttle: Arc::clone(&throttle),
            },
        );
        throttle
    }

    fn setup(&self, config: &ProviderConfig) -> Result<Setup, SecretMissing> {
        let meter = Arc::new(ProviderMeter {
            provider: config.name.clone(),
            metrics: Arc::clone(&self.metrics),
        });
        self.environment.setup(
            config,
            Arc::clone(&self.clock),
            meter,
            self.throttle(config),
        )
    }
}

impl Connect for Adapters {
    fn connect(&self, config: &ProviderConfig) -> Result<Party, String> {
        let setup = self.setup(config).map_err(|missing| missing.to_string())?;
        let (reader, canceller) = match planted!(ObserveActs, Mode::Enforce, config.mode) {
            // Built without the means to write.
            Mode::Observe => {
                let reader = crate::provider::reader(&setup).map_err(|it| it.to_string())?;
                (reader, None)
            }
            Mode::Enforce => {
                let (reader, canceller) =
                    crate::provider::both(&setup).map_err(|it| it.to_string())?;
                (reader, Some(canceller))
            }
        };
        Ok(Party {
            config: config.clone(),
            reader,
            canceller,
        })
    }

    fn destination(&self, config: &ProviderConfig) -> Option<Destination> {
        self.environment.destination(config)
    }

    fn in_force(&self, config: &Config) {
        let find = |secret: &Option<SecretRef>, key: &str| {
            let found = self.environment.find(secret.as_ref()?);
            found
                .inspect_err(|missing| {
                    tracing::error!("`{key}`: {missing}; nobody is let in by it")
                })
                .ok()
        };
        self.app.set_tokens(Tokens {
            admin: find(&config.admin_token, "admin_token"),
            read: find(&config.read_token, "read_token"),
        });
        self.metrics.webhooks(config.notify.webhooks.keys());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known
            .iter()
            .filter(|name| !config.providers.contains_key(*name))
        {
            self.metrics.forget(gone);
        }
        for name in config.providers.keys() {
            self.metrics.known(name);
        }
        *known = config.providers.keys().cloned().collect();
    }

    fn fingerprint(&self, config: &ProviderConfig) -> Option<[u8; 32]> {
        let setup = self.setup(config).ok()?;
        let mut hasher = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        match &setup.credentials {
            Credentials::KajabiClient {
                client_id,
                client_secret,
            } => {
                add(client_id.expose_secret().as_bytes());
                add(client_secret.expose_secret().as_bytes());
            }
            Credentials::KajabiToken(secret)
            | Credentials::RevereKey(secret)
            | Credentials::LotusKey(secret)
            | Credentials::LotusToken(secret) => add(secret.expose_secret().as_bytes()),
        }
        add(setup.ca_pem.as_deref().unwrap_or_default());
        Some(hasher.finalize().into())
    }
}

/// Finds addresses and secrets anew for each message, so that a rotated one is followed.
struct Messenger {
    environment: Environment,
    clock: Arc<dyn Clock>,
    /// Built at the first message: most files name no webhook.
    sender: OnceLock<Result<Sender, String>>,
}

impl Messenger {
    fn sender(&self) -> Result<&Sender, String> {
        let sender = self.sender.get_or_init(Sender::new);
        sender.as_ref().map_err(Clone::clone)
    }

    fn url(&self, address: &Address) -> Result<Url, String> {
        match address {
            Address::Url(url) => Ok(url.clone()),
            Address::Secret(secret) => {
                let found = self.environment.find(secret).map_err(|it| it.to_string())?;
                message_url(found.expose_secret()).map_err(|why| format!("its `url_from`: {why}"))
            }
        }
    }
}

impl Deliver for Messenger {
    fn tell<'a>(
        &'a self,
        webhook: &'a Webhook,
        ledger_id: &'a str,
        notice: &'a Notice,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let url = self.url(&webhook.address)?;
            let secret = self.environment.find(&webhook.secret);
            let secret = secret.map_err(|missing| missing.to_string())?;
            let now = self.clock.now();
            let sender = self.sender()?;
            sender.tell(url, &secret, ledger_id, notice, now).await
        })
    }

    fn beat<'a>(&'a self, to: &'a Address, body: &'a Value) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move { self.sender()?.beat(self.url(to)?, body).await })
    }
}

/// Counts one provider's requests.
struct ProviderMeter {
    provider: ProviderName,
    metrics: Arc<Metrics>,
}

impl Meter for ProviderMeter {
    fn request(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        self.metrics
            .request(&self.provider, operation, outcome, took);
    }

    fn waited(&self, for_: Duration) {
        self.metrics.waited(&self.provider, for_);
    }

    fn blocked_write(&self) {
        self.metrics.blocked_write(&self.provider);
    }
}
