//! What the templates are given.
//!
//! The page reads a bounded number of rows, whatever the ledger holds: counts come from the
//! tally, and lists are the first few of what matters.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use serde::Serialize;

use crate::ledger::{EventQuery, LedgerError, Page, Recorded};
use crate::model::hold::HoldReason;
use crate::model::request::Request;
use crate::model::standing::{Event, State};
use crate::reconcile::report::{ItemReport, Standpoint, StatusReport};
use crate::reconcile::story;

use super::super::App;
use super::super::problem::Problem;
use super::summary::{self, Point, Summary};

/// How many rows of a list are shown.
const SHOWN: usize = 8;

/// How many items of one hold are shown.
const SHOWN_OF_A_HOLD: usize = 5;

/// How many rows are read for what comes next and the days ahead.
const READ_AHEAD: u32 = 250;

/// How many of the newest events are looked through for what is done.
const NEWEST: u32 = 200;

/// How many events of one request are shown.
const EVENTS_OF_ONE: u32 = 500;

/// What every page has.
#[derive(Debug, Serialize)]
pub struct Frame {
    now: DateTime<Utc>,
    version: &'static str,
    started_at: DateTime<Utc>,
}

impl Frame {
    fn of(app: &App) -> Self {
        Self {
            now: app.clock.now(),
            version: env!("CARGO_PKG_VERSION"),
            started_at: app.started_at,
        }
    }
}

/// The front page.
#[derive(Debug, Serialize)]
pub struct Index {
    frame: Frame,
    summary: Summary,
    /// When the files were last read.
    seen_at: Option<DateTime<Utc>>,
    /// None while nothing can be told of the cancellations.
    board: Option<Board>,
}

impl Index {
    /// Whether anything is told of the cancellations.
    pub const fn knows(&self) -> bool {
        self.board.is_some()
    }
}

/// Everything below the headline.
#[derive(Debug, Serialize)]
struct Board {
    status: StatusReport,
    /// The states that have a column.
    columns: Vec<State>,
    flying: Vec<ItemReport>,
    troubled: Vec<ItemReport>,
    next: Vec<ItemReport>,
    days: Vec<Day>,
    held: Vec<Held>,
    done: Vec<Story>,
    events: Vec<Story>,
}

/// How many are due on one day.
#[derive(Debug, Serialize)]
struct Day {
    label: String,
    count: u64,
    /// Of the fullest day, in percent.
    share: u64,
}

/// Everything that one reason holds.
#[derive(Debug, Serialize)]
struct Held {
    reason: HoldReason,
    count: u64,
    cure: &'static str,
    items: Vec<ItemReport>,
    more: u64,
}

/// An event in words.
#[derive(Debug, Serialize)]
struct Story {
    number: i64,
    at: DateTime<Utc>,
    provider: String,
    id: String,
    again: u32,
    kind: String,
    /// Of a settlement: the state that it led to, and its note.
    settled: Option<(State, String)>,
    text: String,
}

impl Story {
    fn of(recorded: &Recorded) -> Self {
        let settled = match &recorded.event {
            Some(Event::Settled { as_, note, .. }) => Some((as_.state(), note.clone())),
            _ => None,
        };
        Self {
            number: recorded.number,
            at: recorded.at,
            provider: recorded.key.provider.to_string(),
            id: recorded.key.id.to_string(),
            again: recorded.key.again,
            kind: recorded.kind.replace('_', " "),
            settled,
            text: story::sentence(recorded),
        }
    }
}

