//! What waits for a person: too much at once, and what vanished; freed by the digest that a
//! plan prints, while the terms stand.

use lapsed::ledger::{Command, Ledger as _};
use lapsed::model::approval::{Approved, What};
use lapsed::model::standing::State;
use lapsed::reconcile::preview::Planned;

use super::kit::{DAY, MINUTE, held};
use super::world::World;

/// A file in which two may come at once, and which asks for four.
async fn four() -> World {
    let mut world = World::new().with("limits: {approval_above: 2}");
    for id in ["a", "b", "c", "d"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    world.accept().await;
    world
}

/// The one digest that waits.
async fn digest(world: &World) -> String {
    let mut waiting = world.ledger.waiting().await.unwrap();
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    waiting.remove(0).digest
}

fn approvals(plan: &str, more: &str) -> String {
    format!(
        "limits: {{approval_above: 2}}\napprovals: [{{plan: {plan}, by: dana, until: 2026-12-02{more}}}]"
    )
}

async fn tick_later(world: &World) {
    world.later(MINUTE).tick().await;
}

#[tokio::test]
async fn a_plan_prints_the_digest_that_the_ledger_will_know() {
    let mut world = World::new().with("limits: {approval_above: 2}");
    for id in ["b", "a", "c"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    let foretold = world.plan().await.digests.remove(0);
    world.accept().await;
    let known = world.ledger.waiting().await.unwrap().remove(0);
    assert_eq!(foretold.digest, known.digest);
    assert_eq!((known.items, known.what), (3, What::Approval));
    assert_eq!(world.plan().await.digests[0].digest, known.digest);
}

#[tokio::test]
async fn an_approval_in_the_file_frees_what_waited_before_it() {
    let world = four().await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 0);
    let plan = digest(&world).await;
    let mut world = world.says(&approvals(&plan, ""));
    assert_eq!(world.planned("a").await, Planned::Cancel);
    world.accept().await;
    assert_eq!(world.approvals, [Approved::Freed(4)]);
    tick_later(&world).await;
    assert_eq!(world.cancels(), 4);
    world.verify().await;
}

#[tokio::test]
async fn an_approval_in_the_revision_of_its_items_counts_from_the_next_one_on() {
    let mut world = World::new().with("limits: {approval_above: 2}");
    for id in ["a", "b", "c"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    let plan = world.plan().await.digests.remove(0).digest;
    let mut world = world.says(&approvals(&plan, ""));
    let warning = world.plan().await.warnings.join("\n");
    assert!(warning.contains("same revision as its items"), "{warning}");
    world.accept().await;
    assert_eq!(world.approvals, [Approved::TooEarly]);
    tick_later(&world).await;
    assert_eq!(world.cancels(), 0);
    world.accept().await;
    assert_eq!(world.approvals, [Approved::Freed(3)]);
    tick_later(&world).await;
    assert_eq!(world.cancels(), 3);
}

#[tokio::test]
async fn an_approval_for_another_digest_and_one_past_its_day_free_nothing() {
    let world = four().await;
    let plan = digest(&world).await;
    let mut world = world.says(&approvals("00000000000000000000000000000000", ""));
    world.accept().await;
    assert_eq!(world.approvals, [Approved::Unknown]);
    world.later(DAY * 9);
    let mut world = world.says(&approvals(&plan, ""));
    let warning = world.plan().await.warnings.join("\n");
    assert!(warning.contains("2026-12-02, is past"), "{warning}");
    world.accept().await;
    assert_eq!(world.approvals, [Approved::Past]);
    tick_later(&world).await;
    assert_eq!(world.cancels(), 0);
}

#[tokio::test]
async fn a_canary_frees_the_first_of_the_file_and_the_rest_when_it_is_widened() {
    let world = four().await;
    let plan = digest(&world).await;
    let mut world = world.says(&approvals(&plan, ", at_most: 1"));
    world.accept().await;
    tick_later(&world).await;
    assert_eq!(world.effective("a"), 1);
    assert_eq!(world.state("b").await, held("approval"));
    // After its day it still goes on, because it has begun by then.
    world.later(DAY * 30);
    let mut world = world.says(&approvals(&plan, ", at_most: 3"));
    world.accept().await;
    assert_eq!(world.approvals, [Approved::Freed(2)]);
    tick_later(&world).await;
    assert_eq!(world.cancels(), 3);
    assert_eq!(world.state("d").await, held("approval"));
}

#[tokio::test]
async fn what_is_approved_may_have_a_limit_of_its_own_which_survives_a_restart() {
    let world = four().await;
    let plan = digest(&world).await;
    let head = approvals(&plan, ", per_day: 2");
    let mut world =
        world.says(&head.replace("approval_above: 2", "approval_above: 2, per_hour: 0"));
    world.accept().await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 2, "not the common limit, but its own");
    assert_eq!(world.state("c").await, held("limit"));
    world.restart().await;
    world.later(DAY / 2).tick().await;
    assert_eq!(world.cancels(), 2);
    world.later(DAY / 2 + MINUTE).tick().await;
    assert_eq!(world.cancels(), 4);
    world.verify().await;
}

#[tokio::test]
async fn what_has_a_limit_of_its_own_takes_nothing_from_the_common_one() {
    let world = four().await;
    let plan = digest(&world).await;
    let head = approvals(&plan, ", per_day: 100");
    let mut world = world.says(&head.replace("approval_above: 2", "approval_above: 2, per_day: 1"));
    world.lives("z");
    world.add("z", "when: now");
    world.accept().await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 5);
}

