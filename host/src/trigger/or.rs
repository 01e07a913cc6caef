//! A trigger that fires whenever one of its members does.
//!
//! The members' sequences are merged, and an instant that several of them have fires once (A11).
//! Each sequence is a function of the anchor and an instant, so there is nothing to be kept: the
//! next fire is the earliest of the members' next ones. How many there are is `union`'s.

use super::search::{self, Found, Steps};
use super::{MAX_COUNTED, Trigger, union};
use crate::time::Timestamp;

/// Fires when any of its members does; exhausted when all are.
#[derive(Clone, Debug, PartialEq)]
pub struct Or {
    /// At least one.
    pub(super) members: Vec<Trigger>,
    /// The start is delayed by up to so many microseconds.
    pub(super) jitter: i64,
}

impl Or {
    /// The earliest of the members' first fires.
    pub(super) fn first(&self, now: Timestamp, steps: &Steps) -> Found {
        earliest(self.members.iter().map(|member| member.first_in(now, steps)))
    }

    /// The earliest of the members' fires after `after`.
    pub(super) fn next_after(&self, anchor: Timestamp, after: Timestamp, steps: &Steps) -> Found {
        earliest(self.members.iter().map(|member| member.member_after(anchor, after, steps)))
    }

    /// The latest of the members' fires before `before`.
    pub(super) fn prev_before(&self, anchor: Timestamp, before: Timestamp, steps: &Steps) -> Found {
        let mut fires = self.members.iter().map(|member| member.prev_in(anchor, before, steps));
        fires.try_fold(None, |latest, fire| Ok(latest.max(fire?)))
    }

    /// How many fires there are from `from` to before `to`; no further than [`MAX_COUNTED`] when
    /// an `and` is among the members.
    pub(super) fn count(&self, anchor: Timestamp, from: Timestamp, to: Timestamp) -> u64 {
        let mut leaves = union::Leaves::default();
        if self.collect(&mut leaves) {
            return leaves.count(anchor, from, to);
        }
        // An `and` cannot be counted without walking.
        let merged = Trigger::Or(self.clone());
        let fires = search::walk(&merged, anchor, from).take_while(|fire| *fire < to);
        fires.take(MAX_COUNTED as usize).count() as u64
    }

    /// Adds the members, and those of an `or` among them, to `leaves`; `false` for an `and`.
    fn collect<'a>(&'a self, leaves: &mut union::Leaves<'a>) -> bool {
        self.members.iter().all(|member| {
            match member {
                Trigger::Date(date) => leaves.dates.push(date),
                Trigger::Interval(interval) => leaves.intervals.push(interval),
                Trigger::Cron(cron) => leaves.crons.push(cron),
                Trigger::Or(or) => return or.collect(leaves),
                Trigger::And(_) => return false,
            }
            true
        })
    }
}

fn earliest(mut fires: impl Iterator<Item = Found>) -> Found {
    fires.try_fold(None, |earliest: Option<Timestamp>, fire| {
        Ok(match (earliest, fire?) {
            (Some(earliest), Some(fire)) => Some(earliest.min(fire)),
            (earliest, fire) => earliest.or(fire),
        })
    })
}
