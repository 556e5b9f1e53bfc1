//! Passes: what is sent, what is read, and where each request stands afterwards.

use std::time::Duration;

use lapsed::ledger::Command;
use lapsed::model::act::{Action, Answer};
use lapsed::model::observed::{Billing, Life, Successor};
use lapsed::model::provider::ProviderKind;
use lapsed::model::standing::State;
use lapsed::provider::LookError;

use self::kit::MINUTE;
use self::world::{Call, Mood, RESEND_AFTER, World, name};

mod adversary;
mod approvals;
mod edits;
mod guards;
mod holds;
mod kit;
mod ways_round;
mod windows;
pub mod world;
mod years;

fn look(id: &str) -> Call {
    Call::Look(id.to_owned())
}

fn cancel(id: &str) -> Call {
    Call::Cancel(
        id.to_owned(),
        Action::Cancel {
            reason: None,
            behaviors: None,
        },
    )
}

fn lost_reading() -> LookError {
    LookError::Unavailable {
        why: "no answer".to_owned(),
    }
}

/// Passes that wake, further and further apart, until nothing is unknown any more.
async fn settle(world: &World, id: &str) {
    for _ in 0..200 {
        world.later(MINUTE).wake().await;
        let state = world.request(id).await.state();
        if !matches!(state, State::Unknown | State::Sending | State::Retrying) {
            return;
        }
    }
    panic!("{id} never settled: {:?}", world.request(id).await.standing);
}

#[tokio::test]
async fn a_due_subscription_is_read_cancelled_once_and_read_back() {
    let mut world = World::new().wants("a");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.calls(), [look("a"), cancel("a"), look("a")]);
    assert_eq!(world.state("a").await, (State::Canceled, None));
    // Finished is finished: nothing touches it again.
    world.later(MINUTE).tick().await;
    assert_eq!(world.calls().len(), 3);
    world.verify().await;
}

#[tokio::test]
async fn nothing_is_read_or_sent_before_its_day() {
    let mut world = World::new();
    world.lives("a");
    world.add("a", "when: 2026-11-25");
    world.accept().await;
    world.later(Duration::from_secs(11 * 3600)).tick().await;
    assert_eq!(world.calls(), []);
    assert_eq!(world.state("a").await, (State::Scheduled, None));
    world.later(Duration::from_secs(3600)).tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn a_call_without_an_answer_is_looked_at_before_it_is_repeated() {
    let mut world = World::new().wants("a").mood("a", [Mood::DoesItSilently]);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.calls(), [look("a"), cancel("a"), look("a")]);
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!(world.effective("a"), 1);
}

#[tokio::test]
async fn a_lost_request_is_sent_again_only_after_resend_after_and_two_readings() {
    let mut world = World::new().wants("a").mood("a", [Mood::LosesIt]);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Unknown, None));
    let sent_at = world.now();
    while world.cancels() < 2 {
        world.later(MINUTE).wake().await;
        assert!(
            world.now() - sent_at < chrono::Duration::hours(2),
            "never sent again"
        );
    }
    let waited = world.now() - sent_at;
    assert!(
        waited >= chrono::Duration::from_std(RESEND_AFTER).unwrap(),
        "{waited}"
    );
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!(world.effective("a"), 1);
    world.verify().await;
}

#[tokio::test]
async fn an_effect_that_comes_late_is_found_and_never_repeated() {
    let mut world = World::new().wants("a").mood("a", [Mood::DoesItLater]);
    world.accept().await;
    world.tick().await;
    for _ in 0..20 {
        world.later(MINUTE).wake().await;
    }
    world.late_effects_happen();
    settle(&world, "a").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!((world.cancels(), world.effective("a")), (1, 1));
}

#[tokio::test]
async fn a_success_that_did_nothing_is_no_success() {
    let mut world = World::new().wants("a").mood("a", [Mood::Lies]);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Unknown, None));
    settle(&world, "a").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!(world.cancels(), 2);
}

#[tokio::test]
async fn a_refusal_fails_and_shows_the_words_and_a_retry_plans_afresh() {
    let refused = Answer::Refused {
        status: 400,
        words: "no such luck".to_owned(),
    };
    let mut world = World::new().wants("a").mood("a", [Mood::Says(refused)]);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Failed, None));
    let note = world.item("a").await.note.unwrap();
    assert!(
        note.contains("400") && note.contains("no such luck"),
        "{note}"
    );
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 1);

    let retry = Command::Retry {
        provider: name(),
        id: None,
        state: State::Failed,
    };
    world.command(retry).await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    world.verify().await;
}

