//! Which server, and how the store is used on it.

use crate::config::store::RedisAddress;

/// Everything that a store on Redis needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server is, and what is asked of it.
    pub address: RedisAddress,
    /// Whose clock counts.
    pub clock: ScriptClock,
    /// What may be done.
    pub access: Access,
}

/// Whose clock decides what has come due, and stamps records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptClock {
    /// The server's; the caller's can only hold a fire back.
    Server,
    /// The caller's: for tests that move the time by hand.
    Caller,
}

/// What may be done with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything; its contents are made when there are none.
    Full,
    /// The same, also while an import has not ended: for the import.
    Import,
    /// Questions only; nothing is written, not even that somebody asks.
    ReadOnly,
}

impl Settings {
    /// For a host.
    pub fn new(address: RedisAddress) -> Self {
        Self { address, clock: ScriptClock::Server, access: Access::Full }
    }
}
