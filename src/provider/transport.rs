//! Sends one request: no redirect followed, nothing repeated, nothing read without an end.
//!
//! The read half can send GET and the token request alone; the write half sends what an
//! intent allows, after a last look at both clocks once it is connected. Both share one
//! [`Throttle`].

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Method, Request, Response, Url};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

use super::words::{self, Secrets};
use super::{Admission, ConnectError, LookError, Meter, Setup, Way};
use crate::clock::{Clock, Stopwatch};
use crate::config::RateLimit;
use crate::model::act::Answer;
use crate::planted::planted;

/// More of an answer than this is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Largest {
    /// An object, or a page of a list.
    Page,
    /// A list that its provider gives in one answer, however long it is. Lotus puts every
    /// invoice of every customer into it.
    WholeList,
}

impl Largest {
    const fn bytes(self) -> usize {
        match self {
            Self::Page => 1 << 20,
            Self::WholeList => 32 << 20,
        }
    }
}

/// More headers than this are refused.
const MOST_HEADERS: usize = 100;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A burst may take what the rate allows in this time, since timers are no finer: at slow
/// rates it is one request, at fast ones the rate is exceeded by no more than a hundredth.
const BURST: Duration = Duration::from_millis(10);

/// The rate limit, the requests in flight and the provider's own pause.
pub struct Throttle {
    rate: RateLimiter<NotKeyed, InMemoryState, Boot, NoOpMiddleware<Duration>>,
    clock: Arc<dyn Clock>,
    in_flight: Semaphore,
    /// By the time since boot.
    paused_until: Mutex<Option<Duration>>,
    stop: CancellationToken,
}

/// The time since boot, as the rate limiter asks for it.
#[derive(Clone)]
struct Boot(Arc<dyn Clock>);

impl governor::clock::Clock for Boot {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.since_boot()
    }
}

impl Throttle {
    /// For one provider.
    pub fn new(rate: RateLimit, concurrency: u32, clock: Arc<dyn Clock>) -> Self {
        let requests = NonZeroU32::new(rate.requests).unwrap_or(NonZeroU32::MIN);
        let period = (rate.per / requests.get()).max(Duration::from_nanos(1));
        let burst = BURST.as_nanos() / period.as_nanos();
        let burst = u32::try_from(burst).ok().and_then(NonZeroU32::new);
        let quota = Quota::with_period(period)
            .expect("the period is not zero")
            .allow_burst(burst.unwrap_or(NonZeroU32::MIN));
        Self {
            rate: RateLimiter::direct_with_clock(quota, Boot(Arc::clone(&clock))),
            clock,
            in_flight: Semaphore::new(concurrency.max(1) as usize),
            paused_until: Mutex::new(None),
            stop: CancellationToken::new(),
        }
    }

    /// Lets no write begin any more once `stop` is cancelled.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// What is left of the provider's own pause.
    fn pause_left(&self) -> Option<Duration> {
        let until = (*self.lock())?;
        let left = until.saturating_sub(self.clock.since_boot());
        (!left.is_zero()).then_some(left)
    }

    fn pause(&self, for_: Duration) {
        let until = self.clock.since_boot() + for_;
        let mut paused = self.lock();
        *paused = Some(paused.map_or(until, |so_far| so_far.max(until)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<(), LookError> {
        match self.pause_left() {
            None => Ok(()),
            Some(left) => Err(LookError::Throttled {
                retry_after: left.max(Duration::from_secs(1)),
            }),
        }
    }

    /// Waits for the rate limit's turn.
    async fn turn(&self, meter: &dyn Meter) -> Result<(), LookError> {
        self.open()?;
        let began_at = self.clock.since_boot();
        while let Err(not_yet) = planted!(RateIgnored, Ok(()), self.rate.check()) {
            let wait = not_yet.wait_time_from(self.clock.since_boot());
            self.clock.sleep(wait).await;
        }
        let waited = self.clock.since_boot().saturating_sub(began_at);
        if !waited.is_zero() {
            meter.waited(waited);
        }
        self.open()
    }

    async fn place(&self) -> SemaphorePermit<'_> {
        self.in_flight
            .acquire()
            .await
            .expect("the semaphore is never closed")
    }
}

/// What came back, whole.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, to its end.
    pub body: Vec<u8>,
    /// When the request began, by our clock.
    pub began_at: DateTime<Utc>,
    /// The `Date` header.
    pub server_date: Option<DateTime<Utc>>,
    /// What `Retry-After` asks for, where the status is one that may carry it.
    pub retry_after: Duration,
    /// What the provider knows of us and must not be shown where the answer repeats it.
    pub secrets: Secrets,
}

impl Reply {
    /// Whether the answer was a redirect, which is not followed.
    pub(super) const fn redirects(&self) -> bool {
        self.status >= 300 && self.status < 400
    }

