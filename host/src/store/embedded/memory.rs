//! What is kept, in memory: gone with the process. For tests and for hosts that want no file.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::kept::{
    EntryId, Kept, LedgerMark, MAX_LOG_PAGE, Mark, REPEAT_HORIZON, RunMark, cut,
    ledger_item_of_range, ledger_item_of_run, limit_of, plain,
};
use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::record::query::{JobFilter, LedgerFilter, LedgerItem, LogPage, Page, Paged, RunFilter};
use crate::record::step::Retention;
use crate::record::{Doc, Schedule};
use crate::run::{Cause, LogLine, Range, Run, RunKey, RunState};
use crate::store::Result;
use crate::store::core::Past;
use crate::store::core::effects::{CounterKey, DocKey, Write};
use crate::store::core::papers::Victims;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// Everything that was written.
#[derive(Debug, Default)]
pub(super) struct Memory {
    schedules: BTreeMap<JobKey, Arc<Schedule>>,
    runs: HashMap<RunKey, Arc<Run>>,
    by_age: BTreeSet<RunMark>,
    pasts: HashMap<JobKey, JobPast>,
    /// Whose a range is.
    ranges: HashMap<u64, JobKey>,
    logs: HashMap<RunKey, Vec<LogLine>>,
    docs: BTreeMap<DocKey, Doc>,
    counters: HashMap<CounterKey, i64>,
}

/// The past of one name of a job, over all its creations.
#[derive(Debug, Default)]
struct JobPast {
    runs: BTreeSet<RunMark>,
    /// Fire times of runs with cause `schedule`.
    fires: BTreeSet<LedgerMark>,
    ranges: BTreeMap<u64, Range>,
}

