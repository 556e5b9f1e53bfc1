//! One process on one machine: the real house over the simulated clock, network and disk. It is
//! started, works, is stopped, killed, and loses its power.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, join_all};
use lapsed::clock::Clock;
use lapsed::daemon::keeper::{Keeper, Verdict};
use lapsed::ledger::sqlite::{OpenAs, SqliteLedger};
use lapsed::ledger::{Command, Ledger, LedgerError, Posted};
use lapsed::model::act::Answer;
use lapsed::model::ids::{Key, ProviderName, SubscriptionId};
use lapsed::model::provider::ProviderKind;
use lapsed::model::request::Request;
use lapsed::model::standing::{Phase, State};
use lapsed::provider::Way;
use lapsed::reconcile::account;
use lapsed::reconcile::pass::{Occasion, Party, let_time_go_by, pass};
use lapsed::reconcile::preview::{Reading, Sources, preview};
use lapsed::reconcile::set_back;
use lapsed::sandbox::cast;
use lapsed::source::{Latest, SourceFile, Text};
use lapsed::wiring::{Environment, House};
use lapsed_disk::{Disk, Image, Survives};
use rusqlite::OptionalExtension as _;
use tempfile::TempDir;

use crate::network::Network;
use crate::oracle::{Accepted, Oracle, Sub};
use crate::people::{FileText, Who};
use crate::time::{OwnClock, Universe};

/// A text that a person has written, and whether it is what they meant.
#[derive(Clone, Debug)]
pub struct Written {
    pub bytes: Vec<u8>,
    /// What a whole and valid text says; none: it is neither.
    pub means: Option<FileText>,
}

/// What happens at one time, side by side.
pub enum Act {
    Pass(Who, Occasion),
    Take(Written),
    Command(Command),
    Plan,
}

impl std::fmt::Display for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pass(who, occasion) => write!(f, "{occasion:?} of {}", who.as_str()),
            Self::Take(written) => write!(f, "a text, valid: {}", written.means.is_some()),
            Self::Command(command) => write!(f, "{command:?}"),
            Self::Plan => f.write_str("a plan"),
        }
    }
}

/// How a process ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process is killed: what it wrote is there.
    Killed,
    /// The machine loses its power: what was not synced is not there, or half of it.
    PowerLost,
}

/// The simulated machine.
pub struct World {
    pub universe: Universe,
    pub clock: Arc<OwnClock>,
    pub network: Arc<Network>,
    pub oracle: Arc<Mutex<Oracle>>,
    pub random: fastrand::Rng,
    disk: Disk,
    folder: TempDir,
    running: Option<Running>,
    /// What the newest text is, accepted or not.
    newest: Option<Written>,
    files: BTreeMap<String, FileText>,
    /// Now and then the process is stopped for a while (SIGSTOP, a machine that sleeps).
    pub stops_now_and_then: bool,
    pub starts: u64,
    /// The ledger is not the newest: it knows less than it once did.
    was_restored: bool,
    settled: BTreeMap<(String, String, u32), State>,
    /// Everything in the ledger, as it was after the last step, in the order of its rows.
    requests: Vec<Request>,
}

struct Running {
    house: House,
    keeper: Keeper,
    parties: Mutex<BTreeMap<Who, Connected>>,
    clocks: BTreeMap<Who, set_back::Watch>,
    /// Tells which rows have changed.
    versions: rusqlite::Connection,
}

#[derive(Clone)]
struct Connected {
    number: i64,
    party: Party,
    bound: bool,
}

