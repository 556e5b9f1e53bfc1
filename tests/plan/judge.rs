//! What the guards say of a revision: what comes sooner, and what vanished, over all providers
//! and at each.

use std::collections::BTreeMap;

use lapsed::config::{Limits, ProviderLimits, Share};
use lapsed::model::ids::ProviderName;
use lapsed::model::memory::{Comparison, Verdict};
use lapsed::model::provider::ProviderKind;
use lapsed::plan::judge::{Guards, judge};

use super::kit::provider;

type Counts = BTreeMap<ProviderName, u64>;

fn named(text: &str) -> ProviderName {
    ProviderName::parse(text).unwrap()
}

fn counts(of: &[(&str, u64)]) -> Counts {
    of.iter()
        .map(|(name, count)| (named(name), *count))
        .collect()
}

/// The guards of a file whose provider `a` has limits of its own.
fn guards(limits: Limits, own: ProviderLimits) -> Guards {
    let mut a = provider(ProviderKind::Revere, "0 * * * *");
    a.limits = own;
    Guards::of(&limits, &[(named("a"), a)].into())
}

fn common(approval_above: u64) -> Limits {
    Limits {
        approval_above,
        ..Limits::default()
    }
}

fn of_a(approval_above: u64) -> ProviderLimits {
    ProviderLimits {
        approval_above: Some(approval_above),
        ..ProviderLimits::default()
    }
}

fn sooner(guards: &[Guards], through: &Counts, sooner: Counts) -> Vec<ProviderName> {
    let comparison = Comparison {
        sooner,
        ..Comparison::default()
    };
    let Verdict {
        approval,
        removal,
        counts,
    } = judge(guards, &Counts::new(), through, comparison.clone());
    assert_eq!((removal, counts), (Vec::new(), comparison));
    approval
}

fn gone(guards: &[Guards], open: &Counts, kept: Counts) -> Vec<ProviderName> {
    let comparison = Comparison {
        kept,
        ..Comparison::default()
    };
    let verdict = judge(guards, open, &Counts::new(), comparison);
    assert_eq!(verdict.approval, []);
    verdict.removal
}

#[test]
fn above_the_common_limit_all_that_comes_sooner_waits() {
    let guards = [guards(common(10), ProviderLimits::default())];
    let none = Counts::new();
    assert_eq!(sooner(&guards, &none, counts(&[("a", 4), ("b", 6)])), []);
    assert_eq!(
        sooner(&guards, &none, counts(&[("a", 4), ("b", 7)])),
        [named("a"), named("b")]
    );
    // With what the last day let through, wherever that was.
    let through = counts(&[("b", 3), ("c", 3)]);
    assert_eq!(sooner(&guards, &through, counts(&[("a", 4)])), []);
    assert_eq!(sooner(&guards, &through, counts(&[("a", 5)])), [named("a")]);
}

#[test]
fn above_a_providers_own_limit_what_comes_sooner_there_waits() {
    let guards = [guards(common(100), of_a(10))];
    let both = |a, b| counts(&[("a", a), ("b", b)]);
    let none = Counts::new();
    assert_eq!(sooner(&guards, &none, both(10, 50)), []);
    assert_eq!(sooner(&guards, &none, both(11, 50)), [named("a")]);
    // What the last day let through elsewhere does not count here.
    assert_eq!(sooner(&guards, &both(6, 0), both(4, 1)), []);
    assert_eq!(sooner(&guards, &both(7, 0), both(4, 1)), [named("a")]);
    assert_eq!(sooner(&guards, &both(0, 50), both(4, 1)), []);
}

#[test]
fn the_stricter_of_two_revisions_counts() {
    let loose = || guards(common(100), of_a(100));
    let strict = || guards(common(100), of_a(10));
    let none = Counts::new();
    for pair in [[loose(), strict()], [strict(), loose()]] {
        assert_eq!(sooner(&pair, &none, counts(&[("a", 11)])), [named("a")]);
    }
    assert_eq!(sooner(&[loose()], &none, counts(&[("a", 11)])), []);
}

#[test]
fn a_renamed_provider_takes_its_limits_along() {
    let renamed = |from: &str| guards(common(100), of_a(10)).renamed(&named(from), &named("z"));
    let none = Counts::new();
    assert_eq!(
        sooner(&[renamed("a")], &none, counts(&[("z", 11)])),
        [named("z")]
    );
    assert_eq!(sooner(&[renamed("a")], &none, counts(&[("a", 11)])), []);
    assert_eq!(sooner(&[renamed("b")], &none, counts(&[("z", 11)])), []);
}

#[test]
fn more_than_a_share_of_what_is_open_gone_at_once_is_held_but_five_never_are() {
    let above = |share| {
        let limits = Limits {
            removal_above: share,
            ..Limits::default()
        };
        [guards(limits, ProviderLimits::default())]
    };
    let open = counts(&[("a", 20), ("b", 80)]);
    let kept = |a, b| counts(&[("a", a), ("b", b)]);
    // A fifth of all is 20; both providers' count together.
    let fifth = above(Share::Percent(20.0));
    assert_eq!(gone(&fifth, &open, kept(20, 60)), []);
    assert_eq!(gone(&fifth, &open, kept(20, 59)), [named("b")]);
    assert_eq!(gone(&fifth, &open, kept(19, 60)), [named("a"), named("b")]);
    let six = above(Share::Count(6));
    assert_eq!(gone(&six, &open, kept(14, 80)), []);
    assert_eq!(gone(&six, &open, kept(13, 80)), [named("a")]);
    let none = above(Share::Count(0));
    assert_eq!(gone(&none, &open, kept(15, 80)), []);
    assert_eq!(gone(&none, &open, kept(14, 80)), [named("a")]);
    // Where nothing of a provider's is counted any more, all of it is gone.
    assert_eq!(gone(&none, &open, counts(&[("b", 80)])), [named("a")]);
    // More than were open can be kept: lines that came back.
    assert_eq!(gone(&none, &open, kept(25, 80)), []);
}

#[test]
fn a_providers_own_share_counts_what_is_open_there() {
    let own = |share| {
        let limits = Limits {
            removal_above: Share::Percent(100.0),
            ..Limits::default()
        };
        let own = ProviderLimits {
            removal_above: Some(share),
            ..ProviderLimits::default()
        };
        [guards(limits, own)]
    };
    let open = counts(&[("a", 20), ("b", 80)]);
    let kept = |a, b| counts(&[("a", a), ("b", b)]);
    let half = own(Share::Percent(50.0));
    assert_eq!(gone(&half, &open, kept(10, 0)), []);
    assert_eq!(gone(&half, &open, kept(9, 0)), [named("a")]);
    let seven = own(Share::Count(7));
    assert_eq!(gone(&seven, &open, kept(13, 0)), []);
    assert_eq!(gone(&seven, &open, kept(12, 0)), [named("a")]);
}
