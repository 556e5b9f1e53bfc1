//! `lapsed history`: the record, and whether it is whole.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::context::Context;
use super::{Exit, output};
use crate::config::Config;
use crate::ledger::sqlite::SqliteLedger;
use crate::ledger::{EventQuery, Ledger as _};
use crate::reconcile::report::{EventReport, ItemReport, Standpoint};
use crate::reconcile::story;

/// What stands in each file of evidence.
const HOW_TO_CHECK: &str = "digest = SHA-256(length of salt, salt, payload); hash = SHA-256(before, length of key, key, \
length of kind, kind, at_millis, digest); a block's hash = SHA-256(before, hashes of its events). Hashes and salts are \
bytes, written here in hex; lengths and at_millis are 64 bits, most significant byte first. Whose commit it was, git says, \
and lapsed has not verified. `lapsed ledger verify --head HASH` shows that a block is part of the ledger's chain.";

/// The arguments of `history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// PROVIDER/ID; without it, the newest events of all
    item: Option<String>,
    /// At most so many events
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Checks the chain, and every row against its events
    #[arg(long)]
    verify: bool,
    /// With --verify: a head that was kept elsewhere and must be part of the chain
    #[arg(long, value_name = "HASH", requires = "verify")]
    head: Option<String>,
    /// Everything that is recorded of one item, with what its hashes are made of, for a dispute or an auditor
    #[arg(long, requires = "item", conflicts_with_all = ["verify", "limit", "format"])]
    evidence: bool,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

pub(super) async fn run(context: &Context, args: &HistoryArgs) -> anyhow::Result<Exit> {
    if args.verify {
        return verify(context, args.head.as_deref()).await;
    }
    let (ledger, config) = context.standing().await?;
    if let (Some(item), true) = (&args.item, args.evidence) {
        return evidence(context, &ledger, config.as_deref(), item).await;
    }
    let mut rows = Vec::new();
    if let Some(item) = &args.item {
        let (provider, id) = output::key(item, config.as_deref())?;
        let found = ledger.find_all(provider.clone(), id.clone()).await?;
        if found.is_empty() {
            anyhow::bail!("{provider}/{id} is not in the ledger");
        }
        rows.extend(found.iter().map(|request| Some(request.row)));
    } else {
        rows.push(None);
    }
    let mut events = Vec::new();
    for row in rows {
        let query = EventQuery {
            row,
            after: None,
            limit: args.limit,
            ..EventQuery::default()
        };
        events.extend(ledger.events(query).await?);
    }
    events.sort_by_key(|event| event.number);
    let commits = ledger.commits().await?;
    match args.format {
        Format::Json => {
            let events = events.iter().map(|it| EventReport::of(it, &commits));
            let events: Vec<_> = events.collect();
            context.print_json(&format!("{}\n", serde_json::to_string_pretty(&events)?));
        }
        Format::Human => context.print(&events.iter().fold(String::new(), |mut out, event| {
            let _ = writeln!(
                out,
                "{}  {}  {}",
                output::second(event.at),
                event.key,
                story::sentence_with_commit(event, &commits)
            );
            out
        })),
    }
    Ok(Exit::Done)
}

/// Prints what the record has of an item, for whoever does not trust lapsed.
async fn evidence(
    context: &Context,
    ledger: &SqliteLedger,
    config: Option<&Config>,
    item: &str,
) -> anyhow::Result<Exit> {
    let (provider, id) = output::key(item, config)?;
    let requests = ledger.find_all(provider.clone(), id.clone()).await?;
    let Some(config) = config.filter(|_| !requests.is_empty()) else {
        anyhow::bail!("{provider}/{id} is not in the ledger");
    };
    let now = context.clock().now();
    let standpoint = Standpoint::read(ledger, Arc::new(config.clone()), now).await?;
    let items: Vec<ItemReport> = requests.iter().map(|it| standpoint.item(it)).collect();
    let evidence = serde_json::json!({
        "about": format!("{provider}/{id}"),
        "made_at": now,
        "made_by": concat!("lapsed ", env!("CARGO_PKG_VERSION")),
        "how_to_check": HOW_TO_CHECK,
        "items": items,
        "record": ledger.evidence(provider, id).await?,
    });
    context.print_json(&format!("{}\n", serde_json::to_string_pretty(&evidence)?));
    Ok(Exit::Done)
}

/// Checks the whole record; shared with `ledger verify`.
pub(super) async fn verify(context: &Context, head: Option<&str>) -> anyhow::Result<Exit> {
    let (ledger, _) = context.standing().await?;
    let found = ledger.verify().await?;
    let mut faults = found.faults.clone();
    if let Some(head) = head
        && !ledger.has_block(head.to_owned()).await?
    {
        faults.push(format!("the head {head} is not part of this chain: the record was changed or replaced after it was kept"));
    }
    context.print(&format!(
        "{}, {} and {} checked; head: block {} {}\n",
        output::count(found.requests, "request"),
        output::count(found.events, "event"),
        output::count(found.blocks, "block"),
        found.head.block,
        found.head.hash
    ));
    for fault in &faults {
        context.complain(fault);
    }
    Ok(if faults.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}
