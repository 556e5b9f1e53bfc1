//! The process stopped in the middle (SIGSTOP, a suspended machine, a frozen container) and
//! continued later.

use std::sync::{Arc, Mutex};

use super::proxy::{Exchange, Gate, Proxy};
use super::{
    A, NO_LIMITS, attempts, lines, many, now, patient, until_each_is_cancelled_once, until_past,
};
use crate::support::{Home, until};

/// The check of both clocks is of no use if minutes can go by between it and the first byte:
/// here the connection is what takes long.
#[test]
fn a_process_stopped_while_it_connects_sends_nothing_that_is_stale() {
    let home = Home::new();
    let hand = Arc::new(Mutex::new(None::<super::proxy::Hand>));
    let shuts = Arc::clone(&hand);
    let proxy = Proxy::start(&home, move |exchange| {
        // The reading that the write rests on; its answer comes once the door is shut.
        if let Some(hand) = shuts.lock().unwrap().take() {
            hand.shut();
        }
        exchange.pass();
    });
    *hand.lock().unwrap() = Some(proxy.hand());
    let text = home.text("", &format!("\n  - {{id: {A}, provider: donations}}"));
    home.write_text(&proxy.before(&home, "revere", &patient(&text, "20s", "21s")));
    let daemon = home.daemon();
    until("the intent is journaled", || {
        attempts_of(&home, A).len() == 1
    });
    let hand = proxy.hand();
    if !hand.is_shut() {
        println!("LEFT OUT: this system makes connections that nobody accepts");
        return;
    }
    until("the daemon connects", || {
        connecting_to(proxy.address.port())
    });
    daemon.signal("STOP");
    until_past(attempts_of(&home, A)[0].send_before);
    let before = hand.accepted();
    hand.open();
    until("the connection is there", || hand.accepted() > before);
    assert!(home.writes().is_empty(), "it is stopped");
    daemon.signal("CONT");
    home.until_state(&format!("donations/{A}"), "canceled");
    let attempts = attempts_of(&home, A);
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert_eq!(attempts[0].outcome.as_deref(), Some("not_sent"));
    assert_eq!(home.writes().len(), 1, "{:?}", home.writes());
    assert_eq!(home.truth_of(A)["cancels_effective"], 1);
}

#[test]
fn a_write_that_waited_for_its_turn_in_a_stopped_process_is_sent_only_under_a_new_intent() {
    let home = many(0, 3, 0);
    let ids: Vec<String> = home.all().into_iter().map(|(_, id)| id).collect();
    let reads: Vec<Gate> = ids.iter().map(|_| Gate::shut_at_first()).collect();
    let writes = Gate::shut_at_first();
    let order = Arc::new(Mutex::new(Vec::<usize>::new()));
    let (gates, held, seen) = (reads.clone(), writes.clone(), Arc::clone(&order));
    let named = ids.clone();
    let proxy = Proxy::start(&home, move |mut exchange| {
        let which = named.iter().position(|id| exchange.path.contains(id));
        let Some(which) = which else {
            return exchange.pass();
        };
        let answer = exchange.forward();
        if exchange.is_write() {
            held.pass();
        } else {
            seen.lock().unwrap().push(which);
            gates[which].pass();
        }
        exchange.answer(&answer);
    });
    let text = patient(&home.text("", &lines(&home.all())), "20s", "21s").replace(
        "rate_limit: 1000/s",
        "concurrency: 2\n    rate_limit: 1000/s",
    );
    home.write_text(&proxy.before(&home, "revere", &text));
    let daemon = home.daemon();
    let read = |count: usize| {
        until("they are being read", || {
            order.lock().unwrap().len() >= count
        });
        order.lock().unwrap()[count - 1]
    };
    // Two places: two are read, the third waits for a place.
    let (first, second) = (read(1), read(2));
    reads[first].open();
    until("the first is journaled", || {
        !attempts_of(&home, &ids[first]).is_empty()
    });
    let third = read(3);
    // The second's place goes to the first's write; its own write then waits for one.
    reads[second].open();
    writes.until_came(1);
    until("the second is journaled", || {
        !attempts_of(&home, &ids[second]).is_empty()
    });
    daemon.signal("STOP");
    until_past(attempts_of(&home, &ids[second])[0].send_before);
    assert_eq!(writes.came(), 1);
    writes.open();
    reads[third].open();
    daemon.signal("CONT");
    until_each_is_cancelled_once(&home, 3);
    let stale = &attempts_of(&home, &ids[second])[0];
    assert_eq!(stale.outcome.as_deref(), Some("not_sent"));
    assert_eq!(home.writes().len(), 3, "{:?}", home.writes());
}

#[test]
fn a_process_stopped_for_longer_than_resend_after_sends_nothing_again() {
    let home = many(2, 2, 2);
    let requests = Gate::shut_at_first();
    let answers = Gate::shut_at_first();
    let (before, after) = (requests.clone(), answers.clone());
    let count = Mutex::new(0);
    let proxy = Proxy::start(&home, move |mut exchange: Exchange| {
        if !exchange.is_write() {
            return exchange.pass();
        }
        let number = {
            let mut count = count.lock().unwrap();
            *count += 1;
            *count
        };
        // Of half of them the effect comes before the stop, of the others during it.
        if number % 2 == 0 {
            before.pass();
        }
        let answer = exchange.forward();
        after.pass();
        exchange.answer(&answer);
    });
    let text = home.text(NO_LIMITS, &lines(&home.all()));
    home.write_text(&proxy.before_all(&home, &patient(&text, "5s", "6s")));
    let daemon = home.daemon();
    requests.until_came(3);
    answers.until_came(3);
    daemon.signal("STOP");
    requests.open();
    answers.until_came(6);
    assert_eq!(home.truth()["totals"]["cancels_effective"], 6);
    let last = attempts(&home.ledger())
        .iter()
        .map(|it| it.send_before)
        .max()
        .unwrap();
    until_past(last.max(now()) + 6_000);
    answers.open();
    daemon.signal("CONT");
    until_each_is_cancelled_once(&home, 6);
    assert_eq!(home.writes().len(), 6, "{:?}", home.writes());
}

#[test]
fn a_second_daemon_is_refused_also_while_the_first_one_is_stopped() {
    let home = Home::new();
    home.write(" []");
    let first = home.daemon();
    first.signal("STOP");
    let second = home.run(&["run", "--listen", "127.0.0.1:0"]).ended(1);
    assert!(
        second.err.contains("another daemon holds"),
        "{}",
        second.err
    );
    let once = home.run(&["run", "--once"]).ended(1);
    assert!(once.err.contains("another daemon holds"), "{}", once.err);
    first.signal("CONT");
    assert_eq!(first.get("/livez").status, 200);
}

fn attempts_of(home: &Home, id: &str) -> Vec<super::Attempt> {
    let mut found = attempts(&home.ledger());
    found.retain(|it| it.subscription == id);
    found
}

/// Whether a connection to this port of the loopback is being made (state 02, SYN_SENT).
fn connecting_to(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let to = format!("0100007F:{port:04X}");
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(2);
        words.next() == Some(to.as_str()) && words.next() == Some("02")
    })
}
