//! What people are told: the ledger's rows seen in the light of what holds now.
//!
//! One place computes the state that people see, so that the page, the API, the commands and
//! the metrics cannot tell different stories. It only reads, and works beside a running
//! daemon: everything it needs stands in the ledger and in the accepted file.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::config::{Config, Mode, ProviderConfig, Subject};
use crate::ledger::{
    DuePlace, Head, Identity, Ledger, LedgerError, Page, Recorded, RevisionHead, Tally,
};
use crate::model::hold::HoldReason;
use crate::model::ids::{Key, ProviderName, SubscriptionId};
use crate::model::labels::Labels;
use crate::model::memory::{Pauses, ProviderMemory, Used};
use crate::model::observed::Look;
use crate::model::provider::ProviderKind;
use crate::model::request::Request;
use crate::model::standing::{Phase, State};
use crate::model::terms::{Sourced, Terms, Unused, When};
use crate::plan::forecast::{self, Work, forecast};
use crate::plan::guard::{self, Gate, Situation};
use crate::plan::window::Hours;

use super::story;

/// The earliest deadlines of one provider that are played through for its slack.
const MOST_DEADLINES: u32 = 1_000;

/// Rows that are read at once for a list.
const AT_ONCE: u32 = 1_000;

/// Everything that decides what people are told, at one moment.
#[derive(Clone, Debug)]
pub struct Standpoint {
    /// The moment.
    pub now: DateTime<Utc>,
    /// How we run.
    pub config: Arc<Config>,
    /// Which ledger it is.
    pub identity: Identity,
    /// The revision in force, without its text.
    pub revision: Option<RevisionHead>,
    /// What is paused.
    pub pauses: Pauses,
    /// What is remembered of each provider.
    pub memories: BTreeMap<ProviderName, ProviderMemory>,
    /// What of the rolling limits is used.
    pub used: Used,
}

impl Standpoint {
    /// Reads it from the ledger.
    pub async fn read(
        ledger: &dyn Ledger,
        config: Arc<Config>,
        now: DateTime<Utc>,
    ) -> Result<Self, LedgerError> {
        let mut memories = BTreeMap::new();
        for name in config.providers.keys() {
            memories.insert(name.clone(), ledger.provider(name.clone()).await?);
        }
        Ok(Self {
            now,
            identity: ledger.identity().await?,
            revision: ledger.revision_head().await?,
            pauses: ledger.pauses().await?,
            memories,
            used: ledger.used(now).await?,
            config,
        })
    }

    /// The situation of one provider.
    pub fn situation<'a>(&'a self, provider: &'a ProviderConfig) -> Option<Situation<'a>> {
        Some(Situation {
            now: self.now,
            ledger_doubt: self.identity.doubt.as_deref(),
            pauses: &self.pauses,
            memory: self.memories.get(&provider.name)?,
            provider,
            limits: &self.config.limits,
            freezes: &self.config.freezes,
            approvals: &self.config.approvals,
            used: &self.used,
        })
    }

    /// The gates that are closed for a provider, in the order of the guards.
    pub fn gates(&self, name: &ProviderName) -> Vec<Gate> {
        self.config
            .providers
            .get(name)
            .and_then(|provider| self.situation(provider))
            .map(|situation| situation.gates())
            .unwrap_or_default()
    }

    /// What holds one request now, in the order of the guards, with words.
    pub fn holds(&self, request: &Request) -> Vec<(HoldReason, String)> {
        let mut holds: Vec<(HoldReason, String)> = request
            .standing
            .holds
            .iter()
            .map(|reason| {
                let detail = request
                    .hold_details
                    .get(reason)
                    .cloned()
                    .unwrap_or_default();
                (*reason, detail)
            })
            .collect();
        if self.is_due(request) {
            holds.extend(
                self.gates_of(request)
                    .into_iter()
                    .map(|it| (it.reason, it.detail)),
            );
        }
        holds.sort_by_key(|(reason, _)| *reason);
        holds.dedup_by_key(|(reason, _)| *reason);
        holds
    }

    /// Gates are shown on what is due: waiting for nothing but them.
    fn is_due(&self, request: &Request) -> bool {
        request.standing.plannable() && request.due_at.is_some_and(|due_at| due_at <= self.now)
    }

