//! Tenants that are made over REST: the documents that they are kept as, and what removing one takes.
//!
//! ```text
//! tenant  <name>  {"keys": {"caps": {"timeout": "1m"}}, "removal": {"since", "by", "step", ...}}
//! ```
//!
//! They are the host's, so they stand with the tenant `default`. A change names the version that it
//! was decided on. What they mean beside the files, `config::given` says.

pub mod export;
pub mod removal;
pub mod remover;

use crate::job::names::TenantId;
use crate::record::query::{MAX_PAGE, Page};
use crate::record::tenant::{KeptTenant, TenantDoc};
use crate::store::error::StoreError;
use crate::store::{Result, Store};

/// The kind of the documents.
const KIND: &str = "tenant";
/// Tenants that are made over REST at most.
pub const MAX_KEPT: usize = 10_000;

/// The tenants that a store knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// By name.
    pub kept: Vec<KeptTenant>,
    /// Those whose documents a newer host wrote in a way that this one can't read.
    pub unread: Vec<TenantId>,
}

/// Every tenant that was made over REST and is not removed, [`MAX_KEPT`] at most.
///
/// # Errors
///
/// The store failed.
pub async fn list(store: &dyn Store) -> Result<Listed> {
    let mut listed = Listed::default();
    let mut page = Page { limit: MAX_PAGE, cursor: None };
    loop {
        let paged = store.doc_list(&TenantId::default_tenant(), KIND, page).await?;
        for doc in paged.items {
            let Ok(name) = doc.key.parse::<TenantId>() else { continue };
            match serde_json::from_slice(&doc.value) {
                Ok(value) => {
                    listed.kept.push(KeptTenant { name, version: doc.version, doc: value });
                }
                Err(_) => listed.unread.push(name),
            }
        }
        match paged.next_cursor {
            Some(cursor) if listed.kept.len() < MAX_KEPT => {
                page = Page { limit: MAX_PAGE, cursor: Some(cursor) };
            }
            Some(_) | None => return Ok(listed),
        }
    }
}

/// One of them.
///
/// # Errors
///
/// The store failed, or the document can't be read.
pub async fn get(store: &dyn Store, name: &TenantId) -> Result<Option<KeptTenant>> {
    let doc = store.doc_get(&TenantId::default_tenant(), KIND, name.as_str()).await?;
    let Some(doc) = doc else { return Ok(None) };
    let value = serde_json::from_slice(&doc.value).map_err(|error| {
        StoreError::Invalid(format!(
            "the document of the tenant `{name}` is not understood: {error}"
        ))
    })?;
    Ok(Some(KeptTenant { name: name.clone(), version: doc.version, doc: value }))
}

/// Writes one whose version is `expect` (0: there is none), or removes it. Answers the new version.
///
/// # Errors
///
/// `Conflict` when it has another version; the store failed.
pub async fn put(
    store: &dyn Store,
    name: &TenantId,
    expect: u64,
    doc: Option<&TenantDoc>,
) -> Result<u64> {
    let value = doc.map(serde_json::to_vec).transpose();
    let value =
        value.map_err(|error| StoreError::Invalid(format!("a tenant has no JSON: {error}")))?;
    store.doc_put(&TenantId::default_tenant(), KIND, name.as_str(), Some(expect), value).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::EmbeddedStore;

    #[tokio::test]
    async fn what_is_put_is_listed_and_compared_and_what_is_not_understood_is_named() {
        let store = EmbeddedStore::memory();
        let name: TenantId = "acme".parse().unwrap();
        let mut doc = TenantDoc::default();
        doc.keys.insert("caps".to_owned(), serde_json::json!({"timeout": "1m"}));
        assert_eq!(put(&store, &name, 0, Some(&doc)).await, Ok(1));
        let kept = KeptTenant { name: name.clone(), version: 1, doc };
        assert_eq!(get(&store, &name).await, Ok(Some(kept.clone())));
        let default = TenantId::default_tenant();
        let strange = Some(b"7".to_vec());
        store.doc_put(&default, KIND, "zeta", None, strange).await.unwrap();
        let unread = vec!["zeta".parse().unwrap()];
        assert_eq!(list(&store).await, Ok(Listed { kept: vec![kept], unread }));
        let other = put(&store, &name, 7, None).await;
        assert_eq!(other, Err(StoreError::Conflict { current: 1 }));
        assert_eq!(put(&store, &name, 1, None).await, Ok(0));
        assert_eq!(get(&store, &name).await, Ok(None));
    }
}
