//! Uses up what there is: time, memory, stack, log, result.

use std::alloc::{Layout, handle_alloc_error};
use std::hint::black_box;
use std::thread;
use std::time::Duration;

use campanile_sdk::{Context, job};
use serde::Deserialize;

const MEBIBYTE: usize = 1 << 20;

/// Computes for ever.
#[job]
fn spin() {
    let mut number = 0_u64;
    loop {
        number = black_box(number.wrapping_mul(31).wrapping_add(7));
    }
}

#[derive(Deserialize)]
struct Sleep {
    ms: u64,
}

/// Sleeps `{ms}`.
#[job]
fn sleep(args: Sleep) {
    thread::sleep(Duration::from_millis(args.ms));
}

#[derive(Deserialize)]
struct Grow {
    bytes: Option<usize>,
    #[serde(default)]
    survive: bool,
}

/// Takes memory, a mebibyte at a time, and writes to all of it. Args `{bytes?, survive?}`.
///
/// Returns how much there was, in bytes, once it has `bytes`. When memory is refused it traps, or
/// with `survive` returns.
#[job]
fn grow(args: Grow) -> usize {
    let wanted = args.bytes.unwrap_or(usize::MAX);
    let (mut taken, mut blocks) = (0, Vec::<Vec<u8>>::new());
    while taken < wanted {
        let size = MEBIBYTE.min(wanted - taken);
        let mut block = Vec::new();
        if block.try_reserve_exact(size).is_err() || blocks.try_reserve(1).is_err() {
            if args.survive {
                break;
            }
            handle_alloc_error(Layout::new::<[u8; MEBIBYTE]>());
        }
        block.resize(size, 1);
        blocks.push(black_box(block));
        taken += size;
    }
    taken
}

/// Calls itself for ever.
#[job]
fn deep() -> u64 {
    fn deeper(depth: u64) -> u64 {
        let here = black_box([depth; 16]);
        if black_box(true) { deeper(depth + 1) + here[3] } else { 0 }
    }
    deeper(0)
}

#[derive(Deserialize)]
struct Logs {
    lines: usize,
    #[serde(default = "ten")]
    bytes: usize,
}

/// Writes `{lines}` lines of `{bytes?}` each to the log, to standard output and to standard error.
/// A line begins with its number.
#[job]
fn logs(ctx: &Context, args: Logs) {
    for number in 0..args.lines {
        let line = format!("{number:-<width$}", width = args.bytes);
        ctx.info(&line);
        println!("{line}");
        eprintln!("{line}");
    }
}

#[derive(Deserialize)]
struct Levels {
    context: String,
}

/// Writes one line of each level, under `{context}`.
#[job]
fn levels(ctx: &Context, args: Levels) {
    use campanile_sdk::Level::{Critical, Debug, Error, Info, Trace, Warn};
    for level in [Trace, Debug, Info, Warn, Error, Critical] {
        ctx.log(level, &args.context, format!("{level:?}"));
    }
}

#[derive(Deserialize)]
struct BigResult {
    bytes: usize,
}

/// Returns a text of `{bytes}`; the quotes around it are two more.
#[job]
fn big_result(args: BigResult) -> String {
    "x".repeat(args.bytes)
}

fn ten() -> usize {
    10
}

#[derive(Deserialize)]
struct Calls {
    calls: u64,
    #[serde(default)]
    gated: bool,
}

/// Makes `{calls}` calls to the host: asks for the time, or with `{gated}` whether it is cancelled.
#[job]
fn calls(ctx: &Context, args: Calls) {
    for _ in 0..args.calls {
        if args.gated {
            black_box(ctx.cancelled());
        } else {
            black_box(std::time::Instant::now());
        }
    }
}
