//! `lapsed doctor`: whether everything that a pass needs is there, one line each with the cure.
//!
//! It asks whose the credentials are and reads one item; it is built without the means to write.

use std::path::Path;

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::Exit;
use super::context::Context;
use super::output;
use crate::config::{Auth, Config, ProviderConfig, SecretRef};
use crate::ledger::{Ledger as _, LedgerError};
use crate::model::ids::SubscriptionId;
use crate::model::memory::ProviderMemory;
use crate::model::observed::Observed;
use crate::plan::guard::MOST_SKEW;
use crate::wiring;

/// A provider's clock that differs by more than this many seconds is worth a word.
const WORTH_A_WORD: i64 = 60;

/// Ticks that are told ahead.
const TICKS: usize = 3;

/// How one line turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Good,
    Odd,
    Bad,
}

impl Finding {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Odd => "look",
            Self::Bad => "bad",
        }
    }
}

/// The lines, as they are printed.
struct Lines<'c> {
    context: &'c Context,
    bad: bool,
}

impl Lines<'_> {
    fn say(&mut self, finding: Finding, what: &str, words: &str) {
        self.bad |= finding == Finding::Bad;
        let word = finding.word();
        self.context
            .print(&format!("{word:<5} {what:<22} {words}\n"));
    }
}

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let mut lines = Lines {
        context,
        bad: false,
    };
    let (text, manifest) = context
        .read()
        .context("nothing can be looked at without a valid file")?;
    let config = &manifest.config;
    lines.say(
        Finding::Good,
        "file",
        &format!(
            "{} is valid: {}, revision {}",
            context.main_file().display(),
            output::count(manifest.wanted.len() as u64, "cancellation"),
            text.revision
        ),
    );
    if !manifest.end_mark {
        let words = "does not end in `...`: one that was cut short could be taken for a whole one";
        lines.say(Finding::Odd, "end mark", words);
    }
    let ledger = ledger(context, config, &mut lines).await;
    permissions(context, config, &mut lines);
    for provider in config.providers.values() {
        let memory = match &ledger {
            Some(ledger) => ledger.provider(provider.name.clone()).await?,
            None => ProviderMemory::default(),
        };
        if let Some(why) = context.forbids(ledger.as_ref(), provider).await? {
            lines.say(Finding::Bad, provider.name.as_str(), &why);
            continue;
        }
        let item = manifest
            .wanted
            .iter()
            .find(|wanted| wanted.key.provider == provider.name)
            .map(|wanted| &wanted.key.id);
        self::provider(context, provider, &memory, item, &mut lines).await;
    }
    Ok(if lines.bad { Exit::Failed } else { Exit::Done })
}

/// Files that others may read or write, and should not.
fn permissions(context: &Context, config: &Config, lines: &mut Lines<'_>) {
    let folder = context.environment().folder;
    let secrets = config
        .providers
        .values()
        .flat_map(|provider| provider.auth.secrets())
        .chain(&config.admin_token)
        .chain(&config.read_token)
        .filter_map(|secret| match secret {
            SecretRef::File(path) => Some(folder.join(path)),
            SecretRef::Env(_) | SecretRef::Value(_) => None,
        });
    let mut open = Vec::new();
    for path in secrets {
        if mode(&path).is_some_and(|mode| mode & 0o044 != 0) {
            open.push(format!(
                "others may read {0}; `chmod 600 {0}`",
                path.display()
            ));
        }
    }
    let ledger = context.ledger_path(Some(config)).ok();
    for path in ledger.into_iter().chain([context.main_file()]) {
        if mode(&path).is_some_and(|mode| mode & 0o002 != 0) {
            open.push(format!(
                "everybody may write {0}; `chmod o-w {0}`",
                path.display()
            ));
        }
    }
    if open.is_empty() {
        let words = "nobody else may read the secrets' files or write the file and the ledger";
        lines.say(Finding::Good, "permissions", words);
    }
    for words in open {
        lines.say(Finding::Odd, "permissions", &words);
    }
}

/// A file's permission bits; none where it is not there.
fn mode(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(std::fs::metadata(path).ok()?.permissions().mode())
}

