//! The calls of the contract, each one script or one question.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use serde_bytes::ByteBuf;
use tokio::sync::broadcast;

use super::link::Caller;
use super::scripts::Script;
use super::wire::{self, Last, Plan, PlanRow};
use super::{RedisStore, definitions, rank};
use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::record::query::{JobFilter, LedgerFilter, LedgerItem, LogPage, Page, Paged, RunFilter};
use crate::record::step::{
    Acquire, Attached, AttemptEnd, Beat, CancelReply, Change, Claim, Conflict, Disposition, Due,
    Finished, FireIntent, Fired, LiveRuns, MAX_ACQUIRE, NewRun, NewSchedule, Patch, Pulse, Put,
    Reaped, Retention, Started, Trimmed,
};
use crate::record::{Caps, Definition, Doc, Health, HostInfo, HostRecord, Role, Schedule, Session};
use crate::run::id::{Fence, SessionId};
use crate::run::{Cause, LogLine, Reason, Run, RunKey, Verdict};
use crate::store::core::fire::{check, queued_run};
use crate::store::core::runs::made_run;
use crate::store::embedded::aging;
use crate::store::error::StoreError;
use crate::store::{Result, Store};
use crate::time::Timestamp;

/// Intents handed to one call of the script.
const FIRES_AT_ONCE: usize = 100;
/// Runs that one call takes from a dead session.
const REAPED_AT_ONCE: usize = 256;
/// The only shard of a store on one server.
const SHARD: u32 = 0;

impl RedisStore {
    fn caller<'a>(session: &'a Session, now: Timestamp) -> Caller<'a> {
        Caller { now, session: Some(session.id), host: &session.host }
    }

    /// The definition that a planning record was written with; `None` when there is another one by
    /// now.
    async fn definition(&self, job: &JobKey, plan: &Plan) -> Result<Option<Arc<Definition>>> {
        if let Some(def) = self.definitions.get(job, plan) {
            return Ok(Some(def));
        }
        let mut ask = redis::cmd("HGET");
        ask.arg(self.link.keys().of("DEF")).arg(wire::job_name(job));
        let kept: Option<Vec<u8>> = self.link.read(&ask).await?;
        let def = definitions::read(&kept.unwrap_or_default(), plan)?;
        Ok(def.map(|def| self.definitions.put(job, plan, def)))
    }

    async fn schedule(&self, row: &PlanRow) -> Result<Option<Arc<Schedule>>> {
        if row.1.is_empty() {
            return Ok(None);
        }
        let job = wire::job_of_name(&row.0)?;
        let plan: Plan = wire::unpack(&row.1)?;
        let last = Last::read(&row.2, plan.uid)?;
        let def = self.definition(&job, &plan).await?;
        Ok(def.map(|def| Arc::new(plan.schedule(job, last, def))))
    }

    /// Ends a session, its own or a dead one, however much it holds.
    async fn end_session(
        &self,
        caller: Caller<'_>,
        peer: Option<(SessionId, u64)>,
    ) -> Result<Reaped> {
        let mut reaped = Reaped::default();
        let mut seen = peer.map(|(_, seen)| wire::counter_text(seen));
        loop {
            let args = wire::EndArgs {
                peer: peer.map(|(session, _)| session),
                seen: seen.clone(),
                most: REAPED_AT_ONCE,
            };
            let answer: wire::EndAnswer =
                self.link.call(Script::EndSession, caller, &args, b"").await?;
            if let Some(counter) = answer.moved {
                return Err(StoreError::Conflict { current: wire::counter(&counter) });
            }
            let keys = |list: Vec<_>| list.into_iter().map(|(run, tenant)| RunKey { tenant, run });
            reaped.rescued.extend(keys(answer.rescued));
            reaped.abandoned.extend(keys(answer.abandoned));
            reaped.cancelled.extend(keys(answer.cancelled));
            if !answer.more {
                return Ok(reaped);
            }
            seen = seen.map(|_| wire::DEAD.to_owned());
        }
    }

    async fn fire_some(
        &self,
        session: &Session,
        intents: &[FireIntent],
        now: Timestamp,
    ) -> Result<Vec<Fired>> {
        let rows = intents.iter().map(|intent| {
            let fires = intent.fires.iter().map(|fire| wire::FireRow {
                wait: fire.disposition == Disposition::Wait,
                run: queued_run(&intent.job, intent.uid, fire.clone(), now),
            });
            wire::IntentRow::new(intent, fires.collect())
        });
        let args = wire::FireArgs { intents: rows.collect() };
        let answer: wire::FireAnswer =
            self.link.call(Script::Fire, Self::caller(session, now), &args, b"").await?;
        let mut fired = Vec::with_capacity(intents.len());
        for (row, intent) in answer.intents.into_iter().zip(intents) {
            if row.lost {
                fired.push(Fired::Lost);
                continue;
            }
            let schedule = if row.claimed.is_empty() {
                None
            } else {
                let name = ByteBuf::from(wire::job_name(&intent.job).into_bytes());
                self.schedule(&PlanRow(name, row.plan, row.last)).await?
            };
            if !intent.ranges.is_empty() || !row.skipped.is_empty() {
                self.rounds().grew(&intent.job);
            }
            let claim = |run: Run| claim_of(run, schedule.clone());
            fired.push(Fired::Done {
                queued: row.queued,
                claimed: row.claimed.into_iter().map(claim).collect(),
                skipped: row.skipped,
            });
        }
        Ok(fired)
    }
}

