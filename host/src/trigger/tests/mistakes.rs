//! What is said of triggers that are wrong: the key, the value, what is right instead.

use serde_json::{Value, json};

use super::parse;

/// All problems of `value`, as text.
fn refusal(value: &Value) -> Vec<String> {
    parse(value).unwrap_err().iter().map(ToString::to_string).collect()
}

/// A cron with one field.
fn cron(field: &str, value: impl Into<Value>) -> Value {
    json!({"type": "cron", field: value.into()})
}

#[test]
fn a_wrong_field_is_told_what_it_takes_and_what_is_nearest() {
    for (field, value, expected) in [
        (
            "day_of_week",
            json!("monday"),
            "`monday` is not a weekday here; use `mon`, or 0 to 6 with 0 = Monday",
        ),
        (
            "day_of_week",
            json!(7),
            "`7` is not a weekday here; use `sun`, or 0 to 6 with 0 = Monday",
        ),
        (
            "day_of_week",
            json!("fri-mon"),
            "`fri-mon` runs backwards; write two ranges: `fri-sun,mon`",
        ),
        (
            "day_of_week",
            json!("mon-fri/2"),
            "`mon-fri/2`: a step cannot follow names; write numbers: `0-4/2`",
        ),
        (
            "day_of_week",
            json!("mon-4"),
            "`mon-4` mixes a name and a number; write `mon-fri` or `0-4`",
        ),
        ("day_of_week", json!("mon#1"), "`mon#1` is not understood; write `day = \"1st mon\"`"),
        (
            "month",
            json!("January"),
            "`January` is not a month here; use `jan`, or 1 to 12 with 1 = January",
        ),
        ("month", json!(0), "`0` is not a month here; use `jan`, or 1 to 12 with 1 = January"),
        (
            "hour",
            json!(24),
            "`24` is out of range; `hour` takes 0 to 23, lists, ranges and steps; did you mean `0`?",
        ),
        (
            "hour",
            json!("1-25"),
            "`25` in `1-25` is out of range; `hour` takes 0 to 23, lists, ranges and steps",
        ),
        ("hour", json!("22-2"), "`22-2` runs backwards; write two ranges: `22-23,0-2`"),
        (
            "hour",
            json!("5h"),
            "`5h` is not understood; `hour` takes 0 to 23, lists, ranges and steps; did you mean `5`?",
        ),
        ("hour", json!(3.5), "must be a whole number or text, not 3.5; did you mean 3?"),
        (
            "hour",
            json!([1, 2]),
            "must be a whole number or text, not a list; did you mean \"1,2\"?",
        ),
        ("hour", json!(true), "must be a whole number or text, not a boolean"),
        (
            "minute",
            json!("/5"),
            "`/5` is not understood; `minute` takes 0 to 59, lists, ranges and steps; did you mean \
             `*/5`?",
        ),
        (
            "minute",
            json!("*/60"),
            "`*/60`: the step must be a whole number from 1 to 59; for the first value alone write \
             `0`",
        ),
        (
            "minute",
            json!("*/0"),
            "`*/0`: the step must be a whole number from 1 to 59; for every value write `*`",
        ),
        ("minute", json!("5-5/1"), "`5-5/1`: a range of one value takes no step; write `5`"),
        ("minute", json!("1,,2"), "the list `1,,2` has an empty item; did you mean `1,2`?"),
        ("minute", json!(""), "is empty; leave it out, or write `*` for every value"),
        (
            "day",
            json!("L"),
            "`L` is not understood; `day` takes 1 to 31, `last`, or a place as in `2nd tue`; did \
             you mean `last`?",
        ),
        (
            "day",
            json!("first Monday"),
            "`first Monday` is not understood; `day` takes 1 to 31, `last`, or a place as in \
             `2nd tue`; did you mean `1st mon`?",
        ),
        (
            "day",
            json!("lastfri"),
            "`lastfri` is not understood; `day` takes 1 to 31, `last`, or a place as in `2nd tue`; \
             did you mean `last fri`?",
        ),
        (
            "day",
            json!("15W"),
            "`15W` is not understood; `day` takes 1 to 31, `last`, or a place as in `2nd tue`",
        ),
        ("dst", json!("on"), "`on` is not understood; give `once` or `wall`"),
        ("jitter", json!(-1), "must be from 0 to 31622400 seconds, not -1"),
        ("jitter", json!("3"), "must be a number, not text; write 3 without quotes"),
        (
            "start_date",
            json!("2024-01-05 10:00"),
            "`2024-01-05 10:00` is not a point in time; did you mean `2024-01-05 10:00:00`?",
        ),
        (
            "end_date",
            json!("2024-02-30"),
            "`2024-02-30` does not exist; did you mean `2024-02-29`?",
        ),
        ("timezone", json!("Berlin"), "unknown time zone `Berlin`; did you mean `Europe/Berlin`?"),
        ("weekday", json!(1), "unknown key `weekday`; did you mean `day_of_week`?"),
        ("minuet", json!(1), "unknown key `minuet`; did you mean `minute`?"),
    ] {
        let mut value = cron(field, value);
        if needs_a_field(field) {
            value["second"] = json!(0);
        }
        assert_eq!(refusal(&value)[0], format!("trigger.{field}: {expected}"), "{value}");
        assert_eq!(refusal(&value).len(), 1, "{value}");
    }
}

