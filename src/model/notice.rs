//! What people are told without asking: one notice for each thing that happened or stands still.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::Key;

/// What a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The provider refuses for good.
    Failed,
    /// Found deactivated at Kajabi, which does not say whether the payments have stopped.
    BillingNotConfirmed,
    /// A window before a period's end closed before the cancel: one more period is billed.
    Missed,
    /// It should have ended, and something that a person can cure holds it.
    HeldPastDeadline,
    /// What became of a request that was sent is unknown for long.
    UnknownStuck,
    /// Something waits for an approval.
    ApprovalWaiting,
    /// The newest text of the files is not valid; the revision before stays in force.
    FileRejected,
    /// How things stand, once a day.
    Digest,
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Failed,
        Self::BillingNotConfirmed,
        Self::Missed,
        Self::HeldPastDeadline,
        Self::UnknownStuck,
        Self::ApprovalWaiting,
        Self::FileRejected,
        Self::Digest,
    ];

    /// The word in the file and in what is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::BillingNotConfirmed => "billing_not_confirmed",
            Self::Missed => "missed",
            Self::HeldPastDeadline => "held_past_deadline",
            Self::UnknownStuck => "unknown_stuck",
            Self::ApprovalWaiting => "approval_waiting",
            Self::FileRejected => "file_rejected",
            Self::Digest => "digest",
        }
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The same for the same thing, whoever comes upon it and however often: it is told once.
    pub id: String,
    /// What it tells.
    pub kind: NoticeKind,
    /// When that happened.
    pub at: DateTime<Utc>,
    /// Which request it is about, if about one.
    pub about: Option<Key>,
    /// In words, for a person.
    pub text: String,
    /// The same for a program.
    pub facts: Value,
}
