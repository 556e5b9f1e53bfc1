//! What lets an item act earlier or harsher than it would have: each change of a revision by
//! itself, and the same change the other way round.

use chrono::{DateTime, Utc};
use lapsed::config::{Config, Mode, PaymentPlans, RenewalOff};
use lapsed::model::labels::Labels;
use lapsed::model::observed::{Billing, Life, Look, Observed};
use lapsed::model::provider::{ExpectField, ProviderKind};
use lapsed::model::request::Request;
use lapsed::model::terms::{
    FlatFeeBehavior, From, InvoicingBehavior, Sourced, Terms, UsageBehavior, Wanted, When,
    WhenMissed,
};
use lapsed::plan::sooner::{Change, Side};

use super::kit::{DAY, HOUR, at_period_end, config, freeze, of, of_mut, provider, with_period_end};
use super::{at, edit, found, request};

const HOURLY: &str = "0 * * * *";
const EARLIER_DAY: Option<&str> = Some("its day is earlier");
const EARLIER_TICK: Option<&str> = Some("a freeze or the schedule lets it act earlier");

fn between<'a>(before: &'a Config, after: &'a Config) -> Change<'a> {
    let side = |config: &'a Config| Side {
        config,
        provider: of(config),
    };
    Change::between(side(before), side(after))
}

fn wanted(known: &Request, terms: Terms) -> Wanted {
    Wanted {
        key: known.key.clone(),
        terms,
        place: known.place.clone(),
    }
}

/// What a change of the file alone does to an item.
fn by_file(known: &Request, before: &Config, after: &Config) -> Option<&'static str> {
    let wanted = wanted(known, known.terms.clone());
    between(before, after).sooner(known, &wanted, at(0))
}

/// What a change of the item's terms alone does to it.
fn by_terms(known: &Request, edit: impl FnOnce(&mut Terms)) -> Option<&'static str> {
    let config = config(known.kind, HOURLY);
    by_terms_in(&config, known, edit)
}

fn by_terms_in(
    config: &Config,
    known: &Request,
    edit: impl FnOnce(&mut Terms),
) -> Option<&'static str> {
    let mut terms = known.terms.clone();
    edit(&mut terms);
    between(config, config).sooner(known, &wanted(known, terms), at(0))
}

fn changed(edit: impl FnOnce(&mut Config)) -> Config {
    let mut config = config(ProviderKind::Revere, HOURLY);
    edit(&mut config);
    config
}

fn ticking(ticks: &str) -> Config {
    config(ProviderKind::Revere, ticks)
}

fn on(at: DateTime<Utc>) -> Request {
    let mut request = request(ProviderKind::Revere);
    request.terms.when.value = When::At(at);
    request.due_at = Some(at);
    request
}

/// At a period's end, whose window opens then.
fn due_in(seconds: i64) -> Request {
    let mut request = at_period_end(ProviderKind::Revere);
    request.due_at = Some(at(seconds));
    request
}

fn seen(mut request: Request, observed: Observed) -> Request {
    request.look = Some(Look {
        observed,
        at: at(0),
        server_date: None,
    });
    request
}

#[test]
fn what_does_not_change_is_not_sooner() {
    let same = config(ProviderKind::Revere, HOURLY);
    for known in [
        request(ProviderKind::Revere),
        on(at(DAY)),
        due_in(DAY),
        at_period_end(ProviderKind::Revere),
    ] {
        assert_eq!(by_file(&known, &same, &same), None);
        assert_eq!(by_terms(&known, |_| ()), None);
        assert_eq!(
            by_terms(&known, |it| it.requested = Some("x".to_owned())),
            None
        );
        assert_eq!(by_terms(&known, |it| it.reason = None), None);
    }
}

#[test]
fn a_provider_that_is_turned_to_enforce_counts_and_one_that_is_turned_back_does_not() {
    let enforce = ticking(HOURLY);
    let observe = changed(|it| of_mut(it).mode = Mode::Observe);
    let known = request(ProviderKind::Revere);
    assert_eq!(
        by_file(&known, &observe, &enforce),
        Some("its provider is turned to enforce")
    );
    assert_eq!(by_file(&known, &enforce, &observe), None);
    assert_eq!(by_file(&known, &observe, &observe), None);
}

#[test]
fn a_provider_of_another_type_counts() {
    let revere = ticking(HOURLY);
    let kajabi = changed(|it| *of_mut(it) = provider(ProviderKind::Kajabi, HOURLY));
    assert_eq!(
        by_file(&request(ProviderKind::Revere), &revere, &kajabi),
        Some("its provider is of another type")
    );
}

