//! Text to typed values, with the line and column of each.
//!
//! One event parser reads the text once, within limits on size, depth and aliases, and keeps
//! the place of every value. `serde_yaml` then types what it found, with every scalar as the
//! text that was written: `0123`, `1e5` and `12_000` keep each character. A fault does not
//! stop the reading; each is told with its place.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use serde_yaml::{Mapping, Value};

/// What lies within each other, at most.
const DEEPEST: usize = 64;

/// Values that aliases may repeat, at most: an alias bomb is refused long before it is large.
const MOST_REPEATED: usize = 10_000;

/// The longest text of one value, in bytes: nothing that a file holds is longer, a bundle of
/// certificates least of all. Values are copied and quoted on the way, and aliases repeat them.
const LONGEST_TEXT: usize = 64 << 10;

/// What counts as one value when values are counted: a long text counts as several.
const BYTES_OF_A_VALUE: usize = 64;

/// Values that anchors may keep beside the ones in their place, at most. Each anchor keeps all
/// that it stands on, so that anchors within each other keep it as often.
const MOST_KEPT: usize = 1_000_000;

/// Faults of one value that are told; the rest is told once these are mended.
const MOST_FAULTS: usize = 50;

/// Where a value stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// The line on which it ends.
    pub last_line: u32,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub mark: Mark,
    /// A stable word for the kind of fault.
    pub code: &'static str,
    /// What was found and what is allowed, in one line.
    pub message: String,
}

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub mark: Mark,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// As it was written.
    Text(String),
    /// Nothing stands there (or `~`, `null`).
    Empty,
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text; no key comes twice.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Where the key stands.
    pub key_mark: Mark,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The value under a key of a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key of a map.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a map; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The values of a list; none of anything else.
    pub fn values(&self) -> &[Self] {
        match &self.kind {
            Kind::List(values) => values,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The place of what a path leads to, or of the nearest thing on the way.
    pub fn mark_at(&self, path: &[&str]) -> Mark {
        let mut node = self;
        for step in path {
            let next = match step.parse::<usize>() {
                Ok(index) if matches!(node.kind, Kind::List(_)) => node.values().get(index),
                _ => node.get(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.mark
    }

    /// Every value that is empty: told, since none is allowed anywhere.
    pub fn empties(&self, faults: &mut Vec<Fault>) {
        match &self.kind {
            Kind::Empty => {}
            Kind::Text(_) => {}
            Kind::List(values) => {
                for value in values {
                    if matches!(value.kind, Kind::Empty) {
                        faults.push(Fault {
                            mark: value.mark,
                            code: "empty_value",
                            message:
                                "an entry of the list is empty; give it a value, or take it out"
                                    .to_owned(),
                        });
                    }
                    value.empties(faults);
                }
            }
            Kind::Map(entries) => {
                for Entry {
                    key,
                    key_mark,
                    value,
                } in entries
                {
                    if matches!(value.kind, Kind::Empty) {
                        faults.push(Fault {
                            mark: *key_mark,
                            code: "empty_value",
                            message: format!("`{key}` has no value; give it one, or take it out (an empty list is written `[]`)"),
                        });
                    }
                    value.empties(faults);
                }
            }
        }
    }

    /// The value for `serde_yaml`: scalars as text, what is empty left out.
    fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Text(text) => Value::String(text.clone()),
            Kind::Empty => Value::Null,
            Kind::List(values) => Value::Sequence(values.iter().map(Self::to_value).collect()),
            Kind::Map(entries) => {
                let mut map = Mapping::with_capacity(entries.len());
                for entry in entries {
                    if !matches!(entry.value.kind, Kind::Empty) {
                        map.insert(Value::String(entry.key.clone()), entry.value.to_value());
                    }
                }
                Value::Mapping(map)
            }
        }
    }

    /// Types a value. Each fault is told with its place, and what is wrong is left out, until
    /// the rest fits; none where nothing does.
    pub fn read<T: DeserializeOwned>(&self, faults: &mut Vec<Fault>) -> Option<T> {
        // Mostly nothing is wrong; what is, and where, is found on the long way.
        match serde_yaml::from_value(self.to_value()) {
            Ok(typed) => Some(typed),
            Err(_) => self.type_as(self.to_value(), faults),
        }
    }

    /// The same for a map, one entry of which is read otherwise: only that it is there is told.
    pub fn read_but_for<T: DeserializeOwned>(
        &self,
        but: &str,
        faults: &mut Vec<Fault>,
    ) -> Option<T> {
        let mut map = Mapping::new();
        for entry in self.entries() {
            let value = match &entry.value.kind {
                Kind::Empty => continue,
                _ if entry.key == but => Value::Bool(true),
                _ => entry.value.to_value(),
            };
            map.insert(Value::String(entry.key.clone()), value);
        }
        self.type_as(Value::Mapping(map), faults)
    }

    fn type_as<T: DeserializeOwned>(&self, mut value: Value, faults: &mut Vec<Fault>) -> Option<T> {
        match serde_yaml::from_value(value.clone()) {
            Ok(typed) => return Some(typed),
            Err(_) => { /* what is wrong, and where, is found below */ }
        }
        for _ in 0..MOST_FAULTS {
            let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
                Ok(typed) => return Some(typed),
                Err(error) => error,
            };
            let path: Vec<String> = error.path().iter().map(step).collect();
            let steps: Vec<&str> = path.iter().map(String::as_str).collect();
            faults.push(self.fault(&steps, &error.inner().to_string()));
            if !remove(&mut value, &steps) {
                return None;
            }
        }
        None
    }

    /// A fault in words for people.
    fn fault(&self, path: &[&str], said: &str) -> Fault {
        // The path ends in the key itself, which may have any characters in it.
        let unknown = said
            .strip_prefix("unknown field `")
            .zip(path.split_last())
            .and_then(|(rest, (found, holder))| {
                let rest = rest.strip_prefix(found)?.strip_prefix('`')?;
                let allowed: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
                Some((*found, holder, allowed))
            });
        if let Some((found, holder, allowed)) = unknown {
            let mark = self.key_mark_at(holder, found);
            return Fault {
                mark,
                code: "unknown_key",
                message: unknown_key(found, &allowed),
            };
        }
        let name = path.last().copied().unwrap_or("this");
        let mut words = said.to_owned();
        for (theirs, ours) in [
            ("invalid type: ", "found "),
            ("expected a string", "expected a text"),
            ("expected a sequence", "expected a list"),
            ("sequence", "a list"),
            ("string \"", "the text \""),
            ("unit value", "nothing"),
            (", expected ", "; expected "),
            (
                "expected struct Window",
                "expected a map such as {opens: 24h, closes: 6h}",
            ),
            ("expected struct ", "expected a map of the settings of "),
        ] {
            words = words.replace(theirs, ours);
        }
        words = words.replace("found map", "found a map");
        Fault {
            mark: self.mark_at(path),
            code: "wrong_type",
            message: format!("`{name}`: {words}"),
        }
    }

    fn key_mark_at(&self, holder: &[&str], key: &str) -> Mark {
        let mut node = self;
        for step in holder {
            let next = match step.parse::<usize>() {
                Ok(index) if matches!(node.kind, Kind::List(_)) => node.values().get(index),
                _ => node.get(step),
            };
            let Some(next) = next else {
                return node.mark;
            };
            node = next;
        }
        node.entry(key).map_or(node.mark, |entry| entry.key_mark)
    }
}

/// One step of a path, as [`Node::mark_at`] takes it.
fn step(segment: &Segment) -> String {
    match segment {
        Segment::Seq { index } => index.to_string(),
        Segment::Map { key } => key.clone(),
        Segment::Enum { variant } => variant.clone(),
        Segment::Unknown => String::new(),
    }
}

/// Takes what a path leads to out of a value.
fn remove(value: &mut Value, path: &[&str]) -> bool {
    let Some((last, holder)) = path.split_last() else {
        return false;
    };
    let mut at = value;
    for step in holder {
        let next = match at {
            Value::Mapping(map) => map.get_mut(*step),
            Value::Sequence(list) => step.parse::<usize>().ok().and_then(|it| list.get_mut(it)),
            _ => None,
        };
        let Some(next) = next else {
            return false;
        };
        at = next;
    }
    match at {
        Value::Mapping(map) => map.remove(*last).is_some(),
        Value::Sequence(list) => last.parse::<usize>().ok().is_some_and(|index| {
            let inside = index < list.len();
            if inside {
                // The others keep their numbers, and so their places.
                list[index] = Value::String(String::new());
            }
            inside
        }),
        _ => false,
    }
}

fn unknown_key(found: &str, allowed: &[&str]) -> String {
    let list: Vec<String> = allowed.iter().map(|it| format!("`{it}`")).collect();
    match nearest(found, allowed.iter().copied()) {
        Some(near) => format!(
            "`{found}` is no key here; did you mean `{near}`? Allowed: {}",
            list.join(", ")
        ),
        None => format!("`{found}` is no key here; allowed: {}", list.join(", ")),
    }
}

/// A word that is longer is no misspelt one: comparing it would cost its length, over and over.
const LONGEST_WORD: usize = 100;

/// The word that a misspelt one most likely means.
pub fn nearest<'w>(found: &str, allowed: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    if found.len() > LONGEST_WORD {
        return None;
    }
    let found = found.to_ascii_lowercase();
    allowed
        .into_iter()
        .map(|word| {
            let distance = strsim::damerau_levenshtein(&found, &word.to_ascii_lowercase());
            (distance, word)
        })
        .filter(|(distance, word)| *distance <= (word.len().max(found.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// A text that was read.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its one value; empty where the text says nothing.
    pub root: Node,
}

/// Who takes the values of one list while the text is read, so that nobody keeps all of them.
pub trait Taker {
    /// The list begins. `so_far` is the map that it stands in, with an empty list in its place;
    /// nothing follows it there if it is `last`.
    fn begins(&mut self, so_far: &Node, last: bool);
    /// The next value of it.
    fn take(&mut self, value: Node);
}

/// Takes nothing.
struct Nobody;

impl Taker for Nobody {
    fn begins(&mut self, _: &Node, _: bool) {}
    fn take(&mut self, _: Node) {}
}

/// Reads one text.
///
/// # Errors
/// Every fault that can be found before the text breaks off: bytes that are no UTF-8, marks of
/// a merge, syntax, keys that come twice, too much depth, aliases that repeat too much, more
/// than one document.
pub fn parse(bytes: &[u8]) -> Result<Document, Vec<Fault>> {
    read(bytes, None)
}

/// Reads one text, and hands the values of the list under a key of its map on as they come. A list
/// that has an anchor is kept whole instead, as what it may be repeated as. What was taken of a text
/// that turns out to be at fault counts for nothing.
///
/// # Errors
/// As those of [`parse`].
pub fn parse_handing_on(
    bytes: &[u8],
    key: &str,
    taker: &mut dyn Taker,
) -> Result<Document, Vec<Fault>> {
    let handed_on = HandedOn {
        key,
        taker,
        head_only: false,
    };
    read(bytes, Some(handed_on))
}

/// Reads one text no further than until all is known but the values of the list under a key of its
/// map: what follows is not judged.
///
/// # Errors
/// As those of [`parse`].
pub fn parse_head(bytes: &[u8], key: &str) -> Result<Document, Vec<Fault>> {
    let handed_on = HandedOn {
        key,
        taker: &mut Nobody,
        head_only: true,
    };
    read(bytes, Some(handed_on))
}

/// Which list is handed on, and to whom.
struct HandedOn<'h> {
    key: &'h str,
    taker: &'h mut dyn Taker,
    /// Whether the reading ends where nothing but the list is left.
    head_only: bool,
}

fn read(bytes: &[u8], handed_on: Option<HandedOn<'_>>) -> Result<Document, Vec<Fault>> {
    let text = decode(bytes).map_err(|fault| vec![fault])?;
    let markers = merge_markers(text);
    if !markers.is_empty() {
        return Err(markers);
    }
    let mut builder = Builder {
        text,
        handed_on,
        done: false,
        stack: Vec::new(),
        root: None,
        documents: 0,
        anchors: HashMap::new(),
        repeated: 0,
        kept: 0,
        faults: Vec::new(),
        end: end_of(text),
    };
    let result = builder.run();
    if let Err(fault) = result {
        builder.faults.push(fault);
    }
    if !builder.faults.is_empty() {
        let end = builder.end;
        let beyond = |fault: &&mut Fault| fault.mark.line > end.line;
        for fault in builder.faults.iter_mut().filter(beyond) {
            fault.mark = end;
        }
        return Err(builder.faults);
    }
    let root = builder.root.unwrap_or(Node {
        mark: Mark {
            line: 1,
            column: 1,
            last_line: 1,
        },
        kind: Kind::Empty,
    });
    Ok(Document { root })
}

/// Where a text ends, by its last line and the column after it.
fn end_of(text: &str) -> Mark {
    let bytes = text.as_bytes();
    let ends_line = |at: &usize| match bytes[*at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    let number = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
    let line = number((0..bytes.len()).filter(ends_line).count() + 1);
    let from = text.rfind(['\n', '\r']).map_or(0, |at| at + 1);
    Mark {
        line,
        column: number(text[from..].chars().count() + 1),
        last_line: line,
    }
}

fn fault_at(line: usize, column: usize, code: &'static str, message: String) -> Fault {
    let number = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
    Fault {
        mark: Mark {
            line: number(line),
            column: number(column),
            last_line: number(line),
        },
        code,
        message,
    }
}

fn decode(bytes: &[u8]) -> Result<&str, Fault> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        let message = "the file is UTF-16; save it as UTF-8".to_owned();
        return Err(fault_at(1, 1, "not_utf8", message));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let place = |upto: usize| {
        let before = &bytes[..upto];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |it| it + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        (line, column)
    };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = place(error.valid_up_to());
        let message = "these bytes are no UTF-8; save the file as UTF-8".to_owned();
        fault_at(line, column, "not_utf8", message)
    })?;
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let (line, column) = place(at);
        let message = "a NUL byte; the file may have been cut or overwritten by a crash".to_owned();
        return Err(fault_at(line, column, "nul_byte", message));
    }
    Ok(text)
}

