//! What a caller may take of us.

use std::time::Duration;

use lapsed::http::server::Bounds;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Opening, Port, refused};

/// Longer than anything here takes; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

fn tight() -> Bounds {
    Bounds {
        connections: 2,
        head: Duration::from_millis(150),
        request: Duration::from_millis(400),
        connection: PATIENCE,
    }
}

async fn opened(bounds: Bounds) -> Port {
    let opening = Opening {
        bounds,
        ..Opening::default()
    };
    opening.open().await
}

/// Everything that comes until the peer ends the connection.
async fn until_the_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes));
    // A reset is an end as well.
    let _ = read.await.expect("the connection is ended");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_announced_or_not() {
    let port = Port::open().await;
    let large = "x".repeat(64 * 1024 + 1);
    refused(port.command("/-/pause").body(large.clone()), 413).await;
    refused(port.ask("/livez").body(large.clone()), 413).await;
    let streamed = reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<
        String,
        std::io::Error,
    >(large)]));
    let asked = port
        .command("/-/pause")
        .header("content-type", "application/json")
        .body(streamed);
    refused(asked, 413).await;
    assert!(port.shelf.posted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let port = Port::open().await;
    let asked = port.ask("/livez").header("x-long", "x".repeat(64 * 1024));
    assert_eq!(asked.send().await.unwrap().status(), 431);
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_dropped() {
    let port = opened(tight()).await;
    let mut slow = TcpStream::connect(port.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: local")
        .await
        .unwrap();
    let answer = until_the_end(&mut slow).await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_dropped() {
    let port = opened(tight()).await;
    let mut silent = TcpStream::connect(port.address).await.unwrap();
    assert_eq!(until_the_end(&mut silent).await, "");
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let port = opened(tight()).await;
    let mut slow = TcpStream::connect(port.address).await.unwrap();
    let head = format!(
        "POST /-/pause HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 10\r\n\r\n{{",
        super::ADMIN
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let answer = until_the_end(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(port.shelf.posted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn callers_beyond_the_limit_wait_and_are_served_when_a_place_is_free() {
    let port = opened(tight()).await;
    let mut idle = Vec::new();
    for _ in 0..6 {
        idle.push(TcpStream::connect(port.address).await.unwrap());
    }
    let answer = tokio::time::timeout(PATIENCE, port.ask("/livez").send()).await;
    assert_eq!(answer.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_takes_no_new_ones() {
    let port = opened(Bounds::default()).await;
    let mut idle = TcpStream::connect(port.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    port.stop.cancel();
    until_the_end(&mut idle).await;
    let ended = tokio::time::timeout(PATIENCE, port.ended);
    ended.await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(port.address).await.is_err());
}
