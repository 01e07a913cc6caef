//! The one thread that decides and writes: many steps, one transaction, then all the answers.
//!
//! A step's answer is given only when what it wrote is on disk. When a commit fails, nothing of the
//! batch was done: the live state is read again from the file. When the disk itself fails, nothing
//! more is written at all.

use std::collections::VecDeque;
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
/// Steps that may wait; further callers wait to hand theirs in.
pub const MAX_WAITING: usize = 1_024;

/// A step: decides, and hands back how to answer once that is kept, or is not.
type Call = Box<dyn FnOnce(&mut Core, &dyn Past, &mut Effects) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Option<&StoreError>) + Send>;

/// The thread, from outside.
pub(in crate::store::embedded) struct Writer {
    calls: Option<mpsc::Sender<Call>>,
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
        let (calls, waiting) = mpsc::channel(MAX_WAITING);
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
            .map_err(|error| {
                StoreError::Unavailable(format!("cannot write `{}`: {error}", path.display()))
            })?;
        Ok(Self { calls: Some(calls), thread: Some(thread), problem })
    }

    /// Takes one step and waits until it is kept.
    pub(in crate::store::embedded) async fn step<T, F>(&self, decide: F) -> Result<T>
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
        let Some(calls) = &self.calls else { return Err(gone()) };
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
        drop(self.calls.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was already printed by the panic hook.
            let _ = thread.join();
        }
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("the thread that writes has ended".into())
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
    fn run(mut self, mut waiting: mpsc::Receiver<Call>) {
        let mut calls = VecDeque::with_capacity(MAX_BATCH);
        while let Some(call) = waiting.blocking_recv() {
            calls.push_back(call);
            while calls.len() < MAX_BATCH
                && let Ok(call) = waiting.try_recv()
            {
                calls.push_back(call);
            }
            self.take(&mut calls);
        }
    }

    /// Decides all of `calls`, commits what they want kept, and answers them.
    fn take(&mut self, calls: &mut VecDeque<Call>) {
        let (mut batch, mut fx) = (Batch::default(), Effects::default());
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls.drain(..) {
            let past = Pending { batch: &batch, connection: &self.connection };
            answers.push(call(&mut self.core, &past, &mut fx));
            fx.writes.drain(..).for_each(|write| batch.add(write));
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
                core.carry_beats(&self.core);
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
