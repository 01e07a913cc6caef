//! The triggers that a job's trigger is made of, with their keys as they were written.

use std::borrow::Cow;

use chrono_tz::Tz;
use serde_json::{Value, json};

use crate::problem::join;
use crate::table::Entries;
use crate::time::Timestamp;
use crate::trigger::{Trigger, parse_datetime, parse_zone};

/// The fields of crontab text by their names as keys, with the seconds first and the year last.
const FIELDS: [&str; 7] = ["second", "minute", "hour", "day", "month", "day_of_week", "year"];

/// A trigger that is made of no others.
pub(super) struct Leaf<'a> {
    /// Where it stands: `trigger`, `trigger.triggers.0`.
    pub(super) path: String,
    /// Its zone.
    pub(super) zone: Tz,
    /// The trigger.
    pub(super) trigger: Trigger,
    /// As it was written; of `cron` text the object that it stands for.
    value: Cow<'a, Value>,
}

/// The leaves of an effective trigger.
pub(super) fn leaves(trigger: Option<&Value>, zone: Tz) -> Vec<Leaf<'_>> {
    let mut found = Vec::new();
    if let Some(trigger) = trigger {
        gather(trigger, "trigger".to_owned(), zone, &mut found);
    }
    found
}

fn gather<'a>(value: &'a Value, path: String, zone: Tz, found: &mut Vec<Leaf<'a>>) {
    if let Some(Value::Array(members)) = value.get("triggers") {
        for (number, member) in members.iter().enumerate() {
            gather(member, format!("{path}.triggers.{number}"), zone, found);
        }
        return;
    }
    let named = value.get("timezone").and_then(Value::as_str).map(parse_zone);
    let zone = named.and_then(Result::ok).unwrap_or(zone);
    let value = match value.as_str().map(str::trim).and_then(|text| text.strip_prefix("cron ")) {
        Some(crontab) => Cow::Owned(json!({"type": "cron", "crontab": crontab.trim()})),
        None => Cow::Borrowed(value),
    };
    if let Some(trigger) = Trigger::parse(&value, "", zone, &mut Vec::new()) {
        found.push(Leaf { path, zone, trigger, value });
    }
}

impl Leaf<'_> {
    /// `date`, `interval` or `cron`.
    pub(super) fn kind(&self) -> &'static str {
        self.trigger.kind()
    }

    /// Whether its fire times do not depend on when the job is registered.
    pub(super) fn is_fixed(&self) -> bool {
        self.kind() != "interval" || self.given("start_date").is_some()
    }

    /// The text of a key that says something.
    pub(super) fn given(&self, key: &str) -> Option<&str> {
        self.value.get(key)?.as_str()
    }

    /// Its start and end.
    pub(super) fn window(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let time = |key| parse_datetime(self.given(key)?, self.zone).ok();
        (time("start_date"), time("end_date"))
    }

    /// The same without start and end, and with wall times read as UTC: its fires are what the
    /// wall clock shows.
    pub(super) fn endless(&self) -> Option<Trigger> {
        parse_endless(&self.value)
    }

    /// As [`Self::endless`], with another expression for a field of its cron.
    pub(super) fn endless_with(&self, field: &str, expression: &str) -> Option<Trigger> {
        let mut keys = self.value.as_object()?.clone();
        match self.crontab() {
            None => {
                keys.insert(field.to_owned(), json!(expression));
            }
            Some(fields) => {
                let fields = fields.into_iter();
                let fields = fields.map(|(key, own)| if key == field { expression } else { own });
                keys.insert("crontab".to_owned(), json!(fields.collect::<Vec<_>>().join(" ")));
            }
        }
        parse_endless(&Value::Object(keys))
    }

    /// The expression of a field of its cron, and the key that it stands under.
    pub(super) fn field(&self, field: &str) -> Option<(String, String)> {
        if let Some(fields) = self.crontab() {
            let (_, expression) = fields.into_iter().find(|(key, _)| *key == field)?;
            return Some((join(&self.path, "crontab"), expression.to_owned()));
        }
        let expression = match self.value.get(field)? {
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        Some((join(&self.path, field), expression))
    }

    /// Whether its cron is text.
    pub(super) fn is_crontab(&self) -> bool {
        self.given("crontab").is_some()
    }

    /// The fields of crontab text; none of a word such as `@daily`.
    fn crontab(&self) -> Option<Vec<(&'static str, &str)>> {
        let written: Vec<&str> = self.given("crontab")?.split_whitespace().collect();
        let names = if written.len() == 5 { FIELDS.get(1..)? } else { &FIELDS };
        Some(names.iter().copied().zip(written).collect())
    }
}

fn parse_endless(value: &Value) -> Option<Trigger> {
    let mut value = value.clone();
    if let Value::Object(keys) = &mut value {
        let keys: &mut Entries = keys;
        keys.retain(|key, _| {
            !["start_date", "end_date", "jitter", "dst", "timezone"].contains(&key.as_str())
        });
    }
    Trigger::parse(&value, "", Tz::UTC, &mut Vec::new())
}
