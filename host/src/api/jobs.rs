//! Jobs: listed, shown, what they will do and did, and run now.

use std::iter::successors;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::App;
use super::body::Fields;
use super::error::{ApiError, Kind};
use super::params::{self, Name, Params};
use super::view::List;
use super::view::job::JobView;
use super::view::ledger::LedgerView;
use super::view::run::RunView;
use crate::job::names::{JobId, TenantId};
use crate::job::{Job, JobKey};
use crate::problem::{Problem, nearest};
use crate::record::Schedule;
use crate::record::query::{JobFilter, LedgerFilter, MAX_PAGE, Page};
use crate::record::step::{NewRun, RunSpec, Started};
use crate::run::id::RunId;
use crate::run::{Cause, Run, Verdict, reason};
use crate::schedule::reconcile::{JobState, state};
use crate::store::error::StoreError;
use crate::table::unit::show_size;
use crate::time::Timestamp;
use crate::trigger::Trigger;

/// Fire times in one answer when nobody says.
const DEFAULT_NEXT: usize = 10;
/// Fire times in one answer at most.
const MAX_NEXT: usize = 1_000;
/// How often a call is repeated that may or may not have been done.
const REPEATS: u32 = 3;
/// The pause before that.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);

/// `GET /v1/jobs`.
pub async fn list(
    State(app): State<App>,
    mut params: Params,
) -> Result<Json<List<JobView>>, ApiError> {
    let page = params.page();
    let filter = JobFilter { tenant: Some(params.finish()?) };
    let found = app.context.store.list(filter, page).await?;
    let items = found.items.iter().map(JobView::of).collect();
    Ok(Json(List { items, next_cursor: found.next_cursor }))
}

/// `GET /v1/jobs/{id}`.
pub async fn show(
    State(app): State<App>,
    Name(name): Name,
    params: Params,
) -> Result<Response, ApiError> {
    let schedule = find(&app, params.finish()?, &name).await?;
    let tag = format!("\"{}\"", schedule.version);
    Ok(([(header::ETAG, tag)], Json(JobView::of(&schedule))).into_response())
}

/// `GET /v1/jobs/{id}/next`: fire times that will come; with `after` those of the grid from then
/// on, inclusive, whatever the job's state.
pub async fn next(
    State(app): State<App>,
    Name(name): Name,
    mut params: Params,
) -> Result<Json<List<Timestamp>>, ApiError> {
    let count = params.read("n", |text| params::whole(text, 1, MAX_NEXT)).unwrap_or(DEFAULT_NEXT);
    let after = params.read("after", params::time);
    let schedule = find(&app, params.finish()?, &name).await?;
    let job = usable(&app, &schedule)?;
    let fires = job.trigger.as_ref().map(|trigger| fires(&schedule, trigger, after, count));
    Ok(Json(List::whole(fires.unwrap_or_default())))
}

fn fires(
    schedule: &Schedule,
    trigger: &Trigger,
    after: Option<Timestamp>,
    count: usize,
) -> Vec<Timestamp> {
    let anchor = schedule.trigger_state.anchor;
    let first = match after {
        Some(after) => {
            trigger.next_after(anchor, Timestamp::from_micros(after.micros().saturating_sub(1)))
        }
        None => schedule.cursor.filter(|_| state(schedule) == JobState::Active),
    };
    successors(first, |last| trigger.next_after(anchor, *last)).take(count).collect()
}

/// `GET /v1/jobs/{id}/ledger`. The past of a job that was removed is still there.
pub async fn ledger(
    State(app): State<App>,
    Name(name): Name,
    mut params: Params,
) -> Result<Json<List<LedgerView>>, ApiError> {
    let filter = LedgerFilter {
        verdict: params.read("verdict", params::word::<Verdict>),
        from: params.read("from", params::time),
        to: params.read("to", params::time),
    };
    let page = params.page();
    let tenant = params.finish()?;
    let Ok(job) = name.parse::<JobId>() else {
        return Err(no_such_job(&app, tenant, &name).await);
    };
    let key = JobKey { tenant: tenant.clone(), job };
    let found = app.context.store.ledger(&key, filter, page).await;
    let found = match found {
        Err(StoreError::NotFound(_)) => return Err(no_such_job(&app, tenant, &name).await),
        found => found?,
    };
    if found.items.is_empty() {
        find(&app, tenant, &name).await?;
    }
    let items = found.items.iter().map(LedgerView::of).collect();
    Ok(Json(List { items, next_cursor: found.next_cursor }))
}

