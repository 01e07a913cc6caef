//! Plugins in a store that hosts share, so that a host that lacks one need not be handed the file.
//!
//! ```text
//! plugin        <name>             {"digest": "sha256:...", "size": n, "written_at": secs}
//! plugin-bytes  <digest>.<number>  a piece of the file
//! ```
//!
//! The name is written after the bytes. Of two files of one name the one that was written later
//! stays. Nobody lists the bytes, and those that no name stands for any more are removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::plugin::Digest;
use crate::job::PluginKey;
use crate::job::names::TenantId;
use crate::record::query::{MAX_PAGE, Page};
use crate::store::error::StoreError;
use crate::store::{Result, Store};

/// A larger file is not kept: whoever needs it needs the file.
pub(super) const MAX_SHARED_BYTES: usize = 32 << 20;
/// Names of one tenant at most.
const MAX_NAMES: usize = 1_000;
/// Bytes in one document: a heartbeat must not wait for longer than these take, and an export reads
/// many at once.
const PIECE: usize = 256 << 10;
/// Tries when others write the same name.
const TRIES: usize = 5;
/// The kind of the names.
const NAME: &str = "plugin";
/// The kind of the bytes.
const BYTES: &str = "plugin-bytes";

/// What is kept under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// `sha256:` and 64 hexadecimal digits.
    pub(super) digest: String,
    /// Bytes.
    pub(super) size: u64,
    /// When the file was written, seconds since 1970.
    pub(super) written_at: i64,
}

/// What became of a plugin that was to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// It is kept now.
    Put,
    /// It was.
    Same,
    /// A file that was written later is.
    Newer,
    /// It is larger than [`MAX_SHARED_BYTES`].
    TooLarge,
    /// There are [`MAX_NAMES`] others.
    TooMany,
}

/// The names of a tenant and what is kept under each.
///
/// # Errors
///
/// The store failed.
pub(super) async fn names(
    store: &dyn Store,
    tenant: &TenantId,
) -> Result<BTreeMap<PluginKey, Kept>> {
    let mut names = BTreeMap::new();
    let mut page = Page { limit: MAX_PAGE, cursor: None };
    loop {
        let paged = store.doc_list(tenant, NAME, page).await?;
        for doc in paged.items {
            // What a newer host wrote otherwise is none that could be fetched here.
            let kept = serde_json::from_slice(&doc.value);
            if let (Ok(plugin), Ok(kept)) = (doc.key.parse(), kept) {
                names.insert(PluginKey { tenant: tenant.clone(), plugin }, kept);
            }
        }
        match paged.next_cursor {
            Some(cursor) if names.len() < MAX_NAMES => {
                page = Page { limit: MAX_PAGE, cursor: Some(cursor) };
            }
            Some(_) | None => return Ok(names),
        }
    }
}

/// Keeps a plugin for others, unless a file that was written later is kept.
///
/// # Errors
///
/// The store failed; a repeat goes on.
pub(super) async fn share(
    store: &dyn Store,
    plugin: &PluginKey,
    bytes: &[u8],
    written_at: i64,
) -> Result<Shared> {
    let digest = Digest::of(bytes).to_string();
    for _ in 0..TRIES {
        let doc = store.doc_get(&plugin.tenant, NAME, plugin.plugin.as_str()).await?;
        let before = doc.as_ref().and_then(|doc| serde_json::from_slice::<Kept>(&doc.value).ok());
        match &before {
            Some(kept) if kept.digest == digest => return Ok(Shared::Same),
            Some(kept) if written_at < kept.written_at => return Ok(Shared::Newer),
            Some(_) | None => (),
        }
        if MAX_SHARED_BYTES < bytes.len() {
            return Ok(Shared::TooLarge);
        }
        let names = names(store, &plugin.tenant).await?;
        if doc.is_none() && MAX_NAMES <= names.len() {
            return Ok(Shared::TooMany);
        }
        for (number, piece) in bytes.chunks(PIECE).enumerate() {
            put(store, &plugin.tenant, &digest, number, Some(piece.to_vec())).await?;
        }
        let kept = Kept { digest: digest.clone(), size: bytes.len() as u64, written_at };
        let value = serde_json::to_vec(&kept)
            .map_err(|error| StoreError::Invalid(format!("a name has no JSON: {error}")))?;
        let version = doc.map_or(0, |doc| doc.version);
        let name = plugin.plugin.as_str();
        match store.doc_put(&plugin.tenant, NAME, name, Some(version), Some(value)).await {
            Ok(_) => (),
            Err(StoreError::Conflict { .. }) => continue,
            Err(error) => return Err(error),
        }
        let is_named = |digest: &str| {
            names.iter().any(|(other, kept)| other != plugin && kept.digest == digest)
        };
        if let Some(old) = before.filter(|old| !is_named(&old.digest)) {
            remove(store, &plugin.tenant, &old).await?;
        }
        return Ok(Shared::Put);
    }
    Err(StoreError::Unavailable(format!("others write the plugin `{plugin}` all the time")))
}

