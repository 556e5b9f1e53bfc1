//! Revere, against `DOCS subscriptions/get` and `DOCS subscriptions/cancel`.

use std::collections::BTreeMap;

use lapsed::model::act::{Action, Answer};
use lapsed::model::observed::{Billing, Life, Observed, Subscription};
use lapsed::model::provider::ExpectField;
use serde_json::{Value, json};

use super::server::Says;
use super::{
    Account, Bench, REVERE_KEY, instant, is_credentials, is_unavailable, is_unclear, meaning,
    reading, refused,
};

pub const ID: &str = "5f0b8ad1-3a0e-4c3f-9a58-0d6f6a2d1c11";

const PATH: &str = "/api/v1/groups/group-1/revere_pay/linked-2/recurring/subscription";

/// The documents' object, with whatever names a person.
pub fn subscription(status: &Value) -> Value {
    json!({
        "id": ID,
        "plan_id": "1c9d42a4-7b69-4a6c-8f4e-3f1e6f0a7c22",
        "duration": 0,
        "amounts": { "amount": 1000, "tax_amount": 0, "shipping_amount": 0 },
        "billing_cycle": "monthly",
        "billing_factor": 1,
        "next_bill_date": "2026-12-01T00:00:00Z",
        "description": "Jane Canary's gift",
        "currency": "USD",
        "processor_id": "processor-1",
        "retry_count": 3,
        "trial_period_days": 0,
        "payment_method": "card",
        "payment_details": { "card": {
            "brand": "visa", "first_six": "411111", "last_four": "1111",
        } },
        "billing_address": { "address": {
            "first_name": "Jane", "last_name": "Canary", "email": "jane.canary@example.com",
            "line_1": "1 Canary Wharf",
        } },
        "status": status,
        "gateway_customer_id": "gateway-7",
        "metadata": { "charge_count": 4, "cancel_reason": "Customer request" },
    })
}

pub fn living() -> Value {
    json!({ "data": subscription(&json!("active")) })
}

pub fn cancelled() -> Value {
    subscription(&json!("canceled"))
}

fn found(life: Life) -> Subscription {
    Subscription {
        life,
        billing: Billing::Recurring,
        facts: BTreeMap::from([
            (ExpectField::Customer, "gateway-7".to_owned()),
            (
                ExpectField::Plan,
                "1c9d42a4-7b69-4a6c-8f4e-3f1e6f0a7c22".to_owned(),
            ),
        ]),
        period_end: Some(instant("2026-12-01T00:00:00Z")),
        successor: None,
    }
}

fn with_reason(reason: &str) -> Action {
    Action::Cancel {
        reason: Some(reason.to_owned()),
        behaviors: None,
    }
}

#[tokio::test]
async fn a_look_is_one_get_with_the_raw_key() {
    let bench = Bench::scripted(Account::Revere, [Says::json(200, &living())]).await;
    assert_eq!(bench.found().await, found(Life::Active));
    let seen = bench.server.only();
    assert_eq!(seen.line, format!("GET {PATH}/{ID}"));
    assert_eq!(seen.all("authorization"), [REVERE_KEY]);
    assert_eq!(seen.body, "");
}

#[tokio::test]
async fn a_cancel_is_the_documents_put_with_the_reason_word_for_word() {
    let reason = "Customer said: \"no more\" \\ ünd <b>ok</b>\n\u{1f600}";
    let intent = Account::Revere.intent_to(with_reason(reason)).await;
    let bench = Bench::scripted(Account::Revere, [Says::json(200, &cancelled())]).await;
    assert_eq!(bench.send(&intent).await, Answer::Accepted);
    let seen = bench.server.only();
    assert_eq!(seen.line, format!("PUT {PATH}/{ID}/cancel"));
    assert_eq!(seen.all("authorization"), [REVERE_KEY]);
    assert_eq!(seen.all("content-type"), ["application/json"]);
    let body: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(body, json!({ "reason": reason }));
    let length = seen.body.len().to_string();
    assert_eq!(seen.all("content-length"), [length.as_str()]);
}

#[tokio::test]
async fn a_cancel_without_a_reason_names_none() {
    let intent = Account::Revere.intent().await;
    let bench = Bench::scripted(Account::Revere, [Says::json(200, &cancelled())]).await;
    assert_eq!(bench.send(&intent).await, Answer::Accepted);
    let seen = bench.server.only();
    assert_eq!(seen.line, format!("PUT {PATH}/{ID}/cancel"));
    assert_eq!(seen.body, "{}");
}

#[tokio::test]
async fn a_write_carries_no_header_beyond_the_documents_and_the_clients_own() {
    let intent = Account::Revere.intent_to(with_reason("Fraud")).await;
    let bench = Bench::scripted(Account::Revere, [Says::json(200, &cancelled())]).await;
    bench.send(&intent).await;
    let seen = bench.server.only();
    let names: Vec<&str> = seen
        .names()
        .into_iter()
        .filter(|name| !name.starts_with("accept"))
        .collect();
    assert_eq!(
        names,
        [
            "authorization",
            "content-length",
            "content-type",
            "host",
            "user-agent"
        ]
    );
    assert_eq!(
        seen.all("user-agent"),
        [concat!("lapsed/", env!("CARGO_PKG_VERSION"))]
    );
}

