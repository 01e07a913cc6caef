//! Jobs made, replaced, changed and removed.

use std::time::Duration;

use serde_json::{Value, json};

use super::{now, serve};
use crate::time::Timestamp;

fn hourly() -> Value {
    json!({"id": "nightly", "plugin": "other", "trigger": "every 1h"})
}

/// The paths of what is wrong.
fn paths(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|error| error["path"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_job_is_made_with_its_place_its_version_and_all_that_is_in_force() {
    let served = serve().await;
    let (headers, status, job) = served.send("POST", "/v1/jobs", &[], Some(hourly())).await;
    assert_eq!(
        (status, &headers["location"], &headers["etag"]),
        (201, &"/v1/jobs/nightly".parse().unwrap(), &"\"1\"".parse().unwrap())
    );
    assert_eq!((&job["source"], &job["state"]), (&json!("api"), &json!("active")));
    assert_eq!(job["definition"], json!({"plugin": "other", "trigger": "every 1h"}));
    assert_eq!(job["effective"]["limits"]["timeout"], "5m");
    assert_eq!(job["next_fire_time"], "2026-12-01T01:00:00Z");
    assert_eq!(served.get("/v1/jobs/nightly").await, (200, job));
}

#[tokio::test]
async fn of_two_jobs_of_one_name_the_caller_says_which_stays() {
    let served = serve().await;
    served.done("POST", "/v1/jobs", hourly()).await;
    let other = json!({"id": "nightly", "plugin": "other", "trigger": "every 2h"});
    for (query, status, code, trigger) in [
        ("", 409, json!("job_exists"), "every 1h"),
        ("?conflict=error", 409, json!("job_exists"), "every 1h"),
        ("?conflict=keep", 200, Value::Null, "every 1h"),
        ("?conflict=replace", 200, Value::Null, "every 2h"),
        ("?conflict=both", 422, json!("invalid"), "every 2h"),
    ] {
        let path = format!("/v1/jobs{query}");
        let (got, answer) = served.ask("POST", &path, Some(other.clone())).await;
        assert_eq!((got, &answer["code"]), (status, &code), "{query}: {answer}");
        let (_, job) = served.get("/v1/jobs/nightly").await;
        assert_eq!(job["definition"]["trigger"], trigger, "{query}");
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once_with_its_path() {
    let served = serve().await;
    let id = |keys: Value| {
        let mut body = hourly();
        body.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        body
    };
    for (body, expected, part) in [
        (json!({}), vec!["id", "plugin"], "name the plugin"),
        (id(json!({"id": "a b"})), vec!["id"], "a b"),
        (id(json!({"id": 5, "priority": -1})), vec!["id", "priority"], "not `5`"),
        (id(json!({"plugin": "other", "minutes": 5})), vec!["minutes"], "unknown key"),
        (id(json!({"limit": {}})), vec!["limit"], "did you mean `limits`?"),
        (
            id(json!({"trigger": {"type": "cron", "hour": 25}, "max_instances": 0})),
            vec!["trigger.hour", "max_instances"],
            "25",
        ),
        (
            id(json!({"capabilities": {"dirs": [{"host": "/", "guest": "/"}]}})),
            vec!["capabilities"],
            "only `host.toml` grants",
        ),
        (
            id(json!({"trigger": {"type": "interval", "hours": 1, "end_date": "2026-01-01"}})),
            vec!["trigger"],
            "no fire time left",
        ),
        (id(json!({"trigger": {"type": "cron", "day": 30, "month": 2}})), vec!["trigger"], "never"),
    ] {
        let (status, problem) = served.ask("POST", "/v1/jobs", Some(body.clone())).await;
        assert_eq!((status, paths(&problem)), (422, expected), "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{body}: {problem}");
    }
    for body in [json!([]), json!("x"), json!(null)] {
        assert_eq!(served.ask("POST", "/v1/jobs", Some(body)).await.0, 422);
    }
    assert_eq!(served.get("/v1/jobs").await.1["items"], json!([]));
}

#[tokio::test]
async fn a_past_date_is_due_at_once() {
    let served = serve().await;
    let body = json!({"plugin": "other", "trigger": "at 2026-11-30 23:55:00"});
    let job = served.done("PUT", "/v1/jobs/late", body).await;
    assert_eq!(
        (&job["state"], &job["next_fire_time"]),
        (&json!("active"), &json!("2026-11-30T23:55:00Z"))
    );
}

#[tokio::test]
async fn put_makes_and_replaces_and_keeps_grid_and_pause_of_the_same_trigger() {
    let served = serve().await;
    let put = async |body: Value| served.ask("PUT", "/v1/jobs/x", Some(body)).await;
    let (status, first) = put(json!({"plugin": "other", "trigger": "every 1h"})).await;
    assert_eq!((status, &first["version"]), (201, &json!(1)));
    served.done("POST", "/v1/jobs/x/pause", json!({"why": "moving"})).await;
    served.clock.set(now().after(Duration::from_secs(90)));
    let (status, same) =
        put(json!({"id": "x", "plugin": "other", "trigger": "every 1h", "priority": 4})).await;
    assert_eq!((status, &same["effective"]["priority"]), (200, &json!(4)));
    assert_eq!((&same["state"], &same["paused"]["why"]), (&json!("paused"), &json!("moving")));
    let body = json!({"plugin": "other", "priority": 4, "trigger": "every 1h"});
    assert_eq!(put(body).await, (200, same), "the same again is no new version");
    let times = served.get("/v1/jobs/x/next?n=1&after=2026-12-01T00:00:01Z").await.1;
    assert_eq!(times["items"], json!(["2026-12-01T01:00:00Z"]), "the grid stays");
    let (_, other) = put(json!({"plugin": "other", "trigger": "every 2h"})).await;
    assert_eq!(other["state"], "paused", "a paused job stays paused");
    served.done("POST", "/v1/jobs/x/resume", json!({})).await;
    let (_, job) = served.get("/v1/jobs/x").await;
    assert_eq!(job["next_fire_time"], "2026-12-01T02:01:30Z", "another trigger begins now");
    let (status, problem) = put(json!({"id": "y", "plugin": "other"})).await;
    assert_eq!((status, paths(&problem)), (422, vec!["id"]));
    assert_eq!(served.ask("PUT", "/v1/jobs/a%20b", Some(json!({"plugin": "p"}))).await.0, 422);
}

#[tokio::test]
async fn what_was_overdue_under_another_trigger_is_in_the_ledger() {
    let served = serve().await;
    served.done("PUT", "/v1/jobs/x", json!({"plugin": "other", "trigger": "every 1h"})).await;
    served.clock.set(now().after(Duration::from_secs(9_000)));
    let job = served.done("PATCH", "/v1/jobs/x", json!({"trigger": "every 3h"})).await;
    assert_eq!(job["next_fire_time"], "2026-12-01T05:30:00Z");
    let (_, ledger) = served.get("/v1/jobs/x/ledger").await;
    let item = &ledger["items"][0];
    assert_eq!(
        (&item["verdict"], &item["reason"], &item["count"]),
        (&json!("cancelled"), &json!("rescheduled"), &json!(2))
    );
    let body = json!({"trigger": "at 2026-12-01 02:00:00"});
    let (status, problem) = served.ask("PATCH", "/v1/jobs/x", Some(body)).await;
    assert_eq!((status, paths(&problem)), (422, vec!["trigger"]), "it has a verdict already");
}

#[tokio::test]
async fn a_patch_changes_its_keys_or_nothing() {
    let served = serve().await;
    let body = json!({"plugin": "other", "trigger": {"type": "cron", "hour": 3},
        "limits": {"timeout": "1m"}, "priority": 2});
    served.done("PUT", "/v1/jobs/x", body).await;
    let (status, problem) = served
        .ask("PATCH", "/v1/jobs/x", Some(json!({"trigger": "every 5s", "jitter": 3, "tags": 1})))
        .await;
    assert_eq!((status, paths(&problem)), (422, vec!["jitter", "tags"]));
    let changes = json!({"limits": {"memory": "8MiB"}, "priority": null, "id": "x"});
    let job = served.done("PATCH", "/v1/jobs/x", changes).await;
    assert_eq!(job["definition"]["limits"], json!({"timeout": "1m", "memory": "8MiB"}));
    assert_eq!((&job["effective"]["priority"], &job["version"]), (&json!(0), &json!(2)));
    assert_eq!(job["definition"]["trigger"], json!({"type": "cron", "hour": 3}));
    let changes = json!({"plugin": null, "id": "x"});
    let (status, problem) = served.ask("PATCH", "/v1/jobs/x", Some(changes)).await;
    assert_eq!((status, paths(&problem)), (422, vec!["plugin"]));
    assert_eq!(served.ask("PATCH", "/v1/jobs/gone", Some(json!({}))).await.0, 404);
}

#[tokio::test]
async fn a_stale_version_is_refused_everywhere() {
    let served = serve().await;
    served.done("PUT", "/v1/jobs/x", json!({"plugin": "other"})).await;
    served.done("PATCH", "/v1/jobs/x", json!({"priority": 1})).await;
    let body = || Some(json!({"plugin": "other"}));
    let empty = || Some(json!({}));
    let whole = || Some(json!({"id": "x", "plugin": "other"}));
    for (method, path, header, value, body, status) in [
        ("PUT", "/v1/jobs/x", "if-match", "\"1\"", body(), 412),
        ("PUT", "/v1/jobs/x", "if-none-match", "*", body(), 412),
        ("PUT", "/v1/jobs/new", "if-match", "*", body(), 412),
        ("PATCH", "/v1/jobs/x", "if-match", "\"1\"", empty(), 412),
        ("DELETE", "/v1/jobs/x", "if-match", "\"1\"", None, 412),
        ("POST", "/v1/jobs?conflict=replace", "if-match", "\"1\"", whole(), 412),
        ("POST", "/v1/jobs/x/pause", "if-match", "\"1\"", empty(), 412),
        ("POST", "/v1/jobs/x/resume", "if-match", "\"1\"", empty(), 412),
        ("POST", "/v1/jobs/x/run", "if-match", "\"1\"", empty(), 412),
        ("PUT", "/v1/jobs/new", "if-none-match", "*", body(), 201),
        ("PATCH", "/v1/jobs/x", "if-match", "\"2\"", empty(), 200),
        ("DELETE", "/v1/jobs/x", "if-match", "\"2\"", None, 204),
    ] {
        let (_, got, answer) = served.send(method, path, &[(header, value)], body).await;
        assert_eq!(got, status, "{method} {path} {header}: {value}: {answer}");
        if got == 412 {
            assert_eq!(answer["code"], "stale");
        }
    }
}

#[tokio::test]
async fn jobs_of_files_are_changed_there_and_steered_here() {
    let served = serve().await;
    served.put("filed", json!("every 1m")).await;
    let body = || Some(json!({"plugin": "other"}));
    for (method, path, body, status) in [
        ("PUT", "/v1/jobs/filed", body(), 409),
        ("PUT", "/v1/jobs/filed", Some(json!({"nonsense": 1})), 409),
        ("PATCH", "/v1/jobs/filed", Some(json!({"priority": 1})), 409),
        ("DELETE", "/v1/jobs/filed", None, 409),
        ("POST", "/v1/jobs?conflict=replace", Some(json!({"id": "filed", "plugin": "p"})), 409),
        ("POST", "/v1/jobs/filed/pause", Some(json!({})), 200),
        ("POST", "/v1/jobs/filed/resume", Some(json!({})), 200),
        ("POST", "/v1/jobs/filed/run", None, 202),
    ] {
        let (got, answer) = served.ask(method, path, body).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
        if got == 409 {
            assert_eq!(answer["code"], "managed_by_file");
            assert!(answer["detail"].as_str().unwrap().contains("`host.toml`"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_removed_job_is_gone_and_its_runs_go_on_unless_they_are_cancelled() {
    let served = serve().await;
    for (query, state) in [("", "queued"), ("?live=keep", "queued"), ("?live=cancel", "done")] {
        served.done("PUT", "/v1/jobs/x", json!({"plugin": "other"})).await;
        let run = served.done("POST", "/v1/jobs/x/run", json!({})).await;
        let path = format!("/v1/jobs/x{query}");
        assert_eq!(served.ask("DELETE", &path, None).await, (204, json!("")), "{query}");
        let (_, run) = served.get(&format!("/v1/runs/{}", run["id"].as_str().unwrap())).await;
        assert_eq!(run["state"], state, "{query}");
        assert_eq!(served.get("/v1/jobs/x").await.0, 404);
        assert_eq!(served.ask("DELETE", &path, None).await.0, 404);
    }
    assert_eq!(served.ask("DELETE", "/v1/jobs/x?live=both", None).await.0, 422);
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json_and_be_of_a_size() {
    let served = serve().await;
    let url = format!("http://{}/v1/jobs/x", served.listen);
    let statuses = tokio::task::spawn_blocking(move || {
        let send = |kind: &str, body: Vec<u8>| {
            let request = super::agent().put(&url).header("content-type", kind);
            request.send(&body).unwrap().status().as_u16()
        };
        [
            send("text/plain", b"{\"plugin\": \"p\"}".to_vec()),
            send("application/json", b"{".to_vec()),
            send("application/json", vec![b' '; crate::api::body::MAX_BODY_BYTES + 1]),
            send("application/merge-patch+json", b"{\"plugin\": \"p\"}".to_vec()),
        ]
    });
    assert_eq!(statuses.await.unwrap(), [415, 422, 413, 201]);
    assert_eq!(Timestamp::parse("2026-12-01T00:00:00Z"), Ok(now()));
}
