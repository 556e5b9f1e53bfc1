//! Lotus' error bodies, as `RFC7807Formatter` writes them
//! (`backend/metering_billing/exceptions/handler.py`).

use axum::http::StatusCode;
use axum::http::header::WWW_AUTHENTICATE;
use serde::Serialize;

use crate::sandbox::wire::Answer;

const JSON: &str = "application/json";

/// One entry of `validation_errors`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Problem {
    pub code: &'static str,
    pub detail: String,
    pub attr: Option<&'static str>,
}

impl Problem {
    pub fn null(attr: &'static str) -> Self {
        Self {
            code: "null",
            detail: "This field may not be null.".to_owned(),
            attr: Some(attr),
        }
    }

    pub fn choice(attr: &'static str, given: &str) -> Self {
        Self {
            code: "invalid_choice",
            detail: format!("\"{given}\" is not a valid choice."),
            attr: Some(attr),
        }
    }

    pub fn invalid(attr: Option<&'static str>, detail: impl Into<String>) -> Self {
        Self {
            code: "invalid",
            detail: detail.into(),
            attr,
        }
    }
}

/// The body; the order of its members is the real one's.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    detail: &'a str,
    title: &'a str,
    #[serde(skip_serializing_if = "<[Problem]>::is_empty")]
    validation_errors: &'a [Problem],
}

/// An error of the `#client-error` kind.
pub(super) fn client(status: StatusCode, title: &str, detail: &str) -> Answer {
    let body = Body {
        r#type: "https://docs.uselotus.io/errors/error-responses#client-error",
        detail,
        title,
        validation_errors: &[],
    };
    Answer::json(status, JSON, &body)
}

/// A 400 of the `#validation-error` kind; the first problem is repeated at the top.
pub(super) fn validation(problems: &[Problem]) -> Answer {
    let body = Body {
        r#type: "https://docs.uselotus.io/errors/error-responses#validation-error",
        detail: problems.first().map_or("", |first| &first.detail),
        title: problems.first().map_or("", |first| first.code),
        validation_errors: problems,
    };
    Answer::json(StatusCode::BAD_REQUEST, JSON, &body)
}

/// An error of the `#server-error` kind; `detail` is whatever the exception said.
pub(super) fn server(status: StatusCode, detail: &str) -> Answer {
    let body = Body {
        r#type: "https://docs.uselotus.io/errors/error-responses#server-error",
        detail,
        title: "error",
        validation_errors: &[],
    };
    Answer::json(status, JSON, &body)
}

/// No key, a wrong one, an expired one, or the database is down: all one body (transcripts
/// B and K).
pub(super) fn not_authenticated() -> Answer {
    let detail = "Authentication credentials were not provided.";
    client(StatusCode::UNAUTHORIZED, "not_authenticated", detail).with(WWW_AUTHENTICATE, "Token")
}

/// `Authorization: Token` with a bad token, whatever else is sent (transcript B).
pub(super) fn authentication_failed() -> Answer {
    client(
        StatusCode::UNAUTHORIZED,
        "authentication_failed",
        "Invalid token.",
    )
    .with(WWW_AUTHENTICATE, "Token")
}

pub(super) fn already_ended() -> Answer {
    client(
        StatusCode::BAD_REQUEST,
        "invalid_state",
        "Subscription already ended",
    )
}

pub(super) fn subscription_not_found(hex: &str) -> Answer {
    let detail = format!("Subscription with subscription_id sub_{hex} not found");
    client(StatusCode::NOT_FOUND, "resource_not_found", &detail)
}

pub(super) fn malformed_id() -> Answer {
    validation(&[Problem::invalid(
        None,
        "Input must be a string beginning with the prefix sub_ and followed by the compact \
         hex representation of the UUID, not including hyphens.",
    )])
}

/// The provider's own shape for any failing status, for faults.
pub(in crate::sandbox) fn failure(status: StatusCode) -> Answer {
    match status {
        StatusCode::UNAUTHORIZED => not_authenticated(),
        StatusCode::FORBIDDEN => permission_denied(),
        StatusCode::NOT_FOUND => client(status, "resource_not_found", "Not found."),
        status if status.is_server_error() => server(
            status,
            "relation \"public.usage_src\" does not exist\nLINE 16: SELECT qty AS usage_qty FROM \
             public.usage_src\n                                      ^\n",
        ),
        status => client(
            status,
            "error",
            status.canonical_reason().unwrap_or("error"),
        ),
    }
}

pub(super) fn permission_denied() -> Answer {
    client(
        StatusCode::FORBIDDEN,
        "permission_denied",
        "You do not have permission to perform this action.",
    )
}

pub(super) fn method_not_allowed(method: &str) -> Answer {
    let detail = format!("Method \"{method}\" not allowed.");
    client(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        &detail,
    )
}
