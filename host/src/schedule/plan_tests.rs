//! Proof of [`super::plan`]: lateness, backlog and what a year of missed seconds costs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::plan::{FirePlan, plan_fires};
use crate::job::merge::built_in;
use crate::job::parse::{self, Place};
use crate::job::{Job, JobKey};
use crate::record::step::Disposition;
use crate::run::Verdict;
use crate::time::Timestamp;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A job as it would be with these keys and the built-in values for all others.
fn job(keys: Value) -> Job {
    let mut entries = built_in();
    entries.insert("plugin".to_owned(), json!("p"));
    entries.extend(keys.as_object().unwrap().clone());
    let key = JobKey { tenant: "default".parse().unwrap(), job: "j".parse().unwrap() };
    let place = Place {
        base_dir: std::path::Path::new("/"),
        zone: chrono_tz::Tz::UTC,
        tenant: None,
        allow: crate::job::capabilities::Allow::nothing(),
    };
    parse::job(key, &entries, "", place).unwrap()
}

/// Every 10 s from 12:00:00, due first at 12:00:10.
fn every_10s(mut keys: Value) -> Job {
    keys["trigger"] =
        json!({"type": "interval", "seconds": 10, "start_date": "2026-01-01 12:00:00"});
    job(keys)
}

const FIRST: &str = "2026-01-01T12:00:10Z";

/// A plan for the job above at `now`; times are told in seconds after 12:00:00.
fn plan(keys: Value, now: &str) -> FirePlan {
    plan_fires(&every_10s(keys), at("2026-01-01T12:00:00Z"), at(FIRST), at(now))
}

fn secs(time: Timestamp) -> i64 {
    (time.micros() - at("2026-01-01T12:00:00Z").micros()) / 1_000_000
}

fn runs(plan: &FirePlan) -> Vec<i64> {
    plan.fires.iter().map(|run| secs(run.fire_time)).collect()
}

/// Each range as verdict, reason, first, last, count.
fn ranges(plan: &FirePlan) -> Vec<(Verdict, &str, i64, i64, u64)> {
    plan.ranges
        .iter()
        .map(|r| (r.verdict, r.reason.as_ref(), secs(r.first), secs(r.last), r.count))
        .collect()
}

#[test]
fn a_fire_on_time_runs_and_may_be_skipped_at_max_instances() {
    let plan = plan(json!({}), "2026-01-01T12:00:10.9Z");
    assert_eq!(runs(&plan), [10]);
    assert_eq!(plan.fires[0].disposition, Disposition::Run);
    assert_eq!(plan.fires[0].reason, "on_time");
    assert_eq!(plan.next, Some(at("2026-01-01T12:00:20Z")));
}

#[test]
fn nothing_happens_before_the_fire_time() {
    let plan = plan(json!({}), "2026-01-01T12:00:09.999999Z");
    assert!(plan.fires.is_empty() && plan.ranges.is_empty());
    assert_eq!(plan.next, Some(at(FIRST)));
}

#[test]
fn a_fire_exactly_at_the_end_of_its_grace_time_still_runs() {
    for (now, runs_wanted, late) in
        [("2026-01-01T12:00:11Z", vec![10], 0), ("2026-01-01T12:00:11.000001Z", vec![], 1)]
    {
        let plan = plan(json!({"misfire_grace_time": "1s"}), now);
        assert_eq!(runs(&plan), runs_wanted, "{now}");
        assert_eq!(plan.ranges.len(), late, "{now}");
    }
}

#[test]
fn without_a_grace_an_hour_of_downtime_is_one_run_of_the_newest() {
    let plan = plan(json!({}), "2026-01-01T13:00:05Z");
    assert_eq!(runs(&plan), [3600]);
    assert_eq!(plan.fires[0].covers, 360);
    assert_eq!(plan.fires[0].disposition, Disposition::Wait);
    assert_eq!(ranges(&plan), [(Verdict::Coalesced, "latest", 10, 3590, 359)]);
    assert_eq!(plan.next, Some(at("2026-01-01T13:00:10Z")));
}

