//! Lotus' API, as its source and a running copy of it behave.
//!
//! Source: uselotus/lotus at commit 0ea71f7; *transcript* and a letter name a section of the
//! recorded exchanges with the running copy. Where source and published documents differ,
//! the recorded behaviour is served.

mod body;
mod errors;
mod record;
mod view;

use axum::http::header::{ALLOW, AUTHORIZATION, LOCATION, VARY};
use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

pub(super) use errors::failure;
pub(super) use record::{Organization, Subscription, Traits};

use super::cast;
use super::store::{Record, Shelf};
use super::wire::{Answer, Ask, Call, Manner, Operation};
use errors::Problem;
use record::{Refused, State};
use view::{CustomerBody, View};

/// The provider: one server with two organizations on it.
#[derive(Debug, Default)]
pub(super) struct Lotus {
    pub subscriptions: Shelf<Subscription>,
}

/// Where a path leads, before anybody asked who comes and how.
enum Route {
    Ping,
    List,
    Get(String),
    Cancel(String),
    Update(String),
    /// The deprecated `/api/subscriptions/cancel/`, which ends all that a customer has.
    BulkCancel,
    Customers,
    Customer(String),
    /// One of the above without its final slash.
    Slashless,
    Nowhere,
}

impl Route {
    fn of(ask: &Ask) -> Self {
        let segments = ask.segments();
        let path: Vec<&str> = segments.iter().map(String::as_str).collect();
        match path.split_last() {
            Some((&"", path)) => Self::within(path),
            _ if matches!(Self::within(&path), Self::Nowhere) => Self::Nowhere,
            _ => Self::Slashless,
        }
    }

    fn within(path: &[&str]) -> Self {
        match path {
            ["api", "ping"] => Self::Ping,
            ["api", "subscriptions"] => Self::List,
            ["api", "subscriptions", "cancel"] => Self::BulkCancel,
            ["api", "subscriptions", id] => Self::Get((*id).to_owned()),
            // The same view stands under the private prefix too (transcript D).
            ["api" | "app", "subscriptions", id, "cancel"] => Self::Cancel((*id).to_owned()),
            ["api", "subscriptions", id, "update"] => Self::Update((*id).to_owned()),
            ["api", "customers"] => Self::Customers,
            ["api", "customers", id] => Self::Customer((*id).to_owned()),
            _ => Self::Nowhere,
        }
    }

