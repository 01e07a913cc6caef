//! Texts that mean something: durations, sizes, crontabs, dates, names.
//!
//! Each check gives the text back when it is right, so that the job's JSON reads as the author
//! wrote it, or says what would be. The host checks all of it again.

/// The shortest interval that a trigger may have, in ms.
const MIN_INTERVAL_MS: u64 = 100;

/// The longest name of a handler, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Crontab texts of one word.
const CRON_WORDS: &[&str] = &["@hourly", "@daily", "@weekly", "@monthly", "@yearly"];

const DURATION_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: &[(&str, u64)] = &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
const FUEL_UNITS: &[(&str, u64)] = &[("K", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];

/// A handler's name.
pub fn name(text: &str) -> Result<String, String> {
    let starts = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    let goes_on = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if starts && goes_on && text.len() <= MAX_NAME_BYTES {
        return Ok(text.into());
    }
    Err(format!(
        "`{text}` cannot be a handler's name: start with an ASCII letter or digit, go on with \
         those, `.`, `_`, `-`, at most {MAX_NAME_BYTES} in all"
    ))
}

/// A duration that is not zero.
pub fn duration(text: &str) -> Result<String, String> {
    match millis(text)? {
        0 => Err(format!("`{text}` is too short: more than zero")),
        _ => Ok(text.into()),
    }
}

/// A duration that a trigger can repeat at.
pub fn interval(text: &str) -> Result<String, String> {
    if millis(text)? < MIN_INTERVAL_MS {
        return Err(format!("`{text}` is too short: at least `{MIN_INTERVAL_MS}ms`"));
    }
    Ok(text.into())
}

/// A duration, zero included, or `none`.
pub fn grace(text: &str) -> Result<String, String> {
    if text != "none" {
        millis(text).map_err(|reason| format!("{reason}, or `none`"))?;
    }
    Ok(text.into())
}

/// A duration in ms.
pub fn millis(text: &str) -> Result<u64, String> {
    amount(text, DURATION_UNITS)
        .map_err(|refused| refused.explain(text, "duration", DURATION_UNITS))
}

/// A size of memory.
pub fn size(text: &str) -> Result<String, String> {
    match amount(text, SIZE_UNITS) {
        Ok(0) => Err(format!("`{text}` is too small: more than zero")),
        Ok(_) => Ok(text.into()),
        Err(refused) => Err(refused.explain(text, "size", SIZE_UNITS)),
    }
}

/// An amount of fuel with a unit.
pub fn fuel(text: &str) -> Result<String, String> {
    match amount(text, FUEL_UNITS) {
        Ok(0) => Err(format!("`{text}` is too small: more than zero")),
        Ok(_) => Ok(text.into()),
        Err(refused) => Err(refused.explain(text, "amount of fuel", FUEL_UNITS)),
    }
}

/// A time zone. Whether there is one of that name, the host knows.
pub fn timezone(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_+-".contains(&b);
    if text.starts_with(|first: char| first.is_ascii_uppercase()) && text.bytes().all(allowed) {
        return Ok(text.into());
    }
    Err(format!("`{text}` is not a time zone: write an IANA name, as `UTC` or `America/New_York`"))
}

/// Crontab text: minute, hour, day, month, weekday; with six fields seconds come first; with seven
/// the year comes last.
pub fn cron(text: &str) -> Result<String, String> {
    if let Some(word) = text.strip_prefix('@') {
        let known = CRON_WORDS.join("`, `");
        let is_known = CRON_WORDS.iter().any(|known| known[1..] == *word);
        return if is_known {
            Ok(text.into())
        } else {
            Err(format!("`{text}` is none of `{known}`"))
        };
    }
    let fields: Vec<_> = text.split_whitespace().collect();
    let names = match fields.len() {
        5 => &CRON_FIELDS[1..6],
        6 => &CRON_FIELDS[..6],
        7 => CRON_FIELDS,
        count => {
            return Err(format!(
                "`{text}` has {count} fields: write 5 (minute hour day month weekday), 6 (seconds \
                 first) or 7 (year last)"
            ));
        }
    };
    for (field, (name, min, max)) in fields.into_iter().zip(names) {
        cron_field(field, *min, *max).map_err(|reason| format!("{name} `{field}`: {reason}"))?;
    }
    Ok(text.into())
}

const CRON_FIELDS: &[(&str, u32, u32)] = &[
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day", 1, 31),
    ("month", 1, 12),
    ("weekday", 0, 7),
    ("year", 1970, 9999),
];

/// Checks numbers and steps; names of months and weekdays are left to the host.
fn cron_field(field: &str, min: u32, max: u32) -> Result<(), String> {
    for item in field.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(a, b)| (a, Some(b)));
        if step.is_some_and(|step| step.parse::<u32>().map_or(true, |step| step == 0)) {
            return Err("a step is a number, at least 1".into());
        }
        for end in range.split('-') {
            let is_number = !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit());
            let fits = end.parse::<u32>().is_ok_and(|number| (min..=max).contains(&number));
            if end.is_empty() || (is_number && !fits) {
                return Err(format!("write numbers from {min} to {max}"));
            }
        }
    }
    Ok(())
}

