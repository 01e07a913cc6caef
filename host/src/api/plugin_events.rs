//! What events tell of plugins: what is new from one catalog to the next.

use serde_json::{Value, json};

use crate::catalog::changes::{changes, digest, held, refusal};
use crate::catalog::{Catalog, Entry};
use crate::job::names::TenantId;
use crate::metrics::PluginChange;

/// Type and data of each event, by plugin.
pub fn news(before: &Catalog, now: &Catalog, tenant: &TenantId) -> Vec<(String, Value)> {
    let mut news = Vec::new();
    for entry in now.entries().filter(|entry| entry.key.tenant == *tenant) {
        let was = before.get(&entry.key);
        for change in changes(was, entry) {
            news.push((kind(change), data(change, was, entry)));
        }
    }
    let gone = before.entries().filter(|entry| entry.key.tenant == *tenant);
    for entry in gone.filter(|entry| now.get(&entry.key).is_none()) {
        let data = json!({"plugin": entry.key.plugin, "digest": digest(entry)});
        news.push((kind(PluginChange::Removed), data));
    }
    news
}

fn kind(change: PluginChange) -> String {
    format!("plugin.{}", change.as_str())
}

fn data(change: PluginChange, was: Option<&Entry>, now: &Entry) -> Value {
    let plugin = &now.key.plugin;
    match change {
        PluginChange::Refused => json!({"plugin": plugin, "error": refusal(now)}),
        PluginChange::Held => json!({"plugin": plugin, "held": held(now)}),
        PluginChange::Loaded
        | PluginChange::Replaced
        | PluginChange::Removed
        | PluginChange::RolledBack => {
            json!({"plugin": plugin, "was": was.and_then(digest), "digest": digest(now)})
        }
    }
}
