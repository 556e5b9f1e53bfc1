//! Accepting a revision: by difference, in two phases, once.

use lapsed::ledger::{Change, Close, Incoming, KeptFile, Lane, LedgerError, NewRevision};
use lapsed::model::hold::HoldReason;
use lapsed::model::memory::Verdict;
use lapsed::model::provider::ProviderKind;
use lapsed::model::standing::{Settlement, State};
use lapsed::reconcile::accept;

use super::bench::{
    Bench, answered, at, awaiting_approval, changed, claim, due, id, item, item_at, key, pause,
    per, proven_not_done, provider, revision,
};
use super::bench::{HOUR, lost};

facts! {
    a_new_item_is_remembered_with_all_that_the_next_pass_needs,
    an_acceptance_cut_short_anywhere_is_finished_from_the_text_and_the_verdict_that_were_kept,
    while_a_revision_is_being_accepted_no_pass_takes_a_row_and_no_intent_is_journaled,
    a_revision_begun_anew_replaces_the_one_that_was_not_finished,
    accepting_the_same_items_again_adds_nothing_to_the_record,
    a_revision_writes_no_row_of_which_nothing_changes,
    what_was_decided_by_a_revision_before_is_decided_anew,
    a_batch_that_is_taken_in_twice_counts_once,
    a_changed_item_is_planned_afresh,
    an_edit_is_no_approval,
    a_line_that_is_gone_is_withdrawn_and_its_return_revives_it,
    what_was_tried_in_vain_and_withdrawn_comes_back_and_waits_for_a_tick,
    finished_stays_finished_whatever_the_file_says,
    an_edit_in_flight_is_too_late_and_taken_up_once_nothing_happened,
    an_edit_in_flight_that_is_taken_back_leaves_nothing_to_take_up,
    a_line_removed_in_flight_is_withdrawn_only_once_nothing_happened,
    a_line_that_returns_in_flight_is_wanted_again,
    again_two_is_a_request_of_its_own,
    what_vanishes_at_a_guarded_provider_is_held_as_removal_and_elsewhere_withdrawn,
    what_is_held_as_removal_goes_on_when_its_line_is_back,
    what_is_held_as_removal_is_not_open,
    a_renamed_provider_keeps_its_requests_memory_pauses_and_limits,
}

async fn a_new_item_is_remembered_with_all_that_the_next_pass_needs(mut bench: Bench) {
    bench.accept(&[due(item("a"), 60)]).await;
    bench.kill();
    let request = bench.request("a").await;
    assert_eq!(request.key, key("p", "a", 1));
    assert_eq!(request.kind, ProviderKind::Revere);
    assert_eq!(request.terms, item("a").wanted.terms);
    assert_eq!(request.place, item("a").wanted.place);
    assert_eq!(request.revision, "text");
    assert_eq!(
        (request.due_at, request.wake_at),
        (Some(at(60)), Some(at(60)))
    );
    assert_eq!((request.created_at, request.changed_at), (at(0), at(0)));
    assert_eq!(request.state(), State::Scheduled);
    assert_eq!(
        (request.look, request.doubt, request.note),
        (None, None, None)
    );
}

const TEXT: &str = "version: 1\nreconcile: {schedule: \"* * * * *\", timezone: UTC}\nproviders:\n  p: {type: revere, group_id: g, linked_account_id: l, api_key: {env: KEY}}\ncancellations:\n  - {id: a, provider: p, when: now}\n  - {id: b, provider: p, when: now}\n...\n";

fn begun() -> NewRevision {
    NewRevision {
        files: vec![KeptFile {
            name: "lapsed.yaml".to_owned(),
            text: TEXT.to_owned(),
        }],
        verdict: Verdict {
            approval: vec![provider("p")],
            removal: vec![provider("q")],
            ..Verdict::default()
        },
        ..revision("second")
    }
}

/// What a person would see of every request, and the record behind it.
async fn seen(bench: &Bench) -> Vec<(String, State, Vec<HoldReason>, Vec<String>)> {
    let mut seen = Vec::new();
    for request in bench.all().await {
        let kinds = bench.record_so_far().await;
        let kinds = kinds
            .into_iter()
            .filter(|event| event.key == request.key)
            .map(|event| event.kind)
            .collect();
        let holds = request.standing.holds.iter().copied().collect();
        seen.push((request.key.to_string(), request.state(), holds, kinds));
    }
    seen
}

