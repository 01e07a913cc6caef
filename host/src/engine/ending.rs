//! How a call ended, judged: the outcome, and a message that says what would help.

use std::time::Duration;

use serde_json::Value;
use wasmtime::component::ResourceTableError;
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::FieldMapError;

use super::bindings::exports::campanile::job::guest::Failure;
use super::budget::OutOfQuota;
use super::guest::Guest;
use crate::job::bound::{Bound, Exceeded};
use crate::job::limits::Limits;
use crate::lease::Lapsed;
use crate::run::outcome::{Outcome, RunError};
use crate::run::usage::Usage;
use crate::secrets::redact::Redactor;
use crate::table::unit::{show_duration, show_size};

/// What is said of a run whose host lost it to another.
pub(super) const HANDED_ON: &str = "another host has taken it over";

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// In a word.
    pub outcome: Outcome,
    /// What it returned.
    pub result: Option<Value>,
    /// What went wrong.
    pub error: Option<RunError>,
    /// What it used.
    pub usage: Usage,
}

/// Why a call ended.
pub(super) enum End {
    /// By itself.
    Returned(Result<String, Failure>),
    /// It trapped, or the host could not go on with it.
    Broke(wasmtime::Error),
    /// Its time was up; `own`: it then ended by itself within its grace.
    TimedOut { own: bool },
    /// Somebody wanted it to end.
    Cancelled(String),
    /// Its host's session is over.
    HandedOn,
}

impl End {
    /// The same without secrets in what the guest says of its failure.
    pub(super) fn without(mut self, secrets: &Redactor) -> Self {
        if let Self::Returned(Err(Failure::Retryable(message) | Failure::Permanent(message))) =
            &mut self
        {
            secrets.clean(message);
        }
        self
    }
}

impl Report {
    /// The same without secrets.
    pub(super) fn without(mut self, secrets: &Redactor) -> Self {
        if let Some(result) = &mut self.result {
            secrets.clean_json(result);
        }
        if let Some(error) = &mut self.error {
            secrets.clean(&mut error.message);
        }
        self
    }

    /// An attempt that came to nothing, for the guest's part.
    pub(super) fn failed(outcome: Outcome, message: String, usage: Usage) -> Self {
        let error = Some(RunError { message, retryable: false });
        Self { outcome, result: None, error, usage }
    }

    /// An attempt with more arguments than it may have.
    pub(super) fn too_many_args(size: usize, limits: &Limits) -> Self {
        let message = over_limit("arguments", size as u64, limits.args, "args");
        Self::failed(Outcome::LimitExceeded, message, Usage::default())
    }
}

/// Judges how a call ended.
pub(super) fn judge(end: End, guest: &Guest, limits: &Limits, usage: Usage) -> Report {
    match end {
        End::Cancelled(why) => Report::failed(Outcome::Cancelled, why, usage),
        End::HandedOn => Report::failed(Outcome::Abandoned, HANDED_ON.to_owned(), usage),
        End::TimedOut { own } => Report::failed(Outcome::TimedOut, timed_out(limits, own), usage),
        End::Returned(Ok(result)) => returned(&result, limits, usage),
        End::Returned(Err(failure)) => {
            let (message, retryable) = match failure {
                Failure::Retryable(message) => (message, true),
                Failure::Permanent(message) => (message, false),
            };
            let message = bounded(message, limits.result);
            if let Some((outcome, limit)) = hit(guest, limits) {
                return Report::failed(outcome, format!("{limit}; then: {message}"), usage);
            }
            let error = Some(RunError { message, retryable });
            Report { outcome: Outcome::Failed, result: None, error, usage }
        }
        End::Broke(error) => {
            let (outcome, message) = broke(&error, guest, limits);
            Report::failed(outcome, message, usage)
        }
    }
}

/// Why `describe` broke off, as the rest of a sentence.
pub(super) fn broken(error: &wasmtime::Error, store: &Store<Guest>, limits: &Limits) -> String {
    match broke(error, store.data(), limits) {
        (Outcome::Trapped, message) => format!("trapped: {message}"),
        (_, message) => format!("failed: {message}"),
    }
}