#[tokio::test]
async fn five_attempts_without_effect_are_the_most_that_are_made() {
    let mut world = World::new().wants("a").mood("a", vec![Mood::LosesIt; 9]);
    world.accept().await;
    world.tick().await;
    // The provider is stopped after five failures in a row, and one trial reopens it.
    for _ in 0..2_000 {
        world.later(MINUTE).tick().await;
        if world.request("a").await.state().finished() {
            break;
        }
    }
    assert_eq!(world.state("a").await.0, State::Failed);
    assert_eq!(world.cancels(), 5);
}

#[tokio::test]
async fn throttled_waits_as_told_and_counts_as_no_attempt() {
    let throttled = Answer::Throttled {
        retry_after: Duration::from_secs(90),
    };
    let mut world = World::new()
        .wants("a")
        .wants("b")
        .mood("a", [Mood::Says(throttled)]);
    world.accept().await;
    world.tick().await;
    let calls = world.calls().len();
    world.later(MINUTE).tick().await;
    assert_eq!(world.calls().len(), calls, "asked during the pause");
    world.later(MINUTE).tick().await;
    settle(&world, "a").await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.state("a").await.0, State::Canceled);
    assert_eq!(world.state("b").await.0, State::Canceled);
    assert_eq!(world.request("a").await.standing.counted, 1);
}

#[tokio::test]
async fn unavailable_is_not_known_and_is_read_until_it_is() {
    let unavailable = Answer::Unavailable {
        retry_after: Duration::from_secs(5),
    };
    let mut world = World::new()
        .wants("a")
        .mood("a", [Mood::DoesItAndSays(unavailable)]);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await.0, State::Unknown);
    settle(&world, "a").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!((world.cancels(), world.effective("a")), (1, 1));
}

#[tokio::test]
async fn found_ended_is_already_canceled_without_a_write() {
    let mut world = World::new();
    world.add("a", "when: now");
    world.set("a", Life::Ended { at: None });
    world.accept().await;
    world.tick().await;
    assert_eq!(world.calls(), [look("a")]);
    assert_eq!(world.state("a").await, (State::AlreadyCanceled, None));
}

#[tokio::test]
async fn a_kajabi_purchase_found_deactivated_is_sent_one_confirming_cancel() {
    let mut world = World::of(ProviderKind::Kajabi);
    world.add("21", "when: now");
    world.set("21", Life::Ended { at: None });
    world.accept().await;
    world.tick().await;
    let confirm = Call::Cancel("21".to_owned(), Action::ConfirmCancel);
    assert_eq!(world.calls(), [look("21"), confirm, look("21")]);
    let item = world.item("21").await;
    assert_eq!(item.state, State::Canceled);
    assert!(item.note.unwrap().contains("billing not confirmed"));
}

#[tokio::test]
async fn a_lotus_cancel_names_all_three_behaviours_and_a_successor_keeps_it_held() {
    let id = "sub_65aa0000000040008000000000000001";
    let mut world = World::of(ProviderKind::Lotus);
    world.lives(id);
    world.add(
        id,
        "when: now, usage_behavior: bill_none, invoicing_behavior: invoice_now",
    );
    world.accept().await;
    world.edit(id, |it| {
        it.successor = Some(Successor {
            id: "sub_65aa0000000040008000000000000002".to_owned(),
            starts_at: "2026-12-01T00:00:00Z".parse().unwrap(),
        });
    });
    world.tick().await;
    let behaviors = world.calls().into_iter().find_map(|call| match call {
        Call::Cancel(_, Action::Cancel { behaviors, .. }) => behaviors,
        _ => None,
    });
    assert!(behaviors.unwrap().flat_fee.is_none());
    assert_eq!(
        world.state(id).await,
        (State::Held, Some("successor".to_owned()))
    );
    world.edit(id, |it| it.successor = None);
    world.later(Duration::from_secs(3600)).wake().await;
    assert_eq!(world.state(id).await, (State::Canceled, None));
    assert_eq!(world.effective(id), 1);
}

#[tokio::test]
async fn a_second_request_for_the_same_subscription_cancels_a_second_time() {
    let mut world = World::new().wants("a");
    world.accept().await;
    world.tick().await;
    // The customer comes back: the old line does nothing.
    world.lives("a");
    world.later(MINUTE).tick().await;
    assert_eq!(world.effective("a"), 1);
    world.add("a", "when: now, again: 2");
    world.accept().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.effective("a"), 2);
}

#[tokio::test]
async fn a_removed_line_is_withdrawn_and_its_return_revives_it() {
    let mut world = World::new();
    world.lives("a");
    world.add("a", "when: 2026-11-30");
    world.accept().await;
    world.remove("a");
    world.accept().await;
    assert_eq!(world.state("a").await, (State::Withdrawn, None));
    world.add("a", "when: now");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    world.verify().await;
}

