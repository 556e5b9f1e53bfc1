//! `run --once`, `demo`, and ledgers that cannot be worked with.

use serde_json::{Value, json};

use crate::support::{Home, Ran, lapsed};

const THREE: &str = r#"
  - {id: "2145871", provider: academy}
  - {id: 0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01, provider: donations, reason: Duplicate Order}
  - {id: sub_1a7e0000000040008000000000000001, provider: metered}"#;

const KEYS: [&str; 3] = [
    "academy/2145871",
    "donations/0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01",
    "metered/sub_1a7e0000000040008000000000000001",
];

#[test]
fn one_pass_cancels_at_all_three_providers_and_the_next_does_nothing() {
    let home = Home::new();
    home.write(THREE);
    let first = home.run(&["run", "--once"]).ended(0);
    assert!(
        first.out.contains("3 sent, 3 done, 0 failed, 0 unknown"),
        "{}",
        first.out
    );
    for key in KEYS {
        assert_eq!(home.state(key), "canceled");
        let (_, id) = key.split_once('/').unwrap();
        assert_eq!(home.truth_of(id)["cancels_effective"], 1, "{key}");
    }
    let second = home.run(&["run", "--once"]).ended(0);
    assert!(second.out.contains("0 sent, 0 done"), "{}", second.out);
    assert_eq!(home.writes().len(), 3);
    let history = home.run(&["history", "--verify"]).ended(0);
    assert!(history.out.contains("3"), "{}", history.out);
}

