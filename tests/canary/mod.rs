//! Secrets and customers' data, looked for in everything that the real binary shows or keeps.
//!
//! Every credential is a text that nothing else has, and every answer of the sandbox carries
//! people who do not exist. What follows drives the daemon through success and through every
//! way in which a provider talks too much, at the loudest log level, and then reads each output:
//! logs, metrics, page, API, all commands in all formats, and the ledger's files byte by byte.

use std::process::Command;

use lapsed::sandbox::cast;
use serde_json::{Value, json};

use crate::support::{Answer, Daemon, Home, Ran, lapsed, post, until};

const ADMIN: &str = "canary-admin-4f1c9b7e";
const READ: &str = "canary-read-8d2a6c30";
const WRONG: &str = "canary-wrong-key-5e7d1f92";

/// What a provider says in a refusal; none of it may be shown. Bare names are left out of it: in
/// a provider's own words they cannot be told from any other word.
const TOLD: &str = "no e-mail zoe.private@mail.example card 4929 1111 2222 3333 or \
                    4929-1111-2222-3333, call +49 30 5550 1234, key sk_live_9Zx8Yw7Vu6Ts5Rq4Po3N";

/// What a provider says where nothing that it says may be shown.
const TOLD_MORE: &str = "Canary Customer, 1 Canary Row, canary-payer@example.com";

/// The secrets, and pieces of what was told. In small letters: a search has no case.
fn needles() -> Vec<&'static str> {
    vec![
        cast::CANARY,
        cast::KAJABI_CLIENT_ID,
        cast::KAJABI_CLIENT_SECRET,
        cast::REVERE_KEY,
        cast::LOTUS_KEY,
        "zoe.private",
        "mail.example",
        "4929 1111",
        "4929-1111",
        "5550 1234",
        "sk_live_9zx8",
    ]
}

/// One output, and where it came from.
type Output = (String, Vec<u8>);

fn assert_clean(outputs: &[Output]) {
    for (from, bytes) in outputs {
        let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
        for needle in needles() {
            if let Some(at) = text.find(needle) {
                let around: String = text[..at].chars().rev().take(120).collect();
                let around: String = around.chars().rev().collect();
                panic!("{needle} in {from}: …{around}[HERE]…");
            }
        }
    }
}

/// The environment that holds the secrets.
fn secrets(command: &mut Command) {
    command
        .env("T_KAJABI_ID", cast::KAJABI_CLIENT_ID)
        .env("T_KAJABI_SECRET", cast::KAJABI_CLIENT_SECRET)
        .env("T_LOTUS", cast::LOTUS_KEY)
        .env("T_READ", READ);
}

/// The file of a home with references in the place of its secrets.
fn text(home: &Home, items: &str) -> String {
    home.text(
        "admin_token: {file: admin}\nread_token: {env: T_READ}\n",
        items,
    )
    .replace(
        &format!("client_id: {{value: {}}}", cast::KAJABI_CLIENT_ID),
        "client_id: {env: T_KAJABI_ID}",
    )
    .replace(
        &format!("client_secret: {{value: {}}}", cast::KAJABI_CLIENT_SECRET),
        "client_secret: {env: T_KAJABI_SECRET}",
    )
    .replace(
        &format!("api_key: {{value: {}}}", cast::REVERE_KEY),
        "api_key: {file: revere}",
    )
    .replace(
        &format!("api_key: {{value: {}}}", cast::LOTUS_KEY),
        "api_key: {env: T_LOTUS}",
    )
}

fn keep(home: &Home, name: &str, secret: &str) {
    std::fs::write(home.path().join(name), format!("{secret}\n")).unwrap();
}

fn run(home: &Home, args: &[&str]) -> Ran {
    let mut command = lapsed();
    command
        .current_dir(home.path())
        .args(args)
        .env("RUST_LOG", "trace");
    secrets(&mut command);
    Ran::of(command.output().unwrap())
}

