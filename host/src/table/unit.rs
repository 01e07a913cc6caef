//! Values with a unit: durations, sizes, fuel; read from text and written back to it.
//!
//! What is written reads back to the same value, and is one number with one unit: `90m`, `64KiB`,
//! `5G`. Bounds are the key's own and not known here, but for [`MAX_DURATION`].

use std::time::Duration;

use bytesize::ByteSize;
use serde_json::Value;

use super::value::shown;

/// The longest duration that can be written: 100 years of 365 days.
pub const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Nanoseconds in each unit of a duration, longest first.
const DURATION_UNITS: [(u128, &str); 7] = [
    (86_400_000_000_000, "d"),
    (3_600_000_000_000, "h"),
    (60_000_000_000, "m"),
    (1_000_000_000, "s"),
    (1_000_000, "ms"),
    (1_000, "us"),
    (1, "ns"),
];

/// Bytes in each unit of a size, largest first.
const SIZE_UNITS: [(u64, &str); 5] =
    [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];

/// Fuel in each of its units, largest first.
const FUEL_UNITS: [(u64, &str); 3] = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "K")];

/// Reads a duration: `250ms`, `30s`, `5m`, `2h`, `1d`, `1h 30m`. A number needs its unit.
///
/// # Errors
///
/// A message when it is something else or longer than [`MAX_DURATION`].
pub fn duration(value: &Value) -> Result<Duration, String> {
    let wrong = || {
        format!("must be a duration like `250ms`, `30s`, `5m`, `2h` or `1d`, not {}", shown(value))
    };
    let text = value.as_str().ok_or_else(wrong)?;
    // humantime takes `5M` for five months, and nobody who writes it means that; a bare `0` is
    // left to the units like every other number.
    if text.ends_with('M') || text == "0" {
        return Err(wrong());
    }
    let duration = humantime::parse_duration(text).map_err(|_| wrong())?;
    if duration > MAX_DURATION {
        return Err(format!("`{text}` is longer than {}", show_duration(MAX_DURATION)));
    }
    Ok(duration)
}

/// Reads a duration longer than zero.
///
/// # Errors
///
/// As [`duration`], and a message when it is zero.
pub fn positive_duration(value: &Value) -> Result<Duration, String> {
    match duration(value)? {
        Duration::ZERO => Err(format!("must be longer than zero, not {}", shown(value))),
        duration => Ok(duration),
    }
}

/// Reads a size in bytes: `64KiB`, `1MiB`, `4GiB`, or a whole number of bytes.
///
/// # Errors
///
/// A message when it is something else; units that could mean either of two sizes are refused.
pub fn size(value: &Value) -> Result<u64, String> {
    if let Some(bytes) = value.as_u64() {
        return Ok(bytes);
    }
    let wrong = || format!("must be a size like `64KiB`, `1MiB` or `4GiB`, not {}", shown(value));
    let text = value.as_str().ok_or_else(wrong)?;
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim_start();
    if !SIZE_UNITS.iter().any(|(_, name)| *name == unit) {
        return Err(wrong());
    }
    text.parse::<ByteSize>().map(|size| size.as_u64()).map_err(|_| wrong())
}

/// Reads an amount of fuel: `5G`, `200M`, `10K` (10^9, 10^6, 10^3), or a whole number of units.
///
/// # Errors
///
/// A message when it is something else or zero.
pub fn fuel(value: &Value) -> Result<u64, String> {
    let wrong = || {
        format!(
            "must be an amount of fuel above zero like `5G`, `200M` or `10K`, not {}",
            shown(value)
        )
    };
    let fuel = match value {
        Value::String(text) => FUEL_UNITS
            .iter()
            .find_map(|(factor, unit)| {
                text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*factor)
            })
            .or_else(|| text.parse().ok()),
        other => other.as_u64(),
    };
    fuel.filter(|fuel| *fuel > 0).ok_or_else(wrong)
}

/// Reads `none` (or JSON's `null`) as `None`, and all else with `read`.
pub fn or_none<T>(
    read: impl FnOnce(&Value) -> Result<T, String>,
) -> impl FnOnce(&Value) -> Result<Option<T>, String> {
    move |value| match value {
        Value::Null => Ok(None),
        Value::String(text) if text == "none" => Ok(None),
        other => read(other).map(Some).map_err(|message| format!("{message}; or `none`")),
    }
}

