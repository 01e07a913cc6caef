//! What is kept, in memory: gone with the process. For tests and for hosts that want no file.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::aging::{DoneMark, Pasts};
use super::kept::{
    EntryId, Kept, LedgerMark, MAX_LOG_PAGE, Mark, RunMark, cut, ledger_item_of_range,
    ledger_item_of_run, limit_of, plain,
};
use crate::job::names::{JobId, TenantId};
use crate::job::{History, JobKey};
use crate::record::query::{JobFilter, LedgerFilter, LedgerItem, LogPage, Page, Paged, RunFilter};
use crate::record::{Doc, Schedule};
use crate::run::id::RunId;
use crate::run::{Cause, LogLine, Run, RunKey, RunState};
use crate::store::Result;
use crate::store::core::effects::{CounterKey, DocKey, Extent, KeptRange, Write};
use crate::store::core::papers::RangeMark;
use crate::store::core::{Core, Past};
use crate::store::error::StoreError;
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
    pasts: HashMap<JobKey, JobPast>,
    /// Whose pasts these are.
    with_past: BTreeSet<JobKey>,
    /// Whose a range is.
    ranges: HashMap<u64, JobKey>,
    logs: HashMap<RunKey, Vec<LogLine>>,
    docs: BTreeMap<DocKey, Doc>,
    counters: HashMap<CounterKey, i64>,
}

/// All that can be asked for: what was written, and the schedules.
pub(super) struct Sight<'a> {
    pub(super) core: &'a Core,
    pub(super) memory: &'a Memory,
}

