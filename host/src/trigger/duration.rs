//! Lengths of time as a person writes them: `15s`, `1h 30m`.
//!
//! Only whole sums of the units that an interval has; a month is no length of time.

use crate::problem::nearest;

/// Microseconds of each unit, by its names.
const UNITS: [(&[&str], f64); 6] = [
    (&["ms", "millisecond", "milliseconds"], 1e3),
    (&["s", "sec", "secs", "second", "seconds"], 1e6),
    (&["m", "min", "mins", "minute", "minutes"], 60e6),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600e6),
    (&["d", "day", "days"], 86_400e6),
    (&["w", "week", "weeks"], 604_800e6),
];

/// Parses numbers, each with a unit, blanks allowed between them; fractions allowed. The answer
/// is in microseconds and not yet bounded.
///
/// # Errors
///
/// A message that says what a length of time looks like.
pub(super) fn parse_micros(text: &str) -> Result<f64, String> {
    let bad = || {
        if let Some(one) = UNITS.iter().find(|(names, _)| names.contains(&text.trim())) {
            return format!("`{text}` needs a number; did you mean `1{}`?", one.0[0]);
        }
        format!(
            "`{text}` is not a length of time; write it like `15s`, `1h 30m` or `0.5s`, with the \
             units ms, s, m, h, d, w"
        )
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let Some(number_end) = number_end else {
            return Err(format!("`{rest}` needs a unit; did you mean `{rest}s` or `{rest}m`?"));
        };
        let (number, after) = rest.split_at(number_end);
        let number: f64 = match number.starts_with('.') || number.ends_with('.') {
            true => return Err(bad()),
            false => number.parse().map_err(|_| bad())?,
        };
        let after = after.trim_start();
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let found = UNITS.iter().find(|(names, _)| names.contains(&unit));
        let (_, micros) = found.ok_or_else(|| wrong_unit(unit).unwrap_or_else(bad))?;
        total += number * micros;
        rest = after.trim_start();
    }
    Ok(total)
}

/// What is said of a unit that there is not, if anything better than that can be said.
fn wrong_unit(unit: &str) -> Option<String> {
    if ["month", "months", "year", "years"].contains(&unit) {
        let instead = "a cron such as `cron 0 0 1 * *` fires once a month";
        return Some(format!("`{unit}` has no fixed length; {instead}"));
    }
    let names: Vec<&str> = UNITS.iter().flat_map(|(names, _)| *names).copied().collect();
    let near = nearest(unit, &names)?;
    Some(format!("`{unit}` is not a unit; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_sums_of_numbers_with_units() {
        for (text, micros) in [
            ("15s", 15e6),
            ("1h30m", 5_400e6),
            ("1h 30m", 5_400e6),
            ("90 minutes", 5_400e6),
            ("0.5s", 5e5),
            ("100ms", 1e5),
            ("2 weeks 1 day", 15.0 * 86_400e6),
        ] {
            assert_eq!(parse_micros(text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["", " ", "15", "s", "15 x", "-5s", "1.2.3s", ".5s", "5.s", "1M", "15s,", "1e3s", "٣s"]
        {
            assert!(parse_micros(text).is_err(), "{text}");
        }
    }
}
