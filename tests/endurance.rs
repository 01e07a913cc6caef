//! The loop goes on: through a store that fails, and through a hundred thousand jobs at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use campanile::catalog::Catalog;
use campanile::catalog::fleet::Fleet;
use campanile::catalog::jobs::JobCache;
use campanile::clock::{ManualClock, SharedClock, SystemClock};
use campanile::executor::slots::Slots;
use campanile::job::names::QueueName;
use campanile::lease::cell::SessionCell;
use campanile::lease::term::Term;
use campanile::record::HostInfo;
use campanile::record::query::{LedgerFilter, Page};
use campanile::record::step::Conflict;
use campanile::schedule::audit::audit;
use campanile::scheduler::Scheduler;
use campanile::scheduler::wake::Wake;
use campanile::status::Status;
use campanile::store::Store;
use campanile::store::embedded::EmbeddedStore;
use campanile::time::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::support::eventually;
use crate::support::faulty::Faulty;
use crate::support::line::{Line, schedules};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_delays_the_loop_and_ends_nothing() {
    let clock: SharedClock = Arc::new(SystemClock);
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
    let (store, faulty) = Faulty::new(Arc::clone(&beneath));
    let mut line = Line::start(store, "noop", Term::UNBOUNDED).await;

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
    line.stop_scheduling();
    eventually("all runs to end", || (done().live_runs == 0).then_some(()));
    let jobs = Arc::clone(&line.jobs);
    line.drain().await;

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
        session: Arc::new(SessionCell::unbounded(session)),
        clock: Arc::<ManualClock>::clone(&clock),
        jobs: Arc::new(JobCache::default()),
        fleet: Fleet::alone(watch::channel(Arc::new(Catalog::default())).1),
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
