//! Reads and checks what a Lotus write says: the serializers of
//! `backend/api/serializers/model_serializers.py` (cancel: line 2151, update: line 1917).

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Map, Value};

use super::errors::{self, Problem};
use crate::sandbox::wire::{Answer, Ask};

/// How a cancel bills (`backend/metering_billing/utils/enums/enums.py`, lines 197, 211, 262).
#[derive(Clone, Copy, Debug)]
pub(super) struct CancelTerms {
    pub charges_full: bool,
    pub bills_usage: bool,
    pub invoices_now: bool,
}

/// What an update asks for.
#[derive(Clone, Debug)]
pub(super) struct UpdateTerms {
    pub turn_off_auto_renew: bool,
    pub end_date: Option<DateTime<Utc>>,
    pub metadata: Option<Value>,
}

/// Three optional choices; unknown fields are ignored; no body at all cancels (transcript D).
pub(super) fn cancel_terms(ask: &Ask) -> Result<CancelTerms, Answer> {
    let fields = fields(ask)?;
    let mut problems = Vec::new();
    let flat = choice(
        &fields,
        "flat_fee_behavior",
        &["refund", "charge_prorated", "charge_full"],
        &mut problems,
    );
    let usage = choice(
        &fields,
        "usage_behavior",
        &["bill_full", "bill_none"],
        &mut problems,
    );
    let invoicing = choice(
        &fields,
        "invoicing_behavior",
        &["add_to_next_invoice", "invoice_now"],
        &mut problems,
    );
    if !problems.is_empty() {
        return Err(errors::validation(&problems));
    }
    Ok(CancelTerms {
        charges_full: flat == Some("charge_full"),
        bills_usage: usage != Some("bill_none"),
        invoices_now: invoicing != Some("add_to_next_invoice"),
    })
}

/// `turn_off_auto_renew` (false does nothing), `end_date`, `metadata` (transcript F).
pub(super) fn update_terms(ask: &Ask, now: DateTime<Utc>) -> Result<UpdateTerms, Answer> {
    let fields = fields(ask)?;
    let mut problems = Vec::new();
    let turn_off_auto_renew = boolean(&fields, "turn_off_auto_renew", &mut problems);
    let end_date = instant(&fields, "end_date", &mut problems);
    if !problems.is_empty() {
        return Err(errors::validation(&problems));
    }
    if end_date.is_some_and(|end| end < now) {
        return Err(errors::validation(&[Problem::invalid(
            Some("non_field_errors"),
            "Cannot set end date to a date in the past.",
        )]));
    }
    Ok(UpdateTerms {
        turn_off_auto_renew,
        end_date,
        metadata: fields.get("metadata").cloned(),
    })
}

/// The body's fields: JSON, form or multipart; anything else is 415 (transcript C).
fn fields(ask: &Ask) -> Result<Map<String, Value>, Answer> {
    if ask.body.is_empty() {
        return Ok(Map::new());
    }
    let full = ask.header(CONTENT_TYPE).unwrap_or_default();
    match ask.content_type().as_deref() {
        Some("application/json") => json_fields(&ask.body),
        Some("application/x-www-form-urlencoded") => Ok(form_fields(&ask.body)),
        Some("multipart/form-data") => Ok(multipart_fields(full, &ask.body)),
        _ => Err(errors::client(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            &format!("Unsupported media type \"{full}\" in request."),
        )),
    }
}

fn json_fields(body: &[u8]) -> Result<Map<String, Value>, Answer> {
    let kind = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => return Ok(fields),
        Ok(Value::Array(_)) => "list",
        Ok(Value::String(_)) => "str",
        Ok(Value::Bool(_)) => "bool",
        Ok(Value::Number(_)) => "int",
        Ok(Value::Null) => return Ok(Map::new()),
        Err(error) => {
            let detail = format!(
                "JSON parse error - Expecting value: line {} column {} (char {})",
                error.line(),
                error.column(),
                error.column().saturating_sub(1),
            );
            return Err(errors::client(
                StatusCode::BAD_REQUEST,
                "parse_error",
                &detail,
            ));
        }
    };
    let detail = format!("Invalid data. Expected a dictionary, but got {kind}.");
    Err(errors::validation(&[Problem::invalid(
        Some("non_field_errors"),
        detail,
    )]))
}

fn form_fields(body: &[u8]) -> Map<String, Value> {
    url::form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect()
}

/// Enough of multipart for plain fields.
fn multipart_fields(content_type: &str, body: &[u8]) -> Map<String, Value> {
    let boundary = content_type
        .split_once("boundary=")
        .map(|(_, rest)| rest.trim_matches('"'))
        .unwrap_or_default();
    if boundary.is_empty() {
        return Map::new();
    }
    let text = String::from_utf8_lossy(body);
    let delimiter = format!("--{boundary}");
    text.split(delimiter.as_str())
        .filter_map(|part| {
            let (head, value) = part.split_once("\r\n\r\n")?;
            let (_, rest) = head.split_once("name=\"")?;
            let (name, _) = rest.split_once('"')?;
            let value = value.strip_suffix("\r\n").unwrap_or(value);
            Some((name.to_owned(), Value::String(value.to_owned())))
        })
        .collect()
}

/// A choice, or none if left out. Only `flat_fee_behavior` may be null.
fn choice<'a>(
    fields: &'a Map<String, Value>,
    name: &'static str,
    allowed: &[&str],
    problems: &mut Vec<Problem>,
) -> Option<&'a str> {
    match fields.get(name)? {
        Value::Null if name == "flat_fee_behavior" => {}
        Value::Null => problems.push(Problem::null(name)),
        Value::String(text) if allowed.contains(&text.as_str()) => return Some(text),
        Value::String(text) => problems.push(Problem::choice(name, text)),
        other => problems.push(Problem::choice(name, &other.to_string())),
    }
    None
}

/// A boolean as Django REST framework reads one; left out is false.
fn boolean(fields: &Map<String, Value>, name: &'static str, problems: &mut Vec<Problem>) -> bool {
    let word = match fields.get(name) {
        None => return false,
        Some(Value::Null) => {
            problems.push(Problem::null(name));
            return false;
        }
        Some(Value::String(text)) => text.to_ascii_lowercase(),
        Some(other) => other.to_string(),
    };
    match word.as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => true,
        "false" | "f" | "no" | "n" | "off" | "0" => false,
        _ => {
            problems.push(Problem::invalid(Some(name), "Must be a valid boolean."));
            false
        }
    }
}

/// ISO 8601, or `yyyy-mm-dd HH:mm:ss` read as UTC (transcript F).
fn instant(
    fields: &Map<String, Value>,
    name: &'static str,
    problems: &mut Vec<Problem>,
) -> Option<DateTime<Utc>> {
    let read = |text: &str| {
        DateTime::parse_from_rfc3339(text)
            .map(|instant| instant.to_utc())
            .or_else(|_| {
                NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
                    .map(|local| local.and_utc())
            })
            .ok()
    };
    match fields.get(name)? {
        Value::Null => problems.push(Problem::null(name)),
        Value::String(text) => match read(text) {
            Some(instant) => return Some(instant),
            None => problems.push(wrong_format(name)),
        },
        _ => problems.push(wrong_format(name)),
    }
    None
}

fn wrong_format(name: &'static str) -> Problem {
    Problem::invalid(
        Some(name),
        "Datetime has wrong format. Use one of these formats instead: \
         YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].",
    )
}
