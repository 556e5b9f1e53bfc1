//! Deciding: what follows from one request and one reading of it; and, in the files beside this
//! one, from the time, the guards and a change of the file.

mod due;
mod ending;
mod forecast;
mod guard;
mod health;
mod judge;
mod kit;
mod period;
mod sooner;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lapsed::config::{PaymentPlans, RenewalOff};
use lapsed::model::act::{Action, Answer};
use lapsed::model::hold::HoldReason;
use lapsed::model::ids::{Key, ProviderName, SubscriptionId};
use lapsed::model::labels::Labels;
use lapsed::model::observed::{Billing, Life, Look, Observed, Subscription, Successor};
use lapsed::model::provider::{ExpectField, ProviderKind};
use lapsed::model::request::{Doubt, Request, Witness};
use lapsed::model::standing::{Event, Settlement, Standing, State};
use lapsed::model::terms::{From, Place, Sourced, Terms, When, WhenMissed, Window};
use lapsed::plan::decide::{Decision, MOST_ATTEMPTS, Resolution, Rules, Seen, decide, resolve};
use lapsed::schedule::Schedule;

const RESEND_AFTER: Duration = Duration::from_secs(30 * 60);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn witness(seconds: i64) -> Witness {
    Witness {
        at: at(seconds),
        boot_id: "boot".to_owned(),
        since_boot: Duration::from_secs(u64::try_from(10_000 + seconds).unwrap()),
    }
}

/// A reading that took no time.
fn seen(moment: Witness) -> Seen {
    Seen {
        from: moment.clone(),
        by: moment,
    }
}

fn terms() -> Terms {
    Terms {
        when: Sourced::new(When::Now, From::Item),
        when_text: "now".to_owned(),
        reason: Some(Sourced::new("Customer request".to_owned(), From::Item)),
        window: Sourced::new(
            Window {
                opens: Duration::from_secs(86_400),
                closes: Duration::from_secs(21_600),
            },
            From::Default,
        ),
        when_missed: Sourced::new(WhenMissed::NextPeriod, From::Default),
        period_ends: None,
        flat_fee_behavior: None,
        usage_behavior: None,
        invoicing_behavior: None,
        expect: BTreeMap::new(),
        labels: Labels::default(),
        requested: None,
        unused: Vec::new(),
    }
}

fn request(kind: ProviderKind) -> Request {
    let accepted = Event::Accepted {
        revision: "r".to_owned(),
        terms: "t".to_owned(),
        origin: "lapsed.yaml:1".to_owned(),
        holds: BTreeSet::new(),
    };
    let id = match kind {
        ProviderKind::Lotus => "sub_65aa0000000040008000000000000001",
        ProviderKind::Kajabi | ProviderKind::Revere => "2145871",
    };
    Request {
        row: 1,
        version: 1,
        key: Key {
            provider: ProviderName::parse("p").unwrap(),
            id: SubscriptionId::parse(kind, id).unwrap(),
            again: 1,
        },
        kind,
        terms: terms(),
        place: Place {
            file: "lapsed.yaml".to_owned(),
            line: 1,
            last_line: 1,
        },
        revision: "r".to_owned(),
        standing: Standing::first(&accepted).unwrap(),
        not_before: at(0),
        due_at: Some(at(0)),
        deadline_at: None,
        wake_at: Some(at(0)),
        look: None,
        doubt: None,
        held_since: None,
        hold_details: BTreeMap::new(),
        idle_looks: 0,
        note: None,
        created_at: at(0),
        changed_at: at(0),
    }
}

fn found(life: Life) -> Observed {
    Observed::Found(Subscription {
        life,
        billing: Billing::Recurring,
        facts: BTreeMap::from([(ExpectField::Customer, "cus_17".to_owned())]),
        period_end: None,
        successor: None,
    })
}

fn edit(observed: Observed, edit: impl FnOnce(&mut Subscription)) -> Observed {
    match observed {
        Observed::Found(mut subscription) => {
            edit(&mut subscription);
            Observed::Found(subscription)
        }
        other => other,
    }
}

fn decided(request: &Request, observed: &Observed) -> Decision {
    decided_by(request, observed, &BTreeSet::new(), PaymentPlans::Hold)
}

