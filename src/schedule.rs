//! The next tick after a given instant.
//!
//! The `cron` crate finds the days; everything in which it differs from cron(8) is settled
//! here, before and after it: numbers of weekdays (0 and 7 are Sunday, in every form), day of
//! month *or* weekday where both are given, the zone, and what a change of the clock does. A
//! tick that falls into a gap fires once, at the gap's end; one that a repeated hour would
//! double fires once. Only a schedule for every hour runs on real time, through both passes.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;

/// A cron schedule in a zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    zone: Tz,
    /// One, or two that are joined by *or* (day of month, weekday).
    calendars: Vec<cron::Schedule>,
    /// Whether the hour field begins with `*`.
    every_hour: bool,
}

/// Why a text is no schedule: what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ScheduleError {
    /// One line.
    pub why: String,
}

/// One field of a schedule.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Names for numbers, beginning with `least`.
    names: &'static [&'static str],
}

const SECOND: Field = Field {
    name: "second",
    least: 0,
    most: 59,
    names: &[],
};
const MINUTE: Field = Field {
    name: "minute",
    least: 0,
    most: 59,
    names: &[],
};
const HOUR: Field = Field {
    name: "hour",
    least: 0,
    most: 23,
    names: &[],
};
const DAY: Field = Field {
    name: "day of month",
    least: 1,
    most: 31,
    names: &[],
};
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
};
/// 7 is Sunday too.
const WEEKDAY: Field = Field {
    name: "weekday",
    least: 0,
    most: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

/// How far back a change of the clock can still matter: the longest change is a few hours.
const LOOK_BACK: Duration = Duration::hours(4);

impl Schedule {
    /// Five fields as cron(8) has them, six with seconds first, or `@hourly` and its like.
    ///
    /// # Errors
    /// What was found in which field and what is allowed; also a schedule that never fires.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, ScheduleError> {
        let fail = |why: String| ScheduleError { why };
        let trimmed = text.trim();
        let spelled = match trimmed.strip_prefix('@') {
            None => trimmed,
            Some(name) => shorthand(name).ok_or_else(|| {
                fail(format!(
                    "{trimmed:?} is no schedule; allowed: @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually"
                ))
            })?,
        };
        let mut fields: Vec<&str> = spelled.split_ascii_whitespace().collect();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        let [second, minute, hour, day, month, weekday] = fields[..] else {
            return Err(fail(format!(
                "{trimmed:?} has {} fields; allowed: five (minute hour day month weekday), six with seconds first, or @hourly and its like",
                fields.len()
            )));
        };
        let time = [SECOND.list(second)?, MINUTE.list(minute)?, HOUR.list(hour)?].join(" ");
        let (days, months, weekdays) = (DAY.list(day)?, MONTH.list(month)?, weekday_list(weekday)?);
        let calendar = |days: &str, weekdays: &str| {
            cron::Schedule::from_str(&format!("{time} {days} {months} {weekdays}"))
                .map_err(|error| fail(format!("{trimmed:?} is no schedule: {error}")))
        };
        // cron(8): a field that begins with a star does not restrict; two that restrict are
        // joined by "or".
        let calendars = if !day.starts_with(['*', '?']) && !weekday.starts_with(['*', '?']) {
            vec![calendar(&days, "*")?, calendar("*", &weekdays)?]
        } else {
            vec![calendar(&days, &weekdays)?]
        };
        let schedule = Self {
            text: text.to_owned(),
            zone,
            calendars,
            every_hour: hour.starts_with('*'),
        };
        if schedule
            .next_local(DateTime::UNIX_EPOCH.naive_utc())
            .is_none()
        {
            return Err(fail(format!("{trimmed:?} never fires")));
        }
        Ok(schedule)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The next tick strictly after an instant; none after the year 2099.
    pub fn next_after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.every_hour {
            self.next_in_real_time(at)
        } else {
            self.next_on_the_wall(at)
        }
    }

    /// A gap fires once, at its end; an overlap fires in its first pass.
    fn next_on_the_wall(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let steady = self.offset(at) == self.offset(at - LOOK_BACK);
        let mut local = self.local(at);
        if !steady {
            local -= LOOK_BACK;
        }
        loop {
            local = self.next_local(local)?;
            let tick = self.resolve(local);
            if tick > at {
                return Some(tick);
            }
        }
    }

    /// Each pass of a repeated hour counts; a gap is stepped over.
    fn next_in_real_time(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let offset = self.offset(at);
        let tick = (self.next_local(self.local(at))? - offset).and_utc();
        if self.offset(tick) == offset {
            return Some(tick);
        }
        // The clock changes in between: the first tick of the new time, its first second
        // included.
        let change = self.change_between(at, tick);
        let local = self.next_local(self.local(change) - Duration::seconds(1))?;
        Some((local - self.offset(change)).and_utc())
    }

    /// The first second with another offset than at `from`.
    fn change_between(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> DateTime<Utc> {
        let offset = self.offset(from);
        let (mut before, mut after) = (from.timestamp(), to.timestamp());
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            let at = DateTime::from_timestamp(middle, 0).unwrap_or(to);
            if self.offset(at) == offset {
                before = middle;
            } else {
                after = middle;
            }
        }
        DateTime::from_timestamp(after, 0).unwrap_or(to)
    }

    fn offset(&self, at: DateTime<Utc>) -> Duration {
        let offset = self.zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        Duration::seconds(i64::from(offset.local_minus_utc()))
    }

    fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.naive_utc() + self.offset(at)
    }

    /// The next tick on a wall clock that never changes.
    fn next_local(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        self.calendars
            .iter()
            .filter_map(|calendar| calendar.after(&after.and_utc()).next())
            .min()
            .map(|tick| tick.naive_utc())
    }

    fn resolve(&self, local: NaiveDateTime) -> DateTime<Utc> {
        match self.zone.from_local_datetime(&local) {
            MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => at.to_utc(),
            MappedLocalTime::None => {
                let before = local.and_utc() - Duration::days(1);
                let after = local.and_utc() + Duration::days(1);
                self.change_between(before, after)
            }
        }
    }
}

