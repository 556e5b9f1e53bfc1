//! A revision into the ledger, in the two-phase form.
//!
//! First its text and the guards' verdict are stored as *accepting*; then the items stream
//! past the ledger in batches; one last transaction makes it current. No pass takes rows in
//! between, and a crash is finished from the stored text with the stored verdict.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use crate::config::{Approval, Config};
use crate::desired::{self, FileText, Input, Manifest, Problem};
use crate::ledger::{Close, Incoming, KeptFile, Ledger, LedgerError, NewRevision, Revision};
use crate::model::approval::{Approved, Approving};
use crate::model::hold::HoldReason;
use crate::model::ids::{Key, ProviderName};
use crate::model::memory::{Comparison, Verdict};
use crate::model::request::Request;
use crate::model::standing::State;
use crate::model::terms::{Place, Wanted};
use crate::plan::due::{backdated, first_plan};
use crate::plan::judge::{Guards, judge};
use crate::plan::sooner::{self, Side};

/// Items that share one transaction.
const BATCH: usize = 1_000;

/// How long what was let through without an approval counts (design, section 5).
pub const ROLLING: chrono::Duration = chrono::Duration::hours(24);

/// A whole, valid text that asks to be accepted.
#[derive(Debug)]
pub struct Proposal {
    /// The digest over its files.
    pub digest: String,
    /// The commit, where one is known.
    pub commit: Option<String>,
    /// Its files, main first.
    pub files: Vec<KeptFile>,
    /// What they say.
    pub manifest: Manifest,
}

/// Reads kept files again.
///
/// # Errors
/// This version finds problems where an earlier one found none.
pub fn read_kept(files: &[KeptFile]) -> Result<Manifest, Vec<Problem>> {
    desired::read(&kept_input(files))
}

/// Reads of kept files how to run, and none of their items.
///
/// # Errors
/// This version finds problems there where an earlier one found none.
pub fn read_kept_settings(files: &[KeptFile]) -> Result<Manifest, Vec<Problem>> {
    desired::read_settings(&kept_input(files))
}

fn kept_input(files: &[KeptFile]) -> Input<'_> {
    let texts = files.iter().map(|file| FileText {
        name: &file.name,
        bytes: file.text.as_bytes(),
    });
    Input {
        files: texts.collect(),
        ..Input::default()
    }
}

/// What a text that is valid by itself may still not be: a file whose last accepted version
/// ended in the end mark must still end in it, or it may have been cut short.
pub fn lost_its_end(before: Option<&Manifest>, proposal: &Proposal) -> Option<Problem> {
    let had = |file: &&KeptFile| before.is_some_and(|it| it.end_marks.contains(&file.name));
    let mut had = proposal.files.iter().filter(had);
    let lost = had.find(|file| !proposal.manifest.end_marks.contains(&file.name))?;
    Some(Problem {
        file: lost.name.clone(),
        line: u32::try_from(lost.text.lines().count().max(1)).unwrap_or(u32::MAX),
        column: 1,
        code: "end_mark_missing",
        message: "the file ends without `...`, with which its last accepted version ended, so that it may have been cut short; end it with a line `...`"
            .to_owned(),
    })
}

/// An acceptance that was carried out.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The revision's number.
    pub number: i64,
    /// What the guards said of it.
    pub verdict: Verdict,
    /// What became of the approvals in its file, in their order.
    pub approvals: Vec<Approved>,
}

