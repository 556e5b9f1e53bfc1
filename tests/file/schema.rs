//! The schema that editors read: every key is explained, and every example is true.
//!
//! The rule: whatever key a person types has a description and an example, also one whose value
//! is a map or a list, and one that is a name of their own (a provider's, a label's). An example
//! stands in `examples`, or in the `then` of an `if` that always holds: there an editor shows it
//! and does not offer it as a value (see `desired::schema`).

use std::collections::BTreeMap;

use lapsed::desired::{Problem, included_schema, schema};
use serde_json::{Value, json};

use super::{read_all, read_one};

/// The schema of a key, by the place where the key stands.
type Keys = BTreeMap<(String, String), Value>;

/// Every key of a schema: what holds it, as a path into the schema, and its name. A name of the
/// writer's own is told as `own_name`.
fn keys(schema: &Value) -> Keys {
    let mut keys = Keys::new();
    collect(schema, "", &mut keys);
    keys
}

fn collect(schema: &Value, at: &str, keys: &mut Keys) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (key, value) in properties {
            keys.insert((at.to_owned(), key.clone()), value.clone());
        }
    }
    if let Some(value) = schema
        .get("additionalProperties")
        .filter(|it| it.is_object())
    {
        keys.insert((at.to_owned(), "own_name".to_owned()), value.clone());
    }
    match schema {
        Value::Object(map) => {
            for (key, inner) in map {
                collect(inner, &format!("{at}/{key}"), keys);
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, at, keys)),
        _ => {}
    }
}

fn examples(key: &Value) -> &[Value] {
    [&key["examples"], &key["then"]["examples"]]
        .into_iter()
        .find_map(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

#[test]
fn every_key_has_a_description_and_an_example() {
    for schema in [schema(), included_schema()] {
        let keys = keys(&schema);
        assert!(keys.len() > 25, "{keys:#?}");
        let wanting: Vec<_> = keys
            .iter()
            .filter(|(_, key)| {
                let described = key["description"].as_str().is_some_and(|it| it.len() > 10);
                !described || examples(key).is_empty()
            })
            .collect();
        assert!(wanting.is_empty(), "{wanting:#?}");
    }
}

#[test]
fn what_holds_keys_hides_no_description_of_a_key() {
    let schema = schema();
    let described: Vec<_> = keys(&schema)
        .into_iter()
        .filter_map(|(place, key)| {
            let name = key["allOf"][0]["$ref"].as_str()?.replace('#', "");
            let shared = schema.pointer(&name)?;
            (shared.get("description").is_some()).then_some((place, name))
        })
        .collect();
    // An editor would show the shared one.
    assert!(described.is_empty(), "{described:#?}");
}

#[test]
fn the_reader_and_the_schema_take_every_example() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for ((holder, key), example) in all_examples(&schema) {
        let mut refusals = Vec::new();
        let taken = with_example(&samples(), &places(&holder), &key, &example)
            .iter()
            .any(|file| {
                refusals.extend(read_one(&file.to_string()).err());
                refusals.extend(schema_faults(&validator, file));
                read_one(&file.to_string()).is_ok() && validator.is_valid(file)
            });
        assert!(taken, "{holder} {key}: {example}: {refusals:#?}");
    }
}

#[test]
fn the_reader_and_the_schema_take_every_example_of_an_included_file() {
    let schema = included_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let main = samples().swap_remove(0).to_string();
    for ((holder, key), example) in all_examples(&schema) {
        if holder.starts_with("/definitions") {
            // The main file's, which are tried there.
            continue;
        }
        let taken = with_example(&included_samples(), &places(&holder), &key, &example)
            .iter()
            .any(|file| {
                let files = [("lapsed.yaml", &*main), ("more.yaml", &*file.to_string())];
                read_all(&files).is_ok() && validator.is_valid(file)
            });
        assert!(taken, "{holder} {key}: {example}");
    }
}

fn all_examples(schema: &Value) -> Vec<((String, String), Value)> {
    keys(schema)
        .into_iter()
        .flat_map(|(place, key)| {
            let examples = examples(&key).to_vec();
            examples.into_iter().map(move |it| (place.clone(), it))
        })
        .collect()
}

fn schema_faults(validator: &jsonschema::Validator, file: &Value) -> Option<Vec<Problem>> {
    let faults: Vec<Problem> = validator
        .iter_errors(file)
        .map(|fault| Problem {
            file: "schema".to_owned(),
            line: 0,
            column: 0,
            code: "schema",
            message: format!("{}: {fault}", fault.instance_path()),
        })
        .collect();
    (!faults.is_empty()).then_some(faults)
}

/// The samples with an example in each of the places that it may belong to.
fn with_example(samples: &[Value], places: &[&str], key: &str, example: &Value) -> Vec<Value> {
    let mut files = Vec::new();
    for sample in samples {
        for place in places {
            let mut file = sample.clone();
            let Some(holder) = file.pointer_mut(place).and_then(Value::as_object_mut) else {
                continue;
            };
            // A secret has one key alone.
            if place.ends_with("_token") || place.ends_with("_key") {
                holder.clear();
            }
            holder.insert(key.to_owned(), example.clone());
            files.push(file);
        }
    }
    files
}

/// Where in a sample the keys of a schema's part stand.
fn places(holder: &str) -> Vec<&'static str> {
    match holder {
        "" => vec![""],
        "/properties/providers" => vec!["/providers"],
        "/properties/defaults" => vec!["/defaults"],
        "/properties/defaults/properties/expect" => vec!["/defaults/expect"],
        "/properties/defaults/properties/labels" => vec!["/defaults/labels"],
        "/definitions/Approval" => vec!["/approvals/0"],
        "/definitions/Freeze" => vec!["/freezes/0", "/freezes/1"],
        "/definitions/Item" => vec!["/cancellations/0", "/cancellations/1", "/cancellations/2"],
        "/definitions/Item/properties/expect" => {
            vec!["/cancellations/0/expect", "/cancellations/1/expect"]
        }
        "/definitions/Item/properties/labels" => vec!["/cancellations/0/labels"],
        "/definitions/Limits" => vec!["/limits", "/providers/academy/limits"],
        "/definitions/Match" => vec!["/policies/0/match"],
        "/definitions/Match/properties/labels" => vec!["/policies/0/match/labels"],
        "/definitions/Policy" => vec!["/policies/0"],
        "/definitions/Provider" => vec![
            "/providers/academy",
            "/providers/bookshop",
            "/providers/donations",
            "/providers/metered",
            "/providers/sandbox",
        ],
        "/definitions/Reconcile" => vec!["/reconcile"],
        "/definitions/Secret" => vec!["/admin_token", "/providers/sandbox/api_key"],
        "/definitions/Set" => vec!["/policies/0/set"],
        "/definitions/Window" => vec!["/policies/0/set/window"],
        other => panic!("say where in a file the keys of {other} stand"),
    }
}

