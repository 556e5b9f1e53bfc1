//! What ends by itself once its renewal is off: how that is told from a reading, and how it is
//! watched until it has ended.

use std::time::Duration;

use lapsed::model::act::{Action, Answer};
use lapsed::model::hold::HoldReason;
use lapsed::model::observed::{Life, Observed, Successor};
use lapsed::model::provider::ProviderKind;
use lapsed::model::request::{Doubt, Request};
use lapsed::model::standing::{Event, Settlement};
use lapsed::plan::decide::{Resolution, Watch, next_watch, watch};

use super::kit::{DAY, HOUR, MINUTE};
use super::{
    RESEND_AFTER, at, edit, found, plain_cancel, resolved, seen, sent, settled_as, witness,
};

const NEXT: &str = "sub_65aa0000000040008000000000000002";

fn followed(observed: Observed) -> Observed {
    edit(observed, |it| {
        it.successor = Some(Successor {
            id: NEXT.to_owned(),
            starts_at: at(DAY),
        });
    })
}

/// Renewal was asked to be turned off while the subscription ran.
fn turned_off(answer: Option<Answer>) -> Request {
    let running = found(Life::Active);
    sent(ProviderKind::Lotus, Action::TurnOffRenewal, running, answer)
}

fn unwanted(mut request: Request) -> Request {
    let withdrawn = Event::Withdrawn {
        revision: "r2".to_owned(),
    };
    request.standing = request.standing.after(&withdrawn).unwrap();
    request
}

/// One that ends by itself, by our doing.
fn ends_by_us() -> Request {
    let mut request = turned_off(Some(Answer::Accepted));
    let began = Event::EndingBegan { at: at(DAY) };
    request.standing = request.standing.after(&began).unwrap();
    request.doubt = None;
    request
}

fn watched(request: &Request, observed: &Observed, seconds: i64) -> Watch {
    let (watch, doubt) = watch(request, observed, &seen(witness(seconds)), RESEND_AFTER);
    assert_eq!(doubt, None);
    watch
}

#[test]
fn renewal_that_is_off_after_our_request_may_be_ours_and_ends_by_itself() {
    let ending = found(Life::Ending { at: at(DAY) });
    for answer in [Some(Answer::Accepted), None] {
        let request = turned_off(answer);
        assert_eq!(
            resolved(&request, &ending, 40).0,
            Resolution::Ending {
                at: at(DAY),
                goes_on: None
            }
        );
        let Resolution::Ending { goes_on, .. } =
            resolved(&request, &followed(ending.clone()), 40).0
        else {
            panic!("not ending");
        };
        assert!(goes_on.unwrap().contains(NEXT));
    }
    // Its end has come before anybody read it.
    for (told, ends_at) in [(Some(at(35)), at(35)), (None, at(40))] {
        let ended = found(Life::Ended { at: told });
        let resolution = resolved(&turned_off(None), &ended, 40).0;
        let goes_on = None;
        assert_eq!(
            resolution,
            Resolution::Ending {
                at: ends_at,
                goes_on
            }
        );
    }
}

#[test]
fn renewal_that_is_off_although_our_request_had_no_effect_is_not_ours() {
    let ending = found(Life::Ending { at: at(DAY) });
    let not_sent = Answer::NotSent {
        why: "its time ran out".to_owned(),
    };
    let request = turned_off(Some(not_sent));
    assert_eq!(
        settled_as(&resolved(&request, &ending, 40).0),
        Settlement::AlreadyCanceled
    );
    let resolution = resolved(&request, &followed(ending), 40).0;
    let Resolution::Successor { detail } = resolution else {
        panic!("{resolution:?}");
    };
    assert!(detail.contains(NEXT), "{detail}");
}

#[test]
fn what_runs_on_after_its_renewal_was_to_be_turned_off_is_no_end() {
    for life in [
        Life::Active,
        Life::Lapsing,
        Life::NotStarted { starts_at: at(99) },
        Life::Unclear {
            status: "odd".to_owned(),
        },
    ] {
        let resolution = resolved(&turned_off(None), &found(life), 40).0;
        assert!(
            matches!(resolution, Resolution::StillUnknown { .. }),
            "{resolution:?}"
        );
    }
}