/// Everything that commands print, on both streams.
fn commands(home: &Home, keys: &[String]) -> Vec<Output> {
    let mut lines: Vec<Vec<String>> = [
        "check",
        "check --strict",
        "check --format json",
        "check --format github",
        "plan",
        "plan --refresh",
        "plan --format json",
        "plan --format markdown",
        "plan --offline --until 2099-01-01",
        "status",
        "status --format json",
        "history",
        "history --format json",
        "history --verify",
        "doctor",
        "tidy",
        "list academy --all",
        "list donations --all",
        "list metered --all",
        "list donations --all --format csv",
        "list metered --all --format items",
        "ledger verify",
        "approve 00000000000000000000000000000000",
        "retry donations",
        "pause donations --reason checking",
        "resume donations",
    ]
    .iter()
    .map(|line| line.split(' ').map(str::to_owned).collect())
    .collect();
    for key in keys {
        for line in ["explain", "history"] {
            lines.push(vec![line.to_owned(), key.clone()]);
            lines.push(vec![
                line.to_owned(),
                key.clone(),
                "--format".to_owned(),
                "json".to_owned(),
            ]);
        }
    }
    let mut outputs = Vec::new();
    for line in lines {
        let args: Vec<&str> = line.iter().map(String::as_str).collect();
        let ran = run(home, &args);
        // Whatever comes is searched; that something came keeps the search from being empty.
        let may_be_silent = args[0] == "tidy" || args.contains(&"github");
        assert!(
            !(ran.out.is_empty() && ran.err.is_empty()) || may_be_silent,
            "{args:?} prints nothing"
        );
        let name = format!("`lapsed {}`", line.join(" "));
        outputs.push((format!("{name}, stdout"), ran.out.into_bytes()));
        outputs.push((format!("{name}, stderr"), ran.err.into_bytes()));
    }
    outputs
}

/// Everything that the port answers.
fn answers(daemon: &Daemon, keys: &[String]) -> Vec<Output> {
    let mut paths: Vec<String> = [
        "/",
        "/metrics",
        "/livez",
        "/readyz?verbose",
        "/api/v1/status",
        "/api/v1/cancellations?limit=1000",
        "/api/v1/events?limit=1000",
        "/assets/lapsed.css",
        "/cancellations",
        "/cancellations?state=held",
        "/events",
        "/file",
        "/nowhere",
    ]
    .map(str::to_owned)
    .to_vec();
    for key in keys {
        paths.push(format!("/cancellations/{key}"));
        paths.push(format!("/api/v1/cancellations/{key}"));
    }
    let mut outputs: Vec<Output> = paths
        .iter()
        .map(|path| {
            let Answer { status, body } = daemon.get(path);
            assert_ne!(status, 500, "{path}: {body}");
            (format!("GET {path}"), body.into_bytes())
        })
        .collect();
    for token in [ADMIN, READ, WRONG] {
        let shown = format!("Bearer {token}");
        let headers = [("authorization", shown.as_str())];
        let answer = post(daemon.address(), "/-/reload", &headers, "");
        outputs.push(("POST /-/reload".to_owned(), answer.body.into_bytes()));
    }
    outputs
}

/// Every byte that the ledger keeps, its log, mark and lock included.
fn kept(home: &Home) -> Vec<Output> {
    let mut outputs = Vec::new();
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("lapsed.db") {
            outputs.push((name, std::fs::read(&path).unwrap()));
        }
    }
    let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["lapsed.db", "lapsed.db-wal", "lapsed.db.lock"] {
        assert!(names.contains(&name), "{names:?}");
    }
    outputs
}

fn search(home: &Home, daemon: &Daemon, keys: &[String]) {
    assert_clean(&commands(home, keys));
    assert_clean(&answers(daemon, keys));
    assert_clean(&kept(home));
    // Last: by now it has heard of everything else.
    assert_clean(&[("the log".to_owned(), daemon.log().into_bytes())]);
}

/// How often the faults that wait for ever have happened, with how many others still wait.
fn faults(home: &Home) -> (u64, usize) {
    let shown = crate::support::get(home.sandbox(), "/sandbox/faults").json();
    let shown = shown["faults"]
        .as_array()
        .or(shown.as_array())
        .cloned()
        .unwrap();
    let (lasting, waiting): (Vec<_>, Vec<_>) = shown.iter().partition(|it| it["left"].is_null());
    let fired = lasting.iter().filter_map(|it| it["fired"].as_u64()).sum();
    (fired, waiting.len())
}

