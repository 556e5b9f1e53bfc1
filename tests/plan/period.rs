//! The end of a period: acted on in its window, put off, missed, and how long is left.

use chrono::{DateTime, Utc};
use lapsed::config::{PaymentPlans, RenewalOff};
use lapsed::model::act::Action;
use lapsed::model::hold::HoldReason;
use lapsed::model::observed::{Billing, Life, Look, Observed, Successor};
use lapsed::model::provider::ProviderKind;
use lapsed::model::request::Request;
use lapsed::model::standing::Settlement;
use lapsed::model::terms::When;
use lapsed::plan::decide::{Decision, decide, put_off, time_left, unread};
use lapsed::plan::window::{Wait, Way, Window};

use super::kit::{DAY, HOUR, MINUTE, at_period_end, config, of_mut, rules, with_period_end};
use super::{at, edit, found, held_as, request};

const HOURLY: &str = "0 * * * *";

fn ends(seconds: i64) -> Observed {
    edit(found(Life::Active), |it| it.period_end = Some(at(seconds)))
}

fn seen(request: &mut Request, observed: Observed) {
    request.look = Some(Look {
        observed,
        at: at(0),
        server_date: None,
    });
}

fn followed(observed: Observed) -> Observed {
    edit(observed, |it| {
        it.successor = Some(Successor {
            id: "sub_65aa0000000040008000000000000002".to_owned(),
            starts_at: at(DAY),
        });
    })
}

fn waits(due_at: i64, deadline_at: i64, look_at: i64) -> Wait {
    Wait {
        due_at: Some(at(due_at)),
        deadline_at: Some(at(deadline_at)),
        look_at: Some(at(look_at)),
        hold: None,
    }
}

#[test]
fn an_item_waits_for_its_window_acts_in_it_and_has_missed_it_afterwards() {
    let config = config(ProviderKind::Revere, HOURLY);
    let request = at_period_end(ProviderKind::Revere);
    let decided = |end, now| decide(&request, &ends(end), rules(&config), at(now));
    // The window of the end after 3 days opens after 2 days.
    assert_eq!(
        decided(3 * DAY, 0),
        Decision::Wait(waits(2 * DAY, 3 * DAY - 6 * HOUR, DAY))
    );
    let Decision::ActInWindow {
        action,
        due_at,
        deadline_at,
    } = decided(DAY, 0)
    else {
        panic!("not in its window");
    };
    assert!(matches!(
        action,
        Action::Cancel {
            reason: Some(_),
            ..
        }
    ));
    assert_eq!(due_at, at(0));
    assert_eq!(deadline_at, Some(at(18 * HOUR)));
    let closed_at = at(HOUR);
    assert_eq!(decided(7 * HOUR, HOUR + 1), Decision::Missed { closed_at });
}

#[test]
fn a_pass_that_begins_a_moment_after_its_tick_acts_though_the_next_tick_is_behind_the_window() {
    let config = config(ProviderKind::Revere, "0 8 * * *");
    let request = at_period_end(ProviderKind::Revere);
    // The window closes half a minute after the tick at 0.
    let (observed, now) = (ends(6 * HOUR + 30), at(5));
    let rules = rules(&config);
    assert!(matches!(
        decide(&request, &observed, rules.at_a_tick(), now),
        Decision::ActInWindow { .. }
    ));
    let Decision::Wait(Wait { hold, .. }) = decide(&request, &observed, rules, now) else {
        panic!("not waiting");
    };
    assert_eq!(hold.unwrap().0, HoldReason::NoSafeWindow);
    assert!(rules.at_a_tick().hours(&request).at_a_tick);
    assert!(!rules.hours(&request).at_a_tick);
}

#[test]
fn where_the_provider_ends_it_renewal_is_turned_off_at_once_or_in_the_window_as_configured() {
    let mut config = config(ProviderKind::Lotus, HOURLY);
    let request = at_period_end(ProviderKind::Lotus);
    let turned_off = |decision| match decision {
        Decision::ActInWindow { action, .. } => action == Action::TurnOffRenewal,
        _ => false,
    };
    assert_eq!(rules(&config).way(&request), Way::RenewalOffAtOnce);
    let far = ends(30 * DAY);
    assert!(turned_off(decide(&request, &far, rules(&config), at(0))));
    of_mut(&mut config).renewal_off = RenewalOff::InWindow;
    assert_eq!(rules(&config).way(&request), Way::RenewalOffInWindow);
    assert!(matches!(
        decide(&request, &far, rules(&config), at(0)),
        Decision::Wait(_)
    ));
    assert!(turned_off(decide(
        &request,
        &ends(DAY),
        rules(&config),
        at(0)
    )));
}

