//! How many instants there are at which any of several triggers fires.
//!
//! Exact, and without walking from fire to fire: intervals are arithmetic progressions, so what
//! they share is one too (the Chinese remainder theorem), and inclusion and exclusion counts their
//! union. Crons fire on whole seconds; those that no interval and no date has are counted a day at
//! a time, on a bit for each second. A day costs some microseconds, so a year of seconds is nothing
//! to speak of. Does not know `and`, which cannot be counted that way.

use super::cron::Cron;
use super::cron::seconds::{DAY, Seconds};
use super::date::Date;
use super::interval::Interval;
use crate::time::Timestamp;

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// Triggers that are not made of others.
#[derive(Default)]
pub(super) struct Leaves<'a> {
    pub(super) dates: Vec<&'a Date>,
    pub(super) intervals: Vec<&'a Interval>,
    pub(super) crons: Vec<&'a Cron>,
}

impl Leaves<'_> {
    /// How many instants from `from` to before `to` are fires of any of them, beginning with
    /// their first fires when registered at `anchor`.
    pub(super) fn count(&self, anchor: Timestamp, from: Timestamp, to: Timestamp) -> u64 {
        let from_grid = from.max(anchor);
        let grids: Vec<Grid> = self
            .intervals
            .iter()
            .filter_map(|interval| {
                let (first, last) = interval.span(anchor, from_grid, to)?;
                Some(Grid { first, last, step: interval.length })
            })
            .collect();
        let mut dates: Vec<i64> = self
            .dates
            .iter()
            .filter(|date| date.count(from, to) == 1)
            .map(|date| date.run_date.micros())
            .filter(|date| !grids.iter().any(|grid| grid.holds(*date)))
            .collect();
        dates.sort_unstable();
        dates.dedup();
        let others = self.seconds_of_crons(&grids, &dates, from_grid, to);
        count_grids(&grids) + dates.len() as u64 + others
    }

    /// How many seconds from `from` to before `to` are fires of the crons alone.
    fn seconds_of_crons(
        &self,
        grids: &[Grid],
        dates: &[i64],
        from: Timestamp,
        to: Timestamp,
    ) -> u64 {
        let next = |from: Timestamp| {
            let fires = self.crons.iter().filter_map(|cron| cron.first(from));
            fires.min().filter(|fire| *fire < to)
        };
        let all_seconds = Grid { first: Timestamp::MIN.micros(), last: NO_END, step: SECOND };
        let whole = |grid: &Grid| grid.and(&all_seconds);
        let on_seconds: Vec<Grid> = grids.iter().filter_map(whole).collect();
        let mut total = 0;
        let mut seconds = Seconds::default();
        let mut reached = next(from);
        while let Some(fire) = reached {
            let day = fire.micros().div_euclid(SECOND).div_euclid(DAY) * DAY;
            seconds.clear(day);
            for cron in &self.crons {
                cron.mark(from, to, &mut seconds);
            }
            let end = (day + DAY) * SECOND;
            for grid in &on_seconds {
                let mut at = grid.first_from(day * SECOND).unwrap_or(end);
                while at < end && at <= grid.last {
                    seconds.unmark(at.div_euclid(SECOND));
                    at = at.saturating_add(grid.step);
                }
            }
            for date in dates.iter().filter(|date| **date % SECOND == 0) {
                seconds.unmark(date.div_euclid(SECOND));
            }
            total += seconds.count();
            reached = next(Timestamp::from_secs(day + DAY)).filter(|_| day + DAY < LAST_DAY);
        }
        total
    }
}

/// The day after this one has seconds that no text can show.
const LAST_DAY: i64 = 253_402_300_800;

/// Later than every instant.
const NO_END: i64 = i64::MAX / 4;

/// `first`, and every `step` after it, up to `last`, which is one of them or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    first: i64,
    last: i64,
    step: i64,
}

impl Grid {
    fn count(&self) -> u64 {
        u64::try_from((self.last - self.first).div_euclid(self.step) + 1).unwrap_or(0)
    }

    fn holds(&self, at: i64) -> bool {
        self.first <= at && at <= self.last && (at - self.first) % self.step == 0
    }

