//! The days behind and ahead as one drawing: what was settled, what is due, which windows are open,
//! which freezes cover them, and where the deadlines lie.
//!
//! It turns values into coordinates; the template draws them, and tells the same as a table for whom
//! a drawing says nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Days as DayCount, NaiveDate, TimeDelta, Utc, Weekday};
use serde::Serialize;

use crate::config::Freeze;
use crate::ledger::{DaySpan, Days};
use crate::model::standing::State;
use crate::reconcile::report::Ahead;

/// Days of UTC that are shown before today.
const BEHIND: u64 = 14;

/// Days that are shown after today.
const AHEAD: u64 = 21;

/// How wide the drawing is, in its own units.
const WIDTH: f64 = 980.0;

/// The height of the fullest day.
const TALLEST: f64 = 84.0;

/// Where the bars stand.
const GROUND: f64 = 118.0;

/// Where the first window is drawn, and how far the next one is below it.
const FIRST_WINDOW: f64 = 150.0;
const NEXT_WINDOW: f64 = 18.0;

/// Windows that are drawn: those with the earliest deadlines.
const MOST_WINDOWS: usize = 8;

/// Bands of one freeze that are drawn: one that comes each night has many.
const MOST_BANDS: usize = 60;

/// Left of this a label stands behind its window, right of it before.
const LABEL_TURNS: f64 = WIDTH * 0.6;

/// The days that a time line shows.
pub fn span(now: DateTime<Utc>) -> DaySpan {
    let today = now.date_naive();
    DaySpan {
        from: today
            .checked_sub_days(DayCount::new(BEHIND))
            .unwrap_or(today),
        until: today
            .checked_add_days(DayCount::new(AHEAD))
            .unwrap_or(today),
    }
}

/// Everything that is drawn.
#[derive(Debug, Serialize)]
pub struct Timeline {
    width: f64,
    height: f64,
    ground: f64,
    /// Where the windows begin.
    windows_y: f64,
    /// Where this moment is.
    now_x: f64,
    days: Vec<Day>,
    bands: Vec<Band>,
    windows: Vec<Bar>,
    /// What the limits let through on a day, where more than that is due on one.
    limit: Option<Limit>,
    /// In one sentence, for whom the drawing says nothing.
    words: String,
}

/// One day.
#[derive(Debug, Serialize)]
struct Day {
    date: String,
    /// Under which the day stands; empty for most.
    label: String,
    /// In the table.
    long: String,
    x: f64,
    middle: f64,
    /// What is drawn of it is narrower than the day.
    bar_x: f64,
    bar_width: f64,
    today: bool,
    ended: u64,
    trouble: u64,
    held: u64,
    due: u64,
    ending: u64,
    deadlines: u64,
    ended_height: f64,
    trouble_height: f64,
    held_height: f64,
    due_height: f64,
    ending_height: f64,
    /// Where the number above the bars stands.
    number_y: f64,
    number: u64,
}

/// How much of a day's bar the limits let through.
#[derive(Debug, Serialize)]
struct Limit {
    per_day: u64,
    y: f64,
}

/// A freeze.
#[derive(Debug, Serialize)]
struct Band {
    name: String,
    x: f64,
    width: f64,
    /// Only one of each name is labelled.
    labelled: bool,
}

/// The window of one request.
#[derive(Debug, Serialize)]
struct Bar {
    provider: String,
    id: String,
    x: f64,
    width: f64,
    y: f64,
    /// Where it will be carried out, as far as can be foretold.
    at_x: Option<f64>,
    late: bool,
    label_x: f64,
    label_before: bool,
    deadline_at: DateTime<Utc>,
}