#[test]
fn renewal_that_is_turned_off_at_once_counts_for_what_ends_by_it() {
    let lotus = |renewal_off| {
        let mut config = config(ProviderKind::Lotus, HOURLY);
        of_mut(&mut config).renewal_off = renewal_off;
        config
    };
    let (in_window, at_once) = (lotus(RenewalOff::InWindow), lotus(RenewalOff::AtOnce));
    let ending = at_period_end(ProviderKind::Lotus);
    let expected = Some("renewal is turned off at once");
    assert_eq!(by_file(&ending, &in_window, &at_once), expected);
    assert_eq!(by_file(&ending, &at_once, &in_window), None);
    let now = request(ProviderKind::Lotus);
    assert_eq!(by_file(&now, &in_window, &at_once), None);
    // Nothing of Revere's ends by it, whatever the file says.
    let mut revere = changed(|it| of_mut(it).renewal_off = RenewalOff::InWindow);
    let before = revere.clone();
    of_mut(&mut revere).renewal_off = RenewalOff::AtOnce;
    assert_eq!(by_file(&due_in(DAY), &before, &revere), None);
}

#[test]
fn instalment_plans_that_are_no_longer_held_count_for_whatever_may_be_one() {
    let hold = ticking(HOURLY);
    let cancel = changed(|it| of_mut(it).payment_plans = PaymentPlans::Cancel);
    let expected = Some("instalment plans are no longer held");
    let unread = request(ProviderKind::Revere);
    let read = |observed| seen(unread.clone(), observed);
    let plan = edit(found(Life::Active), |it| it.billing = Billing::PaymentPlan);
    let foreign = Observed::NotOurs { why: String::new() };
    for known in [
        unread.clone(),
        read(plan.clone()),
        read(Observed::NotFound),
        read(foreign),
    ] {
        assert_eq!(by_file(&known, &hold, &cancel), expected);
        assert_eq!(by_file(&known, &cancel, &hold), None);
    }
    let recurring = read(found(Life::Active));
    assert_eq!(by_file(&recurring, &hold, &cancel), None);
    assert!(between(&hold, &cancel).loosens());
    assert!(!between(&cancel, &hold).loosens());
    assert!(!between(&hold, &hold).loosens());
}

#[test]
fn an_expectation_that_is_no_longer_required_counts_for_what_does_not_state_it() {
    let free = ticking(HOURLY);
    let strict = changed(|it| {
        of_mut(it).require_expect = [ExpectField::Customer].into();
    });
    let other = changed(|it| of_mut(it).require_expect = [ExpectField::Plan].into());
    let silent = request(ProviderKind::Revere);
    let expected = Some("an expectation is no longer required");
    assert_eq!(by_file(&silent, &strict, &free), expected);
    assert_eq!(by_file(&silent, &strict, &other), expected);
    assert_eq!(by_file(&silent, &free, &strict), None);
    let mut says = silent;
    says.terms.expect = [(ExpectField::Customer, "cus_17".to_owned())].into();
    assert_eq!(by_file(&says, &strict, &free), None);
    assert!(between(&strict, &free).loosens());
    assert!(!between(&free, &strict).loosens());
}

#[test]
fn a_schedule_counts_where_the_first_tick_comes_more_than_an_hour_earlier() {
    let now = request(ProviderKind::Revere);
    let daily = |minute: u32, hour: u32| ticking(&format!("{minute} {hour} * * *"));
    let at_ten = daily(0, 10);
    assert_eq!(by_file(&now, &at_ten, &daily(59, 8)), EARLIER_TICK);
    for later in [daily(0, 9), daily(0, 11), daily(0, 10)] {
        assert_eq!(by_file(&now, &at_ten, &later), None);
    }
    // What does not act before then is not touched by the ticks before.
    assert_eq!(by_file(&on(at(3 * HOUR / 2)), &at_ten, &daily(59, 8)), None);
    // In the tests' year there is no leap day: such a schedule acts later than any.
    let never = ticking("0 0 29 2 *");
    assert_eq!(by_file(&now, &never, &at_ten), EARLIER_TICK);
    assert_eq!(by_file(&now, &at_ten, &never), None);
}

