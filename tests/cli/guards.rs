//! Every guard through the front door: it blocks, names its hold, and lets go.
//!
//! A ledger in doubt and a file that breaks have facts of their own in `beside` and `watch`.

use chrono::{DateTime, Utc};
use lapsed::clock::{Clock as _, SystemClock};
use lapsed::sandbox::cast;
use serde_json::{Value, json};

use crate::support::{Home, until};

const REVERE: &str = cast::REVERE_MONTHLY;

fn now() -> DateTime<Utc> {
    SystemClock::new().now()
}

fn day(ahead: i64) -> String {
    let at = now() + chrono::Duration::days(ahead);
    at.format("%Y-%m-%d").to_string()
}

fn item(provider: &str, id: &str, more: &str) -> String {
    format!("\n  - {{id: \"{id}\", provider: {provider}{more}}}")
}

fn revere(more: &str) -> String {
    item("donations", REVERE, more)
}

/// The state of one item and what names its hold.
fn stands(home: &Home, key: &str) -> (String, Option<String>) {
    let told = home.run(&["explain", key, "--format", "json"]).ended(0);
    let told: Value = serde_json::from_str(&told.out).unwrap();
    let item = &told["items"][0]["item"];
    let reason = item["hold"]["reason"].as_str().map(str::to_owned);
    (
        item["state"].as_str().unwrap_or_default().to_owned(),
        reason,
    )
}

/// One pass with this file.
fn pass(home: &Home, text: &str) {
    home.write_text(text);
    home.run(&["run", "--once"]);
}

/// With the first file the guard holds and nothing is sent; with the second it lets go.
fn blocks_and_lets_go(
    key: &str,
    reason: &str,
    before: impl Fn(&Home) -> String,
    after: impl Fn(&Home) -> String,
) {
    let home = Home::new();
    pass(&home, &before(&home));
    assert_eq!(
        stands(&home, key),
        ("held".to_owned(), Some(reason.to_owned()))
    );
    assert!(home.writes().is_empty(), "{:?}", home.writes());
    let told = home.run(&["explain", key]).ended(0).out;
    assert!(told.contains("To free it: "), "{told}");
    pass(&home, &after(&home));
    assert_eq!(stands(&home, key), ("canceled".to_owned(), None));
    home.run(&["history", "--verify"]).ended(0);
}

fn donations() -> String {
    format!("donations/{REVERE}")
}

#[test]
fn observe_mode() {
    blocks_and_lets_go(
        &donations(),
        "observe_mode",
        |home| {
            home.text("", &revere(""))
                .replace("mode: enforce", "mode: observe")
        },
        |home| home.text("", &revere("")),
    );
}

#[test]
fn a_freeze() {
    let freeze = format!(
        "freezes: [{{name: sale, from: {}, until: {}}}]\n",
        day(-1),
        day(1)
    );
    blocks_and_lets_go(
        &donations(),
        "frozen",
        |home| home.text(&freeze, &revere("")),
        |home| home.text("", &revere("")),
    );
}

#[test]
fn a_freeze_of_some_items_by_label() {
    let freeze = format!(
        "freezes: [{{name: sale, from: {}, until: {}, match: {{labels: {{region: eu}}}}}}]\n",
        day(-1),
        day(1)
    );
    blocks_and_lets_go(
        &donations(),
        "frozen",
        |home| home.text(&freeze, &revere(", labels: {region: eu}")),
        |home| home.text(&freeze, &revere(", labels: {region: us}")),
    );
}

#[test]
fn an_expectation() {
    blocks_and_lets_go(
        &donations(),
        "expectation",
        |home| home.text("", &revere(", expect: {customer: somebody_else}")),
        |home| home.text("", &revere(", expect: {customer: gwc_51c0de}")),
    );
}

