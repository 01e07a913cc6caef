//! Where the server is, how it is reached, and what the store promises on it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::record::Durability;

/// Reads the password anew, at each connection.
pub type ReadPassword = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Everything that is configured about a store on Redis.
#[derive(Clone)]
pub struct Settings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Set when it speaks TLS.
    pub tls: Option<Tls>,
    /// The number of the database.
    pub db: i64,
    /// The user of its access list; `None`: the default one.
    pub username: Option<String>,
    /// Where the password is.
    pub password: Option<ReadPassword>,
    /// What the names of all keys begin with.
    pub prefix: String,
    /// How long a host that is not heard of counts as alive.
    pub ttl: Duration,
    /// What the operator says it survives, where the server may not be asked.
    pub durability: Option<Durability>,
    /// Whether a server that keeps nothing is good enough.
    pub allow_volatile: bool,
    /// Whose clock counts.
    pub clock: ScriptClock,
}

/// How the server is known to be the right one.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// Whose clock decides what has come due, and stamps records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptClock {
    /// The server's; the caller's can only hold a fire back.
    Server,
    /// The caller's: for tests that move the time by hand.
    Caller,
}

impl Settings {
    /// A server without access control, by its defaults.
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            tls: None,
            db: 0,
            username: None,
            password: None,
            prefix: "camp".to_owned(),
            ttl: Duration::from_secs(10),
            durability: None,
            allow_volatile: false,
            clock: ScriptClock::Server,
        }
    }

    /// The store for people, without credentials.
    pub fn name(&self) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{scheme}://{host}:{}/{}", self.port, self.db)
    }
}

/// Shows no password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.prefix)
    }
}
