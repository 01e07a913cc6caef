//! One of two stores, and what its caller remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Kind;
use super::ops::{JOBS, Op, TENANTS};
use crate::job::names::{QueueName, TenantId};
use crate::job::quota::{Allotment, Quota, QuotaKey};
use crate::job::rate::RateLimit;
use crate::job::{History, PluginKey};
use crate::record::account::{Allotments, Draw};
use crate::record::query::{JobFilter, LedgerFilter, Page, RunFilter, UsageFilter};
use crate::record::room::{Amount, Room};
use crate::record::step::{
    Acquire, AttemptEnd, CancelReply, Claim, Conflict, Disposition, Finished, FireIntent, Fired,
    LiveRuns, NewRun, NewSchedule, Patch, PlannedFire, Pulse, Put, Reaped, Retention, Started,
    Trimmed,
};
use crate::record::{HostInfo, Pause, Rules, Schedule, Session};
use crate::run::id::{Fence, Id128};
use crate::run::outcome::Outcome;
use crate::run::{RunKey, Verdict, reason};
use crate::store::contract::losing::Losing;
use crate::store::contract::server;
use crate::store::contract::world::{at, ended, job, line, new_run, new_schedule, plan, range};
use crate::store::embedded::EmbeddedStore;
use crate::store::error::StoreError;
use crate::store::redis::RedisStore;
use crate::store::redis::settings::{Access, Settings};
use crate::store::{Result, Store};
use crate::time::Timestamp;

/// How the answers of a step get lost.
enum Loss {
    /// They don't: what is answered is what a repeat would have said.
    Model,
    /// The first is thrown away.
    Dropped,
    /// The first gets lost on its way.
    OnTheWay(Box<Losing>),
}

/// One of the two stores, with what its caller remembers.
pub(super) struct Side {
    pub(super) store: Arc<dyn Store>,
    /// Whether the answers of the step under way get lost once.
    pub(super) is_lost: bool,
    /// Whether a crash leaves only what is kept, in memory too.
    forgets: bool,
    /// What tenants and queues may have.
    said: Allotments,
    loss: Loss,
    kind: Kind,
    ids: Arc<AtomicU64>,
    session: Session,
    claims: Vec<(RunKey, Fence)>,
    runs: Vec<RunKey>,
}

impl Side {
    pub(super) async fn new(kind: Kind) -> Self {
        let ids = Arc::new(AtomicU64::new(1));
        let store = open(&kind, &ids).await;
        let attached = crate::store::contract::world::attach(store.as_ref(), at(0)).await;
        let session = attached.unwrap().session;
        let (claims, runs, loss) = (Vec::new(), Vec::new(), Loss::Model);
        let (said, forgets) = (Allotments::default(), false);
        Self { store, is_lost: false, forgets, said, loss, kind, ids, session, claims, runs }
    }

    /// The model of a store that forgets with its process whose turn it was.
    pub(super) fn forgetting(self, forgets: bool) -> Self {
        Self { forgets, ..self }
    }

    /// The side that loses answers: on the way, or else by throwing them away.
    pub(super) fn losing(self, losing: Option<Losing>) -> Self {
        Self {
            loss: losing.map_or(Loss::Dropped, |losing| Loss::OnTheWay(Box::new(losing))),
            ..self
        }
    }

    /// Makes a call, and again when its answer is lost; `again` is what a repeat answers to what was
    /// done.
    async fn ask<T: std::fmt::Debug>(
        &self,
        call: impl AsyncFn() -> Result<T>,
        again: impl FnOnce(T) -> T,
    ) -> Result<T> {
        match &self.loss {
            Loss::Model if self.is_lost => return call().await.map(again),
            Loss::Dropped if self.is_lost => drop(call().await),
            Loss::OnTheWay(losing) if self.is_lost => {
                losing.lose_after(0);
                let answer = call().await;
                if losing.has_lost() {
                    assert!(matches!(answer, Err(StoreError::Unknown(_))), "{answer:?}");
                }
            }
            Loss::Model | Loss::Dropped | Loss::OnTheWay(_) => (),
        }
        call().await
    }

    /// What a call answers first, when it counts each time it is made: only the model hears it.
    async fn first<T: std::fmt::Debug>(&self, call: impl AsyncFn() -> Result<T>) -> Option<T> {
        if !self.is_lost || !matches!(self.loss, Loss::Model) {
            return None;
        }
        call().await.ok()
    }

