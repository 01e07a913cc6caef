//! Instants and spans of time as they stand in bodies.

use std::time::Duration;

use serde_json::Value;

use crate::table::unit::{self, MAX_DURATION};
use crate::table::value::{shown, text};
use crate::time::Timestamp;

/// Characters of a text that says why, at most.
const MAX_WHY: usize = 1_000;

/// Reads a time.
pub fn time(value: &Value) -> Result<Timestamp, String> {
    Timestamp::parse(text(value)?)
}

/// Reads a duration: text with its unit, or a number of seconds.
pub fn span(value: &Value) -> Result<Duration, String> {
    let Some(seconds) = value.as_f64() else { return unit::duration(value) };
    Duration::try_from_secs_f64(seconds).ok().filter(|span| *span <= MAX_DURATION).ok_or_else(
        || format!("must be a number of seconds from 0 on, or a duration like `5m`, not {value}"),
    )
}

/// Reads an instant: a time, or a duration from `now` on.
pub fn instant(value: &Value, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = time(value) {
        return Ok(time);
    }
    span(value).map(|span| now.after(span)).map_err(|_| {
        format!(
            "must be a time like `2026-12-01T09:00:00Z` or a duration from now like `30s`, not {}",
            shown(value)
        )
    })
}

/// Reads what somebody says about why.
pub fn why(value: &Value) -> Result<String, String> {
    match value.as_str() {
        Some(why) if why.chars().count() <= MAX_WHY => Ok(why.to_owned()),
        Some(_) => Err(format!("must be {MAX_WHY} characters at most")),
        None => Err(format!("must be text, not {}", shown(value))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_instant_is_a_time_or_so_long_from_now() {
        let now = Timestamp::from_secs(1_000);
        for (value, expected) in [
            (json!("1970-01-01T00:00:05Z"), Some(5)),
            (json!("1970-01-01T01:00:05+01:00"), Some(5)),
            (json!("2m"), Some(1_120)),
            (json!(2), Some(1_002)),
            (json!(0), Some(1_000)),
            (json!(-1), None),
            (json!(1e300), None),
            (json!("2"), None),
            (json!("soon"), None),
            (json!([]), None),
        ] {
            let read = instant(&value, now);
            assert_eq!(read.ok(), expected.map(Timestamp::from_secs), "{value}");
        }
        assert_eq!(span(&json!(0.25)), Ok(Duration::from_millis(250)));
    }
}
