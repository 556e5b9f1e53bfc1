//! The process itself: what it takes from its environment, and what it leaves behind.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use lapsed::sandbox::cast;

use super::{Trap, monthly};
use crate::support::{Home, lapsed, until};

#[test]
fn proxies_and_key_logs_of_the_environment_change_nothing() {
    let home = Home::new();
    let trap = Trap::set();
    let keys = home.path().join("tls-keys");
    let unreachable = "  friends:\n    type: revere\n    base_url: https://billing.invalid\n    \
        group_id: g\n    linked_account_id: a\n    api_key: {env: T_KEY}\npolicies:\n";
    let items = format!(
        "{}\n  - {{id: \"{}\", provider: academy}}\n  - {{id: \"{}\", provider: friends}}",
        monthly(),
        cast::KAJABI_ACTIVE,
        cast::REVERE_ANNUAL
    );
    home.write_text(
        &home
            .text("", &items)
            .replacen("policies:\n", unreachable, 1),
    );
    let daemon = home.daemon_with(|command| {
        for name in [
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
        ] {
            command.env(name, trap.url());
        }
        command.env("T_KEY", "k").env("SSLKEYLOGFILE", &keys);
    });
    home.until_state(&format!("donations/{}", cast::REVERE_MONTHLY), "canceled");
    home.until_state(&format!("academy/{}", cast::KAJABI_ACTIVE), "canceled");
    // The one over https has been tried, and reached nobody.
    until("https was tried", || {
        daemon.get("/metrics").body.lines().any(|line| {
            line.starts_with("lapsed_provider_requests_total{")
                && line.contains("provider=\"friends\"")
                && !line.ends_with(" 0")
        })
    });
    assert_eq!(trap.heard(), Vec::<String>::new());
    assert!(!keys.exists());
}

#[test]
fn what_the_daemon_writes_is_for_its_own_user_whatever_the_umask() {
    let home = Home::new();
    home.write(&monthly());
    let binary = lapsed().get_program().to_owned();
    let mut child = Command::new("sh")
        .args(["-c", "umask 0; exec \"$0\" run --listen 127.0.0.1:0"])
        .arg(binary)
        .current_dir(home.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    home.until_state(&format!("donations/{}", cast::REVERE_MONTHLY), "canceled");
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("lapsed.db") {
            let mode = std::fs::metadata(&path).map(|it| it.permissions().mode() & 0o777);
            // A file that is replaced may be gone for a moment.
            if let Ok(mode) = mode {
                assert_eq!(mode, 0o600, "{name}: {mode:o}");
                seen.push(name);
            }
        }
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    for name in [
        "lapsed.db",
        "lapsed.db-wal",
        "lapsed.db-shm",
        "lapsed.db.lock",
    ] {
        assert!(seen.iter().any(|it| it == name), "{seen:?}");
    }
    if let Ok(limits) = limits {
        let core = limits
            .lines()
            .find(|it| it.starts_with("Max core file size"));
        let words: Vec<&str> = core.unwrap().split_whitespace().collect();
        assert_eq!(words[4..6], ["0", "0"], "{limits}");
    }
}
