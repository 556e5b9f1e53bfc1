//! Keeps the revision in force: takes the newest text, has it judged and accepted, or says
//! what is wrong with it and holds what it no longer asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::config::{Config, ProviderConfig};
use crate::desired::{self, FileText, Input, Manifest, Problem};
use crate::ledger::{KeptFile, LedgerError, Revision};
use crate::model::approval::Approved;
use crate::planted::planted;
use crate::reconcile::accept::{self, Acceptance, Proposal};
use crate::reconcile::excerpt::{Excerpt, excerpts};
use crate::reconcile::live::{InForce, Live, SourceState};
use crate::reconcile::pass::Tools;
use crate::source::{Latest, Text};

/// Problems that are logged one by one; the page and `check` tell all of them.
const LOGGED: usize = 20;

/// What became of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Another revision is in force.
    Accepted,
    /// The revision in force stays.
    Unchanged,
}

/// Keeps the revision in force.
pub struct Keeper {
    tools: Tools,
    live: Arc<Live>,
    /// What is in force, with what only accepting the next one needs.
    manifest: Option<Arc<Manifest>>,
    owes: bool,
}

/// A text that was read and judged by itself.
enum Read {
    Valid(Box<Proposal>),
    Invalid(Refusal),
}

/// Why a text is not accepted.
struct Refusal {
    problems: Vec<String>,
    excerpts: Vec<Excerpt>,
}

impl Refusal {
    /// For what has no place in a text.
    fn words(problem: String) -> Self {
        Self {
            problems: vec![problem],
            excerpts: Vec::new(),
        }
    }

    fn of(problems: &[Problem], text: &Text) -> Self {
        let files: Vec<(&str, &[u8])> = text
            .files
            .iter()
            .map(|file| (file.name.as_str(), &*file.bytes))
            .collect();
        Self {
            problems: problems.iter().map(Problem::line).collect(),
            excerpts: excerpts(problems, &files),
        }
    }
}

impl Keeper {
    /// A keeper that knows of no revision yet.
    pub fn new(tools: Tools, live: Arc<Live>) -> Self {
        Self {
            tools,
            live,
            manifest: None,
            owes: false,
        }
    }

    /// Makes the ledger ready: what a dead process left as sending is unknown, an acceptance
    /// that was cut short is finished, and the last accepted text is in force until a newer
    /// one is read.
    pub async fn begin(&mut self) -> Result<(), LedgerError> {
        let ledger = Arc::clone(&self.tools.ledger);
        let interrupted = ledger.interrupt_all(self.tools.clock.now()).await?;
        if interrupted > 0 {
            tracing::warn!(
                requests = interrupted,
                "{interrupted} requests were being sent when the last process ended; what became of them is read now"
            );
        }
        if let Some(revision) = ledger.accepting().await? {
            match accept::read_kept(&revision.files) {
                Ok(manifest) => accept::finish(&*ledger, &revision, &manifest).await?,
                Err(problems) => tracing::error!(
                    "the acceptance of revision {} was cut short, and this version finds {} problems in its text; waiting for a valid file",
                    revision.digest,
                    problems.len()
                ),
            }
        }
        let Some(revision) = ledger.current().await? else {
            return Ok(());
        };
        // Its items stand in the ledger: to go on, no more is needed than how to run.
        match accept::read_kept_settings(&revision.files) {
            Ok(manifest) => {
                let items = revision.verdict.counts.items();
                self.install(revision, manifest, items);
            }
            Err(problems) => tracing::error!(
                "this version finds {} problems in the text of the last accepted revision {}; waiting for a valid file",
                problems.len(),
                revision.digest
            ),
        }
        Ok(())
    }

    /// Whether the newest text could not be taken because the ledger failed.
    pub const fn owes(&self) -> bool {
        self.owes
    }

    /// Notes the last successful look at the whole set.
    pub fn seen(&self, seen_at: Option<DateTime<Utc>>) {
        let before = self.live.source.load();
        if let Some(at) = seen_at.filter(|_| before.seen_at != seen_at) {
            self.tools.metrics.config_seen(at);
            self.live.source.store(Arc::new(SourceState {
                seen_at,
                ..SourceState::clone(&before)
            }));
        }
    }

    /// Takes the newest text, or what is wrong with it.
    pub async fn take(&mut self, latest: &Latest) -> Result<Verdict, LedgerError> {
        let result = self.try_take(latest).await;
        self.owes = result.is_err();
        result
    }

