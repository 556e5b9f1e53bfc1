//! Policies: which items they speak of, and what they set.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono_tz::Tz;
use globset::GlobMatcher;

use super::Teller;
use super::providers::KINDS;
use super::raw;
use super::settings::{At, Declared};
use super::times;
use super::words::{pattern, word};
use crate::config::Match;
use crate::model::provider::ProviderKind;
use crate::model::terms::{
    FlatFeeBehavior, InvoicingBehavior, UsageBehavior, When, WhenMissed, Window,
};

/// One policy.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub name: String,
    pub matcher: Match,
    pub set: Terms,
    /// What it sets, as it was written.
    pub written: BTreeMap<&'static str, String>,
}

/// What can be set of an item: by itself, by its file's defaults, by a policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    pub when: Option<(When, String)>,
    pub reason: Option<String>,
    pub window: Option<Window>,
    pub when_missed: Option<WhenMissed>,
    pub flat_fee_behavior: Option<FlatFeeBehavior>,
    pub usage_behavior: Option<UsageBehavior>,
    pub invoicing_behavior: Option<InvoicingBehavior>,
}

const WHEN_MISSED: [(&str, WhenMissed); 3] = [
    ("next_period", WhenMissed::NextPeriod),
    ("ask", WhenMissed::Ask),
    ("now", WhenMissed::Now),
];

/// Lotus' words for each behaviour.
pub(super) const FLAT_FEE: [(&str, FlatFeeBehavior); 3] = [
    ("refund", FlatFeeBehavior::Refund),
    ("charge_prorated", FlatFeeBehavior::ChargeProrated),
    ("charge_full", FlatFeeBehavior::ChargeFull),
];
pub(super) const USAGE: [(&str, UsageBehavior); 2] = [
    ("bill_full", UsageBehavior::BillFull),
    ("bill_none", UsageBehavior::BillNone),
];
pub(super) const INVOICING: [(&str, InvoicingBehavior); 2] = [
    ("add_to_next_invoice", InvoicingBehavior::AddToNextInvoice),
    ("invoice_now", InvoicingBehavior::InvoiceNow),
];

/// The longest reason: it is sent to a provider that names no limit.
const LONGEST_REASON: usize = 200;

/// Reads all policies.
pub(super) fn read(
    raw: Vec<raw::Policy>,
    at: &At<'_>,
    zone: Option<Tz>,
    declared: &Declared,
    teller: &mut Teller<'_>,
) -> Vec<Policy> {
    let list = at.inside("policies");
    let mut names = BTreeMap::new();
    let mut policies = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let step = index.to_string();
        let at = At {
            node: list.node,
            path: [list.path.as_slice(), &[step.as_str()]].concat(),
        };
        let name = raw.name.unwrap_or_else(|| {
            teller.problem(at.here(), "missing", "a policy needs a `name`");
            String::new()
        });
        teller.in_one_line(&name, "name", at.mark("name"));
        if let Some(first) = names
            .insert(name.clone(), at.mark("name").line)
            .filter(|_| !name.is_empty())
        {
            teller.problem(
                at.mark("name"),
                "policy_name",
                format!(
                    "a policy `{name}` stands on line {first} already; each needs a name of its own"
                ),
            );
        }
        let matcher = matcher(
            raw.r#match.unwrap_or_default(),
            &at.inside("match"),
            declared,
            teller,
        );
        let Some(set) = raw.set else {
            teller.problem(
                at.here(),
                "missing",
                format!("policy `{name}` sets nothing; give it `set: {{when: …}}`"),
            );
            continue;
        };
        let written = written(&set);
        let set = terms(&set, &at.inside("set"), zone, teller);
        let policy = Policy {
            name,
            matcher,
            set,
            written,
        };
        nobody_can_honour(&policy, &at, declared, teller);
        policies.push(policy);
    }
    policies
}

