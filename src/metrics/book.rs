//! Registers metrics, remembers what each is, and writes the reference page of them.
//!
//! It knows no metric by name: those are the table in `Families::define`.

use std::fmt::Write as _;

use prometheus::core::Collector;
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry,
};

/// What begins every name of ours.
const PREFIX: &str = "lapsed_";

/// Who knows a metric's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// This process: it begins anew with each start.
    Process,
    /// The ledger: the same on every replica.
    Ledger,
    /// This process, which goes on from the ledger's count at its start.
    Continued,
}

/// One metric as `METRICS.md` tells it.
struct Definition {
    name: String,
    kind: &'static str,
    labels: &'static [&'static str],
    source: Source,
    help: &'static str,
}

/// Registers metrics, and remembers what each is.
#[derive(Default)]
pub(super) struct Book {
    pub(super) registry: Registry,
    definitions: Vec<Definition>,
}

type Labels = &'static [&'static str];

impl Book {
    pub(super) fn gauge(
        &mut self,
        name: &str,
        labels: Labels,
        source: Source,
        help: &'static str,
    ) -> GaugeVec {
        let options = self.define(name, "gauge", labels, source, help);
        self.register(GaugeVec::new(options, labels).expect("a name and labels of ours"))
    }

    pub(super) fn counter(
        &mut self,
        name: &str,
        labels: Labels,
        source: Source,
        help: &'static str,
    ) -> IntCounterVec {
        let options = self.define(name, "counter", labels, source, help);
        self.register(IntCounterVec::new(options, labels).expect("a name and labels of ours"))
    }

    pub(super) fn seconds_counter(
        &mut self,
        name: &str,
        labels: Labels,
        help: &'static str,
    ) -> CounterVec {
        let options = self.define(name, "counter", labels, Source::Process, help);
        self.register(CounterVec::new(options, labels).expect("a name and labels of ours"))
    }

    pub(super) fn histogram(
        &mut self,
        name: &str,
        labels: Labels,
        buckets: &[f64],
        help: &'static str,
    ) -> HistogramVec {
        let options = self.define(name, "histogram", labels, Source::Process, help);
        let options = HistogramOpts::from(options).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, labels).expect("a name and labels of ours"))
    }

    fn define(
        &mut self,
        name: &str,
        kind: &'static str,
        labels: Labels,
        source: Source,
        help: &'static str,
    ) -> Opts {
        let name = format!("{PREFIX}{name}");
        let options = Opts::new(name.clone(), help);
        self.definitions.push(Definition {
            name,
            kind,
            labels,
            source,
            help,
        });
        options
    }

    fn register<C: Collector + Clone + 'static>(&mut self, family: C) -> C {
        self.registry
            .register(Box::new(family.clone()))
            .expect("each name is defined once");
        family
    }
}

impl Book {
    /// The reference, in Markdown.
    pub(super) fn page(&self) -> String {
        let mut page = String::from(PAGE_HEAD);
        for definition in &self.definitions {
            let labels: Vec<String> = definition
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            let labels = if labels.is_empty() {
                "–".to_owned()
            } else {
                labels.join(", ")
            };
            let Definition {
                name, kind, help, ..
            } = definition;
            let source = definition.source.as_str();
            // Writing to a `String` cannot fail.
            let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {source} | {help} |");
        }
        page.push_str(PAGE_FOOT);
        page
    }
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Ledger => "ledger",
            Self::Continued => "process, from the ledger's count on",
        }
    }
}

const PAGE_HEAD: &str = "\
<!-- Generated from src/metrics.rs; a test keeps it equal. Do not edit. -->

# Metrics

What `GET /metrics` of `lapsed run` serves, in Prometheus' text format. Labels come from closed
sets; `provider` is the name that the file gives it. No id and no text of an error is ever a label.

**Source** says who knows the value. *process*: it begins anew with each start. *ledger*: it is
read at each scrape and is the same on every replica, so rules use `max by (…)`. *process, from
the ledger's count on*: a counter that takes the ledger's count at its start, so that no restart
loses one of these rare events.

| Metric | Type | Labels | Source | Meaning |
| --- | --- | --- | --- | --- |
";

const PAGE_FOOT: &str = "
The values of `state` and `reason` are those that the page and the API show. `outcome` of
`lapsed_attempts_total` is one of `accepted`, `refused`, `throttled`, `unavailable`,
`unauthorized`, `forbidden`, `not_sent`, `unclear`.

Beside these, the usual metrics of a process (Linux): `process_cpu_seconds_total`,
`process_open_fds`, `process_max_fds`, `process_virtual_memory_bytes`,
`process_resident_memory_bytes`, `process_start_time_seconds`, `process_threads`.
";
