//! The three providers' HTTP APIs, in memory, on one loopback port: for trying and for tests.
//!
//! Built from the providers' documents alone. It shares no code with the adapters in
//! `provider`, so that each checks the other: a misreading has to be made twice to pass.
//!
//! - `kajabi`, `revere`, `lotus`: each a function from a request to an answer.
//! - `store`: their subscriptions, and what is true of them whatever an API says.
//! - `front`: where requests come in, are counted, and meet their fault.
//! - `faults`, `misbehave`, `bodies`: what shall go wrong, and how that looks on the wire.
//! - `unwired`: the same without a socket.
//! - `control`: `/sandbox`, to seed it, to read the truth, to make it misbehave.

pub mod cast;

mod bodies;
mod control;
mod faults;
mod front;
mod kajabi;
mod lotus;
mod misbehave;
mod moment;
mod reading;
mod requests;
mod revere;
mod seeds;
mod server;
mod settings;
mod store;
pub mod unwired;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use front::Front;
pub use seeds::Seeds;
pub use wire::Provider;

/// A running sandbox. It stops when it is dropped.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    stop: DropGuard,
    connections: TaskTracker,
    accepting: JoinHandle<()>,
}

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urls {
    /// `base_url` of Kajabi; its paths begin with `/v1`.
    pub kajabi: String,
    /// `base_url` of Revere; its paths begin with `/api/v1`.
    pub revere: String,
    /// `base_url` of Lotus; its paths begin with `/api`.
    pub lotus: String,
    /// The control API, with its final slash.
    pub control: String,
}

impl Sandbox {
    /// Listens on an address (port 0 for any that is free) and serves on the current runtime.
    ///
    /// # Errors
    ///
    /// If the address cannot be listened on.
    pub async fn start(addr: SocketAddr, clock: Arc<dyn Clock>, seeds: Seeds) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let address = listener.local_addr()?;
        let router = control::router(Arc::new(Front::new(clock, seeds)));
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        let serving = server::serve(listener, router, stop.clone(), connections.clone());
        Ok(Self {
            address,
            stop: stop.drop_guard(),
            connections,
            accepting: tokio::spawn(serving),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where everything is.
    pub fn urls(&self) -> Urls {
        let base = format!("http://{}", self.address);
        Urls {
            kajabi: format!("{base}/kajabi"),
            revere: format!("{base}/revere"),
            lotus: format!("{base}/lotus"),
            control: format!("{base}/sandbox/"),
        }
    }

    /// Closes the port and every connection, and waits until they are closed.
    pub async fn stop(self) {
        let Self {
            stop,
            connections,
            accepting,
            ..
        } = self;
        drop(stop);
        // It ends by itself now; that it might have panicked does not matter any more.
        let _ = accepting.await;
        connections.close();
        connections.wait().await;
    }
}
