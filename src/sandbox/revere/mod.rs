//! Revere Payments' API, as its documents describe it.
//!
//! Source: <https://support.reverepayments.dev/docs/developers/>. No error body is documented
//! anywhere; ours are `{"message": "…"}`. What else is decided here is marked *undocumented*.

mod subscription;

use axum::http::header::AUTHORIZATION;
use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use subscription::{Subscription, Traits};

use super::cast;
use super::settings::Settings;
use super::store::Shelf;
use super::wire::{Answer, Ask, Call, Manner, Operation};

/// The page size when none is asked for: that of the documents' example. Undocumented.
const DEFAULT_LIMIT: usize = 10;

/// The provider: one group with one linked account and its subscriptions.
#[derive(Debug, Default)]
pub(super) struct Revere {
    pub subscriptions: Shelf<Subscription>,
}

/// Where a request leads, under `/api/v1/groups/{group_id}/revere_pay/{linked_account_id}`.
enum Route {
    List,
    Get(String),
    /// With `/recurring/subscription/{id}/cancel`, as in the page's example.
    Cancel(String),
    /// With `/recurring/{id}/cancel`, as in the page's heading.
    HeadingCancel(String),
    Nowhere,
}

/// A place: the account that the path names, and the way within it.
struct Place {
    group: String,
    account: String,
    route: Route,
}

impl Place {
    fn of(ask: &Ask) -> Self {
        let segments = ask.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        let [
            "api",
            "v1",
            "groups",
            group,
            "revere_pay",
            account,
            "recurring",
            rest @ ..,
        ] = path.as_slice()
        else {
            return Self {
                group: String::new(),
                account: String::new(),
                route: Route::Nowhere,
            };
        };
        let reads = ask.method == Method::GET || ask.method == Method::HEAD;
        let puts = ask.method == Method::PUT;
        let route = match rest {
            ["subscription"] if reads => Route::List,
            ["subscription", id] if reads => Route::Get((*id).to_owned()),
            ["subscription", id, "cancel"] if puts => Route::Cancel((*id).to_owned()),
            [id, "cancel"] if puts => Route::HeadingCancel((*id).to_owned()),
            _ => Route::Nowhere,
        };
        Self {
            group: (*group).to_owned(),
            account: (*account).to_owned(),
            route,
        }
    }
}

/// The cancel's body: all of it optional.
#[derive(Default, Deserialize)]
struct CancelBody {
    reason: Option<String>,
}

impl Revere {
    /// What a request is for.
    pub fn call(ask: &Ask) -> Call {
        match Place::of(ask).route {
            Route::List => Call::of(Operation::List),
            Route::Get(id) => Call::on(Operation::Get, id),
            Route::Cancel(id) | Route::HeadingCancel(id) => Call::on(Operation::Cancel, id),
            Route::Nowhere => Call::of(Operation::Other),
        }
    }

    /// Answers a request, and does what it asks.
    pub fn answer(
        &self,
        ask: &Ask,
        now: DateTime<Utc>,
        manner: Manner,
        settings: &Settings,
    ) -> Answer {
        // The key as it is, without `Bearer` or `Basic`; 401 itself is undocumented.
        if ask.header(AUTHORIZATION) != Some(cast::REVERE_KEY) {
            return refusal(StatusCode::UNAUTHORIZED, "invalid api key");
        }
        let Place {
            group,
            account,
            route,
        } = Place::of(ask);
        if (group.as_str(), account.as_str()) != (cast::REVERE_GROUP, cast::REVERE_ACCOUNT) {
            return refusal(StatusCode::NOT_FOUND, "not found");
        }
        let forms = settings.revere_cancel_path;
        match route {
            Route::List => self.list(ask, manner),
            Route::Get(id) => self.get(&id, manner),
            Route::Cancel(id) if forms.serves_example() => self.cancel(&id, ask, now, manner),
            Route::HeadingCancel(id) if forms.serves_heading() => {
                self.cancel(&id, ask, now, manner)
            }
            Route::Cancel(_) | Route::HeadingCancel(_) | Route::Nowhere => {
                refusal(StatusCode::NOT_FOUND, "not found")
            }
        }
    }

