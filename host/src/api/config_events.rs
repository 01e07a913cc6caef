//! What events tell of the configuration: that the file counts now, or why it does not, and which
//! tenants came over REST, changed, drain and are gone.
//!
//! The file is the whole host's, and so those hear of it who ask for the tenant `default`. Of a tenant
//! those hear who ask for it, and of all of them those who ask for `default` and have no tenant of
//! their own.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::Context;
use crate::config::Config;
use crate::config::tenants::Tenant;
use crate::job::names::TenantId;

/// What happens to the configuration from now on.
pub struct ConfigNews {
    ears: Ears,
    /// As it was told of last.
    last: Arc<Config>,
    /// What is still to be told.
    ready: VecDeque<News>,
    config: watch::Receiver<Arc<Config>>,
    refusals: watch::Receiver<Option<String>>,
}

/// Type and data of an event.
type News = (&'static str, Value);

/// What a reader hears of.
#[derive(Clone, Debug)]
struct Ears {
    tenant: TenantId,
    /// Whether of all tenants.
    all: bool,
}

impl ConfigNews {
    /// What a reader hears of it who asks for events of `tenant`; `is_of_host`: and has no tenant of
    /// their own.
    pub fn of(context: &Context, tenant: &TenantId, is_of_host: bool) -> Self {
        let mut config = context.config.clone();
        let last = Arc::clone(&config.borrow_and_update());
        let all = is_of_host && *tenant == TenantId::default_tenant();
        let refusals = context.status.config_refusals();
        let ears = Ears { tenant: tenant.clone(), all };
        Self { ears, last, ready: VecDeque::new(), config, refusals }
    }

    /// Type and data of the next event; never, when nobody reads the configuration any more.
    pub async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.ready.pop_front() {
                return news;
            }
            tokio::select! {
                Ok(()) = self.config.changed() => {
                    let now = Arc::clone(&self.config.borrow_and_update());
                    self.ready = news(&self.last, &now, &self.ears);
                    self.last = now;
                }
                Ok(()) = self.refusals.changed() => {
                    let why = self.refusals.borrow_and_update().clone();
                    if let Some(why) = why.filter(|_| self.ears.hear_of_file()) {
                        return ("config.refused", json!({"error": why}));
                    }
                }
                else => std::future::pending().await,
            }
        }
    }
}

impl Ears {
    fn hear_of_file(&self) -> bool {
        self.tenant == TenantId::default_tenant()
    }
}

/// What is new from one configuration to the next, for one reader.
fn news(before: &Config, now: &Config, ears: &Ears) -> VecDeque<News> {
    let mut news = VecDeque::new();
    if ears.hear_of_file() && files(before) != files(now) {
        let data = json!({"file": now.origin(), "version": now.config_version});
        news.push_back(("config.reloaded", data));
    }
    let given = |config: &Config, name: &TenantId| {
        config.tenants.get(name).filter(|tenant| tenant.given.is_some()).cloned()
    };
    let names = before.tenants.keys().chain(now.tenants.keys());
    let mut names: Vec<&TenantId> = names.filter(|it| ears.all || **it == ears.tenant).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (old, new) = (given(before, name), given(now, name));
        let kind = match (&old, &new) {
            (Some(_), None) if !now.tenants.contains_key(name) => "tenant.removed",
            (_, Some(_)) if old == new => continue,
            (_, Some(new)) if is_draining(new) && old.as_ref().is_some_and(is_draining) => continue,
            (_, Some(new)) if is_draining(new) => "tenant.draining",
            (_, Some(_)) => "tenant.changed",
            (_, None) => continue,
        };
        news.push_back((kind, json!({"tenant": name})));
    }
    news
}

fn is_draining(tenant: &Tenant) -> bool {
    tenant.given.as_ref().is_some_and(|given| given.removal.is_some())
}

/// What the files say of it.
fn files(config: &Config) -> Config {
    let mut files = config.clone();
    let given = files.tenants.extract_if(.., |_, tenant| tenant.given.is_some());
    for (name, _) in given.collect::<Vec<_>>() {
        files.secrets.named.remove(&name);
    }
    files
}
