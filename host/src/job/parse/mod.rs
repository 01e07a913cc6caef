//! From a job's keys to a checked [`Job`], and back to the keys.
//!
//! [`check`] looks at one layer as it was written, so that each problem is named where it stands;
//! [`job`] makes the job from all layers merged; [`effective`](effective::effective) writes it out
//! whole, so that [`Job::from_effective`] reads the same job on any host without its
//! configuration. Nothing here reads files: a granted folder need not exist.

mod capabilities;
pub mod effective;
pub mod keys;
mod limits;
mod parts;

pub use capabilities::allow;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono_tz::Tz;
use serde_json::Value;

use super::capabilities::{Allow, Capabilities};
use super::merge::{self, Layer};
use super::names::{HandlerName, PluginName, QueueName, TenantId};
use super::rate::RateLimit;
use super::{Coalesce, Delivery, Job, JobKey, JobSpec, Overlap, Policy, Smoke};
use crate::problem::Problem;
use crate::table::value::{choice, list, name, shown, texts, whole};
use crate::table::{Entries, Table, unit};
use crate::trigger::Trigger;

/// `max_catchup` at most: what a store makes in one step.
pub const MAX_CATCHUP: u32 = 1_000;
/// `max_instances` at most.
pub const MAX_INSTANCES: u32 = 10_000;
/// `max_rescues` at most.
pub const MAX_RESCUES: u32 = 100;
/// `queue_limit` at most.
pub const MAX_QUEUE: u32 = 10_000;
/// `retry.max_attempts` at most.
pub const MAX_ATTEMPTS: u32 = 1_000;
/// `retry.factor` at most.
pub const MAX_FACTOR: f64 = 100.0;
/// `pause_after_failures` at most.
pub const MAX_FAILURES: u32 = 1_000_000;
/// `priority` at most.
pub const MAX_PRIORITY: u64 = 9;
/// `limits.log`, `limits.result` and `limits.args` at most, in bytes: they are kept with each run.
pub const MAX_TEXT: u64 = 64 << 20;
/// `history.keep` at most.
pub const MAX_KEEP: u64 = 100_000;
/// Granted folders of one job at most.
pub const MAX_DIRS: usize = 64;
/// Grants of each other kind of one job at most.
pub const MAX_GRANTS: usize = 64;
/// Tags of one job at most.
pub const MAX_TAGS: usize = 32;
/// Bytes of one tag at most.
pub const MAX_TAG_BYTES: usize = 128;

/// What is said of a job that names no plugin.
pub const NO_PLUGIN: &str = "`plugin` is missing: name the plugin that is run";

/// Where a definition stands: what its relative paths and wall times mean.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Absolute; relative host folders start here.
    pub base_dir: &'a Path,
    /// The zone of wall times that name none.
    pub zone: Tz,
    /// Whose it is; `None`: the tenant `default`, or nobody's in particular.
    pub tenant: Option<&'a TenantId>,
    /// What those may grant who do not own the machine.
    pub allow: &'a Allow,
}

/// Where a job stands that is written out whole: it has no relative paths, and its trigger names
/// its zone.
fn anywhere() -> Place<'static> {
    Place { base_dir: Path::new("/"), zone: Tz::UTC, tenant: None, allow: Allow::nothing() }
}

/// Finds all that is wrong with one layer, without what the other layers say.
pub fn check(entries: &Entries, layer: Layer, path: &str, place: Place<'_>) -> Vec<Problem> {
    read(entries, layer, path, place).1
}

/// Makes the job from its merged layers.
///
/// # Errors
///
/// Every problem, with its path below `path`; a missing `plugin` is one.
pub fn job(
    key: JobKey,
    merged: &Entries,
    path: &str,
    place: Place<'_>,
) -> Result<Job, Vec<Problem>> {
    let (draft, problems) = read(merged, Layer::BuiltIn, path, place);
    finish(key, draft, problems, merged.contains_key("plugin"), path)
}

/// The job of all that is said, unless something is wrong with it.
fn finish(
    key: JobKey,
    draft: Draft,
    mut problems: Vec<Problem>,
    names_plugin: bool,
    path: &str,
) -> Result<Job, Vec<Problem>> {
    if !names_plugin {
        problems.push(Problem::new(path, NO_PLUGIN));
    }
    match draft.finish(key) {
        Some(job) if problems.is_empty() => {
            let bytes = job.args.to_string().len() as u64;
            if bytes <= job.limits.args {
                return Ok(job);
            }
            let most = unit::show_size(job.limits.args);
            let message = format!("are {bytes} bytes of JSON, more than `limits.args` = {most}");
            Err(vec![Problem::new(crate::problem::join(path, "args"), message)])
        }
        Some(_) | None => Err(problems),
    }
}

