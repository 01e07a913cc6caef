//! The calls of the contract, each handed on to the rules or to what is kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::sqlite::writer::Turn;
use super::{EmbeddedStore, aging, belongings, export};
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
use crate::store::core::Core;
use crate::store::core::effects::{CounterKey, DocKey};
use crate::store::core::runs::Holding;
use crate::store::{FOLLOWED, Result, Store};
use crate::time::Timestamp;

#[async_trait]
impl Store for EmbeddedStore {
    fn caps(&self) -> Caps {
        self.caps.clone()
    }

    async fn attach(&self, info: HostInfo, now: Timestamp) -> Result<Attached> {
        let id = (self.fresh_id)();
        self.step(move |core, _, fx| core.attach(id, info, now, fx)).await
    }

    async fn beat(&self, session: &Session, pulse: Pulse, now: Timestamp) -> Result<Beat> {
        let id = session.id;
        self.step(move |core, _, fx| core.beat(id, pulse, now, fx)).await
    }

    async fn reap(
        &self,
        session: &Session,
        peer: &Session,
        seen: u64,
        now: Timestamp,
    ) -> Result<Reaped> {
        let (id, peer) = (session.id, peer.id);
        self.step(move |core, _, fx| core.reap(id, peer, seen, now, fx)).await
    }

    async fn detach(&self, session: &Session, now: Timestamp) -> Result<()> {
        let id = session.id;
        self.step(move |core, _, fx| {
            core.detach(id, now, fx);
            Ok(())
        })
        .await
    }

    async fn hosts(&self) -> Result<Vec<HostRecord>> {
        self.step(|core, _, _| Ok(core.hosts())).await
    }

    async fn put(&self, schedule: NewSchedule, on: Conflict, now: Timestamp) -> Result<Put> {
        let uid = (self.fresh_id)();
        self.step(move |core, _, fx| core.put(schedule, on, uid, now, fx)).await
    }

    async fn patch(
        &self,
        job: &JobKey,
        expect: Option<u64>,
        patch: Patch,
        now: Timestamp,
    ) -> Result<u64> {
        let job = job.clone();
        self.step(move |core, _, fx| core.patch(&job, expect, patch, now, fx)).await
    }

    async fn remove(
        &self,
        job: &JobKey,
        expect: Option<u64>,
        live: LiveRuns,
        now: Timestamp,
    ) -> Result<bool> {
        let job = job.clone();
        self.step(move |core, _, fx| core.remove(&job, expect, live, now, fx)).await
    }

    async fn get(&self, job: &JobKey) -> Result<Option<Schedule>> {
        let job = job.clone();
        self.read(move |kept| kept.schedule(&job)).await
    }

    async fn list(&self, filter: JobFilter, page: Page) -> Result<Paged<Schedule>> {
        self.read(move |kept| kept.schedules(&filter, &page)).await
    }

    async fn due(&self, session: &Session, now: Timestamp, max: usize) -> Result<Due> {
        let id = session.id;
        self.step_in(Turn::Next, move |core, _, fx| core.due(id, now, max, fx)).await
    }

    async fn fire(
        &self,
        session: &Session,
        intents: Vec<FireIntent>,
        now: Timestamp,
    ) -> Result<Vec<Fired>> {
        let id = session.id;
        self.step_in(Turn::Next, move |core, _, fx| core.fire(id, intents, now, fx)).await
    }

    async fn draw(
        &self,
        session: &Session,
        run: &RunKey,
        fence: Fence,
        draw: Draw,
        now: Timestamp,
    ) -> Result<Drawn> {
        let attempt = Holding { session: session.id, run: run.clone(), fence };
        self.step(move |core, _, fx| core.draw(&attempt, draw, now, fx)).await
    }

    async fn allot(&self, allotments: Allotments) -> Result<bool> {
        self.step(move |core, _, fx| {
            core.allot(allotments, fx);
            Ok(true)
        })
        .await
    }

    async fn account(&self, tenant: &TenantId, now: Timestamp) -> Result<Account> {
        let tenant = tenant.clone();
        self.step(move |core, _, _| Ok(core.account(&tenant, now))).await
    }

    async fn start(&self, run: NewRun, now: Timestamp) -> Result<Started> {
        self.step(move |core, past, fx| core.start(past, run, now, fx)).await
    }

    async fn acquire(
        &self,
        session: &Session,
        want: Acquire,
        now: Timestamp,
    ) -> Result<Vec<Claim>> {
        let id = session.id;
        self.step(move |core, _, fx| core.acquire(id, &want, now, fx)).await
    }

    async fn finish(
        &self,
        session: &Session,
        run: &RunKey,
        fence: Fence,
        end: AttemptEnd,
        now: Timestamp,
    ) -> Result<Finished> {
        let attempt = Holding { session: session.id, run: run.clone(), fence };
        self.step(move |core, past, fx| core.finish(past, &attempt, end, now, fx)).await
    }

    async fn drop_run(
        &self,
        run: &RunKey,
        verdict: Verdict,
        reason: Reason,
        now: Timestamp,
    ) -> Result<bool> {
        let run = run.clone();
        self.step(move |core, past, fx| core.drop_run(past, &run, verdict, reason, now, fx)).await
    }

    async fn cancel(&self, run: &RunKey, why: &str, now: Timestamp) -> Result<CancelReply> {
        let (run, why) = (run.clone(), why.to_owned());
        self.step(move |core, past, fx| core.cancel(past, &run, &why, now, fx)).await
    }

