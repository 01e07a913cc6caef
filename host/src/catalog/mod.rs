//! The plugins that this host holds: found, compiled, or refused with the reason.
//!
//! A [`Catalog`] is a value that is swapped whole: readers keep the one they have.

pub mod changes;
pub mod fleet;
pub mod intake;
pub mod jobs;
pub mod quota;
pub mod records;
pub mod shelf;
mod smoke;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::resolve::Carried;
use crate::engine::plugin::Plugin;
use crate::job::PluginKey;
use crate::plugin::About;
use crate::plugin::versions::{Versions, Way};
use crate::run::id::RunId;
use crate::time::Timestamp;

/// All plugins at one instant.
#[derive(Clone, Default)]
pub struct Catalog {
    entries: BTreeMap<PluginKey, Entry>,
    classes: Arc<BTreeSet<PluginKey>>,
}

/// One plugin, whether it can be run or not.
#[derive(Clone)]
pub struct Entry {
    /// Its name.
    pub key: PluginKey,
    /// Where it was read from.
    pub from: FoundIn,
    /// What the file says; `None` when it could not be read far enough to tell.
    pub about: Option<About>,
    /// The compiled plugin, or why there is none.
    pub state: State,
    /// When it was loaded or refused.
    pub loaded_at: Timestamp,
    /// Why the file that was put in its place since then does not count.
    pub update_refused: Option<String>,
    /// What is known of its versions; `None`: none was ever taken.
    pub versions: Option<Arc<Versions>>,
    /// The version that some runs are given.
    pub canary: Option<Arc<Plugin>>,
}

/// Where a plugin was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundIn {
    /// A file of the folder of plugins.
    Folder(PathBuf),
    /// The store, where another host put it.
    Store,
}

/// Whether a plugin can be run.
#[derive(Clone)]
pub enum State {
    /// It can.
    Active(Arc<Plugin>),
    /// It can't, and this says why and what would help.
    Refused(String),
}

impl Entry {
    /// The compiled plugin that runs.
    pub fn active(&self) -> Option<&Arc<Plugin>> {
        match &self.state {
            State::Active(plugin) => Some(plugin),
            State::Refused(_) => None,
        }
    }

    /// Whether what is loaded is what these say.
    pub fn is(&self, versions: &Versions) -> bool {
        let digest = |plugin: &Arc<Plugin>| plugin.about.digest.clone();
        self.active().map(digest).as_deref() == Some(versions.running())
            && self.canary.as_ref().map(digest).as_ref()
                == versions.canary.as_ref().map(|canary| &canary.digest)
    }

    /// What the plugin says about the jobs that it carries, as far as it could be asked.
    pub fn carried(&self) -> Carried {
        let handlers = match &self.state {
            State::Active(plugin) => Some(plugin.about.handlers.clone()),
            State::Refused(_) => None,
        };
        let put = self.versions.as_ref().is_some_and(|it| it.offered.by == Way::Rest);
        let own = put || matches!(self.from, FoundIn::Folder(_));
        Carried { plugin: self.key.clone(), handlers, own }
    }
}

impl Catalog {
    /// A catalog that knows plugins by name alone: a scheduler can plan with it, nothing can be run.
    pub fn of_classes(classes: impl IntoIterator<Item = PluginKey>) -> Self {
        Self { entries: BTreeMap::new(), classes: Arc::new(classes.into_iter().collect()) }
    }

    /// This catalog with `entry` added, or in the place of the one of its name.
    pub fn with(&self, entry: Entry) -> Self {
        let mut entries = self.entries.clone();
        entries.insert(entry.key.clone(), entry);
        Self::of(entries)
    }

    fn of(entries: BTreeMap<PluginKey, Entry>) -> Self {
        let active = |(key, entry): (&PluginKey, &Entry)| match entry.state {
            State::Active(_) => Some(key.clone()),
            State::Refused(_) => None,
        };
        let classes = Arc::new(entries.iter().filter_map(active).collect());
        Self { entries, classes }
    }

    /// The same without one plugin.
    #[must_use]
    pub fn without(&self, key: &PluginKey) -> Self {
        let mut entries = self.entries.clone();
        entries.remove(key);
        Self::of(entries)
    }

    /// All plugins by name, the refused ones too.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.values()
    }

    /// The plugin of this name, refused or not.
    pub fn get(&self, key: &PluginKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The compiled plugin of this name.
    pub fn active(&self, key: &PluginKey) -> Option<&Arc<Plugin>> {
        match &self.get(key)?.state {
            State::Active(plugin) => Some(plugin),
            State::Refused(_) => None,
        }
    }

    /// The version that a run is given.
    pub fn of_run(&self, key: &PluginKey, run: RunId) -> Option<&Arc<Plugin>> {
        let entry = self.get(key)?;
        let share = entry.versions.as_ref().and_then(|it| it.canary.as_ref());
        let tried = share.zip(entry.canary.as_ref()).filter(|(canary, plugin)| {
            canary.digest == plugin.about.digest && canary.share.has(run)
        });
        tried.map(|(_, plugin)| plugin).or_else(|| self.active(key))
    }

    /// The plugins that can be run, by their full names, and the digest of each.
    pub fn digests(&self) -> BTreeMap<String, String> {
        let digest = |entry: &Entry| match &entry.state {
            State::Active(plugin) => Some((entry.key.to_string(), plugin.about.digest.clone())),
            State::Refused(_) => None,
        };
        self.entries.values().filter_map(digest).collect()
    }

    /// How many tenants have a plugin that can be run.
    pub fn tenants(&self) -> usize {
        self.classes.iter().map(|key| &key.tenant).collect::<BTreeSet<_>>().len()
    }

    /// The names of all plugins that can be run: the classes that this host serves.
    pub fn classes(&self) -> Arc<BTreeSet<PluginKey>> {
        Arc::clone(&self.classes)
    }
}
