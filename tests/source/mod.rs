//! Every way in which the files are replaced, on a real file system.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lapsed::clock::SystemClock;
use lapsed::source::{Includes, Latest, Options, Source, SourceError, Text, read_once};
use tempfile::TempDir;
use tokio::sync::watch;

/// A pattern per line that begins with `include `.
fn includes() -> Includes {
    Arc::new(|bytes| {
        String::from_utf8_lossy(bytes)
            .lines()
            .filter_map(|line| line.strip_prefix("include ").map(str::to_owned))
            .collect()
    })
}

struct Watched {
    source: Source,
    latest: watch::Receiver<Latest>,
}

fn watched(main: &Path) -> Watched {
    let options = Options {
        poll: Duration::from_millis(300),
        still: Duration::from_millis(200),
        max_bytes: 1 << 20,
    };
    let clock = Arc::new(SystemClock::new());
    let source = Source::watch(main.to_owned(), includes(), clock, options);
    let latest = source.subscribe();
    Watched { source, latest }
}

impl Watched {
    /// Waits until what is published is as wanted.
    async fn until(&mut self, what: &str, wanted: impl Fn(&Latest) -> bool) -> Latest {
        let mut latest = self.source.subscribe();
        let waited = Duration::from_secs(20);
        let found = tokio::time::timeout(waited, latest.wait_for(wanted)).await;
        match found {
            Ok(latest) => latest.unwrap().clone(),
            Err(_) => panic!(
                "never published: {what}; published is {:?}",
                self.latest.borrow()
            ),
        }
    }

    async fn until_main_is(&mut self, text: &str) {
        self.until(text, |latest| {
            main_of(latest) == Some(text.to_owned()) && latest.problem.is_none()
        })
        .await;
    }
}

fn main_of(latest: &Latest) -> Option<String> {
    let text: &Text = latest.text.as_deref()?;
    Some(String::from_utf8_lossy(&text.files[0].bytes).into_owned())
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().canonicalize().unwrap().join("lapsed.yaml");
    (folder, main)
}

#[tokio::test]
async fn an_edit_in_place_is_published() {
    let (_folder, main) = folder();
    fs::write(&main, "one").unwrap();
    let mut watched = watched(&main);
    watched.until_main_is("one").await;
    fs::write(&main, "two").unwrap();
    watched.until_main_is("two").await;
}

#[tokio::test]
async fn a_file_that_is_still_being_written_is_never_published() {
    let (_folder, main) = folder();
    fs::write(&main, "whole").unwrap();
    let mut watched = watched(&main);
    watched.until_main_is("whole").await;
    let mut seen = watched.source.subscribe();
    let writer = tokio::spawn({
        let main = main.clone();
        async move {
            for size in 1..=40 {
                fs::write(&main, "x".repeat(size)).unwrap();
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        }
    });
    watched.until_main_is(&"x".repeat(40)).await;
    writer.await.unwrap();
    let last = seen.borrow_and_update().clone();
    assert_eq!(main_of(&last), Some("x".repeat(40)));
}

#[tokio::test]
async fn a_rename_over_the_file_is_published() {
    let (_folder, main) = folder();
    fs::write(&main, "one").unwrap();
    let mut watched = watched(&main);
    watched.until_main_is("one").await;
    for text in ["two", "three"] {
        let new = main.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &main).unwrap();
        watched.until_main_is(text).await;
    }
}

