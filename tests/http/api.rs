//! What the API tells, and what it refuses.

use std::sync::atomic::Ordering;

use lapsed::model::standing::State;
use serde_json::json;

use super::sample::{stock, trouble};
use super::{Opening, Port, client, in_force, refused};

async fn stocked() -> Port {
    let port = Port::open().await;
    stock(&port.shelf);
    port
}

#[tokio::test]
async fn the_status_tells_counts_limits_gates_and_the_file() {
    let port = stocked().await;
    trouble(&port.shelf);
    let status = port.json("/api/v1/status").await;
    assert_eq!(status["totals"]["scheduled"], 12);
    assert_eq!(status["totals"]["held"], 9);
    assert_eq!(status["totals"]["failed"], 1);
    assert_eq!(status["revision"]["number"], 7);
    assert_eq!(status["source"]["valid"], true);
    assert_eq!(status["limits"][0]["used"], 2);
    let donations = &status["providers"][1];
    assert_eq!(donations["provider"], "donations");
    assert_eq!(donations["mode"], "enforce");
    assert_eq!(donations["gates"][0]["reason"], "provider_stopped");
    assert_eq!(donations["next_tick_at"], "2027-01-15T08:05:00Z");
}

#[tokio::test]
async fn an_item_is_found_in_any_spelling_and_told_whole() {
    let port = stocked().await;
    for spelling in [
        "sub_65aa0000000040008000000000000001",
        "65AA0000-0000-4000-8000-000000000001",
        "65aa0000000040008000000000000001",
    ] {
        let path = format!("/api/v1/cancellations/metered/{spelling}");
        let item = port.json(&path).await;
        assert_eq!(item["id"], "sub_65aa0000000040008000000000000001");
        assert_eq!(item["state"], "scheduled");
        assert_eq!(item["hold"], json!(null));
        assert_eq!(item["due_at"], "2027-01-15T08:05:00Z");
        assert_eq!(
            item["terms"]["when"],
            json!({"value": "now", "from": "item"})
        );
        assert_eq!(item["origin"]["line"], 14);
        assert_eq!(item["attempts"], 0);
    }
}

#[tokio::test]
async fn a_held_item_says_why_and_what_frees_it() {
    let port = stocked().await;
    trouble(&port.shelf);
    let item = port
        .json("/api/v1/cancellations/metered/sub_77bb0000000040008000000000000001")
        .await;
    assert_eq!(item["state"], "held");
    assert_eq!(item["hold"]["reason"], "paused");
    assert_eq!(item["hold"]["also"], json!(["approval"]));
    assert!(
        item["hold"]["cure"]
            .as_str()
            .unwrap()
            .contains("lapsed resume")
    );
}

#[tokio::test]
async fn a_second_request_comes_first_and_the_first_is_still_there() {
    let port = stocked().await;
    port.shelf
        .accepted("donations", "c4b1-done")
        .with(|it| it.key.again = 2)
        .onto(&port.shelf);
    let path = "/api/v1/cancellations/donations/c4b1-done";
    assert_eq!(port.json(path).await["again"], 2);
    let first = port.json(&format!("{path}?again=1")).await;
    assert_eq!(first["state"], "canceled");
    refused(port.ask(&format!("{path}?again=3")), 404).await;
    refused(port.ask(&format!("{path}?again=0")), 400).await;
}

#[tokio::test]
async fn what_a_provider_that_left_the_file_had_is_still_told() {
    let port = stocked().await;
    let mut config = super::config();
    config.providers.remove(&super::name("donations"));
    port.live
        .in_force
        .store(Some(std::sync::Arc::new(in_force(config))));
    let item = port.json("/api/v1/cancellations/donations/c4b1-done").await;
    assert_eq!(item["state"], "canceled");
}

#[tokio::test]
async fn what_was_never_asked_for_is_not_found() {
    let port = stocked().await;
    for path in [
        "/api/v1/cancellations/donations/nobody",
        "/api/v1/cancellations/nowhere/x",
        "/api/v1/cancellations/metered/not-a-lotus-id",
        "/api/v1/cancellations/donations/a%2Fb",
        "/api/v1/cancellations/%3Cscript%3E/x",
        "/api/v2/status",
        "/api/v1/status/",
    ] {
        refused(port.ask(path), 404).await;
    }
}

