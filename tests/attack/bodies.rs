//! Answers without an end: what a provider sends must not become what the daemon holds.

use serde_json::json;

use super::{NO_LIMITS, lines, many, patient};
use crate::support::{Daemon, Home, until};

/// The most that a daemon may ever have held, in MiB: less than two of the bodies, of which it
/// is sent more than a dozen at once.
const MOST_RESIDENT: u64 = 160;

const HUNDRED_MEGABYTES: u64 = 100_000_000;

/// The most memory that it ever had, in MiB.
fn peak(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes / 1024
}

/// Each kind of endless answer at Revere and Lotus, to readings and to cancels; Kajabi is well.
#[test]
fn endless_answers_are_not_held_in_memory_and_cancel_nobody_twice() {
    let home = many(2, 16, 4);
    let faults: Vec<_> = [
        json!({"huge": HUNDRED_MEGABYTES}),
        json!({"bomb": HUNDRED_MEGABYTES}),
        json!({"headers": 10_000}),
        json!({"drip": "1ms"}),
    ]
    .into_iter()
    .flat_map(|fault| {
        ["get", "cancel"].map(|operation| {
            ["revere", "lotus"].map(|provider| {
                let mut fault = fault.clone();
                fault["provider"] = json!(provider);
                fault["operation"] = json!(operation);
                fault["times"] = json!(if provider == "revere" { 4 } else { 1 });
                fault
            })
        })
    })
    .flatten()
    .collect();
    home.fault(&json!(faults));
    let items = home.all();
    home.write_text(&patient(&home.text(NO_LIMITS, &lines(&items)), "2s", "3s"));
    let daemon = home.daemon();
    super::until_each_is_cancelled_once(&home, items.len());
    let peak = peak(&daemon);
    println!("at most {peak} MiB resident");
    assert!(peak < MOST_RESIDENT, "{peak} MiB");
}

/// Its own readings hang for ten minutes; the other one's take no notice.
#[test]
fn a_provider_that_drips_delays_no_other() {
    let home = many(3, 3, 0);
    home.fault(&json!({"provider": "revere", "drip": "50ms", "times": null}));
    let items = home.all();
    home.write_text(&patient(&home.text("", &lines(&items)), "600s", "601s"));
    let _daemon = home.daemon();
    let academy = || items.iter().filter(|(provider, _)| *provider == "academy");
    until("Revere is being read", || asked(&home, "revere") > 0);
    for (provider, id) in academy() {
        home.until_state(&format!("{provider}/{id}"), "canceled");
    }
    for (_, id) in items
        .iter()
        .filter(|(provider, _)| *provider == "donations")
    {
        assert_eq!(home.truth_of(id)["live"], true);
    }
}

fn asked(home: &Home, provider: &str) -> usize {
    let log = crate::support::get(home.sandbox(), "/sandbox/requests").json();
    let requests = log["requests"].as_array().unwrap();
    requests
        .iter()
        .filter(|it| it["provider"] == provider)
        .count()
}