#[test]
fn an_expectation_that_is_required() {
    let required = |text: String| {
        text.replace(
            "    type: revere\n",
            "    type: revere\n    require_expect: [plan]\n",
        )
    };
    blocks_and_lets_go(
        &donations(),
        "expectation_missing",
        |home| required(home.text("", &revere(""))),
        |home| {
            required(home.text(
                "",
                &revere(&format!(", expect: {{plan: {}}}", cast::REVERE_PLAN)),
            ))
        },
    );
}

#[test]
fn an_instalment_plan() {
    let items = item("academy", cast::KAJABI_PAYMENT_PLAN, "");
    blocks_and_lets_go(
        &format!("academy/{}", cast::KAJABI_PAYMENT_PLAN),
        "payment_plan",
        |home| home.text("", &items),
        |home| {
            home.text("", &items).replace(
                "    type: kajabi\n",
                "    type: kajabi\n    payment_plans: cancel\n",
            )
        },
    );
}

#[test]
fn credentials() {
    blocks_and_lets_go(
        &donations(),
        "credentials",
        |home| {
            home.text("", &revere(""))
                .replace(cast::REVERE_KEY, "a-wrong-key")
        },
        |home| home.text("", &revere("")),
    );
}

#[test]
fn another_account() {
    let items = item("metered", cast::LOTUS_ACTIVE, "");
    blocks_and_lets_go(
        &format!("metered/{}", cast::LOTUS_ACTIVE),
        "account_changed",
        |home| {
            home.text("", &items)
                .replace(cast::LOTUS_ORGANIZATION, cast::LOTUS_OTHER_ORGANIZATION)
        },
        |home| home.text("", &items),
    );
}

#[test]
fn a_period_whose_end_nobody_tells() {
    let home = Home::new();
    let key = format!("academy/{}", cast::KAJABI_ACTIVE);
    let items = |more: &str| {
        item(
            "academy",
            cast::KAJABI_ACTIVE,
            &format!(", when: end_of_period{more}"),
        )
    };
    pass(&home, &home.text("", &items("")));
    let unknown = ("held".to_owned(), Some("period_end_unknown".to_owned()));
    assert_eq!(stands(&home, &key), unknown);
    // It ends at noon today, so that its window is open.
    let ends = (now() + chrono::Duration::hours(12)).to_rfc3339();
    pass(
        &home,
        &home.text("", &items(&format!(", period_ends: \"{ends}\""))),
    );
    assert_eq!(stands(&home, &key), ("canceled".to_owned(), None));
}

#[test]
fn a_window_without_a_tick() {
    let home = Home::new();
    let key = format!("academy/{}", cast::KAJABI_ACTIVE);
    let ends = (now() + chrono::Duration::days(40)).to_rfc3339();
    let items = item(
        "academy",
        cast::KAJABI_ACTIVE,
        &format!(", when: end_of_period, period_ends: \"{ends}\""),
    );
    let yearly = format!("0 0 {} {} *", now().format("%-d"), now().format("%-m"));
    let text = home.text("", &items).replace("* * * * * *", &yearly);
    pass(&home, &text);
    let unsafe_window = ("held".to_owned(), Some("no_safe_window".to_owned()));
    assert_eq!(stands(&home, &key), unsafe_window);
    pass(&home, &home.text("", &items));
    assert_eq!(stands(&home, &key), ("scheduled".to_owned(), None));
    assert!(home.writes().is_empty());
}

#[test]
fn what_cannot_be_cancelled_as_it_stands_is_held_until_its_line_goes() {
    let home = Home::new();
    let cases = [
        ("academy", "999", "not_found"),
        ("donations", cast::REVERE_PAUSED, "state_unclear"),
        ("metered", cast::LOTUS_NOT_STARTED, "not_started"),
        ("metered", cast::LOTUS_FOREIGN, "expectation"),
    ];
    let items: String = cases
        .iter()
        .map(|(provider, id, _)| item(provider, id, ""))
        .collect();
    pass(&home, &home.text("", &items));
    for (provider, id, reason) in cases {
        let held = ("held".to_owned(), Some(reason.to_owned()));
        assert_eq!(stands(&home, &format!("{provider}/{id}")), held);
    }
    assert!(home.writes().is_empty(), "{:?}", home.writes());
    pass(&home, &home.text("", " []"));
    for (provider, id, _) in cases {
        assert_eq!(stands(&home, &format!("{provider}/{id}")).0, "withdrawn");
    }
}

