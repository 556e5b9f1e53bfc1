//! Every metric's name, and what each event adds to it.
//!
//! This is the one file of definitions: `config/prometheus/METRICS.md` is generated from it,
//! and no other room knows the `prometheus` crate. It counts and never decides; it reads no
//! clock and no ledger, but is told.
//!
//! Labels come from closed sets alone. A provider's name is bounded by the configuration; an
//! id or the text of an error never becomes a label. What is known beforehand is exported as
//! 0 from the start, because a series that is born with 1 raises no alert.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{CounterVec, GaugeVec, HistogramVec, IntCounterVec, Registry, TextEncoder};

use crate::model::act::Answer;
use crate::model::hold::HoldReason;
use crate::model::ids::ProviderName;
use crate::model::standing::State;

use self::book::{Book, Source};

mod book;
mod open;

/// How metrics are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text, which every scraper reads.
    Text,
    /// OpenMetrics 1.0, where it is asked for.
    OpenMetrics,
}

impl Format {
    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The states that [`Metrics::settled`] counts.
const SETTLED: [State; 4] = [
    State::Canceled,
    State::AlreadyCanceled,
    State::Failed,
    State::Missed,
];

/// The words for how a pass ended.
const PASS_OUTCOMES: [&str; 3] = ["ok", "closed", "failed"];

/// The words for what became of a deadline.
const MET: &str = "met";
const MISSED: &str = "missed";

/// The words for what became of a message to a webhook.
const TAKEN: &str = "taken";
const REFUSED: &str = "failed";

/// What is asked of a provider, and how that may end.
const OPERATIONS: [&str; 5] = ["token", "account", "look", "list", "cancel"];
const OUTCOMES: [&str; 7] = ["2xx", "3xx", "4xx", "5xx", "timeout", "connect", "broken"];

/// What the port serves, as one of a few words.
pub const HANDLERS: [&str; 8] = [
    "metrics", "livez", "readyz", "page", "api", "command", "asset", "other",
];

/// The classes of what it answers.
pub const CODES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// The levels of a log, the worst first.
pub const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The words for how a provider is used, each exported as 0 or 1.
const MODES: [&str; 2] = ["observe", "enforce"];

/// The words for what became of a new text of the files.
const ACCEPTED: &str = "accepted";
const REJECTED: &str = "rejected";

/// A pass: from one that finds nothing to a batch that waits for a rate limit.
const PASS_BUCKETS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0,
];

/// From due to read back: from the next tick at once to what waited out a week.
const EFFECT_BUCKETS: [f64; 11] = [
    5.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0, 259_200.0, 604_800.0,
];

/// One request to a provider; the longest `timeout` in use is about a minute.
const REQUEST_BUCKETS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 20.0, 60.0,
];

/// One transaction: a synced write takes about a millisecond on a good disk.
const LEDGER_BUCKETS: [f64; 10] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0,
];

/// All metrics of one process.
pub struct Metrics {
    registry: Registry,
    families: Families,
    /// Held while several series change together, so that a scrape sees all or none of it.
    together: Mutex<()>,
}

/// What the ledger knows at the moment of a scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Every provider of the file.
    pub providers: Vec<ProviderName>,
    /// By provider and the state that people see; what is absent is 0.
    pub cancellations: BTreeMap<(ProviderName, State), u64>,
    /// By provider and reason; what is absent is 0.
    pub holds: BTreeMap<(ProviderName, HoldReason), u64>,
    /// The earliest of what is scheduled.
    pub next_due: BTreeMap<ProviderName, DateTime<Utc>>,
    /// The tick that should have carried out the oldest request that is overdue.
    pub oldest_overdue: BTreeMap<ProviderName, DateTime<Utc>>,
    /// The oldest intent whose outcome is unknown.
    pub oldest_unknown: BTreeMap<ProviderName, DateTime<Utc>>,
    /// By provider: how many seconds the earliest possible cancel lies before its deadline, of
    /// the item for which that is least; negative: it cannot be met any more.
    pub deadline_slack: BTreeMap<ProviderName, f64>,
    /// By limit: the used part of it, 1 when spent.
    pub limit_used: BTreeMap<&'static str, f64>,
    /// The providers that a pause covers.
    pub paused: Vec<ProviderName>,
    /// The providers whose clock and ours do not agree.
    pub untrusted_clocks: Vec<ProviderName>,
    /// Until when nothing is sent to a provider, as it asked or after too many failures.
    pub paused_until: BTreeMap<ProviderName, DateTime<Utc>>,
    /// Since when the oldest request waits for an approval.
    pub oldest_approval: Option<DateTime<Utc>>,
    /// By webhook: when the oldest thing happened that it was not told yet.
    pub oldest_notification: BTreeMap<String, DateTime<Utc>>,
    /// Bytes of the ledger, and bytes that are free on its disk.
    pub space: Option<(u64, u64)>,
}

