//! Every fault kind, as a client meets it.

use std::time::Duration;

use chrono::DateTime;
use lapsed::clock::{Clock, Stopwatch};
use lapsed::sandbox::cast;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{World, hear, try_hear};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const ID: &str = cast::REVERE_MONTHLY;

fn get(world: &World) -> RequestBuilder {
    world.revere(GET, &format!("/subscription/{ID}"))
}

fn cancel(world: &World) -> RequestBuilder {
    world.revere(PUT, &format!("/subscription/{ID}/cancel"))
}

async fn cancels(world: &World) -> Value {
    world.truth(ID).await["cancels_effective"].clone()
}

#[tokio::test]
async fn a_status_comes_before_the_effect_or_after_it() {
    let world = World::new().await;
    world
        .fault(json!({ "operation": "cancel", "status": 500 }))
        .await;
    assert_eq!(hear(cancel(&world)).await.status, 500);
    assert_eq!(cancels(&world).await, 0);
    world
        .fault(json!({ "operation": "cancel", "status": 500, "effect": true }))
        .await;
    assert_eq!(hear(cancel(&world)).await.status, 500);
    assert_eq!(cancels(&world).await, 1);
    assert_eq!(hear(cancel(&world)).await.status, 400);
}

#[tokio::test]
async fn a_status_has_the_providers_own_shape_or_the_body_it_was_given() {
    let world = World::new().await;
    world.fault(json!({ "status": 401, "times": null })).await;
    let lotus = world.cancel_at_lotus(cast::LOTUS_ACTIVE).await;
    assert_eq!(lotus.header("www-authenticate"), "Token");
    assert_eq!(lotus.json()["title"], "not_authenticated");
    let token = hear(world.ask(Method::POST, "/kajabi/v1/oauth/token")).await;
    assert!(token.json()["error"].is_string());
    let kajabi = hear(world.ask(GET, "/kajabi/v1/me")).await;
    assert_eq!(kajabi.json()["errors"][0]["status"], "401");
    world.control(Method::DELETE, "faults", json!(null)).await;
    world
        .fault(json!({ "status": 400, "body": "{\"detail\":\"no\"}" }))
        .await;
    assert_eq!(hear(get(&world)).await.json()["detail"], "no");
}

#[tokio::test]
async fn a_dropped_connection_gives_no_answer_with_and_without_the_effect() {
    let world = World::new().await;
    for (side, effective) in [("before", 0), ("after", 1)] {
        world
            .fault(json!({ "operation": "cancel", "drop": side }))
            .await;
        let error = try_hear(cancel(&world)).await.unwrap_err();
        assert!(error.status().is_none() && !error.is_timeout());
        assert_eq!(cancels(&world).await, effective);
    }
}

#[tokio::test]
async fn a_late_effect_comes_when_it_is_due_and_not_before() {
    let world = World::new().await;
    world
        .fault(json!({ "operation": "cancel", "late": "90s" }))
        .await;
    assert!(try_hear(cancel(&world)).await.is_err());
    world.clock.advance(Duration::from_secs(89));
    assert_eq!(hear(get(&world)).await.json()["data"]["status"], "active");
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(hear(get(&world)).await.json()["data"]["status"], "canceled");
    assert_eq!(
        world.truth(ID).await["cancelled_at"],
        "2026-03-01T12:01:30Z"
    );
}

#[tokio::test]
async fn a_late_effect_keeps_the_credentials_of_its_request() {
    let world = World::new().await;
    world.set(json!({ "kajabi_expires_in": 30 })).await;
    world
        .fault(json!({ "operation": "cancel", "late": "20m" }))
        .await;
    let token = world.kajabi_token().await;
    let path = format!(
        "/kajabi/v1/purchases/{}/cancel_subscription",
        cast::KAJABI_ACTIVE
    );
    let ask = world.ask(Method::POST, &path).bearer_auth(token);
    assert!(try_hear(ask).await.is_err());
    world.clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(
        world.truth(cast::KAJABI_ACTIVE).await["cancels_effective"],
        1
    );
}

