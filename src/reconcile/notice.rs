//! What people are told without asking, made of the record, of what stands still, and of what was read.
//!
//! Nothing here remembers what was told: each notice has an id that is the same for the same thing,
//! and the ledger's outbox takes it once.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::ledger::Recorded;
use crate::model::approval::{Waiting, What};
use crate::model::hold::HoldReason;
use crate::model::ids::Key;
use crate::model::notice::{Notice, NoticeKind};
use crate::model::request::Request;
use crate::model::standing::{Event, Settlement, State};
use crate::model::terms::short_digest;

use super::live::SourceState;
use super::report::{ItemReport, StatusReport};

/// The kinds of events that may be told; see [`Event::kind`].
pub const TOLD_OF: [&str; 2] = ["settled", "window_missed"];

/// How long an outcome may be unknown: longer than a provider's usual `resend_after`.
const UNKNOWN_FOR: TimeDelta = TimeDelta::hours(1);

/// How long after its time something without a deadline may be held.
const HELD_FOR: TimeDelta = TimeDelta::hours(1);

/// What a person does about what [`Event::leaves_billing_open`].
pub const LOOK_AT_PAYMENTS: &str = "Kajabi does not tell whether the payments have stopped too: look at the customer's next payment there, and stop it by hand if one is planned. Nothing more is sent for it.";

/// What an event of the record tells, with the request as it now stands; none: nothing that anybody
/// has to do something about.
pub fn of_event(recorded: &Recorded, item: &ItemReport) -> Option<Notice> {
    let key = &recorded.key;
    let (kind, text, facts) = match recorded.event.as_ref()? {
        Event::Settled {
            as_: Settlement::Failed,
            note,
            ..
        } => (
            NoticeKind::Failed,
            format!(
                "{key} failed: {note}. Nothing more is tried; see `{}`.",
                explain(key)
            ),
            json!({ "note": note }),
        ),
        settled @ Event::Settled { note, .. } if settled.leaves_billing_open() => (
            NoticeKind::BillingNotConfirmed,
            format!("{key} was settled: {note}. {LOOK_AT_PAYMENTS}"),
            json!({ "note": note, "state": item.state }),
        ),
        Event::WindowMissed { closed_at } => {
            let closed = instant(*closed_at);
            let facts = json!({ "closed_at": closed, "state": item.state, "hold": item.hold });
            match &item.hold {
                Some(hold) => (
                    NoticeKind::HeldPastDeadline,
                    format!(
                        "{key} was not cancelled before its window closed at {closed}: it is held as {}. One more period may be billed; {}.",
                        hold.reason,
                        hold.reason.cure()
                    ),
                    facts,
                ),
                None => (
                    NoticeKind::Missed,
                    format!(
                        "{key} was not cancelled before its window closed at {closed}. One more period may be billed; see `{}`.",
                        explain(key)
                    ),
                    facts,
                ),
            }
        }
        _ => return None,
    };
    Some(Notice {
        id: format!("event-{}", recorded.number),
        kind,
        at: recorded.at,
        about: Some(key.clone()),
        text,
        facts,
    })
}

/// What is told of a request whose outcome is unknown for long.
pub fn of_unknown(request: &Request, now: DateTime<Utc>) -> Option<Notice> {
    let sent = request.doubt.as_ref()?.send_before.at;
    if request.state() != State::Unknown || now - sent < UNKNOWN_FOR {
        return None;
    }
    let key = &request.key;
    Some(Notice {
        id: format!("unknown-{}-{}", request.row, request.standing.attempts),
        kind: NoticeKind::UnknownStuck,
        at: now,
        about: Some(key.clone()),
        text: format!(
            "What became of the cancel of {key}, sent by {}, is still unknown. It is only read, and never sent again blindly; see `{}`.",
            instant(sent),
            explain(key)
        ),
        facts: json!({ "sent_before": instant(sent), "attempts": request.standing.attempts }),
    })
}

