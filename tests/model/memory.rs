//! What the guards look at: pauses, stops, comparisons and verdicts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lapsed::model::ids::ProviderName;
use lapsed::model::memory::{Comparison, Pause, Pauses, ProviderMemory, Verdict};

use super::name;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn pause(by: &str) -> Pause {
    Pause {
        since: at(0),
        by: by.to_owned(),
        reason: "an incident".to_owned(),
    }
}

#[test]
fn a_pause_lasts_until_its_moment_and_no_pause_is_longer_than_an_hour() {
    let memory = |seconds| ProviderMemory {
        resume_at: Some(at(seconds)),
        ..ProviderMemory::default()
    };
    for (seconds, paused) in [
        (-1, false),
        (0, false),
        (1, true),
        (3_600, true),
        (3_601, false),
    ] {
        let until = memory(seconds).pause_until(at(0));
        assert_eq!(until, paused.then_some(at(seconds)), "{seconds}");
    }
    assert_eq!(ProviderMemory::default().pause_until(at(0)), None);
}

#[test]
fn a_pause_of_everything_comes_before_one_of_a_provider() {
    let mut pauses = Pauses::default();
    assert_eq!(pauses.of(&name("a")), None);
    pauses.providers.insert(name("a"), pause("ann"));
    assert_eq!(pauses.of(&name("a")), Some(&pause("ann")));
    assert_eq!(pauses.of(&name("b")), None);
    pauses.all = Some(pause("dana"));
    for named in ["a", "b"] {
        assert_eq!(pauses.of(&name(named)), Some(&pause("dana")));
    }
}

#[test]
fn batches_of_a_comparison_add_up_by_provider() {
    let of = |named: &str, count| -> BTreeMap<ProviderName, u64> { [(name(named), count)].into() };
    let mut total = Comparison::default();
    for (named, by) in [("a", 1), ("b", 10), ("a", 100)] {
        total.add(Comparison {
            new: of(named, by),
            sooner: of(named, 2 * by),
            changed: 3 * by,
            same: 4 * by,
            finished: 5 * by,
            kept: of(named, 6 * by),
        });
    }
    let both = |a, b| BTreeMap::from([(name("a"), a), (name("b"), b)]);
    let expected = Comparison {
        new: both(101, 10),
        sooner: both(202, 20),
        changed: 333,
        same: 444,
        finished: 555,
        kept: both(606, 60),
    };
    assert_eq!(total, expected);
}

#[test]
fn a_verdict_lets_through_what_need_not_wait() {
    let verdict = Verdict {
        approval: vec![name("a")],
        removal: vec![name("b")],
        counts: Comparison {
            sooner: [(name("a"), 7), (name("b"), 3)].into(),
            ..Comparison::default()
        },
    };
    assert_eq!(verdict.let_through(), [(name("b"), 3)].into());
}
