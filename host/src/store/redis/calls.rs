//! The calls of the contract: each is one script, or one question.

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::RedisStore;
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
use crate::run::id::Fence;
use crate::run::{LogLine, Reason, Run, RunKey, Verdict};
use crate::store::embedded::{belongings, export};
use crate::store::{Result, Store};
use crate::time::Timestamp;

#[async_trait]
impl Store for RedisStore {
    fn caps(&self) -> Caps {
        self.caps.clone()
    }

    async fn attach(&self, info: HostInfo, now: Timestamp) -> Result<Attached> {
        self.attach(info, now).await
    }

    async fn beat(&self, session: &Session, pulse: Pulse, now: Timestamp) -> Result<Beat> {
        self.beat(session, pulse, now).await
    }

    async fn reap(
        &self,
        session: &Session,
        peer: &Session,
        seen: u64,
        now: Timestamp,
    ) -> Result<Reaped> {
        self.end_session(Self::caller(session, now), Some((peer.id, seen))).await
    }

    async fn detach(&self, session: &Session, now: Timestamp) -> Result<()> {
        self.end_session(Self::caller(session, now), None).await.map(|_| ())
    }

    async fn hosts(&self) -> Result<Vec<HostRecord>> {
        self.hosts().await
    }

    async fn put(&self, schedule: NewSchedule, on: Conflict, now: Timestamp) -> Result<Put> {
        self.put(schedule, on, now).await
    }

    async fn patch(
        &self,
        job: &JobKey,
        expect: Option<u64>,
        patch: Patch,
        now: Timestamp,
    ) -> Result<u64> {
        self.patch(job, expect, patch, now).await
    }

    async fn remove(
        &self,
        job: &JobKey,
        expect: Option<u64>,
        live: LiveRuns,
        now: Timestamp,
    ) -> Result<bool> {
        self.remove(job, expect, live, now).await
    }

    async fn get(&self, job: &JobKey) -> Result<Option<Schedule>> {
        let job = job.clone();
        self.look(move |kept| kept.schedule(&job)).await
    }

    async fn list(&self, filter: JobFilter, page: Page) -> Result<Paged<Schedule>> {
        self.look(move |kept| kept.schedules(&filter, &page)).await
    }

    async fn due(&self, session: &Session, now: Timestamp, max: usize) -> Result<Due> {
        self.due(session, now, max).await
    }

    async fn fire(
        &self,
        session: &Session,
        intents: Vec<FireIntent>,
        now: Timestamp,
    ) -> Result<Vec<Fired>> {
        self.fire(session, intents, now).await
    }

    async fn draw(
        &self,
        session: &Session,
        run: &RunKey,
        fence: Fence,
        draw: Draw,
        now: Timestamp,
    ) -> Result<Drawn> {
        self.draw(session, run, fence, draw, now).await
    }

    async fn allot(&self, allotments: Allotments) -> Result<bool> {
        self.allot(&allotments).await
    }

    async fn account(&self, tenant: &TenantId, now: Timestamp) -> Result<Account> {
        self.account(tenant, now).await
    }

    async fn start(&self, new: NewRun, now: Timestamp) -> Result<Started> {
        self.start(new, now).await
    }

    async fn acquire(
        &self,
        session: &Session,
        want: Acquire,
        now: Timestamp,
    ) -> Result<Vec<Claim>> {
        self.acquire(session, want, now).await
    }

    async fn finish(
        &self,
        session: &Session,
        run: &RunKey,
        fence: Fence,
        end: AttemptEnd,
        now: Timestamp,
    ) -> Result<Finished> {
        self.finish(session, run, fence, end, now).await
    }

    async fn drop_run(
        &self,
        run: &RunKey,
        verdict: Verdict,
        reason: Reason,
        now: Timestamp,
    ) -> Result<bool> {
        self.drop_run(run, verdict, reason, now).await
    }

    async fn cancel(&self, run: &RunKey, why: &str, now: Timestamp) -> Result<CancelReply> {
        self.cancel(run, why, now).await
    }

    async fn run(&self, run: &RunKey) -> Result<Option<Run>> {
        let run = run.clone();
        self.look(move |kept| kept.run(&run)).await
    }

    async fn runs(&self, filter: RunFilter, page: Page) -> Result<Paged<Run>> {
        self.look(move |kept| kept.runs(&filter, &page)).await
    }

    async fn ledger(
        &self,
        job: &JobKey,
        filter: LedgerFilter,
        page: Page,
    ) -> Result<Paged<LedgerItem>> {
        let job = job.clone();
        self.look(move |kept| kept.ledger(&job, &filter, &page)).await
    }

    async fn usage(&self, filter: UsageFilter, page: Page) -> Result<Paged<UsageItem>> {
        self.look(move |kept| kept.usage(&filter, &page)).await
    }

    fn watch(&self) -> broadcast::Receiver<Change> {
        self.news.hints()
    }

    fn feed(&self) -> broadcast::Receiver<Change> {
        self.news.feed()
    }

    async fn log_append(&self, run: &RunKey, fence: Fence, lines: Vec<LogLine>) -> Result<()> {
        self.log_append(run, fence, lines).await
    }

    async fn log_read(&self, run: &RunKey, from: u64, max: usize) -> Result<LogPage> {
        let run = run.clone();
        self.look(move |kept| kept.log(&run, from, max)).await
    }

    async fn doc_get(&self, tenant: &TenantId, kind: &str, key: &str) -> Result<Option<Doc>> {
        let (tenant, kind, key) = (tenant.clone(), kind.to_owned(), key.to_owned());
        self.look(move |kept| kept.doc(&tenant, &kind, &key)).await
    }

    async fn doc_put(
        &self,
        tenant: &TenantId,
        kind: &str,
        key: &str,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
    ) -> Result<u64> {
        self.doc_put(tenant, kind, key, expect, value).await
    }

    async fn doc_list(&self, tenant: &TenantId, kind: &str, page: Page) -> Result<Paged<Doc>> {
        let (tenant, kind) = (tenant.clone(), kind.to_owned());
        self.look(move |kept| kept.docs(&tenant, &kind, &page)).await
    }

    async fn doc_mark(&self) -> Result<u64> {
        self.doc_mark().await
    }

    async fn counter_add(
        &self,
        tenant: &TenantId,
        key: &str,
        by: i64,
        limit: Option<i64>,
    ) -> Result<Option<i64>> {
        self.counter_add(tenant, key, by, limit).await
    }

    async fn trim(&self, keep: Retention, budget: usize, now: Timestamp) -> Result<Trimmed> {
        self.trim(keep, budget, now).await
    }

    async fn holdings(&self, tenant: &TenantId) -> Result<Holdings> {
        let tenant = tenant.clone();
        self.look(move |kept| belongings::holdings(kept, &tenant)).await
    }

    async fn erase(&self, tenant: &TenantId, budget: usize, now: Timestamp) -> Result<Trimmed> {
        self.erase(tenant, budget, now).await
    }

    async fn export(&self, cursor: Option<String>) -> Result<Paged<Record>> {
        self.look(move |kept| export::export(kept, cursor.as_deref())).await
    }

    async fn import(&self, step: Import) -> Result<()> {
        self.import_step(step).await
    }

    async fn faults(&self) -> Result<Vec<String>> {
        self.look(|kept| kept.faults()).await
    }

    async fn health(&self) -> Result<Health> {
        let [schedules, live_runs, done_runs] = self.look(|kept| kept.counts()).await?;
        Ok(Health { ok: true, problem: None, schedules, live_runs, done_runs })
    }
}
