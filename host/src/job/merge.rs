//! Layers of a job's definition, laid over each other: built-in < the plugin's handler <
//! `job_defaults` < those of the tenant < sidecar < the job itself; then the host's caps clamp.
//!
//! Works on values as they were written and notes which layer each came from. Whether they are
//! right, `parse` says.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde::Serialize;
use serde_json::{Value, json};

use super::Source;
use super::limits::{Caps, Limits, amount};
use crate::problem::join;
use crate::table::Entries;

/// The tables that are merged key by key; everything else is taken as a whole.
pub const MERGED_BY_KEY: [&str; 4] = ["limits", "history", "retry", "config"];

/// Who wrote a part of a job's definition. A later one wins over those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The host itself.
    BuiltIn,
    /// The plugin's handler, by its defaults.
    Handler,
    /// The operator, for all jobs.
    JobDefaults,
    /// The operator, for all jobs of the tenant.
    TenantDefaults,
    /// Whoever defines the job.
    Job(Source),
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BuiltIn => "built in",
            Self::Handler | Self::Job(Source::Plugin) => "plugin",
            Self::JobDefaults => "job_defaults",
            Self::TenantDefaults => "tenant",
            Self::Job(Source::File) => "file",
            Self::Job(Source::Sidecar) => "sidecar",
            Self::Job(Source::Api) => "api",
            Self::Job(Source::Guest) => "guest",
        })
    }
}

impl Serialize for Layer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where an effective value came from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Origin {
    /// The layer that gave it.
    pub layer: Layer,
    /// Set when it was more than the host allows.
    pub clamped: Option<Clamped>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.clamped {
            None => self.layer.fmt(f),
            Some(Clamped { by, was }) => write!(f, "{by} ({} wanted {was})", self.layer),
        }
    }
}

/// What a clamped value was before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Clamped {
    /// The key that sets the cap.
    pub by: String,
    /// As it was written.
    pub was: Value,
}

/// All layers in one.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The values, by key.
    pub entries: Entries,
    /// Where each came from, by dotted key; tables that are taken as a whole have one entry.
    pub origins: BTreeMap<String, Origin>,
}

/// [`built_in`], made once.
static BUILT_IN: LazyLock<Entries> = LazyLock::new(built_in);

/// What stands where nobody wrote anything.
pub fn built_in() -> Entries {
    let capabilities = json!({
        "dirs": [], "http": [], "tcp": [], "env": [], "secrets": [], "kv": false, "jobs": false,
    });
    let retry = json!({
        "max_attempts": 1, "backoff": "30s", "factor": 2, "max_backoff": "10m", "jitter": true,
    });
    let values = [
        ("handler", json!("run")),
        ("trigger", json!(null)),
        ("args", json!(null)),
        ("config", json!({})),
        ("tags", json!([])),
        ("queue", json!("default")),
        ("priority", json!(0)),
        ("misfire_grace_time", json!("none")),
        ("coalesce", json!("latest")),
        ("max_catchup", json!(100)),
        ("max_instances", json!(1)),
        ("overlap", json!("skip")),
        ("queue_limit", json!(1)),
        ("retry", retry),
        ("pause_after_failures", json!("none")),
        ("rate_limit", json!("none")),
        ("expires", json!("none")),
        ("delivery", json!("at_least_once")),
        ("max_rescues", json!(3)),
        ("plugin_wait", json!("10m")),
        ("history", json!({"keep": 100, "max_age": "30d"})),
        ("limits", Limits::default().written()),
        ("capabilities", capabilities),
        ("smoke", json!(false)),
    ];
    values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What of `entries` is not as it is built in, with the same tables merged by key.
/// [`over_built_in`] makes it whole again.
pub fn difference(entries: &Entries) -> Entries {
    let is_own = |below: &Entries, key: &String, value: &Value| below.get(key) != Some(value);
    let own = entries.iter().filter(|(key, value)| is_own(&BUILT_IN, key, value));
    let reduced = own.map(|(key, value)| match (BUILT_IN.get(key), value) {
        (Some(Value::Object(below)), Value::Object(above))
            if MERGED_BY_KEY.contains(&key.as_str()) =>
        {
            let parts = above.iter().filter(|(part, value)| is_own(below, part, value));
            let parts = parts.map(|(part, value)| (part.clone(), value.clone()));
            (key.clone(), Value::Object(parts.collect()))
        }
        _ => (key.clone(), value.clone()),
    });
    reduced.collect()
}

/// The built-in values with those of `difference` over them.
pub fn over_built_in(difference: &Entries) -> Entries {
    over(BUILT_IN.clone(), difference)
}

/// The values of `below` with those of `difference` over them, as [`over_built_in`] with what
/// another host has built in.
pub fn over(below: Entries, difference: &Entries) -> Entries {
    let mut entries = below;
    for (key, value) in difference {
        match (entries.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above))
                if MERGED_BY_KEY.contains(&key.as_str()) =>
            {
                below.extend(above.clone());
            }
            _ => {
                entries.insert(key.clone(), value.clone());
            }
        }
    }
    entries
}

