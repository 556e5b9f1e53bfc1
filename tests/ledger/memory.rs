//! What is remembered of providers, what is paused, and what people ask.

use lapsed::ledger::Command;
use lapsed::model::hold::HoldReason;
use lapsed::model::memory::{Destination, ProviderMemory, Stop};
use lapsed::model::provider::ProviderKind;
use lapsed::model::standing::{Settlement, State};

use super::bench::{Bench, at, id, item, item_at, key, pause, posted, provider, resume};

facts! {
    a_provider_that_is_not_known_is_remembered_as_nothing,
    what_is_remembered_of_a_provider_survives_a_kill,
    an_account_is_found_under_its_names_and_its_kind,
    every_pause_and_resume_raises_the_epoch,
    a_pause_says_since_when_by_whom_and_why,
    a_pause_of_everything_covers_every_provider_and_a_resume_of_everything_lifts_all,
    commands_wait_in_their_order_until_they_are_applied,
    a_command_is_applied_once,
    a_retry_plans_afresh_what_is_in_that_state_and_nothing_else,
    a_retry_of_one_subscription_leaves_the_others,
    a_retry_moves_nothing_that_the_file_does_not_ask_for_any_more,
    a_retry_of_a_line_that_came_back_can_be_sent,
    a_reconcile_is_only_marked_as_applied,
}

async fn a_provider_that_is_not_known_is_remembered_as_nothing(bench: Bench) {
    let memory = bench.provider(provider("p")).await.unwrap();
    assert_eq!(memory, ProviderMemory::default());
}

fn stopped() -> ProviderMemory {
    ProviderMemory {
        kind: Some(ProviderKind::Lotus),
        account: Some("org_1".to_owned()),
        other_account: Some("org_2".to_owned()),
        destination: Some(Destination {
            origin: "https://billing.example.com".to_owned(),
            proxy: None,
            ca: Some("c0ffee".to_owned()),
        }),
        elsewhere: None,
        failures: 4,
        read_failures: 2,
        stop: Some(Stop {
            reason: HoldReason::ProviderStopped,
            why: "5 failures in a row".to_owned(),
            since: at(1),
            trial_at: at(60),
            trials: 3,
            of_writes: true,
        }),
        resume_at: Some(at(90)),
    }
}

async fn what_is_remembered_of_a_provider_survives_a_kill(mut bench: Bench) {
    bench
        .remember(provider("p"), ProviderMemory::default())
        .await
        .unwrap();
    bench.remember(provider("p"), stopped()).await.unwrap();
    bench.kill();
    assert_eq!(bench.provider(provider("p")).await.unwrap(), stopped());
    assert_eq!(
        bench.provider(provider("q")).await.unwrap(),
        ProviderMemory::default()
    );
}

async fn an_account_is_found_under_its_names_and_its_kind(bench: Bench) {
    for name in ["p", "q"] {
        bench.remember(provider(name), stopped()).await.unwrap();
    }
    let names = async |kind, account: &str| {
        let mut names = bench
            .names_of_account(kind, account.to_owned())
            .await
            .unwrap();
        names.sort();
        names
    };
    assert_eq!(
        names(ProviderKind::Lotus, "org_1").await,
        [provider("p"), provider("q")]
    );
    assert_eq!(names(ProviderKind::Kajabi, "org_1").await, []);
    assert_eq!(names(ProviderKind::Lotus, "org_2").await, []);
}

async fn every_pause_and_resume_raises_the_epoch(mut bench: Bench) {
    let before = bench.pauses().await.unwrap().epoch;
    for (turn, command) in [
        pause(None),
        pause(Some("p")),
        resume(Some("p")),
        resume(None),
        resume(None),
    ]
    .into_iter()
    .enumerate()
    {
        bench.command(command, 1).await;
        bench.kill();
        let epoch = bench.pauses().await.unwrap().epoch;
        assert_eq!(epoch, before + i64::try_from(turn).unwrap() + 1);
    }
}

async fn a_pause_says_since_when_by_whom_and_why(mut bench: Bench) {
    bench.command(pause(Some("p")), 7).await;
    bench.kill();
    let pauses = bench.pauses().await.unwrap();
    let pause = pauses.of(&provider("p")).unwrap();
    assert_eq!(
        (pause.since, &*pause.by, &*pause.reason),
        (at(7), "dana", "because")
    );
    assert_eq!(pauses.of(&provider("q")), None);
}

async fn a_pause_of_everything_covers_every_provider_and_a_resume_of_everything_lifts_all(
    bench: Bench,
) {
    bench.command(pause(Some("p")), 1).await;
    bench.command(pause(None), 2).await;
    assert!(bench.pauses().await.unwrap().of(&provider("q")).is_some());
    bench.command(resume(Some("q")), 3).await;
    assert!(bench.pauses().await.unwrap().of(&provider("q")).is_some());
    bench.command(resume(None), 4).await;
    let pauses = bench.pauses().await.unwrap();
    assert_eq!(
        (pauses.of(&provider("p")), pauses.of(&provider("q"))),
        (None, None)
    );
}

fn reconcile() -> Command {
    Command::Reconcile { provider: None }
}

