//! Uses buckets, jobs and secrets again and again.

use std::io::Write as _;

use campanile_sdk::wit::campanile::job::{jobs, state};
use campanile_sdk::wit::wasi::keyvalue::{atomics, store};
use campanile_sdk::{Context, Result, job, permanent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::Answer;

#[derive(Deserialize)]
struct Flood {
    #[serde(default)]
    bucket: String,
    keys: u32,
    bytes: usize,
    #[serde(default)]
    first: u32,
}

/// How far something went, and what stopped it.
#[derive(Serialize)]
struct Went {
    done: u32,
    error: Option<String>,
}

/// Stores `{bytes}` bytes under each of `{keys}` keys of `{bucket?}`, counted from `{first?}`.
#[job]
fn kv_flood(args: Flood) -> Went {
    let bucket = match store::open(&args.bucket) {
        Ok(bucket) => bucket,
        Err(error) => return Went { done: 0, error: Some(error.to_string()) },
    };
    let value = vec![b'x'; args.bytes];
    until(args.keys, |key| bucket.set(&format!("key-{}", args.first + key), &value))
}

#[derive(Deserialize)]
struct Times {
    #[serde(default)]
    bucket: String,
    key: String,
    times: u32,
}

/// Adds 1 `{times}` times to the number under `{key}` of `{bucket?}`.
#[job]
fn kv_count(args: Times) -> Went {
    until(args.times, |_| {
        let bucket = store::open(&args.bucket)?;
        atomics::increment(&bucket, &args.key, 1).map(drop)
    })
}

/// The same by swapping.
#[job]
fn swap_count(args: Times) -> Went {
    until(args.times, |_| {
        loop {
            let bucket = store::open(&args.bucket).map_err(|error| error.to_string())?;
            let old = bucket.get(&args.key).map_err(|error| error.to_string())?;
            let number = old
                .as_deref()
                .map_or(0, |old| String::from_utf8_lossy(old).parse::<u64>().expect("a number"));
            let new = (number + 1).to_string();
            let swapped = state::compare_and_swap(
                &args.bucket,
                &args.key,
                old.as_deref(),
                Some(new.as_bytes()),
            );
            if swapped? {
                return Ok::<_, String>(());
            }
        }
    })
}

#[derive(Deserialize)]
struct Bucket {
    #[serde(default)]
    bucket: String,
}

/// Lists the keys of `{bucket?}`.
#[job]
fn kv_keys(args: Bucket) -> Answer<Vec<String>> {
    let list = || {
        let bucket = store::open(&args.bucket)?;
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let part = bucket.list_keys(cursor)?;
            keys.extend(part.keys);
            cursor = part.cursor;
            if cursor.is_none() {
                return Ok::<_, store::Error>(keys);
            }
        }
    };
    list().into()
}

#[derive(Deserialize)]
struct Delete {
    #[serde(default)]
    bucket: String,
    key: String,
}

/// Deletes `{key}` of `{bucket?}`; answers whether it is there then.
#[job]
fn kv_delete(args: Delete) -> Answer<bool> {
    let call = || {
        let bucket = store::open(&args.bucket)?;
        bucket.delete(&args.key)?;
        bucket.exists(&args.key)
    };
    call().into()
}

#[derive(Deserialize)]
struct Steer {
    what: String,
    #[serde(default)]
    job: String,
    #[serde(default)]
    definition: Value,
}

/// Does `{what}`, one of `put`, `pause`, `resume`, `remove`, to `{job?}` or with `{definition?}`.
#[job]
fn steer(args: Steer) -> Answer<()> {
    match args.what.as_str() {
        "put" => jobs::put(&args.definition.to_string()),
        "pause" => jobs::pause(&args.job),
        "resume" => jobs::resume(&args.job),
        "remove" => jobs::remove(&args.job),
        other => Err(format!("there is no `{other}`")),
    }
    .into()
}

#[derive(Deserialize)]
struct Fork {
    job: String,
    times: u32,
    #[serde(default)]
    args: Value,
    key: Option<String>,
}

/// Queues `{times}` runs of `{job}` with `{args?}`, one after another; with `{key?}` all are one.
#[job]
fn fork(args: Fork) -> Went {
    let with = args.args.to_string();
    until(args.times, |_| jobs::enqueue(&args.job, &with, 0, args.key.as_deref()).map(drop))
}

#[derive(Deserialize)]
struct Chain {
    next: String,
    key: String,
}

/// Queues a run of `{next}` under the idempotency key `{key}`, twice; answers whether both are one.
#[job]
fn chain(args: Chain) -> Answer<bool> {
    let queue = || jobs::enqueue(&args.next, "null", 0, Some(&args.key));
    queue().and_then(|one| Ok(one == queue()?)).into()
}

#[derive(Deserialize)]
struct Tell {
    name: String,
    #[serde(default)]
    fail: bool,
}

/// Says what the configuration holds under `{name}` wherever it can be said; returns its length and
/// itself, or with `{fail?}` fails with it.
#[job]
fn tell(ctx: &Context, args: Tell) -> Result<(usize, String)> {
    let value = ctx.config(&args.name).unwrap_or_default();
    ctx.info(format!("log: {value}"));
    ctx.progress(1, 1, format!("progress: {value}"));
    let (first, last) = value.split_at(value.len() / 2);
    // Two writes, one line.
    print!("stdout: {first}");
    let _ = std::io::stdout().flush();
    println!("{last}");
    eprintln!("stderr: {value}");
    // One line that is longer than the host keeps in one piece.
    println!("{}{value}", "y".repeat(8 * 1024 - 3));
    if args.fail {
        return Err(permanent(format!("failed: {value}")));
    }
    Ok((value.len(), value))
}

fn until<E: ToString>(times: u32, mut step: impl FnMut(u32) -> std::result::Result<(), E>) -> Went {
    for done in 0..times {
        if let Err(error) = step(done) {
            return Went { done, error: Some(error.to_string()) };
        }
    }
    Went { done: times, error: None }
}
