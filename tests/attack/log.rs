//! Nobody reads the log: its reader is gone, or does not read.

use std::io::Read as _;
use std::process::Stdio;

use super::{NO_LIMITS, lines, many, until_each_is_cancelled_once};
use crate::support::until;

const ITEMS: u32 = 40;

#[test]
fn a_daemon_whose_log_has_no_reader_any_more_goes_on() {
    let home = many(0, ITEMS, 0);
    home.write_text(&home.text(NO_LIMITS, &lines(&home.all())));
    let (reader, writer) = std::io::pipe().unwrap();
    let daemon = home.start_as(|command| {
        command.stderr(writer);
    });
    drop(reader);
    until_each_is_cancelled_once(&home, ITEMS as usize);
    daemon.signal("TERM");
    let mut daemon = daemon;
    assert_eq!(daemon.ended(), 0);
}

#[test]
fn a_daemon_whose_log_is_not_read_goes_on_and_stops_when_asked() {
    let home = many(0, ITEMS, 0);
    home.write_text(&home.text(NO_LIMITS, &lines(&home.all())));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut daemon = home.start_as(|command| {
        command
            .args(["--log-level", "trace"])
            .env("RUST_LOG", "trace")
            .stderr(writer);
    });
    until_each_is_cancelled_once(&home, ITEMS as usize);
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 0);
    let mut held = Vec::new();
    reader.read_to_end(&mut held).unwrap();
    // Its pipe was full, at 16 pages of which each line leaves some free.
    assert!(held.len() > 30_000, "only {} bytes of log", held.len());
    // What was written is whole lines.
    let text = String::from_utf8(held).unwrap();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        let line: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(line.is_ok(), "{line:?}");
    }
}

#[test]
fn a_daemon_without_a_log_goes_on() {
    let home = many(0, 2, 0);
    home.write_text(&home.text("", &lines(&home.all())));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let daemon = home.start_as(|command| {
        command.stderr(full.map_or_else(|_| Stdio::null(), Stdio::from));
    });
    until_each_is_cancelled_once(&home, 2);
    until("it is there", || {
        std::path::Path::new(&format!("/proc/{}", daemon.id())).exists()
    });
}
