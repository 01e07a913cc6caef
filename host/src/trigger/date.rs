//! A trigger that fires once.
//!
//! Does not know whether the time has passed: what becomes of a late fire is the scheduler's to
//! judge.

use crate::time::Timestamp;

/// Fires once, at its `run_date`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Date {
    /// The one fire.
    pub(super) run_date: Timestamp,
}

impl Date {
    /// The `run_date`, also when it is past.
    pub(super) fn first(&self) -> Timestamp {
        self.run_date
    }

    /// The `run_date` if it is still to come after `after`.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        (after < self.run_date).then_some(self.run_date)
    }

    /// The `run_date` if it lies before `before`.
    pub(super) fn prev_before(&self, before: Timestamp) -> Option<Timestamp> {
        (self.run_date < before).then_some(self.run_date)
    }

    /// One if the `run_date` lies from `from` to before `to`, else none.
    pub(super) fn count(&self, from: Timestamp, to: Timestamp) -> u64 {
        u64::from(from <= self.run_date && self.run_date < to)
    }
}
