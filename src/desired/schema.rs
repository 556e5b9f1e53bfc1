//! The JSON Schema of the file, for completion and hover help in an editor.
//!
//! Made from the very types that read the file, so that no key can be missing. It is looser
//! than `lapsed check` where YAML is: a number may be written bare or quoted.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::raw;

/// What a length of time looks like.
const DURATION: &str = "^([0-9]+[smhd])+$";

/// The JSON Schema of the main file.
pub fn schema() -> serde_json::Value {
    of::<raw::Root>(
        "lapsed.yaml",
        "Which subscriptions shall end, when and how.",
    )
}

/// The JSON Schema of an included file.
pub fn included_schema() -> serde_json::Value {
    of::<raw::Included>(
        "a file that lapsed.yaml includes",
        "Subscriptions that shall end, with defaults for all of them.",
    )
}

fn of<T: JsonSchema>(title: &str, description: &str) -> serde_json::Value {
    // Draft 7 is what editors know best.
    let mut schema = SchemaSettings::draft07()
        .with(|settings| settings.inline_subschemas = false)
        .into_generator()
        .into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema.insert("description".to_owned(), description.into());
    let mut value = schema.to_value();
    tidy(&mut value);
    value
}

/// Takes out what serves no reader: absent keys are no nulls in this file, and have no default
/// here.
fn tidy(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            map.remove("default");
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|it| it != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    map.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|it| it["type"] != "null");
                if let [one] = choices.as_slice() {
                    let one = one.clone();
                    map.remove("anyOf");
                    // Beside a `$ref` nothing else counts in draft 7.
                    map.insert("allOf".to_owned(), serde_json::json!([one]));
                }
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl JsonSchema for raw::Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a secret is found, never the secret itself.",
            "type": "object",
            "properties": {
                "env": { "type": "string", "description": "An environment variable." },
                "file": { "type": "string", "description": "A file; a relative one is found from this file's folder." },
                "value": { "type": "string", "description": "Only for a provider whose `base_url` is on loopback." },
            },
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
        })
    }
}

impl JsonSchema for raw::OneOrMany {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One value, or a list of them of which one must fit.",
            "anyOf": [
                { "type": ["string", "number", "boolean"] },
                { "type": "array", "items": { "type": ["string", "number", "boolean"] } },
            ],
        })
    }
}

fn words(words: &[&str]) -> Schema {
    json_schema!({ "enum": words })
}

fn like(pattern: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": pattern })
}

/// A number, bare or quoted.
fn number(least: u64) -> Schema {
    json_schema!({ "type": ["integer", "string"], "minimum": least, "pattern": "^[0-9]+$" })
}

pub(super) fn literal_one(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": [1, "1"] })
}

pub(super) fn mode(_: &mut SchemaGenerator) -> Schema {
    words(&["observe", "enforce"])
}

pub(super) fn kind(_: &mut SchemaGenerator) -> Schema {
    words(&["kajabi", "revere", "lotus"])
}

pub(super) fn payment_plans(_: &mut SchemaGenerator) -> Schema {
    words(&["hold", "cancel"])
}

pub(super) fn renewal_off(_: &mut SchemaGenerator) -> Schema {
    words(&["at_once", "in_window"])
}

pub(super) fn when_missed(_: &mut SchemaGenerator) -> Schema {
    words(&["next_period", "ask", "now"])
}

pub(super) fn flat_fee(_: &mut SchemaGenerator) -> Schema {
    words(&["refund", "charge_prorated", "charge_full"])
}

pub(super) fn usage(_: &mut SchemaGenerator) -> Schema {
    words(&["bill_full", "bill_none"])
}

pub(super) fn invoicing(_: &mut SchemaGenerator) -> Schema {
    words(&["add_to_next_invoice", "invoice_now"])
}

pub(super) fn when(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [
            { "enum": ["now", "end_of_period"] },
            { "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}" },
        ],
    })
}

pub(super) fn moment(_: &mut SchemaGenerator) -> Schema {
    like("^[0-9]{4}-[0-9]{2}-[0-9]{2}")
}

pub(super) fn day(_: &mut SchemaGenerator) -> Schema {
    like("^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
}

pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    like(DURATION)
}

pub(super) fn rate(_: &mut SchemaGenerator) -> Schema {
    like("^[0-9]+/[smh]$")
}

pub(super) fn size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["integer", "string"], "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)?$" })
}

pub(super) fn share(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["integer", "string"], "pattern": "^[0-9]+([.][0-9]+)?%?$" })
}

pub(super) fn ledger(_: &mut SchemaGenerator) -> Schema {
    like("^(sqlite:|postgres(ql)?://).+")
}

pub(super) fn hex32(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "integer"], "pattern": "^[0-9A-Fa-f]{32}$" })
}

pub(super) fn schedule(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "examples": ["*/5 * * * *", "0 */10 * * * *", "@hourly"] })
}

pub(super) fn count(_: &mut SchemaGenerator) -> Schema {
    number(0)
}

pub(super) fn positive(_: &mut SchemaGenerator) -> Schema {
    number(1)
}

pub(super) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "number", "boolean"] })
}

pub(super) fn texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": ["string", "number", "boolean"] } })
}

pub(super) fn texts_by_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "type": ["string", "number", "boolean"] },
    })
}

pub(super) fn expect(_: &mut SchemaGenerator) -> Schema {
    let text = json_schema!({ "type": ["string", "number"] });
    json_schema!({
        "type": "object",
        "properties": { "customer": text, "plan": text, "offer": text },
        "additionalProperties": false,
    })
}

pub(super) fn expect_fields(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "enum": ["customer", "plan", "offer"] } })
}

pub(super) fn cancellations(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<raw::Item>();
    json_schema!({
        "type": "array",
        "items": { "allOf": [item, { "required": ["id"] }] },
    })
}

pub(super) fn defaults(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<raw::Item>();
    json_schema!({
        "allOf": [item, { "properties": { "id": false, "again": false } }],
    })
}
