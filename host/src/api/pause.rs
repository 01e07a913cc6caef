//! The pause of the whole scheduler as a document of the store: it outlives the host.

use super::repeat::repeat;
use crate::job::names::TenantId;
use crate::status::SchedulerPause;
use crate::store::Store;
use crate::store::error::StoreError;

/// The kind of the document.
const KIND: &str = "scheduler";
/// Its key.
const KEY: &str = "pause";

/// The pause that is kept.
///
/// # Errors
///
/// The store failed, or holds something else in its place.
pub async fn kept(store: &dyn Store) -> Result<Option<SchedulerPause>, StoreError> {
    let doc = store.doc_get(&TenantId::default_tenant(), KIND, KEY).await?;
    doc.map(|doc| serde_json::from_slice(&doc.value)).transpose().map_err(unusable)
}

/// Keeps the pause, or that there is none.
///
/// # Errors
///
/// The store failed.
pub async fn keep(store: &dyn Store, pause: Option<&SchedulerPause>) -> Result<(), StoreError> {
    let value = pause.map(serde_json::to_vec).transpose().map_err(unusable)?;
    let tenant = TenantId::default_tenant();
    repeat(|| store.doc_put(&tenant, KIND, KEY, None, value.clone())).await.map(drop)
}

fn unusable(error: serde_json::Error) -> StoreError {
    StoreError::Corrupt(format!("the document `{KIND}/{KEY}`: {error}"))
}
