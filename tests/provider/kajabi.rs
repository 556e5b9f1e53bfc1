//! Kajabi, against the pages under <https://developers.kajabi.com/api-reference/>.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use lapsed::model::act::{Action, Answer};
use lapsed::model::observed::{Billing, Life, Observed, Subscription};
use lapsed::model::provider::ExpectField;
use lapsed::provider::LookError;
use serde_json::{Value, json};

use super::server::{Says, Seen, Server};
use super::{
    Account, Bench, KAJABI_CLIENT_ID, KAJABI_CLIENT_SECRET, instant, is_credentials, is_not_sent,
    is_unavailable, is_unclear, meaning, reading, refused,
};

pub const ID: &str = "10042";

const LOOK: &str = "GET /v1/purchases/10042?fields%5Bpurchases%5D=deactivated_at%2Cpayment_type%2Ccustomer%2Coffer";
const CANCEL: &str = "POST /v1/purchases/10042/cancel_subscription";
const TOKEN: &str = "POST /v1/oauth/token";
const OFFER: &str = "GET /v1/offers/77";

/// `purchases_show_response`, with whatever names a person.
pub fn purchase(payment_type: &Value, deactivated_at: &Value) -> Value {
    json!({ "data": {
        "id": ID,
        "type": "purchases",
        "attributes": {
            "amount_in_cents": 4900,
            "payment_type": payment_type,
            "multipay_payments_made": null,
            "raw_extra_contact_information": { "phone": "+1 555 0199 222" },
            "cardholder_name": "Jane Canary",
            "billing_address_zip": "90210",
            "deactivated_at": deactivated_at,
            "deactivation_reason": "jane.canary@example.com asked",
            "status": "active",
        },
        "relationships": {
            "customer": { "data": { "id": "501", "type": "customers" } },
            "offer": { "data": { "id": "77", "type": "offers" } },
            "transactions": { "data": [] },
        },
    } })
}

pub fn living() -> Value {
    purchase(&json!("subscription"), &json!(null))
}

pub fn cancelled() -> Value {
    purchase(&json!("subscription"), &json!("2026-11-24T12:00:00.000Z"))
}

fn offer(attributes: &Value) -> Value {
    json!({ "data": { "id": "77", "type": "offers", "attributes": attributes } })
}

fn found(life: Life, billing: Billing) -> Subscription {
    Subscription {
        life,
        billing,
        facts: BTreeMap::from([
            (ExpectField::Customer, "501".to_owned()),
            (ExpectField::Offer, "77".to_owned()),
        ]),
        period_end: None,
        successor: None,
    }
}

/// `errors_attributes`.
fn error(status: u16) -> Value {
    json!({ "errors": [{
        "status": status.to_string(),
        "source": { "pointer": "/data" },
        "title": "Unprocessable",
        "detail": "cannot be cancelled",
    }] })
}

fn grant(token: &str, expires_in: &Value) -> Says {
    Says::json(
        200,
        &json!({
            "access_token": token,
            "refresh_token": "refresh-canary",
            "token_type": "Bearer",
            "expires_in": expires_in,
        }),
    )
}

/// A server that gives `token-1`, `token-2` and so on, and says the rest as the test does.
async fn granting(expires_in: u64, rest: impl Fn(&Seen) -> Says + Send + Sync + 'static) -> Server {
    let granted = std::sync::atomic::AtomicU32::new(0);
    Server::start(move |seen| {
        if seen.line == TOKEN {
            let number = 1 + granted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            grant(&format!("token-{number}"), &json!(expires_in))
        } else {
            rest(seen)
        }
    })
    .await
}

