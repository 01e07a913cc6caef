//! What sections share: an engine with the no-op guest, and a host's line from store to executor.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use campanile::catalog::fleet::Fleet;
use campanile::catalog::jobs::JobCache;
use campanile::catalog::{Catalog, Entry, FoundIn, State};
use campanile::clock::{SharedClock, SystemClock};
use campanile::config::Config;
use campanile::engine::plugin::Plugin;
use campanile::engine::services::Desk;
use campanile::engine::{Engine, Settings};
use campanile::executor::live::Live;
use campanile::executor::slots::Slots;
use campanile::executor::{Executor, Stop};
use campanile::job::PluginKey;
use campanile::job::names::QueueName;
use campanile::job::names::TenantId;
use campanile::lease::cell::SessionCell;
use campanile::record::HostInfo;
use campanile::record::step::Pulse;
use campanile::scheduler::Scheduler;
use campanile::scheduler::wake::Wake;
use campanile::status::Status;
use campanile::store::Store;
use campanile::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::sample::micros;

/// Runs at once.
const SLOTS: usize = 256;
/// Memory limits of all runs at once: enough for all slots.
const MEMORY_BYTES: u64 = 64 << 30;
/// How often somebody looks whether a backlog is gone.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// An engine with the no-op guest.
pub struct Rig {
    pub runtime: Runtime,
    pub engine: Arc<Engine>,
    pub noop: Arc<Plugin>,
    pub clock: SharedClock,
    /// Whether what takes minutes is measured too.
    pub full: bool,
}

impl Rig {
    pub fn new(full: bool) -> Self {
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
        let noop = runtime.block_on(engine.load(guest("noop").into())).expect("the no-op guest");
        Self { runtime, engine, noop, clock, full }
    }

    /// What figures depend on: processors, and what else they do.
    pub fn machine(&self) -> String {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        let load = if load.is_empty() { "unknown" } else { load };
        format!("{} threads; load average before: {load}", self.threads())
    }

    /// Threads of the runtime that guests run on.
    pub fn threads(&self) -> usize {
        self.runtime.metrics().num_workers()
    }

    /// What scheduler, `store` and executor take to run all `total` runs that are due.
    pub fn drain(&self, store: Arc<dyn Store>, total: u64) -> Drained {
        self.drain_together(&[store], total)
    }

    /// The same of several hosts, each with its own way to the one store.
    pub fn drain_together(&self, stores: &[Arc<dyn Store>], total: u64) -> Drained {
        let slots = SLOTS / stores.len();
        let lines: Vec<Line> =
            stores.iter().map(|store| Line::new(self, Arc::clone(store), slots)).collect();
        // Each learns of the others.
        for line in &lines {
            let (held, now) = (line.scheduler.session.current(), self.clock.now());
            let beat = line.scheduler.store.beat(&held.session, Pulse::default(), now);
            self.runtime.block_on(beat).expect("a beat");
        }
        let (start, processor) = (Instant::now(), processor_time());
        let running: Vec<Running> = lines.into_iter().map(|line| line.start(self)).collect();
        // The store counts its runs to answer, and does nothing else meanwhile: it is asked last.
        while running.iter().any(Running::is_busy) || self.done(stores) < total {
            std::thread::sleep(LOOK_EVERY);
        }
        let (took, processor) = (start.elapsed(), processor_time().saturating_sub(processor));
        running.into_iter().for_each(|running| running.stop(self));
        Drained { runs: total as f64, took, processor }
    }

    fn done(&self, stores: &[Arc<dyn Store>]) -> u64 {
        let Some(store) = stores.first() else { return 0 };
        self.runtime.block_on(store.health()).expect("health").done_runs
    }
}

/// A backlog that is gone.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    pub runs: f64,
    pub took: Duration,
    /// On all processors together.
    pub processor: Duration,
}

impl Drained {
    /// Runs a second.
    pub fn rate(&self) -> f64 {
        self.runs / self.took.as_secs_f64()
    }

    /// Processor time for each run, in microseconds. Less than the rate does it depend on what
    /// else the machine does.
    pub fn processor_micros(&self) -> f64 {
        micros(self.processor) / self.runs
    }
}

/// A scheduler and an executor on one store.
struct Line {
    scheduler: Scheduler,
    executor: Executor,
    claims: mpsc::Receiver<campanile::executor::Claimed>,
}

