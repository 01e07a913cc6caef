//! Everything that is kept, page by page, in the order in which another store can take it: jobs
//! before runs, so that these find their slots, and both before what they left behind.

use super::kept::{Kept, Mark};
use crate::record::portable::{CounterRecord, Counts, DocRecord, RangeRecord, Record, RunRecord};
use crate::record::query::{JobFilter, Page, Paged, RunFilter, UsageFilter};
use crate::run::id::Fence;
use crate::run::{LogLine, Run, RunKey};
use crate::store::Result;
use crate::store::core::effects::{CounterKey, DocKey};
use crate::store::core::moving::UNFINISHED;
use crate::store::error::StoreError;

/// Records in one page.
const AT_ONCE: usize = 128;

/// What a backend tells so that its contents can move.
pub(in crate::store) trait Moving {
    /// The last fence that was given out.
    fn fence(&self) -> Result<Fence>;

    /// Whether an import has begun and not ended.
    fn is_importing(&self) -> Result<bool>;

    /// All lines of these runs' logs, in the same order.
    fn logs(&self, runs: &[RunKey]) -> Result<Vec<Vec<LogLine>>>;

    /// Ranges of all jobs.
    fn all_ranges(&self, page: &Page) -> Result<Paged<RangeRecord>>;

    /// Documents of all tenants.
    fn all_documents(&self, page: &Page) -> Result<Paged<DocRecord>>;

    /// Counters of all tenants.
    fn all_counters(&self, page: &Page) -> Result<Paged<CounterRecord>>;

    /// How many ranges, documents, counters and buckets there are.
    fn other_counts(&self) -> Result<[u64; 4]>;

    /// Where records and the lists by which they are found contradict each other.
    fn faults(&self) -> Result<Vec<String>>;
}

/// The kinds of records, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Jobs,
    Runs,
    Ranges,
    Documents,
    Counters,
    Buckets,
}

impl Stage {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Jobs, "jobs"),
        (Self::Runs, "runs"),
        (Self::Ranges, "ranges"),
        (Self::Documents, "documents"),
        (Self::Counters, "counters"),
        (Self::Buckets, "buckets"),
    ];

    fn next(self) -> Option<Self> {
        let mut rest = Self::ALL.iter().skip_while(|(stage, _)| *stage != self);
        rest.nth(1).map(|(stage, _)| *stage)
    }

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(stage, _)| *stage == self).map_or("", |(_, word)| *word)
    }

    fn read(cursor: &str) -> Option<(Self, Option<String>)> {
        let (word, mark) = cursor.split_once(':')?;
        let (stage, _) = Self::ALL.iter().find(|(_, known)| *known == word)?;
        Some((*stage, Some(mark.to_owned()).filter(|mark| !mark.is_empty())))
    }
}

/// One page of everything.
pub(in crate::store) fn export<K: Kept + ?Sized>(
    kept: &K,
    cursor: Option<&str>,
) -> Result<Paged<Record>> {
    let Some(cursor) = cursor else {
        if kept.is_importing()? {
            return Err(StoreError::Unfit(UNFINISHED.to_owned()));
        }
        let next_cursor = Some(format!("{}:", Stage::Jobs.word()));
        return Ok(Paged { items: vec![Record::Fence(kept.fence()?)], next_cursor });
    };
    let (stage, mark) = Stage::read(cursor)
        .ok_or_else(|| StoreError::Invalid(format!("`{cursor}` is no cursor of an export")))?;
    let page = Page { limit: AT_ONCE, cursor: mark };
    let paged = match stage {
        Stage::Jobs => {
            let jobs = kept.schedules(&JobFilter::default(), &page)?;
            as_records(jobs, |schedule| Record::Job(Box::new(schedule)))
        }
        Stage::Runs => {
            let runs = kept.runs(&RunFilter::default(), &page)?;
            let keys: Vec<RunKey> = runs.items.iter().map(Run::key).collect();
            let mut logs = kept.logs(&keys)?.into_iter();
            as_records(runs, |run| {
                let log = logs.next().unwrap_or_default();
                Record::Run(Box::new(RunRecord { run, log }))
            })
        }
        Stage::Ranges => as_records(kept.all_ranges(&page)?, Record::Range),
        Stage::Documents => as_records(kept.all_documents(&page)?, Record::Document),
        Stage::Counters => as_records(kept.all_counters(&page)?, Record::Counter),
        Stage::Buckets => as_records(kept.usage(&UsageFilter::default(), &page)?, Record::Used),
    };
    let next_cursor = match paged.next_cursor {
        Some(mark) => Some(format!("{}:{mark}", stage.word())),
        None => stage.next().map(|stage| format!("{}:", stage.word())),
    };
    Ok(Paged { items: paged.items, next_cursor })
}

/// How much there is.
pub(in crate::store) fn held<K: Kept + ?Sized>(kept: &K) -> Result<Counts> {
    let [jobs, live, done] = kept.counts()?;
    let [ranges, documents, counters, buckets] = kept.other_counts()?;
    let runs = live + done;
    Ok(Counts { jobs, runs, ranges, documents, counters, buckets, ..Counts::default() })
}

fn as_records<T>(page: Paged<T>, record: impl FnMut(T) -> Record) -> Paged<Record> {
    let items = page.items.into_iter().map(record).collect();
    Paged { items, next_cursor: page.next_cursor }
}

/// A range among all, by its id.
impl Mark for u64 {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A document among all.
impl Mark for DocKey {
    fn write(&self) -> String {
        serde_json::Value::from([self.tenant.as_str(), &self.kind, &self.key].as_slice())
            .to_string()
    }

    fn read(text: &str) -> Option<Self> {
        let [tenant, kind, key]: [String; 3] = serde_json::from_str(text).ok()?;
        Some(Self { tenant: tenant.parse().ok()?, kind, key })
    }
}

/// A counter among all.
impl Mark for CounterKey {
    fn write(&self) -> String {
        serde_json::Value::from([self.tenant.as_str(), &self.key].as_slice()).to_string()
    }

    fn read(text: &str) -> Option<Self> {
        let [tenant, key]: [String; 2] = serde_json::from_str(text).ok()?;
        Some(Self { tenant: tenant.parse().ok()?, key })
    }
}
