//! From what a person wrote to a checked trigger.
//!
//! Two forms: an object with `type` and that type's keys, or a text that begins with `every`,
//! `cron` or `at`. Reading goes on after a problem, so that one answer names all of them.

use chrono_tz::Tz;
use serde_json::{Map, Number, Value};

use super::Trigger;
use super::cron::calendar::Calendar;
use super::cron::{Cron, Dst, fields, text};
use super::date::Date;
use super::datetime::parse_datetime;
use super::duration;
use super::interval::{Interval, LONGEST, SHORTEST, Start};
use super::keys::{self, Keys, describe};
use crate::problem::{Problem, nearest};

/// The types that can be made.
const TYPES: [&str; 3] = ["date", "interval", "cron"];

/// The units of an interval, in seconds.
const UNITS: [(&str, u32); 5] =
    [("weeks", 604_800), ("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1)];

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// What [`Trigger::parse`] does.
pub(super) fn parse(
    value: &Value,
    path: &str,
    default_zone: Tz,
    problems: &mut Vec<Problem>,
) -> Option<Trigger> {
    let found_before = problems.len();
    let trigger = match value {
        Value::Object(object) => parse_object(object, path, default_zone, problems),
        Value::String(text) => parse_text(text, default_zone)
            .map_err(|message| problems.push(Problem::new(path, message)))
            .ok(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            let message = format!(
                "a trigger is an object such as `{{ type = \"cron\", hour = 3 }}` or a text such \
                 as `every 15s`, not {}",
                describe(value)
            );
            problems.push(Problem::new(path, message));
            None
        }
    };
    trigger.filter(|_| problems.len() == found_before)
}

fn parse_object(
    object: &Map<String, Value>,
    path: &str,
    default_zone: Tz,
    problems: &mut Vec<Problem>,
) -> Option<Trigger> {
    let mut keys = Keys::new(object, path, problems);
    let Some(kind) = keys.get("type") else {
        keys.refuse("type", "is missing; give `date`, `interval` or `cron`");
        return None;
    };
    match kind.as_str() {
        Some("date") => date(&mut keys, default_zone).map(Trigger::Date),
        Some("interval") => interval(&mut keys, default_zone).map(Trigger::Interval),
        Some("cron") => cron(&mut keys, default_zone).map(Trigger::Cron),
        Some(combined @ ("or" | "and")) => {
            keys.refuse("type", format!("`{combined}` triggers are not built yet"));
            None
        }
        Some(kind) => {
            keys.refuse(
                "type",
                match nearest(kind, &TYPES) {
                    Some(near) => format!("unknown type `{kind}`; did you mean `{near}`?"),
                    None => format!("unknown type `{kind}`; give `date`, `interval` or `cron`"),
                },
            );
            None
        }
        None => {
            keys.refuse("type", format!("must be text such as `cron`, not {}", describe(kind)));
            None
        }
    }
}

fn parse_text(text: &str, default_zone: Tz) -> Result<Trigger, String> {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim_start();
    match word {
        "every" => {
            let length = bounded(duration::parse_micros(rest)?)?;
            Ok(Trigger::Interval(Interval { length, start: Start::OneLengthOn, end: None }))
        }
        "cron" => {
            let calendar = possible(text::parse(rest)?)?;
            let (zone, dst) = (default_zone, Dst::Once);
            Ok(Trigger::Cron(Cron { calendar, zone, dst, start: None, end: None }))
        }
        "at" => parse_datetime(rest, default_zone).map(|run_date| Trigger::Date(Date { run_date })),
        _ => Err(format!(
            "`{text}` is not a trigger; write `every 15s`, `cron 30 2 * * *` or \
             `at 2026-12-01 09:00:00`"
        )),
    }
}

fn date(keys: &mut Keys<'_>, default_zone: Tz) -> Option<Date> {
    keys.only(&keys::DATE);
    let zone = keys.zone(default_zone);
    if keys.get("run_date").is_none() {
        keys.refuse("run_date", "is missing; write it like `2026-12-01 09:00:00`");
    }
    Some(Date { run_date: keys.datetime("run_date", zone)? })
}

fn interval(keys: &mut Keys<'_>, default_zone: Tz) -> Option<Interval> {
    keys.only(&keys::INTERVAL);
    keys.no_jitter();
    let zone = keys.zone(default_zone);
    let window = keys.window(zone);
    let start = match (keys.text("start", "now"), window.start) {
        (None, None) => Start::OneLengthOn,
        (None, Some(start)) => Start::Date(start),
        (Some("now"), None) => Start::Now,
        (Some("now"), Some(_)) => {
            keys.refuse("start", "give `start` or `start_date`, not both");
            Start::Now
        }
        (Some(other), _) => {
            keys.refuse("start", format!("`{other}` is not understood; the only value is `now`"));
            Start::Now
        }
    };
    Some(Interval { length: length(keys)?, start, end: window.end })
}

/// The sum of the units, in microseconds.
fn length(keys: &mut Keys<'_>) -> Option<i64> {
    let mut parts = Vec::new();
    let mut all_are_numbers = true;
    for (name, seconds) in UNITS {
        match keys.get(name) {
            None => (),
            Some(Value::Number(number)) => parts.push(part(number, seconds)),
            Some(other) => {
                all_are_numbers = false;
                keys.refuse(name, format!("must be a number, not {}", describe(other)));
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

/// Whole seconds of `number` units, and the fraction of a second that is left.
fn part(number: &Number, seconds_each: u32) -> (f64, f64) {
    let seconds = number.as_f64().unwrap_or(f64::INFINITY) * f64::from(seconds_each);
    if seconds.is_finite() { (seconds.trunc(), seconds.fract()) } else { (seconds, 0.0) }
}

/// `micros` rounded, when it is a length that an interval may have.
fn bounded(micros: f64) -> Result<i64, String> {
    let micros = micros.round_ties_even();
    if micros >= SHORTEST as f64 && micros <= LONGEST as f64 {
        // Within the bounds the conversion is exact: they are far below the largest number.
        return Ok(micros as i64);
    }
    Err(if micros <= 0.0 {
        "the interval must be longer than zero; the shortest is 100 ms".to_owned()
    } else if micros < SHORTEST as f64 {
        "the interval is too short; the shortest is 100 ms".to_owned()
    } else {
        format!("the interval is too long; the longest is {} days", LONGEST / SECOND / 86_400)
    })
}

fn cron(keys: &mut Keys<'_>, default_zone: Tz) -> Option<Cron> {
    keys.only(&keys::CRON);
    keys.no_jitter();
    let zone = keys.zone(default_zone);
    let window = keys.window(zone);
    let dst = match keys.text("dst", "once") {
        None | Some("once") => Dst::Once,
        Some("wall") => Dst::Wall,
        Some(other) => {
            keys.refuse("dst", format!("`{other}` is not understood; give `once` or `wall`"));
            Dst::Once
        }
    };
    let calendar = calendar(keys)?;
    Some(Cron { calendar, zone, dst, start: window.start, end: window.end })
}

/// The wall times, from the eight fields or from `crontab`.
fn calendar(keys: &mut Keys<'_>) -> Option<Calendar> {
    let given = fields::KEYS.map(|key| keys.get(key));
    let any_field = given.iter().any(Option::is_some);
    if keys.get("crontab").is_some() {
        if any_field {
            keys.refuse("crontab", "give `crontab` or fields such as `hour`, not both");
        }
        let crontab = keys.text("crontab", "30 2 * * *")?;
        let parsed = text::parse(crontab).and_then(possible);
        return parsed.map_err(|message| keys.refuse("crontab", message)).ok();
    }
    if !any_field {
        keys.refuse("", "a cron needs at least one of its fields, such as `hour`, or `crontab`");
        return None;
    }
    let mut all_are_expressions = true;
    let mut texts: [Option<String>; 8] = Default::default();
    for ((key, value), text) in fields::KEYS.into_iter().zip(given).zip(&mut texts) {
        match value.map(expression) {
            None => (),
            Some(Ok(expression)) => *text = Some(expression),
            Some(Err(message)) => {
                all_are_expressions = false;
                // Stands for the value, so that the other fields are still read.
                *text = Some("*".to_owned());
                keys.refuse(key, message);
            }
        }
    }
    let parsed = fields::parse(texts.each_ref().map(Option::as_deref));
    let calendar = parsed
        .map_err(|wrong| {
            for (key, message) in wrong {
                keys.refuse(key, message);
            }
        })
        .ok()
        .filter(|_| all_are_expressions)?;
    possible(calendar).map_err(|message| keys.refuse("", message)).ok()
}

/// The expression of one field, which may be written as a whole number.
fn expression(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        Value::Number(number) => Err(format!("must be a whole number or text, not {number}")),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(format!("must be a whole number or text, not {}", describe(value)))
        }
    }
}

/// Refuses a calendar without a single day (A12); the window and the present do not count.
fn possible(calendar: Calendar) -> Result<Calendar, String> {
    if calendar.has_days() {
        Ok(calendar)
    } else {
        Err("can never fire: no date matches its year, month, day and week fields".to_owned())
    }
}
