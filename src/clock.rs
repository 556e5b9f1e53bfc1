//! `Clock`, the only reader of wall time, and of the time since boot.
//!
//! Two clocks witness every send: wall time, which somebody may set, and the time since
//! boot, which goes on while the machine sleeps and which nobody can set.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Wall time.
    fn now(&self) -> DateTime<Utc>;
    /// The time since boot; goes on while the machine sleeps.
    fn since_boot(&self) -> Duration;
    /// Which boot [`Clock::since_boot`] counts from.
    fn boot_id(&self) -> String;
    /// Waits so long, by no clock that anybody can set.
    fn sleep(&self, for_: Duration) -> Sleep;
}

/// A time that passes.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The machine's own clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    boot_id: String,
}

impl SystemClock {
    /// Reads which boot this is, once.
    pub fn new() -> Self {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|text| text.trim().to_owned())
            .unwrap_or_else(|_| "unknown".to_owned());
        Self { boot_id }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads wall time"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn since_boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or_default(),
            u32::try_from(time.tv_nsec).unwrap_or_default(),
        )
    }

    fn boot_id(&self) -> String {
        self.boot_id.clone()
    }

    fn sleep(&self, for_: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(for_))
    }
}

/// Measures how long something takes, for metrics; decides nothing.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads it")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that a test or a simulation sets.
#[derive(Debug)]
pub struct ManualClock {
    time: Mutex<(DateTime<Utc>, Duration)>,
}

impl ManualClock {
    /// Begins at an instant.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self {
            time: Mutex::new((now, Duration::from_secs(1_000))),
        }
    }

    /// Lets both clocks go on.
    pub fn advance(&self, by: Duration) {
        let mut time = self.lock();
        time.0 += by;
        time.1 += by;
    }

    /// Sets wall time alone, as an administrator or NTP would.
    pub fn set_wall(&self, now: DateTime<Utc>) {
        self.lock().0 = now;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (DateTime<Utc>, Duration)> {
        self.time
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        self.lock().0
    }

    fn since_boot(&self) -> Duration {
        self.lock().1
    }

    fn boot_id(&self) -> String {
        "manual".to_owned()
    }

    /// Whoever waits finds that the time has gone by.
    fn sleep(&self, for_: Duration) -> Sleep {
        self.advance(for_);
        Box::pin(std::future::ready(()))
    }
}
