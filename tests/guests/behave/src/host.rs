//! Calls what the host adds to WASI.

use std::fs::OpenOptions;
use std::io::Write;
use std::thread;
use std::time::Duration;

use campanile_sdk::wit::campanile::job::{jobs, state};
use campanile_sdk::wit::wasi::keyvalue::{atomics, store};
use campanile_sdk::{Context, Result, ResultExt, job};
use serde::Deserialize;

use crate::answer::Answer;

#[derive(Deserialize)]
struct Config {
    key: String,
}

/// Returns what the configuration holds under `{key}`.
#[job]
fn config(ctx: &Context, args: Config) -> Option<String> {
    ctx.config(&args.key)
}

#[derive(Deserialize)]
struct Kv {
    #[serde(default)]
    bucket: String,
    key: String,
    value: Option<String>,
}

/// Stores `{value?}` under `{key}` of `{bucket?}`; answers with what is stored there then.
#[job]
fn kv(args: Kv) -> Answer<Option<String>> {
    let call = || {
        let bucket = store::open(&args.bucket)?;
        if let Some(value) = &args.value {
            bucket.set(&args.key, value.as_bytes())?;
        }
        bucket.get(&args.key)
    };
    call().map(|value| value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())).into()
}

#[derive(Deserialize)]
struct Increment {
    #[serde(default)]
    bucket: String,
    key: String,
    delta: u64,
}

/// Adds `{delta}` to the number under `{key}` of `{bucket?}`; answers with the sum.
#[job]
fn increment(args: Increment) -> Answer<u64> {
    store::open(&args.bucket)
        .and_then(|bucket| atomics::increment(&bucket, &args.key, args.delta))
        .into()
}

#[derive(Deserialize)]
struct Swap {
    #[serde(default)]
    bucket: String,
    key: String,
    expect: Option<String>,
    new: Option<String>,
}

/// Replaces the value under `{key}` of `{bucket?}`, which is `{expect?}`, by `{new?}`.
#[job]
fn swap(args: Swap) -> Answer<bool> {
    let (expect, new) = (args.expect.as_deref(), args.new.as_deref());
    state::compare_and_swap(
        &args.bucket,
        &args.key,
        expect.map(str::as_bytes),
        new.map(str::as_bytes),
    )
    .into()
}

#[derive(Deserialize)]
struct Enqueue {
    job: String,
    #[serde(default)]
    args: serde_json::Value,
    #[serde(default)]
    delay_ms: u64,
    idempotency_key: Option<String>,
}

/// Queues a run of `{job}` with `{args?, delay_ms?, idempotency_key?}`; answers with its id.
#[job]
fn enqueue(args: Enqueue) -> Answer<String> {
    let key = args.idempotency_key.as_deref();
    jobs::enqueue(&args.job, &args.args.to_string(), args.delay_ms, key).into()
}

#[derive(Deserialize)]
struct Steps {
    #[serde(default = "three")]
    steps: u64,
    #[serde(default)]
    ms: u64,
}

/// Reports `{steps?}` steps, and sleeps `{ms?}` after each.
#[job]
fn progress(ctx: &Context, args: Steps) {
    for step in 1..=args.steps {
        ctx.progress(step, args.steps, format!("step {step}"));
        pause(args.ms);
    }
}

#[derive(Deserialize)]
struct Effect {
    path: String,
    #[serde(default)]
    ms: u64,
}

/// Appends the line `run attempt fence fire_time` to `{path}`, sleeping `{ms?}` before and after.
#[job]
fn effect(ctx: &Context, args: Effect) -> Result<()> {
    pause(args.ms);
    let line = format!("{} {} {} {}\n", ctx.run_id(), ctx.attempt(), ctx.fence(), ctx.fire_time());
    let mut file = OpenOptions::new().append(true).create(true).open(&args.path)?;
    // One write, so that lines of runs at the same time do not mix.
    file.write_all(line.as_bytes()).context("cannot append")?;
    pause(args.ms);
    Ok(())
}

#[derive(Deserialize)]
struct Cancelled {
    #[serde(default = "five")]
    ms: u64,
}

/// Waits to be cancelled, looking every `{ms?}`.
#[job]
fn cancelled(ctx: &Context, args: Cancelled) -> &'static str {
    while !ctx.cancelled() {
        pause(args.ms);
    }
    "cancelled"
}

fn pause(ms: u64) {
    if ms > 0 {
        thread::sleep(Duration::from_millis(ms));
    }
}

fn three() -> u64 {
    3
}

fn five() -> u64 {
    5
}
