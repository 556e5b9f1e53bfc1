//! One line of the log for each event that a pass records, in the record's own words.
//!
//! A line is written once its event is in the ledger, so that the log never tells of what the record
//! does not know. What a revision does to many at once is told by its verdict alone.

use crate::model::act::Answer;
use crate::model::hold::HoldReason;
use crate::model::request::Request;
use crate::model::standing::{Event, Settlement};

use super::story;

/// A line with the fields that every event of an item has, as far as the event has them.
macro_rules! line {
    ($level:ident, $request:expr, $event:expr) => {{
        let (request, event): (&Request, &Event) = ($request, $event);
        let key = &request.key;
        tracing::$level!(
            provider = %key.provider,
            subscription = %key.id,
            revision = %request.revision,
            attempt = attempt(event),
            outcome = outcome(event),
            hold = hold(event).map(display),
            state = settled_as(event).map(|it| display(it.state())),
            "{key}: {}",
            story::of_event(event)
        )
    }};
}

/// Tells of an event that was recorded for `request`.
///
/// An error is what needs a person: it failed, its window was missed, its end was undone. A warning
/// is what may: it is held, or an attempt did not go as it should.
pub(super) fn event(request: &Request, event: &Event) {
    match event {
        Event::WindowMissed { .. }
        | Event::EndingUndone { .. }
        | Event::Settled {
            as_: Settlement::Failed | Settlement::Missed,
            ..
        } => line!(error, request, event),
        Event::Held { .. } | Event::Interrupted { .. } | Event::ProvenNotDone { .. } => {
            line!(warn, request, event);
        }
        Event::Answered { answer, .. } if *answer != Answer::Accepted => {
            line!(warn, request, event);
        }
        _ => line!(info, request, event),
    }
}

const fn attempt(event: &Event) -> Option<u32> {
    match event {
        Event::Intended { attempt, .. }
        | Event::Answered { attempt, .. }
        | Event::Interrupted { attempt }
        | Event::ProvenNotDone { attempt, .. } => Some(*attempt),
        _ => None,
    }
}

const fn outcome(event: &Event) -> Option<&'static str> {
    match event {
        Event::Answered { answer, .. } => Some(answer.outcome()),
        _ => None,
    }
}

const fn hold(event: &Event) -> Option<HoldReason> {
    match event {
        Event::Held { reason, .. } | Event::Freed { reason } => Some(*reason),
        _ => None,
    }
}

const fn settled_as(event: &Event) -> Option<Settlement> {
    match event {
        Event::Settled { as_, .. } => Some(*as_),
        _ => None,
    }
}
