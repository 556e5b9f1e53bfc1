//! The window before a period's end: which tick falls into it, what is waited for, and what
//! becomes of one that has gone by.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lapsed::config::{Freeze, FreezeSpan, Match, RenewalOff};
use lapsed::model::hold::HoldReason;
use lapsed::model::provider::ProviderKind;
use lapsed::model::request::Request;
use lapsed::model::terms::WhenMissed;
use lapsed::plan::window::{
    Hours, Turn, Wait, Way, Window, next_in_time, planned, turn, unknown, unsafe_window,
};
use lapsed::schedule::Schedule;

use super::kit::{DAY, HOUR, MINUTE, at_period_end, freeze, schedule, with_period_end};
use super::{at, terms};

const HOURLY: &str = "0 * * * *";

fn hours<'a>(schedule: &'a Schedule, freezes: &'a [Freeze]) -> Hours<'a> {
    Hours {
        schedule,
        freezes: freezes.iter().collect(),
        at_a_tick: false,
    }
}

fn window(opens: i64, closes: i64) -> Window {
    Window {
        opens_at: at(opens),
        closes_at: at(closes),
    }
}

/// What becomes of a cancel in the window of a period that ends then.
fn turned(request: &Request, end: i64, ticks: &str, now: i64) -> Turn {
    turned_by(request, end, &hours(&schedule(ticks), &[]), now)
}

fn turned_by(request: &Request, end: i64, hours: &Hours<'_>, now: i64) -> Turn {
    turn(request, Way::Cancel, Some(at(end)), hours, at(now))
}

fn acts(due_at: i64, deadline_at: Option<i64>) -> Turn {
    Turn::Act {
        due_at: at(due_at),
        deadline_at: deadline_at.map(at),
    }
}

fn waits(turn: Turn) -> Wait {
    match turn {
        Turn::Wait(wait) => wait,
        other => panic!("not waiting: {other:?}"),
    }
}

fn held(wait: Wait) -> (HoldReason, String) {
    wait.hold.expect("something holds it")
}

#[test]
fn a_tick_counts_from_the_first_moment_that_is_asked_for_to_the_last() {
    let schedule = schedule(HOURLY);
    let hours = hours(&schedule, &[]);
    assert_eq!(hours.first_tick(at(0), at(0)), Some(at(0)));
    assert_eq!(hours.first_tick(at(1), at(HOUR)), Some(at(HOUR)));
    assert_eq!(hours.first_tick(at(1), at(HOUR - 1)), None);
}

#[test]
fn there_is_no_tick_after_the_years_that_a_schedule_knows() {
    let schedule = schedule("0 0 1 1 *");
    let end: DateTime<Utc> = "2100-06-01T00:00:00Z".parse().unwrap();
    assert_eq!(
        hours(&schedule, &[]).first_tick(end, DateTime::<Utc>::MAX_UTC),
        None
    );
}

#[test]
fn freezes_that_never_end_leave_no_tick() {
    let schedule = schedule("* * * * *");
    let freezes = [Freeze {
        name: "always".to_owned(),
        span: FreezeSpan::Cron {
            schedule: schedule.clone(),
            lasts: Duration::from_secs(61),
        },
        matcher: Match::default(),
    }];
    let far = at(365 * DAY);
    assert_eq!(hours(&schedule, &freezes).first_tick(at(0), far), None);
}

#[test]
fn a_moment_is_frozen_until_the_last_freeze_that_covers_it_ends() {
    let schedule = schedule(HOURLY);
    let freezes = [
        freeze("long", 0, DAY),
        freeze("short", 0, HOUR),
        freeze("later", DAY, 2 * DAY),
    ];
    let hours = hours(&schedule, &freezes);
    assert_eq!(hours.frozen_until(at(0)), Some(at(DAY)));
    assert_eq!(hours.frozen_until(at(-1)), None);
    assert_eq!(hours.first_tick(at(0), at(9 * DAY)), Some(at(2 * DAY)));
}

#[test]
fn only_the_freezes_that_speak_of_an_item_make_its_hours() {
    let request = at_period_end(ProviderKind::Revere);
    let labels = &request.terms.labels;
    let subject = lapsed::config::Subject::new(&request.key, request.kind, labels);
    let mut of_others = freeze("others", 0, DAY);
    of_others.matcher.kind = vec![ProviderKind::Lotus];
    let freezes = [of_others, freeze("all", HOUR, DAY)];
    let schedule = schedule(HOURLY);
    let hours = Hours::of(&schedule, &freezes, &subject);
    let names: Vec<&str> = hours.freezes.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["all"]);
}

