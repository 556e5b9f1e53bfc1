//! A file that would have a credential go where it never went.
//!
//! `{env: …}` and `{file: …}` name secrets of the host, and whoever may propose a change of the
//! file may name any of them beside any address. What keeps them at home is that a new address
//! waits for a person at the host.

use lapsed::sandbox::cast;

use super::{Trap, explained, hold, item, monthly};
use crate::support::{Daemon, Home, until};

const KEY: &str = "key-that-stays-at-home-71c4";

/// The provider `donations` somewhere else, by way of a proxy that hears every attempt.
fn elsewhere(home: &Home, origin: &str, trap: &Trap, more: &str, items: &str) -> String {
    let text = home.text("", items);
    let (before, rest) = text.split_once("  donations:\n").unwrap();
    let (_, after) = rest.split_once("  metered:\n").unwrap();
    format!(
        "{before}  donations:\n    type: revere\n    base_url: {origin}\n    proxy: {}\n    \
         group_id: {}\n    linked_account_id: {}\n    api_key: {{env: T_KEY}}\n    \
         timeout: 2s\n    resend_after: 4s\n{more}  metered:\n{after}",
        trap.url(),
        cast::REVERE_GROUP,
        cast::REVERE_ACCOUNT
    )
}

fn daemon(home: &Home) -> Daemon {
    home.daemon_with(|command| {
        command.env("T_KEY", KEY);
    })
}

/// A home where `donations` has settled one, and now shall settle another.
fn settled() -> (Home, Daemon) {
    let home = Home::new();
    home.write(&monthly());
    let daemon = daemon(&home);
    home.until_state(&format!("donations/{}", cast::REVERE_MONTHLY), "canceled");
    (home, daemon)
}

fn annual() -> String {
    format!("donations/{}", cast::REVERE_ANNUAL)
}

fn both() -> String {
    format!("{}{}", monthly(), item(cast::REVERE_ANNUAL, ""))
}

/// The digest in `lapsed approve DIGEST`.
fn digest(text: &str) -> String {
    let (_, rest) = text.split_once("lapsed approve ").expect(text);
    rest.chars().take_while(char::is_ascii_hexdigit).collect()
}

#[test]
fn a_provider_that_moves_is_sent_no_credential_until_a_person_at_the_host_allows_it() {
    let (home, _daemon) = settled();
    let trap = Trap::set();
    let collector = "https://collector.example.com";
    home.write_text(&elsewhere(&home, collector, &trap, "", &both()));
    until("it is held", || hold(&home, &annual()) == "account_changed");

    // Every command that would read the provider knows it too, and says where it would have gone.
    let checked = home.run(&["check", "--strict"]).ended(0).out;
    assert!(checked.contains(collector), "{checked}");
    let digest = digest(&checked);
    let markdown = home
        .run(&["plan", "--refresh", "--format", "markdown"])
        .ended(0);
    assert!(
        markdown.out.contains("collector.example.com"),
        "{}",
        markdown.out
    );
    assert!(markdown.out.contains(&digest), "{}", markdown.out);
    let listed = home.run(&["list", "donations"]).ended(1);
    assert!(listed.err.contains(&digest), "{}", listed.err);
    let doctor = home.run(&["doctor"]).ended(1);
    assert!(doctor.out.contains(&digest), "{}", doctor.out);
    let cure = explained(&home, &annual());
    assert!(
        cure["hold"].to_string().contains("lapsed approve"),
        "{cure}"
    );
    home.run(&["reconcile"]).ended(0);
    assert_eq!(hold(&home, &annual()), "account_changed");
    assert_eq!(trap.heard(), Vec::<String>::new());

    home.run(&["approve", "00000000000000000000000000000000"])
        .ended(1);
    let allowed = home.run(&["approve", &digest]).ended(0).out;
    assert!(allowed.contains(collector), "{allowed}");
    until("it goes there", || {
        trap.heard()
            .iter()
            .any(|it| it.starts_with("CONNECT collector.example.com:443"))
    });
    assert!(trap.heard().iter().all(|it| !it.contains(KEY)));
}

