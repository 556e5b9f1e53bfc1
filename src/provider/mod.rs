//! Asks a provider what is, and cancels what an [`Intent`] allows.
//!
//! Each provider comes in two halves. A [`Reader`] can send GET and the token request alone;
//! a [`Canceller`] takes an `&Intent`, which only a ledger makes. A preview is built from
//! readers, and so has no means to write.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::ledger::intent::Intent;
use crate::model::act::Answer;
use crate::model::ids::SubscriptionId;
use crate::model::observed::Look;

/// Asks a provider what is.
pub trait Reader: Send + Sync {
    /// What account the credentials belong to: Revere's two ids, Lotus' organization, Kajabi's
    /// `data.id` of `GET /v1/me`. Asks the provider where only it knows.
    fn account(&self) -> BoxFuture<'_, Result<String, LookError>>;

    /// Reads one subscription.
    fn look<'a>(&'a self, id: &'a SubscriptionId) -> BoxFuture<'a, Result<Look, LookError>>;

    /// How far the provider's clock was ahead of ours in the newest answer, in seconds
    /// (negative: behind), where an answer had a `Date`.
    fn clock_skew(&self) -> Option<i64>;
}

/// Carries out what an intent allows: one request, once.
pub trait Canceller: Send + Sync {
    /// Sends the intent's request, unless its time has run out. What comes back is an answer
    /// in every case; nothing is repeated.
    fn cancel<'a>(&'a self, intent: &'a Intent) -> BoxFuture<'a, Answer>;
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
