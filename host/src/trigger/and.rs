//! A trigger that fires when all its members do, within a threshold of each other.
//!
//! Each member has a cursor. The earliest cursor is moved on until all of them lie within the
//! threshold; the trigger fires at the earliest, and then all move on (A11). A cursor that is too
//! early for every agreement to come is moved at once to where it may agree: which agreement is
//! the next does not depend on the order of the moves, since of two sets of cursors that agree the
//! earlier cursor of each member agrees as well.
//!
//! The cursors are not kept; they are found again from the anchor and an instant. A *quiet
//! instant* is one that lies further than the threshold from any fire of some member on both
//! sides. No agreement reaches across it, so from there on nothing depends on what was before: the
//! cursors are the members' first fires after it. So one goes back to a quiet instant and walks
//! forward, which is a step or two unless *every* member fires more often than every two
//! thresholds.
//!
//! Only then, when every member has fired [`LOOK_BACK`] times without leaving a quiet instant, a
//! *mark* takes its place: instants that are a whole number of [`Self::block`]s from 1970. The
//! cursors begin anew there, so that a year of such fires need not be walked. That is the one
//! place where a fire of a member may take part in two agreements, when the first one reached
//! across the mark; they still fire at two instants.

use super::search::{self, Found, GaveUp, Steps};
use super::{MAX_COUNTED, Trigger};
use crate::time::Timestamp;

/// The threshold when none is given: 1 s, in microseconds.
pub(super) const THRESHOLD: i64 = 1_000_000;

/// The widest threshold: a day, in microseconds.
pub(super) const WIDEST: i64 = 86_400_000_000;

/// Fires of each member among which a quiet instant is looked for.
const LOOK_BACK: usize = 32;

/// The shortest distance between two marks: a minute, in microseconds.
const SHORTEST_BLOCK: i64 = 60_000_000;

/// Marks are at least so many thresholds apart.
const THRESHOLDS_PER_BLOCK: i64 = 16;

/// Stands for a fire that there is not, later than all that there are.
const NEVER: i64 = i64::MAX / 4;

/// Fires when all of its members do; exhausted when any is.
#[derive(Clone, Debug, PartialEq)]
pub struct And {
    /// At least one.
    pub(super) members: Vec<Trigger>,
    /// How far apart their fires may be, in microseconds; at most [`WIDEST`].
    pub(super) threshold: i64,
    /// The start is delayed by up to so many microseconds.
    pub(super) jitter: i64,
}

impl And {
    /// The first agreement of members that are registered at `now`.
    pub(super) fn first(&self, now: Timestamp, steps: &Steps) -> Found {
        self.walk_from(now, i64::MIN, steps)?.next(steps)
    }

    /// The first agreement after `after`.
    pub(super) fn next_after(&self, anchor: Timestamp, after: Timestamp, steps: &Steps) -> Found {
        let mut walk = self.walk_to(anchor, after.micros() + 1, steps)?;
        while let Some(fire) = walk.next(steps)? {
            if after < fire {
                return Ok(Some(fire));
            }
        }
        Ok(None)
    }

    /// The last agreement before `before`.
    pub(super) fn prev_before(&self, anchor: Timestamp, before: Timestamp, steps: &Steps) -> Found {
        let mut before = before;
        while let Some(at) = self.possible_before(anchor, before, steps)? {
            let mut walk = self.walk_to(anchor, at, steps)?;
            let walked_from = walk.since;
            let mut last = None;
            while let Some(fire) = walk.next(steps)?.filter(|fire| *fire < before) {
                last = Some(fire);
            }
            if last.is_some() {
                return Ok(last);
            }
            before = Timestamp::from_micros(walked_from);
        }
        Ok(None)
    }

    /// How many agreements there are from `from` to before `to`, no more than [`MAX_COUNTED`].
    pub(super) fn count(&self, anchor: Timestamp, from: Timestamp, to: Timestamp) -> u64 {
        let and = Trigger::And(self.clone());
        let fires = search::walk(&and, anchor, from).take_while(|fire| *fire < to);
        fires.take(MAX_COUNTED as usize).count() as u64
    }

