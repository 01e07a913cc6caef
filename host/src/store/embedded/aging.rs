//! Which records need not be kept any longer: one rule, and what a backend must tell for it.
//!
//! A done run ages from its end, a range from when it was noted last: fire times may lie far back.

use std::collections::HashSet;
use std::time::Duration;

use crate::job::{History, JobKey};
use crate::record::step::Retention;
use crate::record::used::{self, Bucket};
use crate::run::RunKey;
use crate::run::id::RunId;
use crate::store::Result;
use crate::store::core::papers::{RangeMark, Victims};
use crate::store::core::rounds::Look;
use crate::time::Timestamp;

/// A done run is kept at least so long: within it, the repeat of a lost call finds it.
pub(in crate::store) const REPEAT_HORIZON: Duration = Duration::from_mins(10);
/// Jobs that a round gets on by in one step at most.
const JOBS_IN_STEP: usize = 64;
/// Records counted in one step, beyond which the round waits for the next one.
const COUNTED_IN_STEP: u64 = 100_000;
/// Lines of a log that cost as much as one record.
const LINES_PER_RECORD: u64 = 64;

/// A done run by its end. The least is the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct DoneMark {
    pub(in crate::store) finished_at: Timestamp,
    pub(in crate::store) queued_at: Timestamp,
    pub(in crate::store) id: RunId,
}

/// The past of jobs, by name: over all creations of each, removed ones too.
pub(in crate::store) trait Pasts {
    /// Names that have a past, after `after`, at most `max`.
    fn names(&self, after: Option<&JobKey>, max: usize) -> Result<Vec<JobKey>>;

    /// How much the job wants kept; `None` when there is no such job.
    fn history(&self, job: &JobKey) -> Result<Option<History>>;

    /// How many runs, live ones too, and ranges there are.
    fn entries(&self, job: &JobKey) -> Result<u64>;

    /// The done run that ended last.
    fn newest_done(&self, job: &JobKey) -> Result<Option<RunId>>;

    /// Done runs that ended before `before`, oldest first, at most `max`.
    fn oldest_done(&self, job: &JobKey, before: Timestamp, max: usize) -> Result<Vec<DoneMark>>;

    /// Ranges noted before `before`, oldest first, at most `max`.
    fn oldest_ranges(
        &self,
        job: &JobKey,
        before: Timestamp,
        max: usize,
    ) -> Result<Vec<(Timestamp, RangeMark)>>;

    /// Done runs that have a body, without the newest `keep` of them, newest first, at most `max`.
    fn bodies(&self, job: &JobKey, keep: u32, max: usize) -> Result<Vec<RunId>>;

    /// Buckets of what was used whose hour began before `before`, oldest first, at most `max`.
    fn oldest_buckets(&self, before: Timestamp, max: usize) -> Result<Vec<Bucket>>;

    /// How many lines a run's log has.
    fn lines(&self, run: &RunKey) -> Result<u64>;
}

/// What need not be kept any longer of those that `look` names, at most `budget` records.
pub(in crate::store) fn victims<P: Pasts + ?Sized>(
    pasts: &P,
    look: &Look,
    keep: Retention,
    budget: usize,
    now: Timestamp,
) -> Result<Victims> {
    let mut search = Search { pasts, keep, now, counted: 0, victims: Victims::default() };
    let names = pasts.names(look.after.as_ref(), JOBS_IN_STEP)?;
    // The other half is for those out of turn, so that neither waits for the other for ever.
    let share = if look.urgent.is_empty() { budget } else { budget.div_ceil(2) };
    let mut left = Budget(share as u64);
    let mut rest = budget as u64 - left.0;
    let mut looked = 0;
    for job in &names {
        if left.0 == 0 || COUNTED_IN_STEP < search.counted {
            break;
        }
        looked += 1;
        search.job(job, &mut left)?;
    }
    rest += left.0;
    let (seen, unseen) = names.split_at(looked);
    let is_over = unseen.is_empty() && names.len() < JOBS_IN_STEP;
    search.victims.looked.is_cut = left.0 == 0;
    search.victims.looked.last = seen.last().filter(|_| !is_over).cloned();

    let mut left = Budget(rest);
    for job in look.urgent.iter().filter(|job| !seen.contains(job)) {
        if left.0 == 0 {
            search.victims.looked.unfinished.push(job.clone());
        } else {
            search.job(job, &mut left)?;
        }
    }
    let max = usize::try_from(left.0).unwrap_or(usize::MAX);
    search.victims.buckets = pasts.oldest_buckets(now.before(used::KEPT), max)?;
    // As many as there was room for: there may be more.
    search.victims.looked.is_cut |= 0 < max && search.victims.buckets.len() == max;
    Ok(search.victims)
}