    /// The `Allow` header, which comes with every answer.
    fn allow(&self) -> &'static str {
        match self {
            Self::Ping => "GET, HEAD, OPTIONS",
            Self::List | Self::Customers => "GET, HEAD, POST",
            Self::Get(_) | Self::Customer(_) => "GET, HEAD",
            Self::Cancel(_) | Self::Update(_) | Self::BulkCancel => "POST",
            Self::Slashless | Self::Nowhere => "",
        }
    }

    /// Whether the sandbox serves the method. Creating (POST on the list) it does not.
    fn takes(&self, method: &Method) -> bool {
        match self {
            Self::Cancel(_) | Self::Update(_) | Self::BulkCancel => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// Who asks: a key's organization, or a session of the web app's.
struct Caller {
    organization: Organization,
    by_session: bool,
}

impl Caller {
    /// A `Token` header is looked at first and fails on its own, even beside a good key;
    /// other schemes in `Authorization` are ignored (transcript B).
    fn of(ask: &Ask) -> Result<Self, Answer> {
        let token = ask.header(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("token").then_some(token.trim())
        });
        match token {
            Some(cast::LOTUS_SESSION_TOKEN) => {
                return Ok(Self {
                    organization: Organization::Ours,
                    by_session: true,
                });
            }
            Some(_) => return Err(errors::authentication_failed()),
            None => {}
        }
        let organization = match ask.header("x-api-key") {
            Some(cast::LOTUS_KEY) => Organization::Ours,
            Some(cast::LOTUS_OTHER_KEY) => Organization::Other,
            _ => return Err(errors::not_authenticated()),
        };
        Ok(Self {
            organization,
            by_session: false,
        })
    }
}

impl Lotus {
    /// What a request is for.
    pub fn call(ask: &Ask) -> Call {
        match Route::of(ask) {
            Route::Ping => Call::of(Operation::Me),
            Route::List | Route::Customers | Route::Customer(_) => Call::of(Operation::List),
            Route::Get(id) => Call::on(Operation::Get, normal(&id).unwrap_or(id)),
            Route::Cancel(id) if ask.method == Method::POST => {
                Call::on(Operation::Cancel, normal(&id).unwrap_or(id))
            }
            Route::Update(id) => Call::on(Operation::Update, normal(&id).unwrap_or(id)),
            Route::BulkCancel => Call::of(Operation::Cancel),
            Route::Cancel(_) | Route::Slashless | Route::Nowhere => Call::of(Operation::Other),
        }
    }

    /// Whether a cancel that arrives now would pass its check.
    pub fn is_live(&self, id: &str, now: DateTime<Utc>) -> bool {
        let live = self.subscriptions.with(id, |it| it.is_live(now));
        live.unwrap_or(false)
    }

    /// Answers a request, and does what it asks. The order of checks is the real one's: who,
    /// how, whether the id can be one, whether it exists, the body, the state.
    pub fn answer(&self, ask: &Ask, now: DateTime<Utc>, manner: Manner) -> Answer {
        let route = Route::of(ask);
        match route {
            Route::Slashless => return with_slash(ask),
            Route::Nowhere => return nowhere(),
            _ => {}
        }
        self.settled(&route, ask, now, manner)
            .unwrap_or_else(|refusal| refusal)
            .with(VARY, "Accept, Origin, Cookie")
            .with(ALLOW, route.allow())
    }

    fn settled(
        &self,
        route: &Route,
        ask: &Ask,
        now: DateTime<Utc>,
        manner: Manner,
    ) -> Result<Answer, Answer> {
        let caller = Caller::of(ask)?;
        if !route.takes(&ask.method) {
            return Err(errors::method_not_allowed(ask.method.as_str()));
        }
        match route {
            Route::Ping => ping(&caller),
            Route::List => self.list(&caller, ask, now, manner),
            Route::Get(id) => self.get(id, manner),
            Route::Cancel(id) => self.cancel(id, ask, now, manner),
            Route::Update(id) => self.update(id, ask, now, manner),
            Route::BulkCancel => self.bulk_cancel(&caller, ask, now, manner),
            Route::Customers => Ok(self.customers(&caller, now)),
            Route::Customer(id) => self.customer(&caller, id, now),
            Route::Slashless | Route::Nowhere => Err(nowhere()),
        }
    }

    /// `GET /api/subscriptions/{id}/`: any organization's (transcripts A, I); never add-ons.
    fn get(&self, id: &str, manner: Manner) -> Result<Answer, Answer> {
        let hex = normal(id).ok_or_else(errors::malformed_id)?;
        let found = match manner {
            Manner::Mistaken => self.subscriptions.with_neighbour(&hex, Subscription::view),
            _ => self.subscriptions.with(&hex, |it| it.shown(manner).view()),
        };
        found
            .map(|view| ok(&view))
            .ok_or_else(|| errors::subscription_not_found(&hex))
    }

    /// `POST …/cancel/` (`backend/api/views.py`, line 1021; transcripts C, D, E, G).
    fn cancel(
        &self,
        id: &str,
        ask: &Ask,
        now: DateTime<Utc>,
        manner: Manner,
    ) -> Result<Answer, Answer> {
        let hex = self.existing(id)?;
        let terms = body::cancel_terms(ask)?;
        let outcome = self
            .subscriptions
            .with(&hex, |it| it.cancel(terms, now, manner))
            .ok_or_else(|| errors::subscription_not_found(&hex))?;
        match outcome {
            Ok(view) => Ok(ok(&self.mistaken(&hex, manner).unwrap_or(view))),
            Err(Refused::AlreadyEnded) => Err(errors::already_ended()),
            Err(Refused::NotStarted(words)) => {
                Err(errors::server(StatusCode::INTERNAL_SERVER_ERROR, &words))
            }
        }
    }

    /// `POST …/update/` (`backend/api/views.py`, line 1049; transcript F).
    fn update(
        &self,
        id: &str,
        ask: &Ask,
        now: DateTime<Utc>,
        manner: Manner,
    ) -> Result<Answer, Answer> {
        let hex = self.existing(id)?;
        let terms = body::update_terms(ask, now)?;
        let view = self.subscriptions.with(&hex, |it| {
            let mut shown = it.clone();
            if manner != Manner::Idly {
                shown.update(terms);
            }
            let view = shown.view();
            if manner.acts() {
                *it = shown;
            }
            view
        });
        let view = view.ok_or_else(|| errors::subscription_not_found(&hex))?;
        Ok(ok(&self.mistaken(&hex, manner).unwrap_or(view)))
    }

    /// `POST /api/subscriptions/cancel/?customer_id=…[&plan_id=…]`: deprecated and still
    /// there; without a plan it ends all that the customer has (transcript M).
    fn bulk_cancel(
        &self,
        caller: &Caller,
        ask: &Ask,
        now: DateTime<Utc>,
        manner: Manner,
    ) -> Result<Answer, Answer> {
        let customer = ask
            .query_value("customer_id")
            .ok_or_else(|| errors::validation(&[Problem::null("customer_id")]))?;
        let terms = body::cancel_terms(ask)?;
        let plan = ask.query_value("plan_id").map(|id| bare("plan_", &id));
        let views = self.of_customer(caller, &customer, |it| {
            let wanted = it.state(now) == State::Active && in_plan(it, plan.as_deref());
            if !wanted {
                return None;
            }
            it.tally().requests += 1;
            it.tally().cancels_received += 1;
            it.cancel(terms, now, manner).ok()
        });
        let views: Vec<View> = views
            .ok_or_else(|| unknown_customer(&customer))?
            .into_iter()
            .flatten()
            .collect();
        Ok(ok(&views))
    }

    /// `GET /api/subscriptions/?customer_id=…` (`ListSubscriptionRecordFilter`; transcript A):
    /// the key's own organization only, every status if none is named, no pages. The order
    /// is undocumented: latest start first, add-ons behind what they belong to.
    fn list(
        &self,
        caller: &Caller,
        ask: &Ask,
        now: DateTime<Utc>,
        manner: Manner,
    ) -> Result<Answer, Answer> {
        let mut problems = Vec::new();
        let customer = ask.query_value("customer_id").filter(|id| !id.is_empty());
        if customer.is_none() {
            problems.push(Problem {
                code: "required",
                detail: "This field is required.".to_owned(),
                attr: Some("customer_id"),
            });
        }
        let wanted = statuses(ask, &mut problems);
        let plan = ask.query_value("plan_id").map(|id| bare("plan_", &id));
        let (Some(customer), true) = (customer, problems.is_empty()) else {
            return Err(errors::validation(&problems));
        };
        let found = self.of_customer(caller, &customer, |it| {
            let shown = in_plan(it, plan.as_deref());
            let entries = shown.then(|| it.shown(manner).list_entries(&wanted, now));
            (it.start, entries.unwrap_or_default())
        });
        let mut found = found.ok_or_else(|| unknown_customer(&customer))?;
        found.sort_by_key(|(start, _)| std::cmp::Reverse(*start));
        let entries: Vec<View> = found.into_iter().flat_map(|(_, entries)| entries).collect();
        Ok(ok(&entries))
    }

    /// `GET /api/customers/`: all at once, each with its active subscriptions only.
    fn customers(&self, caller: &Caller, now: DateTime<Utc>) -> Answer {
        let mut ids: Vec<String> = Vec::new();
        self.subscriptions.each_from(0, |it| {
            if it.traits.customer_id.is_none() {
                ids.push(it.customer_id());
            }
            true
        });
        ids.extend(self.subscriptions.groups().iter().map(ToString::to_string));
        ids.sort_unstable();
        let bodies: Vec<CustomerBody> = ids
            .iter()
            .filter_map(|id| self.customer_body(caller, id, now))
            .collect();
        ok(&bodies)
    }

    /// `GET /api/customers/{customer_id}/` (transcript A). Its 404 is inferred from the
    /// subscriptions' one.
    fn customer(&self, caller: &Caller, id: &str, now: DateTime<Utc>) -> Result<Answer, Answer> {
        let body = self.customer_body(caller, id, now);
        body.map(|body| ok(&body)).ok_or_else(|| {
            let detail = format!("Customer with customer_id {id} not found");
            errors::client(StatusCode::NOT_FOUND, "resource_not_found", &detail)
        })
    }

    fn customer_body(&self, caller: &Caller, id: &str, now: DateTime<Utc>) -> Option<CustomerBody> {
        let found = self.of_customer(caller, id, |it| it.clone())?;
        let active = found.iter().filter(|it| it.state(now) == State::Active);
        let active = active.map(Subscription::view).collect();
        found.first().map(|any| CustomerBody::of(any, active))
    }

    /// Looks at each record of a customer that the caller's organization has; none if it has
    /// no such customer.
    fn of_customer<T>(
        &self,
        caller: &Caller,
        id: &str,
        mut look: impl FnMut(&mut Subscription) -> T,
    ) -> Option<Vec<T>> {
        let mut ours = |it: &mut Subscription| {
            (it.traits.organization == caller.organization).then(|| look(it))
        };
        let mut found: Vec<T> = self
            .subscriptions
            .in_group(id, &mut ours)
            .into_iter()
            .flatten()
            .collect();
        if let Some(hex) = id.strip_prefix("cust_") {
            let own = self.subscriptions.with(hex, |it| {
                it.traits.customer_id.is_none().then(|| ours(it)).flatten()
            });
            found.extend(own.flatten());
        }
        (!found.is_empty()).then_some(found)
    }

    fn existing(&self, id: &str) -> Result<String, Answer> {
        let hex = normal(id).ok_or_else(errors::malformed_id)?;
        match self.subscriptions.with(&hex, |_| ()) {
            Some(()) => Ok(hex),
            None => Err(errors::subscription_not_found(&hex)),
        }
    }

    fn mistaken(&self, hex: &str, manner: Manner) -> Option<View> {
        (manner == Manner::Mistaken)
            .then(|| self.subscriptions.with_neighbour(hex, Subscription::view))
            .flatten()
    }
}

/// `GET /api/ping/`: the key check. It wants a key and refuses a session (transcript B).
fn ping(caller: &Caller) -> Result<Answer, Answer> {
    if caller.by_session {
        return Err(errors::permission_denied());
    }
    let organization = match caller.organization {
        Organization::Ours => cast::LOTUS_ORGANIZATION,
        Organization::Other => cast::LOTUS_OTHER_ORGANIZATION,
    };
    Ok(ok(&json!({ "organization_id": organization })))
}

/// 301 to the same path with its slash, before anybody asks who comes (transcript C).
fn with_slash(ask: &Ask) -> Answer {
    let query = if ask.query.is_empty() { "" } else { "?" };
    let location = format!("/lotus{}/{query}{}", ask.path, ask.query);
    Answer::text(
        StatusCode::MOVED_PERMANENTLY,
        "text/html; charset=utf-8",
        "",
    )
    .with(LOCATION, &location)
    .with(VARY, "Origin")
}

fn nowhere() -> Answer {
    let page = "<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>Not Found</title>\n</head>\n\
                <body>\n  <h1>Not Found</h1><p>The requested resource was not found on this \
                server.</p>\n</body>\n</html>\n";
    Answer::text(StatusCode::NOT_FOUND, "text/html; charset=utf-8", page)
}

fn ok(body: &impl Serialize) -> Answer {
    Answer::json(StatusCode::OK, "application/json", body)
}

fn unknown_customer(id: &str) -> Answer {
    errors::validation(&[Problem {
        code: "does_not_exist",
        detail: format!("Object with customer_id={id} does not exist."),
        attr: Some("customer_id"),
    }])
}

/// `status`, repeated for several; a comma list is no choice.
fn statuses(ask: &Ask, problems: &mut Vec<Problem>) -> Vec<State> {
    let mut wanted = Vec::new();
    for status in ask.queried("status") {
        match status.as_str() {
            "active" => wanted.push(State::Active),
            "ended" => wanted.push(State::Ended),
            "not_started" => wanted.push(State::NotStarted),
            _ => problems.push(Problem::choice("status", &status)),
        }
    }
    wanted
}

fn in_plan(it: &Subscription, plan: Option<&str>) -> bool {
    plan.is_none_or(|plan| bare("plan_", &it.traits.plan_id) == plan)
}

/// An id's 32 hex digits: the prefix may be missing, dashes are dropped (`UUIDPrefixField`,
/// `backend/metering_billing/serializers/serializer_utils.py`, line 205).
pub(super) fn normal(id: &str) -> Option<String> {
    let hex = bare("sub_", id);
    let whole = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then_some(hex)
}

fn bare(prefix: &str, id: &str) -> String {
    let bare = id.strip_prefix(prefix).unwrap_or(id);
    bare.replace('-', "").to_ascii_lowercase()
}