    fn gates_of(&self, request: &Request) -> Vec<Gate> {
        let Some(provider) = self.config.providers.get(&request.key.provider) else {
            return Vec::new();
        };
        let Some(situation) = self.situation(provider) else {
            return Vec::new();
        };
        let mut gates = situation.gates();
        gates.extend(situation.frozen(request));
        gates.extend(situation.limited(request));
        // It would be cancelled now, says observe mode: only a reading can know that.
        gates.retain(|it| it.reason != HoldReason::ObserveMode || request.look.is_some());
        gates
    }

    /// The state that people see.
    pub fn state(&self, request: &Request) -> State {
        match request.state() {
            State::Scheduled | State::Retrying if !self.holds(request).is_empty() => State::Held,
            state => state,
        }
    }

    /// One request, as the API tells it.
    pub fn item(&self, request: &Request) -> ItemReport {
        let holds = self.holds(request);
        let state = match request.state() {
            State::Scheduled | State::Retrying if !holds.is_empty() => State::Held,
            state => state,
        };
        ItemReport {
            provider: request.key.provider.clone(),
            id: request.key.id.to_string(),
            again: request.key.again,
            kind: request.kind,
            state,
            hold: hold_report(request, &holds),
            when: request.terms.when_text.clone(),
            labels: request.terms.labels.clone(),
            ends_with_period: request.terms.when.value == When::EndOfPeriod,
            approved: request.standing.approved.clone(),
            missed_at: request.standing.missed,
            due_at: request.due_at,
            deadline_at: request.deadline_at,
            next_at: self.next_at(request),
            period_end: period_end(request),
            terms: terms_report(&request.terms),
            unused: request.terms.unused.clone(),
            observed: request.look.as_ref().map(observed),
            attempts: request.standing.attempts,
            origin: OriginReport {
                file: request.place.file.clone(),
                line: request.place.line,
                revision: request.revision.clone(),
            },
            note: request.note.clone(),
            created_at: request.created_at,
            changed_at: request.changed_at,
        }
    }

    /// When something happens to it next: the first tick at or after its time, or the moment
    /// at which it wakes by itself.
    fn next_at(&self, request: &Request) -> Option<DateTime<Utc>> {
        let wake_at = request.wake_at?;
        if request.standing.phase != Phase::Waiting {
            return Some(wake_at.max(self.now));
        }
        let provider = self.config.providers.get(&request.key.provider)?;
        let just_before = wake_at.max(self.now) - chrono::Duration::nanoseconds(1);
        provider.schedule.next_after(just_before)
    }

    /// Counts by provider and state, gates included.
    pub fn counts(&self, tally: &Tally) -> BTreeMap<(ProviderName, State), u64> {
        let mut counts = BTreeMap::new();
        for ((name, state), count) in &tally.states {
            let mut add = |state, count| {
                if count > 0 {
                    *counts.entry((name.clone(), state)).or_default() += count;
                }
            };
            if matches!(state, State::Scheduled | State::Retrying) {
                let held = self.held_by_gates(name, count);
                add(State::Held, held);
                add(*state, count.all - held);
            } else {
                add(*state, count.all);
            }
        }
        counts
    }

    /// How many of what is due the gates of a provider hold.
    fn held_by_gates(&self, name: &ProviderName, count: &crate::ledger::Count) -> u64 {
        match self.gates(name).first().map(|gate| gate.reason) {
            None => 0,
            Some(HoldReason::ObserveMode) => count.looked,
            Some(_) => count.due,
        }
    }

    fn due_now(&self, name: &ProviderName, tally: &Tally) -> u64 {
        let of_provider = tally.states.iter().filter(|((of, _), _)| of == name);
        let waiting = of_provider
            .filter(|((_, state), _)| matches!(state, State::Scheduled | State::Retrying));
        waiting
            .map(|(_, count)| count.due - self.held_by_gates(name, count))
            .sum()
    }

    /// Counts by provider and reason, gates included; each item counts once, under the reason
    /// that names its hold.
    pub fn hold_counts(&self, tally: &Tally) -> BTreeMap<(ProviderName, HoldReason), u64> {
        let mut counts = tally.holds.clone();
        for ((name, state), count) in &tally.states {
            if !matches!(state, State::Scheduled | State::Retrying) {
                continue;
            }
            let held = self.held_by_gates(name, count);
            if let (Some(gate), true) = (self.gates(name).first(), held > 0) {
                *counts.entry((name.clone(), gate.reason)).or_default() += held;
            }
        }
        counts
    }

