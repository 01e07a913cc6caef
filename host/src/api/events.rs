//! What happens, as it happens: a stream of events (server-sent), in the order of each fire.
//!
//! ```text
//! job.due ─► run.queued ─► run.started ─► run.succeeded | run.failed | ... ─► job.finished
//! range.opened ─► range.closed        for fire times that became no run
//! plugin.loaded | replaced | refused | held | removed
//! config.reloaded | refused
//! tenant.changed | draining | removed
//! ```
//!
//! The store only hints that something changed; what did is seen by comparing a record with what
//! was told of it before. Nothing older than the subscription is told.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::App;
use super::access::Caller;
use super::config_events::ConfigNews;
use super::error::ApiError;
use super::logs::Lines;
use super::params::Params;
use super::plugin_events;
use super::server::stopped;
use crate::job::JobKey;
use crate::job::names::{JobId, TenantId};
use crate::record::query::{LedgerFilter, LedgerItem, Page};
use crate::record::step::Change;
use crate::run::id::RunId;
use crate::run::{Cause, Run, RunKey, RunState};
use crate::store::Result;
use crate::time::Timestamp;

/// Events that wait for a slow reader; one that is slower is told that it missed some.
const AHEAD: usize = 256;
/// Runs under way that are remembered at most.
const MAX_SEEN: usize = 100_000;
/// Runs that were told to their end and are remembered: as much news as may still be under way.
const MAX_DONE: usize = 4_096;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    id: String,
    pub(super) r#type: String,
    time: Timestamp,
    tenant: Option<TenantId>,
    job: Option<JobId>,
    run: Option<RunId>,
    data: Value,
}

impl Event {
    /// Hands it to the reader. Answers whether there still is one.
    async fn send(&self, sender: &mpsc::Sender<Bytes>) -> bool {
        let Ok(data) = serde_json::to_string(self) else { return true };
        let text = format!("id: {}\nevent: {}\ndata: {data}\n\n", self.id, self.r#type);
        sender.send(text.into()).await.is_ok()
    }
}

/// `GET /v1/events`.
pub async fn stream(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> std::result::Result<Response, ApiError> {
    let tenant = params.finish()?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let files = ConfigNews::of(&app.context, &tenant, caller.principal.tenant().is_none());
    tokio::spawn(pump(app, tenant, files, sender));
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::new(Lines::new(receiver))).into_response())
}

/// Tells until the reader is gone or the host shuts down.
async fn pump(app: App, tenant: TenantId, mut files: ConfigNews, sender: mpsc::Sender<Bytes>) {
    let mut changes = app.context.store.feed();
    let mut stop = app.stop.clone();
    let mut seen = Seen::since(app.context.clock.now());
    let mut catalogs = app.context.catalog.clone();
    let mut catalog = Arc::clone(&catalogs.borrow_and_update());
    // A first line, so that the reader knows that it is heard from now on.
    if sender.send(Bytes::from_static(b": events from here on\n\n")).await.is_err() {
        return;
    }
    loop {
        let change = tokio::select! {
            change = changes.recv() => Some(change),
            Ok(()) = catalogs.changed() => None,
            (kind, data) = files.next() => {
                let now = app.context.clock.now();
                if !seen.of_plugin(kind.to_owned(), &tenant, data, now).send(&sender).await {
                    return;
                }
                continue;
            }
            () = stopped(&mut stop) => return,
            () = sender.closed() => return,
        };
        let Some(change) = change else {
            let before = std::mem::replace(&mut catalog, Arc::clone(&catalogs.borrow_and_update()));
            let now = app.context.clock.now();
            for (kind, data) in plugin_events::news(&before, &catalog, &tenant) {
                if !seen.of_plugin(kind, &tenant, data, now).send(&sender).await {
                    return;
                }
            }
            continue;
        };
        let news = match change {
            Ok(Change::Run(run)) if run.tenant == tenant => of_run(&app, &mut seen, &run).await,
            Ok(Change::Fired(job) | Change::Job(job)) if job.tenant == tenant => {
                of_ledger(&app, &mut seen, &job).await
            }
            Ok(_) => continue,
            Err(RecvError::Lagged(missed)) => Ok(vec![seen.lagged(missed, &app)]),
            Err(RecvError::Closed) => return,
        };
        // Of a store that does not answer the reader learns that something was missed.
        let news = news.unwrap_or_else(|_| vec![seen.lagged(1, &app)]);
        for event in news {
            if !event.send(&sender).await {
                return;
            }
        }
    }
}

async fn of_run(app: &App, seen: &mut Seen, key: &RunKey) -> Result<Vec<Event>> {
    let Some(run) = app.context.store.run(key).await? else { return Ok(Vec::new()) };
    let mut events = seen.run(&run);
    if run.state == RunState::Done && run.cause == Cause::Schedule {
        let schedule = app.context.store.get(&run.job_key()).await?;
        let was_last = schedule.is_some_and(|schedule| {
            schedule.cursor.is_none()
                && !schedule.def.effective.trigger().is_null()
                && schedule.last_run.is_some_and(|last| last.run == run.id)
        });
        if was_last && !events.is_empty() {
            let time = run.finished_at.unwrap_or(run.queued_at);
            events.push(seen.event("job.finished", time, &run, false, json!({})));
        }
    }
    Ok(events)
}

async fn of_ledger(app: &App, seen: &mut Seen, job: &JobKey) -> Result<Vec<Event>> {
    let page = Page { limit: 1, cursor: None };
    let newest = app.context.store.ledger(job, LedgerFilter::default(), page).await?.items.pop();
    let range = newest.filter(|item| item.run.is_none());
    Ok(seen.range(job, range, app.context.clock.now()))
}

