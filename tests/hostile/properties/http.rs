//! The HTTP port, of any bytes on a connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lapsed::clock::ManualClock;
use lapsed::http::server::{Bounds, bind, serve_within};
use lapsed::http::{App, Surface, Tokens};
use lapsed::metrics::Metrics;
use lapsed::reconcile::live::{InForce, Live};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{HEAD, MAIN, judge};
use shelf::Shelf;

#[allow(
    clippy::duplicate_mod,
    reason = "the fuzz targets are a crate of their own, which has no other"
)]
#[path = "../../http/shelf.rs"]
pub mod shelf;

/// What the shelf asks of whoever sets it up.
fn at(seconds: i64) -> chrono::DateTime<chrono::Utc> {
    super::provider::now() + chrono::TimeDelta::seconds(seconds)
}

/// The same.
fn name(text: &str) -> lapsed::model::ids::ProviderName {
    lapsed::model::ids::ProviderName::parse(text).expect("a name")
}

/// The token for commands: a corpus may have it.
pub const ADMIN: &str = "admin-token-of-the-test";

/// The token for reading: nothing that is answered may have it.
const READ: &str = "read-token-of-the-test";

/// Turns that the server is given before the connection is said to be over.
const TURNS: usize = 64;

/// A port, and what stands behind it.
struct Port {
    runtime: Runtime,
    address: SocketAddr,
    shelf: Arc<Shelf>,
}

impl Port {
    fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let shelf = Arc::new(Shelf::default());
        let clock = Arc::new(ManualClock::at(super::provider::now()));
        let live = Arc::new(Live::default());
        let text = format!("{HEAD}allowed_hosts: [lapsed.example.com]\ncancellations: []\n");
        let manifest = judge(&[(MAIN, text.as_bytes())]).expect("a valid file");
        live.in_force.store(Some(Arc::new(InForce {
            config: Arc::new(manifest.config),
            number: 1,
            digest: "0".repeat(32),
            items: 0,
            accepted_at: super::provider::now(),
        })));
        let metrics = Arc::new(Metrics::new("0", "test"));
        let app = Arc::new(App::new(shelf.clone(), clock, metrics, live));
        app.set_tokens(Tokens {
            admin: Some(ADMIN.into()),
            read: Some(READ.into()),
        });
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let address = runtime.block_on(async {
            let listener = bind(any).await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let stop = CancellationToken::new();
            let bounds = Bounds {
                connections: 16,
                head: Duration::from_secs(20),
                request: Duration::from_secs(20),
                connection: Duration::from_secs(60),
            };
            tokio::spawn(serve_within(bounds, listener, app, Surface::All, stop));
            address
        });
        Self {
            runtime,
            address,
            shelf,
        }
    }

    /// Sends these bytes, and gives what comes until the end.
    fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        self.runtime.block_on(async {
            let mut stream = TcpStream::connect(self.address)
                .await
                .expect("a connection");
            let mut answer = Vec::new();
            // The server may have hung up in the middle: then the answer says why.
            let _ = stream.write_all(bytes).await;
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
                let mut some = [0; 4_096];
                match stream.try_read(&mut some) {
                    Ok(0) => break,
                    Ok(read) => answer.extend_from_slice(&some[..read]),
                    Err(_) => {}
                }
            }
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut answer).await;
            answer
        })
    }
}

std::thread_local! {
    static PORT: Port = Port::open();
}

/// Whatever is asked is answered in HTTP or not at all; nothing panics, no secret is told, and
/// nothing is asked of the daemon without the token.
pub fn hold(data: &[u8]) {
    PORT.with(|port| {
        port.shelf.posted.lock().expect("no panic").clear();
        let answer = port.ask(data);
        let text = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1."),
            "{text}"
        );
        // What catches panics answers so.
        assert!(!text.contains("HTTP/1.1 500"), "{text}");
        assert!(!text.contains(READ), "{text}");
        let asked = String::from_utf8_lossy(data);
        assert!(!text.contains(ADMIN) || asked.contains(ADMIN), "{text}");
        let posted = port.shelf.posted.lock().expect("no panic").len();
        assert!(posted == 0 || asked.contains(ADMIN), "{posted} commands");
    });
}
