//! The keys of a trigger object: which there are, and how those that several types share are read.
//!
//! A key whose value is null counts as left out. What the values mean together is `parse`'s.

use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::datetime::parse_datetime;
use super::jitter::LONGEST_JITTER;
use super::parse::not_a_number;
use super::zone::parse_zone;
use crate::problem::{Problem, join, unknown_key};
use crate::time::Timestamp;

/// Keys of a `date`.
pub(super) const DATE: [&str; 3] = ["type", "run_date", "timezone"];

/// Keys of an `interval`.
pub(super) const INTERVAL: [&str; 11] = [
    "type",
    "weeks",
    "days",
    "hours",
    "minutes",
    "seconds",
    "start_date",
    "end_date",
    "timezone",
    "jitter",
    "start",
];

/// Keys of a `cron`.
pub(super) const CRON: [&str; 15] = [
    "type",
    "year",
    "month",
    "day",
    "week",
    "day_of_week",
    "hour",
    "minute",
    "second",
    "crontab",
    "start_date",
    "end_date",
    "timezone",
    "jitter",
    "dst",
];

/// Keys of an `or`.
pub(super) const OR: [&str; 3] = ["type", "triggers", "jitter"];

/// Keys of an `and`.
pub(super) const AND: [&str; 4] = ["type", "triggers", "jitter", "threshold"];

/// The types that can be made.
pub(super) const TYPE_NAMES: [&str; 5] = ["date", "interval", "cron", "or", "and"];

/// The types and their keys.
const TYPES: [(&str, &[&str]); 5] =
    [("date", &DATE), ("interval", &INTERVAL), ("cron", &CRON), ("or", &OR), ("and", &AND)];

/// What people write for keys that there are not, and what does the same.
const FOREIGN: [(&str, &str); 5] = [
    ("months", "a month has no fixed length; use type `cron` with `day = 1`"),
    ("years", "a year has no fixed length; use type `cron` with `month = 1`"),
    ("milliseconds", "write `seconds = 0.25` for 250 ms"),
    ("microseconds", "write `seconds = 0.25` for 250,000 microseconds"),
    ("weekday", "did you mean `day_of_week`?"),
];

/// The types that have `key`.
pub(super) fn owners(key: &str) -> Vec<&'static str> {
    TYPES.iter().filter(|(_, keys)| keys.contains(&key)).map(|(owner, _)| *owner).collect()
}

/// The first and the last instant that may fire.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
}

/// Reads the keys of one trigger object and collects what is wrong with them.
pub(super) struct Keys<'a> {
    object: &'a Map<String, Value>,
    path: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Keys<'a> {
    /// The keys of `object`, which stands at `path`.
    pub(super) fn new(
        object: &'a Map<String, Value>,
        path: &'a str,
        problems: &'a mut Vec<Problem>,
    ) -> Self {
        Self { object, path, problems }
    }

    /// The value of `key`, unless it is left out or null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// Adds a problem with `key`; the empty key stands for the whole trigger.
    pub(super) fn refuse(&mut self, key: &str, message: impl Into<String>) {
        let path = if key.is_empty() { self.path.to_owned() } else { join(self.path, key) };
        self.problems.push(Problem::new(path, message));
    }

    /// Refuses every key that is not one of `known`.
    pub(super) fn only(&mut self, known: &[&str]) {
        let object = self.object;
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let mut message = match FOREIGN.iter().find(|(foreign, _)| foreign == key) {
                Some((_, instead)) => format!("unknown key `{key}`; {instead}"),
                None => unknown_key(key, known),
            };
            let owners = owners(key);
            if !owners.is_empty() {
                message.push_str(&format!(" (`{key}` belongs to type {})", one_of(&owners)));
            }
            self.refuse(key, message);
        }
    }

    /// The text of `key`; anything but text is refused with "must be text" and `example`.
    pub(super) fn text(&mut self, key: &str, example: &str) -> Option<&'a str> {
        let value = self.get(key)?;
        let text = value.as_str();
        if text.is_none() {
            self.refuse(key, format!("must be text such as `{example}`, not {}", describe(value)));
        }
        text
    }

    /// The `timezone`, else `default`; also `default` when it is wrong, so that reading can go on.
    pub(super) fn zone(&mut self, default: Tz) -> Tz {
        let parsed = self.text("timezone", "Europe/Berlin").map(parse_zone);
        match parsed {
            None => default,
            Some(Ok(zone)) => zone,
            Some(Err(message)) => {
                self.refuse("timezone", message);
                default
            }
        }
    }

    /// The point in time under `key`.
    pub(super) fn datetime(&mut self, key: &str, zone: Tz) -> Option<Timestamp> {
        let text = self.text(key, "2026-12-01 09:00:00")?;
        parse_datetime(text, zone).map_err(|message| self.refuse(key, message)).ok()
    }

    /// The `start_date` and `end_date`; the end may not be before the start.
    pub(super) fn window(&mut self, zone: Tz) -> Window {
        let start = self.datetime("start_date", zone);
        let end = self.datetime("end_date", zone);
        if let (Some(start), Some(end)) = (start, end)
            && end < start
        {
            self.refuse("end_date", format!("{end} is before `start_date`, which is {start}"));
        }
        Window { start, end }
    }

    /// The `jitter` in microseconds; none when it is left out.
    pub(super) fn jitter(&mut self) -> i64 {
        self.seconds("jitter", LONGEST_JITTER).unwrap_or(0)
    }

    /// The number of seconds under `key`, from 0 to `most` microseconds, in microseconds.
    pub(super) fn seconds(&mut self, key: &str, most: i64) -> Option<i64> {
        let value = self.get(key)?;
        let Value::Number(number) = value else {
            self.refuse(key, not_a_number(value));
            return None;
        };
        let micros = (number.as_f64().unwrap_or(f64::INFINITY) * 1e6).round_ties_even();
        if (0.0..=most as f64).contains(&micros) {
            // Exact: the bound is far below the largest number.
            return Some(micros as i64);
        }
        let most = most / 1_000_000;
        self.refuse(key, format!("must be from 0 to {most} seconds, not {number}"));
        None
    }

    /// The text of `key`, which must be one of `words`.
    pub(super) fn word(&mut self, key: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key, words.first().copied().unwrap_or_default())?;
        let found = words.iter().find(|word| **word == text);
        if found.is_none() {
            let what = if words.len() == 1 { "the only value is" } else { "give" };
            let message = format!("`{text}` is not understood; {what} {}", one_of(words));
            self.refuse(key, message);
        }
        found.copied()
    }

    /// The path of `key`.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(self.path, key)
    }

    /// Where problems of triggers inside of this one go.
    pub(super) fn problems(&mut self) -> &mut Vec<Problem> {
        self.problems
    }
}

/// "`a`, `b` or `c`".
pub(super) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// What kind of value it is, in words that fit after "not".
pub(super) fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