/// Marks that a merge left behind, wherever they are indented to.
fn merge_markers(text: &str) -> Vec<Fault> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let bare = line.trim_start();
            let marker = ["<<<<<<<", ">>>>>>>", "|||||||", "======="]
                .into_iter()
                .find(|marker| {
                    bare.strip_prefix(marker)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
                })?;
            let column = line.chars().count() - bare.chars().count() + 1;
            let message =
                format!("`{marker}` is left over from a merge; resolve it and take the marks out");
            Some(fault_at(index + 1, column, "merge_marker", message))
        })
        .take(MOST_FAULTS)
        .collect()
}

/// Whether the last line that says anything is `...`.
pub fn ends_in_mark(text: &str) -> bool {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .is_some_and(|line| line.trim_end() == "...")
}

struct Builder<'t, 'h> {
    text: &'t str,
    handed_on: Option<HandedOn<'h>>,
    /// Whether all is read that is asked for.
    done: bool,
    stack: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    anchors: HashMap<usize, Node>,
    repeated: usize,
    kept: usize,
    faults: Vec<Fault>,
    /// Where the text ends.
    end: Mark,
}

/// A list or map whose end has not come.
struct Open {
    mark: Mark,
    anchor: usize,
    holder: Holder,
}

enum Holder {
    List(Vec<Node>),
    /// A list of which each value is handed on, with the last line of the newest one.
    HandedOn(Option<u32>),
    Map {
        entries: Vec<Entry>,
        /// Where each key stands in `entries`.
        known: HashMap<String, usize>,
        key: Option<(String, Mark)>,
    },
}

