//! Tells the store what tenants and queues may have.

use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::Reloader;
use crate::store::Result;

/// A host whose word does not count says it again after so long: the one whose does may be gone.
const AGAIN: Duration = Duration::from_secs(10);

impl Reloader {
    /// Tells it unless it knows: after each change, and to each session's store, which may be empty.
    /// Says in the log when another host's word counts.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(super) async fn allot(&mut self) -> Result<()> {
        let session = self.session.current().session.id;
        let is_told = self.allotted == Some(session);
        if is_told && self.outvoted.is_none_or(|at| at.elapsed() < AGAIN) {
            return Ok(());
        }
        let counts = self.store.allot(self.config.allotments()).await?;
        if !counts && !is_told {
            warn!(
                config_version = self.config.config_version,
                "another host's configuration has a higher `config_version`: what that one says of \
                 `quota`, `weight` and `[queues]` counts"
            );
        }
        if counts && is_told {
            info!("what this host says of `quota`, `weight` and `[queues]` counts now");
        }
        self.outvoted = (!counts).then(Instant::now);
        self.allotted = Some(session);
        Ok(())
    }

    /// The same; what the store does not take now it is told at the next look.
    pub(super) async fn allot_soon(&mut self) {
        if let Err(error) = self.allot().await {
            debug!(%error, "what tenants may have is not told yet");
        }
    }
}
