//! The stage of a test: a store, a session, and short words for what is put into it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use super::server;
use crate::job::names::QueueName;
use crate::job::{Delivery, History, JobKey, PluginKey, Source};
use crate::record::packed::{Effective, Packed};
use crate::record::query::{LedgerFilter, LedgerItem, Page};
use crate::record::room::Room;
use crate::record::step::{
    Acquire, Attached, AttemptEnd, Claim, Conflict, Disposition, Finished, FireIntent, Fired,
    NewRun, NewSchedule, PlannedFire, Pulse, Put, Reaped, RunSpec, Started,
};
use crate::record::{Definition, Durability, HostInfo, Rules, Schedule, Session, TriggerState};
use crate::run::id::{RunId, Uid};
use crate::run::outcome::Outcome;
use crate::run::usage::{Effect, IoUse, Usage};
use crate::run::{Cause, LogLevel, LogLine, LogStream, Range, Run, RunKey, Verdict, reason};
use crate::store::embedded::EmbeddedStore;
use crate::store::error::StoreError;
use crate::store::redis::RedisStore;
use crate::store::redis::settings::{Access, Settings};
use crate::store::{Result, Store};
use crate::time::Timestamp;

pub(super) struct World {
    pub(super) store: Arc<dyn Store>,
    file: Option<(TempDir, PathBuf)>,
    /// Where the store is, when it is on a server.
    server: Option<Settings>,
}

impl World {
    pub(super) async fn memory() -> Self {
        Self { store: Arc::new(EmbeddedStore::memory()), file: None, server: None }
    }