async fn an_acceptance_cut_short_anywhere_is_finished_from_the_text_and_the_verdict_that_were_kept(
    empty: Bench,
) {
    let manifest = accept::read_kept(&begun().files).unwrap();
    let first: Vec<Incoming> = manifest.wanted[..1]
        .iter()
        .map(|wanted| Incoming {
            wanted: wanted.clone(),
            ..awaiting_approval(item("a"))
        })
        .collect();
    let mut results = Vec::new();
    for steps in 0..3 {
        let mut bench = empty.another();
        bench
            .accept(&[item_at("p", "gone"), item_at("q", "vanished")])
            .await;
        let number = bench.begin_revision(begun()).await.unwrap();
        for _ in 0..steps {
            bench.take_in(number, first.clone(), at(0)).await.unwrap();
        }
        bench.kill();
        assert_eq!(bench.current().await.unwrap().unwrap().digest, "text");
        let kept = bench.accepting().await.unwrap().unwrap();
        assert_eq!((kept.number, &*kept.digest), (number, "second"));
        assert_eq!(kept.verdict, begun().verdict);
        let manifest = accept::read_kept(&kept.files).unwrap();
        accept::finish(&*bench, &kept, &manifest).await.unwrap();
        bench.kill();
        assert_eq!(bench.accepting().await.unwrap(), None);
        assert_eq!(bench.current().await.unwrap(), Some(kept));
        bench.verified().await;
        results.push(seen(&bench).await);
    }
    let kinds = |kinds: &[&str]| kinds.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let expected = vec![
        (
            "p/gone".to_owned(),
            State::Withdrawn,
            vec![],
            kinds(&["accepted", "withdrawn"]),
        ),
        (
            "q/vanished".to_owned(),
            State::Held,
            vec![HoldReason::Removal],
            kinds(&["accepted", "held"]),
        ),
        (
            "p/a".to_owned(),
            State::Held,
            vec![HoldReason::Approval],
            kinds(&["accepted"]),
        ),
        (
            "p/b".to_owned(),
            State::Held,
            vec![HoldReason::Approval],
            kinds(&["accepted"]),
        ),
    ];
    assert_eq!(results, vec![expected; 3]);
}

async fn while_a_revision_is_being_accepted_no_pass_takes_a_row_and_no_intent_is_journaled(
    bench: Bench,
) {
    bench.accept(&[item("a")]).await;
    let request = bench.request("a").await;
    let intended = bench.intended(&request, 1).await;
    let number = bench.begin_revision(revision("next")).await.unwrap();
    assert!(bench.claimed(claim(Lane::Tick, 1)).await.is_empty());
    let refused = bench.intend(intended).await.unwrap();
    assert_eq!(refused.unwrap_err(), lapsed::ledger::NotIntended::Changed);
    bench.take_in(number, vec![item("a")], at(1)).await.unwrap();
    bench
        .finish_revision(number, Close::default(), at(1))
        .await
        .unwrap();
    assert_eq!(bench.claimed(claim(Lane::Tick, 1)).await, ["a"]);
}

async fn a_revision_begun_anew_replaces_the_one_that_was_not_finished(bench: Bench) {
    bench.accept(&[item("a")]).await;
    let first = bench.begin_revision(revision("half")).await.unwrap();
    bench.take_in(first, vec![item("b")], at(0)).await.unwrap();
    let second = bench.begin_revision(revision("whole")).await.unwrap();
    assert!(second > first);
    bench.take_in(second, vec![item("a")], at(0)).await.unwrap();
    bench
        .finish_revision(second, Close::default(), at(0))
        .await
        .unwrap();
    assert_eq!(bench.current().await.unwrap().unwrap().digest, "whole");
    assert_eq!(bench.state("a").await, State::Scheduled);
    assert_eq!(bench.state("b").await, State::Withdrawn);
}

async fn accepting_the_same_items_again_adds_nothing_to_the_record(bench: Bench) {
    let items = [item("a"), awaiting_approval(item("b")), item_at("q", "c")];
    bench.accept(&items).await;
    bench.cancel("a", 1).await;
    let before = bench.record_so_far().await;
    bench.accept(&items).await;
    assert_eq!(bench.record_so_far().await, before);
    assert_eq!(bench.state("a").await, State::Canceled);
    assert_eq!(bench.state("b").await, State::Held);
}

