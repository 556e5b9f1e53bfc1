//! Kajabi's access tokens: given for client credentials, and they really expire.
//!
//! <https://developers.kajabi.com/api-reference/authentication/get-access-token>

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use serde_json::json;

use crate::sandbox::cast;
use crate::sandbox::store::lock;
use crate::sandbox::wire::{Answer, Ask};

/// The most sessions kept; beyond it all but the live ones are dropped, then all.
const MOST_SESSIONS: usize = 10_000;

/// How much longer than its access token a refresh token lives. Undocumented.
const REFRESH_FACTOR: u32 = 12;

/// What the key behind a token may do.
///
/// Each key has its own permissions; which one a cancel needs is undocumented, so there are
/// only these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Full,
    ReadOnly,
}

/// One grant: an access token and its refresh token share a number and die together.
#[derive(Clone, Copy, Debug)]
struct Session {
    scope: Scope,
    access_until: Duration,
    refresh_until: Duration,
}

/// The tokens given out. Their ages are measured from boot: the server's own wall clock may
/// be set without that changing how long a token lives.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    sessions: Mutex<HashMap<u64, Session>>,
    last: AtomicU64,
}

impl Tokens {
    /// `POST /v1/oauth/token`.
    pub fn grant(&self, ask: &Ask, expires_in: u32) -> Answer {
        if ask.content_type().as_deref() != Some("application/x-www-form-urlencoded") {
            return refusal(StatusCode::BAD_REQUEST, "invalid_request");
        }
        let form: HashMap<_, _> = url::form_urlencoded::parse(&ask.body).collect();
        let field = |name: &str| form.get(name).map_or("", |value| value.as_ref());
        let scope = match field("grant_type") {
            "client_credentials" => known_client(field("client_id"), field("client_secret")),
            "refresh_token" => self.refreshed(field("refresh_token"), ask.arrived.boot),
            "" => return refusal(StatusCode::BAD_REQUEST, "invalid_request"),
            _ => return refusal(StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        };
        match scope {
            Some(scope) => self.issue(scope, ask.arrived.boot, expires_in),
            None => refusal(StatusCode::UNAUTHORIZED, "invalid_client"),
        }
    }

    /// What the request's Bearer token allows; none if it is missing, unknown or expired.
    pub fn scope(&self, ask: &Ask) -> Option<Scope> {
        let token = ask.header(AUTHORIZATION)?.strip_prefix("Bearer ")?;
        let number = number_in(token, "access")?;
        let session = *lock(&self.sessions).get(&number)?;
        (session.access_until > ask.arrived.boot).then_some(session.scope)
    }

    /// `POST /v1/oauth/revoke`: both tokens of the session die; 200 without a body.
    /// <https://developers.kajabi.com/api-reference/authentication/revoke-a-token>
    pub fn revoke(&self, ask: &Ask) -> Answer {
        let token = url::form_urlencoded::parse(&ask.body)
            .find(|(name, _)| name == "token")
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default();
        let number = number_in(&token, "access").or_else(|| number_in(&token, "refresh"));
        if let Some(number) = number {
            lock(&self.sessions).remove(&number);
        }
        Answer::empty(StatusCode::OK)
    }

    pub fn clear(&self) {
        lock(&self.sessions).clear();
    }

    fn refreshed(&self, token: &str, now: Duration) -> Option<Scope> {
        let number = number_in(token, "refresh")?;
        let session = *lock(&self.sessions).get(&number)?;
        (session.refresh_until > now).then_some(session.scope)
    }

    fn issue(&self, scope: Scope, now: Duration, expires_in: u32) -> Answer {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let life = Duration::from_secs(expires_in.into());
        let session = Session {
            scope,
            access_until: now + life,
            refresh_until: now + life * REFRESH_FACTOR,
        };
        let mut sessions = lock(&self.sessions);
        if sessions.len() >= MOST_SESSIONS {
            sessions.retain(|_, known| known.refresh_until > now);
        }
        if sessions.len() >= MOST_SESSIONS {
            sessions.clear();
        }
        sessions.insert(number, session);
        let body = json!({
            "access_token": format!("canary-kajabi-access-{number}"),
            "refresh_token": format!("canary-kajabi-refresh-{number}"),
            "token_type": "Bearer",
            "expires_in": expires_in,
        });
        Answer::json(StatusCode::OK, "application/json", &body)
    }
}

/// Errors of this endpoint alone are `{"error": "…"}` (`errors_authentication_failed`).
pub(super) fn refusal(status: StatusCode, error: &str) -> Answer {
    Answer::json(status, "application/json", &json!({ "error": error }))
}

fn known_client(id: &str, secret: &str) -> Option<Scope> {
    match (id, secret) {
        (cast::KAJABI_CLIENT_ID, cast::KAJABI_CLIENT_SECRET) => Some(Scope::Full),
        (cast::KAJABI_READER_CLIENT_ID, cast::KAJABI_CLIENT_SECRET) => Some(Scope::ReadOnly),
        _ => None,
    }
}

fn number_in(token: &str, kind: &str) -> Option<u64> {
    token
        .strip_prefix("canary-kajabi-")?
        .strip_prefix(kind)?
        .strip_prefix('-')?
        .parse()
        .ok()
}