    pub(super) async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("campanile.db");
        let store = Arc::new(EmbeddedStore::open(&path).unwrap());
        Self { store, file: Some((dir, path)), server: None }
    }

    pub(super) async fn redis() -> Self {
        Self::on(server::settings()).await
    }

    async fn on(settings: Settings) -> Self {
        let store = Arc::new(RedisStore::open(settings.clone()).await.unwrap());
        Self { store, file: None, server: Some(settings) }
    }

    pub(super) fn over(store: EmbeddedStore) -> Self {
        Self { store: Arc::new(store), file: None, server: None }
    }

    /// The file of the store.
    pub(super) fn path(&self) -> &Path {
        self.file.as_ref().map(|(_, path)| path.as_path()).unwrap()
    }

    /// The store after its process has died, when it is of a kind that survives that: the files as
    /// they are now, with nothing closed.
    pub(super) async fn reopen(self) -> Option<Self> {
        if let Some(settings) = self.server {
            return Some(Self::on(settings).await);
        }
        let (_, path) = self.file.as_ref()?;
        let dir = tempfile::tempdir().unwrap();
        for name in ["campanile.db", "campanile.db-wal"] {
            std::fs::copy(path.with_file_name(name), dir.path().join(name)).unwrap();
        }
        let path = dir.path().join("campanile.db");
        let store = Arc::new(EmbeddedStore::open(&path).unwrap());
        assert_ne!(store.caps().durability, Durability::Volatile);
        Some(Self { store, file: Some((dir, path)), server: None })
    }

    /// On a server, opens the store as an import does: others are not let in while one is under way.
    pub(super) async fn let_imports_in(&mut self) {
        if let Some(settings) = &self.server {
            let settings = Settings { access: Access::Import, ..settings.clone() };
            self.store = Arc::new(RedisStore::open(settings).await.unwrap());
        }
    }

    /// How a host is refused that comes now: in this process, and after a restart where there is one.
    pub(super) async fn attach_as_a_host_would(&self, info: HostInfo) -> Vec<StoreError> {
        if let Some(settings) = &self.server {
            return RedisStore::open(settings.clone()).await.err().into_iter().collect();
        }
        let mut refused = vec![self.store.attach(info.clone(), at(9)).await.unwrap_err()];
        if let Some((_, path)) = &self.file {
            let dir = tempfile::tempdir().unwrap();
            for name in ["campanile.db", "campanile.db-wal"] {
                std::fs::copy(path.with_file_name(name), dir.path().join(name)).unwrap();
            }
            let again = EmbeddedStore::open(&dir.path().join("campanile.db")).unwrap();
            refused.push(again.attach(info, at(9)).await.unwrap_err());
        }
        refused
    }

    pub(super) async fn attach(&self, now: Timestamp) -> Session {
        self.attach_after(now).await.0
    }

    pub(super) async fn attach_after(&self, now: Timestamp) -> (Session, Reaped) {
        let attached = attach(self.store.as_ref(), now).await.unwrap();
        (attached.session, attached.reaped)
    }

    /// A new job that is first due at second 0.
    pub(super) async fn put(&self, name: &str, max_instances: u32) -> Schedule {
        let new = new_schedule(name, max_instances);
        match self.store.put(new, Conflict::Fail, at(0)).await.unwrap() {
            Put::Created(schedule) => schedule,
            Put::Replaced(_) | Put::Kept(_) => unreachable!("there was none"),
        }
    }

    /// The same, with so much of its past kept.
    pub(super) async fn put_with(&self, name: &str, history: History) -> Schedule {
        let new = NewSchedule { history, keep_cursor: true, ..new_schedule(name, 9) };
        match self.store.put(new, Conflict::Replace, at(0)).await.unwrap() {
            Put::Created(schedule) | Put::Replaced(schedule) => schedule,
            Put::Kept(_) => unreachable!("it is replaced"),
        }
    }

    pub(super) async fn get(&self, name: &str) -> Schedule {
        self.store.get(&job(name)).await.unwrap().unwrap()
    }

    pub(super) async fn fire_all(
        &self,
        session: &Session,
        intents: Vec<FireIntent>,
        now: Timestamp,
    ) -> Result<Vec<Fired>> {
        self.store.fire(session, intents, now).await
    }

    /// The ids of runs queued, claims, and fire times skipped.
    pub(super) async fn fire(
        &self,
        session: &Session,
        intent: FireIntent,
        now: Timestamp,
    ) -> (Vec<RunId>, Vec<Claim>, Vec<Timestamp>) {
        match self.fire_all(session, vec![intent], now).await.unwrap().pop().unwrap() {
            Fired::Done { queued, claimed, skipped, over_quota: _ } => (queued, claimed, skipped),
            Fired::Lost => unreachable!("nobody else fires"),
        }
    }

    /// Fires the job's next second and claims the run.
    pub(super) async fn fire_and_claim(&self, session: &Session, name: &str) -> Claim {
        let schedule = self.get(name).await;
        let second = schedule.cursor.unwrap();
        let intent = FireIntent { claim: 1, ..intent(&schedule, [plan(second)]) };
        self.fire(session, intent, second).await.1.pop().unwrap()
    }

    pub(super) async fn acquire(&self, session: &Session, now: Timestamp) -> Vec<Claim> {
        let classes = ["acme", "default"].map(|tenant| PluginKey {
            tenant: tenant.parse().unwrap(),
            plugin: "report".parse().unwrap(),
        });
        let want = want(100, classes);
        self.store.acquire(session, want, now).await.unwrap()
    }

    pub(super) async fn finish(
        &self,
        session: &Session,
        claim: &Claim,
        outcome: Outcome,
        now: Timestamp,
    ) -> Finished {
        let key = claim.run.key();
        self.store.finish(session, &key, claim.fence, ended(outcome), now).await.unwrap()
    }

    pub(super) async fn start(&self, name: &str, id: u128, now: Timestamp) -> Run {
        match self.store.start(new_run(name, id, now), now).await.unwrap() {
            Started::Made(run) | Started::Exists(run) => run,
        }
    }

    pub(super) async fn run(&self, id: RunId) -> Run {
        self.store.run(&run_key(id)).await.unwrap().unwrap()
    }

    pub(super) async fn ledger(&self, name: &str) -> Vec<LedgerItem> {
        let page = Page::default();
        self.store.ledger(&job(name), LedgerFilter::default(), page).await.unwrap().items
    }
}

/// Opens a session, and ends those from before: on a store that hosts share, as other hosts would
/// after a while.
pub(super) async fn attach(store: &dyn Store, now: Timestamp) -> Result<Attached> {
    let mut attached = store.attach(HostInfo::named("tower"), now).await?;
    if store.caps().shared {
        let session = &attached.session;
        for (peer, seen) in store.beat(session, Pulse::default(), now).await?.peers {
            let reaped = store.reap(session, &peer, seen, now).await?;
            attached.reaped.rescued.extend(reaped.rescued);
            attached.reaped.abandoned.extend(reaped.abandoned);
            attached.reaped.cancelled.extend(reaped.cancelled);
        }
        // With the dead gone, nobody goes before this one.
        store.beat(session, Pulse::default(), now).await?;
    }
    Ok(attached)
}

/// What a job keeps of its past unless the test says otherwise.
pub(super) const HISTORY: History =
    History { keep: 100, max_age: std::time::Duration::from_hours(30 * 24) };

/// So many seconds after a Sunday in 2001.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_000_000_000 + seconds)
}

