//! Looks all the time whether the ledger keeps its promise: one verdict for each fire time.
//!
//! Goes through the jobs a few at a time, reads what the store has, and compares it by
//! `schedule::audit`. What is found twice in a row is a fault: `/readyz` turns red and says so.
//! Changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{debug, error};

use crate::catalog::jobs::JobCache;
use crate::clock::SharedClock;
use crate::job::JobKey;
use crate::record::Schedule;
use crate::record::query::{JobFilter, LedgerFilter, Page, RunFilter};
use crate::run::{Cause, RunState};
use crate::schedule::audit::{Fault, Waiting, audit};
use crate::status::Status;
use crate::store::{Result, Store};

/// The pause between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Jobs looked at in one look.
const JOBS_PER_LOOK: usize = 100;
/// Verdicts of one job looked at.
const ITEMS_PER_JOB: usize = 200;
/// How far back one look goes.
const LOOK_BACK: Duration = Duration::from_secs(24 * 60 * 60);

/// What an auditor needs.
pub struct Auditor {
    /// Where the ledger is.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: SharedClock,
    /// Jobs as values.
    pub jobs: Arc<JobCache>,
    /// Where it says what it found.
    pub status: Arc<Status>,
}

impl Auditor {
    /// Looks until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut suspects = BTreeMap::new();
        let mut cursor = None;
        while !*stop.borrow() {
            match self.look(cursor.take(), &mut suspects).await {
                Ok(next) => cursor = next,
                Err(error) => debug!(%error, "the ledger could not be looked at"),
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => (),
                _ = stop.changed() => (),
            }
        }
    }

    /// Looks at some jobs, and again at those that looked wrong before. Answers where to go on.
    async fn look(
        &self,
        cursor: Option<String>,
        suspects: &mut BTreeMap<JobKey, Fault>,
    ) -> Result<Option<String>> {
        for (job, before) in std::mem::take(suspects) {
            let Some(schedule) = self.store.get(&job).await? else { continue };
            match self.audit(&schedule).await? {
                Some(fault) if fault == before => {
                    error!(%job, %fault, "the ledger is not sound");
                    self.status.set_fault(&job, Some(fault.to_string()));
                }
                Some(fault) => {
                    suspects.insert(job, fault);
                }
                None => self.status.set_fault(&job, None),
            }
        }
        let page = Page { limit: JOBS_PER_LOOK, cursor };
        let listed = self.store.list(JobFilter::default(), page).await?;
        for schedule in listed.items {
            match self.audit(&schedule).await? {
                Some(fault) => {
                    suspects.insert(schedule.key, fault);
                }
                None => self.status.set_fault(&schedule.key, None),
            }
        }
        Ok(listed.next_cursor)
    }

    async fn audit(&self, schedule: &Schedule) -> Result<Option<Fault>> {
        let Ok(job) = self.jobs.get(schedule) else { return Ok(None) };
        let (Some(trigger), Some(from)) = (&job.trigger, schedule.accounted_from) else {
            return Ok(None);
        };
        let now = self.clock.now();
        let Some(end) = schedule.cursor.or(schedule.last_fire).map(|end| end.min(now)) else {
            return Ok(None);
        };
        // Half of what is kept: nothing in there is forgotten while it is looked at.
        let kept = (job.history.max_age / 2).min(LOOK_BACK);
        let mut from = from.max(now.before(kept));
        // Runs first: one that gets its verdict meanwhile is then in both.
        let waiting = self.waiting(schedule).await?;
        let filter = LedgerFilter { from: Some(from), to: Some(end), ..LedgerFilter::default() };
        let page = Page { limit: ITEMS_PER_JOB, cursor: None };
        let mut ledger = self.store.ledger(&schedule.key, filter, page).await?;
        if ledger.next_cursor.is_some()
            && let Some(oldest) = ledger.items.pop()
        {
            from = from.max(oldest.last.after(Duration::from_micros(1)));
        }
        if end <= from {
            return Ok(None);
        }
        let anchor = schedule.trigger_state.anchor;
        Ok(audit(trigger, anchor, from..end, &ledger.items, &waiting))
    }

    async fn waiting(&self, schedule: &Schedule) -> Result<Vec<Waiting>> {
        let filter = RunFilter {
            tenant: Some(schedule.key.tenant.clone()),
            job: Some(schedule.key.job.clone()),
            states: vec![RunState::Queued],
            cause: Some(Cause::Schedule),
            ..RunFilter::default()
        };
        let mut waiting = Vec::new();
        let mut page = Page { limit: crate::record::query::MAX_PAGE, cursor: None };
        loop {
            let runs = self.store.runs(filter.clone(), page).await?;
            let undecided = runs.items.iter().filter(|run| run.verdict.is_none());
            waiting.extend(undecided.map(|run| Waiting { run: run.id, fire_time: run.fire_time }));
            let Some(cursor) = runs.next_cursor else { return Ok(waiting) };
            page = Page { limit: crate::record::query::MAX_PAGE, cursor: Some(cursor) };
        }
    }
}
