//! Runs a second through scheduler, store and executor: a few jobs with a long backlog each.

use std::sync::Arc;
use std::time::Duration;

use campanile::store::Store;
use campanile::store::embedded::EmbeddedStore;

use crate::findings::{Aim, Findings, MACHINE_SLACK};
use crate::one_run::{Cycle, on_all_threads};
use crate::rig::{Drained, Rig};

/// Jobs with a backlog.
const JOBS: usize = 200;
/// Fire times that each has missed.
const BACKLOG: usize = 400;
/// Runs a second with the memory store.
const AIM: Aim = Aim::AtLeast(80_000.0);
/// Runs of each task of the baseline.
const BASELINE_CYCLES: usize = 10_000;

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let baseline = on_all_threads(rig, Cycle::Ours, BASELINE_CYCLES);
    findings.figure("the runs alone, on all threads", baseline, "a second");
    let memory = drained(rig, Arc::new(EmbeddedStore::memory()));
    let rate = memory.rate();
    findings.aim("scheduler, memory store, executor", rate, "a second", AIM, MACHINE_SLACK);
    findings.figure("  processor time for one", memory.processor_micros(), "us");
    let dir = tempfile::tempdir().expect("a folder");
    let sqlite = EmbeddedStore::open(&dir.path().join("bench.db")).expect("a store");
    let sqlite = drained(rig, Arc::new(sqlite));
    findings.figure("scheduler, SQLite store, executor", sqlite.rate(), "a second");
    findings.figure("  processor time for one", sqlite.processor_micros(), "us");
}

pub fn drained(rig: &Rig, store: Arc<dyn Store>) -> Drained {
    let total = backlog(rig, store.as_ref(), JOBS, BACKLOG);
    rig.drain(store, total)
}

/// Registers jobs that have missed so many fire times each. Answers how many runs that makes.
pub fn backlog(rig: &Rig, store: &dyn Store, jobs: usize, missed: usize) -> u64 {
    let names: Vec<String> = (0..jobs).map(|number| format!("j{number}")).collect();
    let keys = format!(
        "trigger = \"every 1s\"\ncoalesce = \"all\"\nmax_catchup = {missed}\n\
         max_instances = {missed}\nlimits = {{ memory = \"4MiB\" }}"
    );
    let now = rig.clock.now();
    let registered = now.before(Duration::from_secs(missed as u64));
    let schedules = crate::jobs::read(&names, &keys, registered);
    rig.runtime.block_on(crate::jobs::put(store, schedules.into_iter(), now));
    (jobs * missed) as u64
}
