//! `lapsed ledger`: care of the ledger.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use serde::Serialize;

use super::context::Context;
use super::{Exit, history, output};
use crate::ledger::sqlite::{OpenAs, SqliteLedger};
use crate::ledger::{Command, EventQuery, Ledger as _, LedgerError, Page, Posted};
use crate::reconcile::report::{EventReport, LedgerReport, Standpoint};

/// Lines of an export that are read at once.
const AT_ONCE: u32 = 1_000;

/// The arguments of `ledger`.
#[derive(Debug, Args)]
pub(super) struct LedgerArgs {
    #[command(subcommand)]
    command: Care,
}

#[derive(Debug, Subcommand)]
enum Care {
    /// A person says that this ledger is the newest one and may be acted on
    Trust {
        /// Who says so [default: the user's name]
        #[arg(long)]
        by: Option<String>,
    },
    /// Copies the ledger as it is now, beside a running daemon, and checks the copy
    #[command(
        after_help = "To restore: stop lapsed, put the copy where the ledger was, start it again. What the \
copy does not remember may have been sent since, so every item is held as `ledger_doubt` until a person has \
compared and says `lapsed ledger trust`."
    )]
    Backup {
        /// The copy; into a folder it goes by the time at which it is made
        #[arg(value_name = "FILE|FOLDER")]
        to: PathBuf,
    },
    /// Prints every cancellation and every event of the record as JSON, one a line
    #[command(
        after_help = "It reads beside a running daemon, and what is recorded meanwhile may be in it or not. For one moment \
exactly, export a copy: `lapsed ledger backup copy.db`, then `lapsed ledger export --ledger sqlite:copy.db`."
    )]
    Export,
    /// Gives room that is free within the ledger back to the disk; while no daemon runs
    Compact,
    /// Checks the chain, and every row against its events
    Verify {
        /// A head that was kept elsewhere and must be part of the chain
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
}

pub(super) async fn run(context: &Context, args: &LedgerArgs) -> anyhow::Result<Exit> {
    match &args.command {
        Care::Verify { head } => history::verify(context, head.as_deref()).await,
        Care::Trust { by } => trust(context, by.as_ref()).await,
        Care::Backup { to } => backup(context, to).await,
        Care::Export => export(context).await,
        Care::Compact => compact(context),
    }
}

async fn backup(context: &Context, to: &Path) -> anyhow::Result<Exit> {
    let (ledger, _) = context.standing().await?;
    let now = context.clock().now();
    let to = if to.is_dir() {
        to.join(format!("lapsed-{}.db", now.format("%Y%m%dT%H%M%SZ")))
    } else {
        to.to_owned()
    };
    let copied = ledger.backup(to.clone()).await?;
    context.print(&format!(
        "{}: {} and {}, checked; head: block {} {}\n",
        to.display(),
        output::count(copied.requests, "request"),
        output::count(copied.events, "event"),
        copied.head.block,
        copied.head.hash
    ));
    Ok(Exit::Done)
}

/// One line of an export.
#[derive(Serialize)]
struct Line<T> {
    #[serde(rename = "type")]
    what: &'static str,
    #[serde(flatten)]
    it: T,
}

fn lines<T: Serialize>(
    what: &'static str,
    all: impl IntoIterator<Item = T>,
) -> anyhow::Result<String> {
    let mut out = String::new();
    for it in all {
        out.push_str(&serde_json::to_string(&Line { what, it })?);
        out.push('\n');
    }
    Ok(out)
}

async fn export(context: &Context) -> anyhow::Result<Exit> {
    let (ledger, config) = context.standing().await?;
    let config = config.ok_or_else(|| {
        anyhow!("no revision was accepted yet, and the file is not valid; see `lapsed check`")
    })?;
    let standpoint = Standpoint::read(&ledger, config, context.clock().now()).await?;
    let head = LedgerReport {
        id: standpoint.identity.ledger_id.clone(),
        doubt: standpoint.identity.doubt.clone(),
        head: ledger.head().await?,
    };
    context.print_exactly(&lines("ledger", [head])?);
    let mut page = Page {
        limit: AT_ONCE,
        ..Page::default()
    };
    loop {
        let rows = ledger.page(page.clone()).await?;
        let items = rows.iter().map(|it| standpoint.item(it));
        context.print_exactly(&lines("cancellation", items)?);
        match rows.last() {
            Some(last) if rows.len() == AT_ONCE as usize => page.after = last.row,
            _ => break,
        }
    }
    let commits = ledger.commits().await?;
    let mut query = EventQuery {
        after: Some(0),
        limit: AT_ONCE,
        ..EventQuery::default()
    };
    loop {
        let found = ledger.events(query.clone()).await?;
        let events = found.iter().map(|it| EventReport::of(it, &commits));
        context.print_exactly(&lines("event", events)?);
        match found.last() {
            Some(last) if found.len() == AT_ONCE as usize => query.after = Some(last.number),
            _ => return Ok(Exit::Done),
        }
    }
}

fn compact(context: &Context) -> anyhow::Result<Exit> {
    let path = context.ledger_path(None)?;
    let compacted = SqliteLedger::compact(&path)?;
    context.print(&format!(
        "{}: {} before, {} now\n",
        path.display(),
        HumanBytes(compacted.before),
        HumanBytes(compacted.after)
    ));
    Ok(Exit::Done)
}

async fn trust(context: &Context, by: Option<&String>) -> anyhow::Result<Exit> {
    let by = context.by(by);
    let at = context.clock().now();
    let (guest, _) = context.standing().await?;
    let path = guest.path().to_owned();
    match SqliteLedger::open(&path, OpenAs::Daemon) {
        Ok(ledger) => {
            let doubt = ledger.identity().await?.doubt;
            ledger.trust(by.clone(), at).await?;
            context.print(&match doubt {
                Some(doubt) => format!("trusted by {by}; the doubt was: {doubt}\n"),
                None => "nothing was in doubt\n".to_owned(),
            });
        }
        Err(LedgerError::Locked { .. }) => {
            guest
                .post(Posted {
                    number: 0,
                    at,
                    by,
                    reason: "trusted at the command line".to_owned(),
                    command: Command::Trust,
                })
                .await?;
            context.print(
                "asked the running daemon to trust its ledger; it does so within a second\n",
            );
        }
        Err(other) => return Err(other.into()),
    }
    Ok(Exit::Done)
}
