//! How late runs are, in a whole host: from when a fire was due to when its run started.
//!
//! `started` is what a run's record has: the clock as the scheduler read it when it made the run.
//! `over` is when its no-op guest was done, so that everything between lies below it: the commit,
//! the way to the executor, a thread for the guest. The same fires are waited for by a bare thread
//! and a bare task of tokio, which do nothing then. Below a commit of SQLite lies at least one sync
//! of a file, which on a disk that others write to may take long.

mod bare;
pub mod host;

use std::time::Duration;

use crate::findings::{Aim, Findings, MACHINE_SLACK, NO_SLACK};
use crate::rig::Rig;
use crate::sample::{Sample, micros, millis};
use host::{Bells, Others, Store};

/// Fires, evenly spread.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub fires_a_second: u32,
    pub seconds: u32,
}

impl Load {
    /// From one fire to the next.
    fn gap(self) -> Duration {
        Duration::from_secs(1) / self.fires_a_second
    }

    fn fires(self) -> u32 {
        self.fires_a_second * self.seconds
    }
}

const BUSY: Load = Load { fires_a_second: 1_000, seconds: 5 };
/// Longer, so that one of a hundred is not the worst of all.
const IDLE: Load = Load { fires_a_second: 10, seconds: 10 };
/// p99 in milliseconds.
const BUSY_MEMORY: Aim = Aim::AtMost(1.0);
const BUSY_SQLITE: Aim = Aim::AtMost(15.0);
const IDLE_MEMORY: Aim = Aim::AtMost(0.3);
/// Where the baseline is late itself, `--check` lets us be so many times later than it.
const TIMES_BARE: f64 = 2.0;
/// A disk that takes longer for one sync can't be asked for SQLite's aim.
const LONGEST_SYNC: Duration = Duration::from_millis(15);
/// Of the fires so many have to have run: those that did not were never late.
pub const RAN: Aim = Aim::AtLeast(99.0);

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let bells = Bells::new();
    findings.note("1,000 fires a second beside two guests that compute for ever");
    let (bare, ours) = bells.beside(rig, Store::Memory, Others::Spin(2), || {
        let bare = bare::thread(BUSY, Duration::ZERO).join().expect("a thread");
        show(findings, "bare thread, park_timeout", &bare);
        show(findings, "bare task, tokio::time", &bare::task(BUSY, Duration::ZERO).join());
        (bare, BUSY)
    });
    judge(findings, "memory", &ours, bare.quantile(0.99), BUSY_MEMORY);
    show(findings, "ours, memory: over", &ours.over);
    let syncs = |load| (bare::syncs(load), load);
    let (syncs, ours) = bells.beside(rig, Store::Sqlite, Others::Spin(2), || syncs(BUSY));
    show(findings, "bare write and sync", &syncs);
    // Of a thousand fires a second very many wait for one slow sync.
    if LONGEST_SYNC < syncs.max() {
        show(findings, &started("SQLite"), &ours.started);
        findings.note("SQLite is not judged: the disk itself is too slow; TMPDIR names another");
    } else {
        judge(findings, "SQLite", &ours, syncs.quantile(0.99), BUSY_SQLITE);
    }
    show(findings, "ours, SQLite: over", &ours.over);

    findings.note("10 fires a second beside a hundred guests that compute for ever");
    let (bare, ours) = bells.beside(rig, Store::Memory, Others::Spin(100), || {
        let bare = bare::thread(IDLE, IDLE.gap() / 2).join().expect("a thread");
        (bare, IDLE)
    });
    show(findings, "bare thread, park_timeout", &bare);
    show(findings, &started("memory"), &ours.started);
    show(findings, "ours, memory: over", &ours.over);

    findings.note("10 fires a second and nothing else");
    let (loops, ours) = bells.beside(rig, Store::Memory, Others::None, || {
        // At the same time, a third of the way apart.
        let third = IDLE.gap() / 3;
        ((bare::thread(IDLE, third), bare::task(IDLE, 2 * third)), IDLE)
    });
    let (thread, task) = loops;
    let bare = thread.join().expect("a thread");
    show(findings, "bare thread, park_timeout", &bare);
    show(findings, "bare task, tokio::time", &task.join());
    judge(findings, "memory", &ours, bare.quantile(0.99), IDLE_MEMORY);
    show(findings, "ours, memory: over", &ours.over);
}

/// How late the runs of one host were.
pub struct Late {
    /// Percent of the fires that became runs and started.
    pub ran: f64,
    pub started: Sample,
    pub over: Sample,
}

fn show(findings: &Findings, what: &str, late: &Sample) {
    findings.figure(&line(what, late), millis(late.quantile(0.99)), "ms");
}

fn judge(findings: &mut Findings, store: &str, ours: &Late, bare: Duration, aim: Aim) {
    let most = match aim {
        Aim::AtMost(most) | Aim::AtLeast(most) => most,
    };
    let slack = MACHINE_SLACK.max(TIMES_BARE * millis(bare) / most);
    let what = line(&started(store), &ours.started);
    findings.aim(&what, millis(ours.started.quantile(0.99)), "ms", aim, slack);
    findings.aim(&format!("ours, {store}: of the fires ran"), ours.ran, "%", RAN, NO_SLACK);
}

fn started(store: &str) -> String {
    format!("ours, {store}: started")
}

/// A figure's words, with what else is to be known of the sample.
pub fn line(what: &str, late: &Sample) -> String {
    let (p50, max) = (micros(late.median()), micros(late.max()));
    format!("{what:<25} {:>5} p50 {p50:>5.0} us max {max:>6.0} us p99", late.len())
}