    fn first_from(&self, at: i64) -> Option<i64> {
        let steps = (at - self.first).max(0).unsigned_abs().div_ceil(self.step.unsigned_abs());
        let found = self.first.checked_add(i64::try_from(steps).ok()?.checked_mul(self.step)?)?;
        (found <= self.last).then_some(found)
    }

    /// What both have; `None` when that is nothing.
    fn and(&self, other: &Self) -> Option<Self> {
        let (step, other_step) = (i128::from(self.step), i128::from(other.step));
        let (divisor, inverse) = extended_gcd(step, other_step);
        let apart = i128::from(other.first) - i128::from(self.first);
        if apart % divisor != 0 {
            return None;
        }
        let period = other_step / divisor;
        let steps = (apart / divisor % period * (inverse % period)).rem_euclid(period);
        // In both, but perhaps too early.
        let shared = i128::from(self.first) + steps * step;
        let both = step * period;
        let from = i128::from(self.first.max(other.first));
        let first = shared + (from - shared).max(0).div_euclid(both) * both;
        let first = if first < from { first + both } else { first };
        let last = self.last.min(other.last);
        let first = i64::try_from(first).ok().filter(|first| *first <= last)?;
        Some(Self { first, last, step: i64::try_from(both).unwrap_or(NO_END).min(NO_END) })
    }
}

/// The greatest common divisor of two positive numbers, and a factor that makes it out of `a`, up
/// to multiples of `b`.
fn extended_gcd(a: i128, b: i128) -> (i128, i128) {
    let (mut old, mut new) = ((a, 1), (b, 0));
    while new.0 != 0 {
        let quotient = old.0 / new.0;
        (old, new) = (new, (old.0 - quotient * new.0, old.1 - quotient * new.1));
    }
    old
}

/// How many instants lie on any of the grids.
fn count_grids(grids: &[Grid]) -> u64 {
    match grids {
        [] => 0,
        [grid, rest @ ..] => only_on(grid, rest) + count_grids(rest),
    }
}

/// How many points of `grid` lie on none of `others`.
fn only_on(grid: &Grid, others: &[Grid]) -> u64 {
    let mut left = grid.count();
    let mut rest = others;
    while let [other, others @ ..] = rest {
        // Each shared point is taken off at the last of the others that has it.
        if let Some(shared) = grid.and(other) {
            left -= only_on(&shared, others);
        }
        rest = others;
    }
    left
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn grid() -> impl Strategy<Value = Grid> {
        (-100..100_i64, 0..300_i64, 1..40_i64).prop_map(|(first, length, step)| Grid {
            first,
            last: first + length,
            step,
        })
    }

    fn points(grid: &Grid) -> BTreeSet<i64> {
        (grid.first..=grid.last).step_by(usize::try_from(grid.step).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn shared_points_and_unions_are_those_of_the_sets(
            grids in proptest::collection::vec(grid(), 1..6),
            at in -150..500_i64,
        ) {
            let sets: Vec<BTreeSet<i64>> = grids.iter().map(points).collect();
            for (a, set_a) in grids.iter().zip(&sets) {
                prop_assert_eq!(a.count(), set_a.len() as u64);
                prop_assert_eq!(a.holds(at), set_a.contains(&at));
                prop_assert_eq!(a.first_from(at), set_a.range(at..).next().copied());
                for (b, set_b) in grids.iter().zip(&sets) {
                    let shared = a.and(b).map(|shared| points(&shared)).unwrap_or_default();
                    prop_assert_eq!(shared, set_a & set_b, "{:?} {:?}", a, b);
                }
            }
            let union: BTreeSet<i64> = sets.into_iter().flatten().collect();
            prop_assert_eq!(count_grids(&grids), union.len() as u64);
        }
    }

    #[test]
    fn grids_of_any_length_do_not_overflow() {
        let ends = [Timestamp::MIN.micros(), 0, Timestamp::MAX.micros()];
        for step in [100_000, 315_359_999_999_999_999, 315_360_000_000_000_000] {
            for first in ends {
                let grid = Grid { first, last: Timestamp::MAX.micros(), step };
                let other = Grid { first: 7, last: NO_END, step: 315_359_999_999_999_998 };
                let shared = grid.and(&other).and_then(|shared| shared.and(&grid));
                assert!(shared.is_none_or(|shared| grid.holds(shared.first)));
            }
        }
    }
}
