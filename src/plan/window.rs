//! The window before a period's end in which a cancel may be sent, and what becomes of one
//! that has gone by.
//!
//! The customer keeps what is paid for and is not charged again. Where a provider ends nothing
//! by itself, that leaves the span `[end − opens, end − closes]`. An end that nobody tells
//! holds; nothing here ever falls back to now.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::config::{Freeze, RenewalOff, Subject};
use crate::model::hold::HoldReason;
use crate::model::provider::ProviderKind;
use crate::model::request::Request;
use crate::model::standing::Standing;
use crate::model::terms::{Terms, WhenMissed};
use crate::planted::planted;
use crate::schedule::Schedule;

/// A tick that leaves less time than this before a window closes is not counted on: a pass
/// begins a moment after its tick, and a look comes before the send.
const LATEST_TICK: chrono::Duration = chrono::Duration::minutes(1);

/// A period's end is not read more often than this while its window is ahead.
const SHORTEST_LOOK: chrono::Duration = chrono::Duration::hours(1);

/// How long after a period's end the provider is asked for the next one.
const AFTER_THE_END: chrono::Duration = chrono::Duration::hours(1);

/// Ticks that are tried before a window counts as frozen through: more freezes than this do
/// not follow one another in a window.
const MOST_TICKS: usize = 10_000;

/// When writes may start for one item: the ticks of its provider that no freeze covers.
#[derive(Clone, Debug)]
pub struct Hours<'a> {
    /// The provider's schedule.
    pub schedule: &'a Schedule,
    /// The freezes that speak of the item.
    pub freezes: Vec<&'a Freeze>,
    /// Whether a tick is at work: a pass begins a moment after it, when the schedule's next one
    /// may lie behind the window.
    pub at_a_tick: bool,
}

impl<'a> Hours<'a> {
    /// Those of one item.
    pub fn of(schedule: &'a Schedule, freezes: &'a [Freeze], subject: &Subject<'_>) -> Self {
        Self {
            schedule,
            freezes: freezes
                .iter()
                .filter(|freeze| freeze.matcher.matches(subject))
                .collect(),
            at_a_tick: false,
        }
    }

    /// The first tick at or after `from` that no freeze covers, up to `until`.
    pub fn first_tick(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut from = from;
        for _ in 0..MOST_TICKS {
            let just_before = from - chrono::Duration::nanoseconds(1);
            let tick = self.schedule.next_after(just_before)?;
            if tick > until {
                return None;
            }
            match self.frozen_until(tick) {
                None => return Some(tick),
                Some(thawed) => from = thawed,
            }
        }
        None
    }

    /// Until when a freeze covers a moment, if one does.
    pub fn frozen_until(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.freezes
            .iter()
            .filter_map(|freeze| freeze.holds_until(at))
            .max()
    }

    fn name_of_freeze(&self, at: DateTime<Utc>) -> Option<&str> {
        self.freezes
            .iter()
            .find(|freeze| freeze.holds_until(at).is_some())
            .map(|freeze| freeze.name.as_str())
    }
}

/// The window of one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When a cancel may first be sent.
    pub opens_at: DateTime<Utc>,
    /// When it may last be sent in time.
    pub closes_at: DateTime<Utc>,
}

/// How one kind of provider ends a subscription at its period's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It ends it by itself once renewal is turned off, which takes nothing from the customer
    /// and may be done as soon as it is accepted.
    RenewalOffAtOnce,
    /// The same, but in the window.
    RenewalOffInWindow,
    /// A cancel in the window, by our clock; what is left of the period is lost.
    Cancel,
}

impl Way {
    /// That of a kind of provider under its configuration.
    pub const fn of(kind: ProviderKind, renewal_off: RenewalOff) -> Self {
        match (kind.capabilities().native_period_end, renewal_off) {
            (false, _) => Self::Cancel,
            (true, RenewalOff::AtOnce) => Self::RenewalOffAtOnce,
            (true, RenewalOff::InWindow) => Self::RenewalOffInWindow,
        }
    }

    /// Whether the provider ends it by itself.
    pub const fn native(self) -> bool {
        !matches!(self, Self::Cancel)
    }

