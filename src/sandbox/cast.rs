//! The names that every sandbox knows: credentials, and a small cast of subscriptions.

use super::wire::Provider;

/// Kajabi: a client that may do everything.
pub const KAJABI_CLIENT_ID: &str = "sandbox-client";
/// Kajabi: a client that may only read; its writes are 403.
pub const KAJABI_READER_CLIENT_ID: &str = "sandbox-reader";
/// Kajabi: the secret of both clients.
pub const KAJABI_CLIENT_SECRET: &str = "sandbox-secret";
/// Kajabi: the id that `GET /v1/me` gives.
pub const KAJABI_USER_ID: &str = "4801";

/// Revere: the key, sent as it is.
pub const REVERE_KEY: &str = "sandbox-revere-key";
/// Revere: `group_id`.
pub const REVERE_GROUP: &str = "sandbox-group";
/// Revere: `linked_account_id`.
pub const REVERE_ACCOUNT: &str = "sandbox-account";
/// Revere: the plan of every subscription.
pub const REVERE_PLAN: &str = "7d0b2e61-5f3c-4f0e-9a55-3f2b6f0c9d10";

/// Lotus: the key of our organization.
pub const LOTUS_KEY: &str = "sandbox.lotus-key";
/// Lotus: a session token of our organization, for `Authorization: Token`.
pub const LOTUS_SESSION_TOKEN: &str = "sandbox-session-token";
/// Lotus: our organization.
pub const LOTUS_ORGANIZATION: &str = "org_5a4d0b0c000040008000000000000001";
/// Lotus: the key of another organization on the same server.
pub const LOTUS_OTHER_KEY: &str = "sandbox.other-key";
/// Lotus: that other organization.
pub const LOTUS_OTHER_ORGANIZATION: &str = "org_5a4d0b0c000040008000000000000002";
/// Lotus: the usual plan.
pub const LOTUS_PLAN: &str = "plan_9b1de0a0000040008000000000000001";
/// Lotus: the version of the usual plan.
pub const LOTUS_PLAN_VERSION: &str = "plan_version_9b1de0a0000040008000000000000002";
/// Lotus: the usual add-on.
pub const LOTUS_ADDON: &str = "addon_9b1de0a0000040008000000000000003";
/// Lotus: the version of the usual add-on.
pub const LOTUS_ADDON_VERSION: &str = "plan_version_9b1de0a0000040008000000000000004";

/// Two purchases that are alive.
pub const KAJABI_ACTIVE: &str = "2145871";
/// See [`KAJABI_ACTIVE`].
pub const KAJABI_ACTIVE_TOO: &str = "2145872";
/// Cancelled twelve days ago.
pub const KAJABI_CANCELLED: &str = "2145873";
/// Deactivated three days ago, and still billing.
pub const KAJABI_DEACTIVATED: &str = "2145874";
/// A debt in instalments.
pub const KAJABI_PAYMENT_PLAN: &str = "2145875";
/// Nothing to cancel.
pub const KAJABI_ONE_TIME: &str = "2145876";

/// Alive, billed monthly.
pub const REVERE_MONTHLY: &str = "0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01";
/// Alive, billed annually.
pub const REVERE_ANNUAL: &str = "0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d02";
/// Its retries are spent.
pub const REVERE_FAILED: &str = "0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d03";
/// Paused.
pub const REVERE_PAUSED: &str = "0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d04";
/// Canceled before.
pub const REVERE_CANCELED: &str = "0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d05";

/// Alive and renewing.
pub const LOTUS_ACTIVE: &str = "sub_1a7e0000000040008000000000000001";
/// Alive; its customer's time zone is America/New_York.
pub const LOTUS_NEW_YORK: &str = "sub_1a7e0000000040008000000000000002";
/// Ended four days ago.
pub const LOTUS_ENDED: &str = "sub_1a7e0000000040008000000000000003";
/// Starts in ten days.
pub const LOTUS_NOT_STARTED: &str = "sub_1a7e0000000040008000000000000004";
/// Alive, with a renewal that exists already.
pub const LOTUS_RENEWED: &str = "sub_1a7e0000000040008000000000000005";
/// That renewal; it has not started.
pub const LOTUS_SUCCESSOR: &str = "sub_1a7e0000000040008000000000000006";
/// Alive, set not to renew.
pub const LOTUS_ENDING: &str = "sub_1a7e0000000040008000000000000007";
/// Alive, with an add-on.
pub const LOTUS_WITH_ADDON: &str = "sub_1a7e0000000040008000000000000008";
/// Of the other organization.
pub const LOTUS_FOREIGN: &str = "sub_1a7e0000000040008000000000000009";
/// The add-on of [`LOTUS_WITH_ADDON`], under the id that lists give it.
pub const LOTUS_ADDON_ENTRY: &str = "sub_1a7e000000004000800000000000000a";

/// One of the cast.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Where it lives.
    pub provider: Provider,
    /// Its id as the provider writes it.
    pub id: &'static str,
    /// Lotus: the customer whose list shows it. Kajabi and Revere: none.
    pub customer_id: Option<&'static str>,
    /// What is special about it.
    pub about: &'static str,
}

const fn kajabi(id: &'static str, about: &'static str) -> Member {
    Member {
        provider: Provider::Kajabi,
        id,
        customer_id: None,
        about,
    }
}

const fn revere(id: &'static str, about: &'static str) -> Member {
    Member {
        provider: Provider::Revere,
        id,
        customer_id: None,
        about,
    }
}

const fn lotus(id: &'static str, customer_id: &'static str, about: &'static str) -> Member {
    Member {
        provider: Provider::Lotus,
        id,
        customer_id: Some(customer_id),
        about,
    }
}

/// Everybody whom `Seeds::demo` brings on.
pub const CAST: [Member; 20] = [
    kajabi(KAJABI_ACTIVE, "active subscription"),
    kajabi(KAJABI_ACTIVE_TOO, "active subscription"),
    kajabi(KAJABI_CANCELLED, "already cancelled"),
    kajabi(KAJABI_DEACTIVATED, "deactivated, billing still on"),
    kajabi(KAJABI_PAYMENT_PLAN, "payment plan"),
    kajabi(KAJABI_ONE_TIME, "one-time purchase"),
    revere(REVERE_MONTHLY, "active, monthly"),
    revere(REVERE_ANNUAL, "active, annual"),
    revere(REVERE_FAILED, "failed"),
    revere(REVERE_PAUSED, "paused"),
    revere(REVERE_CANCELED, "already canceled"),
    lotus(LOTUS_ACTIVE, "cust_anna", "active, renewing"),
    lotus(LOTUS_NEW_YORK, "cust_bert", "active, customer in New York"),
    lotus(LOTUS_ENDED, "cust_cleo", "already ended"),
    lotus(LOTUS_NOT_STARTED, "cust_dora", "not started"),
    lotus(LOTUS_RENEWED, "cust_emil", "active, its successor exists"),
    lotus(LOTUS_SUCCESSOR, "cust_emil", "that successor, not started"),
    lotus(LOTUS_ENDING, "cust_finn", "active, set not to renew"),
    lotus(LOTUS_WITH_ADDON, "cust_gwen", "active, with an add-on"),
    lotus(LOTUS_FOREIGN, "cust_hugo", "of another organization"),
];

/// What marks personal data and tokens: every piece the sandbox gives out contains this
/// word, in this or in capital letters. It has no business in a log, a ledger or a page.
pub const CANARY: &str = "canary";
