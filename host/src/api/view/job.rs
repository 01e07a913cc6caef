//! A job as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::job::Source;
use crate::job::names::{JobId, TenantId};
use crate::record::{LastRun, Pause, Schedule};
use crate::run::RunState;
use crate::run::id::RunId;
use crate::run::outcome::Outcome;
use crate::schedule::reconcile::{JobState, state};
use crate::time::Timestamp;

/// Why a job is finished.
const EXHAUSTED: &str = "exhausted";

/// A job read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// Its name.
    pub id: JobId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Who defines it.
    pub source: Source,
    /// 1 more at each change; its ETag.
    pub version: u64,
    /// Whether it fires.
    pub state: JobState,
    /// Set while it is paused.
    pub paused: Option<PauseView>,
    /// Why it is parked or finished.
    pub reason: Option<String>,
    /// When it fires next; null unless it is active.
    pub next_fire_time: Option<Timestamp>,
    /// The last run that was made for it.
    pub last_run: Option<LastRunView>,
    /// What its owner wrote.
    pub definition: Value,
    /// Every key with its value in force.
    pub effective: Value,
}

/// Who paused a job, why, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// Who.
    pub by: String,
    /// What they said.
    pub why: String,
    /// When it goes on by itself.
    pub until: Option<Timestamp>,
}

/// The last run in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRunView {
    /// Its id.
    pub run: RunId,
    /// Where it stands.
    pub state: RunState,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When it last changed state.
    pub at: Timestamp,
}

impl JobView {
    /// What is shown of a schedule.
    pub fn of(schedule: &Schedule) -> Self {
        let state = state(schedule);
        Self {
            id: schedule.key.job.clone(),
            tenant: schedule.key.tenant.clone(),
            source: schedule.source,
            version: schedule.version,
            state,
            paused: schedule.pause.as_ref().map(PauseView::of),
            reason: reason(schedule, state),
            next_fire_time: schedule.cursor.filter(|_| state == JobState::Active),
            last_run: schedule.last_run.as_ref().map(LastRunView::of),
            definition: schedule.def.definition.get(),
            effective: schedule.def.effective.get(),
        }
    }
}

impl PauseView {
    /// What is shown of a pause.
    pub fn of(pause: &Pause) -> Self {
        Self { by: pause.by.clone(), why: pause.why.clone(), until: pause.until }
    }
}

impl LastRunView {
    fn of(last: &LastRun) -> Self {
        Self { run: last.run, state: last.state, outcome: last.outcome, at: last.at }
    }
}

fn reason(schedule: &Schedule, state: JobState) -> Option<String> {
    match state {
        JobState::Active | JobState::Paused => None,
        JobState::Parked => schedule.parked.clone(),
        JobState::Finished => Some(EXHAUSTED.to_owned()),
    }
}
