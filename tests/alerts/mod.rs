//! The alerts that are shipped: what they ask for is there, each is tried, each is explained, and
//! a real one fires at a real fault.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::prometheus::Prometheus;
use crate::support::{Home, project, until};

const FOLDER: &str = "config/prometheus";

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap()
}

fn rules() -> String {
    read(&format!("{FOLDER}/rules.yaml"))
}

/// What stands after a word at the beginning of a line.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    text.lines()
        .filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key))
        .map(str::trim)
        .collect()
}

/// Names of ours in a text of queries.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
        .filter(|word| word.starts_with("lapsed_"))
        .collect()
}

#[test]
fn every_alert_asks_for_metrics_that_are_exported() {
    let reference = lapsed::metrics::Metrics::reference();
    let rules = rules();
    let asked = metrics_in(&rules);
    assert!(asked.len() > 15, "{asked:?}");
    for metric in asked {
        assert!(reference.contains(&format!("| `{metric}` |")), "{metric}");
    }
}

#[test]
fn every_alert_has_a_severity_words_and_a_section_of_the_runbook() {
    let rules = rules();
    let alerts = values(&rules, "alert:");
    let runbook = read("docs/runbook.md");
    let sections = values(&runbook, "## ");
    assert_eq!(
        sections, alerts,
        "the runbook has the alerts in their order"
    );
    for key in ["labels: {severity:", "summary:", "description:"] {
        assert_eq!(values(&rules, key).len(), alerts.len(), "{key}");
    }
    let linked: Vec<String> = alerts
        .iter()
        .map(|alert| format!("docs/runbook.md#{}", alert.to_lowercase()))
        .collect();
    assert_eq!(values(&rules, "runbook_url:"), linked);
}

#[test]
fn every_alert_is_seen_to_fire_and_to_keep_quiet() {
    let tests = read(&format!("{FOLDER}/rules_test.yaml"));
    for alert in values(&rules(), "alert:") {
        let fires = format!("{{alertname=\"{alert}\"}}");
        assert!(tests.contains(&fires), "{alert} is never seen to fire");
    }
    for arguments in [
        &["check", "rules", "rules.yaml"][..],
        &["test", "rules", "rules_test.yaml"],
        &["check", "config", "scrape.yaml"],
    ] {
        let ran = Command::new("promtool")
            .args(arguments)
            .current_dir(project(FOLDER))
            .output();
        let Ok(ran) = ran else {
            eprintln!("promtool is not installed: left out");
            return;
        };
        let told = String::from_utf8_lossy(&ran.stdout).into_owned();
        let told = told + &String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "promtool {arguments:?}: {told}");
    }
}

#[test]
fn a_real_prometheus_hears_of_a_ledger_that_was_lost() {
    let home = Home::new();
    home.write("\n  - {id: \"2145871\", provider: academy}");
    home.run(&["run", "--once"]).ended(0);
    for ending in ["", "-wal", "-shm"] {
        let file = format!("{}{ending}", home.ledger().display());
        if Path::new(&file).exists() {
            std::fs::remove_file(file).unwrap();
        }
    }
    let daemon = home.daemon();
    let Some(prometheus) = Prometheus::start(&home.path(), daemon.address()) else {
        return;
    };
    until("the alert fires", || {
        prometheus.firing() == ["LapsedLedgerInDoubt"]
    });
    home.run(&["ledger", "trust", "--by", "dana"]).ended(0);
    until("it is quiet again", || prometheus.firing().is_empty());
}