    /// By provider: how many seconds before its deadline the item with the least room can be
    /// cancelled, of those that [`Self::ahead`] tells.
    pub fn slack(ahead: &[Ahead]) -> BTreeMap<ProviderName, f64> {
        let mut least: BTreeMap<ProviderName, f64> = BTreeMap::new();
        for it in ahead {
            if let Some(slack) = it.slack {
                let so_far = least.entry(it.provider.clone()).or_insert(slack);
                *so_far = so_far.min(slack);
            }
        }
        least
    }

    /// What has a deadline, and when it will be carried out as far as can be foretold. Of each
    /// provider the earliest deadlines are played through.
    pub async fn ahead(&self, ledger: &dyn Ledger) -> Result<Vec<Ahead>, LedgerError> {
        let mut requests = Vec::new();
        for name in self.config.providers.keys() {
            let far = DateTime::<Utc>::MAX_UTC;
            let first = ledger.overdue(name.clone(), far, MOST_DEADLINES).await?;
            requests.extend(first);
        }
        let (requests, work): (Vec<&Request>, Vec<Work<'_>>) = requests
            .iter()
            .filter_map(|request| Some((request, self.work(request)?)))
            .unzip();
        let until = forecast::horizon(&work, self.now);
        let foretold = forecast(&self.config, &work, &self.used, self.now, until);
        let ahead = requests.iter().zip(&work).zip(foretold);
        Ok(ahead
            .map(|((request, work), foretold)| Ahead {
                row: request.row,
                provider: work.provider.clone(),
                id: request.key.id.clone(),
                due_at: work.due_at,
                deadline_at: work.deadline_at,
                slack: forecast::slack(work, &foretold, until),
                at: foretold.at,
                obstacle: foretold.obstacle.map(|it| it.words()),
            })
            .collect())
    }

    /// A request as the days ahead are played through with.
    fn work<'w>(&'w self, request: &'w Request) -> Option<Work<'w>> {
        let provider = self.config.providers.get(&request.key.provider)?;
        let subject = Subject::new(&request.key, request.kind, &request.terms.labels);
        Some(Work {
            provider: provider.name.clone(),
            order: request.row,
            due_at: request.due_at?,
            deadline_at: request.deadline_at,
            freezes: Hours::of(&provider.schedule, &self.config.freezes, &subject).freezes,
            own_limit: guard::own_limit(request, &self.config.approvals),
        })
    }

    /// The whole picture.
    pub async fn status(&self, ledger: &dyn Ledger) -> Result<StatusReport, LedgerError> {
        let tally = ledger.tally(self.now).await?;
        let counts = self.counts(&tally);
        let holds = self.hold_counts(&tally);
        let providers = self
            .config
            .providers
            .values()
            .map(|provider| self.provider_report(provider, &tally, &counts, &holds))
            .collect();
        let mut totals = BTreeMap::new();
        for ((_, state), count) in &counts {
            *totals.entry(*state).or_default() += count;
        }
        Ok(StatusReport {
            at: self.now,
            revision: self.revision.clone(),
            ledger: LedgerReport {
                id: self.identity.ledger_id.clone(),
                doubt: self.identity.doubt.clone(),
                head: ledger.head().await?,
            },
            totals,
            limits: self.limits(),
            providers,
        })
    }

    fn limits(&self) -> Vec<LimitReport> {
        let limits = &self.config.limits;
        let report = |limit, used, most| LimitReport { limit, used, most };
        vec![
            report("per_hour", self.used.common_hour, limits.per_hour),
            report("per_day", self.used.common_day, limits.per_day),
        ]
    }

    fn provider_report(
        &self,
        provider: &ProviderConfig,
        tally: &Tally,
        counts: &BTreeMap<(ProviderName, State), u64>,
        holds: &BTreeMap<(ProviderName, HoldReason), u64>,
    ) -> ProviderReport {
        let name = &provider.name;
        ProviderReport {
            provider: name.clone(),
            kind: provider.kind(),
            mode: provider.mode.as_str(),
            schedule: provider.schedule.text().to_owned(),
            next_tick_at: provider.schedule.next_after(self.now),
            next_due_at: tally.next_due.get(name).copied(),
            due_now: self.due_now(name, tally),
            unknown_since: tally.oldest_unknown.get(name).copied(),
            gates: self
                .gates(name)
                .into_iter()
                .filter(|gate| gate.reason != HoldReason::ObserveMode)
                .map(|gate| GateReport {
                    reason: gate.reason,
                    detail: gate.detail,
                    cure: gate.reason.cure(),
                    opens_at: gate.opens_at,
                })
                .collect(),
            states: of_provider(counts, name),
            holds: of_provider(holds, name),
        }
    }

    /// A page of requests that people see in one of these states (empty: any), in the order
    /// of their rows.
    pub async fn list(
        &self,
        ledger: &dyn Ledger,
        query: &ListQuery,
    ) -> Result<ListReport, LedgerError> {
        let stored = stored_states(&query.states);
        let mut items = Vec::new();
        let mut after = query.after;
        let mut after_due = query.by_due.flatten();
        let mut more = true;
        // Mostly the first rows are all that is asked for.
        let mut at_once = 100;
        let mut left = query.most_looked_at.unwrap_or(usize::MAX);
        while more && items.len() < query.limit as usize && left > 0 {
            let page = Page {
                provider: query.provider.clone(),
                states: stored.clone(),
                held_by: query.hold.filter(|reason| !reason.is_gate()),
                after,
                by_due: query.by_due.is_some(),
                after_due,
                limit: query.limit.max(at_once),
                ..Page::default()
            };
            at_once = AT_ONCE;
            let rows = ledger.page(page.clone()).await?;
            more = rows.len() == page.limit as usize;
            left = left.saturating_sub(rows.len());
            for request in &rows {
                if items.len() == query.limit as usize {
                    more = true;
                    break;
                }
                after = request.row;
                after_due = Some(DuePlace::of(request));
                let item = self.item(request);
                if query.wants(&item) {
                    items.push(item);
                }
            }
        }
        Ok(ListReport {
            items,
            next: more.then_some(after),
            next_due: after_due.filter(|_| more),
            more,
        })
    }

    /// Requests whose ids begin so, the first of each provider in the order of their ids; as the
    /// word was typed, and else in small letters.
    pub async fn search(
        &self,
        ledger: &dyn Ledger,
        query: &ListQuery,
        word: &str,
    ) -> Result<ListReport, LedgerError> {
        let small = word.to_lowercase();
        let mut items = Vec::new();
        let mut more = false;
        for prefix in [word, &small] {
            let names = self.config.providers.keys();
            for name in names.filter(|name| query.provider.as_ref().is_none_or(|it| it == *name)) {
                let page = Page {
                    provider: Some(name.clone()),
                    states: stored_states(&query.states),
                    prefix: Some(prefix.to_owned()),
                    limit: query.limit + 1,
                    ..Page::default()
                };
                let rows = ledger.page(page).await?;
                more |= rows.len() > query.limit as usize;
                let found = rows.iter().map(|request| self.item(request));
                items.extend(found.filter(|item| query.wants(item)));
            }
            if !items.is_empty() || small == word {
                break;
            }
        }
        more |= items.len() > query.limit as usize;
        items.truncate(query.limit as usize);
        Ok(ListReport {
            items,
            next: None,
            next_due: None,
            more,
        })
    }

    /// One subscription's requests, newest `again` first.
    pub async fn find(
        &self,
        ledger: &dyn Ledger,
        key: &Key,
    ) -> Result<Vec<ItemReport>, LedgerError> {
        let found = ledger
            .find_all(key.provider.clone(), key.id.clone())
            .await?;
        Ok(found.iter().map(|request| self.item(request)).collect())
    }
}

/// The stored states in which requests can stand that people see in these.
fn stored_states(seen: &[State]) -> Vec<State> {
    let mut stored = seen.to_vec();
    if seen.contains(&State::Held) {
        stored.extend([State::Scheduled, State::Retrying]);
    }
    stored.sort_unstable();
    stored.dedup();
    stored
}

fn of_provider<K: Copy + Ord>(
    counts: &BTreeMap<(ProviderName, K), u64>,
    name: &ProviderName,
) -> BTreeMap<K, u64> {
    counts
        .iter()
        .filter(|((of, _), _)| of == name)
        .map(|((_, key), count)| (*key, *count))
        .collect()
}

fn hold_report(request: &Request, holds: &[(HoldReason, String)]) -> Option<HoldReport> {
    if request.state().finished() {
        return None;
    }
    let ((reason, detail), others) = holds.split_first()?;
    Some(HoldReport {
        reason: *reason,
        detail: detail.clone(),
        also: others.iter().map(|(reason, _)| *reason).collect(),
        since: request
            .held_since
            .or(request.due_at)
            .unwrap_or(request.created_at),
        cure: reason.cure(),
    })
}

fn period_end(request: &Request) -> Option<PeriodEndReport> {
    use crate::model::observed::Observed;
    if let Some(given) = &request.terms.period_ends {
        return Some(PeriodEndReport {
            at: given.value,
            source: given.from.to_string(),
        });
    }
    match &request.look.as_ref()?.observed {
        Observed::Found(found) => Some(PeriodEndReport {
            at: found.period_end?,
            source: request.kind.to_string(),
        }),
        Observed::NotFound | Observed::NotOurs { .. } => None,
    }
}

fn observed(look: &Look) -> ObservedReport {
    ObservedReport {
        at: look.at,
        summary: look.observed.summary(),
    }
}

/// Every field that has a value, with where it came from.
pub fn terms_report(terms: &Terms) -> BTreeMap<&'static str, TermReport> {
    fn term<T: Serialize>(sourced: &Sourced<T>) -> TermReport {
        TermReport {
            // Terms are plain data, which JSON can always hold.
            value: serde_json::to_value(&sourced.value).unwrap_or_default(),
            from: sourced.from.to_string(),
        }
    }
    let mut report = BTreeMap::from([(
        "when",
        TermReport {
            value: terms.when_text.clone().into(),
            from: terms.when.from.to_string(),
        },
    )]);
    if terms.when.value == When::EndOfPeriod {
        let window = terms.window.value;
        report.insert(
            "window",
            TermReport {
                value: serde_json::json!({
                    "opens_seconds": window.opens.as_secs(),
                    "closes_seconds": window.closes.as_secs(),
                }),
                from: terms.window.from.to_string(),
            },
        );
        report.insert("when_missed", term(&terms.when_missed));
    }
    let mut optional = |name, value: Option<TermReport>| {
        if let Some(value) = value {
            report.insert(name, value);
        }
    };
    optional("reason", terms.reason.as_ref().map(term));
    optional("period_ends", terms.period_ends.as_ref().map(term));
    optional(
        "flat_fee_behavior",
        terms.flat_fee_behavior.as_ref().map(term),
    );
    optional("usage_behavior", terms.usage_behavior.as_ref().map(term));
    optional(
        "invoicing_behavior",
        terms.invoicing_behavior.as_ref().map(term),
    );
    let item = |value: serde_json::Value| TermReport {
        value,
        from: "item".to_owned(),
    };
    optional(
        "expect",
        (!terms.expect.is_empty())
            .then(|| item(serde_json::to_value(&terms.expect).unwrap_or_default())),
    );
    optional(
        "labels",
        (!terms.labels.is_empty())
            .then(|| item(serde_json::to_value(&terms.labels).unwrap_or_default())),
    );
    optional(
        "requested",
        terms.requested.clone().map(|it| item(it.into())),
    );
    report
}

