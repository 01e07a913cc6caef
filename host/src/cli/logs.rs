//! `host logs`: what a run wrote.

use clap::Args;

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::line::log_line;
use super::reach::{self, Reached};
use super::runs::path;
use super::screen::{Channel, note, print, print_json};
use crate::api::view::log::LogView;

/// Which run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host logs 019ac0de7f3a70c2b9d1a4e8f00dcafe
  host logs 019ac0de7f3a70c2b9d1a4e8f00dcafe -f       until it is over
  host runs ls --job nightly --limit 1 --json | jq -r .id | xargs host logs")]
pub struct Logs {
    /// Its id
    run: String,
    /// Go on with new lines until the run is over
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    whom: Whom,
}

/// Prints the log.
///
/// # Errors
///
/// What the host or the store says.
pub fn logs(args: &Logs, common: &Common) -> Result<Exit, Failure> {
    let path = path(&args.run, "/logs")?;
    let reached = reach::reading(common, &args.whom)?;
    if args.follow && reached.is_host() {
        follow(&reached, &path, &args.whom, |line| show(&line, common))?;
        return Ok(Exit::Done);
    }
    if args.follow {
        note("nothing is added while no host is running");
    }
    for line in reached.items::<LogView>(&path, args.whom.query(), None) {
        show(&line?, common)?;
    }
    Ok(Exit::Done)
}

/// Hands over the lines of a run's log until it is over; `path` is its log's.
///
/// # Errors
///
/// What the host says, or what `each` fails with.
pub fn follow(
    reached: &Reached,
    path: &str,
    whom: &Whom,
    mut each: impl FnMut(LogView) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut query = whom.query();
    query.push(("follow", "true".to_owned()));
    reached.lines(path, query, |line| {
        let line = serde_json::from_str(line).map_err(|error| {
            Failure::failed(format!("the host sent a line that is not understood: {error}"))
        })?;
        each(line)
    })
}

fn show(line: &LogView, common: &Common) -> Result<(), Failure> {
    if common.json { print_json(line) } else { print(log_line(line, Channel::Out)) }
}