/// `POST /v1/jobs/{id}/run`: makes a run outside the schedule. A paused job can be run; a job whose
/// plugin is missing has its run queued.
pub async fn run(
    State(app): State<App>,
    Name(name): Name,
    params: Params,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let tenant = params.finish()?;
    let args = fields.take("args").filter(|args| !args.is_null());
    fields.finish(&["args"])?;
    let schedule = find(&app, tenant.clone(), &name).await?;
    let job = usable(&app, &schedule)?;
    if let Some(args) = &args {
        check_args(args.to_string().len() as u64, &job)?;
    }
    let is_here = app.context.catalog.borrow().active(&job.plugin_key()).is_some();
    let now = app.context.clock.now();
    let new = NewRun {
        job: schedule.key.clone(),
        id: RunId::fresh(),
        cause: Cause::Manual,
        fire_time: now,
        not_before: None,
        args,
        spec: RunSpec::of(&job),
        reason: if is_here { reason::MANUAL } else { reason::NO_PLUGIN }.into(),
    };
    let run = match start(&app, new, now).await {
        Err(StoreError::NotFound(_)) => return Err(no_such_job(&app, tenant, &name).await),
        run => run?,
    };
    let place = format!("/v1/runs/{}", run.id);
    let answer = (StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(RunView::of(&run)));
    Ok(answer.into_response())
}

fn check_args(bytes: u64, job: &Job) -> Result<(), ApiError> {
    if bytes <= job.limits.args {
        return Ok(());
    }
    let most = show_size(job.limits.args);
    let message = format!("are {bytes} bytes of JSON, more than the job's `limits.args` = {most}");
    Err(ApiError::invalid(vec![Problem::new("args", message)]))
}

/// Makes the run; asks again with the same id when the store can't say whether it did.
async fn start(app: &App, new: NewRun, now: Timestamp) -> Result<Run, StoreError> {
    let mut repeats = 0;
    loop {
        match app.context.store.start(new.clone(), now).await {
            Ok(Started::Made(run) | Started::Exists(run)) => return Ok(run),
            Err(StoreError::Unknown(_)) if repeats < REPEATS => {
                repeats += 1;
                tokio::time::sleep(REPEAT_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn find(app: &App, tenant: TenantId, name: &str) -> Result<Schedule, ApiError> {
    if let Ok(job) = name.parse::<JobId>() {
        let key = JobKey { tenant: tenant.clone(), job };
        if let Some(schedule) = app.context.store.get(&key).await? {
            return Ok(schedule);
        }
    }
    Err(no_such_job(app, tenant, name).await)
}

/// The job as a value. A definition that this host can't read is not its reader's fault.
fn usable(app: &App, schedule: &Schedule) -> Result<Arc<Job>, ApiError> {
    app.context.jobs.get(schedule).map_err(|error| {
        ApiError::new(
            Kind::Unusable,
            format!("job `{}` can't be used by this host: {error}", schedule.key.job),
        )
    })
}

async fn no_such_job(app: &App, tenant: TenantId, name: &str) -> ApiError {
    let page = Page { limit: MAX_PAGE, cursor: None };
    let jobs = app.context.store.list(JobFilter { tenant: Some(tenant) }, page).await;
    let jobs = jobs.map(|jobs| jobs.items).unwrap_or_default();
    let names: Vec<&str> = jobs.iter().map(|schedule| schedule.key.job.as_str()).collect();
    let help = match nearest(name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "there is no job yet".to_owned(),
        None => "`GET /v1/jobs` lists what there is".to_owned(),
    };
    ApiError::new(Kind::NoSuchJob, format!("there is no job `{name}`; {help}"))
}
