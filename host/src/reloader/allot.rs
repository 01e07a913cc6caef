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
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(super) async fn allot(&mut self) -> Result<()> {
        let session = self.session.current().session.id;
        if self.allotted != Some(session) {
            allot(&self.config, self.store.as_ref()).await?;
            self.allotted = Some(session);
        }
        Ok(())
    }

    /// The same; what the store does not take now it is told at the next look.
    pub(super) async fn allot_soon(&mut self) {
        if let Err(error) = self.allot().await {
            debug!(%error, "what tenants may have is not told yet");
        }
    }
}