#[test]
fn what_will_not_be_renewed_is_what_was_asked_for_unless_something_follows_it() {
    let config = config(ProviderKind::Lotus, HOURLY);
    let mut request = at_period_end(ProviderKind::Lotus);
    let ending = || found(Life::Ending { at: at(DAY) });
    let decided =
        |request: &Request, observed: &Observed| decide(request, observed, rules(&config), at(0));
    let Decision::Settle { as_, note } = decided(&request, &ending()) else {
        panic!("not settled");
    };
    assert_eq!(as_, Settlement::AlreadyCanceled);
    assert!(note.contains("2027-01-16, not by us"), "{note}");
    assert_eq!(
        held_as(&decided(&request, &followed(ending()))),
        [HoldReason::Successor]
    );
    request.standing.sent_while_alive = true;
    let by_us = Decision::Ending { at: at(DAY) };
    assert_eq!(decided(&request, &ending()), by_us);
    assert_eq!(decided(&request, &followed(ending())), by_us);
    // Whoever wants it to end now wants more than that it ends later.
    request.terms.when.value = When::Now;
    assert!(matches!(
        decided(&request, &ending()),
        Decision::Act(Action::Cancel { .. })
    ));
}

#[test]
fn a_provider_that_ends_nothing_by_itself_is_not_believed_to_do_so() {
    let config = config(ProviderKind::Revere, HOURLY);
    let ending = edit(found(Life::Ending { at: at(DAY) }), |it| {
        it.period_end = Some(at(DAY));
    });
    let request = at_period_end(ProviderKind::Revere);
    assert!(matches!(
        decide(&request, &ending, rules(&config), at(0)),
        Decision::ActInWindow { .. }
    ));
}

#[test]
fn ended_after_an_earlier_send_of_ours_is_canceled() {
    let config = config(ProviderKind::Revere, HOURLY);
    let mut request = request(ProviderKind::Revere);
    request.standing.sent_while_alive = true;
    let ended = found(Life::Ended { at: None });
    let Decision::Settle { as_, .. } = decide(&request, &ended, rules(&config), at(0)) else {
        panic!("not settled");
    };
    assert_eq!(as_, Settlement::Canceled);
}

#[test]
fn an_end_that_nobody_tells_holds_and_what_the_item_says_comes_before_what_is_told() {
    let config = config(ProviderKind::Kajabi, HOURLY);
    let silent = at_period_end(ProviderKind::Kajabi);
    for decision in [
        unread(&silent, rules(&config), at(0)),
        decide(&silent, &found(Life::Active), rules(&config), at(0)),
    ] {
        let Decision::Wait(Wait { hold, due_at, .. }) = decision else {
            panic!("not waiting: {decision:?}");
        };
        assert_eq!(hold.unwrap().0, HoldReason::PeriodEndUnknown);
        assert_eq!(due_at, None);
    }
    let says = with_period_end(ProviderKind::Kajabi, at(3 * DAY));
    let expected = Decision::Wait(waits(2 * DAY, 3 * DAY - 6 * HOUR, DAY));
    assert_eq!(unread(&says, rules(&config), at(0)), expected);
    assert_eq!(decide(&says, &ends(DAY), rules(&config), at(0)), expected);
}

/// What is waited for where a reading after one that said `before` says `after`.
fn put_off_at(now: i64, before: Observed, after: &Observed) -> Option<Wait> {
    let config = config(ProviderKind::Revere, HOURLY);
    let mut request = at_period_end(ProviderKind::Revere);
    seen(&mut request, before);
    put_off(&request, after, rules(&config), at(now))
}

#[test]
fn an_end_that_is_put_off_before_it_came_is_waited_for_anew() {
    let later = ends(5 * DAY);
    let wait = waits(4 * DAY, 5 * DAY - 6 * HOUR, 2 * DAY);
    assert_eq!(put_off_at(0, ends(2 * DAY), &later), Some(wait));
    // Up to the last moment before it.
    assert!(put_off_at(2 * DAY, ends(2 * DAY), &later).is_some());
    // Its new window may be open already.
    let open = put_off_at(HOUR, ends(2 * HOUR), &ends(DAY + HOUR));
    assert_eq!(open, Some(waits(HOUR, 19 * HOUR, HOUR)));
}

