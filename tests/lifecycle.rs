//! What a newcomer does first: drop a component, see it run; kill the host, see nothing lost.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::guests;
use crate::support::host::{Host, Site};

fn runs_of(host: &Host, job: &str) -> Vec<Value> {
    host.items(&format!("/v1/runs?job={job}&limit=1000"))
}

fn succeeded(run: &Value) -> bool {
    run["outcome"] == "succeeded"
}

#[test]
fn a_component_that_is_dropped_in_runs_on_its_schedule() {
    let site = Site::new("");
    let host = site.start();
    assert_eq!(host.items("/v1/jobs"), [] as [Value; 0]);
    site.plugin("hello", "hello");
    let run = host.item("a run of hello", "/v1/runs", succeeded);
    assert_eq!((&run["job"], &run["plugin"]), (&json!("hello"), &json!("hello")));
    assert_eq!((&run["verdict"], &run["cause"]), (&json!("ran"), &json!("schedule")));
    assert_eq!(run["attempt"], 1);
    assert!(run["result"].as_str().is_some_and(|text| text.contains("ello")), "{run}");
    let (status, job) = host.get("/v1/jobs/hello");
    assert_eq!((status, &job["source"], &job["state"]), (200, &json!("plugin"), &json!("active")));
    let ledger = host.item("its verdict", "/v1/jobs/hello/ledger", |item| item["run"] == run["id"]);
    assert_eq!((&ledger["verdict"], &ledger["count"]), (&json!("ran"), &json!(1)));
}

#[test]
fn a_half_written_component_is_never_loaded() {
    let site = Site::new("");
    let host = site.start();
    let bytes = guests::bytes("hello");
    let path = site.path("plugins/slow.wasm");
    let (first, second) = bytes.split_at(bytes.len() / 2);
    std::fs::write(&path, first).unwrap();
    host.says("truncated");
    assert_eq!(host.items("/v1/plugins")[0]["state"], "refused");
    std::fs::write(&path, [first, second].concat()).unwrap();
    host.item("a run once it is whole", "/v1/runs", succeeded);
    assert_eq!(host.items("/v1/plugins")[0]["state"], "active");
}

#[test]
fn what_is_no_plugin_is_refused_and_everything_else_runs_on() {
    let site = Site::new("");
    site.plugin("hello", "good");
    site.plugin_bytes(b"plain text", "text");
    site.plugin_bytes(&guests::bytes("behave")[..5_000], "cut");
    site.plugin("other_world", "world");
    site.plugin("wants_more", "import");
    site.plugin("duplicate", "twins");
    site.plugin("hello", "bad name");
    std::fs::create_dir(site.path("plugins/folder.wasm")).unwrap();
    std::os::unix::fs::symlink("/does/not/exist", site.path("plugins/gone.wasm")).unwrap();
    let host = site.start();
    host.item("the good one to run", "/v1/runs", succeeded);
    let plugins: BTreeMap<String, Value> = host
        .items("/v1/plugins")
        .into_iter()
        .map(|plugin| (plugin["name"].as_str().unwrap().to_owned(), plugin))
        .collect();
    assert_eq!(plugins["good"]["state"], "active");
    for (name, why) in [
        ("text", "not WebAssembly"),
        ("cut", "truncated"),
        ("world", "another world"),
        ("import", "acme:extra/thing@1.0.0"),
        ("twins", "two handlers named `twin`"),
        ("folder", "a folder"),
    ] {
        assert_eq!(plugins[name]["state"], "refused", "{name}");
        let error = plugins[name]["error"].as_str().unwrap();
        assert!(error.contains(why), "{name}: {error}");
        host.says(&format!("plugins/{name}.wasm"));
    }
    host.says("bad name");
}

