//! The lines that items take up in their file, and the file without them.
//!
//! A file is a text that people wrote: what is taken out is whole lines, and what stays stays
//! as it was, byte by byte. An item goes with the lines from its dash to its last value, and
//! with the comments below it that are indented deeper than its dash. The comments directly
//! above it, indented like its dash, stand over every item down to the next comment or blank
//! line, and go with the last of these. What shares its lines with something else is left for
//! a person.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{FileText, csv};
use crate::yaml::{self, Entry, Mark, Node};

/// What is said of an item that has no lines of its own.
const SHARED: &str = "it shares its lines with others";

/// What is said of the items of a list that cannot be made empty.
const NAMED: &str = "the line that names the list says more than that";

/// A text, and what becomes of its lines.
#[derive(Clone, Debug)]
pub struct Edited<'t> {
    /// The lines as they are, each with its end.
    pub lines: Vec<&'t str>,
    /// What changes, by the number of the line from 0.
    pub changes: BTreeMap<usize, Change>,
}

/// What becomes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is taken out.
    Out,
    /// It says something else, with its end.
    Into(String),
}

impl Edited<'_> {
    /// The text as it will be.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (number, line) in self.lines.iter().enumerate() {
            text.push_str(match self.changes.get(&number) {
                None => line,
                Some(Change::Into(other)) => other,
                Some(Change::Out) => "",
            });
        }
        text
    }

    fn is_blank(&self, number: usize) -> bool {
        self.lines
            .get(number)
            .is_some_and(|line| line.trim().is_empty())
    }

    /// How far a line that is a comment is indented; none if it is something else.
    fn comment(&self, number: usize) -> Option<usize> {
        let line = self.lines.get(number)?;
        let bare = line.trim_start_matches(' ');
        bare.starts_with('#').then(|| line.len() - bare.len())
    }
}

/// A file without some of its items.
#[derive(Clone, Debug)]
pub struct Without<'t> {
    /// Its text.
    pub edited: Edited<'t>,
    /// Items that should go and cannot be taken out by lines: their number in the file, and
    /// why.
    pub bound: Vec<(usize, &'static str)>,
}

/// Takes items out of a valid file: those at whose number `goes` is true.
pub fn without<'t>(file: FileText<'t>, goes: &[bool]) -> Without<'t> {
    let text = std::str::from_utf8(file.bytes).unwrap_or_default();
    let mut edited = Edited {
        lines: text.split_inclusive('\n').collect(),
        changes: BTreeMap::new(),
    };
    let table = file.name.ends_with(".csv");
    let root = if table {
        csv::parse(file.bytes).ok()
    } else {
        yaml::parse(file.bytes).ok().map(|document| document.root)
    };
    let list = root.as_ref().and_then(|root| root.entry("cancellations"));
    let Some(list) = list.filter(|list| list.value.values().len() == goes.len()) else {
        let bound = bound(goes, SHARED, |_| true);
        return Without { edited, bound };
    };
    if !table {
        return out_of_list(edited, list, goes);
    }
    let rows = rows(list.value.values());
    for (row, _) in rows.iter().zip(goes).filter(|(_, goes)| **goes) {
        take_out(&mut edited, row.iter().flat_map(|it| it.lines.clone()));
    }
    let bound = bound(goes, SHARED, |item| rows[item].is_none());
    Without { edited, bound }
}

/// Those of what should go that cannot.
fn bound(
    goes: &[bool],
    why: &'static str,
    cannot: impl Fn(usize) -> bool,
) -> Vec<(usize, &'static str)> {
    (0..goes.len())
        .filter(|item| goes[*item] && cannot(*item))
        .map(|item| (item, why))
        .collect()
}

fn take_out(edited: &mut Edited<'_>, lines: impl IntoIterator<Item = usize>) {
    let out = lines.into_iter().map(|line| (line, Change::Out));
    edited.changes.extend(out);
}

/// The lines that are one item's alone, from 0.
#[derive(Clone, Debug)]
struct Block {
    /// With the comments below that belong to it.
    lines: RangeInclusive<usize>,
    /// How far its dash is indented.
    indent: usize,
}

fn number(line: u32) -> usize {
    (line as usize).saturating_sub(1)
}

/// The rows of a CSV; the first line is the header's.
fn rows(items: &[Node]) -> Vec<Option<Block>> {
    let rows = items.iter().map(|item| {
        Some(Block {
            lines: number(item.mark.line)..=number(item.mark.last_line),
            indent: 0,
        })
    });
    apart(rows.collect())
}

/// The blocks of a list whose items begin with dashes.
fn blocks(edited: &Edited<'_>, items: &[Node]) -> Vec<Option<Block>> {
    let blocks = items.iter().map(|item| {
        let (first, indent) = dash(edited, item.mark)?;
        let mut last = number(item.mark.last_line);
        while edited.comment(last + 1).is_some_and(|it| it > indent) {
            last += 1;
        }
        Some(Block {
            lines: first..=last,
            indent,
        })
    });
    apart(blocks.collect())
}

