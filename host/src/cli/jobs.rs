//! `host jobs`: what is scheduled, and jobs made and removed.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value};

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::line::outcome_word;
use super::reach;
use super::screen::{Tone, note, print, print_json};
use super::table::{Cell, pairs, table};
use crate::api::view::job::{JobView, LastRunView};
use crate::config::text;
use crate::job::names::JobId;
use crate::run::RunState;
use crate::schedule::reconcile::JobState;

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// List jobs by name
    #[command(after_help = "Examples:\n  host jobs ls\n  host jobs ls --json | jq -r .id")]
    Ls(List),
    /// Show one job: its state, its definition and what is in force
    #[command(after_help = "Examples:\n  host jobs show nightly\n  host jobs show nightly --json")]
    Show(Show),
    /// Make a job, or put a definition in the place of the one that is there
    #[command(after_help = PUT_EXAMPLES)]
    Put(Put),
    /// Remove a job; what became of its fire times stays
    #[command(after_help = "\
Examples:
  host jobs rm nightly
  host jobs rm nightly --live cancel     its runs too

A job that a file or a plugin defines can't be removed here: take it out there.")]
    Rm(Remove),
}

const PUT_EXAMPLES: &str = "\
Examples:
  host jobs put nightly.toml
  host jobs show nightly --json | jq '.definition + {id: .id}' | host jobs put -

The file holds one job's keys and its `id`, as TOML:
  id      = \"nightly\"
  plugin  = \"report\"
  trigger = { type = \"cron\", hour = 2 }
or as a JSON object. A job that is there keeps its next fire time and its pause when the trigger is
the same. Jobs of host.toml and of plugins are changed there.";

/// How many jobs, and whose.
#[derive(Debug, Args)]
pub struct List {
    /// So many at most; without it all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    whom: Whom,
}

/// Which job.
#[derive(Debug, Args)]
pub struct Show {
    /// Its name
    job: String,
    #[command(flatten)]
    whom: Whom,
}

/// Which definition.
#[derive(Debug, Args)]
pub struct Put {
    /// A file with TOML or JSON, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    whom: Whom,
}

/// Which job, and what becomes of its runs.
#[derive(Debug, Args)]
pub struct Remove {
    /// Its name
    job: String,
    /// What becomes of its queued and running runs
    #[arg(long, value_enum, default_value_t = Live::Keep)]
    live: Live,
    #[command(flatten)]
    whom: Whom,
}

/// What becomes of the runs of a job that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Live {
    /// They go on
    Keep,
    /// They are cancelled
    Cancel,
}

/// Does it.
///
/// # Errors
///
/// What the host or the store says.
pub fn jobs(jobs: &Jobs, common: &Common) -> Result<Exit, Failure> {
    match jobs {
        Jobs::Ls(args) => list(args, common),
        Jobs::Show(args) => show(args, common),
        Jobs::Put(args) => put(args, common),
        Jobs::Rm(args) => remove(args, common),
    }
}

/// A job's path below `/v1/jobs`.
///
/// # Errors
///
/// It is no name of a job.
pub fn path(job: &str, rest: &str) -> Result<String, Failure> {
    let job: JobId = job.parse().map_err(Failure::usage)?;
    Ok(format!("/v1/jobs/{job}{rest}"))
}

fn list(args: &List, common: &Common) -> Result<Exit, Failure> {
    let reached = reach::reading(common, &args.whom)?;
    let query = args.whom.query();
    let mut rows = Vec::new();
    for job in reached.items::<JobView>("/v1/jobs", query, args.limit) {
        let job = job?;
        if common.json {
            print_json(&job)?;
        } else {
            rows.push(row(&job));
        }
    }
    if !common.json && rows.is_empty() {
        note("there is no job yet; write one into host.toml, or put a plugin into its folder");
    } else if !common.json {
        print(table(["JOB", "STATE", "NEXT FIRE TIME", "LAST RUN", "PLUGIN", "TRIGGER"], &rows))?;
    }
    Ok(Exit::Done)
}

fn row(job: &JobView) -> [Cell; 6] {
    [
        job.id.to_string().into(),
        state(job),
        Cell::or_dash(job.next_fire_time),
        job.last_run.as_ref().map_or(Cell::or_dash(None::<&str>), last_run),
        Cell::or_dash(job.effective.get("plugin").and_then(Value::as_str)),
        trigger(&job.effective),
    ]
}

fn state(job: &JobView) -> Cell {
    let (word, tone) = match job.state {
        JobState::Active => ("active", Tone::Good),
        JobState::Paused => ("paused", Tone::Odd),
        JobState::Parked => ("parked", Tone::Odd),
        JobState::Finished => ("finished", Tone::Faint),
    };
    match &job.reason {
        Some(reason) => Cell::new(format!("{word} ({reason})"), tone),
        None => Cell::new(word, tone),
    }
}

