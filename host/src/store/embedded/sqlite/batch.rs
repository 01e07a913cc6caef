//! The records that one transaction will write: each once, as it was last.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::Value;

use super::reader;
use crate::job::JobKey;
use crate::record::used::{Bucket, Used};
use crate::record::{Doc, Schedule, Session};
use crate::run::id::{Fence, SessionId};
use crate::run::{LogLine, Run, RunKey};
use crate::store::Result;
use crate::store::core::Past;
use crate::store::core::effects::{CounterKey, DocKey, Extent, KeptRange, Write};
use crate::time::Timestamp;

/// What a record is taken to be long, beside its long texts.
const RECORD_BYTES: usize = 256;
/// The same for a value of JSON.
const VALUE_BYTES: usize = 4;

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
    pub(super) counters: HashMap<CounterKey, Option<i64>>,
    /// What is in buckets, before `spent` is added.
    pub(super) buckets: HashMap<Bucket, Option<Used>>,
    /// One sum for all that the batch's steps ended.
    pub(super) spent: HashMap<Bucket, Used>,
    /// All that is kept goes before anything is written.
    pub(super) is_cleared: bool,
    pub(super) importing: Option<bool>,
    is_dirty: bool,
    bytes: usize,
}

impl Batch {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_dirty
    }

    /// Roughly what is to be written: the texts that can be long, and something for each record.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn add(&mut self, write: Write) {
        self.is_dirty = true;
        self.bytes += RECORD_BYTES + long_texts(&write);
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
                self.counters.insert(key, Some(value));
            }
            Write::CounterGone(key) => {
                self.counters.insert(key, None);
            }
            Write::Spent(bucket, used) => self.spent.entry(bucket).or_default().book(&used),
            Write::Bucket(bucket, used) => {
                self.buckets.insert(bucket, used);
            }
            Write::Clear => {
                *self = Self { is_cleared: true, is_dirty: true, ..Self::default() };
            }
            Write::Importing(importing) => self.importing = Some(importing),
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

fn long_texts(write: &Write) -> usize {
    match write {
        Write::Schedule(schedule, Extent::Whole) => {
            schedule.def.definition.size() + schedule.def.effective.size()
        }
        Write::Run(run) => run.args.iter().chain(&run.result).map(length).sum(),
        Write::Log(_, _, lines) => {
            lines.iter().map(|line| RECORD_BYTES + line.message.len() + line.context.len()).sum()
        }
        Write::Doc(_, Some(doc)) => doc.value.len(),
        Write::Schedule(_, Extent::Position)
        | Write::ScheduleGone(_)
        | Write::RunGone(_)
        | Write::Range(_)
        | Write::RangeGone(..)
        | Write::Session(_)
        | Write::SessionGone(_)
        | Write::Fence(_)
        | Write::LogGone(_)
        | Write::Doc(_, None)
        | Write::Counter(..)
        | Write::CounterGone(_)
        | Write::Spent(..)
        | Write::Bucket(..)
        | Write::Clear
        | Write::Importing(_) => 0,
    }
}

/// About how long a value is as text.
fn length(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => VALUE_BYTES,
        Value::String(text) => VALUE_BYTES + text.len(),
        Value::Array(items) => VALUE_BYTES + items.iter().map(length).sum::<usize>(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| key.len() + length(value));
            VALUE_BYTES + fields.sum::<usize>()
        }
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
            None if self.batch.is_cleared => Ok(None),
            None => reader::run(self.connection, run).map(|run| run.map(Arc::new)),
        }
    }

    fn doc(&self, doc: &DocKey) -> Result<Option<Doc>> {
        match self.batch.docs.get(doc) {
            Some(pending) => Ok(pending.clone()),
            None if self.batch.is_cleared => Ok(None),
            None => reader::doc(self.connection, &doc.tenant, &doc.kind, &doc.key),
        }
    }

    fn counter(&self, counter: &CounterKey) -> Result<i64> {
        match self.batch.counters.get(counter) {
            Some(pending) => Ok(pending.unwrap_or(0)),
            None if self.batch.is_cleared => Ok(0),
            None => reader::counter(self.connection, counter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_count_and_each_record_a_little() {
        let key = DocKey {
            tenant: "default".parse().unwrap(),
            kind: "k".to_owned(),
            key: "k".to_owned(),
        };
        let doc = |bytes| Doc { key: "k".to_owned(), version: 1, value: vec![0; bytes] };
        let mut batch = Batch::default();
        batch.add(Write::Doc(key.clone(), Some(doc(5_000))));
        assert_eq!(batch.bytes(), RECORD_BYTES + 5_000);
        batch.add(Write::Doc(key, None));
        assert_eq!(batch.bytes(), 2 * RECORD_BYTES + 5_000);
        let value = serde_json::json!({"key": ["four", 4, null]});
        assert_eq!(length(&value), "keyfour".len() + 5 * VALUE_BYTES);
    }
}
