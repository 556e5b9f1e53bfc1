//! The licences of what the binary is made of, which it prints itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{Home, project};

/// The one for which what is released is built; others leave the same out and add their own calls of
/// the system.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

const TEXT: &str = "src/cli/licenses.txt";

const HEAD: &str = "lapsed is under the Apache License 2.0. Of what it is made of, this one is taken wherever it may be
chosen, so that its text stands below once. SQLite, which libsqlite3-sys carries, is in the public domain.
";

/// A package that is in the binary.
struct Package {
    /// Its name, version and licence, as its manifest has them.
    line: String,
    /// Whether it may be had under the Apache License, which needs no text of its own.
    apache: bool,
    folder: PathBuf,
}

/// What the binary is made of, by cargo: no build script's own dependencies, no test's.
fn packages() -> Vec<Package> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", PLATFORM])
        .current_dir(project(""))
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let told: Value = serde_json::from_slice(&out.stdout).unwrap();
    let by_id = |list: &Value| -> BTreeMap<String, Value> {
        let list = list.as_array().unwrap().iter();
        list.map(|it| (text(&it["id"]), it.clone())).collect()
    };
    let (known, nodes) = (by_id(&told["packages"]), by_id(&told["resolve"]["nodes"]));
    let root = text(&told["resolve"]["root"]);
    let mut reached = BTreeSet::from([root.clone()]);
    let mut left = vec![root.clone()];
    while let Some(id) = left.pop() {
        for dependency in nodes[&id]["deps"].as_array().unwrap() {
            let mut kinds = dependency["dep_kinds"].as_array().unwrap().iter();
            let id = text(&dependency["pkg"]);
            if kinds.any(|it| it["kind"].is_null()) && reached.insert(id.clone()) {
                left.push(id);
            }
        }
    }
    reached.remove(&root);
    let mut packages: Vec<Package> = reached
        .iter()
        .map(|id| {
            let it = &known[id];
            let manifest = PathBuf::from(text(&it["manifest_path"]));
            let license = it["license"].as_str().unwrap_or("see its text");
            let chosen = license.replace('/', " OR ");
            let mut choices = chosen.split(" OR ").map(str::trim);
            Package {
                line: format!("{} {} ({license})", text(&it["name"]), text(&it["version"])),
                apache: !chosen.contains(" AND ") && choices.any(|it| it == "Apache-2.0"),
                folder: manifest.parent().unwrap().to_owned(),
            }
        })
        .collect();
    packages.sort_by(|a, b| a.line.cmp(&b.line));
    packages
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The texts that must be handed on with a package, whatever they are called.
fn texts(package: &Package) -> Vec<String> {
    let names: &[&str] = match package.apache {
        true => &["notice"],
        false => &["licen", "copying", "copyright", "notice", "unlicense"],
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&package.folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().to_lowercase();
            path.is_file() && names.iter().any(|it| name.starts_with(it))
        })
        .collect();
    files.sort();
    let whole = files.iter().map(|it| std::fs::read(it).unwrap());
    whole
        .map(|it| {
            let lines = String::from_utf8_lossy(&it).replace('\r', "");
            let lines: Vec<&str> = lines.lines().map(str::trim_end).collect();
            lines.join("\n").trim_matches('\n').to_owned()
        })
        .collect()
}

/// Each text once, under those that carry it.
fn written() -> String {
    let packages = packages();
    let apache = std::fs::read_to_string(project("LICENSE")).unwrap();
    let mut carried = BTreeMap::from([(apache, vec!["lapsed"])]);
    for package in &packages {
        for text in texts(package) {
            carried.entry(text).or_default().push(&package.line);
        }
    }
    let mut out = HEAD.to_owned();
    for package in &packages {
        let _ = write!(out, "\n  {}", package.line);
    }
    out.push('\n');
    let mut carried: Vec<(String, Vec<&str>)> = carried.into_iter().collect();
    carried.sort_by(|a, b| a.1.cmp(&b.1));
    for (text, by) in carried {
        let _ = write!(out, "\n{}\n", "=".repeat(72));
        let _ = write!(out, "Carried by {}:\n\n{text}\n", by.join(", "));
    }
    out
}

/// `cargo test --test lapsed write_the_licences -- --ignored`, after a dependency changed.
#[test]
#[ignore = "writes the text anew"]
fn write_the_licences() {
    std::fs::write(project(TEXT), written()).unwrap();
}

#[test]
fn the_binary_prints_the_licence_of_each_package_in_it() {
    let home = Home::new();
    let printed = home.run(&["licenses"]).ended(0).out;
    assert_eq!(printed, std::fs::read_to_string(project(TEXT)).unwrap());
    let listed = printed.split("\n====").next().unwrap().lines();
    let listed: Vec<&str> = listed.filter_map(|line| line.strip_prefix("  ")).collect();
    let packages = packages();
    let made_of: Vec<&str> = packages.iter().map(|it| it.line.as_str()).collect();
    assert_eq!(
        listed, made_of,
        "write it anew: cargo test --test lapsed write_the_licences -- --ignored"
    );
    for part in ["Permission is hereby granted", "Apache License", "ring 0."] {
        assert!(printed.contains(part), "{part}");
    }
}
