//! Kajabi, against its pages.

use std::time::Duration;

use lapsed::sandbox::cast;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Heard, World, hear};

const GET: Method = Method::GET;
const POST: Method = Method::POST;

/// The shape of `errors_attributes`, with a status that is text.
fn assert_json_api_error(heard: &Heard, status: u16) {
    assert_eq!(heard.status.as_u16(), status, "{heard:?}");
    assert_eq!(heard.header("content-type"), "application/vnd.api+json");
    let error = &heard.json()["errors"][0];
    assert_eq!(error["status"], status.to_string());
    assert!(error["title"].is_string() && error["detail"].is_string());
    assert!(error["source"].is_null() || error["source"]["pointer"].is_string());
}

fn purchase(id: &str) -> String {
    format!("/v1/purchases/{id}")
}

fn cancel(id: &str) -> String {
    format!("/v1/purchases/{id}/cancel_subscription")
}

#[tokio::test]
async fn a_token_is_given_for_client_credentials_and_really_expires() {
    let world = World::new().await;
    world.set(json!({ "kajabi_expires_in": 60 })).await;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", cast::KAJABI_CLIENT_ID),
        ("client_secret", cast::KAJABI_CLIENT_SECRET),
    ];
    let heard = hear(world.ask(POST, "/kajabi/v1/oauth/token").form(&form)).await;
    assert_eq!(heard.status, 200);
    assert_eq!(heard.header("content-type"), "application/json");
    let grant = heard.json();
    assert_eq!(grant["token_type"], "Bearer");
    assert_eq!(grant["expires_in"], 60);
    let token = grant["access_token"].as_str().unwrap().to_owned();

    let me = || hear(world.ask(GET, "/kajabi/v1/me").bearer_auth(&token));
    assert_eq!(me().await.status, 200);
    world.clock.advance(Duration::from_secs(59));
    assert_eq!(me().await.status, 200);
    world.clock.advance(Duration::from_secs(1));
    assert_json_api_error(&me().await, 401);

    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", grant["refresh_token"].as_str().unwrap()),
    ];
    let heard = hear(world.ask(POST, "/kajabi/v1/oauth/token").form(&refresh)).await;
    assert_eq!(heard.status, 200);
}

#[tokio::test]
async fn errors_of_the_token_endpoint_have_a_shape_of_their_own() {
    let world = World::new().await;
    let token = |form: &[(&str, &str)]| hear(world.ask(POST, "/kajabi/v1/oauth/token").form(form));
    let wrong = [
        ("grant_type", "client_credentials"),
        ("client_id", cast::KAJABI_CLIENT_ID),
        ("client_secret", "guess"),
    ];
    let heard = token(&wrong).await;
    assert_eq!(heard.status, 401);
    assert_eq!(heard.json(), json!({ "error": "invalid_client" }));
    let heard = token(&[("grant_type", "password")]).await;
    assert_eq!(heard.status, 400);
    assert!(heard.json()["error"].is_string());
    let as_json = world
        .ask(POST, "/kajabi/v1/oauth/token")
        .json(&json!({ "grant_type": "client_credentials" }));
    assert_eq!(hear(as_json).await.status, 400);
}

#[tokio::test]
async fn revoking_either_token_ends_the_session() {
    let world = World::new().await;
    let token = world.kajabi_token().await;
    let revoke = world
        .ask(POST, "/kajabi/v1/oauth/revoke")
        .bearer_auth(&token)
        .form(&[("token", token.as_str())]);
    let heard = hear(revoke).await;
    assert_eq!((heard.status, heard.body.as_str()), (StatusCode::OK, ""));
    let me = world.ask(GET, "/kajabi/v1/me").bearer_auth(&token);
    assert_eq!(hear(me).await.status, 401);
}

#[tokio::test]
async fn me_says_who_the_token_is_and_version_asks_for_none() {
    let world = World::new().await;
    let me = world.kajabi(GET, "/v1/me").await;
    assert_eq!(me.json()["data"]["id"], cast::KAJABI_USER_ID);
    assert_eq!(me.json()["data"]["attributes"]["role_level"], "owner");
    let version = hear(world.ask(GET, "/kajabi/v1/version")).await;
    assert_eq!(version.status, 200);
    assert_eq!(version.json()["meta"]["title"], "Kajabi API V1");
}

