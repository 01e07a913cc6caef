//! `host trigger`: runs a job now, later, or for fire times of the past, and perhaps watches it.

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::jobs;
use super::line::{ending, exit_of, log_line};
use super::logs::follow;
use super::reach::{self, Reached};
use super::runs;
use super::screen::{Channel, note, print, print_json};
use crate::api::view::run::RunView;
use crate::run::RunState;
use crate::run::reason::NO_PLUGIN;
use crate::table::unit::duration;

/// How long one request waits for the run; another follows.
const WAIT: &str = "30s";

/// Which job, and with what.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host trigger nightly
  host trigger nightly --args '{\"path\": \"/data/june.csv\"}' --wait
  host trigger nightly --countdown 10m --expires 1h
  host trigger nightly --eta 2026-12-01T09:00:00Z --idempotency-key june
  host trigger nightly --at 2026-11-30T02:00:00Z                     once more for that fire time
  host trigger nightly --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --limit 31

It does not move the job's schedule, and changes no verdict. Asked again with the same
--idempotency-key it is the same run. Times without an offset are in the configuration's zone. With --wait the log goes to standard error, the result to
standard output, and the exit code is 0 when the run succeeded, 3 when it hit a limit, else 1.")]
pub struct Trigger {
    /// Its name
    job: String,
    /// JSON that the run gets instead of the job's own args
    #[arg(long, value_name = "JSON")]
    args: Option<String>,
    /// Stay until the run is over, and show its log
    #[arg(long, conflicts_with = "from")]
    wait: bool,
    /// Start so long from now: a duration like 10m, or seconds
    #[arg(long, value_name = "SPAN", conflicts_with = "eta")]
    countdown: Option<String>,
    /// Start at this time
    #[arg(long, value_name = "TIME")]
    eta: Option<String>,
    /// Give it up when it has not started by then: a time, or a duration from now
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Any text: what has it already is not made again
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Run for this fire time once more
    #[arg(long, value_name = "TIME", conflicts_with_all = QUEUE, conflicts_with_all = ["from", "to", "limit"])]
    at: Option<String>,
    /// Run for the fire times from then on
    #[arg(long, value_name = "TIME", requires = "to", conflicts_with_all = QUEUE)]
    from: Option<String>,
    /// Up to before then
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// The oldest so many of them; without it 100
    #[arg(long, value_name = "N", requires = "from")]
    limit: Option<u64>,
    #[command(flatten)]
    whom: Whom,
}

/// The flags of a run in the queue.
const QUEUE: [&str; 4] = ["countdown", "eta", "expires", "idempotency_key"];

/// Several runs.
#[derive(Deserialize)]
struct Made {
    items: Vec<RunView>,
}

/// Runs the job.
///
/// # Errors
///
/// What the host says, or that none is running.
pub fn trigger(args: &Trigger, common: &Common) -> Result<Exit, Failure> {
    let now = jobs::path(&args.job, "/run")?;
    let mut body = Map::new();
    if let Some(text) = &args.args {
        body.insert("args".to_owned(), read_args(text)?);
    }
    asked(args, common, &mut body)?;
    let reached = reach::steering(common, &args.whom)?;
    if args.from.is_some() {
        let made: Made = reached.post("/v1/runs", tenant(args), &Value::Object(body))?;
        for run in &made.items {
            if common.json { print_json(run)? } else { print(run.id)? }
        }
        let (count, job) = (made.items.len(), &args.job);
        note(format!("{count} runs are queued; `host runs ls --job {job}` shows them"));
        return Ok(Exit::Done);
    }
    let path = if body.contains_key("job") { "/v1/runs" } else { now.as_str() };
    let run: RunView = reached.post(path, tenant(args), &Value::Object(body))?;
    if run.reason.as_deref() == Some(NO_PLUGIN) {
        note(format!("the run waits: no plugin `{}` is here", run.plugin));
    }
    if args.wait {
        return wait(args, &run, &reached, common);
    }
    if common.json {
        print_json(&run)?;
    } else {
        print(run.id)?;
        note(format!("queued; `host logs {} -f` shows what it does", run.id));
    }
    Ok(Exit::Done)
}

/// What is asked for besides a run now.
fn asked(args: &Trigger, common: &Common, body: &mut Map<String, Value>) -> Result<(), Failure> {
    let mut ask = Map::new();
    for (key, flag, text) in [
        ("eta", "--eta", &args.eta),
        ("at", "--at", &args.at),
        ("from", "--from", &args.from),
        ("to", "--to", &args.to),
    ] {
        if let Some(text) = text {
            ask.insert(key.to_owned(), json!(common.instant(flag, text)?));
        }
    }
    ask.extend(args.countdown.as_ref().map(|text| ("countdown".to_owned(), span(text))));
    if let Some(text) = &args.expires {
        let span = span(text);
        // A duration is the host's to read: it counts from its clock.
        let is_span = span.is_number() || duration(&span).is_ok();
        let expires = if is_span { span } else { json!(common.instant("--expires", text)?) };
        ask.insert("expires".to_owned(), expires);
    }
    ask.extend(args.idempotency_key.as_ref().map(|key| ("idempotency_key".to_owned(), json!(key))));
    ask.extend(args.limit.map(|limit| ("limit".to_owned(), json!(limit))));
    if !ask.is_empty() {
        ask.insert("job".to_owned(), json!(args.job));
    }
    body.extend(ask);
    Ok(())
}

/// A span of time: seconds when it is a number, else text with a unit.
fn span(text: &str) -> Value {
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite());
    seconds.map_or_else(|| json!(text), |seconds| json!(seconds))
}

/// Reads JSON from the command line.
///
/// # Errors
///
/// It is none.
pub fn read_args(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!("--args is not JSON ({error}); write it like '{{\"key\": 1}}'"))
    })
}

fn tenant(args: &Trigger) -> Vec<(&'static str, String)> {
    args.whom.query()
}

fn wait(
    args: &Trigger,
    run: &RunView,
    reached: &Reached,
    common: &Common,
) -> Result<Exit, Failure> {
    let id = run.id.to_string();
    follow(reached, &runs::path(&id, "/logs")?, &args.whom, |line| {
        note(log_line(&line, Channel::Err));
        Ok(())
    })?;
    let path = runs::path(&id, "")?;
    let run = loop {
        let mut query = tenant(args);
        query.push(("wait", WAIT.to_owned()));
        let run: RunView = reached.get(&path, query)?;
        if run.state == RunState::Done {
            break run;
        }
    };
    if common.json {
        print_json(&run)?;
    }
    let Some(outcome) = run.outcome else {
        let why = run.reason.as_deref().unwrap_or_default();
        let words = run.error.map(|error| format!(" ({})", error.message)).unwrap_or_default();
        return Err(Failure::failed(format!("run {id} did not run: {why}{words}")));
    };
    if !common.json && outcome == crate::run::outcome::Outcome::Succeeded {
        print(run.result.as_ref().unwrap_or(&Value::Null))?;
    }
    note(ending(outcome, run.error.as_ref(), &run.usage));
    Ok(exit_of(outcome))
}