async fn a_revision_writes_no_row_of_which_nothing_changes(mut bench: Bench) {
    let mut items = ["waits", "flies", "done", "failed"].map(item).to_vec();
    bench.accept(&items).await;
    bench.send_and_lose("flies", 1).await;
    bench.cancel("done", 1).await;
    bench.settle("failed", 1, Settlement::Failed).await;
    let before = bench.all().await;
    items.push(item("new"));
    bench.accept(&items).await;
    assert_eq!(bench.all().await[..4], before);
    bench.kill();
    // What was not written is no less there.
    items.remove(0);
    bench.accept(&items).await;
    let withdrawn = bench
        .all()
        .await
        .into_iter()
        .filter(|it| it.state() == State::Withdrawn);
    let withdrawn: Vec<_> = withdrawn.map(|it| it.key).collect();
    assert_eq!(withdrawn, [key("p", "waits", 1)]);
}

async fn what_was_decided_by_a_revision_before_is_decided_anew(bench: Bench) {
    let first = bench.accept(&[item("a")]).await;
    let request = bench.request("a").await;
    let decided_by = |number| Change {
        decided_by: Some(number),
        ..Change::to(&request, at(1))
    };
    let begun = bench.begin_revision(revision("second")).await.unwrap();
    for number in [first, begun] {
        let moved = bench.record(decided_by(number)).await;
        assert!(matches!(moved, Err(LedgerError::Moved)), "{moved:?}");
    }
    bench.take_in(begun, vec![item("a")], at(1)).await.unwrap();
    bench
        .finish_revision(begun, Close::default(), at(1))
        .await
        .unwrap();
    let moved = bench.record(decided_by(first)).await;
    assert!(matches!(moved, Err(LedgerError::Moved)), "{moved:?}");
    let recorded = bench.record(decided_by(begun)).await.unwrap();
    // A fact is so whatever is in force.
    bench.record(Change::to(&recorded, at(2))).await.unwrap();
}

async fn a_batch_that_is_taken_in_twice_counts_once(bench: Bench) {
    let number = bench.begin_revision(revision("text")).await.unwrap();
    for _ in 0..2 {
        let items = vec![item("a"), item("b")];
        bench.take_in(number, items, at(0)).await.unwrap();
    }
    bench
        .finish_revision(number, Close::default(), at(0))
        .await
        .unwrap();
    assert_eq!(bench.all().await.len(), 2);
    assert_eq!(bench.kinds("a").await, ["accepted"]);
}

async fn a_changed_item_is_planned_afresh(bench: Bench) {
    bench.accept(&[item("a")]).await;
    bench.hold("a", 1, HoldReason::NotFound).await;
    bench.accept(&[due(changed(item("a")), 60)]).await;
    let request = bench.request("a").await;
    assert_eq!(request.state(), State::Scheduled);
    assert_eq!(request.terms, changed(item("a")).wanted.terms);
    assert_eq!(
        (request.due_at, request.wake_at),
        (Some(at(60)), Some(at(60)))
    );
    assert!(request.hold_details.is_empty());
    assert_eq!(bench.kinds("a").await, ["accepted", "held", "replanned"]);
}

async fn an_edit_is_no_approval(bench: Bench) {
    bench.accept(&[awaiting_approval(item("a"))]).await;
    bench.accept(&[changed(item("a"))]).await;
    let request = bench.request("a").await;
    assert_eq!(request.hold_details[&HoldReason::Approval], "many are new");
    assert_eq!((request.state(), request.wake_at), (State::Held, None));
}

async fn a_line_that_is_gone_is_withdrawn_and_its_return_revives_it(bench: Bench) {
    bench.accept(&[item("a")]).await;
    bench.accept(&[]).await;
    let request = bench.request("a").await;
    assert_eq!((request.state(), request.wake_at), (State::Withdrawn, None));
    bench.accept(&[awaiting_approval(item("a"))]).await;
    assert_eq!(bench.state("a").await, State::Held);
    let kinds = bench.kinds("a").await;
    assert_eq!(kinds, ["accepted", "withdrawn", "revived"]);
}

async fn what_was_tried_in_vain_and_withdrawn_comes_back_and_waits_for_a_tick(bench: Bench) {
    bench.accept(&[item("a")]).await;
    bench.send_in_vain("a", 1).await;
    bench.accept(&[]).await;
    bench.accept(&[item("a")]).await;
    let request = bench.request("a").await;
    assert_eq!(request.state(), State::Scheduled);
    assert_eq!(request.standing.attempts, 1);
}

