//! Commands that only read files: `check`, `init`, `schema`, `plan --offline`, usage.

use std::collections::BTreeSet;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Home, Ran, lapsed, project};

/// Secrets that the examples refer to.
const SECRETS: [&str; 5] = [
    "KAJABI_CLIENT_ID",
    "KAJABI_CLIENT_SECRET",
    "REVERE_API_KEY",
    "LOTUS_API_KEY",
    "KAJABI_TOKEN",
];

fn in_project(args: &[&str]) -> Ran {
    let mut command = lapsed();
    command.current_dir(project("")).args(args);
    for name in SECRETS {
        command.env(name, "x");
    }
    Ran::of(command.output().unwrap())
}

fn examples() -> Vec<String> {
    let mut found: Vec<String> = std::fs::read_dir(project("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("lapsed.yaml").exists())
        .map(|path| format!("examples/{}", path.file_name().unwrap().to_string_lossy()))
        .collect();
    found.sort();
    assert!(found.len() >= 4, "{found:?}");
    found
}

#[test]
fn every_example_is_valid_by_the_strict_rules_and_can_be_planned() {
    for example in examples() {
        let checked = in_project(&["check", "--strict", "--config", &example]);
        assert_eq!(checked.code, 0, "{example}: {checked:?}");
        let args = ["plan", "--offline", "--config", &example, "--ledger"];
        let nowhere = TempDir::new().unwrap();
        let ledger = format!("sqlite:{}/none.db", nowhere.path().display());
        let planned = in_project(&[&args[..], &[&ledger]].concat()).ended(0);
        let told = ["When their time comes (", "Held ("].map(|it| planned.out.contains(it));
        assert!(told.contains(&true), "{planned:?}");
        let changes = [&args[..], &[&ledger, "--detailed-exitcode"]].concat();
        in_project(&changes).ended(2);
    }
}

#[test]
fn the_reference_is_valid_and_shows_every_key() {
    in_project(&["check", "--config", "config/lapsed.yaml"]).ended(0);
    let text = std::fs::read_to_string(project("config/lapsed.yaml")).unwrap();
    let included = std::fs::read_to_string(project("config/cancellations/batch.yaml")).unwrap();
    let mut keys = BTreeSet::new();
    for schema in [
        lapsed::desired::schema(),
        lapsed::desired::included_schema(),
    ] {
        keys_of(&schema, &mut keys);
    }
    assert!(keys.len() > 70, "{keys:?}");
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| !text.contains(&format!("{key}:")) && !included.contains(&format!("{key}:")))
        .collect();
    // An inline secret is for sandboxes alone, and no file to copy should show one.
    assert_eq!(missing, ["value"]);
}

/// Every name under a `properties` of a schema.
fn keys_of(schema: &Value, keys: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| keys_of(value, keys));
        }
        Value::Array(list) => list.iter().for_each(|value| keys_of(value, keys)),
        _ => {}
    }
}

#[test]
fn the_committed_schema_is_the_one_that_the_binary_prints() {
    let committed = std::fs::read_to_string(project("config/lapsed.schema.json")).unwrap();
    let printed = in_project(&["schema"]).ended(0).out;
    assert_eq!(
        committed, printed,
        "run `cargo run -- schema > config/lapsed.schema.json`"
    );
}

