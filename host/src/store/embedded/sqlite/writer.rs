//! The one thread that decides and writes: many steps, one transaction, then all the answers.
//!
//! A step's answer is given only when what it wrote is on disk. What the scheduler asks goes before
//! what others ask, and a transaction has room for so much only: a fire waits for one that is under
//! way, however many guests and clients want something kept. When a commit fails, nothing of the
//! batch was done: the live state is read again from the file. When the disk itself fails, nothing
//! more is written at all.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{broadcast, mpsc, oneshot};
use tracing::{error, warn};

use super::batch::{Batch, Pending};
use super::fault::{fault, is_disk_failure};
use super::file::Lock;
use super::{load, rows};
use crate::record::step::Change;
use crate::store::Result;
use crate::store::core::effects::Effects;
use crate::store::core::{Core, Past};
use crate::store::error::StoreError;

/// Steps in one transaction at most.
pub const MAX_BATCH: usize = 256;
/// What a transaction writes, beyond what its last step adds, in bytes.
pub const MAX_BATCH_BYTES: usize = 1 << 20;
/// Steps that may wait for each turn; further callers wait to hand theirs in.
pub const MAX_WAITING: usize = 1_024;

/// A step: decides, and hands back how to answer once that is kept, or is not.
type Call = Box<dyn FnOnce(&mut Core, &dyn Past, &mut Effects) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Option<&StoreError>) + Send>;

/// When a step is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::embedded) enum Turn {
    /// Before those that wait: the scheduler's, one at a time.
    Next,
    /// As it came.
    AsItCame,
}

/// The thread, from outside.
pub(in crate::store::embedded) struct Writer {
    callers: Option<Callers>,
    thread: Option<JoinHandle<()>>,
    problem: Arc<Mutex<Option<StoreError>>>,
}

impl Writer {
    /// Reads what is live and starts the thread.
    pub(super) fn start(
        connection: Connection,
        lock: Lock,
        path: &Path,
        changes: broadcast::Sender<Change>,
    ) -> Result<Self> {
        let core = Core::restore(load::load(&connection)?);
        let cannot =
            |error| StoreError::Unavailable(format!("cannot write `{}`: {error}", path.display()));
        let (callers, waiting) = queue().map_err(cannot)?;
        let problem = Arc::default();
        let work = Work {
            core,
            connection,
            _lock: lock,
            changes,
            problem: Arc::clone(&problem),
            refusal: None,
        };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || work.run(waiting))
            .map_err(cannot)?;
        Ok(Self { callers: Some(callers), thread: Some(thread), problem })
    }

    /// Takes one step and waits until it is kept.
    pub(in crate::store::embedded) async fn step<T, F>(&self, turn: Turn, decide: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Core, &dyn Past, &mut Effects) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let call: Call = Box::new(move |core, past, fx| {
            let decided = decide(core, past, fx);
            Box::new(move |failure| {
                let kept = failure.map_or(decided, |failure| Err(failure.clone()));
                // A caller that went away wants no answer.
                let _ = reply.send(kept);
            })
        });
        let Some(callers) = &self.callers else { return Err(gone()) };
        let calls = match turn {
            Turn::Next => &callers.next,
            Turn::AsItCame => &callers.as_they_come,
        };
        calls.send(call).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| {
            Err(StoreError::Unknown("the thread that writes ended before it answered".into()))
        })
    }

    /// Why the last commit failed, or why nothing is written any more.
    pub(in crate::store::embedded) fn problem(&self) -> Option<String> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        problem.as_ref().map(ToString::to_string)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.callers.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was already printed by the panic hook.
            let _ = thread.join();
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the thread that writes has ended".into())
}

/// Where steps are handed in, by their turn.
struct Callers {
    next: mpsc::Sender<Call>,
    as_they_come: mpsc::Sender<Call>,
}

/// The other end of it.
struct Waiting {
    next: mpsc::Receiver<Call>,
    as_they_come: mpsc::Receiver<Call>,
    /// To wait for both at once.
    runtime: tokio::runtime::Runtime,
}

fn queue() -> std::io::Result<(Callers, Waiting)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let (next, next_waiting) = mpsc::channel(MAX_WAITING);
    let (as_they_come, waiting) = mpsc::channel(MAX_WAITING);
    let waiting = Waiting { next: next_waiting, as_they_come: waiting, runtime };
    Ok((Callers { next, as_they_come }, waiting))
}

