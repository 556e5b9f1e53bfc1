//! The clocks: the machine's own, and the one that tests set.

use std::time::Duration;

use lapsed::clock::{Clock as _, ManualClock, SystemClock};

#[test]
fn the_machines_clocks_go_on_and_name_the_boot_that_they_count_from() {
    let clock = SystemClock::default();
    let (wall, since_boot) = (clock.now(), clock.since_boot());
    assert!(!clock.boot_id().is_empty());
    assert_eq!(clock.boot_id(), SystemClock::new().boot_id());
    assert!(clock.since_boot() >= since_boot && since_boot > Duration::ZERO);
    assert!(wall.timestamp() > 1_700_000_000);
}

#[tokio::test]
async fn whoever_waits_by_a_clock_that_is_set_by_hand_finds_that_the_time_has_gone_by() {
    let begin = "2026-11-27T12:00:00Z".parse().unwrap();
    let clock = ManualClock::at(begin);
    let since_boot = clock.since_boot();
    clock.sleep(Duration::from_secs(60)).await;
    assert_eq!(clock.now() - begin, chrono::Duration::minutes(1));
    assert_eq!(clock.since_boot() - since_boot, Duration::from_secs(60));
    // Somebody sets the wall clock; the other one cannot be set.
    clock.set_wall(begin);
    assert_eq!(clock.now(), begin);
    assert_eq!(clock.since_boot() - since_boot, Duration::from_secs(60));
}