/// What was counted before this process began, from the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By provider and state.
    pub settled: BTreeMap<(ProviderName, State), u64>,
    /// By provider and [`Answer::outcome`].
    pub attempts: BTreeMap<(ProviderName, String), u64>,
    /// By provider.
    pub windows_missed: BTreeMap<ProviderName, u64>,
    /// By provider: what was carried out before its deadline.
    pub deadlines_met: BTreeMap<ProviderName, u64>,
}

impl Metrics {
    /// With a registry of its own, which no other part of the process can write to.
    pub fn new(version: &str, revision: &str) -> Self {
        let mut book = Book::default();
        let families = Families::define(&mut book);
        #[cfg(target_os = "linux")]
        book.registry
            .register(Box::new(
                prometheus::process_collector::ProcessCollector::for_self(),
            ))
            .expect("no name of a process metric is ours");
        let metrics = Self {
            registry: book.registry,
            families,
            together: Mutex::new(()),
        };
        metrics.begin(version, revision);
        metrics
    }

    /// What has no labels, or labels that are known now, is exported from the start.
    fn begin(&self, version: &str, revision: &str) {
        let it = &self.families;
        it.build_info
            .with_label_values(&[version, revision])
            .set(1.0);
        for outcome in [ACCEPTED, REJECTED] {
            it.config_reloads.with_label_values(&[outcome]);
        }
        for handler in HANDLERS {
            for code in CODES {
                it.http_requests.with_label_values(&[handler, code]);
            }
        }
        for level in LEVELS {
            it.log_messages.with_label_values(&[level]);
        }
        it.log_messages_dropped.with_label_values(NONE);
        for outcome in [TAKEN, REFUSED] {
            it.heartbeats.with_label_values(&[outcome]);
        }
        it.config_items.with_label_values(NONE);
        it.ledger_errors.with_label_values(NONE);
        it.leader.with_label_values(NONE);
    }

    /// A provider of the file: what can be counted of it is 0 from now on.
    pub fn known(&self, provider: &ProviderName) {
        let it = &self.families;
        let name = provider.as_str();
        for outcome in PASS_OUTCOMES {
            it.reconcile_runs.with_label_values(&[name, outcome]);
        }
        for state in SETTLED {
            it.settled.with_label_values(&[name, state.as_str()]);
        }
        for outcome in Answer::OUTCOMES {
            it.attempts.with_label_values(&[name, outcome]);
        }
        for operation in OPERATIONS {
            for outcome in OUTCOMES {
                it.provider_requests
                    .with_label_values(&[name, operation, outcome]);
            }
        }
        it.reconcile_duration.with_label_values(&[name]);
        it.effect_delay.with_label_values(&[name]);
        it.rate_limit_wait.with_label_values(&[name]);
        it.blocked_writes.with_label_values(&[name]);
        it.windows_missed.with_label_values(&[name]);
        for result in [MET, MISSED] {
            it.deadlines.with_label_values(&[name, result]);
        }
        for reason in HoldReason::ALL {
            it.guard_blocks.with_label_values(&[name, reason.as_str()]);
        }
    }

    /// A provider that left the file. What was counted from the ledger stays: it happened.
    pub fn forget(&self, provider: &ProviderName) {
        let _together = self.together();
        let it = &self.families;
        let name = provider.as_str();
        for family in [
            &it.reconcile_last_attempt,
            &it.reconcile_last_success,
            &it.reconcile_next_run,
            &it.cancellations,
            &it.holds,
            &it.next_due,
            &it.oldest_overdue,
            &it.oldest_unknown,
            &it.deadline_slack,
            &it.provider_up,
            &it.provider_clock_skew,
            &it.paused,
            &it.mode,
            &it.clock_trusted,
            &it.provider_paused_until,
        ] {
            drop_series(family, name);
        }
        drop_series(&it.reconcile_runs, name);
        drop_series(&it.guard_blocks, name);
        drop_series(&it.provider_requests, name);
        drop_series(&it.blocked_writes, name);
        drop_series(&it.rate_limit_wait, name);
        for family in [
            &it.reconcile_duration,
            &it.effect_delay,
            &it.provider_request_duration,
        ] {
            drop_series(family, name);
        }
    }

    /// Goes on counting where the ledger's record stands. A counter never falls.
    pub fn rebuild(&self, counted: &Counted) {
        let Counted {
            settled,
            attempts,
            windows_missed,
            deadlines_met,
        } = counted;
        let raise = |family: &IntCounterVec, provider: &ProviderName, word: &str, to: u64| {
            let counter = family.with_label_values(&[provider.as_str(), word]);
            counter.inc_by(to.saturating_sub(counter.get()));
        };
        for ((provider, state), count) in settled {
            if SETTLED.contains(state) {
                raise(&self.families.settled, provider, state.as_str(), *count);
            }
        }
        for (provider, count) in windows_missed {
            let name = [provider.as_str()];
            let counter = self.families.windows_missed.with_label_values(&name);
            counter.inc_by(count.saturating_sub(counter.get()));
            raise(&self.families.deadlines, provider, MISSED, *count);
        }
        for (provider, count) in deadlines_met {
            raise(&self.families.deadlines, provider, MET, *count);
        }
        for ((provider, outcome), count) in attempts {
            // A word that a later version wrote is not of our closed set.
            if Answer::OUTCOMES.contains(&outcome.as_str()) {
                raise(&self.families.attempts, provider, outcome, *count);
            }
        }
    }

