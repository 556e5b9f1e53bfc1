//! Kajabi's public API, as its documents describe it.
//!
//! Source: <https://github.com/Kajabi/public_api_docs> `openapi.yaml` (1.1.0, 2026-06-10) and
//! the pages under <https://developers.kajabi.com/api-reference/>. What they leave open is
//! decided here and marked *undocumented*.

mod purchase;
mod tokens;

use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

pub(super) use purchase::{Purchase, Traits};

use super::cast;
use super::settings::Settings;
use super::store::Shelf;
use super::wire::{Answer, Ask, Call, Manner, Operation};
use tokens::{Scope, Tokens};

/// All answers but the token endpoint's (`openapi.yaml`).
const JSON_API: &str = "application/vnd.api+json";

/// The page size when none is asked for. Undocumented; one client saw 30.
const DEFAULT_PAGE_SIZE: usize = 30;

/// The provider: its purchases and the tokens it has given out.
#[derive(Debug, Default)]
pub(super) struct Kajabi {
    pub purchases: Shelf<Purchase>,
    tokens: Tokens,
}

/// Where a request leads.
enum Route {
    Token,
    Revoke,
    Me,
    Version,
    List,
    Get(String),
    Cancel(String),
    Deactivate(String),
    Reactivate(String),
    Offer(String),
    Nowhere,
}

impl Route {
    fn of(ask: &Ask) -> Self {
        let segments = ask.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        let reads = ask.method == Method::GET || ask.method == Method::HEAD;
        let posts = ask.method == Method::POST;
        match path.as_slice() {
            ["v1", "oauth", "token"] if posts => Self::Token,
            ["v1", "oauth", "revoke"] if posts => Self::Revoke,
            ["v1", "me"] if reads => Self::Me,
            ["v1", "version"] if reads => Self::Version,
            ["v1", "purchases"] if reads => Self::List,
            ["v1", "offers", id] if reads => Self::Offer((*id).to_owned()),
            ["v1", "purchases", id] if reads => Self::Get((*id).to_owned()),
            ["v1", "purchases", id, "cancel_subscription"] if posts => {
                Self::Cancel((*id).to_owned())
            }
            ["v1", "purchases", id, "deactivate"] if posts => Self::Deactivate((*id).to_owned()),
            ["v1", "purchases", id, "reactivate"] if posts => Self::Reactivate((*id).to_owned()),
            _ => Self::Nowhere,
        }
    }
}

impl Kajabi {
    /// What a request is for.
    pub fn call(ask: &Ask) -> Call {
        match Route::of(ask) {
            Route::Token | Route::Revoke => Call::of(Operation::Token),
            Route::Me => Call::of(Operation::Me),
            Route::List => Call::of(Operation::List),
            Route::Get(id) => Call::on(Operation::Get, id),
            Route::Cancel(id) => Call::on(Operation::Cancel, id),
            Route::Deactivate(id) | Route::Reactivate(id) => Call::on(Operation::Update, id),
            Route::Offer(_) => Call::of(Operation::Offer),
            Route::Version | Route::Nowhere => Call::of(Operation::Other),
        }
    }

    /// Forgets every token.
    pub fn forget_tokens(&self) {
        self.tokens.clear();
    }

    /// Answers a request, and does what it asks.
    pub fn answer(
        &self,
        ask: &Ask,
        now: DateTime<Utc>,
        manner: Manner,
        settings: &Settings,
    ) -> Answer {
        let route = Route::of(ask);
        match route {
            Route::Token => return self.tokens.grant(ask, settings.kajabi_expires_in),
            Route::Version => return version(),
            Route::Nowhere => return not_found(),
            _ => {}
        }
        let Some(scope) = self.tokens.scope(ask) else {
            return unauthorized();
        };
        let writes = ask.method == Method::POST;
        if writes && scope == Scope::ReadOnly && !matches!(route, Route::Revoke) {
            return forbidden();
        }
        match route {
            Route::Revoke => self.tokens.revoke(ask),
            Route::Me => me(scope),
            Route::List => self.list(ask, manner),
            Route::Get(id) => self.get(&id, ask, manner),
            Route::Cancel(id) => self.cancel(&id, now, manner),
            Route::Deactivate(id) => self.change(&id, manner, |it| it.deactivate(now)),
            Route::Reactivate(id) => self.change(&id, manner, Purchase::reactivate),
            Route::Offer(id) => self.offer(&id),
            Route::Token | Route::Version | Route::Nowhere => not_found(),
        }
    }

