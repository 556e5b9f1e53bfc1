//! Whoever wants a write that must not be: edits, renames and outages at the wrong moment.

use std::time::Duration;

use lapsed::ledger::Ledger as _;
use lapsed::model::act::{Action, Answer};
use lapsed::model::observed::{Billing, Life};
use lapsed::model::provider::ProviderKind;
use lapsed::model::standing::State;
use lapsed::provider::LookError;
use lapsed::reconcile::preview::Planned;

use super::kit::{MINUTE, refused, retry};
use super::world::{Call, Mood, World, name};
use super::{lost_reading, settle};

#[tokio::test]
async fn what_failed_is_planned_afresh_on_the_terms_of_the_accepted_file() {
    let mut world = World::new().wants("a").mood("a", [Mood::Says(refused())]);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await.0, State::Failed);

    world.remove("a");
    world.add("a", "when: 2027-06-01, expect: {customer: cus_9}");
    world.accept().await;
    world.command(retry()).await;
    world.later(MINUTE).tick().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 1, "sent on terms that were not accepted");
}

#[tokio::test]
async fn what_failed_is_not_planned_afresh_while_its_line_is_gone_from_a_broken_file() {
    let mut world = World::new().wants("a").mood("a", [Mood::Says(refused())]);
    world.accept().await;
    world.tick().await;
    // The newest text is broken and lacks the line: `stale_rows` sees open rows alone.
    let open = world.ledger.open_places().await.unwrap();
    let stale = open.iter().map(|(row, _)| *row).collect();
    world.ledger.mark_stale(stale, world.now()).await.unwrap();
    world.command(retry()).await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 1, "sent although its line is gone");
}

#[tokio::test]
async fn a_provider_that_is_renamed_without_saying_so_repeats_nothing() {
    let mut world = World::new().wants("a");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.effective("a"), 1);
    // The customer comes back; the provider's name changes.
    world.lives("a");
    world.call_it("q", "");
    world.accept().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.effective("a"), 1, "cancelled twice for one request");
}

#[tokio::test]
async fn a_rename_sends_nothing_while_the_old_name_has_an_unknown_outcome() {
    let mut world = World::new().wants("a").mood("a", [Mood::DoesItLater]);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await.0, State::Unknown);
    world.call_it("q", "");
    world.accept().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 1, "sent again without two readings");
}

#[tokio::test]
async fn a_rename_that_is_said_one_revision_later_repeats_nothing() {
    let mut world = World::new().wants("a");
    world.accept().await;
    world.tick().await;
    world.lives("a");
    world.call_it("q", "");
    world.accept().await;
    world.call_it("q", ", formerly: p");
    world.accept().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.effective("a"), 1, "cancelled twice for one request");
}

#[tokio::test]
async fn a_deactivated_instalment_plan_is_not_written_off() {
    let mut world = World::of(ProviderKind::Kajabi);
    world.add("1", "when: now");
    world.edit("1", |it| {
        it.billing = Billing::PaymentPlan;
        it.life = Life::Ended { at: None };
    });
    world.accept().await;
    world.tick().await;
    assert_eq!(world.cancels(), 0);
    assert_eq!(
        world.state("1").await,
        (State::Held, Some("payment_plan".to_owned()))
    );
}

