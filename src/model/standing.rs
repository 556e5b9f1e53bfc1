//! Where one cancellation stands: the fold of its events, and the one function that moves it.
//!
//! A row of the ledger only caches what [`Standing::after`] gives; `history --verify` folds
//! again and compares. A transition that is not written here is refused.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::act::{Action, Answer};
use super::hold::HoldReason;
use super::observed::{Look, Observed};

/// In the note of what was found deactivated at Kajabi, which says nothing of the payments
/// (design, section 5, step 6).
pub const BILLING_NOT_CONFIRMED: &str = "billing not confirmed";

/// The state that people see (design, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted; acts at `due_at`.
    Scheduled,
    /// May not act now.
    Held,
    /// The intent is journaled; a request may be in flight.
    Sending,
    /// Sent, outcome not known; only reading may follow.
    Unknown,
    /// Known not to have happened; tries again.
    Retrying,
    /// The provider has accepted an end at period end.
    Ending,
    /// Removed from the file before anything took effect.
    Withdrawn,
    /// Read back as ended, by us.
    Canceled,
    /// Found ended, not by us.
    AlreadyCanceled,
    /// The provider refuses for good.
    Failed,
    /// The window went by, and a person is asked.
    Missed,
}

impl State {
    /// Every state, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::Scheduled,
        Self::Held,
        Self::Sending,
        Self::Unknown,
        Self::Retrying,
        Self::Ending,
        Self::Withdrawn,
        Self::Canceled,
        Self::AlreadyCanceled,
        Self::Failed,
        Self::Missed,
    ];

    /// The word in output, metrics and the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Held => "held",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Retrying => "retrying",
            Self::Ending => "ending",
            Self::Withdrawn => "withdrawn",
            Self::Canceled => "canceled",
            Self::AlreadyCanceled => "already_canceled",
            Self::Failed => "failed",
            Self::Missed => "missed",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// Whether nothing more will happen by itself.
    pub const fn finished(self) -> bool {
        matches!(
            self,
            Self::Canceled | Self::AlreadyCanceled | Self::Failed | Self::Missed
        )
    }

    /// Whether the file still waits for it.
    pub const fn open(self) -> bool {
        !self.finished() && !matches!(self, Self::Withdrawn)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// Ended, by us.
    Canceled,
    /// Found ended, not by us.
    AlreadyCanceled,
    /// The provider refuses for good.
    Failed,
    /// The window went by.
    Missed,
}

impl Settlement {
    /// The state that it leads to.
    pub const fn state(self) -> State {
        match self {
            Self::Canceled => State::Canceled,
            Self::AlreadyCanceled => State::AlreadyCanceled,
            Self::Failed => State::Failed,
            Self::Missed => State::Missed,
        }
    }
}