#[test]
fn the_grace_is_judged_before_the_backlog() {
    let keys = json!({"misfire_grace_time": "20s", "coalesce": "all"});
    let plan = plan(keys, "2026-01-01T12:00:55Z");
    assert_eq!(ranges(&plan), [(Verdict::Misfired, "late", 10, 30, 3)]);
    assert_eq!(runs(&plan), [40, 50]);
    assert!(plan.fires.iter().all(|run| run.reason == "catch_up"));
}

#[test]
fn each_way_to_coalesce_keeps_what_its_name_says() {
    for (coalesce, kept, covers, away) in [
        ("latest", vec![50], vec![5], vec![(Verdict::Coalesced, "latest", 10, 40, 4)]),
        ("earliest", vec![10], vec![5], vec![(Verdict::Coalesced, "earliest", 20, 50, 4)]),
        ("all", vec![10, 20, 30, 40, 50], vec![1; 5], vec![]),
        ("drop", vec![], vec![], vec![(Verdict::Misfired, "drop", 10, 50, 5)]),
    ] {
        let plan = plan(json!({"coalesce": coalesce}), "2026-01-01T12:00:55Z");
        assert_eq!(runs(&plan), kept, "{coalesce}");
        let covered: Vec<_> = plan.fires.iter().map(|run| run.covers).collect();
        assert_eq!(covered, covers, "{coalesce}");
        assert_eq!(ranges(&plan), away, "{coalesce}");
        assert_eq!(plan.next, Some(at("2026-01-01T12:01:00Z")), "{coalesce}");
    }
}

#[test]
fn of_more_than_max_catchup_the_newest_run_and_the_oldest_of_them_stands_for_the_rest() {
    let keys = json!({"coalesce": "all", "max_catchup": 2});
    let plan = plan(keys, "2026-01-01T12:00:55Z");
    assert_eq!(runs(&plan), [40, 50]);
    assert_eq!(plan.fires[0].covers, 4);
    assert_eq!(ranges(&plan), [(Verdict::Coalesced, "max_catchup", 10, 30, 3)]);
    assert_eq!(plan.ranges[0].into, Some(plan.fires[0].fire_time));
}

#[test]
fn a_fresh_fire_behind_a_backlog_stands_for_it_or_waits_its_turn() {
    for (coalesce, kept, last) in [
        ("latest", vec![50], ("catch_up", Disposition::Wait)),
        ("earliest", vec![10, 50], ("on_time", Disposition::Wait)),
        ("all", vec![10, 20, 30, 40, 50], ("on_time", Disposition::Wait)),
        ("drop", vec![50], ("on_time", Disposition::Run)),
    ] {
        let plan = plan(json!({"coalesce": coalesce}), "2026-01-01T12:00:51Z");
        assert_eq!(runs(&plan), kept, "{coalesce}");
        let newest = plan.fires.last().unwrap();
        assert_eq!((newest.reason.as_ref(), newest.disposition), last, "{coalesce}");
    }
}

#[test]
fn every_fire_time_that_the_cursor_passes_is_accounted_for_once() {
    for coalesce in ["latest", "earliest", "all", "drop"] {
        for grace in ["none", "5s", "33s", "1h"] {
            for now in ["12:00:10", "12:00:11.5", "12:00:20", "12:01:51", "12:29:59.999999"] {
                let keys = json!({
                    "coalesce": coalesce, "misfire_grace_time": grace, "max_catchup": 3
                });
                let now = format!("2026-01-01T{now}Z");
                let plan = plan(keys, &now);
                let due = u64::try_from(secs(at(&now)) / 10).unwrap();
                let ranged: u64 = plan.ranges.iter().map(|range| range.count).sum();
                let case = format!("{coalesce} {grace} {now}: {plan:?}");
                assert_eq!(ranged + plan.fires.len() as u64, due, "{case}");
                let covered: u64 = plan.fires.iter().map(|run| run.covers - 1).sum();
                let coalesced = plan.ranges.iter().filter(|r| r.verdict == Verdict::Coalesced);
                assert_eq!(covered, coalesced.map(|range| range.count).sum::<u64>(), "{case}");
            }
        }
    }
}

#[test]
fn a_one_shot_job_waits_for_a_slot_and_has_no_next_fire() {
    let job = job(json!({"trigger": {"type": "date", "run_date": "2026-01-01 12:00:10"}}));
    let plan = plan_fires(&job, at(FIRST), at(FIRST), at(FIRST));
    assert_eq!(plan.fires[0].disposition, Disposition::Wait);
    assert_eq!(plan.next, None);
}

