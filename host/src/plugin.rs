//! What a plugin says about itself, as values.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::job::names::HandlerName;

/// What a plugin says about itself, and what was seen from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What it is: `component`.
    pub kind: String,
    /// `sha256:` and 64 hexadecimal digits of the file.
    pub digest: String,
    /// Bytes of the file.
    pub size: u64,
    /// Its jobs.
    pub handlers: Vec<Handler>,
    /// The interfaces that it imports, that is: may use.
    pub imports: Vec<String>,
}

/// One job that a plugin carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handler {
    /// Its name.
    pub name: HandlerName,
    /// What it does.
    pub description: String,
    /// The keys of a job that it suggests.
    pub defaults: Option<Value>,
}
