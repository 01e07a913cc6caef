//! The ways that a run can end, and what it knows of itself.

use std::sync::atomic::{AtomicU32, Ordering};

use campanile_sdk::{Context, Result, job, permanent, retryable};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Returns its arguments.
#[job]
fn ok(args: Value) -> Value {
    args
}

/// Returns how often this instance was called: always 1.
#[job]
fn count() -> u32 {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

#[derive(Deserialize)]
struct Message {
    #[serde(default = "as_asked")]
    message: String,
}

/// Fails so that another attempt is made. Args `{message?}`.
#[job]
fn fail_retryable(args: Message) -> Result<()> {
    Err(retryable(args.message))
}

/// Fails for good. Args `{message?}`.
#[job]
fn fail_permanent(args: Message) -> Result<()> {
    Err(permanent(args.message))
}

/// Panics. Args `{message?}`.
#[job]
fn panic(args: Message) {
    panic!("{}", args.message);
}

#[derive(Deserialize)]
struct Flaky {
    succeed_at: u32,
}

/// Fails, retryable, in each attempt before `{succeed_at}`; then returns the attempt.
#[job]
fn flaky(ctx: &Context, args: Flaky) -> Result<u32> {
    if ctx.attempt() < args.succeed_at {
        return Err(retryable(format!("attempt {} fails", ctx.attempt())));
    }
    Ok(ctx.attempt())
}

#[derive(Serialize)]
struct About {
    tenant: String,
    job: String,
    run: String,
    handler: String,
    cause: String,
    fire_time: String,
    previous_success: Option<String>,
    attempt: u32,
    fence: u64,
    covers: u32,
    remaining_ms: Option<u128>,
}

/// Returns what the run knows of itself.
#[job]
fn about(ctx: &Context) -> About {
    About {
        tenant: ctx.tenant().into(),
        job: ctx.job().into(),
        run: ctx.run_id().into(),
        handler: ctx.handler().into(),
        cause: ctx.cause().to_string(),
        fire_time: ctx.fire_time().to_string(),
        previous_success: ctx.previous_success().map(|time| time.to_string()),
        attempt: ctx.attempt(),
        fence: ctx.fence(),
        covers: ctx.covers(),
        remaining_ms: ctx.remaining().map(|left| left.as_millis()),
    }
}

fn as_asked() -> String {
    "failed as asked".into()
}