impl Builder<'_, '_> {
    fn run(&mut self) -> Result<(), Fault> {
        for event in Parser::new_from_str(self.text) {
            let (event, span) = event.map_err(|error| {
                let at = error.marker();
                fault_at(
                    at.line(),
                    at.col() + 1,
                    "syntax",
                    format!("this is no YAML: {}", error.info()),
                )
            })?;
            self.take(event, span)?;
            if self.done {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let mark = self.inside(mark(span));
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(fault(
                        mark,
                        "several_documents",
                        "a second document begins here; one file holds one document",
                    ));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(mark, tag.is_some());
                if text.len() > LONGEST_TEXT {
                    return Err(fault(
                        mark,
                        "too_long",
                        &format!("the text has more than {LONGEST_TEXT} bytes"),
                    ));
                }
                let plain = style == ScalarStyle::Plain;
                let empty = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let kind = if empty {
                    Kind::Empty
                } else {
                    Kind::Text(text.into_owned())
                };
                self.close(Node { mark, kind }, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.no_tag(mark, tag.is_some());
                let holder = match anchor == 0 && self.hand_on(mark) {
                    true => Holder::HandedOn(None),
                    false => Holder::List(Vec::new()),
                };
                self.open(mark, anchor, holder)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.no_tag(mark, tag.is_some());
                let holder = Holder::Map {
                    entries: Vec::new(),
                    known: HashMap::new(),
                    key: None,
                };
                self.open(mark, anchor, holder)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.stack.pop() else {
                    return Ok(());
                };
                // The end of a block is told without extent, at whatever comes next.
                let bracket = (span.start != span.end).then_some(mark.last_line);
                let (node, anchor) = open.closed(bracket);
                self.close(node, anchor)?;
            }
            Event::Alias(anchor) => self.alias(mark, anchor)?,
            _ => {}
        }
        Ok(())
    }

    /// The parser counts the end of a text without a line end as a line more.
    fn inside(&self, mark: Mark) -> Mark {
        if mark.line > self.end.line {
            return self.end;
        }
        Mark {
            last_line: mark.last_line.min(self.end.line),
            ..mark
        }
    }

    fn no_tag(&mut self, mark: Mark, tagged: bool) {
        if tagged {
            self.faults.push(fault(
                mark,
                "tag",
                "tags such as `!!str` are not allowed; every value is kept as it is written",
            ));
        }
    }

    fn open(&mut self, mark: Mark, anchor: usize, holder: Holder) -> Result<(), Fault> {
        if self.stack.len() >= DEEPEST {
            return Err(fault(
                mark,
                "too_deep",
                &format!("more than {DEEPEST} lists or maps lie within each other here"),
            ));
        }
        let key_expected = matches!(
            self.stack.last(),
            Some(Open {
                holder: Holder::Map { key: None, .. },
                ..
            })
        );
        if key_expected {
            return Err(fault(
                mark,
                "key_not_text",
                "a key must be a text, not a list or a map",
            ));
        }
        self.stack.push(Open {
            mark,
            anchor,
            holder,
        });
        Ok(())
    }

    fn alias(&mut self, mark: Mark, anchor: usize) -> Result<(), Fault> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(fault(
                mark,
                "alias",
                "this alias stands within what it names",
            ));
        };
        self.repeated += size(node);
        if self.repeated > MOST_REPEATED {
            return Err(fault(
                mark,
                "alias_bomb",
                &format!(
                    "aliases repeat more than {MOST_REPEATED} values; write them out, or use `defaults` and policies"
                ),
            ));
        }
        let mut node = node.clone();
        node.mark = mark;
        self.close(node, 0)
    }

    /// Whether the list that begins here is the one that is handed on: then it is told of.
    fn hand_on(&mut self, mark: Mark) -> bool {
        let (
            Some(handed_on),
            [
                Open {
                    mark: top,
                    holder:
                        Holder::Map {
                            entries,
                            known,
                            key: Some((key, key_mark)),
                        },
                    ..
                },
            ],
        ) = (&mut self.handed_on, self.stack.as_slice())
        else {
            return false;
        };
        if key != handed_on.key || known.contains_key(key) {
            return false;
        }
        let mut entries = entries.clone();
        entries.push(Entry {
            key: key.clone(),
            key_mark: *key_mark,
            value: Node {
                mark,
                kind: Kind::List(Vec::new()),
            },
        });
        let so_far = Node {
            mark: *top,
            kind: Kind::Map(entries),
        };
        let last = is_last(self.text, *top, *key_mark);
        handed_on.taker.begins(&so_far, last);
        if last && handed_on.head_only {
            self.root = Some(so_far);
            self.done = true;
        }
        true
    }

    /// Puts a whole value where it belongs.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        if anchor > 0 {
            let size = size(&node);
            self.kept += size;
            if self.kept > MOST_KEPT {
                return Err(fault(
                    node.mark,
                    "alias_bomb",
                    &format!(
                        "anchors on more than {MOST_KEPT} values; write out what they repeat, or use `defaults` and policies"
                    ),
                ));
            }
            if size > MOST_REPEATED {
                return Err(fault(
                    node.mark,
                    "alias_bomb",
                    &format!("an anchor on more than {MOST_REPEATED} values"),
                ));
            }
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.holder {
            Holder::List(values) => values.push(node),
            Holder::HandedOn(last_line) => {
                *last_line = Some(node.mark.last_line);
                if let Some(handed_on) = &mut self.handed_on {
                    handed_on.taker.take(node);
                }
            }
            Holder::Map {
                entries,
                known,
                key,
            } => match key.take() {
                None => match node.kind {
                    Kind::Text(text) => *key = Some((text, node.mark)),
                    Kind::Empty | Kind::List(_) | Kind::Map(_) => {
                        return Err(fault(node.mark, "key_not_text", "a key must be a text"));
                    }
                },
                Some((key, key_mark)) => {
                    if let Some(first) = known.get(&key) {
                        let first = entries[*first].key_mark;
                        self.faults.push(Fault {
                            mark: key_mark,
                            code: "duplicate_key",
                            message: format!("`{key}` stands here a second time; the first is on line {}, column {}", first.line, first.column),
                        });
                    } else {
                        known.insert(key.clone(), entries.len());
                        entries.push(Entry {
                            key,
                            key_mark,
                            value: node,
                        });
                    }
                }
            },
        }
        Ok(())
    }
}

