//! What the sandbox costs: fuel, epochs, the gate, the cache of compiled plugins; and how soon a
//! guest that is to end has ended.

mod bare;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile::engine::control::Control;
use campanile::engine::log::Log;
use campanile::engine::plugin::Plugin;
use campanile::engine::run::Request;
use campanile::engine::{Engine, Settings};
use campanile::job::limits::Limits;
use serde_json::{Value, json};

use crate::findings::{Aim, Findings, MACHINE_SLACK, RATIO_SLACK};
use crate::one_run::{self, Cycle};
use crate::rig::{Rig, guest};
use crate::sample::{Sample, micros, millis};

/// Guests that are stopped, for each state that they are in.
const STOPS: usize = 1_000;
/// Before it is stopped a guest is left alone for so long.
const HEAD_START: Duration = Duration::from_millis(3);
/// p99 of a stop with as many guests as threads, milliseconds.
const STOP: Aim = Aim::AtMost(50.0);
/// A metered run to wasmtime alone.
const METERED: Aim = Aim::AtMost(1.3);
/// Plugins that are loaded from the cache.
const PLUGINS: usize = 100;
/// One of them, milliseconds.
const LOAD: Aim = Aim::AtMost(1.0);
/// All of them, milliseconds.
const LOAD_ALL: Aim = Aim::AtMost(300.0);
/// Host calls that one guest makes.
const CALLS: u64 = 2_000_000;

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let behave = rig.runtime.block_on(rig.engine.load(guest("behave").into()));
    let behave = behave.expect("the guest `behave`");
    metered(rig, findings);
    bare::loops(findings);
    gate(rig, &behave, findings);
    cached(rig, findings);
    stops(rig, &behave, findings);
}

/// A whole run with and without fuel, beside wasmtime alone.
fn metered(rig: &Rig, findings: &mut Findings) {
    let [bare, plain, metered] = one_run::compared(rig, [Cycle::Bare, Cycle::Ours, Cycle::Metered]);
    findings.figure("our whole run", micros(plain), "us");
    findings.figure("the same, metered", micros(metered), "us");
    let ratio = metered.as_secs_f64() / bare.as_secs_f64();
    findings.aim("a metered run to wasmtime alone, medians", ratio, "times", METERED, RATIO_SLACK);
}

/// What a call to the host costs that passes the gate, and one that does not.
fn gate(rig: &Rig, behave: &Arc<Plugin>, findings: &mut Findings) {
    let mut took = [Duration::ZERO; 2];
    for (took, gated) in took.iter_mut().zip([false, true]) {
        let mut request = request("calls", json!({ "calls": CALLS, "gated": gated }));
        request.limits.bounds =
            request.limits.bounds.with(campanile::job::bound::Bound::HostCalls, 1_000_000_000);
        let control = control(rig);
        let start = Instant::now();
        let (engine, plugin) = (Arc::clone(&rig.engine), Arc::clone(behave));
        let run = rig.runtime.spawn(async move { engine.run(&plugin, request, &control).await });
        let report = rig.runtime.block_on(run).expect("the task").expect("the run");
        assert!(report.error.is_none(), "{report:?}");
        *took = start.elapsed();
    }
    let [free, gated] = took.map(|took| took.as_secs_f64() * 1e9 / CALLS as f64);
    findings.figure("a call that passes no gate (the clock)", free, "ns");
    findings.figure("a call that does (whether it is cancelled)", gated, "ns");
}