/// The front page, whatever can be told.
pub async fn index(app: &App) -> Index {
    let frame = Frame::of(app);
    let source = app.live.source.load();
    let in_force = app.live.in_force.load_full();
    let oldest = in_force
        .as_ref()
        .and_then(|it| chrono::Duration::from_std(it.config.reconcile.source_max_age).ok())
        .and_then(|age| frame.now.checked_sub_signed(age));
    let mut points = summary::of_source(&source, oldest);
    if let Some(why) = app.live.ledger_failure() {
        points.push(ledger_failed(&why));
    }
    let board = match in_force {
        None => Err(no_revision()),
        Some(_) => board(app).await,
    };
    let (summary, board) = match board {
        Ok(board) => {
            points.extend(summary::of_status(&board.status));
            let line = summary::line(&board.status.totals);
            (Summary::of(points, line), Some(board))
        }
        Err(point) => {
            points.insert(0, point);
            let line = "nothing can be told of the cancellations now".to_owned();
            (Summary::of(points, line), None)
        }
    };
    Index {
        frame,
        summary,
        seen_at: source.seen_at,
        board,
    }
}

fn no_revision() -> Point {
    Point::alarm(
        "no valid revision of the file is in force yet",
        Vec::new(),
        "write a valid file; `lapsed check` names every problem in it",
    )
}

fn ledger_failed(why: &str) -> Point {
    Point::alarm(
        "the ledger does not work, nothing is sent",
        vec![why.to_owned()],
        "make room and mend the disk; `lapsed doctor` and the log have more",
    )
}

async fn board(app: &App) -> Result<Board, Point> {
    let standpoint = app
        .standpoint()
        .await
        .map_err(|problem| ledger_failed(problem.detail()))?;
    read_board(app, &standpoint)
        .await
        .map_err(|error| ledger_failed(app.ledger_problem(&error).detail()))
}

async fn read_board(app: &App, standpoint: &Standpoint) -> Result<Board, LedgerError> {
    let status = standpoint.status(&*app.ledger).await?;
    let items = |requests: Vec<Request>| -> Vec<ItemReport> {
        requests.iter().map(|it| standpoint.item(it)).collect()
    };
    let ahead = items(page(app, &[State::Scheduled, State::Retrying], true, READ_AHEAD).await?);
    let flying = [State::Sending, State::Unknown, State::Retrying];
    let flying = items(page(app, &flying, false, SHOWN as u32).await?);
    let troubled = [State::Failed, State::Missed];
    let troubled = items(page(app, &troubled, false, SHOWN as u32).await?);
    let stored = items(page(app, &[State::Held], false, NEWEST).await?);
    let events = app
        .ledger
        .events(EventQuery {
            limit: NEWEST,
            ..EventQuery::default()
        })
        .await?;
    let stories = || events.iter().map(Story::of);
    Ok(Board {
        columns: columns(&status),
        held: held(&status, stored, &ahead),
        days: days(&ahead, standpoint.now),
        next: ahead
            .into_iter()
            .filter(|item| item.state != State::Retrying)
            .take(SHOWN)
            .collect(),
        done: stories()
            .filter(|it| it.settled.is_some())
            .take(SHOWN)
            .collect(),
        events: stories().take(SHOWN * 2).collect(),
        flying,
        troubled,
        status,
    })
}

async fn page(
    app: &App,
    states: &[State],
    by_due: bool,
    limit: u32,
) -> Result<Vec<Request>, LedgerError> {
    app.ledger
        .page(Page {
            states: states.to_vec(),
            by_due,
            limit,
            ..Page::default()
        })
        .await
}

/// Always the common states, and every other that something is in.
fn columns(status: &StatusReport) -> Vec<State> {
    let common = [State::Scheduled, State::Held, State::Canceled];
    State::ALL
        .into_iter()
        .filter(|state| {
            common.contains(state) || status.totals.get(state).is_some_and(|count| *count > 0)
        })
        .collect()
}

