//! What the host's tasks say about how they are. Readiness and metrics read it; nothing decides
//! by it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::job::JobKey;
use crate::time::Timestamp;

/// A scheduler that has not looked for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// A fire that has been due for so long without a verdict or a run is an alarm (rule A8).
const OVERDUE_AFTER: Duration = Duration::from_secs(5);

/// Jobs whose faults are remembered at most.
const MAX_FAULTS: usize = 100;

/// Why the whole scheduler is paused. While it is, no fire time is looked at: to what comes due it
/// is as if the host were down (rule A18).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerPause {
    /// Who paused it.
    pub by: String,
    /// What they said.
    pub why: String,
    /// When.
    pub since: Timestamp,
}

/// A part of the host that asks the store over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asker {
    /// For what is due.
    Scheduler,
    /// For queued runs.
    Executor,
    /// To keep how runs ended.
    Runs,
    /// To go on holding what it holds.
    Session,
    /// To forget what is old.
    Housekeeping,
}

/// How one host's tasks are.
#[derive(Debug, Default)]
pub struct Status {
    draining: AtomicBool,
    /// Others fire what is due.
    no_scheduler: AtomicBool,
    last_pass: AtomicI64,
    passes: AtomicU64,
    /// Micros of the earliest fire still due after the last pass; 0: none.
    oldest_due: AtomicI64,
    /// What the store last refused each part of the host that it did not do since.
    store_errors: Mutex<BTreeMap<Asker, String>>,
    /// Jobs whose ledger is not sound, and what was found.
    faults: Mutex<BTreeMap<JobKey, String>>,
    running: AtomicU64,
    /// Runs that nobody serves, and 1; 0: nobody has looked.
    unserved: AtomicU64,
    /// Why the configuration on disk is not the one that counts.
    config_refused: watch::Sender<Option<String>>,
    /// Asked by the scheduler before each pass.
    paused: watch::Sender<Option<SchedulerPause>>,
}

impl Status {
    /// This host has no scheduler: nothing is expected of it.
    pub fn set_no_scheduler(&self) {
        self.no_scheduler.store(true, Ordering::Relaxed);
    }

    /// The scheduler has looked at everything due at `now`; `oldest_due` is still to be decided.
    pub fn passed(&self, now: Timestamp, oldest_due: Option<Timestamp>) {
        self.last_pass.store(now.micros(), Ordering::Relaxed);
        self.passes.fetch_add(1, Ordering::Relaxed);
        self.oldest_due.store(oldest_due.map_or(0, Timestamp::micros), Ordering::Relaxed);
        self.store_works(Asker::Scheduler);
    }

    /// How often the scheduler has looked.
    pub fn passes(&self) -> u64 {
        self.passes.load(Ordering::Relaxed)
    }

    /// What the clock said when the scheduler last looked.
    pub fn last_pass(&self) -> Timestamp {
        Timestamp::from_micros(self.last_pass.load(Ordering::Relaxed))
    }

    /// The store did what a part of the host asked. That it does for one what it refuses another is
    /// no contradiction: a full one still answers who only asks.
    pub fn store_works(&self, asker: Asker) {
        let mut errors = self.store_errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.remove(&asker).is_some() && errors.is_empty() {
            info!("the store does what it is asked again");
        }
    }

    /// The store did not do what a part of the host asked; `so` says what is done about it. Logged
    /// once, until it works again for all: many ask it, over and over.
    pub fn store_failed(&self, asker: Asker, error: &dyn Display, so: &str) {
        let error = error.to_string();
        let mut errors = self.store_errors.lock().unwrap_or_else(PoisonError::into_inner);
        if errors.is_empty() {
            warn!(%error, "{so}");
        } else {
            debug!(%error, "{so}");
        }
        errors.insert(asker, error);
    }

