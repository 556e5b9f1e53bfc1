//! `lapsed tidy`: its diff applies with the usual tools, and what it leads to is a valid file
//! that wants of everybody else what was wanted before.

use std::path::Path;
use std::process::{Command, Stdio};

use lapsed::sandbox::Seeds;
use serde_json::{Value, json};

use crate::support::{Home, Ran, lapsed, until};

/// A home where the purchases `1` to `5` are cancelled and `6` to `9` are not.
fn home() -> Home {
    let ids = 1..=9;
    let seeds: Vec<Value> = ids
        .map(|id: u32| json!({ "provider": "kajabi", "id": id.to_string() }))
        .collect();
    let home = Home::with(Seeds::parse(&json!(seeds)).unwrap());
    let items: String = (1..=5)
        .map(|id| format!("\n  - {{id: \"{id}\", provider: academy}}"))
        .collect();
    home.write(&items);
    home.run(&["run", "--once"]).ended(0);
    assert_eq!(home.writes().len(), 5);
    home
}

fn line(id: u32) -> String {
    format!("  - {{id: \"{id}\", provider: academy}}\n")
}

/// Runs it, and applies what it prints to a copy of the folder, with each tool that there is.
fn tidied(home: &Home, copy: &Path) -> Ran {
    let ran = home.run(&["tidy"]).ended(0);
    let tools: [&[&str]; 2] = [
        &["git", "apply", "--whitespace=nowarn"],
        &["patch", "-p1", "-s"],
    ];
    let mut after: Option<Vec<(String, String)>> = None;
    for tool in tools {
        let _ = std::fs::remove_dir_all(copy);
        copy_all(&home.path(), copy);
        if !ran.out.is_empty() && !applied(tool, copy, &ran.out) {
            continue;
        }
        let files = texts(copy);
        if let Some(before) = &after {
            assert_eq!(*before, files, "the tools do not agree");
        }
        after = Some(files);
        let mut check = lapsed();
        check.current_dir(copy).args(["check", "--strict"]);
        Ran::of(check.output().unwrap()).ended(0);
    }
    assert!(after.is_some(), "no tool applied it:\n{}", ran.out);
    ran
}

/// Whether a tool is there; if it is, it applies the diff.
fn applied(tool: &[&str], folder: &Path, diff: &str) -> bool {
    use std::io::Write as _;
    let child = Command::new(tool[0])
        .args(&tool[1..])
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        return false;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(diff.as_bytes())
        .unwrap();
    Ran::of(child.wait_with_output().unwrap()).ended(0);
    true
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_all(&path, &target);
        } else if path
            .extension()
            .is_some_and(|it| it == "yaml" || it == "csv")
        {
            std::fs::copy(&path, target).unwrap();
        }
    }
}

