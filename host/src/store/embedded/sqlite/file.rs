//! The file: whether it is ours and sound, who may write to it, and how it is opened.
//!
//! A file that is damaged, or of a newer format, is refused and left exactly as it is.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::fault::fault;
use super::used;
use crate::store::Result;
use crate::store::error::StoreError;

/// The format that this host writes.
pub const FORMAT: u32 = 1;
/// "CAMP": tells our files from other SQLite files.
pub const APPLICATION_ID: u32 = 0x4341_4d50;
/// Before this, SQLite could damage a file when two connections checkpointed at once.
pub const OLDEST_SQLITE: i32 = 3_051_003;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const WAL_BYTES_KEPT: u32 = 64 << 20;
const WAL_PAGES_TO_CHECKPOINT: u32 = 12_000;
/// Pages that the writing connection keeps in memory; run ids are hashes, so writes go everywhere.
const WRITER_CACHE_KIB: i32 = 4 << 10;
const STATEMENTS_CACHED: usize = 64;
const SCHEMA: &str = include_str!("schema.sql");

/// The right to schedule on a file. Given back when it is dropped, or when the process dies.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held, not used")] File);

impl Lock {
    /// Takes the lock beside `database`.
    pub(super) fn take(database: &Path) -> Result<Self> {
        let path = lock_path(database);
        let shown = path.display();
        let cannot = |error| StoreError::Unavailable(format!("cannot lock `{shown}`: {error}"));
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Denied(format!(
                "another process schedules on `{}` and holds `{shown}`; one at a time may, while \
                 any number may open it read-only",
                database.display()
            ))),
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// Opens `path` to be written by this connection alone; makes it when there is none.
pub(super) fn open_to_write(path: &Path) -> Result<Connection> {
    check_library()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(fault)?;
    set_up(&connection)?;
    if is_new(&connection)? {
        create(&mut connection)?;
    }
    check_file(&connection, path)?;
    connection.execute_batch(used::SCHEMA).map_err(fault)?;
    for (pragma, value) in [
        ("synchronous", "FULL".to_owned()),
        // Negative: KiB, not pages.
        ("cache_size", (-WRITER_CACHE_KIB).to_string()),
        ("journal_size_limit", WAL_BYTES_KEPT.to_string()),
        ("wal_autocheckpoint", WAL_PAGES_TO_CHECKPOINT.to_string()),
    ] {
        connection.pragma_update(None, pragma, value).map_err(fault)?;
    }
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(fault)?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!(
            "`{}` can't be written ahead (journal mode `{mode}`): put it on a local disk",
            path.display()
        )));
    }
    Ok(connection)
}

/// Opens `path` to be read only. Works while another process writes to it, and without one.
pub(super) fn open_to_read(path: &Path) -> Result<Connection> {
    check_library()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| {
        StoreError::Unavailable(format!("cannot read `{}`: {error}", path.display()))
    })?;
    set_up(&connection)?;
    check_format(&connection, path)?;
    Ok(connection)
}

fn set_up(connection: &Connection) -> Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT).map_err(fault)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.pragma_update(None, "mmap_size", 0).map_err(fault)
}

fn check_library() -> Result<()> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(StoreError::Unavailable(format!(
            "this host was built with SQLite {}, which can damage files; 3.51.3 is the oldest that \
             will do",
            rusqlite::version()
        )));
    }
    Ok(())
}

fn is_new(connection: &Connection) -> Result<bool> {
    connection
        .query_row("SELECT count(*) = 0 FROM sqlite_schema", (), |row| row.get(0))
        .map_err(fault)
}

fn create(connection: &mut Connection) -> Result<()> {
    let transaction = connection.transaction().map_err(fault)?;
    transaction.execute_batch(SCHEMA).map_err(fault)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(fault)?;
    transaction.pragma_update(None, "user_version", FORMAT).map_err(fault)?;
    transaction.commit().map_err(fault)
}

fn check_file(connection: &Connection, path: &Path) -> Result<()> {
    check_format(connection, path)?;
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(fault)?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "`{}`: {verdict}; it is left as it is: restore a backup, or move it away to begin anew",
        path.display()
    )))
}

fn check_format(connection: &Connection, path: &Path) -> Result<()> {
    let pragma =
        |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0)).map_err(fault);
    let (application, format) = (pragma("application_id")?, pragma("user_version")?);
    let hint = if application != APPLICATION_ID {
        format!("`{}` is no store of Campanile; choose another path", path.display())
    } else if FORMAT < format {
        format!("use the newer host that wrote `{}`, or another path", path.display())
    } else {
        return Ok(());
    };
    Err(StoreError::Incompatible { store: format, host: FORMAT, hint })
}
