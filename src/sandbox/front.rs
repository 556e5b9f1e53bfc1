//! Where every request to a provider comes in: it is counted and logged, meets its fault if
//! one waits for it, and is answered.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};

use super::faults::{Fault, Faults};
use super::kajabi::Kajabi;
use super::lotus::{self, Lotus};
use super::misbehave;
use super::requests::RequestLog;
use super::revere::Revere;
use super::seeds::Seeds;
use super::settings::Settings;
use super::store::{Record, Truth, lock};
use super::wire::{Answer, Ask, Call, Manner, Operation, Provider, Stamp};
use crate::clock::Clock;

/// The longest request body that is read; the providers' own limits are undocumented.
const LONGEST_BODY: usize = 1024 * 1024;

/// The three providers and what surrounds them.
pub(super) struct Front {
    clock: Arc<dyn Clock>,
    seeds: Seeds,
    pub kajabi: Kajabi,
    pub revere: Revere,
    pub lotus: Lotus,
    pub faults: Faults,
    pub requests: RequestLog,
    settings: RwLock<Settings>,
    late: Mutex<Vec<Late>>,
}

/// A request whose effect is still to come.
struct Late {
    due: Stamp,
    provider: Provider,
    ask: Ask,
}

impl Front {
    pub fn new(clock: Arc<dyn Clock>, seeds: Seeds) -> Self {
        let front = Self {
            clock,
            seeds,
            kajabi: Kajabi::default(),
            revere: Revere::default(),
            lotus: Lotus::default(),
            faults: Faults::default(),
            requests: RequestLog::default(),
            settings: RwLock::default(),
            late: Mutex::default(),
        };
        front.load(&front.seeds);
        front
    }

    /// By both clocks.
    pub fn now(&self) -> Stamp {
        Stamp {
            wall: self.clock.now(),
            boot: self.clock.since_boot(),
        }
    }

