//! The configured store, read while no host is asked: nothing is written to it.

use std::sync::Arc;

use crate::config::store::StoreAddress;
use crate::store::embedded::EmbeddedStore;
use crate::store::error::StoreError;
use crate::store::redis::RedisStore;
use crate::store::redis::settings::{Access, Settings};
use crate::store::{Result, Store};

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
