//! Commands on their way to the inbox.

use std::sync::atomic::Ordering;
use std::time::Duration;

use lapsed::ledger::Command;
use serde_json::json;

use super::{Opening, Port, name, refused};

#[tokio::test]
async fn a_command_stands_in_the_inbox_and_rings() {
    let port = Port::open().await;
    let asked = port
        .command("/-/pause")
        .json(&json!({"provider": "donations", "by": "dana", "reason": "price change"}));
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let told: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(
        told,
        json!({"number": 1, "command": "pause", "provider": "donations"})
    );
    let posted = port.shelf.posted.lock().unwrap().remove(0);
    assert_eq!(posted.by, "dana");
    assert_eq!(posted.reason, "price change");
    assert_eq!(posted.at, super::at(0));
    let provider = Some(name("donations"));
    assert_eq!(posted.command, Command::Pause { provider });
    let rung = tokio::time::timeout(Duration::from_secs(5), port.live.inbox.notified());
    rung.await.expect("the daemon is woken");
}

#[tokio::test]
async fn the_query_says_as_much_as_a_body() {
    let port = Port::open().await;
    for (path, command) in [
        (
            "/-/resume?provider=metered&by=lee",
            Command::Resume {
                provider: Some(name("metered")),
            },
        ),
        ("/-/reconcile", Command::Reconcile { provider: None }),
        ("/-/pause", Command::Pause { provider: None }),
    ] {
        let answer = port.command(path).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        let posted = port.shelf.posted.lock().unwrap().pop().unwrap();
        assert_eq!(posted.command, command);
        assert!(!posted.by.is_empty());
    }
}

#[tokio::test]
async fn a_command_that_cannot_be_meant_changes_nothing() {
    let port = Port::open().await;
    let long = "x".repeat(501);
    for (path, hint) in [
        ("/-/pause?provider=donation", "`donations`"),
        ("/-/pause?provider=", "`donations`"),
        ("/-/pause?provder=donations", "`provider`"),
        ("/-/pause?provider=a&provider=b", "twice"),
        ("/-/pause?by=a%0Ab", "one line"),
        (&format!("/-/pause?reason={long}"), "500"),
        ("/-/reload?provider=donations", "no `provider`"),
        (&format!("/-/reload?reason={long}"), "500"),
    ] {
        let detail = refused(port.command(path), 400).await;
        assert!(detail.contains(hint), "{path}: {detail}");
    }
    let json = "application/json";
    for body in [
        r#"{"provider": "nobody"}"#,
        r#"{"provder": "donations"}"#,
        r#"{"provider": 7}"#,
        r#"["donations"]"#,
        "[null, null, null]",
        "{",
    ] {
        let asked = port.command("/-/pause").header("content-type", json);
        refused(asked.body(body), 400).await;
    }
    let both = port.command("/-/pause?provider=donations");
    refused(both.json(&json!({"provider": "metered"})), 400).await;
    let form = port.command("/-/pause").body("provider=donations");
    refused(form, 415).await;
    assert!(port.shelf.posted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_reload_rings_even_when_no_revision_is_in_force() {
    let opening = Opening {
        in_force: false,
        ..Opening::default()
    };
    let port = opening.open().await;
    let answer = port.command("/-/reload").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let rung = tokio::time::timeout(Duration::from_secs(5), port.live.reload.notified());
    rung.await.expect("the daemon is woken");
    let everything = port.command("/-/pause").send().await.unwrap();
    assert_eq!(everything.status(), 202, "a pause of all needs no names");
    refused(port.command("/-/pause?provider=donations"), 503).await;
}

#[tokio::test]
async fn a_command_that_the_ledger_did_not_take_is_not_promised() {
    let port = Port::open().await;
    port.shelf.broken.store(true, Ordering::SeqCst);
    refused(port.command("/-/pause"), 503).await;
}
