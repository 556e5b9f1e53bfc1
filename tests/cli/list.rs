//! `lapsed list`: what it prints is what a file takes, and names nobody.

use lapsed::sandbox::{Seeds, cast};
use serde_json::{Value, json};

use crate::support::{Home, get, lapsed};

const PROVIDERS: [&str; 3] = ["academy", "donations", "metered"];

const FORMATS: [&str; 3] = ["table", "csv", "items"];

fn seeded(seeds: &Value) -> Home {
    let home = Home::with(Seeds::parse(seeds).unwrap());
    home.write(" []");
    home
}

fn demo() -> Home {
    let home = Home::new();
    home.write(" []");
    home
}

/// The first cell of every row.
fn first_cells(csv: &str) -> Vec<&str> {
    csv.lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect()
}

/// How many lists were asked for.
fn lists(home: &Home) -> usize {
    let log = get(home.sandbox(), "/sandbox/requests").json();
    let requests = log["requests"].as_array().unwrap();
    requests
        .iter()
        .filter(|it| it["operation"] == "list")
        .count()
}

#[test]
fn a_table_shows_what_lives_and_with_all_also_what_does_not() {
    let home = demo();
    let living = home.run(&["list", "academy"]).ended(0);
    for fragment in [
        "SUBSCRIPTION",
        "CUSTOMER",
        "OFFER",
        "2145871       active",
        "active, payment plan",
        "150002",
    ] {
        assert!(living.out.contains(fragment), "{fragment}: {}", living.out);
    }
    for ended in [
        cast::KAJABI_CANCELLED,
        cast::KAJABI_DEACTIVATED,
        cast::KAJABI_ONE_TIME,
    ] {
        assert!(!living.out.contains(ended), "{}", living.out);
    }
    assert!(living.err.contains("3 more with --all"), "{}", living.err);
    let all = home.run(&["list", "academy", "--all"]).ended(0);
    for fragment in [
        cast::KAJABI_CANCELLED,
        "deactivated 20",
        "active, no subscription",
    ] {
        assert!(all.out.contains(fragment), "{fragment}: {}", all.out);
    }
    let donations = home.run(&["list", "donations", "--all"]).ended(0);
    for fragment in ["failed, may revive", "unclear: paused", "ended", "PLAN"] {
        assert!(donations.out.contains(fragment), "{}", donations.out);
    }
    let metered = home.run(&["list", "metered"]).ended(0);
    assert!(
        metered.out.contains("ending, not renewed"),
        "{}",
        metered.out
    );
    assert!(
        !metered.out.contains(cast::LOTUS_ADDON_ENTRY),
        "{}",
        metered.out
    );
    let all = home.run(&["list", "metered", "--all"]).ended(0);
    for id in [
        cast::LOTUS_ENDED,
        cast::LOTUS_NOT_STARTED,
        cast::LOTUS_SUCCESSOR,
    ] {
        assert!(!metered.out.contains(id), "{}", metered.out);
        assert!(all.out.contains(id), "{}", all.out);
    }
    assert!(!all.out.contains(cast::LOTUS_FOREIGN), "{}", all.out);
    assert!(home.writes().is_empty());
}

#[test]
fn a_csv_is_an_include_file_as_it_is() {
    let home = demo();
    let folder = home.path().join("batches");
    std::fs::create_dir(&folder).unwrap();
    for provider in PROVIDERS {
        let listed = home
            .run(&["list", provider, "--format", "csv", "--all"])
            .ended(0);
        assert!(listed.err.contains("not living"), "{}", listed.err);
        std::fs::write(folder.join(format!("{provider}.csv")), &listed.out).unwrap();
    }
    home.write_text(&home.text("include: [\"batches/*.csv\"]\n", " []"));
    home.run(&["check", "--strict"]).ended(0);
    let planned = home
        .run(&["plan", "--offline", "--format", "json"])
        .ended(0);
    let planned: Value = serde_json::from_str(&planned.out).unwrap();
    assert_eq!(planned["items"].as_array().unwrap().len(), 6 + 5 + 8);
    let item = &planned["items"][0];
    assert_eq!(
        (&item["provider"], &item["id"]),
        (&json!("academy"), &json!("2145871"))
    );
    assert!(
        item["terms"].to_string().contains("82145871"),
        "{}",
        item["terms"]
    );
}