impl Memory {
    /// Keeps one record.
    pub(super) fn apply(&mut self, write: Write) {
        match write {
            Write::Schedule(schedule, _) => {
                self.schedules.insert(schedule.key.clone(), schedule);
            }
            Write::ScheduleGone(job) => {
                self.schedules.remove(&job);
            }
            Write::Run(run) => self.put_run(run),
            Write::RunGone(run) => self.remove_run(&run),
            Write::Range(kept) => {
                self.ranges.insert(kept.id, kept.job.clone());
                self.pasts.entry(kept.job).or_default().ranges.insert(kept.id, kept.range);
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
            Write::Session(_) | Write::SessionGone(_) | Write::Fence(_) => (),
        }
    }

    fn put_run(&mut self, run: Arc<Run>) {
        if let Some(kept) = self.runs.get_mut(&run.key()) {
            *kept = run;
            return;
        }
        let mark = RunMark::at(&run);
        let past = self.pasts.entry(run.job_key()).or_default();
        past.runs.insert(mark.clone());
        if run.cause == Cause::Schedule {
            past.fires.insert(LedgerMark::of_run(&run));
        }
        self.by_age.insert(mark);
        self.runs.insert(run.key(), run);
    }

    fn remove_run(&mut self, key: &RunKey) {
        self.logs.remove(key);
        let Some(run) = self.runs.remove(key) else { return };
        let mark = RunMark::at(&run);
        self.by_age.remove(&mark);
        if let Some(past) = self.pasts.get_mut(&run.job_key()) {
            past.runs.remove(&mark);
            past.fires.remove(&LedgerMark::of_run(&run));
        }
    }

    fn remove_range(&mut self, id: u64, last: Timestamp) {
        let Some(past) = self.ranges.get(&id).and_then(|job| self.pasts.get_mut(job)) else {
            return;
        };
        if past.ranges.get(&id).is_some_and(|range| range.last == last) {
            past.ranges.remove(&id);
            self.ranges.remove(&id);
        }
    }

    fn run_at(&self, mark: &RunMark) -> Option<&Arc<Run>> {
        self.runs.get(&RunKey { tenant: mark.tenant.clone(), run: mark.id })
    }

    /// Done runs of a job, newest first.
    fn done_runs<'a>(&'a self, past: &'a JobPast) -> impl Iterator<Item = &'a Arc<Run>> {
        let runs = past.runs.iter().rev().filter_map(|mark| self.run_at(mark));
        runs.filter(|run| run.state == RunState::Done)
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

impl Kept for Memory {
    fn schedule(&self, job: &JobKey) -> Result<Option<Schedule>> {
        Ok(self.schedules.get(job).map(|schedule| Schedule::clone(schedule)))
    }

    fn schedules(&self, filter: &JobFilter, page: &Page) -> Result<Paged<Schedule>> {
        let (after, limit) = (JobKey::of(page)?, limit_of(page));
        let items = self
            .schedules
            .values()
            .filter(|schedule| after.as_ref().is_none_or(|after| *after < schedule.key))
            .filter(|schedule| filter.tenant.as_ref().is_none_or(|t| *t == schedule.key.tenant))
            .take(limit + 1)
            .map(|schedule| Schedule::clone(schedule))
            .collect();
        Ok(cut(items, limit, |schedule: &Schedule| schedule.key.clone()))
    }

    fn run(&self, run: &RunKey) -> Result<Option<Run>> {
        Ok(self.runs.get(run).map(|run| Run::clone(run)))
    }

    fn runs(&self, filter: &RunFilter, page: &Page) -> Result<Paged<Run>> {
        let (before, limit) = (RunMark::of(page)?, limit_of(page));
        let of_job = match (&filter.tenant, &filter.job) {
            (Some(tenant), Some(job)) => {
                let job = JobKey { tenant: tenant.clone(), job: job.clone() };
                match self.pasts.get(&job) {
                    Some(past) => &past.runs,
                    None => return Ok(Paged { items: Vec::new(), next_cursor: None }),
                }
            }
            (_, _) => &self.by_age,
        };
        let items = of_job
            .iter()
            .rev()
            .filter(|mark| before.as_ref().is_none_or(|before| *mark < before))
            .filter_map(|mark| self.run_at(mark))
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
        let Some(past) = self.pasts.get(job) else {
            return Ok(Paged { items: Vec::new(), next_cursor: None });
        };
        let fires = past.fires.iter().filter_map(|mark| match mark.entry {
            EntryId::Range(_) => None,
            EntryId::Run(run) => {
                let run = self.runs.get(&RunKey { tenant: job.tenant.clone(), run })?;
                Some((*mark, ledger_item_of_run(run)?))
            }
        });
        let ranges = past.ranges.iter().map(|(id, range)| {
            let mark = LedgerMark { last: range.last, entry: EntryId::Range(*id) };
            (mark, ledger_item_of_range(range))
        });
        let mut items: Vec<(LedgerMark, LedgerItem)> = fires
            .chain(ranges)
            .filter(|(mark, _)| before.is_none_or(|before| *mark < before))
            .filter(|(_, item)| filter.verdict.is_none_or(|verdict| verdict == item.verdict))
            .filter(|(_, item)| filter.from.is_none_or(|from| from <= item.last))
            .filter(|(_, item)| filter.to.is_none_or(|to| item.first < to))
            .collect();
        items.sort_unstable_by_key(|(mark, _)| Reverse(*mark));
        Ok(plain(cut(items, limit, |(mark, _)| *mark)))
    }

    fn log(&self, run: &RunKey, from: u64, max: usize) -> Result<LogPage> {
        let Some(kept) = self.runs.get(run) else {
            return Err(StoreError::NotFound(format!("run {run}")));
        };
        let none = Vec::new();
        let lines = self.logs.get(run).unwrap_or(&none);
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
        Ok(self.docs.get(&DocKey { tenant, kind, key }).cloned())
    }

    fn docs(&self, tenant: &TenantId, kind: &str, page: &Page) -> Result<Paged<Doc>> {
        let (after, limit) = (String::of(page)?, limit_of(page));
        let first = DocKey { tenant: tenant.clone(), kind: kind.to_owned(), key: String::new() };
        let items = self
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
        let done = self.runs.values().filter(|run| run.state == RunState::Done).count();
        let live = self.runs.len() - done;
        Ok([self.schedules.len(), live, done].map(|count| count as u64))
    }

    fn victims(&self, keep: Retention, budget: usize, now: Timestamp) -> Result<Victims> {
        let (too_old, horizon) = (now.before(keep.max_age), now.before(REPEAT_HORIZON));
        let keep_bodies = usize::try_from(keep.keep_bodies).unwrap_or(usize::MAX);
        let max_entries = usize::try_from(keep.max_entries).unwrap_or(usize::MAX);
        let mut victims = Victims::default();
        for past in self.pasts.values() {
            let bodies = self.done_runs(past).filter(|run| self.has_body(run)).skip(keep_bodies);
            victims.bodies.extend(bodies.map(|run| run.key()));

            let excess = (past.runs.len() + past.ranges.len()).saturating_sub(max_entries);
            let runs = self.done_runs(past).skip(1).filter_map(|run| {
                let finished_at = run.finished_at.filter(|finished_at| *finished_at < horizon)?;
                Some((run.fire_time, finished_at, Some(run.key()), 0))
            });
            let ranges = past.ranges.iter().map(|(id, range)| (range.last, range.last, None, *id));
            let mut entries: Vec<_> = runs.chain(ranges).collect();
            entries.sort_unstable();
            for (index, (last, age, run, range)) in entries.into_iter().enumerate() {
                match run {
                    _ if excess <= index && too_old <= age => (),
                    Some(run) => victims.runs.push(run),
                    None => victims.ranges.push((range, last)),
                }
            }
        }
        victims.hold_within(budget);
        Ok(victims)
    }
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
