//! Evidence of one cancellation, checked by whoever does not trust lapsed.

use std::process::{Command, Output};

use lapsed::sandbox::cast;
use serde_json::Value;

use crate::support::{Home, project};

/// The program of docs/evidence.md, as it stands there.
fn checked(home: &Home, evidence: &str) -> Option<Output> {
    let page = std::fs::read_to_string(project("docs/evidence.md")).unwrap();
    let (_, program) = page.split_once("```python\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    let file = home.path().join("evidence.json");
    std::fs::write(&file, evidence).unwrap();
    let ran = Command::new("python3")
        .arg("-c")
        .arg(program)
        .arg(&file)
        .output();
    if ran.is_err() {
        println!("LEFT OUT: python3 is not there");
    }
    ran.ok()
}

#[test]
fn evidence_tells_all_of_one_item_and_is_checked_without_lapsed() {
    let home = Home::new();
    home.write(&format!(
        "\n  - {{id: \"{}\", provider: academy, labels: {{ticket: OPS-1}}}}\n  - {{id: \"{}\", provider: academy}}",
        cast::KAJABI_ACTIVE,
        cast::KAJABI_ACTIVE_TOO
    ));
    home.run(&["run", "--once"]).ended(0);
    let key = format!("academy/{}", cast::KAJABI_ACTIVE);
    let told = home.run(&["history", "--evidence", &key]).ended(0).out;
    let evidence: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(evidence["items"][0]["state"], "canceled");
    assert_eq!(
        evidence["items"][0]["terms"]["labels"]["value"]["ticket"],
        "OPS-1"
    );
    let record = &evidence["record"];
    let kinds: Vec<&str> = record["requests"][0]["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["accepted", "intended", "answered", "settled"]);
    let revisions = record["requests"][0]["revisions"].as_array().unwrap();
    assert_eq!(revisions.len(), 1);
    assert_eq!(
        revisions[0]["revision"],
        evidence["items"][0]["origin"]["revision"]
    );
    let head = record["head"]["hash"].as_str().unwrap();
    home.run(&["ledger", "verify", "--head", head]).ended(0);
    assert!(!told.contains(cast::KAJABI_ACTIVE_TOO), "of nobody else");

    if let Some(ran) = checked(&home, &told) {
        assert!(ran.status.success(), "{ran:?}");
        assert_eq!(String::from_utf8(ran.stdout).unwrap(), "whole\n");
        // A word of what was answered, and the program notices.
        let altered = told.replacen("accepted\\\"", "refused\\\"", 1);
        assert_ne!(altered, told);
        let ran = checked(&home, &altered).unwrap();
        assert!(!ran.status.success());
    }
    let nobody = home.run(&["history", "--evidence", "academy/999"]).ended(1);
    assert!(
        nobody.err.contains("is not in the ledger"),
        "{}",
        nobody.err
    );
}