/// The documents: Kajabi "Cancel subscription", Revere "Cancel a subscription" (its example),
/// Lotus `SubscriptionRecordCancelSerializer`.
#[test]
fn each_cancel_goes_over_the_wire_as_its_document_has_it() {
    let home = Home::new();
    home.write(THREE);
    home.run(&["run", "--once"]).ended(0);
    let log = crate::support::get(home.sandbox(), "/sandbox/requests").json();
    let sent = |provider: &str| -> Value {
        let requests = log["requests"].as_array().unwrap();
        let cancels: Vec<&Value> = requests
            .iter()
            .filter(|it| it["provider"] == provider && it["operation"] == "cancel")
            .collect();
        assert_eq!(cancels.len(), 1, "{provider}");
        cancels[0].clone()
    };
    let header = |request: &Value, name: &str| -> Option<String> {
        let headers = request["headers"].as_array().unwrap();
        headers
            .iter()
            .find(|it| it[0] == name)
            .map(|it| it[1].as_str().unwrap().to_owned())
    };
    let kajabi = sent("kajabi");
    assert_eq!(kajabi["method"], "POST");
    assert_eq!(kajabi["path"], "/v1/purchases/2145871/cancel_subscription");
    assert_eq!(kajabi["body"], "");
    assert_eq!(header(&kajabi, "authorization").unwrap(), "Bearer ***");
    let revere = sent("revere");
    assert_eq!(revere["method"], "PUT");
    assert_eq!(
        revere["path"],
        "/api/v1/groups/sandbox-group/revere_pay/sandbox-account/recurring/subscription/0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01/cancel"
    );
    assert_eq!(revere["body"], r#"{"reason":"Duplicate Order"}"#);
    // The log masks the key; no scheme stands before it.
    assert_eq!(header(&revere, "authorization").unwrap(), "***");
    let lotus = sent("lotus");
    assert_eq!(lotus["method"], "POST");
    assert_eq!(
        lotus["path"],
        "/api/subscriptions/sub_1a7e0000000040008000000000000001/cancel/"
    );
    let body: Value = serde_json::from_str(lotus["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"flat_fee_behavior": null, "usage_behavior": "bill_full", "invoicing_behavior": "invoice_now"})
    );
    assert!(header(&lotus, "x-api-key").is_some());
    assert!(header(&lotus, "authorization").is_none());
}

#[test]
fn observe_mode_looks_and_sends_nothing() {
    let home = Home::new();
    home.write_text(
        &home
            .text("", THREE)
            .replace("mode: enforce", "mode: observe"),
    );
    let ran = home.run(&["run", "--once"]).ended(0);
    assert!(ran.out.contains("0 sent"), "{}", ran.out);
    assert!(home.writes().is_empty());
    for key in KEYS {
        assert_eq!(home.state(key), "held");
    }
    let explained = home.run(&["explain", KEYS[0]]).ended(0);
    assert!(explained.out.contains("observe_mode"), "{}", explained.out);
}

#[test]
fn what_the_provider_refuses_is_1_and_names_the_words() {
    let home = Home::new();
    home.write("\n  - {id: \"2145871\", provider: academy}");
    home.fault(&json!({"provider": "kajabi", "operation": "cancel", "status": 422}));
    home.run(&["run", "--once"]).ended(1);
    assert_eq!(home.state(KEYS[0]), "failed");
    let status = home.run(&["status"]).ended(0);
    assert!(status.out.contains("failed"), "{}", status.out);
}

#[test]
fn an_answer_that_got_lost_is_resolved_by_reading_and_never_sent_again() {
    let home = Home::new();
    home.write(THREE);
    for provider in ["kajabi", "revere", "lotus"] {
        home.fault(&json!({"provider": provider, "operation": "cancel", "drop": "after"}));
    }
    home.run(&["run", "--once"]).ended(0);
    for key in KEYS {
        assert_eq!(home.state(key), "canceled");
    }
    assert_eq!(home.writes().len(), 3);
}

#[test]
fn one_pass_whose_provider_cannot_be_reached_is_1_and_says_so() {
    let home = Home::new();
    let nowhere = home
        .text("", THREE)
        .replace(&home.sandbox().to_string(), "127.0.0.1:1");
    home.write_text(&nowhere);
    let ran = home.run(&["run", "--once"]).ended(1);
    for name in ["academy", "donations", "metered"] {
        assert!(ran.err.contains(&format!("error: {name}: ")), "{}", ran.err);
    }
}

#[test]
fn the_demo_ends_with_everything_settled_and_leaves_nothing_behind() {
    let home = Home::new();
    let mut command = lapsed();
    command
        .current_dir(home.path())
        .env("TMPDIR", home.path())
        .args(["demo", "--once"]);
    let ran = Ran::of(command.output().unwrap()).ended(0);
    for fragment in [
        "academy",
        "donations",
        "metered",
        "canceled",
        "payment_plan",
        "6 subscriptions cancelled",
    ] {
        assert!(ran.out.contains(fragment), "{fragment}: {}", ran.out);
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn a_ledger_that_cannot_be_worked_with_is_refused_with_a_named_reason() {
    let home = Home::new();
    home.write(" []");
    let path = home.path();
    std::fs::write(
        path.join("junk.db"),
        "this is no database, whatever its name",
    )
    .unwrap();
    std::fs::create_dir(path.join("real")).unwrap();
    std::os::unix::fs::symlink(path.join("real"), path.join("link")).unwrap();
    std::fs::write(path.join("real/there.db"), "").unwrap();
    std::os::unix::fs::symlink(path.join("real/there.db"), path.join("link.db")).unwrap();
    for (ledger, says) in [
        ("junk.db", "not a database"),
        ("link/lapsed.db", "symlink"),
        ("link.db", "symlink"),
    ] {
        let location = format!("sqlite:{}", path.join(ledger).display());
        let ran = home.run(&["run", "--once", "--ledger", &location]).ended(1);
        assert!(ran.err.contains(says), "{ledger}: {}", ran.err);
    }
    let postgres = home
        .run(&["run", "--once", "--ledger", "postgres://x/y"])
        .ended(1);
    assert!(postgres.err.contains("not supported"), "{}", postgres.err);
    assert!(home.writes().is_empty());
}

#[test]
fn a_second_daemon_on_one_ledger_is_refused() {
    let home = Home::new();
    home.write(" []");
    let _first = home.daemon();
    let second = home.run(&["run", "--listen", "127.0.0.1:0"]).ended(1);
    assert!(
        second.err.contains("another daemon holds"),
        "{}",
        second.err
    );
}

#[test]
fn commands_that_need_a_ledger_say_that_there_is_none() {
    let home = Home::new();
    home.write(" []");
    for command in ["status", "history", "pause", "resume", "reconcile"] {
        let told = home.run(&[command]).ended(1);
        assert!(
            told.err.contains("there is no ledger"),
            "{command}: {}",
            told.err
        );
    }
}
