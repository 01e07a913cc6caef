//! One job from its layers: what it is when everything that speaks about it is taken together.
//!
//! Serves files, sidecars, plugins and REST alike. Does not decide which definition of an id
//! counts; that is [`definitions`](super::definitions).

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Config;
use crate::job::merge::{Layer, Merged, Origin, merge};
use crate::job::names::{HandlerName, PluginName};
use crate::job::parse::{self, effective};
use crate::job::{Job, JobKey, PluginKey, Source};
use crate::plugin::Handler;
use crate::problem::{Problem, join, nearest};
use crate::table::Entries;
use crate::table::value::{one_of, shown};

/// What a plugin says about the jobs that it carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// The plugin.
    pub plugin: PluginKey,
    /// Its handlers; `None` when the plugin is there but can't be asked, so that nobody knows.
    pub handlers: Option<Vec<Handler>>,
    /// Whether it lies in the own folder: then its handlers may become jobs by themselves. One that
    /// another host handed on only adds to jobs that somebody wrote down.
    pub own: bool,
}

/// A definition that is to become a job.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The job's name.
    pub key: JobKey,
    /// Who defines it.
    pub source: Source,
    /// What they wrote. A body's `id` must be taken out before.
    pub definition: &'a Entries,
    /// What the plugin's sidecar says about the same job, when the definition is the file's.
    pub sidecar: Option<&'a Entries>,
    /// The file or plugin it was read from, for people.
    pub origin: String,
    /// Of two hosts' definitions the higher wins.
    pub config_version: i64,
    /// Where the definition stands there: `jobs.nightly`; empty for a REST body.
    pub path: String,
}

/// A job with all that its owner, `host explain` and the store need to know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// The checked job.
    pub job: Job,
    /// Who defines it.
    pub source: Source,
    /// What they wrote.
    pub definition: Value,
    /// The job written out whole: defaults filled in, folders absolute, limits clamped.
    pub effective: Value,
    /// Where each effective value that is not built in came from, by dotted key, for people.
    pub origins: BTreeMap<String, String>,
    /// `sha256:` and 64 hexadecimal digits, over the definition and all that was merged into it.
    pub digest: String,
    /// Of two hosts' definitions the higher wins.
    pub config_version: i64,
    /// The file or plugin it was read from, for people.
    pub origin: String,
    /// Whether a layer could not be read, since the plugin is missing or broken: the job may lack
    /// what that layer would give it.
    pub incomplete: bool,
    /// What is likely wrong but stops nobody: a handler that the plugin lacks.
    pub remarks: Vec<Problem>,
}

/// Merges, clamps and checks one job.
///
/// # Errors
///
/// Every problem of the definition, with its path below `wanted.path`.
pub fn resolve(
    config: &Config,
    wanted: Wanted<'_>,
    plugins: &[Carried],
) -> Result<Resolved, Vec<Problem>> {
    let layer = Layer::Job(wanted.source);
    let place = config.place(&wanted.key.tenant);
    let mut problems = parse::check(wanted.definition, layer, &wanted.path, place);
    if !wanted.definition.contains_key("plugin") {
        problems.push(Problem::new(wanted.path.clone(), parse::NO_PLUGIN));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let nothing = Entries::new();
    let sidecar = wanted.sidecar.unwrap_or(&nothing);
    let handler = suggestion(&wanted, sidecar, plugins);
    let mut merged = merge(&[
        (Layer::Handler, handler.defaults.unwrap_or(&nothing)),
        (Layer::JobDefaults, &config.job_defaults),
        (Layer::TenantDefaults, config.defaults_of(&wanted.key.tenant)),
        (Layer::Job(Source::Sidecar), sidecar),
        (layer, wanted.definition),
    ]);
    config.caps(&wanted.key.tenant).into_iter().for_each(|caps| merged.clamp(caps));
    let job = parse::job(wanted.key, &merged.entries, &wanted.path, place)?;
    let trigger = merged.entries.get("trigger").unwrap_or(&Value::Null);
    let effective = effective::effective(&job, trigger, config.timezone);
    let definition = Value::Object(wanted.definition.clone());
    Ok(Resolved {
        digest: digest(&[&definition, &effective]),
        origins: origins(&merged, &effective),
        job,
        source: wanted.source,
        definition,
        effective,
        config_version: wanted.config_version,
        origin: wanted.origin,
        incomplete: handler.unknown,
        remarks: handler.remarks,
    })
}

/// Where the values that are not built in came from, in words. A zone that the trigger did not name
/// itself is the one of the key `timezone` at the top of the file.
fn origins(merged: &Merged, effective: &Value) -> BTreeMap<String, String> {
    let built_in = Origin { layer: Layer::BuiltIn, clamped: None };
    let others = merged.origins.iter().filter(|(_, origin)| **origin != built_in);
    let mut origins: BTreeMap<String, String> =
        others.map(|(key, origin)| (key.clone(), origin.to_string())).collect();
    let zone = |trigger: Option<&Value>| {
        trigger.and_then(|trigger| trigger.get("timezone")).is_some_and(|zone| !zone.is_null())
    };
    if zone(effective.get("trigger")) && !zone(merged.entries.get("trigger")) {
        origins.insert("trigger.timezone".to_owned(), "timezone".to_owned());
    }
    origins
}

/// What the handler of a job suggests for it.
struct Suggestion<'a> {
    defaults: Option<&'a Entries>,
    /// Nobody can tell.
    unknown: bool,
    remarks: Vec<Problem>,
}

