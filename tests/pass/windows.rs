//! Ends of periods: windows, periods that move, what is missed, and what Lotus ends by itself.

use lapsed::ledger::Command;
use lapsed::model::act::{Action, Answer};
use lapsed::model::observed::{Life, Successor};
use lapsed::model::provider::ProviderKind;
use lapsed::model::standing::State;
use lapsed::provider::LookError;
use lapsed::reconcile::preview::Planned;

use super::kit::{
    HOUR, HOURLY, LOTUS, NEXT, at, held, hourly, kinds, looks, missed, monthly, unticked,
};
use super::settle;
use super::world::{Call, Mood, World, name};

#[tokio::test]
async fn a_cancel_is_sent_in_the_window_and_the_customer_is_not_charged_again() {
    let world = monthly(HOURLY, "when: end_of_period").await;
    hourly(&world, "2026-12-11T11:00:00Z").await;
    assert_eq!(world.cancels(), 0);
    assert!(looks(&world) < 15, "read {} times", looks(&world));
    let request = world.request("a").await;
    assert_eq!(request.due_at, Some(at("2026-12-11T12:00:00Z")));
    assert_eq!(request.deadline_at, Some(at("2026-12-12T06:00:00Z")));
    hourly(&world, "2026-12-11T12:00:00Z").await;
    assert_eq!(world.cancels(), 1);
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!((world.charged("a"), missed(&world).await), (0, 0));
    world.verify().await;
}

#[tokio::test]
async fn a_period_is_read_at_once_and_without_a_tick() {
    let world = monthly(HOURLY, "when: end_of_period").await;
    world.wake().await;
    assert_eq!(looks(&world), 1);
    let item = world.item("a").await;
    assert_eq!(item.period_end.unwrap().at, at("2026-12-12T12:00:00Z"));
    assert_eq!(item.due_at, Some(at("2026-12-11T12:00:00Z")));
}

#[tokio::test]
async fn a_look_ahead_never_sends_though_the_window_is_open() {
    let mut world = World::new().provider_says("schedule: \"0 * * * *\"");
    world.renews("a", "2026-11-25T06:00:00Z", 30);
    world.add("a", "when: end_of_period");
    world.accept().await;
    world.wake().await;
    world.wake().await;
    assert_eq!(world.cancels(), 0, "cron says when writes may start");
    world.tick().await;
    assert_eq!(world.cancels(), 1);
}

#[tokio::test]
async fn a_period_that_is_put_off_is_followed() {
    let world = monthly(HOURLY, "when: end_of_period").await;
    hourly(&world, "2026-12-05T00:00:00Z").await;
    world.renews("a", "2026-12-20T12:00:00Z", 30);
    hourly(&world, "2026-12-19T11:00:00Z").await;
    assert_eq!(world.cancels(), 0);
    hourly(&world, "2026-12-19T12:00:00Z").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!(missed(&world).await, 0);
}

#[tokio::test]
async fn a_period_that_moves_at_the_last_moment_is_seen_before_the_cancel() {
    let world = monthly(HOURLY, "when: end_of_period").await;
    hourly(&world, "2026-12-11T11:00:00Z").await;
    world.renews("a", "2027-01-11T12:00:00Z", 30);
    hourly(&world, "2026-12-12T12:00:00Z").await;
    assert_eq!(world.cancels(), 0, "it was paid for until January");
    assert_eq!(missed(&world).await, 0);
    let due_at = world.request("a").await.due_at;
    assert_eq!(due_at, Some(at("2027-01-10T12:00:00Z")));
}

#[tokio::test]
async fn a_period_that_comes_earlier_is_followed_while_its_window_is_open() {
    let world = monthly(HOURLY, "when: end_of_period").await;
    hourly(&world, "2026-12-02T00:00:00Z").await;
    world.renews("a", "2026-12-09T12:00:00Z", 30);
    hourly(&world, "2026-12-09T11:00:00Z").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!((world.charged("a"), missed(&world).await), (0, 0));
}

#[tokio::test]
async fn a_period_whose_end_the_provider_does_not_say_is_held_and_never_falls_back_to_now() {
    let mut world = World::new().provider_says("schedule: \"0 * * * *\"");
    world.lives("a");
    world.add("a", "when: end_of_period");
    world.accept().await;
    hourly(&world, "2026-12-24T12:00:00Z").await;
    assert_eq!(world.cancels(), 0);
    assert_eq!(world.state("a").await, held("period_end_unknown"));
    // It is told at last.
    world.renews("a", "2026-12-28T12:00:00Z", 30);
    hourly(&world, "2026-12-28T11:00:00Z").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    world.verify().await;
}

