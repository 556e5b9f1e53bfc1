//! The JSON Schema of the file, for completion and hover help in an editor.
//!
//! Made from the very types that read the file, so that no key can be missing, and every key with
//! a description and an example. It is looser than `lapsed check` where YAML is: a number may be
//! written bare or quoted.
//!
//! Beside draft 7 it uses two words that editors know and validators pass over:
//! `enumDescriptions`, what each word of a closed set means, and `errorMessage`, what is allowed
//! in place of a pattern.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::raw;

/// What a day and an instant look like, to an editor.
const MOMENT: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}";

/// The JSON Schema of the main file.
pub fn schema() -> Value {
    of::<raw::Root>("Which subscriptions shall end, when and how.")
}

/// The JSON Schema of an included file.
pub fn included_schema() -> Value {
    of::<raw::Included>("Subscriptions that shall end, with defaults for all of them.")
}

fn of<T: JsonSchema>(description: &str) -> Value {
    // Draft 7 is what editors know best. With everything in its place a key's own description
    // is the only one, and a wrong value is told once.
    let mut schema = SchemaSettings::draft07()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<T>();
    // A title would head the help of every key.
    schema.remove("title");
    schema.insert("description".to_owned(), description.into());
    let mut value = schema.to_value();
    tidy(&mut value);
    value
}

/// Makes a schema, and every schema in it, what editors show well.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(schema) => {
            forget_null(schema);
            join_lines(schema);
            for (word, inner) in schema.iter_mut() {
                // An example is a value and no schema.
                if word != "examples" {
                    tidy(inner);
                }
            }
            hide_what_is_no_choice(schema);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Takes out what serves no reader: absent keys are no nulls in this file, and have no default
/// here.
fn forget_null(schema: &mut Map<String, Value>) {
    schema.remove("default");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|it| it != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            schema.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|it| it["type"] != "null");
        if let [Value::Object(one)] = choices.as_slice() {
            let one = one.clone();
            schema.remove("anyOf");
            schema.extend(one);
        }
    }
}

/// A comment is broken into lines for those who read the code; help would show each break as a
/// paragraph.
fn join_lines(schema: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

/// Moves examples that nobody should take over from `examples` to `then`, where help finds them
/// and completion does not.
///
/// yaml-language-server offers every example as a value. A map it offers as `[object Object]`
/// and a list of maps as text that no file may hold; an id or a day that slipped in by
/// completion would be somebody else's. `if: true` is how a key says so (see `hidden`).
fn hide_what_is_no_choice(schema: &mut Map<String, Value>) {
    let Some(Value::Array(examples)) = schema.get("examples") else {
        return;
    };
    let is_map = |it: &Value| it.is_object() || it[0].is_object();
    if schema.contains_key("if") || examples.iter().any(is_map) {
        let examples = schema.remove("examples");
        schema.insert("if".to_owned(), true.into());
        schema.insert("then".to_owned(), json!({ "examples": examples }));
    }
}

impl JsonSchema for raw::Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let value = json!({
            "type": "string",
            "description": "The secret itself. Only where `base_url` is on loopback, as for the sandbox.",
            "examples": ["sandbox-secret"],
        });
        reference(Some(value))
    }
}

/// A secret that may not stand in the file itself.
pub(super) fn secret(_: &mut SchemaGenerator) -> Schema {
    reference(None)
}

fn reference(value: Option<Value>) -> Schema {
    let mut places = json!({
        "env": {
            "type": "string",
            "description": "The environment variable that holds it.",
            "examples": ["LAPSED_ADMIN_TOKEN"],
        },
        "file": {
            "type": "string",
            "description": "The file that holds it, read again when it changes. A relative path starts at this file's folder.",
            "examples": ["/run/secrets/lapsed"],
        },
    });
    if let Some(value) = value {
        places["value"] = value;
    }
    json_schema!({
        "type": "object",
        "properties": places,
        "additionalProperties": false,
        "minProperties": 1,
        // Beside `properties` it would keep completion from offering the first.
        "allOf": [{ "maxProperties": 1 }],
        "errorMessage": "Allowed: {env: NAME} or {file: PATH}, never the secret itself.",
    })
}

impl JsonSchema for raw::OneOrMany {
    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        one_or_many(&scalar())
    }
}

fn one_or_many(one: &Schema) -> Schema {
    json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
}

/// A text that may be written bare though YAML takes it for something else.
fn scalar() -> Schema {
    json_schema!({ "type": ["string", "number", "boolean"] })
}

/// Words of a closed set, each with what it means.
fn words(words: &[(&str, &str)]) -> Schema {
    let (words, meanings): (Vec<_>, Vec<_>) = words.iter().copied().unzip();
    json_schema!({ "enum": words, "enumDescriptions": meanings })
}

