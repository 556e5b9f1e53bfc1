//! The main file's settings: everything but the items.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use chrono_tz::Tz;

use super::notices;
use super::policies::{self, Policy};
use super::providers;
use super::raw;
use super::times;
use super::words::{self, not_allowed, word};
use super::{Input, MOST_PATTERNS, Teller};
use crate::config::{
    Approval, Config, Freeze, FreezeSpan, LedgerLocation, Limits, Mode, ProviderConfig,
    ProviderLimits, Reconcile, SecretRef, Share,
};
use crate::schedule::Schedule;
use crate::yaml::{Kind, Mark, Node, nearest};

/// Providers, at most: each has a worker, a connection and metrics of its own.
const MOST_PROVIDERS: usize = 1_000;

const DEFAULT_SCHEDULE: &str = "*/5 * * * *";
const DEFAULT_MAX_ITEMS: u64 = 2_000_000;
const DEFAULT_MAX_BYTES: u64 = 512 << 20;
const DEFAULT_SOURCE_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The modes, as the file writes them.
pub(super) const MODES: [(&str, Mode); 2] =
    [("observe", Mode::Observe), ("enforce", Mode::Enforce)];

/// What the items are read by.
pub(super) struct Settings {
    pub config: Config,
    pub policies: Vec<Policy>,
    /// The zone, if the file names one.
    pub zone: Option<Tz>,
    /// Every name under `providers`, also of one that is wrong in itself.
    pub declared: Declared,
}

/// Providers by name; none for one that is wrong in itself, of which more is not to be said.
pub(super) type Declared = BTreeMap<String, Option<ProviderConfig>>;

/// A part of the main file with its place in it.
pub(super) struct At<'n> {
    pub node: &'n Node,
    pub path: Vec<&'n str>,
}

impl<'n> At<'n> {
    pub fn root(node: &'n Node) -> Self {
        Self {
            node,
            path: Vec::new(),
        }
    }

    pub fn inside(&self, step: &'n str) -> Self {
        let mut path = self.path.clone();
        path.push(step);
        Self {
            node: self.node,
            path,
        }
    }

    pub fn mark(&self, key: &str) -> Mark {
        let mut path = self.path.clone();
        path.push(key);
        self.node.mark_at(&path)
    }

    pub fn here(&self) -> Mark {
        self.node.mark_at(&self.path)
    }
}