/// A date, with a time of day or without, with an offset or without.
pub fn datetime(text: &str) -> Result<String, String> {
    is_datetime(text).then(|| text.into()).ok_or_else(|| {
        format!(
            "`{text}` is not a date: write `YYYY-MM-DD`, `YYYY-MM-DD HH:MM:SS` or, with an offset, \
             `YYYY-MM-DDTHH:MM:SSZ`"
        )
    })
}

fn is_datetime(text: &str) -> bool {
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    is_date(date).unwrap_or(false) && time.is_none_or(|time| is_time(time).unwrap_or(false))
}

fn is_date(text: &str) -> Option<bool> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4, 4)?;
    let (month, day) = (number(parts.next()?, 1, 2)?, number(parts.next()?, 1, 2)?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    Some(parts.next().is_none() && (1..=12).contains(&month) && (1..=days).contains(&day))
}

fn is_time(text: &str) -> Option<bool> {
    let (clock, offset_is_right) = match text.find(['Z', '+', '-']) {
        Some(at) if &text[at..] == "Z" => (&text[..at], true),
        Some(at) => {
            let (hours, minutes) = text[at + 1..].split_once(':')?;
            (&text[..at], number(hours, 2, 2)? < 24 && number(minutes, 2, 2)? < 60)
        }
        None => (text, true),
    };
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, number(fraction, 1, 6).is_some()),
        None => (clock, true),
    };
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next()?, 1, 2)?, number(parts.next()?, 1, 2)?);
    let second = number(parts.next()?, 1, 2)?;
    let in_day = hour < 24 && minute < 60 && second < 60;
    Some(parts.next().is_none() && in_day && offset_is_right && fraction)
}

/// A number of `min` to `max` digits and nothing else.
fn number(text: &str, min: usize, max: usize) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    (digits && (min..=max).contains(&text.len())).then(|| text.parse().ok())?
}

/// Why an amount was refused.
enum Refused {
    Malformed,
    TooLarge,
}

impl Refused {
    fn explain(self, text: &str, what: &str, units: &[(&str, u64)]) -> String {
        let units = units.iter().map(|(unit, _)| *unit).collect::<Vec<_>>().join("`, `");
        match self {
            Self::TooLarge => format!("`{text}` is too large"),
            Self::Malformed if what.starts_with('a') => {
                format!("`{text}` is not an {what}: write a number and one of `{units}`")
            }
            Self::Malformed => {
                format!("`{text}` is not a {what}: write a number and one of `{units}`")
            }
        }
    }
}

