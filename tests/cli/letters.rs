//! What `plan`, `explain` and `check` tell of ends of periods, freezes and approvals, word for
//! word, with the moments masked.
//!
//! The letters stand in `tests/cli/letters/`; `cargo test --test lapsed write_the_letters --
//! --ignored` writes them anew.

use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::Datelike as _;
use lapsed::clock::{Clock as _, SystemClock};
use lapsed::sandbox::cast;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Home, Ran, lapsed, project};

const SECRETS: [&str; 4] = [
    "KAJABI_CLIENT_ID",
    "KAJABI_CLIENT_SECRET",
    "REVERE_API_KEY",
    "LOTUS_API_KEY",
];

/// Years whose days are those of 2027, for which the examples are written: they must not age.
const LIKE_2027: [i32; 8] = [2027, 2038, 2049, 2055, 2066, 2077, 2083, 2094];

/// The examples as they were if they had been written last year.
struct Shipped(TempDir);

impl Shipped {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        copy(&project("examples"), &folder.path().join("examples"));
        Self(folder)
    }

    /// A command over them, with no ledger.
    fn told(&self, args: &[&str]) -> Ran {
        let mut command = lapsed();
        command.current_dir(self.0.path()).args(args);
        command.args([
            "--ledger",
            &format!("sqlite:{}/none.db", self.0.path().display()),
        ]);
        for name in SECRETS {
            command.env(name, "x");
        }
        Ran::of(command.output().unwrap())
    }
}

fn told(args: &[&str]) -> Ran {
    Shipped::new().told(args)
}

/// A day of an example in a year that is ahead.
fn ahead(text: &str) -> String {
    let now = SystemClock::new().now().year();
    let year = LIKE_2027.into_iter().find(|year| *year > now).unwrap();
    text.replace("2027-", &format!("{year}-"))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            std::fs::write(to, ahead(&text)).unwrap();
        }
    }
}

/// Every moment and length of time as a word, since they change with each run.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let begins = !masked.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if let Some((length, word)) = changing(rest).filter(|_| begins) {
            masked.push_str(word);
            rest = &rest[length..];
        } else {
            masked.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    // A sentence is broken where its words end, which moments that are longer or shorter shift.
    let words: Vec<&str> = masked.lines().map(|line| line.trim_end()).collect();
    words.join("\n")
}

/// What a text begins with that another day changes: a moment such as `Tue 2026-11-24 20:39`, or
/// a digest over a file with days in it. How long it is, and what stands for it.
fn changing(text: &str) -> Option<(usize, &'static str)> {
    let shape = |shape: &str| {
        let bytes = text.as_bytes().get(..shape.len())?;
        let fits = bytes
            .iter()
            .zip(shape.bytes())
            .all(|(byte, shape)| match shape {
                b'9' => byte.is_ascii_digit(),
                b'h' => byte.is_ascii_hexdigit(),
                b'a' => byte.is_ascii_alphabetic(),
                other => *byte == other,
            });
        fits.then_some(shape.len())
    };
    let moment = shape("aaa 9999-99-99 99:99").or_else(|| shape("9999-99-99"));
    let digest = || shape("hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh");
    moment
        .map(|length| (length, "<moment>"))
        .or_else(|| Some((digest()?, "<digest>")))
}

/// The letters: what is run, and where it is kept.
const LETTERS: [(&str, &[&str]); 5] = [
    (
        "approval.txt",
        &["plan", "--offline", "--config", "examples/approval"],
    ),
    (
        "freeze.txt",
        &["plan", "--offline", "--config", "examples/freeze"],
    ),
    (
        "fraud.txt",
        &["plan", "--offline", "--config", "examples/fraud"],
    ),
    (
        "churn-batch.txt",
        &["plan", "--offline", "--config", "examples/churn-batch"],
    ),
    (
        "explain-fraud.txt",
        &[
            "explain",
            "metered/sub_65aa0b9c1d2e4f5a8b7c6d5e4f3a2b1c",
            "--config",
            "examples/fraud",
        ],
    ),
];

fn kept(name: &str) -> PathBuf {
    project(&format!("tests/cli/letters/{name}"))
}

fn example(path: &str) -> String {
    ahead(&std::fs::read_to_string(project("examples").join(path)).unwrap())
}

