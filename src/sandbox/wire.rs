//! What passes over the wire: a request read whole, and an answer not yet sent.
//!
//! The providers are functions from the one to the other. They never see a socket, so that
//! whatever goes wrong on the way is the business of `misbehave` alone.

use std::fmt;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, DATE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Whose API is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Under `/kajabi`.
    Kajabi,
    /// Under `/revere`.
    Revere,
    /// Under `/lotus`.
    Lotus,
}

impl Provider {
    pub(super) const ALL: [Self; 3] = [Self::Kajabi, Self::Revere, Self::Lotus];

    /// As it stands in paths and in the control API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kajabi => "kajabi",
            Self::Revere => "revere",
            Self::Lotus => "lotus",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a request is for, in words that hold for all three providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Operation {
    /// Kajabi: get or revoke a token.
    Token,
    /// Whose credentials these are: Kajabi `/v1/me`, Lotus `/api/ping/`.
    Me,
    /// One subscription by its id.
    Get,
    /// Many subscriptions, or customers with theirs.
    List,
    /// The act: cancel one now.
    Cancel,
    /// Any other write: Kajabi deactivate and reactivate, Lotus update.
    Update,
    /// Kajabi: the offer that tells what kind of purchase it is.
    Offer,
    /// Whatever is none of these, unknown paths too.
    Other,
}

/// A request, understood: what it is for and which subscription its path names.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub operation: Operation,
    /// In the store's own spelling: a Lotus id is 32 hex digits.
    pub id: Option<String>,
}

impl Call {
    pub fn of(operation: Operation) -> Self {
        Self {
            operation,
            id: None,
        }
    }

    pub fn on(operation: Operation, id: impl Into<String>) -> Self {
        Self {
            operation,
            id: Some(id.into()),
        }
    }
}

/// When something happened, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub wall: DateTime<Utc>,
    pub boot: Duration,
}

/// A request to a provider, read whole.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub method: Method,
    /// Beneath the provider's prefix; begins with a slash, still percent-encoded.
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub arrived: Stamp,
}

impl Ask {
    /// The path's segments, decoded. A slash at the end leaves an empty last one.
    pub fn segments(&self) -> Vec<String> {
        self.path.split('/').skip(1).map(decoded).collect()
    }

    /// A header as text, if it is there and is text.
    pub fn header(&self, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The content type without its parameters, in lower case.
    pub fn content_type(&self) -> Option<String> {
        let full = self.header(CONTENT_TYPE)?;
        let bare = full.split(';').next().unwrap_or_default();
        Some(bare.trim().to_ascii_lowercase())
    }

    /// Every value the query string gives to one name, in order.
    pub fn queried(&self, name: &str) -> Vec<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .collect()
    }

    /// The first value the query string gives to one name.
    pub fn query_value(&self, name: &str) -> Option<String> {
        self.queried(name).into_iter().next()
    }
}

/// How an answer shall depart from the plain truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manner {
    /// Do what is asked, and say what was done.
    #[default]
    Truly,
    /// Do nothing, and say it was done.
    Pretending,
    /// Do nothing, and show the subscription as it is.
    Idly,
    /// Do what is asked, and show another subscription.
    Mistaken,
    /// Do what is asked; where nothing but reading is asked, show things as they were before
    /// any cancel.
    Stale,
    /// Do what is asked without looking at the state again: it was live when looked at.
    AlreadyChecked,
}

impl Manner {
    /// Whether the world changes.
    pub fn acts(self) -> bool {
        !matches!(self, Self::Pretending | Self::Idly)
    }
}

/// An answer, not yet sent.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub content_type: Option<&'static str>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

impl Answer {
    /// A JSON answer.
    pub fn json(status: StatusCode, content_type: &'static str, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("our own bodies have text keys only");
        Self {
            status,
            content_type: Some(content_type),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// An answer of some text.
    pub fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: Some(content_type),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            content_type: None,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// With a content type.
    pub fn typed(mut self, content_type: &'static str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    /// With one more header.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            self.headers.push((name, value));
        }
        self
    }

    /// Ready to send, dated by the clock of whoever answers.
    pub fn dated(self, now: DateTime<Utc>) -> Response<Body> {
        let body = Body::from(self.body.clone());
        self.head(now, body)
    }

    /// The head of this answer over another body.
    pub fn head(self, now: DateTime<Utc>, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(DATE, http_date(now));
        if let Some(kind) = self.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        headers.extend(self.headers);
        response
    }
}

/// `Date` in whole seconds, cut and not rounded, as every HTTP server sends it.
fn http_date(now: DateTime<Utc>) -> HeaderValue {
    let text = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).expect("a formatted date is visible ASCII")
}

/// One path segment without its percent-encoding.
fn decoded(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| segment.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
