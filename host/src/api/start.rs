//! A run that somebody asks for: now, for later, or for a fire time of the past.
//!
//! None of them moves a job's grid or gives a fire time its verdict (rule A17).

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::App;
use super::access::{By, Caller};
use super::body::Fields;
use super::conditions::Conditions;
use super::error::ApiError;
use super::jobs::{find, no_such_job, usable};
use super::params::{Name, Params};
use super::repeat::repeat;
use super::view::run::RunView;
use crate::audit::action::Action;
use crate::job::{Job, Policy};
use crate::problem::Problem;
use crate::record::Schedule;
use crate::record::step::{NewRun, RunSpec, Started};
use crate::run::id::RunId;
use crate::run::{Cause, Run, StartBy, reason};
use crate::schedule::waiting::{expired_at, expires, plugin_start_by};
use crate::store::error::StoreError;
use crate::table::unit::show_size;
use crate::time::Timestamp;

/// What is asked for besides the job.
pub struct Asked {
    /// The id that it will have.
    pub id: RunId,
    /// Why.
    pub cause: Cause,
    /// The instant that is asked for.
    pub fire_time: Timestamp,
    /// Its earliest start; `None`: at once.
    pub not_before: Option<Timestamp>,
    /// Given up when it has not started by then; `None`: as the job says.
    pub expires: Option<Timestamp>,
    /// Instead of the job's own.
    pub args: Option<Value>,
}

/// `POST /v1/jobs/{id}/run`: makes a run outside the schedule. A paused job can be run; a job whose
/// plugin is missing has its run queued.
pub async fn now(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    params: Params,
    conditions: Conditions,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let tenant = params.finish()?;
    let args = fields.read("args", any);
    fields.finish()?;
    let schedule = find(&app, tenant, &name).await?;
    conditions.check(Some(schedule.version))?;
    let job = usable(&app, &schedule)?;
    let now = app.context.clock.now();
    let asked = Asked {
        id: RunId::fresh(),
        cause: Cause::Manual,
        fire_time: now,
        not_before: None,
        expires: None,
        args,
    };
    check_args(&asked, &job)?;
    match start(&app, &schedule, &job, asked, now).await? {
        Started::Made(run) | Started::Exists(run) => {
            let after = json!({"cause": run.cause, "run": run.id});
            let sides = [Value::Null, after];
            let (by, key) = (By::caller(&caller), &schedule.key);
            by.note(&app, Action::RunAsked, Some(&key.tenant), &key.job, sides).await;
            Ok(one(StatusCode::ACCEPTED, &run))
        }
    }
}

/// Makes the run; the same again when the store can't say whether it did.
pub async fn start(
    app: &App,
    schedule: &Schedule,
    job: &Job,
    asked: Asked,
    now: Timestamp,
) -> Result<Started, ApiError> {
    let is_here = app.context.fleet.served().serves(&job.queue, &job.plugin_key());
    let new = NewRun {
        job: schedule.key.clone(),
        id: asked.id,
        cause: asked.cause,
        fire_time: asked.fire_time,
        not_before: asked.not_before,
        start_by: start_by(&job.policy, &asked, is_here, now),
        args: asked.args,
        spec: RunSpec::of(job),
        reason: if is_here { reason::MANUAL } else { reason::NO_PLUGIN }.into(),
    };
    match repeat(|| app.context.store.start(new.clone(), now)).await {
        Ok(started) => Ok(started),
        Err(StoreError::NotFound(_)) => {
            let key = &schedule.key;
            Err(no_such_job(app, key.tenant.clone(), key.job.as_str()).await)
        }
        Err(error) => Err(error.into()),
    }
}

/// By when the run must have started: `expires` counts from its earliest start, and so does the
/// wait for a plugin. A grace is for fire times.
fn start_by(policy: &Policy, asked: &Asked, is_here: bool, now: Timestamp) -> Option<StartBy> {
    let start = asked.not_before.map_or(now, |start| start.max(now));
    let given_up = asked.expires.map(expired_at).or_else(|| expires(policy, start));
    let patient = Policy { misfire_grace_time: None, expires: None, ..policy.clone() };
    let no_plugin = (!is_here).then(|| plugin_start_by(&patient, start, start));
    match (given_up, no_plugin) {
        (Some(given_up), Some(no_plugin)) if no_plugin.at < given_up.at => Some(no_plugin),
        (Some(given_up), _) => Some(given_up),
        (None, no_plugin) => no_plugin,
    }
}

/// A run as an answer, with its place.
pub fn one(status: StatusCode, run: &Run) -> Response {
    let place = [(header::LOCATION, format!("/v1/runs/{}", run.id))];
    (status, place, Json(RunView::of(run))).into_response()
}

/// Holds the args to what the job takes.
pub fn check_args(asked: &Asked, job: &Job) -> Result<(), ApiError> {
    let bytes = asked.args.as_ref().map_or(0, |args| args.to_string().len() as u64);
    if bytes <= job.limits.args {
        return Ok(());
    }
    let most = show_size(job.limits.args);
    let message = format!("are {bytes} bytes of JSON, more than the job's `limits.args` = {most}");
    Err(ApiError::invalid(vec![Problem::new("args", message)]))
}

/// Any value at all.
pub fn any(value: &Value) -> Result<Value, String> {
    Ok(value.clone())
}
