//! Very many jobs that are due at once, each one time, beside APScheduler with the same.
//!
//! APScheduler is in `target/venv` when `cargo xtask bench` could get it; else nothing is compared.

use std::sync::Arc;
use std::time::Duration;

use campanile::record::step::NewSchedule;
use campanile::store::embedded::EmbeddedStore;
use campanile::time::Timestamp;

use crate::findings::{Aim, Findings, RATIO_SLACK};
use crate::jobs;
use crate::rig::{Drained, Rig};
use crate::rival;

const JOBS: usize = 100_000;
/// How long they have been due when the scheduler starts.
const SINCE: Duration = Duration::from_secs(1);
/// How long before that they were registered.
const REGISTERED: Duration = Duration::from_secs(10);
/// Runs a second, to APScheduler's.
const AIM: Aim = Aim::AtLeast(3.0);

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let ours = ours(rig);
    findings.figure("ours: memory store, no-op guest in a sandbox", ours.rate(), "a second");
    findings.figure("  processor time for one", ours.processor_micros(), "us");
    match rival::python("burst.py", &[], JOBS) {
        Ok(theirs) => {
            let (rate, ratio) = (theirs.rate(), ours.rate() / theirs.rate());
            findings.figure("APScheduler: memory store, no-op function", rate, "a second");
            findings.figure("  processor time for one", theirs.processor_micros(), "us");
            findings.aim("ours to APScheduler's", ratio, "times", AIM, RATIO_SLACK);
        }
        Err(why) => findings.note(&format!("not compared with APScheduler: {why}")),
    }
}

fn ours(rig: &Rig) -> Drained {
    let store = Arc::new(EmbeddedStore::memory());
    let (pattern, registered) = overdue(rig);
    let copies = (0..JOBS).map(|number| jobs::copy(&pattern, number, Duration::ZERO));
    rig.runtime.block_on(jobs::put(store.as_ref(), copies, registered));
    rig.drain(store, JOBS as u64)
}

/// A job that has been due for a while, once; and when it was registered.
pub fn overdue(rig: &Rig) -> (NewSchedule, Timestamp) {
    let due = rig.clock.now().before(SINCE);
    let registered = due.before(REGISTERED);
    let keys = format!(
        "trigger = {{ type = \"date\", run_date = \"{due}\" }}\nlimits = {{ memory = \"4MiB\" }}"
    );
    (jobs::pattern(&keys, registered), registered)
}
