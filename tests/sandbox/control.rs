//! The control API: seeding, truth, the log, resetting.

use lapsed::sandbox::{Provider, Seeds, cast};
use reqwest::Method;
use serde_json::{Value, json};

use super::{World, hear};

const GET: Method = Method::GET;
const POST: Method = Method::POST;

async fn state(world: &World, query: &str) -> Value {
    let path = format!("state{query}");
    world.control(GET, &path, json!(null)).await.json()
}

#[tokio::test]
async fn the_index_names_everything_one_needs_to_begin() {
    let world = World::new().await;
    for path in ["/", "/sandbox", "/sandbox/"] {
        let text = hear(world.ask(GET, path)).await.body;
        assert!(text.contains(&world.sandbox.urls().kajabi));
        assert!(text.contains(cast::REVERE_KEY) && text.contains(cast::LOTUS_ORGANIZATION));
        assert!(cast::CAST.iter().all(|member| text.contains(member.id)));
    }
    assert_eq!(hear(world.ask(GET, "/nowhere")).await.status, 404);
}

#[tokio::test]
async fn the_cast_is_whole_and_every_name_of_it_is_well_formed() {
    let world = World::new().await;
    assert_eq!(Seeds::demo().len(), cast::CAST.len() as u64);
    for member in cast::CAST {
        let truth = world.truth(member.id).await;
        assert_eq!(truth["provider"], member.provider.as_str());
        assert_eq!(
            truth["detail"]["customer_id"].as_str().is_some(),
            member.provider != Provider::Revere
        );
        if let Some(customer) = member.customer_id {
            assert_eq!(truth["detail"]["customer_id"], customer);
        }
    }
    let hex = |name: &str, prefix: &str| name.strip_prefix(prefix).unwrap().len();
    assert_eq!(hex(cast::LOTUS_ORGANIZATION, "org_"), 32);
    assert_eq!(hex(cast::LOTUS_PLAN, "plan_"), 32);
    assert_eq!(hex(cast::LOTUS_PLAN_VERSION, "plan_version_"), 32);
    assert_eq!(hex(cast::LOTUS_ADDON, "addon_"), 32);
    assert_eq!(cast::REVERE_MONTHLY.len(), 36);
}

#[tokio::test]
async fn everything_personal_in_an_answer_carries_the_canary() {
    let world = World::new().await;
    let kajabi = world.kajabi(GET, "/v1/purchases").await.body;
    let revere = hear(world.revere(GET, "/subscription")).await.body;
    let lotus = hear(world.lotus(GET, "/api/customers/")).await.body;
    for body in [kajabi, revere, lotus] {
        assert!(body.contains(cast::CANARY));
        for piece in body.split('"').filter(|piece| piece.contains('@')) {
            assert!(piece.contains(cast::CANARY), "{piece}");
        }
    }
}

#[tokio::test]
async fn seeds_come_one_by_one_or_by_the_thousand_with_predictable_ids() {
    let world = World::with(Seeds::none(), "2026-03-01T12:00:00Z").await;
    let seeds = json!([
        { "provider": "revere", "count": 3000, "prefix": "bulk-" },
        { "provider": "kajabi", "count": 2, "first": 7 },
        { "provider": "lotus", "count": 2, "prefix": "ab" },
        { "provider": "lotus", "id": cast::LOTUS_ACTIVE, "end": "2026-03-02", "customer_id": "c" },
    ]);
    let heard = world.control(POST, "seed", seeds).await;
    assert_eq!(
        heard.json(),
        json!({ "seeded": 3005, "subscriptions": 3005 })
    );
    let last = hear(world.revere(GET, "/subscription/bulk-002999")).await;
    assert_eq!(last.status, 200);
    assert_eq!(
        world.kajabi(GET, "/v1/purchases/9000000008").await.status,
        200
    );
    let hex = format!("ab{:030}", 1);
    let path = format!("/api/subscriptions/?customer_id=cust_{hex}");
    let listed = hear(world.lotus(GET, &path)).await.json();
    assert_eq!(listed[0]["subscription_id"], format!("sub_{hex}"));
    let truth = world.truth(cast::LOTUS_ACTIVE).await;
    assert_eq!(truth["detail"]["end"], "2026-03-02T00:00:00Z");
}

