//! Many jobs that are due in one second.

use std::collections::BTreeMap;
use std::iter::successors;

use super::{DAY, Lint};
use crate::job::JobKey;
use crate::time::Timestamp;
use crate::trigger::Trigger;

/// So many jobs in one second are a crowd.
const CROWD: usize = 10;
/// Jobs that are named.
const NAMED: usize = 3;
/// Fire times looked at, of all jobs together.
const FIRES: usize = 500_000;
/// The smallest step between two instants.
const MICRO: std::time::Duration = std::time::Duration::from_micros(1);
/// Fire times of one job looked at, at least and at most.
const FIRES_OF_ONE: (usize, usize) = (24, 2_000);

/// Finds the most crowded second of the day from `now` on.
pub(super) fn lint(jobs: &[(&JobKey, &Trigger)], now: Timestamp) -> Option<Lint> {
    if jobs.len() < CROWD {
        return None;
    }
    let (least, most) = FIRES_OF_ONE;
    let each = (FIRES / jobs.len()).clamp(least, most);
    let end = now.after(DAY);
    let mut due: BTreeMap<i64, Vec<&JobKey>> = BTreeMap::new();
    for (job, trigger) in jobs {
        let first = match trigger.first(now) {
            // A past date; an `or` goes on after it.
            Some(past) if past < now => trigger.next_after(now, now.before(MICRO)),
            first => first,
        };
        let fires = successors(first, |last| trigger.next_after(now, *last));
        for fire in fires.take_while(|fire| *fire < end).take(each) {
            let there = due.entry(fire.micros().div_euclid(1_000_000)).or_default();
            if there.last() != Some(job) {
                there.push(job);
            }
        }
    }
    due.retain(|_, jobs| CROWD <= jobs.len());
    // Of several equal ones the first.
    let (second, crowd) = due.iter().rev().max_by_key(|(_, jobs)| jobs.len())?;
    let names: Vec<String> =
        crowd.iter().take(NAMED).map(|job| format!("`{}`", job.shown())).collect();
    let others = match due.len() - 1 {
        0 => String::new(),
        others => format!(", and {CROWD} or more in {others} other seconds of the next day"),
    };
    let message = format!(
        "{} jobs are due at {} ({} and {} more){others}; spread them over other minutes or \
         seconds, so that they do not wait for each other",
        crowd.len(),
        Timestamp::from_secs(*second),
        names.join(", "),
        crowd.len() - names.len(),
    );
    Some(Lint::of(crowd.first()?, "trigger", message))
}