#[tokio::test]
async fn an_outage_of_half_a_day_delays_nothing_by_another_half() {
    let mut world = World::new().wants("a");
    world.accept().await;
    world.reading_fails(std::iter::repeat_n(lost_reading(), 10_000));
    for _ in 0..12 * 60 {
        world.later(MINUTE).tick().await;
    }
    world.reading_works_again();
    for _ in 0..2 * 60 {
        world.later(MINUTE).tick().await;
    }
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn an_item_goes_to_a_provider_of_the_type_that_the_file_gives_now() {
    let mut world = World::of(ProviderKind::Kajabi).wants("a");
    world.accept().await;
    world.set_kind(ProviderKind::Revere);
    world.remove("a");
    world.add("a", "when: now, reason: Fraud");
    world.accept().await;
    world.tick().await;
    let reason = Some("Fraud".to_owned());
    let cancel = Action::Cancel {
        reason,
        behaviors: None,
    };
    assert!(
        world
            .calls()
            .contains(&Call::Cancel("a".to_owned(), cancel)),
        "{:?}",
        world.calls()
    );
}

#[tokio::test]
async fn terms_that_came_too_late_free_nothing_that_a_broken_file_holds() {
    let mut world = World::new().wants("a").mood("a", [Mood::LosesIt]);
    world.accept().await;
    world.tick().await;
    world.remove("a");
    world.add("a", "when: now, labels: {ticket: T-1}, reason: Other");
    world.accept().await;
    // Now the file breaks and lacks the line.
    let row = world.request("a").await.row;
    world
        .ledger
        .mark_stale(vec![row], world.now())
        .await
        .unwrap();
    for _ in 0..120 {
        world.later(MINUTE).tick().await;
    }
    assert_eq!(world.cancels(), 1, "sent although its line is gone");
    assert_eq!(
        world.state("a").await,
        (State::Held, Some("config_stale".to_owned()))
    );
}

#[tokio::test]
async fn what_is_in_flight_is_known_by_its_place_in_the_newest_accepted_text() {
    let mut world = World::new().wants("a").mood("a", [Mood::LosesIt]);
    world.accept().await;
    world.tick().await;
    let before = world.request("a").await.place;
    world.remove("a");
    world.add("b", "when: 2027-01-01");
    world.add("a", "when: now");
    world.accept().await;
    let after = world.request("a").await.place;
    assert_eq!(after.line, before.line + 1);
}

#[tokio::test]
async fn a_pause_that_the_account_request_met_is_kept() {
    let mut world = World::new().wants("a");
    world.accept().await;
    let asked = world.accounts_asked();
    world.account(Err(lapsed::provider::LookError::Throttled {
        retry_after: Duration::from_secs(3600),
    }));
    world.tick().await;
    world.later(MINUTE).tick().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.accounts_asked() - asked, 1, "asked during the pause");
}

#[tokio::test]
async fn five_lost_attempts_leave_the_newest_terms_to_the_retry() {
    let mut world = World::new().wants("a").mood("a", vec![Mood::LosesIt; 5]);
    world.accept().await;
    for _ in 0..2_000 {
        world.later(MINUTE).tick().await;
        if world.cancels() == 5 {
            break;
        }
    }
    world.remove("a");
    world.add("a", "when: 2027-06-01");
    world.accept().await;
    settle(&world, "a").await;
    assert_eq!(world.state("a").await.0, State::Failed);
    world.command(retry()).await;
    world.later(MINUTE).tick().await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.cancels(), 5, "sent on terms that were not accepted");
}

#[tokio::test]
async fn the_plan_says_that_a_line_that_is_back_is_cancelled() {
    let mut world = World::new().wants("a");
    world.accept().await;
    world.remove("a");
    world.accept().await;
    world.add("a", "when: now");
    assert_eq!(world.planned("a").await, Planned::Cancel);
}

#[tokio::test]
async fn the_plan_holds_no_edit_for_an_approval_that_acceptance_does_not_ask_for() {
    let mut world = World::new().with("limits: {approval_above: 2}");
    world.lives("a");
    world.add("a", "when: 2027-06-01");
    world.accept().await;
    world.remove("a");
    world.add("a", "when: 2027-07-01");
    for id in ["b", "c", "d"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    let planned = [world.planned("a").await, world.planned("b").await];
    world.accept().await;
    world.tick().await;
    let happened = [world.state("a").await.0, world.state("b").await.0];
    assert_eq!(planned, [Planned::Scheduled, Planned::Held]);
    assert_eq!(happened, [State::Scheduled, State::Held]);
}

#[tokio::test]
async fn the_plan_keeps_an_approval_that_an_edit_does_not_give() {
    let mut world = World::new();
    world.lives("a");
    world.add("a", "when: 2016-06-01");
    world.accept().await;
    world.remove("a");
    world.add("a", "when: now");
    let planned = world.planned("a").await;
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await.0, State::Held);
    assert_eq!(planned, Planned::Held);
}

#[tokio::test]
async fn the_plan_says_what_its_own_reading_frees() {
    let mut world = World::new();
    world.add("a", "when: now");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await.1.as_deref(), Some("not_found"));
    world.lives("a");
    assert_eq!(world.planned("a").await, Planned::Cancel);
}

