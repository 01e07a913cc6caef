//! The same hundred jobs through the simulation and through the scheduler's own thread, whose clock
//! is moved in step: one ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, watch};

use super::{at, key, scenario, simulated};
use crate::catalog::Catalog;
use crate::catalog::fleet::Fleet;
use crate::catalog::jobs::JobCache;
use crate::clock::{ManualClock, SharedClock};
use crate::executor::Claimed;
use crate::executor::slots::{Slot, Slots};
use crate::job::names::QueueName;
use crate::lease::cell::{Held, SessionCell};
use crate::record::HostInfo;
use crate::record::query::{Page, RunFilter};
use crate::record::step::{Acquire, AttemptEnd, Change, Claim};
use crate::run::RunState;
use crate::run::outcome::Outcome;
use crate::run::usage::Usage;
use crate::schedule::retry::{Ended, next_attempt};
use crate::scheduler::Scheduler;
use crate::scheduler::wake::Wake;
use crate::simulate::report::decisions;
use crate::simulate::{Down, RUN_TIME, Scenario, register, store};
use crate::status::Status;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::time::Timestamp;

/// The thread answers within this.
const PATIENCE: Duration = Duration::from_secs(20);

/// A hundred jobs, of every kind of trigger and policy that there is.
fn hundred() -> Scenario {
    let mut text = "timezone = \"Europe/Berlin\"\n[executor]\nmax_running = 9\n".to_owned();
    for n in 0..100_u32 {
        let trigger = match n % 7 {
            0 => format!("every {}m", 5 + n % 40),
            1 => format!("cron {} * * * *", n % 60),
            2 => format!("cron */{} * * * *", 10 + n % 30),
            3 => format!("cron {} {} * * *", n % 60, n % 24),
            4 => format!("at 2026-03-28 {:02}:{:02}:00", 12 + n % 12, n % 60),
            5 => format!("every {}s", 600 + 7 * n),
            _ => format!("cron 30 {}-{} * * *", n % 12, 12 + n % 12),
        };
        let grace = ["none", "10m", "45s", "2h"][(n % 4) as usize];
        let coalesce = ["latest", "all", "earliest", "drop"][(n / 4 % 4) as usize];
        let delivery = ["at_least_once", "at_most_once"][(n / 3 % 2) as usize];
        let overlap = ["skip", "queue", "replace"][(n / 2 % 3) as usize];
        text.push_str(&format!(
            "[jobs.job-{n:02}]\nplugin = \"p{}\"\ntrigger = \"{trigger}\"\n\
             misfire_grace_time = \"{grace}\"\ncoalesce = \"{coalesce}\"\nmax_catchup = 5\n\
             max_instances = {}\ndelivery = \"{delivery}\"\npriority = {}\n\
             plugin_wait = \"20m\"\nlimits = {{ timeout = \"1h\" }}\noverlap = \"{overlap}\"\n\
             retry = {{ max_attempts = {}, backoff = \"90s\" }}\n",
            n % 5,
            1 + n % 3,
            n % 10,
            1 + n / 7 % 2,
        ));
    }
    let mut scenario = scenario(&text, at("2026-03-28T10:00:00Z"), at("2026-03-29T10:00:00Z"));
    for n in 0..100_u64 {
        // Some take longer than their timeout, many longer than their period.
        let secs = [1, 1, 1, 20, 400, 1_500, 5_000][(n % 13 % 7) as usize];
        scenario.run_times.insert(key(&format!("job-{n:02}")), Duration::from_secs(secs));
    }
    // The second night hour is skipped: clocks change.
    let down = Down { from: at("2026-03-28T23:17:00Z"), to: at("2026-03-29T02:03:04.5Z") };
    scenario.down = vec![down];
    scenario
}

