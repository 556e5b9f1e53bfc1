//! `lapsed list`: what a provider has, as a table, as CSV, or as items to paste.
//!
//! Reads only: it is built from the read half, which has no means to write. What it prints is
//! made of ids: whatever else names a person is not even read, and an id that is an e-mail
//! address is left out. Each page is printed when it comes, so that no list is held whole.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};

use super::context::Context;
use super::{Exit, output};
use crate::config::{Auth, ProviderConfig};
use crate::model::ids::ProviderName;
use crate::model::observed::{Billing, Life, Subscription};
use crate::model::provider::{ExpectField, ProviderKind};
use crate::provider::list::{ListPage, Listed, Scope, Walk};
use crate::provider::{LookError, Reader};
use crate::wiring;

/// A longer pause than this is not waited for; whoever asked comes back later.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Pauses for one page, after which the provider is taken at its word.
const MOST_PAUSES: u32 = 5;

/// Room for what most pages hold, so that columns seldom grow.
const USUAL_WIDTHS: [usize; 5] = [0, 19, 12, 0, 0];

/// The longest value that an item's `expect` takes.
const LONGEST_FACT: usize = 200;

/// The arguments of `list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Sends nothing: it is built without the means to. What `--format csv` prints is an include file as it is, and what `--format items` prints goes under `cancellations:`; neither says `when`, which is a policy's to say, or yours.\nA purchase that Kajabi shows as deactivated may still be billed: --all has those too."
)]
pub(super) struct ListArgs {
    /// A name under `providers`
    provider: String,
    /// For people, as a file to include, or as items to paste
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Also what has ended, has not begun, or is no subscription
    #[arg(long)]
    all: bool,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Items,
}

pub(super) async fn run(context: &Context, args: &ListArgs) -> anyhow::Result<Exit> {
    let (_, manifest) = context.read()?;
    let name = output::provider(&args.provider, Some(&manifest.config))?;
    let provider = &manifest.config.providers[&name];
    let ledger = context.guest(Some(&manifest.config)).ok().flatten();
    if let Some(why) = context.forbids(ledger.as_ref(), provider).await? {
        anyhow::bail!("{name} is not asked: {why}");
    }
    let reader = wiring::preview(provider, &context.environment(), context.clock())
        .map_err(|why| anyhow!("{name} cannot be asked: {why}"))?;
    of_its_organization(provider, &*reader).await?;
    let scope = if args.all { Scope::All } else { Scope::Living };
    let mut walk = Walk::new(&*reader, scope);
    let mut sheet = Sheet::new(provider, args.format);
    let mut tally = Tally::default();
    loop {
        let page = match next(context, &mut walk).await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err(error) => {
                context.complain(&broken_off(&name, tally.shown, &error));
                return Ok(Exit::Failed);
            }
        };
        let wanted = tally.sift(&page, args);
        if !context.printed(&sheet.page(&wanted)) {
            return Ok(Exit::Done);
        }
        if args.limit.is_some_and(|limit| tally.shown >= limit) {
            context.say(&format!(
                "{name}: the first {}; there may be more",
                tally.shown
            ));
            return Ok(tally.exit(context, &name, &sheet));
        }
    }
    context.say(&tally.in_words(&name));
    Ok(tally.exit(context, &name, &sheet))
}

/// A key of another organization shows subscriptions that the items of this provider must not
/// be made of.
async fn of_its_organization(config: &ProviderConfig, reader: &dyn Reader) -> anyhow::Result<()> {
    let Auth::Lotus {
        organization_id: Some(meant),
        ..
    } = &config.auth
    else {
        return Ok(());
    };
    let name = &config.name;
    let account = reader
        .account()
        .await
        .map_err(|error| anyhow!("{name} cannot be listed: {error}"))?;
    if account != *meant {
        anyhow::bail!(
            "the credentials of {name} belong to {account}, and `organization_id` is {meant}; give those of {meant}, or correct it"
        );
    }
    Ok(())
}

/// The next page, after whatever pauses the provider asks for.
async fn next(context: &Context, walk: &mut Walk<'_>) -> Result<Option<ListPage>, LookError> {
    for _ in 0..MOST_PAUSES {
        match walk.next().await {
            Err(LookError::Throttled { retry_after }) if retry_after <= LONGEST_PAUSE => {
                context.say(&format!(
                    "the provider asks for a pause; going on in {}",
                    output::length(retry_after.as_secs())
                ));
                tokio::time::sleep(retry_after).await;
            }
            other => return other,
        }
    }
    walk.next().await
}

