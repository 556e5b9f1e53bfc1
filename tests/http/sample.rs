//! A ledger with something of everything, and a way to look at the page with one's own eyes.

use std::collections::{BTreeMap, BTreeSet};

use lapsed::ledger::Recorded;
use lapsed::model::act::{Action, Answer};
use lapsed::model::hold::HoldReason;
use lapsed::model::ids::{Key, SubscriptionId};
use lapsed::model::memory::{Pause, ProviderMemory, Stop};
use lapsed::model::observed::{Billing, Life, Look, Observed, Subscription};
use lapsed::model::provider::{ExpectField, ProviderKind};
use lapsed::model::request::Request;
use lapsed::model::standing::{Event, Settlement, Standing};
use lapsed::model::terms::{From, Place, Sourced, Terms, Unused, When, WhenMissed, Window};

use super::shelf::Shelf;
use super::{Port, at, name};

/// What no page may show as it is.
pub const HOSTILE: &str = r#"<script>alert("1")</script><img src=x onerror=alert(2)>"#;

fn kind(provider: &str) -> ProviderKind {
    match provider {
        "academy" => ProviderKind::Kajabi,
        "metered" => ProviderKind::Lotus,
        _ => ProviderKind::Revere,
    }
}

fn terms() -> Terms {
    Terms {
        when: Sourced::new(When::Now, From::Item),
        when_text: "now".to_owned(),
        reason: Some(Sourced::new(
            "Customer request".to_owned(),
            From::Policy("everyone keeps what they paid for".to_owned()),
        )),
        window: Sourced::new(
            Window {
                opens: std::time::Duration::from_secs(86_400),
                closes: std::time::Duration::from_secs(21_600),
            },
            From::Default,
        ),
        when_missed: Sourced::new(WhenMissed::NextPeriod, From::Default),
        period_ends: None,
        flat_fee_behavior: None,
        usage_behavior: None,
        invoicing_behavior: None,
        expect: BTreeMap::from([(ExpectField::Customer, "cus_17".to_owned())]),
        labels: [("ticket".to_owned(), "OPS-4711".to_owned())].into(),
        requested: Some("2027-01-10".to_owned()),
        unused: Vec::new(),
    }
}

pub fn look(seconds: i64, life: Life) -> Look {
    Look {
        observed: Observed::Found(Subscription {
            life,
            billing: Billing::Recurring,
            facts: BTreeMap::from([(ExpectField::Customer, "cus_17".to_owned())]),
            period_end: Some(at(12 * 86_400)),
            successor: None,
        }),
        at: at(seconds),
        server_date: None,
    }
}

/// A request in the making: its history decides where it stands.
pub struct Making {
    request: Request,
    history: Vec<(i64, Event)>,
}

impl Shelf {
    /// A request that was accepted an hour ago and is due.
    pub fn accepted(&self, provider: &str, id: &str) -> Making {
        let accepted = Event::Accepted {
            revision: "9c1f66a2d0b34e7c8a5e1b2c3d4e5f60".to_owned(),
            terms: "t".to_owned(),
            origin: "cancellations/autumn.yaml:14".to_owned(),
            holds: BTreeSet::new(),
        };
        let row = i64::try_from(self.requests.lock().unwrap().len()).unwrap() + 1;
        let request = Request {
            row,
            version: 1,
            key: Key {
                provider: name(provider),
                id: SubscriptionId::parse(kind(provider), id).unwrap(),
                again: 1,
            },
            kind: kind(provider),
            terms: terms(),
            place: Place {
                file: "cancellations/autumn.yaml".to_owned(),
                line: 14,
                last_line: 17,
            },
            revision: "9c1f66a2d0b34e7c8a5e1b2c3d4e5f60".to_owned(),
            standing: Standing::first(&accepted).unwrap(),
            not_before: at(-60),
            due_at: Some(at(-60)),
            deadline_at: None,
            wake_at: Some(at(-60)),
            look: None,
            doubt: None,
            held_since: None,
            hold_details: BTreeMap::new(),
            idle_looks: 0,
            note: None,
            created_at: at(-3_600),
            changed_at: at(-3_600),
        };
        Making {
            request,
            history: vec![(-3_600, accepted)],
        }
    }
}

impl Making {
    pub fn with(mut self, change: impl FnOnce(&mut Request)) -> Self {
        change(&mut self.request);
        self
    }

    pub fn due(self, seconds: i64) -> Self {
        self.with(|it| {
            it.due_at = Some(at(seconds));
            it.wake_at = it.due_at;
        })
    }

    pub fn then(mut self, seconds: i64, event: Event) -> Self {
        self.request.standing = self.request.standing.after(&event).unwrap();
        self.request.changed_at = at(seconds);
        self.history.push((seconds, event));
        self
    }

    pub fn held(self, seconds: i64, reason: HoldReason, detail: &str) -> Self {
        let mut held = self.then(
            seconds,
            Event::Held {
                reason,
                detail: detail.to_owned(),
            },
        );
        held.request.held_since = Some(at(seconds));
        held.request.hold_details.insert(reason, detail.to_owned());
        held
    }