#[tokio::test]
async fn no_tick_in_the_window_is_told_while_it_is_ahead_and_another_schedule_frees_it() {
    let mut world = World::new().provider_says("schedule: \"0 0 1 * *\"");
    world.renews("a", "2026-12-12T12:00:00Z", 30);
    world.add("a", "when: end_of_period");
    world.accept().await;
    world.wake().await;
    assert_eq!(world.state("a").await, held("no_safe_window"));
    let mut world = world.provider_says("schedule: \"0 * * * *\"");
    world.accept().await;
    world.ledger_wakes().await;
    world.wake().await;
    assert_eq!(world.state("a").await, (State::Scheduled, None));
    hourly(&world, "2026-12-11T12:00:00Z").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    world.verify().await;
}

#[tokio::test]
async fn a_freeze_over_the_whole_window_is_told_while_it_is_ahead() {
    let mut world = World::new()
        .provider_says("schedule: \"0 * * * *\"")
        .with("freezes: [{name: stocktaking, from: 2026-12-10, until: 2026-12-12}]");
    world.renews("a", "2026-12-12T12:00:00Z", 30);
    world.add("a", "when: end_of_period");
    world.accept().await;
    world.wake().await;
    assert_eq!(world.state("a").await, held("no_safe_window"));
    let detail = world.item("a").await.hold.unwrap().detail;
    assert!(detail.contains("`stocktaking`"), "{detail}");
}

#[tokio::test]
async fn a_daemon_that_was_down_over_the_periods_end_waits_for_the_next_and_says_so() {
    let mut world = monthly(HOURLY, "when: end_of_period").await;
    world.wake().await;
    world.clock.advance(HOUR * 24 * 30);
    world.restart().await;
    world.wake().await;
    assert_eq!((world.charged("a"), missed(&world).await), (1, 1));
    assert_eq!(world.state("a").await, (State::Scheduled, None));
    hourly(&world, "2027-01-10T11:00:00Z").await;
    assert_eq!(world.cancels(), 0);
    hourly(&world, "2027-01-10T13:00:00Z").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!((world.charged("a"), missed(&world).await), (1, 1));
    world.verify().await;
}

#[tokio::test]
async fn a_missed_window_is_asked_about_where_the_file_says_so() {
    let world = monthly(HOURLY, "when: end_of_period, when_missed: ask").await;
    world.wake().await;
    world.later(HOUR * 24 * 20).wake().await;
    assert_eq!(world.state("a").await, (State::Missed, None));
    let note = world.item("a").await.note.unwrap();
    assert!(
        note.contains("lapsed retry PROVIDER/ID --state missed"),
        "{note}"
    );
    world
        .command(Command::Retry {
            provider: name(),
            id: None,
            state: State::Missed,
        })
        .await;
    world.wake().await;
    hourly(&world, "2027-01-10T13:00:00Z").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!(missed(&world).await, 1);
    world.verify().await;
}

#[tokio::test]
async fn a_missed_window_is_made_up_for_at_the_next_tick_where_the_file_says_now() {
    let world = monthly(HOURLY, "when: end_of_period, when_missed: now").await;
    world.wake().await;
    world.later(HOUR * 24 * 20).wake().await;
    assert_eq!(world.cancels(), 0, "at a tick");
    world.later(HOUR).tick().await;
    world.later(HOUR).tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!((world.cancels(), missed(&world).await), (1, 1));
    world.verify().await;
}

#[tokio::test]
async fn a_window_that_had_gone_by_when_the_item_was_accepted_is_missed() {
    let mut world = World::new().provider_says("schedule: \"0 * * * *\"");
    world.renews("a", "2026-11-24T16:00:00Z", 30);
    world.add("a", "when: end_of_period, when_missed: ask");
    world.accept().await;
    world.wake().await;
    assert_eq!(world.state("a").await, (State::Missed, None));
    assert_eq!(missed(&world).await, 1);
}

