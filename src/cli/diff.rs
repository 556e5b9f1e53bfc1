//! A change of a file as a unified diff, as `git apply` and `patch -p1` take it.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use crate::desired::lines::{Change, Edited};

/// Lines around a change that show where it is.
const CONTEXT: usize = 3;

/// What is said after a last line that does not end.
const NO_END: &str = "\n\\ No newline at end of file\n";

/// The diff of one file; nothing where nothing changes.
pub(super) fn unified(name: &str, edited: &Edited<'_>) -> String {
    if edited.changes.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "--- {}\n+++ {}\n",
        named(&format!("a/{name}")),
        named(&format!("b/{name}"))
    );
    // How many lines fewer the new text has before a hunk.
    let mut fewer = 0;
    for lines in hunks(edited) {
        let old = lines.clone().count();
        let gone = lines
            .clone()
            .filter(|line| edited.changes.get(line) == Some(&Change::Out))
            .count();
        let begin = lines.start() + 1;
        // A side without a line is told by the line before it.
        let new_begin = begin - fewer - usize::from(old == gone);
        let _ = writeln!(out, "@@ -{begin},{old} +{new_begin},{} @@", old - gone);
        for line in lines {
            hunk_line(&mut out, edited, line);
        }
        fewer += gone;
    }
    out
}

/// The lines of each hunk, from 0: changes whose context meets are one.
fn hunks(edited: &Edited<'_>) -> Vec<RangeInclusive<usize>> {
    let last = edited.lines.len().saturating_sub(1);
    let mut hunks: Vec<RangeInclusive<usize>> = Vec::new();
    for line in edited.changes.keys() {
        let begin = line.saturating_sub(CONTEXT);
        let end = (line + CONTEXT).min(last);
        match hunks.last_mut() {
            Some(hunk) if begin <= hunk.end() + 1 => *hunk = *hunk.start()..=end,
            _ => hunks.push(begin..=end),
        }
    }
    hunks
}

fn hunk_line(out: &mut String, edited: &Edited<'_>, number: usize) {
    let line = edited.lines[number];
    match edited.changes.get(&number) {
        None => one(out, ' ', line),
        Some(Change::Out) => one(out, '-', line),
        Some(Change::Into(other)) => {
            one(out, '-', line);
            one(out, '+', other);
        }
    }
}

fn one(out: &mut String, sign: char, line: &str) {
    out.push(sign);
    out.push_str(line);
    if !line.ends_with('\n') {
        out.push_str(NO_END);
    }
}

/// A name as git writes it: in quotes where it has what a line of a diff cannot carry, and with
/// a tab behind it where it has spaces.
fn named(name: &str) -> String {
    let odd = |c: char| c.is_control() || matches!(c, '"' | '\\');
    if name.contains(odd) {
        let mut quoted = String::from("\"");
        for c in name.chars() {
            match c {
                '"' | '\\' => quoted.extend(['\\', c]),
                c if c.is_control() => {
                    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                        let _ = write!(quoted, "\\{byte:03o}");
                    }
                }
                c => quoted.push(c),
            }
        }
        quoted.push('"');
        return quoted;
    }
    if name.contains(' ') {
        return format!("{name}\t");
    }
    name.to_owned()
}