impl Waiting {
    /// The next call, as soon as there is one; `None` when there will be none any more.
    fn wait(&mut self) -> Option<Call> {
        let (next, as_they_come) = (&mut self.next, &mut self.as_they_come);
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                Some(call) = next.recv() => Some(call),
                Some(call) = as_they_come.recv() => Some(call),
                else => None,
            }
        })
    }

    /// The next call, if there is one.
    fn look(&mut self) -> Option<Call> {
        self.next.try_recv().or_else(|_| self.as_they_come.try_recv()).ok()
    }
}

/// The thread, from inside.
struct Work {
    core: Core,
    connection: Connection,
    _lock: Lock,
    changes: broadcast::Sender<Change>,
    problem: Arc<Mutex<Option<StoreError>>>,
    /// Once set, every call gets it.
    refusal: Option<StoreError>,
}

impl Work {
    /// Until the store is dropped and every call is answered.
    fn run(mut self, mut waiting: Waiting) {
        while let Some(call) = waiting.wait() {
            self.take(call, &mut waiting);
        }
    }

    /// Decides `call` and what waits by then, commits what they want kept, and answers them.
    fn take(&mut self, call: Call, waiting: &mut Waiting) {
        let (mut batch, mut fx) = (Batch::default(), Effects::default());
        let mut answers = Vec::new();
        let mut next = Some(call);
        while let Some(call) = next {
            let past = Pending { batch: &batch, connection: &self.connection };
            answers.push(call(&mut self.core, &past, &mut fx));
            fx.writes.drain(..).for_each(|write| batch.add(write));
            let has_room = answers.len() < MAX_BATCH && batch.bytes() < MAX_BATCH_BYTES;
            next = has_room.then(|| waiting.look()).flatten();
        }
        let failure = match &self.refusal {
            Some(refusal) => Some(refusal.clone()),
            None if batch.is_empty() => None,
            None => self.commit(&batch).err(),
        };
        for answer in answers {
            answer(failure.as_ref());
        }
        if failure.is_none() {
            for change in fx.changes {
                // Nobody listens any more: then nobody misses it.
                let _ = self.changes.send(change);
            }
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<()> {
        let Err(error) = self.try_commit(batch) else {
            self.note_problem(None);
            return Ok(());
        };
        let is_disk_failure = is_disk_failure(&error);
        let failure = fault(error);
        warn!(%failure, "a commit failed, nothing of it was done");
        let is_damaged = matches!(failure, StoreError::Corrupt(_));
        let answer = if is_disk_failure {
            StoreError::Unknown(format!("the disk failed: {failure}"))
        } else {
            failure.clone()
        };
        if is_disk_failure || is_damaged {
            self.refuse(if is_damaged {
                failure
            } else {
                StoreError::Unavailable(format!(
                    "the disk failed ({failure}), so nothing more is written; check it, then start \
                     the host again"
                ))
            });
        } else {
            self.read_again();
            self.note_problem(Some(failure));
        }
        Err(answer)
    }

    fn try_commit(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        rows::write(&transaction, batch)?;
        transaction.commit()
    }

    /// Throws away what was decided but not kept.
    fn read_again(&mut self) {
        match load::load(&self.connection) {
            Ok(restored) => {
                let mut core = Core::restore(restored);
                core.carry(&self.core);
                self.core = core;
            }
            Err(failure) => self.refuse(failure),
        }
    }

    fn refuse(&mut self, refusal: StoreError) {
        error!(%refusal, "the store takes no more writes");
        self.note_problem(Some(refusal.clone()));
        self.refusal = Some(refusal);
    }

    fn note_problem(&self, problem: Option<StoreError>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::sqlite::file;

    #[tokio::test]
    async fn a_step_of_the_scheduler_goes_before_those_that_wait() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("campanile.db");
        let lock = Lock::take(&path).unwrap();
        let connection = file::open_to_write(&path).unwrap();
        let changes = broadcast::channel(1).0;
        let writer = Writer::start(connection, lock, &path, changes).unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let step = |name: &'static str, turn| {
            let order = Arc::clone(&order);
            writer.step(turn, move |_, _, _| {
                order.lock().unwrap().push(name);
                Ok(())
            })
        };
        let (go_on, held) = std::sync::mpsc::channel();
        let first = writer.step(Turn::AsItCame, move |_, _, _| {
            held.recv().unwrap();
            Ok(())
        });
        let done = tokio::join!(
            first,
            step("a run's end", Turn::AsItCame),
            step("a log", Turn::AsItCame),
            step("what is due", Turn::Next),
            async { go_on.send(()).unwrap() },
        );
        assert!(done.0.is_ok() && done.1.is_ok() && done.2.is_ok() && done.3.is_ok());
        assert_eq!(*order.lock().unwrap(), ["what is due", "a run's end", "a log"]);
    }
}