async fn finished_stays_finished_whatever_the_file_says(bench: Bench) {
    let ends = [
        ("a", Settlement::AlreadyCanceled),
        ("b", Settlement::Failed),
        ("c", Settlement::Missed),
    ];
    let items: Vec<Incoming> = ends.iter().map(|(id, _)| item(id)).collect();
    bench.accept(&items).await;
    for (id, as_) in ends {
        bench.settle(id, 1, as_).await;
    }
    let edited: Vec<Incoming> = items.iter().cloned().map(changed).collect();
    for revision in [&[][..], &items, &edited, &[]] {
        bench.accept(revision).await;
        for (id, as_) in ends {
            let request = bench.request(id).await;
            assert_eq!(request.state(), as_.state());
            assert_eq!(request.terms, item(id).wanted.terms);
            assert_eq!(bench.kinds(id).await, ["accepted", "settled"]);
        }
    }
}

async fn an_edit_in_flight_is_too_late_and_taken_up_once_nothing_happened(mut bench: Bench) {
    bench.accept(&[item("a")]).await;
    bench.send_and_lose("a", 1).await;
    let edited = due(changed(item("a")), 900);
    bench.accept(std::slice::from_ref(&edited)).await;
    bench.accept(std::slice::from_ref(&edited)).await;
    bench.kill();
    let request = bench.request("a").await;
    assert_eq!(request.state(), State::Unknown);
    assert_eq!(request.terms, item("a").wanted.terms);
    let proven = proven_not_done(&request);
    let request = bench.happens(&request, 10, &[proven]).await;
    assert_eq!(request.terms, edited.wanted.terms);
    assert_eq!(request.due_at, Some(at(900)));
    assert_eq!(request.state(), State::Scheduled);
    let told = [
        "accepted",
        "intended",
        "answered",
        "too_late",
        "proven_not_done",
        "replanned",
    ];
    assert_eq!(bench.kinds("a").await, told);
}

async fn an_edit_in_flight_that_is_taken_back_leaves_nothing_to_take_up(bench: Bench) {
    bench.accept(&[item("a")]).await;
    bench.send_and_lose("a", 1).await;
    bench.accept(&[changed(item("a"))]).await;
    bench.accept(&[item("a")]).await;
    let request = bench.request("a").await;
    let proven = proven_not_done(&request);
    let request = bench.happens(&request, 10, &[proven]).await;
    assert_eq!(request.terms, item("a").wanted.terms);
}

async fn a_line_removed_in_flight_is_withdrawn_only_once_nothing_happened(bench: Bench) {
    bench.accept(&[item("a"), item("b"), item("c")]).await;
    let sending = bench.send("a", 1).await;
    bench.send_and_lose("b", 1).await;
    let ending = bench.send_and_lose("c", 1).await;
    let began = lapsed::model::standing::Event::EndingBegan { at: at(900) };
    bench.happens(&ending, 2, &[began]).await;
    bench.accept_holding(&[], &[provider("p")]).await;
    assert_eq!(bench.state("a").await, State::Sending);
    assert_eq!(bench.state("b").await, State::Unknown);
    assert_eq!(bench.state("c").await, State::Ending);
    let request = bench.request("a").await;
    assert!(!request.standing.wanted && request.version > sending.version);
    let events = [answered(&request, lost()), proven_not_done(&request)];
    let request = bench.happens(&request, 9, &events).await;
    assert_eq!((request.state(), request.wake_at), (State::Withdrawn, None));
    let request = bench.request("c").await;
    let settled = super::bench::settled(Settlement::Canceled);
    let request = bench.happens(&request, 9, &[settled]).await;
    assert_eq!(request.state(), State::Canceled);
}

async fn a_line_that_returns_in_flight_is_wanted_again(bench: Bench) {
    bench.accept(&[item("a")]).await;
    bench.send_and_lose("a", 1).await;
    bench.accept(&[]).await;
    bench.accept(&[item("a")]).await;
    let request = bench.request("a").await;
    assert_eq!(request.state(), State::Unknown);
    let proven = proven_not_done(&request);
    let request = bench.happens(&request, 9, &[proven]).await;
    assert_eq!(request.state(), State::Retrying);
}

