//! Questions to any trigger, as `or` and `and` ask them of their members.
//!
//! A member's fire times are one sequence: its first fire when registered at the anchor, and all
//! that come after that. What a cron or a start date would have fired before is not part of it.
//! Does not know how any trigger finds its fires; it keeps the budget of a search that may be in
//! vain.

use std::cell::Cell;
use std::fmt;

use super::Trigger;
use crate::time::Timestamp;

/// How often the members of an `and` are asked for one fire time; then it gives up (A11).
pub const MAX_STEPS: u32 = 10_000;

/// Fires of an `and` that one question walks over.
pub const MAX_COUNTED: u64 = 10_000;

/// The smallest step between two instants.
const MICRO: i64 = 1;

/// The members of an `and` did not agree on a fire time, and perhaps never will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GaveUp {
    /// They did not do so up to here.
    pub searched_to: Timestamp,
}

impl std::error::Error for GaveUp {}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the members of the `and` trigger did not agree on a fire time within {MAX_STEPS} \
             steps, up to {}; check their times, or give a larger `threshold`",
            self.searched_to
        )
    }
}

/// What is left of the budget of one question, shared by triggers within triggers.
pub(super) struct Steps(Cell<u32>);

impl Steps {
    /// The whole budget.
    pub(super) fn new() -> Self {
        Self(Cell::new(MAX_STEPS))
    }

    /// Takes one step, at `at`.
    pub(super) fn take(&self, at: i64) -> Result<(), GaveUp> {
        let left = self.0.get().checked_sub(1);
        self.0.set(left.ok_or(GaveUp { searched_to: Timestamp::from_micros(at) })?);
        Ok(())
    }
}

/// A fire time, none, or no answer.
pub(super) type Found = Result<Option<Timestamp>, GaveUp>;

impl Trigger {
    /// What [`Trigger::try_first`] does.
    pub(super) fn first_in(&self, now: Timestamp, steps: &Steps) -> Found {
        match self {
            Self::Date(date) => Ok(Some(date.first())),
            Self::Interval(interval) => Ok(interval.first(now)),
            Self::Cron(cron) => Ok(cron.first(now)),
            Self::Or(or) => or.first(now, steps),
            Self::And(and) => and.first(now, steps),
        }
    }

    /// What [`Trigger::try_next_after`] does.
    pub(super) fn next_in(&self, anchor: Timestamp, after: Timestamp, steps: &Steps) -> Found {
        match self {
            Self::Date(date) => Ok(date.next_after(after)),
            Self::Interval(interval) => Ok(interval.next_after(anchor, after)),
            Self::Cron(cron) => Ok(cron.next_after(after)),
            Self::Or(or) => or.next_after(anchor, after, steps),
            Self::And(and) => and.next_after(anchor, after, steps),
        }
    }

    /// The last fire before `before` of the sequence that begins with the first fire.
    pub(super) fn prev_in(&self, anchor: Timestamp, before: Timestamp, steps: &Steps) -> Found {
        match self {
            Self::Date(date) => Ok(date.prev_before(before)),
            Self::Interval(interval) => Ok(interval.prev_before(anchor, before)),
            Self::Cron(cron) => Ok(cron.prev_before(anchor, before)),
            Self::Or(or) => or.prev_before(anchor, before, steps),
            Self::And(and) => and.prev_before(anchor, before, steps),
        }
    }

    /// The first fire after `after` of the sequence that begins with the first fire.
    pub(super) fn member_after(&self, anchor: Timestamp, after: Timestamp, steps: &Steps) -> Found {
        if anchor <= after {
            return self.next_in(anchor, after, steps);
        }
        match self.first_in(anchor, steps)? {
            Some(first) if first <= after => self.next_in(anchor, after, steps),
            first => Ok(first),
        }
    }

    /// Whether an `and` takes part.
    pub(super) fn holds_and(&self) -> bool {
        match self {
            Self::Date(_) | Self::Interval(_) | Self::Cron(_) => false,
            Self::Or(or) => or.members.iter().any(Self::holds_and),
            Self::And(_) => true,
        }
    }
}

/// The fires of `trigger` from `from` on, one by one, each with a budget of its own. It ends where
/// the search gives up.
pub(super) fn walk(
    trigger: &Trigger,
    anchor: Timestamp,
    from: Timestamp,
) -> impl Iterator<Item = Timestamp> {
    let next = move |after| trigger.member_after(anchor, after, &Steps::new()).unwrap_or_default();
    let before = Timestamp::from_micros(from.micros() - MICRO);
    std::iter::successors(next(before), move |fire| next(*fire))
}
