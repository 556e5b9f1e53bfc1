//! Reports: what is counted is what is there.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lapsed::ledger::{Change, DaySpan, DuePlace, EventQuery, Page, Tally};
use lapsed::model::act::Answer;
use lapsed::model::hold::HoldReason;
use lapsed::model::request::Request;
use lapsed::model::standing::{Event, Settlement, State};

use super::bench::{
    Bench, DAY, HOUR, alive, answered, at, awaiting_approval, due, id, item, item_at, key, provider,
};

facts! {
    a_tally_equals_a_recount_over_all_pages,
    the_days_tell_what_was_settled_and_what_is_to_come,
    pages_give_every_request_once_in_the_order_of_their_rows,
    a_page_keeps_to_its_provider_states_and_time,
    a_page_is_what_going_through_everything_would_have_found,
    by_due_the_earliest_comes_first_and_what_has_no_time_last,
    a_request_is_found_by_its_whole_key_alone,
    open_places_name_what_is_unfinished_or_may_be_retried,
    used_counts_the_last_hour_and_the_last_day,
    events_follow_from_a_number_or_end_with_the_newest,
}

/// A ledger in which every state stands, two providers wide.
async fn busy(bench: &Bench) {
    let ids = [
        "waiting",
        "later",
        "held",
        "approval",
        "sending",
        "unknown",
        "successor",
        "retrying",
        "ending",
        "withdrawn",
        "canceled",
        "already",
        "failed",
        "missed",
    ];
    let mut items: Vec<_> = ids.map(item).to_vec();
    items[1] = due(items[1].clone(), 5_000);
    items[3] = awaiting_approval(items[3].clone());
    items.extend(["x", "y"].map(|id| due(item_at("q", id), 70)));
    bench.accept(&items).await;
    let request = bench.hold("held", 1, HoldReason::NotFound).await;
    let request = bench
        .happens(&request, 1, &[super::bench::held(HoldReason::ConfigStale)])
        .await;
    let mut looked = Change::to(&request, at(2));
    looked.look = Some(alive(2));
    bench.record(looked).await.unwrap();
    bench.send("sending", 3).await;
    bench.send_and_lose("unknown", 4).await;
    let request = bench.send_and_lose("successor", 5).await;
    bench
        .happens(&request, 6, &[super::bench::held(HoldReason::Successor)])
        .await;
    bench.send_in_vain("retrying", 7).await;
    let request = bench.send("ending", 10).await;
    let events = [
        answered(&request, Answer::Accepted),
        Event::EndingBegan { at: at(900) },
    ];
    bench.happens(&request, 11, &events).await;
    bench.cancel("canceled", 12).await;
    bench
        .settle("already", 13, Settlement::AlreadyCanceled)
        .await;
    bench.settle("failed", 13, Settlement::Failed).await;
    bench.settle("missed", 13, Settlement::Missed).await;
    items.remove(9);
    bench.accept(&items).await;
}

async fn pages_of_three(bench: &Bench) -> Vec<Request> {
    let mut all: Vec<Request> = Vec::new();
    loop {
        let page = Page {
            after: all.last().map_or(0, |it| it.row),
            limit: 3,
            ..Page::default()
        };
        let found = bench.page(page).await.unwrap();
        if found.is_empty() {
            return all;
        }
        all.extend(found);
    }
}