async fn again_two_is_a_request_of_its_own(bench: Bench) {
    let mut second = item("a");
    second.wanted.key.again = 2;
    bench.accept(&[item("a")]).await;
    bench.cancel("a", 1).await;
    bench.accept(&[second]).await;
    assert_eq!(bench.again("a", 1).await.state(), State::Canceled);
    assert_eq!(bench.again("a", 2).await.state(), State::Scheduled);
    let both = bench.find_all(provider("p"), id("a")).await.unwrap();
    let agains: Vec<u32> = both.iter().map(|it| it.key.again).collect();
    assert_eq!(agains, [2, 1]);
}

async fn what_vanishes_at_a_guarded_provider_is_held_as_removal_and_elsewhere_withdrawn(
    bench: Bench,
) {
    let stays = item("stays");
    bench
        .accept(&[item("a"), item_at("q", "b"), stays.clone()])
        .await;
    bench.send_in_vain("a", 1).await;
    bench
        .accept_holding(std::slice::from_ref(&stays), &[provider("p")])
        .await;
    let request = bench.request("a").await;
    assert_eq!(request.state(), State::Held);
    assert!(request.standing.holds.contains(&HoldReason::Removal));
    assert_eq!(request.wake_at, None);
    let other = bench.find(key("q", "b", 1)).await.unwrap().unwrap();
    assert_eq!(other.state(), State::Withdrawn);
    assert_eq!(bench.state("stays").await, State::Scheduled);
    // The next revision still lacks the line: held it stays, and nobody is withdrawn.
    bench.accept(&[stays]).await;
    assert_eq!(bench.state("a").await, State::Held);
}

async fn what_is_held_as_removal_goes_on_when_its_line_is_back(bench: Bench) {
    bench.accept(&[item("a"), due(item("b"), 60)]).await;
    bench.accept_holding(&[], &[provider("p")]).await;
    bench.accept(&[item("a"), due(item("b"), 60)]).await;
    assert_eq!(bench.state("a").await, State::Scheduled);
    assert_eq!(bench.request("b").await.wake_at, Some(at(60)));
    assert_eq!(bench.claimed(claim(Lane::Tick, 1)).await, ["a"]);
    assert_eq!(bench.kinds("a").await, ["accepted", "held", "freed"]);
}

async fn what_is_held_as_removal_is_not_open(bench: Bench) {
    let items = [item("a"), item("b"), item("c"), item_at("q", "d")];
    bench.accept(&items).await;
    bench.cancel("c", 1).await;
    let open = bench.open_by_provider().await.unwrap();
    assert_eq!((open[&provider("p")], open[&provider("q")]), (2, 1));
    bench.accept_holding(&items[1..], &[provider("p")]).await;
    let open = bench.open_by_provider().await.unwrap();
    assert_eq!((open[&provider("p")], open[&provider("q")]), (1, 1));
}

async fn a_renamed_provider_keeps_its_requests_memory_pauses_and_limits(mut bench: Bench) {
    bench.accept(&[item("a"), item("b"), item("c")]).await;
    bench.cancel("a", 1).await;
    let memory = lapsed::model::memory::ProviderMemory {
        account: Some("the account".to_owned()),
        ..Default::default()
    };
    bench.remember(provider("p"), memory.clone()).await.unwrap();
    let b = bench.send("b", 2).await;
    bench.command(pause(Some("p")), 3).await;
    let moved = bench.rename_provider(provider("p"), provider("new")).await;
    assert_eq!(moved.unwrap(), 3);
    bench.kill();
    assert_eq!(bench.find(key("p", "a", 1)).await.unwrap(), None);
    let find = |id| bench.find(key("new", id, 1));
    assert_eq!(find("a").await.unwrap().unwrap().state(), State::Canceled);
    assert_eq!(bench.provider(provider("new")).await.unwrap(), memory);
    assert!(
        bench
            .pauses()
            .await
            .unwrap()
            .providers
            .contains_key(&provider("new"))
    );
    assert_eq!(bench.used(at(4)).await.unwrap().hour[&provider("new")], 2);
    // What was in flight can be followed to its end, and the limit of the old name counts.
    bench.command(super::bench::resume(Some("new")), 4).await;
    bench.happens(&b, 5, &[answered(&b, lost())]).await;
    let c = find("c").await.unwrap().unwrap();
    let mut cap = per(HOUR, 2);
    cap.of = lapsed::model::memory::CapOf::Provider(provider("new"));
    assert!(bench.try_send(&c, 6, &[cap]).await.is_err());
    assert!(bench.try_send(&c, 6, &[per(HOUR, 3)]).await.is_ok());
    bench.verified().await;
}
