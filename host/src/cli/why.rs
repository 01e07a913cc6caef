//! `host why`: what became of an instant, and why.

use clap::Args;

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::screen::{harmless, print, print_json};
use super::{jobs, reach};
use crate::api::view::why::WhyView;

/// Which instant of which job.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host why nightly --at 2026-12-01T02:00:00Z
  host why nightly --at '2026-12-01 02:00:00'     in the zone of the configuration
  host why nightly --at 2026-12-01T02:00:00Z --json | jq -r .standing

It tells whether it was a fire time, what became of it and which policy decided, which run it became
or which stands for it, how late that started and how it ended.")]
pub struct Why {
    /// The job
    job: String,
    /// The instant
    #[arg(long, value_name = "TIME")]
    at: String,
    #[command(flatten)]
    whom: Whom,
}

/// Tells.
///
/// # Errors
///
/// What the host or the store says.
pub fn why(args: &Why, common: &Common) -> Result<Exit, Failure> {
    let path = jobs::path(&args.job, "/why")?;
    let at = common.instant("--at", &args.at)?;
    let mut query = args.whom.query();
    query.push(("at", at.to_string()));
    let view: WhyView = reach::reading(common, &args.whom)?.get(&path, query)?;
    if common.json {
        print_json(&view)?;
    } else {
        view.says.iter().try_for_each(|line| print(harmless(line)))?;
    }
    Ok(Exit::Done)
}