impl Job {
    /// Reads back what [`effective`](effective::effective) wrote. A key that is missing, since an
    /// older host wrote it, has its built-in value.
    ///
    /// # Errors
    ///
    /// Every problem, as for [`job`]: a newer host wrote it, or a person did.
    pub fn from_effective(key: JobKey, effective: &Value) -> Result<Self, Vec<Problem>> {
        let Value::Object(entries) = effective else {
            return Err(vec![Problem::new("", format!("no job: {}", shown(effective)))]);
        };
        // Nearly always it is whole, and merging takes twice as long as reading.
        if let Ok(job) = job(key.clone(), entries, "", anywhere()) {
            return Ok(job);
        }
        let merged = merge::merge(&[(Layer::BuiltIn, entries)]).entries;
        job(key, &merged, "", anywhere())
    }

    /// The same job, of what [`merge::difference`] leaves of such a text.
    ///
    /// # Errors
    ///
    /// As for [`from_effective`](Self::from_effective).
    pub fn from_difference(key: JobKey, difference: &Entries) -> Result<Self, Vec<Problem>> {
        let (draft, problems) = read(difference, Layer::BuiltIn, "", anywhere());
        finish(key, draft.over(&BUILT_IN), problems, difference.contains_key("plugin"), "")
    }
}

/// What is built in, read once.
static BUILT_IN: LazyLock<Draft> =
    LazyLock::new(|| read(&merge::built_in(), Layer::BuiltIn, "", anywhere()).0);

/// What one layer, or all of them, says about each key; `None` where it says nothing, or nothing
/// that can be understood.
struct Draft {
    plugin: Option<PluginName>,
    handler: Option<HandlerName>,
    trigger: Option<Option<Trigger>>,
    args: Option<Value>,
    config: Option<BTreeMap<String, String>>,
    tags: Option<Vec<String>>,
    queue: Option<QueueName>,
    priority: Option<u8>,
    misfire_grace_time: Option<Option<Duration>>,
    coalesce: Option<Coalesce>,
    max_catchup: Option<NonZeroU32>,
    max_instances: Option<NonZeroU32>,
    overlap: Option<Overlap>,
    queue_limit: Option<u32>,
    pause_after_failures: Option<Option<NonZeroU32>>,
    rate_limit: Option<Option<RateLimit>>,
    expires: Option<Option<Duration>>,
    retry: parts::RetryDraft,
    delivery: Option<Delivery>,
    max_rescues: Option<u32>,
    plugin_wait: Option<Duration>,
    limits: limits::LimitsDraft,
    history: parts::HistoryDraft,
    capabilities: Option<Capabilities>,
    smoke: Option<Smoke>,
}

/// Reads every key that is there, and notes everything that is wrong.
fn read(entries: &Entries, layer: Layer, path: &str, place: Place<'_>) -> (Draft, Vec<Problem>) {
    let mut table = Table::new(path, entries, &keys::of_layer(layer));
    let delivery =
        [("at_least_once", Delivery::AtLeastOnce), ("at_most_once", Delivery::AtMostOnce)];
    let overlap =
        [("skip", Overlap::Skip), ("queue", Overlap::Queue), ("replace", Overlap::Replace)];
    let draft = Draft {
        plugin: table.read("plugin", name),
        handler: table.read("handler", name),
        trigger: read_trigger(&mut table, place.zone),
        args: table.raw("args").cloned(),
        config: table.read("config", read_config),
        tags: table.read("tags", read_tags),
        queue: table.read("queue", name),
        priority: table.read("priority", |value| narrow(value, 0, MAX_PRIORITY)),
        misfire_grace_time: table
            .read("misfire_grace_time", unit::or_none(unit::positive_duration)),
        coalesce: table.read("coalesce", read_coalesce),
        max_catchup: table.read("max_catchup", |value| narrow(value, 1, MAX_CATCHUP.into())),
        max_instances: table.read("max_instances", |value| narrow(value, 1, MAX_INSTANCES.into())),
        overlap: table.read("overlap", choice(&overlap)),
        queue_limit: table.read("queue_limit", |value| narrow(value, 1, MAX_QUEUE.into())),
        rate_limit: table.read("rate_limit", unit::or_none(RateLimit::read)),
        pause_after_failures: table.read(
            "pause_after_failures",
            unit::or_none(|value| narrow(value, 1, MAX_FAILURES.into())),
        ),
        expires: table.read("expires", unit::or_none(unit::positive_duration)),
        retry: parts::retry(&mut table),
        delivery: table.read("delivery", choice(&delivery)),
        max_rescues: table.read("max_rescues", |value| narrow(value, 0, MAX_RESCUES.into())),
        plugin_wait: table.read("plugin_wait", unit::duration),
        limits: limits::limits(&mut table),
        history: parts::history(&mut table),
        capabilities: capabilities::capabilities(&mut table, layer, place),
        smoke: table.read("smoke", parts::smoke),
    };
    (draft, table.finish())
}