/// Every field that is set, as it was written.
pub(super) fn written(set: &raw::Set) -> BTreeMap<&'static str, String> {
    let raw::Set {
        when,
        reason,
        window,
        when_missed,
        flat_fee_behavior,
        usage_behavior,
        invoicing_behavior,
    } = set;
    let part =
        |name: &str, text: &Option<String>| text.as_ref().map(|text| format!("{name}: {text}"));
    let window = window.as_ref().map(|window| {
        let parts = [part("opens", &window.opens), part("closes", &window.closes)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{{{}}}", parts.join(", "))
    });
    [
        ("when", when.clone()),
        ("reason", reason.clone()),
        ("window", window),
        ("when_missed", when_missed.clone()),
        ("flat_fee_behavior", flat_fee_behavior.clone()),
        ("usage_behavior", usage_behavior.clone()),
        ("invoicing_behavior", invoicing_behavior.clone()),
    ]
    .into_iter()
    .filter_map(|(field, text)| Some((field, text?)))
    .collect()
}

/// A policy that sets what no provider that it speaks of takes.
fn nobody_can_honour(policy: &Policy, at: &At<'_>, declared: &Declared, teller: &mut Teller<'_>) {
    if declared.values().any(Option::is_none) {
        // Of a provider that is wrong in itself nothing is known.
        return;
    }
    let spoken_of: BTreeSet<ProviderKind> = declared
        .values()
        .flatten()
        .filter(|provider| {
            policy
                .matcher
                .matches_provider(&provider.name, provider.kind())
        })
        .map(|provider| provider.kind())
        .collect();
    let name = &policy.name;
    let known_glob = policy
        .matcher
        .provider
        .iter()
        .all(|glob| declared.keys().any(|name| glob.is_match(name)));
    if spoken_of.is_empty() && !known_glob {
        // Told already, at the name that is unknown.
        return;
    }
    if spoken_of.is_empty() && !declared.is_empty() {
        let known: Vec<String> = declared.keys().map(|name| format!("`{name}`")).collect();
        teller.problem(
            at.mark("match"),
            "policy_unused",
            format!(
                "policy `{name}` speaks of no provider of this file; there are {}",
                known.join(", ")
            ),
        );
        return;
    }
    let Terms {
        flat_fee_behavior,
        usage_behavior,
        invoicing_behavior,
        ..
    } = &policy.set;
    let takes = spoken_of
        .iter()
        .any(|kind| kind.capabilities().takes_behaviors);
    for (key, given) in [
        ("flat_fee_behavior", flat_fee_behavior.is_some()),
        ("usage_behavior", usage_behavior.is_some()),
        ("invoicing_behavior", invoicing_behavior.is_some()),
    ] {
        if given && !takes {
            teller.problem(at.inside("set").mark(key), "policy_unused", format!("policy `{name}` sets `{key}`, which no provider that it speaks of takes (only lotus does)"));
        }
    }
}

/// Reads which items are spoken of.
pub(super) fn matcher(
    raw: raw::Match,
    at: &At<'_>,
    declared: &Declared,
    teller: &mut Teller<'_>,
) -> Match {
    let mut globs = |texts: Vec<String>, key: &str| -> Vec<GlobMatcher> {
        if texts.is_empty() {
            teller.problem(at.mark(key), "empty_value", format!("`{key}` is an empty list and would match nothing; take it out to match everything"));
        }
        texts
            .iter()
            .filter_map(|text| teller.take(at.mark(key), "pattern", key, pattern(text)))
            .collect()
    };
    let provider = raw
        .provider
        .map(|it| globs(it.0, "provider"))
        .unwrap_or_default();
    let id = raw.id.map(|it| globs(it.0, "id")).unwrap_or_default();
    let labels = raw
        .labels
        .unwrap_or_default()
        .into_iter()
        .map(|(label, values)| (label, globs(values.0, "labels")))
        .collect();
    for glob in &provider {
        if !declared.is_empty() && !declared.keys().any(|name| glob.is_match(name)) {
            let text = glob.glob().glob();
            let why = super::words::not_allowed(text, declared.keys().map(String::as_str));
            teller.problem(
                at.mark("provider"),
                "unknown_provider",
                format!("`provider`: {why}"),
            );
        }
    }
    let kinds = raw.r#type.map(|it| it.0).unwrap_or_default();
    let kind = kinds
        .iter()
        .filter_map(|text| {
            teller.take(at.mark("type"), "provider_type", "type", word(text, &KINDS))
        })
        .collect();
    Match {
        provider,
        kind,
        id,
        labels,
    }
}

