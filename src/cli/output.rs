//! How results look: problems with their line, tables, times.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use comfy_table::{ColumnConstraint, ContentArrangement, Table};

use crate::config::Config;
use crate::desired::{Problem, quote};
use crate::model::ids::{ProviderName, SubscriptionId};

/// Problems that are shown with their line.
const SHOWN: usize = 100;

/// Columns of a terminal that does not say how many it has.
const USUAL_WIDTH: u16 = 120;

/// The lines of a file on which its problems stand; all others empty.
pub(super) fn lines_at(bytes: &[u8], name: &str, problems: &[Problem]) -> Vec<String> {
    let wanted: std::collections::BTreeSet<usize> = problems
        .iter()
        .filter(|problem| problem.file == name)
        .map(|problem| problem.line as usize)
        .collect();
    let last = wanted.last().copied().unwrap_or(0);
    String::from_utf8_lossy(bytes)
        .lines()
        .take(last)
        .enumerate()
        .map(|(index, line)| {
            if wanted.contains(&(index + 1)) {
                line.to_owned()
            } else {
                String::new()
            }
        })
        .collect()
}

/// Problems, each with its line and a mark under its column.
pub(super) fn problems(problems: &[Problem], texts: &BTreeMap<String, Vec<String>>) -> String {
    let mut text = String::from("the file is not valid\n\n");
    for problem in problems.iter().take(SHOWN) {
        text.push_str(&with_line(problem, problems, texts));
    }
    if problems.len() > SHOWN {
        let _ = writeln!(text, "… and {} more\n", problems.len() - SHOWN);
    }
    let files: std::collections::BTreeSet<&str> =
        problems.iter().map(|it| it.file.as_str()).collect();
    let _ = write!(
        text,
        "{} in {}",
        count(problems.len() as u64, "problem"),
        count(files.len() as u64, "file")
    );
    text
}

fn with_line(
    problem: &Problem,
    problems: &[Problem],
    texts: &BTreeMap<String, Vec<String>>,
) -> String {
    let beside = problems
        .iter()
        .filter(|it| it.line == problem.line && it.file == problem.file);
    let mut text = format!("{}\n", problem.line());
    let line = texts
        .get(&problem.file)
        .and_then(|lines| lines.get((problem.line as usize).wrapping_sub(1)))
        .filter(|line| {
            !line.trim().is_empty()
                && line.chars().count() <= 160
                && !line.chars().any(char::is_control)
        });
    if let Some(line) = line.filter(|_| quote::may_be_shown(problem)) {
        let line = quote::quoted(line, beside);
        let number = problem.line.to_string();
        let margin = " ".repeat(number.len());
        let before = " ".repeat((problem.column as usize).saturating_sub(1));
        let _ = writeln!(text, "  {number} | {line}\n  {margin} | {before}^");
    }
    text.push('\n');
    text
}

/// `1 item`, `2 items`.
pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// Columns that are never broken, so that what stands in them can be copied.
const WHOLE: [&str; 4] = ["ITEM", "SUBSCRIPTION", "PROVIDER", "EVENT"];

/// A table without lines, as wide as it must be.
pub(super) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    if table.width().is_none() {
        table.set_width(USUAL_WIDTH);
    }
    for (index, name) in header.into_iter().enumerate() {
        if WHOLE.contains(&name)
            && let Some(column) = table.column_mut(index)
        {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    for row in rows {
        table.add_row(row);
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| format!(" {}", line.trim_end()))
        .collect();
    format!("{}\n", lines.join("\n"))
}

/// States and what is like them, and the colour that helps to find each.
const COLOURS: [(&[&str], &str); 3] = [
    (&["canceled", "already_canceled", "enforce", "open"], "32"),
    (&["held", "unknown", "retrying", "observe"], "33"),
    (&["failed", "missed", "DOUBT"], "31"),
];

/// A text with its states in colour, and nothing else changed.
pub(super) fn painted(text: &str) -> String {
    let mut painted = String::with_capacity(text.len());
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | '.');
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let colour = COLOURS.iter().find(|(words, _)| words.contains(&word));
        match colour {
            Some((_, colour)) => {
                let _ = write!(painted, "\x1b[{colour}m{word}\x1b[0m");
            }
            None => painted.push_str(word),
        }
        let between = after.find(is_part).unwrap_or(after.len());
        painted.push_str(&after[..between]);
        rest = &after[between..];
    }
    painted
}

/// An instant in UTC, to the minute.
pub(super) fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M").to_string()
}

/// An instant in UTC, to the second.
pub(super) fn second(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// How far an instant is from now, in words.
pub(super) fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (at - now).num_seconds();
    let length = length(seconds.unsigned_abs());
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("in {length}"),
        _ => format!("{length} ago"),
    }
}

/// A length of time in its two largest units.
pub(super) fn length(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let Some(first) = units.iter().position(|(unit, _)| seconds >= *unit) else {
        return "0 s".to_owned();
    };
    let (unit, name) = units[first];
    let mut text = format!("{} {name}", seconds / unit);
    if let Some((next, next_name)) = units.get(first + 1) {
        let rest = seconds % unit / next;
        if rest > 0 {
            let _ = write!(text, " {rest} {next_name}");
        }
    }
    text
}

/// `PROVIDER/ID`, the id in any spelling.
pub(super) fn key(
    text: &str,
    config: Option<&Config>,
) -> anyhow::Result<(ProviderName, SubscriptionId)> {
    let (provider, id) = text.split_once('/').ok_or_else(|| {
        anyhow::anyhow!("{text:?} is no item; allowed: PROVIDER/ID, such as academy/2145871")
    })?;
    let name = self::provider(provider, config)?;
    let kind = config
        .and_then(|config| config.providers.get(&name))
        .map(|it| it.kind());
    let id = match kind {
        Some(kind) => SubscriptionId::parse(kind, id)
            .map_err(|problem| anyhow::anyhow!("{id:?} is no id of {name}; {problem}"))?,
        None => SubscriptionId::stored(id),
    };
    Ok((name, id))
}

/// A provider that the configuration knows.
pub(super) fn provider(text: &str, config: Option<&Config>) -> anyhow::Result<ProviderName> {
    let Some(config) = config else {
        return ProviderName::parse(text)
            .map_err(|problem| anyhow::anyhow!("{text:?} is no provider; {problem}"));
    };
    let known: Vec<&str> = config.providers.keys().map(ProviderName::as_str).collect();
    config
        .providers
        .keys()
        .find(|name| name.as_str() == text)
        .cloned()
        .ok_or_else(|| {
            let near = crate::yaml::nearest(text, known.iter().copied());
            let hint = near.map_or_else(
                || ".".to_owned(),
                |near| format!("; did you mean `{near}`?"),
            );
            anyhow::anyhow!(
                "{text:?} is no provider of the file{hint} There are: {}",
                known.join(", ")
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_states_are_painted_and_no_letter_is_lost() {
        let text = "academy/held  3 held, 1 failed (was_held)\n held-by\u{e4}\n";
        let painted = painted(text);
        assert_eq!(
            painted,
            "academy/held  3 \x1b[33mheld\x1b[0m, 1 \x1b[31mfailed\x1b[0m (was_held)\n held-by\u{e4}\n"
        );
    }
}
