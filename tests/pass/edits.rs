//! Revisions that meet what is in flight, what has failed, and what was renamed.

use std::time::Duration;

use lapsed::ledger::{Command, Ledger};
use lapsed::model::act::{Action, Answer};
use lapsed::model::observed::Life;
use lapsed::model::provider::ProviderKind;
use lapsed::model::standing::State;

use super::kit::{MINUTE, refused, retry};
use super::settle;
use super::world::{Mood, World, name};

#[tokio::test]
async fn a_retry_plans_what_the_file_says_now() {
    let mut world = World::new().wants("a").mood("a", [Mood::Says(refused())]);
    world.accept().await;
    world.tick().await;
    world.remove("a");
    world.add("a", "when: 2027-06-01");
    world.accept().await;
    world.command(retry()).await;
    world.later(MINUTE).tick().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 1, "sent before its day");
    assert_eq!(world.state("a").await, (State::Scheduled, None));
    world.verify().await;
}

#[tokio::test]
async fn a_retry_heeds_an_expectation_that_was_added_after_the_failure() {
    let mut world = World::new().wants("a").mood("a", [Mood::Says(refused())]);
    world.accept().await;
    world.tick().await;
    world.remove("a");
    world.add("a", "when: now, expect: {customer: cus_2}");
    world.accept().await;
    assert_eq!(world.state("a").await, (State::Failed, None));
    world.command(retry()).await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 1);
    let held = Some("expectation".to_owned());
    assert_eq!(world.state("a").await, (State::Held, held));
    world.verify().await;
}

#[tokio::test]
async fn what_a_broken_file_lacks_is_not_sent_by_a_retry() {
    let mut world = World::new().wants("a").mood("a", [Mood::Says(refused())]);
    world.accept().await;
    world.tick().await;
    world.breaks("oops: [").await;
    world.command(retry()).await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 1);
    let held = Some("config_stale".to_owned());
    assert_eq!(world.state("a").await, (State::Held, held));
    world.verify().await;
}

#[tokio::test]
async fn late_terms_do_not_free_what_a_broken_file_lacks() {
    let mut world = World::new().wants("a").mood("a", [Mood::LosesIt]);
    world.accept().await;
    world.tick().await;
    world.remove("a");
    world.add("a", "when: now, labels: {ticket: OPS-1}");
    world.accept().await;
    world.breaks("oops: [").await;
    settle(&world, "a").await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 1);
    let held = Some("config_stale".to_owned());
    assert_eq!(world.state("a").await, (State::Held, held));
    world.verify().await;
}

#[tokio::test]
async fn an_answer_is_recorded_though_a_revision_was_accepted_meanwhile() {
    let mut world = World::new().wants("a").mood("a", [Mood::Says(refused())]);
    world.accept().await;
    world.tick_while_a_revision_is_accepted().await;
    assert_eq!(world.state("a").await, (State::Failed, None));
    world.verify().await;
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_kept_though_a_revision_was_accepted_meanwhile() {
    let throttled = Mood::Says(Answer::Throttled {
        retry_after: Duration::from_secs(600),
    });
    let mut world = World::new().wants("a").mood("a", [throttled]);
    world.accept().await;
    world.tick_while_a_revision_is_accepted().await;
    let memory = world.ledger.provider(name()).await.unwrap();
    assert!(memory.resume_at.is_some(), "{memory:?}");
}

#[tokio::test]
async fn a_confirming_cancel_is_sent_once_though_the_provider_has_another_name() {
    let mut world = World::of(ProviderKind::Kajabi).wants("1");
    world.set("1", Life::Ended { at: None });
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("1").await, (State::Canceled, None));
    world.calls_it("q");
    world.accept().await;
    world.later(MINUTE).tick().await;
    let confirming = world
        .calls()
        .into_iter()
        .filter(|call| matches!(call, super::Call::Cancel(_, Action::ConfirmCancel)));
    assert_eq!(confirming.count(), 1);
}

