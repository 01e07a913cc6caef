//! Buckets of keys and values, kept as documents of the store: one for each key, and one for each
//! bucket that counts its bytes.
//!
//! A document's kind holds the name of a job or of a bucket behind a word of its own, and its tenant
//! is the run's: no name of one leads to another's. A write reads the document, decides, and writes
//! if nobody else has meanwhile; otherwise it begins anew. [`count`] holds a bucket to its size.
//!
//! Two things make that sure. Each document carries a number that nobody else draws, since a store
//! takes the same bytes on the same version for one write repeated. And a key that is deleted leaves
//! a mark: removed at once it could come back with the same version and other content.

mod count;
mod entry;
pub(super) mod storage;

use std::time::{Duration, Instant};

use super::services::Desk;
use crate::job::JobKey;
use crate::job::names::{JobId, TenantId};
use crate::record::query::Page;
use crate::store::error::StoreError;
use crate::table::unit::show_size;
use count::Count;
use entry::Entry;

/// Bytes of a key at most.
pub(super) const MAX_KEY_BYTES: usize = 512;
/// Keys that are read from the store in one step.
const PAGE: usize = 100;
/// How often a write begins anew when others write the same key meanwhile.
const MAX_ROUNDS: u32 = 100;
/// How often a write is repeated that may or may not have been done.
const MAX_REPEATS: u32 = 3;
/// The pause before that.
const REPEAT_PAUSE: Duration = Duration::from_millis(100);
/// From reading to writing; after that what was read no longer counts.
const ROUND_TIME: Duration = Duration::from_secs(30);

/// One bucket, and what holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    tenant: TenantId,
    /// Of the documents that hold its values.
    kind: String,
    count: Count,
}

/// What becomes of a key.
pub(super) enum Change<T> {
    /// It stays as it is.
    Keep(T),
    /// It gets this value.
    Set(Vec<u8>, T),
    /// It goes.
    Delete(T),
}

/// Why a bucket was not read or written.
#[derive(Debug, PartialEq)]
pub(super) enum KvError {
    /// It would hold so many bytes, more than it may.
    Full(u64),
    /// The buckets of the tenant would hold more than this, its quota.
    TenantFull(u64),
    /// There are as many buckets as a tenant may have.
    TooMany,
    /// Others wrote the same key too often meanwhile.
    Busy,
    /// What stands there is not fit for that.
    Unfit(String),
    /// The store failed.
    Store(StoreError),
}

/// Part of the keys of a bucket.
pub(super) struct Keys {
    pub(super) keys: Vec<String>,
    /// Where the next part begins, if there is one.
    pub(super) next: Option<String>,
}

impl Bucket {
    /// The bucket of this name, as a run of `job` sees it: without a name the job's own, else one
    /// that all jobs of the tenant share.
    ///
    /// # Errors
    ///
    /// Why the name is none.
    pub(super) fn named(job: &JobKey, name: &str) -> Result<Self, String> {
        let (word, name) = match name {
            "" => ("job", job.job.as_str()),
            // Names of buckets are made like those of jobs.
            name => match name.parse::<JobId>() {
                Ok(_) => ("tenant", name),
                Err(error) => return Err(error.to_string().replace("job name", "bucket name")),
            },
        };
        Ok(Self {
            tenant: job.tenant.clone(),
            kind: format!("kv.{word}.{name}"),
            count: Count::of(word, name),
        })
    }

    /// The value of a key.
    pub(super) async fn get(&self, desk: &Desk, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        let _turn = desk.turn().await;
        let doc = desk.store.doc_get(&self.tenant, &self.kind, &entry::escaped(key)).await?;
        Ok(doc.and_then(|doc| Entry::read(doc.value).value()))
    }