/// What is told of a request that something holds although its time is over. What waits for a person's
/// approval is told by its plan, and what has a deadline when that goes by.
pub fn of_held(request: &Request, now: DateTime<Utc>) -> Option<Notice> {
    let due_at = request.due_at.filter(|due| now - *due >= HELD_FOR)?;
    let by_item =
        |reason: &&HoldReason| !matches!(reason, HoldReason::Approval | HoldReason::Removal);
    let reason = request.standing.holds.iter().find(by_item)?;
    if request.deadline_at.is_some() {
        return None;
    }
    let key = &request.key;
    Some(Notice {
        id: format!("held-{}-{}", request.row, due_at.timestamp()),
        kind: NoticeKind::HeldPastDeadline,
        at: now,
        about: Some(key.clone()),
        text: format!(
            "{key} should have been cancelled at {}, and is held as {reason}: {}.",
            instant(due_at),
            reason.cure()
        ),
        facts: json!({ "due_at": instant(due_at), "hold": reason }),
    })
}

/// What is told of what waits for a person.
pub fn of_waiting(waiting: &Waiting, now: DateTime<Utc>) -> Notice {
    let Waiting {
        file,
        what,
        digest,
        items,
        ..
    } = waiting;
    let why = match what {
        What::Approval => "more than may happen without an approval",
        What::Removal => "their lines have vanished at once",
    };
    Notice {
        id: format!("waiting-{digest}"),
        kind: NoticeKind::ApprovalWaiting,
        at: now,
        about: None,
        text: format!(
            "{items} of {file} wait for an approval ({why}). Look at `lapsed plan`, then approve {digest} in the file, or by `lapsed approve {digest}`."
        ),
        facts: json!({ "plan": digest, "file": file, "items": items, "for": what }),
    }
}

/// What is told of a text that is not valid; none: it is.
pub fn of_source(source: &SourceState, in_force: &str, now: DateTime<Utc>) -> Option<Notice> {
    let first = source.problems.first()?;
    let count = source.problems.len();
    let said = json!([in_force, source.problems]).to_string();
    let said = short_digest(said.as_bytes());
    Some(Notice {
        id: format!("file-{said}"),
        kind: NoticeKind::FileRejected,
        at: source.broken_since.unwrap_or(now),
        about: None,
        text: format!(
            "The newest text of the files is not valid ({count} {}); revision {in_force} stays in force. {first}",
            if count == 1 { "problem" } else { "problems" }
        ),
        facts: json!({ "problems": count, "first": first, "revision": in_force }),
    })
}

/// How things stand at a tick of the digest.
pub fn digest(status: &StatusReport, waiting: &[Waiting], tick: DateTime<Utc>) -> Notice {
    let of = |state: State| status.totals.get(&state).copied().unwrap_or_default();
    let next = status
        .providers
        .iter()
        .filter_map(|it| it.next_due_at)
        .min();
    let next = next.map_or_else(String::new, |at| {
        format!("; the next is due at {}", instant(at))
    });
    let waiting: u64 = waiting.iter().map(|it| it.items).sum();
    let words: Vec<String> = [
        (of(State::Canceled), "canceled"),
        (of(State::Scheduled) + of(State::Retrying), "scheduled"),
        (of(State::Held), "held"),
        (waiting, "of them waiting for an approval"),
        (of(State::Unknown), "of unknown outcome"),
        (of(State::Failed), "failed"),
        (of(State::Missed), "missed"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    let words = match words.is_empty() {
        true => "Nothing is asked for".to_owned(),
        false => words.join(", "),
    };
    Notice {
        id: format!("digest-{}", tick.timestamp()),
        kind: NoticeKind::Digest,
        at: tick,
        about: None,
        text: format!("{words}{next}."),
        facts: json!({
            "totals": status.totals,
            "holds": holds(status),
            "waiting": waiting,
            "revision": status.revision.as_ref().map(|it| &it.digest),
            "head": status.ledger.head,
            "doubt": status.ledger.doubt,
        }),
    }
}

/// By provider, what is held and for which reason.
fn holds(status: &StatusReport) -> Value {
    let held = status.providers.iter().filter(|it| !it.holds.is_empty());
    held.map(|it| (it.provider.to_string(), json!(it.holds)))
        .collect()
}

fn explain(key: &Key) -> String {
    format!("lapsed explain {}/{}", key.provider, key.id)
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
