//! A store that fails now and then: before it does what it was asked, or after, with the answer
//! lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use campanile::job::JobKey;
use campanile::job::names::TenantId;
use campanile::record::query::{
    JobFilter, LedgerFilter, LedgerItem, LogPage, Page, Paged, RunFilter,
};
use campanile::record::step::{
    Acquire, Attached, AttemptEnd, Beat, CancelReply, Change, Claim, Conflict, Due, Finished,
    FireIntent, Fired, LiveRuns, NewRun, NewSchedule, Patch, Pulse, Put, Reaped, Retention,
    Started, Trimmed,
};
use campanile::record::{Caps, Doc, Health, HostInfo, HostRecord, Schedule, Session};
use campanile::run::id::Fence;
use campanile::run::{LogLine, Reason, Run, RunKey, Verdict};
use campanile::store::error::StoreError;
use campanile::store::{Result, Store};
use campanile::time::Timestamp;
use tokio::sync::broadcast;

/// Every so many calls one fails.
const EVERY: u64 = 5;

/// The store beneath, with faults while `broken` is set.
pub struct Faulty {
    pub inner: Arc<dyn Store>,
    pub broken: AtomicBool,
    /// Set while no beat reaches the store.
    pub silent: AtomicBool,
    calls: AtomicU64,
    pub faults: AtomicU64,
}

/// Where in a call it fails.
#[derive(PartialEq)]
enum Fault {
    None,
    Before,
    After,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Store>) -> Self {
        let (calls, faults) = (AtomicU64::new(0), AtomicU64::new(0));
        let (broken, silent) = (AtomicBool::new(true), AtomicBool::new(false));
        Self { inner, broken, silent, calls, faults }
    }

    fn fault(&self) -> Fault {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if !self.broken.load(Ordering::Relaxed) || !call.is_multiple_of(EVERY) {
            return Fault::None;
        }
        self.faults.fetch_add(1, Ordering::Relaxed);
        if (call / EVERY).is_multiple_of(2) { Fault::Before } else { Fault::After }
    }
}

/// Makes the call with its fault.
macro_rules! flaky {
    ($self:ident, $call:expr) => {{
        let fault = $self.fault();
        if fault == Fault::Before {
            return Err(StoreError::Unavailable("a fault that was put in".into()));
        }
        let answer = $call.await;
        if fault == Fault::After {
            return Err(StoreError::Unknown("an answer that was lost".into()));
        }
        answer
    }};
}

#[async_trait]
impl Store for Faulty {
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
        self.inner.attach(info, now).await
    }
    async fn hosts(&self) -> Result<Vec<HostRecord>> {
        flaky!(self, self.inner.hosts())
    }
    async fn beat(&self, s: &Session, p: Pulse, now: Timestamp) -> Result<Beat> {
        if self.silent.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("no beat goes through".into()));
        }
        flaky!(self, self.inner.beat(s, p, now))
    }
    async fn reap(&self, s: &Session, peer: &Session, seen: u64, now: Timestamp) -> Result<Reaped> {
        flaky!(self, self.inner.reap(s, peer, seen, now))
    }
    async fn detach(&self, s: &Session, now: Timestamp) -> Result<()> {
        self.inner.detach(s, now).await
    }
    async fn put(&self, new: NewSchedule, on: Conflict, now: Timestamp) -> Result<Put> {
        flaky!(self, self.inner.put(new, on, now))
    }
    async fn patch(&self, j: &JobKey, e: Option<u64>, p: Patch, now: Timestamp) -> Result<u64> {
        flaky!(self, self.inner.patch(j, e, p, now))
    }
    async fn remove(
        &self,
        j: &JobKey,
        e: Option<u64>,
        l: LiveRuns,
        now: Timestamp,
    ) -> Result<bool> {
        flaky!(self, self.inner.remove(j, e, l, now))
    }
    async fn get(&self, job: &JobKey) -> Result<Option<Schedule>> {
        flaky!(self, self.inner.get(job))
    }
    async fn list(&self, filter: JobFilter, page: Page) -> Result<Paged<Schedule>> {
        flaky!(self, self.inner.list(filter, page))
    }
    async fn due(&self, s: &Session, now: Timestamp, max: usize) -> Result<Due> {
        flaky!(self, self.inner.due(s, now, max))
    }
    async fn fire(&self, s: &Session, i: Vec<FireIntent>, now: Timestamp) -> Result<Vec<Fired>> {
        flaky!(self, self.inner.fire(s, i, now))
    }
    async fn start(&self, run: NewRun, now: Timestamp) -> Result<Started> {
        flaky!(self, self.inner.start(run, now))
    }
    async fn acquire(&self, s: &Session, want: Acquire, now: Timestamp) -> Result<Vec<Claim>> {
        flaky!(self, self.inner.acquire(s, want, now))
    }
    async fn finish(
        &self,
        s: &Session,
        run: &RunKey,
        fence: Fence,
        end: AttemptEnd,
        now: Timestamp,
    ) -> Result<Finished> {
        flaky!(self, self.inner.finish(s, run, fence, end, now))
    }
    async fn drop_run(&self, r: &RunKey, v: Verdict, why: Reason, now: Timestamp) -> Result<bool> {
        flaky!(self, self.inner.drop_run(r, v, why, now))
    }
    async fn cancel(&self, run: &RunKey, why: &str, now: Timestamp) -> Result<CancelReply> {
        flaky!(self, self.inner.cancel(run, why, now))
    }
    async fn run(&self, run: &RunKey) -> Result<Option<Run>> {
        flaky!(self, self.inner.run(run))
    }
    async fn runs(&self, filter: RunFilter, page: Page) -> Result<Paged<Run>> {
        flaky!(self, self.inner.runs(filter, page))
    }
    async fn ledger(&self, j: &JobKey, f: LedgerFilter, p: Page) -> Result<Paged<LedgerItem>> {
        flaky!(self, self.inner.ledger(j, f, p))
    }
    async fn log_append(&self, run: &RunKey, fence: Fence, lines: Vec<LogLine>) -> Result<()> {
        flaky!(self, self.inner.log_append(run, fence, lines))
    }
    async fn log_read(&self, run: &RunKey, from: u64, max: usize) -> Result<LogPage> {
        flaky!(self, self.inner.log_read(run, from, max))
    }
    async fn doc_get(&self, t: &TenantId, kind: &str, key: &str) -> Result<Option<Doc>> {
        flaky!(self, self.inner.doc_get(t, kind, key))
    }
    async fn doc_put(
        &self,
        tenant: &TenantId,
        kind: &str,
        key: &str,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
    ) -> Result<u64> {
        flaky!(self, self.inner.doc_put(tenant, kind, key, expect, value))
    }
    async fn doc_list(&self, t: &TenantId, kind: &str, page: Page) -> Result<Paged<Doc>> {
        flaky!(self, self.inner.doc_list(t, kind, page))
    }
    async fn counter_add(
        &self,
        tenant: &TenantId,
        key: &str,
        by: i64,
        limit: Option<i64>,
    ) -> Result<Option<i64>> {
        flaky!(self, self.inner.counter_add(tenant, key, by, limit))
    }
    async fn trim(&self, keep: Retention, budget: usize, now: Timestamp) -> Result<Trimmed> {
        flaky!(self, self.inner.trim(keep, budget, now))
    }
    async fn health(&self) -> Result<Health> {
        self.inner.health().await
    }
}
