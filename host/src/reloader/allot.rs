//! Tells the store what tenants and queues may have.

use tracing::{debug, warn};

use super::Reloader;
use crate::config::Config;
use crate::store::{Result, Store};

/// Tells it, and says in the log when another host's word counts.
///
/// # Errors
///
/// The store failed.
pub async fn allot(config: &Config, store: &dyn Store) -> Result<()> {
    if !store.allot(config.allotments()).await? {
        warn!(
            config_version = config.config_version,
            "another host's configuration has a higher `config_version`: what that one says of \
             `quota`, `weight` and `[queues]` counts"
        );
    }
    Ok(())
}

impl Reloader {
    /// Tells it unless it knows: after each change, and to each session's store, which may be empty.
    /// What it does not take now it is told at the next look.
    pub(super) async fn allot(&mut self) {
        let session = self.session.current().session.id;
        if self.allotted == Some(session) {
            return;
        }
        match allot(&self.config, self.store.as_ref()).await {
            Ok(()) => self.allotted = Some(session),
            Err(error) => debug!(%error, "what tenants may have is not told yet"),
        }
    }
}