#[test]
fn nothing_is_lost_and_nothing_runs_twice_when_the_host_is_killed() {
    let config = |ms: u32| {
        format!(
            r#"
            [jobs.tick]
            plugin = "behave"
            handler = "effect"
            trigger = {{ type = "interval", seconds = 1 }}
            args = {{ path = "/out/tick" }}
            coalesce = "all"
            capabilities = {{ dirs = [{{ host = "out", guest = "/out", mode = "rw" }}] }}

            [jobs.long]
            plugin = "behave"
            handler = "effect"
            trigger = {{ type = "interval", hours = 1, start = "now" }}
            args = {{ path = "/out/long", ms = {ms} }}
            capabilities = {{ dirs = [{{ host = "out", guest = "/out", mode = "rw" }}] }}
            "#
        )
    };
    let site = Site::new(&config(60_000));
    std::fs::create_dir(site.path("out")).unwrap();
    site.plugin("behave", "behave");
    let host = site.start();
    host.item("the long run to be running", "/v1/runs?job=long", |run| run["state"] == "running");
    eventually("two ticks", || {
        (runs_of(&host, "tick").iter().filter(|run| succeeded(run)).count() >= 2).then_some(())
    });
    let before = runs_of(&host, "tick");
    let long = runs_of(&host, "long").remove(0);
    host.kill();

    // The next attempt takes the job as it is defined then.
    site.configure(&config(10));
    let host = site.start();
    let after = host.item("the long run to end", "/v1/runs?job=long", succeeded);
    assert_eq!(after["id"], long["id"], "it is the same run");
    assert_eq!(after["attempt"], 2);
    assert_eq!(after["attempts"][0]["outcome"], "abandoned");
    assert!(after["attempts"][0]["fence"].as_u64() < after["attempts"][1]["fence"].as_u64());
    let newest = before[0]["fire_time"].clone();
    eventually("more ticks", || {
        let runs = runs_of(&host, "tick");
        let later = runs.iter().filter(|run| run["fire_time"].as_str() > newest.as_str());
        (later.filter(|run| succeeded(run)).count() >= 3).then_some(())
    });

    let runs = runs_of(&host, "tick");
    let fire_times: BTreeSet<&str> =
        runs.iter().map(|run| run["fire_time"].as_str().unwrap()).collect();
    assert_eq!(fire_times.len(), runs.len(), "no fire has two runs");
    for run in before.iter().filter(|run| succeeded(run)) {
        assert!(runs.iter().any(|now| now["id"] == run["id"] && succeeded(now)), "{run} was lost");
    }
    assert_unbroken(&host, "tick", 1);
}

/// Every fire time from the job's first to its last has exactly one verdict, or a run under way.
fn assert_unbroken(host: &Host, job: &str, period_secs: i64) {
    let secs = |value: &Value| {
        let time = campanile::time::Timestamp::parse(value.as_str().unwrap()).unwrap();
        time.micros() / 1_000_000
    };
    // Runs first: one that gets its verdict in between is then seen twice, not missed.
    let live = runs_of(host, job).into_iter().filter(|run| run["verdict"] == Value::Null);
    let live = live.map(|run| (secs(&run["fire_time"]), secs(&run["fire_time"]), 1));
    let live: BTreeSet<(i64, i64, i64)> = live.collect();
    let ledger = host.items(&format!("/v1/jobs/{job}/ledger?limit=1000"));
    let decided = ledger
        .iter()
        .map(|item| (secs(&item["first"]), secs(&item["last"]), item["count"].as_i64().unwrap()));
    let mut spans: Vec<_> = decided.collect();
    spans.extend(live);
    spans.sort_unstable();
    spans.dedup();
    for (first, last, count) in &spans {
        assert_eq!((last - first) / period_secs + 1, *count, "{ledger:#?}");
    }
    for pair in spans.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        assert_eq!(before.1 + period_secs, after.0, "not one verdict each: {spans:?} {ledger:#?}");
    }
}

#[test]
fn a_fire_at_max_instances_is_skipped_with_its_verdict() {
    let site = Site::new(
        r#"
        [jobs.slow]
        plugin = "behave"
        handler = "sleep"
        trigger = "every 1s"
        args = { ms = 3500 }
        "#,
    );
    site.plugin("behave", "behave");
    let host = site.start();
    let skipped =
        host.item("a skipped fire", "/v1/jobs/slow/ledger", |item| item["verdict"] == "skipped");
    assert_eq!(skipped["reason"], "max_instances");
    assert_eq!(skipped["run"], Value::Null);
    host.says("maximum number of running instances reached");
    eventually("two runs that ended", || {
        (runs_of(&host, "slow").iter().filter(|run| succeeded(run)).count() >= 2).then_some(())
    });
    assert_unbroken(&host, "slow", 1);
}

#[test]
fn a_run_waits_for_its_plugin_and_is_given_up_when_none_comes() {
    let site = Site::new(
        r#"
        [jobs.patient]
        plugin = "late"
        handler = "ok"
        trigger = { type = "interval", hours = 1, start = "now" }
        args = "hi"

        [jobs.hasty]
        plugin = "never"
        trigger = { type = "interval", hours = 1, start = "now" }
        plugin_wait = "1s"
        "#,
    );
    let host = site.start();
    let waiting = host.item("a waiting run", "/v1/runs?job=patient", |run| {
        run["state"] == "queued" && run["reason"] == "no_plugin"
    });
    assert_eq!(waiting["verdict"], Value::Null);
    let given_up = host.item("a run given up", "/v1/runs?job=hasty", |run| run["state"] == "done");
    assert_eq!((&given_up["verdict"], &given_up["outcome"]), (&json!("no_plugin"), &Value::Null));
    assert_eq!(host.get("/v1/jobs/hasty").1["state"], "active");
    site.plugin("behave", "late");
    let run = host.item("the patient run", "/v1/runs?job=patient", succeeded);
    assert_eq!((&run["id"], &run["result"]), (&waiting["id"], &json!("hi")));
}

