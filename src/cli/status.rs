//! `lapsed status`: how things stand.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use super::context::Context;
use super::{Exit, output};
use crate::ledger::Page;
use crate::model::approval::{Waiting, What};
use crate::model::standing::State;
use crate::reconcile::report::{ItemReport, ListQuery, Standpoint, StatusReport};

/// How often `--watch` looks again.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Rows of each table.
const SHOWN: u32 = 10;

/// The arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Looks again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

pub(super) async fn run(context: &Context, args: &StatusArgs) -> anyhow::Result<Exit> {
    loop {
        let text = once(context, args.format).await?;
        match args.format {
            Format::Human if args.watch => context.print_over(&text),
            Format::Human => context.print_states(&text),
            Format::Json => context.print_json(&text),
        }
        if !args.watch {
            return Ok(Exit::Done);
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

async fn once(context: &Context, format: Format) -> anyhow::Result<String> {
    let (ledger, config) = context.standing().await?;
    let config = config.ok_or_else(|| {
        anyhow!("no revision was accepted yet, and the file is not valid; see `lapsed check`")
    })?;
    let now = context.clock().now();
    let standpoint = Standpoint::read(&ledger, config, now).await?;
    let status = standpoint.status(&ledger).await?;
    if format == Format::Json {
        return Ok(format!("{}\n", serde_json::to_string_pretty(&status)?));
    }
    let due = Page {
        states: vec![State::Scheduled, State::Retrying],
        limit: SHOWN,
        by_due: true,
        ..Page::default()
    };
    use crate::ledger::Ledger as _;
    let due: Vec<ItemReport> = ledger
        .page(due)
        .await?
        .iter()
        .map(|request| standpoint.item(request))
        .collect();
    let held = ListQuery {
        provider: None,
        states: vec![State::Held, State::Unknown, State::Failed, State::Missed],
        after: 0,
        limit: SHOWN,
        ..ListQuery::default()
    };
    let held = standpoint.list(&ledger, &held).await?.items;
    let mut text = human(&status, &due, &held);
    text.push_str(&waiting(&ledger.waiting().await?, now));
    if let Some(error) = context.unfit(&ledger).await? {
        let first = error.to_string();
        let first = first
            .lines()
            .find(|line| line.contains(':'))
            .unwrap_or("see `lapsed check`");
        let _ = writeln!(
            text,
            "\nThe newest file is not valid; the accepted revision stays in force: {first}"
        );
    }
    Ok(text)
}

/// What waits for a person, and what to type.
fn waiting(waiting: &[Waiting], now: DateTime<Utc>) -> String {
    let mut out = String::new();
    for it in waiting {
        let what = match it.what {
            What::Approval => "for an approval",
            What::Removal => "because their lines have vanished at once",
        };
        let _ = writeln!(
            out,
            "\nWaiting {what}: {} of {}{}; compare with `lapsed plan`, then\n  lapsed approve {}",
            output::count(it.items, "item"),
            it.file,
            due(it, now),
            it.digest
        );
    }
    out
}

/// When what waits would go.
fn due(waiting: &Waiting, now: DateTime<Utc>) -> String {
    match waiting.due.filter(|_| waiting.what == What::Approval) {
        None => String::new(),
        Some(due) if due.last <= now => ", due already".to_owned(),
        Some(due) if due.first == due.last => format!(", due {}", output::second(due.last)),
        Some(due) => format!(
            ", due from {} to {}",
            output::second(due.first),
            output::second(due.last)
        ),
    }
}

fn human(status: &StatusReport, due: &[ItemReport], held: &[ItemReport]) -> String {
    let mut out = String::new();
    let now = status.at;
    match &status.revision {
        Some(revision) => {
            let _ = writeln!(
                out,
                "revision {} accepted {} ({})",
                revision.digest,
                output::second(revision.accepted_at),
                output::relative(revision.accepted_at, now)
            );
        }
        None => out.push_str("no revision was accepted yet\n"),
    }
    if let Some(doubt) = &status.ledger.doubt {
        let _ = writeln!(
            out,
            "LEDGER IN DOUBT, nothing is sent: {doubt}\n  cure: lapsed ledger trust"
        );
    }
    let rows = status
        .providers
        .iter()
        .map(|provider| {
            let states: Vec<String> = provider
                .states
                .iter()
                .map(|(state, count)| format!("{count} {state}"))
                .collect();
            let gates: Vec<String> = provider
                .gates
                .iter()
                .map(|gate| format!("{} ({})", gate.reason, gate.detail))
                .collect();
            [
                provider.provider.to_string(),
                provider.kind.to_string(),
                provider.mode.to_owned(),
                if states.is_empty() {
                    "nothing".to_owned()
                } else {
                    states.join(", ")
                },
                provider
                    .next_tick_at
                    .map(|at| output::relative(at, now))
                    .unwrap_or_default(),
                if gates.is_empty() {
                    "open".to_owned()
                } else {
                    gates.join("; ")
                },
            ]
        })
        .collect();
    out.push('\n');
    out.push_str(&output::table(
        ["PROVIDER", "TYPE", "MODE", "ITEMS", "NEXT TICK", "GATES"],
        rows,
    ));
    if !due.is_empty() {
        out.push_str("\nNext due\n");
        let rows = due
            .iter()
            .map(|item| {
                [
                    format!("{}/{}", item.provider, item.id),
                    item.due_at.map(output::second).unwrap_or_default(),
                    item.due_at
                        .map(|at| output::relative(at, now))
                        .unwrap_or_default(),
                    item.state.to_string(),
                ]
            })
            .collect();
        out.push_str(&output::table(["ITEM", "DUE", "", "STATE"], rows));
    }
    if !held.is_empty() {
        out.push_str("\nHeld, unknown or failed\n");
        let rows = held
            .iter()
            .map(|item| {
                let (why, cure) = match (&item.hold, &item.note) {
                    (Some(hold), _) => (
                        format!("{}: {}", hold.reason, hold.detail),
                        hold.cure.to_owned(),
                    ),
                    (None, Some(note)) => {
                        let missed = match item.state {
                            State::Missed => " --state missed",
                            _ => "",
                        };
                        let cure = format!("lapsed retry {}/{}{missed}", item.provider, item.id);
                        (note.clone(), cure)
                    }
                    (None, None) => (
                        "being read".to_owned(),
                        "it is read again by itself".to_owned(),
                    ),
                };
                [
                    format!("{}/{}", item.provider, item.id),
                    item.state.to_string(),
                    why,
                    cure,
                ]
            })
            .collect();
        out.push_str(&output::table(["ITEM", "STATE", "WHY", "CURE"], rows));
        let all: u64 = [State::Held, State::Unknown, State::Failed, State::Missed]
            .iter()
            .filter_map(|state| status.totals.get(state))
            .sum();
        let more = all.saturating_sub(held.len() as u64);
        if more > 0 {
            let _ = writeln!(
                out,
                " … and {more} more (the page and `GET /api/v1/cancellations` have all)"
            );
        }
    }
    for limit in &status.limits {
        let _ = write!(
            out,
            "{}{}: {} of {} writes",
            if limit.limit == "per_hour" {
                "\n"
            } else {
                ", "
            },
            limit.limit,
            limit.used,
            limit.most
        );
    }
    out.push('\n');
    out
}
