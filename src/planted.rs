//! Faults that the tests switch on, one at a time, to see that something notices.
//!
//! A proof that nothing can fail is none: each [`Fault`] breaks one rule, and a run of the
//! simulation in which one survives fails. They exist only where the feature `planted` is on,
//! which nothing that is shipped has; without it [`planted!`](crate::planted) is the sound
//! expression and nothing else.

/// The sound expression; where the fault is switched on, the other one.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($fault:ident, $unsound:expr, $sound:expr $(,)?) => {
        if $crate::planted::is($crate::planted::Fault::$fault) {
            $unsound
        } else {
            $sound
        }
    };
}

/// The sound expression.
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($fault:ident, $unsound:expr, $sound:expr $(,)?) => {
        $sound
    };
}

pub(crate) use planted;

#[cfg(feature = "planted")]
pub use self::switch::{Fault, is, plant};

#[cfg(feature = "planted")]
mod switch {
    use std::cell::Cell;

    macro_rules! faults {
        ($($(#[$doc:meta])* $fault:ident,)*) => {
            /// One rule that is broken.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Fault {
                $($(#[$doc])* $fault,)*
            }

            impl Fault {
                /// All of them.
                pub const ALL: &[Self] = &[$(Self::$fault),*];
            }
        };
    }

    faults! {
        /// What has no answer is sent again at once.
        RetryBlindly,
        /// One reading that finds it living proves that nothing happened.
        OneReadingProves,
        /// A lost request is thought dead as soon as it is sent.
        NothingComesLate,
        /// A success is believed without reading it back.
        SuccessIsBelieved,
        /// A 5xx is taken for a refusal.
        ServerErrorIsRefusal,
        /// An id that is not found is taken for canceled.
        NotFoundIsCanceled,
        /// Another customer's subscription is taken for the expected one.
        ExpectationIgnored,
        /// Lotus decides by itself how usage and fees are billed.
        BehaviorsLeftOut,
        /// A purchase that was deactivated is taken for one that is not billed.
        DeactivatedIsProof,
        /// Due is what is due in this very instant.
        DueByEquality,
        /// What is due within a day is due.
        DueADayEarly,
        /// A removed line goes on.
        RemovedGoesOn,
        /// However many are removed, they are withdrawn.
        RemovalGuardOff,
        /// However many are new, they may go.
        ApprovalGuardOff,
        /// What was used of the limits is forgotten at a start.
        LimitsForgotten,
        /// One more than a limit is let through.
        LimitPlusOne,
        /// The intent does not ask whether its permit still holds.
        PermitNotChecked,
        /// A request is sent however late.
        SendBeforeIgnored,
        /// The commit's failure is not told.
        CommitFailureHidden,
        /// A commit is answered before it is durable.
        NotSynced,
        /// `Retry-After` is not kept.
        RetryAfterIgnored,
        /// The rate limit lets everything pass.
        RateIgnored,
        /// A pause is not heard of.
        PauseIgnored,
        /// A freeze is not looked up.
        FreezeIgnored,
        /// In observe mode it acts.
        ObserveActs,
        /// A refused key stands in the error.
        SecretInError,
        /// A provider's words are kept as they came.
        WordsUnmasked,
        /// A renewal's record is not looked for.
        SuccessorIgnored,
        /// A ledger put back from a copy is taken for the newest.
        MarkIgnored,
        /// What a dead process left as sending is planned afresh.
        InterruptedIsUnsent,
        /// It is tried for ever.
        TriedForEver,
        /// A window is open at once.
        WindowIgnored,
        /// A text that lost its end mark is whole.
        EndMarkIgnored,
        /// Counters begin at nothing at each start.
        CountersForgotten,
        /// A body is read however long.
        BodyUnbounded,
        /// An answer about another subscription is about this one.
        OtherObjectTaken,
        /// A provider's clock that differs is not noticed.
        SkewIgnored,
        /// A reading of long ago is good enough to act on.
        OldLookTaken,
        /// An answer to a reading counts however long a stopped process has left it lying.
        OldAnswerTaken,
        /// What a clock that was ahead has put off waits until it has caught up.
        SetBackIgnored,
        /// What a reading waits for its turn counts as time between it and the next one.
        WaitingProves,
        /// A wall clock that jumps shortens a wait.
        WallClockProves,
    }

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Switches one on for this thread, or all off.
    pub fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }

    /// Whether it is on.
    pub fn is(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }
}
