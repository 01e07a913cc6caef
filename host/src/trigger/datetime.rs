//! Points in time as a person writes them: `2026-12-01 09:00:00`.
//!
//! One strict grammar for `run_date`, `start_date` and `end_date`. Does not read RFC 3339 from
//! other programs (that is [`Timestamp::parse`]) and guesses at nothing.

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::zone;
use crate::time::Timestamp;

/// Parses `YYYY-M-D`, then perhaps a blank or `T` and `H:M:S`, then perhaps `.` with one to six
/// digits (a decimal fraction), then perhaps `Z` or `±HH:MM`.
///
/// Without an offset it is the wall time of `zone`; a time that comes twice means the first pass,
/// one in a gap is shifted forward by the gap. A date alone is midnight. What lies beyond the year
/// 9999 in UTC is held at its end. Rule source: APScheduler 3.11, times.
///
/// # Errors
///
/// A message that says what a point in time looks like, or which part of it does not exist.
pub fn parse_datetime(text: &str, zone: Tz) -> Result<Timestamp, String> {
    let written = Written::parse(text).ok_or_else(|| {
        let example = "write it like `2026-12-01 09:00:00`, `2026-12-01` or \
                       `2026-12-01T09:00:00+01:00`";
        format!("`{text}` is not a point in time; {}", near_or(text, example))
    })?;
    let label = written.label().ok_or_else(|| {
        let check = "check the day, the time and the offset";
        format!("`{text}` does not exist; {}", near_or(text, check))
    })?;
    let secs = match written.offset {
        Some(offset) => label - offset.seconds(),
        None => zone::resolve(zone, label),
    };
    Ok(Timestamp::from_micros(secs * 1_000_000 + i64::from(written.micros)))
}

/// A question for what was most likely meant by `text`, else `otherwise`.
fn near_or(text: &str, otherwise: &str) -> String {
    let near = nearest_datetime(text).map(|near| format!("did you mean `{near}`?"));
    near.unwrap_or_else(|| otherwise.to_owned())
}

/// The point in time that `text` was most likely meant to be, rightly written.
fn nearest_datetime(text: &str) -> Option<String> {
    let text = text.trim().replace('t', "T").replace('z', "Z");
    let date_end = text.find([' ', 'T', 'Z', '+']).unwrap_or(text.len());
    let (date, rest) = text.split_at(date_end);
    let mut date = date.replace(['/', '.'], "-");
    if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) {
        date = format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]);
    }
    let rest = rest.trim_start_matches([' ', 'T']).trim();
    let clock_end = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, offset) = rest.split_at(clock_end);
    let (clock, fraction) = clock.trim().split_once('.').unwrap_or((clock.trim(), ""));
    let mut parts: Vec<&str> = clock.split(':').filter(|part| !part.is_empty()).collect();
    let date_alone = parts.is_empty() && offset.is_empty();
    parts.resize(3.max(parts.len()), "00");
    let fraction: String = fraction.chars().take(6).collect();
    let dot = if fraction.is_empty() { "" } else { "." };
    let offset = nearest_offset(offset)?;
    let tail = format!("{dot}{fraction}{offset}");
    let mut written = Written::parse(&format!("{date} {}{tail}", parts.join(":")))?;
    if (written.hour, written.minute, written.second) == (24, 0, 0) {
        (written.hour, written.day) = (0, written.day + 1);
        if written.label().is_none() {
            (written.day, written.month) = (1, written.month + 1);
        }
    }
    while written.label().is_none() && 28 < written.day {
        written.day -= 1;
    }
    written.label()?;
    let Written { year, month, day, hour, minute, second, .. } = written;
    let date = format!("{year:04}-{month:02}-{day:02}");
    Some(match date_alone {
        true => date,
        false => format!("{date} {hour:02}:{minute:02}:{second:02}{tail}"),
    })
}

