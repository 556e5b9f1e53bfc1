//! `lapsed ledger`: care of the ledger.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::context::Context;
use super::{Exit, history, output};
use crate::ledger::sqlite::{OpenAs, SqliteLedger};
use crate::ledger::{Command, Ledger as _, LedgerError, Posted};

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
