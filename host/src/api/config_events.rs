//! What events tell of the file of configuration: that it counts now, or why it does not.
//!
//! The file is the whole host's, and so those hear of it who ask for the tenant `default`.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::Context;
use crate::config::Config;
use crate::job::names::TenantId;

/// What happens to the file from now on.
pub struct ConfigNews {
    /// `None`: not for this reader.
    heard: Option<Heard>,
}

/// What tells of it.
struct Heard {
    config: watch::Receiver<Arc<Config>>,
    refusals: watch::Receiver<Option<String>>,
}

impl ConfigNews {
    /// What a reader hears of it who asks for events of `tenant`.
    pub fn of(context: &Context, tenant: &TenantId) -> Self {
        let is_told = *tenant == TenantId::default_tenant();
        let heard = is_told.then(|| {
            let mut config = context.config.clone();
            config.mark_unchanged();
            Heard { config, refusals: context.status.config_refusals() }
        });
        Self { heard }
    }

    /// Type and data of the next event; never, when nobody reads the file any more.
    pub async fn next(&mut self) -> (&'static str, Value) {
        let Some(Heard { config, refusals }) = &mut self.heard else {
            return std::future::pending().await;
        };
        loop {
            tokio::select! {
                Ok(()) = config.changed() => {
                    let config = config.borrow_and_update();
                    let data = json!({"file": config.origin(), "version": config.config_version});
                    return ("config.reloaded", data);
                }
                Ok(()) = refusals.changed() => {
                    if let Some(why) = &*refusals.borrow_and_update() {
                        return ("config.refused", json!({"error": why}));
                    }
                }
                else => std::future::pending().await,
            }
        }
    }
}
