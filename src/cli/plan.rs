//! `lapsed plan`: what would happen, when and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use chrono::{DateTime, NaiveDate, Utc};
use clap::{Args, ValueEnum};

use super::context::Context;
use super::letter::{self, Letter};
use super::{Exit, output};
use crate::config::{Config, Mode};
use crate::ledger::Ledger;
use crate::ledger::sqlite::SqliteLedger;
use crate::model::approval::{Waiting, What};
use crate::reconcile::preview::{self, Day, Planned, PlannedItem, Preview, Reading, Sources};
use crate::schedule;
use crate::wiring;

/// Items of one group that a person is shown.
const SHOWN: usize = 30;

/// The longest comment: what a pull request takes is a little more.
const LONGEST_COMMENT: usize = 60_000;

/// The longest cell of a table in a comment.
const LONGEST_CELL: usize = 900;

/// Combinations of terms in a comment.
const MOST_TOTALS: usize = 50;

/// A freeze that begins more often than this within a calendar is told once.
const FEW_SPELLS: usize = 4;

/// How far ahead a calendar goes.
const LONGEST_CALENDAR: chrono::Duration = chrono::Duration::days(7_320);

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
    /// The days ahead until then, as a calendar: a day, or an instant
    #[arg(long, value_name = "DATE")]
    until: Option<String>,
    /// Only what this file does differently from another file, or from itself in a git revision
    #[arg(long, value_name = "FILE|REV")]
    against: Option<String>,
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
    let now = context.clock().now();
    let until = args
        .until
        .as_deref()
        .map(|text| until(text, &manifest.config, now))
        .transpose()?;
    let against = args
        .against
        .as_deref()
        .map(|against| super::against::read(context, against))
        .transpose()?;
    let ledger = context.guest(Some(&manifest.config))?;
    let reading = match (args.offline, args.refresh) {
        (true, _) => Reading::Offline,
        (_, true) => Reading::All,
        _ => Reading::Soon,
    };
    let forbidden = forbidden(context, ledger.as_ref(), &manifest).await?;
    let readers = if reading == Reading::Offline {
        BTreeMap::new()
    } else {
        readers(context, &manifest, &forbidden)
    };
    if ledger.is_none() && against.is_none() {
        context.say("no ledger here: the whole file is planned as new; `--against FILE|REV` plans only what a change of it does");
    }
    let bar = progress(reading);
    let mut preview = preview::preview(
        Sources {
            manifest: &manifest,
            revision: &text.revision,
            against: against.as_ref(),
            until,
            ledger: ledger.as_ref().map(|ledger| ledger as &dyn Ledger),
            readers,
            reading,
            now,
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
    let told = forbidden
        .iter()
        .map(|(name, why)| format!("provider {name} is planned unread: {why}"));
    preview.warnings.splice(0..0, told);
    for warning in &preview.warnings {
        context.say(&format!("warning: {warning}"));
    }
    let letter = Letter::new(&manifest.config, now);
    let told = Told {
        letter: &letter,
        config: &manifest.config,
        preview: &preview,
        only_difference: args.against.as_deref(),
    };
    match args.format {
        Format::Human => context.print_states(&told.human()),
        Format::Json => {
            context.print_json(&format!("{}\n", serde_json::to_string_pretty(&preview)?));
        }
        Format::Markdown => context.print(&told.markdown()),
    }
    let something = preview.items.iter().any(|item| {
        let acts = !matches!(
            item.action,
            Planned::Finished | Planned::Held | Planned::InFlight
        );
        acts || item.changed
    });
    Ok(if args.detailed_exitcode && something {
        Exit::Changes
    } else {
        Exit::Done
    })
}

/// The last instant of a day, or an instant.
fn until(text: &str, config: &Config, now: DateTime<Utc>) -> anyhow::Result<DateTime<Utc>> {
    let zone = config.reconcile.timezone;
    let read = match text.parse::<NaiveDate>() {
        Ok(day) => day
            .succ_opt()
            .map(|after| schedule::day_begins(after, zone) - chrono::Duration::seconds(1)),
        Err(_) => DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|at| at.to_utc()),
    };
    let until = read.with_context(|| {
        format!("--until {text:?} is no moment; allowed: a day such as 2026-12-31, or an instant such as 2026-12-31T09:00:00+01:00")
    })?;
    if until < now {
        bail!("--until {text} lies in the past");
    }
    if until > now + LONGEST_CALENDAR {
        bail!("--until {text} lies more than twenty years ahead");
    }
    Ok(until)
}

