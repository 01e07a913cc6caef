//! Runs that somebody asks for.

use serde_json::{Value, json};

use super::{Served, serve};

async fn hourly() -> Served {
    let served = serve().await;
    let body = json!({"plugin": "other", "expires": "2h",
        "trigger": {"type": "interval", "hours": 1, "start_date": "2026-11-01T00:00:00Z"}});
    served.done("PUT", "/v1/jobs/x", body).await;
    served.done("PUT", "/v1/jobs/asked", json!({"plugin": "other"})).await;
    served
}

#[tokio::test]
async fn a_run_may_start_later_and_moves_no_grid() {
    let served = hourly().await;
    for (body, fire_time) in [
        (json!({}), "2026-12-01T00:00:00Z"),
        (json!({"countdown": "10m"}), "2026-12-01T00:10:00Z"),
        (json!({"countdown": 1.5}), "2026-12-01T00:00:01.500000Z"),
        (json!({"eta": "2026-12-01T02:00:00+01:00"}), "2026-12-01T01:00:00Z"),
        (json!({"eta": "2026-11-30T00:00:00Z"}), "2026-11-30T00:00:00Z"),
        (json!({"countdown": "10m", "expires": "11m"}), "2026-12-01T00:10:00Z"),
        (json!({"expires": "2026-12-01T00:00:01Z", "args": [1]}), "2026-12-01T00:00:00Z"),
    ] {
        let mut ask = body.clone();
        ask["job"] = json!("x");
        let (headers, status, run) = served.send("POST", "/v1/runs", &[], Some(ask)).await;
        assert_eq!(status, 202, "{body}: {run}");
        assert_eq!(headers["location"], format!("/v1/runs/{}", run["id"].as_str().unwrap()));
        assert_eq!((&run["cause"], &run["state"]), (&json!("enqueued"), &json!("queued")));
        assert_eq!((&run["fire_time"], &run["args"]), (&json!(fire_time), &body["args"]));
    }
    let (_, job) = served.get("/v1/jobs/x").await;
    assert_eq!(job["next_fire_time"], "2026-12-01T00:00:00Z");
    assert_eq!(served.get("/v1/jobs/x/ledger").await.1["items"], json!([]));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_path() {
    let served = hourly().await;
    for (body, status, path, part) in [
        (json!({}), 422, "job", "`job` is missing"),
        (json!({"job": 5}), 422, "job", "not `5`"),
        (json!({"job": "y"}), 404, "", "there is no job `y`"),
        (json!({"job": "x", "count_down": 1}), 422, "count_down", "did you mean `countdown`?"),
        (json!({"job": "x", "countdown": 1, "eta": "2026-12-02T00:00:00Z"}), 422, "eta", "`eta`"),
        (json!({"job": "x", "countdown": -1}), 422, "countdown", "-1"),
        (json!({"job": "x", "eta": "tomorrow"}), 422, "eta", "tomorrow"),
        (json!({"job": "x", "expires": 0}), 422, "expires", "not later"),
        (json!({"job": "x", "countdown": "2h", "expires": "1h"}), 422, "expires", "not later"),
        (json!({"job": "x", "idempotency_key": ""}), 422, "idempotency_key", "must be text"),
        (
            json!({"job": "x", "at": "2026-11-30T00:30:00Z"}),
            422,
            "at",
            "the nearest are 2026-11-30T00:00:00Z and 2026-11-30T01:00:00Z",
        ),
        (json!({"job": "asked", "at": "2026-11-30T00:00:00Z"}), 422, "job", "no trigger"),
        (json!({"job": "x", "at": "2026-11-30T00:00:00Z", "limit": 3}), 422, "limit", "`at`"),
        (
            json!({"job": "x", "at": "2026-11-30T00:00:00Z", "countdown": 3}),
            422,
            "countdown",
            "`at`",
        ),
        (json!({"job": "x", "from": "2026-11-30T00:00:00Z"}), 422, "to", "is missing"),
        (
            json!({"job": "x", "from": "2026-11-30T00:00:00Z", "to": "2026-11-30T00:00:00Z"}),
            422,
            "to",
            "later than",
        ),
        (
            json!({"job": "x", "from": "2026-11-30T00:00:00Z", "to": "2026-12-01T00:00:00Z",
            "limit": 1001}),
            422,
            "limit",
            "1000",
        ),
    ] {
        let (got, problem) = served.ask("POST", "/v1/runs", Some(body.clone())).await;
        assert_eq!(got, status, "{body}: {problem}");
        let first = problem["errors"][0]["path"].as_str().unwrap_or_default();
        assert_eq!(first, path, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{body}: {problem}");
    }
    assert_eq!(served.get("/v1/runs").await.1["items"], json!([]));
}

#[tokio::test]
async fn a_key_stands_for_one_run() {
    let served = hourly().await;
    let ask = async |job: &str, args: Value| {
        let body = json!({"job": job, "args": args, "idempotency_key": "june"});
        served.ask("POST", "/v1/runs", Some(body)).await
    };
    let (status, run) = ask("x", json!({"n": 1})).await;
    assert_eq!(status, 202);
    let (status, again) = ask("x", json!({"n": 1})).await;
    assert_eq!((status, &again), (200, &run));
    for (job, args) in [("x", json!({"n": 2})), ("x", Value::Null), ("asked", json!({"n": 1}))] {
        let (status, problem) = ask(job, args).await;
        assert_eq!((status, &problem["code"]), (409, &json!("key_reused")));
    }
    let path = format!("/v1/runs/{}/cancel", run["id"].as_str().unwrap());
    served.done("POST", &path, json!({})).await;
    let (status, over) = ask("x", json!({"n": 1})).await;
    assert_eq!((status, &over["state"]), (200, &json!("done")), "also when it is over");
}

#[tokio::test]
async fn fire_times_of_the_past_are_run_again() {
    let served = hourly().await;
    let body = json!({"job": "x", "at": "2026-11-30T05:00:00Z", "args": {"again": true}});
    let run = served.done("POST", "/v1/runs", body.clone()).await;
    assert_eq!(
        (&run["cause"], &run["fire_time"]),
        (&json!("backfill"), &json!("2026-11-30T05:00:00Z"))
    );
    let other = served.done("POST", "/v1/runs", body).await;
    assert_ne!(other["id"], run["id"], "each has its own run");
    for (limit, expected) in [
        (Value::Null, vec!["2026-11-30T01:00:00Z", "2026-11-30T02:00:00Z", "2026-11-30T03:00:00Z"]),
        (json!(2), vec!["2026-11-30T01:00:00Z", "2026-11-30T02:00:00Z"]),
    ] {
        let body = json!({"job": "x", "from": "2026-11-30T00:00:01Z", "to": "2026-11-30T03:00:01Z",
            "limit": limit});
        let runs = served.done("POST", "/v1/runs", body).await;
        let items = runs["items"].as_array().unwrap();
        let times: Vec<_> = items.iter().map(|run| run["fire_time"].as_str().unwrap()).collect();
        assert_eq!(times, expected);
        assert_eq!(runs.as_object().unwrap().len(), 1);
    }
    let (_, job) = served.get("/v1/jobs/x").await;
    assert_eq!(job["next_fire_time"], "2026-12-01T00:00:00Z");
    assert_eq!(served.get("/v1/jobs/x/ledger").await.1["items"], json!([]));
}