pub(super) fn job(name: &str) -> JobKey {
    match name.split_once('/') {
        Some((tenant, job)) => {
            JobKey { tenant: tenant.parse().unwrap(), job: job.parse().unwrap() }
        }
        None => JobKey { tenant: "default".parse().unwrap(), job: name.parse().unwrap() },
    }
}

pub(super) fn run_key(id: RunId) -> RunKey {
    RunKey { tenant: "default".parse().unwrap(), run: id }
}

pub(crate) fn new_schedule(name: &str, max_instances: u32) -> NewSchedule {
    NewSchedule {
        key: job(name),
        source: Source::Api,
        def: Definition {
            definition: Packed::of(&json!({ "plugin": "report" })),
            effective: Effective::of(
                &json!({ "plugin": "report", "handler": "run", "args": [1, 2, 3] }),
            ),
            digest: "d1".to_owned(),
            config_version: 1,
            origin: "a test".to_owned(),
            origins: Default::default(),
        },
        cursor: Some(at(0)),
        due_at: Some(at(0)),
        trigger_state: TriggerState { anchor: at(0) },
        keep_cursor: false,
        rules: Rules::default(),
        max_instances,
        history: HISTORY,
        parked: None,
        ranges: Vec::new(),
    }
}

/// Runs of these plugins, from the queue of those that name none.
pub(super) fn want<const N: usize>(slots: usize, classes: [PluginKey; N]) -> Acquire {
    let queues = Arc::new(BTreeSet::from([QueueName::default()]));
    let room = Room::of_slots(slots);
    Acquire { room, queues, classes: Arc::new(BTreeSet::from(classes)) }
}

pub(super) fn spec() -> RunSpec {
    RunSpec {
        plugin: "report".parse().unwrap(),
        handler: "run".parse().unwrap(),
        queue: QueueName::default(),
        priority: 5,
        delivery: Delivery::AtLeastOnce,
        max_rescues: 3,
        memory: 64 << 20,
    }
}

pub(super) fn plan(second: Timestamp) -> PlannedFire {
    PlannedFire {
        start_by: None,
        fire_time: second,
        due_at: second,
        disposition: Disposition::Run,
        covers: 1,
        reason: reason::ON_TIME.into(),
        spec: spec(),
    }
}

/// An intent of these fires, after which the next second is due.
pub(super) fn intent<const N: usize>(schedule: &Schedule, fires: [PlannedFire; N]) -> FireIntent {
    let last = fires.last().map_or(schedule.cursor, |fire| Some(fire.fire_time)).unwrap();
    let next = last.after(std::time::Duration::from_secs(1));
    FireIntent {
        job: schedule.key.clone(),
        uid: schedule.uid,
        version: schedule.version,
        expect_cursor: schedule.cursor.unwrap(),
        fires: fires.to_vec(),
        ranges: Vec::new(),
        new_cursor: Some(next),
        new_due_at: Some(next),
        trigger_state: schedule.trigger_state.clone(),
        claim: 0,
    }
}

pub(super) fn range(verdict: Verdict, reason: &'static str, first: i64, last: i64) -> Range {
    let count = u64::try_from(last - first + 1).unwrap();
    let (first, last) = (at(first), at(last));
    Range { verdict, reason: reason.into(), first, last, count, into: None }
}

pub(crate) fn new_run(name: &str, id: u128, now: Timestamp) -> NewRun {
    NewRun {
        start_by: None,
        job: job(name),
        id: Uid::from_bits(id),
        cause: Cause::Manual,
        fire_time: now,
        not_before: None,
        args: None,
        spec: spec(),
        reason: reason::MANUAL.into(),
    }
}

pub(super) fn ended(outcome: Outcome) -> AttemptEnd {
    AttemptEnd {
        outcome,
        result: None,
        error: None,
        usage: Usage {
            wall_ms: 7,
            cpu_ms: 5,
            waited_ms: 1,
            fuel: Some(11),
            peak_memory_bytes: 65_537,
            host_calls: 3,
            io: BTreeMap::from([
                (Effect::Http, IoUse { calls: 2, bytes_in: 9, bytes_out: 4 }),
                (Effect::Log, IoUse { calls: 1, bytes_in: 0, bytes_out: 6 }),
            ]),
        },
        digest: Some("sha256:0".to_owned()),
        progress: None,
        log: Vec::new(),
        retry_at: None,
    }
}

pub(super) fn line(message: &str) -> LogLine {
    LogLine {
        t: at(0),
        level: LogLevel::Info,
        stream: LogStream::Log,
        context: String::new(),
        message: message.to_owned(),
    }
}
