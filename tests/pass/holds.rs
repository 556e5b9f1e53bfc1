//! Holds that nothing else here brings about, several at once, and states on the way.

use std::time::Duration;

use lapsed::ledger::{Command, Intended, Ledger as _};
use lapsed::model::act::{Action, Answer};
use lapsed::model::hold::HoldReason;
use lapsed::model::memory::Assumed;
use lapsed::model::observed::{Billing, Life, Look, Observed, Successor};
use lapsed::model::provider::ProviderKind;
use lapsed::model::request::Witness;
use lapsed::model::standing::State;
use lapsed::reconcile::accept::stale_rows;
use lapsed::reconcile::report::ListQuery;

use super::kit::{HOUR, MINUTE};
use super::world::{Mood, World, name};
use super::{look, lost_reading, settle};

/// The state, what names the hold, and what holds besides.
async fn held(world: &World, id: &str) -> (State, HoldReason, Vec<HoldReason>) {
    let item = world.item(id).await;
    let hold = item
        .hold
        .unwrap_or_else(|| panic!("{id} is {} and free", item.state));
    (item.state, hold.reason, hold.also)
}

fn only(reason: HoldReason) -> (State, HoldReason, Vec<HoldReason>) {
    (State::Held, reason, Vec::new())
}

#[tokio::test]
async fn a_ledger_in_doubt_sends_nothing_until_a_person_trusts_it() {
    let mut world = World::new().wants("a");
    world.accept().await;
    world.restart_without_mark().await;
    world.tick().await;
    assert_eq!(world.calls(), []);
    assert_eq!(held(&world, "a").await, only(HoldReason::LedgerDoubt));
    world.restart().await;
    world.tick().await;
    assert_eq!(world.calls(), [], "a restart is no trust");
    world.command(Command::Trust).await;
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn what_was_sent_is_read_back_while_the_ledger_is_in_doubt() {
    let mut world = World::new().wants("a").mood("a", [Mood::DoesItLater]);
    world.accept().await;
    world.tick().await;
    world.restart_without_mark().await;
    world.late_effects_happen();
    settle(&world, "a").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!(world.cancels(), 1);
}

/// What the daemon does when the newest bytes of the file are not valid.
async fn newest_bytes(world: &World, text: &str) {
    let open = world.ledger.open_places().await.unwrap();
    let accepted = world.ledger.current().await.unwrap().unwrap().files;
    let newest = [("lapsed.yaml".to_owned(), text.as_bytes().to_vec())];
    let rows = stale_rows(&open, &accepted, &newest);
    world.ledger.mark_stale(rows, world.now()).await.unwrap();
}

#[tokio::test]
async fn a_broken_file_holds_what_it_lacks_and_the_rest_goes_on() {
    let mut world = World::new().wants("a").wants("b");
    world.accept().await;
    let broken = world.text().replace("- {id: a,", "- {id: a, oops");
    newest_bytes(&world, &broken).await;
    world.tick().await;
    assert_eq!(held(&world, "a").await, only(HoldReason::ConfigStale));
    assert_eq!(world.state("b").await, (State::Canceled, None));
    newest_bytes(&world, "").await;
    world.later(HOUR).tick().await;
    assert_eq!(held(&world, "a").await, only(HoldReason::ConfigStale));
    newest_bytes(&world, &world.text()).await;
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    world.verify().await;
}

#[tokio::test]
async fn a_broken_file_stops_no_reading_and_what_then_proves_undone_is_held() {
    let mut world = World::new().wants("a").mood("a", [Mood::LosesIt]);
    world.accept().await;
    world.tick().await;
    // The daemon marks once, when the text changes; what is in flight then counts as well.
    newest_bytes(&world, "").await;
    for _ in 0..100 {
        if world.state("a").await.0 != State::Unknown {
            break;
        }
        world.later(MINUTE).wake().await;
    }
    assert_eq!(held(&world, "a").await, only(HoldReason::ConfigStale));
    world.later(HOUR).tick().await;
    assert_eq!((world.cancels(), world.effective("a")), (1, 0));
    newest_bytes(&world, &world.text()).await;
    settle(&world, "a").await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
    assert_eq!(world.effective("a"), 1);
}

#[tokio::test]
async fn what_require_expect_names_must_be_on_the_item() {
    let mut world = World::new()
        .provider_says("require_expect: [customer]")
        .wants("a");
    world.accept().await;
    world.tick().await;
    assert_eq!(
        held(&world, "a").await,
        only(HoldReason::ExpectationMissing)
    );
    let item = world.item("a").await;
    assert!(item.hold.unwrap().detail.contains("customer"));
    world.remove("a");
    world.add("a", "when: now, expect: {customer: cus_1}");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn a_wrong_expectation_names_the_hold_before_a_missing_one() {
    let mut world = World::new().provider_says("require_expect: [customer, plan]");
    world.lives("a");
    world.add("a", "when: now, expect: {customer: cus_2}");
    world.accept().await;
    world.tick().await;
    let both = (
        State::Held,
        HoldReason::Expectation,
        vec![HoldReason::ExpectationMissing],
    );
    assert_eq!(held(&world, "a").await, both);
    assert_eq!(world.cancels(), 0);
}

#[tokio::test]
async fn what_is_not_in_the_accounts_own_list_is_held_as_another_than_expected() {
    let mut world = World::new().wants("a");
    world.belongs_to_others("a");
    world.accept().await;
    world.tick().await;
    assert_eq!(held(&world, "a").await, only(HoldReason::Expectation));
    assert_eq!(world.cancels(), 0);
}

#[tokio::test]
async fn a_period_whose_end_nobody_tells_is_held_and_never_falls_back_to_now() {
    let mut world = World::of(ProviderKind::Kajabi);
    for (id, terms) in [
        ("21", "when: end_of_period"),
        ("22", "when: end_of_period, period_ends: 2026-11-26"),
    ] {
        world.lives(id);
        world.add(id, terms);
    }
    world.accept().await;
    world.later(HOUR * 24 * 7).tick().await;
    // The period of the second is over: which one runs now, nobody tells.
    for id in ["21", "22"] {
        assert_eq!(held(&world, id).await, only(HoldReason::PeriodEndUnknown));
    }
    assert_eq!(world.calls(), []);
    world.remove("21");
    world.add("21", "when: now");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("21").await, (State::Canceled, None));
}

#[tokio::test]
async fn found_ended_with_a_successor_is_held_and_the_cure_names_the_line_to_add() {
    let id = "sub_65aa0000000040008000000000000001";
    let next = "sub_65aa0000000040008000000000000002";
    let mut world = World::of(ProviderKind::Lotus);
    world.set(id, Life::Ended { at: None });
    world.edit(id, |it| {
        it.successor = Some(Successor {
            id: next.to_owned(),
            starts_at: "2026-11-20T00:00:00Z".parse().unwrap(),
        });
    });
    world.add(
        id,
        "when: now, usage_behavior: bill_none, invoicing_behavior: invoice_now",
    );
    world.accept().await;
    world.tick().await;
    assert_eq!(held(&world, id).await, only(HoldReason::Successor));
    let detail = world.item(id).await.hold.unwrap().detail;
    assert!(
        detail.contains(&format!("- {{id: {next}, provider: p}}")),
        "{detail}"
    );
    world.edit(id, |it| it.successor = None);
    world.later(HOUR).tick().await;
    assert_eq!(world.state(id).await, (State::AlreadyCanceled, None));
    assert_eq!(world.cancels(), 0);
}

#[tokio::test]
async fn what_may_not_be_a_subscription_is_held_and_what_is_none_fails() {
    let mut world = World::of(ProviderKind::Kajabi);
    for (id, billing) in [("21", Billing::Unclear), ("22", Billing::OneTime)] {
        world.edit(id, |it| it.billing = billing);
        world.add(id, "when: now");
    }
    world.accept().await;
    world.tick().await;
    assert_eq!(held(&world, "21").await, only(HoldReason::StateUnclear));
    assert_eq!(world.state("22").await, (State::Failed, None));
    let note = world.item("22").await.note.unwrap();
    assert!(note.contains("without a subscription"), "{note}");
    assert_eq!(world.cancels(), 0);
}

#[tokio::test]
async fn an_instalment_plan_is_cancelled_where_the_file_allows_it() {
    let mut world = World::of(ProviderKind::Kajabi).provider_says("payment_plans: cancel");
    world.edit("21", |it| it.billing = Billing::PaymentPlan);
    world.add("21", "when: now");
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("21").await, (State::Canceled, None));
}

