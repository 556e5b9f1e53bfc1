//! The file's shape: every key, every value still as the text that was written.
//!
//! The comments and examples on the keys are what an editor shows: the JSON Schema is made from
//! them. They speak to the person who writes the file.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::schema;

/// The main file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["version", "providers"]))]
pub(super) struct Root {
    /// The version of this format. Always 1.
    #[schemars(schema_with = "schema::literal_one", extend("examples" = [1]))]
    pub version: Option<String>,
    /// Whether anything is really sent. Default: observe. A provider can have its own.
    #[schemars(schema_with = "schema::mode", extend("examples" = ["enforce"]))]
    pub mode: Option<String>,
    /// The IP address and port of the status page, the API, the metrics and the health checks.
    /// Default: 127.0.0.1:9740. Takes effect at the next start.
    #[schemars(extend("examples" = ["127.0.0.1:9740"]))]
    pub listen: Option<String>,
    /// A second IP address and port, for metrics and health checks alone: for a scraper on
    /// another machine. Takes effect at the next start.
    #[schemars(extend("examples" = ["0.0.0.0:9741"]))]
    pub metrics_listen: Option<String>,
    /// The database that remembers what was asked for and done. Takes effect at the next start.
    #[schemars(schema_with = "schema::ledger", extend("examples" = ["sqlite:/var/lib/lapsed/lapsed.db"]))]
    pub ledger: Option<String>,
    /// The id of the ledger that this file means: nothing is sent from another one. `lapsed run`
    /// prints it at its first start.
    #[schemars(schema_with = "schema::hex32", extend("examples" = ["0f8f5f3e27a14c8e9b682f7e5a1c0d01"]))]
    pub ledger_id: Option<String>,
    /// The password of a shared ledger (PostgreSQL).
    #[schemars(schema_with = "schema::secret", extend("examples" = [{"env": "LAPSED_LEDGER_PASSWORD"}]))]
    pub ledger_password: Option<Secret>,
    /// The Bearer token that pausing, resuming and reconciling over HTTP ask for (`POST /-/…`).
    /// Without one they are off.
    #[schemars(schema_with = "schema::secret", extend("examples" = [{"env": "LAPSED_ADMIN_TOKEN"}]))]
    pub admin_token: Option<Secret>,
    /// The Bearer token that the status page and the API ask for when they are not served on
    /// loopback.
    #[schemars(schema_with = "schema::secret", extend("examples" = [{"file": "/run/secrets/lapsed_read_token"}]))]
    pub read_token: Option<Secret>,
    /// Host names under which the page may be opened, beside IP addresses and localhost.
    #[schemars(extend("examples" = [["lapsed.example.com"]]))]
    pub allowed_hosts: Option<Vec<String>>,
    /// A file set with more cancellations than this is refused. Default: 2000000.
    #[schemars(schema_with = "schema::count", extend("examples" = [50000]))]
    pub max_items: Option<String>,
    /// A file set with more bytes than this is refused. Default: 512MiB.
    #[schemars(schema_with = "schema::size", extend("examples" = ["64MiB"]))]
    pub max_bytes: Option<String>,
    /// When cancellations may be sent, and in which time zone this file counts.
    #[schemars(extend("examples" = [{"schedule": "*/5 * * * *", "timezone": "Europe/Berlin"}]))]
    pub reconcile: Option<Reconcile>,
    /// The billing providers, at least one. Each key is a name of your own that everything else
    /// uses.
    #[schemars(schema_with = "schema::providers", extend("examples" = [{
        "academy": {"type": "kajabi", "token": {"env": "KAJABI_TOKEN"}}
    }]))]
    pub providers: Option<BTreeMap<String, Provider>>,
    /// Terms for many cancellations at once, read top to bottom: for each field the first policy
    /// that matches and sets it wins.
    #[schemars(extend("examples" = [[
        {"name": "fraud ends at once", "match": {"labels": {"cause": "fraud"}}, "set": {"when": "now", "reason": "Fraud"}}
    ]]))]
    pub policies: Option<Vec<Policy>>,
    /// Caps on how much may happen, over all providers together.
    #[schemars(extend("examples" = [{"per_hour": 100, "per_day": 500}]))]
    pub limits: Option<Limits>,
    /// Times in which nothing is sent, such as holidays.
    #[schemars(extend("examples" = [[
        {"name": "Black Friday", "from": "2026-11-27", "until": "2026-11-30"}
    ]]))]
    pub freezes: Option<Vec<Freeze>>,
    /// What a person has approved, by the digest that `lapsed plan` prints for what waits.
    #[schemars(extend("examples" = [[
        {"plan": "3f9c2a710b5d4e8f9a6c1d2e3f405162", "by": "dana@example.com", "until": "2026-12-02"}
    ]]))]
    pub approvals: Option<Vec<Approval>>,
    /// More files with cancellations, as patterns of paths below this file's folder.
    #[schemars(extend("examples" = [["cancellations/*.yaml", "cancellations/*.csv"]]))]
    pub include: Option<Vec<String>>,
    /// Who is told without asking: webhooks, and a heartbeat for whoever watches over this daemon.
    #[schemars(extend("examples" = [{
        "webhooks": {"on-call": {"url": "https://hooks.example.com/lapsed", "secret": {"env": "LAPSED_WEBHOOK_SECRET"}}}
    }]))]
    pub notify: Option<Notify>,
    /// The subscriptions that shall end. With none: `[]`.
    #[schemars(schema_with = "schema::cancellations", extend("examples" = [[
        {"id": "2145871", "provider": "academy", "when": "2026-12-31"}
    ]]))]
    pub cancellations: Option<IgnoredAny>,
}