/// Whether `field` is none of the eight, of which a cron needs one.
fn needs_a_field(field: &str) -> bool {
    !["day_of_week", "month", "hour", "minute", "day"].contains(&field)
}

#[test]
fn a_wrong_crontab_is_told_which_field_it_is() {
    for (crontab, expected) in [
        ("0 25 * * *", "hour: `25` is out of range; `hour` takes 0 to 23, lists, ranges and steps"),
        ("0 22-2 * * *", "hour: `22-2` runs backwards; write two ranges: `22-23,0-2`"),
        (
            "0 3 * *",
            "`0 3 * *` has 4 fields; a cron text has 5 (minute hour day month weekday), 6 (seconds \
             first) or 7 (year last)",
        ),
        ("daily", "`daily` is not a cron; did you mean `@daily`?"),
        ("@dayly", "unknown word `@dayly`; did you mean `@daily`?"),
        ("0 0 ? * *", "day: `?` is not understood: `?` has no meaning here; write `*`"),
        (
            "0 0 L * *",
            "day: `L` is not understood; `day` takes 1 to 31, lists, ranges and steps; fields can \
             say it, as in `day = \"last\"`",
        ),
        (
            "0 0 * * 5-1",
            "weekday: `5-1` runs backwards; ranges wrap when written in names: `fri-mon`",
        ),
        ("* * * * mon-5", "weekday: `mon-5` mixes a name and a number; write `mon-fri` or `1-5`"),
        (
            "0 0 * januar *",
            "month: `januar` is not a month here; use `jan`, or 1 to 12 with 1 = January",
        ),
        ("0 0 30 2 *", "can never fire: no date has month `2`, day `30`"),
    ] {
        let found = refusal(&json!({"type": "cron", "crontab": crontab}));
        assert_eq!(found, [format!("trigger.crontab: {expected}")], "{crontab}");
    }
}

#[test]
fn a_wrong_text_is_told_what_was_probably_meant() {
    for (text, expected) in [
        ("30 2 * * *", "`30 2 * * *` is not a trigger; did you mean `cron 30 2 * * *`?"),
        ("@daily", "`@daily` is not a trigger; did you mean `cron @daily`?"),
        ("15s", "`15s` is not a trigger; did you mean `every 15s`?"),
        ("2030-01-01", "`2030-01-01` is not a trigger; did you mean `at 2030-01-01`?"),
        ("evry 5m", "`evry 5m` is not a trigger; did you mean `every 5m`?"),
        ("every 5 minuts", "`minuts` is not a unit; did you mean `minutes`?"),
        ("every day", "`day` needs a number; did you mean `1d`?"),
        ("every 15", "`15` needs a unit; did you mean `15s` or `15m`?"),
        (
            "every 1 month",
            "`month` has no fixed length; a cron such as `cron 0 0 1 * *` fires once a month",
        ),
        (
            "hello",
            "`hello` is not a trigger; write `every 15s`, `cron 30 2 * * *` or \
             `at 2026-12-01 09:00:00`",
        ),
    ] {
        assert_eq!(refusal(&json!(text)), [format!("trigger: {expected}")], "{text}");
    }
}

