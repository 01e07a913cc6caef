//! How many bytes all buckets of a tenant hold, against its quota.
//!
//! Counted after a bucket has reserved its bytes and given back before it does, so that a sum over the
//! buckets is never below what is counted here by mistake: a count that seems full is made anew of
//! that sum. Tenants without such a quota are not counted.

use super::KvError;
use crate::engine::services::Desk;
use crate::job::names::TenantId;
use crate::job::quota::QuotaKey;
use crate::record::query::Page;
use crate::store::{Result, Store};

/// The counter of a tenant's bytes.
const COUNTER: &str = "quota.storage";
/// The kinds of the documents that count the bytes of buckets.
const KINDS: [&str; 2] = ["kv-bytes.job", "kv-bytes.tenant"];
/// Buckets that are read in one step.
const PAGE: usize = 1_000;

/// The bytes of all buckets of a tenant, as each has reserved them.
///
/// # Errors
///
/// The store failed.
pub async fn kv_bytes(store: &dyn Store, tenant: &TenantId) -> Result<u64> {
    let mut bytes = 0_u64;
    for kind in KINDS {
        let mut cursor = None;
        loop {
            let page = Page { limit: PAGE, cursor };
            let found = store.doc_list(tenant, kind, page).await?;
            let counted = found.items.iter().map(|doc| super::count::bytes_of(&doc.value));
            bytes = counted.fold(bytes, u64::saturating_add);
            cursor = found.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(bytes)
}

/// Takes so many bytes more of a tenant's quota, which a bucket has reserved already.
pub(super) async fn take(
    desk: &Desk,
    tenant: &TenantId,
    more: u64,
) -> std::result::Result<(), KvError> {
    let Some(limit) = desk.quota(tenant).get(QuotaKey::Storage) else { return Ok(()) };
    let by = whole(more);
    if by == 0 {
        return Ok(());
    }
    let store = desk.store.as_ref();
    let is_counted = desk.is_counted(tenant);
    if is_counted && add(store, tenant, by, Some(limit)).await?.is_some() {
        return Ok(());
    }
    // What nobody counted, or a host that died in between, is put right.
    let before = add(store, tenant, 0, None).await?.unwrap_or(0);
    let there = whole(kv_bytes(store, tenant).await?).saturating_sub(by);
    add(store, tenant, there.saturating_sub(before), None).await?;
    desk.set_counted(tenant);
    match add(store, tenant, by, Some(limit)).await? {
        Some(_) => Ok(()),
        None => Err(KvError::TenantFull(limit)),
    }
}

/// Gives back bytes that the tenant's buckets hold no longer.
pub(super) async fn give_back(
    desk: &Desk,
    tenant: &TenantId,
    less: u64,
) -> std::result::Result<(), KvError> {
    if 0 < less && desk.quota(tenant).get(QuotaKey::Storage).is_some() {
        add(desk.store.as_ref(), tenant, -whole(less), None).await?;
    }
    Ok(())
}

async fn add(
    store: &dyn Store,
    tenant: &TenantId,
    by: i64,
    limit: Option<u64>,
) -> Result<Option<i64>> {
    store.counter_add(tenant, COUNTER, by, limit.map(whole)).await
}

fn whole(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
