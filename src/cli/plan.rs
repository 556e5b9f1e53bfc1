//! `lapsed plan`: what would happen, when and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::context::Context;
use super::{Exit, output};
use crate::config::Mode;
use crate::ledger::Ledger;
use crate::reconcile::preview::{self, Planned, PlannedItem, Preview, Reading, Sources};
use crate::wiring;

/// Items of one group that a person is shown.
const SHOWN: usize = 50;

/// Items of one group in a comment.
const SHOWN_IN_MARKDOWN: usize = 20;

/// The arguments of `plan`.
#[derive(Debug, Args)]
#[command(
    after_help = "Sends nothing: it is built without the means to. Reads what is due within 48 h, at most 100 items."
)]
pub(super) struct PlanArgs {
    /// Reads nothing
    #[arg(long, conflicts_with = "refresh")]
    offline: bool,
    /// Reads everything that is open
    #[arg(long)]
    refresh: bool,
    /// For people, for programs, or as a comment
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Exit code 2 if there is something to do
    #[arg(long)]
    detailed_exitcode: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
    Markdown,
}

pub(super) async fn run(context: &Context, args: &PlanArgs) -> anyhow::Result<Exit> {
    let (text, manifest) = context.read()?;
    let ledger = context.guest(Some(&manifest.config))?;
    let reading = match (args.offline, args.refresh) {
        (true, _) => Reading::Offline,
        (_, true) => Reading::All,
        _ => Reading::Soon,
    };
    let readers = if reading == Reading::Offline {
        BTreeMap::new()
    } else {
        readers(context, &manifest)
    };
    if ledger.is_none() {
        context.say("no ledger yet: the whole file is planned as new");
    }
    let bar = progress(reading);
    let preview = preview::preview(
        Sources {
            manifest: &manifest,
            revision: &text.revision,
            against: None,
            until: None,
            ledger: ledger.as_ref().map(|ledger| ledger as &dyn Ledger),
            readers,
            reading,
            now: context.clock().now(),
        },
        &|done, all| {
            if let Some(bar) = &bar {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            }
        },
    )
    .await?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    context.print(&match args.format {
        Format::Human => human(&preview, &manifest),
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&preview)?),
        Format::Markdown => markdown(&preview),
    });
    let something = preview
        .items
        .iter()
        .any(|item| item.changed || !matches!(item.action, Planned::Finished));
    Ok(if args.detailed_exitcode && something {
        Exit::Changes
    } else {
        Exit::Done
    })
}

/// Read halves of the providers whose secrets are there.
fn readers(
    context: &Context,
    manifest: &crate::desired::Manifest,
) -> BTreeMap<crate::model::ids::ProviderName, Arc<dyn crate::provider::Reader>> {
    let environment = context.environment();
    let used: std::collections::BTreeSet<_> =
        manifest.wanted.iter().map(|it| &it.key.provider).collect();
    manifest
        .config
        .providers
        .values()
        .filter(|provider| used.contains(&provider.name))
        .filter_map(
            |provider| match wiring::preview(provider, &environment, context.clock()) {
                Ok(reader) => Some((provider.name.clone(), reader)),
                Err(why) => {
                    context.say(&format!("{} is planned unread: {why}", provider.name));
                    None
                }
            },
        )
        .collect()
}

fn progress(reading: Reading) -> Option<indicatif::ProgressBar> {
    (reading != Reading::Offline && std::io::stderr().is_terminal()).then(|| {
        let bar = indicatif::ProgressBar::new(0);
        bar.set_style(
            indicatif::ProgressStyle::with_template("reading {pos}/{len} {wide_bar}")
                .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()),
        );
        bar
    })
}

const GROUPS: [(Planned, &str); 7] = [
    (Planned::Cancel, "Cancelled at the next tick"),
    (Planned::Scheduled, "Cancelled when their time comes"),
    (Planned::Held, "Held"),
    (Planned::InFlight, "Sent; what became of them is being read"),
    (Planned::Settle, "Settled without a write"),
    (Planned::Withdraw, "Withdrawn"),
    (Planned::Finished, "Finished before; nothing follows"),
];