/// Whether one of a subscription's requests is held for this.
fn holds(home: &Home, key: &str, reason: &str) -> bool {
    let told: Value = serde_json::from_str(&run(home, &["explain", key, "--format", "json"]).out)
        .unwrap_or_default();
    let items = told["items"].as_array().cloned().unwrap_or_default();
    items
        .iter()
        .any(|it| it["item"]["hold"]["reason"] == reason)
}

/// Drives a daemon through everything that a provider can say, and searches.
fn nothing_shows(log_format: &'static str) {
    let home = Home::new();
    keep(&home, "admin", ADMIN);
    keep(&home, "revere", cast::REVERE_KEY);
    let in_words = json!({ "title": "bad", "detail": TOLD }).to_string();
    let with_names = json!({ "title": TOLD_MORE, "errors": [{ "detail": TOLD }] }).to_string();
    let redirect = format!(
        "http://{}/?access_token={}&client_secret={}",
        home.sandbox(),
        cast::REVERE_KEY,
        cast::KAJABI_CLIENT_SECRET
    );
    for (operation, id, fault) in [
        (
            "cancel",
            cast::KAJABI_ACTIVE,
            json!({ "status": 400, "body": in_words }),
        ),
        (
            "cancel",
            cast::KAJABI_ACTIVE_TOO,
            json!({ "status": 500, "body": with_names, "effect": true }),
        ),
        (
            "cancel",
            cast::REVERE_ANNUAL,
            json!({ "redirect": redirect, "effect": true }),
        ),
        (
            "cancel",
            cast::REVERE_FAILED,
            json!({ "cut": "connection", "effect": true }),
        ),
        (
            "cancel",
            cast::LOTUS_NEW_YORK,
            json!({ "cut": "json", "effect": true }),
        ),
        (
            "cancel",
            cast::LOTUS_WITH_ADDON,
            json!({ "status": 404, "body": in_words }),
        ),
        (
            "get",
            cast::REVERE_PAUSED,
            json!({ "status": 200, "body": json!({ "data": {
            "id": cast::REVERE_PAUSED, "status": TOLD, "name": TOLD_MORE,
        }}).to_string(), "times": null }),
        ),
    ] {
        let mut fault = fault;
        fault["operation"] = operation.into();
        fault["id"] = id.into();
        home.fault(&fault);
    }
    let keys: Vec<String> = [
        ("academy", cast::KAJABI_ACTIVE),
        ("academy", cast::KAJABI_ACTIVE_TOO),
        ("academy", cast::KAJABI_PAYMENT_PLAN),
        ("donations", cast::REVERE_MONTHLY),
        ("donations", cast::REVERE_ANNUAL),
        ("donations", cast::REVERE_FAILED),
        ("donations", cast::REVERE_PAUSED),
        ("metered", cast::LOTUS_ACTIVE),
        ("metered", cast::LOTUS_NEW_YORK),
        ("metered", cast::LOTUS_WITH_ADDON),
        ("metered", cast::LOTUS_FOREIGN),
    ]
    .map(|(provider, id)| format!("{provider}/{id}"))
    .to_vec();
    let items: String = keys
        .iter()
        .map(|key| {
            let (provider, id) = key.split_once('/').unwrap();
            format!("\n  - {{id: \"{id}\", provider: {provider}}}")
        })
        .collect();
    home.write_text(&text(&home, &items));
    let daemon = home.daemon_with(|command| {
        secrets(command);
        command
            .env("RUST_LOG", "trace")
            .args(["--log-format", log_format]);
    });
    let state = |key: &str| {
        let told = run(&home, &["explain", key, "--format", "json"]).out;
        let told: Value = serde_json::from_str(&told).unwrap_or_default();
        let state = &told["items"][0]["item"]["state"];
        state.as_str().unwrap_or_default().to_owned()
    };
    for (key, meant) in keys.iter().zip([
        "failed", "canceled", "held", "canceled", "canceled", "canceled", "held", "canceled",
        "canceled", "failed", "held",
    ]) {
        until(&format!("{key} is {meant}"), || state(key) == meant);
    }
    let (fired, waiting) = faults(&home);
    assert!(fired > 0 && waiting == 0, "each fault happened");
    search(&home, &daemon, &keys);

    // A key that the provider does not know, and one that it echoes in a 403.
    keep(&home, "revere", WRONG);
    let one = format!(
        "\n  - {{id: \"{}\", provider: donations, again: 2}}",
        cast::REVERE_MONTHLY
    );
    home.write_text(&text(&home, &format!("{items}{one}")));
    until("the wrong key is refused", || {
        let gates = run(&home, &["status"]).out;
        gates.contains("credentials")
    });
    search(&home, &daemon, &keys);
    let echo = json!({ "title": "forbidden", "detail": format!("{TOLD} '{}'", cast::REVERE_KEY) });
    home.fault(
        &json!({ "provider": "revere", "operation": "get", "status": 403,
        "body": echo.to_string(), "times": null }),
    );
    keep(&home, "revere", cast::REVERE_KEY);
    let again = format!("donations/{}", cast::REVERE_MONTHLY);
    until("403 holds it", || {
        holds(&home, &again, "credentials") && daemon.get("/").body.contains("403")
    });
    search(&home, &daemon, &keys);
    assert_eq!(daemon.get("/readyz").status, 200);
}

