//! When a provider is stopped and tried again, and how long one waits before anything is
//! tried again.

use std::time::Duration;

use lapsed::model::act::Answer;
use lapsed::model::hold::HoldReason;
use lapsed::model::memory::{ProviderMemory, Stop};
use lapsed::plan::backoff;
use lapsed::plan::health::{Sign, after};

use super::at;
use super::kit::{HOUR, MINUTE};

const MOST: u32 = 3;

fn next(memory: &ProviderMemory, sign: &Sign, seconds: i64) -> ProviderMemory {
    after(memory, sign, at(seconds), MOST)
}

fn read(skew: Option<i64>) -> Sign {
    Sign::Read { skew }
}

fn read_failed() -> Sign {
    Sign::ReadFailed {
        why: "no answer".to_owned(),
    }
}

fn write_failed() -> Sign {
    Sign::WriteFailed {
        why: "500".to_owned(),
    }
}

fn credentials(of_writes: bool) -> Sign {
    Sign::Credentials {
        why: "401".to_owned(),
        of_writes,
    }
}

/// After so many of the same sign at once.
fn repeated(sign: &Sign, times: u32) -> ProviderMemory {
    (0..times).fold(ProviderMemory::default(), |memory, _| {
        next(&memory, sign, 0)
    })
}

fn stop(memory: &ProviderMemory) -> &Stop {
    memory.stop.as_ref().expect("it is stopped")
}

#[test]
fn each_answer_to_a_write_is_a_sign_of_what_it_shows() {
    let retry_after = Duration::from_secs(7);
    let refused = Answer::Refused {
        status: 422,
        words: "no".to_owned(),
    };
    let unclear = Answer::Unclear {
        why: "a redirect".to_owned(),
    };
    let failed = |why: &str| Sign::WriteFailed {
        why: why.to_owned(),
    };
    let may_not_write = |why: &str| Sign::Credentials {
        why: why.to_owned(),
        of_writes: true,
    };
    for (answer, sign) in [
        (Answer::Accepted, Sign::Wrote),
        (refused, failed("cancels are refused with 422")),
        (
            Answer::Throttled { retry_after },
            Sign::Throttled { retry_after },
        ),
        (
            Answer::Unavailable { retry_after },
            Sign::Throttled { retry_after },
        ),
        (
            Answer::Forbidden,
            may_not_write("the credentials may not cancel (403)"),
        ),
        (
            Answer::Unauthorized,
            may_not_write("a cancel was answered 401"),
        ),
        (unclear, failed("a redirect")),
    ] {
        assert_eq!(Sign::of(&answer), Some(sign));
    }
    let why = "its time ran out".to_owned();
    assert_eq!(Sign::of(&Answer::NotSent { why }), None);
}

#[test]
fn a_clock_that_differs_by_more_than_five_minutes_stops_a_provider_and_a_right_one_reopens_it() {
    let fresh = ProviderMemory::default();
    for skew in [None, Some(0), Some(300), Some(-300)] {
        assert_eq!(next(&fresh, &read(skew), 0).stop, None, "{skew:?}");
    }
    for skew in [301, -301] {
        let stopped = next(&fresh, &read(Some(skew)), 0);
        let Stop { reason, why, .. } = stop(&stopped);
        assert_eq!(*reason, HoldReason::ClockSkew);
        let words = format!("the provider's clock differs from ours by {skew} s");
        assert_eq!(*why, words);
        assert_eq!(next(&stopped, &read(Some(0)), 1).stop, None);
    }
}

#[test]
fn readings_that_fail_in_a_row_stop_a_provider_and_one_that_works_begins_the_count_anew() {
    let twice = repeated(&read_failed(), MOST - 1);
    assert_eq!(twice.stop, None);
    let stopped = next(&twice, &read_failed(), 5);
    let expected = Stop {
        reason: HoldReason::ProviderStopped,
        why: "3 readings in a row failed: no answer".to_owned(),
        since: at(5),
        trial_at: at(35),
        trials: 0,
        of_writes: false,
    };
    assert_eq!(stop(&stopped), &expected);
    let worked = next(&twice, &read(None), 5);
    assert_eq!(worked.read_failures, 0);
    assert_eq!(next(&worked, &read_failed(), 6).stop, None);
}

#[test]
fn writes_that_fail_in_a_row_stop_a_provider_and_one_that_is_done_begins_the_count_anew() {
    let twice = repeated(&write_failed(), MOST - 1);
    assert_eq!(twice.stop, None);
    let stopped = next(&twice, &write_failed(), 5);
    assert_eq!(stop(&stopped).why, "3 cancels in a row failed: 500");
    assert!(stop(&stopped).of_writes);
    let done = next(&stopped, &Sign::Done, 6);
    assert_eq!((done.failures, &done.stop), (0, &None));
    // A write that is accepted opens it; only its being settled ends the row.
    let wrote = next(&stopped, &Sign::Wrote, 6);
    assert_eq!((wrote.failures, &wrote.stop), (MOST, &None));
}

