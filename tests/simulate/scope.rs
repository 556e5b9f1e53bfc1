//! The small scope, enumerated: one subscription at each provider, everything that can become of
//! its cancel, and the power going before and after every sync of the ledger and every byte on
//! the wire, twice in a row.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapsed::model::standing::State;
use lapsed::reconcile::pass::Occasion;
use lapsed_disk::PowerCut;
use serde_json::json;

use crate::network::{Fate, Kind, wrong_writes};
use crate::people::{FileText, Line, Who};
use crate::world::{Act, End, World, Written};

/// Where the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    BeforeSync(u64),
    AfterSync(u64),
    BeforeWrite,
    AfterWrite,
}

/// One of the enumerated runs.
#[derive(Clone, Debug)]
pub struct Case {
    pub who: Who,
    /// What becomes of the first write; nothing: it works.
    pub outcome: Option<&'static str>,
    /// It happens to every write.
    pub always: bool,
    /// Power cuts, one after the other; syncs are counted from the start of each process.
    pub cuts: Vec<Cut>,
    /// After the first pass the process is killed, and nobody starts it again for so long.
    pub away: Duration,
}

impl Case {
    /// The first write meets this, and nothing else goes wrong.
    pub fn of(who: Who, outcome: Option<&'static str>) -> Self {
        Self {
            who,
            outcome,
            always: false,
            cuts: Vec::new(),
            away: Duration::ZERO,
        }
    }
}

/// What a run came to.
pub struct Ended {
    pub faults: Vec<String>,
    /// Syncs of the ledger in each life.
    pub syncs: Vec<u64>,
    pub cuts: usize,
}

const NUMBER: u32 = 7;

/// Passes until it must be over: a provider that asks for a pause of a year is waited for a day, in
/// which a worker looks twice a minute.
const MOST_PASSES: u32 = 4_000;

impl Case {
    fn prepare(&self) -> World {
        let world = World::new(1);
        let sub = (self.who, NUMBER);
        let id = self.who.id(NUMBER);
        let seed = match self.who {
            Who::Academy => json!({"provider": "kajabi", "id": id}),
            Who::Donations => json!({"provider": "revere", "id": id, "next_bill": "+40d"}),
            Who::Metered => {
                json!({"provider": "lotus", "id": id, "customer_id": "cust-7", "end": "+40d"})
            }
        };
        world.network.seed(sub, &seed);
        let (outcome, always) = (self.outcome, self.always);
        // Whoever is away has not read anything back before.
        let blind = AtomicBool::new(!self.away.is_zero());
        let writes = AtomicU64::new(0);
        let cuts = Mutex::new(self.cuts.clone());
        world.network.fates(move |asked| {
            let sent = writes.load(Ordering::Relaxed) > 0;
            if asked.kind == Kind::Look && sent && blind.swap(false, Ordering::Relaxed) {
                return Fate::NotConnected;
            }
            if asked.kind != Kind::Write {
                return Fate::Well;
            }
            let first = writes.fetch_add(1, Ordering::Relaxed) == 0;
            let mut cuts = cuts.lock().unwrap();
            if let Some(place) = cuts
                .iter()
                .position(|it| matches!(it, Cut::BeforeWrite | Cut::AfterWrite))
            {
                return match cuts.remove(place) {
                    Cut::BeforeWrite => Fate::PowerCutBefore,
                    _ => Fate::PowerCutAfter,
                };
            }
            match outcome {
                Some(name) if first || always => Fate::Mishap(name),
                _ => Fate::Well,
            }
        });
        world
    }

    /// Runs it to its end.
    pub fn run(&self) -> Ended {
        let mut world = self.prepare();
        let mut file = FileText::new();
        file.lines.push(Line::now(self.who, NUMBER));
        let written = Written {
            bytes: file.text().into_bytes(),
            means: Some(file),
        };
        let mut cuts = self.cuts.iter();
        let mut ended = Ended {
            faults: Vec::new(),
            syncs: Vec::new(),
            cuts: 0,
        };
        let mut begun = 0;
        let mut lives = 0;
        for _ in 0..MOST_PASSES {
            if !world.is_running() {
                if lives > 0 {
                    ended.syncs.push(world.disk().syncs() - begun);
                }
                begun = world.disk().syncs();
                lives += 1;
                let at = |count: u64| begun + count;
                match cuts.next() {
                    Some(Cut::BeforeSync(count)) => {
                        world.disk().cut_power_at(PowerCut::BeforeSync(at(*count)));
                        ended.cuts += 1;
                    }
                    Some(Cut::AfterSync(count)) => {
                        world.disk().cut_power_at(PowerCut::AfterSync(at(*count)));
                        ended.cuts += 1;
                    }
                    Some(_) => ended.cuts += 1,
                    None => {}
                }
                if !world.start() {
                    world.universe.advance(Duration::from_secs(5));
                    continue;
                }
                world.does(vec![Act::Take(written.clone())]);
                if !world.is_running() {
                    continue;
                }
                world.does(vec![Act::Pass(self.who, Occasion::Tick)]);
                if lives == 1 && !self.away.is_zero() {
                    world.dies(End::Killed);
                    world.universe.advance(self.away);
                }
                if !world.is_running() {
                    continue;
                }
            }
            let faulty = !world.oracle.lock().unwrap().faults.is_empty();
            let Some((at, who, occasion)) = world.next().filter(|_| !faulty) else {
                break;
            };
            let wait = (at - world.universe.wall()).to_std().unwrap_or_default();
            world.universe.advance(wait);
            world.does(vec![Act::Pass(who, occasion)]);
        }
        ended.syncs.push(world.disk().syncs() - begun);
        self.judge(&mut world);
        let mut oracle = world.oracle.lock().unwrap();
        ended.faults = std::mem::take(&mut oracle.faults);
        ended
    }

