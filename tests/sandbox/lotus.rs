//! Lotus, beyond what the replayed exchanges show.

use futures_util::future::join_all;
use lapsed::sandbox::cast;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Heard, World, hear};

const GET: Method = Method::GET;
const POST: Method = Method::POST;

async fn list(world: &World, customer: &str) -> Heard {
    let path = format!("/api/subscriptions/?customer_id={customer}");
    hear(world.lotus(GET, &path)).await
}

fn ids(list: &Heard) -> Vec<String> {
    let entries = list.json();
    let entries = entries.as_array().unwrap().iter();
    entries
        .map(|it| it["subscription_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn an_id_may_lack_its_prefix_or_have_dashes() {
    let world = World::new().await;
    let hex = cast::LOTUS_ACTIVE.trim_start_matches("sub_");
    let dashed = format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    );
    for spelling in [cast::LOTUS_ACTIVE, hex, &dashed, &format!("sub_{dashed}")] {
        let path = format!("/api/subscriptions/{spelling}/");
        let heard = hear(world.lotus(GET, &path)).await;
        assert_eq!(heard.json()["subscription_id"], cast::LOTUS_ACTIVE);
    }
    world.cancel_at_lotus(&dashed).await;
    assert_eq!(world.truth(hex).await["cancels_effective"], 1);
}

#[tokio::test]
async fn overlapping_cancels_all_succeed_and_all_bill() {
    let world = World::new().await;
    world.set(json!({ "lotus_cancel_takes_ms": 300 })).await;
    let all = join_all((0..4).map(|_| world.cancel_at_lotus(cast::LOTUS_ACTIVE))).await;
    assert!(all.iter().all(|heard| heard.status == 200), "{all:?}");
    let truth = world.truth(cast::LOTUS_ACTIVE).await;
    assert_eq!(truth["cancels_effective"], 4);
    let later = world.cancel_at_lotus(cast::LOTUS_ACTIVE).await;
    assert_eq!(later.json()["title"], "invalid_state");
    assert_eq!(
        world.truth(cast::LOTUS_ACTIVE).await["cancels_effective"],
        4
    );
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_a_cancel_half_way() {
    let world = World::new().await;
    world.set(json!({ "lotus_cancel_takes_ms": 200 })).await;
    let path = format!("/api/subscriptions/{}/cancel/", cast::LOTUS_ACTIVE);
    let impatient = world
        .lotus(POST, &path)
        .timeout(std::time::Duration::from_millis(50));
    assert!(impatient.send().await.unwrap_err().is_timeout());
    while world.truth(cast::LOTUS_ACTIVE).await["live"] == true {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_key_of_one_organization_cancels_anothers_and_does_not_list_them() {
    let world = World::new().await;
    let unlisted = list(&world, "cust_hugo").await;
    assert_eq!(unlisted.json()["title"], "does_not_exist");
    let path = format!("/api/subscriptions/{}/", cast::LOTUS_FOREIGN);
    assert_eq!(hear(world.lotus(GET, &path)).await.status, 200);
    assert_eq!(world.cancel_at_lotus(cast::LOTUS_FOREIGN).await.status, 200);
    assert_eq!(world.truth(cast::LOTUS_FOREIGN).await["live"], false);
    let ping = world.ask(GET, "/lotus/api/ping/");
    let heard = hear(ping.header("x-api-key", cast::LOTUS_OTHER_KEY)).await;
    assert_eq!(
        heard.json()["organization_id"],
        cast::LOTUS_OTHER_ORGANIZATION
    );
}

#[tokio::test]
async fn a_successor_outlives_its_predecessor_and_cannot_be_cancelled_yet() {
    let world = World::new().await;
    assert_eq!(world.cancel_at_lotus(cast::LOTUS_RENEWED).await.status, 200);
    let both = list(&world, "cust_emil").await;
    assert_eq!(ids(&both), [cast::LOTUS_SUCCESSOR, cast::LOTUS_RENEWED]);
    let heard = world.cancel_at_lotus(cast::LOTUS_SUCCESSOR).await;
    assert_eq!(heard.status, 500);
    let detail = heard.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("end_date_gte_start_date"));
    assert_eq!(world.truth(cast::LOTUS_SUCCESSOR).await["live"], true);
}

#[tokio::test]
async fn an_add_on_is_an_entry_of_the_list_and_ends_with_its_parent_but_is_found_by_no_id() {
    let world = World::new().await;
    let before = list(&world, "cust_gwen").await;
    assert_eq!(
        ids(&before),
        [cast::LOTUS_WITH_ADDON, cast::LOTUS_ADDON_ENTRY]
    );
    let path = format!("/api/subscriptions/{}/", cast::LOTUS_ADDON_ENTRY);
    assert_eq!(hear(world.lotus(GET, &path)).await.status, 404);
    let cancelled = world.cancel_at_lotus(cast::LOTUS_WITH_ADDON).await.json();
    assert_eq!(cancelled["addons"][0]["end_date"], cancelled["end_date"]);
    let path = "/api/subscriptions/?customer_id=cust_gwen&status=active";
    let after = hear(world.lotus(GET, path)).await;
    // To the microsecond of its end a record still counts as active.
    assert_eq!(ids(&after).len(), 2);
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(hear(world.lotus(GET, path)).await.body, "[]");
}

#[tokio::test]
async fn customers_show_their_active_subscriptions_only() {
    let world = World::new().await;
    let heard = hear(world.lotus(GET, "/api/customers/")).await.json();
    let customers = heard.as_array().unwrap();
    assert_eq!(customers.len(), 7);
    let shown = |id: &str| {
        let customer = customers.iter().find(|it| it["customer_id"] == id).unwrap();
        customer["subscriptions"].as_array().unwrap().len()
    };
    assert_eq!((shown("cust_anna"), shown("cust_cleo")), (1, 0));
    assert_eq!((shown("cust_dora"), shown("cust_emil")), (0, 1));
    let one = hear(world.lotus(GET, "/api/customers/cust_bert/"))
        .await
        .json();
    assert_eq!(one["timezone"], "America/New_York");
    assert_eq!(
        one["subscriptions"][0]["subscription_id"],
        cast::LOTUS_NEW_YORK
    );
    let unknown = hear(world.lotus(GET, "/api/customers/nobody/")).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn multipart_bodies_are_accepted_and_checked_like_any_other() {
    let world = World::new().await;
    let path = format!("/api/subscriptions/{}/cancel/", cast::LOTUS_ACTIVE);
    let body = "--b\r\nContent-Disposition: form-data; name=\"flat_fee_behavior\"\r\n\r\nprorate\r\n--b--\r\n";
    let ask = world
        .lotus(POST, &path)
        .header("content-type", "multipart/form-data; boundary=b")
        .body(body);
    let heard = hear(ask).await.json();
    assert_eq!(heard["validation_errors"][0]["attr"], "flat_fee_behavior");
    assert_eq!(world.truth(cast::LOTUS_ACTIVE).await["live"], true);
}

#[tokio::test]
async fn broken_json_is_a_parse_error_without_validation_errors() {
    let world = World::new().await;
    let path = format!("/api/subscriptions/{}/cancel/", cast::LOTUS_ACTIVE);
    let ask = world
        .lotus(POST, &path)
        .header("content-type", "application/json")
        .body("{\"flat_fee");
    let heard = hear(ask).await.json();
    assert_eq!(heard["title"], "parse_error");
    assert_eq!(heard.get("validation_errors"), None::<&Value>);
}
