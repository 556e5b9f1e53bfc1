//! Webhooks and the heartbeat: the real binary tells a real HTTP server, through failures and deaths.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use lapsed::sandbox::cast;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::runtime::Runtime;

use crate::provider::server::{Says, Seen, Server};
use crate::support::{Daemon, Home, Ran, lapsed, until};

const SECRET: &str = "whsec_bGFwc2VkIHRlbGxzIHdoYXQgaGFwcGVucw==";
const KEY: &[u8] = b"lapsed tells what happens";

/// Somebody who is told.
struct Hook {
    server: Server,
    takes: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Hook {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let takes = Arc::new(AtomicBool::new(true));
        let says = Arc::clone(&takes);
        let server = runtime.block_on(Server::start(move |_| {
            let takes = says.load(Ordering::SeqCst);
            Says::text(if takes { 204 } else { 500 }, "")
        }));
        Self {
            server,
            takes,
            _runtime: runtime,
        }
    }

    fn takes(&self, takes: bool) {
        self.takes.store(takes, Ordering::SeqCst);
    }

    fn url(&self) -> String {
        format!("http://{}/hook-path-secret", self.server.address)
    }

    /// What was told, each as its type and its whole event.
    fn told(&self) -> Vec<(String, Value)> {
        let events = self.server.seen().into_iter().filter_map(|seen| {
            let event: Value = serde_json::from_str(&seen.body).unwrap();
            Some((event["type"].as_str()?.to_owned(), event))
        });
        events.collect()
    }

    fn told_of(&self, kind: &str) -> Vec<Value> {
        let told = self.told().into_iter();
        told.filter(|(it, _)| it == kind)
            .map(|(_, event)| event)
            .collect()
    }
}

fn settings(hook: &Hook, more: &str) -> String {
    format!(
        "notify:\n  webhooks:\n    on-call: {{url_from: {{file: url}}, secret: {{env: HOOK}}{more}}}\n    all: {{url: \"{}\", secret: {{env: HOOK}}, events: [digest]}}\n",
        hook.url()
    )
}

/// A daemon whose webhook is `hook`, with nothing in its file but these items.
fn daemon(home: &Home, hook: &Hook, more: &str, items: &str) -> Daemon {
    std::fs::write(home.path().join("url"), hook.url()).unwrap();
    home.write_text(&home.text(&settings(hook, more), items));
    again(home)
}

fn again(home: &Home) -> Daemon {
    home.daemon_with(|command| {
        command.env("HOOK", SECRET);
    })
}