#[tokio::test]
async fn of_several_gates_the_first_names_the_hold_and_the_others_are_told() {
    let mut world = World::new()
        .with("freezes: [{name: today, from: 2026-11-24, until: 2026-11-24}]")
        .with("limits: {per_hour: 0}")
        .wants("a");
    world.accept().await;
    world.restart_without_mark().await;
    world.command(Command::Pause { provider: None }).await;
    world.tick().await;
    let also = vec![HoldReason::Paused, HoldReason::Frozen, HoldReason::Limit];
    let all = (State::Held, HoldReason::LedgerDoubt, also);
    assert_eq!(held(&world, "a").await, all);
    world.command(Command::Trust).await;
    world.command(Command::Resume { provider: None }).await;
    world.tick().await;
    let rest = (State::Held, HoldReason::Frozen, vec![HoldReason::Limit]);
    assert_eq!(held(&world, "a").await, rest);
    assert_eq!(world.calls(), []);
}

#[tokio::test]
async fn an_item_hold_is_told_beside_the_gate_that_comes_before_it() {
    let mut world = World::new();
    world.add("a", "when: now");
    world.accept().await;
    world.tick().await;
    assert_eq!(held(&world, "a").await, only(HoldReason::NotFound));
    world
        .command(Command::Pause {
            provider: Some(name()),
        })
        .await;
    world.tick().await;
    let both = (State::Held, HoldReason::Paused, vec![HoldReason::NotFound]);
    assert_eq!(held(&world, "a").await, both);
}

