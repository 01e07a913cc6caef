//! A run of a job with a version that is to take the place of another: what can't do that is refused.
//!
//! It leaves nothing behind in the store: it is no run of the job, and it has neither buckets nor other
//! jobs. What it does to folders and to others over HTTP and TCP, as far as that is granted, it does.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::SharedClock;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::control::Control;
use crate::engine::log::Log;
use crate::engine::plugin::Plugin;
use crate::engine::run::Request;
use crate::job::{Job, Smoke};
use crate::run::Cause;
use crate::run::outcome::Outcome;
use crate::secrets::Secrets;
use crate::table::unit::show_duration;

/// It takes so long at most, whatever the job's timeout: nothing else is loaded meanwhile.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What stands where a run has its id.
const NO_RUN: &str = "00000000000000000000000000000000";

/// Runs a job once with a version.
///
/// # Errors
///
/// The rest of a sentence about the version: how the run ended.
pub async fn smoke(
    engine: &Engine,
    plugin: &Plugin,
    job: &Job,
    config: &Config,
    clock: &SharedClock,
) -> Result<(), String> {
    let args = match &job.smoke {
        Smoke::No => return Ok(()),
        Smoke::Own => &job.args,
        Smoke::With(args) => args,
    };
    let name = &job.key.job;
    let secrets = Secrets::read(&config.secrets, &job.key.tenant, &job.capabilities.secrets).await;
    let secrets =
        secrets.map_err(|why| format!("its smoke run of job `{name}` can't begin: {why}"))?;
    let secrets = Arc::new(secrets);
    let mut limits = job.limits.clone();
    limits.timeout = limits.timeout.min(TIMEOUT);
    let log = Log::new(limits.log, Arc::clone(clock)).without(&secrets);
    let control = Arc::new(Control::new(log));
    let timeout = limits.timeout;
    let request = Request {
        tenant: job.key.tenant.to_string(),
        job: name.to_string(),
        run: NO_RUN.to_owned(),
        handler: job.handler.to_string(),
        cause: Cause::Manual,
        fire_time: clock.now(),
        previous_success: None,
        attempt: 1,
        fence: 0,
        covers: 1,
        args: args.to_string(),
        limits,
        capabilities: job.capabilities.clone(),
        config: Arc::new(job.config.clone()),
        secrets,
        services: None,
    };
    let report = engine.run(plugin, request, &control).await;
    let report = report.map_err(|error| format!("its smoke run can't begin: {error:#}"))?;
    if report.outcome == Outcome::Succeeded {
        return Ok(());
    }
    let why = report.error.map_or_else(|| "it did not say why".to_owned(), |error| error.message);
    let how = match report.outcome {
        Outcome::TimedOut => format!("timed out after {}", show_duration(timeout)),
        other => format!("ended as `{}`", other.as_str()),
    };
    Err(format!("its smoke run of job `{name}` {how}: {why}"))
}