#[test]
fn the_simulation_and_the_schedulers_thread_give_the_same_verdicts() {
    let mut scenario = hundred();
    scenario.absent.insert(scenario.jobs[4].job.plugin_key());
    let expected = simulated(&scenario).decisions;
    let all = expected.len();
    let of = |word: &str| {
        let verdict = |item: &&super::Decision| super::shown(item).contains(word);
        expected.iter().filter(verdict).count()
    };
    for word in [
        " ran ",
        " misfired ",
        " coalesced ",
        " skipped ",
        " no_plugin ",
        " cancelled ",
        "queue_limit",
        "queued_too_long",
        "abandoned x",
        "timed_out x2",
        "cancelled x",
    ] {
        assert!(0 < of(word), "nothing is {word}");
    }
    assert!(expected.iter().any(|item| item.outcome == Some(Outcome::Abandoned)));
    assert!(expected.iter().any(|item| item.attempt == Some(2)));
    let found = super::runtime().block_on(Tower::watch(&scenario));
    assert_eq!(found.len(), all);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

/// A host's scheduler on its thread, and this thread as its executor.
struct Tower<'a> {
    scenario: &'a Scenario,
    store: Arc<EmbeddedStore>,
    clock: Arc<ManualClock>,
    jobs: Arc<JobCache>,
    catalog: watch::Receiver<Arc<Catalog>>,
    news: broadcast::Receiver<Change>,
    life: Option<Life>,
}

/// From start to death.
struct Life {
    held: Arc<Held>,
    slots: Slots,
    claims: mpsc::Receiver<Claimed>,
    status: Arc<Status>,
    wake: Arc<Wake>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    /// What runs, in the order in which it began, and when it ends.
    under_way: Vec<(Timestamp, Outcome, Claim, Slot)>,
}

