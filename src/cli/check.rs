//! `lapsed check`: everything that is wrong with the file, at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::context::{Context, Invalid};
use super::{Exit, output};
use crate::config::{Config, Subject};
use crate::desired::{self, Manifest, Problem};
use crate::model::hold::HoldReason;
use crate::model::ids::ProviderName;
use crate::model::memory::Used;
use crate::model::terms::{Wanted, WhenMissed};
use crate::plan::due::{backdated, first_plan};
use crate::plan::forecast::{Work, forecast};
use crate::plan::window::Hours;
use crate::source::Text;
use crate::yaml;

/// The arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Warnings are errors, and the file must end in the end mark `...`
    #[arg(long)]
    strict: bool,
    /// For people, for editors, or as annotations of a pull request
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
    Github,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    Warning,
}

#[derive(Serialize)]
struct Told<'p> {
    #[serde(flatten)]
    problem: &'p Problem,
    severity: Severity,
}

pub(super) async fn run(context: &Context, args: &CheckArgs) -> anyhow::Result<Exit> {
    let text = context.read_text()?;
    let manifest = match context.judge(&text) {
        Ok(manifest) => manifest,
        Err(invalid) => {
            print(context, args.format, &refused(&invalid, args.format)?);
            return Ok(Exit::Invalid);
        }
    };
    let mut warnings = manifest.warnings.clone();
    warnings.extend(missing_secrets(context, &text, &manifest));
    warnings.extend(new_destinations(context, &text, &manifest).await);
    let now = context.clock().now();
    warnings.extend(deadlines(&manifest, now));
    warnings.extend(backdated_items(&manifest, now));
    warnings.extend(past_approvals(context, &text, &manifest, now));
    let main = text.files.first().map(|file| context.shown(&file.name));
    warnings.sort_by_key(|warning| (Some(&warning.file) != main.as_ref(), warning.line));
    let mut errors = Vec::new();
    if args.strict {
        // A pull request has no secrets, however strictly its file is read, and an approval that
        // has had its day spoils nothing.
        let (mild, strict) = warnings
            .into_iter()
            .partition(|warning: &Problem| MILD.contains(&warning.code));
        warnings = mild;
        errors = strict;
        errors.extend(no_end_mark(context, &text, &manifest));
    }
    let told: Vec<Told<'_>> = errors
        .iter()
        .map(|problem| (problem, Severity::Error))
        .chain(warnings.iter().map(|problem| (problem, Severity::Warning)))
        .map(|(problem, severity)| Told { problem, severity })
        .collect();
    let shown = match args.format {
        Format::Json => json(&told)?,
        Format::Github => told.iter().map(annotation).collect(),
        Format::Human => human(context, &text, &manifest, &told),
    };
    print(context, args.format, &shown);
    Ok(if errors.is_empty() {
        Exit::Done
    } else {
        Exit::Invalid
    })
}

fn print(context: &Context, format: Format, text: &str) {
    match format {
        Format::Human => context.print(text),
        Format::Json => context.print_json(text),
        // These lines are commands, and what stands in them is escaped as GitHub asks for it.
        Format::Github => context.print_exactly(text),
    }
}

fn refused(invalid: &Invalid, format: Format) -> anyhow::Result<String> {
    let told: Vec<Told<'_>> = invalid
        .problems
        .iter()
        .map(|problem| Told {
            problem,
            severity: Severity::Error,
        })
        .collect();
    Ok(match format {
        Format::Json => json(&told)?,
        Format::Github => told.iter().map(annotation).collect(),
        Format::Human => format!("{invalid}\n"),
    })
}