#[test]
fn limits_of_the_file_end_runs_with_their_own_outcomes() {
    let job = |name: &str, handler: &str, limits: &str| {
        format!(
            "[jobs.{name}]\nplugin = \"behave\"\nhandler = \"{handler}\"\n\
             trigger = {{ type = \"interval\", hours = 1, start = \"now\" }}\nlimits = {limits}\n"
        )
    };
    let site = Site::new(
        &[
            job("slow", "spin", "{ timeout = \"300ms\" }"),
            job("hungry", "spin", "{ fuel = \"3M\" }"),
            job("fat", "grow", "{ memory = \"8MiB\" }"),
            job("fine", "ok", "{ meter = true }"),
            job("broken", "panic", "{}"),
            job("unknown", "nonesuch", "{}"),
        ]
        .concat(),
    );
    site.plugin("behave", "behave");
    let host = site.start();
    for (name, outcome, told) in [
        ("slow", "timed_out", "limits.timeout"),
        ("hungry", "out_of_fuel", "limits.fuel"),
        ("fat", "out_of_memory", "limits.memory"),
        ("broken", "trapped", "unreachable"),
        ("unknown", "failed", "no handler `nonesuch`"),
    ] {
        let path = format!("/v1/runs?job={name}");
        let run = host.item(name, &path, |run| run["state"] == "done");
        assert_eq!(run["outcome"], outcome, "{run}");
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.contains(told), "{name}: {message}");
    }
    let fine = host.item("fine", "/v1/runs?job=fine", succeeded);
    assert!(fine["usage"]["fuel"].as_u64() > Some(0), "{fine}");
}

#[test]
fn a_terminated_host_lets_runs_end_and_a_second_signal_cancels_them() {
    let config = r#"
        [jobs.nap]
        plugin = "behave"
        handler = "sleep"
        trigger = { type = "interval", hours = 1, start = "now" }
        args = { ms = 2000 }

        [jobs.coma]
        plugin = "behave"
        handler = "sleep"
        trigger = { type = "interval", hours = 1, start = "now" }
        args = { ms = 120000 }
    "#;
    let site = Site::new(config);
    site.plugin("behave", "behave");
    let host = site.start();
    for job in ["nap", "coma"] {
        host.item(job, &format!("/v1/runs?job={job}"), |run| run["state"] == "running");
    }
    host.signal(Signal::TERM);
    host.says("stopping");
    host.item("the nap to end", "/v1/runs?job=nap", succeeded);
    let (status, _) = host.terminate();
    assert!(status.success(), "{status}");
    let host = site.start();
    assert_eq!(runs_of(&host, "nap")[0]["outcome"], "succeeded");
    assert_eq!(runs_of(&host, "coma")[0]["outcome"], "cancelled");
    assert_eq!(runs_of(&host, "coma").len(), 1);
}

#[test]
fn only_one_host_schedules_on_a_file() {
    let site = Site::new("");
    let _first = site.start();
    let (status, said) = site.start_in_vain();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("campanile.db") || said.contains("sqlite"), "{said}");
}

#[test]
fn the_store_remembers_what_a_job_was_told_when_files_change() {
    let job = |trigger: &str| {
        format!("[jobs.steady]\nplugin = \"hello\"\nhandler = \"run\"\ntrigger = \"{trigger}\"\n")
    };
    let site = Site::new(&job("every 1h"));
    site.plugin("hello", "hello");
    let next = |host: &Host| host.get("/v1/jobs/steady").1["next_fire_time"].clone();
    let host = site.start();
    let first = next(&host);
    host.kill();
    let host = site.start();
    assert_eq!(next(&host), first, "a restart keeps the grid");
    host.kill();
    site.configure(&format!("{}max_instances = 2\n", job("every 1h")));
    let host = site.start();
    assert_eq!(next(&host), first, "another key keeps the grid");
    host.kill();
    site.configure("");
    let host = site.start();
    let (_, parked) = host.get("/v1/jobs/steady");
    assert_eq!((&parked["state"], &parked["reason"]), (&json!("parked"), &json!("undeclared")));
    host.kill();
    site.configure(&job("every 1h"));
    let host = site.start();
    let (_, back) = host.get("/v1/jobs/steady");
    assert_eq!(back["state"], "active");
}