#[tokio::test]
async fn a_purchase_comes_whole_or_with_the_fields_asked_for() {
    let world = World::new().await;
    let whole = world.kajabi(GET, &purchase(cast::KAJABI_ACTIVE)).await;
    assert_eq!(whole.header("content-type"), "application/vnd.api+json");
    let data = &whole.json()["data"];
    assert_eq!(data["id"], cast::KAJABI_ACTIVE);
    assert_eq!(data["type"], "purchases");
    assert_eq!(data["attributes"]["payment_type"], "subscription");
    assert_eq!(data["attributes"]["deactivated_at"], Value::Null);
    assert_eq!(data["attributes"].as_object().unwrap().len(), 17);
    assert_eq!(
        data["relationships"]["customer"]["data"]["type"],
        "customers"
    );
    assert!(whole.body.contains("canary-cardholder@example.com"));

    let path = format!(
        "{}?fields[purchases]=deactivated_at,offer",
        purchase(cast::KAJABI_ACTIVE)
    );
    let sparse = world.kajabi(GET, &path).await;
    let data = &sparse.json()["data"];
    assert_eq!(data["attributes"], json!({ "deactivated_at": null }));
    assert_eq!(data["relationships"].as_object().unwrap().len(), 1);
    assert!(!sparse.body.to_lowercase().contains(cast::CANARY));
}

#[tokio::test]
async fn a_cancel_stops_billing_and_deactivates_and_answers_as_a_read_does() {
    let world = World::new().await;
    let heard = world.kajabi(POST, &cancel(cast::KAJABI_ACTIVE)).await;
    assert_eq!(heard.status, 200);
    let read = world.kajabi(GET, &purchase(cast::KAJABI_ACTIVE)).await;
    assert_eq!(heard.json(), read.json());
    let at = &heard.json()["data"]["attributes"]["deactivated_at"];
    assert_eq!(at, "2026-03-01T12:00:00.000Z");
    let truth = world.truth(cast::KAJABI_ACTIVE).await;
    assert_eq!(truth["live"], false);
    assert_eq!(truth["cancels_effective"], 1);
}

#[tokio::test]
async fn what_cannot_be_cancelled_is_refused_with_422() {
    let world = World::new().await;
    for id in [cast::KAJABI_CANCELLED, cast::KAJABI_ONE_TIME] {
        assert_json_api_error(&world.kajabi(POST, &cancel(id)).await, 422);
        assert_eq!(world.truth(id).await["cancels_effective"], 0);
    }
    world.kajabi(POST, &cancel(cast::KAJABI_ACTIVE)).await;
    let again = world.kajabi(POST, &cancel(cast::KAJABI_ACTIVE)).await;
    assert_json_api_error(&again, 422);
    let truth = world.truth(cast::KAJABI_ACTIVE).await;
    assert_eq!(truth["cancels_received"], 2);
    assert_eq!(truth["cancels_effective"], 1);
}

#[tokio::test]
async fn deactivating_leaves_billing_on_and_only_a_cancel_stops_it() {
    let world = World::new().await;
    let path = format!("{}/deactivate", purchase(cast::KAJABI_ACTIVE));
    let heard = world.kajabi(POST, &path).await;
    let deactivated_at = heard.json()["data"]["attributes"]["deactivated_at"].clone();
    assert!(deactivated_at.is_string());
    assert_eq!(world.truth(cast::KAJABI_ACTIVE).await["live"], true);

    world.clock.advance(Duration::from_secs(60));
    let heard = world.kajabi(POST, &cancel(cast::KAJABI_ACTIVE)).await;
    assert_eq!(heard.status, 200);
    assert_eq!(
        heard.json()["data"]["attributes"]["deactivated_at"],
        deactivated_at
    );
    assert_eq!(world.truth(cast::KAJABI_ACTIVE).await["live"], false);

    let path = format!("{}/reactivate", purchase(cast::KAJABI_ACTIVE));
    let heard = world.kajabi(POST, &path).await;
    assert_eq!(
        heard.json()["data"]["attributes"]["deactivated_at"],
        Value::Null
    );
    assert_eq!(world.truth(cast::KAJABI_ACTIVE).await["live"], false);
}