#[tokio::test]
async fn a_pause_over_the_window_is_told_as_missed_though_nothing_could_be_sent() {
    let world = monthly(HOURLY, "when: end_of_period").await;
    world.wake().await;
    world.command(Command::Pause { provider: None }).await;
    hourly(&world, "2026-12-13T12:00:00Z").await;
    assert_eq!((world.cancels(), missed(&world).await), (0, 1));
    world.command(Command::Resume { provider: None }).await;
    hourly(&world, "2027-01-10T13:00:00Z").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn an_outage_over_the_window_is_told_as_missed() {
    let world = monthly(HOURLY, "when: end_of_period").await;
    world.wake().await;
    let why = "no answer".to_owned();
    world.poison("a", LookError::Unavailable { why });
    hourly(&world, "2026-12-12T08:00:00Z").await;
    assert_eq!((world.cancels(), missed(&world).await), (0, 1));
    world.verify().await;
}

#[tokio::test]
async fn an_end_that_was_put_off_before_it_came_is_not_missed() {
    let world = monthly(HOURLY, "when: end_of_period").await;
    world.wake().await;
    world.command(Command::Pause { provider: None }).await;
    hourly(&world, "2026-12-12T05:00:00Z").await;
    world.renews("a", "2026-12-20T12:00:00Z", 30);
    world.command(Command::Resume { provider: None }).await;
    world.clock.advance(HOUR * 2);
    world.wake().await;
    assert_eq!(missed(&world).await, 0);
    let due_at = world.request("a").await.due_at;
    assert_eq!(due_at, Some(at("2026-12-19T12:00:00Z")));
}

#[tokio::test]
async fn a_window_is_missed_once_however_often_it_is_looked_at() {
    let world = monthly(HOURLY, "when: end_of_period").await;
    world.wake().await;
    unticked(&world, "2026-12-13T12:00:00Z").await;
    assert_eq!(missed(&world).await, 1);
    let events = kinds(&world, "a").await;
    let told = events
        .iter()
        .filter(|kind| *kind == "window_missed")
        .count();
    assert_eq!(told, 1, "{events:?}");
}

#[tokio::test]
async fn in_observe_mode_a_window_goes_by_and_nothing_was_missed() {
    let mut world = World::new()
        .provider_says("schedule: \"0 * * * *\"")
        .observing();
    world.renews("a", "2026-12-12T12:00:00Z", 30);
    world.add("a", "when: end_of_period, when_missed: now");
    world.accept().await;
    hourly(&world, "2026-12-11T12:00:00Z").await;
    assert_eq!(world.state("a").await, held("observe_mode"));
    hourly(&world, "2026-12-14T12:00:00Z").await;
    assert_eq!(missed(&world).await, 0);
    world.set_mode("enforce");
    world.accept().await;
    world.ledger_wakes().await;
    hourly(&world, "2027-01-10T11:00:00Z").await;
    assert_eq!(world.cancels(), 0, "nobody was to be cancelled in December");
    hourly(&world, "2027-01-10T13:00:00Z").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    world.verify().await;
}

#[tokio::test]
async fn time_to_revert_a_commit_is_left_also_where_the_window_is_open() {
    let mut world = World::new().provider_says("schedule: \"0 * * * *\"");
    world = world.with("");
    world.renews("a", "2026-11-25T10:00:00Z", 30);
    world.add("a", "when: end_of_period, window: {opens: 24h, closes: 1h}");
    world.wait_after_accept("3h");
    world.accept().await;
    hourly(&world, "2026-11-24T14:00:00Z").await;
    assert_eq!(world.cancels(), 0);
    hourly(&world, "2026-11-24T16:00:00Z").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn a_lost_answer_at_the_end_of_a_period_is_resolved_by_reading() {
    let world = monthly(HOURLY, "when: end_of_period").await;
    let world = world.mood("a", [Mood::DoesItSilently]);
    hourly(&world, "2026-12-11T13:00:00Z").await;
    settle(&world, "a").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!((world.cancels(), world.effective("a")), (1, 1));
}

#[tokio::test]
async fn what_had_no_effect_is_tried_again_while_the_window_is_open_and_then_not() {
    let world = monthly(HOURLY, "when: end_of_period").await;
    let world = world.mood("a", vec![Mood::LosesIt; 40]);
    hourly(&world, "2026-12-12T05:00:00Z").await;
    let tried = world.cancels();
    assert!(tried > 1, "tried {tried} times");
    hourly(&world, "2026-12-12T11:00:00Z").await;
    assert!(world.cancels() <= 5);
    assert_eq!(world.effective("a"), 0);
    world.verify().await;
}

/// A purchase of Kajabi, whose period's end the file gives.
async fn kajabi(terms: &str) -> World {
    let mut world = World::of(ProviderKind::Kajabi).provider_says("schedule: \"0 * * * *\"");
    world.lives("21");
    world.add("21", terms);
    world.accept().await;
    world
}

#[tokio::test]
async fn kajabi_is_cancelled_in_the_window_before_the_end_that_the_file_gives() {
    let world = kajabi("when: end_of_period, period_ends: 2026-12-14").await;
    hourly(&world, "2026-12-12T23:00:00Z").await;
    assert_eq!(world.calls(), [], "nothing is learned before");
    hourly(&world, "2026-12-13T00:00:00Z").await;
    assert_eq!(world.state("21").await, (State::Canceled, None));
    world.verify().await;
}

#[tokio::test]
async fn a_period_of_kajabi_that_was_missed_waits_for_the_end_of_the_next() {
    let mut world = kajabi("when: end_of_period, period_ends: 2026-12-14").await;
    world.later(HOUR * 24 * 25).tick().await;
    assert_eq!(world.state("21").await, held("period_end_unknown"));
    assert_eq!((world.cancels(), missed(&world).await), (0, 1));
    world.edit_lines("2026-12-14", "2027-01-14");
    world.accept().await;
    hourly(&world, "2027-01-13T01:00:00Z").await;
    assert_eq!(world.state("21").await, (State::Canceled, None));
    world.verify().await;
}

#[tokio::test]
async fn a_period_of_kajabi_that_was_missed_is_ended_late_or_asked_about() {
    let world = kajabi("when: end_of_period, period_ends: 2026-12-14, when_missed: now").await;
    world.later(HOUR * 24 * 25).tick().await;
    world.later(HOUR).tick().await;
    assert_eq!(world.state("21").await, (State::Canceled, None));
    let world = kajabi("when: end_of_period, period_ends: 2026-12-14, when_missed: ask").await;
    world.later(HOUR * 24 * 25).tick().await;
    assert_eq!(world.state("21").await, (State::Missed, None));
    assert_eq!(world.calls(), []);
}

#[tokio::test]
async fn a_plan_knows_that_a_window_of_kajabi_has_closed_though_nobody_reads_it() {
    let mut world = World::of(ProviderKind::Kajabi).provider_says("schedule: \"0 * * * *\"");
    for (id, when_missed) in [("21", "next_period"), ("22", "ask"), ("23", "now")] {
        world.lives(id);
        let terms =
            format!("when: end_of_period, period_ends: 2026-11-20, when_missed: {when_missed}");
        world.add(id, &terms);
    }
    let plan = world.plan_offline().await;
    let planned = |id: &str| {
        plan.items
            .iter()
            .find(|it| it.item.id == id)
            .unwrap()
            .action
    };
    assert_eq!(planned("21"), Planned::Held);
    assert_eq!(planned("22"), Planned::Missed);
    assert_eq!(planned("23"), Planned::Cancel);
    assert!(plan.items.iter().all(|it| it.obstacle.is_none()));
    world.accept().await;
    world.tick().await;
    world.later(HOUR).tick().await;
    assert_eq!(world.state("21").await, held("period_end_unknown"));
    assert_eq!(world.state("22").await, (State::Missed, None));
    assert_eq!(world.state("23").await, (State::Canceled, None));
}

#[tokio::test]
async fn what_is_found_deactivated_is_sent_its_one_confirming_cancel_whoever_knows_its_period() {
    let world = kajabi("when: end_of_period").await;
    assert_eq!(world.state("21").await, held("period_end_unknown"));
    let mut world = World::of(ProviderKind::Kajabi).provider_says("schedule: \"0 * * * *\"");
    world.set("21", Life::Ended { at: None });
    world.add("21", "when: end_of_period, period_ends: 2026-12-14");
    world.accept().await;
    world.ledger_wakes().await;
    hourly(&world, "2026-12-14T00:00:00Z").await;
    assert_eq!(world.state("21").await, (State::Canceled, None));
    assert_eq!(world.cancels(), 1);
    assert!(looks(&world) < 6, "read {} times", looks(&world));
    world.verify().await;
}

/// A record of Lotus that runs until 12 December at noon.
async fn lotus(terms: &str, provider_says: &str) -> World {
    let mut world = World::of(ProviderKind::Lotus)
        .provider_says(&format!("schedule: \"0 * * * *\"{provider_says}"));
    world.renews(LOTUS, "2026-12-12T12:00:00Z", 30);
    world.add(LOTUS, terms);
    world.accept().await;
    world
}

fn renewal_off() -> Call {
    Call::Cancel(LOTUS.to_owned(), Action::TurnOffRenewal)
}

#[tokio::test]
async fn lotus_is_told_at_once_not_to_renew_and_is_watched_until_it_has_ended() {
    let world = lotus("when: end_of_period", "").await;
    world.tick().await;
    assert!(world.calls().contains(&renewal_off()));
    assert_eq!(world.state(LOTUS).await, (State::Ending, None));
    hourly(&world, "2026-12-14T11:00:00Z").await;
    assert_eq!(
        world.state(LOTUS).await,
        (State::Ending, None),
        "48 h after its end"
    );
    hourly(&world, "2026-12-14T14:00:00Z").await;
    assert_eq!(world.state(LOTUS).await, (State::Canceled, None));
    assert_eq!((world.cancels(), world.charged(LOTUS)), (1, 0));
    assert!(looks(&world) < 40, "read {} times", looks(&world));
    world.verify().await;
}

#[tokio::test]
async fn lotus_is_told_in_the_window_where_the_file_says_so() {
    let world = lotus("when: end_of_period", ", renewal_off: in_window").await;
    hourly(&world, "2026-12-11T11:00:00Z").await;
    assert_eq!(world.cancels(), 0);
    hourly(&world, "2026-12-11T12:00:00Z").await;
    assert_eq!(world.state(LOTUS).await, (State::Ending, None));
    world.verify().await;
}

fn followed_by(world: &World, living: bool) {
    world.edit(LOTUS, |it| {
        it.successor = living.then(|| Successor {
            id: NEXT.to_owned(),
            starts_at: at("2026-12-12T12:00:00Z"),
        });
    });
}

#[tokio::test]
async fn what_lotus_has_renewed_already_is_held_and_the_cure_names_the_line() {
    let mut world = lotus("when: end_of_period", "").await;
    world.tick().await;
    followed_by(&world, true);
    hourly(&world, "2026-12-15T12:00:00Z").await;
    assert_eq!(world.state(LOTUS).await, held("successor"));
    let detail = world.item(LOTUS).await.hold.unwrap().detail;
    assert!(
        detail.contains(&format!("- {{id: {NEXT}, provider: p}}")),
        "{detail}"
    );
    // The line is added, and the other record is told as well.
    world.renews(NEXT, "2027-01-11T12:00:00Z", 30);
    world.add(NEXT, "when: end_of_period");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state(NEXT).await, (State::Ending, None));
    followed_by(&world, false);
    hourly(&world, "2026-12-17T12:00:00Z").await;
    assert_eq!(world.state(LOTUS).await, (State::Canceled, None));
    world.verify().await;
}

#[tokio::test]
async fn what_was_renewed_before_anybody_could_act_is_held_as_successor() {
    let world = lotus("when: end_of_period", "").await;
    world.command(Command::Pause { provider: None }).await;
    world.later(HOUR).tick().await;
    world.clock.advance(HOUR * 24 * 20);
    world.set(
        LOTUS,
        Life::Ended {
            at: Some(at("2026-12-12T12:00:00Z")),
        },
    );
    followed_by(&world, true);
    world.command(Command::Resume { provider: None }).await;
    world.tick().await;
    assert_eq!(world.state(LOTUS).await, held("successor"));
    assert_eq!(world.cancels(), 0);
}

#[tokio::test]
async fn what_is_set_to_end_by_somebody_else_is_already_canceled() {
    let world = lotus("when: end_of_period", "").await;
    let ends = at("2026-12-12T12:00:00Z");
    world.set(LOTUS, Life::Ending { at: ends });
    world.tick().await;
    assert_eq!(world.state(LOTUS).await, (State::AlreadyCanceled, None));
    assert_eq!(world.cancels(), 0);
}

#[tokio::test]
async fn a_customer_who_comes_back_is_not_told_off_again() {
    let world = lotus("when: end_of_period", "").await;
    world.tick().await;
    world.set(LOTUS, Life::Active);
    hourly(&world, "2026-12-08T12:00:00Z").await;
    assert_eq!(world.state(LOTUS).await, (State::Failed, None));
    hourly(&world, "2027-01-08T12:00:00Z").await;
    assert_eq!(world.cancels(), 1, "once for one request");
    world.verify().await;
}

#[tokio::test]
async fn one_stale_reading_does_not_undo_an_end() {
    let world = lotus("when: end_of_period", "").await;
    world.tick().await;
    world.set(LOTUS, Life::Active);
    while looks(&world) < 3 {
        world.later(HOUR).wake().await;
    }
    assert_eq!(world.state(LOTUS).await, held("state_unclear"));
    world.set(
        LOTUS,
        Life::Ending {
            at: at("2026-12-12T12:00:00Z"),
        },
    );
    hourly(&world, "2026-12-14T14:00:00Z").await;
    assert_eq!(world.state(LOTUS).await, (State::Canceled, None));
    assert_eq!(world.cancels(), 1);
    world.verify().await;
}

#[tokio::test]
async fn a_line_that_is_removed_while_it_ends_is_watched_and_undone_it_is_withdrawn() {
    let mut world = lotus("when: end_of_period", "").await;
    world.tick().await;
    world.remove(LOTUS);
    world.accept().await;
    assert_eq!(world.state(LOTUS).await, (State::Ending, None));
    world.set(LOTUS, Life::Active);
    hourly(&world, "2026-12-08T12:00:00Z").await;
    assert_eq!(world.state(LOTUS).await, (State::Withdrawn, None));
    assert_eq!(world.cancels(), 1);
    world.verify().await;
}

#[tokio::test]
async fn a_lost_answer_to_turning_renewal_off_is_resolved_by_reading() {
    let world = lotus("when: end_of_period", "").await;
    let world = world.mood(LOTUS, [Mood::DoesItSilently]);
    world.tick().await;
    settle(&world, LOTUS).await;
    assert_eq!(world.state(LOTUS).await, (State::Ending, None));
    let world = lotus("when: end_of_period", "").await;
    let world = world.mood(LOTUS, [Mood::DoesItLater]);
    world.tick().await;
    for _ in 0..3 {
        world.later(HOUR / 4).wake().await;
    }
    world.late_effects_happen();
    settle(&world, LOTUS).await;
    assert_eq!(world.state(LOTUS).await, (State::Ending, None));
    assert_eq!((world.cancels(), world.effective(LOTUS)), (1, 1));
}

#[tokio::test]
async fn a_refused_request_to_lotus_is_failed_and_nothing_is_cut_off() {
    let world = lotus("when: end_of_period", "").await;
    let refused = Answer::Refused {
        status: 400,
        words: "invalid".to_owned(),
    };
    let world = world.mood(LOTUS, [Mood::Says(refused)]);
    world.tick().await;
    assert_eq!(world.state(LOTUS).await, (State::Failed, None));
    let acts: Vec<Call> = world
        .calls()
        .into_iter()
        .filter(|call| matches!(call, Call::Cancel(..)))
        .collect();
    assert_eq!(acts, [renewal_off()]);
}

#[tokio::test]
async fn what_waits_for_an_approval_is_read_all_the_same_and_its_window_is_not_forgotten() {
    let mut world = World::new()
        .provider_says("schedule: \"0 * * * *\"")
        .with("limits: {approval_above: 0}");
    world.renews("a", "2026-12-12T12:00:00Z", 30);
    world.add("a", "when: end_of_period");
    world.accept().await;
    hourly(&world, "2026-12-11T18:00:00Z").await;
    assert_eq!(world.state("a").await, held("approval"));
    let deadline = world.item("a").await.deadline_at;
    assert_eq!(deadline, Some(at("2026-12-12T06:00:00Z")));
    hourly(&world, "2026-12-13T12:00:00Z").await;
    assert_eq!((world.cancels(), missed(&world).await), (0, 1));
    assert_eq!(world.state("a").await, held("approval"));
    world.approve_all().await;
    hourly(&world, "2027-01-10T13:00:00Z").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    world.verify().await;
}

#[tokio::test]
async fn a_process_that_dies_at_any_hour_changes_nothing() {
    let mut world = monthly(HOURLY, "when: end_of_period").await;
    let mut hour = 0;
    while world.now() < at("2026-12-11T14:00:00Z") {
        world.later(HOUR).wake().await;
        world.tick().await;
        hour += 1;
        if hour % 37 == 0 {
            world.restart().await;
        }
    }
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!((world.cancels(), missed(&world).await), (1, 0));
    world.verify().await;
}