/// Reads the settings; none where something is wrong with them, and then it is told.
pub(super) fn read(root: &Node, input: &Input<'_>, teller: &mut Teller<'_>) -> Option<Settings> {
    if matches!(root.kind, Kind::Empty) {
        teller.problem(
            root.mark,
            "empty_file",
            "the file says nothing; a file with nothing to cancel has `version: 1`, `providers` and `cancellations: []`",
        );
        return None;
    }
    if !matches!(root.kind, Kind::Map(_)) {
        teller.problem(
            root.mark,
            "wrong_type",
            "the file is a map of settings, such as `version: 1`",
        );
        return None;
    }
    let mut faults = Vec::new();
    empties_but_items(root, &mut faults);
    let raw: Option<raw::Root> = root.read_but_for("cancellations", &mut faults);
    teller.faults(faults);
    let raw = raw?;
    let at = At::root(root);
    let providers = raw.providers.as_ref().map_or(0, BTreeMap::len);
    if providers > MOST_PROVIDERS {
        teller.problem(
            at.mark("providers"),
            "too_many_providers",
            format!("{providers} providers; allowed: at most {MOST_PROVIDERS}"),
        );
        return None;
    }
    version(&raw, &at, teller);
    let (reconcile, zone) = reconcile(
        raw.reconcile.unwrap_or_default(),
        &at.inside("reconcile"),
        teller,
    );
    let mode = raw.mode.as_deref().map_or(Mode::Observe, |text| {
        teller
            .take(at.mark("mode"), "mode", "mode", word(text, &MODES))
            .unwrap_or(Mode::Observe)
    });
    let defaults = providers::Defaults {
        mode,
        schedule: reconcile.schedule.clone(),
        zone: reconcile.timezone,
    };
    let declared = providers::read(raw.providers, &at, &defaults, teller);
    let policies = policies::read(
        raw.policies.unwrap_or_default(),
        &at,
        zone,
        &declared,
        teller,
    );
    let limits = raw.limits.map_or_else(Limits::default, |raw| {
        let given = provider_limits(&raw, &at.inside("limits"), teller);
        let usual = Limits::default();
        Limits {
            per_hour: given.per_hour.unwrap_or(usual.per_hour),
            per_day: given.per_day.unwrap_or(usual.per_day),
            approval_above: given.approval_above.unwrap_or(usual.approval_above),
            removal_above: given.removal_above.unwrap_or(usual.removal_above),
            stop_after_failures: given
                .stop_after_failures
                .unwrap_or(usual.stop_after_failures),
        }
    });
    let freezes = freezes(
        raw.freezes.unwrap_or_default(),
        &at,
        zone,
        &declared,
        teller,
    );
    let approvals = approvals(raw.approvals.unwrap_or_default(), &at, teller);
    let notify = notices::read(
        raw.notify.unwrap_or_default(),
        &at.inside("notify"),
        reconcile.timezone,
        teller,
    );
    let include = raw.include.unwrap_or_default();
    includes(&include, &at, input, teller);
    let mut secret = |secret: Option<raw::Secret>, key| {
        secret.and_then(|secret| reference(secret, at.mark(key), key, false, teller))
    };
    let ledger_password = secret(raw.ledger_password, "ledger_password");
    let admin_token = secret(raw.admin_token, "admin_token");
    let read_token = secret(raw.read_token, "read_token");
    let config = Config {
        mode,
        listen: address(raw.listen.as_deref(), "listen", &at, teller),
        metrics_listen: address(raw.metrics_listen.as_deref(), "metrics_listen", &at, teller),
        ledger: raw.ledger.and_then(|text| {
            teller.take(
                at.mark("ledger"),
                "ledger",
                "ledger",
                ledger_location(&text),
            )
        }),
        ledger_password,
        ledger_id: raw.ledger_id.and_then(|text| {
            teller.take(
                at.mark("ledger_id"),
                "ledger_id",
                "ledger_id",
                hex_digits(text),
            )
        }),
        admin_token,
        read_token,
        allowed_hosts: allowed_hosts(raw.allowed_hosts.unwrap_or_default(), &at, teller),
        max_items: number(raw.max_items.as_deref(), "max_items", &at, teller)
            .unwrap_or(DEFAULT_MAX_ITEMS),
        max_bytes: raw
            .max_bytes
            .and_then(|text| {
                teller.take(
                    at.mark("max_bytes"),
                    "size",
                    "max_bytes",
                    times::size(&text),
                )
            })
            .unwrap_or(DEFAULT_MAX_BYTES),
        reconcile,
        providers: declared
            .values()
            .flatten()
            .map(|provider| (provider.name.clone(), provider.clone()))
            .collect(),
        limits,
        freezes,
        approvals,
        include,
        notify,
    };
    let bytes: u64 = input.files.iter().map(|file| file.bytes.len() as u64).sum();
    if bytes > config.max_bytes {
        let message = format!(
            "all files together have {bytes} bytes; `max_bytes` allows {}",
            config.max_bytes
        );
        teller.problem(root.mark, "too_large", message);
    }
    Some(Settings {
        config,
        policies,
        zone,
        declared,
    })
}

/// Empty values of everything but the items, which are read one by one.
fn empties_but_items(root: &Node, faults: &mut Vec<crate::yaml::Fault>) {
    for entry in root.entries() {
        if matches!(entry.value.kind, Kind::Empty) {
            let key = &entry.key;
            faults.push(crate::yaml::Fault {
                mark: entry.key_mark,
                code: "empty_value",
                message: format!("`{key}` has no value; give it one, or take it out (an empty list is written `[]`)"),
            });
        } else if entry.key != "cancellations" {
            entry.value.empties(faults);
        }
    }
}

fn version(raw: &raw::Root, at: &At<'_>, teller: &mut Teller<'_>) {
    match raw.version.as_deref() {
        Some("1") => {}
        Some(other) => teller.problem(
            at.mark("version"),
            "version",
            format!("`version` is {other:?}; this lapsed reads version 1"),
        ),
        None => teller.problem(
            at.here(),
            "missing",
            "`version` is missing; begin the file with `version: 1`",
        ),
    }
}

