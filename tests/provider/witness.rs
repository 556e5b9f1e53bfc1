//! An intent whose time has run out by any clock is not sent.

use std::sync::Arc;
use std::time::Duration;

use lapsed::clock::ManualClock;
use lapsed::model::act::Answer;
use lapsed::model::request::Witness;
use tokio::sync::Semaphore;

use super::server::{Says, Server, http};
use super::{Account, Bench, NOW, instant, is_not_sent, witness};

/// An intent may be sent for so long.
const AHEAD: Duration = Duration::from_secs(30);

/// Nothing left this machine, not even a connection.
async fn is_not_sent_after(account: Account, turn: impl Fn(&ManualClock)) {
    let intent = account.intent().await;
    let bench = Bench::scripted(account, [Says::text(200, &account.cancelled())]).await;
    turn(&bench.clock);
    let answer = bench.send(&intent).await;
    assert!(is_not_sent(&answer), "{account:?}: {answer:?}");
    assert_eq!(bench.server.connections(), 0, "{account:?}");
    assert_eq!(bench.requests(), [], "{account:?}");
}

#[tokio::test]
async fn an_intent_is_sent_up_to_its_last_moment() {
    for account in Account::EACH {
        let intent = account.intent().await;
        let bench = Bench::scripted(account, [Says::text(200, &account.cancelled())]).await;
        bench.clock.advance(AHEAD - Duration::from_nanos(1));
        assert_eq!(bench.send(&intent).await, Answer::Accepted, "{account:?}");
    }
}

#[tokio::test]
async fn an_intent_whose_time_has_run_out_is_not_sent() {
    for account in Account::EACH {
        is_not_sent_after(account, |clock| clock.advance(AHEAD)).await;
    }
}

#[tokio::test]
async fn an_intent_is_not_sent_once_the_wall_clock_alone_has_passed_it() {
    for account in Account::EACH {
        is_not_sent_after(account, |clock| clock.set_wall(instant(NOW) + AHEAD)).await;
    }
}

#[tokio::test]
async fn an_intent_is_not_sent_once_the_time_since_boot_alone_has_passed_it() {
    for account in Account::EACH {
        is_not_sent_after(account, |clock| {
            clock.advance(AHEAD);
            clock.set_wall(instant(NOW));
        })
        .await;
    }
}

#[tokio::test]
async fn an_intent_of_another_boot_is_not_sent() {
    for account in Account::EACH {
        let now = witness();
        let send_before = Witness {
            at: now.at + AHEAD,
            boot_id: "another".to_owned(),
            since_boot: now.since_boot + AHEAD,
        };
        let intent = account.intent_until(account.cancel(), send_before).await;
        let bench = Bench::scripted(account, [Says::text(200, &account.cancelled())]).await;
        let answer = bench.send(&intent).await;
        assert!(is_not_sent(&answer), "{account:?}: {answer:?}");
        assert_eq!(bench.server.connections(), 0);
    }
}

#[tokio::test]
async fn a_cancel_whose_time_runs_out_while_it_waits_for_its_place_is_not_sent() {
    let account = Account::Revere;
    let intent = account.intent().await;
    let gate = Arc::new(Semaphore::new(0));
    let look = Says::After(Arc::clone(&gate), http(404, &[], b"{}"));
    let server = Server::scripted([look, Says::text(200, &account.cancelled())]).await;
    let bench = Bench::tuned(account, server, |config| config.concurrency = 1);
    let release = async {
        bench.server.has_seen(1).await;
        bench.clock.advance(AHEAD);
        gate.add_permits(1);
    };
    // In this order: the look has the only place before the cancel asks for it.
    let (look, answer, ()) = tokio::join!(bench.look(), bench.send(&intent), release);
    look.unwrap();
    assert!(is_not_sent(&answer), "{answer:?}");
    assert_eq!(bench.server.lines().len(), 1);
}

#[tokio::test]
async fn a_cancel_whose_time_runs_out_while_its_token_is_asked_for_is_not_sent() {
    let account = Account::KajabiClient;
    let intent = account.intent().await;
    let gate = Arc::new(Semaphore::new(0));
    let body = br#"{"access_token":"token-1","token_type":"Bearer","expires_in":7200}"#;
    let grant = Says::After(Arc::clone(&gate), http(200, &[], body));
    let bench = Bench::scripted(account, [grant, Says::text(200, &account.cancelled())]).await;
    let release = async {
        bench.server.has_seen(1).await;
        bench.clock.advance(AHEAD);
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(bench.send(&intent), release);
    assert!(is_not_sent(&answer), "{answer:?}");
    assert_eq!(bench.server.lines(), ["POST /v1/oauth/token"]);
}