    /// A new text of the files was accepted, or was not.
    pub fn config_reloaded(&self, ok: bool, at: DateTime<Utc>) {
        let it = &self.families;
        let outcome = if ok { ACCEPTED } else { REJECTED };
        it.config_reloads.with_label_values(&[outcome]).inc();
        it.config_last_reload_successful
            .with_label_values(NONE)
            .set(f64::from(u8::from(ok)));
        if ok {
            it.config_last_reload_success
                .with_label_values(NONE)
                .set(seconds(at));
        }
    }

    /// The whole set of files was read.
    pub fn config_seen(&self, at: DateTime<Utc>) {
        self.families
            .config_source_last_seen
            .with_label_values(NONE)
            .set(seconds(at));
    }

    /// The revision in force; the one before it is exported no longer.
    pub fn config_in_force(&self, revision: &str, commit: &str, items: u64) {
        let _together = self.together();
        let it = &self.families;
        it.config_info.reset();
        it.config_info
            .with_label_values(&[revision, commit])
            .set(1.0);
        it.config_items.with_label_values(NONE).set(count(items));
    }

    /// A pass began.
    pub fn pass_began(&self, provider: &ProviderName, at: DateTime<Utc>) {
        self.families
            .reconcile_last_attempt
            .with_label_values(&[provider.as_str()])
            .set(seconds(at));
    }

    /// A pass ended: `ok`, `closed` (a gate let nothing through) or `failed`.
    pub fn pass_ended(
        &self,
        provider: &ProviderName,
        outcome: &'static str,
        took: Duration,
        at: DateTime<Utc>,
    ) {
        let it = &self.families;
        let name = provider.as_str();
        it.reconcile_runs.with_label_values(&[name, outcome]).inc();
        it.reconcile_duration
            .with_label_values(&[name])
            .observe(took.as_secs_f64());
        if outcome != "failed" {
            it.reconcile_last_success
                .with_label_values(&[name])
                .set(seconds(at));
        }
    }

    /// When writes may start next; none: the schedule has no further tick. What is not known
    /// is not exported: 0 would read as 1970 and raise alarms.
    pub fn next_tick(&self, provider: &ProviderName, at: Option<DateTime<Utc>>) {
        let family = &self.families.reconcile_next_run;
        let name = provider.as_str();
        match at {
            Some(at) => family.with_label_values(&[name]).set(seconds(at)),
            // An error says that it was not exported before.
            None => drop(family.remove_label_values(&[name])),
        }
    }

    /// A request was settled, so long after it was due.
    pub fn settled(&self, provider: &ProviderName, state: State, delay: Option<Duration>) {
        let it = &self.families;
        let name = provider.as_str();
        it.settled.with_label_values(&[name, state.as_str()]).inc();
        if let Some(delay) = delay {
            it.effect_delay
                .with_label_values(&[name])
                .observe(delay.as_secs_f64());
        }
    }

    /// The window before a period's end closed before a request could be carried out.
    pub fn window_missed(&self, provider: &ProviderName) {
        let it = &self.families;
        let name = provider.as_str();
        it.windows_missed.with_label_values(&[name]).inc();
        it.deadlines.with_label_values(&[name, MISSED]).inc();
    }

    /// A request that had a deadline was carried out.
    pub fn deadline_met(&self, provider: &ProviderName) {
        let name = provider.as_str();
        self.families
            .deadlines
            .with_label_values(&[name, MET])
            .inc();
    }

    /// A guard said no: to one request, or to a whole pass.
    pub fn blocked(&self, provider: &ProviderName, reason: HoldReason) {
        self.families
            .guard_blocks
            .with_label_values(&[provider.as_str(), reason.as_str()])
            .inc();
    }

    /// The port answered; `handler` is one of [`HANDLERS`], `code` one of [`CODES`].
    pub fn answered(&self, handler: &'static str, code: &'static str) {
        self.families
            .http_requests
            .with_label_values(&[handler, code])
            .inc();
    }

    /// What was logged so far, by level as in [`LEVELS`], and the lines that nobody took.
    pub fn logged(&self, by_level: [u64; LEVELS.len()], lost: u64) {
        let it = &self.families;
        for (level, lines) in LEVELS.into_iter().zip(by_level) {
            let counter = it.log_messages.with_label_values(&[level]);
            counter.inc_by(lines.saturating_sub(counter.get()));
        }
        let dropped = it.log_messages_dropped.with_label_values(NONE);
        dropped.inc_by(lost.saturating_sub(dropped.get()));
    }

