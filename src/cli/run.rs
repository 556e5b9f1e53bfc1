//! `lapsed run`: the daemon, or one pass of it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;

use super::Exit;
use super::context::{self, Context, includes};
use crate::config::Config;
use crate::daemon::notifier::Notifier;
use crate::daemon::once::once;
use crate::daemon::{self, Daemon};
use crate::ledger::Ledger;
use crate::ledger::sqlite::{OpenAs, SqliteLedger};
use crate::source::{Latest, Options, Source, Text};
use crate::wiring::House;

/// Where the page, the API and the metrics are served where nothing else is said.
const USUAL_LISTEN: &str = "127.0.0.1:9740";

/// The arguments of `run`.
#[derive(Debug, Args)]
#[command(
    after_help = "SIGTERM and SIGINT let what is in flight end and stop within 25 s; a second one stops at once. SIGHUP reads the file again."
)]
pub(super) struct RunArgs {
    /// One pass over every provider, then exit: 1 if an item failed or is unknown, or a provider
    /// could not be worked with
    #[arg(long)]
    once: bool,
    /// Where metrics, health, API and page are served [default: the file's `listen`, else
    /// 127.0.0.1:9740]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "LAPSED_LISTEN",
        hide_env_values = true
    )]
    listen: Option<SocketAddr>,
    /// The commit of the files as they are at the start, where they lie in no checkout that tells it;
    /// what is read later is of none
    #[arg(
        long,
        value_name = "COMMIT",
        env = "LAPSED_REVISION",
        hide_env_values = true,
        value_parser = commit
    )]
    revision: Option<String>,
}

/// An id of a commit, or another name that a person gave it.
fn commit(text: &str) -> Result<String, String> {
    const LONGEST: usize = 100;
    let plain = |it: char| it.is_ascii_graphic() && !matches!(it, '"' | '\\');
    match text.len() {
        1..=LONGEST if text.chars().all(plain) => Ok(text.to_owned()),
        _ => Err(format!(
            "a commit is named by 1 to {LONGEST} letters, digits and signs, without spaces"
        )),
    }
}

pub(super) async fn run(context: &Context, args: &RunArgs) -> anyhow::Result<Exit> {
    daemon::keep_to_itself().context("core dumps cannot be switched off")?;
    let path = context.ledger_path(None)?;
    let text = match context.read_text() {
        // Nothing was ever accepted here, and a broken file is no reason to make a ledger.
        Err(error) if !path.exists() => return Err(error),
        Ok(text) if !path.exists() => {
            context.judge(&text)?;
            Ok(text)
        }
        read => read,
    };
    context::make_folder(&path)?;
    let ledger = Arc::new(SqliteLedger::open(&path, OpenAs::Daemon)?);
    tracing::info!(ledger = %path.display(), "ledger {} at {}", ledger.identity().await?.ledger_id, path.display());
    let config = to_begin_with(context, &ledger, text).await?;
    let house = House::build(ledger, context.environment(), context.clock()).await?;
    if args.once {
        daemon::listen_to_signals(Arc::clone(&house.live), house.tools.stop.clone())
            .context("signals cannot be listened to")?;
        return one_pass(context, &house, args.revision.clone()).await;
    }
    serve(&house, &config, args.listen).await?;
    daemon::listen_to_signals(Arc::clone(&house.live), house.tools.stop.clone())
        .context("signals cannot be listened to")?;
    let source = Source::watch(
        context.main_file(),
        includes(),
        Options {
            max_bytes: config.max_bytes,
            commit: args.revision.clone(),
            ..Options::default()
        },
        context.clock(),
    );
    run_daemon(house, source).await?;
    tracing::info!("stopped");
    Ok(Exit::Done)
}

/// Runs a daemon until its tools say stop.
pub(super) async fn run_daemon(house: House, source: Source) -> anyhow::Result<()> {
    let House {
        tools,
        asks,
        live,
        connect,
        deliver,
        app: _,
    } = house;
    let daemon = Daemon {
        tools,
        asks,
        live,
        connect,
        deliver,
        source,
    };
    daemon.run().await?;
    Ok(())
}

