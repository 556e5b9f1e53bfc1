//! What the templates are given.
//!
//! Every page reads a bounded number of rows, whatever the ledger holds: counts come from the
//! tally, lists are the first few of what matters, and longer ones are gone through by key.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::config::Mode;
use crate::ledger::{DaySpan, Days, EventQuery, LedgerError, Page, Recorded, RevisionHead};
use crate::model::hold::HoldReason;
use crate::model::request::Request;
use crate::model::standing::{Event, State};
use crate::reconcile::excerpt::{Excerpt, quotable};
use crate::reconcile::live::SourceState;
use crate::reconcile::report::{
    Ahead, ItemReport, ListQuery, ListReport, ProviderReport, Standpoint, StatusReport,
};
use crate::reconcile::story;

use super::super::App;
use super::super::problem::Problem;
use super::backlog::{Backlog, Turn};
use super::form;
use super::summary::{self, Point, Summary};
use super::timeline::{self, Still, Timeline};

/// How many rows of a list are shown.
const SHOWN: usize = 8;

/// How many items of one hold are shown.
const SHOWN_OF_A_HOLD: usize = 5;

/// How many rows are read for what comes next and the days ahead.
const READ_AHEAD: u32 = 250;

/// How many of the newest events are looked through for what is done.
const NEWEST: u32 = 200;

/// How long a settlement whose billing is not confirmed is pointed at: longer than a weekend and the
/// days that a payment takes.
const UNCONFIRMED_FOR: TimeDelta = TimeDelta::days(7);

/// How many events of one request are shown.
const EVENTS_OF_ONE: u32 = 500;

/// How many of a list stand on one page.
const OF_A_LIST: u32 = 50;

/// Rows that are gone through for one page of the list, at most: where few of a million answer, the
/// page has fewer than it could, and says where the next one begins.
const MOST_LOOKED_AT: usize = 5_000;

/// How many events stand on one page.
const OF_EVENTS: u32 = 100;

/// Items of a revision whose text is shown; that of more would take a hundred megabytes.
const MOST_ITEMS_SHOWN: u64 = 20_000;

/// Lines of a file on one page.
const LINES: usize = 500;

/// What every page has.
#[derive(Debug, Serialize)]
pub struct Frame {
    /// Which of the pages it is.
    place: &'static str,
    now: DateTime<Utc>,
    version: &'static str,
    started_at: DateTime<Utc>,
    /// How things stand as a whole, where the page does not tell that itself.
    verdict: Option<Summary>,
}

impl Frame {
    /// With what the front page says first.
    fn under(app: &App, place: &'static str, summary: Summary) -> Self {
        Self {
            verdict: Some(summary),
            ..Self::of(app, place)
        }
    }

