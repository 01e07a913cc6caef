//! A burst of jobs that are all due, each once, beside others on the same Redis server.
//!
//! Ours and APScheduler's are jobs with a time, BullMQ's are job schedulers, Celery's are tasks in its
//! queue: it has no schedules of its own that could be due. Ours run in a sandbox each and have a
//! verdict and a record in the end; the others' are functions that do nothing, and nothing of them is
//! kept.

use super::server;
use crate::burst;
use crate::findings::{Aim, Findings, RATIO_SLACK};
use crate::redis;
use crate::rig::{Drained, Rig};
use crate::rival;

const JOBS: usize = 10_000;
/// Jobs that BullMQ may have under way at once: as many as ours.
const AT_ONCE: usize = 256;
/// Runs a second, to APScheduler's.
const TO_APSCHEDULER: Aim = Aim::AtLeast(3.0);
/// Runs a second, to BullMQ's.
const TO_BULLMQ: Aim = Aim::AtLeast(1.0);
/// Runs a second, to Celery's.
const TO_CELERY: Aim = Aim::AtLeast(3.0);

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let Some(server) = server(findings) else { return };
    let store = server.store(rig, "burst");
    redis::add(rig, &store, &burst::overdue(rig).0, JOBS);
    let ours = rig.drain(store, JOBS as u64);
    findings.figure("ours: no-op guest in a sandbox", ours.rate(), "a second");
    findings.figure("  processor time for one", ours.processor_micros(), "us");

    let place = |database: usize| [server.port.to_string(), database.to_string()];
    let script = |name, database| rival::python(name, &place(database), JOBS);
    let bullmq = rival::bullmq(&place(3), JOBS, AT_ONCE);
    for (name, theirs, aim) in [
        ("APScheduler 3.11, RedisJobStore", script("redis_burst.py", 1), TO_APSCHEDULER),
        ("Celery 5.7, tasks", script("celery_burst.py", 2), TO_CELERY),
        ("BullMQ 6, job schedulers", bullmq, TO_BULLMQ),
    ] {
        compare(findings, name, &ours, theirs, aim);
    }
}

/// Says what another one takes for the same.
pub fn compare(
    findings: &mut Findings,
    name: &str,
    ours: &Drained,
    theirs: Result<Drained, String>,
    aim: Aim,
) {
    match theirs {
        Ok(theirs) => {
            findings.figure(name, theirs.rate(), "a second");
            findings.figure("  processor time for one", theirs.processor_micros(), "us");
            let ratio = ours.rate() / theirs.rate();
            findings.aim("  ours to that", ratio, "times", aim, RATIO_SLACK);
        }
        Err(why) => findings.note(&format!("not compared with {name}: {why}")),
    }
}