fn reconcile(raw: raw::Reconcile, at: &At<'_>, teller: &mut Teller<'_>) -> (Reconcile, Option<Tz>) {
    let zone = raw
        .timezone
        .and_then(|text| teller.take(at.mark("timezone"), "timezone", "timezone", timezone(&text)));
    let used = zone.unwrap_or(Tz::UTC);
    let text = raw.schedule.as_deref().unwrap_or(DEFAULT_SCHEDULE);
    let schedule = schedule(text, used, at.mark("schedule"), teller).unwrap_or_else(|| {
        Schedule::parse(DEFAULT_SCHEDULE, used).expect("the default is a schedule")
    });
    let reconcile = Reconcile {
        schedule,
        timezone: used,
        wait_after_accept: length(
            raw.wait_after_accept.as_deref(),
            "wait_after_accept",
            at,
            teller,
        )
        .unwrap_or_default(),
        source_max_age: length(raw.source_max_age.as_deref(), "source_max_age", at, teller)
            .unwrap_or(DEFAULT_SOURCE_MAX_AGE),
    };
    (reconcile, zone)
}

fn timezone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| {
        let near = nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        match near {
            Some(near) => format!("{text:?} is no IANA zone; did you mean `{near}`?"),
            None => {
                format!("{text:?} is no IANA zone; allowed: names such as Europe/Berlin or UTC")
            }
        }
    })
}

pub(super) fn schedule(
    text: &str,
    zone: Tz,
    mark: Mark,
    teller: &mut Teller<'_>,
) -> Option<Schedule> {
    let parsed = Schedule::parse(text, zone).map_err(|error| error.why);
    teller.take(mark, "schedule", "schedule", parsed)
}

pub(super) fn length(
    text: Option<&str>,
    key: &str,
    at: &At<'_>,
    teller: &mut Teller<'_>,
) -> Option<Duration> {
    teller.take(at.mark(key), "duration", key, times::duration(text?))
}

pub(super) fn number(
    text: Option<&str>,
    key: &str,
    at: &At<'_>,
    teller: &mut Teller<'_>,
) -> Option<u64> {
    let text = text?;
    let parsed = text
        .parse()
        .map_err(|_| format!("{text:?} is no whole number"));
    teller.take(at.mark(key), "number", key, parsed)
}

fn address(
    text: Option<&str>,
    key: &str,
    at: &At<'_>,
    teller: &mut Teller<'_>,
) -> Option<SocketAddr> {
    let text = text?;
    let parsed = text
        .parse()
        .map_err(|_| format!("{text:?} is no address; allowed: an IP address and a port, such as 127.0.0.1:9740 or [::1]:9740"));
    teller.take(at.mark(key), "address", key, parsed)
}

pub(super) fn ledger_location(text: &str) -> Result<LedgerLocation, String> {
    if let Some(path) = text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
        return Ok(LedgerLocation::Sqlite(path.into()));
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(LedgerLocation::Postgres(text.to_owned()));
    }
    Err(format!(
        "{text:?} is no ledger; allowed: `sqlite:PATH`, such as sqlite:/var/lib/lapsed/lapsed.db"
    ))
}

fn hex_digits(text: String) -> Result<String, String> {
    let right = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if right {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("{text:?} is not 32 hex digits"))
    }
}

fn allowed_hosts(hosts: Vec<String>, at: &At<'_>, teller: &mut Teller<'_>) -> Vec<String> {
    for (index, host) in hosts.iter().enumerate() {
        let right = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if !right {
            let mark = at.inside("allowed_hosts").mark(&index.to_string());
            teller.problem(mark, "host", format!("{host:?} is no host name; allowed: a name without scheme and port, such as lapsed.example.com"));
        }
    }
    hosts
}

/// A secret's reference; a value itself only where the provider is on loopback.
pub(super) fn reference(
    secret: raw::Secret,
    mark: Mark,
    key: &str,
    on_loopback: bool,
    teller: &mut Teller<'_>,
) -> Option<SecretRef> {
    match secret {
        raw::Secret::Env(name) if name.is_empty() || name.contains(['=', '\0']) => {
            teller.problem(
                mark,
                "secret",
                format!("`{key}`: {name:?} is no name of an environment variable"),
            );
            None
        }
        raw::Secret::Env(name) => Some(SecretRef::Env(name)),
        raw::Secret::File(path) => Some(SecretRef::File(path.into())),
        raw::Secret::Value(value) if on_loopback => Some(SecretRef::Value(value)),
        raw::Secret::Value(_) => {
            teller.problem(
                mark,
                "inline_secret",
                format!("`{key}`: a secret in the file itself is refused (only a provider whose `base_url` is on loopback may have one); write `{{env: NAME}}` or `{{file: PATH}}`, and consider this one known"),
            );
            None
        }
    }
}

