//! The loop goes on: through a store that fails, and through a hundred thousand jobs at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use campanile::catalog::jobs::JobCache;
use campanile::catalog::{Catalog, Entry, State};
use campanile::clock::{ManualClock, SharedClock, SystemClock};
use campanile::config::Config;
use campanile::config::definitions::definitions;
use campanile::engine::{Engine, Settings};
use campanile::executor::live::Live;
use campanile::executor::slots::Slots;
use campanile::executor::{Executor, Stop};
use campanile::job::PluginKey;
use campanile::job::names::QueueName;
use campanile::record::HostInfo;
use campanile::record::query::{LedgerFilter, Page};
use campanile::record::step::{Conflict, NewSchedule};
use campanile::schedule::audit::audit;
use campanile::schedule::reconcile::{Step, reconcile};
use campanile::scheduler::Scheduler;
use campanile::scheduler::wake::Wake;
use campanile::status::Status;
use campanile::store::Store;
use campanile::store::embedded::EmbeddedStore;
use campanile::time::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::support::eventually;
use crate::support::faulty::Faulty;
use crate::support::guests;

/// The jobs of a configuration, as a start at `now` puts them into an empty store.
fn schedules(text: &str, now: Timestamp) -> Vec<NewSchedule> {
    let here = Path::new("/");
    let config = Config::parse(text, &here.join("host.toml"), here, 0).unwrap();
    let declared = definitions(&config, &[], &[]);
    let steps = reconcile(&declared.jobs, &[], &declared.broken, false, now).steps;
    let created = steps.into_iter().map(|step| match step {
        Step::Create(schedule) => schedule,
        other => panic!("the store is empty: {other:?}"),
    });
    created.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_delays_the_loop_and_ends_nothing() {
    let clock: SharedClock = Arc::new(SystemClock);
    let settings = Settings {
        max_instances: 40,
        max_memory: 64 << 20,
        cache_dir: None,
        clock: Arc::clone(&clock),
    };
    let engine = Engine::new(settings).unwrap();
    let plugin = engine.load(guests::bytes("noop").into()).await.unwrap();
    let beneath: Arc<dyn Store> = Arc::new(EmbeddedStore::memory());
    let jobs: String = (0..5)
        .map(|job| {
            format!(
                "[jobs.j{job}]\nplugin = \"noop\"\ntrigger = \"every 200ms\"\ncoalesce = \"all\"\n"
            )
        })
        .collect();
    for schedule in schedules(&jobs, clock.now()) {
        beneath.put(schedule, Conflict::Fail, clock.now()).await.unwrap();
    }
    let faulty = Arc::new(Faulty::new(Arc::clone(&beneath)));
    let store: Arc<dyn Store> = Arc::<Faulty>::clone(&faulty);
    let hello = HostInfo::named("test");
    let session = store.attach(hello, clock.now()).await.unwrap().session;

    let key = PluginKey { tenant: "default".parse().unwrap(), plugin: "noop".parse().unwrap() };
    let entry = Entry {
        key,
        file: "noop.wasm".into(),
        about: Some(plugin.about.clone()),
        state: State::Active(plugin),
        loaded_at: clock.now(),
    };
    let catalog = watch::channel(Arc::new(Catalog::default().with(entry))).1;
    let (claims_sender, claims) = mpsc::channel(16);
    let (stop_executor, executor_stop) = watch::channel(Stop::No);
    let (jobs, status) = (Arc::new(JobCache::default()), Arc::new(Status::default()));
    let slots = Slots::new(16, 4 << 30);
    let executor = Executor {
        store: Arc::clone(&store),
        session: session.clone(),
        engine,
        catalog: catalog.clone(),
        jobs: Arc::clone(&jobs),
        clock: Arc::clone(&clock),
        slots: slots.clone(),
        status: Arc::clone(&status),
        live: Arc::new(Live::default()),
        queues: Arc::new([QueueName::default()].into()),
    };
    let (stop, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(Wake::default()));
    let scheduler = Scheduler {
        store,
        session,
        clock: Arc::clone(&clock),
        jobs: Arc::clone(&jobs),
        catalog,
        slots,
        queues: Arc::new([QueueName::default()].into()),
        claims: claims_sender,
        status,
        wake: Arc::clone(&wake),
        stop: Arc::clone(&stop),
    };
    let executor = tokio::spawn(executor.run(claims, executor_stop));
    let scheduler = std::thread::spawn(move || scheduler.run());

    let done = || {
        let beneath = Arc::clone(&beneath);
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async { beneath.health().await.unwrap() })
        })
    };
    eventually("faults, and runs in spite of them", || {
        let faults = faulty.faults.load(Ordering::Relaxed);
        (faults >= 20 && done().done_runs >= 50).then_some(())
    });
    faulty.broken.store(false, Ordering::Relaxed);
    let before = done().done_runs;
    eventually("more runs", || (done().done_runs >= before + 20).then_some(()));
    stop.store(true, Ordering::Release);
    wake.call();
    tokio::task::block_in_place(|| scheduler.join().unwrap());
    eventually("all runs to end", || (done().live_runs == 0).then_some(()));
    stop_executor.send_replace(Stop::Drain);
    executor.await.unwrap();

    for number in 0..5 {
        let name = format!("j{number}").parse().unwrap();
        let key = campanile::job::JobKey { tenant: "default".parse().unwrap(), job: name };
        let schedule = beneath.get(&key).await.unwrap().unwrap();
        let page = Page { limit: 1_000, cursor: None };
        let ledger = beneath.ledger(&key, LedgerFilter::default(), page).await.unwrap();
        assert!(ledger.next_cursor.is_none());
        let job = jobs.get(&schedule).unwrap();
        let window = schedule.accounted_from.unwrap()..schedule.cursor.unwrap();
        let anchor = schedule.trigger_state.anchor;
        let fault = audit(job.trigger.as_ref().unwrap(), anchor, window, &ledger.items, &[]);
        assert_eq!(fault, None, "{key}: {:#?}", ledger.items);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_jobs_that_are_due_in_one_second_are_all_fired() {
    const JOBS: usize = 100_000;
    let noon = Timestamp::parse("2026-01-01T12:00:00Z").unwrap();
    let clock = Arc::new(ManualClock::at(noon));
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::memory());
    let text = "[jobs.j]\nplugin = \"p\"\ntrigger = \"cron 0 13 * * *\"\n";
    let [one] = schedules(text, noon).try_into().unwrap();
    for number in 0..JOBS {
        let mut schedule = one.clone();
        schedule.key.job = format!("j{number}").parse().unwrap();
        store.put(schedule, Conflict::Fail, noon).await.unwrap();
    }
    let hello = HostInfo::named("test");
    let session = store.attach(hello, noon).await.unwrap().session;
    let scheduler = Scheduler {
        store: Arc::clone(&store),
        session,
        clock: Arc::<ManualClock>::clone(&clock),
        jobs: Arc::new(JobCache::default()),
        catalog: watch::channel(Arc::new(Catalog::default())).1,
        slots: Slots::new(1, 1 << 30),
        queues: Arc::new([QueueName::default()].into()),
        claims: mpsc::channel(1).0,
        status: Arc::new(Status::default()),
        wake: Arc::new(Wake::default()),
        stop: Arc::new(AtomicBool::new(false)),
    };
    assert_eq!(scheduler.pass().await.unwrap(), Some(noon.after(Duration::from_secs(3_600))));
    assert_eq!(store.health().await.unwrap().live_runs, 0);
    clock.set(noon.after(Duration::from_secs(3_600)));
    // Their plugin is missing: next, in ten minutes, they are given up.
    let given_up = Duration::from_secs(3_600 + 600) + Duration::from_micros(1);
    assert_eq!(scheduler.pass().await.unwrap(), Some(noon.after(given_up)));
    assert_eq!(store.health().await.unwrap().live_runs, JOBS as u64);
    clock.set(noon.after(given_up));
    let tomorrow = noon.after(Duration::from_secs(25 * 3_600));
    assert_eq!(scheduler.pass().await.unwrap(), Some(tomorrow));
    let health = store.health().await.unwrap();
    assert_eq!((health.live_runs, health.done_runs), (0, JOBS as u64));
}
