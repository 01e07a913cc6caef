//! Stores beside the one in memory, one sequence of random steps: every answer is the same, and so is
//! what is left.
//!
//! A crash is a new process for a file or a new connection to a server, and a new session for both. With crashes, no run waits for
//! a time of its own: which of a job's waiting runs is first in line may change when a file is read
//! again, how many may run does not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::server;
use super::world::{at, ended, job, line, new_run, new_schedule, plan, range};
use crate::job::names::QueueName;
use crate::job::{History, PluginKey};
use crate::record::query::{JobFilter, LedgerFilter, Page, RunFilter};
use crate::record::step::Pulse;
use crate::record::step::{
    Acquire, AttemptEnd, Claim, Conflict, Disposition, FireIntent, Fired, LiveRuns, NewRun,
    NewSchedule, Patch, PlannedFire, Retention,
};
use crate::record::{Pause, Session};
use crate::run::id::{Fence, Id128, Uid};
use crate::run::outcome::Outcome;
use crate::run::{RunKey, Verdict, reason};
use crate::store::embedded::EmbeddedStore;
use crate::store::redis::RedisStore;
use crate::store::redis::settings::{Access, Settings};
use crate::store::{Result, Store};
use crate::time::Timestamp;

const JOBS: [&str; 3] = ["a", "b", "acme/a"];

/// One step, in numbers that are taken modulo what there is.
#[derive(Clone, Debug)]
enum Op {
    Put { job: usize, on: u8, keep_cursor: bool },
    Patch { job: usize, what: u8 },
    Remove { job: usize },
    Fire { job: usize, fires: u8, missed: u8, wait: bool, claim: usize, stale: bool },
    Start { job: usize, id: u128, later: bool },
    Acquire { slots: usize },
    Finish { claim: usize, retry: bool, stale: bool },
    Log { claim: usize },
    Drop { run: usize },
    Cancel { run: usize },
    Beat,
    Due,
    Crash,
    Document { expect: u64, remove: bool },
    Count { by: i64 },
    Trim { bodies: u32, hours: u64 },
}

fn ops(crashes: bool) -> impl Strategy<Value = Vec<Op>> {
    let job = 0..JOBS.len();
    let op = prop_oneof![
        2 => (job.clone(), 0..4_u8, any::<bool>())
            .prop_map(|(job, on, keep_cursor)| Op::Put { job, on, keep_cursor }),
        2 => (job.clone(), 0..4_u8).prop_map(|(job, what)| Op::Patch { job, what }),
        1 => job.clone().prop_map(|job| Op::Remove { job }),
        9 => (job.clone(), 0..4_u8, 0..3_u8, any::<bool>(), 0..3_usize, prop::bool::weighted(0.1))
            .prop_map(|(job, fires, missed, wait, claim, stale)| {
                Op::Fire { job, fires, missed, wait, claim, stale }
            }),
        4 => (job, 0..9_u128, any::<bool>())
            .prop_map(move |(job, id, later)| Op::Start { job, id, later: later && !crashes }),
        5 => (0..4_usize).prop_map(|slots| Op::Acquire { slots }),
        7 => (any::<usize>(), prop::bool::weighted(0.3), prop::bool::weighted(0.1))
            .prop_map(|(claim, retry, stale)| Op::Finish { claim, retry, stale }),
        2 => any::<usize>().prop_map(|claim| Op::Log { claim }),
        1 => any::<usize>().prop_map(|run| Op::Drop { run }),
        2 => any::<usize>().prop_map(|run| Op::Cancel { run }),
        1 => Just(Op::Beat),
        1 => Just(Op::Due),
        1 => Just(if crashes { Op::Crash } else { Op::Beat }),
        1 => (0..3_u64, any::<bool>())
            .prop_map(|(expect, remove)| Op::Document { expect, remove }),
        1 => (-2..4_i64).prop_map(|by| Op::Count { by }),
        1 => (0..3_u32, 0..2_u64).prop_map(|(bodies, hours)| Op::Trim { bodies, hours }),
    ];
    prop::collection::vec(op, 1..60)
}

/// Where a store is.
#[derive(Clone)]
enum Kind {
    /// On a server and in a file by turns: what dies there moves to the other.
    Moving(PathBuf, u32),
    Memory,
    Sqlite(PathBuf),
    Redis(Box<Settings>),
}