#[test]
fn a_new_name_for_a_new_place_is_no_way_round() {
    let (home, _daemon) = settled();
    let trap = Trap::set();
    let text = home.text(
        "",
        &format!(
            "{}\n  - {{id: \"{}\", provider: friends}}",
            monthly(),
            cast::REVERE_ANNUAL
        ),
    );
    let friends = format!(
        "  friends:\n    type: revere\n    base_url: https://collector.example.com\n    \
         proxy: {}\n    group_id: g\n    linked_account_id: a\n    api_key: {{env: PATH}}\npolicies:\n",
        trap.url()
    );
    home.write_text(&text.replacen("policies:\n", &friends, 1));
    let key = format!("friends/{}", cast::REVERE_ANNUAL);
    until("it is held", || hold(&home, &key) == "account_changed");
    home.run(&["list", "friends"]).ended(1);
    home.run(&["plan", "--refresh"]).ended(0);
    assert_eq!(trap.heard(), Vec::<String>::new());
}

#[test]
fn an_authority_of_ones_own_behind_a_known_address_is_a_new_place() {
    let home = Home::new();
    let trap = Trap::set();
    let origin = "https://billing.example.com";
    home.write_text(&elsewhere(&home, origin, &trap, "", &monthly()));
    let _daemon = daemon(&home);
    // The first revision is of whoever set the ledger up.
    until("it goes there", || !trap.heard().is_empty());
    std::fs::write(home.path().join("ca.pem"), "not even one\n").unwrap();
    let with_ca = elsewhere(&home, origin, &trap, "    ca: {file: ca.pem}\n", &monthly());
    home.write_text(&with_ca);
    let key = format!("donations/{}", cast::REVERE_MONTHLY);
    until("it is held", || hold(&home, &key) == "account_changed");
    let one = digest(&home.run(&["check"]).ended(0).out);
    // Another file under the same name is another authority.
    std::fs::write(home.path().join("ca.pem"), "nor this\n").unwrap();
    assert_ne!(one, digest(&home.run(&["check"]).ended(0).out));
    let heard = trap.heard().len();
    home.run(&["reconcile"]).ended(0);
    until("the worker has looked again", || {
        home.run(&["status"]).out.contains("account_changed")
    });
    assert_eq!(trap.heard().len(), heard);
}

#[test]
fn one_pass_without_a_daemon_sends_nothing_to_a_new_place_either() {
    let home = Home::new();
    home.write(&monthly());
    home.run(&["run", "--once"]).ended(0);
    let trap = Trap::set();
    home.write_text(&elsewhere(
        &home,
        "https://collector.example.com",
        &trap,
        "",
        &both(),
    ));
    let ran = home.run(&["run", "--once"]).ended(1);
    assert!(ran.err.contains("account_changed"), "{}", ran.err);
    assert_eq!(trap.heard(), Vec::<String>::new());
}

#[test]
fn a_proxy_on_the_way_to_this_machine_is_refused_and_so_is_one_with_a_password() {
    let home = Home::new();
    let text = home.text("", " []");
    let proxied = |proxy: &str| {
        text.replace(
            "    type: revere\n",
            &format!("    type: revere\n    proxy: {proxy}\n"),
        )
    };
    home.write_text(&proxied("http://proxy.example.com:3128"));
    let told = home.run(&["check"]).ended(78);
    let told = format!("{}{}", told.out, told.err);
    assert!(told.contains("must not leave it"), "{told}");
    home.write_text(&proxied("http://somebody:hunter2@proxy.example.com:3128"));
    let told = home.run(&["check"]).ended(78);
    let told = format!("{}{}", told.out, told.err);
    assert!(told.contains("credentials in a URL"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}