/// What it means that a call broke off.
fn broke(error: &wasmtime::Error, guest: &Guest, limits: &Limits) -> (Outcome, String) {
    if error.is::<Lapsed>() {
        return (Outcome::Abandoned, cause(error));
    }
    if let Some(Trap::OutOfFuel) = error.downcast_ref::<Trap>() {
        let fuel = limits.fuel.unwrap_or(u64::MAX);
        let message = format!("it used up its fuel of {fuel}; `limits.fuel` raises it");
        return (Outcome::OutOfFuel, message);
    }
    if let Some(OutOfQuota(used_up)) = error.downcast_ref::<OutOfQuota>() {
        return (Outcome::LimitExceeded, used_up.to_string());
    }
    if let Some(exceeded) = exceeded(error, limits) {
        return (Outcome::LimitExceeded, exceeded.to_string());
    }
    if let Some((outcome, limit)) = hit(guest, limits) {
        return (outcome, format!("{limit}; then: {}", cause(error)));
    }
    if error.is::<I32Exit>() {
        let message = "it called `exit` instead of returning from `run`".to_owned();
        return (Outcome::Failed, message);
    }
    let said = guest.control.log().last_stderr();
    let said = said.map(|line| format!(" ({line})")).unwrap_or_default();
    (Outcome::Trapped, format!("{}{said}", cause(error)))
}

/// A result that the guest is content with.
fn returned(result: &str, limits: &Limits, usage: Usage) -> Report {
    if result.len() as u64 > limits.result {
        let message = over_limit("result", result.len() as u64, limits.result, "result");
        return Report::failed(Outcome::LimitExceeded, message, usage);
    }
    match serde_json::from_str(result) {
        Ok(result) => Report { outcome: Outcome::Succeeded, result, error: None, usage },
        Err(error) => {
            let message = format!("its result is not JSON ({error}); return JSON text, or `null`");
            Report::failed(Outcome::Failed, message, usage)
        }
    }
}

/// The limit that an error is about, if it is about one.
fn exceeded(error: &wasmtime::Error, limits: &Limits) -> Option<Exceeded> {
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return Some(*exceeded);
    }
    let over = |bound: Bound| Some(Exceeded { bound, wanted: None, limit: limits.bounds[bound] });
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return over(Bound::Resources);
    }
    if let Some(FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig) =
        error.downcast_ref::<FieldMapError>()
    {
        return over(Bound::HttpHeaders);
    }
    // wasmtime has no types for these.
    let text = error.root_cause().to_string();
    let bounds = [
        ("resource limit exceeded: instance", Bound::CoreInstances),
        ("store handle limit exceeded", Bound::Handles),
        ("too much data", Bound::CallBytes),
    ];
    bounds.into_iter().find(|(words, _)| text.contains(words)).and_then(|(_, bound)| over(bound))
}

/// A limit that the guest hit before it failed: likely why it did.
fn hit(guest: &Guest, limits: &Limits) -> Option<(Outcome, String)> {
    if guest.limiter.out_of_memory() {
        let memory = show_size(limits.memory);
        let message =
            format!("it wanted more than its {memory} of memory; `limits.memory` raises it");
        return Some((Outcome::OutOfMemory, message));
    }
    let exceeded = guest.limiter.exceeded().or_else(|| guest.meter.exceeded())?;
    Some((Outcome::LimitExceeded, exceeded.to_string()))
}

fn timed_out(limits: &Limits, own: bool) -> String {
    let timeout = show_duration(limits.timeout);
    let ended = if own { "it then ended by itself" } else { "it was ended" };
    match limits.grace {
        Duration::ZERO => format!("it ran past its limit of {timeout}; `limits.timeout` raises it"),
        grace => format!(
            "it ran past its limit of {timeout}; {ended} within its grace of {}; `limits.timeout` \
             raises it",
            show_duration(grace)
        ),
    }
}

/// The innermost error: what happened, without the path of frames that led to it.
fn cause(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}

fn over_limit(what: &str, size: u64, limit: u64, key: &str) -> String {
    format!("its {what} of {size} bytes is over the limit of {limit}; `limits.{key}` raises it")
}

fn bounded(mut text: String, limit: u64) -> String {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
    }
    text
}
