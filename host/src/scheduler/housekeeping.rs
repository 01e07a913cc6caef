//! What is done now and then beside firing: verdicts for runs that waited too long for their
//! plugin, and forgetting what need not be kept.
//!
//! On a thread of its own beside the scheduler's, so that no fire waits for it. One step of trimming
//! is small, because the store does one thing at a time: while more is to go, steps follow fast.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::debug;

use super::Scheduler;
use super::unserved::{Lookout, patience};
use crate::clock::SharedClock;
use crate::job::History;
use crate::record::step::Retention;
use crate::schedule::served::Unserved;
use crate::status::{Asker, Status};
use crate::store::{Result, Store};

/// How often runs that wait for a plugin are looked at.
const WAITING_EVERY: Duration = Duration::from_secs(1);
/// How often the store is trimmed while there is little to forget.
const TRIM_EVERY: Duration = Duration::from_millis(500);
/// How soon it is trimmed again while there is more.
const TRIM_SOON: Duration = Duration::from_millis(50);
/// The pause after a store that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// Records trimmed in one step.
const TRIM_BUDGET: usize = 64;
/// What is kept beside what each job says of itself (rule A8).
const KEEP: Retention = Retention {
    removed: History { keep: 100, max_age: Duration::from_hours(30 * 24) },
    max_entries: 100_000,
};

/// The thread that does it, from outside. Ends with this, which waits for the step under way.
pub struct Housekeeping {
    /// Dropped to end the thread.
    go_on: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Housekeeping {
    /// Starts the thread for what `scheduler` schedules on.
    ///
    /// # Errors
    ///
    /// The system has no thread to give.
    pub(super) fn start(scheduler: &Scheduler) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let lookout = Lookout {
            store: Arc::clone(&scheduler.store),
            clock: Arc::clone(&scheduler.clock),
            jobs: Arc::clone(&scheduler.jobs),
            status: Arc::clone(&scheduler.status),
            fleet: scheduler.fleet.clone(),
            unserved: Unserved::new(patience(scheduler.session.term().ttl())),
        };
        let keeper = Keeper {
            store: Arc::clone(&scheduler.store),
            clock: Arc::clone(&scheduler.clock),
            status: Arc::clone(&scheduler.status),
            lookout,
            waiting: None,
        };
        let (go_on, ended) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("housekeeping".to_owned())
            .spawn(move || keeper.run(&runtime, &ended))?;
        Ok(Self { go_on: Some(go_on), thread: Some(thread) })
    }
}

impl Drop for Housekeeping {
    fn drop(&mut self) {
        drop(self.go_on.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was already printed by the panic hook.
            let _ = thread.join();
        }
    }
}

/// The thread, from inside.
struct Keeper {
    store: Arc<dyn Store>,
    clock: SharedClock,
    status: Arc<Status>,
    lookout: Lookout,
    /// When runs that wait for a plugin were looked at last.
    waiting: Option<Instant>,
}

impl Keeper {
    /// Until the other end of `ended` is dropped.
    fn run(mut self, runtime: &tokio::runtime::Runtime, ended: &mpsc::Receiver<()>) {
        let mut pause = Duration::ZERO;
        while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            pause = match runtime.block_on(self.step()) {
                Ok(pause) => {
                    self.status.store_works(Asker::Housekeeping);
                    pause
                }
                Err(error) => {
                    let so = "the store could not be tidied; trying again soon";
                    self.status.store_failed(Asker::Housekeeping, &error, so);
                    FAILED_PAUSE
                }
            };
        }
    }

    /// Does what it is time for. Answers how long to wait before the next step.
    async fn step(&mut self) -> Result<Duration> {
        if is_time(&mut self.waiting, WAITING_EVERY) {
            self.lookout.look().await?;
        }
        let trimmed = self.store.trim(KEEP, TRIM_BUDGET, self.clock.now()).await?;
        if 0 < trimmed.records + trimmed.bodies {
            debug!(records = trimmed.records, bodies = trimmed.bodies, "trimmed");
        }
        Ok(if trimmed.more { TRIM_SOON } else { TRIM_EVERY })
    }
}

fn is_time(last: &mut Option<Instant>, every: Duration) -> bool {
    let now = Instant::now();
    let time = last.is_none_or(|last| now.duration_since(last) >= every);
    if time {
        *last = Some(now);
    }
    time
}
