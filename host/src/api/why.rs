//! `GET /v1/jobs/{id}/why?at=T`: gathers what is known about one instant.

use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::App;
use super::error::ApiError;
use super::jobs::{find, usable};
use super::params::{self, Name, Params};
use super::pause;
use super::view::why::{Known, WhyView};
use crate::problem::Problem;
use crate::record::Schedule;
use crate::record::query::{LedgerFilter, LedgerItem, Page, RunFilter};
use crate::run::{Cause, Run, RunKey, RunState};
use crate::schedule::served::Others;
use crate::schedule::why::Facts;
use crate::store::run_id_of_fire;
use crate::time::Timestamp;

/// Runs that somebody asked for, at most.
const MAX_ASKED: usize = 20;
/// The smallest step between two instants.
const MICRO: Duration = Duration::from_micros(1);

/// What became of `at`, and why.
pub async fn why(
    State(app): State<App>,
    Name(name): Name,
    mut params: Params,
) -> Result<Json<WhyView>, ApiError> {
    let at = params.read("at", params::time);
    let tenant = params.finish()?;
    let Some(at) = at else {
        let message = "is missing: give the instant that you ask about";
        return Err(ApiError::invalid(vec![Problem::new("at", message)]));
    };
    let context = &app.context;
    let schedule = find(&app, tenant, &name).await?;
    let job = usable(&app, &schedule)?;
    let run = run(&app, &schedule, run_id_of_fire(&schedule.key, schedule.uid, at)).await?;
    let entry = entry(&app, &schedule, at).await?;
    let into = match entry.as_ref().and_then(|entry| entry.into) {
        Some(into) => self::run(&app, &schedule, into).await?,
        None => None,
    };
    let older = LedgerFilter { verdict: None, from: None, to: Some(at) };
    let older = context.store.ledger(&schedule.key, older, page(1)).await?;
    let filter = RunFilter {
        tenant: Some(schedule.key.tenant.clone()),
        job: Some(schedule.key.job.clone()),
        from: Some(at),
        to: Some(at.after(MICRO)),
        ..RunFilter::default()
    };
    let mut asked_for = context.store.runs(filter, page(MAX_ASKED)).await?.items;
    asked_for.retain(|run| run.cause != Cause::Schedule);
    let scheduler_pause = match context.status.paused() {
        Some(pause) => Some(pause),
        // Without a host the document says it.
        None => pause::kept(context.store.as_ref()).await?,
    };
    let facts = Facts {
        schedule: &schedule,
        trigger: job.trigger.as_ref(),
        entry: entry.as_ref(),
        older: !older.items.is_empty(),
        run: run.as_ref(),
        scheduler_paused: scheduler_pause.is_some(),
    };
    let served = match &run {
        Some(run) if run.state == RunState::Queued => served(&app, run).await?,
        Some(_) | None => None,
    };
    Ok(Json(WhyView::of(&Known {
        at,
        now: context.clock.now(),
        job: &job,
        facts,
        into: into.as_ref(),
        served,
        scheduler_pause: scheduler_pause.as_ref(),
        asked_for: &asked_for,
    })))
}

/// Whether one of the hosts that share the store takes runs like this one.
async fn served(app: &App, run: &Run) -> Result<Option<bool>, ApiError> {
    if !app.context.store.caps().shared {
        return Ok(None);
    }
    let hosts = app.context.store.hosts().await?;
    Ok(Some(Others::of(&hosts, None).serve(&run.queue, &run.plugin_key())))
}

async fn run(
    app: &App,
    schedule: &Schedule,
    run: crate::run::id::RunId,
) -> Result<Option<Run>, ApiError> {
    let key = RunKey { tenant: schedule.key.tenant.clone(), run };
    Ok(app.context.store.run(&key).await?)
}

/// The ledger's entry for the instant: its own, else a range that reaches over it.
async fn entry(
    app: &App,
    schedule: &Schedule,
    at: Timestamp,
) -> Result<Option<LedgerItem>, ApiError> {
    let filter = LedgerFilter { verdict: None, from: Some(at), to: Some(at.after(MICRO)) };
    let found = app.context.store.ledger(&schedule.key, filter, page(MAX_ASKED)).await?.items;
    let own = found.iter().position(|item| item.first == at && item.last == at);
    let index = own.or_else(|| found.iter().position(|item| item.first <= at && at <= item.last));
    Ok(index.and_then(|index| found.into_iter().nth(index)))
}

fn page(limit: usize) -> Page {
    Page { limit, cursor: None }
}
