//! Who is told what: webhooks and the heartbeat.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;

use super::Teller;
use super::raw;
use super::settings::{At, reference};
use super::words::word;
use crate::config::{Address, Notify, Webhook, message_url};
use crate::model::ids::ProviderName;
use crate::model::notice::NoticeKind;
use crate::schedule::Schedule;

/// Webhooks, at most: each is told everything one after the other, and has metrics of its own.
const MOST_WEBHOOKS: usize = 16;

const DEFAULT_DIGEST: &str = "0 8 * * *";

/// The kinds, as the file writes them.
const KINDS: [(&str, NoticeKind); NoticeKind::ALL.len()] = {
    let mut kinds = [("", NoticeKind::Failed); NoticeKind::ALL.len()];
    let mut place = 0;
    while place < kinds.len() {
        kinds[place] = (NoticeKind::ALL[place].as_str(), NoticeKind::ALL[place]);
        place += 1;
    }
    kinds
};

pub(super) fn read(raw: raw::Notify, at: &At<'_>, zone: Tz, teller: &mut Teller<'_>) -> Notify {
    let raw::Notify {
        webhooks,
        heartbeat,
        digest,
    } = raw;
    let webhooks = webhooks.unwrap_or_default();
    if webhooks.len() > MOST_WEBHOOKS {
        let message = format!(
            "{} webhooks; allowed: at most {MOST_WEBHOOKS}",
            webhooks.len()
        );
        teller.problem(at.mark("webhooks"), "too_many_webhooks", message);
    }
    let inside = at.inside("webhooks");
    let webhooks: BTreeMap<String, Webhook> = webhooks
        .into_iter()
        .filter_map(|(name, raw)| {
            let webhook = webhook(&name, raw, &inside, teller)?;
            Some((name, webhook))
        })
        .collect();
    let heartbeat = heartbeat.and_then(|raw| {
        let at = at.inside("heartbeat");
        address(raw.url, raw.url_from, &at, teller)
    });
    let text = digest.as_deref().unwrap_or(DEFAULT_DIGEST);
    Notify {
        webhooks,
        heartbeat,
        digest: {
            let parsed = Schedule::parse(text, zone).map_err(|error| error.why);
            teller.take(at.mark("digest"), "schedule", "digest", parsed)
        },
    }
}

fn webhook(name: &str, raw: raw::Webhook, at: &At<'_>, teller: &mut Teller<'_>) -> Option<Webhook> {
    let mark = at.mark(name);
    if let Err(problem) = ProviderName::parse(name) {
        let message = format!("{name:?} is no name of a webhook; {problem}");
        teller.problem(mark, "webhook_name", message);
        return None;
    }
    let at = at.inside(name);
    let address = address(raw.url, raw.url_from, &at, teller);
    let secret = match raw.secret {
        Some(secret) => reference(secret, at.mark("secret"), "secret", false, teller),
        None => {
            teller.problem(
                mark,
                "missing",
                format!("webhook `{name}` needs a `secret`, such as `{{env: LAPSED_WEBHOOK_SECRET}}`: whoever is told must be able to know that it is from here"),
            );
            None
        }
    };
    let events = match raw.events {
        None => NoticeKind::ALL.into(),
        Some(words) => kinds(&words, &at, teller),
    };
    Some(Webhook {
        name: name.to_owned(),
        address: address?,
        secret: secret?,
        events,
    })
}

fn kinds(words: &[String], at: &At<'_>, teller: &mut Teller<'_>) -> BTreeSet<NoticeKind> {
    if words.is_empty() {
        teller.problem(
            at.mark("events"),
            "empty_value",
            "`events` names nothing, so that nothing would be told; leave it out for everything, or take the webhook out",
        );
    }
    let inside = at.inside("events");
    let mut kinds = BTreeSet::new();
    for (place, text) in words.iter().enumerate() {
        let mark = inside.mark(&place.to_string());
        kinds.extend(teller.take(mark, "notice", "events", word(text, &KINDS)));
    }
    kinds
}

fn address(
    url: Option<String>,
    from: Option<raw::Secret>,
    at: &At<'_>,
    teller: &mut Teller<'_>,
) -> Option<Address> {
    match (url, from) {
        (Some(text), None) => {
            let url = message_url(&text).map_err(str::to_owned);
            teller
                .take(at.mark("url"), "url", "url", url)
                .map(Address::Url)
        }
        (None, Some(secret)) => {
            let found = reference(secret, at.mark("url_from"), "url_from", false, teller);
            found.map(Address::Secret)
        }
        (None, None) => {
            teller.problem(
                at.here(),
                "missing",
                "it needs a `url`, such as https://hooks.example.com/lapsed, or a `url_from` where the URL is a secret itself",
            );
            None
        }
        (Some(_), Some(_)) => {
            teller.problem(
                at.mark("url_from"),
                "conflict",
                "`url` and `url_from` say the same; take one of them out",
            );
            None
        }
    }
}
