//! The threads that read, so that a long page holds up neither the writer nor a task.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::super::kept::Kept;
use super::file::{self, Lock};
use super::reader::Reader;
use crate::store::Result;
use crate::store::error::StoreError;

/// Threads that read, each with a connection of its own.
pub const READERS: usize = 2;
/// Questions that may wait; further callers wait to ask theirs.
pub const MAX_WAITING: usize = 256;

type Question = Box<dyn FnOnce(&Reader) + Send>;

/// The threads, from outside.
pub(in crate::store::embedded) struct Readers {
    questions: Option<mpsc::Sender<Question>>,
    threads: Vec<JoinHandle<()>>,
    /// Held where nobody else may work on what is read.
    _lock: Option<Lock>,
}

impl Readers {
    pub(in crate::store::embedded) fn start(path: &Path) -> Result<Self> {
        let connections: Result<Vec<Connection>> =
            (0..READERS).map(|_| file::open_to_read(path)).collect();
        Self::over(connections?, path, None)
    }

    /// One thread, to which the file stays as it is now.
    pub(super) fn still(path: &Path, lock: Option<Lock>) -> Result<Self> {
        let connection = file::open_to_read(path)?;
        // A transaction sees what there is when it reads first.
        connection
            .execute_batch("BEGIN; SELECT count(*) FROM meta;")
            .map_err(super::fault::fault)?;
        Self::over(vec![connection], path, lock)
    }

    fn over(connections: Vec<Connection>, path: &Path, lock: Option<Lock>) -> Result<Self> {
        let (questions, waiting) = mpsc::channel::<Question>(MAX_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut readers = Self { questions: Some(questions), threads: Vec::new(), _lock: lock };
        for (number, connection) in connections.into_iter().enumerate() {
            let reader = Reader(connection);
            let waiting = Arc::clone(&waiting);
            let thread = thread::Builder::new()
                .name(format!("store-reader-{number}"))
                .spawn(move || {
                    while let Some(question) = next(&waiting) {
                        question(&reader);
                    }
                })
                .map_err(|error| {
                    StoreError::Unavailable(format!("cannot read `{}`: {error}", path.display()))
                })?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Asks one of the threads.
    pub(in crate::store::embedded) async fn read<T, F>(&self, look: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Kept) -> Result<T> + Send + 'static,
    {
        let gone = || StoreError::Unavailable("the threads that read have ended".into());
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |reader| {
            // A caller that went away wants no answer.
            let _ = reply.send(look(reader));
        });
        let questions = self.questions.as_ref().ok_or_else(gone)?;
        questions.send(question).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The next question; one thread at a time waits for it.
fn next(waiting: &Mutex<mpsc::Receiver<Question>>) -> Option<Question> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

impl Drop for Readers {
    fn drop(&mut self) {
        drop(self.questions.take());
        for thread in self.threads.drain(..) {
            // A panic in the thread was already printed by the panic hook.
            let _ = thread.join();
        }
    }
}