/// The bytes that are kept; `None`: they are gone, or not what their digest says.
///
/// # Errors
///
/// The store failed.
pub(super) async fn fetch(
    store: &dyn Store,
    tenant: &TenantId,
    kept: &Kept,
) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    for number in 0..pieces(kept) {
        let doc = store.doc_get(tenant, BYTES, &piece_key(&kept.digest, number)).await?;
        let Some(doc) = doc else { return Ok(None) };
        bytes.extend_from_slice(&doc.value);
    }
    let is_it = Digest::of(&bytes).to_string() == kept.digest;
    Ok(is_it.then_some(bytes))
}

async fn remove(store: &dyn Store, tenant: &TenantId, kept: &Kept) -> Result<()> {
    for number in 0..pieces(kept) {
        put(store, tenant, &kept.digest, number, None).await?;
    }
    Ok(())
}

async fn put(
    store: &dyn Store,
    tenant: &TenantId,
    digest: &str,
    number: usize,
    piece: Option<Vec<u8>>,
) -> Result<()> {
    store.doc_put(tenant, BYTES, &piece_key(digest, number), None, piece).await.map(drop)
}

fn pieces(kept: &Kept) -> usize {
    let size = usize::try_from(kept.size).unwrap_or(MAX_SHARED_BYTES).min(MAX_SHARED_BYTES);
    size.div_ceil(PIECE)
}

fn piece_key(digest: &str, number: usize) -> String {
    format!("{digest}.{number}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::EmbeddedStore;

    fn plugin(name: &str) -> PluginKey {
        PluginKey { tenant: TenantId::default_tenant(), plugin: name.parse().unwrap() }
    }

    async fn fetched(store: &EmbeddedStore, name: &str) -> Option<Vec<u8>> {
        let tenant = TenantId::default_tenant();
        let names = names(store, &tenant).await.unwrap();
        fetch(store, &tenant, names.get(&plugin(name))?).await.unwrap()
    }

    async fn pieces_kept(store: &EmbeddedStore) -> usize {
        let page = Page { limit: MAX_PAGE, cursor: None };
        let tenant = TenantId::default_tenant();
        store.doc_list(&tenant, BYTES, page).await.unwrap().items.len()
    }

    #[tokio::test]
    async fn what_was_written_later_is_kept_and_nothing_that_no_name_stands_for() {
        let store = EmbeddedStore::memory();
        let (old, new) = (vec![1_u8; PIECE + 1], vec![2_u8; 3]);
        assert_eq!(share(&store, &plugin("a"), &old, 10).await, Ok(Shared::Put));
        assert_eq!(share(&store, &plugin("a"), &old, 11).await, Ok(Shared::Same));
        assert_eq!(share(&store, &plugin("b"), &old, 10).await, Ok(Shared::Put));
        assert_eq!((fetched(&store, "a").await, pieces_kept(&store).await), (Some(old.clone()), 2));

        assert_eq!(share(&store, &plugin("a"), &new, 9).await, Ok(Shared::Newer));
        assert_eq!(share(&store, &plugin("a"), &new, 11).await, Ok(Shared::Put));
        assert_eq!(fetched(&store, "a").await, Some(new.clone()));
        assert_eq!((fetched(&store, "b").await, pieces_kept(&store).await), (Some(old), 3));
        assert_eq!(share(&store, &plugin("b"), &new, 12).await, Ok(Shared::Put));
        assert_eq!((fetched(&store, "b").await, pieces_kept(&store).await), (Some(new), 1));
        assert_eq!(fetched(&store, "c").await, None);
    }

    #[tokio::test]
    async fn bytes_that_are_not_what_they_are_called_are_not_taken() {
        let store = EmbeddedStore::memory();
        share(&store, &plugin("a"), b"good", 1).await.unwrap();
        let digest = Digest::of(b"good").to_string();
        let tenant = TenantId::default_tenant();
        put(&store, &tenant, &digest, 0, Some(b"evil".to_vec())).await.unwrap();
        assert_eq!(fetched(&store, "a").await, None);
        put(&store, &tenant, &digest, 0, None).await.unwrap();
        assert_eq!(fetched(&store, "a").await, None);
    }

    #[tokio::test]
    async fn what_is_too_large_is_left_to_the_folders() {
        let store = EmbeddedStore::memory();
        let large = vec![0_u8; MAX_SHARED_BYTES + 1];
        assert_eq!(share(&store, &plugin("a"), &large, 1).await, Ok(Shared::TooLarge));
        assert_eq!((fetched(&store, "a").await, pieces_kept(&store).await), (None, 0));
    }
}
