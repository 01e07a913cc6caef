//! What goes into the steps of a store and what comes out.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::room::Room;
use super::{Definition, HostInfo, Pause, Rules, Schedule, Session, TriggerState};
use crate::job::names::{HandlerName, PluginName, QueueName};
use crate::job::{Delivery, History, Job, JobKey, PluginKey, Source};
use crate::run::id::{Fence, RunId, Uid};
use crate::run::outcome::{Outcome, RunError};
use crate::run::usage::Usage;
use crate::run::{Cause, LogLine, Progress, Range, Reason, Run, RunKey, StartBy};
use crate::time::Timestamp;

/// Fires made in one call at most.
pub const MAX_FIRES_PER_INTENT: usize = 1_000;
/// Runs taken in one call at most.
pub const MAX_ACQUIRE: usize = 256;

/// What a host tells with each beat.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// How far runs are that said something new.
    pub progress: Vec<RunProgress>,
    /// What it says of itself, when that has changed.
    pub info: Option<HostInfo>,
}

/// A session was opened.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The session.
    pub session: Session,
    /// What was left behind by earlier processes and is queued or ended now.
    pub reaped: Reaped,
}

/// How far one run of the session is.
#[derive(Clone, Debug)]
pub struct RunProgress {
    /// Which.
    pub run: RunKey,
    /// Its attempt's fence.
    pub fence: Fence,
    /// How far.
    pub progress: Progress,
}

/// The answer to a beat.
#[derive(Clone, Debug, Default)]
pub struct Beat {
    /// Runs of this session that somebody wants cancelled, and why.
    pub cancels: Vec<(RunKey, String)>,
    /// Runs that this session holds, and the fence of each: one that its host does not know of was
    /// claimed by a call whose answer was lost.
    pub held: Vec<(RunKey, Fence)>,
    /// Every other session and its counter.
    pub peers: Vec<(Session, u64)>,
}

/// What became of a dead session's runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reaped {
    /// Queued again.
    pub rescued: Vec<RunKey>,
    /// Ended as abandoned.
    pub abandoned: Vec<RunKey>,
    /// Ended as cancelled: that had been asked for.
    pub cancelled: Vec<RunKey>,
}

/// A schedule to be kept.
#[derive(Clone, Debug)]
pub struct NewSchedule {
    /// Its name.
    pub key: JobKey,
    /// Who defines it.
    pub source: Source,
    /// Its texts.
    pub def: Definition,
    /// The first fire time when it is created, or when `keep_cursor` is false.
    pub cursor: Option<Timestamp>,
    /// When that is due.
    pub due_at: Option<Timestamp>,
    /// What the trigger remembers, likewise.
    pub trigger_state: TriggerState,
    /// On replacement: keep cursor, due time and trigger state (the trigger is unchanged).
    pub keep_cursor: bool,
    /// Live runs at most.
    pub max_instances: u32,
    /// What the store does by itself about its fires and failures.
    pub rules: Rules,
    /// How much of its past is kept.
    pub history: History,
    /// Parked from the start, or un-parked with `None`.
    pub parked: Option<String>,
    /// Verdicts for fire times that passed before the job was known; only when it is created.
    pub ranges: Vec<Range>,
}

/// What to do when the job exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Refuse: the store answers with a conflict.
    Fail,
    /// Leave it.
    Keep,
    /// Replace it.
    Replace,
    /// Replace it if it has this version.
    ReplaceIf(u64),
}

/// What a put did.
#[derive(Clone, Debug, PartialEq)]
pub enum Put {
    /// It is new.
    Created(Schedule),
    /// It was there and was replaced.
    Replaced(Schedule),
    /// It was there and was left.
    Kept(Schedule),
}

/// A change to parts of a schedule; `None` leaves a part.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// Pause or resume.
    pub pause: Option<Option<Pause>>,
    /// Park or take out.
    pub parked: Option<Option<String>>,
    /// Move the cursor (never to or before `last_fire`): cursor, due time.
    pub cursor: Option<(Option<Timestamp>, Option<Timestamp>)>,
    /// Verdicts for fire times that the move passes over.
    pub ranges: Vec<Range>,
}

/// What becomes of a removed job's live runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveRuns {
    /// They go on.
    Keep,
    /// They are cancelled.
    Cancel,
}

/// What is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// The instant by which they are due: the caller's, or less where the store's clock says so.
    /// What is due is planned as of this.
    pub now: Timestamp,
    /// Earliest first.
    pub schedules: Vec<Arc<Schedule>>,
    /// When to ask again: the next schedule is due, a run's back-off or `eta` is over, or a run that
    /// has not started is given up; `None` when nothing waits.
    pub next_due: Option<Timestamp>,
}

/// What a host decided about the fire times of one job, to be made so in one step.
///
/// Refused (`Fired::Lost`) unless uid, version and cursor are still those it was planned from.
#[derive(Clone, Debug)]
pub struct FireIntent {
    /// The job.
    pub job: JobKey,
    /// The creation it was planned from.
    pub uid: Uid,
    /// The version it was planned from.
    pub version: u64,
    /// The cursor it was planned from.
    pub expect_cursor: Timestamp,
    /// Runs to make, ascending by fire time, at most [`MAX_FIRES_PER_INTENT`].
    pub fires: Vec<PlannedFire>,
    /// Verdicts of the fire times that become no run, ascending.
    pub ranges: Vec<Range>,
    /// The next fire time, after all of those.
    pub new_cursor: Option<Timestamp>,
    /// When that is due.
    pub new_due_at: Option<Timestamp>,
    /// What the trigger remembers from now on.
    pub trigger_state: TriggerState,
    /// So many of the runs may be claimed by this session in the same step.
    pub claim: usize,
}

