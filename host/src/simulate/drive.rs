//! The clock's jumps, and what a host does at each: ends runs, fires, takes what is queued.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, mpsc, watch};

use super::tally::Tally;
use super::under_way::{Attempt, UnderWay};
use super::{Down, RUN_TIME, Scenario};
use crate::catalog::Catalog;
use crate::catalog::fleet::Fleet;
use crate::catalog::jobs::JobCache;
use crate::clock::{ManualClock, SharedClock};
use crate::executor::Claimed;
use crate::executor::slots::Slots;
use crate::lease::cell::SessionCell;
use crate::record::HostInfo;
use crate::record::query::{MAX_PAGE, Page, RunFilter};
use crate::record::step::{Acquire, Change, Pulse};
use crate::run::{Run, RunKey, RunState};
use crate::scheduler::Scheduler;
use crate::scheduler::wake::Wake;
use crate::status::Status;
use crate::store::embedded::EmbeddedStore;
use crate::store::{Result, Store};
use crate::time::Timestamp;

/// A run that may start up to an instant is given up right after it.
const MICRO: Duration = Duration::from_micros(1);

/// Everything but the scenario's end.
pub(super) struct World<'a> {
    scenario: &'a Scenario,
    store: Arc<EmbeddedStore>,
    clock: Arc<ManualClock>,
    jobs: Arc<JobCache>,
    catalog: watch::Receiver<Arc<Catalog>>,
    news: broadcast::Receiver<Change>,
    /// When something happens to runs that wait: a back-off ends, a deadline passes.
    looks: BTreeSet<Timestamp>,
    tally: Tally,
    life: Life,
}

/// One life of the host, from its start to its death.
struct Life {
    scheduler: Scheduler,
    claims: mpsc::Receiver<Claimed>,
    under_way: UnderWay,
}

impl<'a> World<'a> {
    /// A host that has just started, on a store that is empty.
    pub(super) async fn begin(scenario: &'a Scenario, store: Arc<EmbeddedStore>) -> Result<Self> {
        let clock = Arc::new(ManualClock::at(scenario.from));
        let jobs = Arc::new(JobCache::default());
        let needed = scenario.jobs.iter().map(|resolved| resolved.job.plugin_key());
        let here = needed.filter(|plugin| !scenario.absent.contains(plugin));
        // A receiver keeps what was sent last, whoever sent it.
        let catalog = watch::channel(Arc::new(Catalog::of_classes(here))).1;
        let news = store.feed();
        let session = Arc::new(attach(store.as_ref(), scenario.from).await?);
        let shared: SharedClock = Arc::<ManualClock>::clone(&clock);
        let (claims_sender, claims) = mpsc::channel(scenario.max_running.max(1));
        let scheduler = Scheduler {
            store: Arc::<EmbeddedStore>::clone(&store),
            session,
            clock: shared,
            jobs: Arc::clone(&jobs),
            fleet: Fleet::alone(catalog.clone()),
            slots: Slots::new(scenario.max_running, u64::MAX),
            // Whichever host takes them: what is judged is the job.
            queues: Arc::new(scenario.jobs.iter().map(|it| it.job.queue.clone()).collect()),
            claims: claims_sender,
            status: Arc::new(Status::default()),
            wake: Arc::new(Wake::default()),
            stop: Arc::new(AtomicBool::new(false)),
        };
        let life = Life { scheduler, claims, under_way: UnderWay::default() };
        let (looks, tally) = (BTreeSet::new(), Tally::new(scenario.zone));
        Ok(Self { scenario, store, clock, jobs, catalog, news, looks, tally, life })
    }

