//! What one run costs beside what wasmtime alone takes for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile::clock::SharedClock;
use campanile::engine::Engine;
use campanile::engine::control::Control;
use campanile::engine::log::Log;
use campanile::engine::plugin::Plugin;
use campanile::engine::run::Request;
use campanile::job::capabilities::Capabilities;
use campanile::job::limits::Limits;
use campanile::lease::term::Term;
use campanile::lease::{Lease, boot};
use campanile::run::Cause;
use campanile::time::Timestamp;

use crate::findings::{Aim, Findings, RATIO_SLACK};
use crate::rig::Rig;
use crate::sample::{Sample, micros};

/// Cycles before anything is measured.
const WARM_UP: usize = 2_000;
/// Cycles of each kind that are measured, in turns.
const CYCLES: usize = 20_000;
/// Our whole run may take so many times what wasmtime alone takes.
const AIM: Aim = Aim::AtMost(1.3);
/// Long enough for any cycle.
const LEASE: Duration = Duration::from_secs(60);
/// Tasks for each thread, when all threads are busy.
const TASKS_PER_THREAD: usize = 4;

/// What a cycle consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cycle {
    /// Store, WASI context, instance, call.
    Bare,
    /// Limits, log, outcome and usage as well.
    Ours,
    /// All that under a lease, as in a fleet.
    Leased,
    /// Ours with fuel counted.
    Metered,
}

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let [bare, ours, leased] = compared(rig, [Cycle::Bare, Cycle::Ours, Cycle::Leased]);
    findings.figure("wasmtime alone: store, WASI context, instance, call", micros(bare), "us");
    findings.figure("our whole run: limits, log, outcome, usage as well", micros(ours), "us");
    findings.figure("the same under a lease, as in a fleet", micros(leased), "us");
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    findings.aim("our run to wasmtime alone, medians", ratio, "times", AIM, RATIO_SLACK);
    let bare = on_all_threads(rig, Cycle::Bare, CYCLES);
    let ours = on_all_threads(rig, Cycle::Ours, CYCLES);
    let threads = rig.threads();
    findings.figure(&format!("wasmtime alone on {threads} threads"), bare, "a second");
    findings.figure(&format!("our whole run on {threads} threads"), ours, "a second");
}

/// The medians of cycles of three kinds, which take turns.
pub fn compared(rig: &Rig, kinds: [Cycle; 3]) -> [Duration; 3] {
    let parts = (Arc::clone(&rig.engine), Arc::clone(&rig.noop), Arc::clone(&rig.clock));
    let compared = rig.runtime.block_on(async { tokio::spawn(in_turns(parts, kinds)).await });
    compared.expect("the comparison").map(|sample| sample.median())
}

/// Cycles a second when every thread of the runtime is busy with `cycles` for each task.
pub fn on_all_threads(rig: &Rig, cycle: Cycle, cycles: usize) -> f64 {
    let tasks = rig.threads() * TASKS_PER_THREAD;
    let start = Instant::now();
    rig.runtime.block_on(async {
        let spawned: Vec<_> = (0..tasks)
            .map(|_| {
                let (engine, plugin) = (Arc::clone(&rig.engine), Arc::clone(&rig.noop));
                let clock = Arc::clone(&rig.clock);
                tokio::spawn(async move {
                    for _ in 0..cycles {
                        once(&engine, &plugin, &clock, cycle).await;
                    }
                })
            })
            .collect();
        for task in spawned {
            task.await.expect("a task");
        }
    });
    (tasks * cycles) as f64 / start.elapsed().as_secs_f64()
}

/// Cycles of each kind in turns.
async fn in_turns(
    (engine, plugin, clock): (Arc<Engine>, Arc<Plugin>, SharedClock),
    kinds: [Cycle; 3],
) -> [Sample; 3] {
    let mut taken = kinds.map(|_| Vec::with_capacity(CYCLES));
    for cycle in 0..WARM_UP + CYCLES {
        for (kind, taken) in kinds.into_iter().zip(&mut taken) {
            let start = Instant::now();
            once(&engine, &plugin, &clock, kind).await;
            if cycle >= WARM_UP {
                taken.push(start.elapsed());
            }
        }
    }
    taken.map(Sample::new)
}

async fn once(engine: &Engine, plugin: &Plugin, clock: &SharedClock, cycle: Cycle) {
    let log = Log::new(64 * 1024, Arc::clone(clock));
    let control = Arc::new(match cycle {
        Cycle::Bare | Cycle::Ours | Cycle::Metered => Control::new(log),
        Cycle::Leased => {
            let until = Term::of(LEASE).until(boot::now());
            Control::under(Arc::new(Lease::new(until)), log)
        }
    });
    match cycle {
        Cycle::Bare => drop(engine.bare_cycle(plugin, request(), &control).await.expect("a cycle")),
        Cycle::Ours | Cycle::Leased | Cycle::Metered => {
            let mut request = request();
            request.limits.meter = cycle == Cycle::Metered;
            drop(engine.run(plugin, request, &control).await.expect("a run"))
        }
    }
}

pub fn request() -> Request {
    Request {
        tenant: "default".into(),
        job: "bench".into(),
        run: "0".repeat(32),
        handler: "run".into(),
        cause: Cause::Manual,
        fire_time: Timestamp::from_secs(0),
        previous_success: None,
        attempt: 1,
        fence: 1,
        covers: 1,
        args: "null".into(),
        limits: Limits::default(),
        capabilities: Capabilities::default(),
        config: Arc::default(),
        secrets: Arc::default(),
        services: None,
    }
}
