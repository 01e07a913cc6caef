//! Jitter delays the start, and nothing else (A10).

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Trigger;
use super::{fires, parse, utc};
use crate::time::Timestamp;

fn with_jitter(mut value: Value, jitter: f64) -> Trigger {
    value["jitter"] = json!(jitter);
    parse(&value).unwrap()
}

fn kinds() -> [Value; 4] {
    let end = "2026-01-01 01:00:07";
    [
        json!({"type": "interval", "seconds": 10, "end_date": end}),
        json!({"type": "cron", "second": "*/10", "end_date": end}),
        json!({"type": "or", "triggers": [
            {"type": "interval", "seconds": 30, "end_date": end},
            {"type": "cron", "second": "*/20", "end_date": end},
        ]}),
        json!({"type": "and", "triggers": [
            {"type": "interval", "seconds": 10, "start": "now", "end_date": end},
            {"type": "cron", "second": "*/20", "end_date": end},
        ]}),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_fire_is_due_before_the_next_one_and_not_past_the_end(
        kind in 0..4_usize,
        jitter in 0.0..40.0_f64,
        job in "[a-z]{1,8}",
    ) {
        let plain = parse(&kinds()[kind]).unwrap();
        let trigger = with_jitter(kinds()[kind].clone(), jitter);
        let anchor = utc("2026-01-01T00:59:00Z");
        let end = utc("2026-01-01T01:00:07Z");
        let times = fires(&trigger, anchor, 20);
        prop_assert_eq!(&times, &fires(&plain, anchor, 20), "the grid stays");
        let longest = Duration::from_secs_f64(jitter);
        for (at, fire) in times.iter().enumerate() {
            let due = trigger.due_at(anchor, &job, *fire);
            prop_assert_eq!(due, trigger.due_at(anchor, &job, *fire), "it is the same again");
            prop_assert!(*fire <= due && due.since(*fire) <= longest && due <= end);
            prop_assert!(times.get(at + 1).is_none_or(|next| due < *next));
            prop_assert_eq!(plain.due_at(anchor, &job, *fire), *fire);
        }
    }
}

#[test]
fn delays_differ_between_jobs_and_fires_and_use_the_whole_room() {
    let trigger = with_jitter(json!({"type": "interval", "hours": 1, "start": "now"}), 60.0);
    let anchor = utc("2026-01-01T00:00:00Z");
    let delays = |job: &str| -> Vec<u64> {
        let times = fires(&trigger, anchor, 400);
        times.iter().map(|fire| trigger.due_at(anchor, job, *fire).since(*fire).as_secs()).collect()
    };
    let (one, other) = (delays("default/one"), delays("default/other"));
    assert_ne!(one, other);
    for delays in [one, other] {
        let mean = delays.iter().sum::<u64>() as f64 / 400.0;
        assert!((25.0..34.0).contains(&mean), "{mean}");
        assert!(delays.iter().any(|delay| *delay < 3) && delays.iter().any(|delay| 56 < *delay));
    }
}

#[test]
fn the_delay_of_a_fire_is_the_same_on_every_host_and_for_ever() {
    let trigger = with_jitter(json!({"type": "cron", "hour": 3}), 600.0);
    let fire = utc("2026-01-01T03:00:00Z");
    let due = trigger.due_at(Timestamp::from_secs(0), "default/nightly", fire);
    // A change of this is a change of every job's due time: not to be made.
    assert_eq!(due.to_string(), "2026-01-01T03:03:45.028660Z");
}

#[test]
fn without_a_next_fire_or_an_end_the_jitter_alone_counts() {
    let value = json!({"type": "cron", "year": 2026, "month": 1, "day": 1});
    let trigger = with_jitter(value, 86_400.0);
    let fire = utc("2026-01-01T00:00:00Z");
    let due: Vec<Timestamp> =
        (0..20).map(|job| trigger.due_at(fire, format!("default/{job}"), fire)).collect();
    assert!(due.iter().any(|due| utc("2026-01-01T18:00:00Z") < *due));
    assert!(due.iter().all(|due| *due < utc("2026-01-02T00:00:00Z")));
}
