//! Guards: what holds a provider or a revision, and what frees it.

use lapsed::ledger::Command;
use lapsed::model::act::Answer;
use lapsed::model::standing::State;
use lapsed::provider::LookError;

use super::kit::{HOUR, MINUTE, held};
use super::lost_reading;
use super::world::{Call, Mood, World, name};

#[tokio::test]
async fn observe_mode_looks_and_says_what_would_be_cancelled_and_sends_nothing() {
    let mut world = World::new().observing().wants("a");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.calls(), [Call::Look("a".to_owned())]);
    assert_eq!(world.state("a").await, held("observe_mode"));
    world.set_mode("enforce");
    world.accept().await;
    world.ledger_wakes().await;
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn a_pause_costs_no_request_and_a_resume_goes_on() {
    let mut world = World::new().wants("a");
    world.accept().await;
    world
        .command(Command::Pause {
            provider: Some(name()),
        })
        .await;
    world.tick().await;
    assert_eq!(world.calls(), []);
    let item = world.item("a").await;
    let hold = item.hold.unwrap();
    assert_eq!(hold.reason.to_string(), "paused");
    assert!(hold.detail.contains("dana"), "{}", hold.detail);
    world
        .command(Command::Resume {
            provider: Some(name()),
        })
        .await;
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn a_freeze_holds_what_it_matches() {
    let mut world = World::new()
        .with("freezes: [{name: Black Friday, from: 2026-11-24, until: 2026-11-24}]")
        .wants("a");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.calls(), []);
    assert_eq!(world.state("a").await, held("frozen"));
    world.later(HOUR * 12).tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn a_freeze_of_some_items_leaves_the_others_alone() {
    let mut world = World::new().with(
        "freezes: [{name: fragile ones, from: 2026-11-24, until: 2026-11-24, match: {id: \"a*\"}}]",
    );
    for id in ["a1", "b1"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a1").await, held("frozen"));
    assert_eq!(world.state("b1").await, (State::Canceled, None));
    world.later(HOUR * 12).tick().await;
    assert_eq!(world.state("a1").await, (State::Canceled, None));
}

#[tokio::test]
async fn limits_hold_over_restarts_and_the_rest_waits_its_turn() {
    let mut world = World::new()
        .with("limits: {per_hour: 2}")
        .wants("a")
        .wants("b")
        .wants("c");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.cancels(), 2);
    world.restart().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 2);
    assert_eq!(world.state("c").await, held("limit"));
    world.later(HOUR).tick().await;
    assert_eq!(world.cancels(), 3);
}

#[tokio::test]
async fn a_limit_of_zero_means_zero() {
    let mut world = World::new().with("limits: {per_day: 0}").wants("a");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.cancels(), 0);
    assert_eq!(world.state("a").await, held("limit"));
}

#[tokio::test]
async fn failures_in_a_row_stop_the_provider_and_one_trial_reopens_it() {
    let mut world = World::new();
    for index in 0..9 {
        let id = format!("s{index}");
        world.lives(&id);
        world.add(&id, "when: now");
    }
    world.accept().await;
    world.reading_fails(vec![lost_reading(); 5]);
    world.tick().await;
    assert_eq!(world.state("s8").await, held("provider_stopped"));
    let before = world.calls().len();
    world.tick().await;
    assert_eq!(world.calls().len(), before, "asked while stopped");
    for _ in 0..5 {
        world.later(MINUTE * 5).tick().await;
    }
    for index in 0..9 {
        assert_eq!(
            world.state(&format!("s{index}")).await,
            (State::Canceled, None)
        );
    }
}

#[tokio::test]
async fn credentials_that_are_refused_hold_everything_and_fail_nothing() {
    let mut world = World::new().wants("a").wants("b");
    world.accept().await;
    let refused = || LookError::Credentials {
        why: "401 after a new token".to_owned(),
    };
    world.reading_fails([refused()]);
    world.tick().await;
    assert_eq!(world.state("a").await, held("credentials"));
    assert_eq!(world.state("b").await, held("credentials"));
    world.later(MINUTE).tick().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!(world.state("b").await, (State::Canceled, None));
}

#[tokio::test]
async fn a_key_that_may_read_and_not_cancel_fails_nothing() {
    let mut world = World::new()
        .wants("a")
        .mood("a", vec![Mood::Says(Answer::Forbidden); 3]);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await.0, State::Held);
    for _ in 0..60 {
        world.later(MINUTE).tick().await;
    }
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!(world.cancels(), 4);
    assert_eq!(world.request("a").await.standing.counted, 1);
}

#[tokio::test]
async fn a_clock_that_differs_holds_and_sends_nothing() {
    let mut world = World::new().wants("a");
    world.skewed(301);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await, held("clock_skew"));
    assert_eq!(world.cancels(), 0);
    world.skewed(10);
    world.later(MINUTE).tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn another_account_under_a_known_name_holds_everything() {
    let mut world = World::new();
    world.accept().await;
    world.tick().await;
    world.lives("a");
    world.add("a", "when: now");
    world.accept().await;
    world.account(Ok("another account"));
    world.tick().await;
    assert_eq!(world.calls(), []);
    assert_eq!(world.state("a").await, held("account_changed"));
    world.account(Ok("the account"));
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn more_new_items_than_approval_above_wait() {
    let mut world = World::new().with("limits: {approval_above: 2}");
    for id in ["a", "b", "c"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    let verdict = world.accept().await;
    assert_eq!(verdict.approval, [name()]);
    world.tick().await;
    assert_eq!(world.calls(), []);
    assert_eq!(world.state("a").await, held("approval"));
}

#[tokio::test]
async fn a_day_long_past_waits_for_an_approval_alone() {
    let mut world = World::new().wants("b");
    world.lives("a");
    world.add("a", "when: 2025-12-31");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await, held("approval"));
    assert_eq!(world.state("b").await, (State::Canceled, None));
}

#[tokio::test]
async fn everything_removed_by_mistake_is_held_and_comes_back_as_it_was() {
    let mut world = World::new();
    let ids: Vec<String> = (0..10).map(|index| format!("s{index}")).collect();
    for id in &ids {
        world.lives(id);
        world.add(id, "when: 2026-11-25");
    }
    world.accept().await;
    for id in &ids[..8] {
        world.remove(id);
    }
    let verdict = world.accept().await;
    assert_eq!(verdict.removal, [name()]);
    world.later(HOUR * 13).tick().await;
    assert_eq!(world.state("s0").await, held("removal"));
    assert_eq!(world.state("s9").await, (State::Canceled, None));
    for id in &ids[..8] {
        world.add(id, "when: 2026-11-25");
    }
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("s0").await, (State::Canceled, None));
    world.verify().await;
}

#[tokio::test]
async fn a_revision_in_force_is_what_a_permit_rests_on() {
    let mut world = World::new().wants("a");
    world.accept().await;
    let old = world.party();
    let before = world.in_force();
    world.remove("a");
    world.accept().await;
    world.pass_with(&old, &before).await;
    assert_eq!(world.cancels(), 0);
    assert_eq!(world.state("a").await, (State::Withdrawn, None));
}
