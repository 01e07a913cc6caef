//! What is right and still likely not meant: warnings about jobs, each with what would be better.
//!
//! Looks at jobs as they work, and at the two years from `now` on. Refuses nothing, and knows
//! neither the store nor the plugins: what a handler suggests is linted once a job says it.

mod cron;
mod crowd;
mod leaf;
mod queue;
mod secret;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::iter::successors;
use std::time::Duration;

use chrono_tz::Tz;
use serde::Serialize;

use super::Config;
use super::resolve::Resolved;
use crate::job::names::{JobId, TenantId};
use crate::job::{Coalesce, Job, JobKey, Overlap};
use crate::table::unit::show_duration;
use crate::time::Timestamp;
use crate::trigger::{Gap, Trigger, gaps};
use leaf::{Leaf, leaves};

/// How far ahead changes of the clocks are looked at: two years.
const AHEAD: Duration = Duration::from_secs(731 * 86_400);
/// Fire times looked at to find the shortest time between two.
const FIRES_COMPARED: usize = 50;
/// A shorter grace is lost to a busy machine.
const LEAST_GRACE: Duration = Duration::from_secs(1);
/// One day.
const DAY: Duration = Duration::from_secs(86_400);

/// A warning about one job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Lint {
    /// Whose job.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// Its key, with dots: `trigger.day`.
    pub key: String,
    /// What is odd and what would be better.
    pub message: String,
}

impl Lint {
    fn of(job: &JobKey, key: impl Into<String>, message: impl Into<String>) -> Self {
        let JobKey { tenant, job } = job.clone();
        Self { tenant, job, key: key.into(), message: message.into() }
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = JobKey { tenant: self.tenant.clone(), job: self.job.clone() };
        write!(f, "job `{}`, {}: {}", job.shown(), self.key, self.message)
    }
}

/// Finds what is likely not meant, by job and key, on the host of this configuration.
pub fn lint(jobs: &[Resolved], config: &Config, now: Timestamp) -> Vec<Lint> {
    let zone = config.timezone;
    let mut linter = Linter { now, gaps: BTreeMap::new(), found: Vec::new() };
    let mut timed = Vec::new();
    for resolved in jobs {
        linter.found.extend(queue::lint(&resolved.job, config));
        linter.found.extend(secret::lint(&resolved.job, config));
        let (job, Some(trigger)) = (&resolved.job, &resolved.job.trigger) else { continue };
        let leaves = leaves(resolved.effective.get("trigger"), zone);
        if linter.is_over(job, trigger) {
            continue;
        }
        linter.policies(job, trigger);
        for leaf in &leaves {
            linter.leaf(&job.key, leaf);
        }
        if leaves.iter().all(Leaf::is_fixed) {
            timed.push((&job.key, trigger));
        }
    }
    linter.found.extend(crowd::lint(&timed, now));
    linter.found.sort();
    linter.found
}

/// What has been found so far.
struct Linter {
    now: Timestamp,
    /// The gaps ahead, by the zone's name.
    gaps: BTreeMap<&'static str, Vec<Gap>>,
    found: Vec<Lint>,
}

impl Linter {
    fn warn(&mut self, job: &JobKey, key: impl Into<String>, message: impl Into<String>) {
        self.found.push(Lint::of(job, key, message));
    }

    /// Whether the trigger has no fire time left, which makes all else idle.
    fn is_over(&mut self, job: &Job, trigger: &Trigger) -> bool {
        let first = match trigger.try_first(self.now) {
            Ok(first) => first,
            Err(gave_up) => {
                self.warn(&job.key, "trigger", format!("{gave_up}: the job will be parked"));
                return true;
            }
        };
        if trigger.next_after(self.now, self.now.before(Duration::from_micros(1))).is_some() {
            return false;
        }
        let grace = job.policy.misfire_grace_time.unwrap_or_default();
        if first.is_some_and(|first| self.now <= first.after(grace)) {
            return false;
        }
        let message = match first {
            Some(first) => format!("its one fire time {first} has passed"),
            None => "has no fire time left".to_owned(),
        };
        let id = &job.key;
        self.warn(
            id,
            "trigger",
            format!(
                "{message}: the job will be finished at once; give it a later end, or remove it"
            ),
        );
        true
    }

