//! The rate limit and the requests in flight. No test waits for a duration: what must not
//! happen is watched for while something else goes on, and time is measured from below only.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lapsed::clock::Stopwatch;
use lapsed::config::RateLimit;
use lapsed::model::act::Answer;
use tokio::sync::Semaphore;

use super::server::{Says, Server, http};
use super::{Account, Bench};

/// A server at which every answer waits for a permit.
async fn gated(gate: &Arc<Semaphore>) -> Server {
    let gate = Arc::clone(gate);
    let body = Account::Revere.cancelled();
    let whole = http(200, &[], body.as_bytes());
    Server::start(move |_| Says::After(Arc::clone(&gate), whole.clone())).await
}

async fn once_an_hour() -> Bench {
    let body = Account::Revere.cancelled();
    let server = Server::start(move |_| Says::text(200, &body)).await;
    Bench::tuned(Account::Revere, server, |config| {
        config.rate_limit = RateLimit {
            requests: 1,
            per: Duration::from_secs(60 * 60),
        };
    })
}

/// Something that takes much longer than a request that nothing holds back.
async fn many_other_looks() {
    let body = Account::Revere.cancelled();
    let server = Server::start(move |_| Says::text(200, &body)).await;
    let bench = Bench::before(Account::Revere, server);
    for _ in 0..20 {
        bench.look().await.unwrap();
    }
}

#[tokio::test]
async fn as_many_requests_as_allowed_run_together() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = Bench::tuned(Account::Revere, gated(&gate).await, |config| {
        config.concurrency = 3;
    });
    let release = async {
        // Answered only once all three are there.
        bench.server.has_seen(3).await;
        gate.add_permits(3);
    };
    let (looks, ()) = tokio::join!(join_all((0..3).map(|_| bench.look())), release);
    assert!(looks.iter().all(Result::is_ok), "{looks:?}");
}

#[tokio::test]
async fn no_more_requests_than_allowed_are_in_flight() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = Bench::tuned(Account::Revere, gated(&gate).await, |config| {
        config.concurrency = 2;
    });
    let release = async {
        bench.server.has_seen(2).await;
        // Both places are taken; whoever ignored that would come now.
        many_other_looks().await;
        assert_eq!(bench.server.lines().len(), 2);
        for count in 3..=8 {
            gate.add_permits(1);
            bench.server.has_seen(count).await;
        }
        gate.add_permits(2);
    };
    let (looks, ()) = tokio::join!(join_all((0..8).map(|_| bench.look())), release);
    assert!(looks.iter().all(Result::is_ok), "{looks:?}");
    assert_eq!(bench.server.most_in_flight(), 2);
}

#[tokio::test]
async fn writes_and_looks_share_their_places() {
    let intent = Account::Revere.intent().await;
    let gate = Arc::new(Semaphore::new(0));
    let bench = Bench::tuned(Account::Revere, gated(&gate).await, |config| {
        config.concurrency = 1;
    });
    let release = async {
        bench.server.has_seen(1).await;
        many_other_looks().await;
        assert_eq!(bench.server.lines().len(), 1);
        gate.add_permits(2);
    };
    let (look, answer, ()) = tokio::join!(bench.look(), bench.send(&intent), release);
    look.unwrap();
    assert_eq!(answer, Answer::Accepted);
    assert_eq!(bench.server.most_in_flight(), 1);
}

#[tokio::test]
async fn what_the_rate_does_not_allow_is_not_sent() {
    let bench = once_an_hour().await;
    bench.look().await.unwrap();
    tokio::select! {
        look = bench.look() => panic!("{look:?}"),
        () = many_other_looks() => {}
    }
    assert_eq!(bench.server.lines().len(), 1);
}

#[tokio::test]
async fn a_turn_to_write_counts_at_the_same_rate_as_a_look() {
    let bench = once_an_hour().await;
    bench.look().await.unwrap();
    tokio::select! {
        admission = bench.canceller.admit() => panic!("{admission:?}"),
        () = many_other_looks() => {}
    }
    let bench = once_an_hour().await;
    bench.canceller.admit().await.unwrap();
    tokio::select! {
        look = bench.look() => panic!("{look:?}"),
        () = many_other_looks() => {}
    }
    assert_eq!(bench.server.connections(), 0);
}

#[tokio::test]
async fn a_write_that_was_admitted_waits_no_second_time() {
    let intent = Account::Revere.intent().await;
    let bench = once_an_hour().await;
    let admission = bench.canceller.admit().await.unwrap();
    let answer = bench.canceller.cancel(&intent, admission).await;
    assert_eq!(answer, Answer::Accepted);
}

#[tokio::test]
async fn requests_are_spaced_by_the_rate() {
    let body = Account::Revere.cancelled();
    let server = Server::start(move |_| Says::text(200, &body)).await;
    let bench = Bench::tuned(Account::Revere, server, |config| {
        config.concurrency = 16;
        config.rate_limit = RateLimit {
            requests: 20,
            per: Duration::from_secs(1),
        };
    });
    let watch = Stopwatch::start();
    let looks = join_all((0..6).map(|_| bench.look())).await;
    // Five gaps of 50 ms. A slow machine takes longer, and never less.
    assert!(watch.elapsed() >= Duration::from_millis(249));
    assert!(looks.iter().all(Result::is_ok), "{looks:?}");
}