    /// The webhooks of the file: their tries are counted from 0, and those of no other one.
    pub fn webhooks<'n>(&self, known: impl Iterator<Item = &'n String> + Clone) {
        let _together = self.together();
        let family = &self.families.notifications;
        for gathered in family.collect() {
            for metric in gathered.get_metric() {
                let mut labels = metric.get_label().iter();
                let name = labels
                    .find(|it| it.name() == "webhook")
                    .map(|it| it.value());
                if let Some(gone) = name.filter(|name| !known.clone().any(|it| it == name)) {
                    drop_labelled(family, "webhook", gone);
                }
            }
        }
        for name in known {
            for outcome in [TAKEN, REFUSED] {
                family.with_label_values(&[name.as_str(), outcome]);
            }
        }
    }

    /// A webhook took a notice, or did not.
    pub fn notified(&self, webhook: &str, taken: bool) {
        let outcome = if taken { TAKEN } else { REFUSED };
        let labels = [webhook, outcome];
        self.families.notifications.with_label_values(&labels).inc();
    }

    /// The heartbeat was taken, or was not.
    pub fn heartbeat(&self, taken: bool) {
        let outcome = if taken { TAKEN } else { REFUSED };
        self.families.heartbeats.with_label_values(&[outcome]).inc();
    }

    /// An attempt was answered; the word is [`Answer::outcome`].
    pub fn attempt(&self, provider: &ProviderName, outcome: &'static str) {
        self.families
            .attempts
            .with_label_values(&[provider.as_str(), outcome])
            .inc();
    }

    /// A request to a provider ended.
    pub fn request(
        &self,
        provider: &ProviderName,
        operation: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        let it = &self.families;
        let name = provider.as_str();
        it.provider_requests
            .with_label_values(&[name, operation, outcome])
            .inc();
        it.provider_request_duration
            .with_label_values(&[name, operation])
            .observe(took.as_secs_f64());
    }

    /// A request waited for the rate limit's turn.
    pub fn waited(&self, provider: &ProviderName, for_: Duration) {
        self.families
            .rate_limit_wait
            .with_label_values(&[provider.as_str()])
            .inc_by(for_.as_secs_f64());
    }

    /// A preview tried to write. Must never happen.
    pub fn blocked_write(&self, provider: &ProviderName) {
        self.families
            .blocked_writes
            .with_label_values(&[provider.as_str()])
            .inc();
    }

    /// Whether the provider's last answer was one that can be worked with.
    pub fn provider_up(&self, provider: &ProviderName, up: bool) {
        self.families
            .provider_up
            .with_label_values(&[provider.as_str()])
            .set(f64::from(u8::from(up)));
    }

    /// How many seconds the provider's clock is ahead of ours.
    pub fn clock_skew(&self, provider: &ProviderName, skew: i64) {
        self.families
            .provider_clock_skew
            .with_label_values(&[provider.as_str()])
            .set(skew as f64);
    }

    /// `observe` or `enforce`.
    pub fn mode(&self, provider: &ProviderName, mode: &'static str) {
        for it in MODES {
            self.families
                .mode
                .with_label_values(&[provider.as_str(), it])
                .set(f64::from(u8::from(it == mode)));
        }
    }

    /// An operation of the ledger ended.
    pub fn ledger_operation(&self, operation: &'static str, took: Duration) {
        self.families
            .ledger_operation_duration
            .with_label_values(&[operation])
            .observe(took.as_secs_f64());
    }

    /// The ledger failed.
    pub fn ledger_failed(&self) {
        self.families.ledger_errors.with_label_values(NONE).inc();
    }

    /// Whether this process is the one that writes.
    pub fn leader(&self, leads: bool) {
        self.families
            .leader
            .with_label_values(NONE)
            .set(f64::from(u8::from(leads)));
    }

    /// Takes over what the ledger knows now, and nothing of what it knew before: with an empty
    /// snapshot, its series are absent, which is truer than a number that stands still.
    pub fn refresh(&self, snapshot: &Snapshot) {
        let _together = self.together();
        let it = &self.families;
        for family in [
            &it.cancellations,
            &it.holds,
            &it.paused,
            &it.next_due,
            &it.oldest_overdue,
            &it.oldest_unknown,
            &it.deadline_slack,
            &it.limit_used,
            &it.clock_trusted,
            &it.provider_paused_until,
            &it.oldest_approval,
            &it.oldest_notification,
            &it.ledger_size,
            &it.ledger_free,
        ] {
            family.reset();
        }
        if let Some(at) = snapshot.oldest_approval {
            it.oldest_approval.with_label_values(NONE).set(seconds(at));
        }
        for (webhook, at) in &snapshot.oldest_notification {
            let oldest = it.oldest_notification.with_label_values(&[webhook]);
            oldest.set(seconds(*at));
        }
        if let Some((size, free)) = snapshot.space {
            it.ledger_size.with_label_values(NONE).set(count(size));
            it.ledger_free.with_label_values(NONE).set(count(free));
        }
        for provider in &snapshot.providers {
            self.refresh_provider(provider, snapshot);
        }
        for (limit, used) in &snapshot.limit_used {
            it.limit_used.with_label_values(&[*limit]).set(*used);
        }
    }

    fn refresh_provider(&self, provider: &ProviderName, snapshot: &Snapshot) {
        let it = &self.families;
        let name = provider.as_str();
        for state in State::ALL {
            let known = snapshot.cancellations.get(&(provider.clone(), state));
            it.cancellations
                .with_label_values(&[name, state.as_str()])
                .set(count(known.copied().unwrap_or(0)));
        }
        for reason in HoldReason::ALL {
            let known = snapshot.holds.get(&(provider.clone(), reason));
            it.holds
                .with_label_values(&[name, reason.as_str()])
                .set(count(known.copied().unwrap_or(0)));
        }
        let paused = snapshot.paused.contains(provider);
        it.paused
            .with_label_values(&[name])
            .set(f64::from(u8::from(paused)));
        let trusted = !snapshot.untrusted_clocks.contains(provider);
        it.clock_trusted
            .with_label_values(&[name])
            .set(f64::from(u8::from(trusted)));
        if let Some(at) = snapshot.paused_until.get(provider) {
            it.provider_paused_until
                .with_label_values(&[name])
                .set(seconds(*at));
        }
        if let Some(at) = snapshot.next_due.get(provider) {
            it.next_due.with_label_values(&[name]).set(seconds(*at));
        }
        if let Some(at) = snapshot.oldest_overdue.get(provider) {
            it.oldest_overdue
                .with_label_values(&[name])
                .set(seconds(*at));
        }
        if let Some(slack) = snapshot.deadline_slack.get(provider) {
            it.deadline_slack.with_label_values(&[name]).set(*slack);
        }
        if let Some(at) = snapshot.oldest_unknown.get(provider) {
            it.oldest_unknown
                .with_label_values(&[name])
                .set(seconds(*at));
        }
    }

    /// Everything, in one of the formats.
    pub fn render(&self, format: Format) -> String {
        let gathered = {
            let _together = self.together();
            self.registry.gather()
        };
        match format {
            Format::Text => TextEncoder::new()
                .encode_to_string(&gathered)
                .expect("a family that was gathered has a name and at least one series"),
            Format::OpenMetrics => open::encode(&gathered),
        }
    }

    /// `config/prometheus/METRICS.md`: every metric with its type, labels and meaning.
    pub fn reference() -> String {
        let mut book = Book::default();
        Families::define(&mut book);
        book.page()
    }

    fn together(&self) -> MutexGuard<'_, ()> {
        self.together.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The label values of a metric without labels.