/// Providers whose credentials must not be used on what this file says, each with why.
async fn forbidden(
    context: &Context,
    ledger: Option<&SqliteLedger>,
    manifest: &crate::desired::Manifest,
) -> anyhow::Result<BTreeMap<crate::model::ids::ProviderName, String>> {
    let mut forbidden = BTreeMap::new();
    for provider in manifest.config.providers.values() {
        if let Some(why) = context.forbids(ledger, provider).await? {
            forbidden.insert(provider.name.clone(), why);
        }
    }
    Ok(forbidden)
}

/// Read halves of the providers whose secrets are there, and may be used.
fn readers(
    context: &Context,
    manifest: &crate::desired::Manifest,
    forbidden: &BTreeMap<crate::model::ids::ProviderName, String>,
) -> BTreeMap<crate::model::ids::ProviderName, Arc<dyn crate::provider::Reader>> {
    let environment = context.environment();
    let used: std::collections::BTreeSet<_> =
        manifest.wanted.iter().map(|it| &it.key.provider).collect();
    manifest
        .config
        .providers
        .values()
        .filter(|provider| used.contains(&provider.name))
        .filter(|provider| !forbidden.contains_key(&provider.name))
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

const GROUPS: [(Planned, &str); 8] = [
    (Planned::Cancel, "At the next tick"),
    (Planned::Scheduled, "When their time comes"),
    (Planned::Held, "Held"),
    (Planned::Missed, "Missed: a person is asked"),
    (
        Planned::InFlight,
        "Sent; what becomes of them is being read",
    ),
    (Planned::Settle, "Settled without a write"),
    (Planned::Withdraw, "Withdrawn"),
    (Planned::Finished, "Finished before; nothing follows"),
];

/// A plan as it is told.
struct Told<'t> {
    letter: &'t Letter<'t>,
    config: &'t Config,
    preview: &'t Preview,
    /// What it is compared with.
    only_difference: Option<&'t str>,
}