pub(super) fn provider_limits(
    raw: &raw::Limits,
    at: &At<'_>,
    teller: &mut Teller<'_>,
) -> ProviderLimits {
    ProviderLimits {
        per_hour: number(raw.per_hour.as_deref(), "per_hour", at, teller),
        per_day: number(raw.per_day.as_deref(), "per_day", at, teller),
        approval_above: number(raw.approval_above.as_deref(), "approval_above", at, teller),
        removal_above: raw.removal_above.as_deref().and_then(|text| {
            teller.take(
                at.mark("removal_above"),
                "share",
                "removal_above",
                share(text),
            )
        }),
        stop_after_failures: raw.stop_after_failures.as_deref().and_then(|text| {
            let parsed = text
                .parse()
                .ok()
                .filter(|failures| *failures > 0)
                .ok_or_else(|| format!("{text:?} is no whole number above 0"));
            teller.take(
                at.mark("stop_after_failures"),
                "number",
                "stop_after_failures",
                parsed,
            )
        }),
    }
}

fn share(text: &str) -> Result<Share, String> {
    let allowed = || format!("{text:?} is no share; allowed: a number such as 50, or 0% to 100%");
    match text.strip_suffix('%') {
        None => text.parse().map(Share::Count).map_err(|_| allowed()),
        Some(percent) => percent
            .trim()
            .parse()
            .ok()
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(Share::Percent)
            .ok_or_else(allowed),
    }
}

fn freezes(
    raw: Vec<raw::Freeze>,
    at: &At<'_>,
    zone: Option<Tz>,
    declared: &Declared,
    teller: &mut Teller<'_>,
) -> Vec<Freeze> {
    let mut freezes = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let step = index.to_string();
        let list = at.inside("freezes");
        let at = At {
            node: list.node,
            path: [list.path.as_slice(), &[step.as_str()]].concat(),
        };
        let name = raw.name.clone().unwrap_or_else(|| {
            teller.problem(at.here(), "missing", "a freeze needs a `name`");
            String::new()
        });
        teller.in_one_line(&name, "name", at.mark("name"));
        let span = freeze_span(&raw, &at, zone, teller);
        let matcher = policies::matcher(
            raw.r#match.unwrap_or_default(),
            &at.inside("match"),
            declared,
            teller,
        );
        if let Some(span) = span {
            freezes.push(Freeze {
                name,
                span,
                matcher,
            });
        }
    }
    freezes
}

fn freeze_span(
    raw: &raw::Freeze,
    at: &At<'_>,
    zone: Option<Tz>,
    teller: &mut Teller<'_>,
) -> Option<FreezeSpan> {
    match (&raw.from, &raw.until, &raw.cron, &raw.r#for) {
        (Some(from), Some(until), None, None) => {
            let from_day = teller.take(at.mark("from"), "day", "from", times::day(from));
            let until_day = teller.take(at.mark("until"), "day", "until", times::day(until));
            let (from, until) = (from_day?, until_day?);
            if until < from {
                teller.problem(
                    at.mark("until"),
                    "freeze_backwards",
                    format!("the freeze ends on {until}, before it starts on {from}"),
                );
                return None;
            }
            let Some(zone) = zone else {
                teller.problem(
                    at.mark("from"),
                    "timezone",
                    "a freeze of days needs to know where they begin; set `reconcile.timezone`",
                );
                return None;
            };
            let after = until.succ_opt().unwrap_or(until);
            Some(FreezeSpan::Days {
                from,
                until,
                starts_at: crate::schedule::day_begins(from, zone),
                ends_at: crate::schedule::day_begins(after, zone),
            })
        }
        (None, None, Some(cron), Some(lasts)) => {
            let parsed = Schedule::parse(cron, zone.unwrap_or(Tz::UTC)).map_err(|error| error.why);
            let schedule = teller.take(at.mark("cron"), "schedule", "cron", parsed);
            let lasts = length(Some(lasts), "for", at, teller);
            if lasts.is_some_and(|it| it.is_zero()) {
                teller.problem(
                    at.mark("for"),
                    "duration",
                    "`for` is 0s: the freeze would never hold",
                );
                return None;
            }
            Some(FreezeSpan::Cron {
                schedule: schedule?,
                lasts: lasts?,
            })
        }
        _ => {
            teller.problem(at.here(), "freeze", "a freeze has either `from` and `until` (whole days, both included), or `cron` and `for`");
            None
        }
    }
}