const NONE: &[&str] = &[];

/// Seconds since 1970, as Prometheus counts time.
fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}

fn count(number: u64) -> f64 {
    number as f64
}

/// Ends every series of one provider.
fn drop_series<B: MetricVecBuilder>(family: &MetricVec<B>, provider: &str)
where
    MetricVec<B>: Collector,
{
    drop_labelled(family, "provider", provider);
}

/// Ends every series that has a label of this value.
fn drop_labelled<B: MetricVecBuilder>(family: &MetricVec<B>, label: &str, value: &str)
where
    MetricVec<B>: Collector,
{
    for gathered in family.collect() {
        for metric in gathered.get_metric() {
            let labels: HashMap<&str, &str> = metric
                .get_label()
                .iter()
                .map(|label| (label.name(), label.value()))
                .collect();
            if labels.get(label) == Some(&value) {
                // An error says that somebody else removed it meanwhile.
                drop(family.remove(&labels));
            }
        }
    }
}

/// The metrics themselves; each is defined in [`Families::define`] and nowhere else.
struct Families {
    build_info: GaugeVec,
    config_last_reload_successful: GaugeVec,
    config_last_reload_success: GaugeVec,
    config_source_last_seen: GaugeVec,
    config_reloads: IntCounterVec,
    config_info: GaugeVec,
    config_items: GaugeVec,
    reconcile_runs: IntCounterVec,
    reconcile_duration: HistogramVec,
    reconcile_last_attempt: GaugeVec,
    reconcile_last_success: GaugeVec,
    reconcile_next_run: GaugeVec,
    cancellations: GaugeVec,
    holds: GaugeVec,
    next_due: GaugeVec,
    oldest_overdue: GaugeVec,
    oldest_unknown: GaugeVec,
    deadline_slack: GaugeVec,
    windows_missed: IntCounterVec,
    settled: IntCounterVec,
    attempts: IntCounterVec,
    effect_delay: HistogramVec,
    provider_requests: IntCounterVec,
    provider_request_duration: HistogramVec,
    provider_up: GaugeVec,
    provider_clock_skew: GaugeVec,
    rate_limit_wait: CounterVec,
    limit_used: GaugeVec,
    paused: GaugeVec,
    mode: GaugeVec,
    deadlines: IntCounterVec,
    guard_blocks: IntCounterVec,
    oldest_approval: GaugeVec,
    clock_trusted: GaugeVec,
    provider_paused_until: GaugeVec,
    ledger_size: GaugeVec,
    ledger_free: GaugeVec,
    log_messages: IntCounterVec,
    log_messages_dropped: IntCounterVec,
    http_requests: IntCounterVec,
    ledger_operation_duration: HistogramVec,
    ledger_errors: IntCounterVec,
    leader: GaugeVec,
    blocked_writes: IntCounterVec,
    notifications: IntCounterVec,
    oldest_notification: GaugeVec,
    heartbeats: IntCounterVec,
}

