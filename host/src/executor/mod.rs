//! Runs what is queued: takes runs while slots are free, gives each a fresh instance, and tells the
//! store how it ended.
//!
//! ```text
//! store --acquire--> claim --engine.run--> report --finish--> store
//! scheduler --claim (made and taken in one step)--^
//! ```
//!
//! Decides nothing about schedules. A store that does not answer is asked again until it does: a
//! run that ended is never forgotten. [`beat`] keeps the session alive that the runs are held by.

pub mod attempt;
pub mod beat;
mod follow;
pub mod live;
pub mod slots;
mod trial;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::catalog::Catalog;
use crate::catalog::intake::Intake;
use crate::catalog::jobs::JobCache;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::services::Desk;
use crate::job::names::QueueName;
use crate::lease::cell::{Held, SessionCell};
use crate::record::step::{Acquire, Change, Claim};
use crate::status::{Asker, Status};
use crate::store::Store;
use live::Live;
use slots::{Slot, Slots};

/// How long the executor waits at most before it looks for work that nobody told it of.
const POLL: Duration = Duration::from_secs(1);

/// How long it waits at least, when what waits may not fit, before it looks once more: each look
/// costs the store a step.
const SHORT_PAUSE: Duration = Duration::from_millis(10);

/// What a host's executor needs. Its fields are its whole surface.
#[derive(Clone)]
pub struct Executor {
    /// Where runs come from and go to.
    pub store: Arc<dyn Store>,
    /// The session that owns the runs.
    pub session: Arc<SessionCell>,
    /// The sandbox.
    pub engine: Arc<Engine>,
    /// The plugins that are here.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// Where it tells how new versions do; `None`: nobody asks.
    pub intake: Option<Arc<Intake>>,
    /// Jobs as values.
    pub jobs: Arc<JobCache>,
    /// What time it is.
    pub clock: SharedClock,
    /// How much runs at once.
    pub slots: Slots,
    /// Where it says how it is.
    pub status: Arc<Status>,
    /// What is under way.
    pub live: Arc<Live>,
    /// The queues that it takes runs from.
    pub queues: Arc<BTreeSet<QueueName>>,
    /// Where secrets stand, and what tenants may give to jobs.
    pub config: watch::Receiver<Arc<Config>>,
    /// What runs may ask of the host.
    pub desk: Arc<Desk>,
}

/// A run that was claimed, with its slot.
pub struct Claimed {
    /// The run.
    pub claim: Claim,
    /// Where it runs.
    pub slot: Slot,
    /// The session that it was claimed by.
    pub held: Arc<Held>,
}

/// How an executor ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It does not.
    No,
    /// It takes nothing more and lets runs end.
    Drain,
    /// It cancels what still runs.
    Now,
}

/// What there may be in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// Runs to be taken as soon as there is room.
    More,
    /// Runs for which there was no room, or none.
    Short,
    /// None.
    Empty,
}

impl Executor {
    /// Runs until `stop` says so and everything under way has ended.
    pub async fn run(self, mut claims: mpsc::Receiver<Claimed>, mut stop: watch::Receiver<Stop>) {
        // One pointer for all attempts: they come and go very often.
        let executor = Arc::new(self);
        let mut attempts = JoinSet::new();
        let mut changes = executor.store.watch();
        let mut drain = false;
        let mut queue = Queue::More;
        let look = tokio::time::sleep(POLL);
        tokio::pin!(look);
        loop {
            if *stop.borrow_and_update() == Stop::Now {
                executor.cancel_all("the host shut down before it ended");
            }
            if !drain && *stop.borrow() != Stop::No {
                drain = true;
                executor.leave_unstarted(&mut claims).await;
            }
            if queue == Queue::More && !drain {
                queue = executor.take_queued(&mut attempts, &stop).await;
                look.as_mut().reset(Instant::now() + POLL);
            }
            executor.status.set_running(attempts.len());
            if drain && attempts.is_empty() {
                break;
            }
            tokio::select! {
                Some(ended) = attempts.join_next() => if let Err(error) = ended {
                    warn!(%error, "an attempt's task did not end in order");
                },
                Some(claimed) = claims.recv(), if !drain => {
                    executor.spawn(&mut attempts, claimed, &stop);
                    while let Ok(claimed) = claims.try_recv() {
                        executor.spawn(&mut attempts, claimed, &stop);
                    }
                }
                () = executor.news(&mut changes) => queue = Queue::More,
                () = executor.slots.freed(), if queue != Queue::Empty => {
                    let soon = Instant::now() + SHORT_PAUSE;
                    if soon < look.deadline() {
                        look.as_mut().reset(soon);
                    }
                }
                _ = stop.changed() => (),
                () = &mut look => {
                    queue = Queue::More;
                    look.as_mut().reset(Instant::now() + POLL);
                }
            }
            while let Some(ended) = attempts.try_join_next() {
                if let Err(error) = ended {
                    warn!(%error, "an attempt's task did not end in order");
                }
            }
        }
    }