    /// The provider's own words, as far as they may be shown.
    pub(super) fn words(&self) -> String {
        words::of_body(&self.body, &self.secrets)
    }

    /// In words of ours, what came.
    pub(super) fn in_words(&self) -> String {
        if self.redirects() {
            format!(
                "the provider answered with a redirect ({}), which is not followed",
                self.status
            )
        } else {
            format!("the provider answered {}", self.status)
        }
    }
}

/// Why no whole answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lost {
    NoAnswer(NoAnswer),
    TooLarge(Largest),
}

/// Why no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// Certainly nothing was sent.
    NotConnected,
    /// None came in time.
    TimedOut,
    /// It broke off.
    Broken,
}

/// Carries one request to its provider, once, and what comes back.
pub trait Wire: Send + Sync {
    /// The request's answer, whose body may still be on its way.
    fn carry(&self, request: Request) -> BoxFuture<'_, Result<Response, NoAnswer>>;
}

/// The network.
impl Wire for Client {
    fn carry(&self, request: Request) -> BoxFuture<'_, Result<Response, NoAnswer>> {
        Box::pin(async move { self.execute(request).await.map_err(|error| lost(&error)) })
    }
}

impl Lost {
    const fn outcome(&self) -> &'static str {
        match self {
            Self::NoAnswer(NoAnswer::NotConnected) => "connect",
            Self::NoAnswer(NoAnswer::TimedOut) => "timeout",
            Self::NoAnswer(NoAnswer::Broken) | Self::TooLarge(_) => "broken",
        }
    }

    const fn in_words(&self) -> &'static str {
        match self {
            Self::NoAnswer(NoAnswer::NotConnected) => "no connection to the provider",
            Self::NoAnswer(NoAnswer::TimedOut) => "no answer in time",
            Self::NoAnswer(NoAnswer::Broken) => "the answer broke off",
            Self::TooLarge(Largest::Page) => "the answer has more than 1 MiB",
            Self::TooLarge(Largest::WholeList) => "the answer has more than 32 MiB",
        }
    }
}

/// What both halves have.
struct Line {
    wire: Arc<dyn Wire>,
    origin: Url,
    clock: Arc<dyn Clock>,
    meter: Arc<dyn Meter>,
    throttle: Arc<Throttle>,
    secrets: Mutex<Secrets>,
    /// Longer than the timeout, which may be late by a little, no answer was on its way.
    oldest: Duration,
}