async fn recount(bench: &Bench, now: DateTime<Utc>) -> Tally {
    let mut tally = Tally::default();
    for request in pages_of_three(bench).await {
        let name = request.key.provider.clone();
        let count = tally
            .states
            .entry((name.clone(), request.state()))
            .or_default();
        let due = request.due_at.is_some_and(|due_at| due_at <= now);
        let told = due && matches!(request.state(), State::Scheduled | State::Retrying);
        count.all += 1;
        count.due += u64::from(told);
        count.looked += u64::from(told && request.look.is_some());
        let carried_out = matches!(request.state(), State::Canceled | State::AlreadyCanceled);
        if carried_out && request.deadline_at.is_some() {
            *tally.deadlines_met.entry(name.clone()).or_default() += 1;
        }
        if request.standing.holds.contains(&HoldReason::Approval) && request.state().open() {
            let known = tally.oldest_approval.into_iter();
            tally.oldest_approval = known.chain(request.held_since).min();
        }
        for reason in &request.standing.holds {
            *tally.holds.entry((name.clone(), *reason)).or_default() += 1;
        }
        let soon = now + chrono::TimeDelta::minutes(5);
        let in_its_way = match request.state() {
            State::Sending | State::Unknown => true,
            State::Scheduled | State::Retrying => request.wake_at.is_some_and(|at| at <= soon),
            _ => false,
        };
        if let Some(due_at) = request.due_at.filter(|_| due && in_its_way) {
            let oldest = tally.oldest_due.entry(name.clone()).or_insert(due_at);
            *oldest = due_at.min(*oldest);
        }
        if let (State::Scheduled, Some(due_at)) = (request.state(), request.due_at) {
            let next = tally.next_due.entry(name.clone()).or_insert(due_at);
            *next = due_at.min(*next);
        }
    }
    let mut begun = BTreeMap::new();
    for event in bench.record_so_far().await {
        match event.event.unwrap() {
            Event::Intended { .. } => drop(begun.insert(event.key, event.at)),
            Event::Answered { answer, .. } => {
                let outcome = answer.outcome().to_owned();
                *tally
                    .attempts
                    .entry((event.key.provider, outcome))
                    .or_default() += 1;
            }
            Event::ProvenNotDone { .. } | Event::EndingBegan { .. } | Event::Settled { .. } => {
                begun.remove(&event.key);
            }
            _ => {}
        }
    }
    for (key, since) in begun {
        let oldest = tally.oldest_unknown.entry(key.provider).or_insert(since);
        *oldest = since.min(*oldest);
    }
    tally
}

/// A tally without what only the disk knows, which is there.
async fn tallied(bench: &Bench, now: DateTime<Utc>) -> Tally {
    let mut tally = bench.tally(now).await.unwrap();
    let space = tally.space.take().unwrap();
    assert!(space.size > 4_096 && space.free > 0, "{space:?}");
    tally
}

async fn the_days_tell_what_was_settled_and_what_is_to_come(mut bench: Bench) {
    busy(&bench).await;
    let today = at(0).date_naive();
    let span = DaySpan {
        from: today,
        until: today + chrono::Days::new(1),
    };
    let days = bench.days(span).await.unwrap();
    let mut settled: BTreeMap<_, u64> = BTreeMap::new();
    for event in bench.record_so_far().await {
        if let Some(Event::Settled { as_, .. }) = event.event {
            *settled
                .entry((event.at.date_naive(), as_.state()))
                .or_default() += 1;
        }
    }
    assert_eq!(days.settled, settled);
    assert_eq!(settled.len(), 4, "{settled:?}");
    let all = bench.all().await;
    let scheduled = all.iter().filter(|request| {
        matches!(request.state(), State::Scheduled | State::Retrying) && request.due_at.is_some()
    });
    assert_eq!(days.due.values().sum::<u64>(), scheduled.count() as u64);
    let later = DaySpan {
        from: today + chrono::Days::new(1),
        ..span
    };
    assert!(bench.days(later).await.unwrap().settled.is_empty());
    bench.kill();
    assert_eq!(bench.days(span).await.unwrap(), days);
    assert_eq!(bench.verify().await.unwrap().faults, Vec::<String>::new());
}

async fn a_tally_equals_a_recount_over_all_pages(mut bench: Bench) {
    busy(&bench).await;
    // On the day itself, and when that has gone by.
    for now in [-1, 0, 69, 70, 9_000, 86_400, 200_000].map(at) {
        assert_eq!(tallied(&bench, now).await, recount(&bench, now).await);
    }
    bench.kill();
    let tally = tallied(&bench, at(70)).await;
    assert_eq!(tally, recount(&bench, at(70)).await);
    // The recount is not empty where it matters: every state stands somewhere.
    let mut states: Vec<State> = tally.states.keys().map(|(_, state)| *state).collect();
    states.sort();
    states.dedup();
    assert_eq!(states, State::ALL);
    let holds: Vec<_> = tally.holds.keys().map(|(_, reason)| *reason).collect();
    let expected = [
        HoldReason::ConfigStale,
        HoldReason::NotFound,
        HoldReason::Successor,
        HoldReason::Approval,
    ];
    assert_eq!(holds, expected);
    assert_eq!(tally.oldest_unknown[&provider("p")], at(3));
    assert_eq!(tally.attempts[&(provider("p"), "unclear".to_owned())], 3);
    assert_eq!(tally.attempts[&(provider("p"), "accepted".to_owned())], 2);
}