#[test]
fn a_freeze_that_is_lifted_and_a_zone_that_changes_count_as_the_schedule_does() {
    let free = ticking(HOURLY);
    let frozen = changed(|it| it.freezes = vec![freeze("sale", 0, DAY)]);
    let now = request(ProviderKind::Revere);
    assert_eq!(by_file(&now, &frozen, &free), EARLIER_TICK);
    assert_eq!(by_file(&now, &free, &frozen), None);
    // A freeze is only compared where its text, the schedule or the zone differs.
    let zone = |zone: chrono_tz::Tz| {
        changed(|it| {
            let text = "0 12 * * *";
            it.reconcile.timezone = zone;
            of_mut(it).schedule = lapsed::schedule::Schedule::parse(text, zone).unwrap();
        })
    };
    let (utc, tokyo) = (zone(chrono_tz::Tz::UTC), zone(chrono_tz::Asia::Tokyo));
    assert_eq!(by_file(&on(at(15 * HOUR)), &utc, &tokyo), EARLIER_TICK);
    assert_eq!(by_file(&now, &utc, &tokyo), None);
}

#[test]
fn labels_that_a_freeze_does_not_speak_of_let_an_item_act_earlier() {
    let mut config = ticking(HOURLY);
    let mut sale = freeze("sale", 0, DAY);
    let globs = vec![super::kit::glob("support")];
    sale.matcher.labels = [("team".to_owned(), globs)].into();
    config.freezes = vec![sale];
    let mut known = request(ProviderKind::Revere);
    let without = known.clone();
    let label = [("team".to_owned(), "support".to_owned())];
    known.terms.labels = label.clone().into();
    assert_eq!(
        by_terms_in(&config, &known, |it| it.labels = Labels::default()),
        EARLIER_TICK
    );
    assert_eq!(
        by_terms_in(&config, &without, |it| it.labels = label.into()),
        None
    );
}

#[test]
fn a_day_that_moves_nearer_counts() {
    let moved = |from: i64, when: When| by_terms(&on(at(from)), |it| it.when.value = when);
    assert_eq!(moved(DAY, When::Now), EARLIER_DAY);
    assert_eq!(moved(DAY, When::At(at(DAY - 1))), EARLIER_DAY);
    assert_eq!(moved(DAY, When::At(at(DAY + 1))), None);
    // What is due already does not become so earlier.
    for from in [0, -DAY] {
        assert_eq!(moved(from, When::Now), None);
        assert_eq!(moved(from, When::At(at(-2 * DAY))), None);
        assert_eq!(moved(from, When::EndOfPeriod), None);
    }
    assert_eq!(moved(1, When::At(at(-DAY))), EARLIER_DAY);
    let now = request(ProviderKind::Revere);
    for when in [When::At(at(-DAY)), When::At(at(DAY)), When::EndOfPeriod] {
        assert_eq!(by_terms(&now, |it| it.when.value = when), None);
    }
}

#[test]
fn from_a_day_to_the_periods_end_counts_unless_that_is_known_to_be_no_earlier() {
    // Its window opens a day before its end.
    let known = |end: Option<i64>| {
        let observed = edit(found(Life::Active), |it| it.period_end = end.map(at));
        seen(on(at(2 * DAY)), observed)
    };
    let turned = |known: &Request| by_terms(known, |it| it.when.value = When::EndOfPeriod);
    assert_eq!(turned(&known(Some(3 * DAY))), None);
    assert_eq!(turned(&known(Some(3 * DAY - 1))), EARLIER_DAY);
    assert_eq!(turned(&known(None)), EARLIER_DAY);
    assert_eq!(turned(&on(at(2 * DAY))), EARLIER_DAY);
    for observed in [Observed::NotFound, Observed::NotOurs { why: String::new() }] {
        assert_eq!(turned(&seen(on(at(2 * DAY)), observed)), EARLIER_DAY);
    }
    // What the item says comes before what is told.
    let said = by_terms(&known(Some(DAY)), |it| {
        it.when.value = When::EndOfPeriod;
        it.period_ends = Some(Sourced::new(at(3 * DAY), From::Item));
    });
    assert_eq!(said, None);
}