fn broken_off(name: &ProviderName, shown: u64, error: &LookError) -> String {
    if shown == 0 {
        return format!("{name} cannot be listed: {error}");
    }
    format!(
        "the list of {name} broke off after {} and is not whole: {error}",
        output::count(shown, "subscription")
    )
}

/// What was met on the way.
#[derive(Default)]
struct Tally {
    shown: u64,
    /// Of those shown, what does not live.
    over: u64,
    /// What does not live and is left out.
    hidden: u64,
    unreadable: u64,
}

impl Tally {
    /// What of a page is shown.
    fn sift<'p>(&mut self, page: &'p ListPage, args: &ListArgs) -> Vec<&'p Listed> {
        self.unreadable += page.unreadable;
        let mut wanted = Vec::new();
        for entry in &page.entries {
            let lives = lives(&entry.subscription);
            if !lives && !args.all {
                self.hidden += 1;
                continue;
            }
            if args.limit.is_some_and(|limit| self.shown >= limit) {
                break;
            }
            self.shown += 1;
            self.over += u64::from(!lives);
            wanted.push(entry);
        }
        wanted
    }

    fn in_words(&self, name: &ProviderName) -> String {
        let shown = output::count(self.shown, "subscription");
        match (self.over, self.hidden) {
            (0, 0) => format!("{name}: {shown}"),
            (0, hidden) => format!("{name}: {shown}; {hidden} more with --all"),
            (over, _) => format!("{name}: {shown}, {over} of them not living"),
        }
    }

    /// Says what is missing. Entries that could not be read make the list less than whole.
    fn exit(&self, context: &Context, name: &ProviderName, sheet: &Sheet<'_>) -> Exit {
        if sheet.left_out > 0 {
            context.say(&format!(
                "{} left out: an e-mail address, a formula, or what no `expect` takes",
                output::count(sheet.left_out, "value")
            ));
        }
        if self.unreadable == 0 {
            return Exit::Done;
        }
        let entries = match self.unreadable {
            1 => "1 entry".to_owned(),
            more => format!("{more} entries"),
        };
        context.complain(&format!(
            "not whole: {entries} of {name} cannot be read, or have ids that no item can have"
        ));
        Exit::Failed
    }
}

/// Whether a cancel would have something to end, as far as can be told.
fn lives(subscription: &Subscription) -> bool {
    let living = subscription.lives() || matches!(subscription.life, Life::Unclear { .. });
    living && subscription.billing != Billing::OneTime
}

/// What is printed, page after page.
struct Sheet<'c> {
    provider: &'c ProviderConfig,
    format: Format,
    /// Whether the first line was printed.
    begun: bool,
    /// How wide the columns of the table have become.
    widths: [usize; 5],
    /// Values that are not shown.
    left_out: u64,
}

impl<'c> Sheet<'c> {
    fn new(provider: &'c ProviderConfig, format: Format) -> Self {
        Self {
            provider,
            format,
            begun: false,
            widths: USUAL_WIDTHS,
            left_out: 0,
        }
    }

