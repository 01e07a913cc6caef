//! `host audit`: who changed what.

use clap::Args;

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::reach;
use super::screen::{note, print, print_json};
use super::table::{Cell, table};
use crate::audit::Note;
use crate::audit::action::Action;

/// Which changes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host audit --limit 20                         the newest
  host audit --action job.removed --since 2026-12-01T00:00:00Z
  host audit --json | jq -c 'select(.who == \"token ci\") | {target, before, after}'

A host with tokens asks for the role `admin`. WHO is `local` at a host without tokens,
`token ID`, `job ID` for what a job did, or `file` for what a file changed. The newest 10,000
changes of each tenant are kept.")]
pub struct Audit {
    /// So many at most; without it all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// From then on
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Of this kind, like job.created
    #[arg(long, value_name = "ACTION", value_parser = action)]
    action: Option<Action>,
    /// About this job, run or token
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

fn action(text: &str) -> Result<Action, String> {
    Action::try_from(text.to_owned())
}

/// Lists them, newest first.
///
/// # Errors
///
/// What the host or the store says.
pub fn audit(args: &Audit, common: &Common) -> Result<Exit, Failure> {
    let mut query = args.whom.query();
    if let Some(since) = &args.since {
        query.push(("since", common.instant("--since", since)?.to_string()));
    }
    query.extend(args.action.map(|action| ("action", action.word().to_owned())));
    query.extend(args.target.clone().map(|target| ("target", target)));
    let reached = reach::reading(common, &args.whom)?;
    let mut rows = Vec::new();
    for line in reached.items::<Note>("/v1/audit", query, args.limit) {
        let line = line?;
        if common.json {
            print_json(&line)?;
        } else {
            rows.push(row(&line));
        }
    }
    if !common.json && rows.is_empty() {
        note("nothing was changed that is kept");
    } else if !common.json {
        print(table(["TIME", "WHO", "FROM", "ACTION", "TARGET"], &rows))?;
    }
    Ok(Exit::Done)
}

fn row(line: &Note) -> [Cell; 5] {
    [
        line.time.to_string().into(),
        line.who.as_str().into(),
        Cell::or_dash(line.from.as_ref()),
        line.action.word().into(),
        line.target.as_str().into(),
    ]
}
