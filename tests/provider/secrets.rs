//! What names a person, and what is secret, comes out of no adapter.
//!
//! A provider's own words of a refusal are shown, masked: a name in them cannot be told from
//! any other word, so that names are looked for everywhere but there.

use lapsed::model::act::Answer;
use lapsed::model::observed::Observed;
use lapsed::provider::{LookError, Setup};
use serde_json::{Value, json};

use super::server::Says;
use super::{
    Account, Bench, KAJABI_CLIENT_ID, KAJABI_CLIENT_SECRET, KAJABI_TOKEN, LOTUS_KEY, LOTUS_TOKEN,
    REVERE_KEY, lotus,
};

/// Never shown, wherever it stood.
const CANARIES: [&str; 10] = [
    "jane.canary",
    "example.com",
    "4111",
    "411111",
    "0199",
    "sk_live_7Q2wE9rT5yU1iO3pA8",
    "7Q2wE9rT5yU1",
    "eyJhbGciOiJIUzI1NiJ9",
    "refresh-canary",
    "2002-02-02",
];

/// Names; shown only where a provider's own words of a refusal are.
const NAMES: [&str; 2] = ["Jane", "Canary"];

const SECRETS: [&str; 6] = [
    KAJABI_TOKEN,
    KAJABI_CLIENT_ID,
    KAJABI_CLIENT_SECRET,
    REVERE_KEY,
    LOTUS_KEY,
    LOTUS_TOKEN,
];

fn assert_silent(debug: &str) {
    assert_masked(debug);
    for name in NAMES {
        assert!(!debug.contains(name), "{name} in {debug}");
    }
}

fn assert_masked(debug: &str) {
    for canary in CANARIES.iter().chain(&SECRETS) {
        assert!(!debug.contains(canary), "{canary} in {debug}");
    }
}

/// Plants what must not be shown beside everything that an object has.
fn planted(body: &Value) -> Value {
    let mut body = body.clone();
    let plant = |object: &mut Value| {
        let object = object.as_object_mut().unwrap();
        for key in ["note", "name", "message", "detail", "title", "error"] {
            object.insert(key.to_owned(), json!("Jane Canary jane.canary@example.com 4111111111111111 sk_live_7Q2wE9rT5yU1iO3pA8 2002-02-02"));
        }
    };
    plant(&mut body);
    if let Some(data) = body.get_mut("data") {
        plant(data);
        if let Some(attributes) = data.get_mut("attributes") {
            plant(attributes);
        }
    }
    body
}

fn body_of(account: Account) -> Value {
    planted(&serde_json::from_str(&account.cancelled()).unwrap())
}

fn answers(account: Account, status: u16) -> Vec<Says> {
    let body = body_of(account);
    let mut answers = vec![Says::json(status, &body)];
    if matches!(account, Account::LotusKey) && status == 200 {
        answers.push(Says::json(200, &json!([body])));
    }
    answers
}

#[tokio::test]
async fn a_look_shows_nothing_that_names_a_person() {
    for account in Account::EACH {
        let bench = Bench::scripted(account, answers(account, 200)).await;
        let look = bench.look().await.unwrap();
        assert_silent(&format!("{look:?}"));
        assert_silent(&serde_json::to_string(&look).unwrap());
    }
}

#[tokio::test]
async fn no_answer_but_a_refusal_shows_a_word_of_a_body() {
    for account in Account::EACH {
        let intent = account.intent().await;
        for status in [200, 201, 301, 401, 403, 409, 429, 500, 502, 503] {
            let bench = Bench::scripted(account, [Says::json(status, &body_of(account))]).await;
            let answer = bench.send(&intent).await;
            assert_silent(&format!("{answer:?}"));
        }
        for body in [
            "Jane Canary jane.canary@example.com",
            "<b>Jane</b> 4111111111111111",
        ] {
            for status in [200, 400, 404, 422, 500] {
                let bench = Bench::scripted(account, [Says::text(status, body)]).await;
                let answer = bench.send(&intent).await;
                assert_silent(&format!("{answer:?}"));
            }
        }
    }
}

#[tokio::test]
async fn no_reading_that_failed_shows_a_word_of_a_body_but_of_the_credentials() {
    for account in Account::EACH {
        for status in [201, 301, 400, 409, 422, 429, 500, 502, 503] {
            let bench = Bench::scripted(account, answers(account, status)).await;
            let error = bench.look().await.unwrap_err();
            assert_silent(&format!("{error:?} {error}"));
        }
        for status in [401, 403] {
            let bench = Bench::scripted(account, answers(account, status)).await;
            let error = bench.look().await.unwrap_err();
            assert!(matches!(error, LookError::Credentials { .. }), "{error:?}");
            assert_masked(&format!("{error:?} {error}"));
        }
    }
}

