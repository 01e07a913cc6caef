//! How many bytes a bucket holds.
//!
//! Bytes are reserved before a key grows and given back after it has shrunk, so the count is never
//! below what is there; a host that dies in between, or an answer that is lost, leaves it above.
//! When a bucket seems full it is therefore counted anew, once for each run: the sum replaces the
//! count only if nobody has reserved anything meanwhile. Who had reserved before and wrote after its
//! key was counted sees that there was a recount, and adds its bytes again; the next recount
//! corrects that too.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::entry::Entry;
use super::{Bucket, KvError, MAX_ROUNDS, PAGE, put};
use crate::engine::services::Desk;
use crate::record::query::Page;
use crate::store::error::StoreError;

/// Buckets with a name that one tenant may have.
pub(super) const MAX_BUCKETS: usize = 1_000;
/// Documents that are read in a recount at most; a bucket with more keeps its count.
const MAX_RECOUNT: usize = 1_000_000;
/// How long the mark of a deleted key stays: far longer than any write takes.
const MARK_AGE: Duration = Duration::from_secs(600);
/// The word of buckets with a name.
const SHARED: &str = "tenant";

/// Where a bucket's bytes are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    kind: String,
    key: String,
}

/// What is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    bytes: u64,
    /// How often it was counted anew.
    recounts: u64,
    /// No two writers write the same.
    nonce: String,
}

/// The bytes that a document of a bucket counts.
pub(super) fn bytes_of(value: &[u8]) -> u64 {
    serde_json::from_slice::<Counted>(value).map_or(0, |counted| counted.bytes)
}

impl Count {
    /// That of a job's bucket, or of one with a name.
    pub(super) fn of(word: &str, name: &str) -> Self {
        Self { kind: format!("kv-bytes.{word}"), key: name.to_owned() }
    }
}

impl Bucket {
    /// Reserves so many bytes. Answers how often the bucket had been counted anew by then.
    pub(super) async fn reserve(
        &self,
        desk: &Desk,
        more: u64,
        limit: u64,
        recount: &mut bool,
    ) -> Result<u64, KvError> {
        for _ in 0..MAX_ROUNDS {
            let (version, counted) = self.counted(desk).await?;
            if more == 0 {
                return Ok(counted.recounts);
            }
            if version == 0 {
                self.may_begin(desk).await?;
            }
            let bytes = counted.bytes.saturating_add(more);
            if limit < bytes {
                if !std::mem::take(recount) {
                    return Err(KvError::Full(bytes));
                }
                self.recount(desk).await?;
                continue;
            }
            let recounts = counted.recounts;
            match self.put_count(desk, version, Counted { bytes, ..counted }).await {
                Ok(()) => return Ok(recounts),
                Err(StoreError::Conflict { .. }) => (),
                Err(error) => return Err(error.into()),
            }
        }
        Err(KvError::Busy)
    }

    /// Gives back what was reserved and not used, or is used no longer. After a recount nobody knows
    /// whether it was counted, so it stays.
    pub(super) async fn give_back(
        &self,
        desk: &Desk,
        less: u64,
        recounts: u64,
    ) -> Result<(), KvError> {
        for _ in 0..MAX_ROUNDS {
            if less == 0 {
                return Ok(());
            }
            let (version, counted) = self.counted(desk).await?;
            if counted.recounts != recounts {
                return Ok(());
            }
            let bytes = counted.bytes.saturating_sub(less);
            match self.put_count(desk, version, Counted { bytes, ..counted }).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Conflict { .. }) => (),
                Err(error) => return Err(error.into()),
            }
        }
        // The count is above what is there, until the next recount.
        Ok(())
    }

    /// Adds what was reserved and used once more, if a recount may have missed it.
    pub(super) async fn confirm(
        &self,
        desk: &Desk,
        more: u64,
        recounts: u64,
    ) -> Result<(), KvError> {
        if more == 0 || self.counted(desk).await?.1.recounts == recounts {
            return Ok(());
        }
        self.reserve(desk, more, u64::MAX, &mut false).await.map(drop)
    }

    /// Counts what is there, and lets go of the marks of keys that were deleted long ago.
    async fn recount(&self, desk: &Desk) -> Result<(), KvError> {
        let (version, counted) = self.counted(desk).await?;
        let now = desk.clock.now();
        let (mut bytes, mut seen, mut cursor) = (0_u64, 0, None);
        loop {
            let page = Page { limit: PAGE, cursor };
            let found = desk.store.doc_list(&self.tenant, &self.kind, page).await?;
            seen += found.items.len();
            for doc in found.items {
                let entry = Entry::read(doc.value);
                let old = entry.deleted_at().is_some_and(|since| since.after(MARK_AGE) < now);
                let gone = old
                    && put(desk, &self.tenant, &self.kind, &doc.key, doc.version, None)
                        .await
                        .is_ok();
                if !gone {
                    bytes = bytes.saturating_add(entry.weight(&doc.key));
                }
            }
            cursor = found.next_cursor;
            if cursor.is_none() {
                break;
            }
            if MAX_RECOUNT <= seen {
                return Ok(());
            }
        }
        let counted = Counted { bytes, recounts: counted.recounts + 1, ..counted };
        match self.put_count(desk, version, counted).await {
            // Somebody writes: the count stays, which is not below what is there.
            Ok(()) | Err(StoreError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the tenant may have one more bucket.
    async fn may_begin(&self, desk: &Desk) -> Result<(), KvError> {
        let kind = &self.count.kind;
        if !kind.ends_with(SHARED) {
            return Ok(());
        }
        let page = Page { limit: MAX_BUCKETS, cursor: None };
        let there = desk.store.doc_list(&self.tenant, kind, page).await?.items.len();
        if there < MAX_BUCKETS { Ok(()) } else { Err(KvError::TooMany) }
    }

    async fn counted(&self, desk: &Desk) -> Result<(u64, Counted), KvError> {
        let Count { kind, key } = &self.count;
        let Some(doc) = desk.store.doc_get(&self.tenant, kind, key).await? else {
            return Ok((0, Counted::default()));
        };
        let counted = serde_json::from_slice(&doc.value).map_err(|error| {
            StoreError::Corrupt(format!("the document `{kind}/{key}`: {error}"))
        })?;
        Ok((doc.version, counted))
    }

    async fn put_count(
        &self,
        desk: &Desk,
        version: u64,
        counted: Counted,
    ) -> Result<(), StoreError> {
        let counted = Counted { nonce: Uuid::now_v7().to_string(), ..counted };
        let value =
            serde_json::to_vec(&counted).map_err(|error| StoreError::Invalid(error.to_string()))?;
        let Count { kind, key } = &self.count;
        put(desk, &self.tenant, kind, key, version, Some(value)).await.map(drop)
    }
}
