//! Definitions of jobs, kept near: they are large, rarely change, and each fire needs one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::fault::unreadable;
use super::wire::Plan;
use crate::job::JobKey;
use crate::record::Definition;
use crate::run::id::Uid;
use crate::store::Result;

/// Definitions kept at most; more than that are read again when they are needed.
const MAX_KEPT: usize = 50_000;

/// The newest definition of each job that was asked for.
#[derive(Default)]
pub(super) struct Definitions {
    kept: Mutex<HashMap<JobKey, Entry>>,
}

struct Entry {
    uid: Uid,
    version: u64,
    def: Arc<Definition>,
}

impl Definitions {
    /// The definition that `plan` was written with, if it is here.
    pub(super) fn get(&self, job: &JobKey, plan: &Plan) -> Option<Arc<Definition>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(job)
            .filter(|entry| (entry.uid, entry.version) == (plan.uid, plan.def_version))
            .map(|entry| Arc::clone(&entry.def))
    }

    /// Takes in what was read, or written.
    pub(super) fn put(&self, job: &JobKey, plan: &Plan, def: Definition) -> Arc<Definition> {
        let def = Arc::new(def);
        let entry = Entry { uid: plan.uid, version: plan.def_version, def: Arc::clone(&def) };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if MAX_KEPT <= kept.len() && !kept.contains_key(job) {
            kept.clear();
        }
        kept.insert(job.clone(), entry);
        def
    }
}

/// Reads a definition as it is kept, if it is the one that `plan` was written with: another one
/// means that the job was replaced between two questions.
pub(super) fn read(kept: &[u8], plan: &Plan) -> Result<Option<Definition>> {
    let head = format!("{}{}\n", plan.uid, plan.def_version);
    let Some(text) = kept.strip_prefix(head.as_bytes()) else { return Ok(None) };
    serde_json::from_slice(text).map(Some).map_err(|error| unreadable("a definition", error))
}