    fn of(app: &App, place: &'static str) -> Self {
        Self {
            verdict: None,
            place,
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
    next: Vec<Next>,
    /// None where nothing lies behind or ahead.
    timeline: Option<Timeline>,
    held: Vec<Held>,
    done: Vec<Story>,
    events: Vec<Story>,
}

/// What comes next, and how much room it has.
#[derive(Debug, Serialize)]
struct Next {
    item: ItemReport,
    /// When.
    at: Option<DateTime<Utc>>,
    /// What happens then, in words.
    what: &'static str,
    /// Since when it is due already.
    due_since: Option<DateTime<Utc>>,
    /// Between the moment at which it will be carried out and its deadline, in words.
    room: Option<String>,
    /// What is in the way of its deadline.
    obstacle: Option<String>,
    /// Where the limits let it go on another day than that on which it is due.
    turn: Option<Turn>,
}

impl Next {
    /// Of a request that waits for its time, or that the provider ends by itself.
    fn of(
        standpoint: &Standpoint,
        item: ItemReport,
        ahead: &[Ahead],
        backlog: Option<&Backlog>,
    ) -> Self {
        let of_item = |it: &&Ahead| it.provider == item.provider && it.id.as_str() == item.id;
        let foretold = ahead.iter().find(of_item);
        let ending = item.state == State::Ending;
        let provider = standpoint.config.providers.get(&item.provider);
        let observed = provider.is_some_and(|it| it.mode == Mode::Observe);
        let what = match (ending, observed) {
            (true, _) => "ends at the provider, which is read back",
            (false, true) => "is looked at; nothing is sent in observe mode",
            (false, false) if item.due_at.is_none() => "is looked at",
            (false, false) if item.ends_natively() => {
                "will not be renewed: that is turned off at the provider"
            }
            (false, false) => "is cancelled",
        };
        let at = match ending {
            true => item.period_end.as_ref().map(|it| it.at).or(item.next_at),
            // The limits of writes may let others go first.
            false => foretold
                .and_then(|it| it.at)
                .or(item.next_at)
                .max(item.due_at),
        };
        Self {
            at,
            what,
            // What has a deadline was played through, or goes before what has none.
            turn: backlog
                .filter(|_| !ending && item.deadline_at.is_none())
                .and_then(|it| it.turn(item.due_at?.date_naive())),
            due_since: item.due_at.filter(|due| !ending && *due < standpoint.now),
            room: foretold.and_then(|it| it.slack).map(form::room),
            obstacle: foretold.and_then(|it| it.obstacle.clone()),
            item,
        }
    }
}

/// Everything that one reason holds.
#[derive(Debug, Serialize)]
struct Held {
    reason: HoldReason,
    count: u64,
    cure: &'static str,
    items: Vec<ItemReport>,
    more: u64,
    /// Why, where it is the same for each of those that are shown.
    shared: Option<String>,
    /// What a person types to free it, where that has a digest.
    approvals: Vec<Approval>,
}

/// What waits together for a person.
#[derive(Clone, Debug, Serialize)]
struct Approval {
    items: u64,
    file: String,
    digest: String,
    /// When those that it frees are due.
    first_due: Option<DateTime<Utc>>,
    last_due: Option<DateTime<Utc>>,
}

/// Requests that wait for a person, of which the digests are told: each is read for it.
const MOST_WAITING: u64 = 2_000;

/// What to type for what waits, by the reason that holds it.
async fn approvals(
    app: &App,
    status: &StatusReport,
) -> Result<BTreeMap<HoldReason, Vec<Approval>>, LedgerError> {
    let mut approvals: BTreeMap<HoldReason, Vec<Approval>> = BTreeMap::new();
    let waits = [HoldReason::Approval, HoldReason::Removal];
    let holds = status.providers.iter().flat_map(|it| &it.holds);
    let waiting: u64 = holds
        .filter(|(reason, _)| waits.contains(*reason))
        .map(|(_, count)| count)
        .sum();
    if waiting == 0 || waiting > MOST_WAITING {
        return Ok(approvals);
    }
    for it in app.ledger.waiting().await? {
        approvals.entry(it.what.hold()).or_default().push(Approval {
            items: it.items,
            file: it.file,
            digest: it.digest,
            first_due: it.due.map(|due| due.first),
            last_due: it.due.map(|due| due.last),
        });
    }
    Ok(approvals)
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
    /// Settled, while nobody knows whether the payments have stopped.
    unconfirmed: bool,
    text: String,
}

impl Story {
    fn of(recorded: &Recorded, commits: &BTreeMap<String, String>) -> Self {
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
            unconfirmed: leaves_billing_open(recorded),
            settled,
            text: story::sentence_with_commit(recorded, commits),
        }
    }
}

/// What the first line of the page rests on.
struct Grounds {
    standpoint: Standpoint,
    status: StatusReport,
    foretold: Vec<Ahead>,
    days: Days,
    /// None where nobody can tell when what is due has its turn.
    backlog: Option<Backlog>,
    /// The newest.
    events: Vec<Recorded>,
}

/// How many days ahead what is due is counted, so that each has its turn.
const COUNTED_AHEAD: chrono::Days = chrono::Days::new(3_660);

impl Grounds {
    /// As they are now, or what keeps them from being told.
    async fn read(app: &App) -> Result<Self, Point> {
        if app.live.in_force.load().is_none() {
            return Err(no_revision());
        }
        let standpoint = app.standpoint().await;
        let standpoint = standpoint.map_err(|problem| ledger_failed(problem.detail()))?;
        let read = Self::seen_from(app, standpoint).await;
        read.map_err(|error| ledger_failed(app.ledger_problem(&error).detail()))
    }

