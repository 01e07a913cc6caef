//! Random triggers, zones and instants: every answer agrees with every other, and with a model
//! that looks at the wall clock minute by minute.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Timelike};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Trigger;
use super::{fires, parse, utc};
use crate::time::Timestamp;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 1_440 * MINUTE;

/// Zones and days around which their clocks change.
const CHANGES: [(&str, &str); 14] = [
    ("America/New_York", "2024-03-10T07:00:00Z"),
    ("America/New_York", "2024-11-03T06:00:00Z"),
    ("Australia/Lord_Howe", "2024-10-05T15:30:00Z"),
    ("Australia/Lord_Howe", "2024-04-06T15:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Pacific/Kwajalein", "1993-08-20T12:00:00Z"),
    ("America/Nuuk", "2024-03-31T01:00:00Z"),
    ("America/Scoresbysund", "2025-03-30T01:00:00Z"),
    ("Africa/Cairo", "2024-04-25T22:00:00Z"),
    ("Africa/Cairo", "2024-10-31T21:00:00Z"),
    ("America/Sao_Paulo", "2018-11-04T03:00:00Z"),
    ("America/St_Johns", "2006-04-02T03:31:00Z"),
    ("Antarctica/Troll", "2024-03-31T01:00:00Z"),
    ("Asia/Kolkata", "2024-03-31T01:00:00Z"),
];

fn expression(max: u32) -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("*")),
        (0..=max).prop_map(|value| json!(value)),
        (1..=max).prop_map(|step| json!(format!("*/{step}"))),
        (0..=max, 0..=max).prop_map(|(a, b)| json!(format!("{}-{}", a.min(b), a.max(b)))),
    ]
}

/// A cron that fires at whole minutes, and an instant near a change of its zone's clocks.
fn minutely() -> impl Strategy<Value = (Value, Timestamp)> {
    let change = proptest::sample::select(CHANGES.to_vec());
    let dst = prop_oneof![Just("once"), Just("wall")];
    (change, dst, expression(23), expression(59), -2 * DAY..2 * DAY).prop_map(
        |((zone, change), dst, hour, minute, shift)| {
            let value =
                json!({"type": "cron", "timezone": zone, "dst": dst, "hour": hour, "minute": minute});
            (value, Timestamp::from_micros(utc(change).micros() + shift))
        },
    )
}

/// Any trigger, and an instant.
fn any_trigger() -> impl Strategy<Value = (Value, Timestamp)> {
    let zone = (0..TZ_VARIANTS.len()).prop_map(|at| TZ_VARIANTS[at].name());
    let dst = prop_oneof![Just("once"), Just("wall")];
    let day = prop_oneof![
        Just(json!("*")),
        Just(json!("last")),
        Just(json!("2nd tue,last fri")),
        (1..=28_u32).prop_map(|day| json!(day)),
    ];
    let cron = (zone, dst, day, expression(6), expression(23), expression(59), expression(59))
        .prop_map(|(zone, dst, day, day_of_week, hour, minute, second)| {
            let weekday = if day == json!("*") { day_of_week } else { json!("*") };
            json!({
                "type": "cron", "timezone": zone, "dst": dst, "day": day, "day_of_week": weekday,
                "hour": hour, "minute": minute, "second": second,
            })
        });
    let interval = (1..100_000_u32, prop::bool::ANY).prop_map(|(tenths, now)| {
        let start = if now { json!("now") } else { json!(null) };
        json!({"type": "interval", "seconds": f64::from(tenths) / 10.0, "start": start})
    });
    let instant = 0..2_200_000_000_000_000_i64;
    (prop_oneof![3 => cron, 1 => interval], instant)
        .prop_filter("`*/6` of a weekday and the like", |(value, _)| parse(value).is_ok())
        .prop_map(|(value, micros)| (value, Timestamp::from_micros(micros)))
}

/// What the wall clock shows.
fn label(zone: Tz, micros: i64) -> NaiveDateTime {
    DateTime::from_timestamp_micros(micros).unwrap().with_timezone(&zone).naive_local()
}