#[test]
fn a_year_of_missed_seconds_is_planned_at_once() {
    let job = job(json!({"trigger": {"type": "cron", "second": "*"}, "coalesce": "all"}));
    let start = at("2025-01-01T00:00:00Z");
    let before = Instant::now();
    let plan = plan_fires(&job, start, start, at("2026-01-01T00:00:05Z"));
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    assert_eq!(plan.fires.len(), 101, "100 to catch up with, and the fresh one");
    let covered: u64 = plan.fires.iter().map(|run| run.covers).sum();
    assert_eq!(covered, 365 * 86_400 + 6);
}

#[test]
fn a_clock_stepped_back_plans_nothing() {
    let plan = plan(json!({}), "2026-01-01T11:00:00Z");
    assert_eq!(runs(&plan), [] as [i64; 0]);
    assert_eq!(plan.next, Some(at(FIRST)));
}

#[test]
fn with_jitter_a_fire_time_that_has_passed_may_not_be_due_yet() {
    let trigger = json!({
        "type": "interval", "seconds": 10, "start_date": "2026-01-01 12:00:00", "jitter": 9
    });
    let job = job(json!({"trigger": trigger, "coalesce": "all", "misfire_grace_time": "25s"}));
    let (anchor, first) = (at("2026-01-01T12:00:00Z"), at(FIRST));
    let due = |fire: Timestamp| job.due_at(anchor, fire);
    for fire in (1..40).map(|step| Timestamp::from_secs(anchor.micros() / 1_000_000 + step * 10)) {
        let early = Timestamp::from_micros(due(fire).micros() - 1);
        if fire < due(fire) {
            let plan = plan_fires(&job, anchor, first, early);
            assert_eq!(plan.next, Some(fire), "{fire} is not due a microsecond before");
        }
        let plan = plan_fires(&job, anchor, first, due(fire));
        let last = plan.fires.last().unwrap();
        assert_eq!((last.fire_time, last.due_at, &*last.reason), (fire, due(fire), "on_time"));
        assert_eq!(plan.next, Some(fire.after(Duration::from_secs(10))));
        // The grace counts from when a fire was due.
        let kept: Vec<Timestamp> = plan.fires.iter().map(|run| run.fire_time).collect();
        let limit = due(fire).before(Duration::from_secs(25));
        let late: u64 = plan.ranges.iter().map(|range| range.count).sum();
        assert_eq!(late + kept.len() as u64, u64::try_from(secs(fire)).unwrap() / 10);
        assert!(kept.iter().all(|fire| limit <= due(*fire)), "{plan:?}");
        assert!(plan.ranges.iter().all(|range| due(range.last) < limit), "{plan:?}");
    }
}

#[test]
fn what_has_to_be_walked_is_planned_in_parts_that_are_counted_exactly() {
    let seconds = "cron * * * * * *";
    let and = json!({"type": "and", "triggers": [seconds, seconds], "threshold": 0.5});
    let job = job(json!({"trigger": and}));
    let (mut cursor, now) = (at("2026-01-01T12:00:00Z"), at("2026-01-01T18:00:00Z"));
    let (anchor, mut covered, mut parts) = (cursor, 0, 0);
    while cursor <= now {
        let plan = plan_fires(&job, anchor, cursor, now);
        covered += plan.fires.iter().map(|run| run.covers).sum::<u64>();
        parts += 1;
        assert_eq!(plan.gave_up, None);
        cursor = plan.next.unwrap();
    }
    assert_eq!((covered, parts), (6 * 3_600 + 1, 3));
}

#[test]
fn a_search_that_gives_up_is_told_beside_what_is_due() {
    let once = |minute: u32| json!({"type": "or", "triggers": ["at 2026-01-01 12:00:10", format!("cron {minute} * * * *")]});
    let and = json!({"type": "and", "triggers": [once(0), once(30)]});
    let plan =
        plan_fires(&job(json!({"trigger": and})), at("2026-01-01T12:00:00Z"), at(FIRST), at(FIRST));
    assert_eq!((runs(&plan), plan.next), (vec![10], None));
    assert!(plan.gave_up.unwrap().to_string().contains("10000 steps"));
}
