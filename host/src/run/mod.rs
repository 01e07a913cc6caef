//! What happened to the fires of a job, as values.
//!
//! ```text
//!            ┌────────── rescued: its host died, attempt + 1 ──────────┐
//!  (fire) ─► queued ─► running ─► done (outcome)                       │
//!    │          │         └──────────────► retrying ───────────────────┘
//!    │          └─► done, verdict other than `ran`: it never started
//!    └─► a range: fires that never became a run (skipped, misfired, coalesced, paused ...)
//! ```
//!
//! A *verdict* says what became of a fire time; an *outcome* says how a run that ran ended.

pub mod admitted;
pub mod id;
pub mod json_text;
pub mod outcome;
pub mod usage;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::job::names::{HandlerName, JobId, PluginName, QueueName, TenantId};
use crate::job::{Delivery, JobKey, PluginKey};
use crate::time::Timestamp;
use admitted::Admitted;
use id::{Fence, RunId, SessionId, Uid};
use outcome::{Outcome, RunError};
use usage::Usage;

/// Attempts kept in a run's record; older ones are forgotten, their number is not.
pub const MAX_ATTEMPTS_KEPT: usize = 10;

/// A run's full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunKey {
    /// Whose run it is.
    pub tenant: TenantId,
    /// Its id.
    pub run: RunId,
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.run)
    }
}

/// Why a run was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its fire time came due.
    Schedule,
    /// Somebody asked for it now.
    Manual,
    /// Somebody or a job put it in the queue.
    Enqueued,
    /// Somebody asked for a fire time of the past.
    Backfill,
}

impl Cause {
    /// The word that the files, REST and the store use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Manual => "manual",
            Self::Enqueued => "enqueued",
            Self::Backfill => "backfill",
        }
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Waits for a slot.
    Queued,
    /// An attempt is under way.
    Running,
    /// An attempt ended and another will follow.
    Retrying,
    /// Over.
    Done,
}

/// What became of a fire time. Set once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Attempt 1 started.
    Ran,
    /// It was too late.
    Misfired,
    /// Another run stands for it.
    Coalesced,
    /// The job was at `max_instances`.
    Skipped,
    /// The job was paused.
    Paused,
    /// The tenant had used up a quota.
    Quota,
    /// Its plugin was missing for too long.
    NoPlugin,
    /// Its `expires` passed.
    Expired,
    /// Somebody cancelled it before it started.
    Cancelled,
}

impl Verdict {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Ran,
        Self::Misfired,
        Self::Coalesced,
        Self::Skipped,
        Self::Paused,
        Self::Quota,
        Self::NoPlugin,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The word for it, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Misfired => "misfired",
            Self::Coalesced => "coalesced",
            Self::Skipped => "skipped",
            Self::Paused => "paused",
            Self::Quota => "quota",
            Self::NoPlugin => "no_plugin",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The word for a verdict's why. One vocabulary for people, REST and tests.
pub type Reason = std::borrow::Cow<'static, str>;

/// The reasons that this host gives.
pub mod reason {
    /// `ran`: within a second of its time.
    pub const ON_TIME: &str = "on_time";
    /// `ran`: more than a second late; `misfired`: past the grace when it came due.
    pub const LATE: &str = "late";
    /// `ran`: one of a backlog.
    pub const CATCH_UP: &str = "catch_up";
    /// `ran`: somebody asked.
    pub const MANUAL: &str = "manual";
    /// `misfired`: past the grace when a slot was free at last.
    pub const QUEUED_TOO_LONG: &str = "queued_too_long";
    /// `misfired`: the time had passed before the job was first registered.
    pub const BEFORE_REGISTRATION: &str = "before_registration";
    /// `misfired`: `coalesce = "drop"`.
    pub const DROP: &str = "drop";
    /// `coalesced`: the newest of the backlog runs.
    pub const LATEST: &str = "latest";
    /// `coalesced`: the oldest of the backlog runs.
    pub const EARLIEST: &str = "earliest";
    /// `coalesced`: more than `max_catchup` were missed.
    pub const MAX_CATCHUP: &str = "max_catchup";
    /// `skipped`: as many instances as allowed were live.
    pub const MAX_INSTANCES: &str = "max_instances";
    /// `expired`: it had not started when its `expires` had passed.
    pub const EXPIRES: &str = "expires";
    /// `skipped`: as many fires waited already as `queue_limit` allows.
    pub const QUEUE_LIMIT: &str = "queue_limit";
    /// `cancelled`: a newer fire took its place (`overlap = "replace"`).
    pub const REPLACED: &str = "replaced";
    /// `paused`: the job was paused.
    pub const PAUSED: &str = "paused";
    /// Queued or `no_plugin`: no live host has the plugin.
    pub const NO_PLUGIN: &str = "no_plugin";
    /// `cancelled`: somebody asked.
    pub const BY_REQUEST: &str = "by_request";
    /// `cancelled`: the job was removed.
    pub const JOB_REMOVED: &str = "job_removed";
    /// Queued: as many runs of its job began in this window as `rate_limit` allows.
    pub const RATE_LIMIT: &str = "rate_limit";
}

/// The one record of a fire, or of a run that somebody asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// The creation of the job that it belongs to.
    pub uid: Uid,
    /// The plugin that it needs.
    pub plugin: PluginName,
    /// The handler that is called.
    pub handler: HandlerName,
    /// Why it was made.
    pub cause: Cause,
    /// The instant on the trigger's grid, or the instant asked for.
    pub fire_time: Timestamp,
    /// The fire time plus jitter; lateness counts from it.
    pub due_at: Timestamp,
    /// Where it stands.
    pub state: RunState,
    /// What became of its fire time; `None` while queued for the first time.
    pub verdict: Option<Verdict>,
    /// Why; of a queued run: what it waits for.
    pub reason: Option<Reason>,
    /// How it ended, when it ran and is done.
    pub outcome: Option<Outcome>,
    /// Fire times that it stands for, at least 1.
    pub covers: u64,
    /// Number of the last attempt; 0 before the first.
    pub attempt: u32,
    /// How many attempts ended because their host died.
    pub rescues: u32,
    /// The last attempts, oldest first, at most [`MAX_ATTEMPTS_KEPT`].
    pub attempts: Vec<Attempt>,
    /// The queue that it waits in.
    #[serde(default)]
    pub queue: QueueName,
    /// 0 to 9; the higher goes first.
    pub priority: u8,
    /// What the job said about hosts that die, when the run was made.
    pub delivery: Delivery,
    /// How many of those it survives.
    pub max_rescues: u32,
    /// Not started before this: a back-off, an `eta`.
    pub not_before: Option<Timestamp>,
    /// Given up when its first attempt has not started by then.
    #[serde(default)]
    pub start_by: Option<StartBy>,
    /// When it was made.
    pub queued_at: Timestamp,
    /// When the last attempt started.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// JSON handed to the guest; `None`: the job's own.
    #[serde(default, with = "json_text")]
    pub args: Option<Value>,
    /// What the guest returned, JSON.
    #[serde(default, with = "json_text")]
    pub result: Option<Value>,
    /// What went wrong.
    pub error: Option<RunError>,
    /// What the guest last said about how far it is.
    pub progress: Option<Progress>,
    /// Sum over all attempts.
    pub usage: Usage,
    /// Who asked that it be cancelled, and why.
    pub cancel: Option<String>,
    /// Its memory limit when it was made, bytes.
    #[serde(default)]
    pub memory: u64,
    /// What was taken for its current attempt of what its tenant may have; `None` between attempts.
    #[serde(default)]
    pub admitted: Option<Admitted>,
}

