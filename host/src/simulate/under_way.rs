//! The runs that are under way, and how each will end: the simulation's executor.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::jobs::JobCache;
use crate::executor::Claimed;
use crate::executor::slots::Slot;
use crate::job::Job;
use crate::record::step::{AttemptEnd, Claim};
use crate::run::RunKey;
use crate::run::outcome::Outcome;
use crate::run::usage::Usage;
use crate::schedule::retry::{Ended, next_attempt};
use crate::time::Timestamp;

/// The runs that are under way, by when they end.
#[derive(Default)]
pub(super) struct UnderWay {
    attempts: BTreeMap<(Timestamp, u64), Attempt>,
    begun: u64,
}

/// One of them.
pub(super) struct Attempt {
    pub(super) claim: Claim,
    pub(super) end: AttemptEnd,
    /// Free again when this is dropped.
    _slot: Slot,
}

impl UnderWay {
    /// Begins a claimed attempt that would take `run_time`.
    pub(super) fn begin(
        &mut self,
        claimed: Claimed,
        jobs: &JobCache,
        run_time: Duration,
        now: Timestamp,
    ) {
        let Claimed { claim, slot, .. } = claimed;
        let job = claim.schedule.as_ref().and_then(|schedule| jobs.get(schedule).ok());
        let timeout = job.as_ref().map_or(Duration::MAX, |job| job.limits.timeout);
        let (outcome, took) = if timeout < run_time {
            (Outcome::TimedOut, timeout)
        } else {
            (Outcome::Succeeded, run_time)
        };
        let ends_at = now.after(took);
        let retry_at = job.and_then(|job| retry_at(&job, &claim, outcome, ends_at));
        let end = ended(outcome, retry_at);
        self.begun += 1;
        self.attempts.insert((ends_at, self.begun), Attempt { claim, end, _slot: slot });
    }

    /// When the next one ends.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.attempts.first_key_value().map(|((ends_at, _), _)| *ends_at)
    }

    /// Takes out one that has ended by `now`; of several the one that ended first, then the one
    /// that began first.
    pub(super) fn pop_ended(&mut self, now: Timestamp) -> Option<(Timestamp, Attempt)> {
        let first = self.attempts.first_entry()?;
        let ends_at = first.key().0;
        (ends_at <= now).then(|| (ends_at, first.remove()))
    }

    /// Takes out one that is to be cancelled.
    pub(super) fn pop_cancelled(&mut self, run: &RunKey) -> Option<Attempt> {
        let place = self
            .attempts
            .iter()
            .find_map(|(place, attempt)| (attempt.claim.run.key() == *run).then_some(*place))?;
        let attempt = self.attempts.remove(&place)?;
        Some(Attempt { end: ended(Outcome::Cancelled, None), ..attempt })
    }
}

fn retry_at(job: &Job, claim: &Claim, outcome: Outcome, now: Timestamp) -> Option<Timestamp> {
    let run = &claim.run;
    let attempts = run.attempt.saturating_sub(run.rescues);
    next_attempt(&job.policy.retry, Ended { run: run.id, attempts, outcome, retryable: true }, now)
}

fn ended(outcome: Outcome, retry_at: Option<Timestamp>) -> AttemptEnd {
    AttemptEnd {
        outcome,
        result: None,
        error: None,
        usage: Usage::default(),
        digest: None,
        progress: None,
        log: Vec::new(),
        retry_at,
    }
}
