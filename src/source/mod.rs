//! Publishes the newest whole text of the files.
//!
//! Events are hints, a poll is the truth. What was written in place is taken only when the
//! whole set (main file and includes: inode, size, time) has stood still for two seconds and
//! two readings agree, so that a half-written file is never taken for a whole one; a changed
//! symlink target (Kubernetes, git-sync) was whole before the link moved and is read at once;
//! and nothing is read in the middle of a git merge, rebase or checkout.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::Clock;

use self::set::{Seen, see};

mod git;
mod hints;
mod set;

/// Finds the include patterns in a main file's bytes.
pub type Includes = Arc<dyn Fn(&[u8]) -> Vec<String> + Send + Sync>;

/// One file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// As people see it: relative to the main file's folder.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The whole set, read at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The first 128 bits of a SHA-256 over names and bytes, as 32 hex digits.
    pub revision: String,
    /// The main file first, then the included ones in the order of their names.
    pub files: Vec<SourceFile>,
    /// Include patterns that matched no file.
    pub unmatched: Vec<String>,
    /// Pattern and path of what a pattern reached outside the main file's folder.
    pub outside: Vec<(String, String)>,
}

/// Why the set could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// A file is not there.
    #[error("{path} does not exist; make it (`lapsed init`), or name another with --config")]
    Missing {
        /// Which.
        path: String,
    },
    /// A file is there and cannot be read.
    #[error("{path} cannot be read: {why}")]
    Unreadable {
        /// Which.
        path: String,
        /// What the system says.
        why: String,
    },
    /// All files together are larger than is read.
    #[error(
        "{path} and what it includes have more than {most} bytes, which is the most that is read (`max_bytes`)"
    )]
    TooLarge {
        /// The main file.
        path: String,
        /// In bytes.
        most: u64,
    },
    /// Git is at work in the checkout.
    #[error("git is at work in {path} ({what}); the files are read when it has ended")]
    Busy {
        /// The checkout.
        path: String,
        /// Which file of git's says so.
        what: String,
    },
}

/// Reads the set once, as it now is: for commands.
///
/// # Errors
/// It cannot be read.
pub fn read_once(main: &Path, includes: &Includes, max_bytes: u64) -> Result<Text, SourceError> {
    set::read(main, includes, max_bytes)
}

/// How a set is watched.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How often the files are looked at without a hint.
    pub poll: Duration,
    /// How long they must stand still.
    pub still: Duration,
    /// More bytes than this are not read.
    pub max_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(10),
            still: Duration::from_secs(2),
            max_bytes: 512 << 20,
        }
    }
}

/// What is known of the set.
#[derive(Clone, Debug, Default)]
pub struct Latest {
    /// The newest whole text.
    pub text: Option<Arc<Text>>,
    /// Why nothing newer could be read.
    pub problem: Option<String>,
    /// The last successful look at the whole set.
    pub seen_at: Option<DateTime<Utc>>,
}

/// Watches a set until it is dropped.
pub struct Source {
    latest: watch::Receiver<Latest>,
    reload: Arc<Notify>,
    _stop: DropGuard,
}

