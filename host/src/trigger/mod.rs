//! When a job fires: date, interval, cron, and combinations of them, as functions of instants.
//!
//! A trigger is a value. It holds no cursor and reads no clock; every question is answered from
//! its definition and the instants that are handed in, by arithmetic or search and never by
//! walking from fire to fire. (An `and` walks, but never far: see there.) It does not know what
//! became of a fire: lateness, pauses and the persisted anchor belong to the scheduler.
//!
//! ```text
//! parse ── object or text ──> Trigger ── first, next_after, prev_before, count ── due_at, explain
//!                               ├─ date
//!                               ├─ interval
//!                               ├─ cron ── calendar (wall times) ── walk (daylight saving)
//!                               ├─ or ── union (counting)
//!                               └─ and
//! ```
//!
//! Members of `or` and `and` have one cursor each (A11), and none is kept: a member's fire times
//! stand on a grid of its own that nobody moves, so its cursor is a function of the anchor and of
//! the last fire time, which are kept.
//!
//! Rule source: rules A1 to A3 and A9 to A12 of `docs/rules.md`.

mod and;
mod cron;
mod date;
mod datetime;
mod duration;
mod explain;
mod interval;
mod jitter;
mod keys;
mod or;
mod parse;
mod search;
mod union;
mod zone;

#[cfg(test)]
mod tests;

use chrono_tz::Tz;
use serde_json::Value;

pub use self::and::And;
pub use self::cron::Cron;
pub use self::date::Date;
pub use self::datetime::parse_datetime;
pub use self::explain::{Cause, ClockChange, Explanation, Turn};
pub use self::interval::Interval;
pub use self::or::Or;
use self::search::Steps;
pub use self::search::{GaveUp, MAX_COUNTED, MAX_STEPS};
pub use self::zone::{Gap, gaps, parse_zone};
use crate::problem::Problem;
use crate::time::Timestamp;

/// What decides when a job fires.
#[derive(Clone, Debug, PartialEq)]
pub enum Trigger {
    /// Once.
    Date(Date),
    /// Every so much elapsed time.
    Interval(Interval),
    /// At wall times.
    Cron(Cron),
    /// Whenever one of several triggers fires.
    Or(Or),
    /// Whenever several triggers fire together.
    And(And),
}

/// A stretch of fires, as many as there are between its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many, both ends among them.
    pub count: u64,
}

impl Trigger {
    /// Reads the object or text form (A1); wall times without a zone of their own are in
    /// `default_zone`.
    ///
    /// Everything that is wrong is added to `problems` at once, each with its key below `path`
    /// (`trigger.hour`); then, and only then, the answer is `None`. A trigger that can never fire
    /// is wrong; one whose time has merely passed is not (A12).
    pub fn parse(
        value: &Value,
        path: &str,
        default_zone: Tz,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        parse::parse(value, path, default_zone, problems)
    }

    /// The first fire when registered at `now` with no previous fire, inclusive; `None` when there
    /// is none up to the end date and the year 9999.
    ///
    /// A date gives its `run_date`, whatever `now` is, also as a member of an `or`. An interval
    /// without start date gives `now` and one length, with `start = "now"` it gives `now`.
    ///
    /// # Errors
    ///
    /// The members of an `and` did not agree within [`MAX_STEPS`].
    pub fn try_first(&self, now: Timestamp) -> Result<Option<Timestamp>, GaveUp> {
        self.first_in(now, &Steps::new())
    }

    /// The first fire strictly after `after`; `None` when there is no other.
    ///
    /// `anchor` is the instant of the first registration; only an interval without start date
    /// looks at it, and `or` and `and`, which know of no fire from before it but past dates.
    ///
    /// # Errors
    ///
    /// The members of an `and` did not agree within [`MAX_STEPS`].
    pub fn try_next_after(
        &self,
        anchor: Timestamp,
        after: Timestamp,
    ) -> Result<Option<Timestamp>, GaveUp> {
        self.next_in(anchor, after, &Steps::new())
    }

    /// Like [`Self::try_first`] for those who need not tell giving up from being exhausted.
    pub fn first(&self, now: Timestamp) -> Option<Timestamp> {
        self.try_first(now).unwrap_or_default()
    }

    /// Like [`Self::try_next_after`] for those who need not tell giving up from being exhausted.
    pub fn next_after(&self, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        self.try_next_after(anchor, after).unwrap_or_default()
    }

    /// The last fire strictly before `before` that is not before the first fire of a job
    /// registered at `anchor`. An `and` that gives up knows of none.
    pub fn prev_before(&self, anchor: Timestamp, before: Timestamp) -> Option<Timestamp> {
        self.prev_in(anchor, before, &Steps::new()).unwrap_or_default()
    }

    /// How many fires there are from `from` to before `to`: as many as [`Self::next_after`] would
    /// find, which also sees those of a cron or of a start date from before `anchor`.
    ///
    /// Where an `and` takes part it counts no further than [`MAX_COUNTED`]; see
    /// [`Self::counted`].
    pub fn count(&self, anchor: Timestamp, from: Timestamp, to: Timestamp) -> u64 {
        match self {
            Self::Date(date) => date.count(from, to),
            Self::Interval(interval) => interval.count(anchor, from, to),
            Self::Cron(cron) => cron.count(from, to),
            Self::Or(or) => or.count(anchor, from, to),
            Self::And(and) => and.count(anchor, from, to),
        }
    }

    /// The fires from `first` to `last`, two of them, in stretches that are counted exactly. It is
    /// one unless an `and` takes part, whose fires have to be walked: then each has
    /// [`MAX_COUNTED`] fires at most, and at most `limit` of them come before the rest is left out.
    pub fn counted(
        &self,
        anchor: Timestamp,
        (first, last): (Timestamp, Timestamp),
        limit: usize,
    ) -> Vec<Counted> {
        if !self.holds_and() {
            let past = Timestamp::from_micros(last.micros() + 1);
            let count = self.count(anchor, first, past).max(1);
            return vec![Counted { first, last, count }];
        }
        let mut fires = search::walk(self, anchor, first).take_while(|fire| *fire <= last);
        let stretch = |_| {
            let first = fires.next()?;
            let begun = Counted { first, last: first, count: 1 };
            let others = fires.by_ref().take(MAX_COUNTED as usize - 1);
            Some(others.fold(begun, |all, last| Counted { last, count: all.count + 1, ..all }))
        };
        (0..limit).map_while(stretch).collect()
    }

    /// Whether it fires once alone. Such a job is never skipped for want of a slot (A7).
    pub fn is_one_shot(&self) -> bool {
        match self {
            Self::Date(_) => true,
            Self::Interval(_) | Self::Cron(_) | Self::Or(_) | Self::And(_) => false,
        }
    }

    /// The word for its kind, as `type` has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Date(_) => "date",
            Self::Interval(_) => "interval",
            Self::Cron(_) => "cron",
            Self::Or(_) => "or",
            Self::And(_) => "and",
        }
    }
}
