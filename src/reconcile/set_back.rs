//! Notices a wall clock that was set back, and wakes what waits for a time that another clock told.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::{Ledger, LedgerError};
use crate::model::ids::ProviderName;
use crate::planted::planted;

/// By so much less than the time since boot must wall time have gone on to have been set back;
/// what is less is a clock that is being slewed.
const SET_BACK: TimeDelta = TimeDelta::seconds(1);

/// Looks at both clocks again and again, for one provider.
#[derive(Debug, Default)]
pub struct Watch {
    /// Wall time and the time since boot at the last look; none before the first.
    looked_at: Option<(DateTime<Utc>, Duration)>,
}

impl Watch {
    /// Lets none of a provider's requests wait for a time that a clock told which was ahead, where
    /// wall time was set back since the last look or, at the first one, may have been while nobody
    /// looked. Says whether that was so.
    ///
    /// # Errors
    /// The ledger's; then the next look finds the same.
    pub async fn look(
        &mut self,
        clock: &dyn Clock,
        ledger: &dyn Ledger,
        provider: &ProviderName,
        config: &Config,
    ) -> Result<bool, LedgerError> {
        let (now, boot) = (clock.now(), clock.since_boot());
        let set_back = self.looked_at.is_none_or(|(then, boot_then)| {
            let went_on = TimeDelta::from_std(boot.saturating_sub(boot_then)).unwrap_or_default();
            now - then < went_on - SET_BACK
        });
        if planted!(SetBackIgnored, false, set_back) {
            let not_before = now + config.reconcile.wait_after_accept;
            ledger.set_back(provider.clone(), now, not_before).await?;
        }
        self.looked_at = Some((now, boot));
        Ok(set_back)
    }
}
