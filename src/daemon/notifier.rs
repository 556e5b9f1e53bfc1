//! Tells webhooks what the record says, and beats while all is well.
//!
//! What is to be told goes into the ledger's outbox first and is tried from there until it is taken,
//! so that nothing is lost when the process dies or nobody listens. Nothing else waits for it: the
//! passes know nothing of who is told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};

use crate::config::{Address, Notify, Webhook};
use crate::ledger::{Delivery, EventQuery, LedgerError, Outgoing, Page};
use crate::model::notice::{Notice, NoticeKind};
use crate::model::standing::State;
use crate::reconcile::live::{InForce, Live};
use crate::reconcile::notice;
use crate::reconcile::pass::Tools;
use crate::reconcile::report::Standpoint;
use crate::schedule::Schedule;

/// How often the record is looked into, and the outbox.
const EVERY: Duration = Duration::from_secs(5);

/// How often is looked for what stands still.
const STILL_EVERY: Duration = Duration::from_secs(60);

/// Events, requests and notices that are read at once.
const AT_ONCE: u32 = 500;

/// A digest whose time went by longer ago is not told any more.
const DIGEST_WITHIN: TimeDelta = TimeDelta::hours(6);

/// What was told is remembered for so long, so that nothing is told twice.
const REMEMBERED: TimeDelta = TimeDelta::days(90);

/// The longest pause between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// Carries messages out of the house. Only `wiring` knows how.
pub trait Deliver: Send + Sync {
    /// Tells one notice of a ledger.
    ///
    /// # Errors
    /// It was not taken, or nobody knows; in words without the address.
    fn tell<'a>(
        &'a self,
        webhook: &'a Webhook,
        ledger_id: &'a str,
        notice: &'a Notice,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// Tells whoever watches over us that all is well.
    ///
    /// # Errors
    /// As [`Deliver::tell`].
    fn beat<'a>(&'a self, to: &'a Address, body: &'a Value) -> BoxFuture<'a, Result<(), String>>;
}

/// Tells what is to be told.
pub struct Notifier {
    tools: Tools,
    live: Arc<Live>,
    deliver: Arc<dyn Deliver>,
    /// When is looked again for what stands still, since boot.
    still_at: Duration,
    /// The text that is not valid and was put into the outbox last.
    rejected: Option<String>,
    /// Whom nothing could be told the last time.
    failing: BTreeSet<String>,
}

impl Notifier {
    /// With nothing told yet.
    pub fn new(tools: Tools, live: Arc<Live>, deliver: Arc<dyn Deliver>) -> Self {
        Self {
            tools,
            live,
            deliver,
            still_at: Duration::ZERO,
            rejected: None,
            failing: BTreeSet::new(),
        }
    }

    /// Works until the daemon stops. What is on its way then is told again by the next one.
    pub async fn run(mut self) {
        let stop = self.tools.stop.clone();
        let live = Arc::clone(&self.live);
        let rounds = async {
            loop {
                if let Err(error) = self.round().await {
                    let (tools, live) = (&self.tools, &self.live);
                    super::ledger_failed(tools, live, super::NOTIFIER, &error, "notices wait");
                } else {
                    self.live.ledger_works(super::NOTIFIER);
                }
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = live.beat.notified() => {}
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = rounds => {}
        }
    }

    /// Looks once for what is to be told, and tells what is due.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn round(&mut self) -> Result<(), LedgerError> {
        let Some(in_force) = self.live.in_force.load_full() else {
            return Ok(());
        };
        let notify = &in_force.config.notify;
        self.beat(&in_force).await?;
        if notify.webhooks.is_empty() {
            // Whoever is told later is told of what happens from then on.
            let newest = self.newest().await?;
            if self.tools.ledger.told_up_to().await? < newest {
                self.put(notify, Vec::new(), Some(newest)).await?;
            }
            return Ok(());
        }
        self.gather(&in_force).await?;
        self.tell(notify).await
    }

