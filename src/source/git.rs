//! Whether git is at work in the checkout that a folder belongs to.

use std::path::{Path, PathBuf};

use super::SourceError;

/// What stands in git's own folder while it is at work, or while a person has yet to end what
/// it began.
const SIGNS: [&str; 4] = ["index.lock", "MERGE_HEAD", "rebase-merge", "rebase-apply"];

/// What git is doing, if it is.
pub(super) fn busy(folder: &Path) -> Option<SourceError> {
    let (checkout, git) = git_folder(folder)?;
    let sign = SIGNS.iter().find(|sign| git.join(sign).exists())?;
    Some(SourceError::Busy {
        path: checkout.display().to_string(),
        what: (*sign).to_owned(),
    })
}

/// The checkout around a folder, and where git keeps its own: `.git`, or where the file `.git`
/// of a worktree points.
fn git_folder(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    folder.ancestors().find_map(|checkout| {
        let git = checkout.join(".git");
        if git.is_dir() {
            return Some((checkout.to_owned(), git));
        }
        let text = std::fs::read_to_string(git).ok()?;
        let target = text.strip_prefix("gitdir:")?.trim();
        Some((checkout.to_owned(), checkout.join(target)))
    })
}
