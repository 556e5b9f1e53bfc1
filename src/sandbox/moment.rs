//! Spans such as `90s` and instants such as `+30d`, as the control API writes them.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer};

/// A length of time that is not negative, such as `90s`, `250ms` or `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub Duration);

/// A length of time with a sign, such as `-10m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shift(pub TimeDelta);

/// An instant: fixed, or counted from when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    At(DateTime<Utc>),
    FromNow(TimeDelta),
}

impl Moment {
    /// Days from when it is loaded; negative ones are past.
    pub const fn days(days: i64) -> Self {
        Self::FromNow(TimeDelta::seconds(days * 86_400))
    }

    /// The instant meant, to the microsecond (no provider knows more).
    pub fn on(self, now: DateTime<Utc>) -> DateTime<Utc> {
        let instant = match self {
            Self::At(instant) => instant,
            Self::FromNow(shift) => now + shift,
        };
        to_micros(instant)
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self::FromNow(TimeDelta::zero()));
        }
        if text.starts_with(['+', '-']) {
            return Ok(Self::FromNow(signed(text)?));
        }
        if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(instant.to_utc()));
        }
        if let Ok(day) = text.parse::<NaiveDate>() {
            return Ok(Self::At(day.and_time(NaiveTime::MIN).and_utc()));
        }
        Err(format!(
            "`{text}` is no instant; write `2026-11-21T18:21:52Z`, `2026-11-21`, `now`, `+30d` or `-2h`"
        ))
    }
}

/// Without what is finer than a microsecond.
pub(super) fn to_micros(instant: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(instant.timestamp_micros()).unwrap_or(instant)
}

fn signed(text: &str) -> Result<TimeDelta, String> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = rest.split_at(digits);
    let millis_each: i64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    number
        .parse::<i64>()
        .ok()
        .filter(|_| millis_each > 0)
        .and_then(|number| number.checked_mul(millis_each))
        .filter(|millis| *millis <= LONGEST_MILLIS)
        .map(|millis| TimeDelta::milliseconds(if negative { -millis } else { millis }))
        .ok_or_else(|| format!("`{text}` is no length of time; write `250ms`, `90s`, `10m`, `2h` or `30d` (100 years at most)"))
}

/// A hundred years: any instant this far from now can still be written with four digits.
const LONGEST_MILLIS: i64 = 100 * 366 * 86_400_000;

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let length = signed(&text).map_err(serde::de::Error::custom)?;
        length
            .to_std()
            .map(Self)
            .map_err(|_| serde::de::Error::custom(format!("`{text}` may not be negative")))
    }
}

impl<'de> Deserialize<'de> for Shift {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        signed(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