#[tokio::test]
async fn errors_are_json_api() {
    let world = World::new().await;
    let path = format!("/kajabi{}", purchase(cast::KAJABI_ACTIVE));
    assert_json_api_error(&hear(world.ask(GET, &path)).await, 401);
    let foreign = world.ask(GET, &path).bearer_auth("guess");
    assert_json_api_error(&hear(foreign).await, 401);
    assert_json_api_error(&world.kajabi(GET, &purchase("1")).await, 404);
    assert_json_api_error(&world.kajabi(POST, &cancel("1")).await, 404);
    assert_json_api_error(&world.kajabi(GET, "/v1/subscriptions").await, 404);

    let reader = world.kajabi_token_of(cast::KAJABI_READER_CLIENT_ID).await;
    assert_eq!(
        hear(world.ask(GET, &path).bearer_auth(&reader))
            .await
            .status,
        200
    );
    let path = format!("/kajabi{}", cancel(cast::KAJABI_ACTIVE));
    assert_json_api_error(
        &hear(world.ask(POST, &path).bearer_auth(&reader)).await,
        403,
    );
    assert_eq!(
        world.truth(cast::KAJABI_ACTIVE).await["cancels_effective"],
        0
    );
}

#[tokio::test]
async fn the_list_goes_page_by_page_to_its_end() {
    let world = World::new().await;
    let mut path = "/v1/purchases?page[size]=4".to_owned();
    let mut seen = Vec::new();
    loop {
        let heard = world.kajabi(GET, &path).await.json();
        assert_eq!(heard["meta"]["total_count"], 6);
        assert_eq!(heard["meta"]["total_pages"], 2);
        let data = heard["data"].as_array().unwrap();
        assert_eq!(heard["meta"]["count"], data.len());
        seen.extend(data.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        let Some(next) = heard["links"]["next"].as_str() else {
            break;
        };
        let base = world.sandbox.urls().kajabi;
        path = next.strip_prefix(&base).unwrap().to_owned();
    }
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[0], cast::KAJABI_ACTIVE);
    assert_eq!(seen[5], cast::KAJABI_ONE_TIME);
}

#[tokio::test]
async fn the_list_filters_by_what_is_documented_and_ignores_the_rest() {
    let world = World::new().await;
    let count = async |query: &str| {
        let heard = world.kajabi(GET, &format!("/v1/purchases?{query}")).await;
        heard.json()["meta"]["total_count"].as_u64().unwrap()
    };
    assert_eq!(count("filter[active]=true").await, 4);
    assert_eq!(count("filter[deactivated]=true").await, 2);
    assert_eq!(count("filter[customer_id]=82145871").await, 1);
    assert_eq!(count("filter[offer_id]=1").await, 6);
}

#[tokio::test]
async fn the_offer_tells_what_kind_a_purchase_is() {
    let world = World::new().await;
    let kind = async |id: &str| {
        let data = world.kajabi(GET, &purchase(id)).await.json();
        let offer = &data["data"]["relationships"]["offer"]["data"]["id"];
        let path = format!("/v1/offers/{}", offer.as_str().unwrap());
        world.kajabi(GET, &path).await.json()["data"]["attributes"].clone()
    };
    let subscription = kind(cast::KAJABI_ACTIVE).await;
    assert_eq!(subscription["subscription"], true);
    assert_eq!(subscription["one_time"], false);
    let plan = kind(cast::KAJABI_PAYMENT_PLAN).await;
    assert_eq!(plan["recurring_offer"], true);
    assert_eq!(plan["subscription"], false);
    assert_eq!(kind(cast::KAJABI_ONE_TIME).await["one_time"], true);
    assert_json_api_error(&world.kajabi(GET, "/v1/offers/1").await, 404);
}
