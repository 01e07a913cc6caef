//! One attempt of a claimed run, from its job's definition to the record of how it ended.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{Instrument, debug, info, info_span, warn};

use super::slots::Slot;
use super::trial::Seen;
use super::{Claimed, Executor, Stop};
use crate::catalog::intake::unfit_for_unnamed;
use crate::engine::control::Control;
use crate::engine::ending::Report;
use crate::engine::log::{Log, put_back, take_piece};
use crate::engine::plugin::Plugin;
use crate::engine::run::Request;
use crate::engine::services::Services;
use crate::engine::tab::{Attempt, Tab};
use crate::job::limits::Limits;
use crate::job::quota::{Allotment, QuotaKey};
use crate::job::{Delivery, Job, Source};
use crate::lease::cell::Held;
use crate::record::account::memory_within;
use crate::record::step::{AttemptEnd, Claim, Finished};
use crate::run::Run;
use crate::run::id::Fence;
use crate::run::outcome::{Outcome, RunError};
use crate::run::usage::Usage;
use crate::run::{LogLine, RunKey};
use crate::schedule::retry::{Ended, next_attempt};
use crate::secrets::Secrets;
use crate::status::Asker;
use crate::store::error::StoreError;

/// The pause before a store is told again how a run ended; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a run rests for which there was no memory after all.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(1);

/// Why an attempt could not be made.
struct Obstacle {
    outcome: Outcome,
    message: String,
    retryable: bool,
}

impl Executor {
    /// Runs a claimed attempt and notes how it ended.
    pub(super) async fn attempt(&self, claimed: &mut Claimed, stop: watch::Receiver<Stop>) {
        let Claimed { claim, slot, held } = claimed;
        let run = &claim.run;
        let span = info_span!("run", tenant = %run.tenant, job = %run.job, run = %run.id,
            attempt = run.attempt);
        async {
            let mut seen = None;
            let end = match self.call(claim, slot, held, stop, &mut seen).await {
                Ok(end) => end,
                Err(pause) => return self.hand_back(claim, held, pause).await,
            };
            info!(
                outcome = end.outcome.as_str(),
                wall_ms = end.usage.wall_ms,
                error = end.error.as_ref().map(|error| error.message.as_str()),
                "run ended"
            );
            self.finish(claim, held, end).await;
            if let Some(seen) = seen {
                self.judge(run, &seen).await;
            }
        }
        .instrument(span)
        .await;
    }

