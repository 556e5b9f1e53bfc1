//! Asks a provider what is, and cancels what an [`Intent`] allows.
//!
//! Each provider comes in two halves. A [`Reader`] can send GET and the token request alone;
//! a [`Canceller`] takes an `&Intent`, which only a ledger makes. A preview is built from
//! readers, and so has no means to write.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use secrecy::SecretString;

use crate::clock::Clock;
use crate::config::ProviderConfig;
use crate::ledger::intent::Intent;
use crate::model::act::{Action, Answer};
use crate::model::ids::SubscriptionId;
use crate::model::observed::Look;
use crate::model::provider::ProviderKind;
use crate::planted::planted;

use self::list::{Cursor, ListPage, Scope};
use self::transport::{Reply, StillValid, WriteTransport};

mod kajabi;
pub mod list;
mod lotus;
mod revere;
mod token;
pub mod transport;
mod words;

/// Asks a provider what is.
pub trait Reader: Send + Sync {
    /// What account the credentials belong to: Revere's two ids, Lotus' organization, Kajabi's
    /// `data.id` of `GET /v1/me`. Asks the provider where only it knows.
    fn account(&self) -> BoxFuture<'_, Result<String, LookError>>;

    /// Reads one subscription.
    fn look<'a>(&'a self, id: &'a SubscriptionId) -> BoxFuture<'a, Result<Look, LookError>>;

    /// Reads one page of what the account has; the first without a cursor, each other with the
    /// one of the page before it. [`list::Walk`] reads all of them.
    fn list(
        &self,
        scope: Scope,
        from: Option<Cursor>,
    ) -> BoxFuture<'_, Result<ListPage, LookError>>;

    /// How far the provider's clock was ahead of ours in the newest answer, in seconds
    /// (negative: behind), where an answer had a `Date`.
    fn clock_skew(&self) -> Option<i64>;
}

/// Carries out what an intent allows: one request, once.
pub trait Canceller: Send + Sync {
    /// Waits for the rate limit's turn for one write. Taken before the look that the write
    /// rests on, so that no waiting lies between the look and the write.
    ///
    /// # Errors
    /// [`LookError::Throttled`] while the provider's own pause lasts.
    fn admit(&self) -> BoxFuture<'_, Result<Admission, LookError>>;

    /// Sends the intent's request, unless its time has run out. What comes back is an answer
    /// in every case; nothing is repeated.
    fn cancel<'a>(&'a self, intent: &'a Intent, admission: Admission) -> BoxFuture<'a, Answer>;
}

/// A turn of the rate limit for one write.
#[derive(Debug)]
pub struct Admission {
    _private: (),
}

impl Admission {
    /// A turn that nothing limits: for readers' and cancellers' stand-ins in tests, and for
    /// the transport once the limit let it pass.
    pub fn granted() -> Self {
        Self { _private: () }
    }
}

/// What an adapter is built from.
#[derive(Clone)]
pub struct Setup {
    /// How it is spoken to.
    pub config: ProviderConfig,
    /// Its secrets, found.
    pub credentials: Credentials,
    /// A private certificate authority, as PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Wall time and boot time.
    pub clock: Arc<dyn Clock>,
    /// Told of every request.
    pub meter: Arc<dyn Meter>,
    /// The rate limit, the requests in flight and the provider's own pause: shared by both
    /// halves, and kept when an adapter is built anew.
    pub throttle: Arc<transport::Throttle>,
    /// How its requests travel.
    pub way: Way,
}

/// How requests travel to a provider.
#[derive(Clone, Default)]
pub enum Way {
    /// Over the network.
    #[default]
    Network,
    /// By a simulation's hand.
    Simulated(Arc<dyn transport::Wire>),
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Network => "Network",
            Self::Simulated(_) => "Simulated",
        })
    }
}

/// The secrets of one provider, found.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Kajabi: OAuth client credentials.
    KajabiClient {
        /// The client's id.
        client_id: SecretString,
        /// The client's secret.
        client_secret: SecretString,
    },
    /// Kajabi: a ready token.
    KajabiToken(SecretString),
    /// Revere: sent raw in `Authorization`.
    RevereKey(SecretString),
    /// Lotus: `X-API-KEY`.
    LotusKey(SecretString),
    /// Lotus: `Authorization: Token …`.
    LotusToken(SecretString),
}

impl Credentials {
    /// Each of them.
    fn secrets(&self) -> Vec<&SecretString> {
        match self {
            Self::KajabiClient {
                client_id,
                client_secret,
            } => vec![client_id, client_secret],
            Self::KajabiToken(secret)
            | Self::RevereKey(secret)
            | Self::LotusKey(secret)
            | Self::LotusToken(secret) => vec![secret],
        }
    }
}

