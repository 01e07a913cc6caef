//! Why, when and with what a run was started.

use crate::time::Time;

/// What asked for a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// The job's trigger came due.
    Schedule,
    /// A person or a script asked for it now.
    #[default]
    Manual,
    /// It was put in the queue, by a job or over the API.
    Enqueued,
    /// A fire time of the past is being made up for.
    Backfill,
}

impl Cause {
    /// The word that logs and the host's API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Manual => "manual",
            Self::Enqueued => "enqueued",
            Self::Backfill => "backfill",
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a [`Context`](crate::Context) is made from. The host fills it in; tests do it themselves:
///
/// ```
/// use campanile_sdk::{Context, Invocation};
///
/// let ctx = Context::new(Invocation { job: "nightly".into(), attempt: 2, ..Default::default() });
/// assert_eq!(ctx.attempt(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The tenant that the job belongs to.
    pub tenant: String,
    /// The job's id, unique in its tenant.
    pub job: String,
    /// The run's id. All attempts of a run share it.
    pub run: String,
    /// Which of the plugin's handlers runs.
    pub handler: String,
    /// What asked for the run.
    pub cause: Cause,
    /// The instant that the trigger asked for, which may be before the actual start.
    pub fire_time: Time,
    /// The fire time of the job's last successful run.
    pub previous_success: Option<Time>,
    /// Counts the attempts of this run, 1 for the first.
    pub attempt: u32,
    /// Grows with each attempt.
    pub fence: u64,
    /// How many fire times this run stands for, at least 1.
    pub covers: u32,
    /// JSON text, `null` when there are no arguments.
    pub args: String,
}

impl Default for Invocation {
    /// The first attempt of a manual run of the job `test`, without arguments.
    fn default() -> Self {
        Self {
            tenant: "default".into(),
            job: "test".into(),
            run: "test".into(),
            handler: "run".into(),
            cause: Cause::default(),
            fire_time: Time::default(),
            previous_success: None,
            attempt: 1,
            fence: 1,
            covers: 1,
            args: "null".into(),
        }
    }
}
