//! The sandbox without a socket: a request in, an answer out. For a simulation, in which one
//! thread decides when a request arrives, what becomes of it, and what time it is.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::faults::Fault;
use super::front::{self, Front};
use super::misbehave::HangUp;
use super::seeds::Seeds;
use super::settings::Settings;
use super::store;
use super::wire::Provider;
use crate::clock::Clock;

/// The three providers, in memory.
#[derive(Clone)]
pub struct Unwired {
    front: Arc<Front>,
}

/// Something that goes wrong with one request.
#[derive(Clone, Debug)]
pub struct Mishap(Fault);

/// What is true of a subscription, whatever its API says.
#[derive(Clone, Debug)]
pub struct Truth {
    /// Whether it would bill again.
    pub live: bool,
    /// Since when not, if that is known.
    pub ended_at: Option<DateTime<Utc>>,
    /// Cancels that changed something or billed since it was seeded.
    pub cancels_effective: u32,
    /// Other writes that changed something.
    pub updates_effective: u32,
    /// What only this provider knows.
    pub detail: Value,
}

impl Mishap {
    /// Reads one as `POST /sandbox/faults` takes it.
    ///
    /// # Errors
    /// Every problem, in words.
    pub fn parse(json: &Value) -> Result<Self, Vec<String>> {
        let mut faults = Fault::parse(json)?;
        match (faults.pop(), faults.is_empty()) {
            (Some(fault), true) => Ok(Self(fault)),
            _ => Err(vec!["write one fault".to_owned()]),
        }
    }
}

impl Unwired {
    /// The providers, by a clock of their own.
    pub fn new(clock: Arc<dyn Clock>, seeds: Seeds) -> Self {
        let front = Front::new(clock, seeds);
        // What takes time takes it on a runtime's clock, which is not this one's.
        front.set(Settings {
            lotus_cancel_takes_ms: 0,
            ..Settings::default()
        });
        Self {
            front: Arc::new(front),
        }
    }

    /// Adds subscriptions; a known id is replaced, and counted from zero again.
    pub fn seed(&self, seeds: &Seeds) {
        self.front.load(seeds);
    }

    /// Does what a request asks and answers it, or what the mishap says; nothing where the
    /// connection is closed instead.
    pub async fn answer(
        &self,
        request: Request<Body>,
        mishap: Option<&Mishap>,
    ) -> Option<Response<Body>> {
        let fault = mishap.map(|mishap| mishap.0.clone());
        let response = front::respond(&self.front, request, fault).await;
        let hung_up = response.extensions().get::<HangUp>().is_some();
        (!hung_up).then_some(response)
    }

    /// What is true of a subscription now.
    pub fn truth(&self, provider: Provider, id: &str) -> Option<Truth> {
        let found = self.front.truths_of(Some(provider), id).pop()?;
        let store::Truth {
            live,
            ended_at,
            cancels_effective,
            updates_effective,
            detail,
            ..
        } = found;
        Some(Truth {
            live,
            ended_at,
            cancels_effective,
            updates_effective,
            detail,
        })
    }
}