/// A request with a deadline, and when it will be carried out.
#[derive(Clone, Debug)]
pub struct Ahead {
    /// Its row.
    pub row: i64,
    /// Where.
    pub provider: ProviderName,
    /// Which subscription.
    pub id: SubscriptionId,
    /// When it may act.
    pub due_at: DateTime<Utc>,
    /// Until when in time.
    pub deadline_at: Option<DateTime<Utc>>,
    /// How many seconds before its deadline it acts; negative: too late.
    pub slack: Option<f64>,
    /// When it acts, by schedule, freezes, limits and rate.
    pub at: Option<DateTime<Utc>>,
    /// What is in the way of its deadline, if it is not met.
    pub obstacle: Option<String>,
}

/// What is asked of [`Standpoint::list`].
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Of one provider.
    pub provider: Option<ProviderName>,
    /// In one of these states, as people see them; empty: any.
    pub states: Vec<State>,
    /// Held for this reason, gates included, whichever names the hold.
    pub hold: Option<HoldReason>,
    /// After this row.
    pub after: i64,
    /// Earliest due first instead, after this place if one is given.
    pub by_due: Option<Option<DuePlace>>,
    /// At most so many.
    pub limit: u32,
    /// After how many rows to leave it at what was found, although few answer: the report says where
    /// to go on. None: the list has all that answer, up to its limit.
    pub most_looked_at: Option<usize>,
}