fn claim_of(run: Run, schedule: Option<Arc<Schedule>>) -> Claim {
    Claim {
        fence: run.attempts.last().map_or(0, |attempt| attempt.fence),
        run: Arc::new(run),
        schedule,
    }
}

fn def_text(def: &Definition) -> Result<Vec<u8>> {
    serde_json::to_vec(def).map_err(|error| StoreError::Invalid(format!("a definition: {error}")))
}

fn log_text(lines: &[LogLine]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)
            .map_err(|error| StoreError::Invalid(format!("a log line: {error}")))?;
        text.push(b'\n');
    }
    Ok(text)
}

#[async_trait]
impl Store for RedisStore {
    fn caps(&self) -> Caps {
        self.caps.clone()
    }

    async fn attach(&self, info: HostInfo, now: Timestamp) -> Result<Attached> {
        let id = (self.fresh_id)();
        let generation = self.link.generation().await?;
        let session = Session { id, host: info.host.clone(), generation };
        let args = wire::JoinArgs {
            info: wire::info_text(&info)?,
            schedules: info.roles.contains(&Role::Scheduler),
        };
        let _: wire::Nothing =
            self.link.call(Script::Join, Self::caller(&session, now), &args, b"").await?;
        Ok(Attached { session, reaped: Reaped::default() })
    }

