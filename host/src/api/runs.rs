//! Runs: listed, shown, waited for, cancelled.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::App;
use super::access::{By, Caller};
use super::body::Fields;
use super::error::{ApiError, Kind};
use super::params::{self, Name, Params};
use super::server::stopped;
use super::view::List;
use super::view::run::RunView;
use crate::audit::action::Action;
use crate::job::names::TenantId;
use crate::record::query::RunFilter;
use crate::record::step::{CancelReply, Change};
use crate::run::{Cause, Run, RunKey, RunState, Verdict};
use crate::store::error::StoreError;

/// The longest that one request waits for a run to end.
pub const MAX_WAIT: Duration = Duration::from_secs(60);
/// How often a run is read again without news: news may be missed.
const POLL: Duration = Duration::from_secs(1);

/// `GET /v1/runs`, newest first.
pub async fn list(
    State(app): State<App>,
    mut params: Params,
) -> Result<Json<List<RunView>>, ApiError> {
    let filter = RunFilter {
        tenant: None,
        job: params.read("job", params::name),
        states: params.read("state", states).unwrap_or_default(),
        verdict: params.read("verdict", params::word::<Verdict>),
        cause: params.read("cause", params::word::<Cause>),
        from: params.read("from", params::time),
        to: params.read("to", params::time),
    };
    let page = params.page();
    let filter = RunFilter { tenant: Some(params.finish()?), ..filter };
    let found = app.context.store.runs(filter, page).await?;
    let items = found.items.iter().map(RunView::of).collect();
    Ok(Json(List { items, next_cursor: found.next_cursor }))
}

/// One state, or several with commas.
fn states(text: &str) -> Result<Vec<RunState>, String> {
    text.split(',').map(params::word::<RunState>).collect()
}

/// `GET /v1/runs/{id}`: with `wait` not before the run is done, or the time is up.
pub async fn show(
    State(app): State<App>,
    Name(name): Name,
    mut params: Params,
) -> Result<Json<RunView>, ApiError> {
    let wait = params.read("wait", |text| params::duration(text, MAX_WAIT));
    let key = key(params.finish()?, &name)?;
    let run = settled(&app, &key, wait.unwrap_or_default()).await?;
    Ok(Json(RunView::of(&run)))
}

/// `POST /v1/runs/{id}/cancel`: 200 when it is over, 202 when its host has been told.
pub async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Name(name): Name,
    params: Params,
    fields: Fields,
) -> Result<Response, ApiError> {
    let key = key(params.finish()?, &name)?;
    fields.finish()?;
    let context = &app.context;
    let before = find(&app, &key).await?;
    let by = By::caller(&caller);
    let reply = context.store.cancel(&key, "asked for over REST", context.clock.now()).await;
    let status = match reply {
        Ok(CancelReply::Ended) => StatusCode::OK,
        Ok(CancelReply::Asked) => StatusCode::ACCEPTED,
        Ok(CancelReply::AlreadyDone) => {
            let detail = format!("run `{}` is over; there is nothing to cancel", key.run);
            return Err(ApiError::new(Kind::AlreadyDone, detail));
        }
        Err(StoreError::NotFound(_)) => return Err(no_such_run(&name)),
        Err(error) => return Err(error.into()),
    };
    let run = find(&app, &key).await?;
    let sides = [&before, &run].map(|run| json!({"job": run.job, "state": run.state}));
    by.note(&app, Action::RunCancelled, Some(&key.tenant), key.run, sides).await;
    Ok((status, Json(RunView::of(&run))).into_response())
}

/// The run's full name.
pub fn key(tenant: TenantId, name: &str) -> Result<RunKey, ApiError> {
    match name.parse() {
        Ok(run) => Ok(RunKey { tenant, run }),
        Err(error) => Err(ApiError::new(Kind::NoSuchRun, error)),
    }
}

/// The run, if it is known.
pub async fn find(app: &App, key: &RunKey) -> Result<Run, ApiError> {
    let run = app.context.store.run(key).await?;
    run.ok_or_else(|| no_such_run(&key.run.to_string()))
}

fn no_such_run(name: &str) -> ApiError {
    let detail = format!("there is no run `{name}`; `GET /v1/runs` lists what there is");
    ApiError::new(Kind::NoSuchRun, detail)
}

/// The run once it is done, or as it is when `wait` is over or the host shuts down.
async fn settled(app: &App, key: &RunKey, wait: Duration) -> Result<Run, ApiError> {
    let mut changes = app.context.store.feed();
    let mut stop = app.stop.clone();
    let deadline = Instant::now() + wait;
    loop {
        let run = find(app, key).await?;
        let now = Instant::now();
        if run.state == RunState::Done || now >= deadline || *stop.borrow() {
            return Ok(run);
        }
        tokio::select! {
            () = news(&mut changes, key) => (),
            () = stopped(&mut stop) => (),
            () = tokio::time::sleep_until(deadline.min(now + POLL)) => (),
        }
    }
}

/// Waits until something may have happened to the run.
pub async fn news(changes: &mut broadcast::Receiver<Change>, key: &RunKey) {
    use broadcast::error::RecvError;
    loop {
        match changes.recv().await {
            Ok(Change::Run(changed)) if changed == *key => return,
            Ok(
                Change::Run(_)
                | Change::Job(_)
                | Change::Fired(_)
                | Change::Queued
                | Change::Cancel(_),
            ) => (),
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
