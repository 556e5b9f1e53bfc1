//! Text to desired state: every problem found, every policy applied.
//!
//! Reading is a function of the files' bytes. It does no I/O, never stops at the first
//! problem, and gives either a whole [`Manifest`] or every [`Problem`] with its place.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::config::{Config, LedgerLocation, Match};
use crate::model::terms::Wanted;
use crate::yaml::{self, Fault, Mark, Node};

use self::settings::Settings;
use self::stream::{Found, Main};

mod csv;
mod items;
pub mod lines;
mod notices;
mod policies;
mod providers;
pub mod quote;
mod raw;
mod schema;
mod settings;
mod stream;
mod times;
mod words;

pub use self::schema::{included_schema, schema};

/// One file as it was read: its name as people see it, and its bytes.
#[derive(Clone, Copy, Debug)]
pub struct FileText<'a> {
    /// The name that problems are told with.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Everything that is read at once: the files, and what the include patterns came to.
#[derive(Clone, Debug, Default)]
pub struct Input<'a> {
    /// The main file first, then the included ones in the order of their names.
    pub files: Vec<FileText<'a>>,
    /// Include patterns that matched no file: a warning each, at the pattern's place.
    pub unmatched: Vec<String>,
    /// Pattern and path of what a pattern reached outside the main file's folder (through a
    /// symlink): an error each, at the pattern's place.
    pub outside: Vec<(String, String)>,
}

/// A file that is whole and valid: how to run, and what is wanted.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// How to run.
    pub config: Config,
    /// What is wanted, in the order of the files.
    pub wanted: Vec<Wanted>,
    /// The policies, for telling which of them an item's fields come from and which lost.
    pub policies: Vec<PolicyReport>,
    /// What a person should know, though nothing is wrong.
    pub warnings: Vec<Problem>,
    /// Whether the main file ends in the YAML end mark `...`.
    pub end_mark: bool,
    /// Every file that ends in it.
    pub end_marks: BTreeSet<String>,
}

/// A policy, as it is told.
#[derive(Clone, Debug)]
pub struct PolicyReport {
    /// Its name.
    pub name: String,
    /// Which items it speaks of.
    pub matcher: Match,
    /// Every field that it sets, as it was written.
    pub sets: BTreeMap<&'static str, String>,
}

/// Something that a person got wrong, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// A stable word for the kind of problem, such as `unknown_key`.
    pub code: &'static str,
    /// What was found, what is allowed, the nearest right spelling: one line.
    pub message: String,
}

impl Problem {
    /// `file:line:column: message`, in one line without a character that a terminal obeys.
    pub fn line(&self) -> String {
        let Self {
            file,
            line,
            column,
            message,
            ..
        } = self;
        let file = words::plain(file);
        format!("{file}:{line}:{column}: {message}")
    }
}

/// The key that the items stand under.
pub const ITEMS: &str = "cancellations";

/// Include patterns, at most: each is looked for on the disk.
const MOST_PATTERNS: usize = 1_000;

/// The include patterns of a main file, without judging the rest of it; none where it cannot
/// be read at all, none of more than there may be, and none too large: [`read`] refuses those.
pub fn includes(main: &[u8]) -> Vec<String> {
    let Ok(document) = yaml::parse_head(main, ITEMS) else {
        return Vec::new();
    };
    let patterns = document.root.get("include").map(Node::values);
    patterns
        .filter(|patterns| patterns.len() <= MOST_PATTERNS)
        .unwrap_or_default()
        .iter()
        .filter_map(|pattern| pattern.text().filter(|it| !words::too_large(it)))
        .map(str::to_owned)
        .collect()
}

/// The ledger that a main file names, also where the rest of it is not valid: a daemon that
/// starts with a broken file goes on from that ledger, not from another.
pub fn named_ledger(main: &[u8]) -> Option<LedgerLocation> {
    let found = match yaml::parse_head(main, ITEMS) {
        Ok(document) => document.root.get("ledger")?.text()?.to_owned(),
        // Not even YAML: the line itself, if it stands at the margin and is plain.
        Err(_) => {
            let text = String::from_utf8_lossy(main);
            let value = text.lines().find_map(|line| line.strip_prefix("ledger:"))?;
            let value = value.split(" #").next().unwrap_or(value).trim();
            value.trim_matches(['"', '\'']).to_owned()
        }
    };
    settings::ledger_location(&found).ok()
}

/// Reads everything, or tells everything that is wrong with it.
///
/// # Errors
/// Every problem of every file.
pub fn read(input: &Input<'_>) -> Result<Manifest, Vec<Problem>> {
    let Some((main, included)) = input.files.split_first() else {
        return Err(Vec::new());
    };
    let mut told = Told::default();
    // What is wrong with items is told after all that is wrong with the files themselves.
    let mut found = Found::default();
    let read = stream::main_file(*main, input, &mut told, &mut found);
    let (document, head) = match read {
        Some(read) => (Some(read.document), read.head),
        None => (None, None),
    };
    // A file that is wrong in itself is told as such even when the main file is too.
    let settings = head.as_ref().map(|head| &head.settings);
    for file in included {
        stream::included_file(*file, settings, &mut told, &mut found);
    }
    let Some((document, Main { settings, .. })) = document.zip(head) else {
        return Err(told.sorted());
    };
    told.absorb(found.told);
    let items = found.items;
    let wanted = items.close(main.name, &document.root, &settings, &mut told);
    if !told.problems.is_empty() {
        return Err(told.sorted());
    }
    Ok(manifest(input, settings, wanted, told.warnings))
}

