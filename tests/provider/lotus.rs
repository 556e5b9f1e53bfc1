//! Lotus, against its source (uselotus/lotus, commit 0ea71f7).

use std::collections::BTreeMap;

use lapsed::model::act::{Action, Answer};
use lapsed::model::observed::{Billing, Life, Look, Observed, Subscription, Successor};
use lapsed::model::provider::ExpectField;
use lapsed::model::terms::{Behaviors, FlatFeeBehavior, InvoicingBehavior, UsageBehavior};
use lapsed::provider::LookError;
use serde_json::{Value, json};

use super::server::{Says, http};
use super::{
    Account, Bench, LOTUS_KEY, LOTUS_TOKEN, instant, is_credentials, is_not_sent, is_unavailable,
    is_unclear, meaning, reading, refused,
};

pub const ID: &str = "sub_65aa0000000040008000000000000001";
const NEXT: &str = "sub_65aa0000000040008000000000000002";

const LOOK: &str = "GET /api/subscriptions/sub_65aa0000000040008000000000000001/";
const LIST: &str = "GET /api/subscriptions/?customer_id=cust+1%2F%26&status=active&status=ended&status=not_started";
const CANCEL: &str = "POST /api/subscriptions/sub_65aa0000000040008000000000000001/cancel/";

/// [`super::NOW`], as a server's `Date`.
const DATE: &str = "Tue, 24 Nov 2026 12:00:00 GMT";

/// A record as section 2.3 has it, with whatever names a person.
pub fn record(id: &str, start: &str, end: &str, auto_renew: bool) -> Value {
    json!({
        "subscription_id": id,
        "start_date": start,
        "end_date": end,
        "auto_renew": auto_renew,
        "is_new": true,
        "subscription_filters": [],
        "customer": {
            "customer_name": "Jane Canary",
            "email": "jane.canary@example.com",
            "customer_id": "cust 1/&",
        },
        "billing_plan": { "plan_name": "Gold", "plan_id": "plan_1", "version": 1 },
        "fully_billed": false,
        "addons": [],
        "metadata": { "card": "4111111111111111" },
    })
}