/// The signature, by the document of Standard Webhooks.
fn is_signed(seen: &Seen) -> bool {
    let header = |name| seen.all(name).concat();
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    mac.update(format!("{id}.{at}.{}", seen.body).as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    header("webhook-signature") == format!("v1,{signature}")
}

/// What Kajabi refuses for good, where a test says so.
const FAILS: &str = "\n  - {provider: academy, id: \"2145871\"}";
const FAILS_AS: &str = "academy/2145871";

/// Whether the ledger has nothing left of which people were not told.
fn told_up_to_now(home: &Home) -> bool {
    let conn = rusqlite::Connection::open(home.ledger()).unwrap();
    let sql = "SELECT value = (SELECT max(id) FROM events) FROM meta WHERE key = 'told_up_to'";
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

const NOBODY: &str = "1c9d7a52-98a1-4f0b-9f0e-ffffffffffff";

#[test]
fn what_failed_is_told_once_as_a_signed_cloud_event_though_nobody_listened_and_the_daemon_died() {
    let home = Home::new();
    let hook = Hook::new();
    hook.takes(false);
    home.fault(&json!({"provider": "kajabi", "operation": "cancel", "status": 422}));
    let items = FAILS;
    let daemon_ = daemon(&home, &hook, ", events: [failed, missed]", " []");
    home.write_text(&home.text(&settings(&hook, ", events: [failed, missed]"), items));
    home.until_state(FAILS_AS, "failed");
    until("it was tried", || !hook.told_of("lapsed.failed").is_empty());
    until("the metrics say that it waits", || {
        let metrics = daemon_.get("/metrics").body;
        metrics.contains("lapsed_oldest_notification_timestamp_seconds{webhook=\"on-call\"}")
            && metrics
                .contains("lapsed_notifications_total{outcome=\"failed\",webhook=\"on-call\"}")
    });
    let log = daemon_.log();
    let warned = log
        .lines()
        .filter(|it| it.contains("webhook on-call does not take its notices"));
    assert_eq!(warned.count(), 1, "{log}");
    assert!(!log.contains("hook-path-secret"), "{log}");
    daemon_.kill();
    let tried = hook.told_of("lapsed.failed").len();
    hook.takes(true);
    let daemon_ = again(&home);
    until("it is taken", || {
        hook.told_of("lapsed.failed").len() > tried
    });
    until("nothing waits any more", || {
        let metrics = daemon_.get("/metrics").body;
        metrics.contains("lapsed_notifications_total{outcome=\"taken\",webhook=\"on-call\"} 1")
            && !metrics
                .contains("lapsed_oldest_notification_timestamp_seconds{webhook=\"on-call\"}")
    });
    let events = hook.told_of("lapsed.failed");
    let ids: BTreeMap<&str, usize> = events.iter().fold(BTreeMap::new(), |mut ids, event| {
        *ids.entry(event["id"].as_str().unwrap()).or_default() += 1;
        ids
    });
    assert_eq!(ids.len(), 1, "one thing has one id: {events:#?}");
    let event = &events[0];
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["subject"], FAILS_AS);
    assert!(event["source"].as_str().unwrap().starts_with("urn:lapsed:"));
    assert!(
        event["data"]["text"]
            .as_str()
            .unwrap()
            .contains("lapsed explain")
    );
    for seen in hook.server.seen() {
        assert!(is_signed(&seen), "{seen:#?}");
        assert_eq!(
            seen.all("content-type"),
            ["application/cloudevents+json; charset=utf-8"]
        );
        assert!(!seen.whole().contains(cast::KAJABI_CLIENT_SECRET));
        assert!(!seen.whole().to_lowercase().contains(cast::CANARY));
    }
}

#[test]
fn whose_billing_is_not_confirmed_is_told_with_what_a_person_does() {
    let home = Home::new();
    let hook = Hook::new();
    let item = format!("academy/{}", cast::KAJABI_DEACTIVATED);
    let items = format!(
        "\n  - {{provider: academy, id: \"{}\"}}",
        cast::KAJABI_DEACTIVATED
    );
    let events = ", events: [billing_not_confirmed]";
    let _daemon = daemon(&home, &hook, events, " []");
    home.write_text(&home.text(&settings(&hook, events), &items));
    home.until_state(&item, "canceled");
    until("it is told", || {
        !hook.told_of("lapsed.billing_not_confirmed").is_empty()
    });
    let event = &hook.told_of("lapsed.billing_not_confirmed")[0];
    assert_eq!(event["subject"], item);
    let text = event["data"]["text"].as_str().unwrap();
    assert!(
        text.contains("look at the customer's next payment"),
        "{text}"
    );
}

#[test]
fn a_text_that_is_not_valid_and_what_waits_for_a_person_are_told_once_over_a_restart() {
    let home = Home::new();
    let hook = Hook::new();
    let limits = "limits: {approval_above: 0}\n";
    let events = ", events: [file_rejected, approval_waiting, held_past_deadline]";
    let daemon_ = daemon(&home, &hook, events, " []");
    let items = format!(
        "\n  - {{provider: donations, id: {}}}",
        cast::REVERE_MONTHLY
    );
    let with = |more: &str| format!("{}{more}", settings(&hook, events));
    home.write_text(&home.text(&with(limits), &items));
    until("what waits is told", || {
        !hook.told_of("lapsed.approval_waiting").is_empty()
    });
    home.write_text(&home.text(&with("polices: []\n"), &items));
    until("what is not valid is told", || {
        !hook.told_of("lapsed.file_rejected").is_empty()
    });
    daemon_.kill();
    let daemon_ = again(&home);
    // Another one that is not valid is another thing.
    home.write_text(&home.text(&with("polcies: []\n"), &items));
    until("the next one is told", || {
        hook.told_of("lapsed.file_rejected").len() == 2
    });
    let waiting = hook.told_of("lapsed.approval_waiting");
    assert_eq!(waiting.len(), 1, "{waiting:#?}");
    let plan = waiting[0]["data"]["plan"].as_str().unwrap();
    let text = waiting[0]["data"]["text"].as_str().unwrap();
    assert!(text.contains(&format!("lapsed approve {plan}")), "{text}");
    let first = hook.told_of("lapsed.file_rejected")[0]["data"]["text"].clone();
    assert!(
        first.as_str().unwrap().contains("did you mean `policies`?"),
        "{first}"
    );
    drop(daemon_);
    assert_eq!(hook.told_of("lapsed.held_past_deadline").len(), 0);
}

#[test]
fn a_new_webhook_is_told_of_nothing_that_happened_before_it_was_there() {
    let home = Home::new();
    let hook = Hook::new();
    home.fault(&json!({"provider": "kajabi", "operation": "cancel", "status": 422}));
    let items = FAILS;
    home.write(items);
    let daemon_ = home.daemon();
    home.until_state(FAILS_AS, "failed");
    until("that is over, with nobody to be told", || {
        told_up_to_now(&home)
    });
    drop(daemon_);
    let items = format!(
        "{items}\n  - {{provider: donations, id: {}}}",
        cast::REVERE_ANNUAL
    );
    let _daemon = daemon(&home, &hook, "", &items);
    home.until_state(&format!("donations/{}", cast::REVERE_ANNUAL), "canceled");
    home.write_text(&home.text(&format!("{}polices: []\n", settings(&hook, "")), &items));
    until("what comes later is told", || {
        !hook.told_of("lapsed.file_rejected").is_empty()
    });
    assert_eq!(hook.told_of("lapsed.failed").len(), 0, "{:#?}", hook.told());
}

#[test]
fn a_digest_tells_how_things_stand() {
    let home = Home::new();
    let hook = Hook::new();
    // At every minute, so that its time has just come.
    std::fs::write(home.path().join("url"), hook.url()).unwrap();
    let settings = format!(
        "{}  digest: \"* * * * *\"\n",
        settings(&hook, ", events: [failed]")
    );
    let items = format!(
        "\n  - {{provider: donations, id: {}}}\n  - {{provider: donations, id: {NOBODY}}}",
        cast::REVERE_MONTHLY
    );
    home.write_text(&home.text(&settings, &items));
    let daemon_ = again(&home);
    until("a digest tells of both", || {
        let digests = hook.told_of("lapsed.digest");
        digests.iter().any(|it| {
            let text = it["data"]["text"].as_str().unwrap();
            it["data"]["totals"]["canceled"] == 1
                && it["data"]["holds"]["donations"]["not_found"] == 1
                && text.contains("1 canceled")
                && text.contains("1 held")
        })
    });
    let digests = hook.told_of("lapsed.digest");
    let ids: std::collections::BTreeSet<String> =
        digests.iter().map(|it| it["id"].to_string()).collect();
    assert_eq!(ids.len(), digests.len(), "each is told once");
    assert!(
        digests[0]["data"]["head"]["hash"].is_string(),
        "{:#?}",
        digests[0]
    );
    drop(daemon_);
}

#[test]
fn the_heart_beats_after_a_whole_good_round_of_passes_and_not_while_a_provider_is_gone() {
    let home = Home::new();
    let hook = Hook::new();
    let settings = format!("notify: {{heartbeat: {{url: \"{}\"}}}}\n", hook.url());
    home.write_text(&home.text(&settings, " []"));
    let daemon = again(&home);
    let beats = || hook.server.seen().len();
    until("the heart beats, and again", || beats() > 1);
    home.fault(&json!({"provider": "revere", "status": 500, "times": 1_000_000}));
    let items = format!(
        "\n  - {{provider: donations, id: {}}}",
        cast::REVERE_MONTHLY
    );
    home.write_text(&home.text(&settings, &items));
    let metrics = || daemon.get("/metrics").body;
    until("one provider is gone", || {
        metrics().contains("lapsed_provider_up{provider=\"donations\"} 0")
    });
    let passes = || {
        let ok = "lapsed_reconcile_runs_total{outcome=\"ok\",provider=\"academy\"} ";
        let metrics = metrics();
        let count = metrics.lines().find_map(|it| it.strip_prefix(ok));
        count.unwrap().parse::<u64>().unwrap()
    };
    // The rounds that were whole before are over.
    let after = |more| {
        let goal = passes() + more;
        until("another provider is well", || passes() >= goal);
        beats()
    };
    let told = after(2);
    assert_eq!(after(5), told, "{:#?}", hook.server.seen());
    home.heal();
    until("the heart beats again", || beats() > told);
    let beat: Value = serde_json::from_str(&hook.server.seen().pop().unwrap().body).unwrap();
    assert!(beat["head"]["block"].as_i64().unwrap() > 0, "{beat}");
    assert_eq!(beat["head"]["hash"].as_str().unwrap().len(), 64, "{beat}");
}

#[test]
fn a_single_run_tells_and_beats_as_well() {
    let home = Home::new();
    let hook = Hook::new();
    std::fs::write(home.path().join("url"), hook.url()).unwrap();
    let settings = format!(
        "{}  heartbeat: {{url: \"{}\"}}\n",
        settings(&hook, ", events: [failed]"),
        hook.url()
    );
    home.fault(&json!({"provider": "kajabi", "operation": "cancel", "status": 422, "times": 1}));
    home.write_text(&home.text(&settings, FAILS));
    let once = |home: &Home| {
        let mut command = lapsed();
        command
            .current_dir(home.path())
            .args(["run", "--once"])
            .env("HOOK", SECRET);
        Ran::of(command.output().unwrap())
    };
    once(&home).ended(1);
    assert_eq!(hook.told_of("lapsed.failed").len(), 1);
    once(&home).ended(1);
    assert_eq!(hook.told_of("lapsed.failed").len(), 1, "{:#?}", hook.told());
    assert!(
        hook.server
            .seen()
            .iter()
            .all(|it| it.body.contains("specversion")),
        "no heartbeat"
    );
    let well = Home::new();
    std::fs::write(well.path().join("url"), hook.url()).unwrap();
    well.write_text(&well.text(&settings, " []"));
    once(&well).ended(0);
    let beat = &hook.server.seen().pop().unwrap().body;
    assert!(beat.contains("\"head\""), "{beat}");
}
