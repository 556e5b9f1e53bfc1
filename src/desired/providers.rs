//! The providers of the main file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono_tz::Tz;
use url::Url;

use super::Teller;
use super::raw;
use super::settings::{At, Declared, MODES, length, number, provider_limits, reference, schedule};
use super::times;
use super::words::{not_allowed, word};
use crate::config::{
    Auth, KajabiAuth, LotusAuth, Mode, PaymentPlans, ProviderConfig, RateLimit, RenewalOff,
    SecretRef, is_loopback,
};
use crate::model::ids::ProviderName;
use crate::model::provider::{ExpectField, ProviderKind};
use crate::schedule::Schedule;
use crate::yaml::Mark;

const DEFAULT_RATE: RateLimit = RateLimit {
    requests: 60,
    per: Duration::from_secs(60),
};
const DEFAULT_CONCURRENCY: u32 = 2;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long after a lost send the provider may still carry it out.
///
/// Longer than the latest execution that is planned for (20 minutes after our timeout), so
/// that an active reading after it means that nothing will come any more.
const DEFAULT_RESEND_AFTER: Duration = Duration::from_secs(30 * 60);

/// The kinds, as the file writes them.
pub(super) const KINDS: [(&str, ProviderKind); 3] = [
    ("kajabi", ProviderKind::Kajabi),
    ("revere", ProviderKind::Revere),
    ("lotus", ProviderKind::Lotus),
];

const PAYMENT_PLANS: [(&str, PaymentPlans); 2] = [
    ("hold", PaymentPlans::Hold),
    ("cancel", PaymentPlans::Cancel),
];

const RENEWAL_OFF: [(&str, RenewalOff); 2] = [
    ("at_once", RenewalOff::AtOnce),
    ("in_window", RenewalOff::InWindow),
];

/// What a provider that does not say otherwise takes over.
pub(super) struct Defaults {
    pub mode: Mode,
    pub schedule: Schedule,
    pub zone: Tz,
}

/// Reads all providers.
pub(super) fn read(
    raw: Option<BTreeMap<String, raw::Provider>>,
    at: &At<'_>,
    defaults: &Defaults,
    teller: &mut Teller<'_>,
) -> Declared {
    let raw = raw.unwrap_or_default();
    if raw.is_empty() {
        let mark = at.mark("providers");
        teller.problem(mark, "missing", "`providers` is missing or empty; name at least one, such as `academy: {type: kajabi, …}`");
    }
    let at = at.inside("providers");
    let names: BTreeSet<String> = raw.keys().cloned().collect();
    let mut declared = Declared::new();
    for (name, provider) in raw {
        let before = teller.told.problems.len();
        let read = one(&name, provider, &at, defaults, &names, teller);
        let sound = teller.told.problems.len() == before;
        declared.insert(name, read.filter(|_| sound));
    }
    one_name_for_each_account(&declared, &at, teller);
    declared
}

