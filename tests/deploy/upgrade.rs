//! A ledger that the first version wrote, at work when it was killed, carried on by this one.
//!
//! `first_release/` holds it as the binary of that time left it: one request was on its way, of another
//! one the answer was lost, one was done, one held, two were to come. It was a machine that has been
//! started anew since: another boot stands in it.

use std::collections::BTreeMap;

use lapsed::sandbox::cast;

use crate::support::{Home, post, project, until};

fn items() -> String {
    let lines = [
        format!("{{id: \"{}\", provider: academy}}", cast::KAJABI_ACTIVE),
        format!(
            "{{id: \"{}\", provider: academy, when: 2099-12-31}}",
            cast::KAJABI_ACTIVE_TOO
        ),
        format!(
            "{{id: \"{}\", provider: academy}}",
            cast::KAJABI_PAYMENT_PLAN
        ),
        format!("{{id: {}, provider: donations}}", cast::REVERE_MONTHLY),
        format!(
            "{{id: {}, provider: donations, when: 2099-12-31}}",
            cast::REVERE_ANNUAL
        ),
        format!("{{id: {METERED}, provider: metered}}"),
    ];
    lines.map(|line| format!("\n  - {line}")).concat()
}

const METERED: &str = "sub_1a7e0000000040008000000000000001";

/// What the killed version had sent, and nobody read the answer of.
fn cancelled_before(home: &Home) {
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        cast::KAJABI_CLIENT_ID,
        cast::KAJABI_CLIENT_SECRET
    );
    let typed = [("content-type", "application/x-www-form-urlencoded")];
    let token = post(home.sandbox(), "/kajabi/v1/oauth/token", &typed, &form).json();
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
    let path = format!(
        "/kajabi/v1/purchases/{}/cancel_subscription",
        cast::KAJABI_ACTIVE
    );
    let sent = post(home.sandbox(), &path, &[("authorization", &bearer)], "");
    assert_eq!(sent.status, 200, "{}", sent.body);
}

#[test]
fn what_the_first_version_left_open_and_unknown_is_neither_lost_nor_repeated() {
    let home = Home::new();
    cancelled_before(&home);
    let before = home.writes().len();
    let kept = project("tests/deploy/first_release");
    std::fs::copy(kept.join("ledger.sqlite"), home.ledger()).unwrap();
    let mark = format!("{}.mark", home.ledger().display());
    std::fs::copy(kept.join("mark.json"), mark).unwrap();
    home.write_text(&home.text("limits: {approval_above: 6}\n", &items()));
    let _daemon = home.daemon();

    // On its way, and it had arrived: found so, and not sent again.
    home.until_state(&format!("academy/{}", cast::KAJABI_ACTIVE), "canceled");
    // Its answer was lost, and so was the request: sent again once that is sure.
    let lost = format!("donations/{}", cast::REVERE_MONTHLY);
    home.until_state(&lost, "canceled");
    until("it has ended", || {
        home.truth_of(cast::REVERE_MONTHLY)["cancels_effective"] == 1
    });
    let writes = home.writes().split_off(before);
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].contains(cast::REVERE_MONTHLY), "{writes:?}");
    let states: BTreeMap<String, String> = [
        format!("academy/{}", cast::KAJABI_ACTIVE_TOO),
        format!("academy/{}", cast::KAJABI_PAYMENT_PLAN),
        format!("donations/{}", cast::REVERE_ANNUAL),
        format!("metered/{METERED}"),
    ]
    .map(|key| (key.clone(), home.state(&key)))
    .into();
    let states: Vec<&str> = states.values().map(String::as_str).collect();
    assert_eq!(states, ["scheduled", "held", "scheduled", "canceled"]);
    home.run(&["ledger", "verify"]).ended(0);
    let record = home.run(&["history", &lost]).ended(0).out;
    assert!(
        record.contains("2026-11-25 12:00"),
        "the old record goes on: {record}"
    );
}