async fn pages_give_every_request_once_in_the_order_of_their_rows(bench: Bench) {
    busy(&bench).await;
    let all = pages_of_three(&bench).await;
    assert_eq!(all.len(), 16);
    assert!(all.windows(2).all(|pair| pair[0].row < pair[1].row));
    assert_eq!(all, bench.all().await);
}

async fn a_page_keeps_to_its_provider_states_and_time(bench: Bench) {
    busy(&bench).await;
    let ids = async |page: Page| {
        let found = bench.page(Page { limit: 100, ..page }).await.unwrap();
        found
            .iter()
            .map(|it| it.key.id.to_string())
            .collect::<Vec<_>>()
    };
    let of_q = Page {
        provider: Some(provider("q")),
        ..Page::default()
    };
    assert_eq!(ids(of_q.clone()).await, ["x", "y"]);
    let states = vec![State::Held, State::Missed];
    let held = Page {
        states,
        ..Page::default()
    };
    assert_eq!(ids(held).await, ["held", "approval", "successor", "missed"]);
    let early = Page {
        due_by: Some(at(69)),
        ..of_q.clone()
    };
    assert!(ids(early).await.is_empty());
    let late = Page {
        due_by: Some(at(70)),
        states: vec![State::Scheduled],
        ..of_q
    };
    assert_eq!(ids(late).await, ["x", "y"]);
}

/// Every page that can be asked for, and what is on it: that which fits, in order, up to its length.
async fn a_page_is_what_going_through_everything_would_have_found(bench: Bench) {
    busy(&bench).await;
    let all = bench.all().await;
    let states = [
        vec![],
        vec![State::Scheduled],
        vec![State::Held],
        vec![State::Held, State::Failed, State::Withdrawn],
        State::ALL.to_vec(),
    ];
    let holds = [None, Some(HoldReason::NotFound), Some(HoldReason::Approval)];
    let times = [None, Some(at(69)), Some(at(5_000))];
    let place = |due_at: Option<DateTime<Utc>>, row| Some(DuePlace { due_at, row });
    let orders = [
        (None, false, None),
        (None, true, None),
        (None, true, place(Some(at(70)), 3)),
        (None, true, place(Some(at(70)), 15)),
        (None, true, place(None, 4)),
        (Some("s"), false, None),
    ];
    let mut found_at_all = 0;
    for states in &states {
        for held_by in holds {
            for due_by in times {
                for provider in [None, Some(provider("p")), Some(provider("q"))] {
                    for (prefix, by_due, after_due) in orders {
                        for (after, limit) in [(0, 100), (4, 3)] {
                            let page = Page {
                                provider: provider.clone(),
                                states: states.clone(),
                                due_by,
                                held_by,
                                prefix: prefix.map(str::to_owned),
                                after,
                                limit,
                                by_due,
                                after_due,
                            };
                            let found = bench.page(page.clone()).await.unwrap();
                            found_at_all += found.len();
                            assert_eq!(found, sifted(&all, &page), "{page:?}");
                        }
                    }
                }
            }
        }
    }
    assert!(found_at_all > 500, "{found_at_all}");
}

fn sifted(all: &[Request], page: &Page) -> Vec<Request> {
    let fits = |it: &&Request| {
        let key = &it.key;
        let prefix = page.prefix.as_deref().unwrap_or_default();
        let by_row = page.prefix.is_none() && !page.by_due;
        page.provider
            .as_ref()
            .is_none_or(|name| *name == key.provider)
            && (page.states.is_empty() || page.states.contains(&it.state()))
            && page
                .due_by
                .is_none_or(|by| it.due_at.is_some_and(|at| at <= by))
            && page
                .held_by
                .is_none_or(|reason| it.standing.holds.contains(&reason))
            && key.id.as_str().starts_with(prefix)
            && (!by_row || it.row > page.after)
    };
    let mut found: Vec<Request> = all.iter().filter(fits).cloned().collect();
    if page.by_due {
        let place = |it: &DuePlace| (it.due_at.is_none(), it.due_at, it.row);
        let after = page.after_due.as_ref().map(place);
        found.retain(|it| after.is_none_or(|after| place(&DuePlace::of(it)) > after));
        found.sort_by_key(|it| place(&DuePlace::of(it)));
    } else if page.prefix.is_some() {
        found.sort_by(|one, other| one.key.cmp(&other.key));
    }
    found.truncate(page.limit as usize);
    found
}

