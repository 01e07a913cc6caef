//! Fires what is due, on time, on a thread of its own.
//!
//! ```text
//! loop: store --due(now)--> schedules --plan_fires--> intents --fire--> store
//!         claimed runs --> executor        then park until the next one is due, or somebody wakes it
//! ```
//!
//! Each pass asks the store, decides with the pure rules of `schedule`, and tells the store. A store
//! that fails means a pause and another try, never the end of the loop (rule A19).

pub mod housekeeping;
mod pass;
mod unserved;
pub mod wake;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::warn;

use crate::catalog::fleet::Fleet;
use crate::catalog::jobs::JobCache;
use crate::clock::SharedClock;
use crate::executor::Claimed;
use crate::executor::slots::Slots;
use crate::job::names::QueueName;
use crate::lease::cell::SessionCell;
use crate::status::{Asker, Status};
use crate::store::Store;
use crate::time::Timestamp;
use wake::Wake;

/// The thread sleeps no longer than this: a clock that was stepped forward is noticed in time.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// The pause after a store that failed.
const STORE_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// A difference between the clocks that is worth a line in the log.
const CLOCK_STEP: Duration = Duration::from_secs(2);

/// What a host's scheduler needs. Its fields are its whole surface.
pub struct Scheduler {
    /// Where schedules are.
    pub store: Arc<dyn Store>,
    /// The session that fires.
    pub session: Arc<SessionCell>,
    /// What time it is.
    pub clock: SharedClock,
    /// Jobs as values.
    pub jobs: Arc<JobCache>,
    /// The plugins that are here, and those that other hosts serve.
    pub fleet: Fleet,
    /// Slots that a run may be given in the step that makes it.
    pub slots: Slots,
    /// The queues whose runs may be.
    pub queues: Arc<BTreeSet<QueueName>>,
    /// Where claimed runs go. Bounded: a full executor slows the scheduler down.
    pub claims: mpsc::Sender<Claimed>,
    /// Where it says how it is.
    pub status: Arc<Status>,
    /// What wakes it before its time.
    pub wake: Arc<Wake>,
    /// Set when it is to end.
    pub stop: Arc<AtomicBool>,
}

impl Scheduler {
    /// Runs on the calling thread until `stop` is set.
    pub fn run(self) {
        self.wake.sleeper_is_this_thread();
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                self.status.store_failed(Asker::Scheduler, &error, "the scheduler can't start");
                return;
            }
        };
        let mut watcher = ClockWatcher::new(self.clock.now());
        let housekeeping = housekeeping::Housekeeping::start(&self);
        if let Err(error) = &housekeeping {
            warn!(%error, "nothing will be forgotten, and no run given up: no thread for that");
        }
        while !self.stop.load(Ordering::Acquire) {
            watcher.look(self.clock.now());
            let done = match self.status.paused() {
                // It looks at nothing, as if the host were down, and lives all the same.
                Some(_) => {
                    self.status.passed(self.clock.now(), None);
                    Ok(None)
                }
                None => runtime.block_on(self.pass()),
            };
            let sleep = match done {
                Ok(next_due) => {
                    let now = self.clock.now();
                    next_due.map_or(LONGEST_SLEEP, |due| due.since(now)).min(LONGEST_SLEEP)
                }
                Err(error) => {
                    let so = "the store gave no answer; trying again soon";
                    self.status.store_failed(Asker::Scheduler, &error, so);
                    STORE_RETRY_PAUSE
                }
            };
            self.wake.sleep(sleep);
        }
    }
}

/// Compares the wall clock with the one that only runs forward.
struct ClockWatcher {
    wall: Timestamp,
    steady: std::time::Instant,
}

impl ClockWatcher {
    fn new(wall: Timestamp) -> Self {
        Self { wall, steady: std::time::Instant::now() }
    }

    /// Says when the wall clock was stepped. Nothing else is done about it: after a step back jobs
    /// wait until the clock passes their cursor, a step forward is lateness like any other (A20).
    fn look(&mut self, wall: Timestamp) {
        let steady = std::time::Instant::now();
        let expected = self.wall.after(steady.duration_since(self.steady));
        let (step, direction) = if wall >= expected {
            (wall.since(expected), "forward")
        } else {
            (expected.since(wall), "back")
        };
        if step > CLOCK_STEP {
            warn!(event = "clock_step", ?step, direction, "the clock was stepped");
        }
        *self = Self { wall, steady };
    }
}
