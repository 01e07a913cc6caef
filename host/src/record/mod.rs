//! What a store keeps and what its steps take and give, as values.
//!
//! The rules of `schedule` decide in these words; `store` keeps them. Nothing here waits or decides.

pub mod account;
#[cfg(test)]
mod account_tests;
pub mod packed;
pub mod portable;
pub mod query;
pub mod room;
pub mod step;
pub mod tenant;
pub mod used;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::job::names::QueueName;
use crate::job::rate::RateLimit;
use crate::job::{History, JobKey, Overlap, Policy, Source};
use crate::run::id::{SessionId, Uid};
use crate::time::Timestamp;
use packed::{Effective, Packed};

/// What a store is and survives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Kind and place for people, without credentials: `sqlite:/srv/.campanile/campanile.db`.
    pub name: String,
    /// Whether several hosts may schedule on it.
    pub shared: bool,
    /// What it survives.
    pub durability: Durability,
}

/// What a store survives (its durability class).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Nothing: gone with the process.
    Volatile,
    /// The death of a process.
    Process,
    /// Loss of power.
    Power,
}

/// An open session of one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// Name of its host, for people.
    pub host: String,
    /// The generation of the store that it attached to.
    pub generation: u64,
}

/// What a host does in its fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It fires what is due.
    Scheduler,
    /// It takes runs.
    Executor,
    /// It serves people.
    Api,
}

impl Role {
    /// The word for it, as in files and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Executor => "executor",
            Self::Api => "api",
        }
    }
}

/// What a host says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInfo {
    /// Its name, for people.
    pub host: String,
    /// The version of its program.
    pub version: String,
    /// What it does.
    pub roles: BTreeSet<Role>,
    /// The queues that it takes runs from.
    pub queues: BTreeSet<QueueName>,
    /// The plugins that it holds, and the digest of each.
    pub plugins: BTreeMap<String, String>,
    /// Runs under way on it.
    pub running: u64,
}

impl HostInfo {
    /// A host of this name that plays every role and serves the queue of runs that name none.
    pub fn named(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            roles: BTreeSet::from([Role::Scheduler, Role::Executor, Role::Api]),
            queues: BTreeSet::from([QueueName::default()]),
            plugins: BTreeMap::new(),
            running: 0,
        }
    }
}

/// A host as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// Its session.
    pub session: Session,
    /// Beats so far.
    pub counter: u64,
    /// What it said last.
    pub info: HostInfo,
    /// When its session was opened.
    pub since: Timestamp,
    /// When it beat last, by the store's clock: for people, never to judge whether it lives.
    pub beat_at: Timestamp,
    /// Its clock less the store's at that time, microseconds.
    pub clock_offset_us: i64,
}

/// One job as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name.
    pub key: JobKey,
    /// This creation of it.
    pub uid: Uid,
    /// 1 at first, 1 more at each change.
    pub version: u64,
    /// Who defines it.
    pub source: Source,
    /// The job as written, the job as it works, and what to reconcile it by. Shared: it is large,
    /// and the rest of the schedule changes with each fire.
    #[serde(serialize_with = "write_shared", deserialize_with = "read_shared")]
    pub def: Arc<Definition>,
    /// The next fire time; `None` when there is none.
    pub cursor: Option<Timestamp>,
    /// When that fire is due: the cursor plus jitter.
    pub due_at: Option<Timestamp>,
    /// What the trigger remembers.
    pub trigger_state: TriggerState,
    /// The newest fire time that has a verdict or a run. The cursor never goes back to it.
    pub last_fire: Option<Timestamp>,
    /// From here to the cursor every fire time of the trigger has a verdict or a live run; `None`:
    /// nothing is promised yet. Moves when the cursor is put elsewhere.
    #[serde(default)]
    pub accounted_from: Option<Timestamp>,
    /// Set while it is paused.
    pub pause: Option<Pause>,
    /// Set while it is not scheduled for another reason.
    pub parked: Option<String>,
    /// Live runs at most.
    pub max_instances: u32,
    /// What the store does by itself about its fires and failures.
    #[serde(default)]
    pub rules: Rules,
    /// Runs in a row that did not succeed.
    #[serde(default)]
    pub failures: u32,
    /// Runs begun in the present window of its `rate_limit`. Boxed: most jobs have none.
    #[serde(default)]
    pub begun: Option<Box<Begun>>,
    /// How much of its past is kept.
    pub history: History,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// The last run that was made for it.
    pub last_run: Option<LastRun>,
}