async fn by_due_the_earliest_comes_first_and_what_has_no_time_last(bench: Bench) {
    let mut timeless = item("a");
    timeless.due_at = None;
    bench
        .accept(&[
            timeless,
            due(item("b"), 20),
            due(item("c"), 10),
            due(item("d"), 20),
        ])
        .await;
    let page = Page {
        by_due: true,
        limit: 100,
        ..Page::default()
    };
    let found = bench.page(page.clone()).await.unwrap();
    let ids: Vec<_> = found.iter().map(|it| it.key.id.as_str()).collect();
    assert_eq!(ids, ["c", "b", "d", "a"]);
    let first = bench.page(Page { limit: 1, ..page }).await.unwrap();
    assert_eq!(first[0].key.id, id("c"));
}

async fn a_request_is_found_by_its_whole_key_alone(bench: Bench) {
    bench.accept(&[item("a")]).await;
    assert!(bench.find(key("p", "a", 1)).await.unwrap().is_some());
    for other in [
        key("q", "a", 1),
        key("p", "b", 1),
        key("p", "a", 2),
        key("p", "A", 1),
    ] {
        assert_eq!(bench.find(other).await.unwrap(), None);
    }
}

async fn open_places_name_what_is_unfinished_or_may_be_retried(bench: Bench) {
    busy(&bench).await;
    let open = bench.open_places().await.unwrap();
    let expected: Vec<_> = bench
        .all()
        .await
        .into_iter()
        .filter(|it| it.state().open() || matches!(it.state(), State::Failed | State::Missed))
        .map(|it| (it.row, it.place))
        .collect();
    assert_eq!(open.len(), 13);
    assert_eq!(open, expected);
}

async fn used_counts_the_last_hour_and_the_last_day(mut bench: Bench) {
    bench.accept(&[item("a"), item("b"), item("c")]).await;
    let (hour, day) = (HOUR.as_secs().cast_signed(), DAY.as_secs().cast_signed());
    bench.send("a", 0).await;
    bench.cancel("b", 10).await;
    bench.send_and_lose("c", hour).await;
    bench.kill();
    let used = async |now: i64| {
        let used = bench.used(at(now)).await.unwrap();
        let of = |by: &BTreeMap<_, u64>| by.get(&provider("p")).copied().unwrap_or(0);
        (of(&used.hour), of(&used.day))
    };
    assert_eq!(
        used(hour - 1).await,
        (3, 3),
        "a clock that went back frees nothing"
    );
    assert_eq!(used(hour).await, (2, 3));
    assert_eq!(used(hour + 10).await, (1, 3));
    assert_eq!(used(day).await, (0, 2));
    assert_eq!(used(day + hour).await, (0, 0));
}

async fn events_follow_from_a_number_or_end_with_the_newest(bench: Bench) {
    bench.accept(&[item("a"), item("b")]).await;
    bench.cancel("a", 5).await;
    let ask = async |row, after, limit| {
        let events = bench
            .events(EventQuery {
                row,
                after,
                limit,
                ..EventQuery::default()
            })
            .await
            .unwrap();
        events
            .into_iter()
            .map(|it| (it.number, it.kind))
            .collect::<Vec<_>>()
    };
    let kind = |events: &[(i64, String)]| events.iter().map(|it| it.1.clone()).collect::<Vec<_>>();
    let all = ask(None, Some(0), 100).await;
    assert_eq!(
        kind(&all),
        ["accepted", "accepted", "intended", "answered", "settled"]
    );
    assert_eq!(ask(None, Some(all[1].0), 2).await, all[2..4]);
    assert!(ask(None, Some(all[4].0), 2).await.is_empty());
    let newest = ask(None, None, 2).await;
    assert_eq!(newest, [all[4].clone(), all[3].clone()]);
    let b = bench.request("b").await.row;
    assert_eq!(ask(Some(b), Some(0), 100).await, all[1..2]);
    let events = bench.record_so_far().await;
    assert_eq!((events[4].at, &events[4].key), (at(6), &key("p", "a", 1)));
    assert_eq!(events[4].event.as_ref().unwrap().kind(), events[4].kind);
}
