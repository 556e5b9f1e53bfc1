//! One pass over one provider: take → look → decide → guard → act → record.
//!
//! A pass never sleeps and keeps nothing in memory but a batch: what must wait gets a
//! `wake_at`. It is the only way in which anything is ever sent, at a start as at any other
//! time, so that a restart is nothing but the next pass.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Stopwatch};
use crate::config::{Mode, ProviderConfig};
use crate::ledger::{Change, Claim, Cursor, Lane, Ledger, LedgerError};
use crate::metrics::Metrics;
use crate::model::hold::HoldReason;
use crate::model::ids::SubscriptionId;
use crate::model::memory::{Pauses, ProviderMemory, Used};
use crate::model::observed::Look;
use crate::model::request::{Request, Witness};
use crate::model::standing::{Event, Phase, State};
use crate::plan::guard::{Gate, Opening, Situation};
use crate::plan::health::{self, Sign};
use crate::planted::planted;
use crate::provider::list::{self, ListPage, Scope};
use crate::provider::{Canceller, LookError, Reader};

use super::inbox::Inbox;
use super::live::InForce;
use super::log;

/// Requests that a pass takes from the ledger at a time.
const BATCH: u32 = 128;

/// What every pass works with.
#[derive(Clone)]
pub struct Tools {
    /// The record and the queue.
    pub ledger: Arc<dyn Ledger>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What people ask for.
    pub inbox: Arc<Inbox>,
    /// Set when nothing new may start.
    pub stop: CancellationToken,
}

/// One provider, with what it is spoken to by. Without a canceller (observe mode) nothing can
/// be sent.
#[derive(Clone)]
pub struct Party {
    /// How it is spoken to.
    pub config: ProviderConfig,
    /// Asks what is.
    pub reader: Arc<dyn Reader>,
    /// Carries out what an intent allows.
    pub canceller: Option<Arc<dyn Canceller>>,
}

/// Why a pass runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A tick of the schedule: writes may start.
    Tick,
    /// Something wakes by itself: a reading back, an unknown outcome, a retry.
    Wake,
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Requests taken.
    pub taken: u64,
    /// Writes begun.
    pub sent: u64,
    /// Settled as canceled or already canceled.
    pub done: u64,
    /// Settled as failed.
    pub failed: u64,
    /// Left with an outcome that is not known.
    pub unknown: u64,
    /// What closed the provider, if something did.
    pub closed: Option<Gate>,
}

/// A pass at work.
pub(super) struct Pass<'p> {
    pub tools: &'p Tools,
    pub party: &'p Party,
    pub in_force: &'p InForce,
    occasion: Occasion,
    memory: Mutex<ProviderMemory>,
    halt: AtomicBool,
    report: Mutex<PassReport>,
}

/// What holds while a batch is worked on.
#[derive(Clone, Debug)]
pub(super) struct Outlook {
    ledger_doubt: Option<String>,
    pub pauses: Pauses,
    used: Used,
}

/// Runs one pass over one provider.
///
/// # Errors
/// The ledger failed. Whatever was sent stands in it as unknown, and nothing is lost.
pub async fn pass(
    tools: &Tools,
    party: &Party,
    in_force: &InForce,
    occasion: Occasion,
) -> Result<PassReport, LedgerError> {
    let name = &party.config.name;
    let watch = Stopwatch::start();
    tools.metrics.pass_began(name, tools.clock.now());
    let memory = tools.ledger.provider(name.clone()).await?;
    let pass = Pass {
        tools,
        party,
        in_force,
        occasion,
        memory: Mutex::new(memory),
        halt: AtomicBool::new(false),
        report: Mutex::new(PassReport::default()),
    };
    let result = pass.run().await;
    let report = pass
        .report
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(gate) = &report.closed {
        tools.metrics.blocked(name, gate.reason);
    }
    let outcome = match &result {
        Err(_) => "failed",
        Ok(()) if report.closed.is_some() => "closed",
        Ok(()) => "ok",
    };
    tools
        .metrics
        .pass_ended(name, outcome, watch.elapsed(), tools.clock.now());
    result.map(|()| report)
}

