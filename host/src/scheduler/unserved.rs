//! Runs that nobody can take, since no live host of their queue holds their plugin: told at once,
//! counted, and given up after `plugin_wait` (rule A21).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::catalog::fleet::Fleet;
use crate::catalog::jobs::JobCache;
use crate::clock::SharedClock;
use crate::lease::boot;
use crate::record::query::{MAX_PAGE, Page, RunFilter};
use crate::run::{Run, RunState, Verdict, reason};
use crate::schedule::served::{Class, Unserved};
use crate::schedule::waiting::plugin_deadline;
use crate::status::Status;
use crate::store::{Result, Store};

/// Pages of queued runs looked at in one step.
const MAX_PAGES: usize = 10;

/// What is needed to look after them.
pub(super) struct Lookout {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: SharedClock,
    pub(super) jobs: Arc<JobCache>,
    pub(super) status: Arc<Status>,
    pub(super) fleet: Fleet,
    pub(super) unserved: Unserved,
}

impl Lookout {
    /// Looks at the runs that are queued, once.
    pub(super) async fn look(&mut self) -> Result<()> {
        let waiting = self.waiting().await?;
        let mut counts: BTreeMap<Class, usize> = BTreeMap::new();
        for run in &waiting {
            *counts.entry(Class::of(run)).or_default() += 1;
        }
        self.status.set_unserved(waiting.len());
        let news = self.unserved.look(counts.keys(), boot::now());
        for class in &news.lost {
            let runs = counts.get(class).copied().unwrap_or_default();
            warn!(event = "unserved", plugin = %class.plugin, queue = %class.queue, runs,
                "no host that lives takes runs of this plugin from this queue; they wait");
        }
        for class in &news.found {
            info!(plugin = %class.plugin, queue = %class.queue,
                "nothing waits any more for a host that takes runs of this plugin");
        }
        for run in &waiting {
            if self.unserved.is_sure(&Class::of(run), boot::now()) {
                self.give_up(run).await?;
            }
        }
        Ok(())
    }

    /// Queued runs that nobody serves, of those that were made last.
    async fn waiting(&self) -> Result<Vec<Run>> {
        let served = self.fleet.served();
        let filter = RunFilter { states: vec![RunState::Queued], ..RunFilter::default() };
        let mut page = Page { limit: MAX_PAGE, cursor: None };
        let mut waiting = Vec::new();
        for _ in 0..MAX_PAGES {
            let paged = self.store.runs(filter.clone(), page).await?;
            let nobodys = |run: &Run| !served.serves(&run.queue, &run.plugin_key());
            waiting.extend(paged.items.into_iter().filter(nobodys));
            let Some(cursor) = paged.next_cursor else { break };
            page = Page { limit: MAX_PAGE, cursor: Some(cursor) };
        }
        Ok(waiting)
    }

    /// Gives a run that has waited for too long the verdict `no_plugin`.
    async fn give_up(&self, run: &Run) -> Result<()> {
        let Some(schedule) = self.store.get(&run.job_key()).await? else { return Ok(()) };
        let Ok(job) = self.jobs.get(&schedule) else { return Ok(()) };
        let now = self.clock.now();
        let is_over = plugin_deadline(&job.policy, run).is_some_and(|deadline| deadline <= now);
        let why = reason::NO_PLUGIN.into();
        if is_over && self.store.drop_run(&run.key(), Verdict::NoPlugin, why, now).await? {
            warn!(job = %run.job_key(), run = %run.id, plugin = %run.plugin,
                "no plugin came in time; the run is given up");
        }
        Ok(())
    }
}

/// How long a class must have been seen to be unserved before runs are given up for it: as long as
/// a host may be silent, since whoever has just started has not heard of all others.
pub(super) fn patience(ttl: Option<Duration>) -> Duration {
    ttl.unwrap_or_default()
}
