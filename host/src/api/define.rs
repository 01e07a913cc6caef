//! Jobs made, replaced, changed and removed over REST, or by other jobs.
//!
//! A body is one layer of a job like a table of a file (`config::resolve`), and may grant nothing.
//! What comes of the fire times of a job that is replaced, `schedule::reconcile::asked` says.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::access::{By, Caller};
use super::author::Author;
use super::body::Fields;
use super::conditions::Conditions;
use super::error::{ApiError, Kind};
use super::jobs::{answer, find, no_such_job};
use super::params::{self, Name, Params};
use super::repeat::{MAX_ROUNDS, repeat};
use crate::audit::action::Action;
use crate::config::resolve::{Resolved, Wanted, resolve};
use crate::job::merge::change;
use crate::job::names::{JobId, TenantId};
use crate::job::{JobKey, Source, parse};
use crate::problem::Problem;
use crate::record::Schedule;
use crate::record::step::{Conflict, LiveRuns, NewSchedule, Put};
use crate::schedule::reconcile::Replacement;
use crate::schedule::reconcile::asked::{self, NoFire, is_declared};
use crate::store::error::StoreError;
use crate::table::Entries;
use crate::table::value::name;
use crate::time::Timestamp;

/// What to do when a job of this name is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Refuse.
    Error,
    /// Put the new one in its place.
    Replace,
    /// Leave it.
    Keep,
}

/// What becomes of the runs of a job that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Live {
    /// They go on.
    Keep,
    /// They are cancelled.
    Cancel,
}

/// What a request says about a job.
pub enum Said {
    /// All of it.
    Whole(Entries),
    /// Some keys; the others stay.
    Keys(Entries),
}

/// `POST /v1/jobs`: 201 when it is made; `?conflict=` says what to do when it is there.
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    mut params: Params,
    conditions: Conditions,
    fields: Fields,
) -> Result<Response, ApiError> {
    let on = params.read("conflict", params::word::<OnConflict>).unwrap_or(OnConflict::Error);
    let tenant = params.finish()?;
    let mut definition = fields.into_entries();
    let id = match definition.remove("id") {
        Some(id) => name::<JobId>(&id),
        None => Err("`id` is missing: name the job".to_owned()),
    };
    let job = id.map_err(|message| {
        let mut problems = vec![Problem::new("id", message)];
        problems.extend(wrong_besides(&app, &caller, &tenant, &definition));
        ApiError::invalid(problems)
    })?;
    let key = JobKey { tenant, job };
    put(&app, &caller, key, &conditions, on, Said::Whole(definition)).await.map(answer_to)
}

/// `PUT /v1/jobs/{id}`: 201 when it is made, 200 when it is replaced.
pub async fn replace(
    State(app): State<App>,
    caller: Caller,
    Name(id): Name,
    params: Params,
    conditions: Conditions,
    fields: Fields,
) -> Result<Response, ApiError> {
    let tenant = params.finish()?;
    let job: JobId = id.parse().map_err(|error: <JobId as std::str::FromStr>::Err| {
        ApiError::invalid(vec![Problem::new("id", error.to_string())])
    })?;
    let definition = without_id(fields, &job)?;
    let key = JobKey { tenant, job };
    let on = OnConflict::Replace;
    put(&app, &caller, key, &conditions, on, Said::Whole(definition)).await.map(answer_to)
}

/// `PATCH /v1/jobs/{id}`: some keys of the definition, all or nothing.
pub async fn patch(
    State(app): State<App>,
    caller: Caller,
    Name(id): Name,
    params: Params,
    conditions: Conditions,
    fields: Fields,
) -> Result<Response, ApiError> {
    let tenant = params.finish()?;
    let key = find(&app, tenant, &id).await?.key;
    let changes = without_id(fields, &key.job)?;
    let on = OnConflict::Replace;
    put(&app, &caller, key, &conditions, on, Said::Keys(changes)).await.map(answer_to)
}