    /// <https://developers.kajabi.com/api-reference/purchases/purchase-details>
    fn get(&self, id: &str, ask: &Ask, manner: Manner) -> Answer {
        let fields = sparse_fields(ask);
        let render = |it: &Purchase| it.shown(manner).resource(fields.as_deref());
        let found = match manner {
            Manner::Mistaken => self.purchases.with_neighbour(id, render),
            _ => self.purchases.with(id, |it| render(it)),
        };
        found.map_or_else(not_found, |data| ok(&json!({ "data": data })))
    }

    /// <https://developers.kajabi.com/api-reference/purchases/cancel-subscription>: at once,
    /// no body, answers as GET by id does.
    fn cancel(&self, id: &str, now: DateTime<Utc>, manner: Manner) -> Answer {
        let outcome = self.purchases.with(id, |it| {
            if !it.bills() && manner != Manner::Idly {
                return Err(not_cancellable(it));
            }
            Ok(match manner {
                Manner::Idly => it.resource(None),
                Manner::Pretending => it.as_if_cancelled(now),
                _ => {
                    it.cancel(now);
                    it.resource(None)
                }
            })
        });
        match outcome {
            None => not_found(),
            Some(Err(refusal)) => refusal,
            Some(Ok(data)) => ok(&json!({ "data": self.mistaken(id, manner).unwrap_or(data) })),
        }
    }

    /// Deactivate and reactivate; both answer as GET by id does.
    fn change(&self, id: &str, manner: Manner, act: impl FnOnce(&mut Purchase)) -> Answer {
        let shown = self.purchases.with(id, |it| {
            if manner.acts() {
                act(it);
            }
            it.resource(None)
        });
        match shown {
            None => not_found(),
            Some(data) => ok(&json!({ "data": self.mistaken(id, manner).unwrap_or(data) })),
        }
    }

    fn mistaken(&self, id: &str, manner: Manner) -> Option<Value> {
        (manner == Manner::Mistaken)
            .then(|| self.purchases.with_neighbour(id, |it| it.resource(None)))
            .flatten()
    }

    /// <https://developers.kajabi.com/api-reference/purchases/list-purchases>. Filters other
    /// than the ones below are ignored, which a client reports of the real one too.
    fn list(&self, ask: &Ask, manner: Manner) -> Answer {
        let number = number(ask, "page[number]", 1);
        let size = number_of_rows(ask);
        let customer = ask.query_value("filter[customer_id]");
        let active = ask.query_value("filter[active]").as_deref() == Some("true");
        let deactivated = ask.query_value("filter[deactivated]").as_deref() == Some("true");
        let fields = sparse_fields(ask);
        let skip = (number - 1).saturating_mul(size);
        let all = customer.is_none() && !active && !deactivated;
        let mut total = 0;
        let mut data = Vec::new();
        if all {
            total = self.purchases.len();
            self.purchases.each_from(skip, |it| {
                if data.len() < size {
                    data.push(it.shown(manner).resource(fields.as_deref()));
                }
                data.len() < size
            });
        } else {
            self.purchases.each_from(0, |it| {
                let wanted = it.matches(customer.as_deref(), active, deactivated);
                if wanted && total >= skip && data.len() < size {
                    data.push(it.shown(manner).resource(fields.as_deref()));
                }
                total += usize::from(wanted);
                true
            });
        }
        let pages = total.div_ceil(size);
        let meta = json!({ "count": data.len(), "total_count": total, "total_pages": pages });
        let links = links(ask, number, pages);
        ok(&json!({ "data": data, "links": links, "meta": meta }))
    }

    /// `/v1/offers/{id}` (`openapi.yaml`): the surest word on what kind a purchase is.
    fn offer(&self, id: &str) -> Answer {
        let mut kind = purchase::Kind::of_offer(id);
        if kind.is_none() {
            self.purchases.each_from(0, |it| {
                kind = it.kind_under_offer(id);
                kind.is_none()
            });
        }
        kind.map_or_else(not_found, |kind| ok(&json!({ "data": kind.offer(id) })))
    }
}

