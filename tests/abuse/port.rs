//! Somebody who reaches the port, by themselves or through a browser of an operator.

use std::net::SocketAddr;

use super::{monthly, say};
use crate::support::{Daemon, Home, until};

const ADMIN: &str = "admin-token-1b6f";

fn serving() -> (Home, Daemon) {
    let home = Home::new();
    home.write_text(&home.text("admin_token: {env: T_ADMIN}\n", &monthly()));
    let daemon = home.daemon_with(|command| {
        command.env("T_ADMIN", ADMIN);
    });
    until("a revision is in force", || {
        daemon.get("/readyz").status == 200
    });
    (home, daemon)
}

fn statuses(heard: &str) -> Vec<&str> {
    heard
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|rest| rest.get(..3).unwrap_or(rest))
        .collect()
}

fn is_paused(home: &Home) -> bool {
    home.run(&["doctor"]).out.contains(" is paused by ")
}

/// A request with these lines of a head.
fn ask(address: SocketAddr, line: &str, headers: &[&str]) -> String {
    let mut words = format!("{line}\r\nConnection: close\r\n");
    for header in headers {
        words.push_str(&format!("{header}\r\n"));
    }
    say(address, format!("{words}\r\n").as_bytes())
}

#[test]
fn a_name_that_was_pointed_here_is_answered_by_nothing() {
    let (home, daemon) = serving();
    let address = daemon.address();
    let token = format!("Authorization: Bearer {ADMIN}");
    for (line, host) in [
        ("GET / HTTP/1.1", "Host: rebound.example.com"),
        ("GET /metrics HTTP/1.1", "Host: rebound.example.com:9740"),
        (
            "GET http://rebound.example.com/ HTTP/1.1",
            "Host: localhost",
        ),
        ("POST /-/pause HTTP/1.1", "Host: rebound.example.com"),
        (
            "GET / HTTP/1.1",
            "Host: localhost\r\nHost: rebound.example.com",
        ),
        ("GET / HTTP/1.1", "Host: localhost.rebound.example.com"),
        ("GET / HTTP/1.1", "X-Forwarded-Host: localhost"),
    ] {
        let heard = ask(address, line, &[host, &token]);
        let statuses = statuses(&heard);
        assert!(
            ["421", "400"].contains(&statuses[0]),
            "{line} {host}: {heard}"
        );
        assert!(!heard.contains("lapsed_"), "{heard}");
    }
    assert!(!is_paused(&home));
}

#[test]
fn a_page_in_an_operators_browser_commands_nothing() {
    let (home, daemon) = serving();
    let address = daemon.address();
    let token = format!("Authorization: Bearer {ADMIN}");
    for header in [
        "Origin: https://evil.example.com",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: same-origin, cross-site",
    ] {
        let heard = ask(
            address,
            "POST /-/pause HTTP/1.1",
            &["Host: localhost", header, &token],
        );
        assert_eq!(statuses(&heard), ["403"], "{header}: {heard}");
        assert!(
            !heard.to_ascii_lowercase().contains("access-control-"),
            "{heard}"
        );
    }
    // What a form can send, without a header of its own.
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let words = format!(
            "POST /-/pause HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}\r\nContent-Type: {media}\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        assert_eq!(
            statuses(&say(address, words.as_bytes())),
            ["415"],
            "{media}"
        );
    }
    assert!(!is_paused(&home));
    let heard = ask(
        address,
        "POST /-/pause HTTP/1.1",
        &["Host: localhost", &token],
    );
    assert_eq!(statuses(&heard), ["202"], "{heard}");
    until("it is paused", || is_paused(&home));
}

