//! The store that a fleet shares: one Redis server, or Valkey.
//!
//! ```text
//! a call ──> args (wire) ──> script, by digest ──> answer (wire)      every transition: link
//! a question ──> Kept over a connection of its own (reader)           lists, ledger, logs, documents
//! ends of runs ──> one call for many (ends)
//! hints, feed ──> threads (news) ──> broadcast                        what changed
//! ```
//!
//! Who may do what is decided in the scripts (`lua/`), from the same rules that the embedded stores
//! follow in `store::core`; the contract suite and `lockstep` hold the two together. Due-ness and
//! stamps go by the server's clock; whether a host lives is judged by other hosts' own clocks from
//! counters, never by a time that is kept.

mod accounts;
mod calls;
mod checkup;
mod client;
mod definitions;
mod ends;
mod fault;
mod fires;
mod keys;
mod ledger;
mod link;
mod moving;
mod news;
mod papers;
mod pasts;
mod rank;
mod reader;
mod records;
mod runs;
mod schedules;
mod scripts;
mod server;
mod sessions;
pub mod settings;
mod tallies;
mod used;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::definitions::Definitions;
use self::ends::Ends;
use self::link::Link;
use self::news::News;
use self::reader::Readers;
use self::settings::Settings;
use super::Result;
use super::core::rounds::Rounds;
use super::embedded::kept::Kept;
use super::error::StoreError;
use crate::record::Caps;
use crate::run::id::Id128;

/// A store on a Redis server.
pub struct RedisStore {
    caps: Caps,
    link: Arc<Link>,
    ends: Ends,
    readers: Arc<Readers>,
    definitions: Arc<Definitions>,
    news: News,
    /// How many hosts go first with what is due.
    rank: AtomicU64,
    /// Whose past is looked at next when something may be forgotten.
    rounds: Mutex<Rounds>,
    /// What this host serves.
    serving: accounts::Serving,
    /// The name of this host.
    host: String,
    /// Where the ids of schedules and sessions come from.
    fresh_id: Box<dyn Fn() -> Id128 + Send + Sync>,
    /// Held for its drop.
    _runtime: Runtime,
}

/// Where connections live; dropped without waiting, wherever that happens.
struct Runtime(Option<tokio::runtime::Runtime>);

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl RedisStore {
    /// Connects, and makes the store's contents when there are none.
    ///
    /// # Errors
    ///
    /// `Unavailable` when the server can't be reached; `Denied` when it refuses who we are; `Unfit`
    /// when it would evict or lose what it keeps, or is too old; `Incompatible` when a newer host
    /// wrote its contents.
    pub async fn open(settings: Settings) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("redis")
            .enable_all()
            .build()
            .map_err(|error| StoreError::Unavailable(format!("no thread for it: {error}")))?;
        let handle = runtime.handle().clone();
        let runtime = Runtime(Some(runtime));
        let link = Arc::new(Link::new(settings.clone(), handle.clone()));
        let durability = link.open().await?;
        let caps = Caps { name: settings.address.shown(), shared: true, durability };
        let definitions = Arc::new(Definitions::default());
        Ok(Self {
            caps,
            readers: Arc::new(Readers::new(
                &settings,
                link.keys().clone(),
                Arc::clone(&definitions),
            )),
            news: News::start(&settings, link.keys())?,
            ends: Ends::start(&handle, &link, settings.clock),
            link,
            definitions,
            rank: AtomicU64::new(0),
            rounds: Mutex::default(),
            serving: accounts::Serving::default(),
            host: settings.host,
            fresh_id: Box::new(Id128::fresh),
            _runtime: runtime,
        })
    }

    /// The same store, with ids that the caller chooses: for tests, which are to come out the same
    /// again.
    pub fn with_ids(mut self, fresh_id: impl Fn() -> Id128 + Send + Sync + 'static) -> Self {
        self.fresh_id = Box::new(fresh_id);
        self
    }

    /// Reads what is kept, on a connection of its own.
    async fn look<T, F>(&self, look: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Kept) -> Result<T> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        tokio::task::spawn_blocking(move || readers.read(look))
            .await
            .map_err(|_| StoreError::Unavailable("the host is shutting down".to_owned()))?
    }

    /// How much longer than others this host waits with what is due.
    fn delay(&self) -> Duration {
        rank::delay(self.rank.load(Ordering::Relaxed))
    }

    fn rounds(&self) -> std::sync::MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::store::RedisAddress;

    #[tokio::test]
    async fn a_server_that_is_away_is_an_error() {
        // Nobody listens on the port for multiplexing.
        let address = RedisAddress::parse("redis://127.0.0.1:1").unwrap();
        let opened = RedisStore::open(Settings::new(address)).await;
        assert!(matches!(opened, Err(StoreError::Unavailable(_))));
    }
}
