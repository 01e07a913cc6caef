//! What may be asked of a store.

use serde::{Deserialize, Serialize};

use super::used::{Bucket, Used};
use crate::job::names::{JobId, TenantId};
use crate::run::id::RunId;
use crate::run::{Cause, LogLine, Reason, Run, RunState, Verdict};
use crate::time::Timestamp;

/// Items in one page when nobody says.
pub const DEFAULT_PAGE: usize = 100;
/// Items in one page at most.
pub const MAX_PAGE: usize = 1_000;

/// Which part of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Items at most; held within 1 and [`MAX_PAGE`].
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: DEFAULT_PAGE, cursor: None }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts; `None` on the last.
    pub next_cursor: Option<String>,
}

/// Which jobs.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Of one tenant; `None`: of all.
    pub tenant: Option<TenantId>,
}

/// Which runs.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of one tenant; `None`: of all.
    pub tenant: Option<TenantId>,
    /// Of one job.
    pub job: Option<JobId>,
    /// In one of these states; empty: in any.
    pub states: Vec<RunState>,
    /// With this verdict.
    pub verdict: Option<Verdict>,
    /// Made for this cause.
    pub cause: Option<Cause>,
    /// With a fire time from here on.
    pub from: Option<Timestamp>,
    /// With a fire time before this.
    pub to: Option<Timestamp>,
}

/// Which verdicts.
#[derive(Clone, Debug, Default)]
pub struct LedgerFilter {
    /// Of this kind.
    pub verdict: Option<Verdict>,
    /// That reach to here or later.
    pub from: Option<Timestamp>,
    /// That begin before this.
    pub to: Option<Timestamp>,
}

/// Which buckets of what was used.
#[derive(Clone, Debug, Default)]
pub struct UsageFilter {
    /// Of one tenant; `None`: of all.
    pub tenant: Option<TenantId>,
    /// Of one job.
    pub job: Option<JobId>,
    /// Whose hour began then or later.
    pub from: Option<Timestamp>,
    /// Whose hour began before this.
    pub to: Option<Timestamp>,
}

/// One bucket of what was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageItem {
    /// Whose, when, which job.
    pub bucket: Bucket,
    /// What was used.
    pub used: Used,
}

/// One verdict: of one fire time, or of a stretch of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerItem {
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The first fire time.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
    /// The run that stands for them.
    pub into: Option<RunId>,
    /// The run that it became.
    pub run: Option<RunId>,
}

/// A piece of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Where the next piece starts.
    pub next: u64,
    /// Whether no more can come.
    pub complete: bool,
}

impl RunFilter {
    /// Whether `run` is one of those.
    pub fn wants(&self, run: &Run) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == run.tenant)
            && self.job.as_ref().is_none_or(|job| *job == run.job)
            && (self.states.is_empty() || self.states.contains(&run.state))
            && self.verdict.is_none_or(|verdict| Some(verdict) == run.verdict)
            && self.cause.is_none_or(|cause| cause == run.cause)
            && self.from.is_none_or(|from| from <= run.fire_time)
            && self.to.is_none_or(|to| run.fire_time < to)
    }
}

impl UsageFilter {
    /// Whether `bucket` is one of those.
    pub fn wants(&self, bucket: &Bucket) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == bucket.tenant)
            && self.job.as_ref().is_none_or(|job| Some(job) == bucket.job.as_ref())
            && self.from.is_none_or(|from| from <= bucket.hour)
            && self.to.is_none_or(|to| bucket.hour < to)
    }
}

impl LedgerFilter {
    /// Whether `item` is one of those.
    pub fn wants(&self, item: &LedgerItem) -> bool {
        self.verdict.is_none_or(|verdict| verdict == item.verdict)
            && self.from.is_none_or(|from| from <= item.last)
            && self.to.is_none_or(|to| item.first < to)
    }
}
