//! What the outcomes of requests say of a provider: when it is stopped, and when it is tried
//! again.
//!
//! `stop_after_failures` in a row stop a provider; credentials that are not accepted stop it
//! at once. Either reopens by one trial with backoff (design, section 5).

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::model::act::Answer;
use crate::model::hold::HoldReason;
use crate::model::memory::{ProviderMemory, Stop};

use super::backoff;
use super::guard::MOST_SKEW;

/// What one request showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A reading came back; the provider's clock was so many seconds ahead.
    Read {
        /// None: no `Date` was told.
        skew: Option<i64>,
    },
    /// A reading failed.
    ReadFailed {
        /// In words of ours.
        why: String,
    },
    /// The credentials are missing or not accepted.
    Credentials {
        /// In words of ours.
        why: String,
        /// Whether reading works with them.
        of_writes: bool,
    },
    /// The provider asked for a pause.
    Throttled {
        /// How long.
        retry_after: Duration,
    },
    /// A write was accepted.
    Wrote,
    /// A write was refused, or nothing is known of it.
    WriteFailed {
        /// In words of ours.
        why: String,
    },
    /// A cancellation was settled as done.
    Done,
}

impl Sign {
    /// What an answer to a write shows.
    pub fn of(answer: &Answer) -> Option<Self> {
        match answer {
            Answer::Accepted => Some(Self::Wrote),
            Answer::Refused { status, .. } => Some(Self::WriteFailed {
                why: format!("cancels are refused with {status}"),
            }),
            Answer::Throttled { retry_after } | Answer::Unavailable { retry_after } => {
                Some(Self::Throttled {
                    retry_after: *retry_after,
                })
            }
            Answer::Forbidden => Some(Self::Credentials {
                why: "the credentials may not cancel (403)".to_owned(),
                of_writes: true,
            }),
            Answer::Unclear { why } => Some(Self::WriteFailed { why: why.clone() }),
            // Perhaps the face of an outage (Lotus): one trial later shows it.
            Answer::Unauthorized => Some(Self::Credentials {
                why: "a cancel was answered 401".to_owned(),
                of_writes: true,
            }),
            Answer::NotSent { .. } => None,
        }
    }
}

/// The memory of a provider after one more sign.
pub fn after(
    memory: &ProviderMemory,
    sign: &Sign,
    now: DateTime<Utc>,
    stop_after_failures: u32,
) -> ProviderMemory {
    let mut next = memory.clone();
    match sign {
        Sign::Read { skew: Some(skew) } if skew.abs() > MOST_SKEW => {
            let why = format!("the provider's clock differs from ours by {skew} s");
            next.stop = Some(stopped(memory, HoldReason::ClockSkew, why, false, now));
        }
        Sign::Read { .. } => {
            next.read_failures = 0;
            next.stop = next.stop.filter(|stop| stop.of_writes);
        }
        Sign::ReadFailed { why } => {
            next.read_failures += 1;
            if next.read_failures >= stop_after_failures || memory.stop.is_some() {
                let why = format!("{} readings in a row failed: {why}", next.read_failures);
                // What writes have closed, only a write opens.
                let of_writes = memory.stop.as_ref().is_some_and(|stop| stop.of_writes);
                let reason = HoldReason::ProviderStopped;
                next.stop = Some(stopped(memory, reason, why, of_writes, now));
            }
        }
        Sign::Credentials { why, of_writes } => {
            let reason = HoldReason::Credentials;
            next.stop = Some(stopped(memory, reason, why.clone(), *of_writes, now));
        }
        Sign::Throttled { retry_after } => {
            let until = now + *retry_after;
            let so_far = memory.pause_until(now);
            next.resume_at = Some(so_far.map_or(until, |so_far| so_far.max(until)));
        }
        Sign::Wrote => next.stop = None,
        Sign::WriteFailed { why } => {
            next.failures += 1;
            if next.failures >= stop_after_failures || memory.stop.is_some() {
                let why = format!("{} cancels in a row failed: {why}", next.failures);
                next.stop = Some(stopped(memory, HoldReason::ProviderStopped, why, true, now));
            }
        }
        Sign::Done => {
            next.failures = 0;
            next.stop = None;
        }
    }
    next.resume_at = next.pause_until(now);
    next
}