/// An offset with its colon; `None` when it is nothing like one.
fn nearest_offset(offset: &str) -> Option<String> {
    if offset.is_empty() || offset == "Z" {
        return Some(offset.to_owned());
    }
    let (sign, digits) = offset.split_at(1);
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    let digits = match digits.len() {
        1 => format!("0{digits}00"),
        2 => format!("{digits}00"),
        4 => digits,
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    Some(format!("{sign}{hours}:{minutes}"))
}

/// The parts as written, of the right form, but perhaps not on any clock or calendar.
struct Written {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    micros: u32,
    offset: Option<WrittenOffset>,
}

/// Hours and minutes from UTC, as written.
#[derive(Clone, Copy)]
struct WrittenOffset {
    sign: i64,
    hours: u32,
    minutes: u32,
}

impl Written {
    fn parse(text: &str) -> Option<Self> {
        let mut rest = Rest(text);
        let year = rest.digits(4, 4)?;
        rest.one_of("-")?;
        let month = rest.digits(1, 2)?;
        rest.one_of("-")?;
        let day = rest.digits(1, 2)?;
        let mut written =
            Self { year, month, day, hour: 0, minute: 0, second: 0, micros: 0, offset: None };
        if rest.0.is_empty() {
            return Some(written);
        }
        rest.one_of(" T")?;
        written.hour = rest.digits(1, 2)?;
        rest.one_of(":")?;
        written.minute = rest.digits(1, 2)?;
        rest.one_of(":")?;
        written.second = rest.digits(1, 2)?;
        if rest.one_of(".").is_some() {
            let before = rest.0.len();
            let digits = rest.digits(1, 6)?;
            let missing = 6 - u32::try_from(before - rest.0.len()).ok()?;
            written.micros = digits * 10_u32.pow(missing);
        }
        if !rest.0.is_empty() {
            written.offset = Some(WrittenOffset::parse(&mut rest)?);
        }
        rest.0.is_empty().then_some(written)
    }

    /// Seconds on the wall clock, or `None` when no clock or calendar ever shows this.
    fn label(&self) -> Option<i64> {
        if self.year == 0 || self.offset.is_some_and(|offset| !offset.exists()) {
            return None;
        }
        let date = NaiveDate::from_ymd_opt(i32::try_from(self.year).ok()?, self.month, self.day)?;
        let time = date.and_hms_opt(self.hour, self.minute, self.second)?;
        Some(time.and_utc().timestamp())
    }
}

impl WrittenOffset {
    fn parse(rest: &mut Rest<'_>) -> Option<Self> {
        let sign = match rest.one_of("Z+-")? {
            'Z' => return Some(Self { sign: 1, hours: 0, minutes: 0 }),
            '-' => -1,
            _ => 1,
        };
        let hours = rest.digits(2, 2)?;
        rest.one_of(":")?;
        Some(Self { sign, hours, minutes: rest.digits(2, 2)? })
    }

    fn exists(self) -> bool {
        self.hours < 24 && self.minutes < 60
    }

    fn seconds(self) -> i64 {
        self.sign * i64::from(self.hours * 3_600 + self.minutes * 60)
    }
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// Takes as many ASCII digits as there are, if there are at least `min` and at most `max`.
    fn digits(&mut self, min: usize, max: usize) -> Option<u32> {
        let count = self.0.bytes().take_while(u8::is_ascii_digit).count();
        if count < min || max < count {
            return None;
        }
        let (digits, rest) = self.0.split_at(count);
        self.0 = rest;
        digits.parse().ok()
    }

    /// Takes the next character if it is one of `allowed`.
    fn one_of(&mut self, allowed: &str) -> Option<char> {
        let next = self.0.chars().next().filter(|next| allowed.contains(*next))?;
        self.0 = self.0.strip_prefix(next)?;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::{Africa, America, Asia, Pacific};

    use super::*;

    #[test]
    fn the_grammar_is_read_as_written() {
        for (text, utc) in [
            ("2026-12-01", "2026-12-01T00:00:00Z"),
            ("2026-1-2 3:4:5", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02 03:04:05.5", "2026-01-02T03:04:05.500000Z"),
            ("2026-01-02 03:04:05.000025", "2026-01-02T03:04:05.000025Z"),
            ("2026-01-02 03:04:05.25-03:30", "2026-01-02T06:34:05.250000Z"),
            ("0001-01-01", "0001-01-01T00:00:00Z"),
            ("9999-12-31 23:59:59-05:00", "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(parse_datetime(text, Tz::UTC).unwrap().to_string(), utc, "{text}");
        }
    }

    #[test]
    fn nothing_else_is_accepted() {
        for text in [
            "",
            "now",
            "x",
            "2024",
            "20240102",
            "24-01-02",
            "02024-01-02",
            "2024-01-02 03:04",
            "2024-01-02 03:04:05 ",
            " 2024-01-02",
            "2024-01-02  03:04:05",
            "2024-01-02t03:04:05",
            "2024-01-02T03:04:05z",
            "2024-01-02T03:04:05+0800",
            "2024-01-02T03:04:05+08",
            "2024-01-02+08:00",
            "2024-01-02Z",
            "2024-01-02 03:04:05.1234567",
            "2024-01-02 03:04:05.",
            "2024-01-02 ",
            "2024-01-02 24:00:00",
            "2024-01-02 03:60:00",
            "2024-01-02 03:04:60",
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-01-00",
            "0000-01-01",
            "2024-01-02 03:04:05+24:00",
            "2024-01-02 03:04:05+08:60",
            "٢٠٢٤-01-02",
            "2024-01-02 é",
        ] {
            assert!(parse_datetime(text, Tz::UTC).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_nearly_right_is_shown_as_it_should_be() {
        for (text, near) in [
            ("2024-01-02 03:04", "2024-01-02 03:04:00"),
            ("2024-01-02T03", "2024-01-02 03:00:00"),
            ("20240102", "2024-01-02"),
            ("2024/01/02 03:04:05", "2024-01-02 03:04:05"),
            ("2024-01-02T03:04:05+0800", "2024-01-02 03:04:05+08:00"),
            ("2024-01-02+08:00", "2024-01-02 00:00:00+08:00"),
            ("2024-01-02T03:04:05z", "2024-01-02 03:04:05Z"),
            ("2024-01-02 03:04:05.1234567", "2024-01-02 03:04:05.123456"),
            ("2024-12-30 24:00:00", "2024-12-31 00:00:00"),
            ("2024-11-30 24:00:00", "2024-12-01 00:00:00"),
            ("2023-02-29", "2023-02-28"),
            ("2024-04-31 10:00:00", "2024-04-30 10:00:00"),
            (" 2024-01-02", "2024-01-02"),
        ] {
            let message = parse_datetime(text, Tz::UTC).unwrap_err();
            assert!(message.ends_with(&format!("did you mean `{near}`?")), "{text}: {message}");
            assert!(parse_datetime(near, Tz::UTC).is_ok(), "{near}");
        }
        assert_eq!(
            parse_datetime("soon", Tz::UTC).unwrap_err(),
            "`soon` is not a point in time; write it like `2026-12-01 09:00:00`, `2026-12-01` or \
             `2026-12-01T09:00:00+01:00`"
        );
    }

    #[test]
    fn wall_times_in_gaps_move_forward_and_in_overlaps_mean_the_first_pass() {
        for (text, zone, utc) in [
            ("2024-03-10 02:30:00", America::New_York, "2024-03-10T07:30:00Z"),
            ("2024-11-03 01:30:00", America::New_York, "2024-11-03T05:30:00Z"),
            ("2024-04-26", Africa::Cairo, "2024-04-25T22:00:00Z"),
            ("2011-12-30 12:00:00", Pacific::Apia, "2011-12-30T22:00:00Z"),
            ("2011-12-31", Pacific::Apia, "2011-12-30T10:00:00Z"),
            ("2024-01-01 08:00:00", Asia::Shanghai, "2024-01-01T00:00:00Z"),
        ] {
            assert_eq!(parse_datetime(text, zone).unwrap().to_string(), utc, "{text} {zone}");
        }
    }
}