/// One run to be made.
#[derive(Clone, Debug)]
pub struct PlannedFire {
    /// The instant on the grid.
    pub fire_time: Timestamp,
    /// When it was due.
    pub due_at: Timestamp,
    /// Whether `max_instances` may skip it.
    pub disposition: Disposition,
    /// Fire times it stands for, at least 1.
    pub covers: u64,
    /// Why it will have run (`on_time`, `late`, `catch_up`), or what it waits for (`no_plugin`).
    pub reason: Reason,
    /// By when it must have started.
    pub start_by: Option<StartBy>,
    /// What the run needs and may.
    pub spec: RunSpec,
}

/// What a run takes over from its job when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSpec {
    /// The plugin.
    pub plugin: PluginName,
    /// The handler.
    pub handler: HandlerName,
    /// The queue.
    pub queue: QueueName,
    /// 0 to 9.
    pub priority: u8,
    /// Whether it survives its host.
    pub delivery: Delivery,
    /// How often.
    pub max_rescues: u32,
    /// Its memory limit, bytes.
    pub memory: u64,
}

impl RunSpec {
    /// What a run of `job` takes over from it.
    pub fn of(job: &Job) -> Self {
        Self {
            plugin: job.plugin.clone(),
            handler: job.handler.clone(),
            queue: job.queue.clone(),
            priority: job.priority,
            delivery: job.policy.delivery,
            max_rescues: job.policy.max_rescues,
            memory: job.limits.memory,
        }
    }
}

/// What `max_instances` does to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// At the limit it is skipped.
    Run,
    /// At the limit it waits for a slot of its job.
    Wait,
}

/// What became of an intent.
#[derive(Clone, Debug)]
pub enum Fired {
    /// It was done.
    Done {
        /// The runs that were made, in order; claimed ones are not among them.
        queued: Vec<RunId>,
        /// The runs that this session has claimed.
        claimed: Vec<Claim>,
        /// Fire times that `max_instances` skipped.
        skipped: Vec<Timestamp>,
        /// Fire times that came when their tenant had used up a quota.
        over_quota: Vec<Timestamp>,
    },
    /// Another host, or a change of the job, was first. Nothing was done.
    Lost,
}

/// A run outside the schedule.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The job; it must exist.
    pub job: JobKey,
    /// The caller's choice; a repeat with the same id is the same run.
    pub id: RunId,
    /// Why.
    pub cause: Cause,
    /// The instant that was asked for.
    pub fire_time: Timestamp,
    /// Not before this.
    pub not_before: Option<Timestamp>,
    /// By when it must have started.
    pub start_by: Option<StartBy>,
    /// Instead of the job's own.
    pub args: Option<Value>,
    /// What the run needs and may.
    pub spec: RunSpec,
    /// `manual`, or what it waits for (`no_plugin`).
    pub reason: Reason,
}

/// What became of a new run.
#[derive(Clone, Debug, PartialEq)]
pub enum Started {
    /// It was made.
    Made(Run),
    /// It was there.
    Exists(Run),
}

/// What a host can take.
#[derive(Clone, Debug)]
pub struct Acquire {
    /// The room that it has for them.
    pub room: Room,
    /// The queues it serves.
    pub queues: Arc<BTreeSet<QueueName>>,
    /// The plugins it holds.
    pub classes: Arc<BTreeSet<PluginKey>>,
}

/// A run that this session now owns.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The run, its attempt and fence counted up, in state running.
    pub run: Arc<Run>,
    /// The current fence.
    pub fence: Fence,
    /// The job as it stands; `None` when it was removed meanwhile.
    pub schedule: Option<Arc<Schedule>>,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub struct AttemptEnd {
    /// How.
    pub outcome: Outcome,
    /// What it returned.
    pub result: Option<Value>,
    /// What went wrong.
    pub error: Option<RunError>,
    /// What it used.
    pub usage: Usage,
    /// The plugin that ran.
    pub digest: Option<String>,
    /// The last that it said about how far it was.
    pub progress: Option<Progress>,
    /// Lines not yet appended to its log.
    pub log: Vec<LogLine>,
    /// Another attempt follows, not before this.
    pub retry_at: Option<Timestamp>,
}

/// What became of a finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It was noted.
    Done,
    /// It had been noted before.
    Already,
    /// This attempt is not the current one. Nothing was noted.
    Fenced,
}

/// What became of a cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReply {
    /// It had not started and is over.
    Ended,
    /// It is running; its host has been told.
    Asked,
    /// It was over before.
    AlreadyDone,
}

/// How much is kept, beside what each job says of its own past (`Schedule::history`).
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Of jobs that were removed.
    pub removed: History,
    /// Runs and ranges of one job at most, whatever its history says.
    pub max_entries: u64,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Runs and ranges.
    pub records: u64,
    /// Bodies of runs that stay.
    pub bodies: u64,
    /// Whether more is known that may be forgotten: the next step need not wait.
    pub more: bool,
}

/// News. A hint: whoever missed one reads again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A job was put, patched or removed.
    Job(JobKey),
    /// A job's cursor was moved by a fire.
    Fired(JobKey),
    /// A run was made, started, ended.
    Run(RunKey),
    /// A run is queued: executors may look.
    Queued,
    /// A run is to be cancelled.
    Cancel(RunKey),
}
