//! How one item is told to a person: what happens, when, why, and what would free it.
//!
//! `plan` and `explain` use the same sentences, so that one does not have to be translated into
//! the other at 3 a.m. Times are in the file's zone.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::output;
use crate::config::{Config, ProviderConfig, RenewalOff};
use crate::model::ids::ProviderName;
use crate::model::provider::ProviderKind;
use crate::model::standing::State;
use crate::reconcile::preview::{Planned, PlannedItem};
use crate::reconcile::report::ItemReport;

/// Columns after which a sentence goes on in the next line.
const WIDTH: usize = 100;

/// Writes about items.
pub(super) struct Letter<'c> {
    config: &'c Config,
    now: DateTime<Utc>,
}

impl<'c> Letter<'c> {
    pub(super) fn new(config: &'c Config, now: DateTime<Utc>) -> Self {
        Self { config, now }
    }

    /// The kind of a provider of the file.
    pub(super) fn kind(&self, name: &ProviderName) -> ProviderKind {
        self.config
            .providers
            .get(name)
            .map_or(ProviderKind::Kajabi, ProviderConfig::kind)
    }

    pub(super) fn zone(&self) -> Tz {
        self.config.reconcile.timezone
    }

    /// A moment in the file's zone, to the minute.
    pub(super) fn moment(&self, at: DateTime<Utc>) -> String {
        at.with_timezone(&self.zone())
            .format("%a %Y-%m-%d %H:%M")
            .to_string()
    }

    /// A moment, and how far away it is.
    pub(super) fn moment_from_now(&self, at: DateTime<Utc>) -> String {
        format!("{} ({})", self.moment(at), output::relative(at, self.now))
    }

    /// What a plan says of an item, a sentence each.
    pub(super) fn planned(&self, planned: &PlannedItem) -> Vec<String> {
        let item = &planned.item;
        let mut told = Vec::new();
        if item.again > 1 {
            told.push(format!(
                "This is request {} for the same subscription: it would be cancelled once more.",
                item.again
            ));
        }
        let natively = item.ends_natively();
        // What nothing is sent for has no tick and costs nothing.
        if !matches!(planned.action, Planned::Settle | Planned::Missed) {
            told.extend(self.time(item, planned.acts_at, natively));
            told.extend(self.cost(planned, natively));
            told.extend(billing(item));
        }
        if let Some(obstacle) = &planned.obstacle {
            let deadline = item
                .deadline_at
                .map(|at| self.moment(at))
                .unwrap_or_default();
            told.push(format!("NOT IN TIME for {deadline}: {obstacle}."));
        }
        told.extend(self.hold(item));
        told.extend(item.note.as_ref().map(|note| sentence(note)));
        told.push(self.observed(item));
        if let Some(reason) = item.terms.get("reason").and_then(|it| it.value.as_str()) {
            told.push(format!("Reason: {reason}."));
        }
        told
    }

    /// When it ends, and in which window.
    fn time(
        &self,
        item: &ItemReport,
        acts_at: Option<DateTime<Utc>>,
        natively: bool,
    ) -> Option<String> {
        if item.state.finished() || item.state == State::Withdrawn {
            return None;
        }
        let acts = acts_at.map(|at| self.moment(at));
        if !item.ends_with_period {
            let when = match item.when.as_str() {
                "now" => "It ends now".to_owned(),
                day => format!("It ends on {day}, not before"),
            };
            return Some(match acts {
                Some(acts) => format!("{when}: cancelled at the tick of {acts}."),
                None => format!("{when}."),
            });
        }
        let Some(end) = &item.period_end else {
            return Some(if item.kind.capabilities().tells_period_end {
                "It ends with its period, whose end nobody has read yet.".to_owned()
            } else {
                "It ends with its period, whose end nobody tells.".to_owned()
            });
        };
        let ends = format!("{} ({} says so)", self.moment(end.at), end.source);
        if natively && item.missed_at.is_some() && item.state != State::Ending {
            return Some(format!(
                "Its renewal was not turned off in time; its period ends {ends}."
            ));
        }
        if natively {
            let at_once = self
                .config
                .providers
                .get(&item.provider)
                .is_none_or(|provider| provider.renewal_off == RenewalOff::AtOnce);
            let turned = match (item.state, acts) {
                (State::Ending, _) => "Its renewal is off".to_owned(),
                (_, Some(acts)) => format!("Its renewal is turned off at the tick of {acts}"),
                (_, None) if at_once => {
                    "Its renewal is turned off as soon as it may act".to_owned()
                }
                (_, None) => "Its renewal is turned off in its window".to_owned(),
            };
            return Some(format!(
                "{turned}, and it ends by itself with its period, {ends}; that cannot be undone there."
            ));
        }
        let window = match (item.due_at, item.deadline_at) {
            (Some(due), Some(deadline)) => format!(
                "in the window from {} to {}",
                self.moment(due),
                self.moment(deadline)
            ),
            (Some(_), None) => "late, since its window was missed".to_owned(),
            (None, _) if item.missed_at.is_some() => {
                "in the window before the end of the next period".to_owned()
            }
            (None, _) => "in the window before its end".to_owned(),
        };
        let tick = acts.map_or_else(String::new, |acts| format!(", at the tick of {acts}"));
        Some(format!(
            "It is cancelled {window}{tick}; its period ends {ends}."
        ))
    }

