//! A job as a value: what to run, when, and under which policies and limits.
//!
//! Everything here is checked; nothing here reads files, waits or decides. [`parse`] turns a merged
//! definition into a [`Job`], [`merge`] lays definitions of several origins over each other.

pub mod bound;
pub mod capabilities;
pub mod http;
pub mod limits;
pub mod merge;
pub mod names;
pub mod parse;
pub mod quota;
pub mod rate;
pub mod tcp;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::Timestamp;
use crate::trigger::Trigger;
use capabilities::Capabilities;
use limits::Limits;
use names::{HandlerName, JobId, PluginName, QueueName, TenantId};
use rate::RateLimit;

/// A job's full name. No call inside the host names a job without its tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    /// Whose job it is.
    pub tenant: TenantId,
    /// Its name there.
    pub job: JobId,
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.job)
    }
}

/// A plugin's full name; also the class of host that a run needs: one that holds this plugin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PluginKey {
    /// Whose plugin it is.
    pub tenant: TenantId,
    /// Its name there.
    pub plugin: PluginName,
}

impl fmt::Display for PluginKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.plugin)
    }
}

impl PluginKey {
    /// The name for people: with its tenant when that is not the one that needs no naming.
    pub fn shown(&self) -> String {
        shown(&self.tenant, self.plugin.as_str())
    }
}

impl JobKey {
    /// The name for people: with its tenant when that is not the one that needs no naming.
    pub fn shown(&self) -> String {
        shown(&self.tenant, self.job.as_str())
    }
}

fn shown(tenant: &TenantId, name: &str) -> String {
    match *tenant == TenantId::default_tenant() {
        true => name.to_owned(),
        false => format!("{tenant}/{name}"),
    }
}

/// A checked job with every default filled in and every limit clamped.
///
/// All but its name is behind one pointer, since jobs may be defined alike and there may be very
/// many of them: cheap to clone, and read as if it were all here.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its name.
    pub key: JobKey,
    /// The rest of it.
    pub spec: Arc<JobSpec>,
}

impl Deref for Job {
    type Target = JobSpec;

    fn deref(&self) -> &JobSpec {
        &self.spec
    }
}

/// A job without its name.
#[derive(Clone, Debug, PartialEq)]
pub struct JobSpec {
    /// The plugin that is run.
    pub plugin: PluginName,
    /// Which of the plugin's handlers.
    pub handler: HandlerName,
    /// When; a job without a trigger runs only when somebody asks.
    pub trigger: Option<Trigger>,
    /// Handed to each run as JSON text.
    pub args: Value,
    /// What `wasi:config` answers.
    pub config: BTreeMap<String, String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Which hosts take its runs: those that serve this queue.
    pub queue: QueueName,
    /// 0 to 9; of queued runs the higher goes first.
    pub priority: u8,
    /// What happens to fires that are late, overlap or fail.
    pub policy: Policy,
    /// What a run may use.
    pub limits: Limits,
    /// What a run may touch.
    pub capabilities: Capabilities,
    /// How much is kept.
    pub history: History,
    /// Whether a new version of its plugin is tried before it takes the place of another.
    pub smoke: Smoke,
}

/// Whether a new version of a job's plugin is tried with a run of the job.
#[derive(Clone, Debug, PartialEq)]
pub enum Smoke {
    /// It is not.
    No,
    /// With the job's own arguments.
    Own,
    /// With these.
    With(Value),
}

impl Job {
    /// The plugin's full name.
    pub fn plugin_key(&self) -> PluginKey {
        PluginKey { tenant: self.key.tenant.clone(), plugin: self.plugin.clone() }
    }

    /// When the fire at `fire_time` is due: then, or later by its jitter.
    pub fn due_at(&self, anchor: Timestamp, fire_time: Timestamp) -> Timestamp {
        self.trigger.as_ref().map_or(fire_time, |it| it.due_at(anchor, &self.key, fire_time))
    }
}

/// What happens to fires that are late or overlap, and to runs whose host died.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How late a fire may start (APScheduler 3.11 `misfire_grace_time`); `None`: however late.
    pub misfire_grace_time: Option<Duration>,
    /// What becomes of a backlog.
    pub coalesce: Coalesce,
    /// With [`Coalesce::All`], the newest so many get a run of their own.
    pub max_catchup: NonZeroU32,
    /// Live runs at once in the whole fleet (APScheduler 3.11 `max_instances`).
    pub max_instances: NonZeroU32,
    /// What becomes of a fire at that limit.
    pub overlap: Overlap,
    /// With [`Overlap::Queue`], so many fires wait at most.
    pub queue_limit: u32,
    /// Whether a run that failed is tried again.
    pub retry: Retry,
    /// After so many runs in a row that did not succeed the job is paused.
    pub pause_after_failures: Option<NonZeroU32>,
    /// How often runs may begin; further ones wait.
    pub rate_limit: Option<RateLimit>,
    /// A run that has not started so long after it was due is given up.
    pub expires: Option<Duration>,
    /// Whether a run whose host died is started again.
    pub delivery: Delivery,
    /// How often it is started again at most.
    pub max_rescues: u32,
    /// How long a fire waits for its plugin to appear.
    pub plugin_wait: Duration,
}

/// What becomes of a backlog of fire times (APScheduler 4 `CoalescePolicy`, and `drop`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coalesce {
    /// One run, for the newest.
    Latest,
    /// One run, for the oldest.
    Earliest,
    /// A run for each, oldest first.
    All,
    /// None runs.
    Drop,
}

/// What becomes of a fire when the job already has `max_instances` live runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The fire has the verdict `skipped`.
    #[default]
    Skip,
    /// It waits for a slot of its job; past `queue_limit` it is skipped.
    Queue,
    /// The oldest live run is cancelled, and it takes that one's place.
    Replace,
}

/// Whether and when a run that failed is tried again. Fire times that were missed are another
/// matter: a retry never opens one again (rule A15).
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts that may end by themselves, the first one included.
    pub max_attempts: NonZeroU32,
    /// The pause before the second attempt.
    pub backoff: Duration,
    /// So many times longer is each further pause, at least 1.
    pub factor: f64,
    /// The longest pause.
    pub max_backoff: Duration,
    /// Each pause is shortened by up to a half, so that runs that failed together come apart.
    pub jitter: bool,
}

/// How often a run is started when hosts die under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Again, as the next attempt of the same run.
    AtLeastOnce,
    /// Not again: the run ends as abandoned.
    AtMostOnce,
}

/// How much of a job's past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The newest so many runs keep their log and result.
    pub keep: u32,
    /// Verdicts are kept so long.
    pub max_age: Duration,
}

/// Where a job's definition comes from. The store owns the job; this says who may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `host.toml`.
    File,
    /// The file beside a plugin.
    Sidecar,
    /// A handler's own defaults.
    Plugin,
    /// REST.
    Api,
    /// Another job.
    Guest,
}