#[tokio::test]
async fn a_refusals_words_are_masked_and_short() {
    for account in Account::EACH {
        let intent = account.intent().await;
        let said = format!(
            "no e-mail jane.canary@example.com, card 4111 1111 1111 1111 or 4111-1111-1111-1111, phone +1 555 0199 222, key sk_live_7Q2wE9rT5yU1iO3pA8; {}",
            "more words ".repeat(100)
        );
        for (status, body) in [
            (400, json!({ "title": "bad", "detail": said })),
            (
                404,
                json!({ "errors": [{ "title": "bad", "detail": said }] }),
            ),
            (400, json!({ "error": said })),
            (404, json!({ "message": said })),
        ] {
            let bench = Bench::scripted(account, [Says::json(status, &body)]).await;
            let Answer::Refused { words, .. } = bench.send(&intent).await else {
                panic!("{account:?}: not a refusal");
            };
            assert!(words.contains("no e-mail [masked]"), "{words}");
            assert!(words.chars().count() <= 200, "{words}");
            assert_masked(&words);
        }
    }
}

#[tokio::test]
async fn a_key_that_a_provider_echoes_is_not_shown() {
    for (account, secret) in [
        (Account::LotusKey, LOTUS_KEY),
        (
            Account::KajabiToken,
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI5In0.c2lnbmF0dXJl",
        ),
        (Account::Revere, "sk_live_7Q2wE9rT5yU1iO3pA8"),
    ] {
        let intent = account.intent().await;
        let body = json!({ "title": "unauthorized", "detail": format!("'{secret}' is wrong") });
        for status in [401, 403] {
            let bench = Bench::scripted(account, [Says::json(status, &body)]).await;
            let error = bench.look().await.unwrap_err();
            assert_masked(&format!("{error:?}"));
        }
        for status in [400, 404] {
            let bench = Bench::scripted(account, [Says::json(status, &body)]).await;
            let answer = bench.send(&intent).await;
            assert_masked(&format!("{answer:?}"));
        }
    }
}

#[tokio::test]
async fn a_secret_is_sent_in_its_own_header_and_nowhere_else() {
    for (account, header, secret) in [
        (Account::KajabiToken, "authorization", KAJABI_TOKEN),
        (Account::Revere, "authorization", REVERE_KEY),
        (Account::LotusKey, "x-api-key", LOTUS_KEY),
        (Account::LotusToken, "authorization", LOTUS_TOKEN),
    ] {
        let intent = account.intent().await;
        let mut script = account.living();
        script.push(Says::text(200, &account.cancelled()));
        let bench = Bench::scripted(account, script).await;
        bench.look().await.unwrap();
        bench.send(&intent).await;
        for seen in bench.server.seen() {
            assert!(seen.all(header)[0].ends_with(secret), "{seen:?}");
            let times = seen.whole().matches(secret).count();
            assert_eq!(times, 1, "{seen:?}");
        }
    }
}

#[tokio::test]
async fn a_setups_credentials_do_not_show_themselves() {
    for account in [
        Account::KajabiClient,
        Account::KajabiToken,
        Account::Revere,
        Account::LotusKey,
        Account::LotusToken,
    ] {
        let bench = Bench::scripted(account, []).await;
        let Setup {
            credentials,
            config,
            ..
        } = &bench.setup;
        // A port may have any digits, so that only the secrets are looked for.
        let debug = format!("{credentials:?} {config:?}");
        for secret in SECRETS {
            assert!(!debug.contains(secret), "{secret} in {debug}");
        }
    }
}

#[tokio::test]
async fn what_is_not_ours_shows_nothing_of_its_customer() {
    let other = planted(&lotus::record(
        "sub_65aa0000000040008000000000000009",
        "2026-11-01T00:00:00Z",
        "2026-12-01T00:00:00Z",
        true,
    ));
    let no_customer = json!({
        "title": "does_not_exist",
        "detail": "Jane Canary jane.canary@example.com does not exist",
    });
    for list in [
        Says::json(200, &json!([other])),
        Says::json(400, &no_customer),
    ] {
        let record = Says::json(200, &body_of(Account::LotusKey));
        let bench = Bench::scripted(Account::LotusKey, [record, list]).await;
        let look = bench.look().await.unwrap();
        assert!(
            matches!(look.observed, Observed::NotOurs { .. }),
            "{look:?}"
        );
        assert_silent(&format!("{look:?}"));
    }
}