    /// What it costs the customer, and where access ends.
    fn cost(&self, planned: &PlannedItem, natively: bool) -> Option<String> {
        let item = &planned.item;
        if natively && item.period_end.is_some() {
            return Some(
                "Nothing that was paid for is lost; access ends with the period.".to_owned(),
            );
        }
        let lost = planned
            .lost_seconds
            .map(|seconds| output::length(seconds.unsigned_abs()));
        let access = planned.access_ends;
        match (lost, access) {
            (Some(lost), Some(access)) => Some(format!(
                "The customer loses {lost} of paid time; access ends {access}."
            )),
            (Some(lost), None) => Some(format!(
                "The customer loses up to {lost} of paid time: whether access ends with the cancel, {} does not say.",
                item.kind
            )),
            (None, Some(access)) if !item.state.finished() => {
                Some(format!("Access ends {access}."))
            }
            (None, _) => None,
        }
    }

    /// What holds it, what else, and what frees it.
    pub(super) fn hold(&self, item: &ItemReport) -> Vec<String> {
        let Some(hold) = &item.hold else {
            return Vec::new();
        };
        let mut told = vec![format!("Held as {}: {}.", hold.reason, hold.detail)];
        if !hold.also.is_empty() {
            let also: Vec<&str> = hold.also.iter().map(|reason| reason.as_str()).collect();
            told.push(format!("Also held as {}.", also.join(", ")));
        }
        told.push(format!("To free it: {}.", hold.cure));
        if let Some(deadline) = item.deadline_at {
            let left = (deadline - self.now).num_seconds();
            told.push(if left > 0 {
                format!(
                    "{} are left, until {}.",
                    output::length(left.unsigned_abs()),
                    self.moment(deadline)
                )
            } else {
                format!("It is too late since {}.", self.moment(deadline))
            });
        }
        told
    }

    pub(super) fn observed(&self, item: &ItemReport) -> String {
        match &item.observed {
            Some(observed) => format!(
                "Observed {}: {}.",
                output::relative(observed.at.min(self.now), self.now),
                observed.summary
            ),
            None if item.kind == ProviderKind::Kajabi || !item.ends_with_period => {
                "Not read yet; that is done when it is due.".to_owned()
            }
            None => "Not read yet; that is done as soon as it is accepted.".to_owned(),
        }
    }
}

/// What Lotus bills with a cancel.
fn billing(item: &ItemReport) -> Option<String> {
    let value = |field: &str| item.terms.get(field)?.value.as_str().map(str::to_owned);
    let usage = value("usage_behavior")?;
    let invoicing = value("invoicing_behavior")?;
    let flat_fee =
        value("flat_fee_behavior").unwrap_or_else(|| "each charge's own setting".to_owned());
    Some(format!(
        "Billed with it: flat fees {flat_fee}, usage {usage}, invoice {invoicing}."
    ))
}

/// A fragment as a sentence.
fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), chars.as_str())
}

/// Sentences under one another, each broken between words and indented.
pub(super) fn paragraphs(told: &[String], indent: usize) -> String {
    let margin = " ".repeat(indent);
    let mut text = String::new();
    for sentence in told {
        let mut line = margin.clone();
        for word in sentence.split(' ') {
            let long = line.chars().count() + 1 + word.chars().count() > WIDTH;
            if long && line.trim() != "" {
                text.push_str(line.trim_end());
                text.push('\n');
                line = format!("{margin}  ");
            }
            line.push_str(word);
            line.push(' ');
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_is_broken_between_words_and_goes_on_further_in() {
        let long = vec!["word ".repeat(40).trim().to_owned()];
        let text = paragraphs(&long, 4);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        assert!(lines[0].starts_with("    word") && lines[1].starts_with("      word"));
        assert_eq!(text.split_whitespace().count(), 40);
    }
}
