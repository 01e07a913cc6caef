//! The keys that `#[job(...)]` knows, and what each takes.
//!
//! One row for a key. Rules about several keys are in `attribute`, texts are checked in `check`.

use serde_json::Value;
use syn::Lit;

use crate::check;

/// A key of the attribute.
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// A right value, as it is written.
    pub example: &'static str,
    /// Where its value goes.
    pub place: Place,
    /// Checks a value and gives it back as JSON, or says what is wrong with it.
    pub check: fn(&Lit) -> Result<Value, String>,
}

/// Where a key's value goes.
#[derive(Clone, Copy, PartialEq)]
pub enum Place {
    /// Into the handler itself.
    Handler,
    /// It is the trigger.
    Trigger,
    /// Into the trigger, when that is one of these.
    TriggerOption(&'static [&'static str]),
    /// Into the job.
    Job,
    /// Into the job's `limits`.
    Limits,
}

use Place::{Handler, Job, Limits, Trigger, TriggerOption};

/// Every key, in the order in which they are explained.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    Key { name: "name",               example: "\"nightly\"",             place: Handler, check: |v| text(v, check::name) },
    Key { name: "description",        example: "\"Sums up sales\"",       place: Handler, check: |v| text(v, |text| Ok(text.to_owned())) },
    Key { name: "every",              example: "\"15s\"",                 place: Trigger, check: |v| text(v, check::interval) },
    Key { name: "cron",               example: "\"30 2 * * *\"",          place: Trigger, check: |v| text(v, check::cron) },
    Key { name: "at",                 example: "\"2026-12-01 09:00:00\"", place: Trigger, check: |v| text(v, check::datetime) },
    Key { name: "timezone",           example: "\"Europe/Berlin\"",       place: TriggerOption(&["every", "cron", "at"]), check: |v| text(v, check::timezone) },
    Key { name: "start",              example: "\"now\"",                 place: TriggerOption(&["every"]), check: |v| word(v, &["now"]) },
    Key { name: "dst",                example: "\"once\"",                place: TriggerOption(&["cron"]), check: |v| word(v, &["once", "wall"]) },
    Key { name: "start_date",         example: "\"2026-12-01\"",          place: TriggerOption(&["every", "cron"]), check: |v| text(v, check::datetime) },
    Key { name: "end_date",           example: "\"2027-12-01\"",          place: TriggerOption(&["every", "cron"]), check: |v| text(v, check::datetime) },
    Key { name: "max_instances",      example: "1",                       place: Job, check: count },
    Key { name: "misfire_grace_time", example: "\"2h\"",                  place: Job, check: |v| text(v, check::grace) },
    Key { name: "coalesce",           example: "\"latest\"",              place: Job, check: coalesce },
    Key { name: "max_catchup",        example: "100",                     place: Job, check: count },
    Key { name: "timeout",            example: "\"5m\"",                  place: Limits, check: |v| text(v, check::duration) },
    Key { name: "memory",             example: "\"64MiB\"",               place: Limits, check: |v| text(v, check::size) },
    Key { name: "fuel",               example: "\"5G\"",                  place: Limits, check: fuel },
    Key { name: "plugin_wait",        example: "\"10m\"",                 place: Job, check: |v| text(v, check::duration) },
    Key { name: "delivery",           example: "\"at_least_once\"",       place: Job, check: |v| word(v, &["at_least_once", "at_most_once"]) },
];

/// Words that people try, and what they mean here.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("interval", "every"),
    ("seconds", "every"),
    ("schedule", "cron"),
    ("crontab", "cron"),
    ("run_date", "at"),
    ("date", "at"),
    ("once", "at"),
    ("tz", "timezone"),
    ("handler", "name"),
    ("id", "name"),
    ("concurrency", "max_instances"),
    ("grace", "misfire_grace_time"),
];

/// How alike two words are, from 0 to 1, for one to be suggested for the other.
const ALIKE: f64 = 0.8;

/// Names the key that was probably meant, else all of them.
pub fn unknown_key(name: &str) -> String {
    let nearest = || {
        let alike = |key: &Key| (strsim::jaro_winkler(name, key.name), key.name);
        let (score, key) = KEYS.iter().map(alike).max_by(|a, b| a.0.total_cmp(&b.0))?;
        (score >= ALIKE).then_some(key)
    };
    let meant = OTHER_WORDS.iter().find(|(word, _)| *word == name).map(|(_, key)| *key);
    match meant.or_else(nearest) {
        Some(key) => format!("unknown key `{name}`: did you mean `{key}`?"),
        None => {
            let known: Vec<_> = KEYS.iter().map(|key| format!("`{}`", key.name)).collect();
            format!(
                "unknown key `{name}`: there are {}; other keys of a job stand in its \
                 configuration",
                known.join(", ")
            )
        }
    }
}

fn text(value: &Lit, check: fn(&str) -> Result<String, String>) -> Result<Value, String> {
    match value {
        Lit::Str(text) => check(&text.value()).map(Value::from),
        _ => Err("write a text in quotes".into()),
    }
}

fn word(value: &Lit, words: &[&str]) -> Result<Value, String> {
    let known = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    match value {
        Lit::Str(text) if words.contains(&text.value().as_str()) => Ok(text.value().into()),
        Lit::Str(text) => Err(format!("`{}` is not {known}", text.value())),
        _ => Err(format!("write {known} in quotes")),
    }
}

fn count(value: &Lit) -> Result<Value, String> {
    let Lit::Int(number) = value else { return Err("write a whole number without quotes".into()) };
    match number.base10_parse::<u32>() {
        Ok(0) => Err("`0` is too small: at least 1".into()),
        Ok(number) => Ok(number.into()),
        Err(_) => Err(format!("`{number}` is too large: at most {}", u32::MAX)),
    }
}

fn coalesce(value: &Lit) -> Result<Value, String> {
    match value {
        Lit::Bool(all_in_one) => Ok(all_in_one.value.into()),
        _ => word(value, &["latest", "earliest", "all", "drop"]),
    }
}

fn fuel(value: &Lit) -> Result<Value, String> {
    match value {
        Lit::Int(number) => match number.base10_parse::<u64>() {
            Ok(0) => Err("`0` is too small: at least 1".into()),
            Ok(number) => Ok(number.into()),
            Err(_) => Err(format!("`{number}` is too large: at most {}", u64::MAX)),
        },
        _ => text(value, check::fuel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_a_right_value() {
        for key in KEYS {
            let example = syn::parse_str(key.example).expect(key.name);
            assert!((key.check)(&example).is_ok(), "{}", key.name);
        }
    }

    #[test]
    fn every_other_word_stands_for_a_key() {
        for (word, meant) in OTHER_WORDS {
            assert!(KEYS.iter().any(|key| key.name == *meant), "{word}");
            assert!(KEYS.iter().all(|key| key.name != *word), "{word}");
        }
    }

    #[test]
    fn a_word_like_no_key_gets_the_list() {
        let message = unknown_key("colour");
        assert!(message.starts_with("unknown key `colour`: there are `name`, "), "{message}");
    }
}