#[test]
fn a_request_inside_another_is_none() {
    let (home, daemon) = serving();
    let address = daemon.address();
    let inner = format!(
        "POST /-/pause HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    );
    let length = inner.len();
    let host = "Host: localhost\r\n";
    // Ends the connection, whatever was made of what came before.
    let last = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for (what, words) in [
        (
            "two lengths",
            format!(
                "POST /livez HTTP/1.1\r\n{host}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{inner}"
            ),
        ),
        (
            "a list of lengths",
            format!("POST /livez HTTP/1.1\r\n{host}Content-Length: 0, {length}\r\n\r\n{inner}"),
        ),
        (
            "a signed length",
            format!("POST /livez HTTP/1.1\r\n{host}Content-Length: +0\r\n\r\n{inner}"),
        ),
        (
            "length and chunks",
            format!(
                "POST /livez HTTP/1.1\r\n{host}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "chunks and length",
            format!(
                "POST /livez HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "an unknown encoding",
            format!(
                "POST /livez HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "chunked but not last",
            format!(
                "POST /livez HTTP/1.1\r\n{host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "a space before a colon",
            format!("POST /livez HTTP/1.1\r\n{host}Content-Length : {length}\r\n\r\n{inner}"),
        ),
        (
            "a folded line",
            format!(
                "POST /livez HTTP/1.1\r\n{host}X: a\r\n Content-Length: {length}\r\n\r\n{inner}"
            ),
        ),
        (
            "a chunk that is no number",
            format!(
                "POST /livez HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nzz\r\n{inner}"
            ),
        ),
        (
            "a chunk larger than all",
            format!(
                "POST /livez HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{inner}"
            ),
        ),
        (
            "an old version",
            format!(
                "POST /livez HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "a preface of HTTP/2",
            format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{inner}"),
        ),
        (
            "a NUL in a header",
            format!("POST /livez HTTP/1.1\r\n{host}X: a\0b\r\n\r\n{inner}"),
        ),
    ] {
        let heard = say(address, format!("{words}{last}").as_bytes());
        assert!(!statuses(&heard).contains(&"202"), "{what}: {heard}");
    }
    assert!(!is_paused(&home));
    assert_eq!(daemon.get("/livez").status, 200);
}

#[test]
fn no_spelling_of_a_path_leads_anywhere_else() {
    let (_home, daemon) = serving();
    let long = "x".repeat(8 * 1024);
    for path in [
        "//",
        "//metrics",
        "/./metrics",
        "/x/../metrics",
        "/%2e%2e/metrics",
        "/..%2f..%2fetc/passwd",
        "/metrics/",
        "/METRICS",
        "/metrics%00",
        "/%00",
        "/\\metrics",
        "/assets/../lapsed.yaml",
        "/assets/%2e%2e/lapsed.yaml",
        "/api/v1/cancellations/../status",
        "/api//v1/status",
        "/cancellations/donations/%2e%2e",
        "/cancellations/donations/%00",
        "/cancellations/%3Cscript%3E/x",
        "/cancellations/donations/%ff",
        "/api/v1/cancellations/donations/%2F",
        "/-/pause",
        "/-//pause",
        "/;/metrics",
        &format!("/cancellations/donations/{long}"),
        &format!("/api/v1/cancellations/{long}/x"),
        &format!("/api/v1/events?after={long}"),
        "/api/v1/events?after=-1",
        "/events?before=-1",
        "/events?after=1",
        "/file?name=../../../etc/passwd",
        "/file?name=%2Fetc%2Fpasswd",
        "/file?name=lapsed.yaml&from=0",
        "/file?name=lapsed.yaml&name=lapsed.yaml",
        "/cancellations?hold=%00",
        "/cancellations?after=-1",
        "/cancellations?nonsense=1",
        "/assets/%2e%2e/lapsed.js",
        "/api/v1/events?after=99999999999999999999",
        "/api/v1/cancellations?limit=0",
        "/api/v1/cancellations?state=%00",
    ] {
        let heard = ask(
            daemon.address(),
            &format!("GET {path} HTTP/1.1"),
            &["Host: localhost"],
        );
        let statuses = statuses(&heard);
        assert_eq!(statuses.len(), 1, "{path}: {heard}");
        assert!(
            ["400", "404", "405", "414"].contains(&statuses[0]),
            "{path}: {heard}"
        );
        let ours = r#"<script src="/assets/lapsed.js" defer></script>"#;
        assert!(!heard.replacen(ours, "", 1).contains("<script"), "{heard}");
        assert!(
            !heard.contains("root:") && !heard.contains("version: 1"),
            "{heard}"
        );
    }
}

#[test]
fn methods_that_nothing_here_has_are_refused_and_head_has_no_body() {
    let (home, daemon) = serving();
    let token = format!("Authorization: Bearer {ADMIN}");
    for path in ["/", "/metrics", "/livez", "/api/v1/status", "/-/pause"] {
        for method in [
            "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND", "GETS",
        ] {
            let line = format!("{method} {path} HTTP/1.1");
            let heard = ask(
                daemon.address(),
                &line,
                &["Host: localhost", "X-Secret: told-back", &token],
            );
            let statuses = statuses(&heard);
            assert!(
                ["405", "400", "404"].contains(&statuses[0]),
                "{line}: {heard}"
            );
            assert!(
                !heard.contains("told-back") && !heard.contains(ADMIN),
                "{heard}"
            );
        }
    }
    for path in ["/", "/metrics", "/livez"] {
        let heard = ask(
            daemon.address(),
            &format!("HEAD {path} HTTP/1.1"),
            &["Host: localhost"],
        );
        assert_eq!(statuses(&heard), ["200"], "{heard}");
        assert!(heard.ends_with("\r\n\r\n"), "{heard}");
    }
    let override_ = [
        "Host: localhost",
        "X-HTTP-Method-Override: POST",
        token.as_str(),
    ];
    ask(daemon.address(), "GET /-/pause HTTP/1.1", &override_);
    assert!(!is_paused(&home));
}
