//! `host cancel`: stops a run, or keeps it from starting.

use clap::Args;
use serde_json::json;

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::reach;
use super::runs::path;
use super::screen::{note, print_json};
use crate::api::view::run::RunView;
use crate::run::RunState;

/// Which run.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  host cancel 019ac0de7f3a70c2b9d1a4e8f00dcafe

A run that waits is over at once; one that runs is stopped within moments. A run that is over can't
be cancelled: exit code 1.")]
pub struct Cancel {
    /// Its id
    run: String,
    #[command(flatten)]
    whom: Whom,
}

/// Cancels the run.
///
/// # Errors
///
/// What the host says, or that none is running.
pub fn cancel(args: &Cancel, common: &Common) -> Result<Exit, Failure> {
    let path = path(&args.run, "/cancel")?;
    let reached = reach::steering(common, &args.whom)?;
    let tenant = args.whom.query();
    let run: RunView = reached.post(&path, tenant, &json!({}))?;
    if common.json {
        print_json(&run)?;
    } else if run.state == RunState::Done {
        note(format!("run {} is cancelled", run.id));
    } else {
        note(format!(
            "run {} is told to stop; `host runs show {}` shows when it has",
            run.id, run.id
        ));
    }
    Ok(Exit::Done)
}