#[tokio::test]
async fn terms_that_change_after_an_approval_wait_again() {
    let world = four().await;
    let plan = digest(&world).await;
    let mut world = world.says(&approvals(&plan, ""));
    world.edit_line("a", "when: now", "when: now, labels: {ticket: OPS-1}");
    world.accept().await;
    tick_later(&world).await;
    assert_eq!(
        world.state("a").await,
        held("approval"),
        "it was approved without"
    );
    assert_eq!(world.cancels(), 3);
}

#[tokio::test]
async fn what_was_approved_and_is_edited_before_it_is_sent_waits_again() {
    let world = four().await;
    let plan = digest(&world).await;
    let mut world = world.says(&approvals(&plan, ""));
    world.accept().await;
    world.edit_line("a", "when: now", "when: now, labels: {ticket: OPS-1}");
    assert_eq!(world.planned("a").await, Planned::Held);
    world.accept().await;
    tick_later(&world).await;
    assert_eq!(world.state("a").await, held("approval"));
    assert_eq!(world.cancels(), 3);
}

#[tokio::test]
async fn what_has_come_to_wait_since_has_a_digest_of_its_own() {
    let mut world = four().await;
    let first = digest(&world).await;
    for id in ["e", "f", "g"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    world.accept().await;
    let second = digest(&world).await;
    assert_ne!(first, second);
    world.approve(&first, None).await;
    tick_later(&world).await;
    assert_eq!(world.state("e").await, held("approval"));
    assert_eq!(world.cancels(), 4);
}

#[tokio::test]
async fn a_command_approves_and_can_free_a_canary_first() {
    let world = four().await;
    let plan = digest(&world).await;
    world.approve(&plan, Some(1)).await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 1);
    world.approve(&plan, None).await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 4);
    world.approve(&plan, None).await;
    tick_later(&world).await;
    world.verify().await;
}

#[tokio::test]
async fn what_was_approved_in_observe_mode_needs_no_second_approval_to_be_enforced() {
    let mut world = World::new().with("limits: {approval_above: 2}").observing();
    for id in ["a", "b", "c"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    world.accept().await;
    world.approve_all().await;
    tick_later(&world).await;
    assert_eq!(world.state("a").await, held("observe_mode"));
    world.set_mode("enforce");
    world.accept().await;
    world.ledger_wakes().await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 3);
}

#[tokio::test]
async fn a_policy_that_goes_from_the_periods_end_to_now_waits_for_an_approval() {
    let mut world = World::new()
        .with("limits: {approval_above: 2}\npolicies: [{name: all, set: {when: end_of_period}}]");
    for id in ["a", "b"] {
        world.renews(id, "2027-06-01T00:00:00Z", 365);
        world.add_bare(id);
    }
    world.accept().await;
    world.wake().await;
    world.later(DAY * 2);
    world.renews("c", "2027-06-01T00:00:00Z", 365);
    world.add_bare("c");
    world.accept().await;
    world.wake().await;
    world.later(DAY * 2);
    let mut world =
        world.says("limits: {approval_above: 2}\npolicies: [{name: all, set: {when: now}}]");
    for id in ["a", "b", "c"] {
        assert_eq!(world.planned(id).await, Planned::Held);
    }
    world.accept().await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 0);
    let detail = world.item("a").await.hold.unwrap().detail;
    assert!(detail.contains("its day is earlier"), "{detail}");
    world.approve_all().await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 3);
    world.verify().await;
}

