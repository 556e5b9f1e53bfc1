//! Why something may not act now.
//!
//! The list is closed (design, section 3) and ordered (section 5): where several reasons
//! hold at once, the first in the order names the hold and the others are told beside it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A reason to hold. Declared in the order of the guards: the first that says no names the
/// hold, so `Ord` is that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    /// The ledger is empty, restored or foreign where it should not be.
    LedgerDoubt,
    /// The credentials belong to another account than before.
    AccountChanged,
    /// The credentials are missing or not accepted.
    Credentials,
    /// Too many failures in a row, or the provider asked for a pause.
    ProviderStopped,
    /// The provider's clock and ours differ by more than 300 s.
    ClockSkew,
    /// A person paused the provider, or everything.
    Paused,
    /// A freeze of the file covers this moment.
    Frozen,
    /// The newest text of the file is not valid, and the item's lines are not in it.
    ConfigStale,
    /// Too much vanished from the file at once.
    Removal,
    /// The object read is not the one that the item expects.
    Expectation,
    /// The provider's `require_expect` names what the item leaves out.
    ExpectationMissing,
    /// The provider knows no such subscription.
    NotFound,
    /// The subscription has not begun.
    NotStarted,
    /// An instalment plan: cancelling would write a debt off.
    PaymentPlan,
    /// Another record of the same customer and plan goes on.
    Successor,
    /// A status that no document explains.
    StateUnclear,
    /// Nobody says when the period ends.
    PeriodEndUnknown,
    /// No tick falls into the window before the period's end.
    NoSafeWindow,
    /// The last reading failed.
    ProviderUnavailable,
    /// A person must approve it.
    Approval,
    /// The writes of this hour or day are used up.
    Limit,
    /// The provider is in observe mode: it would be cancelled now.
    ObserveMode,
}

impl HoldReason {
    /// Every reason, in the order of the guards.
    pub const ALL: [Self; 22] = [
        Self::LedgerDoubt,
        Self::AccountChanged,
        Self::Credentials,
        Self::ProviderStopped,
        Self::ClockSkew,
        Self::Paused,
        Self::Frozen,
        Self::ConfigStale,
        Self::Removal,
        Self::Expectation,
        Self::ExpectationMissing,
        Self::NotFound,
        Self::NotStarted,
        Self::PaymentPlan,
        Self::Successor,
        Self::StateUnclear,
        Self::PeriodEndUnknown,
        Self::NoSafeWindow,
        Self::ProviderUnavailable,
        Self::Approval,
        Self::Limit,
        Self::ObserveMode,
    ];

    /// The word in output, metrics and the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LedgerDoubt => "ledger_doubt",
            Self::AccountChanged => "account_changed",
            Self::Credentials => "credentials",
            Self::ProviderStopped => "provider_stopped",
            Self::ClockSkew => "clock_skew",
            Self::Paused => "paused",
            Self::Frozen => "frozen",
            Self::ConfigStale => "config_stale",
            Self::Removal => "removal",
            Self::Expectation => "expectation",
            Self::ExpectationMissing => "expectation_missing",
            Self::NotFound => "not_found",
            Self::NotStarted => "not_started",
            Self::PaymentPlan => "payment_plan",
            Self::Successor => "successor",
            Self::StateUnclear => "state_unclear",
            Self::PeriodEndUnknown => "period_end_unknown",
            Self::NoSafeWindow => "no_safe_window",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::Approval => "approval",
            Self::Limit => "limit",
            Self::ObserveMode => "observe_mode",
        }
    }

    /// The reason of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// Whether it is a gate: computed from what holds now, never stored with an item.
    pub const fn is_gate(self) -> bool {
        matches!(
            self,
            Self::LedgerDoubt
                | Self::AccountChanged
                | Self::Credentials
                | Self::ProviderStopped
                | Self::ClockSkew
                | Self::Paused
                | Self::Frozen
                | Self::Limit
                | Self::ObserveMode
        )
    }

    /// Whether a look at the provider found it, so that only another look can end it.
    pub const fn from_look(self) -> bool {
        !self.is_gate() && !matches!(self, Self::ConfigStale | Self::Removal | Self::Approval)
    }

    /// Whether it closes the provider for writes alone, so that looking is still allowed.
    pub const fn lets_look(self) -> bool {
        matches!(
            self,
            Self::Paused | Self::Frozen | Self::Limit | Self::ObserveMode
        )
    }

    /// What would free it, as a sentence for a person.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::LedgerDoubt => {
                "make sure that this ledger is the newest one, then run `lapsed ledger trust`"
            }
            Self::AccountChanged => {
                "put the credentials of the known account back, give the new account a name of its own, or say with `formerly` what the provider was called; where the credentials would go to a new place, `lapsed approve DIGEST` allows it"
            }
            Self::Credentials => {
                "give credentials that the provider accepts and that may cancel, in the variable or file that the provider's lines under `providers` name; it is tried again by itself"
            }
            Self::ProviderStopped => "it is tried again by itself; see `lapsed status` for when",
            Self::ClockSkew => {
                "set this machine's clock; the provider's differs by more than 300 s"
            }
            Self::Paused => "run `lapsed resume PROVIDER`, or without a name for all",
            Self::Frozen => "wait for the freeze to end, or change `freezes` in the file",
            Self::ConfigStale => "mend the file; `lapsed check` names every problem in it",
            Self::Removal => {
                "put the lines back, or approve the digest that `lapsed plan` prints, which withdraws them"
            }
            Self::Expectation => {
                "compare the id with the customer, plan or offer that `expect` names, and mend the line"
            }
            Self::ExpectationMissing => {
                "add what the provider's `require_expect` names to the item's `expect`"
            }
            Self::NotFound => "compare the id with the provider's, and mend the line or remove it",
            Self::NotStarted => "wait until it has started; it is looked at again by itself",
            Self::PaymentPlan => {
                "cancelling writes the rest of the debt off; to allow it, set `payment_plans: cancel` under the provider's name in `providers`, else take the line out"
            }
            Self::Successor => {
                "add a line for the record that goes on (this one is settled once that has ended), or remove this one"
            }
            Self::StateUnclear => {
                "look at the subscription at the provider; it is looked at again by itself"
            }
            Self::PeriodEndUnknown => {
                "give the end of the running period: `period_ends` where the provider does not tell it, else a day in `when`"
            }
            Self::NoSafeWindow => {
                "widen the item's `window`, change the provider's `schedule` or the freeze, or give a day in `when`"
            }
            Self::ProviderUnavailable => "it is looked at again by itself",
            Self::Approval => {
                "compare what waits with `lapsed plan`, then run `lapsed approve DIGEST` or list the digest under `approvals` in a later revision"
            }
            Self::Limit => "it takes its turn when the rolling hour or day allows it",
            Self::ObserveMode => {
                "set `mode: enforce`, in the file or under the provider's name in `providers`, to let it happen"
            }
        }
    }
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_guards_is_the_order_of_the_list() {
        assert!(HoldReason::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        for reason in HoldReason::ALL {
            assert_eq!(HoldReason::parse(reason.as_str()), Some(reason));
        }
    }
}
