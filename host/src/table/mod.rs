//! One reader of tables for everything that people and programs write: TOML, REST bodies, the
//! defaults of a plugin, all as JSON values.
//!
//! A [`Table`] hands out typed values by key and collects what is wrong, each with its dotted path;
//! `value` and `unit` read single values. It knows no key by itself: what the keys of a job or
//! of `host.toml` are, `job` and `config` say.

pub mod unit;
pub mod value;

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::problem::{Problem, join, nearest, unknown_key};

/// What a table of keys and values is, wherever it was read.
pub type Entries = Map<String, Value>;

/// The keys that a table may have.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// Keys that do something.
    pub built: &'static [&'static str],
    /// Keys that are planned: each with the one value that may stand there already, as JSON text.
    pub planned: &'static [(&'static str, &'static str)],
    /// Keys that are kept free for later.
    pub reserved: &'static [&'static str],
    /// Keys that may stand elsewhere but not here, each with the reason. They come before all.
    pub refused: &'static [(&'static str, &'static str)],
}

/// A table that is being read.
pub struct Table<'a> {
    path: String,
    entries: &'a Entries,
    problems: Vec<Problem>,
}

impl<'a> Table<'a> {
    /// Starts to read `entries`, which stand at `path`; notes every key that is not of `keys`.
    pub fn new(path: &str, entries: &'a Entries, keys: &Keys) -> Self {
        let mut table = Self { path: path.to_owned(), entries, problems: Vec::new() };
        for (key, value) in entries {
            if let Some(message) = refusal(key, value, keys) {
                table.problem(key, message);
            }
        }
        table
    }

    /// Starts to read `entries` that are named by people: no key is unknown.
    pub fn within(path: &str, entries: &'a Entries) -> Self {
        Self { path: path.to_owned(), entries, problems: Vec::new() }
    }

    /// The value under `key` as it stands.
    pub fn raw(&self, key: &str) -> Option<&'a Value> {
        self.entries.get(key)
    }

    /// The path of `key`.
    pub fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// The value under `key` as `read` understands it; `None` when it is missing or wrong.
    pub fn read<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.entries.get(key)?;
        match read(value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }

    /// The table under `key`, to be read in turn; its problems come back by [`Self::absorb`].
    pub fn table(&mut self, key: &str, keys: &Keys) -> Option<Table<'a>> {
        let value = self.entries.get(key)?;
        match value {
            Value::Object(entries) => Some(Table::new(&self.path_of(key), entries, keys)),
            other => {
                self.problem(key, format!("must be a table of keys, not {}", value::shown(other)));
                None
            }
        }
    }

    /// The tables `[KEY.X]` under `key`: of each its name, where it stands, and its entries. A name that is
    /// none, and what is no table, are noted and left out.
    pub fn named<T: FromStr<Err: Display>>(&mut self, key: &str) -> Vec<(T, String, &'a Entries)> {
        let written = match self.entries.get(key) {
            None => return Vec::new(),
            Some(Value::Object(written)) => written,
            Some(other) => {
                let message = format!("must be tables `[{key}.X]`, not {}", value::shown(other));
                self.problem(key, message);
                return Vec::new();
            }
        };
        let mut tables = Vec::with_capacity(written.len());
        for (name, value) in written {
            let path = join(key, name);
            match (name.parse::<T>(), value) {
                (Ok(name), Value::Object(entries)) => tables.push((name, path, entries)),
                (Err(error), _) => self.problem(&path, error.to_string()),
                (Ok(_), other) => {
                    self.problem(&path, format!("must be a table, not {}", value::shown(other)));
                }
            }
        }
        tables
    }

    /// Notes that something is wrong with `key`.
    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(self.path_of(key), message));
    }

    /// Takes over problems that were found elsewhere, with their own paths.
    pub fn absorb(&mut self, problems: Vec<Problem>) {
        self.problems.extend(problems);
    }

    /// Ends the reading: everything that was found wrong.
    pub fn finish(self) -> Vec<Problem> {
        self.problems
    }
}

/// Why `key` may not stand there with `value`; `None` when it may.
fn refusal(key: &str, value: &Value, keys: &Keys) -> Option<String> {
    if let Some((_, reason)) = keys.refused.iter().find(|(refused, _)| *refused == key) {
        return Some((*reason).to_owned());
    }
    if keys.built.contains(&key) {
        return None;
    }
    if let Some((_, only)) = keys.planned.iter().find(|(planned, _)| *planned == key) {
        let same = serde_json::from_str::<Value>(only).is_ok_and(|only| only == *value);
        return (!same).then(|| not_built(key));
    }
    if keys.reserved.contains(&key) {
        return Some(format!("`{key}` is reserved for later; leave it out"));
    }
    let planned = keys.planned.iter().map(|(planned, _)| *planned);
    let known: Vec<&str> = keys.built.iter().copied().chain(planned).collect();
    // A typo is most likely meant to be something that works; a planned key comes second.
    let known = if nearest(key, keys.built).is_some() { keys.built } else { &known };
    Some(unknown_key(key, known))
}

/// The message for something that is documented and not there yet.
pub fn not_built(what: &str) -> String {
    format!("`{what}` is not built yet; leave it out")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KEYS: Keys = Keys {
        built: &["hour", "minute"],
        planned: &[("retry", "1"), ("secrets", "[]")],
        reserved: &["calendar"],
        refused: &[("id", "stands elsewhere")],
    };

    fn problems(value: &Value) -> Vec<String> {
        let Value::Object(entries) = value else { panic!("not a table") };
        let table = Table::new("jobs.x", entries, &KEYS);
        table.finish().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_key_that_may_not_stand_there_is_named_with_the_reason() {
        for (value, problem) in [
            (json!({"minut": 1}), "jobs.x.minut: unknown key `minut`; did you mean `minute`?"),
            (json!({"secret": 1}), "jobs.x.secret: unknown key `secret`; did you mean `secrets`?"),
            (json!({"retry": 2}), "jobs.x.retry: `retry` is not built yet; leave it out"),
            (json!({"id": 1}), "jobs.x.id: stands elsewhere"),
            (
                json!({"calendar": 1}),
                "jobs.x.calendar: `calendar` is reserved for later; leave it out",
            ),
        ] {
            assert_eq!(problems(&value), [problem], "{value}");
        }
    }

    #[test]
    fn a_planned_key_may_stand_there_with_its_default() {
        assert_eq!(problems(&json!({"retry": 1, "secrets": [], "hour": 3})), [""; 0]);
    }

    #[test]
    fn what_is_wrong_inside_a_table_carries_the_whole_path() {
        let value = json!({"hour": {"minute": true, "x": 1}});
        let Value::Object(entries) = &value else { panic!("not a table") };
        let mut table = Table::new("", entries, &KEYS);
        let mut inner = table.table("hour", &KEYS).unwrap();
        assert_eq!(inner.read("minute", value::whole(0..=59)), None);
        table.absorb(inner.finish());
        assert!(table.table("minute", &KEYS).is_none());
        let problems: Vec<String> = table.finish().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "hour.x: unknown key `x`; known here: hour, minute, retry, secrets",
                "hour.minute: must be a whole number from 0 to 59, not `true`",
            ]
        );
    }
}