/// Accepts a revision. `before` is what was in force.
pub async fn accept(
    ledger: &dyn Ledger,
    proposal: &Proposal,
    before: Option<&Config>,
    now: DateTime<Utc>,
) -> Result<Acceptance, LedgerError> {
    let Proposal {
        digest,
        commit,
        files,
        manifest,
    } = proposal;
    rename(ledger, &manifest.config).await?;
    let shift = Shift {
        before,
        after: &manifest.config,
        now,
    };
    let counts = compare(ledger, manifest, &shift).await?;
    let open = ledger.open_by_provider().await?;
    let mut through = ledger.let_through(now - ROLLING).await?;
    let abandoned = ledger.accepting().await?;
    // What an acceptance that failed half-way has taken in is known by now, and not new.
    for (name, count) in abandoned
        .iter()
        .flat_map(|abandoned| abandoned.verdict.let_through())
    {
        *through.entry(name).or_default() += count;
    }
    let through = shift.under_new_names(through);
    let mut verdict = judge(&shift.guards(), &open, &through, counts);
    match abandoned {
        // The same text once more: it was judged.
        Some(abandoned) if abandoned.digest == *digest => verdict = abandoned.verdict,
        Some(abandoned) => {
            verdict.approval.extend(abandoned.verdict.approval);
            verdict.approval.sort_unstable();
            verdict.approval.dedup();
        }
        None => {}
    }
    let number = ledger
        .begin_revision(NewRevision {
            digest: digest.clone(),
            commit: commit.clone(),
            files: files.clone(),
            verdict: verdict.clone(),
            at: now,
        })
        .await?;
    let approvals = take_in(ledger, number, manifest, &verdict, &shift).await?;
    Ok(Acceptance {
        number,
        verdict,
        approvals,
    })
}

/// Finishes an acceptance that a crash cut short, from the text and the verdict that the
/// ledger keeps.
pub async fn finish(
    ledger: &dyn Ledger,
    revision: &Revision,
    manifest: &Manifest,
) -> Result<(), LedgerError> {
    let before = match ledger.current().await? {
        Some(current) => read_kept_settings(&current.files).ok(),
        None => None,
    };
    let shift = Shift {
        before: before.as_ref().map(|before| &before.config),
        after: &manifest.config,
        now: revision.accepted_at,
    };
    take_in(ledger, revision.number, manifest, &revision.verdict, &shift)
        .await
        .map(drop)
}

async fn take_in(
    ledger: &dyn Ledger,
    number: i64,
    manifest: &Manifest,
    verdict: &Verdict,
    shift: &Shift<'_>,
) -> Result<Vec<Approved>, LedgerError> {
    let now = shift.now;
    for batch in manifest.wanted.chunks(BATCH) {
        let known = known(ledger, batch, |wanted| {
            verdict.approval.contains(&wanted.key.provider)
                || backdated(&wanted.terms, now).is_some()
        })
        .await?;
        let items = batch
            .iter()
            .map(|wanted| incoming(wanted, known.get(&wanted.key), verdict, shift))
            .collect();
        ledger.take_in(number, items, now).await?;
    }
    let close = Close {
        held_at: verdict.removal.clone(),
        approvals: approving(&manifest.config, now),
        allows_more: shift.allows_more(),
    };
    ledger.finish_revision(number, close, now).await
}

/// What is remembered of the items of which it matters.
async fn known(
    ledger: &dyn Ledger,
    batch: &[Wanted],
    matters: impl Fn(&Wanted) -> bool,
) -> Result<HashMap<Key, Request>, LedgerError> {
    let keys: Vec<Key> = batch
        .iter()
        .filter(|wanted| matters(wanted))
        .map(|wanted| wanted.key.clone())
        .collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let found = ledger.find_many(keys).await?;
    Ok(found
        .into_iter()
        .flatten()
        .map(|request| (request.key.clone(), request))
        .collect())
}

/// The approvals of a file, as the ledger is told of them.
pub fn approving(config: &Config, now: DateTime<Utc>) -> Vec<Approving> {
    let today = now.with_timezone(&config.reconcile.timezone).date_naive();
    config
        .approvals
        .iter()
        .map(|approval| Approving {
            plan: approval.plan.clone(),
            by: approval.by.clone(),
            at_most: approval.at_most,
            past: today > approval.until,
        })
        .collect()
}

/// Why an approval of the file frees nothing, in words; none: it does.
pub fn useless(approval: &Approval, outcome: &Approved) -> Option<String> {
    let why = match outcome {
        Approved::Freed(_) => return None,
        // It stays in the file for the limit that it gives.
        Approved::Spent if approval.per_day.is_some() => return None,
        Approved::Spent => "what it names is free or gone already; it can be taken out".to_owned(),
        Approved::Unknown => {
            "nothing waits under this digest; `lapsed plan` prints those that do".to_owned()
        }
        Approved::TooEarly => {
            "it stands in the same revision as its items or as what makes them harsher, and counts from the next one on"
                .to_owned()
        }
        Approved::Past => format!("its day, {}, is past", approval.until),
    };
    let Approval { plan, by, .. } = approval;
    Some(format!(
        "the approval of {plan} by {by} frees nothing: {why}"
    ))
}