/// What time does where a provider may not be spoken to at all, its account or its secrets not
/// being known: windows close all the same, and are told as missed.
///
/// # Errors
/// The ledger failed.
pub async fn let_time_go_by(
    tools: &Tools,
    config: &ProviderConfig,
    in_force: &InForce,
) -> Result<(), LedgerError> {
    let party = Party {
        config: config.clone(),
        reader: Arc::new(Silent),
        canceller: None,
    };
    let memory = tools.ledger.provider(config.name.clone()).await?;
    let pass = Pass {
        tools,
        party: &party,
        in_force,
        occasion: Occasion::Wake,
        memory: Mutex::new(memory),
        halt: AtomicBool::new(false),
        report: Mutex::new(PassReport::default()),
    };
    pass.miss_what_is_overdue(pass.now(), Answers::Nobody).await
}

/// Asks nobody.
struct Silent;

impl Silent {
    fn error() -> LookError {
        LookError::Unavailable {
            why: "the provider may not be asked now".to_owned(),
        }
    }
}

impl Reader for Silent {
    fn account(&self) -> BoxFuture<'_, Result<String, LookError>> {
        Box::pin(async { Err(Self::error()) })
    }

    fn look<'a>(&'a self, _: &'a SubscriptionId) -> BoxFuture<'a, Result<Look, LookError>> {
        Box::pin(async { Err(Self::error()) })
    }

    fn list(
        &self,
        _: Scope,
        _: Option<list::Cursor>,
    ) -> BoxFuture<'_, Result<ListPage, LookError>> {
        Box::pin(async { Err(Self::error()) })
    }

    fn clock_skew(&self) -> Option<i64> {
        None
    }
}

/// What became of one whose deadline has gone by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is told as missed, or was put off.
    Yes,
    /// Nothing could be said of it now.
    NotYet,
}

/// Whether it is of use to ask a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// Somebody may answer.
    Somebody,
    /// Nobody does: each further try would only take its time.
    Nobody,
}