impl Run {
    /// Its full name.
    pub fn key(&self) -> RunKey {
        RunKey { tenant: self.tenant.clone(), run: self.id }
    }

    /// The full name of its job.
    pub fn job_key(&self) -> JobKey {
        JobKey { tenant: self.tenant.clone(), job: self.job.clone() }
    }

    /// Why it has its verdict; while it has none, what it waits for when that is not just a slot.
    pub fn shown_reason(&self) -> Option<&Reason> {
        let waits_for = |reason: &&Reason| {
            let waits = [reason::NO_PLUGIN, reason::RATE_LIMIT];
            self.verdict.is_some() || waits.contains(&reason.as_ref())
        };
        self.reason.as_ref().filter(waits_for)
    }

    /// The class of host that it needs.
    pub fn plugin_key(&self) -> PluginKey {
        PluginKey { tenant: self.tenant.clone(), plugin: self.plugin.clone() }
    }
}

/// By when a run must have started, and what it gets when it has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartBy {
    /// The last instant at which it may start.
    pub at: Timestamp,
    /// The verdict after that.
    pub verdict: Verdict,
    /// Its reason.
    pub reason: Reason,
}

/// One try at a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub attempt: u32,
    /// Its fencing token.
    pub fence: Fence,
    /// The session that has or had it.
    pub session: SessionId,
    /// The name of that session's host.
    pub host: String,
    /// Digest of the plugin that ran, once it is known.
    pub digest: Option<String>,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What went wrong.
    pub error: Option<RunError>,
    /// What it used.
    pub usage: Usage,
}

/// How far a run says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// So much is done.
    pub done: u64,
    /// Of so much, when that is known.
    pub total: Option<u64>,
    /// In words.
    pub message: String,
}

/// A stretch of fire times of one job that share a verdict and never became runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// What became of them.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The first fire time.
    pub first: Timestamp,
    /// The last fire time.
    pub last: Timestamp,
    /// How many there are, both ends included.
    pub count: u64,
    /// The run that stands for them, when they were coalesced.
    pub into: Option<RunId>,
}

/// One line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written.
    pub t: Timestamp,
    /// How important it is.
    pub level: LogLevel,
    /// Which way it came.
    pub stream: LogStream,
    /// What the guest said it belongs to; empty for output streams.
    pub context: String,
    /// The text, without the line's end.
    pub message: String,
}

/// The levels of `wasi:logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

/// The way by which a line came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// `wasi:logging`, and the host's own remarks.
    Log,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn the_word_for_a_verdict_is_the_one_in_json() {
        for word in [
            "ran",
            "misfired",
            "coalesced",
            "skipped",
            "paused",
            "quota",
            "no_plugin",
            "expired",
            "cancelled",
        ] {
            let verdict: Verdict = serde_json::from_value(word.into()).unwrap();
            assert_eq!(verdict.word(), word);
        }
    }
}