/// Two valid files: one with something of everything, and one with as little as there can be.
fn samples() -> Vec<Value> {
    let full = json!({
        "version": 1,
        "admin_token": {"env": "T"},
        "reconcile": {"timezone": "Europe/Berlin"},
        "providers": {
            "academy": {"type": "kajabi", "token": {"env": "A"}, "limits": {}},
            "bookshop": {"type": "kajabi", "client_id": {"env": "B"}, "client_secret": {"env": "B"}},
            "donations": {"type": "revere", "group_id": "g", "linked_account_id": "l", "api_key": {"env": "D"}},
            "metered": {"type": "lotus", "base_url": "https://lotus.example.com", "api_key": {"env": "M"}},
            "sandbox": {"type": "lotus", "base_url": "http://127.0.0.1:9750", "api_key": {"value": "s"}},
        },
        "policies": [{"name": "usual", "match": {"labels": {}}, "set": {"reason": "Fraud", "window": {}}}],
        "limits": {},
        "freezes": [
            {"name": "days", "from": "2026-11-01", "until": "2026-12-31"},
            {"name": "times", "cron": "@daily", "for": "1h"},
        ],
        "approvals": [{"plan": "0".repeat(32), "by": "d", "until": "2026-12-31"}],
        "cancellations": [
            {"id": "1", "provider": "academy", "when": "now", "labels": {}, "expect": {}},
            {"id": "2", "provider": "donations", "when": "now", "expect": {}},
            {"id": "sub_65aa0b9c1d2e4f5a8b7c6d5e4f3a2b1d", "provider": "metered", "when": "now", "usage_behavior": "bill_none", "invoicing_behavior": "invoice_now"},
        ],
    });
    let small = json!({
        "version": 1,
        "reconcile": {"timezone": "UTC"},
        "providers": {"academy": {"type": "kajabi", "client_id": {"env": "C"}, "client_secret": {"env": "C"}}},
        "policies": [{"name": "usual", "set": {"reason": "Fraud"}}],
        "cancellations": [],
    });
    vec![full, small]
}

/// Included files for a provider of each type.
fn included_samples() -> Vec<Value> {
    [
        ("academy", "3"),
        ("donations", "4"),
        ("metered", "sub_65aa0b9c1d2e4f5a8b7c6d5e4f3a2b1e"),
    ]
    .map(|(provider, id)| {
        let mut file = json!({
            "defaults": {"provider": provider, "when": "now", "labels": {}, "expect": {}},
            "cancellations": [{"id": id}],
        });
        if provider == "metered" {
            file["defaults"]["usage_behavior"] = "bill_none".into();
            file["defaults"]["invoicing_behavior"] = "invoice_now".into();
        }
        file
    })
    .to_vec()
}

#[test]
fn the_committed_schema_of_included_files_is_the_one_that_the_code_makes() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/config/lapsed.included.schema.json"
    );
    let committed = std::fs::read_to_string(path).unwrap();
    let made = serde_json::to_string_pretty(&included_schema()).unwrap();
    assert!(
        committed == format!("{made}\n"),
        "run `cargo run -- schema --included > config/lapsed.included.schema.json`"
    );
}
