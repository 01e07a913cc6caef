//! Why an instant stands as it stands.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Served, now, serve};
use crate::record::step::Patch;
use crate::run::{Range, Verdict};
use crate::store::Store as _;

async fn hourly() -> Served {
    let served = serve().await;
    let body = json!({"plugin": "other", "trigger": "every 1h"});
    served.done("PUT", "/v1/jobs/x", body).await;
    served
}

async fn why(served: &Served, at: &str) -> Value {
    let (status, why) = served.get(&format!("/v1/jobs/x/why?at=2026-12-01T{at}Z")).await;
    assert_eq!(status, 200, "{why}");
    why
}

fn says(why: &Value) -> String {
    let lines = why["says"].as_array().unwrap().iter();
    lines.map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_has_not_come_due_says_what_it_waits_for() {
    let served = hourly().await;
    for (at, standing, part) in [
        ("00:30:00", "no_fire_time", "the nearest is 2026-12-01T01:00:00Z"),
        ("01:30:00", "no_fire_time", "nearest are 2026-12-01T01:00:00Z and 2026-12-01T02:00:00Z"),
        ("01:00:00", "not_yet_due", "it is not yet due"),
    ] {
        let why = why(&served, at).await;
        assert_eq!((&why["standing"], &why["verdict"]), (&json!(standing), &Value::Null), "{at}");
        assert_eq!(why["fire_time"], standing == "not_yet_due");
        assert!(says(&why).contains(part), "{at}: {why}");
    }
    served.clock.set(now().after(Duration::from_secs(3_602)));
    assert_eq!(why(&served, "01:00:00").await["standing"], "due");
    served.clock.set(now().after(Duration::from_secs(3_606)));
    let fault = why(&served, "01:00:00").await;
    assert_eq!(fault["standing"], "fault");
    assert!(says(&fault).contains("that is a fault of the host"), "{fault}");
    served.done("POST", "/v1/scheduler/pause", json!({"why": "moving"})).await;
    let paused = why(&served, "01:00:00").await;
    assert_eq!(paused["standing"], "scheduler_paused");
    assert!(
        says(&paused).contains("paused by api since 2026-12-01T01:00:06Z (moving)"),
        "{paused}"
    );
    served.done("POST", "/v1/jobs/x/pause", json!({"until": "2h"})).await;
    let paused = why(&served, "01:00:00").await;
    assert_eq!((&paused["standing"], &paused["paused"]["by"]), (&json!("paused"), &json!("api")));
    assert!(says(&paused).contains("until 2026-12-01T03:00:06Z"), "{paused}");
}

#[tokio::test]
async fn a_verdict_tells_its_policy_and_for_whom_else_it_stands() {
    let served = hourly().await;
    let job = served.store.get(&super::key("x")).await.unwrap().unwrap();
    let at = |hours: u64| now().after(Duration::from_hours(hours));
    let range = Range {
        verdict: Verdict::Misfired,
        reason: "late".into(),
        first: at(1),
        last: at(3),
        count: 3,
        into: None,
    };
    let next = Some(at(4));
    let patch = Patch { cursor: Some((next, next)), ranges: vec![range], ..Patch::default() };
    served.store.patch(&job.key, None, patch, at(3)).await.unwrap();
    served.clock.set(at(3));
    let decided = why(&served, "02:00:00").await;
    assert_eq!(
        (&decided["standing"], &decided["verdict"]),
        (&json!("decided"), &json!("misfired"))
    );
    assert_eq!(decided["entry"]["count"], 3);
    assert!(says(&decided).contains("`misfire_grace_time` allows (now none)"), "{decided}");
    assert!(says(&decided).contains("one of 3 fire times from"), "{decided}");
    assert_eq!(why(&served, "02:30:00").await["entry"], Value::Null);
}

#[tokio::test]
async fn runs_that_were_asked_for_are_told_beside() {
    let served = hourly().await;
    let body = json!({"job": "x", "at": "2026-12-01T01:00:00Z"});
    let run = served.done("POST", "/v1/runs", body).await;
    let asked = why(&served, "01:00:00").await;
    assert_eq!(asked["asked_for"], json!([run]));
    assert!(says(&asked).contains("was asked for besides (backfill) and waits"), "{asked}");
    assert_eq!(served.get("/v1/jobs/x/why").await.0, 422);
    assert_eq!(served.get("/v1/jobs/x/why?at=noon").await.0, 422);
    assert_eq!(served.get("/v1/jobs/y/why?at=2026-12-01T01:00:00Z").await.0, 404);
}