/// `GET /v1/version`: no credentials needed (`openapi.yaml`).
fn version() -> Answer {
    ok(&json!({
        "jsonapi": { "version": "1.0" },
        "links": { "documentation": "https://developers.kajabi.com/api-reference" },
        "meta": { "title": "Kajabi API V1", "version": "1.1.0" },
    }))
}

/// `GET /v1/me` (`openapi.yaml`): who the token is, with `role_level`.
fn me(scope: Scope) -> Answer {
    let role = match scope {
        Scope::Full => "owner",
        Scope::ReadOnly => "assistant",
    };
    ok(&json!({ "data": {
        "id": cast::KAJABI_USER_ID,
        "type": "users",
        "attributes": {
            "email": "canary-owner@example.com",
            "name": "Canary Owner",
            "role_level": role,
        },
    }}))
}

/// `fields[purchases]=a,b`, if it is there. As in JSON:API, relationships are fields too.
fn sparse_fields(ask: &Ask) -> Option<Vec<String>> {
    let text = ask.query_value("fields[purchases]")?;
    Some(text.split(',').map(|name| name.trim().to_owned()).collect())
}

fn number(ask: &Ask, name: &str, default: usize) -> usize {
    ask.query_value(name)
        .and_then(|text| text.parse().ok())
        .filter(|number| *number > 0)
        .unwrap_or(default)
}

fn number_of_rows(ask: &Ask) -> usize {
    number(ask, "page[size]", DEFAULT_PAGE_SIZE)
}

/// `links` with the five keys of the documented example; `prev` and `next` are null at the ends.
fn links(ask: &Ask, number: usize, pages: usize) -> Value {
    let others: String = url::form_urlencoded::parse(ask.query.as_bytes())
        .filter(|(key, _)| key != "page[number]")
        .fold(String::new(), |text, (key, value)| {
            let mut pair = url::form_urlencoded::Serializer::new(String::new());
            pair.append_pair(&key, &value);
            format!("{text}&{}", pair.finish())
        });
    let host = ask.header("host").unwrap_or("127.0.0.1");
    let page = |number: usize| {
        format!("http://{host}/kajabi/v1/purchases?page%5Bnumber%5D={number}{others}")
    };
    json!({
        "self": page(number),
        "first": page(1),
        "prev": (number > 1).then(|| page(number - 1)),
        "next": (number < pages).then(|| page(number + 1)),
        "last": page(pages.max(1)),
    })
}

fn ok(body: &Value) -> Answer {
    Answer::json(StatusCode::OK, JSON_API, body)
}

/// A JSON:API error; `status` is text (`errors_attributes` in `openapi.yaml`).
fn error(status: StatusCode, pointer: Option<&str>, title: &str, detail: &str) -> Answer {
    let source = pointer.map(|pointer| json!({ "pointer": pointer }));
    let error = json!({
        "status": status.as_str(),
        "source": source,
        "title": title,
        "detail": detail,
    });
    Answer::json(status, JSON_API, &json!({ "errors": [error] }))
}

/// The provider's own shape for any failing status, for faults.
pub(super) fn failure(operation: Operation, status: StatusCode) -> Answer {
    let reason = status.canonical_reason().unwrap_or("Error");
    match operation {
        Operation::Token => tokens::refusal(status, reason),
        _ => error(status, None, reason, reason),
    }
}

fn unauthorized() -> Answer {
    let detail = "The access token is missing, invalid or expired";
    error(StatusCode::UNAUTHORIZED, None, "Unauthorized", detail)
}

fn forbidden() -> Answer {
    let detail = "The API key lacks the permission for this action";
    error(StatusCode::FORBIDDEN, None, "Forbidden", detail)
}

fn not_found() -> Answer {
    let detail = "The requested resource could not be found";
    error(StatusCode::NOT_FOUND, None, "Not Found", detail)
}

/// 422 "validation errors in cancelling subscription" is all that is documented; that it
/// meets one-time purchases and cancelled ones is inferred.
fn not_cancellable(purchase: &Purchase) -> Answer {
    let detail = if purchase.has_subscription() {
        "Subscription has already been canceled"
    } else {
        "Purchase does not have a subscription"
    };
    error(
        StatusCode::UNPROCESSABLE_ENTITY,
        Some("/data/attributes/base"),
        "Unprocessable Entity",
        detail,
    )
}
