//! The corpora, changed at random: fuzzing without guidance, for every build. What `fuzz/run` does
//! for an hour with coverage to guide it, this does for some seconds.
//!
//! `LAPSED_TEST_MUTATIONS` asks for more of each file; `LAPSED_TEST_SEED` begins elsewhere. A
//! failure prints the seed of the one input, and the input.

use super::corpus::corpus;
use super::properties::{ALL, Property};

/// Changes of each file of a corpus.
const USUAL: u64 = 24;

/// What is put in, beside pieces of other files.
const PIECES: [&[u8]; 40] = [
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"\t",
    b" ",
    b"...\n",
    b"---\n",
    b"\"",
    b"'",
    b"\\",
    b":",
    b"- ",
    b"[",
    b"]",
    b"{",
    b"}",
    b"&a ",
    b"*a",
    b"!x ",
    b"#",
    b"|",
    b">",
    b"%",
    b"@",
    b"`",
    b",",
    b"? ",
    b"\xEF\xBB\xBF",
    b"\xFF",
    b"\xE2\x80\x8B",
    b"\xE2\x80\xAE",
    b"\x1b[2J",
    b"null",
    b"-1",
    b"9223372036854775808",
    b"+262142-12-31T23:59:59Z",
    b"\n%%\n200\n\n",
    b"<<: ",
    b"\\ud800",
];

#[expect(
    clippy::disallowed_methods,
    reason = "how far to go is asked from outside"
)]
fn asked(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// One input, changed in one to four places.
fn changed(input: &[u8], others: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.usize(1..5) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..12)).min(bytes.len());
        match random.u8(..7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 if at < bytes.len() => bytes[at] = random.u8(..),
            3 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            4 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again.repeat(random.usize(1..4)));
            }
            5 => {
                let other = &others[random.usize(..others.len())];
                let from = random.usize(..=other.len());
                let to = (from + random.usize(..40)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                let piece = PIECES[random.usize(..PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes
}

fn hold_when_changed(target: &str, hold: Property) {
    let files = corpus(target);
    let texts: Vec<Vec<u8>> = files.iter().map(|it| std::fs::read(it).unwrap()).collect();
    let first = asked("LAPSED_TEST_SEED", 0);
    for (file, text) in files.iter().zip(&texts) {
        for seed in first..first + asked("LAPSED_TEST_MUTATIONS", USUAL) {
            let mut random = fastrand::Rng::with_seed(seed);
            let input = changed(text, &texts, &mut random);
            let held = std::panic::catch_unwind(|| hold(&input));
            assert!(
                held.is_ok(),
                "LAPSED_TEST_SEED={seed} on {}: {:?}",
                file.display(),
                String::from_utf8_lossy(&input)
            );
        }
    }
}

/// One test for each target, so that they run beside one another.
macro_rules! each {
    ($($name:ident: $target:literal,)*) => {$(
        #[test]
        fn $name() {
            let hold = ALL.iter().find(|(target, _)| *target == $target).unwrap().1;
            hold_when_changed($target, hold);
        }
    )*};
}

each! {
    schedules_hold_when_changed: "cron",
    csv_files_hold_when_changed: "csv",
    main_files_hold_when_changed: "file",
    requests_hold_when_changed: "http",
    included_files_hold_when_changed: "includes",
    answers_of_providers_hold_when_changed: "provider",
    pauses_hold_when_changed: "retry_after",
}