#[tokio::test]
async fn a_line_that_is_removed_in_flight_is_only_read_from_then_on() {
    let mut world = World::new().wants("a").mood("a", [Mood::LosesIt]);
    world.accept().await;
    world.tick().await;
    world.remove("a");
    world.accept().await;
    settle(&world, "a").await;
    assert_eq!(world.state("a").await, (State::Withdrawn, None));
    assert_eq!(world.cancels(), 1);
}

#[tokio::test]
async fn an_edit_in_flight_is_too_late_and_is_taken_up_if_nothing_happened() {
    let mut world = World::new().wants("a").mood("a", [Mood::LosesIt]);
    world.accept().await;
    world.tick().await;
    world.remove("a");
    world.add("a", "when: 2027-01-01");
    world.accept().await;
    assert_eq!(world.state("a").await.0, State::Unknown);
    for _ in 0..100 {
        world.later(MINUTE).wake().await;
    }
    let item = world.item("a").await;
    assert_eq!(item.when, "2027-01-01");
    assert_eq!(world.cancels(), 1, "sent before its new day");
    world.verify().await;
}

#[tokio::test]
async fn a_process_that_dies_between_intent_and_answer_reads_what_became_of_it() {
    for mood in [Mood::DoesItSilently, Mood::LosesIt] {
        let mut world = World::new().wants("a").mood("a", [mood]);
        world.accept().await;
        world.reading_fails([]);
        world.tick().await;
        world.restart().await;
        settle(&world, "a").await;
        assert_eq!(world.state("a").await, (State::Canceled, None));
        assert_eq!(world.effective("a"), 1);
        world.verify().await;
    }
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_repeats_nothing() {
    let mut world = World::new().wants("a").wants("b");
    world.accept().await;
    world.tick().await;
    world.restart().await;
    world.later(MINUTE).tick().await;
    assert_eq!((world.effective("a"), world.effective("b")), (1, 1));
    assert_eq!(world.cancels(), 2);
}

#[tokio::test]
async fn a_reading_that_fails_holds_the_item_and_the_next_one_frees_it() {
    let mut world = World::new().wants("a");
    world.accept().await;
    world.reading_fails([lost_reading()]);
    world.tick().await;
    assert_eq!(
        world.state("a").await,
        (State::Held, Some("provider_unavailable".to_owned()))
    );
    world.later(MINUTE * 2).tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn what_a_look_finds_holds_the_item_and_another_look_frees_it() {
    type Edit = fn(&World);
    let cases: [(&str, Edit); 4] = [
        ("not_found", |_| {}),
        ("not_started", |world| {
            let starts_at = "2026-12-24T00:00:00Z".parse().unwrap();
            world.set("a", Life::NotStarted { starts_at });
        }),
        ("state_unclear", |world| {
            let status = "paused".to_owned();
            world.set("a", Life::Unclear { status });
        }),
        ("payment_plan", |world| {
            world.edit("a", |it| it.billing = Billing::PaymentPlan);
        }),
    ];
    for (reason, prepare) in cases {
        let mut world = World::new();
        world.add("a", "when: now");
        prepare(&world);
        world.accept().await;
        world.tick().await;
        assert_eq!(
            world.state("a").await,
            (State::Held, Some(reason.to_owned()))
        );
        assert_eq!(world.cancels(), 0, "{reason}");
        world.set("a", Life::Active);
        world.edit("a", |it| it.billing = Billing::Recurring);
        world.later(MINUTE * 2).tick().await;
        assert_eq!(world.state("a").await, (State::Canceled, None), "{reason}");
        world.verify().await;
    }
}

#[tokio::test]
async fn an_expectation_that_is_not_met_sends_nothing() {
    let mut world = World::new();
    world.lives("a");
    world.add("a", "when: now, expect: {customer: cus_2}");
    world.accept().await;
    world.tick().await;
    assert_eq!(
        world.state("a").await,
        (State::Held, Some("expectation".to_owned()))
    );
    // Mending the line is looked at once more at the next tick.
    world.remove("a");
    world.add("a", "when: now, expect: {customer: cus_1}");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn holds_are_looked_at_less_and_less_often() {
    let mut world = World::new();
    world.add("a", "when: now");
    world.accept().await;
    for _ in 0..(24 * 60) {
        world.later(MINUTE).tick().await;
    }
    let looks = world.calls().len();
    assert!((8..=14).contains(&looks), "{looks} looks in a day");
}