fn runs() -> Value {
    record(ID, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", true)
}

/// Ended by a cancel in the very second of [`DATE`].
fn over() -> Value {
    let end = "2026-11-24T07:00:00.891981-05:00";
    record(ID, "2026-11-01T00:00:00Z", end, false)
}

pub fn cancelled() -> Value {
    over()
}

pub fn living() -> Vec<Says> {
    answers(&runs(), &json!([runs()]))
}

/// What a look is answered: the record, then its customer's list.
fn answers(record: &Value, list: &Value) -> Vec<Says> {
    vec![
        Says::json(200, record).with("date", DATE),
        Says::json(200, list).with("date", DATE),
    ]
}

/// What is read of one record that stands in its customer's list.
async fn observe(list: &[Value]) -> Subscription {
    let look = reading(Account::LotusKey, answers(&list[0], &json!(list))).await;
    match look.unwrap().observed {
        Observed::Found(found) => found,
        other => panic!("{other:?}"),
    }
}

fn error(title: &str, detail: &str) -> Value {
    json!({
        "type": "https://docs.uselotus.io/errors/error-responses#validation-error",
        "detail": detail,
        "title": title,
        "validation_errors": [{ "code": title, "detail": detail, "attr": "customer_id" }],
    })
}

fn all_at_their_defaults() -> Behaviors {
    Behaviors {
        flat_fee: None,
        usage: UsageBehavior::BillFull,
        invoicing: InvoicingBehavior::InvoiceNow,
    }
}

#[tokio::test]
async fn a_look_asks_for_the_record_and_for_its_customers_whole_list() {
    let bench = Bench::scripted(Account::LotusKey, living()).await;
    let look = bench.look().await.unwrap();
    assert_eq!(
        look,
        Look {
            observed: Observed::Found(Subscription {
                life: Life::Active,
                billing: Billing::Recurring,
                facts: BTreeMap::from([
                    (ExpectField::Customer, "cust 1/&".to_owned()),
                    (ExpectField::Plan, "plan_1".to_owned()),
                ]),
                period_end: Some(instant("2026-12-01T00:00:00Z")),
                successor: None,
            }),
            at: instant(super::NOW),
            server_date: Some(instant(super::NOW)),
        }
    );
    assert_eq!(bench.server.lines(), [LOOK, LIST]);
    assert_eq!(bench.requests(), [("look", "2xx"), ("list", "2xx")]);
}

#[tokio::test]
async fn a_cancel_always_names_all_three_behaviours() {
    let behaviors = [
        (
            all_at_their_defaults(),
            json!({
                "flat_fee_behavior": null,
                "usage_behavior": "bill_full",
                "invoicing_behavior": "invoice_now",
            }),
        ),
        (
            Behaviors {
                flat_fee: Some(FlatFeeBehavior::ChargeProrated),
                usage: UsageBehavior::BillNone,
                invoicing: InvoicingBehavior::AddToNextInvoice,
            },
            json!({
                "flat_fee_behavior": "charge_prorated",
                "usage_behavior": "bill_none",
                "invoicing_behavior": "add_to_next_invoice",
            }),
        ),
        (
            Behaviors {
                flat_fee: Some(FlatFeeBehavior::Refund),
                ..all_at_their_defaults()
            },
            json!({
                "flat_fee_behavior": "refund",
                "usage_behavior": "bill_full",
                "invoicing_behavior": "invoice_now",
            }),
        ),
        (
            Behaviors {
                flat_fee: Some(FlatFeeBehavior::ChargeFull),
                ..all_at_their_defaults()
            },
            json!({
                "flat_fee_behavior": "charge_full",
                "usage_behavior": "bill_full",
                "invoicing_behavior": "invoice_now",
            }),
        ),
    ];
    for (behaviors, expected) in behaviors {
        let action = Action::Cancel {
            reason: Some("a reason that Lotus does not take".to_owned()),
            behaviors: Some(behaviors),
        };
        let intent = Account::LotusKey.intent_to(action).await;
        let bench = Bench::scripted(Account::LotusKey, [Says::json(200, &cancelled())]).await;
        assert_eq!(bench.send(&intent).await, Answer::Accepted);
        let seen = bench.server.only();
        assert_eq!(seen.line, CANCEL);
        assert_eq!(seen.all("content-type"), ["application/json"]);
        let body: Value = serde_json::from_str(&seen.body).unwrap();
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn a_cancel_whose_behaviours_nobody_chose_is_not_sent() {
    let without = Action::Cancel {
        reason: None,
        behaviors: None,
    };
    for action in [without, Action::ConfirmCancel] {
        let intent = Account::LotusKey.intent_to(action).await;
        let bench = Bench::scripted(Account::LotusKey, []).await;
        let answer = bench.send(&intent).await;
        assert!(is_not_sent(&answer), "{answer:?}");
        assert_eq!(bench.server.connections(), 0);
    }
}

#[tokio::test]
async fn every_request_has_exactly_one_header_that_authenticates() {
    for account in [Account::LotusKey, Account::LotusToken] {
        let intent = account.intent().await;
        let mut script = living();
        script.push(Says::json(200, &cancelled()));
        let bench = Bench::scripted(account, script).await;
        bench.look().await.unwrap();
        bench.send(&intent).await;
        let seen = bench.server.seen();
        assert_eq!(seen.len(), 3);
        let token = format!("Token {LOTUS_TOKEN}");
        for seen in seen {
            let sent = (seen.all("x-api-key"), seen.all("authorization"));
            if account == Account::LotusKey {
                assert_eq!(sent, (vec![LOTUS_KEY], vec![]));
            } else {
                assert_eq!(sent, (vec![], vec![token.as_str()]));
            }
        }
    }
}

#[tokio::test]
async fn dates_and_renewal_say_where_a_record_stands() {
    let ended = |at: &str| Life::Ended {
        at: Some(instant(at)),
    };
    let renews = || Life::Unclear {
        status: "over, and still set to renew".to_owned(),
    };
    let begun = "2026-11-01T00:00:00Z";
    for (start, end, auto_renew, life) in [
        (begun, "2026-12-01T00:00:00Z", true, Life::Active),
        (begun, "2026-12-01T00:00:00Z", false, {
            let at = instant("2026-12-01T00:00:00Z");
            Life::Ending { at }
        }),
        (
            begun,
            "2026-11-23T00:00:00Z",
            false,
            ended("2026-11-23T00:00:00Z"),
        ),
        // Over, but the hourly job may still renew it.
        (begun, "2026-11-23T00:00:00Z", true, renews()),
        // In the same second as `Date`, which has whole seconds.
        (begun, "2026-11-24T12:00:00.999999Z", false, {
            ended("2026-11-24T12:00:00.999999Z")
        }),
        (begun, "2026-11-24T12:00:00.999999Z", true, renews()),
        (begun, "2026-11-24T12:00:01Z", false, {
            let at = instant("2026-11-24T12:00:01Z");
            Life::Ending { at }
        }),
        (begun, "2026-11-24T12:00:01Z", true, Life::Active),
        // Another zone's spelling of the same second.
        (begun, "2026-11-24T07:00:00.5-05:00", false, {
            ended("2026-11-24T12:00:00.5Z")
        }),
        ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", true, {
            let starts_at = instant("2026-12-01T00:00:00Z");
            Life::NotStarted { starts_at }
        }),
        ("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z", false, {
            let starts_at = instant("2026-12-01T00:00:00Z");
            Life::NotStarted { starts_at }
        }),
    ] {
        let found = observe(&[record(ID, start, end, auto_renew)]).await;
        assert_eq!(found.life, life, "{start} {end} {auto_renew}");
        assert_eq!(found.period_end, Some(instant(end)));
    }
}

#[tokio::test]
async fn the_date_of_the_list_decides_and_ours_where_it_has_none() {
    // A minute later than the first answer: what was running has ended by then.
    let ends = record(ID, "2026-11-01T00:00:00Z", "2026-11-24T12:00:30Z", false);
    let list = Says::json(200, &json!([ends]));
    let first = Says::json(200, &ends).with("date", DATE);
    let later = list.clone().with("date", "Tue, 24 Nov 2026 12:01:00 GMT");
    let look = reading(Account::LotusKey, vec![first.clone(), later]).await;
    let look = look.unwrap();
    let is_ended = |look: &Look| matches!(&look.observed, Observed::Found(it) if matches!(it.life, Life::Ended { .. }));
    assert!(is_ended(&look), "{look:?}");
    assert_eq!(look.server_date, Some(instant("2026-11-24T12:01:00Z")));

    let look = reading(Account::LotusKey, vec![first, list]).await.unwrap();
    assert!(!is_ended(&look), "{look:?}");
}

#[tokio::test]
async fn what_the_list_says_of_a_record_counts_and_not_the_first_answer() {
    let look = reading(Account::LotusKey, answers(&over(), &json!([runs()]))).await;
    let Observed::Found(found) = look.unwrap().observed else {
        panic!("not found");
    };
    assert_eq!(found.life, Life::Active);
}

#[tokio::test]
async fn a_record_that_goes_on_after_the_end_is_its_successor() {
    let next = |start: &str| record(NEXT, start, "2027-01-01T00:00:00Z", true);
    let starts = "2026-11-25T00:00:00Z";
    let found = observe(&[over(), next(starts)]).await;
    assert_eq!(
        found.successor,
        Some(Successor {
            id: NEXT.to_owned(),
            starts_at: instant(starts),
        })
    );
    // Of several, the earliest; starting in the very moment of the end counts.
    let third = "sub_65aa0000000040008000000000000003";
    let later = record(third, "2026-12-25T00:00:00Z", "2027-02-01T00:00:00Z", true);
    let at_the_end = next("2026-11-24T12:00:00.891981Z");
    let found = observe(&[over(), later, at_the_end]).await;
    assert_eq!(found.successor.unwrap().id, NEXT);
}

#[tokio::test]
async fn no_other_record_is_a_successor() {
    let starts = "2026-11-25T00:00:00Z";
    let next = record(NEXT, starts, "2027-01-01T00:00:00Z", true);
    let mut other_plan = next.clone();
    other_plan["billing_plan"]["plan_id"] = json!("plan_2");
    let before = record(NEXT, "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z", true);
    let gone = record(
        NEXT,
        "2026-11-24T12:00:00.95Z",
        "2026-11-24T12:00:00Z",
        false,
    );
    for other in [other_plan, before, gone] {
        let found = observe(&[over(), other.clone()]).await;
        assert_eq!(found.successor, None, "{other}");
    }
}

#[tokio::test]
async fn add_ons_are_no_records_of_their_own() {
    let mut parent = over();
    parent["addons"] = json!([{
        "addon_subscription_id": "addon_sub_65aa0000000040008000000000000002",
        "addon": { "addon_name": "More", "addon_id": "addon_1" },
    }]);
    // Like a successor in everything but that it is an add-on.
    let addon = record(NEXT, "2026-11-25T00:00:00Z", "2027-01-01T00:00:00Z", true);
    let found = observe(&[parent, addon.clone()]).await;
    assert_eq!(found.successor, None);
    let found = observe(&[over(), addon]).await;
    assert!(found.successor.is_some());
}

#[tokio::test]
async fn an_id_that_its_customers_list_does_not_have_is_not_ours() {
    let other = record(NEXT, "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", true);
    for list in [json!([]), json!([other])] {
        let look = reading(Account::LotusKey, answers(&runs(), &list)).await;
        let observed = look.unwrap().observed;
        assert!(matches!(observed, Observed::NotOurs { .. }), "{observed:?}");
    }
    let script = vec![
        Says::json(200, &runs()),
        Says::json(400, &error("does_not_exist", "no customer cust 1/&")),
    ];
    let observed = reading(Account::LotusKey, script).await.unwrap().observed;
    assert!(matches!(observed, Observed::NotOurs { .. }), "{observed:?}");
}

#[tokio::test]
async fn a_list_that_cannot_be_read_leaves_it_open_whose_it_is() {
    let first = || Says::json(200, &runs());
    let mut cut = json!([runs()]).to_string();
    cut.truncate(cut.len() - 5);
    let mut strange = runs();
    strange["end_date"] = json!(null);
    for says in [
        Says::json(400, &error("required", "customer_id")),
        Says::text(400, "<html>"),
        Says::json(404, &error("resource_not_found", "no")),
        Says::json(500, &error("error", "no")),
        Says::json(200, &runs()),
        Says::json(200, &json!([strange])),
        Says::text(200, &cut),
        Says::text(200, ""),
        Says::nothing(),
        Says::Breaks(http(200, &[], &[b'['; 200])[..60].to_vec()),
    ] {
        let look = reading(Account::LotusKey, vec![first(), says]).await;
        assert!(is_unavailable(&look), "{look:?}");
    }
    let says = Says::json(401, &error("not_authenticated", "no"));
    let look = reading(Account::LotusKey, vec![first(), says]).await;
    assert!(is_credentials(&look), "{look:?}");
    let says = Says::text(429, "").with("retry-after", "9");
    let look = reading(Account::LotusKey, vec![first(), says]).await;
    assert!(matches!(look, Err(LookError::Throttled { .. })), "{look:?}");
}

#[tokio::test]
async fn every_spelling_of_the_id_is_the_same_record() {
    for spelling in [
        "65aa0000000040008000000000000001",
        "sub_65AA0000-0000-4000-8000-000000000001",
    ] {
        let spelled = record(
            spelling,
            "2026-11-01T00:00:00Z",
            "2026-12-01T00:00:00Z",
            true,
        );
        assert_eq!(
            observe(std::slice::from_ref(&spelled)).await.life,
            Life::Active
        );
        let intent = Account::LotusKey.intent().await;
        let says = Says::json(200, &spelled);
        let answer = meaning(Account::LotusKey, &intent, says).await;
        assert_eq!(answer, Answer::Accepted);
    }
}

#[tokio::test]
async fn each_documented_status_of_a_look_has_its_meaning() {
    let says = |status| vec![Says::json(status, &error("title", "words"))];
    let look = reading(Account::LotusKey, says(404)).await;
    assert_eq!(look.unwrap().observed, Observed::NotFound);
    for status in [401, 403] {
        let look = reading(Account::LotusKey, says(status)).await;
        assert!(is_credentials(&look), "{status}: {look:?}");
    }
    for status in [400, 405, 500] {
        let look = reading(Account::LotusKey, says(status)).await;
        assert!(is_unavailable(&look), "{status}: {look:?}");
    }
}

#[tokio::test]
async fn each_answer_to_a_cancel_has_its_meaning() {
    let intent = Account::LotusKey.intent().await;
    for (status, title, detail) in [
        (400, "invalid_state", "Subscription already ended"),
        (400, "invalid_choice", "\"prorate\" is not a valid choice."),
        (400, "null", "This field may not be null."),
        (404, "resource_not_found", "Subscription not found"),
        (405, "method_not_allowed", "Method not allowed."),
        (415, "unsupported_media_type", "Unsupported media type"),
    ] {
        let says = Says::json(status, &error(title, detail));
        let answer = meaning(Account::LotusKey, &intent, says).await;
        assert_eq!(answer, refused(status, &format!("{title}: {detail}")));
    }
    let says = Says::json(401, &error("not_authenticated", "no"));
    let answer = meaning(Account::LotusKey, &intent, says).await;
    assert_eq!(answer, Answer::Unauthorized);
    let says = Says::json(403, &error("permission_denied", "no"));
    let answer = meaning(Account::LotusKey, &intent, says).await;
    assert_eq!(answer, Answer::Forbidden);
    for status in [201, 204, 301, 409, 422, 500, 502] {
        let says = Says::json(status, &cancelled());
        let answer = meaning(Account::LotusKey, &intent, says).await;
        assert!(is_unclear(&answer), "{status}: {answer:?}");
    }
}

#[tokio::test]
async fn fully_billed_says_nothing_of_success() {
    let intent = Account::LotusKey.intent().await;
    for fully_billed in [true, false] {
        let mut body = cancelled();
        body["fully_billed"] = json!(fully_billed);
        let answer = meaning(Account::LotusKey, &intent, Says::json(200, &body)).await;
        assert_eq!(answer, Answer::Accepted);
    }
}

#[tokio::test]
async fn ping_tells_a_keys_organization() {
    let ping = json!({ "organization_id": "org_1" });
    let bench = Bench::scripted(Account::LotusKey, [Says::json(200, &ping)]).await;
    assert_eq!(bench.reader.account().await.unwrap(), "org_1");
    let seen = bench.server.only();
    assert_eq!(seen.line, "GET /api/ping/");
    assert_eq!(seen.all("x-api-key"), [LOTUS_KEY]);
    assert_eq!(bench.requests(), [("account", "2xx")]);
}

#[tokio::test]
async fn ping_that_says_no_is_told_and_not_guessed_at() {
    for (says, credentials) in [
        (Says::json(401, &error("not_authenticated", "no")), true),
        (Says::json(403, &error("permission_denied", "no")), true),
        (Says::json(500, &error("error", "no")), false),
        (Says::text(200, "{}"), false),
    ] {
        let bench = Bench::scripted(Account::LotusKey, [says]).await;
        match bench.reader.account().await {
            Err(LookError::Credentials { .. }) => assert!(credentials),
            Err(LookError::Unavailable { .. }) => assert!(!credentials),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_login_token_does_not_ask_for_an_organization() {
    let bench = Bench::scripted(Account::LotusToken, []).await;
    assert_eq!(bench.reader.account().await.unwrap(), "login token");
    assert_eq!(bench.server.connections(), 0);
}