    /// It is over, once, and truly.
    fn judge(&self, world: &mut World) {
        if !world.oracle.lock().unwrap().faults.is_empty() {
            return;
        }
        if !world.is_running() {
            world.fault("L3", "it does not start any more");
            return;
        }
        world.verify();
        let truth = world.network.account_for((self.who, NUMBER));
        let state = world.requests().first().map(|it| it.state());
        // What a document calls a refusal for good is left to a person, and so is what never works.
        let refused = matches!(self.outcome, Some("404" | "422")) || self.always;
        // Whether the confirming cancel stopped the billing cannot be known.
        let fits = match state {
            Some(State::Canceled | State::AlreadyCanceled) => !truth.live,
            Some(State::Failed) => refused,
            // What no reading can ever prove stays unknown.
            _ => false,
        };
        if !fits {
            world.fault(
                "L1",
                format!("{self:?} ends as {state:?}, and it lives: {}", truth.live),
            );
        }
        if truth.effects > 1 {
            world.fault(
                "S6",
                format!("{self:?} took effect {} times", truth.effects),
            );
        }
    }
}

/// Everything that can become of the one cancel, without a power cut.
fn outcomes() -> Vec<(Who, Option<&'static str>)> {
    let names: Vec<Option<&'static str>> = std::iter::once(None)
        .chain(wrong_writes().into_iter().map(Some))
        .collect();
    Who::ALL
        .into_iter()
        .flat_map(|who| names.clone().into_iter().map(move |name| (who, name)))
        .collect()
}

/// The first thing that is wrong where nothing else happens, where the power goes once, where
/// nobody is there for hours, and where nothing ever works.
pub fn first_fault() -> Option<String> {
    let undisturbed = outcomes()
        .into_iter()
        .map(|(who, outcome)| Case::of(who, outcome));
    let disturbed = Who::ALL.into_iter().flat_map(|who| {
        let cut = |cut| Case {
            cuts: vec![cut],
            ..Case::of(who, None)
        };
        let late = Case {
            away: Duration::from_secs(60),
            ..Case::of(who, Some("done 19 minutes later"))
        };
        let away = Case {
            away: Duration::from_secs(3 * 3_600),
            ..Case::of(who, Some("lost"))
        };
        let for_ever = Case {
            always: true,
            ..Case::of(who, Some("lost"))
        };
        [
            cut(Cut::BeforeWrite),
            cut(Cut::AfterWrite),
            late,
            away,
            for_ever,
        ]
    });
    undisturbed
        .chain(disturbed)
        .find_map(|case| case.run().faults.into_iter().next())
}

/// Which outcomes are enumerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcomes {
    All,
    /// One of each sort: lost, done unheard, done and called a fault, refused, a lie.
    OfEachSort,
}

const EACH_SORT: [&str; 5] = [
    "lost",
    "done in silence",
    "500 done",
    "429",
    "says done and is not",
];

/// What the enumeration came to.
#[derive(Debug, Default)]
pub struct Enumerated {
    pub runs: u64,
    pub power_cuts: u64,
    pub faults: Vec<String>,
}

/// Every outcome at every provider; the power going at each point of it; and once more at each
/// point of what follows.
pub fn enumerate(which: Outcomes, stride: u64) -> Enumerated {
    let mut outcomes = outcomes();
    if which == Outcomes::OfEachSort {
        outcomes.retain(|(_, outcome)| outcome.is_none_or(|name| EACH_SORT.contains(&name)));
    }
    let work = Mutex::new(outcomes.into_iter());
    let total = Arc::new(Mutex::new(Enumerated::default()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let next = work.lock().unwrap().next();
                    let Some((who, outcome)) = next else { return };
                    enumerate_one(who, outcome, stride, &total);
                }
            });
        }
    });
    Arc::into_inner(total).unwrap().into_inner().unwrap()
}

fn enumerate_one(who: Who, outcome: Option<&'static str>, stride: u64, total: &Mutex<Enumerated>) {
    let run = |cuts: Vec<Cut>| {
        let case = Case {
            cuts,
            ..Case::of(who, outcome)
        };
        let ended = case.run();
        let mut total = total.lock().unwrap();
        total.runs += 1;
        total.power_cuts += ended.cuts as u64;
        let faults = ended
            .faults
            .iter()
            .map(|fault| format!("{case:?}: {fault}"));
        total.faults.extend(faults);
        ended
    };
    let points = |syncs: u64, stride: usize| -> Vec<Cut> {
        let at_syncs = (1..=syncs).flat_map(|at| [Cut::BeforeSync(at), Cut::AfterSync(at)]);
        let at_writes = [Cut::BeforeWrite, Cut::AfterWrite];
        at_writes
            .into_iter()
            .chain(at_syncs.step_by(stride))
            .collect()
    };
    let undisturbed = run(Vec::new());
    for first in points(undisturbed.syncs[0], 1) {
        let once = run(vec![first]);
        let rest = once.syncs.get(1).copied().unwrap_or(0);
        for second in points(rest, stride as usize) {
            run(vec![first, second]);
        }
    }
}