impl Draft {
    /// What this says, and where it says nothing what `below` says.
    fn over(self, below: &Self) -> Self {
        Self {
            plugin: self.plugin.or_else(|| below.plugin.clone()),
            handler: self.handler.or_else(|| below.handler.clone()),
            trigger: self.trigger.or_else(|| below.trigger.clone()),
            args: self.args.or_else(|| below.args.clone()),
            config: self.config.or_else(|| below.config.clone()),
            tags: self.tags.or_else(|| below.tags.clone()),
            queue: self.queue.or_else(|| below.queue.clone()),
            priority: self.priority.or(below.priority),
            misfire_grace_time: self.misfire_grace_time.or(below.misfire_grace_time),
            coalesce: self.coalesce.or(below.coalesce),
            max_catchup: self.max_catchup.or(below.max_catchup),
            max_instances: self.max_instances.or(below.max_instances),
            overlap: self.overlap.or(below.overlap),
            queue_limit: self.queue_limit.or(below.queue_limit),
            pause_after_failures: self.pause_after_failures.or(below.pause_after_failures),
            rate_limit: self.rate_limit.or(below.rate_limit),
            expires: self.expires.or(below.expires),
            retry: self.retry.over(&below.retry),
            delivery: self.delivery.or(below.delivery),
            max_rescues: self.max_rescues.or(below.max_rescues),
            plugin_wait: self.plugin_wait.or(below.plugin_wait),
            limits: self.limits.over(&below.limits),
            history: self.history.over(&below.history),
            capabilities: self.capabilities.or_else(|| below.capabilities.clone()),
            smoke: self.smoke.or_else(|| below.smoke.clone()),
        }
    }

    /// The job, when every key has been said.
    fn finish(self, key: JobKey) -> Option<Job> {
        let spec = JobSpec {
            plugin: self.plugin?,
            handler: self.handler?,
            trigger: self.trigger?,
            args: self.args?,
            config: self.config?,
            tags: self.tags?,
            queue: self.queue?,
            priority: self.priority?,
            policy: Policy {
                misfire_grace_time: self.misfire_grace_time?,
                coalesce: self.coalesce?,
                max_catchup: self.max_catchup?,
                max_instances: self.max_instances?,
                overlap: self.overlap?,
                queue_limit: self.queue_limit?,
                retry: self.retry.finish()?,
                pause_after_failures: self.pause_after_failures?,
                rate_limit: self.rate_limit?,
                expires: self.expires?,
                delivery: self.delivery?,
                max_rescues: self.max_rescues?,
                plugin_wait: self.plugin_wait?,
            },
            limits: self.limits.finish()?,
            capabilities: self.capabilities?,
            history: self.history.finish()?,
            smoke: self.smoke.unwrap_or(Smoke::No),
        };
        Some(Job { key, spec: Arc::new(spec) })
    }
}

/// The trigger; `none` says that the job has none although a layer below gives it one.
fn read_trigger(table: &mut Table<'_>, zone: Tz) -> Option<Option<Trigger>> {
    let value = table.raw("trigger")?;
    if value.is_null() || value == "none" {
        return Some(None);
    }
    let mut problems = Vec::new();
    let trigger = Trigger::parse(value, &table.path_of("trigger"), zone, &mut problems);
    table.absorb(problems);
    trigger.map(Some)
}

fn read_coalesce(value: &Value) -> Result<Coalesce, String> {
    match value {
        Value::Bool(true) => Ok(Coalesce::Latest),
        Value::Bool(false) => Ok(Coalesce::All),
        value if value.is_null() || value == "none" => Err(
            "`none` could mean either of two: write `all` to run every missed fire, or `drop` to \
             run none of them"
                .to_owned(),
        ),
        value => choice(&[
            ("latest", Coalesce::Latest),
            ("earliest", Coalesce::Earliest),
            ("all", Coalesce::All),
            ("drop", Coalesce::Drop),
        ])(value),
    }
}

/// Texts, with numbers and flags taken as they are written.
fn read_config(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let Value::Object(entries) = value else {
        return Err(format!("must be a table of keys, not {}", shown(value)));
    };
    let text_of = |(key, value): (&String, &Value)| match value {
        Value::String(text) => Ok((key.clone(), text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok((key.clone(), value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(format!("`{key}` must be text, a number or a flag, not {}", shown(value)))
        }
    };
    entries.iter().map(text_of).collect()
}

fn read_tags(value: &Value) -> Result<Vec<String>, String> {
    if list(value)?.len() > MAX_TAGS {
        return Err(format!("must be {MAX_TAGS} tags at most"));
    }
    let tags = texts(value)?;
    match tags.iter().find(|tag| tag.len() > MAX_TAG_BYTES) {
        Some(_) => Err(format!("a tag must be {MAX_TAG_BYTES} bytes at most")),
        None => Ok(tags),
    }
}

/// A whole number from `least` to `most`, as the type that holds those.
fn narrow<T: TryFrom<u32>>(value: &Value, least: u64, most: u64) -> Result<T, String> {
    let number = whole(least..=most)(value)?;
    u32::try_from(number)
        .ok()
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}
