//! How fast it is, side by side with what it stands on, in one process.
//!
//! `cargo xtask bench` prints; `--check` fails when a ratio is over its aim.

#![expect(clippy::print_stdout, reason = "a bench talks to people")]
#![expect(clippy::expect_used, reason = "a bench that can't be set up has nothing to say")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use campanile::catalog::jobs::JobCache;
use campanile::catalog::{Catalog, Entry, State};
use campanile::clock::{SharedClock, SystemClock};
use campanile::config::Config;
use campanile::config::definitions::definitions;
use campanile::engine::control::Control;
use campanile::engine::log::Log;
use campanile::engine::plugin::Plugin;
use campanile::engine::run::Request;
use campanile::engine::{Engine, Settings};
use campanile::executor::live::Live;
use campanile::executor::slots::Slots;
use campanile::executor::{Executor, Stop};
use campanile::job::names::{PluginName, TenantId};
use campanile::job::{Limits, PluginKey};
use campanile::record::step::{Conflict, Hello};
use campanile::run::Cause;
use campanile::schedule::reconcile::{Step, reconcile};
use campanile::scheduler::Scheduler;
use campanile::scheduler::wake::Wake;
use campanile::status::Status;
use campanile::store::Store;
use campanile::store::embedded::EmbeddedStore;
use campanile::time::Timestamp;
use tokio::sync::{mpsc, watch};

/// Cycles before anything is measured.
const WARM_UP: usize = 2_000;
/// Cycles of each kind that are measured, in turns.
const CYCLES: usize = 20_000;
/// Our whole run may take so many times what wasmtime alone takes.
const AIM_RATIO: f64 = 1.3;
/// Jobs with a backlog.
const JOBS: usize = 200;
/// Fire times that each has missed.
const BACKLOG: usize = 400;

fn main() {
    let check = std::env::args().any(|arg| arg == "--check");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let clock: SharedClock = Arc::new(SystemClock);
    let settings = Settings {
        max_instances: 512,
        max_memory: 64 << 20,
        cache_dir: None,
        clock: Arc::clone(&clock),
    };
    let engine = Engine::new(settings).expect("an engine");
    let plugin = runtime.block_on(engine.load(guest().into())).expect("the no-op guest");

    let ratio = runtime.block_on(async {
        tokio::spawn(compare(Arc::clone(&engine), Arc::clone(&plugin), Arc::clone(&clock)))
            .await
            .expect("the comparison")
    });
    both_threads(&runtime, &engine, &plugin, &clock);
    let memory = Arc::new(EmbeddedStore::memory());
    whole("memory store", &runtime, memory, &engine, &plugin, &clock);
    let dir = tempfile::tempdir().expect("a folder");
    let sqlite = EmbeddedStore::open(&dir.path().join("bench.db")).expect("a store");
    whole("SQLite store", &runtime, Arc::new(sqlite), &engine, &plugin, &clock);
    if check && ratio > AIM_RATIO {
        println!("the ratio {ratio:.2} is over its aim of {AIM_RATIO}");
        std::process::exit(1);
    }
}

/// Wasmtime alone and a whole run of ours, in turns; answers the ratio of the medians.
async fn compare(engine: Arc<Engine>, plugin: Arc<Plugin>, clock: SharedClock) -> f64 {
    let (mut bare, mut ours) = (Vec::with_capacity(CYCLES), Vec::with_capacity(CYCLES));
    for cycle in 0..WARM_UP + CYCLES {
        let control = control(&clock);
        let start = Instant::now();
        engine.bare_cycle(&plugin, request(), &control).await.expect("a bare cycle");
        let middle = Instant::now();
        engine.run(&plugin, request(), &self::control(&clock)).await.expect("a run");
        let end = Instant::now();
        if cycle >= WARM_UP {
            bare.push(middle - start);
            ours.push(end - middle);
        }
    }
    let (bare, ours) = (median(&mut bare), median(&mut ours));
    let ratio = ours.as_secs_f64() / bare.as_secs_f64();
    println!("one run, median of {CYCLES}, one thread");
    println!("  wasmtime alone (store, WASI context, instance, call)   {:>8.1} us", micros(bare));
    println!("  our whole run  (limits, log, outcome, usage as well)   {:>8.1} us", micros(ours));
    println!(
        "  ratio                                                  {ratio:>8.2}    (aim {AIM_RATIO})"
    );
    ratio
}

