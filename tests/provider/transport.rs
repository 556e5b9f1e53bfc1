//! What holds of every provider alike: nothing is followed, repeated or read without an end,
//! and what no document explains is not taken for success.

use std::time::Duration;

use futures_util::future::join_all;
use lapsed::model::act::Answer;
use lapsed::provider::LookError;
use serde_json::json;

use super::server::{Says, Server, http};
use super::{
    Account, Bench, NOW, instant, is_not_sent, is_unavailable, is_unclear, meaning, reading,
};

/// The largest body that is read.
const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let elsewhere = Server::scripted([]).await;
    let target = format!("http://{}/stolen", elsewhere.address);
    for account in Account::EACH {
        let intent = account.intent().await;
        for status in [301, 302, 303, 307, 308] {
            for target in [target.as_str(), "/here"] {
                let says = || Says::text(status, "").with("location", target);
                let look = reading(account, vec![says()]).await;
                let Err(LookError::Unavailable { why }) = look else {
                    panic!("{account:?} {status}: {look:?}");
                };
                assert!(why.contains("redirect"), "{why}");
                let answer = meaning(account, &intent, says()).await;
                assert!(is_unclear(&answer), "{account:?} {status}: {answer:?}");
            }
        }
    }
    // The token request carries the client's secret.
    let says = Says::text(307, "").with("location", &target);
    let look = reading(Account::KajabiClient, vec![says]).await;
    assert!(is_unavailable(&look), "{look:?}");
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_success_that_names_no_subscription_or_another_proves_nothing() {
    for account in Account::EACH {
        let intent = account.intent().await;
        let cancelled = account.cancelled();
        let other = cancelled.replace(account.id(), &account.id().replace('1', "2"));
        assert_ne!(other, cancelled);
        let cut = &cancelled[..cancelled.len() - 1];
        for body in [
            "<html><body>It works!</body></html>",
            "",
            "null",
            "[]",
            "{}",
            "\"canceled\"",
            cut,
            other.as_str(),
        ] {
            let answer = meaning(account, &intent, Says::text(200, body)).await;
            assert!(is_unclear(&answer), "{account:?} {body:?}: {answer:?}");
            let look = reading(account, vec![Says::text(200, body)]).await;
            assert!(is_unavailable(&look), "{account:?} {body:?}: {look:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_of_5xx_says_its_number_and_nothing_of_its_body() {
    for account in Account::EACH {
        let intent = account.intent().await;
        for status in [500, 502, 504, 599] {
            let says = || {
                let body = json!({ "title": "error", "detail": "SELECT canary FROM customers" });
                Says::json(status, &body)
            };
            let answer = meaning(account, &intent, says()).await;
            let why = format!("the provider answered {status}");
            assert_eq!(answer, Answer::Unclear { why: why.clone() }, "{account:?}");
            let look = reading(account, vec![says()]).await;
            assert_eq!(look, Err(LookError::Unavailable { why }), "{account:?}");
        }
    }
}

#[tokio::test]
async fn a_pause_that_the_provider_asks_for_is_kept_between_a_second_and_an_hour() {
    let account = Account::Revere;
    let intent = account.intent().await;
    for (header, seconds) in [
        (Some("7"), 7),
        (Some("0"), 1),
        (Some("-5"), 1),
        (Some("31536000"), 3_600),
        (Some("99999999999999999999"), 3_600),
        (Some("soon"), 30),
        (Some(""), 30),
        (None, 30),
        (Some("Tue, 24 Nov 2026 12:01:30 GMT"), 90),
        (Some("Tue, 24 Nov 2026 11:00:00 GMT"), 1),
        (Some("Wed, 24 Nov 2027 12:00:00 GMT"), 3_600),
    ] {
        let retry_after = Duration::from_secs(seconds);
        for status in [429, 503] {
            let says = || match header {
                Some(value) => Says::text(status, "").with("retry-after", value),
                None => Says::text(status, ""),
            };
            let expected = if status == 429 {
                Answer::Throttled { retry_after }
            } else {
                Answer::Unavailable { retry_after }
            };
            let answer = meaning(account, &intent, says()).await;
            assert_eq!(answer, expected, "{header:?}");
            let look = reading(account, vec![says()]).await;
            assert_eq!(
                look,
                Err(LookError::Throttled { retry_after }),
                "{header:?}"
            );
        }
    }
}

#[tokio::test]
async fn every_adapter_knows_a_request_to_slow_down() {
    for account in Account::EACH {
        let intent = account.intent().await;
        let retry_after = Duration::from_secs(5);
        let says = |status| Says::text(status, "{}").with("retry-after", "5");
        let answer = meaning(account, &intent, says(429)).await;
        assert_eq!(answer, Answer::Throttled { retry_after }, "{account:?}");
        let answer = meaning(account, &intent, says(503)).await;
        assert_eq!(answer, Answer::Unavailable { retry_after }, "{account:?}");
    }
}

#[tokio::test]
async fn while_a_pause_lasts_nothing_is_sent() {
    let pauses = || Says::text(429, "").with("retry-after", "3600");
    for account in Account::EACH {
        let intent = account.intent().await;
        for write_first in [false, true] {
            let bench = Bench::scripted(account, [pauses()]).await;
            if write_first {
                bench.send(&intent).await;
            } else {
                bench.look().await.unwrap_err();
            }
            let look = bench.look().await;
            assert!(matches!(look, Err(LookError::Throttled { .. })), "{look:?}");
            let admission = bench.canceller.admit().await;
            assert!(
                matches!(admission, Err(LookError::Throttled { .. })),
                "{admission:?}"
            );
            let answer = bench.send(&intent).await;
            assert!(is_not_sent(&answer), "{answer:?}");
            assert_eq!(bench.server.lines().len(), 1, "{account:?}");
        }
    }
}

#[tokio::test]
async fn a_body_is_read_to_one_mebibyte_and_no_further() {
    for account in Account::EACH {
        let intent = account.intent().await;
        let padded = |length: usize| {
            let mut body = account.cancelled();
            body.extend(std::iter::repeat_n(' ', length - body.len()));
            Says::text(200, &body)
        };
        let answer = meaning(account, &intent, padded(MIB)).await;
        assert_eq!(answer, Answer::Accepted, "{account:?}");
        let answer = meaning(account, &intent, padded(MIB + 1)).await;
        assert!(is_unclear(&answer), "{account:?}: {answer:?}");
        let look = reading(account, vec![padded(MIB + 1)]).await;
        assert!(is_unavailable(&look), "{account:?}: {look:?}");
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_left() {
    for account in Account::EACH {
        let intent = account.intent().await;
        let endless = || {
            let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            for _ in 0..80 {
                bytes.extend_from_slice(b"4000\r\n");
                bytes.extend_from_slice(&[b' '; 0x4000]);
                bytes.extend_from_slice(b"\r\n");
            }
            Says::Stalls(bytes)
        };
        let answer = meaning(account, &intent, endless()).await;
        assert!(is_unclear(&answer), "{account:?}: {answer:?}");
        let look = reading(account, vec![endless()]).await;
        assert!(is_unavailable(&look), "{account:?}: {look:?}");
    }
}

/// A gzip member of one blank and `copies` times 258 more, as one block of fixed codes
/// (RFC 1951, 3.2.6). The checksum is wrong, but comes only after everything else.
fn bomb(copies: usize) -> Vec<u8> {
    let head = "11001010000";
    let copy = "1100010100000";
    let bits = std::iter::once(head)
        .chain(std::iter::repeat_n(copy, copies))
        .chain(["0000000"])
        .flat_map(str::bytes);
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let start = member.len();
    for (at, bit) in bits.enumerate() {
        if at % 8 == 0 {
            member.push(0);
        }
        member[start + at / 8] |= (bit - b'0') << (at % 8);
    }
    member.extend_from_slice(&[0; 8]);
    member
}

#[tokio::test]
async fn a_compressed_body_is_measured_by_what_it_becomes() {
    for account in Account::EACH {
        let intent = account.intent().await;
        // 16 MiB in 104 KiB.
        let bytes = bomb(65_536);
        assert!(bytes.len() < MIB / 8);
        let says = || Says::Bytes(http(200, &[("content-encoding", "gzip")], &bytes));
        let why = "the answer has more than 1 MiB".to_owned();
        let look = reading(account, vec![says()]).await;
        assert_eq!(look, Err(LookError::Unavailable { why }), "{account:?}");
        let answer = meaning(account, &intent, says()).await;
        assert!(is_unclear(&answer), "{account:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_leaves_a_cancel_unclear_and_sent_once() {
    for account in Account::EACH {
        let intent = account.intent().await;
        let whole = http(200, &[], account.cancelled().as_bytes());
        let head = whole.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
        for length in [0, 5, head - 2, head, head + 1, whole.len() - 1] {
            let bench = Bench::scripted(account, [Says::Breaks(whole[..length].to_vec())]).await;
            let answer = bench.send(&intent).await;
            assert!(is_unclear(&answer), "{account:?} {length}: {answer:?}");
            assert_eq!(bench.server.lines().len(), 1, "{account:?} {length}");
            assert_eq!(bench.server.connections(), 1, "{account:?} {length}");
            assert_eq!(bench.requests(), [("cancel", "broken")]);
        }
    }
}

#[tokio::test]
async fn a_look_that_breaks_off_is_unavailable() {
    for account in Account::EACH {
        let whole = http(200, &[], account.cancelled().as_bytes());
        for length in [0, 5, whole.len() - 1] {
            let says = Says::Breaks(whole[..length].to_vec());
            let look = reading(account, vec![says]).await;
            assert!(is_unavailable(&look), "{account:?} {length}: {look:?}");
        }
    }
}

#[tokio::test]
async fn a_write_never_rides_on_a_connection_that_idled() {
    for account in Account::EACH {
        let intent = account.intent().await;
        let whole = http(200, &[], account.cancelled().as_bytes());
        // The first answer lets the connection live; then the server closes it, as one does
        // with what idles. A client that kept it would find it dead and send again.
        let mut script = account.living();
        let looks = script.len();
        script.extend([
            Says::Bytes(whole.clone()),
            Says::Breaks(whole.clone()),
            Says::Bytes(whole),
        ]);
        let bench = Bench::scripted(account, script).await;
        bench.look().await.unwrap();
        for _ in 0..3 {
            assert_eq!(bench.send(&intent).await, Answer::Accepted, "{account:?}");
        }
        let seen = bench.server.seen();
        let mut connections: Vec<usize> =
            seen[looks..].iter().map(|seen| seen.connection).collect();
        assert_eq!(connections.len(), 3, "{account:?}");
        connections.push(seen[0].connection);
        connections.sort_unstable();
        connections.dedup();
        assert_eq!(connections.len(), 4, "{account:?}: {connections:?}");
    }
}

#[tokio::test]
async fn a_read_survives_a_connection_that_was_closed_while_it_idled() {
    let account = Account::Revere;
    let Some(Says::Bytes(whole)) = account.living().pop() else {
        panic!("no answer");
    };
    let bench = Bench::scripted(account, [Says::Breaks(whole.clone()), Says::Bytes(whole)]).await;
    bench.look().await.unwrap();
    bench.server.has_closed(1).await;
    bench.look().await.unwrap();
    assert_eq!(bench.server.lines().len(), 2);
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    for account in Account::EACH {
        let intent = account.intent().await;
        // A port that is held and not listened on: one that is free is somebody else's at once.
        let held = tokio::net::TcpSocket::new_v4().unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let nobody = held.local_addr().unwrap();
        let mut server = Server::scripted([]).await;
        server.address = nobody;
        let bench = Bench::before(account, server);
        let answer = bench.send(&intent).await;
        assert!(is_not_sent(&answer), "{account:?}: {answer:?}");
        let look = bench.look().await;
        assert!(is_unavailable(&look), "{account:?}: {look:?}");
        assert_eq!(
            bench.requests(),
            [("cancel", "connect"), ("look", "connect")]
        );
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_leaves_a_cancel_unclear_and_sent_once() {
    // All at once, because each has to wait for the whole timeout.
    let waits = Account::EACH.map(|account| async move {
        let intent = account.intent().await;
        let mut cut = http(200, &[], account.cancelled().as_bytes());
        cut.pop();
        for length in [0, cut.len()] {
            let says = Says::Stalls(cut[..length].to_vec());
            let server = Server::scripted([says.clone(), says]).await;
            let bench = Bench::tuned(account, server, |config| {
                config.timeout = Duration::from_secs(1);
            });
            let why = "no answer in time".to_owned();
            let answer = bench.send(&intent).await;
            assert_eq!(answer, Answer::Unclear { why: why.clone() }, "{account:?}");
            assert_eq!(bench.server.lines().len(), 1, "{account:?}");
            let look = bench.look().await;
            assert_eq!(look, Err(LookError::Unavailable { why }), "{account:?}");
            assert_eq!(
                bench.requests(),
                [("cancel", "timeout"), ("look", "timeout")]
            );
        }
    });
    join_all(waits).await;
}

#[tokio::test]
async fn an_answer_may_come_one_byte_at_a_time() {
    for account in Account::EACH {
        let intent = account.intent().await;
        let whole = http(200, &[], account.cancelled().as_bytes());
        let answer = meaning(account, &intent, Says::Drips(whole)).await;
        assert_eq!(answer, Answer::Accepted, "{account:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_or_has_too_many_headers_is_no_answer() {
    let many = |body: &str| {
        let headers = [("x-more", "1"); 150];
        Says::Breaks(http(200, &headers, body.as_bytes()))
    };
    for account in Account::EACH {
        let intent = account.intent().await;
        let no_http = || Says::Breaks(b"220 mail.example.com ESMTP\r\n\r\n".to_vec());
        for says in [many(&account.cancelled()), no_http()] {
            let answer = meaning(account, &intent, says.clone()).await;
            assert!(is_unclear(&answer), "{account:?}: {answer:?}");
            let look = reading(account, vec![says]).await;
            assert!(is_unavailable(&look), "{account:?}: {look:?}");
        }
    }
}

#[tokio::test]
async fn an_interim_answer_is_not_taken_for_the_answer() {
    for account in Account::EACH {
        let intent = account.intent().await;
        let refused = http(400, &[], br#"{"message":"no"}"#);
        let bytes = [b"HTTP/1.1 103 Early Hints\r\n\r\n".as_slice(), &refused].concat();
        let answer = meaning(account, &intent, Says::Bytes(bytes)).await;
        assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn a_base_url_keeps_its_path() {
    for account in Account::EACH {
        let intent = account.intent().await;
        let mut script = account.living();
        script.push(Says::text(200, &account.cancelled()));
        let requests = script.len();
        let bench = Bench::tuned(account, Server::scripted(script).await, |config| {
            config.base_url.set_path("/billing/api");
        });
        bench.look().await.unwrap();
        assert_eq!(bench.send(&intent).await, Answer::Accepted);
        let lines = bench.server.lines();
        assert_eq!(lines.len(), requests);
        for line in lines {
            let path = line.split_once(' ').unwrap().1;
            assert!(path.starts_with("/billing/api/"), "{line}");
        }
    }
}

#[tokio::test]
async fn the_providers_clock_is_compared_with_ours() {
    for (date, skew) in [
        ("Tue, 24 Nov 2026 12:05:01 GMT", Some(301)),
        ("Tue, 24 Nov 2026 11:59:00 GMT", Some(-60)),
        // `Date` has whole seconds, so that one second means nothing.
        ("Tue, 24 Nov 2026 12:00:01 GMT", Some(0)),
        ("Tue, 24 Nov 2026 11:59:59 GMT", Some(0)),
        ("yesterday", None),
    ] {
        let [says] = <[Says; 1]>::try_from(Account::Revere.living())
            .ok()
            .unwrap();
        let bench = Bench::scripted(Account::Revere, [says.with("date", date)]).await;
        assert_eq!(bench.reader.clock_skew(), None);
        let look = bench.look().await.unwrap();
        assert_eq!(bench.reader.clock_skew(), skew, "{date}");
        assert_eq!(look.at, instant(NOW));
        assert_eq!(look.server_date.is_some(), skew.is_some());
    }
}

#[tokio::test]
async fn the_meter_is_told_of_every_request() {
    let intent = Account::KajabiToken.intent().await;
    let script = [
        Says::text(200, &Account::KajabiToken.cancelled()),
        Says::text(404, "{}"),
        Says::text(302, ""),
        Says::text(422, "{}"),
        Says::text(500, ""),
    ];
    let bench = Bench::scripted(Account::KajabiToken, script).await;
    for _ in 0..3 {
        drop(bench.look().await);
    }
    for _ in 0..2 {
        bench.send(&intent).await;
    }
    let expected = [
        ("look", "2xx"),
        ("look", "4xx"),
        ("look", "3xx"),
        ("cancel", "4xx"),
        ("cancel", "5xx"),
    ];
    assert_eq!(bench.requests(), expected);
    assert_eq!(bench.meter.0.lock().unwrap().blocked, 0);
}
