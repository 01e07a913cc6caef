//! Why an instant is a fire time, or why not.

use serde_json::{Value, json};

use super::{parse, utc};

/// The explanation of `at` for a job that was registered on 2024-01-01, as JSON.
fn explained(trigger: &Value, at: &str) -> Value {
    let anchor = utc("2024-01-01T00:00:00Z");
    serde_json::to_value(parse(trigger).unwrap().explain(anchor, utc(at))).unwrap()
}

#[test]
fn the_most_significant_field_that_does_not_match_is_named() {
    let nightly = json!({
        "type": "cron", "month": "1-6", "day_of_week": "mon-fri", "hour": "2,14", "minute": "*/15",
        "timezone": "Europe/Berlin",
    });
    for (at, fires, why) in [
        ("2024-06-03T00:15:00Z", true, "it is a fire time"),
        ("2024-07-01T00:15:00Z", false, "`month` is jul then, and the trigger wants `1-6`"),
        (
            "2024-06-01T00:15:00Z",
            false,
            "`day_of_week` is sat then, and the trigger wants `mon-fri`",
        ),
        ("2024-06-03T01:15:00Z", false, "`hour` is 3 then, and the trigger wants `2,14`"),
        ("2024-06-03T00:20:00Z", false, "`minute` is 20 then, and the trigger wants `*/15`"),
        ("2024-06-03T00:15:01Z", false, "`second` is 1 then, and the trigger wants `0`"),
        ("2024-06-03T00:15:00.5Z", false, "a cron fires on whole seconds alone"),
    ] {
        let found = explained(&nightly, at);
        assert_eq!((&found["fires"], &found["why"]), (&json!(fires), &json!(why)), "{at}");
    }
    let found = explained(&nightly, "2024-06-03T01:15:00Z");
    assert_eq!(found["local"], "2024-06-03 03:15:00 Europe/Berlin");
    assert_eq!(found["before"], "2024-06-03T00:45:00Z");
    assert_eq!(found["after"], "2024-06-03T12:00:00Z");
    assert_eq!(
        found["cause"],
        json!({"cause": "field", "field": "hour", "expression": "2,14", "shown": "3"})
    );
    let unix = json!("cron 0 0 13 * 5");
    assert_eq!(
        explained(&unix, "2024-06-12T00:00:00Z")["why"],
        "`day` is 12, a wed, then, and the trigger wants `13` or, as `day_of_week`, `fri`"
    );
    let weekly = json!({"type": "cron", "week": "1-10/3", "year": "2024-2026"});
    for (at, why) in [
        ("2024-01-08T00:00:00Z", "`week` is 2 then, and the trigger wants `1-10/3`"),
        ("2027-01-04T00:00:00Z", "`year` is 2027 then, and the trigger wants `2024-2026`"),
    ] {
        assert_eq!(explained(&weekly, at)["why"], why, "{at}");
    }
}

#[test]
fn gaps_and_overlaps_are_told() {
    let at = |hour: u32, dst: &str| json!({"type": "cron", "hour": hour, "minute": 30, "timezone": "America/New_York", "dst": dst});
    let gap = explained(&at(2, "once"), "2024-03-10T07:00:00Z");
    assert_eq!(
        (gap["fires"].clone(), gap["why"].as_str().unwrap()),
        (
            json!(true),
            "it is a fire time: the clock went from 2024-03-10 02:00:00 to 2024-03-10 03:00:00, \
             and what was left out fires right after that"
        )
    );
    assert_eq!(gap["clock_change"]["turn"], "forward");
    // Where a person's 02:30 of that day is put.
    let lost = explained(&at(2, "wall"), "2024-03-10T07:30:00Z");
    assert_eq!((&lost["fires"], &lost["before"]), (&json!(false), &json!("2024-03-09T07:30:00Z")));
    assert_eq!(
        lost["clock_change"],
        json!({
            "at": "2024-03-10T07:00:00Z", "turn": "forward", "from": "2024-03-10 02:00:00",
            "to": "2024-03-10 03:00:00", "rule": "`wall`: what is left out does not fire",
        })
    );
    let second = explained(&at(1, "once"), "2024-11-03T06:30:00Z");
    assert_eq!(
        second["why"],
        "the clock was turned back and shows this time for the second time; with `dst = \"once\"` \
         it fired at 2024-11-03T05:30:00Z"
    );
    assert_eq!(second["clock_change"]["rule"], "`once`: what comes twice fires the first time");
    let first = explained(&at(1, "wall"), "2024-11-03T05:30:00Z");
    assert_eq!((&first["fires"], &first["clock_change"]["turn"]), (&json!(true), &json!("back")));
    assert_eq!(explained(&at(1, "once"), "2024-07-03T05:30:00Z")["clock_change"], json!(null));
}

