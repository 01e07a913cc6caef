//! A store that asks a hook before and after each call: to fail, or to end the process there.

use std::sync::Arc;

use async_trait::async_trait;
use campanile::job::JobKey;
use campanile::job::names::TenantId;
use campanile::record::account::{Account, Allotments, Draw, Drawn};
use campanile::record::portable::{Import, Record};
use campanile::record::query::{
    JobFilter, LedgerFilter, LedgerItem, LogPage, Page, Paged, RunFilter, UsageFilter, UsageItem,
};
use campanile::record::step::{
    Acquire, Attached, AttemptEnd, Beat, CancelReply, Change, Claim, Conflict, Due, Finished,
    FireIntent, Fired, LiveRuns, NewRun, NewSchedule, Patch, Pulse, Put, Reaped, Retention,
    Started, Trimmed,
};
use campanile::record::tenant::Holdings;
use campanile::record::{Caps, Doc, Health, HostInfo, HostRecord, Schedule, Session};
use campanile::run::id::Fence;
use campanile::run::{LogLine, Reason, Run, RunKey, Verdict};
use campanile::store::{Result, Store};
use campanile::time::Timestamp;
use tokio::sync::broadcast;

/// What is done around each call of a store.
pub trait Hook: Send + Sync + 'static {
    /// Before the store is asked; an error is the answer then.
    fn before(&self, call: &'static str) -> Result<()>;

    /// After it was asked; an error takes the place of the answer.
    fn after(&self, call: &'static str) -> Result<()>;
}

/// The store beneath, and its hook.
pub struct Hooked<H> {
    inner: Arc<dyn Store>,
    hook: Arc<H>,
}

impl<H: Hook> Hooked<H> {
    pub fn new(inner: Arc<dyn Store>, hook: Arc<H>) -> Self {
        Self { inner, hook }
    }
}

/// Hooks every call that is waited for, and lists them.
macro_rules! hooked {
    ($($call:ident($($name:ident: $kind:ty),*) -> $answer:ty;)*) => {
        /// Every call that has a hook.
        pub const CALLS: &[&str] = &[$(stringify!($call)),*];

        #[async_trait]
        impl<H: Hook> Store for Hooked<H> {
            fn caps(&self) -> Caps {
                self.inner.caps()
            }

            fn watch(&self) -> broadcast::Receiver<Change> {
                self.inner.watch()
            }

            fn feed(&self) -> broadcast::Receiver<Change> {
                self.inner.feed()
            }

            $(async fn $call(&self, $($name: $kind),*) -> Result<$answer> {
                self.hook.before(stringify!($call))?;
                let answer = self.inner.$call($($name),*).await;
                self.hook.after(stringify!($call))?;
                answer
            })*
        }
    };
}

hooked! {
    attach(info: HostInfo, now: Timestamp) -> Attached;
    hosts() -> Vec<HostRecord>;
    beat(session: &Session, pulse: Pulse, now: Timestamp) -> Beat;
    reap(session: &Session, peer: &Session, seen: u64, now: Timestamp) -> Reaped;
    detach(session: &Session, now: Timestamp) -> ();
    put(schedule: NewSchedule, on: Conflict, now: Timestamp) -> Put;
    patch(job: &JobKey, expect: Option<u64>, patch: Patch, now: Timestamp) -> u64;
    remove(job: &JobKey, expect: Option<u64>, live: LiveRuns, now: Timestamp) -> bool;
    get(job: &JobKey) -> Option<Schedule>;
    list(filter: JobFilter, page: Page) -> Paged<Schedule>;
    due(session: &Session, now: Timestamp, max: usize) -> Due;
    fire(session: &Session, intents: Vec<FireIntent>, now: Timestamp) -> Vec<Fired>;
    start(run: NewRun, now: Timestamp) -> Started;
    draw(session: &Session, run: &RunKey, fence: Fence, draw: Draw, now: Timestamp) -> Drawn;
    allot(allotments: Allotments) -> bool;
    account(tenant: &TenantId, now: Timestamp) -> Account;
    acquire(session: &Session, want: Acquire, now: Timestamp) -> Vec<Claim>;
    finish(session: &Session, run: &RunKey, fence: Fence, end: AttemptEnd, now: Timestamp)
        -> Finished;
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
