//! A tight loop in wasmtime alone: what epochs and fuel add to it.

use std::time::{Duration, Instant};

use wasmtime::{Config, Engine, Instance, Module, Store, UpdateDeadline};

use crate::findings::Findings;

/// Turns of the loop.
const TURNS: i32 = 200_000_000;
/// Of so many goes the fastest counts.
const GOES: usize = 3;

const LOOP: &str = r#"(module (func (export "run") (param $turns i32) (result i32)
    (local $sum i32)
    (loop $again
        (local.set $sum (i32.xor (i32.add (local.get $sum) (local.get $turns)) (i32.const 77)))
        (br_if $again (local.tee $turns (i32.sub (local.get $turns) (i32.const 1)))))
    (local.get $sum)))"#;

pub fn loops(findings: &mut Findings) {
    let plain = fastest(false, false).as_secs_f64();
    findings.figure("a tight loop, each turn", plain * 1e9 / f64::from(TURNS), "ns");
    let epochs = fastest(true, false).as_secs_f64();
    findings.figure("  with epochs, as every guest", epochs / plain, "times");
    let both = fastest(true, true).as_secs_f64();
    findings.figure("  with epochs and fuel, as metered guests", both / plain, "times");
}

fn fastest(epochs: bool, fuel: bool) -> Duration {
    (0..GOES).map(|_| once(epochs, fuel)).min().unwrap_or_default()
}

fn once(epochs: bool, fuel: bool) -> Duration {
    let mut config = Config::new();
    config.epoch_interruption(epochs).consume_fuel(fuel);
    let engine = Engine::new(&config).expect("an engine");
    let module = wat::parse_str(LOOP).expect("a module");
    let module = Module::new(&engine, module).expect("a module");
    let mut store = Store::new(&engine, ());
    if epochs {
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
    }
    if fuel {
        store.set_fuel(u64::MAX).expect("fuel");
    }
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").expect("the function");
    let start = Instant::now();
    run.call(&mut store, TURNS).expect("the loop");
    start.elapsed()
}