fn approvals(raw: Vec<raw::Approval>, at: &At<'_>, teller: &mut Teller<'_>) -> Vec<Approval> {
    let mut approvals = Vec::new();
    for (index, raw) in raw.into_iter().enumerate() {
        let step = index.to_string();
        let list = at.inside("approvals");
        let at = At {
            node: list.node,
            path: [list.path.as_slice(), &[step.as_str()]].concat(),
        };
        for (key, value) in [("plan", &raw.plan), ("by", &raw.by), ("until", &raw.until)] {
            if value.is_none() {
                teller.problem(at.here(), "missing", format!("an approval needs `{key}`"));
            }
        }
        teller.in_one_line(raw.by.as_deref().unwrap_or_default(), "by", at.mark("by"));
        let plan = raw
            .plan
            .and_then(|text| teller.take(at.mark("plan"), "digest", "plan", hex_digits(text)));
        let until = raw
            .until
            .and_then(|text| teller.take(at.mark("until"), "day", "until", times::day(&text)));
        let at_most = number(raw.at_most.as_deref(), "at_most", &at, teller);
        if at_most == Some(0) {
            let none =
                "`at_most` is 0 and would free nothing; allowed: a number above 0, or take it out";
            teller.problem(at.mark("at_most"), "number", none);
        }
        let per_day = number(raw.per_day.as_deref(), "per_day", &at, teller);
        let twice = |plan: &String| approvals.iter().any(|it: &Approval| it.plan == *plan);
        if plan.as_ref().is_some_and(twice) {
            let once = "this plan is approved already further up; one entry is enough";
            teller.problem(at.mark("plan"), "approved_twice", once);
        }
        if let (Some(plan), Some(by), Some(until)) = (plan, raw.by, until) {
            approvals.push(Approval {
                plan,
                by,
                until,
                at_most,
                per_day,
            });
        }
    }
    approvals
}

fn includes(patterns: &[String], at: &At<'_>, input: &Input<'_>, teller: &mut Teller<'_>) {
    let list = at.inside("include");
    if patterns.len() > MOST_PATTERNS {
        let message = format!(
            "`include` has {} patterns; allowed: at most {MOST_PATTERNS} (one such as `cancellations/**/*.yaml` takes in a whole folder)",
            patterns.len()
        );
        teller.problem(list.here(), "too_many_patterns", message);
        return;
    }
    let unmatched: HashSet<&String> = input.unmatched.iter().collect();
    for (index, pattern) in patterns.iter().enumerate() {
        let mark = list.mark(&index.to_string());
        let leaves = pattern.starts_with('/') || pattern.split('/').any(|part| part == "..");
        if leaves {
            teller.problem(
                mark,
                "include_outside",
                format!("{pattern:?} leaves this file's folder; only files below it are included"),
            );
        } else if let Err(why) = words::pattern(pattern) {
            teller.problem(mark, "include_pattern", why);
        } else if unmatched.contains(pattern) {
            teller.warning(
                mark,
                "include_empty",
                format!("{pattern:?} matches no file"),
            );
        }
        for (_, path) in input.outside.iter().filter(|(from, _)| from == pattern) {
            teller.problem(
                mark,
                "include_outside",
                format!("{pattern:?} reaches {path}, which lies outside this file's folder"),
            );
        }
    }
}

/// The provider of that name, or which are known; none for one that is wrong in itself.
pub(super) fn known_provider<'d>(
    found: &str,
    declared: &'d Declared,
) -> Result<Option<&'d ProviderConfig>, String> {
    match declared.get(found) {
        Some(provider) => Ok(provider.as_ref()),
        None => Err(not_allowed(found, declared.keys().map(String::as_str))),
    }
}
