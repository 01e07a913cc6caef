//! What a tenant's jobs used, as JSON: what a bill is made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::names::{JobId, TenantId};
use crate::record::query::UsageItem;
use crate::record::used::{HOUR_US, Used};
use crate::run::outcome::Outcome;
use crate::time::Timestamp;

/// Rows at most; what further jobs used stands in the one that names none.
pub const MAX_ROWS: usize = 10_000;

/// What a row stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A job.
    #[default]
    Job,
    /// A day, UTC.
    Day,
    /// An hour.
    Hour,
}

impl By {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }

    /// How long a row's time is, in microseconds; `None`: all of it.
    const fn length_us(self) -> Option<i64> {
        match self {
            Self::Job => None,
            Self::Day => Some(24 * HOUR_US),
            Self::Hour => Some(HOUR_US),
        }
    }
}

/// What was used from one instant to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageView {
    /// Whose jobs.
    pub tenant: TenantId,
    /// The start of the first hour.
    pub from: Timestamp,
    /// The end of the last hour.
    pub to: Timestamp,
    /// What the items stand for.
    pub by: By,
    /// The sum of all items.
    pub total: UsedView,
    /// Those with any use, by time or name.
    pub items: Vec<UsageRow>,
}

/// What was used by a job, or in a day or an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// The job; null for jobs beyond those that are told apart, and in rows of days and hours.
    pub job: Option<JobId>,
    /// From when on.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
    /// What.
    pub used: UsedView,
}

/// Sums of what was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedView {
    /// Runs that ran and are done.
    pub runs: u64,
    /// The same by how they ended; ends that none had are left out.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Attempts that ended.
    pub attempts: u64,
    /// On a processor, milliseconds.
    pub cpu_ms: u64,
    /// From start to end of attempts, milliseconds.
    pub wall_ms: u64,
    /// Units of fuel, of attempts for which it was metered.
    pub fuel: u64,
    /// Of each attempt its peak of memory in KiB, rounded up, times its `wall_ms`.
    pub memory_kib_ms: u64,
    /// Calls from guests to the host.
    pub host_calls: u64,
    /// Bytes that guests got by these.
    pub bytes_in: u64,
    /// Bytes that guests gave.
    pub bytes_out: u64,
}

impl UsedView {
    /// What is shown of sums.
    pub fn of(used: &Used) -> Self {
        Self {
            runs: used.all_runs(),
            outcomes: used.runs.clone(),
            attempts: used.attempts,
            cpu_ms: used.cpu_ms,
            wall_ms: used.wall_ms,
            fuel: used.fuel,
            memory_kib_ms: used.memory_kib_ms,
            host_calls: used.host_calls,
            bytes_in: used.bytes_in,
            bytes_out: used.bytes_out,
        }
    }

    /// The sums that it shows.
    pub fn used(&self) -> Used {
        Used {
            runs: self.outcomes.clone(),
            attempts: self.attempts,
            cpu_ms: self.cpu_ms,
            wall_ms: self.wall_ms,
            fuel: self.fuel,
            memory_kib_ms: self.memory_kib_ms,
            host_calls: self.host_calls,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        }
    }
}

/// Buckets as they are added up to rows.
#[derive(Debug)]
pub struct Sums {
    by: By,
    total: Used,
    /// Rows of jobs sort the one without a name last.
    rows: BTreeMap<(Option<Timestamp>, bool, Option<JobId>), Used>,
}

impl Sums {
    /// None yet.
    pub fn new(by: By) -> Self {
        Self { by, total: Used::default(), rows: BTreeMap::new() }
    }

    /// Adds a bucket.
    pub fn add(&mut self, UsageItem { bucket, used }: UsageItem) {
        self.total.add(&used);
        let mut key = match self.by.length_us() {
            Some(length) => {
                let start = bucket.hour.micros().div_euclid(length) * length;
                (Some(Timestamp::from_micros(start)), false, None)
            }
            None => (None, bucket.job.is_none(), bucket.job),
        };
        if MAX_ROWS <= self.rows.len() + 1 && !self.rows.contains_key(&key) && key.2.is_some() {
            key = (None, true, None);
        }
        self.rows.entry(key).or_default().add(&used);
    }

    /// All of it, of a tenant's hours from `from` to `to`.
    pub fn view(self, tenant: TenantId, from: Timestamp, to: Timestamp) -> UsageView {
        let length = self.by.length_us();
        let row = |((start, _, job), used): ((Option<Timestamp>, bool, Option<JobId>), Used)| {
            let end = start.zip(length).map_or(to, |(start, length)| {
                Timestamp::from_micros(start.micros().saturating_add(length)).min(to)
            });
            let start = start.map_or(from, |start| start.max(from));
            UsageRow { job, start, end, used: UsedView::of(&used) }
        };
        UsageView {
            tenant,
            from,
            to,
            by: self.by,
            total: UsedView::of(&self.total),
            items: self.rows.into_iter().map(row).collect(),
        }
    }
}
