//! The days ahead: which item acts at which tick, and what is in the way of its deadline.

use std::time::Duration;

use lapsed::config::{Config, Freeze};
use lapsed::model::ids::ProviderName;
use lapsed::model::memory::Used;
use lapsed::model::provider::ProviderKind;
use lapsed::plan::forecast::{Foretold, Obstacle, Work, cost_of_one, forecast, horizon, slack};

use super::at;
use super::kit::{DAY, HOUR, MINUTE, config, freeze, name, of_mut, provider};

const HOURLY: &str = "0 * * * *";

/// What an item keeps its provider busy: three requests at three in a minute.
const ONE: i64 = MINUTE;

fn hourly() -> Config {
    config(ProviderKind::Revere, HOURLY)
}

fn work(order: i64, due_at: i64, deadline_at: Option<i64>) -> Work<'static> {
    Work {
        provider: name(),
        order,
        due_at: at(due_at),
        deadline_at: deadline_at.map(at),
        freezes: Vec::new(),
        own_limit: None,
    }
}

/// So many that are due at once.
fn due(count: i64) -> Vec<Work<'static>> {
    (0..count).map(|order| work(order, 0, None)).collect()
}

fn told(config: &Config, work: &[Work<'_>], used: &Used) -> Vec<Foretold> {
    forecast(config, work, used, at(0), horizon(work, at(0)))
}

/// When each acts, in seconds.
fn times(config: &Config, work: &[Work<'_>], used: &Used) -> Vec<i64> {
    let told = told(config, work, used);
    let second = |it: Foretold| (it.at.expect("it acts") - at(0)).num_seconds();
    told.into_iter().map(second).collect()
}

fn times_of(config: &Config, work: &[Work<'_>]) -> Vec<i64> {
    times(config, work, &Used::default())
}

fn obstacle(config: &Config, work: &[Work<'_>], used: &Used) -> Option<Obstacle> {
    told(config, work, used).pop().unwrap().obstacle
}

fn other() -> ProviderName {
    ProviderName::parse("q").unwrap()
}

#[test]
fn what_is_due_acts_at_the_next_tick_and_one_after_the_other() {
    assert_eq!(times_of(&hourly(), &due(3)), [0, ONE, 2 * ONE]);
    let work = [work(0, 1, None), work(1, -DAY, None), work(2, HOUR, None)];
    assert_eq!(times_of(&hourly(), &work), [HOUR, 0, HOUR + ONE]);
    assert_eq!(told(&hourly(), &[], &Used::default()), []);
}

#[test]
fn the_earliest_deadline_goes_first_and_then_what_was_due_first() {
    let work = [
        work(0, -3, None),
        work(1, -2, Some(9 * DAY)),
        work(2, -1, Some(8 * DAY)),
        work(4, -4, Some(9 * DAY)),
        work(3, -4, Some(9 * DAY)),
    ];
    assert_eq!(
        times_of(&hourly(), &work),
        [4 * ONE, 3 * ONE, 0, 2 * ONE, ONE]
    );
}

#[test]
fn providers_do_not_wait_for_one_another() {
    let mut config = hourly();
    let mut second = provider(ProviderKind::Lotus, "30 * * * *");
    second.name = other();
    config.providers.insert(other(), second);
    let mut there = work(1, 0, None);
    there.provider = other();
    let mut gone = work(2, 0, Some(DAY));
    gone.provider = ProviderName::parse("gone").unwrap();
    let work = [work(0, 0, None), there, gone];
    let told = told(&config, &work, &Used::default());
    let times: Vec<_> = told.iter().map(|it| it.at).collect();
    assert_eq!(times, [Some(at(0)), Some(at(HOUR / 2)), None]);
    // Nothing can be said of a provider that the file does not have.
    assert_eq!(told[2].obstacle, None);
}

#[test]
fn nothing_is_foretold_behind_the_time_that_is_looked_at() {
    let until = |seconds| {
        let work = [work(0, 1, None)];
        let told = forecast(&hourly(), &work, &Used::default(), at(0), at(seconds));
        told[0].at
    };
    assert_eq!(until(HOUR), Some(at(HOUR)));
    assert_eq!(until(HOUR - 1), None);
}

#[test]
fn an_hours_limit_lets_the_rest_wait_until_an_hour_after_each_write() {
    let mut config = hourly();
    config.limits.per_hour = 2;
    // A write leaves the hour to the second: the next one may follow at that moment.
    assert_eq!(
        times_of(&config, &due(5)),
        [0, ONE, HOUR, HOUR + ONE, 2 * HOUR]
    );
}

#[test]
fn a_days_limit_lets_the_rest_wait_until_a_day_after_each_write() {
    let mut config = hourly();
    config.limits.per_day = 1;
    assert_eq!(times_of(&config, &due(3)), [0, DAY, 2 * DAY]);
}

#[test]
fn a_providers_own_limits_count_its_own_writes() {
    let mut config = hourly();
    of_mut(&mut config).limits.per_hour = Some(1);
    assert_eq!(times_of(&config, &due(2)), [0, HOUR]);
    of_mut(&mut config).limits.per_day = Some(1);
    assert_eq!(times_of(&config, &due(2)), [0, DAY]);
    let mut second = provider(ProviderKind::Revere, HOURLY);
    second.name = other();
    config.providers.insert(other(), second);
    let mut work = due(3);
    work[1].provider = other();
    work[2].provider = other();
    assert_eq!(times_of(&config, &work), [0, 0, ONE]);
}

#[test]
fn what_was_written_before_leaves_as_late_as_it_can() {
    let mut config = hourly();
    let one = &due(1)[..];
    let common_hour = Used {
        common_hour: 100,
        ..Used::default()
    };
    assert_eq!(times(&config, one, &common_hour), [HOUR]);
    let common_day = Used {
        common_day: 500,
        ..Used::default()
    };
    assert_eq!(times(&config, one, &common_day), [DAY]);
    let one_less = Used {
        common_hour: 99,
        common_day: 499,
        ..Used::default()
    };
    assert_eq!(times(&config, one, &one_less), [0]);
    // Once it has left, only what is foretold counts.
    let mut tight = hourly();
    tight.limits.per_hour = 1;
    let one_before = Used {
        common_hour: 1,
        ..Used::default()
    };
    assert_eq!(times(&tight, &due(2), &one_before), [HOUR, 2 * HOUR]);
    of_mut(&mut config).limits.per_hour = Some(1);
    of_mut(&mut config).limits.per_day = Some(2);
    let here = |hour: u64, day: u64| Used {
        hour: [(name(), hour), (other(), 9)].into(),
        day: [(name(), day), (other(), 9)].into(),
        ..Used::default()
    };
    assert_eq!(times(&config, one, &here(0, 0)), [0]);
    assert_eq!(times(&config, one, &here(1, 1)), [HOUR]);
    assert_eq!(times(&config, one, &here(1, 2)), [DAY]);
}

#[test]
fn what_has_a_limit_of_its_own_neither_waits_for_the_common_one_nor_uses_it() {
    let mut config = hourly();
    config.limits.per_hour = 1;
    let mut work = due(5);
    for one in &mut work[2..] {
        one.own_limit = Some(("plan", 2));
    }
    // The second waits for the common hour, the last for the plan's day.
    assert_eq!(
        times_of(&config, &work),
        [0, HOUR, ONE, 2 * ONE, DAY + HOUR]
    );
    let used = Used {
        plans: [("plan".to_owned(), 1), ("other".to_owned(), 9)].into(),
        ..Used::default()
    };
    assert_eq!(times(&config, &work[2..4], &used), [0, DAY]);
}

#[test]
fn a_limit_of_nothing_lets_nothing_act() {
    let mut config = hourly();
    config.limits.per_hour = 0;
    let work = [work(0, 0, Some(DAY))];
    let told = told(&config, &work, &Used::default());
    assert_eq!(told[0].at, None);
    assert_eq!(told[0].obstacle, Some(Obstacle::Limit));
}

#[test]
fn what_is_frozen_acts_at_the_first_tick_afterwards_and_holds_no_other_up() {
    let freezes = [freeze("sale", 0, 3 * HOUR + 1), freeze("short", 0, HOUR)];
    let mut work = due(2);
    work[0].freezes = freezes.iter().collect();
    assert_eq!(times_of(&hourly(), &work), [4 * HOUR, 0]);
}

#[test]
fn a_deadline_that_is_met_has_no_obstacle() {
    let (config, used) = (hourly(), Used::default());
    for deadline in [None, Some(HOUR), Some(HOUR + 1)] {
        assert_eq!(obstacle(&config, &[work(0, 1, deadline)], &used), None);
    }
}

#[test]
fn a_schedule_without_a_tick_in_time_is_in_the_way() {
    let (config, used) = (hourly(), Used::default());
    let found = obstacle(&config, &[work(0, 1, Some(HOUR - 1))], &used);
    assert_eq!(found, Some(Obstacle::Schedule));
    // The past has no ticks.
    let found = obstacle(&config, &[work(0, -DAY, Some(-1))], &used);
    assert_eq!(found, Some(Obstacle::Schedule));
}

#[test]
fn a_freeze_over_every_tick_in_time_is_in_the_way_and_is_named() {
    let freezes: [Freeze; 2] = [freeze("before", -DAY, 0), freeze("sale", 0, DAY)];
    let frozen = |deadline| {
        let mut one = work(0, 0, Some(deadline));
        one.freezes = freezes.iter().collect();
        obstacle(&hourly(), &[one], &Used::default())
    };
    assert_eq!(frozen(DAY - 1), Some(Obstacle::Freeze("sale".to_owned())));
    assert_eq!(frozen(DAY), None);
}

#[test]
fn a_limit_that_lets_others_go_first_is_in_the_way() {
    let mut config = hourly();
    config.limits.per_hour = 1;
    let work = [work(0, 0, Some(MINUTE)), work(1, 0, Some(HOUR / 2))];
    let told = told(&config, &work, &Used::default());
    assert_eq!(told[0].obstacle, None);
    assert_eq!(told[1].obstacle, Some(Obstacle::Limit));
    // Also at the very tick, and at the very deadline.
    let used = Used {
        common_hour: 100,
        ..Used::default()
    };
    for deadline in [0, HOUR - 1] {
        let one = [self::work(0, 0, Some(deadline))];
        assert_eq!(obstacle(&hourly(), &one, &used), Some(Obstacle::Limit));
    }
}

#[test]
fn the_rate_limit_is_in_the_way_where_no_other_limit_was_in_that_time() {
    let used = Used {
        common_hour: 100,
        ..Used::default()
    };
    // The first waits for the hour's limit; hours later two share a tick.
    let work = [
        work(0, 0, None),
        work(1, 2 * HOUR, Some(2 * HOUR)),
        work(2, 2 * HOUR, Some(2 * HOUR)),
    ];
    let told = told(&hourly(), &work, &used);
    assert_eq!(told[1].obstacle, None);
    assert_eq!(told[2].at, Some(at(2 * HOUR + ONE)));
    assert_eq!(told[2].obstacle, Some(Obstacle::Rate));
    // A limit that was in the way behind the deadline is not what it was missed for.
    let mut config = hourly();
    config.limits.per_hour = 2;
    let work = [
        self::work(0, 0, Some(0)),
        self::work(1, 0, Some(1)),
        self::work(2, 0, Some(2)),
    ];
    let told = self::told(&config, &work, &Used::default());
    assert_eq!(told[1].obstacle, Some(Obstacle::Rate));
}

#[test]
fn each_obstacle_has_its_words() {
    for (obstacle, words) in [
        (Obstacle::Schedule, "the schedule has no tick in time"),
        (
            Obstacle::Freeze("sale".to_owned()),
            "`sale` freezes every tick in time",
        ),
        (Obstacle::Limit, "the limits of writes let others go first"),
        (Obstacle::Rate, "the rate limit lets others go first"),
    ] {
        assert_eq!(obstacle.words(), words);
    }
}

#[test]
fn the_days_ahead_reach_a_year_behind_whatever_is_due_last() {
    let ahead = |work: &[Work<'_>]| (horizon(work, at(0)) - at(0)).num_days();
    assert_eq!(ahead(&[]), 400);
    assert_eq!(ahead(&[work(0, -9 * DAY, None)]), 400);
    assert_eq!(ahead(&[work(0, 3 * DAY, None), work(1, 0, None)]), 403);
    assert_eq!(ahead(&[work(0, 3 * DAY, Some(5 * DAY))]), 405);
}

#[test]
fn the_room_to_a_deadline_is_negative_once_it_is_missed() {
    let foretold = |seconds: Option<i64>| Foretold {
        at: seconds.map(at),
        obstacle: None,
    };
    let room = |deadline, seconds| {
        let work = work(0, 0, deadline);
        slack(&work, &foretold(seconds), at(2 * DAY)).map(|it| it / 3_600.0)
    };
    assert_eq!(room(Some(DAY), Some(HOUR)), Some(23.0));
    assert_eq!(room(Some(DAY), Some(25 * HOUR)), Some(-1.0));
    assert_eq!(room(None, Some(HOUR)), None);
    // One that never acts is at least as late as the time that was looked at.
    assert_eq!(room(Some(DAY), None), Some(-24.0));
    assert_eq!(room(Some(3 * DAY), None), Some(0.0));
}

#[test]
fn an_item_costs_the_requests_to_look_cancel_and_look_again() {
    let cost = |kind| cost_of_one(&provider(kind, HOURLY)).num_seconds();
    assert_eq!(cost(ProviderKind::Revere), ONE);
    assert_eq!(cost(ProviderKind::Lotus), 100);
    // No rate is no division by nothing.
    let mut none = provider(ProviderKind::Revere, HOURLY);
    none.rate_limit.requests = 0;
    assert_eq!(cost_of_one(&none).num_seconds(), 3 * MINUTE);
    none.rate_limit.per = Duration::from_secs(10_000_000_000_000_000);
    assert_eq!(cost_of_one(&none).num_seconds(), HOUR);
}