#[tokio::test]
async fn a_wrong_seed_is_refused_whole_in_clear_words() {
    let world = World::new().await;
    let refusal = async |seed: Value| {
        let heard = world.control(POST, "seed", seed).await;
        assert_eq!(heard.status, 400);
        heard.json()["problems"][0].as_str().unwrap().to_owned()
    };
    let seed = json!([{ "provider": "revere", "id": "x" }, { "provider": "revere", "id": "y", "stat": 1 }]);
    assert!(
        refusal(seed)
            .await
            .starts_with("seed 2: unknown field `stat`")
    );
    assert!(
        refusal(json!({ "provider": "stripe", "id": "x" }))
            .await
            .contains("stripe")
    );
    assert!(
        refusal(json!({ "provider": "lotus", "id": "x" }))
            .await
            .contains("32 hex digits")
    );
    assert!(
        refusal(json!({ "provider": "kajabi" }))
            .await
            .contains("`count`")
    );
    let many = json!({ "provider": "kajabi", "count": 3_000_000 });
    assert!(refusal(many).await.contains("at most"));
    let start = json!({ "provider": "lotus", "id": cast::LOTUS_ACTIVE, "start": "soon" });
    assert!(
        refusal(start)
            .await
            .contains("`start`: `soon` is no instant")
    );
    assert_eq!(state(&world, "").await["totals"]["subscriptions"], 20);
}

#[tokio::test]
async fn the_state_adds_up_and_can_be_narrowed() {
    let world = World::new().await;
    world.cancel_at_lotus(cast::LOTUS_ACTIVE).await;
    world.cancel_at_lotus(cast::LOTUS_ACTIVE).await;
    let all = state(&world, "").await;
    assert_eq!(
        all["totals"],
        json!({ "subscriptions": 20, "live": 15, "cancels_received": 2,
                "cancels_effective": 1, "cancelled_more_than_once": 0 })
    );
    let page = state(&world, "?provider=lotus&offset=1&limit=2").await;
    assert_eq!(page["totals"]["subscriptions"], 9);
    assert_eq!(page["subscriptions"].as_array().unwrap().len(), 2);
    assert_eq!(page["subscriptions"][0]["id"], cast::LOTUS_NEW_YORK);
    let wrong = world.control(GET, "state?sort=id", json!(null)).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn the_log_shows_what_was_received_without_its_secrets() {
    let world = World::new().await;
    world.kajabi(GET, "/v1/me?x=1").await;
    let ask = world.revere(
        Method::PUT,
        &format!("/subscription/{}/cancel", cast::REVERE_MONTHLY),
    );
    hear(ask.json(&json!({ "reason": "why" }))).await;
    world.cancel_at_lotus("nope").await;
    let heard = world.control(GET, "requests?after=0", json!(null)).await;
    for secret in [
        cast::KAJABI_CLIENT_SECRET,
        cast::REVERE_KEY,
        cast::LOTUS_KEY,
        cast::CANARY,
    ] {
        assert!(!heard.body.contains(secret), "{secret}");
    }
    let log = heard.json();
    assert_eq!(log["last"], 4);
    let shown = |place: usize| &log["requests"][place];
    assert_eq!(shown(0)["operation"], "token");
    assert!(
        shown(0)["body"]
            .as_str()
            .unwrap()
            .contains("client_id=sandbox-client")
    );
    assert_eq!(shown(1)["path"], "/v1/me?x=1");
    assert_eq!(
        shown(1)["headers"][0],
        json!(["authorization", "Bearer ***"])
    );
    assert_eq!(shown(2)["method"], "PUT");
    assert_eq!(shown(2)["id"], cast::REVERE_MONTHLY);
    assert_eq!(shown(2)["body"], r#"{"reason":"why"}"#);
    assert_eq!(shown(2)["at"], "2026-03-01T12:00:00Z");
    let later = world
        .control(GET, "requests?after=3", json!(null))
        .await
        .json();
    assert_eq!(later["requests"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_reset_makes_everything_as_it_was_at_the_start() {
    let world = World::new().await;
    let token = world.kajabi_token().await;
    world.cancel_at_lotus(cast::LOTUS_ACTIVE).await;
    world
        .control(POST, "seed", json!({ "replace": true }))
        .await;
    assert_eq!(state(&world, "").await["totals"]["subscriptions"], 0);
    world.fault(json!({ "status": 500 })).await;
    world.control(POST, "reset", json!(null)).await;
    let totals = &state(&world, "").await["totals"];
    assert_eq!(
        (&totals["subscriptions"], &totals["cancels_received"]),
        (&json!(20), &json!(0))
    );
    let me = world.ask(GET, "/kajabi/v1/me").bearer_auth(token);
    assert_eq!(hear(me).await.status, 401);
    assert_eq!(world.cancel_at_lotus(cast::LOTUS_ACTIVE).await.status, 200);
}

#[tokio::test]
async fn an_unknown_setting_is_refused() {
    let world = World::new().await;
    let heard = world.control(POST, "settings", json!({ "speed": 9 })).await;
    assert_eq!(heard.status, 400);
    assert!(heard.body.contains("unknown field `speed`"));
}

#[tokio::test]
async fn a_stopped_sandbox_listens_no_more() {
    let world = World::new().await;
    let address = world.sandbox.address();
    hear(world.ask(GET, "/sandbox/")).await;
    world.sandbox.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
