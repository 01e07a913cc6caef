//! The tables inside a job: limits, history, capabilities, retry.

use std::num::NonZeroU32;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::super::merge::Layer;
use super::super::tcp::TcpGrant;
use super::super::{Capabilities, DirGrant, DirMode, History, Limits, Retry};
use super::{
    MAX_ATTEMPTS, MAX_DIRS, MAX_FACTOR, MAX_KEEP, MAX_TCP, MAX_TEXT, MIN_MEMORY, keys, narrow,
};
use crate::problem::{Problem, join};
use crate::table::value::{choice, flag, list, shown, text, whole};
use crate::table::{Table, unit};

/// What a layer says about `limits`.
#[derive(Default)]
pub struct LimitsDraft {
    timeout: Option<Duration>,
    memory: Option<u64>,
    fuel: Option<Option<u64>>,
    meter: Option<bool>,
    log: Option<u64>,
    result: Option<u64>,
    args: Option<u64>,
}

impl LimitsDraft {
    /// What this says, and where it says nothing what `below` says.
    pub fn over(self, below: &Self) -> Self {
        Self {
            timeout: self.timeout.or(below.timeout),
            memory: self.memory.or(below.memory),
            fuel: self.fuel.or(below.fuel),
            meter: self.meter.or(below.meter),
            log: self.log.or(below.log),
            result: self.result.or(below.result),
            args: self.args.or(below.args),
        }
    }

    /// The limits, when each has been said.
    pub fn finish(self) -> Option<Limits> {
        Some(Limits {
            timeout: self.timeout?,
            memory: self.memory?,
            fuel: self.fuel?,
            meter: self.meter?,
            log: self.log?,
            result: self.result?,
            args: self.args?,
        })
    }
}

/// What a layer says about `history`.
#[derive(Default)]
pub struct HistoryDraft {
    keep: Option<u32>,
    max_age: Option<Duration>,
}

impl HistoryDraft {
    /// What this says, and where it says nothing what `below` says.
    pub fn over(self, below: &Self) -> Self {
        Self { keep: self.keep.or(below.keep), max_age: self.max_age.or(below.max_age) }
    }

    /// The history, when each key has been said.
    pub fn finish(self) -> Option<History> {
        Some(History { keep: self.keep?, max_age: self.max_age? })
    }
}

/// Reads `limits` of `job`.
pub fn limits(job: &mut Table<'_>) -> LimitsDraft {
    let Some(mut table) = job.table("limits", &keys::LIMITS) else {
        return LimitsDraft::default();
    };
    let draft = LimitsDraft {
        timeout: table.read("timeout", unit::positive_duration),
        memory: table.read("memory", |value| size_within(value, MIN_MEMORY, u64::MAX)),
        fuel: table.read("fuel", unit::or_none(unit::fuel)),
        meter: table.read("meter", flag),
        log: table.read("log", |value| size_within(value, 0, MAX_TEXT)),
        result: table.read("result", |value| size_within(value, 0, MAX_TEXT)),
        args: table.read("args", |value| size_within(value, 0, MAX_TEXT)),
    };
    job.absorb(table.finish());
    draft
}

/// Reads `history` of `job`.
pub fn history(job: &mut Table<'_>) -> HistoryDraft {
    let Some(mut table) = job.table("history", &keys::HISTORY) else {
        return HistoryDraft::default();
    };
    let keep = table.read("keep", whole(0..=MAX_KEEP));
    let draft = HistoryDraft {
        keep: keep.and_then(|keep| u32::try_from(keep).ok()),
        max_age: table.read("max_age", unit::positive_duration),
    };
    job.absorb(table.finish());
    draft
}

/// What a layer says about `retry`.
#[derive(Default)]
pub struct RetryDraft {
    max_attempts: Option<NonZeroU32>,
    backoff: Option<Duration>,
    factor: Option<f64>,
    max_backoff: Option<Duration>,
    jitter: Option<bool>,
}

impl RetryDraft {
    /// What this says, and where it says nothing what `below` says.
    pub fn over(self, below: &Self) -> Self {
        Self {
            max_attempts: self.max_attempts.or(below.max_attempts),
            backoff: self.backoff.or(below.backoff),
            factor: self.factor.or(below.factor),
            max_backoff: self.max_backoff.or(below.max_backoff),
            jitter: self.jitter.or(below.jitter),
        }
    }

    /// The rule, when each key has been said.
    pub fn finish(self) -> Option<Retry> {
        Some(Retry {
            max_attempts: self.max_attempts?,
            backoff: self.backoff?,
            factor: self.factor?,
            max_backoff: self.max_backoff?,
            jitter: self.jitter?,
        })
    }
}

/// Reads `retry` of `job`.
pub fn retry(job: &mut Table<'_>) -> RetryDraft {
    let Some(mut table) = job.table("retry", &keys::RETRY) else {
        return RetryDraft::default();
    };
    let draft = RetryDraft {
        max_attempts: table.read("max_attempts", |value| narrow(value, 1, MAX_ATTEMPTS.into())),
        backoff: table.read("backoff", unit::positive_duration),
        factor: table.read("factor", factor),
        max_backoff: table.read("max_backoff", unit::positive_duration),
        jitter: table.read("jitter", flag),
    };
    job.absorb(table.finish());
    draft
}

