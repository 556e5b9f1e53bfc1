//! `Retry-After`, of any bytes that a header can carry.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lapsed::provider::LookError;

use super::provider::{Account, Says, bench, now};

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What is waited where nothing that can be read is asked for.
const USUAL: Duration = Duration::from_secs(30);

/// The pause lies between a second and an hour, and is what was asked for where that can be read.
pub fn hold(data: &[u8]) {
    let Ok(header) = reqwest::header::HeaderValue::from_bytes(data) else {
        return;
    };
    let pause = pause(&header);
    assert!(
        (SHORTEST..=LONGEST).contains(&pause),
        "{header:?}: {pause:?}"
    );
    assert_eq!(
        pause,
        expected(header.to_str().unwrap_or_default()),
        "{header:?}"
    );
}

/// The pause that an adapter makes of a header.
pub fn pause(header: &reqwest::header::HeaderValue) -> Duration {
    let says = Says {
        status: 429,
        headers: vec![("retry-after".parse().expect("a name"), header.clone())],
        body: Vec::new(),
    };
    match bench(Account::Revere).look(vec![Ok(says)]) {
        Err(LookError::Throttled { retry_after }) => retry_after,
        other => panic!("{other:?}"),
    }
}

/// The same by another way: a number is read digit by digit, a date by its written form.
fn expected(text: &str) -> Duration {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (&text[..1], digits),
        None => ("", text),
    };
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let significant = digits.trim_start_matches('0');
        let seconds = match (sign, significant.len()) {
            ("-", _) => 0,
            (_, 0..=4) => significant.parse().unwrap_or(0),
            // A sign before more than an integer holds is no number that can be read.
            ("+", _) if digits.parse::<i64>().is_err() => return USUAL,
            (_, _) => 3_600,
        };
        let too_small = sign == "-" && text.parse::<i64>().is_err();
        return if too_small {
            USUAL
        } else {
            Duration::from_secs(seconds).clamp(SHORTEST, LONGEST)
        };
    }
    match httpdate::parse_http_date(text) {
        Ok(at) => {
            let wait = DateTime::<Utc>::from(at).timestamp() - now().timestamp();
            Duration::from_secs(u64::try_from(wait).unwrap_or(0)).clamp(SHORTEST, LONGEST)
        }
        Err(_) => USUAL,
    }
}
