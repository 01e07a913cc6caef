//! The records of plugins' versions, as documents of the store.
//!
//! ```text
//! plugin  <name>  {"current", "offered", "kept", "pinned", "canary", "held", "trial"}
//! ```
//!
//! A change reads, decides and writes back, again when somebody else wrote meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::shelf::Shelf;
use crate::job::PluginKey;
use crate::job::names::TenantId;
use crate::plugin::versions::{Version, Versions};
use crate::record::query::{MAX_PAGE, Page};
use crate::store::error::StoreError;
use crate::store::{Result, Store};

/// Names of one tenant at most: as many as files are looked at in its folder.
pub const MAX_NAMES: usize = 10_000;
/// Tries when others write the same record.
const TRIES: usize = 8;
/// The kind of the documents.
const KIND: &str = "plugin";

/// What a change comes to.
pub enum Change<T> {
    /// Nothing is written.
    Leave(T),
    /// This is the record now.
    Put(Box<Versions>, T),
    /// There is none any more.
    Remove(T),
}

/// The records of a tenant.
///
/// # Errors
///
/// The store failed.
pub async fn list(store: &dyn Store, tenant: &TenantId) -> Result<BTreeMap<PluginKey, Versions>> {
    let mut records = BTreeMap::new();
    let mut page = Page { limit: MAX_PAGE, cursor: None };
    loop {
        let paged = store.doc_list(tenant, KIND, page).await?;
        for doc in paged.items {
            // What another version of this program wrote otherwise is offered anew.
            let versions = serde_json::from_slice(&doc.value);
            if let (Ok(plugin), Ok(versions)) = (doc.key.parse(), versions) {
                records.insert(PluginKey { tenant: tenant.clone(), plugin }, versions);
            }
        }
        match paged.next_cursor {
            Some(cursor) if records.len() < MAX_NAMES => {
                page = Page { limit: MAX_PAGE, cursor: Some(cursor) };
            }
            Some(_) | None => return Ok(records),
        }
    }
}

/// The record of a plugin.
///
/// # Errors
///
/// The store failed.
pub async fn get(store: &dyn Store, plugin: &PluginKey) -> Result<Option<Versions>> {
    let doc = store.doc_get(&plugin.tenant, KIND, plugin.plugin.as_str()).await?;
    Ok(doc.and_then(|doc| serde_json::from_slice(&doc.value).ok()))
}

/// Changes the record of a plugin as `decide` says of what stands, and removes the bytes of versions
/// that are forgotten by it.
///
/// # Errors
///
/// The store failed, or others write the record all the time.
pub async fn change<T>(
    shelf: &Shelf,
    plugin: &PluginKey,
    mut decide: impl FnMut(Option<Versions>) -> Change<T>,
) -> Result<T> {
    let (store, name) = (shelf.store(), plugin.plugin.as_str());
    // What was written and not answered.
    let mut unsure: Option<(Option<Versions>, Option<Versions>, T)> = None;
    for _ in 0..TRIES {
        let doc = store.doc_get(&plugin.tenant, KIND, name).await?;
        let version = doc.as_ref().map_or(0, |doc| doc.version);
        let before: Option<Versions> = doc.and_then(|doc| serde_json::from_slice(&doc.value).ok());
        if let Some((old, new, answer)) = unsure.take_if(|(_, new, _)| *new == before) {
            tidied(forget(shelf, plugin, old.as_ref(), new.as_ref()).await);
            return Ok(answer);
        }
        let (after, answer) = match decide(before.clone()) {
            Change::Leave(answer) => return Ok(answer),
            Change::Put(after, answer) if before.as_ref() == Some(&*after) => return Ok(answer),
            Change::Put(after, answer) => (Some(*after), answer),
            Change::Remove(answer) => (None, answer),
        };
        let value = after.as_ref().map(serde_json::to_vec).transpose();
        let value =
            value.map_err(|error| StoreError::Invalid(format!("a record has no JSON: {error}")))?;
        match store.doc_put(&plugin.tenant, KIND, name, Some(version), value).await {
            Ok(_) => (),
            Err(StoreError::Conflict { .. }) => continue,
            Err(StoreError::Unknown(_)) => {
                unsure = Some((before, after, answer));
                continue;
            }
            Err(error) => return Err(error),
        }
        tidied(forget(shelf, plugin, before.as_ref(), after.as_ref()).await);
        return Ok(answer);
    }
    Err(StoreError::Unavailable(format!("others write the plugin `{plugin}` all the time")))
}

/// The change stands, whether or not bytes that nobody needs are gone.
fn tidied(forgotten: Result<()>) {
    if let Err(error) = forgotten {
        tracing::debug!(%error, "bytes of a version that nobody needs are still in the store");
    }
}

/// Removes the bytes of versions that were in `before` and stand in no record any more.
async fn forget(
    shelf: &Shelf,
    plugin: &PluginKey,
    before: Option<&Versions>,
    after: Option<&Versions>,
) -> Result<()> {
    let named = |versions: Option<&Versions>| -> Vec<Version> {
        versions.map(|versions| versions.kept.clone()).unwrap_or_default()
    };
    let still: BTreeSet<String> = named(after).into_iter().map(|it| it.digest).collect();
    let mut gone = named(before);
    gone.retain(|version| !still.contains(&version.digest));
    if gone.is_empty() {
        return Ok(());
    }
    let others = list(shelf.store(), &plugin.tenant).await?;
    for version in gone {
        let is_named = others.values().any(|versions| versions.get(&version.digest).is_some());
        if !is_named {
            shelf.remove(&plugin.tenant, &version).await?;
        }
    }
    Ok(())
}