    /// `GET …/recurring/subscription/{id}`: `{"data": {…}}`, 200, 400, 404, 500
    /// (`subscriptions/get`).
    fn get(&self, id: &str, manner: Manner) -> Answer {
        if !well_formed(id) {
            return refusal(StatusCode::BAD_REQUEST, "invalid subscription id");
        }
        let found = match manner {
            Manner::Mistaken => self.subscriptions.with_neighbour(id, Subscription::object),
            _ => self.subscriptions.with(id, |it| it.shown(manner).object()),
        };
        match found {
            Some(object) => ok(&json!({ "data": object })),
            None => refusal(StatusCode::NOT_FOUND, "subscription not found"),
        }
    }

    /// `GET …/recurring/subscription`: `{"data": {"items": […]}}`, no total and no next link
    /// (`subscriptions/getAll`). Its largest `limit` is undocumented: none here.
    fn list(&self, ask: &Ask, manner: Manner) -> Answer {
        let (Some(limit), Some(offset)) = (
            unsigned(ask, "limit", DEFAULT_LIMIT),
            unsigned(ask, "offset", 0),
        ) else {
            return refusal(StatusCode::BAD_REQUEST, "limit and offset must be numbers");
        };
        let id = ask.query_value("subscription_id");
        let name = ask.query_value("name");
        let email = ask.query_value("email");
        let filtered = id.is_some() || name.is_some() || email.is_some();
        let mut passed = 0;
        let mut items = Vec::new();
        let start = if filtered { 0 } else { offset };
        self.subscriptions.each_from(start, |it| {
            if items.len() >= limit {
                return false;
            }
            if it.matches(id.as_deref(), name.as_deref(), email.as_deref()) {
                passed += 1;
                if !filtered || passed > offset {
                    items.push(it.shown(manner).list_item());
                }
            }
            true
        });
        ok(&json!({ "data": { "items": items } }))
    }

    /// `PUT …/cancel`, at once, optional `{"reason": "…"}`, answers the **bare** object; 200,
    /// 400, 500 (`subscriptions/cancel`). No 404 is listed, so an unknown id is 400; and so
    /// is one that is canceled already (both undocumented).
    fn cancel(&self, id: &str, ask: &Ask, now: DateTime<Utc>, manner: Manner) -> Answer {
        let Some(CancelBody { reason }) = cancel_body(ask) else {
            return refusal(StatusCode::BAD_REQUEST, "invalid request body");
        };
        let outcome = self.subscriptions.with(id, |it| match manner {
            Manner::Idly => Some(it.object()),
            _ if it.is_canceled() => None,
            Manner::Pretending => Some(it.as_if_canceled(reason)),
            _ => {
                it.cancel(reason, now);
                Some(it.object())
            }
        });
        match outcome {
            None => refusal(StatusCode::BAD_REQUEST, "subscription not found"),
            Some(None) => refusal(StatusCode::BAD_REQUEST, "subscription is already canceled"),
            Some(Some(object)) => ok(&self.mistaken(id, manner).unwrap_or(object)),
        }
    }

    fn mistaken(&self, id: &str, manner: Manner) -> Option<Value> {
        (manner == Manner::Mistaken)
            .then(|| self.subscriptions.with_neighbour(id, Subscription::object))
            .flatten()
    }
}

fn cancel_body(ask: &Ask) -> Option<CancelBody> {
    if ask.body.is_empty() {
        return Some(CancelBody::default());
    }
    serde_json::from_slice(&ask.body).ok()
}

fn unsigned(ask: &Ask, name: &str, default: usize) -> Option<usize> {
    match ask.query_value(name) {
        Some(text) => text.parse().ok(),
        None => Some(default),
    }
}

/// Ids are UUIDs in every sample; any other plain word is merely unknown.
fn well_formed(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=128).contains(&id.len()) && id.chars().all(plain)
}

fn ok(body: &Value) -> Answer {
    Answer::json(StatusCode::OK, "application/json", body)
}

fn refusal(status: StatusCode, message: &str) -> Answer {
    Answer::json(status, "application/json", &json!({ "message": message }))
}

/// The provider's own shape for any failing status, for faults.
pub(super) fn failure(status: StatusCode) -> Answer {
    refusal(status, status.canonical_reason().unwrap_or("error"))
}