impl Families {
    fn define(book: &mut Book) -> Self {
        Self {
            build_info: book.gauge("build_info", &["version", "revision"], Source::Process, "The build that is running; always 1."),
            config_last_reload_successful: book.gauge("config_last_reload_successful", &[], Source::Process, "Whether the newest text of the files is valid and accepted (1) or not (0)."),
            config_last_reload_success: book.gauge("config_last_reload_success_timestamp_seconds", &[], Source::Process, "When a text of the files was last accepted."),
            config_source_last_seen: book.gauge("config_source_last_seen_timestamp_seconds", &[], Source::Process, "When the whole set of files was last read, changed or not."),
            config_reloads: book.counter("config_reloads_total", &["outcome"], Source::Process, "New texts of the files, by outcome: accepted or rejected."),
            config_info: book.gauge("config_info", &["revision", "commit"], Source::Process, "The revision in force; always 1, one series."),
            config_items: book.gauge("config_items", &[], Source::Process, "Items of the revision in force."),
            reconcile_runs: book.counter("reconcile_runs_total", &["provider", "outcome"], Source::Process, "Passes that ended, by outcome: ok, closed (a gate let nothing through) or failed."),
            reconcile_duration: book.histogram("reconcile_duration_seconds", &["provider"], &PASS_BUCKETS, "How long a pass took."),
            reconcile_last_attempt: book.gauge("reconcile_last_attempt_timestamp_seconds", &["provider"], Source::Process, "When a pass last began."),
            reconcile_last_success: book.gauge("reconcile_last_success_timestamp_seconds", &["provider"], Source::Process, "When a pass last ended without failing; one behind a closed gate counts."),
            reconcile_next_run: book.gauge("reconcile_next_run_timestamp_seconds", &["provider"], Source::Process, "When writes may start next; absent where the schedule has no further tick."),
            cancellations: book.gauge("cancellations", &["provider", "state"], Source::Ledger, "Requests by the state that people see, gates included."),
            holds: book.gauge("holds", &["provider", "reason"], Source::Ledger, "Held requests by reason; one with several reasons counts under each."),
            next_due: book.gauge("next_due_timestamp_seconds", &["provider"], Source::Ledger, "When the earliest scheduled request is due; absent where none is."),
            oldest_overdue: book.gauge("oldest_overdue_timestamp_seconds", &["provider"], Source::Ledger, "The tick at which the oldest request that is due, not held and not ended should have been carried out; absent where none is overdue."),
            oldest_unknown: book.gauge("oldest_unknown_timestamp_seconds", &["provider"], Source::Ledger, "When the oldest attempt was sent whose outcome is still unknown; absent where none is."),
            deadline_slack: book.gauge("deadline_slack_seconds", &["provider"], Source::Ledger, "How long before its deadline the request with the least room can be cancelled, by schedule, freezes, limits and rate; negative: not in time. Absent where nothing has a deadline."),
            windows_missed: book.counter("windows_missed_total", &["provider"], Source::Continued, "Windows before a period's end that closed before the request could be carried out."),
            settled: book.counter("settled_total", &["provider", "state"], Source::Continued, "Requests that were settled, by the state that they ended in."),
            attempts: book.counter("attempts_total", &["provider", "outcome"], Source::Continued, "Cancel requests that were sent, by what the answer was understood as."),
            effect_delay: book.histogram("effect_delay_seconds", &["provider"], &EFFECT_BUCKETS, "From the moment a request was due to the reading that showed it ended."),
            provider_requests: book.counter("provider_requests_total", &["provider", "operation", "outcome"], Source::Process, "Requests to the provider, by operation and status class or kind of failure."),
            provider_request_duration: book.histogram("provider_request_duration_seconds", &["provider", "operation"], &REQUEST_BUCKETS, "How long one request to the provider took."),
            provider_up: book.gauge("provider_up", &["provider"], Source::Process, "Whether the provider last answered in a way that can be worked with."),
            provider_clock_skew: book.gauge("provider_clock_skew_seconds", &["provider"], Source::Process, "How far the provider's clock is ahead of ours; negative: behind."),
            rate_limit_wait: book.seconds_counter("rate_limit_wait_seconds_total", &["provider"], "Time that requests waited for the rate limit."),
            limit_used: book.gauge("limit_used_ratio", &["limit"], Source::Ledger, "The used part of a rolling limit over all providers: per_hour or per_day; 1 when spent."),
            paused: book.gauge("paused", &["provider"], Source::Ledger, "Whether a person paused the provider, or everything."),
            mode: book.gauge("mode", &["provider", "mode"], Source::Process, "1 for the mode that the provider is in (observe or enforce), 0 for the other."),
            deadlines: book.counter("deadlines_total", &["provider", "result"], Source::Continued, "Deadlines of requests: met (carried out before) or missed (the window closed while it was open)."),
            guard_blocks: book.counter("guard_blocks_total", &["provider", "reason"], Source::Process, "How often a guard said no when it came to act: to a request that it holds from then on, or to a whole pass."),
            oldest_approval: book.gauge("oldest_approval_timestamp_seconds", &[], Source::Ledger, "Since when the oldest request waits for an approval; absent where none does."),
            clock_trusted: book.gauge("clock_trusted", &["provider"], Source::Ledger, "Whether the provider's clock and ours agree (1); nothing is sent while they do not (0)."),
            provider_paused_until: book.gauge("provider_paused_until_timestamp_seconds", &["provider"], Source::Ledger, "Until when nothing is sent, because the provider asked for a pause or failed too often; absent where neither is so."),
            ledger_size: book.gauge("ledger_size_bytes", &[], Source::Ledger, "What the ledger takes of its disk."),
            ledger_free: book.gauge("ledger_free_bytes", &[], Source::Ledger, "What is free on the ledger's disk."),
            log_messages: book.counter("log_messages_total", &["level"], Source::Process, "Lines of the log, by level."),
            log_messages_dropped: book.counter("log_messages_dropped_total", &[], Source::Process, "Lines of the log that were dropped, because nobody took them."),
            http_requests: book.counter("http_requests_total", &["handler", "code"], Source::Process, "Requests to our own port, by what was asked for and the class of the answer."),
            ledger_operation_duration: book.histogram("ledger_operation_duration_seconds", &["operation"], &LEDGER_BUCKETS, "How long one operation of the ledger took."),
            ledger_errors: book.counter("ledger_errors_total", &[], Source::Process, "Operations of the ledger that failed."),
            leader: book.gauge("leader", &[], Source::Process, "Whether this process is the one that writes."),
            blocked_writes: book.counter("blocked_writes_total", &["provider"], Source::Process, "Writes that a preview tried to send and that were stopped; must stay 0."),
            notifications: book.counter("notifications_total", &["webhook", "outcome"], Source::Process, "Tries to tell a webhook something, by outcome: taken, or failed and tried again."),
            oldest_notification: book.gauge("oldest_notification_timestamp_seconds", &["webhook"], Source::Ledger, "When the oldest thing happened that a webhook was not told yet; absent where it was told everything."),
            heartbeats: book.counter("heartbeats_total", &["outcome"], Source::Process, "Heartbeats after a whole round of good passes, by outcome: taken or failed."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn donations() -> ProviderName {
        ProviderName::parse("donations").unwrap()
    }

    #[test]
    fn a_known_provider_is_counted_from_zero() {
        let metrics = Metrics::new("0.1.0", "abc");
        metrics.known(&donations());
        let text = metrics.render(Format::Text);
        for line in [
            r#"lapsed_settled_total{provider="donations",state="canceled"} 0"#,
            r#"lapsed_attempts_total{outcome="unclear",provider="donations"} 0"#,
            r#"lapsed_reconcile_runs_total{outcome="failed",provider="donations"} 0"#,
            r#"lapsed_blocked_writes_total{provider="donations"} 0"#,
            r#"lapsed_build_info{revision="abc",version="0.1.0"} 1"#,
            "lapsed_ledger_errors_total 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_restart_goes_on_from_the_ledgers_count_and_never_counts_twice() {
        let metrics = Metrics::new("0.1.0", "abc");
        let counted = Counted {
            settled: BTreeMap::from([((donations(), State::Canceled), 41)]),
            attempts: BTreeMap::from([((donations(), "of_a_later_version".to_owned()), 1)]),
            ..Counted::default()
        };
        metrics.rebuild(&counted);
        metrics.rebuild(&counted);
        metrics.settled(&donations(), State::Canceled, None);
        let text = metrics.render(Format::Text);
        assert!(
            text.contains(r#"lapsed_settled_total{provider="donations",state="canceled"} 42"#),
            "{text}"
        );
        assert!(!text.contains("of_a_later_version"));
    }

    #[test]
    fn one_revision_is_in_force_at_a_time() {
        let metrics = Metrics::new("0.1.0", "abc");
        metrics.config_in_force("aaa", "", 3);
        metrics.config_in_force("bbb", "cafe", 4);
        let text = metrics.render(Format::Text);
        assert!(!text.contains("aaa"), "{text}");
        assert!(text.contains(r#"lapsed_config_info{commit="cafe",revision="bbb"} 1"#));
        assert!(text.contains("lapsed_config_items 4"));
    }

    #[test]
    fn every_state_of_a_known_provider_is_told_and_a_forgotten_one_is_not() {
        let metrics = Metrics::new("0.1.0", "abc");
        let snapshot = Snapshot {
            providers: vec![donations()],
            cancellations: BTreeMap::from([((donations(), State::Held), 2)]),
            ..Snapshot::default()
        };
        metrics.refresh(&snapshot);
        let text = metrics.render(Format::Text);
        for state in State::ALL {
            let number = if state == State::Held { 2 } else { 0 };
            let line =
                format!(r#"lapsed_cancellations{{provider="donations",state="{state}"}} {number}"#);
            assert!(text.contains(&line), "{line}\n{text}");
        }
        metrics.request(&donations(), "look", "2xx", Duration::from_millis(3));
        metrics.mode(&donations(), "observe");
        metrics.forget(&donations());
        assert!(!metrics.render(Format::Text).contains("donations"));
    }

    #[test]
    fn what_is_not_known_is_absent_and_not_1970() {
        let metrics = Metrics::new("0.1.0", "abc");
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        metrics.next_tick(&donations(), Some(at));
        assert!(
            metrics
                .render(Format::Text)
                .contains("next_run_timestamp_seconds{")
        );
        metrics.next_tick(&donations(), None);
        assert!(
            !metrics
                .render(Format::Text)
                .contains("next_run_timestamp_seconds{")
        );
    }

    #[test]
    fn no_number_of_items_and_thirty_two_providers_make_twelve_thousand_series() {
        let metrics = Metrics::new("0.1.0", "abc");
        let name = |place: u32| ProviderName::parse(&format!("provider-{place}")).unwrap();
        let providers: Vec<ProviderName> = (0..32).map(name).collect();
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let of_each = || providers.iter().cloned();
        metrics.refresh(&Snapshot {
            cancellations: of_each()
                .map(|it| ((it, State::Scheduled), 100_000))
                .collect(),
            next_due: of_each().map(|it| (it, at)).collect(),
            oldest_overdue: of_each().map(|it| (it, at)).collect(),
            oldest_unknown: of_each().map(|it| (it, at)).collect(),
            paused_until: of_each().map(|it| (it, at)).collect(),
            deadline_slack: of_each().map(|it| (it, 1.0)).collect(),
            limit_used: BTreeMap::from([("per_hour", 0.1), ("per_day", 0.1)]),
            oldest_approval: Some(at),
            oldest_notification: BTreeMap::from([("on-call".to_owned(), at)]),
            space: Some((1, 1)),
            providers: providers.clone(),
            ..Snapshot::default()
        });
        let took = Duration::from_millis(3);
        for provider in &providers {
            metrics.known(provider);
            metrics.pass_began(provider, at);
            metrics.pass_ended(provider, "ok", took, at);
            metrics.next_tick(provider, Some(at));
            metrics.provider_up(provider, true);
            metrics.clock_skew(provider, 1);
            metrics.mode(provider, "enforce");
            for operation in OPERATIONS {
                for outcome in OUTCOMES {
                    metrics.request(provider, operation, outcome, took);
                }
            }
        }
        for operation in ["record", "claim", "intend", "accept", "read", "apply"] {
            metrics.ledger_operation(operation, took);
        }
        let text = metrics.render(Format::Text);
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!((5_000..12_000).contains(&series), "{series}");
    }

    #[test]
    fn the_same_is_told_as_openmetrics_to_its_end() {
        let metrics = Metrics::new("0.1.0", "a\"b");
        metrics.known(&donations());
        metrics.settled(&donations(), State::Canceled, Some(Duration::from_secs(40)));
        let text = metrics.render(Format::OpenMetrics);
        for line in [
            "# TYPE lapsed_settled counter",
            r#"lapsed_settled_total{provider="donations",state="canceled"} 1.0"#,
            r#"lapsed_build_info{revision="a\"b",version="0.1.0"} 1.0"#,
            r#"lapsed_effect_delay_seconds_bucket{provider="donations",le="60.0"} 1.0"#,
            r#"lapsed_effect_delay_seconds_bucket{provider="donations",le="+Inf"} 1.0"#,
            r#"lapsed_effect_delay_seconds_count{provider="donations"} 1.0"#,
        ] {
            assert!(text.lines().any(|it| it == line), "{line}\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n"));
        assert_eq!(text.matches("# EOF").count(), 1);
    }

    #[test]
    fn the_committed_reference_is_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus/METRICS.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        let generated = Metrics::reference();
        assert!(
            committed == generated,
            "config/prometheus/METRICS.md is not what src/metrics.rs says; write it anew with \
             `cargo test --lib write_the_reference -- --ignored`"
        );
    }

    #[test]
    #[ignore = "writes config/prometheus/METRICS.md"]
    fn write_the_reference() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus");
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(format!("{folder}/METRICS.md"), Metrics::reference()).unwrap();
    }
}
