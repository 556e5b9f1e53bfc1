//! The daemon on a file that changes, and on signals.

use serde_json::{Value, json};

use crate::support::{Home, until};

const FIRST: &str = "\n  - {id: \"2145871\", provider: academy}";
const BOTH: &str =
    "\n  - {id: \"2145871\", provider: academy}\n  - {id: \"2145872\", provider: academy}";

#[test]
fn an_edit_of_the_file_is_acted_on_at_the_next_tick() {
    let home = Home::new();
    home.write(" []");
    let daemon = home.daemon();
    home.write(FIRST);
    home.until_state("academy/2145871", "canceled");
    // In place, as `cat >` does it.
    std::fs::write(home.file(), home.text("", BOTH)).unwrap();
    home.until_state("academy/2145872", "canceled");
    assert_eq!(home.writes().len(), 2);
    let metrics = daemon.get("/metrics").body;
    assert!(
        metrics.contains(r#"lapsed_settled_total{provider="academy",state="canceled"} 2"#),
        "{metrics}"
    );
}

#[test]
fn a_file_that_breaks_changes_nothing_and_is_told_everywhere() {
    let home = Home::new();
    home.write(" []");
    let daemon = home.daemon();
    home.write_text(&home.text("", BOTH).replace("when: now", "wen: now"));
    until("the break is told", || {
        daemon
            .get("/metrics")
            .body
            .contains("lapsed_config_last_reload_successful 0")
    });
    assert!(daemon.get("/").body.contains("wen"));
    assert!(daemon.log().contains("is not accepted"));
    assert!(home.writes().is_empty());
    home.write(BOTH);
    home.until_state("academy/2145872", "canceled");
}

#[test]
fn a_start_with_a_bad_file_goes_on_from_the_accepted_text() {
    let home = Home::new();
    // The day is far off when the file is accepted; the item is due after the restart.
    home.write_text(
        &home
            .text("", BOTH)
            .replace("mode: enforce", "mode: observe"),
    );
    home.run(&["run", "--once"]).ended(0);
    // Whole lines of both items, but the file is not valid any more.
    home.write_text(&format!("{}nonsense: [", home.text("", BOTH)));
    let daemon = home.daemon();
    until("the old revision is in force", || {
        daemon
            .get("/metrics")
            .body
            .contains("lapsed_config_items 2")
    });
    until("the break is told", || {
        daemon
            .get("/metrics")
            .body
            .contains("lapsed_config_last_reload_successful 0")
    });
    assert!(home.writes().is_empty(), "the accepted revision observes");
}

#[test]
fn a_signal_ends_it_softly_and_what_is_in_flight_is_read_back_later() {
    let home = Home::new();
    home.write(FIRST);
    home.fault(&json!({"provider": "kajabi", "operation": "cancel", "delay": "1s"}));
    let mut daemon = home.daemon();
    until("a cancel is in flight", || !home.writes().is_empty());
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0, "{}", daemon.log());
    assert!(daemon.log().contains("stopped"));
    home.run(&["run", "--once"]).ended(0);
    assert_eq!(home.state("academy/2145871"), "canceled");
    assert_eq!(home.writes().len(), 1);
}

#[test]
fn sighup_reads_the_file_again() {
    let home = Home::new();
    home.write(" []");
    let daemon = home.daemon();
    home.write(FIRST);
    daemon.signal("HUP");
    home.until_state("academy/2145871", "canceled");
    assert!(daemon.log().contains("SIGHUP"));
}

#[test]
fn the_metrics_pass_promtool() {
    let found = std::process::Command::new("promtool")
        .arg("--version")
        .output();
    if found.is_err() {
        #[expect(clippy::disallowed_methods, reason = "a test is told where it runs")]
        let in_ci = std::env::var_os("CI").is_some();
        assert!(!in_ci, "`tests/run` installs Debian's package prometheus");
        eprintln!("left out: promtool is not here (Debian's package prometheus)");
        return;
    }
    let home = Home::new();
    home.write(BOTH);
    let daemon = home.daemon();
    home.until_state("academy/2145872", "canceled");
    let mut promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::Write as _;
    let metrics = daemon.get("/metrics").body;
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(metrics.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && told.trim().is_empty(), "{told}");
}

#[test]
fn the_api_and_the_ledger_say_the_same() {
    let home = Home::new();
    home.write(
        "\n  - {id: \"2145871\", provider: academy}\n  - {id: \"2145875\", provider: academy}",
    );
    let daemon = home.daemon();
    home.until_state("academy/2145871", "canceled");
    home.until_state("academy/2145875", "held");
    let list = daemon.get("/api/v1/cancellations").json();
    let states: Vec<(&str, &str)> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["id"].as_str().unwrap(), it["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [("2145871", "canceled"), ("2145875", "held")]);
    let one: Value = daemon.get("/api/v1/cancellations/academy/2145875").json();
    assert!(one.to_string().contains("payment_plan"), "{one}");
    assert_eq!(daemon.get("/readyz").status, 200);
}
