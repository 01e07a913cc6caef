//! What a job knows about its run, and what it can tell about it.

use std::time::Duration;

use crate::host;
use crate::invocation::{Cause, Invocation};
use crate::time::Time;

/// How much a log line matters, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// Why something was decided.
    Debug,
    /// What a report would mention.
    Info,
    /// Something healed itself.
    Warn,
    /// Something failed.
    Error,
    /// The job cannot go on.
    Critical,
}

/// The run that a job function is called for.
///
/// Outside a host, as in unit tests, lines go to standard error, reports of progress nowhere,
/// there is no timeout, no configuration, and nobody cancels.
#[derive(Debug)]
pub struct Context {
    invocation: Invocation,
}

impl Context {
    /// A context of its own, for tests. In a plugin the SDK makes it.
    pub fn new(invocation: Invocation) -> Self {
        Self { invocation }
    }

    /// The tenant that the job belongs to.
    pub fn tenant(&self) -> &str {
        &self.invocation.tenant
    }

    /// The job's id, unique in its tenant.
    pub fn job(&self) -> &str {
        &self.invocation.job
    }

    /// The run's id. All attempts of a run share it.
    pub fn run_id(&self) -> &str {
        &self.invocation.run
    }

    /// The handler that runs.
    pub fn handler(&self) -> &str {
        &self.invocation.handler
    }

    /// What asked for the run.
    pub fn cause(&self) -> Cause {
        self.invocation.cause
    }

    /// The instant that the trigger asked for, which may be before the actual start. Work on "the
    /// hour before" counts from here and not from a clock: it then means the same when it is late.
    pub fn fire_time(&self) -> Time {
        self.invocation.fire_time
    }

    /// The fire time of the job's last successful run; none when there was no such run.
    pub fn previous_success(&self) -> Option<Time> {
        self.invocation.previous_success
    }

    /// Counts the attempts of this run, 1 for the first.
    pub fn attempt(&self) -> u32 {
        self.invocation.attempt
    }

    /// Grows with each attempt. Give it to whatever you write to, so that a late write of an older
    /// attempt can be told apart and refused.
    pub fn fence(&self) -> u64 {
        self.invocation.fence
    }

    /// How many fire times this run stands for, at least 1. More than 1 when several that were
    /// missed became one run.
    pub fn covers(&self) -> u32 {
        self.invocation.covers
    }

    /// The arguments as JSON text, `null` when there are none. A second parameter of the job
    /// function gives them typed.
    pub fn args_json(&self) -> &str {
        &self.invocation.args
    }

    /// What the job's `config`, or a secret granted to it, holds under `key`.
    pub fn config(&self, key: &str) -> Option<String> {
        host::config(key).unwrap_or_else(|reason| {
            self.warn(format!("cannot read the configuration key `{key}`: {reason}"));
            None
        })
    }

    /// Says how far the run has come: `done` of `total` steps, and what is being done. Only the
    /// newest report is kept.
    pub fn progress(&self, done: u64, total: impl Into<Option<u64>>, message: impl AsRef<str>) {
        host::progress(done, total.into(), message.as_ref());
    }

    /// How long the run may still go on before its timeout ends it; none when it has no timeout.
    pub fn remaining(&self) -> Option<Duration> {
        host::remaining()
    }

    /// Whether the run was asked to stop. Long loops look at it and return.
    pub fn cancelled(&self) -> bool {
        host::cancelled()
    }

    /// Writes one line to the run's log; `context` names the part of the job that speaks.
    pub fn log(&self, level: Level, context: &str, message: impl AsRef<str>) {
        host::log(level, context, message.as_ref());
    }

    /// Logs a step.
    pub fn trace(&self, message: impl AsRef<str>) {
        self.log(Level::Trace, "", message);
    }

    /// Logs why something was decided.
    pub fn debug(&self, message: impl AsRef<str>) {
        self.log(Level::Debug, "", message);
    }

    /// Logs what a report would mention.
    pub fn info(&self, message: impl AsRef<str>) {
        self.log(Level::Info, "", message);
    }

    /// Logs that something healed itself.
    pub fn warn(&self, message: impl AsRef<str>) {
        self.log(Level::Warn, "", message);
    }

    /// Logs that something failed.
    pub fn error(&self, message: impl AsRef<str>) {
        self.log(Level::Error, "", message);
    }

    /// Logs that the job cannot go on.
    pub fn critical(&self, message: impl AsRef<str>) {
        self.log(Level::Critical, "", message);
    }
}
