//! `lapsed demo`: the real daemon on a real file in a fresh folder against the sandbox, told
//! as it happens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::context::{Context, includes};
use super::run::{run_daemon, serve};
use super::{Exit, output};
use crate::daemon;
use crate::ledger::sqlite::{OpenAs, SqliteLedger};
use crate::ledger::{EventQuery, Ledger};
use crate::model::standing::{Event, State};
use crate::reconcile::report::{ListQuery, Standpoint};
use crate::reconcile::story;
use crate::sandbox::{Sandbox, Seeds, cast};
use crate::source::{Options, Source};
use crate::wiring::House;

/// How often the record is looked at for news.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Events that are taken at a time.
const MOST_NEWS: u32 = 500;

/// The longest that `--once` waits for everything to settle.
const LONGEST: Duration = Duration::from_secs(120);

/// The arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Ends when everything is settled
    #[arg(long)]
    once: bool,
    /// Where the page is served [default: a free port on loopback]
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        hide_default_value = true
    )]
    listen: SocketAddr,
    /// Keeps the folder with the file and the ledger
    #[arg(long)]
    keep: bool,
}

/// A fresh folder, which goes when the demo ends.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // It lies in the system's own folder for such things, which is cleaned anyway.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

pub(super) async fn run(context: &Context, args: &DemoArgs) -> anyhow::Result<Exit> {
    let folder = fresh_folder(args.keep)?;
    let sandbox = Sandbox::start(loopback(), context.clock(), Seeds::demo())
        .await
        .context("the sandbox cannot be started")?;
    let file = folder.path.join("lapsed.yaml");
    std::fs::write(&file, example(&sandbox.urls()))
        .with_context(|| format!("{} cannot be written", file.display()))?;
    let ledger_path = folder.path.join("lapsed.db");
    let context = context.over(file.clone(), &ledger_path);
    let (_, manifest) = context.read()?;
    let ledger = Arc::new(SqliteLedger::open(&ledger_path, OpenAs::Daemon)?);
    let house = House::build(
        Arc::clone(&ledger) as Arc<dyn Ledger>,
        context.environment(),
        context.clock(),
    )
    .await?;
    let address = serve(&house, &manifest.config, Some(args.listen)).await?;
    let stop = house.tools.stop.clone();
    daemon::listen_to_signals(Arc::clone(&house.live), stop.clone())?;
    context.print(&format!(
        "lapsed demo: the daemon against a sandbox of three providers, in one process

  the file      {}
  the page      http://{address}/
  the sandbox   {}
  a tick every two seconds; Ctrl-C ends it{}

",
        file.display(),
        sandbox.urls().control,
        if args.keep {
            ", and the folder stays"
        } else {
            ""
        },
    ));
    let options = Options {
        settle: Duration::from_millis(500),
        poll: Duration::from_secs(1),
        ..Options::default()
    };
    let source = Source::watch(file, includes(), options, context.clock());
    let live = Arc::clone(&house.live);
    let daemon = tokio::spawn(run_daemon(house, source));
    let settled = tell(&context, &*ledger, args.once, &stop).await?;
    stop.cancel();
    daemon.await.context("the daemon broke off")??;
    if let Some(in_force) = live.in_force.load_full() {
        context.print_states(&summary(&context, &*ledger, Arc::clone(&in_force.config)).await?);
    }
    sandbox.stop().await;
    if !settled {
        context.complain("not everything settled in time");
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A folder of our own. Its real path: a ledger behind a symlink is refused.
fn fresh_folder(keep: bool) -> anyhow::Result<Folder> {
    let root = std::env::temp_dir();
    let root = root.canonicalize().unwrap_or(root);
    for _ in 0..100 {
        let path = root.join(format!("lapsed-demo-{:08x}", fastrand::u32(..)));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(Folder { path, keep }),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be made", path.display()));
            }
        }
    }
    anyhow::bail!(
        "no fresh folder can be made in {}",
        Path::new(&root).display()
    )
}

