//! What is said of what is wrong: the place, what was found, what is allowed; and nothing that a
//! log or a terminal would obey.

use lapsed::model::text::is_unseen;

use super::properties::{HEAD, MAIN, assert_told_well, judge};
use crate::support::Home;

/// Control characters, and characters that turn or hide what stands around them.
const UNSEEN: [&str; 6] = [
    "\\e[2J",
    "\\n::error::",
    "\\r",
    "\\u202e",
    "\\u200b",
    "\\x7f",
];

#[test]
fn a_sample_of_messages_names_the_place_what_was_found_and_what_is_allowed() {
    let cases = [
        ("whn: now", "8:34", "`whn`", "`when`"),
        ("when: nwo", "8:40", "\"nwo\"", "`now`"),
        ("when: 2026-13-01", "8:40", "2026-13-01", "a day such as"),
        (
            "when: now, again: 0",
            "8:52",
            "0",
            "1 for the first request",
        ),
        ("when: now, again: two", "8:52", "\"two\"", "whole number"),
        (
            "when: now, when_missed: later",
            "8:58",
            "\"later\"",
            "`next_period`",
        ),
        ("when: now, window: {opens: 5}", "8:61", "\"5\"", "24h"),
        (
            "when: now, expect: {plann: x}",
            "8:61",
            "\"plann\"",
            "`plan`",
        ),
        ("when: now, labels: [a]", "8:53", "a list", "a map"),
    ];
    let mut wrong = Vec::new();
    for (fields, place, found, allowed) in cases {
        let text = format!("{HEAD}cancellations:\n  - {{id: a, provider: donations, {fields}}}\n");
        let problems = judge(&[(MAIN, text.as_bytes())]).unwrap_err();
        let lines: Vec<String> = problems.iter().map(|it| it.line()).collect();
        let begins = format!("{MAIN}:{place}");
        let says = |line: &String| {
            line.starts_with(&begins) && line.contains(found) && line.contains(allowed)
        };
        if !lines.iter().any(says) {
            wrong.push(format!("{fields}: {lines:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Wherever a text of the file can come into a message.
#[test]
fn no_message_holds_a_character_that_a_log_or_a_terminal_obeys() {
    for unseen in UNSEEN {
        let texts = [
            format!("\"{unseen}\": 1\n"),
            format!("{HEAD}\"{unseen}\": 1\n\"{unseen}\": 2\n"),
            format!("{HEAD}\"k{unseen}\":\n"),
            format!("{HEAD}mode: \"{unseen}\"\n"),
            format!("{HEAD}listen: \"{unseen}\"\nledger: \"{unseen}\"\nmax_bytes: \"{unseen}\"\n"),
            format!("{HEAD}include: [\"{unseen}\", \"../{unseen}\"]\n"),
            format!("{HEAD}include: {{\"{unseen}\": 1}}\n"),
            format!("{HEAD}allowed_hosts: [\"{unseen}\"]\nledger_id: \"{unseen}\"\n"),
            format!("{HEAD}admin_token: {{env: \"{unseen}\"}}\nread_token: {{\"{unseen}\": a}}\n"),
            format!("version: 1\nproviders:\n  \"{unseen}\": {{type: kajabi}}\n"),
            format!(
                "version: 1\nproviders:\n  p: {{type: \"{unseen}\", base_url: \"{unseen}\", schedule: \"{unseen}\"}}\n"
            ),
            format!(
                "version: \"{unseen}\"\nreconcile: {{timezone: \"{unseen}\", schedule: \"{unseen}\"}}\nproviders: {{}}\n"
            ),
            format!(
                "{HEAD}policies:\n  - name: \"{unseen}\"\n  - name: \"{unseen}\"\n    match: {{provider: \"{unseen}\", type: \"{unseen}\", id: \"[{unseen}\", \"{unseen}\": 1}}\n    set: {{usage_behavior: \"{unseen}\"}}\n"
            ),
            format!(
                "{HEAD}policies:\n  - name: \"{unseen}\"\n    match: {{provider: donations}}\n    set: {{usage_behavior: bill_full}}\n"
            ),
            format!(
                "{HEAD}freezes: [{{name: \"{unseen}\", from: \"{unseen}\", until: \"{unseen}\", cron: \"{unseen}\"}}]\n"
            ),
            format!(
                "{HEAD}approvals: [{{plan: \"{unseen}\", by: \"{unseen}\", until: \"{unseen}\", at_most: \"{unseen}\"}}]\n"
            ),
            format!("{HEAD}limits: {{per_hour: \"{unseen}\", approval_above: \"{unseen}\"}}\n"),
            format!("{HEAD}cancellations: \"{unseen}\"\n"),
            format!("{HEAD}cancellations: [\"{unseen}\"]\n"),
            format!("{HEAD}cancellations: [{{\"{unseen}\": 1}}]\n"),
            format!(
                "{HEAD}cancellations: [{{id: \"{unseen}\", provider: donations, when: now}}]\n"
            ),
            format!("{HEAD}cancellations: [{{id: a, provider: \"{unseen}\"}}]\n"),
            format!("{HEAD}cancellations: [{{id: a, provider: donations, when: \"{unseen}\"}}]\n"),
            format!(
                "{HEAD}cancellations: [{{id: a, provider: donations, when: \"2026-{unseen}\", period_ends: \"{unseen}\"}}]\n"
            ),
            format!(
                "{HEAD}cancellations: [{{id: a, provider: donations, when: now, labels: {{\"{unseen}\": 1}}, expect: {{\"{unseen}\": 1}}}}]\n"
            ),
            format!(
                "{HEAD}cancellations: [{{id: a, provider: donations, when: now, window: {{opens: \"{unseen}\", \"{unseen}\": 1}}}}]\n"
            ),
        ];
        for text in texts {
            match judge(&[(MAIN, text.as_bytes())]) {
                Err(problems) => assert_told_well(&problems, &[(MAIN, text.as_bytes())]),
                Ok(_) => panic!("accepted: {text}"),
            }
        }
    }
}

#[test]
fn a_cell_of_a_csv_brings_no_such_character_into_a_message() {
    let main = format!("{HEAD}include: [\"*.csv\"]\ncancellations: []\n");
    for unseen in ["\u{1b}[2J", "\u{202e}", "\u{200b}", "\u{7f}", "\u{b}"] {
        for csv in [
            format!("{unseen}\na\n"),
            format!("id,{unseen},{unseen}\na,b,c\n"),
            format!("id,provider,when\n{unseen},donations,now\n"),
            format!("id,provider,when\na,{unseen},{unseen}\n"),
            format!("id,provider,when,expect.{unseen}\na,donations,now,x\n"),
        ] {
            let files = [(MAIN, main.as_bytes()), ("a.csv", csv.as_bytes())];
            let problems = judge(&files).unwrap_err();
            assert_told_well(&problems, &files);
        }
    }
}

#[test]
fn the_name_of_a_file_brings_no_such_character_into_a_line() {
    let main = format!("{HEAD}include: [\"*.yaml\"]\ncancellations: []\n");
    for name in ["a\n::error::b.yaml", "a\u{1b}[2J.yaml", "a\u{202e}.yaml"] {
        let files = [(MAIN, main.as_bytes()), (name, b"x: 1\n".as_slice())];
        let problems = judge(&files).unwrap_err();
        for problem in problems {
            assert_eq!(problem.file, name);
            let line = problem.line();
            assert!(!line.chars().any(is_unseen), "{line:?}");
        }
    }
}

/// From the front door: in every format, nothing but the line ends and the colours of our own.
#[test]
fn check_prints_nothing_that_a_terminal_obeys() {
    let home = Home::new();
    home.write_text(&format!(
        "{HEAD}\"\\e[2J\\e]0;gone\\a\": 1\n\"\u{202e}evil\": 2\ncancellations: [{{id: \"\\n::error::x\", provider: donations, when: now}}]\n"
    ));
    for format in ["human", "json", "github"] {
        let ran = home.run(&["check", "--format", format]);
        assert_eq!(ran.code, 78, "{}{}", ran.out, ran.err);
        let all = format!("{}{}", ran.out, ran.err);
        let obeyed = |c: char| c.is_control() && c != '\n';
        assert!(!all.contains(obeyed), "{format}: {all:?}");
        let commands = all.lines().filter(|line| line.starts_with("::"));
        let ours = commands.filter(|line| !line.starts_with("::error file="));
        assert_eq!(ours.count(), 0, "{all}");
    }
}
