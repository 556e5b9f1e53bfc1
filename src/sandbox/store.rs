//! A shelf of subscriptions: found by id, changed one at a time, counted.
//!
//! Made for a million of them. A record holds what differs and shares the rest with its
//! seed; bodies are rendered when asked for. Locks are held for one look or one change,
//! and never while something is awaited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::wire::{Operation, Provider};

/// The most subscriptions one provider holds.
///
/// Twice what a bench of a million needs; at about 250 bytes each that is half a gigabyte.
pub(super) const MOST_RECORDS: usize = 2_000_000;

/// What was done to one subscription, counted by the provider itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Requests whose path named it, whatever became of them.
    pub requests: u32,
    /// Those among them that asked to cancel it.
    pub cancels_received: u32,
    /// Cancels that changed something or billed: more than one means *twice*.
    pub cancels_effective: u32,
    /// Other writes that changed something.
    pub updates_effective: u32,
    /// When the first effective cancel took effect.
    pub cancelled_at: Option<DateTime<Utc>>,
}

impl Tally {
    /// Counts a cancel that took effect.
    pub fn cancelled(&mut self, now: DateTime<Utc>) {
        self.cancels_effective += 1;
        self.cancelled_at.get_or_insert(now);
    }
}

/// What is true of a subscription, whatever its API says.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Truth {
    pub provider: Provider,
    pub id: String,
    /// Whether it would bill again.
    pub live: bool,
    /// Since when not, if that is known.
    pub ended_at: Option<DateTime<Utc>>,
    /// When the first cancel took effect.
    pub cancelled_at: Option<DateTime<Utc>>,
    pub requests: u32,
    pub cancels_received: u32,
    pub cancels_effective: u32,
    pub updates_effective: u32,
    /// What only this provider knows.
    pub detail: Value,
}

/// A subscription on a shelf.
pub(super) trait Record {
    fn id(&self) -> &Arc<str>;
    fn tally(&mut self) -> &mut Tally;
    fn truth(&self, now: DateTime<Utc>) -> Truth;
    /// What several records may share and be found by: a customer's id.
    fn group(&self) -> Option<Arc<str>>;
}

/// Subscriptions of one provider.
#[derive(Debug)]
pub(super) struct Shelf<R> {
    inner: RwLock<Inner<R>>,
}

#[derive(Debug)]
struct Inner<R> {
    records: Vec<Mutex<R>>,
    by_id: HashMap<Arc<str>, u32>,
    by_group: HashMap<Arc<str>, Vec<u32>>,
}

impl<R> Default for Inner<R> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            by_id: HashMap::new(),
            by_group: HashMap::new(),
        }
    }
}

impl<R> Default for Shelf<R> {
    fn default() -> Self {
        Self {
            inner: RwLock::new(Inner::default()),
        }
    }
}

impl<R: Record> Shelf<R> {
    /// Puts records on the shelf; one with a known id takes the other's place.
    pub fn load(&self, records: impl IntoIterator<Item = R>) {
        let mut inner = self.write();
        for record in records {
            inner.put(record);
        }
    }

    /// Takes every record away.
    pub fn clear(&self) {
        *self.write() = Inner::default();
    }

    pub fn len(&self) -> usize {
        self.read().records.len()
    }

    /// Looks at, or changes, the record of an id.
    pub fn with<T>(&self, id: &str, act: impl FnOnce(&mut R) -> T) -> Option<T> {
        let inner = self.read();
        let place = *inner.by_id.get(id)?;
        let mut record = lock(&inner.records[place as usize]);
        Some(act(&mut record))
    }

    /// Looks at the record after the one of an id; at that one itself if it is alone.
    pub fn with_neighbour<T>(&self, id: &str, look: impl FnOnce(&R) -> T) -> Option<T> {
        let inner = self.read();
        let place = *inner.by_id.get(id)? as usize;
        let next = (place + 1) % inner.records.len();
        Some(look(&lock(&inner.records[next])))
    }

    /// Looks at every record of a group, in the order they came.
    pub fn in_group<T>(&self, group: &str, mut look: impl FnMut(&mut R) -> T) -> Vec<T> {
        let inner = self.read();
        let places = inner.by_group.get(group).map(Vec::as_slice);
        places
            .unwrap_or_default()
            .iter()
            .map(|place| look(&mut lock(&inner.records[*place as usize])))
            .collect()
    }

    /// The names of all groups.
    pub fn groups(&self) -> Vec<Arc<str>> {
        self.read().by_group.keys().cloned().collect()
    }

    /// Looks at records from `offset` on until `look` has had enough (returns false).
    pub fn each_from(&self, offset: usize, mut look: impl FnMut(&R) -> bool) {
        let inner = self.read();
        for record in inner.records.iter().skip(offset) {
            if !look(&lock(record)) {
                return;
            }
        }
    }

    /// Counts a request that named this id.
    pub fn note(&self, id: &str, operation: Operation) {
        self.with(id, |record| {
            let tally = record.tally();
            tally.requests += 1;
            if operation == Operation::Cancel {
                tally.cancels_received += 1;
            }
        });
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner<R>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<R>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Record> Inner<R> {
    fn put(&mut self, record: R) {
        if let Some(&place) = self.by_id.get(record.id()) {
            self.replace(place, record);
            return;
        }
        let place = u32::try_from(self.records.len()).expect("a shelf is bounded by MOST_RECORDS");
        self.by_id.insert(Arc::clone(record.id()), place);
        if let Some(group) = record.group() {
            self.by_group.entry(group).or_default().push(place);
        }
        self.records.push(Mutex::new(record));
    }

    fn replace(&mut self, place: u32, record: R) {
        let old_group = lock(&self.records[place as usize]).group();
        if let Some(places) = old_group.and_then(|group| self.by_group.get_mut(&group)) {
            places.retain(|known| *known != place);
        }
        if let Some(group) = record.group() {
            self.by_group.entry(group).or_default().push(place);
        }
        self.records[place as usize] = Mutex::new(record);
    }
}

/// A lock that a panic elsewhere does not close: every change is whole before it is let go.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
