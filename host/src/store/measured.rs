//! Any store, with its calls counted and timed, and what came of them.
//!
//! The verdicts and ends that are counted are those that calls of this host brought about. A run that
//! waits in a queue gets its verdict by the store itself: the runs that this host made are looked
//! after until they have one ([`Measured::look_after`]).

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::{Result, Store};
use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::metrics::Metrics;
use crate::record::account::{Account, Allotments, Draw, Drawn};
use crate::record::portable::{Import, Record};
use crate::record::query::{
    JobFilter, LedgerFilter, LedgerItem, LogPage, Page, Paged, RunFilter, UsageFilter, UsageItem,
};
use crate::record::step::{
    Acquire, Attached, AttemptEnd, Beat, CancelReply, Change, Claim, Conflict, Due, Finished,
    FireIntent, Fired, LiveRuns, NewRun, NewSchedule, Patch, Pulse, Put, Reaped, Retention,
    Started, Trimmed,
};
use crate::record::tenant::Holdings;
use crate::record::{Caps, Doc, Health, HostInfo, HostRecord, Schedule, Session};
use crate::run::id::Fence;
use crate::run::outcome::Outcome;
use crate::run::{Cause, LogLine, Range, Reason, Run, RunKey, Verdict};
use crate::time::Timestamp;

/// Runs without a verdict that are looked after at most; beyond that some verdicts go uncounted.
const MAX_UNDECIDED: usize = 10_000;
/// Of those so many are read in one look.
const PER_LOOK: usize = 100;
/// The pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A store whose calls are measured.
pub struct Measured {
    inner: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    /// Runs of fire times that this host queued and that have no verdict yet.
    undecided: Mutex<BTreeSet<RunKey>>,
}

