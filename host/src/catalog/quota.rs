//! How many plugins a tenant has, and of how many bytes, against its quota: one document of the
//! tenant, `quota plugins`, changed before a record is, so that no two hosts let in one too many.
//!
//! What stands there is never below what is there. Whoever would be refused by it counts the records
//! themselves first.

use std::collections::BTreeMap;

use super::records;
use crate::job::PluginKey;
use crate::job::names::{PluginName, TenantId};
use crate::job::quota::{Quota, QuotaKey};
use crate::plugin::versions::Versions;
use crate::store::error::StoreError;
use crate::store::{Result, Store};

/// The document's kind and key.
const DOC: (&str, &str) = ("quota", "plugins");
/// Tries when others write it.
const TRIES: usize = 16;

/// Bytes of all kept versions, by plugin.
pub type Plugins = BTreeMap<PluginName, u64>;

/// Bytes of the versions that a record keeps.
pub fn bytes_of(versions: &Versions) -> u64 {
    versions.kept.iter().map(|version| version.size).fold(0, u64::saturating_add)
}

/// What the records of a tenant say.
///
/// # Errors
///
/// The store failed.
pub async fn counted(store: &dyn Store, tenant: &TenantId) -> Result<Plugins> {
    let records = records::list(store, tenant).await?.into_iter();
    Ok(records.map(|(key, versions)| (key.plugin, bytes_of(&versions))).collect())
}

/// Makes room for a plugin that will have so many bytes.
///
/// # Errors
///
/// `Quota` when there is none; the store failed.
pub async fn reserve(
    store: &dyn Store,
    plugin: &PluginKey,
    bytes: u64,
    quota: Quota,
) -> Result<()> {
    let limited = [QuotaKey::Plugins, QuotaKey::PluginBytes];
    if limited.iter().all(|key| quota.get(*key).is_none()) {
        return forget(store, &plugin.tenant).await;
    }
    let mut is_counted = false;
    for _ in 0..TRIES {
        let doc = store.doc_get(&plugin.tenant, DOC.0, DOC.1).await?;
        let version = doc.as_ref().map_or(0, |doc| doc.version);
        let known = doc.and_then(|doc| serde_json::from_slice::<Plugins>(&doc.value).ok());
        let before = match known {
            Some(known) if !is_counted => known,
            _ => {
                is_counted = true;
                counted(store, &plugin.tenant).await?
            }
        };
        let mut after = before;
        after.insert(plugin.plugin.clone(), bytes);
        if let Some((key, limit)) = over(&after, quota) {
            if is_counted {
                return Err(StoreError::Quota { key, limit });
            }
            is_counted = true;
            continue;
        }
        let value =
            serde_json::to_vec(&after).map_err(|error| StoreError::Invalid(error.to_string()))?;
        match store.doc_put(&plugin.tenant, DOC.0, DOC.1, Some(version), Some(value)).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict { .. }) => is_counted = false,
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Unavailable("others bring plugins of the tenant all the time".to_owned()))
}

/// Removes what was counted while there was a quota: nobody keeps it while there is none, and when there is
/// one again it is counted anew.
async fn forget(store: &dyn Store, tenant: &TenantId) -> Result<()> {
    let Some(doc) = store.doc_get(tenant, DOC.0, DOC.1).await? else { return Ok(()) };
    match store.doc_put(tenant, DOC.0, DOC.1, Some(doc.version), None).await {
        // Another host counts: to it there is a quota.
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Which quota these would go over.
fn over(plugins: &Plugins, quota: Quota) -> Option<(QuotaKey, u64)> {
    let bytes = plugins.values().copied().fold(0, u64::saturating_add);
    [(QuotaKey::Plugins, plugins.len() as u64), (QuotaKey::PluginBytes, bytes)]
        .into_iter()
        .find_map(|(key, there_are)| Some((key, quota.get(key)?)).filter(|it| it.1 < there_are))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::EmbeddedStore;

    fn plugin(name: &str) -> PluginKey {
        PluginKey { tenant: "acme".parse().unwrap(), plugin: name.parse().unwrap() }
    }

    #[tokio::test]
    async fn room_is_made_up_to_the_quota_and_what_is_gone_counts_no_more() {
        let store = EmbeddedStore::memory();
        let quota = Quota::default().with(QuotaKey::Plugins, 2).with(QuotaKey::PluginBytes, 100);
        let reserve = async |name: &str, bytes| reserve(&store, &plugin(name), bytes, quota).await;
        assert_eq!(reserve("a", 60).await, Ok(()));
        assert_eq!(reserve("b", 40).await, Ok(()));
        assert_eq!(reserve("a", 50).await, Ok(()), "it became less");
        // None of them has a record, so that counting finds room again.
        assert_eq!(
            reserve("c", 101).await,
            Err(StoreError::Quota { key: QuotaKey::PluginBytes, limit: 100 })
        );
        assert_eq!(reserve("c", 100).await, Ok(()));
        let none = Quota::default().with(QuotaKey::Plugins, 0);
        let refused = super::reserve(&store, &plugin("d"), 1, none).await;
        assert_eq!(refused, Err(StoreError::Quota { key: QuotaKey::Plugins, limit: 0 }));
    }

    #[tokio::test]
    async fn what_was_counted_is_forgotten_when_there_is_no_quota() {
        let store = EmbeddedStore::memory();
        let quota = Quota::default().with(QuotaKey::Plugins, 1);
        let doc = async || store.doc_get(&plugin("a").tenant, DOC.0, DOC.1).await.unwrap();
        assert_eq!(reserve(&store, &plugin("a"), 1, quota).await, Ok(()));
        assert!(doc().await.is_some());
        for _ in 0..2 {
            assert_eq!(reserve(&store, &plugin("b"), 1, Quota::default()).await, Ok(()));
            assert!(doc().await.is_none());
        }
    }
}
