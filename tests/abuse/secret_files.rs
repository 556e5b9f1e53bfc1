//! `{env: …}` and `{file: …}` that name what is no secret of lapsed's, or no file at all.

use std::process::Command;

use lapsed::sandbox::cast;
use serde_json::Value;

use super::{explained, hold, monthly};
use crate::support::{Home, until};

fn key() -> String {
    format!("donations/{}", cast::REVERE_MONTHLY)
}

fn with_key(home: &Home, reference: &str) -> String {
    home.text("", &monthly())
        .replace(&format!("{{value: {}}}", cast::REVERE_KEY), reference)
}

/// What the sandbox was asked of Revere's.
fn asked(home: &Home) -> usize {
    let log = crate::support::get(home.sandbox(), "/sandbox/requests").json();
    let requests = log["requests"].as_array().unwrap();
    let to_revere = |it: &&Value| it["path"].to_string().contains("/revere_pay/");
    requests.iter().filter(to_revere).count()
}

#[test]
fn what_is_no_small_file_is_not_read_and_holds_up_nobody() {
    for (reference, why) in [
        ("{file: /dev/zero}", "is no regular file"),
        ("{file: pipe}", "is no regular file"),
        ("{file: .}", "is no regular file"),
        ("{file: large}", "more than 1 MiB"),
        ("{file: ../../../nowhere}", "cannot be read"),
    ] {
        let home = Home::new();
        let pipe = home.path().join("pipe");
        assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        let large = std::fs::File::create(home.path().join("large")).unwrap();
        large.set_len((1 << 20) + 1).unwrap();
        home.write_text(&with_key(&home, reference));
        let daemon = home.daemon();
        until(reference, || hold(&home, &key()) == "credentials");
        let told = explained(&home, &key())["hold"].to_string();
        assert!(told.contains(why), "{told}");
        let checked = home.run(&["check"]).ended(0).out;
        assert!(checked.contains(why), "{checked}");
        assert_eq!(asked(&home), 0);
        assert_eq!(daemon.get("/livez").status, 200);
    }
}

#[test]
fn a_file_whose_bytes_no_header_can_carry_is_sent_nowhere_and_shown_nowhere() {
    let home = Home::new();
    let lines = "root:$6$canary$hash:19000:0:99999:7:::\nother:*:19000:0:99999:7:::\n";
    std::fs::write(home.path().join("shadow"), lines).unwrap();
    home.write_text(&with_key(&home, "{file: shadow}"));
    let daemon = home.daemon();
    until("it is held", || !hold(&home, &key()).is_empty());
    assert_eq!(asked(&home), 0);
    let told = [
        home.run(&["explain", &key()]).out,
        home.run(&["doctor"]).out,
        daemon.get("/").body,
        daemon.log(),
    ];
    assert!(told.iter().all(|it| !it.contains("$6$")), "{told:?}");
}

#[test]
fn a_secret_behind_a_link_is_read_as_mounted_secrets_need_it() {
    let home = Home::new();
    std::fs::write(home.path().join("data"), cast::REVERE_KEY).unwrap();
    std::os::unix::fs::symlink("data", home.path().join("link")).unwrap();
    home.write_text(&with_key(&home, "{file: link}"));
    home.run(&["run", "--once"]).ended(0);
    assert_eq!(home.state(&key()), "canceled");
    assert!(asked(&home) > 0);
}

#[test]
fn an_include_that_leaves_its_folder_reads_nothing() {
    let home = Home::new();
    for pattern in ["../../*.yaml", "/etc/*", "a/../../x.yaml"] {
        let include = format!("include: [\"{pattern}\"]\n");
        home.write_text(&home.text(&include, " []"));
        let told = home.run(&["check"]).ended(78);
        let told = format!("{}{}", told.out, told.err);
        assert!(told.contains(pattern), "{told}");
    }
    std::fs::create_dir(home.path().join("in")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", home.path().join("in/a.yaml")).unwrap();
    home.write_text(&home.text("include: [\"in/*.yaml\"]\n", " []"));
    let told = home.run(&["check"]).ended(78);
    let told = format!("{}{}", told.out, told.err);
    assert!(
        told.contains("in/a.yaml") && !told.contains("root:"),
        "{told}"
    );
}
