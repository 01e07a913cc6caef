//! A plugin as JSON.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::catalog::Entry;
use crate::job::names::{PluginName, TenantId};
use crate::plugin::Handler;
use crate::plugin::versions::{Canary, Held, Version, Versions};
use crate::plugin::wants::Want;
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
    /// The digest of the version that runs whatever comes.
    #[serde(default)]
    pub pinned: Option<String>,
    /// The version that some runs are given.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// The version that waits for approval.
    #[serde(default)]
    pub held: Option<Held>,
    /// The versions that are kept, the newest first.
    #[serde(default)]
    pub versions: Vec<VersionView>,
}

/// One version of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionView {
    /// Digest of the file.
    pub digest: String,
    /// Bytes of the file.
    pub size: u64,
    /// When it came first.
    pub added_at: Timestamp,
    /// What it is used for.
    pub state: VersionState,
    /// What it may reach; of one with an interpreter, what it was seen to reach for.
    pub wants: BTreeSet<Want>,
    /// Why it was taken back.
    pub note: Option<String>,
}

/// What a version is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// It runs.
    Running,
    /// Some runs are given to it.
    Canary,
    /// It waits for approval.
    Held,
    /// It can be gone back to.
    Kept,
}

impl VersionState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Canary => "canary",
            Self::Held => "held",
            Self::Kept => "kept",
        }
    }
}

fn versions(versions: &Versions) -> Vec<VersionView> {
    let state = |digest: &str| {
        let canary = versions.canary.as_ref().map(|canary| canary.digest.as_str());
        let held = versions.held.as_ref().map(|held| held.digest.as_str());
        match Some(digest) {
            it if it == Some(versions.running()) => VersionState::Running,
            it if it == canary => VersionState::Canary,
            it if it == held => VersionState::Held,
            _ => VersionState::Kept,
        }
    };
    let view = |version: &Version| VersionView {
        digest: version.digest.clone(),
        size: version.size,
        added_at: version.added_at,
        state: state(&version.digest),
        wants: version.wants.clone(),
        note: version.note.clone(),
    };
    versions.kept.iter().map(view).collect()
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
        let known = entry.versions.as_deref();
        Self {
            pinned: known.and_then(|it| it.pinned.clone()),
            canary: known.and_then(|it| it.canary.clone()),
            held: known.and_then(|it| it.held.clone()),
            versions: known.map(versions).unwrap_or_default(),
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
