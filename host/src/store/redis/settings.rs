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
    /// What the server's list of clients calls the connections.
    pub name: String,
    /// The name of the host; empty for whoever is none.
    pub host: String,
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
        let name = format!("campanile/{}", env!("CARGO_PKG_VERSION"));
        let host = String::new();
        Self { address, clock: ScriptClock::Server, access: Access::Full, name, host }
    }

    /// The same, with connections that tell which host they belong to.
    pub fn of_host(self, host: &str) -> Self {
        // The server takes no other characters in such a name.
        let shown = host.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' });
        let name = format!("{}:{}", self.name, shown.collect::<String>());
        Self { name, host: host.to_owned(), ..self }
    }
}
