//! When a job fires: date, interval and cron triggers, as functions of instants.
//!
//! A trigger is a value. It holds no cursor and reads no clock; every question is answered from
//! its definition and the instants that are handed in, by arithmetic or search and never by
//! walking from fire to fire. It does not know what became of a fire: lateness, jitter, pauses and
//! the persisted anchor belong to the scheduler.
//!
//! ```text
//! parse ── object or text ──> Trigger ── first, next_after, prev_before, count
//!                               ├─ date
//!                               ├─ interval
//!                               └─ cron ── calendar (wall times) ── walk (daylight saving)
//! ```
//!
//! Rule source: semantics A1 to A3, A9 and A12, and part B, 1 to 4.

mod cron;
mod date;
mod datetime;
mod duration;
mod interval;
mod keys;
mod parse;
mod zone;

#[cfg(test)]
mod tests;

use chrono_tz::Tz;
use serde_json::Value;

pub use self::cron::Cron;
pub use self::date::Date;
pub use self::datetime::parse_datetime;
pub use self::interval::Interval;
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
    /// A date gives its `run_date`, whatever `now` is. An interval without start date gives `now`
    /// and one length, with `start = "now"` it gives `now`.
    pub fn first(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Date(date) => Some(date.first()),
            Self::Interval(interval) => interval.first(now),
            Self::Cron(cron) => cron.first(now),
        }
    }

    /// The first fire strictly after `after`; `None` when there is no other.
    ///
    /// `anchor` is the instant of the first registration; only an interval without start date
    /// looks at it.
    pub fn next_after(&self, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Date(date) => date.next_after(after),
            Self::Interval(interval) => interval.next_after(anchor, after),
            Self::Cron(cron) => cron.next_after(after),
        }
    }

    /// The last fire strictly before `before` that is not before the first fire of a job
    /// registered at `anchor`.
    pub fn prev_before(&self, anchor: Timestamp, before: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Date(date) => date.prev_before(before),
            Self::Interval(interval) => interval.prev_before(anchor, before),
            Self::Cron(cron) => cron.prev_before(anchor, before),
        }
    }

    /// How many fires there are from `from` to before `to`: as many as [`Self::next_after`] would
    /// find, which also sees those of a cron or of a start date from before `anchor`.
    pub fn count(&self, anchor: Timestamp, from: Timestamp, to: Timestamp) -> u64 {
        match self {
            Self::Date(date) => date.count(from, to),
            Self::Interval(interval) => interval.count(anchor, from, to),
            Self::Cron(cron) => cron.count(from, to),
        }
    }

    /// The word for its kind: `date`, `interval` or `cron`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Date(_) => "date",
            Self::Interval(_) => "interval",
            Self::Cron(_) => "cron",
        }
    }
}
