//! What jobs used, by tenant, hour and job: what a bill is made from.
//!
//! A store adds to a bucket in the very step that ends an attempt or a run, under the hour of that
//! step. So the sums are those of the run records, also when these are gone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::JobKey;
use crate::job::names::{JobId, TenantId};
use crate::run::outcome::Outcome;
use crate::run::usage::Usage;
use crate::time::Timestamp;

/// A bucket is kept so long after its hour began: 13 months, so that a year and the month before it
/// can be compared.
pub const KEPT: Duration = Duration::from_hours(400 * 24);
/// Buckets of one tenant and hour at most: what further jobs use goes to one that names no job.
pub const BUCKETS_PER_HOUR: u64 = 1_000;
/// The length of a bucket in microseconds.
pub const HOUR_US: i64 = 3_600_000_000;
/// No sum in a bucket grows beyond this, 2^62. On Redis sums beyond 2^53 are rounded to 16 digits.
pub const MOST: u64 = 1 << 62;
/// How many numbers there are in a bucket.
pub const MEASURES: usize = 17;
/// What they are called in stores and files, in the order of [`Used::numbers`]: runs by how they
/// ended, then the rest.
pub const NAMES: [&str; MEASURES] = [
    Outcome::Succeeded.as_str(),
    Outcome::Failed.as_str(),
    Outcome::TimedOut.as_str(),
    Outcome::OutOfFuel.as_str(),
    Outcome::OutOfMemory.as_str(),
    Outcome::Trapped.as_str(),
    Outcome::LimitExceeded.as_str(),
    Outcome::Cancelled.as_str(),
    Outcome::Abandoned.as_str(),
    "attempts",
    "cpu_ms",
    "wall_ms",
    "fuel",
    "memory_kib_ms",
    "host_calls",
    "bytes_in",
    "bytes_out",
];

/// The name of a bucket. By tenant, then hour, then job; the one that names no job comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bucket {
    /// Whose it is.
    pub tenant: TenantId,
    /// When its hour began, UTC.
    pub hour: Timestamp,
    /// The job; `None`: all that came when there were [`BUCKETS_PER_HOUR`] already.
    pub job: Option<JobId>,
}

/// What was used, as sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// Runs that ran and are done, by how they ended; ends that none had are left out.
    pub runs: BTreeMap<Outcome, u64>,
    /// Attempts that ended.
    pub attempts: u64,
    /// On a processor, milliseconds.
    pub cpu_ms: u64,
    /// From start to end of attempts, milliseconds.
    pub wall_ms: u64,
    /// Units of fuel, of attempts for which it was metered.
    pub fuel: u64,
    /// Memory over time: of each attempt its peak in KiB, rounded up, times its `wall_ms`.
    pub memory_kib_ms: u64,
    /// Calls from guests to the host.
    pub host_calls: u64,
    /// Bytes that guests got by these.
    pub bytes_in: u64,
    /// Bytes that guests gave.
    pub bytes_out: u64,
}

impl Bucket {
    /// The bucket for what a job uses in a step at `now`.
    pub fn at(job: &JobKey, now: Timestamp) -> Self {
        Self { tenant: job.tenant.clone(), hour: hour_of(now), job: Some(job.job.clone()) }
    }

    /// The one of the same hour that names no job.
    pub fn of_others(&self) -> Self {
        Self { job: None, ..self.clone() }
    }

    /// The job's name; empty when it names none.
    pub fn job_text(&self) -> &str {
        self.job.as_ref().map_or("", JobId::as_str)
    }
}

/// When the hour began that `time` lies in.
pub fn hour_of(time: Timestamp) -> Timestamp {
    Timestamp::from_micros(time.micros().div_euclid(HOUR_US) * HOUR_US)
}

impl Used {
    /// What one attempt used.
    pub fn by_attempt(usage: &Usage) -> Self {
        let bytes = |of: fn(&crate::run::usage::IoUse) -> u64| {
            usage.io.values().map(of).fold(0, u64::saturating_add)
        };
        Self {
            attempts: 1,
            cpu_ms: usage.cpu_ms,
            wall_ms: usage.wall_ms,
            fuel: usage.fuel.unwrap_or(0),
            memory_kib_ms: usage.peak_memory_bytes.div_ceil(1_024).saturating_mul(usage.wall_ms),
            host_calls: usage.host_calls,
            bytes_in: bytes(|use_| use_.bytes_in),
            bytes_out: bytes(|use_| use_.bytes_out),
            ..Self::default()
        }
    }

    /// A run that ended so.
    pub fn by_run(outcome: Outcome) -> Self {
        Self { runs: BTreeMap::from([(outcome, 1)]), ..Self::default() }
    }