impl Drop for World {
    fn drop(&mut self) {
        self.running = None;
        self.disk.unmount();
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let folder = memory_folder();
        // What asks whether there is a ledger asks the real folder.
        std::fs::write(folder.path().join("lapsed.db"), "").unwrap();
        let disk = Disk::mount(folder.path());
        let universe = Universe::default();
        let clock = OwnClock::new(&universe);
        let oracle = Arc::new(Mutex::new(Oracle::new()));
        let network = Network::new(&universe, &clock, &disk, &oracle, seed);
        Self {
            universe,
            clock,
            network,
            oracle,
            random: fastrand::Rng::with_seed(seed),
            disk,
            folder,
            running: None,
            newest: None,
            files: BTreeMap::new(),
            stops_now_and_then: false,
            starts: 0,
            was_restored: false,
            settled: BTreeMap::new(),
            requests: Vec::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("lapsed.db")
    }

    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts the process; says whether it runs.
    pub fn start(&mut self) -> bool {
        self.starts += 1;
        let environment = Environment {
            variables: [
                ("K_ID", cast::KAJABI_CLIENT_ID),
                ("K_SECRET", cast::KAJABI_CLIENT_SECRET),
                ("R_KEY", cast::REVERE_KEY),
                ("L_KEY", cast::LOTUS_KEY),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            folder: self.folder.path().to_owned(),
            way: Way::Simulated(Arc::clone(&self.network) as _),
        };
        let path = self.path();
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let disk = self.disk.clone();
        let started = self.universe.run(
            async move {
                let ledger = SqliteLedger::open_without_threads(&path, OpenAs::Daemon)?;
                let house = House::build(Arc::new(ledger), environment, clock).await?;
                let mut keeper = Keeper::new(house.tools.clone(), Arc::clone(&house.live));
                keeper.begin().await?;
                Ok::<_, LedgerError>((house, keeper))
            },
            || disk.is_off(),
        );
        match started {
            None => {
                self.power_on(End::PowerLost);
                false
            }
            Some(Err(error)) => {
                let now = self.universe.now();
                let why = format!("does not start: {error}");
                self.oracle.lock().unwrap().note(now, &why);
                let named = matches!(error, LedgerError::Unfit { .. } | LedgerError::Failed(_));
                if !named {
                    self.fault("L3", format!("it does not start: {error}"));
                }
                false
            }
            Some(Ok((house, keeper))) => {
                let in_force = house.live.in_force.load_full();
                self.requests.clear();
                self.running = Some(Running {
                    house,
                    keeper,
                    parties: Mutex::default(),
                    clocks: BTreeMap::new(),
                    versions: rusqlite::Connection::open(self.path()).unwrap(),
                });
                if let Some(in_force) = in_force {
                    self.came_into_force(&in_force.digest);
                }
                self.look_over();
                true
            }
        }
    }

    /// A revision that was being accepted when the process died is finished at its start.
    fn came_into_force(&mut self, digest: &str) {
        let file = self.files.get(digest).cloned();
        let mut oracle = self.oracle.lock().unwrap();
        let known = oracle
            .accepted
            .last()
            .map(|it| digest_of(it.file.text().as_bytes()));
        if known.as_deref() == Some(digest) {
            return;
        }
        match file {
            Some(file) => oracle.accepted.push(Accepted {
                at: self.universe.now(),
                file,
            }),
            None => oracle.fault("S9", "a text is in force that nobody meant"),
        }
    }

    pub fn fault(&self, rule: &str, what: impl std::fmt::Display) {
        self.oracle.lock().unwrap().fault(rule, what);
    }

    /// The process ends without a word, and what it left is there, or half of it.
    pub fn dies(&mut self, end: End) {
        self.disk.cut_power();
        self.running = None;
        self.power_on(end);
    }

    fn power_on(&mut self, end: End) {
        self.running = None;
        let mut survives = match end {
            End::Killed => Survives::Everything,
            End::PowerLost if self.random.bool() => Survives::Nothing,
            End::PowerLost => Survives::ByChance(self.random.fork()),
        };
        if end == End::PowerLost {
            self.clock.reboot();
        }
        self.disk = self.disk.power_on(&mut survives);
        *self.network.disk.lock().unwrap() = self.disk.clone();
        self.oracle.lock().unwrap().dies(self.universe.now());
        self.oracle.lock().unwrap().struck(match end {
            End::Killed => "killed",
            End::PowerLost => "power lost",
        });
    }

    /// An orderly stop.
    pub fn stops(&mut self) {
        self.running = None;
    }

    /// A copy of the ledger as it is, its log included.
    pub fn copy_of_ledger(&self) -> Image {
        self.disk.live()
    }

    /// The process ends, and the ledger is put back from a copy; an empty one: it is lost.
    pub fn restore(&mut self, copy: &Image) {
        self.dies(End::Killed);
        self.disk.restore(copy);
        self.was_restored = true;
        let mut oracle = self.oracle.lock().unwrap();
        oracle.quarantine = true;
        let written: Vec<Sub> = oracle.writes.keys().copied().collect();
        oracle.forgotten.extend(written);
        // Nor what a provider asked for.
        oracle.retry_until.clear();
        oracle.struck("ledger put back");
    }

    /// Does these things side by side, to their end or to the process'.
    pub fn does(&mut self, acts: Vec<Act>) {
        self.glance();
        let Some(running) = &mut self.running else {
            return;
        };
        let Running {
            house,
            keeper,
            parties,
            ..
        } = running;
        let (house, parties) = (&*house, &*parties);
        {
            let mut oracle = self.oracle.lock().unwrap();
            let names: Vec<String> = acts.iter().map(Act::to_string).collect();
            let off = self.clock.off();
            oracle.note(
                self.universe.now(),
                &format!("{} (clock off {off})", names.join(", ")),
            );
            oracle.saw("moments");
        }
        let mut keeper = Some(keeper);
        let mut work: Vec<BoxFuture<'_, Result<(), LedgerError>>> = Vec::new();
        let context = Context {
            house,
            universe: &self.universe,
            oracle: &self.oracle,
        };
        for act in acts {
            // Not all at the very same instant.
            let after = Duration::from_millis(self.random.u64(0..900));
            work.push(match act {
                Act::Pass(who, occasion) => Box::pin(context.pass(parties, who, occasion)),
                Act::Take(written) => {
                    self.newest = Some(written.clone());
                    if let Some(means) = &written.means {
                        let digest = digest_of(&written.bytes);
                        self.files.insert(digest, means.clone());
                    }
                    let keeper = keeper.take().expect("one text at a time");
                    Box::pin(context.take(keeper, written, after))
                }
                Act::Command(command) => Box::pin(context.command(command, after)),
                Act::Plan => Box::pin(context.plan(self.newest.clone())),
            });
        }
        let disk = self.disk.clone();
        let (universe, stops) = (self.universe.clone(), self.stops_now_and_then);
        let mut random = self.random.fork();
        let results = self.universe.run(join_all(work), move || {
            if stops && random.u32(..400) == 0 {
                universe.advance(Duration::from_secs(random.u64(20..7_200)));
            }
            disk.is_off()
        });
        match results {
            None => self.power_on(End::PowerLost),
            Some(results) => {
                for error in results.into_iter().filter_map(Result::err) {
                    let mut oracle = self.oracle.lock().unwrap();
                    oracle.saw("a ledger error");
                    if let LedgerError::Illegal(why) = error {
                        oracle.fault("S15", why);
                    }
                }
                self.look_over();
            }
        }
    }

    /// Everything in the ledger; nothing while no process runs.
    pub fn requests(&self) -> &[Request] {
        match &self.running {
            Some(_) => &self.requests,
            None => &[],
        }
    }

    /// Reads what has changed, and says which rows that was. A ledger that cannot be read tells
    /// nothing.
    fn read_requests(&mut self) -> BTreeSet<i64> {
        let read = self.versions().unwrap_or_default();
        let known: BTreeMap<i64, Request> = std::mem::take(&mut self.requests)
            .into_iter()
            .map(|it| (it.row, it))
            .collect();
        let (same, changed): (Vec<_>, Vec<_>) = read
            .into_iter()
            .partition(|(row, version, _)| known.get(row).is_some_and(|it| it.version == *version));
        let keys = changed.into_iter().map(|(_, _, key)| key).collect();
        let fresh = self.asks(|ledger| ledger.find_many(keys));
        let fresh: Vec<Request> = fresh.unwrap_or_default().into_iter().flatten().collect();
        let rows = fresh.iter().map(|it| it.row).collect();
        let mut known = known;
        self.requests = same
            .iter()
            .filter_map(|(row, ..)| known.remove(row))
            .chain(fresh)
            .collect();
        self.requests.sort_unstable_by_key(|it| it.row);
        rows
    }

    fn versions(&self) -> rusqlite::Result<Vec<(i64, i64, Key)>> {
        let Some(running) = &self.running else {
            return Ok(Vec::new());
        };
        let sql = "SELECT id, version, provider, kind, subscription, again FROM requests";
        let mut rows = running.versions.prepare_cached(sql)?;
        let key = |row: &rusqlite::Row<'_>| {
            let name: String = row.get(2)?;
            let kind: String = row.get(3)?;
            let mut kinds = ProviderKind::ALL.into_iter();
            let kind = kinds.find(|it| it.as_str() == kind).unwrap();
            let id: String = row.get(4)?;
            let key = Key {
                provider: ProviderName::parse(&name).unwrap(),
                id: SubscriptionId::parse(kind, &id).unwrap(),
                again: row.get(5)?,
            };
            Ok((row.get(0)?, row.get(1)?, key))
        };
        rows.query_map([], key)?.collect()
    }

    pub fn asks<T>(
        &self,
        ask: impl for<'l> FnOnce(&'l dyn Ledger) -> BoxFuture<'l, Result<T, LedgerError>>,
    ) -> Option<T> {
        let running = self.running.as_ref()?;
        let reply = ask(&*running.house.tools.ledger);
        self.universe.run(reply, || false)?.ok()
    }

