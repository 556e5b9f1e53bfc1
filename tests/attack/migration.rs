//! Killed while the ledger's schema is brought up to date.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapsed::clock::Stopwatch;
use rusqlite::Connection;

use super::proxy::Proxy;
use super::{NO_LIMITS, lines, many, until_each_is_cancelled_once};
use crate::older::as_the_first_version_left_it;
use crate::support::{Home, until};

const ITEMS: u32 = 150;

/// Only a failing test waits so long.
const STARTS_WITHIN: Duration = Duration::from_secs(300);

/// Kills while it starts.
const KILLS: u32 = 20;

fn count(ledger: &Path, sql: &str) -> i64 {
    let conn = Connection::open(ledger).unwrap();
    conn.busy_timeout(Duration::from_secs(60)).unwrap();
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn no_kill_during_a_migration_loses_anything_or_sends_anything_twice() {
    let seed = super::asked_for("LAPSED_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("replay with LAPSED_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let home = many(0, ITEMS, 0);
    let silent = Arc::new(AtomicBool::new(false));
    let cut = Arc::clone(&silent);
    let proxy = Proxy::start(&home, move |exchange| {
        if !cut.load(Ordering::SeqCst) {
            exchange.pass();
        }
    });
    home.write_text(&proxy.before_all(&home, &home.text(NO_LIMITS, &lines(&home.all()))));
    // Some are done, some are being sent, the rest is to come.
    let daemon = home.daemon();
    until("some are done", || home.writes().len() > 20);
    silent.store(true, Ordering::SeqCst);
    daemon.kill();
    as_the_first_version_left_it(&home.ledger(), &home.ledger());
    let events = count(&home.ledger(), "SELECT count(*) FROM events");
    let requests = count(&home.ledger(), "SELECT count(*) FROM requests");
    let begun = [home.ledger(), mark(&home)].map(|path| (std::fs::read(&path).unwrap(), path));
    // How long one takes to be ready tells where its middle is.
    let watch = Stopwatch::start();
    home.daemon().kill();
    let ready = watch.elapsed();
    let mut versions = Vec::new();
    for kill in 0..KILLS {
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&home, ending));
        }
        for (bytes, path) in &begun {
            std::fs::write(path, bytes).unwrap();
        }
        let daemon = home.start();
        if kill % 2 == 0 {
            std::thread::park_timeout(ready.mul_f64(random.f64()));
        } else {
            // The moment at which its first commit reaches the log.
            while std::fs::metadata(beside(&home, "-wal")).map_or(0, |it| it.len()) == 0 {
                assert!(watch.elapsed() < STARTS_WITHIN, "it never wrote");
                std::hint::spin_loop();
            }
        }
        daemon.kill();
        versions.push(count(&home.ledger(), "PRAGMA user_version"));
        assert!(count(&home.ledger(), "SELECT count(*) FROM events") >= events);
        let still = count(&home.ledger(), "SELECT count(*) FROM requests");
        assert_eq!(still, requests);
    }
    println!("killed at versions {versions:?}");
    silent.store(false, Ordering::SeqCst);
    let _daemon = home.daemon();
    until_each_is_cancelled_once(&home, ITEMS as usize);
    assert_eq!(count(&home.ledger(), "PRAGMA user_version"), 6);
}

fn beside(home: &Home, ending: &str) -> PathBuf {
    format!("{}{ending}", home.ledger().display()).into()
}

fn mark(home: &Home) -> PathBuf {
    beside(home, ".mark")
}
