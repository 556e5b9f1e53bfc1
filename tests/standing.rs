//! Where a request stands after what: every phase against every event, and what holds of
//! every history.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use lapsed::model::act::{Action, Answer};
use lapsed::model::hold::HoldReason;
use lapsed::model::observed::{Billing, Life, Look, Observed, Subscription};
use lapsed::model::standing::{Event, Phase, Settlement, Standing, State};
use proptest::prelude::*;

/// Which event leads from which phase where: a word is the phase afterwards, `.` is refused.
/// Written by hand from section 3 of the design; `retrying` was sent once and its answer was
/// lost, so that an end that is found later may be ours.
const TABLE: &str = "
                   waiting   retrying  sending   unknown   ending    withdrawn canceled  already   failed    missed
accepted           .         .         .         .         .         .         .         .         .         .
replanned          waiting   waiting   .         .         .         .         .         .         .         .
too_late           .         .         sending   unknown   ending    .         .         .         .         .
withdrawn          withdrawn withdrawn sending   unknown   ending    .         .         .         .         .
revived            .         .         sending   unknown   ending    waiting   .         .         .         .
held:not_found     waiting   retrying  .         .         ending    .         .         .         .         .
held:approval      waiting   retrying  .         .         .         .         .         .         .         .
held:successor     waiting   retrying  .         unknown   ending    .         .         .         .         .
held:paused        .         .         .         .         .         .         .         .         .         .
freed              waiting   retrying  .         unknown   ending    .         .         .         .         .
intended           sending   sending   .         .         .         .         .         .         .         .
answered           .         .         unknown   .         .         .         .         .         .         .
interrupted        .         .         unknown   .         .         .         .         .         .         .
proven_not_done    .         .         .         retrying  .         .         .         .         .         .
ending_began       .         ending    .         ending    .         .         .         .         .         .
ending_undone      .         .         .         .         failed    .         .         .         .         .
window_missed      waiting   waiting   .         .         .         .         .         .         .         .
window_passed      waiting   waiting   .         .         .         .         .         .         .         .
approved           waiting   retrying  .         .         .         .         .         .         .         .
settled:canceled   .         canceled  .         canceled  canceled  .         .         .         .         .
settled:already    already   already   .         already   already   .         .         .         .         .
settled:failed     failed    failed    .         failed    failed    .         .         .         .         .
settled:missed     missed    missed    .         .         .         .         .         .         .         .
retried            .         .         .         .         .         .         .         .         waiting   waiting
";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn look(life: Life) -> Look {
    Look {
        observed: Observed::Found(Subscription {
            life,
            billing: Billing::Recurring,
            facts: std::collections::BTreeMap::new(),
            period_end: None,
            successor: None,
        }),
        at: at(0),
        server_date: None,
    }
}

fn accepted(holds: &[HoldReason]) -> Event {
    Event::Accepted {
        revision: "r".to_owned(),
        terms: "t".to_owned(),
        origin: "lapsed.yaml:1".to_owned(),
        holds: holds.iter().copied().collect(),
    }
}

fn replanned(holds: &[HoldReason]) -> Event {
    Event::Replanned {
        revision: "r".to_owned(),
        terms: "t".to_owned(),
        origin: "lapsed.yaml:1".to_owned(),
        holds: holds.iter().copied().collect(),
    }
}

fn revived(holds: &[HoldReason]) -> Event {
    Event::Revived {
        revision: "r".to_owned(),
        terms: "t".to_owned(),
        origin: "lapsed.yaml:1".to_owned(),
        holds: holds.iter().copied().collect(),
    }
}

fn withdrawn() -> Event {
    Event::Withdrawn {
        revision: "r".to_owned(),
    }
}

fn held(reason: HoldReason) -> Event {
    Event::Held {
        reason,
        detail: "so it is".to_owned(),
    }
}

fn freed(reason: HoldReason) -> Event {
    Event::Freed { reason }
}

fn sends(attempt: u32, action: Action, life: Life) -> Event {
    Event::Intended {
        attempt,
        action,
        send_before: at(30),
        look: look(life),
    }
}

fn intended(attempt: u32) -> Event {
    let cancel = Action::Cancel {
        reason: None,
        behaviors: None,
    };
    sends(attempt, cancel, Life::Active)
}

fn confirms(attempt: u32) -> Event {
    sends(attempt, Action::ConfirmCancel, Life::Ended { at: None })
}

