//! Daylight saving worked by hand, under both rules (A3).

use serde_json::{Value, json};

use super::{fires, parse, shown, utc};

/// The fires from `from` to before `to` of a cron with these fields, found three ways.
fn between(zone: &str, dst: &str, fields: &Value, from: &str, to: &str) -> Vec<String> {
    let mut value = json!({"type": "cron", "timezone": zone, "dst": dst});
    for (key, field) in fields.as_object().unwrap() {
        value[key] = field.clone();
    }
    let trigger = parse(&value).unwrap();
    let (from, to) = (utc(from), utc(to));
    let found: Vec<_> =
        fires(&trigger, from, 100).into_iter().take_while(|fire| *fire < to).collect();
    assert_eq!(trigger.count(from, from, to), found.len() as u64, "count of {value}");
    let back: Vec<_> =
        std::iter::successors(trigger.prev_before(from, to), |at| trigger.prev_before(from, *at))
            .collect();
    assert!(back.iter().rev().eq(&found), "{value}: {back:?} backwards, {found:?} forwards");
    shown(&found)
}

#[test]
fn a_gap_fires_once_right_after_it_or_not_at_all() {
    let day = ("2024-03-10T05:00:00Z", "2024-03-11T04:00:00Z");
    for (fields, once, wall) in [
        (json!({"hour": 2, "minute": 30}), vec!["2024-03-10T07:00:00Z"], vec![]),
        (json!({"hour": 2, "minute": "*/10"}), vec!["2024-03-10T07:00:00Z"], vec![]),
        (json!({"hour": "2,3"}), vec!["2024-03-10T07:00:00Z"], vec!["2024-03-10T07:00:00Z"]),
        (
            json!({"hour": "1-3", "minute": "30"}),
            vec!["2024-03-10T06:30:00Z", "2024-03-10T07:00:00Z", "2024-03-10T07:30:00Z"],
            vec!["2024-03-10T06:30:00Z", "2024-03-10T07:30:00Z"],
        ),
    ] {
        assert_eq!(between("America/New_York", "once", &fields, day.0, day.1), once, "{fields}");
        assert_eq!(between("America/New_York", "wall", &fields, day.0, day.1), wall, "{fields}");
    }
}

#[test]
fn an_overlap_fires_on_the_first_pass_or_on_both() {
    let day = ("2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z");
    for (fields, once, wall) in [
        (
            json!({"hour": 1, "minute": 30}),
            vec!["2024-11-03T05:30:00Z"],
            vec!["2024-11-03T05:30:00Z", "2024-11-03T06:30:00Z"],
        ),
        (
            json!({"hour": "1,2"}),
            vec!["2024-11-03T05:00:00Z", "2024-11-03T07:00:00Z"],
            vec!["2024-11-03T05:00:00Z", "2024-11-03T06:00:00Z", "2024-11-03T07:00:00Z"],
        ),
    ] {
        assert_eq!(between("America/New_York", "once", &fields, day.0, day.1), once, "{fields}");
        assert_eq!(between("America/New_York", "wall", &fields, day.0, day.1), wall, "{fields}");
    }
}

#[test]
fn an_instant_in_the_second_pass_still_knows_what_the_first_has_fired() {
    let fields = json!({"hour": 1, "minute": 45});
    for (from, once) in [
        ("2024-11-03T05:45:00Z", vec!["2024-11-03T05:45:00Z"]),
        ("2024-11-03T05:45:01Z", vec![]),
        ("2024-11-03T06:00:00Z", vec![]),
        ("2024-11-03T06:45:00Z", vec![]),
    ] {
        let found = between("America/New_York", "once", &fields, from, "2024-11-04T05:00:00Z");
        assert_eq!(found, once, "{from}");
    }
}

#[test]
fn with_every_hour_once_is_the_same_as_wall() {
    for fields in [json!({"minute": 30}), json!({"hour": "*/1", "minute": 30})] {
        let day = ("2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z");
        let once = between("America/New_York", "once", &fields, day.0, day.1);
        assert_eq!(once, between("America/New_York", "wall", &fields, day.0, day.1));
        assert_eq!(once.len(), 25, "{fields}");
    }
}

