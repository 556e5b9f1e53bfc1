//! Is all well? The one line at the top of the page, and what it rests on.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;

use crate::model::hold::HoldReason;
use crate::model::standing::State;
use crate::reconcile::live::SourceState;
use crate::reconcile::notice::LOOK_AT_PAYMENTS;
use crate::reconcile::report::{Ahead, GateReport, ProviderReport, StatusReport};

use super::backlog::Backlog;
use super::form;

/// Longer than an outcome is usually unknown.
const UNKNOWN_USUAL: TimeDelta = TimeDelta::minutes(10);

/// As long as the alert `LapsedOutcomeUnknown` waits.
const UNKNOWN_ALARM: TimeDelta = TimeDelta::hours(2);

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Well,
    /// Worth a look; nothing is lost meanwhile.
    Look,
    /// A person must act.
    Alarm,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    level: Level,
    what: String,
    /// Whether it begins with the name of a provider, which stays as it is written.
    named: bool,
    details: Vec<String>,
    cure: String,
}

/// The top of the page.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    level: Level,
    headline: String,
    line: String,
    points: Vec<Point>,
}

impl Point {
    /// Something that a person must see to.
    pub fn alarm(what: impl Into<String>, details: Vec<String>, cure: impl Into<String>) -> Self {
        Self {
            level: Level::Alarm,
            what: what.into(),
            named: false,
            details,
            cure: cure.into(),
        }
    }

    /// Something worth a look.
    pub fn look(what: impl Into<String>, details: Vec<String>, cure: impl Into<String>) -> Self {
        Self {
            level: Level::Look,
            ..Self::alarm(what, details, cure)
        }
    }
}