#[test]
fn each_kind_of_provider_has_its_way() {
    let way = |kind, renewal_off| Way::of(kind, renewal_off);
    for renewal_off in [RenewalOff::AtOnce, RenewalOff::InWindow] {
        for kind in [ProviderKind::Kajabi, ProviderKind::Revere] {
            assert_eq!(way(kind, renewal_off), Way::Cancel);
        }
    }
    let lotus = ProviderKind::Lotus;
    assert_eq!(way(lotus, RenewalOff::AtOnce), Way::RenewalOffAtOnce);
    assert_eq!(way(lotus, RenewalOff::InWindow), Way::RenewalOffInWindow);
    let native = [Way::RenewalOffAtOnce, Way::RenewalOffInWindow, Way::Cancel].map(Way::native);
    assert_eq!(native, [true, true, false]);
}

#[test]
fn the_window_is_a_span_before_the_end_and_turning_renewal_off_at_once_has_no_margin() {
    let end = at(2 * DAY);
    for way in [Way::Cancel, Way::RenewalOffInWindow] {
        assert_eq!(way.window(end, &terms()), window(DAY, 42 * HOUR));
    }
    let at_once = Way::RenewalOffAtOnce.window(end, &terms());
    assert_eq!(at_once.opens_at, DateTime::<Utc>::MIN_UTC);
    assert_eq!(at_once.closes_at, end);
}

#[test]
fn a_window_longer_than_time_is_open_from_the_beginning_of_time() {
    for opens in [Duration::MAX, Duration::from_secs(9_000_000_000_000)] {
        let mut terms = terms();
        terms.window.value.opens = opens;
        let window = Way::Cancel.window(at(0), &terms);
        assert_eq!(window.opens_at, DateTime::<Utc>::MIN_UTC);
    }
}

#[test]
fn in_its_window_it_acts_from_the_first_moment_to_the_last_tick_that_leaves_a_minute() {
    let request = at_period_end(ProviderKind::Revere);
    // The window of an end after two days: [1 day, 1 day and 18 h].
    let (end, opens, closes) = (2 * DAY, DAY, 42 * HOUR);
    let turned = |now| turned(&request, end, HOURLY, now);
    assert!(matches!(turned(opens - 1), Turn::Wait(_)));
    for now in [opens, opens + 1, closes - HOUR] {
        assert_eq!(turned(now), acts(opens, Some(closes)));
    }
    // The tick at the window's last moment comes too late to be counted on.
    let wait = waits(turned(closes - HOUR + 1));
    assert_eq!(wait.look_at, Some(at(closes - HOUR + 1)));
    assert_eq!(held(wait).0, HoldReason::NoSafeWindow);
    assert!(matches!(turned(closes), Turn::Wait(_)));
    assert_eq!(
        turned(closes + 1),
        Turn::Missed {
            closed_at: at(closes)
        }
    );
}

#[test]
fn a_tick_a_minute_before_a_window_closes_is_counted_on() {
    let hourly = schedule(HOURLY);
    let hours = hours(&hourly, &[]);
    assert_eq!(unsafe_window(window(-1, MINUTE), &hours, at(-1)), None);
    assert!(unsafe_window(window(-1, MINUTE - 1), &hours, at(-1)).is_some());
    // The past of a window has no ticks.
    assert!(unsafe_window(window(-1, HOUR), &hours, at(1)).is_some());
    assert_eq!(unsafe_window(window(0, HOUR), &hours, at(0)), None);
}

