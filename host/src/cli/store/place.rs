//! Which store, and how it is opened to move what is in it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::args::cwd;
use crate::cli::exit::Failure;
use crate::cli::kept;
use crate::cli::screen::note;
use crate::config::Config;
use crate::config::store::StoreAddress;
use crate::record::HostRecord;
use crate::store::Store;
use crate::store::embedded::{Beside, EmbeddedStore};
use crate::store::error::StoreError;
use crate::store::redis::RedisStore;
use crate::store::redis::settings::{Access, Settings};

/// The pause between two looks at whether hosts are there.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A store that is read.
pub struct Source {
    pub store: Arc<dyn Store>,
    address: StoreAddress,
}

/// A store that is filled.
pub struct Target {
    pub store: Arc<dyn Store>,
}

/// Where it is, for people.
pub fn shown(address: &StoreAddress) -> String {
    kept::place(address)
}

/// What kind it is.
pub fn kind(address: &StoreAddress) -> &'static str {
    match address {
        StoreAddress::Memory => "memory",
        StoreAddress::Sqlite { .. } => "sqlite",
        StoreAddress::Redis(_) => "redis",
    }
}

/// Reads a store of the command line: a URL, or a table as in `host.toml`.
///
/// # Errors
///
/// It is none; the message names `flag`.
pub fn named(flag: &str, text: &str, config: &Config) -> Result<StoreAddress, Failure> {
    let state_dir = toml::Value::from(config.state_dir.to_string_lossy().into_owned());
    let file = format!("state_dir = {state_dir}\nstore = {}\n", as_value(text));
    match Config::parse(&file, Path::new("host.toml"), &cwd()?, 0) {
        Ok(config) => Ok(config.store),
        Err(error) => {
            let problems: Vec<String> =
                error.problems.iter().map(|problem| problem.to_string()).collect();
            Err(Failure::usage(format!("{flag}: {}", problems.join("; "))))
        }
    }
}

/// A store of the command line as a value of TOML.
pub fn as_value(text: &str) -> String {
    let text = text.trim();
    if text.starts_with('{') { text.to_owned() } else { toml::Value::from(text).to_string() }
}

/// Whether both are one store.
pub fn is_same(one: &StoreAddress, other: &StoreAddress) -> bool {
    match (one, other) {
        (StoreAddress::Redis(one), StoreAddress::Redis(other)) => {
            (&one.host, one.port, one.db, &one.prefix)
                == (&other.host, other.port, other.db, &other.prefix)
        }
        (StoreAddress::Sqlite { path: one }, StoreAddress::Sqlite { path: other }) => {
            one == other
                || one
                    .canonicalize()
                    .ok()
                    .is_some_and(|one| other.canonicalize().is_ok_and(|other| one == other))
        }
        (one, other) => one == other,
    }
}

/// What is said of a store that can't be read.
pub fn unreadable(address: &StoreAddress, error: &StoreError) -> Failure {
    Failure::failed(format!("can't read the store {}: {error}", shown(address)))
}

/// What is said where there is no store.
pub fn missing(address: &StoreAddress) -> Failure {
    Failure::failed(format!(
        "there is no store at {}; name its configuration with --config",
        shown(address)
    ))
}

/// What is said of a store in memory.
pub fn in_memory() -> Failure {
    Failure::usage("a store in memory ends with its host: `store` must name one that is kept")
}

impl Source {
    /// Opens a store to read it.
    ///
    /// # Errors
    ///
    /// There is none, it can't be read, or a host is at work on it that must not be.
    pub async fn open(address: &StoreAddress, beside: Beside) -> Result<Self, Failure> {
        let store: Arc<dyn Store> = match address {
            StoreAddress::Memory => return Err(in_memory()),
            StoreAddress::Sqlite { path } if !path.exists() => return Err(missing(address)),
            StoreAddress::Sqlite { path } => {
                let opened = EmbeddedStore::open_snapshot(path, beside);
                Arc::new(opened.map_err(|error| refusal("read", address, &error))?)
            }
            StoreAddress::Redis(server) => {
                let settings =
                    Settings { access: Access::ReadOnly, ..Settings::new(server.clone()) };
                let opened = RedisStore::open(settings).await;
                Arc::new(opened.map_err(|error| refusal("read", address, &error))?)
            }
        };
        Ok(Self { store, address: address.clone() })
    }

    /// How many hosts share it; 0 where a store is not shared.
    pub async fn hosts(&self) -> Result<usize, Failure> {
        Ok(self.sessions().await?.len())
    }

    /// Makes sure that no host works on a store that hosts share. A host that died is known by its
    /// silence, which takes a while.
    ///
    /// # Errors
    ///
    /// One does.
    pub async fn refuse_if_used(&self) -> Result<(), Failure> {
        let StoreAddress::Redis(server) = &self.address else { return Ok(()) };
        let before = self.sessions().await?;
        if before.is_empty() {
            return Ok(());
        }
        note(format!("looking whether {} are at work ...", names(&before)));
        let start = Instant::now();
        while start.elapsed() < server.ttl {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.sessions().await?;
            let lives = |host: &&HostRecord| {
                let earlier = before.iter().find(|other| other.session.id == host.session.id);
                earlier.is_none_or(|earlier| earlier.counter != host.counter)
            };
            let alive: Vec<HostRecord> = now.iter().filter(lives).cloned().collect();
            if !alive.is_empty() {
                return Err(Failure::failed(format!(
                    "{} are at work on {}; stop them first, so that nothing is left behind",
                    names(&alive),
                    shown(&self.address)
                )));
            }
        }
        Ok(())
    }

    async fn sessions(&self) -> Result<Vec<HostRecord>, Failure> {
        match &self.address {
            StoreAddress::Redis(_) => {
                self.store.hosts().await.map_err(|error| unreadable(&self.address, &error))
            }
            StoreAddress::Memory | StoreAddress::Sqlite { .. } => Ok(Vec::new()),
        }
    }
}

impl Target {
    /// Opens a store to fill it, and makes it when there is none.
    ///
    /// # Errors
    ///
    /// It can't be opened, or a host is at work on it.
    pub async fn open(address: &StoreAddress) -> Result<Self, Failure> {
        let store: Arc<dyn Store> = match address {
            StoreAddress::Memory => return Err(in_memory()),
            StoreAddress::Sqlite { path } => {
                if let Some(folder) = path.parent() {
                    make_folder(folder)?;
                }
                let opened = EmbeddedStore::open(path);
                Arc::new(opened.map_err(|error| refusal("open", address, &error))?)
            }
            StoreAddress::Redis(server) => {
                let settings = Settings { access: Access::Import, ..Settings::new(server.clone()) };
                let opened = RedisStore::open(settings).await;
                Arc::new(opened.map_err(|error| refusal("open", address, &error))?)
            }
        };
        Ok(Self { store })
    }
}

/// A store that was not opened, and what would help.
fn refusal(verb: &str, address: &StoreAddress, error: &StoreError) -> Failure {
    let help = match (address, error) {
        (StoreAddress::Sqlite { .. }, StoreError::Denied(_)) => "; stop the host first",
        (_, _) => "",
    };
    Failure::failed(format!("can't {verb} the store {}: {error}{help}", shown(address)))
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
        Failure::failed(format!("can't make the folder `{}`: {error}", folder.display()))
    })
}

fn names(hosts: &[HostRecord]) -> String {
    let names: Vec<String> = hosts.iter().map(|host| format!("`{}`", host.info.host)).collect();
    names.join(", ")
}