fn bearers(server: &Server) -> Vec<String> {
    server
        .seen()
        .iter()
        .filter(|seen| seen.line != TOKEN)
        .flat_map(|seen| seen.all("authorization"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_token_is_asked_for_with_exactly_the_three_documented_fields() {
    let server = granting(7200, |_| Says::json(200, &living())).await;
    let bench = Bench::before(Account::KajabiClient, server);
    assert_eq!(bench.found().await, found(Life::Active, Billing::Recurring));
    assert_eq!(bench.server.lines(), [TOKEN, LOOK]);
    let ask = &bench.server.seen()[0];
    assert_eq!(
        ask.all("content-type"),
        ["application/x-www-form-urlencoded"]
    );
    assert_eq!(ask.all("authorization"), [""; 0]);
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(ask.body.as_bytes())
        .into_owned()
        .collect();
    let expected = [
        ("grant_type", "client_credentials"),
        ("client_id", KAJABI_CLIENT_ID),
        ("client_secret", KAJABI_CLIENT_SECRET),
    ];
    assert_eq!(
        fields,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );
}

#[tokio::test]
async fn a_cancel_is_the_documents_post_without_body_and_query() {
    let intent = Account::KajabiClient.intent().await;
    let server = granting(7200, |_| Says::json(200, &cancelled())).await;
    let bench = Bench::before(Account::KajabiClient, server);
    assert_eq!(bench.send(&intent).await, Answer::Accepted);
    assert_eq!(bench.server.lines(), [TOKEN, CANCEL]);
    let seen = &bench.server.seen()[1];
    assert_eq!(seen.all("authorization"), ["Bearer token-1"]);
    assert_eq!(seen.body, "");
    assert_eq!(seen.all("content-length"), ["0"]);
    let names: Vec<&str> = seen
        .names()
        .into_iter()
        .filter(|name| !name.starts_with("accept"))
        .collect();
    assert_eq!(
        names,
        ["authorization", "content-length", "host", "user-agent"]
    );
}

#[tokio::test]
async fn the_confirming_cancel_is_the_same_request() {
    let mut sent = Vec::new();
    for action in [Account::KajabiToken.cancel(), Action::ConfirmCancel] {
        let intent = Account::KajabiToken.intent_to(action).await;
        let bench = Bench::scripted(Account::KajabiToken, [Says::json(200, &cancelled())]).await;
        assert_eq!(bench.send(&intent).await, Answer::Accepted);
        let mut seen = bench.server.only();
        // The port differs with the server.
        seen.headers.retain(|(name, _)| name != "host");
        sent.push(seen.whole());
    }
    assert_eq!(sent[0], sent[1]);
}

#[tokio::test]
async fn a_reason_is_not_sent_to_a_provider_that_takes_none() {
    let action = Action::Cancel {
        reason: Some("Duplicate order".to_owned()),
        behaviors: None,
    };
    let intent = Account::KajabiToken.intent_to(action).await;
    let bench = Bench::scripted(Account::KajabiToken, [Says::json(200, &cancelled())]).await;
    bench.send(&intent).await;
    let seen = bench.server.only();
    assert_eq!(seen.line, CANCEL);
    assert!(!seen.whole().contains("Duplicate"), "{seen:?}");
}

#[tokio::test]
async fn deactivated_at_alone_says_whether_a_purchase_lives() {
    for (deactivated_at, life) in [
        (json!(null), Life::Active),
        (json!("2026-08-02T20:26:32.995-05:00"), {
            let at = Some(instant("2026-08-03T01:26:32.995Z"));
            Life::Ended { at }
        }),
        (json!("2027-01-01T00:00:00.000Z"), {
            let at = Some(instant("2027-01-01T00:00:00Z"));
            Life::Ended { at }
        }),
    ] {
        let body = purchase(&json!("subscription"), &deactivated_at);
        let look = reading(Account::KajabiToken, vec![Says::json(200, &body)]).await;
        let expected = Observed::Found(found(life, Billing::Recurring));
        assert_eq!(look.unwrap().observed, expected, "{deactivated_at}");
    }
}

#[tokio::test]
async fn an_answer_without_a_readable_deactivated_at_says_nothing() {
    let mut missing = living();
    let attributes = missing["data"]["attributes"].as_object_mut().unwrap();
    attributes.remove("deactivated_at");
    let mut bare = living();
    bare["data"].as_object_mut().unwrap().remove("attributes");
    for body in [
        missing,
        bare,
        purchase(&json!("subscription"), &json!("yesterday")),
        purchase(&json!("subscription"), &json!(false)),
    ] {
        let look = reading(Account::KajabiToken, vec![Says::json(200, &body)]).await;
        assert!(is_unavailable(&look), "{look:?}");
    }
}

#[tokio::test]
async fn a_known_payment_type_needs_no_second_request() {
    for (payment_type, billing) in [
        ("subscription", Billing::Recurring),
        ("multipay", Billing::PaymentPlan),
        ("single", Billing::OneTime),
        ("free", Billing::OneTime),
    ] {
        let body = purchase(&json!(payment_type), &json!(null));
        let look = reading(Account::KajabiToken, vec![Says::json(200, &body)]).await;
        let expected = Observed::Found(found(Life::Active, billing));
        assert_eq!(look.unwrap().observed, expected, "{payment_type}");
    }
}

#[tokio::test]
async fn the_offer_says_what_an_unknown_payment_type_does_not() {
    let flags = [
        (json!({ "subscription": true }), Billing::Recurring),
        (json!({ "recurring_offer": true }), Billing::Recurring),
        (
            json!({ "subscription": true, "one_time": true }),
            Billing::Recurring,
        ),
        (
            json!({ "subscription": false, "one_time": true }),
            Billing::OneTime,
        ),
        (json!({ "single": true }), Billing::OneTime),
        (json!({ "free": true }), Billing::OneTime),
        (
            json!({ "subscription": false, "one_time": false }),
            Billing::Unclear,
        ),
        (json!({}), Billing::Unclear),
    ];
    for payment_type in [json!("stripe"), json!("charge"), json!(null)] {
        for (attributes, billing) in &flags {
            let answers = [
                Says::json(200, &purchase(&payment_type, &json!(null))),
                Says::json(200, &offer(attributes)),
            ];
            let bench = Bench::scripted(Account::KajabiToken, answers).await;
            let expected = found(Life::Active, *billing);
            assert_eq!(bench.found().await, expected, "{payment_type} {attributes}");
            assert_eq!(bench.server.lines(), [LOOK, OFFER]);
        }
    }
}

#[tokio::test]
async fn an_offer_that_cannot_be_read_is_not_taken_for_anything() {
    let unknown = || Says::json(200, &purchase(&json!("stripe"), &json!(null)));
    let read = |says| reading(Account::KajabiToken, vec![unknown(), says]);
    let look = read(Says::json(404, &error(404))).await.unwrap();
    assert_eq!(
        look.observed,
        Observed::Found(found(Life::Active, Billing::Unclear))
    );
    let other = json!({ "data": {
        "id": "78", "type": "offers", "attributes": { "subscription": true },
    } });
    let no_offer = json!({ "data": {
        "id": "77", "type": "products", "attributes": { "subscription": true },
    } });
    for says in [
        Says::text(200, "<html>"),
        Says::json(500, &error(500)),
        Says::json(200, &other),
        Says::json(200, &no_offer),
    ] {
        let look = read(says).await;
        assert!(is_unavailable(&look), "{look:?}");
    }
    let look = read(Says::json(403, &error(403))).await;
    assert!(is_credentials(&look), "{look:?}");
}

#[tokio::test]
async fn what_has_ended_or_names_no_offer_is_not_asked_further() {
    let ended = purchase(&json!("stripe"), &json!("2026-11-01T00:00:00.000Z"));
    let look = reading(Account::KajabiToken, vec![Says::json(200, &ended)]).await;
    let Observed::Found(it) = look.unwrap().observed else {
        panic!("not found");
    };
    assert_eq!(it.billing, Billing::Unclear);

    let mut alone = purchase(&json!("stripe"), &json!(null));
    alone["data"]
        .as_object_mut()
        .unwrap()
        .remove("relationships");
    let look = reading(Account::KajabiToken, vec![Says::json(200, &alone)]).await;
    let Observed::Found(it) = look.unwrap().observed else {
        panic!("not found");
    };
    assert_eq!((it.life, it.billing), (Life::Active, Billing::Unclear));
    assert!(it.facts.is_empty());
}

#[tokio::test]
async fn each_documented_status_of_a_look_has_its_meaning() {
    let says = |status| vec![Says::json(status, &error(status))];
    let look = reading(Account::KajabiToken, says(404)).await;
    assert_eq!(look.unwrap().observed, Observed::NotFound);
    for status in [401, 403] {
        let look = reading(Account::KajabiToken, says(status)).await;
        assert!(is_credentials(&look), "{status}: {look:?}");
    }
    for status in [400, 422, 500, 502] {
        let look = reading(Account::KajabiToken, says(status)).await;
        assert!(is_unavailable(&look), "{status}: {look:?}");
    }
}

#[tokio::test]
async fn each_answer_to_a_cancel_has_its_meaning() {
    let intent = Account::KajabiToken.intent().await;
    for (says, expected) in [
        // The purchase comes back whether or not it shows the end already.
        (Says::json(200, &living()), Answer::Accepted),
        (
            Says::json(422, &error(422)),
            refused(422, "Unprocessable: cannot be cancelled"),
        ),
        (
            Says::json(404, &json!({ "errors": [] })),
            refused(404, "no words that can be shown"),
        ),
        (
            Says::json(400, &json!({ "error": "bad_request" })),
            refused(400, "bad_request"),
        ),
        (Says::json(401, &error(401)), Answer::Unauthorized),
        (Says::json(403, &error(403)), Answer::Forbidden),
    ] {
        assert_eq!(meaning(Account::KajabiToken, &intent, says).await, expected);
    }
    for status in [201, 202, 204, 409, 418, 500, 502, 504] {
        let says = Says::json(status, &cancelled());
        let answer = meaning(Account::KajabiToken, &intent, says).await;
        assert!(is_unclear(&answer), "{status}: {answer:?}");
    }
    let mut no_purchase = cancelled();
    no_purchase["data"]["type"] = json!("orders");
    let answer = meaning(Account::KajabiToken, &intent, Says::json(200, &no_purchase)).await;
    assert!(is_unclear(&answer), "{answer:?}");
}

#[tokio::test]
async fn me_tells_whose_account_it_is() {
    let me = json!({ "data": {
        "id": "9", "type": "users",
        "attributes": { "email": "jane.canary@example.com", "role_level": "owner" },
    } });
    let bench = Bench::scripted(Account::KajabiToken, [Says::json(200, &me)]).await;
    assert_eq!(bench.reader.account().await.unwrap(), "9");
    let seen = bench.server.only();
    assert_eq!(seen.line, "GET /v1/me");
    assert_eq!(seen.all("authorization"), ["Bearer kajabi-ready-token"]);
    assert_eq!(bench.requests(), [("account", "2xx")]);
}

#[tokio::test]
async fn looks_at_the_same_time_share_one_token_request() {
    let server = granting(7200, |_| Says::json(200, &living())).await;
    let bench = Bench::tuned(Account::KajabiClient, server, |config| {
        config.concurrency = 8;
    });
    for look in join_all((0..8).map(|_| bench.look())).await {
        look.unwrap();
    }
    let lines = bench.server.lines();
    let tokens = lines.iter().filter(|line| *line == TOKEN).count();
    assert_eq!((tokens, lines.len()), (1, 9));
    assert!(
        bearers(&bench.server)
            .iter()
            .all(|it| it == "Bearer token-1")
    );
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_not_sooner() {
    let server = granting(1_000, |_| Says::json(200, &living())).await;
    let bench = Bench::before(Account::KajabiClient, server);
    bench.look().await.unwrap();
    bench.clock.advance(Duration::from_secs(899));
    bench.look().await.unwrap();
    bench.clock.advance(Duration::from_secs(2));
    bench.look().await.unwrap();
    assert_eq!(
        bearers(&bench.server),
        ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
    );
}

#[tokio::test]
async fn a_wall_clock_that_is_set_does_not_prolong_a_token() {
    let server = granting(1_000, |_| Says::json(200, &living())).await;
    let bench = Bench::before(Account::KajabiClient, server);
    bench.look().await.unwrap();
    bench.clock.advance(Duration::from_secs(999));
    bench.clock.set_wall(instant(super::NOW));
    bench.look().await.unwrap();
    assert_eq!(bearers(&bench.server), ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn no_answer_makes_a_token_live_for_longer_than_two_hours() {
    for expires_in in [
        json!(31_536_000),
        json!(1e300),
        json!(18_446_744_073_709_551_615_u64),
    ] {
        let answers = [
            grant("token-1", &expires_in),
            Says::json(200, &living()),
            grant("token-2", &expires_in),
            Says::json(200, &living()),
        ];
        let bench = Bench::scripted(Account::KajabiClient, answers).await;
        bench.look().await.unwrap();
        bench.clock.advance(Duration::from_secs(2 * 60 * 60));
        bench.look().await.unwrap();
        assert_eq!(bench.server.lines(), [TOKEN, LOOK, TOKEN, LOOK]);
    }
}

#[tokio::test]
async fn a_token_whose_life_is_not_told_is_used_for_a_while() {
    for expires_in in [json!(null), json!(0), json!(-5)] {
        let answers = [
            grant("token-1", &expires_in),
            Says::json(200, &living()),
            Says::json(200, &living()),
        ];
        let bench = Bench::scripted(Account::KajabiClient, answers).await;
        bench.look().await.unwrap();
        bench.clock.advance(Duration::from_secs(60));
        bench.look().await.unwrap();
        assert_eq!(bench.server.lines(), [TOKEN, LOOK, LOOK]);
    }
}

#[tokio::test]
async fn a_look_that_is_401_is_asked_again_once_with_a_new_token() {
    let server = granting(7200, |seen| {
        if seen.all("authorization") == ["Bearer token-1"] {
            Says::json(401, &error(401))
        } else {
            Says::json(200, &living())
        }
    })
    .await;
    let bench = Bench::before(Account::KajabiClient, server);
    bench.look().await.unwrap();
    assert_eq!(bench.server.lines(), [TOKEN, LOOK, TOKEN, LOOK]);
}

#[tokio::test]
async fn a_second_401_is_the_credentials_fault() {
    let server = granting(7200, |_| Says::json(401, &error(401))).await;
    let bench = Bench::before(Account::KajabiClient, server);
    let look = bench.look().await;
    assert!(is_credentials(&look), "{look:?}");
    assert_eq!(bench.server.lines(), [TOKEN, LOOK, TOKEN, LOOK]);
}

#[tokio::test]
async fn a_ready_token_that_is_401_is_not_asked_with_again() {
    let bench = Bench::scripted(Account::KajabiToken, [Says::json(401, &error(401))]).await;
    let look = bench.look().await;
    assert!(is_credentials(&look), "{look:?}");
    assert_eq!(bench.server.lines(), [LOOK]);
}

#[tokio::test]
async fn a_write_that_is_401_is_not_repeated_and_the_next_has_a_new_token() {
    let intent = Account::KajabiClient.intent().await;
    let server = granting(7200, |_| Says::json(401, &error(401))).await;
    let bench = Bench::before(Account::KajabiClient, server);
    assert_eq!(bench.send(&intent).await, Answer::Unauthorized);
    assert_eq!(bench.server.lines(), [TOKEN, CANCEL]);
    assert_eq!(bench.send(&intent).await, Answer::Unauthorized);
    assert_eq!(bearers(&bench.server), ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn each_answer_to_the_token_request_has_its_meaning() {
    let asked = |says| reading(Account::KajabiClient, vec![says]);
    for status in [400, 401, 403] {
        let look = asked(Says::json(status, &json!({ "error": "invalid_client" }))).await;
        let Err(LookError::Credentials { why }) = look else {
            panic!("{status}: {look:?}");
        };
        assert!(why.contains("invalid_client"), "{why}");
    }
    for says in [
        Says::json(500, &json!({ "error": "oops" })),
        Says::json(404, &json!({ "error": "oops" })),
        Says::text(200, "<html>"),
        Says::text(200, ""),
        Says::json(200, &json!({ "token_type": "Bearer" })),
        Says::nothing(),
    ] {
        let look = asked(says).await;
        assert!(is_unavailable(&look), "{look:?}");
    }
    let look = asked(Says::text(429, "").with("retry-after", "7")).await;
    let retry_after = Duration::from_secs(7);
    assert_eq!(look, Err(LookError::Throttled { retry_after }));
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_sent_nowhere() {
    let intent = Account::KajabiClient.intent().await;
    let evil = "a\r\nx-evil: 1";
    let bench = Bench::scripted(
        Account::KajabiClient,
        [grant(evil, &json!(7200)), Says::text(200, "")],
    )
    .await;
    let look = bench.look().await;
    assert!(is_credentials(&look), "{look:?}");
    let answer = bench.send(&intent).await;
    assert!(is_not_sent(&answer), "{answer:?}");
    assert_eq!(bench.server.lines(), [TOKEN]);
}

#[tokio::test]
async fn a_cancel_for_which_no_token_can_be_had_is_not_sent() {
    let intent = Account::KajabiClient.intent().await;
    for says in [
        Says::json(401, &json!({ "error": "invalid_client" })),
        Says::text(500, ""),
        Says::text(503, ""),
        Says::nothing(),
    ] {
        let bench = Bench::scripted(Account::KajabiClient, [says]).await;
        let answer = bench.send(&intent).await;
        assert!(is_not_sent(&answer), "{answer:?}");
        assert_eq!(bench.server.lines(), [TOKEN]);
    }
}
