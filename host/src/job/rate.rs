//! How often runs of one job may begin: `10/m`.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::table::value::shown;
use crate::time::Timestamp;

/// Runs in one window at most.
pub const MAX_RATE: u32 = 1_000_000;

/// So many runs of a job begin in one window of the clock; further ones wait for the next (the text
/// is Celery 5.7 `rate_limit`, which spaces them evenly instead).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Runs in one window.
    pub runs: NonZeroU32,
    /// The length of the window.
    pub per: Per,
}

/// The length of a window of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Per {
    /// `s`
    #[serde(rename = "s")]
    Second,
    /// `m`
    #[serde(rename = "m")]
    Minute,
    /// `h`
    #[serde(rename = "h")]
    Hour,
}

impl Per {
    /// The letter for it.
    pub const fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
        }
    }

    /// How long it is.
    pub const fn length(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_secs(60),
            Self::Hour => Duration::from_secs(3_600),
        }
    }
}

impl RateLimit {
    /// When the window of the clock began that `now` lies in.
    pub fn window_of(self, now: Timestamp) -> Timestamp {
        let length = i64::try_from(self.per.length().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(now.micros().div_euclid(length) * length)
    }

    /// Reads `10/s`, `10/m` or `10/h`.
    ///
    /// # Errors
    ///
    /// A message when it is something else.
    pub fn read(value: &Value) -> Result<Self, String> {
        let wrong = || {
            format!(
                "must be runs in a second, minute or hour like `10/s`, `10/m` or `10/h`, at most \
                 {MAX_RATE}, not {}",
                shown(value)
            )
        };
        let (runs, per) = value.as_str().and_then(|text| text.split_once('/')).ok_or_else(wrong)?;
        let per = match per {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(wrong()),
        };
        let runs = runs.parse::<NonZeroU32>().ok().filter(|runs| runs.get() <= MAX_RATE);
        Ok(Self { runs: runs.ok_or_else(wrong)?, per })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.runs, self.per.letter())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_runs_and_a_letter() {
        for text in ["1/s", "10/m", "1000000/h"] {
            assert_eq!(RateLimit::read(&json!(text)).unwrap().to_string(), text);
        }
        for wrong in [json!("0/s"), json!("10"), json!("10/d"), json!(10), json!("1000001/h")] {
            assert!(RateLimit::read(&wrong).is_err(), "{wrong}");
        }
    }
}
