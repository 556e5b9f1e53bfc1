//! `lapsed explain`: everything there is to say of one item.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use super::context::Context;
use super::letter::{self, Letter};
use super::{Exit, output};
use crate::config::Subject;
use crate::desired::{Manifest, PolicyReport};
use crate::ledger::{EventQuery, Ledger, Recorded};
use crate::model::approval::{Waiting, What};
use crate::model::ids::Key;
use crate::model::standing::State;
use crate::model::terms::{Unused, Wanted};
use crate::reconcile::preview::{self, PlannedItem, Reading, Sources};
use crate::reconcile::report::{EventReport, ItemReport, Standpoint, TermReport, terms_report};
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
    let file = context.read().ok();
    let manifest = file.as_ref().map(|(_, manifest)| manifest);
    let standing = context.standing().await;
    let config = match &standing {
        Ok((_, Some(config))) => Some(Arc::clone(config)),
        _ => manifest.map(|manifest| Arc::new(manifest.config.clone())),
    };
    let (provider, id) = output::key(&args.item, config.as_deref())?;
    let now = context.clock().now();
    let mut items = Vec::new();
    if let (Ok((ledger, _)), Some(config)) = (&standing, &config) {
        let standpoint = Standpoint::read(ledger, Arc::clone(config), now).await?;
        for request in ledger.find_all(provider.clone(), id.clone()).await? {
            let query = EventQuery {
                row: Some(request.row),
                after: Some(0),
                limit: SHOWN,
                ..EventQuery::default()
            };
            let events = ledger.events(query).await?;
            items.push((standpoint.item(&request), events));
        }
    }
    let wanted: Vec<&Wanted> = manifest
        .iter()
        .flat_map(|manifest| &manifest.wanted)
        .filter(|wanted| wanted.key.provider == provider && wanted.key.id == id)
        .collect();
    if items.is_empty() && wanted.is_empty() {
        let key = Key {
            provider,
            id,
            again: 1,
        };
        context.complain(&format!(
            "{key} stands neither in the file nor in the ledger{}",
            nearest(&key, manifest)
        ));
        return Ok(Exit::Failed);
    }
    if args.format == Format::Json {
        let commits = match &standing {
            Ok((ledger, _)) => ledger.commits().await?,
            Err(_) => BTreeMap::new(),
        };
        context.print_json(&json(&items, &commits, &wanted)?);
        return Ok(Exit::Done);
    }
    let ledger = standing
        .as_ref()
        .ok()
        .map(|(ledger, _)| ledger as &dyn Ledger);
    let planned = match &file {
        Some((text, manifest)) => foretold(manifest, &text.revision, ledger, now).await?,
        None => Vec::new(),
    };
    let Some(config) = config else {
        return Ok(Exit::Failed);
    };
    let explained = Explained {
        letter: Letter::new(&config, now),
        policies: manifest.map_or(&[], |manifest| &manifest.policies),
        waiting: match ledger {
            Some(ledger) => ledger.waiting().await?,
            None => Vec::new(),
        },
    };
    context.print_states(&explained.all(&items, &wanted, &planned));
    Ok(Exit::Done)
}

