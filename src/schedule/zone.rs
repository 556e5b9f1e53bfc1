//! Where a zone's wall clock repeats itself or leaves something out.
//!
//! chrono-tz tells the offset at an instant but not the instants at which it changes, so
//! these are found by halving.

use chrono::{
    DateTime, FixedOffset, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;

/// A stretch of wall-clock time that comes twice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repetition {
    /// What the wall shows when the second pass begins.
    pub(super) wall_start: NaiveDateTime,
    /// What the wall would have shown then, had the clock not been set back.
    pub(super) wall_end: NaiveDateTime,
    second_pass_from: DateTime<Utc>,
}

impl Repetition {
    /// Whether an instant within either pass is in the second.
    pub(super) fn is_second_pass(&self, at: DateTime<Utc>) -> bool {
        at >= self.second_pass_from
    }
}

/// The stretch around an instant whose wall-clock time comes twice.
pub(super) fn repetition_at(zone: Tz, at: DateTime<Utc>) -> Option<Repetition> {
    let wall = at.with_timezone(&zone).naive_local();
    let MappedLocalTime::Ambiguous(first, second) = zone.from_local_datetime(&wall) else {
        return None;
    };
    let (before, after) = (first.offset().fix(), second.offset().fix());
    let second_pass_from = first_instant(first.to_utc(), second.to_utc(), |at| {
        offset(zone, at) == after
    });
    Some(Repetition {
        wall_start: second_pass_from.with_timezone(&after).naive_local(),
        wall_end: second_pass_from.with_timezone(&before).naive_local(),
        second_pass_from,
    })
}

/// The first instant after a wall-clock time that never comes.
pub(super) fn end_of_gap(zone: Tz, missing: NaiveDateTime) -> DateTime<Utc> {
    // No offset from UTC reaches a day, so the gap lies between these.
    let around = missing.and_utc();
    first_instant(
        around - TimeDelta::days(1),
        around + TimeDelta::days(1),
        |at| at.with_timezone(&zone).naive_local() >= missing,
    )
}

fn offset(zone: Tz, at: DateTime<Utc>) -> FixedOffset {
    zone.offset_from_utc_datetime(&at.naive_utc()).fix()
}

/// The first whole second at which `holds` is true: false at `early`, true at `late`.
fn first_instant(
    early: DateTime<Utc>,
    late: DateTime<Utc>,
    holds: impl Fn(DateTime<Utc>) -> bool,
) -> DateTime<Utc> {
    let at = |second| DateTime::from_timestamp(second, 0).unwrap_or(late);
    let (mut early, mut late) = (early.timestamp(), late.timestamp());
    while late - early > 1 {
        let middle = early + (late - early) / 2;
        if holds(at(middle)) {
            late = middle;
        } else {
            early = middle;
        }
    }
    at(late)
}
