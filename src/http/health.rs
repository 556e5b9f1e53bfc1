//! Metrics and health, open to whoever reaches the address.
//!
//! Being alive depends on nothing: an outage of the disk or a bad file must not become a loop
//! of restarts. Being ready asks for a valid revision and a ledger that answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Config;
use crate::ledger::LedgerError;
use crate::metrics::{Format, Snapshot};
use crate::model::hold::HoldReason;
use crate::model::ids::ProviderName;
use crate::reconcile::report::Standpoint;
use crate::telemetry;

use super::params::Params;
use super::problem::Problem;
use super::{App, Caller, Edge};

/// How long what a scrape read of the ledger is good for: several scrapers cost one reading.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// How long the ledger may take to show that it answers.
const LEDGER_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// The versions of the two formats that we write; a later one may be another format.
const OURS: [&str; 3] = ["0.0.1", "0.0.4", "1.0.0"];

/// `GET /metrics`, in the format that the scraper likes best. Where the ledger fails, what is known
/// without it is still told.
pub async fn metrics(State(edge): Caller, headers: HeaderMap) -> Response {
    let app = &edge.app;
    refresh(app).await;
    let (by_level, dropped) = telemetry::logged();
    app.metrics.logged(by_level, dropped);
    let format = format(&headers);
    let mut response = app.metrics.render(format).into_response();
    let headers = response.headers_mut();
    let media = HeaderValue::from_static(format.content_type());
    headers.insert(header::CONTENT_TYPE, media);
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// What a scraper accepts (RFC 9110, section 12.5.1): OpenMetrics where it likes it at least as
/// well as text.
fn format(headers: &HeaderMap) -> Format {
    let lists = headers.get_all(header::ACCEPT).iter();
    let accepted: Vec<&str> = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .collect();
    let weight = |media| {
        let offers = accepted.iter().filter_map(|offer| weight(offer, media));
        offers.fold(0.0_f64, f64::max)
    };
    let open = weight("application/openmetrics-text");
    match open > 0.0 && open >= weight("text/plain") {
        true => Format::OpenMetrics,
        false => Format::Text,
    }
}

/// How much an offer of an `Accept` header likes this media type; none: it is about another one, or a
/// version of it that is not ours.
fn weight(offer: &str, media: &str) -> Option<f64> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(media) {
        return None;
    }
    let mut weight = 1.0;
    for part in parts {
        match part.split_once('=') {
            Some(("q", q)) => weight = q.trim().parse().unwrap_or(0.0),
            Some(("version", version)) if !OURS.contains(&version.trim_matches('"')) => {
                return None;
            }
            _ => {}
        }
    }
    Some(weight)
}

async fn refresh(app: &App) {
    let mut refreshed = app.refreshed.lock().await;
    let now = app.clock.since_boot();
    if refreshed.is_some_and(|at| now.saturating_sub(at) < FRESH_FOR) {
        return;
    }
    let snapshot = match snapshot(app).await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            app.metrics.ledger_failed();
            tracing::error!(%error, "could not read the ledger for the metrics");
            Snapshot::default()
        }
    };
    app.metrics.refresh(&snapshot);
    *refreshed = Some(now);
}

async fn snapshot(app: &App) -> Result<Snapshot, LedgerError> {
    let Some(in_force) = app.live.in_force.load_full() else {
        return Ok(Snapshot::default());
    };
    let now = app.clock.now();
    let standpoint = Standpoint::read(&*app.ledger, in_force.config.clone(), now).await?;
    let tally = app.ledger.tally(now).await?;
    let providers: Vec<_> = standpoint.config.providers.keys().cloned().collect();
    let gated = |name: &ProviderName, reason| {
        let gates = standpoint.gates(name).into_iter();
        gates.filter(move |gate| gate.reason == reason)
    };
    Ok(Snapshot {
        cancellations: standpoint.counts(&tally),
        holds: standpoint.hold_counts(&tally),
        oldest_overdue: overdue(&in_force.config, &tally.oldest_due, now),
        next_due: tally.next_due,
        oldest_unknown: tally.oldest_unknown,
        deadline_slack: Standpoint::slack(&standpoint.ahead(&*app.ledger).await?),
        limit_used: limits_used(&standpoint),
        untrusted_clocks: providers
            .iter()
            .filter(|name| gated(name, HoldReason::ClockSkew).next().is_some())
            .cloned()
            .collect(),
        paused_until: providers
            .iter()
            .filter_map(|name| {
                let gates = gated(name, HoldReason::ProviderStopped);
                let until = gates.filter_map(|gate| gate.opens_at).max()?;
                Some((name.clone(), until))
            })
            .collect(),
        oldest_approval: tally.oldest_approval,
        oldest_notification: undelivered(app, &in_force.config).await?,
        space: tally.space.map(|it| (it.size, it.free)),
        paused: providers
            .iter()
            .filter(|name| standpoint.pauses.of(name).is_some())
            .cloned()
            .collect(),
        providers,
    })
}

