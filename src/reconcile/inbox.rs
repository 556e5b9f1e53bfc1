//! What people ask of the daemon: read from the ledger's inbox and applied, one command at a
//! time, before each group of intents.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, mpsc};

use crate::ledger::{Command, Ledger, LedgerError, Posted};
use crate::model::ids::ProviderName;

/// The inbox of a running daemon.
pub struct Inbox {
    ledger: Arc<dyn Ledger>,
    asked: mpsc::UnboundedSender<Asked>,
    /// One at a time, so that no command is applied twice.
    turn: Mutex<()>,
}

/// What the daemon itself has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Make a tick now, at one provider or at all.
    Tick(Option<ProviderName>),
    /// Something may wake earlier than was thought, at one provider or at all.
    Wake(Option<ProviderName>),
}

impl Inbox {
    /// The inbox of a ledger. What the daemon itself has to do comes out of the receiver.
    pub fn new(ledger: Arc<dyn Ledger>) -> (Arc<Self>, mpsc::UnboundedReceiver<Asked>) {
        let (asked, asks) = mpsc::unbounded_channel();
        let inbox = Self {
            ledger,
            asked,
            turn: Mutex::new(()),
        };
        (Arc::new(inbox), asks)
    }

    /// Applies everything that waits.
    pub async fn apply(&self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let _turn = self.turn.lock().await;
        for posted in self.ledger.inbox().await? {
            let moved = self.ledger.apply(posted.clone(), now).await?;
            tell(&posted, moved);
            let asked = match posted.command {
                Command::Reconcile { provider } => Asked::Tick(provider),
                Command::Retry { provider, .. } => Asked::Wake(Some(provider)),
                Command::Pause { provider } | Command::Resume { provider } => Asked::Wake(provider),
                Command::Approve { .. } | Command::Trust => Asked::Wake(None),
            };
            // Nobody listens any more while the daemon stops, and then nothing starts.
            let _ = self.asked.send(asked);
        }
        Ok(())
    }
}

fn tell(posted: &Posted, moved: u64) {
    let Posted {
        by,
        reason,
        command,
        ..
    } = posted;
    let whom = |provider: &Option<ProviderName>| {
        provider
            .as_ref()
            .map_or_else(|| "all providers".to_owned(), ToString::to_string)
    };
    match command {
        Command::Pause { provider } => {
            tracing::warn!(by, reason, "paused {}: {reason} ({by})", whom(provider));
        }
        Command::Resume { provider } => {
            tracing::info!(by, reason, "resumed {}: {reason} ({by})", whom(provider));
        }
        Command::Reconcile { provider } => {
            tracing::info!(by, reason, "asked for a tick of {} ({by})", whom(provider));
        }
        Command::Retry { provider, id, .. } => {
            let what = id.as_ref().map_or_else(String::new, |id| format!("/{id}"));
            tracing::info!(
                by,
                reason,
                requests = moved,
                "planned {moved} afresh at {provider}{what}: {reason} ({by})"
            );
        }
        Command::Approve { plan, .. } if moved == 0 => tracing::warn!(
            by,
            reason,
            "the approval of {plan} by {by} frees nothing: nothing waits under this digest on the same terms"
        ),
        Command::Approve { plan, .. } => tracing::info!(
            by,
            reason,
            requests = moved,
            "approved {moved} under {plan}: {reason} ({by})"
        ),
        Command::Trust => tracing::warn!(
            by,
            reason,
            "the ledger is trusted again, says {by}: {reason}"
        ),
    }
}
