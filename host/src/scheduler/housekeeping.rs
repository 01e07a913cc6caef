//! What is done now and then beside firing: verdicts for runs that waited too long for their
//! plugin, and forgetting what need not be kept.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::Scheduler;
use crate::job::PluginKey;
use crate::record::query::{MAX_PAGE, Page, RunFilter};
use crate::record::step::Retention;
use crate::run::{Run, RunState, Verdict, reason};
use crate::schedule::waiting::plugin_deadline;
use crate::store::Result;

/// How often runs that wait for a plugin are looked at.
const WAITING_EVERY: Duration = Duration::from_secs(1);
/// How often the store is trimmed.
const TRIM_EVERY: Duration = Duration::from_secs(10);
/// Records trimmed in one step.
const TRIM_BUDGET: usize = 500;
/// What is kept of every job.
const KEEP: Retention =
    Retention { keep_bodies: 100, max_age: Duration::from_secs(30 * 86_400), max_entries: 100_000 };
/// Pages of queued runs looked at in one step.
const MAX_PAGES: usize = 10;

/// When what was last done.
#[derive(Default)]
pub struct Housekeeping {
    waiting: Option<Instant>,
    trim: Option<Instant>,
}

impl Housekeeping {
    /// Does what it is time for.
    ///
    /// # Errors
    ///
    /// The store failed; the next step tries again.
    pub(super) async fn step(&mut self, scheduler: &Scheduler) -> Result<()> {
        if is_time(&mut self.waiting, WAITING_EVERY) {
            drop_unserved(scheduler).await?;
        }
        if is_time(&mut self.trim, TRIM_EVERY) {
            let now = scheduler.clock.now();
            let trimmed = scheduler.store.trim(KEEP, TRIM_BUDGET, now).await?;
            if trimmed != crate::record::step::Trimmed::default() {
                debug!(records = trimmed.records, bodies = trimmed.bodies, "trimmed");
            }
        }
        Ok(())
    }
}

fn is_time(last: &mut Option<Instant>, every: Duration) -> bool {
    let now = Instant::now();
    let time = last.is_none_or(|last| now.duration_since(last) >= every);
    if time {
        *last = Some(now);
    }
    time
}

/// Gives runs that waited for their plugin for too long the verdict `no_plugin` (semantics A21).
async fn drop_unserved(scheduler: &Scheduler) -> Result<()> {
    let classes = scheduler.catalog.borrow().classes();
    let filter = RunFilter { states: vec![RunState::Queued], ..RunFilter::default() };
    let mut page = Page { limit: MAX_PAGE, cursor: None };
    for _ in 0..MAX_PAGES {
        let paged = scheduler.store.runs(filter.clone(), page).await?;
        for run in &paged.items {
            drop_if_unserved(scheduler, run, &classes).await?;
        }
        let Some(cursor) = paged.next_cursor else { return Ok(()) };
        page = Page { limit: MAX_PAGE, cursor: Some(cursor) };
    }
    Ok(())
}

async fn drop_if_unserved(
    scheduler: &Scheduler,
    run: &Run,
    classes: &BTreeSet<PluginKey>,
) -> Result<()> {
    if classes.contains(&run.plugin_key()) {
        return Ok(());
    }
    let Some(schedule) = scheduler.store.get(&run.job_key()).await? else { return Ok(()) };
    let Ok(job) = scheduler.jobs.get(&schedule) else { return Ok(()) };
    let now = scheduler.clock.now();
    if plugin_deadline(&job.policy, run).is_some_and(|deadline| deadline <= now)
        && scheduler
            .store
            .drop_run(&run.key(), Verdict::NoPlugin, reason::NO_PLUGIN.into(), now)
            .await?
    {
        warn!(job = %run.job_key(), run = %run.id, plugin = %run.plugin,
            "no plugin came in time; the run is given up");
    }
    Ok(())
}