fn suggestion<'a>(
    wanted: &Wanted<'_>,
    sidecar: &Entries,
    plugins: &'a [Carried],
) -> Suggestion<'a> {
    let mut suggestion = Suggestion { defaults: None, unknown: false, remarks: Vec::new() };
    let Some((plugin, name)) = named_handler(wanted.definition, sidecar) else {
        return suggestion;
    };
    let key = PluginKey { tenant: wanted.key.tenant.clone(), plugin };
    let carried = plugins.iter().find(|carried| carried.plugin == key);
    let Some(handlers) = carried.and_then(|carried| carried.handlers.as_ref()) else {
        suggestion.unknown = true;
        return suggestion;
    };
    match handlers.iter().find(|handler| handler.name == name) {
        Some(handler) => suggestion.defaults = usable_defaults(handler),
        None => {
            let names: Vec<&str> = handlers.iter().map(|handler| handler.name.as_str()).collect();
            let path = join(&wanted.path, "handler");
            let message = no_such_handler(&key.plugin, &name, &names);
            suggestion.remarks.push(Problem::new(path, message));
        }
    }
    suggestion
}

/// The plugin and the handler that a definition is for.
pub fn named_handler(definition: &Entries, sidecar: &Entries) -> Option<(PluginName, HandlerName)> {
    let text = |key| definition.get(key).or_else(|| sidecar.get(key)).and_then(Value::as_str);
    let plugin = text("plugin")?.parse().ok()?;
    let handler = match text("handler") {
        Some(name) => name.parse().ok()?,
        None => HandlerName::run(),
    };
    Some((plugin, handler))
}

/// What a handler suggests, unless something is wrong with it: then it counts as nothing.
pub fn usable_defaults(handler: &Handler) -> Option<&Entries> {
    handler.defaults.as_ref()?.as_object().filter(|_| check_defaults(handler).is_empty())
}

/// All that is wrong with what a handler suggests.
pub fn check_defaults(handler: &Handler) -> Vec<Problem> {
    // A handler has no folder and no zone of its own, and neither changes what is right.
    let place = parse::Place {
        base_dir: std::path::Path::new("/"),
        zone: chrono_tz::Tz::UTC,
        tenant: None,
        allow: crate::job::capabilities::Allow::nothing(),
    };
    let path = format!("handlers.{}.defaults", handler.name);
    match &handler.defaults {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(entries)) => parse::check(entries, Layer::Handler, &path, place),
        Some(other) => {
            let message = format!("must be an object with keys of a job, not {}", shown(other));
            vec![Problem::new(path, message)]
        }
    }
}

fn no_such_handler(plugin: &PluginName, name: &HandlerName, names: &[&str]) -> String {
    match (names, nearest(name.as_str(), names)) {
        ([], _) => format!("plugin `{plugin}` has no handlers"),
        (_, Some(near)) => {
            format!("plugin `{plugin}` has no handler `{name}`; did you mean `{near}`?")
        }
        (_, None) => format!("plugin `{plugin}` has no handler `{name}`; it has {}", one_of(names)),
    }
}

