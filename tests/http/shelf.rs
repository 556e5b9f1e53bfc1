//! A ledger in memory that holds what a test puts there: for states that are hard to reach on
//! the long way, and for a ledger that fails.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use lapsed::ledger::intent::Intent;
use lapsed::ledger::*;
use lapsed::model::approval::{Approved, Waiting};
use lapsed::model::ids::{Key, ProviderName, SubscriptionId};
use lapsed::model::memory::{Pauses, ProviderMemory, Used, Verdict};
use lapsed::model::notice::Notice;
use lapsed::model::provider::ProviderKind;
use lapsed::model::request::Request;
use lapsed::model::standing::State;
use lapsed::model::terms::Place;

/// What stands on it.
#[derive(Debug, Default)]
pub struct Shelf {
    pub requests: Mutex<Vec<Request>>,
    pub events: Mutex<Vec<(i64, Recorded)>>,
    pub pauses: Mutex<Pauses>,
    pub memories: Mutex<BTreeMap<ProviderName, ProviderMemory>>,
    pub doubt: Mutex<Option<String>>,
    pub posted: Mutex<Vec<Posted>>,
    pub undelivered: Mutex<BTreeMap<String, Undelivered>>,
    pub broken: AtomicBool,
}

impl Shelf {
    fn give<T: Send + 'static>(&self, value: T) -> Reply<'_, T> {
        let broken = self.broken.load(Ordering::SeqCst);
        Box::pin(async move {
            if broken {
                Err(LedgerError::Failed("disk is full".to_owned()))
            } else {
                Ok(value)
            }
        })
    }

    fn never<T>(&self) -> Reply<'_, T> {
        unreachable!("the HTTP port only reads, and posts commands")
    }

    fn rows(&self, keep: impl Fn(&Request) -> bool) -> Vec<Request> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|it| keep(it)).cloned().collect()
    }

    fn counted(&self, now: DateTime<Utc>) -> Tally {
        let mut tally = Tally {
            oldest_approval: Some(now),
            space: Some(Space {
                size: 4_096,
                free: 1 << 30,
            }),
            ..Tally::default()
        };
        for request in self.rows(|_| true) {
            let name = request.key.provider.clone();
            let state = request.state();
            let due = request.due_at.is_some_and(|at| at <= now);
            let count = tally.states.entry((name.clone(), state)).or_default();
            count.all += 1;
            count.due += u64::from(due);
            count.looked += u64::from(due && request.look.is_some());
            for reason in &request.standing.holds {
                *tally.holds.entry((name.clone(), *reason)).or_default() += 1;
            }
            if state == State::Unknown {
                tally
                    .oldest_unknown
                    .entry(name.clone())
                    .or_insert(request.changed_at);
            }
            if let (true, State::Scheduled | State::Unknown, Some(at)) =
                (due, state, request.due_at)
            {
                tally.oldest_due.entry(name.clone()).or_insert(at);
            }
            if let (State::Scheduled, Some(at)) = (state, request.due_at) {
                let next = tally.next_due.entry(name).or_insert(at);
                *next = at.min(*next);
            }
        }
        tally
    }
}

