//! How a live run moves from place to place. Every step that touches a run goes through these.

use std::sync::Arc;
use std::time::Duration;

use super::effects::{Effects, Extent, Write};
use super::{Core, Live, Place};
use crate::job::JobKey;
use crate::record::step::{Change, Claim};
use crate::record::used::{Bucket, Used};
use crate::record::{Begun, LastRun, Pause, Schedule};
use crate::run::id::{SessionId, Uid};
use crate::run::outcome::{Outcome, RunError};
use crate::run::usage::Usage;
use crate::run::{
    Attempt, MAX_ATTEMPTS_KEPT, Reason, Run, RunKey, RunState, StartBy, Verdict, reason,
};
use crate::schedule::pause::due_while_paused;
use crate::time::Timestamp;

/// A run that starts later than this after it was due is late, whatever was planned.
const LATE_AFTER: Duration = Duration::from_secs(1);

/// Why a run that never started is over.
pub(super) struct Dropped {
    pub(super) verdict: Verdict,
    pub(super) reason: Reason,
    /// In words, when the reason does not say it all.
    pub(super) error: Option<RunError>,
}

impl Core {
    /// Live runs at most, of this creation of the job. What is left of a removed job runs one by
    /// one.
    pub(super) fn limit(&self, job: &JobKey, uid: Uid) -> usize {
        self.schedules
            .get(job)
            .filter(|schedule| schedule.uid == uid)
            .map_or(1, |schedule| usize::try_from(schedule.max_instances).unwrap_or(usize::MAX))
    }

    /// Where a run that never started belongs; takes a slot for it when it is to be ready.
    ///
    /// Without `now` its time is taken to have come.
    pub(super) fn place_for_new(&mut self, run: &Run, now: Option<Timestamp>) -> Place {
        if let (Some(not_before), Some(now)) = (run.not_before, now)
            && now < not_before
        {
            return Place::Later(not_before);
        }
        if self.queues.taken(run.uid) < self.limit(&run.job_key(), run.uid) {
            self.queues.take_slot(run);
            Place::Ready
        } else {
            Place::Backlog
        }
    }

    pub(super) fn insert_live(&mut self, run: Arc<Run>, place: Place, lines: u64) {
        let key = run.key();
        if let Some(deadline) = deadline_of(&run) {
            self.deadlines.insert((deadline, key.clone()));
        }
        self.enter(&run, &key, place);
        self.accounts.count_live(&run.tenant, true);
        self.live.insert(key, Live { run, place, lines });
    }

    fn enter(&mut self, run: &Run, key: &RunKey, place: Place) {
        match place {
            Place::Later(not_before) => self.queues.push_later(not_before, key.clone()),
            Place::Backlog => self.queues.push_backlog(run),
            Place::Ready => {
                self.queues.push_ready(run);
                self.accounts.set_waiting(&run.tenant, true);
            }
            Place::Held(session) => {
                if let Some(holder) = self.sessions.get_mut(&session) {
                    holder.runs.insert(key.clone());
                }
            }
        }
    }

    /// Leaving the backlog is part of leaving the job, or was done by who took it out.
    fn exit(&mut self, run: &Run, key: &RunKey, place: Place) {
        match place {
            Place::Later(not_before) => self.queues.remove_later(not_before, key.clone()),
            Place::Backlog => (),
            Place::Ready => {
                if self.queues.remove_ready(run) {
                    self.accounts.set_waiting(&run.tenant, false);
                }
            }
            Place::Held(session) => {
                if let Some(holder) = self.sessions.get_mut(&session) {
                    holder.runs.remove(key);
                }
            }
        }
    }

    /// Puts the changed record of a live run in `place`.
    pub(super) fn move_to(&mut self, run: Arc<Run>, place: Place) {
        let key = run.key();
        if let Some(live) = self.live.get_mut(&key) {
            let from = std::mem::replace(&mut live.place, place);
            live.run = Arc::clone(&run);
            self.exit(&run, &key, from);
            self.enter(&run, &key, place);
        }
    }

    /// Lets runs go on whose time has come, and gives up those that should have started.
    pub(super) fn wake(&mut self, now: Timestamp, fx: &mut Effects) {
        while let Some((deadline, key)) = self.deadlines.first().cloned() {
            if now <= deadline {
                break;
            }
            self.deadlines.pop_first();
            let Some(live) = self.live.get(&key) else { continue };
            let run = Arc::clone(&live.run);
            if let (None, Some(start_by)) = (run.verdict, run.start_by.clone()) {
                let StartBy { verdict, reason, .. } = start_by;
                let dropped = Dropped { verdict, reason, error: None };
                self.drop_live(&run, dropped, None, now, fx);
            }
        }
        while let Some(key) = self.queues.pop_later(now) {
            let Some(live) = self.live.get(&key) else { continue };
            let run = Arc::clone(&live.run);
            let place = if self.queues.has_slot(&run) {
                Place::Ready
            } else {
                self.place_for_new(&run, Some(now))
            };
            self.move_to(run, place);
            fx.tell_queued();
        }
    }