    /// All runs, however they ended.
    pub fn all_runs(&self) -> u64 {
        self.runs.values().copied().fold(0, u64::saturating_add)
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        let mut sums = self.numbers();
        for (sum, more) in sums.iter_mut().zip(other.numbers()) {
            *sum = sum.saturating_add(more);
        }
        *self = Self::of_numbers(sums);
    }

    /// Adds `other` to what is in a bucket, no further than [`MOST`].
    pub fn book(&mut self, other: &Self) {
        self.add(other);
        *self = Self::of_numbers(self.numbers().map(|sum| sum.min(MOST)));
    }

    /// The sums in the order of [`NAMES`].
    pub fn numbers(&self) -> [u64; MEASURES] {
        let mut numbers = [0; MEASURES];
        let runs = Outcome::ALL.map(|outcome| self.runs.get(&outcome).copied().unwrap_or(0));
        let rest = [
            self.attempts,
            self.cpu_ms,
            self.wall_ms,
            self.fuel,
            self.memory_kib_ms,
            self.host_calls,
            self.bytes_in,
            self.bytes_out,
        ];
        for (number, sum) in numbers.iter_mut().zip(runs.into_iter().chain(rest)) {
            *number = sum;
        }
        numbers
    }

    /// The same the other way round.
    pub fn of_numbers(numbers: [u64; MEASURES]) -> Self {
        let [ends @ .., attempts, cpu_ms, wall_ms, fuel, memory_kib_ms, calls, bytes_in, bytes_out] =
            numbers;
        let runs = Outcome::ALL.into_iter().zip(ends).filter(|(_, count)| 0 < *count).collect();
        Self {
            runs,
            attempts,
            cpu_ms,
            wall_ms,
            fuel,
            memory_kib_ms,
            host_calls: calls,
            bytes_in,
            bytes_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::usage::{Effect, IoUse};

    #[test]
    fn names_and_numbers_stand_in_one_order() {
        let numbers = std::array::from_fn(|place| place as u64);
        let used = Used::of_numbers(numbers);
        assert_eq!(used.numbers(), numbers);
        assert_eq!(used.runs.len(), Outcome::ALL.len() - 1, "none succeeded");
        assert_eq!(used.runs[&Outcome::Failed], 1);
        let place = |name: &str| NAMES.iter().position(|known| *known == name).unwrap() as u64;
        assert_eq!((used.attempts, used.bytes_out), (place("attempts"), place("bytes_out")));
        assert_eq!(used.memory_kib_ms, place("memory_kib_ms"));
        for (outcome, name) in Outcome::ALL.iter().zip(NAMES) {
            assert_eq!(outcome.as_str(), name);
        }
    }

    #[test]
    fn an_attempt_is_billed_by_begun_kib_and_bytes_of_every_kind_of_call() {
        let io = |bytes_in, bytes_out| IoUse { calls: 1, bytes_in, bytes_out };
        let usage = Usage {
            wall_ms: 10,
            peak_memory_bytes: 1_025,
            io: BTreeMap::from([(Effect::Http, io(5, 1)), (Effect::Log, io(0, 7))]),
            ..Usage::default()
        };
        let mut used = Used::by_attempt(&usage);
        assert_eq!((used.memory_kib_ms, used.bytes_in, used.bytes_out), (20, 5, 8));
        used.add(&Used::by_run(Outcome::Failed));
        used.add(&Used::by_run(Outcome::Failed));
        assert_eq!((used.all_runs(), used.attempts), (2, 1));
    }

    #[test]
    fn sums_stop_and_never_overflow() {
        let huge = Usage { wall_ms: u64::MAX, peak_memory_bytes: u64::MAX, ..Usage::default() };
        let mut used = Used::by_attempt(&huge);
        used.book(&Used::by_attempt(&huge));
        assert_eq!((used.memory_kib_ms, used.wall_ms, used.attempts), (MOST, MOST, 2));
        used.add(&Used { wall_ms: u64::MAX, ..Used::default() });
        assert_eq!(used.wall_ms, u64::MAX);
    }

    #[test]
    fn hours_begin_on_the_hour_before_1970_too() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        assert_eq!(hour_of(at("2026-03-01T09:59:59.999999Z")), at("2026-03-01T09:00:00Z"));
        assert_eq!(hour_of(at("2026-03-01T09:00:00Z")), at("2026-03-01T09:00:00Z"));
        assert_eq!(hour_of(at("1969-12-31T23:30:00Z")), at("1969-12-31T23:00:00Z"));
    }
}