fn texts(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(texts(&path));
        } else {
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// What the list of the main file becomes.
fn becomes(home: &Home, list: &str) -> (String, Ran) {
    let copy = tempfile::tempdir().unwrap();
    let head = home
        .text("", "LIST")
        .replace("cancellations:LIST\n...\n", "");
    home.write_text(&format!("{head}{list}"));
    let ran = tidied(home, copy.path());
    let after = std::fs::read_to_string(copy.path().join("lapsed.yaml")).unwrap();
    let after = after.strip_prefix(&head).expect("the rest stays as it was");
    (after.to_owned(), ran)
}

#[test]
fn the_lines_of_what_is_finished_go_and_all_others_stay() {
    let home = home();
    let cases = [
        // Flow items, one a line, with a comment behind.
        (
            format!("cancellations:\n{}  - {{id: \"2\", provider: academy}}  # by phone\n{}...\n", line(6), line(7)),
            format!("cancellations:\n{}{}...\n", line(6), line(7)),
        ),
        // Block items over several lines, the dash alone, a text over several lines, comments
        // within and below.
        (
            "cancellations:\n  - id: \"1\"\n    provider: academy\n    # why\n    requested: |\n      one\n\n      two\n    # below\n  -\n    id: \"2\"\n    provider: academy\n  - id: \"6\"\n    provider: academy\n    labels:\n      ticket: OPS-1\n...\n".to_owned(),
            "cancellations:\n  - id: \"6\"\n    provider: academy\n    labels:\n      ticket: OPS-1\n...\n".to_owned(),
        ),
        // A map in braces over several lines; items at the margin; another key behind the list.
        (
            "cancellations:\n- {\n    id: \"3\",\n    provider: academy }\n- {id: \"7\", provider: academy}\n- id: \"4\"\n  provider: academy\ninclude: []\n...\n".to_owned(),
            "cancellations:\n- {id: \"7\", provider: academy}\ninclude: []\n...\n".to_owned(),
        ),
        // Blank lines do not add up.
        (
            format!("cancellations:\n{}\n{}\n{}\n...\n", line(6), line(1), line(7)),
            format!("cancellations:\n{}\n{}\n...\n", line(6), line(7)),
        ),
        // Nothing is left of the list, and the comments on its own line stay.
        (
            format!("cancellations:   # reviewed by two\n  # all of them\n{}{}\n# the end\n...\n", line(1), line(2)),
            "cancellations: []   # reviewed by two\n\n# the end\n...\n".to_owned(),
        ),
        (
            format!("\"cancellations\":\n{}...\n", line(1)),
            "\"cancellations\": []\n...\n".to_owned(),
        ),
    ];
    for (before, after) in cases {
        let (found, ran) = becomes(&home, &before);
        assert_eq!(found, after, "of:\n{before}\n{}", ran.err);
        assert!(ran.err.contains("without "), "{}", ran.err);
    }
}

#[test]
fn a_comment_goes_with_the_last_item_that_it_stands_over() {
    let home = home();
    let one = "  # asked by phone\n";
    let cases = [
        // Over one item: it goes with it, and the next one's stays.
        (
            format!("{one}{}  # another\n{}", line(1), line(6)),
            format!("  # another\n{}", line(6)),
        ),
        // Over several: it stays as long as one of them does.
        (
            format!("{one}{}{}\n{}", line(1), line(6), line(7)),
            format!("{one}{}\n{}", line(6), line(7)),
        ),
        (format!("{one}{}{}\n{}", line(1), line(2), line(7)), line(7)),
        // With a blank line between, or indented otherwise, it is no item's.
        (
            format!("{one}\n{}{}", line(1), line(6)),
            format!("{one}\n{}", line(6)),
        ),
        (
            format!("# the batch\n{}{}", line(1), line(6)),
            format!("# the batch\n{}", line(6)),
        ),
    ];
    for (before, after) in cases {
        let (found, _) = becomes(&home, &format!("cancellations:\n{before}...\n"));
        assert_eq!(
            found,
            format!("cancellations:\n{after}...\n"),
            "of:\n{before}"
        );
    }
}

#[test]
fn what_has_no_lines_of_its_own_is_named_and_left() {
    let home = home();
    let bracketed =
        "cancellations: [{id: \"1\", provider: academy}, {id: \"6\", provider: academy}]\n...\n";
    let spread = "cancellations: [\n  {id: \"1\", provider: academy},\n  {id: \"6\", provider: academy}\n]\n...\n";
    // The anchor of an item that goes is what another stands on.
    let anchored = "cancellations:\n  - {id: \"1\", provider: academy, labels: &l {a: b}}\n  - {id: \"6\", provider: academy, labels: *l}\n...\n";
    let named = home.text("", "").lines().count() - 1;
    for (list, line) in [
        (bracketed, named),
        (spread, named + 1),
        (anchored, named + 1),
    ] {
        let (found, ran) = becomes(&home, list);
        assert_eq!((found.as_str(), ran.out.as_str()), (list, ""));
        let told = format!("lapsed.yaml:{line}: academy/1 is finished and cannot");
        assert!(ran.err.contains(&told), "{}", ran.err);
    }
    // Another file is not held back by it.
    std::fs::write(
        home.path().join("more.yaml"),
        format!("cancellations:\n{}{}", line(2), line(7)),
    )
    .unwrap();
    let head = home.text("include: [more.yaml]\n", "LIST");
    home.write_text(&head.replace("cancellations:LIST\n...\n", anchored));
    let copy = tempfile::tempdir().unwrap();
    let ran = tidied(&home, copy.path());
    assert!(
        ran.err.contains("academy/1 is finished and cannot"),
        "{}",
        ran.err
    );
    let more = std::fs::read_to_string(copy.path().join("more.yaml")).unwrap();
    assert_eq!(more, format!("cancellations:\n{}", line(7)));
}

#[test]
fn rows_of_a_csv_go_and_its_header_stays() {
    let home = home();
    let folder = home.path().join("the batches");
    std::fs::create_dir(&folder).unwrap();
    home.write_text(&home.text("include: [\"the batches/*\"]\n", " []"));
    let copy = tempfile::tempdir().unwrap();
    let cases = [
        (
            "id,provider,requested\n1,academy,\"over\ntwo lines\"\n\n6,academy,\n2,academy,x\n",
            "id,provider,requested\n\n6,academy,\n",
        ),
        (
            "id,provider\r\n3,academy\r\n7,academy\r\n",
            "id,provider\r\n7,academy\r\n",
        ),
        ("\u{feff}id,provider\n1,academy\n", "\u{feff}id,provider\n"),
        (
            "id,provider\n6,academy\n7,academy\n8,academy\n1,academy\n9,academy\n",
            "id,provider\n6,academy\n7,academy\n8,academy\n9,academy\n",
        ),
    ];
    for (before, after) in cases {
        std::fs::write(folder.join("a.csv"), before).unwrap();
        let ran = tidied(&home, copy.path());
        let found = std::fs::read_to_string(copy.path().join("the batches/a.csv")).unwrap();
        assert_eq!(found, after, "of {before:?}: {}", ran.err);
    }
}

#[test]
fn line_ends_the_end_mark_and_a_last_line_without_an_end_stay() {
    let home = home();
    let list = format!("cancellations:\n{}{}...\n", line(1), line(6)).replace('\n', "\r\n");
    let text = home
        .text("", "LIST")
        .replace("cancellations:LIST\n...\n", "");
    let text = format!("{}{list}", text.replace('\n', "\r\n"));
    home.write_text(&text);
    let copy = tempfile::tempdir().unwrap();
    tidied(&home, copy.path());
    let after = std::fs::read(copy.path().join("lapsed.yaml")).unwrap();
    let gone = line(1).replace('\n', "\r\n");
    assert_eq!(String::from_utf8(after).unwrap(), text.replace(&gone, ""));
    // Included files need no end mark, and may end anywhere.
    let include = home.path().join("more.yaml");
    home.write_text(&home.text("include: [more.yaml]\n", " []"));
    let last = line(2);
    for (before, after) in [
        (
            format!("cancellations:\n{}{}", line(6), last.trim_end()),
            format!("cancellations:\n{}", line(6)),
        ),
        (
            format!("cancellations:\n{}{}", line(1), line(6).trim_end()),
            format!("cancellations:\n{}", line(6).trim_end()),
        ),
        (
            format!("cancellations:\n{}", last.trim_end()),
            "cancellations: []\n".to_owned(),
        ),
    ] {
        std::fs::write(&include, &before).unwrap();
        tidied(&home, copy.path());
        let found = std::fs::read_to_string(copy.path().join("more.yaml")).unwrap();
        assert_eq!(found, after, "of {before:?}");
    }
}

#[test]
fn a_long_list_becomes_hunks_with_three_lines_around() {
    let home = home();
    let others = |from: u32| -> String { (from..from + 10).map(line).collect() };
    let list = format!(
        "{}{}{}{}{}",
        line(1),
        others(100),
        line(2),
        others(200),
        line(3)
    );
    let (found, ran) = becomes(&home, &format!("cancellations:\n{list}...\n"));
    let kept = format!("{}{}", others(100), others(200));
    assert_eq!(found, format!("cancellations:\n{kept}...\n"));
    assert!(
        ran.out
            .starts_with("--- a/lapsed.yaml\n+++ b/lapsed.yaml\n@@ -")
    );
    assert_eq!(ran.out.matches("\n@@ -").count(), 3, "{}", ran.out);
    assert_eq!(ran.out.matches("\n-").count(), 3, "{}", ran.out);
    assert_eq!(ran.out.matches(",7 +").count(), 2, "{}", ran.out);
}

#[test]
fn what_failed_or_is_open_stays_and_is_told() {
    let home = home();
    let list = format!("\n{}{}{}", line(1), line(6), line(7));
    home.write(list.trim_end());
    home.fault(&json!({ "provider": "kajabi", "operation": "cancel", "id": "6", "status": 422, "times": 9 }));
    home.run(&["run", "--once"]).ended(1);
    assert_eq!(home.state("academy/6"), "failed");
    assert_eq!(home.state("academy/7"), "canceled");
    let copy = tempfile::tempdir().unwrap();
    let ran = tidied(&home, copy.path());
    assert!(
        ran.err.contains("1 item is failed or missed"),
        "{}",
        ran.err
    );
    let after = std::fs::read_to_string(copy.path().join("lapsed.yaml")).unwrap();
    assert!(
        after.ends_with(&format!("cancellations:\n{}...\n", line(6))),
        "{after}"
    );
    // A second request for the same subscription is another one.
    home.write("\n  - {id: \"1\", provider: academy, again: 2}");
    let ran = home.run(&["tidy"]).ended(0);
    assert_eq!(ran.out, "");
    assert!(ran.err.contains("nothing to take out"), "{}", ran.err);
}

#[test]
fn names_count_from_the_top_of_the_checkout() {
    let home = home();
    let list = format!("\n{}{}", line(1), line(6));
    let folder = home.path().join("billing");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("lapsed.yaml"), home.text("", list.trim_end())).unwrap();
    let git = Command::new("git")
        .args(["init", "-q"])
        .current_dir(home.path())
        .status()
        .unwrap();
    assert!(git.success());
    for current in [home.path(), folder.clone()] {
        let mut tidy = lapsed();
        let args = ["tidy", "--config"];
        tidy.current_dir(&current).args(args).arg(&folder);
        let ran = Ran::of(tidy.output().unwrap()).ended(0);
        assert!(
            ran.out.starts_with("--- a/billing/lapsed.yaml\n"),
            "{}",
            ran.out
        );
        assert!(ran.err.contains("lapsed tidy | git "), "{}", ran.err);
        assert!(applied(&["git", "apply", "--check"], &current, &ran.out));
        // What git ignores is no change: it would have been one.
        assert!(applied(&["git", "apply"], &current, &ran.out));
        let after = std::fs::read_to_string(folder.join("lapsed.yaml")).unwrap();
        assert!(
            !after.contains(&line(1)) && after.contains(&line(6)),
            "{after}"
        );
        std::fs::write(folder.join("lapsed.yaml"), home.text("", list.trim_end())).unwrap();
    }
}