impl ListQuery {
    fn wants(&self, item: &ItemReport) -> bool {
        let held = |reason: HoldReason| {
            let hold = item.hold.iter();
            hold.flat_map(|hold| std::iter::once(&hold.reason).chain(&hold.also))
                .any(|it| *it == reason)
        };
        (self.states.is_empty() || self.states.contains(&item.state)) && self.hold.is_none_or(held)
    }
}

/// A page of requests.
#[derive(Clone, Debug, Serialize)]
pub struct ListReport {
    /// The requests.
    pub items: Vec<ItemReport>,
    /// What `after` gives the next page; none: this was the last.
    pub next: Option<i64>,
    /// Where it goes on where the earliest due is first; none: this was the last.
    #[serde(skip)]
    pub next_due: Option<DuePlace>,
    /// Whether there are more than these.
    #[serde(skip)]
    pub more: bool,
}

/// One request (design, section 8).
#[derive(Clone, Debug, Serialize)]
pub struct ItemReport {
    /// The provider's name.
    pub provider: ProviderName,
    /// The subscription, in its one spelling.
    pub id: String,
    /// Which request for it.
    pub again: u32,
    /// The provider's kind.
    pub kind: ProviderKind,
    /// The state that people see.
    pub state: State,
    /// What holds it.
    pub hold: Option<HoldReport>,
    /// `when` as it was written.
    pub when: String,
    /// Its labels, which `terms` tells with where they came from.
    #[serde(skip)]
    pub labels: Labels,
    /// Whether `when` is `end_of_period`.
    #[serde(skip)]
    pub ends_with_period: bool,
    /// The plan with which it was approved.
    pub approved: Option<String>,
    /// When the last window closed that went by without a cancel.
    pub missed_at: Option<DateTime<Utc>>,
    /// When it may act.
    pub due_at: Option<DateTime<Utc>>,
    /// Until when it can still be done in time.
    pub deadline_at: Option<DateTime<Utc>>,
    /// When something happens to it next.
    pub next_at: Option<DateTime<Utc>>,
    /// The paid period's end and who says so.
    pub period_end: Option<PeriodEndReport>,
    /// Each field with where it came from.
    pub terms: BTreeMap<&'static str, TermReport>,
    /// What was set and is of no use.
    pub unused: Vec<Unused>,
    /// What was last observed.
    pub observed: Option<ObservedReport>,
    /// Attempts begun.
    pub attempts: u32,
    /// Where the revision that last changed it has it.
    pub origin: OriginReport,
    /// How it ended.
    pub note: Option<String>,
    /// When it was first accepted.
    pub created_at: DateTime<Utc>,
    /// When its record last grew.
    pub changed_at: DateTime<Utc>,
}

