//! Lengths of time, days, instants, rates and sizes, from the text that was written.
//!
//! Each function gives the value or a fragment that says what is allowed.

use std::time::Duration;

use chrono::{DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;

use crate::config::RateLimit;
use crate::schedule::day_begins;

/// A length of time, such as `1h30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let allowed = || {
        format!(
            "{text:?} is no length of time; allowed: numbers with `s`, `m`, `h` or `d`, such as 20s, 30m, 24h or 1h30m"
        )
    };
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(allowed());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| allowed())?;
        let unit = rest[digits..].chars().next().ok_or_else(allowed)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            _ => return Err(allowed()),
        };
        let part = number.checked_mul(seconds).map(Duration::from_secs);
        total = part
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= Duration::from_secs(100 * 366 * 24 * 60 * 60))
            .ok_or_else(|| format!("{text:?} is longer than a hundred years"))?;
        rest = &rest[digits + unit.len_utf8()..];
    }
    Ok(total)
}

/// A rate, such as `60/m`.
pub(super) fn rate(text: &str) -> Result<RateLimit, String> {
    let allowed = || {
        format!("{text:?} is no rate; allowed: a number above 0 per `s`, `m` or `h`, such as 60/m")
    };
    let (requests, per) = text.trim().split_once('/').ok_or_else(allowed)?;
    let requests: u32 = requests.trim().parse().map_err(|_| allowed())?;
    let per = match per.trim() {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(60 * 60),
        _ => return Err(allowed()),
    };
    if requests == 0 {
        return Err(allowed());
    }
    Ok(RateLimit { requests, per })
}

/// A size in bytes, such as `512MiB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let allowed = || {
        format!(
            "{text:?} is no size; allowed: a number of bytes, or of `KiB`, `MiB` or `GiB`, such as 512MiB"
        )
    };
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = trimmed[..digits].parse().map_err(|_| allowed())?;
    let factor = match trimmed[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(allowed()),
    };
    number.checked_mul(factor).ok_or_else(allowed)
}

/// A day, such as `2026-12-31`.
pub(super) fn day(text: &str) -> Result<NaiveDate, String> {
    if !looks_like_day(text) {
        return Err(format!(
            "{text:?} is no day; allowed: a day such as 2026-12-31"
        ));
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| {
        format!("{text} does not exist in the calendar; allowed: a day such as 2026-12-31")
    })
}

fn looks_like_day(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(index, byte)| match index {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// A moment: a day (its first instant), a local time, or an RFC 3339 instant. `zone` is what
/// the file says; a bare day or a local time needs it.
pub(super) fn moment(text: &str, zone: Option<Tz>) -> Result<DateTime<Utc>, String> {
    let needs_zone = || {
        format!(
            "{text} does not say in which zone; set `reconcile.timezone`, or write an instant such as 2026-12-31T00:00:00Z"
        )
    };
    if looks_like_day(text) {
        let day = day(text)?;
        return Ok(day_begins(day, zone.ok_or_else(needs_zone)?));
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let local = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .into_iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .ok_or_else(|| {
            format!("{text:?} is no moment; allowed: a day such as 2026-12-31, or an instant such as 2026-12-31T09:00:00+01:00")
        })?;
    let zone = zone.ok_or_else(needs_zone)?;
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(at) => Ok(at.to_utc()),
        // Not before it, whichever of the two was meant.
        MappedLocalTime::Ambiguous(_, later) => Ok(later.to_utc()),
        MappedLocalTime::None => Err(format!(
            "{text} does not exist in {zone}: the clock is set forward over it; name a time before or after"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_rates_and_sizes_are_read_or_refused() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for wrong in ["", "5", "h", "-1h", "1w", "99999999999999999999s", "1h x"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(rate("60/m").unwrap().requests, 60);
        for wrong in ["60", "0/m", "60/d", "/m", "-1/s"] {
            assert!(rate(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert!(size("512MB").is_err());
    }

    #[test]
    fn a_day_begins_when_its_clock_first_runs() {
        // Cairo's clock skips the midnight of 2027-04-30.
        let cairo: Tz = "Africa/Cairo".parse().unwrap();
        let begins = moment("2027-04-30", Some(cairo)).unwrap();
        assert_eq!(begins.to_rfc3339(), "2027-04-29T22:00:00+00:00");
        let berlin: Tz = "Europe/Berlin".parse().unwrap();
        let begins = moment("2026-12-31", Some(berlin)).unwrap();
        assert_eq!(begins.to_rfc3339(), "2026-12-30T23:00:00+00:00");
    }

    #[test]
    fn a_local_time_that_is_skipped_is_refused_and_a_doubled_one_is_the_later() {
        let berlin: Option<Tz> = Some("Europe/Berlin".parse().unwrap());
        let skipped = moment("2027-03-28T02:30", berlin).unwrap_err();
        assert!(
            skipped.contains("does not exist in Europe/Berlin"),
            "{skipped}"
        );
        let doubled = moment("2027-10-31T02:30", berlin).unwrap();
        assert_eq!(doubled.to_rfc3339(), "2027-10-31T01:30:00+00:00");
    }

    #[test]
    fn a_bare_day_needs_a_zone_and_an_instant_does_not() {
        assert!(moment("2026-12-31", None).unwrap_err().contains("timezone"));
        assert!(moment("2026-12-31T00:00:00+01:00", None).is_ok());
        assert!(
            moment("2026-02-30", Some(Tz::UTC))
                .unwrap_err()
                .contains("does not exist")
        );
    }
}
