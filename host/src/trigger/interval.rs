//! A trigger that fires every so much elapsed time, on a grid that never moves.
//!
//! The grid is counted from `start_date`, else from the first registration, which the caller keeps
//! and hands in as the anchor (A9). A day here is 86,400 s; what repeats by the wall clock is
//! `cron`.

use crate::time::Timestamp;

/// The shortest interval: 100 ms, in microseconds.
pub(super) const SHORTEST: i64 = 100_000;

/// The longest interval: 10,000 years of 365 days, in microseconds.
pub(super) const LONGEST: i64 = 10_000 * 365 * 86_400 * 1_000_000;

/// Fires every `length`, from `start` on, up to and including `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Microseconds between two fires; at least [`SHORTEST`], at most [`LONGEST`].
    pub(super) length: i64,
    /// What the grid is counted from.
    pub(super) start: Start,
    /// The last instant that may fire.
    pub(super) end: Option<Timestamp>,
    /// The start is delayed by up to so many microseconds.
    pub(super) jitter: i64,
}

/// The first point of an interval's grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The `start_date`.
    Date(Timestamp),
    /// One length after the first registration.
    OneLengthOn,
    /// The first registration: `start = "now"`.
    Now,
}

impl Interval {
    /// The first fire when registered at `now`, inclusive.
    pub(super) fn first(&self, now: Timestamp) -> Option<Timestamp> {
        let base = self.base(now)?;
        self.on_grid(base, steps_up(now.micros() - base, self.length))
    }

    /// The first fire strictly after `after`.
    pub(super) fn next_after(&self, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        let base = self.base(anchor)?;
        self.on_grid(base, steps_up(after.micros() - base + 1, self.length))
    }

    /// The last fire strictly before `before` and not before the first one.
    pub(super) fn prev_before(&self, anchor: Timestamp, before: Timestamp) -> Option<Timestamp> {
        let base = self.base(anchor)?;
        let last = self.last_allowed(before)?;
        let fire = self.on_grid(base, (last.micros() - base).div_euclid(self.length))?;
        (self.first(anchor)? <= fire).then_some(fire)
    }

    /// How many fires there are from `from` to before `to`.
    pub(super) fn count(&self, anchor: Timestamp, from: Timestamp, to: Timestamp) -> u64 {
        let (Some(base), Some(last)) = (self.base(anchor), self.last_allowed(to)) else {
            return 0;
        };
        let first_step = steps_up(from.micros() - base, self.length);
        let last_step = (last.micros() - base).div_euclid(self.length);
        u64::try_from(last_step - first_step + 1).unwrap_or(0)
    }

    /// The `start_date`, when there is one.
    pub(super) fn start_date(&self) -> Option<Timestamp> {
        match self.start {
            Start::Date(start) => Some(start),
            Start::OneLengthOn | Start::Now => None,
        }
    }

    /// The first point of the grid; `None` when it lies beyond the year 9999.
    pub(super) fn grid_start(&self, anchor: Timestamp) -> Option<Timestamp> {
        self.base(anchor).map(Timestamp::from_micros)
    }

    /// The first fire from `from` on and the last instant before `to` that may be one, in
    /// microseconds; `None` when there is no fire.
    pub(super) fn span(
        &self,
        anchor: Timestamp,
        from: Timestamp,
        to: Timestamp,
    ) -> Option<(i64, i64)> {
        let base = self.base(anchor)?;
        let first = self.on_grid(base, steps_up(from.micros() - base, self.length))?.micros();
        let last = self.last_allowed(to)?.micros();
        (first <= last).then_some((first, last))
    }

    /// The first point of the grid, in microseconds; `None` when it lies beyond the year 9999.
    fn base(&self, anchor: Timestamp) -> Option<i64> {
        let base = match self.start {
            Start::Date(start) => start.micros(),
            Start::OneLengthOn => anchor.micros().checked_add(self.length)?,
            Start::Now => anchor.micros(),
        };
        (base <= Timestamp::MAX.micros()).then_some(base)
    }

    /// The grid point `steps` after `base`, unless it is past the end.
    fn on_grid(&self, base: i64, steps: i64) -> Option<Timestamp> {
        let micros = steps.checked_mul(self.length)?.checked_add(base)?;
        let last = self.end.unwrap_or(Timestamp::MAX).micros();
        (steps >= 0 && micros <= last).then(|| Timestamp::from_micros(micros))
    }

    /// The last instant before `before` that is not past the end.
    fn last_allowed(&self, before: Timestamp) -> Option<Timestamp> {
        let last =
            (before > Timestamp::MIN).then(|| Timestamp::from_micros(before.micros() - 1))?;
        Some(self.end.map_or(last, |end| end.min(last)))
    }
}

/// How many steps of `length` reach `distance`; none when it is not ahead.
fn steps_up(distance: i64, length: i64) -> i64 {
    // Both stay far below the largest number: instants end with the year 9999.
    if distance <= 0 { 0 } else { (distance - 1) / length + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn hourly(start: Start) -> Interval {
        Interval { length: 3_600_000_000, start, end: Some(utc("2026-01-01T05:00:00Z")), jitter: 0 }
    }

    #[test]
    fn the_first_fire_is_one_length_after_registration_or_on_the_start_date() {
        let now = utc("2026-01-01T01:30:00Z");
        for (start, first) in [
            (Start::OneLengthOn, "2026-01-01T02:30:00Z"),
            (Start::Now, "2026-01-01T01:30:00Z"),
            (Start::Date(now), "2026-01-01T01:30:00Z"),
            (Start::Date(utc("2026-01-01T00:00:00Z")), "2026-01-01T02:00:00Z"),
            (Start::Date(utc("2026-01-01T04:00:00Z")), "2026-01-01T04:00:00Z"),
        ] {
            assert_eq!(hourly(start).first(now), Some(utc(first)), "{start:?}");
        }
    }

    #[test]
    fn the_end_date_itself_still_fires_and_nothing_after_it() {
        let trigger = hourly(Start::Now);
        let anchor = utc("2026-01-01T00:00:00Z");
        let (four, five) = (utc("2026-01-01T04:00:00Z"), utc("2026-01-01T05:00:00Z"));
        assert_eq!(trigger.next_after(anchor, four), Some(five));
        assert_eq!(trigger.next_after(anchor, five), None);
        assert_eq!(trigger.prev_before(anchor, Timestamp::MAX), Some(five));
        assert_eq!(trigger.prev_before(anchor, anchor), None);
        assert_eq!(trigger.count(anchor, Timestamp::MIN, Timestamp::MAX), 6);
        assert_eq!(trigger.count(anchor, four, five), 1);
        assert_eq!(trigger.count(anchor, five, four), 0);
    }

    #[test]
    fn the_edges_of_time_do_not_overflow() {
        for length in [SHORTEST, LONGEST] {
            for start in [Start::OneLengthOn, Start::Now, Start::Date(Timestamp::MIN)] {
                let trigger = Interval { length, start, end: None, jitter: 0 };
                for anchor in [Timestamp::MIN, Timestamp::MAX] {
                    for at in [Timestamp::MIN, Timestamp::MAX] {
                        let _ = trigger.first(at);
                        let _ = trigger.next_after(anchor, at);
                        let _ = trigger.prev_before(anchor, at);
                        let _ = trigger.count(anchor, Timestamp::MIN, at);
                    }
                }
            }
        }
    }
}
