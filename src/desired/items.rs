//! The items of all files, each resolved: the item itself, its file's defaults, the first
//! policy that sets the field, the documented default.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::policies::{self, DEFAULT_WINDOW, Policy};
use super::providers::unknown_expect;
use super::raw;
use super::settings::{At, Settings, known_provider, number};
use super::times;
use super::{ITEMS, Teller, Told};
use crate::config::{ProviderConfig, Subject};
use crate::model::ids::{Key, SubscriptionId};
use crate::model::labels::Labels;
use crate::model::provider::{ExpectField, ProviderKind};
use crate::model::terms::{From, Place, Sourced, Terms, Unused, Wanted, When, WhenMissed};
use crate::yaml::{self, Kind, Mark, Node};

/// Warnings of one kind that are told one by one.
const MOST_WARNINGS: usize = 20;

/// The longest value of a label or an expectation.
const LONGEST_VALUE: usize = 200;

/// The longest `requested`.
const LONGEST_REQUESTED: usize = 1_000;

/// Labels or expectations of one item, at most.
const MOST_VALUES: usize = 100;

/// The defaults of an included file, whose shape is judged by the way; none where it is wrong.
pub(super) fn included(root: &Node, teller: &mut Teller<'_>) -> Option<raw::Item> {
    if !matches!(root.kind, Kind::Map(_)) {
        teller.problem(root.mark, "wrong_type", "an included file holds `defaults` and `cancellations`, and nothing else; one without items has `cancellations: []`");
        return None;
    }
    let mut faults = Vec::new();
    for entry in root.entries() {
        if matches!(entry.value.kind, Kind::Empty) {
            let key = &entry.key;
            faults.push(yaml::Fault {
                mark: entry.key_mark,
                code: "empty_value",
                message: format!("`{key}` has no value; give it one, or take it out (an empty list is written `[]`)"),
            });
        } else if entry.key != ITEMS {
            entry.value.empties(&mut faults);
        }
    }
    let raw: Option<raw::Included> = root.read_but_for(ITEMS, &mut faults);
    teller.faults(faults);
    Some(raw?.defaults.unwrap_or_default())
}

/// The items of all files, as they are read.
#[derive(Default)]
pub(super) struct Items {
    wanted: Vec<Wanted>,
    /// The files that were read so far.
    files: Vec<String>,
    /// Where each request stands.
    seen: HashMap<Key, Seen>,
    count: u64,
    /// How often each kind of warning came.
    counted: BTreeMap<&'static str, usize>,
}

/// Where a request stands.
#[derive(Clone, Copy)]
struct Seen {
    /// The place of its file among those that were read.
    file: u32,
    line: u32,
    column: u32,
}

/// The defaults of one file, read once.
pub(super) struct Defaults {
    raw: raw::Item,
    terms: policies::Terms,
    period_ends: Option<DateTime<Utc>>,
    mark: Mark,
}

impl Defaults {
    /// Of a file that has none.
    pub fn none(root: &Node, settings: &Settings, teller: &mut Teller<'_>) -> Self {
        Self::of(raw::Item::default(), root, settings, teller)
    }

    /// Of a file; what is wrong with them is told.
    pub fn of(raw: raw::Item, root: &Node, settings: &Settings, teller: &mut Teller<'_>) -> Self {
        let at = At::root(root).inside("defaults");
        for (key, given) in [("id", raw.id.is_some()), ("again", raw.again.is_some())] {
            if given {
                teller.problem(
                    at.mark(key),
                    "defaults",
                    format!("`{key}` belongs to one item and cannot be a default"),
                );
            }
        }
        if let Some(provider) = &raw.provider {
            let known = known_provider(provider, &settings.declared);
            teller.take(at.mark("provider"), "unknown_provider", "provider", known);
        }
        for (key, given) in [("labels", &raw.labels), ("expect", &raw.expect)] {
            if let Some(given) = given.as_ref().filter(|it| it.len() > MOST_VALUES) {
                teller.problem(at.mark(key), "value", too_many(key, given.len()));
            }
        }
        let zone = settings.zone;
        Self {
            terms: policies::terms(&set_of(&raw), &at, zone, teller),
            period_ends: raw.period_ends.as_deref().and_then(|text| {
                teller.take(
                    at.mark("period_ends"),
                    "when",
                    "period_ends",
                    times::moment(text, zone),
                )
            }),
            mark: at.here(),
            raw,
        }
    }
}

/// The file whose items are being read, and by what.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    /// Its name.
    pub file: &'s str,
    pub settings: &'s Settings,
    pub defaults: &'s Defaults,
}

