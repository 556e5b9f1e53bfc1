//! The lines of a text that a page may show, and those around what is wrong with one.
//!
//! A text may hold a secret: on loopback, or where none belongs. So only lines of sections that have no
//! use for one are ever quoted, and what stands under a name that nobody knows is not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde::Serialize;

use crate::desired::{Problem, quote};

/// Problems that are quoted; the rest is told in words.
const MOST: usize = 20;

/// Lines before and after the one that is meant.
const AROUND: usize = 2;

/// Characters of a line.
const WIDEST: usize = 200;

/// What may be quoted: sections that name no secret.
const QUOTED: [&str; 10] = [
    "...",
    "version",
    "mode",
    "reconcile",
    "limits",
    "include",
    "freezes",
    "policies",
    "approvals",
    "cancellations",
];

/// A problem with the lines around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The lines; empty where they might hold a secret.
    pub lines: Vec<Quoted>,
}

/// One line of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quoted {
    /// Its number, from 1.
    pub number: usize,
    /// What stands there.
    pub text: String,
}

/// The first problems, each with its lines. Each file is gone through once.
pub fn excerpts(problems: &[Problem], files: &[(&str, &[u8])]) -> Vec<Excerpt> {
    let told = &problems[..problems.len().min(MOST)];
    let mut shown: BTreeMap<&str, BTreeMap<usize, Quoted>> = BTreeMap::new();
    for (name, bytes) in files {
        let of_file = told.iter().filter(|it| it.file == *name);
        let wanted: BTreeSet<usize> = of_file.flat_map(around).collect();
        if let (Some(last), Ok(text)) = (wanted.last(), std::str::from_utf8(bytes)) {
            let lines = (1..).zip(quotable(name, text)).take(*last);
            let lines = lines.filter(|(number, _)| wanted.contains(number));
            let quoted = lines.filter_map(|(number, line)| {
                let found = told.iter().filter(|it| it.file == *name);
                let found = found.filter(|it| it.line as usize == number);
                let text = quote::quoted(line?, found).chars().take(WIDEST).collect();
                Some((number, Quoted { number, text }))
            });
            shown.insert(name, quoted.collect());
        }
    }
    let lines_of = |problem: &Problem| {
        let lines = shown.get(problem.file.as_str())?;
        if !quote::may_be_shown(problem) {
            return None;
        }
        // Without the line itself the others say nothing.
        lines.get(&(problem.line as usize))?;
        Some(around(problem).filter_map(|it| lines.get(&it).cloned()))
    };
    told.iter()
        .map(|problem| Excerpt {
            file: problem.file.clone(),
            line: problem.line,
            column: problem.column,
            message: problem.message.clone(),
            lines: lines_of(problem).into_iter().flatten().collect(),
        })
        .collect()
}

/// The numbers of its line and of those before and after it.
fn around(problem: &Problem) -> RangeInclusive<usize> {
    let meant = problem.line as usize;
    meant.saturating_sub(AROUND).max(1)..=meant + AROUND
}

/// The lines of a file, without those that might hold a secret.
pub fn quotable<'t>(name: &str, text: &'t str) -> impl Iterator<Item = Option<&'t str>> {
    let table = name.ends_with(".csv");
    let mut section = None;
    text.lines().map(move |line| {
        if let Some(name) = begins(line) {
            section = Some(name);
        }
        let allowed = table || section.is_some_and(|section| QUOTED.contains(&section));
        allowed.then_some(line)
    })
}

/// The section that a line begins: whatever stands at its first column and is no comment. What is no
/// plain key begins one that nobody knows.
fn begins(line: &str) -> Option<&str> {
    let first = line.chars().next()?;
    // A list may stand as far to the left as the key that has it.
    if first.is_whitespace() || first == '#' || line.starts_with("- ") || line == "-" {
        return None;
    }
    let (name, _) = line.split_once(':').unwrap_or((line, ""));
    Some(name.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_on_a_line_that_is_quoted_is_left_out() {
        let problem = |line, code| Problem {
            file: "a.yaml".to_owned(),
            line,
            column: 12,
            code,
            message: "no".to_owned(),
        };
        let text = "version: 1\ncancellations:\n- id: 1\n  api_key: hush\n- whem: soon\n";
        let files: [(&str, &[u8]); 1] = [("a.yaml", text.as_bytes())];
        let excerpts = excerpts(
            &[problem(5, "unknown_key"), problem(4, "inline_secret")],
            &files,
        );
        let lines: Vec<&str> = excerpts[0].lines.iter().map(|it| &*it.text).collect();
        assert_eq!(lines, ["- id: 1", "  api_key: …", "- whem: soon"]);
        assert!(excerpts[1].lines.is_empty(), "the secret's own line");
    }

    fn of(text: &str, line: u32) -> Vec<usize> {
        let problem = Problem {
            file: "a.yaml".to_owned(),
            line,
            column: 1,
            code: "unknown_key",
            message: "no".to_owned(),
        };
        let excerpts = excerpts(&[problem], &[("a.yaml", text.as_bytes())]);
        let lines = excerpts[0].lines.iter();
        lines.map(|line| line.number).collect()
    }

    #[test]
    fn the_lines_around_a_problem_are_quoted() {
        let text = "version: 1\ncancellations:\n- id: 1\n  whem: now\n- id: 2\n- id: 3\n- id: 4\n";
        assert_eq!(of(text, 4), [2, 3, 4, 5, 6]);
        assert_eq!(of(text, 1), [1, 2, 3]);
    }

    #[test]
    fn no_line_that_might_hold_a_secret_is_quoted() {
        let text = "version: 1\nproviders:\n  a:\n    api_key: hush\n\ncancellations:\n- id: 1\n";
        assert_eq!(of(text, 4), [0_usize; 0]);
        assert_eq!(of(text, 6), [6, 7], "none of the section before");
        assert_eq!(of("provders:\n  a: {api_key: hush}\n", 2), [0_usize; 0]);
        assert_eq!(of("admin_token: hush\n", 1), [0_usize; 0]);
        assert_eq!(of("cancellations:\nhush\n  more\n", 3), [0_usize; 0]);
    }
}
