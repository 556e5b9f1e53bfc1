//! What several files of these tests do alike: let time pass, and ask what has become of an item.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lapsed::ledger::{Command, EventQuery, Ledger as _};
use lapsed::model::act::Answer;
use lapsed::model::standing::State;

use super::world::{Call, World, name};

pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// A schedule with a tick in each hour.
pub const HOURLY: &str = "0 * * * *";

/// Subscriptions as Lotus names them.
pub const LOTUS: &str = "sub_65aa0000000040008000000000000001";
pub const NEXT: &str = "sub_65aa0000000040008000000000000002";

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn held(reason: &str) -> (State, Option<String>) {
    (State::Held, Some(reason.to_owned()))
}

pub fn refused() -> Answer {
    Answer::Refused {
        status: 400,
        words: "no such luck".to_owned(),
    }
}

pub fn retry() -> Command {
    Command::Retry {
        provider: name(),
        id: None,
        state: State::Failed,
    }
}

/// A subscription of Revere whose period ends on 12 December at noon, and then each month.
pub async fn monthly(schedule: &str, terms: &str) -> World {
    let mut world = World::new().provider_says(&format!("schedule: \"{schedule}\""));
    world.renews("a", "2026-12-12T12:00:00Z", 30);
    world.add("a", terms);
    world.accept().await;
    world
}

/// A pass every hour, as the schedule asks for, until then.
pub async fn hourly(world: &World, until: &str) {
    while world.now() < at(until) {
        world.later(HOUR).wake().await;
        world.tick().await;
    }
}

/// What is read and kept up, though nothing may be sent: a tick is never made.
pub async fn unticked(world: &World, until: &str) {
    while world.now() < at(until) {
        world.later(HOUR).wake().await;
    }
}

pub async fn kinds(world: &World, id: &str) -> Vec<String> {
    let row = Some(world.request(id).await.row);
    let query = EventQuery {
        row,
        after: Some(0),
        limit: 1_000,
        ..EventQuery::default()
    };
    let events = world.ledger.events(query).await.unwrap();
    events.into_iter().map(|event| event.kind).collect()
}

pub async fn missed(world: &World) -> u64 {
    let tally = world.ledger.tally(world.now()).await.unwrap();
    tally.windows_missed.get(&name()).copied().unwrap_or(0)
}

pub fn looks(world: &World) -> usize {
    let calls = world.calls();
    calls
        .iter()
        .filter(|it| matches!(it, Call::Look(_)))
        .count()
}
