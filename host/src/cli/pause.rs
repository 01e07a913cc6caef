//! `host pause` and `host resume`: of a job, or of the whole scheduler.

use std::time::Duration;

use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

use super::args::{Common, Whom};
use super::exit::{Exit, Failure};
use super::screen::{note, print_json};
use super::{jobs, reach};
use crate::api::view::job::JobView;
use crate::api::view::scheduler::SchedulerView;
use crate::clock::{Clock, SystemClock};
use crate::table::unit::duration;

/// A fire time that is older than this when it is told of was meant to be caught up with.
const A_MOMENT: Duration = Duration::from_secs(1);

/// What is paused.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["job", "all"])), after_help = "\
Examples:
  host pause nightly --why 'the database moves' --until 2026-12-01T06:00:00Z
  host pause --all --why 'maintenance'

Fire times of a job that pass meanwhile have the verdict `paused`. With --all the scheduler looks at
nothing: when it goes on it is as after downtime, and each job's policies decide. Runs that are under
way go on, and `host trigger` works all the while.")]
pub struct Pause {
    /// The job
    job: Option<String>,
    /// The whole scheduler
    #[arg(long)]
    all: bool,
    /// Why, for those who wonder
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// When it goes on by itself: a time, or a duration from now like 2h
    #[arg(long, value_name = "TIME", conflicts_with = "all")]
    until: Option<String>,
    #[command(flatten)]
    whom: Whom,
}

/// What goes on.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["job", "all"])), after_help = "\
Examples:
  host resume nightly                 goes on with its next fire time
  host resume nightly --catch-up      what passed meanwhile is due now
  host resume --all

After a pause of the whole scheduler what passed is always due: grace and coalescing decide.")]
pub struct Resume {
    /// The job
    job: Option<String>,
    /// The whole scheduler
    #[arg(long)]
    all: bool,
    /// What passed during the pause is due now, and the job's policies decide
    #[arg(long)]
    catch_up: bool,
    #[command(flatten)]
    whom: Whom,
}

/// Pauses.
///
/// # Errors
///
/// What the host says, or that none is running.
pub fn pause(args: &Pause, common: &Common) -> Result<Exit, Failure> {
    let mut body = Map::new();
    body.extend(args.why.as_ref().map(|why| ("why".to_owned(), json!(why))));
    if let Some(until) = &args.until {
        // A duration is the host's to read: it counts from its clock.
        let until = match duration(&json!(until)) {
            Ok(_) => json!(until),
            Err(_) => json!(common.instant("--until", until)?),
        };
        body.insert("until".to_owned(), until);
    }
    let what = What { job: args.job.as_deref(), whom: &args.whom, to: "/pause" };
    what.steer(common, &Value::Object(body))
}

/// Resumes.
///
/// # Errors
///
/// What the host says, or that none is running.
pub fn resume(args: &Resume, common: &Common) -> Result<Exit, Failure> {
    let body = match (&args.job, args.catch_up) {
        (Some(_), true) => json!({"catch_up": true}),
        (_, _) => json!({}),
    };
    let what = What { job: args.job.as_deref(), whom: &args.whom, to: "/resume" };
    what.steer(common, &body)
}

/// What is steered: a job, or without one the scheduler.
struct What<'a> {
    job: Option<&'a str>,
    whom: &'a Whom,
    to: &'static str,
}

impl What<'_> {
    fn steer(&self, common: &Common, body: &Value) -> Result<Exit, Failure> {
        let query = self.whom.query();
        match self.job {
            Some(job) => {
                let path = jobs::path(job, self.to)?;
                let job: JobView = reach::steering(common, self.whom)?.post(&path, query, body)?;
                if common.json {
                    print_json(&job)?;
                } else {
                    note(told_of_job(&job));
                }
            }
            None => {
                let path = format!("/v1/scheduler{}", self.to);
                let scheduler: SchedulerView =
                    reach::steering(common, self.whom)?.post(&path, query, body)?;
                if common.json {
                    print_json(&scheduler)?;
                } else {
                    note(told_of_all(&scheduler));
                }
            }
        }
        Ok(Exit::Done)
    }
}

fn told_of_job(job: &JobView) -> String {
    match (&job.paused, job.next_fire_time) {
        (Some(pause), _) => {
            let until = pause.until.map(|until| format!(" until {until}")).unwrap_or_default();
            format!("job {} is paused{until}", job.id)
        }
        (None, Some(next)) if next.after(A_MOMENT) <= SystemClock.now() => {
            format!("job {} goes on; what has passed is due now, from {next} on", job.id)
        }
        (None, Some(next)) => format!("job {} goes on; it fires next at {next}", job.id),
        (None, None) => format!("job {} is not paused; it has no next fire time", job.id),
    }
}

fn told_of_all(scheduler: &SchedulerView) -> String {
    match &scheduler.paused {
        Some(pause) => format!("the scheduler is paused since {}", pause.since),
        None => "the scheduler goes on".to_owned(),
    }
}