    async fn try_take(&mut self, latest: &Latest) -> Result<Verdict, LedgerError> {
        if let Some(seen_at) = latest.seen_at {
            self.tools.metrics.config_seen(seen_at);
        }
        if let Some(problem) = &latest.problem {
            let refusal = Refusal::words(problem.to_string());
            self.refuse(latest, refusal, None).await?;
            return Ok(Verdict::Unchanged);
        }
        let in_force = self.live.in_force.load_full();
        let Some(text) = &latest.text else {
            // What is in force was let go of, and is still what the files say.
            if in_force.is_some() && latest.seen_at.is_some() {
                self.well(latest, None).await?;
            }
            return Ok(Verdict::Unchanged);
        };
        let same = in_force.is_some_and(|it| it.digest == text.revision);
        // While another acceptance stands half-way no pass takes anything: this text, accepted
        // once more, ends it.
        if same && self.tools.ledger.accepting().await?.is_none() {
            self.well(latest, None).await?;
            return Ok(Verdict::Unchanged);
        }
        let read = {
            let text = Arc::clone(text);
            let before = self.manifest.clone();
            aside(move || read(&text, before.as_deref())).await
        };
        match read {
            Ok(Read::Valid(proposal)) => {
                self.accept(latest, *proposal).await?;
                Ok(Verdict::Accepted)
            }
            Ok(Read::Invalid(refusal)) => {
                self.refuse(latest, refusal, Some(text)).await?;
                Ok(Verdict::Unchanged)
            }
            Err(panicked) => {
                let problem = format!("reading the file failed: {panicked}");
                let refusal = Refusal::words(problem);
                self.refuse(latest, refusal, Some(text)).await?;
                Ok(Verdict::Unchanged)
            }
        }
    }

    async fn accept(&mut self, latest: &Latest, proposal: Proposal) -> Result<(), LedgerError> {
        let ledger = Arc::clone(&self.tools.ledger);
        let now = self.tools.clock.now();
        let before = self.manifest.clone();
        let before_config = before.as_deref().map(|manifest| &manifest.config);
        if let Some(meant) = &proposal.manifest.config.ledger_id {
            ledger.named(meant.clone()).await?;
        }
        let Acceptance {
            number,
            verdict,
            approvals,
        } = accept::accept(&*ledger, &proposal, before_config, now).await?;
        let Proposal {
            digest,
            commit,
            files,
            manifest,
        } = proposal;
        let mut warnings: Vec<String> = manifest.warnings.iter().map(Problem::line).collect();
        warnings.extend(useless(&manifest.config, &approvals));
        for warning in warnings.iter().take(LOGGED) {
            tracing::warn!("{warning}");
        }
        tell(&digest, commit.as_deref(), &verdict);
        let revision = Revision {
            number,
            digest,
            commit,
            accepted_at: now,
            files,
            verdict,
        };
        let woken = changed_providers(before_config, &manifest.config);
        let items = manifest.wanted.len() as u64;
        self.install(revision, manifest, items);
        for name in woken {
            ledger.wake_held(name, now).await?;
        }
        self.well(latest, Some(warnings)).await
    }

    fn install(&mut self, revision: Revision, mut manifest: Manifest, items: u64) {
        // What is wanted stands in the ledger from now on: memory must not grow with it.
        manifest.wanted = Vec::new();
        let commit = revision.commit.as_deref().unwrap_or_default();
        self.tools
            .metrics
            .config_in_force(&revision.digest, commit, items);
        self.live.in_force.store(Some(Arc::new(InForce {
            config: Arc::new(manifest.config.clone()),
            number: revision.number,
            digest: revision.digest,
            items,
            accepted_at: revision.accepted_at,
        })));
        self.manifest = Some(Arc::new(manifest));
    }

    /// The newest text is in force.
    async fn well(
        &self,
        latest: &Latest,
        warnings: Option<Vec<String>>,
    ) -> Result<(), LedgerError> {
        let before = self.live.source.load();
        let freed = self
            .tools
            .ledger
            .mark_stale(Vec::new(), self.tools.clock.now())
            .await?;
        if freed > 0 || !before.problems.is_empty() {
            tracing::info!(requests = freed, "the file is whole and valid again");
        }
        let warnings = warnings.unwrap_or_else(|| before.warnings.clone());
        self.live.source.store(Arc::new(SourceState {
            seen_at: latest.seen_at,
            problems: Vec::new(),
            excerpts: Vec::new(),
            broken_since: None,
            warnings,
        }));
        self.tools
            .metrics
            .config_reloaded(true, self.tools.clock.now());
        Ok(())
    }

