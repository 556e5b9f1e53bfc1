//! The lines of a text that a page may show, and those around what is wrong with one.
//!
//! A text may hold a secret: on loopback, or where none belongs. So only lines of sections that have no
//! use for one are ever quoted, and what stands under a name that nobody knows is not.

use serde::Serialize;

use crate::desired::Problem;

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

/// The first problems, each with its lines.
pub fn excerpts(problems: &[Problem], files: &[(&str, &[u8])]) -> Vec<Excerpt> {
    problems
        .iter()
        .take(MOST)
        .map(|problem| {
            let file = files.iter().find(|(name, _)| *name == problem.file);
            Excerpt {
                file: problem.file.clone(),
                line: problem.line,
                column: problem.column,
                message: problem.message.clone(),
                lines: file.map_or_else(Vec::new, |(name, bytes)| quoted(name, bytes, problem)),
            }
        })
        .collect()
}

fn quoted(name: &str, bytes: &[u8], problem: &Problem) -> Vec<Quoted> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Vec::new();
    };
    let meant = problem.line as usize;
    let lines: Vec<Quoted> = (1..)
        .zip(quotable(name, text))
        .take(meant + AROUND)
        .skip(meant.saturating_sub(AROUND + 1))
        .filter_map(|(number, line)| {
            Some(Quoted {
                number,
                text: line?.chars().take(WIDEST).collect(),
            })
        })
        .collect();
    // Without the line itself the others say nothing.
    match lines.iter().any(|line| line.number == meant) {
        true => lines,
        false => Vec::new(),
    }
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
