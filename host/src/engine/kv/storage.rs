//! How many bytes all buckets of a tenant hold, against its quota: one document of the tenant, changed
//! after a bucket has reserved its bytes and before it gives any back. So a sum over the buckets is
//! never below what it should say.
//!
//! Each host makes the count anew of that sum before it relies on it under a configuration, and when
//! the quota seems used up; that holds only if nobody has changed the count meanwhile. Tenants without
//! such a quota are not counted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{KvError, MAX_ROUNDS, put};
use crate::engine::services::Desk;
use crate::job::names::TenantId;
use crate::job::quota::QuotaKey;
use crate::record::query::Page;
use crate::store::error::StoreError;
use crate::store::{Result, Store};

/// The kind and key of the document that counts a tenant's bytes.
pub(super) const DOC: (&str, &str) = ("quota", "storage");
/// The kinds of the documents that count the bytes of buckets.
const KINDS: [&str; 2] = ["kv-bytes.job", "kv-bytes.tenant"];
/// Buckets that are read in one step.
const PAGE: usize = 1_000;
/// How often a sum is made in vain, because others change the count, before theirs is relied on.
const MAX_SUMS: u32 = 4;

/// What is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    bytes: u64,
    /// No two writers write the same.
    nonce: String,
}

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
    let Some(config) = desk.config().filter(|_| 0 < more) else { return Ok(()) };
    let Some(limit) = config.allotment(tenant).quota.get(QuotaKey::Storage) else {
        return Ok(());
    };
    let config = Arc::downgrade(&config);
    let (mut sums, mut may_count) = (0, false);
    for _ in 0..MAX_ROUNDS {
        let (version, bytes) = read(desk, tenant).await?;
        let is_counted = version != 0 && desk.is_counted(tenant, &config);
        let after = bytes.saturating_add(more);
        if is_counted && after <= limit {
            match write(desk, tenant, version, after).await {
                Err(StoreError::Conflict { .. }) => continue,
                written => return Ok(written?),
            }
        }
        if is_counted && !may_count && !desk.may_count_again(tenant) {
            return Err(KvError::TenantFull(limit));
        }
        may_count = true;
        // What nobody counted, or a host that died in between, is put right.
        let there = kv_bytes(desk.store.as_ref(), tenant).await?.saturating_sub(more);
        match write(desk, tenant, version, there).await {
            Err(StoreError::Conflict { .. }) if sums < MAX_SUMS => sums += 1,
            Ok(()) | Err(StoreError::Conflict { .. }) => {
                desk.set_counted(tenant, &config);
                may_count = false;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(KvError::Busy)
}

/// Gives back bytes that the tenant's buckets hold no longer.
pub(super) async fn give_back(
    desk: &Desk,
    tenant: &TenantId,
    less: u64,
) -> std::result::Result<(), KvError> {
    let config = desk.config();
    let quota = config.and_then(|it| it.allotment(tenant).quota.get(QuotaKey::Storage));
    if less == 0 || quota.is_none() {
        return Ok(());
    }
    for _ in 0..MAX_ROUNDS {
        let (version, bytes) = read(desk, tenant).await?;
        if version == 0 {
            return Ok(());
        }
        match write(desk, tenant, version, bytes.saturating_sub(less)).await {
            Err(StoreError::Conflict { .. }) => (),
            written => return Ok(written?),
        }
    }
    // The count is above what is there, until it is made anew.
    Ok(())
}

/// The version of the count, and what it says; 0 when there is none.
async fn read(desk: &Desk, tenant: &TenantId) -> Result<(u64, u64)> {
    let Some(doc) = desk.store.doc_get(tenant, DOC.0, DOC.1).await? else { return Ok((0, 0)) };
    let counted: Counted = serde_json::from_slice(&doc.value).map_err(|error| {
        StoreError::Corrupt(format!("the document `{}/{}`: {error}", DOC.0, DOC.1))
    })?;
    Ok((doc.version, counted.bytes))
}

async fn write(desk: &Desk, tenant: &TenantId, version: u64, bytes: u64) -> Result<()> {
    let counted = Counted { bytes, nonce: Uuid::now_v7().to_string() };
    let value =
        serde_json::to_vec(&counted).map_err(|error| StoreError::Invalid(error.to_string()))?;
    put(desk, tenant, DOC.0, DOC.1, version, Some(value)).await.map(drop)
}