fn json(told: &[Told<'_>]) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(told)?))
}

/// A workflow command of GitHub Actions; what would end a value is escaped as it asks for.
fn annotation(told: &Told<'_>) -> String {
    let data = |text: &str| {
        text.replace('%', "%25")
            .replace('\r', "%0D")
            .replace('\n', "%0A")
    };
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let Problem {
        file,
        line,
        column,
        code,
        message,
    } = told.problem;
    let severity = match told.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    format!(
        "::{severity} file={},line={line},col={column},title=lapsed {}::{}\n",
        property(file),
        property(code),
        data(message)
    )
}

fn human(context: &Context, text: &Text, manifest: &Manifest, told: &[Told<'_>]) -> String {
    let mut out = String::new();
    for told in told {
        let word = match told.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let _ = writeln!(out, "{word}: {}", told.problem.line());
    }
    if !told.is_empty() {
        out.push('\n');
    }
    let config = &manifest.config;
    let errors = told
        .iter()
        .any(|told| matches!(told.severity, Severity::Error));
    let _ = writeln!(
        out,
        "{} is {}: {} at {}, {}, revision {}",
        context.main_file().display(),
        if errors {
            "valid, but not by --strict"
        } else {
            "valid"
        },
        output::count(manifest.wanted.len() as u64, "cancellation"),
        output::count(config.providers.len() as u64, "provider"),
        output::count(text.files.len() as u64, "file"),
        text.revision
    );
    let mut items: BTreeMap<&ProviderName, u64> = BTreeMap::new();
    for wanted in &manifest.wanted {
        *items.entry(&wanted.key.provider).or_default() += 1;
    }
    let rows = config
        .providers
        .values()
        .map(|provider| {
            let can = provider.kind().capabilities();
            let mut notes = vec![format!("{} requests an item", can.requests_per_item())];
            notes.push(if can.tells_period_end {
                "tells the period's end".to_owned()
            } else {
                "does not tell the period's end".to_owned()
            });
            if can.takes_reason {
                notes.push("is sent the reason".to_owned());
            }
            if can.takes_behaviors {
                notes.push("is told what to bill".to_owned());
            }
            [
                provider.name.to_string(),
                provider.kind().to_string(),
                provider.mode.as_str().to_owned(),
                items.get(&provider.name).copied().unwrap_or(0).to_string(),
                provider.schedule.text().to_owned(),
                notes.join(", "),
            ]
        })
        .collect();
    out.push('\n');
    out.push_str(&output::table(
        [
            "PROVIDER",
            "TYPE",
            "MODE",
            "ITEMS",
            "SCHEDULE",
            "WHAT IT CAN DO",
        ],
        rows,
    ));
    out
}

/// Warnings that stay warnings, however strictly a file is read.
/// A day that is past is so by itself: the file of an item that has ended long since stays valid.
///
/// A new destination waits for somebody at the host, whatever the file looks like.
const MILD: [&str; 5] = [
    "secret_missing",
    "destination",
    "approval_past",
    "day_past",
    "window_gone_by",
];

/// Items that cannot be cancelled in time, as far as the file alone tells when that is: no tick
/// falls into their window, or others go first.
fn deadlines(manifest: &Manifest, now: DateTime<Utc>) -> Vec<Problem> {
    let config = &manifest.config;
    let mut problems = Vec::new();
    let (mut items, mut work) = (Vec::new(), Vec::new());
    for wanted in &manifest.wanted {
        let Some(provider) = config.providers.get(&wanted.key.provider) else {
            continue;
        };
        let not_before = now + config.reconcile.wait_after_accept;
        let plan = first_plan(wanted, provider, config, not_before, now);
        if let Some(detail) = plan.holds.get(&HoldReason::NoSafeWindow) {
            problems.push(not_in_time(wanted, "no_safe_window", detail));
        } else if let Some(closed_at) = plan.deadline_at.filter(|at| *at <= now) {
            problems.push(gone_by(wanted, closed_at, config));
        } else if let (Some(due_at), Some(deadline_at)) = (plan.due_at, plan.deadline_at) {
            let subject = Subject::new(&wanted.key, provider.kind(), &wanted.terms.labels);
            work.push(Work {
                provider: provider.name.clone(),
                order: work.len() as i64,
                due_at,
                deadline_at: Some(deadline_at),
                freezes: Hours::of(&provider.schedule, &config.freezes, &subject).freezes,
                own_limit: None,
            });
            items.push(wanted);
        }
    }
    let last = work.iter().filter_map(|it| it.deadline_at).max();
    let foretold = forecast(config, &work, &Used::default(), now, last.unwrap_or(now));
    for (wanted, foretold) in items.into_iter().zip(foretold) {
        if let Some(obstacle) = foretold.obstacle {
            problems.push(not_in_time(wanted, "deadline", &obstacle.words()));
        }
    }
    problems
}

/// The window of an item has closed before anybody has accepted it.
fn gone_by(wanted: &Wanted, closed_at: DateTime<Utc>, config: &Config) -> Problem {
    let what = match wanted.terms.when_missed.value {
        WhenMissed::NextPeriod => "it would wait for the next period",
        WhenMissed::Ask => "a person would be asked",
        WhenMissed::Now => "it would be cancelled late, at the next tick",
    };
    let zone = config.reconcile.timezone;
    Problem {
        file: wanted.place.file.clone(),
        line: wanted.place.line,
        column: 1,
        code: "window_gone_by",
        message: format!(
            "{}: its window closed at {} ({zone}); {what} (`when_missed`); give the end of the next period in `period_ends`",
            wanted.key,
            closed_at.with_timezone(&zone).format("%Y-%m-%d %H:%M")
        ),
    }
}

/// Items whose day lies so far back that they wait for an approval.
fn backdated_items(manifest: &Manifest, now: DateTime<Utc>) -> Vec<Problem> {
    let wanted = manifest.wanted.iter();
    wanted
        .filter_map(|wanted| {
            backdated(&wanted.terms, now)?;
            Some(Problem {
                file: wanted.place.file.clone(),
                line: wanted.place.line,
                column: 1,
                code: "day_past",
                message: format!(
                    "{}: its day, {}, is more than 24 h in the past; an item that is new waits for an approval",
                    wanted.key, wanted.terms.when_text
                ),
            })
        })
        .collect()
}

fn not_in_time(wanted: &Wanted, code: &'static str, why: &str) -> Problem {
    let cure = match code {
        "no_safe_window" => HoldReason::NoSafeWindow.cure(),
        _ => "raise the limit, widen the item's `window`, or end some of them earlier",
    };
    Problem {
        file: wanted.place.file.clone(),
        line: wanted.place.line,
        column: 1,
        code,
        message: format!(
            "{}: {why}, so that it cannot be cancelled in time; {cure}",
            wanted.key
        ),
    }
}

/// Approvals whose day is past.
fn past_approvals(
    context: &Context,
    text: &Text,
    manifest: &Manifest,
    now: DateTime<Utc>,
) -> Vec<Problem> {
    let today = now
        .with_timezone(&manifest.config.reconcile.timezone)
        .date_naive();
    let Some(main) = text.files.first() else {
        return Vec::new();
    };
    let document = yaml::parse_head(&main.bytes, desired::ITEMS).ok();
    manifest
        .config
        .approvals
        .iter()
        .enumerate()
        .filter(|(_, approval)| today > approval.until)
        .map(|(index, approval)| {
            let step = index.to_string();
            let mark = document
                .as_ref()
                .map(|document| document.root.mark_at(&["approvals", &step, "until"]));
            Problem {
                file: context.shown(&main.name),
                line: mark.map_or(1, |mark| mark.line),
                column: mark.map_or(1, |mark| mark.column),
                code: "approval_past",
                message: format!(
                    "the approval of {} by {}: its day, {}, is past; it frees nothing that it has not begun to free",
                    approval.plan, approval.by, approval.until
                ),
            }
        })
        .collect()
}

/// Secrets that are not there: no error here, since a pull request has none.
fn missing_secrets(context: &Context, text: &Text, manifest: &Manifest) -> Vec<Problem> {
    let environment = context.environment();
    let Some(main) = text.files.first() else {
        return Vec::new();
    };
    // Read once more for the places alone: no one else needs to keep them.
    let document = yaml::parse_head(&main.bytes, desired::ITEMS).ok();
    let place = |name: &str| {
        let providers = document.as_ref()?.root.get("providers")?;
        providers.entry(name).map(|entry| entry.key_mark)
    };
    manifest
        .config
        .providers
        .values()
        .filter_map(|provider| {
            let missing = environment.missing(provider)?;
            let mark = place(provider.name.as_str());
            Some(Problem {
                file: context.shown(&main.name),
                line: mark.map_or(1, |mark| mark.line),
                column: mark.map_or(1, |mark| mark.column),
                code: "secret_missing",
                message: format!(
                    "provider `{}`: {missing}; its items would be held as `credentials`",
                    provider.name
                ),
            })
        })
        .collect()
}

/// Credentials that would go where they never went, where a ledger is here that knows.
async fn new_destinations(context: &Context, text: &Text, manifest: &Manifest) -> Vec<Problem> {
    let ledger = context.guest(Some(&manifest.config)).ok().flatten();
    let mut problems = Vec::new();
    let Some(main) = text.files.first() else {
        return problems;
    };
    let document = yaml::parse_head(&main.bytes, desired::ITEMS).ok();
    for provider in manifest.config.providers.values() {
        let forbids = context.forbids(ledger.as_ref(), provider).await;
        let Some(why) = forbids.ok().flatten() else {
            continue;
        };
        let name = provider.name.as_str();
        let mark = document
            .as_ref()
            .map(|document| document.root.mark_at(&["providers", name, "base_url"]));
        problems.push(Problem {
            file: context.shown(&main.name),
            line: mark.map_or(1, |mark| mark.line),
            column: mark.map_or(1, |mark| mark.column),
            code: "destination",
            message: format!(
                "provider `{name}`: {why}; until then its items are held as `account_changed`"
            ),
        });
    }
    problems
}

fn no_end_mark(context: &Context, text: &Text, manifest: &Manifest) -> Option<Problem> {
    let main = text.files.first()?;
    (!manifest.end_mark).then(|| Problem {
        file: context.shown(&main.name),
        line: u32::try_from(main.bytes.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u32::MAX),
        column: 1,
        code: "end_mark",
        message: "the file does not end in the end mark `...`, by which a file that was cut short is told from a whole one".to_owned(),
    })
}