    /// Answers how it ended. An error: it did not begin, because its host leaves, lost the plugin or has
    /// no room after all; it may begin again after so long.
    async fn call(
        &self,
        claim: &Claim,
        slot: &mut Slot,
        held: &Held,
        stop: watch::Receiver<Stop>,
        seen: &mut Option<Seen>,
    ) -> Result<AttemptEnd, Duration> {
        let job = match self.job(claim) {
            Ok(job) => job,
            Err(obstacle) => return Ok(obstacle.into_end(None)),
        };
        let run = &claim.run;
        let config = Arc::clone(&self.config.borrow());
        // The caps may be lower now than when the job was defined, and another host's were others.
        let held_to = |limits: Limits, caps| limits.held_to(caps);
        let mut limits = config.caps(&run.tenant).into_iter().fold(job.limits.clone(), held_to);
        let allotment = config.allotment(&run.tenant);
        let tab = self.tab(claim, held, allotment);
        limits.meter |= tab.as_ref().is_some_and(|tab| tab.has(QuotaKey::FuelPerHour));
        let wanted = memory_within(&allotment, limits.memory);
        limits.memory = slot.grow(admitted_with(run.memory, wanted)).ok_or(NO_ROOM_PAUSE)?;
        let plugin = self.catalog.borrow().of_run(&run.plugin_key(), run.id).cloned();
        // It went away after the run was taken: the run waits for it like those that were not.
        let plugin = plugin.ok_or(Duration::ZERO)?;
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
            return Ok(Obstacle { outcome, message, retryable: false }.into_end(digest));
        }
        if let Err(obstacle) = self.may_run(&job, &plugin) {
            return Ok(obstacle.into_end(digest));
        }
        if let Err(obstacle) = self.may_have(claim, &job) {
            return Ok(obstacle.into_end(digest));
        }
        let secrets = Secrets::read(&config.secrets, &run.tenant, &job.capabilities.secrets).await;
        let secrets = match secrets {
            Ok(secrets) => Arc::new(secrets),
            Err(message) => return Ok(self.without_secrets(run, &job, message, digest)),
        };
        let log = Log::new(limits.log, Arc::clone(&self.clock)).without(&secrets);
        let control = Arc::new(Control::under(Arc::clone(&held.lease), log).drawing(tab));
        self.live.runs(&run.key(), &control);
        if *stop.borrow() != Stop::No || held.lease.is_over() {
            return Err(Duration::ZERO);
        }
        let report =
            self.engine.run(&plugin, self.request(claim, &job, limits, secrets), &control).await;
        if let (Ok(report), Some(digest)) = (&report, &digest) {
            let denied = control.denied();
            *seen = Some(Seen::new(digest.clone(), report.outcome, &report.usage, denied));
        }
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
        let now = self.clock.now();
        let retry_at = match report.outcome {
            // Its host stood still: that is no failure of its own.
            Outcome::Abandoned => rescue(run, job.policy.retry.max_attempts).then_some(now),
            _ => next_attempt(&job.policy.retry, ended, now),
        };
        Ok(AttemptEnd {
            outcome: report.outcome,
            result: report.result,
            error: report.error,
            usage: report.usage,
            digest,
            progress: control.progress(),
            log: control.log().take_rest(),
            retry_at,
        })
    }

    /// Where the attempt draws of its tenant's quotas.
    fn tab(&self, claim: &Claim, held: &Held, allotment: Allotment) -> Option<Arc<Tab>> {
        let attempt = Attempt {
            session: held.session.clone(),
            run: claim.run.key(),
            fence: claim.fence,
            admitted: claim.run.admitted.unwrap_or_default(),
        };
        Tab::open(attempt, allotment, &self.store, &self.clock)
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

    /// Whether the job may run this version, whoever brought it here.
    fn may_run(&self, job: &Job, plugin: &Plugin) -> Result<(), Obstacle> {
        let catalog = self.catalog.borrow();
        let versions = catalog.get(&job.plugin_key()).and_then(|entry| entry.versions.as_ref());
        let is_unnamed = versions.is_some_and(|versions| {
            let version = versions.get(&plugin.about.digest);
            // Of one that its record forgot it is as of those that stand there.
            let of_record = || versions.kept.iter().any(|version| version.unnamed);
            version.map_or_else(of_record, |version| version.unnamed)
        });
        match is_unnamed.then(|| unfit_for_unnamed(job)).flatten() {
            Some(message) => Err(Obstacle { outcome: Outcome::Failed, message, retryable: false }),
            None => Ok(()),
        }
    }

    /// Whether the job may have what it was granted on this host, whoever wrote its definition down:
    /// only this host's own file grants freely.
    fn may_have(&self, claim: &Claim, job: &Job) -> Result<(), Obstacle> {
        let source = claim.schedule.as_ref().map(|schedule| schedule.source);
        if source == Some(Source::File) {
            return Ok(());
        }
        let tenant = &claim.run.tenant;
        let beyond = self.config.borrow().allow(tenant).beyond(&job.capabilities);
        if beyond.is_empty() {
            return Ok(());
        }
        let beyond: Vec<_> =
            beyond.iter().map(|(key, thing)| format!("`capabilities.{key}` = {thing}")).collect();
        let message = format!(
            "the job has {}, which `[tenants.{tenant}] allow` of this host's `host.toml` does not \
             allow; add it there, or define the job in that file",
            beyond.join(", ")
        );
        Err(Obstacle { outcome: Outcome::Failed, message, retryable: false })
    }

    /// An attempt whose secrets can't be had: the next one may have them.
    fn without_secrets(
        &self,
        run: &Run,
        job: &Job,
        message: String,
        digest: Option<String>,
    ) -> AttemptEnd {
        let outcome = Outcome::Failed;
        let ended = Ended {
            run: run.id,
            attempts: run.attempt.saturating_sub(run.rescues),
            outcome,
            retryable: true,
        };
        let retry_at = next_attempt(&job.policy.retry, ended, self.clock.now());
        let end = Obstacle { outcome, message, retryable: true }.into_end(digest);
        AttemptEnd { retry_at, ..end }
    }

    fn request(&self, claim: &Claim, job: &Job, limits: Limits, secrets: Arc<Secrets>) -> Request {
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
            limits,
            capabilities: job.capabilities.clone(),
            config: Arc::new(job.config.clone()),
            secrets,
            services: Some(Services { desk: Arc::clone(&self.desk), job: run.job_key() }),
        }
    }

    /// Hands a long log to the store piece by piece, so that no fire waits until all of it is kept.
    /// Answers the last piece, and what the store did not take.
    async fn append_log(&self, run: &RunKey, fence: Fence, log: Vec<LogLine>) -> Vec<LogLine> {
        let mut log = VecDeque::from(log);
        loop {
            let piece = take_piece(&mut log);
            if log.is_empty() {
                return piece;
            }
            match self.store.log_append(run, fence, piece.clone()).await {
                Ok(()) => (),
                Err(StoreError::Unknown(error)) => {
                    warn!(%error, "lines of its log may be missing");
                }
                Err(_) => {
                    put_back(&mut log, piece);
                    return log.into();
                }
            }
        }
    }

    /// Gives a run that has not begun to whoever is next after a pause. What the store does not
    /// hear now it learns when the session ends.
    pub(super) async fn hand_back(&self, claim: &Claim, held: &Held, pause: Duration) {
        if held.lease.is_over() {
            return;
        }
        let (run, now) = (claim.run.key(), self.clock.now());
        let end = AttemptEnd {
            outcome: Outcome::Abandoned,
            result: None,
            error: None,
            usage: Usage::default(),
            digest: None,
            progress: None,
            log: Vec::new(),
            retry_at: Some(now.after(pause)),
        };
        match self.store.finish(&held.session, &run, claim.fence, end, now).await {
            Ok(_) => debug!(%run, "has not begun and is handed back"),
            Err(error) => debug!(%run, %error, "is handed back when the session ends"),
        }
    }

    /// Tells the store until it has heard.
    async fn finish(&self, claim: &Claim, held: &Held, mut end: AttemptEnd) {
        let key = claim.run.key();
        end.log = self.append_log(&key, claim.fence, end.log).await;
        let mut pause = FIRST_PAUSE;
        loop {
            let now = self.clock.now();
            let told = self.store.finish(&held.session, &key, claim.fence, end.clone(), now).await;
            if told.is_ok() && pause != FIRST_PAUSE {
                self.status.store_works(Asker::Runs);
            }
            match told {
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
                    let so = "the store did not take a run's end; telling it again";
                    self.status.store_failed(Asker::Runs, &error, so);
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

/// The memory limit of a run whose job has `wanted` by now: never more than it was made with, which is what
/// the store has judged it by. Records of earlier versions say nothing of it, which is 0.
fn admitted_with(made_with: u64, wanted: u64) -> u64 {
    if made_with == 0 { wanted } else { wanted.min(made_with) }
}

/// Whether a run whose host stood still is begun again: as when it is taken from a dead host, a
/// bounded number of times.
fn rescue(run: &Run, max_attempts: NonZeroU32) -> bool {
    match run.delivery {
        Delivery::AtMostOnce => false,
        Delivery::AtLeastOnce => run.attempt < max_attempts.get().saturating_add(run.max_rescues),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_gets_no_more_memory_than_it_was_made_with_and_less_where_its_job_has_less_by_now() {
        assert_eq!(admitted_with(64, 1_024), 64);
        assert_eq!(admitted_with(64, 32), 32);
        assert_eq!(admitted_with(0, 1_024), 1_024, "its record is of an earlier version");
    }
}
