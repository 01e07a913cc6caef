//! Whether every fire time that came due has exactly one verdict, or one run under way (rule
//! A8). Compares the trigger's own arithmetic with what the ledger holds; decides only.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::record::query::LedgerItem;
use crate::run::id::RunId;
use crate::time::Timestamp;
use crate::trigger::Trigger;

/// The smallest step between two instants.
const MICRO: Duration = Duration::from_micros(1);

/// What is wrong with a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This fire time has no verdict and no run.
    Missing(Timestamp),
    /// This instant has a verdict too many, or one although it is no fire time.
    Doubled(Timestamp),
    /// The range that begins here does not count the fire times in it.
    Miscounted(Timestamp),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(at) => write!(f, "the fire time {at} has no verdict and no run"),
            Self::Doubled(at) => {
                write!(f, "{at} has a verdict too many, or has one and is no fire time")
            }
            Self::Miscounted(at) => {
                write!(f, "the range that begins at {at} does not count the fire times in it")
            }
        }
    }
}

/// A run that has no verdict yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Which.
    pub run: RunId,
    /// What for.
    pub fire_time: Timestamp,
}

/// Looks at the fire times of `trigger` within `window`, all of which have come due. `ledger` and
/// `waiting` hold at least everything that touches the window, in any order.
pub fn audit(
    trigger: &Trigger,
    anchor: Timestamp,
    window: Range<Timestamp>,
    ledger: &[LedgerItem],
    waiting: &[Waiting],
) -> Option<Fault> {
    let decided = ledger.iter().map(|item| (item.first, item.last, Some(item)));
    // A run that got its verdict between two looks is in both.
    let undecided =
        waiting.iter().filter(|waiting| !ledger.iter().any(|item| item.run == Some(waiting.run)));
    let undecided = undecided.map(|waiting| (waiting.fire_time, waiting.fire_time, None));
    let mut spans: Vec<_> = decided
        .chain(undecided)
        .filter(|(first, last, _)| *first < window.end && window.start <= *last)
        .collect();
    spans.sort_by_key(|(first, last, _)| (*first, *last));

    let mut next = trigger.next_after(anchor, window.start.before(MICRO));
    for (first, last, item) in spans {
        let Some(expected) = next.filter(|next| *next < window.end) else {
            return Some(Fault::Doubled(first.max(window.start)));
        };
        let begins_here = first == expected || (first < window.start && first < expected);
        if !begins_here {
            return Some(if first < expected {
                Fault::Doubled(first)
            } else {
                Fault::Missing(expected)
            });
        }
        if let Some(item) = item
            && item.run.is_none()
            && trigger.count(anchor, first, last.after(MICRO)) != item.count
        {
            return Some(Fault::Miscounted(first));
        }
        next = trigger.next_after(anchor, last);
    }
    next.filter(|next| *next < window.end).map(Fault::Missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Verdict, reason};

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    /// Fires at each tenth second.
    fn every_10s() -> Trigger {
        let value = serde_json::json!({"type": "interval", "seconds": 10});
        let mut problems = Vec::new();
        Trigger::parse(&value, "", chrono_tz::Tz::UTC, &mut problems).unwrap()
    }

    fn ran(second: i64) -> LedgerItem {
        LedgerItem {
            verdict: Verdict::Ran,
            reason: reason::ON_TIME.into(),
            first: at(second),
            last: at(second),
            count: 1,
            into: None,
            run: Some(RunId::from_bits(second.unsigned_abs().into())),
        }
    }

    fn skipped(first: i64, last: i64, count: u64) -> LedgerItem {
        LedgerItem {
            verdict: Verdict::Skipped,
            reason: reason::MAX_INSTANCES.into(),
            last: at(last),
            count,
            run: None,
            ..ran(first)
        }
    }

    fn look(ledger: &[LedgerItem], waiting: &[i64]) -> Option<Fault> {
        let waiting: Vec<_> = waiting
            .iter()
            .map(|second| Waiting {
                run: RunId::from_bits(u128::try_from(*second).unwrap()),
                fire_time: at(*second),
            })
            .collect();
        audit(&every_10s(), at(-100), at(10)..at(60), ledger, &waiting)
    }

    #[test]
    fn a_ledger_with_one_verdict_each_is_sound() {
        assert_eq!(look(&[ran(10), skipped(20, 40, 3), ran(50)], &[]), None);
        assert_eq!(look(&[ran(50), ran(10), skipped(20, 40, 3)], &[]), None, "in any order");
        assert_eq!(look(&[ran(10), skipped(20, 40, 3)], &[50]), None, "a run that waits counts");
        assert_eq!(look(&[ran(10), skipped(20, 50, 4)], &[10]), None, "and is not counted twice");
        let wide = [skipped(-20, 20, 5), ran(30), ran(40), skipped(50, 90, 5)];
        assert_eq!(look(&wide, &[]), None, "what reaches out of the window is as good");
    }

    #[test]
    fn each_fault_that_is_fed_to_it_is_found() {
        for (ledger, fault) in [
            (vec![], Fault::Missing(at(10))),
            (vec![ran(10), skipped(20, 40, 3)], Fault::Missing(at(50))),
            (vec![ran(10), ran(30), ran(40), ran(50)], Fault::Missing(at(20))),
            (vec![ran(10), ran(10), skipped(20, 50, 4)], Fault::Doubled(at(10))),
            (vec![ran(10), ran(15), skipped(20, 50, 4)], Fault::Doubled(at(15))),
            (vec![ran(10), skipped(20, 40, 3), skipped(40, 50, 2)], Fault::Doubled(at(40))),
            (vec![ran(10), skipped(20, 40, 2), ran(50)], Fault::Miscounted(at(20))),
            (vec![skipped(-20, 20, 4), skipped(30, 50, 3)], Fault::Miscounted(at(-20))),
        ] {
            assert_eq!(look(&ledger, &[]), Some(fault), "{ledger:?}");
        }
    }
}