    async fn beat(&self, session: &Session, pulse: Pulse, now: Timestamp) -> Result<Beat> {
        let info = pulse.info.as_ref();
        let args = wire::BeatArgs {
            schedules: info.is_none_or(|info| info.roles.contains(&Role::Scheduler)),
            info: info.map(wire::info_text).transpose()?,
            progress: pulse
                .progress
                .into_iter()
                .map(|step| wire::ProgressStep {
                    run: step.run.run,
                    tenant: step.run.tenant,
                    fence: step.fence,
                    progress: step.progress,
                })
                .collect(),
        };
        let answer: wire::BeatAnswer =
            self.link.call(Script::Beat, Self::caller(session, now), &args, b"").await?;
        let rivals = answer.peers.iter().filter(|peer| peer.3 && peer.2 != wire::DEAD);
        let rank = rank::rank(session.id, rivals.map(|peer| peer.0), SHARD);
        self.rank.store(rank, Ordering::Relaxed);
        let key = |run, tenant| RunKey { tenant, run };
        let mut peers: Vec<(Session, u64)> = answer
            .peers
            .into_iter()
            .map(|wire::Peer(id, host, counter, _)| {
                (Session { id, host, generation: session.generation }, wire::counter(&counter))
            })
            .collect();
        peers.sort_by_key(|(session, _)| session.id);
        let cancels = answer.cancels.into_iter().map(|(run, tenant, why)| (key(run, tenant), why));
        let held = answer.held.into_iter().map(|(run, tenant, fence)| (key(run, tenant), fence));
        let mut cancels: Vec<(RunKey, String)> = cancels.collect();
        cancels.sort();
        let mut held: Vec<(RunKey, Fence)> = held.collect();
        held.sort();
        Ok(Beat { cancels, held, peers })
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
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.link.keys().of("SES"));
        let counters: Vec<(String, String)> = self.link.read(&ask).await?;
        let mut ask = redis::cmd("HGETALL");
        ask.arg(self.link.keys().of("HOST"));
        let rows: Vec<(String, Vec<u8>)> = self.link.read(&ask).await?;
        let mut hosts = Vec::with_capacity(rows.len());
        for (id, row) in rows {
            let Some((_, counter)) = counters.iter().find(|(session, _)| *session == id) else {
                continue;
            };
            let row: wire::HostRow = wire::unpack(&row)?;
            let info = row.info()?;
            let id: SessionId = id.parse().map_err(StoreError::Corrupt)?;
            hosts.push(HostRecord {
                session: Session { id, host: info.host.clone(), generation: 0 },
                counter: wire::counter(counter),
                info,
                since: row.since,
                beat_at: row.beat_at,
                clock_offset_us: row.offset,
            });
        }
        hosts.sort_by(|a, b| (&a.info.host, a.session.id).cmp(&(&b.info.host, b.session.id)));
        Ok(hosts)
    }

    async fn put(&self, schedule: NewSchedule, on: Conflict, now: Timestamp) -> Result<Put> {
        let uid = (self.fresh_id)();
        let def = def_text(&schedule.def)?;
        let (on, version) = match on {
            Conflict::Fail => ("fail", None),
            Conflict::Keep => ("keep", None),
            Conflict::Replace => ("replace", None),
            Conflict::ReplaceIf(version) => ("if", Some(version)),
        };
        let args = wire::PutArgs {
            tenant: &schedule.key.tenant,
            job: &schedule.key.job,
            plan: Plan::of_new(&schedule, uid),
            keep_cursor: schedule.keep_cursor,
            ranges: &schedule.ranges,
            on,
            version,
        };
        let answer: wire::PutAnswer =
            self.link.call(Script::Put, Caller::at(now), &args, &def).await?;
        let (key, plan) = (schedule.key, answer.plan);
        let def = if answer.kind == "kept" {
            let found = self.definition(&key, &plan).await?;
            found.ok_or(StoreError::Conflict { current: plan.version })?
        } else {
            self.definitions.put(&key, &plan, schedule.def)
        };
        let whole = plan.schedule(key, answer.last, def);
        Ok(match answer.kind.as_str() {
            "created" => Put::Created(whole),
            "kept" => Put::Kept(whole),
            _ => Put::Replaced(whole),
        })
    }

    async fn patch(
        &self,
        job: &JobKey,
        expect: Option<u64>,
        patch: Patch,
        now: Timestamp,
    ) -> Result<u64> {
        let (cursor, due_at) = patch.cursor.unwrap_or_default();
        let args = wire::PatchArgs {
            tenant: &job.tenant,
            job: &job.job,
            expect,
            sets_pause: patch.pause.is_some(),
            pause: patch.pause.flatten(),
            sets_parked: patch.parked.is_some(),
            parked: patch.parked.flatten(),
            sets_cursor: patch.cursor.is_some(),
            cursor,
            due_at,
            ranges: patch.ranges,
        };
        let answer: wire::Version =
            self.link.call(Script::Patch, Caller::at(now), &args, b"").await?;
        Ok(answer.version)
    }

    async fn remove(
        &self,
        job: &JobKey,
        expect: Option<u64>,
        live: LiveRuns,
        now: Timestamp,
    ) -> Result<bool> {
        let cancel = live == LiveRuns::Cancel;
        let args = wire::RemoveArgs { tenant: &job.tenant, job: &job.job, expect, cancel };
        let answer: wire::RemoveAnswer =
            self.link.call(Script::Remove, Caller::at(now), &args, b"").await?;
        Ok(answer.removed)
    }

    async fn get(&self, job: &JobKey) -> Result<Option<Schedule>> {
        let job = job.clone();
        self.look(move |kept| kept.schedule(&job)).await
    }

    async fn list(&self, filter: JobFilter, page: Page) -> Result<Paged<Schedule>> {
        self.look(move |kept| kept.schedules(&filter, &page)).await
    }

    async fn due(&self, session: &Session, now: Timestamp, max: usize) -> Result<Due> {
        let delay = u64::try_from(self.delay().as_micros()).unwrap_or(0);
        let args = wire::DueArgs { max, delay };
        let answer: wire::DueAnswer =
            self.link.call(Script::Due, Self::caller(session, now), &args, b"").await?;
        let mut schedules = Vec::with_capacity(answer.items.len());
        let mut next_due = answer.next;
        for row in &answer.items {
            match self.schedule(row).await? {
                Some(schedule) => schedules.push(schedule),
                // It was replaced between two questions: it is due still.
                None => next_due = Some(answer.now),
            }
        }
        Ok(Due { now: answer.now, schedules, next_due })
    }

    async fn fire(
        &self,
        session: &Session,
        intents: Vec<FireIntent>,
        now: Timestamp,
    ) -> Result<Vec<Fired>> {
        for intent in &intents {
            check(intent, now)?;
        }
        let mut fired = Vec::with_capacity(intents.len());
        for some in intents.chunks(FIRES_AT_ONCE) {
            fired.extend(self.fire_some(session, some, now).await?);
        }
        Ok(fired)
    }

    async fn start(&self, new: NewRun, now: Timestamp) -> Result<Started> {
        if new.cause == Cause::Schedule {
            return Err(StoreError::Invalid("only a fire makes runs of the schedule".into()));
        }
        let (tenant, job) = (new.job.tenant.clone(), new.job.job.clone());
        // The script says which creation of the job it belongs to.
        let run = made_run(new, SessionId::from_bits(0), now);
        let args = wire::StartArgs { tenant: &tenant, job: &job, run };
        let answer: wire::StartAnswer =
            self.link.call(Script::Start, Caller::at(now), &args, b"").await?;
        Ok(if answer.made { Started::Made(answer.run) } else { Started::Exists(answer.run) })
    }

    async fn acquire(
        &self,
        session: &Session,
        want: Acquire,
        now: Timestamp,
    ) -> Result<Vec<Claim>> {
        let classes = want.classes.iter().flat_map(|class| {
            let of_queue = move |queue| format!("{}/{queue}/{}", class.tenant, class.plugin);
            want.queues.iter().map(of_queue)
        });
        let args =
            wire::AcquireArgs { slots: want.slots.min(MAX_ACQUIRE), classes: classes.collect() };
        let answer: wire::AcquireAnswer =
            self.link.call(Script::Acquire, Self::caller(session, now), &args, b"").await?;
        let mut claims = Vec::with_capacity(answer.runs.len());
        for (run, row) in answer.runs.into_iter().zip(&answer.plans) {
            claims.push(claim_of(run, self.schedule(row).await?));
        }
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
        let log = log_text(&end.log)?;
        let args = wire::FinishArgs {
            run: run.run,
            tenant: &run.tenant,
            fence,
            outcome: end.outcome,
            result: end.result.as_ref().map(ToString::to_string),
            error: end.error,
            usage: end.usage,
            digest: end.digest,
            progress: end.progress,
            retry_at: end.retry_at,
            lines: end.log.len(),
        };
        let answer: wire::State =
            self.link.call(Script::Finish, Self::caller(session, now), &args, &log).await?;
        if let Some(job) = answer.ended {
            self.rounds().grew(&JobKey { tenant: run.tenant.clone(), job });
        }
        Ok(match answer.state.as_str() {
            "done" => Finished::Done,
            "already" => Finished::Already,
            _ => Finished::Fenced,
        })
    }

    async fn drop_run(
        &self,
        run: &RunKey,
        verdict: Verdict,
        reason: Reason,
        now: Timestamp,
    ) -> Result<bool> {
        if verdict == Verdict::Ran {
            return Err(StoreError::Invalid("a run that is dropped did not run".into()));
        }
        let (verdict, reason) = (Some(verdict), Some(reason.as_ref()));
        let args = wire::RunArgs { verdict, reason, ..wire::RunArgs::of(run) };
        let answer: wire::Dropped =
            self.link.call(Script::Drop, Caller::at(now), &args, b"").await?;
        Ok(answer.dropped)
    }

    async fn cancel(&self, run: &RunKey, why: &str, now: Timestamp) -> Result<CancelReply> {
        let args = wire::RunArgs { why: Some(why), ..wire::RunArgs::of(run) };
        let answer: wire::State =
            self.link.call(Script::Cancel, Caller::at(now), &args, b"").await?;
        Ok(match answer.state.as_str() {
            "ended" => CancelReply::Ended,
            "asked" => CancelReply::Asked,
            _ => CancelReply::AlreadyDone,
        })
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

    fn watch(&self) -> broadcast::Receiver<Change> {
        self.news.hints()
    }

    fn feed(&self) -> broadcast::Receiver<Change> {
        self.news.feed()
    }

    async fn log_append(&self, run: &RunKey, fence: Fence, lines: Vec<LogLine>) -> Result<()> {
        let text = log_text(&lines)?;
        let (fence, lines) = (Some(fence), Some(lines.len()));
        let args = wire::RunArgs { fence, lines, ..wire::RunArgs::of(run) };
        let caller = Caller::at(Timestamp::from_secs(0));
        let _: wire::Nothing = self.link.call(Script::Log, caller, &args, &text).await?;
        Ok(())
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
        let key = format!("{tenant}\0{kind}\0{key}");
        let remove = value.is_none();
        let args = wire::DocArgs { key: &key, expect, remove };
        let caller = Caller::at(Timestamp::from_secs(0));
        let value = value.unwrap_or_default();
        let answer: wire::Version = self.link.call(Script::Doc, caller, &args, &value).await?;
        Ok(answer.version)
    }

    async fn doc_list(&self, tenant: &TenantId, kind: &str, page: Page) -> Result<Paged<Doc>> {
        let (tenant, kind) = (tenant.clone(), kind.to_owned());
        self.look(move |kept| kept.docs(&tenant, &kind, &page)).await
    }

    async fn counter_add(
        &self,
        tenant: &TenantId,
        key: &str,
        by: i64,
        limit: Option<i64>,
    ) -> Result<Option<i64>> {
        let key = format!("{tenant}\0{key}");
        let args = wire::CounterArgs {
            key: &key,
            by: by.to_string(),
            limit: limit.map(|limit| limit.to_string()),
        };
        let caller = Caller::at(Timestamp::from_secs(0));
        let answer: wire::CounterAnswer =
            self.link.call(Script::Counter, caller, &args, b"").await?;
        Ok(answer.value.and_then(|value| value.parse().ok()))
    }

    async fn trim(&self, keep: Retention, budget: usize, now: Timestamp) -> Result<Trimmed> {
        if 0 < self.rank.load(Ordering::Relaxed) {
            // Another host does.
            return Ok(Trimmed::default());
        }
        let look = self.rounds().next();
        let victims = self.look(move |kept| aging::victims(kept, &look, keep, budget, now)).await?;
        let more = self.rounds().looked(victims.looked);
        let names = |runs: &[RunKey]| runs.iter().map(wire::run_name).collect::<Vec<_>>();
        let args = wire::ForgetArgs {
            runs: names(&victims.runs),
            bodies: names(&victims.bodies),
            ranges: victims.ranges.iter().map(|range| (range.id, range.last)).collect(),
        };
        if args.runs.is_empty() && args.bodies.is_empty() && args.ranges.is_empty() {
            return Ok(Trimmed { more, ..Trimmed::default() });
        }
        let answer: wire::ForgetAnswer =
            self.link.call(Script::Forget, Caller::at(now), &args, b"").await?;
        Ok(Trimmed { records: answer.records, bodies: answer.bodies, more })
    }

    async fn health(&self) -> Result<Health> {
        let [schedules, live_runs, done_runs] = self.look(|kept| kept.counts()).await?;
        Ok(Health { ok: true, problem: None, schedules, live_runs, done_runs })
    }
}