    /// What an item may expect of this kind of provider.
    fn expects(&self) -> &'static [ExpectField] {
        self.provider.kind().capabilities().expects
    }

    fn page(&mut self, entries: &[&Listed]) -> String {
        match self.format {
            Format::Table => self.table(entries),
            Format::Csv => self.csv(entries),
            Format::Items => self.items(entries),
        }
    }

    /// Where a subscription stands, in a word or two.
    fn state(&self, subscription: &Subscription) -> String {
        let ended = match self.provider.kind() {
            // It may be billed all the same.
            ProviderKind::Kajabi => "deactivated",
            ProviderKind::Revere | ProviderKind::Lotus => "ended",
        };
        let mut words = match &subscription.life {
            Life::Active => "active".to_owned(),
            Life::Lapsing => "failed, may revive".to_owned(),
            Life::NotStarted { starts_at } => format!("starts {}", day(*starts_at)),
            Life::Ending { .. } => "ending, not renewed".to_owned(),
            Life::Ended { at: Some(at) } => format!("{ended} {}", day(*at)),
            Life::Ended { at: None } => ended.to_owned(),
            Life::Unclear { status } => format!("unclear: {status}"),
        };
        words.push_str(match subscription.billing {
            Billing::Recurring => "",
            Billing::PaymentPlan => ", payment plan",
            Billing::OneTime => ", no subscription",
            Billing::Unclear if subscription.ended() => "",
            Billing::Unclear => ", kind not told",
        });
        words
    }

    /// A fact that may be shown, and that an `expect` takes as it is.
    fn fact(&mut self, subscription: &Subscription, field: ExpectField) -> Option<String> {
        let value = subscription.facts.get(&field)?;
        let fits = !value.is_empty()
            && value.chars().count() <= LONGEST_FACT
            && !value.contains('@')
            && !value.chars().any(char::is_control);
        self.left_out += u64::from(!fits);
        fits.then(|| value.clone())
    }

    /// Columns grow with the pages: no list is held until its widest value is known.
    fn table(&mut self, entries: &[&Listed]) -> String {
        let mut rows: Vec<[String; 5]> = Vec::new();
        if !self.begun && !entries.is_empty() {
            self.begun = true;
            let other = self.expects()[1].as_str().to_ascii_uppercase();
            let header = ["SUBSCRIPTION", "STATE", "CUSTOMER", &other, "PERIOD END"];
            rows.push(header.map(str::to_owned));
        }
        for entry in entries {
            let subscription = &entry.subscription;
            let [customer, other] = [0, 1].map(|at| {
                let field = self.expects()[at];
                let known = subscription.facts.contains_key(&field);
                let shown = self.fact(subscription, field);
                shown.unwrap_or_else(|| if known { "[masked]" } else { "" }.to_owned())
            });
            rows.push([
                entry.id.to_string(),
                self.state(subscription),
                customer,
                other,
                period_end(subscription).map_or_else(String::new, output::minute),
            ]);
        }
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        rows.iter().fold(String::new(), |mut out, row| {
            let cells: Vec<String> = row
                .iter()
                .zip(self.widths)
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            let _ = writeln!(out, "  {}", cells.join("  ").trim_end());
            out
        })
    }

    /// An include file: what it is named by, and what is expected of it, in columns that its
    /// reader knows.
    fn csv(&mut self, entries: &[&Listed]) -> String {
        let mut out = String::new();
        if !self.begun {
            self.begun = true;
            out.push_str("id,provider");
            for field in self.expects() {
                let _ = write!(out, ",expect.{}", field.as_str());
            }
            out.push('\n');
        }
        for entry in entries {
            let _ = write!(out, "{},{}", entry.id, self.provider.name);
            for field in self.expects() {
                let mut fact = self.fact(&entry.subscription, *field);
                if fact.as_deref().is_some_and(could_be_a_formula) {
                    self.left_out += 1;
                    fact = None;
                }
                let _ = write!(out, ",{}", cell(&fact.unwrap_or_default()));
            }
            out.push('\n');
        }
        out
    }

    /// One item a line, so that a diff shows each for itself.
    fn items(&mut self, entries: &[&Listed]) -> String {
        let mut out = String::new();
        for entry in entries {
            let subscription = &entry.subscription;
            let expect: Vec<String> = self
                .expects()
                .iter()
                .filter_map(|field| {
                    let value = self.fact(subscription, *field)?;
                    Some(format!("{}: {}", field.as_str(), quoted(&value)))
                })
                .collect();
            let expect = if expect.is_empty() {
                String::new()
            } else {
                format!(", expect: {{{}}}", expect.join(", "))
            };
            let ends = period_end(subscription)
                .map(|at| format!("; period ends {}", output::second(at)))
                .unwrap_or_default();
            let _ = writeln!(
                out,
                "  - {{id: {}, provider: {}{expect}}}  # {}{ends}",
                quoted(entry.id.as_str()),
                plain(&self.provider.name),
                self.state(subscription),
            );
        }
        out
    }
}

/// When the running period ends; what has ended has none, though Revere goes on to name one.
fn period_end(subscription: &Subscription) -> Option<DateTime<Utc>> {
    subscription.period_end.filter(|_| !subscription.ended())
}

fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d").to_string()
}

/// Whether a spreadsheet would compute a cell rather than show it.
fn could_be_a_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// A cell of a CSV (RFC 4180).
fn cell(text: &str) -> String {
    if text.contains([',', '"']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A text in double quotes: what JSON writes YAML reads.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A provider's name needs no quotes, unless YAML takes it for nothing.
fn plain(name: &ProviderName) -> String {
    if name.as_str().eq_ignore_ascii_case("null") {
        quoted(name.as_str())
    } else {
        name.to_string()
    }
}
