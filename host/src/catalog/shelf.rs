//! The bytes of plugins' versions: in a folder of this host, and in a store that hosts share, so that
//! a host that lacks a file need not be handed it and every host can go back.
//!
//! ```text
//! <state_dir>/versions/<tenant>/<hex>.wasm
//! plugin-bytes  <digest>.<number>          a piece of the file, in a shared store
//! ```
//!
//! They are kept before a plugin's record names them; what no record names any more is removed.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::plugin::Digest;
use crate::job::names::TenantId;
use crate::plugin::versions::Version;
use crate::record::portable::DocRecord;
use crate::store::error::StoreError;
use crate::store::{Result, Store};
use crate::time::Timestamp;

/// A larger file is not kept in the store: each host needs it in its folder.
pub const MAX_SHARED_BYTES: usize = 32 << 20;
/// Bytes in one document: a heartbeat must not wait for longer than these take, and an export reads
/// many at once.
const PIECE: usize = 256 << 10;
/// The kind of the documents.
const BYTES: &str = "plugin-bytes";
/// What a file is called while it is written.
const PART: &str = "part";

/// Where bytes are kept. Cheap to clone.
#[derive(Clone)]
pub struct Shelf {
    store: Arc<dyn Store>,
    dir: PathBuf,
}

impl Shelf {
    /// One in the folder `dir`, made on first need, and in `store` when others share it.
    pub fn new(store: Arc<dyn Store>, dir: PathBuf) -> Self {
        Self { store, dir }
    }

    /// The store of the records.
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// Keeps a version. Answers whether other hosts can have it from the store, if they share one.
    ///
    /// # Errors
    ///
    /// The folder can't be written, or the store failed; a repeat goes on.
    pub async fn keep(&self, tenant: &TenantId, digest: &str, bytes: &Arc<[u8]>) -> Result<bool> {
        let file = self.file(tenant, digest);
        let content = Arc::clone(bytes);
        let written = blocking(move || write(&file, &content)).await;
        written.map_err(|error| {
            StoreError::Unavailable(format!(
                "the folder `{}` can't keep a plugin's version: {error}",
                self.dir.display()
            ))
        })?;
        if !self.store.caps().shared {
            return Ok(true);
        }
        if MAX_SHARED_BYTES < bytes.len() {
            return Ok(false);
        }
        // They are written in order and removed from the end: with the last all are there.
        let last = pieces(bytes.len() as u64).saturating_sub(1);
        if self.store.doc_get(tenant, BYTES, &piece_key(digest, last)).await?.is_some() {
            return Ok(true);
        }
        for (number, piece) in bytes.chunks(PIECE).enumerate() {
            self.put(tenant, digest, number, Some(piece.to_vec())).await?;
        }
        Ok(true)
    }

    /// The bytes of a version; `None`: they are gone, or not what their digest says.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn fetch(&self, tenant: &TenantId, version: &Version) -> Result<Option<Vec<u8>>> {
        let file = self.file(tenant, &version.digest);
        let found = blocking(move || std::fs::read(file)).await.ok();
        if let Some(bytes) = found.filter(|bytes| Digest::of(bytes).to_string() == version.digest) {
            return Ok(Some(bytes));
        }
        // There it is in a store that is shared, or that an export of a tenant was brought into.
        let mut bytes = Vec::new();
        for number in 0..pieces(version.size) {
            let key = piece_key(&version.digest, number);
            let Some(doc) = self.store.doc_get(tenant, BYTES, &key).await? else { return Ok(None) };
            bytes.extend_from_slice(&doc.value);
        }
        Ok((Digest::of(&bytes).to_string() == version.digest).then_some(bytes))
    }

    /// Removes a version from the store.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn remove(&self, tenant: &TenantId, version: &Version) -> Result<()> {
        for number in (0..pieces(version.size)).rev() {
            self.put(tenant, &version.digest, number, None).await?;
        }
        Ok(())
    }

    /// A version as the documents that a shared store has of it; none when it has them, or when the
    /// bytes are gone.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn pieces(&self, tenant: &TenantId, version: &Version) -> Result<Vec<DocRecord>> {
        if self.store.caps().shared {
            return Ok(Vec::new());
        }
        let first = piece_key(&version.digest, 0);
        if self.store.doc_get(tenant, BYTES, &first).await?.is_some() {
            return Ok(Vec::new());
        }
        let bytes = self.fetch(tenant, version).await?.unwrap_or_default();
        let numbered = bytes.chunks(PIECE).enumerate();
        let piece = |(number, piece): (usize, &[u8])| DocRecord {
            tenant: tenant.clone(),
            kind: BYTES.to_owned(),
            key: piece_key(&version.digest, number),
            version: 1,
            value: piece.to_vec(),
        };
        Ok(numbered.map(piece).collect())
    }

    /// Removes from the folders of `tenants` what is not among `named`: whose it is, and the digest. What
    /// was written since `before` stays: its record may be about to be.
    pub async fn tidy(
        &self,
        tenants: BTreeSet<TenantId>,
        named: BTreeSet<(TenantId, String)>,
        before: Timestamp,
    ) {
        let dir = self.dir.clone();
        let tidied = blocking(move || tidy(&dir, &tenants, &named, before)).await;
        if let Err(error) = tidied {
            tracing::debug!(%error, "versions that nobody needs are still in their folder");
        }
    }

    /// Removes the folder of a tenant that is no more. What can't be removed stays, and is of no use.
    pub async fn clear(&self, tenant: &TenantId) {
        let folder = self.dir.join(tenant.as_str());
        let cleared = blocking(move || match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        });
        if let Err(error) = cleared.await {
            tracing::warn!(%error, %tenant, "versions of plugins that nobody needs are still in their folder");
        }
    }

    fn file(&self, tenant: &TenantId, digest: &str) -> PathBuf {
        self.dir.join(tenant.as_str()).join(format!("{}.wasm", hex(digest)))
    }

    async fn put(
        &self,
        tenant: &TenantId,
        digest: &str,
        number: usize,
        piece: Option<Vec<u8>>,
    ) -> Result<()> {
        let key = piece_key(digest, number);
        self.store.doc_put(tenant, BYTES, &key, None, piece).await.map(drop)
    }
}

