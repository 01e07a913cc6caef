//! What stands between the parentheses of `#[job(...)]`, and the JSON that it becomes.

use std::collections::BTreeMap;

use proc_macro2::{Span, TokenStream};
use serde_json::{Map, Value, json};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, Lit, Token};

use crate::check;
use crate::keys::{KEYS, Key, Place, unknown_key};

/// The checked keys of the attribute.
#[derive(Debug)]
pub struct Attribute {
    /// The handler's name.
    pub name: Option<String>,
    /// One sentence for people.
    pub description: Option<String>,
    /// The keys of a job.
    pub defaults: Map<String, Value>,
}

impl Attribute {
    /// Reads and checks the keys; the error holds every problem there is.
    pub fn parse(tokens: TokenStream) -> syn::Result<Self> {
        let settings = Punctuated::<Setting, Token![,]>::parse_terminated.parse2(tokens)?;
        let mut problems = Vec::new();
        let mut values = BTreeMap::new();
        for setting in &settings {
            match setting.check() {
                Err(problem) => problems.push(problem),
                Ok((key, value)) => {
                    let given = Given { key, span: setting.key.span(), value };
                    if values.insert(key.name, given).is_some() {
                        let message = format!("`{}` is given twice: keep one", key.name);
                        problems.push(Error::new(setting.key.span(), message));
                    }
                }
            }
        }
        // An option is not blamed for a trigger that is there but wrong.
        let is_trigger = |setting: &Setting| {
            KEYS.iter().any(|key| setting.key == key.name && key.place == Place::Trigger)
        };
        if settings.iter().filter(|setting| is_trigger(setting)).count()
            == values.values().filter(|given| given.key.place == Place::Trigger).count()
        {
            problems.extend(trigger_problems(&values));
        }
        all_or_nothing(problems)?;
        Ok(Self::from_values(values))
    }

    /// The keys of a job as a JSON object; none when there are none.
    pub fn defaults_json(&self) -> Option<String> {
        (!self.defaults.is_empty()).then(|| Value::Object(self.defaults.clone()).to_string())
    }

    fn from_values(mut values: BTreeMap<&'static str, Given>) -> Self {
        let mut text = |key| match values.remove(key)?.value {
            Value::String(text) => Some(text),
            _ => None,
        };
        let (name, description) = (text("name"), text("description"));

        let (mut defaults, mut options, mut limits) = (Map::new(), Map::new(), Map::new());
        let mut trigger = None;
        for (name, given) in values {
            match given.key.place {
                Place::Trigger => trigger = Some((name, given.value)),
                Place::TriggerOption(_) => _ = options.insert(name.into(), given.value),
                Place::Limits => _ = limits.insert(name.into(), given.value),
                Place::Handler | Place::Job => _ = defaults.insert(name.into(), given.value),
            }
        }
        if let Some((kind, value)) = trigger {
            defaults.insert("trigger".into(), trigger_json(kind, &value, options));
        }
        if !limits.is_empty() {
            defaults.insert("limits".into(), limits.into());
        }
        Self { name, description, defaults }
    }
}

/// One error for all problems; nothing when there are none.
pub fn all_or_nothing(problems: Vec<Error>) -> syn::Result<()> {
    let all = problems.into_iter().reduce(|mut all, problem| {
        all.combine(problem);
        all
    });
    all.map_or(Ok(()), Err)
}

/// `key = value`, as written.
struct Setting {
    key: Ident,
    value: Lit,
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key: Ident = input
            .parse()
            .map_err(|error| Error::new(error.span(), "write keys, as in `every = \"15s\"`"))?;
        let example = KEYS.iter().find(|known| key == known.name).map_or("...", |key| key.example);
        let explain = |error: Error| {
            Error::new(error.span(), format!("`{key}` takes a value, as in `{key} = {example}`"))
        };
        input.parse::<Token![=]>().map_err(explain)?;
        let value = input.parse().map_err(explain)?;
        Ok(Self { key, value })
    }
}