/// The same on all threads at once.
fn both_threads(
    runtime: &tokio::runtime::Runtime,
    engine: &Arc<Engine>,
    plugin: &Arc<Plugin>,
    clock: &SharedClock,
) {
    let workers = runtime.metrics().num_workers();
    for (what, ours) in [("wasmtime alone", false), ("our whole run ", true)] {
        let start = Instant::now();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..workers * 4)
                .map(|_| {
                    let (engine, plugin, clock) = (engine.clone(), plugin.clone(), clock.clone());
                    tokio::spawn(async move {
                        for _ in 0..CYCLES {
                            let control = control(&clock);
                            if ours {
                                engine.run(&plugin, request(), &control).await.expect("a run");
                            } else {
                                let cycle = engine.bare_cycle(&plugin, request(), &control);
                                cycle.await.expect("a bare cycle");
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("a task");
            }
        });
        let runs = (workers * 4 * CYCLES) as f64 / start.elapsed().as_secs_f64();
        println!(
            "{what} on {workers} threads                                {runs:>10.0} a second"
        );
    }
}

/// Runs a second through scheduler, store and executor, from a backlog.
fn whole(
    name: &str,
    runtime: &tokio::runtime::Runtime,
    store: Arc<dyn Store>,
    engine: &Arc<Engine>,
    plugin: &Arc<Plugin>,
    clock: &SharedClock,
) {
    let session = runtime.block_on(async {
        fill(store.as_ref(), clock).await;
        let hello = Hello { host: "bench".into(), version: "0".into() };
        store.attach(hello, clock.now()).await.expect("a session").session
    });
    let catalog = watch::channel(Arc::new(catalog(plugin, clock.now()))).1;
    let (claims_sender, claims) = mpsc::channel(1_024);
    let (stop_executor, executor_stop) = watch::channel(Stop::No);
    let (jobs, status) = (Arc::new(JobCache::default()), Arc::new(Status::default()));
    let slots = Slots::new(256, 64 << 30);
    let executor = Executor {
        store: Arc::clone(&store),
        session: session.clone(),
        engine: Arc::clone(engine),
        catalog: catalog.clone(),
        jobs: Arc::clone(&jobs),
        clock: Arc::clone(clock),
        slots: slots.clone(),
        status: Arc::clone(&status),
        live: Arc::new(Live::default()),
    };
    let (stop, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(Wake::default()));
    let scheduler = Scheduler {
        store: Arc::clone(&store),
        session,
        clock: Arc::clone(clock),
        jobs,
        catalog,
        slots,
        claims: claims_sender,
        status,
        wake: Arc::clone(&wake),
        stop: Arc::clone(&stop),
    };
    let start = Instant::now();
    let executor = runtime.spawn(executor.run(claims, executor_stop));
    let scheduler = std::thread::spawn(move || scheduler.run());
    let total = (JOBS * BACKLOG) as u64;
    loop {
        let health = runtime.block_on(store.health()).expect("health");
        if health.done_runs >= total {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = start.elapsed();
    stop.store(true, Ordering::Release);
    wake.call();
    stop_executor.send_replace(Stop::Drain);
    scheduler.join().expect("the scheduler");
    runtime.block_on(executor).expect("the executor");
    let runs = total as f64 / took.as_secs_f64();
    println!("scheduler, {name}, executor, no-op guest                {runs:>10.0} a second");
}

/// Jobs that are due since a while, each with a backlog that all gets runs.
async fn fill(store: &dyn Store, clock: &SharedClock) {
    let jobs: String = (0..JOBS)
        .map(|number| {
            format!(
                "[jobs.j{number}]\nplugin = \"noop\"\ntrigger = \"every 1s\"\n\
                 coalesce = \"all\"\nmax_catchup = {BACKLOG}\nmax_instances = {BACKLOG}\n\
                 [jobs.j{number}.limits]\nmemory = \"4MiB\"\n"
            )
        })
        .collect();
    let here = std::path::Path::new("/");
    let config = Config::parse(&jobs, &here.join("bench.toml"), here, 0).expect("definitions");
    let declared = definitions(&config, &[], &[]);
    let now = clock.now();
    let due = now.before(Duration::from_secs(BACKLOG as u64));
    let steps = reconcile(&declared.jobs, &[], &declared.broken, false, due).steps;
    for step in steps {
        let Step::Create(schedule) = step else { continue };
        store.put(schedule, Conflict::Fail, now).await.expect("a schedule");
    }
}

fn catalog(plugin: &Arc<Plugin>, now: Timestamp) -> Catalog {
    let plugin_name: PluginName = "noop".parse().expect("a name");
    Catalog::default().with(Entry {
        key: PluginKey { tenant: TenantId::default_tenant(), plugin: plugin_name },
        file: "noop.wasm".into(),
        about: Some(plugin.about.clone()),
        state: State::Active(Arc::clone(plugin)),
        loaded_at: now,
    })
}

fn control(clock: &SharedClock) -> Arc<Control> {
    Arc::new(Control::new(Log::new(64 * 1024, Arc::clone(clock))))
}

fn request() -> Request {
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
        limits: Limits {
            timeout: Duration::from_secs(300),
            memory: 64 << 20,
            fuel: None,
            meter: false,
            log: 64 * 1024,
            result: 64 * 1024,
            args: 1 << 20,
        },
        dirs: Vec::new(),
        config: Arc::default(),
    }
}

fn guest() -> Vec<u8> {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests/wasm32-wasip2/release/noop.wasm");
    std::fs::read(file).expect("the no-op guest; `cargo xtask plugins --guests` builds it")
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