    async fn beat(&self, in_force: &InForce) -> Result<(), LedgerError> {
        let Some(to) = &in_force.config.notify.heartbeat else {
            return Ok(());
        };
        if !self.live.whole_round(in_force.config.providers.keys()) {
            return Ok(());
        }
        let body = json!({
            "at": self.tools.clock.now(),
            "ledger": self.tools.ledger.identity().await?.ledger_id,
            "head": self.tools.ledger.head().await?,
            "revision": in_force.digest,
        });
        let beaten = self.deliver.beat(to, &body).await;
        self.tools.metrics.heartbeat(beaten.is_ok());
        if let Err(why) = beaten {
            tracing::warn!(
                "the heartbeat was not taken: {why}; the next whole round of passes tries again"
            );
        }
        Ok(())
    }

    /// The newest event of the record.
    async fn newest(&self) -> Result<i64, LedgerError> {
        let query = EventQuery {
            limit: 1,
            ..EventQuery::default()
        };
        let newest = self.tools.ledger.events(query).await?;
        Ok(newest.first().map_or(0, |event| event.number))
    }

    async fn gather(&mut self, in_force: &InForce) -> Result<(), LedgerError> {
        let notify = &in_force.config.notify;
        let Tools { ledger, clock, .. } = &self.tools;
        let now = clock.now();
        let standpoint = Standpoint::read(&**ledger, Arc::clone(&in_force.config), now).await?;
        let newest = self.newest().await?;
        let mut told = ledger.told_up_to().await?;
        while told < newest {
            told = self
                .gather_events(notify, &standpoint, told, newest)
                .await?;
        }
        let source = self.live.source.load_full();
        if let Some(rejected) = notice::of_source(&source, &in_force.digest, now)
            && self.rejected.as_ref() != Some(&rejected.id)
        {
            let id = rejected.id.clone();
            self.put(notify, vec![rejected], None).await?;
            self.rejected = Some(id);
        }
        if clock.since_boot() >= self.still_at {
            self.still_at = clock.since_boot() + STILL_EVERY;
            self.gather_still(notify, &standpoint).await?;
        }
        Ok(())
    }

    /// What the record says after one event, up to another; up to which was read.
    async fn gather_events(
        &self,
        notify: &Notify,
        standpoint: &Standpoint,
        after: i64,
        newest: i64,
    ) -> Result<i64, LedgerError> {
        let query = EventQuery {
            after: Some(after),
            before: Some(newest + 1),
            kinds: notice::TOLD_OF.to_vec(),
            limit: AT_ONCE,
            ..EventQuery::default()
        };
        let events = self.tools.ledger.events(query).await?;
        let read_up_to = match events.last() {
            Some(last) if events.len() == AT_ONCE as usize => last.number,
            _ => newest,
        };
        let mut notices = Vec::new();
        for event in &events {
            if let Some(request) = self.tools.ledger.find(event.key.clone()).await? {
                notices.extend(notice::of_event(event, &standpoint.item(&request)));
            }
        }
        self.put(notify, notices, Some(read_up_to)).await?;
        Ok(read_up_to)
    }

    /// What stands still: nothing happens to it, and that is what is to be told.
    async fn gather_still(
        &self,
        notify: &Notify,
        standpoint: &Standpoint,
    ) -> Result<(), LedgerError> {
        let ledger = &self.tools.ledger;
        let now = standpoint.now;
        for (state, due_by) in [(State::Unknown, None), (State::Held, Some(now))] {
            let mut page = Page {
                states: vec![state],
                due_by,
                limit: AT_ONCE,
                ..Page::default()
            };
            loop {
                let requests = ledger.page(page.clone()).await?;
                let of = |request| match state {
                    State::Unknown => notice::of_unknown(request, now),
                    _ => notice::of_held(request, now),
                };
                self.put(notify, requests.iter().filter_map(of).collect(), None)
                    .await?;
                match requests.last() {
                    Some(last) if requests.len() == AT_ONCE as usize => page.after = last.row,
                    _ => break,
                }
            }
        }
        let waiting = ledger.waiting().await?;
        let mut notices: Vec<Notice> = waiting
            .iter()
            .map(|it| notice::of_waiting(it, now))
            .collect();
        if let Some(tick) = notify.digest.as_ref().and_then(|it| newest_tick(it, now)) {
            let status = standpoint.status(&**ledger).await?;
            notices.push(notice::digest(&status, &waiting, tick));
        }
        self.put(notify, notices, None).await?;
        ledger.forget_delivered(now - REMEMBERED).await
    }

