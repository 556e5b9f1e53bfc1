//! A raw HTTP server whose every byte the test decides, and which keeps every request as it
//! came. It knows no HTTP beyond where a request ends, so that it hides nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// What the server does with one request.
#[derive(Clone)]
pub enum Says {
    /// Writes these bytes and waits for the next request.
    Bytes(Vec<u8>),
    /// Writes these bytes one at a time.
    Drips(Vec<u8>),
    /// Writes these bytes and closes.
    Breaks(Vec<u8>),
    /// Writes these bytes and then nothing more, on an open connection.
    Stalls(Vec<u8>),
    /// Waits for a permit of the gate, then answers.
    After(Arc<Semaphore>, Vec<u8>),
}

impl Says {
    /// Closes without a word.
    pub fn nothing() -> Self {
        Self::Breaks(Vec::new())
    }

    /// An answer with a body of JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::Bytes(http(status, &[], body.to_string().as_bytes()))
    }

    /// An answer with a body of any text.
    pub fn text(status: u16, body: &str) -> Self {
        Self::Bytes(http(status, &[], body.as_bytes()))
    }

    /// The same answer with one header more.
    pub fn with(self, name: &str, value: &str) -> Self {
        let Self::Bytes(bytes) = self else {
            panic!("only a whole answer takes another header");
        };
        let line_end = bytes.windows(2).position(|it| it == b"\r\n").unwrap() + 2;
        let header = format!("{name}: {value}\r\n");
        Self::Bytes([&bytes[..line_end], header.as_bytes(), &bytes[line_end..]].concat())
    }
}

/// The bytes of an answer.
pub fn http(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Said\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The first line without the version, such as `GET /v1/me`.
    pub line: String,
    /// Names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// To its end.
    pub body: String,
    /// Counted from 1.
    pub connection: usize,
}

impl Seen {
    /// Every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(it, _)| it == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The names of its headers, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.headers.iter().map(|(it, _)| it.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The request as one text, to be searched for what must not be in it.
    pub fn whole(&self) -> String {
        format!("{self:?}")
    }
}

type Script = dyn Fn(&Seen) -> Says + Send + Sync;

#[derive(Clone, Debug, Default)]
struct Log {
    seen: Vec<Seen>,
    connections: usize,
    closed: usize,
    in_flight: usize,
    most_in_flight: usize,
}

/// A running server; it ends with its test's runtime.
pub struct Server {
    pub address: SocketAddr,
    log: Arc<watch::Sender<Log>>,
}

impl Server {
    /// Answers each request with what the script says of it.
    pub async fn start(script: impl Fn(&Seen) -> Says + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(watch::Sender::new(Log::default()));
        let script: Arc<Script> = Arc::new(script);
        tokio::spawn({
            let log = Arc::clone(&log);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    log.send_modify(|log| log.connections += 1);
                    let number = log.borrow().connections;
                    let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                    tokio::spawn(async move {
                        serve(stream, number, &log, &*script).await;
                        log.send_modify(|log| log.closed += 1);
                    });
                }
            }
        });
        Self { address, log }
    }

    /// Gives these answers in order; a request beyond them shows as a status that nobody
    /// documents.
    pub async fn scripted(answers: impl IntoIterator<Item = Says>) -> Self {
        let answers: Mutex<VecDeque<Says>> = Mutex::new(answers.into_iter().collect());
        Self::start(move |_| {
            let next = answers.lock().unwrap().pop_front();
            next.unwrap_or_else(|| Says::text(599, "beyond the script"))
        })
        .await
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.borrow().seen.clone()
    }

    /// The first lines of every request so far.
    pub fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    /// The one request that came.
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.swap_remove(0)
    }

    pub fn connections(&self) -> usize {
        self.log.borrow().connections
    }

    /// The most requests that waited for an answer at one time.
    pub fn most_in_flight(&self) -> usize {
        self.log.borrow().most_in_flight
    }

    /// Waits until so many requests have come.
    pub async fn has_seen(&self, count: usize) {
        self.until(|log| log.seen.len() >= count).await;
    }

    /// Waits until so many connections have ended.
    pub async fn has_closed(&self, count: usize) {
        self.until(|log| log.closed >= count).await;
    }

    async fn until(&self, mut reached: impl FnMut(&Log) -> bool) {
        let mut log = self.log.subscribe();
        log.wait_for(|log| reached(log)).await.unwrap();
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    log: &watch::Sender<Log>,
    script: &Script,
) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer, connection).await {
        let says = script(&seen);
        log.send_modify(|log| {
            log.seen.push(seen);
            log.in_flight += 1;
            log.most_in_flight = log.most_in_flight.max(log.in_flight);
        });
        if let Says::After(gate, _) = &says {
            gate.acquire().await.unwrap().forget();
        }
        log.send_modify(|log| log.in_flight -= 1);
        // A client that gave up is no fault of the server's.
        let goes_on = match says {
            Says::Bytes(bytes) | Says::After(_, bytes) => stream.write_all(&bytes).await.is_ok(),
            Says::Breaks(bytes) => {
                let _ = stream.write_all(&bytes).await;
                false
            }
            Says::Drips(bytes) => {
                for byte in bytes {
                    let _ = stream.write_all(&[byte]).await;
                    tokio::task::yield_now().await;
                }
                true
            }
            Says::Stalls(bytes) => {
                let _ = stream.write_all(&bytes).await;
                // Ends once the client has closed.
                let _ = stream.read(&mut [0; 64]).await;
                false
            }
        };
        if !goes_on {
            return;
        }
    }
}

/// One request; none once the connection has ended.
async fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    connection: usize,
) -> Option<Seen> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|it| it == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().strip_suffix(" HTTP/1.1").unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    let end = head_end + 4 + length;
    while buffer.len() < end {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(buffer[head_end + 4..end].to_vec()).unwrap();
    let line = line.to_owned();
    buffer.drain(..end);
    Some(Seen {
        line,
        headers,
        body,
        connection,
    })
}
