//! A job written out whole: every key with its value, in one form.

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::super::{Coalesce, Delivery, Job, Overlap, Retry, Smoke};
use super::capabilities;
use crate::table::Entries;
use crate::table::unit::show_duration;

/// Writes `job` with all its keys. `trigger` is the trigger as it was written; it is written out
/// with its zone, so that it means the same on every host.
pub fn effective(job: &Job, trigger: &Value, zone: Tz) -> Value {
    let policy = &job.policy;
    json!({
        "plugin": job.plugin,
        "handler": job.handler,
        "trigger": job.trigger.as_ref().map(|_| with_zone(trigger, zone)),
        "args": job.args,
        "config": job.config,
        "tags": job.tags,
        "queue": job.queue.as_str(),
        "priority": job.priority,
        "misfire_grace_time": or_none(policy.misfire_grace_time.map(show_duration)),
        "coalesce": match policy.coalesce {
            Coalesce::Latest => "latest",
            Coalesce::Earliest => "earliest",
            Coalesce::All => "all",
            Coalesce::Drop => "drop",
        },
        "max_catchup": policy.max_catchup,
        "max_instances": policy.max_instances,
        "overlap": match policy.overlap {
            Overlap::Skip => "skip",
            Overlap::Queue => "queue",
            Overlap::Replace => "replace",
        },
        "queue_limit": policy.queue_limit,
        "retry": retry(&policy.retry),
        "pause_after_failures": or_none(policy.pause_after_failures),
        "rate_limit": policy.rate_limit.map_or_else(|| "none".to_owned(), |rate| rate.to_string()),
        "expires": or_none(policy.expires.map(show_duration)),
        "delivery": match policy.delivery {
            Delivery::AtLeastOnce => "at_least_once",
            Delivery::AtMostOnce => "at_most_once",
        },
        "max_rescues": policy.max_rescues,
        "plugin_wait": show_duration(policy.plugin_wait),
        "history": {
            "keep": job.history.keep,
            "max_age": show_duration(job.history.max_age),
        },
        "limits": job.limits.written(),
        "capabilities": capabilities::written(&job.capabilities),
        "smoke": match &job.smoke {
            Smoke::No => json!(false),
            Smoke::Own => json!(true),
            Smoke::With(args) => json!({ "args": args }),
        },
    })
}

fn retry(retry: &Retry) -> Value {
    json!({
        "max_attempts": retry.max_attempts,
        "backoff": show_duration(retry.backoff),
        "factor": number(retry.factor),
        "max_backoff": show_duration(retry.max_backoff),
        "jitter": retry.jitter,
    })
}

/// A number as one writes it: `2`, not `2.0`.
fn number(value: f64) -> Value {
    let whole = value as u64;
    if whole as f64 == value { json!(whole) } else { json!(value) }
}

fn or_none(value: Option<impl serde::Serialize>) -> Value {
    value.map_or_else(|| json!("none"), |value| json!(value))
}

/// A trigger that says which zone its wall times are in; of a combination, each member does. Texts
/// that have wall times become the object that they stand for, since a text has no place for a zone.
fn with_zone(trigger: &Value, zone: Tz) -> Value {
    match trigger {
        Value::Object(keys) => {
            let mut keys: Entries = keys.clone();
            if let Some(Value::Array(members)) = keys.get_mut("triggers") {
                for member in members {
                    *member = with_zone(member, zone);
                }
            } else if keys.get("timezone").is_none_or(Value::is_null) {
                keys.insert("timezone".to_owned(), json!(zone.name()));
            }
            Value::Object(keys)
        }
        Value::String(text) => {
            let (word, rest) = text.trim().split_once(char::is_whitespace).unwrap_or_default();
            let rest = rest.trim_start();
            match word {
                "cron" => json!({"type": "cron", "crontab": rest, "timezone": zone.name()}),
                "at" => json!({"type": "date", "run_date": rest, "timezone": zone.name()}),
                _ => trigger.clone(),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => trigger.clone(),
    }
}
