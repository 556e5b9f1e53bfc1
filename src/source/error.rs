//! Why the files could not be read, and what helps.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the set of files could not be read as a whole. Each says what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// A file is gone, or a link leads nowhere.
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// The system refuses.
    Unreadable {
        /// What.
        path: PathBuf,
        /// In the system's words.
        why: String,
        /// Whether permissions are at fault.
        denied: bool,
    },
    /// An included file's name would not fit into one line.
    Name {
        /// Which.
        path: PathBuf,
    },
    /// A folder, a pipe or a device stands where a file belongs.
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// The files hold more than may be read.
    TooLarge {
        /// The limit in bytes, over all files.
        max_bytes: u64,
    },
    /// The patterns lead over more entries of folders than is sensible.
    TooManyEntries {
        /// The limit.
        max: usize,
    },
    /// Git is changing the files, or waits for a person to finish a merge.
    Busy {
        /// The file or folder of git's that says so.
        sign: PathBuf,
    },
    /// The files changed while they were read.
    Changing,
    /// A fault of ours.
    Broken {
        /// What went wrong.
        why: String,
    },
}

impl SourceError {
    /// Sorts what the system says of a path.
    pub(super) fn of(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing { path },
            kind => Self::Unreadable {
                path,
                why: error.to_string(),
                denied: kind == io::ErrorKind::PermissionDenied,
            },
        }
    }
}

impl std::error::Error for SourceError {}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(
                f,
                "{} does not exist, or is a link that leads nowhere; put it back, or name \
                 another file with `--config`",
                shown(path)
            ),
            Self::Unreadable { path, why, denied } => {
                write!(f, "{} cannot be read: {why}", shown(path))?;
                match denied {
                    true => f.write_str("; let the user that lapsed runs as read it"),
                    false => Ok(()),
                }
            }
            Self::Name { path } => write!(
                f,
                "the name of {} has control characters in it; give the file another",
                shown(path)
            ),
            Self::NotAFile { path } => {
                write!(f, "{} is no regular file; name one that is", shown(path))
            }
            Self::TooLarge { max_bytes } => write!(
                f,
                "the files hold more than {max_bytes} bytes; take finished lines out \
                 (`lapsed tidy`), or first raise `max_bytes` in a revision of its own"
            ),
            Self::TooManyEntries { max } => write!(
                f,
                "the patterns of `include` lead over more than {max} files and folders; \
                 name the folders that hold cancellations"
            ),
            Self::Busy { sign } => write!(
                f,
                "git is at work in this checkout ({} is there); finish or abort what it does, \
                 and remove that only if no git is running",
                shown(sign)
            ),
            Self::Changing => f.write_str(
                "the files changed while they were read; try again when they stand still",
            ),
            Self::Broken { why } => write!(f, "reading the files broke off: {why}"),
        }
    }
}

/// A path on one line, without what a terminal would obey.
fn shown(path: &Path) -> String {
    format!("`{}`", path.to_string_lossy().escape_debug())
}