async fn commands_wait_in_their_order_until_they_are_applied(mut bench: Bench) {
    let commands = [pause(Some("p")), reconcile(), resume(None), Command::Trust];
    for (second, command) in (0..).zip(&commands) {
        bench.post(posted(command.clone(), second)).await.unwrap();
    }
    assert_eq!(
        bench.pauses().await.unwrap().epoch,
        0,
        "nothing is applied by posting"
    );
    bench.kill();
    let inbox = bench.inbox().await.unwrap();
    let waiting: Vec<_> = inbox.iter().map(|it| it.command.clone()).collect();
    assert_eq!(waiting, commands);
    assert!(inbox.windows(2).all(|pair| pair[0].number < pair[1].number));
    assert_eq!(
        (inbox[1].at, &*inbox[1].by, &*inbox[1].reason),
        (at(1), "dana", "because")
    );
    bench.apply(inbox[1].clone(), at(9)).await.unwrap();
    let left = bench.inbox().await.unwrap();
    assert_eq!(left, [inbox[0].clone(), inbox[2].clone(), inbox[3].clone()]);
}

async fn a_command_is_applied_once(mut bench: Bench) {
    bench.accept(&[item("a")]).await;
    bench.settle("a", 1, Settlement::Failed).await;
    bench.post(posted(retry(State::Failed), 2)).await.unwrap();
    bench.post(posted(pause(None), 2)).await.unwrap();
    let inbox = bench.inbox().await.unwrap();
    for command in &inbox {
        assert_eq!(bench.apply(command.clone(), at(3)).await.unwrap(), 1);
    }
    bench.settle("a", 4, Settlement::Failed).await;
    bench.kill();
    for command in inbox {
        assert_eq!(bench.apply(command, at(5)).await.unwrap(), 0);
    }
    assert_eq!(bench.state("a").await, State::Failed);
    assert_eq!(bench.pauses().await.unwrap().epoch, 1);
    assert_eq!(bench.inbox().await.unwrap(), []);
}

fn retry(state: State) -> Command {
    Command::Retry {
        provider: provider("p"),
        id: None,
        state,
    }
}

async fn a_retry_plans_afresh_what_is_in_that_state_and_nothing_else(bench: Bench) {
    let items = [
        item("a"),
        item("b"),
        item("c"),
        item_at("q", "d"),
        item("e"),
    ];
    bench.accept(&items).await;
    bench.settle("a", 1, Settlement::Failed).await;
    bench.settle("b", 1, Settlement::Missed).await;
    bench.settle("c", 1, Settlement::AlreadyCanceled).await;
    let elsewhere = bench.find(key("q", "d", 1)).await.unwrap().unwrap();
    let failed = super::bench::settled(Settlement::Failed);
    bench.happens(&elsewhere, 1, &[failed]).await;
    assert_eq!(bench.command(retry(State::Failed), 9).await, 1);
    let a = bench.request("a").await;
    assert_eq!(
        (a.state(), a.wake_at, a.note),
        (State::Scheduled, Some(at(9)), None)
    );
    assert_eq!(bench.state("b").await, State::Missed);
    assert_eq!(bench.state("c").await, State::AlreadyCanceled);
    assert_eq!(bench.state("e").await, State::Scheduled);
    let elsewhere = bench.find(key("q", "d", 1)).await.unwrap().unwrap();
    assert_eq!(elsewhere.state(), State::Failed);
    assert_eq!(bench.command(retry(State::Missed), 9).await, 1);
    assert_eq!(bench.state("b").await, State::Scheduled);
}

async fn a_retry_of_one_subscription_leaves_the_others(bench: Bench) {
    bench.accept(&[item("a"), item("b")]).await;
    for id in ["a", "b"] {
        bench.settle(id, 1, Settlement::Failed).await;
    }
    let one = Command::Retry {
        provider: provider("p"),
        id: Some(id("b")),
        state: State::Failed,
    };
    assert_eq!(bench.command(one, 2).await, 1);
    assert_eq!(bench.state("a").await, State::Failed);
    assert_eq!(bench.state("b").await, State::Scheduled);
}

async fn a_retry_moves_nothing_that_the_file_does_not_ask_for_any_more(bench: Bench) {
    bench.accept(&[item("a"), item("b")]).await;
    for id in ["a", "b"] {
        bench.settle(id, 1, Settlement::Failed).await;
    }
    bench.accept(&[item("b")]).await;
    assert_eq!(bench.command(retry(State::Failed), 2).await, 1);
    assert_eq!(bench.state("a").await, State::Failed);
    assert_eq!(bench.state("b").await, State::Scheduled);
    // The line is back, and with it the retry.
    bench.accept(&[item("a"), item("b")]).await;
    assert_eq!(bench.command(retry(State::Failed), 3).await, 1);
    assert_eq!(bench.state("a").await, State::Scheduled);
}

async fn a_retry_of_a_line_that_came_back_can_be_sent(bench: Bench) {
    bench.accept(&[item("a")]).await;
    let request = bench.send_and_lose("a", 1).await;
    bench.accept(&[]).await;
    let unwanted = bench.request("a").await;
    assert!(unwanted.version > request.version);
    let failed = super::bench::settled(Settlement::Failed);
    bench.happens(&unwanted, 2, &[failed]).await;
    bench.accept(&[item("a")]).await;
    assert_eq!(bench.command(retry(State::Failed), 3).await, 1);
    let request = bench.request("a").await;
    assert!(bench.try_send(&request, 4, &[]).await.is_ok());
}

async fn a_reconcile_is_only_marked_as_applied(bench: Bench) {
    bench.accept(&[item("a")]).await;
    let before = (bench.all().await, bench.record_so_far().await);
    assert_eq!(bench.command(reconcile(), 2).await, 0);
    assert_eq!(bench.inbox().await.unwrap(), []);
    assert_eq!((bench.all().await, bench.record_so_far().await), before);
    assert_eq!(bench.pauses().await.unwrap().epoch, 0);
}
