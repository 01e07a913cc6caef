//! Everything that a store keeps of one tenant, in the form in which whole stores move.
//!
//! With it stand what an import needs to make the tenant again: the last fence, the document of one that
//! was made over REST, and the files of its plugins' versions, whichever place they are kept in.

use crate::catalog::shelf::Shelf;
use crate::job::names::TenantId;
use crate::plugin::versions::Versions;
use crate::record::portable::{Counts, DocRecord, Record};
use crate::record::tenant::{KeptTenant, TenantDoc};
use crate::store::error::StoreError;
use crate::store::portable::{NotWritten, Writer};

use super::removal::DRAINING;

/// The kind of the documents that tell of plugins.
const PLUGIN: &str = "plugin";

/// Why it is not there.
#[derive(Debug, thiserror::Error)]
pub enum NotExported {
    /// The store can't be read.
    #[error("can't read the store: {0}")]
    Store(#[from] StoreError),
    /// The file can't be written.
    #[error(transparent)]
    File(#[from] NotWritten),
}

/// Writes what a tenant has, without an end. Answers how much that is. `kept` is the tenant when it was
/// made over REST.
///
/// # Errors
///
/// The store or the file failed.
pub async fn write(
    shelf: &Shelf,
    tenant: &TenantId,
    kept: Option<&KeptTenant>,
    writer: &mut Writer,
) -> Result<Counts, NotExported> {
    let (mut counts, mut cursor) = (Counts::default(), None);
    let mut put = |writer: &mut Writer, record: &Record| {
        counts.add(record);
        writer.write(record)
    };
    let mut is_named = false;
    loop {
        let page = shelf.store().export(cursor).await?;
        for record in page.items {
            let Some(record) = own(record, tenant) else { continue };
            if !is_named && matches!(record, Record::Document(_) | Record::Counter(_)) {
                name(kept, |record| put(writer, record))?;
                is_named = true;
            }
            put(writer, &record)?;
            if let Record::Document(doc) = &record
                && doc.kind == PLUGIN
            {
                for piece in pieces(shelf, tenant, doc).await? {
                    put(writer, &Record::Document(piece))?;
                }
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            if !is_named {
                name(kept, |record| put(writer, record))?;
            }
            return Ok(counts);
        }
    }
}

/// Hands over the document of the tenant, as if nobody removed it.
fn name(
    kept: Option<&KeptTenant>,
    put: impl FnOnce(&Record) -> Result<(), NotWritten>,
) -> Result<(), NotExported> {
    let Some(kept) = kept else { return Ok(()) };
    let doc = TenantDoc { keys: kept.doc.keys.clone(), removal: None };
    let value = serde_json::to_vec(&doc)
        .map_err(|error| StoreError::Invalid(format!("a tenant has no JSON: {error}")))?;
    Ok(put(&Record::Document(DocRecord {
        tenant: TenantId::default_tenant(),
        kind: super::KIND.to_owned(),
        key: kept.name.to_string(),
        version: 1,
        value,
    }))?)
}

/// A record, if it is the tenant's or goes with each: a job as it was before it was parked for the
/// removal.
fn own(record: Record, tenant: &TenantId) -> Option<Record> {
    let is_own = match &record {
        Record::Fence(_) => true,
        Record::Job(schedule) => schedule.key.tenant == *tenant,
        Record::Run(record) => record.run.tenant == *tenant,
        Record::Range(record) => record.job.tenant == *tenant,
        Record::Document(doc) => doc.tenant == *tenant,
        Record::Counter(counter) => counter.tenant == *tenant,
        Record::Used(item) => item.bucket.tenant == *tenant,
    };
    match record {
        _ if !is_own => None,
        Record::Job(mut schedule) => {
            schedule.parked.take_if(|why| why == DRAINING);
            Some(Record::Job(schedule))
        }
        other => Some(other),
    }
}

/// The files of a plugin's versions that are not in the store.
async fn pieces(
    shelf: &Shelf,
    tenant: &TenantId,
    doc: &DocRecord,
) -> Result<Vec<DocRecord>, NotExported> {
    let Ok(versions) = serde_json::from_slice::<Versions>(&doc.value) else {
        return Ok(Vec::new());
    };
    let mut pieces = Vec::new();
    for version in &versions.kept {
        pieces.extend(shelf.pieces(tenant, version).await?);
    }
    Ok(pieces)
}