impl Told<'_> {
    fn group(&self, group: Planned) -> Vec<&PlannedItem> {
        self.preview
            .items
            .iter()
            .filter(|item| item.action == group)
            .collect()
    }

    fn observing(&self) -> Vec<&str> {
        self.config
            .providers
            .values()
            .filter(|provider| provider.mode == Mode::Observe)
            .map(|provider| provider.name.as_str())
            .collect()
    }

    /// What the plan is of, in a line.
    fn head(&self) -> String {
        let only = self
            .only_difference
            .map(|against| format!(", only what differs from {against}"))
            .unwrap_or_default();
        format!(
            "Plan of revision {} at {} (times in {}){only}",
            self.preview.revision,
            self.letter.moment(self.preview.at),
            self.letter.zone()
        )
    }

    fn human(&self) -> String {
        let mut out = format!("{}\n", self.head());
        let observing = self.observing();
        if !observing.is_empty() {
            let _ = writeln!(
                out,
                "Observe mode, nothing is sent: {}",
                observing.join(", ")
            );
        }
        for (group, title) in GROUPS {
            let items = self.group(group);
            if items.is_empty() {
                continue;
            }
            let _ = writeln!(out, "\n{title} ({})", items.len());
            if group == Planned::Finished {
                continue;
            }
            for item in items.iter().take(SHOWN) {
                let _ = writeln!(out, "\n  {}   {}", name(item), place(item));
                out.push_str(&letter::paragraphs(&self.letter.planned(item), 4));
            }
            if items.len() > SHOWN {
                let _ = writeln!(
                    out,
                    "\n  … and {} more (--format json has all)",
                    items.len() - SHOWN
                );
            }
        }
        if self.preview.items.is_empty() {
            out.push_str(match self.only_difference {
                Some(_) => "\nNothing changes.\n",
                None => "\nThe file asks for nothing.\n",
            });
        }
        for (waits, cures) in self.waiting() {
            let _ = write!(out, "\n{}", letter::paragraphs(&[waits], 0));
            // In a line of their own, so that they can be copied.
            for cure in cures {
                let _ = writeln!(out, "    {cure}");
            }
        }
        for line in self.closing() {
            let _ = write!(out, "\n{}", letter::paragraphs(&[line], 0));
        }
        out.push_str(&self.calendar());
        out
    }

    /// What waits for a person, and what to type or write.
    fn waiting(&self) -> Vec<(String, Vec<String>)> {
        let told = |waiting: &Waiting| {
            let Waiting {
                file,
                what,
                digest,
                items,
                accepted,
                ..
            } = waiting;
            let (wait, have) = match items {
                1 => ("waits", "has"),
                _ => ("wait", "have"),
            };
            let items = output::count(*items, "item");
            let this = if *accepted {
                "This"
            } else {
                "Once accepted, this"
            };
            let or = "or the line in a later revision:";
            let words = match what {
                What::Approval => {
                    format!("{items} of {file} {wait} for an approval. {this} frees them, {or}")
                }
                What::Removal => format!(
                    "{items} of {file} {have} vanished at once. Putting the lines back frees them. {this} withdraws them, {or}"
                ),
            };
            let by_command = format!("lapsed approve {digest}");
            let by_file = format!("approvals: [{{plan: {digest}, by: YOU, until: DAY}}]");
            (words, vec![by_command, by_file])
        };
        self.preview.digests.iter().map(told).collect()
    }

    /// What cannot be met, and how long it all takes.
    fn closing(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let late = self.preview.items.iter().filter(|it| it.obstacle.is_some());
        let late = late.count() as u64;
        if late > 0 {
            let sooner = "widen a window, take a freeze away, raise a limit, or begin sooner";
            lines.push(format!(
                "{} cannot be cancelled in time as things stand: {sooner}.",
                output::count(late, "item")
            ));
        }
        for effort in &self.preview.effort {
            let takes = output::length(effort.takes_seconds);
            let done = match effort.done_at {
                Some(at) => format!(
                    "with schedule, freezes and limits the last of them acts {}",
                    self.letter.moment(at)
                ),
                None if effort.unread > 0 => format!(
                    "when, is known once the period's end of {} is read",
                    output::count(effort.unread, "item")
                ),
                None => "with schedule, freezes and limits they are not done within the time that was looked at".to_owned(),
            };
            lines.push(format!(
                "{}: {}, {}, which take {takes} at {}; {done}.",
                effort.provider,
                output::count(effort.items, "cancellation"),
                output::count(effort.requests, "request"),
                effort.rate
            ));
        }
        lines
    }

    /// The days ahead, those on which something happens.
    fn calendar(&self) -> String {
        let Some(days) = &self.preview.calendar else {
            return String::new();
        };
        let mut out = String::from("\nThe days ahead\n");
        let often = often_frozen(days);
        for run in runs(days) {
            let [first, .., last] = [run.first(), run.last()].map(|it| it.map(|day| day.day));
            let (Some(first), Some(last), Some(day)) = (first, last, run.first()) else {
                continue;
            };
            let mut words = self.acts(day);
            let nothing = words.is_empty() && day.periods_end == 0;
            let told = day
                .freezes
                .iter()
                .filter(|freeze| !nothing || !often.contains_key(freeze.as_str()));
            words.extend(told.map(|freeze| format!("frozen: {freeze}")));
            if day.periods_end > 0 {
                words.push(match day.periods_end {
                    1 => "1 period ends".to_owned(),
                    many => format!("{many} periods end"),
                });
            }
            if words.is_empty() {
                continue;
            }
            let mut when = first.format("%a %Y-%m-%d").to_string();
            if last > first {
                when.push_str(&last.format(" to %a %Y-%m-%d").to_string());
            }
            let _ = writeln!(out, "  {when}  {}", words.join("; "));
        }
        for (freeze, days) in often {
            let _ = writeln!(out, "  Frozen besides: {freeze}, on {days} days.");
        }
        let without: Vec<&PlannedItem> = self
            .preview
            .items
            .iter()
            .filter(|item| item.acts_at.is_none())
            .collect();
        let held = without
            .iter()
            .filter(|it| it.action == Planned::Held)
            .count() as u64;
        let unread = without
            .iter()
            .filter(|it| it.action == Planned::Scheduled && it.item.due_at.is_none())
            .count() as u64;
        if held > 0 {
            let _ = writeln!(out, "  Not in it: {} held.", output::count(held, "item"));
        }
        if unread > 0 {
            let _ = writeln!(
                out,
                "  Not in it: {} whose period's end nobody has read yet (--refresh reads it).",
                output::count(unread, "item")
            );
        }
        out
    }

    /// What acts on a day, by provider.
    fn acts(&self, day: &Day) -> Vec<String> {
        let mut acts: BTreeMap<&str, Vec<DateTime<Utc>>> = BTreeMap::new();
        for act in &day.acts {
            acts.entry(act.provider.as_str()).or_default().push(act.at);
        }
        acts.into_iter()
            .map(|(provider, times)| format!("{provider} {} ({})", times.len(), self.span(&times)))
            .collect()
    }

    fn span(&self, times: &[DateTime<Utc>]) -> String {
        let clock = |at: &DateTime<Utc>| {
            at.with_timezone(&self.letter.zone())
                .format("%H:%M")
                .to_string()
        };
        match (times.first(), times.last()) {
            (Some(first), Some(last)) if clock(first) != clock(last) => {
                format!("{} to {}", clock(first), clock(last))
            }
            (Some(first), _) => clock(first),
            (None, _) => String::new(),
        }
    }

    /// As a comment of a pull request; with as many samples as it has room for.
    fn markdown(&self) -> String {
        for samples in [20, 10, 5, 2, 0] {
            let text = self.markdown_with(samples);
            if text.chars().count() < LONGEST_COMMENT {
                return text;
            }
        }
        let mut text: String = self.markdown_with(0);
        if let Some((at, _)) = text.char_indices().nth(LONGEST_COMMENT - 100) {
            text.truncate(at);
            text.push_str("\n\n… cut; `lapsed plan --format json` has all\n");
        }
        text
    }

    fn markdown_with(&self, samples: usize) -> String {
        let mut out = format!("### lapsed plan\n\n{}\n", cell(&self.head()));
        let observing = self.observing();
        if !observing.is_empty() {
            let _ = writeln!(
                out,
                "\n**Observe mode, nothing is sent:** {}",
                observing.join(", ")
            );
        }
        out.push_str("\n| what | items |\n| --- | ---: |\n");
        for (group, title) in GROUPS {
            if let Some(count) = self.preview.summary.get(&group) {
                let _ = writeln!(out, "| {title} | {count} |");
            }
        }
        if self.preview.items.is_empty() {
            out.push_str("| nothing changes | 0 |\n");
        }
        out.push_str(&self.totals());
        for (waits, cures) in self.waiting() {
            let _ = writeln!(out, "\n- {}\n\n  ```text", cell(&waits));
            for cure in cures {
                let _ = writeln!(out, "  {cure}");
            }
            out.push_str("  ```\n");
        }
        for line in self.closing() {
            let _ = writeln!(out, "\n- {}", cell(&line));
        }
        for warning in &self.preview.warnings {
            let _ = writeln!(out, "\n- **Warning:** {}", cell(warning));
        }
        let calendar = self.calendar();
        if !calendar.is_empty() && calendar.chars().count() < LONGEST_COMMENT / 3 {
            let _ = writeln!(out, "\n```text{}```", calendar.replace("```", "'''"));
        }
        for (group, title) in GROUPS {
            let items = self.group(group);
            if group == Planned::Finished || items.is_empty() || samples == 0 {
                continue;
            }
            let _ = writeln!(
                out,
                "\n<details><summary>{title} ({})</summary>\n\n| item | what | at |\n| --- | --- | --- |",
                items.len()
            );
            for item in items.iter().take(samples) {
                let told: Vec<String> = self.letter.planned(item);
                let _ = writeln!(
                    out,
                    "| `{}` | {} | {} |",
                    name(item),
                    cell(&told.join(" ")),
                    cell(&place(item))
                );
            }
            if items.len() > samples {
                let _ = writeln!(out, "\n… and {} more", items.len() - samples);
            }
            out.push_str("\n</details>\n");
        }
        out
    }

    /// How many act on the same terms.
    fn totals(&self) -> String {
        let mut totals: BTreeMap<[String; 4], u64> = BTreeMap::new();
        for planned in &self.preview.items {
            if matches!(planned.action, Planned::Finished | Planned::Withdraw) {
                continue;
            }
            let terms = &planned.item.terms;
            let value = |field: &str| {
                let term = terms.get(field)?;
                let text = term.value.as_str().map(str::to_owned);
                Some(text.unwrap_or_else(|| term.value.to_string()))
            };
            let billing: Vec<String> =
                ["flat_fee_behavior", "usage_behavior", "invoicing_behavior"]
                    .into_iter()
                    .filter_map(value)
                    .collect();
            let row = [
                planned.item.provider.to_string(),
                planned.item.when.clone(),
                value("reason").unwrap_or_default(),
                billing.join(", "),
            ];
            *totals.entry(row).or_default() += 1;
        }
        if totals.is_empty() {
            return String::new();
        }
        let mut out = String::from(
            "\n| provider | when | reason | billing | items |\n| --- | --- | --- | --- | ---: |\n",
        );
        let all = totals.len();
        for ([provider, when, reason, billing], count) in totals.into_iter().take(MOST_TOTALS) {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {count} |",
                cell(&provider),
                cell(&when),
                cell(&reason),
                cell(&billing)
            );
        }
        if all > MOST_TOTALS {
            let _ = writeln!(
                out,
                "\n… and {} more combinations of terms",
                all - MOST_TOTALS
            );
        }
        out
    }
}

