//! `host reload`: a running host looks at everything now.

use clap::Args;
use serde_json::json;

use super::args::{Common, Whom};
use super::difference::Difference;
use super::exit::{Exit, Failure};
use super::reach;
use crate::api::view::reload::ReloadView;

/// Which host.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host reload
  host reload --json | jq -r 'select(.action == \"restart\") | .key'
  kill -HUP PID                     the same, told in the log

A host looks at host.toml, at plugins and at the files beside them whenever they change; this looks
now, and answers when all of it counts. It prints what became of jobs as `host plan` does, and what
the host took by itself within the last minute too. A host.toml with errors changes nothing: all of
them are printed, and the exit code is 2. What can't change while a host serves keeps its value and is
named: store, state_dir, roles, [api] listen, and max_running, memory and queues of [executor].")]
pub struct Reload {
    #[command(flatten)]
    whom: Whom,
}

/// Asks for it.
///
/// # Errors
///
/// What is wrong with the file, what the host says, or that none is running.
pub fn reload(args: &Reload, common: &Common) -> Result<Exit, Failure> {
    let reached = reach::steering(common, &args.whom)?;
    let reloaded: ReloadView = reached.post("/v1/reload", Vec::new(), &json!({}))?;
    let difference = Difference {
        items: &reloaded.items,
        warnings: &reloaded.warnings,
        total: reloaded.total,
        changed: &reloaded.changed,
        needs_restart: &reloaded.needs_restart,
    };
    difference.print(common.json)?;
    Ok(Exit::Done)
}
