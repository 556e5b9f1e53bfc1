//! The set of files: the main one and what its patterns include.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use sha2::{Digest as _, Sha256};

use super::{Includes, SourceError, SourceFile, Text};

/// Folders below each other that a pattern is followed into.
const DEEPEST: usize = 16;

/// Files that the patterns of one main file may name.
const MOST_FILES: usize = 10_000;

/// The set as it was seen: two that are equal were not changed in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Where the main file's path really leads.
    pub real: Option<PathBuf>,
    /// Why it could not be seen.
    pub problem: Option<SourceError>,
    main: Option<Stamp>,
    patterns: Vec<String>,
    others: Vec<Stamp>,
    path: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, SourceError> {
        let meta = path.metadata().map_err(|error| unreadable(path, &error))?;
        if !meta.is_file() {
            return Err(SourceError::Unreadable {
                path: path.display().to_string(),
                why: "it is no file".to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

impl Seen {
    /// The folders in which a change would show.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let folder = folder_of(&self.path);
        let mut folders: BTreeSet<PathBuf> = self
            .patterns
            .iter()
            .map(|pattern| folder.join(fixed_part(pattern)))
            .collect();
        folders.extend(
            self.others
                .iter()
                .filter_map(|it| it.path.parent().map(Path::to_owned)),
        );
        folders.extend(
            self.real
                .as_deref()
                .and_then(Path::parent)
                .map(Path::to_owned),
        );
        // A link that is swapped is swapped in its own folder.
        if let Some(above) = folder.parent().filter(|_| folder.is_symlink()) {
            folders.insert(above.to_owned());
        }
        folders.insert(folder);
        folders
    }
}

/// Looks at the set without reading more than it must: a main file that did not change since
/// `before` has the patterns that it had.
pub(super) fn see(main: &Path, includes: &Includes, max_bytes: u64, before: Option<&Seen>) -> Seen {
    let mut seen = Seen {
        real: main.canonicalize().ok(),
        path: main.to_owned(),
        ..Seen::default()
    };
    if let Err(problem) = fill(&mut seen, main, includes, max_bytes, before) {
        seen.problem = Some(problem);
    }
    seen
}

fn fill(
    seen: &mut Seen,
    main: &Path,
    includes: &Includes,
    max_bytes: u64,
    before: Option<&Seen>,
) -> Result<(), SourceError> {
    let stamp = Stamp::of(main)?;
    let same = before.filter(|before| before.main.as_ref() == Some(&stamp));
    seen.patterns = match same {
        Some(before) => before.patterns.clone(),
        None => includes(&read_file(main, &mut Budget::new(main, max_bytes))?),
    };
    seen.main = Some(stamp);
    let found = expand(main, &seen.patterns)?;
    seen.others = found
        .files
        .iter()
        .map(|(_, path)| Stamp::of(path))
        .collect::<Result<_, _>>()?;
    Ok(())
}

/// Reads the whole set.
pub(super) fn read(main: &Path, includes: &Includes, max_bytes: u64) -> Result<Text, SourceError> {
    let mut budget = Budget::new(main, max_bytes);
    let bytes = read_file(main, &mut budget)?;
    let found = expand(main, &includes(&bytes))?;
    let name = main.file_name().unwrap_or_default();
    let mut files = vec![SourceFile {
        name: name.to_string_lossy().into_owned(),
        bytes,
    }];
    for (name, path) in found.files {
        let bytes = read_file(&path, &mut budget)?;
        files.push(SourceFile { name, bytes });
    }
    Ok(Text {
        revision: digest(&files),
        files,
        unmatched: found.unmatched,
        outside: found.outside,
    })
}

fn digest(files: &[SourceFile]) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        for part in [file.name.as_bytes(), &file.bytes] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What may still be read.
struct Budget {
    main: String,
    most: u64,
    left: u64,
}

impl Budget {
    fn new(main: &Path, most: u64) -> Self {
        Self {
            main: main.display().to_string(),
            most,
            left: most,
        }
    }
}

fn read_file(path: &Path, budget: &mut Budget) -> Result<Vec<u8>, SourceError> {
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut bytes = Vec::new();
    file.take(budget.left + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, &error))?;
    let size = bytes.len() as u64;
    if size > budget.left {
        return Err(SourceError::TooLarge {
            path: budget.main.clone(),
            most: budget.most,
        });
    }
    budget.left -= size;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> SourceError {
    let path = path.display().to_string();
    match error.kind() {
        std::io::ErrorKind::NotFound => SourceError::Missing { path },
        _ => SourceError::Unreadable {
            path,
            why: error.to_string(),
        },
    }
}

#[derive(Default)]
struct Found {
    /// Name and path, in the order of the names.
    files: Vec<(String, PathBuf)>,
    unmatched: Vec<String>,
    outside: Vec<(String, String)>,
}

/// Finds what the patterns name, below the main file's folder only.
fn expand(main: &Path, patterns: &[String]) -> Result<Found, SourceError> {
    let folder = folder_of(main);
    let real_folder = folder
        .canonicalize()
        .map_err(|error| unreadable(&folder, &error))?;
    let real_main = main.canonicalize().ok();
    let mut found = Found::default();
    let mut names = BTreeSet::new();
    for pattern in patterns {
        // What is no pattern, or leaves the folder by its own words, is told where the text
        // is judged.
        let Some(matcher) = matcher(pattern) else {
            continue;
        };
        let mut matched = BTreeSet::new();
        let start = fixed_part(pattern);
        walk(&folder, &start, &matcher, DEEPEST, &mut matched);
        if matched.is_empty() {
            found.unmatched.push(pattern.clone());
        }
        for name in matched {
            let path = folder.join(&name);
            let real = path
                .canonicalize()
                .map_err(|error| unreadable(&path, &error))?;
            if !real.starts_with(&real_folder) {
                found
                    .outside
                    .push((pattern.clone(), path.display().to_string()));
            } else if Some(&real) != real_main.as_ref() {
                names.insert(name);
            }
        }
    }
    if names.len() > MOST_FILES {
        return Err(SourceError::Unreadable {
            path: main.display().to_string(),
            why: format!(
                "it includes {} files; at most {MOST_FILES} are read",
                names.len()
            ),
        });
    }
    found.files = names
        .into_iter()
        .map(|name| {
            let path = folder.join(&name);
            (name, path)
        })
        .collect();
    Ok(found)
}

fn matcher(pattern: &str) -> Option<GlobMatcher> {
    let inside = Path::new(pattern)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !inside {
        return None;
    }
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .ok()
        .map(|glob| glob.compile_matcher())
}

/// The folders of a pattern before its first special character.
fn fixed_part(pattern: &str) -> PathBuf {
    let pattern = Path::new(pattern.strip_prefix("./").unwrap_or(pattern));
    let parts: Vec<_> = pattern.components().collect();
    let folders = parts.len().saturating_sub(1);
    parts[..folders]
        .iter()
        .take_while(|part| {
            !part
                .as_os_str()
                .to_string_lossy()
                .contains(['*', '?', '[', '{'])
        })
        .collect()
}

fn walk(
    root: &Path,
    at: &Path,
    matcher: &GlobMatcher,
    deeper: usize,
    matched: &mut BTreeSet<String>,
) {
    let Ok(entries) = std::fs::read_dir(root.join(at)) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        // Hidden files are editors', git's and Kubernetes' own.
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        let inside = at.join(&name);
        let is_folder = root.join(&inside).is_dir();
        if is_folder && deeper > 0 {
            walk(root, &inside, matcher, deeper - 1, matched);
        } else if !is_folder && matcher.is_match(&inside) {
            matched.insert(inside.to_string_lossy().into_owned());
        }
    }
}

fn folder_of(main: &Path) -> PathBuf {
    match main.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