#[tokio::test]
async fn the_plan_of_a_rename_knows_what_is_finished() {
    let mut world = World::new().wants("a");
    world.accept().await;
    world.tick().await;
    world.lives("a");
    world.call_it("q", ", formerly: p");
    assert_eq!(world.planned("a").await, Planned::Finished);
}

#[tokio::test]
async fn an_acceptance_that_was_cut_short_keeps_its_verdict() {
    let mut world = World::new().with("limits: {approval_above: 2}");
    world.accept().await;
    for id in ["a", "b", "c", "d"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    // Two of four were taken in when the ledger failed.
    let verdict = world.cut_short(2).await;
    assert_eq!(verdict.approval, [name()]);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.cancels(), 0, "it freed its own excess");
}

/// A tick a minute for some hours.
pub async fn hours(world: &World, hours: u32) {
    for _ in 0..hours * 60 {
        world.later(MINUTE).tick().await;
    }
}

#[tokio::test]
async fn one_item_that_may_not_be_cancelled_blocks_no_other() {
    let forbidden = vec![Mood::Says(Answer::Forbidden); 10_000];
    let mut world = World::new().wants("a").wants("b").mood("a", forbidden);
    world.accept().await;
    hours(&world, 6).await;
    assert_eq!(world.state("b").await.0, State::Canceled);
}

#[tokio::test]
async fn one_item_whose_cancel_is_always_throttled_blocks_no_other() {
    let throttled = Answer::Throttled {
        retry_after: Duration::from_secs(30),
    };
    let throttled = vec![Mood::Says(throttled); 10_000];
    let mut world = World::new().wants("a").wants("b").mood("a", throttled);
    world.accept().await;
    hours(&world, 6).await;
    assert_eq!(world.state("b").await.0, State::Canceled);
}

#[tokio::test]
async fn what_was_sent_is_not_repeated_sooner_because_the_file_says_so_later() {
    let mut world = World::new().wants("a").mood("a", [Mood::DoesItLater]);
    world.accept().await;
    world.tick().await;
    let mut world = world.provider_says("timeout: 5s, resend_after: 10s");
    world.accept().await;
    for _ in 0..20 {
        world.later(MINUTE).tick().await;
    }
    world.late_effects_happen();
    assert_eq!(
        world.cancels(),
        1,
        "sent again within the old `resend_after`"
    );
}

#[tokio::test]
async fn a_wall_clock_that_is_set_back_keeps_no_provider_closed() {
    let mut world = World::new().wants("a");
    let right = world.now();
    world.clock.set_wall(right + chrono::Duration::days(1));
    world.accept().await;
    world.reading_fails([LookError::Throttled {
        retry_after: Duration::from_secs(60),
    }]);
    world.tick().await;
    world.clock.set_wall(right + chrono::Duration::hours(1));
    // Accepted at the wrong time, it is due a day from now; a retry makes it due.
    hours(&world, 2).await;
    let gates = world.standpoint().await.gates(&name());
    assert_eq!(gates, []);
}

#[tokio::test]
async fn an_acceptance_that_failed_and_was_reverted_stops_no_pass() {
    let mut world = World::new().wants("a");
    let (mut keeper, live) = world.keeper().await;
    keeper.take(&world.latest()).await.unwrap();
    // The next revision is taken in half-way when the ledger fails, and then reverted.
    world.add("b", "when: now");
    world.cut_short(1).await;
    world.remove("b");
    keeper.take(&world.latest()).await.unwrap();
    world.follows(live.in_force.load_full().unwrap());
    world.tick().await;
    assert_eq!(world.state("a").await.0, State::Canceled);
}

#[tokio::test]
async fn one_item_that_may_not_be_read_blocks_no_other() {
    let mut world = World::new().wants("a").wants("b");
    let why = "the provider answered 403".to_owned();
    world.poison("a", LookError::Credentials { why });
    world.accept().await;
    hours(&world, 6).await;
    assert_eq!(world.state("b").await.0, State::Canceled);
}

#[tokio::test]
async fn one_item_whose_reading_always_asks_for_a_pause_blocks_no_other() {
    let mut world = World::new().wants("a").wants("b");
    let retry_after = Duration::from_secs(30);
    world.poison("a", LookError::Throttled { retry_after });
    world.accept().await;
    hours(&world, 6).await;
    assert_eq!(world.state("b").await.0, State::Canceled);
}