impl Pass<'_> {
    async fn run(&self) -> Result<(), LedgerError> {
        let began_at = self.now();
        self.serve(began_at).await?;
        // What is too late anyway costs a reading each, and takes no time from what is not.
        self.miss_what_is_overdue(began_at, Answers::Somebody).await
    }

    /// Takes what is due and in time, batch by batch.
    async fn serve(&self, began_at: DateTime<Utc>) -> Result<(), LedgerError> {
        let occasion = self.occasion;
        let mut after = None;
        while !self.halted() {
            self.tools.inbox.apply(self.now()).await?;
            let outlook = self.outlook().await?;
            let (lane, limit) = match self.opening(&outlook) {
                Opening::Open => (lane_of(occasion), BATCH),
                Opening::Trial => (lane_of(occasion), 1),
                Opening::Closed(gate) => {
                    self.note(|report| report.closed = Some(gate));
                    (Lane::Wake, BATCH)
                }
            };
            let claim = Claim {
                provider: self.party.config.name.clone(),
                lane,
                now: began_at,
                after,
                limit,
            };
            let mut batch = self.tools.ledger.claim(claim).await?;
            // One that was looked at in vain may close the provider again, and must not do so in
            // the middle of others' requests.
            if let Some(in_vain) = batch.first().map(|first| first.idle_looks) {
                let alike = batch.iter().take_while(|it| it.idle_looks == in_vain);
                batch.truncate(alike.count());
            }
            let Some(last) = batch.last() else { break };
            after = Some(Cursor::of(last));
            self.work(batch, &outlook).await?;
        }
        Ok(())
    }

    async fn work(&self, batch: Vec<Request>, outlook: &Outlook) -> Result<(), LedgerError> {
        self.note(|report| report.taken += batch.len() as u64);
        // Twice as many as may be in flight: while some wait for an answer, others are
        // journaled or read the ledger.
        let at_once = (self.party.config.concurrency as usize * 2).clamp(1, 128);
        let mut work = futures_util::stream::iter(batch)
            .map(|request| self.carry_on(request, outlook))
            .buffer_unordered(at_once);
        let mut result = Ok(());
        while let Some(one) = work.next().await {
            if let Err(error) = one {
                // The others still end what they have begun, but nothing new starts.
                self.halt();
                result = Err(error);
            }
        }
        result
    }

    async fn carry_on(&self, request: Request, outlook: &Outlook) -> Result<(), LedgerError> {
        if self.halted() {
            return Ok(());
        }
        let overdue = request.deadline_at.is_some_and(|at| at < self.now());
        let result = if request.standing.phase == Phase::Ending {
            self.watch(request, outlook).await
        } else if overdue && request.standing.plannable() {
            // Told after what is in time.
            Ok(())
        } else if request.standing.plannable() {
            match self.opening(outlook) {
                Opening::Closed(gate) if self.may_write(&request) || !gate.reason.lets_look() => {
                    self.note(|report| report.closed = Some(gate));
                    Ok(())
                }
                _ => self.attempt(request, outlook).await,
            }
        } else {
            self.read_back(request, outlook).await
        };
        match result {
            // Somebody changed it meanwhile: the next pass decides anew.
            Err(LedgerError::Moved) => Ok(()),
            other => other,
        }
    }

    /// Whether a write may follow a look at it: at a tick, and where it is tried again.
    pub(super) fn may_write(&self, request: &Request) -> bool {
        self.occasion == Occasion::Tick || request.standing.phase == Phase::Retrying
    }

    /// Windows that closed while nobody could act, whatever was in the way.
    async fn miss_what_is_overdue(
        &self,
        now: DateTime<Utc>,
        mut answers: Answers,
    ) -> Result<(), LedgerError> {
        loop {
            let name = self.party.config.name.clone();
            let overdue = self.tools.ledger.overdue(name, now, BATCH).await?;
            let all = overdue.len();
            if all == 0 || self.halted() {
                return Ok(());
            }
            let outlook = self.outlook().await?;
            if outlook.ledger_doubt.is_some() {
                return Ok(());
            }
            let mut left = 0;
            for request in overdue {
                if self.halted() {
                    return Ok(());
                }
                match self.overdue(request, &outlook, &mut answers).await {
                    Ok(Told::Yes) => {}
                    Ok(Told::NotYet) | Err(LedgerError::Moved) => left += 1,
                    Err(other) => return Err(other),
                }
            }
            // What is left comes first again, and would be asked for without end.
            if all < BATCH as usize || left > 0 {
                return Ok(());
            }
        }
    }

    /// Whether a reading is allowed though nothing may be sent.
    pub(super) fn may_look(&self, outlook: &Outlook) -> bool {
        match self.opening(outlook) {
            Opening::Open | Opening::Trial => true,
            Opening::Closed(gate) => gate.reason.lets_look(),
        }
    }

    async fn outlook(&self) -> Result<Outlook, LedgerError> {
        let ledger = &self.tools.ledger;
        Ok(Outlook {
            ledger_doubt: ledger.identity().await?.doubt,
            pauses: ledger.pauses().await?,
            used: ledger.used(self.now()).await?,
        })
    }

    /// The situation at this moment, in the light of the outlook.
    pub(super) fn situated<T>(
        &self,
        outlook: &Outlook,
        ask: impl FnOnce(&Situation<'_>) -> T,
    ) -> T {
        let memory = self.memory();
        ask(&Situation {
            now: self.now(),
            ledger_doubt: outlook.ledger_doubt.as_deref(),
            pauses: &outlook.pauses,
            memory: &memory,
            provider: &self.party.config,
            limits: &self.in_force.config.limits,
            freezes: &self.in_force.config.freezes,
            approvals: &self.in_force.config.approvals,
            used: &outlook.used,
        })
    }

    fn opening(&self, outlook: &Outlook) -> Opening {
        self.situated(outlook, |situation| situation.opening())
    }

    pub(super) fn memory(&self) -> ProviderMemory {
        self.memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Remembers what a request showed of the provider, and stops the pass where that means
    /// that nothing more should start.
    pub(super) async fn sign(&self, sign: Sign) -> Result<(), LedgerError> {
        let name = &self.party.config.name;
        let stop_after = self
            .party
            .config
            .limits
            .stop_after_failures
            .unwrap_or(self.in_force.config.limits.stop_after_failures);
        let (before, next) = {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let before = memory.clone();
            *memory = health::after(&before, &sign, self.now(), stop_after);
            (before, memory.clone())
        };
        match sign {
            Sign::Read { skew } => {
                self.tools.metrics.provider_up(name, true);
                if let Some(skew) = skew {
                    self.tools.metrics.clock_skew(name, skew);
                }
            }
            Sign::ReadFailed { .. } | Sign::Credentials { .. } => {
                self.tools.metrics.provider_up(name, false);
            }
            Sign::Throttled { .. } => self.halt(),
            Sign::Wrote | Sign::WriteFailed { .. } | Sign::Done => {}
        }
        if before == next {
            return Ok(());
        }
        match (&before.stop, &next.stop) {
            (None, Some(stop)) => {
                self.halt();
                tracing::warn!(provider = %name, reason = %stop.reason, trial_at = %stop.trial_at, "stopped {name}: {}", stop.why);
            }
            (Some(_), None) => {
                tracing::info!(provider = %name, "{name} works again");
                // What the outage has put off for long is looked at again.
                let ledger = &self.tools.ledger;
                ledger.wake_held(name.clone(), self.now()).await?;
            }
            (Some(_), Some(_)) => self.halt(),
            (None, None) => {}
        }
        self.tools.ledger.remember(name.clone(), next).await
    }

    /// Records a change, and counts and logs what happened. What becomes of a request of which nothing is
    /// in flight is decided by the revision in force; of any other it is a fact.
    pub(super) async fn record(
        &self,
        before: &Request,
        change: Change,
    ) -> Result<Request, LedgerError> {
        let decided = before.standing.plannable();
        let change = Change {
            decided_by: decided.then_some(self.in_force.number),
            ..change
        };
        let watch = Stopwatch::start();
        let events = change.events.clone();
        let after = self.tools.ledger.record(change).await?;
        let name = &self.party.config.name;
        for event in &events {
            log::event(&after, event);
            match event {
                Event::WindowMissed { .. } => self.tools.metrics.window_missed(name),
                Event::Answered { answer, .. } => {
                    self.tools.metrics.attempt(name, answer.outcome());
                }
                _ => {}
            }
        }
        for reason in after.standing.holds.difference(&before.standing.holds) {
            self.tools.metrics.blocked(&before.key.provider, *reason);
        }
        self.tools
            .metrics
            .ledger_operation("record", watch.elapsed());
        let (was, is) = (before.state(), after.state());
        if was != is && is.finished() {
            self.settled(before, &after, is);
        }
        Ok(after)
    }

    fn settled(&self, before: &Request, request: &Request, state: State) {
        let key = &request.key;
        // What ended by itself did so at the end of its period, and not by our speed.
        let delay = request
            .due_at
            .filter(|_| before.standing.phase != Phase::Ending)
            .and_then(|due_at| (self.now() - due_at).to_std().ok());
        self.tools.metrics.settled(&key.provider, state, delay);
        let carried_out = matches!(state, State::Canceled | State::AlreadyCanceled);
        if carried_out && request.deadline_at.is_some() {
            self.tools.metrics.deadline_met(&key.provider);
        }
        match state {
            State::Canceled | State::AlreadyCanceled => {
                self.note(|report| report.done += 1);
            }
            _ => {
                self.note(|report| report.failed += 1);
            }
        }
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut PassReport)) {
        note(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Nothing new starts in this pass.
    pub(super) fn halt(&self) {
        self.halt.store(true, Ordering::Relaxed);
    }

    pub(super) fn halted(&self) -> bool {
        self.halt.load(Ordering::Relaxed) || self.tools.stop.is_cancelled()
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.tools.clock.now()
    }

    /// This moment by both clocks.
    pub(super) fn witness(&self) -> Witness {
        let clock = &self.tools.clock;
        Witness {
            at: clock.now(),
            boot_id: clock.boot_id(),
            since_boot: clock.since_boot(),
        }
    }

    pub(super) fn observes(&self) -> bool {
        let observes = self.party.config.mode == Mode::Observe || self.party.canceller.is_none();
        planted!(ObserveActs, false, observes)
    }

    /// What closed the provider, for a gate that was met at one request.
    pub(super) fn closed_by(&self, gate: Gate) {
        if gate.reason != HoldReason::ObserveMode {
            self.note(|report| report.closed = Some(gate));
        }
    }
}

const fn lane_of(occasion: Occasion) -> Lane {
    match occasion {
        Occasion::Tick => Lane::Tick,
        Occasion::Wake => Lane::Wake,
    }
}