impl Line {
    fn connect(
        setup: &Setup,
        tune: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, ConnectError> {
        let wire = match &setup.way {
            Way::Network => Arc::new(client(setup, tune)?),
            Way::Simulated(wire) => Arc::clone(wire),
        };
        Ok(Self {
            wire,
            origin: setup.config.base_url.clone(),
            clock: Arc::clone(&setup.clock),
            meter: Arc::clone(&setup.meter),
            throttle: Arc::clone(&setup.throttle),
            secrets: Mutex::new(Secrets::of(setup.credentials.secrets())),
            oldest: 2 * setup.config.timeout,
        })
    }

    /// What the provider knows of us once it has this request.
    fn known_after(&self, request: &Request) -> Secrets {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.learn(request.headers());
        secrets.clone()
    }

    /// Whether a request stays with its provider: a secret goes nowhere else.
    fn at_home(&self, request: &Request) -> bool {
        request.url().origin() == self.origin.origin()
    }

    async fn send(
        &self,
        request: Request,
        operation: &'static str,
        largest: Largest,
    ) -> Result<Reply, Lost> {
        let watch = Stopwatch::start();
        let began_at = self.clock.now();
        let result = self.exchange(request, began_at, largest).await;
        let outcome = match &result {
            Ok(reply) => class(reply.status),
            Err(lost) => lost.outcome(),
        };
        self.meter.request(operation, outcome, watch.elapsed());
        if let Ok(reply) = &result
            && matches!(reply.status, 429 | 503)
        {
            self.throttle.pause(reply.retry_after);
        }
        result
    }

    async fn exchange(
        &self,
        request: Request,
        began_at: DateTime<Utc>,
        largest: Largest,
    ) -> Result<Reply, Lost> {
        let secrets = self.known_after(&request);
        let mut response = self.wire.carry(request).await.map_err(Lost::NoAnswer)?;
        let status = response.status().as_u16();
        let server_date = header(response.headers(), DATE.as_str())
            .and_then(|text| httpdate::parse_http_date(text).ok())
            .map(DateTime::<Utc>::from);
        let retry_after = header(response.headers(), RETRY_AFTER.as_str());
        let retry_after = words::retry_after(retry_after, self.clock.now());
        let mut body = Vec::new();
        let broken = |error: reqwest::Error| Lost::NoAnswer(lost(&error));
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            let too_large = body.len() + chunk.len() > largest.bytes();
            if planted!(BodyUnbounded, false, too_large) {
                return Err(Lost::TooLarge(largest));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply {
            status,
            body,
            began_at,
            server_date,
            retry_after,
            secrets,
        })
    }
}

/// Builds a client. Nothing is taken from the environment.
fn client(
    setup: &Setup,
    tune: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<Client, ConnectError> {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        // Fails only where one is installed already, which then serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
    });
    let failed = |error: reqwest::Error| ConnectError {
        why: format!(
            "no connection to {} can be built: {error}",
            setup.config.name
        ),
    };
    let mut builder = Client::builder()
        .user_agent(concat!("lapsed/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .http1_max_headers(MOST_HEADERS)
        .connect_timeout(CONNECT_TIMEOUT.min(setup.config.timeout))
        .timeout(setup.config.timeout);
    if let Some(proxy) = &setup.config.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(failed)?);
    }
    if let Some(pem) = &setup.ca_pem {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(failed)?;
        if certificates.is_empty() {
            return Err(ConnectError {
                why: format!(
                    "the `ca` of {} holds no certificate in PEM",
                    setup.config.name
                ),
            });
        }
        builder = builder.tls_certs_merge(certificates);
    }
    tune(builder).build().map_err(failed)
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn lost(error: &reqwest::Error) -> NoAnswer {
    if error.is_connect() {
        NoAnswer::NotConnected
    } else if error.is_timeout() {
        NoAnswer::TimedOut
    } else {
        NoAnswer::Broken
    }
}

const fn class(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// Sends GET and the token request, and has no means to send anything else.
pub(super) struct ReadTransport {
    line: Line,
    skew: Mutex<Option<i64>>,
}

impl ReadTransport {
    pub(super) fn connect(setup: &Setup) -> Result<Self, ConnectError> {
        Ok(Self {
            line: Line::connect(setup, |builder| builder.gzip(true))?,
            skew: Mutex::new(None),
        })
    }

    /// Reads something. What comes back is an answer that a document may explain; 429, 503 and
    /// the loss of an answer are told as errors.
    pub(super) async fn get(
        &self,
        operation: &'static str,
        url: Url,
        headers: HeaderMap,
    ) -> Result<Reply, LookError> {
        self.get_up_to(Largest::Page, operation, url, headers).await
    }

    /// The same, where the answer may be a list that comes whole.
    pub(super) async fn get_up_to(
        &self,
        largest: Largest,
        operation: &'static str,
        url: Url,
        headers: HeaderMap,
    ) -> Result<Reply, LookError> {
        let mut request = Request::new(Method::GET, url);
        *request.headers_mut() = headers;
        self.send(request, operation, largest).await
    }

    /// Asks for a token, the one POST that a reader may send.
    pub(super) async fn token(&self, url: Url, form: &[(&str, &str)]) -> Result<Reply, LookError> {
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = Request::new(Method::POST, url);
        request.headers_mut().insert(
            reqwest::header::CONTENT_TYPE,
            reqwest::header::HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        *request.body_mut() = Some(body.into());
        self.send(request, "token", Largest::Page).await
    }

    async fn send(
        &self,
        request: Request,
        operation: &'static str,
        largest: Largest,
    ) -> Result<Reply, LookError> {
        let may_be_sent = request.method() == Method::GET || operation == "token";
        if !may_be_sent || !self.line.at_home(&request) {
            self.line.meter.blocked_write();
            return Err(unavailable("a reader tried to send what it must not"));
        }
        self.line.throttle.turn(&*self.line.meter).await?;
        let place = self.line.throttle.place().await;
        self.line.throttle.open()?;
        let began = self.line.clock.since_boot();
        let reply = self.line.send(request, operation, largest).await;
        drop(place);
        let reply = reply.map_err(|lost| unavailable(lost.in_words()))?;
        // A process that was stopped meanwhile finds the answer there: nobody knows any more of
        // which moment it tells.
        let old = self.line.clock.since_boot().saturating_sub(began) > self.line.oldest;
        if planted!(OldAnswerTaken, false, old) {
            return Err(unavailable(Lost::NoAnswer(NoAnswer::TimedOut).in_words()));
        }
        self.compare_clocks(&reply);
        if matches!(reply.status, 429 | 503) {
            return Err(LookError::Throttled {
                retry_after: reply.retry_after,
            });
        }
        Ok(reply)
    }

    /// Compares the provider's clock with ours in the middle of the exchange. `Date` has whole
    /// seconds, so that a difference of one means nothing.
    fn compare_clocks(&self, reply: &Reply) {
        let Some(theirs) = planted!(SkewIgnored, None, reply.server_date) else {
            return;
        };
        let ended_at = self.line.clock.now();
        let ours = reply.began_at + (ended_at - reply.began_at) / 2;
        let difference = (theirs - ours).num_seconds();
        let skew = if difference.abs() <= 1 { 0 } else { difference };
        *self.skew.lock().unwrap_or_else(PoisonError::into_inner) = Some(skew);
    }

    pub(super) fn clock_skew(&self) -> Option<i64> {
        *self.skew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.line.clock.now()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.line.clock
    }
}

/// Whether a write may still go out.
pub(super) type StillValid = Arc<dyn Fn() -> bool + Send + Sync>;

tokio::task_local! {
    /// Of the write that is being sent.
    static STILL_VALID: StillValid;
}

/// Lets a write go out over a new connection only if it is still valid by then: connecting
/// takes its time, and the process may be stopped meanwhile.
#[derive(Clone)]
struct LastCheck;

impl<S> Layer<S> for LastCheck {
    type Service = Checked<S>;

    fn layer(&self, connector: S) -> Checked<S> {
        Checked(connector)
    }
}

/// A connector whose connections are worth nothing once it is too late.
#[derive(Clone)]
struct Checked<S>(S);

/// Why a connection was given up before anything was written to it.
#[derive(Debug, thiserror::Error)]
#[error("connected too late")]
struct TooLate;

impl<S, To> Service<To> for Checked<S>
where
    S: Service<To, Error = Box<dyn std::error::Error + Send + Sync>>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, to: To) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async move {
            let connection = connecting.await?;
            match STILL_VALID.try_with(|still_valid| still_valid()) {
                Ok(true) => Ok(connection),
                Ok(false) | Err(_) => Err(TooLate.into()),
            }
        })
    }
}