    async fn run(&self, run: &RunKey) -> Result<Option<Run>> {
        let run = run.clone();
        self.read(move |kept| kept.run(&run)).await
    }

    async fn runs(&self, filter: RunFilter, page: Page) -> Result<Paged<Run>> {
        self.read(move |kept| kept.runs(&filter, &page)).await
    }

    async fn ledger(
        &self,
        job: &JobKey,
        filter: LedgerFilter,
        page: Page,
    ) -> Result<Paged<LedgerItem>> {
        let job = job.clone();
        self.read(move |kept| kept.ledger(&job, &filter, &page)).await
    }

    async fn usage(&self, filter: UsageFilter, page: Page) -> Result<Paged<UsageItem>> {
        self.read(move |kept| kept.usage(&filter, &page)).await
    }

    fn watch(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn feed(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    async fn log_append(&self, run: &RunKey, fence: Fence, lines: Vec<LogLine>) -> Result<()> {
        let run = run.clone();
        self.step(move |core, _, fx| core.log_append(&run, fence, lines, fx)).await
    }

    async fn log_read(&self, run: &RunKey, from: u64, max: usize) -> Result<LogPage> {
        let run = run.clone();
        self.read(move |kept| kept.log(&run, from, max)).await
    }

    async fn doc_get(&self, tenant: &TenantId, kind: &str, key: &str) -> Result<Option<Doc>> {
        let (tenant, kind, key) = (tenant.clone(), kind.to_owned(), key.to_owned());
        self.read(move |kept| kept.doc(&tenant, &kind, &key)).await
    }

    async fn doc_put(
        &self,
        tenant: &TenantId,
        kind: &str,
        key: &str,
        expect: Option<u64>,
        value: Option<Vec<u8>>,
    ) -> Result<u64> {
        let doc = DocKey { tenant: tenant.clone(), kind: kind.to_owned(), key: key.to_owned() };
        let mark = FOLLOWED.contains(&kind).then(|| Arc::clone(&self.doc_mark));
        self.step(move |_, past, fx| {
            if let Some(mark) = mark {
                mark.fetch_add(1, Ordering::AcqRel);
            }
            Core::doc_put(past, doc, expect, value, fx)
        })
        .await
    }

    async fn doc_list(&self, tenant: &TenantId, kind: &str, page: Page) -> Result<Paged<Doc>> {
        let (tenant, kind) = (tenant.clone(), kind.to_owned());
        self.read(move |kept| kept.docs(&tenant, &kind, &page)).await
    }

    async fn doc_mark(&self) -> Result<u64> {
        // As a step of its own: what was decided before it is kept when it is answered.
        let mark = Arc::clone(&self.doc_mark);
        self.step(move |_, _, _| Ok(mark.load(Ordering::Acquire))).await
    }

    async fn counter_add(
        &self,
        tenant: &TenantId,
        key: &str,
        by: i64,
        limit: Option<i64>,
    ) -> Result<Option<i64>> {
        let counter = CounterKey { tenant: tenant.clone(), key: key.to_owned() };
        self.step(move |_, past, fx| Core::counter_add(past, counter, by, limit, fx)).await
    }

    async fn trim(&self, keep: Retention, budget: usize, now: Timestamp) -> Result<Trimmed> {
        let look = self.step(|core, _, _| Ok(core.look())).await?;
        let victims = self.read(move |kept| aging::victims(kept, &look, keep, budget, now)).await?;
        self.step(move |core, past, fx| core.forget(past, victims, fx)).await
    }

    async fn holdings(&self, tenant: &TenantId) -> Result<Holdings> {
        let tenant = tenant.clone();
        self.read(move |kept| belongings::holdings(kept, &tenant)).await
    }

    async fn erase(&self, tenant: &TenantId, budget: usize, _: Timestamp) -> Result<Trimmed> {
        let tenant = tenant.clone();
        let found = self.read(move |kept| belongings::victims(kept, &tenant, budget)).await;
        let (victims, more) = found?;
        let mark = Arc::clone(&self.doc_mark);
        let erased = self.step(move |core, past, fx| {
            mark.fetch_add(1, Ordering::AcqRel);
            core.let_go(past, victims, fx)
        });
        Ok(Trimmed { more, ..erased.await? })
    }

    async fn export(&self, cursor: Option<String>) -> Result<Paged<Record>> {
        self.read(move |kept| export::export(kept, cursor.as_deref())).await
    }

    async fn import(&self, step: Import) -> Result<()> {
        match step {
            Import::Begin => {
                let held = self.read(|kept| export::held(kept)).await?;
                self.step(move |core, _, fx| core.begin_import(&held, fx)).await
            }
            Import::Records(records) => {
                self.step(move |core, _, fx| core.import(records, fx)).await
            }
            Import::End => {
                self.step(|core, _, fx| {
                    core.end_import(fx);
                    Ok(())
                })
                .await
            }
        }
    }

    async fn faults(&self) -> Result<Vec<String>> {
        self.read(|kept| kept.faults()).await
    }

    async fn health(&self) -> Result<Health> {
        let problem = self.problem();
        let [schedules, live_runs, done_runs] = self.read(|kept| kept.counts()).await?;
        Ok(Health { ok: problem.is_none(), problem, schedules, live_runs, done_runs })
    }
}
