//! What is counted while a simulation goes on: how many run at once, how late, at which hour.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Timelike;
use chrono_tz::Tz;

use crate::job::JobKey;
use crate::run::Run;
use crate::time::Timestamp;

/// Hours of a day.
pub const HOURS: usize = 24;

/// What is counted of one job, or of all.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Under way now.
    running: u64,
    /// The most that were under way at once.
    pub(super) most_at_once: u64,
    /// From due to start, of the run that waited longest.
    pub(super) longest_lateness: Option<Duration>,
    /// Runs that started, by the hour of the day.
    pub(super) started_by_hour: [u64; HOURS],
}

/// All counts.
pub(super) struct Tally {
    zone: Tz,
    pub(super) jobs: BTreeMap<JobKey, Counts>,
    pub(super) all: Counts,
}

impl Tally {
    pub(super) fn new(zone: Tz) -> Self {
        Self { zone, jobs: BTreeMap::new(), all: Counts::default() }
    }

    /// An attempt began.
    pub(super) fn began(&mut self, run: &Run, now: Timestamp) {
        let hour = usize::try_from(now.to_utc().with_timezone(&self.zone).hour()).unwrap_or(0);
        for counts in [self.jobs.entry(run.job_key()).or_default(), &mut self.all] {
            counts.running += 1;
            counts.most_at_once = counts.most_at_once.max(counts.running);
            if run.attempt == 1 {
                let lateness = Some(now.since(run.due_at));
                counts.longest_lateness = counts.longest_lateness.max(lateness);
                if let Some(started) = counts.started_by_hour.get_mut(hour) {
                    *started += 1;
                }
            }
        }
    }

    /// An attempt ended.
    pub(super) fn ended(&mut self, job: &JobKey) {
        for counts in self.jobs.get_mut(job).into_iter().chain([&mut self.all]) {
            counts.running = counts.running.saturating_sub(1);
        }
    }

    /// The host died.
    pub(super) fn all_ended(&mut self) {
        for counts in self.jobs.values_mut().chain([&mut self.all]) {
            counts.running = 0;
        }
    }
}
