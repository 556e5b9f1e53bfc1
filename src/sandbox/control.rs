//! The control API under `/sandbox`: who is here, what is true, what was asked, what shall go
//! wrong.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{any, delete, get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cast;
use super::faults::Fault;
use super::front::{self, Front};
use super::reading::read;
use super::seeds::Seeds;
use super::store::{MOST_RECORDS, Truth};
use super::wire::Provider;

/// How many subscriptions `state` shows when no `limit` is given.
const USUAL_ROWS: usize = 100_000;

/// All that the port serves.
pub(super) fn router(front: Arc<Front>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/sandbox", get(index))
        .route("/sandbox/", get(index))
        .route("/sandbox/seed", post(seed))
        .route("/sandbox/state", get(state))
        .route("/sandbox/requests", get(requests))
        .route("/sandbox/reset", post(reset))
        .route("/sandbox/settings", get(settings).post(set))
        .route(
            "/sandbox/faults",
            get(faults).post(add_faults).delete(clear_faults),
        )
        .route("/sandbox/faults/{number}", delete(remove_fault))
        .route("/kajabi/{*rest}", any(front::take))
        .route("/revere/{*rest}", any(front::take))
        .route("/lotus/{*rest}", any(front::take))
        .fallback(nothing_here)
        .with_state(front)
}

/// A 400 that lists what is wrong.
struct Problems(Vec<String>);

impl From<String> for Problems {
    fn from(problem: String) -> Self {
        Self(vec![problem])
    }
}

impl IntoResponse for Problems {
    fn into_response(self) -> Response<Body> {
        reply(StatusCode::BAD_REQUEST, &json!({ "problems": self.0 }))
    }
}