fn human(preview: &Preview, manifest: &crate::desired::Manifest) -> String {
    let mut out = String::new();
    let observing: Vec<&str> = manifest
        .config
        .providers
        .values()
        .filter(|provider| provider.mode == Mode::Observe)
        .map(|provider| provider.name.as_str())
        .collect();
    let _ = writeln!(
        out,
        "Plan of revision {} at {} (times in UTC)",
        preview.revision,
        output::minute(preview.at)
    );
    if !observing.is_empty() {
        let _ = writeln!(
            out,
            "Observe mode, nothing is sent: {}",
            observing.join(", ")
        );
    }
    for (group, title) in GROUPS {
        let items: Vec<&PlannedItem> = preview
            .items
            .iter()
            .filter(|item| item.action == group)
            .collect();
        if items.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{title} ({})", items.len());
        if group == Planned::Finished {
            continue;
        }
        let rows = items.iter().take(SHOWN).map(|item| row(item)).collect();
        out.push_str(&output::table(
            ["ITEM", "WHEN", "TICK", "OBSERVED", "WHY", "FROM"],
            rows,
        ));
        if items.len() > SHOWN {
            let _ = writeln!(
                out,
                " … and {} more (--format json has all)",
                items.len() - SHOWN
            );
        }
    }
    if preview.items.is_empty() {
        out.push_str("\nThe file asks for nothing.\n");
    }
    for digest in &preview.digests {
        let _ = writeln!(
            out,
            "\nWaiting for an approval in {}: {} (digest {})",
            digest.file,
            output::count(digest.items, "item"),
            digest.digest
        );
    }
    if !preview.effort.is_empty() {
        out.push('\n');
    }
    for effort in &preview.effort {
        let _ = writeln!(
            out,
            "{}: {}, {}, about {} at its rate limit",
            effort.provider,
            output::count(effort.items, "cancellation"),
            output::count(effort.requests, "request"),
            output::length(effort.takes_seconds)
        );
    }
    out
}

fn row(planned: &PlannedItem) -> [String; 6] {
    let item = &planned.item;
    let why = match (&item.hold, &item.note) {
        (Some(hold), _) => format!("{}: {} — {}", hold.reason, hold.detail, hold.cure),
        (None, Some(note)) => note.clone(),
        (None, None) => item
            .terms
            .get("reason")
            .and_then(|reason| reason.value.as_str())
            .unwrap_or_default()
            .to_owned(),
    };
    [
        name(planned),
        item.when.clone(),
        item.next_at.map(output::minute).unwrap_or_default(),
        item.observed.as_ref().map_or_else(
            || "not read".to_owned(),
            |observed| observed.summary.clone(),
        ),
        why,
        item.terms
            .get("when")
            .map(|when| when.from.clone())
            .unwrap_or_default(),
    ]
}

fn name(planned: &PlannedItem) -> String {
    let item = &planned.item;
    let again = if item.again > 1 {
        format!(" (again: {}, a second time)", item.again)
    } else {
        String::new()
    };
    format!("{}/{}{again}", item.provider, item.id)
}

fn markdown(preview: &Preview) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let mut out = format!(
        "### lapsed plan\n\nRevision `{}`.\n\n| what | items |\n| --- | ---: |\n",
        preview.revision
    );
    for (group, title) in GROUPS {
        if let Some(count) = preview.summary.get(&group) {
            let _ = writeln!(out, "| {title} | {count} |");
        }
    }
    for (group, title) in GROUPS {
        if group == Planned::Finished {
            continue;
        }
        let items: Vec<&PlannedItem> = preview
            .items
            .iter()
            .filter(|item| item.action == group)
            .collect();
        if items.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "\n<details><summary>{title} ({})</summary>\n\n| item | when | observed | why | from |\n| --- | --- | --- | --- | --- |",
            items.len()
        );
        for item in items.iter().take(SHOWN_IN_MARKDOWN) {
            let [name, when, _, observed, why, from] = row(item);
            let _ = writeln!(
                out,
                "| `{name}` | {} | {} | {} | {} |",
                cell(&when),
                cell(&observed),
                cell(&why),
                cell(&from)
            );
        }
        if items.len() > SHOWN_IN_MARKDOWN {
            let _ = writeln!(out, "\n… and {} more", items.len() - SHOWN_IN_MARKDOWN);
        }
        out.push_str("\n</details>\n");
    }
    for digest in &preview.digests {
        let _ = writeln!(
            out,
            "\nWaiting for an approval in `{}`: {} (digest `{}`)",
            digest.file,
            output::count(digest.items, "item"),
            digest.digest
        );
    }
    out
}
