//! Intents: durable before they are given, one open per subscription, under the limits.

use std::time::Duration;

use futures_util::future::join_all;
use lapsed::ledger::{Change, LedgerError, NotIntended};
use lapsed::model::act::Answer;
use lapsed::model::hold::HoldReason;
use lapsed::model::standing::{Settlement, State};

use super::bench::{
    Bench, DAY, HOUR, answered, at, cancel, held, item, item_at, lost, pause, per, proven_not_done,
    provider, resume, revision, settled, witness,
};

facts! {
    an_intent_says_what_was_permitted_until_when_and_by_both_clocks,
    an_intent_survives_a_kill_and_its_outcome_is_unknown_from_then_on,
    only_one_attempt_per_subscription_is_open_at_a_time,
    two_that_ask_at_once_for_one_request_get_one_intent,
    an_intent_is_refused_once_anything_that_it_rests_on_has_changed,
    a_refused_intent_writes_nothing_and_uses_no_limit,
    a_limit_counts_the_writes_of_its_rolling_time_and_says_when_the_oldest_leaves,
    limits_hold_over_a_kill,
    a_limit_of_zero_lets_nothing_through_and_never_frees,
    the_limit_of_one_provider_counts_its_own_writes_alone,
    of_many_intents_at_once_no_more_than_the_limit_are_journaled,
    what_certainly_did_not_leave_this_machine_uses_no_limit,
    a_change_to_an_older_version_is_refused_and_writes_nothing,
    an_event_that_cannot_follow_writes_nothing_of_its_change,
}

async fn an_intent_says_what_was_permitted_until_when_and_by_both_clocks(bench: Bench) {
    bench.accept(&[item("a")]).await;
    let request = bench.request("a").await;
    let (intent, sending) = bench.try_send(&request, 5, &[]).await.unwrap();
    assert_eq!(intent.key(), &request.key);
    assert_eq!((intent.row(), intent.attempt()), (request.row, 1));
    assert_eq!(intent.action(), &cancel());
    assert_eq!(intent.send_before(), at(35));
    let since_boot = |seconds| witness(seconds).since_boot;
    assert!(intent.still_valid(at(34), "boot", since_boot(34)));
    assert!(
        !intent.still_valid(at(35), "boot", since_boot(34)),
        "late by wall time"
    );
    assert!(
        !intent.still_valid(at(34), "boot", since_boot(35)),
        "late since boot"
    );
    assert!(
        !intent.still_valid(at(34), "another", since_boot(34)),
        "another boot"
    );
    assert_eq!(sending.state(), State::Sending);
    assert_eq!(sending.wake_at, Some(at(35)));
    assert_eq!(sending.doubt.unwrap().send_before, witness(35));
}

async fn an_intent_survives_a_kill_and_its_outcome_is_unknown_from_then_on(mut bench: Bench) {
    bench.accept(&[item("a"), item("b")]).await;
    let sending = bench.send("a", 5).await;
    bench.kill();
    assert_eq!(bench.request("a").await, sending);
    assert_eq!(bench.interrupt_all(at(60)).await.unwrap(), 1);
    assert_eq!(bench.interrupt_all(at(61)).await.unwrap(), 0);
    let request = bench.request("a").await;
    assert_eq!(request.state(), State::Unknown);
    assert_eq!(
        (request.standing.attempts, request.wake_at),
        (1, Some(at(60)))
    );
    assert_eq!(request.doubt, sending.doubt);
    assert_eq!(
        bench.kinds("a").await,
        ["accepted", "intended", "interrupted"]
    );
    assert_eq!(bench.kinds("b").await, ["accepted"]);
}