fn last_run(last: &LastRunView) -> Cell {
    let (word, tone) = match (last.outcome, last.state) {
        (Some(outcome), _) => outcome_word(outcome),
        (None, RunState::Queued) => ("queued", Tone::Plain),
        (None, RunState::Running) => ("running", Tone::Plain),
        (None, RunState::Retrying) => ("retrying", Tone::Odd),
        (None, RunState::Done) => ("did not run", Tone::Odd),
    };
    Cell::new(word, tone)
}

/// A trigger in a few words: its text, or its keys.
fn trigger(effective: &Value) -> Cell {
    match effective.get("trigger") {
        None | Some(Value::Null) => Cell::new("none: runs when asked", Tone::Faint),
        Some(Value::String(text)) => text.as_str().into(),
        Some(Value::Object(keys)) => {
            let kind = keys.get("type").and_then(Value::as_str).unwrap_or_default();
            let keys = keys.iter().filter(|(key, _)| *key != "type");
            let keys: Vec<_> = keys.map(|(key, value)| format!("{key}={}", bare(value))).collect();
            format!("{kind} {}", keys.join(" ")).into()
        }
        Some(other) => other.to_string().into(),
    }
}

fn bare(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn show(args: &Show, common: &Common) -> Result<Exit, Failure> {
    let path = path(&args.job, "")?;
    let reached = reach::reading(common, &args.whom)?;
    let job: JobView = reached.get(&path, args.whom.query())?;
    if common.json {
        print_json(&job)?;
        return Ok(Exit::Done);
    }
    let mut rows = vec![
        ("job", job.id.to_string().into()),
        ("state", state(&job)),
        ("next fire time", Cell::or_dash(job.next_fire_time)),
        ("trigger", trigger(&job.effective)),
        ("version", format!("{} (source: {:?})", job.version, job.source).to_lowercase().into()),
    ];
    if let Some(pause) = &job.paused {
        let until = pause.until.map(|until| format!(" until {until}")).unwrap_or_default();
        rows.push(("paused", format!("by {}{until}: {}", pause.by, pause.why).into()));
    }
    if let Some(last) = &job.last_run {
        rows.push(("last run", format!("{} at {}", last.run, last.at).into()));
        rows.push(("its end", last_run(last)));
    }
    print(pairs(&rows))?;
    print("\nin force:")?;
    let empty = serde_json::Map::new();
    let effective = job.effective.as_object().unwrap_or(&empty);
    let rows: Vec<_> =
        effective.iter().map(|(key, value)| (key.as_str(), Cell::from(bare(value)))).collect();
    print(pairs(&rows))?;
    Ok(Exit::Done)
}

fn put(args: &Put, common: &Common) -> Result<Exit, Failure> {
    let definition = read(&args.file)?;
    let shown = args.file.display();
    let Some(id) = definition.get("id").and_then(Value::as_str) else {
        let message = format!("`{shown}` has no `id`: name the job, as in `id = \"nightly\"`");
        return Err(Failure::usage(message));
    };
    let path = path(id, "")?;
    let reached = reach::steering(common, &args.whom)?;
    let query = args.whom.query();
    let job: JobView = reached.put(&path, query, &Value::Object(definition))?;
    if common.json {
        print_json(&job)?;
        return Ok(Exit::Done);
    }
    let next = job.next_fire_time.map(|next| format!("; it fires next at {next}"));
    note(format!("job {} stands as version {}{}", job.id, job.version, next.unwrap_or_default()));
    Ok(Exit::Done)
}

/// The table in a file: JSON when it looks like it, else TOML.
///
/// # Errors
///
/// It can't be read, or is neither.
pub fn read(file: &Path) -> Result<Map<String, Value>, Failure> {
    let shown = file.display();
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    read.map_err(|error| Failure::usage(format!("can't read `{shown}`: {error}")))?;
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text)
            .map_err(|error| Failure::usage(format!("`{shown}` is not JSON: {error}")));
    }
    text::entries(&text)
        .map_err(|problem| Failure::usage(format!("`{shown}` is not TOML: {problem}")))
}

fn remove(args: &Remove, common: &Common) -> Result<Exit, Failure> {
    let path = path(&args.job, "")?;
    let live = match args.live {
        Live::Keep => "keep",
        Live::Cancel => "cancel",
    };
    let mut query = args.whom.query();
    query.push(("live", live.to_owned()));
    reach::steering(common, &args.whom)?.delete(&path, query)?;
    note(format!("job {} is removed", args.job));
    Ok(Exit::Done)
}
