//! `run --once`: the newest text, one pass over each provider, and out.

use std::sync::Arc;

use crate::ledger::LedgerError;
use crate::model::standing::State;
use crate::reconcile::account;
use crate::reconcile::live::Live;
use crate::reconcile::pass::{Occasion, PassReport, Tools, pass};
use crate::source::Latest;

use super::keeper::Keeper;
use super::worker::Connect;

/// What one pass over everything came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnceReport {
    /// What is wrong with the newest text, one line each.
    pub problems: Vec<String>,
    /// Added up over all providers.
    pub passes: PassReport,
    /// Requests that failed or whose outcome is unknown, in the whole ledger.
    pub failed_or_unknown: u64,
}

/// Accepts the text and runs one pass over each provider, side by side.
pub async fn once(
    tools: &Tools,
    live: &Arc<Live>,
    connect: &dyn Connect,
    latest: &Latest,
) -> Result<OnceReport, LedgerError> {
    let mut keeper = Keeper::new(tools.clone(), Arc::clone(live));
    keeper.begin().await?;
    keeper.take(latest).await?;
    let mut report = OnceReport {
        problems: live.source.load().problems.clone(),
        ..OnceReport::default()
    };
    let Some(in_force) = live.in_force.load_full() else {
        return Ok(report);
    };
    connect.in_force(&in_force.config);
    let passes = in_force.config.providers.values().map(|config| {
        let in_force = Arc::clone(&in_force);
        async move {
            let party = match connect.connect(config) {
                Ok(party) => party,
                Err(why) => {
                    account::without_credentials(tools, config, why).await?;
                    return Ok(PassReport::default());
                }
            };
            if !account::bind(tools, &party, &in_force).await? {
                return Ok(PassReport::default());
            }
            pass(tools, &party, &in_force, Occasion::Tick).await
        }
    });
    for one in futures_util::future::join_all(passes).await {
        let one: PassReport = one?;
        report.passes.taken += one.taken;
        report.passes.sent += one.sent;
        report.passes.done += one.done;
        report.passes.failed += one.failed;
        report.passes.unknown += one.unknown;
    }
    let tally = tools.ledger.tally(tools.clock.now()).await?;
    report.failed_or_unknown = tally
        .states
        .iter()
        .filter(|((_, state), _)| matches!(state, State::Failed | State::Unknown | State::Sending))
        .map(|(_, count)| count.all)
        .sum();
    Ok(report)
}