/// Reads how to run, and no item: of text that was read whole before.
///
/// # Errors
/// Every problem of the settings.
pub fn read_settings(input: &Input<'_>) -> Result<Manifest, Vec<Problem>> {
    let Some(main) = input.files.first() else {
        return Err(Vec::new());
    };
    let mut told = Told::default();
    let settings = match yaml::parse_head(main.bytes, ITEMS) {
        Ok(document) => settings::read(&document.root, input, &mut told.of(main.name)),
        Err(faults) => {
            told.of(main.name).faults(faults);
            None
        }
    };
    match settings.filter(|_| told.problems.is_empty()) {
        Some(settings) => Ok(manifest(input, settings, Vec::new(), told.warnings)),
        None => Err(told.sorted()),
    }
}

fn manifest(
    input: &Input<'_>,
    settings: Settings,
    wanted: Vec<Wanted>,
    warnings: Vec<Problem>,
) -> Manifest {
    let ends_in_mark =
        |file: &FileText<'_>| std::str::from_utf8(file.bytes).is_ok_and(yaml::ends_in_mark);
    let policies = settings
        .policies
        .into_iter()
        .map(|policy| PolicyReport {
            name: policy.name,
            matcher: policy.matcher,
            sets: policy.written,
        })
        .collect();
    Manifest {
        config: settings.config,
        wanted,
        policies,
        warnings,
        end_mark: input.files.first().is_some_and(ends_in_mark),
        end_marks: input
            .files
            .iter()
            .filter(|file| ends_in_mark(file))
            .map(|file| file.name.to_owned())
            .collect(),
    }
}

/// What a new file begins as: `lapsed init` writes it.
pub const fn starter() -> &'static str {
    include_str!("starter.yaml")
}

/// Problems that are told one by one; of the rest, how many there are. Who mends these sees the
/// next ones.
const MOST_PROBLEMS: usize = 1_000;

/// Problems and warnings, as they are found.
#[derive(Debug, Default)]
struct Told {
    problems: Vec<Problem>,
    /// The first one that is not told.
    more_at: Option<Problem>,
    /// How many are not told.
    more: usize,
    warnings: Vec<Problem>,
}

impl Told {
    fn of<'t>(&'t mut self, file: &'t str) -> Teller<'t> {
        Teller { told: self, file }
    }

    /// How many problems were found.
    fn found(&self) -> usize {
        self.problems.len() + self.more
    }

    /// Takes over what was told elsewhere, after what was told here.
    fn absorb(&mut self, other: Self) {
        let more = other.more.saturating_sub(1);
        other
            .problems
            .into_iter()
            .chain(other.more_at)
            .for_each(|problem| self.problem(problem));
        self.more += more;
        self.warnings.extend(other.warnings);
    }

    fn problem(&mut self, problem: Problem) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
            return;
        }
        self.more += 1;
        self.more_at.get_or_insert(problem);
    }

    /// In the order of the files and lines.
    fn sorted(mut self) -> Vec<Problem> {
        let mut order: HashMap<String, usize> = HashMap::new();
        for problem in &self.problems {
            let next = order.len();
            order.entry(problem.file.clone()).or_insert(next);
        }
        self.problems.sort_by_key(|problem| {
            (
                order.get(&problem.file).copied(),
                problem.line,
                problem.column,
            )
        });
        self.problems.dedup();
        self.problems.extend(self.more_at.map(|first| Problem {
            code: "more_problems",
            message: format!(
                "and {} more problems, of which this is the place of the first; mend those above, and the next ones are told",
                self.more
            ),
            ..first
        }));
        self.problems
    }
}

/// Tells problems of one file.
struct Teller<'t> {
    told: &'t mut Told,
    file: &'t str,
}

impl Teller<'_> {
    /// A name or a person's words that are shown in one line; control characters are a problem.
    fn in_one_line(&mut self, text: &str, key: &str, mark: Mark) {
        if text.chars().any(char::is_control) {
            self.problem(
                mark,
                "control_characters",
                format!("`{key}`: it has control characters or line breaks in it"),
            );
        }
    }

    fn problem(&mut self, mark: Mark, code: &'static str, message: impl Into<String>) {
        let problem = self.made(mark, code, message.into());
        self.told.problem(problem);
    }

    fn warning(&mut self, mark: Mark, code: &'static str, message: impl Into<String>) {
        let warning = self.made(mark, code, message.into());
        self.told.warnings.push(warning);
    }

    fn faults(&mut self, faults: Vec<Fault>) {
        for fault in faults {
            self.problem(fault.mark, fault.code, fault.message);
        }
    }

    fn made(&self, mark: Mark, code: &'static str, message: String) -> Problem {
        Problem {
            file: self.file.to_owned(),
            line: mark.line,
            column: mark.column,
            code,
            message: words::plain(&message),
        }
    }

    /// Takes a value, or tells at a place what is wrong with it.
    fn take<T>(
        &mut self,
        mark: Mark,
        code: &'static str,
        key: &str,
        result: Result<T, String>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(why) => {
                self.problem(mark, code, format!("`{key}`: {why}"));
                None
            }
        }
    }
}