fn one(
    name: &str,
    raw: raw::Provider,
    at: &At<'_>,
    defaults: &Defaults,
    names: &BTreeSet<String>,
    teller: &mut Teller<'_>,
) -> Option<ProviderConfig> {
    let at = At {
        node: at.node,
        path: [at.path.as_slice(), &[name]].concat(),
    };
    let key_mark = at
        .node
        .get("providers")
        .and_then(|node| node.entry(name))
        .map(|entry| entry.key_mark);
    let key_mark = key_mark.unwrap_or_else(|| at.here());
    let parsed = ProviderName::parse(name)
        .map_err(|problem| format!("{name:?} is no name of a provider; {problem}"));
    let own_name = match parsed {
        Ok(own_name) => Some(own_name),
        Err(why) => {
            teller.problem(key_mark, "provider_name", why);
            None
        }
    };
    let Some(kind) = &raw.r#type else {
        teller.problem(
            key_mark,
            "missing",
            format!("provider `{name}` needs a `type`: `kajabi`, `revere` or `lotus`"),
        );
        return None;
    };
    let kind = teller.take(at.mark("type"), "provider_type", "type", word(kind, &KINDS))?;
    foreign_keys(&raw, kind, &at, teller);
    let base_url = base_url(raw.base_url.as_deref(), kind, key_mark, &at, teller);
    let on_loopback = base_url.as_ref().is_some_and(is_loopback);
    let auth = auth(&raw, kind, on_loopback, key_mark, &at, teller);
    let timeout = length(raw.timeout.as_deref(), "timeout", &at, teller).unwrap_or(DEFAULT_TIMEOUT);
    let resend_after = length(raw.resend_after.as_deref(), "resend_after", &at, teller)
        .unwrap_or(DEFAULT_RESEND_AFTER);
    if timeout.is_zero() {
        teller.problem(
            at.mark("timeout"),
            "duration",
            "`timeout` must be longer than 0s",
        );
    }
    if resend_after <= timeout {
        let key = if raw.resend_after.is_some() {
            "resend_after"
        } else {
            "timeout"
        };
        teller.problem(at.mark(key), "resend_after", format!(
            "`resend_after` ({} s) must be longer than `timeout` ({} s): a request that timed out may still take effect",
            resend_after.as_secs(),
            timeout.as_secs()
        ));
    }
    let formerly = raw
        .formerly
        .as_deref()
        .and_then(|text| formerly(text, names, &at, teller));
    let own_schedule = raw
        .schedule
        .as_deref()
        .and_then(|text| schedule(text, defaults.zone, at.mark("schedule"), teller));
    let proxy = raw.proxy.as_deref().and_then(|text| {
        let parsed = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                "no URL of a proxy; allowed: such as http://proxy.example.com:3128".to_owned()
            });
        let proxy = teller.take(at.mark("proxy"), "url", "proxy", parsed)?;
        let mark = at.mark("proxy");
        if !proxy.username().is_empty() || proxy.password().is_some() {
            teller.problem(mark, "inline_secret", "`proxy`: credentials in a URL are refused; use a proxy that knows this host by its address");
            return None;
        }
        // Over https a proxy sees where a request goes; over http it would read the credentials.
        if base_url.as_ref().is_some_and(|url| url.scheme() != "https") {
            teller.problem(mark, "proxy", "`proxy`: a `base_url` that is not https is on this machine, and its credentials must not leave it; take `proxy` out");
            return None;
        }
        Some(proxy)
    });
    let word_of = |text: &Option<String>| text.clone().unwrap_or_default();
    Some(ProviderConfig {
        name: own_name?,
        auth: auth?,
        mode: raw.mode.as_ref().map_or(Some(defaults.mode), |_| {
            teller.take(
                at.mark("mode"),
                "mode",
                "mode",
                word(&word_of(&raw.mode), &MODES),
            )
        })?,
        base_url: base_url?,
        schedule: own_schedule.unwrap_or_else(|| defaults.schedule.clone()),
        rate_limit: raw
            .rate_limit
            .as_deref()
            .and_then(|text| {
                teller.take(
                    at.mark("rate_limit"),
                    "rate",
                    "rate_limit",
                    times::rate(text),
                )
            })
            .unwrap_or(DEFAULT_RATE),
        concurrency: concurrency(&raw, &at, teller),
        timeout,
        resend_after,
        require_expect: require_expect(raw.require_expect.unwrap_or_default(), kind, &at, teller),
        ca: raw
            .ca
            .and_then(|ca| reference(ca, at.mark("ca"), "ca", on_loopback, teller)),
        proxy,
        payment_plans: raw
            .payment_plans
            .as_ref()
            .map_or(Some(PaymentPlans::Hold), |_| {
                teller.take(
                    at.mark("payment_plans"),
                    "word",
                    "payment_plans",
                    word(&word_of(&raw.payment_plans), &PAYMENT_PLANS),
                )
            })?,
        reasons: raw.reasons,
        renewal_off: raw
            .renewal_off
            .as_ref()
            .map_or(Some(RenewalOff::AtOnce), |_| {
                teller.take(
                    at.mark("renewal_off"),
                    "word",
                    "renewal_off",
                    word(&word_of(&raw.renewal_off), &RENEWAL_OFF),
                )
            })?,
        formerly,
        limits: raw
            .limits
            .map(|limits| provider_limits(&limits, &at.inside("limits"), teller))
            .unwrap_or_default(),
    })
}