impl ItemReport {
    /// Whether its provider ends it by itself at the end of its period.
    pub fn ends_natively(&self) -> bool {
        self.ends_with_period && self.kind.capabilities().native_period_end
    }
}

/// What holds a request.
#[derive(Clone, Debug, Serialize)]
pub struct HoldReport {
    /// The first reason in the order of the guards.
    pub reason: HoldReason,
    /// In words.
    pub detail: String,
    /// The other reasons.
    pub also: Vec<HoldReason>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// What frees it.
    pub cure: &'static str,
}

/// When a paid period ends.
#[derive(Clone, Debug, Serialize)]
pub struct PeriodEndReport {
    /// When.
    pub at: DateTime<Utc>,
    /// Who says so.
    pub source: String,
}

/// A value and where it came from.
#[derive(Clone, Debug, Serialize)]
pub struct TermReport {
    /// The value.
    pub value: serde_json::Value,
    /// Where it came from.
    pub from: String,
}

/// What was observed.
#[derive(Clone, Debug, Serialize)]
pub struct ObservedReport {
    /// When.
    pub at: DateTime<Utc>,
    /// In one line.
    pub summary: String,
}

/// Where a request stands in the file.
#[derive(Clone, Debug, Serialize)]
pub struct OriginReport {
    /// The file.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The revision that last changed it.
    pub revision: String,
}