fn decided_by(
    request: &Request,
    observed: &Observed,
    required: &BTreeSet<ExpectField>,
    payment_plans: PaymentPlans,
) -> Decision {
    let schedule = Schedule::parse("*/5 * * * *", chrono_tz::Tz::UTC).unwrap();
    let rules = Rules {
        require_expect: required,
        payment_plans,
        renewal_off: RenewalOff::AtOnce,
        schedule: &schedule,
        freezes: &[],
        at_a_tick: false,
    };
    decide(request, observed, rules, at(10))
}

fn held_as(decision: &Decision) -> Vec<HoldReason> {
    match decision {
        Decision::Hold(holds) => holds.keys().copied().collect(),
        other => panic!("not held: {other:?}"),
    }
}

/// A request whose one attempt was sent while the subscription stood as `before` says, and
/// was answered so (or not at all).
fn sent(kind: ProviderKind, action: Action, before: Observed, answer: Option<Answer>) -> Request {
    let mut request = request(kind);
    let intended = Event::Intended {
        attempt: 1,
        action,
        send_before: at(30),
        look: Look {
            observed: before,
            at: at(0),
            server_date: None,
        },
    };
    let ended = match answer {
        Some(answer) => Event::Answered { attempt: 1, answer },
        None => Event::Interrupted { attempt: 1 },
    };
    request.standing = request
        .standing
        .after(&intended)
        .unwrap()
        .after(&ended)
        .unwrap();
    request.doubt = Some(Doubt {
        send_before: witness(30),
        reads: 0,
        first_alive: None,
        resend_after: Duration::ZERO,
    });
    request
}

fn plain_cancel() -> Action {
    Action::Cancel {
        reason: None,
        behaviors: None,
    }
}

fn resolved(request: &Request, observed: &Observed, seconds: i64) -> (Resolution, Doubt) {
    resolve(request, observed, &seen(witness(seconds)), RESEND_AFTER)
}

fn settled_as(resolution: &Resolution) -> Settlement {
    match resolution {
        Resolution::Settle { as_, .. } => *as_,
        other => panic!("not settled: {other:?}"),
    }
}

