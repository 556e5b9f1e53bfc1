//! What the documents leave open and a test wants to turn: `/sandbox/settings`.

use serde::{Deserialize, Serialize};

/// All settings; each has a default.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Settings {
    /// How long a Kajabi access token lives, in seconds. The real value is undocumented;
    /// clients fall back to two hours.
    pub kajabi_expires_in: u32,
    /// Which form of Revere's cancel path is served: its page shows two.
    pub revere_cancel_path: CancelPath,
    /// How long Lotus takes between looking at a subscription and ending it, in
    /// milliseconds. Cancels that overlap within it all succeed and all bill (transcript J,
    /// where it took about 170); 0 makes a cancel atomic.
    pub lotus_cancel_takes_ms: u64,
    /// How much longer every provider takes to answer anything, in milliseconds; what was
    /// asked is done at once.
    pub latency_ms: u64,
}

/// The forms of `…/cancel` on
/// <https://support.reverepayments.dev/docs/developers/subscriptions/cancel>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CancelPath {
    /// `/recurring/subscription/{id}/cancel`, as in its example and in every other endpoint.
    Example,
    /// `/recurring/{id}/cancel`, as in its heading.
    Heading,
    Both,
}

impl CancelPath {
    pub fn serves_example(self) -> bool {
        self != Self::Heading
    }

    pub fn serves_heading(self) -> bool {
        self != Self::Example
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kajabi_expires_in: 7_200,
            revere_cancel_path: CancelPath::Example,
            lotus_cancel_takes_ms: 5,
            latency_ms: 0,
        }
    }
}