/// A whole number and a unit, without a blank between them, as a multiple of the smallest unit.
fn amount(text: &str, units: &[(&str, u64)]) -> Result<u64, Refused> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(known, _)| *known == unit).map(|(_, factor)| *factor);
    let factor = factor.filter(|_| digits > 0).ok_or(Refused::Malformed)?;
    let number = number.parse::<u64>().map_err(|_| Refused::TooLarge)?;
    number.checked_mul(factor).ok_or(Refused::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, expected) in [
            ("250ms", Some(250)),
            ("15s", Some(15_000)),
            ("2h", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("0s", Some(0)),
            ("", None),
            ("s", None),
            ("15", None),
            ("1.5s", None),
            ("-1s", None),
            ("1h30m", None),
            ("15 s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(millis(text).ok(), expected, "{text}");
        }
        assert_eq!(duration("0s"), Err("`0s` is too short: more than zero".into()));
        assert_eq!(interval("99ms"), Err("`99ms` is too short: at least `100ms`".into()));
        assert_eq!(interval("100ms"), Ok("100ms".into()));
        assert_eq!(grace("0s"), Ok("0s".into()));
        assert_eq!(grace("none"), Ok("none".into()));
        assert!(grace("never").unwrap_err().ends_with("`d`, or `none`"));
    }

    #[test]
    fn sizes_and_fuel_have_their_units() {
        assert_eq!(size("64MiB"), Ok("64MiB".into()));
        assert_eq!(fuel("5G"), Ok("5G".into()));
        assert_eq!(
            size("64MB"),
            Err("`64MB` is not a size: write a number and one of `KiB`, `MiB`, `GiB`".into())
        );
        assert_eq!(
            fuel("5g"),
            Err("`5g` is not an amount of fuel: write a number and one of `K`, `M`, `G`".into())
        );
        assert_eq!(size("0KiB"), Err("`0KiB` is too small: more than zero".into()));
        assert_eq!(size("99999999999GiB"), Err("`99999999999GiB` is too large".into()));
    }

    #[test]
    fn a_crontab_has_five_to_seven_fields_within_their_ranges() {
        for text in [
            "30 2 * * *",
            "*/15 0-23/2 1,15 JAN-MAR mon-fri",
            "0 30 2 * * 7",
            "0 30 2 * * * 2026-2030",
            "@daily",
        ] {
            assert_eq!(cron(text), Ok(text.into()));
        }
        for (text, reason) in [
            (
                "30 2 * *",
                "`30 2 * *` has 4 fields: write 5 (minute hour day month weekday), 6 (seconds \
                 first) or 7 (year last)",
            ),
            ("60 2 * * *", "minute `60`: write numbers from 0 to 59"),
            ("0 2 0 * *", "day `0`: write numbers from 1 to 31"),
            ("0 2 * * 1-8", "weekday `1-8`: write numbers from 0 to 7"),
            ("0 2 * 13 *", "month `13`: write numbers from 1 to 12"),
            ("*/0 2 * * *", "minute `*/0`: a step is a number, at least 1"),
            ("1, 2 * * *", "minute `1,`: write numbers from 0 to 59"),
            ("@noon", "`@noon` is none of `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`"),
        ] {
            assert_eq!(cron(text), Err(reason.into()), "{text}");
        }
    }

    #[test]
    fn a_date_exists_in_the_calendar() {
        for (text, right) in [
            ("2026-12-01", true),
            ("2026-1-2", true),
            ("2026-12-01 09:00:00", true),
            ("2026-12-01T9:0:0.25", true),
            ("2026-12-01T09:00:00Z", true),
            ("2026-12-01 09:00:00+05:30", true),
            ("2026-12-01 09:00:00-08:00", true),
            ("2024-02-29", true),
            ("2026-02-29", false),
            ("2026-13-01", false),
            ("2026-04-31", false),
            ("26-04-01", false),
            ("20261201", false),
            ("2026-12-01Z", false),
            ("2026-12-01 09:00", false),
            ("2026-12-01 24:00:00", false),
            ("2026-12-01 09:00:00+0800", false),
            ("2026-12-01 09:00:00.1234567", false),
            ("tomorrow", false),
            ("", false),
        ] {
            assert_eq!(datetime(text).is_ok(), right, "{text}");
        }
    }

    #[test]
    fn a_zone_is_an_iana_name_with_its_case() {
        for (text, right) in [
            ("UTC", true),
            ("Europe/Berlin", true),
            ("Etc/GMT+5", true),
            ("utc", false),
            ("+08:00", false),
            ("Europe/Berlin ", false),
            ("", false),
        ] {
            assert_eq!(timezone(text).is_ok(), right, "{text}");
        }
    }

    #[test]
    fn a_name_has_letters_digits_and_few_signs() {
        for (text, right) in [
            ("run", true),
            ("2nd.run_of-day", true),
            ("_run", false),
            ("a b", false),
            ("größe", false),
            ("", false),
        ] {
            assert_eq!(name(text).is_ok(), right, "{text}");
        }
        assert!(name(&"a".repeat(128)).is_ok());
        assert!(name(&"a".repeat(129)).is_err());
    }
}