#[tokio::test]
async fn either_envelope_is_opened_of_either_call() {
    for body in [living(), subscription(&json!("active"))] {
        let look = reading(Account::Revere, vec![Says::json(200, &body)]).await;
        assert_eq!(
            look.unwrap().observed,
            Observed::Found(found(Life::Active)),
            "{body}"
        );
    }
    let intent = Account::Revere.intent().await;
    for body in [cancelled(), json!({ "data": cancelled() })] {
        let answer = meaning(Account::Revere, &intent, Says::json(200, &body)).await;
        assert_eq!(answer, Answer::Accepted, "{body}");
    }
}

#[tokio::test]
async fn only_a_documented_status_says_that_it_lives_or_has_ended() {
    let unclear = |word: &str| Life::Unclear {
        status: word.to_owned(),
    };
    let ended = Life::Ended { at: None };
    for (status, life) in [
        ("active", Life::Active),
        ("ACTIVE", Life::Active),
        ("canceled", ended.clone()),
        ("Cancelled", ended),
        ("failed", Life::Lapsing),
        ("paused", unclear("paused")),
        ("deleted", unclear("deleted")),
        ("inactive", unclear("inactive")),
        ("not canceled", unclear("not canceled")),
        ("", unclear("")),
        ("of jo@example.com", unclear("of [masked]")),
    ] {
        let body = json!({ "data": subscription(&json!(status)) });
        let look = reading(Account::Revere, vec![Says::json(200, &body)]).await;
        assert_eq!(
            look.unwrap().observed,
            Observed::Found(found(life)),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_subscription_without_a_status_is_not_taken_for_anything() {
    let mut without = subscription(&json!("active"));
    without.as_object_mut().unwrap().remove("status");
    for body in [without, subscription(&json!(null)), subscription(&json!(7))] {
        let look = reading(Account::Revere, vec![Says::json(200, &body)]).await;
        assert!(is_unavailable(&look), "{look:?}");
    }
}

#[tokio::test]
async fn what_a_look_tells_beyond_the_status_may_be_missing() {
    let body = json!({ "data": { "id": ID, "status": "active", "next_bill_date": null } });
    let look = reading(Account::Revere, vec![Says::json(200, &body)]).await;
    let Observed::Found(found) = look.unwrap().observed else {
        panic!("not found");
    };
    assert_eq!(found.life, Life::Active);
    assert_eq!((found.facts.len(), found.period_end), (0, None));
}

#[tokio::test]
async fn an_id_is_the_same_in_either_case() {
    let mut body = cancelled();
    body["id"] = json!(ID.to_uppercase());
    let look = reading(Account::Revere, vec![Says::json(200, &body)]).await;
    assert!(matches!(look.unwrap().observed, Observed::Found(_)));
    let intent = Account::Revere.intent().await;
    let answer = meaning(Account::Revere, &intent, Says::json(200, &body)).await;
    assert_eq!(answer, Answer::Accepted);
}

#[tokio::test]
async fn each_documented_status_of_a_look_has_its_meaning() {
    let error = json!({ "message": "no" });
    let says = |status| vec![Says::json(status, &error)];
    let look = reading(Account::Revere, says(404)).await;
    assert_eq!(look.unwrap().observed, Observed::NotFound);
    for status in [400, 500] {
        let look = reading(Account::Revere, says(status)).await;
        assert!(is_unavailable(&look), "{status}: {look:?}");
    }
    for status in [401, 403] {
        let look = reading(Account::Revere, says(status)).await;
        assert!(is_credentials(&look), "{status}: {look:?}");
    }
}

#[tokio::test]
async fn each_answer_to_a_cancel_has_its_meaning() {
    let intent = Account::Revere.intent().await;
    for (says, expected) in [
        (
            Says::json(400, &json!({ "message": "already canceled" })),
            refused(400, "already canceled"),
        ),
        (
            Says::json(400, &json!({ "error": { "message": "bad id" } })),
            refused(400, "bad id"),
        ),
        (
            Says::json(404, &json!({ "errors": ["not there"] })),
            refused(404, "not there"),
        ),
        (
            Says::text(405, "<html>Method not allowed</html>"),
            refused(405, "no words that can be shown"),
        ),
        (Says::text(401, "{}"), Answer::Unauthorized),
        (Says::text(403, "{}"), Answer::Forbidden),
    ] {
        assert_eq!(meaning(Account::Revere, &intent, says).await, expected);
    }
    for status in [201, 204, 402, 409, 422, 423, 500, 502, 504] {
        let says = Says::json(status, &cancelled());
        let answer = meaning(Account::Revere, &intent, says).await;
        assert!(is_unclear(&answer), "{status}: {answer:?}");
    }
}

#[tokio::test]
async fn nobody_is_asked_whose_account_it_is() {
    let bench = Bench::scripted(Account::Revere, []).await;
    let account = bench.reader.account().await;
    assert_eq!(account.unwrap(), "group-1/linked-2");
    assert_eq!(bench.server.connections(), 0);
}