    /// A walk that passes every agreement from `at` on, and perhaps some before it.
    fn walk_to(&self, anchor: Timestamp, at: i64, steps: &Steps) -> Result<Walk<'_>, GaveUp> {
        let since = match self.quiet_before(anchor, at, steps)? {
            Some(quiet) => quiet,
            None => {
                let mark = self.mark_before(at);
                self.quiet_before(anchor, mark, steps)?.unwrap_or(mark)
            }
        };
        self.walk_from(anchor, since, steps)
    }

    /// A walk whose cursors are the members' first fires from `since` on.
    fn walk_from(&self, anchor: Timestamp, since: i64, steps: &Steps) -> Result<Walk<'_>, GaveUp> {
        let cursors = self.cursors_at(anchor, since, steps)?;
        Ok(Walk { and: self, anchor, since, cursors, crossed: None })
    }

    /// The members' first fires from `at` on; `None` when a member has no more.
    fn cursors_at(
        &self,
        anchor: Timestamp,
        at: i64,
        steps: &Steps,
    ) -> Result<Option<Vec<i64>>, GaveUp> {
        let cursors = self.members.iter().map(|member| {
            steps.take(at)?;
            let fire = if at <= Timestamp::MIN.micros() {
                member.first_in(anchor, steps)?
            } else {
                member.member_after(anchor, Timestamp::from_micros(at - 1), steps)?
            };
            Ok(fire.map(Timestamp::micros))
        });
        cursors.collect()
    }

    /// The last quiet instant, at most `at`, that is found by looking back.
    fn quiet_before(
        &self,
        anchor: Timestamp,
        at: i64,
        steps: &Steps,
    ) -> Result<Option<i64>, GaveUp> {
        let mut laters = Vec::with_capacity(self.members.len());
        let before = Timestamp::from_micros(at - 1);
        for member in &self.members {
            steps.take(at)?;
            let later = member.member_after(anchor, before, steps)?;
            laters.push(later.map_or(NEVER, Timestamp::micros));
        }
        for _ in 0..LOOK_BACK {
            for (member, later) in self.members.iter().zip(&mut laters) {
                steps.take(*later)?;
                // Between two fires all instants that are far enough from both are quiet.
                let last_quiet = at.min(*later - self.threshold);
                match member.prev_in(anchor, Timestamp::from_micros(*later), steps)? {
                    None => return Ok(Some(last_quiet)),
                    Some(earlier) if earlier.micros() + self.threshold < last_quiet => {
                        return Ok(Some(last_quiet));
                    }
                    Some(earlier) => *later = earlier.micros(),
                }
            }
        }
        Ok(None)
    }

    /// The latest instant before `before` at which there may be an agreement: where the latest
    /// fires that are within the threshold begin, whatever has taken part in another agreement.
    fn possible_before(
        &self,
        anchor: Timestamp,
        before: Timestamp,
        steps: &Steps,
    ) -> Result<Option<i64>, GaveUp> {
        let mut lasts = vec![i64::MAX; self.members.len()];
        let mut highest = before.micros().saturating_add(self.threshold) - 1;
        loop {
            for (member, last) in self.members.iter().zip(&mut lasts) {
                if highest < *last {
                    steps.take(highest)?;
                    let past = Timestamp::from_micros(highest + 1);
                    let Some(fire) = member.prev_in(anchor, past, steps)? else { return Ok(None) };
                    *last = fire.micros();
                }
            }
            let (first, last) = ends(&lasts);
            if last - first <= self.threshold {
                return Ok(Some(first.min(before.micros() - 1)));
            }
            highest = first + self.threshold;
        }
    }

    /// The last mark that is not after `at`.
    fn mark_before(&self, at: i64) -> i64 {
        at.div_euclid(self.block()) * self.block()
    }

    /// Microseconds from one mark to the next.
    fn block(&self) -> i64 {
        SHORTEST_BLOCK.max(self.threshold * THRESHOLDS_PER_BLOCK)
    }
}

/// The cursors on their way.
struct Walk<'a> {
    and: &'a And,
    anchor: Timestamp,
    /// Where they were set.
    since: i64,
    /// The fires of the members that come next; `None` when a member has no more.
    cursors: Option<Vec<i64>>,
    /// A mark that the last agreement reached across. What it took from there is free again when
    /// the mark is passed and counts.
    crossed: Option<i64>,
}

impl Walk<'_> {
    /// The next agreement; all cursors move past it.
    fn next(&mut self, steps: &Steps) -> Found {
        loop {
            let agreed = self.agree(steps)?;
            let passed = |mark: &i64| agreed.is_none_or(|(first, _)| *mark <= first);
            if let Some(mark) = self.crossed.take_if(|mark| passed(mark))
                && self.and.quiet_before(self.anchor, mark, steps)?.is_none()
            {
                self.cursors = self.and.cursors_at(self.anchor, mark, steps)?;
                continue;
            }
            let Some((first, last)) = agreed else { return Ok(None) };
            let mark = self.and.mark_before(first) + self.and.block();
            if mark <= last {
                self.crossed = Some(mark);
            }
            self.advance(|_| true, i64::MIN, steps)?;
            return Ok(Some(Timestamp::from_micros(first)));
        }
    }

    /// Moves cursors until all lie within the threshold; answers the earliest and the latest.
    fn agree(&mut self, steps: &Steps) -> Result<Option<(i64, i64)>, GaveUp> {
        while let Some(cursors) = &self.cursors {
            let (first, last) = ends(cursors);
            let too_early = last - self.and.threshold;
            if too_early <= first {
                return Ok(Some((first, last)));
            }
            self.advance(|cursor| cursor < too_early, too_early - 1, steps)?;
        }
        Ok(None)
    }

    /// Moves the cursors that `moves` picks to the first fire after them and after `past`.
    fn advance(
        &mut self,
        moves: impl Fn(i64) -> bool,
        past: i64,
        steps: &Steps,
    ) -> Result<(), GaveUp> {
        let Some(cursors) = &mut self.cursors else { return Ok(()) };
        for (member, cursor) in self.and.members.iter().zip(cursors) {
            if moves(*cursor) {
                steps.take(*cursor)?;
                let after = Timestamp::from_micros(past.max(*cursor));
                match member.member_after(self.anchor, after, steps)? {
                    Some(fire) => *cursor = fire.micros(),
                    None => {
                        self.cursors = None;
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The earliest and the latest of the cursors, of which there is at least one.
fn ends(cursors: &[i64]) -> (i64, i64) {
    let first = cursors.iter().copied().min().unwrap_or_default();
    (first, cursors.iter().copied().max().unwrap_or_default())
}
