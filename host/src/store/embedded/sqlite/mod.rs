//! What is kept, in one SQLite file. The names of its tables and columns are for people too.
//!
//! One thread writes (`writer`), a few read (`readers`); which rows stand for a record is in `rows`,
//! and nothing outside this folder knows SQL.

mod age;
pub(super) mod backup;
mod batch;
mod fault;
pub mod file;
mod load;
mod moving;
mod reader;
pub mod readers;
mod rows;
mod used;
pub mod writer;

use std::path::Path;

use rusqlite::Connection;
use tokio::sync::broadcast;

use self::file::Lock;
use self::readers::Readers;
use self::writer::Writer;
use super::Beside;
use crate::record::step::Change;
use crate::store::Result;

/// An open file, to be written and read.
pub(super) struct Sqlite {
    pub(super) readers: Readers,
    // Dropped last, so that the connection that may tidy up the file is the last one on it.
    pub(super) writer: Writer,
}

impl Sqlite {
    /// Opens or makes the store at `path`; this process is the only one that schedules on it.
    pub(super) fn open(path: &Path, changes: broadcast::Sender<Change>) -> Result<Self> {
        let lock = Lock::take(path)?;
        Self::start(file::open_to_write(path)?, lock, path, changes)
    }

    /// The same, with no room for more than `pages`: as on a full disk.
    #[cfg(test)]
    pub(super) fn open_bounded(
        path: &Path,
        changes: broadcast::Sender<Change>,
        pages: u32,
    ) -> Result<Self> {
        let lock = Lock::take(path)?;
        let connection = file::open_to_write(path)?;
        connection.pragma_update(None, "max_page_count", pages).map_err(fault::fault)?;
        Self::start(connection, lock, path, changes)
    }

    fn start(
        connection: Connection,
        lock: Lock,
        path: &Path,
        changes: broadcast::Sender<Change>,
    ) -> Result<Self> {
        let writer = Writer::start(connection, lock, path, changes)?;
        let readers = Readers::start(path)?;
        Ok(Self { readers, writer })
    }
}

/// Opens the store at `path` only to read it.
pub(super) fn open_read_only(path: &Path) -> Result<Readers> {
    Readers::start(path)
}

/// The same, as it is now.
pub(super) fn open_snapshot(path: &Path, beside: Beside) -> Result<Readers> {
    // First, so that no lock is left where there is no store.
    drop(file::open_to_read(path)?);
    let lock = match beside {
        Beside::AHost => None,
        Beside::Nobody => Some(Lock::take(path)?),
    };
    Readers::still(path, lock)
}
