//! The next tick after a given instant.
//!
//! The `cron` crate finds ticks on a bare wall clock, with every field written out for it;
//! what the fields mean and how a wall clock becomes an instant is settled here, because the
//! crate alone numbers weekdays from Sunday = 1, wants both kinds of day to match, and skips
//! or doubles ticks when clocks are changed. Reads no clock: the instant is handed in.

mod fields;
mod zone;

use std::sync::Arc;

use chrono::{
    DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;

/// A cron schedule in a zone.
///
/// - Five fields as cron(8) means them (0 and 7 are Sunday; where both kinds of day are
///   restricted, either may match), six with seconds first, or `@hourly` and its like.
/// - A wall-clock time that clocks skip happens once, at the end of the gap; one that they
///   repeat happens once, the first time.
/// - With `*` or `*/n` for the hour it runs on real time: in both passes of a repeated hour,
///   and not at all for what is skipped.
///
/// Invariant: it fires at least once in the years that `cron` knows, which end with 2100.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: Arc<str>,
    zone: Tz,
    /// Joined by "or".
    rules: Arc<[cron::Schedule]>,
    pace: Pace,
}

/// Why a text is no schedule: what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ScheduleError {
    /// One line, without the text itself.
    pub why: String,
}

/// What a schedule follows when clocks are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// The clock on the wall: each time of day once.
    WallClock,
    /// Time as it goes by.
    RealTime,
}

/// The least that two wall-clock times differ in.
const SECOND: TimeDelta = TimeDelta::seconds(1);

impl Schedule {
    /// Five fields, six with seconds first, or `@hourly` and its like.
    ///
    /// # Errors
    ///
    /// When a field is not understood, or when no day has what the fields ask for.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, ScheduleError> {
        let fields = fields::read(text)?;
        let schedule = Self {
            text: text.into(),
            zone,
            rules: fields.rules()?.into(),
            pace: if fields.many_hours_by_star() {
                Pace::RealTime
            } else {
                Pace::WallClock
            },
        };
        // Leap days come at most eight years apart, so a century shows every date there is.
        if schedule.next_after(DateTime::UNIX_EPOCH).is_none() {
            return Err(ScheduleError {
                why: "never fires: none of its months has such a day".to_owned(),
            });
        }
        Ok(schedule)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The zone in which its fields are read.
    pub const fn zone(&self) -> Tz {
        self.zone
    }

    /// The next tick strictly after an instant. None after the year 2100.
    pub fn next_after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.pace {
            Pace::WallClock => self.next_on_the_wall(at),
            Pace::RealTime => self.next_in_real_time(at),
        }
    }

    fn next_on_the_wall(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut from = match zone::repetition_at(self.zone, at) {
            Some(repetition) if repetition.is_second_pass(at) => repetition.wall_end - SECOND,
            _ => self.wall(at),
        };
        loop {
            let tick = self.wall_tick_after(from)?;
            let instant = match self.zone.from_local_datetime(&tick) {
                MappedLocalTime::Single(only) => only.to_utc(),
                MappedLocalTime::Ambiguous(first, _) => first.to_utc(),
                MappedLocalTime::None => zone::end_of_gap(self.zone, tick),
            };
            if instant > at {
                return Some(instant);
            }
            from = tick;
        }
    }

    fn next_in_real_time(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let repetition =
            zone::repetition_at(self.zone, at).filter(|found| !found.is_second_pass(at));
        let mut from = self.wall(at);
        loop {
            let tick = self.wall_tick_after(from)?;
            if let Some(repetition) = &repetition
                && tick >= repetition.wall_end
            {
                // The first pass has nothing left, so the second is next, from its start.
                let again = self.wall_tick_after(repetition.wall_start - SECOND)?;
                if again < repetition.wall_end {
                    return self.zone.from_local_datetime(&again).latest().map(utc);
                }
            }
            match self.zone.from_local_datetime(&tick) {
                MappedLocalTime::Single(only) if only > at => return Some(utc(only)),
                MappedLocalTime::Ambiguous(first, _) if first > at => return Some(utc(first)),
                MappedLocalTime::Ambiguous(_, second) if second > at => return Some(utc(second)),
                MappedLocalTime::None => {
                    from = self.wall(zone::end_of_gap(self.zone, tick)) - SECOND;
                }
                MappedLocalTime::Single(_) | MappedLocalTime::Ambiguous(..) => from = tick,
            }
        }
    }

    /// What the clock on the wall shows, in whole seconds.
    fn wall(&self, at: DateTime<Utc>) -> NaiveDateTime {
        let wall = at.with_timezone(&self.zone).naive_local();
        wall.with_nanosecond(0).unwrap_or(wall)
    }

    fn wall_tick_after(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        self.rules
            .iter()
            .filter_map(|rule| rule.after(&wall.and_utc()).next())
            .min()
            .map(|tick| tick.naive_utc())
    }
}

fn utc(at: DateTime<Tz>) -> DateTime<Utc> {
    at.to_utc()
}

/// The first instant of a day, where midnight may be missing.
pub fn day_begins(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let mut local = day.and_time(chrono::NaiveTime::MIN);
    // A clock is set forward by quarters of an hour; midnight itself may be skipped.
    for _ in 0..(24 * 4) {
        match zone.from_local_datetime(&local) {
            MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => return at.to_utc(),
            MappedLocalTime::None => local += chrono::Duration::minutes(15),
        }
    }
    local.and_utc()
}