#[tokio::test]
async fn a_reading_that_fails_keeps_what_an_earlier_one_found() {
    let mut world = World::new();
    world.add("a", "when: now");
    world.accept().await;
    world.tick().await;
    world.reading_fails([lost_reading()]);
    world.later(HOUR).tick().await;
    let (state, reason, also) = held(&world, "a").await;
    assert_eq!(state, State::Held);
    assert!(
        reason == HoldReason::NotFound && also == [HoldReason::ProviderUnavailable],
        "{reason} and {also:?}"
    );
    world.lives("a");
    world.later(HOUR).tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn known_not_to_have_happened_is_retrying_until_its_time() {
    let throttled = Answer::Throttled {
        retry_after: Duration::from_secs(5),
    };
    let mut world = World::new().wants("a").mood("a", [Mood::Says(throttled)]);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await, (State::Unknown, None));
    world.later(Duration::from_secs(6)).wake().await;
    assert_eq!(world.state("a").await, (State::Retrying, None));
    assert_eq!(world.cancels(), 1);
    settle(&world, "a").await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn a_process_that_dies_before_the_first_byte_shows_sending_and_then_only_reads() {
    let mut world = World::new().wants("a");
    world.accept().await;
    let request = world.request("a").await;
    let witness = |ahead: u64| Witness {
        at: world.now() + chrono::Duration::seconds(ahead.cast_signed()),
        boot_id: "manual".to_owned(),
        since_boot: Duration::from_secs(ahead),
    };
    let intended = Intended {
        row: request.row,
        assumed: Assumed {
            revision: world.in_force().number,
            pause_epoch: 0,
            version: request.version,
        },
        action: Action::Cancel {
            reason: None,
            behaviors: None,
        },
        look: Look {
            observed: Observed::NotFound,
            at: world.now(),
            server_date: None,
        },
        now: witness(0),
        send_before: witness(20),
        caps: Vec::new(),
        resend_after: std::time::Duration::from_secs(1_800),
    };
    world.ledger.intend(intended).await.unwrap().unwrap();
    assert_eq!(world.state("a").await, (State::Sending, None));
    world.restart().await;
    assert_eq!(world.state("a").await, (State::Unknown, None));
    world.wake().await;
    assert_eq!(world.calls(), [look("a")]);
    settle(&world, "a").await;
    assert_eq!((world.effective("a"), world.cancels()), (1, 1));
    world.verify().await;
}

/// Promise 1: nobody is cancelled who is not in the accepted file.
#[tokio::test]
async fn a_retry_cancels_nobody_whose_line_is_gone() {
    let refused = Answer::Refused {
        status: 400,
        words: "no such luck".to_owned(),
    };
    let mut world = World::new().wants("a").mood("a", [Mood::Says(refused)]);
    world.accept().await;
    world.tick().await;
    assert_eq!(world.state("a").await.0, State::Failed);
    world.remove("a");
    world.accept().await;
    let retry = || Command::Retry {
        provider: name(),
        id: None,
        state: State::Failed,
    };
    world.command(retry()).await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.state("a").await.0, State::Failed);
    assert_eq!((world.cancels(), world.effective("a")), (1, 0));
    world.add("a", "when: now");
    world.accept().await;
    world.command(retry()).await;
    world.later(MINUTE).tick().await;
    assert_eq!(world.state("a").await, (State::Canceled, None));
}