/// Leaves those blocks that have their lines for themselves. The first line is none's: a list
/// has a name, and a CSV a header.
fn apart(mut blocks: Vec<Option<Block>>) -> Vec<Option<Block>> {
    let mut end = 0;
    let mut before: Option<usize> = None;
    for at in 0..blocks.len() {
        let Some(lines) = blocks[at].as_ref().map(|block| block.lines.clone()) else {
            continue;
        };
        if *lines.start() <= end {
            blocks[at] = None;
            if let Some(before) = before {
                blocks[before] = None;
            }
        }
        end = end.max(*lines.end());
        before = Some(at);
    }
    blocks
}

/// Where the dash of an item stands: before it on its line, or alone on one above.
fn dash(edited: &Edited<'_>, mark: Mark) -> Option<(usize, usize)> {
    let line = number(mark.line);
    let columns = (mark.column as usize).saturating_sub(1);
    let before: String = edited.lines.get(line)?.chars().take(columns).collect();
    if !before.trim().is_empty() {
        return indent_of_dash(&before).map(|indent| (line, indent));
    }
    let above = (0..line)
        .rev()
        .find(|it| !edited.is_blank(*it) && edited.comment(*it).is_none())?;
    let text = edited.lines[above];
    let text = text.split(" #").next().unwrap_or(text);
    indent_of_dash(text).map(|indent| (above, indent))
}

/// How far a dash is indented that stands alone, or before an anchor.
fn indent_of_dash(text: &str) -> Option<usize> {
    let bare = text.trim_start_matches(' ');
    let rest = bare.strip_prefix('-')?;
    let alone = rest.trim().is_empty();
    let anchored = rest.trim_start().starts_with('&')
        && rest.starts_with([' ', '\t'])
        && !rest.trim().contains(char::is_whitespace);
    (alone || anchored).then(|| text.len() - bare.len())
}

/// Takes blocks out of a list, with the comments over them, and leaves `[]` where nothing
/// would be left.
fn out_of_list<'t>(mut edited: Edited<'t>, list: &Entry, goes: &[bool]) -> Without<'t> {
    let blocks = blocks(&edited, list.value.values());
    let named = number(list.key_mark.line);
    let gone: Vec<bool> = blocks
        .iter()
        .zip(goes)
        .map(|(block, goes)| *goes && block.is_some())
        .collect();
    if gone.iter().all(|it| *it) && !gone.is_empty() {
        let Some(empty) = emptied(edited.lines[named], list.key_mark) else {
            let bound = bound(goes, NAMED, |_| true);
            return Without { edited, bound };
        };
        edited.changes.insert(named, Change::Into(empty));
    }
    for (item, block) in blocks.iter().enumerate() {
        let Some(block) = block else { continue };
        if gone[item] {
            take_out(&mut edited, block.lines.clone());
        }
        let floor = match item.checked_sub(1).map(|before| &blocks[before]) {
            Some(Some(before)) => *before.lines.end(),
            Some(None) => continue,
            None => named,
        };
        let above = comments_above(&edited, block, floor);
        if !above.is_empty() && run(&blocks, item).all(|it| gone[it]) {
            take_out(&mut edited, above);
        }
    }
    close_gaps(&mut edited, named);
    let bound = bound(goes, SHARED, |item| blocks[item].is_none());
    Without { edited, bound }
}

/// The comments directly above a block, indented like its dash.
fn comments_above(edited: &Edited<'_>, block: &Block, floor: usize) -> Vec<usize> {
    (floor + 1..*block.lines.start())
        .rev()
        .take_while(|line| edited.comment(*line) == Some(block.indent))
        .collect()
}

/// The items that a comment above one of them stands over: that one, and those that follow
/// without anything between.
fn run(blocks: &[Option<Block>], first: usize) -> impl Iterator<Item = usize> {
    let mut end = None;
    (first..blocks.len()).take_while(move |item| {
        // What is left in place keeps the comment.
        let Some(block) = &blocks[*item] else {
            return true;
        };
        let follows = end.is_none_or(|end: usize| *block.lines.start() == end + 1);
        end = Some(*block.lines.end());
        follows
    })
}

/// Where something is gone between two blank lines, or below the list's name, one of the
/// blank lines goes too.
fn close_gaps(edited: &mut Edited<'_>, named: usize) {
    let out = |edited: &Edited<'_>, line: usize| edited.changes.get(&line) == Some(&Change::Out);
    let emptied = edited.changes.contains_key(&named);
    let mut gaps = Vec::new();
    for line in 1..edited.lines.len() {
        let begins = out(edited, line) && !out(edited, line - 1);
        if !begins {
            continue;
        }
        let open = edited.is_blank(line - 1) || (line - 1 == named && !emptied);
        let end = (line..edited.lines.len()).find(|it| !out(edited, *it));
        gaps.extend(end.filter(|end| open && edited.is_blank(*end)));
    }
    take_out(edited, gaps);
}

/// The line that names a list, with an empty one.
fn emptied(line: &str, key: Mark) -> Option<String> {
    let columns = (key.column as usize).saturating_sub(1);
    let from: usize = line.chars().take(columns).map(char::len_utf8).sum();
    let colon = from + line[from..].find(':')?;
    let (name, rest) = line.split_at(colon + 1);
    let plain = rest.trim().is_empty() || rest.trim_start().starts_with('#');
    plain.then(|| format!("{name} []{rest}"))
}
