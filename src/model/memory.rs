//! What the guards look at: what is remembered of a provider, what is paused, what of the
//! limits is used, how a revision compares, and what a permit rests on.
//!
//! The ledger keeps these and `plan` judges by them, so that both name them here.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::planted::planted;

use super::hold::HoldReason;
use super::ids::ProviderName;
use super::provider::ProviderKind;
use super::terms::hex;

/// What a permit rests on; the ledger compares it in the intent's own transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assumed {
    /// The revision's number.
    pub revision: i64,
    /// [`Pauses::epoch`].
    pub pause_epoch: i64,
    /// The request's version.
    pub version: i64,
}

/// A cap on writes in a rolling time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Of whom.
    pub of: CapOf,
    /// The rolling time: an hour or a day.
    pub over: Duration,
    /// At most so many.
    pub most: u64,
}

/// Whose writes a cap counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CapOf {
    /// Of all providers together, but for what has a limit of its own.
    All,
    /// Of one provider.
    Provider(ProviderName),
    /// Of what was approved together and has a limit of its own.
    Plan(String),
}

/// What is remembered of a provider over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderMemory {
    /// The kind that it had when its account was learned.
    pub kind: Option<ProviderKind>,
    /// The account that its credentials belong to.
    pub account: Option<String>,
    /// The account that they belong to now, where it is another one.
    pub other_account: Option<String>,
    /// Where its credentials may go.
    #[serde(default)]
    pub destination: Option<Destination>,
    /// Where the file would have them go instead. Nothing is sent there until a person on the
    /// host allows it.
    #[serde(default)]
    pub elsewhere: Option<Destination>,
    /// Failures in a row, of which a settled cancellation is the end.
    pub failures: u32,
    /// Readings that failed in a row, of which a reading is the end.
    #[serde(default)]
    pub read_failures: u32,
    /// Why nothing is sent, and when one trial is made.
    pub stop: Option<Stop>,
    /// The provider asked for a pause until then.
    pub resume_at: Option<DateTime<Utc>>,
}

/// Where a provider's credentials go: its origin, and who could read them on the way there.
///
/// The file says where, and a file is what many may propose a change of; the credentials belong
/// to the host. So a destination is remembered with them, and another one waits for a person who
/// can reach the host. A certificate authority counts: with one of their own, whoever stands on
/// the way (a proxy, say) can pass for the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Scheme, host and port.
    pub origin: String,
    /// The proxy, as the file names it.
    pub proxy: Option<String>,
    /// A digest of the private certificate authority.
    pub ca: Option<String>,
}

impl Destination {
    /// Straight to an origin, trusting the usual authorities.
    fn is_plain(&self) -> bool {
        self.proxy.is_none() && self.ca.is_none()
    }

    /// Whether what is sent stays on this machine: http is allowed on loopback alone.
    fn stays_here(&self) -> bool {
        self.origin.starts_with("http://") && self.is_plain()
    }

    /// Whether it is where this kind of provider lives.
    fn is_usual_of(&self, kind: ProviderKind) -> bool {
        self.is_plain() && kind.capabilities().default_base_url == Some(self.origin.as_str())
    }

    /// What a person names to allow it for one provider: 32 hex digits.
    pub fn digest(&self, name: &ProviderName) -> String {
        let Self { origin, proxy, ca } = self;
        let mut hasher = Sha256::new();
        let parts = [
            Some("destination"),
            Some(name.as_str()),
            Some(origin.as_str()),
            proxy.as_deref(),
            ca.as_deref(),
        ];
        for part in parts {
            // Told apart from an empty one by a length that no text has.
            let length = part.map_or(u64::MAX, |part| part.len() as u64);
            hasher.update(length.to_be_bytes());
            hasher.update(part.unwrap_or_default());
        }
        hex(&hasher.finalize()[..16])
    }

    /// What keeps a provider's credentials from going there, and what allows it.
    pub fn refusal(&self, name: &ProviderName) -> String {
        format!(
            "its credentials would go to {self}, which nobody on this host has allowed; `lapsed approve {}` does",
            self.digest(name)
        )
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, proxy, ca } = self;
        f.write_str(origin)?;
        if let Some(proxy) = proxy {
            write!(f, " through the proxy {proxy}")?;
        }
        if let Some(ca) = ca {
            let short = ca.get(..16).unwrap_or(ca);
            write!(f, " trusting the certificate authority {short}…")?;
        }
        Ok(())
    }
}

/// How new a ledger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Its first revision is in force: whoever set it up is at the host, and means what the file
    /// says.
    First,
    /// Anything later: the file may say what its reviewers overlooked.
    Later,
}

