//! A proxy between the daemon and the sandbox that does with each request what a test says:
//! passes it on, cuts it, holds it, is late. It speaks plain HTTP, one request per connection.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::support::{Home, until};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1;

/// Between the daemon and one sandbox.
pub struct Proxy {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    closed: AtomicBool,
    /// Nothing is accepted while it is shut.
    door: Gate,
    /// Connections that came from elsewhere than the tests themselves.
    accepted: AtomicUsize,
    /// Their own, by the ports they come from.
    own: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Does what `act` says with each request.
    pub fn start(home: &Home, act: impl Fn(Exchange) + Send + Sync + 'static) -> Self {
        let listener = narrow();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            closed: AtomicBool::new(false),
            door: Gate::opened(),
            accepted: AtomicUsize::new(0),
            own: Mutex::default(),
        });
        let to = home.sandbox();
        let (kept, act) = (Arc::clone(&inner), Arc::new(act));
        std::thread::spawn(move || {
            while let Ok((client, from)) = listener.accept() {
                if kept.closed.load(Ordering::SeqCst) {
                    return;
                }
                let is_own = |it: &TcpStream| it.local_addr().is_ok_and(|own| own == from);
                if !kept.own.lock().unwrap().iter().any(is_own) {
                    kept.accepted.fetch_add(1, Ordering::SeqCst);
                }
                let act = Arc::clone(&act);
                std::thread::spawn(move || {
                    if let Some(exchange) = Exchange::read(client, to) {
                        act(exchange);
                    }
                });
                kept.door.pass();
            }
        });
        Self { address, inner }
    }

    /// The text, with the provider of this prefix behind the proxy.
    pub fn before(&self, home: &Home, provider: &str, text: &str) -> String {
        let changed = text.replace(
            &format!("{}/{provider}", home.sandbox()),
            &format!("{}/{provider}", self.address),
        );
        assert_ne!(changed, text, "{provider} is in the text");
        changed
    }

    /// The text, with every provider behind the proxy.
    pub fn before_all(&self, home: &Home, text: &str) -> String {
        text.replace(&home.sandbox().to_string(), &self.address.to_string())
    }

    /// A hand that shuts the door.
    pub fn hand(&self) -> Hand {
        Hand {
            address: self.address,
            inner: Arc::clone(&self.inner),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        self.inner.door.open();
        let _ = TcpStream::connect(self.address);
    }
}

/// Keeps new connections from being made, so that whoever connects waits.
#[derive(Clone)]
pub struct Hand {
    address: SocketAddr,
    inner: Arc<Inner>,
}

impl Hand {
    /// From now on no new connection is made: as many as may wait for it stand at the door.
    pub fn shut(&self) {
        self.inner.door.shut();
        // The first is still taken in, the others fill what there is to wait in.
        for _ in 0..BACKLOG + 2 {
            let own = TcpStream::connect(self.address).unwrap();
            self.inner.own.lock().unwrap().push(own);
        }
    }

    /// Whether nobody comes in.
    pub fn is_shut(&self) -> bool {
        TcpStream::connect_timeout(&self.address, Duration::from_millis(300)).is_err()
    }

    /// Whoever waits may come in.
    pub fn open(&self) {
        self.inner.door.open();
    }

    pub fn accepted(&self) -> usize {
        self.inner.accepted.load(Ordering::SeqCst)
    }
}

/// A listener at which few may wait.
fn narrow() -> TcpListener {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        socket.listen(BACKLOG).unwrap().into_std().unwrap()
    });
    listener.set_nonblocking(false).unwrap();
    listener
}

/// One request of the daemon. Dropped without an answer, its connection is closed.
pub struct Exchange {
    pub method: String,
    pub path: String,
    raw: Vec<u8>,
    client: TcpStream,
    to: SocketAddr,
}

impl Exchange {
    fn read(mut client: TcpStream, to: SocketAddr) -> Option<Self> {
        let mut raw = Vec::new();
        let head_ends = loop {
            if let Some(at) = raw.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            let mut some = [0; 4096];
            match client.read(&mut some) {
                Ok(0) | Err(_) => return None,
                Ok(count) => raw.extend_from_slice(&some[..count]),
            }
        };
        let head = String::from_utf8_lossy(&raw[..head_ends]).into_owned();
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(0, |(_, value)| value.trim().parse().unwrap());
        let missing = (head_ends + length).saturating_sub(raw.len());
        let mut rest = vec![0; missing];
        client.read_exact(&mut rest).ok()?;
        raw.extend(rest);
        let mut words = head.split(' ');
        Some(Self {
            method: words.next()?.to_owned(),
            path: words.next()?.to_owned(),
            raw,
            client,
            to,
        })
    }

    /// Whether it asks for a cancellation.
    pub fn is_write(&self) -> bool {
        self.method != "GET" && !self.path.contains("token")
    }

    /// Hands it to the sandbox and gives the whole answer.
    pub fn forward(&self) -> Vec<u8> {
        let mut sandbox = TcpStream::connect(self.to).unwrap();
        let line_ends = self.raw.windows(2).position(|it| it == b"\r\n").unwrap() + 2;
        let (line, rest) = self.raw.split_at(line_ends);
        let asked = [line, b"connection: close\r\n", rest].concat();
        sandbox.write_all(&asked).unwrap();
        let mut answer = Vec::new();
        sandbox.read_to_end(&mut answer).unwrap();
        answer
    }

    /// Hands back these bytes, whether or not anybody still waits for them.
    pub fn answer(&mut self, bytes: &[u8]) {
        let _ = self.client.write_all(bytes);
        let _ = self.client.shutdown(Shutdown::Write);
    }

    /// Passes it on as it is.
    pub fn pass(mut self) {
        let answer = self.forward();
        self.answer(&answer);
    }

    /// Waits until the daemon has given up.
    pub fn until_given_up(&mut self) {
        let mut byte = [0];
        let _ = self.client.read(&mut byte);
    }
}

/// Holds whoever comes until it is opened.
#[derive(Clone)]
pub struct Gate(Arc<(Mutex<Held>, Condvar)>);

struct Held {
    open: bool,
    came: usize,
}

impl Gate {
    pub fn shut_at_first() -> Self {
        Self::new(false)
    }

    fn opened() -> Self {
        Self::new(true)
    }

    fn new(open: bool) -> Self {
        Self(Arc::new((
            Mutex::new(Held { open, came: 0 }),
            Condvar::new(),
        )))
    }

    /// Waits here until it is open.
    pub fn pass(&self) {
        let (held, changed) = &*self.0;
        let mut held = held.lock().unwrap();
        held.came += 1;
        while !held.open {
            held = changed.wait(held).unwrap();
        }
    }

    pub fn open(&self) {
        self.set(true);
    }

    fn shut(&self) {
        self.set(false);
    }

    fn set(&self, open: bool) {
        let (held, changed) = &*self.0;
        held.lock().unwrap().open = open;
        changed.notify_all();
    }

    /// How many have come so far.
    pub fn came(&self) -> usize {
        self.0.0.lock().unwrap().came
    }

    pub fn until_came(&self, count: usize) {
        until("they have come to the gate", || self.came() >= count);
    }
}
