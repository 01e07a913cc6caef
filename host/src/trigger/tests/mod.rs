//! Proof: the vectors, the rules worked by hand, and properties over random triggers.

mod combined;
mod daylight;
mod every_zone;
mod explained;
mod forms;
mod jitter;
mod mistakes;
mod properties;
mod vectors;

use chrono_tz::Tz;
use serde_json::Value;

use super::Trigger;
use crate::problem::Problem;
use crate::time::Timestamp;

fn utc(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// Reads `value` with UTC as the default zone and `trigger` as its path.
fn parse(value: &Value) -> Result<Trigger, Vec<Problem>> {
    let mut problems = Vec::new();
    match Trigger::parse(value, "trigger", Tz::UTC, &mut problems) {
        Some(trigger) => {
            assert_eq!(problems, [], "{value}: a trigger and problems");
            Ok(trigger)
        }
        None => {
            assert!(!problems.is_empty(), "{value}: neither a trigger nor problems");
            Err(problems)
        }
    }
}

/// The first `limit` fires of a job registered at `now`.
fn fires(trigger: &Trigger, now: Timestamp, limit: usize) -> Vec<Timestamp> {
    std::iter::successors(trigger.first(now), |fire| trigger.next_after(now, *fire))
        .take(limit)
        .collect()
}

/// The same as text, for comparison.
fn shown(fires: &[Timestamp]) -> Vec<String> {
    fires.iter().map(ToString::to_string).collect()
}
