//! `POST /v1/runs`: a run in the queue, or runs for fire times of the past.

use std::iter::successors;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::App;
use super::access::{By, Caller};
use super::body::Fields;
use super::error::{ApiError, Kind};
use super::jobs::{find, usable};
use super::moment::{self, span};
use super::params::Params;
use super::start::{Asked, any, check_args, one, start};
use super::view::run::RunView;
use crate::audit::action::Action;
use crate::job::Job;
use crate::job::names::JobId;
use crate::problem::Problem;
use crate::record::Schedule;
use crate::record::query::{MAX_PAGE, Page, RunFilter};
use crate::record::step::Started;
use crate::run::id::RunId;
use crate::run::{Cause, Run, RunState};
use crate::schedule::why::{Nearest, is_on_grid};
use crate::table::value::{name, text, whole};
use crate::time::Timestamp;

/// Runs of one range when nobody says.
const DEFAULT_RANGE: usize = 100;
/// Runs of one range at most.
const MAX_RANGE: u64 = 1_000;
/// Bytes of an idempotency key at most.
pub const MAX_KEY: usize = 256;
/// The smallest step between two instants.
const MICRO: Duration = Duration::from_micros(1);

/// The fields that ask for a run in the queue.
const ENQUEUE: [&str; 4] = ["countdown", "eta", "expires", "idempotency_key"];
/// The fields that ask for fire times.
const BACKFILL: [&str; 4] = ["at", "from", "to", "limit"];

/// Which fire times.
enum Wanted {
    One(Timestamp),
    Range { from: Timestamp, to: Timestamp, limit: usize },
}

/// Several runs.
#[derive(Serialize)]
struct Runs {
    items: Vec<RunView>,
}

/// `POST /v1/runs`: a run in the queue, or backfills.
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let tenant = params.finish()?;
    let now = app.context.clock.now();
    let job = fields.read("job", name::<JobId>);
    fields.require(&["job"], "`job` is missing: name the job");
    let args = fields.read("args", any);
    let queued = queued(&mut fields, now);
    let wanted = wanted(&mut fields);
    if fields.any(&BACKFILL) {
        fields
            .refuse(&ENQUEUE, "is for a run in the queue; with `at`, `from` or `to` leave it out");
    }
    fields.finish()?;
    // Without a name `finish` has failed.
    let Some(name) = job else { return Err(ApiError::new(Kind::Invalid, "`job` is missing")) };
    let schedule = find(&app, tenant.clone(), name.as_str()).await?;
    let job = usable(&app, &schedule)?;
    let (after, answer) = match wanted {
        None => {
            let queued = Queued { args, ..queued };
            match enqueue(&app, &schedule, &job, queued, now).await? {
                Started::Made(run) => {
                    let after = json!({"cause": run.cause, "run": run.id});
                    (after, one(StatusCode::ACCEPTED, &run))
                }
                Started::Exists(run) => return Ok(one(StatusCode::OK, &run)),
            }
        }
        Some(wanted) => {
            let (runs, answer) = backfill(&app, &schedule, &job, wanted, args, now).await?;
            (json!({"cause": Cause::Backfill, "runs": runs}), answer)
        }
    };
    let (by, sides) = (By::caller(&caller), [Value::Null, after]);
    by.note(&app, Action::RunAsked, Some(&tenant), &name, sides).await;
    Ok(answer)
}

/// A run that is wanted in the queue.
pub struct Queued {
    /// The same key again is the same run.
    pub key: Option<String>,
    /// Its earliest start.
    pub not_before: Option<Timestamp>,
    /// Given up when it has not started by then.
    pub expires: Option<Timestamp>,
    /// Instead of the job's own.
    pub args: Option<Value>,
}

fn queued(fields: &mut Fields, now: Timestamp) -> Queued {
    let countdown = fields.read("countdown", span).map(|span| now.after(span));
    let eta = fields.read("eta", moment::time);
    if fields.any(&["countdown"]) {
        fields.refuse(&["eta"], "gives the start a second time; give `countdown` or `eta`");
    }
    let not_before = countdown.or(eta).filter(|start| now < *start);
    let start = not_before.unwrap_or(now);
    let expires = fields.read("expires", |value| match moment::instant(value, now)? {
        expires if expires <= start => Err(format!(
            "{expires} is not later than the run's earliest start, {start}; give a later time"
        )),
        expires => Ok(expires),
    });
    let key = fields.read("idempotency_key", |value| match text(value)? {
        key if key.len() <= MAX_KEY => Ok(key.to_owned()),
        _ => Err(format!("must be {MAX_KEY} bytes at most")),
    });
    Queued { key, not_before: countdown.or(eta), expires, args: None }
}