    /// When [`wake`](Self::wake) has something to do next.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        let given_up = self.deadlines.first().map(|(at, _)| at.after(Duration::from_micros(1)));
        match (self.queues.next_later(), given_up) {
            (Some(later), Some(given_up)) => Some(later.min(given_up)),
            (later, given_up) => later.or(given_up),
        }
    }

    /// Starts the next attempt of a run that has a slot: the record of it, not yet kept.
    pub(super) fn begin_attempt(
        &mut self,
        run: &mut Run,
        session: SessionId,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        self.fence = (self.fence + 1).max(u64::try_from(now.micros()).unwrap_or(0));
        fx.write(Write::Fence(self.fence));
        let host = self.sessions.get(&session).map(|holder| holder.session.host.clone());
        self.accounts.admit(run, now, fx);
        run.state = RunState::Running;
        run.attempt += 1;
        run.started_at = Some(now);
        run.not_before = None;
        if run.verdict.is_none() {
            if let Some(deadline) = deadline_of(run) {
                self.deadlines.remove(&(deadline, run.key()));
            }
            run.verdict = Some(Verdict::Ran);
            let late = run.due_at.after(LATE_AFTER) < now;
            let waited = match run.reason.as_deref() {
                Some(reason::NO_PLUGIN | reason::RATE_LIMIT) => true,
                Some(reason::ON_TIME) => late,
                Some(_) | None => false,
            };
            if waited {
                run.reason = Some(reason::LATE.into());
            }
        }
        if MAX_ATTEMPTS_KEPT <= run.attempts.len() {
            run.attempts.remove(0);
        }
        run.attempts.push(Attempt {
            attempt: run.attempt,
            fence: self.fence,
            session,
            host: host.unwrap_or_default(),
            digest: None,
            started_at: now,
            finished_at: None,
            outcome: None,
            error: None,
            usage: Usage::default(),
        });
    }

    /// Counts a run of a job with a `rate_limit` that begins.
    pub(super) fn count_begun(schedule: &mut Schedule, run: &Run, now: Timestamp) {
        if let Some(rate) = schedule.rules.rate_limit.filter(|_| run.attempt == 1) {
            let before = schedule.begun.as_deref().copied();
            schedule.begun = Some(Box::new(Begun::and_one(before, rate, now)));
        }
    }

    /// When a run that has not begun may, if its job's `rate_limit` lets none begin at `now`.
    pub(super) fn rate_full_until(&self, run: &Run, now: Timestamp) -> Option<Timestamp> {
        if run.verdict.is_some() {
            return None;
        }
        let schedule = self.schedules.get(&run.job_key())?;
        schedule.begun.as_deref()?.full_until(schedule.rules.rate_limit?, now)
    }

    /// Ends a run that never started.
    pub(super) fn drop_live(
        &mut self,
        run: &Arc<Run>,
        dropped: Dropped,
        cancel: Option<&str>,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        let mut run = Run::clone(run);
        run.verdict = Some(dropped.verdict);
        run.reason = Some(dropped.reason);
        run.error = dropped.error.or(run.error);
        run.cancel = cancel.map(str::to_owned).or(run.cancel);
        self.end(run, now, fx);
    }

    /// Ends a run that ran.
    pub(super) fn end_as(
        &mut self,
        mut run: Run,
        outcome: Outcome,
        now: Timestamp,
        fx: &mut Effects,
    ) {
        run.outcome = Some(outcome);
        self.end(run, now, fx);
    }

    fn end(&mut self, mut run: Run, now: Timestamp, fx: &mut Effects) {
        run.state = RunState::Done;
        run.not_before = None;
        run.finished_at = Some(now);
        let run = Arc::new(run);
        let key = run.key();
        if let Some(live) = self.live.remove(&key) {
            self.accounts.count_live(&run.tenant, false);
            if let Some(deadline) = deadline_of(&live.run) {
                self.deadlines.remove(&(deadline, key.clone()));
            }
            self.exit(&live.run, &key, live.place);
        }
        self.queues.leave_job(&run);
        self.rounds.grew(&run.job_key());
        fx.run(&run);
        if let Some(outcome) = run.outcome {
            fx.write(Write::Spent(Bucket::at(&run.job_key(), now), Used::by_run(outcome)));
        }
        self.note(&run, Noted::Moved, now, fx);
        self.count_failures(&run, now, fx);
        self.fill_slots(&run.job_key(), run.uid, fx);
    }

    /// Lets runs out of a job's backlog while it has free slots.
    pub(super) fn fill_slots(&mut self, job: &JobKey, uid: Uid, fx: &mut Effects) {
        let limit = self.limit(job, uid);
        while let Some(id) = self.queues.pop_backlog(uid, limit) {
            let key = RunKey { tenant: job.tenant.clone(), run: id };
            if let Some(live) = self.live.get(&key) {
                let run = Arc::clone(&live.run);
                self.queues.take_slot(&run);
                self.move_to(run, Place::Ready);
                fx.tell_queued();
            }
        }
    }

    /// Keeps the schedule's `last_run` in step with `run`.
    pub(super) fn note(&mut self, run: &Run, noted: Noted, now: Timestamp, fx: &mut Effects) {
        let job = run.job_key();
        let Some(schedule) = self.schedules.get(&job) else { return };
        if schedule.uid == run.uid
            && let Some(last_run) = last_run_after(schedule.last_run.as_ref(), run, noted, now)
        {
            self.change(&job, |schedule| schedule.last_run = Some(last_run), fx);
        }
    }

    /// Counts runs in a row that did not succeed, and pauses the job when its rules say so.
    fn count_failures(&mut self, run: &Run, now: Timestamp, fx: &mut Effects) {
        let Some(schedule) = self.schedules.get(&run.job_key()) else { return };
        let failures = match run.outcome {
            Some(Outcome::Succeeded) => 0,
            Some(
                Outcome::Failed
                | Outcome::TimedOut
                | Outcome::OutOfFuel
                | Outcome::OutOfMemory
                | Outcome::Trapped
                | Outcome::LimitExceeded
                | Outcome::Abandoned,
            ) => schedule.failures.saturating_add(1),
            Some(Outcome::Cancelled) | None => return,
        };
        if schedule.uid != run.uid || schedule.failures == failures {
            return;
        }
        let limit = schedule.rules.pause_after_failures;
        let is_too_many = schedule.pause.is_none() && limit.is_some_and(|limit| limit <= failures);
        let job = run.job_key();
        let count = |schedule: &mut Schedule| {
            schedule.failures = failures;
            if is_too_many {
                schedule.version += 1;
                schedule.pause = Some(Pause {
                    by: "pause_after_failures".to_owned(),
                    why: format!("{failures} runs in a row did not succeed, the last at {now}"),
                    until: None,
                });
            }
        };
        self.change(&job, count, fx);
        if is_too_many {
            fx.tell(Change::Job(job));
        }
    }

    /// Changes a schedule, all but its definition.
    pub(super) fn change(
        &mut self,
        job: &JobKey,
        change: impl FnOnce(&mut Schedule),
        fx: &mut Effects,
    ) {
        if let Some(schedule) = self.schedules.change(job, change) {
            fx.write(Write::Schedule(Arc::clone(schedule), Extent::Position));
        }
    }

    /// Tells that the run is to be cancelled and notes it.
    pub(super) fn ask_to_stop(&mut self, run: &Arc<Run>, why: &str, fx: &mut Effects) {
        if run.cancel.is_none() {
            let mut run = Run::clone(run);
            run.cancel = Some(why.to_owned());
            let run = Arc::new(run);
            let key = run.key();
            if let Some(live) = self.live.get_mut(&key) {
                live.run = Arc::clone(&run);
            }
            fx.run(&run);
        }
        fx.tell(Change::Cancel(run.key()));
    }
}