fn answered(attempt: u32, answer: Answer) -> Event {
    Event::Answered { attempt, answer }
}

fn lost() -> Answer {
    Answer::Unclear {
        why: "no answer".to_owned(),
    }
}

fn interrupted(attempt: u32) -> Event {
    Event::Interrupted { attempt }
}

fn in_vain(attempt: u32, counts: bool) -> Event {
    Event::ProvenNotDone {
        attempt,
        counts,
        because: "it lives".to_owned(),
    }
}

fn settled(as_: Settlement) -> Event {
    Event::Settled {
        as_,
        look: None,
        note: "so it ended".to_owned(),
    }
}

fn retried() -> Event {
    Event::Retried {
        by: "dana".to_owned(),
        reason: "mended".to_owned(),
    }
}

fn ending_began() -> Event {
    Event::EndingBegan { at: at(900) }
}

fn ending_undone() -> Event {
    Event::EndingUndone {
        because: "its renewal is on again".to_owned(),
    }
}

fn window_missed() -> Event {
    Event::WindowMissed { closed_at: at(60) }
}

fn approved() -> Event {
    Event::Approved {
        plan: "3f9c2a71".to_owned(),
        by: "dana".to_owned(),
        revision: None,
        reason: None,
    }
}

#[test]
fn an_end_that_was_undone_is_withdrawn_where_the_line_is_gone() {
    let ending = in_phase("ending").after(&withdrawn()).unwrap();
    let undone = ending.after(&ending_undone()).unwrap();
    assert_eq!(undone.state(), State::Withdrawn);
}

#[test]
fn an_approval_stands_with_the_terms_and_so_does_a_missed_window() {
    let waits = fold(&[
        accepted(&[HoldReason::Approval]),
        window_missed(),
        approved(),
    ]);
    assert_eq!(waits.state(), State::Scheduled);
    assert!(waits.late && waits.missed.is_some() && waits.approved.is_some());
    let edited = waits.after(&replanned(&[])).unwrap();
    assert!(!edited.late && edited.missed.is_none() && edited.approved.is_none());
}

#[test]
fn an_attempt_that_cannot_have_had_an_effect_begins_no_end() {
    let not_sent = Answer::NotSent {
        why: "its time ran out".to_owned(),
    };
    let retrying = fold(&[
        accepted(&[]),
        intended(1),
        answered(1, not_sent),
        in_vain(1, false),
    ]);
    assert!(retrying.after(&ending_began()).is_err());
}

fn too_late() -> Event {
    Event::TooLate {
        revision: "r".to_owned(),
    }
}

fn fold(events: &[Event]) -> Standing {
    Standing::fold(events).unwrap().unwrap()
}

/// A standing in each phase of the table's head.
fn in_phase(name: &str) -> Standing {
    let unknown = [accepted(&[]), intended(1), answered(1, lost())];
    let and = |event: Event| fold(&[&unknown[..], &[event]].concat());
    match name {
        "waiting" => fold(&unknown[..1]),
        "sending" => fold(&unknown[..2]),
        "unknown" => fold(&unknown),
        "retrying" => and(in_vain(1, true)),
        "ending" => and(ending_began()),
        "withdrawn" => fold(&[accepted(&[]), withdrawn()]),
        "canceled" => and(settled(Settlement::Canceled)),
        "already" => and(settled(Settlement::AlreadyCanceled)),
        "failed" => and(settled(Settlement::Failed)),
        "missed" => fold(&[accepted(&[]), settled(Settlement::Missed)]),
        other => panic!("no phase {other}"),
    }
}

fn name_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting",
        Phase::Retrying => "retrying",
        Phase::Sending => "sending",
        Phase::Unknown => "unknown",
        Phase::Ending => "ending",
        Phase::Withdrawn => "withdrawn",
        Phase::Settled(Settlement::Canceled) => "canceled",
        Phase::Settled(Settlement::AlreadyCanceled) => "already",
        Phase::Settled(Settlement::Failed) => "failed",
        Phase::Settled(Settlement::Missed) => "missed",
    }
}