#[test]
fn an_end_that_came_or_came_nearer_or_is_not_told_is_not_put_off() {
    let (before, later) = (ends(2 * DAY), ends(5 * DAY));
    let untold = found(Life::Active);
    let foreign = || Observed::NotOurs { why: String::new() };
    for (what, now, before, after) in [
        ("it came", 2 * DAY + 1, before.clone(), later.clone()),
        ("it is the same", 0, before.clone(), before.clone()),
        ("it is earlier", 0, later.clone(), before.clone()),
        (
            "its new window has gone by too",
            0,
            ends(HOUR),
            ends(2 * HOUR),
        ),
        ("it was not told", 0, untold.clone(), later.clone()),
        ("it is not told any more", 0, before.clone(), untold),
        ("it was not found", 0, Observed::NotFound, later.clone()),
        ("it was not ours", 0, foreign(), later.clone()),
        (
            "it is not found any more",
            0,
            before.clone(),
            Observed::NotFound,
        ),
        ("it is not ours any more", 0, before.clone(), foreign()),
    ] {
        assert_eq!(put_off_at(now, before, &after), None, "{what}");
    }
    let config = config(ProviderKind::Revere, HOURLY);
    let unseen = at_period_end(ProviderKind::Revere);
    assert_eq!(put_off(&unseen, &later, rules(&config), at(0)), None);
}

fn left(request: &Request, observed: &Observed, now: DateTime<Utc>) -> Option<Window> {
    let config = config(request.kind, HOURLY);
    time_left(request, observed, rules(&config), now)
}

#[test]
fn what_something_holds_has_until_its_window_closes() {
    let mut request = at_period_end(ProviderKind::Revere);
    let window = |opens, closes| {
        Some(Window {
            opens_at: at(opens),
            closes_at: at(closes),
        })
    };
    let told = ends(3 * DAY);
    let closes = 3 * DAY - 6 * HOUR;
    assert_eq!(left(&request, &told, at(0)), window(2 * DAY, closes));
    request.not_before = at(2 * DAY + MINUTE);
    assert_eq!(
        left(&request, &told, at(0)),
        window(2 * DAY + MINUTE, closes)
    );
    request.not_before = at(0);
    // One that has gone by is told once.
    let gone_by = at(closes + 1);
    assert_eq!(left(&request, &told, gone_by), window(2 * DAY, closes));
    request.standing.missed = Some(at(closes - 1));
    assert_eq!(left(&request, &told, gone_by), window(2 * DAY, closes));
    for known in [closes, closes + 1] {
        request.standing.missed = Some(at(known));
        assert_eq!(left(&request, &told, gone_by), None);
        assert_eq!(left(&request, &told, at(closes)), window(2 * DAY, closes));
    }
}

#[test]
fn only_a_living_one_whose_end_is_known_has_time_left() {
    let request = at_period_end(ProviderKind::Revere);
    for observed in [
        Observed::NotFound,
        Observed::NotOurs { why: String::new() },
        found(Life::Active),
        edit(ends(3 * DAY), |it| it.life = Life::Ended { at: None }),
    ] {
        assert_eq!(left(&request, &observed, at(0)), None, "{observed:?}");
    }
    let at_once = super::request(ProviderKind::Revere);
    assert_eq!(left(&at_once, &ends(3 * DAY), at(0)), None);
}

#[test]
fn what_waits_for_an_approval_is_read_where_its_time_depends_on_that() {
    let may_be_read = |mut request: Request, reasons: &[HoldReason]| {
        request.standing.holds = reasons.iter().copied().collect();
        assert_eq!(request.state(), request.standing.state());
        request.may_be_read()
    };
    let at_once = || request(ProviderKind::Revere);
    let at_the_end = || at_period_end(ProviderKind::Revere);
    for request in [at_once(), at_the_end()] {
        assert!(may_be_read(request.clone(), &[]));
        assert!(may_be_read(request.clone(), &[HoldReason::NotFound]));
        assert!(!may_be_read(request, &[HoldReason::Removal]));
    }
    let waits = [HoldReason::NotFound, HoldReason::Approval];
    assert!(may_be_read(at_the_end(), &waits));
    assert!(!may_be_read(at_once(), &waits));
}

#[test]
fn an_instalment_plan_that_was_found_deactivated_is_not_written_off_by_the_confirming_cancel() {
    let mut config = config(ProviderKind::Kajabi, HOURLY);
    let mut request = request(ProviderKind::Kajabi);
    let plan = edit(found(Life::Ended { at: None }), |it| {
        it.billing = Billing::PaymentPlan;
    });
    assert_eq!(
        held_as(&decide(&request, &plan, rules(&config), at(0))),
        [HoldReason::PaymentPlan]
    );
    of_mut(&mut config).payment_plans = PaymentPlans::Cancel;
    assert_eq!(
        decide(&request, &plan, rules(&config), at(0)),
        Decision::Act(Action::ConfirmCancel)
    );
    // The one confirming cancel was sent.
    request.standing.confirmed = true;
    let decision = decide(&request, &plan, rules(&config), at(0));
    let Decision::Settle { as_, .. } = decision else {
        panic!("not settled: {decision:?}");
    };
    assert_eq!(as_, Settlement::AlreadyCanceled);
}
