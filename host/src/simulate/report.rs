//! What a simulation says: the verdict of every fire time, and a summary for each job.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::Scenario;
use super::tally::{Counts, HOURS, Tally};
use crate::job::JobKey;
use crate::job::names::JobId;
use crate::record::query::{JobFilter, LedgerFilter, LedgerItem, MAX_PAGE, Page, Paged, RunFilter};
use crate::run::id::RunId;
use crate::run::outcome::Outcome;
use crate::run::{Reason, Run, Verdict};
use crate::store::{Result, Store};
use crate::time::Timestamp;

/// What became of one fire time, or of a stretch of them: an item of the ledger, and of a run how
/// it went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// The job.
    pub job: JobId,
    /// The verdict; none: a run that still waits at the end.
    pub verdict: Option<Verdict>,
    /// Why; of a run that waits, for what.
    pub reason: Option<Reason>,
    /// The first fire time.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
    /// The run that stands for them.
    pub into: Option<RunId>,
    /// The run that it became.
    pub run: Option<RunId>,
    /// Fire times that this run stands for.
    pub covers: Option<u64>,
    /// When its first attempt started.
    pub started_at: Option<Timestamp>,
    /// From due to start, milliseconds.
    pub lateness_ms: Option<u64>,
    /// Attempts.
    pub attempt: Option<u32>,
    /// How it ended; none: it was under way at the end.
    pub outcome: Option<Outcome>,
}

/// What became of one job's fire times, or of all together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The job; none: all of them.
    pub job: Option<JobId>,
    /// Fire times that came due.
    pub fires: u64,
    /// That ran.
    pub ran: u64,
    /// That were too late.
    pub misfired: u64,
    /// That another run stands for.
    pub coalesced: u64,
    /// That found the job at `max_instances`.
    pub skipped: u64,
    /// That passed while the job was paused.
    pub paused: u64,
    /// That a quota forbade.
    pub quota: u64,
    /// Whose plugin was missing.
    pub no_plugin: u64,
    /// Whose `expires` passed.
    pub expired: u64,
    /// That were cancelled before they started.
    pub cancelled: u64,
    /// That still wait at the end.
    pub waiting: u64,
    /// Runs that did not succeed: timed out, abandoned.
    pub failed: u64,
    /// From due to start, of the run that waited longest, milliseconds.
    pub longest_lateness_ms: Option<u64>,
    /// The most that ran at once.
    pub most_at_once: u64,
    /// Runs that started, by the hour of the day.
    pub started_by_hour: [u64; HOURS],
}

/// Everything that the store knows, by fire time and job.
///
/// # Errors
///
/// The store failed.
pub(super) async fn decisions(store: &dyn Store) -> Result<Vec<Decision>> {
    let schedules = all_pages(async |page| store.list(JobFilter::default(), page).await).await?;
    let mut decisions = Vec::new();
    for schedule in schedules {
        of_job(store, &schedule.key, &mut decisions).await?;
    }
    decisions.sort_by(|a, b| (a.first, a.last, &a.job).cmp(&(b.first, b.last, &b.job)));
    Ok(decisions)
}

async fn of_job(store: &dyn Store, job: &JobKey, decisions: &mut Vec<Decision>) -> Result<()> {
    let filter = RunFilter {
        tenant: Some(job.tenant.clone()),
        job: Some(job.job.clone()),
        ..RunFilter::default()
    };
    let runs = all_pages(async |page| store.runs(filter.clone(), page).await).await?;
    let waiting = runs.iter().filter(|run| run.verdict.is_none());
    decisions.extend(waiting.map(still_waiting));
    let runs: HashMap<RunId, &Run> = runs.iter().map(|run| (run.id, run)).collect();
    let filter = LedgerFilter::default();
    let ledger = all_pages(async |page| store.ledger(job, filter.clone(), page).await).await?;
    decisions.extend(ledger.into_iter().map(|item| {
        let run = item.run.and_then(|id| runs.get(&id).copied());
        decided(job, item, run)
    }));
    Ok(())
}

