//! True time, which only the simulation lets go on, the clocks that tell it wrong, and the one
//! thread that runs everything.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use chrono::{DateTime, Utc};
use lapsed::clock::{Clock, Sleep};

/// When every history begins.
pub const BEGINS: &str = "2027-02-10T09:30:00Z";

/// True time: how long the history has gone on.
#[derive(Clone, Default)]
pub struct Universe(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    now: Duration,
    timers: Vec<(Duration, Waker)>,
}

impl Universe {
    /// Since the history began.
    pub fn now(&self) -> Duration {
        self.0.lock().unwrap().now
    }

    /// What a clock that is right shows.
    pub fn wall(&self) -> DateTime<Utc> {
        begins() + self.now()
    }

    /// Lets the time go on.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut inner = self.0.lock().unwrap();
            inner.now += by;
            let now = inner.now;
            let timers = std::mem::take(&mut inner.timers);
            let (due, rest): (Vec<_>, Vec<_>) = timers.into_iter().partition(|it| it.0 <= now);
            inner.timers = rest;
            due
        };
        for (_, waker) in due {
            waker.wake();
        }
    }

    /// Lets the time go on until then.
    pub fn advance_to(&self, to: Duration) {
        self.advance(to.saturating_sub(self.now()));
    }

    fn next_timer(&self) -> Option<Duration> {
        let inner = self.0.lock().unwrap();
        inner.timers.iter().map(|(at, _)| *at).min()
    }

    pub fn sleep(&self, for_: Duration) -> Sleep {
        let universe = self.clone();
        let until = self.now() + for_;
        Box::pin(std::future::poll_fn(move |cx| {
            let mut inner = universe.0.lock().unwrap();
            if inner.now >= until {
                return Poll::Ready(());
            }
            inner.timers.push((until, cx.waker().clone()));
            Poll::Pending
        }))
    }

    /// Runs something to its end, or until `dies` says that the process is dead: then nothing of
    /// it goes on. While everything waits, the time goes on to what comes first.
    ///
    /// # Panics
    /// Everything waits for something that will never come.
    pub fn run<T>(
        &self,
        work: impl Future<Output = T>,
        mut dies: impl FnMut() -> bool,
    ) -> Option<T> {
        self.0.lock().unwrap().timers.clear();
        let mut work = pin!(work);
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        loop {
            if dies() {
                return None;
            }
            if woken.0.swap(false, Ordering::Relaxed) {
                if let Poll::Ready(value) = work.as_mut().poll(&mut cx) {
                    return (!dies()).then_some(value);
                }
                continue;
            }
            let next = self.next_timer().expect("nothing will ever happen again");
            self.advance_to(next);
        }
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub fn begins() -> DateTime<Utc> {
    static AT: LazyLock<DateTime<Utc>> = LazyLock::new(|| BEGINS.parse().unwrap());
    *AT
}

/// A clock of somebody: off by so much, and set to something else at any moment.
pub struct OwnClock {
    universe: Universe,
    off: Mutex<chrono::Duration>,
    /// Which boot, and when that was.
    boot: Mutex<(u32, Duration)>,
}

impl OwnClock {
    pub fn new(universe: &Universe) -> Arc<Self> {
        Arc::new(Self {
            universe: universe.clone(),
            off: Mutex::new(chrono::Duration::zero()),
            boot: Mutex::new((1, Duration::ZERO)),
        })
    }

    /// Sets the wall clock wrong by so much.
    pub fn set_off(&self, by: chrono::Duration) {
        *self.off.lock().unwrap() = by;
    }

    pub fn off(&self) -> chrono::Duration {
        *self.off.lock().unwrap()
    }

    /// The machine starts again.
    pub fn reboot(&self) {
        let mut boot = self.boot.lock().unwrap();
        *boot = (boot.0 + 1, self.universe.now());
    }
}

impl Clock for OwnClock {
    fn now(&self) -> DateTime<Utc> {
        self.universe.wall() + *self.off.lock().unwrap()
    }

    fn since_boot(&self) -> Duration {
        let (_, booted) = *self.boot.lock().unwrap();
        Duration::from_secs(20) + self.universe.now().saturating_sub(booted)
    }

    fn boot_id(&self) -> String {
        format!("boot-{}", self.boot.lock().unwrap().0)
    }

    fn sleep(&self, for_: Duration) -> Sleep {
        self.universe.sleep(for_)
    }
}