fn shorthand(name: &str) -> Option<&'static str> {
    match name {
        "hourly" => Some("0 * * * *"),
        "daily" | "midnight" => Some("0 0 * * *"),
        "weekly" => Some("0 0 * * 0"),
        "monthly" => Some("0 0 1 * *"),
        "yearly" | "annually" => Some("0 0 1 1 *"),
        _ => None,
    }
}

impl Field {
    /// The field as a list of numbers, or `*`.
    fn list(&self, text: &str) -> Result<String, ScheduleError> {
        Ok(self.values(text)?.map_or_else(
            || "*".to_owned(),
            |values| {
                let words: Vec<String> = values.iter().map(ToString::to_string).collect();
                words.join(",")
            },
        ))
    }

    /// The values that a field allows; none: all.
    fn values(&self, text: &str) -> Result<Option<BTreeSet<u32>>, ScheduleError> {
        if matches!(text, "*" | "?") {
            return Ok(None);
        }
        let mut values = BTreeSet::new();
        for part in text.split(',') {
            let (span, step) = match part.split_once('/') {
                None => (part, None),
                Some((span, step)) => (span, Some(self.step(text, step)?)),
            };
            let (from, to) = self.span(text, span, step.is_some())?;
            values.extend((from..=to).step_by(step.unwrap_or(1)));
        }
        Ok(Some(values))
    }

    fn step(&self, text: &str, step: &str) -> Result<usize, ScheduleError> {
        step.parse()
            .ok()
            .filter(|step| *step > 0)
            .ok_or_else(|| self.wrong(text, &format!("the step {step:?} is no number above 0")))
    }

    /// First and last value of a part; a weekday's span may run over the week's end.
    fn span(&self, text: &str, span: &str, stepped: bool) -> Result<(u32, u32), ScheduleError> {
        if span == "*" {
            // Sunday is 0 here; as 7 it would come twice.
            let most = if self.most == 7 { 6 } else { self.most };
            return Ok((self.least, most));
        }
        match span.split_once('-') {
            None => {
                let from = self.value(text, span)?;
                Ok((from, if stepped { self.most } else { from }))
            }
            Some((from, to)) => {
                let (from, to) = (self.value(text, from)?, self.value(text, to)?);
                if from <= to {
                    Ok((from, to))
                } else if self.most == 7 {
                    Ok((from, to + 7))
                } else {
                    Err(self.wrong(text, &format!("{span:?} runs backwards")))
                }
            }
        }
    }

    fn value(&self, text: &str, word: &str) -> Result<u32, ScheduleError> {
        let named = self
            .names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(word))
            .and_then(|index| u32::try_from(index).ok())
            .map(|index| index + self.least);
        let digits = !word.is_empty() && word.bytes().all(|it| it.is_ascii_digit());
        named
            .or_else(|| word.parse().ok().filter(|_| digits))
            .filter(|value| (self.least..=self.most).contains(value))
            .ok_or_else(|| self.wrong(text, &format!("{word:?} is none of them")))
    }

    fn wrong(&self, text: &str, why: &str) -> ScheduleError {
        let names = match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => format!(", {first} to {last}"),
            _ => String::new(),
        };
        ScheduleError {
            why: format!(
                "the {} field is {text:?}, and {why}; allowed: {} to {}{names}, `*`, lists `a,b`, ranges `a-b`, steps `*/n`",
                self.name, self.least, self.most
            ),
        }
    }
}