    /// The window before a period's end. Turning renewal off costs the customer nothing, so
    /// that at once has no opening and no margin.
    pub fn window(self, end: DateTime<Utc>, terms: &Terms) -> Window {
        let before_end = |before: Duration| {
            chrono::Duration::from_std(before)
                .ok()
                .and_then(|before| end.checked_sub_signed(before))
                .unwrap_or(DateTime::<Utc>::MIN_UTC)
        };
        match self {
            Self::RenewalOffAtOnce => Window {
                opens_at: DateTime::<Utc>::MIN_UTC,
                closes_at: end,
            },
            Self::RenewalOffInWindow | Self::Cancel => Window {
                opens_at: before_end(terms.window.value.opens),
                closes_at: before_end(terms.window.value.closes),
            },
        }
    }
}

/// What is to be done about a period's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It may be acted on now.
    Act {
        /// Since when.
        due_at: DateTime<Utc>,
        /// Until when it is in time; none: it is late already.
        deadline_at: Option<DateTime<Utc>>,
    },
    /// Not yet.
    Wait(Wait),
    /// The window has gone by, and nobody was told so far.
    Missed {
        /// When it closed.
        closed_at: DateTime<Utc>,
    },
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When it may act; unknown while the next period's end is.
    pub due_at: Option<DateTime<Utc>>,
    /// Until when it is in time.
    pub deadline_at: Option<DateTime<Utc>>,
    /// When the period's end is read again; none: after some backoff.
    pub look_at: Option<DateTime<Utc>>,
    /// What holds it, with words.
    pub hold: Option<(HoldReason, String)>,
}

/// What is to be done about one item's period, whose end is `end` as far as anybody tells.
pub fn turn(
    request: &Request,
    way: Way,
    end: Option<DateTime<Utc>>,
    hours: &Hours<'_>,
    now: DateTime<Utc>,
) -> Turn {
    let Some(end) = end else {
        return Turn::Wait(unknown(request.kind));
    };
    if planted!(WindowIgnored, true, false) {
        return Turn::Act {
            due_at: now,
            deadline_at: None,
        };
    }
    let Standing { missed, late, .. } = request.standing;
    // A window that has closed in what is still to come was missed by a clock that was ahead.
    let late = late && missed.is_some_and(|closed_at| closed_at <= now);
    if late && request.terms.when_missed.value == WhenMissed::Now {
        return Turn::Act {
            due_at: missed.unwrap_or(now).min(now),
            deadline_at: None,
        };
    }
    let window = way.window(end, &request.terms);
    if now > window.closes_at {
        return match missed {
            Some(known) if window.closes_at <= known => {
                Turn::Wait(next_period(request, end, hours, now))
            }
            _ => Turn::Missed {
                closed_at: window.closes_at,
            },
        };
    }
    let due_at = window.opens_at.max(request.not_before);
    let this_one = hours.at_a_tick && now >= due_at && hours.frozen_until(now).is_none();
    let no_tick = unsafe_window(window, hours, now.max(due_at)).filter(|_| !this_one);
    if now >= due_at && no_tick.is_none() {
        return Turn::Act {
            due_at,
            deadline_at: Some(window.closes_at),
        };
    }
    Turn::Wait(Wait {
        due_at: Some(due_at),
        deadline_at: Some(window.closes_at),
        look_at: Some(half_way(now, due_at)),
        hold: no_tick.map(|detail| (HoldReason::NoSafeWindow, detail)),
    })
}

