//! What hosts declare, as documents of the store that they share.
//!
//! ```text
//! declared       <session>            {"parts": n, "tag": "...", "whole": true}
//! declared-part  <session>.<number>   the tag, a line end, and a piece of the declaration
//! ```
//!
//! The head is written before the parts, not whole, and after them, whole: whoever finds a session
//! over knows what to remove, and whoever reads too early knows that too. Lists carry heads alone.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::job::names::TenantId;
use crate::record::query::{MAX_PAGE, Page};
use crate::run::id::SessionId;
use crate::schedule::declared::Declaration;
use crate::store::error::StoreError;
use crate::store::{Result, Store};

/// The kind of the heads.
const HEAD: &str = "declared";
/// The kind of the parts.
const PART: &str = "declared-part";
/// Bytes of a part at most.
const PART_BYTES: usize = 256 << 10;
/// Parts of one declaration at most: 64 MiB, more than half a million jobs.
const MAX_PARTS: usize = 256;
/// Bytes of a tag, hexadecimal.
const TAG: usize = 16;

/// What is known of a session's declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Whose.
    pub(super) session: SessionId,
    /// Another one at each change.
    pub(super) version: u64,
    told: Told,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    parts: usize,
    tag: String,
    whole: bool,
}

impl Head {
    /// Whether the declaration can be read.
    pub(super) fn is_whole(&self) -> bool {
        self.told.whole
    }
}

/// Every declaration that is there, also of sessions that are over.
///
/// # Errors
///
/// The store failed.
pub(super) async fn heads(store: &dyn Store) -> Result<Vec<Head>> {
    let mut heads = Vec::new();
    let mut page = Page { limit: MAX_PAGE, cursor: None };
    loop {
        let paged = store.doc_list(&TenantId::default_tenant(), HEAD, page).await?;
        for doc in paged.items {
            // One that a newer host writes otherwise is none that could be read here.
            let unread = Told { parts: 0, tag: String::new(), whole: false };
            let told = serde_json::from_slice(&doc.value).unwrap_or(unread);
            let session = doc.key.parse();
            heads.extend(session.map(|session| Head { session, version: doc.version, told }));
        }
        match paged.next_cursor {
            Some(cursor) => page = Page { limit: MAX_PAGE, cursor: Some(cursor) },
            None => return Ok(heads),
        }
    }
}

/// The declaration behind a head; `None`: it is being written, or can't be read by this host.
///
/// # Errors
///
/// The store failed.
pub(super) async fn read(store: &dyn Store, head: &Head) -> Result<Option<Declaration>> {
    let mut text = Vec::new();
    if !head.told.whole {
        return Ok(None);
    }
    for number in 0..head.told.parts.min(MAX_PARTS) {
        let key = part_key(head.session, number);
        let doc = store.doc_get(&TenantId::default_tenant(), PART, &key).await?;
        let Some(doc) = doc else { return Ok(None) };
        match doc.value.split_at_checked(TAG) {
            Some((tag, piece)) if tag == head.told.tag.as_bytes() => text.extend_from_slice(piece),
            Some(_) | None => return Ok(None),
        }
    }
    Ok(serde_json::from_slice(&text).ok())
}

/// Writes what the host of `session` declares.
///
/// # Errors
///
/// The store failed, or there is more to declare than is kept: then others take it that this host
/// declares everything.
pub(super) async fn write(
    store: &dyn Store,
    session: SessionId,
    declaration: &Declaration,
) -> Result<()> {
    let text = serde_json::to_vec(declaration)
        .map_err(|error| StoreError::Invalid(format!("what is declared has no JSON: {error}")))?;
    let tag: String =
        Sha256::digest(&text).iter().take(TAG / 2).map(|byte| format!("{byte:02x}")).collect();
    let pieces: Vec<&[u8]> = text.chunks(PART_BYTES).collect();
    let before = kept(store, session).await?.map_or(0, |told| told.parts);
    let parts = pieces.len().max(before).min(MAX_PARTS);
    put_head(store, session, &Told { parts, tag: tag.clone(), whole: false }).await?;
    if MAX_PARTS < pieces.len() {
        return Err(StoreError::Invalid(format!(
            "{} bytes are declared, more than the {} that are kept; split the jobs between hosts",
            text.len(),
            MAX_PARTS * PART_BYTES
        )));
    }
    for (number, piece) in pieces.iter().enumerate() {
        let value = [tag.as_bytes(), piece].concat();
        put(store, PART, &part_key(session, number), Some(value)).await?;
    }
    for number in pieces.len()..parts {
        put(store, PART, &part_key(session, number), None).await?;
    }
    put_head(store, session, &Told { parts: pieces.len(), tag, whole: true }).await
}

