//! What jobs ask for of the jobs of their tenant: the same as REST does, by the same rules.
//!
//! A job defined by a file or a plugin is read-only here too. What a job makes has the source
//! `guest` and stays within what its tenant may give away. However much jobs ask for, so much of it
//! is there at once: [`MAX_LIVE`] runs of one job, [`MAX_JOBS`] jobs of one tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, watch};

use super::access::Access;
use super::access::By;
use super::author::Author;
use super::conditions::Conditions;
use super::define::{OnConflict, Said, put_as, take_away};
use super::enqueue::{MAX_KEY, Queued, enqueue};
use super::error::{ApiError, Kind};
use super::jobs::{find, usable};
use super::steer::{pause_as, resume_as};
use super::tenant_define::draining;
use super::{App, Context};
use crate::engine::services::{JobCall, Order};
use crate::job::names::{JobId, TenantId};
use crate::job::{JobKey, Source};
use crate::problem::Problem;
use crate::record::query::{JobFilter, MAX_PAGE, Page, RunFilter};
use crate::record::step::{LiveRuns, Started};
use crate::record::{Pause, Schedule};
use crate::run::RunState;
use crate::schedule::pause::CatchUp;
use crate::table::value::{name, shown};

/// Runs of one job that may wait or run when another run asks for one more.
pub const MAX_LIVE: usize = 1_000;
/// Jobs that a tenant may have when a job asks for one more.
pub const MAX_JOBS: usize = 10_000;
/// The longest delay of a run.
const MAX_DELAY: Duration = Duration::from_secs(366 * 86_400);
/// Orders that are carried out at once.
const AT_ONCE: usize = 4;
/// Counts that are remembered at most; beyond that all are counted anew.
const MAX_COUNTED: usize = 10_000;

/// How much room was left, so that not each order counts all there is.
#[derive(Default)]
struct Room {
    alone: tokio::sync::Mutex<()>,
    places: Mutex<Places>,
}

/// By tenant, or by tenant and job.
#[derive(Default)]
struct Places {
    /// Room that may be given out before all is counted again.
    left: HashMap<String, usize>,
    /// What is being made.
    under_way: HashMap<String, usize>,
}

/// Room for something that is being made, until this is dropped.
struct Taken<'a> {
    room: &'a Room,
    place: String,
}

/// Carries out what runs ask for, until nobody can ask any more.
pub async fn serve(context: Context, mut orders: mpsc::Receiver<Order>) {
    // The sender is gone at once: nothing here waits for news.
    let stop = watch::Sender::new(true).subscribe();
    let app = App { context: Arc::new(context), stop };
    let (room, turns) = (Arc::new(Room::default()), Arc::new(Semaphore::new(AT_ONCE)));
    while let Some(order) = orders.recv().await {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        let (app, room) = (app.clone(), Arc::clone(&room));
        tokio::spawn(async move {
            // Whoever is gone learns nothing of it, so it is left undone.
            if !order.answer.is_closed() {
                let done = carry_out(&app, &room, &order.by, order.call).await;
                // Nobody may be left to hear it.
                let _ = order.answer.send(done.map_err(|error| error.detail().to_owned()));
            }
            drop(turn);
        });
    }
}

/// Answers the id of a run, or nothing.
async fn carry_out(app: &App, room: &Room, by: &JobKey, call: JobCall) -> Result<String, ApiError> {
    let (tenant, always) = (by.tenant.clone(), Conditions::default());
    let is_draining = app.context.config.borrow().is_draining(&tenant);
    if is_draining && !matches!(call, JobCall::Remove(_)) {
        return Err(draining(&tenant));
    }
    let as_job = By::job(&by.job);
    match call {
        JobCall::Enqueue { job, args, delay, idempotency_key } => {
            let schedule = find(app, tenant, &job).await?;
            let queued = queued(app, &args, delay, idempotency_key)?;
            let job = usable(app, &schedule)?;
            let _taken = room.for_a_run(app, &schedule).await?;
            let now = app.context.clock.now();
            let (Started::Made(run) | Started::Exists(run)) =
                enqueue(app, &schedule, &job, queued, now).await?;
            return Ok(run.id.to_string());
        }
        JobCall::Put(definition) => put(app, room, by, &definition).await?,
        JobCall::Pause(job) => {
            let pause = |schedule: &Schedule| {
                let by = as_job.who.clone();
                let pause = Pause { by, why: String::new(), until: None };
                schedule.pause.is_none().then_some(pause)
            };
            pause_as(app, &as_job, tenant, &job, &always, pause).await?;
        }
        JobCall::Resume(job) => {
            resume_as(app, &as_job, tenant, &job, &always, CatchUp::No).await?;
        }
        JobCall::Remove(job) => {
            take_away(app, &as_job, &tenant, &job, &always, LiveRuns::Keep).await?;
        }
    }
    Ok(String::new())
}

/// What is asked for of a run, checked.
fn queued(app: &App, args: &str, delay: Duration, key: Option<String>) -> Result<Queued, ApiError> {
    let mut problems = Vec::new();
    let args = match serde_json::from_str(args) {
        Ok(Value::Null) => None,
        Ok(args) => Some(args),
        Err(error) => {
            problems.push(Problem::new("args", format!("are not JSON: {error}; `null` is none")));
            None
        }
    };
    if MAX_DELAY < delay {
        problems.push(Problem::new("delay_ms", format!("must be {MAX_DELAY:?} at most")));
    }
    if key.as_ref().is_some_and(|key| MAX_KEY < key.len()) {
        let message = format!("must be {MAX_KEY} bytes at most");
        problems.push(Problem::new("idempotency_key", message));
    }
    if !problems.is_empty() {
        return Err(ApiError::invalid(problems));
    }
    let not_before = (!delay.is_zero()).then(|| app.context.clock.now().after(delay));
    Ok(Queued { key, not_before, expires: None, args })
}

