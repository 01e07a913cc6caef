//! A schedule as the scripts plan with it, and its last run.

use serde::{Deserialize, Serialize};

use super::unreadable;
use crate::job::{History, JobKey, Source};
use crate::record::step::NewSchedule;
use crate::record::{Begun, LastRun, Pause, Rules, Schedule, TriggerState};
use crate::run::RunState;
use crate::run::id::{RunId, Uid};
use crate::run::outcome::Outcome;
use crate::store::Result;
use crate::time::Timestamp;

/// A schedule but for its name, its definition, and its last run, beside which it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::store::redis) struct Plan {
    /// Kept in [`Last`].
    #[serde(skip, default = "nobody")]
    pub(in crate::store::redis) uid: Uid,
    #[serde(default)]
    pub(in crate::store::redis) version: u64,
    /// The version with which the definition was written.
    #[serde(default)]
    pub(in crate::store::redis) def_version: u64,
    pub(in crate::store::redis) source: Source,
    #[serde(default)]
    pub(in crate::store::redis) cursor: Option<Timestamp>,
    #[serde(default)]
    pub(in crate::store::redis) due_at: Option<Timestamp>,
    pub(in crate::store::redis) trigger_state: TriggerState,
    #[serde(default)]
    pub(in crate::store::redis) last_fire: Option<Timestamp>,
    #[serde(default)]
    pub(in crate::store::redis) accounted_from: Option<Timestamp>,
    #[serde(default)]
    pub(in crate::store::redis) pause: Option<Pause>,
    #[serde(default)]
    pub(in crate::store::redis) parked: Option<String>,
    pub(in crate::store::redis) max_instances: u32,
    pub(in crate::store::redis) rules: Rules,
    pub(in crate::store::redis) history: History,
    #[serde(default = "epoch")]
    pub(in crate::store::redis) created_at: Timestamp,
    /// When the host that made it asked, by its own clock: a repeat of that call is known by it.
    #[serde(default = "epoch")]
    pub(in crate::store::redis) asked_at: Timestamp,
}

fn nobody() -> Uid {
    Uid::from_bits(0)
}

fn epoch() -> Timestamp {
    Timestamp::from_secs(0)
}

impl Plan {
    /// Reads what is kept of a job: its last run, and then how it is planned.
    pub(in crate::store::redis) fn read(packed: &[u8]) -> Result<(Self, Last)> {
        let mut rest = rmp_serde::Deserializer::new(packed);
        let unread = |error| unreadable("a schedule", error);
        let last = Last::deserialize(&mut rest).map_err(unread)?;
        let mut plan = Self::deserialize(&mut rest).map_err(unread)?;
        plan.uid = last.uid.unwrap_or_else(nobody);
        Ok((plan, last))
    }

    /// The planning record of a job that is new.
    pub(in crate::store::redis) fn of_new(new: &NewSchedule, uid: Uid) -> Self {
        Self {
            uid,
            version: 1,
            def_version: 1,
            source: new.source,
            cursor: new.cursor,
            due_at: new.due_at,
            trigger_state: new.trigger_state.clone(),
            last_fire: None,
            accounted_from: None,
            pause: None,
            parked: new.parked.clone(),
            max_instances: new.max_instances,
            rules: new.rules,
            history: new.history,
            created_at: epoch(),
            asked_at: epoch(),
        }
    }

    /// The whole schedule.
    pub(in crate::store::redis) fn schedule(
        self,
        key: JobKey,
        last: Last,
        def: std::sync::Arc<crate::record::Definition>,
    ) -> Schedule {
        Schedule {
            begun: last.begun.clone(),
            key,
            uid: self.uid,
            version: self.version,
            source: self.source,
            def,
            cursor: self.cursor,
            due_at: self.due_at,
            trigger_state: self.trigger_state,
            last_fire: self.last_fire,
            accounted_from: self.accounted_from,
            pause: self.pause,
            parked: self.parked,
            max_instances: self.max_instances,
            rules: self.rules,
            failures: last.failures,
            history: self.history,
            created_at: self.created_at,
            last_run: last.last_run(),
        }
    }
}

/// A job's last run, and what changes when one begins or ends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::store::redis) struct Last {
    pub(in crate::store::redis) uid: Option<Uid>,
    pub(in crate::store::redis) failures: u32,
    pub(in crate::store::redis) run: Option<RunId>,
    pub(in crate::store::redis) at: Option<Timestamp>,
    pub(in crate::store::redis) state: Option<RunState>,
    pub(in crate::store::redis) outcome: Option<Outcome>,
    pub(in crate::store::redis) previous_success: Option<Timestamp>,
    /// Whether the job has a `rate_limit`.
    pub(in crate::store::redis) rated: bool,
    /// Runs begun in the present window of it.
    pub(in crate::store::redis) begun: Option<Box<Begun>>,
}

impl Last {
    fn last_run(&self) -> Option<LastRun> {
        Some(LastRun {
            run: self.run?,
            at: self.at?,
            state: self.state?,
            outcome: self.outcome,
            previous_success: self.previous_success,
        })
    }
}
