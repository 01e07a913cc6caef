//! How late runs are in a healthy fleet of three whole hosts on one server, from when a fire was due to
//! when its run started. By the server's clock, which stamps both.

use super::server;
use crate::findings::{Aim, Findings, MACHINE_SLACK, NO_SLACK};
use crate::lateness::host::{Bells, together};
use crate::lateness::{Load, line};
use crate::rig::Rig;
use crate::sample::millis;

const HOSTS: usize = 3;
const LOADS: [Load; 2] =
    [Load { fires_a_second: 10, seconds: 10 }, Load { fires_a_second: 500, seconds: 10 }];
/// Milliseconds.
const P50: Aim = Aim::AtMost(5.0);
const P99: Aim = Aim::AtMost(25.0);
/// Of the fires so many have to have run: those that did not were never late.
const RAN: Aim = Aim::AtLeast(99.0);

pub fn measure(rig: &Rig, findings: &mut Findings) {
    for load in LOADS {
        let Some(server) = server(findings) else { return };
        let folders: Vec<Bells> = (0..HOSTS).map(|_| Bells::new()).collect();
        let late = together(rig, &folders, server.port, load);
        findings.note(&format!("{} fires a second in a fleet of {HOSTS}", load.fires_a_second));
        findings.aim("started: p50", millis(late.started.median()), "ms", P50, MACHINE_SLACK);
        let what = line("started:", &late.started);
        findings.aim(&what, millis(late.started.quantile(0.99)), "ms", P99, MACHINE_SLACK);
        let what = line("over:", &late.over);
        findings.figure(&what, millis(late.over.quantile(0.99)), "ms");
        findings.aim("of the fires ran", late.ran, "%", RAN, NO_SLACK);
    }
}
