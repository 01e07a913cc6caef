//! Pausing and resuming.

use std::time::Duration;

use serde_json::{Value, json};

use super::{now, serve};

#[tokio::test]
async fn a_pause_says_who_why_and_until_when_and_is_the_same_again() {
    let served = serve().await;
    served.done("PUT", "/v1/jobs/x", json!({"plugin": "other", "trigger": "every 1h"})).await;
    let until = "2026-12-01T02:00:00Z";
    for (body, expected, version) in [
        (json!({"why": "moving", "until": "2h"}), json!(["moving", until]), 2),
        (json!({}), json!(["moving", until]), 2),
        (json!({"why": "moving", "until": until}), json!(["moving", until]), 2),
        (json!({"why": "still moving"}), json!(["still moving", null]), 3),
    ] {
        let (headers, status, job) =
            served.send("POST", "/v1/jobs/x/pause", &[], Some(body.clone())).await;
        assert_eq!((status, &job["state"]), (200, &json!("paused")), "{body}");
        let paused = &job["paused"];
        assert_eq!(json!([paused["why"], paused["until"]]), expected, "{body}");
        assert_eq!((&paused["by"], &job["version"]), (&json!("api"), &json!(version)), "{body}");
        assert_eq!(headers["etag"], format!("\"{version}\""));
    }
    for body in [json!({"until": "2026-12-01T00:00:00Z"}), json!({"until": 5, "wy": 1})] {
        let (status, _) = served.ask("POST", "/v1/jobs/x/pause", Some(body.clone())).await;
        assert_eq!(status, 422, "{body}");
    }
    assert_eq!(served.ask("POST", "/v1/jobs/y/pause", None).await.0, 404);
}

#[tokio::test]
async fn resuming_goes_on_from_now_or_catches_up() {
    for (body, next, counted) in [
        (json!({}), "2026-12-01T03:00:00Z", json!([["paused", 2]])),
        (json!({"catch_up": false}), "2026-12-01T03:00:00Z", json!([["paused", 2]])),
        (json!({"catch_up": true}), "2026-12-01T01:00:00Z", json!([])),
    ] {
        let served = serve().await;
        served.done("PUT", "/v1/jobs/x", json!({"plugin": "other", "trigger": "every 1h"})).await;
        served.done("POST", "/v1/jobs/x/pause", json!({})).await;
        served.clock.set(now().after(Duration::from_secs(9_000)));
        let job = served.done("POST", "/v1/jobs/x/resume", body.clone()).await;
        assert_eq!((&job["state"], &job["next_fire_time"]), (&json!("active"), &json!(next)));
        let ledger = served.get("/v1/jobs/x/ledger").await.1;
        let items = ledger["items"].as_array().unwrap().iter();
        let items: Vec<_> = items.map(|item| json!([item["verdict"], item["count"]])).collect();
        assert_eq!(json!(items), counted, "{body}");
        let again = served.done("POST", "/v1/jobs/x/resume", json!({"catch_up": true})).await;
        assert_eq!(again, job, "nothing happens to a job that is not paused");
    }
}

#[tokio::test]
async fn a_job_whose_last_fire_time_passed_in_its_pause_is_finished() {
    let served = serve().await;
    let body = json!({"plugin": "other", "trigger": "at 2026-12-01 01:00:00"});
    served.done("PUT", "/v1/jobs/x", body).await;
    served.done("POST", "/v1/jobs/x/pause", json!({})).await;
    served.clock.set(now().after(Duration::from_secs(9_000)));
    let job = served.done("POST", "/v1/jobs/x/resume", json!({})).await;
    assert_eq!((&job["state"], &job["reason"]), (&json!("finished"), &json!("exhausted")));
}

#[tokio::test]
async fn the_whole_scheduler_is_paused_in_memory_and_in_the_store() {
    let served = serve().await;
    served.status.passed(now(), None);
    let kept = async || crate::api::pause::kept(served.store.as_ref()).await.unwrap();
    assert_eq!(served.get("/readyz").await.1["paused"], Value::Null);
    let view = served.done("POST", "/v1/scheduler/pause", json!({"why": "moving"})).await;
    let paused = json!({"by": "api", "why": "moving", "since": "2026-12-01T00:00:00Z"});
    assert_eq!(view, json!({"paused": paused}));
    served.clock.set(now().after(Duration::from_secs(5)));
    assert_eq!(served.done("POST", "/v1/scheduler/pause", json!({})).await, view);
    let (status, ready) = served.get("/readyz").await;
    assert_eq!((status, &ready["paused"]), (200, &paused));
    assert_eq!((served.status.paused(), kept().await), (kept().await, served.status.paused()));
    assert!(kept().await.is_some());
    for _ in 0..2 {
        let view = served.done("POST", "/v1/scheduler/resume", json!({})).await;
        assert_eq!(view, json!({"paused": null}));
        assert_eq!((served.status.paused(), kept().await), (None, None));
    }
    assert_eq!(served.ask("POST", "/v1/scheduler/pause", Some(json!({"until": 1}))).await.0, 422);
}
