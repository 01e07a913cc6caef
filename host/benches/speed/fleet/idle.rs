//! What schedules cost that are only kept: bytes of the server, and whether a fire costs more beside
//! very many of them.

use std::time::Duration;

use super::server;
use crate::findings::{Aim, Findings, MACHINE_SLACK, RATIO_SLACK};
use crate::jobs;
use crate::redis;
use crate::rig::Rig;
use crate::throughput;

/// Schedules that are not due.
const COUNTS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// More take minutes.
const QUICK: usize = 100_000;
/// Jobs with a backlog, and fire times that each has missed.
const BACKLOG: (usize, usize) = (200, 100);
/// Bytes of one in the server, beside the most.
const BYTES: Aim = Aim::AtMost(700.0);
/// Processor time of the server for a run beside the most, to that beside the fewest.
const FLAT: Aim = Aim::AtMost(1.2);

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let (mut first, mut last) = (f64::NAN, (f64::NAN, f64::NAN));
    for count in COUNTS.into_iter().filter(|count| rig.full || *count <= QUICK) {
        // A server of its own: what is forgotten does not come back as memory at once.
        let Some(server) = server(findings) else { return };
        let store = server.store(rig, "idle");
        let before = server.info().number("used_memory_dataset");
        let pattern = jobs::pattern("trigger = \"every 1d\"", rig.clock.now());
        let took = redis::add(rig, &store, &pattern, count);
        let bytes = (server.info().number("used_memory_dataset") - before) / count as f64;
        settle();
        let total = throughput::backlog(rig, store.as_ref(), BACKLOG.0, BACKLOG.1);
        let before = server.info();
        let drained = rig.drain(store, total);
        let after = server.info();
        let spent = |key: &str| after.number(key) - before.number(key);
        let of_server = spent("used_cpu_user_main_thread") + spent("used_cpu_sys_main_thread");
        let micros = of_server * 1e6 / drained.runs;
        findings.figure(&format!("beside {count} schedules"), drained.rate(), "a second");
        findings.figure("  processor time of the server for one run", micros, "us");
        findings.figure(
            "  processor time of the host for one run",
            drained.processor_micros(),
            "us",
        );
        findings.figure("  bytes of a schedule in the server", bytes, "bytes");
        findings.figure("  schedules added", count as f64 / took.as_secs_f64(), "a second");
        if first.is_nan() {
            first = micros;
        }
        last = (micros, bytes);
    }
    findings.aim(
        "a run beside the most, to one beside the fewest",
        last.0 / first,
        "times",
        FLAT,
        RATIO_SLACK,
    );
    findings.aim("bytes of a schedule beside the most", last.1, "bytes", BYTES, MACHINE_SLACK);
    if !rig.full {
        findings.note("1,000,000 schedules are left out; `--full` measures them too");
    }
}

/// The server flushes what it was given.
fn settle() {
    std::thread::sleep(Duration::from_secs(1));
}
