//! Stub until the real one lands.
use chrono::{DateTime, Utc};
/// A schedule.
#[derive(Clone, Debug)]
pub struct Schedule;
impl Schedule {
    /// Parses.
    pub fn parse(_: &str, _: chrono_tz::Tz) -> Result<Self, String> {
        Ok(Self)
    }
    /// The next tick strictly after.
    pub fn next_after(&self, _: DateTime<Utc>) -> Option<DateTime<Utc>> {
        None
    }
}
