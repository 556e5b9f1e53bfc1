//! What may be done to a subscription, and what came back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::terms::Behaviors;

/// The one thing that an attempt does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Cancel it.
    Cancel {
        /// Sent to a provider that takes one, word for word.
        reason: Option<String>,
        /// Sent to a provider that takes them, all three.
        behaviors: Option<Behaviors>,
    },
    /// Lotus: do not renew it, so that it ends by itself when what is paid for has run out.
    TurnOffRenewal,
    /// Kajabi: cancel a purchase that was found deactivated, because *deactivate* leaves the
    /// billing on. Sent once, ever.
    ConfirmCancel,
}

/// What came back from a write. Uncertain is the default: an answer is [`Answer::Unclear`]
/// until a provider's document says what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Answer {
    /// A clear success, for this id. Still settled only by reading it back.
    Accepted,
    /// A clear refusal, as the provider's documents know it.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The provider's title or code and at most 200 characters of its words, masked.
        words: String,
    },
    /// 429: known not to have happened once a reading confirms it.
    Throttled {
        /// What `Retry-After` said, kept between 1 s and 1 h.
        retry_after: Duration,
    },
    /// 503: not known, and the provider asks for a pause.
    Unavailable {
        /// What `Retry-After` said, kept between 1 s and 1 h.
        retry_after: Duration,
    },
    /// 401, also the face of an outage (Lotus).
    Unauthorized,
    /// 403.
    Forbidden,
    /// Certainly nothing left this machine.
    NotSent {
        /// Why not.
        why: String,
    },
    /// Perhaps done: no document explains it. Look before asking again.
    Unclear {
        /// What came, in words of ours; never the provider's.
        why: String,
    },
}

impl Answer {
    /// The word in metrics.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused { .. } => "refused",
            Self::Throttled { .. } => "throttled",
            Self::Unavailable { .. } => "unavailable",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotSent { .. } => "not_sent",
            Self::Unclear { .. } => "unclear",
        }
    }

    /// Every word that [`Answer::outcome`] can give.
    pub const OUTCOMES: [&'static str; 8] = [
        "accepted",
        "refused",
        "throttled",
        "unavailable",
        "unauthorized",
        "forbidden",
        "not_sent",
        "unclear",
    ];

    /// Whether one active reading is enough to know that it did not happen.
    pub const fn surely_not_done(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. }
                | Self::Throttled { .. }
                | Self::Unauthorized
                | Self::Forbidden
                | Self::NotSent { .. }
        )
    }

    /// Whether it may have had an effect at the provider, now or later.
    pub const fn may_have_happened(&self) -> bool {
        !self.surely_not_done()
    }

    /// Whether the attempt counts towards the most that are made.
    pub const fn counts_as_attempt(&self) -> bool {
        !matches!(
            self,
            Self::Throttled { .. }
                | Self::Unavailable { .. }
                | Self::Unauthorized
                | Self::Forbidden
                | Self::NotSent { .. }
        )
    }

    /// The pause that the provider asked for.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } | Self::Unavailable { retry_after } => {
                Some(*retry_after)
            }
            _ => None,
        }
    }
}
