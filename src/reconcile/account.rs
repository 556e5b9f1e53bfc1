//! What the credentials belong to, remembered under the provider's name.
//!
//! A key of another account must not act on ids of this one: two names for one account, or
//! another account under a known name, hold everything as `account_changed`. So does a file that
//! would have the credentials go where they never went: before anything at all is sent there.

use crate::config::{Auth, ProviderConfig};
use crate::ledger::LedgerError;
use crate::model::hold::HoldReason;
use crate::model::memory::{Age, Destination, ProviderMemory};
use crate::plan::health::{self, Sign};
use crate::provider::LookError;

use super::live::InForce;
use super::pass::{Party, Tools};

/// The number of a ledger's first revision.
const FIRST: i64 = 1;

/// Whether a provider's credentials may go where the file sends them; remembers where they may.
/// Nothing is sent before this says so.
pub async fn at_home(
    tools: &Tools,
    config: &ProviderConfig,
    destination: Destination,
    in_force: &InForce,
) -> Result<bool, LedgerError> {
    let name = &config.name;
    let before = tools.ledger.provider(name.clone()).await?;
    let age = match in_force.number {
        FIRST => Age::First,
        _ => Age::Later,
    };
    let allowed = before.allows(&destination, config.kind(), age);
    let mut after = before.clone();
    if allowed {
        after.destination = Some(destination);
        after.elsewhere = None;
    } else {
        if before.elsewhere.as_ref() != Some(&destination) {
            tracing::error!(provider = %name, %destination, "nothing is sent to {name}: {}", destination.refusal(name));
        }
        after.elsewhere = Some(destination);
    }
    if after != before {
        tools.ledger.remember(name.clone(), after).await?;
    }
    Ok(allowed)
}

/// Asks whose credentials these are and compares with what is remembered. Gives whether the
/// provider may be passed over; the gates tell people why not.
pub async fn bind(tools: &Tools, party: &Party, in_force: &InForce) -> Result<bool, LedgerError> {
    let name = &party.config.name;
    let before = tools.ledger.provider(name.clone()).await?;
    let now = tools.clock.now();
    if before.pause_until(now).is_some() {
        return Ok(false);
    }
    let stop_after = in_force.config.limits.stop_after_failures;
    let account = match party.reader.account().await {
        Ok(account) => account,
        Err(error) => {
            let sign = match error {
                LookError::Credentials { why } => Sign::Credentials {
                    why,
                    of_writes: false,
                },
                LookError::Throttled { retry_after } => Sign::Throttled { retry_after },
                LookError::Unavailable { why } => Sign::ReadFailed { why },
            };
            tools.metrics.provider_up(name, false);
            let after = health::after(&before, &sign, now, stop_after);
            if before.stop.is_none()
                && let Some(stop) = &after.stop
            {
                tracing::warn!(provider = %name, reason = %stop.reason, "stopped {name}: {}", stop.why);
            }
            tools.ledger.remember(name.clone(), after).await?;
            return Ok(false);
        }
    };
    tools.metrics.provider_up(name, true);
    // That the account is told shows nothing of reading or cancelling: a stop stays until its
    // trial.
    let mut after = before.clone();
    let before_us = shared(tools, party, &account).await?;
    after.other_account = other_account(&party.config, &before, &account, before_us);
    if after.other_account.is_none() {
        after.account = Some(account.clone());
        after.kind = Some(party.config.kind());
    } else if before.other_account.is_none() {
        tracing::error!(provider = %name, %account, "the credentials of {name} belong to another account; nothing is sent there");
    }
    let ours = after.other_account.is_none();
    if after != before {
        tools.ledger.remember(name.clone(), after).await?;
    }
    // Two names may have begun at once, each before the other was remembered.
    Ok(ours && !shared(tools, party, &account).await?)
}

/// Whether another name is remembered for the account, in the file or not: what was asked for
/// under it is not to be asked for a second time under this one.
async fn shared(tools: &Tools, party: &Party, account: &str) -> Result<bool, LedgerError> {
    let names = tools
        .ledger
        .names_of_account(party.config.kind(), account.to_owned())
        .await?;
    Ok(names.iter().any(|other| *other != party.config.name))
}

/// Other secrets, and those of a process that has just begun, deserve a try at once.
pub async fn try_credentials_again(
    tools: &Tools,
    config: &ProviderConfig,
) -> Result<(), LedgerError> {
    let mut memory = tools.ledger.provider(config.name.clone()).await?;
    let stopped = memory
        .stop
        .take_if(|stop| stop.reason == HoldReason::Credentials);
    if stopped.is_some() {
        tools.ledger.remember(config.name.clone(), memory).await?;
    }
    Ok(())
}

/// A secret is missing: everything is held until it is there.
pub async fn without_credentials(
    tools: &Tools,
    config: &ProviderConfig,
    why: String,
) -> Result<(), LedgerError> {
    let before = tools.ledger.provider(config.name.clone()).await?;
    let known = before
        .stop
        .as_ref()
        .is_some_and(|stop| stop.reason == HoldReason::Credentials && stop.why == why);
    if known {
        return Ok(());
    }
    tracing::warn!(provider = %config.name, "no credentials for {}: {why}", config.name);
    tools.metrics.provider_up(&config.name, false);
    let sign = Sign::Credentials {
        why,
        of_writes: false,
    };
    let after = health::after(&before, &sign, tools.clock.now(), 1);
    tools.ledger.remember(config.name.clone(), after).await
}

fn other_account(
    config: &ProviderConfig,
    before: &ProviderMemory,
    account: &str,
    shared: bool,
) -> Option<String> {
    let meant = match &config.auth {
        Auth::Lotus {
            organization_id, ..
        } => organization_id.as_deref(),
        Auth::Kajabi(_) | Auth::Revere { .. } => None,
    };
    let same_kind = before.kind.is_none_or(|kind| kind == config.kind());
    let known = before
        .account
        .as_deref()
        .is_none_or(|known| known == account);
    let ours = same_kind && known && meant.is_none_or(|meant| meant == account) && !shared;
    (!ours).then(|| account.to_owned())
}
