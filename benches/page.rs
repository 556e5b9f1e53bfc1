//! How long the first byte of the page, the list, one item and the metrics takes, by how many items
//! the ledger holds: the real binary, asked over loopback.
//!
//! `cargo bench --bench page`; `LAPSED_BENCH_ITEMS=1000000` for more than a hundred thousand, which
//! takes as long as accepting them does. Medians; what to compare are the ratios.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot go on has nothing to say"
)]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lapsed::clock::Stopwatch;

use support::Home;

/// The fewest items, which all others are compared with.
const FEW: u64 = 10;

/// Requests for one median.
const TIMES: usize = 15;

const PATHS: [&str; 8] = [
    "/",
    "/cancellations?state=scheduled",
    "/cancellations?state=failed",
    "/cancellations?hold=not_found",
    "/events",
    "/cancellations?q=1000007",
    "/cancellations/academy/1000007",
    "/metrics",
];

#[expect(
    clippy::disallowed_methods,
    reason = "how many items is for whoever runs it to say"
)]
fn main() {
    let many = std::env::var("LAPSED_BENCH_ITEMS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_000);
    let (few, many_took) = (measure(FEW), measure(many));
    println!("| first byte of | {FEW} items | {many} items | ratio |\n| --- | --- | --- | --- |");
    for ((path, few), many) in PATHS.iter().zip(few).zip(many_took) {
        let ms = |took: Duration| took.as_secs_f64() * 1000.0;
        println!(
            "| `{path}` | {:.1} ms | {:.1} ms | {:.1} × |",
            ms(few),
            ms(many),
            ms(many) / ms(few)
        );
    }
}

fn measure(items: u64) -> [Duration; PATHS.len()] {
    let home = Home::new();
    let lines: String = (0..items)
        .map(|place| {
            let id = 1_000_000 + place;
            format!("\n  - {{id: \"{id}\", provider: academy, when: 2099-12-31}}")
        })
        .collect();
    let limits = format!("limits: {{approval_above: {items}}}\nmax_bytes: 512MiB\n");
    home.write_text(&home.text(&limits, &lines));
    let daemon = home.daemon();
    let all = format!(r#"lapsed_cancellations{{provider="academy",state="scheduled"}} {items}"#);
    let watch = Stopwatch::start();
    while !daemon.get("/metrics").body.contains(&all) {
        std::thread::park_timeout(Duration::from_secs(1));
    }
    let took = watch.elapsed().as_secs_f64();
    eprintln!("{items} items were accepted in {took:.0} s");
    PATHS.map(|path| {
        let mut took: Vec<Duration> = (0..TIMES)
            .map(|_| first_byte(daemon.address(), path))
            .collect();
        took.sort();
        took[TIMES / 2]
    })
}

/// Until the first byte of an answer arrives, over a connection of its own.
fn first_byte(address: SocketAddr, path: &str) -> Duration {
    // What a scrape has read is good for a second.
    std::thread::park_timeout(Duration::from_millis(1_100));
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let watch = Stopwatch::start();
    stream.write_all(request.as_bytes()).unwrap();
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    watch.elapsed()
}