/// One of the two stores, with what its caller remembers.
struct Side {
    store: Arc<dyn Store>,
    kind: Kind,
    ids: Arc<AtomicU64>,
    session: Session,
    claims: Vec<(RunKey, Fence)>,
    runs: Vec<RunKey>,
}

impl Side {
    async fn new(kind: Kind) -> Self {
        let ids = Arc::new(AtomicU64::new(1));
        let store = open(&kind, &ids).await;
        let session = attach(&store, at(0)).await.unwrap();
        Self { store, kind, ids, session, claims: Vec::new(), runs: Vec::new() }
    }

    /// Takes the step, and tells all of its answer.
    async fn take(&mut self, op: &Op, now: Timestamp) -> String {
        let store = &self.store;
        match op {
            Op::Put { job, on, keep_cursor } => {
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
                let new = NewSchedule { history, ..new };
                let new = NewSchedule { cursor, due_at: cursor, keep_cursor: *keep_cursor, ..new };
                tell(store.put(new, on, now).await)
            }
            Op::Patch { job, what } => tell(
                store.patch(&super::world::job(JOBS[*job]), None, patch(*what, now), now).await,
            ),
            Op::Remove { job } => {
                let job = super::world::job(JOBS[*job]);
                tell(store.remove(&job, None, LiveRuns::Cancel, now).await)
            }
            Op::Fire { .. } => self.fire(op, now).await,
            Op::Start { job, id, later } => {
                let not_before = later.then(|| now.after(Duration::from_secs(3)));
                let new = NewRun { not_before, ..new_run(JOBS[*job], *id, now) };
                self.runs.push(RunKey { tenant: new.job.tenant.clone(), run: new.id });
                tell(store.start(new, now).await)
            }
            Op::Acquire { slots } => {
                let classes = ["acme", "default"].map(|tenant| PluginKey {
                    tenant: tenant.parse().unwrap(),
                    plugin: "report".parse().unwrap(),
                });
                let classes = Arc::new(BTreeSet::from(classes));
                let queues = Arc::new([QueueName::default()].into());
                let want = Acquire { slots: *slots, queues, classes };
                let claims = store.acquire(&self.session, want, now).await;
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
                tell(store.finish(&self.session, &run, fence, end, now).await)
            }
            Op::Log { claim } => {
                let Some((run, fence)) = pick(&self.claims, *claim) else { return String::new() };
                let said = tell(store.log_append(&run, fence, vec![line("said")]).await);
                said + &tell(store.log_read(&run, 0, 99).await)
            }
            Op::Drop { run } => {
                let Some(run) = pick(&self.runs, *run) else { return String::new() };
                tell(store.drop_run(&run, Verdict::Expired, "expired".into(), now).await)
            }
            Op::Cancel { run } => {
                let Some(run) = pick(&self.runs, *run) else { return String::new() };
                tell(store.cancel(&run, "stop", now).await)
            }
            Op::Beat => tell(store.beat(&self.session, Pulse::default(), now).await),
            Op::Due => tell(store.due(&self.session, now, 2).await),
            Op::Crash => self.crash(now).await,
            Op::Document { expect, remove } => {
                let value = (!remove).then(|| vec![1]);
                let tenant = job("a").tenant;
                tell(store.doc_put(&tenant, "kv", "k", Some(*expect), value).await)
            }
            Op::Count { by } => tell(store.counter_add(&job("a").tenant, "c", *by, Some(5)).await),
            Op::Trim { bodies, hours } => {
                let removed = History { keep: *bodies, max_age: Duration::from_secs(9) };
                let keep = Retention { removed, max_entries: 6 };
                let now = now.after(Duration::from_hours(*hours));
                tell(store.trim(keep, 1_000, now).await)
            }
        }
    }

    async fn fire(&mut self, op: &Op, now: Timestamp) -> String {
        let Op::Fire { job, fires, missed, wait, claim, stale } = op else { return String::new() };
        let key = super::world::job(JOBS[*job]);
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
        let fired = self.store.fire(&self.session, vec![intent], now.max(second(9))).await;
        for fired in fired.as_deref().unwrap_or_default() {
            if let Fired::Done { queued, claimed, .. } = fired {
                let tenant = key.tenant.clone();
                self.runs
                    .extend(queued.iter().map(|run| RunKey { tenant: tenant.clone(), run: *run }));
                self.remember(claimed);
            }
        }
        tell(fired)
    }

