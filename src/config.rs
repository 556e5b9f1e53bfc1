//! How the daemon runs: typed, defaulted, every secret a reference.
//!
//! These are the values that `desired` reads from the file. Nothing here touches the
//! environment or a disk: whoever needs a secret hands [`SecretRef`] to the edge.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use globset::GlobMatcher;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use url::{Host, Url};

use crate::model::ids::{Key, ProviderName, SubscriptionId};
use crate::model::labels::Labels;
use crate::model::memory::Destination;
use crate::model::notice::NoticeKind;
use crate::model::provider::{ExpectField, ProviderKind};
use crate::model::terms::hex;
use crate::schedule::Schedule;

/// Whether writes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Everything but the write.
    Observe,
    /// Act.
    Enforce,
}

impl Mode {
    /// The word in the file and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// Where a secret is found. Its value is never here, except for a `base_url` on loopback.
#[derive(Clone, Debug)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; a trailing line end does not belong to the secret.
    File(PathBuf),
    /// Written into the file: allowed for a provider on loopback alone.
    Value(SecretString),
}

/// Where the ledger lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerLocation {
    /// `sqlite:PATH`.
    Sqlite(PathBuf),
    /// `postgres://…`.
    Postgres(String),
}

/// Everything that the file says of how to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The mode of providers that name none.
    pub mode: Mode,
    /// Takes effect at the next start.
    pub listen: Option<SocketAddr>,
    /// Takes effect at the next start.
    pub metrics_listen: Option<SocketAddr>,
    /// Takes effect at the next start.
    pub ledger: Option<LedgerLocation>,
    /// The password of a PostgreSQL ledger.
    pub ledger_password: Option<SecretRef>,
    /// The ledger that the file means, if it says so.
    pub ledger_id: Option<String>,
    /// What `POST /-/…` asks for.
    pub admin_token: Option<SecretRef>,
    /// What the page and the API ask for off loopback.
    pub read_token: Option<SecretRef>,
    /// Names that a request's `Host` may have beside IP literals and localhost.
    pub allowed_hosts: Vec<String>,
    /// More items than this are refused.
    pub max_items: u64,
    /// More bytes than this, over all files, are refused.
    pub max_bytes: u64,
    /// When passes run.
    pub reconcile: Reconcile,
    /// By name.
    pub providers: BTreeMap<ProviderName, ProviderConfig>,
    /// Caps over all providers.
    pub limits: Limits,
    /// Times in which nothing is sent.
    pub freezes: Vec<Freeze>,
    /// What a person has approved.
    pub approvals: Vec<Approval>,
    /// Patterns below the main file's folder.
    pub include: Vec<String>,
    /// Who is told what.
    pub notify: Notify,
}

/// Who is told without asking.
#[derive(Clone, Debug, Default)]
pub struct Notify {
    /// By name.
    pub webhooks: BTreeMap<String, Webhook>,
    /// Asked for after each whole successful round of passes: who does not hear it any more knows
    /// that something is wrong.
    pub heartbeat: Option<Address>,
    /// When a digest is told.
    pub digest: Option<Schedule>,
}

/// Where notices go.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Where.
    pub address: Address,
    /// What the messages are signed with.
    pub secret: SecretRef,
    /// What it is told.
    pub events: BTreeSet<NoticeKind>,
}

/// Whether a URL leads to this machine and nowhere else.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Reads where a message may go: https, and http on loopback alone.
///
/// # Errors
/// In words that do not repeat the text, which may be a secret.
pub fn message_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok().filter(Url::has_host);
    let url = url.ok_or("it is no URL; allowed: such as https://hooks.example.com/lapsed")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "credentials in a URL are refused; use `url_from: {env: NAME}` with a service that takes a secret path",
        );
    }
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return Err("it is not https; allowed: an https URL (http on loopback alone)");
    }
    Ok(url)
}

/// Where a message goes.
#[derive(Clone, Debug)]
pub enum Address {
    /// As the file has it.
    Url(Url),
    /// A secret itself, as many a service hands it out.
    Secret(SecretRef),
}

/// When passes run, and how a new revision is waited for.
#[derive(Clone, Debug)]
pub struct Reconcile {
    /// For providers that name none.
    pub schedule: Schedule,
    /// The zone of bare days and local times.
    pub timezone: Tz,
    /// Time to revert a commit before it is acted on.
    pub wait_after_accept: Duration,
    /// Warned of when no reading of the whole set has succeeded for this long.
    pub source_max_age: Duration,
}