#[test]
fn a_living_subscription_is_cancelled_and_the_reason_goes_only_where_it_is_taken() {
    let reason = |kind| match decided(&request(kind), &found(Life::Active)) {
        Decision::Act(Action::Cancel { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        reason(ProviderKind::Revere).as_deref(),
        Some("Customer request")
    );
    assert_eq!(reason(ProviderKind::Kajabi), None);
    assert_eq!(reason(ProviderKind::Lotus), None);
    // A Revere subscription whose retries ran out could revive: it is still sent the cancel.
    let lapsing = decided(&request(ProviderKind::Revere), &found(Life::Lapsing));
    assert!(matches!(lapsing, Decision::Act(Action::Cancel { .. })));
}

#[test]
fn what_is_missing_or_foreign_or_unclear_holds_and_is_never_taken_for_cancelled() {
    let request = request(ProviderKind::Revere);
    let unclear = found(Life::Unclear {
        status: "paused".to_owned(),
    });
    let starts = found(Life::NotStarted { starts_at: at(99) });
    let foreign = Observed::NotOurs {
        why: "not in its customer's list".to_owned(),
    };
    let plan = edit(found(Life::Active), |it| it.billing = Billing::PaymentPlan);
    let no_kind = edit(found(Life::Active), |it| it.billing = Billing::Unclear);
    for (observed, reason) in [
        (Observed::NotFound, HoldReason::NotFound),
        (foreign, HoldReason::Expectation),
        (unclear, HoldReason::StateUnclear),
        (starts, HoldReason::NotStarted),
        (plan, HoldReason::PaymentPlan),
        (no_kind, HoldReason::StateUnclear),
    ] {
        assert_eq!(held_as(&decided(&request, &observed)), [reason]);
    }
}

#[test]
fn an_expectation_that_is_not_met_holds_also_what_is_found_ended() {
    let mut request = request(ProviderKind::Revere);
    request.terms.expect = BTreeMap::from([(ExpectField::Customer, "cus_18".to_owned())]);
    for life in [Life::Active, Life::Ended { at: None }] {
        assert_eq!(
            held_as(&decided(&request, &found(life))),
            [HoldReason::Expectation]
        );
    }
    // A field that the provider does not tell is not met either.
    let silent = edit(found(Life::Active), |it| it.facts.clear());
    assert_eq!(
        held_as(&decided(&request, &silent)),
        [HoldReason::Expectation]
    );
    request.terms.expect = BTreeMap::from([(ExpectField::Customer, "cus_17".to_owned())]);
    assert!(matches!(
        decided(&request, &found(Life::Active)),
        Decision::Act(_)
    ));
}

#[test]
fn what_is_there_instead_is_told_unless_it_is_an_address() {
    let mut request = request(ProviderKind::Revere);
    request.terms.expect = BTreeMap::from([(ExpectField::Customer, "cus_18".to_owned())]);
    for (there, told) in [
        ("cus_17", "customer is cus_17, not cus_18"),
        ("ann@example.com", "customer is [masked], not cus_18"),
    ] {
        let found = edit(found(Life::Active), |it| {
            it.facts.insert(ExpectField::Customer, there.to_owned());
        });
        let Decision::Hold(holds) = decided(&request, &found) else {
            panic!("not held");
        };
        assert_eq!(holds[&HoldReason::Expectation], told);
    }
}

#[test]
fn an_expectation_that_is_required_and_missing_holds() {
    let required = BTreeSet::from([ExpectField::Customer]);
    let found = found(Life::Active);
    let request = request(ProviderKind::Revere);
    let decision = decided_by(&request, &found, &required, PaymentPlans::Hold);
    assert_eq!(held_as(&decision), [HoldReason::ExpectationMissing]);
}

#[test]
fn an_instalment_plan_is_cancelled_only_where_that_is_allowed() {
    let plan = edit(found(Life::Active), |it| it.billing = Billing::PaymentPlan);
    let request = request(ProviderKind::Kajabi);
    let decision = decided_by(&request, &plan, &BTreeSet::new(), PaymentPlans::Cancel);
    assert!(matches!(decision, Decision::Act(_)));
}

#[test]
fn a_purchase_without_a_subscription_is_failed_in_those_words() {
    let once = edit(found(Life::Active), |it| it.billing = Billing::OneTime);
    let Decision::Settle { as_, note } = decided(&request(ProviderKind::Kajabi), &once) else {
        panic!("not settled");
    };
    assert_eq!(as_, Settlement::Failed);
    assert!(note.contains("a purchase without a subscription"), "{note}");
}

#[test]
fn found_ended_is_already_canceled_but_at_kajabi_only_after_one_confirming_cancel() {
    let ended = found(Life::Ended { at: Some(at(-50)) });
    for kind in [ProviderKind::Revere, ProviderKind::Lotus] {
        let decision = decided(&request(kind), &ended);
        assert!(
            matches!(
                decision,
                Decision::Settle {
                    as_: Settlement::AlreadyCanceled,
                    ..
                }
            ),
            "{decision:?}"
        );
    }
    let decision = decided(&request(ProviderKind::Kajabi), &ended);
    assert_eq!(decision, Decision::Act(Action::ConfirmCancel));
}

#[test]
fn a_confirming_cancel_settles_on_its_answer_and_says_that_billing_is_not_confirmed() {
    let ended = || found(Life::Ended { at: Some(at(-50)) });
    let refused = Answer::Refused {
        status: 422,
        words: "cannot be cancelled".to_owned(),
    };
    let unclear = Answer::Unclear {
        why: "timeout".to_owned(),
    };
    for (answer, as_) in [
        (Some(Answer::Accepted), Settlement::Canceled),
        (Some(refused), Settlement::AlreadyCanceled),
        (Some(unclear), Settlement::AlreadyCanceled),
        (None, Settlement::AlreadyCanceled),
    ] {
        let request = sent(ProviderKind::Kajabi, Action::ConfirmCancel, ended(), answer);
        let (resolution, _) = resolved(&request, &ended(), 40);
        let Resolution::Settle { as_: got, note } = resolution else {
            panic!("not settled: {resolution:?}");
        };
        assert_eq!(got, as_);
        assert!(note.contains("billing not confirmed"), "{note}");
    }
}

#[test]
fn a_confirming_cancel_is_sent_once_ever_unless_it_surely_never_arrived() {
    let ended = || found(Life::Ended { at: None });
    let throttled = Answer::Throttled {
        retry_after: Duration::from_secs(2),
    };
    let request = sent(
        ProviderKind::Kajabi,
        Action::ConfirmCancel,
        ended(),
        Some(throttled),
    );
    let (resolution, _) = resolved(&request, &ended(), 40);
    assert!(
        matches!(resolution, Resolution::NotDone { counts: false, .. }),
        "{resolution:?}"
    );
    let proven = Event::ProvenNotDone {
        attempt: 1,
        counts: false,
        because: String::new(),
    };
    let mut again = request;
    again.standing = again.standing.after(&proven).unwrap();
    assert_eq!(
        decided(&again, &ended()),
        Decision::Act(Action::ConfirmCancel)
    );
}

#[test]
fn ended_after_our_send_is_canceled_whatever_the_answer_was() {
    let ended = found(Life::Ended { at: None });
    let unclear = Answer::Unclear {
        why: "500".to_owned(),
    };
    for answer in [Some(Answer::Accepted), Some(unclear), None] {
        let request = sent(
            ProviderKind::Lotus,
            plain_cancel(),
            found(Life::Active),
            answer,
        );
        assert_eq!(
            settled_as(&resolved(&request, &ended, 31).0),
            Settlement::Canceled
        );
    }
}

#[test]
fn ended_although_our_cancel_was_refused_or_never_sent_is_not_by_us() {
    let ended = found(Life::Ended { at: None });
    let refused = Answer::Refused {
        status: 400,
        words: "invalid_state".to_owned(),
    };
    let not_sent = Answer::NotSent {
        why: "the process slept".to_owned(),
    };
    for answer in [refused, not_sent] {
        let request = sent(
            ProviderKind::Lotus,
            plain_cancel(),
            found(Life::Active),
            Some(answer),
        );
        assert_eq!(
            settled_as(&resolved(&request, &ended, 31).0),
            Settlement::AlreadyCanceled
        );
    }
}

#[test]
fn a_clear_refusal_fails_once_a_reading_finds_it_living() {
    let refused = Answer::Refused {
        status: 422,
        words: "Unprocessable".to_owned(),
    };
    let request = sent(
        ProviderKind::Kajabi,
        plain_cancel(),
        found(Life::Active),
        Some(refused),
    );
    let (resolution, _) = resolved(&request, &found(Life::Active), 31);
    let Resolution::Settle { as_, note } = resolution else {
        panic!("{resolution:?}");
    };
    assert_eq!(as_, Settlement::Failed);
    assert!(
        note.contains("422") && note.contains("Unprocessable"),
        "{note}"
    );
}

#[test]
fn a_200_that_did_nothing_does_not_settle_and_is_not_repeated_at_once() {
    let request = sent(
        ProviderKind::Revere,
        plain_cancel(),
        found(Life::Active),
        Some(Answer::Accepted),
    );
    let (resolution, doubt) = resolved(&request, &found(Life::Active), 31);
    assert!(
        matches!(resolution, Resolution::StillUnknown { .. }),
        "{resolution:?}"
    );
    assert_eq!(doubt.first_alive, Some(witness(31)));
}

#[test]
fn only_two_readings_far_apart_and_late_enough_prove_that_nothing_happened() {
    let mut request = sent(
        ProviderKind::Revere,
        plain_cancel(),
        found(Life::Active),
        None,
    );
    let alive = found(Life::Active);
    let resend_after = i64::try_from(RESEND_AFTER.as_secs()).unwrap();
    let still_unknown =
        |resolution: &Resolution| matches!(resolution, Resolution::StillUnknown { .. });

    // Late enough, but the first reading is the only one.
    let (late, _) = resolved(&request, &alive, 30 + resend_after + 1);
    assert!(still_unknown(&late));

    let (first, doubt) = resolved(&request, &alive, 40);
    assert!(still_unknown(&first));
    request.doubt = Some(doubt);
    // Two readings, but not later than `resend_after` past the last moment to send.
    assert!(still_unknown(
        &resolved(&request, &alive, 30 + resend_after).0
    ));
    let (proven, _) = resolved(&request, &alive, 30 + resend_after + 1);
    assert!(
        matches!(proven, Resolution::NotDone { counts: true, .. }),
        "{proven:?}"
    );
}

#[test]
fn a_reading_before_which_the_process_was_stopped_is_of_the_moment_of_its_answer() {
    let mut request = sent(
        ProviderKind::Revere,
        plain_cancel(),
        found(Life::Active),
        None,
    );
    let alive = found(Life::Active);
    let resend_after = i64::try_from(RESEND_AFTER.as_secs()).unwrap();
    let late = 30 + resend_after + 1;
    let stopped = Seen {
        from: witness(31),
        by: witness(late),
    };
    let (first, doubt) = resolve(&request, &alive, &stopped, RESEND_AFTER);
    assert!(
        matches!(first, Resolution::StillUnknown { .. }),
        "nobody knows whether it was read late enough: {first:?}"
    );
    request.doubt = Some(doubt);
    let soon = resolved(&request, &alive, late + 5).0;
    assert!(
        matches!(soon, Resolution::StillUnknown { .. }),
        "two readings within seconds are one: {soon:?}"
    );
    let proven = resolved(&request, &alive, late + resend_after / 2).0;
    assert!(matches!(proven, Resolution::NotDone { .. }), "{proven:?}");
}

#[test]
fn a_wall_clock_that_jumps_forward_proves_nothing() {
    let mut request = sent(
        ProviderKind::Revere,
        plain_cancel(),
        found(Life::Active),
        None,
    );
    let alive = found(Life::Active);
    request.doubt = Some(resolved(&request, &alive, 40).1);
    let mut jumped = witness(60);
    jumped.at = at(1_000_000);
    let (resolution, _) = resolve(&request, &alive, &seen(jumped), RESEND_AFTER);
    assert!(
        matches!(resolution, Resolution::StillUnknown { .. }),
        "{resolution:?}"
    );
}

#[test]
fn throttled_is_known_not_to_have_happened_after_one_reading_and_unavailable_is_not() {
    let wait = Duration::from_secs(7);
    let answered = |answer| {
        let request = sent(
            ProviderKind::Revere,
            plain_cancel(),
            found(Life::Active),
            Some(answer),
        );
        resolved(&request, &found(Life::Active), 40).0
    };
    let throttled = answered(Answer::Throttled { retry_after: wait });
    assert!(
        matches!(&throttled, Resolution::NotDone { counts: false, wait: Some(it), .. } if *it == wait),
        "{throttled:?}"
    );
    let unavailable = answered(Answer::Unavailable { retry_after: wait });
    assert!(
        matches!(unavailable, Resolution::StillUnknown { .. }),
        "{unavailable:?}"
    );
}

#[test]
fn nothing_found_after_a_send_stays_unknown() {
    let request = sent(
        ProviderKind::Kajabi,
        plain_cancel(),
        found(Life::Active),
        None,
    );
    for observed in [
        Observed::NotFound,
        Observed::NotOurs { why: String::new() },
        found(Life::Unclear {
            status: "odd".to_owned(),
        }),
    ] {
        let (resolution, _) = resolved(&request, &observed, 9_999);
        assert!(
            matches!(resolution, Resolution::StillUnknown { .. }),
            "{resolution:?}"
        );
    }
}

#[test]
fn a_successor_keeps_an_ended_record_from_settling_and_the_cure_prints_the_line_to_add() {
    let renewed = edit(found(Life::Ended { at: Some(at(-5)) }), |it| {
        it.successor = Some(Successor {
            id: "sub_65aa0000000040008000000000000002".to_owned(),
            starts_at: at(-5),
        });
    });
    let line = "- {id: sub_65aa0000000040008000000000000002, provider: p}";
    match decided(&request(ProviderKind::Lotus), &renewed) {
        Decision::Hold(holds) => assert!(holds[&HoldReason::Successor].contains(line)),
        other => panic!("{other:?}"),
    }
    let ours = sent(
        ProviderKind::Lotus,
        plain_cancel(),
        found(Life::Active),
        Some(Answer::Accepted),
    );
    match resolved(&ours, &renewed, 40).0 {
        Resolution::Successor { detail } => assert!(detail.contains(line), "{detail}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_withdrawn_item_whose_cancel_was_refused_is_withdrawn_and_not_failed() {
    let refused = Answer::Refused {
        status: 400,
        words: String::new(),
    };
    let mut request = sent(
        ProviderKind::Revere,
        plain_cancel(),
        found(Life::Active),
        Some(refused),
    );
    let withdrawn = Event::Withdrawn {
        revision: "r2".to_owned(),
    };
    request.standing = request.standing.after(&withdrawn).unwrap();
    let (resolution, _) = resolved(&request, &found(Life::Active), 40);
    assert!(
        matches!(resolution, Resolution::NotDone { .. }),
        "{resolution:?}"
    );
    let proven = Event::ProvenNotDone {
        attempt: 1,
        counts: true,
        because: String::new(),
    };
    let standing = request.standing.after(&proven).unwrap();
    assert_eq!(standing.state(), State::Withdrawn);
}

#[test]
fn attempts_are_few() {
    assert_eq!(MOST_ATTEMPTS, 5);
}
