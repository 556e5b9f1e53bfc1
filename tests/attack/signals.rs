//! SIGTERM in the middle of a request.

use super::proxy::{Gate, Proxy};
use super::{A, B, attempts, patient};
use crate::support::{Daemon, Home, until};

/// A daemon with one cancel that took effect and whose answer hangs.
fn hanging(home: &Home) -> (Daemon, Proxy, Gate) {
    let answers = Gate::shut_at_first();
    let held = answers.clone();
    let proxy = Proxy::start(home, move |mut exchange| {
        let answer = exchange.forward();
        if exchange.is_write() {
            held.pass();
        }
        exchange.answer(&answer);
    });
    let text = home.text("", &format!("\n  - {{id: {A}, provider: donations}}"));
    home.write_text(&proxy.before(home, "revere", &patient(&text, "90s", "91s")));
    let daemon = home.daemon();
    answers.until_came(1);
    (daemon, proxy, answers)
}

/// One more that is due, so that it would be seen if anything new began.
fn add_another(home: &Home) {
    let text = std::fs::read_to_string(home.file()).unwrap();
    home.write_text(&text.replace(
        "\n...",
        &format!("\n  - {{id: {B}, provider: donations}}\n..."),
    ));
}

fn is_read_at_the_next_start(home: &Home) -> Daemon {
    assert_eq!(attempts(&home.ledger()).len(), 1);
    assert_eq!(attempts(&home.ledger())[0].outcome, None);
    assert_eq!(home.state(&format!("donations/{A}")), "sending");
    assert_eq!(home.writes().len(), 1);
    let text = std::fs::read_to_string(home.file()).unwrap();
    home.write_text(&text.replace("timeout: 90s", "timeout: 5s"));
    let daemon = home.daemon();
    home.until_state(&format!("donations/{A}"), "canceled");
    let own = home.writes().iter().filter(|it| it.contains(A)).count();
    assert_eq!(own, 1, "{:?}", home.writes());
    assert_eq!(home.truth_of(A)["cancels_effective"], 1);
    daemon
}

#[test]
fn a_request_that_hangs_keeps_no_daemon_and_is_read_at_the_next_start() {
    let home = Home::new();
    let (mut daemon, _proxy, answers) = hanging(&home);
    daemon.signal("TERM");
    until("it has heard", || {
        daemon.log().contains("nothing new starts")
    });
    add_another(&home);
    assert_eq!(daemon.ended(), 0);
    assert!(
        daemon.log().contains("did not end within 23 s"),
        "{}",
        daemon.log()
    );
    assert_eq!(home.state(&format!("donations/{B}")), "not in the ledger");
    answers.open();
    let _daemon = is_read_at_the_next_start(&home);
    home.until_state(&format!("donations/{B}"), "canceled");
}

#[test]
fn a_second_signal_stops_at_once_and_what_was_in_flight_is_read_at_the_next_start() {
    let home = Home::new();
    let (mut daemon, _proxy, answers) = hanging(&home);
    daemon.signal("TERM");
    until("it has heard", || {
        daemon.log().contains("nothing new starts")
    });
    daemon.signal("TERM");
    assert_eq!(daemon.ended(), 1);
    assert!(
        !daemon.log().contains("did not end within"),
        "{}",
        daemon.log()
    );
    answers.open();
    is_read_at_the_next_start(&home);
}
