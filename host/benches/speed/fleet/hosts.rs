//! One host and three on the same server, with the same backlog. All are in this process, each with a
//! connection, a scheduler and an executor of its own: on one machine they share its processors, so
//! that three are no faster than one is; they must not be in each other's way.

use std::sync::Arc;

use campanile::store::Store;

use super::server;
use crate::findings::{Aim, Findings, RATIO_SLACK};
use crate::rig::Rig;
use crate::throughput;

/// Jobs with a backlog, and fire times that each has missed.
const BACKLOG: (usize, usize) = (200, 200);
/// Runs a second of three, to those of one.
const THREE: Aim = Aim::AtLeast(0.9);

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let Some(server) = server(findings) else { return };
    let mut rates = Vec::new();
    for hosts in [1, 2, 3] {
        let prefix = format!("of{hosts}");
        let stores: Vec<Arc<dyn Store>> = (0..hosts).map(|_| server.store(rig, &prefix)).collect();
        let Some(store) = stores.first() else { continue };
        let total = throughput::backlog(rig, store.as_ref(), BACKLOG.0, BACKLOG.1);
        let before = server.info().number("total_commands_processed");
        let drained = rig.drain_together(&stores, total);
        let commands = server.info().number("total_commands_processed") - before;
        findings.figure(&format!("hosts on one server: {hosts}"), drained.rate(), "a second");
        findings.figure("  processor time for one run", drained.processor_micros(), "us");
        findings.figure("  calls for one run", commands / drained.runs, "commands");
        rates.push(drained.rate());
    }
    if let [one, .., three] = rates[..] {
        findings.aim("three hosts to one", three / one, "times", THREE, RATIO_SLACK);
    }
}
