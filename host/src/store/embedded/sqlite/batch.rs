//! The records that one transaction will write: each once, as it was last.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::reader;
use crate::job::JobKey;
use crate::record::{Doc, Schedule, Session};
use crate::run::id::{Fence, SessionId};
use crate::run::{LogLine, Run, RunKey};
use crate::store::Result;
use crate::store::core::Past;
use crate::store::core::effects::{CounterKey, DocKey, Extent, KeptRange, Write};
use crate::time::Timestamp;

/// What is decided but not committed. `None` stands for a record that is to go.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) schedules: HashMap<JobKey, Option<(Arc<Schedule>, Extent)>>,
    pub(super) runs: HashMap<RunKey, Option<Arc<Run>>>,
    pub(super) ranges: HashMap<u64, KeptRange>,
    pub(super) ranges_gone: Vec<(u64, Timestamp)>,
    pub(super) sessions: HashMap<SessionId, Option<Session>>,
    pub(super) fence: Option<Fence>,
    /// Gone before `logs` are written.
    pub(super) logs_gone: Vec<RunKey>,
    pub(super) logs: Vec<(RunKey, u64, Vec<LogLine>)>,
    pub(super) docs: HashMap<DocKey, Option<Doc>>,
    pub(super) counters: HashMap<CounterKey, i64>,
    is_dirty: bool,
}

impl Batch {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_dirty
    }

    pub(super) fn add(&mut self, write: Write) {
        self.is_dirty = true;
        match write {
            Write::Schedule(schedule, extent) => self.add_schedule(schedule, extent),
            Write::ScheduleGone(job) => {
                self.schedules.insert(job, None);
            }
            Write::Run(run) => {
                self.runs.insert(run.key(), Some(run));
            }
            Write::RunGone(run) => {
                self.logs_gone.push(run.clone());
                self.runs.insert(run, None);
            }
            Write::Range(kept) => {
                self.ranges.insert(kept.id, kept);
            }
            Write::RangeGone(id, last) => self.ranges_gone.push((id, last)),
            Write::Session(session) => {
                self.sessions.insert(session.id, Some(session));
            }
            Write::SessionGone(id) => {
                self.sessions.insert(id, None);
            }
            Write::Fence(fence) => self.fence = self.fence.max(Some(fence)),
            Write::Log(run, from, lines) => self.logs.push((run, from, lines)),
            Write::LogGone(run) => self.logs_gone.push(run),
            Write::Doc(key, doc) => {
                self.docs.insert(key, doc);
            }
            Write::Counter(key, value) => {
                self.counters.insert(key, value);
            }
        }
    }

    fn add_schedule(&mut self, schedule: Arc<Schedule>, extent: Extent) {
        let before = self.schedules.get(&schedule.key).and_then(Option::as_ref);
        let extent = match (before, extent) {
            (Some((_, Extent::Whole)), _) | (_, Extent::Whole) => Extent::Whole,
            (Some((_, Extent::Position)) | None, Extent::Position) => Extent::Position,
        };
        self.schedules.insert(schedule.key.clone(), Some((schedule, extent)));
    }
}

/// What is kept, as the next step of the batch must see it.
pub(super) struct Pending<'a> {
    pub(super) batch: &'a Batch,
    pub(super) connection: &'a Connection,
}

impl Past for Pending<'_> {
    fn run(&self, run: &RunKey) -> Result<Option<Arc<Run>>> {
        match self.batch.runs.get(run) {
            Some(pending) => Ok(pending.clone()),
            None => reader::run(self.connection, run).map(|run| run.map(Arc::new)),
        }
    }

    fn doc(&self, doc: &DocKey) -> Result<Option<Doc>> {
        match self.batch.docs.get(doc) {
            Some(pending) => Ok(pending.clone()),
            None => reader::doc(self.connection, &doc.tenant, &doc.kind, &doc.key),
        }
    }

    fn counter(&self, counter: &CounterKey) -> Result<i64> {
        match self.batch.counters.get(counter) {
            Some(pending) => Ok(*pending),
            None => reader::counter(self.connection, counter),
        }
    }
}
