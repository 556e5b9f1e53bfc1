//! What the guards look at: pauses, stops, comparisons and verdicts.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lapsed::model::ids::ProviderName;
use lapsed::model::memory::{Age, Comparison, Destination, Pause, Pauses, ProviderMemory, Verdict};
use lapsed::model::provider::ProviderKind;

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
    // What was compared is new, changed, the same or finished; the other counts are of some of these.
    assert_eq!(total.items(), 101 + 10 + 333 + 444 + 555);
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

fn place(origin: &str, proxy: Option<&str>, ca: Option<&str>) -> Destination {
    Destination {
        origin: origin.to_owned(),
        proxy: proxy.map(str::to_owned),
        ca: ca.map(str::to_owned),
    }
}

#[test]
fn only_a_known_place_the_kinds_own_or_this_machine_is_allowed_later() {
    let known = |destination: Option<&Destination>| ProviderMemory {
        destination: destination.cloned(),
        ..ProviderMemory::default()
    };
    let usual = place("https://api.reverepayments.dev", None, None);
    let ours = place("https://billing.example.com", None, None);
    let here = place("http://127.0.0.1:9750", None, None);
    let allows = |memory: &ProviderMemory, to: &Destination| {
        memory.allows(to, ProviderKind::Revere, Age::Later)
    };
    for memory in [known(None), known(Some(&ours)), known(Some(&here))] {
        assert!(allows(&memory, &usual));
        for to in [
            place("https://collector.example.com", None, None),
            place("https://billing.example.com:8443", None, None),
            place("https://api.reverepayments.dev", Some("http://p/"), None),
            place("https://api.reverepayments.dev", None, Some("c0ffee")),
            place("https://api.kajabi.com", None, None),
        ] {
            assert!(!allows(&memory, &to), "{memory:?} {to}");
        }
    }
    assert!(allows(&known(Some(&ours)), &ours));
    assert!(!allows(&known(None), &ours));
    assert!(known(None).allows(&ours, ProviderKind::Revere, Age::First));
    // From this machine to this machine: the sandbox has another port each time.
    assert!(allows(
        &known(Some(&here)),
        &place("http://127.0.0.1:1", None, None)
    ));
    assert!(!allows(&known(Some(&ours)), &here));
    // A digest names the provider and every part.
    let mut digests: Vec<String> = [
        &ours,
        &place("https://billing.example.com", Some("c"), None),
        &place("https://billing.example.com", None, Some("c")),
        &place("https://billing.example.comc", None, None),
    ]
    .iter()
    .map(|place| place.digest(&name("a")))
    .collect();
    digests.push(ours.digest(&name("b")));
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 5);
    assert!(digests.iter().all(|it| it.len() == 32));
}

/// A ledger that an older version made knows whose credentials they are, and not where they went.
#[test]
fn what_an_older_version_bound_may_go_where_the_file_says() {
    let bound = ProviderMemory {
        account: Some("4801".to_owned()),
        ..ProviderMemory::default()
    };
    let ours = place("https://billing.example.com", None, None);
    assert!(bound.allows(&ours, ProviderKind::Revere, Age::Later));
}

#[test]
fn only_plain_http_stays_on_this_machine() {
    let here = place("http://127.0.0.1:9750", None, None);
    let memory = ProviderMemory {
        destination: Some(here.clone()),
        ..ProviderMemory::default()
    };
    let allows = |memory: &ProviderMemory, to: &Destination| {
        memory.allows(to, ProviderKind::Revere, Age::Later)
    };
    let proxied = place("http://127.0.0.1:9750", Some("http://p/"), None);
    let tls = place("https://127.0.0.1:9750", None, None);
    assert!(!allows(&memory, &proxied) && !allows(&memory, &tls));
    assert!(allows(&ProviderMemory::default(), &here));
    assert!(!allows(&ProviderMemory::default(), &proxied));
}

#[test]
fn a_destination_is_told_whole_and_with_the_line_that_allows_it() {
    let there = place(
        "https://billing.example.com",
        Some("http://p:3128/"),
        Some("c0ffee0123456789abcdef"),
    );
    assert_eq!(
        there.to_string(),
        "https://billing.example.com through the proxy http://p:3128/ trusting the certificate authority c0ffee0123456789…"
    );
    let straight = place("https://billing.example.com", None, None);
    assert_eq!(straight.to_string(), "https://billing.example.com");
    let digest = there.digest(&name("a"));
    assert_eq!(
        there.refusal(&name("a")),
        format!(
            "its credentials would go to {there}, which nobody on this host has allowed; `lapsed approve {digest}` does"
        )
    );
}
