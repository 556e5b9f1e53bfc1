//! Accepts connections and bounds what each may take: their number, the time for a request's
//! head, for its answer and for a connection's whole life, and the size of all that is sent.
//!
//! axum's own `serve` hides these bounds, so hyper is driven directly.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{App, Edge, Surface};

/// The most bytes of a request's head, and of what is read ahead.
const LARGEST_HEAD: usize = 32 * 1024;

/// The most header fields.
const MOST_HEADERS: usize = 64;

/// How long accepting waits after it failed, for example because no file descriptor is left.
const AFTER_A_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// What a caller may take of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once; the next ones wait in the system's queue.
    pub connections: usize,
    /// For a request's head to arrive, and for the next one on an idle connection.
    pub head: Duration,
    /// For one request, its body and its answer.
    pub request: Duration,
    /// For a connection, however busy: a peer that never reads its answer ends here.
    pub connection: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 128,
            head: Duration::from_secs(10),
            request: Duration::from_secs(30),
            connection: Duration::from_secs(10 * 60),
        }
    }
}

/// Listens on an address.
///
/// # Errors
/// The address is taken, not ours, or not allowed.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until told to stop; then requests in flight are finished, each within its bounds.
///
/// # Errors
/// The listener does not tell its own address.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    surface: Surface,
    shutdown: CancellationToken,
) -> io::Result<()> {
    serve_within(Bounds::default(), listener, app, surface, shutdown).await
}

/// [`serve`], within other bounds.
///
/// # Errors
/// The listener does not tell its own address.
pub async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    app: Arc<App>,
    surface: Surface,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let edge = Edge {
        app,
        loopback: listener.local_addr()?.ip().to_canonical().is_loopback(),
        shutdown: shutdown.clone(),
    };
    let router = super::router(edge, surface, bounds.request);
    let connections = TaskTracker::new();
    let stopped = shutdown.cancelled();
    tokio::select! {
        () = stopped => {}
        never = accept(bounds, &listener, &router, &connections, &shutdown) => match never {},
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn accept(
    bounds: Bounds,
    listener: &TcpListener,
    router: &Router,
    connections: &TaskTracker,
    shutdown: &CancellationToken,
) -> Infallible {
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(AFTER_A_FAILED_ACCEPT).await;
                continue;
            }
        };
        let (router, shutdown) = (router.clone(), shutdown.clone());
        connections.spawn(async move {
            let _place = place;
            if let Err(error) = converse(bounds, stream, router, &shutdown).await {
                // What a peer does wrong is its own affair, and no incident of ours.
                tracing::debug!(%error, %peer, "a connection ended early");
            }
        });
    }
}

/// Serves one connection to its end.
async fn converse(
    bounds: Bounds,
    stream: TcpStream,
    router: Router,
    shutdown: &CancellationToken,
) -> hyper::Result<()> {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(bounds.connection) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::time::timeout(bounds.request, connection)
        .await
        .unwrap_or(Ok(()))
}
