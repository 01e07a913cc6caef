//! What a plugin says about itself, and what is known of its versions, as values.

mod holds;
pub mod share;
pub mod signature;
pub mod versions;
pub mod wants;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::job::names::HandlerName;
use wants::Want;

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
    /// Whether it carries an interpreter, which imports everything whatever its program needs.
    #[serde(default)]
    pub interpreter: bool,
}

impl About {
    /// What it may reach outside itself, as far as its imports tell: nothing of an interpreter's.
    pub fn wants(&self) -> BTreeSet<Want> {
        match self.interpreter {
            true => BTreeSet::new(),
            false => wants::of_imports(&self.imports),
        }
    }
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
