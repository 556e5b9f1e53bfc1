//! Bodies that no honest provider sends: broken off, endless, huge, exploding.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{Response, StatusCode};
use chrono::{DateTime, Utc};
use futures_util::{Stream, stream};

use super::faults::Cut;
use super::misbehave::HangUp;
use super::wire::Answer;

/// One piece of a huge body.
const PIECE: Bytes = Bytes::from_static(&[b' '; 64 * 1024]);

/// Half of the body: as if that were all, or with the connection breaking there.
pub(super) fn cut_off(mut answer: Answer, cut: Cut, date: DateTime<Utc>) -> Response<Body> {
    let whole = answer.body.len();
    answer.body.truncate(whole / 2);
    match cut {
        Cut::Json => answer.dated(date),
        Cut::Connection => {
            let half = answer.body.clone();
            let length = whole.to_string();
            answer
                .with(CONTENT_LENGTH, &length)
                .head(date, Body::from_stream(then_break(half)))
        }
    }
}

fn then_break(half: Bytes) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some(half), |half| async move {
        let Some(half) = half else {
            // What was written goes out first, and only then it breaks.
            tokio::task::yield_now().await;
            return Some((Err(io::Error::other(HangUp)), None));
        };
        Some((Ok(half), None))
    })
}

/// JSON that never ends: an opening brace, then white space for as long as anybody listens.
pub(super) fn drip(every: Duration, date: DateTime<Utc>) -> Response<Body> {
    let drops = stream::unfold(true, move |first| async move {
        if first {
            return Some((Ok::<_, Infallible>(Bytes::from_static(b"{")), false));
        }
        tokio::time::sleep(every).await;
        Some((Ok(Bytes::from_static(b" ")), false))
    });
    blank().head(date, Body::from_stream(drops))
}

/// White space, as long as was asked for; made piece by piece and never held.
pub(super) fn huge(bytes: u64, date: DateTime<Utc>) -> Response<Body> {
    let body = Body::from_stream(repeated(Bytes::new(), PIECE, bytes));
    blank().head(date, body)
}

/// White space, as long as was asked for once it is decompressed. It breaks off without an
/// end: who gets that far has swallowed it all.
pub(super) fn bomb(bytes: u64, date: DateTime<Utc>) -> Response<Body> {
    let Gzip { start, period } = Gzip::of_blanks();
    let periods_each = PIECE.len() / period.len();
    let piece = Bytes::from(period.repeat(periods_each));
    let length = bytes.div_ceil(Gzip::PERIOD_UNPACKED) * period.len() as u64;
    let body = Body::from_stream(repeated(Bytes::from(start), piece, length));
    blank().with(CONTENT_ENCODING, "gzip").head(date, body)
}

fn blank() -> Answer {
    Answer::empty(StatusCode::OK).typed("application/json")
}

/// A start, then a piece again and again, until so many bytes of it have come.
fn repeated(
    start: Bytes,
    piece: Bytes,
    bytes: u64,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let rest = stream::unfold((piece, bytes), |(piece, left)| async move {
        if left == 0 {
            return None;
        }
        let length = left.min(piece.len() as u64);
        let next = piece.slice(..usize::try_from(length).unwrap_or(piece.len()));
        Some((Ok(next), (piece, left - length)))
    });
    futures_util::StreamExt::chain(stream::iter([Ok(start)]), rest)
}

/// A gzip stream of blanks: how it starts, and what then repeats for ever.
struct Gzip {
    start: Vec<u8>,
    period: Vec<u8>,
}

impl Gzip {
    /// What one period unpacks to: eight copies of 258 bytes.
    const PERIOD_UNPACKED: u64 = 8 * 258;

    /// A blank, then "copy 258 bytes from one byte back" again and again, in the fixed
    /// Huffman code (RFC 1951, 3.2.6). A copy takes 13 bits, so eight of them are 13 bytes,
    /// and from the second byte on the stream repeats after each 13.
    fn of_blanks() -> Self {
        let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        let last_block_fixed = "110";
        let blank = "01010000";
        let copy = "1100010100000";
        let bits = format!("{last_block_fixed}{blank}{}", copy.repeat(9));
        let packed: Vec<u8> = bits
            .as_bytes()
            .chunks_exact(8)
            .map(|byte| {
                let ones = byte.iter().enumerate().filter(|(_, bit)| **bit == b'1');
                ones.fold(0, |packed, (place, _)| packed | 1 << place)
            })
            .collect();
        let start = [&header[..], &packed[..2]].concat();
        Self {
            start,
            period: packed[2..15].to_vec(),
        }
    }
}
