//! Carries out a fault: what reaches the wire when something goes wrong.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{Response, StatusCode};
use chrono::{DateTime, Utc};
use futures_util::stream;

use super::faults::{Cut, Fault, Idle, Kind, Trim};
use super::front::Front;
use super::wire::{Answer, Ask, Call, Manner, Operation, Provider};
use super::{kajabi, lotus, revere};

/// Marks a response that must never be sent: its connection is closed instead.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the sandbox was told to drop this connection")]
pub(super) struct HangUp;

/// One piece of a huge body.
const PIECE: Bytes = Bytes::from_static(&[b' '; 64 * 1024]);

/// Answers with what the fault says.
pub(super) async fn respond(
    front: &Arc<Front>,
    fault: Fault,
    provider: Provider,
    ask: &Ask,
    call: &Call,
) -> Response<Body> {
    let Fault { kind, trim, .. } = fault;
    let response = match kind {
        Kind::Late(later) => {
            front.carry_out_later(later, provider, ask.clone());
            hang_up()
        }
        Kind::Drop { effect } => {
            effect_if(effect, front, provider, ask, call).await;
            hang_up()
        }
        Kind::Cut { cut, effect } => {
            let manner = if effect {
                Manner::Truly
            } else {
                Manner::Pretending
            };
            let answer = front.perform(provider, ask, call, manner).await;
            cut_off(answer, cut, date(front, &trim))
        }
        Kind::Drip { every, effect } => {
            effect_if(effect, front, provider, ask, call).await;
            drip(every, date(front, &trim))
        }
        Kind::Huge { bytes, effect } => {
            effect_if(effect, front, provider, ask, call).await;
            huge(bytes, date(front, &trim))
        }
        other => {
            let answer = changed(other, front, provider, ask, call).await;
            answer.dated(date(front, &trim))
        }
    };
    trimmed(response, trim).await
}

/// The kinds that are whole answers, only not the plain one.
async fn changed(
    kind: Kind,
    front: &Arc<Front>,
    provider: Provider,
    ask: &Ask,
    call: &Call,
) -> Answer {
    match kind {
        Kind::Status {
            status,
            effect,
            body,
        } => {
            effect_if(effect, front, provider, ask, call).await;
            match body {
                Some(body) => Answer::text(status, "application/json", body),
                None => failure(provider, call.operation, status),
            }
        }
        Kind::Html { effect } => {
            effect_if(effect, front, provider, ask, call).await;
            Answer::text(StatusCode::OK, "text/html; charset=utf-8", PAGE)
        }
        Kind::Redirect { to, effect } => {
            effect_if(effect, front, provider, ask, call).await;
            Answer::empty(StatusCode::TEMPORARY_REDIRECT).with(LOCATION, &to)
        }
        Kind::Idle(Idle::Claims) => front.perform(provider, ask, call, Manner::Pretending).await,
        Kind::Idle(Idle::Shows) => front.perform(provider, ask, call, Manner::Idly).await,
        Kind::OtherBody => front.perform(provider, ask, call, Manner::Mistaken).await,
        _ => front.perform(provider, ask, call, Manner::Truly).await,
    }
}

/// A page such as a proxy in front of the provider sends.
const PAGE: &str = "<!doctype html><html><head><title>Just a moment</title></head>\
                    <body><h1>Scheduled maintenance</h1></body></html>";

async fn effect_if(effect: bool, front: &Arc<Front>, provider: Provider, ask: &Ask, call: &Call) {
    if effect {
        front.perform(provider, ask, call, Manner::Truly).await;
    }
}

/// A status in the shape the provider gives its own errors.
fn failure(provider: Provider, operation: Operation, status: StatusCode) -> Answer {
    match provider {
        Provider::Kajabi => kajabi::failure(operation, status),
        Provider::Revere => revere::failure(status),
        Provider::Lotus => lotus::failure(status),
    }
}

fn date(front: &Arc<Front>, trim: &Trim) -> DateTime<Utc> {
    front.now().wall + trim.date_skew
}

async fn trimmed(mut response: Response<Body>, trim: Trim) -> Response<Body> {
    if let Some(text) = trim.retry_after {
        response.headers_mut().insert(RETRY_AFTER, text);
    }
    if !trim.delay.is_zero() {
        tokio::time::sleep(trim.delay).await;
    }
    response
}

fn hang_up() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HangUp);
    response
}

/// Half of the body: as if that were all, or with the connection breaking there.
fn cut_off(mut answer: Answer, cut: Cut, date: DateTime<Utc>) -> Response<Body> {
    let whole = answer.body.len();
    answer.body.truncate(whole / 2);
    match cut {
        Cut::Json => answer.dated(date),
        Cut::Connection => {
            let half = answer.body.clone();
            let pieces = stream::iter([Ok(half), Err(io::Error::other(HangUp))]);
            let length = whole.to_string();
            answer
                .with(axum::http::header::CONTENT_LENGTH, &length)
                .head(date, Body::from_stream(pieces))
        }
    }
}

/// JSON that never ends: an opening brace, then white space for as long as anybody listens.
fn drip(every: Duration, date: DateTime<Utc>) -> Response<Body> {
    let drops = stream::unfold(true, move |first| async move {
        if first {
            return Some((Ok::<_, Infallible>(Bytes::from_static(b"{")), false));
        }
        tokio::time::sleep(every).await;
        Some((Ok(Bytes::from_static(b" ")), false))
    });
    Answer::text(StatusCode::OK, "application/json", "").head(date, Body::from_stream(drops))
}

/// White space, as long as was asked for; made piece by piece and never held.
fn huge(bytes: u64, date: DateTime<Utc>) -> Response<Body> {
    let pieces = stream::unfold(bytes, |left| async move {
        if left == 0 {
            return None;
        }
        let piece = left.min(PIECE.len() as u64);
        let bytes = PIECE.slice(..usize::try_from(piece).unwrap_or(PIECE.len()));
        Some((Ok::<_, Infallible>(bytes), left - piece))
    });
    Answer::text(StatusCode::OK, "application/json", "").head(date, Body::from_stream(pieces))
}
