//! The sandbox with real components: what may be a plugin, how each limit ends a run, what is
//! denied.

use std::sync::Arc;
use std::time::Duration;

use campanile::clock::SystemClock;
use campanile::engine::control::Control;
use campanile::engine::ending::Report;
use campanile::engine::log::Log;
use campanile::engine::plugin::Plugin;
use campanile::engine::run::Request;
use campanile::engine::{Engine, Settings};
use campanile::job::capabilities::{DirGrant, DirMode};
use campanile::job::limits::Limits;
use campanile::lease::term::Until;
use campanile::lease::{Lease, boot};
use campanile::run::LogLine;
use campanile::run::outcome::Outcome;
use serde_json::{Value, json};

use crate::support::{guests, requests};

fn engine() -> Arc<Engine> {
    let settings = Settings {
        max_instances: 20,
        max_memory: 1 << 30,
        cache_dir: None,
        clock: Arc::new(SystemClock),
    };
    Engine::new(settings).unwrap()
}

async fn behave(engine: &Engine) -> Arc<Plugin> {
    engine.load(guests::bytes("behave").into()).await.unwrap()
}

fn limits() -> Limits {
    Limits { timeout: Duration::from_secs(20), ..Limits::default() }
}

fn request(handler: &str, args: &Value) -> Request {
    Request { args: args.to_string(), limits: limits(), ..requests::request(handler) }
}

async fn run_with(engine: &Engine, plugin: &Plugin, request: Request) -> (Report, Vec<LogLine>) {
    let log = Log::new(request.limits.log, Arc::new(SystemClock));
    let control = Arc::new(Control::new(log));
    let report = engine.run(plugin, request, &control).await.unwrap();
    (report, control.log().take_rest())
}

async fn run(handler: &str, args: Value) -> (Report, Vec<LogLine>) {
    let engine = engine();
    let plugin = behave(&engine).await;
    run_with(&engine, &plugin, request(handler, &args)).await
}

