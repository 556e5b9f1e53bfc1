//! Hints from the file system that something changed in a folder.
//!
//! Folders are watched, never files: whatever replaces a file by renaming would end the
//! watch of it. A hint may be missing (network file systems send none, a folder may be
//! deleted and made anew, the system may have no watches left), so nothing relies on one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::warn;

/// More folders than this are left to the poll.
const MOST_FOLDERS: usize = 256;

/// Watches folders, and wakes whoever waits.
#[derive(Debug)]
pub(super) struct Hints {
    wake: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    warned: bool,
}

impl Hints {
    pub(super) fn new(wake: Arc<Notify>) -> Self {
        Self {
            wake,
            watcher: None,
            watched: BTreeSet::new(),
            warned: false,
        }
    }

    /// Watches these folders from now on, and no others. Blocks.
    ///
    /// Each is watched anew every time, which costs nothing for the same folder and heals
    /// the watch of one that was deleted and made anew.
    pub(super) fn follow(&mut self, folders: &BTreeSet<PathBuf>) {
        let wanted: BTreeSet<PathBuf> = folders
            .iter()
            .filter_map(|folder| existing(folder))
            .take(MOST_FOLDERS)
            .map(Path::to_owned)
            .collect();
        if let Err(error) = self.try_follow(&wanted) {
            self.watched.clear();
            self.watcher = None;
            self.warn_once(&error);
        }
    }

    fn try_follow(&mut self, wanted: &BTreeSet<PathBuf>) -> notify::Result<()> {
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            none => none.insert(new_watcher(Arc::clone(&self.wake))?),
        };
        for folder in self.watched.difference(wanted) {
            // It is gone with its folder, perhaps.
            let _ = watcher.unwatch(folder);
        }
        for folder in wanted {
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                // Gone meanwhile; the next look finds what stands there then.
                Err(error) if is_missing(&error) => {}
                result => result?,
            }
        }
        self.watched.clone_from(wanted);
        Ok(())
    }

    fn warn_once(&mut self, error: &notify::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            warn!(
                %error,
                "cannot watch the folders of the files; changes are found by the poll alone \
                 (on Linux see fs.inotify.max_user_watches and max_user_instances)"
            );
        }
    }
}

/// Reading a file must not look like a change of it, so accesses are no hints.
fn new_watcher(wake: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        let is_access = event.is_ok_and(|event| event.kind.is_access());
        if !is_access {
            wake.notify_one();
        }
    })
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => matches!(
            error.kind(),
            std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied
        ),
        _ => false,
    }
}

/// The folder, or the nearest one around it: there its return will show.
fn existing(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.is_dir())
}