/// Two revisions, one after the other.
pub struct Shift<'a> {
    /// What was in force.
    pub before: Option<&'a Config>,
    /// What is to be.
    pub after: &'a Config,
    /// When.
    pub now: DateTime<Utc>,
}

/// What a revision makes of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Not remembered, or withdrawn and back.
    New,
    /// Finished before; nothing will follow, unless a person has it tried again.
    Finished {
        /// Why it may then act earlier or harsher than it was to.
        sooner: Option<&'static str>,
    },
    /// Remembered, and not finished.
    Kept {
        /// Whether its terms are the same.
        same: bool,
        /// Why it may act earlier or harsher than before.
        sooner: Option<&'static str>,
    },
}

impl Shift<'_> {
    fn side<'s>(config: &'s Config, name: &ProviderName) -> Option<Side<'s>> {
        let provider = config.providers.get(name)?;
        Some(Side { config, provider })
    }

    /// When something may be done at the earliest of what this revision brings: it leaves no
    /// less time to revert it than the one before did.
    pub fn not_before(&self) -> DateTime<Utc> {
        let wait = |config: &Config| config.reconcile.wait_after_accept;
        let before = self.before.map(wait).unwrap_or_default();
        self.now + wait(self.after).max(before)
    }

    /// Providers that change their name with this revision: what they were called, and what
    /// they are.
    fn renames(&self) -> impl Iterator<Item = (&ProviderName, &ProviderName)> {
        let after = &self.after.providers;
        after.values().filter_map(|provider| {
            let formerly = provider.formerly.as_ref()?;
            (!after.contains_key(formerly)).then_some((formerly, &provider.name))
        })
    }

    /// The guards of both revisions; those before also under the new names of what is renamed.
    pub fn guards(&self) -> Vec<Guards> {
        let guards_of = |config: &Config| Guards::of(&config.limits, &config.providers);
        let mut guards = vec![guards_of(self.after)];
        if let Some(before) = self.before.map(guards_of) {
            let renamed = self.renames().fold(before.clone(), |guards, (from, to)| {
                guards.renamed(from, to)
            });
            guards.extend([before, renamed]);
        }
        guards
    }

    /// Providers where this revision allows what could not happen before.
    pub fn allows_more(&self) -> Vec<ProviderName> {
        changes(self)
            .into_iter()
            .filter(|(_, change)| change.loosens())
            .map(|(name, _)| name)
            .collect()
    }

    /// Counts by provider, with those of a former name added to the new one's.
    pub fn under_new_names(
        &self,
        mut counts: BTreeMap<ProviderName, u64>,
    ) -> BTreeMap<ProviderName, u64> {
        for (from, to) in self.renames() {
            if let Some(count) = counts.remove(from) {
                *counts.entry(to.clone()).or_default() += count;
            }
        }
        counts
    }

    /// What the two revisions say of one provider; none where it is new. One that takes over
    /// another's requests is compared with that one.
    fn change(&self, name: &ProviderName) -> Option<sooner::Change<'_>> {
        let after = Self::side(self.after, name)?;
        let before = self.before?;
        let renamed = self
            .renames()
            .find(|(from, to)| *to == name && before.providers.contains_key(*from));
        let known_as = renamed.map_or(name, |(from, _)| from);
        let before = Self::side(before, known_as)?;
        Some(sooner::Change::between(before, after))
    }

    /// Compares one item with what is remembered of it. What was approved stays approved while
    /// its terms stand.
    pub fn compare(
        &self,
        wanted: &Wanted,
        known: Option<&Request>,
        change: Option<&sooner::Change<'_>>,
    ) -> Compared {
        let Some(known) = known.filter(|known| known.state() != State::Withdrawn) else {
            return Compared::New;
        };
        let same = known.terms.digest() == wanted.terms.digest();
        if known.state().finished() {
            // What failed or was missed is tried again on the file's terms by then.
            let again = matches!(known.state(), State::Failed | State::Missed) && !same;
            let sooner = change
                .filter(|_| again)
                .and_then(|change| change.sooner(known, wanted, self.now));
            return Compared::Finished { sooner };
        }
        let approved = same && known.standing.approved.is_some();
        let sooner = change.and_then(|change| {
            if approved {
                change.allows_more(known, wanted)
            } else {
                change.sooner(known, wanted, self.now)
            }
        });
        Compared::Kept { same, sooner }
    }
}