/// Calls that are handed on and measured, after those that are written out.
macro_rules! store {
    ({ $($written:item)* } $($method:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for Measured {
            $($written)*
            $(async fn $method(&self, $($arg: $type),*) -> Result<$answer> {
                self.measure(stringify!($method), self.inner.$method($($arg),*)).await
            })*
        }
    };
}

store! {
    {
        fn caps(&self) -> Caps {
            self.inner.caps()
        }

        fn watch(&self) -> broadcast::Receiver<Change> {
            self.inner.watch()
        }

        fn feed(&self) -> broadcast::Receiver<Change> {
            self.inner.feed()
        }

        async fn attach(&self, info: HostInfo, now: Timestamp) -> Result<Attached> {
            let attached = self.measure("attach", self.inner.attach(info, now)).await?;
            self.metrics.beat(now);
            self.note_reaped(&attached.reaped);
            Ok(attached)
        }

        async fn beat(&self, session: &Session, pulse: Pulse, now: Timestamp) -> Result<Beat> {
            let beat = self.measure("beat", self.inner.beat(session, pulse, now)).await?;
            self.metrics.beat(now);
            Ok(beat)
        }

        async fn reap(
            &self,
            session: &Session,
            peer: &Session,
            seen: u64,
            now: Timestamp,
        ) -> Result<Reaped> {
            let reaped = self.measure("reap", self.inner.reap(session, peer, seen, now)).await?;
            self.note_reaped(&reaped);
            Ok(reaped)
        }

        async fn put(&self, schedule: NewSchedule, on: Conflict, now: Timestamp) -> Result<Put> {
            let ranges = schedule.ranges.clone();
            let put = self.measure("put", self.inner.put(schedule, on, now)).await?;
            if let Put::Created(_) = put {
                self.note_ranges(&ranges);
            }
            Ok(put)
        }

        async fn patch(
            &self,
            job: &JobKey,
            expect: Option<u64>,
            patch: Patch,
            now: Timestamp,
        ) -> Result<u64> {
            let ranges = patch.ranges.clone();
            let version = self.measure("patch", self.inner.patch(job, expect, patch, now)).await?;
            self.note_ranges(&ranges);
            Ok(version)
        }

        async fn fire(
            &self,
            session: &Session,
            intents: Vec<FireIntent>,
            now: Timestamp,
        ) -> Result<Vec<Fired>> {
            let told: Vec<_> =
                intents.iter().map(|it| (it.job.tenant.clone(), it.ranges.clone())).collect();
            let fired = self.measure("fire", self.inner.fire(session, intents, now)).await?;
            for ((tenant, ranges), fired) in told.iter().zip(&fired) {
                self.note_fired(tenant, ranges, fired);
            }
            Ok(fired)
        }

        async fn acquire(
            &self,
            session: &Session,
            want: Acquire,
            now: Timestamp,
        ) -> Result<Vec<Claim>> {
            let call = self.inner.acquire(session, want, now);
            let claims = self.measure("acquire", call).await?;
            claims.iter().for_each(|claim| self.note_claim(claim));
            Ok(claims)
        }

        async fn finish(
            &self,
            session: &Session,
            run: &RunKey,
            fence: Fence,
            end: AttemptEnd,
            now: Timestamp,
        ) -> Result<Finished> {
            let last = end.retry_at.is_none().then_some(end.outcome);
            let usage = end.usage.clone();
            let call = self.inner.finish(session, run, fence, end, now);
            let finished = self.measure("finish", call).await?;
            if let Finished::Done = finished {
                self.metrics.used(&run.tenant, &usage);
            }
            match (&finished, last) {
                // Noted before: its answer was lost then.
                (Finished::Done | Finished::Already, Some(outcome)) => {
                    self.metrics.runs(outcome, 1);
                }
                (Finished::Fenced, _) | (_, None) => (),
            }
            Ok(finished)
        }
    }

    detach(session: &Session, now: Timestamp) -> ();
    hosts() -> Vec<HostRecord>;
    remove(job: &JobKey, expect: Option<u64>, live: LiveRuns, now: Timestamp) -> bool;
    get(job: &JobKey) -> Option<Schedule>;
    list(filter: JobFilter, page: Page) -> Paged<Schedule>;
    due(session: &Session, now: Timestamp, max: usize) -> Due;
    start(run: NewRun, now: Timestamp) -> Started;
    draw(session: &Session, run: &RunKey, fence: Fence, draw: Draw, now: Timestamp) -> Drawn;
    allot(allotments: Allotments) -> bool;
    account(tenant: &TenantId, now: Timestamp) -> Account;
    drop_run(run: &RunKey, verdict: Verdict, reason: Reason, now: Timestamp) -> bool;
    cancel(run: &RunKey, why: &str, now: Timestamp) -> CancelReply;
    run(run: &RunKey) -> Option<Run>;
    runs(filter: RunFilter, page: Page) -> Paged<Run>;
    ledger(job: &JobKey, filter: LedgerFilter, page: Page) -> Paged<LedgerItem>;
    usage(filter: UsageFilter, page: Page) -> Paged<UsageItem>;
    log_append(run: &RunKey, fence: Fence, lines: Vec<LogLine>) -> ();
    log_read(run: &RunKey, from: u64, max: usize) -> LogPage;
    doc_get(tenant: &TenantId, kind: &str, key: &str) -> Option<Doc>;
    doc_put(
        tenant: &TenantId,
        kind: &str,
        key: &str,
        expect: Option<u64>,
        value: Option<Vec<u8>>
    ) -> u64;
    doc_list(tenant: &TenantId, kind: &str, page: Page) -> Paged<Doc>;
    doc_mark() -> u64;
    counter_add(tenant: &TenantId, key: &str, by: i64, limit: Option<i64>) -> Option<i64>;
    trim(keep: Retention, budget: usize, now: Timestamp) -> Trimmed;
    holdings(tenant: &TenantId) -> Holdings;
    erase(tenant: &TenantId, budget: usize, now: Timestamp) -> Trimmed;
    export(cursor: Option<String>) -> Paged<Record>;
    import(step: Import) -> ();
    faults() -> Vec<String>;
    health() -> Health;
}

impl Measured {
    /// Measures `inner`, and counts into `metrics`.
    pub fn new(inner: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics, undecided: Mutex::default() }
    }

    /// Counts the verdicts of runs that this host queued and that never started, now and then, for
    /// ever. A few at a time.
    pub async fn look_after(self: Arc<Self>) {
        let mut last: Option<RunKey> = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let some = self.some_undecided(last.as_ref());
            last = some.last().cloned();
            for key in some {
                let Ok(run) = self.inner.run(&key).await else { break };
                // Whoever starts a run counts it as one that ran.
                match run.map(|run| run.verdict) {
                    Some(None) => continue,
                    Some(Some(Verdict::Ran)) | None => (),
                    Some(Some(verdict)) => self.metrics.fires(verdict, 1),
                }
                self.undecided().remove(&key);
            }
        }
    }

    fn some_undecided(&self, after: Option<&RunKey>) -> Vec<RunKey> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let undecided = self.undecided();
        undecided.range::<RunKey, _>((from, Bound::Unbounded)).take(PER_LOOK).cloned().collect()
    }

    fn undecided(&self) -> std::sync::MutexGuard<'_, BTreeSet<RunKey>> {
        self.undecided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn measure<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        let answer = call.await;
        let (result, up) = match &answer {
            Ok(_) => ("ok", true),
            Err(error) => (error.word(), error.is_answer()),
        };
        self.metrics.store_answers(up);
        self.metrics.call(method, result, start.elapsed());
        answer
    }

    fn note_reaped(&self, reaped: &Reaped) {
        self.metrics.runs(Outcome::Abandoned, reaped.abandoned.len() as u64);
        self.metrics.runs(Outcome::Cancelled, reaped.cancelled.len() as u64);
    }

    fn note_ranges(&self, ranges: &[Range]) {
        for range in ranges {
            self.metrics.fires(range.verdict, range.count);
        }
    }

    fn note_fired(&self, tenant: &TenantId, ranges: &[Range], fired: &Fired) {
        let Fired::Done { queued, claimed, skipped, over_quota } = fired else { return };
        self.note_ranges(ranges);
        self.metrics.fires(Verdict::Skipped, skipped.len() as u64);
        self.metrics.fires(Verdict::Quota, over_quota.len() as u64);
        claimed.iter().for_each(|claim| self.note_claim(claim));
        if queued.is_empty() {
            return;
        }
        let mut undecided = self.undecided();
        for run in queued.iter().take(MAX_UNDECIDED.saturating_sub(undecided.len())) {
            undecided.insert(RunKey { tenant: tenant.clone(), run: *run });
        }
    }

    /// The first attempt at a fire time: it ran.
    fn note_claim(&self, claim: &Claim) {
        let run = &claim.run;
        if run.cause != Cause::Schedule || run.attempt != 1 {
            return;
        }
        self.metrics.fires(Verdict::Ran, 1);
        if let Some(started) = run.started_at {
            self.metrics.started(started.since(run.due_at));
        }
        self.undecided().remove(&run.key());
    }
}