#[tokio::test]
async fn a_line_removed_during_the_last_attempt_is_withdrawn_and_the_pass_goes_on() {
    let mut world = World::new().wants("a").mood("a", vec![Mood::LosesIt; 9]);
    world.accept().await;
    world.tick().await;
    for _ in 0..2_000 {
        if world.cancels() == 5 {
            break;
        }
        world.later(MINUTE).tick().await;
    }
    assert_eq!(world.state("a").await.0, State::Unknown);
    assert_eq!(world.request("a").await.standing.counted, 5);
    world.remove("a");
    world.accept().await;
    settle(&world, "a").await;
    assert_eq!(world.state("a").await, (State::Withdrawn, None));
    assert_eq!(world.cancels(), 5);
    world.verify().await;
}

#[tokio::test]
async fn a_held_one_is_told_however_many_wait_before_it() {
    let mut world = World::new();
    for number in 0..2_600 {
        world.add(&format!("w{number}"), "when: 2027-12-01");
    }
    world.accept().await;
    world.approve_all().await;
    world.add("z", "when: now");
    world.accept().await;
    world.tick().await;
    let query = |most_looked_at| ListQuery {
        states: vec![State::Held],
        limit: 10,
        most_looked_at,
        ..ListQuery::default()
    };
    let standpoint = world.standpoint().await;
    let told = standpoint.list(&*world.ledger, &query(None)).await.unwrap();
    assert_eq!((told.items.len(), told.more), (1, false));
    // A page leaves it at some rows, and says where to go on.
    let bounded = query(Some(1_000));
    let part = standpoint.list(&*world.ledger, &bounded).await.unwrap();
    assert_eq!(part.items.len(), 0);
    assert!(part.next.is_some_and(|row| row < 2_600), "{:?}", part.next);
}

#[tokio::test]
async fn a_search_that_found_only_others_among_the_first_says_that_there_are_more() {
    let mut world = World::new();
    for number in 0..12 {
        world.add(&format!("w{number}"), "when: 2027-12-01");
    }
    world.accept().await;
    world.approve_all().await;
    world.tick().await;
    let query = ListQuery {
        states: vec![State::Held],
        limit: 10,
        ..ListQuery::default()
    };
    let standpoint = world.standpoint().await;
    let found = standpoint.search(&*world.ledger, &query, "w");
    let found = found.await.unwrap();
    assert_eq!((found.items.len(), found.more), (0, true));
}