#[tokio::test]
async fn a_revision_cannot_loosen_the_guard_that_would_hold_it() {
    let mut world = World::new().with("limits: {approval_above: 1}");
    world.accept().await;
    let mut world = world.says("limits: {approval_above: 100}");
    for id in ["a", "b"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    world.accept().await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 0);
}

#[tokio::test]
async fn a_freeze_that_is_taken_out_lets_its_items_act_earlier_and_counts() {
    let frozen =
        "limits: {approval_above: 2}\nfreezes: [{name: sale, from: 2026-11-24, until: 2026-12-24}]";
    let mut world = World::new().with(frozen);
    for id in ["a", "b"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    world.accept().await;
    world.later(DAY * 2);
    world.lives("c");
    world.add("c", "when: now");
    world.accept().await;
    world.later(DAY * 2);
    let mut world = world.says("limits: {approval_above: 2}");
    world.accept().await;
    world.ledger_wakes().await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 0);
    let detail = world.item("a").await.hold.unwrap().detail;
    assert!(detail.contains("freeze"), "{detail}");
}

#[tokio::test]
async fn a_line_that_is_edited_to_a_day_long_past_waits_by_itself() {
    let mut world = World::new();
    world.lives("a");
    world.add("a", "when: 2027-06-01");
    world.accept().await;
    world.edit_line("a", "2027-06-01", "2026-06-01");
    assert_eq!(world.planned("a").await, Planned::Held);
    world.accept().await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 0);
    assert_eq!(world.state("a").await, held("approval"));
}

#[tokio::test]
async fn a_day_that_has_passed_while_it_waited_for_something_else_is_no_slip() {
    let mut world = World::new();
    world.lives("a");
    world.add("a", "when: 2026-11-26");
    world.accept().await;
    world.command(Command::Pause { provider: None }).await;
    world.later(DAY * 9).tick().await;
    world.edit_line(
        "a",
        "when: 2026-11-26",
        "when: 2026-11-26, labels: {ticket: OPS-1}",
    );
    world.accept().await;
    world.command(Command::Resume { provider: None }).await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 1);
}

#[tokio::test]
async fn what_vanished_is_withdrawn_once_its_digest_is_approved() {
    let mut world = World::new().with("limits: {removal_above: 1}");
    for id in ["a", "b", "c", "d", "e", "f", "g"] {
        world.lives(id);
        world.add(id, "when: 2027-06-01");
    }
    world.accept().await;
    for id in ["a", "b", "c", "d", "e", "f"] {
        world.remove(id);
    }
    let foretold = world.plan().await.digests.remove(0);
    assert_eq!((foretold.what, foretold.items), (What::Removal, 6));
    world.accept().await;
    assert_eq!(world.state("a").await, held("removal"));
    assert_eq!(digest(&world).await, foretold.digest);
    world.approve(&foretold.digest, None).await;
    tick_later(&world).await;
    assert_eq!(world.state("a").await, (State::Withdrawn, None));
    assert_eq!(world.state("g").await, (State::Scheduled, None));
    world.verify().await;
}

#[tokio::test]
async fn a_crash_in_the_middle_of_an_acceptance_keeps_what_waits() {
    let mut world = World::new().with("limits: {approval_above: 2}").observing();
    for id in ["a", "b"] {
        world.lives(id);
        world.add(id, "when: now");
    }
    world.accept().await;
    world.later(DAY * 2);
    world.lives("c");
    world.add("c", "when: now");
    world.accept().await;
    world.later(DAY * 2);
    world.set_mode("enforce");
    world.begin_to_accept().await;
    let (_, live) = world.keeper().await;
    world.follows(live.in_force.load_full().unwrap());
    world.ledger_wakes().await;
    tick_later(&world).await;
    assert_eq!(world.cancels(), 0);
    assert_eq!(world.state("a").await, held("approval"));
}