/// Gives the requests of providers that were renamed to their new names.
async fn rename(ledger: &dyn Ledger, config: &Config) -> Result<(), LedgerError> {
    for provider in config.providers.values() {
        let Some(formerly) = &provider.formerly else {
            continue;
        };
        if !config.providers.contains_key(formerly) {
            let moved = ledger
                .rename_provider(formerly.clone(), provider.name.clone())
                .await?;
            if moved > 0 {
                tracing::info!(from = %formerly, to = %provider.name, requests = moved, "a provider was renamed; its requests go on");
            }
        }
    }
    Ok(())
}

async fn compare(
    ledger: &dyn Ledger,
    manifest: &Manifest,
    shift: &Shift<'_>,
) -> Result<Comparison, LedgerError> {
    let changes = changes(shift);
    let mut counts = Comparison::default();
    for batch in manifest.wanted.chunks(BATCH) {
        let known = known(ledger, batch, |_| true).await?;
        for wanted in batch {
            let name = &wanted.key.provider;
            let known = known.get(&wanted.key);
            let compared = shift.compare(wanted, known, changes.get(name));
            count(&mut counts, name, known, &compared);
        }
    }
    Ok(counts)
}

/// What the two revisions say of each provider that both have.
pub fn changes<'s>(shift: &'s Shift<'_>) -> BTreeMap<ProviderName, sooner::Change<'s>> {
    shift
        .after
        .providers
        .keys()
        .filter_map(|name| Some((name.clone(), shift.change(name)?)))
        .collect()
}

/// Counts one item.
pub fn count(
    counts: &mut Comparison,
    name: &ProviderName,
    known: Option<&Request>,
    compared: &Compared,
) {
    let add = |to: &mut BTreeMap<ProviderName, u64>| *to.entry(name.clone()).or_default() += 1;
    match compared {
        Compared::New => {
            add(&mut counts.new);
            add(&mut counts.sooner);
        }
        Compared::Finished { sooner } => {
            counts.finished += 1;
            if sooner.is_some() {
                add(&mut counts.sooner);
            }
        }
        Compared::Kept { same, sooner } => {
            let vanished =
                known.is_some_and(|known| known.standing.holds.contains(&HoldReason::Removal));
            if !vanished {
                add(&mut counts.kept);
            }
            if sooner.is_some() {
                add(&mut counts.sooner);
            }
            if *same {
                counts.same += 1;
            } else {
                counts.changed += 1;
            }
        }
    }
}

/// Why an item waits for an approval, if it does.
pub fn waits(
    wanted: &Wanted,
    known: Option<&Request>,
    verdict: &Verdict,
    shift: &Shift<'_>,
) -> Option<String> {
    let name = &wanted.key.provider;
    let compared = shift.compare(wanted, known, shift.change(name).as_ref());
    let day_is_new = match (&compared, known) {
        (Compared::New, _) => true,
        (Compared::Kept { .. } | Compared::Finished { .. }, Some(known)) => {
            known.terms.when.value != wanted.terms.when.value
        }
        (Compared::Kept { .. } | Compared::Finished { .. }, None) => false,
    };
    if let Some(why) = backdated(&wanted.terms, shift.now).filter(|_| day_is_new) {
        return Some(why);
    }
    let why = match compared {
        Compared::New => "new",
        Compared::Kept {
            sooner: Some(why), ..
        }
        | Compared::Finished { sooner: Some(why) } => why,
        Compared::Kept { sooner: None, .. } | Compared::Finished { sooner: None } => return None,
    };
    let all: u64 = verdict.counts.sooner.values().sum();
    let most = shift.after.limits.approval_above;
    verdict.approval.contains(name).then(|| {
        format!(
            "{why}: one of {all} in this revision that are new, earlier or harsher, of which \
             `approval_above` lets {most} through in 24 h"
        )
    })
}