#[test]
fn items_are_pasted_as_they_are() {
    let home = demo();
    let mut items = String::from("\n");
    for provider in PROVIDERS {
        items.push_str(
            &home
                .run(&["list", provider, "--format", "items"])
                .ended(0)
                .out,
        );
    }
    assert_eq!(items.matches("- {id: \"").count(), 3 + 4 + 5, "{items}");
    for fragment in ["# active\n", "# unclear: paused; period ends 20"] {
        assert!(items.contains(fragment), "{items}");
    }
    home.write(items.trim_end());
    home.run(&["check", "--strict"]).ended(0);
    // What they expect is what the providers say.
    home.run(&["run", "--once"]);
    assert_eq!(home.state("academy/2145871"), "canceled");
    assert_eq!(
        home.state(&format!("metered/{}", cast::LOTUS_WITH_ADDON)),
        "canceled"
    );
    assert_eq!(
        home.state(&format!("donations/{}", cast::REVERE_FAILED)),
        "canceled"
    );
}

#[test]
fn every_page_is_read_and_printed() {
    let home = seeded(&json!([
        { "provider": "kajabi", "count": 230 },
        { "provider": "revere", "count": 200 },
        { "provider": "revere", "count": 3, "prefix": "gone-", "status": "canceled" },
    ]));
    let kajabi = home.run(&["list", "academy", "--format", "csv"]).ended(0);
    let ids = first_cells(&kajabi.out);
    assert_eq!((ids.len(), ids[229]), (230, "9000000229"));
    assert_eq!(lists(&home), 3);
    let revere = home.run(&["list", "donations", "--format", "csv"]).ended(0);
    assert_eq!(first_cells(&revere.out).len(), 200);
    assert!(revere.err.contains("3 more with --all"), "{}", revere.err);
    assert_eq!(lists(&home), 3 + 4);
    let first = home.run(&["list", "donations", "--limit", "101"]).ended(0);
    assert_eq!(first.out.lines().count(), 1 + 101);
    assert!(first.err.contains("the first 101"), "{}", first.err);
    assert_eq!(lists(&home), 3 + 4 + 2);
}

#[test]
fn an_empty_account_is_an_empty_list() {
    let home = seeded(&json!([]));
    for provider in PROVIDERS {
        let table = home.run(&["list", provider]).ended(0);
        assert_eq!(table.out, "");
        assert!(table.err.contains("0 subscriptions"), "{}", table.err);
        let csv = home.run(&["list", provider, "--format", "csv"]).ended(0);
        assert!(csv.out.starts_with("id,provider,expect.customer,expect."));
        assert_eq!(csv.out.lines().count(), 1, "{}", csv.out);
    }
}

