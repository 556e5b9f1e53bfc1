//! Schedules: what the fields mean, and when clocks are changed.

use std::collections::BTreeSet;
use std::str::FromStr;

use chrono::{DateTime, MappedLocalTime, NaiveDate, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use lapsed::schedule::Schedule;
use proptest::prelude::*;

fn schedule(text: &str, zone: &str) -> Schedule {
    let zone: Tz = zone.parse().unwrap();
    Schedule::parse(text, zone).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> String {
    match Schedule::parse(text, Tz::UTC) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("`{text}` was taken for a schedule"),
    }
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn ticks(schedule: &Schedule, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    std::iter::successors(schedule.next_after(after), |at| schedule.next_after(*at))
}

/// The first ticks after an instant, as the wall shows them.
fn on_the_wall(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let tz: Tz = zone.parse().unwrap();
    ticks(&schedule(text, zone), instant(after))
        .take(count)
        .map(|at| at.with_timezone(&tz).format("%d %H:%M %:z").to_string())
        .collect()
}

/// The weekdays of a field, from Sunday.
fn weekdays(field: &str) -> String {
    let schedule = schedule(&format!("0 12 * * {field}"), "UTC");
    // A Saturday, so that the week starts on Sunday.
    let start = instant("2026-01-03T23:00:00Z");
    ticks(&schedule, start)
        .take_while(|at| *at < start + TimeDelta::days(7))
        .map(|at| at.format("%a").to_string())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn numbers_and_names_of_weekdays_mean_what_cron_means() {
    for (field, days) in [
        ("0", "Sun"),
        ("7", "Sun"),
        ("sun", "Sun"),
        ("1", "Mon"),
        ("MON-FRI", "Mon Tue Wed Thu Fri"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("5-7", "Sun Fri Sat"),
        ("0-7", "Sun Mon Tue Wed Thu Fri Sat"),
        ("FRI-MON", "Sun Mon Fri Sat"),
        ("5-1", "Sun Mon Fri Sat"),
        ("7-2", "Sun Mon Tue"),
        ("SAT-SUN", "Sun Sat"),
        ("MON-SUN", "Sun Mon Tue Wed Thu Fri Sat"),
        ("FRI-MON/2", "Sun Fri"),
        ("*/2", "Sun Tue Thu Sat"),
        ("1,SAT", "Mon Sat"),
    ] {
        assert_eq!(weekdays(field), days, "day of the week `{field}`");
    }
}

#[test]
fn either_kind_of_day_is_enough_when_both_are_restricted() {
    let found = on_the_wall("0 9 1,15 * MON", "UTC", "2026-06-01T10:00:00Z", 4);
    assert_eq!(
        found,
        [
            "08 09:00 +00:00",
            "15 09:00 +00:00",
            "22 09:00 +00:00",
            "29 09:00 +00:00"
        ]
    );
    // crontab(5) calls `*/2` unrestricted, so both must match.
    let found = on_the_wall("0 9 */2 * MON", "UTC", "2026-06-01T10:00:00Z", 2);
    assert_eq!(found, ["15 09:00 +00:00", "29 09:00 +00:00"]);
}

#[test]
fn six_fields_begin_with_the_second() {
    let found: Vec<_> = ticks(
        &schedule("*/20 0 8 * * *", "UTC"),
        instant("2026-06-01T08:00:00Z"),
    )
    .take(3)
    .map(|at| at.to_rfc3339())
    .collect();
    assert_eq!(
        found,
        [
            "2026-06-01T08:00:20+00:00",
            "2026-06-01T08:00:40+00:00",
            "2026-06-02T08:00:00+00:00"
        ]
    );
}

#[test]
fn a_tick_is_strictly_after_the_instant_asked_about() {
    let schedule = schedule("0 9 * * *", "UTC");
    let nine = instant("2026-06-01T09:00:00Z");
    assert_eq!(
        schedule.next_after(nine - TimeDelta::nanoseconds(1)),
        Some(nine)
    );
    assert_eq!(schedule.next_after(nine), Some(nine + TimeDelta::days(1)));
    let just_after = nine + TimeDelta::nanoseconds(1);
    assert_eq!(
        schedule.next_after(just_after),
        Some(nine + TimeDelta::days(1))
    );
}

#[test]
fn shorthands_are_what_crontab_says() {
    for (shorthand, fields) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * SUN"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@Annually", "0 0 1 JAN *"),
    ] {
        let start = instant("2026-05-05T05:05:05Z");
        let (left, right) = (
            schedule(shorthand, "Europe/Berlin"),
            schedule(fields, "Europe/Berlin"),
        );
        assert!(
            ticks(&left, start)
                .take(20)
                .eq(ticks(&right, start).take(20)),
            "{shorthand}"
        );
    }
}

#[test]
fn a_time_that_clocks_skip_comes_once_at_the_end_of_the_gap() {
    let found = on_the_wall("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", 2);
    assert_eq!(found, ["28 03:00 +02:00", "29 02:30 +02:00"]);
    let found = on_the_wall("*/10 2,3 * * *", "Europe/Berlin", "2027-03-27T12:00:00Z", 3);
    assert_eq!(
        found,
        ["28 03:00 +02:00", "28 03:10 +02:00", "28 03:20 +02:00"]
    );
    let found = on_the_wall("@daily", "Africa/Cairo", "2027-04-29T12:00:00Z", 2);
    assert_eq!(found, ["30 01:00 +03:00", "01 00:00 +03:00"]);
    let found = on_the_wall(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T00:00:00Z",
        2,
    );
    assert_eq!(found, ["04 02:30 +11:00", "05 02:15 +11:00"]);
    let found = on_the_wall("0 12 * * *", "Pacific/Apia", "2011-12-30T00:00:00Z", 2);
    assert_eq!(found, ["31 00:00 +14:00", "31 12:00 +14:00"]);
}

#[test]
fn a_time_that_clocks_repeat_comes_once_the_first_time() {
    let found = on_the_wall("*/30 2 * * *", "Europe/Berlin", "2027-10-30T12:00:00Z", 3);
    assert_eq!(
        found,
        ["31 02:00 +02:00", "31 02:30 +02:00", "01 02:00 +01:00"]
    );
    // Also for one who asks in the middle of the second pass.
    let found = on_the_wall("45 2 * * *", "Europe/Berlin", "2027-10-31T01:10:00Z", 1);
    assert_eq!(found, ["01 02:45 +01:00"]);
    let found = on_the_wall("0 3 * * *", "Europe/Berlin", "2027-10-31T01:59:59Z", 1);
    assert_eq!(found, ["31 03:00 +01:00"]);
}

#[test]
fn a_star_for_the_hour_runs_on_real_time() {
    let found = on_the_wall("30 * * * *", "Europe/Berlin", "2027-10-30T23:00:00Z", 4);
    assert_eq!(
        found,
        [
            "31 01:30 +02:00",
            "31 02:30 +02:00",
            "31 02:30 +01:00",
            "31 03:30 +01:00"
        ]
    );
    let found = on_the_wall("30 * * * *", "Europe/Berlin", "2027-03-28T00:00:00Z", 2);
    assert_eq!(found, ["28 01:30 +01:00", "28 03:30 +02:00"]);
    let found = on_the_wall("0 */2 * * *", "Europe/Berlin", "2027-10-30T23:30:00Z", 3);
    assert_eq!(
        found,
        ["31 02:00 +02:00", "31 02:00 +01:00", "31 04:00 +01:00"]
    );
    // One hour alone is a time of day, however it is spelled, and is not lost in a gap.
    let found = on_the_wall("0 */24 * * *", "Africa/Cairo", "2027-04-29T12:00:00Z", 1);
    assert_eq!(found, ["30 01:00 +03:00"]);
}

#[test]
fn a_schedule_every_second_crosses_changed_clocks_without_a_gap() {
    for start in [
        "2027-10-30T23:59:50Z",
        "2027-10-31T00:59:50Z",
        "2027-03-28T00:59:50Z",
    ] {
        let start = instant(start);
        let every_second = schedule("* * * * * *", "Europe/Berlin");
        for (past, tick) in (1..40).zip(ticks(&every_second, start)) {
            assert_eq!(tick, start + TimeDelta::seconds(past));
        }
    }
}

#[test]
fn a_schedule_that_never_fires_is_refused() {
    for text in ["0 9 30 2 *", "0 9 31 2,4,6,9,11 *", "0 0 31 6 */2"] {
        assert_eq!(
            refusal(text),
            "never fires: none of its months has such a day"
        );
    }
    // A leap day comes, and so does the Monday beside an impossible day.
    assert_eq!(
        on_the_wall("0 9 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1),
        ["29 09:00 +00:00"]
    );
    assert_eq!(
        on_the_wall("0 9 30 2 MON", "UTC", "2026-01-01T00:00:00Z", 1),
        ["02 09:00 +00:00"]
    );
}

#[test]
fn a_refusal_names_the_field_what_was_found_and_what_is_allowed() {
    for (text, why) in [
        (
            "60 * * * *",
            "minute: found `60`; allowed: 0 to 59, `*`, ranges, lists and steps",
        ),
        (
            "0 24 * * *",
            "hour: found `24`; allowed: 0 to 23, `*`, ranges, lists and steps",
        ),
        (
            "0 0 0 * *",
            "day of the month: found `0`; allowed: 1 to 31, `*`, ranges, lists and steps",
        ),
        (
            "0 0 * JNA *",
            "month: found `JNA`; allowed: 1 to 12, JAN to DEC, `*`, ranges, lists and steps",
        ),
        (
            "0 0 * * 8",
            "day of the week: found `8`; allowed: 0 to 7 (0 and 7 are Sunday), SUN to SAT, `*`, ranges, lists and steps",
        ),
        (
            "0 22-2 * * *",
            "hour: found `22-2`, which ends before it begins; write `22-23,0-2`",
        ),
        (
            "5/10 * * * *",
            "minute: found `5/10`; a step needs a range: write `5-59/10`",
        ),
        ("*/0 * * * *", "minute: found `*/0`; allowed steps: 1 to 60"),
        (
            "*/90 * * * *",
            "minute: found `*/90`; allowed steps: 1 to 60",
        ),
    ] {
        assert_eq!(refusal(text), why);
    }
    for text in ["", "*", "* * * *", "* * * * * * *"] {
        assert!(refusal(text).contains("allowed: 5 (minute"), "{text}");
    }
    assert!(refusal("@reboot").starts_with("found `@reboot`; allowed: `@hourly`"));
}

#[test]
fn no_text_breaks_a_refusal_in_two_or_reaches_the_terminal() {
    for text in [
        "\u{1b}[31m * * * *",
        "+1 * * * *",
        "1,, * * * *",
        "- * * * *",
        "0 0 L * ?",
        "0 0 * * 1#2",
    ] {
        let why = refusal(text);
        assert!(why.chars().all(|char| !char.is_control()), "{why:?}");
    }
    assert!(refusal(&"9".repeat(10_000)).len() < 400);
}

#[test]
fn the_last_tick_is_in_the_year_2100() {
    let yearly = schedule("@yearly", "UTC");
    let last = ticks(&yearly, instant("2026-01-01T00:00:00Z")).last();
    assert_eq!(last, Some(instant("2100-01-01T00:00:00Z")));
}

const ZONES: [&str; 12] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Asia/Kolkata",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Chatham",
    "UTC",
];

/// The days of a year on which a zone's clocks are changed.
fn changes(zone: Tz, year: i32) -> Vec<DateTime<Utc>> {
    let days: Vec<_> = NaiveDate::from_ymd_opt(year, 1, 1)
        .unwrap()
        .iter_days()
        .take(366)
        .map(|day| day.and_hms_opt(0, 0, 0).unwrap().and_utc())
        .collect();
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    days.windows(2)
        .filter(|pair| offset(pair[0]) != offset(pair[1]))
        .map(|pair| pair[0])
        .collect()
}

/// Day of the month, month, day of the week.
fn days() -> impl Strategy<Value = String> {
    let day = prop_oneof![
        3 => Just("*".to_owned()),
        1 => (1..29_u32).prop_map(|day| day.to_string()),
        1 => (1..15_u32, 15..32_u32).prop_map(|(from, to)| format!("{from}-{to}")),
    ];
    let month = prop_oneof![
        4 => Just("*".to_owned()),
        1 => (1..6_u32, 6..13_u32).prop_map(|(from, to)| format!("{from}-{to}")),
        1 => Just("MAR,APR,SEP-NOV".to_owned()),
    ];
    let weekday = prop_oneof![
        3 => Just("*".to_owned()),
        1 => (0..8_u32).prop_map(|day| day.to_string()),
        1 => (0..4_u32, 4..8_u32).prop_map(|(from, to)| format!("{from}-{to}")),
        1 => Just("SUN,WED".to_owned()),
    ];
    (day, month, weekday).prop_map(|(day, month, weekday)| format!("{day} {month} {weekday}"))
}

/// A schedule, and the schedules whose ticks together are its own. croner takes the many
/// minutes or hours of a fixed schedule for an interval, so it is given each of them alone.
fn fixed() -> impl Strategy<Value = (String, Vec<String>)> {
    let few = |last: u32| prop::collection::btree_set(0..=last, 1..4);
    let night = prop::collection::btree_set(0..4_u32, 1..4);
    let hours = prop_oneof![few(23), night];
    (few(59), hours, days()).prop_map(|(minutes, hours, days)| {
        let list =
            |set: &BTreeSet<u32>| set.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let whole = format!("{} {} {days}", list(&minutes), list(&hours));
        let single = minutes
            .iter()
            .flat_map(|minute| hours.iter().map(move |hour| (minute, hour)))
            .map(|(minute, hour)| format!("{minute} {hour} {days}"))
            .collect();
        (whole, single)
    })
}

fn interval() -> impl Strategy<Value = (String, Vec<String>)> {
    let minute = prop_oneof![
        Just("*".to_owned()),
        (1..60_u32).prop_map(|step| format!("*/{step}")),
        (0..60_u32).prop_map(|minute| minute.to_string()),
        (0..30_u32, 30..60_u32).prop_map(|(from, to)| format!("{from}-{to}/7")),
    ];
    let hour = prop_oneof![
        2 => Just("*".to_owned()),
        1 => (1..12_u32).prop_map(|step| format!("*/{step}")),
    ];
    (minute, hour, days()).prop_map(|(minute, hour, days)| {
        let whole = format!("{minute} {hour} {days}");
        (whole.clone(), vec![whole])
    })
}

/// What croner says of the same time.
fn oracle(
    texts: &[String],
    zone: Tz,
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Vec<DateTime<Utc>> {
    let mut ticks = BTreeSet::new();
    for text in texts {
        let cron = croner::Cron::from_str(text).unwrap();
        ticks.extend(
            cron.iter_after(after.with_timezone(&zone))
                .map(|at| at.to_utc())
                .take_while(|at| *at <= until),
        );
    }
    ticks.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_croner(
        zone in prop::sample::select(&ZONES),
        year in 2015..2037_i32,
        place in any::<prop::sample::Index>(),
        minutes_before in 0..4 * 24 * 60_i64,
        (text, texts) in prop_oneof![fixed(), interval()],
    ) {
        let zone: Tz = zone.parse().unwrap();
        let mut starts = changes(zone, year);
        starts.push(Utc.with_ymd_and_hms(year, 7, 1, 0, 0, 0).unwrap());
        let after = starts[place.index(starts.len())] + TimeDelta::days(1) - TimeDelta::minutes(minutes_before);
        // Asked in the middle of the second pass, croner tells of times that it has told before.
        let wall = after.with_timezone(&zone).naive_local();
        prop_assume!(matches!(zone.from_local_datetime(&wall), MappedLocalTime::Single(_)));
        let until = after + TimeDelta::days(5);

        let schedule = Schedule::parse(&text, zone).unwrap();
        let ours: Vec<_> = ticks(&schedule, after).take_while(|at| *at <= until).collect();
        prop_assert_eq!(ours, oracle(&texts, zone, after, until), "`{}` in {}", text, zone);
    }

    #[test]
    fn asking_anywhere_between_two_ticks_gives_the_later_one(
        zone in prop::sample::select(&ZONES),
        year in 2015..2037_i32,
        place in any::<prop::sample::Index>(),
        seconds in 0..2 * 24 * 3600_i64,
        (text, _) in prop_oneof![fixed(), interval()],
    ) {
        let zone: Tz = zone.parse().unwrap();
        let mut starts = changes(zone, year);
        starts.push(Utc.with_ymd_and_hms(year, 7, 1, 0, 0, 0).unwrap());
        let start = starts[place.index(starts.len())];
        let asked = start + TimeDelta::seconds(seconds);

        let schedule = Schedule::parse(&text, zone).unwrap();
        let walked = ticks(&schedule, start - TimeDelta::days(1)).find(|at| *at > asked);
        prop_assert_eq!(schedule.next_after(asked), walked, "`{}` in {} after {}", text, zone, asked);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,40}|[0-9*,/@A-Z -]{0,30}") {
        if let Ok(schedule) = Schedule::parse(&text, Tz::Africa__Cairo) {
            prop_assert!(schedule.next_after(DateTime::UNIX_EPOCH).is_some());
        }
    }
}