    /// What is wrong with a job's ledger; `None`: nothing, or nothing any more.
    pub fn set_fault(&self, job: &JobKey, fault: Option<String>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Some(fault) if faults.len() < MAX_FAULTS || faults.contains_key(job) => {
                faults.insert(job.clone(), fault);
            }
            Some(_) => (),
            None => {
                faults.remove(job);
            }
        }
    }

    /// What is wrong with a job's ledger.
    pub fn fault(&self, job: &JobKey) -> Option<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).get(job).cloned()
    }

    /// Jobs whose ledger is not sound.
    pub fn faults(&self) -> usize {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The host takes no more work.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// So many runs are under way here.
    pub fn set_running(&self, running: usize) {
        self.running.store(running as u64, Ordering::Relaxed);
    }

    /// Runs under way here.
    pub fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    /// So many runs wait for a plugin that no live host serves.
    pub fn set_unserved(&self, runs: usize) {
        self.unserved.store(runs as u64 + 1, Ordering::Relaxed);
    }

    /// Runs that wait for a plugin that no live host serves; `None`: this host does not look.
    pub fn unserved(&self) -> Option<u64> {
        self.unserved.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Why the configuration on disk can't be used; `None`: it can. The host goes on as it was.
    pub fn set_config_refused(&self, why: Option<String>) {
        self.config_refused.send_if_modified(|told| {
            let is_new = *told != why;
            *told = why;
            is_new
        });
    }

    /// Why the configuration on disk can't be used.
    pub fn config_refused(&self) -> Option<String> {
        self.config_refused.borrow().clone()
    }

    /// Why the configuration on disk can't be used; tells of each change.
    pub fn config_refusals(&self) -> watch::Receiver<Option<String>> {
        self.config_refused.subscribe()
    }

    /// The scheduler is paused, or goes on.
    pub fn set_paused(&self, pause: Option<SchedulerPause>) {
        self.paused.send_replace(pause);
    }

    /// Set while the scheduler is paused.
    pub fn paused(&self) -> Option<SchedulerPause> {
        self.paused.borrow().clone()
    }

    /// Whether the scheduler is paused; tells of each change.
    pub fn pauses(&self) -> watch::Receiver<Option<SchedulerPause>> {
        self.paused.subscribe()
    }

    /// What keeps the host from being ready; empty when nothing does.
    pub fn problems(&self, now: Timestamp) -> Vec<String> {
        let mut problems = Vec::new();
        if self.draining.load(Ordering::Relaxed) {
            problems.push("the host is shutting down".to_owned());
        }
        let errors = self.store_errors.lock().unwrap_or_else(PoisonError::into_inner);
        let errors: BTreeSet<&String> = errors.values().collect();
        problems.extend(errors.into_iter().map(|error| format!("store: {error}")));
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        problems.extend(faults.iter().map(|(job, fault)| format!("ledger of {job}: {fault}")));
        drop(faults);
        if self.no_scheduler.load(Ordering::Relaxed) {
            return problems;
        }
        let last_pass = self.last_pass();
        if last_pass.micros() == 0 {
            problems.push("the scheduler has not started yet".to_owned());
        } else if now.since(last_pass) > STUCK_AFTER {
            problems.push(format!("the scheduler has not looked since {last_pass}"));
        }
        let oldest = self.oldest_due.load(Ordering::Relaxed);
        let oldest_due = Timestamp::from_micros(oldest);
        if oldest != 0 && now.since(oldest_due) > OVERDUE_AFTER {
            problems.push(format!("a fire has been due since {oldest_due} and has no verdict"));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_ready_after_a_pass_and_not_when_it_is_stuck() {
        let status = Status::default();
        let now = Timestamp::from_secs(1_000);
        assert_eq!(status.problems(now), ["the scheduler has not started yet"]);
        status.passed(now, None);
        assert!(status.problems(now.after(STUCK_AFTER)).is_empty());
        assert!(status.problems(now.after(STUCK_AFTER * 2))[0].contains("has not looked since"));
    }

    #[test]
    fn a_host_without_a_scheduler_is_ready_without_a_pass() {
        let status = Status::default();
        status.set_no_scheduler();
        let now = Timestamp::from_secs(1_000);
        assert!(status.problems(now).is_empty());
        status.store_failed(Asker::Session, &"gone", "trying again");
        assert_eq!(status.problems(now), ["store: gone"]);
    }

    #[test]
    fn what_the_store_refuses_one_part_stands_until_it_does_it_for_that_part() {
        let status = Status::default();
        status.set_no_scheduler();
        let now = Timestamp::from_secs(1_000);
        status.store_failed(Asker::Scheduler, &"full", "trying again");
        status.store_failed(Asker::Runs, &"full", "trying again");
        status.store_works(Asker::Executor);
        assert_eq!(status.problems(now), ["store: full"]);
        status.store_works(Asker::Runs);
        assert_eq!(status.problems(now), ["store: full"]);
        status.store_works(Asker::Scheduler);
        assert!(status.problems(now).is_empty());
    }

    #[test]
    fn a_fire_that_stays_due_is_an_alarm() {
        let status = Status::default();
        let now = Timestamp::from_secs(1_000);
        status.passed(now, Some(now.before(OVERDUE_AFTER)));
        assert!(status.problems(now).is_empty());
        status.passed(now, Some(now.before(OVERDUE_AFTER * 2)));
        assert!(status.problems(now)[0].contains("has no verdict"));
    }
}