    /// Changes a key as `decide` says of its value: in one step, as others see it. The bucket may
    /// hold `limit` bytes; `recount` says whether it may be counted anew when it seems to hold more.
    pub(super) async fn change<T>(
        &self,
        desk: &Desk,
        key: &str,
        (limit, recount): (u64, &mut bool),
        mut decide: impl FnMut(Option<&[u8]>) -> Result<Change<T>, KvError>,
    ) -> Result<T, KvError> {
        let _alone = desk.alone(&self.tenant, &self.kind).await;
        let _turn = desk.turn().await;
        let name = entry::escaped(key);
        for _ in 0..MAX_ROUNDS {
            let read = Instant::now();
            let doc = desk.store.doc_get(&self.tenant, &self.kind, &name).await?;
            let version = doc.as_ref().map_or(0, |doc| doc.version);
            let before = doc.map(|doc| Entry::read(doc.value));
            let weight = before.as_ref().map_or(0, |entry| entry.weight(&name));
            let old = before.and_then(Entry::value);
            let (entry, done) = match decide(old.as_deref())? {
                Change::Keep(done) => return Ok(done),
                Change::Delete(done) if old.is_none() => return Ok(done),
                Change::Delete(done) => (Entry::deleted(desk.clock.now()), done),
                Change::Set(value, done) => (Entry::of(value), done),
            };
            let (more, less) = match entry.weight(&name) {
                new if new >= weight => (new - weight, 0),
                new => (0, weight - new),
            };
            let counted = self.reserve(desk, more, limit, recount).await?;
            if let Err(error) = storage::take(desk, &self.tenant, more).await {
                self.give_back(desk, more, counted).await?;
                return Err(error);
            }
            if ROUND_TIME <= read.elapsed() {
                self.return_all(desk, more, counted).await?;
                continue;
            }
            match put(desk, &self.tenant, &self.kind, &name, version, Some(entry.bytes())).await {
                Ok(_) => {
                    self.confirm(desk, more, counted).await?;
                    self.return_all(desk, less, counted).await?;
                    return Ok(done);
                }
                Err(StoreError::Conflict { .. }) => self.return_all(desk, more, counted).await?,
                // It may have been done, so what was reserved for it stays.
                Err(error) => return Err(error.into()),
            }
        }
        Err(KvError::Busy)
    }

    /// Gives back bytes of the tenant and then of the bucket.
    async fn return_all(&self, desk: &Desk, less: u64, recounts: u64) -> Result<(), KvError> {
        storage::give_back(desk, &self.tenant, less).await?;
        self.give_back(desk, less, recounts).await
    }

    /// Keys of the bucket, from the beginning or from where a part before ended.
    pub(super) async fn keys(&self, desk: &Desk, from: Option<String>) -> Result<Keys, KvError> {
        let _turn = desk.turn().await;
        let page = Page { limit: PAGE, cursor: from };
        let found = desk.store.doc_list(&self.tenant, &self.kind, page).await?;
        let held = found.items.into_iter().filter(|doc| Entry::is_held(&doc.value));
        let keys = held.map(|doc| entry::unescaped(&doc.key)).collect();
        Ok(Keys { keys, next: found.next_cursor })
    }
}

/// Writes a document whose version is `expect`; the same again when the store can't say whether it
/// did.
async fn put(
    desk: &Desk,
    tenant: &TenantId,
    kind: &str,
    key: &str,
    expect: u64,
    value: Option<Vec<u8>>,
) -> Result<u64, StoreError> {
    let mut repeats = 0;
    loop {
        let done = desk.store.doc_put(tenant, kind, key, Some(expect), value.clone()).await;
        match done {
            Err(StoreError::Unknown(_)) if repeats < MAX_REPEATS => {
                repeats += 1;
                tokio::time::sleep(REPEAT_PAUSE).await;
            }
            done => return done,
        }
    }
}

impl From<StoreError> for KvError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for KvError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(wanted) => write!(f, "the bucket would hold {wanted} bytes"),
            Self::TenantFull(limit) => write!(
                f,
                "the tenant's buckets hold as much as its quota lets them: `quota.storage` is {}",
                show_size(*limit)
            ),
            Self::TooMany => write!(
                f,
                "the tenant has {} buckets already; use one of them, or the job's own, which has \
                 no name",
                count::MAX_BUCKETS
            ),
            Self::Busy => {
                write!(f, "others wrote this key {MAX_ROUNDS} times meanwhile; try again")
            }
            Self::Unfit(why) => f.write_str(why),
            Self::Store(error) => write!(f, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests;
