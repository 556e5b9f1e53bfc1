//! From a commit to a cancellation: in a plain checkout, behind git-sync's link, in a ConfigMap's folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use lapsed::sandbox::cast;

use crate::support::{Daemon, Home, until};

/// Runs git without what this machine's configuration says, and gives what it prints.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .args(["-c", "user.name=Dana", "-c", "user.email=dana@example.com"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn item() -> String {
    format!(
        "\n  - {{id: \"{}\", provider: academy}}",
        cast::KAJABI_ACTIVE
    )
}

fn key() -> String {
    format!("academy/{}", cast::KAJABI_ACTIVE)
}

/// A repository with the file in it, and nothing in the file.
fn repository(home: &Home) -> PathBuf {
    let folder = home.path().join("repository");
    std::fs::create_dir(&folder).unwrap();
    git(&folder, &["init", "-q", "-b", "main"]);
    commit(home, &folder, " []");
    folder
}

fn commit(home: &Home, folder: &Path, items: &str) {
    std::fs::write(folder.join("lapsed.yaml"), home.text("", items)).unwrap();
    git(folder, &["add", "lapsed.yaml"]);
    git(folder, &["commit", "-q", "-m", "who shall be cancelled"]);
}

fn follow(home: &Home, file: &Path) -> Daemon {
    home.daemon_with(|command| {
        command.arg("--config").arg(file);
    })
}

fn until_cancelled(home: &Home) {
    until("it is cancelled", || {
        home.truth_of(cast::KAJABI_ACTIVE)["cancels_effective"] == 1
    });
}

/// What the record says of the item.
fn history(home: &Home) -> String {
    let ledger = format!("sqlite:{}", home.ledger().display());
    let ran = home.run(&["history", &key(), "--ledger", &ledger]);
    ran.ended(0).out
}