    /// What must hold of the ledger after every step.
    fn look_over(&mut self) {
        let changed = self.read_requests();
        let requests = std::mem::take(&mut self.requests);
        for request in requests.iter().filter(|it| changed.contains(&it.row)) {
            let key = (
                request.key.provider.to_string(),
                request.key.id.to_string(),
                request.key.again,
            );
            let state = request.state();
            if request.standing.missed.is_some()
                && let Some(sub) = sub_of(request)
            {
                self.oracle.lock().unwrap().told.insert(sub);
            }
            let before = self.settled.insert(key, state);
            if before == Some(state) {
                continue;
            }
            self.changed(request, before, state);
        }
        self.requests = requests;
    }

    fn changed(&mut self, request: &Request, before: Option<State>, state: State) {
        let Some(sub) = sub_of(request) else { return };
        let id = &request.key;
        let now = self.universe.now();
        {
            let mut oracle = self.oracle.lock().unwrap();
            oracle.note(now, &format!("{id} {before:?} {state:?}"));
            oracle.saw(&format!("state {state}"));
            if let Some(before) = before.filter(|it| it.finished())
                && !self.was_restored
            {
                oracle.fault("S15", format!("{id} goes from {before} to {state}"));
            }
        }
        // What a copy tells is of then.
        let news = before != Some(state) && !(before.is_none() && self.was_restored);
        if !news || !matches!(state, State::Canceled | State::AlreadyCanceled) {
            return;
        }
        let truth = self.network.account_for(sub);
        let unsure = request
            .note
            .as_deref()
            .is_some_and(|note| note.contains("billing not confirmed"));
        let ended = match sub.0 {
            Who::Academy => truth.deactivated && (!truth.live || unsure),
            Who::Donations => !truth.live,
            // Found set to end in time is ended as well.
            Who::Metered => {
                let set_to_end = request.note.as_deref().is_some_and(|note| {
                    note.contains("set to end") || note.contains("set not to renew")
                });
                !truth.live || set_to_end
            }
        };
        if !ended || !truth.exists {
            self.fault(
                "S8",
                format!("{id} is told as {state} and bills on ({:?})", request.note),
            );
        }
        if sub.0 == Who::Metered && request.standing.wanted {
            let successor = self.network.truth((Who::Metered, sub.1 + SUCCESSOR));
            if successor.live && !truth.live {
                self.fault(
                    "S8",
                    format!("{id} is told as {state} and its renewal bills on"),
                );
            }
        }
    }