fn reply(status: StatusCode, body: &Value) -> Response<Body> {
    (
        status,
        [(CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

fn ok(body: &Value) -> Response<Body> {
    reply(StatusCode::OK, body)
}

/// A JSON body, whatever its content type says.
fn json_body(body: &Bytes) -> Result<Value, Problems> {
    serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}").into())
}

async fn nothing_here() -> Response<Body> {
    let problem = "nothing is here; see /sandbox/ for what is";
    reply(StatusCode::NOT_FOUND, &json!({ "problems": [problem] }))
}

/// `GET /sandbox/`: what is here, for people.
async fn index(State(front): State<Arc<Front>>, headers: axum::http::HeaderMap) -> String {
    let host = headers.get("host").and_then(|it| it.to_str().ok());
    let base = format!("http://{}", host.unwrap_or("127.0.0.1"));
    let mut text = format!(
        "The billing providers' APIs, in memory. Nothing here is real.\n\
         \n\
         kajabi  {base}/kajabi\n        client_id {}, client_secret {}\n        \
         (client_id {} may only read)\n\
         revere  {base}/revere\n        key {}, group_id {}, linked_account_id {}\n\
         lotus   {base}/lotus\n        key {}, organization {}\n        \
         another organization: key {}, organization {}\n\
         \n\
         POST /sandbox/seed      add subscriptions; {{\"replace\": true, \"subscriptions\": [...]}} replaces all\n\
         GET  /sandbox/state     what is true of each; ?provider= &id= &offset= &limit=\n\
         GET  /sandbox/requests  what was received; ?after=NUMBER\n\
         POST /sandbox/reset     as at the start\n\
         GET  /sandbox/faults    what shall go wrong; POST adds, DELETE takes back\n\
         GET  /sandbox/settings  what can be turned; POST turns\n\
         \n\
         {} subscriptions are here. The cast, if it was seeded:\n\n",
        cast::KAJABI_CLIENT_ID,
        cast::KAJABI_CLIENT_SECRET,
        cast::KAJABI_READER_CLIENT_ID,
        cast::REVERE_KEY,
        cast::REVERE_GROUP,
        cast::REVERE_ACCOUNT,
        cast::LOTUS_KEY,
        cast::LOTUS_ORGANIZATION,
        cast::LOTUS_OTHER_KEY,
        cast::LOTUS_OTHER_ORGANIZATION,
        front.subscriptions(),
    );
    for member in cast::CAST {
        let customer = member.customer_id.map(|id| format!(" ({id})"));
        let _ = writeln!(
            text,
            "{:<7} {}{}: {}",
            member.provider.as_str(),
            member.id,
            customer.unwrap_or_default(),
            member.about,
        );
    }
    text
}

/// The body of `POST /sandbox/seed` in its long form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedBody {
    #[serde(default)]
    replace: bool,
    #[serde(default)]
    subscriptions: Option<Value>,
}

/// `POST /sandbox/seed`: one seed, an array of them, or `{"replace", "subscriptions"}`.
async fn seed(State(front): State<Arc<Front>>, body: Bytes) -> Result<Response<Body>, Problems> {
    let body = json_body(&body)?;
    let long = body.get("subscriptions").is_some() || body.get("replace").is_some();
    let SeedBody {
        replace,
        subscriptions,
    } = if long {
        read(&body)?
    } else {
        SeedBody {
            replace: false,
            subscriptions: Some(body),
        }
    };
    let seeds = match subscriptions {
        Some(written) => Seeds::parse(&written).map_err(Problems)?,
        None => Seeds::none(),
    };
    let already = if replace { 0 } else { front.subscriptions() };
    if seeds.len() + already as u64 > MOST_RECORDS as u64 {
        return Err(format!("more than {MOST_RECORDS} subscriptions would be here").into());
    }
    if replace {
        front.empty();
    }
    front.load(&seeds);
    let now = front.subscriptions();
    Ok(ok(&json!({ "seeded": seeds.len(), "subscriptions": now })))
}

/// The query of `GET /sandbox/state`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StateQuery {
    provider: Option<Provider>,
    id: Option<String>,
    #[serde(default)]
    offset: usize,
    #[serde(default = "usual_rows")]
    limit: usize,
}

fn usual_rows() -> usize {
    USUAL_ROWS
}

/// `GET /sandbox/state`: what is true of each subscription, and of all together.
async fn state(
    State(front): State<Arc<Front>>,
    query: Result<Query<StateQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response<Body>, Problems> {
    let Query(query) = query.map_err(|error| error.body_text())?;
    let mut rows = Vec::new();
    let mut total = 0_usize;
    let mut live = 0_usize;
    let mut received = 0_u64;
    let mut effective = 0_u64;
    let mut more_than_once = 0_usize;
    let mut add = |truth: Truth| {
        live += usize::from(truth.live);
        received += u64::from(truth.cancels_received);
        effective += u64::from(truth.cancels_effective);
        more_than_once += usize::from(truth.cancels_effective > 1);
        if total >= query.offset && rows.len() < query.limit {
            rows.push(truth);
        }
        total += 1;
    };
    match &query.id {
        Some(id) => front
            .truths_of(query.provider, id)
            .into_iter()
            .for_each(&mut add),
        None => front.truths(query.provider, &mut add),
    }
    Ok(ok(&json!({
        "totals": {
            "subscriptions": total,
            "live": live,
            "cancels_received": received,
            "cancels_effective": effective,
            "cancelled_more_than_once": more_than_once,
        },
        "subscriptions": rows,
    })))
}

/// The query of `GET /sandbox/requests`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestsQuery {
    #[serde(default)]
    after: u64,
}

/// `GET /sandbox/requests`: what the providers received.
async fn requests(
    State(front): State<Arc<Front>>,
    query: Result<Query<RequestsQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response<Body>, Problems> {
    let Query(RequestsQuery { after }) = query.map_err(|error| error.body_text())?;
    let (requests, last) = front.requests.after(after);
    Ok(ok(&json!({ "requests": requests, "last": last })))
}

/// `POST /sandbox/reset`: as it was when it started.
async fn reset(State(front): State<Arc<Front>>) -> Response<Body> {
    front.reset();
    ok(&json!({ "subscriptions": front.subscriptions() }))
}

async fn settings(State(front): State<Arc<Front>>) -> Response<Body> {
    ok(&json!(front.settings()))
}

/// `POST /sandbox/settings`: what is named is changed, the rest stays.
async fn set(State(front): State<Arc<Front>>, body: Bytes) -> Result<Response<Body>, Problems> {
    let mut merged = json!(front.settings());
    let Value::Object(changes) = json_body(&body)? else {
        return Err("the body is not an object".to_owned().into());
    };
    for (name, value) in changes {
        merged[name.as_str()] = value;
    }
    front.set(read(&merged)?);
    Ok(ok(&json!(front.settings())))
}

async fn faults(State(front): State<Arc<Front>>) -> Response<Body> {
    ok(&json!({ "faults": front.faults.shown() }))
}

/// `POST /sandbox/faults`: one fault, or an array of them.
async fn add_faults(
    State(front): State<Arc<Front>>,
    body: Bytes,
) -> Result<Response<Body>, Problems> {
    let faults = Fault::parse(&json_body(&body)?).map_err(Problems)?;
    let numbers = front.faults.add(faults)?;
    Ok(ok(&json!({ "added": numbers })))
}

async fn clear_faults(State(front): State<Arc<Front>>) -> Response<Body> {
    front.faults.clear();
    ok(&json!({ "faults": [] }))
}

async fn remove_fault(State(front): State<Arc<Front>>, Path(number): Path<u64>) -> Response<Body> {
    ok(&json!({ "removed": front.faults.remove(number) }))
}
