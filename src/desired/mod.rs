//! Text to desired state: every problem found, every policy applied.
//!
//! Reading is a function of the files' bytes. It does no I/O, never stops at the first
//! problem, and gives either a whole [`Manifest`] or every [`Problem`] with its place.

use serde::Serialize;

use crate::config::Config;
use crate::model::terms::Wanted;

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

/// The include patterns of a main file, without judging the rest of it; none where it cannot
/// be read at all.
pub fn includes(main: &[u8]) -> Vec<String> {
    let _ = main;
    Vec::new()
}

/// Reads everything, or tells everything that is wrong with it.
pub fn read(input: &Input<'_>) -> Result<Manifest, Vec<Problem>> {
    let _ = input;
    Err(Vec::new())
}

/// A file that is whole and valid: how to run, and what is wanted.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// How to run.
    pub config: Config,
    /// What is wanted, in the order of the files.
    pub wanted: Vec<Wanted>,
    /// What a person should know, though nothing is wrong.
    pub warnings: Vec<Problem>,
    /// Whether the main file ends in the YAML end mark `...`.
    pub end_mark: bool,
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
    /// `file:line:column: message`.
    pub fn line(&self) -> String {
        format!(
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )
    }
}
