//! A moment by two clocks: the one that says the less is believed.

use std::time::Duration;

use chrono::DateTime;
use lapsed::model::request::Witness;

fn witness(boot_id: &str, wall: i64, since_boot: u64) -> Witness {
    Witness {
        at: DateTime::from_timestamp(1_800_000_000 + wall, 0).unwrap(),
        boot_id: boot_id.to_owned(),
        since_boot: Duration::from_secs(since_boot),
    }
}

#[test]
fn time_went_by_as_far_as_both_clocks_say_so() {
    let earlier = witness("b1", 0, 1_000);
    for (wall, since_boot, seconds) in [
        (60, 1_060, 60),
        (3_600, 1_060, 60),
        (60, 4_600, 60),
        (-60, 1_060, 0),
        (60, 940, 0),
    ] {
        let later = witness("b1", wall, since_boot);
        assert_eq!(later.since(&earlier), Duration::from_secs(seconds));
    }
}

#[test]
fn over_a_reboot_only_the_wall_clock_is_left() {
    let earlier = witness("b1", 0, 1_000);
    assert_eq!(
        witness("b2", 60, 5).since(&earlier),
        Duration::from_secs(60)
    );
    assert_eq!(witness("b2", -60, 5).since(&earlier), Duration::ZERO);
}
