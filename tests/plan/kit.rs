//! What these tests decide by: a file's configuration, its freezes, and requests that wait for a
//! period's end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use globset::{Glob, GlobMatcher};
use lapsed::config::{
    Auth, Config, Freeze, FreezeSpan, KajabiAuth, Limits, LotusAuth, Match, Mode, Notify,
    PaymentPlans, ProviderConfig, ProviderLimits, RateLimit, Reconcile, RenewalOff, SecretRef,
};
use lapsed::model::ids::ProviderName;
use lapsed::model::provider::ProviderKind;
use lapsed::model::request::Request;
use lapsed::model::terms::{From, Sourced, When};
use lapsed::plan::decide::Rules;
use lapsed::schedule::Schedule;

use super::{RESEND_AFTER, at, request};

/// In seconds. The tests' time 0 is a whole hour, 08:00 in UTC.
pub const MINUTE: i64 = 60;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

pub fn name() -> ProviderName {
    ProviderName::parse("p").unwrap()
}

pub fn schedule(text: &str) -> Schedule {
    Schedule::parse(text, Tz::UTC).unwrap()
}

pub fn provider(kind: ProviderKind, ticks: &str) -> ProviderConfig {
    let secret = || SecretRef::Env("SECRET".to_owned());
    ProviderConfig {
        name: name(),
        auth: match kind {
            ProviderKind::Kajabi => Auth::Kajabi(KajabiAuth::Token(secret())),
            ProviderKind::Revere => Auth::Revere {
                group_id: "g".to_owned(),
                linked_account_id: "l".to_owned(),
                api_key: secret(),
            },
            ProviderKind::Lotus => Auth::Lotus {
                auth: LotusAuth::ApiKey(secret()),
                organization_id: None,
            },
        },
        mode: Mode::Enforce,
        base_url: "http://127.0.0.1:1".parse().unwrap(),
        schedule: schedule(ticks),
        rate_limit: RateLimit {
            requests: 3,
            per: Duration::from_secs(60),
        },
        concurrency: 1,
        timeout: Duration::from_secs(10),
        resend_after: RESEND_AFTER,
        require_expect: BTreeSet::new(),
        ca: None,
        proxy: None,
        payment_plans: PaymentPlans::Hold,
        reasons: None,
        renewal_off: RenewalOff::AtOnce,
        formerly: None,
        limits: ProviderLimits::default(),
    }
}

/// A file with one provider, `p`.
pub fn config(kind: ProviderKind, ticks: &str) -> Config {
    Config {
        mode: Mode::Enforce,
        listen: None,
        metrics_listen: None,
        ledger: None,
        ledger_password: None,
        ledger_id: None,
        admin_token: None,
        read_token: None,
        allowed_hosts: Vec::new(),
        max_items: 1_000,
        max_bytes: 1_000_000,
        reconcile: Reconcile {
            schedule: schedule(ticks),
            timezone: Tz::UTC,
            wait_after_accept: Duration::ZERO,
            source_max_age: Duration::from_secs(3_600),
        },
        providers: BTreeMap::from([(name(), provider(kind, ticks))]),
        limits: Limits::default(),
        freezes: Vec::new(),
        approvals: Vec::new(),
        include: Vec::new(),
        notify: Notify::default(),
    }
}

pub fn of(config: &Config) -> &ProviderConfig {
    &config.providers[&name()]
}

pub fn of_mut(config: &mut Config) -> &mut ProviderConfig {
    config.providers.get_mut(&name()).unwrap()
}

pub fn rules(config: &Config) -> Rules<'_> {
    Rules::of(of(config), config)
}

/// A freeze of everything, in seconds of the tests' time.
pub fn freeze(named: &str, from: i64, until: i64) -> Freeze {
    let (starts_at, ends_at) = (at(from), at(until));
    Freeze {
        name: named.to_owned(),
        span: FreezeSpan::Days {
            from: starts_at.date_naive(),
            until: ends_at.date_naive(),
            starts_at,
            ends_at,
        },
        matcher: Match::default(),
    }
}

pub fn glob(text: &str) -> GlobMatcher {
    Glob::new(text).unwrap().compile_matcher()
}

/// One that shall end when what is paid for has run out; its window is open from 24 h until 6 h
/// before that.
pub fn at_period_end(kind: ProviderKind) -> Request {
    let mut request = request(kind);
    request.terms.when.value = When::EndOfPeriod;
    request.terms.when_text = "end_of_period".to_owned();
    request
}

/// The same, where the item says when its period ends.
pub fn with_period_end(kind: ProviderKind, ends_at: DateTime<Utc>) -> Request {
    let mut request = at_period_end(kind);
    request.terms.period_ends = Some(Sourced::new(ends_at, From::Item));
    request
}