/// The same, started.
struct Running {
    slots: Slots,
    status: Arc<Status>,
    stop_scheduler: Arc<AtomicBool>,
    wake: Arc<Wake>,
    stop_executor: watch::Sender<Stop>,
    scheduler: std::thread::JoinHandle<()>,
    executor: tokio::task::JoinHandle<()>,
}

impl Line {
    fn new(rig: &Rig, store: Arc<dyn Store>, slots: usize) -> Self {
        let hello = HostInfo::named("bench");
        let attached = rig.runtime.block_on(store.attach(hello, rig.clock.now()));
        let session = attached.expect("a session").session;
        let session = Arc::new(SessionCell::unbounded(session));
        // A receiver keeps what was sent last, whoever sent it.
        let catalog = watch::channel(Arc::new(catalog(rig))).1;
        let (claims_sender, claims) = mpsc::channel(1_024);
        let (jobs, status) = (Arc::new(JobCache::default()), Arc::new(Status::default()));
        let slots = Slots::new(slots, MEMORY_BYTES);
        let executor = Executor {
            store: Arc::clone(&store),
            session: Arc::clone(&session),
            engine: Arc::clone(&rig.engine),
            catalog: catalog.clone(),
            intake: None,
            jobs: Arc::clone(&jobs),
            clock: Arc::clone(&rig.clock),
            slots: slots.clone(),
            status: Arc::clone(&status),
            live: Arc::new(Live::default()),
            queues: Arc::new([QueueName::default()].into()),
            config: tokio::sync::watch::Sender::new(Arc::new(config())).subscribe(),
            desk: Arc::new(Desk::new(
                Arc::clone(&store),
                Arc::clone(&rig.clock),
                mpsc::channel(1).0,
            )),
        };
        let scheduler = Scheduler {
            store,
            session,
            clock: Arc::clone(&rig.clock),
            jobs,
            fleet: Fleet::alone(catalog),
            slots,
            queues: Arc::new([QueueName::default()].into()),
            claims: claims_sender,
            status,
            wake: Arc::new(Wake::default()),
            stop: Arc::new(AtomicBool::new(false)),
        };
        Self { scheduler, executor, claims }
    }

    fn start(self, rig: &Rig) -> Running {
        let Self { scheduler, executor, claims } = self;
        let (stop_executor, executor_stop) = watch::channel(Stop::No);
        Running {
            slots: executor.slots.clone(),
            status: Arc::clone(&executor.status),
            stop_scheduler: Arc::clone(&scheduler.stop),
            wake: Arc::clone(&scheduler.wake),
            stop_executor,
            executor: rig.runtime.spawn(executor.run(claims, executor_stop)),
            scheduler: std::thread::spawn(move || scheduler.run()),
        }
    }
}

impl Running {
    /// Whether the scheduler has not seen all that was due, or runs are under way.
    fn is_busy(&self) -> bool {
        self.status.last_pass() == Timestamp::from_micros(0) || self.slots.taken().slots > 0
    }

    fn stop(self, rig: &Rig) {
        self.stop_scheduler.store(true, Ordering::Release);
        self.wake.call();
        self.stop_executor.send_replace(Stop::Drain);
        self.scheduler.join().expect("the scheduler");
        rig.runtime.block_on(self.executor).expect("the executor");
    }
}

fn catalog(rig: &Rig) -> Catalog {
    Catalog::default().with(Entry {
        key: noop_key(),
        from: FoundIn::Folder("noop.wasm".into()),
        about: Some(rig.noop.about.clone()),
        state: State::Active(Arc::clone(&rig.noop)),
        loaded_at: rig.clock.now(),
        update_refused: None,
        versions: None,
        canary: None,
    })
}

/// What this process has used of all processors.
fn processor_time() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// What this thread has used of a processor: what others use meanwhile does not count.
pub fn thread_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let (secs, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(secs.unwrap_or_default(), nanos.unwrap_or_default())
}

/// The plugin that does nothing.
pub fn noop_key() -> PluginKey {
    let plugin = "noop".parse().expect("a name");
    PluginKey { tenant: TenantId::default_tenant(), plugin }
}

/// The bytes of a test guest.
pub fn guest(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests/wasm32-wasip2/release");
    std::fs::read(format!("{folder}/{name}.wasm"))
        .expect("a test guest; `cargo xtask plugins --guests` builds them")
}

fn config() -> Config {
    Config::parse("", Path::new("host.toml"), Path::new("/srv"), 1).expect("the defaults")
}