#[test]
fn beside_the_daemon_a_tidied_file_changes_nothing_for_anybody() {
    let home = home();
    let list = format!("\n{}{}", line(1), line(6));
    home.write(list.trim_end());
    let _daemon = home.daemon();
    home.until_state("academy/6", "canceled");
    let before = home.writes();
    let ran = home.run(&["tidy"]).ended(0);
    assert!(applied(&["git", "apply"], &home.path(), &ran.out));
    let text = std::fs::read_to_string(home.file()).unwrap();
    assert!(text.contains("cancellations: []\n...\n"), "{text}");
    until("the tidied file is accepted", || {
        let status = home.run(&["status", "--format", "json"]).ended(0);
        let status: Value = serde_json::from_str(&status.out).unwrap();
        let planned = home
            .run(&["plan", "--offline", "--format", "json"])
            .ended(0);
        let planned: Value = serde_json::from_str(&planned.out).unwrap();
        status["revision"]["digest"] == planned["revision"]
    });
    assert_eq!(home.state("academy/6"), "canceled");
    assert_eq!(home.writes(), before);
}

#[test]
fn without_a_ledger_or_a_valid_file_there_is_nothing_to_go_by() {
    let home = Home::new();
    home.write(" []");
    let told = home.run(&["tidy"]).ended(1);
    assert!(told.err.contains("there is no ledger at"), "{}", told.err);
    home.run(&["run", "--once"]).ended(0);
    let told = home.run(&["tidy"]).ended(0);
    assert!(told.err.contains("nothing to take out"), "{}", told.err);
    home.write_text("version: 2\n");
    home.run(&["tidy"]).ended(78);
}