    async fn seen_from(app: &App, standpoint: Standpoint) -> Result<Self, LedgerError> {
        let newest = EventQuery {
            limit: NEWEST,
            ..EventQuery::default()
        };
        let drawn = timeline::span(standpoint.now);
        let far = standpoint.now.date_naive().checked_add_days(COUNTED_AHEAD);
        let span = DaySpan {
            until: far.unwrap_or(drawn.until),
            ..drawn
        };
        let (status, days) = (
            standpoint.status(&*app.ledger).await?,
            app.ledger.days(span).await?,
        );
        // A plan that was approved with a limit of its own goes past the common ones.
        let approvals = &standpoint.config.approvals;
        let common = approvals.iter().all(|it| it.per_day.is_none());
        Ok(Self {
            backlog: Backlog::of(&days.due, &status).filter(|_| common),
            foretold: standpoint.ahead(&*app.ledger).await?,
            events: app.ledger.events(newest).await?,
            status,
            days,
            standpoint,
        })
    }

    fn points(&self) -> Vec<Point> {
        let now = self.standpoint.now;
        let mut points = summary::of_status(&self.status);
        points.extend(summary::of_late(&self.foretold));
        let until = timeline::span(now).until;
        let backlog = self.backlog.as_ref();
        points.extend(backlog.and_then(|it| summary::of_backlog(it, until)));
        points.extend(summary::of_unconfirmed(unconfirmed(&self.events, now)));
        points
    }
}

/// How things stand as a whole, whatever can be told.
fn summarise(app: &App, grounds: Result<&Grounds, &Point>) -> Summary {
    let source = app.live.source.load();
    let in_force = app.live.in_force.load_full();
    let oldest = in_force
        .and_then(|it| chrono::Duration::from_std(it.config.reconcile.source_max_age).ok())
        .and_then(|age| app.clock.now().checked_sub_signed(age));
    let mut points = summary::of_source(&source, oldest);
    if let Some(why) = app.live.ledger_failure() {
        points.push(ledger_failed(&why));
    }
    let line = match grounds {
        Ok(grounds) => {
            points.extend(grounds.points());
            summary::line(&grounds.status.totals)
        }
        Err(point) => {
            points.insert(0, point.clone());
            "nothing can be told of the cancellations now".to_owned()
        }
    };
    Summary::of(points, line)
}

/// The same for a page that tells of something else.
async fn verdict(app: &App) -> Summary {
    summarise(app, Grounds::read(app).await.as_ref())
}

/// The front page, whatever can be told.
pub async fn index(app: &App) -> Index {
    let (summary, board) = match board(app).await {
        Ok((grounds, board)) => (summarise(app, Ok(&grounds)), Some(board)),
        Err(point) => (summarise(app, Err(&point)), None),
    };
    Index {
        frame: Frame::of(app, "overview"),
        summary,
        seen_at: app.live.source.load().seen_at,
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

async fn board(app: &App) -> Result<(Grounds, Board), Point> {
    let grounds = Grounds::read(app).await?;
    let board = read_board(app, &grounds).await;
    let board = board.map_err(|error| ledger_failed(app.ledger_problem(&error).detail()))?;
    Ok((grounds, board))
}

async fn read_board(app: &App, grounds: &Grounds) -> Result<Board, LedgerError> {
    let Grounds {
        standpoint,
        status,
        foretold,
        days,
        backlog,
        events,
    } = grounds;
    let approvals = approvals(app, status).await?;
    let items = |requests: Vec<Request>| -> Vec<ItemReport> {
        requests.iter().map(|it| standpoint.item(it)).collect()
    };
    let ending = items(page(app, &[State::Ending], true, READ_AHEAD).await?);
    let ends = ending.iter().filter_map(|it| it.period_end.as_ref());
    let ends: Vec<DateTime<Utc>> = ends.map(|it| it.at).collect();
    let gated = status.providers.iter().flat_map(|it| &it.holds);
    let gated = gated.filter(|(reason, _)| reason.is_gate());
    let still = Still {
        ends: &ends,
        held: status.totals.get(&State::Held).copied().unwrap_or(0),
        held_by_gates: gated.map(|(_, count)| count).sum(),
        per_day: backlog.as_ref().map(Backlog::per_day),
    };
    let freezes = &standpoint.config.freezes;
    let timeline = Timeline::of(standpoint.now, days, still, freezes, foretold);
    let ahead = items(page(app, &[State::Scheduled, State::Retrying], true, READ_AHEAD).await?);
    let flying = [State::Sending, State::Unknown, State::Retrying];
    let flying = items(page(app, &flying, false, SHOWN as u32).await?);
    let troubled = [State::Failed, State::Missed];
    let troubled = items(page(app, &troubled, false, SHOWN as u32).await?);
    let stored = items(page(app, &[State::Held], false, NEWEST).await?);
    let none = BTreeMap::new();
    let stories = || events.iter().map(|it| Story::of(it, &none));
    Ok(Board {
        columns: columns(status),
        held: held(status, stored, &ahead, approvals),
        timeline: Some(timeline).filter(|it| !it.is_empty()),
        next: next(grounds, ahead.into_iter().chain(ending)),
        done: stories()
            .filter(|it| it.settled.is_some())
            .take(SHOWN)
            .collect(),
        events: stories().take(SHOWN).collect(),
        flying,
        troubled,
        status: status.clone(),
    })
}

/// The first of what comes next. What is held, or in flight, stands elsewhere.
fn next(grounds: &Grounds, items: impl Iterator<Item = ItemReport>) -> Vec<Next> {
    let mut next: Vec<Next> = items
        .filter(|item| matches!(item.state, State::Scheduled | State::Ending))
        .map(|item| {
            let next = Next::of(
                &grounds.standpoint,
                item,
                &grounds.foretold,
                grounds.backlog.as_ref(),
            );
            // The first of a day are these.
            Next {
                turn: next
                    .turn
                    .filter(|it| next.at.is_none_or(|at| at.date_naive() < it.first)),
                ..next
            }
        })
        .collect();
    next.sort_by_key(|it| (it.at.is_none(), it.at));
    next.truncate(SHOWN);
    next
}

fn leaves_billing_open(recorded: &Recorded) -> bool {
    let event = recorded.event.as_ref();
    event.is_some_and(Event::leaves_billing_open)
}

/// What was settled these days of which nobody knows whether the payments have stopped.
fn unconfirmed(events: &[Recorded], now: DateTime<Utc>) -> Vec<String> {
    let lately = events.iter().filter(|it| now - it.at < UNCONFIRMED_FOR);
    lately
        .filter(|it| leaves_billing_open(it))
        .map(|it| format!("{}/{}", it.key.provider, it.key.id))
        .collect()
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
fn held(
    status: &StatusReport,
    stored: Vec<ItemReport>,
    ahead: &[ItemReport],
    mut approvals: BTreeMap<HoldReason, Vec<Approval>>,
) -> Vec<Held> {
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
                shared: shared(reason, &items),
                cure: reason.cure(),
                approvals: approvals.remove(&reason).unwrap_or_default(),
                more: count.saturating_sub(items.len() as u64),
                items,
            }
        })
        .collect()
}

/// Why all of these are held for a reason, where each says the same.
fn shared(reason: HoldReason, items: &[ItemReport]) -> Option<String> {
    let mut details = items.iter().map(|item| {
        let hold = item.hold.as_ref().filter(|hold| hold.reason == reason);
        hold.map(|hold| hold.detail.clone())
    });
    let first = details.next()??;
    (items.len() > 1 && details.all(|it| it.as_ref() == Some(&first))).then_some(first)
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
    /// When something happens next, and what; none: nothing does, or something holds it.
    next: Option<Next>,
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
    let commits = commits(app).await?;
    let grounds = Grounds::read(app).await;
    let foretold = grounds.as_ref().map_or(&[][..], |it| &it.foretold);
    let backlog = grounds.as_ref().ok().and_then(|it| it.backlog.as_ref());
    for request in requests {
        let query = EventQuery {
            row: Some(request.row),
            after: Some(0),
            limit: EVENTS_OF_ONE,
            ..EventQuery::default()
        };
        let events = app
            .ledger
            .events(query)
            .await
            .map_err(|error| app.ledger_problem(&error))?;
        let item = standpoint.item(request);
        ones.push(One {
            also: also(&item),
            next: matches!(item.state, State::Scheduled | State::Ending)
                .then(|| Next::of(standpoint, item.clone(), foretold, backlog)),
            item,
            events: events.iter().map(|it| Story::of(it, &commits)).collect(),
        });
    }
    let key = requests.first().map(|request| &request.key);
    Ok(Item {
        frame: Frame::under(app, "cancellations", summarise(app, grounds.as_ref())),
        provider: key.map(|key| key.provider.to_string()).unwrap_or_default(),
        id: key.map(|key| key.id.to_string()).unwrap_or_default(),
        requests: ones,
    })
}

async fn commits(app: &App) -> Result<BTreeMap<String, String>, Problem> {
    let found = app.ledger.commits().await;
    found.map_err(|error| app.ledger_problem(&error))
}

/// Cancellations by provider, state, reason and id.
#[derive(Debug, Serialize)]
pub struct List {
    frame: Frame,
    providers: Vec<String>,
    states: [State; State::ALL.len()],
    holds: [HoldReason; HoldReason::ALL.len()],
    /// What was asked for, as the form shows it again.
    asked: Asked,
    items: Vec<ItemReport>,
    /// Where the next ones are.
    next: Option<String>,
    /// Where the first are.
    first: String,
    /// Whether this is not the first page.
    later: bool,
    /// Whether a search found more than stands here.
    cut: bool,
    /// How many there are in all, where that is counted.
    all: Option<u64>,
}

/// What a person asks of the list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Asked {
    /// Of one provider.
    pub provider: Option<String>,
    /// In this state.
    pub state: Option<State>,
    /// Held for this reason.
    pub hold: Option<HoldReason>,
    /// The earliest due first.
    pub by_due: bool,
    /// Whose ids begin so.
    pub q: String,
}

