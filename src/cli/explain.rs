//! `lapsed explain`: everything there is to say of one item.

use std::fmt::Write as _;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::context::Context;
use super::{Exit, output};
use crate::ledger::{EventQuery, Ledger as _, Recorded};
use crate::model::ids::Key;
use crate::model::terms::Wanted;
use crate::reconcile::report::{EventReport, ItemReport, Standpoint, terms_report};
use crate::reconcile::story;

/// Events that are shown.
const SHOWN: u32 = 200;

/// The arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// PROVIDER/ID, the id in any spelling
    item: String,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

pub(super) async fn run(context: &Context, args: &ExplainArgs) -> anyhow::Result<Exit> {
    let file = context.read().ok().map(|(_, manifest)| manifest);
    let standing = context.standing().await;
    let config = match &standing {
        Ok((_, Some(config))) => Some(Arc::clone(config)),
        _ => file
            .as_ref()
            .map(|manifest| Arc::new(manifest.config.clone())),
    };
    let (provider, id) = output::key(&args.item, config.as_deref())?;
    let wanted: Vec<&Wanted> = file
        .iter()
        .flat_map(|manifest| &manifest.wanted)
        .filter(|wanted| wanted.key.provider == provider && wanted.key.id == id)
        .collect();
    let mut items = Vec::new();
    let mut now = context.clock().now();
    if let (Ok((ledger, _)), Some(config)) = (&standing, &config) {
        now = context.clock().now();
        let standpoint = Standpoint::read(ledger, Arc::clone(config), now).await?;
        for request in ledger.find_all(provider.clone(), id.clone()).await? {
            let query = EventQuery {
                row: Some(request.row),
                after: Some(0),
                limit: SHOWN,
            };
            let events = ledger.events(query).await?;
            items.push((standpoint.item(&request), events));
        }
    }
    if items.is_empty() && wanted.is_empty() {
        let key = Key {
            provider,
            id,
            again: 1,
        };
        context.complain(&format!(
            "{key} stands neither in the file nor in the ledger{}",
            nearest(&key, file.as_ref())
        ));
        return Ok(Exit::Failed);
    }
    context.print(&match args.format {
        Format::Json => json(&items, &wanted)?,
        Format::Human => human(&items, &wanted, now),
    });
    Ok(Exit::Done)
}

fn nearest(key: &Key, file: Option<&crate::desired::Manifest>) -> String {
    let known: Vec<&str> = file
        .iter()
        .flat_map(|manifest| &manifest.wanted)
        .filter(|wanted| wanted.key.provider == key.provider)
        .map(|wanted| wanted.key.id.as_str())
        .collect();
    crate::yaml::nearest(key.id.as_str(), known)
        .map(|near| format!("; did you mean {}/{near}?", key.provider))
        .unwrap_or_default()
}

fn json(items: &[(ItemReport, Vec<Recorded>)], wanted: &[&Wanted]) -> anyhow::Result<String> {
    let items: Vec<_> = items
        .iter()
        .map(|(item, events)| {
            serde_json::json!({
                "item": item,
                "events": events.iter().map(EventReport::of).collect::<Vec<_>>(),
            })
        })
        .collect();
    let file: Vec<_> = wanted
        .iter()
        .map(|wanted| serde_json::json!({"origin": wanted.place, "terms": terms_report(&wanted.terms)}))
        .collect();
    Ok(format!(
        "{}\n",
        serde_json::to_string_pretty(&serde_json::json!({"items": items, "file": file}))?
    ))
}

fn human(
    items: &[(ItemReport, Vec<Recorded>)],
    wanted: &[&Wanted],
    now: chrono::DateTime<chrono::Utc>,
) -> String {
    let mut out = String::new();
    for (item, events) in items {
        one(&mut out, item, events, now);
    }
    for wanted in wanted {
        let known = items.iter().any(|(item, _)| item.again == wanted.key.again);
        if !known {
            let _ = writeln!(
                out,
                "{}\n  stands at {} and is not accepted yet\n",
                wanted.key, wanted.place
            );
            for (field, term) in terms_report(&wanted.terms) {
                let _ = writeln!(out, "  {field:<20} {}  ({})", plain(&term.value), term.from);
            }
        }
    }
    out
}

fn one(
    out: &mut String,
    item: &ItemReport,
    events: &[Recorded],
    now: chrono::DateTime<chrono::Utc>,
) {
    let again = if item.again > 1 {
        format!(" (again: {})", item.again)
    } else {
        String::new()
    };
    let _ = writeln!(out, "{}/{}{again}  {}", item.provider, item.id, item.state);
    let _ = writeln!(
        out,
        "  at {}:{}, revision {}",
        item.origin.file, item.origin.line, item.origin.revision
    );
    if let Some(hold) = &item.hold {
        let _ = writeln!(out, "  held: {} — {}", hold.reason, hold.detail);
        let _ = writeln!(out, "  cure: {}", hold.cure);
        if !hold.also.is_empty() {
            let also: Vec<&str> = hold.also.iter().map(|reason| reason.as_str()).collect();
            let _ = writeln!(out, "  also: {}", also.join(", "));
        }
    }
    if let Some(note) = &item.note {
        let _ = writeln!(out, "  {note}");
    }
    let mut time = |what: &str, at: Option<chrono::DateTime<chrono::Utc>>| {
        if let Some(at) = at {
            let _ = writeln!(
                out,
                "  {what:<9} {} ({})",
                output::second(at),
                output::relative(at, now)
            );
        }
    };
    time("due", item.due_at);
    time("deadline", item.deadline_at);
    time("next", item.next_at);
    if let Some(end) = &item.period_end {
        let _ = writeln!(
            out,
            "  period    ends {} (says {})",
            output::second(end.at),
            end.source
        );
    }
    match &item.observed {
        Some(observed) => {
            let _ = writeln!(
                out,
                "  observed  {} ({})",
                observed.summary,
                output::relative(observed.at, now)
            );
        }
        None => out.push_str("  observed  nothing yet: it is read when it is due\n"),
    }
    out.push_str("\n  Fields, and what set them\n");
    for (field, term) in &item.terms {
        let _ = writeln!(out, "  {field:<20} {}  ({})", plain(&term.value), term.from);
    }
    for unused in &item.unused {
        let _ = writeln!(
            out,
            "  {:<20} {}  ({}) unused: {}",
            unused.field, unused.value, unused.from, unused.why
        );
    }
    out.push_str("\n  History\n");
    for event in events {
        let _ = writeln!(
            out,
            "  {}  {}",
            output::second(event.at),
            story::sentence(event)
        );
    }
    out.push('\n');
}

fn plain(value: &serde_json::Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
