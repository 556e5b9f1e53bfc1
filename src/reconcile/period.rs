//! What waits for its time within a pass: its next reading, its window, and what follows when
//! that has gone by.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::config::Mode;
use crate::ledger::{Change, LedgerError, Timing};
use crate::model::act::Action;
use crate::model::hold::HoldReason;
use crate::model::observed::{Look, Observed};
use crate::model::request::Request;
use crate::model::standing::{Event, Settlement};
use crate::model::terms::WhenMissed;
use crate::plan::backoff;
use crate::plan::decide;
use crate::plan::window::{self, Turn, Wait};
use crate::provider::Admission;

use super::execute::freed;
use super::pass::{Answers, Outlook, Pass, Told};

impl Pass<'_> {
    /// Its time is ahead, or not known. What an earlier look found holds on where it is among
    /// `keeps`.
    pub(super) fn wait_for(
        &self,
        request: &Request,
        wait: Wait,
        mut events: Vec<Event>,
        keeps: BTreeSet<HoldReason>,
    ) -> Change {
        let now = self.now();
        let Wait {
            due_at,
            deadline_at,
            look_at,
            hold,
        } = wait;
        let mut change = Change::to(request, now);
        let mut still = keeps;
        still.extend(hold.iter().map(|(reason, _)| *reason));
        events.extend(freed(request, &still));
        if let Some((reason, detail)) = hold
            && request.hold_details.get(&reason) != Some(&detail)
        {
            events.push(Event::Held { reason, detail });
        }
        change.idle_looks = match look_at {
            None if events.is_empty() => request.idle_looks + 1,
            _ => 0,
        };
        let backoff = now + backoff::hold(change.idle_looks);
        change.wake_at = Some(Some(look_at.unwrap_or(backoff)));
        change.timing = Some(Timing {
            due_at,
            deadline_at,
        });
        change.events = events;
        change
    }

    /// Its window has gone by: counted, told, and what follows planned as was asked for.
    pub(super) fn missed(
        &self,
        request: &Request,
        look: Option<&Look>,
        closed_at: DateTime<Utc>,
        keeps: BTreeSet<HoldReason>,
    ) -> Change {
        let now = self.now();
        // Where nothing was to be sent, nothing was missed; nor where the line is gone.
        let observes = self.party.config.mode == Mode::Observe;
        let was_to_act = !observes && !request.standing.holds.contains(&HoldReason::Removal);
        let event = if was_to_act {
            Event::WindowMissed { closed_at }
        } else {
            Event::WindowPassed { closed_at }
        };
        let mut change = Change::to(request, now);
        let when_missed = request.terms.when_missed.value;
        match when_missed {
            WhenMissed::Ask if was_to_act => {
                let note = format!(
                    "its window closed at {} before it could be cancelled, and `when_missed` is `ask`; `lapsed retry PROVIDER/ID --state missed` plans it for the next one",
                    closed_at.format("%Y-%m-%d %H:%M UTC")
                );
                change.timing = Some(Timing::default());
                change.events = vec![
                    event,
                    Event::Settled {
                        as_: Settlement::Missed,
                        look: look.cloned(),
                        note,
                    },
                ];
                change
            }
            WhenMissed::Now if was_to_act => {
                change.timing = Some(Timing {
                    due_at: Some(now),
                    deadline_at: None,
                });
                change.wake_at = sleeps(request).then_some(None).or(Some(Some(now)));
                change.idle_looks = 0;
                change.events = vec![event];
                change
            }
            WhenMissed::Ask | WhenMissed::Now | WhenMissed::NextPeriod => {
                self.next_period(request, look, event, keeps)
            }
        }
    }

    /// The next period's end is asked for, once this one has come.
    fn next_period(
        &self,
        request: &Request,
        look: Option<&Look>,
        event: Event,
        keeps: BTreeSet<HoldReason>,
    ) -> Change {
        let mut after = request.clone();
        // A window can be missed of whatever waits, and nothing else is asked here.
        if let Ok(standing) = request.standing.after(&event) {
            after.standing = standing;
        }
        let rules = self.rules();
        let told = look
            .or(request.look.as_ref())
            .and_then(|look| match &look.observed {
                Observed::Found(found) => found.period_end,
                Observed::NotFound | Observed::NotOurs { .. } => None,
            });
        let end = decide::period_end(&after, told);
        let way = rules.way(&after);
        let wait = match window::turn(&after, way, end, &rules.hours(&after), self.now()) {
            Turn::Wait(wait) => wait,
            Turn::Act { .. } | Turn::Missed { .. } => Wait {
                due_at: None,
                deadline_at: None,
                look_at: Some(self.now()),
                hold: None,
            },
        };
        let mut change = self.wait_for(request, wait, vec![event], keeps);
        if !request.may_be_read() {
            change.wake_at = Some(None);
        }
        change
    }

    /// It will end by itself, by our doing.
    pub(super) fn ending(&self, request: &Request, at: DateTime<Utc>) -> Change {
        let now = self.now();
        let mut change = Change::to(request, now);
        change.events = vec![Event::EndingBegan { at }];
        change.timing = Some(Timing {
            due_at: request.due_at,
            deadline_at: None,
        });
        change.idle_looks = 0;
        change.wake_at = Some(Some(decide::next_watch(now, at)));
        change
    }

    /// Nothing is in flight, and its deadline has gone by. Read once more where that is allowed
    /// and somebody `answers`: an end that was put off before it came has put off the deadline
    /// with it. Nothing is missed by a clock that differs from the provider's.
    pub(super) async fn overdue(
        &self,
        request: Request,
        outlook: &Outlook,
        answers: &mut Answers,
    ) -> Result<Told, LedgerError> {
        let Some(closed_at) = request.deadline_at else {
            return Ok(Told::NotYet);
        };
        if self.clock_is_wrong() && !(self.clock_is_right_again(&request, outlook, answers)).await?
        {
            return Ok(Told::NotYet);
        }
        let tells = request.kind.capabilities().tells_period_end;
        let asks = *answers == Answers::Somebody && tells && request.may_be_read();
        let look = if asks && self.may_look(outlook) {
            self.party.reader.look(&request.key.id).await.ok()
        } else {
            None
        };
        if asks && look.is_none() {
            *answers = Answers::Nobody;
        }
        // This look was for the time alone: what an earlier one found still holds, but that there
        // was no answer.
        let mut keeps = found_by_a_look(&request);
        if let Some(look) = look {
            keeps.remove(&HoldReason::ProviderUnavailable);
            self.was_read().await?;
            if self.clock_is_wrong() {
                return Ok(Told::NotYet);
            }
            let rules = self.rules();
            if let Some(wait) = decide::put_off(&request, &look.observed, rules, self.now()) {
                let change = self.wait_for(&request, wait, Vec::new(), keeps);
                self.record_look(&request, change, look).await?;
                return Ok(Told::Yes);
            }
            let change = self.missed(&request, Some(&look), closed_at, keeps);
            self.record_look(&request, change, look).await?;
            return Ok(Told::Yes);
        }
        let change = self.missed(&request, None, closed_at, keeps);
        self.record(&request, change).await?;
        Ok(Told::Yes)
    }

    /// Whether our clock agrees with the provider's again, which only a reading tells. Where all
    /// that is left is late and tells no period, nothing else would ever ask for one.
    async fn clock_is_right_again(
        &self,
        request: &Request,
        outlook: &Outlook,
        answers: &mut Answers,
    ) -> Result<bool, LedgerError> {
        if *answers == Answers::Nobody || !self.may_look(outlook) {
            return Ok(false);
        }
        if self.party.reader.look(&request.key.id).await.is_err() {
            *answers = Answers::Nobody;
            return Ok(false);
        }
        self.was_read().await?;
        Ok(!self.clock_is_wrong())
    }

    pub(super) fn clock_is_wrong(&self) -> bool {
        self.memory()
            .stop
            .is_some_and(|stop| stop.reason == HoldReason::ClockSkew)
    }

    /// Its window is open.
    pub(super) async fn act_in_window(
        &self,
        request: Request,
        outlook: &Outlook,
        action: Action,
        look: Look,
        admission: Option<Admission>,
        turn: InWindow,
    ) -> Result<(), LedgerError> {
        let now = self.now();
        let InWindow { timing, writes } = turn;
        let known = Timing {
            due_at: request.due_at,
            deadline_at: request.deadline_at,
        };
        let sleeps = sleeps(&request);
        if writes && !sleeps && known == timing {
            return self.act(request, outlook, action, look, admission).await;
        }
        let mut change = Change::to(&request, now);
        change.timing = Some(timing);
        change.events = freed(&request, &BTreeSet::new());
        change.idle_looks = 0;
        // What waits for a person is read again as its deadline comes nearer, and not at all once
        // that has gone by; all else waits for a tick.
        change.wake_at = Some(match (sleeps, timing.deadline_at) {
            (true, Some(deadline)) => Some(now + (deadline - now) / 2),
            (true, None) => None,
            (false, _) => Some(timing.due_at.unwrap_or(now)),
        });
        change.look = Some(look.clone());
        let request = self.record(&request, change).await?;
        if !writes || sleeps {
            return Ok(());
        }
        self.act(request, outlook, action, look, admission).await
    }
}

/// What is known of one whose window is open.
pub(super) struct InWindow {
    /// Between when.
    pub(super) timing: Timing,
    /// Whether a write may follow.
    pub(super) writes: bool,
}

/// Whether something holds it that no look can end.
fn sleeps(request: &Request) -> bool {
    request.standing.holds.iter().any(|it| !it.from_look())
}

/// What a look found that holds it, its time aside.
fn found_by_a_look(request: &Request) -> BTreeSet<HoldReason> {
    let of_time = [HoldReason::PeriodEndUnknown, HoldReason::NoSafeWindow];
    let holds = request.standing.holds.iter().copied();
    holds
        .filter(|reason| reason.from_look() && !of_time.contains(reason))
        .collect()
}
