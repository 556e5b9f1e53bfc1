//! The house keeps its floors: every `use crate::…` and every outside package is held against
//! the table of `ARCHITECTURE.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a room may import of ours.
const ROOMS: &[(&str, &[&str])] = &[
    ("planted", &[]),
    ("model", &[]),
    ("schedule", &[]),
    ("yaml", &[]),
    ("clock", &[]),
    ("source", &["clock"]),
    ("telemetry", &[]),
    ("config", &["model", "yaml", "schedule"]),
    ("desired", &["model", "yaml", "schedule", "config"]),
    ("ledger", &["model"]),
    ("metrics", &["model"]),
    ("plan", &["model", "desired", "config", "schedule"]),
    ("provider", &["model", "ledger::intent", "config", "clock"]),
    ("webhook", &["model"]),
    (
        "reconcile",
        &[
            "model", "schedule", "clock", "source", "desired", "config", "ledger", "metrics",
            "plan", "provider",
        ],
    ),
    (
        "daemon",
        &[
            "model",
            "reconcile",
            "source",
            "schedule",
            "clock",
            "desired",
            "config",
            "ledger",
            "plan",
        ],
    ),
    (
        "http",
        &[
            "model",
            "metrics",
            "reconcile",
            "ledger",
            "clock",
            "config",
            "telemetry",
        ],
    ),
    (
        "wiring",
        &[
            "model",
            "clock",
            "config",
            "daemon",
            "metrics",
            "provider",
            "reconcile",
            "ledger",
            "source",
            "desired",
            "http",
            "webhook",
        ],
    ),
    ("sandbox", &["clock"]),
];

/// Which room an outside package belongs to; whoever else needs it asks that room.
const PACKAGES: &[(&str, &[&str])] = &[
    ("saphyr_parser", &["yaml"]),
    ("serde_yaml", &["yaml", "desired"]),
    ("cron", &["schedule"]),
    ("csv_core", &["desired"]),
    ("schemars", &["desired"]),
    ("notify", &["source"]),
    ("gix", &["source"]),
    ("tracing_subscriber", &["telemetry"]),
    ("prometheus", &["metrics"]),
    ("rusqlite", &["ledger"]),
    ("reqwest", &["provider", "webhook"]),
    ("hmac", &["webhook"]),
    ("governor", &["provider"]),
    ("hyper", &["http", "sandbox"]),
    ("axum", &["http", "sandbox"]),
    ("minijinja", &["http"]),
    ("clap", &["cli"]),
    ("sd_notify", &["daemon"]),
    (
        "rustix",
        &["clock", "source", "daemon", "telemetry", "ledger"],
    ),
];

/// Rooms without `async`, clock, disk, network or randomness.
const PURE: &[&str] = &["model", "desired", "plan", "schedule", "yaml", "config"];

#[test]
fn every_import_runs_down() {
    let allowed: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (room, file, text) in sources() {
        // The top floors may import everything below them.
        let Some(may) = allowed.get(room.as_str()) else {
            continue;
        };
        for path in imports(&text) {
            let to = path.split("::").next().unwrap().to_owned();
            // Empty in whatever is shipped.
            let fits = path.starts_with("planted");
            let fits = fits
                || may
                    .iter()
                    .any(|it| path == *it || path.starts_with(&format!("{it}::")));
            if to != room && !fits {
                wrong.push(format!("{}: {room} imports {path}", file.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that run up:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn each_outside_package_has_one_room() {
    let mut wrong = BTreeSet::new();
    for (room, file, text) in sources() {
        for (package, rooms) in PACKAGES {
            let used = code(&text).any(|line| names(line, package));
            if used && !rooms.contains(&room.as_str()) {
                wrong.insert(format!("{}: {package}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "packages out of their room: {wrong:#?}");
}

/// Whether a line has `package::` as a word of its own, and not in a path of ours.
fn names(line: &str, package: &str) -> bool {
    line.match_indices(&format!("{package}::")).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|it| !it.is_alphanumeric() && !matches!(it, '_' | ':'))
    })
}

#[test]
fn the_pure_rooms_have_no_async_and_no_io() {
    let mut wrong = Vec::new();
    for (room, file, text) in sources() {
        if !PURE.contains(&room.as_str()) {
            continue;
        }
        for line in code(&text) {
            for word in [
                "async fn",
                "async move",
                ".await",
                "std::fs",
                "std::net::Tcp",
                "tokio::",
                "fastrand",
            ] {
                if line.contains(word) {
                    wrong.push(format!("{}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_is_in_the_table() {
    let known: BTreeSet<&str> = ROOMS
        .iter()
        .map(|(room, _)| *room)
        .chain(["cli", "main", "lib"])
        .collect();
    for (room, file, _) in sources() {
        assert!(
            known.contains(room.as_str()),
            "{} is in no room of the table",
            file.display()
        );
    }
}

/// Room, file and text of everything under `src`.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let inside = path.strip_prefix(&root).unwrap();
                let first = inside.components().next().unwrap().as_os_str();
                let room = first.to_string_lossy().trim_end_matches(".rs").to_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((room, inside.to_owned(), text));
            }
        }
    }
    found
}

/// Lines that are no comments, up to the tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// What a file imports of ours, as `room` or `room::module`.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in code(text) {
        for (at, _) in line.match_indices("crate::") {
            let inside_path = line[..at].ends_with([':', '$']) || line[..at].ends_with("in ");
            if inside_path {
                continue;
            }
            let path: String = line[at + "crate::".len()..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
                .collect();
            let parts: Vec<&str> = path
                .split("::")
                .filter(|it| !it.is_empty())
                .take(2)
                .collect();
            if !parts.is_empty() {
                found.push(parts.join("::"));
            }
        }
    }
    found
}
