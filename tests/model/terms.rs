//! How a subscription shall end: what of it decides, and so changes its digest, and what not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::DateTime;
use lapsed::model::labels::Labels;
use lapsed::model::provider::ExpectField;
use lapsed::model::terms::{
    Behaviors, FlatFeeBehavior, From, InvoicingBehavior, Place, Sourced, Terms, Unused,
    UsageBehavior, When, WhenMissed, Window, hex, short_digest,
};

fn terms() -> Terms {
    Terms {
        when: Sourced::new(When::Now, From::Item),
        when_text: "now".to_owned(),
        reason: None,
        window: Sourced::new(
            Window {
                opens: Duration::from_secs(86_400),
                closes: Duration::from_secs(21_600),
            },
            From::Default,
        ),
        when_missed: Sourced::new(WhenMissed::NextPeriod, From::Default),
        period_ends: None,
        flat_fee_behavior: None,
        usage_behavior: None,
        invoicing_behavior: None,
        expect: BTreeMap::new(),
        labels: Labels::default(),
        requested: None,
        unused: Vec::new(),
    }
}

fn edited(edit: impl FnOnce(&mut Terms)) -> String {
    let mut terms = terms();
    edit(&mut terms);
    terms.digest()
}

fn item<T>(value: T) -> Option<Sourced<T>> {
    Some(Sourced::new(value, From::Item))
}

#[test]
fn whatever_decides_changes_the_digest() {
    let customer = |value: &str| [(ExpectField::Customer, value.to_owned())];
    let digests = [
        terms().digest(),
        edited(|it| it.when.value = When::EndOfPeriod),
        edited(|it| it.when.value = When::At(DateTime::UNIX_EPOCH)),
        edited(|it| it.reason = item("moved".to_owned())),
        edited(|it| it.window.value.opens = Duration::from_secs(1)),
        edited(|it| it.window.value.closes = Duration::from_secs(1)),
        edited(|it| it.when_missed.value = WhenMissed::Ask),
        edited(|it| it.period_ends = item(DateTime::UNIX_EPOCH)),
        edited(|it| it.flat_fee_behavior = item(FlatFeeBehavior::Refund)),
        edited(|it| it.usage_behavior = item(UsageBehavior::BillFull)),
        edited(|it| it.invoicing_behavior = item(InvoicingBehavior::InvoiceNow)),
        edited(|it| it.expect = customer("a").into()),
        edited(|it| it.expect = customer("b").into()),
        edited(|it| it.labels = [("team".to_owned(), "a".to_owned())].into()),
    ];
    let different: BTreeSet<&String> = digests.iter().collect();
    assert_eq!(different.len(), digests.len());
    assert!(digests.iter().all(|it| it.len() == 32));
}

#[test]
fn where_a_value_came_from_and_what_only_informs_does_not_change_the_digest() {
    let unused = Unused {
        field: "reason".to_owned(),
        value: "moved".to_owned(),
        from: From::Policy("all".to_owned()),
        why: "kajabi takes none".to_owned(),
    };
    for digest in [
        edited(|it| it.when.from = From::Policy("all".to_owned())),
        edited(|it| it.when_missed.from = From::FileDefaults),
        edited(|it| it.when_text = "NOW".to_owned()),
        edited(|it| it.requested = Some("2026-01-01".to_owned())),
        edited(|it| it.unused = vec![unused]),
    ] {
        assert_eq!(digest, terms().digest());
    }
}

#[test]
fn behaviours_are_sent_where_all_that_must_be_chosen_was() {
    let mut terms = terms();
    assert_eq!(terms.behaviors(), None);
    terms.usage_behavior = item(UsageBehavior::BillNone);
    assert_eq!(terms.behaviors(), None);
    terms.invoicing_behavior = item(InvoicingBehavior::InvoiceNow);
    let mut expected = Behaviors {
        flat_fee: None,
        usage: UsageBehavior::BillNone,
        invoicing: InvoicingBehavior::InvoiceNow,
    };
    assert_eq!(terms.behaviors(), Some(expected));
    terms.flat_fee_behavior = item(FlatFeeBehavior::ChargeFull);
    expected.flat_fee = Some(FlatFeeBehavior::ChargeFull);
    assert_eq!(terms.behaviors(), Some(expected));
    terms.usage_behavior = None;
    assert_eq!(terms.behaviors(), None);
}

#[test]
fn a_source_is_named_as_people_know_it() {
    let named = [
        From::Item,
        From::FileDefaults,
        From::Policy("all".to_owned()),
        From::Default,
    ]
    .map(|from| from.to_string());
    assert_eq!(named, ["item", "file defaults", "policy `all`", "default"]);
    let place = Place {
        file: "lapsed.yaml".to_owned(),
        line: 7,
        last_line: 9,
    };
    assert_eq!(place.to_string(), "lapsed.yaml:7");
}

#[test]
fn a_short_digest_is_the_first_half_of_a_sha_256() {
    assert_eq!(hex(&[0, 10, 255]), "000aff");
    // FIPS 180-2, appendix B.1: the digest of "abc".
    assert_eq!(short_digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223");
}