/// What the kubelet does: a folder per version, `..data` points to it, the file points into
/// `..data`.
fn kubernetes_swap(root: &Path, version: &str, text: &str) {
    let folder = root.join(format!("..{version}"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("lapsed.yaml"), text).unwrap();
    symlink(format!("..{version}"), root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
}

#[tokio::test]
async fn a_kubernetes_volume_that_is_swapped_is_published() {
    let (_folder, main) = folder();
    let root = main.parent().unwrap();
    kubernetes_swap(root, "v1", "one");
    symlink("..data/lapsed.yaml", &main).unwrap();
    let mut watched = watched(&main);
    watched.until_main_is("one").await;
    for (version, text) in [("v2", "two"), ("v3", "three")] {
        kubernetes_swap(root, version, text);
        watched.until_main_is(text).await;
    }
}

fn git(folder: &Path, words: &[&str]) {
    let done = Command::new("git")
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "git {words:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[tokio::test]
async fn a_git_checkout_is_published_and_never_in_the_middle_of_a_merge() {
    let (_folder, main) = folder();
    let root = main.parent().unwrap();
    git(root, &["init", "-q", "-b", "main"]);
    fs::write(&main, "one").unwrap();
    git(root, &["add", "."]);
    git(root, &["commit", "-qm", "one"]);
    git(root, &["checkout", "-qb", "other"]);
    fs::write(&main, "two").unwrap();
    git(root, &["commit", "-qam", "two"]);
    git(root, &["checkout", "-q", "main"]);
    let mut watched = watched(&main);
    watched.until_main_is("one").await;
    git(root, &["checkout", "-q", "other"]);
    watched.until_main_is("two").await;

    for sign in ["index.lock", "MERGE_HEAD"] {
        let sign = root.join(".git").join(sign);
        fs::write(&sign, "").unwrap();
        fs::write(&main, "<<<<<<< in the middle").unwrap();
        // Long enough for many looks: what must not be published has had its chances.
        let middle = tokio::time::timeout(
            Duration::from_millis(1_500),
            watched
                .latest
                .wait_for(|latest| main_of(latest) == Some("<<<<<<< in the middle".to_owned())),
        );
        assert!(middle.await.is_err(), "published in the middle of a merge");
        let text = format!("after {}", sign.display());
        fs::write(&main, &text).unwrap();
        fs::remove_file(&sign).unwrap();
        watched.until_main_is(&text).await;
    }
}

#[tokio::test]
async fn a_deleted_file_is_told_and_its_return_is_published() {
    let (_folder, main) = folder();
    fs::write(&main, "one").unwrap();
    let mut watched = watched(&main);
    watched.until_main_is("one").await;
    fs::remove_file(&main).unwrap();
    let gone = watched
        .until("a problem", |latest| latest.problem.is_some())
        .await;
    assert!(gone.problem.as_deref().unwrap().contains("does not exist"));
    assert_eq!(
        main_of(&gone).as_deref(),
        Some("one"),
        "the last text stays known"
    );
    fs::write(&main, "back").unwrap();
    watched.until_main_is("back").await;
}

#[tokio::test]
async fn a_folder_that_is_deleted_and_made_anew_is_watched_on() {
    let (_folder, main) = folder();
    let root = main.parent().unwrap().join("inner");
    fs::create_dir(&root).unwrap();
    let main = root.join("lapsed.yaml");
    fs::write(&main, "one").unwrap();
    let mut watched = watched(&main);
    watched.until_main_is("one").await;
    fs::remove_dir_all(&root).unwrap();
    watched
        .until("a problem", |latest| latest.problem.is_some())
        .await;
    fs::create_dir(&root).unwrap();
    fs::write(&main, "anew").unwrap();
    watched.until_main_is("anew").await;
    fs::write(&main, "and again").unwrap();
    watched.until_main_is("and again").await;
}

#[tokio::test]
async fn included_files_come_and_go() {
    let (_folder, main) = folder();
    let batches = main.parent().unwrap().join("batches");
    fs::create_dir(&batches).unwrap();
    fs::write(&main, "include batches/*.yaml\n").unwrap();
    let mut watched = watched(&main);
    let names = |latest: &Latest| -> Vec<String> {
        let text = latest.text.as_deref();
        text.map(|text| text.files.iter().map(|file| file.name.clone()).collect())
            .unwrap_or_default()
    };
    let first = watched
        .until("the main file", |latest| names(latest) == ["lapsed.yaml"])
        .await;
    assert_eq!(first.text.unwrap().unmatched, ["batches/*.yaml"]);
    fs::write(batches.join("b.yaml"), "b").unwrap();
    fs::write(batches.join("a.yaml"), "a").unwrap();
    fs::write(batches.join(".hidden.yaml"), "h").unwrap();
    let both = ["lapsed.yaml", "batches/a.yaml", "batches/b.yaml"];
    watched.until("both", |latest| names(latest) == both).await;
    fs::remove_file(batches.join("a.yaml")).unwrap();
    watched
        .until("one", |latest| {
            names(latest) == ["lapsed.yaml", "batches/b.yaml"]
        })
        .await;
}

#[tokio::test]
async fn a_reload_looks_at_once() {
    let (_folder, main) = folder();
    fs::write(&main, "one").unwrap();
    let mut watched = watched(&main);
    watched.until_main_is("one").await;
    fs::write(&main, "two").unwrap();
    watched.source.reload();
    watched.until_main_is("two").await;
}

#[test]
fn an_include_that_leads_outside_is_not_read() {
    let (_folder, main) = folder();
    let (_elsewhere, secret) = folder();
    fs::write(&secret, "secret").unwrap();
    let root = main.parent().unwrap();
    fs::write(&main, "include *.yaml\ninclude ../*.yaml\ninclude /etc/*\n").unwrap();
    symlink(&secret, root.join("link.yaml")).unwrap();
    let text = read_once(&main, &includes(), 1 << 20).unwrap();
    assert_eq!(text.files.len(), 1);
    assert_eq!(text.outside.len(), 1);
    assert!(text.outside[0].1.ends_with("link.yaml"));
}

#[test]
fn what_cannot_be_read_is_named() {
    let (_folder, main) = folder();
    let missing = read_once(&main, &includes(), 10).unwrap_err();
    assert!(matches!(missing, SourceError::Missing { .. }), "{missing}");
    fs::create_dir(&main).unwrap();
    let no_file = read_once(&main, &includes(), 10).unwrap_err();
    assert!(
        matches!(no_file, SourceError::Unreadable { .. }),
        "{no_file}"
    );
    fs::remove_dir(&main).unwrap();
    fs::write(&main, "more than ten bytes").unwrap();
    let too_large = read_once(&main, &includes(), 10).unwrap_err();
    assert!(
        matches!(too_large, SourceError::TooLarge { .. }),
        "{too_large}"
    );
}
