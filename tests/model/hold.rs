//! Why something may not act: which reasons are gates, which a look finds, and what frees each.

use std::collections::BTreeSet;

use lapsed::model::hold::HoldReason;

fn those(belongs: impl Fn(HoldReason) -> bool) -> Vec<&'static str> {
    let all = HoldReason::ALL.into_iter();
    all.filter(|it| belongs(*it))
        .map(HoldReason::as_str)
        .collect()
}

#[test]
fn the_gates_are_those_that_hold_a_provider_or_a_moment() {
    assert_eq!(
        those(HoldReason::is_gate),
        [
            "ledger_doubt",
            "account_changed",
            "credentials",
            "provider_stopped",
            "clock_skew",
            "paused",
            "frozen",
            "limit",
            "observe_mode",
        ]
    );
}

#[test]
fn a_look_finds_what_the_provider_says_of_the_item() {
    assert_eq!(
        those(HoldReason::from_look),
        [
            "expectation",
            "expectation_missing",
            "not_found",
            "not_started",
            "payment_plan",
            "successor",
            "state_unclear",
            "period_end_unknown",
            "no_safe_window",
            "provider_unavailable",
        ]
    );
}

#[test]
fn looking_is_allowed_where_only_writing_is_not() {
    let expected = ["paused", "frozen", "limit", "observe_mode"];
    assert_eq!(those(HoldReason::lets_look), expected);
}

#[test]
fn each_reason_has_a_word_and_a_cure_of_its_own() {
    let words: BTreeSet<String> = HoldReason::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), HoldReason::ALL.len());
    assert_eq!(HoldReason::parse("paused"), Some(HoldReason::Paused));
    assert_eq!(HoldReason::parse("Paused"), None);
    let cures: BTreeSet<&str> = HoldReason::ALL.into_iter().map(HoldReason::cure).collect();
    assert_eq!(cures.len(), HoldReason::ALL.len());
    assert!(
        cures
            .iter()
            .all(|cure| cure.len() > 10 && !cure.ends_with('.'))
    );
}

#[test]
fn a_cure_names_the_command_or_the_key_that_frees() {
    for (reason, names) in [
        (HoldReason::LedgerDoubt, "`lapsed ledger trust`"),
        (HoldReason::AccountChanged, "`formerly`"),
        (HoldReason::ProviderStopped, "`lapsed status`"),
        (HoldReason::Paused, "`lapsed resume PROVIDER`"),
        (HoldReason::Frozen, "`freezes`"),
        (HoldReason::ConfigStale, "`lapsed check`"),
        (HoldReason::Removal, "`lapsed plan`"),
        (HoldReason::Expectation, "`expect`"),
        (HoldReason::ExpectationMissing, "`require_expect`"),
        (HoldReason::PaymentPlan, "`payment_plans: cancel`"),
        (HoldReason::PeriodEndUnknown, "`period_ends`"),
        (HoldReason::NoSafeWindow, "`window`"),
        (HoldReason::Approval, "`lapsed approve DIGEST`"),
        (HoldReason::ObserveMode, "`mode: enforce`"),
    ] {
        assert!(reason.cure().contains(names), "{reason}: {}", reason.cure());
    }
}