/// A window whose end nobody but the file tells: planned without a reading.
pub fn planned(
    end: DateTime<Utc>,
    terms: &Terms,
    hours: &Hours<'_>,
    not_before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Wait {
    let window = Way::Cancel.window(end, terms);
    let due_at = window.opens_at.max(not_before);
    let ahead = now <= window.closes_at;
    let no_tick = unsafe_window(window, hours, now.max(due_at)).filter(|_| ahead);
    Wait {
        due_at: Some(due_at),
        deadline_at: Some(window.closes_at),
        look_at: Some(if no_tick.is_some() {
            half_way(now, due_at)
        } else {
            due_at
        }),
        hold: no_tick.map(|detail| (HoldReason::NoSafeWindow, detail)),
    }
}

/// The next reading of a period's end: at half the remaining time, and again at the window; in
/// the window at whatever tick a person makes.
fn half_way(now: DateTime<Utc>, opens_at: DateTime<Utc>) -> DateTime<Utc> {
    let half = (opens_at - now) / 2;
    if opens_at <= now {
        now
    } else if half < SHORTEST_LOOK {
        opens_at
    } else {
        now + half
    }
}

/// When what is held is looked at again at the latest, so that it is free in time where it is
/// free at all: when its window opens, and then ever nearer to its end. None: that has come.
pub fn next_in_time(
    now: DateTime<Utc>,
    opens_at: DateTime<Utc>,
    closes_at: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if now < opens_at {
        return Some(opens_at);
    }
    let half = (closes_at - now) / 2;
    (half > LATEST_TICK).then(|| now + half)
}

/// Why no tick falls into a window that is still open or ahead; none: one does.
pub fn unsafe_window(window: Window, hours: &Hours<'_>, now: DateTime<Utc>) -> Option<String> {
    let from = window.opens_at.max(now);
    let latest = window.closes_at - LATEST_TICK;
    if hours.first_tick(from, latest).is_some() {
        return None;
    }
    let span = format!(
        "the window from {} to {}",
        minute(from, hours),
        minute(window.closes_at, hours)
    );
    let just_before = from - chrono::Duration::nanoseconds(1);
    let tick = hours
        .schedule
        .next_after(just_before)
        .filter(|tick| *tick <= latest);
    Some(match tick.and_then(|tick| hours.name_of_freeze(tick)) {
        Some(freeze) => format!("{span} has no tick that `{freeze}` or another freeze leaves open"),
        None => format!("no tick of `{}` falls into {span}", hours.schedule.text()),
    })
}

/// Nobody tells when the period ends.
pub fn unknown(kind: ProviderKind) -> Wait {
    let detail = if kind.capabilities().tells_period_end {
        format!("{kind} does not say when the period ends")
    } else {
        format!("{kind} does not tell when the period ends, and the item does not either")
    };
    Wait {
        due_at: None,
        deadline_at: None,
        look_at: None,
        hold: Some((HoldReason::PeriodEndUnknown, detail)),
    }
}

/// A window was missed, and the next period's end is not told yet.
fn next_period(
    request: &Request,
    end: DateTime<Utc>,
    hours: &Hours<'_>,
    now: DateTime<Utc>,
) -> Wait {
    let told_by_file = request.terms.period_ends.is_some();
    let asks_again = end + AFTER_THE_END;
    let waits = now < asks_again && !told_by_file;
    let detail = if told_by_file {
        format!(
            "the period that `period_ends` names ends at {}, and its window has gone by; give the end of the next one",
            minute(end, hours)
        )
    } else {
        format!(
            "{} still names the period that ended at {}, whose window has gone by",
            request.kind,
            minute(end, hours)
        )
    };
    Wait {
        due_at: None,
        deadline_at: None,
        look_at: waits.then_some(asks_again),
        hold: (!waits).then_some((HoldReason::PeriodEndUnknown, detail)),
    }
}

/// A moment in the zone of the schedule, which is that of the file.
fn minute(at: DateTime<Utc>, hours: &Hours<'_>) -> String {
    let zone = hours.schedule.zone();
    format!(
        "{} {zone}",
        at.with_timezone(&zone).format("%Y-%m-%d %H:%M")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Tz;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_tick_is_found_behind_freezes_that_follow_one_another() {
        let schedule = Schedule::parse("0 * * * *", Tz::UTC).unwrap();
        let days = |from: &str, until: &str| Freeze {
            name: from.to_owned(),
            span: crate::config::FreezeSpan::Days {
                from: from.parse().unwrap(),
                until: until.parse().unwrap(),
                starts_at: at(&format!("{from}T00:00:00Z")),
                ends_at: at(&format!("{until}T00:00:00Z")) + chrono::Duration::days(1),
            },
            matcher: crate::config::Match::default(),
        };
        let freezes = [
            days("2026-11-27", "2026-11-28"),
            days("2026-11-29", "2026-11-30"),
        ];
        let hours = Hours {
            schedule: &schedule,
            freezes: freezes.iter().collect(),
            at_a_tick: false,
        };
        let from = at("2026-11-27T12:00:00Z");
        assert_eq!(
            hours.first_tick(from, at("2026-12-02T00:00:00Z")),
            Some(at("2026-12-01T00:00:00Z"))
        );
        assert_eq!(hours.first_tick(from, at("2026-11-30T23:59:59Z")), None);
    }
}
