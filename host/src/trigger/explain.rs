//! Why an instant is a fire time of a trigger, or why it is none.
//!
//! An answer for people, as a value: causes are data, sentences are made from them. It repeats no
//! rule: whether the instant fires is what the search says, and the cause is then looked for.

use std::fmt;

use serde::Serialize;

use super::interval::Interval;
use super::{MAX_STEPS, Trigger};
use crate::time::Timestamp;

/// What a trigger says about one instant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The instant.
    pub at: Timestamp,
    /// The kind of trigger, as `type` has it.
    pub kind: &'static str,
    /// Whether it is a fire time.
    pub fires: bool,
    /// The cause in one sentence.
    pub why: String,
    /// Why it is one, or why not.
    pub cause: Cause,
    /// What the wall clock of the trigger's zone shows then; only a cron has one.
    pub local: Option<String>,
    /// The change of that clock that is near enough to matter.
    pub clock_change: Option<ClockChange>,
    /// The last fire time before it.
    pub before: Option<Timestamp>,
    /// The first fire time after it.
    pub after: Option<Timestamp>,
    /// What the members of an `or` or an `and` say.
    pub members: Vec<Explanation>,
}

/// Why an instant is a fire time, or why not.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// It is one.
    Fires,
    /// It is one: the clock was turned over wall times that fire right after the gap.
    AfterGap {
        /// The first of the wall times that were left out.
        from: String,
        /// The first wall time after the gap.
        to: String,
    },
    /// A date fires at another time.
    OtherDate {
        /// That time.
        run_date: Timestamp,
    },
    /// It is before the first instant that may fire.
    BeforeStart {
        /// That instant.
        start: Timestamp,
    },
    /// It is after the last instant that may fire.
    AfterEnd {
        /// That instant.
        end: Timestamp,
    },
    /// The job was not registered then.
    BeforeRegistration {
        /// When it was.
        registered: Timestamp,
    },
    /// It is no point of an interval's grid.
    OffTheGrid {
        /// The interval, in microseconds.
        every_micros: i64,
        /// A point of the grid.
        grid_start: Timestamp,
    },
    /// A cron fires on whole seconds.
    NotAWholeSecond,
    /// A field of the cron does not have what the wall clock shows.
    Field {
        /// The most significant field that does not.
        field: &'static str,
        /// The field's expression.
        expression: String,
        /// What the wall clock shows there.
        shown: String,
    },
    /// The wall clock shows this time for the second time, and `dst = "once"`.
    SecondPass {
        /// When it did so for the first time.
        first_pass: Timestamp,
    },
    /// No member of an `or` fires.
    NoMember,
    /// The members of an `and` do not fire together.
    NoAgreement {
        /// How far apart they may be, in microseconds.
        threshold_micros: i64,
    },
    /// The members of an `and` do so too rarely, if ever.
    GaveUp,
}

/// Which way a clock was turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Wall times were left out.
    Forward,
    /// Wall times came twice.
    Back,
}

/// A change of a zone's clock, and what it does to the trigger.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClockChange {
    /// When.
    pub at: Timestamp,
    /// Which way.
    pub turn: Turn,
    /// The wall time that was about to be shown.
    pub from: String,
    /// The wall time that was shown instead.
    pub to: String,
    /// What the trigger's `dst` makes of it.
    pub rule: &'static str,
}

impl Trigger {
    /// Says whether `at` is a fire time of a job that was registered at `anchor`, why or why not,
    /// and which fire times are nearest.
    pub fn explain(&self, anchor: Timestamp, at: Timestamp) -> Explanation {
        let before_it = Timestamp::from_micros(at.micros() - 1);
        let found = self.try_next_after(anchor, before_it);
        let fires = found == Ok(Some(at));
        let cause = match (&found, fires) {
            (Err(_), _) => Cause::GaveUp,
            (Ok(_), true) => self.reason(at),
            (Ok(_), false) => self.miss(anchor, at),
        };
        let members = match self {
            Self::Date(_) | Self::Interval(_) | Self::Cron(_) => &[],
            Self::Or(or) => or.members.as_slice(),
            Self::And(and) => and.members.as_slice(),
        };
        let (local, clock_change) = match self {
            Self::Cron(cron) => (Some(cron.shown_at(at)), cron.clock_change(at)),
            Self::Date(_) | Self::Interval(_) | Self::Or(_) | Self::And(_) => (None, None),
        };
        Explanation {
            at,
            kind: self.kind(),
            fires,
            why: cause.to_string(),
            cause,
            local,
            clock_change,
            before: self.prev_before(anchor, at),
            after: self.next_after(anchor, at),
            members: members.iter().map(|member| member.explain(anchor, at)).collect(),
        }
    }

