//! The query of a request, read strictly: what is not known, given twice or out of bounds is
//! told instead of passed over.

use std::fmt::Display;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use url::form_urlencoded;

use crate::config::{Config, ProviderConfig};
use crate::ledger::DuePlace;
use crate::model::hold::HoldReason;
use crate::model::ids::ProviderName;
use crate::model::standing::State;

use super::problem::Problem;

/// How many entries a page has when nothing is said.
pub const DEFAULT_LIMIT: u32 = 100;

/// The most entries of a page.
pub const GREATEST_LIMIT: u32 = 1000;

/// A query of known names.
#[derive(Debug)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Reads a query that may have these names.
    ///
    /// # Errors
    /// It has another name.
    pub fn read(query: Option<&str>, allowed: &[&str]) -> Result<Self, Problem> {
        let pairs: Vec<(String, String)> =
            form_urlencoded::parse(query.unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        match pairs.iter().find(|(name, _)| !allowed.contains(&&**name)) {
            None => Ok(Self { pairs }),
            Some((name, _)) => Err(Problem::bad_request(format!(
                "there is no parameter `{name}` here; allowed: {}",
                words(allowed)
            ))),
        }
    }

    /// Without what a form sends for a field that was left empty.
    pub fn without_empty(mut self) -> Self {
        self.pairs.retain(|(_, value)| !value.is_empty());
        self
    }

    /// The one value of a name.
    ///
    /// # Errors
    /// It is given more than once.
    pub fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Problem::bad_request(format!("`{name}` is given twice")));
        }
        Ok(first)
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    /// A number within bounds.
    ///
    /// # Errors
    /// It is none, or outside of them.
    pub fn number<N>(&self, name: &str, least: N, greatest: N) -> Result<Option<N>, Problem>
    where
        N: FromStr + PartialOrd + Display + Copy,
    {
        let Some(text) = self.one(name)? else {
            return Ok(None);
        };
        match text.parse::<N>() {
            Ok(number) if least <= number && number <= greatest => Ok(Some(number)),
            _ => Err(Problem::bad_request(format!(
                "`{name}` is {text:?}; allowed: a number from {least} to {greatest}"
            ))),
        }
    }

    /// `limit`.
    ///
    /// # Errors
    /// It is out of bounds.
    pub fn limit(&self) -> Result<u32, Problem> {
        Ok(self
            .number("limit", 1, GREATEST_LIMIT)?
            .unwrap_or(DEFAULT_LIMIT))
    }

    /// `after`.
    ///
    /// # Errors
    /// It is no number of a row or an event.
    pub fn after(&self) -> Result<Option<i64>, Problem> {
        self.number("after", 0, i64::MAX)
    }

    /// `order=due`, and the place after which it goes on: the row in `after`, and in `after_due` when
    /// that is due, in milliseconds since 1970, where it has a time.
    ///
    /// # Errors
    /// There is no such order, or one of them is no number.
    pub fn by_due(&self) -> Result<Option<Option<DuePlace>>, Problem> {
        match self.one("order")? {
            Some("due") => {}
            None | Some("accepted") => return Ok(None),
            Some(other) => {
                return Err(Problem::bad_request(format!(
                    "`order` is {other:?}; allowed: accepted, due"
                )));
            }
        }
        let (least, greatest) = (
            DateTime::<Utc>::MIN_UTC.timestamp_millis(),
            DateTime::<Utc>::MAX_UTC.timestamp_millis(),
        );
        let due_at = self.number("after_due", least, greatest)?;
        let place = self.after()?.map(|row| DuePlace {
            due_at: due_at.and_then(DateTime::from_timestamp_millis),
            row,
        });
        Ok(Some(place))
    }

    /// `state`, as a list or repeated.
    ///
    /// # Errors
    /// One of the words is no state.
    pub fn states(&self) -> Result<Vec<State>, Problem> {
        self.all("state")
            .flat_map(|list| list.split(','))
            .map(|word| {
                State::parse(word).ok_or_else(|| {
                    Problem::bad_request(format!(
                        "`state` is {word:?}; allowed: {}",
                        words(&State::ALL)
                    ))
                })
            })
            .collect()
    }

    /// `hold`, one reason.
    ///
    /// # Errors
    /// There is no such reason.
    pub fn hold(&self) -> Result<Option<HoldReason>, Problem> {
        let word = self.one("hold")?;
        word.map(|word| {
            HoldReason::parse(word).ok_or_else(|| {
                let allowed = words(&HoldReason::ALL);
                Problem::bad_request(format!("`hold` is {word:?}; allowed: {allowed}"))
            })
        })
        .transpose()
    }

    /// `provider`, one of the file's.
    ///
    /// # Errors
    /// The file names no such provider.
    pub fn provider(&self, config: &Config) -> Result<Option<ProviderName>, Problem> {
        self.one("provider")?
            .map(|name| Ok(known_provider(config, name)?.name.clone()))
            .transpose()
    }
}

/// A provider of the file.
///
/// # Errors
/// The file names no such provider.
pub fn known_provider<'a>(config: &'a Config, name: &str) -> Result<&'a ProviderConfig, Problem> {
    ProviderName::parse(name)
        .ok()
        .and_then(|name| config.providers.get(&name))
        .ok_or_else(|| {
            let known: Vec<&ProviderName> = config.providers.keys().collect();
            Problem::bad_request(format!(
                "the file has no provider {name:?}; it has: {}",
                words(&known)
            ))
        })
}

/// Words as a list for a person.
fn words<W: Display>(words: &[W]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    if quoted.is_empty() {
        "none".to_owned()
    } else {
        quoted.join(", ")
    }
}