#[test]
fn a_record_that_goes_on_after_it() {
    let home = Home::new();
    let key = format!("metered/{}", cast::LOTUS_RENEWED);
    let items = item("metered", cast::LOTUS_RENEWED, ", when: end_of_period");
    pass(&home, &home.text("", &items));
    let successor = ("held".to_owned(), Some("successor".to_owned()));
    assert_eq!(stands(&home, &key), successor);
    let told = home.run(&["explain", &key]).ended(0).out;
    let line = format!("- {{id: {}, provider: metered}}", cast::LOTUS_SUCCESSOR);
    let told: Vec<&str> = told.split_whitespace().collect();
    assert!(told.join(" ").contains(&line), "{told:?}");
}

#[test]
fn turning_renewal_off_ends_nothing_before_its_period() {
    let home = Home::new();
    let items = item("metered", cast::LOTUS_ACTIVE, ", when: end_of_period");
    pass(&home, &home.text("", &items));
    let key = format!("metered/{}", cast::LOTUS_ACTIVE);
    assert_eq!(stands(&home, &key), ("ending".to_owned(), None));
    let writes = home.writes();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].contains("/update/"), "{writes:?}");
    let truth = home.truth_of(cast::LOTUS_ACTIVE);
    assert_eq!(truth["detail"]["auto_renew"], false, "{truth}");
    pass(&home, &home.text("", &items));
    assert_eq!(home.writes().len(), 1);
}

#[test]
fn revere_is_cancelled_in_its_window_and_waits_before_it() {
    let home = Home::new();
    let items = |opens: &str| {
        revere(&format!(
            ", when: end_of_period, window: {{opens: {opens}, closes: 1h}}"
        ))
    };
    pass(&home, &home.text("", &items("24h")));
    assert_eq!(stands(&home, &donations()), ("scheduled".to_owned(), None));
    assert!(home.writes().is_empty());
    // A window that is open now.
    pass(&home, &home.text("", &items("30d")));
    assert_eq!(stands(&home, &donations()), ("canceled".to_owned(), None));
}

#[test]
fn a_pause() {
    let home = Home::new();
    pass(&home, &home.text("", " []"));
    home.run(&["pause", "--by", "dana", "--reason", "checking"])
        .ended(0);
    pass(&home, &home.text("", &revere("")));
    assert_eq!(
        stands(&home, &donations()),
        ("held".to_owned(), Some("paused".to_owned()))
    );
    home.run(&["resume"]).ended(0);
    home.run(&["run", "--once"]);
    assert_eq!(stands(&home, &donations()), ("canceled".to_owned(), None));
}

#[test]
fn what_vanishes_at_once() {
    let home = Home::new();
    let line = |n: u32| item("donations", &format!("far-{n}"), ", when: 2099-01-01");
    let all: String = (0..7).map(line).collect();
    pass(&home, &home.text("", &all));
    pass(&home, &home.text("", &line(0)));
    assert_eq!(
        stands(&home, "donations/far-1"),
        ("held".to_owned(), Some("removal".to_owned()))
    );
    pass(&home, &home.text("", &all));
    assert_eq!(
        stands(&home, "donations/far-1"),
        ("scheduled".to_owned(), None)
    );
    pass(&home, &home.text("", &line(0)));
    let plan = home
        .run(&["plan", "--offline", "--format", "json"])
        .ended(0)
        .out;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["digests"][0]["what"], "removal", "{plan}");
    let digest = plan["digests"][0]["digest"].as_str().unwrap();
    home.run(&["approve", digest]).ended(0);
    home.run(&["run", "--once"]);
    assert_eq!(stands(&home, "donations/far-1").0, "withdrawn");
    assert_eq!(stands(&home, "donations/far-0").0, "scheduled");
}

