//! Turns wakes into passes; stops softly, then hard.
//!
//! The daemon itself decides nothing and sends nothing: it takes the newest whole text of the
//! files, has it accepted, and keeps one worker per provider, each of which waits for a tick
//! or for something that wakes. What survives it stands in the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ledger::LedgerError;
use crate::model::ids::ProviderName;
use crate::reconcile::inbox::Asked;
use crate::reconcile::live::Live;
use crate::reconcile::pass::Tools;
use crate::source::{Latest, Source};

use self::keeper::{Keeper, Verdict};
use self::notifier::{Deliver, Notifier};
use self::worker::{Bells, Connect, Setting, Worker};

pub mod keeper;
pub mod notifier;
pub mod once;
mod supervisor;
pub mod worker;

/// How often the inbox is looked into when nobody rings: commands of other processes cannot.
const INBOX_POLL: Duration = Duration::from_secs(1);

/// Who works with the ledger besides the providers' workers, which are called by their names: no
/// provider can be called so.
const FILES: &str = "(files)";
const INBOX: &str = "(inbox)";
const NOTIFIER: &str = "(notices)";

/// How long what is in flight may take to end after a signal: a little less than the 25 s
/// within which the process must be gone (design, section 7).
const GRACE: Duration = Duration::from_secs(23);

/// Keeps this process's memory and files to itself: no core dump and no other process of the
/// same user shows its secrets, and whatever it writes is for its own user.
///
/// # Errors
/// The system refuses.
pub fn keep_to_itself() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit, umask};
    umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Everything that the daemon is made of.
pub struct Daemon {
    /// What every pass works with; its `stop` is the daemon's own.
    pub tools: Tools,
    /// What the daemon itself has to do, out of the inbox.
    pub asks: UnboundedReceiver<Asked>,
    /// What the daemon knows of itself.
    pub live: Arc<Live>,
    /// Builds adapters.
    pub connect: Arc<dyn Connect>,
    /// Carries messages to webhooks.
    pub deliver: Arc<dyn Deliver>,
    /// The newest text of the files.
    pub source: Source,
}

/// One worker, as the daemon holds it.
struct Hired {
    settings: watch::Sender<Arc<Setting>>,
    bells: Arc<Bells>,
    retire: CancellationToken,
    task: JoinHandle<()>,
}

impl Daemon {
    /// Runs until `tools.stop` is cancelled, then lets what is in flight end.
    ///
    /// # Errors
    /// The ledger failed while it was made ready, or is gone for good.
    pub async fn run(self) -> Result<(), LedgerError> {
        let Self {
            tools,
            mut asks,
            live,
            connect,
            deliver,
            source,
        } = self;
        let mut keeper = Keeper::new(tools.clone(), Arc::clone(&live));
        keeper.begin().await?;
        supervisor::ready();
        let watched = supervisor::watch(Arc::clone(&tools.ledger), tools.stop.clone());
        let watched = tokio::spawn(watched);
        let mut workers = Workers {
            hired: BTreeMap::new(),
            tools: tools.clone(),
            live: Arc::clone(&live),
            connect,
            begun: false,
        };
        let notify = || {
            let notifier = Notifier::new(tools.clone(), Arc::clone(&live), Arc::clone(&deliver));
            tokio::spawn(notifier.run())
        };
        let mut notifier = notify();
        let mut texts = source.subscribe();
        texts.mark_changed();
        let mut poll = tokio::time::interval(INBOX_POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !tools.stop.is_cancelled() {
            tokio::select! {
                () = tools.stop.cancelled() => break,
                changed = texts.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let latest = texts.borrow_and_update().clone();
                    take(&mut keeper, &mut workers, &source, latest).await;
                }
                () = live.reload.notified() => {
                    source.reload();
                    workers.ring_wake(None);
                }
                () = live.inbox.notified() => apply_inbox(&tools, &live).await,
                _ = poll.tick() => {
                    keeper.seen(texts.borrow().seen_at);
                    workers.replace_the_fallen();
                    if notifier.is_finished() && !tools.stop.is_cancelled() {
                        tracing::error!("what tells webhooks has ended by a fault of lapsed; another one goes on");
                        notifier = notify();
                    }
                    apply_inbox(&tools, &live).await;
                }
                Some(asked) = asks.recv() => match asked {
                    Asked::Tick(provider) => workers.ring_tick(provider.as_ref()),
                    Asked::Wake(provider) => workers.ring_wake(provider.as_ref()),
                },
            }
            // A revision that the ledger could not take yet is tried again.
            if keeper.owes() {
                let latest = texts.borrow().clone();
                take(&mut keeper, &mut workers, &source, latest).await;
            }
        }
        supervisor::stopping();
        workers.dismiss().await;
        watched.abort();
        if live.ledger_gone.load(Ordering::Relaxed) {
            return Err(LedgerError::Gone);
        }
        Ok(())
    }
}

async fn take(keeper: &mut Keeper, workers: &mut Workers, source: &Source, latest: Latest) {
    match keeper.take(&latest).await {
        Ok(verdict) => {
            workers.live.ledger_works(FILES);
            match verdict {
                Verdict::Accepted => workers.follow(),
                Verdict::Unchanged => workers.begin(&latest),
            }
            let in_force = workers.live.in_force.load();
            let text = latest.text.as_ref().map(|text| &text.revision);
            if let Some(revision) =
                text.filter(|it| in_force.as_ref().is_some_and(|now| now.digest == **it))
            {
                source.release(revision);
            }
        }
        Err(error) => ledger_failed(
            &workers.tools,
            &workers.live,
            FILES,
            &error,
            "the newest text is taken when it works again",
        ),
    }
}

