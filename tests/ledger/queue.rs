//! The queue: what a pass takes, in which order, and what wakes what.

use lapsed::ledger::{Change, Claim, Cursor, Lane};
use lapsed::model::hold::HoldReason;
use lapsed::model::standing::State;

use super::bench::{Bench, at, awaiting_approval, claim, due, held, item, item_at, lost, provider};
use super::bench::{alive, answered};

facts! {
    what_is_due_comes_earliest_due_first_and_then_in_the_order_of_the_file,
    due_means_at_that_moment_and_not_before,
    only_the_provider_that_is_asked_for_is_taken,
    a_tick_takes_all_and_a_wake_only_what_wakes_by_itself,
    what_is_held_by_a_person_or_finished_is_never_taken,
    with_a_cursor_a_pass_meets_each_once_whatever_moves_behind_it,
    the_next_wake_is_the_earliest_of_what_wakes_by_itself,
    a_change_leaves_the_wake_moves_it_or_ends_it,
    a_look_and_its_doubt_are_remembered,
    what_a_look_held_is_woken_and_what_a_person_must_free_stays_asleep,
    waking_makes_a_permit_of_before_worthless,
    after_a_clock_was_set_back_nothing_waits_that_it_put_off,
    exactly_the_given_rows_are_stale_and_all_others_are_freed,
    what_is_in_flight_or_finished_is_never_stale,
    a_stale_row_that_is_free_again_is_taken_at_its_time,
}

async fn what_is_due_comes_earliest_due_first_and_then_in_the_order_of_the_file(bench: Bench) {
    let items = [
        due(item("c"), 30),
        due(item("b"), 10),
        due(item("a"), 10),
        due(item("d"), 20),
    ];
    bench.accept(&items).await;
    assert_eq!(
        bench.claimed(claim(Lane::Tick, 60)).await,
        ["b", "a", "d", "c"]
    );
    let two = Claim {
        limit: 2,
        ..claim(Lane::Tick, 60)
    };
    assert_eq!(bench.claimed(two).await, ["b", "a"]);
}

async fn due_means_at_that_moment_and_not_before(bench: Bench) {
    bench.accept(&[due(item("a"), 60)]).await;
    assert!(bench.claimed(claim(Lane::Tick, 59)).await.is_empty());
    assert_eq!(bench.claimed(claim(Lane::Tick, 60)).await, ["a"]);
}

async fn only_the_provider_that_is_asked_for_is_taken(bench: Bench) {
    bench.accept(&[item_at("q", "a"), item("b")]).await;
    assert_eq!(bench.claimed(claim(Lane::Tick, 1)).await, ["b"]);
}

async fn a_tick_takes_all_and_a_wake_only_what_wakes_by_itself(bench: Bench) {
    let items: Vec<_> = ["waiting", "sending", "unknown", "retrying", "ending"]
        .map(item)
        .to_vec();
    bench.accept(&items).await;
    bench.send("sending", 1).await;
    bench.send_and_lose("unknown", 1).await;
    bench.send_in_vain("retrying", 1).await;
    let request = bench.send_and_lose("ending", 1).await;
    let began = lapsed::model::standing::Event::EndingBegan { at: at(50) };
    bench.happens(&request, 2, &[began]).await;
    let tick = bench.claimed(claim(Lane::Tick, 90)).await;
    assert_eq!(
        tick,
        ["waiting", "sending", "unknown", "retrying", "ending"]
    );
    let wake = bench.claimed(claim(Lane::Wake, 90)).await;
    assert_eq!(wake, ["sending", "unknown", "retrying", "ending"]);
}

async fn what_is_held_by_a_person_or_finished_is_never_taken(bench: Bench) {
    let items = [
        awaiting_approval(item("a")),
        item("b"),
        item("c"),
        item("d"),
    ];
    bench.accept(&items).await;
    bench.cancel("b", 1).await;
    bench
        .accept(&[items[0].clone(), items[1].clone(), items[2].clone()])
        .await;
    bench.accept_holding(&items[..2], &[provider("p")]).await;
    let states = ["a", "b", "c", "d"].map(|id| bench.state(id));
    let states = futures_util::future::join_all(states).await;
    assert_eq!(
        states,
        [State::Held, State::Canceled, State::Held, State::Withdrawn]
    );
    assert!(bench.claimed(claim(Lane::Tick, 1_000_000)).await.is_empty());
}