/// A text of a form that people know by examples better than by its pattern.
fn like(pattern: &str, allowed: &str) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": pattern,
        "errorMessage": format!("Allowed: {allowed}."),
    })
}

/// A key whose examples are told and not offered: see `hide_what_is_no_choice`.
fn hidden(mut schema: Schema) -> Schema {
    schema.insert("if".to_owned(), true.into());
    schema
}

/// A number, bare or quoted.
fn number(least: u64) -> Schema {
    json_schema!({
        "type": ["integer", "string"],
        "minimum": least,
        "pattern": "^[0-9]+$",
        "errorMessage": "Allowed: a whole number.",
    })
}

pub(super) fn literal_one(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": [1, "1"] })
}

pub(super) fn mode(_: &mut SchemaGenerator) -> Schema {
    words(&[
        ("observe", "do everything but send: a rehearsal"),
        ("enforce", "carry the cancellations out"),
    ])
}

pub(super) fn notices(_: &mut SchemaGenerator) -> Schema {
    let kinds = words(&[
        ("failed", "the provider refuses a cancellation for good"),
        (
            "billing_not_confirmed",
            "found deactivated at Kajabi, which does not tell whether the payments have stopped",
        ),
        (
            "missed",
            "a window closed before the cancel, and one more period is billed",
        ),
        (
            "held_past_deadline",
            "something should have ended, and a person's decision is needed",
        ),
        (
            "unknown_stuck",
            "what became of a request is unknown for more than an hour",
        ),
        ("approval_waiting", "something waits for an approval"),
        ("file_rejected", "the newest text of the files is not valid"),
        ("digest", "how things stand, once a day"),
    ]);
    json_schema!({ "type": "array", "items": kinds, "minItems": 1, "uniqueItems": true })
}

pub(super) fn kind(_: &mut SchemaGenerator) -> Schema {
    words(&KINDS)
}

pub(super) fn kinds(_: &mut SchemaGenerator) -> Schema {
    one_or_many(&words(&KINDS))
}

const KINDS: [(&str, &str); 3] = [
    ("kajabi", "purchases at Kajabi"),
    ("revere", "subscriptions at Revere Payments"),
    ("lotus", "subscriptions at Lotus"),
];

pub(super) fn payment_plans(_: &mut SchemaGenerator) -> Schema {
    words(&[
        ("hold", "it is held, for a person to decide"),
        (
            "cancel",
            "it is cancelled, and the rest of the debt written off",
        ),
    ])
}

pub(super) fn renewal_off(_: &mut SchemaGenerator) -> Schema {
    words(&[
        ("at_once", "as soon as it is accepted; it cannot be undone"),
        ("in_window", "in the window before the paid period ends"),
    ])
}

pub(super) fn when_missed(_: &mut SchemaGenerator) -> Schema {
    words(&[
        (
            "next_period",
            "it ends one period later, in that period's window",
        ),
        ("ask", "it is missed until a person decides: lapsed retry"),
        ("now", "it ends at once"),
    ])
}

pub(super) fn flat_fee(_: &mut SchemaGenerator) -> Schema {
    words(&[
        ("refund", "they are given back"),
        (
            "charge_prorated",
            "the customer pays for the time until the end",
        ),
        ("charge_full", "the customer pays for the whole period"),
    ])
}

pub(super) fn usage(_: &mut SchemaGenerator) -> Schema {
    words(&[
        ("bill_full", "the customer pays for it"),
        ("bill_none", "nobody pays for it"),
    ])
}

pub(super) fn invoicing(_: &mut SchemaGenerator) -> Schema {
    words(&[
        ("add_to_next_invoice", "with the customer's next invoice"),
        ("invoice_now", "at once, on an invoice of their own"),
    ])
}

pub(super) fn when(_: &mut SchemaGenerator) -> Schema {
    // Both say it all: an editor tells of either.
    let allowed = "Allowed: now, end_of_period, a day such as 2026-12-31, or an instant such as 2026-12-31T09:00:00+01:00.";
    hidden(json_schema!({
        "anyOf": [
            {
                "enum": ["now", "end_of_period"],
                "enumDescriptions": [
                    "at the next tick of the schedule",
                    "when what is paid for has been used; no charge follows",
                ],
                "errorMessage": allowed,
            },
            { "type": "string", "pattern": MOMENT, "errorMessage": allowed },
        ],
    }))
}

pub(super) fn moment(_: &mut SchemaGenerator) -> Schema {
    hidden(like(
        MOMENT,
        "a day such as 2026-12-31, or an instant such as 2026-12-31T09:00:00+01:00",
    ))
}

pub(super) fn day(_: &mut SchemaGenerator) -> Schema {
    hidden(like(
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        "a day such as 2026-12-31",
    ))
}

pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    like(
        "^([0-9]+[smhd])+$",
        "a length of time such as 20s, 30m, 24h, 7d or 1h30m",
    )
}