/// One thing that happened to a request. The record is made of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A revision asks for it for the first time.
    Accepted {
        /// The revision's digest.
        revision: String,
        /// [`super::terms::Terms::digest`].
        terms: String,
        /// `file:line`.
        origin: String,
        /// What holds it from the start (`approval`).
        holds: BTreeSet<HoldReason>,
    },
    /// A revision asks for it on other terms.
    Replanned {
        /// The revision's digest.
        revision: String,
        /// The new terms' digest.
        terms: String,
        /// `file:line`.
        origin: String,
        /// What holds it from now on.
        holds: BTreeSet<HoldReason>,
    },
    /// A revision changed the terms of what was sent already.
    TooLate {
        /// The revision's digest.
        revision: String,
    },
    /// A revision does not ask for it any more.
    Withdrawn {
        /// The revision's digest.
        revision: String,
    },
    /// A revision asks again for what was withdrawn.
    Revived {
        /// The revision's digest.
        revision: String,
        /// The terms' digest.
        terms: String,
        /// `file:line`.
        origin: String,
        /// What holds it from now on.
        holds: BTreeSet<HoldReason>,
    },
    /// It may not act now.
    Held {
        /// Why.
        reason: HoldReason,
        /// In words, masked where they are a provider's.
        detail: String,
    },
    /// That reason is gone.
    Freed {
        /// Which.
        reason: HoldReason,
    },
    /// The intent to send is durable; from here on something may be in flight.
    Intended {
        /// Counted from 1.
        attempt: u32,
        /// What will be sent.
        action: Action,
        /// After this instant it must not be sent any more.
        send_before: DateTime<Utc>,
        /// The reading that it rests on.
        look: Look,
    },
    /// Something came back, or nothing did.
    Answered {
        /// The attempt.
        attempt: u32,
        /// What came.
        answer: Answer,
    },
    /// The process that was sending is gone.
    Interrupted {
        /// The attempt.
        attempt: u32,
    },
    /// It is known that the attempt had no effect and can have none any more.
    ProvenNotDone {
        /// The attempt.
        attempt: u32,
        /// Whether it counts towards the most that are made.
        counts: bool,
        /// How that is known.
        because: String,
    },
    /// The provider has accepted an end at period end.
    EndingBegan {
        /// When it will have ended.
        at: DateTime<Utc>,
    },
    /// Its renewal was turned on again, by somebody else: it will not end.
    EndingUndone {
        /// How that is known.
        because: String,
    },
    /// The window before a period's end closed before it could be cancelled.
    WindowMissed {
        /// When it closed.
        closed_at: DateTime<Utc>,
    },
    /// The same in observe mode, where nothing was to be sent.
    WindowPassed {
        /// When it closed.
        closed_at: DateTime<Utc>,
    },
    /// A person approved it on these terms.
    Approved {
        /// The digest that was approved.
        plan: String,
        /// Who.
        by: String,
        /// The revision whose file says so; none: `lapsed approve`.
        revision: Option<String>,
        /// Why, as far as a command says so.
        #[serde(default)]
        reason: Option<String>,
    },
    /// It has ended, one way or the other.
    Settled {
        /// How.
        as_: Settlement,
        /// The reading that shows it.
        look: Option<Look>,
        /// In words; [`BILLING_NOT_CONFIRMED`] among them where that is so.
        note: String,
    },
    /// A person asked to plan afresh what had failed or was missed.
    Retried {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

impl Event {
    /// Whether it settles what was found deactivated at Kajabi, of which nobody knows whether the
    /// payments have stopped.
    pub fn leaves_billing_open(&self) -> bool {
        matches!(self, Self::Settled { as_, note, .. }
            if *as_ != Settlement::Failed && note.ends_with(BILLING_NOT_CONFIRMED))
    }

    /// The word for its kind in the record.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Replanned { .. } => "replanned",
            Self::TooLate { .. } => "too_late",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Revived { .. } => "revived",
            Self::Held { .. } => "held",
            Self::Freed { .. } => "freed",
            Self::Intended { .. } => "intended",
            Self::Answered { .. } => "answered",
            Self::Interrupted { .. } => "interrupted",
            Self::ProvenNotDone { .. } => "proven_not_done",
            Self::EndingBegan { .. } => "ending_began",
            Self::EndingUndone { .. } => "ending_undone",
            Self::WindowMissed { .. } => "window_missed",
            Self::WindowPassed { .. } => "window_passed",
            Self::Approved { .. } => "approved",
            Self::Settled { .. } => "settled",
            Self::Retried { .. } => "retried",
        }
    }
}

/// How far a request has come, holds aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing is in flight, and nothing was sent whose outcome is not known.
    Waiting,
    /// The same, after an attempt that is known to have had no effect.
    Retrying,
    /// An intent is journaled.
    Sending,
    /// Sent; the outcome is not known.
    Unknown,
    /// The provider has accepted an end at period end.
    Ending,
    /// Not asked for any more.
    Withdrawn,
    /// Ended.
    Settled(Settlement),
}

/// Where one request stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// How far it has come.
    pub phase: Phase,
    /// Whether the accepted revision asks for it.
    pub wanted: bool,
    /// What holds it, gates aside.
    pub holds: BTreeSet<HoldReason>,
    /// Attempts begun.
    pub attempts: u32,
    /// Attempts that count towards the most that are made.
    pub counted: u32,
    /// Whether an earlier attempt, sent while the subscription lived, may have had an effect.
    pub sent_while_alive: bool,
    /// Whether the subscription lived in the reading before the open attempt.
    pub open_alive: bool,
    /// Whether the one confirming cancel (Kajabi) may have been sent.
    pub confirmed: bool,
    /// What the open or last attempt does.
    pub action: Option<Action>,
    /// What came back from the open or last attempt.
    pub answer: Option<Answer>,
    /// When the last window closed that went by without a cancel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<DateTime<Utc>>,
    /// Whether one went by while it should have been cancelled (and not in observe mode).
    #[serde(default, skip_serializing_if = "is_false")]
    pub late: bool,
    /// The plan with which its terms were approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// An event that cannot follow where the request stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{event}` cannot follow in phase {phase}")]
pub struct IllegalTransition {
    /// The kind of the event.
    pub event: &'static str,
    /// Where the request stood.
    pub phase: String,
}

