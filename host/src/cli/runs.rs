//! `host runs`: what ran, runs and waits.

use clap::{Args, Subcommand};

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::line::{ending, outcome_word};
use super::reach;
use super::screen::{Tone, note, print, print_json};
use super::table::{Cell, pairs, table};
use crate::api::view::run::RunView;
use crate::run::RunState;
use crate::run::id::RunId;
use crate::run::outcome::Outcome;

/// Runs that are listed for a person who gives no number.
const A_SCREEN: usize = 20;
/// Characters of a result that are shown in a table.
const RESULT_WIDTH: usize = 60;

/// What to do with runs.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List runs, newest first
    #[command(after_help = LIST_EXAMPLES)]
    Ls(List),
    /// Show one run with its attempts
    #[command(after_help = "Example:\n  host runs show 019ac0de7f3a70c2b9d1a4e8f00dcafe --json")]
    Show(Show),
}

const LIST_EXAMPLES: &str = "\
Examples:
  host runs ls                               the newest
  host runs ls --job nightly --limit 100
  host runs ls --state queued,running
  host runs ls --from 2026-12-01T00:00:00Z --json | jq -r .outcome";

/// Which runs.
#[derive(Debug, Args)]
pub struct List {
    /// Of this job
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// In one of these states: queued, running, retrying, done; several with commas
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// With this verdict: ran, misfired, coalesced, skipped, paused, cancelled ...
    #[arg(long, value_name = "VERDICT")]
    verdict: Option<String>,
    /// Made for this cause: schedule, manual, enqueued, backfill
    #[arg(long, value_name = "CAUSE")]
    cause: Option<String>,
    /// With a fire time from then on
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// With a fire time before then
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// So many at most; without it 20, with --json all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    whom: Whom,
}

/// Which run.
#[derive(Debug, Args)]
pub struct Show {
    /// Its id
    run: String,
    #[command(flatten)]
    whom: Whom,
}

/// Does it.
///
/// # Errors
///
/// What the host or the store says.
pub fn runs(runs: &Runs, common: &Common) -> Result<Exit, Failure> {
    match runs {
        Runs::Ls(args) => list(args, common),
        Runs::Show(args) => show(args, common),
    }
}

/// A run's path below `/v1/runs`.
///
/// # Errors
///
/// It is no id of a run.
pub fn path(run: &str, rest: &str) -> Result<String, Failure> {
    let run: RunId = run.parse().map_err(Failure::usage)?;
    Ok(format!("/v1/runs/{run}{rest}"))
}