#[tokio::test]
async fn a_list_is_paged_to_its_end_without_a_gap() {
    let port = stocked().await;
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = port
            .json(&format!("/api/v1/cancellations?limit=4&after={after}"))
            .await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 4);
        seen.extend(items.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        match page["next"].as_i64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 14);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 14);
}

#[tokio::test]
async fn a_list_can_be_narrowed() {
    let port = stocked().await;
    trouble(&port.shelf);
    let count = async |query: &str| {
        let page = port.json(&format!("/api/v1/cancellations?{query}")).await;
        page["items"].as_array().unwrap().len()
    };
    assert_eq!(count("provider=academy").await, 2);
    assert_eq!(count("state=held").await, 9);
    assert_eq!(count("state=canceled,already_canceled").await, 2);
    assert_eq!(count("state=canceled&state=failed").await, 2);
    assert_eq!(count("provider=academy&state=held").await, 1);
}

#[tokio::test]
async fn a_query_that_cannot_be_meant_is_refused_with_what_is_allowed() {
    let port = stocked().await;
    for (query, hint) in [
        ("state=cancelled", "`already_canceled`"),
        ("state=", "`scheduled`"),
        ("provider=nobody", "`donations`"),
        ("limit=0", "1 to 1000"),
        ("limit=1001", "1 to 1000"),
        ("limit=ten", "1 to 1000"),
        ("after=-1", "`after`"),
        ("after=1&after=2", "twice"),
        ("sort=id", "`limit`"),
    ] {
        let detail = refused(port.ask(&format!("/api/v1/cancellations?{query}")), 400).await;
        assert!(detail.contains(hint), "{query}: {detail}");
    }
    refused(port.ask("/api/v1/status?x=1"), 400).await;
    refused(port.ask("/api/v1/events?state=held"), 400).await;
    for state in State::ALL {
        let path = format!("/api/v1/cancellations?state={state}");
        assert_eq!(port.status(&path).await, 200);
    }
}

#[tokio::test]
async fn events_are_told_newest_first_or_on_from_a_number() {
    let port = stocked().await;
    let newest = port.json("/api/v1/events?limit=3").await;
    let numbers = |page: &serde_json::Value| -> Vec<i64> {
        let events = page["events"].as_array().unwrap();
        events
            .iter()
            .map(|it| it["number"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(numbers(&newest), [18, 17, 16]);
    let on = port.json("/api/v1/events?after=2&limit=2").await;
    assert_eq!(numbers(&on), [3, 4]);
    assert_eq!(on["next"], 4);
    let end = port.json("/api/v1/events?after=18").await;
    assert_eq!(numbers(&end), Vec::<i64>::new());
    assert_eq!(end["next"], 18);
}

#[tokio::test]
async fn before_a_revision_is_in_force_the_api_says_so() {
    let opening = Opening {
        in_force: false,
        ..Opening::default()
    };
    let port = opening.open().await;
    for path in [
        "/api/v1/status",
        "/api/v1/cancellations",
        "/api/v1/cancellations/donations/x",
    ] {
        let detail = refused(port.ask(path), 503).await;
        assert!(detail.contains("revision"), "{detail}");
    }
}

#[tokio::test]
async fn a_ledger_that_fails_is_told_and_counted() {
    let port = stocked().await;
    port.shelf.broken.store(true, Ordering::SeqCst);
    for path in [
        "/api/v1/status",
        "/api/v1/cancellations",
        "/api/v1/events",
        "/api/v1/cancellations/donations/x",
    ] {
        let detail = refused(port.ask(path), 503).await;
        assert!(detail.contains("disk is full"), "{detail}");
    }
    assert!(
        port.metrics
            .render(lapsed::metrics::Format::Text)
            .contains("lapsed_ledger_errors_total 4")
    );
}

#[tokio::test]
async fn a_path_is_asked_in_its_own_way_only() {
    let port = stocked().await;
    let answer = client().delete(port.url("/api/v1/status")).send().await;
    assert_eq!(answer.unwrap().headers()["allow"], "GET,HEAD");
    refused(client().delete(port.url("/api/v1/status")), 405).await;
    refused(client().post(port.url("/metrics")), 405).await;
    refused(port.ask("/-/pause").bearer_auth(super::ADMIN), 405).await;
    let head = client().head(port.url("/api/v1/status")).send().await;
    assert_eq!(head.unwrap().status(), 200);
}
