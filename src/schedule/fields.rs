//! What the fields of a schedule say, and how they are told to the `cron` crate.
//!
//! Every field is written out as the numbers that it stands for, so that nothing is left to
//! how the crate reads ranges, steps or weekdays.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::ScheduleError;

/// One of the six fields: what it is called, its numbers, and names for them.
struct Kind {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const SECOND: Kind = plain("second", 0, 59);
const MINUTE: Kind = plain("minute", 0, 59);
const HOUR: Kind = plain("hour", 0, 23);
const DAY_OF_MONTH: Kind = plain("day of the month", 1, 31);
const MONTH: Kind = Kind {
    name: "month",
    first: 1,
    last: 12,
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
};
/// 0 and 7 are both Sunday.
const DAY_OF_WEEK: Kind = Kind {
    name: "day of the week",
    first: 0,
    last: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

const fn plain(name: &'static str, first: u32, last: u32) -> Kind {
    Kind {
        name,
        first,
        last,
        names: &[],
    }
}

/// Shorthands, in the meaning of crontab(5).
const SHORTHANDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The numbers of one field.
#[derive(Debug)]
struct Field {
    numbers: BTreeSet<u32>,
    /// Whether it holds `*`, which crontab(5) calls unrestricted even in `*/2`.
    star: bool,
}

/// The six fields.
#[derive(Debug)]
pub(super) struct Fields {
    second: Field,
    minute: Field,
    hour: Field,
    day_of_month: Field,
    month: Field,
    day_of_week: Field,
}

/// Reads a whole text.
pub(super) fn read(text: &str) -> Result<Fields, ScheduleError> {
    let text = text.trim();
    let written = if text.starts_with('@') {
        shorthand(text)?
    } else {
        text
    };
    let words: Vec<&str> = written.split_ascii_whitespace().collect();
    let (second, rest) = match words.as_slice() {
        [minute, rest @ ..] if rest.len() == 4 => ("0", [&[*minute], rest].concat()),
        [second, rest @ ..] if rest.len() == 5 => (*second, rest.to_vec()),
        other => return Err(wrong_count(other.len())),
    };
    Ok(Fields {
        second: SECOND.read(second)?,
        minute: MINUTE.read(rest[0])?,
        hour: HOUR.read(rest[1])?,
        day_of_month: DAY_OF_MONTH.read(rest[2])?,
        month: MONTH.read(rest[3])?,
        day_of_week: DAY_OF_WEEK.read(rest[4])?,
    })
}

fn shorthand(text: &str) -> Result<&'static str, ScheduleError> {
    SHORTHANDS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, fields)| *fields)
        .ok_or_else(|| {
            let names = SHORTHANDS.map(|(name, _)| format!("`{name}`")).join(", ");
            error(format!("found {}; allowed: {names}", quoted(text)))
        })
}

fn wrong_count(found: usize) -> ScheduleError {
    let found = match found {
        0 => "nothing".to_owned(),
        1 => "1 field".to_owned(),
        count => format!("{count} fields"),
    };
    error(format!(
        "found {found}; allowed: 5 (minute, hour, day of the month, month, day of the week), \
         6 with the second first, or `@hourly`, `@daily` and the like"
    ))
}

impl Fields {
    /// Whether `*` or `*/n` names several hours.
    pub(super) fn many_hours_by_star(&self) -> bool {
        self.hour.star && self.hour.numbers.len() > 1
    }

    /// In the crate's words; several are joined by "or".
    pub(super) fn rules(&self) -> Result<Vec<cron::Schedule>, ScheduleError> {
        let either = !self.day_of_month.star && !self.day_of_week.star;
        let days = if either {
            vec![
                (self.day_of_month.list(), "*".to_owned()),
                ("*".to_owned(), self.weekdays()),
            ]
        } else {
            vec![(self.day_of_month.list(), self.weekdays())]
        };
        days.into_iter()
            .map(|(day_of_month, day_of_week)| self.rule(&day_of_month, &day_of_week))
            .collect()
    }

    fn rule(&self, day_of_month: &str, day_of_week: &str) -> Result<cron::Schedule, ScheduleError> {
        let words = format!(
            "{} {} {} {day_of_month} {} {day_of_week}",
            self.second.list(),
            self.minute.list(),
            self.hour.list(),
            self.month.list(),
        );
        cron::Schedule::from_str(&words).map_err(|why| error(format!("not understood: {why}")))
    }

