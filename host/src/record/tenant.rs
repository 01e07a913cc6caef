//! A tenant that was made over REST, as it is kept: its keys, and how far its removal is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::job::names::TenantId;
use crate::run::id::SessionId;
use crate::time::Timestamp;

/// A tenant and the document that it stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptTenant {
    /// Its name.
    pub name: TenantId,
    /// How often the document was written.
    pub version: u64,
    /// What it says.
    pub doc: TenantDoc,
}

/// What is kept of a tenant that was made over REST.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TenantDoc {
    /// The keys of its table as they were given; checked when they came.
    pub keys: Map<String, Value>,
    /// That it is being removed, and how far that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removal: Option<Removal>,
}

/// The removal of a tenant, from the request to the last record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Since when it drains.
    pub since: Timestamp,
    /// Who asked for it, as the audit names them.
    pub by: String,
    /// From then on live runs are cancelled.
    pub until: Timestamp,
    /// How far it is.
    pub step: Step,
    /// The file that takes what is deleted, below the folder of state of [`Self::host`].
    pub export: String,
    /// The host that carries it out.
    pub host: String,
    /// That host's session; another host goes on when it is over.
    pub session: SessionId,
}

/// How much of a tenant a store keeps beside its jobs and what it used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Runs, live ones too, and ranges of verdicts that became no run.
    pub records: u64,
    /// Documents by kind.
    pub documents: BTreeMap<String, u64>,
    /// Counters.
    pub counters: u64,
}

/// How far the removal of a tenant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Nothing new begins; live runs end, or are cancelled.
    Draining,
    /// All that it has is on disk, and is deleted.
    Deleting,
}
