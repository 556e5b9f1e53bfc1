//! A schedule, of any bytes: the first names a zone, the rest is the text.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use lapsed::schedule::Schedule;

use super::assert_plain;

/// With and without summer time, to the half hour, and one that skipped a whole day.
const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
];

/// Around changes of the clock, and at the ends of what a file or a provider can name.
const FROM: [&str; 7] = [
    "0001-01-02T00:00:00Z",
    "1970-01-01T00:00:00Z",
    "2011-12-30T09:59:59Z",
    "2026-03-29T00:59:59.5Z",
    "2026-10-25T00:30:00Z",
    "2100-12-31T23:59:59Z",
    "9999-12-31T23:59:59Z",
];

/// It is refused in words, or ticks strictly onwards, and its text says the same once more.
pub fn hold(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    let zone: Tz = ZONES[usize::from(*first) % ZONES.len()]
        .parse()
        .expect("the name of a zone");
    let schedule = match Schedule::parse(text, zone) {
        Err(error) => return assert_plain(&error.to_string(), "a refusal"),
        Ok(schedule) => schedule,
    };
    let again = Schedule::parse(schedule.text(), zone).expect("its text was a schedule");
    for from in FROM {
        let from: DateTime<Utc> = from.parse().expect("an instant");
        let mut at = from;
        for _ in 0..4 {
            let next = schedule.next_after(at);
            assert_eq!(next, again.next_after(at), "{text:?} after {at}");
            let Some(next) = next else { break };
            assert!(next > at, "{text:?} ticks at {next} after {at}");
            // Nothing lies between: from just before the tick it is the next one too.
            let just_before = next - TimeDelta::nanoseconds(1);
            let same = schedule.next_after(just_before.max(at));
            assert_eq!(same, Some(next), "{text:?} just before {next}");
            at = next;
        }
    }
}
