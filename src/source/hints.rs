//! Hints that a file may have changed, from the system's own notices.
//!
//! Folders are watched, not files: a file that is renamed over, or a Kubernetes volume that
//! is swapped, leaves a watch on the old file behind without a word. A watch that is lost or
//! cannot be made costs nothing but time, since the poll looks by itself.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

pub(super) struct Hints {
    watcher: Option<RecommendedWatcher>,
    bell: Arc<Notify>,
    /// Watched folders, with the inode that they had.
    folders: BTreeMap<PathBuf, u64>,
}

impl Hints {
    pub(super) fn new() -> Self {
        let bell = Arc::new(Notify::new());
        let ring = Arc::clone(&bell);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too; our own reading must not wake us.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                ring.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| {
                tracing::warn!(%error, "the system tells nothing of changed files; they are looked at by polling alone");
            })
            .ok();
        Self {
            watcher,
            bell,
            folders: BTreeMap::new(),
        }
    }

    /// Watches these folders and no others. A folder that was made anew is watched anew.
    pub(super) fn watch(&mut self, wanted: impl IntoIterator<Item = PathBuf>) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let wanted: BTreeMap<PathBuf, u64> = wanted
            .into_iter()
            .filter_map(|folder| {
                let inode = folder.metadata().ok()?.ino();
                Some((folder, inode))
            })
            .collect();
        for (folder, inode) in &self.folders {
            if wanted.get(folder) != Some(inode) {
                // It may be gone, and its watch with it.
                let _ = watcher.unwatch(folder);
            }
        }
        let mut watched = BTreeMap::new();
        for (folder, inode) in wanted {
            let known = self.folders.get(&folder) == Some(&inode);
            if known || watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                watched.insert(folder, inode);
            }
        }
        self.folders = watched;
    }

    /// Waits for the next hint.
    pub(super) async fn next(&self) {
        self.bell.notified().await;
    }
}
