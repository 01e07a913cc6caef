//! Inside a host: calls go through the contract in both directions.

use std::time::Duration;

use crate::context::{Context, Level};
use crate::invocation::{Cause, Invocation};
use crate::registry;
use crate::time::Time;
use crate::wit::campanile::job::context;
use crate::wit::exports::campanile::job::guest;
use crate::wit::wasi::config::store;
use crate::wit::wasi::logging::logging;

pub fn log(level: Level, context: &str, message: &str) {
    let level = match level {
        Level::Trace => logging::Level::Trace,
        Level::Debug => logging::Level::Debug,
        Level::Info => logging::Level::Info,
        Level::Warn => logging::Level::Warn,
        Level::Error => logging::Level::Error,
        Level::Critical => logging::Level::Critical,
    };
    logging::log(level, context, message);
}

pub fn progress(done: u64, total: Option<u64>, message: &str) {
    context::progress(done, total, message);
}

pub fn remaining() -> Option<Duration> {
    context::remaining_ms().map(Duration::from_millis)
}

pub fn cancelled() -> bool {
    context::cancelled()
}

pub fn config(key: &str) -> Result<Option<String>, String> {
    store::get(key).map_err(|error| match error {
        store::Error::Upstream(reason) | store::Error::Io(reason) => reason,
    })
}

impl guest::Guest for crate::wit::Plugin {
    fn describe() -> Vec<guest::Handler> {
        let handler = |job: &registry::Job| guest::Handler {
            name: job.name.into(),
            description: job.description.into(),
            defaults: job.defaults.map(String::from),
        };
        registry::jobs().into_iter().map(handler).collect()
    }

    fn run(invocation: guest::Invocation) -> Result<String, guest::Failure> {
        report_panics();
        registry::run(&Context::new(invocation.into())).map_err(|error| {
            if error.is_retryable() {
                guest::Failure::Retryable(error.message().into())
            } else {
                guest::Failure::Permanent(error.message().into())
            }
        })
    }
}

impl From<guest::Invocation> for Invocation {
    fn from(given: guest::Invocation) -> Self {
        Self {
            tenant: given.tenant,
            job: given.job,
            run: given.run,
            handler: given.handler,
            cause: match given.cause {
                guest::Cause::Schedule => Cause::Schedule,
                guest::Cause::Manual => Cause::Manual,
                guest::Cause::Enqueued => Cause::Enqueued,
                guest::Cause::Backfill => Cause::Backfill,
            },
            fire_time: Time::from_micros(given.fire_time_us),
            previous_success: given.previous_success_us.map(Time::from_micros),
            attempt: given.attempt,
            fence: given.fence,
            covers: given.covers,
            args: given.args,
        }
    }
}

/// Without WASI there is no standard error that a panic's message could go to: log it.
#[cfg(target_os = "unknown")]
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| log(Level::Critical, "", &panic.to_string())));
}

/// With WASI the message of a panic goes to standard error, which the host keeps.
#[cfg(not(target_os = "unknown"))]
fn report_panics() {}
