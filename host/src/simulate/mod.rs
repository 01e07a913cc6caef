//! What the policies of jobs would do between two instants: the scheduler's own passes and the
//! steps of a memory store, under a clock that jumps from event to event.
//!
//! ```text
//! next due, end of a run, deadline ──> clock ──> finish ── pass ── acquire ──> next event ...
//!                                                  at the end: ledger ──> verdicts, summaries
//! ```
//!
//! Decides nothing itself and sleeps for nothing. No plugin is called: a run takes the time that the
//! scenario gives it and succeeds, or has timed out when that is past its `limits.timeout`. Memory
//! is not counted, slots are.

mod drive;
pub mod report;
mod tally;
mod under_way;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono_tz::Tz;

use crate::config::resolve::Resolved;
use crate::job::{JobKey, PluginKey};
use crate::record::account::Allotments;
use crate::record::step::Conflict;
use crate::run::id::Id128;
use crate::schedule::reconcile::{Step, Warning, reconcile};
use crate::store::embedded::EmbeddedStore;
use crate::store::{Result, Store};
use crate::time::Timestamp;
use report::{Decision, Summary};

/// Fire times in one simulation at most: each is kept until the end.
pub const MAX_FIRES: u64 = 1_000_000;
/// How long a run takes when nobody says.
pub const RUN_TIME: Duration = Duration::from_secs(1);

/// What is to be simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The jobs; a fresh start registers them at `from`.
    pub jobs: Vec<Resolved>,
    /// Where it begins.
    pub from: Timestamp,
    /// Where it ends; what comes due then is no longer looked at.
    pub to: Timestamp,
    /// When the host is down, ascending, none overlapping another. It dies at the start of each:
    /// nothing that runs is let to its end.
    pub down: Vec<Down>,
    /// How long runs take, for jobs of which something other than [`RUN_TIME`] is known.
    pub run_times: BTreeMap<JobKey, Duration>,
    /// Runs at once.
    pub max_running: usize,
    /// What tenants and queues may have. Of what runs use nothing is known: only what is counted by
    /// runs shows.
    pub allotments: Allotments,
    /// Plugins that are missing: runs wait for them in vain.
    pub absent: BTreeSet<PluginKey>,
    /// Whose hours of the day the load is counted in.
    pub zone: Tz,
}

/// A time in which the host is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Down {
    /// When it dies.
    pub from: Timestamp,
    /// When it is back.
    pub to: Timestamp,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// Every verdict, by fire time and job; runs that still wait at the end have none.
    pub decisions: Vec<Decision>,
    /// One for each job by name, then one for the whole host.
    pub summaries: Vec<Summary>,
    /// What people should know about the jobs.
    pub warnings: Vec<Warning>,
}

impl Scenario {
    /// Whether a run that could begin may be put off to a later time.
    fn puts_off(&self) -> bool {
        let has_rate = |resolved: &Resolved| resolved.job.policy.rate_limit.is_some();
        !self.allotments.tenants.is_empty() || self.jobs.iter().any(has_rate)
    }

    /// How many fire times come due in it, were the host up all the time.
    pub fn fires(&self) -> u64 {
        let triggers = self.jobs.iter().filter_map(|resolved| resolved.job.trigger.as_ref());
        triggers.map(|trigger| trigger.count(self.from, self.from, self.to)).sum()
    }
}

/// Simulates. Two simulations of one scenario come out the same.
///
/// # Errors
///
/// The store refused a step: the host has an error.
pub async fn simulate(scenario: &Scenario) -> Result<Simulated> {
    let store = store();
    let mut world = drive::World::begin(scenario, Arc::clone(&store)).await?;
    store.allot(scenario.allotments.clone()).await?;
    let warnings = register(scenario, store.as_ref()).await?;
    world.run().await?;
    let tally = world.into_tally();
    let decisions = report::decisions(store.as_ref()).await?;
    let summaries = report::summaries(scenario, &decisions, &tally);
    Ok(Simulated { decisions, summaries, warnings })
}

/// A memory store that gives its schedules and sessions the ids 1, 2, 3 and so on.
fn store() -> Arc<EmbeddedStore> {
    let last = AtomicU64::new(0);
    let fresh = move || Id128::from_bits(u128::from(last.fetch_add(1, Ordering::Relaxed) + 1));
    Arc::new(EmbeddedStore::memory().with_ids(fresh))
}

/// Registers the jobs as a fresh start does.
async fn register(scenario: &Scenario, store: &dyn Store) -> Result<Vec<Warning>> {
    let all = reconcile(&scenario.jobs, &[], &BTreeSet::new(), None, scenario.from);
    for step in all.steps {
        match step {
            Step::Create(schedule) => {
                store.put(schedule, Conflict::Fail, scenario.from).await?;
            }
            // An empty store has nothing to replace, park or leave.
            Step::Replace(_) | Step::Park { .. } | Step::Leave { .. } => (),
        }
    }
    Ok(all.warnings)
}
