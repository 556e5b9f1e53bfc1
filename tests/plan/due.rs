//! When an item may act, as its acceptance plans it, and what a slip of the year is.

use lapsed::config::{Config, RenewalOff};
use lapsed::model::hold::HoldReason;
use lapsed::model::provider::ProviderKind;
use lapsed::model::request::Request;
use lapsed::model::terms::{Wanted, When};
use lapsed::plan::due::{FirstPlan, backdated, first_plan};

use super::kit::{DAY, HOUR, at_period_end, config, freeze, of, of_mut, with_period_end};
use super::{at, request, terms};

const HOURLY: &str = "0 * * * *";

/// Accepted at the tests' time 0, and not acted on for an hour.
fn planned_in(config: &Config, request: &Request) -> FirstPlan {
    let wanted = Wanted {
        key: request.key.clone(),
        terms: request.terms.clone(),
        place: request.place.clone(),
    };
    first_plan(&wanted, of(config), config, at(HOUR), at(0))
}

fn planned(request: &Request) -> FirstPlan {
    planned_in(&config(request.kind, HOURLY), request)
}

fn plan(due_at: Option<i64>, deadline_at: Option<i64>, wake_at: Option<i64>) -> FirstPlan {
    FirstPlan {
        not_before: at(HOUR),
        due_at: due_at.map(at),
        deadline_at: deadline_at.map(at),
        wake_at: wake_at.map(at),
        holds: std::collections::BTreeMap::new(),
    }
}

#[test]
fn what_shall_end_now_or_on_a_day_is_due_then_but_not_before_it_may_act() {
    let mut request = request(ProviderKind::Revere);
    let at_once = plan(Some(HOUR), None, Some(HOUR));
    assert_eq!(planned(&request), at_once);
    request.terms.when.value = When::At(at(-DAY));
    assert_eq!(planned(&request), at_once);
    request.terms.when.value = When::At(at(DAY));
    assert_eq!(planned(&request), plan(Some(DAY), None, Some(DAY)));
}

#[test]
fn an_end_of_a_period_that_the_provider_tells_is_read_at_once() {
    let request = at_period_end(ProviderKind::Revere);
    assert_eq!(planned(&request), plan(None, None, Some(0)));
}

#[test]
fn an_end_of_a_period_that_nobody_tells_holds_from_the_start() {
    let first = planned(&at_period_end(ProviderKind::Kajabi));
    let reasons: Vec<_> = first.holds.keys().copied().collect();
    assert_eq!(reasons, [HoldReason::PeriodEndUnknown]);
    assert_eq!((first.due_at, first.wake_at), (None, None));
}

#[test]
fn an_end_of_a_period_that_the_item_says_is_planned_in_its_window() {
    let request = with_period_end(ProviderKind::Kajabi, at(3 * DAY));
    let expected = plan(Some(2 * DAY), Some(66 * HOUR), Some(2 * DAY));
    assert_eq!(planned(&request), expected);
    let mut frozen = config(ProviderKind::Kajabi, HOURLY);
    frozen.freezes = vec![freeze("sale", DAY, 3 * DAY)];
    let first = planned_in(&frozen, &request);
    let reasons: Vec<_> = first.holds.keys().copied().collect();
    assert_eq!(reasons, [HoldReason::NoSafeWindow]);
    assert_eq!(first.wake_at, Some(at(DAY)));
}

#[test]
fn renewal_is_turned_off_as_soon_as_that_is_allowed() {
    let request = with_period_end(ProviderKind::Lotus, at(9 * DAY));
    assert_eq!(planned(&request), plan(Some(HOUR), None, Some(HOUR)));
    let mut config = config(ProviderKind::Lotus, HOURLY);
    of_mut(&mut config).renewal_off = RenewalOff::InWindow;
    assert_eq!(
        planned_in(&config, &at_period_end(ProviderKind::Lotus)),
        plan(None, None, Some(0))
    );
}

#[test]
fn a_day_more_than_a_day_ago_waits_for_an_approval() {
    let mut terms = terms();
    terms.when_text = "2026-01-15".to_owned();
    for (when, waits) in [
        (When::At(at(-DAY - 1)), true),
        (When::At(at(-DAY)), false),
        (When::At(at(DAY)), false),
        (When::Now, false),
        (When::EndOfPeriod, false),
    ] {
        terms.when.value = when.clone();
        let said = backdated(&terms, at(0));
        assert_eq!(said.is_some(), waits, "{when:?}");
        if let Some(said) = said {
            assert_eq!(
                said,
                "its day, 2026-01-15, lay more than 24 h in the past when it was accepted"
            );
        }
    }
}
