//! Jobs made, steered and asked about while the real binary serves.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};

fn site() -> Site {
    let site = Site::new("[jobs.filed]\nplugin = \"behave\"\nhandler = \"ok\"\n");
    site.plugin("behave", "behave");
    site
}

fn ticking() -> Value {
    json!({"plugin": "behave", "handler": "ok", "trigger": "every 1s", "args": {"n": 1}})
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn done(host: &Host, args: &[&str]) -> String {
    let output = host.cli(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}{}", out(&output), err(&output));
    out(&output)
}

fn said(host: &Host, args: &[&str]) -> Value {
    let printed = done(host, &[args, &["--json"]].concat());
    serde_json::from_str(printed.trim()).unwrap_or_else(|_| panic!("{args:?}: {printed}"))
}

fn ran(host: &Host, job: &str) -> Vec<Value> {
    host.items(&format!("/v1/runs?job={job}&state=done&limit=1000"))
}

#[test]
fn a_job_that_is_put_runs_at_once_and_outlives_the_host() {
    let site = site();
    let host = site.start();
    let (status, job) = host.send("PUT", "/v1/jobs/tick", &ticking());
    assert_eq!((status, &job["source"]), (201, &json!("api")), "{job}");
    let run = host.item("a run", "/v1/runs?job=tick&state=done", |run| run["verdict"] == "ran");
    assert_eq!(run["result"], json!({"n": 1}));
    let (status, job) = host.send("PATCH", "/v1/jobs/tick", &json!({"args": {"n": 2}}));
    assert_eq!((status, &job["definition"]["args"]), (200, &json!({"n": 2})));
    host.item("another run", "/v1/runs?job=tick&state=done", |run| {
        run["result"] == json!({"n": 2})
    });
    assert!(host.terminate().0.success());
    let host = site.start();
    let (_, again) = host.get("/v1/jobs/tick");
    assert_eq!((&again["version"], &again["state"]), (&job["version"], &json!("active")));
    assert_eq!(host.send("DELETE", "/v1/jobs/tick", &Value::Null).0, 204);
    assert_eq!(host.get("/v1/jobs/tick").0, 404);
    assert!(!host.items("/v1/jobs/tick/ledger").is_empty(), "its past stays");
}

#[test]
fn a_handler_that_the_plugin_lacks_is_refused() {
    let site = site();
    let host = site.start();
    let body = json!({"plugin": "behave", "handler": "okk", "trigger": "every 1h"});
    let (status, problem) = host.send("PUT", "/v1/jobs/x", &body);
    assert_eq!((status, &problem["errors"][0]["path"]), (422, &json!("handler")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("did you mean `ok`?"), "{problem}");
    let body = json!({"plugin": "later", "trigger": "every 1h"});
    assert_eq!(host.send("PUT", "/v1/jobs/x", &body).0, 201, "a plugin may come later");
}

#[test]
fn a_paused_job_does_not_run_and_its_fire_times_are_counted() {
    let site = site();
    let host = site.start();
    host.send("PUT", "/v1/jobs/tick", &ticking());
    host.item("a run", "/v1/runs?job=tick&state=done", |_| true);
    let next = host.items("/v1/jobs/tick/next?n=3");
    let (status, job) = host.post("/v1/jobs/tick/pause", &json!({"why": "moving"}));
    assert_eq!((status, &job["state"]), (200, &json!("paused")));
    assert_eq!(job["paused"]["why"], "moving");
    let before = ran(&host, "tick").len();
    assert!(host.terminate().0.success());
    let host = site.start();
    assert_eq!(host.get("/v1/jobs/tick").1["state"], "paused", "it survives a restart");
    assert_eq!(host.post("/v1/jobs/tick/run", &json!({})).0, 202);
    eventually("the run that was asked for", || (ran(&host, "tick").len() > before).then_some(()));
    let passed = &next[2];
    eventually("a fire time that passes", || {
        let (_, why) = host.get(&format!("/v1/jobs/tick/why?at={}", passed.as_str().unwrap()));
        (why["standing"] == "paused").then_some(())
    });
    host.post("/v1/jobs/tick/resume", &json!({}));
    let items = host.items("/v1/jobs/tick/ledger?verdict=paused");
    assert!(items.len() == 1 && items[0]["count"].as_u64().unwrap() >= 1, "{items:?}");
    host.item("a run after the pause", "/v1/jobs/tick/ledger?verdict=ran", |item| {
        item["first"].as_str() > items[0]["last"].as_str()
    });
}

#[test]
fn a_paused_scheduler_is_ready_and_what_came_due_is_judged_when_it_goes_on() {
    let site = site();
    let host = site.start();
    host.send("PUT", "/v1/jobs/tick", &ticking());
    host.item("a run", "/v1/runs?job=tick&state=done", |_| true);
    let (status, view) = host.post("/v1/scheduler/pause", &json!({"why": "moving"}));
    assert_eq!((status, &view["paused"]["why"]), (200, &json!("moving")));
    let (status, ready) = host.get("/readyz");
    assert_eq!((status, &ready["paused"]["by"]), (200, &json!("api")));
    assert!(host.terminate().0.success());
    let host = site.start();
    host.says("the scheduler is paused");
    let next = host.get("/v1/jobs/tick").1["next_fire_time"].clone();
    assert_eq!(host.post("/v1/jobs/tick/run", &json!({"args": {"n": 7}})).0, 202);
    host.item("a run by hand", "/v1/runs?job=tick", |run| run["result"] == json!({"n": 7}));
    // Long enough for several fire times to come due.
    let due = next.as_str().unwrap().to_owned();
    eventually("a why that says so", || {
        let (_, why) = host.get(&format!("/v1/jobs/tick/why?at={due}"));
        (why["standing"] == "scheduler_paused").then_some(())
    });
    assert_eq!(host.get("/v1/jobs/tick").1["next_fire_time"], next);
    assert_eq!(host.post("/v1/scheduler/resume", &json!({})).1, json!({"paused": null}));
    host.item("what was missed", "/v1/jobs/tick/ledger", |item| {
        item["first"] == next && (item["verdict"] == "coalesced" || item["verdict"] == "ran")
    });
}

#[test]
fn a_run_may_be_enqueued_once_and_start_later() {
    let site = site();
    let host = site.start();
    let body = json!({"job": "filed", "countdown": "300ms", "args": {"n": 3},
        "idempotency_key": "once"});
    let (status, run) = host.post("/v1/runs", &body);
    assert_eq!((status, &run["cause"]), (202, &json!("enqueued")), "{run}");
    let path = format!("/v1/runs/{}?wait=30s", run["id"].as_str().unwrap());
    let (_, over) = host.get(&path);
    assert_eq!((&over["outcome"], &over["result"]), (&json!("succeeded"), &json!({"n": 3})));
    assert!(over["lateness_ms"].as_i64().unwrap() >= 0, "{over}");
    let (status, again) = host.post("/v1/runs", &body);
    assert_eq!((status, &again["id"], &again["state"]), (200, &run["id"], &json!("done")));
    let other = json!({"job": "filed", "args": {"n": 4}, "idempotency_key": "once"});
    assert_eq!(host.post("/v1/runs", &other).1["code"], "key_reused");
    assert_eq!(ran(&host, "filed").len(), 1);
    let body = json!({"job": "filed", "countdown": "1h", "expires": "2h"});
    let (_, run) = host.post("/v1/runs", &body);
    assert_eq!(run["state"], "queued");
}

#[test]
fn the_command_line_makes_steers_and_removes_jobs() {
    let site = site();
    let host = site.start();
    let file = site.path("nightly.toml");
    let text = "id = \"nightly\"\nplugin = \"behave\"\nhandler = \"ok\"\n\
                trigger = { type = \"interval\", hours = 1, start_date = \"2026-01-01T00:00:00Z\" }\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(said(&host, &["jobs", "put", file])["source"], "api");
    done(&host, &["jobs", "put", file]);
    assert_eq!(
        said(&host, &["pause", "nightly", "--why", "moving", "--until", "2h"])["state"],
        "paused"
    );
    assert_eq!(said(&host, &["resume", "nightly", "--catch-up"])["state"], "active");
    assert_eq!(said(&host, &["pause", "--all", "--why", "x"])["paused"]["why"], "x");
    assert_eq!(said(&host, &["resume", "--all"])["paused"], Value::Null);

    let at = "2026-03-01T05:00:00Z";
    let run = said(&host, &["trigger", "nightly", "--at", at]);
    assert_eq!((&run["cause"], &run["fire_time"]), (&json!("backfill"), &json!(at)));
    let range =
        ["trigger", "nightly", "--from", at, "--to", "2026-03-01T09:00:00Z", "--limit", "3"];
    assert_eq!(done(&host, &range).lines().count(), 3);
    let run = said(
        &host,
        &["trigger", "nightly", "--countdown", "1h", "--expires", "2h", "--idempotency-key", "k"],
    );
    assert_eq!((&run["cause"], &run["state"]), (&json!("enqueued"), &json!("queued")));
    let again = said(&host, &["trigger", "nightly", "--idempotency-key", "k"]);
    assert_eq!(again["id"], run["id"]);
    done(&host, &["trigger", "nightly", "--eta", "2026-01-01T00:00:00Z", "--wait"]);

    let why = done(&host, &["why", "nightly", "--at", at]);
    for part in ["is a fire time of job `nightly`", "it had passed when", "(backfill)"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let why = said(&host, &["why", "nightly", "--at", "2026-03-01T05:00:01Z"]);
    assert_eq!((&why["standing"], &why["previous"]), (&json!("no_fire_time"), &json!(at)));

    done(&host, &["jobs", "rm", "nightly", "--live", "cancel"]);
    for (args, code) in [
        (vec!["jobs", "rm", "nightly"], 1),
        (vec!["jobs", "rm", "filed"], 1),
        (vec!["jobs", "put", "gone.toml"], 2),
        (vec!["why", "filed", "--at", "noon"], 2),
        (vec!["trigger", "filed", "--at", at], 2),
        (vec!["trigger", "filed", "--from", at], 2),
        (vec!["trigger", "filed", "--countdown", "1m", "--eta", at], 2),
        (vec!["pause"], 2),
        (vec!["pause", "filed", "--all"], 2),
        (vec!["pause", "--all", "--until", "2h"], 2),
    ] {
        let output = host.cli(&args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", err(&output));
    }
}

#[test]
fn a_host_may_start_paused() {
    let site = site();
    let host = site.start();
    host.send("PUT", "/v1/jobs/tick", &ticking());
    assert!(host.terminate().0.success());
    let host = site.start_with(&["serve", "--paused"]);
    let before = host.items("/v1/jobs/tick/ledger").len();
    assert_eq!(host.get("/readyz").1["paused"]["by"], "host");
    let next = host.get("/v1/jobs/tick").1["next_fire_time"].as_str().unwrap().to_owned();
    eventually("the next fire time to pass", || {
        let (_, why) = host.get(&format!("/v1/jobs/tick/why?at={next}"));
        (why["standing"] == "scheduler_paused").then_some(())
    });
    assert_eq!(host.items("/v1/jobs/tick/ledger").len(), before);
    done(&host, &["resume", "--all"]);
    host.item("a run", "/v1/jobs/tick/ledger?verdict=ran", |item| {
        item["last"].as_str() >= Some(&next)
    });
}

#[test]
fn why_is_answered_without_a_host_too() {
    let site = site();
    let host = site.start();
    host.send("PUT", "/v1/jobs/tick", &ticking());
    let run = host.item("a run", "/v1/jobs/tick/ledger?verdict=ran", |_| true);
    assert!(host.terminate().0.success());
    let at = run["first"].as_str().unwrap();
    let output = site.cli(&["why", "tick", "--at", at]);
    let told = out(&output);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    for part in ["is a fire time", "verdict `ran`", "attempt 1", "succeeded"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
