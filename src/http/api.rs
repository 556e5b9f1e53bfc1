//! The API: what `reconcile::report` tells, as JSON. It only reads.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::ledger::EventQuery;
use crate::model::ids::{Key, ProviderName, SubscriptionId};
use crate::model::request::Request;
use crate::reconcile::report::{
    EventReport, ItemReport, ListQuery, ListReport, Standpoint, StatusReport,
};

use super::params::Params;
use super::problem::Problem;
use super::{App, Caller};

/// The answer to `GET /api/v1/status`.
#[derive(Debug, Serialize)]
pub struct Status {
    version: &'static str,
    started_at: DateTime<Utc>,
    source: SourceReport,
    #[serde(flatten)]
    status: StatusReport,
}

/// What was last read of the files.
#[derive(Debug, Serialize)]
struct SourceReport {
    seen_at: Option<DateTime<Utc>>,
    valid: bool,
    broken_since: Option<DateTime<Utc>>,
    problems: Vec<String>,
    warnings: Vec<String>,
}

/// The answer to `GET /api/v1/events`.
#[derive(Debug, Serialize)]
pub struct Events {
    events: Vec<EventReport>,
    /// What `after` gives what comes next.
    next: i64,
}

/// `GET /api/v1/status`.
pub async fn status(
    State(edge): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Status>, Problem> {
    Params::read(query.as_deref(), &[])?;
    let app = &edge.app;
    let standpoint = app.standpoint().await?;
    let status = standpoint
        .status(&*app.ledger)
        .await
        .map_err(|error| app.ledger_problem(&error))?;
    let source = app.live.source.load();
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        started_at: app.started_at,
        source: SourceReport {
            seen_at: source.seen_at,
            valid: source.problems.is_empty(),
            broken_since: source.broken_since,
            problems: source.problems.clone(),
            warnings: source.warnings.clone(),
        },
        status,
    }))
}

/// `GET /api/v1/cancellations?provider=&state=&limit=&after=`.
pub async fn cancellations(
    State(edge): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<ListReport>, Problem> {
    let params = Params::read(query.as_deref(), &["provider", "state", "limit", "after"])?;
    let app = &edge.app;
    let (states, limit, after) = (params.states()?, params.limit()?, params.after()?);
    let standpoint = app.standpoint().await?;
    let query = ListQuery {
        provider: params.provider(&standpoint.config)?,
        states,
        after: after.unwrap_or(0),
        limit,
        ..ListQuery::default()
    };
    standpoint
        .list(&*app.ledger, &query)
        .await
        .map(Json)
        .map_err(|error| app.ledger_problem(&error))
}

/// `GET /api/v1/cancellations/{provider}/{id}?again=`: the newest request for a subscription,
/// or the one that `again` names.
pub async fn cancellation(
    State(edge): Caller,
    Path((provider, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<ItemReport>, Problem> {
    let params = Params::read(query.as_deref(), &["again"])?;
    let again = params.number("again", 1, u32::MAX)?;
    let (standpoint, requests) = find(&edge.app, &provider, &id).await?;
    let wanted = requests
        .iter()
        .find(|request| again.is_none_or(|again| request.key.again == again))
        .ok_or_else(|| {
            Problem::missing(format!(
                "{provider}/{id} has no request with `again` {}",
                again.unwrap_or(1)
            ))
        })?;
    Ok(Json(standpoint.item(wanted)))
}

/// Every request for a subscription in any spelling of its id, newest first; at least one.
pub(super) async fn find(
    app: &App,
    provider: &str,
    id: &str,
) -> Result<(Standpoint, Vec<Request>), Problem> {
    let standpoint = app.standpoint().await?;
    let key = key(&standpoint, provider, id)?;
    let requests = app
        .ledger
        .find_all(key.provider, key.id)
        .await
        .map_err(|error| app.ledger_problem(&error))?;
    if requests.is_empty() {
        return Err(Problem::missing(format!(
            "no cancellation of {provider}/{id} was ever asked for"
        )));
    }
    Ok((standpoint, requests))
}

/// What the path of an item names. A provider that left the file is still remembered, under
/// the one spelling of its ids.
fn key(standpoint: &Standpoint, provider: &str, id: &str) -> Result<Key, Problem> {
    let missing = |why: String| Problem::missing(why);
    let provider = ProviderName::parse(provider)
        .map_err(|allowed| missing(format!("{provider:?} is no provider; {allowed}")))?;
    let id = match standpoint.config.providers.get(&provider) {
        Some(config) => SubscriptionId::parse(config.kind(), id)
            .map_err(|allowed| missing(format!("{id:?} is no id of {provider}; {allowed}")))?,
        None => SubscriptionId::stored(id),
    };
    Ok(Key {
        provider,
        id,
        again: 1,
    })
}

/// `GET /api/v1/events?after=&limit=`: the newest events, newest first, or those after a
/// number, oldest first.
pub async fn events(
    State(edge): Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Events>, Problem> {
    let params = Params::read(query.as_deref(), &["after", "limit"])?;
    let query = EventQuery {
        row: None,
        after: params.after()?,
        limit: params.limit()?,
        ..EventQuery::default()
    };
    let app = &edge.app;
    let before = query.after.unwrap_or(0);
    let recorded = app
        .ledger
        .events(query)
        .await
        .map_err(|error| app.ledger_problem(&error))?;
    let commits = app.ledger.commits().await;
    let commits = commits.map_err(|error| app.ledger_problem(&error))?;
    let events = recorded.iter().map(|it| EventReport::of(it, &commits));
    let events: Vec<EventReport> = events.collect();
    let next = events.iter().map(|it| it.number).fold(before, i64::max);
    Ok(Json(Events { events, next }))
}
