//! Where a job's fire times begin, and what becomes of those that nobody will see again.

use std::time::Duration;

use super::{PAUSED, RESCHEDULED};
use crate::job::Job;
use crate::record::Schedule;
use crate::record::step::Patch;
use crate::run::{Range, Reason, Verdict, reason};
use crate::time::Timestamp;
use crate::trigger::Trigger;

/// The smallest step between two instants.
const MICRO: Duration = Duration::from_micros(1);

/// Where the fire times of a job begin.
pub(super) struct Begin {
    /// The first fire time.
    pub(super) cursor: Option<Timestamp>,
    /// The date that was too late to be registered.
    pub(super) misfired: Option<Range>,
}

impl Begin {
    /// The first fire time from `now` on, on the grid of `anchor`, and after `last_fire`. A date
    /// that has passed is due at once while a grace is set and holds, else it is misfired.
    pub(super) fn new(
        job: &Job,
        anchor: Timestamp,
        last_fire: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let Some(trigger) = &job.trigger else { return Self { cursor: None, misfired: None } };
        let first = match trigger {
            Trigger::Date(_) => trigger.first(now),
            Trigger::Interval(_) | Trigger::Cron(_) if anchor == now => trigger.first(now),
            Trigger::Interval(_) | Trigger::Cron(_) => {
                trigger.next_after(anchor, now.before(MICRO))
            }
        };
        let first = match (first, last_fire) {
            (Some(first), Some(last)) if first <= last => trigger.next_after(anchor, last),
            (first, _) => first,
        };
        match first {
            Some(date) if date < now => {
                let grace = job.policy.misfire_grace_time;
                if grace.is_some_and(|grace| now.since(date) <= grace) {
                    return Self { cursor: Some(date), misfired: None };
                }
                let misfired =
                    range(Verdict::Misfired, reason::BEFORE_REGISTRATION, (date, date), 1);
                Self { cursor: None, misfired: Some(misfired) }
            }
            cursor => Self { cursor, misfired: None },
        }
    }

    /// The fire time of a job that has one alone.
    pub(super) fn run_date(&self, job: &Job) -> Option<Timestamp> {
        match &job.trigger {
            Some(Trigger::Date(_)) => {
                self.cursor.or_else(|| self.misfired.as_ref().map(|range| range.first))
            }
            Some(Trigger::Interval(_) | Trigger::Cron(_)) | None => None,
        }
    }
}

/// Gives a verdict to what was overdue under the trigger that goes, and to a date that comes too
/// late, where that does not reach back behind what has been decided.
pub(super) fn settle(schedule: &Schedule, begin: &Begin, now: Timestamp) -> Option<Patch> {
    let mut ranges: Vec<Range> =
        overdue(schedule, RESCHEDULED, begin.cursor, now).into_iter().collect();
    let decided = ranges.last().map(|range| range.last).max(schedule.last_fire);
    let misfired = begin.misfired.iter().filter(|range| {
        decided < Some(range.first) && schedule.cursor.is_none_or(|cursor| cursor <= range.first)
    });
    ranges.extend(misfired.cloned());
    (!ranges.is_empty()).then(|| Patch { cursor: Some((None, None)), ranges, ..Patch::default() })
}

/// The fire times from the cursor up to `now`, and before `next`, as one range.
pub(super) fn overdue(
    schedule: &Schedule,
    why: &'static str,
    next: Option<Timestamp>,
    now: Timestamp,
) -> Option<Range> {
    let end = next.map_or(now.after(MICRO), |next| next.min(now.after(MICRO)));
    let first = schedule.cursor.filter(|first| *first < end)?;
    let (verdict, why) = match schedule.pause {
        Some(_) => (Verdict::Paused, PAUSED),
        None => (Verdict::Cancelled, why),
    };
    let anchor = schedule.trigger_state.anchor;
    let job = Job::from_effective(schedule.key.clone(), &schedule.def.effective).ok();
    // Of a job that can't be read any more nothing but its next fire time is known.
    let (last, count) = job.and_then(|job| job.trigger).map_or((first, 1), |trigger| {
        let last = trigger.prev_before(anchor, end).unwrap_or(first).max(first);
        (last, trigger.count(anchor, first, last.after(MICRO)).max(1))
    });
    Some(range(verdict, why, (first, last), count))
}

fn range(
    verdict: Verdict,
    why: &'static str,
    (first, last): (Timestamp, Timestamp),
    count: u64,
) -> Range {
    Range { verdict, reason: Reason::Borrowed(why), first, last, count, into: None }
}