/// Told of every request; the metrics listen.
pub trait Meter: Send + Sync {
    /// A request ended. `operation` is `token`, `account`, `look`, `list` or `cancel`;
    /// `outcome` is the status class `2xx` … `5xx`, or `timeout`, `connect`, `broken`.
    fn request(&self, operation: &'static str, outcome: &'static str, took: Duration);
    /// A request waited for the rate limit.
    fn waited(&self, for_: Duration);
    /// A preview tried to write. Must never happen.
    fn blocked_write(&self);
}

/// The read half alone: what a preview is built from.
///
/// # Errors
/// The adapter cannot be built (a bad certificate authority, a proxy that is none).
pub fn reader(setup: &Setup) -> Result<Arc<dyn Reader>, ConnectError> {
    Ok(match setup.config.kind() {
        ProviderKind::Kajabi => Arc::new(kajabi::Kajabi::connect(setup)?),
        ProviderKind::Revere => Arc::new(revere::Revere::connect(setup)?),
        ProviderKind::Lotus => Arc::new(lotus::Lotus::connect(setup)?),
    })
}

/// Asks, and carries out.
pub type Halves = (Arc<dyn Reader>, Arc<dyn Canceller>);

/// Both halves, which share tokens and limits.
///
/// # Errors
/// As [`reader`].
pub fn both(setup: &Setup) -> Result<Halves, ConnectError> {
    fn halves<A: Reader + Adapter + 'static>(
        adapter: A,
        setup: &Setup,
    ) -> Result<Halves, ConnectError> {
        let adapter = Arc::new(adapter);
        let canceller = Writer {
            adapter: Arc::clone(&adapter),
            transport: WriteTransport::connect(setup)?,
        };
        Ok((adapter, Arc::new(canceller)))
    }
    match setup.config.kind() {
        ProviderKind::Kajabi => halves(kajabi::Kajabi::connect(setup)?, setup),
        ProviderKind::Revere => halves(revere::Revere::connect(setup)?, setup),
        ProviderKind::Lotus => halves(lotus::Lotus::connect(setup)?, setup),
    }
}

/// What is sent to carry one intent out, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    id: SubscriptionId,
    action: Action,
}

/// What an adapter adds to its read half so that it can write: the request, and what its
/// answer means.
trait Adapter: Send + Sync {
    /// The request for an order, exactly as the provider's document has it.
    fn request<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<reqwest::Request, String>>;

    /// What an answer means, where it is neither 401, 403, 429 nor 503.
    fn meaning(&self, order: &Order, reply: &Reply) -> Answer;

    /// The credentials were not accepted.
    fn unauthorized(&self) {}
}

/// The write half of any adapter.
struct Writer<A> {
    adapter: Arc<A>,
    transport: WriteTransport,
}

impl<A: Adapter> Writer<A> {
    async fn carry_out(&self, order: &Order, still_valid: StillValid) -> Answer {
        let request = match self.adapter.request(order).await {
            Ok(request) => request,
            Err(why) => return Answer::NotSent { why },
        };
        let reply = match self.transport.send(request, still_valid).await {
            Ok(reply) => reply,
            Err(answer) => return answer,
        };
        match reply.status {
            401 => {
                self.adapter.unauthorized();
                Answer::Unauthorized
            }
            403 => Answer::Forbidden,
            429 => Answer::Throttled {
                retry_after: reply.retry_after,
            },
            503 => Answer::Unavailable {
                retry_after: reply.retry_after,
            },
            status if planted!(ServerErrorIsRefusal, status >= 500, false) => Answer::Refused {
                status,
                words: String::new(),
            },
            _ => self.adapter.meaning(order, &reply),
        }
    }
}

impl<A: Adapter> Canceller for Writer<A> {
    fn admit(&self) -> BoxFuture<'_, Result<Admission, LookError>> {
        Box::pin(self.transport.admit())
    }

    fn cancel<'a>(&'a self, intent: &'a Intent, _: Admission) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let order = Order {
                id: intent.key().id.clone(),
                action: intent.action().clone(),
            };
            let clock = self.transport.clock();
            let last_moment = intent.last_moment().clone();
            let still_valid =
                move || last_moment.is_ahead(clock.now(), &clock.boot_id(), clock.since_boot());
            self.carry_out(&order, Arc::new(still_valid)).await
        })
    }
}

/// Why an adapter could not be built (a bad certificate authority, a proxy that is none).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ConnectError {
    /// In words of ours.
    pub why: String,
}

/// Why a provider could not be read. One variant for each reaction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// A secret is missing, or 401 after a new token, or 403.
    #[error("the credentials were not accepted: {why}")]
    Credentials {
        /// What happened, without the secret.
        why: String,
    },
    /// 429 or 503: the provider asks for a pause, kept between 1 s and 1 h.
    #[error("the provider asked for a pause of {} s", retry_after.as_secs())]
    Throttled {
        /// How long.
        retry_after: Duration,
    },
    /// No answer, or one that no document explains.
    #[error("{why}")]
    Unavailable {
        /// What happened, in words of ours.
        why: String,
    },
}