impl Timeline {
    /// Whether there is anything to draw.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
            && self.bands.is_empty()
            && self.days.iter().all(|day| day.number + day.deadlines == 0)
    }

    /// Of these days, freezes and requests, and of what the provider ends at these moments, as seen
    /// from `now`.
    pub fn of(
        now: DateTime<Utc>,
        days: &Days,
        still: Still<'_>,
        freezes: &[Freeze],
        ahead: &[Ahead],
    ) -> Self {
        let scale = Scale::of(now);
        let bars = scale.windows(ahead);
        let drawn = scale.days(days, still);
        let most_due = drawn.iter().map(|day| day.due).max().unwrap_or(0);
        Self {
            limit: still
                .per_day
                .filter(|it| *it < most_due)
                .map(|per_day| Limit {
                    per_day,
                    y: round(GROUND - height(per_day, tallest(&drawn))),
                }),
            width: WIDTH,
            height: FIRST_WINDOW + NEXT_WINDOW * bars.len() as f64,
            windows_y: FIRST_WINDOW - 4.0,
            ground: GROUND,
            now_x: scale.x(now),
            words: words(&drawn, now.date_naive(), still.per_day),
            days: drawn,
            bands: freezes
                .iter()
                .flat_map(|freeze| scale.bands(freeze))
                .collect(),
            windows: bars,
        }
    }
}

/// What stands still, goes by itself or has its limits, beside what is due.
#[derive(Clone, Copy, Debug, Default)]
pub struct Still<'s> {
    /// When the provider ends what it was told to end.
    pub ends: &'s [DateTime<Utc>],
    /// What is held now.
    pub held: u64,
    /// Of these, what is counted as due as well: held for its provider's sake.
    pub held_by_gates: u64,
    /// What the limits let through on a day, where that can be told.
    pub per_day: Option<u64>,
}

/// From instants to places.
struct Scale {
    now: DateTime<Utc>,
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
    span: DaySpan,
}

impl Scale {
    fn of(now: DateTime<Utc>) -> Self {
        let span = span(now);
        let begin = midnight(span.from);
        Self {
            now,
            begin,
            end: midnight(span.until) + TimeDelta::days(1),
            span,
        }
    }

    fn x(&self, at: DateTime<Utc>) -> f64 {
        let part = |span: TimeDelta| span.as_seconds_f64();
        let place = part(at.clamp(self.begin, self.end) - self.begin) / part(self.end - self.begin);
        round(place * WIDTH)
    }

    fn days(&self, days: &Days, still: Still<'_>) -> Vec<Day> {
        let today = self.now.date_naive();
        let mut ending: BTreeMap<NaiveDate, u64> = BTreeMap::new();
        for end in still.ends {
            *ending.entry(end.date_naive()).or_default() += 1;
        }
        let overdue: u64 = days.due.range(..today).map(|(_, count)| count).sum();
        let numbers: Vec<(NaiveDate, [u64; 5])> = self
            .span
            .from
            .iter_days()
            .take_while(|date| *date <= self.span.until)
            .map(|date| {
                let settled = |states: &[State]| -> u64 {
                    let of = |state: &State| days.settled.get(&(date, *state));
                    states.iter().filter_map(of).sum()
                };
                let ended = settled(&[State::Canceled, State::AlreadyCanceled]);
                let trouble = settled(&[State::Failed, State::Missed]);
                // What is overdue is due today, and what is held stands there.
                let held = if date == today { still.held } else { 0 };
                let due = match date.cmp(&today) {
                    std::cmp::Ordering::Less => 0,
                    std::cmp::Ordering::Equal => {
                        (overdue + at(&days.due, date)).saturating_sub(still.held_by_gates)
                    }
                    std::cmp::Ordering::Greater => at(&days.due, date),
                };
                (date, [ended, trouble, held, due, at(&ending, date)])
            })
            .collect();
        let tallest = numbers.iter().map(|(_, counts)| counts.iter().sum::<u64>());
        let tallest = tallest.max().unwrap_or(0).max(1);
        numbers
            .into_iter()
            .map(|(date, counts)| {
                let (x, next) = (
                    self.x(midnight(date)),
                    self.x(midnight(date) + TimeDelta::days(1)),
                );
                let heights = counts.map(|count| height(count, tallest));
                let [ended, trouble, held, due, ending] = counts;
                Day {
                    label: label(date, today),
                    long: date.format("%a %-d %b %Y").to_string(),
                    date: date.to_string(),
                    x,
                    middle: round((x + next) / 2.0),
                    bar_x: round(x + 4.0),
                    bar_width: round(next - x - 8.0),
                    today: date == today,
                    ended,
                    trouble,
                    held,
                    due,
                    ending,
                    deadlines: at(&days.deadlines, date),
                    ended_height: heights[0],
                    trouble_height: heights[1],
                    held_height: heights[2],
                    due_height: heights[3],
                    ending_height: heights[4],
                    number_y: round(GROUND - heights.iter().sum::<f64>() - 4.0),
                    number: counts.iter().sum(),
                }
            })
            .collect()
    }