fn wanted(fields: &mut Fields) -> Option<Wanted> {
    let at = fields.read("at", moment::time);
    let (from, to) = (fields.read("from", moment::time), fields.read("to", moment::time));
    let limit = fields.read("limit", whole(1..=MAX_RANGE));
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DEFAULT_RANGE);
    if fields.any(&["at"]) {
        fields.refuse(&["from", "to", "limit"], "is for a range; with `at` leave it out");
        return at.map(Wanted::One);
    }
    if fields.any(&["from", "to", "limit"]) {
        fields.require(&["from", "to"], "is missing: a range is from `from` to before `to`");
    }
    match (from, to) {
        (Some(from), Some(to)) if to <= from => {
            fields.problem("to", format!("must be later than `from`, {from}"));
            None
        }
        (Some(from), Some(to)) => Some(Wanted::Range { from, to, limit }),
        _ => None,
    }
}

/// Makes one run, at once or for later; with a key the same one again.
///
/// # Errors
///
/// Why there is no such run.
pub async fn enqueue(
    app: &App,
    schedule: &Schedule,
    job: &Job,
    queued: Queued,
    now: Timestamp,
) -> Result<Started, ApiError> {
    let tenant = &schedule.key.tenant;
    let asked = Asked {
        id: queued.key.as_ref().map_or_else(RunId::fresh, |key| RunId::of_key(tenant, key)),
        cause: Cause::Enqueued,
        fire_time: queued.not_before.unwrap_or(now),
        not_before: queued.not_before,
        expires: queued.expires,
        args: queued.args,
    };
    check_args(&asked, job)?;
    let args = asked.args.clone();
    match start(app, schedule, job, asked, now).await? {
        Started::Made(run) => Ok(Started::Made(run)),
        Started::Exists(run) if is_same(app, schedule, &run, args.as_ref()).await? => {
            Ok(Started::Exists(run))
        }
        Started::Exists(run) => {
            let detail = format!(
                "this `idempotency_key` belongs to run `{}` of job `{}`, which was asked for with \
                 another job or other args; take another key",
                run.id, run.job
            );
            Err(ApiError::new(Kind::KeyReused, detail))
        }
    }
}

/// Whether the run is what is asked for again.
async fn is_same(
    app: &App,
    schedule: &Schedule,
    run: &Run,
    args: Option<&Value>,
) -> Result<bool, ApiError> {
    if run.job != schedule.key.job {
        return Ok(false);
    }
    Ok(run.args.as_ref() == args || is_bare(app, schedule, run).await?)
}

/// Whether nobody knows any more what the run was asked with: of an old one only the record is
/// kept (`history.keep`).
async fn is_bare(app: &App, schedule: &Schedule, run: &Run) -> Result<bool, ApiError> {
    if run.state != RunState::Done || run.args.is_some() || run.result.is_some() {
        return Ok(false);
    }
    let keep = usize::try_from(schedule.history.keep).unwrap_or(MAX_PAGE).min(MAX_PAGE);
    let filter = RunFilter {
        tenant: Some(schedule.key.tenant.clone()),
        job: Some(schedule.key.job.clone()),
        ..RunFilter::default()
    };
    let newest = app.context.store.runs(filter, Page { limit: keep, cursor: None }).await?;
    Ok(keep == 0 || newest.items.iter().all(|newer| newer.id != run.id))
}

/// Makes runs for fire times of the past; answers how many there are, too.
async fn backfill(
    app: &App,
    schedule: &Schedule,
    job: &Job,
    wanted: Wanted,
    args: Option<Value>,
    now: Timestamp,
) -> Result<(usize, Response), ApiError> {
    let anchor = schedule.trigger_state.anchor;
    let refused =
        |path: &str, message: String| ApiError::invalid(vec![Problem::new(path, message)]);
    let Some(trigger) = &job.trigger else {
        let message = format!("job `{}` has no trigger, so it has no fire times", job.key.job);
        return Err(refused("job", message));
    };
    let asked = |fire_time: Timestamp| Asked {
        id: RunId::fresh(),
        cause: Cause::Backfill,
        fire_time,
        not_before: None,
        expires: None,
        args: args.clone(),
    };
    check_args(&asked(now), job)?;
    match wanted {
        Wanted::One(at) => {
            if !is_on_grid(trigger, anchor, at) {
                let near = Nearest::of(trigger, anchor, at);
                return Err(refused("at", format!("{at} is no fire time of the job; {near}")));
            }
            match start(app, schedule, job, asked(at), now).await? {
                Started::Made(run) | Started::Exists(run) => {
                    Ok((1, one(StatusCode::ACCEPTED, &run)))
                }
            }
        }
        Wanted::Range { from, to, limit } => {
            let first = trigger.next_after(anchor, from.before(MICRO));
            let times = successors(first, |last| trigger.next_after(anchor, *last));
            let mut items = Vec::new();
            for fire_time in times.take_while(|time| *time < to).take(limit) {
                match start(app, schedule, job, asked(fire_time), now).await? {
                    Started::Made(run) | Started::Exists(run) => items.push(RunView::of(&run)),
                }
            }
            let runs = items.len();
            Ok((runs, (StatusCode::ACCEPTED, Json(Runs { items })).into_response()))
        }
    }
}