/// Reads what is set.
pub(super) fn terms(
    raw: &raw::Set,
    at: &At<'_>,
    zone: Option<Tz>,
    teller: &mut Teller<'_>,
) -> Terms {
    Terms {
        when: raw.when.as_deref().and_then(|text| {
            let read = when(text, zone).map(|when| (when, text.to_owned()));
            teller.take(at.mark("when"), "when", "when", read)
        }),
        reason: raw
            .reason
            .clone()
            .and_then(|text| teller.take(at.mark("reason"), "reason", "reason", reason(text))),
        window: raw
            .window
            .as_ref()
            .and_then(|raw| window(raw, &at.inside("window"), teller)),
        when_missed: choice(
            raw.when_missed.as_deref(),
            "when_missed",
            &WHEN_MISSED,
            at,
            teller,
        ),
        flat_fee_behavior: choice(
            raw.flat_fee_behavior.as_deref(),
            "flat_fee_behavior",
            &FLAT_FEE,
            at,
            teller,
        ),
        usage_behavior: choice(
            raw.usage_behavior.as_deref(),
            "usage_behavior",
            &USAGE,
            at,
            teller,
        ),
        invoicing_behavior: choice(
            raw.invoicing_behavior.as_deref(),
            "invoicing_behavior",
            &INVOICING,
            at,
            teller,
        ),
    }
}

fn choice<T: Copy>(
    text: Option<&str>,
    key: &str,
    allowed: &[(&'static str, T)],
    at: &At<'_>,
    teller: &mut Teller<'_>,
) -> Option<T> {
    teller.take(at.mark(key), "word", key, word(text?, allowed))
}

fn when(text: &str, zone: Option<Tz>) -> Result<When, String> {
    match text {
        "now" => Ok(When::Now),
        "end_of_period" => Ok(When::EndOfPeriod),
        _ if text.starts_with(|c: char| c.is_ascii_digit()) => {
            times::moment(text, zone).map(When::At)
        }
        _ => {
            let near = crate::yaml::nearest(text, ["now", "end_of_period"]);
            let also = "a day such as 2026-12-31, an instant such as 2026-12-31T09:00:00+01:00";
            Err(match near {
                Some(near) => {
                    let other = if near == "now" {
                        "end_of_period"
                    } else {
                        "now"
                    };
                    format!(
                        "{text:?} is not allowed; did you mean `{near}`? Also allowed: `{other}`, {also}"
                    )
                }
                None => format!("{text:?} is not allowed; allowed: `now`, `end_of_period`, {also}"),
            })
        }
    }
}

fn reason(text: String) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("it says nothing".to_owned());
    }
    if text.chars().count() > LONGEST_REASON {
        return Err(format!("it has more than {LONGEST_REASON} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("it has control characters or line breaks in it".to_owned());
    }
    Ok(text)
}

fn window(raw: &raw::Window, at: &At<'_>, teller: &mut Teller<'_>) -> Option<Window> {
    let usual = DEFAULT_WINDOW;
    let mut part = |text: &Option<String>, key: &str, usual: Duration| match text {
        None => Some(usual),
        Some(text) => teller.take(at.mark(key), "duration", key, times::duration(text)),
    };
    let opens = part(&raw.opens, "opens", usual.opens);
    let closes = part(&raw.closes, "closes", usual.closes);
    let (opens, closes) = (opens?, closes?);
    if opens <= closes {
        teller.problem(at.here(), "window", format!(
            "the window opens {} before the period's end and closes {} before it; `opens` must be the longer",
            raw.opens.as_deref().unwrap_or("24h"),
            raw.closes.as_deref().unwrap_or("6h")
        ));
        return None;
    }
    Some(Window { opens, closes })
}

/// The window where none is given.
pub(super) const DEFAULT_WINDOW: Window = Window {
    opens: Duration::from_secs(24 * 60 * 60),
    closes: Duration::from_secs(6 * 60 * 60),
};