/// Sends what an intent allows, once.
pub(super) struct WriteTransport {
    line: Line,
}

impl WriteTransport {
    pub(super) fn connect(setup: &Setup) -> Result<Self, ConnectError> {
        // A connection that idled may be dead, and a client that finds it so sends again.
        let fresh = |builder: ClientBuilder| {
            let alone = builder.pool_max_idle_per_host(0).http1_only();
            alone.connector_layer(LastCheck)
        };
        Ok(Self {
            line: Line::connect(setup, fresh)?,
        })
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.line.clock)
    }

    pub(super) async fn admit(&self) -> Result<Admission, LookError> {
        self.line.throttle.turn(&*self.line.meter).await?;
        Ok(Admission::granted())
    }

    /// Sends one request, unless its time has run out. The error is an answer too.
    pub(super) async fn send(
        &self,
        request: Request,
        still_valid: StillValid,
    ) -> Result<Reply, Answer> {
        let not_sent = |why: &str| Answer::NotSent {
            why: why.to_owned(),
        };
        if !self.line.at_home(&request) {
            return Err(not_sent("the request would leave its provider"));
        }
        let _place = self.line.throttle.place().await;
        if self.line.throttle.pause_left().is_some() {
            return Err(not_sent("the provider has asked for a pause"));
        }
        let stop = self.line.throttle.stop.clone();
        if stop.is_cancelled() {
            return Err(not_sent("lapsed was stopped while it waited for its turn"));
        }
        if !still_valid() {
            return Err(not_sent("its time to be sent had run out"));
        }
        let asked_last = Arc::clone(&still_valid);
        let asked_last: StillValid = Arc::new(move || !stop.is_cancelled() && asked_last());
        STILL_VALID
            .scope(asked_last, self.line.send(request, "cancel", Largest::Page))
            .await
            .map_err(|lost| match lost {
                Lost::NoAnswer(NoAnswer::NotConnected) if !still_valid() => {
                    not_sent("its time to be sent had run out before it was connected")
                }
                Lost::NoAnswer(NoAnswer::NotConnected) => not_sent(lost.in_words()),
                Lost::NoAnswer(NoAnswer::TimedOut | NoAnswer::Broken) | Lost::TooLarge(_) => {
                    Answer::Unclear {
                        why: lost.in_words().to_owned(),
                    }
                }
            })
    }
}

pub(super) fn unavailable(why: impl Into<String>) -> LookError {
    LookError::Unavailable { why: why.into() }
}

/// A reading's answer, where it is neither what was asked for nor its absence.
pub(super) fn read_error(reply: &Reply) -> LookError {
    match reply.status {
        401 | 403 => LookError::Credentials {
            why: format!("the provider answered {} ({})", reply.status, reply.words()),
        },
        _ => unavailable(reply.in_words()),
    }
}

/// A URL below a base, each part as one segment of its path.
pub(super) fn below<'p>(base: &Url, parts: impl IntoIterator<Item = &'p str>) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(parts);
    }
    url
}
