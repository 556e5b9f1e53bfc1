//! The next tick after a given instant. (Interface; the real one follows.)
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// A cron schedule in a zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
}

/// Why a text is no schedule: what was found and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ScheduleError {
    /// One line, without the text itself.
    pub why: String,
}

impl Schedule {
    /// Five fields, six with seconds first, or `@hourly` and its like.
    pub fn parse(text: &str, _zone: Tz) -> Result<Self, ScheduleError> {
        Ok(Self {
            text: text.to_owned(),
        })
    }
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
    /// The next tick strictly after an instant.
    pub fn next_after(&self, _at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        None
    }
}