    /// The crate counts weekdays from Sunday = 1.
    fn weekdays(&self) -> String {
        let numbers: BTreeSet<u32> = self
            .day_of_week
            .numbers
            .iter()
            .map(|day| day % 7 + 1)
            .collect();
        if numbers.len() == 7 {
            return "*".to_owned();
        }
        list(&numbers)
    }
}

impl Field {
    fn list(&self) -> String {
        list(&self.numbers)
    }
}

fn list(numbers: &BTreeSet<u32>) -> String {
    let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
    numbers.join(",")
}

impl Kind {
    fn read(&self, text: &str) -> Result<Field, ScheduleError> {
        let mut numbers = BTreeSet::new();
        for part in text.split(',') {
            numbers.extend(self.part(part)?);
        }
        Ok(Field {
            numbers,
            star: text.contains('*'),
        })
    }

    /// `*`, `a` or `a-b`, the first and the last perhaps with `/step`.
    fn part(&self, part: &str) -> Result<Vec<u32>, ScheduleError> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let all = if range == "*" {
            (self.first..=self.last).collect()
        } else if let Some((from, to)) = range.split_once('-') {
            self.range(part, self.number(part, from)?, self.number(part, to)?)?
        } else {
            let number = self.number(part, range)?;
            if let Some(step) = step {
                return Err(self.ambiguous_step(part, range, step));
            }
            vec![number]
        };
        let step = step.map_or(Ok(1), |step| self.step(part, step))?;
        Ok(all.into_iter().step_by(step).collect())
    }

    /// Weekdays go round the week; nothing else goes round.
    fn range(&self, part: &str, from: u32, to: u32) -> Result<Vec<u32>, ScheduleError> {
        if from <= to {
            return Ok((from..=to).collect());
        }
        if self.name == DAY_OF_WEEK.name {
            return Ok((from..=to + 7).map(|day| day % 7).collect());
        }
        Err(error(format!(
            "{}: found {}, which ends before it begins; write `{from}-{},{}-{to}`",
            self.name,
            quoted(part),
            self.last,
            self.first,
        )))
    }

    fn number(&self, part: &str, text: &str) -> Result<u32, ScheduleError> {
        if let Some(place) = (self.names.iter()).position(|name| name.eq_ignore_ascii_case(text)) {
            return u32::try_from(place)
                .map(|place| place + self.first)
                .map_err(|_| self.refuse(part));
        }
        let digits =
            (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|number| digits && (self.first..=self.last).contains(number))
            .ok_or_else(|| self.refuse(part))
    }

    fn step(&self, part: &str, text: &str) -> Result<usize, ScheduleError> {
        let most = match self.name {
            name if name == DAY_OF_WEEK.name => 7,
            _ => self.last - self.first + 1,
        };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>()
            .ok()
            .filter(|step| digits && (1..=most).contains(step))
            .and_then(|step| usize::try_from(step).ok())
            .ok_or_else(|| {
                let (name, part) = (self.name, quoted(part));
                error(format!("{name}: found {part}; allowed steps: 1 to {most}"))
            })
    }

    /// Some crons take `5/10` for 5-59/10, some for 5: nobody should have to guess.
    fn ambiguous_step(&self, part: &str, from: &str, step: &str) -> ScheduleError {
        let (name, part) = (self.name, quoted(part));
        let meant = quoted(&format!("{from}-{}/{step}", self.last));
        error(format!(
            "{name}: found {part}; a step needs a range: write {meant}"
        ))
    }

    fn refuse(&self, part: &str) -> ScheduleError {
        let (name, part) = (self.name, quoted(part));
        error(format!("{name}: found {part}; {}", self.allowed()))
    }

    fn allowed(&self) -> String {
        let sunday = match self.name {
            name if name == DAY_OF_WEEK.name => " (0 and 7 are Sunday)",
            _ => "",
        };
        let names = match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => format!(", {first} to {last}"),
            _ => String::new(),
        };
        format!(
            "allowed: {} to {}{sunday}{names}, `*`, ranges, lists and steps",
            self.first, self.last
        )
    }
}

fn error(why: String) -> ScheduleError {
    ScheduleError { why }
}

/// What was found: on one line, without what a terminal would obey, and not at any length.
fn quoted(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
