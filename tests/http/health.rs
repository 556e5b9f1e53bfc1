//! Metrics and health.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use lapsed::reconcile::live::SourceState;

use super::sample::{stock, trouble};
use super::{Opening, Port, config, in_force};

#[tokio::test]
async fn it_is_ready_once_a_revision_is_in_force() {
    let opening = Opening {
        in_force: false,
        ..Opening::default()
    };
    let port = opening.open().await;
    assert_eq!(port.status("/livez").await, 200);
    let answer = port.ask("/readyz").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let text = answer.text().await.unwrap();
    assert_eq!(
        text,
        "[-] revision: no valid revision is loaded\nnot ready\n"
    );
    port.live
        .in_force
        .store(Some(std::sync::Arc::new(in_force(config()))));
    assert_eq!(port.text("/readyz").await, "ok\n");
    assert_eq!(
        port.text("/readyz?verbose").await,
        "[+] ledger ok\n[+] revision ok\n[+] running ok\nok\n"
    );
    assert_eq!(port.status("/readyz?verbos").await, 400);
}

#[tokio::test]
async fn a_bad_file_after_a_good_one_leaves_it_ready() {
    let port = Port::open().await;
    let broken = SourceState {
        problems: vec!["lapsed.yaml:3:1: bad".to_owned()],
        ..SourceState::default()
    };
    port.live.source.store(std::sync::Arc::new(broken));
    assert_eq!(port.status("/readyz").await, 200);
}

#[tokio::test]
async fn a_ledger_that_fails_leaves_it_alive_and_not_ready() {
    let port = Port::open().await;
    port.shelf.broken.store(true, Ordering::SeqCst);
    assert_eq!(port.status("/livez").await, 200);
    let answer = port.ask("/readyz").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("disk is full"));
}

#[tokio::test]
async fn the_metrics_tell_every_state_and_hold() {
    let port = Port::open().await;
    stock(&port.shelf);
    trouble(&port.shelf);
    let answer = port.ask("/metrics").send().await.unwrap();
    assert_eq!(
        answer.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = answer.text().await.unwrap();
    for line in [
        r#"lapsed_cancellations{provider="donations",state="scheduled"} 11"#,
        r#"lapsed_cancellations{provider="donations",state="missed"} 0"#,
        r#"lapsed_cancellations{provider="metered",state="held"} 7"#,
        r#"lapsed_holds{provider="academy",reason="observe_mode"} 1"#,
        r#"lapsed_holds{provider="metered",reason="approval"} 7"#,
        r#"lapsed_holds{provider="metered",reason="frozen"} 0"#,
        r#"lapsed_paused{provider="metered"} 1"#,
        r#"lapsed_paused{provider="academy"} 0"#,
        r#"lapsed_limit_used_ratio{limit="per_hour"} 0.02"#,
        r#"lapsed_next_due_timestamp_seconds{provider="donations"} 1800086400"#,
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    for secret in ["c4b1", "2145871", "cus_17", "OPS-4711", "alert("] {
        assert!(
            !text.contains(secret),
            "{secret} must not be in the metrics"
        );
    }
}

#[tokio::test]
async fn scrapes_within_a_second_read_the_ledger_once() {
    let port = Port::open().await;
    let held = r#"lapsed_cancellations{provider="donations",state="held"} "#;
    assert!(port.text("/metrics").await.contains(&format!("{held}0")));
    trouble(&port.shelf);
    assert!(port.text("/metrics").await.contains(&format!("{held}0")));
    port.clock.advance(Duration::from_secs(1));
    assert!(port.text("/metrics").await.contains(&format!("{held}1")));
}

#[tokio::test]
async fn where_the_ledger_fails_the_metrics_tell_no_old_numbers() {
    let port = Port::open().await;
    stock(&port.shelf);
    assert!(
        port.text("/metrics")
            .await
            .contains("lapsed_cancellations{")
    );
    port.shelf.broken.store(true, Ordering::SeqCst);
    port.clock.advance(Duration::from_secs(5));
    let text = port.text("/metrics").await;
    assert!(text.contains("lapsed_ledger_errors_total 1"), "{text}");
    assert!(text.contains("process_resident_memory_bytes"));
    assert!(!text.contains("lapsed_cancellations{"), "{text}");
    assert!(!text.contains("lapsed_next_due"), "{text}");
}

#[tokio::test]
async fn a_scraper_is_given_the_format_that_it_likes_best() {
    let port = Port::open().await;
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = "text/plain; version=0.0.4; charset=utf-8";
    // What Prometheus asks with.
    let usual = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, expected) in [
        (usual, open),
        ("application/openmetrics-text", open),
        ("*/*", text),
        ("text/plain, application/openmetrics-text;q=0.5", text),
        ("application/openmetrics-text;q=0", text),
        ("application/openmetrics-text; version=9.0.0", text),
    ] {
        let answer = port.ask("/metrics").header("accept", accept).send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.headers()["content-type"], expected, "{accept}");
        let ends = answer.text().await.unwrap().ends_with("# EOF\n");
        assert_eq!(ends, expected == open);
    }
}