fn list(args: &List, common: &Common) -> Result<Exit, Failure> {
    let mut query = args.whom.query();
    for (key, value) in [
        ("job", &args.job),
        ("state", &args.state),
        ("verdict", &args.verdict),
        ("cause", &args.cause),
        ("from", &args.from),
        ("to", &args.to),
    ] {
        query.extend(value.clone().map(|value| (key, value)));
    }
    let reached = reach::reading(common, &args.whom)?;
    if common.json {
        for run in reached.items::<RunView>("/v1/runs", query, args.limit) {
            print_json(&run?)?;
        }
        return Ok(Exit::Done);
    }
    let limit = args.limit.unwrap_or(A_SCREEN);
    // One more than asked for, to know whether there are more.
    let found = reached.items::<RunView>("/v1/runs", query, Some(limit.saturating_add(1)));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() {
        note("there is no such run");
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = found.iter().take(limit).map(row).collect();
    print(table(["RUN", "JOB", "FIRE TIME", "CAUSE", "STATE", "LATE", "TOOK", "RESULT"], &rows))?;
    if found.len() > limit {
        note(format!("these are the newest {limit}; --limit shows more"));
    }
    Ok(Exit::Done)
}

fn row(run: &RunView) -> [Cell; 8] {
    let took = run.started_at.filter(|_| run.state == RunState::Done);
    [
        run.id.to_string().into(),
        run.job.to_string().into(),
        run.fire_time.to_string().into(),
        format!("{:?}", run.cause).to_lowercase().into(),
        state(run),
        Cell::or_dash(run.lateness_ms.map(|late| format!("{late} ms"))),
        Cell::or_dash(took.map(|_| format!("{} ms", run.usage.wall_ms))),
        Cell::or_dash(said(run)),
    ]
}

/// What it returned, or what went wrong, as far as it fits into a table.
fn said(run: &RunView) -> Option<String> {
    let text = match (&run.result, &run.error) {
        (Some(result), _) => result.to_string(),
        (None, Some(error)) => error.message.clone(),
        (None, None) => return None,
    };
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= RESULT_WIDTH && line.len() == text.len() {
        return Some(text);
    }
    Some(line.chars().take(RESULT_WIDTH - 1).chain(['…']).collect())
}

/// How it ended, or else where it stands and why.
fn state(run: &RunView) -> Cell {
    if let Some(outcome) = run.outcome {
        let (word, tone) = outcome_word(outcome);
        return Cell::new(word, tone);
    }
    let (word, tone) = match (run.state, run.verdict) {
        (RunState::Running, _) => ("running", Tone::Plain),
        (RunState::Retrying, _) => ("retrying", Tone::Odd),
        (RunState::Queued, _) => ("queued", Tone::Plain),
        (RunState::Done, Some(verdict)) => (verdict.word(), Tone::Odd),
        (RunState::Done, None) => ("done", Tone::Plain),
    };
    match (&run.reason, run.state) {
        (Some(reason), RunState::Queued | RunState::Done) => {
            Cell::new(format!("{word} ({reason})"), tone)
        }
        (Some(_), RunState::Running | RunState::Retrying) | (None, _) => Cell::new(word, tone),
    }
}

fn show(args: &Show, common: &Common) -> Result<Exit, Failure> {
    let path = path(&args.run, "")?;
    let reached = reach::reading(common, &args.whom)?;
    let run: RunView = reached.get(&path, args.whom.query())?;
    if common.json {
        print_json(&run)?;
        return Ok(Exit::Done);
    }
    let late = run.lateness_ms.map(|late| format!(", {late} ms late")).unwrap_or_default();
    let mut rows = vec![
        ("run", run.id.to_string().into()),
        ("job", format!("{} (plugin {}, handler {})", run.job, run.plugin, run.handler).into()),
        ("state", state(&run)),
        ("fire time", format!("{}{late}", run.fire_time).into()),
        ("queued", run.queued_at.to_string().into()),
        ("started", Cell::or_dash(run.started_at)),
        ("finished", Cell::or_dash(run.finished_at)),
        ("attempts", run.attempt.to_string().into()),
    ];
    if run.covers > 1 {
        rows.push(("stands for", format!("{} fire times", run.covers).into()));
    }
    if let Some(progress) = &run.progress {
        let total = progress.total.map(|total| format!(" of {total}")).unwrap_or_default();
        rows.push(("progress", format!("{}{total} {}", progress.done, progress.message).into()));
    }
    if let Some(args) = &run.args {
        rows.push(("args", args.to_string().into()));
    }
    if let Some(result) = &run.result {
        rows.push(("result", result.to_string().into()));
    }
    print(pairs(&rows))?;
    if !run.attempts.is_empty() {
        let attempts: Vec<_> = run
            .attempts
            .iter()
            .map(|attempt| {
                [
                    attempt.attempt.to_string().into(),
                    attempt.started_at.to_string().into(),
                    Cell::or_dash(attempt.outcome.map(Outcome::as_str)),
                    attempt.host.clone().into(),
                    attempt.fence.to_string().into(),
                    attempt.session.to_string().into(),
                    Cell::or_dash(attempt.error.as_ref().map(|error| error.message.clone())),
                ]
            })
            .collect();
        print(table(
            ["ATTEMPT", "STARTED", "END", "HOST", "FENCE", "SESSION", "ERROR"],
            &attempts,
        ))?;
    }
    if let Some(outcome) = run.outcome {
        print(ending(outcome, run.error.as_ref(), &run.usage))?;
    }
    Ok(Exit::Done)
}