#[test]
fn why_a_window_has_no_tick_is_said_in_the_zone_of_the_schedule() {
    let berlin = Schedule::parse("0 0 * * *", chrono_tz::Europe::Berlin).unwrap();
    let said = unsafe_window(window(0, HOUR), &hours(&berlin, &[]), at(0)).unwrap();
    assert_eq!(
        said,
        "no tick of `0 0 * * *` falls into the window from 2027-01-15 09:00 Europe/Berlin to 2027-01-15 10:00 Europe/Berlin"
    );
    let hourly = schedule(HOURLY);
    let freezes = [freeze("before", -DAY, -HOUR), freeze("sale", -HOUR, DAY)];
    let said = unsafe_window(window(0, 3 * HOUR), &hours(&hourly, &freezes), at(0)).unwrap();
    assert!(
        said.ends_with("has no tick that `sale` or another freeze leaves open"),
        "{said}"
    );
    // One at its first moment is one.
    let said = unsafe_window(window(0, HOUR), &hours(&hourly, &freezes), at(0)).unwrap();
    assert!(said.contains("`sale`"), "{said}");
    // A tick in the window's last minute is none, whatever freezes it.
    let said = unsafe_window(window(1, HOUR), &hours(&hourly, &freezes), at(1)).unwrap();
    assert!(said.starts_with("no tick of"), "{said}");
    let said = unsafe_window(window(1, HOUR + MINUTE), &hours(&hourly, &freezes), at(1)).unwrap();
    assert!(said.contains("`sale`"), "{said}");
}

#[test]
fn a_tick_at_work_acts_where_it_is_due_and_not_frozen_though_no_tick_follows() {
    let request = at_period_end(ProviderKind::Revere);
    let daily = schedule("0 8 * * *");
    // The window opened a day before its end, and closes half a minute after the tick at 0.
    let end = 6 * HOUR + 30;
    let sale = [freeze("sale", 0, HOUR)];
    for (freezes, at_a_tick, acts) in [
        (&[][..], true, true),
        (&[][..], false, false),
        (&sale[..], true, false),
    ] {
        let hours = Hours {
            at_a_tick,
            ..hours(&daily, freezes)
        };
        let turn = turned_by(&request, end, &hours, 5);
        assert_eq!(matches!(turn, Turn::Act { .. }), acts, "{turn:?}");
    }
    // Not before the window is open, nor before it may act.
    let hours = Hours {
        at_a_tick: true,
        ..hours(&daily, &[])
    };
    let mut later = request.clone();
    later.not_before = at(10);
    assert_eq!(
        held(waits(turned_by(&later, end, &hours, 5))).0,
        HoldReason::NoSafeWindow
    );
    assert_eq!(turned_by(&later, end, &hours, 10), acts(10, Some(30)));
}

#[test]
fn the_end_of_a_window_ahead_is_read_half_way_and_at_its_opening() {
    let request = at_period_end(ProviderKind::Revere);
    let look_at = |now| waits(turned(&request, 4 * DAY, HOURLY, now)).look_at;
    let opens = 3 * DAY;
    assert_eq!(look_at(0), Some(at(opens / 2)));
    assert_eq!(look_at(opens - 2 * HOUR), Some(at(opens - HOUR)));
    assert_eq!(look_at(opens - 2 * HOUR + 2), Some(at(opens)));
    assert_eq!(look_at(opens - 1), Some(at(opens)));
}

#[test]
fn what_is_held_is_looked_at_in_time() {
    let next = |now| next_in_time(at(now), at(0), at(HOUR));
    assert_eq!(next(-1), Some(at(0)));
    assert_eq!(next(0), Some(at(HOUR / 2)));
    assert_eq!(next(HOUR / 2), Some(at(HOUR * 3 / 4)));
    // Two minutes before it closes the next one would come too late.
    assert_eq!(next(HOUR - 122), Some(at(HOUR - 61)));
    assert_eq!(next(HOUR - 120), None);
    assert_eq!(next(HOUR + 1), None);
}

fn missed(mut request: Request, closed_at: i64) -> Request {
    request.standing.missed = Some(at(closed_at));
    request.standing.late = true;
    request
}

#[test]
fn a_missed_window_is_made_up_for_at_once_where_the_terms_say_so() {
    let mut request = missed(at_period_end(ProviderKind::Revere), -HOUR);
    request.terms.when_missed.value = WhenMissed::Now;
    let turned = |request: &Request| turned(request, 4 * DAY, HOURLY, 0);
    assert_eq!(turned(&request), acts(-HOUR, None));
    assert_eq!(turned(&missed(request.clone(), 0)), acts(0, None));
    // One that closed in what is still to come was missed by a clock that was ahead.
    assert!(matches!(turned(&missed(request.clone(), 1)), Turn::Wait(_)));
    // One that passed in observe mode is not late.
    request.standing.late = false;
    assert!(matches!(turned(&request), Turn::Wait(_)));
    for when_missed in [WhenMissed::NextPeriod, WhenMissed::Ask] {
        let mut request = missed(at_period_end(ProviderKind::Revere), -HOUR);
        request.terms.when_missed.value = when_missed;
        assert!(matches!(turned(&request), Turn::Wait(_)), "{when_missed:?}");
    }
}

