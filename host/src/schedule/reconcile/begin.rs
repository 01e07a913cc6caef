//! Where a job's fire times begin, and what becomes of those that nobody will see again.

use std::time::Duration;

use super::{PAUSED, RESCHEDULED};
use crate::job::Job;
use crate::record::Schedule;
use crate::record::step::Patch;
use crate::run::{Range, Reason, Verdict, reason};
use crate::time::Timestamp;
use crate::trigger::{Counted, GaveUp};

/// Ranges of overdue fire times; only fires that have to be walked take more than one.
const MAX_RANGES: usize = 100;
/// The smallest step between two instants.
const MICRO: Duration = Duration::from_micros(1);

/// Where the fire times of a job begin.
pub(super) struct Begin {
    /// The first fire time.
    pub(super) cursor: Option<Timestamp>,
    /// The dates that were too late to be registered.
    pub(super) misfired: Option<Range>,
    /// Why there is no first fire time although the trigger is not exhausted.
    pub(super) gave_up: Option<GaveUp>,
}

impl Begin {
    /// A beginning at `cursor`, which nothing comes before.
    pub(super) fn at(cursor: Option<Timestamp>) -> Self {
        Self { cursor, misfired: None, gave_up: None }
    }

    /// The first fire time from `now` on, on the grid of `anchor`, and after `last_fire`. A date
    /// that has passed is due at once while a grace is set and holds, else it is misfired; an `or`
    /// with such a date goes on with its next fire time.
    pub(super) fn new(
        job: &Job,
        anchor: Timestamp,
        last_fire: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        match Self::find(job, anchor, last_fire, now) {
            Ok(begin) => begin,
            Err(gave_up) => Self { gave_up: Some(gave_up), ..Self::at(None) },
        }
    }

    fn find(
        job: &Job,
        anchor: Timestamp,
        last_fire: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, GaveUp> {
        let Some(trigger) = &job.trigger else { return Ok(Self::at(None)) };
        let mut first = if trigger.is_one_shot() || anchor == now {
            trigger.try_first(now)?
        } else {
            trigger.try_next_after(anchor, now.before(MICRO))?
        };
        if let Some(last) = last_fire.filter(|last| first.is_some_and(|first| first <= *last)) {
            first = trigger.try_next_after(anchor, last)?;
        }
        let limit = job.policy.misfire_grace_time.map_or(now, |grace| now.before(grace));
        let Some(first) = first.filter(|first| *first < limit) else { return Ok(Self::at(first)) };
        // Only dates come before the registration.
        let last = trigger.prev_before(anchor, limit).unwrap_or(first).max(first);
        let count = trigger.count(anchor, first, last.after(MICRO)).max(1);
        let why = reason::BEFORE_REGISTRATION;
        Ok(Self {
            misfired: Some(range(Verdict::Misfired, why, Counted { first, last, count })),
            ..Self::at(trigger.try_next_after(anchor, last)?)
        })
    }

    /// The fire time of a job that has one alone.
    pub(super) fn run_date(&self, job: &Job) -> Option<Timestamp> {
        job.trigger.as_ref().filter(|trigger| trigger.is_one_shot())?;
        self.cursor.or_else(|| self.misfired.as_ref().map(|range| range.first))
    }
}

/// Gives a verdict to what was overdue under the trigger that goes, and to a date that comes too
/// late, where that does not reach back behind what has been decided.
pub(super) fn settle(schedule: &Schedule, begin: &Begin, now: Timestamp) -> Option<Patch> {
    let mut ranges = overdue(schedule, RESCHEDULED, begin.cursor, now);
    let decided = ranges.last().map(|range| range.last).max(schedule.last_fire);
    let misfired = begin.misfired.iter().filter(|range| {
        decided < Some(range.first) && schedule.cursor.is_none_or(|cursor| cursor <= range.first)
    });
    ranges.extend(misfired.cloned());
    (!ranges.is_empty()).then(|| Patch { cursor: Some((None, None)), ranges, ..Patch::default() })
}

/// The fire times from the cursor up to `now`, and before `next`: one range, unless an `and` has
/// to be walked.
pub(super) fn overdue(
    schedule: &Schedule,
    why: &'static str,
    next: Option<Timestamp>,
    now: Timestamp,
) -> Vec<Range> {
    let end = next.map_or(now.after(MICRO), |next| next.min(now.after(MICRO)));
    let Some(first) = schedule.cursor.filter(|first| *first < end) else { return Vec::new() };
    let (verdict, why) = match schedule.pause {
        Some(_) => (Verdict::Paused, PAUSED),
        None => (Verdict::Cancelled, why),
    };
    let anchor = schedule.trigger_state.anchor;
    let job = schedule.def.effective.job(schedule.key.clone()).ok();
    // Of a job that can't be read any more nothing but its next fire time is known.
    let alone = vec![Counted { first, last: first, count: 1 }];
    let stretches = job.as_ref().and_then(|job| job.trigger.as_ref()).map_or(alone, |trigger| {
        let last = trigger.prev_before(anchor, end).unwrap_or(first).max(first);
        trigger.counted(anchor, (first, last), MAX_RANGES)
    });
    stretches.into_iter().map(|stretch| range(verdict, why, stretch)).collect()
}

fn range(verdict: Verdict, why: &'static str, Counted { first, last, count }: Counted) -> Range {
    Range { verdict, reason: Reason::Borrowed(why), first, last, count, into: None }
}
