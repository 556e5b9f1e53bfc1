//! Logs of a whole process: each test starts this binary anew, as a child that logs.

use std::process::{Command, Stdio};

use lapsed::telemetry::{LogFormat, Logging, TelemetryError, start};

/// Logs a lot, panics in a thread, and survives both.
#[test]
#[ignore = "the child of the tests below"]
fn child_that_logs_and_survives_a_panic() {
    let logging = Logging {
        format: LogFormat::Json,
        ..Logging::default()
    };
    start(&logging).unwrap();
    assert_eq!(start(&logging), Err(TelemetryError::Twice));
    for _ in 0..10_000 {
        tracing::info!(target: "lapsed", "a line");
    }
    let died = std::thread::Builder::new()
        .name("worker".to_owned())
        .spawn(|| panic!("out of\nluck"))
        .unwrap()
        .join();
    assert!(died.is_err());
    std::process::exit(17);
}

fn child() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--ignored",
            "--exact",
            "telemetry::child_that_logs_and_survives_a_panic",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_closed_pipe_does_not_stop_the_process() {
    let mut child = child().spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(17));
}

#[test]
fn a_panic_is_a_line_like_any_other() {
    let output = child().env_remove("RUST_BACKTRACE").output().unwrap();
    assert_eq!(output.status.code(), Some(17));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 10_001);
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "ERROR");
    assert_eq!(last["message"], "panicked: out of\nluck");
    assert_eq!(last["thread"], "worker");
    assert!(last["place"].as_str().unwrap().contains("telemetry.rs:"));
}