#[test]
fn from_the_periods_end_to_a_moment_counts_unless_its_window_opens_no_later() {
    let turned = |known: &Request, when| by_terms(known, |it| it.when.value = when);
    assert_eq!(turned(&due_in(DAY), When::Now), EARLIER_DAY);
    assert_eq!(turned(&due_in(DAY), When::At(at(DAY - 1))), EARLIER_DAY);
    for at_second in [DAY, DAY + 1] {
        assert_eq!(turned(&due_in(DAY), When::At(at(at_second))), None);
    }
    assert_eq!(turned(&due_in(-DAY), When::At(at(-2 * DAY))), None);
    // Nobody knows when it would have been.
    let mut unknown = due_in(0);
    unknown.due_at = None;
    assert_eq!(turned(&unknown, When::At(at(9 * DAY))), EARLIER_DAY);
    // To turn renewal off takes nothing away; a cancel does.
    let mut native = at_period_end(ProviderKind::Lotus);
    native.due_at = Some(at(0));
    assert_eq!(turned(&native, When::At(at(9 * DAY))), EARLIER_DAY);
}

#[test]
fn a_window_that_opens_earlier_counts_and_one_that_closes_earlier_does_not() {
    let known = due_in(DAY);
    let window = |opens, closes| {
        by_terms(&known, |it| {
            it.window.value.opens = std::time::Duration::from_secs(opens);
            it.window.value.closes = std::time::Duration::from_secs(closes);
        })
    };
    assert_eq!(window(86_401, 21_600), EARLIER_DAY);
    assert_eq!(window(86_399, 21_600), None);
    assert_eq!(window(86_400, 21_601), None);
}

#[test]
fn to_do_more_about_a_missed_window_counts_and_to_do_less_does_not() {
    let order = [WhenMissed::Ask, WhenMissed::NextPeriod, WhenMissed::Now];
    for (i, before) in order.into_iter().enumerate() {
        for (j, after) in order.into_iter().enumerate() {
            let mut known = due_in(DAY);
            known.terms.when_missed.value = before;
            let found = by_terms(&known, |it| it.when_missed.value = after);
            let expected = if j > i { EARLIER_DAY } else { None };
            assert_eq!(found, expected, "{before:?} to {after:?}");
        }
    }
}

#[test]
fn an_end_of_the_period_that_is_said_to_be_earlier_counts() {
    let mut known = with_period_end(ProviderKind::Kajabi, at(9 * DAY));
    known.due_at = Some(at(8 * DAY));
    let ends = |known: &Request, end: Option<i64>| {
        by_terms(known, |it| {
            it.period_ends = end.map(|end| Sourced::new(at(end), From::Item));
        })
    };
    assert_eq!(ends(&known, Some(9 * DAY - 1)), EARLIER_DAY);
    assert_eq!(ends(&known, Some(9 * DAY + 1)), None);
    assert_eq!(ends(&known, None), EARLIER_DAY, "nobody knows it any more");
    // Said for the first time: it begins to act, unless what is read tells when.
    let mut untold = at_period_end(ProviderKind::Kajabi);
    untold.due_at = None;
    assert_eq!(ends(&untold, Some(9 * DAY)), EARLIER_DAY);
    assert_eq!(ends(&due_in(DAY), Some(9 * DAY)), None);
}

#[test]
fn what_is_billed_with_it_counts_whichever_way_it_changes() {
    let expected = Some("what is billed with it changes");
    let known = request(ProviderKind::Lotus);
    let flat = Some(Sourced::new(FlatFeeBehavior::Refund, From::Item));
    let usage = Some(Sourced::new(UsageBehavior::BillNone, From::Item));
    let invoicing = Some(Sourced::new(InvoicingBehavior::InvoiceNow, From::Item));
    assert_eq!(
        by_terms(&known, |it| it.flat_fee_behavior.clone_from(&flat)),
        expected
    );
    assert_eq!(by_terms(&known, |it| it.usage_behavior = usage), expected);
    assert_eq!(
        by_terms(&known, |it| it.invoicing_behavior = invoicing),
        expected
    );
    let mut known = known;
    known.terms.flat_fee_behavior = flat;
    assert_eq!(by_terms(&known, |it| it.flat_fee_behavior = None), expected);
}

#[test]
fn what_is_no_longer_expected_counts_and_what_is_newly_expected_does_not() {
    let customer = |value: &str| [(ExpectField::Customer, value.to_owned())].into();
    let mut known = request(ProviderKind::Revere);
    assert_eq!(by_terms(&known, |it| it.expect = customer("cus_17")), None);
    known.terms.expect = customer("cus_17");
    let expected = Some("what it expects is no longer expected");
    assert_eq!(by_terms(&known, |it| it.expect.clear()), expected);
    assert_eq!(
        by_terms(&known, |it| it.expect = customer("cus_18")),
        expected
    );
    let more = by_terms(&known, |it| {
        it.expect.insert(ExpectField::Plan, "gold".to_owned());
    });
    assert_eq!(more, None);
}
