//! What is in memory, as it moves to another store.

use std::ops::Bound;

use super::super::export::Moving;
use super::super::kept::{Mark, cut, limit_of};
use super::Sight;
use crate::record::portable::{CounterRecord, DocRecord, RangeRecord};
use crate::record::query::{Page, Paged};
use crate::run::id::Fence;
use crate::run::{LogLine, RunKey};
use crate::store::Result;
use crate::store::core::effects::{CounterKey, DocKey};

impl Moving for Sight<'_> {
    fn fence(&self) -> Result<Fence> {
        Ok(self.core.last_fence())
    }

    fn is_importing(&self) -> Result<bool> {
        Ok(self.core.is_importing())
    }

    fn logs(&self, runs: &[RunKey]) -> Result<Vec<Vec<LogLine>>> {
        Ok(runs.iter().map(|run| self.memory.logs.get(run).cloned().unwrap_or_default()).collect())
    }

    fn all_ranges(&self, page: &Page) -> Result<Paged<RangeRecord>> {
        let (after, limit) = (u64::of(page)?.unwrap_or(0), limit_of(page));
        let mut ids: Vec<u64> =
            self.memory.ranges.keys().copied().filter(|id| after < *id).collect();
        ids.sort_unstable();
        let kept = ids.iter().filter_map(|id| {
            let past = self.memory.pasts.get(self.memory.ranges.get(id)?)?;
            past.ranges.get(id)
        });
        let records = kept.map(|kept| RangeRecord {
            id: kept.id,
            job: kept.job.clone(),
            uid: kept.uid,
            range: kept.range.clone(),
            noted_at: kept.noted_at,
        });
        Ok(cut(records.take(limit + 1).collect(), limit, |record: &RangeRecord| record.id))
    }

    fn all_documents(&self, page: &Page) -> Result<Paged<DocRecord>> {
        let (after, limit) = (DocKey::of(page)?, limit_of(page));
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let docs = self.memory.docs.range::<DocKey, _>((from, Bound::Unbounded));
        let records = docs.map(|(name, doc)| DocRecord {
            tenant: name.tenant.clone(),
            kind: name.kind.clone(),
            key: name.key.clone(),
            version: doc.version,
            value: doc.value.clone(),
        });
        Ok(cut(records.take(limit + 1).collect(), limit, |doc: &DocRecord| DocKey {
            tenant: doc.tenant.clone(),
            kind: doc.kind.clone(),
            key: doc.key.clone(),
        }))
    }

    fn all_counters(&self, page: &Page) -> Result<Paged<CounterRecord>> {
        let (after, limit) = (CounterKey::of(page)?, limit_of(page));
        let counters = self.memory.counters.iter();
        let mut later: Vec<(&CounterKey, &i64)> =
            counters.filter(|(key, _)| after.as_ref().is_none_or(|after| after < *key)).collect();
        later.sort_unstable();
        let records = later.into_iter().map(|(name, value)| CounterRecord {
            tenant: name.tenant.clone(),
            key: name.key.clone(),
            value: *value,
        });
        Ok(cut(records.take(limit + 1).collect(), limit, |counter: &CounterRecord| CounterKey {
            tenant: counter.tenant.clone(),
            key: counter.key.clone(),
        }))
    }

    fn other_counts(&self) -> Result<[u64; 4]> {
        let memory = self.memory;
        let (ranges, docs, counters) =
            (memory.ranges.len(), memory.docs.len(), memory.counters.len());
        Ok([ranges, docs, counters, memory.buckets.len()].map(|count| count as u64))
    }

    /// What is live is one record in one place here: there is no second list to disagree with it.
    fn faults(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