impl Tower<'_> {
    /// Runs the scenario step by step.
    async fn watch(scenario: &Scenario) -> Vec<super::Decision> {
        let store = store();
        let needed = scenario.jobs.iter().map(|resolved| resolved.job.plugin_key());
        let here = needed.filter(|plugin| !scenario.absent.contains(plugin));
        let mut tower = Tower {
            scenario,
            store: Arc::clone(&store),
            clock: Arc::new(ManualClock::at(scenario.from)),
            jobs: Arc::new(JobCache::default()),
            catalog: watch::channel(Arc::new(Catalog::of_classes(here))).1,
            news: store.feed(),
            life: None,
        };
        let hello = HostInfo::named("simulated");
        let session = store.attach(hello, scenario.from).await.unwrap().session;
        register(scenario, store.as_ref()).await.unwrap();
        tower.start(session);
        let mut down = scenario.down.iter().copied().peekable();
        let mut now = scenario.from;
        while now < scenario.to {
            if let Some(Down { to, .. }) = down.next_if(|down| down.from <= now) {
                tower.die();
                now = to;
                tower.clock.set(now);
                let hello = HostInfo::named("simulated");
                let session = store.attach(hello, now).await.unwrap().session;
                tower.start(session);
                continue;
            }
            tower.step(now).await;
            let next = [tower.next().await, down.peek().map(|down| down.from)];
            now = next.into_iter().flatten().min().unwrap_or(scenario.to);
        }
        tower.die();
        decisions(store.as_ref()).await.unwrap()
    }

    fn start(&mut self, session: crate::record::Session) {
        let session = Arc::new(SessionCell::unbounded(session));
        let held = session.current();
        let clock: SharedClock = Arc::<ManualClock>::clone(&self.clock);
        let (sender, claims) = mpsc::channel(self.scenario.max_running);
        let (status, wake) = (Arc::new(Status::default()), Arc::new(Wake::default()));
        let (slots, stop) = (Slots::new(self.scenario.max_running, u64::MAX), Arc::default());
        let scheduler = Scheduler {
            store: Arc::<EmbeddedStore>::clone(&self.store),
            session,
            clock,
            jobs: Arc::clone(&self.jobs),
            fleet: Fleet::alone(self.catalog.clone()),
            slots: slots.clone(),
            queues: Arc::new([QueueName::default()].into()),
            claims: sender,
            status: Arc::clone(&status),
            wake: Arc::clone(&wake),
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::spawn(move || scheduler.run());
        let under_way = Vec::new();
        self.life = Some(Life { held, slots, claims, status, wake, stop, thread, under_way });
    }

    fn die(&mut self) {
        let life = self.life.take().unwrap();
        life.stop.store(true, Ordering::Release);
        life.wake.call();
        life.thread.join().unwrap();
    }

    /// What ends by `now` is ended while the scheduler's clock still stands before it.
    async fn step(&mut self, now: Timestamp) {
        self.end_runs(now).await;
        self.clock.set(now);
        let life = self.life.as_mut().unwrap();
        life.wake.call();
        let begin = Instant::now();
        while life.status.last_pass() != now {
            assert!(begin.elapsed() < PATIENCE, "the scheduler does not look at {now}");
            std::thread::yield_now();
        }
        while let Ok(claimed) = self.life.as_mut().unwrap().claims.try_recv() {
            self.begin(claimed, now);
        }
        self.take_queued(now).await;
        while self.end_cancelled(now).await {
            self.take_queued(now).await;
        }
    }

    /// Ends what the store wants cancelled. Answers whether there was such a run.
    async fn end_cancelled(&mut self, now: Timestamp) -> bool {
        let mut is_any = false;
        while let Ok(change) = self.news.try_recv() {
            let Change::Cancel(key) = change else { continue };
            let life = self.life.as_mut().unwrap();
            let mut found =
                life.under_way.extract_if(.., |(_, _, claim, _)| claim.run.key() == key);
            let Some((_, _, claim, _slot)) = found.next() else { continue };
            drop(found);
            let end = ended(Outcome::Cancelled, None);
            self.store.finish(&life.held.session, &key, claim.fence, end, now).await.unwrap();
            is_any = true;
        }
        is_any
    }

    fn begin(&mut self, claimed: Claimed, now: Timestamp) {
        let Claimed { claim, slot, .. } = claimed;
        let job = self.jobs.get(claim.schedule.as_ref().unwrap()).unwrap();
        let run_time = self.scenario.run_times.get(&job.key).copied().unwrap_or(RUN_TIME);
        let (outcome, took) = match job.limits.timeout {
            timeout if timeout < run_time => (Outcome::TimedOut, timeout),
            _ => (Outcome::Succeeded, run_time),
        };
        self.life.as_mut().unwrap().under_way.push((now.after(took), outcome, claim, slot));
    }

    async fn end_runs(&mut self, now: Timestamp) {
        let life = self.life.as_mut().unwrap();
        let mut over: Vec<_> = life.under_way.extract_if(.., |(end, ..)| *end <= now).collect();
        over.sort_by_key(|(end, ..)| *end);
        for (end, outcome, claim, _slot) in over {
            let job = self.jobs.get(claim.schedule.as_ref().unwrap()).unwrap();
            let run = &claim.run;
            let attempts = run.attempt - run.rescues;
            let how = Ended { run: run.id, attempts, outcome, retryable: true };
            let end = ended(outcome, next_attempt(&job.policy.retry, how, end));
            self.store.finish(&life.held.session, &run.key(), claim.fence, end, now).await.unwrap();
        }
    }

    async fn take_queued(&mut self, now: Timestamp) {
        loop {
            let life = self.life.as_mut().unwrap();
            let Some(offer) = life.slots.offer() else { return };
            let classes = self.catalog.borrow().classes();
            let queues = Arc::new([QueueName::default()].into());
            let want = Acquire { room: offer.room().clone(), queues, classes };
            let claims = self.store.acquire(&life.held.session, want, now).await.unwrap();
            if claims.is_empty() {
                return;
            }
            let held = Arc::clone(&life.held);
            for claim in claims {
                let slot = offer.slot(&claim.run.tenant, claim.run.memory);
                self.begin(Claimed { claim, slot, held: Arc::clone(&held) }, now);
            }
        }
    }

    /// When something happens next.
    async fn next(&self) -> Option<Timestamp> {
        let life = self.life.as_ref().unwrap();
        let now = life.status.last_pass();
        let due = self.store.due(&life.held.session, now, 1).await.unwrap();
        assert!(due.schedules.is_empty(), "all that is due at {now} is decided");
        let end = life.under_way.iter().map(|(end, ..)| *end).min();
        let live = RunFilter {
            states: vec![RunState::Queued, RunState::Retrying],
            ..RunFilter::default()
        };
        let waiting = self.store.runs(live, Page { limit: 1_000, cursor: None }).await.unwrap();
        let until = waiting.items.iter().flat_map(|run| {
            let start_by = run.start_by.as_ref();
            [run.not_before, start_by.map(|it| it.at.after(Duration::from_micros(1)))]
        });
        let until = until.flatten().filter(|until| now < *until).min();
        [due.next_due, end, until].into_iter().flatten().min()
    }
}

fn ended(outcome: Outcome, retry_at: Option<Timestamp>) -> AttemptEnd {
    AttemptEnd {
        outcome,
        result: None,
        error: None,
        usage: Usage::default(),
        digest: None,
        progress: None,
        log: Vec::new(),
        retry_at,
    }
}
