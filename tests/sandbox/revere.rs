//! Revere, against its pages.

use lapsed::sandbox::cast;
use reqwest::Method;
use serde_json::json;

use super::{World, hear};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;

fn one(id: &str) -> String {
    format!("/subscription/{id}")
}

fn cancel(id: &str) -> String {
    format!("/subscription/{id}/cancel")
}

#[tokio::test]
async fn one_subscription_comes_in_a_data_envelope_with_everything_personal() {
    let world = World::new().await;
    let heard = hear(world.revere(GET, &one(cast::REVERE_MONTHLY))).await;
    assert_eq!(heard.status, 200);
    let data = &heard.json()["data"];
    assert_eq!(data["id"], cast::REVERE_MONTHLY);
    assert_eq!(data["status"], "active");
    assert_eq!(data["next_bill_date"], "2026-03-13T00:00:00Z");
    assert_eq!(data["metadata"]["charge_count"], 4);
    assert!(heard.body.contains("canary-payer@example.com"));
}

#[tokio::test]
async fn the_key_is_sent_raw_and_a_prefix_makes_it_wrong() {
    let world = World::new().await;
    for value in [
        format!("Bearer {}", cast::REVERE_KEY),
        format!("Basic {}", cast::REVERE_KEY),
        "guess".to_owned(),
    ] {
        let path = format!(
            "/revere/api/v1/groups/{}/revere_pay/{}/recurring/subscription",
            cast::REVERE_GROUP,
            cast::REVERE_ACCOUNT
        );
        let ask = world.ask(GET, &path).header("authorization", value);
        assert_eq!(hear(ask).await.status, 401);
    }
}

#[tokio::test]
async fn every_status_is_shown_as_it_is() {
    let world = World::new().await;
    for (id, status) in [
        (cast::REVERE_ANNUAL, "active"),
        (cast::REVERE_FAILED, "failed"),
        (cast::REVERE_PAUSED, "paused"),
        (cast::REVERE_CANCELED, "canceled"),
    ] {
        let heard = hear(world.revere(GET, &one(id))).await;
        assert_eq!(heard.json()["data"]["status"], status);
    }
}

#[tokio::test]
async fn the_list_has_neither_total_nor_next_and_ends_with_a_short_page() {
    let world = World::new().await;
    let mut sizes = Vec::new();
    for offset in [0, 2, 4, 6] {
        let path = format!("/subscription?limit=2&offset={offset}");
        let heard = hear(world.revere(GET, &path)).await.json();
        assert_eq!(heard.as_object().unwrap().len(), 1);
        assert_eq!(heard["data"].as_object().unwrap().len(), 1);
        sizes.push(heard["data"]["items"].as_array().unwrap().len());
    }
    assert_eq!(sizes, [2, 2, 1, 0]);
    let path = format!("/subscription?subscription_id={}", cast::REVERE_FAILED);
    let heard = hear(world.revere(GET, &path)).await.json();
    let items = heard["data"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["plan_name"], "Sandbox plan");
}

#[tokio::test]
async fn a_cancel_answers_the_bare_object_and_keeps_the_bill_date_and_the_reason() {
    let world = World::new().await;
    let ask = world.revere(PUT, &cancel(cast::REVERE_MONTHLY));
    let heard = hear(ask.json(&json!({ "reason": "line 14" }))).await;
    assert_eq!(heard.status, 200);
    let bare = heard.json();
    assert_eq!(bare["id"], cast::REVERE_MONTHLY);
    assert_eq!(bare["status"], "canceled");
    assert_eq!(bare["metadata"]["cancel_reason"], "line 14");
    assert_eq!(bare["next_bill_date"], "2026-03-13T00:00:00Z");
    let read = hear(world.revere(GET, &one(cast::REVERE_MONTHLY))).await;
    assert_eq!(read.json()["data"], bare);
    let truth = world.truth(cast::REVERE_MONTHLY).await;
    assert_eq!(truth["live"], false);
    assert_eq!(truth["detail"]["cancel_reason"], "line 14");
}

#[tokio::test]
async fn failed_and_paused_ones_can_be_cancelled_without_a_reason() {
    let world = World::new().await;
    for id in [cast::REVERE_FAILED, cast::REVERE_PAUSED] {
        let heard = hear(world.revere(PUT, &cancel(id))).await;
        assert_eq!(heard.json()["status"], "canceled");
        assert!(heard.json()["metadata"].get("cancel_reason").is_none());
    }
}

#[tokio::test]
async fn what_is_wrong_is_400_or_404_with_a_message() {
    let world = World::new().await;
    let status = async |method: Method, rest: &str, body: &'static str| {
        let heard = hear(world.revere(method, rest).body(body)).await;
        assert!(heard.json()["message"].is_string());
        heard.status.as_u16()
    };
    let again = cancel(cast::REVERE_CANCELED);
    assert_eq!(status(PUT, &again, "").await, 400);
    assert_eq!(status(PUT, &cancel("unknown"), "").await, 400);
    assert_eq!(status(PUT, &cancel(cast::REVERE_MONTHLY), "{").await, 400);
    assert_eq!(status(GET, &one("un%20known"), "").await, 400);
    assert_eq!(status(GET, &one("unknown"), "").await, 404);
    assert_eq!(
        status(Method::DELETE, &one(cast::REVERE_MONTHLY), "").await,
        404
    );
    assert_eq!(world.truth(cast::REVERE_MONTHLY).await["live"], true);

    let elsewhere = "/revere/api/v1/groups/other/revere_pay/account/recurring/subscription";
    let ask = world
        .ask(GET, elsewhere)
        .header("authorization", cast::REVERE_KEY);
    assert_eq!(hear(ask).await.status, 404);
}

#[tokio::test]
async fn either_form_of_the_cancel_path_can_be_the_served_one() {
    let world = World::new().await;
    let heading = format!("/{}/cancel", cast::REVERE_MONTHLY);
    assert_eq!(hear(world.revere(PUT, &heading)).await.status, 404);
    world.set(json!({ "revere_cancel_path": "heading" })).await;
    let example = cancel(cast::REVERE_MONTHLY);
    assert_eq!(hear(world.revere(PUT, &example)).await.status, 404);
    assert_eq!(hear(world.revere(PUT, &heading)).await.status, 200);
}
