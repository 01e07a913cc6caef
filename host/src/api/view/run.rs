//! A run as JSON, with its attempts.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::job::names::{HandlerName, JobId, PluginName, TenantId};
use crate::run::id::{Fence, RunId, SessionId};
use crate::run::outcome::{Outcome, RunError};
use crate::run::usage::Usage;
use crate::run::{Attempt, Cause, Progress, Reason, Run, RunState, Verdict};
use crate::time::Timestamp;

/// A run. `attempt`, `digest`, `host`, `fence` and the times are those of its last attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// The plugin that it needs.
    pub plugin: PluginName,
    /// Digest of the plugin that ran.
    pub digest: Option<String>,
    /// The handler that is called.
    pub handler: HandlerName,
    /// Why it was made.
    pub cause: Cause,
    /// The instant on the trigger's grid, or the instant asked for.
    pub fire_time: Timestamp,
    /// The fire time plus jitter.
    pub due_at: Timestamp,
    /// Where it stands.
    pub state: RunState,
    /// What became of its fire time.
    pub verdict: Option<Verdict>,
    /// Why; of a queued run: what it waits for.
    pub reason: Option<Reason>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Fire times that it stands for.
    pub covers: u64,
    /// Number of the last attempt; 0 before the first.
    pub attempt: u32,
    /// The last attempts, oldest first.
    pub attempts: Vec<AttemptView>,
    /// When it was made.
    pub queued_at: Timestamp,
    /// When the last attempt started.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// From `due_at` to `started_at`, milliseconds.
    pub lateness_ms: Option<i64>,
    /// What it was asked with; null: what its job says.
    pub args: Option<Value>,
    /// What the guest returned.
    pub result: Option<Value>,
    /// What went wrong.
    pub error: Option<RunError>,
    /// How far it says it is.
    pub progress: Option<Progress>,
    /// Sum over all attempts.
    pub usage: Usage,
    /// Where the last attempt ran.
    pub host: Option<String>,
    /// The last attempt's fencing token.
    pub fence: Option<Fence>,
}

/// One try at a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    /// 1 for the first.
    pub attempt: u32,
    /// Its fencing token.
    pub fence: Fence,
    /// Where it ran.
    pub host: String,
    /// The session of that host: the lease that it hung on.
    pub session: SessionId,
    /// Digest of the plugin that ran.
    pub digest: Option<String>,
    /// When it started.
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

impl RunView {
    /// What is shown of a run.
    pub fn of(run: &Run) -> Self {
        let last = run.attempts.last();
        Self {
            id: run.id,
            tenant: run.tenant.clone(),
            job: run.job.clone(),
            plugin: run.plugin.clone(),
            digest: last.and_then(|attempt| attempt.digest.clone()),
            handler: run.handler.clone(),
            cause: run.cause,
            fire_time: run.fire_time,
            due_at: run.due_at,
            state: run.state,
            verdict: run.verdict,
            reason: run.shown_reason().cloned(),
            outcome: run.outcome,
            covers: run.covers,
            attempt: run.attempt,
            attempts: run.attempts.iter().map(AttemptView::of).collect(),
            queued_at: run.queued_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            lateness_ms: run.started_at.map(|started| millis_between(run.due_at, started)),
            args: run.args.clone(),
            result: run.result.clone(),
            error: run.error.clone(),
            progress: run.progress.clone(),
            usage: run.usage.clone(),
            host: last.map(|attempt| attempt.host.clone()),
            fence: last.map(|attempt| attempt.fence),
        }
    }
}

impl AttemptView {
    fn of(attempt: &Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            fence: attempt.fence,
            host: attempt.host.clone(),
            session: attempt.session,
            digest: attempt.digest.clone(),
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            outcome: attempt.outcome,
            error: attempt.error.clone(),
            usage: attempt.usage.clone(),
        }
    }
}

fn millis_between(from: Timestamp, to: Timestamp) -> i64 {
    to.micros().saturating_sub(from.micros()).div_euclid(1_000)
}
