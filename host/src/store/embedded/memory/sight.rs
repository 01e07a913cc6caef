//! What is kept in memory, as it is asked for.

use std::cmp::Reverse;
use std::ops::Bound;

use super::super::aging::{DoneMark, Pasts};
use super::super::belongings::Belongings;
use super::super::kept::{
    EntryId, Kept, LedgerMark, MAX_LOG_PAGE, Mark, RunMark, cut, ledger_item_of_range,
    ledger_item_of_run, limit_of, plain,
};
use super::Memory;
use crate::job::names::TenantId;
use crate::job::{History, JobKey};
use crate::record::query::{
    JobFilter, LedgerFilter, LedgerItem, LogPage, Page, Paged, RunFilter, UsageFilter, UsageItem,
};
use crate::record::used::Bucket;
use crate::record::{Doc, Schedule};
use crate::run::id::RunId;
use crate::run::{Run, RunKey, RunState};
use crate::store::Result;
use crate::store::core::Core;
use crate::store::core::effects::{CounterKey, DocKey};
use crate::store::core::papers::RangeMark;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// All that can be asked for: what was written, and the schedules.
pub(in crate::store::embedded) struct Sight<'a> {
    pub(in crate::store::embedded) core: &'a Core,
    pub(in crate::store::embedded) memory: &'a Memory,
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
        let end = before.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let newest: Box<dyn Iterator<Item = RunKey>> = match (&filter.tenant, &filter.job) {
            (Some(tenant), Some(job)) => {
                let job = JobKey { tenant: tenant.clone(), job: job.clone() };
                let end = end.map(|before| (before.queued_at, before.id));
                let past = self.memory.pasts.get(&job);
                let runs = past.map(|past| past.runs.range((Bound::Unbounded, end)).rev());
                let key =
                    |(_, run): &(Timestamp, RunId)| RunKey { tenant: tenant.clone(), run: *run };
                Box::new(runs.into_iter().flatten().map(key))
            }
            (_, _) => {
                let marks = self.memory.by_age.range((Bound::Unbounded, end)).rev();
                Box::new(marks.map(|mark| RunKey { tenant: mark.tenant.clone(), run: mark.id }))
            }
        };
        let items = newest
            .filter_map(|run| self.memory.runs.get(&run))
            .filter(|run| filter.wants(run))
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
        // Of one fire time runs come before ranges, whatever their ids.
        let end = before.map_or(Bound::Unbounded, |before| match before.entry {
            EntryId::Run(run) => Bound::Excluded((before.last, run)),
            EntryId::Range(_) => Bound::Excluded((before.last, RunId::from_bits(0))),
        });
        let fires = past.fires.range((Bound::Unbounded, end)).rev().filter_map(|(_, run)| {
            let run = self.memory.runs.get(&RunKey { tenant: job.tenant.clone(), run: *run })?;
            Some((LedgerMark::of_run(run), ledger_item_of_run(run)?))
        });
        let ranges = past.ranges.iter().filter_map(|(id, kept)| {
            let mark = LedgerMark { last: kept.range.last, entry: EntryId::Range(*id) };
            let is_older = before.is_none_or(|before| mark < before);
            is_older.then(|| (mark, ledger_item_of_range(&kept.range)))
        });
        // Of the fires, which may be many, a page of the newest is enough.
        let fires = fires.filter(|(_, item)| filter.wants(item)).take(limit + 1);
        let ranges = ranges.filter(|(_, item)| filter.wants(item));
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

    fn usage(&self, filter: &UsageFilter, page: &Page) -> Result<Paged<UsageItem>> {
        let (after, limit) = (Bucket::of(page)?, limit_of(page));
        let first = filter.tenant.as_ref().map(|tenant| Bucket {
            tenant: tenant.clone(),
            hour: filter.from.unwrap_or(Timestamp::MIN),
            job: None,
        });
        let from = match (&after, &first) {
            (Some(after), _) => Bound::Excluded(after),
            (None, Some(first)) => Bound::Included(first),
            (None, None) => Bound::Unbounded,
        };
        let items = self
            .memory
            .buckets
            .range::<Bucket, _>((from, Bound::Unbounded))
            .take_while(|(bucket, _)| {
                filter.tenant.as_ref().is_none_or(|tenant| *tenant == bucket.tenant)
            })
            .filter(|(bucket, _)| filter.wants(bucket))
            .take(limit + 1)
            .map(|(bucket, used)| UsageItem { bucket: bucket.clone(), used: used.clone() })
            .collect();
        Ok(cut(items, limit, |item: &UsageItem| item.bucket.clone()))
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

    fn oldest_buckets(&self, before: Timestamp, max: usize) -> Result<Vec<Bucket>> {
        let old = self.memory.buckets_by_age.iter().take_while(|(hour, _)| *hour < before);
        Ok(old.take(max).map(|(_, bucket)| bucket.clone()).collect())
    }

    fn lines(&self, run: &RunKey) -> Result<u64> {
        Ok(self.memory.logs.get(run).map_or(0, |lines| lines.len() as u64))
    }
}

impl Belongings for Sight<'_> {
    fn doc_names(
        &self,
        tenant: &TenantId,
        after: Option<&DocKey>,
        max: usize,
    ) -> Result<Vec<DocKey>> {
        let first = DocKey { tenant: tenant.clone(), kind: String::new(), key: String::new() };
        let from = after.map_or(Bound::Included(&first), Bound::Excluded);
        let docs = self.memory.docs.range::<DocKey, _>((from, Bound::Unbounded));
        let own = docs.map(|(name, _)| name).take_while(|name| name.tenant == *tenant);
        Ok(own.take(max).cloned().collect())
    }

    fn counter_names(&self, tenant: &TenantId, max: usize) -> Result<Vec<CounterKey>> {
        let own = self.memory.counters.keys().filter(|name| name.tenant == *tenant);
        Ok(own.take(max).cloned().collect())
    }
}
