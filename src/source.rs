//! Publishes the newest whole text of the files: the main one and what it includes.
//!
//! Events of the file system are hints, a poll is the truth. What was reached through a
//! changed symlink (a Kubernetes `..data`, a git-sync link) is whole and read at once;
//! anything else is read when the whole set has stood still for a while and two readings
//! agree, and never while git is at work in the checkout. Nothing here knows what the text
//! means: which patterns it includes is asked of the caller.

mod error;
mod files;
mod follow;
mod git;
mod hints;
mod includes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::clock::Clock;
pub use error::SourceError;
use files::Reader;
use follow::Follower;
pub use includes::included_names;

/// Tells which patterns a main file's bytes include, below its folder.
///
/// Called away from the async threads, and also for bytes that are no valid file.
pub type Includes = Arc<dyn Fn(&[u8]) -> Vec<String> + Send + Sync>;

/// Everything that the files say, at one moment.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    /// 32 hex digits: the first 128 bits of SHA-256 over the names and bytes.
    pub revision: String,
    /// The commit of the checkout that they lie in, where they are to the byte what it has.
    pub commit: Option<String>,
    /// The main file, then what it includes in the order of names. No name comes twice.
    pub files: Vec<SourceFile>,
    /// Patterns that no file matches.
    pub unmatched: Vec<String>,
    /// What was not read because it lies elsewhere.
    pub outside: Vec<Outside>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// As people see it: the path from the main file's folder, with `/` between its parts.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// An included path, or a pattern, that leaves the main file's folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outside {
    /// The pattern that reached it.
    pub pattern: String,
    /// Where it leads.
    pub leads_to: String,
}

/// How a [`Source`] reads.
#[derive(Clone, Debug)]
pub struct Options {
    /// The files are looked at this often, whether or not anything hints at a change.
    pub poll: Duration,
    /// The whole set must have stood still for so long.
    pub settle: Duration,
    /// More bytes than this, over all files, are not read; until the file says how many, half a gibibyte.
    pub max_bytes: u64,
    /// The commit of what is read first, for where no checkout tells it.
    pub commit: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(10),
            settle: Duration::from_secs(2),
            max_bytes: 512 * 1024 * 1024,
            commit: None,
        }
    }
}

/// What is known of the files.
#[derive(Clone, Debug, Default)]
pub struct Latest {
    /// The last whole text; it stays while there is a problem.
    pub text: Option<Arc<Text>>,
    /// Why what is on the disk now could not be read.
    pub problem: Option<SourceError>,
    /// When the whole set was last read, or found as it had been read.
    ///
    /// It moves on without waking those who wait for a change.
    pub seen_at: Option<DateTime<Utc>>,
}

/// Follows the files until it is dropped.
#[derive(Debug)]
pub struct Source {
    latest: watch::Sender<Latest>,
    reader: Arc<Reader>,
    asked: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl Source {
    /// Begins to follow a main file and what it includes, on the current tokio runtime.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn watch(
        main: PathBuf,
        includes: Includes,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let reader = Arc::new(Reader::new(&main, includes, &options));
        let latest = watch::Sender::new(Latest::default());
        let asked = Arc::new(Notify::new());
        let follower = Follower::new(
            Arc::clone(&reader),
            options,
            clock,
            latest.clone(),
            Arc::clone(&asked),
        );
        Self {
            latest,
            reader,
            asked,
            _task: AbortOnDropHandle::new(tokio::spawn(follower.run())),
        }
    }

    /// Wakes whenever the text or the problem changes. Begins with neither.
    pub fn subscribe(&self) -> watch::Receiver<Latest> {
        self.latest.subscribe()
    }

    /// The first text, or the problem that is in its way: for what acts on one reading.
    ///
    /// # Errors
    ///
    /// The problem that stood in the way for as long as files must stand still.
    pub async fn first(&self) -> Result<Arc<Text>, SourceError> {
        let mut latest = self.latest.subscribe();
        let known = latest
            .wait_for(|latest| latest.text.is_some() || latest.problem.is_some())
            .await
            .map_err(|_| SourceError::Changing)?;
        match (&known.text, &known.problem) {
            (Some(text), _) => Ok(Arc::clone(text)),
            (None, Some(problem)) => Err(problem.clone()),
            (None, None) => Err(SourceError::Changing),
        }
    }

    /// Reads now, without waiting for the files to stand still: somebody says that they do.
    pub fn reload(&self) {
        self.asked.notify_one();
    }

    /// Lets go of a text that has been dealt with, so that it does not stay in memory.
    ///
    /// A newer one stays. No subscriber is woken.
    pub fn release(&self, revision: &str) {
        self.latest.send_if_modified(|latest| {
            latest.text.take_if(|text| text.revision == revision);
            false
        });
    }

    /// Changes how many bytes may be read, from the next reading on.
    pub fn set_max_bytes(&self, max_bytes: u64) {
        self.reader.set_max_bytes(max_bytes);
    }
}

/// Reads the files as they are, once: for commands that only show something.
///
/// Does not mind git, because `lapsed check` runs in its hooks and in the middle of merges.
/// What acts on a single reading waits for [`Source::first`] instead. Blocks, and neither polls nor waits for
/// the files to settle.
///
/// # Errors
///
/// When the set cannot be read whole, also because it changes all the time.
pub fn read_once(main: &Path, includes: &Includes, options: &Options) -> Result<Text, SourceError> {
    const TRIES: usize = 3;
    let reader = Reader::new(main, Arc::clone(includes), options);
    let mut result = reader.read();
    for _ in 1..TRIES {
        if !matches!(result, Err(SourceError::Changing)) {
            break;
        }
        result = reader.read();
    }
    result.map(|reading| reading.text)
}
