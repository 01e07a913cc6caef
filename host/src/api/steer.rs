//! Pausing and resuming, of one job and of the whole scheduler.
//!
//! What a pause means for the fire times that pass, `schedule::pause` says. A paused scheduler looks
//! at none: when it goes on it is as if the host had been down. Runs that somebody asks for are
//! executed all the same.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::App;
use super::access::{By, Caller};
use super::body::Fields;
use super::conditions::Conditions;
use super::error::ApiError;
use super::jobs::{answer, find, usable};
use super::moment;
use super::params::{Name, Params};
use super::pause::keep;
use super::repeat::{MAX_ROUNDS, repeat};
use super::view::scheduler::SchedulerView;
use crate::audit::action::Action;
use crate::job::names::TenantId;
use crate::record::step::Patch;
use crate::record::{Pause, Schedule};
use crate::schedule::pause::{CatchUp, resume};
use crate::status::SchedulerPause;
use crate::store::error::StoreError;
use crate::table::value::flag;
use crate::time::Timestamp;

/// `POST /v1/jobs/{id}/pause`. A job that is paused stays so; `why` and `until` replace what was
/// said before.
pub async fn pause_job(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    params: Params,
    conditions: Conditions,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let (by, tenant) = (By::caller(&caller), params.finish()?);
    let now = app.context.clock.now();
    let why = fields.read("why", moment::why);
    let until = fields.read("until", |value| later(value, now));
    fields.finish()?;
    let pause = |schedule: &Schedule| {
        if schedule.pause.is_some() && why.is_none() && until.is_none() {
            return None;
        }
        Some(Pause { by: by.of_pause(), why: why.clone().unwrap_or_default(), until })
    };
    let schedule = pause_as(&app, &by, tenant, &name, &conditions, pause).await?;
    Ok(answer(StatusCode::OK, &schedule))
}

/// Pauses a job as `decide` says of it.
///
/// # Errors
///
/// Why it is not paused.
pub async fn pause_as(
    app: &App,
    by: &By,
    tenant: TenantId,
    name: &str,
    conditions: &Conditions,
    decide: impl Fn(&Schedule) -> Option<Pause>,
) -> Result<Schedule, ApiError> {
    let pause = |schedule: &Schedule, _| {
        let Some(pause) = decide(schedule) else { return Ok(None) };
        let patch = Patch { pause: Some(Some(pause.clone())), ..Patch::default() };
        Ok((schedule.pause != Some(pause)).then_some(patch))
    };
    steer(app, by, Action::JobPaused, tenant, name, conditions, pause).await
}

/// `POST /v1/jobs/{id}/resume`. Nothing happens to a job that is not paused.
pub async fn resume_job(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    params: Params,
    conditions: Conditions,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let tenant = params.finish()?;
    let catch_up = match fields.read("catch_up", flag) {
        Some(true) => CatchUp::Yes,
        Some(false) | None => CatchUp::No,
    };
    fields.finish()?;
    let schedule =
        resume_as(&app, &By::caller(&caller), tenant, &name, &conditions, catch_up).await?;
    Ok(answer(StatusCode::OK, &schedule))
}

/// Lets a job go on, if it is paused.
///
/// # Errors
///
/// Why it does not go on.
pub async fn resume_as(
    app: &App,
    by: &By,
    tenant: TenantId,
    name: &str,
    conditions: &Conditions,
    catch_up: CatchUp,
) -> Result<Schedule, ApiError> {
    let go_on = |schedule: &Schedule, now| {
        if schedule.pause.is_none() {
            return Ok(None);
        }
        let job = usable(app, schedule)?;
        Ok(Some(resume(schedule, &job, catch_up, now)))
    };
    steer(app, by, Action::JobResumed, tenant, name, conditions, go_on).await
}

/// `POST /v1/scheduler/pause`.
pub async fn pause_scheduler(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    mut fields: Fields,
) -> Result<Json<SchedulerView>, ApiError> {
    params.finish()?;
    let why = fields.read("why", moment::why);
    fields.finish()?;
    let context = &app.context;
    let (by, before) = (By::caller(&caller), context.status.paused());
    let was = json!(before);
    let since = before.as_ref().map_or_else(|| context.clock.now(), |pause| pause.since);
    let pause = match (before, why) {
        (Some(pause), None) => pause,
        (_, why) => SchedulerPause { by: by.of_pause(), why: why.unwrap_or_default(), since },
    };
    keep(context.store.as_ref(), Some(&pause)).await?;
    if context.status.paused().is_none() {
        tracing::warn!(why = %pause.why, "the scheduler is paused: what comes due waits");
    }
    context.status.set_paused(Some(pause.clone()));
    let is = json!(pause);
    if was != is {
        by.note(&app, Action::SchedulerPaused, None, "scheduler", [was, is]).await;
    }
    Ok(Json(SchedulerView { paused: Some(pause) }))
}

/// `POST /v1/scheduler/resume`: what came due meanwhile is judged as after downtime.
pub async fn resume_scheduler(
    State(app): State<App>,
    caller: Caller,
    params: Params,
    fields: Fields,
) -> Result<Json<SchedulerView>, ApiError> {
    params.finish()?;
    fields.finish()?;
    let context = &app.context;
    keep(context.store.as_ref(), None).await?;
    let before = context.status.paused();
    context.status.set_paused(None);
    if before.is_some() {
        tracing::info!("the scheduler goes on");
        let (by, sides) = (By::caller(&caller), [json!(before), Value::Null]);
        by.note(&app, Action::SchedulerResumed, None, "scheduler", sides).await;
    }
    Ok(Json(SchedulerView { paused: None }))
}

/// Patches the job as `decide` says, again and again while others change it; not when there is
/// nothing to do.
async fn steer(
    app: &App,
    by: &By,
    action: Action,
    tenant: TenantId,
    name: &str,
    conditions: &Conditions,
    decide: impl Fn(&Schedule, Timestamp) -> Result<Option<Patch>, ApiError>,
) -> Result<Schedule, ApiError> {
    let store = &app.context.store;
    for _ in 0..MAX_ROUNDS {
        let now = app.context.clock.now();
        let schedule = find(app, tenant.clone(), name).await?;
        conditions.check(Some(schedule.version))?;
        let Some(patch) = decide(&schedule, now)? else {
            return Ok(schedule);
        };
        let (key, version) = (&schedule.key, Some(schedule.version));
        match repeat(|| store.patch(key, version, patch.clone(), now)).await {
            Ok(_) => {
                let after = find(app, tenant, name).await?;
                let sides = [json!(schedule.pause), json!(after.pause)];
                by.note(app, action, Some(&key.tenant), &key.job, sides).await;
                return Ok(after);
            }
            Err(StoreError::Conflict { .. } | StoreError::NotFound(_)) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Err(super::define::busy(name))
}

/// An instant that is still to come.
fn later(value: &Value, now: Timestamp) -> Result<Timestamp, String> {
    match moment::instant(value, now)? {
        until if until <= now => Err(format!("{until} has passed; give a later time")),
        until => Ok(until),
    }
}