impl Source {
    /// Begins to watch, on the current tokio runtime. The first text is published once it has
    /// stood still.
    pub fn watch(
        main: PathBuf,
        includes: Includes,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Self {
        let (publish, latest) = watch::channel(Latest::default());
        let reload = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let watcher = Watcher {
            main,
            includes,
            clock,
            options,
            publish,
            reload: Arc::clone(&reload),
            stop: stop.clone(),
            taken: None,
            pending: None,
        };
        tokio::spawn(watcher.run());
        Self {
            latest,
            reload,
            _stop: stop.drop_guard(),
        }
    }

    /// What is published from now on.
    pub fn subscribe(&self) -> watch::Receiver<Latest> {
        self.latest.clone()
    }

    /// Looks at the files now.
    pub fn reload(&self) {
        self.reload.notify_one();
    }
}

struct Watcher {
    main: PathBuf,
    includes: Includes,
    clock: Arc<dyn Clock>,
    options: Options,
    publish: watch::Sender<Latest>,
    reload: Arc<Notify>,
    stop: CancellationToken,
    /// What was last published, as it was seen.
    taken: Option<Seen>,
    /// What was seen since and has yet to stand still.
    pending: Option<Pending>,
}

struct Pending {
    seen: Seen,
    since: Duration,
    /// The first of the two readings that must agree.
    read: Result<Text, SourceError>,
}

impl Watcher {
    async fn run(mut self) {
        let mut hints = hints::Hints::new();
        loop {
            let wait = match self.step().await {
                Some(wait) => wait.min(self.options.poll),
                None => self.options.poll,
            };
            if let Some(seen) = &self.taken {
                hints.watch(seen.folders());
            } else {
                hints.watch([self.folder()]);
            }
            let settle = self.pending.is_some();
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.reload.notified() => {}
                // While something has yet to stand still, further hints only say what is known.
                () = hints.next(), if !settle => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn folder(&self) -> PathBuf {
        match self.main.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// One look. Gives how long to wait for the next one, where that is known.
    async fn step(&mut self) -> Option<Duration> {
        let seen = self.see().await;
        if self.taken.as_ref() == Some(&seen) {
            self.pending = None;
            self.still_there(&seen);
            return None;
        }
        if let Some(busy) = self.busy(&seen).await {
            // Not a problem yet: git ends by itself. The poll looks again.
            tracing::debug!("{busy}");
            self.pending = None;
            return Some(self.options.still);
        }
        if self.link_moved(&seen) {
            let read = self.read().await;
            if self.see().await == seen {
                self.take(seen, read);
            }
            return Some(self.options.still);
        }
        let now = self.clock.since_boot();
        match self.pending.take() {
            Some(pending) if pending.seen == seen => {
                let stood = now.saturating_sub(pending.since);
                if stood < self.options.still {
                    self.pending = Some(pending);
                    return Some(self.options.still.saturating_sub(stood));
                }
                let read = self.read().await;
                if read == pending.read && self.see().await == seen {
                    self.take(seen, read);
                    return None;
                }
            }
            _ => {}
        }
        let read = self.read().await;
        self.pending = Some(Pending {
            seen,
            since: self.clock.since_boot(),
            read,
        });
        Some(self.options.still)
    }

    /// Whether the path now leads, through a symlink, to another place than before.
    fn link_moved(&self, seen: &Seen) -> bool {
        match (&self.taken, &seen.real) {
            (Some(taken), Some(real)) => taken.real.as_ref().is_some_and(|before| before != real),
            _ => false,
        }
    }

    fn still_there(&self, seen: &Seen) {
        if seen.problem.is_none() {
            let now = self.clock.now();
            self.publish.send_if_modified(|latest| {
                latest.seen_at = Some(now);
                // Nobody has to do anything about that; it is read when it is asked for.
                false
            });
        }
    }

    fn take(&mut self, seen: Seen, read: Result<Text, SourceError>) {
        self.taken = Some(seen);
        let now = self.clock.now();
        self.publish.send_modify(|latest| match read {
            Ok(text) => {
                latest.text = Some(Arc::new(text));
                latest.problem = None;
                latest.seen_at = Some(now);
            }
            Err(problem) => latest.problem = Some(problem.to_string()),
        });
    }

    async fn see(&self) -> Seen {
        let (main, includes) = (self.main.clone(), Arc::clone(&self.includes));
        let (before, most) = (self.taken.clone(), self.options.max_bytes);
        tokio::task::spawn_blocking(move || see(&main, &includes, most, before.as_ref()))
            .await
            .unwrap_or_default()
    }

    async fn read(&self) -> Result<Text, SourceError> {
        let (main, includes) = (self.main.clone(), Arc::clone(&self.includes));
        let most = self.options.max_bytes;
        let read = tokio::task::spawn_blocking(move || set::read(&main, &includes, most)).await;
        read.unwrap_or_else(|panicked| {
            Err(SourceError::Unreadable {
                path: self.main.display().to_string(),
                why: panicked.to_string(),
            })
        })
    }

    async fn busy(&self, seen: &Seen) -> Option<SourceError> {
        let folder = seen.real.as_ref()?.parent()?.to_owned();
        tokio::task::spawn_blocking(move || git::busy(&folder))
            .await
            .ok()
            .flatten()
    }
}