/// When a schedule is to be looked at: when it is due, or during a pause when that is to be
/// settled or over.
pub(super) fn due_key(schedule: &Schedule) -> Option<Timestamp> {
    match (&schedule.parked, &schedule.pause) {
        (Some(_), _) => None,
        (None, Some(_)) => due_while_paused(schedule),
        (None, None) => schedule.due_at,
    }
}

/// What a session gets that now holds `run`, of the job `schedule`.
pub(super) fn claim_of(run: Arc<Run>, schedule: Option<Arc<Schedule>>) -> Claim {
    Claim { fence: run.attempts.last().map_or(0, |attempt| attempt.fence), run, schedule }
}

/// When a run is given up that has not started.
fn deadline_of(run: &Run) -> Option<Timestamp> {
    run.start_by.as_ref().filter(|_| run.verdict.is_none()).map(|start_by| start_by.at)
}

/// What happened to a run that its schedule should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It was made: it is the last run now.
    Made,
    /// It started or ended.
    Moved,
}

/// The schedule's `last_run` after `run` was made or moved; `None` when it stays as it is.
pub(super) fn last_run_after(
    before: Option<&LastRun>,
    run: &Run,
    noted: Noted,
    now: Timestamp,
) -> Option<LastRun> {
    let success = (run.outcome == Some(Outcome::Succeeded)).then_some(run.fire_time);
    let previous_success = before.and_then(|last| last.previous_success).max(success);
    let is_last = match noted {
        Noted::Made => true,
        Noted::Moved => before.is_none_or(|last| last.run == run.id),
    };
    if is_last {
        let (state, outcome) = (run.state, run.outcome);
        return Some(LastRun { run: run.id, at: now, state, outcome, previous_success });
    }
    before
        .filter(|last| last.previous_success != previous_success)
        .map(|last| LastRun { previous_success, ..last.clone() })
}