/// The past of one name of a job, over all its creations.
#[derive(Debug, Default)]
struct JobPast {
    runs: BTreeSet<RunMark>,
    /// Fire times of runs with cause `schedule`.
    fires: BTreeSet<LedgerMark>,
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
            Write::Schedule(_, Extent::Position)
            | Write::Session(_)
            | Write::SessionGone(_)
            | Write::Fence(_) => (),
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
            let mark = RunMark::at(&run);
            past.runs.insert(mark.clone());
            if run.cause == Cause::Schedule {
                past.fires.insert(LedgerMark::of_run(&run));
            }
            self.by_age.insert(mark);
        }
    }

    /// The past of this name, which may begin now.
    fn past(&mut self, job: JobKey) -> &mut JobPast {
        match self.pasts.entry(job) {
            Entry::Occupied(past) => past.into_mut(),
            Entry::Vacant(free) => {
                self.with_past.insert(free.key().clone());
                free.insert(JobPast::default())
            }
        }
    }

    fn remove_run(&mut self, key: &RunKey) {
        self.logs.remove(key);
        let Some(run) = self.runs.remove(key) else { return };
        self.done -= u64::from(is_done(&run));
        let mark = RunMark::at(&run);
        self.by_age.remove(&mark);
        if let Some(past) = self.pasts.get_mut(&run.job_key()) {
            past.runs.remove(&mark);
            past.fires.remove(&LedgerMark::of_run(&run));
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

    fn run_at(&self, mark: &RunMark) -> Option<&Arc<Run>> {
        self.runs.get(&RunKey { tenant: mark.tenant.clone(), run: mark.id })
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

impl Kept for Sight<'_> {
    fn schedule(&self, job: &JobKey) -> Result<Option<Schedule>> {
        Ok(self.core.schedule(job).map(|schedule| Schedule::clone(schedule)))
    }

    fn schedules(&self, filter: &JobFilter, page: &Page) -> Result<Paged<Schedule>> {
        let (after, limit) = (JobKey::of(page)?, limit_of(page));
        let items = self
            .memory
            .names_after(after.as_ref())
            .filter(|job| filter.tenant.as_ref().is_none_or(|tenant| *tenant == job.tenant))
            .filter_map(|job| self.core.schedule(&job))
            .take(limit + 1)
            .map(|schedule| Schedule::clone(schedule))
            .collect();
        Ok(cut(items, limit, |schedule: &Schedule| schedule.key.clone()))
    }

    fn run(&self, run: &RunKey) -> Result<Option<Run>> {
        Ok(self.memory.runs.get(run).map(|run| Run::clone(run)))
    }

    fn runs(&self, filter: &RunFilter, page: &Page) -> Result<Paged<Run>> {
        let (before, limit) = (RunMark::of(page)?, limit_of(page));
        let of_job = match (&filter.tenant, &filter.job) {
            (Some(tenant), Some(job)) => {
                let job = JobKey { tenant: tenant.clone(), job: job.clone() };
                match self.memory.pasts.get(&job) {
                    Some(past) => &past.runs,
                    None => return Ok(Paged { items: Vec::new(), next_cursor: None }),
                }
            }
            (_, _) => &self.memory.by_age,
        };
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let items = of_job
            .range((Bound::Unbounded, end))
            .rev()
            .filter_map(|mark| self.memory.run_at(mark))
            .filter(|run| is_wanted(filter, run))
            .take(limit + 1)
            .map(|run| Run::clone(run))
            .collect();
        Ok(cut(items, limit, RunMark::at))
    }

    fn ledger(
        &self,
        job: &JobKey,
        filter: &LedgerFilter,
        page: &Page,
    ) -> Result<Paged<LedgerItem>> {
        let (before, limit) = (LedgerMark::of(page)?, limit_of(page));
        let Some(past) = self.memory.pasts.get(job) else {
            return Ok(Paged { items: Vec::new(), next_cursor: None });
        };
        let is_wanted = |item: &LedgerItem| {
            filter.verdict.is_none_or(|verdict| verdict == item.verdict)
                && filter.from.is_none_or(|from| from <= item.last)
                && filter.to.is_none_or(|to| item.first < to)
        };
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let fires = past.fires.range((Bound::Unbounded, end)).rev().filter_map(|mark| {
            let EntryId::Run(run) = mark.entry else { return None };
            let run = self.memory.runs.get(&RunKey { tenant: job.tenant.clone(), run })?;
            Some((*mark, ledger_item_of_run(run)?))
        });
        let ranges = past.ranges.iter().filter_map(|(id, kept)| {
            let mark = LedgerMark { last: kept.range.last, entry: EntryId::Range(*id) };
            let is_older = before.is_none_or(|before| mark < before);
            is_older.then(|| (mark, ledger_item_of_range(&kept.range)))
        });
        // Of the fires, which may be many, a page of the newest is enough.
        let fires = fires.filter(|(_, item)| is_wanted(item)).take(limit + 1);
        let ranges = ranges.filter(|(_, item)| is_wanted(item));
        let mut items: Vec<(LedgerMark, LedgerItem)> = fires.chain(ranges).collect();
        items.sort_unstable_by_key(|(mark, _)| Reverse(*mark));
        Ok(plain(cut(items, limit, |(mark, _)| *mark)))
    }

    fn log(&self, run: &RunKey, from: u64, max: usize) -> Result<LogPage> {
        let Some(kept) = self.memory.runs.get(run) else {
            return Err(StoreError::NotFound(format!("run {run}")));
        };
        let none = Vec::new();
        let lines = self.memory.logs.get(run).unwrap_or(&none);
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(lines.len());
        let end = start.saturating_add(max.min(MAX_LOG_PAGE)).min(lines.len());
        Ok(LogPage {
            lines: lines.get(start..end).unwrap_or_default().to_vec(),
            next: from.max(end as u64),
            complete: kept.state == RunState::Done && end == lines.len(),
        })
    }

    fn doc(&self, tenant: &TenantId, kind: &str, key: &str) -> Result<Option<Doc>> {
        let (tenant, kind, key) = (tenant.clone(), kind.to_owned(), key.to_owned());
        Ok(self.memory.docs.get(&DocKey { tenant, kind, key }).cloned())
    }

    fn docs(&self, tenant: &TenantId, kind: &str, page: &Page) -> Result<Paged<Doc>> {
        let (after, limit) = (String::of(page)?, limit_of(page));
        let first = DocKey { tenant: tenant.clone(), kind: kind.to_owned(), key: String::new() };
        let items = self
            .memory
            .docs
            .range(first..)
            .take_while(|(name, _)| name.tenant == *tenant && name.kind == kind)
            .filter(|(name, _)| after.as_ref().is_none_or(|after| *after < name.key))
            .take(limit + 1)
            .map(|(_, doc)| doc.clone())
            .collect();
        Ok(cut(items, limit, |doc: &Doc| doc.key.clone()))
    }

    fn counts(&self) -> Result<[u64; 3]> {
        let (runs, done) = (self.memory.runs.len() as u64, self.memory.done);
        Ok([self.core.schedules() as u64, runs - done, done])
    }
}

impl Pasts for Sight<'_> {
    fn names(&self, after: Option<&JobKey>, max: usize) -> Result<Vec<JobKey>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.memory.with_past.range::<JobKey, _>((from, Bound::Unbounded));
        Ok(names.take(max).cloned().collect())
    }

    fn history(&self, job: &JobKey) -> Result<Option<History>> {
        Ok(self.core.schedule(job).map(|schedule| schedule.history))
    }

    fn entries(&self, job: &JobKey) -> Result<u64> {
        Ok(self
            .memory
            .pasts
            .get(job)
            .map_or(0, |past| (past.runs.len() + past.ranges.len()) as u64))
    }

    fn newest_done(&self, job: &JobKey) -> Result<Option<RunId>> {
        Ok(self.memory.pasts.get(job).and_then(|past| past.done.last()).map(|done| done.id))
    }

    fn oldest_done(&self, job: &JobKey, before: Timestamp, max: usize) -> Result<Vec<DoneMark>> {
        let done = self.memory.pasts.get(job).into_iter().flat_map(|past| &past.done);
        Ok(done.take_while(|done| done.finished_at < before).take(max).copied().collect())
    }

    fn oldest_ranges(
        &self,
        job: &JobKey,
        before: Timestamp,
        max: usize,
    ) -> Result<Vec<(Timestamp, RangeMark)>> {
        let Some(past) = self.memory.pasts.get(job) else { return Ok(Vec::new()) };
        let noted = past.noted.iter().take_while(|(noted_at, _)| *noted_at < before).take(max);
        let marks = noted.filter_map(|(noted_at, id)| {
            let kept = past.ranges.get(id)?;
            Some((*noted_at, RangeMark { id: *id, uid: kept.uid, last: kept.range.last }))
        });
        Ok(marks.collect())
    }

    fn bodies(&self, job: &JobKey, keep: u32, max: usize) -> Result<Vec<RunId>> {
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let bodies =
            self.memory.pasts.get(job).into_iter().flat_map(|past| past.bodies.iter().rev());
        Ok(bodies.skip(keep).take(max).map(|done| done.id).collect())
    }

    fn lines(&self, run: &RunKey) -> Result<u64> {
        Ok(self.memory.logs.get(run).map_or(0, |lines| lines.len() as u64))
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

fn is_wanted(filter: &RunFilter, run: &Run) -> bool {
    filter.tenant.as_ref().is_none_or(|tenant| *tenant == run.tenant)
        && filter.job.as_ref().is_none_or(|job| *job == run.job)
        && (filter.states.is_empty() || filter.states.contains(&run.state))
        && filter.verdict.is_none_or(|verdict| Some(verdict) == run.verdict)
        && filter.cause.is_none_or(|cause| cause == run.cause)
        && filter.from.is_none_or(|from| from <= run.fire_time)
        && filter.to.is_none_or(|to| run.fire_time < to)
}