/// How to run until the daemon has read the files for itself: as they say, or where they are not valid
/// as the accepted revision says. Where that is what they are, no item is read.
async fn to_begin_with(
    context: &Context,
    ledger: &SqliteLedger,
    text: anyhow::Result<Text>,
) -> anyhow::Result<Config> {
    let accepted = context::accepted(ledger).await?;
    let head = ledger.revision_head().await?;
    let same = |text: &Text| head.as_ref().is_some_and(|it| it.digest == text.revision);
    let read = match (text, &accepted) {
        (Ok(text), Some(config)) if same(&text) => return Ok(config.clone()),
        (Ok(text), _) => context.judge(&text).map_err(anyhow::Error::from),
        (Err(error), _) => Err(error),
    };
    match (read, accepted) {
        (Ok(manifest), _) => Ok(manifest.config),
        // A bad file is no reason not to go on from what was accepted; but something there must be.
        (Err(error), Some(config)) => {
            tracing::error!("{error:#}");
            Ok(config)
        }
        (Err(error), None) => Err(error),
    }
}

/// Serves the port, and the metrics' own where the file names one.
pub(super) async fn serve(
    house: &House,
    config: &Config,
    listen: Option<SocketAddr>,
) -> anyhow::Result<SocketAddr> {
    use crate::http::Surface;
    use crate::http::server::{bind, serve};
    house.connect.in_force(config);
    let address = listen
        .or(config.listen)
        .unwrap_or_else(|| USUAL_LISTEN.parse().expect("an address"));
    if !address.ip().is_loopback() && config.read_token.is_none() {
        tracing::warn!(
            "{address} is not on loopback and there is no `read_token`: the page and the API answer nobody"
        );
    }
    let mut surfaces = vec![(address, Surface::All)];
    surfaces.extend(
        config
            .metrics_listen
            .map(|address| (address, Surface::MetricsAndHealth)),
    );
    let mut first = None;
    for (address, surface) in surfaces {
        let listener = bind(address).await.with_context(|| {
            format!("{address} cannot be listened on; name another with --listen")
        })?;
        let bound = listener.local_addr()?;
        first.get_or_insert(bound);
        tracing::info!(%bound, "listening on http://{bound}/");
        tokio::spawn(serve(
            listener,
            Arc::clone(&house.app),
            surface,
            house.tools.stop.clone(),
        ));
    }
    Ok(first.unwrap_or(address))
}

async fn one_pass(
    context: &Context,
    house: &House,
    commit: Option<String>,
) -> anyhow::Result<Exit> {
    let text = context.read_text_of(commit);
    let latest = match text {
        Ok(text) => Latest {
            text: Some(Arc::new(text)),
            problem: None,
            seen_at: Some(context.clock().now()),
        },
        Err(error) => bail!(error),
    };
    let report = once(&house.tools, &house.live, &*house.connect, &latest).await?;
    for problem in &report.problems {
        context.say(problem);
    }
    let passes = &report.passes;
    context.print(&format!(
        "{} looked at, {} sent, {} done, {} failed, {} unknown; in the ledger {} held, {} failed or unknown\n",
        passes.taken,
        passes.sent,
        passes.done,
        passes.failed,
        passes.unknown,
        report.held,
        report.failed_or_unknown
    ));
    for trouble in &report.troubles {
        context.complain(trouble);
    }
    let well = report.failed_or_unknown == 0 && report.troubles.is_empty();
    if let Some(in_force) = house.live.in_force.load_full() {
        let whole = well && report.problems.is_empty();
        for name in in_force.config.providers.keys() {
            house.live.passed(name, whole);
        }
        let (tools, live) = (house.tools.clone(), Arc::clone(&house.live));
        let mut notifier = Notifier::new(tools, live, Arc::clone(&house.deliver));
        notifier.round().await?;
    }
    Ok(match (report.problems.is_empty(), well) {
        (false, _) => Exit::Invalid,
        (true, true) => Exit::Done,
        (true, false) => Exit::Failed,
    })
}