impl Open {
    fn closed(self, bracket: Option<u32>) -> (Node, usize) {
        let Self {
            mut mark,
            anchor,
            holder,
        } = self;
        let (last, kind) = match holder {
            Holder::List(values) => {
                let last = values.last().map(|it| it.mark.last_line);
                (last, Kind::List(values))
            }
            Holder::HandedOn(last) => (last, Kind::List(Vec::new())),
            Holder::Map { entries, .. } => {
                let last = entries.last().map(|it| it.value.mark.last_line);
                (last, Kind::Map(entries))
            }
        };
        mark.last_line = bracket.or(last).unwrap_or(mark.line).max(mark.line);
        (Node { mark, kind }, anchor)
    }
}

/// Whether the entry of a map that its text is written as ends the map: the keys of a map in block
/// style stand one below the other, so that where this one stands at the margin, and no line below it
/// begins another one there, none follows.
fn is_last(text: &str, map: Mark, key: Mark) -> bool {
    let at_margin = map.column == 1 && key.column == 1;
    // YAML ends a line at a carriage return alone as well.
    let alone = |(at, _): (usize, &str)| text.as_bytes().get(at + 1) != Some(&b'\n');
    if text.match_indices('\r').any(alone) {
        return false;
    }
    let mut lines = text.lines().skip(map.line.saturating_sub(1) as usize);
    let in_block = lines.next().is_some_and(|line| !line.starts_with('{'));
    let begins_nothing = |line: &str| {
        let rest = line.strip_prefix('-');
        line.is_empty()
            || line.starts_with([' ', '#'])
            || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            || line.trim_end() == "..."
    };
    at_margin && in_block && text.lines().skip(key.line as usize).all(begins_nothing)
}

/// How many values it is, a long text as several.
fn size(node: &Node) -> usize {
    let of_text = |text: &str| 1 + text.len() / BYTES_OF_A_VALUE;
    match &node.kind {
        Kind::Empty => 1,
        Kind::Text(text) => of_text(text),
        Kind::List(values) => 1 + values.iter().map(size).sum::<usize>(),
        Kind::Map(entries) => {
            let of_entry = |it: &Entry| of_text(&it.key) + size(&it.value);
            1 + entries.iter().map(of_entry).sum::<usize>()
        }
    }
}

fn fault(mark: Mark, code: &'static str, message: &str) -> Fault {
    Fault {
        mark,
        code,
        message: message.to_owned(),
    }
}

fn mark(span: Span) -> Mark {
    let number = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
    let ends_at_line_start = span.end.col() == 0 && span.end.line() > span.start.line();
    Mark {
        line: number(span.start.line()),
        column: number(span.start.col() + 1),
        last_line: number(span.end.line() - usize::from(ends_at_line_start)),
    }
}
