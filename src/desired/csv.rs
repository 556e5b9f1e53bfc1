//! A CSV file of items, as the same tree that YAML gives: a list of maps, each value with its
//! place, so that every rule of an item holds for a row as well.
//!
//! RFC 4180 as `csv-core` reads it, and stricter: a quote must be closed, and the last line must
//! end, since a file that was cut short may end in half an id.

use csv_core::{ReadFieldResult, Reader};

use super::words::not_allowed;
use crate::yaml::{Entry, Fault, Kind, Mark, Node};

/// What a column may be named; `labels.` goes on with a name of one's own.
const COLUMNS: [&str; 17] = [
    "id",
    "provider",
    "when",
    "reason",
    "requested",
    "again",
    "period_ends",
    "when_missed",
    "flat_fee_behavior",
    "usage_behavior",
    "invoicing_behavior",
    "window.opens",
    "window.closes",
    "expect.customer",
    "expect.plan",
    "expect.offer",
    LABEL,
];

/// How a label's column is told of.
const LABEL: &str = "labels.NAME";

/// The longest cell: nothing that an item holds is longer.
const LONGEST_CELL: usize = 4_096;

/// Columns, at most: all that there are, and as many labels as an item can have.
const MOST_COLUMNS: usize = COLUMNS.len() + 100;

/// What is said of a last line that does not end.
const CUT: &str =
    "the last line does not end, so that the file may have been cut short; end it with a line end";

/// One cell, with its place.
struct Cell {
    mark: Mark,
    text: String,
}

/// Reads a file as `{cancellations: [...]}`.
///
/// # Errors
/// Everything that is wrong with it as CSV, and with its header.
pub(super) fn parse(bytes: &[u8]) -> Result<Node, Vec<Fault>> {
    let top = Mark {
        line: 1,
        column: 1,
        last_line: 1,
    };
    let fault = |mark, code, message: String| Fault {
        mark,
        code,
        message,
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        let message = "the file is not UTF-8; save it as \"CSV UTF-8\"".to_owned();
        return Err(vec![fault(top, "encoding", message)]);
    };
    let mut rows = rows(text)?.into_iter();
    let Some(header) = rows.next() else {
        let message =
            "the file says nothing; its first line names the columns, such as `id,provider,when`";
        return Err(vec![fault(top, "empty_file", message.to_owned())]);
    };
    let mut faults = header_faults(&header);
    let mut items = Vec::new();
    for row in rows {
        let mark = Mark {
            last_line: row.last().map_or(1, |cell| cell.mark.last_line),
            ..row.first().map_or(top, |cell| cell.mark)
        };
        if row.len() != header.len() {
            let message = format!(
                "the row has {} cells, and the header names {} columns",
                row.len(),
                header.len()
            );
            faults.push(fault(mark, "csv_row", message));
            continue;
        }
        items.push(item(&header, row, mark));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let list = Node {
        mark: top,
        kind: Kind::List(items),
    };
    Ok(Node {
        mark: top,
        kind: Kind::Map(vec![Entry {
            key: "cancellations".to_owned(),
            key_mark: top,
            value: list,
        }]),
    })
}

/// Where the reading has come to.
#[derive(Clone, Copy)]
struct Cursor<'t> {
    text: &'t str,
    at: usize,
    line: u32,
    column: u32,
}

impl Cursor<'_> {
    /// Goes on by so many bytes.
    fn pass(&mut self, bytes: usize) {
        for c in self.text[self.at..self.at + bytes].chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.at += bytes;
    }

    fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.at..]
    }
}

