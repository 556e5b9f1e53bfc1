//! The events of the record, each as one sentence for a person.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use chrono::{DateTime, Utc};

use crate::ledger::Recorded;
use crate::model::act::{Action, Answer};
use crate::model::hold::HoldReason;
use crate::model::standing::Event;

/// One event, in words. What was erased is told as erased.
pub fn sentence(recorded: &Recorded) -> String {
    recorded
        .event
        .as_ref()
        .map_or_else(|| format!("{} (erased)", recorded.kind), of_event)
}

/// The same with the commit of the revision that it names, as far as one is known.
pub fn sentence_with_commit(recorded: &Recorded, commits: &BTreeMap<String, String>) -> String {
    let commit = commit(recorded, commits).map(|it| format!(", commit {it}"));
    sentence(recorded) + &commit.unwrap_or_default()
}

/// The commit of the revision that an event names, out of those of [`crate::ledger::Ledger::commits`].
pub fn commit<'c>(
    recorded: &Recorded,
    commits: &'c BTreeMap<String, String>,
) -> Option<&'c String> {
    let revision = match recorded.event.as_ref()? {
        Event::Accepted { revision, .. }
        | Event::Replanned { revision, .. }
        | Event::TooLate { revision }
        | Event::Withdrawn { revision }
        | Event::Revived { revision, .. }
        | Event::Approved {
            revision: Some(revision),
            ..
        } => revision,
        _ => return None,
    };
    commits.get(revision)
}

/// The same of an event that is whole.
pub(super) fn of_event(event: &Event) -> String {
    match event {
        Event::Accepted { origin, holds, .. } => {
            format!("accepted from {origin}{}", held_as(holds))
        }
        Event::Replanned { origin, holds, .. } => {
            format!("planned anew from {origin}{}", held_as(holds))
        }
        Event::Revived { origin, holds, .. } => {
            format!("back in the file, at {origin}{}", held_as(holds))
        }
        Event::TooLate { .. } => "changed in the file, too late: it was sent already".to_owned(),
        Event::Withdrawn { .. } => "taken out of the file".to_owned(),
        Event::Held { reason, detail } => with_words(format!("held as {reason}"), detail),
        Event::Freed { reason } => format!("no longer held as {reason}"),
        Event::Intended {
            attempt,
            action,
            send_before,
            ..
        } => format!(
            "attempt {attempt}: {} written down, to be sent before {}",
            act(action),
            instant(*send_before)
        ),
        Event::Answered { attempt, answer } => format!("attempt {attempt}: {}", said(answer)),
        Event::Interrupted { attempt } => {
            format!("attempt {attempt}: the process ended while sending; its outcome is read")
        }
        Event::ProvenNotDone {
            attempt, because, ..
        } => with_words(format!("attempt {attempt} had no effect"), because),
        Event::EndingBegan { at } => {
            format!("the provider will end it at {}", instant(*at))
        }
        Event::EndingUndone { because } => because.clone(),
        Event::WindowMissed { closed_at } => {
            format!(
                "its window was missed; it closed at {}",
                instant(*closed_at)
            )
        }
        Event::WindowPassed { closed_at } => format!(
            "its window closed at {}, while nothing was to be sent",
            instant(*closed_at)
        ),
        Event::Approved {
            plan,
            by,
            revision,
            reason,
        } => match revision {
            Some(revision) => format!("approved by {by} in revision {revision} (plan {plan})"),
            None => with_words(
                format!("approved by {by} (plan {plan})"),
                &reason.as_deref().unwrap_or_default(),
            ),
        },
        Event::Settled { as_, note, .. } => with_words(format!("settled as {}", as_.state()), note),
        Event::Retried { by, reason } => {
            with_words(format!("planned afresh, asked for by {by}"), reason)
        }
    }
}

fn with_words(what: String, words: &impl Display) -> String {
    let words = words.to_string();
    if words.is_empty() {
        what
    } else {
        format!("{what}: {words}")
    }
}

fn held_as(holds: &BTreeSet<HoldReason>) -> String {
    let words: Vec<&str> = holds.iter().map(|reason| reason.as_str()).collect();
    if words.is_empty() {
        String::new()
    } else {
        format!(", held as {}", words.join(", "))
    }
}

const fn act(action: &Action) -> &'static str {
    match action {
        Action::Cancel { .. } => "cancel",
        Action::TurnOffRenewal => "turning renewal off",
        Action::ConfirmCancel => "confirming cancel",
    }
}

fn said(answer: &Answer) -> String {
    match answer {
        Answer::Accepted => "the provider accepted it; now it is read back".to_owned(),
        Answer::Refused { status, words } => {
            with_words(format!("the provider refused it ({status})"), words)
        }
        Answer::Throttled { retry_after } => format!(
            "the provider asked for a pause of {} s",
            retry_after.as_secs()
        ),
        Answer::Unavailable { retry_after } => format!(
            "the provider was not available and asked for a pause of {} s; its outcome is read",
            retry_after.as_secs()
        ),
        Answer::Unauthorized => "the provider did not accept the credentials (401)".to_owned(),
        Answer::Forbidden => "the provider does not allow it (403)".to_owned(),
        Answer::NotSent { why } => format!("nothing was sent: {why}"),
        Answer::Unclear { why } => format!("no clear answer ({why}); its outcome is read"),
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
