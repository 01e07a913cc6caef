//! `host next`: when a trigger or a job fires.

mod batch;

use std::iter::successors;
use std::path::PathBuf;

use chrono_tz::Tz;
use clap::{ArgGroup, Args};
use serde_json::Value;

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::screen::{print, print_json};
use super::{jobs, reach};
use crate::api::view::List;
use crate::clock::{Clock, SystemClock};
use crate::time::Timestamp;
use crate::trigger::{Trigger, parse_datetime};

/// Fire times at most.
const MAX: u64 = 100_000;

/// Of what, from when, how many.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["job", "trigger", "batch"])), after_help = "\
Examples:
  host next nightly -n 3
  host next --trigger '{\"type\":\"cron\",\"hour\":3}' --after 2026-12-01T00:00:00Z
  host next --trigger 'every 15s' -n 5
  host next --batch triggers.jsonl > fires.jsonl

--after T means: registered at T with no previous fire, T included. A date prints its
run_date whatever T is; jitter is left out. Without --after: now.

Each line of a batch is {\"id\", \"trigger\", \"after\"}; other keys are ignored. Each is
answered by one line, {\"id\", \"fires\"} or {\"id\", \"error\"}; the exit code is 0 when
every line was answered.")]
pub struct Next {
    /// A job's name
    job: Option<String>,
    /// A trigger, as JSON object or as text
    #[arg(long, value_name = "TRIGGER")]
    trigger: Option<String>,
    /// A file of JSON lines, or - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "after")]
    batch: Option<PathBuf>,
    /// From this instant on
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    /// So many
    #[arg(short, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=MAX))]
    n: u64,
    #[command(flatten)]
    whom: Whom,
}

/// Prints fire times.
///
/// # Errors
///
/// The trigger or the time is not understood; there is no such job.
pub fn next(args: &Next, common: &Common) -> Result<Exit, Failure> {
    let count = usize::try_from(args.n).unwrap_or(usize::MAX);
    if let Some(file) = &args.batch {
        return batch::batch(file, common.load()?.timezone, count);
    }
    let list: List<Timestamp> = match (&args.trigger, &args.job) {
        (Some(text), _) => List::whole(of_trigger(text, args, common, count)?),
        (None, Some(job)) => of_job(job, args, common)?,
        (None, None) => return Err(Failure::usage("name a job, or give --trigger or --batch")),
    };
    if common.json {
        print_json(&list)?;
    } else {
        list.items.iter().try_for_each(print)?;
    }
    Ok(Exit::Done)
}

fn of_trigger(
    text: &str,
    args: &Next,
    common: &Common,
    count: usize,
) -> Result<Vec<Timestamp>, Failure> {
    let zone = common.load()?.timezone;
    let after = match &args.after {
        Some(text) => instant(text, zone).map_err(Failure::usage)?,
        None => SystemClock.now(),
    };
    let trigger = read(&written(text)?, zone).map_err(Failure::usage)?;
    fires(&trigger, after, count).map_err(Failure::failed)
}

/// The trigger on the command line: JSON when it looks like it, else text.
fn written(text: &str) -> Result<Value, Failure> {
    if !text.trim_start().starts_with(['{', '"', '[']) {
        return Ok(Value::from(text));
    }
    serde_json::from_str(text)
        .map_err(|error| Failure::usage(format!("--trigger is not JSON: {error}")))
}

fn of_job(job: &str, args: &Next, common: &Common) -> Result<List<Timestamp>, Failure> {
    let path = jobs::path(job, "/next")?;
    let mut query = args.whom.query();
    query.push(("n", args.n.to_string()));
    if let Some(text) = &args.after {
        let zone = common.load()?.timezone;
        query.push(("after", instant(text, zone).map_err(Failure::usage)?.to_string()));
    }
    reach::reading(common, &args.whom)?.get(&path, query)
}

/// Reads a trigger; what is wrong comes in one line.
fn read(value: &Value, zone: Tz) -> Result<Trigger, String> {
    let mut problems = Vec::new();
    let trigger = Trigger::parse(value, "trigger", zone, &mut problems);
    trigger.ok_or_else(|| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

/// Reads an instant: RFC 3339, or a wall time of `zone`.
pub(super) fn instant(text: &str, zone: Tz) -> Result<Timestamp, String> {
    Timestamp::parse(text).or_else(|_| parse_datetime(text, zone))
}

/// The first fire times of a trigger that is registered at `after`.
///
/// # Errors
///
/// The members of an `and` agree on none that could be found.
fn fires(trigger: &Trigger, after: Timestamp, count: usize) -> Result<Vec<Timestamp>, String> {
    let first = trigger.try_first(after).map_err(|gave_up| gave_up.to_string())?;
    Ok(successors(first, |last| trigger.next_after(after, *last)).take(count).collect())
}
