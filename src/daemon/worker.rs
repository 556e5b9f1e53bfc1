//! One provider's worker: waits for a tick or for something that wakes, and runs a pass.
//!
//! Each provider has its own, so that a slow or dead one delays no other.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ProviderConfig};
use crate::ledger::LedgerError;
use crate::model::memory::Destination;
use crate::reconcile::account;
use crate::reconcile::live::{InForce, Live};
use crate::reconcile::pass::{Occasion, Party, PassReport, Tools, let_time_go_by, pass};
use crate::reconcile::set_back;

/// How often a waiting worker looks at the clock, so that a wall clock that jumps, or a
/// machine that slept, delays a tick by no more than this.
const GLANCE: Duration = Duration::from_secs(1);

/// The longest pause between passes that wake and find nothing to do.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

/// Builds what a provider is spoken to by. Only `wiring` knows how.
pub trait Connect: Send + Sync {
    /// Finds the secrets and builds the halves.
    ///
    /// # Errors
    /// In words for a person: which secret is missing, what cannot be built.
    fn connect(&self, config: &ProviderConfig) -> Result<Party, String>;

    /// Differs when the secrets differ; none while one is missing.
    fn fingerprint(&self, config: &ProviderConfig) -> Option<[u8; 32]>;

    /// Where the credentials would go; none while what says so cannot be read.
    fn destination(&self, config: &ProviderConfig) -> Option<Destination>;

    /// Told of every configuration that comes into force.
    fn in_force(&self, config: &Config);
}

/// What a worker works by. A new one replaces it when a revision is accepted.
pub struct Setting {
    /// The revision in force.
    pub in_force: Arc<InForce>,
    /// The provider in it.
    pub config: ProviderConfig,
    /// Cancelled when another setting replaces this one: the pass ends softly and goes on
    /// under the new one.
    pub superseded: CancellationToken,
}

/// How the daemon speaks to a worker.
pub struct Bells {
    /// Make a tick now.
    pub tick: Notify,
    /// Something may wake earlier than was thought.
    pub wake: Notify,
}

/// One provider's worker.
pub struct Worker {
    /// What every pass works with; `stop` is the daemon's own.
    pub tools: Tools,
    /// What the daemon knows of itself.
    pub live: Arc<Live>,
    /// Builds adapters.
    pub connect: Arc<dyn Connect>,
    /// What to work by.
    pub settings: watch::Receiver<Arc<Setting>>,
    /// How the daemon speaks to it.
    pub bells: Arc<Bells>,
    /// Cancelled when the provider left the file, or the daemon stops.
    pub retire: CancellationToken,
}

/// What a worker knows between passes.
struct State {
    connected: Option<Connected>,
    /// Ticks up to here were made or collapsed into one.
    ticked_at: DateTime<Utc>,
    /// A tick that was cut short goes on.
    owes_tick: bool,
    next_wake_at: Option<DateTime<Utc>>,
    idle_passes: u32,
    idle_until: DateTime<Utc>,
    clocks: set_back::Watch,
}

struct Connected {
    party: Party,
    fingerprint: Option<[u8; 32]>,
    number: i64,
    bound: bool,
}

impl Worker {
    /// Works until retired.
    pub async fn run(mut self) {
        let now = self.tools.clock.now();
        let mut state = State {
            connected: None,
            ticked_at: now,
            owes_tick: false,
            next_wake_at: Some(now),
            idle_passes: 0,
            idle_until: now,
            clocks: set_back::Watch::default(),
        };
        while !self.retire.is_cancelled() {
            if let Err(error) = self.look_at_the_clocks(&mut state).await {
                self.ledger_failed(&mut state, Occasion::Wake, &error);
            }
            let Some(occasion) = self.wait(&mut state).await else {
                continue;
            };
            let setting = Arc::clone(&self.settings.borrow_and_update());
            let outcome = self.pass(&mut state, &setting, occasion).await;
            self.passed(&setting, occasion, &state, outcome.as_ref().ok())
                .await;
            match outcome {
                Ok(report) => {
                    self.live.ledger_works(setting.config.name.as_str());
                    self.rest(&mut state, &report);
                }
                Err(error) => self.ledger_failed(&mut state, occasion, &error),
            }
        }
        let name = self.settings.borrow().config.name.clone();
        self.live.ledger_works(name.as_str());
    }