#[test]
fn a_branch_is_checked_and_planned_and_its_merge_is_carried_out_and_named_in_the_record() {
    let home = Home::new();
    let folder = repository(&home);
    let file = folder.join("lapsed.yaml");
    let place = file.to_str().unwrap();
    let daemon = follow(&home, &file);

    // A worktree of its own is where a person writes, and where CI checks.
    let branch = home.path().join("branch");
    git(
        &folder,
        &[
            "worktree",
            "add",
            "-q",
            "-b",
            "one-more",
            branch.to_str().unwrap(),
        ],
    );
    commit(&home, &branch, &item());
    let proposed = branch.join("lapsed.yaml");
    let proposed = proposed.to_str().unwrap();
    home.run(&["check", "--strict", "--config", proposed])
        .ended(0);
    let plan = [
        "plan",
        "--offline",
        "--against",
        "main",
        "--format",
        "markdown",
        "--config",
        proposed,
    ];
    let told = home.run(&plan).ended(0).out;
    assert!(told.contains(&format!("`{}`", key())), "{told}");

    git(
        &folder,
        &["merge", "-q", "--no-ff", "-m", "merged", "one-more"],
    );
    let merged = git(&folder, &["rev-parse", "HEAD"]);
    until_cancelled(&home);
    let record = history(&home);
    let accepted = record.lines().next().unwrap();
    assert!(accepted.contains("accepted from lapsed.yaml:"), "{record}");
    assert!(
        accepted.ends_with(&format!(", commit {merged}")),
        "{record}"
    );
    let in_force = format!(r#"lapsed_config_info{{commit="{merged}","#);
    assert!(daemon.get("/metrics").body.contains(&in_force));
    assert!(daemon.get("/").body.contains(&merged[..12]));
    let page = daemon.get(&format!("/cancellations/{}", key())).body;
    assert!(page.contains(&format!("commit {merged}")), "{page}");
    // What is written and not committed is carried out all the same, and is nobody's commit.
    std::fs::write(place, home.text("", &format!("{} # soon", item()))).unwrap();
    until("the text is in force", || {
        daemon
            .get("/metrics")
            .body
            .contains(r#"lapsed_config_info{commit="","#)
    });
}

#[test]
fn a_worktree_behind_the_link_of_git_sync_is_carried_out_and_named() {
    let home = Home::new();
    let folder = repository(&home);
    let root = home.path().join("git");
    let publish = || {
        let head = git(&folder, &["rev-parse", "HEAD"]);
        let worktree = root.join(".worktrees").join(&head);
        git(
            &folder,
            &[
                "worktree",
                "add",
                "-q",
                "--detach",
                worktree.to_str().unwrap(),
                "main",
            ],
        );
        let next = root.join("next");
        std::os::unix::fs::symlink(&worktree, &next).unwrap();
        std::fs::rename(&next, root.join("current")).unwrap();
        head
    };
    publish();
    let _daemon = follow(&home, &root.join("current/lapsed.yaml"));
    commit(&home, &folder, &item());
    let head = publish();
    until_cancelled(&home);
    let record = history(&home);
    assert!(record.contains(&format!(", commit {head}")), "{record}");
}

#[test]
fn a_config_map_is_carried_out_and_is_of_no_commit() {
    let home = Home::new();
    let root = home.path().join("mounted");
    // As the kubelet lays it out: files behind `..data`, which is set anew at each change.
    let publish = |number: u32, items: &str| {
        let folder = root.join(format!("..2026_11_26_{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("lapsed.yaml"), home.text("", items)).unwrap();
        let next = root.join("..data_tmp");
        std::os::unix::fs::symlink(&folder, &next).unwrap();
        std::fs::rename(&next, root.join("..data")).unwrap();
    };
    publish(1, " []");
    std::os::unix::fs::symlink("..data/lapsed.yaml", root.join("lapsed.yaml")).unwrap();
    let _daemon = follow(&home, &root.join("lapsed.yaml"));
    publish(2, &item());
    until_cancelled(&home);
    let record = history(&home);
    assert!(record.contains("accepted from lapsed.yaml:"), "{record}");
    assert!(!record.contains(", commit "), "{record}");
}

#[test]
fn where_no_checkout_tells_the_commit_a_word_is_taken_for_what_stands_there_at_the_start_alone() {
    let home = Home::new();
    home.write(&item());
    let _daemon = home.daemon_with(|command| {
        command.env("LAPSED_REVISION", "4d3c2b1");
    });
    home.until_state(&key(), "canceled");
    let of = |id: &str| {
        home.run(&["history", &format!("academy/{id}")])
            .ended(0)
            .out
    };
    let first = of(cast::KAJABI_ACTIVE);
    assert!(first.contains(", commit 4d3c2b1"), "{first}");
    let later = cast::KAJABI_ACTIVE_TOO;
    home.write(&format!(
        "{}\n  - {{id: \"{later}\", provider: academy}}",
        item()
    ));
    home.until_state(&format!("academy/{later}"), "canceled");
    let second = of(later);
    assert!(!second.contains("commit"), "{second}");
    // In a checkout git has the word, also where it says that this is no commit.
    let folder = repository(&home);
    std::fs::write(folder.join("lapsed.yaml"), home.text("", &item())).unwrap();
    let other = home.path().join("other.db");
    let place = format!("sqlite:{}", other.display());
    let main = folder.join("lapsed.yaml");
    let of_main = ["--config", main.to_str().unwrap(), "--ledger", &place];
    let once = ["run", "--once", "--revision", "4d3c2b1"];
    home.run(&[&once[..], &of_main].concat()).ended(0);
    let told = home.run(&[&["history", &key()], &of_main[..]].concat());
    let told = told.ended(0).out;
    assert!(
        told.contains("accepted from") && !told.contains("commit"),
        "{told}"
    );
    for wrong in ["", "two words"] {
        let told = home.run(&["run", "--once", "--revision", wrong]).ended(64);
        assert!(told.err.contains("a commit is named by"), "{}", told.err);
    }
}
