//! Where schedules, runs and the ledger live: the contract, and its implementations.
//!
//! The host applies trigger mathematics, zones, grace and coalescing; a store checks order and
//! uniqueness and keeps what it acknowledged. A fire is `(uid, fire time)` and its run's id is a
//! hash of that, so that planning twice can't run twice. [`Store::due`] only reads,
//! [`Store::fire`] is the compare-and-set; nobody holds a lease on a schedule.
//!
//! Promises, each with a named test in `contract`: one run per fire (I1); the cursor never goes
//! back (I2); every fire time the cursor passes is accounted for once (I3); never early (I4); no more
//! runs of a job than it may have (I5); fences grow and only the current attempt writes (I6, I7);
//! what is done stays done (I8); rescues are bounded (I9); whatever lets a host go on is seen by the
//! others, and a session that was ended stays ended (I10, I12); what was acknowledged is kept (I13);
//! a call takes effect whole or not at all (I14); the feed leaves nothing out (I15); a cancelled run
//! never starts (I16); trimming spares what is live (I18); a tenant sees only its own (I20). That a
//! holder stops first (I11) is `lease`'s; that nothing writes what a newer host wrote (I19) is tested
//! where each store is opened; how soon (I17) is a matter of the bench.

pub mod checkup;
#[cfg(test)]
pub(crate) mod contract;
pub mod core;
pub mod embedded;
pub mod error;
pub mod measured;
pub mod portable;
pub mod redis;

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::job::JobKey;
use crate::job::names::TenantId;
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
use crate::run::id::{Fence, RunId, Uid};
use crate::run::{LogLine, Run, RunKey};
use crate::time::Timestamp;
use error::StoreError;

/// What every store answers with.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The kinds of documents that hosts follow ([`Store::doc_mark`]): the records of plugins, and tenants
/// that were made over REST.
pub const FOLLOWED: [&str; 2] = ["plugin", "tenant"];

/// The kinds of documents that stay when all of a tenant is forgotten: who changed what.
pub const SPARED: [&str; 1] = ["audit"];

