//! The smaller tables inside a job: history, retry.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value;

use super::super::{History, Retry, Smoke};
use super::{MAX_ATTEMPTS, MAX_FACTOR, MAX_KEEP, keys, narrow};
use crate::table::value::{flag, shown, whole};
use crate::table::{Table, unit};

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

/// `true`, `false` or `{ args = ... }`.
pub fn smoke(value: &Value) -> Result<Smoke, String> {
    match value {
        Value::Bool(false) => Ok(Smoke::No),
        Value::Bool(true) => Ok(Smoke::Own),
        Value::Object(fields) if fields.len() == 1 => match fields.get("args") {
            Some(args) => Ok(Smoke::With(args.clone())),
            None => Err(format!("has `args` and nothing else, not {}", shown(value))),
        },
        _ => Err(format!("must be `true`, `false` or `{{ args = ... }}`, not {}", shown(value))),
    }
}