/// Plugins from the cache, each of its own digest.
fn cached(rig: &Rig, findings: &mut Findings) {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings {
        max_instances: 8,
        max_memory: 64 << 20,
        cache_dir: Some(folder.path().join("cache")),
        clock: Arc::clone(&rig.clock),
    };
    let plugins: Vec<Arc<[u8]>> = (0..PLUGINS).map(|number| distinct(number).into()).collect();
    let engine = Engine::new(settings.clone()).expect("an engine");
    for plugin in &plugins {
        rig.runtime.block_on(engine.load(Arc::clone(plugin))).expect("a plugin");
    }
    drop(engine);
    let engine = Engine::new(settings).expect("an engine");
    let start = Instant::now();
    let each = plugins.iter().map(|plugin| {
        let start = Instant::now();
        rig.runtime.block_on(engine.load(Arc::clone(plugin))).expect("a plugin");
        start.elapsed()
    });
    let each = Sample::new(each.collect());
    let all = start.elapsed();
    let what = "a plugin from the cache, described, median";
    findings.aim(what, millis(each.median()), "ms", LOAD, MACHINE_SLACK);
    let what = format!("{PLUGINS} plugins from the cache, one after another");
    findings.aim(&what, millis(all), "ms", LOAD_ALL, MACHINE_SLACK);
}

/// The no-op guest with a custom section of its own.
fn distinct(number: usize) -> Vec<u8> {
    let mut bytes = guest("noop");
    let name = format!("number-{number:03}");
    bytes.extend([0, name.len() as u8 + 1, name.len() as u8]);
    bytes.extend(name.as_bytes());
    bytes
}

/// From the wish that a guest ends to its end, with as many guests as threads.
fn stops(rig: &Rig, behave: &Arc<Plugin>, findings: &mut Findings) {
    let states = [
        ("computes", "spin", json!(null)),
        ("sleeps", "sleep", json!({ "ms": 600_000 })),
        ("floods its log", "logs", json!({ "lines": 4_000_000_000_u64, "bytes": 100 })),
        ("calls the host", "calls", json!({ "calls": u64::MAX, "gated": true })),
    ];
    for (state, handler, args) in states {
        let took = stopped(rig, behave, handler, &args);
        let (p50, max) = (millis(took.median()), millis(took.max()));
        let what = format!("stop of a guest that {state}, p50 {p50:.2} max {max:.1} ms, p99");
        findings.aim(&what, millis(took.quantile(0.99)), "ms", STOP, MACHINE_SLACK);
    }
}

fn stopped(rig: &Rig, behave: &Arc<Plugin>, handler: &str, args: &Value) -> Sample {
    let threads = rig.threads();
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (engine, plugin) = (Arc::clone(&rig.engine), Arc::clone(behave));
            let (handler, args) = (handler.to_owned(), args.clone());
            let controls: Vec<_> = (0..STOPS / threads).map(|_| control(rig)).collect();
            rig.runtime.spawn(async move {
                let mut took = Vec::new();
                for control in controls {
                    let mut request = request(&handler, args.clone());
                    request.limits.bounds = request
                        .limits
                        .bounds
                        .with(campanile::job::bound::Bound::HostCalls, 1_000_000_000);
                    let (engine, plugin) = (Arc::clone(&engine), Arc::clone(&plugin));
                    let watched = Arc::clone(&control);
                    let run = tokio::spawn(async move {
                        let report = engine.run(&plugin, request, &watched).await;
                        drop(report.expect("the run"));
                        Instant::now()
                    });
                    tokio::time::sleep(HEAD_START).await;
                    // Wanted by a thread of its own, as the host's is.
                    let wanted = std::thread::spawn(move || {
                        let now = Instant::now();
                        control.cancel("stop");
                        now
                    });
                    let ended = run.await.expect("the task");
                    took.push(ended.saturating_duration_since(wanted.join().expect("a thread")));
                }
                took
            })
        })
        .collect();
    let took = workers.into_iter().flat_map(|worker| rig.runtime.block_on(worker).expect("stops"));
    Sample::new(took.collect())
}

fn control(rig: &Rig) -> Arc<Control> {
    Arc::new(Control::new(Log::new(64 * 1024, Arc::clone(&rig.clock))))
}

fn request(handler: &str, args: Value) -> Request {
    Request {
        handler: handler.into(),
        args: args.to_string(),
        limits: Limits { timeout: Duration::from_secs(600), ..Limits::default() },
        config: Arc::new(BTreeMap::new()),
        ..one_run::request()
    }
}