/// What is held, by the reason that names the hold: counts from the tally, with the first few.
fn held(status: &StatusReport, stored: Vec<ItemReport>, ahead: &[ItemReport]) -> Vec<Held> {
    let mut counts: BTreeMap<HoldReason, u64> = BTreeMap::new();
    for (reason, count) in status.providers.iter().flat_map(|it| &it.holds) {
        *counts.entry(*reason).or_default() += count;
    }
    let mut items: BTreeMap<HoldReason, Vec<ItemReport>> = BTreeMap::new();
    for item in stored.into_iter().chain(ahead.iter().cloned()) {
        // A closed gate names the hold of an item, where the tally counts it under its own.
        let counted = item.hold.as_ref().and_then(|hold| {
            let mut reasons = std::iter::once(&hold.reason).chain(&hold.also);
            reasons.find(|reason| counts.contains_key(reason)).copied()
        });
        if let Some(reason) = counted {
            let of_reason = items.entry(reason).or_default();
            if of_reason.len() < SHOWN_OF_A_HOLD {
                of_reason.push(item);
            }
        }
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| {
            let items = items.remove(&reason).unwrap_or_default();
            Held {
                reason,
                count,
                cure: reason.cure(),
                more: count.saturating_sub(items.len() as u64),
                items,
            }
        })
        .collect()
}

/// How many are due on each of the days ahead; what is overdue counts as today. The last day
/// that was read is left out where more may follow, since it may not be whole.
fn days(ahead: &[ItemReport], now: DateTime<Utc>) -> Vec<Day> {
    let mut counts: BTreeMap<NaiveDate, u64> = BTreeMap::new();
    for due_at in ahead.iter().filter_map(|item| item.due_at) {
        *counts.entry(due_at.max(now).date_naive()).or_default() += 1;
    }
    if ahead.len() == READ_AHEAD as usize && counts.len() > 1 {
        counts.pop_last();
    }
    let fullest = counts.values().copied().max().unwrap_or(1);
    counts
        .into_iter()
        .take(14)
        .map(|(day, count)| Day {
            label: if day == now.date_naive() {
                "today".to_owned()
            } else if day.year() == now.year() {
                day.format("%a %d %b").to_string()
            } else {
                day.format("%d %b %Y").to_string()
            },
            count,
            share: (count * 100 / fullest).max(2),
        })
        .collect()
}

/// The page of one subscription.
#[derive(Debug, Serialize)]
pub struct Item {
    frame: Frame,
    provider: String,
    id: String,
    requests: Vec<One>,
}

/// One request for it.
#[derive(Debug, Serialize)]
struct One {
    item: ItemReport,
    also: Vec<Also>,
    events: Vec<Story>,
}

/// Another reason that holds it.
#[derive(Debug, Serialize)]
struct Also {
    reason: HoldReason,
    cure: &'static str,
}

fn also(item: &ItemReport) -> Vec<Also> {
    let others = item.hold.iter().flat_map(|hold| &hold.also);
    others
        .map(|reason| Also {
            reason: *reason,
            cure: reason.cure(),
        })
        .collect()
}

/// The page of one subscription: each request for it, newest first, with its events.
pub async fn item(
    app: &App,
    standpoint: &Standpoint,
    requests: &[Request],
) -> Result<Item, Problem> {
    let mut ones = Vec::new();
    for request in requests {
        let query = EventQuery {
            row: Some(request.row),
            after: Some(0),
            limit: EVENTS_OF_ONE,
        };
        let events = app
            .ledger
            .events(query)
            .await
            .map_err(|error| app.ledger_problem(&error))?;
        let item = standpoint.item(request);
        ones.push(One {
            also: also(&item),
            item,
            events: events.iter().map(Story::of).collect(),
        });
    }
    let key = requests.first().map(|request| &request.key);
    Ok(Item {
        frame: Frame::of(app),
        provider: key.map(|key| key.provider.to_string()).unwrap_or_default(),
        id: key.map(|key| key.id.to_string()).unwrap_or_default(),
        requests: ones,
    })
}

/// A page that leads nowhere.
#[derive(Debug, Serialize)]
pub struct Lost {
    frame: Frame,
    detail: String,
}

/// A problem, on a page.
pub fn lost(app: &App, problem: &Problem) -> Lost {
    Lost {
        frame: Frame::of(app),
        detail: problem.detail().to_owned(),
    }
}
