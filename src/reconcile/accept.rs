//! A revision into the ledger, in the two-phase form.
//!
//! First its text and the guards' verdict are stored as *accepting*; then the items stream
//! past the ledger in batches; one last transaction makes it current. No pass takes rows in
//! between, and a crash is finished from the stored text with the stored verdict.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use crate::config::Config;
use crate::desired::{self, FileText, Input, Manifest, Problem};
use crate::ledger::{Gone, Incoming, KeptFile, Ledger, LedgerError, NewRevision, Revision};
use crate::model::hold::HoldReason;
use crate::model::memory::{Comparison, Verdict};
use crate::model::terms::{Place, Wanted};
use crate::plan::due::first_plan;
use crate::plan::judge::{Guards, judge};

/// Items that share one transaction.
const BATCH: usize = 1_000;

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
    desired::read(&Input {
        files: files
            .iter()
            .map(|file| FileText {
                name: &file.name,
                bytes: file.text.as_bytes(),
            })
            .collect(),
        ..Input::default()
    })
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

/// Accepts a revision. `before` is what was in force. Gives its number and the verdict.
pub async fn accept(
    ledger: &dyn Ledger,
    proposal: &Proposal,
    before: Option<&Config>,
    now: DateTime<Utc>,
) -> Result<(i64, Verdict), LedgerError> {
    let Proposal {
        digest,
        commit,
        files,
        manifest,
    } = proposal;
    rename(ledger, &manifest.config).await?;
    let counts = compare(ledger, manifest, now).await?;
    let open = ledger.open_by_provider().await?;
    let guards_of = |config: &Config| Guards::of(&config.limits, &config.providers);
    let mut guards = vec![guards_of(&manifest.config)];
    guards.extend(before.map(guards_of));
    let mut verdict = judge(&guards, &open, counts);
    // What an acceptance that failed half-way has taken in is known by now, and not new.
    if let Some(abandoned) = ledger.accepting().await? {
        let held = abandoned.verdict.approval.into_iter();
        verdict.approval.extend(held);
        verdict.approval.sort_unstable();
        verdict.approval.dedup();
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
    take_in(ledger, number, manifest, &verdict, now).await?;
    Ok((number, verdict))
}

/// Finishes an acceptance that a crash cut short, from the text and the verdict that the
/// ledger keeps.
pub async fn finish(
    ledger: &dyn Ledger,
    revision: &Revision,
    manifest: &Manifest,
) -> Result<(), LedgerError> {
    let at = revision.accepted_at;
    take_in(ledger, revision.number, manifest, &revision.verdict, at).await
}

async fn take_in(
    ledger: &dyn Ledger,
    number: i64,
    manifest: &Manifest,
    verdict: &Verdict,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    for batch in manifest.wanted.chunks(BATCH) {
        let items = batch
            .iter()
            .map(|wanted| incoming(wanted, &manifest.config, verdict, now))
            .collect();
        ledger.take_in(number, items, now).await?;
    }
    let gone = Gone {
        held_at: verdict.removal.clone(),
    };
    ledger.finish_revision(number, gone, now).await
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
    now: DateTime<Utc>,
) -> Result<Comparison, LedgerError> {
    let mut counts = Comparison::default();
    let verdict = Verdict::default();
    for batch in manifest.wanted.chunks(BATCH) {
        let items = batch
            .iter()
            .map(|wanted| incoming(wanted, &manifest.config, &verdict, now))
            .collect();
        counts.add(ledger.compare(items).await?);
    }
    Ok(counts)
}

fn incoming(wanted: &Wanted, config: &Config, verdict: &Verdict, now: DateTime<Utc>) -> Incoming {
    let provider = &wanted.key.provider;
    let kind = config
        .providers
        .get(provider)
        .expect("a manifest's items name its providers")
        .kind();
    let plan = first_plan(kind, &wanted.terms, now, config.reconcile.wait_after_accept);
    let mut holds_if_new = plan.holds_if_new;
    if verdict.approval.contains(provider) {
        let new: u64 = verdict.counts.new.values().sum();
        let detail = format!("{new} items are new in one revision");
        holds_if_new.insert(HoldReason::Approval, detail);
    }
    Incoming {
        wanted: wanted.clone(),
        kind,
        due_at: plan.due_at,
        wake_at: plan.due_at,
        holds_if_new,
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