/// What may still be forgotten in this step.
struct Budget(u64);

impl Budget {
    /// Spends what forgetting a run with so many lines costs: the last one may cost more than is
    /// left.
    fn spend(&mut self, lines: u64) {
        self.0 = self.0.saturating_sub(1 + lines / LINES_PER_RECORD);
    }
}

struct Search<'a, P: ?Sized> {
    pasts: &'a P,
    keep: Retention,
    now: Timestamp,
    counted: u64,
    victims: Victims,
}

/// An entry of the ledger that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Range(RangeMark),
    Run(DoneMark),
}

impl<P: Pasts + ?Sized> Search<'_, P> {
    fn job(&mut self, job: &JobKey, left: &mut Budget) -> Result<()> {
        let history = self.pasts.history(job)?;
        let is_removed = history.is_none();
        let history = history.unwrap_or(self.keep.removed);
        let entries = self.pasts.entries(job)?;
        self.counted += entries;
        let excess = entries.saturating_sub(self.keep.max_entries);
        let first = self.victims.runs.len();
        let is_finished = self.entries(job, history.max_age, (excess, is_removed), left)?
            && self.bodies(job, history.keep, first, left)?;
        if !is_finished {
            self.victims.looked.unfinished.push(job.clone());
        }
        Ok(())
    }

    /// The oldest `excess` entries, and those older than `max_age`. Answers whether that is all.
    fn entries(
        &mut self,
        job: &JobKey,
        max_age: Duration,
        (excess, is_removed): (u64, bool),
        left: &mut Budget,
    ) -> Result<bool> {
        let too_old = self.now.before(max_age);
        let before = if excess == 0 { too_old } else { Timestamp::MAX };
        // One more than may go, and the one that is spared.
        let max = usize::try_from(left.0).unwrap_or(usize::MAX).saturating_add(2);
        // The last end of a job that there is says how the job is, however old it is.
        let spared = if is_removed { None } else { self.pasts.newest_done(job)? };
        let horizon = self.now.before(REPEAT_HORIZON);
        let runs = self.pasts.oldest_done(job, before.min(horizon), max)?;
        let runs = runs.into_iter().filter(|run| Some(run.id) != spared);
        let ranges = self.pasts.oldest_ranges(job, before, max)?;
        let mut entries: Vec<(Timestamp, Entry)> = runs
            .map(|run| (run.finished_at, Entry::Run(run)))
            .chain(ranges.into_iter().map(|(noted_at, range)| (noted_at, Entry::Range(range))))
            .collect();
        entries.sort_unstable();
        for (number, (age, entry)) in (0..).zip(entries) {
            if excess <= number && too_old <= age {
                break;
            }
            if left.0 == 0 {
                return Ok(false);
            }
            match entry {
                Entry::Range(range) => {
                    left.spend(0);
                    self.victims.ranges.push(range);
                }
                Entry::Run(run) => {
                    let run = RunKey { tenant: job.tenant.clone(), run: run.id };
                    left.spend(self.pasts.lines(&run)?);
                    self.victims.runs.push(run);
                }
            }
        }
        Ok(true)
    }

    /// Bodies beyond the newest `keep`; the job's runs that go altogether are those from `first`
    /// on. Answers whether those are all.
    fn bodies(&mut self, job: &JobKey, keep: u32, first: usize, left: &mut Budget) -> Result<bool> {
        let gone: HashSet<RunId> =
            self.victims.runs.iter().skip(first).map(|run| run.run).collect();
        let max = usize::try_from(left.0).unwrap_or(usize::MAX).saturating_add(1 + gone.len());
        for run in self.pasts.bodies(job, keep, max)? {
            if gone.contains(&run) {
                continue;
            }
            if left.0 == 0 {
                return Ok(false);
            }
            let run = RunKey { tenant: job.tenant.clone(), run };
            left.spend(self.pasts.lines(&run)?);
            self.victims.bodies.push(run);
        }
        Ok(true)
    }
}