impl Setting {
    fn check(&self) -> syn::Result<(&'static Key, Value)> {
        let name = self.key.to_string();
        let key = KEYS
            .iter()
            .find(|key| key.name == name)
            .ok_or_else(|| Error::new(self.key.span(), unknown_key(&name)))?;
        let value = (key.check)(&self.value).map_err(|reason| {
            let message = format!("`{name}`: {reason}; for example `{name} = {}`", key.example);
            Error::new(self.value.span(), message)
        })?;
        Ok((key, value))
    }
}

/// A checked value and where it stands.
struct Given {
    key: &'static Key,
    span: Span,
    value: Value,
}

/// Rules about several keys: one trigger, and options only beside a trigger that knows them.
fn trigger_problems(values: &BTreeMap<&'static str, Given>) -> Vec<Error> {
    let mut problems = Vec::new();
    let triggers: Vec<_> = KEYS
        .iter()
        .filter(|key| key.place == Place::Trigger)
        .filter_map(|key| values.get(key.name))
        .collect();
    for extra in triggers.iter().skip(1) {
        let (first, extra_name) = (triggers[0].key.name, extra.key.name);
        let message = format!(
            "`{extra_name}` beside `{first}`: a job has one trigger; keep one, or give the job an \
             `or` trigger in its configuration"
        );
        problems.push(Error::new(extra.span, message));
    }
    for given in values.values() {
        let Place::TriggerOption(kinds) = given.key.place else { continue };
        let kinds_text =
            kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" or ");
        let name = given.key.name;
        let message = match triggers.first() {
            Some(trigger) if kinds.contains(&trigger.key.name) => continue,
            Some(trigger) => {
                format!("`{name}` does not go with `{}`: only with {kinds_text}", trigger.key.name)
            }
            None => format!("`{name}` belongs to a trigger: add {kinds_text}"),
        };
        problems.push(Error::new(given.span, message));
    }
    problems
}

/// The text form of a trigger when it has no options, else an object.
fn trigger_json(kind: &str, value: &Value, options: Map<String, Value>) -> Value {
    let text = value.as_str().unwrap_or_default();
    if options.is_empty() {
        return format!("{kind} {text}").into();
    }
    let mut trigger = options;
    match kind {
        "every" => {
            trigger.insert("type".into(), "interval".into());
            trigger.insert("seconds".into(), seconds(text));
        }
        "cron" => {
            trigger.insert("type".into(), "cron".into());
            trigger.insert("crontab".into(), text.into());
        }
        _ => {
            trigger.insert("type".into(), "date".into());
            trigger.insert("run_date".into(), text.into());
        }
    }
    trigger.into()
}