fn message(report: &Report) -> &str {
    report.error.as_ref().map_or("", |error| error.message.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_gets_its_arguments_and_its_result_is_kept() {
    let (report, _) = run("ok", json!({"a": [1, 2, "three"]})).await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    assert_eq!(report.result, Some(json!({"a": [1, 2, "three"]})));
    assert!(report.usage.peak_memory_bytes > 64 * 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_serves_one_run() {
    let engine = engine();
    let plugin = behave(&engine).await;
    for _ in 0..3 {
        let (report, _) = run_with(&engine, &plugin, request("count", &Value::Null)).await;
        assert_eq!(report.result, Some(json!(1)), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_says_whether_another_try_may_help() {
    for (handler, retryable) in [("fail_retryable", true), ("fail_permanent", false)] {
        let (report, _) = run(handler, json!({"message": "so it is"})).await;
        assert_eq!(report.outcome, Outcome::Failed);
        let error = report.error.unwrap();
        assert_eq!((error.message.as_str(), error.retryable), ("so it is", retryable));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_trap_and_its_message_is_told() {
    let (report, log) = run("panic", json!({"message": "ouch"})).await;
    assert_eq!(report.outcome, Outcome::Trapped);
    assert!(message(&report).contains("ouch"), "{report:?}");
    assert!(log.iter().any(|line| line.message.contains("ouch")), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unbounded_recursion_is_a_trap() {
    let (report, _) = run("deep", Value::Null).await;
    assert_eq!(report.outcome, Outcome::Trapped, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeout_ends_a_guest_whether_it_computes_or_sleeps() {
    let engine = engine();
    let plugin = behave(&engine).await;
    for (handler, args) in [("spin", Value::Null), ("sleep", json!({"ms": 60_000}))] {
        let mut request = request(handler, &args);
        request.limits.timeout = Duration::from_millis(200);
        let (report, _) = run_with(&engine, &plugin, request).await;
        assert_eq!(report.outcome, Outcome::TimedOut, "{handler}: {report:?}");
        assert!(message(&report).contains("limits.timeout"), "{report:?}");
        assert!(report.usage.wall_ms < 10_000, "{handler}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processor_time_is_what_was_computed_not_what_was_waited() {
    let engine = engine();
    let plugin = behave(&engine).await;
    let (slept, _) = run_with(&engine, &plugin, request("sleep", &json!({"ms": 300}))).await;
    assert_eq!(slept.outcome, Outcome::Succeeded, "{slept:?}");
    assert!(slept.usage.wall_ms >= 300, "{slept:?}");
    assert!(slept.usage.cpu_ms * 2 < slept.usage.wall_ms, "{slept:?}");
    let mut spin = request("spin", &Value::Null);
    spin.limits.timeout = Duration::from_millis(400);
    let (spun, _) = run_with(&engine, &plugin, spin).await;
    assert!(spun.usage.cpu_ms > 10, "{spun:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fuel_ends_a_guest_and_is_counted_only_when_asked_for() {
    let engine = engine();
    let plugin = behave(&engine).await;
    let mut limited = request("spin", &Value::Null);
    limited.limits.fuel = Some(5_000_000);
    let (report, _) = run_with(&engine, &plugin, limited).await;
    assert_eq!(report.outcome, Outcome::OutOfFuel, "{report:?}");
    assert!(message(&report).contains("limits.fuel"), "{report:?}");
    let mut metered = request("ok", &json!(1));
    metered.limits.meter = true;
    let (report, _) = run_with(&engine, &plugin, metered).await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    assert!(report.usage.fuel.unwrap() > 1_000, "{report:?}");
    let (report, _) = run_with(&engine, &plugin, request("ok", &json!(1))).await;
    assert_eq!(report.usage.fuel, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_over_the_limit_is_refused_and_named() {
    let engine = engine();
    let plugin = behave(&engine).await;
    let mut big = request("grow", &Value::Null);
    big.limits.memory = 16 << 20;
    let (report, _) = run_with(&engine, &plugin, big).await;
    assert_eq!(report.outcome, Outcome::OutOfMemory, "{report:?}");
    assert!(message(&report).contains("limits.memory"), "{report:?}");
    assert!(report.usage.peak_memory_bytes <= 16 << 20, "{report:?}");
    let mut tiny = request("ok", &Value::Null);
    tiny.limits.memory = 64 * 1024;
    let (report, _) = run_with(&engine, &plugin, tiny).await;
    assert_eq!(report.outcome, Outcome::OutOfMemory, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_and_arguments_over_their_limits_are_refused() {
    let (report, _) = run("big_result", json!({"bytes": 70_000})).await;
    assert_eq!(report.outcome, Outcome::LimitExceeded, "{report:?}");
    assert!(message(&report).contains("limits.result"));
    let (report, _) = run("ok", json!("x".repeat(2 << 20))).await;
    assert_eq!(report.outcome, Outcome::LimitExceeded, "{report:?}");
    assert!(message(&report).contains("limits.args"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_over_its_limit_is_marked_and_the_run_goes_on() {
    let (report, log) = run("logs", json!({"lines": 5_000, "bytes": 100})).await;
    assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    assert!(log.iter().any(|line| line.message.contains("limits.log")));
    let bytes: usize = log.iter().map(|line| line.message.len()).sum();
    assert!(bytes < 70_000, "{bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_guest_ends() {
    let engine = engine();
    let plugin = behave(&engine).await;
    let control = Arc::new(Control::new(Log::new(1_000, Arc::new(SystemClock))));
    let run = engine.run(&plugin, request("spin", &Value::Null), &control);
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        control.cancel("enough");
    };
    let (report, ()) = tokio::join!(run, cancel);
    let report = report.unwrap();
    assert_eq!((report.outcome, message(&report)), (Outcome::Cancelled, "enough"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_whose_lease_ran_out_rests_and_its_time_runs_on() {
    let (past, later) = (Duration::ZERO, boot::now() + Duration::from_secs(3_600));
    let engine = engine();
    let plugin = behave(&engine).await;
    let chat = json!({"lines": 1, "bytes": 1});
    let under = |rest, stop| {
        let lease = Arc::new(Lease::new(Some(Until { rest, stop })));
        Arc::new(Control::under(lease, Log::new(1_000, Arc::new(SystemClock))))
    };
    let run = async |control: &Arc<Control>| {
        let mut request = request("logs", &chat);
        request.limits.timeout = Duration::from_millis(500);
        let report = engine.run(&plugin, request, control).await.unwrap();
        (report.outcome, control.log().take_rest().len())
    };
    assert_eq!(run(&under(later, later)).await, (Outcome::Succeeded, 3));
    assert_eq!(run(&under(past, past)).await, (Outcome::TimedOut, 0), "it rests");
    // As after the thread has stood still in the middle of a step.
    assert_eq!(run(&under(later, past)).await, (Outcome::Abandoned, 0), "no call begins");
    let over = under(later, later);
    over.lease().end();
    assert_eq!(run(&over).await, (Outcome::Abandoned, 0), "others have the run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_folder_is_read_only_unless_it_is_not() {
    let engine = engine();
    let plugin = behave(&engine).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("in.txt"), "12345").unwrap();
    for (mode, may_write) in [(DirMode::ReadOnly, false), (DirMode::ReadWrite, true)] {
        let grant = DirGrant { host: dir.path().into(), guest: "/data".into(), mode };
        let with = |handler, args: Value| {
            let mut request = request(handler, &args);
            request.capabilities.dirs = vec![grant.clone()];
            request
        };
        let read = with("read", json!({"path": "/data/in.txt"}));
        let (report, _) = run_with(&engine, &plugin, read).await;
        assert_eq!(report.result, Some(json!({"ok": 5})), "{report:?}");
        let out = dir.path().join("out.txt");
        let write = with("write", json!({"path": "/data/out.txt", "text": "hi"}));
        let (report, _) = run_with(&engine, &plugin, write).await;
        let wrote = report.result.unwrap().get("ok").is_some();
        assert_eq!((wrote, out.exists()), (may_write, may_write), "{mode:?}");
        let outside = with("read", json!({"path": "/data/../etc/hostname"}));
        let (report, _) = run_with(&engine, &plugin, outside).await;
        assert!(report.result.unwrap().get("error").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_folder_that_is_missing_fails_the_run_and_is_named() {
    let engine = engine();
    let plugin = behave(&engine).await;
    let mut request = request("ok", &Value::Null);
    request.capabilities.dirs = vec![DirGrant {
        host: "/does/not/exist".into(),
        guest: "/data".into(),
        mode: DirMode::ReadOnly,
    }];
    let (report, _) = run_with(&engine, &plugin, request).await;
    assert_eq!(report.outcome, Outcome::Failed);
    assert!(message(&report).contains("`/does/not/exist`"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_granted_is_denied_and_the_log_names_the_key() {
    for (handler, args, key) in [
        ("http", json!({"url": "https://example.com/x"}), "http = [\"https://example.com\"]"),
        ("tcp", json!({"address": "127.0.0.1:1"}), "tcp"),
        ("kv", json!({"bucket": "", "key": "k", "value": "v"}), "kv"),
        ("swap", json!({"bucket": "", "key": "k", "new": "v"}), "kv"),
        ("enqueue", json!({"job": "other"}), "jobs"),
    ] {
        let (report, log) = run(handler, args).await;
        assert_eq!(report.outcome, Outcome::Succeeded, "{handler}: {report:?}");
        assert!(report.result.as_ref().unwrap().get("error").is_some(), "{handler}: {report:?}");
        let told = log.iter().any(|line| {
            line.context == "campanile" && line.message.contains(&format!("capabilities.{key}"))
        });
        assert!(told, "{handler}: {log:?}");
    }
    let (report, _) = run("read", json!({"path": "/etc/hostname"})).await;
    assert!(report.result.unwrap().get("error").is_some());
    let (report, _) = run("env", Value::Null).await;
    let env = report.result.unwrap();
    assert!(env.as_object().is_none_or(serde_json::Map::is_empty), "{env}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plugin_is_refused_with_the_reason_and_what_would_help() {
    let engine = engine();
    let behave = guests::bytes("behave");
    let core = wat::parse_str("(module)").unwrap();
    let command =
        wat::parse_str(r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#);
    for (name, bytes, why) in [
        ("empty", Vec::new(), "empty"),
        ("text", b"#!/bin/sh".to_vec(), "not WebAssembly"),
        ("truncated", behave[..behave.len() / 2].to_vec(), "truncated"),
        ("damaged", damaged(&behave), "damaged"),
        ("core module", core, "core module"),
        ("command", command.unwrap(), "wasi:cli/run"),
        ("another world", guests::bytes("other_world"), "another world"),
        ("a foreign import", guests::bytes("wants_more"), "acme:extra/thing@1.0.0"),
        ("two handlers of one name", guests::bytes("duplicate"), "two handlers named `twin`"),
    ] {
        let refusal = engine.load(bytes.into()).await.unwrap_err().to_string();
        assert!(refusal.contains(why), "{name}: {refusal}");
    }
}

/// The bytes with a run of them overwritten in the middle.
fn damaged(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xff);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compiled_plugin_is_kept_and_a_broken_file_of_the_cache_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let cache_dir = dir.path().join("cache");
    let load = async || {
        let settings = Settings {
            max_instances: 2,
            max_memory: 1 << 30,
            cache_dir: Some(cache_dir.clone()),
            clock: Arc::new(SystemClock),
        };
        let engine = Engine::new(settings).unwrap();
        let plugin = behave(&engine).await;
        let (report, _) = run_with(&engine, &plugin, request("ok", &json!(1))).await;
        assert_eq!(report.outcome, Outcome::Succeeded);
    };
    load().await;
    let files: Vec<_> =
        std::fs::read_dir(&cache_dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    load().await;
    std::fs::write(&files[0], b"not machine code").unwrap();
    load().await;
    assert!(std::fs::metadata(&files[0]).unwrap().len() > 10_000, "it was made again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_is_waited_for_and_no_run_fails_by_it() {
    let settings = Settings {
        max_instances: 1,
        max_memory: 64 << 20,
        cache_dir: None,
        clock: Arc::new(SystemClock),
    };
    let engine = Engine::new(settings).unwrap();
    let plugin = behave(&engine).await;
    let runs: Vec<_> = (0..6)
        .map(|_| {
            let (engine, plugin) = (Arc::clone(&engine), Arc::clone(&plugin));
            tokio::spawn(async move {
                let control = Arc::new(Control::new(Log::new(64 * 1024, Arc::new(SystemClock))));
                let request = request("sleep", &json!({ "ms": 50 }));
                engine.run(&plugin, request, &control).await.unwrap()
            })
        })
        .collect();
    // Describing finds no room either, and waits too.
    behave(&engine).await;
    for run in runs {
        let report = run.await.unwrap();
        assert_eq!(report.outcome, Outcome::Succeeded, "{report:?}");
    }
}