    /// The chain is whole and every row is what its events say; counters are what the ledger is.
    pub fn verify(&mut self) {
        let Some(verification) = self.asks(|ledger| ledger.verify()) else {
            return;
        };
        for fault in verification.faults {
            self.fault("S15", fault);
        }
        let Some(running) = &self.running else { return };
        let metrics = running
            .house
            .tools
            .metrics
            .render(lapsed::metrics::Format::Text);
        let now = self.clock.now();
        let Some(tally) = self.asks(move |ledger| ledger.tally(now)) else {
            return;
        };
        // By line of the metrics, what the ledger has.
        let mut counters: BTreeMap<String, u64> = BTreeMap::new();
        for who in Who::ALL {
            let name = who.as_str();
            for state in [State::Canceled, State::AlreadyCanceled, State::Failed] {
                let is = |it: &&Request| it.key.provider == who.name() && it.state() == state;
                let line = format!("lapsed_settled_total{{provider=\"{name}\",state=\"{state}\"}}");
                counters.insert(line, self.requests().iter().filter(is).count() as u64);
            }
            let of = |counts: &BTreeMap<_, u64>| counts.get(&who.name()).copied().unwrap_or(0);
            for (result, count) in [
                ("met", of(&tally.deadlines_met)),
                ("missed", of(&tally.windows_missed)),
            ] {
                let line =
                    format!("lapsed_deadlines_total{{provider=\"{name}\",result=\"{result}\"}}");
                counters.insert(line, count);
            }
            for outcome in Answer::OUTCOMES {
                let count = tally.attempts.get(&(who.name(), outcome.to_owned()));
                let line =
                    format!("lapsed_attempts_total{{outcome=\"{outcome}\",provider=\"{name}\"}}");
                counters.insert(line, count.copied().unwrap_or(0));
            }
        }
        for (counter, count) in counters {
            let told = metrics
                .lines()
                .find_map(|it| it.strip_prefix(&counter))
                .map_or(0.0, |value| value.trim().parse().unwrap());
            if told != count as f64 {
                self.fault(
                    "S19",
                    format!("{counter} is {told}, and the ledger has {count}"),
                );
            }
        }
        let mut told = vec![("metrics".to_owned(), metrics)];
        for (name, bytes) in self.disk.live() {
            let name = name.rsplit('/').next().unwrap_or_default().to_owned();
            told.push((name, String::from_utf8_lossy(&bytes).into_owned()));
        }
        for (place, text) in told {
            for canary in CANARIES {
                if text.contains(canary) {
                    self.fault("S17", format!("{canary} stands in {place}"));
                }
            }
        }
    }