impl Items {
    /// Reads one.
    pub fn take(&mut self, source: Source<'_>, node: &Node, teller: &mut Teller<'_>) {
        self.count += 1;
        if let Some(wanted) = self.item(source, node, teller) {
            self.wanted.push(wanted);
        }
    }

    /// Reads those that were not handed on one by one, if there are any.
    pub fn rest(&mut self, source: Source<'_>, root: &Node, teller: &mut Teller<'_>) {
        let Some(list) = root.get(ITEMS) else {
            return;
        };
        match &list.kind {
            Kind::List(items) => items
                .iter()
                .for_each(|item| self.take(source, item, teller)),
            // Told already.
            Kind::Empty => {}
            Kind::Text(_) | Kind::Map(_) => teller.problem(
                list.mark,
                "wrong_type",
                "`cancellations` is a list; each item begins with `- id: …`",
            ),
        }
    }

    /// All of them, in the order of the files. What is to be said of all together is told at the list
    /// of the main file.
    pub fn close(
        self,
        main: &str,
        root: &Node,
        settings: &Settings,
        told: &mut Told,
    ) -> Vec<Wanted> {
        let mark = root.mark_at(&[ITEMS]);
        let mut teller = told.of(main);
        if self.count > settings.config.max_items {
            teller.problem(
                mark,
                "too_many_items",
                format!(
                    "{} items; `max_items` allows {}",
                    self.count, settings.config.max_items
                ),
            );
        }
        for (code, count) in &self.counted {
            if *count > MOST_WARNINGS {
                teller.warning(
                    mark,
                    code,
                    format!("and {} more items like these", count - MOST_WARNINGS),
                );
            }
        }
        self.wanted
    }

    /// The place of a file among those that were read.
    fn number_of(&mut self, file: &str) -> u32 {
        if self.files.last().is_none_or(|it| it != file) {
            self.files.push(file.to_owned());
        }
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    fn item(&mut self, source: Source<'_>, node: &Node, teller: &mut Teller<'_>) -> Option<Wanted> {
        if !matches!(node.kind, Kind::Map(_)) {
            let what =
                "an item is a map, such as `- {id: \"2145871\", provider: academy, when: now}`";
            teller.problem(node.mark, "wrong_type", what);
            return None;
        }
        let before = teller.told.found();
        let mut faults = Vec::new();
        node.empties(&mut faults);
        let raw: Option<raw::Item> = node.read(&mut faults);
        teller.faults(faults);
        let raw = raw?;
        let at = At::root(node);
        let provider = provider(source, &raw, &at, teller)?;
        let key = self.key(source.file, &raw, provider, &at, teller);
        let own = policies::terms(&set_of(&raw), &at, source.settings.zone, teller);
        let item = Item {
            raw: &raw,
            own,
            defaults: source.defaults,
            provider,
            at: &at,
            settings: source.settings,
        };
        let terms = item.resolve(key.as_ref(), teller);
        let (key, terms) = key.zip(terms)?;
        if teller.told.found() > before {
            return None;
        }
        self.warn(&key, &terms, provider, node.mark, teller);
        Some(Wanted {
            key,
            terms,
            place: Place {
                file: source.file.to_owned(),
                line: node.mark.line,
                last_line: node.mark.last_line,
            },
        })
    }

    fn key(
        &mut self,
        file: &str,
        raw: &raw::Item,
        provider: &ProviderConfig,
        at: &At<'_>,
        teller: &mut Teller<'_>,
    ) -> Option<Key> {
        let again = match number(raw.again.as_deref(), "again", at, teller) {
            None => 1,
            Some(again) => match u32::try_from(again)
                .ok()
                .filter(|it| (1..=1_000).contains(it))
            {
                Some(again) => again,
                None => {
                    teller.problem(at.mark("again"), "number", format!("`again` is {again}; allowed: 1 for the first request, 2 for a second one, and so on"));
                    return None;
                }
            },
        };
        let Some(text) = &raw.id else {
            teller.problem(at.here(), "missing", "the item has no `id`");
            return None;
        };
        let parsed = SubscriptionId::parse(provider.kind(), text)
            .map_err(|problem| format!("{text:?} is no id of {}; {problem}", provider.name));
        let id = teller.take(at.mark("id"), "id", "id", parsed)?;
        let key = Key {
            provider: provider.name.clone(),
            id,
            again,
        };
        let mark = at.mark("id");
        if let Some(first) = self.seen.get(&key) {
            let first_file = &self.files[first.file as usize];
            teller.problem(mark, "duplicate_item", format!(
                "{key} is asked for twice; first at {first_file}:{}:{} (a second cancellation of the same subscription is written `again: 2`)",
                first.line, first.column
            ));
            return None;
        }
        let seen = Seen {
            file: self.number_of(file),
            line: mark.line,
            column: mark.column,
        };
        self.seen.insert(key.clone(), seen);
        Some(key)
    }

    fn warn(
        &mut self,
        key: &Key,
        terms: &Terms,
        provider: &ProviderConfig,
        mark: Mark,
        teller: &mut Teller<'_>,
    ) {
        let mut warn = |code: &'static str, message: String| {
            let count = self.counted.entry(code).or_default();
            *count += 1;
            if *count <= MOST_WARNINGS {
                teller.warning(mark, code, message);
            }
        };
        let end_of_period = terms.when.value == When::EndOfPeriod;
        let silent = !provider.kind().capabilities().tells_period_end;
        if end_of_period && silent && terms.period_ends.is_none() {
            warn(
                "period_end_unknown",
                format!(
                    "{key}: {} does not tell when the period ends; give `period_ends`, or the item is held",
                    provider.kind()
                ),
            );
        }
        let missing: Vec<&str> = provider
            .require_expect
            .iter()
            .filter(|field| !terms.expect.contains_key(field))
            .map(|field| field.as_str())
            .collect();
        if !missing.is_empty() {
            warn(
                "expectation_missing",
                format!(
                    "{key}: `require_expect` asks for {}; the item is held until `expect` names it",
                    missing.join(", ")
                ),
            );
        }
    }
}

