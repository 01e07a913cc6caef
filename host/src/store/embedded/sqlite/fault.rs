//! What SQLite's errors mean to a caller of the store.

use rusqlite::{Error, ErrorCode};

use crate::store::error::StoreError;

/// The kind of a failure that surely left nothing behind.
pub(super) fn fault(error: Error) -> StoreError {
    let text = error.to_string();
    match code(&error) {
        Some(ErrorCode::DiskFull) => StoreError::Full(text),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(text),
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => StoreError::Denied(text),
        Some(ErrorCode::TooBig) => StoreError::Invalid(text),
        // SQLite's own words and rusqlite's: whatever is new among them can be tried again.
        Some(_) | None => StoreError::Unavailable(text),
    }
}

/// Whether the disk itself failed. What a failed write left behind is not known, and a repeated
/// `fsync` says nothing about it.
pub(super) fn is_disk_failure(error: &Error) -> bool {
    code(error) == Some(ErrorCode::SystemIoFailure)
}

/// What a record that can't be read means.
pub(super) fn unreadable(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("a {what} can't be read: {error}"))
}

fn code(error: &Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn the_kind_of_an_error_says_what_a_caller_may_do() {
        let error = |code| Error::SqliteFailure(ffi::Error::new(code), None);
        let kind = |code| match fault(error(code)) {
            StoreError::Full(_) => "full",
            StoreError::Corrupt(_) => "corrupt",
            StoreError::Denied(_) => "denied",
            StoreError::Invalid(_) => "invalid",
            StoreError::Unavailable(_) => "unavailable",
            other => unreachable!("{other}"),
        };
        for (code, expected, is_disk) in [
            (ffi::SQLITE_FULL, "full", false),
            (ffi::SQLITE_CORRUPT, "corrupt", false),
            (ffi::SQLITE_NOTADB, "corrupt", false),
            (ffi::SQLITE_READONLY, "denied", false),
            (ffi::SQLITE_PERM, "denied", false),
            (ffi::SQLITE_TOOBIG, "invalid", false),
            (ffi::SQLITE_BUSY, "unavailable", false),
            (ffi::SQLITE_CANTOPEN, "unavailable", false),
            (ffi::SQLITE_IOERR_FSYNC, "unavailable", true),
            (ffi::SQLITE_IOERR_WRITE, "unavailable", true),
        ] {
            assert_eq!((kind(code), is_disk_failure(&error(code))), (expected, is_disk), "{code}");
        }
    }
}