/// A number by which pauses grow.
fn factor(value: &Value) -> Result<f64, String> {
    match value.as_f64() {
        Some(factor) if (1.0..=MAX_FACTOR).contains(&factor) => Ok(factor),
        Some(_) | None => {
            Err(format!("must be a number from 1 to {MAX_FACTOR}, not {}", shown(value)))
        }
    }
}

/// Reads `capabilities` of `job`; whoever may not grant may only write empty ones.
pub fn capabilities(job: &mut Table<'_>, layer: Layer, base_dir: &Path) -> Option<Capabilities> {
    let mut table = job.table("capabilities", &keys::CAPABILITIES)?;
    if !keys::may_grant(layer) && !grants_nothing(job.raw("capabilities")?) {
        job.problem(
            "capabilities",
            "only `host.toml` grants capabilities; define this job there under `[jobs.ID]`, or \
             leave them out",
        );
        return None;
    }
    let dirs_path = table.path_of("dirs");
    let items = table.read("dirs", |value| match list(value)? {
        items if items.len() > MAX_DIRS => Err(format!("must be {MAX_DIRS} folders at most")),
        items => Ok(items.to_vec()),
    });
    let mut capabilities = Capabilities::default();
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = join(&dirs_path, &index.to_string());
        match dir(item, &path, base_dir) {
            Ok(dir) if capabilities.dirs.iter().any(|other| other.guest == dir.guest) => {
                let message = format!("`{}` is granted twice; choose another path", dir.guest);
                table.absorb(vec![Problem::new(join(&path, "guest"), message)]);
            }
            Ok(dir) => capabilities.dirs.push(dir),
            Err(problems) => table.absorb(problems),
        }
    }
    capabilities.tcp = table.read("tcp", places).unwrap_or_default();
    job.absorb(table.finish());
    Some(capabilities)
}

/// Reads the granted places to connect to.
fn places(value: &Value) -> Result<Vec<TcpGrant>, String> {
    match list(value)? {
        items if items.len() > MAX_TCP => Err(format!("must be {MAX_TCP} places at most")),
        items => items.iter().map(|item| text(item)?.parse()).collect(),
    }
}

/// Reads one granted folder.
fn dir(item: &Value, path: &str, base_dir: &Path) -> Result<DirGrant, Vec<Problem>> {
    let Value::Object(entries) = item else {
        let message =
            format!("must be like `{{ host = \"data\", guest = \"/data\" }}`, not {}", shown(item));
        return Err(vec![Problem::new(path, message)]);
    };
    let mut table = Table::new(path, entries, &keys::DIR);
    for key in ["host", "guest"] {
        if table.raw(key).is_none() {
            table.problem(key, format!("`{key}` is missing: name the folder"));
        }
    }
    let host = table.read("host", |value| host_folder(value, base_dir));
    let guest = table.read("guest", guest_folder);
    let mode = match table.raw("mode") {
        None => Some(DirMode::ReadOnly),
        Some(_) => {
            table.read("mode", choice(&[("ro", DirMode::ReadOnly), ("rw", DirMode::ReadWrite)]))
        }
    };
    match (host, guest, mode, table.finish()) {
        (Some(host), Some(guest), Some(mode), problems) if problems.is_empty() => {
            Ok(DirGrant { host, guest, mode })
        }
        (_, _, _, problems) => Err(problems),
    }
}

/// An absolute path, without `.` in it; `..` stays, since only the file system knows what it means.
fn host_folder(value: &Value, base_dir: &Path) -> Result<PathBuf, String> {
    let path = text(value)?;
    if path.contains('\0') {
        return Err("must not contain the character NUL".to_owned());
    }
    let folder: PathBuf = base_dir.join(path).components().collect();
    match folder.to_str() {
        Some(_) => Ok(folder),
        None => Err("the folder's whole path must be Unicode".to_owned()),
    }
}

/// An absolute path of the guest, one way to write each: `/data`, not `/data/` or `/./data`.
fn guest_folder(value: &Value) -> Result<String, String> {
    let written = text(value)?;
    let wrong = || format!("must be an absolute path like `/data`, not {}", shown(value));
    let mut folder = String::new();
    for component in Path::new(written).components() {
        match component {
            Component::RootDir => (),
            Component::Normal(part) => {
                folder.push('/');
                folder.push_str(part.to_str().ok_or_else(wrong)?);
            }
            Component::Prefix(_) | Component::CurDir | Component::ParentDir => return Err(wrong()),
        }
    }
    if !written.starts_with('/') || written.contains('\0') {
        return Err(wrong());
    }
    Ok(if folder.is_empty() { "/".to_owned() } else { folder })
}

/// Whether a table of capabilities gives away nothing at all.
fn grants_nothing(capabilities: &Value) -> bool {
    let nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    };
    capabilities.as_object().is_some_and(|entries| entries.values().all(nothing))
}

/// A size from `least` to `most` bytes.
fn size_within(value: &Value, least: u64, most: u64) -> Result<u64, String> {
    match unit::size(value)? {
        size if size < least => {
            Err(format!("must be at least {}, not {}", unit::show_size(least), shown(value)))
        }
        size if size > most => {
            Err(format!("must be at most {}, not {}", unit::show_size(most), shown(value)))
        }
        size => Ok(size),
    }
}