#[test]
fn nothing_that_names_a_person_is_printed() {
    let home = seeded(&json!([
        { "provider": "kajabi", "count": 2 },
        { "provider": "revere", "count": 2 },
        { "provider": "lotus", "count": 2, "customer_name": "Canary Name" },
        { "provider": "lotus", "id": cast::LOTUS_ACTIVE, "customer_id": "canary@example.com" },
        { "provider": "lotus", "id": cast::LOTUS_NEW_YORK, "customer_id": "one, \"two\"" },
    ]));
    for provider in PROVIDERS {
        for format in FORMATS {
            for scope in [&["--all"][..], &[]] {
                let args = [&["list", provider, "--format", format], scope].concat();
                let ran = home.run(&args).ended(0);
                let told = format!("{}{}", ran.out, ran.err).to_lowercase();
                for word in [cast::CANARY, "example.com", "4242", "411111"] {
                    assert!(!told.contains(word), "{word}: {told}");
                }
            }
        }
    }
    let csv = home.run(&["list", "metered", "--format", "csv"]).ended(0);
    let without = format!("{},metered,,{}", cast::LOTUS_ACTIVE, cast::LOTUS_PLAN);
    assert!(csv.out.contains(&without), "{}", csv.out);
    assert!(csv.err.contains("1 value left out"), "{}", csv.err);
    // What a cell or a text must quote comes back as it was.
    let items = home.run(&["list", "metered", "--format", "items"]).ended(0);
    std::fs::write(home.path().join("a.csv"), &csv.out).unwrap();
    home.write_text(&home.text("include: [a.csv]\n", " []"));
    home.run(&["check", "--strict"]).ended(0);
    let explained = format!("metered/{}", cast::LOTUS_NEW_YORK);
    let from_csv = home.run(&["explain", &explained]).ended(0).out;
    assert!(from_csv.contains("one, "), "{from_csv}");
    home.write(&format!("\n{}", items.out.trim_end()));
    home.run(&["run", "--once"]).ended(0);
    assert_eq!(home.state(&explained), "canceled");
}

#[test]
fn a_pause_that_the_provider_asks_for_is_kept_and_the_list_goes_on() {
    let home = seeded(&json!([{ "provider": "revere", "count": 150 }]));
    home.fault(&json!({
        "provider": "revere", "operation": "list", "status": 429, "retry_after": "1",
        "after": 1, "times": 1,
    }));
    let listed = home.run(&["list", "donations", "--format", "csv"]).ended(0);
    assert_eq!(first_cells(&listed.out).len(), 150);
    assert!(listed.err.contains("asks for a pause"), "{}", listed.err);
}

#[test]
fn a_list_that_breaks_off_is_told_to_be_less_than_whole() {
    let home = seeded(&json!([{ "provider": "revere", "count": 150 }]));
    home.fault(
        &json!({ "provider": "revere", "operation": "list", "status": 500, "after": 1, "times": 9 }),
    );
    let listed = home.run(&["list", "donations", "--format", "csv"]).ended(1);
    assert_eq!(first_cells(&listed.out).len(), 100);
    assert!(
        listed
            .err
            .contains("broke off after 100 subscriptions and is not whole"),
        "{}",
        listed.err
    );
    // Where nothing came, not even a header makes it look like a list.
    let nothing = home.run(&["list", "donations", "--format", "csv"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (1, ""));
    assert!(nothing.err.contains("cannot be listed"), "{}", nothing.err);
}

#[test]
fn whoever_is_not_known_or_cannot_be_asked_is_told_what_to_do() {
    let home = demo();
    let told = home.run(&["list", "acadmy"]).ended(1);
    assert!(told.err.contains("did you mean `academy`?"), "{}", told.err);
    home.run(&["list"]).ended(64);
    home.run(&["list", "academy", "--format", "xml"]).ended(64);
    let text = home.text("", " []");
    let other = text.replace(
        cast::LOTUS_ORGANIZATION,
        "org_5a4d0b0c000040008000000000000002",
    );
    home.write_text(&other);
    let told = home.run(&["list", "metered"]).ended(1);
    assert!(told.err.contains("`organization_id` is"), "{}", told.err);
    assert_eq!(told.out, "");
    home.write_text(&text.replace("{value: sandbox-revere-key}", "{env: LAPSED_NO_SUCH_KEY}"));
    let told = home.run(&["list", "donations"]).ended(1);
    assert!(told.err.contains("LAPSED_NO_SUCH_KEY"), "{}", told.err);
    home.write_text("version: 2\n");
    home.run(&["list", "donations"]).ended(78);
}

#[test]
fn whoever_closes_the_pipe_has_seen_enough() {
    let home = seeded(&json!([{ "provider": "revere", "count": 5000 }]));
    let mut command = lapsed();
    command
        .current_dir(home.path())
        .args(["list", "donations"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert!(lists(&home) < 50, "{}", lists(&home));
}
