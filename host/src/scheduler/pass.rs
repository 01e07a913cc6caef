//! One pass: everything that is due, decided and made so.

use std::sync::Arc;

use tracing::{debug, error, warn};

use super::Scheduler;
use crate::executor::Claimed;
use crate::executor::slots::Slot;
use crate::job::Job;
use crate::lease::cell::Held;
use crate::record::Schedule;
use crate::record::step::{FireIntent, Fired, Patch, PlannedFire, RunSpec};
use crate::run::reason;
use crate::schedule::pause::{CatchUp, resume};
use crate::schedule::plan::{FirePlan, PlannedRun, plan_fires};
use crate::schedule::served::Served;
use crate::schedule::waiting::{plugin_start_by, start_by};
use crate::store::error::StoreError;
use crate::store::{Result, run_id_of_fire};
use crate::time::Timestamp;
use crate::trigger::GaveUp;

/// Schedules decided about in one step.
const DUE_BATCH: usize = 200;
/// Steps before the scheduler looks after other things.
const MAX_STEPS: usize = 1_000;

impl Scheduler {
    /// Fires all that is due. Answers when the next one is. [`run`](Self::run) calls it again and
    /// again; a simulation calls it whenever its clock has jumped.
    ///
    /// # Errors
    ///
    /// The store failed; what was fired before that stays fired.
    pub async fn pass(&self) -> Result<Option<Timestamp>> {
        for _ in 0..MAX_STEPS {
            let now = self.clock.now();
            let held = self.session.current();
            let due = self.store.due(&held.session, now, DUE_BATCH).await?;
            if due.schedules.is_empty() {
                self.status.passed(now, None);
                // How long that is by the store's clock, from now on by the own one.
                return Ok(due.next_due.map(|next| now.after(next.since(due.now))));
            }
            let moved = self.step(&held, &due.schedules, due.now).await?;
            if moved == 0 {
                // Everything due was moved by others, or can't be: not worth another look at once.
                self.status.passed(now, due.schedules.iter().filter_map(|s| s.due_at).min());
                return Ok(None);
            }
        }
        self.status.passed(self.clock.now(), None);
        Ok(Some(self.clock.now()))
    }

    /// Decides about a batch and makes it so. Answers how many schedules moved on.
    async fn step(&self, held: &Arc<Held>, due: &[Arc<Schedule>], now: Timestamp) -> Result<usize> {
        let served = self.fleet.served();
        let mut intents = Vec::with_capacity(due.len());
        let mut planned = Vec::with_capacity(due.len());
        let mut set_aside = 0;
        for schedule in due {
            let job = match self.jobs.get(schedule) {
                Ok(job) => job,
                Err(message) => {
                    self.park(schedule, &message, now).await?;
                    set_aside += 1;
                    continue;
                }
            };
            if schedule.pause.is_some() {
                self.patch(schedule, resume(schedule, &job, CatchUp::No, now), now).await?;
                set_aside += 1;
                continue;
            }
            if let Some((mut intent, gave_up)) = intent(schedule, &job, &served, now) {
                // Others can begin at once what would have to rest here.
                let here = self.queues.contains(&job.queue)
                    && served.holds(&job.plugin_key())
                    && held.lease.holds();
                let most = if here { claimable(&intent) } else { 0 };
                let free = self.slots.admit(&job.key.tenant, job.limits.memory, most);
                intent.claim = free.len();
                planned.push((schedule, free, gave_up));
                intents.push(intent);
            }
        }
        let fired = match self.store.fire(&held.session, intents, now).await {
            Err(StoreError::Invalid(message)) => {
                drop(planned);
                return self.one_by_one(held, due, &message, now).await;
            }
            fired => fired?,
        };
        let mut moved = set_aside;
        for (fired, (schedule, slots, gave_up)) in fired.into_iter().zip(planned) {
            let done = self.follow(held, fired, schedule, slots).await;
            moved += done;
            if let Some(gave_up) = gave_up.filter(|_| 0 < done) {
                self.park(schedule, &gave_up.to_string(), now).await?;
            }
        }
        Ok(moved)
    }

