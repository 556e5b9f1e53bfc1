//! Files in a git checkout.

use std::fs;
use std::path::Path;
use std::process::Command;

use lapsed::source::SourceError;

use super::support::{QUICK, World, contents, link, read, write};

const MAIN: &str = "include: items/*.yaml\n";

/// Runs git without what this machine's configuration says.
fn git(folder: &Path, arguments: &[&str]) -> bool {
    let output = Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .args(["-c", "user.name=Dana", "-c", "user.email=dana@example.com"])
        .args(arguments)
        .output()
        .unwrap();
    output.status.success()
}

/// A repository whose branches `one` and `two` say different things in both files.
fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    assert!(git(folder.path(), &["init", "-q", "-b", "one"]));
    commit(folder.path(), "one");
    assert!(git(folder.path(), &["checkout", "-q", "-b", "two"]));
    commit(folder.path(), "two");
    assert!(git(folder.path(), &["checkout", "-q", "one"]));
    folder
}

fn commit(folder: &Path, text: &str) {
    write(folder.join("lapsed.yaml"), &format!("{MAIN}{text}"));
    write(folder.join("items/a.yaml"), text);
    assert!(git(folder, &["add", "."]));
    assert!(git(folder, &["commit", "-q", "-m", text]));
}

async fn says(world: &mut World, text: &str) {
    let main = format!("{MAIN}{text}");
    world
        .says(&[("lapsed.yaml", &main), ("items/a.yaml", text)])
        .await;
}

#[tokio::test]
async fn a_checkout_is_read_as_one_thing() {
    let mut world = World::follow(repository(), "lapsed.yaml", QUICK);
    says(&mut world, "one").await;
    for branch in ["two", "one", "two"] {
        assert!(git(world.folder.path(), &["checkout", "-q", branch]));
        says(&mut world, branch).await;
    }
    for text in world.texts() {
        let files = contents(&text);
        assert_eq!(
            files[0].1.strip_prefix(MAIN),
            Some(files[1].1),
            "never a mixture"
        );
    }
}

#[tokio::test]
async fn nothing_is_read_while_git_holds_its_lock() {
    let mut world = World::follow(repository(), "lapsed.yaml", QUICK);
    says(&mut world, "one").await;

    world.write(".git/index.lock", "");
    world.write("items/a.yaml", "half of it");
    let problem = world.problem().await;
    assert!(matches!(&problem, SourceError::Busy { sign } if sign.ends_with(".git/index.lock")));
    assert!(
        problem.to_string().starts_with("git is at work"),
        "{problem}"
    );
    world.source.reload();
    world.write("items/a.yaml", "one");
    fs::remove_file(world.path(".git/index.lock")).unwrap();

    says(&mut world, "one").await;
    assert_eq!(world.texts().len(), 1, "the half was never published");
}

#[tokio::test]
async fn a_lock_without_a_change_is_no_problem() {
    let mut world = World::follow(repository(), "lapsed.yaml", QUICK);
    says(&mut world, "one").await;
    world.write(".git/index.lock", "");
    let seen = world.source.subscribe().borrow().seen_at;
    while world.source.subscribe().borrow().seen_at == seen {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.source.subscribe().borrow().problem, None);
}

#[tokio::test]
async fn nothing_is_read_in_the_middle_of_a_merge() {
    let mut world = World::follow(repository(), "lapsed.yaml", QUICK);
    assert!(git(
        world.folder.path(),
        &["checkout", "-q", "-b", "three", "one"]
    ));
    commit(world.folder.path(), "three");
    says(&mut world, "three").await;

    assert!(
        !git(world.folder.path(), &["merge", "-q", "two"]),
        "they conflict"
    );
    let problem = world.problem().await;
    assert!(matches!(&problem, SourceError::Busy { sign } if sign.ends_with("MERGE_HEAD")));
    assert!(git(world.folder.path(), &["merge", "--abort"]));
    says(&mut world, "three").await;
    assert!(
        world
            .texts()
            .iter()
            .all(|text| !contents(text)[0].1.contains("<<<<"))
    );
}

#[tokio::test]
async fn nothing_is_read_in_the_middle_of_a_rebase_of_a_linked_worktree() {
    let repository = repository();
    assert!(git(repository.path(), &["branch", "three", "one"]));
    assert!(git(
        repository.path(),
        &["worktree", "add", "-q", "linked", "three"]
    ));
    commit(&repository.path().join("linked"), "three");
    let mut world = World::follow(repository, "linked/lapsed.yaml", QUICK);
    says(&mut world, "three").await;

    let linked = world.path("linked");
    assert!(!git(&linked, &["rebase", "-q", "two"]), "they conflict");
    let problem = world.problem().await;
    assert!(matches!(&problem, SourceError::Busy { sign } if sign.ends_with("rebase-merge")));
    assert!(git(&linked, &["rebase", "--abort"]));
    says(&mut world, "three").await;
}

/// What git itself says of the place.
fn head(folder: &Path) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["rev-parse", "HEAD"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commit_read(folder: &Path) -> Option<String> {
    read(&folder.join("lapsed.yaml")).unwrap().commit
}

#[test]
fn files_are_of_the_commit_that_has_them_to_the_byte_and_else_of_none() {
    let folder = repository();
    let here = folder.path();
    let first = head(here);
    assert_eq!(commit_read(here), Some(first.clone()));
    // Whatever else lies in the checkout says nothing of these.
    write(here.join("README.md"), "changed");
    assert_eq!(commit_read(here), Some(first.clone()));
    write(here.join("items/a.yaml"), "changed and not committed");
    assert_eq!(commit_read(here), None);
    assert!(git(here, &["commit", "-q", "-a", "-m", "changed"]));
    assert_eq!(commit_read(here), Some(head(here)));
    assert_ne!(head(here), first);
    write(here.join("items/b.yaml"), "never added");
    assert_eq!(commit_read(here), None);
}

#[test]
fn files_of_no_checkout_are_of_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("lapsed.yaml"), "version: 1\n");
    assert_eq!(commit_read(folder.path()), None);
    assert!(git(folder.path(), &["init", "-q"]));
    assert_eq!(commit_read(folder.path()), None, "nothing is committed");
}

/// As git-sync lays it out: a worktree for each commit, and a link to the newest.
#[test]
fn a_file_behind_the_link_of_git_sync_is_of_the_commit_of_its_worktree() {
    let folder = repository();
    let root = tempfile::tempdir().unwrap();
    let worktree = root.path().join(".worktrees/two");
    let place = worktree.to_str().unwrap();
    assert!(git(
        folder.path(),
        &["worktree", "add", "-q", "--detach", place, "two"]
    ));
    link(&worktree, root.path().join("current"));
    assert_eq!(
        commit_read(&root.path().join("current")),
        Some(head(&worktree))
    );
    assert_ne!(head(&worktree), head(folder.path()));
}
