//! A provider's own words, as far as they may be shown: short, and without what could be a
//! person's.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::model::text::is_unseen;
use crate::planted::planted;

/// At most so many characters of a provider's words are kept.
const LONGEST: usize = 200;

/// So many digits together could be a card, an account or a telephone.
const LONG_RUN: usize = 6;

/// The longest fact (a customer, a plan, an account) that is kept: what an item may expect is no
/// longer.
const LONGEST_FACT: usize = 200;

/// A word with so many letters and digits, and both of them, could be a key or a token.
const LONG_KEY: usize = 20;

/// What the provider knows of us and must not give back into anything that is shown.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    /// The credentials.
    own: Vec<SecretString>,
    /// Tokens that were sent, the newest last: one that was refused is a secret still.
    tokens: Vec<SecretString>,
}

/// Tokens that are remembered.
const MOST_TOKENS: usize = 8;

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// The credentials.
    pub(super) fn of(own: Vec<&SecretString>) -> Self {
        Self {
            own: own.into_iter().cloned().collect(),
            tokens: Vec::new(),
        }
    }

    /// And what a request says in headers that are marked as sensitive, without the word before
    /// it that names its kind.
    pub(super) fn learn(&mut self, headers: &HeaderMap) {
        let sensitive = headers.values().filter(|value| value.is_sensitive());
        for text in sensitive.filter_map(|value| value.to_str().ok()) {
            let kinds = ["Bearer ", "Token "];
            let kind = kinds.into_iter().find_map(|kind| text.strip_prefix(kind));
            let secret = kind.unwrap_or(text);
            let same = |it: &SecretString| it.expose_secret() == secret;
            if self.own.iter().any(same) {
                continue;
            }
            self.tokens.retain(|it| !same(it));
            self.tokens.push(secret.into());
            if self.tokens.len() > MOST_TOKENS {
                self.tokens.remove(0);
            }
        }
    }

    /// A text without them. White space that is written otherwise changes nothing.
    fn taken_out(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.own.iter().chain(&self.tokens) {
            let words: Vec<&str> = secret.expose_secret().split_whitespace().collect();
            if !words.is_empty() {
                text = text.replace(&words.join(" "), "[masked]");
            }
        }
        text
    }
}

/// A fact that can be kept as it is: not longer than what an item may expect, and without a
/// character that changes how it is shown.
pub(super) fn fact(text: String) -> Option<String> {
    let fits = text.chars().count() <= LONGEST_FACT && !text.chars().any(is_unseen);
    fits.then_some(text)
}

/// An instant of a year with four digits, as RFC 3339 has them. With others one cannot count on:
/// a day more may be none that there is.
pub(super) fn instant<'de, D: Deserializer<'de>>(from: D) -> Result<DateTime<Utc>, D::Error> {
    let at = DateTime::<Utc>::deserialize(from)?;
    if (1..=9_999).contains(&at.year()) {
        Ok(at)
    } else {
        Err(D::Error::custom("a year that no calendar names"))
    }
}

/// The same where it may be null.
pub(super) fn instant_or_null<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    #[derive(Deserialize)]
    struct At(#[serde(deserialize_with = "instant")] DateTime<Utc>);
    Ok(Option::<At>::deserialize(from)?.map(|At(at)| at))
}

/// Masks e-mail addresses, keys and long runs of digits, takes out control characters, and
/// cuts.
pub(super) fn masked(text: &str, secrets: &Secrets) -> String {
    if planted!(WordsUnmasked, true, false) {
        return text.to_owned();
    }
    let plain: String = text
        .chars()
        .map(|c| if is_unseen(c) { ' ' } else { c })
        .collect();
    let plain: Vec<&str> = plain.split_whitespace().collect();
    let plain = secrets.taken_out(&plain.join(" "));
    // Whole words come first: digits masked inside a key would hide that it is one.
    let words: Vec<&str> = plain
        .split_whitespace()
        .map(|word| {
            if word.contains('@') || could_be_a_key(word) {
                "[masked]"
            } else {
                word
            }
        })
        .collect();
    mask_digits(&words.join(" "))
        .chars()
        .take(LONGEST)
        .collect()
}

fn could_be_a_key(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    digits > 0 && letters > 0 && digits + letters >= LONG_KEY
}

/// Masks digits that stand together, also with single spaces, dots or dashes between them.
fn mask_digits(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, digits) = run_of_digits(&chars, at);
        if digits >= LONG_RUN {
            masked.push_str("[masked]");
            at = end;
        } else {
            masked.push(chars[at]);
            at += 1;
        }
    }
    masked
}

/// Where a run of digits that begins here ends, and how many there are.
fn run_of_digits(chars: &[char], from: usize) -> (usize, usize) {
    let mut digits = 0;
    let mut end = from;
    let mut at = from;
    while let Some(c) = chars.get(at) {
        if c.is_ascii_digit() {
            digits += 1;
            at += 1;
            end = at;
        } else if at == end && digits > 0 && matches!(c, ' ' | '-' | '.') {
            at += 1;
        } else {
            break;
        }
    }
    (end, digits)
}

