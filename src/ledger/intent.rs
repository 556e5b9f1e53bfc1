//! The permission to send one write, made only by a ledger that has journaled it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::model::act::Action;
use crate::model::ids::Key;
use crate::planted::planted;

/// A journaled attempt: the one thing that allows a call to change the world.
///
/// Its fields are private and its constructor is the ledger's, so that no other room can
/// forge one. It cannot be cloned: one intent, one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Intent {
    row: i64,
    key: Key,
    attempt: u32,
    action: Action,
    last_moment: LastMoment,
}

/// The last moment at which an intent's request may go out, by both clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastMoment {
    at: DateTime<Utc>,
    since_boot: Duration,
    boot_id: String,
}

impl LastMoment {
    /// Whether it is ahead by wall time and by the time since boot, which goes on while the
    /// machine sleeps.
    pub fn is_ahead(&self, now: DateTime<Utc>, boot_id: &str, since_boot: Duration) -> bool {
        let ahead = now < self.at && boot_id == self.boot_id && since_boot < self.since_boot;
        planted!(SendBeforeIgnored, true, ahead)
    }
}

impl Intent {
    /// Only the ledger, once the attempt is durable.
    pub(in crate::ledger) fn journaled(journaled: Journaled) -> Self {
        let Journaled {
            row,
            key,
            attempt,
            action,
            send_before,
            send_before_boot,
            boot_id,
        } = journaled;
        Self {
            row,
            key,
            attempt,
            action,
            last_moment: LastMoment {
                at: send_before,
                since_boot: send_before_boot,
                boot_id,
            },
        }
    }

    /// The row of the ledger.
    pub const fn row(&self) -> i64 {
        self.row
    }

    /// Which request.
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Counted from 1.
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What is to be sent.
    pub const fn action(&self) -> &Action {
        &self.action
    }

    /// After this instant nothing may be sent.
    pub const fn send_before(&self) -> DateTime<Utc> {
        self.last_moment.at
    }

    /// The same by both clocks.
    pub const fn last_moment(&self) -> &LastMoment {
        &self.last_moment
    }

    /// Whether both clocks still allow to send: wall time, and the time since boot, which
    /// goes on while the machine sleeps.
    pub fn still_valid(&self, now: DateTime<Utc>, boot_id: &str, since_boot: Duration) -> bool {
        self.last_moment.is_ahead(now, boot_id, since_boot)
    }
}

/// What the ledger has journaled, by name.
pub(in crate::ledger) struct Journaled {
    pub row: i64,
    pub key: Key,
    pub attempt: u32,
    pub action: Action,
    pub send_before: DateTime<Utc>,
    pub send_before_boot: Duration,
    pub boot_id: String,
}
