//! Which files the patterns of `include` name.
//!
//! A pattern is relative to the main file's folder; `*` stays within one part of a path,
//! `**` goes down. Names that begin with a dot are passed over unless the pattern has such a
//! part itself, and names that begin with two dots always (Kubernetes keeps its own there).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::Outside;
use super::error::SourceError;

/// Enough for any folder of cancellations, and a stop on the way through a whole disk.
const MOST_ENTRIES: usize = 200_000;

/// What the patterns name.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By name: where each really is, inside the root.
    pub(super) files: BTreeMap<String, PathBuf>,
    pub(super) unmatched: Vec<String>,
    pub(super) outside: Vec<Outside>,
    /// The folders that were looked through.
    pub(super) folders: BTreeSet<PathBuf>,
}

/// Looks for what the patterns name below a root, which must be free of links.
pub(super) fn find(root: &Path, main: &str, patterns: &[String]) -> Result<Found, SourceError> {
    let mut walk = Walk {
        root,
        main,
        pattern: String::new(),
        found: Found::default(),
        entries_left: MOST_ENTRIES,
        inside: Vec::new(),
    };
    for pattern in patterns {
        walk.pattern(pattern)?;
    }
    walk.found.outside.sort();
    walk.found.outside.dedup();
    Ok(walk.found)
}

/// Which of these names the patterns speak of, main file aside: for files that are not on disk.
pub fn included_names(patterns: &[String], names: &[String], main: &str) -> Vec<String> {
    let patterns: Vec<Pattern> = patterns
        .iter()
        .filter(|text| !leaves(text))
        .filter_map(|text| Pattern::of(text))
        .collect();
    let mut included: Vec<String> = names
        .iter()
        .filter(|name| *name != main)
        .filter(|name| patterns.iter().any(|pattern| pattern.names(name)))
        .cloned()
        .collect();
    included.sort_unstable();
    included
}

/// One pattern, taken apart.
struct Pattern {
    matcher: GlobMatcher,
    /// The leading parts without anything to match.
    prefix: PathBuf,
    /// How many parts may follow the prefix.
    depth: usize,
    dotted: bool,
}

struct Walk<'a> {
    root: &'a Path,
    main: &'a str,
    /// The pattern that is looked for.
    pattern: String,
    found: Found,
    entries_left: usize,
    /// The folders around the one that is looked through, so that links cannot lead in circles.
    inside: Vec<PathBuf>,
}

impl Walk<'_> {
    fn pattern(&mut self, text: &str) -> Result<(), SourceError> {
        text.clone_into(&mut self.pattern);
        if leaves(text) {
            self.leads_out(Path::new(text), &self.root.join(text));
            return Ok(());
        }
        let matched = match Pattern::of(text) {
            Some(pattern) => {
                let base = self.root.join(&pattern.prefix);
                self.found.folders.extend(base.parent().map(Path::to_owned));
                self.entry(&pattern, &pattern.prefix, &base, pattern.depth)?
            }
            None => false,
        };
        if !matched {
            self.found.unmatched.push(text.to_owned());
        }
        Ok(())
    }

    /// Whether something at or below a path is named by the pattern.
    fn entry(
        &mut self,
        pattern: &Pattern,
        name: &Path,
        path: &Path,
        depth: usize,
    ) -> Result<bool, SourceError> {
        let Ok(kind) = path.symlink_metadata() else {
            return Ok(false);
        };
        let is_folder = kind.is_dir() || (kind.is_symlink() && path.is_dir());
        if !is_folder {
            return match pattern.matcher.is_match(name) {
                true => self.named(name, path),
                false => Ok(false),
            };
        }
        if depth == 0 {
            return Ok(false);
        }
        let real = real(path)?;
        if !real.starts_with(self.root) {
            self.leads_out(name, &real);
            return Ok(true);
        }
        let leads_back = path.parent().is_some_and(|here| here.starts_with(&real));
        if leads_back || self.inside.contains(&real) {
            return Ok(false);
        }
        self.inside.push(real.clone());
        let matched = self.folder(pattern, name, &real, depth);
        self.inside.pop();
        matched
    }

    fn folder(
        &mut self,
        pattern: &Pattern,
        name: &Path,
        real: &Path,
        depth: usize,
    ) -> Result<bool, SourceError> {
        let failed = |error| SourceError::of(real, &error);
        self.found.folders.insert(real.to_owned());
        let mut matched = false;
        for entry in real.read_dir().map_err(failed)? {
            let part = entry.map_err(failed)?.file_name();
            self.entries_left = (self.entries_left.checked_sub(1))
                .ok_or(SourceError::TooManyEntries { max: MOST_ENTRIES })?;
            let bytes = part.as_encoded_bytes();
            if bytes.starts_with(b"..") || (bytes.starts_with(b".") && !pattern.dotted) {
                continue;
            }
            let path = real.join(&part);
            matched |= self.entry(pattern, &name.join(&part), &path, depth - 1)?;
        }
        Ok(matched)
    }

    /// A file that a pattern names; false for the main file, which nobody has to include.
    fn named(&mut self, name: &Path, path: &Path) -> Result<bool, SourceError> {
        let text = name.to_string_lossy();
        if text == self.main {
            return Ok(false);
        }
        // It is told in lines of logs, tables and annotations.
        if text.chars().any(char::is_control) {
            return Err(SourceError::Name {
                path: name.to_owned(),
            });
        }
        let real = real(path)?;
        if real.starts_with(self.root) {
            self.found.files.insert(text.into_owned(), real);
        } else {
            self.leads_out(name, &real);
        }
        Ok(true)
    }

    /// The problem is the pattern's, whatever it reached there.
    fn leads_out(&mut self, name: &Path, real: &Path) {
        let through = name.to_string_lossy();
        let real = real.to_string_lossy();
        self.found.outside.push(Outside {
            pattern: self.pattern.clone(),
            leads_to: if through == self.pattern {
                real.into_owned()
            } else {
                format!("{real} through {through}")
            },
        });
    }
}

impl Pattern {
    /// Whether it names a path, by its text alone.
    fn names(&self, name: &str) -> bool {
        let hidden = name
            .split('/')
            .any(|part| part.starts_with("..") || (part.starts_with('.') && !self.dotted));
        !hidden && self.matcher.is_match(name)
    }

    /// None for what is no pattern; whoever reads the file says so, with its place. One that is
    /// far too large would panic here: [`crate::desired::includes`] names none.
    fn of(text: &str) -> Option<Self> {
        let text = text.trim_start_matches("./");
        let matcher = GlobBuilder::new(text)
            .literal_separator(true)
            .build()
            .ok()?
            .compile_matcher();
        let parts: Vec<&str> = text.split('/').collect();
        let literal = parts.iter().take_while(|part| is_literal(part)).count();
        let depth = match text.contains("**") {
            true => usize::MAX,
            false => parts.len() - literal,
        };
        Some(Self {
            matcher,
            prefix: parts[..literal].iter().collect(),
            depth,
            dotted: parts.iter().any(|part| part.starts_with('.')),
        })
    }
}

fn is_literal(part: &str) -> bool {
    !part.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

/// Whether a pattern leads out by itself.
fn leaves(pattern: &str) -> bool {
    Path::new(pattern)
        .components()
        .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
}

fn real(path: &Path) -> Result<PathBuf, SourceError> {
    (path.canonicalize()).map_err(|error| SourceError::of(path, &error))
}