/// A folder with one main file.
struct Folder(TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = Self(TempDir::new().unwrap());
        std::fs::write(folder.main(), text).unwrap();
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn main(&self) -> String {
        self.path("lapsed.yaml")
    }

    fn git(&self, args: &[&str]) {
        let done = Command::new("git")
            .current_dir(self.0.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(args)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

#[test]
fn the_shipped_examples_are_told_like_this() {
    for (name, args) in LETTERS {
        let letter = masked(&told(args).ended(0).out);
        let kept = std::fs::read_to_string(kept(name)).unwrap_or_default();
        assert_eq!(letter.trim_end(), kept.trim_end(), "{name}");
    }
}

#[test]
#[ignore = "writes tests/cli/letters"]
fn write_the_letters() {
    std::fs::create_dir_all(project("tests/cli/letters")).unwrap();
    for (name, args) in LETTERS {
        let letter = masked(&told(args).ended(0).out);
        std::fs::write(kept(name), format!("{}\n", letter.trim_end())).unwrap();
    }
}

#[test]
fn the_second_commit_of_the_example_approves_what_the_plan_of_the_first_prints() {
    let mut command = lapsed();
    command.current_dir(project("")).args([
        "plan",
        "--offline",
        "--format",
        "json",
        "--config",
        "examples/approval",
        "--ledger",
        "sqlite:/nowhere/none.db",
    ]);
    let plan = Ran::of(command.output().unwrap());
    let plan: Value = serde_json::from_str(&plan.ended(0).out).unwrap();
    let digest = plan["digests"][0]["digest"].as_str().unwrap();
    assert_eq!(plan["digests"][0]["items"], 5);
    let second = std::fs::read_to_string(project("examples/approval/second-commit.yaml")).unwrap();
    assert!(second.contains(&format!("plan: {digest} #")), "{digest}");
    told(&[
        "check",
        "--strict",
        "--config",
        "examples/approval/second-commit.yaml",
    ])
    .ended(0);
}

#[test]
fn a_plan_against_another_file_tells_the_difference_alone() {
    let against = [
        "plan",
        "--offline",
        "--config",
        "examples/approval/second-commit.yaml",
        "--against",
        "examples/approval/lapsed.yaml",
    ];
    // What the second commit does is to free a canary.
    let second = told(&against).ended(0);
    assert!(
        second.out.contains("When their time comes (2)"),
        "{second:?}"
    );
    assert!(!second.out.contains("Held"), "{second:?}");
    assert!(!second.err.contains("warning"), "{second:?}");
    assert!(!second.err.contains("no ledger here"), "{second:?}");
    let same = [
        &against[..3],
        &["examples/approval", "--against", "examples/approval"],
    ]
    .concat();
    let none = told(&[&same[..], &["--detailed-exitcode"]].concat()).ended(0);
    assert!(none.out.contains("Nothing changes."), "{none:?}");
    let edited = example("approval/lapsed.yaml")
        .replace("  - id: 1c9d7a52-98a1-4f0b-9f0e-6a2a7a1d0b05\n", "")
        .replace("0b01\n", &ahead("0b01\n    when: 2027-03-31\n"));
    let folder = Folder::with(&edited);
    let main = folder.main();
    let first = "examples/approval/lapsed.yaml";
    let args = ["plan", "--offline", "--config", &main, "--against", first];
    let out = told(&args).ended(0).out;
    assert!(out.contains("When their time comes (1)"), "{out}");
    assert!(out.contains("Withdrawn (1)"), "{out}");
    assert!(!out.contains("0b02"), "{out}");
    let changes = [&args[..], &["--detailed-exitcode"]].concat();
    told(&changes).ended(2);
}

#[test]
fn a_plan_against_a_git_revision_reads_the_files_as_they_were() {
    let folder = Folder::with(&example("sunset/lapsed.yaml"));
    let items = example("sunset/cancellations/course-a.yaml");
    let included = folder.path("cancellations/course-a.yaml");
    std::fs::create_dir(folder.path("cancellations")).unwrap();
    std::fs::write(&included, &items).unwrap();
    folder.git(&["init", "-q"]);
    folder.git(&["add", "."]);
    folder.git(&["commit", "-q", "-m", "first"]);
    std::fs::write(&included, items.replace("2145873", "2145999")).unwrap();
    let main = folder.main();
    let args = ["plan", "--offline", "--config", &main, "--against", "HEAD"];
    let out = told(&args).ended(0).out;
    assert!(
        out.contains("academy/2145999") && out.contains("academy/2145873"),
        "{out}"
    );
    assert!(!out.contains("2145871"), "{out}");
    let wrong = [
        "plan",
        "--offline",
        "--config",
        &main,
        "--against",
        "HEAD~7",
    ];
    let wrong = told(&wrong).ended(1);
    assert!(
        wrong.err.contains("neither a file nor a revision"),
        "{wrong:?}"
    );
}

#[test]
fn a_freeze_over_the_only_usable_window_is_a_warning_and_by_the_strict_rules_an_error() {
    let text = example("freeze/lapsed.yaml");
    let folder =
        Folder::with(&text.replace("{opens: 5d, closes: 12h}", "{opens: 24h, closes: 6h}"));
    let main = folder.main();
    let checked = told(&["check", "--config", &main]).ended(0);
    let line = text
        .lines()
        .position(|line| line.contains("2145871"))
        .unwrap()
        + 1;
    assert!(
        checked
            .out
            .contains(&format!("lapsed.yaml:{line}:1: academy/2145871: ")),
        "{checked:?}"
    );
    assert!(checked.out.contains("`Black Friday`"), "{checked:?}");
    told(&["check", "--strict", "--config", &main]).ended(78);
}

#[test]
fn limits_that_leave_no_room_are_told_before_anything_is_accepted() {
    let text = example("freeze/lapsed.yaml");
    let both = text
        .replace(
            &ahead("period_ends: 2027-11-29"),
            &ahead("period_ends: 2027-12-14"),
        )
        .replace("freezes:\n", "limits: {per_day: 1}\n\nfreezes:\n")
        .replace("{opens: 5d, closes: 12h}", "{opens: 24h, closes: 6h}");
    let folder = Folder::with(&both);
    let main = folder.main();
    let checked = told(&["check", "--config", &main]).ended(0);
    assert!(
        checked
            .out
            .contains("the limits of writes let others go first"),
        "{checked:?}"
    );
    let planned = told(&["plan", "--offline", "--config", &main]).ended(0);
    assert!(planned.out.contains("NOT IN TIME"), "{planned:?}");
    assert!(
        planned.out.contains("1 item cannot be cancelled in time"),
        "{planned:?}"
    );
}

#[test]
fn an_approval_past_its_day_is_a_warning_by_any_rules() {
    let text = example("approval/second-commit.yaml");
    let folder = Folder::with(&text.replace(&ahead("until: 2027-06-30"), "until: 2020-06-30"));
    let main = folder.main();
    let checked = told(&["check", "--strict", "--config", &main]).ended(0);
    assert!(checked.out.contains("2020-06-30, is past"), "{checked:?}");
    let planned = told(&["plan", "--offline", "--config", &main]).ended(0);
    assert!(planned.err.contains("frees nothing"), "{planned:?}");
}

#[test]
fn a_calendar_tells_the_days_and_refuses_a_day_that_is_none() {
    let args = [
        "plan",
        "--offline",
        "--config",
        "examples/freeze",
        "--until",
    ];
    let until = |day: &str| told(&[&args[..], &[day]].concat());
    let calendar = until(&ahead("2027-12-20")).ended(0).out;
    for line in [
        "Wed 2027-11-24  academy 1 (09:00)",
        "Mon 2027-11-29  frozen: Black Friday; 1 period ends",
        "Thu 2027-12-09  academy 1 (09:00)",
    ] {
        assert!(calendar.contains(&ahead(line)), "{line}\n{calendar}");
    }
    for (wrong, why) in [
        ("soon", "is no moment"),
        ("2027-02-30", "is no moment"),
        ("2020-01-01", "lies in the past"),
        ("2999-01-01", "more than twenty years"),
    ] {
        let refused = until(wrong).ended(1);
        assert!(refused.err.contains(why), "{refused:?}");
    }
}

#[test]
fn a_comment_is_short_enough_for_a_pull_request_whatever_the_file_holds() {
    let items: String = (0..3_000)
        .map(|n| format!("  - {{id: i{n}, reason: \"because | of <b>{n}</b> @someone\"}}\n"))
        .collect();
    let text = example("approval/lapsed.yaml");
    let head = &text[..text.find("cancellations:").unwrap()];
    let folder = Folder::with(&format!("{head}cancellations:\n{items}...\n"));
    let main = folder.main();
    let args = [
        "plan",
        "--offline",
        "--format",
        "markdown",
        "--config",
        &main,
    ];
    let comment = told(&args).ended(0).out;
    assert!(
        comment.chars().count() < 60_000,
        "{}",
        comment.chars().count()
    );
    assert!(comment.contains("| Held | 3000 |"), "{comment}");
    assert!(comment.contains("wait for an approval"));
    assert!(!comment.contains("<b>") && !comment.contains("@someone"));
}

/// What the daemon has accepted is approved by a command, told by the next plan.
#[test]
fn a_batch_waits_and_a_command_frees_it() {
    let home = Home::new();
    let key = format!("donations/{}", cast::REVERE_MONTHLY);
    let item = format!(
        "\n  - {{id: {}, provider: donations}}",
        cast::REVERE_MONTHLY
    );
    home.write_text(&home.text("limits: {approval_above: 0}\n", &item));
    let _daemon = home.daemon();
    home.until_state(&key, "held");
    let plan = home.run(&["plan", "--format", "json"]).ended(0).out;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let digest = plan["digests"][0]["digest"].as_str().unwrap();
    let mistyped = format!("0{}", &digest[1..]);
    let mistyped = mistyped.replacen("00", "01", 1);
    let wrong = home.run(&["approve", &mistyped]).ended(1);
    assert!(wrong.err.contains(digest), "{wrong:?}");
    let approved = home.run(&["approve", digest, "--by", "dana"]).ended(0);
    assert!(
        approved.out.contains("approved 1 of 1 item"),
        "{approved:?}"
    );
    home.until_state(&key, "canceled");
    let explained = home.run(&["explain", &key]).ended(0).out;
    assert!(explained.contains("approved by dana"), "{explained}");
}
