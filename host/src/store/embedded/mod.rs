//! The stores inside the host: in memory, and in one SQLite file.
//!
//! Both are one [`Core`] that decides, and a backend that keeps what it decided. Memory keeps it
//! under one mutex; SQLite hands each step to the one thread that writes, which commits many of them
//! together and only then answers (`sqlite`). One process schedules on such a store.

pub(in crate::store) mod aging;
pub(in crate::store) mod belongings;
mod calls;
pub(in crate::store) mod export;
pub(in crate::store) mod kept;
mod memory;
pub mod sqlite;

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use self::kept::Kept;
use self::memory::{Memory, Sight};
use self::sqlite::Sqlite;
use self::sqlite::readers::Readers;
use self::sqlite::writer::Turn;
use super::Result;
use super::core::effects::Effects;
use super::core::{Core, Past};
use super::error::StoreError;
use crate::record::step::Change;
use crate::record::{Caps, Durability};
use crate::run::id::Id128;

/// Changes that a slow listener may be behind before it misses some.
pub const CHANGES_KEPT: usize = 4_096;

/// A store inside the host.
pub struct EmbeddedStore {
    backend: Backend,
    caps: Caps,
    changes: broadcast::Sender<Change>,
    /// Grows with each write of a document that hosts follow, when it is decided; nobody else writes any.
    doc_mark: Arc<AtomicU64>,
    /// Where the ids of schedules and sessions come from.
    fresh_id: Box<dyn Fn() -> Id128 + Send + Sync>,
}

/// Who may be at work on a file that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// A host.
    AHost,
    /// Nobody.
    Nobody,
}

enum Backend {
    Memory(Box<Mutex<InMemory>>),
    Sqlite(Sqlite),
    /// A file that somebody else may be writing to.
    ReadOnly(Readers),
}

#[derive(Default)]
struct InMemory {
    core: Core,
    memory: Memory,
    /// Empty between steps; kept for its room.
    effects: Effects,
}

impl EmbeddedStore {
    /// A store that is gone with the process.
    pub fn memory() -> Self {
        let caps =
            Caps { name: "memory".to_owned(), shared: false, durability: Durability::Volatile };
        Self::new(Backend::Memory(Box::default()), caps, broadcast::channel(CHANGES_KEPT).0)
    }

    /// Opens the file at `path`, or makes it. Survives loss of power.
    ///
    /// # Errors
    ///
    /// `Denied` while another process schedules on it; `Incompatible` when a newer host wrote it, or
    /// another program; `Corrupt` when it is damaged: it is left as it is; `Unavailable` when it
    /// can't be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let changes = broadcast::channel(CHANGES_KEPT).0;
        let sqlite = Sqlite::open(path, changes.clone())?;
        Ok(Self::new(Backend::Sqlite(sqlite), caps_of_file(path), changes))
    }

    /// Opens the file at `path` to look at it, whether a host runs on it or none. Sees what is
    /// committed; refuses every step with `Denied`, and tells no changes.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open); a file that is not there is `Unavailable`.
    pub fn open_read_only(path: &Path) -> Result<Self> {
        let readers = sqlite::open_read_only(path)?;
        let changes = broadcast::channel(CHANGES_KEPT).0;
        Ok(Self::new(Backend::ReadOnly(readers), caps_of_file(path), changes))
    }

    /// Opens the file at `path` as it is at this instant, whatever is written to it later; with
    /// [`Beside::Nobody`] no host can start on it as long as it is open.
    ///
    /// # Errors
    ///
    /// As for [`open_read_only`](Self::open_read_only); `Denied` when a host is there that may not.
    pub fn open_snapshot(path: &Path, beside: Beside) -> Result<Self> {
        let readers = sqlite::open_snapshot(path, beside)?;
        let changes = broadcast::channel(CHANGES_KEPT).0;
        Ok(Self::new(Backend::ReadOnly(readers), caps_of_file(path), changes))
    }

    /// Writes a whole copy of the file at `path` to the new file `to`, whether a host runs on it or
    /// none. The copy is a store itself.
    ///
    /// # Errors
    ///
    /// `Denied` when there is a file at `to`; as for [`open_read_only`](Self::open_read_only);
    /// `Full` or `Unavailable` when the copy can't be written: then there is none.
    pub fn backup(path: &Path, to: &Path) -> Result<()> {
        sqlite::backup::backup(path, to)
    }

    /// The same store, with ids that the caller chooses: for tests and simulations, which are to
    /// come out the same again.
    pub fn with_ids(self, fresh_id: impl Fn() -> Id128 + Send + Sync + 'static) -> Self {
        Self { fresh_id: Box::new(fresh_id), ..self }
    }

    /// A file with no room for more than `pages`: as on a full disk.
    #[cfg(test)]
    pub(in crate::store) fn open_bounded(path: &Path, pages: u32) -> Result<Self> {
        let changes = broadcast::channel(CHANGES_KEPT).0;
        let sqlite = Sqlite::open_bounded(path, changes.clone(), pages)?;
        Ok(Self::new(Backend::Sqlite(sqlite), caps_of_file(path), changes))
    }

    fn new(backend: Backend, caps: Caps, changes: broadcast::Sender<Change>) -> Self {
        Self { backend, caps, changes, doc_mark: Arc::default(), fresh_id: Box::new(Id128::fresh) }
    }

    /// Takes one step: decides, keeps, tells, answers.
    async fn step<T, F>(&self, decide: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Core, &dyn Past, &mut Effects) -> Result<T> + Send + 'static,
    {
        self.step_in(Turn::AsItCame, decide).await
    }

    /// The same, when it is its turn.
    async fn step_in<T, F>(&self, turn: Turn, decide: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Core, &dyn Past, &mut Effects) -> Result<T> + Send + 'static,
    {
        match &self.backend {
            Backend::Memory(state) => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let InMemory { core, memory, effects } = &mut *state;
                let answer = decide(core, memory, effects);
                effects.writes.drain(..).for_each(|write| memory.apply(write));
                let is_heard = 0 < self.changes.receiver_count();
                for change in effects.changes.drain(..).filter(|_| is_heard) {
                    // Nobody listens any more: then nobody misses it.
                    let _ = self.changes.send(change);
                }
                answer
            }
            Backend::Sqlite(sqlite) => sqlite.writer.step(turn, decide).await,
            Backend::ReadOnly(_) => {
                Err(StoreError::Denied(format!("`{}` is open to be read only", self.caps.name)))
            }
        }
    }

    /// Reads what is kept.
    async fn read<T, F>(&self, look: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Kept) -> Result<T> + Send + 'static,
    {
        match &self.backend {
            Backend::Memory(state) => {
                let state = state.lock().unwrap_or_else(PoisonError::into_inner);
                look(&Sight { core: &state.core, memory: &state.memory })
            }
            Backend::Sqlite(sqlite) => sqlite.readers.read(look).await,
            Backend::ReadOnly(readers) => readers.read(look).await,
        }
    }

    /// Why it takes no writes.
    fn problem(&self) -> Option<String> {
        match &self.backend {
            Backend::Memory(_) => None,
            Backend::Sqlite(sqlite) => sqlite.writer.problem(),
            Backend::ReadOnly(_) => Some("it is open to be read only".to_owned()),
        }
    }
}

fn caps_of_file(path: &Path) -> Caps {
    Caps {
        name: format!("sqlite:{}", path.display()),
        shared: false,
        durability: Durability::Power,
    }
}