    pub fn sent(self, seconds: i64, answer: Answer) -> Self {
        let action = Action::Cancel {
            reason: Some("Customer request".to_owned()),
            behaviors: None,
        };
        let intended = Event::Intended {
            attempt: 1,
            action,
            send_before: at(seconds + 30),
            look: look(seconds - 1, Life::Active),
        };
        self.then(seconds, intended)
            .then(seconds + 1, Event::Answered { attempt: 1, answer })
            .with(|it| it.look = Some(look(seconds - 1, Life::Active)))
    }

    pub fn settled(self, seconds: i64, as_: Settlement, note: &str) -> Self {
        let settled = Event::Settled {
            as_,
            look: None,
            note: note.to_owned(),
        };
        self.then(seconds, settled).with(|it| {
            it.wake_at = None;
            it.note = Some(note.to_owned());
        })
    }

    pub fn onto(self, shelf: &Shelf) {
        let mut events = shelf.events.lock().unwrap();
        for (seconds, event) in self.history {
            let recorded = Recorded {
                number: i64::try_from(events.len()).unwrap() + 1,
                key: self.request.key.clone(),
                at: at(seconds),
                kind: event.kind().to_owned(),
                event: Some(event),
                hash: "00ff".to_owned(),
            };
            events.push((self.request.row, recorded));
        }
        shelf.requests.lock().unwrap().push(self.request);
    }
}

/// Something of everything, with nothing wrong at any provider.
pub fn stock(shelf: &Shelf) {
    for (number, days) in [1, 1, 2, 3, 3, 3, 5, 8, 8, 9, 13].into_iter().enumerate() {
        shelf
            .accepted(
                "donations",
                &format!("eef1b240-6e4d-42f7-93ea-{number:012}"),
            )
            .due(days * 86_400)
            .onto(shelf);
    }
    shelf
        .accepted("donations", "c4b1-done")
        .sent(-900, Answer::Accepted)
        .settled(-890, Settlement::Canceled, "read back as canceled")
        .onto(shelf);
    shelf
        .accepted("academy", "2145871")
        .settled(-500, Settlement::AlreadyCanceled, "found ended 2027-01-02")
        .onto(shelf);
    shelf
        .accepted("metered", "65aa0000000040008000000000000001")
        .with(|it| {
            it.terms.unused.push(Unused {
                field: "usage_behavior".to_owned(),
                value: "bill_full".to_owned(),
                from: From::Policy("usage customers pay what they used".to_owned()),
                why: "it ends at its period's end".to_owned(),
            });
        })
        .due(300)
        .onto(shelf);
}

/// Something of everything that can be wrong.
pub fn trouble(shelf: &Shelf) {
    shelf
        .accepted("donations", "dd77-not-there")
        .held(
            -3_000,
            HoldReason::NotFound,
            "the provider knows no such subscription",
        )
        .onto(shelf);
    for number in 1..=7 {
        shelf
            .accepted(
                "metered",
                &format!("77bb000000004000800000000000000{number}"),
            )
            .held(-2_000, HoldReason::Approval, "112 new items in one day")
            .onto(shelf);
    }
    shelf
        .accepted("academy", "2145990")
        .with(|it| it.look = Some(look(-120, Life::Active)))
        .onto(shelf);
    shelf
        .accepted("donations", "ab12-unknown")
        .sent(
            -40,
            Answer::Unclear {
                why: "no answer within 20 s".to_owned(),
            },
        )
        .with(|it| it.wake_at = Some(at(25)))
        .onto(shelf);
    shelf
        .accepted("donations", "ff09-refused")
        .sent(
            -700,
            Answer::Refused {
                status: 422,
                words: HOSTILE.to_owned(),
            },
        )
        .settled(-690, Settlement::Failed, HOSTILE)
        .with(|it| {
            it.terms.labels = [("note".to_owned(), HOSTILE.to_owned())].into();
        })
        .onto(shelf);
    let stopped = ProviderMemory {
        stop: Some(Stop {
            reason: HoldReason::ProviderStopped,
            why: "5 failures in a row".to_owned(),
            since: at(-600),
            trial_at: at(240),
            trials: 1,
            of_writes: true,
        }),
        ..ProviderMemory::default()
    };
    shelf
        .memories
        .lock()
        .unwrap()
        .insert(name("donations"), stopped);
    shelf.pauses.lock().unwrap().providers.insert(
        name("metered"),
        Pause {
            since: at(-300),
            by: "dana".to_owned(),
            reason: "the price change is being looked at".to_owned(),
        },
    );
}

/// `cargo test --test lapsed http::sample::look_at -- --ignored --nocapture` prints the
/// addresses of two samples and serves them for a browser.
#[tokio::test]
#[ignore = "serves until stopped"]
async fn look_at_both() {
    let well = Port::open().await;
    stock(&well.shelf);
    let ill = Port::open().await;
    stock(&ill.shelf);
    trouble(&ill.shelf);
    eprintln!("well: {}\nill: {}", well.url("/"), ill.url("/"));
    well.ended.await.unwrap().unwrap();
}