impl Ledger for Shelf {
    fn identity(&self) -> Reply<'_, Identity> {
        self.give(Identity {
            ledger_id: "a3f1c0de5eed4b1e9f00d1e2c3b4a596".to_owned(),
            doubt: self.doubt.lock().unwrap().clone(),
        })
    }
    fn named(&self, _: String) -> Reply<'_, ()> {
        self.never()
    }
    fn trust(&self, _: String, _: DateTime<Utc>) -> Reply<'_, ()> {
        self.never()
    }
    fn set_back(&self, _: ProviderName, _: DateTime<Utc>, _: DateTime<Utc>) -> Reply<'_, u64> {
        self.never()
    }
    fn current(&self) -> Reply<'_, Option<Revision>> {
        self.give(Some(Revision {
            number: 7,
            digest: "9c1f66a2d0b34e7c8a5e1b2c3d4e5f60".to_owned(),
            commit: Some("5d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a".to_owned()),
            accepted_at: super::at(-7_200),
            files: Vec::new(),
            verdict: Verdict::default(),
        }))
    }
    fn commits(&self) -> Reply<'_, BTreeMap<String, String>> {
        self.give(BTreeMap::new())
    }
    fn revision_head(&self) -> Reply<'_, Option<RevisionHead>> {
        self.give(Some(RevisionHead {
            number: 7,
            digest: "9c1f66a2d0b34e7c8a5e1b2c3d4e5f60".to_owned(),
            commit: Some("5d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a".to_owned()),
            accepted_at: super::at(-7_200),
        }))
    }
    fn accepting(&self) -> Reply<'_, Option<Revision>> {
        self.never()
    }
    fn find_many(&self, _: Vec<Key>) -> Reply<'_, Vec<Option<Request>>> {
        self.never()
    }
    fn let_through(&self, _: DateTime<Utc>) -> Reply<'_, BTreeMap<ProviderName, u64>> {
        self.never()
    }
    fn waiting(&self) -> Reply<'_, Vec<Waiting>> {
        self.give(Vec::new())
    }
    fn members(&self, _: String) -> Reply<'_, Option<Vec<Member>>> {
        self.never()
    }
    fn overdue(
        &self,
        provider: ProviderName,
        before: DateTime<Utc>,
        _: u32,
    ) -> Reply<'_, Vec<Request>> {
        let requests = self.requests.lock().unwrap();
        let found = requests.iter().filter(|it| {
            it.key.provider == provider && it.deadline_at.is_some_and(|at| at < before)
        });
        self.give(found.cloned().collect())
    }
    fn open_by_provider(&self) -> Reply<'_, BTreeMap<ProviderName, u64>> {
        self.never()
    }
    fn begin_revision(&self, _: NewRevision) -> Reply<'_, i64> {
        self.never()
    }
    fn take_in(&self, _: i64, _: Vec<Incoming>, _: DateTime<Utc>) -> Reply<'_, ()> {
        self.never()
    }
    fn finish_revision(&self, _: i64, _: Close, _: DateTime<Utc>) -> Reply<'_, Vec<Approved>> {
        self.never()
    }
    fn rename_provider(&self, _: ProviderName, _: ProviderName) -> Reply<'_, u64> {
        self.never()
    }
    fn claim(&self, _: Claim) -> Reply<'_, Vec<Request>> {
        self.never()
    }
    fn record(&self, _: Change) -> Reply<'_, Request> {
        self.never()
    }
    fn intend(&self, _: Intended) -> Reply<'_, Result<(Intent, Request), NotIntended>> {
        self.never()
    }
    fn next_wake(&self, _: ProviderName) -> Reply<'_, Option<DateTime<Utc>>> {
        self.never()
    }
    fn interrupt_all(&self, _: DateTime<Utc>) -> Reply<'_, u64> {
        self.never()
    }
    fn wake_held(&self, _: ProviderName, _: DateTime<Utc>) -> Reply<'_, u64> {
        self.never()
    }
    fn mark_stale(&self, _: Vec<i64>, _: DateTime<Utc>) -> Reply<'_, u64> {
        self.never()
    }
    fn provider(&self, name: ProviderName) -> Reply<'_, ProviderMemory> {
        let memories = self.memories.lock().unwrap();
        self.give(memories.get(&name).cloned().unwrap_or_default())
    }
    fn remember(&self, _: ProviderName, _: ProviderMemory) -> Reply<'_, ()> {
        self.never()
    }
    fn names_of_account(&self, _: ProviderKind, _: String) -> Reply<'_, Vec<ProviderName>> {
        self.never()
    }
    fn pauses(&self) -> Reply<'_, Pauses> {
        self.give(self.pauses.lock().unwrap().clone())
    }
    fn post(&self, command: Posted) -> Reply<'_, i64> {
        if self.broken.load(Ordering::SeqCst) {
            return self.give(0);
        }
        let mut posted = self.posted.lock().unwrap();
        posted.push(command);
        self.give(i64::try_from(posted.len()).unwrap())
    }
    fn inbox(&self) -> Reply<'_, Vec<Posted>> {
        self.never()
    }
    fn apply(&self, _: Posted, _: DateTime<Utc>) -> Reply<'_, u64> {
        self.never()
    }
    fn notify(&self, _: Vec<(String, Notice)>, _: Option<i64>, _: DateTime<Utc>) -> Reply<'_, ()> {
        self.never()
    }
    fn told_up_to(&self) -> Reply<'_, i64> {
        self.never()
    }
    fn due_notices(&self, _: String, _: DateTime<Utc>, _: u32) -> Reply<'_, Vec<Outgoing>> {
        self.never()
    }
    fn delivered(&self, _: i64, _: Delivery) -> Reply<'_, ()> {
        self.never()
    }
    fn undelivered(&self) -> Reply<'_, BTreeMap<String, Undelivered>> {
        self.give(self.undelivered.lock().unwrap().clone())
    }
    fn forget_delivered(&self, _: DateTime<Utc>) -> Reply<'_, ()> {
        self.never()
    }
    fn find(&self, key: Key) -> Reply<'_, Option<Request>> {
        self.give(self.rows(|it| it.key == key).pop())
    }
    fn find_all(&self, provider: ProviderName, id: SubscriptionId) -> Reply<'_, Vec<Request>> {
        let mut found = self.rows(|it| it.key.provider == provider && it.key.id == id);
        found.sort_by_key(|it| std::cmp::Reverse(it.key.again));
        self.give(found)
    }
    fn page(&self, page: Page) -> Reply<'_, Vec<Request>> {
        let mut rows = self.rows(|it| {
            (page.by_due || page.prefix.is_some() || it.row > page.after)
                && page
                    .provider
                    .as_ref()
                    .is_none_or(|name| it.key.provider == *name)
                && page
                    .held_by
                    .is_none_or(|reason| it.standing.holds.contains(&reason))
                && page
                    .prefix
                    .as_ref()
                    .is_none_or(|prefix| it.key.id.as_str().starts_with(prefix))
                && (page.states.is_empty() || page.states.contains(&it.state()))
                && page
                    .due_by
                    .is_none_or(|by| it.due_at.is_some_and(|at| at <= by))
        });
        if page.by_due {
            let place = |due_at: Option<DateTime<Utc>>, row| (due_at.is_none(), due_at, row);
            let after = page.after_due.map(|it| place(it.due_at, it.row));
            rows.retain(|it| after.is_none_or(|after| place(it.due_at, it.row) > after));
            rows.sort_by_key(|it| place(it.due_at, it.row));
        }
        rows.truncate(page.limit as usize);
        self.give(rows)
    }
    fn open_places(&self) -> Reply<'_, Vec<(i64, Place)>> {
        self.never()
    }
    fn tally(&self, now: DateTime<Utc>) -> Reply<'_, Tally> {
        self.give(self.counted(now))
    }
    fn days(&self, span: DaySpan) -> Reply<'_, Days> {
        let mut days = Days::default();
        for request in self.rows(|it| !it.state().finished()) {
            for (into, at) in [
                (&mut days.due, request.due_at),
                (&mut days.deadlines, request.deadline_at),
            ] {
                if let Some(day) = at
                    .map(|at| at.date_naive())
                    .filter(|day| *day <= span.until)
                {
                    *into.entry(day).or_default() += 1;
                }
            }
        }
        self.give(days)
    }
    fn used(&self, _: DateTime<Utc>) -> Reply<'_, Used> {
        let two = || BTreeMap::from([(super::name("donations"), 2)]);
        self.give(Used {
            hour: two(),
            day: two(),
            common_hour: 2,
            common_day: 2,
            plans: BTreeMap::new(),
        })
    }
    fn events(&self, query: EventQuery) -> Reply<'_, Vec<Recorded>> {
        let events = self.events.lock().unwrap();
        let mut found: Vec<Recorded> = events
            .iter()
            .filter(|(row, event)| {
                query.row.is_none_or(|it| it == *row)
                    && query.before.is_none_or(|before| event.number < before)
                    && query.after.is_none_or(|after| event.number > after)
            })
            .map(|(_, event)| event.clone())
            .collect();
        found.sort_by_key(|it| it.number);
        if query.after.is_none() {
            found.reverse();
        }
        found.truncate(query.limit as usize);
        self.give(found)
    }
    fn verify(&self) -> Reply<'_, Verification> {
        self.never()
    }
    fn has_block(&self, _: String) -> Reply<'_, bool> {
        self.never()
    }
    fn head(&self) -> Reply<'_, Head> {
        self.give(Head {
            block: 1_204,
            hash: "77aa01b2c3d4e5f60718293a4b5c6d7e8f".to_owned(),
        })
    }
}
