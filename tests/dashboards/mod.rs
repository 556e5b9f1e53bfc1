//! The dashboard that is shipped: Grafana can read it, every number on it has a unit and words, and
//! each of its queries is asked of a real Prometheus over a real daemon.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::support::prometheus::Prometheus;
use crate::support::{Home, project, until};

const DASHBOARD: &str = "config/grafana/dashboards/lapsed.json";

/// Panels that may have nothing to show of a daemon that works, and why.
const MAY_BE_EMPTY: [(&str, &str); 5] = [
    ("Waits for an approval since", "nothing waits"),
    ("Overdue", "nothing is overdue"),
    ("Outcome unknown", "nothing is unknown"),
    ("Sends again", "no provider asked for a pause"),
    ("Deadlines met", "no deadline lies within the test"),
];

/// A webhook and a heartbeat that nobody answers, and something to tell every second.
const NOBODY_LISTENS: &str = concat!(
    "notify:\n",
    "  webhooks: {on-call: {url: \"http://127.0.0.1:9/\", secret: {file: hook}}}\n",
    "  digest: \"* * * * * *\"\n",
    "  heartbeat: {url: \"http://127.0.0.1:9/\"}\n",
);

fn read(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).unwrap()
}

/// Whatever is drawn, without the rows' headings.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let all = dashboard["panels"].as_array().unwrap().iter();
    all.filter(|panel| panel["type"] != "row")
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// By the title of its panel.
fn queries(dashboard: &Value) -> Vec<(&str, &str)> {
    let of = |panel: &'_ Value| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.len()
    };
    assert!(panels(dashboard).all(|panel| of(panel) > 0), "each asks");
    panels(dashboard)
        .flat_map(|panel| {
            let targets = panel["targets"].as_array().unwrap().iter();
            targets.map(|target| (text(panel, "title"), text(target, "expr")))
        })
        .collect()
}

fn annotations(dashboard: &Value) -> Vec<(&str, &str)> {
    let list = dashboard["annotations"]["list"].as_array().unwrap().iter();
    list.map(|it| (text(it, "name"), text(it, "expr")))
        .collect()
}

/// As Grafana fills the variables in.
fn filled(query: &str) -> String {
    query
        .replace("$__rate_interval", "1m")
        .replace("$job", "lapsed")
        .replace("$instance", ".*")
        .replace("$provider", ".*")
}

#[test]
fn every_panel_says_what_it_shows_and_in_which_unit() {
    let dashboard = dashboard();
    let mut titles = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = text(panel, "title");
        assert!(titles.insert(title), "{title} comes twice");
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(!text(defaults, "unit").is_empty(), "{title} has no unit");
        assert!(!text(defaults, "noValue").is_empty(), "{title}: no words");
        let words = text(panel, "description");
        assert!(words.len() > 8, "{title}: {words}");
        let sources = panel["targets"].as_array().unwrap().iter().chain([panel]);
        for it in sources {
            assert_eq!(it["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    assert!(titles.len() > 40);
    // Annotations and variables too.
    let text = read(DASHBOARD);
    let count = |mark: &str| text.matches(mark).count();
    let ours = count("\"uid\": \"${datasource}\"");
    assert_eq!(count("\"datasource\": {"), ours);
}

#[test]
fn no_panel_covers_another_and_each_is_found_by_its_number() {
    let dashboard = dashboard();
    let mut numbers = BTreeSet::new();
    let mut covered = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(numbers.insert(panel["id"].as_u64().unwrap()));
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{}", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(covered.insert((x, y)), "{} covers one", panel["title"]);
            }
        }
    }
}

#[test]
fn it_asks_for_nothing_that_is_not_exported_and_leads_to_sections_that_are_there() {
    let dashboard = dashboard();
    let text = read(DASHBOARD);
    let reference = lapsed::metrics::Metrics::reference();
    let rules = read("config/prometheus/rules.yaml");
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let asked: BTreeSet<&str> = words
        .filter(|word| word.starts_with("lapsed_") || word.starts_with("lapsed:"))
        .collect();
    assert!(asked.len() > 35, "{asked:?}");
    for metric in asked {
        let family = metric.strip_suffix("_bucket").unwrap_or(metric);
        let known = reference.contains(&format!("| `{family}` |"))
            || rules.contains(&format!("record: {metric}\n"));
        assert!(known, "{metric}");
    }
    let runbook = read("docs/runbook.md").to_lowercase();
    for (_, rest) in text
        .match_indices("docs/runbook.md#")
        .map(|(at, it)| (at, &text[at + it.len()..]))
    {
        let section: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
        assert!(runbook.contains(&format!("\n## {section}\n")), "{section}");
    }
    let rows = dashboard["panels"].as_array().unwrap().iter();
    let rows: Vec<&str> = rows
        .filter(|panel| panel["type"] == "row")
        .filter_map(|panel| panel["title"].as_str())
        .collect();
    assert_eq!(rows[..2], ["Is anyone harmed?", "Is it running?"]);
}

#[test]
fn every_query_finds_something_in_a_real_prometheus_over_a_real_daemon() {
    let home = Home::new();
    std::fs::write(home.path().join("hook"), "whsec_bm9ib2R5IGxpc3RlbnM=").unwrap();
    home.write_text(&home.text(NOBODY_LISTENS, " []"));
    let daemon = home.daemon();
    let Some(prometheus) = Prometheus::start(&home.path(), daemon.address()) else {
        return;
    };
    // Counters are seen from 0 on.
    let seen = |query: &str| prometheus.series(query).is_ok_and(|found| found > 0);
    until("it scrapes", || seen("lapsed_settled_total"));
    home.write_text(&home.text(NOBODY_LISTENS, concat!(
        "\n  - {id: \"2145871\", provider: academy}",
        "\n  - {id: \"2145875\", provider: academy}",
        "\n  - {id: \"2145872\", provider: academy, when: end_of_period, period_ends: 2099-12-31}",
    )));
    home.until_state("academy/2145871", "canceled");
    home.until_state("academy/2145875", "held");
    let dashboard = dashboard();
    for (name, query) in annotations(&dashboard) {
        prometheus
            .series(&filled(query))
            .unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    for (title, query) in queries(&dashboard) {
        let query = filled(query);
        let found = prometheus.series(&query);
        assert!(found.is_ok(), "{title}: {query}: {found:?}");
        if !MAY_BE_EMPTY.iter().any(|(allowed, _)| *allowed == title) {
            until(&format!("{title} shows something: {query}"), || {
                seen(&query)
            });
        }
    }
    assert!(
        prometheus
            .scrapes()
            .to_string()
            .contains(r#""health":"up""#),
        "and none of its scrapes fails"
    );
}

#[test]
fn what_is_provisioned_and_composed_is_there() {
    let provider = read("config/grafana/provisioning/dashboards/lapsed.yaml");
    let compose = read("examples/compose/compose.yaml");
    let mounts: Vec<(&str, &str)> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- "))
        .filter(|mount| mount.starts_with('.'))
        .filter_map(|mount| mount.split_once(':'))
        .collect();
    assert!(mounts.len() >= 5, "{mounts:?}");
    let folder = project("examples/compose");
    for (from, _) in &mounts {
        assert!(folder.join(from).exists(), "{from}");
    }
    let path = provider
        .lines()
        .find_map(|line| line.trim().strip_prefix("path: "));
    let path = path.unwrap();
    assert!(
        mounts
            .iter()
            .any(|(_, to)| to.trim_end_matches(":ro") == path),
        "{path} is mounted"
    );
    assert!(Path::new(&project(DASHBOARD)).exists());
}