/// Lays `layers`, lowest first, over the built-in values.
pub fn merge(layers: &[(Layer, &Entries)]) -> Merged {
    let mut merged = Merged { entries: Entries::new(), origins: BTreeMap::new() };
    merged.lay(Layer::BuiltIn, &built_in());
    for (layer, entries) in layers {
        merged.lay(*layer, entries);
    }
    merged
}

/// A definition with the keys of `changes` in it: tables that are merged key by key between layers
/// are so here too, everything else is taken as a whole, and `null` takes a key out.
pub fn change(definition: &Entries, changes: &Entries) -> Entries {
    let mut changed = definition.clone();
    for (key, value) in changes {
        let value = match value {
            Value::Null => {
                changed.remove(key);
                continue;
            }
            Value::Object(above) if MERGED_BY_KEY.contains(&key.as_str()) => {
                let below = changed.get(key).and_then(Value::as_object);
                Value::Object(change(below.unwrap_or(&Entries::new()), above))
            }
            other => other.clone(),
        };
        changed.insert(key.clone(), value);
    }
    changed
}

impl Merged {
    /// Lays one layer over those before it.
    fn lay(&mut self, layer: Layer, entries: &Entries) {
        for (key, value) in entries {
            match (self.entries.get_mut(key), value) {
                (Some(Value::Object(below)), Value::Object(above))
                    if MERGED_BY_KEY.contains(&key.as_str()) =>
                {
                    for (inner, value) in above {
                        below.insert(inner.clone(), value.clone());
                        self.origins.insert(join(key, inner), Origin { layer, clamped: None });
                    }
                }
                _ => {
                    self.entries.insert(key.clone(), value.clone());
                    self.note(layer, key, value);
                }
            }
        }
    }

    /// Notes where the whole of `key` came from, its parts when it is merged by key.
    fn note(&mut self, layer: Layer, key: &str, value: &Value) {
        let below = format!("{key}.");
        self.origins.retain(|path, _| path != key && !path.starts_with(&below));
        match value {
            Value::Object(parts) if MERGED_BY_KEY.contains(&key) => {
                for part in parts.keys() {
                    self.origins.insert(join(key, part), Origin { layer, clamped: None });
                }
            }
            _ => {
                self.origins.insert(key.to_owned(), Origin { layer, clamped: None });
            }
        }
    }