/// Where schedules, runs and the ledger live. Each method is one atomic step: it takes effect whole
/// at one instant between call and answer, or not at all; a batch is atomic per job.
///
/// `now` is the host's wall clock. After [`StoreError::Unknown`] a mutating call may be repeated with
/// the very same arguments: what is kept is as if it had been made once, and the answer is the same
/// or says that it was done (`Already`, `Exists`, `Kept`, `Lost`; `false` for what was removed). What
/// the lost answer of [`Store::fire`] or [`Store::acquire`] handed out is held by the session, and its
/// next beat says so; the session of an [`Store::attach`] whose answer was lost is nobody's, and dead
/// after its time to live. Who names no version ([`Conflict::Replace`], a patch without `expect`)
/// counts the version up again, and [`Store::log_append`] and [`Store::counter_add`] add again: these
/// are not repeated.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What this store is and survives.
    fn caps(&self) -> Caps;

    /// Opens a session. On a store that only one process can schedule on, sessions of earlier
    /// processes are reaped in the same step.
    async fn attach(&self, info: HostInfo, now: Timestamp) -> Result<Attached>;

    /// Renews the session, notes progress of its runs, and learns which of them to cancel.
    async fn beat(&self, session: &Session, pulse: Pulse, now: Timestamp) -> Result<Beat>;

    /// Ends a session that is dead: its counter still stands at `seen`. Its runs are queued again,
    /// or end as abandoned (at-most-once, or more rescues than allowed).
    async fn reap(
        &self,
        session: &Session,
        peer: &Session,
        seen: u64,
        now: Timestamp,
    ) -> Result<Reaped>;

    /// Ends the own session in order; what it still holds is handed back as if reaped.
    async fn detach(&self, session: &Session, now: Timestamp) -> Result<()>;

    /// Every open session, by the name of its host.
    async fn hosts(&self) -> Result<Vec<HostRecord>>;

    /// Creates or replaces a schedule. A replacement keeps uid and history and adds 1 to `version`.
    async fn put(&self, schedule: NewSchedule, on: Conflict, now: Timestamp) -> Result<Put>;

    /// Changes parts of a schedule; `expect` is the version it must have. Answers the new version.
    async fn patch(
        &self,
        job: &JobKey,
        expect: Option<u64>,
        patch: Patch,
        now: Timestamp,
    ) -> Result<u64>;

    /// Removes a schedule, keeping its past. Answers whether there was one.
    async fn remove(
        &self,
        job: &JobKey,
        expect: Option<u64>,
        live: LiveRuns,
        now: Timestamp,
    ) -> Result<bool>;

    /// One schedule.
    async fn get(&self, job: &JobKey) -> Result<Option<Schedule>>;

    /// Schedules by tenant and name.
    async fn list(&self, filter: JobFilter, page: Page) -> Result<Paged<Schedule>>;

    /// Active schedules whose `due_at` has come, earliest first, and when the next one is due.
    async fn due(&self, session: &Session, now: Timestamp, max: usize) -> Result<Due>;

    /// Moves jobs' cursors, making the runs and ranges that stand for the fire times passed. One
    /// answer for each intent, in order; a batch is atomic per intent.
    async fn fire(
        &self,
        session: &Session,
        intents: Vec<FireIntent>,
        now: Timestamp,
    ) -> Result<Vec<Fired>>;

    /// Makes a run outside the schedule. The caller chooses the id: a repeat is the same run.
    async fn start(&self, run: NewRun, now: Timestamp) -> Result<Started>;

    /// Takes queued runs that this host can run and has room for. Tenants in turn, by start-time fair
    /// queueing; of one tenant higher priority first, then older fire time. A run that may not begin
    /// in this window of the clock gets the verdict `quota`.
    async fn acquire(&self, session: &Session, want: Acquire, now: Timestamp)
    -> Result<Vec<Claim>>;

    /// Takes more of what its tenant may have for the attempt under way: all that it asks for, or
    /// nothing. Refused with `Fenced` when `fence` is not the current attempt's. May be counted twice
    /// when it is repeated.
    async fn draw(
        &self,
        session: &Session,
        run: &RunKey,
        fence: Fence,
        draw: Draw,
        now: Timestamp,
    ) -> Result<Drawn>;

    /// Ends the current attempt of a run.
    async fn finish(
        &self,
        session: &Session,
        run: &RunKey,
        fence: Fence,
        end: AttemptEnd,
        now: Timestamp,
    ) -> Result<Finished>;

    /// Gives a queued run that never started its verdict. Answers whether it still could.
    async fn drop_run(
        &self,
        run: &RunKey,
        verdict: crate::run::Verdict,
        reason: crate::run::Reason,
        now: Timestamp,
    ) -> Result<bool>;

    /// Asks that a run be cancelled: a waiting one ends at once, a running one when its host hears.
    async fn cancel(&self, run: &RunKey, why: &str, now: Timestamp) -> Result<CancelReply>;

    /// One run, live or done.
    async fn run(&self, run: &RunKey) -> Result<Option<Run>>;

    /// Runs, newest first.
    async fn runs(&self, filter: RunFilter, page: Page) -> Result<Paged<Run>>;

    /// Verdicts of a job, newest first: ranges, and runs that have one.
    async fn ledger(
        &self,
        job: &JobKey,
        filter: LedgerFilter,
        page: Page,
    ) -> Result<Paged<LedgerItem>>;

    /// Says what all tenants and queues may have from now on, unless another host with a higher version
    /// has said otherwise and has a session. Executors are told. Answers whether it counts. What tenants have is not touched. An embedded store
    /// forgets it with the process.
    async fn allot(&self, allotments: Allotments) -> Result<bool>;

    /// What one tenant has, with the windows of `now`.
    async fn account(&self, tenant: &TenantId, now: Timestamp) -> Result<Account>;

    /// What was used, by tenant, hour and job. Added to in the very step that ends an attempt or a
    /// run, under the hour of that step; kept when runs and jobs are gone.
    async fn usage(&self, filter: UsageFilter, page: Page) -> Result<Paged<UsageItem>>;

    /// News for those who act on it, after it is kept: [`Change::Job`], [`Change::Queued`],
    /// [`Change::Cancel`]. May be missed: then read again.
    fn watch(&self) -> broadcast::Receiver<Change>;

    /// News of everything that changed, for those who tell it on. A store that many hosts share
    /// sends it to a host from the first call on.
    fn feed(&self) -> broadcast::Receiver<Change>;

    /// Adds lines to a run's log; refused when `fence` is not the current attempt's.
    async fn log_append(&self, run: &RunKey, fence: Fence, lines: Vec<LogLine>) -> Result<()>;

    /// A run's log from line `from` on.
    async fn log_read(&self, run: &RunKey, from: u64, max: usize) -> Result<LogPage>;

    /// One document.
    async fn doc_get(&self, tenant: &TenantId, kind: &str, key: &str) -> Result<Option<Doc>>;

    /// Writes a document whose version is `expect` (0: there is none), or removes it when `value`
    /// is `None`. Answers the new version.
    async fn doc_put(
        &self,
        tenant: &TenantId,
        kind: &str,
        key: &str,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
    ) -> Result<u64>;

    /// Documents of one kind by key.
    async fn doc_list(&self, tenant: &TenantId, kind: &str, page: Page) -> Result<Paged<Doc>>;

    /// Another number after each write of a document of the kinds [`FOLLOWED`], of whichever tenant:
    /// who saw all of them after asking has missed nothing while it stays. Says nothing of when the
    /// store was opened anew.
    async fn doc_mark(&self) -> Result<u64>;

    /// Adds to a counter unless it would pass `limit`. Answers the new value, or `None`.
    async fn counter_add(
        &self,
        tenant: &TenantId,
        key: &str,
        by: i64,
        limit: Option<i64>,
    ) -> Result<Option<i64>>;

    /// Forgets what need not be kept any longer, about `budget` records at most: of each job what its
    /// own history says. A done run ages from its end, a range from when it was noted last; what was
    /// used is kept for [`KEPT`](crate::record::used::KEPT), whatever jobs say. Looks at
    /// some jobs in each step, and at all of them in turn; call it over and over.
    async fn trim(&self, keep: Retention, budget: usize, now: Timestamp) -> Result<Trimmed>;

    /// How much of a tenant is kept. Reads the names of all of it.
    async fn holdings(&self, tenant: &TenantId) -> Result<Holdings>;

    /// Forgets what is kept of a tenant at once, whatever its jobs say, about `budget` records at most:
    /// done runs with their logs, ranges, documents but those of the kinds [`SPARED`], counters. Its
    /// schedules, live runs and what it used stay. Call it until there is no more.
    async fn erase(&self, tenant: &TenantId, budget: usize, now: Timestamp) -> Result<Trimmed>;

    /// Everything that is kept but sessions, some records after another: from the beginning, or from
    /// where the page before ended. What is written meanwhile may be in it or not.
    async fn export(&self, cursor: Option<String>) -> Result<Paged<Record>>;

    /// Takes over what another store exported, ids and fences and all: [`StoreError::Unfit`] when
    /// there is anything already. Between the first step and the last no host can attach; sessions
    /// that were open are over. A run that was under way is held by the session that it names,
    /// which is dead here, until that is reaped like any other.
    async fn import(&self, step: Import) -> Result<()>;

    /// Where records, and the lists by which they are found, contradict each other; in words. Reads
    /// everything.
    async fn faults(&self) -> Result<Vec<String>>;

    /// Whether it works, and how much it holds.
    async fn health(&self) -> Result<Health>;
}

/// The one run id that a fire of `job` may have.
pub fn run_id_of_fire(job: &JobKey, uid: Uid, fire_time: Timestamp) -> RunId {
    RunId::of_fire(&job.tenant, uid, fire_time)
}
