//! The kinds of provider, and the one table of what each can do.
//!
//! `check`, `plan`, the adapters and the documentation read this table; nothing else says
//! what a provider is able to do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of billing provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Kajabi's public API, <https://developers.kajabi.com/api-reference/>.
    Kajabi,
    /// Revere Payments, <https://support.reverepayments.dev/docs/developers/>.
    Revere,
    /// Lotus (uselotus/lotus), self-hosted.
    Lotus,
}

/// What an item may be compared with before it is acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpectField {
    /// The customer that the subscription belongs to.
    Customer,
    /// The plan that it is a subscription of.
    Plan,
    /// The offer that was bought.
    Offer,
}

impl ExpectField {
    /// Every field, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Customer, Self::Plan, Self::Offer];

    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Plan => "plan",
            Self::Offer => "offer",
        }
    }
}

/// What a kind of provider can do, from its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Ends a subscription at its period's end by itself (Lotus: renewal turned off).
    pub native_period_end: bool,
    /// Tells when the running period ends (Revere: `next_bill_date`; Lotus: `end_date`).
    pub tells_period_end: bool,
    /// Is sent the reason (Revere: `{"reason": …}`).
    pub takes_reason: bool,
    /// Takes Lotus' three behaviours with a cancel.
    pub takes_behaviors: bool,
    /// Lists subscriptions in pages, so that one request observes many.
    pub lists_in_pages: bool,
    /// What an `expect` can name: what a read of one subscription tells.
    pub expects: &'static [ExpectField],
    /// Requests to look at one subscription.
    pub reads_per_look: u32,
    /// Where the API lives, if it lives in one place.
    pub default_base_url: Option<&'static str>,
}

impl Capabilities {
    /// Requests for one cancellation: look, cancel, look again.
    pub const fn requests_per_item(&self) -> u32 {
        self.reads_per_look * 2 + 1
    }
}

impl ProviderKind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Kajabi, Self::Revere, Self::Lotus];

    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kajabi => "kajabi",
            Self::Revere => "revere",
            Self::Lotus => "lotus",
        }
    }

    /// What this kind can do.
    ///
    /// Kajabi: no field tells a period's end, the cancel has no body (reference "Cancel
    /// subscription"). Revere: `next_bill_date`, `reason` ("Cancel a subscription"); no
    /// customer id is safe to compare but `gateway_customer_id`. Lotus: a look is a GET by id
    /// and the list of its customer, because a GET by id is not limited to the key's
    /// organization (backend/api/views.py line 756).
    pub const fn capabilities(self) -> Capabilities {
        match self {
            Self::Kajabi => Capabilities {
                native_period_end: false,
                tells_period_end: false,
                takes_reason: false,
                takes_behaviors: false,
                lists_in_pages: true,
                expects: &[ExpectField::Customer, ExpectField::Offer],
                reads_per_look: 1,
                default_base_url: Some("https://api.kajabi.com"),
            },
            Self::Revere => Capabilities {
                native_period_end: false,
                tells_period_end: true,
                takes_reason: true,
                takes_behaviors: false,
                lists_in_pages: true,
                expects: &[ExpectField::Customer, ExpectField::Plan],
                reads_per_look: 1,
                default_base_url: Some("https://api.reverepayments.dev"),
            },
            Self::Lotus => Capabilities {
                native_period_end: true,
                tells_period_end: true,
                takes_reason: false,
                takes_behaviors: true,
                lists_in_pages: false,
                expects: &[ExpectField::Customer, ExpectField::Plan],
                reads_per_look: 2,
                default_base_url: None,
            },
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