    /// What was to be waited for by a clock that was ahead is waited for no longer.
    async fn look_at_the_clocks(&self, state: &mut State) -> Result<(), LedgerError> {
        let Tools { clock, ledger, .. } = &self.tools;
        let setting = Arc::clone(&self.settings.borrow());
        let (name, config) = (&setting.config.name, &setting.in_force.config);
        if state.clocks.look(&**clock, &**ledger, name, config).await? {
            let now = clock.now();
            state.idle_until = now;
            state.ticked_at = state.ticked_at.min(now);
            state.next_wake_at = Some(now);
        }
        Ok(())
    }

    /// Waits for a reason to make a pass; none: look again.
    async fn wait(&mut self, state: &mut State) -> Option<Occasion> {
        let now = self.tools.clock.now();
        let setting = Arc::clone(&self.settings.borrow_and_update());
        // A clock that was set back must not silence the schedule.
        state.ticked_at = state.ticked_at.min(now);
        let next_tick = setting.config.schedule.next_after(state.ticked_at);
        self.tools
            .metrics
            .next_tick(&setting.config.name, next_tick);
        let idle = now < state.idle_until;
        if !idle && (state.owes_tick || next_tick.is_some_and(|at| at <= now)) {
            state.ticked_at = now;
            return Some(Occasion::Tick);
        }
        if !idle && state.next_wake_at.is_some_and(|at| at <= now) {
            return Some(Occasion::Wake);
        }
        let until = [next_tick, state.next_wake_at]
            .into_iter()
            .flatten()
            .min()
            .map_or(GLANCE, |at| (at - now).to_std().unwrap_or_default());
        let floor = (state.idle_until - now).to_std().unwrap_or_default();
        tokio::select! {
            () = self.retire.cancelled() => None,
            () = self.bells.tick.notified() => {
                state.idle_until = self.tools.clock.now();
                state.ticked_at = self.tools.clock.now();
                Some(Occasion::Tick)
            }
            () = self.bells.wake.notified() => {
                state.idle_until = self.tools.clock.now();
                Some(Occasion::Wake)
            }
            changed = self.settings.changed() => {
                if changed.is_err() {
                    self.retire.cancel();
                }
                None
            }
            () = tokio::time::sleep(until.max(floor).min(GLANCE)) => None,
        }
    }

    async fn pass(
        &self,
        state: &mut State,
        setting: &Setting,
        occasion: Occasion,
    ) -> Result<PassReport, LedgerError> {
        let name = &setting.config.name;
        let ready = self.ready(state, setting).await?;
        let Some(connected) = state.connected.as_ref().filter(|_| ready) else {
            let_time_go_by(&self.tools, &setting.config, &setting.in_force).await?;
            state.owes_tick = false;
            state.next_wake_at = self.tools.ledger.next_wake(name.clone()).await?;
            return Ok(PassReport::default());
        };
        let tools = Tools {
            stop: setting.superseded.clone(),
            ..self.tools.clone()
        };
        let report = pass(&tools, &connected.party, &setting.in_force, occasion).await?;
        let cut_short = setting.superseded.is_cancelled() && !self.tools.stop.is_cancelled();
        state.owes_tick = cut_short && occasion == Occasion::Tick;
        state.next_wake_at = self.tools.ledger.next_wake(name.clone()).await?;
        Ok(report)
    }