/// A checked duration as a number of seconds, with a fraction only when there is one.
fn seconds(duration: &str) -> Value {
    let millis = check::millis(duration).unwrap_or_default();
    if millis.is_multiple_of(1_000) {
        return json!(millis / 1_000);
    }
    #[expect(clippy::cast_precision_loss, reason = "exact up to 285,000 years")]
    let seconds = millis as f64 / 1_000.0;
    json!(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(attribute: &str) -> syn::Result<Attribute> {
        Attribute::parse(attribute.parse().unwrap())
    }

    #[test]
    fn keys_become_those_of_a_job() {
        for (attribute, defaults) in [
            (r#"every = "15s""#, json!({"trigger": "every 15s"})),
            (r#"cron = "30 2 * * *""#, json!({"trigger": "cron 30 2 * * *"})),
            (r#"at = "2026-12-01 09:00:00","#, json!({"trigger": "at 2026-12-01 09:00:00"})),
            (
                r#"every = "2h", start = "now", timezone = "UTC""#,
                json!({"trigger":
                    {"type": "interval", "seconds": 7200, "start": "now", "timezone": "UTC"}}),
            ),
            (
                r#"every = "250ms", end_date = "2027-01-01""#,
                json!({"trigger": {"type": "interval", "seconds": 0.25, "end_date": "2027-01-01"}}),
            ),
            (
                r#"cron = "30 2 * * *", timezone = "Europe/Berlin", dst = "wall", max_instances = 1"#,
                json!({
                    "trigger": {"type": "cron", "crontab": "30 2 * * *",
                        "timezone": "Europe/Berlin", "dst": "wall"},
                    "max_instances": 1,
                }),
            ),
            (
                r#"at = "2026-12-01 09:00:00", timezone = "UTC""#,
                json!({"trigger":
                    {"type": "date", "run_date": "2026-12-01 09:00:00", "timezone": "UTC"}}),
            ),
            (
                r#"timeout = "5m", memory = "64MiB", fuel = "5G", plugin_wait = "1m""#,
                json!({
                    "limits": {"timeout": "5m", "memory": "64MiB", "fuel": "5G"},
                    "plugin_wait": "1m",
                }),
            ),
            (
                r#"misfire_grace_time = "none", coalesce = true, max_catchup = 5, fuel = 1_000,
                   delivery = "at_most_once""#,
                json!({
                    "misfire_grace_time": "none", "coalesce": true, "max_catchup": 5,
                    "limits": {"fuel": 1000}, "delivery": "at_most_once",
                }),
            ),
        ] {
            let parsed = parse(attribute).expect(attribute);
            assert_eq!(Value::from(parsed.defaults), defaults, "{attribute}");
        }
    }

    #[test]
    fn name_and_description_are_the_handlers_own() {
        let parsed = parse(r#"name = "a.b", description = "Does it""#).unwrap();
        assert_eq!((parsed.name.as_deref(), parsed.defaults_json()), (Some("a.b"), None));
        assert_eq!(parsed.description.as_deref(), Some("Does it"));
        assert_eq!(parse("").unwrap().defaults_json(), None);
    }

    #[test]
    fn what_is_wrong_says_what_to_write() {
        for (attribute, message) in [
            (r#"max_instance = 1"#, "unknown key `max_instance`: did you mean `max_instances`?"),
            (r#"evry = "1s""#, "unknown key `evry`: did you mean `every`?"),
            (r#"interval = "1s""#, "unknown key `interval`: did you mean `every`?"),
            ("every", "`every` takes a value, as in `every = \"15s\"`"),
            ("every = 15s", "`every`: write a text in quotes; for example `every = \"15s\"`"),
            ("every = now()", "`every` takes a value, as in `every = \"15s\"`"),
            (r#""15s""#, "write keys, as in `every = \"15s\"`"),
            (r#"every = "1s", every = "2s""#, "`every` is given twice: keep one"),
            (
                r#"every = "1s", cron = "* * * * *""#,
                "`cron` beside `every`: a job has one trigger; keep one, or give the job an `or` \
                 trigger in its configuration",
            ),
            (
                r#"timezone = "UTC""#,
                "`timezone` belongs to a trigger: add `every` or `cron` or `at`",
            ),
            (r#"every = "1s", dst = "once""#, "`dst` does not go with `every`: only with `cron`"),
            (
                r#"cron = "* * * * *", dst = "twice""#,
                "`dst`: `twice` is not `once` or `wall`; for example `dst = \"once\"`",
            ),
            (
                "max_instances = 0",
                "`max_instances`: `0` is too small: at least 1; for example `max_instances = 1`",
            ),
            (
                r#"max_instances = "1""#,
                "`max_instances`: write a whole number without quotes; for example \
                 `max_instances = 1`",
            ),
            (
                "max_catchup = 5_000_000_000",
                "`max_catchup`: `5_000_000_000` is too large: at most 4294967295; for example \
                 `max_catchup = 100`",
            ),
            (
                r#"coalesce = "none""#,
                "`coalesce`: `none` is not `latest` or `earliest` or `all` or `drop`; for example \
                 `coalesce = \"latest\"`",
            ),
            (
                r#"every = "15x", timezone = "UTC""#,
                "`every`: `15x` is not a duration: write a number and one of `ms`, `s`, `m`, `h`, \
                 `d`; for example `every = \"15s\"`",
            ),
        ] {
            let error = parse(attribute).expect_err(attribute);
            assert_eq!(error.to_string(), message, "{attribute}");
        }
    }
}
