//! `host events`: what happens, as it happens.

use clap::Args;
use serde_json::Value;

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::reach;
use super::screen::{harmless, print, print_json};

/// Which events.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host events                          until Ctrl-C, or until the host stops
  host events --json | jq -c 'select(.type == \"run.failed\")'")]
pub struct Events {
    /// Of this job alone
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Go on with new events; they are never told otherwise
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    whom: Whom,
}

/// Prints events as they come.
///
/// # Errors
///
/// No host is running, or what it says.
pub fn events(args: &Events, common: &Common) -> Result<Exit, Failure> {
    let reached = reach::steering(common, &args.whom)?;
    let query = args.whom.query();
    reached.lines("/v1/events", query, |line| {
        let Some(data) = line.strip_prefix("data: ") else { return Ok(()) };
        let event: Value = serde_json::from_str(data).map_err(|error| {
            Failure::failed(format!("the host sent an event that is not understood: {error}"))
        })?;
        let of_another = args.job.as_ref().is_some_and(|job| event["job"] != job.as_str());
        match (of_another, common.json) {
            (true, _) => Ok(()),
            (false, true) => print_json(&event),
            (false, false) => print(sentence(&event)),
        }
    })?;
    Ok(Exit::Done)
}

fn sentence(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
    let line = format!("{}  {:<14} {}", text("time"), text("type"), text("job"));
    let run = event["run"].as_str().map(|run| format!("  {run}")).unwrap_or_default();
    harmless(&format!("{line}{run}  {}", event["data"]))
}
