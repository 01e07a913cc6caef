//! What a step wants kept and told. Core decides it; a backend does it.

use std::sync::Arc;

use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::record::step::Change;
use crate::record::used::{Bucket, Used};
use crate::record::{Doc, Schedule, Session};
use crate::run::id::{Fence, SessionId, Uid};
use crate::run::{LogLine, Range, Run, RunKey};
use crate::time::Timestamp;

/// Everything that one or more steps want done, in order.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be kept. A later write of a record stands for an earlier one.
    pub writes: Vec<Write>,
    /// To be told, once the writes are kept.
    pub changes: Vec<Change>,
}

/// One record as it is from now on.
#[derive(Clone, Debug)]
pub enum Write {
    /// A schedule; which parts of it may differ from what was kept.
    Schedule(Arc<Schedule>, Extent),
    /// A schedule is no more.
    ScheduleGone(JobKey),
    /// A run, live or done.
    Run(Arc<Run>),
    /// A done run is forgotten, with its log.
    RunGone(RunKey),
    /// A range was opened, or the open one has grown.
    Range(KeptRange),
    /// A range is forgotten, if its last fire time is still this.
    RangeGone(u64, Timestamp),
    /// A session was opened.
    Session(Session),
    /// A session is over.
    SessionGone(SessionId),
    /// The last fence that was given out.
    Fence(Fence),
    /// Lines for a run's log, the first of which has this number.
    Log(RunKey, u64, Vec<LogLine>),
    /// A run's log is forgotten.
    LogGone(RunKey),
    /// A document, or that it is no more.
    Doc(DocKey, Option<Doc>),
    /// A counter's value.
    Counter(CounterKey, i64),
    /// A counter is forgotten.
    CounterGone(CounterKey),
    /// What was used is added to its bucket.
    Spent(Bucket, Used),
    /// What is in a bucket, or that it is forgotten.
    Bucket(Bucket, Option<Used>),
    /// Everything is forgotten.
    Clear,
    /// An import has begun, or ended.
    Importing(bool),
}

/// How much of a schedule a write touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// All but its definition, which is large and rarely changes.
    Position,
}

/// A range with its place in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptRange {
    /// Grows with each range that is opened.
    pub id: u64,
    /// The job.
    pub job: JobKey,
    /// The creation of the job.
    pub uid: Uid,
    /// The range.
    pub range: Range,
    /// When it was opened, or grew last. Its fire times may be of any age.
    pub noted_at: Timestamp,
}

/// A document's full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// What sort of document.
    pub kind: String,
    /// Its key among those.
    pub key: String,
}

/// A counter's full name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name.
    pub key: String,
}

impl Effects {
    /// Asks for `write`.
    pub fn write(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Asks that `run` be kept, and tells of it.
    pub fn run(&mut self, run: &Arc<Run>) {
        self.writes.push(Write::Run(Arc::clone(run)));
        self.changes.push(Change::Run(run.key()));
    }

    /// Tells `change`.
    pub fn tell(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Tells executors that a run is queued; once for a row of them.
    pub fn tell_queued(&mut self) {
        if !matches!(self.changes.last(), Some(Change::Queued)) {
            self.changes.push(Change::Queued);
        }
    }
}
