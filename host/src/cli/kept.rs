//! The configured store, read while no host is asked: nothing is written to it.

use std::sync::Arc;

use super::exit::Failure;
use crate::config::store::StoreAddress;
use crate::config::{Config, given, load};
use crate::store::embedded::EmbeddedStore;
use crate::store::error::StoreError;
use crate::store::redis::RedisStore;
use crate::store::redis::settings::{Access, Settings};
use crate::store::{Result, Store};
use crate::tenants;

/// Where it is, for people.
pub(super) fn place(address: &StoreAddress) -> String {
    match address {
        StoreAddress::Memory => "`memory:`".to_owned(),
        StoreAddress::Sqlite { path } => format!("`{}`", path.display()),
        StoreAddress::Redis(server) => format!("`{}`", server.shown()),
    }
}

/// Opens it to be read; `None`: there is none yet.
///
/// # Errors
///
/// It is there, and can't be read.
pub(super) async fn open(address: &StoreAddress) -> Result<Option<Arc<dyn Store>>> {
    match address {
        StoreAddress::Memory => Ok(None),
        StoreAddress::Sqlite { path } if !path.exists() => Ok(None),
        StoreAddress::Sqlite { path } => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open_read_only(&path));
            let opened = opened.await.map_err(|e| StoreError::Unavailable(e.to_string()))??;
            Ok(Some(Arc::new(opened)))
        }
        StoreAddress::Redis(server) => {
            let settings = Settings { access: Access::ReadOnly, ..Settings::new(server.clone()) };
            Ok(Some(Arc::new(RedisStore::open(settings).await?)))
        }
    }
}

/// A configuration with the tenants that were made over REST.
///
/// # Errors
///
/// The store can't be read.
pub(super) async fn all(config: Config, store: &dyn Store) -> Result<Config> {
    let listed = tenants::list(store).await?;
    Ok(given::overlay(config, &listed.kept, load::real).0)
}

/// The same of the configured store, when there is one.
///
/// # Errors
///
/// It can't be read.
pub(super) async fn with_tenants(config: Config) -> std::result::Result<Config, Failure> {
    let place = place(&config.store);
    let unreadable = |error| Failure::failed(format!("can't read the store {place}: {error}"));
    match open(&config.store).await.map_err(unreadable)? {
        Some(store) => all(config, store.as_ref()).await.map_err(unreadable),
        None => Ok(config),
    }
}
