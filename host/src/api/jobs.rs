//! Jobs: listed, shown, what they will do and did.

use std::iter::successors;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::App;
use super::error::{ApiError, Kind};
use super::params::{self, Name, Params};
use super::view::List;
use super::view::explain::ExplainView;
use super::view::job::JobView;
use super::view::ledger::LedgerView;
use crate::job::names::{JobId, TenantId};
use crate::job::{Job, JobKey};
use crate::problem::nearest;
use crate::record::Schedule;
use crate::record::query::{JobFilter, LedgerFilter, MAX_PAGE, Page};
use crate::reloader::fleet::otherwise;
use crate::run::Verdict;
use crate::schedule::reconcile::{JobState, state};
use crate::store::error::StoreError;
use crate::time::Timestamp;
use crate::trigger::Trigger;

/// Fire times in one answer when nobody says.
const DEFAULT_NEXT: usize = 10;
/// Fire times in one answer at most.
const MAX_NEXT: usize = 1_000;

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
    Ok(answer(StatusCode::OK, &schedule))
}

/// A job as an answer: with its version as tag, and with its place when it is new.
pub fn answer(status: StatusCode, schedule: &Schedule) -> Response {
    let tag = [(header::ETAG, format!("\"{}\"", schedule.version))];
    let place = (status == StatusCode::CREATED)
        .then(|| [(header::LOCATION, format!("/v1/jobs/{}", schedule.key.job))]);
    (status, tag, place, Json(JobView::of(schedule))).into_response()
}

/// `GET /v1/jobs/{id}/explain`: every value in force and where it came from.
pub async fn explain(
    State(app): State<App>,
    Name(name): Name,
    params: Params,
) -> Result<Json<ExplainView>, ApiError> {
    let schedule = find(&app, params.finish()?, &name).await?;
    let store = app.context.store.as_ref();
    let otherwise = match store.caps().shared {
        true => otherwise(store, &schedule).await?,
        false => Vec::new(),
    };
    Ok(Json(ExplainView::of(&schedule, otherwise)))
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

/// The job of this name.
pub async fn find(app: &App, tenant: TenantId, name: &str) -> Result<Schedule, ApiError> {
    if let Ok(job) = name.parse::<JobId>() {
        let key = JobKey { tenant: tenant.clone(), job };
        if let Some(schedule) = app.context.store.get(&key).await? {
            return Ok(schedule);
        }
    }
    Err(no_such_job(app, tenant, name).await)
}

/// The job as a value. A definition that this host can't read is not its reader's fault.
pub fn usable(app: &App, schedule: &Schedule) -> Result<Job, ApiError> {
    app.context.jobs.get(schedule).map_err(|error| {
        ApiError::new(
            Kind::Unusable,
            format!("job `{}` can't be used by this host: {error}", schedule.key.job),
        )
    })
}

/// Why there is no job of this name, with the nearest.
pub async fn no_such_job(app: &App, tenant: TenantId, name: &str) -> ApiError {
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
