//! The keys of a trigger object: which there are, and how those that several types share are read.
//!
//! A key whose value is null counts as left out. What the values mean together is `parse`'s.

use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::datetime::parse_datetime;
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

/// The types and their keys.
const TYPES: [(&str, &[&str]); 3] = [("date", &DATE), ("interval", &INTERVAL), ("cron", &CRON)];

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
            let mut message = unknown_key(key, known);
            if let Some((owner, _)) = TYPES.iter().find(|(_, keys)| keys.contains(&key.as_str())) {
                message.push_str(&format!(" (`{key}` belongs to type `{owner}`)"));
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
            self.refuse("end_date", "is before `start_date`");
        }
        Window { start, end }
    }

    /// Refuses a `jitter` other than 0.
    pub(super) fn no_jitter(&mut self) {
        if self.get("jitter").is_some_and(|jitter| jitter.as_f64() != Some(0.0)) {
            self.refuse("jitter", "`jitter` is not yet built; leave it out, or give 0");
        }
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