/// The event of a line of the table, with the number that fits where it is about an attempt.
fn event(name: &str, before: &Standing) -> Event {
    let attempt = before.attempts;
    match name {
        "accepted" => accepted(&[]),
        "replanned" => replanned(&[]),
        "too_late" => too_late(),
        "withdrawn" => withdrawn(),
        "revived" => revived(&[]),
        "held:not_found" => held(HoldReason::NotFound),
        "held:approval" => held(HoldReason::Approval),
        "held:successor" => held(HoldReason::Successor),
        "held:paused" => held(HoldReason::Paused),
        "freed" => freed(HoldReason::NotFound),
        "intended" => intended(attempt + 1),
        "answered" => answered(attempt, lost()),
        "interrupted" => interrupted(attempt),
        "proven_not_done" => in_vain(attempt, true),
        "ending_began" => ending_began(),
        "ending_undone" => ending_undone(),
        "window_missed" => window_missed(),
        "window_passed" => Event::WindowPassed { closed_at: at(60) },
        "approved" => approved(),
        "settled:canceled" => settled(Settlement::Canceled),
        "settled:already" => settled(Settlement::AlreadyCanceled),
        "settled:failed" => settled(Settlement::Failed),
        "settled:missed" => settled(Settlement::Missed),
        "retried" => retried(),
        other => panic!("no event {other}"),
    }
}