    /// Takes queued runs that there is room for. Answers what may be left.
    async fn take_queued(
        self: &Arc<Self>,
        attempts: &mut JoinSet<()>,
        stop: &watch::Receiver<Stop>,
    ) -> Queue {
        let mut is_any = false;
        loop {
            let held = self.session.current();
            if !held.lease.holds() {
                return Queue::More;
            }
            let Some(offer) = self.slots.offer() else { return Queue::More };
            let classes = self.catalog.borrow().classes();
            let queues = Arc::clone(&self.queues);
            let want = Acquire { room: offer.room().clone(), queues, classes };
            let claims = match self.store.acquire(&held.session, want, self.clock.now()).await {
                Ok(claims) => {
                    self.status.store_works(Asker::Executor);
                    claims
                }
                Err(error) => {
                    let so = "the store gave no runs; looking again soon";
                    self.status.store_failed(Asker::Executor, &error, so);
                    Vec::new()
                }
            };
            if claims.is_empty() {
                return match (offer.room().is_short(), is_any) {
                    (false, _) => Queue::Empty,
                    (true, false) => Queue::Short,
                    (true, true) => Queue::More,
                };
            }
            is_any = true;
            for claim in claims {
                let slot = offer.slot(&claim.run.tenant, claim.run.memory);
                self.spawn(attempts, Claimed { claim, slot, held: Arc::clone(&held) }, stop);
            }
        }
    }

    fn spawn(
        self: &Arc<Self>,
        attempts: &mut JoinSet<()>,
        mut claimed: Claimed,
        stop: &watch::Receiver<Stop>,
    ) {
        let (run, fence) = (claimed.claim.run.key(), claimed.claim.fence);
        if claimed.held.lease.is_over() {
            debug!(%run, "was claimed by a session that is over");
            return;
        }
        if !self.live.begin(&run, fence) {
            debug!(%run, "this attempt is under way already");
            return;
        }
        let (executor, stop) = (Arc::clone(self), stop.clone());
        attempts.spawn(async move {
            executor.attempt(&mut claimed, stop).await;
            executor.live.end(&run, fence);
            drop(claimed.slot);
        });
    }

    /// Hands back runs that were claimed and have not begun. Nothing more can be claimed.
    async fn leave_unstarted(&self, claims: &mut mpsc::Receiver<Claimed>) {
        claims.close();
        while let Ok(claimed) = claims.try_recv() {
            self.hand_back(&claimed.claim, &claimed.held, Duration::ZERO).await;
        }
    }

    /// Waits for news that concerns an executor.
    async fn news(&self, changes: &mut tokio::sync::broadcast::Receiver<Change>) {
        use tokio::sync::broadcast::error::RecvError;
        loop {
            match changes.recv().await {
                Ok(Change::Queued) | Err(RecvError::Lagged(_)) => return,
                Ok(Change::Cancel(run)) => self.live.cancel(&run, "cancelled by request"),
                Ok(Change::Job(_) | Change::Fired(_) | Change::Run(_)) => (),
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    fn cancel_all(&self, why: &str) {
        for (_, _, control) in self.live.running() {
            // Its grace is over: the drain was it.
            control.force(why);
        }
    }
}
