//! The description of the port is true: of a real daemon's answers, and of every word in it.

use lapsed::model::hold::HoldReason;
use lapsed::model::standing::State;
use lapsed::sandbox::cast;
use serde_json::{Value, json};

use crate::support::{Answer, Home, post, project, until};

fn description() -> Value {
    let text = std::fs::read_to_string(project("config/openapi.yaml")).unwrap();
    serde_yaml::from_str(&text).unwrap()
}

/// Whether an answer is what the description says of it.
fn is_as_described(description: &Value, path: &str, method: &str, answer: &Answer) {
    let responses = &description["paths"][path][method]["responses"];
    let status = answer.status.to_string();
    let of_status = [&responses[&status], &responses["default"]]
        .into_iter()
        .find(|it| !it.is_null())
        .unwrap_or_else(|| panic!("{method} {path} says nothing of {status}"));
    let of_status = match of_status["$ref"].as_str() {
        Some(place) => description.pointer(&place[1..]).unwrap(),
        None => of_status,
    };
    let content = of_status["content"].as_object().unwrap();
    let (_, media) = content
        .iter()
        .find(|(name, _)| name.contains("json"))
        .unwrap();
    let mut schema = media["schema"].clone();
    schema["components"] = description["components"].clone();
    let validator = jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    let body = answer.json();
    let faults: Vec<String> = validator
        .iter_errors(&body)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(
        faults.is_empty(),
        "{method} {path}: {faults:#?} in {body:#}"
    );
}

#[test]
fn what_a_daemon_answers_is_what_the_description_says() {
    let home = Home::new();
    std::fs::write(home.path().join("admin"), "let me in").unwrap();
    home.write_text(&home.text(
        "admin_token: {file: admin}\n",
        &format!(
            "\n  - {{id: \"{}\", provider: academy, expect: {{customer: \"1\"}}, labels: {{ticket: OPS-1}}}}\
             \n  - {{id: \"{}\", provider: academy}}\
             \n  - {{id: \"{}\", provider: academy, when: end_of_period, period_ends: 2099-12-31, reason: moved away}}\
             \n  - {{id: nobody, provider: donations}}",
            cast::KAJABI_CANCELLED,
            cast::KAJABI_ACTIVE,
            cast::KAJABI_ACTIVE_TOO,
        ),
    ));
    let daemon = home.daemon();
    home.until_state(&format!("academy/{}", cast::KAJABI_ACTIVE), "canceled");
    home.until_state("donations/nobody", "held");
    let described = description();
    let get = |path: &str, asked: &str| {
        let answer = daemon.get(asked);
        is_as_described(&described, path, "get", &answer);
        answer
    };
    get("/api/v1/status", "/api/v1/status");
    let list = get("/api/v1/cancellations", "/api/v1/cancellations").json();
    assert_eq!(list["items"].as_array().unwrap().len(), 4);
    get(
        "/api/v1/cancellations",
        "/api/v1/cancellations?state=held,canceled&limit=1",
    );
    get(
        "/api/v1/cancellations",
        "/api/v1/cancellations?state=nonsense",
    );
    for item in list["items"].as_array().unwrap() {
        let (provider, id) = (
            item["provider"].as_str().unwrap(),
            item["id"].as_str().unwrap(),
        );
        get(
            "/api/v1/cancellations/{provider}/{id}",
            &format!("/api/v1/cancellations/{provider}/{id}"),
        );
    }
    get(
        "/api/v1/cancellations/{provider}/{id}",
        "/api/v1/cancellations/academy/never-heard-of",
    );
    let events = get("/api/v1/events", "/api/v1/events?after=0&limit=1000").json();
    assert!(events["events"].as_array().unwrap().len() > 6);
    get("/api/v1/events", "/api/v1/events?after=x");

    let admin = [("Authorization", "Bearer let me in")];
    for (command, said) in [
        (
            "pause",
            json!({"provider": "academy", "by": "dana", "reason": "to see"}),
        ),
        ("resume", json!({"provider": "academy"})),
        ("reconcile", json!({})),
        ("reload", json!({"by": null})),
        ("pause", json!({"provider": "nobody"})),
    ] {
        let path = format!("/-/{command}");
        let mut headers = admin.to_vec();
        headers.push(("Content-Type", "application/json"));
        let answer = post(daemon.address(), &path, &headers, &said.to_string());
        is_as_described(&described, &path, "post", &answer);
        let nobody = post(daemon.address(), &path, &[], "");
        assert_eq!(nobody.status, 401);
        is_as_described(&described, &path, "post", &nobody);
    }
    // With problems in the file, and a provider that is stopped.
    home.write(" [{}]");
    until("the new text is refused", || {
        daemon.get("/api/v1/status").json()["source"]["valid"] == false
    });
    get("/api/v1/status", "/api/v1/status");
}

#[test]
fn every_word_of_the_description_is_one_that_is_told() {
    let described = description();
    let words = |name: &str| -> Vec<String> {
        let list = described["components"]["schemas"][name]["enum"].as_array();
        let list = list.unwrap().iter();
        list.map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(words("State"), State::ALL.map(|it| it.to_string()));
    assert_eq!(words("Reason"), HoldReason::ALL.map(|it| it.to_string()));
    assert_eq!(described["info"]["version"], env!("CARGO_PKG_VERSION"));
}