#[tokio::test]
async fn what_is_asked_of_the_port_and_what_is_logged_is_counted() {
    let port = Port::open().await;
    for path in [
        "/",
        "/cancellations",
        "/api/v1/status",
        "/livez",
        "/nowhere",
        "/assets/lapsed.css",
    ] {
        drop(port.ask(path).send().await.unwrap());
    }
    let text = port.text("/metrics").await;
    for line in [
        r#"lapsed_http_requests_total{code="2xx",handler="page"} 2"#,
        r#"lapsed_http_requests_total{code="2xx",handler="api"} 1"#,
        r#"lapsed_http_requests_total{code="2xx",handler="livez"} 1"#,
        r#"lapsed_http_requests_total{code="2xx",handler="asset"} 1"#,
        r#"lapsed_http_requests_total{code="4xx",handler="other"} 1"#,
        r#"lapsed_http_requests_total{code="5xx",handler="page"} 0"#,
        "lapsed_log_messages_dropped_total 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    assert!(text.contains(r#"lapsed_log_messages_total{level="error"}"#));
}

#[tokio::test]
async fn promtool_finds_nothing_to_mend() {
    let port = Port::open().await;
    stock(&port.shelf);
    trouble(&port.shelf);
    let mut requests = std::mem::take(&mut *port.shelf.requests.lock().unwrap());
    for request in &mut requests {
        request.deadline_at = request.due_at.map(|at| at + Duration::from_secs(3600));
    }
    *port.shelf.requests.lock().unwrap() = requests;
    fill(&port);
    let text = port.text("/metrics").await;
    let reference = lapsed::metrics::Metrics::reference();
    let listed = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for metric in listed {
        assert!(
            text.contains(&format!("# TYPE {metric} ")),
            "{metric} is listed and was not exported"
        );
    }
    let checker = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut checker) = checker else {
        eprintln!("promtool is not installed: left out");
        return;
    };
    let mut input = checker.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let checked = checker.wait_with_output().unwrap();
    assert!(
        checked.status.success() && checked.stderr.is_empty(),
        "{}{}",
        String::from_utf8_lossy(&checked.stdout),
        String::from_utf8_lossy(&checked.stderr)
    );
}

/// Every event once, so that every metric is there.
fn fill(port: &Port) {
    use lapsed::model::standing::State;
    let (it, name, now) = (&port.metrics, &super::name("donations"), super::at(0));
    let took = Duration::from_millis(30);
    it.known(name);
    it.config_reloaded(true, now);
    it.config_seen(now);
    it.config_in_force("9c1f", "5d3c", 12);
    it.pass_began(name, now);
    it.pass_ended(name, "ok", took, now);
    it.next_tick(name, Some(now));
    it.settled(name, State::Canceled, Some(took));
    it.attempt(name, "accepted");
    it.request(name, "look", "2xx", took);
    it.waited(name, took);
    it.provider_up(name, true);
    it.clock_skew(name, -2);
    it.mode(name, "enforce");
    it.ledger_operation("claim", took);
    it.webhooks(["on-call".to_owned()].iter());
    it.notified("on-call", true);
    it.heartbeat(true);
    let waits = lapsed::ledger::Undelivered {
        count: 1,
        oldest: now,
    };
    let mut undelivered = port.shelf.undelivered.lock().unwrap();
    undelivered.insert("on-call".to_owned(), waits);
    drop(undelivered);
    it.leader(true);
    it.refresh(&lapsed::metrics::Snapshot::default());
    port.clock.advance(Duration::from_secs(2));
}
