//! What is read for the plan, and what each reading says that a pass would do.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;

use crate::config::{Config, Mode, ProviderConfig};
use crate::model::act::Action;
use crate::model::hold::HoldReason;
use crate::model::observed::{Look, Observed};
use crate::model::provider::ProviderKind;
use crate::model::request::Request;
use crate::model::standing::{Event, Phase, Settlement, State};
use crate::model::terms::{When, WhenMissed};
use crate::plan::decide::{self, Decision, Rules};
use crate::plan::window::Way;

use super::super::report::Standpoint;
use super::drafting::{Differs, Draft, hold};
use super::{Planned, PlannedItem, Reading, Sources};

/// What is read without being asked for: what is due within this time …
const READ_AHEAD: chrono::Duration = chrono::Duration::hours(48);

/// … and at most so many.
const READ_MOST: usize = 100;

/// Reads what is to be read. A reading that fails leaves what was known before.
pub(super) async fn look(
    sources: &Sources<'_>,
    drafts: &mut [Draft],
    read: &(dyn Fn(usize, usize) + Sync),
) {
    let soon = sources.now + READ_AHEAD;
    let wanted: Vec<usize> = drafts
        .iter()
        .enumerate()
        .filter(|(_, draft)| {
            let request = &draft.request;
            let open = request.standing.plannable() || request.standing.in_doubt();
            open && match sources.reading {
                Reading::Offline => false,
                Reading::All => true,
                // A period's end that nobody has read yet may be soon.
                Reading::Soon => match request.due_at {
                    Some(due_at) => due_at <= soon,
                    None => request.look.is_none() && request.wake_at.is_some(),
                },
            }
        })
        .map(|(index, _)| index)
        .take(if sources.reading == Reading::Soon {
            READ_MOST
        } else {
            usize::MAX
        })
        .collect();
    let all = wanted.len();
    let looks = wanted.into_iter().filter_map(|index| {
        let key = drafts[index].request.key.clone();
        let reader = Arc::clone(sources.readers.get(&key.provider)?);
        Some(async move { (index, reader.look(&key.id).await) })
    });
    let looks: Vec<_> = looks.collect();
    let mut looks = futures_util::stream::iter(looks).buffer_unordered(16);
    let mut done = 0;
    while let Some((index, result)) = looks.next().await {
        done += 1;
        read(done, all);
        let draft = &mut drafts[index];
        let request = &mut draft.request;
        match result {
            Ok(look) => {
                draft.before = request.look.replace(look);
                look_again(request);
            }
            Err(error) => {
                request.note = Some(format!("it could not be read: {error}"));
            }
        }
    }
}

/// What a reading makes of a request.
#[derive(Default)]
struct Found {
    settles: Option<Settlement>,
    missed: bool,
    note: Option<String>,
}

pub(super) fn planned(standpoint: &Standpoint, config: &Config, draft: Draft) -> PlannedItem {
    let Draft {
        mut request,
        differs,
        before,
        freed,
    } = draft;
    let unread = request.note.take().filter(|_| request.standing.plannable());
    let found = match (
        config.providers.get(&request.key.provider),
        request.look.clone(),
    ) {
        (Some(provider), Some(look)) if request.standing.plannable() => read(
            provider,
            config,
            &mut request,
            &look,
            before,
            standpoint.now,
        ),
        // Nobody has to read to know that a window has closed.
        (Some(provider), None) if request.standing.plannable() => {
            let closed_at = request.deadline_at.filter(|at| *at < standpoint.now);
            let observes = provider.mode == Mode::Observe;
            let rules = Rules::of(provider, config);
            closed_at.map_or_else(Found::default, |closed_at| {
                miss(
                    &mut request,
                    closed_at,
                    observes,
                    None,
                    rules,
                    standpoint.now,
                )
            })
        }
        _ => Found::default(),
    };
    let mut item = standpoint.item(&request);
    let said = match found.settles {
        Some(Settlement::Failed) => found.note.map(|note| format!("would fail: {note}")),
        _ => found.note,
    };
    item.note = item.note.or(said).or(unread);
    // What observe mode alone holds is what would be cancelled.
    let held = item
        .hold
        .as_ref()
        .is_some_and(|hold| hold.reason != HoldReason::ObserveMode);
    let due = item.due_at.is_some_and(|due_at| due_at <= standpoint.now);
    let action = match item.state {
        State::Canceled | State::AlreadyCanceled | State::Failed | State::Missed => {
            Planned::Finished
        }
        State::Sending | State::Unknown | State::Ending => Planned::InFlight,
        State::Held if request.standing.phase == Phase::Ending => Planned::InFlight,
        State::Withdrawn => Planned::Withdraw,
        _ if found.settles.is_some() && !held => Planned::Settle,
        _ if found.missed && !held => Planned::Missed,
        _ if held => Planned::Held,
        _ if due => Planned::Cancel,
        _ => Planned::Scheduled,
    };
    PlannedItem {
        action,
        changed: freed || differs != Differs::No,
        access_ends: access_ends(config, &request),
        ..PlannedItem::untold(item)
    }
}