fn stopped(
    memory: &ProviderMemory,
    reason: HoldReason,
    why: String,
    of_writes: bool,
    now: DateTime<Utc>,
) -> Stop {
    let before = memory.stop.as_ref().filter(|stop| stop.reason == reason);
    // What was in flight when the provider was stopped is no failed trial.
    if let Some(before) = before.filter(|stop| !stop.trial_is_due(now)) {
        return before.clone();
    }
    let trials = before.map_or(0, |stop| stop.trials + 1);
    Stop {
        reason,
        why,
        since: before.map_or(now, |stop| stop.since),
        trial_at: now + backoff::trial(trials),
        trials,
        of_writes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn read_failed() -> Sign {
        Sign::ReadFailed {
            why: "no answer".to_owned(),
        }
    }

    #[test]
    fn failures_in_a_row_stop_a_provider_and_one_trial_reopens_it() {
        let mut memory = ProviderMemory::default();
        for _ in 0..4 {
            memory = after(&memory, &read_failed(), at(0), 5);
        }
        assert_eq!(memory.stop, None);
        memory = after(&memory, &read_failed(), at(0), 5);
        assert_eq!(memory.stop.as_ref().unwrap().trial_at, at(30));
        // A trial that fails waits longer for the next one.
        memory = after(&memory, &read_failed(), at(30), 5);
        assert_eq!(memory.stop.as_ref().unwrap().trial_at, at(90));
        memory = after(&memory, &Sign::Read { skew: None }, at(90), 5);
        assert_eq!(memory.stop, None);
    }

    #[test]
    fn a_reading_does_not_reopen_what_writes_have_closed() {
        let forbidden = Sign::of(&Answer::Forbidden).unwrap();
        let memory = after(&ProviderMemory::default(), &forbidden, at(0), 5);
        let read = after(&memory, &Sign::Read { skew: None }, at(40), 5);
        assert_eq!(read.stop, memory.stop);
        assert_eq!(after(&read, &Sign::Wrote, at(41), 5).stop, None);
    }

    #[test]
    fn a_reading_that_fails_in_between_does_not_reopen_what_writes_have_closed() {
        let forbidden = Sign::of(&Answer::Forbidden).unwrap();
        let memory = after(&ProviderMemory::default(), &forbidden, at(0), 5);
        let memory = after(&memory, &read_failed(), at(40), 5);
        let read = after(&memory, &Sign::Read { skew: Some(0) }, at(200), 5);
        assert!(read.stop.is_some());
        assert_eq!(after(&read, &Sign::Wrote, at(201), 5).stop, None);
    }

    #[test]
    fn readings_between_failed_writes_do_not_hide_them() {
        let unclear = Sign::WriteFailed {
            why: "500".to_owned(),
        };
        let mut memory = ProviderMemory::default();
        for _ in 0..5 {
            memory = after(&memory, &Sign::Read { skew: None }, at(0), 5);
            memory = after(&memory, &unclear, at(0), 5);
        }
        assert_eq!(memory.stop.unwrap().reason, HoldReason::ProviderStopped);
    }

    #[test]
    fn a_pause_that_was_asked_for_only_grows() {
        let throttled = |seconds| Sign::Throttled {
            retry_after: Duration::from_secs(seconds),
        };
        let memory = after(&ProviderMemory::default(), &throttled(60), at(0), 5);
        let memory = after(&memory, &throttled(2), at(1), 5);
        assert_eq!(memory.resume_at, Some(at(60)));
    }
}
