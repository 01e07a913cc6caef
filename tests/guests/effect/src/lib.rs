//! Does something that the world outside of its host sees: it tells a collector when it begins and
//! when it ends, so that what really happened can be compared with what the host says.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use campanile_sdk::{Context, Result, job, permanent, retryable};
use serde::Deserialize;

/// It sleeps so long at once.
const STEP_MS: u64 = 10;

#[derive(Deserialize)]
struct Work {
    /// Between the two effects.
    work_ms: u64,
}

/// Tells the collector whose address stands in the job's `config` that it begins, works for
/// `{work_ms}`, and tells that it ends.
#[job]
fn run(ctx: &Context, args: Work) -> Result<()> {
    let collector = ctx.config("collector");
    let collector = collector.ok_or_else(|| permanent("`config` has no key `collector`"))?;
    ctx.info(format!("attempt {} begins", ctx.attempt()));
    tell(&collector, ctx, "begin")?;
    let mut left = args.work_ms;
    while left > 0 {
        let step = left.min(STEP_MS);
        thread::sleep(Duration::from_millis(step));
        left -= step;
    }
    tell(&collector, ctx, "end")
}

/// One effect: a connection of its own, one line, answered when it is noted.
fn tell(collector: &str, ctx: &Context, phase: &str) -> Result<()> {
    let effect = serde_json::json!({
        "job": ctx.job(),
        "run": ctx.run_id(),
        "fire_time_us": ctx.fire_time().micros(),
        "attempt": ctx.attempt(),
        "fence": ctx.fence(),
        "phase": phase,
    });
    let mut stream = TcpStream::connect(collector)?;
    stream.write_all(format!("{effect}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    if answer != "ok\n" {
        return Err(retryable(format!("the collector answered {answer:?}")));
    }
    Ok(())
}