    fn bands(&self, freeze: &Freeze) -> Vec<Band> {
        let mut bands = Vec::new();
        let mut from = Some(self.begin);
        while let Some(at) = from.filter(|at| *at < self.end && bands.len() < MOST_BANDS) {
            if let Some(until) = freeze.holds_until(at) {
                let x = self.x(at);
                bands.push(Band {
                    name: freeze.name.clone(),
                    x,
                    width: round((self.x(until) - x).max(1.0)),
                    labelled: bands.is_empty(),
                });
                from = Some(until);
            } else {
                from = freeze.next_begin(at);
            }
        }
        bands
    }

    fn windows(&self, ahead: &[Ahead]) -> Vec<Bar> {
        let mut ahead: Vec<(&Ahead, DateTime<Utc>)> = ahead
            .iter()
            .filter_map(|it| Some((it, it.deadline_at?)))
            .filter(|(it, deadline)| *deadline >= self.begin && it.due_at < self.end)
            .collect();
        ahead.sort_by_key(|(_, deadline)| *deadline);
        let places = (0..).map(|place| FIRST_WINDOW + NEXT_WINDOW * f64::from(place));
        ahead
            .into_iter()
            .take(MOST_WINDOWS)
            .zip(places)
            .map(|((it, deadline_at), y)| {
                let x = self.x(it.due_at);
                let width = round((self.x(deadline_at) - x).max(3.0));
                let label_before = x > LABEL_TURNS;
                Bar {
                    provider: it.provider.to_string(),
                    id: it.id.to_string(),
                    x,
                    width,
                    y,
                    at_x: it.at.filter(|at| *at < self.end).map(|at| self.x(at)),
                    late: it.at.is_none_or(|at| at > deadline_at),
                    label_x: match label_before {
                        true => x - 6.0,
                        false => x + width + 8.0,
                    },
                    label_before,
                    deadline_at,
                }
            })
            .collect()
    }
}

fn tallest(days: &[Day]) -> u64 {
    days.iter().map(|day| day.number).max().unwrap_or(0).max(1)
}

/// Of so many, where the fullest day has `tallest`; one of many is still seen.
fn height(count: u64, tallest: u64) -> f64 {
    match count {
        0 => 0.0,
        count => round((count as f64 / tallest as f64 * TALLEST).max(2.5)),
    }
}

fn midnight(date: NaiveDate) -> DateTime<Utc> {
    date.and_time(chrono::NaiveTime::MIN).and_utc()
}

fn at(counts: &BTreeMap<NaiveDate, u64>, date: NaiveDate) -> u64 {
    counts.get(&date).copied().unwrap_or(0)
}

/// To a tenth: what is finer nobody sees.
fn round(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}

/// Today, and each Monday that leaves room for it.
fn label(date: NaiveDate, today: NaiveDate) -> String {
    let far = (date - today).num_days().abs() > 2;
    match date == today {
        true => "today".to_owned(),
        false if far && date.weekday() == Weekday::Mon => date.format("%-d %b").to_string(),
        false => String::new(),
    }
}

fn words(days: &[Day], today: NaiveDate, per_day: Option<u64>) -> String {
    let sum = |of: fn(&Day) -> u64| days.iter().map(of).sum::<u64>();
    let (ended, trouble) = (sum(|day| day.ended), sum(|day| day.trouble));
    let (due, deadlines) = (sum(|day| day.due), sum(|day| day.deadlines));
    let ending = match sum(|day| day.ending) {
        0 => String::new(),
        ending => format!(" The provider ends {ending} by itself, as it was told to."),
    };
    let now = days.iter().find(|day| day.date == today.to_string());
    let held = match sum(|day| day.held) {
        0 => String::new(),
        held => format!(" {held} are held."),
    };
    let limit = match per_day.filter(|most| days.iter().any(|day| day.due > *most)) {
        None => String::new(),
        Some(most) => format!(" The limits let {most} go on a day."),
    };
    format!(
        "In the last {BEHIND} days {ended} ended and {trouble} failed or were missed. Today {} are \
         due, and {due} by the end of the next {AHEAD} days, in which {deadlines} deadlines lie.{ending}{held}{limit}",
        now.map_or(0, |day| day.due)
    )
}