/// The whole picture.
#[derive(Clone, Debug, Serialize)]
pub struct StatusReport {
    /// When.
    pub at: DateTime<Utc>,
    /// The revision in force.
    pub revision: Option<RevisionHead>,
    /// The ledger.
    pub ledger: LedgerReport,
    /// Over all providers.
    pub totals: BTreeMap<State, u64>,
    /// The rolling limits over all.
    pub limits: Vec<LimitReport>,
    /// One by one.
    pub providers: Vec<ProviderReport>,
}

/// The ledger.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerReport {
    /// Its id.
    pub id: String,
    /// Why it may not be acted on.
    pub doubt: Option<String>,
    /// The newest block of its record.
    pub head: Head,
}

/// A rolling limit.
#[derive(Clone, Debug, Serialize)]
pub struct LimitReport {
    /// `per_hour` or `per_day`.
    pub limit: &'static str,
    /// Writes in that time.
    pub used: u64,
    /// At most so many.
    pub most: u64,
}

/// One provider.
#[derive(Clone, Debug, Serialize)]
pub struct ProviderReport {
    /// Its name.
    pub provider: ProviderName,
    /// Its kind.
    pub kind: ProviderKind,
    /// `observe` or `enforce`.
    pub mode: &'static str,
    /// Its schedule as written.
    pub schedule: String,
    /// When writes may start next.
    pub next_tick_at: Option<DateTime<Utc>>,
    /// The earliest of what is scheduled.
    pub next_due_at: Option<DateTime<Utc>>,
    /// What is due, and held by nothing: the next run takes it, as far as the limits let it.
    pub due_now: u64,
    /// When the oldest request was sent of which the outcome is not known.
    pub unknown_since: Option<DateTime<Utc>>,
    /// What is closed, observe mode aside.
    pub gates: Vec<GateReport>,
    /// Counts by the state that people see.
    pub states: BTreeMap<State, u64>,
    /// Counts by reason.
    pub holds: BTreeMap<HoldReason, u64>,
}

impl ProviderReport {
    /// Whether it acts.
    pub fn enforces(&self) -> bool {
        self.mode == Mode::Enforce.as_str()
    }
}

/// A gate that is closed.
#[derive(Clone, Debug, Serialize)]
pub struct GateReport {
    /// Why.
    pub reason: HoldReason,
    /// In words.
    pub detail: String,
    /// What opens it.
    pub cure: &'static str,
    /// When it may open by itself.
    pub opens_at: Option<DateTime<Utc>>,
}

/// One event of the record, as the API tells it.
#[derive(Clone, Debug, Serialize)]
pub struct EventReport {
    /// Its number.
    pub number: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The provider's name.
    pub provider: ProviderName,
    /// The subscription.
    pub id: String,
    /// Which request for it.
    pub again: u32,
    /// The kind of event.
    pub kind: String,
    /// All that is recorded of it; none where it was erased.
    pub event: Option<serde_json::Value>,
    /// The commit of the revision that it names, where that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Its place in the chain.
    pub hash: String,
}

impl EventReport {
    /// An event of the record, with what [`Ledger::commits`] knows.
    pub fn of(recorded: &Recorded, commits: &BTreeMap<String, String>) -> Self {
        Self {
            commit: story::commit(recorded, commits).cloned(),
            number: recorded.number,
            at: recorded.at,
            provider: recorded.key.provider.clone(),
            id: recorded.key.id.to_string(),
            again: recorded.key.again,
            kind: recorded.kind.clone(),
            event: recorded
                .event
                .as_ref()
                .and_then(|event| serde_json::to_value(event).ok()),
            hash: recorded.hash.clone(),
        }
    }
}
