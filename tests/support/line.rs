//! The parts of a host that schedule and run, in this process and on any store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use campanile::catalog::fleet::Fleet;
use campanile::catalog::jobs::JobCache;
use campanile::catalog::{Catalog, Entry, FoundIn, State};
use campanile::clock::{Clock as _, SharedClock, SystemClock};
use campanile::config::Config;
use campanile::config::definitions::definitions;
use campanile::engine::services::Desk;
use campanile::engine::{Engine, Settings};
use campanile::executor::beat::{Beater, Beating};
use campanile::executor::live::Live;
use campanile::executor::slots::Slots;
use campanile::executor::{Executor, Stop};
use campanile::job::PluginKey;
use campanile::job::names::QueueName;
use campanile::lease::boot;
use campanile::lease::cell::SessionCell;
use campanile::lease::term::Term;
use campanile::record::HostInfo;
use campanile::record::step::NewSchedule;
use campanile::schedule::reconcile::{Step, reconcile};
use campanile::scheduler::Scheduler;
use campanile::scheduler::wake::Wake;
use campanile::status::Status;
use campanile::store::Store;
use campanile::time::Timestamp;
use tokio::sync::{mpsc, watch};

use super::guests;

/// Runs at once.
const SLOTS: usize = 16;

/// The jobs of a configuration, as a start at `now` puts them into an empty store.
pub fn schedules(text: &str, now: Timestamp) -> Vec<NewSchedule> {
    let here = Path::new("/");
    let config = Config::parse(text, &here.join("host.toml"), here, 0).unwrap();
    let declared = definitions(&config, &[], &[]);
    let steps = reconcile(&declared.jobs, &[], &declared.broken, None, now).steps;
    let created = steps.into_iter().map(|step| match step {
        Step::Create(schedule) => schedule,
        other => panic!("the store is empty: {other:?}"),
    });
    created.collect()
}

/// A scheduler, an executor and a beat with one session.
pub struct Line {
    pub session: Arc<SessionCell>,
    pub jobs: Arc<JobCache>,
    stop: Arc<AtomicBool>,
    wake: Arc<Wake>,
    scheduler: Option<std::thread::JoinHandle<()>>,
    stop_executor: watch::Sender<Stop>,
    executor: tokio::task::JoinHandle<()>,
    beating: Beating,
}

impl Line {
    /// Starts one that holds the guest `plugin` and whose session lasts as long as `term` says.
    pub async fn start(store: Arc<dyn Store>, plugin: &str, term: Term) -> Self {
        let clock: SharedClock = Arc::new(SystemClock);
        let settings = Settings {
            max_instances: 40,
            max_memory: 64 << 20,
            cache_dir: None,
            clock: Arc::clone(&clock),
        };
        let engine = Engine::new(settings).unwrap();
        let catalog = watch::channel(Arc::new(catalog(&engine, plugin).await)).1;
        let (status, live) = (Arc::new(Status::default()), Arc::new(Live::default()));
        let (jobs, slots) = (Arc::new(JobCache::default()), Slots::new(SLOTS, 4 << 30));
        let (claims_sender, claims) = mpsc::channel(SLOTS);
        let (stop_executor, executor_stop) = watch::channel(Stop::No);
        let info = HostInfo::named("test");
        let sent = boot::now();
        let attached = store.attach(info.clone(), clock.now()).await.unwrap();
        let session = Arc::new(SessionCell::new(term, attached.session, sent));
        let beater = Beater {
            store: Arc::clone(&store),
            session: Arc::clone(&session),
            clock: Arc::clone(&clock),
            live: Arc::clone(&live),
            slots: slots.clone(),
            claims: claims_sender.clone(),
            status: Arc::clone(&status),
            catalog: catalog.clone(),
            info,
        };
        let beating = beater.start().unwrap();
        let executor = Executor {
            store: Arc::clone(&store),
            session: Arc::clone(&session),
            engine,
            catalog: catalog.clone(),
            intake: None,
            jobs: Arc::clone(&jobs),
            clock: Arc::clone(&clock),
            slots: slots.clone(),
            status: Arc::clone(&status),
            live,
            queues: Arc::new([QueueName::default()].into()),
            config: tokio::sync::watch::Sender::new(Arc::new(config())).subscribe(),
            desk: Arc::new(Desk::new(Arc::clone(&store), Arc::clone(&clock), mpsc::channel(1).0)),
        };
        let (stop, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(Wake::default()));
        let scheduler = Scheduler {
            store,
            session: Arc::clone(&session),
            clock,
            jobs: Arc::clone(&jobs),
            fleet: Fleet::alone(catalog),
            slots,
            queues: Arc::new([QueueName::default()].into()),
            claims: claims_sender,
            status,
            wake: Arc::clone(&wake),
            stop: Arc::clone(&stop),
        };
        let executor = tokio::spawn(executor.run(claims, executor_stop));
        let scheduler = Some(std::thread::spawn(move || scheduler.run()));
        Self { session, jobs, stop, wake, scheduler, stop_executor, executor, beating }
    }

    /// Fires nothing more.
    pub fn stop_scheduling(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake.call();
        if let Some(scheduler) = self.scheduler.take() {
            tokio::task::block_in_place(|| scheduler.join().unwrap());
        }
    }

    /// Lets runs end, and ends.
    pub async fn drain(mut self) {
        self.stop_scheduling();
        self.stop_executor.send_replace(Stop::Drain);
        self.executor.await.unwrap();
        drop(self.beating);
    }
}

async fn catalog(engine: &Engine, plugin: &str) -> Catalog {
    let loaded = engine.load(guests::bytes(plugin).into()).await.unwrap();
    let key = PluginKey { tenant: "default".parse().unwrap(), plugin: plugin.parse().unwrap() };
    Catalog::default().with(Entry {
        key,
        from: FoundIn::Folder(format!("{plugin}.wasm").into()),
        about: Some(loaded.about.clone()),
        state: State::Active(loaded),
        loaded_at: SystemClock.now(),
        update_refused: None,
        versions: None,
        canary: None,
    })
}

fn config() -> Config {
    Config::parse("", Path::new("host.toml"), Path::new("/srv"), 1).expect("the defaults")
}