/// Days that follow one another with nothing but the same freezes are told as one.
fn runs(days: &[Day]) -> Vec<&[Day]> {
    let alike = |one: &Day, other: &Day| {
        let nothing = |day: &Day| day.acts.is_empty() && day.periods_end == 0;
        nothing(one) && nothing(other) && one.freezes == other.freezes
    };
    days.chunk_by(|one, other| alike(one, other)).collect()
}

/// Freezes that begin again and again, each with how many days it covers: told once.
fn often_frozen(days: &[Day]) -> BTreeMap<&str, usize> {
    let mut spells: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut before: &[String] = &[];
    for day in days {
        for freeze in &day.freezes {
            let (began, covered) = spells.entry(freeze).or_default();
            *began += usize::from(!before.contains(freeze));
            *covered += 1;
        }
        before = &day.freezes;
    }
    spells
        .into_iter()
        .filter(|(_, (began, _))| *began > FEW_SPELLS)
        .map(|(freeze, (_, covered))| (freeze, covered))
        .collect()
}

/// Text of a table's cell, which can neither end the cell nor begin markup of its own: no
/// HTML, no link, no image, no mention, no reference, no address that becomes a link by itself.
///
/// Entities make no structure (CommonMark, 6.2). A mention is found in what they have become,
/// and so it is kept apart by a character that is not seen.
fn cell(text: &str) -> String {
    let mut cell: String = text
        .chars()
        .take(LONGEST_CELL)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    for (from, to) in [
        ("&", "&amp;"),
        ("<", "&lt;"),
        ("|", "&#124;"),
        ("\\", "&#92;"),
        ("[", "&#91;"),
        ("]", "&#93;"),
        ("@", "@\u{200b}"),
        ("://", ":\u{200b}//"),
        ("www.", "www\u{200b}."),
    ] {
        cell = cell.replace(from, to);
    }
    cell
}

fn name(planned: &PlannedItem) -> String {
    let item = &planned.item;
    let again = if item.again > 1 {
        format!(" (again: {})", item.again)
    } else {
        String::new()
    };
    format!("{}/{}{again}", item.provider, item.id)
}

fn place(planned: &PlannedItem) -> String {
    let origin = &planned.item.origin;
    format!("{}:{}", origin.file, origin.line)
}