impl Asked {
    /// The address of its first page.
    fn first(&self) -> String {
        self.address(&[])
    }

    /// The address of what follows on a page.
    fn following(&self, found: &ListReport) -> Option<String> {
        if !self.by_due {
            return Some(self.address(&[("after", found.next?.to_string())]));
        }
        let place = found.next_due?;
        let due_at = place.due_at.map(|at| at.timestamp_millis().to_string());
        let due_at = due_at.map(|at| ("after_due", at));
        let row = ("after", place.row.to_string());
        Some(self.address(&[vec![row], due_at.into_iter().collect()].concat()))
    }

    fn address(&self, place: &[(&'static str, String)]) -> String {
        let asked = [
            ("provider", self.provider.clone()),
            ("state", self.state.map(|it| it.to_string())),
            ("hold", self.hold.map(|it| it.to_string())),
            ("order", self.by_due.then(|| "due".to_owned())),
        ];
        let asked = asked.into_iter().filter_map(|(name, it)| Some((name, it?)));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(asked.chain(place.iter().cloned()));
        format!("/cancellations?{}", query.finish())
    }
}

/// A page of the list.
pub async fn list(
    app: &App,
    standpoint: &Standpoint,
    asked: Asked,
    query: ListQuery,
) -> Result<List, Problem> {
    let query = ListQuery {
        limit: OF_A_LIST,
        most_looked_at: Some(MOST_LOOKED_AT),
        ..query
    };
    let found = match asked.q.is_empty() {
        true => standpoint.list(&*app.ledger, &query).await,
        false => standpoint.search(&*app.ledger, &query, &asked.q).await,
    };
    let found = found.map_err(|error| app.ledger_problem(&error))?;
    let grounds = Grounds::read(app).await;
    let all = grounds.as_ref().ok().and_then(|it| all(&it.status, &asked));
    let cut = !asked.q.is_empty() && found.more;
    Ok(List {
        all,
        frame: Frame::under(app, "cancellations", summarise(app, grounds.as_ref())),
        providers: standpoint
            .config
            .providers
            .keys()
            .map(ToString::to_string)
            .collect(),
        states: State::ALL,
        holds: HoldReason::ALL,
        next: asked.following(&found),
        items: found.items,
        first: asked.first(),
        later: query.after > 0,
        cut,
        asked,
    })
}

/// How many answer to what was asked: known of whole states, not of what is typed, and of reasons
/// only one by one, where several hold the same.
fn all(status: &StatusReport, asked: &Asked) -> Option<u64> {
    if !asked.q.is_empty() || asked.hold.is_some() {
        return None;
    }
    let of = |it: &&ProviderReport| {
        let asked = asked.provider.as_ref();
        asked.is_none_or(|asked| asked == it.provider.as_str())
    };
    let counts = status.providers.iter().filter(of).flat_map(|it| &it.states);
    let wanted = counts.filter(|(state, _)| asked.state.is_none_or(|it| it == **state));
    Some(wanted.map(|(_, count)| count).sum())
}

/// The record, newest first.
#[derive(Debug, Serialize)]
pub struct Events {
    frame: Frame,
    events: Vec<Story>,
    /// Before which the older ones are.
    older: Option<i64>,
    later: bool,
}

/// A page of the record.
pub async fn events(app: &App, before: Option<i64>) -> Result<Events, Problem> {
    let query = EventQuery {
        before,
        limit: OF_EVENTS,
        ..EventQuery::default()
    };
    let found = app.ledger.events(query).await;
    let found = found.map_err(|error| app.ledger_problem(&error))?;
    let commits = commits(app).await?;
    let whole = found.len() == OF_EVENTS as usize;
    Ok(Events {
        frame: Frame::under(app, "events", verdict(app).await),
        older: found.last().map(|it| it.number).filter(|_| whole),
        later: before.is_some(),
        events: found.iter().map(|it| Story::of(it, &commits)).collect(),
    })
}

/// The files: what is wrong with the newest text, and the text that is in force.
#[derive(Debug, Serialize)]
pub struct File {
    frame: Frame,
    source: Source,
    revision: Option<RevisionHead>,
    names: Vec<String>,
    /// The one that is shown; none where none can be.
    shown: Option<Shown>,
    /// Whether the text is too much to be shown.
    too_large: bool,
}

/// What was last read.
#[derive(Debug, Serialize)]
struct Source {
    seen_at: Option<DateTime<Utc>>,
    broken_since: Option<DateTime<Utc>>,
    /// With their lines.
    excerpts: Vec<Excerpt>,
    /// Those without.
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl Source {
    fn of(source: &SourceState) -> Self {
        let quoted = source.excerpts.len();
        Self {
            seen_at: source.seen_at,
            broken_since: source.broken_since,
            excerpts: source.excerpts.clone(),
            problems: source.problems.iter().skip(quoted).cloned().collect(),
            warnings: source.warnings.clone(),
        }
    }
}

/// A part of a file.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    lines: Vec<Line>,
    of: usize,
    before: Option<usize>,
    after: Option<usize>,
}

/// A line of a file.
#[derive(Debug, Serialize)]
struct Line {
    number: usize,
    /// None where it might hold a secret.
    text: Option<String>,
}

/// A part of the text in force, from a line on.
pub async fn file(app: &App, name: Option<&str>, from: usize) -> Result<File, Problem> {
    let in_force = app.live.in_force.load_full();
    let too_large = in_force
        .as_ref()
        .is_some_and(|it| it.items > MOST_ITEMS_SHOWN);
    let head = app.ledger.revision_head().await;
    let revision = head.map_err(|error| app.ledger_problem(&error))?;
    let kept = match too_large {
        true => None,
        false => app
            .ledger
            .current()
            .await
            .map_err(|error| app.ledger_problem(&error))?,
    };
    let files = kept.map(|kept| kept.files).unwrap_or_default();
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let file = match name {
        None => files.first(),
        Some(name) => Some(files.iter().find(|it| it.name == name).ok_or_else(|| {
            Problem::missing(format!("the revision in force has no file `{name}`"))
        })?),
    };
    Ok(File {
        frame: Frame::under(app, "file", verdict(app).await),
        source: Source::of(&app.live.source.load()),
        revision,
        names,
        shown: file.map(|file| shown(&file.name, &file.text, from)),
        too_large,
    })
}

fn shown(name: &str, text: &str, from: usize) -> Shown {
    let of = text.lines().count();
    let first = from.clamp(1, of.max(1));
    let lines = (first..)
        .zip(quotable(name, text).skip(first - 1))
        .take(LINES);
    Shown {
        name: name.to_owned(),
        lines: lines
            .map(|(number, text)| Line {
                number,
                text: text.map(str::to_owned),
            })
            .collect(),
        of,
        before: (first > 1).then(|| first.saturating_sub(LINES).max(1)),
        after: (first + LINES <= of).then_some(first + LINES),
    }
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
        frame: Frame::of(app, ""),
        detail: problem.detail().to_owned(),
    }
}
