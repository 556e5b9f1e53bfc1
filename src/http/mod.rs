//! Serves metrics, health, the API and the page.
//!
//! It reads the ledger and appends to its inbox; it never writes a state and never speaks to
//! a provider. What people are told is computed in `reconcile::report`, so that the page, the
//! API, the commands and the metrics tell one story.
//!
//! Who may ask for what:
//!
//! - `Host` is an IP literal, `localhost` or one of `allowed_hosts`; another name gets 421, so
//!   that a page elsewhere cannot reach us by pointing its own name here (DNS rebinding).
//! - On a loopback address the page and the API are open to whoever is on this machine. On any
//!   other address they need `read_token`, as Bearer or as the password of HTTP Basic.
//! - `POST /-/…` needs `admin_token` as Bearer, on every address. No cookie and no Basic login
//!   counts there, so a browser never sends the permission by itself; a request with a foreign
//!   `Origin` is refused even with the token.
//! - `/metrics`, `/livez` and `/readyz` are open: they tell counts and nothing of a person.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;

use crate::clock::Clock;
use crate::ledger::{Ledger, LedgerError};
use crate::metrics::Metrics;
use crate::reconcile::live::Live;
use crate::reconcile::report::Standpoint;

use self::problem::Problem;

mod access;
mod api;
mod commands;
mod health;
mod page;
mod params;
mod problem;
pub mod server;

/// Everything that is served from; one for all listeners.
pub struct App {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    live: Arc<Live>,
    tokens: ArcSwap<Tokens>,
    started_at: DateTime<Utc>,
    /// When a scrape last read the ledger, by the time since boot.
    refreshed: tokio::sync::Mutex<Option<Duration>>,
}

/// The secrets that callers show.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// What `POST /-/…` asks for; none: nobody may.
    pub admin: Option<SecretString>,
    /// What the page and the API ask for off loopback; none: nobody may.
    pub read: Option<SecretString>,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// Everything.
    All,
    /// `/metrics`, `/livez` and `/readyz`.
    MetricsAndHealth,
}

impl App {
    /// Serves what these know. It has no tokens until [`App::set_tokens`].
    pub fn new(
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        live: Arc<Live>,
    ) -> Self {
        Self {
            started_at: clock.now(),
            ledger,
            clock,
            metrics,
            live,
            tokens: ArcSwap::default(),
            refreshed: tokio::sync::Mutex::default(),
        }
    }

    /// The tokens of the revision in force, found anew when it changes.
    pub fn set_tokens(&self, tokens: Tokens) {
        self.tokens.store(Arc::new(tokens));
    }

    /// What decides what people are told, at this moment.
    async fn standpoint(&self) -> Result<Standpoint, Problem> {
        let Some(in_force) = self.live.in_force.load_full() else {
            return Err(Problem::unavailable(
                "no valid revision of the file is in force yet; `GET /readyz` and the page say why",
            ));
        };
        let config = Arc::clone(&in_force.config);
        Standpoint::read(&*self.ledger, config, self.clock.now())
            .await
            .map_err(|error| self.ledger_problem(&error))
    }

    /// A failure of the ledger, counted and logged once, as an answer.
    fn ledger_problem(&self, error: &LedgerError) -> Problem {
        self.metrics.ledger_failed();
        tracing::error!(%error, "could not read the ledger for a request");
        Problem::unavailable(error.to_string())
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").finish_non_exhaustive()
    }
}

/// One listener's view: the app, and what is known of the address.
#[derive(Clone, Debug)]
struct Edge {
    app: Arc<App>,
    /// Whether only this machine can reach the address.
    loopback: bool,
    /// Rung when the daemon stops: not ready any more.
    shutdown: CancellationToken,
}

type Caller = State<Edge>;

fn router(edge: Edge, surface: Surface, request_time: Duration) -> Router {
    let mut routes = Router::new()
        .route("/metrics", get(health::metrics))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz));
    if surface == Surface::All {
        routes = routes.merge(readable(&edge)).merge(commands(&edge));
    }
    routes
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(edge.clone(), access::host))
        .layer(from_fn(access::small))
        .layer(from_fn(move |request, next| {
            access::in_time(request_time, request, next)
        }))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn(access::headers))
        .layer(from_fn_with_state(edge.clone(), count))
        .with_state(edge)
}

/// Counts what is asked and answered, by the few words of [`crate::metrics::HANDLERS`].
async fn count(State(edge): Caller, request: Request, next: Next) -> Response {
    let handler = handler(request.uri().path());
    let response = next.run(request).await;
    let code = match response.status().as_u16() {
        0..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    edge.app.metrics.answered(handler, code);
    response
}

fn handler(path: &str) -> &'static str {
    let first = path
        .trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default();
    match first {
        "" | "cancellations" | "events" | "file" => "page",
        "api" => "api",
        "-" => "command",
        "assets" => "asset",
        _ => {
            let known = ["metrics", "livez", "readyz"].into_iter();
            known.clone().find(|it| *it == first).unwrap_or("other")
        }
    }
}

fn readable(edge: &Edge) -> Router<Edge> {
    Router::new()
        .route("/", get(page::index))
        .route("/cancellations", get(page::list))
        .route("/cancellations/{provider}/{id}", get(page::item))
        .route("/events", get(page::events))
        .route("/file", get(page::file))
        .route(page::STYLE_PATH, get(page::style))
        .route(page::SCRIPT_PATH, get(page::script))
        .route(page::ICON_PATH, get(page::icon))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/cancellations", get(api::cancellations))
        .route(
            "/api/v1/cancellations/{provider}/{id}",
            get(api::cancellation),
        )
        .route("/api/v1/events", get(api::events))
        .route_layer(from_fn_with_state(edge.clone(), access::reader))
}

fn commands(edge: &Edge) -> Router<Edge> {
    Router::new()
        .route("/-/reconcile", post(commands::reconcile))
        .route("/-/reload", post(commands::reload))
        .route("/-/pause", post(commands::pause))
        .route("/-/resume", post(commands::resume))
        .route_layer(from_fn_with_state(edge.clone(), access::admin))
}