#[test]
fn a_trial_that_fails_waits_twice_as_long_and_one_failure_is_enough() {
    for failed in [read_failed(), write_failed()] {
        let mut memory = repeated(&failed, MOST);
        let since = stop(&memory).since;
        for (trials, wait) in [(1, 60), (2, 120), (3, 240)] {
            let trial_at = stop(&memory).trial_at;
            let seconds = (trial_at - at(0)).num_seconds();
            // What was in flight when it was stopped is no failed trial.
            let early = next(&memory, &failed, seconds - 1);
            assert_eq!(early.stop, memory.stop);
            memory = next(&memory, &failed, seconds);
            let stop = stop(&memory);
            assert_eq!((stop.trials, stop.since), (trials, since));
            assert_eq!(stop.trial_at, at(seconds + wait));
        }
    }
    let mut memory = repeated(&write_failed(), MOST);
    memory.failures = 0;
    let again = next(&memory, &write_failed(), 30);
    assert_eq!(stop(&again).trials, 1);
    memory = repeated(&read_failed(), MOST);
    memory.read_failures = 0;
    let again = next(&memory, &read_failed(), 30);
    assert_eq!(stop(&again).trials, 1);
}

#[test]
fn credentials_that_are_not_accepted_stop_at_once() {
    let fresh = ProviderMemory::default();
    let stopped = next(&fresh, &credentials(false), 0);
    assert_eq!(stop(&stopped).reason, HoldReason::Credentials);
    assert_eq!(next(&stopped, &read(None), 1).stop, None);
    let of_writes = next(&fresh, &credentials(true), 0);
    assert_eq!(next(&of_writes, &read(None), 1).stop, of_writes.stop);
    // Another reason is another stop, whose trials begin anew.
    let failed = next(&stopped, &read_failed(), 31);
    assert_eq!(stop(&failed).reason, HoldReason::ProviderStopped);
    assert_eq!((stop(&failed).trials, stop(&failed).since), (0, at(31)));
}

#[test]
fn a_reading_that_fails_leaves_it_to_a_write_to_open_what_writes_closed() {
    let closed = next(&ProviderMemory::default(), &credentials(true), 0);
    let failed = next(&closed, &read_failed(), 31);
    assert!(stop(&failed).of_writes);
    let closed = next(&ProviderMemory::default(), &credentials(false), 0);
    let failed = next(&closed, &read_failed(), 31);
    assert!(!stop(&failed).of_writes);
}

#[test]
fn a_pause_that_was_asked_for_is_forgotten_once_it_is_over() {
    let throttled = |seconds| Sign::Throttled {
        retry_after: Duration::from_secs(seconds),
    };
    let paused = next(&ProviderMemory::default(), &throttled(60), 0);
    assert_eq!(paused.resume_at, Some(at(60)));
    let longer = next(&paused, &throttled(60), 1);
    assert_eq!(longer.resume_at, Some(at(61)));
    assert_eq!(next(&paused, &read(None), 59).resume_at, Some(at(60)));
    assert_eq!(next(&paused, &read(None), 60).resume_at, None);
    // One that a clock noted that was ahead is none.
    let mut ahead = ProviderMemory {
        resume_at: Some(at(HOUR + 1)),
        ..ProviderMemory::default()
    };
    assert_eq!(next(&ahead, &throttled(7), 0).resume_at, Some(at(7)));
    ahead.resume_at = Some(at(HOUR));
    assert_eq!(next(&ahead, &throttled(7), 0).resume_at, Some(at(HOUR)));
}

#[test]
fn waits_begin_short_double_and_end_at_their_longest() {
    let seconds = Duration::from_secs;
    for (attempts, wait) in [(0, 1), (1, 1), (2, 2), (9, 256), (10, 300), (99, 300)] {
        assert_eq!(backoff::retry(attempts, 1.0), seconds(wait), "{attempts}");
    }
    assert_eq!(backoff::retry(9, 0.25), seconds(64));
    assert_eq!(backoff::retry(9, -1.0), Duration::ZERO);
    assert_eq!(backoff::retry(9, 2.0), seconds(256));
    let day = 24 * 3_600;
    for (looks, wait) in [(0, 60), (1, 120), (10, 61_440), (11, day), (99, day)] {
        assert_eq!(backoff::hold(looks), seconds(wait), "{looks}");
    }
    for (trials, wait) in [(0, 30), (1, 60), (6, 1_920), (7, 3_600), (99, 3_600)] {
        assert_eq!(backoff::trial(trials), seconds(wait), "{trials}");
    }
    for (reads, wait) in [(0, 1), (1, 1), (2, 2), (4, 8), (5, 10), (99, 10)] {
        assert_eq!(
            backoff::unknown(reads, seconds(40)),
            seconds(wait),
            "{reads}"
        );
    }
    // However short `resend_after` is, there is a tenth of a second between two readings.
    let tenth = Duration::from_millis(100);
    assert_eq!(backoff::unknown(1, Duration::from_millis(40)), tenth);
    assert_eq!(backoff::unknown(9, Duration::ZERO), tenth);
    assert_eq!(backoff::unknown(1, seconds(2)), Duration::from_millis(500));
}

#[test]
fn a_trial_far_ahead_was_noted_by_a_clock_that_was_wrong_and_is_due() {
    let due = |trial_at: i64| {
        let mut stop = stop(&repeated(&read_failed(), MOST)).clone();
        stop.trial_at = at(trial_at);
        stop.trial_is_due(at(0))
    };
    for (trial_at, expected) in [
        (-1, true),
        (0, true),
        (1, false),
        (MINUTE, false),
        (HOUR, false),
        (HOUR + 1, true),
    ] {
        assert_eq!(due(trial_at), expected, "{trial_at}");
    }
}
