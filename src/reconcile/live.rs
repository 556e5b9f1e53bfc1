//! What the daemon knows of itself at this moment: the revision in force, what was last read
//! of the files, and how to wake it. The HTTP port reads it; only the daemon writes it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use crate::config::Config;
use crate::model::ids::ProviderName;

use super::excerpt::Excerpt;

/// The revision in force.
#[derive(Clone, Debug)]
pub struct InForce {
    /// How to run.
    pub config: Arc<Config>,
    /// Its number in the ledger.
    pub number: i64,
    /// The digest over its files.
    pub digest: String,
    /// How many items it has.
    pub items: u64,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
}

/// What was last read of the files.
#[derive(Clone, Debug, Default)]
pub struct SourceState {
    /// The last successful reading of the whole set.
    pub seen_at: Option<DateTime<Utc>>,
    /// What is wrong with the newest text, one line each; empty: it is in force.
    pub problems: Vec<String>,
    /// The first of them, with the lines around each.
    pub excerpts: Vec<Excerpt>,
    /// Since when something is wrong with it.
    pub broken_since: Option<DateTime<Utc>>,
    /// What a person should know though nothing is wrong.
    pub warnings: Vec<String>,
}

/// What the daemon knows of itself.
#[derive(Debug, Default)]
pub struct Live {
    /// The revision in force; none before the first.
    pub in_force: ArcSwapOption<InForce>,
    /// What was last read of the files.
    pub source: ArcSwap<SourceState>,
    /// Whom the ledger last failed, and why, until it works again for them: that it works for
    /// one who has nothing to write says nothing.
    ledger_failures: Mutex<BTreeMap<String, String>>,
    /// Set when the ledger will not work again in this process.
    pub ledger_gone: AtomicBool,
    /// Rung after a command was appended to the inbox.
    pub inbox: Notify,
    /// Rung to read the files again.
    pub reload: Notify,
    /// Whether each provider's newest passes since the last heartbeat were whole and good.
    passes: Mutex<BTreeMap<ProviderName, bool>>,
    /// Rung when a pass was whole and good.
    pub beat: Notify,
}

impl Live {
    /// What keeps the daemon from being ready; empty: it is.
    pub fn not_ready(&self) -> Vec<(&'static str, String)> {
        let mut missing = Vec::new();
        if self.in_force.load().is_none() {
            missing.push(("revision", "no valid revision is loaded".to_owned()));
        }
        if let Some(why) = self.ledger_failure() {
            missing.push(("ledger", why));
        }
        missing
    }

    /// Notes how a pass over a provider ended: whole and good, or not.
    pub fn passed(&self, provider: &ProviderName, whole: bool) {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        passes.insert(provider.clone(), whole);
        if whole {
            self.beat.notify_one();
        }
    }

    /// Whether all of these had a pass that was whole and good since this was last so.
    pub fn whole_round<'p>(&self, mut of: impl Iterator<Item = &'p ProviderName>) -> bool {
        let mut passes = self.passes.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = !passes.is_empty() && of.all(|name| passes.get(name) == Some(&true));
        if whole {
            passes.clear();
        }
        whole
    }

    /// Notes that the ledger failed somebody.
    pub fn ledger_failed(&self, whom: &str, why: String) {
        self.failures().insert(whom.to_owned(), why);
    }

    /// Notes that it works for somebody.
    pub fn ledger_works(&self, for_whom: &str) {
        self.failures().remove(for_whom);
    }

    /// Why the ledger does not work, if it does not.
    pub fn ledger_failure(&self) -> Option<String> {
        self.failures().values().next().cloned()
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.ledger_failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