    /// Looks at the clocks, as each worker does all the time.
    pub fn glance(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        let Some(in_force) = running.house.live.in_force.load_full() else {
            return;
        };
        let ledger = &*running.house.tools.ledger;
        let (clock, clocks) = (&*self.clock, &mut running.clocks);
        let woken = async {
            let mut set_back = false;
            for who in Who::ALL {
                let watch = clocks.entry(who).or_default();
                // What fails is tried again by the next look.
                set_back |= (watch
                    .look(clock, ledger, &who.name(), &in_force.config)
                    .await)
                    .unwrap_or(false);
            }
            set_back
        };
        match self.universe.run(woken, || self.disk.is_off()) {
            None => self.power_on(End::PowerLost),
            Some(true) => self.look_over(),
            Some(false) => {}
        }
    }

    /// When something happens next by itself, and what.
    pub fn next(&self) -> Option<(DateTime<Utc>, Who, Occasion)> {
        let running = self.running.as_ref()?;
        let in_force = running.house.live.in_force.load_full()?;
        let now = self.clock.now();
        let soon = now + chrono::Duration::seconds(1);
        let mut next: Option<(DateTime<Utc>, Who, Occasion)> = None;
        for request in self.requests() {
            let Some((who, _)) = sub_of(request) else {
                continue;
            };
            let Some(provider) = in_force.config.providers.get(&request.key.provider) else {
                continue;
            };
            let tick = |from: DateTime<Utc>| {
                provider
                    .schedule
                    .next_after(from.max(soon) - chrono::Duration::nanoseconds(1))
            };
            let by_itself = request.standing.phase != Phase::Waiting
                || request
                    .due_at
                    .is_none_or(|due| request.wake_at.is_some_and(|at| at < due));
            let wakes = request.wake_at.and_then(|at| {
                if by_itself {
                    Some((at.max(soon), who, Occasion::Wake))
                } else {
                    Some((tick(at)?, who, Occasion::Tick))
                }
            });
            let overdue = request
                .deadline_at
                .filter(|_| request.standing.plannable())
                .map(|at| {
                    (
                        (at + chrono::Duration::milliseconds(1)).max(soon),
                        who,
                        Occasion::Wake,
                    )
                });
            for one in wakes.into_iter().chain(overdue) {
                if next.is_none_or(|so_far| one.0 < so_far.0) {
                    next = Some(one);
                }
            }
        }
        next
    }