    /// The newest text is not valid: the revision in force stays, and items whose exact lines
    /// are not in it any more are held.
    async fn refuse(
        &self,
        latest: &Latest,
        refusal: Refusal,
        text: Option<&Arc<Text>>,
    ) -> Result<(), LedgerError> {
        let Refusal { problems, excerpts } = refusal;
        let now = self.tools.clock.now();
        let before = self.live.source.load();
        if before.problems != problems {
            tracing::error!(
                problems = problems.len(),
                "the newest text of the file is not accepted; the last accepted revision stays in force"
            );
            for problem in problems.iter().take(LOGGED) {
                tracing::error!("{problem}");
            }
            self.tools.metrics.config_reloaded(false, now);
        }
        self.live.source.store(Arc::new(SourceState {
            seen_at: latest.seen_at,
            problems,
            excerpts,
            broken_since: Some(before.broken_since.unwrap_or(now)),
            warnings: Vec::new(),
        }));
        let open = self.tools.ledger.open_places().await?;
        let newest: Vec<(String, Vec<u8>)> = text
            .map(|text| {
                text.files
                    .iter()
                    .map(|file| (file.name.clone(), file.bytes.to_vec()))
                    .collect()
            })
            .unwrap_or_default();
        // The ledger has the accepted text; it may be large, and is seldom needed.
        let accepted = self.tools.ledger.current().await?;
        let accepted = accepted.map(|it| it.files).unwrap_or_default();
        let stale = accept::stale_rows(&open, &accepted, &newest);
        let held = self.tools.ledger.mark_stale(stale, now).await?;
        if held > 0 {
            tracing::warn!(
                requests = held,
                "held or freed {held} requests as config_stale"
            );
        }
        Ok(())
    }
}

/// Runs what takes long where it holds nobody up: on a thread of the runtime's, or here where
/// there is no runtime (a simulation has one thread).
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    if tokio::runtime::Handle::try_current().is_ok() {
        tokio::task::spawn_blocking(work).await
    } else {
        Ok(work())
    }
}

/// Reads a text as desired state.
fn read(text: &Text, before: Option<&Manifest>) -> Read {
    let result = desired::read(&Input {
        files: text
            .files
            .iter()
            .map(|file| FileText {
                name: &file.name,
                bytes: &file.bytes,
            })
            .collect(),
        unmatched: text.unmatched.clone(),
        outside: text
            .outside
            .iter()
            .map(|it| (it.pattern.clone(), it.leads_to.clone()))
            .collect(),
    });
    let manifest = match result {
        Ok(manifest) => manifest,
        Err(problems) => return Read::Invalid(Refusal::of(&problems, text)),
    };
    let proposal = Proposal {
        digest: text.revision.clone(),
        commit: text.commit.clone(),
        files: text
            .files
            .iter()
            .map(|file| KeptFile {
                name: file.name.clone(),
                text: String::from_utf8_lossy(&file.bytes).into_owned(),
            })
            .collect(),
        manifest,
    };
    match planted!(
        EndMarkIgnored,
        None,
        accept::lost_its_end(before, &proposal)
    ) {
        Some(problem) => Read::Invalid(Refusal::of(&[problem], text)),
        None => Read::Valid(Box::new(proposal)),
    }
}

/// Providers whose configuration changed in a way that may free what is held there.
fn changed_providers(
    before: Option<&Config>,
    after: &Config,
) -> Vec<crate::model::ids::ProviderName> {
    let none = BTreeMap::new();
    let known: &BTreeMap<_, ProviderConfig> = before.map_or(&none, |config| &config.providers);
    let freezes = |config: &Config| format!("{:?}", config.freezes);
    let freezes_changed = before.is_some_and(|before| freezes(before) != freezes(after));
    after
        .providers
        .values()
        .filter(|provider| {
            freezes_changed
                || known.get(&provider.name).is_some_and(|before| {
                    before.mode != provider.mode
                        || before.payment_plans != provider.payment_plans
                        || before.require_expect != provider.require_expect
                        || before.base_url != provider.base_url
                        || before.schedule.text() != provider.schedule.text()
                })
        })
        .map(|provider| provider.name.clone())
        .collect()
}

/// Approvals that free nothing: told, and no fault of the file.
fn useless(config: &Config, outcomes: &[Approved]) -> Vec<String> {
    let mut useless = Vec::new();
    for (approval, outcome) in config.approvals.iter().zip(outcomes) {
        if let Approved::Freed(count) = outcome {
            let (plan, by) = (&approval.plan, &approval.by);
            tracing::info!(
                plan,
                by,
                requests = count,
                "approved {count} under {plan} ({by})"
            );
        }
        useless.extend(accept::useless(approval, outcome));
    }
    useless
}

fn tell(digest: &str, commit: Option<&str>, verdict: &crate::model::memory::Verdict) {
    let counts = &verdict.counts;
    let new: u64 = counts.new.values().sum();
    tracing::info!(
        revision = digest,
        commit,
        new,
        changed = counts.changed,
        same = counts.same,
        finished = counts.finished,
        "accepted revision {digest}: {new} new, {} changed, {} unchanged, {} finished before",
        counts.changed,
        counts.same,
        counts.finished
    );
    for name in &verdict.approval {
        tracing::warn!(provider = %name, "what is new, earlier or harsher at {name} waits for an approval: too much at once; `lapsed plan` prints the digest");
    }
    for name in &verdict.removal {
        tracing::warn!(provider = %name, "items of {name} that vanished are held as `removal`: too many at once");
    }
}