async fn only_one_attempt_per_subscription_is_open_at_a_time(mut bench: Bench) {
    let mut second = item("a");
    second.wanted.key.again = 2;
    bench.accept(&[item("a"), second, item_at("q", "a")]).await;
    let first = bench.send_and_lose("a", 1).await;
    bench.kill();
    let again = bench.again("a", 2).await;
    let refused = bench.try_send(&again, 3, &[]).await.unwrap_err();
    assert_eq!(refused, NotIntended::InFlight);
    let elsewhere = bench
        .find(super::bench::key("q", "a", 1))
        .await
        .unwrap()
        .unwrap();
    assert!(
        bench.try_send(&elsewhere, 3, &[]).await.is_ok(),
        "another subscription"
    );
    bench.happens(&first, 4, &[proven_not_done(&first)]).await;
    let again = bench.again("a", 2).await;
    assert!(bench.try_send(&again, 5, &[]).await.is_ok());
    let first = bench.request("a").await;
    let refused = bench.try_send(&first, 6, &[]).await.unwrap_err();
    assert_eq!(refused, NotIntended::InFlight);
}

async fn two_that_ask_at_once_for_one_request_get_one_intent(bench: Bench) {
    bench.accept(&[item("a")]).await;
    let request = bench.request("a").await;
    let both = [
        bench.try_send(&request, 1, &[]),
        bench.try_send(&request, 1, &[]),
    ];
    let results = join_all(both).await;
    let given = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(given, 1);
    assert!(results.contains(&Err(NotIntended::Changed)));
}

async fn an_intent_is_refused_once_anything_that_it_rests_on_has_changed(bench: Bench) {
    let items: Vec<_> = ["a", "b", "c", "d", "e"].map(item).to_vec();
    bench.accept(&items).await;
    let refused = async |text: &str, intended| {
        let result = bench.intend(intended).await.unwrap();
        assert_eq!(result.unwrap_err(), NotIntended::Changed, "{text}");
    };
    let request = bench.request("a").await;

    let mut intended = bench.intended(&request, 1).await;
    intended.assumed.version += 1;
    refused("a version that is not there yet", intended).await;

    let before = bench.intended(&request, 1).await;
    bench.accept(&items).await;
    refused("another revision", before).await;

    let mut intended = bench.intended(&bench.request("a").await, 1).await;
    intended.assumed.revision -= 1;
    refused("the revision before", intended).await;

    let before = bench.intended(&bench.request("a").await, 1).await;
    bench.command(pause(Some("q")), 2).await;
    bench.command(resume(Some("q")), 3).await;
    refused("a pause that came and went", before).await;

    bench.command(pause(Some("p")), 4).await;
    refused("paused", bench.intended(&bench.request("a").await, 5).await).await;
    bench.command(resume(Some("p")), 6).await;

    bench.hold("b", 7, HoldReason::NotFound).await;
    refused("held", bench.intended(&bench.request("b").await, 8).await).await;
    bench.settle("c", 7, Settlement::AlreadyCanceled).await;
    refused(
        "settled",
        bench.intended(&bench.request("c").await, 8).await,
    )
    .await;
    bench.send_and_lose("d", 7).await;
    refused(
        "unknown",
        bench.intended(&bench.request("d").await, 9).await,
    )
    .await;
    bench.accept(&items[..4]).await;
    refused(
        "withdrawn",
        bench.intended(&bench.request("e").await, 9).await,
    )
    .await;

    assert_eq!(bench.used(at(9)).await.unwrap().hour[&provider("p")], 1);
    assert!(
        bench
            .try_send(&bench.request("a").await, 9, &[])
            .await
            .is_ok()
    );
}

async fn a_refused_intent_writes_nothing_and_uses_no_limit(mut bench: Bench) {
    let mut second = item("a");
    second.wanted.key.again = 2;
    bench.accept(&[item("a"), second, item("b")]).await;
    bench.send("a", 1).await;
    let before = (bench.record_so_far().await, bench.all().await);
    let again = bench.again("a", 2).await;
    for _ in 0..3 {
        let refused = bench.try_send(&again, 2, &[per(HOUR, 5)]).await;
        assert_eq!(refused.unwrap_err(), NotIntended::InFlight);
        let b = bench.request("b").await;
        assert!(bench.try_send(&b, 2, &[per(HOUR, 1)]).await.is_err());
    }
    bench.kill();
    assert_eq!((bench.record_so_far().await, bench.all().await), before);
    assert_eq!(bench.used(at(3)).await.unwrap().day[&provider("p")], 1);
    let b = bench.request("b").await;
    assert!(bench.try_send(&b, 3, &[per(HOUR, 2)]).await.is_ok());
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap()
}

