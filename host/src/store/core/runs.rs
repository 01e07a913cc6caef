//! Steps on single runs: started by hand, taken by a host, ended, dropped, cancelled.

use std::sync::Arc;

use super::effects::{Effects, Write};
use super::live::{Dropped, Noted};
use super::{Core, Live, MAX_LOG_LINES, Past, Place};
use crate::job::JobKey;
use crate::record::step::{AttemptEnd, CancelReply, Finished, NewRun, Started};
use crate::record::used::{Bucket, Used};
use crate::run::id::{Fence, SessionId};
use crate::run::outcome::Outcome;
use crate::run::usage::Usage;
use crate::run::{Cause, LogLine, Reason, Run, RunKey, RunState, Verdict, reason};
use crate::store::Result;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// An attempt as its session knows it.
#[derive(Clone, Debug)]
pub struct Holding {
    /// Who holds it.
    pub session: SessionId,
    /// The run.
    pub run: RunKey,
    /// The fence of the attempt.
    pub fence: Fence,
}

impl Core {
    /// Makes a run outside the schedule.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such job; `Invalid` for a run of the schedule; `Quota` when the
    /// tenant has as many waiting runs as it may.
    pub fn start(
        &mut self,
        past: &dyn Past,
        new: NewRun,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Started> {
        let key = RunKey { tenant: new.job.tenant.clone(), run: new.id };
        if let Some(live) = self.live.get(&key) {
            return Ok(Started::Exists(Run::clone(&live.run)));
        }
        if let Some(run) = past.run(&key)? {
            return Ok(Started::Exists(Run::clone(&run)));
        }
        if new.cause == Cause::Schedule {
            return Err(StoreError::Invalid("only a fire makes runs of the schedule".into()));
        }
        let Some(schedule) = self.schedules.get(&new.job) else {
            return Err(StoreError::NotFound(format!("job {}", new.job)));
        };
        self.may_queue(&new.job.tenant)?;
        let run = made_run(new, schedule.uid, now);
        self.wake(now, fx);
        let place = self.place_for_new(&run, Some(now));
        let run = Arc::new(run);
        fx.run(&run);
        if place == Place::Ready {
            fx.tell_queued();
        }
        self.insert_live(Arc::clone(&run), place, 0);
        self.note(&run, Noted::Made, now, fx);
        Ok(Started::Made(Run::clone(&run)))
    }

    /// Ends the current attempt of a run.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such run.
    pub fn finish(
        &mut self,
        past: &dyn Past,
        attempt: &Holding,
        end: AttemptEnd,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<Finished> {
        let Holding { session, run: key, fence } = attempt;
        let (session, fence) = (*session, *fence);
        let Some(live) = self.live.get(key) else {
            let run = past.run(key)?;
            return run
                .map(|run| finished_before(&run, session, fence, end.outcome))
                .ok_or_else(|| StoreError::NotFound(format!("run {key}")));
        };
        if live.place != Place::Held(session) || current_fence(&live.run) != Some(fence) {
            return Ok(finished_before(&live.run, session, fence, end.outcome));
        }
        let mut run = Run::clone(&live.run);
        self.accounts.release(&mut run, Some(&end.usage), now, fx);
        self.append(key, end.log, fx);
        if let Some(attempt) = run.attempts.last_mut() {
            attempt.digest = end.digest;
            attempt.finished_at = Some(now);
            attempt.outcome = Some(end.outcome);
            attempt.error.clone_from(&end.error);
            attempt.usage = end.usage.clone();
        }
        run.usage.add(&end.usage);
        fx.write(Write::Spent(Bucket::at(&run.job_key(), now), Used::by_attempt(&end.usage)));
        run.progress = end.progress.or(run.progress);
        run.error = end.error;
        match end.retry_at {
            Some(retry_at) if run.cancel.is_none() => {
                run.state = RunState::Retrying;
                run.not_before = Some(retry_at);
                let run = Arc::new(run);
                if now < retry_at {
                    self.move_to(Arc::clone(&run), Place::Later(retry_at));
                } else {
                    self.move_to(Arc::clone(&run), Place::Ready);
                    fx.tell_queued();
                }
                fx.run(&run);
                self.note(&run, Noted::Moved, now, fx);
            }
            Some(_) | None => {
                run.result = end.result;
                self.end_as(run, end.outcome, now, fx);
            }
        }
        Ok(Finished::Done)
    }

    /// Gives a run that never started its verdict. Answers whether it has it.
    ///
    /// # Errors
    ///
    /// `Invalid` for the verdict `ran`.
    pub fn drop_run(
        &mut self,
        past: &dyn Past,
        key: &RunKey,
        verdict: Verdict,
        reason: Reason,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<bool> {
        if verdict == Verdict::Ran {
            return Err(StoreError::Invalid("a run that is dropped did not run".into()));
        }
        let Some(live) = self.live.get(key) else {
            let run = past.run(key)?;
            return Ok(run.is_some_and(|run| {
                run.verdict == Some(verdict) && run.reason.as_ref() == Some(&reason)
            }));
        };
        if live.run.verdict.is_some() {
            return Ok(false);
        }
        let run = Arc::clone(&live.run);
        self.drop_live(&run, Dropped { verdict, reason, error: None }, None, now, fx);
        Ok(true)
    }

    /// Asks that a run be cancelled.
    ///
    /// # Errors
    ///
    /// `NotFound` when there is no such run.
    pub fn cancel(
        &mut self,
        past: &dyn Past,
        key: &RunKey,
        why: &str,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Result<CancelReply> {
        match self.stop(key, why, reason::BY_REQUEST, now, fx) {
            Some(true) => Ok(CancelReply::Ended),
            Some(false) => Ok(CancelReply::Asked),
            None if past.run(key)?.is_some() => Ok(CancelReply::AlreadyDone),
            None => Err(StoreError::NotFound(format!("run {key}"))),
        }
    }

    /// Cancels every live run of a job, of whichever creation.
    pub(super) fn cancel_all_of(&mut self, job: &JobKey, now: Timestamp, fx: &mut Effects) {
        let mut runs: Vec<RunKey> = self
            .live
            .iter()
            .filter(|(key, live)| key.tenant == job.tenant && live.run.job == job.job)
            .map(|(key, _)| key.clone())
            .collect();
        runs.sort();
        for key in runs {
            self.stop(&key, "the job was removed", reason::JOB_REMOVED, now, fx);
        }
    }

    /// Ends a waiting run, or asks that a running one be stopped. Answers whether it is over, or
    /// `None` when it is not live.
    pub(super) fn stop(
        &mut self,
        key: &RunKey,
        why: &str,
        reason: &'static str,
        now: Timestamp,
        fx: &mut Effects,
    ) -> Option<bool> {
        let live = self.live.get(key)?;
        let run = Arc::clone(&live.run);
        match live.place {
            Place::Held(_) => {
                self.ask_to_stop(&run, why, fx);
                return Some(false);
            }
            Place::Later(_) | Place::Backlog | Place::Ready => (),
        }
        if run.verdict.is_none() {
            let dropped =
                Dropped { verdict: Verdict::Cancelled, reason: reason.into(), error: None };
            self.drop_live(&run, dropped, Some(why), now, fx);
        } else {
            let mut run = Run::clone(&run);
            run.cancel = Some(why.to_owned());
            self.end_as(run, Outcome::Cancelled, now, fx);
        }
        Some(true)
    }

    /// Adds lines to the log of a run whose current attempt has this fence.
    ///
    /// # Errors
    ///
    /// `Fenced` when it is another's, or the run is over.
    pub fn log_append(
        &mut self,
        key: &RunKey,
        fence: Fence,
        lines: Vec<LogLine>,
        fx: &mut Effects,
    ) -> Result<()> {
        match self.live.get(key) {
            Some(Live { run, place: Place::Held(_), .. }) if current_fence(run) == Some(fence) => {
                self.append(key, lines, fx);
                Ok(())
            }
            Some(_) | None => Err(StoreError::Fenced),
        }
    }

    fn append(&mut self, key: &RunKey, mut lines: Vec<LogLine>, fx: &mut Effects) {
        let Some(live) = self.live.get_mut(key) else { return };
        let room = usize::try_from(MAX_LOG_LINES.saturating_sub(live.lines)).unwrap_or(0);
        lines.truncate(room);
        if !lines.is_empty() {
            let from = live.lines;
            live.lines += lines.len() as u64;
            fx.write(Write::Log(key.clone(), from, lines));
        }
    }
}

/// The fence of the last attempt; the current one while the run is held.
pub(super) fn current_fence(run: &Run) -> Option<Fence> {
    run.attempts.last().map(|attempt| attempt.fence)
}

/// Whether this very end was noted before, and only its answer was lost.
fn finished_before(run: &Run, session: SessionId, fence: Fence, outcome: Outcome) -> Finished {
    let is_noted = run.attempts.iter().any(|attempt| {
        (attempt.session, attempt.fence, attempt.outcome) == (session, fence, Some(outcome))
    });
    if is_noted { Finished::Already } else { Finished::Fenced }
}

pub(in crate::store) fn made_run(new: NewRun, uid: crate::run::id::Uid, now: Timestamp) -> Run {
    Run {
        id: new.id,
        tenant: new.job.tenant,
        job: new.job.job,
        uid,
        plugin: new.spec.plugin,
        handler: new.spec.handler,
        cause: new.cause,
        fire_time: new.fire_time,
        due_at: new.not_before.map_or(new.fire_time, |not_before| not_before.max(new.fire_time)),
        state: RunState::Queued,
        verdict: None,
        reason: Some(new.reason),
        outcome: None,
        covers: 1,
        attempt: 0,
        rescues: 0,
        attempts: Vec::new(),
        queue: new.spec.queue,
        priority: new.spec.priority,
        delivery: new.spec.delivery,
        max_rescues: new.spec.max_rescues,
        not_before: new.not_before,
        start_by: new.start_by,
        queued_at: now,
        started_at: None,
        finished_at: None,
        args: new.args,
        result: None,
        error: None,
        progress: None,
        usage: Usage::default(),
        cancel: None,
        memory: new.spec.memory,
        admitted: None,
    }
}
