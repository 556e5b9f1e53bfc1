//! Whether git is changing a checkout, or waits for a person in the middle of a change; and which commit
//! the files are as they stand there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gix::objs::Kind;

/// What git keeps in its folder while it writes files, and while a merge, a rebase, a
/// cherry-pick or a revert stands unfinished.
const SIGNS: [&str; 6] = [
    "index.lock",
    "MERGE_HEAD",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "rebase-merge",
    "rebase-apply",
];

/// The sign that git is at work in a checkout around one of the folders.
pub(super) fn sign_of_work<'a>(folders: impl IntoIterator<Item = &'a Path>) -> Option<PathBuf> {
    let around: BTreeSet<&Path> = folders.into_iter().flat_map(Path::ancestors).collect();
    around
        .into_iter()
        .filter_map(git_folder)
        .flat_map(|git| SIGNS.map(|sign| git.join(sign)))
        .find(|sign| sign.symlink_metadata().is_ok())
}

/// The folder in which git keeps the state of a checkout, if `folder` is the top of one.
///
/// In a linked worktree and in a submodule `.git` is a file that says where that is.
fn git_folder(folder: &Path) -> Option<PathBuf> {
    let git = folder.join(".git");
    let metadata = git.metadata().ok()?;
    if metadata.is_dir() {
        return Some(git);
    }
    const LONGEST: u64 = 8 * 1024;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return None;
    }
    let text = std::fs::read_to_string(&git).ok()?;
    let place = text.strip_prefix("gitdir:")?.trim();
    Some(folder.join(place))
}

/// What git says of some files.
pub(super) enum Provenance {
    /// They lie in no checkout.
    NoCheckout,
    /// One of them is not to the byte as the commit of its checkout has it: they are of no commit.
    Changed,
    /// The id of the commit at which the checkout around them stands.
    Commit(String),
}

/// Of which commit these files are.
pub(super) fn provenance<'f>(files: impl IntoIterator<Item = (&'f Path, &'f [u8])>) -> Provenance {
    let mut files = files.into_iter().peekable();
    let folder = files.peek().and_then(|(main, _)| main.parent());
    match folder.and_then(|it| gix::discover(it).ok()) {
        None => Provenance::NoCheckout,
        Some(repository) => {
            commit_of(&repository, files).map_or(Provenance::Changed, Provenance::Commit)
        }
    }
}

fn commit_of<'f>(
    repository: &gix::Repository,
    files: impl IntoIterator<Item = (&'f Path, &'f [u8])>,
) -> Option<String> {
    let top = repository.workdir()?.canonicalize().ok()?;
    let commit = repository.head_commit().ok()?;
    let tree = commit.tree().ok()?;
    for (place, bytes) in files {
        let kept = tree.lookup_entry_by_path(place.strip_prefix(&top).ok()?);
        let read = gix::objs::compute_hash(repository.object_hash(), Kind::Blob, bytes).ok()?;
        if kept.ok()??.oid() != read {
            return None;
        }
    }
    Some(commit.id().to_string())
}