/// Tells what happens, until a signal comes or, with `once`, until everything has settled.
/// Gives whether it has.
async fn tell(
    context: &Context,
    ledger: &dyn Ledger,
    once: bool,
    stop: &tokio_util::sync::CancellationToken,
) -> anyhow::Result<bool> {
    let began_at = context.clock().since_boot();
    let mut after = 0;
    loop {
        let query = EventQuery {
            row: None,
            after: Some(after),
            limit: MOST_NEWS,
            ..EventQuery::default()
        };
        let news = ledger.events(query).await?;
        for recorded in &news {
            after = recorded.number;
            let quiet = matches!(recorded.event, Some(Event::Freed { .. }));
            if !quiet {
                let time = recorded.at.format("%H:%M:%S");
                context.print(&format!(
                    "{time}  {:<52} {}\n",
                    recorded.key.to_string(),
                    story::sentence(recorded)
                ));
            }
        }
        if stop.is_cancelled() {
            return Ok(true);
        }
        let tally = ledger.tally(context.clock().now()).await?;
        let open: u64 = tally
            .states
            .iter()
            .filter(|((_, state), _)| {
                matches!(
                    state,
                    State::Scheduled | State::Sending | State::Unknown | State::Retrying
                )
            })
            .map(|(_, count)| count.all)
            .sum();
        // What is scheduled for another day stays, and is shown as such.
        let waits = u64::from(ALSO_SCHEDULED);
        if once && news.is_empty() && !tally.states.is_empty() && open <= waits {
            return Ok(true);
        }
        if once && context.clock().since_boot().saturating_sub(began_at) > LONGEST {
            return Ok(false);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn summary(
    context: &Context,
    ledger: &dyn Ledger,
    config: Arc<crate::config::Config>,
) -> anyhow::Result<String> {
    let standpoint = Standpoint::read(ledger, config, context.clock().now()).await?;
    let query = ListQuery {
        provider: None,
        states: Vec::new(),
        after: 0,
        limit: 100,
        ..ListQuery::default()
    };
    let list = standpoint.list(ledger, &query).await?;
    let rows = list
        .items
        .iter()
        .map(|item| {
            let why = match (&item.hold, &item.note) {
                (Some(hold), _) => format!("{}: {}", hold.reason, hold.detail),
                (None, Some(note)) => note.clone(),
                (None, None) => item
                    .due_at
                    .map(|at| format!("due {}", output::minute(at)))
                    .unwrap_or_default(),
            };
            [
                item.provider.to_string(),
                item.id.clone(),
                item.state.to_string(),
                why,
            ]
        })
        .collect();
    let done = list
        .items
        .iter()
        .filter(|item| item.state == State::Canceled)
        .count() as u64;
    Ok(format!(
        "\n{}\n{} cancelled by lapsed, each read back as ended; {} asked for in all.\n",
        output::table(["PROVIDER", "SUBSCRIPTION", "STATE", "WHY"], rows),
        output::count(done, "subscription"),
        list.items.len()
    ))
}

/// Items of the example whose day is far ahead.
const ALSO_SCHEDULED: u8 = 1;

/// The example: one item for each thing that is worth seeing.
fn example(urls: &crate::sandbox::Urls) -> String {
    format!(
        r#"# The file of `lapsed demo`. Edit it while the demo runs: it is acted on at the next tick.
version: 1
mode: enforce

reconcile:
  schedule: "*/2 * * * * *" # every two seconds, for the demo
  timezone: Europe/Berlin

providers:
  academy:
    type: kajabi
    base_url: {kajabi}
    client_id: {{value: {kajabi_id}}}
    client_secret: {{value: {kajabi_secret}}}
    rate_limit: 50/s
  donations:
    type: revere
    base_url: {revere}
    group_id: {group}
    linked_account_id: {account}
    api_key: {{value: {revere_key}}}
    rate_limit: 50/s
  metered:
    type: lotus
    base_url: {lotus}
    api_key: {{value: {lotus_key}}}
    organization_id: {organization}
    rate_limit: 50/s

policies:
  - name: metered customers pay what they used
    match: {{provider: metered}}
    set: {{flat_fee_behavior: charge_prorated, usage_behavior: bill_full, invoicing_behavior: invoice_now}}
  - name: at once, unless an item says otherwise
    set: {{when: now, reason: Customer request}}

cancellations:
  - {{id: "{k1}", provider: academy, labels: {{ticket: OPS-4711}}}}
  - {{id: "{k2}", provider: academy}}
  - {{id: "{k3}", provider: academy}} # deactivated by hand: billing may go on
  - {{id: "{k4}", provider: academy}} # an instalment plan: a debt
  - {{id: "{r1}", provider: donations, reason: Duplicate Order}}
  - {{id: "{r2}", provider: donations, expect: {{customer: somebody-else}}}}
  - {{id: "{r3}", provider: donations}} # its retries are spent, but it could revive
  - {{id: "{l1}", provider: metered}}
  - {{id: "{l2}", provider: metered, when: 2099-12-31}}
  - {{id: "{l3}", provider: metered}} # of another organization
...
"#,
        kajabi = urls.kajabi,
        revere = urls.revere,
        lotus = urls.lotus,
        kajabi_id = cast::KAJABI_CLIENT_ID,
        kajabi_secret = cast::KAJABI_CLIENT_SECRET,
        group = cast::REVERE_GROUP,
        account = cast::REVERE_ACCOUNT,
        revere_key = cast::REVERE_KEY,
        lotus_key = cast::LOTUS_KEY,
        organization = cast::LOTUS_ORGANIZATION,
        k1 = cast::KAJABI_ACTIVE,
        k2 = cast::KAJABI_ACTIVE_TOO,
        k3 = cast::KAJABI_DEACTIVATED,
        k4 = cast::KAJABI_PAYMENT_PLAN,
        r1 = cast::REVERE_MONTHLY,
        r2 = cast::REVERE_ANNUAL,
        r3 = cast::REVERE_FAILED,
        l1 = cast::LOTUS_ACTIVE,
        l2 = cast::LOTUS_NEW_YORK,
        l3 = cast::LOTUS_FOREIGN,
    )
}