fn incoming(
    wanted: &Wanted,
    known: Option<&Request>,
    verdict: &Verdict,
    shift: &Shift<'_>,
) -> Incoming {
    let (config, now) = (shift.after, shift.now);
    let provider = config
        .providers
        .get(&wanted.key.provider)
        .expect("a manifest's items name its providers");
    let plan = first_plan(wanted, provider, config, shift.not_before(), now);
    Incoming {
        wanted: wanted.clone(),
        kind: provider.kind(),
        due_at: plan.due_at,
        wake_at: plan.wake_at,
        not_before: plan.not_before,
        deadline_at: plan.deadline_at,
        waits: waits(wanted, known, verdict, shift),
        holds: plan.holds,
    }
}

/// Which open requests' exact lines are not in the newest bytes of their files any more, while
/// that text is not valid: they are held as `config_stale`.
///
/// A line of the item must stand as it stood, in order and together, and nothing more deeply
/// indented may follow it, which would add to the item.
pub fn stale_rows(
    open: &[(i64, Place)],
    accepted: &[KeptFile],
    newest: &[(String, Vec<u8>)],
) -> Vec<i64> {
    let accepted: BTreeMap<&str, Vec<&str>> = accepted
        .iter()
        .map(|file| (file.name.as_str(), file.text.lines().collect()))
        .collect();
    let texts: BTreeMap<&str, String> = newest
        .iter()
        .map(|(name, bytes)| (name.as_str(), String::from_utf8_lossy(bytes).into_owned()))
        .collect();
    let newest: BTreeMap<&str, Lines<'_>> = texts
        .iter()
        .map(|(name, text)| (*name, Lines::of(text)))
        .collect();
    open.iter()
        .filter(|(_, place)| {
            let stands = accepted
                .get(place.file.as_str())
                .and_then(|lines| {
                    lines.get(place.line.saturating_sub(1) as usize..place.last_line as usize)
                })
                .zip(newest.get(place.file.as_str()))
                .is_some_and(|(item, lines)| lines.have(item));
            !stands
        })
        .map(|(row, _)| *row)
        .collect()
}

/// A text's lines, and where each stands.
struct Lines<'t> {
    lines: Vec<&'t str>,
    at: HashMap<&'t str, Vec<usize>>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let mut at: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, line) in lines.iter().enumerate() {
            at.entry(line).or_default().push(index);
        }
        Self { lines, at }
    }

    fn have(&self, item: &[&str]) -> bool {
        let Some(first) = item.first() else {
            return false;
        };
        let depth = indent(first);
        self.at.get(first).is_some_and(|places| {
            places.iter().any(|start| {
                let end = start + item.len();
                self.lines.get(*start..end) == Some(item) && !self.goes_on(end, depth)
            })
        })
    }

    /// Whether the next line that says anything is indented more deeply.
    fn goes_on(&self, from: usize, depth: usize) -> bool {
        self.lines[from..]
            .iter()
            .find(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
            .is_some_and(|line| indent(line) > depth)
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Vec<KeptFile> {
        vec![KeptFile {
            name: "lapsed.yaml".to_owned(),
            text: text.to_owned(),
        }]
    }

    fn place(line: u32, last_line: u32) -> Place {
        Place {
            file: "lapsed.yaml".to_owned(),
            line,
            last_line,
        }
    }

    const TEXT: &str = "cancellations:\n  - id: a\n    when: now\n  - id: b\n    when: now\n";

    fn stale(newest: &str) -> Vec<i64> {
        let open = [(1, place(2, 3)), (2, place(4, 5))];
        let newest = [("lapsed.yaml".to_owned(), newest.as_bytes().to_vec())];
        stale_rows(&open, &kept(TEXT), &newest)
    }

    #[test]
    fn items_whose_exact_lines_still_stand_go_on() {
        assert_eq!(stale(&format!("oops: [\n{TEXT}")), [0_i64; 0]);
        assert_eq!(
            stale("cancellations:\n  - id: a\n    when: now\n  - id: b\n"),
            [2]
        );
        assert_eq!(stale(""), [1, 2]);
    }

    #[test]
    fn a_line_that_adds_to_an_item_makes_it_stale() {
        let edited = TEXT.replacen("    when: now\n", "    when: now\n    reason: x\n", 1);
        assert_eq!(stale(&edited), [1]);
    }

    #[test]
    fn an_item_that_begins_like_a_longer_one_is_not_taken_for_it() {
        assert_eq!(stale("cancellations:\n  - id: ab\n    when: now\n"), [1, 2]);
    }
}
