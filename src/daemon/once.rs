//! `run --once`: the newest text, one pass over each provider, and out.

use std::sync::Arc;

use crate::ledger::LedgerError;
use crate::model::hold::HoldReason;
use crate::model::standing::State;
use crate::reconcile::account;
use crate::reconcile::live::Live;
use crate::reconcile::pass::{Occasion, PassReport, Tools, let_time_go_by, pass};
use crate::reconcile::report::Standpoint;
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
    /// Requests that are held, in the whole ledger.
    pub held: u64,
    /// Why a provider could not be worked with, one line each.
    pub troubles: Vec<String>,
}

/// Gates that nobody asked for: what they hold, somebody has to look at.
const TROUBLES: [HoldReason; 5] = [
    HoldReason::LedgerDoubt,
    HoldReason::AccountChanged,
    HoldReason::Credentials,
    HoldReason::ProviderStopped,
    HoldReason::ClockSkew,
];

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
            if let Some(destination) = connect.destination(config)
                && !account::at_home(tools, config, destination, &in_force).await?
            {
                let_time_go_by(tools, config, &in_force).await?;
                return Ok::<_, LedgerError>((PassReport::default(), None));
            }
            let party = match connect.connect(config) {
                Ok(party) => party,
                Err(why) => {
                    account::without_credentials(tools, config, why).await?;
                    let_time_go_by(tools, config, &in_force).await?;
                    return Ok((PassReport::default(), None));
                }
            };
            account::try_credentials_again(tools, config).await?;
            if !account::bind(tools, &party, &in_force).await? {
                let_time_go_by(tools, config, &in_force).await?;
                let why = format!("{}: its account could not be made sure of", config.name);
                return Ok((PassReport::default(), Some(why)));
            }
            let report = pass(tools, &party, &in_force, Occasion::Tick).await?;
            Ok((report, None))
        }
    });
    for one in futures_util::future::join_all(passes).await {
        let (one, trouble) = one?;
        report.troubles.extend(trouble);
        report.passes.taken += one.taken;
        report.passes.sent += one.sent;
        report.passes.done += one.done;
        report.passes.failed += one.failed;
        report.passes.unknown += one.unknown;
    }
    let now = tools.clock.now();
    let tally = tools.ledger.tally(now).await?;
    let config = Arc::clone(&in_force.config);
    let standpoint = Standpoint::read(&*tools.ledger, config, now).await?;
    for ((_, state), count) in standpoint.counts(&tally) {
        match state {
            State::Failed | State::Unknown | State::Sending => report.failed_or_unknown += count,
            State::Held => report.held += count,
            _ => {}
        }
    }
    for name in in_force.config.providers.keys() {
        let gates = standpoint.gates(name);
        let gates = gates.iter().filter(|it| TROUBLES.contains(&it.reason));
        let told = gates.map(|gate| format!("{name}: {}: {}", gate.reason, gate.detail));
        report.troubles.extend(told);
        let unread = (name.clone(), HoldReason::ProviderUnavailable);
        if let Some(count) = tally.holds.get(&unread).filter(|count| **count > 0) {
            report
                .troubles
                .push(format!("{name}: {count} could not be read"));
        }
    }
    Ok(report)
}