/// `DELETE /v1/jobs/{id}`: 204. Its runs go on, or are cancelled with `?live=cancel`; its past
/// stays.
pub async fn remove(
    State(app): State<App>,
    caller: Caller,
    Name(id): Name,
    mut params: Params,
    conditions: Conditions,
) -> Result<StatusCode, ApiError> {
    let live = match params.read("live", params::word::<Live>) {
        Some(Live::Cancel) => LiveRuns::Cancel,
        Some(Live::Keep) | None => LiveRuns::Keep,
    };
    let tenant = params.finish()?;
    take_away(&app, &By::caller(&caller), &tenant, &id, &conditions, live).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a job that no file defines, again and again while others change it.
///
/// # Errors
///
/// Why it stays.
pub async fn take_away(
    app: &App,
    by: &By,
    tenant: &TenantId,
    id: &str,
    conditions: &Conditions,
    live: LiveRuns,
) -> Result<(), ApiError> {
    let context = &app.context;
    for _ in 0..MAX_ROUNDS {
        let schedule = find(app, tenant.clone(), id).await?;
        refuse_declared(&schedule)?;
        conditions.check(Some(schedule.version))?;
        let (key, version, now) = (&schedule.key, schedule.version, context.clock.now());
        let removed = repeat(|| context.store.remove(key, Some(version), live, now)).await;
        match removed {
            // Not there any more: this call's lost answer, or somebody else, removed it.
            Ok(true | false) => {
                let sides = [schedule.def.definition.get(), Value::Null];
                by.note(app, Action::JobRemoved, Some(tenant), &key.job, sides).await;
                return Ok(());
            }
            Err(StoreError::Conflict { .. }) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Err(busy(id))
}

/// The body without its `id`, which must be the path's.
fn without_id(fields: Fields, job: &JobId) -> Result<Entries, ApiError> {
    let mut definition = fields.into_entries();
    match definition.remove("id") {
        Some(id) if id != job.as_str() => {
            let message = format!("must be `{job}` as in the path, or left out");
            Err(ApiError::invalid(vec![Problem::new("id", message)]))
        }
        Some(_) | None => Ok(definition),
    }
}

/// A job that was made or replaced, or that stays as it is.
fn answer_to(done: Put) -> Response {
    match done {
        Put::Created(schedule) => answer(StatusCode::CREATED, &schedule),
        Put::Replaced(schedule) | Put::Kept(schedule) => answer(StatusCode::OK, &schedule),
    }
}

/// Makes or replaces the job as a client asks.
async fn put(
    app: &App,
    caller: &Caller,
    key: JobKey,
    conditions: &Conditions,
    on: OnConflict,
    said: Said,
) -> Result<Put, ApiError> {
    put_as(app, &Author::client(caller), key, conditions, on, said).await
}

/// Makes or replaces the job, again and again while others change it.
///
/// # Errors
///
/// All that is wrong with it, or why it stays as it is.
pub async fn put_as(
    app: &App,
    author: &Author,
    key: JobKey,
    conditions: &Conditions,
    on: OnConflict,
    said: Said,
) -> Result<Put, ApiError> {
    let store = &app.context.store;
    for _ in 0..MAX_ROUNDS {
        let now = app.context.clock.now();
        let there = store.get(&key).await?;
        if on == OnConflict::Replace {
            there.as_ref().map_or(Ok(()), refuse_declared)?;
        }
        conditions.check(there.as_ref().map(|schedule| schedule.version))?;
        let resolved = match (&said, &there) {
            (Said::Whole(definition), _) => resolved(app, author, &key, definition),
            (Said::Keys(changes), Some(schedule)) => {
                let before = match schedule.def.definition.get() {
                    Value::Object(entries) => entries,
                    _ => Entries::new(),
                };
                resolved(app, author, &key, &change(&before, changes))
            }
            (Said::Keys(_), None) => {
                return Err(no_such_job(app, key.tenant, key.job.as_str()).await);
            }
        };
        let resolved = resolved.map_err(ApiError::invalid)?;
        let before = there.as_ref().map_or(Value::Null, |there| there.def.definition.get());
        let done = match (there, on) {
            (None, _) => {
                let new = asked::create(&resolved, now).map_err(no_fire)?;
                repeat(|| store.put(new.clone(), Conflict::Fail, now)).await
            }
            (Some(schedule), OnConflict::Error) => return Err(exists(&schedule)),
            (Some(schedule), OnConflict::Keep) => Ok(Put::Kept(schedule)),
            (Some(schedule), OnConflict::Replace) if stands(&resolved, &schedule) => {
                Ok(Put::Kept(schedule))
            }
            (Some(schedule), OnConflict::Replace) => {
                let replacement = asked::replace(&resolved, &schedule, now).map_err(no_fire)?;
                take_place(app, replacement, now).await
            }
        };
        match done {
            Ok(done) => {
                let action = match &done {
                    Put::Created(_) => Action::JobCreated,
                    Put::Replaced(_) => Action::JobReplaced,
                    Put::Kept(_) => return Ok(done),
                };
                let sides = [before, resolved.definition];
                author.by.note(app, action, Some(&key.tenant), &key.job, sides).await;
                return Ok(done);
            }
            Err(StoreError::Conflict { .. } | StoreError::NotFound(_)) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Err(busy(key.job.as_str()))
}

/// Whether nothing would change: the same again is no new version.
fn stands(resolved: &Resolved, schedule: &Schedule) -> bool {
    schedule.source == resolved.source
        && schedule.parked.is_none()
        && schedule.def.digest == resolved.digest
}

/// Takes both steps of a replacement.
async fn take_place(app: &App, it: Replacement, now: Timestamp) -> Result<Put, StoreError> {
    let Replacement { first, schedule, mut expect }: Replacement = it;
    let store = &app.context.store;
    let key: &JobKey = &schedule.key;
    if let Some(first) = first {
        let from = Some(expect);
        expect = repeat(|| store.patch(key, from, first.clone(), now)).await?;
    }
    let new: &NewSchedule = &schedule;
    repeat(|| store.put(new.clone(), Conflict::ReplaceIf(expect), now)).await
}

/// The job that a definition stands for here, now; or all that is wrong with it.
fn resolved(
    app: &App,
    author: &Author,
    key: &JobKey,
    definition: &Entries,
) -> Result<Resolved, Vec<Problem>> {
    let catalog = app.context.catalog.borrow().clone();
    let plugin = definition.get("plugin").and_then(Value::as_str).unwrap_or_default();
    let plugins: Vec<_> = catalog
        .entries()
        .filter(|entry| entry.key.tenant == key.tenant && entry.key.plugin.as_str() == plugin)
        .map(crate::catalog::Entry::carried)
        .collect();
    let wanted = Wanted {
        key: key.clone(),
        source: author.source,
        definition,
        sidecar: None,
        origin: author.origin.clone(),
        config_version: 0,
        path: String::new(),
    };
    let config = Arc::clone(&app.context.config.borrow());
    match resolve(&config, wanted, &plugins) {
        // A file may be ahead of its plugin; whoever asks is there to be told.
        Ok(resolved) if !resolved.remarks.is_empty() => Err(resolved.remarks),
        Ok(resolved) => match author.ungranted(&resolved.job.capabilities) {
            problems if problems.is_empty() => Ok(resolved),
            problems => Err(problems),
        },
        Err(mut problems) => {
            for problem in problems.iter_mut().filter(|it| it.message == parse::NO_PLUGIN) {
                "plugin".clone_into(&mut problem.path);
            }
            Err(problems)
        }
    }
}

/// All that is wrong with a body besides its `id`.
fn wrong_besides(
    app: &App,
    caller: &Caller,
    tenant: &TenantId,
    definition: &Entries,
) -> Vec<Problem> {
    let Ok(job) = "nameless".parse() else { return Vec::new() };
    let key = JobKey { tenant: tenant.clone(), job };
    resolved(app, &Author::client(caller), &key, definition).err().unwrap_or_default()
}

fn no_fire(why: NoFire) -> ApiError {
    let message = match why {
        NoFire::Exhausted => {
            "has no fire time left: its date or its `end_date` has passed, or has a verdict \
             already; give a later one, or no trigger for a job that runs when asked"
                .to_owned()
        }
        NoFire::GaveUp(gave_up) => gave_up.to_string(),
    };
    ApiError::invalid(vec![Problem::new("trigger", message)])
}

fn exists(schedule: &Schedule) -> ApiError {
    let detail = format!(
        "there is a job `{}` already; ask with `?conflict=replace` to put this one in its place, \
         or with `?conflict=keep` to leave it",
        schedule.key.job
    );
    ApiError::new(Kind::JobExists, detail)
}

fn refuse_declared(schedule: &Schedule) -> Result<(), ApiError> {
    if !is_declared(schedule) {
        return Ok(());
    }
    let origin = &schedule.def.origin;
    let job = &schedule.key.job;
    let detail = match schedule.source {
        Source::Plugin => format!(
            "job `{job}` is defined by {origin}; define it in `host.toml` to change it, or pause it"
        ),
        Source::File | Source::Sidecar | Source::Api | Source::Guest => format!(
            "job `{job}` is defined in `{origin}`; change it there, or pause, resume and run it here"
        ),
    };
    Err(ApiError::new(Kind::ManagedByFile, detail))
}

/// Others were faster too often.
pub fn busy(job: &str) -> ApiError {
    let detail = format!("others change job `{job}` at the same time; read it and try again");
    ApiError::new(Kind::Changed, detail)
}
