//! One byte of the ledger's file changed by a disk that errs, page by page.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{NO_LIMITS, lines, many};
use crate::support::{Home, post};

/// The ledger's page size, SQLite's usual one.
const PAGE: usize = 4096;

/// A ledger in which everything is settled, whole in one file, and what it says of itself.
fn settled_ledger(home: &Home) -> (Vec<u8>, Vec<u8>) {
    home.write_text(&home.text(NO_LIMITS, &lines(&home.all())));
    home.run(&["run", "--once"]).ended(0);
    let conn = Connection::open(home.ledger()).unwrap();
    let (busy, _, _): (i64, i64, i64) = conn
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert_eq!(busy, 0);
    drop(conn);
    let mark = beside(&home.ledger(), ".mark");
    (
        std::fs::read(home.ledger()).unwrap(),
        std::fs::read(mark).unwrap(),
    )
}

fn beside(ledger: &Path, ending: &str) -> PathBuf {
    format!("{}{ending}", ledger.display()).into()
}

fn put(home: &Home, ledger: &[u8], mark: &[u8]) {
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(beside(&home.ledger(), ending));
    }
    std::fs::write(home.ledger(), ledger).unwrap();
    std::fs::write(beside(&home.ledger(), ".mark"), mark).unwrap();
}

/// Everything is alive again at the sandbox, as if each customer had come back: whatever is
/// sent now is sent for a second time.
#[test]
fn no_flipped_byte_in_any_page_of_the_ledger_sends_anything_twice() {
    let seed = fastrand::u64(..);
    let seed = super::asked_for("LAPSED_TEST_SEED").unwrap_or(seed);
    println!("replay with LAPSED_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let home = many(3, 3, 3);
    let (whole, mark) = settled_ledger(&home);
    assert_eq!(post(home.sandbox(), "/sandbox/reset", &[], "").status, 200);
    let pages = whole.len() / PAGE;
    let (mut refused, mut found, mut harmless) = (0, 0, 0);
    for page in 0..pages {
        let filled: Vec<usize> = (page * PAGE..(page + 1) * PAGE)
            .filter(|at| whole[*at] != 0)
            .collect();
        let Some(at) = random.choice(filled) else {
            continue;
        };
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << random.u8(..8);
        put(&home, &flipped, &mark);
        accept_anew(&home, page);
        let ran = home.run(&["run", "--once"]);
        let told = format!(
            "seed {seed}: page {page}, byte {at}: {} -> {}\n{}{}",
            whole[at], flipped[at], ran.out, ran.err
        );
        assert!(home.writes().is_empty(), "sent: {told}{:?}", home.writes());
        match ran.code {
            0 if home.run(&["ledger", "verify"]).code == 0 => harmless += 1,
            0 => found += 1,
            1 => {
                assert!(ran.err.contains("ledger"), "no reason: {told}");
                refused += 1;
            }
            _ => panic!("ended otherwise: {told}"),
        }
    }
    println!(
        "{pages} pages: {refused} refused, {found} found by `ledger verify`, {harmless} harmless"
    );
    put(&home, &whole, &mark);
    home.run(&["run", "--once"]).ended(0);
    home.run(&["ledger", "verify"]).ended(0);
}

/// An id that is lost in the index by which it is found would be taken for a new one.
#[test]
fn no_id_that_is_flipped_in_any_place_of_the_ledger_sends_anything_twice() {
    let home = many(2, 2, 0);
    let (whole, mark) = settled_ledger(&home);
    assert_eq!(post(home.sandbox(), "/sandbox/reset", &[], "").status, 200);
    let mut refused = 0;
    for (provider, id) in home.all() {
        let places: Vec<usize> = (0..whole.len() - id.len())
            .filter(|at| whole[*at..].starts_with(id.as_bytes()))
            .collect();
        assert!(places.len() > 1, "{provider}/{id} stands in row and index");
        for at in places {
            let mut flipped = whole.clone();
            flipped[at + id.len() - 1] ^= 0b100;
            put(&home, &flipped, &mark);
            accept_anew(&home, at);
            let ran = home.run(&["run", "--once"]);
            assert!(
                home.writes().is_empty(),
                "sent: {provider}/{id} at byte {at}: {}",
                ran.err
            );
            refused += u32::from(ran.code == 1 && ran.err.contains("corrupt"));
        }
    }
    assert!(
        refused >= 4,
        "of each, at least that in the index: {refused}"
    );
    put(&home, &whole, &mark);
    home.run(&["run", "--once"]).ended(0);
    assert!(home.writes().is_empty());
}

/// Another text of the same items, so that each of them is looked up again.
fn accept_anew(home: &Home, number: usize) {
    let text = std::fs::read_to_string(home.file()).unwrap();
    let (head, _) = text.rsplit_once("\n...").unwrap();
    home.write_text(&format!("{head}\n# {number}\n...\n"));
}