#[tokio::test]
async fn a_delayed_answer_has_its_effect_at_once() {
    let world = World::new().await;
    world
        .fault(json!({ "operation": "cancel", "delay": "30s" }))
        .await;
    let impatient = cancel(&world).timeout(Duration::from_millis(300));
    assert!(try_hear(impatient).await.unwrap_err().is_timeout());
    assert_eq!(cancels(&world).await, 1);

    world.fault(json!({ "delay": "300ms" })).await;
    let watch = Stopwatch::start();
    assert_eq!(hear(get(&world)).await.status, 200);
    assert!(watch.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn retry_after_is_any_text() {
    let world = World::new().await;
    for text in [
        "2",
        "Sun, 01 Mar 2026 13:00:00 GMT",
        "-1",
        "soon",
        "31536000",
    ] {
        world
            .fault(json!({ "status": 429, "retry_after": text }))
            .await;
        let heard = hear(get(&world)).await;
        assert_eq!(heard.status, 429);
        assert_eq!(heard.header("retry-after"), text);
    }
}

#[tokio::test]
async fn a_page_may_come_with_200() {
    let world = World::new().await;
    world
        .fault(json!({ "html": true, "operation": "cancel" }))
        .await;
    let heard = hear(cancel(&world)).await;
    assert_eq!(heard.status, 200);
    assert!(heard.header("content-type").starts_with("text/html"));
    assert_eq!(cancels(&world).await, 0);
}

#[tokio::test]
async fn json_may_be_cut_as_a_whole_answer_or_with_its_connection() {
    let world = World::new().await;
    world.fault(json!({ "cut": true })).await;
    let heard = hear(get(&world)).await;
    assert_eq!(heard.status, 200);
    assert!(heard.body.starts_with('{') && serde_json::from_str::<Value>(&heard.body).is_err());
    world
        .fault(json!({ "cut": "connection", "operation": "cancel" }))
        .await;
    let error = try_hear(cancel(&world)).await.unwrap_err();
    assert!(error.is_body() || error.is_decode(), "{error:?}");
    assert_eq!(cancels(&world).await, 1);
}

#[tokio::test]
async fn a_redirect_points_elsewhere_and_does_nothing() {
    let world = World::new().await;
    world
        .fault(json!({ "redirect": "https://example.com/x", "operation": "cancel" }))
        .await;
    let heard = hear(cancel(&world)).await;
    assert_eq!(heard.status, 307);
    assert_eq!(heard.header("location"), "https://example.com/x");
    assert_eq!(cancels(&world).await, 0);
}

#[tokio::test]
async fn a_200_may_have_done_nothing_and_say_so_or_not() {
    let world = World::new().await;
    world.fault(json!({ "ok_without_effect": true })).await;
    let heard = hear(cancel(&world)).await;
    assert_eq!(
        (heard.status.as_u16(), &heard.json()["status"]),
        (200, &json!("canceled"))
    );
    world.fault(json!({ "ok_without_effect": "shows" })).await;
    let heard = hear(cancel(&world)).await;
    assert_eq!(
        (heard.status.as_u16(), &heard.json()["status"]),
        (200, &json!("active"))
    );
    assert_eq!(cancels(&world).await, 0);

    world
        .fault(json!({ "ok_without_effect": true, "provider": "lotus" }))
        .await;
    let heard = world.cancel_at_lotus(cast::LOTUS_ACTIVE).await;
    assert_eq!(heard.json()["auto_renew"], false);
    assert_eq!(world.truth(cast::LOTUS_ACTIVE).await["live"], true);
    world
        .fault(json!({ "ok_without_effect": true, "provider": "kajabi", "operation": "cancel" }))
        .await;
    let path = format!("/v1/purchases/{}/cancel_subscription", cast::KAJABI_ACTIVE);
    let heard = world.kajabi(Method::POST, &path).await;
    assert!(heard.json()["data"]["attributes"]["deactivated_at"].is_string());
    assert_eq!(world.truth(cast::KAJABI_ACTIVE).await["live"], true);
}

#[tokio::test]
async fn an_answer_may_be_about_another_subscription() {
    let world = World::new().await;
    world.fault(json!({ "other_body": true, "times": 2 })).await;
    assert_ne!(hear(get(&world)).await.json()["data"]["id"], ID);
    assert_ne!(hear(cancel(&world)).await.json()["id"], ID);
    assert_eq!(cancels(&world).await, 1);
}

#[tokio::test]
async fn the_date_header_may_be_wrong() {
    let world = World::new().await;
    let date = async || {
        let heard = hear(get(&world)).await;
        let date = DateTime::parse_from_rfc2822(heard.header("date")).unwrap();
        date.to_utc() - world.clock.now()
    };
    assert_eq!(date().await.num_seconds(), 0);
    world.fault(json!({ "date_skew": "-10m" })).await;
    assert_eq!(date().await.num_minutes(), -10);
}

#[tokio::test]
async fn a_body_may_drip_for_ever() {
    let world = World::new().await;
    world.fault(json!({ "drip": "5ms" })).await;
    let mut response = get(&world).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut bytes = 0;
    while bytes < 20 {
        bytes += response.chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn a_body_may_be_huge() {
    let world = World::new().await;
    world.fault(json!({ "huge": 10_000_001 })).await;
    assert_eq!(hear(get(&world)).await.body.len(), 10_000_001);
}

#[tokio::test]
async fn a_small_answer_may_unpack_to_a_huge_one() {
    let world = World::new().await;
    world.fault(json!({ "bomb": 50_000_000 })).await;
    let mut response = get(&world).send().await.unwrap();
    let mut bytes = 0;
    // It has no end: the last piece is an error.
    while let Ok(Some(piece)) = response.chunk().await {
        assert!(piece.iter().all(|byte| *byte == b' '));
        bytes += piece.len();
    }
    assert!(bytes >= 49_000_000, "{bytes}");
    world.fault(json!({ "bomb": 50_000_000 })).await;
    let url = get(&world).build().unwrap();
    let raw = reqwest::Client::builder().no_gzip().build().unwrap();
    let packed = raw.execute(url).await.unwrap().bytes().await.unwrap();
    assert!(packed.len() < 400_000, "{}", packed.len());
}

#[tokio::test]
async fn there_may_be_more_headers_than_a_client_takes() {
    let world = World::new().await;
    world.fault(json!({ "headers": 10 })).await;
    assert_eq!(hear(get(&world)).await.headers.len(), 13);
    world.fault(json!({ "headers": 5000 })).await;
    assert!(try_hear(get(&world)).await.is_err());
}

#[tokio::test]
async fn a_read_may_be_stale() {
    let world = World::new().await;
    hear(cancel(&world)).await;
    world.cancel_at_lotus(cast::LOTUS_ACTIVE).await;
    let purchase = format!("/v1/purchases/{}", cast::KAJABI_ACTIVE);
    world
        .kajabi(Method::POST, &format!("{purchase}/cancel_subscription"))
        .await;
    for stale in [true, false] {
        if stale {
            world.fault(json!({ "stale": true, "times": null })).await;
        } else {
            world.control(Method::DELETE, "faults", json!(null)).await;
        }
        let revere = hear(get(&world)).await.json();
        assert_eq!(revere["data"]["status"] == "active", stale);
        let path = "/api/subscriptions/?customer_id=cust_anna&status=active";
        let lotus = hear(world.lotus(GET, path)).await.json();
        assert_eq!(lotus[0]["auto_renew"] == true, stale);
        let kajabi = world.kajabi(GET, &purchase).await.json();
        assert_eq!(
            kajabi["data"]["attributes"]["deactivated_at"].is_null(),
            stale
        );
    }
}

#[tokio::test]
async fn a_fault_waits_for_whom_it_is_meant_and_as_often_as_it_says() {
    let world = World::new().await;
    world
        .fault(json!({ "provider": "revere", "operation": "get", "id": ID,
                       "after": 1, "times": 2, "status": 503 }))
        .await;
    assert_eq!(world.cancel_at_lotus(cast::LOTUS_ENDED).await.status, 400);
    let other = world.revere(GET, &format!("/subscription/{}", cast::REVERE_ANNUAL));
    assert_eq!(hear(other).await.status, 200);
    let mut heard = Vec::new();
    for _ in 0..4 {
        heard.push(hear(get(&world)).await.status.as_u16());
    }
    assert_eq!(heard, [200, 503, 503, 200]);
}

#[tokio::test]
async fn a_fault_finds_a_lotus_id_in_any_spelling() {
    let world = World::new().await;
    let hex = cast::LOTUS_ACTIVE.trim_start_matches("sub_");
    world.fault(json!({ "id": hex, "status": 500 })).await;
    assert_eq!(world.cancel_at_lotus(cast::LOTUS_ACTIVE).await.status, 500);
}

#[tokio::test]
async fn a_wrong_fault_is_refused_in_clear_words() {
    let world = World::new().await;
    let refusal = async |fault: Value| {
        let heard = world.control(Method::POST, "faults", fault).await;
        assert_eq!(heard.status, 400);
        heard.json()["problems"][0].as_str().unwrap().to_owned()
    };
    assert!(
        refusal(json!({ "stauts": 500 }))
            .await
            .contains("unknown field `stauts`")
    );
    assert!(
        refusal(json!({ "times": 2 }))
            .await
            .contains("says nothing that goes wrong")
    );
    assert!(
        refusal(json!({ "status": 500, "html": true }))
            .await
            .contains("more than one")
    );
    assert!(
        refusal(json!({ "status": 42 }))
            .await
            .contains("`status` is 42")
    );
    assert!(
        refusal(json!({ "late": "soon" }))
            .await
            .contains("`soon` is no length of time")
    );
    assert!(
        refusal(json!({ "drop": "after", "effect": true }))
            .await
            .contains("`effect`")
    );
    assert!(
        refusal(json!({ "operation": "stop", "status": 500 }))
            .await
            .contains("`operation`")
    );
    assert!(
        refusal(json!([{ "status": 500 }, { "times": 0, "html": true }]))
            .await
            .contains("fault 2")
    );
    let none = world.control(GET, "faults", json!(null)).await;
    assert_eq!(none.json()["faults"], json!([]));
}

#[tokio::test]
async fn a_waiting_fault_is_shown_and_can_be_taken_back() {
    let world = World::new().await;
    world
        .fault(json!([{ "status": 500, "times": null }, { "html": true }]))
        .await;
    hear(get(&world)).await;
    let shown = world.control(GET, "faults", json!(null)).await.json();
    assert_eq!(shown["faults"][0]["fired"], 1);
    assert_eq!(shown["faults"][0]["left"], Value::Null);
    assert_eq!(shown["faults"][1]["fault"], json!({ "html": true }));
    let removed = world.control(Method::DELETE, "faults/1", json!(null)).await;
    assert_eq!(removed.json()["removed"], true);
    assert!(
        hear(get(&world))
            .await
            .header("content-type")
            .starts_with("text/html")
    );
}