impl Standing {
    /// The standing that an [`Event::Accepted`] begins.
    fn begun(holds: BTreeSet<HoldReason>) -> Self {
        Self {
            phase: Phase::Waiting,
            wanted: true,
            holds,
            attempts: 0,
            counted: 0,
            sent_while_alive: false,
            open_alive: false,
            confirmed: false,
            action: None,
            answer: None,
            missed: None,
            late: false,
            approved: None,
        }
    }

    /// The first standing: only acceptance begins one.
    pub fn first(event: &Event) -> Result<Self, IllegalTransition> {
        match event {
            Event::Accepted { holds, .. } => Ok(Self::begun(holds.clone())),
            other => Err(IllegalTransition {
                event: other.kind(),
                phase: "none".to_owned(),
            }),
        }
    }

    /// Folds a whole history.
    pub fn fold<'e>(
        events: impl IntoIterator<Item = &'e Event>,
    ) -> Result<Option<Self>, IllegalTransition> {
        let mut standing: Option<Self> = None;
        for event in events {
            standing = Some(match standing {
                None => Self::first(event)?,
                Some(before) => before.after(event)?,
            });
        }
        Ok(standing)
    }

    /// The state that people see.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Waiting | Phase::Retrying | Phase::Unknown | Phase::Ending
                if !self.holds.is_empty() =>
            {
                State::Held
            }
            Phase::Waiting => State::Scheduled,
            Phase::Retrying => State::Retrying,
            Phase::Sending => State::Sending,
            Phase::Unknown => State::Unknown,
            Phase::Ending => State::Ending,
            Phase::Withdrawn => State::Withdrawn,
            Phase::Settled(settlement) => settlement.state(),
        }
    }

    /// Whether nothing is in flight and a send could follow once nothing holds it.
    pub const fn plannable(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Retrying)
    }

    /// Whether something was sent whose outcome is to be read.
    pub const fn in_doubt(&self) -> bool {
        matches!(self.phase, Phase::Sending | Phase::Unknown)
    }

    /// Whether an end that is found now is our doing: a send that was journaled while the
    /// subscription lived may have had an effect (design, section 6, step 6).
    pub const fn ours(&self) -> bool {
        self.sent_while_alive || (self.open_alive && !self.open_had_no_effect())
    }

    /// Whether the answer to the open attempt rules out that it ended anything.
    const fn open_had_no_effect(&self) -> bool {
        matches!(
            self.answer,
            Some(Answer::Refused { .. } | Answer::NotSent { .. })
        )
    }

    /// Where it stands after one more event. The only function that moves a state.
    pub fn after(&self, event: &Event) -> Result<Self, IllegalTransition> {
        let mut next = self.clone();
        match (self.phase, event) {
            (Phase::Waiting | Phase::Retrying, Event::Replanned { holds, .. }) => {
                // Other terms are no retry of what was tried: they wait for a tick.
                next.phase = Phase::Waiting;
                next.holds.clone_from(holds);
                next.begin_anew();
            }
            (Phase::Sending | Phase::Unknown | Phase::Ending, Event::TooLate { .. }) => {}
            (Phase::Waiting | Phase::Retrying, Event::Withdrawn { .. }) => {
                next.phase = Phase::Withdrawn;
                next.wanted = false;
                next.holds.clear();
            }
            (Phase::Sending | Phase::Unknown | Phase::Ending, Event::Withdrawn { .. }) => {
                next.wanted = false;
            }
            (Phase::Withdrawn, Event::Revived { holds, .. }) => {
                next.phase = Phase::Waiting;
                next.wanted = true;
                next.holds.clone_from(holds);
                next.begin_anew();
            }
            (Phase::Sending | Phase::Unknown | Phase::Ending, Event::Revived { .. }) => {
                next.wanted = true;
            }
            (Phase::Waiting | Phase::Retrying, Event::Held { reason, .. }) if !reason.is_gate() => {
                next.holds.insert(*reason);
            }
            (
                Phase::Unknown,
                Event::Held {
                    reason: HoldReason::Successor,
                    ..
                },
            ) => {
                next.holds.insert(HoldReason::Successor);
            }
            // What is watched may turn out to go on, or to be found no more.
            (Phase::Ending, Event::Held { reason, .. }) if reason.from_look() => {
                next.holds.insert(*reason);
            }
            (
                Phase::Waiting | Phase::Retrying | Phase::Unknown | Phase::Ending,
                Event::Freed { reason },
            ) => {
                next.holds.remove(reason);
            }
            (Phase::Waiting | Phase::Retrying, Event::Approved { plan, .. }) => {
                next.holds.remove(&HoldReason::Approval);
                next.approved = Some(plan.clone());
            }
            (Phase::Waiting | Phase::Retrying, Event::WindowMissed { closed_at }) => {
                next.phase = Phase::Waiting;
                next.missed = Some(*closed_at);
                next.late = true;
            }
            (Phase::Waiting | Phase::Retrying, Event::WindowPassed { closed_at }) => {
                next.phase = Phase::Waiting;
                next.missed = Some(*closed_at);
            }
            (
                Phase::Waiting | Phase::Retrying,
                Event::Intended {
                    attempt,
                    action,
                    look,
                    ..
                },
            ) if self.wanted && self.holds.is_empty() && *attempt == self.attempts + 1 => {
                if matches!(action, Action::ConfirmCancel) && self.confirmed {
                    return Err(self.refuses(event));
                }
                next.phase = Phase::Sending;
                next.attempts = *attempt;
                next.counted += 1;
                next.action = Some(action.clone());
                next.answer = None;
                next.confirmed |= matches!(action, Action::ConfirmCancel);
                next.open_alive = matches!(
                    &look.observed,
                    Observed::Found(found) if found.lives()
                );
            }
            (Phase::Sending, Event::Answered { attempt, answer }) if *attempt == self.attempts => {
                next.phase = Phase::Unknown;
                next.answer = Some(answer.clone());
            }
            (Phase::Sending, Event::Interrupted { attempt }) if *attempt == self.attempts => {
                next.phase = Phase::Unknown;
            }
            (
                Phase::Unknown,
                Event::ProvenNotDone {
                    attempt, counts, ..
                },
            ) if *attempt == self.attempts => {
                next.take_back(*counts);
            }
            (Phase::Unknown, Event::EndingBegan { .. }) => next.begin_ending(),
            // An attempt that was given up as without effect had one after all.
            (Phase::Waiting | Phase::Retrying, Event::EndingBegan { .. })
                if self.sent_while_alive =>
            {
                next.begin_ending();
            }
            (Phase::Ending, Event::EndingUndone { .. }) => next.undo_ending(),
            // A window can only be missed while nothing was sent.
            (Phase::Unknown | Phase::Ending, Event::Settled { as_, .. })
                if !matches!(as_, Settlement::Missed) =>
            {
                next.settle(*as_);
            }
            (Phase::Waiting | Phase::Retrying, Event::Settled { as_, .. })
                if !matches!(as_, Settlement::Canceled) || self.sent_while_alive =>
            {
                next.settle(*as_);
            }
            (Phase::Settled(Settlement::Failed | Settlement::Missed), Event::Retried { .. }) => {
                // The ledger retries only what the file asks for, also where the line was
                // gone when it failed.
                next.phase = Phase::Waiting;
                next.wanted = true;
                next.counted = 0;
                next.late = false;
            }
            _ => return Err(self.refuses(event)),
        }
        Ok(next)
    }

    fn refuses(&self, event: &Event) -> IllegalTransition {
        IllegalTransition {
            event: event.kind(),
            phase: format!("{:?}", self.phase),
        }
    }

    /// Other terms: what was missed or approved on those before does not count for them.
    fn begin_anew(&mut self) {
        self.missed = None;
        self.late = false;
        self.approved = None;
    }

    fn begin_ending(&mut self) {
        self.phase = Phase::Ending;
        self.holds.clear();
    }

    /// Nobody is cancelled twice for one request: what was wanted is left to a person.
    fn undo_ending(&mut self) {
        self.holds.clear();
        self.phase = if self.wanted {
            Phase::Settled(Settlement::Failed)
        } else {
            Phase::Withdrawn
        };
        self.sent_while_alive = false;
        self.open_alive = false;
    }

    /// What nobody had approved when it was missed is not approved by being tried again.
    fn settle(&mut self, as_: Settlement) {
        self.phase = Phase::Settled(as_);
        self.holds
            .retain(|it| as_ == Settlement::Missed && *it == HoldReason::Approval);
    }

    /// The open attempt is known to have had no effect.
    fn take_back(&mut self, counts: bool) {
        self.sent_while_alive = self.ours();
        self.open_alive = false;
        if !counts {
            self.counted = self.counted.saturating_sub(1);
        }
        if self.answer.as_ref().is_some_and(Answer::surely_not_done)
            && matches!(self.action, Some(Action::ConfirmCancel))
        {
            self.confirmed = false;
        }
        self.holds.clear();
        self.phase = if self.wanted {
            Phase::Retrying
        } else {
            Phase::Withdrawn
        };
    }
}
