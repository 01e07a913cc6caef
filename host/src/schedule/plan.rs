//! Which of the fire times that have come due run, and what becomes of the others.
//!
//! First lateness, then backlog (rule A5): fire times past the grace are misfired; of those
//! left the overdue ones are coalesced. Found by the trigger's arithmetic, never by walking.

use std::time::Duration;

use crate::job::{Coalesce, Job};
use crate::record::step::{Disposition, MAX_FIRES_PER_INTENT};
use crate::run::{Range, Reason, Verdict, reason};
use crate::time::Timestamp;
use crate::trigger::{GaveUp, Trigger};

/// A fire time older than this is overdue, even when no later one is due.
const OVERDUE_AFTER: Duration = Duration::from_secs(1);
/// The smallest step between two instants.
const MICRO: Duration = Duration::from_micros(1);

/// What to do about the fire times of one job that have come due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirePlan {
    /// Runs to make, ascending.
    pub fires: Vec<PlannedRun>,
    /// Verdicts of those that become no run, ascending.
    pub ranges: Vec<PlannedRange>,
    /// The fire time after all of them.
    pub next: Option<Timestamp>,
    /// Why there is none although the trigger is not exhausted: the job is to be parked.
    pub gave_up: Option<GaveUp>,
}

/// One run to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// The instant on the grid.
    pub fire_time: Timestamp,
    /// When it was due: then, or later by its jitter.
    pub due_at: Timestamp,
    /// Whether `max_instances` may skip it.
    pub disposition: Disposition,
    /// Fire times it stands for.
    pub covers: u64,
    /// Why it will have run.
    pub reason: Reason,
}

/// A stretch of fire times that become no run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRange {
    /// What becomes of them.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
    /// The fire time of the run that stands for them.
    pub into: Option<Timestamp>,
}

/// Decides about the fire times of `job` from `cursor`, which is one, that are due at `now`.
///
/// A jitter never reaches the next fire time, so of several that have passed only the last one may
/// not be due yet; it is left for later. Of an `and`, whose fires have to be walked, only so many
/// are decided about as are counted exactly; what is left is due at once, and a backlog of its own.
///
/// `anchor` is where the trigger's grid has its origin when it gives none itself. With
/// [`Coalesce::All`] no more than `max_catchup` and [`MAX_FIRES_PER_INTENT`] runs are made.
pub fn plan_fires(job: &Job, anchor: Timestamp, cursor: Timestamp, now: Timestamp) -> FirePlan {
    let mut plan =
        FirePlan { fires: Vec::new(), ranges: Vec::new(), next: Some(cursor), gave_up: None };
    let Some(trigger) = &job.trigger else {
        plan.next = None;
        return plan;
    };
    if cursor > now {
        return plan;
    }
    let grid = Grid { job, trigger, anchor };
    let Some(last) = grid.last_due(cursor, now) else { return plan };
    match trigger.try_next_after(anchor, last) {
        Ok(next) => plan.next = next,
        Err(gave_up) => (plan.next, plan.gave_up) = (None, Some(gave_up)),
    }
    let Some(first) = plan.misfire_late(&grid, job.policy.misfire_grace_time, (cursor, last), now)
    else {
        return plan;
    };
    let due_at = grid.due_at(last);
    let fresh = due_at.after(OVERDUE_AFTER) >= now;
    // The newest stands for all that was missed before it, fresh or not.
    let newest_stands_for_all = job.policy.coalesce == Coalesce::Latest && first < last;
    if !fresh || newest_stands_for_all {
        plan.catch_up(&grid, job, (first, last));
        return plan;
    }
    if first < last {
        plan.catch_up(&grid, job, (first, grid.last_before(last, first)));
    }
    let behind_a_backlog = !plan.fires.is_empty();
    plan.fires.push(PlannedRun {
        fire_time: last,
        due_at,
        // A one-shot job is never lost to `skip` (rule A7), nor is a fire to the backlog that
        // is made in the same step.
        disposition: match trigger.is_one_shot() || behind_a_backlog {
            true => Disposition::Wait,
            false => Disposition::Run,
        },
        covers: 1,
        reason: reason::ON_TIME.into(),
    });
    plan
}

/// A job's trigger with its origin.
struct Grid<'a> {
    job: &'a Job,
    trigger: &'a Trigger,
    anchor: Timestamp,
}