/// Whether somebody with a name stands behind a job and behind what it runs: with tokens whoever made it,
/// without them whoever writes the host's files.
fn is_vouched_for(app: &App, schedule: &Schedule) -> bool {
    let has_tokens = matches!(app.context.access, Access::Tokens { .. });
    let by_file = matches!(schedule.source, Source::File | Source::Sidecar | Source::Plugin);
    let Ok(job) = app.context.jobs.get(schedule) else { return false };
    let catalog = app.context.catalog.borrow();
    let versions = catalog.get(&job.plugin_key()).and_then(|entry| entry.versions.as_ref());
    let is_unnamed = versions.is_some_and(|versions| versions.kept.iter().any(|it| it.unnamed));
    (has_tokens || by_file) && !is_unnamed
}

/// Makes or replaces a job, as `PUT` does; its `id` stands in the definition.
async fn put(app: &App, room: &Room, by: &JobKey, definition: &str) -> Result<(), ApiError> {
    let wrong = |path: &str, message: String| ApiError::invalid(vec![Problem::new(path, message)]);
    let mut definition = match serde_json::from_str(definition) {
        Ok(Value::Object(definition)) => definition,
        Ok(other) => {
            let message = format!("the definition must be a JSON object, not {}", shown(&other));
            return Err(wrong("", message));
        }
        Err(error) => return Err(wrong("", format!("the definition is not JSON: {error}"))),
    };
    let id = match definition.remove("id") {
        Some(id) => name::<JobId>(&id),
        None => Err("`id` is missing: name the job".to_owned()),
    };
    let job = id.map_err(|message| wrong("id", message))?;
    let key = JobKey { tenant: by.tenant.clone(), job };
    let _taken = match app.context.store.get(&key).await? {
        None => Some(room.for_a_job(app, &key.tenant).await?),
        Some(there) if there.source == Source::Api => {
            let detail = format!(
                "job `{}` was made over REST; jobs replace only what jobs have made, so take \
                 another `id`",
                key.job
            );
            return Err(ApiError::new(Kind::JobExists, detail));
        }
        // What a file or a plugin defines is refused below.
        Some(_) => None,
    };
    let asking = app.context.store.get(by).await?;
    let author = Author::job(&by.job, asking.is_some_and(|it| is_vouched_for(app, &it)));
    let said = Said::Whole(definition);
    put_as(app, &author, key, &Conditions::default(), OnConflict::Replace, said).await.map(drop)
}

impl Room {
    /// Takes the room for one run of a job.
    async fn for_a_run(&self, app: &App, schedule: &Schedule) -> Result<Taken<'_>, ApiError> {
        let JobKey { tenant, job } = &schedule.key;
        let count = async {
            let filter = RunFilter {
                tenant: Some(tenant.clone()),
                job: Some(job.clone()),
                states: vec![RunState::Queued, RunState::Running, RunState::Retrying],
                ..RunFilter::default()
            };
            let page = Page { limit: MAX_LIVE, cursor: None };
            Ok(app.context.store.runs(filter, page).await?.items.len())
        };
        let taken = self.take(format!("{tenant}/{job}"), MAX_LIVE, count).await?;
        taken.ok_or_else(|| {
            let detail = format!(
                "{MAX_LIVE} runs of job `{job}` wait or run, as many as jobs may ask for; ask \
                 again when some have ended"
            );
            ApiError::new(Kind::Busy, detail)
        })
    }

    /// Takes the room for one job of a tenant.
    async fn for_a_job(&self, app: &App, tenant: &TenantId) -> Result<Taken<'_>, ApiError> {
        let count = async {
            let (mut there, mut cursor) = (0, None);
            while there < MAX_JOBS {
                let filter = JobFilter { tenant: Some(tenant.clone()) };
                let page = Page { limit: MAX_PAGE, cursor };
                let found = app.context.store.list(filter, page).await?;
                there += found.items.len();
                cursor = found.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            Ok(there)
        };
        let taken = self.take(tenant.to_string(), MAX_JOBS, count).await?;
        taken.ok_or_else(|| {
            let detail = format!(
                "there are {MAX_JOBS} jobs or more, so jobs make no further ones; remove some"
            );
            ApiError::new(Kind::Busy, detail)
        })
    }

    /// Takes the room for one thing more where there may be `most`; `None`: there is none. A quarter
    /// of what is left is given out before all is counted again, since other hosts give out room too.
    async fn take(
        &self,
        place: String,
        most: usize,
        count: impl Future<Output = Result<usize, ApiError>>,
    ) -> Result<Option<Taken<'_>>, ApiError> {
        // Nobody counts while others take, and what is being made counts as made.
        let _alone = self.alone.lock().await;
        if !self.lock().take_known(&place) {
            let there = count.await?;
            let mut places = self.lock();
            let there = there + places.under_way.get(&place).copied().unwrap_or(0);
            if most <= there {
                return Ok(None);
            }
            if MAX_COUNTED <= places.left.len() {
                places.left.clear();
            }
            places.left.insert(place.clone(), ((most - there) / 4).saturating_sub(1));
        }
        *self.lock().under_way.entry(place.clone()).or_default() += 1;
        Ok(Some(Taken { room: self, place }))
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// Takes of what is known to be left.
    fn take_known(&mut self, place: &str) -> bool {
        match self.left.get_mut(place) {
            Some(left) if 0 < *left => {
                *left -= 1;
                true
            }
            Some(_) | None => false,
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut places = self.room.lock();
        if let Some(under_way) = places.under_way.get_mut(&self.place) {
            *under_way -= 1;
            if *under_way == 0 {
                places.under_way.remove(&self.place);
            }
        }
    }
}
