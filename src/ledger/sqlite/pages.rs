//! Pages of requests, each found without going through the rest.
//!
//! A page is put together from ways: what has one provider, one state or one set of holds stands in an
//! index in the order in which it is wanted, so that no way reads more rows than a page has. The counts
//! tell which ways there are.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params_from_iter, types::Value};

use super::millis;
use super::rows::{self, COLUMNS};
use crate::ledger::{DuePlace, LedgerError, Page};
use crate::model::ids::ProviderName;
use crate::model::request::Request;
use crate::model::standing::State;

/// Which of the rows a query goes through: each part is one value of an index's first columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    provider: Option<String>,
    state: Option<String>,
    holds: Option<String>,
    looked: Option<bool>,
}

/// In which order the rows come, and which index has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Of rows, after one.
    Row,
    /// Of ids; `requests_key`.
    Id,
    /// Earliest due first, and last what has no time; `requests_state`.
    Due,
}

pub(super) fn page(conn: &Connection, page: &Page) -> Result<Vec<Request>, LedgerError> {
    let order = match (&page.prefix, page.by_due) {
        (Some(_), _) => Order::Id,
        (None, true) => Order::Due,
        (None, false) => Order::Row,
    };
    let mut found: Vec<Request> = Vec::new();
    let stretches = match order {
        Order::Due => stretches(page.after_due),
        Order::Row | Order::Id => vec![None],
    };
    for way in ways(conn, page, order)? {
        for stretch in &stretches {
            found.extend(along(conn, page, order, &way, *stretch)?);
        }
    }
    match order {
        Order::Row => found.sort_by_key(|it| it.row),
        Order::Id => found.sort_by(|one, other| one.key.cmp(&other.key)),
        Order::Due => found.sort_by_key(|it| (it.due_at.is_none(), it.due_at, it.row)),
    }
    found.truncate(page.limit as usize);
    Ok(found)
}

/// Every way on which something may be found.
fn ways(conn: &Connection, page: &Page, order: Order) -> Result<Vec<Way>, LedgerError> {
    let mut kinds =
        conn.prepare_cached("SELECT DISTINCT provider, state, holds, looked FROM counts")?;
    let mut kinds = kinds.query([])?;
    let mut ways = Vec::new();
    while let Some(kind) = kinds.next()? {
        let (provider, state, holds): (String, String, String) =
            (kind.get(0)?, kind.get(1)?, kind.get(2)?);
        let is_of = |it: &ProviderName| it.as_str() == provider;
        let held_by = |it| holds.contains(&format!(",{it},"));
        if !page.provider.as_ref().is_none_or(is_of)
            || !(page.states.is_empty() || page.states.iter().any(|it| it.as_str() == state))
            || !page.held_by.is_none_or(held_by)
        {
            continue;
        }
        ways.push(match order {
            Order::Row if page.held_by.is_some() => Way {
                holds: Some(holds),
                ..Way::default()
            },
            Order::Row if !page.states.is_empty() => Way {
                state: Some(state),
                ..Way::default()
            },
            Order::Row => Way::default(),
            Order::Id => Way {
                provider: Some(provider),
                ..Way::default()
            },
            Order::Due => Way {
                provider: Some(provider),
                state: Some(state),
                looked: Some(kind.get(3)?),
                ..Way::default()
            },
        });
    }
    ways.sort();
    ways.dedup();
    Ok(ways)
}

/// A part of the order of time that an index has in one piece.
#[derive(Clone, Copy)]
enum Stretch {
    /// What is due at one moment, after a row: as much as everything, where everything is due at once.
    At(DateTime<Utc>, i64),
    /// What is due later than that.
    Later(Option<DateTime<Utc>>),
    /// What has no time, after a row.
    Timeless(i64),
}

/// What comes after a place.
fn stretches(after: Option<DuePlace>) -> Vec<Option<Stretch>> {
    let stretches = match after {
        None => vec![Stretch::Later(None), Stretch::Timeless(0)],
        Some(DuePlace { due_at: None, row }) => vec![Stretch::Timeless(row)],
        Some(DuePlace {
            due_at: Some(at),
            row,
        }) => vec![
            Stretch::At(at, row),
            Stretch::Later(Some(at)),
            Stretch::Timeless(0),
        ],
    };
    stretches.into_iter().map(Some).collect()
}

/// A page's worth of one way, and of one stretch of it where the order is that of time.
fn along(
    conn: &Connection,
    page: &Page,
    order: Order,
    way: &Way,
    stretch: Option<Stretch>,
) -> Result<Vec<Request>, LedgerError> {
    let mut query = Query::default();
    if let Some(holds) = &way.holds {
        query.wants("holds <> '' AND holds = ?", holds.clone());
    }
    match (&way.provider, &page.provider) {
        (Some(name), _) => query.wants("provider = ?", name.clone()),
        // Nothing is found by it: the order is that of another index.
        (None, Some(name)) => query.wants("+provider = ?", name.as_str().to_owned()),
        (None, None) => {}
    }
    if let Some(state) = &way.state {
        query.wants("state = ?", state.clone());
    } else if !page.states.is_empty() {
        let marks = vec!["?"; page.states.len()].join(", ");
        query.parts.push(format!("+state IN ({marks})"));
        let states = page.states.iter().map(|it: &State| it.as_str().to_owned());
        query.values.extend(states.map(Value::from));
    }
    if let Some(looked) = way.looked {
        query.wants("looked = ?", looked);
    }
    if let (Some(reason), None) = (page.held_by, &way.holds) {
        query.wants("holds LIKE ?", format!("%,{reason},%"));
    }
    if let Some(due_by) = page.due_by {
        query.wants("due_at <= ?", millis(due_by));
    }
    let sorted = match order {
        Order::Row => {
            query.wants("id > ?", page.after);
            "id"
        }
        Order::Id => {
            let prefix = page.prefix.clone().unwrap_or_default();
            query.wants("subscription < ?", format!("{prefix}{}", char::MAX));
            query.wants("subscription >= ?", prefix);
            "subscription, again"
        }
        Order::Due => {
            match stretch {
                Some(Stretch::At(at, row)) => {
                    query.wants("due_at = ?", millis(at));
                    query.wants("id > ?", row);
                }
                Some(Stretch::Later(Some(at))) => query.wants("due_at > ?", millis(at)),
                Some(Stretch::Later(None)) | None => {
                    query.parts.push("due_at IS NOT NULL".to_owned())
                }
                Some(Stretch::Timeless(row)) => {
                    query.parts.push("due_at IS NULL".to_owned());
                    query.wants("id > ?", row);
                }
            }
            "due_at, id"
        }
    };
    let parts = if query.parts.is_empty() {
        "TRUE".to_owned()
    } else {
        query.parts.join(" AND ")
    };
    query.values.push(i64::from(page.limit).into());
    let sql = format!("SELECT {COLUMNS} FROM requests WHERE {parts} ORDER BY {sorted} LIMIT ?");
    let mut statement = conn.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(query.values), rows::request)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Conditions, and the values in the order of their marks.
#[derive(Default)]
struct Query {
    parts: Vec<String>,
    values: Vec<Value>,
}

impl Query {
    fn wants(&mut self, part: &str, value: impl Into<Value>) {
        self.parts.push(part.to_owned());
        self.values.push(value.into());
    }
}