#[test]
fn windows_grids_and_dates_are_told() {
    let window = json!({
        "type": "interval", "minutes": 90, "start_date": "2024-02-01", "end_date": "2024-03-01",
    });
    for (trigger, at, why) in [
        (&window, "2024-01-31T00:00:00Z", "the trigger starts at 2024-02-01T00:00:00Z"),
        (&window, "2024-03-01T00:00:00.000001Z", "the trigger ended at 2024-03-01T00:00:00Z"),
        (
            &window,
            "2024-02-01T01:00:00Z",
            "it is not on the grid: every 5400 s from 2024-02-01T00:00:00Z",
        ),
        (&window, "2024-02-01T01:30:00Z", "it is a fire time"),
        (
            &json!("every 250ms"),
            "2024-01-01T00:00:00.3Z",
            "it is not on the grid: every 0.25 s from 2024-01-01T00:00:00.250000Z",
        ),
        (
            &json!("every 1h"),
            "2023-01-01T00:00:00Z",
            "the job was registered at 2024-01-01T00:00:00Z, after that",
        ),
        (
            &json!({"type": "cron", "hour": 3, "start_date": "2024-02-01"}),
            "2024-01-31T03:00:00Z",
            "the trigger starts at 2024-02-01T00:00:00Z",
        ),
        (
            &json!("at 2024-05-05 10:00:00"),
            "2024-05-05T10:00:01Z",
            "the `run_date` is 2024-05-05T10:00:00Z",
        ),
    ] {
        assert_eq!(explained(trigger, at)["why"], why, "{trigger} {at}");
    }
}

#[test]
fn combinations_show_what_each_member_says() {
    let or = json!({"type": "or", "triggers": ["cron 0 3 * * *", "every 1h"]});
    let found = explained(&or, "2024-02-01T03:30:00Z");
    assert_eq!(found["why"], "no member of the `or` fires then");
    assert_eq!(found["members"][0]["cause"]["field"], "minute");
    assert_eq!(found["members"][1]["cause"]["cause"], "off_the_grid");
    assert_eq!(explained(&or, "2024-02-01T05:00:00Z")["members"][0]["fires"], false);
    assert_eq!(
        explained(&or, "2023-02-01T03:00:00Z")["why"],
        "the job was registered at 2024-01-01T00:00:00Z, after that"
    );

    let and = json!({"type": "and", "triggers": ["cron 0 3 * * *", "cron 0 0,3 1 * *"]});
    let found = explained(&and, "2024-02-02T03:00:00Z");
    assert_eq!(
        found["why"],
        "it is not the earliest of fires of all members of the `and` within 1 s"
    );
    assert_eq!(found["members"][0]["fires"], true);
    assert_eq!(found["members"][1]["why"], "`day` is 2 then, and the trigger wants `1`");
    assert_eq!(found["after"], "2024-03-01T03:00:00Z");
    let never = json!({"type": "and", "triggers": ["cron 0 3 * * *", "cron 0 4 * * *"]});
    let found = explained(&never, "2024-02-02T03:00:00Z");
    assert_eq!((&found["fires"], &found["cause"]["cause"]), (&json!(false), &json!("gave_up")));
}
