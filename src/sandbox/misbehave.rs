//! Carries out a fault: what reaches the wire when something goes wrong.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{HeaderName, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use chrono::{DateTime, Utc};

use super::faults::{Fault, Idle, Kind, Trim};
use super::front::Front;
use super::wire::{Answer, Ask, Call, Manner, Operation, Provider};
use super::{bodies, kajabi, lotus, revere};

/// Marks a response that must never be sent: its connection is closed instead.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the sandbox was told to drop this connection")]
pub(super) struct HangUp;

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
            bodies::cut_off(answer, cut, date(front, &trim))
        }
        Kind::Drip { every, effect } => {
            effect_if(effect, front, provider, ask, call).await;
            bodies::drip(every, date(front, &trim))
        }
        Kind::Huge { bytes, effect } => {
            effect_if(effect, front, provider, ask, call).await;
            bodies::huge(bytes, date(front, &trim))
        }
        Kind::Bomb { bytes, effect } => {
            effect_if(effect, front, provider, ask, call).await;
            bodies::bomb(bytes, date(front, &trim))
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
        Kind::Stale => front.perform(provider, ask, call, Manner::Stale).await,
        Kind::OtherBody => front.perform(provider, ask, call, Manner::Mistaken).await,
        _ => front.perform(provider, ask, call, Manner::Truly).await,
    }
}

/// The value of an added header.
const PADDING: HeaderValue = HeaderValue::from_static(
    "----------------------------------------------------------------------------------------",
);

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
    for number in 0..trim.headers {
        let name = format!("x-sandbox-{number}");
        let name = HeaderName::try_from(name).expect("made of letters, digits and dashes");
        response.headers_mut().insert(name, PADDING);
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