/// No pause that a provider asks for is longer (design, section 6, step 5), and no trial waits
/// longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

impl ProviderMemory {
    /// Whether this provider's credentials may go there: where they went before, where its kind
    /// lives, to this machine from this machine, and anywhere at first.
    ///
    /// A memory with an account and without a destination was made by a version that remembered
    /// none.
    pub fn allows(&self, destination: &Destination, kind: ProviderKind, age: Age) -> bool {
        if destination.is_usual_of(kind) {
            return true;
        }
        match &self.destination {
            Some(known) => known == destination || (known.stays_here() && destination.stays_here()),
            None => age == Age::First || self.account.is_some() || destination.stays_here(),
        }
    }

    /// Until when the provider asked for a pause. One that lies further ahead than any pause
    /// was noted by a clock that was wrong.
    pub fn pause_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.resume_at
            .filter(|until| *until > now && *until <= now + LONGEST_WAIT)
    }
}

impl Stop {
    /// Whether one trial may be made. One that lies further ahead than any trial was noted by a
    /// clock that was wrong.
    pub fn trial_is_due(&self, now: DateTime<Utc>) -> bool {
        self.trial_at <= now || self.trial_at > now + LONGEST_WAIT
    }
}

/// Why a provider is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// `credentials` or `provider_stopped`.
    pub reason: HoldReason,
    /// In words of ours.
    pub why: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When one trial is made.
    pub trial_at: DateTime<Utc>,
    /// Trials that failed.
    pub trials: u32,
    /// Whether writes failed: then a reading alone does not show that it works again.
    #[serde(default)]
    pub of_writes: bool,
}

/// What is paused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// Raised by every pause and resume.
    pub epoch: i64,
    /// Everything, by whom and why.
    pub all: Option<Pause>,
    /// Single providers.
    pub providers: BTreeMap<ProviderName, Pause>,
}

impl Pauses {
    /// The pause that covers a provider.
    pub fn of(&self, provider: &ProviderName) -> Option<&Pause> {
        let pause = self.all.as_ref().or_else(|| self.providers.get(provider));
        planted!(PauseIgnored, None, pause)
    }
}

/// A pause for the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Since when.
    pub since: DateTime<Utc>,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What of the rolling limits is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// By provider: writes in the last hour.
    pub hour: BTreeMap<ProviderName, u64>,
    /// By provider: writes in the last 24 h.
    pub day: BTreeMap<ProviderName, u64>,
    /// Of all, but for what has a limit of its own: writes in the last hour.
    pub common_hour: u64,
    /// The same in the last 24 h.
    pub common_day: u64,
    /// By plan that has a limit of its own: writes in the last 24 h.
    pub plans: BTreeMap<String, u64>,
}

/// How items compare with what is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// By provider: not remembered, or withdrawn and back.
    pub new: BTreeMap<ProviderName, u64>,
    /// By provider: new, back, or such that they may act earlier or harsher than before. What
    /// is counted over a rolling day.
    #[serde(default)]
    pub sooner: BTreeMap<ProviderName, u64>,
    /// On other terms than before.
    pub changed: u64,
    /// On the same terms.
    pub same: u64,
    /// Finished before; nothing will follow.
    pub finished: u64,
    /// By provider: unfinished and still asked for.
    pub kept: BTreeMap<ProviderName, u64>,
}

impl Comparison {
    /// Items that were compared.
    pub fn items(&self) -> u64 {
        self.new.values().sum::<u64>() + self.changed + self.same + self.finished
    }

    /// Adds another batch.
    pub fn add(&mut self, other: Self) {
        let Self {
            new,
            sooner,
            changed,
            same,
            finished,
            kept,
        } = other;
        for (name, count) in new {
            *self.new.entry(name).or_default() += count;
        }
        for (name, count) in sooner {
            *self.sooner.entry(name).or_default() += count;
        }
        for (name, count) in kept {
            *self.kept.entry(name).or_default() += count;
        }
        self.changed += changed;
        self.same += same;
        self.finished += finished;
    }
}

/// What the guards said of a revision, judged once and stored with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Providers whose new, earlier and harsher items wait for an approval.
    pub approval: Vec<ProviderName>,
    /// Providers whose vanished items are held as `removal`.
    pub removal: Vec<ProviderName>,
    /// How many were new, changed, unchanged and gone.
    pub counts: Comparison,
}

impl Verdict {
    /// By provider: what it let through without asking anybody.
    pub fn let_through(&self) -> BTreeMap<ProviderName, u64> {
        let mut through = self.counts.sooner.clone();
        through.retain(|name, _| !self.approval.contains(name));
        through
    }
}
