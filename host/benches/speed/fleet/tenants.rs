//! What many tenants cost against one with as many jobs: planning, memory, starting, the admission of
//! a run, and what idle hosts ask of a Redis server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use campanile::config::Config;
use campanile::job::PluginKey;
use campanile::job::names::{QueueName, TenantId};
use campanile::job::quota::{Allotment, Quota, QuotaKey};
use campanile::record::HostInfo;
use campanile::record::account::Allotments;
use campanile::record::room::Room;
use campanile::record::step::{Acquire, MAX_ACQUIRE, NewRun, RunSpec};
use campanile::run::id::RunId;
use campanile::run::{Cause, reason};
use campanile::runtime::Host;
use campanile::store::Store;
use campanile::store::embedded::EmbeddedStore;
use tokio::runtime::Runtime;

use super::server;
use crate::findings::{Aim, Findings, MACHINE_SLACK, RATIO_SLACK};
use crate::jobs;
use crate::planning::{START, World};
use crate::rig::{Rig, thread_time};
use crate::sample::micros;

const TENANTS: usize = 1_000;
const JOBS_OF_EACH: usize = 100;
const JOBS: usize = TENANTS * JOBS_OF_EACH;
/// Runs that wait when the admission is measured.
const WAITING: usize = 10_000;
/// How long idle hosts are watched, after they have settled for as long.
const WATCHED: Duration = Duration::from_secs(8);
/// Many tenants, to one with as many jobs.
const TO_ONE: Aim = Aim::AtMost(1.3);
/// Microseconds that quotas and turns add to a run.
const ADMISSION: Aim = Aim::AtMost(2.0);
/// Commands of an idle host with many tenants, to those with one.
const IDLE: Aim = Aim::AtMost(1.1);

pub fn measure(rig: &Rig, findings: &mut Findings) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    planning(&runtime, findings);
    admission(&runtime, findings);
    starting(rig, findings);
    idle(rig, findings);
}

fn planning(runtime: &Runtime, findings: &mut Findings) {
    let [one, many] = [1, TENANTS].map(|tenants| {
        let world = World::new(runtime, JOBS, tenants);
        (world.bytes as f64 / JOBS as f64, micros(world.time_for_one(runtime)))
    });
    findings.figure("100,000 jobs of one tenant: one that is due", one.1, "us");
    findings.figure("100 jobs of each of 1,000: one that is due", many.1, "us");
    findings.aim("  that is", many.1 / one.1, "times", TO_ONE, RATIO_SLACK);
    let what = "memory of an idle job of many tenants, to one's";
    findings.aim(what, many.0 / one.0, "times", TO_ONE, RATIO_SLACK);
}

/// What a run costs to take when one tenant without quotas waits, and when many with quotas do.
fn admission(runtime: &Runtime, findings: &mut Findings) {
    let quota = QuotaKey::ALL.into_iter().filter(|key| key.window().is_some());
    let quota = quota.fold(Quota::default().with(QuotaKey::MaxRunning, 1 << 40), |quota, key| {
        quota.with(key, 1 << 50)
    });
    let [bare, one, many] = [(1, None), (1, Some(quota)), (TENANTS, Some(quota))]
        .map(|(tenants, quota)| micros(runtime.block_on(taken(tenants, quota))));
    findings.figure("a run is taken: of one tenant without quotas", bare, "us");
    findings.figure("a run is taken: of one tenant with all quotas", one, "us");
    findings.figure("a run is taken: of 1,000 tenants with all quotas", many, "us");
    let what = "  quotas and turns add to a run";
    findings.aim(what, (many - bare).max(0.0), "us", ADMISSION, MACHINE_SLACK);
}