/// An included file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Included {
    /// Fields for every cancellation of this file that does not set them itself. They go before
    /// policies.
    #[schemars(schema_with = "schema::defaults", extend("examples" = [{
        "provider": "donations", "when": "2027-01-31", "reason": "Customer request"
    }]))]
    pub defaults: Option<Item>,
    /// The subscriptions that shall end. With none: `[]`.
    #[schemars(schema_with = "schema::cancellations", extend("examples" = [[
        {"id": "1c9d7a52-98a1-4f0b-9f0e-6a2a7a1d0b01", "provider": "donations", "when": "now"}
    ]]))]
    pub cancellations: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Reconcile {
    /// When cancellations may be sent, as cron: five fields, or six with seconds first, or a word
    /// such as `@hourly`. Default: every five minutes.
    #[schemars(schema_with = "schema::schedule", extend("examples" = ["*/5 * * * *", "0 9-17 * * MON-FRI", "@hourly"]))]
    pub schedule: Option<String>,
    /// The IANA time zone in which a day begins and schedules are meant. Needed where a day or a
    /// local time is written.
    #[schemars(extend("examples" = ["Europe/Berlin", "America/New_York", "UTC"]))]
    pub timezone: Option<String>,
    /// How long a change of this file waits before it is acted on: time to revert it. Default: 0s.
    #[schemars(schema_with = "schema::duration", extend("examples" = ["30m"]))]
    pub wait_after_accept: Option<String>,
    /// Warns when the files could not be read as a whole for this long. Default: 24h.
    #[schemars(schema_with = "schema::duration", extend("examples" = ["24h"]))]
    pub source_max_age: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Notify {
    /// Where notices go, each as a CloudEvent in JSON, signed, and tried until it is taken. Each key
    /// is a name of your own.
    #[schemars(schema_with = "schema::webhooks", extend("examples" = [{
        "on-call": {"url": "https://hooks.example.com/lapsed", "secret": {"env": "LAPSED_WEBHOOK_SECRET"}}
    }]))]
    pub webhooks: Option<BTreeMap<String, Webhook>>,
    /// Asked for (POST) after each whole successful round of passes, with the head of the record: a
    /// service that misses it tells you that this daemon is gone.
    #[schemars(extend("examples" = [{"url_from": {"env": "LAPSED_HEARTBEAT_URL"}}]))]
    pub heartbeat: Option<Heartbeat>,
    /// When the digest is told, as cron in `reconcile.timezone`. Default: every day at eight.
    #[schemars(schema_with = "schema::schedule", extend("examples" = ["0 8 * * *", "0 7 * * MON-FRI"]))]
    pub digest: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["secret"]))]