#[test]
fn a_limit_that_survives_being_killed() {
    let home = Home::new();
    let items = [
        revere(""),
        item("academy", cast::KAJABI_ACTIVE, ""),
        item("academy", cast::KAJABI_ACTIVE_TOO, ""),
    ]
    .concat();
    home.write_text(&home.text("limits: {per_hour: 1}\n", &items));
    let daemon = home.daemon();
    until("the one write of the hour was made", || {
        home.writes().len() == 1
    });
    until("the rest is held", || {
        let status = home.run(&["status", "--format", "json"]).out;
        status.contains("\"limit\": 2") || status.contains("\"limit\": 1")
    });
    daemon.kill();
    let daemon = home.daemon();
    home.run(&["reconcile"]).ended(0);
    // Which of them came first is the race of two providers, and of requests at one of them.
    let keys = [
        donations(),
        format!("academy/{}", cast::KAJABI_ACTIVE),
        format!("academy/{}", cast::KAJABI_ACTIVE_TOO),
    ];
    until("the limit holds the other two after the kill", || {
        let limited = ("held".to_owned(), Some("limit".to_owned()));
        keys.iter()
            .filter(|key| stands(&home, key) == limited)
            .count()
            == 2
    });
    assert_eq!(home.writes().len(), 1);
    // Raised, it lets go.
    home.write_text(&home.text("limits: {per_hour: 10}\n", &items));
    for key in &keys {
        home.until_state(key, "canceled");
    }
    assert_eq!(home.writes().len(), 3);
    drop(daemon);
}

#[test]
fn failures_in_a_row_a_reading_that_fails_and_a_clock_that_differs() {
    let home = Home::new();
    let kajabi = format!("academy/{}", cast::KAJABI_ACTIVE);
    let lotus = format!("metered/{}", cast::LOTUS_ACTIVE);
    let items = [
        revere(""),
        item("donations", cast::REVERE_ANNUAL, ""),
        item("academy", cast::KAJABI_ACTIVE, ""),
        item("metered", cast::LOTUS_ACTIVE, ""),
    ]
    .concat();
    home.fault(&json!({"provider": "revere", "operation": "cancel", "status": 500, "times": 2}));
    home.fault(&json!({"provider": "kajabi", "operation": "get", "status": 500, "times": 1}));
    home.fault(&json!({"provider": "lotus", "operation": "list", "date_skew": "+1h", "times": 2}));
    let text = home.text("", &items).replace(
        "    type: revere\n",
        "    type: revere\n    concurrency: 1\n    limits: {stop_after_failures: 1}\n",
    );
    home.write_text(&text);
    let _daemon = home.daemon();
    until("a failure stops the provider", || {
        let annual = stands(&home, &format!("donations/{}", cast::REVERE_ANNUAL));
        let monthly = stands(&home, &donations());
        let stopped = ("held".to_owned(), Some("provider_stopped".to_owned()));
        annual == stopped || monthly == stopped
    });
    until("a reading that fails holds", || {
        stands(&home, &kajabi) == ("held".to_owned(), Some("provider_unavailable".to_owned()))
    });
    until("a clock that differs holds", || {
        stands(&home, &lotus) == ("held".to_owned(), Some("clock_skew".to_owned()))
    });
    // Each is tried again by itself.
    for key in [&kajabi, &lotus, &donations()] {
        home.until_state(key, "canceled");
    }
    home.until_state(&format!("donations/{}", cast::REVERE_ANNUAL), "canceled");
    home.run(&["history", "--verify"]).ended(0);
}