/// Keys that another kind of provider has.
fn foreign_keys(raw: &raw::Provider, kind: ProviderKind, at: &At<'_>, teller: &mut Teller<'_>) {
    use ProviderKind::{Kajabi, Lotus, Revere};
    let keys: [(&str, bool, &[ProviderKind]); 9] = [
        ("client_id", raw.client_id.is_some(), &[Kajabi]),
        ("client_secret", raw.client_secret.is_some(), &[Kajabi]),
        ("token", raw.token.is_some(), &[Kajabi, Lotus]),
        ("api_key", raw.api_key.is_some(), &[Revere, Lotus]),
        ("group_id", raw.group_id.is_some(), &[Revere]),
        (
            "linked_account_id",
            raw.linked_account_id.is_some(),
            &[Revere],
        ),
        ("organization_id", raw.organization_id.is_some(), &[Lotus]),
        ("renewal_off", raw.renewal_off.is_some(), &[Lotus]),
        ("payment_plans", raw.payment_plans.is_some(), &[Kajabi]),
    ];
    for (key, given, kinds) in keys {
        if given && !kinds.contains(&kind) {
            let whose: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            teller.problem(
                at.mark(key),
                "foreign_key",
                format!(
                    "`{key}` is a key of {} and of no use for {kind}; take it out",
                    whose.join(" and ")
                ),
            );
        }
    }
}

fn auth(
    raw: &raw::Provider,
    kind: ProviderKind,
    on_loopback: bool,
    key_mark: Mark,
    at: &At<'_>,
    teller: &mut Teller<'_>,
) -> Option<Auth> {
    let mut secret = |given: &Option<raw::Secret>, key: &'static str| -> Option<SecretRef> {
        reference(given.clone()?, at.mark(key), key, on_loopback, teller)
    };
    let client = (
        secret(&raw.client_id, "client_id"),
        secret(&raw.client_secret, "client_secret"),
    );
    let token = secret(&raw.token, "token");
    let api_key = secret(&raw.api_key, "api_key");
    let given = |secret: &Option<raw::Secret>| secret.is_some();
    match kind {
        ProviderKind::Kajabi => {
            let client_given = given(&raw.client_id) || given(&raw.client_secret);
            let both = given(&raw.client_id) && given(&raw.client_secret);
            if client_given == given(&raw.token) || (client_given && !both) {
                teller.problem(
                    key_mark,
                    "credentials",
                    "kajabi needs either `client_id` and `client_secret`, or `token`",
                );
                return None;
            }
            let auth = match (client, token) {
                ((Some(client_id), Some(client_secret)), _) => KajabiAuth::Client {
                    client_id,
                    client_secret,
                },
                (_, Some(token)) => KajabiAuth::Token(token),
                _ => return None,
            };
            Some(Auth::Kajabi(auth))
        }
        ProviderKind::Revere => {
            let mut part = |value: &Option<String>, key: &str| {
                let value = value.clone().filter(|value| is_opaque(value));
                if value.is_none() {
                    teller.problem(
                        at.mark(key),
                        "missing",
                        format!("revere needs `{key}`: 1 to 128 of `A-Z a-z 0-9 . _ ~ -`"),
                    );
                }
                value
            };
            let group_id = part(&raw.group_id, "group_id");
            let linked_account_id = part(&raw.linked_account_id, "linked_account_id");
            if !given(&raw.api_key) {
                teller.problem(key_mark, "credentials", "revere needs `api_key`");
            }
            Some(Auth::Revere {
                group_id: group_id?,
                linked_account_id: linked_account_id?,
                api_key: api_key?,
            })
        }
        ProviderKind::Lotus => {
            if given(&raw.api_key) == given(&raw.token) {
                teller.problem(key_mark, "credentials", "lotus needs either `api_key` or `token`, never both: a bad token makes a good key fail");
                return None;
            }
            let auth = match (api_key, token) {
                (Some(key), _) => LotusAuth::ApiKey(key),
                (None, Some(token)) => LotusAuth::Token(token),
                (None, None) => return None,
            };
            Some(Auth::Lotus {
                auth,
                organization_id: raw.organization_id.clone(),
            })
        }
    }
}

fn is_opaque(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text != "."
        && text != ".."
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-'))
}

