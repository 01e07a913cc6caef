//! Opens what a host stands on: its store and its listening socket.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;

use crate::api::doors::Doors;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::config::store::StoreAddress;
use crate::record::Role;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::redis::RedisStore;
use crate::store::redis::settings::Settings;

/// Instances that the engine can hold beside those of runs: for plugins that are being loaded.
const SPARE_INSTANCES: u32 = 16;

/// Opens the configured store, making its folder when there is none.
///
/// # Errors
///
/// It can't be opened; the message names the file.
pub(super) async fn store(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    make_state_dir(config)?;
    match &config.store {
        StoreAddress::Memory => Ok(Arc::new(EmbeddedStore::memory())),
        StoreAddress::Sqlite { path } => {
            let path = path.clone();
            let shown = path.display().to_string();
            let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&path)).await?;
            Ok(Arc::new(opened.with_context(|| format!("can't open the store `{shown}`"))?))
        }
        StoreAddress::Redis(server) => {
            let opened =
                RedisStore::open(Settings::new(server.clone()).of_host(&host_name())).await;
            let shown = server.shown();
            Ok(Arc::new(opened.with_context(|| format!("can't open the store `{shown}`"))?))
        }
    }
}

/// Reads who may ask; a host without the role `api` is asked by nobody.
///
/// # Errors
///
/// A file is missing or wrong.
pub(super) fn doors(config: &Config) -> anyhow::Result<Doors> {
    match config.roles.contains(&Role::Api) {
        true => Doors::open(&config.api),
        false => Ok(Doors::shut()),
    }
}

/// Binds the API's address, and says which it is; `None`: this host serves nobody.
///
/// # Errors
///
/// Somebody else listens there.
pub(super) fn listener(config: &Config) -> anyhow::Result<Option<(TcpListener, SocketAddr)>> {
    if !config.roles.contains(&Role::Api) {
        return Ok(None);
    }
    let listen = config.api.listen;
    let listener = TcpListener::bind(listen).with_context(|| {
        format!(
            "can't listen on {listen}; set `[api] listen` to a free address (port 0 takes any), \
             or stop what listens there"
        )
    })?;
    listener.set_nonblocking(true).context("the API's socket")?;
    let listen = listener.local_addr().context("the API's address")?;
    Ok(Some((listener, listen)))
}

/// This machine's name, for people.
pub(super) fn host_name() -> String {
    hostname::get().map_or_else(|_| "host".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn make_state_dir(config: &Config) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let dir = &config.state_dir;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("can't make the folder `{}` (`state_dir`)", dir.display()))
}

/// How the sandbox of this host is set up.
pub(super) fn settings(config: &Config, clock: &SharedClock) -> crate::engine::Settings {
    let running = u32::try_from(config.executor.max_running).unwrap_or(u32::MAX / 2);
    crate::engine::Settings {
        max_instances: running.saturating_add(SPARE_INSTANCES),
        max_memory: config.executor.most_memory(),
        cache_dir: Some(config.cache_dir()),
        clock: Arc::clone(clock),
    }
}