/// The fires from `from` to before `to` by the words of A3, minute by minute.
fn model(value: &Value, trigger: &Trigger, from: i64, to: i64) -> Vec<Timestamp> {
    let zone: Tz = value["timezone"].as_str().unwrap().parse().unwrap();
    // A trigger in UTC with the same fields says which labels match.
    let mut plain = value.clone();
    plain["timezone"] = json!("UTC");
    let plain = parse(&plain).unwrap();
    let matches = |label: NaiveDateTime| {
        let at = Timestamp::from(label.and_utc());
        plain.count(at, at, at.after(std::time::Duration::from_secs(1))) == 1
    };
    let all_hours = parse(&json!({"type": "cron", "hour": value["hour"]})).unwrap();
    let whole_day = (Timestamp::from_micros(0), Timestamp::from_micros(DAY));
    let once =
        value["dst"] == "once" && all_hours.count(whole_day.0, whole_day.0, whole_day.1) < 24;
    assert_eq!(trigger.kind(), "cron");

    let minutes = || (from - 3 * DAY..to + 3 * DAY).step_by(MINUTE as usize);
    let dates: Vec<NaiveDate> = minutes().map(|at| label(zone, at).date()).collect();
    let mut found = Vec::new();
    let mut highest: Option<NaiveDateTime> = None;
    for at in minutes() {
        let shown = label(zone, at);
        assert_eq!(shown.second(), 0, "the model needs whole minutes");
        let fires = if once {
            let mut reached =
                highest.map_or(shown, |highest| highest + chrono::TimeDelta::minutes(1));
            let mut any = false;
            while reached <= shown {
                any |= matches(reached) && dates.contains(&reached.date());
                reached += chrono::TimeDelta::minutes(1);
            }
            any
        } else {
            matches(shown)
        };
        highest = highest.max(Some(shown));
        if fires && (from..to).contains(&at) {
            found.push(Timestamp::from_micros(at));
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn fires_near_a_change_are_those_of_the_model((value, at) in minutely()) {
        let trigger = parse(&value).unwrap();
        let from = at.micros().div_euclid(MINUTE) * MINUTE;
        let to = from + DAY;
        let expected = model(&value, &trigger, from, to);
        let (start, end) = (Timestamp::from_micros(from), Timestamp::from_micros(to));
        let found: Vec<_> = fires(&trigger, start, 2_000)
            .into_iter()
            .take_while(|fire| *fire < end)
            .collect();
        prop_assert_eq!(&found, &expected, "{}", value);
        prop_assert_eq!(trigger.count(start, start, end), expected.len() as u64);
        prop_assert_eq!(trigger.prev_before(start, end), expected.last().copied());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn next_previous_and_count_agree((value, at) in any_trigger()) {
        let trigger = parse(&value).unwrap();
        let found = fires(&trigger, at, 12);
        prop_assert!(found.is_sorted_by(|a, b| a < b), "{:?}", found);
        let Some(last) = found.last() else {
            return Ok(());
        };
        prop_assert!(at <= found[0]);
        prop_assert_eq!(trigger.prev_before(at, found[0]), None);
        for pair in found.windows(2) {
            prop_assert_eq!(trigger.prev_before(at, pair[1]), Some(pair[0]));
            let middle = Timestamp::from_micros(i64::midpoint(pair[0].micros(), pair[1].micros()));
            prop_assert_eq!(trigger.next_after(at, middle), Some(pair[1]));
            prop_assert_eq!(trigger.count(at, pair[0], pair[1]), 1);
            prop_assert_eq!(trigger.count(at, pair[0], middle), u64::from(pair[0] < middle));
        }
        prop_assert_eq!(trigger.count(at, at, *last), found.len() as u64 - 1);
    }

    #[test]
    fn counts_add_up((value, at) in any_trigger(), days in 1..4_000_i64, part in 0.0..1.0_f64) {
        let trigger = parse(&value).unwrap();
        let length = days * DAY;
        let end = Timestamp::from_micros(at.micros() + length);
        let middle = Timestamp::from_micros(at.micros() + (length as f64 * part) as i64);
        let parts = trigger.count(at, at, middle) + trigger.count(at, middle, end);
        prop_assert_eq!(trigger.count(at, at, end), parts);
    }

    #[test]
    fn a_daily_job_has_one_fire_for_each_date_of_its_zone(
        zone in (0..TZ_VARIANTS.len()).prop_map(|at| TZ_VARIANTS[at]),
        hour in 0..24_u32,
        minute in 0..60_u32,
        year in 1970..2099_i32,
    ) {
        let value = json!({
            "type": "cron", "timezone": zone.name(), "year": year, "month": "*", "day": "*",
            "hour": hour, "minute": minute,
        });
        let trigger = parse(&value).unwrap();
        // Dates of the year that some quarter of an hour shows; no date was ever shorter.
        let noon = |month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(12, 0, 0).unwrap();
        let from = noon(1, 1).and_utc().timestamp_micros() - 3 * DAY;
        let to = noon(12, 31).and_utc().timestamp_micros() + 3 * DAY;
        let mut dates: Vec<NaiveDate> =
            (from..to).step_by(15 * MINUTE as usize).map(|at| label(zone, at).date()).collect();
        dates.retain(|date| chrono::Datelike::year(date) == year);
        dates.sort_unstable();
        dates.dedup();
        let (from, to) = (Timestamp::from_micros(from), Timestamp::from_micros(to));
        prop_assert_eq!(trigger.count(from, from, to), dates.len() as u64, "{}", value);
    }
}
