//! Names: of providers, of subscriptions, of requests.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::provider::ProviderKind;

/// The longest name of a provider: it becomes a metric label and a path segment.
const LONGEST_PROVIDER_NAME: usize = 63;

/// The longest opaque id (Kajabi, Revere) that is taken.
const LONGEST_ID: usize = 128;

/// A provider as the file names it, such as `donations`.
///
/// Invariant: 1 to 63 of `A-Z a-z 0-9 _ -`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderName(Arc<str>);

impl ProviderName {
    /// Checks a name as written. The error says what is allowed.
    pub fn parse(text: &str) -> Result<Self, IdProblem> {
        let first_ok = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let all_ok = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if first_ok && all_ok && text.len() <= LONGEST_PROVIDER_NAME {
            Ok(Self(text.into()))
        } else {
            Err(IdProblem {
                allowed: "1 to 63 letters, digits, `_` or `-`, beginning with a letter or digit",
            })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ProviderName {
    type Error = IdProblem;
    fn try_from(text: String) -> Result<Self, IdProblem> {
        Self::parse(&text)
    }
}

impl From<ProviderName> for String {
    fn from(name: ProviderName) -> Self {
        name.as_str().to_owned()
    }
}

/// A subscription as its provider names it, in the one spelling that all of its spellings
/// lead to.
///
/// Invariant: not empty, ASCII, safe as one segment of a URL's path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubscriptionId(Arc<str>);

impl SubscriptionId {
    /// Checks an id as written and brings it to its one spelling.
    ///
    /// Lotus: 32 hex digits, `sub_` and dashes optional (`UUIDPrefixField`, serializer_utils.py
    /// line 205), kept as `sub_` and 32 lower-case digits. Kajabi and Revere: opaque, 1 to 128
    /// of `A-Za-z0-9._~-`, but neither `.` nor `..`, which a URL would swallow.
    pub fn parse(kind: ProviderKind, text: &str) -> Result<Self, IdProblem> {
        match kind {
            ProviderKind::Lotus => Self::lotus(text),
            ProviderKind::Kajabi | ProviderKind::Revere => Self::opaque(text),
        }
    }

    fn lotus(text: &str) -> Result<Self, IdProblem> {
        let bare = text.strip_prefix("sub_").unwrap_or(text);
        let digits: String = bare
            .chars()
            .filter(|c| *c != '-')
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let all_hex = digits.chars().all(|c| c.is_ascii_hexdigit());
        if digits.len() == 32 && all_hex {
            Ok(Self(format!("sub_{digits}").into()))
        } else {
            Err(IdProblem {
                allowed: "a Lotus subscription id: 32 hex digits, `sub_` before them and dashes between them optional",
            })
        }
    }

    fn opaque(text: &str) -> Result<Self, IdProblem> {
        let all_ok = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-'));
        let dots = text == "." || text == "..";
        if !text.is_empty() && text.len() <= LONGEST_ID && all_ok && !dots {
            Ok(Self(text.into()))
        } else {
            Err(IdProblem {
                allowed: "1 to 128 of `A-Z a-z 0-9 . _ ~ -`",
            })
        }
    }

    /// The id as text, in its one spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes back an id that a ledger wrote, which was checked when it entered.
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no name or id: what would be allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("allowed: {allowed}")]
pub struct IdProblem {
    /// What is allowed, as a fragment for a message.
    pub allowed: &'static str,
}

/// A request: what is carried out at most once, ever.
///
/// The account behind a provider's name is remembered by the ledger, so the name stands for
/// it here (design, section 3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The provider, by the name that the file gives it.
    pub provider: ProviderName,
    /// The subscription there.
    pub id: SubscriptionId,
    /// 1 for the first request, 2 for a second one for the same subscription, and so on.
    pub again: u32,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.id)?;
        if self.again > 1 {
            write!(f, " (again: {})", self.again)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_lotus_id_is_one_id() {
        let one = "sub_65aa0000000040008000000000000001";
        for text in [
            one,
            "65aa0000000040008000000000000001",
            "65AA0000-0000-4000-8000-000000000001",
            "sub_65aa0000-0000-4000-8000-000000000001",
        ] {
            let id = SubscriptionId::parse(ProviderKind::Lotus, text).unwrap();
            assert_eq!(id.as_str(), one);
        }
        assert!(SubscriptionId::parse(ProviderKind::Lotus, "sub_65aa").is_err());
    }

    #[test]
    fn an_opaque_id_that_a_url_would_change_is_refused() {
        for text in ["", ".", "..", "a/b", "a b", "a%2e", "é", "a\u{200b}b"] {
            assert!(
                SubscriptionId::parse(ProviderKind::Revere, text).is_err(),
                "{text:?}"
            );
        }
        assert!(SubscriptionId::parse(ProviderKind::Kajabi, "0123").is_ok());
    }
}