async fn with_a_cursor_a_pass_meets_each_once_whatever_moves_behind_it(bench: Bench) {
    let mut items: Vec<_> = (0..23)
        .map(|index| due(item(&format!("s{index}")), index % 5))
        .collect();
    // One whose time is not known sorts first and is met like the others.
    items[11].due_at = None;
    bench.accept(&items).await;
    let mut met = Vec::new();
    let mut after = None;
    loop {
        let page = Claim {
            after,
            limit: 4,
            ..claim(Lane::Tick, 60)
        };
        let claimed = bench.claim(page).await.unwrap();
        let Some(last) = claimed.last() else { break };
        after = Some(Cursor::of(last));
        for request in claimed {
            // Awake again at once: it must not come twice in this pass.
            let mut change = Change::to(&request, at(60));
            change.wake_at = Some(Some(at(0)));
            bench.record(change).await.unwrap();
            met.push(request.key.id.to_string());
        }
    }
    assert_eq!(met.len(), 23);
    assert_eq!(met[0], "s11");
    met.sort();
    met.dedup();
    assert_eq!(met.len(), 23);
}

async fn the_next_wake_is_the_earliest_of_what_wakes_by_itself(bench: Bench) {
    assert_eq!(bench.next_wake(provider("p")).await.unwrap(), None);
    bench
        .accept(&[item("a"), item("b"), item("c"), item_at("q", "d")])
        .await;
    assert_eq!(
        bench.next_wake(provider("p")).await.unwrap(),
        None,
        "a tick's alone"
    );
    bench.send("a", 20).await;
    bench.send("b", 10).await;
    assert_eq!(bench.next_wake(provider("p")).await.unwrap(), Some(at(40)));
    assert_eq!(bench.next_wake(provider("q")).await.unwrap(), None);
}

async fn a_change_leaves_the_wake_moves_it_or_ends_it(bench: Bench) {
    bench.accept(&[item("a")]).await;
    for (wake_at, expected) in [
        (None, Some(at(0))),
        (Some(Some(at(77))), Some(at(77))),
        (None, Some(at(77))),
        (Some(None), None),
        (None, None),
    ] {
        let mut change = Change::to(&bench.request("a").await, at(1));
        change.wake_at = wake_at;
        let request = bench.record(change).await.unwrap();
        assert_eq!(request.wake_at, expected);
        assert_eq!(bench.request("a").await, request);
    }
}

async fn a_look_and_its_doubt_are_remembered(mut bench: Bench) {
    bench.accept(&[item("a")]).await;
    let request = bench.send_and_lose("a", 1).await;
    let mut doubt = request.doubt.clone().unwrap();
    doubt.reads = 3;
    doubt.first_alive = Some(super::bench::witness(9));
    let mut change = Change::to(&request, at(9));
    change.look = Some(alive(9));
    change.doubt = Some(doubt.clone());
    change.idle_looks = 4;
    bench.record(change).await.unwrap();
    bench.kill();
    let request = bench.request("a").await;
    assert_eq!(request.look, Some(alive(9)));
    assert_eq!((request.doubt, request.idle_looks), (Some(doubt), 4));
    // A change that looked at nothing keeps the last look.
    let change = Change::to(&bench.request("a").await, at(10));
    let request = bench.record(change).await.unwrap();
    assert_eq!(request.look, Some(alive(9)));
}

async fn sleeps(bench: &Bench, id: &str, until: i64) {
    let mut change = Change::to(&bench.request(id).await, at(1));
    change.wake_at = Some(Some(at(until)));
    bench.record(change).await.unwrap();
}

async fn what_a_look_held_is_woken_and_what_a_person_must_free_stays_asleep(bench: Bench) {
    let items = [
        item("held"),
        awaiting_approval(item("approval")),
        due(item("later"), 900),
        item("unknown"),
        item_at("q", "elsewhere"),
    ];
    bench.accept(&items).await;
    bench.hold("held", 1, HoldReason::NotFound).await;
    let request = bench.send("unknown", 1).await;
    bench
        .happens(&request, 2, &[answered(&request, lost())])
        .await;
    for id in ["held", "unknown"] {
        sleeps(&bench, id, 500).await;
    }
    assert_eq!(bench.wake_held(provider("p"), at(10)).await.unwrap(), 1);
    assert_eq!(bench.claimed(claim(Lane::Tick, 10)).await, ["held"]);
    assert_eq!(bench.request("approval").await.wake_at, None);
    assert_eq!(bench.request("later").await.wake_at, Some(at(900)));
    assert_eq!(bench.request("unknown").await.wake_at, Some(at(500)));
    assert_eq!(bench.wake_held(provider("p"), at(10)).await.unwrap(), 0);
}