async fn a_limit_counts_the_writes_of_its_rolling_time_and_says_when_the_oldest_leaves(
    bench: Bench,
) {
    for over in [HOUR, DAY] {
        let span = seconds(over);
        // Far enough after the turn before that none of its writes counts any more.
        let begin = span * 100;
        let ids: Vec<String> = (0..4).map(|index| format!("s{span}-{index}")).collect();
        let items: Vec<_> = ids.iter().map(|id| item(id)).collect();
        bench.accept(&items).await;
        let caps = [per(over, 2)];
        let send = async |index: usize, now: i64| {
            let request = bench.request(&ids[index]).await;
            bench.try_send(&request, now, &caps).await.map(|_| ())
        };
        let full = |frees: i64| {
            Err(NotIntended::Limit {
                frees_at: Some(at(frees)),
            })
        };
        assert_eq!(send(0, begin).await, Ok(()));
        assert_eq!(send(1, begin + 10).await, Ok(()));
        assert_eq!(send(2, begin + 20).await, full(begin + span));
        assert_eq!(send(2, begin + span - 1).await, full(begin + span));
        assert_eq!(send(2, begin + span).await, Ok(()));
        assert_eq!(send(3, begin + span).await, full(begin + span + 10));
        assert_eq!(send(3, begin + span + 10).await, Ok(()));
    }
}

async fn limits_hold_over_a_kill(mut bench: Bench) {
    bench.accept(&[item("a"), item("b"), item("c")]).await;
    bench.send("a", 0).await;
    bench.kill();
    bench.cancel("b", 10).await;
    bench.kill();
    let c = bench.request("c").await;
    for over in [HOUR, DAY] {
        let frees_at = Some(at(seconds(over)));
        let refused = bench.try_send(&c, 20, &[per(DAY, 9), per(over, 2)]).await;
        assert_eq!(refused.unwrap_err(), NotIntended::Limit { frees_at });
    }
    assert!(bench.try_send(&c, 20, &[per(HOUR, 3)]).await.is_ok());
}

async fn a_limit_of_zero_lets_nothing_through_and_never_frees(bench: Bench) {
    bench.accept(&[item("a"), item("b")]).await;
    let a = bench.request("a").await;
    let never = NotIntended::Limit { frees_at: None };
    assert_eq!(
        bench.try_send(&a, 0, &[per(DAY, 0)]).await.unwrap_err(),
        never
    );
    bench.send("b", 0).await;
    assert_eq!(
        bench.try_send(&a, 1, &[per(HOUR, 0)]).await.unwrap_err(),
        never
    );
}

async fn the_limit_of_one_provider_counts_its_own_writes_alone(bench: Bench) {
    bench
        .accept(&[item("a"), item("b"), item_at("q", "c")])
        .await;
    bench.send("a", 0).await;
    let b = bench.request("b").await;
    let of = |name: &str, most: u64| {
        let mut cap = per(HOUR, most);
        cap.of = lapsed::model::memory::CapOf::Provider(provider(name));
        cap
    };
    assert!(bench.try_send(&b, 1, &[of("p", 1)]).await.is_err());
    let c = bench
        .find(super::bench::key("q", "c", 1))
        .await
        .unwrap()
        .unwrap();
    assert!(
        bench.try_send(&c, 1, &[per(HOUR, 1)]).await.is_err(),
        "over all"
    );
    assert!(
        bench
            .try_send(&c, 1, &[of("q", 1), per(HOUR, 2)])
            .await
            .is_ok()
    );
    assert!(
        bench
            .try_send(&b, 2, &[of("p", 2), per(HOUR, 2)])
            .await
            .is_err()
    );
    assert!(
        bench
            .try_send(&b, 2, &[of("p", 2), per(HOUR, 3)])
            .await
            .is_ok()
    );
}