#[test]
fn no_secret_and_no_customer_shows_in_any_output_with_a_log_of_text() {
    nothing_shows("text");
}

#[test]
fn no_secret_and_no_customer_shows_in_any_output_with_a_log_of_json() {
    nothing_shows("json");
}

#[test]
fn a_secret_that_was_written_into_the_file_is_not_shown_while_the_file_is_refused() {
    let home = Home::new();
    home.write(" []");
    let daemon = home.daemon_with(|command| {
        command.args(["--log-level", "trace"]);
    });
    let inline: String = [
        format!("api_key: {WRONG}"),
        format!("api_key: {{value: {WRONG}}}"),
        format!("api_key: [{WRONG}]"),
        format!("api_key: {{vaule: {WRONG}}}"),
        format!("api_key: \"{WRONG}\", rate_limit: often"),
        format!("api_kye: {WRONG}"),
        format!("password: {WRONG}"),
        format!("client_secret: {{env: X, value: {WRONG}}}"),
        format!("api_key: {{env: X}}, proxy: \"http://user:{WRONG}@proxy.example.com\""),
    ]
    .iter()
    .enumerate()
    .map(|(index, provider)| {
        format!(
            "  m{index}: {{type: lotus, base_url: \"https://billing.example.com\", {provider}}}\n"
        )
    })
    .collect();
    let addresses: String = ["https://user:X@billing.example.com", "http://user:X@:0", "http://user:X@billing.example.com", "user:X@billing.example.com"]
        .iter()
        .enumerate()
        .map(|(index, url)| {
            let url = url.replace('X', WRONG);
            format!("  m{index}:\n    type: lotus\n    base_url: {url}\n    api_key: {WRONG}\n    rate_limit: often\n")
        })
        .collect();
    let crooked = format!("  m:\n    api_key: {WRONG}\n   rate_limit: often\n");
    for (index, providers) in [inline, addresses, crooked].iter().enumerate() {
        let text = format!(
            "version: 1\nledger: sqlite:{}\nadmin_token: {WRONG}\nproviders:\n{providers}cancellations: []\n...\n",
            home.ledger().display()
        );
        refused(&home, &daemon, &text, index + 1);
    }
}

/// The file is refused by everybody, and nobody shows why in the secret's own words.
fn refused(home: &Home, daemon: &Daemon, text: &str, times: usize) {
    home.write_text(text);
    let counted = format!("lapsed_config_reloads_total{{outcome=\"rejected\"}} {times}");
    until("the daemon refuses it", || {
        daemon.get("/metrics").body.contains(&counted)
    });
    let mut outputs = answers(daemon, &[]);
    for format in ["human", "json", "github"] {
        let ran = home.run(&["check", "--format", format]).ended(78);
        assert!(!ran.out.is_empty() || !ran.err.is_empty());
        outputs.push((format!("check --format {format}"), ran.out.into_bytes()));
        outputs.push((
            format!("check --format {format}, stderr"),
            ran.err.into_bytes(),
        ));
    }
    outputs.push(("plan".to_owned(), home.run(&["plan"]).err.into_bytes()));
    outputs.push(("status".to_owned(), home.run(&["status"]).out.into_bytes()));
    outputs.extend(kept(home));
    outputs.push(("the log".to_owned(), daemon.log().into_bytes()));
    for (from, bytes) in outputs {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("canary-wrong"), "in {from}:\n{text}");
    }
}
