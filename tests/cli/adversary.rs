//! Whoever wants a write that must not be, against the real binary.

use serde_json::json;

use crate::support::{Home, until};

const A: &str = "0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01";
const B: &str = "0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d02";

#[test]
fn an_included_file_that_lost_its_end_mark_is_not_accepted() {
    let home = Home::new();
    let text = home
        .text("include: [\"more/*.yaml\"]\n", " []")
        .replace("mode: enforce", "mode: observe");
    home.write_text(&text);
    let more = home.path().join("more");
    std::fs::create_dir(&more).unwrap();
    let whole = format!("defaults: {{provider: donations}}\ncancellations:\n  - id: {A}\n...\n");
    std::fs::write(more.join("a.yaml"), &whole).unwrap();
    home.run(&["run", "--once"]).ended(0);
    // Cut in the middle of the id: another subscription, perhaps.
    let cut = whole.find("\n...").unwrap() - 4;
    std::fs::write(more.join("a.yaml"), &whole[..cut]).unwrap();
    home.run(&["run", "--once"]).ended(78);
}

#[test]
fn two_names_for_one_account_send_no_cancel_twice() {
    let home = Home::new();
    let text = home.text(
        "",
        "\n  - {id: \"2145871\", provider: academy}\n  - {id: \"2145871\", provider: twin}",
    );
    let begins = text.find("  academy:").unwrap();
    let ends = text.find("  donations:").unwrap();
    let twin = text[begins..ends].replace("academy", "twin");
    let text = format!("{}{twin}{}", &text[..ends], &text[ends..]);
    home.write_text(&text);
    home.run(&["run", "--once"]);
    assert!(home.writes().len() <= 1, "{:?}", home.writes());
}

#[test]
fn nothing_is_sent_after_the_signal_to_stop() {
    let home = Home::new();
    let items = "\n  - {id: 0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01, provider: donations}\n  - {id: 0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d02, provider: donations}";
    let text = home.text("", items).replace(
        "rate_limit: 1000/s\n    timeout: 2s\n    resend_after: 4s",
        "rate_limit: 1000/s\n    timeout: 5s\n    resend_after: 20s\n    concurrency: 1",
    );
    home.write_text(&text);
    home.fault(&json!({"provider": "revere", "operation": "cancel", "delay": "3s", "times": 9}));
    let mut daemon = home.daemon();
    until("the first cancel is there", || !home.writes().is_empty());
    until("both are journaled", || {
        [A, B]
            .iter()
            .all(|id| home.state(&format!("donations/{id}")) == "sending")
    });
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    assert_eq!(home.writes().len(), 1, "{:?}", home.writes());
}

#[test]
fn one_pass_without_a_secret_says_so() {
    let home = Home::new();
    let text = home
        .text("", &format!("\n  - {{id: {A}, provider: donations}}"))
        .replace(
            "api_key: {value: sandbox-revere-key}",
            "api_key: {env: NOT_THERE}",
        );
    assert!(text.contains("NOT_THERE"), "{text}");
    home.write_text(&text);
    let ran = home.run(&["run", "--once"]).ended(1);
    assert!(ran.err.contains("donations: credentials"), "{}", ran.err);
    assert_eq!(home.state(&format!("donations/{A}")), "held");
}