    /// Whether the newest valid text is not in force yet, because its acceptance failed.
    pub fn owes(&self) -> bool {
        let (Some(running), Some(newest)) = (&self.running, &self.newest) else {
            return false;
        };
        let in_force = running.house.live.in_force.load_full();
        newest.means.is_some() && in_force.is_none_or(|it| it.digest != digest_of(&newest.bytes))
    }
}

/// What the acts of one moment share.
#[derive(Clone, Copy)]
struct Context<'w> {
    house: &'w House,
    universe: &'w Universe,
    oracle: &'w Arc<Mutex<Oracle>>,
}

impl<'w> Context<'w> {
    async fn pass(
        self,
        parties: &'w Mutex<BTreeMap<Who, Connected>>,
        who: Who,
        occasion: Occasion,
    ) -> Result<(), LedgerError> {
        let House {
            tools,
            live,
            connect,
            ..
        } = self.house;
        let Some(in_force) = live.in_force.load_full() else {
            return Ok(());
        };
        let config = in_force.config.providers[&who.name()].clone();
        let known = parties.lock().unwrap().get(&who).cloned();
        let mut connected = match known.filter(|it| it.number == in_force.number) {
            Some(connected) => connected,
            None => Connected {
                number: in_force.number,
                party: connect.connect(&config).expect("the secrets are there"),
                bound: false,
            },
        };
        if !connected.bound {
            let destination = connect.destination(&config).expect("no file is read");
            connected.bound = account::at_home(tools, &config, destination, &in_force).await?
                && account::bind(tools, &connected.party, &in_force).await?;
        }
        parties.lock().unwrap().insert(who, connected.clone());
        if !connected.bound {
            return let_time_go_by(tools, &config, &in_force).await;
        }
        pass(tools, &connected.party, &in_force, occasion)
            .await
            .map(drop)
    }

    async fn take(
        self,
        keeper: &mut Keeper,
        written: Written,
        after: Duration,
    ) -> Result<(), LedgerError> {
        self.universe.sleep(after).await;
        let digest = digest_of(&written.bytes);
        let latest = Latest {
            text: Some(Arc::new(Text {
                commit: None,
                revision: digest.clone(),
                files: vec![SourceFile {
                    name: "lapsed.yaml".to_owned(),
                    bytes: written.bytes,
                }],
                unmatched: Vec::new(),
                outside: Vec::new(),
            })),
            problem: None,
            seen_at: Some(self.house.tools.clock.now()),
        };
        let before = self.in_force();
        let verdict = keeper.take(&latest).await?;
        let mut oracle = self.oracle.lock().unwrap();
        match (verdict, written.means) {
            (Verdict::Accepted, Some(file)) => {
                oracle.saw("accepted");
                oracle.accepted.push(Accepted {
                    at: self.universe.now(),
                    file,
                });
            }
            (Verdict::Accepted, None) => {
                oracle.fault("S9", "a text that is not whole was accepted")
            }
            (Verdict::Unchanged, Some(_)) if before.as_ref() != Some(&digest) => {
                let problems = self.house.live.source.load().problems.join("; ");
                oracle.fault("L4", format!("a valid text is refused: {problems}"));
            }
            (Verdict::Unchanged, Some(_)) => {}
            (Verdict::Unchanged, None) => oracle.struck("refused a text"),
        }
        Ok(())
    }

    fn in_force(self) -> Option<String> {
        Some(self.house.live.in_force.load_full()?.digest.clone())
    }

    async fn command(self, command: Command, after: Duration) -> Result<(), LedgerError> {
        self.universe.sleep(after).await;
        let tools = &self.house.tools;
        let posted = Posted {
            number: 0,
            at: tools.clock.now(),
            by: "dana".to_owned(),
            reason: "because".to_owned(),
            command: command.clone(),
        };
        if command == Command::Trust {
            self.oracle.lock().unwrap().quarantine = false;
            self.oracle.lock().unwrap().limits_since = self.universe.now();
        }
        let whom = |provider: &Option<ProviderName>| {
            Who::ALL
                .into_iter()
                .find(|who| provider.as_ref() == Some(&who.name()))
        };
        if let Command::Resume { provider } = &command {
            let paused = &mut self.oracle.lock().unwrap().paused;
            // Of all is also of each.
            match whom(provider) {
                None => paused.clear(),
                whom => drop(paused.remove(&whom)),
            }
        }
        tools.ledger.post(posted).await?;
        tools.inbox.apply(tools.clock.now()).await?;
        if let Command::Pause { provider } = &command {
            let now = self.universe.now();
            self.oracle
                .lock()
                .unwrap()
                .paused
                .insert(whom(provider), now);
        }
        Ok(())
    }

