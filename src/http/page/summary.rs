//! Is all well? The one line at the top of the page, and what it rests on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::model::hold::HoldReason;
use crate::model::standing::State;
use crate::reconcile::live::SourceState;
use crate::reconcile::report::{GateReport, StatusReport};

use super::form;

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
                (first.level, format!("{word}: {}", first.what))
            }
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
            "the last accepted revision stays in force; mend the file, `lapsed check` names every \
             problem in it",
        ));
    }
    if let Some((seen_at, oldest)) = source.seen_at.zip(oldest)
        && seen_at < oldest
    {
        points.push(Point::look(
            "the files were not read for a long time",
            vec![format!(
                "last read {}",
                seen_at.format("%Y-%m-%d %H:%M UTC")
            )],
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
            "see why below; when the cause is gone, `lapsed retry PROVIDER/ID` plans afresh",
        ));
    }
    if let missed @ 1.. = count(State::Missed) {
        points.push(Point::alarm(
            format!("the window of {} went by", cancellations(missed)),
            Vec::new(),
            "decide for each; `lapsed retry PROVIDER/ID --state missed` plans afresh",
        ));
    }
    if let unknown @ 1.. = count(State::Unknown) {
        points.push(Point::look(
            format!("the outcome of {} is not known yet", cancellations(unknown)),
            Vec::new(),
            "it is read until it is known, and never sent again at once",
        ));
    }
    let held = waiting_for_a_person(status);
    if held > 0 {
        points.push(Point::look(
            format!("{} held", are(held)),
            Vec::new(),
            "each reason stands below with what frees it",
        ));
    }
    points
}

/// What is closed at the providers, each gate once for all that it closes.
fn gates(status: &StatusReport) -> Vec<Point> {
    let mut closed: BTreeMap<(HoldReason, String), Vec<&str>> = BTreeMap::new();
    for provider in &status.providers {
        for gate in &provider.gates {
            if gate.reason != HoldReason::LedgerDoubt {
                closed
                    .entry((gate.reason, detail(gate)))
                    .or_default()
                    .push(provider.provider.as_str());
            }
        }
    }
    closed
        .into_iter()
        .map(|((reason, detail), names)| gate(reason, detail, &names.join(", ")))
        .collect()
}

/// Why a gate is closed, and when it may open by itself where the words do not say so.
fn detail(gate: &GateReport) -> String {
    match (gate.reason, gate.opens_at) {
        (HoldReason::Credentials | HoldReason::ProviderStopped, Some(at)) => {
            format!(
                "{}; tried again at {}",
                gate.detail,
                at.format("%H:%M:%S UTC")
            )
        }
        _ => gate.detail.clone(),
    }
}

fn gate(reason: HoldReason, detail: String, names: &str) -> Point {
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
    let details = vec![detail];
    match reason {
        HoldReason::Paused | HoldReason::Frozen | HoldReason::Limit => {
            Point::look(what, details, reason.cure())
        }
        _ => Point::alarm(what, details, reason.cure()),
    }
}

/// Held for another reason than a gate, which is told for the whole provider. An item counts
/// once for each of its reasons, so these cannot be added up; what gates hold, counts once.
fn waiting_for_a_person(status: &StatusReport) -> u64 {
    let held = status.totals.get(&State::Held).copied().unwrap_or(0);
    let by_gates: u64 = status
        .providers
        .iter()
        .flat_map(|provider| &provider.holds)
        .filter(|(reason, _)| reason.is_gate())
        .map(|(_, count)| count)
        .sum();
    held.saturating_sub(by_gates)
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
        (of(&[State::Ending]), "ending"),
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
