//! The words of states and events, and what a record of them keeps.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use lapsed::model::act::{Action, Answer};
use lapsed::model::observed::{Billing, Life, Look, Observed, Subscription};
use lapsed::model::standing::{BILLING_NOT_CONFIRMED, Event, Phase, Settlement, Standing, State};

fn accepted() -> Event {
    Event::Accepted {
        revision: "r".to_owned(),
        terms: "t".to_owned(),
        origin: "lapsed.yaml:1".to_owned(),
        holds: BTreeSet::new(),
    }
}

fn those(belongs: impl Fn(State) -> bool) -> Vec<String> {
    let all = State::ALL.into_iter();
    all.filter(|it| belongs(*it))
        .map(|it| it.to_string())
        .collect()
}

#[test]
fn each_state_is_open_or_finished_or_withdrawn() {
    assert_eq!(
        those(State::open),
        [
            "scheduled",
            "held",
            "sending",
            "unknown",
            "retrying",
            "ending"
        ]
    );
    assert_eq!(
        those(State::finished),
        ["canceled", "already_canceled", "failed", "missed"]
    );
    assert_eq!(
        those(|it| !it.open() && !it.finished()),
        [State::Withdrawn.as_str()]
    );
    assert_eq!(State::parse("cancelled"), None);
}

#[test]
fn each_settlement_leads_to_the_state_of_its_name() {
    for (settlement, state) in [
        (Settlement::Canceled, State::Canceled),
        (Settlement::AlreadyCanceled, State::AlreadyCanceled),
        (Settlement::Failed, State::Failed),
        (Settlement::Missed, State::Missed),
    ] {
        assert_eq!(settlement.state(), state);
        assert_eq!(serde_json::to_value(settlement).unwrap(), state.as_str());
    }
}

#[test]
fn a_row_leaves_out_what_never_happened_and_reads_back_the_same() {
    let mut standing = Standing::first(&accepted()).unwrap();
    let text = |standing: &Standing| serde_json::to_string(standing).unwrap();
    let fresh = text(&standing);
    for word in ["late", "missed", "approved"] {
        assert!(!fresh.contains(word), "{fresh}");
    }
    standing.late = true;
    let late = text(&standing);
    assert!(late.contains("\"late\":true"), "{late}");
    assert_eq!(serde_json::from_str::<Standing>(&late).unwrap(), standing);
}

fn intended(attempt: u32) -> Event {
    let look = Look {
        observed: Observed::Found(Subscription {
            life: Life::Active,
            billing: Billing::Recurring,
            facts: BTreeMap::new(),
            period_end: None,
            successor: None,
        }),
        at: DateTime::UNIX_EPOCH,
        server_date: None,
    };
    Event::Intended {
        attempt,
        action: Action::TurnOffRenewal,
        send_before: DateTime::UNIX_EPOCH,
        look,
    }
}

fn refused(attempt: u32) -> Event {
    let words = "no".to_owned();
    Event::Answered {
        attempt,
        answer: Answer::Refused { status: 400, words },
    }
}

/// Of the first attempt nothing came back, and it was given up later.
fn sent_in_vain() -> Vec<Event> {
    vec![
        accepted(),
        intended(1),
        Event::Interrupted { attempt: 1 },
        Event::ProvenNotDone {
            attempt: 1,
            counts: true,
            because: "two readings found it living".to_owned(),
        },
    ]
}

#[test]
fn an_attempt_that_was_given_up_may_turn_out_to_have_worked_also_after_the_line_was_gone() {
    let mut events = sent_in_vain();
    events.push(Event::Withdrawn {
        revision: "r2".to_owned(),
    });
    events.push(Event::Revived {
        revision: "r3".to_owned(),
        terms: "t".to_owned(),
        origin: "lapsed.yaml:1".to_owned(),
        holds: BTreeSet::new(),
    });
    let back = Standing::fold(&events).unwrap().unwrap();
    assert_eq!(back.phase, Phase::Waiting);
    let began = Event::EndingBegan {
        at: DateTime::UNIX_EPOCH,
    };
    assert_eq!(back.after(&began).unwrap().phase, Phase::Ending);
}

#[test]
fn what_nobody_wants_is_not_sent_however_it_came_to_wait() {
    let mut standing = Standing::first(&accepted()).unwrap();
    assert!(standing.after(&intended(1)).is_ok());
    standing.wanted = false;
    assert!(standing.after(&intended(1)).is_err());
}

#[test]
fn an_end_is_ours_where_an_earlier_attempt_may_have_had_an_effect_though_the_last_had_none() {
    let ours = |events: &[Event]| Standing::fold(events).unwrap().unwrap().ours();
    let again = [sent_in_vain(), vec![intended(2), refused(2)]].concat();
    assert!(ours(&again));
    assert!(!ours(&[accepted(), intended(1), refused(1)]));
    assert!(ours(&[accepted(), intended(1)]));
    assert!(!ours(&[accepted()]));
}

#[test]
fn billing_is_left_open_by_what_ended_without_word_of_it_and_by_nothing_else() {
    let settled = |as_, note: &str| Event::Settled {
        as_,
        look: None,
        note: note.to_owned(),
    };
    let open = format!("found deactivated; {BILLING_NOT_CONFIRMED}");
    for as_ in [Settlement::Canceled, Settlement::AlreadyCanceled] {
        assert!(settled(as_, &open).leaves_billing_open());
        assert!(!settled(as_, "found ended").leaves_billing_open());
        assert!(!settled(as_, &format!("{open}, said somebody")).leaves_billing_open());
    }
    assert!(!settled(Settlement::Failed, &open).leaves_billing_open());
    let withdrawn = Event::Withdrawn {
        revision: open.clone(),
    };
    assert!(!withdrawn.leaves_billing_open());
}