/// Removes the declaration of a session that is over.
///
/// # Errors
///
/// The store failed.
pub(super) async fn remove(store: &dyn Store, head: &Head) -> Result<()> {
    for number in 0..head.told.parts.min(MAX_PARTS) {
        put(store, PART, &part_key(head.session, number), None).await?;
    }
    put(store, HEAD, &head.session.to_string(), None).await
}

async fn kept(store: &dyn Store, session: SessionId) -> Result<Option<Told>> {
    let key = session.to_string();
    let doc = store.doc_get(&TenantId::default_tenant(), HEAD, &key).await?;
    Ok(doc.and_then(|doc| serde_json::from_slice(&doc.value).ok()))
}

async fn put_head(store: &dyn Store, session: SessionId, told: &Told) -> Result<()> {
    let value = serde_json::to_vec(told)
        .map_err(|error| StoreError::Invalid(format!("a head has no JSON: {error}")))?;
    put(store, HEAD, &session.to_string(), Some(value)).await
}

async fn put(store: &dyn Store, kind: &str, key: &str, value: Option<Vec<u8>>) -> Result<()> {
    store.doc_put(&TenantId::default_tenant(), kind, key, None, value).await.map(drop)
}

fn part_key(session: SessionId, number: usize) -> String {
    format!("{session}.{number}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::definitions::definitions;
    use crate::store::embedded::EmbeddedStore;

    fn declaration(jobs: usize) -> Declaration {
        let text: String = (0..jobs).map(|n| format!("[jobs.j{n}]\nplugin = 'p'\n")).collect();
        let here = std::path::Path::new("/");
        let config = Config::parse(&text, &here.join("host.toml"), here, 1).unwrap();
        Declaration::of(&definitions(&config, &[], &[]))
    }

    #[tokio::test]
    async fn a_declaration_of_any_size_is_read_as_it_was_written_and_removed_whole() {
        let store = EmbeddedStore::memory();
        let (one, two) = (SessionId::from_bits(1), SessionId::from_bits(2));
        let (large, small) = (declaration(3_000), declaration(2));
        write(&store, one, &large).await.unwrap();
        write(&store, two, &Declaration::default()).await.unwrap();
        let heads_now = heads(&store).await.unwrap();
        assert_eq!(heads_now.iter().map(|head| head.session).collect::<Vec<_>>(), [one, two]);
        assert!(heads_now[0].told.parts > 1, "{:?}", heads_now[0]);
        assert_eq!(read(&store, &heads_now[0]).await.unwrap(), Some(large));
        assert_eq!(read(&store, &heads_now[1]).await.unwrap(), Some(Declaration::default()));

        write(&store, one, &small).await.unwrap();
        assert_eq!(read(&store, &heads_now[0]).await.unwrap(), None, "it was written meanwhile");
        let now = heads(&store).await.unwrap();
        assert_ne!(now[0].version, heads_now[0].version);
        assert_eq!(read(&store, &now[0]).await.unwrap(), Some(small));

        for head in &now {
            remove(&store, head).await.unwrap();
        }
        for kind in [HEAD, PART] {
            let page = Page { limit: 10, cursor: None };
            let left = store.doc_list(&TenantId::default_tenant(), kind, page).await.unwrap();
            assert!(left.items.is_empty(), "{kind}: {left:?}");
        }
    }

    #[tokio::test]
    async fn what_is_half_written_is_not_read() {
        let store = EmbeddedStore::memory();
        let session = SessionId::from_bits(1);
        put_head(&store, session, &Told { parts: 1, tag: "x".into(), whole: false }).await.unwrap();
        let half = heads(&store).await.unwrap();
        assert!(!half[0].is_whole());
        assert_eq!(read(&store, &half[0]).await.unwrap(), None);
    }
}