/// A digest that does not depend on the order in which keys are kept.
fn digest(values: &[&Value]) -> String {
    let mut text = String::new();
    for value in values {
        write_sorted(value, &mut text);
        text.push('\n');
    }
    let hash = Sha256::digest(text.as_bytes());
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// JSON with the keys of every table in order.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(entries) => {
            let mut sorted: Vec<(&String, &Value)> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in sorted {
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                write_sorted(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_sorted(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::job::names::TenantId;

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("host.toml"), Path::new("/srv"), 1).unwrap()
    }

    fn report(defaults: Value) -> Vec<Carried> {
        let plugin =
            PluginKey { tenant: TenantId::default_tenant(), plugin: "report".parse().unwrap() };
        let handler = Handler {
            name: HandlerName::run(),
            description: String::new(),
            defaults: Some(defaults),
        };
        vec![Carried { plugin, handlers: Some(vec![handler]), own: true }]
    }

    fn resolved(
        config: &Config,
        source: Source,
        definition: Value,
        plugins: &[Carried],
    ) -> Result<Resolved, Vec<Problem>> {
        let Value::Object(definition) = definition else { panic!("not a table") };
        let wanted = Wanted {
            key: JobKey { tenant: TenantId::default_tenant(), job: "x".parse().unwrap() },
            source,
            definition: &definition,
            sidecar: None,
            origin: "test".to_owned(),
            config_version: 1,
            path: String::new(),
        };
        resolve(config, wanted, plugins)
    }

    #[test]
    fn each_layer_wins_over_those_below_and_the_host_clamps() {
        let config = config(
            "[job_defaults]\npriority = 2\nmax_rescues = 2\n[executor]\ncaps = { timeout = '1m' }",
        );
        let plugins = report(
            json!({"priority": 1, "max_rescues": 1, "trigger": "every 5s", "limits": {"timeout": "2m"}}),
        );
        let job = json!({"plugin": "report", "max_rescues": 4});
        let resolved = resolved(&config, Source::File, job, &plugins).unwrap();
        for (pointer, value) in [
            ("/priority", json!(2)),
            ("/max_rescues", json!(4)),
            ("/trigger", json!("every 5s")),
            ("/limits/timeout", json!("1m")),
        ] {
            assert_eq!(resolved.effective.pointer(pointer), Some(&value), "{pointer}");
        }
        assert_eq!(
            resolved.origins["limits.timeout"],
            "executor.caps.timeout (plugin wanted \"2m\")"
        );
        assert!(!resolved.incomplete);
    }

    #[test]
    fn the_origins_name_what_is_not_built_in_and_the_zone_that_was_filled_in() {
        let trigger = json!({"type": "cron", "hour": 3});
        let job = json!({"plugin": "report", "trigger": trigger, "limits": {"timeout": "9h"}});
        let resolved = resolved(&config(""), Source::File, job, &[]).unwrap();
        let origins: Vec<_> =
            resolved.origins.iter().map(|(key, origin)| format!("{key}: {origin}")).collect();
        assert_eq!(
            origins,
            [
                "limits.timeout: executor.caps.timeout (file wanted \"9h\")",
                "plugin: file",
                "trigger: file",
                "trigger.timezone: timezone",
            ]
        );
    }

    #[test]
    fn the_digest_changes_with_what_was_merged_and_with_nothing_else() {
        let (plain, zoned) = (config(""), config("timezone = 'Asia/Tokyo'"));
        let definition = json!({"plugin": "report", "trigger": "cron 0 3 * * *"});
        let of = |config: &Config, defaults: Value| {
            resolved(config, Source::File, definition.clone(), &report(defaults)).unwrap().digest
        };
        let digest = of(&plain, json!({}));
        assert_eq!(digest.len(), "sha256:".len() + 64);
        assert_eq!(of(&plain, json!({"trigger": "every 5s"})), digest, "a layer that is covered");
        assert_ne!(of(&plain, json!({"priority": 5})), digest, "another default of the plugin");
        assert_ne!(of(&zoned, json!({})), digest, "another zone");
    }

    #[test]
    fn a_rest_body_has_its_problems_at_its_own_keys() {
        let body = json!({"plugin": "report", "trigger": {"type": "cron", "hour": 25}, "priority": -1,
            "capabilities": {"dirs": [{"host": "/", "guest": "/"}]}});
        let problems = resolved(&config(""), Source::Api, body, &[]).unwrap_err();
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["trigger.hour", "priority", "capabilities"]);
    }

    #[test]
    fn a_plugin_that_is_not_there_leaves_the_job_incomplete_and_a_wrong_handler_is_remarked() {
        let job = json!({"plugin": "report", "handler": "rum"});
        let absent = resolved(&config(""), Source::File, job.clone(), &[]).unwrap();
        assert!(absent.incomplete && absent.remarks.is_empty());
        let wrong = resolved(&config(""), Source::File, job, &report(json!({}))).unwrap();
        assert_eq!(
            wrong.remarks[0].to_string(),
            "handler: plugin `report` has no handler `rum`; did you mean `run`?"
        );
    }

    #[test]
    fn broken_suggestions_of_a_plugin_count_as_none() {
        let plugins = report(json!({"priority": 99, "trigger": "every 5s"}));
        let job = json!({"plugin": "report"});
        let resolved = resolved(&config(""), Source::File, job, &plugins).unwrap();
        assert_eq!(resolved.job.trigger, None);
        let handler = &plugins[0].handlers.as_ref().unwrap()[0];
        assert_eq!(
            check_defaults(handler)[0].to_string(),
            "handlers.run.defaults.priority: must be a whole number from 0 to 9, not `99`"
        );
    }
}
