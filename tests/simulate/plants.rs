//! A proof that nothing can fail is none: each planted fault must be noticed.

use lapsed::planted::{Fault, plant};

use crate::history::History;
use crate::{cases, scope};

/// Histories in which a fault must be noticed, at the latest.
const MOST_SEEDS: u64 = 400;

/// How a fault was noticed.
#[derive(Debug)]
pub struct Noticed {
    pub seed: Option<u64>,
    pub how: String,
}

impl std::fmt::Display for Noticed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.seed {
            Some(seed) => write!(f, "noticed at seed {seed}: ")?,
            None => f.write_str("noticed at once: ")?,
        }
        let short: String = self.how.chars().take(110).collect();
        f.write_str(&short)
    }
}

/// Switches a fault on and looks for it: in the cases first, then in the enumerated scope, then
/// in histories.
pub fn look_for(fault: Fault) -> Option<Noticed> {
    plant(Some(fault));
    let seeds = crate::asked_for("LAPSED_TEST_FAULT_SEEDS").unwrap_or(MOST_SEEDS);
    let noticed = look(seeds);
    plant(None);
    noticed
}

/// What is noticed where nothing is planted; it should be nothing.
pub fn look_for_nothing() -> Option<Noticed> {
    look(3)
}

fn look(seeds: u64) -> Option<Noticed> {
    if let Some(how) = cases::faults().next().or_else(scope::first_fault) {
        let seed = None;
        return Some(Noticed { seed, how });
    }
    (0..seeds).find_map(|seed| {
        // What goes wrong so badly that it panics is noticed as well.
        let run = std::panic::catch_unwind(|| {
            let mut history = History::begin(seed);
            history.run();
            let mut oracle = history.world.oracle.lock().unwrap();
            std::mem::take(&mut oracle.faults)
        });
        let how = match run {
            Ok(faults) => faults.into_iter().next()?,
            Err(_) => "a panic".to_owned(),
        };
        let seed = Some(seed);
        Some(Noticed { seed, how })
    })
}
