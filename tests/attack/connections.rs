//! A network that cuts, holds and delays, between the daemon and the sandbox.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::proxy::{Exchange, Proxy};
use super::{NO_LIMITS, lines, many, patient, until_each_is_cancelled_once};
use crate::support::Home;

/// What happens to a request on its way.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Passes,
    /// The connection is closed, and nothing got through.
    CutBefore,
    /// It took effect, and the connection is closed without an answer.
    CutAfter,
    /// It took effect, and the answer ends in the middle.
    CutInside,
    /// It arrives when nobody waits for its answer any more.
    LateRequest,
    /// It took effect, and its answer comes when nobody waits any more.
    LateAnswer,
}

const FATES: [Fate; 6] = [
    Fate::CutBefore,
    Fate::CutAfter,
    Fate::CutInside,
    Fate::LateRequest,
    Fate::LateAnswer,
    Fate::Passes,
];

/// For each provider, each fate of its cancel, with readings that are cut as well.
#[test]
fn a_connection_that_is_cut_or_late_anywhere_cancels_nobody_twice_and_forgets_nobody() {
    const EACH: u32 = 12;
    let home = many(EACH, EACH, EACH);
    let proxy = unreliable(&home);
    let text = home.text(NO_LIMITS, &lines(&home.all()));
    home.write_text(&proxy.before_all(&home, &patient(&text, "3s", "8s")));
    let _daemon = home.daemon();
    until_each_is_cancelled_once(&home, 3 * EACH as usize);
}

fn unreliable(home: &Home) -> Proxy {
    let seen = Mutex::new(BTreeMap::<String, usize>::new());
    let writes = Mutex::new(0_usize);
    Proxy::start(home, move |exchange| {
        let times = {
            let mut seen = seen.lock().unwrap();
            let key = format!("{} {}", exchange.method, exchange.path);
            let times = seen.entry(key).or_default();
            *times += 1;
            *times
        };
        let fate = if exchange.is_write() && times == 1 {
            let mut writes = writes.lock().unwrap();
            *writes += 1;
            FATES[*writes % FATES.len()]
        } else if !exchange.is_write() && times == 2 {
            // The reading back, or a second one of the same.
            FATES[exchange.path.len() % 3]
        } else {
            Fate::Passes
        };
        meet(exchange, fate);
    })
}

fn meet(mut exchange: Exchange, fate: Fate) {
    match fate {
        Fate::Passes => exchange.pass(),
        Fate::CutBefore => {}
        Fate::CutAfter => drop(exchange.forward()),
        Fate::CutInside => {
            let answer = exchange.forward();
            let places = answer.len() - 1;
            exchange.answer(&answer[..1 + exchange.path.len() * 37 % places]);
        }
        Fate::LateRequest => {
            exchange.until_given_up();
            exchange.forward();
        }
        Fate::LateAnswer => {
            let answer = exchange.forward();
            exchange.until_given_up();
            exchange.answer(&answer);
        }
    }
}