/// What was told already.
pub(super) struct Seen {
    since: Timestamp,
    next: u64,
    runs: HashMap<RunKey, Told>,
    /// Runs told to their end: news of them that is still under way tells nothing new.
    done: HashSet<RunKey>,
    /// The same, the newest last.
    done_in_order: VecDeque<RunKey>,
    open: BTreeMap<JobKey, LedgerItem>,
}

/// How much of one run was told.
#[derive(Clone, Copy, Default)]
struct Told {
    queued: bool,
    started: u32,
    ended: u32,
}

impl Seen {
    pub(super) fn since(since: Timestamp) -> Self {
        Self {
            since,
            next: 0,
            runs: HashMap::new(),
            done: HashSet::new(),
            done_in_order: VecDeque::new(),
            open: BTreeMap::new(),
        }
    }

    /// What is new about a run, in order.
    pub(super) fn run(&mut self, run: &Run) -> Vec<Event> {
        let key = run.key();
        if self.done.contains(&key) {
            return Vec::new();
        }
        let before = self.runs.get(&key).copied().unwrap_or_default();
        let mut told = before;
        let mut events = Vec::new();
        if !told.queued {
            told.queued = true;
            if run.cause == Cause::Schedule {
                let data = json!({"fire_time": run.fire_time, "covers": run.covers});
                events.push(self.event("job.due", run.queued_at, run, false, data));
            }
            let data = json!({"cause": run.cause, "fire_time": run.fire_time});
            events.push(self.event("run.queued", run.queued_at, run, true, data));
        }
        for attempt in &run.attempts {
            let data = json!({"attempt": attempt.attempt, "host": attempt.host});
            if attempt.attempt > told.started {
                told.started = attempt.attempt;
                events.push(self.event("run.started", attempt.started_at, run, true, data.clone()));
            }
            let is_last = attempt.attempt == run.attempt && run.state == RunState::Done;
            if let (Some(at), true) = (attempt.finished_at, attempt.attempt > told.ended) {
                told.ended = attempt.attempt;
                if !is_last {
                    events.push(self.event("run.retrying", at, run, true, data));
                }
            }
        }
        if run.state == RunState::Done {
            let word =
                run.outcome.map(|outcome| json!(outcome)).or(run.verdict.map(|it| json!(it)));
            let word = word.as_ref().and_then(Value::as_str).unwrap_or("done").to_owned();
            let data = json!({"verdict": run.verdict, "reason": run.reason, "error": run.error});
            let time = run.finished_at.unwrap_or(run.queued_at);
            events.push(self.event(&format!("run.{word}"), time, run, true, data));
            self.runs.remove(&key);
            self.remember(key);
        } else {
            if self.runs.len() >= MAX_SEEN {
                self.runs.clear();
            }
            self.runs.insert(key, told);
        }
        events.retain(|event| event.time >= self.since);
        events
    }

    fn remember(&mut self, done: RunKey) {
        if MAX_DONE <= self.done_in_order.len()
            && let Some(oldest) = self.done_in_order.pop_front()
        {
            self.done.remove(&oldest);
        }
        self.done_in_order.push_back(done.clone());
        self.done.insert(done);
    }

    /// What is new about the open range of a job: `newest` is its newest entry, if that is one.
    fn range(&mut self, job: &JobKey, newest: Option<LedgerItem>, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        let same = |a: &LedgerItem, b: &LedgerItem| (a.first, a.verdict) == (b.first, b.verdict);
        let before = self.open.remove(job);
        if let Some(before) = &before
            && newest.as_ref().is_none_or(|newest| !same(before, newest))
        {
            events.push(self.of_range("range.closed", job, before, now));
        }
        if let Some(newest) = newest {
            if before.as_ref().is_none_or(|before| !same(before, &newest)) {
                events.push(self.of_range("range.opened", job, &newest, now));
            }
            self.open.insert(job.clone(), newest);
        }
        events
    }

    fn event(
        &mut self,
        kind: &str,
        time: Timestamp,
        of: &Run,
        with_run: bool,
        data: Value,
    ) -> Event {
        Event {
            id: self.id(time),
            r#type: kind.to_owned(),
            time,
            tenant: Some(of.tenant.clone()),
            job: Some(of.job.clone()),
            run: with_run.then_some(of.id),
            data,
        }
    }

    fn of_range(&mut self, kind: &str, job: &JobKey, item: &LedgerItem, now: Timestamp) -> Event {
        Event {
            id: self.id(now),
            r#type: kind.to_owned(),
            time: now,
            tenant: Some(job.tenant.clone()),
            job: Some(job.job.clone()),
            run: None,
            data: json!({
                "verdict": item.verdict, "reason": item.reason, "first": item.first,
                "last": item.last, "count": item.count, "into": item.into,
            }),
        }
    }

    fn of_plugin(&mut self, kind: String, tenant: &TenantId, data: Value, now: Timestamp) -> Event {
        Event {
            id: self.id(now),
            r#type: kind,
            time: now,
            tenant: Some(tenant.clone()),
            job: None,
            run: None,
            data,
        }
    }

    fn lagged(&mut self, missed: u64, app: &App) -> Event {
        let time = app.context.clock.now();
        let data = json!({"missed": missed, "hint": "read the lists again"});
        let (id, r#type) = (self.id(time), "lagged".to_owned());
        Event { id, r#type, time, tenant: None, job: None, run: None, data }
    }

    fn id(&mut self, time: Timestamp) -> String {
        self.next += 1;
        format!("{}-{}", time.micros(), self.next)
    }
}