/// One provider.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// Its name.
    pub name: ProviderName,
    /// Its kind and what only that kind has.
    pub auth: Auth,
    /// Whether it acts.
    pub mode: Mode,
    /// Where its API lives, without a trailing slash.
    pub base_url: Url,
    /// When its passes run.
    pub schedule: Schedule,
    /// Requests per time.
    pub rate_limit: RateLimit,
    /// Requests in flight.
    pub concurrency: u32,
    /// For one whole request.
    pub timeout: Duration,
    /// How long a lost request may still take effect over there. Exceeds `timeout`.
    pub resend_after: Duration,
    /// What every item must expect.
    pub require_expect: BTreeSet<ExpectField>,
    /// A private certificate authority (PEM).
    pub ca: Option<SecretRef>,
    /// A proxy; none is taken from the environment.
    pub proxy: Option<Url>,
    /// What becomes of instalment plans.
    pub payment_plans: PaymentPlans,
    /// If given, every reason must be one of these.
    pub reasons: Option<Vec<String>>,
    /// Lotus: when renewal is turned off.
    pub renewal_off: RenewalOff,
    /// The name that its requests had before.
    pub formerly: Option<ProviderName>,
    /// Caps of its own, beside the common ones. Absent fields do not limit.
    pub limits: ProviderLimits,
}

impl ProviderConfig {
    /// Its kind.
    pub const fn kind(&self) -> ProviderKind {
        match self.auth {
            Auth::Kajabi(_) => ProviderKind::Kajabi,
            Auth::Revere { .. } => ProviderKind::Revere,
            Auth::Lotus { .. } => ProviderKind::Lotus,
        }
    }

    /// Where its credentials go, by the certificate authority that was found.
    pub fn destination(&self, ca_pem: Option<&[u8]>) -> Destination {
        Destination {
            origin: self.base_url.origin().ascii_serialization(),
            proxy: self.proxy.as_ref().map(ToString::to_string),
            ca: ca_pem.map(|pem| hex(&Sha256::digest(pem))),
        }
    }
}

/// What a kind of provider needs to be spoken to.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Kajabi.
    Kajabi(KajabiAuth),
    /// Revere Payments.
    Revere {
        /// The account's Merchant ID.
        group_id: String,
        /// The Revere Pay account linked to the group.
        linked_account_id: String,
        /// Sent raw in `Authorization`.
        api_key: SecretRef,
    },
    /// Lotus.
    Lotus {
        /// Key or login token.
        auth: LotusAuth,
        /// What the API must say that the key belongs to.
        organization_id: Option<String>,
    },
}

impl Auth {
    /// Every secret that it needs.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        match self {
            Self::Kajabi(KajabiAuth::Client {
                client_id,
                client_secret,
            }) => vec![client_id, client_secret],
            Self::Kajabi(KajabiAuth::Token(token)) => vec![token],
            Self::Revere { api_key, .. } => vec![api_key],
            Self::Lotus { auth, .. } => match auth {
                LotusAuth::ApiKey(key) | LotusAuth::Token(key) => vec![key],
            },
        }
    }
}

/// How Kajabi is spoken to.
#[derive(Clone, Debug)]
pub enum KajabiAuth {
    /// OAuth client credentials.
    Client {
        /// The client's id.
        client_id: SecretRef,
        /// The client's secret.
        client_secret: SecretRef,
    },
    /// A ready token, which is not renewed.
    Token(SecretRef),
}

/// How Lotus is spoken to: one header, never both.
#[derive(Clone, Debug)]
pub enum LotusAuth {
    /// `X-API-KEY`.
    ApiKey(SecretRef),
    /// `Authorization: Token …`.
    Token(SecretRef),
}

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// At least 1.
    pub requests: u32,
    /// A second, a minute or an hour.
    pub per: Duration,
}

/// What becomes of an instalment plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentPlans {
    /// Held.
    Hold,
    /// Cancelled like a subscription; the rest of the debt is written off.
    Cancel,
}

/// When Lotus is told not to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalOff {
    /// As soon as accepted and permitted.
    AtOnce,
    /// In the window before the period's end.
    InWindow,
}

impl std::fmt::Display for RateLimit {
    /// As the file writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per = match self.per.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(f, "{}/{per}", self.requests)
    }
}

/// Caps over all providers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Writes in any rolling hour.
    pub per_hour: u64,
    /// Writes in any rolling 24 h.
    pub per_day: u64,
    /// More new items than this at once wait for an approval.
    pub approval_above: u64,
    /// More of the open items gone at once than this (and more than 5) hold as `removal`.
    pub removal_above: Share,
    /// Failures in a row at one provider that stop it.
    pub stop_after_failures: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_hour: 100,
            per_day: 500,
            approval_above: 100,
            removal_above: Share::Percent(20.0),
            stop_after_failures: 5,
        }
    }
}

/// A part of the open items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    /// Of a hundred.
    Percent(f64),
    /// That many.
    Count(u64),
}