    fn policies(&mut self, job: &Job, trigger: &Trigger) {
        let (id, policy) = (&job.key, &job.policy);
        let period = shortest(trigger, self.now);
        if let Some(grace) = policy.misfire_grace_time {
            let shown = show_duration(grace);
            if grace < LEAST_GRACE {
                let message = format!(
                    "a fire that starts later than {shown} is lost, and a busy machine is later \
                     than that now and then; write at least `{}`",
                    show_duration(LEAST_GRACE)
                );
                self.warn(id, "misfire_grace_time", message);
            }
            if let Some(period) = period.filter(|period| *period < grace) {
                let becomes = match policy.coalesce {
                    Coalesce::Latest | Coalesce::Earliest => "one run stands for all of them",
                    Coalesce::All => "each of them runs",
                    Coalesce::Drop => "none of them runs",
                };
                let message = format!(
                    "is longer than the {} between two fires: several may be late at once, and by \
                     `coalesce` {becomes}; write at most `{0}` if only the last one matters",
                    show_duration(period)
                );
                self.warn(id, "misfire_grace_time", message);
            }
        }
        let skips = policy.max_instances.get() == 1 && policy.overlap == Overlap::Skip;
        let timeout = job.limits.timeout;
        if let Some(period) = period.filter(|period| skips && *period < timeout) {
            let message = format!(
                "a run may take {}, longer than the {} between two fires, and fires meanwhile are \
                 skipped; write at most `{1}`, or let them wait with `overlap = \"queue\"`",
                show_duration(timeout),
                show_duration(period)
            );
            self.warn(id, "limits.timeout", message);
        }
    }

    fn leaf(&mut self, job: &JobKey, leaf: &Leaf<'_>) {
        match leaf.kind() {
            "cron" => {
                let ahead = self.gaps_of(leaf.zone);
                let found = cron::lint(leaf, &ahead, self.now);
                self.found
                    .extend(found.into_iter().map(|(key, message)| Lint::of(job, key, message)));
            }
            "interval" => self.interval(job, leaf),
            // A date has one fire time and nothing to compare it with.
            _ => (),
        }
    }

    /// An interval of whole days looks like a wall time and is none.
    fn interval(&mut self, job: &JobKey, leaf: &Leaf<'_>) {
        let Some(length) = leaf.endless().and_then(|trigger| shortest(&trigger, self.now)) else {
            return;
        };
        let whole_days = length.as_micros().is_multiple_of(DAY.as_micros());
        let ahead = self.gaps_of(leaf.zone);
        if let (true, Some(gap)) = (whole_days, ahead.first()) {
            let message = format!(
                "is elapsed time: from {} on, when the clocks of {} change, it fires at another \
                 local time; for the same wall time use cron, like `{{ type = \"cron\", hour = 3 }}`",
                gap.at, leaf.zone
            );
            self.warn(job, leaf.path.clone(), message);
        }
    }

    fn gaps_of(&mut self, zone: Tz) -> Vec<Gap> {
        let now = self.now;
        self.gaps.entry(zone.name()).or_insert_with(|| gaps(zone, now, now.after(AHEAD))).clone()
    }
}

/// The shortest time between two of the next fires.
fn shortest(trigger: &Trigger, now: Timestamp) -> Option<Duration> {
    let next = |last: &Timestamp| trigger.next_after(now, *last);
    let fires: Vec<Timestamp> = successors(trigger.first(now), next).take(FIRES_COMPARED).collect();
    fires.windows(2).filter_map(|pair| Some(pair.last()?.since(*pair.first()?))).min()
}