#[test]
fn a_date_that_never_was_has_no_fire() {
    // Apia went from the end of 2011-12-29 (UTC-10) to the start of 2011-12-31 (UTC+14).
    for (hour, dates) in [
        (0, vec!["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"]),
        (12, vec!["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"]),
        (23, vec!["2011-12-29T09:00:00Z", "2011-12-30T09:00:00Z", "2011-12-31T09:00:00Z"]),
    ] {
        let fields = json!({"hour": hour});
        let window = ("2011-12-29T00:00:00Z", "2011-12-31T10:00:00Z");
        for dst in ["once", "wall"] {
            let found = between("Pacific/Apia", dst, &fields, window.0, window.1);
            assert_eq!(found, dates, "{fields} {dst}");
        }
    }
}

#[test]
fn gaps_at_midnight_fire_on_the_other_side_of_it() {
    for (zone, fields, from, to, once) in [
        // 23:00 on March 30th is followed by 00:00 on the 31st.
        (
            "America/Nuuk",
            json!({"hour": 23, "minute": 30}),
            "2024-03-30T02:00:00Z",
            "2024-04-01T12:00:00Z",
            vec!["2024-03-31T01:00:00Z", "2024-04-01T00:30:00Z"],
        ),
        // The last minute of the month is caught up on the first of the next one.
        (
            "America/Nuuk",
            json!({"day": "30,31", "hour": "0,23"}),
            "2024-03-31T00:00:00Z",
            "2024-04-01T12:00:00Z",
            vec!["2024-03-31T01:00:00Z", "2024-04-01T00:00:00Z"],
        ),
        // 00:00 on April 26th is followed by 01:00.
        (
            "Africa/Cairo",
            json!({"hour": 0}),
            "2024-04-24T12:00:00Z",
            "2024-04-27T12:00:00Z",
            vec!["2024-04-24T22:00:00Z", "2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z"],
        ),
        (
            "Africa/Cairo",
            json!({"hour": "0,1"}),
            "2024-04-25T12:00:00Z",
            "2024-04-26T12:00:00Z",
            vec!["2024-04-25T22:00:00Z"],
        ),
        // 23:00 on October 31st comes twice (clocks go back at midnight).
        (
            "Africa/Cairo",
            json!({"hour": 23}),
            "2024-10-31T12:00:00Z",
            "2024-11-01T12:00:00Z",
            vec!["2024-10-31T20:00:00Z"],
        ),
        // Half an hour: 02:00 to 02:29 are skipped.
        (
            "Australia/Lord_Howe",
            json!({"hour": 2, "minute": "0,15,30"}),
            "2024-10-05T12:00:00Z",
            "2024-10-06T12:00:00Z",
            vec!["2024-10-05T15:30:00Z"],
        ),
        // 01:30 to 01:59 come twice.
        (
            "Australia/Lord_Howe",
            json!({"hour": 1, "minute": "15,45"}),
            "2024-04-06T12:00:00Z",
            "2024-04-07T12:00:00Z",
            vec!["2024-04-06T14:15:00Z", "2024-04-06T14:45:00Z"],
        ),
    ] {
        assert_eq!(between(zone, "once", &fields, from, to), once, "{zone} {fields}");
    }
}

#[test]
fn a_window_that_begins_in_the_gap_or_ends_at_its_end_keeps_the_fire() {
    let gap_end = "2024-03-10T07:00:00Z";
    for (key, value) in [
        ("start_date", "2024-03-10T07:00:00Z"),
        ("start_date", "2024-03-10T06:59:59.999999Z"),
        ("end_date", "2024-03-10T07:00:00Z"),
    ] {
        let fields = json!({"hour": 2, "minute": 30, key: value});
        let day = ("2024-03-10T05:00:00Z", "2024-03-11T04:00:00Z");
        let found = between("America/New_York", "once", &fields, day.0, day.1);
        assert_eq!(found, [gap_end], "{key} {value}");
    }
}