async fn apply_inbox(tools: &Tools, live: &Live) {
    match tools.inbox.apply(tools.clock.now()).await {
        Ok(()) => live.ledger_works(INBOX),
        Err(error) => ledger_failed(tools, live, INBOX, &error, "commands wait"),
    }
}

/// Tells that the ledger failed. One that is gone for good ends the daemon: whoever watches
/// over it starts another, which opens the ledger anew.
fn ledger_failed(tools: &Tools, live: &Live, whom: &str, error: &LedgerError, meanwhile: &str) {
    tools.metrics.ledger_failed();
    live.ledger_failed(whom, error.to_string());
    tracing::error!(%error, "the ledger failed; {meanwhile}");
    if matches!(error, LedgerError::Gone) {
        live.ledger_gone.store(true, Ordering::Relaxed);
        tools.stop.cancel();
    }
}

/// The workers, one per provider of the revision in force.
struct Workers {
    hired: BTreeMap<ProviderName, Hired>,
    tools: Tools,
    live: Arc<Live>,
    connect: Arc<dyn Connect>,
    begun: bool,
}

impl Workers {
    /// Begins once the files were read: what was taken out of them while no daemon ran must not
    /// be sent by one that starts with the revision before.
    fn begin(&mut self, latest: &Latest) {
        let read = latest.text.is_some() || latest.problem.is_some();
        if read && !self.begun {
            self.follow();
        }
    }

    /// Follows the revision in force: new providers get a worker, those that are gone lose
    /// theirs, all others go on under the new setting.
    fn follow(&mut self) {
        self.begun = true;
        let Some(in_force) = self.live.in_force.load_full() else {
            return;
        };
        self.hired.retain(|name, hired| {
            let stays = in_force.config.providers.contains_key(name);
            if !stays {
                tracing::warn!(provider = %name, "{name} is no longer in the file; nothing is sent or read there");
                hired.settings.borrow().superseded.cancel();
                hired.retire.cancel();
            }
            stays
        });
        self.connect.in_force(&in_force.config);
        for config in in_force.config.providers.values() {
            self.tools.metrics.mode(&config.name, config.mode.as_str());
            let setting = Arc::new(Setting {
                in_force: Arc::clone(&in_force),
                config: config.clone(),
                superseded: self.tools.stop.child_token(),
            });
            match self.hired.get(&config.name) {
                Some(hired) => {
                    let before = hired.settings.send_replace(setting);
                    before.superseded.cancel();
                }
                None => {
                    let hired = self.hire(setting);
                    self.hired.insert(config.name.clone(), hired);
                }
            }
        }
    }

    /// A worker that ended by a fault of ours is replaced, loudly: its provider must not stand
    /// still unnoticed. What it was sending stands in the ledger and is read back.
    fn replace_the_fallen(&mut self) {
        let fallen: Vec<ProviderName> = self
            .hired
            .iter()
            .filter(|(_, hired)| hired.task.is_finished() && !hired.retire.is_cancelled())
            .map(|(name, _)| name.clone())
            .collect();
        for name in fallen {
            tracing::error!(provider = %name, "the worker of {name} has ended by a fault of lapsed; another one goes on");
            let Some(hired) = self.hired.remove(&name) else {
                continue;
            };
            let setting = Arc::clone(&hired.settings.borrow());
            let hired = self.hire(setting);
            self.hired.insert(name, hired);
        }
    }

    fn hire(&self, setting: Arc<Setting>) -> Hired {
        let (settings, receiver) = watch::channel(setting);
        let bells = Arc::new(Bells {
            tick: Notify::new(),
            wake: Notify::new(),
        });
        let retire = self.tools.stop.child_token();
        let worker = Worker {
            tools: self.tools.clone(),
            live: Arc::clone(&self.live),
            connect: Arc::clone(&self.connect),
            settings: receiver,
            bells: Arc::clone(&bells),
            retire: retire.clone(),
        };
        Hired {
            settings,
            bells,
            retire,
            task: tokio::spawn(worker.run()),
        }
    }

    fn ring_tick(&self, provider: Option<&ProviderName>) {
        self.named(provider)
            .for_each(|it| it.bells.tick.notify_one());
    }

    fn ring_wake(&self, provider: Option<&ProviderName>) {
        self.named(provider)
            .for_each(|it| it.bells.wake.notify_one());
    }

    fn named<'w>(&'w self, provider: Option<&'w ProviderName>) -> impl Iterator<Item = &'w Hired> {
        self.hired
            .iter()
            .filter(move |(name, _)| provider.is_none_or(|it| it == *name))
            .map(|(_, hired)| hired)
    }

    /// Lets what is in flight end. What has not ended by then stands in the ledger as sent,
    /// and the next start reads what became of it.
    async fn dismiss(self) {
        let tasks = self.hired.into_values().map(|hired| hired.task);
        let all = futures_util::future::join_all(tasks);
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::warn!(
                "some requests did not end within {} s; the next start reads what became of them",
                GRACE.as_secs()
            );
        }
    }
}

/// Cancels `stop` at the first SIGTERM or SIGINT; ends the process at the second. SIGHUP reads
/// the files again.
///
/// # Errors
/// The signals cannot be listened to.
pub fn listen_to_signals(live: Arc<Live>, stop: CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = int.recv() => "SIGINT",
                _ = hup.recv() => {
                    tracing::info!("SIGHUP: reading the files again");
                    live.reload.notify_one();
                    continue;
                }
            };
            if stop.is_cancelled() {
                tracing::warn!(
                    "{name} again: stopping at once; what is in flight is read back at the next start"
                );
                std::process::exit(1);
            }
            tracing::info!("{name}: nothing new starts; what is in flight may end");
            stop.cancel();
        }
    });
    Ok(())
}