    /// Holds every limit to what the operator lets any job have. What can't be read stays: that is a
    /// problem of its own.
    pub fn clamp(&mut self, caps: &Caps) {
        let Some(Value::Object(limits)) = self.entries.get_mut("limits") else { return };
        for (key, cap, most) in caps.iter() {
            let Some(value) = limits.get_mut(key) else { continue };
            if !amount(key, value).is_ok_and(|amount| amount > most) {
                continue;
            }
            let was = std::mem::replace(value, cap.clone());
            if let Some(origin) = self.origins.get_mut(&join("limits", key)) {
                origin.clamped = Some(Clamped { by: join(&caps.place, key), was });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(value: Value) -> Entries {
        let Value::Object(entries) = value else { panic!("not a table") };
        entries
    }

    const FILE: Layer = Layer::Job(Source::File);

    #[test]
    fn a_change_touches_its_own_keys_and_null_takes_one_out() {
        let definition = entries(json!({
            "plugin": "p", "priority": 3, "trigger": {"type": "cron", "hour": 3},
            "limits": {"timeout": "1m", "log": "1KiB"}, "args": {"a": 1},
        }));
        for (changes, key, expected) in [
            (json!({"priority": 4}), "priority", json!(4)),
            (json!({"priority": null}), "priority", Value::Null),
            (json!({"limits": {"log": "2KiB"}}), "limits", json!({"timeout": "1m", "log": "2KiB"})),
            (json!({"limits": {"log": null}}), "limits", json!({"timeout": "1m"})),
            (json!({"trigger": "every 5s"}), "trigger", json!("every 5s")),
            (json!({"trigger": {"type": "date"}}), "trigger", json!({"type": "date"})),
            (json!({"args": {"b": 2}}), "args", json!({"b": 2})),
            (json!({"config": {"k": "v", "l": null}}), "config", json!({"k": "v"})),
        ] {
            let changed = change(&definition, &entries(changes.clone()));
            assert_eq!(changed.get(key).unwrap_or(&Value::Null), &expected, "{changes}");
            assert_eq!(changed["plugin"], "p");
        }
    }

    #[test]
    fn the_highest_layer_that_has_a_key_wins_and_is_named() {
        let handler = entries(
            json!({"max_instances": 2, "priority": 1, "tags": ["a"], "limits": {"timeout": "1m", "log": 1}}),
        );
        let defaults = entries(json!({"priority": 2, "limits": {"timeout": "2m"}}));
        let job = entries(json!({"tags": ["b"], "limits": {"memory": "1MiB"}}));
        let merged =
            merge(&[(Layer::Handler, &handler), (Layer::JobDefaults, &defaults), (FILE, &job)]);
        for (path, value, origin) in [
            ("max_instances", json!(2), "plugin"),
            ("priority", json!(2), "job_defaults"),
            ("tags", json!(["b"]), "file"),
            ("coalesce", json!("latest"), "built in"),
            ("limits.timeout", json!("2m"), "job_defaults"),
            ("limits.log", json!(1), "plugin"),
            ("limits.memory", json!("1MiB"), "file"),
            ("limits.result", json!("64KiB"), "built in"),
        ] {
            let pointer = format!("/{}", path.replace('.', "/"));
            let whole = Value::Object(merged.entries.clone());
            assert_eq!(whole.pointer(&pointer), Some(&value), "{path}");
            assert_eq!(merged.origins[path].to_string(), origin, "{path}");
        }
    }

    #[test]
    fn limits_history_retry_and_config_are_merged_by_key_and_the_rest_is_taken_whole() {
        let below = json!({"a": 1, "b": 1});
        for (key, expected) in [
            ("limits", json!({"a": 1, "b": 2})),
            ("history", json!({"a": 1, "b": 2})),
            ("retry", json!({"a": 1, "b": 2})),
            ("config", json!({"a": 1, "b": 2})),
            ("trigger", json!({"b": 2})),
            ("args", json!({"b": 2})),
            ("capabilities", json!({"b": 2})),
        ] {
            let (lower, upper) = (entries(json!({key: below})), entries(json!({key: {"b": 2}})));
            let merged = merge(&[(Layer::Handler, &lower), (FILE, &upper)]);
            let Value::Object(mut got) = merged.entries[key].clone() else { panic!("{key}") };
            got.retain(|name, _| ["a", "b"].contains(&name.as_str()));
            assert_eq!(Value::Object(got), expected, "{key}");
        }
    }

    #[test]
    fn caps_clamp_what_is_over_them_and_say_so() {
        let mut caps = Caps::none("executor.caps");
        for (key, cap) in
            [("timeout", json!("1h")), ("memory", json!("1GiB")), ("fuel", json!("5G"))]
        {
            caps.set(key, &cap).unwrap();
        }
        let job = entries(json!({"limits": {"timeout": "90m", "memory": 2_147_483_648_u64}}));
        let mut merged = merge(&[(FILE, &job)]);
        merged.clamp(&caps);
        assert_eq!(merged.entries["limits"]["timeout"], "1h");
        assert_eq!(merged.entries["limits"]["memory"], "1GiB");
        assert_eq!(merged.entries["limits"]["fuel"], "5G");
        let origin = &merged.origins["limits.timeout"];
        assert_eq!(origin.to_string(), "executor.caps.timeout (file wanted \"90m\")");

        let mut exact = merge(&[(FILE, &entries(json!({"limits": {"timeout": "60m"}})))]);
        exact.clamp(&caps);
        assert_eq!(exact.entries["limits"]["timeout"], "60m");
        assert_eq!(exact.origins["limits.timeout"].clamped, None);
    }
}
