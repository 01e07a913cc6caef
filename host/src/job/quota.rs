//! How much a tenant may have, and its share where hosts are full.
//!
//! A quota is a number for each [`QuotaKey`] that is limited. What is counted against it is the
//! store's; what each number does when it is reached is said at its key.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::table::unit;
use crate::table::value::{shown, whole};

/// The largest number that a quota may have: exact in a double.
pub const MAX_QUOTA: u64 = 1 << 53;
/// `weight` at most.
pub const MAX_WEIGHT: u32 = 1_000;

/// What can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKey {
    /// Runs at once in the fleet: further ones wait.
    MaxRunning,
    /// Bytes, the memory limits of the runs at once: further ones wait.
    Memory,
    /// Runs that wait: whoever asks for another is refused. Fires of the schedule are not.
    Queued,
    /// Runs begun in one minute of the clock: the verdict of further ones is `quota`.
    RunsPerMinute,
    /// Milliseconds on a processor in one hour of the clock: likewise.
    CpuPerHour,
    /// Units of fuel in one hour of the clock: likewise; each job is metered.
    FuelPerHour,
    /// HTTP requests in one hour of the clock: likewise.
    HttpPerHour,
    /// Bytes of HTTP bodies, in and out, in one hour of the clock: likewise.
    HttpBytesPerHour,
    /// Jobs: another one is refused.
    Jobs,
    /// Plugins: another one is refused.
    Plugins,
    /// Bytes of all kept versions of plugins: another one is refused.
    PluginBytes,
    /// Bytes of keys and values: what would be more is refused.
    Storage,
}

/// What a number of a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// Things.
    #[serde(rename = "count")]
    Count,
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// Units of fuel.
    #[serde(rename = "fuel")]
    Fuel,
}

impl QuotaKey {
    /// All there are.
    pub const ALL: [Self; 12] = [
        Self::MaxRunning,
        Self::Memory,
        Self::Queued,
        Self::RunsPerMinute,
        Self::CpuPerHour,
        Self::FuelPerHour,
        Self::HttpPerHour,
        Self::HttpBytesPerHour,
        Self::Jobs,
        Self::Plugins,
        Self::PluginBytes,
        Self::Storage,
    ];
    /// Their names, in the same order.
    pub const NAMES: [&str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = Self::ALL[index].as_str();
            index += 1;
        }
        names
    };

    /// The key in files, REST, the store and reasons of verdicts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MaxRunning => "max_running",
            Self::Memory => "memory",
            Self::Queued => "queued",
            Self::RunsPerMinute => "runs_per_minute",
            Self::CpuPerHour => "cpu_per_hour",
            Self::FuelPerHour => "fuel_per_hour",
            Self::HttpPerHour => "http_per_hour",
            Self::HttpBytesPerHour => "http_bytes_per_hour",
            Self::Jobs => "jobs",
            Self::Plugins => "plugins",
            Self::PluginBytes => "plugin_bytes",
            Self::Storage => "storage",
        }
    }

    /// What its number counts.
    pub const fn measure(self) -> Measure {
        match self {
            Self::Memory | Self::HttpBytesPerHour | Self::PluginBytes | Self::Storage => {
                Measure::Bytes
            }
            Self::CpuPerHour => Measure::Millis,
            Self::FuelPerHour => Measure::Fuel,
            Self::MaxRunning
            | Self::Queued
            | Self::RunsPerMinute
            | Self::HttpPerHour
            | Self::Jobs
            | Self::Plugins => Measure::Count,
        }
    }

    /// The length of its window of the clock; `None`: it counts what there is.
    pub const fn window(self) -> Option<Duration> {
        match self {
            Self::RunsPerMinute => Some(Duration::from_secs(60)),
            Self::CpuPerHour | Self::FuelPerHour | Self::HttpPerHour | Self::HttpBytesPerHour => {
                Some(Duration::from_secs(3_600))
            }
            Self::MaxRunning
            | Self::Memory
            | Self::Queued
            | Self::Jobs
            | Self::Plugins
            | Self::PluginBytes
            | Self::Storage => None,
        }
    }

    /// Reads its number as it is written in files.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what would be right.
    pub fn read(self, value: &Value) -> Result<u64, String> {
        let number = match self.measure() {
            Measure::Count => whole(0..=MAX_QUOTA)(value)?,
            Measure::Bytes => unit::size(value)?,
            Measure::Fuel => unit::fuel(value)?,
            Measure::Millis => {
                let duration = unit::positive_duration(value)?;
                if !duration.as_nanos().is_multiple_of(1_000_000) {
                    return Err(format!("must be whole milliseconds, not {}", shown(value)));
                }
                u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
            }
        };
        if MAX_QUOTA < number {
            return Err(format!("is more than {}", self.show(MAX_QUOTA)));
        }
        Ok(number)
    }

    /// A number of it as it is written in files, for people.
    pub fn show(self, number: u64) -> String {
        match self.measure() {
            Measure::Count => number.to_string(),
            Measure::Bytes => unit::show_size(number),
            Measure::Fuel => unit::show_fuel(number),
            Measure::Millis => unit::show_duration(Duration::from_millis(number)),
        }
    }

    /// The same as a value of JSON: counts are numbers.
    pub fn written(self, number: u64) -> Value {
        match self.measure() {
            Measure::Count => Value::from(number),
            Measure::Bytes | Measure::Fuel | Measure::Millis => Value::from(self.show(number)),
        }
    }
}

