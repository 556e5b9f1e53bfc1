//! Commands: each is appended to the ledger's inbox, which the daemon applies before its next
//! intents. An answer of 202 says that it will be applied, not that it was.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::ledger::{Command, Posted};
use crate::model::ids::ProviderName;

use super::access::{LARGEST_BODY, too_large};
use super::params::{Params, known_provider};
use super::problem::Problem;
use super::{Caller, Edge};

/// The most characters of `by`.
const LONGEST_BY: usize = 100;

/// The most characters of `reason`.
const LONGEST_REASON: usize = 500;

/// What 202 tells.
#[derive(Debug, Serialize)]
pub struct Accepted {
    /// The number in the inbox; none where nothing was appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<i64>,
    command: &'static str,
    provider: Option<ProviderName>,
}

/// What comes with a command, in the query or as JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    provider: Option<String>,
    by: Option<String>,
    reason: Option<String>,
}

type Reply = Result<(StatusCode, Json<Accepted>), Problem>;

/// `POST /-/reconcile`: make a tick now.
pub async fn reconcile(
    State(edge): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Reply {
    let said = Said::read(query.as_deref(), &headers, body).await?;
    post(&edge, "reconcile", said, |provider| Command::Reconcile {
        provider,
    })
    .await
}

/// `POST /-/pause`: send nothing until resumed.
pub async fn pause(
    State(edge): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Reply {
    let said = Said::read(query.as_deref(), &headers, body).await?;
    post(&edge, "pause", said, |provider| Command::Pause { provider }).await
}

/// `POST /-/resume`: go on.
pub async fn resume(
    State(edge): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Reply {
    let said = Said::read(query.as_deref(), &headers, body).await?;
    post(&edge, "resume", said, |provider| Command::Resume {
        provider,
    })
    .await
}

/// `POST /-/reload`: read the files now. It changes nothing that the ledger remembers, so it
/// leaves no entry in the inbox, and it works when no revision is in force.
pub async fn reload(
    State(edge): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Reply {
    let said = Said::read(query.as_deref(), &headers, body).await?;
    if said.provider.is_some() {
        return Err(Problem::bad_request(
            "`reload` reads all files and takes no `provider`",
        ));
    }
    // It is noted nowhere, and held to the same bounds all the same.
    line("by", said.by, LONGEST_BY)?;
    line("reason", said.reason, LONGEST_REASON)?;
    edge.app.live.reload.notify_one();
    Ok((
        StatusCode::ACCEPTED,
        Json(Accepted {
            number: None,
            command: "reload",
            provider: None,
        }),
    ))
}

async fn post(
    edge: &Edge,
    name: &'static str,
    said: Said,
    command: impl FnOnce(Option<ProviderName>) -> Command,
) -> Reply {
    let app = &edge.app;
    let provider = match &said.provider {
        None => None,
        Some(text) => Some(known(edge, text)?),
    };
    let posted = Posted {
        number: 0,
        at: app.clock.now(),
        by: line("by", said.by, LONGEST_BY)?.unwrap_or_else(|| "the HTTP API".to_owned()),
        reason: line("reason", said.reason, LONGEST_REASON)?.unwrap_or_default(),
        command: command(provider.clone()),
    };
    let number = app
        .ledger
        .post(posted.clone())
        .await
        .map_err(|error| app.ledger_problem(&error))?;
    app.live.inbox.notify_one();
    tracing::info!(
        command = name,
        number,
        by = posted.by,
        "took the command `{name}` over HTTP"
    );
    let accepted = Accepted {
        number: Some(number),
        command: name,
        provider,
    };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

fn known(edge: &Edge, name: &str) -> Result<ProviderName, Problem> {
    let in_force = edge.app.live.in_force.load_full().ok_or_else(|| {
        Problem::unavailable("no revision is in force, so that no provider is known yet")
    })?;
    Ok(known_provider(&in_force.config, name)?.name.clone())
}

/// Words of a person, for one line of a log or a page.
fn line(name: &str, text: Option<String>, longest: usize) -> Result<Option<String>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let text = text.trim();
    if text.chars().count() > longest || text.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!(
            "`{name}` must be one line of at most {longest} characters"
        )));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

impl Said {
    /// Out of the query and the body, each name from one of them.
    async fn read(query: Option<&str>, headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        let params = Params::read(query, &["provider", "by", "reason"])?;
        let body = Self::of_body(headers, body).await?;
        let either = |name: &str, in_body: Option<String>| {
            let in_query = params.one(name)?.map(str::to_owned);
            if in_body.is_some() && in_query.is_some() {
                return Err(Problem::bad_request(format!(
                    "`{name}` is given in the query and in the body"
                )));
            }
            Ok(in_body.or(in_query))
        };
        Ok(Self {
            provider: either("provider", body.provider)?,
            by: either("by", body.by)?,
            reason: either("reason", body.reason)?,
        })
    }

    async fn of_body(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        let bytes = axum::body::to_bytes(body, LARGEST_BODY)
            .await
            .map_err(|error| match is_too_large(&error) {
                true => too_large(),
                false => Problem::bad_request("the body did not arrive whole"),
            })?;
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let media = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .map(str::trim);
        if !media.is_some_and(|media| media.eq_ignore_ascii_case("application/json")) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "a body must be `application/json`; or give `provider`, `by` and `reason` in the query",
            ));
        }
        // What is derived would take an array of the fields' values, too, without their names.
        let named = bytes.trim_ascii_start().first() == Some(&b'{');
        if !named {
            return Err(Problem::bad_request(
                "the body must be an object with `provider`, `by` and `reason` as far as you give them",
            ));
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| Problem::bad_request(format!("the body cannot be read: {error}")))
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        // axum bounds a body with `http_body_util::Limited`, whose error has this one text.
        if error.to_string() == "length limit exceeded" {
            return true;
        }
        cause = error.source();
    }
    false
}