/// Caps of one provider; what is absent does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProviderLimits {
    /// Writes in any rolling hour.
    pub per_hour: Option<u64>,
    /// Writes in any rolling 24 h.
    pub per_day: Option<u64>,
    /// More new items of this provider at once wait for an approval.
    pub approval_above: Option<u64>,
    /// More of this provider's open items gone at once hold as `removal`.
    pub removal_above: Option<Share>,
    /// Failures in a row that stop it.
    pub stop_after_failures: Option<u32>,
}

/// A time in which nothing is sent.
#[derive(Clone, Debug)]
pub struct Freeze {
    /// Its name.
    pub name: String,
    /// When.
    pub span: FreezeSpan,
    /// For whom.
    pub matcher: Match,
}

/// When a freeze holds.
#[derive(Clone, Debug)]
pub enum FreezeSpan {
    /// Whole days, both included, in `reconcile.timezone`.
    Days {
        /// The first day.
        from: NaiveDate,
        /// The last day.
        until: NaiveDate,
        /// `[first instant of from, first instant after until)`.
        starts_at: DateTime<Utc>,
        /// See `starts_at`.
        ends_at: DateTime<Utc>,
    },
    /// From each tick for so long.
    Cron {
        /// The ticks.
        schedule: Schedule,
        /// How long.
        lasts: Duration,
    },
}

impl Freeze {
    /// When it next begins, strictly after an instant.
    pub fn next_begin(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.span {
            FreezeSpan::Days { starts_at, .. } => (*starts_at > after).then_some(*starts_at),
            FreezeSpan::Cron { schedule, .. } => schedule.next_after(after),
        }
    }

    /// Until when it holds, if it holds at `now`.
    pub fn holds_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.span {
            FreezeSpan::Days {
                starts_at, ends_at, ..
            } => (*starts_at <= now && now < *ends_at).then_some(*ends_at),
            FreezeSpan::Cron { schedule, lasts } => {
                let lasts = chrono::Duration::from_std(*lasts).ok()?;
                // Ticks in (now − lasts, now]: the latest of them decides how long it still holds.
                let mut until = None;
                let mut tick = schedule.next_after(now - lasts);
                while let Some(at) = tick.filter(|at| *at <= now) {
                    until = Some(at + lasts);
                    tick = schedule.next_after(at);
                }
                until
            }
        }
    }
}

/// What a person has approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The digest that `lapsed plan` prints.
    pub plan: String,
    /// Who.
    pub by: String,
    /// May first apply until then, that day included.
    pub until: NaiveDate,
    /// Frees only the first so many.
    pub at_most: Option<u64>,
    /// A limit of their own.
    pub per_day: Option<u64>,
}

/// Which items a policy or a freeze speaks of: all conditions must hold; none given matches
/// everything.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// Globs over the provider's name; empty means any.
    pub provider: Vec<GlobMatcher>,
    /// Kinds; empty means any.
    pub kind: Vec<ProviderKind>,
    /// Globs over the id in its one spelling; empty means any.
    pub id: Vec<GlobMatcher>,
    /// Each named label must have a value that one of its globs matches.
    pub labels: BTreeMap<String, Vec<GlobMatcher>>,
}

/// What is matched.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The provider's name.
    pub provider: &'a ProviderName,
    /// Its kind.
    pub kind: ProviderKind,
    /// The subscription.
    pub id: &'a SubscriptionId,
    /// The item's labels.
    pub labels: &'a Labels,
}

impl<'a> Subject<'a> {
    /// What a matcher sees of the item of this key.
    pub const fn new(key: &'a Key, kind: ProviderKind, labels: &'a Labels) -> Self {
        Self {
            provider: &key.provider,
            kind,
            id: &key.id,
            labels,
        }
    }
}

impl Match {
    /// Whether every condition holds.
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        let any = |globs: &[GlobMatcher], text: &str| globs.iter().any(|glob| glob.is_match(text));
        self.matches_provider(subject.provider, subject.kind)
            && (self.id.is_empty() || any(&self.id, subject.id.as_str()))
            && self.labels.iter().all(|(label, globs)| {
                subject
                    .labels
                    .get(label)
                    .is_some_and(|value| any(globs, value))
            })
    }

    /// Whether the conditions on the provider hold.
    pub fn matches_provider(&self, provider: &ProviderName, kind: ProviderKind) -> bool {
        let named = |globs: &[GlobMatcher]| globs.iter().any(|it| it.is_match(provider.as_str()));
        (self.provider.is_empty() || named(&self.provider))
            && (self.kind.is_empty() || self.kind.contains(&kind))
    }

    /// Whether it speaks of whole providers only, so that no item has to be asked.
    pub fn by_provider_only(&self) -> bool {
        self.id.is_empty() && self.labels.is_empty()
    }
}
