//! What waits for a person: its words, its hold and its digest.

use lapsed::model::approval::{Gathering, What};
use lapsed::model::hold::HoldReason;

use super::{key, name};

#[test]
fn what_waits_is_held_by_the_reason_of_its_name() {
    assert_eq!(What::ALL, [What::Approval, What::Removal]);
    let holds = What::ALL.map(What::hold);
    assert_eq!(holds, [HoldReason::Approval, HoldReason::Removal]);
    for what in What::ALL {
        assert_eq!(what.as_str(), what.hold().as_str());
    }
}

#[test]
fn what_is_gathered_twice_waits_once() {
    let mut gathering = Gathering::default();
    let items = |it: &Gathering| it.waiting("lapsed.yaml", What::Approval, false).items;
    assert_eq!(items(&gathering), 0);
    gathering.add(&key("a", 1), "t", None);
    gathering.add(&key("a", 1), "t", None);
    gathering.add(&key("b", 1), "t", None);
    assert_eq!(items(&gathering), 2);
}

#[test]
fn a_digest_is_that_of_the_provider_the_id_the_number_and_the_terms() {
    let digest = |key, terms: &str| {
        let mut gathering = Gathering::default();
        gathering.add(&key, terms, None);
        gathering.digest(What::Approval)
    };
    let one = digest(key("a", 1), "t");
    assert_eq!(one.len(), 32);
    let mut elsewhere = key("a", 1);
    elsewhere.provider = name("memberships");
    for other in [
        digest(key("b", 1), "t"),
        digest(key("a", 2), "t"),
        digest(key("a", 1), "u"),
        digest(elsewhere, "t"),
        Gathering::default().digest(What::Approval),
    ] {
        assert_ne!(one, other);
    }
}
