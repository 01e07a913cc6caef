//! How long an interval is: the sum of its units.

use serde_json::{Number, Value};

use super::super::interval::{LONGEST, SHORTEST};
use super::super::keys::{Keys, describe};

/// The units of an interval, in seconds.
const UNITS: [(&str, u32); 5] =
    [("weeks", 604_800), ("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1)];

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// The sum of the units, in microseconds.
pub(super) fn length(keys: &mut Keys<'_>) -> Option<i64> {
    let mut parts = Vec::new();
    let mut all_are_numbers = true;
    for (name, seconds) in UNITS {
        match keys.get(name) {
            None => (),
            Some(Value::Number(number)) => parts.push(part(number, seconds)),
            Some(other) => {
                all_are_numbers = false;
                keys.refuse(name, not_a_number(other));
            }
        }
    }
    if !all_are_numbers {
        return None;
    }
    if parts.is_empty() {
        keys.refuse("", "an interval needs `weeks`, `days`, `hours`, `minutes` or `seconds`");
        return None;
    }
    // Whole seconds and fractions are summed apart, as Python does it, so that 0.1 s stays
    // 100,000 microseconds beside any number of days.
    let whole: f64 = parts.iter().map(|(whole, _)| whole).sum();
    let fraction: f64 = parts.iter().map(|(_, fraction)| fraction).sum();
    bounded(whole * 1e6 + (fraction * 1e6).round_ties_even())
        .map_err(|message| keys.refuse("", message))
        .ok()
}

/// `micros` rounded, when it is a length that an interval may have.
///
/// # Errors
///
/// A message that names the nearest such length.
pub(super) fn bounded(micros: f64) -> Result<i64, String> {
    let micros = micros.round_ties_even();
    if micros >= SHORTEST as f64 && micros <= LONGEST as f64 {
        // Within the bounds the conversion is exact: they are far below the largest number.
        return Ok(micros as i64);
    }
    let seconds = micros / 1e6;
    Err(if micros <= 0.0 {
        format!("the interval must be longer than zero, not {seconds} s; the shortest is 100 ms")
    } else if micros < SHORTEST as f64 {
        format!("the interval of {seconds} s is too short; the shortest is 100 ms")
    } else {
        format!("the interval is too long; the longest is {} days", LONGEST / SECOND / 86_400)
    })
}

/// What is said of a value that should be a number.
pub(in crate::trigger) fn not_a_number(value: &Value) -> String {
    let mut message = format!("must be a number, not {}", describe(value));
    let number = value.as_str().and_then(|text| text.trim().parse::<f64>().ok());
    if let Some(number) = number.filter(|number| number.is_finite()) {
        message.push_str(&format!("; write {number} without quotes"));
    }
    message
}

/// Whole seconds of `number` units, and the fraction of a second that is left.
fn part(number: &Number, seconds_each: u32) -> (f64, f64) {
    let seconds = number.as_f64().unwrap_or(f64::INFINITY) * f64::from(seconds_each);
    if seconds.is_finite() { (seconds.trunc(), seconds.fract()) } else { (seconds, 0.0) }
}
