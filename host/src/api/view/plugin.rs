//! A plugin as JSON.

use serde::{Deserialize, Serialize};

use crate::catalog::Entry;
use crate::job::names::{PluginName, TenantId};
use crate::plugin::Handler;
use crate::time::Timestamp;

/// A plugin, whether it can be run or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginView {
    /// Its name.
    pub name: PluginName,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is; null when the file could not be read far enough to tell.
    pub kind: Option<String>,
    /// Digest of the file, likewise.
    pub digest: Option<String>,
    /// Bytes of the file, likewise.
    pub size: Option<u64>,
    /// Its jobs.
    pub handlers: Vec<Handler>,
    /// Whether it can be run.
    pub state: State,
    /// Why it can't; of an active one, why the file that was put in its place does not count.
    pub error: Option<String>,
    /// When it was loaded or refused.
    pub loaded_at: Timestamp,
    /// Where it came from.
    #[serde(default)]
    pub found_in: FoundIn,
}

/// Where a plugin came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundIn {
    /// A file of the folder of plugins.
    #[default]
    Folder,
    /// The store, where another host put it.
    Store,
}

impl FoundIn {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Store => "store",
        }
    }
}

/// Whether a plugin can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It can.
    Active,
    /// It can't.
    Refused,
    /// It waits for somebody's approval.
    Held,
}

impl State {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Refused => "refused",
            Self::Held => "held",
        }
    }
}

impl PluginView {
    /// What is shown of an entry of the catalog.
    pub fn of(entry: &Entry) -> Self {
        let about = entry.about.as_ref();
        let (state, error) = match &entry.state {
            crate::catalog::State::Active(_) => (State::Active, entry.update_refused.clone()),
            crate::catalog::State::Refused(why) => (State::Refused, Some(why.clone())),
        };
        Self {
            name: entry.key.plugin.clone(),
            tenant: entry.key.tenant.clone(),
            kind: about.map(|about| about.kind.clone()),
            digest: about.map(|about| about.digest.clone()),
            size: about.map(|about| about.size),
            handlers: about.map(|about| about.handlers.clone()).unwrap_or_default(),
            state,
            error,
            loaded_at: entry.loaded_at,
            found_in: match entry.from {
                crate::catalog::FoundIn::Folder(_) => FoundIn::Folder,
                crate::catalog::FoundIn::Store => FoundIn::Store,
            },
        }
    }
}