pub(super) struct Webhook {
    /// Where to: https, or http on loopback.
    #[schemars(extend("examples" = ["https://hooks.example.com/lapsed"]))]
    pub url: Option<String>,
    /// The same where the URL is a secret itself, instead of `url`.
    #[schemars(schema_with = "schema::secret", extend("examples" = [{"file": "/run/secrets/lapsed_webhook_url"}]))]
    pub url_from: Option<Secret>,
    /// What messages are signed with (HMAC-SHA256, as Standard Webhooks has it).
    #[schemars(schema_with = "schema::secret", extend("examples" = [{"env": "LAPSED_WEBHOOK_SECRET"}]))]
    pub secret: Option<Secret>,
    /// What it is told. Default: everything.
    #[schemars(schema_with = "schema::notices", extend("examples" = [["failed", "missed", "held_past_deadline"]]))]
    pub events: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Heartbeat {
    /// Where to: https, or http on loopback.
    #[schemars(extend("examples" = ["https://heartbeat.example.com/lapsed"]))]
    pub url: Option<String>,
    /// The same where the URL is a secret itself, instead of `url`.
    #[schemars(schema_with = "schema::secret", extend("examples" = [{"env": "LAPSED_HEARTBEAT_URL"}]))]
    pub url_from: Option<Secret>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["type"]))]
pub(super) struct Provider {
    /// Whose API it is.
    #[schemars(schema_with = "schema::kind", extend("examples" = ["kajabi"]))]
    pub r#type: Option<String>,
    /// Kajabi: the id of the API client; with `client_secret`, instead of `token`.
    #[schemars(extend("examples" = [{"env": "KAJABI_CLIENT_ID"}]))]
    pub client_id: Option<Secret>,
    /// Kajabi: the secret of the API client.
    #[schemars(extend("examples" = [{"env": "KAJABI_CLIENT_SECRET"}]))]
    pub client_secret: Option<Secret>,
    /// Kajabi: a ready access token. Lotus: a login token, which lives two hours: for tries, not
    /// for a daemon.
    #[schemars(extend("examples" = [{"env": "KAJABI_TOKEN"}]))]
    pub token: Option<Secret>,
    /// Revere: a *Manage Transactions* key. Lotus: an API key.
    #[schemars(extend("examples" = [{"env": "REVERE_API_KEY"}]))]
    pub api_key: Option<Secret>,
    /// Revere, required: the group, which is the account's Merchant ID in the Hub.
    #[schemars(schema_with = "schema::told", extend("examples" = ["4f2c9e3a-6a0f-4f4e-8f0c-0d6a4c1b7e11"]))]
    pub group_id: Option<String>,
    /// Revere, required: the Revere Pay account that is linked to the group.
    #[schemars(schema_with = "schema::told", extend("examples" = ["9a01c7de-1f6b-4a55-9a3a-5b7a4f8e2d22"]))]
    pub linked_account_id: Option<String>,
    /// Lotus: the organization that the API key must belong to; nothing is sent to another one.
    #[schemars(schema_with = "schema::told", extend("examples" = ["org_0d95c9f4a3b64b7a8d3e2f1a0b9c8d7e"]))]
    pub organization_id: Option<String>,
    /// Where the API is: https, or http on loopback. Required for lotus; elsewhere the documented
    /// address is the default.
    #[schemars(extend("examples" = ["https://lotus.example.com"]))]
    pub base_url: Option<String>,
    /// When cancellations may be sent to this provider. Default: as in `reconcile`.
    #[schemars(schema_with = "schema::schedule", extend("examples" = ["*/10 * * * *", "0 9-17 * * MON-FRI"]))]
    pub schedule: Option<String>,
    /// Whether anything is really sent to this provider. Default: as at the top of the file.
    #[schemars(schema_with = "schema::mode", extend("examples" = ["observe"]))]
    pub mode: Option<String>,
    /// At most so many requests in a second, a minute or an hour. Default: 60/m.
    #[schemars(schema_with = "schema::rate", extend("examples" = ["60/m"]))]
    pub rate_limit: Option<String>,
    /// At most so many requests at the same time. Default: 2.
    #[schemars(schema_with = "schema::positive", extend("examples" = [2]))]
    pub concurrency: Option<String>,
    /// How long one request may take. Default: 20s.
    #[schemars(schema_with = "schema::duration", extend("examples" = ["20s"]))]
    pub timeout: Option<String>,
    /// How long a request whose answer was lost may still take effect over there; it is not sent
    /// again before. Longer than `timeout`. Default: 30m.
    #[schemars(schema_with = "schema::duration", extend("examples" = ["30m"]))]
    pub resend_after: Option<String>,
    /// What every cancellation must name in its `expect`. Default: nothing.
    #[schemars(schema_with = "schema::expect_fields", extend("examples" = [["customer"]]))]
    pub require_expect: Option<Vec<String>>,
    /// A certificate authority of your own for this provider, as PEM.
    #[schemars(extend("examples" = [{"file": "/etc/ssl/our-ca.pem"}]))]
    pub ca: Option<Secret>,
    /// The URL of a proxy to go through. None is taken from the environment.
    #[schemars(extend("examples" = ["http://proxy.example.com:3128"]))]
    pub proxy: Option<String>,
    /// Kajabi: what becomes of a purchase that is paid in instalments, which is a debt. Default:
    /// hold.
    #[schemars(schema_with = "schema::payment_plans", extend("examples" = ["hold"]))]
    pub payment_plans: Option<String>,
    /// If given, every reason must be one of these, word for word.
    #[schemars(schema_with = "schema::texts", extend("examples" = [["Duplicate Order", "Customer request", "Fraud"]]))]
    pub reasons: Option<Vec<String>>,
    /// Lotus, `end_of_period`: when the renewal is turned off. Default: at_once.
    #[schemars(schema_with = "schema::renewal_off", extend("examples" = ["at_once"]))]
    pub renewal_off: Option<String>,
    /// The name that this provider had before: what was asked for under it goes on under the new
    /// one.
    #[schemars(schema_with = "schema::told", extend("examples" = ["old-academy"]))]
    pub formerly: Option<String>,
    /// Caps for this provider alone, beside the common ones.
    #[schemars(extend("examples" = [{"per_hour": 20}]))]
    pub limits: Option<Limits>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    /// At most so many cancellations in any 60 minutes. 0 means none. Default for all providers
    /// together: 100.
    #[schemars(schema_with = "schema::count", extend("examples" = [100]))]
    pub per_hour: Option<String>,
    /// At most so many cancellations in any 24 hours. 0 means none. Default for all providers
    /// together: 500.
    #[schemars(schema_with = "schema::count", extend("examples" = [500]))]
    pub per_day: Option<String>,
    /// When more cancellations than this, within 24 hours, are new or act earlier or harsher than
    /// before, they wait for an approval. Default: 100.
    #[schemars(schema_with = "schema::count", extend("examples" = [100]))]
    pub approval_above: Option<String>,
    /// When more open cancellations than this vanish in one change of the file, they are held: a
    /// number, or a share of them. Up to five never are. Default: 20%.
    #[schemars(schema_with = "schema::share", extend("examples" = ["20%", 50]))]
    pub removal_above: Option<String>,
    /// After so many failures in a row nothing more is sent to that provider. Default: 5.
    #[schemars(schema_with = "schema::positive", extend("examples" = [5]))]
    pub stop_after_failures: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "set"]))]