    pub fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, settings: Settings) {
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// Adds subscriptions; a known id is replaced.
    pub fn load(&self, seeds: &Seeds) {
        let now = self.now().wall;
        seeds.load(&self.kajabi, &self.revere, &self.lotus, now);
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> usize {
        self.kajabi.purchases.len()
            + self.revere.subscriptions.len()
            + self.lotus.subscriptions.len()
    }

    /// Takes every subscription away, and every effect still to come.
    pub fn empty(&self) {
        lock(&self.late).clear();
        self.kajabi.purchases.clear();
        self.revere.subscriptions.clear();
        self.lotus.subscriptions.clear();
    }

    /// As it was when it started.
    pub fn reset(&self) {
        self.empty();
        self.faults.clear();
        self.requests.clear();
        self.kajabi.forget_tokens();
        self.set(Settings::default());
        self.load(&self.seeds);
    }

    /// Shows what is true of every subscription, or of every one at a provider.
    pub fn truths(&self, provider: Option<Provider>, mut show: impl FnMut(Truth)) {
        self.settle_late();
        let now = self.now().wall;
        let wanted = |it| provider.is_none_or(|provider| provider == it);
        if wanted(Provider::Kajabi) {
            self.kajabi.purchases.each_from(0, |it| {
                show(it.truth(now));
                true
            });
        }
        if wanted(Provider::Revere) {
            self.revere.subscriptions.each_from(0, |it| {
                show(it.truth(now));
                true
            });
        }
        if wanted(Provider::Lotus) {
            self.lotus.subscriptions.each_from(0, |it| {
                show(it.truth(now));
                true
            });
        }
    }

    /// What is true of the subscription of an id, in any spelling Lotus takes; of several
    /// if providers share the id.
    pub fn truths_of(&self, provider: Option<Provider>, id: &str) -> Vec<Truth> {
        self.settle_late();
        let now = self.now().wall;
        let look = |provider| match provider {
            Provider::Kajabi => self.kajabi.purchases.with(id, |it| it.truth(now)),
            Provider::Revere => self.revere.subscriptions.with(id, |it| it.truth(now)),
            Provider::Lotus => {
                let hex = lotus::normal(id)?;
                self.lotus.subscriptions.with(&hex, |it| it.truth(now))
            }
        };
        let wanted = |it: &Provider| provider.is_none_or(|provider| provider == *it);
        let providers = Provider::ALL.into_iter().filter(wanted);
        providers.filter_map(look).collect()
    }

    /// Does what a request asks, and answers it.
    ///
    /// A cancel at Lotus takes a while between its check and its effect. It goes on in a
    /// task of its own, so that a client that goes away does not stop it half way.
    pub async fn perform(
        self: &Arc<Self>,
        provider: Provider,
        ask: &Ask,
        call: &Call,
        manner: Manner,
    ) -> Answer {
        let takes = Duration::from_millis(self.settings().lotus_cancel_takes_ms);
        let slow = provider == Provider::Lotus
            && call.operation == Operation::Cancel
            && manner == Manner::Truly
            && !takes.is_zero();
        let live = |id: &str| self.lotus.is_live(id, self.now().wall);
        if !slow || !call.id.as_deref().is_some_and(live) {
            return self.answer(provider, ask, self.now(), manner);
        }
        let front = Arc::clone(self);
        let ask = ask.clone();
        let goes_on = tokio::spawn(async move {
            tokio::time::sleep(takes).await;
            front.answer(provider, &ask, front.now(), Manner::AlreadyChecked)
        });
        let answer = goes_on.await;
        answer.unwrap_or_else(|_| Answer::empty(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// Puts off what a request asks; nobody waits for the answer any more.
    pub fn carry_out_later(&self, later: Duration, provider: Provider, ask: Ask) {
        let now = self.now();
        let due = Stamp {
            wall: now.wall + later,
            boot: now.boot + later,
        };
        lock(&self.late).push(Late { due, provider, ask });
    }

    /// Does what is due of what was put off. It happens before anything else is looked at,
    /// as of the time it was due, so that nobody can tell that it had not happened then.
    pub fn settle_late(&self) {
        let now = self.now().boot;
        let mut late = lock(&self.late);
        if late.is_empty() {
            return;
        }
        let (mut due, rest): (Vec<Late>, Vec<Late>) =
            late.drain(..).partition(|it| it.due.boot <= now);
        *late = rest;
        drop(late);
        due.sort_by_key(|it| it.due.boot);
        for Late { due, provider, ask } in due {
            self.answer(provider, &ask, due, Manner::Truly);
        }
    }

    fn answer(&self, provider: Provider, ask: &Ask, now: Stamp, manner: Manner) -> Answer {
        let settings = self.settings();
        match provider {
            Provider::Kajabi => self.kajabi.answer(ask, now.wall, manner, &settings),
            Provider::Revere => self.revere.answer(ask, now.wall, manner, &settings),
            Provider::Lotus => self.lotus.answer(ask, now.wall, manner),
        }
    }

    fn note(&self, provider: Provider, call: &Call) {
        let Some(id) = &call.id else { return };
        match provider {
            Provider::Kajabi => self.kajabi.purchases.note(id, call.operation),
            Provider::Revere => self.revere.subscriptions.note(id, call.operation),
            Provider::Lotus => self.lotus.subscriptions.note(id, call.operation),
        }
    }
}

/// Takes a request to any provider.
pub(super) async fn take(
    State(front): State<Arc<Front>>,
    request: Request<Body>,
) -> Response<Body> {
    let response = respond(&front, request, None).await;
    let latency = Duration::from_millis(front.settings().latency_ms);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    response
}

/// Answers a request: with the fault given, else with the one that waits for it, else truly.
pub(super) async fn respond(
    front: &Arc<Front>,
    request: Request<Body>,
    given: Option<Fault>,
) -> Response<Body> {
    let Some((provider, ask)) = read(front, request).await else {
        return Answer::empty(StatusCode::PAYLOAD_TOO_LARGE).dated(front.now().wall);
    };
    let call = match provider {
        Provider::Kajabi => Kajabi::call(&ask),
        Provider::Revere => Revere::call(&ask),
        Provider::Lotus => Lotus::call(&ask),
    };
    front.settle_late();
    front.note(provider, &call);
    let fault = given.or_else(|| front.faults.take(provider, &call));
    let number = fault.as_ref().map(|fault| fault.number);
    front.requests.push(provider, &ask, &call, number);
    match fault {
        None => {
            let answer = front.perform(provider, &ask, &call, Manner::Truly).await;
            answer.dated(front.now().wall)
        }
        Some(fault) => misbehave::respond(front, fault, provider, &ask, &call).await,
    }
}

/// Reads a request whole; none if it is too large or its connection breaks.
async fn read(front: &Front, request: Request<Body>) -> Option<(Provider, Ask)> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let provider = Provider::ALL
        .into_iter()
        .find(|it| under(path, *it).is_some())?;
    let ask = Ask {
        method: parts.method,
        path: under(path, provider).unwrap_or("/").to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: axum::body::to_bytes(body, LONGEST_BODY).await.ok()?,
        arrived: front.now(),
    };
    Some((provider, ask))
}

/// The path beneath a provider's prefix.
fn under(path: &str, provider: Provider) -> Option<&str> {
    let rest = path.strip_prefix('/')?.strip_prefix(provider.as_str())?;
    match rest {
        "" => Some("/"),
        rest if rest.starts_with('/') => Some(rest),
        _ => None,
    }
}
