//! What an error of the server means to a caller: its kind, by code, never by its text alone.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::error::StoreError;

/// The newest format of the store's contents that this host writes.
pub(super) const SCHEMA: u32 = 3;

/// What came of one call.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The scripts are gone from the server: load them and call again.
    NoScript,
    /// The contents have another generation: attach and call again.
    Generation,
    /// The connection is of no more use; what the caller is told.
    Broken(StoreError),
    /// The answer to the caller.
    Refused(StoreError),
}

/// What `error` means that came of a call.
pub(super) fn trouble(error: &RedisError) -> Trouble {
    let detail = || error.detail().unwrap_or_default().to_owned();
    match error.code().unwrap_or_default() {
        "CAMPGEN" => return Trouble::Generation,
        "CAMPFENCED" => return Trouble::Refused(StoreError::Fenced),
        "CAMPCONFLICT" => {
            let current = detail().trim().parse().unwrap_or(0);
            return Trouble::Refused(StoreError::Conflict { current });
        }
        "CAMPQUOTA" => return Trouble::Refused(over_quota(&detail())),
        "CAMPNOTFOUND" => return Trouble::Refused(StoreError::NotFound(detail())),
        "CAMPUNFIT" => return Trouble::Refused(StoreError::Unfit(detail())),
        "CAMPINVALID" => return Trouble::Refused(StoreError::Invalid(detail())),
        "CAMPINCOMPATIBLE" => {
            return Trouble::Refused(StoreError::Incompatible {
                store: detail().trim().parse().unwrap_or(0),
                host: SCHEMA,
                hint: "it was written by a newer host; run that version here too".to_owned(),
            });
        }
        "OOM" => {
            return Trouble::Refused(StoreError::Full(
                "the Redis server has reached its `maxmemory`; raise it, or let jobs keep less \
                 (`history`)"
                    .to_owned(),
            ));
        }
        "NOAUTH" | "WRONGPASS" | "NOPERM" => return Trouble::Refused(denied(error)),
        "READONLY" => return Trouble::Broken(away("it takes no writes: it is a replica now")),
        "MISCONF" => {
            return Trouble::Refused(StoreError::Full(
                "the Redis server can't write to its disk and takes no writes".to_owned(),
            ));
        }
        "LOADING" => return Trouble::Broken(away("it is reading its data from disk")),
        "MASTERDOWN" | "CLUSTERDOWN" | "NOREPLICAS" | "TRYAGAIN" => {
            return Trouble::Broken(away("it has no working primary"));
        }
        "NOSCRIPT" => return Trouble::NoScript,
        _ => (),
    }
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoScript) => Trouble::NoScript,
        ErrorKind::Server(ServerErrorKind::NoPerm) | ErrorKind::AuthenticationFailed => {
            Trouble::Refused(denied(error))
        }
        ErrorKind::Server(ServerErrorKind::BusyLoading) => {
            Trouble::Broken(away("it is reading its data from disk"))
        }
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            Trouble::Broken(away("it takes no writes: it is a replica now"))
        }
        ErrorKind::Server(_) | ErrorKind::Extension => {
            Trouble::Refused(StoreError::Corrupt(format!("a script of the store failed: {error}")))
        }
        // It was sent, or part of it.
        _ => Trouble::Broken(StoreError::Unknown(error.to_string())),
    }
}

/// What a failed attempt to connect means. The text of the error holds no credentials.
pub(super) fn connecting(error: &RedisError) -> StoreError {
    match trouble(error) {
        Trouble::Refused(error @ StoreError::Denied(_)) => error,
        Trouble::Broken(error @ StoreError::Unavailable(_)) => error,
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// A script says the key and its limit.
fn over_quota(detail: &str) -> StoreError {
    let parts = detail.trim().split_once(' ');
    let read = parts.and_then(|(key, limit)| Some((key.parse().ok()?, limit.parse().ok()?)));
    match read {
        Some((key, limit)) => StoreError::Quota { key, limit },
        None => unreadable("a script's answer", detail),
    }
}

fn denied(error: &RedisError) -> StoreError {
    let code = error.code().unwrap_or("no access");
    StoreError::Denied(format!(
        "{code}: check `username` and `password` of `store`, and what the user's access list allows"
    ))
}

fn away(why: &str) -> StoreError {
    StoreError::Unavailable(format!("the Redis server is there, but {why}"))
}

/// What could not be read back: it was written by something else.
pub(super) fn unreadable(what: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what} in the store can't be read: {error}"))
}