    /// A batch was refused: finds the job that is to blame and takes it out, so that it holds up
    /// nobody else.
    async fn one_by_one(
        &self,
        held: &Arc<Held>,
        due: &[Arc<Schedule>],
        message: &str,
        now: Timestamp,
    ) -> Result<usize> {
        if let [schedule] = due {
            self.park(schedule, message, now).await?;
            return Ok(1);
        }
        let mut moved = 0;
        for schedule in due {
            moved += Box::pin(self.step(held, std::slice::from_ref(schedule), now)).await?;
        }
        Ok(moved)
    }

    /// Hands on what came of one intent.
    async fn follow(
        &self,
        held: &Arc<Held>,
        fired: Fired,
        schedule: &Schedule,
        mut slots: Vec<Slot>,
    ) -> usize {
        let (claimed, skipped) = match fired {
            Fired::Lost => return 0,
            Fired::Done { claimed, skipped, queued, over_quota } => {
                debug!(job = %schedule.key, claimed = claimed.len(), queued = queued.len(), "fired");
                for fire_time in over_quota {
                    debug!(job = %schedule.key, %fire_time, "the tenant has used up a quota");
                }
                (claimed, skipped)
            }
        };
        for fire_time in skipped {
            warn!(job = %schedule.key, %fire_time, "maximum number of running instances reached");
        }
        for claim in claimed {
            let Some(slot) = slots.pop() else { continue };
            let held = Arc::clone(held);
            if self.claims.send(Claimed { claim, slot, held }).await.is_err() {
                // The executor has ended; detaching hands the run back.
                warn!(job = %schedule.key, "a run was made while the host shuts down");
            }
        }
        1
    }

    /// Takes a job that can't be understood, or has no next fire time that can be found, out of the
    /// schedule, so that it stops being due.
    async fn park(&self, schedule: &Schedule, message: &str, now: Timestamp) -> Result<()> {
        error!(job = %schedule.key, %message, "the job can't be scheduled; it is parked");
        let patch = Patch { parked: Some(Some(message.to_owned())), ..Patch::default() };
        self.patch(schedule, patch, now).await
    }

    /// Changes a schedule unless somebody was faster: then the next pass looks again.
    async fn patch(&self, schedule: &Schedule, patch: Patch, now: Timestamp) -> Result<()> {
        match self.store.patch(&schedule.key, Some(schedule.version), patch, now).await {
            Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Runs of an intent that may be taken at once: those that somebody serves.
fn claimable(intent: &FireIntent) -> usize {
    intent.fires.iter().take_while(|fire| fire.reason != reason::NO_PLUGIN).count()
}

fn intent(
    schedule: &Schedule,
    job: &Job,
    served: &Served,
    now: Timestamp,
) -> Option<(FireIntent, Option<GaveUp>)> {
    let cursor = schedule.cursor?;
    let anchor = schedule.trigger_state.anchor;
    let plan = plan_fires(job, anchor, cursor, now);
    let id = |fire_time| run_id_of_fire(&schedule.key, schedule.uid, fire_time);
    let is_served = served.serves(&job.queue, &job.plugin_key());
    if !is_served && !plan.fires.is_empty() {
        warn!(job = %schedule.key, plugin = %job.plugin, queue = %job.queue,
            "no plugin: the run waits for it");
    }
    let FirePlan { fires, ranges, next, gave_up } = plan;
    let intent = FireIntent {
        job: schedule.key.clone(),
        uid: schedule.uid,
        version: schedule.version,
        expect_cursor: cursor,
        fires: fires.into_iter().map(|run| planned_fire(run, job, is_served, now)).collect(),
        ranges: ranges.iter().map(|range| range.with_run(id)).collect(),
        new_cursor: next,
        new_due_at: next.map(|next| job.due_at(anchor, next)),
        trigger_state: schedule.trigger_state.clone(),
        claim: 0,
    };
    Some((intent, gave_up))
}

fn planned_fire(run: PlannedRun, job: &Job, is_served: bool, now: Timestamp) -> PlannedFire {
    let due_at = run.due_at;
    let (reason, start_by) = if is_served {
        (run.reason, start_by(&job.policy, due_at))
    } else {
        (reason::NO_PLUGIN.into(), Some(plugin_start_by(&job.policy, due_at, now)))
    };
    PlannedFire {
        fire_time: run.fire_time,
        due_at,
        disposition: run.disposition,
        covers: run.covers,
        reason,
        start_by,
        spec: RunSpec::of(job),
    }
}