/// Every row, blank lines left out.
fn rows(text: &str) -> Result<Vec<Vec<Cell>>, Vec<Fault>> {
    // What spreadsheets write before the first character.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::new();
    let mut cursor = Cursor {
        text,
        at: 0,
        line: 1,
        column: 1,
    };
    let mut buffer = vec![0; LONGEST_CELL];
    let mut rows = Vec::new();
    let mut row: Vec<Cell> = Vec::new();
    loop {
        if row.is_empty() {
            let ends = cursor
                .rest()
                .iter()
                .take_while(|it| matches!(it, b'\r' | b'\n'));
            let ends = ends.count();
            cursor.pass(ends);
        }
        let mark = Mark {
            line: cursor.line,
            column: cursor.column,
            last_line: cursor.line,
        };
        let wrong = |code, message: &str| {
            vec![Fault {
                mark,
                code,
                message: message.to_owned(),
            }]
        };
        // It ends right after a comma: the cell that is empty may have been meant to say more.
        if !row.is_empty() && cursor.rest().is_empty() {
            return Err(wrong("csv_cut", CUT));
        }
        let begin = cursor.at;
        let (result, read, written) = reader.read_field(cursor.rest(), &mut buffer);
        // At the end of the text the reader wants to be told that no more will come.
        let (result, read, written) = match result {
            ReadFieldResult::InputEmpty => {
                if read > 0 && !text.ends_with(['\n', '\r']) {
                    return Err(wrong("csv_cut", CUT));
                }
                let (result, _, more) = reader.read_field(&[], &mut buffer[written..]);
                (result, read, written + more)
            }
            other => (other, read, written),
        };
        let raw = &text[begin..begin + read];
        cursor.pass(read);
        match result {
            ReadFieldResult::OutputFull => {
                return Err(wrong("too_long", "the cell has more than 4096 bytes"));
            }
            ReadFieldResult::End => return Ok(rows),
            ReadFieldResult::InputEmpty => {
                return Err(wrong("csv_quote", "the quote is not closed"));
            }
            ReadFieldResult::Field { record_end } => {
                if !quoted_well(raw) {
                    return Err(wrong(
                        "csv_quote",
                        "a cell that begins with a quote ends with one, and a quote within it is written twice (\"\")",
                    ));
                }
                let lines = raw.trim_end_matches(['\r', '\n']).matches('\n').count();
                row.push(Cell {
                    mark: Mark {
                        last_line: mark.line + u32::try_from(lines).unwrap_or(u32::MAX),
                        ..mark
                    },
                    // What was UTF-8 with its quotes is UTF-8 without them.
                    text: String::from_utf8_lossy(&buffer[..written]).into_owned(),
                });
                if record_end {
                    rows.push(std::mem::take(&mut row));
                }
            }
        }
    }
}

/// Whether a cell as it was written, with what ends it, keeps the rules of quotes.
fn quoted_well(raw: &str) -> bool {
    let cell = raw.trim_end_matches(['\r', '\n']);
    let cell = cell.strip_suffix(',').unwrap_or(cell);
    if !cell.starts_with('"') {
        return !cell.contains('"');
    }
    cell.strip_prefix('"')
        .and_then(|cell| cell.strip_suffix('"'))
        .is_some_and(|within| !within.replace("\"\"", "").contains('"'))
}

fn header_faults(header: &[Cell]) -> Vec<Fault> {
    if let Some(first) = header.get(MOST_COLUMNS) {
        return vec![Fault {
            mark: first.mark,
            code: "too_many_columns",
            message: format!(
                "the header names {} columns; allowed: at most {MOST_COLUMNS}",
                header.len()
            ),
        }];
    }
    let mut faults = Vec::new();
    for (index, cell) in header.iter().enumerate() {
        let name = cell.text.as_str();
        let label = name
            .strip_prefix("labels.")
            .is_some_and(|it| !it.is_empty());
        let known = label || (COLUMNS.contains(&name) && name != LABEL);
        let twice = header[..index].iter().any(|it| it.text == name);
        let (code, message) = if twice {
            ("duplicate_key", format!("the column {name:?} comes twice"))
        } else if !known {
            (
                "unknown_key",
                format!("the column {}", not_allowed(name, COLUMNS)),
            )
        } else {
            continue;
        };
        faults.push(Fault {
            mark: cell.mark,
            code,
            message,
        });
    }
    if !header.iter().any(|cell| cell.text == "id") {
        faults.push(Fault {
            mark: header.first().map(|cell| cell.mark).unwrap_or_default(),
            code: "missing",
            message: "no column is named `id`; the first line names the columns, such as `id,provider,when`".to_owned(),
        });
    }
    faults
}

/// A row as an item: an empty cell is a field that is not given.
fn item(header: &[Cell], row: Vec<Cell>, mark: Mark) -> Node {
    let mut entries: Vec<Entry> = Vec::new();
    for (name, cell) in header.iter().zip(row) {
        if cell.text.is_empty() {
            continue;
        }
        let value = Node {
            mark: cell.mark,
            kind: Kind::Text(cell.text),
        };
        let Some((outer, inner)) = name.text.split_once('.') else {
            entries.push(entry(&name.text, value));
            continue;
        };
        let inner = entry(inner, value);
        match entries.iter_mut().find(|it| it.key == outer) {
            Some(Entry {
                value:
                    Node {
                        kind: Kind::Map(map),
                        ..
                    },
                ..
            }) => map.push(inner),
            _ => {
                let map = Node {
                    mark: inner.key_mark,
                    kind: Kind::Map(vec![inner]),
                };
                entries.push(entry(outer, map));
            }
        }
    }
    Node {
        mark,
        kind: Kind::Map(entries),
    }
}

fn entry(key: &str, value: Node) -> Entry {
    Entry {
        key: key.to_owned(),
        key_mark: value.mark,
        value,
    }
}