/// Runs of a job that began in one window of its `rate_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// When the window began.
    pub since: Timestamp,
    /// How many.
    pub runs: u32,
}

impl Begun {
    /// When another run may begin, if not at `now`: as many began in the present window as `rate` lets.
    pub fn full_until(self, rate: RateLimit, now: Timestamp) -> Option<Timestamp> {
        let is_full = self.since == rate.window_of(now) && rate.runs.get() <= self.runs;
        is_full.then(|| self.since.after(rate.per.length()))
    }

    /// What was counted `before`, and one more run at `now`.
    pub fn and_one(before: Option<Self>, rate: RateLimit, now: Timestamp) -> Self {
        let since = rate.window_of(now);
        let runs = before.filter(|before| before.since == since).map_or(0, |before| before.runs);
        Self { since, runs: runs.saturating_add(1) }
    }
}

/// What the store does by itself about a job's fires and failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// What becomes of a fire when `max_instances` runs are live.
    pub overlap: Overlap,
    /// With [`Overlap::Queue`], so many wait at most.
    pub queue_limit: u32,
    /// After so many runs in a row that did not succeed the job is paused.
    pub pause_after_failures: Option<u32>,
    /// How often its runs may begin.
    #[serde(default)]
    pub rate_limit: Option<RateLimit>,
}

impl Rules {
    /// Those that a job's policy asks for.
    pub fn of(policy: &Policy) -> Self {
        Self {
            overlap: policy.overlap,
            queue_limit: policy.queue_limit,
            pause_after_failures: policy.pause_after_failures.map(NonZeroU32::get),
            rate_limit: policy.rate_limit,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            overlap: Overlap::Skip,
            queue_limit: 1,
            pause_after_failures: None,
            rate_limit: None,
        }
    }
}

/// The three texts of a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Definition {
    /// What its owner wrote.
    pub definition: Packed<Value>,
    /// With every layer merged, defaults filled in and limits clamped.
    pub effective: Effective,
    /// Digest of `definition` and all that was merged into it.
    pub digest: String,
    /// Of two hosts' definitions the higher wins.
    pub config_version: i64,
    /// The file or plugin it was read from, for people.
    pub origin: String,
    /// Who gave each effective value that is not built in, by dotted key, for people. Empty in what
    /// an older host wrote.
    #[serde(default)]
    pub origins: Packed<BTreeMap<String, String>>,
}

/// What a trigger remembers between fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerState {
    /// The first registration: where an interval without a start has its grid.
    pub anchor: Timestamp,
}

/// Why a job is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who paused it.
    pub by: String,
    /// What they said.
    pub why: String,
    /// When it goes on by itself.
    pub until: Option<Timestamp>,
}

/// The last run of a job in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastRun {
    /// Its id.
    pub run: crate::run::id::RunId,
    /// When it last changed state.
    pub at: Timestamp,
    /// Where it stands.
    pub state: crate::run::RunState,
    /// How it ended.
    pub outcome: Option<crate::run::outcome::Outcome>,
    /// When the job last succeeded, that is told to the guest.
    pub previous_success: Option<Timestamp>,
}

/// A small document: key-value data, pins, approvals, audit lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doc {
    /// Its key within tenant and kind.
    pub key: String,
    /// 1 at first, 1 more at each write.
    pub version: u64,
    /// The bytes.
    pub value: Vec<u8>,
}

/// How a store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether it takes writes.
    pub ok: bool,
    /// Why not.
    pub problem: Option<String>,
    /// Jobs it holds.
    pub schedules: u64,
    /// Runs queued, running or retrying.
    pub live_runs: u64,
    /// Runs done.
    pub done_runs: u64,
}

fn write_shared<S: Serializer>(def: &Arc<Definition>, serializer: S) -> Result<S::Ok, S::Error> {
    def.as_ref().serialize(serializer)
}

fn read_shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Definition>, D::Error> {
    Definition::deserialize(deserializer).map(Arc::new)
}
