//! `pause`, `resume`, `reconcile`, `approve`, `retry`: asked of the running daemon, through the ledger's
//! inbox.

use clap::{Args, ValueEnum};

use super::context::Context;
use super::{Exit, output};
use crate::config::Config;
use crate::ledger::sqlite::SqliteLedger;
use crate::ledger::{Command, Ledger as _, Posted};
use crate::model::approval::{Waiting, What};
use crate::model::ids::ProviderName;
use crate::model::memory::Destination;
use crate::model::standing::State;

/// The arguments of `pause`, `resume` and `reconcile`.
#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// One provider [default: all]
    provider: Option<String>,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
pub(super) struct Who {
    /// Who asks [default: the user's name]
    #[arg(long)]
    by: Option<String>,
    /// Why, for the record
    #[arg(long, default_value = "no reason given")]
    reason: String,
}

/// The arguments of `retry`.
#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    /// PROVIDER or PROVIDER/ID
    what: String,
    /// What is planned afresh
    #[arg(long, value_enum, default_value_t = Ended::Failed)]
    state: Ended,
    #[command(flatten)]
    who: Who,
}

/// The arguments of `approve`.
#[derive(Debug, Args)]
pub(super) struct ApproveArgs {
    /// The digest of what waits, as `lapsed plan` prints it
    digest: String,
    /// A canary: frees only the first so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    at_most: Option<u64>,
    #[command(flatten)]
    who: Who,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Ended {
    Failed,
    Missed,
}

pub(super) async fn pause(context: &Context, args: &PauseArgs) -> anyhow::Result<Exit> {
    ask(context, args, "pause", |provider| Command::Pause {
        provider,
    })
    .await
}

pub(super) async fn resume(context: &Context, args: &PauseArgs) -> anyhow::Result<Exit> {
    ask(context, args, "resume", |provider| Command::Resume {
        provider,
    })
    .await
}

pub(super) async fn reconcile(context: &Context, args: &PauseArgs) -> anyhow::Result<Exit> {
    ask(context, args, "a tick", |provider| Command::Reconcile {
        provider,
    })
    .await
}

async fn ask(
    context: &Context,
    args: &PauseArgs,
    what: &str,
    command: impl FnOnce(Option<ProviderName>) -> Command,
) -> anyhow::Result<Exit> {
    let (ledger, config) = context.standing().await?;
    let provider = args
        .provider
        .as_deref()
        .map(|name| output::provider(name, config.as_deref()))
        .transpose()?;
    let whom = provider
        .as_ref()
        .map_or_else(|| "all providers".to_owned(), ToString::to_string);
    post(context, &ledger, &args.who, command(provider)).await?;
    tell(context, &ledger, &format!("asked for {what}: {whom}"));
    Ok(Exit::Done)
}

pub(super) async fn retry(context: &Context, args: &RetryArgs) -> anyhow::Result<Exit> {
    let (ledger, config) = context.standing().await?;
    let (provider, id) = if args.what.contains('/') {
        let (provider, id) = output::key(&args.what, config.as_deref())?;
        (provider, Some(id))
    } else {
        (output::provider(&args.what, config.as_deref())?, None)
    };
    let state = match args.state {
        Ended::Failed => State::Failed,
        Ended::Missed => State::Missed,
    };
    if let Some(id) = &id {
        let found = ledger.find_all(provider.clone(), id.clone()).await?;
        if !found.iter().any(|request| request.state() == state) {
            let is: Vec<String> = found
                .iter()
                .map(|request| request.state().to_string())
                .collect();
            let is = if is.is_empty() {
                "not in the ledger".to_owned()
            } else {
                is.join(", ")
            };
            let hint = match is.as_str() {
                "missed" => "; for this one add `--state missed`",
                "failed" => "; for this one leave `--state` out",
                _ => "",
            };
            anyhow::bail!(
                "{provider}/{id} is {is}; only what is {state} can be planned afresh{hint}"
            );
        }
    }
    let command = Command::Retry {
        provider,
        id,
        state,
    };
    post(context, &ledger, &args.who, command).await?;
    tell(
        context,
        &ledger,
        &format!("asked to plan afresh what is {state}: {}", args.what),
    );
    Ok(Exit::Done)
}

pub(super) async fn approve(context: &Context, args: &ApproveArgs) -> anyhow::Result<Exit> {
    let (ledger, config) = context.standing().await?;
    if let Some((name, destination)) = destination(&ledger, config.as_deref(), &args.digest).await?
    {
        let command = Command::Approve {
            plan: args.digest.clone(),
            at_most: None,
        };
        post(context, &ledger, &args.who, command).await?;
        let what = format!("allowed the credentials of {name} to go to {destination}");
        tell(context, &ledger, &what);
        return Ok(Exit::Done);
    }
    let waiting = ledger.waiting().await?;
    let known = waiting.iter().find(|it| it.digest == args.digest);
    let left = match known {
        Some(waiting) => waiting.items,
        None => still_named(&ledger, &args.digest).await?,
    };
    if left == 0 {
        anyhow::bail!("{}", unknown_digest(&args.digest, &waiting));
    }
    let command = Command::Approve {
        plan: args.digest.clone(),
        at_most: args.at_most,
    };
    post(context, &ledger, &args.who, command).await?;
    let most = args.at_most.unwrap_or(left).min(left);
    let what = format!(
        "approved {} of {} that wait under {}",
        most,
        output::count(left, "item"),
        args.digest
    );
    tell(context, &ledger, &what);
    Ok(Exit::Done)
}

/// Where a provider's credentials would go, if the digest names that.
async fn destination(
    ledger: &SqliteLedger,
    config: Option<&Config>,
    digest: &str,
) -> anyhow::Result<Option<(ProviderName, Destination)>> {
    for name in config.iter().flat_map(|config| config.providers.keys()) {
        let memory = ledger.provider(name.clone()).await?;
        let named = memory.elsewhere.filter(|it| it.digest(name) == digest);
        if let Some(destination) = named {
            return Ok(Some((name.clone(), destination)));
        }
    }
    Ok(None)
}

/// How many still wait of those that an earlier digest names.
async fn still_named(ledger: &SqliteLedger, digest: &str) -> anyhow::Result<u64> {
    let members = ledger.members(digest.to_owned()).await?.unwrap_or_default();
    let keys: Vec<_> = members
        .iter()
        .filter(|member| !member.freed)
        .map(|member| member.key.clone())
        .collect();
    let found = ledger.find_many(keys).await?;
    let waits = |request: &crate::model::request::Request| {
        What::ALL
            .iter()
            .any(|what| request.standing.holds.contains(&what.hold()))
    };
    Ok(found.iter().flatten().filter(|it| waits(it)).count() as u64)
}

fn unknown_digest(digest: &str, waiting: &[Waiting]) -> String {
    if waiting.is_empty() {
        return format!("nothing waits under {digest}, nor under any other digest");
    }
    let near = crate::yaml::nearest(digest, waiting.iter().map(|it| it.digest.as_str()));
    let hint = near.map_or_else(|| ".".to_owned(), |near| format!("; did you mean {near}?"));
    let known: Vec<String> = waiting
        .iter()
        .map(|it| {
            format!(
                "{} ({}, {})",
                it.digest,
                output::count(it.items, "item"),
                it.file
            )
        })
        .collect();
    format!(
        "nothing waits under {digest}{hint} There are: {}",
        known.join(", ")
    )
}

async fn post(
    context: &Context,
    ledger: &SqliteLedger,
    who: &Who,
    command: Command,
) -> anyhow::Result<()> {
    ledger
        .post(Posted {
            number: 0,
            at: context.clock().now(),
            by: one_line(&context.by(who.by.as_ref())),
            reason: one_line(&who.reason),
            command,
        })
        .await?;
    Ok(())
}

/// What a person says is shown in one line, wherever it is.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Says what was asked, and who will do it.
fn tell(context: &Context, ledger: &SqliteLedger, what: &str) {
    let when = if ledger.is_held() {
        "the running daemon does it within a second"
    } else {
        "no daemon is running; the next one does it when it starts"
    };
    context.print(&format!("{what}; {when}\n"));
}
