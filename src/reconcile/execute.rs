//! One request within a pass: looked at, decided, permitted, journaled, sent, read back.
//!
//! The effects stand in the open, in order. Whatever comes back, the request is left with an
//! event that says so and a time at which it is looked at again.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::clock::Stopwatch;
use crate::config::ProviderConfig;
use crate::ledger::intent::Intent;
use crate::ledger::{Change, Intended, LedgerError, NotIntended, Timing};
use crate::model::act::{Action, Answer};
use crate::model::hold::HoldReason;
use crate::model::memory::Assumed;
use crate::model::observed::Look;
use crate::model::request::{Request, Witness};
use crate::model::standing::{Event, Phase, Settlement};
use crate::plan::backoff;
use crate::plan::decide::{self, Decision, MOST_ATTEMPTS, Resolution, Rules, Seen, Watch};
use crate::plan::guard;
use crate::plan::health::Sign;
use crate::plan::window::{self, Window};
use crate::planted::planted;
use crate::provider::{Admission, LookError};

use super::log;
use super::pass::{Outlook, Pass};
use super::period::InWindow;

/// How far ahead an intent's last moment to send lies, at most (design, section 6, step 2).
const LONGEST_TO_SEND: std::time::Duration = std::time::Duration::from_secs(30);

impl Pass<'_> {
    /// A request of which nothing is in flight.
    pub(super) async fn attempt(
        &self,
        request: Request,
        outlook: &Outlook,
    ) -> Result<(), LedgerError> {
        let writes = self.may_write(&request);
        let frozen = self.situated(outlook, |it| it.frozen(&request));
        if let Some(gate) = frozen.filter(|_| writes && is_due(&request, self.now())) {
            let mut change = Change::to(&request, self.now());
            change.wake_at = Some(gate.opens_at);
            return self.record(&request, change).await.map(drop);
        }
        // What its limit holds costs no reading.
        let limited = self.situated(outlook, |it| it.limited(&request));
        if let Some(gate) = limited.filter(|_| writes && is_due(&request, self.now())) {
            self.closed_by(gate);
            return Ok(());
        }
        // The turn to write is waited for before the look, so that no waiting lies between
        // the look and the write that rests on it.
        let admission = match writes {
            true => self.admission(&request).await,
            false => Ok(None),
        };
        let admission = match admission {
            Ok(admission) => admission,
            Err(error) => return self.look_failed(&request, error).await,
        };
        if self.halted() {
            return Ok(());
        }
        let Some(look) = self.read(&request).await? else {
            return Ok(());
        };
        if self.clock_is_wrong() {
            return Ok(());
        }
        let rules = if writes {
            self.rules().at_a_tick()
        } else {
            self.rules()
        };
        match decide::decide(&request, &look.observed, rules, self.now()) {
            Decision::Hold(holds) => self.hold(&request, look, &holds).await,
            Decision::Wait(wait) => {
                let change = self.wait_for(&request, wait, Vec::new(), BTreeSet::new());
                self.record_look(&request, change, look).await
            }
            Decision::Missed { closed_at } => {
                let change = self.missed(&request, Some(&look), closed_at, BTreeSet::new());
                self.record_look(&request, change, look).await
            }
            Decision::Ending { at } => {
                let change = self.ending(&request, at);
                self.record_look(&request, change, look).await
            }
            Decision::ActInWindow {
                action,
                due_at,
                deadline_at,
            } => {
                let timing = Timing {
                    due_at: Some(due_at),
                    deadline_at,
                };
                let turn = InWindow { timing, writes };
                self.act_in_window(request, outlook, action, look, admission, turn)
                    .await
            }
            Decision::Settle { as_, note } => {
                let mut change = Change::to(&request, self.now());
                change.events = vec![Event::Settled {
                    as_,
                    look: Some(look.clone()),
                    note,
                }];
                change.look = Some(look);
                self.record(&request, change).await?;
                if as_ == Settlement::Failed {
                    Ok(())
                } else {
                    self.sign(Sign::Done).await
                }
            }
            // A look ahead of its time is no leave to act.
            Decision::Act(_) if !is_due(&request, self.now()) => {
                let mut change = Change::to(&request, self.now());
                change.events = freed(&request, &BTreeSet::new());
                // What has ended keeps nobody's paid time: where its period is not known, it is
                // due at once.
                let due_at = request.due_at.unwrap_or(change.at.max(request.not_before));
                change.timing = Some(Timing {
                    due_at: Some(due_at),
                    deadline_at: request.deadline_at,
                });
                change.wake_at = Some(Some(due_at));
                self.record_look(&request, change, look).await
            }
            Decision::Act(_) if !writes => Ok(()),
            Decision::Act(action) => self.act(request, outlook, action, look, admission).await,
        }
    }

    /// Reads it. None where that failed, which is recorded then.
    async fn read(&self, request: &Request) -> Result<Option<Look>, LedgerError> {
        match self.party.reader.look(&request.key.id).await {
            Ok(look) => {
                self.was_read().await?;
                Ok(Some(look))
            }
            Err(error) => {
                self.look_failed(request, error).await?;
                Ok(None)
            }
        }
    }

    /// A reading succeeded: what it says of the provider.
    pub(super) async fn was_read(&self) -> Result<(), LedgerError> {
        let skew = self.party.reader.clock_skew();
        self.sign(Sign::Read { skew }).await
    }

    pub(super) fn rules(&self) -> Rules<'_> {
        Rules::of(&self.party.config, &self.in_force.config)
    }

    pub(super) async fn record_look(
        &self,
        request: &Request,
        mut change: Change,
        look: Look,
    ) -> Result<(), LedgerError> {
        change.look = Some(look);
        self.record(request, change).await.map(drop)
    }

    /// A turn to write, where a write may follow.
    async fn admission(&self, request: &Request) -> Result<Option<Admission>, LookError> {
        match &self.party.canceller {
            Some(canceller) if !self.observes() && request.standing.holds.is_empty() => {
                canceller.admit().await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// It may not act now, and only another look can change that.
    async fn hold(
        &self,
        request: &Request,
        look: Look,
        holds: &BTreeMap<HoldReason, String>,
    ) -> Result<(), LedgerError> {
        let now = self.now();
        let mut change = Change::to(request, now);
        let looked_for: BTreeSet<HoldReason> = holds.keys().copied().collect();
        change.events = freed(request, &looked_for);
        for (reason, detail) in holds {
            if request.hold_details.get(reason) != Some(detail) {
                change.events.push(Event::Held {
                    reason: *reason,
                    detail: detail.clone(),
                });
            }
        }
        change.idle_looks = if change.events.is_empty() {
            request.idle_looks + 1
        } else {
            0
        };
        let rules = self.rules();
        change.timing = decide::time_left(request, &look.observed, rules, now).map(
            |Window {
                 opens_at,
                 closes_at,
             }| Timing {
                due_at: Some(opens_at),
                deadline_at: Some(closes_at),
            },
        );
        let timing = change.timing.unwrap_or(Timing {
            due_at: request.due_at,
            deadline_at: request.deadline_at,
        });
        let in_time = timing
            .due_at
            .zip(timing.deadline_at)
            .and_then(|(due_at, deadline_at)| window::next_in_time(now, due_at, deadline_at));
        let again = now + backoff::hold(change.idle_looks);
        change.wake_at = Some(Some(in_time.map_or(again, |at| at.min(again))));
        change.look = Some(look);
        self.record(request, change).await.map(drop)
    }

    /// The reading failed: nothing is known, and nothing is assumed.
    async fn look_failed(&self, request: &Request, error: LookError) -> Result<(), LedgerError> {
        match error {
            LookError::Credentials { why } => {
                let sign = Sign::Credentials {
                    why,
                    of_writes: false,
                };
                self.sign(sign).await?;
                self.in_vain(request).await
            }
            LookError::Throttled { retry_after } => {
                self.sign(Sign::Throttled { retry_after }).await?;
                self.in_vain(request).await
            }
            LookError::Unavailable { why } => {
                self.sign(Sign::ReadFailed { why: why.clone() }).await?;
                let now = self.now();
                let mut change = Change::to(request, now);
                change.idle_looks = request.idle_looks + 1;
                if request.standing.plannable() {
                    if !request
                        .standing
                        .holds
                        .contains(&HoldReason::ProviderUnavailable)
                    {
                        let reason = HoldReason::ProviderUnavailable;
                        change.events.push(Event::Held {
                            reason,
                            detail: why,
                        });
                        change.idle_looks = 0;
                    }
                    // As often as a stopped provider is tried: its return must find something due.
                    change.wake_at = Some(Some(now + backoff::trial(change.idle_looks)));
                } else {
                    let wait = backoff::unknown(change.idle_looks, self.party.config.resend_after);
                    change.wake_at = Some(Some(now + wait));
                    change.doubt.clone_from(&request.doubt);
                }
                self.record(request, change).await.map(drop)
            }
        }
    }

    /// Its reading closed the provider: it stays due, and comes last, so that one item that may
    /// never be read takes no other's trial.
    async fn in_vain(&self, request: &Request) -> Result<(), LedgerError> {
        let mut change = Change::to(request, self.now());
        change.idle_looks = request.idle_looks.saturating_add(1);
        change.doubt.clone_from(&request.doubt);
        self.record(request, change).await.map(drop)
    }

    /// It would be cancelled now.
    pub(super) async fn act(
        &self,
        request: Request,
        outlook: &Outlook,
        action: Action,
        look: Look,
        admission: Option<Admission>,
    ) -> Result<(), LedgerError> {
        let now = self.now();
        let freed = freed(&request, &BTreeSet::new());
        let mut change = Change::to(&request, now);
        change.look = Some(look.clone());
        if self.observes() {
            // Nothing is left to learn, but that it may change.
            change.idle_looks = if freed.is_empty() {
                request.idle_looks + 1
            } else {
                0
            };
            change.wake_at = Some(Some(now + backoff::hold(change.idle_looks)));
            change.events = freed;
            return self.record(&request, change).await.map(drop);
        }
        let request = if freed.is_empty() {
            request
        } else {
            change.idle_looks = 0;
            change.wake_at = Some(Some(now));
            change.events = freed;
            self.record(&request, change).await?
        };
        let admission = match admission {
            Some(admission) => admission,
            // It was held, and nobody could know that its look would free it.
            None => match self.admission(&request).await {
                Ok(Some(admission)) => admission,
                Ok(None) => return Ok(()),
                Err(error) => return self.look_failed(&request, error).await,
            },
        };
        let assumed = Assumed {
            revision: self.in_force.number,
            pause_epoch: outlook.pauses.epoch,
            version: request.version,
        };
        let permit = self.situated(outlook, |situation| {
            guard::permit(situation, &request, action, look, assumed)
        });
        match permit {
            Ok(permit) => self.send(request, outlook, permit, admission).await,
            Err(gate) => {
                self.closed_by(gate);
                Ok(())
            }
        }
    }

    /// Journals the intent, sends, journals the answer, reads back.
    async fn send(
        &self,
        request: Request,
        outlook: &Outlook,
        permit: guard::Permit,
        admission: Admission,
    ) -> Result<(), LedgerError> {
        if self.halted() {
            return Ok(());
        }
        let Some(canceller) = &self.party.canceller else {
            return Ok(());
        };
        let Some((intent, request)) = self.intend(request, permit).await? else {
            return Ok(());
        };
        self.note(|report| report.sent += 1);
        let answer = canceller.cancel(&intent, admission).await;
        let request = self.answered(&request, &intent, &answer).await?;
        if answer.retry_after().is_some() {
            self.note(|report| report.unknown += 1);
            return Ok(());
        }
        self.read_back(request, outlook).await
    }

    /// The intent, durable; nothing where what the permit assumed does not hold any more.
    async fn intend(
        &self,
        request: Request,
        permit: guard::Permit,
    ) -> Result<Option<(Intent, Request)>, LedgerError> {
        let (row, action, look, assumed) = permit.into_parts();
        let now = self.witness();
        // Nothing is sent after the window has closed, however late in it the intent was made.
        let left = request
            .deadline_at
            .map(|deadline| (deadline - now.at).to_std().unwrap_or_default());
        let ahead = ahead(&self.party.config).min(left.unwrap_or(LONGEST_TO_SEND));
        let send_before = now.at + ahead;
        let journaled = {
            let (action, look) = (action.clone(), look.clone());
            move |attempt| Event::Intended {
                attempt,
                action,
                send_before,
                look,
            }
        };
        let intended = Intended {
            row,
            assumed,
            action,
            look,
            send_before: Witness {
                at: send_before,
                boot_id: now.boot_id.clone(),
                since_boot: now.since_boot + ahead,
            },
            now,
            caps: guard::caps(
                &self.in_force.config.limits,
                &self.party.config,
                guard::own_limit(&request, &self.in_force.config.approvals),
            ),
            resend_after: self.party.config.resend_after,
        };
        let watch = Stopwatch::start();
        let result = self.tools.ledger.intend(intended).await?;
        self.tools
            .metrics
            .ledger_operation("intend", watch.elapsed());
        match result {
            Ok((intent, request)) => {
                let attempt = intent.attempt();
                log::event(&request, &journaled(attempt));
                Ok(Some((intent, request)))
            }
            Err(NotIntended::Limit { frees_at }) => {
                let key = &request.key;
                tracing::info!(provider = %key.provider, "the limit of writes is reached; the rest waits its turn");
                self.closed_by(guard::Gate {
                    reason: HoldReason::Limit,
                    detail: "the limit of writes is reached".to_owned(),
                    opens_at: frees_at,
                });
                // Others may have a limit of their own.
                if self
                    .in_force
                    .config
                    .approvals
                    .iter()
                    .all(|it| it.per_day.is_none())
                {
                    self.halt();
                }
                Ok(None)
            }
            // Decided anew by the next pass.
            Err(NotIntended::Changed | NotIntended::InFlight) => Ok(None),
        }
    }

    async fn answered(
        &self,
        request: &Request,
        intent: &Intent,
        answer: &Answer,
    ) -> Result<Request, LedgerError> {
        let now = self.now();
        let mut change = Change::to(request, now);
        change.events = vec![Event::Answered {
            attempt: intent.attempt(),
            answer: answer.clone(),
        }];
        let wait = answer.retry_after().unwrap_or_default();
        change.wake_at = Some(Some(now + wait));
        change.doubt.clone_from(&request.doubt);
        let recorded = self.record_answer(request, change).await;
        if let Some(sign) = Sign::of(answer) {
            self.sign(sign).await?;
        }
        recorded
    }

    /// Records what came back, also where a revision touched the row meanwhile: it says nothing
    /// of what is in flight.
    async fn record_answer(
        &self,
        request: &Request,
        mut change: Change,
    ) -> Result<Request, LedgerError> {
        loop {
            match self.record(request, change.clone()).await {
                Err(LedgerError::Moved) => {}
                other => return other,
            }
            let found = self.tools.ledger.find(request.key.clone()).await?;
            let still_sending = found.filter(|it| {
                it.row == request.row
                    && it.standing.phase == Phase::Sending
                    && it.standing.attempts == request.standing.attempts
                    && it.version != change.version
            });
            change.version = still_sending.ok_or(LedgerError::Moved)?.version;
        }
    }

    /// A request that was sent and whose outcome is not known: only reading may follow.
    pub(super) async fn read_back(
        &self,
        request: Request,
        outlook: &Outlook,
    ) -> Result<(), LedgerError> {
        let request = if request.standing.phase == Phase::Sending {
            self.interrupted(&request).await?
        } else {
            request
        };
        if !self.situated(outlook, |situation| situation.may_read()) {
            return Ok(());
        }
        let from = self.witness();
        let Some(look) = self.read(&request).await? else {
            return Ok(());
        };
        let seen = Seen {
            from,
            by: self.witness(),
        };
        let (resolution, doubt) = decide::resolve(
            &request,
            &look.observed,
            &seen,
            self.party.config.resend_after,
        );
        let mut change = Change::to(&request, self.now());
        change.look = Some(look.clone());
        change.doubt = Some(doubt);
        match resolution {
            Resolution::Settle { as_, note } => {
                change.events = vec![Event::Settled {
                    as_,
                    look: Some(look),
                    note,
                }];
                self.record(&request, change).await?;
                if as_ == Settlement::Failed {
                    Ok(())
                } else {
                    self.sign(Sign::Done).await
                }
            }
            Resolution::Successor { detail } => {
                if request.hold_details.get(&HoldReason::Successor) != Some(&detail) {
                    change.events.push(Event::Held {
                        reason: HoldReason::Successor,
                        detail,
                    });
                }
                change.idle_looks = request.idle_looks + 1;
                change.wake_at = Some(Some(change.at + backoff::hold(request.idle_looks)));
                self.record(&request, change).await.map(drop)
            }
            Resolution::Ending { at, goes_on } => {
                let mut ending = self.ending(&request, at);
                ending.events.extend(goes_on.map(|detail| Event::Held {
                    reason: HoldReason::Successor,
                    detail,
                }));
                ending.look = change.look;
                self.record(&request, ending).await?;
                self.sign(Sign::Done).await
            }
            Resolution::NotDone {
                counts,
                because,
                wait,
            } => {
                self.not_done(&request, change, counts, because, wait.unwrap_or_default())
                    .await
            }
            Resolution::StillUnknown { next_in } => {
                self.note(|report| report.unknown += 1);
                change.wake_at = Some(Some(change.at + next_in));
                self.record(&request, change).await.map(drop)
            }
        }
    }

    /// One that ends by itself, by our doing: only reading may follow.
    pub(super) async fn watch(
        &self,
        request: Request,
        outlook: &Outlook,
    ) -> Result<(), LedgerError> {
        if !self.situated(outlook, |situation| situation.may_read()) {
            return Ok(());
        }
        let from = self.witness();
        let Some(look) = self.read(&request).await? else {
            return Ok(());
        };
        let seen = Seen {
            from,
            by: self.witness(),
        };
        let resend_after = self.party.config.resend_after;
        let (watch, doubt) = decide::watch(&request, &look.observed, &seen, resend_after);
        let mut change = Change::to(&request, self.now());
        change.doubt = doubt;
        change.idle_looks = 0;
        match watch {
            Watch::Settle { note } => {
                change.events = freed(&request, &BTreeSet::new());
                change.events.push(Event::Settled {
                    as_: Settlement::Canceled,
                    look: Some(look.clone()),
                    note,
                });
            }
            Watch::Goes { look_at } => {
                change.events = freed(&request, &BTreeSet::new());
                change.wake_at = Some(Some(look_at));
            }
            Watch::Undone { because } => {
                change.events = vec![Event::EndingUndone { because }];
            }
            Watch::Hold {
                reason,
                detail,
                next_in,
            } => {
                change.events = freed(&request, &BTreeSet::from([reason]));
                if request.hold_details.get(&reason) == Some(&detail) {
                    change.idle_looks = request.idle_looks + 1;
                } else {
                    change.events.push(Event::Held { reason, detail });
                }
                let wait = next_in.unwrap_or_else(|| backoff::hold(change.idle_looks));
                change.wake_at = Some(Some(change.at + wait));
            }
        }
        self.record_look(&request, change, look).await
    }

    /// The process that was sending is gone, or could not journal what came back.
    async fn interrupted(&self, request: &Request) -> Result<Request, LedgerError> {
        let mut change = Change::to(request, self.now());
        change.events = vec![Event::Interrupted {
            attempt: request.standing.attempts,
        }];
        change.doubt.clone_from(&request.doubt);
        self.record(request, change).await
    }

    /// The attempt is known to have had no effect: tried again, unless it was the last.
    async fn not_done(
        &self,
        request: &Request,
        mut change: Change,
        counts: bool,
        because: String,
        wait: std::time::Duration,
    ) -> Result<(), LedgerError> {
        let attempt = request.standing.attempts;
        let proven = Event::ProvenNotDone {
            attempt,
            counts,
            because: because.clone(),
        };
        let after = request.standing.after(&proven)?;
        change.events.push(proven);
        change.doubt = None;
        // What the file does not ask for any more is withdrawn by then, and no failure.
        let spent = after.counted >= MOST_ATTEMPTS && after.plannable();
        if planted!(TriedForEver, false, spent) {
            change.events.push(Event::Settled {
                as_: Settlement::Failed,
                look: change.look.clone(),
                note: format!(
                    "{} attempts had no effect; the last: {because}",
                    after.counted
                ),
            });
        }
        let again = backoff::retry(after.attempts, fastrand::f64());
        change.wake_at = Some(Some(change.at + wait.max(again)));
        self.record(request, change).await.map(drop)
    }
}

fn is_due(request: &Request, now: DateTime<Utc>) -> bool {
    planted!(
        DueByEquality,
        request.due_at == Some(now),
        request.due_at.is_some_and(|due_at| due_at <= now)
    )
}

/// Holds that came from a look and that this look does not confirm.
pub(super) fn freed(request: &Request, still: &BTreeSet<HoldReason>) -> Vec<Event> {
    request
        .standing
        .holds
        .iter()
        .filter(|reason| reason.from_look() && !still.contains(reason))
        .map(|reason| Event::Freed { reason: *reason })
        .collect()
}

/// How far ahead the last moment to send lies: at most 30 s, and so that a request that times
/// out has ended before `resend_after` counts.
fn ahead(provider: &ProviderConfig) -> std::time::Duration {
    LONGEST_TO_SEND.min(provider.resend_after.saturating_sub(provider.timeout))
}
