//! Looks at the files without reading them, and reads them as one set.

use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::error::SourceError;
use super::{Includes, Options, Outside, SourceFile, Text, git, includes};

/// As many links as Linux follows in one path.
const MOST_LINKS: usize = 40;

/// What tells one state of the set from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// Every link on the way to the main file, with its target.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// The main file, then the others in the order of names.
    files: Vec<Entry>,
    unmatched: Vec<String>,
    outside: Vec<Outside>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    /// Where it is when every link is followed.
    real: PathBuf,
    stamp: Stamp,
}

/// Inode, size and times. The time of the inode's change is there for tools that set back
/// the time of the content's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A survey, and the folders in which a change of it would show.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) survey: Result<Survey, SourceError>,
    pub(super) folders: BTreeSet<PathBuf>,
}

/// One reading of the whole set.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) survey: Survey,
    pub(super) patterns: Vec<String>,
    pub(super) text: Text,
}

/// Knows where the main file is and what it may include.
pub(super) struct Reader {
    main: PathBuf,
    includes: Includes,
    max_bytes: AtomicU64,
    /// Where no checkout tells the commit.
    said: Option<Said>,
}

/// The commit of which somebody says that the files are.
struct Said {
    commit: String,
    /// The text that was read first: of another one it was not said.
    of: OnceLock<String>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("main", &self.main)
            .finish_non_exhaustive()
    }
}

impl Survey {
    /// The folders that really hold the files.
    pub(super) fn homes(&self) -> BTreeSet<&Path> {
        self.files
            .iter()
            .filter_map(|entry| entry.real.parent())
            .collect()
    }
}

impl Reader {
    pub(super) fn new(main: &Path, includes: Includes, options: &Options) -> Self {
        let said = options.commit.clone().map(|commit| Said {
            commit,
            of: OnceLock::new(),
        });
        Self {
            main: std::path::absolute(main).unwrap_or_else(|_| main.to_owned()),
            includes,
            max_bytes: AtomicU64::new(options.max_bytes),
            said,
        }
    }

    fn said(&self, revision: &str) -> Option<String> {
        let said = self.said.as_ref()?;
        let of = said.of.get_or_init(|| revision.to_owned());
        (of == revision).then(|| said.commit.clone())
    }

    pub(super) fn set_max_bytes(&self, max_bytes: u64) {
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
    }

    /// Looks at what the patterns of the last reading name now.
    pub(super) fn look(&self, patterns: &[String]) -> Look {
        let mut folders = BTreeSet::from([self.folder().to_owned()]);
        let survey = self.survey(patterns, &mut folders);
        Look { survey, folders }
    }

    /// Reads the whole set; what changes meanwhile makes it fail as [`SourceError::Changing`].
    pub(super) fn read(&self) -> Result<Reading, SourceError> {
        let mut budget = Budget::of(self.max_bytes.load(Ordering::Relaxed));
        let (_, real) = self.follow_main()?;
        let (main_stamp, main_bytes) = budget.read(&real)?;
        let patterns = (self.includes)(&main_bytes);

        let before = self.survey(&patterns, &mut BTreeSet::new())?;
        let mut files = Vec::with_capacity(before.files.len());
        let mut main_bytes = Some(main_bytes);
        for entry in &before.files {
            let (stamp, bytes) = match main_bytes.take() {
                Some(bytes) => (main_stamp, bytes),
                None => budget.read(&entry.real)?,
            };
            if stamp != entry.stamp {
                return Err(SourceError::Changing);
            }
            files.push(SourceFile {
                name: entry.name.clone(),
                bytes,
            });
        }
        if self.survey(&patterns, &mut BTreeSet::new())? != before {
            return Err(SourceError::Changing);
        }
        let places = before.files.iter().map(|entry| entry.real.as_path());
        let revision = revision(&files);
        let said = self.said(&revision);
        let bytes = files.iter().map(|file| &*file.bytes);
        let commit = match git::provenance(places.zip(bytes)) {
            git::Provenance::NoCheckout => said,
            git::Provenance::Changed => None,
            git::Provenance::Commit(commit) => Some(commit),
        };
        let text = Text {
            revision,
            commit,
            files,
            unmatched: before.unmatched.clone(),
            outside: before.outside.clone(),
        };
        Ok(Reading {
            survey: before,
            patterns,
            text,
        })
    }

