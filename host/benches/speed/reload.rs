//! How soon a file that was replaced takes fires, and what that costs other jobs: from when its last
//! byte was written until the catalog, which every run is given its version by, has the new one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use campanile::config::Config;
use campanile::engine::plugin::Digest;
use campanile::job::PluginKey;
use campanile::job::names::TenantId;
use campanile::runtime::Host;

use crate::findings::{Aim, Findings, MACHINE_SLACK, NO_SLACK};
use crate::lateness::host::{Bells, Others, Store};
use crate::lateness::{Load, RAN};
use crate::rig::{Rig, guest};
use crate::sample::{Sample, millis};

/// Swaps between two versions that are compiled already.
const CACHED: u32 = 200;
/// Swaps to versions that nobody has seen.
const COMPILED: u32 = 20;
/// Bytes of what is compiled, at least.
const LARGE: usize = 2 << 20;
/// p99 in milliseconds.
const CACHED_AIM: Aim = Aim::AtMost(250.0);
const COMPILED_AIM: Aim = Aim::AtMost(1_500.0);
/// p99 of other jobs' lateness while plugins are compiled, less that of the same run before.
const BESIDE: Aim = Aim::AtMost(2.0);
/// Other jobs' fires.
const LOAD: Load = Load { fires_a_second: 100, seconds: 10 };
/// A swap takes no longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let large = large();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plugins/bell.wasm");
    std::fs::create_dir(folder.path().join("plugins")).expect("a folder");
    let small = [1, 2].map(|number| version(&guest("noop"), number));
    std::fs::write(&file, &small[0]).expect("a plugin");
    let config = Config::parse(
        "store = 'sqlite:'\n[api]\nlisten = '127.0.0.1:0'\n",
        &folder.path().join("host.toml"),
        folder.path(),
        1,
    );
    let host = rig.runtime.block_on(Host::start(config.expect("a configuration")));
    let host = host.expect("a host");
    swap(&host, &file, &small[1]);
    swap(&host, &file, &small[0]);
    let cached = (0..CACHED).map(|round| swap(&host, &file, &small[1 - round as usize % 2]));
    let cached = Sample::new(cached.collect());
    show(findings, "a version that was compiled before", &cached, CACHED_AIM);
    let compiled = (0..COMPILED).map(|round| swap(&host, &file, &version(&large, 10 + round)));
    let compiled = Sample::new(compiled.collect());
    let what = format!("one of {:.1} MB that must be compiled", large.len() as f64 / 1e6);
    show(findings, &what, &compiled, COMPILED_AIM);
    rig.runtime.block_on(host.shutdown()).expect("an end in order");

    let bells = Bells::new();
    let (_, before) = bells.beside(rig, Store::Sqlite, Others::None, || ((), LOAD));
    let stop = Arc::new(AtomicBool::new(false));
    let bells = Bells::new();
    let (dropping, beside) = bells.beside(rig, Store::Sqlite, Others::None, || {
        (drop_in(bells.plugins().join("large.wasm"), large.clone(), Arc::clone(&stop)), LOAD)
    });
    stop.store(true, Ordering::Relaxed);
    let dropped = dropping.join().expect("a thread");
    findings.figure("versions that were compiled beside the bells", f64::from(dropped), "");
    // Of fires that never ran nobody knows how late they were.
    for (what, late) in [("nothing beside", &before), ("compiling beside", &beside)] {
        findings.aim(&format!("of the fires ran, {what}"), late.ran, "%", RAN, NO_SLACK);
    }
    let p99 = |late: &crate::lateness::Late| millis(late.started.quantile(0.99));
    findings.figure("lateness of other jobs, p99: nothing beside", p99(&before), "ms");
    findings.figure("lateness of other jobs, p99: compiling beside", p99(&beside), "ms");
    let more = (p99(&beside) - p99(&before)).max(0.0);
    findings.aim("  that is more", more, "ms", BESIDE, MACHINE_SLACK);
}

fn show(findings: &mut Findings, what: &str, swaps: &Sample, aim: Aim) {
    findings.figure(&format!("{what}: p50"), millis(swaps.median()), "ms");
    let what = format!("{what}: p99 of {}", swaps.len());
    findings.aim(&what, millis(swaps.quantile(0.99)), "ms", aim, MACHINE_SLACK);
}

/// Replaces the file, and waits until its version runs.
fn swap(host: &Host, file: &PathBuf, bytes: &[u8]) -> Duration {
    let digest = Digest::of(bytes).to_string();
    let plugin =
        PluginKey { tenant: TenantId::default_tenant(), plugin: "bell".parse().expect("a name") };
    std::fs::write(file, bytes).expect("a plugin");
    let written = Instant::now();
    loop {
        let took = written.elapsed();
        if host.catalog().active(&plugin).is_some_and(|plugin| plugin.about.digest == digest) {
            return took;
        }
        assert!(took < PATIENCE, "the new version is not there");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Writes one version after another until it is told to stop. Answers how many.
fn drop_in(file: PathBuf, large: Vec<u8>, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<u32> {
    std::thread::spawn(move || {
        let mut number = 1_000;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            std::fs::write(&file, version(&large, number)).expect("a plugin");
            std::thread::sleep(Duration::from_secs(1));
        }
        number - 1_000
    })
}

/// A program of [`LARGE`] bytes, in many functions.
fn large() -> Vec<u8> {
    let mut functions = 2_200;
    loop {
        let mut text =
            String::from("(module (func (export \"_start\"))\n(memory (export \"memory\") 1)\n");
        for number in 0..functions {
            text.push_str(&format!(
                "(func (export \"f{number}\") (param i32 i64 f64) (result i64)\n"
            ));
            for step in 0..24 {
                text.push_str(&format!(
                    "(i64.store (i32.and (local.get 0) (i32.const {})) (i64.mul (i64.load \
                     (i32.and (local.get 0) (i32.const 65000))) (i64.const {})))\n",
                    60_000 - step * 8,
                    number * 31 + step
                ));
            }
            text.push_str("(i64.add (local.get 1) (i64.trunc_sat_f64_s (local.get 2))))\n");
        }
        text.push(')');
        let bytes = wat::parse_str(&text).expect("a module");
        if LARGE <= bytes.len() {
            return bytes;
        }
        functions += functions / 20;
    }
}

/// The same with a custom section more.
fn version(bytes: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.extend([0, 6, 1, b'v']);
    bytes.extend(number.to_le_bytes());
    bytes
}