/// What a body says of an error, whatever its shape; nothing where it is no JSON.
///
/// Kajabi: `{"errors": [{"title", "detail"}]}` (JSON:API) or `{"error": "…"}`. Lotus: `title`
/// and `detail` (`RFC7807Formatter`, exceptions/handler.py). Revere documents none: the usual
/// names are tried in turn.
pub(super) fn of_body(body: &[u8], secrets: &Secrets) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return "no words that can be shown".to_owned();
    };
    let first = value
        .get("errors")
        .and_then(|errors| errors.get(0))
        .unwrap_or(&value);
    let text = |of: &Value, key: &str| of.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut parts: Vec<String> = ["title", "code", "detail", "message", "error", "msg"]
        .into_iter()
        .filter_map(|key| text(first, key))
        .collect();
    parts.extend(first.get("error").and_then(|error| text(error, "message")));
    parts.extend(first.as_str().map(str::to_owned));
    parts.dedup();
    if parts.is_empty() {
        "no words that can be shown".to_owned()
    } else {
        masked(&parts.join(": "), secrets)
    }
}

/// `Retry-After` as a number of seconds or a date; a pause of 30 s where there is none or none
/// that can be read. Kept between 1 s and 1 h.
pub(super) fn retry_after(value: Option<&str>, now: DateTime<Utc>) -> Duration {
    if planted!(RetryAfterIgnored, true, false) {
        return Duration::ZERO;
    }
    const USUAL: Duration = Duration::from_secs(30);
    let text = value.map(str::trim).unwrap_or_default();
    let wait = match text.parse::<i64>() {
        Ok(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        Err(_) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Duration::MAX
        }
        Err(_) => httpdate::parse_http_date(text).map_or(USUAL, |at| {
            (DateTime::<Utc>::from(at) - now)
                .to_std()
                .unwrap_or_default()
        }),
    };
    wait.clamp(Duration::from_secs(1), Duration::from_secs(60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        super::masked(text, &Secrets::default())
    }

    #[test]
    fn what_could_be_a_persons_is_masked() {
        let said = "Card 4111 1111-1111.1111 of jo@example.com, call 0123456; step 12\u{1b}[2J";
        let masked = masked(said);
        assert_eq!(
            masked,
            "Card [masked] of [masked] call [masked]; step 12 [2J"
        );
    }

    #[test]
    fn what_could_be_a_key_is_masked_and_a_long_word_is_not() {
        assert_eq!(
            masked("key 'sk_live_4242424242abcdef' is wrong"),
            "key [masked] is wrong"
        );
        let code = "subscription_already_cancelled";
        assert_eq!(masked(code), code);
    }

    #[test]
    fn what_was_sent_does_not_come_back_however_it_is_spaced() {
        let secrets = ["client & id", "plain-words"].map(SecretString::from);
        let secrets = Secrets::of(secrets.iter().collect());
        assert_eq!(
            super::masked("no client  &\u{1}id with (plain-words)", &secrets),
            "no [masked] with ([masked])"
        );
    }

    #[test]
    fn words_are_cut() {
        assert_eq!(masked(&"wide ".repeat(400)).chars().count(), LONGEST);
    }

    #[test]
    fn every_shape_of_retry_after_becomes_a_bounded_pause() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let seconds = |value: Option<&str>| retry_after(value, now).as_secs();
        assert_eq!(seconds(Some("7")), 7);
        assert_eq!(seconds(Some("-5")), 1);
        assert_eq!(seconds(Some("0")), 1);
        assert_eq!(seconds(Some("31536000")), 3_600);
        assert_eq!(seconds(Some("99999999999999999999999")), 3_600);
        assert_eq!(seconds(Some("soon")), 30);
        assert_eq!(seconds(None), 30);
        let date = httpdate::fmt_http_date((now + chrono::Duration::seconds(90)).into());
        assert_eq!(seconds(Some(&date)), 90);
        let past = httpdate::fmt_http_date((now - chrono::Duration::seconds(90)).into());
        assert_eq!(seconds(Some(&past)), 1);
    }

    #[test]
    fn the_words_of_each_shape_of_error_are_found() {
        let said = |body: &str| of_body(body.as_bytes(), &Secrets::default());
        assert_eq!(
            said(r#"{"errors":[{"status":"422","title":"Bad","detail":"no"}]}"#),
            "Bad: no"
        );
        assert_eq!(said(r#"{"error":"invalid_client"}"#), "invalid_client");
        assert_eq!(said(r#"{"error":{"message":"deep"}}"#), "deep");
        assert_eq!(
            said(r#"{"title":"invalid_state","detail":"Subscription already ended"}"#),
            "invalid_state: Subscription already ended"
        );
        assert_eq!(said("<html>"), "no words that can be shown");
    }
}