    fn remember(&mut self, claims: &[Claim]) {
        self.claims.extend(claims.iter().map(|claim| (claim.run.key(), claim.fence)));
        self.runs.extend(claims.iter().map(|claim| claim.run.key()));
    }

    async fn crash(&mut self, now: Timestamp) -> String {
        if let Kind::Moving(dir, times) = &self.kind {
            self.kind = Kind::Moving(dir.clone(), times + 1);
            let target = open(&self.kind, &self.ids).await;
            super::moving::copy(self.store.as_ref(), target.as_ref()).await;
            self.store = target;
        } else if !matches!(self.kind, Kind::Memory) {
            // The file must be closed before it is opened.
            self.store = Arc::new(EmbeddedStore::memory());
            self.store = open(&self.kind, &self.ids).await;
        }
        let attached = attach(&self.store, now).await;
        self.session = attached.clone().unwrap();
        tell(attached.map(|session| session.id))
    }

    /// All that is left, as it is read.
    async fn rest(&self) -> String {
        let page = || Page { limit: 1_000, cursor: None };
        let mut rest = tell(self.store.list(JobFilter::default(), page()).await);
        rest += &tell(self.store.runs(RunFilter::default(), page()).await);
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

async fn attach(store: &Arc<dyn Store>, now: Timestamp) -> Result<Session> {
    super::world::attach(store.as_ref(), now).await.map(|attached| attached.session)
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

async fn run(ops: Vec<Op>, other: Kind) {
    let mut memory = Side::new(Kind::Memory).await;
    let mut other = Side::new(other).await;
    let mut now = at(0);
    for (number, op) in ops.iter().enumerate() {
        now = now.after(Duration::from_secs(4));
        let answers = (memory.take(op, now).await, other.take(op, now).await);
        assert_eq!(answers.0, answers.1, "step {number}: {op:?}");
    }
    for (one, other) in memory.rest().await.lines().zip(other.rest().await.lines()) {
        assert_eq!(one, other);
    }
    for side in [&memory, &other] {
        slots_are_never_exceeded(side.store.as_ref()).await;
        assert_eq!(side.store.faults().await, Ok(Vec::new()));
    }
}

/// I5: no job has more runs under way than it may.
async fn slots_are_never_exceeded(store: &dyn Store) {
    use crate::run::RunState::{Retrying, Running};
    let page = || Page { limit: 1_000, cursor: None };
    let started = RunFilter { states: vec![Running, Retrying], ..RunFilter::default() };
    let runs = store.runs(started, page()).await.unwrap().items;
    for schedule in store.list(JobFilter::default(), page()).await.unwrap().items {
        let uid: Uid = schedule.uid;
        let live = runs.iter().filter(|run| run.uid == uid).count();
        assert!(live <= usize::try_from(schedule.max_instances).unwrap(), "{}", schedule.key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_sqlite_answer_alike(ops in ops(false)) {
        wait_for(run(ops, file(&tempfile::tempdir().unwrap())));
    }

    #[test]
    fn memory_and_sqlite_answer_alike_when_processes_die(ops in ops(true)) {
        wait_for(run(ops, file(&tempfile::tempdir().unwrap())));
    }

    #[test]
    fn memory_and_redis_answer_alike(ops in ops(false)) {
        wait_for(run(ops, Kind::Redis(Box::new(server::settings()))));
    }

    #[test]
    fn memory_and_what_moves_from_store_to_store_answer_alike(ops in ops(true)) {
        let dir = tempfile::tempdir().unwrap();
        wait_for(run(ops, Kind::Moving(dir.path().to_owned(), 0)));
    }

    #[test]
    fn memory_and_redis_answer_alike_when_processes_die(ops in ops(true)) {
        wait_for(run(ops, Kind::Redis(Box::new(server::settings()))));
    }
}

fn file(dir: &tempfile::TempDir) -> Kind {
    Kind::Sqlite(dir.path().join("campanile.db"))
}

fn wait_for(steps: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(steps);
}
