//! The log of requests received: the last ten thousand, without their secrets.

use std::collections::VecDeque;
use std::sync::Mutex;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::store::lock;
use super::wire::{Ask, Call, Operation, Provider};

/// How many are kept.
const KEPT: usize = 10_000;

/// How much of a body is kept, in bytes.
const KEPT_OF_BODY: usize = 2_048;

/// The headers worth seeing; all others are left out.
const HEADERS: [&str; 8] = [
    "authorization",
    "x-api-key",
    "content-type",
    "content-length",
    "accept",
    "accept-encoding",
    "user-agent",
    "idempotency-key",
];

/// One request, as the provider got it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Logged {
    number: u64,
    at: DateTime<Utc>,
    provider: Provider,
    operation: Operation,
    id: Option<String>,
    method: String,
    /// Beneath the provider's prefix, with the query.
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// The fault it met.
    fault: Option<u64>,
}

/// The log.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    kept: VecDeque<Logged>,
    last: u64,
}

impl RequestLog {
    pub fn push(&self, provider: Provider, ask: &Ask, call: &Call, fault: Option<u64>) {
        let query = if ask.query.is_empty() { "" } else { "?" };
        let mut logged = Logged {
            number: 0,
            at: ask.arrived.wall,
            provider,
            operation: call.operation,
            id: call.id.clone(),
            method: ask.method.to_string(),
            path: format!("{}{query}{}", ask.path, ask.query),
            headers: seen(&ask.headers),
            body: body(ask, call),
            fault,
        };
        let mut ring = lock(&self.ring);
        ring.last += 1;
        logged.number = ring.last;
        if ring.kept.len() == KEPT {
            ring.kept.pop_front();
        }
        ring.kept.push_back(logged);
    }

    /// Those after a number, oldest first, and the number of the last one ever received.
    pub fn after(&self, number: u64) -> (Vec<Logged>, u64) {
        let ring = lock(&self.ring);
        let newer = ring.kept.iter().filter(|it| it.number > number);
        (newer.cloned().collect(), ring.last)
    }

    pub fn clear(&self) {
        *lock(&self.ring) = Ring::default();
    }
}

fn seen(headers: &HeaderMap) -> Vec<(&'static str, String)> {
    HEADERS
        .into_iter()
        .filter_map(|name| {
            let value = headers.get(name)?;
            let text = String::from_utf8_lossy(value.as_bytes());
            Some((name, masked(name, &text)))
        })
        .collect()
}

/// A secret header shows its scheme at most.
fn masked(name: &str, value: &str) -> String {
    match (name, value.split_once(' ')) {
        ("authorization", Some((scheme, _))) => format!("{scheme} ***"),
        ("authorization" | "x-api-key", _) => "***".to_owned(),
        _ => value.to_owned(),
    }
}

/// The body's beginning; of a token request only what is no secret.
fn body(ask: &Ask, call: &Call) -> String {
    if call.operation != Operation::Token {
        let kept = ask.body.get(..KEPT_OF_BODY).unwrap_or(&ask.body);
        return String::from_utf8_lossy(kept).into_owned();
    }
    let mut shown = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url::form_urlencoded::parse(&ask.body) {
        match &*name {
            "grant_type" | "client_id" => shown.append_pair(&name, &value),
            _ => shown.append_pair(&name, "***"),
        };
    }
    shown.finish()
}
