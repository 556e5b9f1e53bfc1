//! The port over the real ledger, with passes that were really made.

use std::sync::Arc;
use std::time::Duration;

use lapsed::ledger::{Command, Ledger as _};
use serde_json::json;

use super::shelf::Shelf;
use super::{Opening, Port, name, refused};
use crate::pass::world::{Mood, World};

/// Three that are done, one that is not there, one whose outcome is unknown, one to come.
async fn world() -> (World, Port) {
    let mut world = World::new()
        .wants("sub_1")
        .wants("sub_2")
        .wants("sub_3")
        .wants("sub_lost")
        .mood("sub_lost", [Mood::LosesIt]);
    world.add("sub_gone", "when: now");
    world.add("sub_later", "when: 2026-12-31");
    world.accept().await;
    world.tick().await;
    world.later(Duration::from_secs(2)).wake().await;
    let port = Opening::default()
        .open_over(
            world.ledger.clone(),
            Arc::new(Shelf::default()),
            world.clock.clone(),
            Some(world.in_force()),
        )
        .await;
    (world, port)
}

#[tokio::test]
async fn api_page_and_metrics_tell_one_story() {
    let (_world, port) = world().await;
    let status = port.json("/api/v1/status").await;
    assert_eq!(
        status["totals"],
        json!({"scheduled": 1, "held": 1, "unknown": 1, "canceled": 3})
    );
    let html = port.text("/").await;
    assert!(
        html.contains("1 scheduled, 1 held, 1 in flight, 3 done"),
        "{html}"
    );
    assert!(html.contains("sub_gone"));
    let metrics = port.text("/metrics").await;
    for line in [
        r#"lapsed_cancellations{provider="p",state="canceled"} 3"#,
        r#"lapsed_cancellations{provider="p",state="unknown"} 1"#,
        r#"lapsed_holds{provider="p",reason="not_found"} 1"#,
        r#"lapsed_oldest_unknown_timestamp_seconds{provider="p"} "#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn every_item_is_listed_told_and_shown_with_its_events() {
    let (_world, port) = world().await;
    let list = port.json("/api/v1/cancellations?limit=1000").await;
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 6);
    assert_eq!(list["next"], json!(null));
    for listed in items {
        let id = listed["id"].as_str().unwrap();
        let item = port.json(&format!("/api/v1/cancellations/p/{id}")).await;
        assert_eq!(&item, listed);
        let html = port.text(&format!("/cancellations/p/{id}")).await;
        assert!(html.contains("accepted from lapsed.yaml:"), "{html}");
    }
    let unknown = port.text("/cancellations/p/sub_lost").await;
    assert!(unknown.contains("no clear answer (no answer)"), "{unknown}");
    let held = port.json("/api/v1/cancellations?state=held").await;
    assert_eq!(held["items"][0]["id"], "sub_gone");
    assert_eq!(held["items"][0]["hold"]["reason"], "not_found");
}

#[tokio::test]
async fn events_can_be_followed_to_the_last_one() {
    let (_world, port) = world().await;
    let mut after = 0;
    let mut kinds = Vec::new();
    loop {
        let page = port
            .json(&format!("/api/v1/events?limit=5&after={after}"))
            .await;
        let events = page["events"].as_array().unwrap();
        if events.is_empty() {
            break;
        }
        kinds.extend(
            events
                .iter()
                .map(|it| it["kind"].as_str().unwrap().to_owned()),
        );
        after = page["next"].as_i64().unwrap();
    }
    let count = |kind: &str| kinds.iter().filter(|it| *it == kind).count();
    assert_eq!(count("accepted"), 6);
    assert_eq!(count("intended"), 4);
    assert_eq!(count("settled"), 3);
}

#[tokio::test]
async fn a_pause_over_http_is_in_the_inbox_and_holds_once_applied() {
    let (world, port) = world().await;
    let asked = port.command("/-/pause?provider=p&by=dana&reason=price+change");
    assert_eq!(asked.send().await.unwrap().status(), 202);
    let inbox = world.ledger.inbox().await.unwrap();
    assert_eq!(inbox.len(), 1);
    let provider = Some(name("p"));
    assert_eq!(inbox[0].command, Command::Pause { provider });
    let applied = world.ledger.apply(inbox[0].clone(), super::at(0)).await;
    applied.unwrap();
    let html = port.text("/").await;
    assert!(html.contains("paused by dana: price change"), "{html}");
    let detail = refused(port.command("/-/pause?provider=q"), 400).await;
    assert!(detail.contains("`p`"), "{detail}");
}
