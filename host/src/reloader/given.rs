//! Tenants that were made over REST, here or by another host: looked for whenever the store's mark is
//! another, and laid over what the files say.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::{info, warn};

use super::Reloader;
use crate::config::given::overlay;
use crate::config::{Config, load};
use crate::job::names::TenantId;
use crate::record::tenant::KeptTenant;
use crate::store::Result;
use crate::tenants;

/// What is known of them.
#[derive(Default)]
pub(super) struct GivenTenants {
    /// The store's mark of its documents just before they were read.
    mark: Option<u64>,
    /// As they were read last.
    kept: Vec<KeptTenant>,
    /// Why some do not count, as it was told last.
    told: Vec<String>,
}

impl GivenTenants {
    /// The names of all.
    fn names(&self) -> BTreeSet<TenantId> {
        self.kept.iter().map(|one| one.name.clone()).collect()
    }
}

impl Reloader {
    /// Reads them when the store's mark is another than at the last time. Answers whether others, or
    /// other keys, count now.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(super) async fn look_at_given(&mut self) -> Result<bool> {
        let mark = self.loaded.mark();
        if mark.is_some() && self.given.mark == mark {
            return Ok(false);
        }
        let listed = tenants::list(self.store.as_ref()).await?;
        let before = self.given.names();
        let mut kept = listed.kept;
        let is_unread = |one: &&KeptTenant| listed.unread.contains(&one.name);
        kept.extend(self.given.kept.iter().filter(is_unread).cloned());
        self.given.mark = mark;
        if kept == self.given.kept {
            return Ok(false);
        }
        self.given.kept = kept;
        let config = self.lay_over(Config::clone(&self.written));
        self.tell_given(&config);
        let changes = self.put_in_force(config);
        for name in before.difference(&self.given.names()) {
            if !self.config.tenants.contains_key(name) && !listed.unread.contains(name) {
                self.intake.shelf().clear(name).await;
            }
        }
        Ok(changes)
    }

    /// Lays them over what the files say, and tells once which do not count, and why.
    pub(super) fn lay_over(&mut self, written: Config) -> Config {
        let (config, warnings) = overlay(written, &self.given.kept, load::real);
        for warning in warnings.iter().filter(|it| !self.given.told.contains(it)) {
            warn!("{warning}");
        }
        self.given.told = warnings;
        config
    }

    /// Tells which came, went or are others.
    fn tell_given(&self, now: &Config) {
        let before = &self.config.tenants;
        for (name, tenant) in now.tenants.iter().filter(|(_, tenant)| tenant.given.is_some()) {
            match before.get(name) {
                None => info!(tenant = %name, "was made over REST and counts now"),
                Some(old) if old != tenant && now.is_draining(name) => {
                    info!(tenant = %name, "is being removed: nothing of it begins any more");
                }
                Some(old) if old != tenant => {
                    info!(tenant = %name, "was changed over REST and counts so now");
                }
                Some(_) => (),
            }
        }
        for name in before.keys().filter(|name| !now.tenants.contains_key(*name)) {
            info!(tenant = %name, "is removed");
        }
    }

    /// Makes a configuration the one that counts. Answers whether it is another.
    pub(super) fn put_in_force(&mut self, config: Config) -> bool {
        let is_new = *self.config != config;
        if is_new {
            self.config = Arc::new(config);
            self.shared.send_replace(Arc::clone(&self.config));
            self.behind = true;
            self.allotted = None;
        }
        is_new
    }
}
