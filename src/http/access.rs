//! Who may ask for what, and how much: `Host`, tokens, sizes, time, and the headers that keep
//! a browser from doing more with an answer than to show it.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::problem::Problem;
use super::{Caller, Edge};

/// The most bytes of a request's body.
pub const LARGEST_BODY: usize = 64 * 1024;

/// What may be loaded and done by a page of ours: its own style sheet, script and icon. The script
/// fetches the page anew, and the form of the list asks for another one; neither leaves the house.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
);

/// On every answer, whatever it is.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Puts the security headers on every answer, and lets none be kept.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.extend(HEADERS);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Ends what takes too long, its body included.
pub async fn in_time(limit: Duration, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request))
        .await
        .unwrap_or_else(|_| {
            Problem::unavailable(format!(
                "it was not done within {} s; nothing is known of it",
                limit.as_secs_f32()
            ))
            .into_response()
        })
}

/// Refuses a body that says itself that it is too large.
pub async fn small(request: Request, next: Next) -> Result<Response, Problem> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > LARGEST_BODY as u64) {
        return Err(too_large());
    }
    Ok(next.run(request).await)
}

/// 413.
pub fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {LARGEST_BODY} bytes"),
    )
}

/// Answers only to names that are ours.
pub async fn host(State(edge): Caller, request: Request, next: Next) -> Result<Response, Problem> {
    let asked = asked_host(&request)
        .ok_or_else(|| misdirected("the request names no single valid host".to_owned()))?;
    if edge.answers_to(asked.host()) {
        return Ok(next.run(request).await);
    }
    Err(misdirected(format!(
        "this does not answer to the host `{}`; use an IP address or localhost, or add the name to \
         `allowed_hosts` in the file",
        asked.host()
    )))
}

fn misdirected(detail: String) -> Problem {
    Problem::new(StatusCode::MISDIRECTED_REQUEST, detail)
}

/// The one host that a request is meant for; the target's own, where it has one, counts
/// (RFC 9112, section 3.2.2).
fn asked_host(request: &Request) -> Option<Authority> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.clone());
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (only, None) = (hosts.next()?, hosts.next()) else {
        return None;
    };
    let text = only.to_str().ok()?;
    // A user before the host would be taken for a part of the authority.
    (!text.contains('@')).then(|| text.parse().ok())?
}

impl Edge {
    fn answers_to(&self, host: &str) -> bool {
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        bare.parse::<IpAddr>().is_ok()
            || bare.eq_ignore_ascii_case("localhost")
            || self.app.live.in_force.load().as_ref().is_some_and(|it| {
                it.config
                    .allowed_hosts
                    .iter()
                    .any(|allowed| allowed.eq_ignore_ascii_case(host))
            })
    }
}

/// The page and the API: open on loopback, with `read_token` elsewhere.
pub async fn reader(
    State(edge): Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if edge.loopback {
        return Ok(next.run(request).await);
    }
    let tokens = edge.app.tokens.load();
    let Some(expected) = &tokens.read else {
        return Err(Problem::forbidden(
            "this address is not loopback, so the page and the API need a `read_token`, and the \
             file configures none",
        ));
    };
    let headers = request.headers();
    let shown = bearer(headers).or_else(|| basic_password(headers));
    if shown.is_some_and(|shown| same(&shown, expected)) {
        return Ok(next.run(request).await);
    }
    Err(Problem::unauthorized(
        r#"Basic realm="lapsed", charset="UTF-8""#,
        "show the `read_token` as Bearer, or as the password of a login with any user name",
    ))
}

/// Commands: with `admin_token` as Bearer, and never for a page of somebody else.
pub async fn admin(State(edge): Caller, request: Request, next: Next) -> Result<Response, Problem> {
    if let Some(origin) = foreign_origin(&request) {
        return Err(Problem::forbidden(format!(
            "a page of `{origin}` asked for this; commands are not taken from other sites"
        )));
    }
    let tokens = edge.app.tokens.load();
    let Some(expected) = &tokens.admin else {
        return Err(Problem::forbidden(
            "commands need an `admin_token`, and the file configures none",
        ));
    };
    if bearer(request.headers()).is_some_and(|shown| same(&shown, expected)) {
        return Ok(next.run(request).await);
    }
    tracing::warn!(
        path = request.uri().path(),
        "refused a command without the admin token"
    );
    Err(Problem::unauthorized(
        r#"Bearer realm="lapsed""#,
        "show the `admin_token`: `Authorization: Bearer …`",
    ))
}

/// The site whose page sent this, if it is not our own. A command-line client sends none.
fn foreign_origin(request: &Request) -> Option<String> {
    // Where a browser tells how the page stands to us, that counts as well: some send no origin.
    let site = request.headers().get("sec-fetch-site");
    if site.is_some_and(|site| !["same-origin", "none"].iter().any(|ours| site == ours)) {
        return Some("another site".to_owned());
    }
    let origin = request.headers().get(header::ORIGIN)?;
    let text = origin.to_str().unwrap_or("?");
    let ours = asked_host(request).is_some_and(|host| {
        let rest = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"));
        rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host.as_str()))
    });
    (!ours).then(|| text.chars().take(200).collect())
}

fn authorization<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (given, rest) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    authorization(headers, "Bearer").map(SecretString::from)
}

fn basic_password(headers: &HeaderMap) -> Option<SecretString> {
    let decoded = BASE64.decode(authorization(headers, "Basic")?).ok()?;
    let login = String::from_utf8(decoded).ok()?;
    login.split_once(':').map(|(_, password)| password.into())
}

/// Compares in constant time; over digests, so that not even the length shows.
fn same(shown: &SecretString, expected: &SecretString) -> bool {
    let digest = |it: &SecretString| Sha256::digest(it.expose_secret().as_bytes());
    let same = digest(shown).as_slice().ct_eq(digest(expected).as_slice());
    // An empty token is a mistake of the file and lets nobody in.
    bool::from(same) && !expected.expose_secret().is_empty()
}