impl Grid<'_> {
    /// When the fire at `fire_time` is due.
    fn due_at(&self, fire_time: Timestamp) -> Timestamp {
        self.job.due_at(self.anchor, fire_time)
    }

    /// The last fire time from `cursor` on to be decided about; `None` when none is due.
    fn last_due(&self, cursor: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let last = self.last_before(now.after(MICRO), cursor);
        let countable = self.trigger.counted(self.anchor, (cursor, last), 1);
        let last = countable.first().map_or(cursor, |stretch| stretch.last);
        if self.due_at(last) <= now {
            return Some(last);
        }
        (cursor < last).then(|| self.last_before(last, cursor))
    }

    /// The last fire time before `before`; `floor` is known to be one.
    fn last_before(&self, before: Timestamp, floor: Timestamp) -> Timestamp {
        self.trigger.prev_before(self.anchor, before).map_or(floor, |last| last.max(floor))
    }

    /// How many fire times there are from `first` to `last`, which are two of them.
    fn count(&self, first: Timestamp, last: Timestamp) -> u64 {
        self.trigger.count(self.anchor, first, last.after(MICRO)).max(1)
    }
}

impl FirePlan {
    /// Misfires what is past the grace; answers the first fire time that is left.
    fn misfire_late(
        &mut self,
        grid: &Grid<'_>,
        grace: Option<Duration>,
        (first, last): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Option<Timestamp> {
        let is_late = |fire: Timestamp, limit: Timestamp| grid.due_at(fire) < limit;
        let limit = grace.map(|grace| now.before(grace)).filter(|limit| is_late(first, *limit));
        let Some(limit) = limit else { return Some(first) };
        let mut last_late = grid.last_before(limit, first).min(last);
        if !is_late(last_late, limit) {
            last_late = grid.last_before(last_late, first);
        }
        self.ranges.push(PlannedRange {
            verdict: Verdict::Misfired,
            reason: reason::LATE.into(),
            first,
            last: last_late,
            count: grid.count(first, last_late),
            into: None,
        });
        grid.trigger.next_after(grid.anchor, last_late).filter(|next| *next <= last)
    }

    /// Coalesces an overdue stretch. What it makes waits for a slot: a backlog is never cut by
    /// `max_instances`.
    fn catch_up(&mut self, grid: &Grid<'_>, job: &Job, (first, last): (Timestamp, Timestamp)) {
        match job.policy.coalesce {
            Coalesce::Drop => self.ranges.push(PlannedRange {
                verdict: Verdict::Misfired,
                reason: reason::DROP.into(),
                first,
                last,
                count: grid.count(first, last),
                into: None,
            }),
            Coalesce::Latest => {
                let others = (first < last).then(|| (first, grid.last_before(last, first)));
                self.keep(grid, last, others, reason::LATEST);
            }
            Coalesce::Earliest => {
                let others = (first < last)
                    .then(|| grid.trigger.next_after(grid.anchor, first).map(|next| (next, last)))
                    .flatten();
                self.keep(grid, first, others, reason::EARLIEST);
            }
            Coalesce::All => {
                let most = MAX_FIRES_PER_INTENT - 1;
                let most = usize::try_from(job.policy.max_catchup.get()).unwrap_or(most).min(most);
                let mut kept = vec![last];
                while kept.len() < most {
                    let Some(oldest) = kept.last().copied().filter(|oldest| *oldest > first) else {
                        break;
                    };
                    kept.push(grid.last_before(oldest, first));
                }
                let oldest = kept.last().copied().unwrap_or(last);
                let others = (first < oldest).then(|| (first, grid.last_before(oldest, first)));
                self.keep(grid, oldest, others, reason::MAX_CATCHUP);
                for fire_time in kept.into_iter().rev().skip(1) {
                    self.keep(grid, fire_time, None, reason::MAX_CATCHUP);
                }
            }
        }
    }

    /// One run of a backlog, and the fire times it stands for besides its own.
    fn keep(
        &mut self,
        grid: &Grid<'_>,
        fire_time: Timestamp,
        others: Option<(Timestamp, Timestamp)>,
        why: &'static str,
    ) {
        let count = others.map_or(0, |(first, last)| grid.count(first, last));
        if let Some((first, last)) = others {
            self.ranges.push(PlannedRange {
                verdict: Verdict::Coalesced,
                reason: why.into(),
                first,
                last,
                count,
                into: Some(fire_time),
            });
        }
        self.fires.push(PlannedRun {
            fire_time,
            due_at: grid.due_at(fire_time),
            disposition: Disposition::Wait,
            covers: count + 1,
            reason: reason::CATCH_UP.into(),
        });
    }
}

impl PlannedRange {
    /// The range as the store keeps it.
    pub fn with_run(&self, id: impl Fn(Timestamp) -> crate::run::id::RunId) -> Range {
        Range {
            verdict: self.verdict,
            reason: self.reason.clone(),
            first: self.first,
            last: self.last,
            count: self.count,
            into: self.into.map(id),
        }
    }
}
