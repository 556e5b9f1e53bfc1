//! One request within a pass: looked at, decided, permitted, journaled, sent, read back.
//!
//! The effects stand in the open, in order. Whatever comes back, the request is left with an
//! event that says so and a time at which it is looked at again.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Stopwatch;
use crate::config::ProviderConfig;
use crate::ledger::intent::Intent;
use crate::ledger::{Change, Intended, LedgerError, NotIntended};
use crate::model::act::{Action, Answer};
use crate::model::hold::HoldReason;
use crate::model::memory::Assumed;
use crate::model::observed::Look;
use crate::model::request::{Request, Witness};
use crate::model::standing::{Event, Phase, Settlement};
use crate::plan::backoff;
use crate::plan::decide::{self, Decision, MOST_ATTEMPTS, Resolution, Rules};
use crate::plan::guard;
use crate::plan::health::Sign;
use crate::provider::{Admission, LookError};

use super::pass::{Outlook, Pass};

/// How far ahead an intent's last moment to send lies, at most (design, section 6, step 2).
const LONGEST_TO_SEND: std::time::Duration = std::time::Duration::from_secs(30);

impl Pass<'_> {
    /// A request of which nothing is in flight.
    pub(super) async fn attempt(
        &self,
        request: Request,
        outlook: &Outlook,
    ) -> Result<(), LedgerError> {
        if let Some(gate) = self.situated(outlook, |it| it.frozen(&request)) {
            let mut change = Change::to(&request, self.now());
            change.wake_at = Some(gate.opens_at);
            return self.record(&request, change).await.map(drop);
        }
        // The turn to write is waited for before the look, so that no waiting lies between
        // the look and the write that rests on it.
        let admission = match self.admission(&request).await {
            Ok(admission) => admission,
            Err(error) => return self.look_failed(&request, error).await,
        };
        if self.halted() {
            return Ok(());
        }
        let look = match self.party.reader.look(&request.key.id).await {
            Ok(look) => look,
            Err(error) => return self.look_failed(&request, error).await,
        };
        self.sign(Sign::Read {
            skew: self.party.reader.clock_skew(),
        })
        .await?;
        if self
            .memory()
            .stop
            .is_some_and(|stop| stop.reason == HoldReason::ClockSkew)
        {
            return Ok(());
        }
        let rules = Rules {
            require_expect: &self.party.config.require_expect,
            payment_plans: self.party.config.payment_plans,
        };
        match decide::decide(&request, &look.observed, rules) {
            Decision::Hold(holds) => self.hold(&request, look, &holds).await,
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
            Decision::Act(action) => self.act(request, outlook, action, look, admission).await,
        }
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
        change.wake_at = Some(Some(now + backoff::hold(change.idle_looks)));
        change.look = Some(look);
        if !change.events.is_empty() {
            let key = &request.key;
            let (reason, detail) = holds.first_key_value().expect("a hold has a reason");
            tracing::warn!(provider = %key.provider, subscription = %key.id, hold = %reason, "held: {key}: {reason}: {detail}");
        }
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
    async fn act(
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
        let ahead = ahead(&self.party.config);
        let intended = Intended {
            row,
            assumed,
            action,
            look,
            send_before: Witness {
                at: now.at + ahead,
                boot_id: now.boot_id.clone(),
                since_boot: now.since_boot + ahead,
            },
            now,
            caps: guard::caps(&self.in_force.config.limits, &self.party.config),
            resend_after: self.party.config.resend_after,
        };
        let watch = Stopwatch::start();
        let result = self.tools.ledger.intend(intended).await?;
        self.tools
            .metrics
            .ledger_operation("intend", watch.elapsed());
        match result {
            Ok(journaled) => Ok(Some(journaled)),
            Err(NotIntended::Limit { frees_at }) => {
                let key = &request.key;
                tracing::info!(provider = %key.provider, "the limit of writes is reached; the rest waits its turn");
                self.closed_by(guard::Gate {
                    reason: HoldReason::Limit,
                    detail: "the limit of writes is reached".to_owned(),
                    opens_at: frees_at,
                });
                self.halt();
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
        let name = &self.party.config.name;
        self.tools.metrics.attempt(name, answer.outcome());
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
        let seen_at = self.witness();
        let look = match self.party.reader.look(&request.key.id).await {
            Ok(look) => look,
            Err(error) => return self.look_failed(&request, error).await,
        };
        self.sign(Sign::Read {
            skew: self.party.reader.clock_skew(),
        })
        .await?;
        let (resolution, doubt) = decide::resolve(
            &request,
            &look.observed,
            &seen_at,
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
        if after.counted >= MOST_ATTEMPTS && after.plannable() {
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

/// Holds that came from a look and that this look does not confirm.
fn freed(request: &Request, still: &BTreeSet<HoldReason>) -> Vec<Event> {
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