#[test]
fn a_ledger_that_was_tampered_with_turns_readyz_red_and_is_named() {
    let site =
        Site::new("[jobs.tick]\nplugin = \"behave\"\nhandler = \"ok\"\ntrigger = \"every 1s\"\n");
    site.plugin("behave", "behave");
    let host = site.start();
    let run = eventually("three verdicts", || {
        let runs = runs_of(&host, "tick");
        let done: Vec<_> = runs.into_iter().filter(succeeded).collect();
        (done.len() >= 3).then(|| done[1].clone())
    });
    let database = rusqlite::Connection::open(site.path(".campanile/campanile.db")).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    let id = run["id"].as_str().unwrap();
    assert_eq!(database.execute("DELETE FROM run WHERE id = ?1", [id]), Ok(1));
    let problems = eventually("a red light", || {
        let (status, answer) = host.get("/readyz");
        (status == 503).then(|| answer.to_string())
    });
    let fire_time = run["fire_time"].as_str().unwrap();
    assert!(problems.contains("tick") && problems.contains(fire_time), "{problems}");
    let why = host.get(&format!("/v1/jobs/tick/why?at={fire_time}"));
    assert!(why.1.to_string().contains("fault"), "{why:?}");
}

#[test]
fn a_run_that_failed_is_tried_again_and_stays_one_run() {
    let site = Site::new(
        r#"
        [jobs.flaky]
        plugin = "behave"
        handler = "flaky"
        args = { succeed_at = 3 }
        retry = { max_attempts = 3, backoff = "100ms", jitter = false }
        trigger = { type = "interval", hours = 1, start = "now" }

        [jobs.hopeless]
        plugin = "behave"
        handler = "fail_retryable"
        retry = { max_attempts = 2, backoff = "100ms" }
        pause_after_failures = 1
        trigger = { type = "interval", hours = 1, start = "now" }
        "#,
    );
    site.plugin("behave", "behave");
    let host = site.start();
    let run = host.item("the third attempt", "/v1/runs?job=flaky", succeeded);
    let outcomes: Vec<_> = run["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| attempt["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["failed", "failed", "succeeded"]);
    assert_eq!(runs_of(&host, "flaky").len(), 1);
    let run = host.item("the end of hope", "/v1/runs?job=hopeless", |run| run["state"] == "done");
    assert_eq!((&run["outcome"], &run["attempt"]), (&json!("failed"), &json!(2)));
    let (_, job) = host.get("/v1/jobs/hopeless");
    assert_eq!(job["state"], "paused");
    assert_eq!(job["paused"]["by"], "pause_after_failures");
}

#[test]
fn what_waits_for_memory_is_not_taken_and_stays_queued_when_the_host_leaves() {
    let site = Site::new(
        r#"
        [executor]
        memory = "64MiB"
        [jobs.first]
        plugin = "behave"
        handler = "sleep"
        args = { ms = 2000 }
        [jobs.second]
        plugin = "behave"
        handler = "ok"
        "#,
    );
    site.plugin("behave", "behave");
    let host = site.start();
    let running = |run: &Value| run["state"] == "running";
    assert_eq!(host.post("/v1/jobs/first/run", &json!({})).0, 202);
    host.item("the first to run", "/v1/runs?job=first", running);
    assert_eq!(host.post("/v1/jobs/second/run", &json!({})).0, 202);
    let waits = |run: &Value| run["state"] == "queued";
    host.item("the second to wait for memory", "/v1/runs?job=second", waits);
    let (status, said) = host.terminate();
    assert!(status.success(), "{said}");

    let host = site.start();
    let first = host.item("the first", "/v1/runs?job=first", succeeded);
    assert_eq!(first["attempt"], 1, "it ended before its host did: {first}");
    let second = host.item("the second", "/v1/runs?job=second", succeeded);
    assert_eq!(second["attempt"], 1, "it had not begun: {second}");
}

#[test]
fn a_guest_with_a_long_grace_does_not_hold_up_the_end_of_the_host() {
    let site = Site::new(
        "[executor]\ndrain = '100ms'\n[jobs.spin]\nplugin = 'behave'\nhandler = 'spin'\n\
         limits = { timeout = '1h', grace = '1h' }\n",
    );
    site.plugin("behave", "behave");
    let host = site.start();
    let (status, run) = host.post("/v1/jobs/spin/run", &json!({}));
    assert_eq!(status, 202, "{run}");
    let running = format!("/v1/runs/{}", run["id"].as_str().unwrap());
    eventually("the guest to run", || (host.get(&running).1["state"] == "running").then_some(()));
    let (status, said) = host.terminate();
    assert!(status.success() && said.contains("the host shut down before it ended"), "{said}");
}