/// The weekday field in names, which mean the same everywhere.
fn weekday_list(text: &str) -> Result<String, ScheduleError> {
    let Some(values) = WEEKDAY.values(text)? else {
        return Ok("*".to_owned());
    };
    let days: BTreeSet<u32> = values.into_iter().map(|day| day % 7).collect();
    let names: Vec<&str> = days
        .iter()
        .filter_map(|day| WEEKDAY.names.get(*day as usize).copied())
        .collect();
    Ok(names.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let zone: Tz = zone.parse().unwrap();
        let schedule = Schedule::parse(text, zone).unwrap();
        let mut at: DateTime<Utc> = after.parse().unwrap();
        (0..count)
            .map(|_| {
                at = schedule.next_after(at).unwrap();
                at.with_timezone(&zone)
                    .format("%a %m-%d %H:%M:%S %z")
                    .to_string()
            })
            .collect()
    }

    #[test]
    fn weekday_numbers_mean_what_cron_8_means_in_every_form() {
        let monday = "2026-11-23T12:00:00Z";
        for sunday in [
            "0 9 * * 0",
            "0 9 * * 7",
            "0 9 * * SUN",
            "0 0 9 * * 0",
            "0 9 * * 7-7",
        ] {
            assert_eq!(
                ticks(sunday, "UTC", monday, 1),
                ["Sun 11-29 09:00:00 +0000"],
                "{sunday}"
            );
        }
        assert_eq!(
            ticks("0 9 * * FRI-MON", "UTC", monday, 4),
            [
                "Fri 11-27 09:00:00 +0000",
                "Sat 11-28 09:00:00 +0000",
                "Sun 11-29 09:00:00 +0000",
                "Mon 11-30 09:00:00 +0000"
            ]
        );
        assert_eq!(
            ticks("0 9 * * 5-7", "UTC", monday, 3)[2],
            "Sun 11-29 09:00:00 +0000"
        );
    }

    #[test]
    fn day_of_month_and_weekday_are_joined_by_or_where_both_restrict() {
        assert_eq!(
            ticks("0 9 1 * MON", "UTC", "2026-11-24T00:00:00Z", 2),
            ["Mon 11-30 09:00:00 +0000", "Tue 12-01 09:00:00 +0000"]
        );
        assert_eq!(
            ticks("0 9 */2 * MON", "UTC", "2026-11-24T00:00:00Z", 1),
            ["Mon 12-07 09:00:00 +0000"]
        );
    }

    #[test]
    fn a_gap_fires_once_at_its_end_and_an_overlap_once() {
        assert_eq!(
            ticks("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", 2),
            ["Sun 03-28 03:00:00 +0200", "Mon 03-29 02:30:00 +0200"]
        );
        assert_eq!(
            ticks("30 2 * * *", "Europe/Berlin", "2027-10-30T12:00:00Z", 2),
            ["Sun 10-31 02:30:00 +0200", "Mon 11-01 02:30:00 +0100"]
        );
    }

    #[test]
    fn a_schedule_for_every_hour_runs_through_both_passes_of_a_repeated_one() {
        assert_eq!(
            ticks("30 * * * *", "Europe/Berlin", "2027-10-31T00:00:00Z", 3),
            [
                "Sun 10-31 02:30:00 +0200",
                "Sun 10-31 02:30:00 +0100",
                "Sun 10-31 03:30:00 +0100"
            ]
        );
        assert_eq!(
            ticks("*/30 * * * *", "Europe/Berlin", "2027-03-28T00:15:00Z", 3),
            [
                "Sun 03-28 01:30:00 +0100",
                "Sun 03-28 03:00:00 +0200",
                "Sun 03-28 03:30:00 +0200"
            ]
        );
    }

    #[test]
    fn seconds_stand_first_where_six_fields_are_given() {
        assert_eq!(
            ticks("*/20 * * * * *", "UTC", "2026-11-24T00:00:05Z", 3),
            [
                "Tue 11-24 00:00:20 +0000",
                "Tue 11-24 00:00:40 +0000",
                "Tue 11-24 00:01:00 +0000"
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field_and_what_is_allowed() {
        for (text, fragment) in [
            ("* * *", "has 3 fields"),
            ("60 * * * *", "minute field is \"60\""),
            ("* * * * MOM", "weekday field is \"MOM\""),
            ("* * 0 * *", "day of month field"),
            ("*/0 * * * *", "step \"0\""),
            ("5-1 * * * *", "runs backwards"),
            ("0 9 30 2 *", "never fires"),
            ("@often", "@hourly"),
            ("", "has 0 fields"),
            ("+5 * * * *", "minute field"),
        ] {
            let error = Schedule::parse(text, Tz::UTC).unwrap_err();
            assert!(error.why.contains(fragment), "{text}: {}", error.why);
        }
    }
}
