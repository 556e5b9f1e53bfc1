//! The schema that editors read: every key is explained, and every example is true.
//!
//! The rule: whatever key a person types has a description and an example, also one whose value
//! is a map or a list, and one that is a name of their own (a provider's, a label's). An example
//! stands in `examples`, or in the `then` of an `if` that always holds: there an editor shows it
//! and does not offer it as a value (see `desired::schema`).

use std::collections::BTreeMap;

use lapsed::desired::{included_schema, schema};
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
fn the_reader_and_the_schema_take_every_example() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for ((holder, key), example) in all_examples(&schema) {
        let files: Vec<Value> = samples()
            .iter()
            .flat_map(|sample| with_example(sample, &steps(&holder), &key, &example))
            .collect();
        let taken = files
            .iter()
            .any(|file| validator.is_valid(file) && read_one(&file.to_string()).is_ok());
        assert!(taken, "{holder} {key}: {example}: {}", why(&files));
    }
}

#[test]
fn the_reader_and_the_schema_take_every_example_of_an_included_file() {
    let schema = included_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let main = samples().swap_remove(0).to_string();
    for ((holder, key), example) in all_examples(&schema) {
        let taken = included_samples()
            .iter()
            .flat_map(|sample| with_example(sample, &steps(&holder), &key, &example))
            .any(|file| {
                let files = [("lapsed.yaml", &*main), ("more.yaml", &*file.to_string())];
                validator.is_valid(&file) && read_all(&files).is_ok()
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

/// What the reader says of files of which it should have taken one.
fn why(files: &[Value]) -> String {
    let problems = files
        .iter()
        .filter_map(|file| read_one(&file.to_string()).err());
    let lines: Vec<String> = problems.flatten().map(|it| it.line()).collect();
    lines.join("\n")
}

fn steps(holder: &str) -> Vec<&str> {
    holder.split('/').filter(|step| !step.is_empty()).collect()
}

/// A sample with an example in each of the places that a path into the schema stands for.
fn with_example(sample: &Value, steps: &[&str], key: &str, example: &Value) -> Vec<Value> {
    places(sample, steps)
        .iter()
        .map(|place| {
            let mut file = sample.clone();
            put(&mut file, place, key, example);
            file
        })
        .collect()
}

/// Every way through a sample that a path into the schema stands for.
fn places(sample: &Value, steps: &[&str]) -> Vec<Vec<String>> {
    let (names, rest): (Vec<String>, _) = match steps {
        [] => return vec![Vec::new()],
        ["properties", name, rest @ ..] => (vec![(*name).to_owned()], rest),
        ["additionalProperties", rest @ ..] => {
            (sample.as_object().unwrap().keys().cloned().collect(), rest)
        }
        ["items", rest @ ..] => {
            let count = sample.as_array().map_or(0, Vec::len);
            ((0..count).map(|index| index.to_string()).collect(), rest)
        }
        other => panic!("say where in a file {other:?} leads"),
    };
    let inside = |name: String| {
        let inner = sample.pointer(&format!("/{name}")).unwrap_or(&Value::Null);
        places(inner, rest).into_iter().map(move |mut place| {
            place.insert(0, name.clone());
            place
        })
    };
    names.into_iter().flat_map(inside).collect()
}

fn put(holder: &mut Value, place: &[String], key: &str, example: &Value) {
    let Some((name, rest)) = place.split_first() else {
        // A secret stands in one place alone.
        if ["env", "file", "value"].contains(&key) {
            *holder = json!({});
        }
        holder[key] = example.clone();
        return;
    };
    let inner = match holder {
        Value::Array(list) => &mut list[name.parse::<usize>().unwrap()],
        map => &mut map[name.as_str()],
    };
    if inner.is_null() {
        *inner = json!({});
    }
    put(inner, rest, key, example);
}

/// Two valid files with something of everything, the second one against a sandbox; and one with
/// as little as there can be.
fn samples() -> Vec<Value> {
    let full = json!({
        "version": 1,
        "reconcile": {"timezone": "Europe/Berlin"},
        "providers": {
            "academy": {"type": "kajabi", "token": {"env": "A"}},
            "bookshop": {"type": "kajabi", "client_id": {"env": "B"}, "client_secret": {"env": "B"}},
            "donations": {"type": "revere", "group_id": "g", "linked_account_id": "l", "api_key": {"env": "D"}},
            "metered": {"type": "lotus", "base_url": "https://lotus.example.com", "api_key": {"env": "M"}},
            "trial": {"type": "lotus", "base_url": "https://trial.example.com", "token": {"env": "L"}},
        },
        "policies": [{"name": "usual", "set": {"reason": "Fraud"}}],
        "freezes": [
            {"name": "days", "from": "2026-11-01", "until": "2026-12-31"},
            {"name": "times", "cron": "@daily", "for": "1h"},
        ],
        "notify": {
            "webhooks": {
                "on-call": {"url": "https://hooks.example.com", "secret": {"env": "H"}},
                "secret": {"url_from": {"env": "U"}, "secret": {"env": "H"}},
            },
        },
        "approvals": [{"plan": "0".repeat(32), "by": "d", "until": "2026-12-31"}],
        "cancellations": [
            {"id": "1", "provider": "academy", "when": "now"},
            {"id": "2", "provider": "donations", "when": "now"},
            {"id": "sub_65aa0b9c1d2e4f5a8b7c6d5e4f3a2b1d", "provider": "metered", "when": "now", "usage_behavior": "bill_none", "invoicing_behavior": "invoice_now"},
        ],
    });
    let mut sandbox = full.clone();
    let providers = sandbox["providers"].as_object_mut().unwrap();
    for (port, provider) in (9001..).zip(providers.values_mut()) {
        provider["base_url"] = format!("http://127.0.0.1:{port}").into();
    }
    let small = json!({
        "version": 1,
        "reconcile": {"timezone": "UTC"},
        "providers": {"academy": {"type": "kajabi", "token": {"env": "A"}}},
        "policies": [{"name": "usual", "set": {"reason": "Fraud"}}],
        "notify": {"webhooks": {"on-call": {"url": "https://hooks.example.com", "secret": {"env": "H"}}}},
        "cancellations": [],
    });
    vec![full, sandbox, small]
}

/// Included files for a provider of each type.
fn included_samples() -> Vec<Value> {
    let sub = "sub_65aa0b9c1d2e4f5a8b7c6d5e4f3a2b1e";
    vec![
        json!({
            "defaults": {"provider": "academy", "when": "now"},
            "cancellations": [{"id": "3"}],
        }),
        json!({
            "defaults": {"provider": "donations", "when": "now"},
            "cancellations": [{"id": "4"}],
        }),
        json!({
            "defaults": {"provider": "metered", "when": "now", "usage_behavior": "bill_none", "invoicing_behavior": "invoice_now"},
            "cancellations": [{"id": sub}],
        }),
    ]
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