#[cfg(test)]
mod tests {
    use super::super::moments::{day, now};
    use super::*;

    fn drawn(days: &Days) -> Vec<Day> {
        Scale::of(now()).days(days, Still::default())
    }

    #[test]
    fn what_is_overdue_stands_under_today_and_nothing_is_due_in_the_past() {
        let days = Days {
            due: BTreeMap::from([(day("2026-11-20"), 3), (day("2026-11-26"), 1)]),
            ..Days::default()
        };
        let due: Vec<(String, u64)> = drawn(&days)
            .into_iter()
            .filter(|day| day.due > 0)
            .map(|day| (day.date, day.due))
            .collect();
        assert_eq!(due, [("2026-11-26".to_owned(), 4)]);
    }

    #[test]
    fn what_is_held_stands_under_today_and_is_not_due_as_well() {
        let days = Days {
            due: BTreeMap::from([(day("2026-11-26"), 3)]),
            ..Days::default()
        };
        let still = Still {
            held: 5,
            held_by_gates: 2,
            ..Still::default()
        };
        let drawn = Scale::of(now()).days(&days, still);
        let today = drawn.iter().find(|day| day.today).unwrap();
        assert_eq!([today.due, today.held, today.number], [1, 5, 6]);
    }

    #[test]
    fn what_the_provider_ends_by_itself_stands_on_its_day() {
        let drawn = Scale::of(now()).days(
            &Days::default(),
            Still {
                ends: &[now() + TimeDelta::days(3)],
                ..Still::default()
            },
        );
        let ending: Vec<&str> = drawn
            .iter()
            .filter(|day| day.ending == 1 && day.number == 1)
            .map(|day| day.date.as_str())
            .collect();
        assert_eq!(ending, ["2026-11-29"]);
    }

    #[test]
    fn the_fullest_day_is_the_tallest_and_one_of_many_is_still_seen() {
        let days = Days {
            settled: BTreeMap::from([
                ((day("2026-11-25"), State::Canceled), 10_000),
                ((day("2026-11-24"), State::Failed), 1),
            ]),
            ..Days::default()
        };
        let drawn = drawn(&days);
        let of = |date: &str| drawn.iter().find(|day| day.date == date).unwrap();
        assert!((of("2026-11-25").ended_height - TALLEST).abs() < 0.1);
        assert!(of("2026-11-24").trouble_height >= 2.0);
        assert!(of("2026-11-23").ended_height.abs() < f64::EPSILON);
    }

    #[test]
    fn where_more_is_due_on_a_day_than_the_limits_let_through_they_are_drawn() {
        let days = Days {
            due: BTreeMap::from([(day("2026-11-28"), 1_000)]),
            ..Days::default()
        };
        let of = |per_day| {
            let still = Still {
                per_day,
                ..Still::default()
            };
            Timeline::of(now(), &days, still, &[], &[])
        };
        let drawn = of(Some(500));
        assert!((GROUND - drawn.limit.unwrap().y - TALLEST / 2.0).abs() < 0.1);
        assert!(drawn.words.ends_with("The limits let 500 go on a day."));
        assert!(of(Some(1_000)).limit.is_none());
        assert!(of(None).limit.is_none());
    }

    #[test]
    fn this_moment_stands_between_the_days() {
        let timeline = Timeline::of(now(), &Days::default(), Still::default(), &[], &[]);
        assert!(timeline.is_empty());
        let today = timeline.days.iter().find(|day| day.today).unwrap();
        assert!((timeline.now_x - today.middle).abs() < 0.2);
    }
}
