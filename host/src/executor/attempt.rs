//! One attempt of a claimed run, from its job's definition to the record of how it ended.

use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument, info, info_span, warn};

use super::Executor;
use crate::engine::control::Control;
use crate::engine::log::Log;
use crate::engine::run::{Report, Request};
use crate::job::Job;
use crate::record::step::{AttemptEnd, Claim, Finished};
use crate::run::outcome::{Outcome, RunError, Usage};
use crate::schedule::retry::{Ended, next_attempt};
use crate::store::error::StoreError;

/// The pause before a store is told again how a run ended; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why an attempt could not be made.
struct Obstacle {
    outcome: Outcome,
    message: String,
    retryable: bool,
}

impl Executor {
    /// Runs a claimed attempt and notes how it ended.
    pub(super) async fn attempt(&self, claim: &Claim) {
        let run = &claim.run;
        let span = info_span!("run", tenant = %run.tenant, job = %run.job, run = %run.id,
            attempt = run.attempt);
        async {
            let end = self.call(claim).await;
            info!(
                outcome = end.outcome.as_str(),
                wall_ms = end.usage.wall_ms,
                error = end.error.as_ref().map(|error| error.message.as_str()),
                "run ended"
            );
            self.finish(claim, end).await;
        }
        .instrument(span)
        .await;
    }

    async fn call(&self, claim: &Claim) -> AttemptEnd {
        let job = match self.job(claim) {
            Ok(job) => job,
            Err(obstacle) => return obstacle.into_end(None),
        };
        let run = &claim.run;
        let plugin = self.catalog.borrow().active(&run.plugin_key()).cloned();
        let Some(plugin) = plugin else {
            let message = format!("the plugin `{}` went away before it started", run.plugin);
            let outcome = Outcome::Failed;
            return Obstacle { outcome, message, retryable: true }.into_end(None);
        };
        let digest = Some(plugin.about.digest.clone());
        if !plugin.about.handlers.iter().any(|handler| handler.name == run.handler) {
            let known: Vec<_> =
                plugin.about.handlers.iter().map(|handler| handler.name.as_str()).collect();
            let message = format!(
                "the plugin `{}` has no handler `{}`; it has: {}",
                run.plugin,
                run.handler,
                known.join(", ")
            );
            let outcome = Outcome::Failed;
            return Obstacle { outcome, message, retryable: false }.into_end(digest);
        }
        let log = Log::new(job.limits.log, Arc::clone(&self.clock));
        let control = Arc::new(Control::new(log));
        self.live.runs(&run.key(), &control);
        let memory = self.slots.reserve(job.limits.memory).await;
        let report = self.engine.run(&plugin, request(claim, &job), &control).await;
        drop(memory);
        let report = report.unwrap_or_else(|error| Report {
            outcome: Outcome::Failed,
            result: None,
            error: Some(RunError {
                message: format!("the host could not run it: {error:#}"),
                retryable: true,
            }),
            usage: Usage::default(),
        });
        let ended = Ended {
            run: run.id,
            attempts: run.attempt.saturating_sub(run.rescues),
            outcome: report.outcome,
            retryable: report.error.as_ref().is_some_and(|error| error.retryable),
        };
        AttemptEnd {
            outcome: report.outcome,
            result: report.result,
            error: report.error,
            usage: report.usage,
            digest,
            progress: control.progress(),
            log: control.log().take_rest(),
            retry_at: next_attempt(&job.policy.retry, ended, self.clock.now()),
        }
    }

    fn job(&self, claim: &Claim) -> Result<Job, Obstacle> {
        let Some(schedule) = &claim.schedule else {
            return Err(Obstacle {
                outcome: Outcome::Cancelled,
                message: "the job was removed before it started".to_owned(),
                retryable: false,
            });
        };
        self.jobs.get(schedule).map_err(|message| Obstacle {
            outcome: Outcome::Failed,
            message: format!("the job's definition can't be used: {message}"),
            retryable: false,
        })
    }

    /// Tells the store until it has heard.
    async fn finish(&self, claim: &Claim, mut end: AttemptEnd) {
        let key = claim.run.key();
        let mut pause = FIRST_PAUSE;
        loop {
            let now = self.clock.now();
            match self.store.finish(&self.session, &key, claim.fence, end.clone(), now).await {
                Ok(Finished::Done | Finished::Already) => return,
                Ok(Finished::Fenced) | Err(StoreError::Fenced) => {
                    warn!("another attempt has taken over; this one's end is not noted");
                    return;
                }
                Err(StoreError::Invalid(message) | StoreError::NotFound(message)) => {
                    tracing::error!(%message, "the store knows no such run");
                    return;
                }
                Err(error) => {
                    warn!(%error, "the store did not take the run's end; telling it again");
                    self.status.set_store_error(Some(error.to_string()));
                    if matches!(error, StoreError::Full(_)) {
                        end.log.clear();
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Obstacle {
    fn into_end(self, digest: Option<String>) -> AttemptEnd {
        AttemptEnd {
            outcome: self.outcome,
            result: None,
            error: Some(RunError { message: self.message, retryable: self.retryable }),
            usage: Usage::default(),
            digest,
            progress: None,
            log: Vec::new(),
            retry_at: None,
        }
    }
}

fn request(claim: &Claim, job: &Job) -> Request {
    let run = &claim.run;
    let args = run.args.as_ref().unwrap_or(&job.args);
    let last_run = claim.schedule.as_ref().and_then(|schedule| schedule.last_run.as_ref());
    Request {
        tenant: run.tenant.to_string(),
        job: run.job.to_string(),
        run: run.id.to_string(),
        handler: run.handler.to_string(),
        cause: run.cause,
        fire_time: run.fire_time,
        previous_success: last_run.and_then(|last| last.previous_success),
        attempt: run.attempt,
        fence: claim.fence,
        covers: run.covers,
        args: args.to_string(),
        limits: job.limits.clone(),
        dirs: job.capabilities.dirs.clone(),
        config: Arc::new(job.config.clone()),
    }
}