#[test]
fn what_goes_on_keeps_no_request_open_that_nobody_wants() {
    let renewed = followed(found(Life::Ended { at: Some(at(-5)) }));
    let cancelled = || {
        let running = found(Life::Active);
        let accepted = Some(Answer::Accepted);
        sent(ProviderKind::Lotus, plain_cancel(), running, accepted)
    };
    assert!(matches!(
        resolved(&cancelled(), &renewed, 40).0,
        Resolution::Successor { .. }
    ));
    let resolution = resolved(&unwanted(cancelled()), &renewed, 40).0;
    assert_eq!(settled_as(&resolution), Settlement::Canceled);
}

#[test]
fn what_ends_by_itself_is_read_half_way_to_its_end_and_two_days_after_it() {
    let request = ends_by_us();
    let goes = |seconds| Watch::Goes {
        look_at: at(seconds),
    };
    let ending = found(Life::Ending { at: at(DAY) });
    assert_eq!(watched(&request, &ending, 0), goes(DAY / 2));
    let ended = found(Life::Ended { at: Some(at(DAY)) });
    assert_eq!(watched(&request, &ended, DAY), goes(3 * DAY));
    assert_eq!(watched(&request, &ended, 3 * DAY - 1), goes(3 * DAY));
    let Watch::Settle { note } = watched(&request, &ended, 3 * DAY) else {
        panic!("not settled");
    };
    assert!(note.starts_with("it ended on 2027-01-16 and nothing has followed"));
    // A provider that does not tell when is watched from when it was seen.
    let untold = found(Life::Ended { at: None });
    assert_eq!(watched(&request, &untold, 7), goes(2 * DAY + 7));
}

#[test]
fn the_next_look_is_half_way_and_within_a_week_and_at_the_end_where_that_is_near() {
    for (ends_at, look_at) in [
        (100 * DAY, 7 * DAY),
        (14 * DAY, 7 * DAY),
        (DAY, DAY / 2),
        (2 * HOUR, HOUR),
        (2 * HOUR - 2, 2 * HOUR - 2),
        (6 * MINUTE, 6 * MINUTE),
        (MINUTE, 5 * MINUTE),
        (-DAY, 5 * MINUTE),
    ] {
        assert_eq!(next_watch(at(0), at(ends_at)), at(look_at), "{ends_at}");
    }
}

