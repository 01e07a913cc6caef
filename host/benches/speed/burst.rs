//! Very many jobs that are due at once, each one time, beside APScheduler with the same.
//!
//! APScheduler is in `target/venv` when `cargo xtask bench` could get it; else nothing is compared.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use campanile::store::embedded::EmbeddedStore;

use crate::findings::{Aim, Findings, RATIO_SLACK};
use crate::jobs;
use crate::rig::{Drained, Rig};

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
    match apscheduler() {
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
    let due = rig.clock.now().before(SINCE);
    let registered = due.before(REGISTERED);
    let keys = format!(
        "trigger = {{ type = \"date\", run_date = \"{due}\" }}\nlimits = {{ memory = \"4MiB\" }}"
    );
    let pattern = jobs::pattern(&keys, registered);
    let copies = (0..JOBS).map(|number| jobs::copy(&pattern, number, Duration::ZERO));
    rig.runtime.block_on(jobs::put(store.as_ref(), copies, registered));
    rig.drain(store, JOBS as u64)
}

/// What APScheduler takes.
///
/// # Errors
///
/// Why it can't be asked.
fn apscheduler() -> Result<Drained, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../target/venv/bin/python");
    if !python.exists() {
        return Err("it is not in target/venv; `cargo xtask bench` puts it there".to_owned());
    }
    let mut burst = Command::new(python);
    let done = burst.arg(here.join("benches/burst.py")).arg(JOBS.to_string()).output();
    let done = done.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&done.stdout);
    let seconds: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match seconds[..] {
        [took, processor] if done.status.success() => Ok(Drained {
            runs: JOBS as f64,
            took: Duration::from_secs_f64(took),
            processor: Duration::from_secs_f64(processor),
        }),
        _ => {
            let said = String::from_utf8_lossy(&done.stderr);
            Err(said.lines().last().unwrap_or("it said nothing").to_owned())
        }
    }
}