    /// Why `at`, which is a fire time, is one.
    fn reason(&self, at: Timestamp) -> Cause {
        match self {
            Self::Cron(cron) => cron.gap_before(at).unwrap_or(Cause::Fires),
            Self::Date(_) | Self::Interval(_) | Self::Or(_) | Self::And(_) => Cause::Fires,
        }
    }

    /// Why `at`, which is no fire time, is none.
    fn miss(&self, anchor: Timestamp, at: Timestamp) -> Cause {
        match self {
            Self::Date(date) => Cause::OtherDate { run_date: date.run_date },
            Self::Interval(interval) => miss_interval(interval, anchor, at),
            Self::Cron(cron) => outside(cron.start, cron.end, at).unwrap_or_else(|| cron.miss(at)),
            Self::Or(_) if at < anchor => Cause::BeforeRegistration { registered: anchor },
            Self::Or(_) => Cause::NoMember,
            Self::And(_) if at < anchor => Cause::BeforeRegistration { registered: anchor },
            Self::And(and) => Cause::NoAgreement { threshold_micros: and.threshold },
        }
    }
}

fn miss_interval(interval: &Interval, anchor: Timestamp, at: Timestamp) -> Cause {
    let start = interval.start_date();
    if let Some(cause) = outside(start, interval.end, at) {
        return cause;
    }
    if start.is_none() && at < anchor {
        return Cause::BeforeRegistration { registered: anchor };
    }
    Cause::OffTheGrid {
        every_micros: interval.length,
        grid_start: interval.grid_start(anchor).unwrap_or(anchor),
    }
}

fn outside(start: Option<Timestamp>, end: Option<Timestamp>, at: Timestamp) -> Option<Cause> {
    let early = start.filter(|start| at < *start).map(|start| Cause::BeforeStart { start });
    early.or_else(|| end.filter(|end| *end < at).map(|end| Cause::AfterEnd { end }))
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fires => f.write_str("it is a fire time"),
            Self::AfterGap { from, to } => write!(
                f,
                "it is a fire time: the clock went from {from} to {to}, and what was left out \
                 fires right after that"
            ),
            Self::OtherDate { run_date } => write!(f, "the `run_date` is {run_date}"),
            Self::BeforeStart { start } => write!(f, "the trigger starts at {start}"),
            Self::AfterEnd { end } => write!(f, "the trigger ended at {end}"),
            Self::BeforeRegistration { registered } => {
                write!(f, "the job was registered at {registered}, after that")
            }
            Self::OffTheGrid { every_micros, grid_start } => write!(
                f,
                "it is not on the grid: every {} s from {grid_start}",
                seconds(*every_micros)
            ),
            Self::NotAWholeSecond => f.write_str("a cron fires on whole seconds alone"),
            Self::Field { field, expression, shown } => {
                write!(f, "`{field}` is {shown} then, and the trigger wants `{expression}`")
            }
            Self::SecondPass { first_pass } => write!(
                f,
                "the clock was turned back and shows this time for the second time; with \
                 `dst = \"once\"` it fired at {first_pass}"
            ),
            Self::NoMember => f.write_str("no member of the `or` fires then"),
            Self::NoAgreement { threshold_micros } => write!(
                f,
                "it is not the earliest of fires of all members of the `and` within {} s",
                seconds(*threshold_micros)
            ),
            Self::GaveUp => write!(
                f,
                "the members of the `and` did not agree on a fire time within {MAX_STEPS} steps"
            ),
        }
    }
}

/// Microseconds as seconds, exactly.
fn seconds(micros: i64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
