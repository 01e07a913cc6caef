//! A trigger that fires when the wall clock shows certain values.
//!
//! Reading comes first: `field` reads one expression, `fields` the eight keys of APScheduler,
//! `text` a Unix crontab. All three end in a `calendar::Calendar`, which knows no zones; `render`
//! writes it out again. One walker, `walk`, finds its fires under either rule for daylight saving,
//! and `miss` says why an instant is none of them. Nothing here looks at what is past or present:
//! the window and the registration come in as arguments.

pub(super) mod calendar;
pub(super) mod field;
pub(super) mod fields;
mod miss;
mod mistake;
mod month;
mod render;
pub(super) mod seconds;
pub(super) mod set;
pub(super) mod text;
mod walk;

use chrono_tz::Tz;

use self::calendar::Calendar;
use crate::time::Timestamp;

/// Microseconds in a second: every fire is a whole second.
const SECOND: i64 = 1_000_000;

/// Fires at the wall times of `calendar` in `zone`, from `start` up to and including `end`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cron {
    /// The wall times.
    pub(super) calendar: Calendar,
    /// Whose wall clock is meant.
    pub(super) zone: Tz,
    /// What happens to wall times that are skipped or come twice.
    pub(super) dst: Dst,
    /// The first instant that may fire.
    pub(super) start: Option<Timestamp>,
    /// The last instant that may fire.
    pub(super) end: Option<Timestamp>,
    /// The start is delayed by up to so many microseconds.
    pub(super) jitter: i64,
}

/// What a change of the clocks means (A3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dst {
    /// Each wall time fires once: on the first pass of an overlap, and right after the gap that
    /// skips it. With every hour in the set it is the same as `Wall`.
    Once,
    /// A wall time in a gap never fires, one in an overlap fires in both passes.
    Wall,
}

impl Cron {
    /// The first fire from `now` on, inclusive.
    pub(super) fn first(&self, now: Timestamp) -> Option<Timestamp> {
        self.first_from(second_up(now))
    }

    /// The first fire strictly after `after`.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.first_from(after.micros().div_euclid(SECOND) + 1)
    }

    /// The last fire strictly before `before` and not before `anchor`.
    pub(super) fn prev_before(&self, anchor: Timestamp, before: Timestamp) -> Option<Timestamp> {
        let floor = self.start.map_or(anchor, |start| start.max(anchor));
        let fire = self.walker().prev(self.hold_end(before))?;
        Some(Timestamp::from_secs(fire)).filter(|fire| floor <= *fire)
    }

    /// How many fires there are from `from` to before `to`.
    pub(super) fn count(&self, from: Timestamp, to: Timestamp) -> u64 {
        self.walker().count(self.hold_start(second_up(from)), self.hold_end(to))
    }

    /// Marks the fires from `from` to before `to` that lie in the day of `seconds`.
    pub(super) fn mark(&self, from: Timestamp, to: Timestamp, seconds: &mut seconds::Seconds) {
        let (day, day_end) = seconds.span();
        let from = self.hold_start(second_up(from)).max(day);
        let to = self.hold_end(to).min(day_end);
        if from < to {
            self.walker().mark(from, to, seconds);
        }
    }

    fn first_from(&self, second: i64) -> Option<Timestamp> {
        let fire = self.walker().next(self.hold_start(second))?;
        // In the last hours of 9999 a zone west of UTC has instants that no text can show.
        let last = self.end.unwrap_or(Timestamp::MAX).micros().div_euclid(SECOND);
        (fire <= last).then(|| Timestamp::from_secs(fire))
    }

    /// `second`, or the first one of the window if that is later.
    fn hold_start(&self, second: i64) -> i64 {
        self.start.map_or(second, |start| second_up(start).max(second))
    }

    /// The second that no fire before `before` reaches, the end of the window kept.
    fn hold_end(&self, before: Timestamp) -> i64 {
        let past_end = self.end.unwrap_or(Timestamp::MAX).micros().div_euclid(SECOND) + 1;
        second_up(before).min(past_end)
    }

    fn walker(&self) -> walk::Walker<'_> {
        walk::Walker::new(&self.calendar, self.zone, self.dst)
    }
}

/// The first whole second that is not before `time`.
fn second_up(time: Timestamp) -> i64 {
    (time.micros() + SECOND - 1).div_euclid(SECOND)
}