impl fmt::Display for QuotaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for QuotaKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|key| key.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is no quota"))
    }
}

/// What is limited of a tenant, and to how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quota([Option<u64>; QuotaKey::ALL.len()]);

impl Quota {
    /// The limit of `key`; `None`: there is none.
    pub fn get(&self, key: QuotaKey) -> Option<u64> {
        self.0.get(key as usize).copied().flatten()
    }

    /// The same quota with another limit.
    #[must_use]
    pub fn with(mut self, key: QuotaKey, limit: u64) -> Self {
        if let Some(place) = self.0.get_mut(key as usize) {
            *place = Some(limit);
        }
        self
    }

    /// All that is limited, in the order of [`QuotaKey::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (QuotaKey, u64)> + '_ {
        QuotaKey::ALL.into_iter().filter_map(|key| Some((key, self.get(key)?)))
    }

    /// Whether anything is limited that is counted by windows of the clock.
    pub fn has_windows(&self) -> bool {
        self.iter().any(|(key, _)| key.window().is_some())
    }
}

/// What a tenant has of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allotment {
    /// How much it may have.
    pub quota: Quota,
    /// Its share where slots are short, against those of the others: 1 to [`MAX_WEIGHT`].
    pub weight: u32,
}

impl Default for Allotment {
    fn default() -> Self {
        Self { quota: Quota::default(), weight: 1 }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_in_their_unit_and_shown_as_they_are_written() {
        for (key, value, number, shown) in [
            (QuotaKey::MaxRunning, json!(8), 8, "8"),
            (QuotaKey::Memory, json!("512MiB"), 512 << 20, "512MiB"),
            (QuotaKey::CpuPerHour, json!("1h"), 3_600_000, "1h"),
            (QuotaKey::FuelPerHour, json!("5G"), 5_000_000_000, "5G"),
            (QuotaKey::Storage, json!(0), 0, "0B"),
        ] {
            assert_eq!(key.read(&value), Ok(number), "{key}");
            assert_eq!(key.show(number), shown, "{key}");
            assert_eq!(key.read(&key.written(number)), Ok(number), "{key}");
        }
        for (key, wrong) in [
            (QuotaKey::MaxRunning, json!("8")),
            (QuotaKey::MaxRunning, json!(-1)),
            (QuotaKey::CpuPerHour, json!("1ns")),
            (QuotaKey::CpuPerHour, json!("0s")),
            (QuotaKey::Memory, json!("9999999TiB")),
        ] {
            assert!(key.read(&wrong).is_err(), "{key} {wrong}");
        }
    }

    #[test]
    fn a_quota_has_what_was_put_and_nothing_else() {
        let quota = Quota::default().with(QuotaKey::Jobs, 3);
        assert_eq!(quota.iter().collect::<Vec<_>>(), [(QuotaKey::Jobs, 3)]);
        assert!(!quota.has_windows());
        assert!(quota.with(QuotaKey::HttpPerHour, 1).has_windows());
        for (place, key) in QuotaKey::ALL.into_iter().enumerate() {
            assert_eq!(key as usize, place);
            assert_eq!(key.as_str().parse(), Ok(key));
        }
    }
}