pub(super) fn rate(_: &mut SchemaGenerator) -> Schema {
    like(
        "^[0-9]+/[smh]$",
        "a number for each s, m or h, such as 60/m",
    )
}

pub(super) fn size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["integer", "string"],
        "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)?$",
        "errorMessage": "Allowed: a number of bytes, or of KiB, MiB or GiB, such as 512MiB.",
    })
}

pub(super) fn share(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["integer", "string"],
        "pattern": "^[0-9]+([.][0-9]+)?%?$",
        "errorMessage": "Allowed: a number such as 50, or a share such as 20%.",
    })
}

pub(super) fn ledger(_: &mut SchemaGenerator) -> Schema {
    like(
        "^(sqlite:|postgres(ql)?://).+",
        "sqlite: and a path, such as sqlite:/var/lib/lapsed/lapsed.db",
    )
}

pub(super) fn hex32(_: &mut SchemaGenerator) -> Schema {
    hidden(json_schema!({
        "type": ["string", "integer"],
        "pattern": "^[0-9A-Fa-f]{32}$",
        "errorMessage": "Allowed: 32 hex digits.",
    }))
}

pub(super) fn schedule(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string" })
}

pub(super) fn count(_: &mut SchemaGenerator) -> Schema {
    number(0)
}

pub(super) fn positive(_: &mut SchemaGenerator) -> Schema {
    number(1)
}

// A bare `true` is text to the reader as well, but completion would offer it.
pub(super) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "number"] })
}

/// A text that is somebody's: an id, a name.
pub(super) fn told(_: &mut SchemaGenerator) -> Schema {
    hidden(json_schema!({ "type": ["string", "number"] }))
}

pub(super) fn texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": ["string", "number"] } })
}

pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    by_name(scalar(), "The value of this label.", &["OPS-4711"])
}

pub(super) fn matched_labels(_: &mut SchemaGenerator) -> Schema {
    by_name(
        one_or_many(&scalar()),
        "What this label must be: one value or a list, `*` stands for anything.",
        &["fraud"],
    )
}

/// A map whose keys are names of the writer's own: none is unknown, and all mean the same.
fn by_name(mut value: Schema, description: &str, examples: &[&str]) -> Schema {
    value.insert("description".to_owned(), description.into());
    value.insert("examples".to_owned(), examples.into());
    json_schema!({ "type": "object", "additionalProperties": hidden(value) })
}

pub(super) fn providers(generator: &mut SchemaGenerator) -> Schema {
    let mut provider = raw::Provider::json_schema(generator);
    let description =
        "One billing provider, under a name of your own: letters, digits, `-` and `_`.";
    provider.insert("description".to_owned(), description.into());
    provider.insert(
        "examples".to_owned(),
        json!([{ "type": "kajabi", "token": { "env": "KAJABI_TOKEN" } }]),
    );
    json_schema!({ "type": "object", "additionalProperties": provider })
}

pub(super) fn webhooks(generator: &mut SchemaGenerator) -> Schema {
    let mut webhook = raw::Webhook::json_schema(generator);
    let description = "One webhook, under a name of your own: letters, digits, `-` and `_`.";
    webhook.insert("description".to_owned(), description.into());
    webhook.insert(
        "examples".to_owned(),
        json!([{ "url": "https://hooks.example.com/lapsed", "secret": { "env": "LAPSED_WEBHOOK_SECRET" } }]),
    );
    json_schema!({ "type": "object", "additionalProperties": webhook })
}

pub(super) fn expect(generator: &mut SchemaGenerator) -> Schema {
    let mut field = |description: &str, example: &str| {
        let mut schema = told(generator);
        schema.insert("description".to_owned(), description.into());
        schema.insert("examples".to_owned(), json!([example]));
        schema
    };
    json_schema!({
        "type": "object",
        "properties": {
            "customer": field("The id of the customer at the provider.", "82145871"),
            "plan": field("The id of the plan at the provider (Revere, Lotus).", "7d0b2e61-5f3c-4f0e-9a55-3f2b6f0c9d10"),
            "offer": field("The id of the offer that was bought (Kajabi).", "150001"),
        },
        "additionalProperties": false,
    })
}

pub(super) fn expect_fields(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "enum": ["customer", "plan", "offer"] } })
}

pub(super) fn cancellations(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<raw::Item>();
    json_schema!({ "type": "array", "items": item })
}

/// An item's fields but for those that name one request.
pub(super) fn defaults(generator: &mut SchemaGenerator) -> Schema {
    let mut item = raw::Item::json_schema(generator);
    item.remove("required");
    if let Some(Value::Object(fields)) = item.get_mut("properties") {
        fields.retain(|field, _| !["id", "again"].contains(&field.as_str()));
    }
    item
}
