//! From what a person wrote to a checked trigger.
//!
//! Two forms: an object with `type` and that type's keys, or a text that begins with `every`,
//! `cron` or `at`. Reading goes on after a problem, so that one answer names all of them.

mod calendar;
mod combined;
mod length;

use chrono_tz::Tz;
use serde_json::{Map, Value};

pub(super) use self::length::not_a_number;
use super::Trigger;
use super::cron::{Cron, Dst, text};
use super::date::Date;
use super::datetime::parse_datetime;
use super::duration;
use super::interval::{Interval, Start};
use super::keys::{self, Keys, TYPE_NAMES, describe, one_of};
use crate::problem::{Problem, nearest};

/// Where a trigger stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The zone of wall times that name none.
    zone: Tz,
    /// How many `or` and `and` it stands in.
    depth: usize,
}

/// What [`Trigger::parse`] does.
pub(super) fn parse(
    value: &Value,
    path: &str,
    default_zone: Tz,
    problems: &mut Vec<Problem>,
) -> Option<Trigger> {
    parse_at(value, path, Place { zone: default_zone, depth: 0 }, problems)
}

fn parse_at(
    value: &Value,
    path: &str,
    place: Place,
    problems: &mut Vec<Problem>,
) -> Option<Trigger> {
    let found_before = problems.len();
    let trigger = match value {
        Value::Object(object) => parse_object(object, path, place, problems),
        Value::String(text) => parse_text(text, place.zone)
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
    place: Place,
    problems: &mut Vec<Problem>,
) -> Option<Trigger> {
    let mut keys = Keys::new(object, path, problems);
    let Some(kind) = keys.get("type") else {
        keys.refuse("type", missing_type(object));
        return None;
    };
    match kind.as_str() {
        Some("date") => date(&mut keys, place.zone).map(Trigger::Date),
        Some("interval") => interval(&mut keys, place.zone).map(Trigger::Interval),
        Some("cron") => cron(&mut keys, place.zone).map(Trigger::Cron),
        Some("or") => combined::or(&mut keys, place).map(Trigger::Or),
        Some("and") => combined::and(&mut keys, place).map(Trigger::And),
        Some(kind) => {
            keys.refuse(
                "type",
                match nearest(kind, &TYPE_NAMES) {
                    Some(near) => format!("unknown type `{kind}`; did you mean `{near}`?"),
                    None => format!("unknown type `{kind}`; give {}", one_of(&TYPE_NAMES)),
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

/// Says which types there are, and which one has the keys that were given.
fn missing_type(object: &Map<String, Value>) -> String {
    let mut message = format!("is missing; give {}", one_of(&TYPE_NAMES));
    let only_of = |key: &String| match keys::owners(key).as_slice() {
        [owner] => Some(format!("; `{key}` belongs to `{owner}`")),
        _ => None,
    };
    message.extend(object.keys().find_map(only_of));
    message
}

fn parse_text(text: &str, default_zone: Tz) -> Result<Trigger, String> {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim_start();
    match word {
        "every" => {
            let length = length::bounded(duration::parse_micros(rest)?)?;
            let start = Start::OneLengthOn;
            Ok(Trigger::Interval(Interval { length, start, end: None, jitter: 0 }))
        }
        "cron" => {
            let calendar = calendar::possible(text::parse(rest)?)?;
            let (zone, dst) = (default_zone, Dst::Once);
            Ok(Trigger::Cron(Cron { calendar, zone, dst, start: None, end: None, jitter: 0 }))
        }
        "at" => parse_datetime(rest, default_zone).map(|run_date| Trigger::Date(Date { run_date })),
        _ => Err(match likely(text, default_zone) {
            Some(likely) => format!("`{text}` is not a trigger; did you mean `{likely}`?"),
            None => format!(
                "`{text}` is not a trigger; write `every 15s`, `cron 30 2 * * *` or \
                 `at 2026-12-01 09:00:00`"
            ),
        }),
    }
}

/// The text with the word before it that makes it a trigger.
fn likely(text: &str, default_zone: Tz) -> Option<String> {
    let word = if text::parse(text).is_ok() {
        "cron"
    } else if duration::parse_micros(text).is_ok() {
        "every"
    } else if parse_datetime(text, default_zone).is_ok() {
        "at"
    } else {
        let (word, rest) = text.split_once(char::is_whitespace)?;
        let near = nearest(word, &["every", "cron", "at"])?;
        return Some(format!("{near} {}", rest.trim_start()));
    };
    Some(format!("{word} {text}"))
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
    let jitter = keys.jitter();
    let zone = keys.zone(default_zone);
    let window = keys.window(zone);
    let start = match (keys.word("start", &["now"]), window.start) {
        (Some(_), None) => Start::Now,
        (Some(_), Some(start)) => {
            keys.refuse("start", "give `start` or `start_date`, not both");
            Start::Date(start)
        }
        (None, None) => Start::OneLengthOn,
        (None, Some(start)) => Start::Date(start),
    };
    Some(Interval { length: length::length(keys)?, start, end: window.end, jitter })
}

fn cron(keys: &mut Keys<'_>, default_zone: Tz) -> Option<Cron> {
    keys.only(&keys::CRON);
    let jitter = keys.jitter();
    let zone = keys.zone(default_zone);
    let window = keys.window(zone);
    let dst = match keys.word("dst", &["once", "wall"]) {
        Some("wall") => Dst::Wall,
        Some(_) | None => Dst::Once,
    };
    let calendar = calendar::calendar(keys)?;
    Some(Cron { calendar, zone, dst, start: window.start, end: window.end, jitter })
}
