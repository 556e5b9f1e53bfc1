//! One reading, for commands.

use std::fs;
use std::process::Command;

use lapsed::source::{Options, SourceError, read_once};

use super::support::{QUICK, contents, includes, link, read, write};

#[test]
fn the_main_file_comes_first_and_the_others_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let main = "include: b/**/*.yaml\ninclude: ./a.yaml\ninclude: *.yaml\ninclude: none-?.csv\n";
    for (name, text) in [
        ("lapsed.yaml", main),
        ("a.yaml", "a"),
        ("z.yaml", "z"),
        ("b/deep/er/c.yaml", "c"),
        ("b/d.yaml", "d"),
        ("b/e.csv", "e"),
        ("c/f.yaml", "f"),
    ] {
        write(folder.path().join(name), text);
    }
    let text = read(&folder.path().join("lapsed.yaml")).unwrap();
    let names: Vec<_> = contents(&text).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "lapsed.yaml",
            "a.yaml",
            "b/d.yaml",
            "b/deep/er/c.yaml",
            "z.yaml"
        ]
    );
    assert_eq!(text.unmatched, ["none-?.csv"]);
}

#[test]
fn names_that_begin_with_a_dot_are_passed_over_unless_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("x/.hidden.yaml"), "hidden");
    write(folder.path().join("x/..2026/y.yaml"), "Kubernetes' own");
    write(folder.path().join("x/.git/y.yaml"), "git's own");
    link("someone@host.17", folder.path().join("x/.#y.yaml"));
    let main = folder.path().join("lapsed.yaml");
    write(&main, "include: x/**/*.yaml\n");
    assert_eq!(read(&main).unwrap().files.len(), 1);
    write(&main, "include: x/.hid*.yaml\n");
    assert_eq!(
        contents(&read(&main).unwrap())[1],
        ("x/.hidden.yaml", "hidden")
    );
}

#[test]
fn patterns_and_folders_that_leave_the_folder_are_named_and_not_read() {
    let root = tempfile::tempdir().unwrap();
    write(root.path().join("elsewhere/a.yaml"), "a");
    let main = root.path().join("etc/lapsed.yaml");
    write(
        &main,
        "include: ../elsewhere/*.yaml\ninclude: /etc/passwd\ninclude: linked/*.yaml\n",
    );
    link("../elsewhere", root.path().join("etc/linked"));
    let text = read(&main).unwrap();
    assert_eq!(text.files.len(), 1);
    let outside: Vec<_> = text
        .outside
        .iter()
        .map(|outside| outside.pattern.as_str())
        .collect();
    assert_eq!(
        outside,
        ["../elsewhere/*.yaml", "/etc/passwd", "linked/*.yaml"]
    );
    assert!(text.unmatched.is_empty());
}

#[test]
fn folders_that_link_in_a_circle_end() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("a/b/c.yaml"), "c");
    link("../..", folder.path().join("a/b/up"));
    let main = folder.path().join("lapsed.yaml");
    write(&main, "include: a/**/*.yaml\n");
    let text = read(&main).unwrap();
    assert_eq!(contents(&text)[1..], [("a/b/c.yaml", "c")]);
}

#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("lapsed.yaml");
    write(&main, "include: *.yaml\n");
    let pipe = folder.path().join("pipe.yaml");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    assert!(matches!(read(&main), Err(SourceError::NotAFile { .. })));
    assert!(matches!(read(&pipe), Err(SourceError::NotAFile { .. })));
}

#[test]
fn the_limit_is_on_all_files_together() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("lapsed.yaml");
    write(&main, "include: a.yaml\n");
    write(folder.path().join("a.yaml"), "1234");
    let read_up_to = |max_bytes| {
        let options = Options { max_bytes, ..QUICK };
        read_once(&main, &includes(), &options)
    };
    assert!(read_up_to(20).is_ok());
    let error = read_up_to(19).unwrap_err();
    assert_eq!(error, SourceError::TooLarge { max_bytes: 19 });
}

#[test]
fn the_revision_is_one_of_names_and_bytes() {
    let revision = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(folder.path().join(name), text);
        }
        read(&folder.path().join("lapsed.yaml")).unwrap().revision
    };
    const MAIN: (&str, &str) = ("lapsed.yaml", "include: [a-z]?.yaml\n");
    let one = revision(&[MAIN, ("ab.yaml", "c")]);
    assert_eq!(one, revision(&[MAIN, ("ab.yaml", "c"), ("unrelated", "d")]));
    let others = [
        revision(&[MAIN, ("ab.yaml", "d")]),
        revision(&[MAIN, ("ac.yaml", "c")]),
        revision(&[MAIN]),
        revision(&[MAIN, ("ab.yaml", "c"), ("ac.yaml", "")]),
    ];
    assert!(!others.contains(&one), "{one} {others:?}");
}

#[test]
fn a_commands_reading_does_not_mind_git() {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("lapsed.yaml");
    write(&main, "one");
    write(folder.path().join(".git/index.lock"), "");
    assert!(read(&main).is_ok());
}

#[test]
fn a_problem_is_told_on_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let error = read(&folder.path().join("\u{1b}[31m\n")).unwrap_err();
    assert!(
        error.to_string().chars().all(|char| !char.is_control()),
        "{error}"
    );
    fs::create_dir(folder.path().join("folder")).unwrap();
    let error = read(&folder.path().join("folder")).unwrap_err().to_string();
    assert!(
        error.ends_with("is no regular file; name one that is"),
        "{error}"
    );
}