#[test]
fn every_problem_is_named_and_all_at_once() {
    for (value, expected) in [
        (
            json!({"type": "cron", "hour": 25, "minut": 5, "timezone": "Europe/Berln", "dst": "on"}),
            vec![
                "trigger.minut: unknown key `minut`; did you mean `minute`?",
                "trigger.timezone: unknown time zone `Europe/Berln`; did you mean `Europe/Berlin`?",
                "trigger.dst: `on` is not understood; give `once` or `wall`",
                "trigger.hour: `25` is out of range; `hour` takes 0 to 23, lists, ranges and steps",
            ],
        ),
        (
            json!({"type": "cron", "hours": 1, "hour": 1}),
            vec![
                "trigger.hours: unknown key `hours`; did you mean `hour`? \
                 (`hours` belongs to type `interval`)",
            ],
        ),
        (
            json!({"type": "interval", "seconds": "5", "minutes": true, "jitter": 3}),
            vec![
                "trigger.minutes: must be a number, not a boolean",
                "trigger.seconds: must be a number, not text; write 5 without quotes",
            ],
        ),
        (
            json!({"type": "interval", "months": 1, "hours": 1}),
            vec![
                "trigger.months: unknown key `months`; a month has no fixed length; use type \
                 `cron` with `day = 1`",
            ],
        ),
        (
            json!({"type": "interval", "seconds": 0.05}),
            vec!["trigger: the interval of 0.05 s is too short; the shortest is 100 ms"],
        ),
        (
            json!({"type": "interval", "seconds": -5}),
            vec![
                "trigger: the interval must be longer than zero, not -5 s; the shortest is 100 ms",
            ],
        ),
        (
            json!({"type": "date"}),
            vec!["trigger.run_date: is missing; write it like `2026-12-01 09:00:00`"],
        ),
        (
            json!({"type": "date", "run_date": "2030-01-01", "jitter": 3}),
            vec![
                "trigger.jitter: unknown key `jitter`; known here: type, run_date, timezone \
                 (`jitter` belongs to type `interval`, `cron`, `or` or `and`)",
            ],
        ),
        (
            json!({"type": "crom", "hour": 3}),
            vec!["trigger.type: unknown type `crom`; did you mean `cron`?"],
        ),
        (
            json!({"hour": 3}),
            vec![
                "trigger.type: is missing; give `date`, `interval`, `cron`, `or` or `and`; `hour` \
                 belongs to `cron`",
            ],
        ),
        (
            json!({"type": "cron", "hour": 1, "start_date": "2024-01-05", "end_date": "2024-01-01"}),
            vec![
                "trigger.end_date: 2024-01-01T00:00:00Z is before `start_date`, which is \
                 2024-01-05T00:00:00Z",
            ],
        ),
        (
            json!({"type": "cron", "hour": 1, "crontab": "@daily"}),
            vec!["trigger.crontab: give `crontab` or fields such as `hour`, not both"],
        ),
        (
            json!({"type": "cron"}),
            vec!["trigger: a cron needs at least one of its fields, such as `hour`, or `crontab`"],
        ),
        (
            json!({"type": "or", "triggers": []}),
            vec![
                "trigger.triggers: is empty; give at least one trigger, such as \
                 [\"every 1h\", \"cron 30 2 * * *\"]",
            ],
        ),
        (
            json!({"type": "or", "triggers": ["every 1h", {"type": "cron", "hour": 25}], "threshold": 1}),
            vec![
                "trigger.threshold: unknown key `threshold`; known here: type, triggers, jitter \
                 (`threshold` belongs to type `and`)",
                "trigger.triggers.1.hour: `25` is out of range; `hour` takes 0 to 23, lists, \
                 ranges and steps",
            ],
        ),
        (
            json!({"type": "and", "triggers": [{"type": "interval", "hours": 1, "jitter": 5}], "threshold": -1}),
            vec![
                "trigger.threshold: must be from 0 to 86400 seconds, not -1",
                "trigger.triggers.0.jitter: belongs to the combination as a whole; give it beside \
                 `triggers`",
            ],
        ),
    ] {
        assert_eq!(refusal(&value), expected, "{value}");
    }
}

#[test]
fn a_combination_is_neither_too_deep_nor_too_large() {
    let nested = |depth: usize| {
        (0..depth).fold(json!("every 1h"), |inner, at| {
            json!({"type": if at % 2 == 0 { "or" } else { "and" }, "triggers": [inner]})
        })
    };
    assert!(parse(&nested(4)).is_ok());
    let said = refusal(&nested(5));
    assert_eq!(said.len(), 1);
    assert!(said[0].ends_with("stands in too many others; 4 is the limit"), "{said:?}");
    let many = |count: usize| json!({"type": "or", "triggers": vec!["every 1h"; count]});
    assert!(parse(&many(16)).is_ok());
    let limit = "trigger.triggers: holds too many triggers; 16 is the limit";
    assert_eq!(refusal(&many(17)), [limit]);
    assert_eq!(refusal(&json!({"type": "and", "triggers": [many(9), many(8)]})), [limit]);
}