pub(super) struct Policy {
    /// A name of its own; `lapsed explain` tells it beside each field that it sets.
    #[schemars(extend("examples" = ["fraud ends at once"]))]
    pub name: Option<String>,
    /// Which cancellations it speaks of: all conditions must hold. Without it: every one.
    #[schemars(extend("examples" = [{"labels": {"cause": "fraud"}}]))]
    pub r#match: Option<Match>,
    /// The fields that it gives to cancellations that do not set them themselves.
    #[schemars(extend("examples" = [{"when": "now", "reason": "Fraud"}]))]
    pub set: Option<Set>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Match {
    /// The provider's name under `providers`; one or a list, `*` stands for anything.
    #[schemars(extend("examples" = ["metered", ["academy", "donations"]]))]
    pub provider: Option<OneOrMany>,
    /// The provider's type; one or a list.
    #[schemars(schema_with = "schema::kinds", extend("examples" = ["lotus", ["kajabi", "revere"]]))]
    pub r#type: Option<OneOrMany>,
    /// The subscription's id; one or a list, `*` stands for anything.
    #[schemars(extend("examples" = ["sub_*"]))]
    pub id: Option<OneOrMany>,
    /// Labels that the cancellation must have; each value is one or a list, `*` stands for
    /// anything.
    #[schemars(schema_with = "schema::matched_labels", extend("examples" = [{"cause": ["fraud", "chargeback"]}]))]
    pub labels: Option<BTreeMap<String, OneOrMany>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Set {
    /// When it ends: now, end_of_period, a day (from its first instant) or an RFC 3339 instant. No
    /// default.
    #[schemars(schema_with = "schema::when", extend("examples" = ["end_of_period", "2026-12-31", "2026-12-31T09:00:00+01:00"]))]
    pub when: Option<String>,
    /// Why it ends. Sent to Revere word for word, and kept in the record for every provider.
    #[schemars(schema_with = "schema::text", extend("examples" = ["Customer request"]))]
    pub reason: Option<String>,
    /// For `end_of_period`: how long before the paid period ends the cancellation may be sent.
    #[schemars(extend("examples" = [{"opens": "24h", "closes": "6h"}]))]
    pub window: Option<Window>,
    /// For `end_of_period`: what happens when the window has gone by. Default: next_period.
    #[schemars(schema_with = "schema::when_missed", extend("examples" = ["ask"]))]
    pub when_missed: Option<String>,
    /// Lotus: what becomes of fees that were charged in advance. Left out: what each charge of the
    /// plan says itself.
    #[schemars(schema_with = "schema::flat_fee", extend("examples" = ["charge_prorated"]))]
    pub flat_fee_behavior: Option<String>,
    /// Lotus: what becomes of usage that is not billed yet. Required where a subscription ends
    /// before its paid period does.
    #[schemars(schema_with = "schema::usage", extend("examples" = ["bill_full"]))]
    pub usage_behavior: Option<String>,
    /// Lotus: when the last charges are invoiced. Required where a subscription ends before its
    /// paid period does.
    #[schemars(schema_with = "schema::invoicing", extend("examples" = ["invoice_now"]))]
    pub invoicing_behavior: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Window {
    /// How long before the end of the paid period it opens. Default: 24h.
    #[schemars(schema_with = "schema::duration", extend("examples" = ["24h"]))]
    pub opens: Option<String>,
    /// How long before the end of the paid period it closes; shorter than `opens`. Default: 6h.
    #[schemars(schema_with = "schema::duration", extend("examples" = ["6h"]))]
    pub closes: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub(super) struct Freeze {
    /// What it is; told wherever it holds something back.
    #[schemars(extend("examples" = ["Black Friday"]))]
    pub name: Option<String>,
    /// The first day, in `reconcile.timezone`.
    #[schemars(schema_with = "schema::day", extend("examples" = ["2026-11-27"]))]
    pub from: Option<String>,
    /// The last day, which is included.
    #[schemars(schema_with = "schema::day", extend("examples" = ["2026-11-30"]))]
    pub until: Option<String>,
    /// Instead of days: when it begins each time, as cron; with `for`.
    #[schemars(schema_with = "schema::schedule", extend("examples" = ["0 0 * * SAT"]))]
    pub cron: Option<String>,
    /// How long it lasts from each time that `cron` names.
    #[schemars(schema_with = "schema::duration", extend("examples" = ["48h"]))]
    pub r#for: Option<String>,
    /// Which cancellations it holds back, as in policies. Without it: every one.
    #[schemars(extend("examples" = [{"provider": "metered"}]))]
    pub r#match: Option<Match>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["plan", "by", "until"]))]
pub(super) struct Approval {
    /// The digest (32 hex digits) that `lapsed plan` prints for what waits.
    #[schemars(schema_with = "schema::hex32", extend("examples" = ["3f9c2a710b5d4e8f9a6c1d2e3f405162"]))]
    pub plan: Option<String>,
    /// Who approves it.
    #[schemars(schema_with = "schema::told", extend("examples" = ["dana@example.com"]))]
    pub by: Option<String>,
    /// The last day on which it may first apply.
    #[schemars(schema_with = "schema::day", extend("examples" = ["2026-12-02"]))]
    pub until: Option<String>,
    /// Frees only the first so many, as a trial.
    #[schemars(schema_with = "schema::count", extend("examples" = [50]))]
    pub at_most: Option<String>,
    /// A limit for 24 hours of their own for what it frees.
    #[schemars(schema_with = "schema::count", extend("examples" = [20000]))]
    pub per_day: Option<String>,
}

/// A subscription that shall end; in a file's defaults, what its items have in common.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["id"]))]
pub(super) struct Item {
    /// The subscription's id at the provider; for Kajabi the purchase's. Quote it: ids are text.
    #[schemars(schema_with = "schema::told", extend("examples" = [
        "2145871", "eef1b240-6e4d-42f7-93ea-873d165aa696", "sub_65aa0b9c1d2e4f5a8b7c6d5e4f3a2b1c"
    ]))]
    pub id: Option<String>,
    /// Whose subscription it is: a name under `providers`. Needed unless there is only one, or the
    /// file's defaults name it.
    #[schemars(schema_with = "schema::told", extend("examples" = ["academy"]))]
    pub provider: Option<String>,
    /// When it ends: now, end_of_period, a day (from its first instant) or an RFC 3339 instant. No
    /// default.
    #[schemars(schema_with = "schema::when", extend("examples" = ["end_of_period", "2026-12-31", "2026-12-31T09:00:00+01:00"]))]
    pub when: Option<String>,
    /// Why it ends. Sent to Revere word for word, and kept in the record for every provider.
    #[schemars(schema_with = "schema::text", extend("examples" = ["Customer request"]))]
    pub reason: Option<String>,
    /// When the customer asked for it. For your records only.
    #[schemars(schema_with = "schema::text", extend("examples" = ["2026-11-20"]))]
    pub requested: Option<String>,
    /// Words of your own for policies, freezes and reports. No personal data.
    #[schemars(schema_with = "schema::labels", extend("examples" = [{"ticket": "OPS-4711", "cause": "fraud"}]))]
    pub labels: Option<BTreeMap<String, String>>,
    /// What the provider must say of the subscription, or nothing is done: the guard against an
    /// id that is mistyped but exists.
    #[schemars(schema_with = "schema::expect", extend("examples" = [{"customer": "82145871"}]))]
    pub expect: Option<BTreeMap<String, String>>,
    /// 2 asks a second time for the same subscription, after the customer came back. Default: 1.
    #[schemars(schema_with = "schema::positive", extend("examples" = [2]))]
    pub again: Option<String>,
    /// When the paid period ends, for a provider that does not tell (Kajabi).
    #[schemars(schema_with = "schema::moment", extend("examples" = ["2026-12-14"]))]
    pub period_ends: Option<String>,
    /// For `end_of_period`: how long before the paid period ends the cancellation may be sent.
    #[schemars(extend("examples" = [{"opens": "24h", "closes": "6h"}]))]
    pub window: Option<Window>,
    /// For `end_of_period`: what happens when the window has gone by. Default: next_period.
    #[schemars(schema_with = "schema::when_missed", extend("examples" = ["ask"]))]
    pub when_missed: Option<String>,
    /// Lotus: what becomes of fees that were charged in advance. Left out: what each charge of the
    /// plan says itself.
    #[schemars(schema_with = "schema::flat_fee", extend("examples" = ["charge_prorated"]))]
    pub flat_fee_behavior: Option<String>,
    /// Lotus: what becomes of usage that is not billed yet. Required where a subscription ends
    /// before its paid period does.
    #[schemars(schema_with = "schema::usage", extend("examples" = ["bill_full"]))]
    pub usage_behavior: Option<String>,
    /// Lotus: when the last charges are invoiced. Required where a subscription ends before its
    /// paid period does.
    #[schemars(schema_with = "schema::invoicing", extend("examples" = ["invoice_now"]))]
    pub invoicing_behavior: Option<String>,
}

/// One text, or a list of them.
#[derive(Clone, Debug, Default)]
pub(super) struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(OneOrMany(texts))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

/// Where a secret is found. One that stands in the file itself is refused without a word of
/// it.
#[derive(Clone, Debug)]
pub(super) enum Secret {
    Env(String),
    File(String),
    Value(secrecy::SecretString),
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reference;
        const ALLOWED: &str =
            "a secret is written as `{env: NAME}` or `{file: PATH}`, never itself";
        impl<'de> Visitor<'de> for Reference {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`{env: NAME}` or `{file: PATH}`")
            }
            fn visit_str<E: de::Error>(self, _: &str) -> Result<Secret, E> {
                Err(E::custom(ALLOWED))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
                let mut found = None;
                while let Some(key) = map.next_key::<String>()? {
                    if found.is_some() {
                        return Err(de::Error::custom(ALLOWED));
                    }
                    let value: String = map.next_value()?;
                    found = Some(match key.as_str() {
                        "env" => Secret::Env(value),
                        "file" => Secret::File(value),
                        "value" => Secret::Value(value.into()),
                        _ => return Err(de::Error::custom(ALLOWED)),
                    });
                }
                found.ok_or_else(|| de::Error::custom(ALLOWED))
            }
        }
        deserializer.deserialize_any(Reference)
    }
}