async fn waking_makes_a_permit_of_before_worthless(bench: Bench) {
    bench.accept(&[item("a")]).await;
    sleeps(&bench, "a", 500).await;
    let intended = bench.intended(&bench.request("a").await, 10).await;
    bench.wake_held(provider("p"), at(10)).await.unwrap();
    assert!(bench.intend(intended).await.unwrap().is_err());
}

async fn after_a_clock_was_set_back_nothing_waits_that_it_put_off(bench: Bench) {
    bench
        .accept(&[
            item("unknown"),
            item("retrying"),
            item("held"),
            due(item("later"), 900),
        ])
        .await;
    bench.send_and_lose("unknown", 1).await;
    bench.send_in_vain("retrying", 1).await;
    bench.hold("held", 1, HoldReason::NotFound).await;
    for id in ["unknown", "retrying", "held"] {
        sleeps(&bench, id, 500).await;
    }
    let set_back = || bench.set_back(provider("p"), at(10), at(12));
    assert_eq!(set_back().await.unwrap(), 3);
    for id in ["unknown", "retrying", "held"] {
        assert_eq!(bench.request(id).await.wake_at, Some(at(10)), "{id}");
    }
    assert_eq!(bench.request("later").await.wake_at, Some(at(900)));
    assert_eq!(set_back().await.unwrap(), 0);
}

async fn rows(bench: &Bench, ids: &[&str]) -> Vec<i64> {
    let mut rows = Vec::new();
    for id in ids {
        rows.push(bench.request(id).await.row);
    }
    rows
}

async fn exactly_the_given_rows_are_stale_and_all_others_are_freed(mut bench: Bench) {
    bench.accept(&[item("a"), item("b"), item("c")]).await;
    let stale = rows(&bench, &["a", "b"]).await;
    assert_eq!(bench.mark_stale(stale.clone(), at(1)).await.unwrap(), 2);
    assert_eq!(bench.mark_stale(stale, at(2)).await.unwrap(), 0);
    assert_eq!(bench.claimed(claim(Lane::Tick, 9)).await, ["c"]);
    assert_eq!(bench.request("a").await.held_since, Some(at(1)));
    bench.kill();
    let stale = rows(&bench, &["b", "c"]).await;
    assert_eq!(bench.mark_stale(stale, at(3)).await.unwrap(), 2);
    assert_eq!(bench.claimed(claim(Lane::Tick, 9)).await, ["a"]);
    assert_eq!(bench.mark_stale(Vec::new(), at(4)).await.unwrap(), 2);
    assert_eq!(bench.claimed(claim(Lane::Tick, 9)).await, ["a", "b", "c"]);
    assert_eq!(bench.kinds("a").await, ["accepted", "held", "freed"]);
    assert_eq!(bench.request("a").await.held_since, None);
}

async fn what_is_in_flight_or_finished_is_never_stale(bench: Bench) {
    bench.accept(&[item("a"), item("b"), item("c")]).await;
    bench.send("a", 1).await;
    bench.send_and_lose("b", 1).await;
    bench.cancel("c", 1).await;
    let all = rows(&bench, &["a", "b", "c"]).await;
    assert_eq!(bench.mark_stale(all, at(2)).await.unwrap(), 0);
}

async fn a_stale_row_that_is_free_again_is_taken_at_its_time(bench: Bench) {
    bench
        .accept(&[due(item("a"), 60), awaiting_approval(item("b"))])
        .await;
    let request = bench.send_in_vain("a", 1).await;
    assert_eq!(request.state(), State::Retrying);
    let both = rows(&bench, &["a", "b"]).await;
    bench.mark_stale(both, at(2)).await.unwrap();
    bench.mark_stale(Vec::new(), at(3)).await.unwrap();
    assert_eq!(bench.request("a").await.wake_at, Some(at(60)));
    assert_eq!(bench.state("a").await, State::Retrying);
    let b = bench.request("b").await;
    assert_eq!((b.state(), b.wake_at), (State::Held, None));
    // A hold that a look found is looked at again.
    bench.hold("a", 4, HoldReason::NotFound).await;
    let request = bench.request("a").await;
    let request = bench
        .happens(&request, 5, &[held(HoldReason::ConfigStale)])
        .await;
    bench.mark_stale(Vec::new(), at(6)).await.unwrap();
    let free = bench.request("a").await;
    assert_eq!(free.wake_at, request.due_at);
    assert!(free.standing.holds.contains(&HoldReason::NotFound));
}
