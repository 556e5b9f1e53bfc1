//! What a supervisor such as systemd is told: that the daemon is ready, that it is alive, that it
//! stops (`sd_notify(3)`). Where nobody supervises, nothing is told.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;

/// The ledger is ready and the port is served.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Nothing new starts.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the daemon is alive, twice as often as is asked for, as long as its threads run and the
/// ledger answers a reading. Where either hangs, whoever supervises it starts another one, which is safe
/// at any moment. How long an acceptance or a provider takes says nothing of that.
pub(super) async fn watch(ledger: Arc<dyn Ledger>, stop: CancellationToken) {
    let Some(within) = sd_notify::watchdog_enabled().filter(|it| !it.is_zero()) else {
        return;
    };
    let mut every = tokio::time::interval(half(within));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        every.tick().await;
        // One that fails has answered: that is told otherwise.
        if tokio::time::timeout(within, ledger.revision_head())
            .await
            .is_ok()
        {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(
                "the ledger does not answer; the supervisor is not told that lapsed is alive"
            );
        }
    }
}

fn half(within: Duration) -> Duration {
    (within / 2).max(Duration::from_millis(1))
}

/// A supervisor that cannot be told is no reason to stop.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("the supervisor cannot be told: {error}");
    }
}
