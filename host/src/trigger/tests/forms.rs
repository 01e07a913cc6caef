//! What may be written, what it means, and what is said when it may not.

use std::time::{Duration, Instant};

use chrono_tz::{America, Tz};
use serde_json::{Value, json};

use super::super::Trigger;
use super::{fires, parse, shown, utc};
use crate::time::Timestamp;

/// The dates of the first fires from `from` on.
fn dates(value: &Value, from: &str, limit: usize) -> Vec<String> {
    let found = fires(&parse(value).unwrap(), utc(from), limit);
    shown(&found).iter().map(|fire| fire[..10].to_owned()).collect()
}

/// All problems of `value`, as text.
fn refusal(value: &Value) -> Vec<String> {
    parse(value).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn unix_takes_day_or_weekday_when_both_are_restricted() {
    // 2024-09-01 is a Sunday.
    for (crontab, expected) in [
        ("0 0 13 * 5", vec!["2024-09-06", "2024-09-13", "2024-09-20", "2024-09-27"]),
        ("0 0 13 * *", vec!["2024-09-13", "2024-10-13", "2024-11-13", "2024-12-13"]),
        ("0 0 * * 5", vec!["2024-09-06", "2024-09-13", "2024-09-20", "2024-09-27"]),
        ("0 0 */2 * 1", vec!["2024-09-09", "2024-09-23", "2024-10-07", "2024-10-21"]),
        ("0 0 1,2 * */3", vec!["2024-09-01", "2024-10-02", "2024-11-02", "2024-12-01"]),
        ("0 0 30 2 1", vec!["2025-02-03", "2025-02-10", "2025-02-17", "2025-02-24"]),
    ] {
        let value = json!({"type": "cron", "crontab": crontab});
        assert_eq!(dates(&value, "2024-09-01T00:00:00Z", 4), expected, "{crontab}");
    }
    // As fields, all must match.
    let friday_13th = json!({"type": "cron", "day": 13, "day_of_week": "fri"});
    assert_eq!(dates(&friday_13th, "2024-09-01T00:00:00Z", 2), ["2024-09-13", "2024-12-13"]);
}

#[test]
fn unix_weekdays_begin_with_sunday_and_names_wrap() {
    // 2024-09-01 is a Sunday, so the day of the month is the weekday's number, 7 again Sunday.
    for (weekday, days) in [
        ("0", vec![1]),
        ("7", vec![1]),
        ("SUN", vec![1]),
        ("1-5", vec![2, 3, 4, 5, 6]),
        ("5-7", vec![1, 6, 7]),
        ("0-7", vec![1, 2, 3, 4, 5, 6, 7]),
        ("0-6/2", vec![1, 3, 5, 7]),
        ("*/2", vec![1, 3, 5, 7]),
        ("0/2", vec![1, 3, 5, 7]),
        ("1/3", vec![2, 5]),
        ("fri-mon", vec![1, 2, 6, 7]),
        ("sat-sun", vec![1, 7]),
        ("fri-tue/2", vec![1, 3, 6]),
        ("mon-sun", vec![1, 2, 3, 4, 5, 6, 7]),
        ("mon,3,fri-sat", vec![2, 4, 6, 7]),
    ] {
        let trigger = parse(&json!(format!("cron 0 0 * * {weekday}"))).unwrap();
        let week = (utc("2024-09-01T00:00:00Z"), utc("2024-09-08T00:00:00Z"));
        let found = fires(&trigger, week.0, 8);
        let found: Vec<u64> = found
            .iter()
            .take_while(|fire| **fire < week.1)
            .map(|fire| fire.since(week.0).as_secs() / 86_400 + 1)
            .collect();
        assert_eq!(found, days, "{weekday}");
    }
    let winter = json!("cron 0 0 1 nov-feb *");
    assert_eq!(
        dates(&winter, "2024-06-01T00:00:00Z", 5),
        ["2024-11-01", "2024-12-01", "2025-01-01", "2025-02-01", "2025-11-01"]
    );
}

#[test]
fn a_cron_text_has_five_six_or_seven_fields_or_is_a_word() {
    for (text, expected) in [
        ("cron 30 2 * * *", "2026-01-01T02:30:00Z"),
        ("cron 15 30 2 * * *", "2026-01-01T02:30:15Z"),
        ("cron 15 30 2 * * * 2030", "2030-01-01T02:30:15Z"),
        ("cron 0 0 0 1 1 * 2101-9999/2", "2101-01-01T00:00:00Z"),
        ("cron @hourly", "2026-01-01T01:00:00Z"),
        ("cron @daily", "2026-01-02T00:00:00Z"),
        ("cron @weekly", "2026-01-04T00:00:00Z"),
        ("cron @monthly", "2026-02-01T00:00:00Z"),
        ("cron @yearly", "2027-01-01T00:00:00Z"),
        ("every 15s", "2026-01-01T00:00:15.000001Z"),
        (" every  1h 30m ", "2026-01-01T01:30:00.000001Z"),
        ("at 2026-12-01 09:00:00", "2026-12-01T09:00:00Z"),
        ("at 2026-12-01T09:00:00+02:00", "2026-12-01T07:00:00Z"),
    ] {
        let first = parse(&json!(text)).unwrap().first(utc("2026-01-01T00:00:00.000001Z"));
        assert_eq!(first, Some(utc(expected)), "{text}");
    }
    let far = parse(&json!("cron 0 0 1 1 *")).unwrap().first(utc("9998-06-01T00:00:00Z"));
    assert_eq!(far, Some(utc("9999-01-01T00:00:00Z")), "a `*` year does not end with 2100");
}

#[test]
fn texts_that_only_look_like_a_cron_are_refused() {
    for crontab in [
        "",
        "*",
        "* * * *",
        "* * * * * * * *",
        "5* * * * *",
        "** * * * *",
        "1 -5 * * * *",
        "1, 2 * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "* * * * 5-1",
        "* * * * mon-5",
        "* * * * monn",
        "*/0 * * * *",
        "*/60 * * * *",
        "1-5-7 * * * *",
        "1/2/3 * * * *",
        "22-2 * * * *",
        "? * * * *",
        "* * ? * *",
        "* * L * *",
        "* * * * 1#2",
        "* * * * 5L",
        "* * 15W * *",
        "1,,2 * * * *",
        ",1 * * * *",
        "-1 * * * *",
        "1.5 * * * *",
        "@reboot",
        "@dayly",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
        "0 0 0 * * * 1969",
        "0 0 0 * * * 10000",
        "0 0 0 29 2 * 2023",
        "* * * * mon-fri/8",
        "* * * * mon-fri/0",
        "0 0 * * 1-5/0",
        "0 0 * * é",
        "hour 3",
    ] {
        assert!(parse(&json!({"type": "cron", "crontab": crontab})).is_err(), "{crontab}");
        assert!(parse(&json!(format!("cron {crontab}"))).is_err(), "{crontab}");
    }
}

#[test]
fn the_sum_of_the_units_is_the_length() {
    for (value, micros) in [
        (json!({"type": "interval", "seconds": 0.1}), 100_000),
        (json!({"type": "interval", "minutes": 0.5}), 30_000_000),
        (json!({"type": "interval", "hours": 1, "minutes": -5}), 3_300_000_000),
        (json!({"type": "interval", "days": 100, "seconds": 0.1}), 8_640_000_100_000),
        (json!({"type": "interval", "weeks": 1, "seconds": null, "jitter": 0}), 604_800_000_000),
        (json!("every 250ms"), 250_000),
    ] {
        let first = parse(&value).unwrap().first(Timestamp::from_micros(0));
        assert_eq!(first, Some(Timestamp::from_micros(micros)), "{value}");
    }
    for length in
        [json!(1e300), json!(-1e300), json!(u64::MAX), json!(i64::MIN), json!(0.0999), json!([])]
    {
        assert!(
            parse(&json!({"type": "interval", "weeks": length})).is_err()
                || length == json!(0.0999)
        );
        assert!(parse(&json!({"type": "interval", "seconds": length})).is_err(), "{length}");
    }
    let list = "1,".repeat(10_000) + "1";
    assert!(parse(&json!({"type": "cron", "year": list})).is_err());
    assert!(parse(&json!({"type": "cron", "crontab": format!("{list} * * * *")})).is_err());
    let too_long = refusal(&json!("every 99999999999999999999999999999999 weeks"));
    assert_eq!(too_long, ["trigger: the interval is too long; the longest is 3650000 days"]);
}

#[test]
fn start_now_fires_at_once_and_then_on_the_grid() {
    let now = utc("2026-01-01T00:00:07Z");
    let at_once = parse(&json!({"type": "interval", "seconds": 10, "start": "now"})).unwrap();
    assert_eq!(shown(&fires(&at_once, now, 2)), ["2026-01-01T00:00:07Z", "2026-01-01T00:00:17Z"]);
    for wrong in [json!("later"), json!(5), json!("2026-01-01")] {
        assert!(parse(&json!({"type": "interval", "seconds": 10, "start": wrong})).is_err());
    }
    let both = json!({"type": "interval", "hours": 1, "start": "now", "start_date": "2026-01-01"});
    assert_eq!(refusal(&both), ["trigger.start: give `start` or `start_date`, not both"]);
}

#[test]
fn the_default_zone_is_used_where_none_is_given() {
    let mut problems = Vec::new();
    let mut first = |value: Value| {
        let trigger = Trigger::parse(&value, "", America::New_York, &mut problems).unwrap();
        trigger.first(utc("2026-07-01T00:00:00Z")).unwrap().to_string()
    };
    assert_eq!(first(json!({"type": "cron", "hour": 9})), "2026-07-01T13:00:00Z");
    assert_eq!(first(json!("cron 0 9 * * *")), "2026-07-01T13:00:00Z");
    assert_eq!(first(json!("at 2026-07-02 09:00:00")), "2026-07-02T13:00:00Z");
    assert_eq!(
        first(json!({"type": "cron", "hour": 9, "timezone": "UTC"})),
        "2026-07-01T09:00:00Z"
    );
    assert!(problems.is_empty());
    assert_eq!(Trigger::parse(&json!(null), "", Tz::UTC, &mut problems), None);
    assert_eq!(problems[0].path, "");
}

#[test]
fn what_can_never_fire_is_refused_at_once_and_what_is_past_is_not() {
    for (value, accept) in [
        (json!({"type": "cron", "month": 12, "week": 10}), false),
        (json!({"type": "cron", "month": 7, "week": 48}), false),
        (json!({"type": "cron", "month": 2, "day": 30}), false),
        (json!({"type": "cron", "month": "2,4", "day": 31}), false),
        (json!({"type": "cron", "month": 2, "day": "5th mon", "year": "2021-2023"}), false),
        (json!({"type": "cron", "month": 2, "day": "5th thu"}), true),
        (json!({"type": "cron", "month": 2, "day": 29, "year": 2023}), false),
        (json!({"type": "cron", "month": 2, "day": 29, "year": 2100}), false),
        (json!({"type": "cron", "month": 2, "day": 29, "year": "*/2"}), true),
        (json!({"type": "cron", "month": 2, "day": 29, "year": "1971/2"}), false),
        (json!({"type": "cron", "year": 2024, "week": 53}), false),
        (json!({"type": "cron", "year": 2021, "week": 53}), true),
        (json!({"type": "cron", "year": 2021, "week": 53, "day": "4-31"}), false),
        (json!({"type": "cron", "month": 12, "week": 1, "day": 29, "day_of_week": 0}), true),
        (json!({"type": "cron", "month": 12, "week": 1, "day": 28}), false),
        (json!({"type": "cron", "day": "1st mon", "day_of_week": "tue"}), false),
        (json!({"type": "cron", "year": 2000}), true),
        (json!({"type": "interval", "hours": 1, "end_date": "2020-01-01"}), true),
        (json!({"type": "date", "run_date": "2000-01-01"}), true),
    ] {
        let started = Instant::now();
        assert_eq!(parse(&value).is_ok(), accept, "{value}");
        assert!(started.elapsed() < Duration::from_millis(50), "{value}: {:?}", started.elapsed());
    }
    let past = parse(&json!({"type": "cron", "year": 2000})).unwrap();
    assert_eq!(past.first(utc("2026-01-01T00:00:00Z")), None);
}

#[test]
fn a_year_of_missed_seconds_is_found_and_counted_directly() {
    let (from, to) = (utc("2025-01-01T00:00:00Z"), utc("2026-01-01T00:00:00Z"));
    for value in [
        json!({"type": "cron", "second": "*"}),
        json!({"type": "cron", "second": "*", "timezone": "America/New_York", "dst": "wall"}),
        json!({"type": "interval", "seconds": 1, "start": "now"}),
    ] {
        let trigger = parse(&value).unwrap();
        let started = Instant::now();
        assert_eq!(trigger.count(from, from, to), 365 * 86_400, "{value}");
        assert_eq!(trigger.prev_before(from, to), Some(utc("2025-12-31T23:59:59Z")), "{value}");
        assert!(started.elapsed() < Duration::from_millis(200), "{:?}", started.elapsed());
    }
}

#[test]
fn the_ends_of_time_are_reached_without_harm() {
    for value in [
        json!({"type": "cron", "second": "*", "timezone": "America/New_York"}),
        json!({"type": "cron", "hour": 20, "timezone": "America/New_York"}),
        json!({"type": "cron", "hour": 0, "timezone": "Asia/Tokyo"}),
        json!({"type": "cron", "month": 2, "day": 29, "week": 9, "day_of_week": 6}),
        json!({"type": "cron", "year": 9999, "month": 12, "day": 31, "hour": 23}),
        json!({"type": "date", "run_date": "9999-12-31 23:59:59"}),
    ] {
        let trigger = parse(&value).unwrap();
        for at in [Timestamp::MIN, Timestamp::MAX] {
            let first = trigger.first(at);
            assert!(first.is_none_or(|fire| fire >= at || trigger.kind() == "date"), "{value}");
            assert_eq!(trigger.next_after(at, Timestamp::MAX), None, "{value}");
            assert_eq!(trigger.prev_before(at, Timestamp::MIN), None, "{value}");
        }
        let last = trigger.prev_before(Timestamp::MIN, Timestamp::MAX).unwrap();
        assert_eq!(trigger.next_after(Timestamp::MIN, last), None, "{value} after {last}");
        let _ = trigger.count(Timestamp::MIN, Timestamp::MIN, Timestamp::MAX);
    }
}