#[test]
fn what_is_watched_holds_where_it_is_found_no_more_or_not_as_it_should_be() {
    let request = ends_by_us();
    let ending = || found(Life::Ending { at: at(DAY) });
    let foreign = Observed::NotOurs {
        why: "not in its customer's list".to_owned(),
    };
    let unclear = Life::Unclear {
        status: "odd".to_owned(),
    };
    let ended = found(Life::Ended { at: Some(at(0)) });
    for (observed, seconds, expected, words) in [
        (Observed::NotFound, 0, HoldReason::NotFound, "no such"),
        (foreign, 0, HoldReason::Expectation, "customer's list"),
        (found(unclear), 0, HoldReason::StateUnclear, "odd"),
        (
            found(Life::NotStarted { starts_at: at(9) }),
            0,
            HoldReason::NotStarted,
            "not begun",
        ),
        (followed(ending()), 0, HoldReason::Successor, NEXT),
        (followed(ended.clone()), 0, HoldReason::Successor, NEXT),
        (followed(ended), 9 * DAY, HoldReason::Successor, NEXT),
    ] {
        let Watch::Hold {
            reason,
            detail,
            next_in,
        } = watched(&request, &observed, seconds)
        else {
            panic!("not held: {observed:?}");
        };
        assert_eq!((reason, next_in), (expected, None));
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn what_follows_one_that_nobody_wants_to_end_any_more_does_not_hold_it() {
    let request = unwanted(ends_by_us());
    let ending = followed(found(Life::Ending { at: at(DAY) }));
    assert!(matches!(watched(&request, &ending, 0), Watch::Goes { .. }));
    let ended = followed(found(Life::Ended { at: Some(at(0)) }));
    let Watch::Settle { note } = watched(&request, &ended, 2 * DAY) else {
        panic!("not settled");
    };
    assert!(
        note.ends_with(&format!("but {NEXT}, which the file does not ask to end")),
        "{note}"
    );
}

#[test]
fn renewal_that_is_on_again_is_believed_after_two_readings_far_enough_apart() {
    let mut request = ends_by_us();
    let half = i64::try_from(RESEND_AFTER.as_secs()).unwrap() / 2;
    let read = |request: &Request, life: Life, seconds: i64| {
        watch(request, &found(life), &seen(witness(seconds)), RESEND_AFTER)
    };
    let (first, doubt) = read(&request, Life::Active, 100);
    let Watch::Hold {
        reason, next_in, ..
    } = first
    else {
        panic!("believed at once");
    };
    assert_eq!(reason, HoldReason::StateUnclear);
    assert_eq!(next_in, Some(RESEND_AFTER / 2));
    let expected = Doubt {
        send_before: witness(100),
        reads: 1,
        first_alive: Some(witness(100)),
        resend_after: RESEND_AFTER,
    };
    assert_eq!(doubt.as_ref(), Some(&expected));
    request.doubt = doubt;
    let (early, doubt) = read(&request, Life::Lapsing, 100 + half - 1);
    assert!(matches!(early, Watch::Hold { .. }));
    assert_eq!(doubt.unwrap().reads, 2);
    let (sure, doubt) = read(&request, Life::Lapsing, 100 + half);
    assert!(matches!(sure, Watch::Undone { .. }));
    assert_eq!(doubt, None);
}

#[test]
fn a_request_whose_doubt_was_lost_begins_it_with_the_first_reading() {
    let running = found(Life::Active);
    let mut request = sent(ProviderKind::Revere, plain_cancel(), running.clone(), None);
    request.doubt = None;
    let (resolution, doubt) = resolved(&request, &running, 40);
    let next_in = Duration::from_secs(1);
    assert_eq!(resolution, Resolution::StillUnknown { next_in });
    let expected = Doubt {
        send_before: witness(40),
        reads: 1,
        first_alive: Some(witness(40)),
        resend_after: RESEND_AFTER,
    };
    assert_eq!(doubt, expected);
}

#[test]
fn two_readings_are_far_enough_apart_at_half_of_resend_after() {
    let running = found(Life::Active);
    let mut request = sent(ProviderKind::Revere, plain_cancel(), running.clone(), None);
    let half = i64::try_from(RESEND_AFTER.as_secs()).unwrap() / 2;
    let late = 30 + 4 * half;
    for (first, proven) in [(late - half + 1, false), (late - half, true)] {
        request.doubt.as_mut().unwrap().first_alive = Some(witness(first));
        let (resolution, _) = resolved(&request, &running, late);
        let not_done = matches!(resolution, Resolution::NotDone { .. });
        assert_eq!(not_done, proven, "first seen living at {first}");
    }
}

#[test]
fn a_wait_that_was_longer_when_it_was_sent_stays_as_long() {
    let running = found(Life::Active);
    let mut request = sent(ProviderKind::Revere, plain_cancel(), running.clone(), None);
    let doubt = request.doubt.as_mut().unwrap();
    doubt.first_alive = Some(witness(40));
    doubt.resend_after = 4 * RESEND_AFTER;
    let long = i64::try_from(4 * RESEND_AFTER.as_secs()).unwrap();
    let at_second = |seconds| resolved(&request, &running, seconds).0;
    assert!(matches!(
        at_second(30 + long),
        Resolution::StillUnknown { .. }
    ));
    assert!(matches!(at_second(31 + long), Resolution::NotDone { .. }));
}