/// A duration as text: `90m`.
pub fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    for (factor, unit) in DURATION_UNITS {
        if nanos >= factor && nanos.is_multiple_of(factor) {
            return format!("{}{unit}", nanos / factor);
        }
    }
    "0s".to_owned()
}

/// A size as text: `64KiB`.
pub fn show_size(bytes: u64) -> String {
    for (factor, unit) in SIZE_UNITS {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    "0B".to_owned()
}

/// An amount of fuel as text: `5G`.
pub fn show_fuel(fuel: u64) -> String {
    for (factor, unit) in FUEL_UNITS {
        if fuel >= factor && fuel.is_multiple_of(factor) {
            return format!("{}{unit}", fuel / factor);
        }
    }
    fuel.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn durations_have_units_and_read_back_to_themselves() {
        for (text, millis, shown) in [
            ("250ms", 250, "250ms"),
            ("30s", 30_000, "30s"),
            ("5m", 300_000, "5m"),
            ("2h", 7_200_000, "2h"),
            ("1d", 86_400_000, "1d"),
            ("1h 30m", 5_400_000, "90m"),
            ("1.5s", 1_500, "1500ms"),
            ("0s", 0, "0s"),
        ] {
            let duration = duration(&json!(text)).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(show_duration(duration), shown, "{text}");
        }
        for wrong in [
            json!(30),
            json!("30"),
            json!("0"),
            json!("-5s"),
            json!("5M"),
            json!(""),
            json!("5 parsecs"),
            json!(true),
            json!("200y"),
            json!(null),
        ] {
            assert!(duration(&wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            duration(&json!("5min later")).unwrap_err(),
            "must be a duration like `250ms`, `30s`, `5m`, `2h` or `1d`, not `5min later`"
        );
        assert_eq!(
            positive_duration(&json!("0s")).unwrap_err(),
            "must be longer than zero, not `0s`"
        );
    }

    #[test]
    fn sizes_are_binary_and_read_back_to_themselves() {
        for (value, bytes, shown) in [
            (json!("64KiB"), 65_536, "64KiB"),
            (json!("1.5 MiB"), 1_572_864, "1536KiB"),
            (json!("4GiB"), 4 << 30, "4GiB"),
            (json!("100B"), 100, "100B"),
            (json!(1_000), 1_000, "1000B"),
            (json!(0), 0, "0B"),
        ] {
            assert_eq!(size(&value), Ok(bytes), "{value}");
            assert_eq!(show_size(bytes), shown, "{value}");
            assert_eq!(size(&json!(shown)), Ok(bytes), "{value}");
        }
        for wrong in [
            json!("64MB"),
            json!("64M"),
            json!("64"),
            json!("KiB"),
            json!("-1KiB"),
            json!(-1),
            json!(1.5),
            json!("64mib"),
            json!(true),
        ] {
            assert!(size(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fuel_is_decimal_and_reads_back_to_itself() {
        for (value, units, shown) in [
            (json!("5G"), 5_000_000_000, "5G"),
            (json!("1500M"), 1_500_000_000, "1500M"),
            (json!("10K"), 10_000, "10K"),
            (json!(1_234), 1_234, "1234"),
        ] {
            assert_eq!(fuel(&value), Ok(units), "{value}");
            assert_eq!(show_fuel(units), shown, "{value}");
            assert_eq!(fuel(&json!(shown)), Ok(units), "{value}");
        }
        for wrong in [
            json!(0),
            json!("0G"),
            json!("5g"),
            json!("1.5G"),
            json!("G"),
            json!(-1),
            json!("99999999999G"),
        ] {
            assert!(fuel(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn none_is_read_where_it_may_stand() {
        assert_eq!(or_none(fuel)(&json!("none")), Ok(None));
        assert_eq!(or_none(fuel)(&json!(null)), Ok(None));
        assert_eq!(or_none(fuel)(&json!("1K")), Ok(Some(1_000)));
        assert!(or_none(fuel)(&json!("nine")).unwrap_err().ends_with("; or `none`"));
    }
}
