//! A fleet that was down while 100,000 jobs came due, each once: from when a host opens the store to
//! the end of the last run.

use std::time::Instant;

use super::{rivals, server};
use crate::burst;
use crate::findings::{Aim, Findings, MACHINE_SLACK};
use crate::redis;
use crate::rig::{Drained, Rig};
use crate::rival;

const JOBS: usize = 100_000;
/// Seconds until all have run.
const AIM: Aim = Aim::AtMost(5.0);
/// Runs a second, to APScheduler's.
const TO_APSCHEDULER: Aim = Aim::AtLeast(3.0);

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let Some(server) = server(findings) else { return };
    let (pattern, _) = burst::overdue(rig);
    redis::add(rig, &server.store(rig, "camp"), &pattern, JOBS);
    let start = Instant::now();
    let store = server.store(rig, "camp");
    // Who opens it knows of no job, and asks for each as it comes due.
    let drained = rig.drain(store, JOBS as u64);
    let took = start.elapsed();
    let what = "until 100,000 overdue jobs have run";
    findings.aim(what, took.as_secs_f64(), "s", AIM, MACHINE_SLACK);
    findings.figure("  processor time for one", drained.processor_micros(), "us");
    let ours = Drained { took, ..drained };
    let place = [server.port.to_string(), "1".to_owned()];
    let theirs = rival::python("redis_burst.py", &place, JOBS);
    if let Ok(theirs) = &theirs {
        findings.figure("APScheduler: the same", theirs.took.as_secs_f64(), "s");
    }
    rivals::compare(findings, "APScheduler 3.11, RedisJobStore", &ours, theirs, TO_APSCHEDULER);
}