/// By webhook of the file: when the oldest thing happened that it was not told yet.
async fn undelivered(
    app: &App,
    config: &Config,
) -> Result<BTreeMap<String, DateTime<Utc>>, LedgerError> {
    let all = app.ledger.undelivered().await?.into_iter();
    let known = all.filter(|(name, _)| config.notify.webhooks.contains_key(name));
    Ok(known.map(|(name, it)| (name, it.oldest)).collect())
}

/// By provider: the first tick at or after which its oldest due request was due, where that has
/// gone by.
fn overdue(
    config: &Config,
    due: &BTreeMap<ProviderName, DateTime<Utc>>,
    now: DateTime<Utc>,
) -> BTreeMap<ProviderName, DateTime<Utc>> {
    due.iter()
        .filter_map(|(name, due)| {
            let schedule = &config.providers.get(name)?.schedule;
            let tick = schedule.next_after(*due - TimeDelta::milliseconds(1))?;
            (tick <= now).then(|| (name.clone(), tick))
        })
        .collect()
}

/// The used parts of the limits over all providers; 1 when spent.
fn limits_used(standpoint: &Standpoint) -> BTreeMap<&'static str, f64> {
    let ratio = |used: u64, most: u64| match most {
        // Zero means zero: nothing may be sent, so all of it is used.
        0 => 1.0,
        most => used as f64 / most as f64,
    };
    let (used, limits) = (&standpoint.used, &standpoint.config.limits);
    BTreeMap::from([
        ("per_hour", ratio(used.common_hour, limits.per_hour)),
        ("per_day", ratio(used.common_day, limits.per_day)),
    ])
}

/// `GET /livez`.
pub async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`; `?verbose` lists every check.
pub async fn readyz(
    State(edge): Caller,
    RawQuery(query): RawQuery,
) -> Result<(StatusCode, String), Problem> {
    let verbose = Params::read(query.as_deref(), &["verbose"])?
        .one("verbose")?
        .is_some();
    let checks = checks(&edge).await;
    let ready = checks.values().all(Option::is_none);
    let mut text = String::new();
    for (name, failure) in &checks {
        // Writing to a `String` cannot fail.
        let _ = match failure {
            Some(why) => writeln!(text, "[-] {name}: {why}"),
            None if verbose => writeln!(text, "[+] {name} ok"),
            None => Ok(()),
        };
    }
    text.push_str(if ready { "ok\n" } else { "not ready\n" });
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    Ok((status, text))
}

/// Every check, with why it fails.
async fn checks(edge: &Edge) -> BTreeMap<&'static str, Option<String>> {
    let mut checks = BTreeMap::from([("ledger", None), ("revision", None), ("running", None)]);
    if let Some(why) = ledger_silent(&edge.app).await {
        checks.insert("ledger", Some(why));
    }
    for (name, why) in edge.app.live.not_ready() {
        checks.insert(name, Some(why));
    }
    if edge.shutdown.is_cancelled() {
        checks.insert("running", Some("the daemon is stopping".to_owned()));
    }
    checks
}

async fn ledger_silent(app: &App) -> Option<String> {
    match tokio::time::timeout(LEDGER_ANSWERS_WITHIN, app.ledger.identity()).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it did not answer in time".to_owned()),
    }
}