/// What a reading makes of one of which nothing is in flight.
fn read(
    provider: &ProviderConfig,
    config: &Config,
    request: &mut Request,
    look: &Look,
    before: Option<Look>,
    now: DateTime<Utc>,
) -> Found {
    let rules = Rules::of(provider, config);
    let observes = provider.mode == Mode::Observe;
    // A pass asks first whether a window has closed since it was last looked at.
    let overdue = request.deadline_at.filter(|deadline| *deadline < now);
    if let Some(closed_at) = overdue {
        let known = Request {
            look: before.or_else(|| request.look.clone()),
            ..request.clone()
        };
        if decide::put_off(&known, &look.observed, rules, now).is_none() {
            return miss(request, closed_at, observes, Some(look), rules, now);
        }
    }
    match decide::decide(request, &look.observed, rules, now) {
        Decision::Missed { closed_at } => {
            miss(request, closed_at, observes, Some(look), rules, now)
        }
        decision => {
            if let (Decision::Hold(_), Some(window)) = (
                &decision,
                decide::time_left(request, &look.observed, rules, now),
            ) {
                request.due_at = Some(window.opens_at);
                request.deadline_at = Some(window.closes_at);
            }
            let acts = matches!(decision, Decision::Act(_) | Decision::ActInWindow { .. });
            let mut found = take_up(request, decision);
            if let Observed::Found(there) = &look.observed
                && let Some(successor) = there.successor.as_ref().filter(|_| acts)
            {
                let goes_on = decide::goes_on(request, successor);
                found.note = Some(format!("it has been renewed already: {goes_on}"));
            }
            found
        }
    }
}

/// Where access ends, as far as the provider's documents tell.
fn access_ends(config: &Config, request: &Request) -> Option<&'static str> {
    let provider = config.providers.get(&request.key.provider)?;
    let at_period_end = request.terms.when.value == When::EndOfPeriod;
    match Way::of(request.kind, provider.renewal_off) {
        way if at_period_end && way.native() => Some("with the period"),
        _ if request.kind == ProviderKind::Kajabi => Some("with the cancel"),
        _ => None,
    }
}

/// Brings a request to what its reading says of it.
fn take_up(request: &mut Request, decision: Decision) -> Found {
    let mut found = Found::default();
    match decision {
        Decision::Act(Action::ConfirmCancel) => {
            let note = "found deactivated: one confirming cancel would be sent";
            found.note = Some(note.to_owned());
        }
        Decision::Act(_) => {}
        Decision::ActInWindow {
            due_at,
            deadline_at,
            ..
        } => {
            request.due_at = Some(due_at);
            request.deadline_at = deadline_at;
            if deadline_at.is_none() {
                found.note = Some(
                    "its window was missed; late is what `when_missed: now` asks for".to_owned(),
                );
            }
        }
        Decision::Wait(wait) => {
            request.due_at = wait.due_at;
            request.deadline_at = wait.deadline_at;
            if let Some((reason, detail)) = wait.hold {
                hold(request, reason, &detail);
            }
        }
        // Told by `miss`, before this.
        Decision::Missed { .. } => {}
        Decision::Ending { at } => {
            found.note = Some(format!(
                "it ends on {}, by our doing",
                at.format("%Y-%m-%d")
            ));
        }
        Decision::Settle { as_, note } => {
            found.settles = Some(as_);
            found.note = Some(note);
        }
        Decision::Hold(holds) => {
            for (reason, detail) in holds {
                hold(request, reason, &detail);
            }
        }
    }
    found
}

/// Its window has gone by, as a pass would find.
fn miss(
    request: &mut Request,
    closed_at: DateTime<Utc>,
    observes: bool,
    look: Option<&Look>,
    rules: Rules<'_>,
    now: DateTime<Utc>,
) -> Found {
    let event = if observes {
        Event::WindowPassed { closed_at }
    } else {
        Event::WindowMissed { closed_at }
    };
    if let Ok(after) = request.standing.after(&event) {
        request.standing = after;
    }
    request.due_at = None;
    request.deadline_at = None;
    let when_missed = request.terms.when_missed.value;
    let what = match when_missed {
        WhenMissed::Ask if !observes => "it would be settled as missed, and a person is asked",
        WhenMissed::Now if !observes => "it is cancelled late, at the next tick",
        WhenMissed::Ask | WhenMissed::Now | WhenMissed::NextPeriod => {
            "it waits for the next period"
        }
    };
    let mut found = Found::default();
    if when_missed == WhenMissed::Ask && !observes {
        found.missed = true;
    } else {
        let next = match look {
            Some(look) => decide::decide(request, &look.observed, rules, now),
            None => decide::unread(request, rules, now),
        };
        // Only a window that has gone by twice could ask for this again.
        if !matches!(next, Decision::Missed { .. }) {
            found = take_up(request, next);
        }
    }
    let closed = closed_at.format("%Y-%m-%d %H:%M UTC");
    let missed = format!("its window closed at {closed}; {what}");
    if found.settles.is_none() {
        found.note = Some(missed);
    }
    found
}

/// What a reading found holds only until the next one says otherwise.
fn look_again(request: &mut Request) {
    request.standing.holds.retain(|reason| !reason.from_look());
    request.hold_details.retain(|reason, _| !reason.from_look());
}
