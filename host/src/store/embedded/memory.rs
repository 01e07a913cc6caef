//! What is kept, in memory: gone with the process. For tests and for hosts that want no file.

mod moving;
mod sight;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

pub(super) use self::sight::Sight;
use super::aging::DoneMark;
use super::kept::{RunMark, new_bucket};
use crate::job::JobKey;
use crate::job::names::{JobId, TenantId};
use crate::record::Doc;
use crate::record::used::{Bucket, Used};
use crate::run::id::RunId;
use crate::run::{Cause, LogLine, Run, RunKey, RunState};
use crate::store::Result;
use crate::store::core::Past;
use crate::store::core::effects::{CounterKey, DocKey, Extent, KeptRange, Write};
use crate::time::Timestamp;

/// Everything that was written.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The names of jobs; the schedules themselves are live.
    names: BTreeMap<TenantId, BTreeSet<JobId>>,
    runs: HashMap<RunKey, Arc<Run>>,
    /// How many of them are done.
    done: u64,
    by_age: BTreeSet<RunMark>,
    /// Boxed: most of the table is empty.
    pasts: HashMap<JobKey, Box<JobPast>>,
    /// Whose pasts these are.
    with_past: BTreeSet<JobKey>,
    /// Whose a range is.
    ranges: HashMap<u64, JobKey>,
    logs: HashMap<RunKey, Vec<LogLine>>,
    docs: BTreeMap<DocKey, Doc>,
    counters: HashMap<CounterKey, i64>,
    buckets: BTreeMap<Bucket, Used>,
    /// The same by hour, the oldest first.
    buckets_by_age: BTreeSet<(Timestamp, Bucket)>,
}

/// The past of one name of a job, over all its creations.
#[derive(Debug, Default)]
struct JobPast {
    /// Runs by when they were made.
    runs: BTreeSet<(Timestamp, RunId)>,
    /// Fire times of runs with cause `schedule`.
    fires: BTreeSet<(Timestamp, RunId)>,
    ranges: BTreeMap<u64, KeptRange>,
    /// Ranges by when they were noted.
    noted: BTreeSet<(Timestamp, u64)>,
    /// Done runs by their end.
    done: BTreeSet<DoneMark>,
    /// Those of them that have a body.
    bodies: BTreeSet<DoneMark>,
}

impl JobPast {
    fn put_range(&mut self, kept: KeptRange) {
        self.noted.insert((kept.noted_at, kept.id));
        if let Some(old) = self.ranges.insert(kept.id, kept.clone())
            && old.noted_at != kept.noted_at
        {
            self.noted.remove(&(old.noted_at, old.id));
        }
    }

    /// Notes that the run is done, and whether it has a body.
    fn put_done(&mut self, done: DoneMark, has_body: bool) {
        self.done.insert(done);
        if has_body {
            self.bodies.insert(done);
        } else {
            self.bodies.remove(&done);
        }
    }
}

impl Memory {
    /// Keeps one record.
    pub(super) fn apply(&mut self, write: Write) {
        match write {
            Write::Schedule(schedule, Extent::Whole) => self.put_name(&schedule.key),
            Write::ScheduleGone(job) => self.remove_name(&job),
            Write::Run(run) => self.put_run(run),
            Write::RunGone(run) => self.remove_run(&run),
            Write::Range(kept) => {
                self.ranges.insert(kept.id, kept.job.clone());
                self.past(kept.job.clone()).put_range(kept);
            }
            Write::RangeGone(id, last) => self.remove_range(id, last),
            Write::Log(run, _, lines) => self.logs.entry(run).or_default().extend(lines),
            Write::LogGone(run) => {
                self.logs.remove(&run);
            }
            Write::Doc(key, Some(doc)) => {
                self.docs.insert(key, doc);
            }
            Write::Doc(key, None) => {
                self.docs.remove(&key);
            }
            Write::Counter(key, value) => {
                self.counters.insert(key, value);
            }
            Write::CounterGone(key) => {
                self.counters.remove(&key);
            }
            Write::Spent(bucket, used) => self.spend(bucket, &used),
            Write::Bucket(bucket, used) => self.put_bucket(bucket, used),
            Write::Schedule(_, Extent::Position)
            | Write::Session(_)
            | Write::SessionGone(_)
            | Write::Fence(_)
            | Write::Importing(_) => (),
            Write::Clear => *self = Self::default(),
        }
    }

    /// Names of jobs after `after`, by tenant and name.
    fn names_after(&self, after: Option<&JobKey>) -> impl Iterator<Item = JobKey> {
        let tenants = match after {
            Some(after) => self.names.range(after.tenant.clone()..),
            None => self.names.range::<TenantId, _>(..),
        };
        tenants.flat_map(move |(tenant, names)| {
            let after = after.filter(|after| after.tenant == *tenant).map(|after| &after.job);
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let names = names.range::<JobId, _>((from, Bound::Unbounded));
            names.map(|job| JobKey { tenant: tenant.clone(), job: job.clone() })
        })
    }

