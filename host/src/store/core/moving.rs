//! Steps of an import: what another store exported becomes what is live here, and what is kept.
//!
//! Places are given when all has come, as after a restart: those that started first keep their
//! slots, whatever the order in which they came.

use std::collections::HashMap;
use std::sync::Arc;

use super::accounts::windows_of;
use super::effects::{CounterKey, DocKey, Effects, Extent, KeptRange, Write};
use super::{Core, Holder, Restored};
use crate::record::portable::{Counts, RangeRecord, Record, RunRecord};
use crate::record::{Doc, HostInfo, Schedule, Session};
use crate::run::id::Fence;
use crate::run::{Run, RunState};
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// What is said to whoever wants to work with a half.
pub const UNFINISHED: &str =
    "an import into it has begun and not ended: repeat it, that begins anew";

/// What is said where an import is not wanted.
pub fn not_empty(held: &Counts) -> StoreError {
    StoreError::Unfit(format!("it holds {held}, and an import needs one that holds nothing"))
}

/// What is said when the steps of an import come in the wrong order.
pub fn not_begun() -> StoreError {
    StoreError::Unfit("no import has begun".to_owned())
}

impl Core {
    /// Forgets everything, so that an import can come in; `held` is what there is.
    ///
    /// # Errors
    ///
    /// `Unfit` when there is something that no unfinished import left.
    pub fn begin_import(&mut self, held: &Counts, fx: &mut Effects) -> Result<()> {
        if self.arrivals.is_none() && *held != Counts::default() {
            return Err(not_empty(held));
        }
        *self = Self::restore(Restored {
            fence: self.fence,
            generation: self.generation,
            importing: true,
            ..Restored::default()
        });
        fx.write(Write::Clear);
        fx.write(Write::Importing(true));
        Ok(())
    }

    /// Takes over some records.
    ///
    /// # Errors
    ///
    /// `Unfit` when no import has begun; `Invalid` when a record makes no sense.
    pub fn import(&mut self, records: Vec<Record>, fx: &mut Effects) -> Result<()> {
        if self.arrivals.is_none() {
            return Err(not_begun());
        }
        for record in &records {
            record.check().map_err(StoreError::Invalid)?;
        }
        let fence = self.fence;
        for record in records {
            self.take_over(record, fx);
        }
        if fence < self.fence {
            fx.write(Write::Fence(self.fence));
        }
        Ok(())
    }

    /// Gives every run that came its place; from now on hosts may come.
    pub fn end_import(&mut self, fx: &mut Effects) {
        if let Some(arrivals) = self.arrivals.take() {
            self.restore_runs(arrivals.into_values().collect());
            fx.write(Write::Importing(false));
        }
    }

    /// Whether an import has begun and not ended.
    pub fn is_importing(&self) -> bool {
        self.arrivals.is_some()
    }

    /// The last fence that was given out.
    pub fn last_fence(&self) -> Fence {
        self.fence
    }

    /// Whether what is here is whole.
    ///
    /// # Errors
    ///
    /// `Unfit` while an import has not ended.
    pub(super) fn check_complete(&self) -> Result<()> {
        match self.arrivals {
            Some(_) => Err(StoreError::Unfit(UNFINISHED.to_owned())),
            None => Ok(()),
        }
    }

    fn take_over(&mut self, record: Record, fx: &mut Effects) {
        match record {
            Record::Fence(fence) => self.fence = self.fence.max(fence),
            Record::Job(schedule) => {
                let schedule = *schedule;
                let def = self.common.definition(Arc::unwrap_or_clone(schedule.def));
                let key = self.common.name(schedule.key);
                let schedule = Arc::new(Schedule { key, def, ..schedule });
                self.schedules.put(Arc::clone(&schedule));
                fx.write(Write::Schedule(schedule, Extent::Whole));
            }
            Record::Run(record) => self.take_over_run(*record, fx),
            Record::Range(record) => self.take_over_range(record, fx),
            Record::Document(doc) => {
                if let Some(windows) = windows_of(&doc.kind, &doc.key, &doc.value) {
                    self.accounts.set_windows(&doc.tenant, windows);
                }
                let key = DocKey { tenant: doc.tenant, kind: doc.kind, key: doc.key.clone() };
                let doc = Doc { key: doc.key, version: doc.version, value: doc.value };
                fx.write(Write::Doc(key, Some(doc)));
            }
            Record::Counter(counter) => {
                let key = CounterKey { tenant: counter.tenant, key: counter.key };
                fx.write(Write::Counter(key, counter.value));
            }
            Record::Used(item) => fx.write(Write::Bucket(item.bucket, Some(item.used))),
        }
    }

    fn take_over_run(&mut self, RunRecord { run, log }: RunRecord, fx: &mut Effects) {
        let (key, lines) = (run.key(), log.len() as u64);
        let fences = run.attempts.iter().map(|attempt| attempt.fence);
        self.fence = fences.fold(self.fence, u64::max);
        // The log first: whether a run has a body is found out when it is written.
        fx.write(Write::LogGone(key.clone()));
        if !log.is_empty() {
            fx.write(Write::Log(key.clone(), 0, log));
        }
        fx.write(Write::Run(Arc::new(run.clone())));
        if run.state == RunState::Running {
            self.bury_holder(&run, fx);
        }
        if run.state != RunState::Done {
            self.arrivals.get_or_insert_with(HashMap::new).insert(key, (run, lines));
        }
    }

    /// Whoever holds a run that is under way is dead here, and is reaped by the first that attaches.
    fn bury_holder(&mut self, run: &Run, fx: &mut Effects) {
        let Some(attempt) = run.attempts.last() else { return };
        if self.sessions.contains_key(&attempt.session) {
            return;
        }
        let (id, host) = (attempt.session, attempt.host.clone());
        let session = Session { id, host: host.clone(), generation: self.generation };
        let info = HostInfo { host, ..HostInfo::default() };
        fx.write(Write::Session(session.clone()));
        self.sessions.insert(id, Holder::new(session, info, Timestamp::from_secs(0)));
    }

    fn take_over_range(&mut self, record: RangeRecord, fx: &mut Effects) {
        let RangeRecord { id, job, uid, range, noted_at } = record;
        let kept = KeptRange { id, job, uid, range, noted_at };
        self.next_range = self.next_range.max(id + 1);
        // Of jobs that are no more, none grows.
        let is_of_a_job = self.schedules.get(&kept.job).is_some_and(|job| job.uid == uid);
        if is_of_a_job && self.newest_range.get(&uid).is_none_or(|newest| newest.id <= id) {
            self.newest_range.insert(uid, kept.clone());
        }
        fx.write(Write::Range(kept));
    }
}