    fn survey(
        &self,
        patterns: &[String],
        folders: &mut BTreeSet<PathBuf>,
    ) -> Result<Survey, SourceError> {
        let (links, real) = self.follow_main()?;
        let of_links = links.iter().filter_map(|(link, _)| link.parent());
        folders.extend(of_links.chain(real.parent()).map(Path::to_owned));

        let root = (self.folder().canonicalize())
            .map_err(|error| SourceError::of(self.folder(), &error))?;
        let name = self.main_name();
        let found = includes::find(&root, &name, patterns)?;
        folders.extend(found.folders);

        let mut files = vec![Entry::of(name, real)?];
        for (name, real) in found.files {
            folders.extend(real.parent().map(Path::to_owned));
            files.push(Entry::of(name, real)?);
        }
        Ok(Survey {
            links,
            files,
            unmatched: found.unmatched,
            outside: found.outside,
        })
    }

    /// The folder that names are relative to: where the path says, not where links lead.
    fn folder(&self) -> &Path {
        self.main.parent().unwrap_or(&self.main)
    }

    fn main_name(&self) -> String {
        let name = self.main.file_name().unwrap_or(self.main.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// Every link on the way to the main file, and where it really is.
    fn follow_main(&self) -> Result<(Vec<(PathBuf, PathBuf)>, PathBuf), SourceError> {
        follow(&self.main).map_err(|error| SourceError::of(&self.main, &error))
    }
}

impl Entry {
    fn of(name: String, real: PathBuf) -> Result<Self, SourceError> {
        let metadata = real
            .symlink_metadata()
            .map_err(|error| SourceError::of(&real, &error))?;
        let stamp = Stamp::of(&real, &metadata)?;
        Ok(Self { name, real, stamp })
    }
}

impl Stamp {
    fn of(path: &Path, metadata: &Metadata) -> Result<Self, SourceError> {
        if !metadata.is_file() {
            let path = path.to_owned();
            return Err(SourceError::NotAFile { path });
        }
        Ok(Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// How many bytes may still be read.
struct Budget {
    max_bytes: u64,
    left: u64,
}

impl Budget {
    fn of(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            left: max_bytes,
        }
    }

    /// Reads a regular file; a pipe or a device is not even waited for.
    fn read(&mut self, real: &Path) -> Result<(Stamp, Vec<u8>), SourceError> {
        let failed = |error: io::Error| SourceError::of(real, &error);
        let file = open(real).map_err(failed)?;
        let stamp = Stamp::of(real, &file.metadata().map_err(failed)?)?;
        if stamp.size > self.left {
            return Err(self.too_large());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(stamp.size).unwrap_or_default());
        let more_than_left = self.left.saturating_add(1);
        (&file)
            .take(more_than_left)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.left = (self.left.checked_sub(length)).ok_or_else(|| self.too_large())?;
        if Stamp::of(real, &file.metadata().map_err(failed)?)? != stamp || length != stamp.size {
            return Err(SourceError::Changing);
        }
        Ok((stamp, bytes))
    }

    fn too_large(&self) -> SourceError {
        SourceError::TooLarge {
            max_bytes: self.max_bytes,
        }
    }
}

fn open(real: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(real)
}

/// Follows an absolute path, link by link.
fn follow(path: &Path) -> io::Result<(Vec<(PathBuf, PathBuf)>, PathBuf)> {
    let mut links = Vec::new();
    let mut here = PathBuf::new();
    let mut ahead: Vec<PathBuf> = parts(path);
    while let Some(part) = ahead.pop() {
        match part.components().next() {
            None | Some(Component::CurDir) => {}
            Some(Component::ParentDir) => {
                here.pop();
            }
            Some(Component::RootDir | Component::Prefix(_)) => here = part,
            Some(Component::Normal(_)) => match here.join(&part).read_link() {
                Ok(_) if links.len() == MOST_LINKS => {
                    return Err(io::Error::other("too many links lead to one another"));
                }
                Ok(target) => {
                    ahead.extend(parts(&target));
                    links.push((here.join(&part), target));
                }
                // No link.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => here.push(part),
                Err(error) => return Err(error),
            },
        }
    }
    Ok((links, here))
}

/// The parts of a path, last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().rev();
    parts.map(|part| PathBuf::from(part.as_os_str())).collect()
}

/// Lengths keep a name's end from passing for the beginning of bytes.
fn revision(files: &[SourceFile]) -> String {
    const BYTES: usize = 16;
    let mut hash = Sha256::new();
    for file in files {
        for part in [file.name.as_bytes(), &file.bytes] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    let digest = hash.finalize();
    digest[..BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