    fn put_name(&mut self, job: &JobKey) {
        self.names.entry(job.tenant.clone()).or_default().insert(job.job.clone());
    }

    fn remove_name(&mut self, job: &JobKey) {
        if let Some(names) = self.names.get_mut(&job.tenant) {
            names.remove(&job.job);
            if names.is_empty() {
                self.names.remove(&job.tenant);
            }
        }
    }

    fn put_run(&mut self, run: Arc<Run>) {
        let done = done_mark(&run).map(|done| (done, self.has_body(&run)));
        let before = match self.runs.entry(run.key()) {
            Entry::Occupied(mut kept) => Some(kept.insert(Arc::clone(&run))),
            Entry::Vacant(free) => {
                free.insert(Arc::clone(&run));
                None
            }
        };
        self.done += u64::from(done.is_some() && !before.as_deref().is_some_and(is_done));
        if before.is_some() && done.is_none() {
            return;
        }
        let past = self.past(run.job_key());
        if let Some((done, has_body)) = done {
            past.put_done(done, has_body);
        }
        if before.is_none() {
            past.runs.insert((run.queued_at, run.id));
            if run.cause == Cause::Schedule {
                past.fires.insert((run.fire_time, run.id));
            }
            self.by_age.insert(RunMark::at(&run));
        }
    }

    /// The past of this name, which may begin now.
    fn past(&mut self, job: JobKey) -> &mut JobPast {
        match self.pasts.entry(job) {
            Entry::Occupied(past) => past.into_mut(),
            Entry::Vacant(free) => {
                self.with_past.insert(free.key().clone());
                free.insert(Box::default())
            }
        }
    }

    fn remove_run(&mut self, key: &RunKey) {
        self.logs.remove(key);
        let Some(run) = self.runs.remove(key) else { return };
        self.done -= u64::from(is_done(&run));
        self.by_age.remove(&RunMark::at(&run));
        if let Some(past) = self.pasts.get_mut(&run.job_key()) {
            past.runs.remove(&(run.queued_at, run.id));
            past.fires.remove(&(run.fire_time, run.id));
            if let Some(done) = done_mark(&run) {
                past.done.remove(&done);
                past.bodies.remove(&done);
            }
        }
        self.forget_if_empty(&run.job_key());
    }

    fn remove_range(&mut self, id: u64, last: Timestamp) {
        let Some(job) = self.ranges.get(&id).cloned() else { return };
        let Some(past) = self.pasts.get_mut(&job) else { return };
        let Some(kept) = past.ranges.get(&id).filter(|kept| kept.range.last == last) else {
            return;
        };
        past.noted.remove(&(kept.noted_at, id));
        past.ranges.remove(&id);
        self.ranges.remove(&id);
        self.forget_if_empty(&job);
    }

    fn forget_if_empty(&mut self, job: &JobKey) {
        if self.pasts.get(job).is_some_and(|past| past.runs.is_empty() && past.ranges.is_empty()) {
            self.pasts.remove(job);
            self.with_past.remove(job);
        }
    }

    fn spend(&mut self, bucket: Bucket, used: &Used) {
        let bucket = match self.buckets.contains_key(&bucket) {
            true => bucket,
            false => new_bucket(&bucket, self.buckets_of_hour(&bucket)),
        };
        let mut sums = self.buckets.get(&bucket).cloned().unwrap_or_default();
        sums.book(used);
        self.put_bucket(bucket, Some(sums));
    }

    /// How many buckets the tenant has of that hour.
    fn buckets_of_hour(&self, bucket: &Bucket) -> u64 {
        let of_hour = self
            .buckets
            .range(bucket.of_others()..)
            .take_while(|(other, _)| (&other.tenant, other.hour) == (&bucket.tenant, bucket.hour));
        of_hour.count() as u64
    }

    fn put_bucket(&mut self, bucket: Bucket, used: Option<Used>) {
        let by_age = (bucket.hour, bucket.clone());
        if let Some(used) = used {
            self.buckets.insert(bucket, used);
            self.buckets_by_age.insert(by_age);
        } else {
            self.buckets.remove(&bucket);
            self.buckets_by_age.remove(&by_age);
        }
    }

    fn has_body(&self, run: &Run) -> bool {
        run.args.is_some() || run.result.is_some() || self.logs.contains_key(&run.key())
    }
}

impl Past for Memory {
    fn run(&self, run: &RunKey) -> Result<Option<Arc<Run>>> {
        Ok(self.runs.get(run).map(Arc::clone))
    }

    fn doc(&self, doc: &DocKey) -> Result<Option<Doc>> {
        Ok(self.docs.get(doc).cloned())
    }

    fn counter(&self, counter: &CounterKey) -> Result<i64> {
        Ok(self.counters.get(counter).copied().unwrap_or(0))
    }
}

fn is_done(run: &Run) -> bool {
    run.state == RunState::Done
}

/// The place of a done run by its end.
fn done_mark(run: &Run) -> Option<DoneMark> {
    let finished_at = run.finished_at.filter(|_| run.state == RunState::Done)?;
    Some(DoneMark { finished_at, queued_at: run.queued_at, id: run.id })
}
