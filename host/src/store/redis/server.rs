//! What the server says of itself, and whether it is fit to keep schedules.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;

use crate::config::store::RedisAddress;
use crate::record::Durability;
use crate::store::Result;
use crate::store::error::StoreError;

/// The oldest version that has what the scripts need: sharded channels, flags of scripts.
const OLDEST_MAJOR: u32 = 7;

/// What `INFO` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// One life of the server's process.
    pub(super) run_id: String,
    /// Whether it writes a log of changes; `None`: it does not say.
    aof: Option<bool>,
}

impl Server {
    /// Reads the text of `INFO`.
    ///
    /// # Errors
    ///
    /// `Unfit` when it is too old or evicts keys; `Unavailable` when it takes no writes, or is still
    /// reading what it had kept.
    pub(super) fn read(info: &str) -> Result<Self> {
        let facts: HashMap<&str, &str> =
            info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let version = facts.get("redis_version").copied().unwrap_or("");
        // Valkey gives the Redis version that it is compatible with here, and its own beside it.
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major < OLDEST_MAJOR) {
            return Err(StoreError::Unfit(format!(
                "the Redis server has version {version}; it must be 7.0 or newer, or Valkey"
            )));
        }
        if let Some(policy) =
            facts.get("maxmemory_policy").filter(|policy| **policy != "noeviction")
        {
            return Err(StoreError::Unfit(format!(
                "the Redis server evicts keys when it is full (`maxmemory-policy {policy}`), which \
                 would lose jobs in silence; set it to `noeviction`"
            )));
        }
        if facts.get("role") == Some(&"slave") {
            return Err(StoreError::Unavailable(
                "the Redis server is a replica and takes no writes; name the primary".to_owned(),
            ));
        }
        // Until it has read its log of changes it says that it writes none.
        if facts.get("loading") == Some(&"1") {
            return Err(StoreError::Unavailable(
                "the Redis server is still loading what it had kept".to_owned(),
            ));
        }
        let aof = facts.get("aof_enabled").map(|enabled| *enabled == "1");
        Ok(Self { run_id: facts.get("run_id").copied().unwrap_or("").to_owned(), aof })
    }
}

/// What the server survives: declared, or found out.
///
/// # Errors
///
/// `Unfit` when it keeps nothing and nobody has said that this is good enough.
pub(super) async fn durability(
    server: &Server,
    address: &RedisAddress,
    connection: &mut MultiplexedConnection,
) -> Result<Durability> {
    let found = match (server.aof, address.durability) {
        (_, Some(declared)) => declared,
        (Some(true), None) if syncs_always(connection).await => Durability::Power,
        (Some(true), None) => Durability::Process,
        (Some(false) | None, None) => Durability::Volatile,
    };
    if found == Durability::Volatile && !address.allow_volatile {
        return Err(StoreError::Unfit(
            "the Redis server keeps nothing on disk (`appendonly no`): all jobs would be gone when \
             it ends. Turn the append-only file on (`appendonly yes`), or write `allow_volatile = \
             true` in the `store` table"
                .to_owned(),
        ));
    }
    Ok(found)
}

/// Whether each write is on disk before it is answered; no, when asking is not allowed.
async fn syncs_always(connection: &mut MultiplexedConnection) -> bool {
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg("appendfsync");
    let answer: redis::RedisResult<Vec<String>> = ask.query_async(connection).await;
    answer.is_ok_and(|pair| pair.get(1).is_some_and(|value| value == "always"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(more: &str) -> String {
        format!("# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nrole:master\r\n{more}")
    }

    #[test]
    fn a_server_that_evicts_is_too_old_or_is_a_replica_is_refused() {
        for (text, word) in [
            (info("maxmemory_policy:allkeys-lru\r\n"), "noeviction"),
            ("redis_version:6.2.1\r\nrun_id:a\r\n".to_owned(), "7.0"),
            (info("").replace("master", "slave"), "primary"),
        ] {
            let error = Server::read(&text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_server_that_is_loading_is_away_and_not_unfit() {
        let error = Server::read(&info("loading:1\r\naof_enabled:0\r\n")).unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(_)), "{error}");
        assert!(Server::read(&info("loading:0\r\naof_enabled:1\r\n")).is_ok());
    }

    #[test]
    fn a_server_tells_its_life_and_whether_it_keeps_a_log_of_changes() {
        let server = Server::read(&info("maxmemory_policy:noeviction\r\naof_enabled:1\r\n"));
        assert_eq!(server, Ok(Server { run_id: "abc".to_owned(), aof: Some(true) }));
    }
}
