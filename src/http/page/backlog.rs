//! How what is due spreads over the days ahead, where the limits of writes let less go on a day than
//! is due on it.
//!
//! It knows whole days only: what is due on one day has its turn after what was due before, earliest
//! first, a day's worth at a time. What has a deadline goes first and is played through on its own
//! (`plan::forecast`); of the rest this is a good guess, and is told as one.

use std::collections::BTreeMap;

use chrono::{Days as DayCount, NaiveDate};
use serde::Serialize;

use crate::reconcile::report::{ProviderReport, StatusReport};

/// What waits for its turn.
#[derive(Debug)]
pub struct Backlog {
    today: NaiveDate,
    /// What the limits have left of today.
    room: u64,
    /// What they let through on any other day.
    per_day: u64,
    /// On each day from today on that has anything due: how many wait from before, and how many come.
    days: BTreeMap<NaiveDate, (u64, u64)>,
}

/// When something has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Turn {
    /// The first of what is due on the same day.
    pub first: NaiveDate,
    /// The last of it.
    pub last: NaiveDate,
}

/// The evening on which most wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worst {
    /// How many.
    pub waiting: u64,
    /// When.
    pub day: NaiveDate,
    /// When the last of them have their turn.
    pub last: Option<NaiveDate>,
}

impl Backlog {
    /// Of what is due by day. None where nobody can tell: what a provider in observe mode has due is
    /// not sent, and among what is due it cannot be told apart.
    pub fn of(due: &BTreeMap<NaiveDate, u64>, status: &StatusReport) -> Option<Self> {
        let limit = |name: &str| status.limits.iter().find(|it| it.limit == name);
        let by_day = limit("per_day")?;
        let hourly = limit("per_hour").map_or(u64::MAX, |it| it.most.saturating_mul(24));
        let per_day = by_day.most.min(hourly);
        if per_day == 0 || !status.providers.iter().all(ProviderReport::enforces) {
            return None;
        }
        let today = status.at.date_naive();
        let mut backlog = Self {
            today,
            room: by_day.most.saturating_sub(by_day.used).min(per_day),
            per_day,
            days: BTreeMap::new(),
        };
        let overdue = due.range(..today).map(|(_, count)| count).sum::<u64>();
        let now = due.get(&today).copied().unwrap_or(0);
        backlog.days.insert(today, (0, overdue + now));
        for (day, count) in due.range(today..).filter(|(day, _)| **day > today) {
            let waiting = backlog.evening(day.pred_opt().unwrap_or(today));
            backlog.days.insert(*day, (waiting, *count));
        }
        Some(backlog)
    }

    /// What the limits let through on a whole day.
    pub const fn per_day(&self) -> u64 {
        self.per_day
    }

    /// When what is due on a day has its turn; none where that is its own day.
    pub fn turn(&self, day: NaiveDate) -> Option<Turn> {
        let day = day.max(self.today);
        let (before, due) = self.days.get(&day).copied()?;
        let turn = Turn {
            first: self.place(day, before + 1)?,
            last: self.place(day, before + due)?,
        };
        (turn.last > day).then_some(turn)
    }

    /// The evening, up to a day, on which most wait for a later one.
    pub fn worst(&self, until: NaiveDate) -> Option<Worst> {
        let evenings = self.days.range(..=until);
        let evenings = evenings.map(|(day, _)| (self.evening(*day), *day));
        let (waiting, day) = evenings.max().filter(|(waiting, _)| *waiting > 0)?;
        Some(Worst {
            waiting,
            day,
            last: day.checked_add_days(DayCount::new(waiting.div_ceil(self.per_day))),
        })
    }

    /// How many wait at the end of a day for a later one.
    fn evening(&self, day: NaiveDate) -> u64 {
        let Some((from, (waiting, due))) = self.days.range(..=day).next_back() else {
            return 0;
        };
        let days = u64::try_from((day - *from).num_days()).unwrap_or(0);
        let let_through = self
            .room_of(*from)
            .saturating_add(days.saturating_mul(self.per_day));
        (waiting + due).saturating_sub(let_through)
    }

    /// On which day the so many-th of those that wait on a day goes.
    fn place(&self, day: NaiveDate, number: u64) -> Option<NaiveDate> {
        let later = number.saturating_sub(self.room_of(day));
        day.checked_add_days(DayCount::new(later.div_ceil(self.per_day)))
    }

    fn room_of(&self, day: NaiveDate) -> u64 {
        match day == self.today {
            true => self.room,
            false => self.per_day,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::moments::{calm, day};
    use super::*;

    /// 500 a day, of which 400 are left today, the 26th.
    fn backlog(due: &[(&str, u64)]) -> Backlog {
        let due = due.iter().map(|(date, count)| (day(date), *count));
        Backlog::of(&due.collect(), &calm()).unwrap()
    }

    fn turn(backlog: &Backlog, due: &str) -> Option<(String, String)> {
        let turn = backlog.turn(day(due))?;
        Some((turn.first.to_string(), turn.last.to_string()))
    }

    #[test]
    fn what_fits_into_its_day_goes_on_its_day() {
        let backlog = backlog(&[
            ("2026-11-20", 100),
            ("2026-11-26", 300),
            ("2026-11-28", 500),
        ]);
        for due in ["2026-11-20", "2026-11-26", "2026-11-27", "2026-11-28"] {
            assert_eq!(turn(&backlog, due), None, "{due}");
        }
        assert_eq!(backlog.worst(day("2026-12-17")), None);
    }

    #[test]
    fn what_does_not_fit_goes_after_what_was_due_before() {
        let backlog = backlog(&[
            ("2026-11-27", 1_200),
            ("2026-11-28", 100),
            ("2026-12-03", 9),
        ]);
        let told = |first: &str, last: &str| Some((first.to_owned(), last.to_owned()));
        assert_eq!(
            turn(&backlog, "2026-11-27"),
            told("2026-11-27", "2026-11-29")
        );
        assert_eq!(
            turn(&backlog, "2026-11-28"),
            told("2026-11-29", "2026-11-29")
        );
        assert_eq!(turn(&backlog, "2026-12-03"), None, "by then nothing waits");
    }

    #[test]
    fn what_is_overdue_is_due_today_and_has_what_is_left_of_today() {
        let backlog = backlog(&[("2026-11-01", 401)]);
        let told = Some(("2026-11-26".to_owned(), "2026-11-27".to_owned()));
        assert_eq!(turn(&backlog, "2026-11-01"), told);
        assert_eq!(turn(&backlog, "2026-11-26"), told);
    }

    #[test]
    fn an_hourly_limit_that_lets_less_through_than_the_daily_one_is_what_counts() {
        let mut status = calm();
        status.limits[0].most = 1_000_000;
        status.limits[1].most = 10;
        let backlog = Backlog::of(&BTreeMap::from([(day("2026-11-27"), 480)]), &status).unwrap();
        assert_eq!(backlog.per_day(), 240);
        assert_eq!(
            backlog.turn(day("2026-11-27")).unwrap().last,
            day("2026-11-28")
        );
    }
}