/// A YAML text as an editor's schema check sees it.
fn as_json(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

#[test]
fn the_schema_takes_what_check_takes_and_refuses_what_it_refuses() {
    let main = jsonschema::validator_for(&lapsed::desired::schema()).unwrap();
    let included = jsonschema::validator_for(&lapsed::desired::included_schema()).unwrap();
    let mut files = vec![
        "config/lapsed.yaml".to_owned(),
        "src/desired/starter.yaml".to_owned(),
    ];
    files.extend(examples().iter().map(|it| format!("{it}/lapsed.yaml")));
    for file in files {
        let text = std::fs::read_to_string(project(&file)).unwrap();
        let faults: Vec<String> = main
            .iter_errors(&as_json(&text))
            .map(|it| format!("{}: {it}", it.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{file}: {faults:#?}");
    }
    let text = std::fs::read_to_string(project("config/cancellations/batch.yaml")).unwrap();
    assert!(included.is_valid(&as_json(&text)));
    let head = "version: 1\nproviders: {a: {type: kajabi}}\n";
    for wrong in [
        "cancelations: []",
        "cancellations: [{when: now}]",
        "cancellations: [{id: a, wen: now}]",
        "cancellations: [{id: a, when: tomorrow}]",
        "mode: act",
        "limits: {per_hour: many}",
        "admin_token: geheim",
        "freezes: [{from: 2026-11-27}]",
    ] {
        assert!(
            !main.is_valid(&as_json(&format!("{head}{wrong}\n"))),
            "{wrong}"
        );
    }
    assert!(!main.is_valid(&as_json("providers: {a: {type: kajabi}}\n")));
    assert!(!included.is_valid(&as_json("version: 1\ncancellations: []\n")));
}

#[test]
fn init_writes_a_file_that_is_strictly_valid_and_overwrites_nothing() {
    let home = Home::new();
    let wrote = home.run(&["init"]).ended(0);
    assert!(wrote.out.contains("wrote lapsed.yaml"), "{}", wrote.out);
    let mut check = lapsed();
    check.current_dir(home.path()).args(["check", "--strict"]);
    for name in SECRETS {
        check.env(name, "x");
    }
    Ran::of(check.output().unwrap()).ended(0);
    let before = std::fs::read_to_string(home.file()).unwrap();
    let again = home.run(&["init"]).ended(1);
    assert!(again.err.contains("is there already"), "{}", again.err);
    assert_eq!(std::fs::read_to_string(home.file()).unwrap(), before);
}

#[test]
fn a_wrong_file_is_78_with_every_place_and_the_nearest_spelling() {
    let home = Home::new();
    home.write_text(
        "version: 1\nproviders:\n  a: {type: kajabi, token: {env: T}}\ncancellations:\n  - {id: \"1\", when: end_of_perod}\n  - {id: \"1\", wen: now}\n",
    );
    let told = home.run(&["check"]).ended(78);
    for fragment in [
        "lapsed.yaml:5:",
        "did you mean `end_of_period`?",
        "lapsed.yaml:6:",
        "`when`",
        "4 problems in 1 file",
    ] {
        assert!(told.out.contains(fragment), "{fragment}: {}", told.out);
    }
    let json = home.run(&["check", "--format", "json"]).ended(78);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json[0]["line"], 5);
    assert_eq!(json[0]["severity"], "error");
    let github = home.run(&["check", "--format", "github"]).ended(78);
    assert!(
        github
            .out
            .starts_with("::error file=lapsed.yaml,line=5,col="),
        "{}",
        github.out
    );
    // No command works by a wrong file, and the daemon has nothing to go on from.
    for command in ["plan", "run"] {
        let refused = home.run(&[command]).ended(78);
        assert!(refused.err.contains("end_of_period"), "{}", refused.err);
    }
}

#[test]
fn strict_asks_for_the_end_mark() {
    let home = Home::new();
    let whole = home.text("", " []");
    home.write_text(whole.trim_end().trim_end_matches("..."));
    home.run(&["check"]).ended(0);
    let told = home.run(&["check", "--strict"]).ended(78);
    assert!(told.out.contains("end mark"), "{}", told.out);
}

#[test]
fn a_missing_secret_is_a_warning_at_its_provider_also_by_the_strict_rules() {
    let home = Home::new();
    home.write_text(
        "version: 1\nproviders:\n  a:\n    type: kajabi\n    token: {env: LAPSED_TEST_NO_SUCH_TOKEN}\ncancellations: []\n...\n",
    );
    home.run(&["check", "--strict"]).ended(0);
    let told = home.run(&["check"]).ended(0);
    assert!(
        told.out.contains("lapsed.yaml:3:3: provider `a`: the environment variable LAPSED_TEST_NO_SUCH_TOKEN is not set"),
        "{}",
        told.out
    );
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    let home = Home::new();
    home.run(&["chek"]).ended(64);
    home.run(&["plan", "--format", "xml"]).ended(64);
    home.run(&[]).ended(64);
    home.run(&["--help"]).ended(0);
    home.run(&["--version"]).ended(0);
    for command in [
        "run",
        "init",
        "check",
        "plan",
        "status",
        "tidy",
        "explain",
        "history",
        "list",
        "pause",
        "resume",
        "reconcile",
        "retry",
        "ledger",
        "schema",
        "sandbox",
        "completions",
        "man",
        "licenses",
        "demo",
        "doctor",
    ] {
        let help = home.run(&[command, "--help"]).ended(0);
        assert!(help.out.contains("Usage:"), "{command}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            home.run(&["completions", shell])
                .ended(0)
                .out
                .contains("lapsed")
        );
    }
}

#[test]
fn each_command_has_a_manual_page_with_what_its_help_says() {
    let home = Home::new();
    let printed = home.run(&["man"]).ended(0).out;
    assert!(printed.contains(".TH lapsed 1"), "{printed}");
    home.run(&["man", "pages/man1"]).ended(0);
    let folder = home.path().join("pages/man1");
    assert_eq!(
        std::fs::read_to_string(folder.join("lapsed.1")).unwrap(),
        printed
    );
    let help = home.run(&["--help"]).ended(0).out;
    let commands = help.split("Commands:").nth(1).unwrap();
    let commands = commands.split("Options:").next().unwrap().lines();
    let named = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let named: Vec<&str> = named.filter(|it| !it.is_empty() && *it != "help").collect();
    assert!(named.len() > 15, "{named:?}");
    for command in named {
        let page = folder.join(format!("lapsed-{command}.1"));
        let page =
            std::fs::read_to_string(&page).unwrap_or_else(|_| panic!("{command} has no page"));
        assert!(page.contains(".SH OPTIONS"), "{command}");
    }
    let backup = std::fs::read_to_string(folder.join("lapsed-ledger-backup.1")).unwrap();
    assert!(backup.contains("ledger backup"), "{backup}");
    let file = home.run(&["man", "pages/man1/lapsed.1"]).ended(1);
    assert!(file.err.contains("lapsed.1"), "{}", file.err);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let home = Home::new();
    let told = home.run(&["check", "--config", "nowhere.yaml"]).ended(1);
    assert!(told.err.contains("nowhere.yaml"), "{}", told.err);
}
