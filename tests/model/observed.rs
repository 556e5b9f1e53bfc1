//! What a reading found, in one line, and what there is still to end.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lapsed::model::observed::{Billing, Life, Observed, Subscription};
use lapsed::model::provider::ExpectField;

fn day() -> DateTime<Utc> {
    "2026-12-31T23:00:00Z".parse().unwrap()
}

fn subscription(life: Life) -> Subscription {
    Subscription {
        life,
        billing: Billing::Recurring,
        facts: BTreeMap::new(),
        period_end: None,
        successor: None,
    }
}

/// Each stage of a life: its line, whether it has ended, whether a cancel has something to end.
fn lives() -> [(Life, &'static str, bool, bool); 7] {
    let status = "on \"hold\"".to_owned();
    [
        (Life::Active, "active", false, true),
        (Life::Lapsing, "failed, may revive", false, true),
        (
            Life::NotStarted { starts_at: day() },
            "starts 2026-12-31",
            false,
            false,
        ),
        (Life::Ending { at: day() }, "ends 2026-12-31", false, true),
        (
            Life::Ended { at: Some(day()) },
            "ended 2026-12-31",
            true,
            false,
        ),
        (Life::Ended { at: None }, "ended", true, false),
        (
            Life::Unclear { status },
            r#"status "on \"hold\"""#,
            false,
            false,
        ),
    ]
}

#[test]
fn each_stage_of_a_life_has_its_line_and_is_ended_or_living_or_neither() {
    for (life, line, ended, living) in lives() {
        let subscription = subscription(life);
        assert_eq!(
            (subscription.ended(), subscription.lives()),
            (ended, living)
        );
        assert_eq!(Observed::Found(subscription).summary(), line);
    }
}

#[test]
fn the_line_names_what_the_provider_tells_of_customer_and_plan() {
    let mut found = subscription(Life::Active);
    found.facts = [
        (ExpectField::Plan, "gold".to_owned()),
        (ExpectField::Customer, "cus_17".to_owned()),
        (ExpectField::Offer, "spring".to_owned()),
    ]
    .into();
    assert_eq!(
        Observed::Found(found).summary(),
        "active, customer cus_17, plan gold, offer spring"
    );
}

#[test]
fn what_was_not_found_says_so() {
    assert_eq!(Observed::NotFound.summary(), "not found");
    let why = "not in its customer's list".to_owned();
    assert_eq!(Observed::NotOurs { why: why.clone() }.summary(), why);
}