    /// Notes whether the pass was whole and good: a tick in which everything could be asked, nothing
    /// failed and nothing was cut short. What people or a schedule close is no failure.
    async fn passed(
        &self,
        setting: &Setting,
        occasion: Occasion,
        state: &State,
        report: Option<&PassReport>,
    ) {
        let name = &setting.config.name;
        let memory = self.tools.ledger.provider(name.clone()).await;
        let answers = memory.is_ok_and(|it| it.failures == 0 && it.read_failures == 0);
        let spoken_to = state.connected.as_ref().is_some_and(|it| it.bound);
        let open = report.is_some_and(|it| {
            let closed = it.closed.as_ref();
            closed.is_none_or(|gate| gate.reason.lets_look())
        });
        let good = answers && spoken_to && open;
        match occasion {
            Occasion::Tick if !state.owes_tick => self.live.passed(name, good),
            _ if !good => self.live.passed(name, false),
            _ => {}
        }
    }

    /// Connects where that is due: at first, under a new setting, with other secrets, and
    /// while the account is not bound.
    async fn ready(&self, state: &mut State, setting: &Setting) -> Result<bool, LedgerError> {
        let fingerprint = self.connect.fingerprint(&setting.config);
        let destination = self.connect.destination(&setting.config);
        let stands = state.connected.as_ref().is_some_and(|connected| {
            connected.number == setting.in_force.number
                && connected.fingerprint == fingerprint
                && fingerprint.is_some()
        });
        if !stands {
            let secrets_changed = state
                .connected
                .as_ref()
                .is_none_or(|connected| connected.fingerprint != fingerprint);
            state.connected = None;
            match self.connect.connect(&setting.config) {
                Ok(party) => {
                    if secrets_changed {
                        account::try_credentials_again(&self.tools, &setting.config).await?;
                    }
                    state.connected = Some(Connected {
                        party,
                        fingerprint,
                        number: setting.in_force.number,
                        bound: false,
                    });
                }
                Err(why) => account::without_credentials(&self.tools, &setting.config, why).await?,
            }
        }
        // Also where a secret is missing: what the first revision names is remembered.
        let bound = state.connected.as_ref().is_some_and(|it| it.bound);
        if !bound
            && let Some(destination) = destination
            && !account::at_home(&self.tools, &setting.config, destination, &setting.in_force)
                .await?
        {
            return Ok(false);
        }
        let Some(connected) = &mut state.connected else {
            return Ok(false);
        };
        if !connected.bound {
            connected.bound =
                account::bind(&self.tools, &connected.party, &setting.in_force).await?;
        }
        Ok(connected.bound)
    }

    /// After a pass that found nothing to do, the next one that wakes by itself waits a little
    /// longer, so that a closed gate does not make a busy loop.
    fn rest(&self, state: &mut State, report: &PassReport) {
        let now = self.tools.clock.now();
        let did_something = report.sent + report.done + report.failed > 0;
        let overdue = state.next_wake_at.is_some_and(|at| at <= now);
        if did_something || !overdue {
            state.idle_passes = 0;
            state.idle_until = now;
            return;
        }
        state.idle_until = now + idle(state.idle_passes);
        state.idle_passes = state.idle_passes.saturating_add(1);
    }

    /// Nothing is sent while the ledger fails; it is tried again by itself.
    fn ledger_failed(&self, state: &mut State, occasion: Occasion, error: &LedgerError) {
        let name = self.settings.borrow().config.name.clone();
        super::ledger_failed(
            &self.tools,
            &self.live,
            name.as_str(),
            error,
            "nothing is sent until it works again",
        );
        state.owes_tick |= occasion == Occasion::Tick;
        state.idle_until = self.tools.clock.now() + idle(state.idle_passes);
        state.idle_passes = state.idle_passes.saturating_add(1);
        state.next_wake_at = Some(state.idle_until);
    }
}

/// 1 s doubling to [`LONGEST_IDLE`].
fn idle(passes: u32) -> Duration {
    Duration::from_secs(1 << passes.min(5)).min(LONGEST_IDLE)
}