/// Whose subscription an item speaks of.
fn provider<'s>(
    source: Source<'s>,
    raw: &raw::Item,
    at: &At<'_>,
    teller: &mut Teller<'_>,
) -> Option<&'s ProviderConfig> {
    let declared = &source.settings.declared;
    if let Some(name) = &raw.provider {
        let known = known_provider(name, declared);
        return teller.take(at.mark("provider"), "unknown_provider", "provider", known)?;
    }
    if let Some(name) = &source.defaults.raw.provider {
        // Told at the defaults, if it is unknown.
        return declared.get(name)?.as_ref();
    }
    match declared.len() {
        0 => None,
        1 => declared.values().next()?.as_ref(),
        _ => {
            let names: Vec<String> = declared.keys().map(|name| format!("`{name}`")).collect();
            teller.problem(
                at.here(),
                "missing",
                format!(
                    "the item does not say its `provider`; there are {}",
                    names.join(", ")
                ),
            );
            None
        }
    }
}

/// One item on its way to its terms.
struct Item<'i> {
    raw: &'i raw::Item,
    own: policies::Terms,
    defaults: &'i Defaults,
    provider: &'i ProviderConfig,
    at: &'i At<'i>,
    settings: &'i Settings,
}

impl Item<'_> {
    fn resolve(&self, key: Option<&Key>, teller: &mut Teller<'_>) -> Option<Terms> {
        let labels = merged(&self.raw.labels, &self.defaults.raw.labels);
        self.check_values(&labels, "labels", teller);
        let labels = Labels::from(labels);
        let policies = key
            .map(|key| self.policies(key, &labels))
            .unwrap_or_default();
        let when = self.first(&policies, |terms| terms.when.clone());
        let expect = self.expect(teller);
        let period_ends = self.period_ends(teller);
        let reason = self.first(&policies, |terms| terms.reason.clone());
        self.check_reason(reason.as_ref(), teller);
        let requested = self.requested(teller);
        let Some(when) = when else {
            if self.own_when_is_missing() {
                teller.problem(self.at.here(), "missing", "nothing says when it shall end; give the item `when`, or a policy that sets it (there is no default)");
            }
            return None;
        };
        let mut terms = Terms {
            when_text: when.value.1.clone(),
            when: Sourced::new(when.value.0, when.from),
            reason,
            window: self
                .first(&policies, |terms| terms.window)
                .unwrap_or(Sourced::new(DEFAULT_WINDOW, From::Default)),
            when_missed: self
                .first(&policies, |terms| terms.when_missed)
                .unwrap_or(Sourced::new(WhenMissed::NextPeriod, From::Default)),
            period_ends,
            flat_fee_behavior: None,
            usage_behavior: None,
            invoicing_behavior: None,
            expect,
            labels,
            requested,
            unused: Vec::new(),
        };
        self.behaviors(&mut terms, &policies, teller);
        Some(terms)
    }

    /// Whether `when` stands nowhere, and not just in a way that cannot be read.
    fn own_when_is_missing(&self) -> bool {
        self.at.node.get("when").is_none() && self.defaults.raw.when.is_none()
    }

    fn policies(&self, key: &Key, labels: &Labels) -> Vec<&Policy> {
        let subject = Subject::new(key, self.provider.kind(), labels);
        self.settings
            .policies
            .iter()
            .filter(|policy| policy.matcher.matches(&subject))
            .collect()
    }

    /// A field's value from the first place that sets it.
    fn first<T>(
        &self,
        policies: &[&Policy],
        field: impl Fn(&policies::Terms) -> Option<T>,
    ) -> Option<Sourced<T>> {
        if let Some(value) = field(&self.own) {
            return Some(Sourced::new(value, From::Item));
        }
        if let Some(value) = field(&self.defaults.terms) {
            return Some(Sourced::new(value, From::FileDefaults));
        }
        policies.iter().find_map(|policy| {
            Some(Sourced::new(
                field(&policy.set)?,
                From::Policy(policy.name.clone()),
            ))
        })
    }

    /// Lotus' three behaviours: needed where it is cut off before its period ends, of no use
    /// anywhere else.
    fn behaviors(&self, terms: &mut Terms, policies: &[&Policy], teller: &mut Teller<'_>) {
        let flat_fee = self.first(policies, |terms| terms.flat_fee_behavior);
        let usage = self.first(policies, |terms| terms.usage_behavior);
        let invoicing = self.first(policies, |terms| terms.invoicing_behavior);
        let kind = self.provider.kind();
        let cut_off = terms.when.value != When::EndOfPeriod;
        if kind.capabilities().takes_behaviors && cut_off {
            self.must_be_chosen(
                usage.is_some(),
                "usage_behavior",
                "`bill_full` or `bill_none`",
                teller,
            );
            self.must_be_chosen(
                invoicing.is_some(),
                "invoicing_behavior",
                "`add_to_next_invoice` or `invoice_now`",
                teller,
            );
            terms.flat_fee_behavior = flat_fee;
            terms.usage_behavior = usage;
            terms.invoicing_behavior = invoicing;
            return;
        }
        let why = if kind == ProviderKind::Lotus {
            "a cancellation at the period's end bills as usual".to_owned()
        } else {
            format!("{kind} has no such choice")
        };
        self.unused(terms, "flat_fee_behavior", flat_fee, &why, teller);
        self.unused(terms, "usage_behavior", usage, &why, teller);
        self.unused(terms, "invoicing_behavior", invoicing, &why, teller);
    }

    fn must_be_chosen(&self, chosen: bool, key: &str, words: &str, teller: &mut Teller<'_>) {
        let given = [self.raw, &self.defaults.raw].iter().any(|raw| match key {
            "usage_behavior" => raw.usage_behavior.is_some(),
            _ => raw.invoicing_behavior.is_some(),
        });
        if !chosen && !given {
            teller.problem(self.at.here(), "choice_missing", format!("it is cut off before its period ends, and nothing says its `{key}`; choose {words}, on the item or by a policy (there is no default)"));
        }
    }

    /// On an item, what its provider has no use for is a mistake; from a policy it is told.
    fn unused<T: Serialize>(
        &self,
        terms: &mut Terms,
        key: &str,
        given: Option<Sourced<T>>,
        why: &str,
        teller: &mut Teller<'_>,
    ) {
        let Some(given) = given else { return };
        let lacking = self.provider.kind() != ProviderKind::Lotus;
        match given.from {
            From::Item => {
                teller.problem(
                    self.at.mark(key),
                    "field_lacking",
                    format!("`{key}`: {why}; take it out"),
                );
            }
            From::FileDefaults if lacking => {
                let provider = &self.provider.name;
                teller.problem(self.defaults.mark, "field_lacking", format!("`{key}` in `defaults`: {why}, and items of `{provider}` stand in this file; take it out, or set it by a policy"));
            }
            from => terms.unused.push(Unused {
                field: key.to_owned(),
                value: serde_json::to_value(&given.value)
                    .ok()
                    .and_then(|value| value.as_str().map(str::to_owned))
                    .unwrap_or_default(),
                from,
                why: why.to_owned(),
            }),
        }
    }

    fn period_ends(&self, teller: &mut Teller<'_>) -> Option<Sourced<DateTime<Utc>>> {
        let own = self.raw.period_ends.as_deref().and_then(|text| {
            let read = times::moment(text, self.settings.zone);
            teller.take(self.at.mark("period_ends"), "when", "period_ends", read)
        });
        let (given, from) = match own {
            Some(own) => (own, From::Item),
            None if self.raw.period_ends.is_some() => return None,
            None => (self.defaults.period_ends?, From::FileDefaults),
        };
        let kind = self.provider.kind();
        if kind.capabilities().tells_period_end {
            let mark = if from == From::Item {
                self.at.mark("period_ends")
            } else {
                self.defaults.mark
            };
            teller.problem(
                mark,
                "field_lacking",
                format!("`period_ends`: {kind} tells it itself; take it out"),
            );
            return None;
        }
        Some(Sourced::new(given, from))
    }

    fn expect(&self, teller: &mut Teller<'_>) -> BTreeMap<ExpectField, String> {
        let given = merged(&self.raw.expect, &self.defaults.raw.expect);
        self.check_values(&given, "expect", teller);
        if given.len() > MOST_VALUES {
            return BTreeMap::new();
        }
        let kind = self.provider.kind();
        let told = kind.capabilities().expects;
        given
            .into_iter()
            .filter_map(|(key, value)| {
                let field = told.iter().find(|field| field.as_str() == key).copied();
                if field.is_none() {
                    let why = unknown_expect(&key, kind);
                    teller.problem(
                        self.at.inside("expect").mark(&key),
                        "expect_field",
                        format!("`expect`: {why}"),
                    );
                }
                Some((field?, value))
            })
            .collect()
    }

    fn check_reason(&self, reason: Option<&Sourced<String>>, teller: &mut Teller<'_>) {
        let (Some(reasons), Some(reason)) = (&self.provider.reasons, reason) else {
            return;
        };
        if !reasons.contains(&reason.value) {
            let why = super::words::not_allowed(&reason.value, reasons.iter().map(String::as_str));
            let mark = match reason.from {
                From::Item => self.at.mark("reason"),
                _ => self.at.here(),
            };
            teller.problem(
                mark,
                "reason",
                format!("`reason` (from {}): {why}", reason.from),
            );
        }
    }

    /// Free words of a line or more, which are shown and sent nowhere.
    fn requested(&self, teller: &mut Teller<'_>) -> Option<String> {
        let own = self.raw.requested.as_ref();
        let given = own.or(self.defaults.raw.requested.as_ref())?;
        let lines = given.replace("\r\n", "\n");
        let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        let fits = given.chars().count() <= LONGEST_REQUESTED && !lines.contains(obeyed);
        if !fits {
            let mark = match own {
                Some(_) => self.at.mark("requested"),
                None => self.defaults.mark,
            };
            teller.problem(mark, "value", format!("`requested` has at most {LONGEST_REQUESTED} characters, and no control characters but line ends and tabs"));
        }
        fits.then(|| given.clone())
    }

    fn check_values(&self, values: &BTreeMap<String, String>, key: &str, teller: &mut Teller<'_>) {
        if values.len() > MOST_VALUES {
            teller.problem(self.at.mark(key), "value", too_many(key, values.len()));
            return;
        }
        for (name, value) in values {
            let fits = value.chars().count() <= LONGEST_VALUE
                && !value.chars().chain(name.chars()).any(char::is_control)
                && !name.is_empty()
                && name.chars().count() <= LONGEST_VALUE;
            if !fits {
                teller.problem(self.at.inside(key).mark(name), "value", format!("`{key}`: names and values have at most {LONGEST_VALUE} characters, and no control characters"));
            }
        }
    }
}

/// What the policies could set, of an item or of defaults.
fn set_of(raw: &raw::Item) -> raw::Set {
    raw::Set {
        when: raw.when.clone(),
        reason: raw.reason.clone(),
        window: raw.window.clone(),
        when_missed: raw.when_missed.clone(),
        flat_fee_behavior: raw.flat_fee_behavior.clone(),
        usage_behavior: raw.usage_behavior.clone(),
        invoicing_behavior: raw.invoicing_behavior.clone(),
    }
}

fn too_many(key: &str, count: usize) -> String {
    format!("`{key}` has {count} entries; allowed: at most {MOST_VALUES}")
}

/// An item's own entries over its file's; too many of a file are told there, and not copied into
/// each of its items.
fn merged(
    own: &Option<BTreeMap<String, String>>,
    defaults: &Option<BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let defaults = defaults.as_ref().filter(|it| it.len() <= MOST_VALUES);
    let mut all = defaults.cloned().unwrap_or_default();
    all.extend(own.clone().unwrap_or_default());
    all
}