async fn of_many_intents_at_once_no_more_than_the_limit_are_journaled(bench: Bench) {
    let items: Vec<_> = (0..40).map(|index| item(&format!("s{index}"))).collect();
    bench.accept(&items).await;
    let all = bench.all().await;
    let caps = [per(HOUR, 7)];
    let results = join_all(all.iter().map(|request| bench.try_send(request, 1, &caps))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 7);
    let sending = bench.all().await;
    let sending = sending.iter().filter(|it| it.state() == State::Sending);
    assert_eq!(sending.count(), 7);
    assert_eq!(bench.used(at(1)).await.unwrap().hour[&provider("p")], 7);
    bench.verified().await;
}

async fn what_certainly_did_not_leave_this_machine_uses_no_limit(mut bench: Bench) {
    bench.accept(&[item("a"), item("b"), item("c")]).await;
    let sending = bench.send("a", 1).await;
    let not_sent = Answer::NotSent {
        why: "its time ran out".to_owned(),
    };
    let request = bench
        .happens(&sending, 2, &[answered(&sending, not_sent)])
        .await;
    bench
        .happens(&request, 3, &[proven_not_done(&request)])
        .await;
    assert_eq!(
        bench.used(at(3)).await.unwrap().hour.get(&provider("p")),
        None
    );
    let b = bench.request("b").await;
    assert!(bench.try_send(&b, 4, &[per(HOUR, 1)]).await.is_ok());
    bench.kill();
    let c = bench.request("c").await;
    assert!(bench.try_send(&c, 5, &[per(HOUR, 1)]).await.is_err());
    assert!(bench.try_send(&c, 5, &[per(HOUR, 2)]).await.is_ok());
}

async fn a_change_to_an_older_version_is_refused_and_writes_nothing(mut bench: Bench) {
    bench.accept(&[item("a")]).await;
    let old = bench.request("a").await;
    let new = bench.hold("a", 1, HoldReason::NotFound).await;
    assert!(new.version > old.version);
    let record = bench.record_so_far().await;
    let mut change = Change::to(&old, at(2));
    change.events = vec![held(HoldReason::StateUnclear)];
    change.wake_at = Some(Some(at(99)));
    let refused = bench.record(change).await;
    assert!(matches!(refused, Err(LedgerError::Moved)), "{refused:?}");
    bench.kill();
    assert_eq!(bench.request("a").await, new);
    assert_eq!(bench.record_so_far().await, record);
}

async fn an_event_that_cannot_follow_writes_nothing_of_its_change(mut bench: Bench) {
    bench.accept(&[item("a"), item("b")]).await;
    let before = (bench.all().await, bench.record_so_far().await);
    let request = bench.request("a").await;
    for events in [
        vec![settled(Settlement::Canceled)],
        vec![answered(&request, lost())],
        vec![held(HoldReason::NotFound), held(HoldReason::Paused)],
    ] {
        let mut change = Change::to(&request, at(2));
        change.events = events;
        change.wake_at = Some(None);
        let refused = bench.record(change).await;
        assert!(
            matches!(refused, Err(LedgerError::Illegal(_))),
            "{refused:?}"
        );
    }
    // A revision that would not pass takes nothing in either.
    let head = bench.head().await.unwrap();
    let unknown = bench.take_in(99, vec![item("c")], at(2)).await;
    assert!(unknown.is_err());
    assert_eq!(bench.head().await.unwrap(), head);
    bench.kill();
    assert_eq!((bench.all().await, bench.record_so_far().await), before);
    bench.begin_revision(revision("next")).await.unwrap();
    bench.verified().await;
}
