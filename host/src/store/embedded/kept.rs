//! The reading side of what is kept, and where one page of it ends and the next begins.

use super::belongings::Belongings;
use super::export::Moving;
use crate::job::JobKey;
use crate::job::names::TenantId;
use crate::record::query::{
    JobFilter, LedgerFilter, LedgerItem, LogPage, MAX_PAGE, Page, Paged, RunFilter, UsageFilter,
    UsageItem,
};
use crate::record::used::{BUCKETS_PER_HOUR, Bucket};
use crate::record::{Doc, Schedule};
use crate::run::id::RunId;
use crate::run::{Range, Run, RunKey};
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// Lines in one piece of a log at most.
pub const MAX_LOG_PAGE: usize = 10_000;

/// What a backend answers from what it has kept.
pub(in crate::store) trait Kept: Belongings + Moving {
    fn schedule(&self, job: &JobKey) -> Result<Option<Schedule>>;

    fn schedules(&self, filter: &JobFilter, page: &Page) -> Result<Paged<Schedule>>;

    fn run(&self, run: &RunKey) -> Result<Option<Run>>;

    fn runs(&self, filter: &RunFilter, page: &Page) -> Result<Paged<Run>>;

    fn ledger(&self, job: &JobKey, filter: &LedgerFilter, page: &Page)
    -> Result<Paged<LedgerItem>>;

    fn log(&self, run: &RunKey, from: u64, max: usize) -> Result<LogPage>;

    fn doc(&self, tenant: &TenantId, kind: &str, key: &str) -> Result<Option<Doc>>;

    fn docs(&self, tenant: &TenantId, kind: &str, page: &Page) -> Result<Paged<Doc>>;

    /// What was used, by tenant, hour and job.
    fn usage(&self, filter: &UsageFilter, page: &Page) -> Result<Paged<UsageItem>>;

    /// Schedules, live runs, done runs.
    fn counts(&self) -> Result<[u64; 3]>;
}

/// A place in a list that a page can end at, as the text that its reader hands back.
pub(in crate::store) trait Mark: Sized {
    fn write(&self) -> String;

    fn read(text: &str) -> Option<Self>;

    /// Where `page` starts: after this, or at the top.
    fn of(page: &Page) -> Result<Option<Self>> {
        page.cursor
            .as_deref()
            .map(|text| {
                Self::read(text).ok_or_else(|| {
                    StoreError::Invalid(format!("`{text}` is no cursor of this list"))
                })
            })
            .transpose()
    }
}

/// A job among jobs, by tenant and name.
impl Mark for JobKey {
    fn write(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Option<Self> {
        let (tenant, job) = text.split_once('/')?;
        Some(Self { tenant: tenant.parse().ok()?, job: job.parse().ok()? })
    }
}

/// A run among runs. The greatest comes first: newest, then by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct RunMark {
    pub(in crate::store) queued_at: Timestamp,
    pub(in crate::store) id: RunId,
    pub(in crate::store) tenant: TenantId,
}

impl RunMark {
    pub(in crate::store) fn at(run: &Run) -> Self {
        Self { queued_at: run.queued_at, id: run.id, tenant: run.tenant.clone() }
    }
}

impl Mark for RunMark {
    fn write(&self) -> String {
        format!("{}/{}/{}", self.queued_at.micros(), self.id, self.tenant)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        Some(Self {
            queued_at: Timestamp::from_micros(parts.next()?.parse().ok()?),
            id: parts.next()?.parse().ok()?,
            tenant: parts.next()?.parse().ok()?,
        })
    }
}

/// A verdict among those of a job. The greatest comes first: newest fire time, runs before ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct LedgerMark {
    pub(in crate::store) last: Timestamp,
    pub(in crate::store) entry: EntryId,
}

impl LedgerMark {
    pub(in crate::store) fn of_run(run: &Run) -> Self {
        Self { last: run.fire_time, entry: EntryId::Run(run.id) }
    }
}

/// Which entry of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum EntryId {
    Range(u64),
    Run(RunId),
}

impl Mark for LedgerMark {
    fn write(&self) -> String {
        match self.entry {
            EntryId::Range(id) => format!("{}/range/{id}", self.last.micros()),
            EntryId::Run(id) => format!("{}/run/{id}", self.last.micros()),
        }
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let last = Timestamp::from_micros(parts.next()?.parse().ok()?);
        let entry = match (parts.next()?, parts.next()?) {
            ("range", id) => EntryId::Range(id.parse().ok()?),
            ("run", id) => EntryId::Run(id.parse().ok()?),
            _ => return None,
        };
        Some(Self { last, entry })
    }
}

/// A bucket among those of what was used.
impl Mark for Bucket {
    fn write(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.hour.micros(), self.job_text())
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        Some(Self {
            tenant: parts.next()?.parse().ok()?,
            hour: Timestamp::from_micros(parts.next()?.parse().ok()?),
            job: match parts.next()? {
                "" => None,
                job => Some(job.parse().ok()?),
            },
        })
    }
}

/// The bucket that `bucket` goes to, which is not there yet, where its tenant has so many of that
/// hour.
pub(in crate::store) fn new_bucket(bucket: &Bucket, there_are: u64) -> Bucket {
    if there_are < BUCKETS_PER_HOUR { bucket.clone() } else { bucket.of_others() }
}

/// A document among those of its kind.
impl Mark for String {
    fn write(&self) -> String {
        self.clone()
    }

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// Items in this page at most.
pub(in crate::store) fn limit_of(page: &Page) -> usize {
    page.limit.clamp(1, MAX_PAGE)
}

/// The first `limit` of `items`, of which there is one more than that when another page follows.
pub(in crate::store) fn cut<T, M: Mark>(
    mut items: Vec<T>,
    limit: usize,
    mark: impl FnOnce(&T) -> M,
) -> Paged<T> {
    let more = limit < items.len();
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(|last| mark(last).write());
    Paged { items, next_cursor }
}

/// The verdict of a run's fire time; `None` while it has none.
pub(in crate::store) fn ledger_item_of_run(run: &Run) -> Option<LedgerItem> {
    Some(LedgerItem {
        verdict: run.verdict?,
        reason: run.reason.clone().unwrap_or_default(),
        first: run.fire_time,
        last: run.fire_time,
        count: 1,
        into: None,
        run: Some(run.id),
    })
}

pub(in crate::store) fn ledger_item_of_range(range: &Range) -> LedgerItem {
    LedgerItem {
        verdict: range.verdict,
        reason: range.reason.clone(),
        first: range.first,
        last: range.last,
        count: range.count,
        into: range.into,
        run: None,
    }
}

/// A page without the marks that it was cut by.
pub(in crate::store) fn plain<M>(page: Paged<(M, LedgerItem)>) -> Paged<LedgerItem> {
    let items = page.items.into_iter().map(|(_, item)| item).collect();
    Paged { items, next_cursor: page.next_cursor }
}
