//! What a pause does to fire times: those that pass meanwhile are `paused` (rule A18).
//!
//! The cursor of a paused job stays where it is, so that whoever resumes it can still choose to
//! catch up. Then a long pause is one range in the ledger, counted by the trigger and never walked.

use std::time::Duration;

use crate::job::Job;
use crate::record::Schedule;
use crate::record::step::Patch;
use crate::run::{Range, Verdict, reason};
use crate::time::Timestamp;
use crate::trigger::Counted;

/// Ranges settled at once; only fires that have to be walked take more than one.
const MAX_RANGES: usize = 100;
/// The smallest step between two instants.
const MICRO: Duration = Duration::from_micros(1);

/// What becomes of the fire times that passed during a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// They are `paused`; the job goes on with the next one.
    No,
    /// They are due now, and grace and coalescing decide (rule A5).
    Yes,
}

/// When a paused schedule is to be looked at: at the end of its pause, if that is known.
pub fn due_while_paused(schedule: &Schedule) -> Option<Timestamp> {
    schedule.pause.as_ref().and_then(|pause| pause.until)
}

/// Ends a pause.
pub fn resume(schedule: &Schedule, job: &Job, catch_up: CatchUp, now: Timestamp) -> Patch {
    let patch = match catch_up {
        CatchUp::Yes => Patch::default(),
        CatchUp::No => skip(schedule, job, now),
    };
    Patch { pause: Some(None), ..patch }
}

/// Moves the cursor past `now` and accounts for what it passes.
fn skip(schedule: &Schedule, job: &Job, now: Timestamp) -> Patch {
    let Some((trigger, first)) = job.trigger.as_ref().zip(schedule.cursor) else {
        return Patch::default();
    };
    if first > now {
        return Patch::default();
    }
    let anchor = schedule.trigger_state.anchor;
    let last = trigger.prev_before(anchor, now.after(MICRO)).unwrap_or(first).max(first);
    let ranges: Vec<Range> = trigger
        .counted(anchor, (first, last), MAX_RANGES)
        .into_iter()
        .map(|Counted { first, last, count }| Range {
            verdict: Verdict::Paused,
            reason: reason::PAUSED.into(),
            first,
            last,
            count,
            into: None,
        })
        .collect();
    let last = ranges.last().map_or(last, |range| range.last);
    let (next, parked) = match trigger.try_next_after(anchor, last) {
        Ok(next) => (next, None),
        Err(gave_up) => (None, Some(Some(gave_up.to_string()))),
    };
    let due_at = next.map(|next| job.due_at(anchor, next));
    Patch { cursor: Some((next, due_at)), ranges, parked, ..Patch::default() }
}
