//! What the screen tells a person who looks: where things stand, what is wrong with the place that
//! it runs in, and what was mistyped.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use chrono::{DateTime, Utc};
use lapsed::clock::{Clock as _, SystemClock};
use lapsed::sandbox::cast;
use serde_json::Value;

use crate::support::{Home, lapsed};

fn now() -> DateTime<Utc> {
    SystemClock::new().now()
}

fn item(id: &str, more: &str) -> String {
    format!("\n  - {{id: \"{id}\", provider: donations{more}}}")
}

/// The words of a screen, however its lines are broken.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn says(text: &str, expected: &[&str]) {
    let told = words(text);
    for part in expected {
        assert!(told.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn status_tells_what_is_due_and_what_is_held_and_how_each_is_freed() {
    let home = Home::new();
    let later = (now() + chrono::Duration::days(40)).format("%Y-%m-%d");
    let unknown: String = (0..11).map(|n| item(&format!("unknown-{n}"), "")).collect();
    let items = [
        item(cast::REVERE_ANNUAL, &format!(", when: {later}")),
        "\n  - {id: \"2145876\", provider: academy}".to_owned(),
        unknown,
    ]
    .concat();
    home.write(&items);
    home.run(&["run", "--once"]);
    let status = home.run(&["status"]).ended(0).out;
    says(
        &status,
        &[
            "Next due",
            &format!("donations/{} {later} 00:00:00Z", cast::REVERE_ANNUAL),
            "Held, unknown or failed",
            "a purchase without a subscription",
            "lapsed retry academy/2145876",
            "not_found",
            "… and 2 more",
        ],
    );
    // The newest file does not take back what was accepted.
    home.write(" [{}]");
    let status = home.run(&["status"]).ended(0).out;
    says(
        &status,
        &["The newest file is not valid; the accepted revision stays in force: lapsed.yaml"],
    );
}

#[test]
fn what_waits_for_an_approval_is_told_with_what_to_type_and_how_the_file_differs_meanwhile() {
    let home = Home::new();
    let text = |more: &str| home.text("limits: {approval_above: 0}\n", more);
    let key = format!("donations/{}", cast::REVERE_MONTHLY);
    home.write_text(&text(&item(cast::REVERE_MONTHLY, "")));
    home.run(&["run", "--once"]);
    let status = home.run(&["status"]).ended(0).out;
    says(
        &status,
        &["Waiting for an approval: 1 item of lapsed.yaml, due already;"],
    );
    let explained = home.run(&["explain", &key]).ended(0).out;
    says(
        &explained,
        &["It is one of 1 item under `lapsed approve", "approval"],
    );
    home.write_text(&text(&item(cast::REVERE_MONTHLY, ", when: 2100-01-01")));
    let explained = home.run(&["explain", &key]).ended(0).out;
    says(
        &explained,
        &["asks for other terms, which are not accepted yet"],
    );
    home.write_text(&text(" []"));
    let explained = home.run(&["explain", &key]).ended(0).out;
    says(&explained, &["The file as it now is does not ask for it."]);
    let plan = home.run(&["plan", "--offline"]).ended(0).out;
    says(&plan, &[cast::REVERE_MONTHLY]);
}

#[test]
fn an_empty_file_asks_for_nothing() {
    let home = Home::new();
    home.write(" []");
    let plan = home.run(&["plan", "--offline"]).ended(0).out;
    says(&plan, &["The file asks for nothing."]);
    let plan = home.run(&["plan", "--offline", "--format", "markdown"]);
    says(&plan.ended(0).out, &["| nothing changes | 0 |"]);
}

#[test]
fn an_id_that_nobody_knows_is_told_with_the_nearest_one_of_that_provider() {
    let home = Home::new();
    home.write(&item(cast::REVERE_MONTHLY, ""));
    let mistyped = cast::REVERE_MONTHLY.replace("0d01", "0d10");
    let told = home.run(&["explain", &format!("donations/{mistyped}")]);
    let told = told.ended(1).err;
    says(
        &told,
        &[
            "stands neither in the file nor in the ledger",
            &format!("did you mean donations/{}?", cast::REVERE_MONTHLY),
        ],
    );
    let told = home.run(&["explain", "academy/1"]).ended(1).err;
    assert!(!told.contains("did you mean"), "{told}");
}

#[test]
fn check_warns_of_days_and_windows_that_have_gone_by_in_every_format() {
    let home = Home::new();
    let soon = (now() + chrono::Duration::hours(1)).format("%Y-%m-%dT%H:%M:%SZ");
    let ends = |when_missed: &str, id: &str| {
        format!(
            "\n  - {{id: \"{id}\", provider: academy, when: end_of_period, period_ends: \"{soon}\", when_missed: {when_missed}}}"
        )
    };
    let items = [
        item(cast::REVERE_MONTHLY, ", when: 2020-02-29"),
        ends("next_period", "1"),
        ends("ask", "2"),
        ends("now", "3"),
    ]
    .concat();
    home.write(&items);
    let told = home.run(&["check"]).ended(0).out;
    says(
        &told,
        &[
            "its day, 2020-02-29, is more than 24 h in the past",
            "it would wait for the next period (`when_missed`)",
            "a person would be asked (`when_missed`)",
            "it would be cancelled late, at the next tick (`when_missed`)",
        ],
    );
    let json = home.run(&["check", "--format", "json"]).ended(0).out;
    let json: Value = serde_json::from_str(&json).unwrap();
    let codes: Vec<&str> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["code"].as_str().unwrap())
        .collect();
    assert!(codes.contains(&"day_past"), "{codes:?}");
    let gone_by = codes.iter().filter(|it| **it == "window_gone_by");
    assert_eq!(gone_by.count(), 3, "{codes:?}");
    let github = home.run(&["check", "--format", "github"]).ended(0).out;
    let warnings = github.lines().filter(|it| it.starts_with("::warning "));
    assert_eq!(warnings.count(), codes.len(), "{github}");
}

#[test]
fn the_doctor_tells_what_is_odd_about_the_place() {
    let home = Home::new();
    let text = home.text("", &item("unknown", ""));
    home.write_text(text.strip_suffix("...\n").unwrap());
    let told = home.run(&["doctor"]).ended(0).out;
    says(&told, &["end mark", "there is none at"]);
    home.write_text(&text);
    home.run(&["run", "--once"]);
    let pause = ["pause", "--by", "dana", "--reason", "an incident"];
    home.run(&pause).ended(0);
    home.run(&["run", "--once"]);
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(home.file(), open).unwrap();
    let told = home.run(&["doctor"]).ended(0).out;
    says(
        &told,
        &[
            "everybody may write",
            "is not running; `lapsed run` starts it",
            "everything is paused by dana: an incident; `lapsed resume` goes on",
            "reads, and knows no unknown",
        ],
    );
}

#[test]
fn the_sandbox_listens_on_loopback_alone_and_ends_when_it_is_told_to() {
    let home = Home::new();
    let refused = home.run(&["sandbox", "--listen", "0.0.0.0:0"]).ended(64);
    says(&refused.err, &["listens on loopback only"]);
    let mut child = lapsed()
        .args(["sandbox", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told: Vec<String> = (0..5).map(|_| lines.next().unwrap().unwrap()).collect();
    assert!(
        told[0].starts_with("sandbox: http://127.0.0.1:"),
        "{told:?}"
    );
    assert!(told[4].starts_with("Ends with Ctrl-C"), "{told:?}");
    let stop = Command::new("kill").arg(child.id().to_string()).status();
    assert!(stop.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