    /// Goes from event to event until the scenario's end.
    pub(super) async fn run(&mut self) -> Result<()> {
        let mut down = self.scenario.down.iter().copied().peekable();
        let mut now = self.scenario.from;
        while now < self.scenario.to {
            if let Some(Down { to, .. }) = down.next_if(|down| down.from <= now) {
                now = to;
                if now < self.scenario.to {
                    self.restart(now).await?;
                }
                continue;
            }
            let next = self.instant(now).await?;
            let next = [next, down.peek().map(|down| down.from)].into_iter().flatten().min();
            now = next.unwrap_or(self.scenario.to);
        }
        Ok(())
    }

    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }

    /// The host is back: what it held when it died is rescued or abandoned.
    pub(super) async fn restart(&mut self, now: Timestamp) -> Result<()> {
        self.clock.set(now);
        // Their slots are free again.
        self.life.under_way = UnderWay::default();
        self.tally.all_ended();
        self.life.scheduler.session = Arc::new(attach(self.store.as_ref(), now).await?);
        Ok(())
    }

    /// Jumps to `now` and does all that is to be done then. Answers when the next thing happens.
    pub(super) async fn instant(&mut self, now: Timestamp) -> Result<Option<Timestamp>> {
        self.clock.set(now);
        loop {
            self.end_runs(now).await?;
            while self.looks.first().is_some_and(|look| *look <= now) {
                self.looks.pop_first();
            }
            let next_due = self.life.scheduler.pass().await?;
            while let Ok(claimed) = self.life.claims.try_recv() {
                self.begin_run(claimed, now);
            }
            self.take_queued(now).await?;
            self.hear(now).await?;
            let next_end = self.life.under_way.next_end();
            let next_look = self.looks.first().copied();
            let next = [next_due, next_end, next_look].into_iter().flatten().min();
            if next.is_none_or(|next| now < next) {
                return Ok(next);
            }
        }
    }

    async fn end_runs(&mut self, now: Timestamp) -> Result<()> {
        while let Some((_, attempt)) = self.life.under_way.pop_ended(now) {
            self.end_run(attempt, now).await?;
        }
        Ok(())
    }

    async fn end_run(&mut self, attempt: Attempt, now: Timestamp) -> Result<()> {
        let Attempt { claim, end, .. } = &attempt;
        let (held, run) = (self.life.scheduler.session.current(), claim.run.key());
        self.tally.ended(&claim.run.job_key());
        self.looks.extend(end.retry_at);
        self.store.finish(&held.session, &run, claim.fence, end.clone(), now).await.map(drop)
    }

    fn begin_run(&mut self, claimed: Claimed, now: Timestamp) {
        let run = &claimed.claim.run;
        self.tally.began(run, now);
        let run_time = self.scenario.run_times.get(&run.job_key()).copied().unwrap_or(RUN_TIME);
        self.life.under_way.begin(claimed, &self.jobs, run_time, now);
    }

    /// Takes queued runs for the free slots, as the executor does.
    async fn take_queued(&mut self, now: Timestamp) -> Result<()> {
        loop {
            let Some(offer) = self.life.scheduler.slots.offer() else { return Ok(()) };
            let classes = self.catalog.borrow().classes();
            let queues = Arc::clone(&self.life.scheduler.queues);
            let want = Acquire { room: offer.room().clone(), queues, classes };
            let held = self.life.scheduler.session.current();
            let claims = self.store.acquire(&held.session, want, now).await?;
            if claims.is_empty() {
                return Ok(());
            }
            for claim in claims {
                let slot = offer.slot(&claim.run.tenant, claim.run.memory);
                self.begin_run(Claimed { claim, slot, held: Arc::clone(&held) }, now);
            }
        }
    }

    /// Hears what the store tells: which runs to cancel, and which wait for something.
    async fn hear(&mut self, now: Timestamp) -> Result<()> {
        let (mut runs, mut cancels, mut is_queued, mut is_missed) = (vec![], vec![], false, false);
        loop {
            match self.news.try_recv() {
                Ok(Change::Run(run)) => runs.push(run),
                Ok(Change::Cancel(run)) => cancels.push(run),
                Ok(Change::Queued) => is_queued = true,
                Ok(Change::Job(_) | Change::Fired(_)) => (),
                Err(TryRecvError::Lagged(_)) => is_missed = true,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if is_missed {
            runs = self.queued().await?;
            let held = self.life.scheduler.session.current();
            let beat = self.store.beat(&held.session, Pulse::default(), now).await?;
            cancels = beat.cancels.into_iter().map(|(run, _)| run).collect();
        }
        if is_queued || is_missed || self.scenario.puts_off() {
            for run in runs {
                if let Some(run) = self.store.run(&run).await? {
                    self.note_deadline(&run);
                    self.looks.extend(run.not_before.filter(|not_before| now < *not_before));
                }
            }
        }
        for run in cancels {
            if let Some(attempt) = self.life.under_way.pop_cancelled(&run) {
                self.end_run(attempt, now).await?;
                // Its slot may be another's now.
                self.looks.insert(now);
            }
        }
        Ok(())
    }

    async fn queued(&self) -> Result<Vec<RunKey>> {
        let filter = RunFilter { states: vec![RunState::Queued], ..RunFilter::default() };
        let (mut queued, mut cursor) = (Vec::new(), None);
        loop {
            let page = Page { limit: MAX_PAGE, cursor };
            let paged = self.store.runs(filter.clone(), page).await?;
            queued.extend(paged.items.iter().map(Run::key));
            cursor = paged.next_cursor;
            if cursor.is_none() {
                return Ok(queued);
            }
        }
    }

    /// Notes when a run that waits is given up, if nobody takes it before.
    fn note_deadline(&mut self, run: &Run) {
        if run.state == RunState::Queued && run.verdict.is_none() {
            self.looks.extend(run.start_by.as_ref().map(|start_by| start_by.at.after(MICRO)));
        }
    }
}

async fn attach(store: &dyn Store, now: Timestamp) -> Result<SessionCell> {
    let hello = HostInfo::named("simulated");
    Ok(SessionCell::unbounded(store.attach(hello, now).await?.session))
}