#[test]
fn after_a_missed_window_the_next_end_is_asked_for_an_hour_after_the_old_one() {
    let (end, closes) = (0, -6 * HOUR);
    let known = missed(at_period_end(ProviderKind::Revere), closes);
    let wait = waits(turned(&known, end, HOURLY, closes + 1));
    let asks = Wait {
        due_at: None,
        deadline_at: None,
        look_at: Some(at(HOUR)),
        hold: None,
    };
    assert_eq!(wait, asks);
    assert_eq!(waits(turned(&known, end, HOURLY, HOUR - 1)), asks);
    let wait = waits(turned(&known, end, HOURLY, HOUR));
    assert_eq!(wait.look_at, None);
    let (reason, detail) = held(wait);
    assert_eq!(reason, HoldReason::PeriodEndUnknown);
    assert_eq!(
        detail,
        "revere still names the period that ended at 2027-01-15 08:00 UTC, whose window has gone by"
    );
    // A window that closed later than the one that is known is missed anew.
    let earlier = missed(at_period_end(ProviderKind::Revere), closes - 1);
    let closed_at = at(closes);
    assert_eq!(
        turned(&earlier, end, HOURLY, closes + 1),
        Turn::Missed { closed_at }
    );
}

#[test]
fn only_the_file_can_tell_the_next_end_where_it_told_the_one_before() {
    let known = missed(with_period_end(ProviderKind::Kajabi, at(0)), -6 * HOUR);
    let wait = waits(turned(&known, 0, HOURLY, -HOUR));
    assert_eq!(wait.look_at, None);
    let (reason, detail) = held(wait);
    assert_eq!(reason, HoldReason::PeriodEndUnknown);
    assert!(
        detail.contains("`period_ends` names ends at 2027-01-15 08:00 UTC"),
        "{detail}"
    );
}

#[test]
fn an_end_that_nobody_tells_holds_in_words_that_fit_the_provider() {
    let request = at_period_end(ProviderKind::Revere);
    let schedule = schedule(HOURLY);
    let hours = hours(&schedule, &[]);
    let untold = turn(&request, Way::Cancel, None, &hours, at(0));
    assert_eq!(untold, Turn::Wait(unknown(ProviderKind::Revere)));
    let words = |kind| held(unknown(kind)).1;
    assert_eq!(
        words(ProviderKind::Revere),
        "revere does not say when the period ends"
    );
    assert_eq!(
        words(ProviderKind::Kajabi),
        "kajabi does not tell when the period ends, and the item does not either"
    );
}

#[test]
fn a_period_that_the_file_tells_is_planned_without_a_reading() {
    let terms = terms();
    let planned = |end, ticks: &str, not_before, now| {
        let schedule = schedule(ticks);
        let hours = hours(&schedule, &[]);
        planned(at(end), &terms, &hours, at(not_before), at(now))
    };
    let wait = |due_at, deadline_at, look_at| Wait {
        due_at: Some(at(due_at)),
        deadline_at: Some(at(deadline_at)),
        look_at: Some(at(look_at)),
        hold: None,
    };
    // It is read when its window opens, and not before.
    assert_eq!(
        planned(3 * DAY, HOURLY, 0, 0),
        wait(2 * DAY, 66 * HOUR, 2 * DAY)
    );
    assert_eq!(planned(DAY, HOURLY, HOUR, 0), wait(HOUR, 18 * HOUR, HOUR));
    // Without a safe tick it is looked at half-way, for the schedule may change.
    let unsafe_one = planned(3 * DAY, "0 0 1 6 *", 0, 0);
    assert_eq!(unsafe_one.look_at, Some(at(DAY)));
    assert_eq!(held(unsafe_one).0, HoldReason::NoSafeWindow);
    // Nothing is said of the ticks of a window that has gone by.
    let closes = 18 * HOUR;
    assert_eq!(planned(DAY, "0 0 1 6 *", 0, closes + 1), wait(0, closes, 0));
    assert_eq!(
        held(planned(DAY, "0 0 1 6 *", 0, closes)).0,
        HoldReason::NoSafeWindow
    );
}
