//! What a file cannot take of the machine: the real `lapsed check` under limits of the system on
//! memory and processor time, far above what it needs and far below what it once took.

use std::process::Command;

use tempfile::TempDir;

use super::properties::HEAD;
use crate::support::Ran;

/// Address space in KiB. An unoptimised build takes some 30 MiB before it reads anything.
const MEMORY: u32 = 1_500_000;

/// Processor time in seconds.
const TIME: u32 = 300;

/// Checks a main file, and perhaps a CSV beside it, within the limits.
fn check(main: &str, csv: Option<&str>) -> Ran {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("lapsed.yaml"), main).unwrap();
    if let Some(csv) = csv {
        std::fs::write(folder.path().join("a.csv"), csv).unwrap();
    }
    let limited = format!(
        "ulimit -v {MEMORY}; ulimit -t {TIME}; exec '{}' check",
        env!("CARGO_BIN_EXE_lapsed")
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &limited])
        .current_dir(folder.path())
        .env_remove("LAPSED_CONFIG");
    Ran::of(command.output().unwrap())
}

/// It is refused in few words.
fn assert_refused(what: &str, ran: &Ran) {
    let said = ran.out.len() + ran.err.len();
    let begin: String = ran.err.chars().take(400).collect();
    assert_eq!(ran.code, 78, "{what}: {begin}");
    assert!(said <= 400_000, "{what}: {said} bytes");
}

fn item(fields: &str) -> String {
    format!("{HEAD}cancellations:\n  - {{id: a, provider: donations, when: now{fields}}}\n...\n")
}

#[test]
fn a_scalar_of_many_megabytes_is_refused_wherever_it_stands() {
    let long = "x".repeat(4 << 20);
    for text in [
        format!("{HEAD}cancellations:\n  - {{id: \"{long}\", provider: donations, when: now}}\n"),
        format!("{HEAD}cancellations:\n  - {{id: a, provider: \"{long}\", when: now}}\n"),
        format!("{HEAD}? \"{long}\"\n: 1\n"),
        format!("{HEAD}mode: {long}\n"),
        item(&format!(", reason: \"{long}\"")),
    ] {
        assert_refused("a long scalar", &check(&text, None));
    }
}

/// 10,000 aliases are allowed, of small things: a text of 100 kB would make a gigabyte of them.
#[test]
fn aliases_of_a_long_text_are_bounded_by_its_length() {
    let long = "x".repeat(60_000);
    let aliases = "*a, ".repeat(9_999);
    let text = format!("{HEAD}include: [&a \"{long}\", {aliases}]\ncancellations: []\n");
    assert_refused("aliases", &check(&text, None));
}

/// What an anchor stands on is kept once more: anchors within each other keep it at each depth.
#[test]
fn anchors_within_each_other_are_bounded() {
    let block = format!(
        "{}{}{}",
        (0..55)
            .map(|depth| format!("&a{depth} ["))
            .collect::<String>(),
        "x, ".repeat(9_000),
        "]".repeat(55)
    );
    let text = format!(
        "{HEAD}include: [{}]\ncancellations: []\n",
        vec![block; 40].join(", ")
    );
    assert_refused("anchors", &check(&text, None));
}

#[test]
fn a_million_of_anything_is_refused_or_taken() {
    let many = |text: &str, count: usize| text.repeat(count);
    let keys: String = (0..100_000).map(|it| format!("k{it}: 1\n")).collect();
    let same: String = many("a: 1\n", 300_000);
    let labels: String = (0..100_000)
        .map(|it| format!("\"k\\e{it}\": x, "))
        .collect();
    let expects: String = (0..100_000).map(|it| format!("k{it}: x, ")).collect();
    let lines = many("#\n", 1_000_000);
    for (what, text) in [
        ("brackets", many("[", 1_000_000)),
        ("keys", format!("{HEAD}{keys}")),
        ("the same key", format!("{HEAD}{same}")),
        ("labels", item(&format!(", labels: {{{labels}}}"))),
        ("expectations", item(&format!(", expect: {{{expects}}}"))),
        (
            "entries",
            format!("{HEAD}include: [{}]\n", many("\"[\", ", 100_000)),
        ),
        (
            "wrong items",
            format!("{HEAD}cancellations: [{}]\n", many("x, ", 200_000)),
        ),
        (
            "faulty items",
            format!("{HEAD}cancellations: [{}]\n", many("{a: }, ", 100_000)),
        ),
        ("directives", many("%a b\n", 100_000)),
        (
            "lines and no end",
            format!("{HEAD}{lines}cancellations: [\n"),
        ),
    ] {
        assert_refused(what, &check(&text, None));
    }
    let fine = check(&format!("{HEAD}{lines}cancellations: []\n...\n"), None);
    assert_eq!(fine.code, 0, "{}", fine.err);
}

#[test]
fn a_csv_of_columns_or_quotes_without_end_is_refused() {
    let main = format!("{HEAD}include: [\"a.csv\"]\ncancellations: []\n...\n");
    let columns: String = (0..200_000).map(|it| format!(",labels.c{it}")).collect();
    for (what, csv) in [
        ("columns", format!("id{columns}\n")),
        ("commas", format!("id{}\n", ",".repeat(1_000_000))),
        ("quotes", format!("id\n{}\n", "\"".repeat(1_000_001))),
        ("cells", format!("id\n{}\n", "a,".repeat(500_000))),
        ("rows", format!("id\n{}", "a,b\n".repeat(200_000))),
        ("a long cell", format!("id\n{}\n", "a".repeat(4 << 20))),
    ] {
        assert_refused(what, &check(&main, Some(&csv)));
    }
}