fn base_url(
    text: Option<&str>,
    kind: ProviderKind,
    key_mark: Mark,
    at: &At<'_>,
    teller: &mut Teller<'_>,
) -> Option<Url> {
    let Some(text) = text else {
        let default = kind.capabilities().default_base_url;
        if default.is_none() {
            teller.problem(
                key_mark,
                "missing",
                format!("{kind} needs a `base_url`, such as https://{kind}.example.com"),
            );
        }
        return default.map(|url| Url::parse(url).expect("the defaults are URLs"));
    };
    let mark = at.mark("base_url");
    let allowed = "allowed: an https URL without query, such as https://billing.example.com (http on loopback alone)";
    let parsed = Url::parse(text)
        .ok()
        .filter(|url| url.has_host() && url.query().is_none() && url.fragment().is_none());
    let Some(mut url) = parsed else {
        teller.problem(
            mark,
            "url",
            format!(
                "`base_url`: {} is no URL of an API; {allowed}",
                quoted(text)
            ),
        );
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        teller.problem(mark, "inline_secret", "`base_url`: credentials in a URL are refused; write them as `{env: NAME}` or `{file: PATH}` under their own keys");
        return None;
    }
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        teller.problem(
            mark,
            "https",
            format!("`base_url`: {} is not https; {allowed}", quoted(text)),
        );
        return None;
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Some(url)
}

/// What should have been a URL, unless there could be a login in it.
fn quoted(text: &str) -> String {
    if text.contains('@') {
        "what stands there".to_owned()
    } else {
        format!("{text:?}")
    }
}

/// Whether a URL leads to this machine and nowhere else.
fn concurrency(raw: &raw::Provider, at: &At<'_>, teller: &mut Teller<'_>) -> u32 {
    let given = number(raw.concurrency.as_deref(), "concurrency", at, teller);
    let Some(given) = given else {
        return DEFAULT_CONCURRENCY;
    };
    match u32::try_from(given)
        .ok()
        .filter(|it| (1..=256).contains(it))
    {
        Some(concurrency) => concurrency,
        None => {
            teller.problem(
                at.mark("concurrency"),
                "number",
                format!("`concurrency` is {given}; allowed: 1 to 256 requests in flight"),
            );
            DEFAULT_CONCURRENCY
        }
    }
}

fn require_expect(
    raw: Vec<String>,
    kind: ProviderKind,
    at: &At<'_>,
    teller: &mut Teller<'_>,
) -> BTreeSet<ExpectField> {
    let told: Vec<(&str, ExpectField)> = kind
        .capabilities()
        .expects
        .iter()
        .map(|field| (field.as_str(), *field))
        .collect();
    let list = at.inside("require_expect");
    raw.iter()
        .enumerate()
        .filter_map(|(index, text)| {
            let mark = list.mark(&index.to_string());
            teller.take(mark, "expect_field", "require_expect", word(text, &told))
        })
        .collect()
}

fn formerly(
    text: &str,
    names: &BTreeSet<String>,
    at: &At<'_>,
    teller: &mut Teller<'_>,
) -> Option<ProviderName> {
    let mark = at.mark("formerly");
    if names.contains(text) {
        teller.problem(mark, "formerly", format!("`formerly` is {text:?}, which is a provider of this file; only a name that is no longer used can be taken over"));
        return None;
    }
    let parsed = ProviderName::parse(text)
        .map_err(|problem| format!("{text:?} is no name of a provider; {problem}"));
    teller.take(mark, "provider_name", "formerly", parsed)
}

/// Two names for one account would each keep limits and a history of their own.
fn one_name_for_each_account(declared: &Declared, at: &At<'_>, teller: &mut Teller<'_>) {
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for (name, provider) in declared {
        let Some(provider) = provider else { continue };
        let account = match &provider.auth {
            Auth::Kajabi(_) => continue,
            Auth::Revere {
                group_id,
                linked_account_id,
                ..
            } => format!("{group_id}/{linked_account_id}"),
            Auth::Lotus {
                organization_id: Some(organization_id),
                ..
            } => organization_id.clone(),
            Auth::Lotus { .. } => continue,
        };
        let account = format!("{} {} {account}", provider.kind(), provider.base_url);
        if let Some(first) = known.insert(account, name) {
            let mark = at.mark(name);
            teller.problem(mark, "same_account", format!("`{name}` and `{first}` are two names for one account; keep one of them (`formerly` renames)"));
        }
    }
}

/// Tells which names a list of unknown ones could have meant.
pub(super) fn unknown_expect(found: &str, kind: ProviderKind) -> String {
    not_allowed(
        found,
        kind.capabilities()
            .expects
            .iter()
            .map(|field| field.as_str()),
    )
}