/// Processor time of the store for one run that is taken, of so many tenants in turn.
async fn taken(tenants: usize, quota: Option<Quota>) -> Duration {
    let store = EmbeddedStore::memory();
    let named = (0..tenants).map(jobs::tenant);
    let allotment = |quota| Allotment { quota, weight: 1 };
    let limited = named.clone().zip(quota.map(allotment).into_iter().cycle());
    let tenants_of = BTreeMap::from_iter(limited);
    let allotments = Allotments { version: 1, tenants: tenants_of, queues: BTreeMap::new() };
    store.allot(allotments).await.expect("quotas");
    let pattern = jobs::pattern("max_instances = 10000", START);
    for number in 0..tenants {
        let own = jobs::copy_of(&pattern, jobs::tenant(number), number, Duration::ZERO);
        jobs::put(&store, std::iter::once(own), START).await;
    }
    let plugin: campanile::job::names::PluginName = "noop".parse().expect("a name");
    for number in 0..WAITING {
        let owner = number % tenants;
        let spec = RunSpec {
            plugin: plugin.clone(),
            handler: "run".parse().expect("a name"),
            queue: QueueName::default(),
            priority: 0,
            delivery: campanile::job::Delivery::AtLeastOnce,
            max_rescues: 3,
            memory: 64 << 20,
        };
        let run = NewRun {
            job: jobs::key_of(jobs::tenant(owner), owner),
            id: RunId::from_bits(number as u128 + 1),
            cause: Cause::Manual,
            fire_time: START,
            not_before: None,
            start_by: None,
            args: None,
            spec,
            reason: reason::MANUAL.into(),
        };
        store.start(run, START).await.expect("a run");
    }
    let session = store.attach(HostInfo::named("bench"), START).await.expect("a session").session;
    let classes = named.map(|tenant| PluginKey { tenant, plugin: plugin.clone() });
    let classes = Arc::new(classes.collect());
    let queues = Arc::new([QueueName::default()].into());
    let mut count = 0;
    let start = thread_time();
    loop {
        let room = Room::of_slots(MAX_ACQUIRE);
        let want = Acquire { room, queues: Arc::clone(&queues), classes: Arc::clone(&classes) };
        let claims = store.acquire(&session, want, START).await.expect("runs");
        if claims.is_empty() {
            break;
        }
        count += claims.len();
    }
    let took = thread_time().saturating_sub(start);
    assert!(WAITING / 2 < count, "only {count} were taken");
    took / u32::try_from(count).expect("few")
}

/// The time until a host serves that has this configuration.
fn starting(rig: &Rig, findings: &mut Findings) {
    let [one, many] = [1, TENANTS].map(|tenants| {
        let folder = tempfile::tempdir().expect("a folder");
        let text = configuration("memory:", tenants, JOBS / tenants);
        let start = Instant::now();
        let host = rig.runtime.block_on(Host::start(parsed(&text, folder.path()))).expect("a host");
        let took = start.elapsed().as_secs_f64();
        rig.runtime.block_on(host.shutdown()).expect("an end in order");
        took
    });
    findings.figure("a host starts with 100,000 jobs of one tenant", one, "s");
    findings.figure("a host starts with 100 jobs of each of 1,000", many, "s");
    findings.aim("  that is", many / one, "times", TO_ONE, RATIO_SLACK);
}

/// Commands that an idle host sends a Redis server.
fn idle(rig: &Rig, findings: &mut Findings) {
    let mut rates = Vec::new();
    for tenants in [1, TENANTS] {
        let Some(server) = server(findings) else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let text = configuration(&format!("redis://127.0.0.1:{}", server.port), tenants, 0);
        let host = rig.runtime.block_on(Host::start(parsed(&text, folder.path()))).expect("a host");
        std::thread::sleep(WATCHED);
        let commands = || server.info().number("total_commands_processed");
        let before = commands();
        std::thread::sleep(WATCHED);
        let rate = (commands() - before) / WATCHED.as_secs_f64();
        rig.runtime.block_on(host.shutdown()).expect("an end in order");
        findings.figure(
            &format!("an idle host with {tenants} tenants asks Redis"),
            rate,
            "a second",
        );
        rates.push(rate);
    }
    if let [one, many] = rates[..] {
        findings.aim("  that is", many / one, "times", IDLE, RATIO_SLACK);
    }
}

fn configuration(store: &str, tenants: usize, jobs_of_each: usize) -> String {
    let mut text = format!(
        "store = {{ url = '{store}'{} }}\n[api]\nlisten = '127.0.0.1:0'\n",
        if store.starts_with("redis") { ", allow_volatile = true" } else { "" }
    );
    for number in 0..tenants {
        let tenant: TenantId = jobs::tenant(number);
        text += &format!("[tenants.{tenant}]\nquota = {{ max_running = 8 }}\n");
        for job in 0..jobs_of_each {
            text += &format!(
                "[tenants.{tenant}.jobs.job-{job}]\nplugin = 'noop'\nhandler = 'run'\n\
                 trigger = 'every 1d'\n"
            );
        }
    }
    text
}

fn parsed(text: &str, folder: &Path) -> Config {
    Config::parse(text, &folder.join("host.toml"), folder, 1).expect("a configuration")
}