async fn all_pages<T>(ask: impl AsyncFn(Page) -> Result<Paged<T>>) -> Result<Vec<T>> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let paged = ask(Page { limit: MAX_PAGE, cursor }).await?;
        all.extend(paged.items);
        cursor = paged.next_cursor;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

fn decided(job: &JobKey, item: LedgerItem, run: Option<&Run>) -> Decision {
    let started_at = run.and_then(first_start);
    let due_at = run.map(|run| run.due_at);
    let lateness = started_at.zip(due_at).map(|(started, due)| started.since(due));
    Decision {
        job: job.job.clone(),
        verdict: Some(item.verdict),
        reason: Some(item.reason),
        first: item.first,
        last: item.last,
        count: item.count,
        into: item.into,
        run: item.run,
        covers: run.map(|run| run.covers),
        started_at,
        lateness_ms: lateness.map(|late| u64::try_from(late.as_millis()).unwrap_or(u64::MAX)),
        attempt: run.map(|run| run.attempt),
        outcome: run.and_then(|run| run.outcome),
    }
}

fn still_waiting(run: &Run) -> Decision {
    Decision {
        job: run.job.clone(),
        verdict: None,
        reason: run.shown_reason().cloned(),
        first: run.fire_time,
        last: run.fire_time,
        count: 1,
        into: None,
        run: Some(run.id),
        covers: Some(run.covers),
        started_at: None,
        lateness_ms: None,
        attempt: Some(run.attempt),
        outcome: None,
    }
}

/// When the first attempt started; of a run with more attempts than are kept, the oldest known.
fn first_start(run: &Run) -> Option<Timestamp> {
    run.attempts.first().map(|attempt| attempt.started_at)
}

/// One summary for each job of the scenario by name, then one for all.
pub(super) fn summaries(
    scenario: &Scenario,
    decisions: &[Decision],
    tally: &Tally,
) -> Vec<Summary> {
    let mut jobs: BTreeMap<&JobId, Summary> = BTreeMap::new();
    for resolved in &scenario.jobs {
        let key = &resolved.job.key;
        let mut summary = Summary { job: Some(key.job.clone()), ..Summary::default() };
        if let Some(counts) = tally.jobs.get(key) {
            summary.take(counts);
        }
        jobs.insert(&key.job, summary);
    }
    let mut all = Summary::default();
    all.take(&tally.all);
    for decision in decisions {
        let of_job = jobs.get_mut(&decision.job);
        for summary in of_job.into_iter().chain([&mut all]) {
            summary.add(decision);
        }
    }
    jobs.into_values().chain([all]).collect()
}

impl Summary {
    fn take(&mut self, counts: &Counts) {
        self.longest_lateness_ms =
            counts.longest_lateness.map(|late| u64::try_from(late.as_millis()).unwrap_or(u64::MAX));
        self.most_at_once = counts.most_at_once;
        self.started_by_hour = counts.started_by_hour;
    }

    fn add(&mut self, decision: &Decision) {
        self.fires += decision.count;
        let column = match decision.verdict {
            Some(Verdict::Ran) => &mut self.ran,
            Some(Verdict::Misfired) => &mut self.misfired,
            Some(Verdict::Coalesced) => &mut self.coalesced,
            Some(Verdict::Skipped) => &mut self.skipped,
            Some(Verdict::Paused) => &mut self.paused,
            Some(Verdict::Quota) => &mut self.quota,
            Some(Verdict::NoPlugin) => &mut self.no_plugin,
            Some(Verdict::Expired) => &mut self.expired,
            Some(Verdict::Cancelled) => &mut self.cancelled,
            None => &mut self.waiting,
        };
        *column += decision.count;
        match decision.outcome {
            Some(Outcome::Succeeded) | None => (),
            Some(
                Outcome::Failed
                | Outcome::TimedOut
                | Outcome::OutOfFuel
                | Outcome::OutOfMemory
                | Outcome::Trapped
                | Outcome::LimitExceeded
                | Outcome::Cancelled
                | Outcome::Abandoned,
            ) => self.failed += 1,
        }
    }
}