    /// What was learnt from answers that this side did not get.
    pub(super) fn learn_from(&mut self, other: &Self) {
        self.claims.clone_from(&other.claims);
        self.runs.clone_from(&other.runs);
        self.ids.store(other.ids.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// What the store says the session holds.
    pub(super) async fn held(&self, now: Timestamp) -> String {
        tell(self.store.beat(&self.session, Pulse::default(), now).await.map(|beat| beat.held))
    }

    /// Takes the step, and tells all of its answer.
    pub(super) async fn take(&mut self, op: &Op, now: Timestamp) -> String {
        let store = &self.store;
        match op {
            Op::Put { job, on, keep_cursor, rate } => {
                let on = [
                    Conflict::Fail,
                    Conflict::Keep,
                    Conflict::Replace,
                    Conflict::ReplaceIf(u64::from(*on)),
                ][usize::from(*on)];
                let cursor = Some(now.after(Duration::from_secs(1)));
                let max_instances = u32::try_from(*job).unwrap() + 1;
                let new = new_schedule(JOBS[*job], max_instances);
                let history = History { keep: max_instances, max_age: Duration::from_secs(20) };
                let rate_limit = ["1/m", "2/m", "1/s"].get(usize::from(*rate));
                let rate_limit = rate_limit.map(|text| RateLimit::read(&(*text).into()).unwrap());
                let rules = Rules { rate_limit, ..new.rules };
                let new = NewSchedule { history, rules, ..new };
                let new = NewSchedule { cursor, due_at: cursor, keep_cursor: *keep_cursor, ..new };
                // Who replaces whatever stands replaces it twice.
                let on = match (on, self.is_lost, store.get(&new.key).await.unwrap()) {
                    (Conflict::Replace, true, Some(old)) => Conflict::ReplaceIf(old.version),
                    (Conflict::Replace, true, None) => Conflict::Fail,
                    (on, _, _) => on,
                };
                let again = |put| match (put, on) {
                    (Put::Created(schedule), Conflict::Keep) => Put::Kept(schedule),
                    (put, _) => put,
                };
                tell(self.ask(async || store.put(new.clone(), on, now).await, again).await)
            }
            Op::Patch { job: name, what } => {
                let job = job(JOBS[*name]);
                let there = store.get(&job).await.unwrap().filter(|_| self.is_lost);
                let expect = there.map(|schedule| schedule.version);
                let call = async || store.patch(&job, expect, patch(*what, now), now).await;
                tell(self.ask(call, |version| version).await)
            }
            Op::Remove { job: name } => {
                let job = job(JOBS[*name]);
                let call = async || store.remove(&job, None, LiveRuns::Cancel, now).await;
                tell(self.ask(call, |_| false).await)
            }
            Op::Fire { .. } => self.fire(op, now).await,
            Op::Start { job, id, later } => {
                let not_before = later.then(|| now.after(Duration::from_secs(3)));
                let new = NewRun { not_before, ..new_run(JOBS[*job], *id, now) };
                self.runs.push(RunKey { tenant: new.job.tenant.clone(), run: new.id });
                let again = |started| match started {
                    Started::Made(run) | Started::Exists(run) => Started::Exists(run),
                };
                tell(self.ask(async || store.start(new.clone(), now).await, again).await)
            }
            Op::Allot { tenant, what, queue } => {
                let tenants = BTreeMap::from([(tenant_of(*tenant), allotment(*what))]);
                let queues = (*queue < 3).then(|| (QueueName::default(), u64::from(*queue)));
                let queues = queues.into_iter().collect();
                self.said = Allotments { version: 1, tenants, queues };
                tell(self.ask(async || store.allot(self.said.clone()).await, |counts| counts).await)
            }
            Op::Draw { claim, what, stale } => {
                let Some((run, fence)) = pick(&self.claims, *claim) else { return String::new() };
                let fence = fence + u64::from(*stale);
                let number = |bit| u64::from(what & bit);
                let (cpu, fuel) = (0 < what & 1, 0 < what & 2);
                let draw = Draw { cpu, fuel, http: number(4) / 4, http_bytes: number(8) };
                let call = async || store.draw(&self.session, &run, fence, draw, now).await;
                self.first(&call).await;
                tell(self.ask(&call, |drawn| drawn).await)
            }
            Op::Acquire { slots, is_narrow } => {
                let classes = TENANTS.map(|tenant| PluginKey {
                    tenant: tenant.parse().unwrap(),
                    plugin: "report".parse().unwrap(),
                });
                let classes = Arc::new(BTreeSet::from(classes));
                let queues = Arc::new([QueueName::default()].into());
                let room = if *is_narrow { narrow(*slots) } else { Room::of_slots(*slots) };
                let want = Acquire { room, queues, classes };
                // What the first one took is held, and a beat says so: see `held`.
                let call = async || store.acquire(&self.session, want.clone(), now).await;
                let first = self.first(&call).await.unwrap_or_default();
                let claims = self.ask(&call, |claims| claims).await;
                self.remember(&first);
                self.remember(claims.as_deref().unwrap_or_default());
                tell(claims)
            }
            Op::Finish { claim, retry, stale } => {
                let Some((run, fence)) = pick(&self.claims, *claim) else { return String::new() };
                let fence = fence + u64::from(*stale);
                let retry_at = retry.then(|| now.after(Duration::from_secs(2)));
                let outcome = if *retry { Outcome::Failed } else { Outcome::Succeeded };
                let result = Some(serde_json::json!({ "fence": 1 }));
                let end = AttemptEnd { retry_at, result, ..ended(outcome) };
                let again = |finished| match finished {
                    Finished::Done | Finished::Already => Finished::Already,
                    Finished::Fenced => Finished::Fenced,
                };
                let call =
                    async || store.finish(&self.session, &run, fence, end.clone(), now).await;
                tell(self.ask(call, again).await)
            }
            Op::Log { claim } => {
                let Some((run, fence)) = pick(&self.claims, *claim) else { return String::new() };
                let call = async || store.log_append(&run, fence, vec![line("said")]).await;
                self.first(&call).await;
                let said = tell(self.ask(&call, |()| ()).await);
                said + &tell(store.log_read(&run, 0, 99).await)
            }
            Op::Drop { run } => {
                let Some(run) = pick(&self.runs, *run) else { return String::new() };
                let verdict = Verdict::Expired;
                let call = async || store.drop_run(&run, verdict, "expired".into(), now).await;
                tell(self.ask(call, |dropped| dropped).await)
            }
            Op::Cancel { run } => {
                let Some(run) = pick(&self.runs, *run) else { return String::new() };
                let again = |reply| match reply {
                    CancelReply::Ended | CancelReply::AlreadyDone => CancelReply::AlreadyDone,
                    CancelReply::Asked => CancelReply::Asked,
                };
                tell(self.ask(async || store.cancel(&run, "stop", now).await, again).await)
            }
            Op::Beat => {
                let call = async || store.beat(&self.session, Pulse::default(), now).await;
                tell(self.ask(call, |beat| beat).await)
            }
            Op::Due => {
                let call = async || store.due(&self.session, now, 9).await;
                let mut due = self.ask(call, |due| due).await;
                // Of those that are due at the same time, any may be first.
                if let Ok(due) = &mut due {
                    let place = |schedule: &Arc<Schedule>| (schedule.due_at, schedule.key.clone());
                    due.schedules.sort_by_key(place);
                }
                tell(due)
            }
            Op::Crash => self.crash(now).await,
            Op::Leave => {
                let call = async || store.detach(&self.session, now).await;
                tell(self.ask(call, |()| ()).await) + &self.attach(now).await
            }
            Op::Document { expect, remove } => {
                let value = (!remove).then(|| vec![1]);
                let tenant = job("a").tenant;
                let expect = Some(*expect);
                let call = async || store.doc_put(&tenant, "kv", "k", expect, value.clone()).await;
                tell(self.ask(call, |version| version).await)
            }
            Op::Count { by } => {
                let tenant = job("a").tenant;
                let call = async || store.counter_add(&tenant, "c", *by, Some(5)).await;
                self.first(&call).await;
                tell(self.ask(&call, |sum| sum).await)
            }
            Op::Trim { bodies, hours } => {
                let removed = History { keep: *bodies, max_age: Duration::from_secs(9) };
                let keep = Retention { removed, max_entries: 6 };
                let now = now.after(Duration::from_hours(*hours));
                let call = async || store.trim(keep, 1_000, now).await;
                if !self.is_lost {
                    return tell(call().await);
                }
                // How far it came is nobody's concern, that it comes to an end is.
                while self.ask(call, |trimmed| trimmed).await != Ok(Trimmed::default()) {}
                String::new()
            }
        }
    }

    async fn fire(&mut self, op: &Op, now: Timestamp) -> String {
        let Op::Fire { job: name, fires, missed, wait, claim, stale } = op else {
            return String::new();
        };
        let key = job(JOBS[*name]);
        let Some(schedule) = self.store.get(&key).await.unwrap() else { return String::new() };
        let Some(cursor) = schedule.cursor else { return String::new() };
        let second = |number: u8| cursor.after(Duration::from_secs(number.into()));
        let disposition = if *wait { Disposition::Wait } else { Disposition::Run };
        let fires = (*missed..*missed + *fires)
            .map(|number| PlannedFire { disposition, ..plan(second(number)) })
            .collect();
        let mut ranges = Vec::new();
        if 0 < *missed {
            let misfired = range(Verdict::Misfired, reason::LATE, 0, i64::from(*missed) - 1);
            let (first, last) = (cursor, second(*missed - 1));
            ranges.push(crate::run::Range { first, last, ..misfired });
        }
        let next = Some(second(9));
        let intent = FireIntent {
            job: key.clone(),
            uid: schedule.uid,
            version: schedule.version + u64::from(*stale),
            expect_cursor: cursor,
            fires,
            ranges,
            new_cursor: next,
            new_due_at: next,
            trigger_state: schedule.trigger_state.clone(),
            claim: *claim,
        };
        let now = now.max(second(9));
        let call = async || self.store.fire(&self.session, vec![intent.clone()], now).await;
        let fired = self.ask(call, |fired| fired).await;
        for fired in fired.as_deref().unwrap_or_default() {
            if let Fired::Done { queued, claimed, .. } = fired {
                let tenant = key.tenant.clone();
                self.runs
                    .extend(queued.iter().map(|run| RunKey { tenant: tenant.clone(), run: *run }));
                self.remember(claimed);
            }
        }
        if self.is_lost && matches!(self.loss, Loss::Model) {
            // The cursor has moved by then.
            return tell(fired.map(|_| vec![Fired::Lost]));
        }
        tell(fired)
    }

    fn remember(&mut self, claims: &[Claim]) {
        self.claims.extend(claims.iter().map(|claim| (claim.run.key(), claim.fence)));
        self.runs.extend(claims.iter().map(|claim| claim.run.key()));
    }

    async fn crash(&mut self, now: Timestamp) -> String {
        if self.forgets {
            let target = open(&self.kind, &self.ids).await;
            crate::store::contract::moving::copy(self.store.as_ref(), target.as_ref()).await;
            self.store = target;
        } else if let Kind::Moving(dir, times) = &self.kind {
            self.kind = Kind::Moving(dir.clone(), times + 1);
            let target = open(&self.kind, &self.ids).await;
            crate::store::contract::moving::copy(self.store.as_ref(), target.as_ref()).await;
            self.store = target;
        } else if !matches!(self.kind, Kind::Memory) {
            // The file must be closed before it is opened.
            self.store = Arc::new(EmbeddedStore::memory());
            self.store = open(&self.kind, &self.ids).await;
        }
        // As a host does when it has come.
        self.store.allot(self.said.clone()).await.unwrap();
        self.attach(now).await
    }

    /// Opens a session; on a store that hosts share, ends those from before, as other hosts would
    /// after a while: also one that nobody heard of.
    async fn attach(&mut self, now: Timestamp) -> String {
        let call = async || self.store.attach(HostInfo::named("tower"), now).await;
        if self.is_lost && matches!(self.loss, Loss::Model) {
            self.ids.fetch_add(1, Ordering::Relaxed);
        }
        let attached = self.ask(call, |attached| attached).await;
        let session = attached.as_ref().unwrap().session.clone();
        if self.store.caps().shared {
            for (peer, seen) in self.beat(&session, now).await {
                let call = async || self.store.reap(&session, &peer, seen, now).await;
                self.ask(call, |_| Reaped::default()).await.unwrap();
            }
            assert_eq!(self.beat(&session, now).await, []);
        }
        self.session = session;
        tell(attached.map(|attached| attached.session.id))
    }

    async fn beat(&self, session: &Session, now: Timestamp) -> Vec<(Session, u64)> {
        self.store.beat(session, Pulse::default(), now).await.unwrap().peers
    }

    /// All that is left, as it is read.
    pub(super) async fn rest(&self) -> String {
        let page = || Page { limit: 1_000, cursor: None };
        let mut rest = tell(self.store.list(JobFilter::default(), page()).await);
        rest += &tell(self.store.runs(RunFilter::default(), page()).await);
        rest += &tell(self.store.usage(UsageFilter::default(), page()).await);
        for tenant in 0..TENANTS.len() {
            rest += &tell(self.store.account(&tenant_of(tenant), at(0)).await);
        }
        for name in JOBS {
            rest += &tell(self.store.ledger(&job(name), LedgerFilter::default(), page()).await);
        }
        for run in &self.runs {
            rest += &tell(self.store.log_read(run, 0, 99).await);
        }
        rest + &tell(self.store.health().await)
    }
}

async fn open(kind: &Kind, ids: &Arc<AtomicU64>) -> Arc<dyn Store> {
    let ids = Arc::clone(ids);
    let fresh = move || Id128::from_bits(ids.fetch_add(1, Ordering::Relaxed).into());
    match kind {
        Kind::Moving(_, times) if times % 2 == 0 => {
            let settings = Settings { access: Access::Import, ..server::settings() };
            Arc::new(RedisStore::open(settings).await.unwrap().with_ids(fresh))
        }
        Kind::Moving(dir, times) => {
            let path = dir.join(format!("{times}.db"));
            Arc::new(EmbeddedStore::open(&path).unwrap().with_ids(fresh))
        }
        Kind::Memory => Arc::new(EmbeddedStore::memory().with_ids(fresh)),
        Kind::Sqlite(path) => Arc::new(EmbeddedStore::open(path).unwrap().with_ids(fresh)),
        Kind::Redis(settings) => {
            Arc::new(RedisStore::open(settings.as_ref().clone()).await.unwrap().with_ids(fresh))
        }
    }
}

fn tenant_of(number: usize) -> TenantId {
    TENANTS[number].parse().unwrap()
}

/// A small quota, or none.
fn allotment(what: u8) -> Allotment {
    let limits: &[(QuotaKey, u64)] = match what {
        0 => &[(QuotaKey::MaxRunning, 1)],
        1 => &[(QuotaKey::Memory, 100 << 20)],
        2 => &[(QuotaKey::RunsPerMinute, 2)],
        3 => &[(QuotaKey::CpuPerHour, 33)],
        4 => &[(QuotaKey::FuelPerHour, 50_000_030), (QuotaKey::CpuPerHour, 1 << 53)],
        5 => &[(QuotaKey::Queued, 2), (QuotaKey::Jobs, 1)],
        6 => &[(QuotaKey::HttpPerHour, 2), (QuotaKey::HttpBytesPerHour, 9)],
        _ => &[],
    };
    let put = |quota: Quota, (key, limit): &(QuotaKey, u64)| quota.with(*key, *limit);
    let weight = if what == 7 { 3 } else { 1 };
    Allotment { quota: limits.iter().fold(Quota::default(), put), weight }
}

/// Room that two tenants share, for two runs of one in memory.
fn narrow(slots: usize) -> Room {
    let total = Amount { slots: slots as u64, memory: 200 << 20 };
    Room::new(total, 100 << 20, 2, BTreeMap::new())
}

fn patch(what: u8, now: Timestamp) -> Patch {
    let pause = Pause { by: "ann".to_owned(), why: "holidays".to_owned(), until: None };
    let cursor = Some(now.after(Duration::from_secs(2)));
    match what {
        0 => Patch { pause: Some(Some(pause)), ..Patch::default() },
        1 => Patch { pause: Some(None), ..Patch::default() },
        2 => Patch { parked: Some(None), cursor: Some((cursor, cursor)), ..Patch::default() },
        _ => Patch { cursor: Some((cursor, None)), ..Patch::default() },
    }
}

fn pick<T: Clone>(items: &[T], number: usize) -> Option<T> {
    items.get(number.checked_rem(items.len())?).cloned()
}

fn tell<T: std::fmt::Debug>(answer: Result<T>) -> String {
    format!("{answer:?}\n")
}