/// Does what waits for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Writes a file that is there whole or not at all, unless it is there.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::DirBuilderExt;
    let there = std::fs::metadata(file).is_ok_and(|about| about.len() == bytes.len() as u64);
    if there && std::fs::read(file).is_ok_and(|it| it == bytes) {
        return Ok(());
    }
    if let Some(folder) = file.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let part = file.with_extension(PART);
    let mut open = std::fs::File::create(&part)?;
    open.write_all(bytes)?;
    open.sync_all()?;
    std::fs::rename(part, file)
}

fn tidy(
    dir: &Path,
    tenants: &BTreeSet<TenantId>,
    named: &BTreeSet<(TenantId, String)>,
    before: Timestamp,
) -> io::Result<()> {
    let folders = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        folders => folders?,
    };
    for folder in folders {
        let folder = folder?;
        let Some(Ok(tenant)) = folder.file_name().to_str().map(str::parse::<TenantId>) else {
            continue;
        };
        if !tenants.contains(&tenant) {
            continue;
        }
        for file in std::fs::read_dir(folder.path())? {
            let file = file?.path();
            let digest =
                file.file_stem().and_then(|stem| stem.to_str()).map(|hex| format!("sha256:{hex}"));
            let is_version = file.extension().is_some_and(|it| it == "wasm" || it == PART);
            let needed = digest.is_none_or(|it| named.contains(&(tenant.clone(), it)));
            if is_version && !needed && is_older(&file, before) {
                std::fs::remove_file(file)?;
            }
        }
    }
    Ok(())
}

fn is_older(file: &Path, than: Timestamp) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).is_ok_and(|about| about.mtime() < than.micros().div_euclid(1_000_000))
}

fn hex(digest: &str) -> &str {
    digest.trim_start_matches("sha256:")
}

fn pieces(size: u64) -> usize {
    let size = usize::try_from(size).unwrap_or(MAX_SHARED_BYTES).min(MAX_SHARED_BYTES);
    size.div_ceil(PIECE)
}

fn piece_key(digest: &str, number: usize) -> String {
    format!("{digest}.{number}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::EmbeddedStore;

    fn version(bytes: &[u8]) -> Version {
        Version {
            digest: Digest::of(bytes).to_string(),
            size: bytes.len() as u64,
            added_at: Timestamp::from_secs(0),
            wants: BTreeSet::new(),
            interpreter: false,
            signature: None,
            note: None,
            unnamed: false,
        }
    }

    #[tokio::test]
    async fn what_is_kept_comes_back_whole_until_nobody_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(Arc::new(EmbeddedStore::memory()), folder.path().join("versions"));
        let tenant = TenantId::default_tenant();
        let bytes: Arc<[u8]> = b"good".to_vec().into();
        let it = version(&bytes);
        assert_eq!(shelf.fetch(&tenant, &it).await, Ok(None));
        assert_eq!(shelf.keep(&tenant, &it.digest, &bytes).await, Ok(true));
        assert_eq!(shelf.fetch(&tenant, &it).await, Ok(Some(b"good".to_vec())));
        let other = "acme".parse().unwrap();
        assert_eq!(shelf.fetch(&other, &it).await, Ok(None), "another tenant's");
        let (late, all) = (Timestamp::from_secs(1 << 40), BTreeSet::from([tenant.clone()]));
        shelf.tidy(all.clone(), BTreeSet::from([(tenant.clone(), it.digest.clone())]), late).await;
        assert!(shelf.fetch(&tenant, &it).await.unwrap().is_some());
        std::fs::write(shelf.file(&tenant, &it.digest), b"evil").unwrap();
        assert_eq!(shelf.fetch(&tenant, &it).await, Ok(None), "it is not what it is called");
        assert_eq!(shelf.keep(&tenant, &it.digest, &bytes).await, Ok(true), "it is put right");
        assert!(shelf.fetch(&tenant, &it).await.unwrap().is_some());
        shelf.tidy(BTreeSet::from([other]), BTreeSet::new(), late).await;
        shelf.tidy(all.clone(), BTreeSet::new(), Timestamp::from_secs(0)).await;
        assert!(shelf.file(&tenant, &it.digest).exists(), "another tenant's, and too young");
        shelf.tidy(all, BTreeSet::new(), late).await;
        assert!(!shelf.file(&tenant, &it.digest).exists());
    }
}
