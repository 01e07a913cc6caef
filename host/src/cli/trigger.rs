//! `host trigger`: runs a job now, and perhaps watches it.

use clap::Args;
use serde_json::{Value, json};

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

/// How long one request waits for the run; another follows.
const WAIT: &str = "30s";

/// Which job, and with what.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host trigger nightly
  host trigger nightly --args '{\"path\": \"/data/june.csv\"}' --wait

It does not move the job's schedule. With --wait the log goes to standard error, the result to
standard output, and the exit code is 0 when the run succeeded, 3 when it hit a limit, else 1.")]
pub struct Trigger {
    /// Its name
    job: String,
    /// JSON that the run gets instead of the job's own args
    #[arg(long, value_name = "JSON")]
    args: Option<String>,
    /// Stay until the run is over, and show its log
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    whom: Whom,
}

/// Runs the job.
///
/// # Errors
///
/// What the host says, or that none is running.
pub fn trigger(args: &Trigger, common: &Common) -> Result<Exit, Failure> {
    let path = jobs::path(&args.job, "/run")?;
    let body = match &args.args {
        Some(text) => json!({"args": read_args(text)?}),
        None => json!({}),
    };
    let reached = reach::steering(common, &args.whom)?;
    let run: RunView = reached.post(&path, tenant(args), &body)?;
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
    vec![("tenant", args.whom.tenant.clone())]
}

fn wait(
    args: &Trigger,
    run: &RunView,
    reached: &Reached,
    common: &Common,
) -> Result<Exit, Failure> {
    let id = run.id.to_string();
    follow(reached, &runs::path(&id, "/logs")?, &args.whom.tenant, |line| {
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
        return Err(Failure::failed(format!("run {id} did not run: {why}")));
    };
    if !common.json && outcome == crate::run::outcome::Outcome::Succeeded {
        print(run.result.as_ref().unwrap_or(&Value::Null))?;
    }
    note(ending(outcome, run.error.as_ref(), &run.usage));
    Ok(exit_of(outcome))
}