    async fn plan(self, newest: Option<Written>) -> Result<(), LedgerError> {
        let House { tools, connect, .. } = self.house;
        let Some(file) = newest.and_then(|it| it.means) else {
            return Ok(());
        };
        let text = file.text();
        let manifest = lapsed::desired::read(&lapsed::desired::Input {
            files: vec![lapsed::desired::FileText {
                name: "lapsed.yaml",
                bytes: text.as_bytes(),
            }],
            ..Default::default()
        })
        .expect("the text is valid");
        let readers = manifest
            .config
            .providers
            .iter()
            .map(|(name, config)| {
                let party = connect.connect(config).expect("the secrets are there");
                (name.clone(), party.reader)
            })
            .collect();
        self.oracle.lock().unwrap().previews = true;
        let sources = Sources {
            manifest: &manifest,
            revision: "the next",
            ledger: Some(&*tools.ledger),
            readers,
            reading: Reading::All,
            now: tools.clock.now(),
            against: None,
            until: None,
        };
        let planned = preview(sources, &|_, _| {}).await;
        self.oracle.lock().unwrap().previews = false;
        self.oracle.lock().unwrap().planned_at = Some(self.universe.now());
        self.oracle.lock().unwrap().saw("a plan");
        planned.map(drop)
    }
}

/// Secrets, and what the providers' answers hold of people.
const CANARIES: [&str; 5] = [
    "canary",
    "Canary",
    cast::KAJABI_CLIENT_SECRET,
    cast::REVERE_KEY,
    cast::LOTUS_KEY,
];

/// A renewal makes a record whose number is higher by this.
pub const SUCCESSOR: u32 = 1_000;

pub fn sub_of(request: &Request) -> Option<Sub> {
    let who = Who::ALL
        .into_iter()
        .find(|who| request.key.provider == who.name())?;
    let text = request.key.id.as_str();
    let number = match who {
        Who::Academy => text.strip_prefix('9')?.parse().ok()?,
        Who::Donations => text.strip_prefix("don-")?.parse().ok()?,
        Who::Metered => u32::from_str_radix(text.trim_start_matches("sub_"), 16).ok()?,
    };
    Some((who, number))
}

pub fn digest_of(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("{:032x}", hasher.finish())
}

/// A folder whose files lie in memory where the machine has such a place.
fn memory_folder() -> TempDir {
    let shared = std::path::Path::new("/dev/shm");
    if shared.is_dir() {
        tempfile::tempdir_in(shared).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// When the open attempt for a subscription was journaled, in a ledger as a disk has it; none:
/// there is none.
pub fn open_attempt(files: &Image, provider: &str, id: &str) -> Option<DateTime<Utc>> {
    static COPIES: AtomicU64 = AtomicU64::new(0);
    let folder = PathBuf::from(format!(
        "/simulated/{}",
        COPIES.fetch_add(1, Ordering::Relaxed)
    ));
    let disk = Disk::mount(&folder);
    let moved = files
        .iter()
        .map(|(name, bytes)| {
            let name = name.rsplit('/').next().unwrap_or_default();
            (folder.join(name).display().to_string(), Arc::clone(bytes))
        })
        .collect();
    disk.restore(&moved);
    let found = rusqlite::Connection::open(folder.join("lapsed.db"))
        .and_then(|conn| {
            conn.query_row(
                "SELECT max(intended_at) FROM attempts WHERE provider = ?1 AND subscription = ?2 AND open = 1",
                [provider, id],
                |row| row.get::<_, Option<i64>>(0),
            )
            .optional()
        })
        .ok()
        .flatten()
        .flatten();
    disk.unmount();
    DateTime::from_timestamp_millis(found?)
}
