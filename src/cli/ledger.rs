//! `lapsed ledger`: care of the ledger.

use clap::{Args, Subcommand};

use super::context::Context;
use super::{Exit, history};
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
    }
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