/// What the plan says of every item, from what is known already.
async fn foretold(
    manifest: &Manifest,
    revision: &str,
    ledger: Option<&dyn Ledger>,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<PlannedItem>> {
    let sources = Sources {
        manifest,
        revision,
        against: None,
        ledger,
        readers: BTreeMap::new(),
        reading: Reading::Offline,
        now,
        until: None,
    };
    Ok(preview::preview(sources, &|_, _| {}).await?.items)
}

fn nearest(key: &Key, file: Option<&Manifest>) -> String {
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

fn json(
    items: &[(ItemReport, Vec<Recorded>)],
    commits: &BTreeMap<String, String>,
    wanted: &[&Wanted],
) -> anyhow::Result<String> {
    let items: Vec<_> = items
        .iter()
        .map(|(item, events)| {
            serde_json::json!({
                "item": item,
                "events": events.iter().map(|it| EventReport::of(it, commits)).collect::<Vec<_>>(),
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

/// Tells all there is to say of one subscription.
struct Explained<'e> {
    letter: Letter<'e>,
    policies: &'e [PolicyReport],
    waiting: Vec<Waiting>,
}

impl Explained<'_> {
    fn all(
        &self,
        items: &[(ItemReport, Vec<Recorded>)],
        wanted: &[&Wanted],
        planned: &[PlannedItem],
    ) -> String {
        let mut out = String::new();
        for (item, events) in items {
            let told = planned
                .iter()
                .find(|it| same(&it.item, item) && !it.changed);
            let in_file = wanted.iter().find(|it| it.key.again == item.again);
            self.one(&mut out, item, told, in_file.copied());
            self.history(&mut out, events);
        }
        for wanted in wanted {
            if !items.iter().any(|(item, _)| item.again == wanted.key.again) {
                self.not_accepted(&mut out, wanted, planned);
            }
        }
        out
    }

    fn one(
        &self,
        out: &mut String,
        item: &ItemReport,
        told: Option<&PlannedItem>,
        wanted: Option<&Wanted>,
    ) {
        let _ = writeln!(out, "{}   {}", title(item), item.state);
        let untold = PlannedItem::untold(item.clone());
        // What the ledger says now, with what the days ahead will bring.
        let told = PlannedItem {
            item: item.clone(),
            ..told.unwrap_or(&untold).clone()
        };
        let mut lines = self.letter.planned(&told);
        lines.extend(self.approves(item));
        lines.extend(self.next(item));
        out.push_str(&letter::paragraphs(&lines, 4));
        let origin = &item.origin;
        let mut asked = vec![format!(
            "Asked for at {}:{} in revision {}; first accepted {}.",
            origin.file,
            origin.line,
            origin.revision,
            self.letter.moment(item.created_at)
        )];
        if wanted.is_none() {
            asked.push("The file as it now is does not ask for it.".to_owned());
        } else if wanted.is_some_and(|wanted| differs(wanted, item)) {
            asked.push(
                "The file as it now is asks for other terms, which are not accepted yet."
                    .to_owned(),
            );
        }
        asked.extend(
            item.approved
                .as_ref()
                .map(|plan| format!("Approved as part of plan {plan}.")),
        );
        let _ = write!(out, "\n{}", letter::paragraphs(&asked, 4));
        self.fields(out, &item.terms, &item.unused, wanted);
    }

    /// What to type where it waits for a person.
    fn approves(&self, item: &ItemReport) -> Option<String> {
        let hold = item.hold.as_ref()?;
        let waits = |what: What| hold.reason == what.hold() || hold.also.contains(&what.hold());
        let waiting = self
            .waiting
            .iter()
            .find(|it| it.file == item.origin.file && waits(it.what))?;
        Some(format!(
            "It is one of {} under `lapsed approve {}`.",
            output::count(waiting.items, "item"),
            waiting.digest
        ))
    }

    /// What happens next by itself.
    fn next(&self, item: &ItemReport) -> Option<String> {
        if item.state.finished() || item.state == State::Withdrawn {
            return None;
        }
        let at = self.letter.moment_from_now(item.next_at?);
        let due = item
            .due_at
            .is_some_and(|due_at| item.next_at.is_some_and(|next| next >= due_at));
        let what = match item.state {
            State::Sending | State::Unknown | State::Ending => "it is read again",
            State::Retrying => "it is tried again",
            State::Held => "it is looked at again",
            _ if due => "it acts, as far as nothing holds it then",
            _ => "its period's end is read again",
        };
        Some(format!("Next, {at}: {what}."))
    }

    fn not_accepted(&self, out: &mut String, wanted: &Wanted, planned: &[PlannedItem]) {
        let _ = writeln!(out, "{}   not accepted yet", wanted.key);
        let told = planned.iter().find(|it| {
            it.item.id == wanted.key.id.as_str()
                && it.item.provider == wanted.key.provider
                && it.item.again == wanted.key.again
        });
        if let Some(told) = told {
            out.push_str(&letter::paragraphs(&self.letter.planned(told), 4));
        }
        let stands = vec![format!("It stands at {}.", wanted.place)];
        let _ = write!(out, "\n{}", letter::paragraphs(&stands, 4));
        let terms = terms_report(&wanted.terms);
        self.fields(out, &terms, &wanted.terms.unused, Some(wanted));
        out.push('\n');
    }

    /// Every field, what set it, and what else would have.
    fn fields(
        &self,
        out: &mut String,
        terms: &BTreeMap<&'static str, TermReport>,
        unused: &[Unused],
        wanted: Option<&Wanted>,
    ) {
        out.push_str("\n  Fields, and what set them\n");
        for (field, term) in terms {
            let _ = writeln!(
                out,
                "    {field:<20} {}  ({})",
                plain(&term.value),
                term.from
            );
            for (name, value) in self.lost(field, &term.from, wanted) {
                let _ = writeln!(
                    out,
                    "    {:<20} not {value}, which policy `{name}` sets",
                    ""
                );
            }
        }
        for unused in unused {
            let _ = writeln!(
                out,
                "    {:<20} {}  ({}) unused: {}",
                unused.field, unused.value, unused.from, unused.why
            );
        }
    }

    /// Policies that speak of the item and set the field, and lost.
    fn lost(&self, field: &str, winner: &str, wanted: Option<&Wanted>) -> Vec<(&str, &str)> {
        let Some(wanted) = wanted else {
            return Vec::new();
        };
        let subject = Subject::new(
            &wanted.key,
            self.letter.kind(&wanted.key.provider),
            &wanted.terms.labels,
        );
        self.policies
            .iter()
            .filter(|policy| policy.matcher.matches(&subject))
            .filter(|policy| winner != format!("policy `{}`", policy.name))
            .filter_map(|policy| Some((policy.name.as_str(), policy.sets.get(field)?.as_str())))
            .collect()
    }

    fn history(&self, out: &mut String, events: &[Recorded]) {
        out.push_str("\n  History\n");
        for event in events {
            let told = format!(
                "{}  {}",
                self.letter.moment(event.at),
                story::sentence(event)
            );
            out.push_str(&letter::paragraphs(&[told], 4));
        }
        out.push('\n');
    }
}

fn same(one: &ItemReport, other: &ItemReport) -> bool {
    one.id == other.id && one.provider == other.provider && one.again == other.again
}

/// Whether the file's terms are not those that are in force.
fn differs(wanted: &Wanted, item: &ItemReport) -> bool {
    let values = |terms: &BTreeMap<&'static str, TermReport>| {
        terms
            .iter()
            .map(|(field, term)| (*field, term.value.clone()))
            .collect::<Vec<_>>()
    };
    values(&terms_report(&wanted.terms)) != values(&item.terms)
}

fn title(item: &ItemReport) -> String {
    let again = if item.again > 1 {
        format!(" (again: {})", item.again)
    } else {
        String::new()
    };
    format!("{}/{}{again}", item.provider, item.id)
}

fn plain(value: &serde_json::Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let Some(map) = value.as_object() else {
        return value.to_string();
    };
    let parts: Vec<String> = map
        .iter()
        .map(
            |(name, value)| match name.strip_suffix("_seconds").zip(value.as_u64()) {
                Some((name, seconds)) => format!("{name} {}", output::length(seconds)),
                None => format!("{name}: {}", plain(value)),
            },
        )
        .collect();
    parts.join(", ")
}