    /// Into the outbox, for each webhook that wants to know.
    async fn put(
        &self,
        notify: &Notify,
        notices: Vec<Notice>,
        told_up_to: Option<i64>,
    ) -> Result<(), LedgerError> {
        let wanted = |webhook: &&Webhook, kind: NoticeKind| webhook.events.contains(&kind);
        let addressed: Vec<(String, Notice)> = notices
            .into_iter()
            .flat_map(|notice| {
                let webhooks = notify.webhooks.values();
                let whom = webhooks.filter(move |it| wanted(it, notice.kind));
                whom.map(move |it| (it.name.clone(), notice.clone()))
            })
            .collect();
        if addressed.is_empty() && told_up_to.is_none() {
            return Ok(());
        }
        let now = self.tools.clock.now();
        self.tools.ledger.notify(addressed, told_up_to, now).await
    }

    /// Tells each webhook what is due, side by side; who does not listen is said once.
    async fn tell(&mut self, notify: &Notify) -> Result<(), LedgerError> {
        let ledger_id = self.tools.ledger.identity().await?.ledger_id;
        let webhooks = notify.webhooks.values();
        let told =
            join_all(webhooks.map(|it| tell_one(&self.tools, &*self.deliver, it, &ledger_id)));
        for (name, outcome) in notify.webhooks.keys().zip(told.await) {
            match outcome? {
                Some(Ok(())) if self.failing.remove(name) => {
                    tracing::info!("webhook {name} takes its notices again");
                }
                Some(Err(why)) if self.failing.insert(name.clone()) => {
                    tracing::warn!(
                        "webhook {name} does not take its notices: {why}; they wait in the ledger and are tried again"
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Tells one webhook what is due, until something is not taken; none: nothing is due.
async fn tell_one(
    tools: &Tools,
    deliver: &dyn Deliver,
    webhook: &Webhook,
    ledger_id: &str,
) -> Result<Option<Result<(), String>>, LedgerError> {
    let Tools {
        ledger,
        clock,
        metrics,
        ..
    } = tools;
    let name = &webhook.name;
    let mut last = None;
    for outgoing in ledger
        .due_notices(name.clone(), clock.now(), AT_ONCE)
        .await?
    {
        let Outgoing {
            number,
            tries,
            notice,
        } = outgoing;
        let told = deliver.tell(webhook, ledger_id, &notice).await;
        metrics.notified(name, told.is_ok());
        let at = clock.now();
        let delivery = match &told {
            Ok(()) => Delivery::Taken { at },
            Err(_) => Delivery::Again {
                at: at + wait(tries),
            },
        };
        ledger.delivered(number, delivery).await?;
        let failed = told.is_err();
        last = Some(told);
        if failed {
            break;
        }
    }
    Ok(last)
}

/// 5 s doubling to [`LONGEST_WAIT`].
fn wait(tries: u32) -> Duration {
    Duration::from_secs(5 << tries.min(10)).min(LONGEST_WAIT)
}

/// The newest tick of the digest, where that is not too long ago.
fn newest_tick(schedule: &Schedule, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut newest = None;
    let mut tick = schedule.next_after(now - DIGEST_WITHIN);
    while let Some(at) = tick.filter(|at| *at <= now) {
        newest = Some(at);
        tick = schedule.next_after(at);
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_ever_later_and_at_least_once_an_hour() {
        assert_eq!(wait(0), Duration::from_secs(5));
        assert_eq!(wait(1), Duration::from_secs(10));
        assert_eq!(wait(u32::MAX), LONGEST_WAIT);
    }

    #[test]
    fn a_digest_is_told_at_its_tick_and_not_long_after() {
        let schedule = Schedule::parse("0 8 * * *", chrono_tz::Europe::Berlin).unwrap();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let tick = |now: &str| newest_tick(&schedule, at(now));
        assert_eq!(tick("2026-11-26T06:59:59Z"), None);
        assert_eq!(
            tick("2026-11-26T07:00:00Z"),
            Some(at("2026-11-26T07:00:00Z"))
        );
        assert_eq!(
            tick("2026-11-26T12:59:59Z"),
            Some(at("2026-11-26T07:00:00Z"))
        );
        assert_eq!(tick("2026-11-26T13:00:01Z"), None);
    }
}