#[tokio::test]
async fn what_may_still_happen_is_not_sent_again_under_another_name() {
    let mut world = World::new().wants("a").mood("a", [Mood::DoesItLater]);
    world.accept().await;
    world.tick().await;
    world.calls_it("q");
    world.accept().await;
    world.later(MINUTE).tick().await;
    world.late_effects_happen();
    assert_eq!((world.cancels(), world.effective("a")), (1, 1));
    let held = Some("account_changed".to_owned());
    assert_eq!(world.state("a").await, (State::Held, held));

    // The cure: say what it was called.
    let mut world = world.provider_says("formerly: p");
    world.accept().await;
    settle(&world, "a").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!(world.cancels(), 1);
    world.verify().await;
}

#[tokio::test]
async fn a_shorter_resend_after_does_not_shorten_the_wait_for_what_was_sent() {
    let mut world = World::new().wants("a").mood("a", [Mood::DoesItLater]);
    world.accept().await;
    world.tick().await;
    let mut world = world.provider_says("resend_after: 30s");
    world.accept().await;
    for _ in 0..10 {
        world.later(MINUTE).wake().await;
    }
    world.late_effects_happen();
    settle(&world, "a").await;
    assert_eq!((world.cancels(), world.effective("a")), (1, 1));
}

#[tokio::test]
async fn limits_count_over_a_restart_though_the_clock_was_once_ahead() {
    let mut world = World::new().with("limits: {per_hour: 4}").wants("ahead");
    let now = world.now();
    world.accept().await;
    world.clock.set_wall(now + chrono::Duration::days(3));
    world.tick().await;
    world.clock.set_wall(now);
    let mut world = world.wants("a").wants("b");
    world.accept().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 3);
    let mut world = world.wants("c").wants("d").wants("e");
    world.accept().await;
    world.restart().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 4);
}

#[tokio::test]
async fn a_command_that_cannot_be_done_does_not_stop_everything() {
    let mut world = World::new().wants("a").wants("b");
    world.accept().await;
    world.tick().await;
    world
        .command(Command::Retry {
            provider: name(),
            id: None,
            state: State::Canceled,
        })
        .await;
    let mut world = world.wants("c");
    world.accept().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.state("c").await, (State::Canceled, None));
}

#[tokio::test]
async fn two_names_that_begin_at_once_with_one_account_send_nothing_twice() {
    let mut world = World::new().wants("a");
    world.second_name("q");
    world.add_at("q", "a", "when: now");
    world.accept().await;
    world.tick_both("q").await;
    assert!(world.cancels() <= 1, "{:?}", world.calls());
}

async fn many(world: &mut World, ids: std::ops::Range<u32>, terms: &str) {
    for id in ids {
        let id = format!("s{id}");
        world.lives(&id);
        world.add(&id, terms);
    }
    world.accept().await;
}

#[tokio::test]
async fn items_that_become_earlier_all_at_once_wait_for_an_approval() {
    let mut world = World::new();
    many(&mut world, 0..75, "when: 2027-06-01").await;
    world.later(Duration::from_secs(48 * 3600));
    many(&mut world, 75..150, "when: 2027-06-01").await;
    world.later(Duration::from_secs(48 * 3600));
    world.edit_lines("2027-06-01", "now");
    world.accept().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 0);
}

#[tokio::test]
async fn new_items_count_over_a_rolling_day() {
    let mut world = World::new();
    many(&mut world, 0..75, "when: now").await;
    world.later(MINUTE);
    many(&mut world, 75..150, "when: now").await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 75);
}

#[tokio::test]
async fn a_provider_turned_to_enforce_counts_as_so_many_new_items() {
    let mut world = World::new().observing();
    many(&mut world, 0..75, "when: now").await;
    world.later(Duration::from_secs(48 * 3600)).tick().await;
    many(&mut world, 75..150, "when: now").await;
    world.later(Duration::from_secs(48 * 3600)).tick().await;
    world.set_mode("enforce");
    world.accept().await;
    world.ledger_wakes().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 0);
}
