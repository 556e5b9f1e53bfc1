//! One request as the ledger remembers it: a value, not a connection.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::planted::planted;

use super::hold::HoldReason;
use super::ids::Key;
use super::observed::Look;
use super::provider::ProviderKind;
use super::standing::{Standing, State};
use super::terms::{Place, Terms, When};

/// A request, with everything that the next pass needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The ledger's number for it.
    pub row: i64,
    /// Grows with every change; what a permit assumed is compared with it.
    pub version: i64,
    /// Which request it is.
    pub key: Key,
    /// The provider's kind.
    pub kind: ProviderKind,
    /// How it shall end.
    pub terms: Terms,
    /// Where the revision that last changed it has it.
    pub place: Place,
    /// The digest of the revision that last changed it.
    pub revision: String,
    /// Where it stands.
    pub standing: Standing,
    /// Nothing is done before this instant, so that a revision can be reverted
    /// (`wait_after_accept`).
    pub not_before: DateTime<Utc>,
    /// When it may act; unknown while its period's end is.
    pub due_at: Option<DateTime<Utc>>,
    /// Until when it can still be done in time.
    pub deadline_at: Option<DateTime<Utc>>,
    /// When a pass takes it next; none: nothing will happen by itself.
    pub wake_at: Option<DateTime<Utc>>,
    /// What was last observed.
    pub look: Option<Look>,
    /// What is known while an outcome is not.
    pub doubt: Option<Doubt>,
    /// Since when something holds it.
    pub held_since: Option<DateTime<Utc>>,
    /// What is to be said of each hold, masked where the words are a provider's.
    pub hold_details: BTreeMap<HoldReason, String>,
    /// Looks in a row that changed nothing; the next one waits twice as long.
    pub idle_looks: u32,
    /// In words, how it ended.
    pub note: Option<String>,
    /// When it was first accepted.
    pub created_at: DateTime<Utc>,
    /// When its record last grew.
    pub changed_at: DateTime<Utc>,
}

impl Request {
    /// The state that people see, gates aside.
    pub fn state(&self) -> State {
        self.standing.state()
    }

    /// Whether a look is of use although something may hold it: what waits for an approval is
    /// looked at where its time depends on it, and all else that only a revision or a person can
    /// free is not.
    pub fn may_be_read(&self) -> bool {
        let at_period_end = self.terms.when.value == When::EndOfPeriod;
        self.standing
            .holds
            .iter()
            .all(|reason| reason.from_look() || (at_period_end && *reason == HoldReason::Approval))
    }
}

/// A moment by both clocks: wall time, and the time since boot, which goes on while the
/// machine sleeps and which nobody can set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Wall time.
    pub at: DateTime<Utc>,
    /// Which boot `since_boot` counts from.
    pub boot_id: String,
    /// Since that boot.
    pub since_boot: Duration,
}

impl Witness {
    /// How long after `earlier` this is, by the clock that says the less: a wall clock that
    /// jumped forward must not shorten a wait. Over a reboot only wall time is left.
    pub fn since(&self, earlier: &Self) -> Duration {
        let wall = (self.at - earlier.at).to_std().unwrap_or_default();
        if planted!(WallClockProves, false, self.boot_id == earlier.boot_id) {
            wall.min(self.since_boot.saturating_sub(earlier.since_boot))
        } else {
            wall
        }
    }
}

/// What is known of a send whose outcome is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The last moment at which it can have been sent.
    pub send_before: Witness,
    /// Readings since.
    pub reads: u32,
    /// When the first reading since was over that found the subscription living.
    pub first_alive: Option<Witness>,
    /// `resend_after` when it was sent: a revision may lengthen the wait and never shorten it.
    #[serde(default)]
    pub resend_after: Duration,
}