impl Summary {
    /// Of these points; what matters most comes first.
    pub fn of(mut points: Vec<Point>, line: String) -> Self {
        points.sort_by_key(|point| std::cmp::Reverse(point.level));
        let (level, headline) = match points.first() {
            None => (Level::Well, "All is well".to_owned()),
            Some(first) => {
                let word = match first.level {
                    Level::Alarm => "Attention",
                    Level::Look | Level::Well => "Worth a look",
                };
                let more = match points.len() - 1 {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                (first.level, format!("{word}: {}{more}", first.what))
            }
        };
        let line = match level {
            Level::Well => format!("No action needed: {line}"),
            Level::Look | Level::Alarm => line,
        };
        Self {
            level,
            headline,
            line,
            points,
        }
    }
}

/// What is to be said of the files.
pub fn of_source(source: &SourceState, oldest: Option<DateTime<Utc>>) -> Vec<Point> {
    let mut points = Vec::new();
    if !source.problems.is_empty() {
        points.push(Point::alarm(
            "the newest file is not valid",
            source.problems.clone(),
            "mend the file, `lapsed check` names every problem; until then the last accepted revision \
             stays in force, no edit has an effect, and commands such as `lapsed approve` do",
        ));
    }
    if let Some((seen_at, oldest)) = source.seen_at.zip(oldest)
        && seen_at < oldest
    {
        points.push(Point::look(
            "the files were not read for a long time",
            vec![format!("last read {}", form::minute(seen_at))],
            "look at what keeps the files from being read; the log names it",
        ));
    }
    if !source.warnings.is_empty() {
        points.push(Point::look(
            "the file has warnings",
            source.warnings.clone(),
            "nothing is wrong; `lapsed check` and `lapsed plan` tell them as well",
        ));
    }
    points
}

/// What is to be said of the ledger, the providers and the requests.
pub fn of_status(status: &StatusReport) -> Vec<Point> {
    let mut points = Vec::new();
    if let Some(doubt) = &status.ledger.doubt {
        points.push(Point::alarm(
            "the ledger is in doubt, nothing is sent",
            vec![doubt.clone()],
            HoldReason::LedgerDoubt.cure(),
        ));
    }
    points.extend(gates(status));
    let count = |state| status.totals.get(&state).copied().unwrap_or(0);
    if let failed @ 1.. = count(State::Failed) {
        points.push(Point::alarm(
            format!("{} failed", cancellations(failed)),
            Vec::new(),
            "see why under \u{201c}Needs a person\u{201d}; when the cause is gone, \
             `lapsed retry PROVIDER/ID` plans it afresh",
        ));
    }
    if let missed @ 1.. = count(State::Missed) {
        points.push(Point::alarm(
            format!("the window of {} went by", cancellations(missed)),
            Vec::new(),
            "one more period is billed for each; decide under \u{201c}Needs a person\u{201d}, \
             `lapsed retry PROVIDER/ID --state missed` plans it afresh",
        ));
    }
    points.extend(unknown(status, count(State::Unknown)));
    points.extend(held(status));
    points
}

/// An outcome is mostly known within seconds: what is unknown for longer is worth a look, and
/// after as long as the alert waits, an alarm.
fn unknown(status: &StatusReport, unknown: u64) -> Option<Point> {
    let sent = status.providers.iter().filter_map(|it| it.unknown_since);
    let sent = sent.min()?;
    let what = format!("the outcome of {} is not known", cancellations(unknown));
    let details = vec![format!(
        "the oldest was sent {} ({})",
        form::minute(sent),
        form::distance(sent, status.at)
    )];
    let cure = "no clear answer came, so that each is only read until it is known, and not sent \
                again meanwhile; where it stays so, look at the provider";
    match status.at - sent {
        age if age > UNKNOWN_ALARM => Some(Point::alarm(what, details, cure)),
        age if age > UNKNOWN_USUAL => Some(Point::look(what, details, cure)),
        _ => None,
    }
}

/// What is held, in one number, unless a gate that closes the whole provider is all that holds it.
fn held(status: &StatusReport) -> Option<Point> {
    let mut by_reason: BTreeMap<HoldReason, u64> = BTreeMap::new();
    for (reason, count) in status.providers.iter().flat_map(|it| &it.holds) {
        *by_reason.entry(*reason).or_default() += count;
    }
    by_reason.retain(|_, count| *count > 0);
    if by_reason.keys().all(|reason| reason.is_gate()) {
        return None;
    }
    let held = status.totals.get(&State::Held).copied().unwrap_or(0);
    let reasons = by_reason
        .iter()
        .map(|(reason, count)| format!("{} {}", form::count(*count), form::words(reason.as_str())));
    Some(Point::look(
        format!("{} held", are(held)),
        vec![reasons.collect::<Vec<_>>().join(", ")],
        "what frees each stands under \u{201c}Held\u{201d}",
    ))
}

/// Deadlines that cannot be met, of those that were played through.
pub fn of_late(ahead: &[Ahead]) -> Option<Point> {
    let late: Vec<String> = ahead
        .iter()
        .filter_map(|it| {
            Some(format!(
                "{}/{}: {}",
                it.provider,
                it.id,
                it.obstacle.as_ref()?
            ))
        })
        .collect();
    let number = late.len() as u64;
    (number > 0).then(|| {
        let what = match number {
            1 => "1 deadline cannot be met".to_owned(),
            _ => format!("{} deadlines cannot be met", form::count(number)),
        };
        Point::alarm(
            what,
            late,
            "one more period is billed for each, unless the schedule, the freeze or the limit that is named \
             gives way in the file",
        )
    })
}

/// What was settled lately although nobody knows whether its payments have stopped.
pub fn of_unconfirmed(ids: Vec<String>) -> Option<Point> {
    let number = ids.len() as u64;
    (number > 0).then(|| {
        Point::look(
            format!("billing is not confirmed for {}", cancellations(number)),
            ids,
            LOOK_AT_PAYMENTS,
        )
    })
}

/// Where more is due on the days up to one than the limits of writes let through.
pub fn of_backlog(backlog: &Backlog, until: NaiveDate) -> Option<Point> {
    let per_day = backlog.per_day();
    // What does not go on its day goes on the next one: more than that has to wait.
    let worst = backlog.worst(until).filter(|it| it.waiting > per_day)?;
    let last = worst.last.map_or_else(String::new, |day| {
        format!(", so the last of them go about {day}")
    });
    Some(Point::look(
        "more is due than the limits of writes let through",
        vec![format!(
            "{} wait for their turn at the end of {}: the limits let {} go in 24 h{last}",
            cancellations(worst.waiting),
            worst.day,
            form::count(per_day)
        )],
        "nothing is lost: the earliest deadlines go first, and one that cannot be met is told as such; to \
         be done sooner, raise `per_day` and `per_hour` under `limits` in the file",
    ))
}

/// What is closed at the providers, each gate once for all that it closes.
fn gates(status: &StatusReport) -> Vec<Point> {
    let mut closed: BTreeMap<(HoldReason, String), Vec<&ProviderReport>> = BTreeMap::new();
    for provider in &status.providers {
        for gate in &provider.gates {
            if gate.reason != HoldReason::LedgerDoubt {
                closed
                    .entry((gate.reason, detail(gate, status.at)))
                    .or_default()
                    .push(provider);
            }
        }
    }
    closed
        .into_iter()
        .map(|((reason, detail), providers)| gate(reason, detail, &providers))
        .collect()
}

/// Why a gate is closed, and when it may open by itself where the words do not say so.
fn detail(gate: &GateReport, now: DateTime<Utc>) -> String {
    match (gate.reason, gate.opens_at) {
        (HoldReason::Credentials | HoldReason::ProviderStopped, Some(at)) => format!(
            "{}; next try at {} UTC ({})",
            gate.detail,
            at.format("%H:%M:%S"),
            form::distance(at, now)
        ),
        _ => gate.detail.clone(),
    }
}

fn gate(reason: HoldReason, detail: String, providers: &[&ProviderReport]) -> Point {
    let names: Vec<&str> = providers.iter().map(|it| it.provider.as_str()).collect();
    let names = names.join(", ");
    let what = match reason {
        HoldReason::AccountChanged => {
            format!("{names} shows another account, or its credentials would go elsewhere")
        }
        HoldReason::Credentials => format!("{names} does not accept the credentials"),
        HoldReason::ProviderStopped => format!("{names} is stopped"),
        HoldReason::ClockSkew => format!("the clock of {names} is not ours"),
        HoldReason::Paused => format!("{names} is paused"),
        HoldReason::Frozen => format!("{names} is frozen"),
        HoldReason::Limit => format!("a limit is used up for {names}"),
        other => format!("{names}: {other}"),
    };
    let mut details = vec![detail];
    let held = providers.iter().filter_map(|it| it.holds.get(&reason));
    let held: u64 = held.sum();
    if held > 0 {
        details.push(format!("{} held by it", are(held)));
    }
    let point = match reason {
        HoldReason::Paused | HoldReason::Frozen | HoldReason::Limit => {
            Point::look(what, details, reason.cure())
        }
        _ => Point::alarm(what, details, reason.cure()),
    };
    Point {
        named: matches!(
            reason,
            HoldReason::AccountChanged
                | HoldReason::Credentials
                | HoldReason::ProviderStopped
                | HoldReason::Paused
                | HoldReason::Frozen
        ),
        ..point
    }
}

fn cancellations(number: u64) -> String {
    let word = if number == 1 {
        "cancellation"
    } else {
        "cancellations"
    };
    format!("{} {word}", form::count(number))
}

fn are(number: u64) -> String {
    let word = if number == 1 { "is" } else { "are" };
    format!("{} {word}", cancellations(number))
}

/// The counts behind the headline, such as `3 scheduled, 12 done`.
pub fn line(totals: &BTreeMap<State, u64>) -> String {
    let of =
        |states: &[State]| -> u64 { states.iter().filter_map(|state| totals.get(state)).sum() };
    let parts = [
        (of(&[State::Scheduled]), "scheduled"),
        (of(&[State::Held]), "held"),
        (
            of(&[State::Sending, State::Unknown, State::Retrying]),
            "in flight",
        ),
        (of(&[State::Ending]), "ending at the provider"),
        (of(&[State::Canceled, State::AlreadyCanceled]), "done"),
        (of(&[State::Failed]), "failed"),
        (of(&[State::Missed]), "missed"),
    ];
    let told: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{} {word}", form::count(*number)))
        .collect();
    if told.is_empty() {
        "nothing is asked for".to_owned()
    } else {
        told.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::moments::{calm, day, now};
    use super::*;
    use crate::model::ids::{ProviderName, SubscriptionId};
    use crate::model::provider::ProviderKind;

    /// Of one cancellation that was sent so long ago.
    fn unknown_for(age: TimeDelta) -> Option<Level> {
        let mut status = calm();
        status.totals.insert(State::Unknown, 1);
        status.providers[0].unknown_since = Some(now() - age);
        of_status(&status).first().map(|point| point.level)
    }

    #[test]
    fn an_outcome_may_be_unknown_for_minutes_before_anybody_is_told_and_alarms_like_the_alert() {
        assert_eq!(unknown_for(TimeDelta::seconds(1)), None);
        assert_eq!(unknown_for(TimeDelta::minutes(11)), Some(Level::Look));
        assert_eq!(unknown_for(TimeDelta::hours(3)), Some(Level::Alarm));
    }

    #[test]
    fn what_is_unknown_alarms_here_when_the_shipped_alert_does() {
        let rules = include_str!("../../../config/prometheus/rules.yaml");
        let alert = format!("lapsed:unknown:seconds > {}\n", UNKNOWN_ALARM.num_seconds());
        assert!(rules.contains(&alert), "{alert}");
    }

    #[test]
    fn a_deadline_that_cannot_be_met_is_an_alarm_with_what_is_in_its_way() {
        let ahead = |obstacle: Option<&str>| Ahead {
            row: 1,
            provider: ProviderName::parse("academy").unwrap(),
            id: SubscriptionId::parse(ProviderKind::Kajabi, "2145872").unwrap(),
            due_at: now(),
            deadline_at: Some(now()),
            slack: None,
            at: None,
            obstacle: obstacle.map(str::to_owned),
        };
        assert!(of_late(&[ahead(None)]).is_none());
        let point = of_late(&[ahead(None), ahead(Some("the schedule has no tick in time"))]);
        let point = point.unwrap();
        assert_eq!(point.level, Level::Alarm);
        assert_eq!(point.what, "1 deadline cannot be met");
        let why = "academy/2145872: the schedule has no tick in time";
        assert_eq!(point.details, [why]);
    }

    #[test]
    fn what_is_held_is_one_number_whatever_holds_it() {
        let mut status = calm();
        status.totals.insert(State::Held, 8);
        status.providers[0].holds =
            BTreeMap::from([(HoldReason::Paused, 7), (HoldReason::PaymentPlan, 1)]);
        let points = of_status(&status);
        assert_eq!(points[0].what, "8 cancellations are held");
        assert_eq!(points[0].details, ["7 paused, 1 payment plan"]);
    }

    #[test]
    fn what_only_observe_mode_holds_is_no_trouble() {
        let mut status = calm();
        status.totals.insert(State::Held, 8);
        status.providers[0].holds = BTreeMap::from([(HoldReason::ObserveMode, 8)]);
        assert!(of_status(&status).is_empty());
    }

    #[test]
    fn more_than_a_day_of_writes_behind_is_told_with_the_day_on_which_it_ends() {
        let until = day("2026-12-17");
        let mut status = calm();
        let told = |status: &StatusReport, due: &[(&str, u64)]| {
            let due = due.iter().map(|(date, count)| (day(date), *count));
            let backlog = Backlog::of(&due.collect(), status)?;
            of_backlog(&backlog, until).map(|point| point.details)
        };
        // 400 of today's 500 are left, and the rest goes tomorrow.
        let little = [("2026-11-20", 450), ("2026-11-26", 450)];
        assert_eq!(told(&status, &little), None);
        let much = [("2026-11-20", 1_000), ("2026-11-27", 1_900)];
        let details = told(&status, &much).unwrap();
        assert_eq!(
            details,
            [
                "2\u{202f}000 cancellations wait for their turn at the end of 2026-11-27: the limits let \
              500 go in 24 h, so the last of them go about 2026-12-01"
            ]
        );
        status.providers[0].mode = "observe";
        assert_eq!(told(&status, &much), None, "nothing is sent");
    }
}
