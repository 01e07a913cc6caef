//! Buckets of keys and values, and jobs made by jobs: what outlives a host, who sees what, and what
//! stays bounded however much a guest asks for.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::host::{Host, Site};
use crate::support::redis::Redis;

/// Starts a run with these arguments.
fn begin(host: &Host, job: &str, args: &Value) -> String {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), &json!({ "args": args }));
    assert_eq!(status, 202, "{job}: {run}");
    run["id"].as_str().unwrap().to_owned()
}

/// Waits for a run's end.
fn end(host: &Host, id: &str) -> Value {
    eventually("the run's end", || {
        let (_, run) = host.get(&format!("/v1/runs/{id}?wait=30s"));
        (run["state"] == "done").then_some(run)
    })
}

/// Runs a job and answers its result.
fn run(host: &Host, job: &str, args: &Value) -> Value {
    let run = end(host, &begin(host, job, args));
    assert_eq!(run["outcome"], "succeeded", "{job}: {run}");
    run["result"].clone()
}

/// What the host remarked in the log of a job's last run.
fn remarks(host: &Host, job: &str) -> Vec<String> {
    let runs = host.items(&format!("/v1/runs?job={job}&limit=1"));
    let log = host.items(&format!("/v1/runs/{}/logs", runs[0]["id"].as_str().unwrap()));
    let own = log.iter().filter(|line| line["context"] == "campanile");
    own.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

/// A job of this name and handler, with more lines of its table.
fn job(name: &str, handler: &str, more: &str) -> String {
    format!("[jobs.{name}]\nplugin = 'behave'\nhandler = '{handler}'\n{more}\n")
}

/// A site with these jobs, its store as `store` says.
fn site(store: &str, jobs: &[String]) -> Site {
    let site = Site::new(&format!("{store}\n{}", jobs.concat()));
    site.plugin("behave", "behave");
    site
}

const KV: &str = "capabilities = { kv = true }";
const JOBS: &str = "capabilities = { jobs = true }";

#[test]
fn what_a_job_keeps_outlives_its_host_and_is_its_own() {
    let redis = Redis::start();
    let on_redis = format!("store = {{ url = '{}', ttl = '2s' }}", redis.url());
    for store in ["", &on_redis] {
        let jobs = [
            job("a", "kv", KV),
            job("b", "kv", KV),
            job("keys", "kv_keys", KV),
            job("gone", "kv_delete", KV),
            job("denied", "kv", ""),
            job("denied-swap", "swap", ""),
        ];
        let site = site(store, &jobs);
        let host = site.start();
        let own = json!({"key": "k", "value": "of a"});
        assert_eq!(run(&host, "a", &own), json!({"ok": "of a"}));
        let team = json!({"bucket": "team", "key": "a/b\u{0}%", "value": "of all"});
        assert_eq!(run(&host, "a", &team), json!({"ok": "of all"}));
        for (job, key) in [("denied", "kv"), ("denied-swap", "kv")] {
            let refused = run(&host, job, &own).to_string();
            assert!(refused.contains("capabilities.kv = true"), "{refused}");
            assert!(remarks(&host, job)[0].contains(&format!("`capabilities.{key} = true`")));
        }
        assert!(host.terminate().0.success());

        let host = site.start();
        assert_eq!(run(&host, "a", &json!({"key": "k"})), json!({"ok": "of a"}));
        assert_eq!(run(&host, "b", &json!({"key": "k"})), json!({"ok": null}));
        let team = json!({"bucket": "team", "key": "a/b\u{0}%"});
        assert_eq!(run(&host, "b", &team), json!({"ok": "of all"}));
        for bucket in ["a", "job.a", "kv.job.a", "default"] {
            let other = json!({"bucket": bucket, "key": "k"});
            assert_eq!(run(&host, "b", &other), json!({"ok": null}), "{bucket}");
        }
        for bucket in ["../a", "a/", "\u{0}", "default\u{0}kv.job.a"] {
            let refused = run(&host, "b", &json!({"bucket": bucket, "key": "k"})).to_string();
            assert!(refused.contains("is no bucket name"), "{refused}");
        }
        let team = json!({"bucket": "team"});
        assert_eq!(run(&host, "keys", &team), json!({"ok": ["a/b\u{0}%"]}));
        let team = json!({"bucket": "team", "key": "a/b\u{0}%"});
        assert_eq!(run(&host, "gone", &team), json!({"ok": false}));
        assert_eq!(run(&host, "keys", &json!({"bucket": "team"})), json!({"ok": []}));
        let long = run(&host, "a", &json!({"key": "k".repeat(513)})).to_string();
        assert!(long.contains("512 at most"), "{long}");
    }
}

#[test]
fn runs_at_the_same_time_count_exactly() {
    let redis = Redis::start();
    let on_redis = format!("store = {{ url = '{}', ttl = '5s' }}", redis.url());
    let jobs = [
        job("count", "kv_count", &format!("max_instances = 4\n{KV}")),
        job("swap", "swap_count", &format!("max_instances = 4\n{KV}")),
        job("read", "kv", KV),
    ];
    // On Redis two hosts share the runs.
    for (store, hosts) in [("", 1), (on_redis.as_str(), 2)] {
        let sites: Vec<_> = (0..hosts).map(|_| site(store, &jobs)).collect();
        let hosts: Vec<_> = sites.iter().map(Site::start).collect();
        let args = json!({"bucket": "numbers", "key": "n", "times": 50});
        let runs: Vec<_> = (0..6)
            .map(|number| begin(&hosts[0], if number % 2 == 0 { "count" } else { "swap" }, &args))
            .collect();
        for id in runs {
            let run = end(&hosts[0], &id);
            assert_eq!(run["result"], json!({"done": 50, "error": null}), "{run}");
        }
        let read = json!({"bucket": "numbers", "key": "n"});
        assert_eq!(run(&hosts[0], "read", &read), json!({"ok": "300"}));
        let word = json!({"bucket": "numbers", "key": "word", "value": "ten"});
        run(&hosts[0], "read", &word);
        let args = json!({"bucket": "numbers", "key": "word", "times": 1});
        let refused = run(&hosts[0], "count", &args);
        assert!(refused["error"].as_str().unwrap().contains("decimal digits"), "{refused}");
    }
}

#[test]
fn a_value_and_a_bucket_have_a_size() {
    let limits =
        format!("max_instances = 4\n{KV}\nlimits = {{ kv_value = '1KiB', kv_total = '10KiB' }}");
    let jobs = [job("flood", "kv_flood", &limits), job("keys", "kv_keys", KV)];
    let site = site("", &jobs);
    let host = site.start();
    let large = run(&host, "flood", &json!({"keys": 1, "bytes": 1_025}));
    assert_eq!(large["done"], 0);
    assert!(large["error"].as_str().unwrap().contains("`limits.kv_value` raises it"), "{large}");

    // Seventeen times 500 bytes with their keys fit into 10 KiB, whoever writes them.
    let flood = |first| json!({"bucket": "full", "keys": 1_000, "bytes": 500, "first": first});
    let both = [begin(&host, "flood", &flood(0)), begin(&host, "flood", &flood(5_000))];
    let mut done = 0;
    for id in both {
        let run = end(&host, &id);
        done += run["result"]["done"].as_u64().unwrap();
        let error = run["result"]["error"].as_str().unwrap();
        assert!(error.contains("`limits.kv_total` raises it"), "{error}");
        let log = host.items(&format!("/v1/runs/{id}/logs"));
        let told = log.iter().filter(|line| line["message"].to_string().contains("kv_total"));
        assert_eq!(told.count(), 1, "{log:?}");
    }
    assert_eq!(done, 17);
    let keys = run(&host, "keys", &json!({"bucket": "full"}));
    assert_eq!(keys["ok"].as_array().unwrap().len(), 17, "{keys}");
    let again = run(&host, "flood", &json!({"keys": 1, "bytes": 500}));
    assert_eq!(again, json!({"done": 1, "error": null}), "another bucket has room");
}

#[test]
fn a_chain_with_a_key_starts_its_next_job_once() {
    let jobs = [
        job("first", "chain", JOBS),
        job("second", "ok", ""),
        job("denied", "enqueue", ""),
        job("wrong", "enqueue", JOBS),
    ];
    let site = site("", &jobs);
    let host = site.start();
    for _ in 0..2 {
        let chain = json!({"next": "second", "key": "day 1"});
        assert_eq!(run(&host, "first", &chain), json!({"ok": true}));
    }
    let like = |run: &Value| run["state"] == "done";
    let next = host.item("the next run", "/v1/runs?job=second", like);
    assert_eq!((&next["cause"], &next["outcome"]), (&json!("enqueued"), &json!("succeeded")));
    assert_eq!(host.items("/v1/runs?job=second").len(), 1);

    let refused = run(&host, "denied", &json!({"job": "second"})).to_string();
    assert!(refused.contains("capabilities.jobs = true"), "{refused}");
    for (args, part) in [
        (json!({"job": "secnd"}), "did you mean `second`?"),
        (json!({"job": "second", "delay_ms": u64::MAX}), "delay_ms: must be"),
        (json!({"job": "second", "idempotency_key": "x".repeat(300)}), "256 bytes at most"),
        (json!({"job": "second", "idempotency_key": "day 1", "args": 7}), "take another key"),
    ] {
        let refused = run(&host, "wrong", &args).to_string();
        assert!(refused.contains(part), "{refused}");
    }
    assert_eq!(host.items("/v1/runs?job=second").len(), 1);
}

#[test]
fn jobs_that_ask_for_runs_without_end_stay_bounded() {
    let jobs = [
        job("fork", "fork", JOBS),
        job("sink", "ok", "queue = 'nobody'"),
        job(
            "bomb",
            "fork",
            &format!("max_instances = 4\nargs = {{ job = 'bomb', times = 30 }}\n{JOBS}"),
        ),
    ];
    let site = site("", &jobs);
    let host = site.start();
    let fork = |times| run(&host, "fork", &json!({"job": "sink", "times": times}));
    assert_eq!(fork(600), json!({"done": 600, "error": null}));
    let full = fork(600);
    assert_eq!(full["done"], 400, "{full}");
    assert!(full["error"].as_str().unwrap().contains("1000 runs of job `sink`"), "{full}");
    assert_eq!(host.items("/v1/runs?job=sink&state=queued&limit=1000").len(), 1_000);

    // Each run of this one asks for thirty more.
    begin(&host, "bomb", &Value::Null);
    host.item("a refusal", "/v1/runs?job=bomb&state=done", |run| {
        run["result"]["error"].as_str().is_some_and(|error| error.contains("1000 runs of job"))
    });
    let (_, queued) = host.get("/v1/runs?job=bomb&state=queued&limit=1000");
    assert_eq!(queued["next_cursor"], Value::Null, "more than a thousand wait");
    let running = host.items("/v1/runs?job=bomb&state=running").len();
    assert!(running <= 4, "{running} run");
    assert_eq!(host.get("/healthz").0, 200);
}

#[test]
fn one_attempt_makes_so_many_calls() {
    let jobs = [job("asks", "fork", JOBS), job("next", "ok", "")];
    let site = site("", &jobs);
    let host = site.start();
    let asks = json!({"job": "next", "times": 1_001, "key": "the same"});
    let asked = run(&host, "asks", &asks);
    assert_eq!(asked["done"], 1_000, "{asked}");
    assert!(asked["error"].as_str().unwrap().contains("1000 times"), "{asked}");
    assert_eq!(host.items("/v1/runs?job=next").len(), 1);
}

#[test]
fn a_job_makes_steers_and_replaces_jobs_of_its_tenant() {
    let jobs = [job("chief", "steer", JOBS), job("fixed", "ok", "trigger = 'every 1h'")];
    let allow = "[tenants.default.allow]\njobs = true\n".to_owned();
    let site = site("", &[jobs.concat(), allow]);
    let host = site.start();
    let chief = |args: Value| run(&host, "chief", &args);
    let put = |definition: Value| chief(json!({"what": "put", "definition": definition}));
    let said = |answer: &Value| answer["error"].as_str().unwrap_or_default().to_owned();

    let made = json!({"id": "made", "plugin": "behave", "handler": "ok", "trigger": "every 1h"});
    assert_eq!(put(made), json!({"ok": null}));
    let (_, job) = host.get("/v1/jobs/made");
    assert_eq!((&job["source"], &job["state"]), (&json!("guest"), &json!("active")), "{job}");
    let granted = json!({"id": "x", "plugin": "behave", "capabilities": {"kv": true}});
    assert!(said(&put(granted)).contains("allow = { kv = true }"));
    assert!(said(&put(json!({"plugin": "behave"}))).contains("`id` is missing"));
    assert!(said(&put(json!({"id": "x", "plugin": "behave", "colour": 1}))).contains("colour"));
    let fixed = said(&put(json!({"id": "fixed", "plugin": "behave", "handler": "ok"})));
    assert!(fixed.contains("is defined in `host.toml`"), "{fixed}");
    let rest = json!({"id": "rest", "plugin": "behave", "handler": "ok"});
    assert_eq!(host.post("/v1/jobs", &rest).0, 201);
    assert!(said(&put(rest)).contains("was made over REST"));
    assert_eq!(host.get("/v1/jobs/x").0, 404);

    for (what, job, state) in
        [("pause", "made", "paused"), ("resume", "made", "active"), ("pause", "fixed", "paused")]
    {
        assert_eq!(chief(json!({"what": what, "job": job})), json!({"ok": null}));
        assert_eq!(host.get(&format!("/v1/jobs/{job}")).1["state"], state);
    }
    assert_eq!(host.get("/v1/jobs/fixed").1["paused"]["by"], "job chief");
    assert!(said(&chief(json!({"what": "remove", "job": "fixed"}))).contains("`host.toml`"));
    assert_eq!(chief(json!({"what": "remove", "job": "made"})), json!({"ok": null}));
    assert_eq!(host.get("/v1/jobs/made").0, 404);

    let audit = host.items("/v1/audit");
    let told = |line: &Value| ["who", "action", "target"].map(|key| line[key].clone());
    for (action, target) in [
        ("job.created", "made"),
        ("job.paused", "made"),
        ("job.resumed", "made"),
        ("job.paused", "fixed"),
        ("job.removed", "made"),
    ] {
        let line = [json!("job chief"), json!(action), json!(target)];
        assert!(audit.iter().any(|it| told(it) == line), "{line:?} in {audit:#?}");
    }

    // A run of a job that removes itself goes on to its end.
    let last = json!({"id": "last", "plugin": "behave", "handler": "steer",
        "args": {"what": "remove", "job": "last"}, "capabilities": {"jobs": true}});
    assert_eq!(put(last), json!({"ok": null}));
    assert_eq!(end(&host, &begin_plain(&host, "last"))["result"], json!({"ok": null}));
    assert_eq!(host.get("/v1/jobs/last").0, 404);

    // A job that puts another in its own place ends as what it was.
    let reborn = json!({"id": "phoenix", "plugin": "behave", "handler": "ok", "args": "reborn"});
    let phoenix = json!({"id": "phoenix", "plugin": "behave", "handler": "steer",
        "args": {"what": "put", "definition": reborn}, "capabilities": {"jobs": true}});
    assert_eq!(put(phoenix), json!({"ok": null}));
    let version = host.get("/v1/jobs/phoenix").1["version"].as_u64().unwrap();
    let first = begin_plain(&host, "phoenix");
    assert_eq!(end(&host, &first)["result"], json!({"ok": null}));
    let (_, job) = host.get("/v1/jobs/phoenix");
    assert_eq!(job["version"], version + 1);
    let second = begin_plain(&host, "phoenix");
    assert_eq!(end(&host, &second)["result"], "reborn");
}

/// Starts a run with the job's own arguments.
fn begin_plain(host: &Host, job: &str) -> String {
    let (status, run) = host.post(&format!("/v1/jobs/{job}/run"), &json!({}));
    assert_eq!(status, 202, "{run}");
    run["id"].as_str().unwrap().to_owned()
}

#[test]
fn what_a_tenant_may_no_longer_give_is_refused_when_a_run_starts() {
    let allow = "[tenants.default.allow]\nkv = true\n";
    let site = Site::new(allow);
    site.plugin("behave", "behave");
    let host = site.start();
    let body = json!({"id": "granted", "plugin": "behave", "handler": "kv",
        "args": {"key": "k", "value": "v"}, "capabilities": {"kv": true}});
    assert_eq!(host.post("/v1/jobs", &body).0, 201);
    assert_eq!(end(&host, &begin_plain(&host, "granted"))["result"], json!({"ok": "v"}));
    assert!(host.terminate().0.success());
    site.configure("");
    let host = site.start();
    let run = end(&host, &begin_plain(&host, "granted"));
    assert_eq!(run["outcome"], "failed", "{run}");
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("`capabilities.kv` = true"), "{message}");
    assert!(message.contains("`[tenants.default] allow`"), "{message}");
}