#[test]
fn every_event_leads_from_every_phase_where_the_table_says() {
    let mut lines = TABLE.trim_matches('\n').lines();
    let phases: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let mut kinds = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, expected) = words.split_first().unwrap();
        assert_eq!(expected.len(), phases.len(), "{line}");
        for (phase, expected) in phases.iter().zip(expected) {
            let before = in_phase(phase);
            assert_eq!(name_of(before.phase), *phase);
            let event = event(name, &before);
            kinds.insert(event.kind());
            let after = before.after(&event);
            let found = after.as_ref().map_or(".", |after| name_of(after.phase));
            if found != *expected {
                wrong.push(format!("{name} in {phase}: {found}, not {expected}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(
        (phases.len(), kinds.len()),
        (10, 18),
        "phases and kinds of events"
    );
}

#[test]
fn a_refusal_names_the_event_and_the_phase() {
    let refused = in_phase("canceled").after(&retried()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`retried` cannot follow in phase Settled(Canceled)"
    );
}

#[test]
fn only_an_acceptance_begins_a_history() {
    let waiting = in_phase("waiting");
    for name in TABLE
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().next())
    {
        let event = event(name, &waiting);
        assert_eq!(
            Standing::first(&event).is_ok(),
            name == "accepted",
            "{name}"
        );
    }
    assert_eq!(Standing::fold([]).unwrap(), None);
}

#[test]
fn each_phase_is_shown_as_its_state_and_holds_show_where_it_waits() {
    let shown = [
        ("waiting", State::Scheduled, State::Held),
        ("retrying", State::Retrying, State::Held),
        ("sending", State::Sending, State::Sending),
        ("unknown", State::Unknown, State::Held),
        ("ending", State::Ending, State::Held),
        ("withdrawn", State::Withdrawn, State::Withdrawn),
        ("canceled", State::Canceled, State::Canceled),
        ("already", State::AlreadyCanceled, State::AlreadyCanceled),
        ("failed", State::Failed, State::Failed),
        ("missed", State::Missed, State::Missed),
    ];
    for (phase, free, with_a_hold) in shown {
        let mut standing = in_phase(phase);
        assert_eq!(standing.state(), free, "{phase}");
        standing.holds.insert(HoldReason::Successor);
        assert_eq!(standing.state(), with_a_hold, "{phase}, held");
    }
}

#[test]
fn what_was_never_sent_is_never_canceled_by_us() {
    let never = in_phase("waiting");
    assert!(never.after(&settled(Settlement::Canceled)).is_err());
    // Sent, but certainly without effect.
    let refused = fold(&[
        accepted(&[]),
        intended(1),
        answered(1, Answer::Forbidden),
        in_vain(1, false),
    ]);
    assert!(refused.sent_while_alive, "403 does not rule an effect out");
    let not_sent = Answer::NotSent {
        why: "its time ran out".to_owned(),
    };
    let not_sent = fold(&[
        accepted(&[]),
        intended(1),
        answered(1, not_sent),
        in_vain(1, false),
    ]);
    assert!(!not_sent.sent_while_alive);
    assert!(not_sent.after(&settled(Settlement::Canceled)).is_err());
    assert!(
        not_sent
            .after(&settled(Settlement::AlreadyCanceled))
            .is_ok()
    );
}

#[test]
fn what_came_back_after_attempts_waits_for_a_tick() {
    let standing = in_phase("retrying").after(&withdrawn()).unwrap();
    assert_eq!(standing.phase, Phase::Withdrawn);
    let standing = standing.after(&revived(&[HoldReason::Approval])).unwrap();
    assert_eq!(standing.phase, Phase::Waiting);
    assert_eq!((standing.attempts, standing.state()), (1, State::Held));
}

#[test]
fn what_was_withdrawn_in_flight_is_withdrawn_once_nothing_happened() {
    let standing = in_phase("unknown").after(&withdrawn()).unwrap();
    assert!(!standing.wanted);
    let gone = standing.after(&in_vain(1, true)).unwrap();
    assert_eq!(gone.phase, Phase::Withdrawn);
    let back = standing.after(&revived(&[])).unwrap();
    assert_eq!(
        back.after(&in_vain(1, true)).unwrap().phase,
        Phase::Retrying
    );
}

#[test]
fn nothing_is_sent_while_it_is_held_or_under_another_number() {
    for phase in ["waiting", "retrying"] {
        let free = in_phase(phase);
        let next = free.attempts + 1;
        let held = free.after(&held(HoldReason::NotFound)).unwrap();
        assert!(held.after(&intended(next)).is_err(), "held");
        let freed = held.after(&freed(HoldReason::NotFound)).unwrap();
        assert!(freed.after(&intended(next)).is_ok());
        for number in [0, free.attempts, next + 1] {
            assert_eq!(
                free.after(&intended(number)).is_ok(),
                number == next,
                "{number}"
            );
        }
    }
}

#[test]
fn what_is_told_of_another_attempt_is_refused() {
    for number in [0, 2] {
        assert!(
            in_phase("sending")
                .after(&answered(number, lost()))
                .is_err()
        );
        assert!(in_phase("sending").after(&interrupted(number)).is_err());
        assert!(in_phase("unknown").after(&in_vain(number, true)).is_err());
    }
}

#[test]
fn an_attempt_that_does_not_count_is_taken_back_and_a_retry_begins_to_count_anew() {
    let counted = |counts| in_phase("unknown").after(&in_vain(1, counts)).unwrap();
    assert_eq!((counted(true).attempts, counted(true).counted), (1, 1));
    assert_eq!((counted(false).attempts, counted(false).counted), (1, 0));
    let afresh = in_phase("failed").after(&retried()).unwrap();
    assert_eq!((afresh.attempts, afresh.counted), (1, 0));
    assert!(afresh.after(&intended(2)).is_ok());
}

#[test]
fn a_retry_of_what_was_withdrawn_in_flight_is_wanted_again() {
    let unwanted = in_phase("unknown").after(&withdrawn()).unwrap();
    let failed = unwanted.after(&settled(Settlement::Failed)).unwrap();
    assert!(failed.after(&retried()).unwrap().wanted);
}

#[test]
fn the_confirming_cancel_is_sent_once_unless_it_certainly_was_not_done() {
    let after = |answer| {
        let events = [
            accepted(&[]),
            confirms(1),
            answered(1, answer),
            in_vain(1, true),
        ];
        fold(&events).after(&confirms(2)).is_ok()
    };
    assert!(!after(lost()));
    assert!(!after(Answer::Accepted));
    assert!(!after(Answer::Unavailable {
        retry_after: std::time::Duration::from_secs(5),
    }));
    assert!(after(Answer::Throttled {
        retry_after: std::time::Duration::from_secs(5),
    }));
    assert!(after(Answer::Unauthorized));
    let crashed = [accepted(&[]), confirms(1), interrupted(1), in_vain(1, true)];
    assert!(fold(&crashed).after(&confirms(2)).is_err());
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let retry_after = std::time::Duration::from_secs(5);
    prop::sample::select(vec![
        Answer::Accepted,
        Answer::Refused {
            status: 400,
            words: "no".to_owned(),
        },
        Answer::Throttled { retry_after },
        Answer::Unavailable { retry_after },
        Answer::Unauthorized,
        Answer::Forbidden,
        Answer::NotSent {
            why: "late".to_owned(),
        },
        lost(),
    ])
}

fn any_hold() -> impl Strategy<Value = HoldReason> {
    prop::sample::select(HoldReason::ALL.to_vec())
}

fn item_holds() -> impl Strategy<Value = Vec<HoldReason>> {
    let stored = HoldReason::ALL.into_iter().filter(|it| !it.is_gate());
    prop::sample::subsequence(stored.collect::<Vec<_>>(), 0..=1)
}

fn any_settlement() -> impl Strategy<Value = Settlement> {
    prop::sample::select(vec![
        Settlement::Canceled,
        Settlement::AlreadyCanceled,
        Settlement::Failed,
        Settlement::Missed,
    ])
}

/// An event for a request that was attempted up to four times. Most of them do not fit.
fn any_event() -> impl Strategy<Value = Event> {
    let attempt = 0..5_u32;
    prop_oneof![
        1 => item_holds().prop_map(|holds| accepted(&holds)),
        1 => item_holds().prop_map(|holds| replanned(&holds)),
        1 => Just(too_late()),
        2 => Just(withdrawn()),
        2 => item_holds().prop_map(|holds| revived(&holds)),
        2 => any_hold().prop_map(held),
        3 => any_hold().prop_map(freed),
        1 => Just(replanned(&[])),
        9 => attempt.clone().prop_map(intended),
        3 => attempt.clone().prop_map(confirms),
        9 => (attempt.clone(), any_answer()).prop_map(|(number, it)| answered(number, it)),
        4 => attempt.clone().prop_map(interrupted),
        9 => (attempt, any::<bool>()).prop_map(|(number, counts)| in_vain(number, counts)),
        1 => Just(ending_began()),
        1 => any_settlement().prop_map(settled),
        2 => Just(retried()),
    ]
}

/// What must hold of one legal step.
fn step_holds(before: &Standing, event: &Event, after: &Standing) -> Result<(), TestCaseError> {
    let begins = matches!(event, Event::Intended { .. });
    prop_assert_eq!(after.attempts, before.attempts + u32::from(begins));
    if begins {
        prop_assert!(before.plannable() && before.wanted && before.holds.is_empty());
        prop_assert!(after.in_doubt());
    }
    if let Phase::Settled(settlement) = before.phase {
        prop_assert_eq!(event.kind(), "retried");
        prop_assert!(matches!(
            settlement,
            Settlement::Failed | Settlement::Missed
        ));
    }
    if before.in_doubt() && after.plannable() {
        prop_assert_eq!(event.kind(), "proven_not_done", "a blind retry");
    }
    if after.phase == Phase::Settled(Settlement::Canceled) {
        prop_assert!(before.attempts > 0, "canceled by us, and nothing was sent");
    }
    if before.sent_while_alive {
        prop_assert!(after.sent_while_alive, "a send was forgotten");
    }
    Ok(())
}

/// What must hold wherever a request stands.
fn standing_holds(standing: &Standing) -> Result<(), TestCaseError> {
    let state = standing.state();
    prop_assert_eq!(State::parse(state.as_str()), Some(state));
    prop_assert_eq!(
        state.finished(),
        matches!(standing.phase, Phase::Settled(_))
    );
    prop_assert!(standing.counted <= standing.attempts);
    prop_assert!(standing.holds.iter().all(|reason| !reason.is_gate()));
    if state == State::Missed {
        let only = |reason: &HoldReason| *reason == HoldReason::Approval;
        prop_assert!(standing.holds.iter().all(only), "nobody approved it");
    } else if !state.open() {
        prop_assert!(standing.holds.is_empty());
    }
    if standing.plannable() {
        prop_assert!(standing.wanted, "waits for nobody");
    }
    if standing.phase == Phase::Withdrawn {
        prop_assert!(!standing.wanted);
    }
    let text = serde_json::to_string(standing).unwrap();
    prop_assert_eq!(&serde_json::from_str::<Standing>(&text).unwrap(), standing);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_legal_history_keeps_the_invariants(
        holds in item_holds(),
        events in prop::collection::vec(any_event(), 0..80),
    ) {
        let mut history = vec![accepted(&holds)];
        let mut standing = fold(&history);
        for event in events {
            let text = serde_json::to_string(&event).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), &event);
            let Ok(after) = standing.after(&event) else { continue };
            step_holds(&standing, &event, &after)?;
            standing_holds(&after)?;
            standing = after;
            history.push(event);
        }
        prop_assert_eq!(Standing::fold(&history).unwrap(), Some(standing));
    }
}