async fn ledger(
    context: &Context,
    config: &Config,
    lines: &mut Lines<'_>,
) -> Option<crate::ledger::sqlite::SqliteLedger> {
    let path = match context.ledger_path(Some(config)) {
        Ok(path) => path,
        Err(why) => {
            lines.say(Finding::Bad, "ledger", &format!("{why:#}"));
            return None;
        }
    };
    let ledger = match context.guest(Some(config)) {
        Ok(Some(ledger)) => ledger,
        Ok(None) => {
            let words = format!(
                "there is none at {} yet; `lapsed run` makes it",
                path.display()
            );
            lines.say(Finding::Odd, "ledger", &words);
            return None;
        }
        Err(why) => {
            lines.say(Finding::Bad, "ledger", &format!("{why:#}"));
            return None;
        }
    };
    let looked: Result<_, LedgerError> = async {
        Ok((
            ledger.identity().await?,
            ledger.pauses().await?,
            ledger.used(context.clock().now()).await?,
        ))
    }
    .await;
    match looked {
        Err(why) => lines.say(Finding::Bad, "ledger", &why.to_string()),
        Ok((identity, pauses, used)) => {
            match identity.doubt {
                Some(doubt) => lines.say(
                    Finding::Bad,
                    "ledger",
                    &format!("{doubt}; when you are sure: `lapsed ledger trust`"),
                ),
                None => lines.say(
                    Finding::Good,
                    "ledger",
                    &format!("{} at {}", identity.ledger_id, path.display()),
                ),
            }
            let daemon = if ledger.is_held() {
                (Finding::Good, "is running")
            } else {
                (Finding::Odd, "is not running; `lapsed run` starts it")
            };
            lines.say(daemon.0, "daemon", daemon.1);
            for (whom, pause) in pauses
                .all
                .iter()
                .map(|pause| ("everything".to_owned(), pause))
                .chain(
                    pauses
                        .providers
                        .iter()
                        .map(|(name, pause)| (name.to_string(), pause)),
                )
            {
                let words = format!(
                    "{whom} is paused by {}: {}; `lapsed resume` goes on",
                    pause.by, pause.reason
                );
                lines.say(Finding::Odd, "pause", &words);
            }
            let (hour, day) = (used.common_hour, used.common_day);
            let limits = &config.limits;
            let spent = hour >= limits.per_hour || day >= limits.per_day;
            lines.say(
                if spent { Finding::Odd } else { Finding::Good },
                "limits",
                &format!(
                    "{hour} of {} writes in this hour, {day} of {} in these 24 h",
                    limits.per_hour, limits.per_day
                ),
            );
        }
    }
    Some(ledger)
}

async fn provider(
    context: &Context,
    provider: &ProviderConfig,
    memory: &ProviderMemory,
    item: Option<&SubscriptionId>,
    lines: &mut Lines<'_>,
) {
    let name = provider.name.as_str();
    let reader = match wiring::preview(provider, &context.environment(), context.clock()) {
        Ok(reader) => reader,
        Err(why) => {
            let words = format!("{why}; its items are held as `credentials`");
            lines.say(Finding::Bad, name, &words);
            return;
        }
    };
    match reader.account().await {
        Err(why) => lines.say(Finding::Bad, name, &why.to_string()),
        Ok(account) => match other_account(provider, memory, &account) {
            Some(words) => lines.say(Finding::Bad, name, &words),
            None => {
                let words = format!(
                    "{} of account {account}, mode {}",
                    provider.kind(),
                    provider.mode.as_str()
                );
                lines.say(Finding::Good, name, &words);
            }
        },
    }
    // Not every API tells whose a key is; whether it may read, a reading shows.
    match item {
        None => lines.say(Finding::Odd, name, "not read: the file has no item of it"),
        Some(id) => match reader.look(id).await {
            Err(why) => lines.say(Finding::Bad, name, &why.to_string()),
            Ok(look) => {
                let found = !matches!(look.observed, Observed::NotFound);
                let (finding, words) = if found {
                    (Finding::Good, format!("reads {id}"))
                } else {
                    (Finding::Odd, format!("reads, and knows no {id}"))
                };
                lines.say(finding, name, &words);
            }
        },
    }
    if let Some(stop) = &memory.stop {
        let words = format!(
            "stopped ({}): {}; tried again at {}",
            stop.reason,
            stop.why,
            output::second(stop.trial_at)
        );
        lines.say(Finding::Odd, name, &words);
    }
    if let Some(skew) = reader.clock_skew() {
        let finding = match skew.abs() {
            more if more > MOST_SKEW => Finding::Bad,
            more if more > WORTH_A_WORD => Finding::Odd,
            _ => Finding::Good,
        };
        let words = if finding == Finding::Good {
            format!("agrees with {name}'s")
        } else {
            format!(
                "{name}'s is {skew} s ahead of ours; set this machine's (above {MOST_SKEW} s nothing is sent)"
            )
        };
        lines.say(finding, "clock", &words);
    }
    let ticks = ticks(provider, context.clock().now());
    lines.say(Finding::Good, "next ticks", &ticks.join(", "));
}

/// Why the credentials are not those that are meant.
fn other_account(
    provider: &ProviderConfig,
    memory: &ProviderMemory,
    account: &str,
) -> Option<String> {
    let meant = match &provider.auth {
        Auth::Lotus {
            organization_id, ..
        } => organization_id.as_deref(),
        Auth::Kajabi(_) | Auth::Revere { .. } => None,
    };
    let known = [meant, memory.account.as_deref()];
    let known = known
        .into_iter()
        .flatten()
        .find(|known| *known != account)?;
    Some(format!(
        "the credentials belong to {account}, known is {known}; give those of {known}, or the provider another name"
    ))
}

fn ticks(provider: &ProviderConfig, now: DateTime<Utc>) -> Vec<String> {
    std::iter::successors(provider.schedule.next_after(now), |at| {
        provider.schedule.next_after(*at)
    })
    .take(TICKS)
    .map(output::second)
    .collect()
}
