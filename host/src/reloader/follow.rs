//! Makes the catalog what the records of plugins' versions say: each swap is one step, made when all
//! that it needs is loaded.
//!
//! A plugin is here when its file is, when it came over REST, or when jobs need one that another host
//! of a shared store has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Reloader;
use crate::catalog::changes::changes;
use crate::catalog::{Catalog, Entry, FoundIn, State, records};
use crate::config::Config;
use crate::engine::plugin::Plugin;
use crate::job::PluginKey;
use crate::job::names::TenantId;
use crate::metrics::PluginChange;
use crate::plugin::versions::{Versions, Way, short};
use crate::plugin::wants::list;
use crate::store::{Result, Store};

/// The pause before what a file is counts again.
const AT_ONCE: Duration = Duration::from_millis(500);
/// A version's file that is younger is not removed, whoever names it.
const SPARED: Duration = Duration::from_secs(10 * 60);
/// How long nobody tries to load a version again that could not be loaded.
const AGAIN: Duration = Duration::from_secs(10);
/// Versions that could not be loaded and are remembered at most.
const MAX_FAILED: usize = 1_000;

/// What is known of the versions that were to be loaded.
#[derive(Default)]
pub(super) struct Loaded {
    /// Just loaded, and not in the catalog yet, by their digests.
    pub(super) fresh: BTreeMap<String, Arc<Plugin>>,
    /// Those that could not be loaded: when, and why.
    failed: BTreeMap<String, (Instant, String)>,
    /// When what no record names was removed last.
    tidied: Option<Instant>,
    /// The versions that stood in records at the last look.
    named: BTreeSet<(TenantId, String)>,
    /// The records as they were read last.
    records: Records,
}

/// The records of all tenants, and what they were read at: they are read again when that is
/// another, so that a look at which nothing has changed is one question, however many tenants there
/// are.
#[derive(Default)]
struct Records {
    /// The store's mark of its documents just before.
    mark: Option<u64>,
    /// Whose were read.
    tenants: BTreeSet<TenantId>,
    all: BTreeMap<PluginKey, Versions>,
}

impl Loaded {
    /// The mark of the store's documents when the records were read last.
    pub(super) fn mark(&self) -> Option<u64> {
        self.records.mark
    }
}

impl Records {
    /// Reads them if they are others now. A half that was read counts as nothing.
    async fn look(&mut self, store: &dyn Store, config: &Config) -> Result<()> {
        // Before the records: what is written meanwhile makes it another.
        let mark = store.doc_mark().await?;
        if self.mark == Some(mark) && self.tenants.iter().eq(config.tenants.keys()) {
            return Ok(());
        }
        self.mark = None;
        self.all.clear();
        self.tenants = config.tenants.keys().cloned().collect();
        for tenant in &self.tenants {
            self.all.append(&mut records::list(store, tenant).await?);
        }
        self.mark = Some(mark);
        Ok(())
    }
}

impl Reloader {
    /// Looks at the records once. Answers whether plugins came, went or changed.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(super) async fn follow(&mut self) -> Result<bool> {
        self.loaded.records.look(self.store.as_ref(), &self.config).await?;
        let mut all = self.loaded.records.all.clone();
        let mut counts = BTreeMap::<_, usize>::new();
        for key in all.keys() {
            *counts.entry(key.tenant.clone()).or_default() += 1;
        }
        self.intake.count(counts);
        self.tidy(&all).await;
        let shared = self.store.caps().shared;
        let by_file = |(key, versions): (&PluginKey, &Versions)| {
            let other = versions.offered.by == Way::File && !self.files.contains_key(key);
            other.then(|| key.clone())
        };
        let others: BTreeSet<PluginKey> = all.iter().filter_map(by_file).collect();
        let needed = match shared && !others.is_empty() {
            true => self.needed(&others).await?,
            false => BTreeSet::new(),
        };
        let mut keys: BTreeSet<PluginKey> = self.files.keys().cloned().collect();
        keys.extend(self.catalog.borrow().entries().map(|entry| entry.key.clone()));
        keys.extend(all.keys().cloned());
        // What of a tenant that is being removed still runs needs what is loaded.
        keys.retain(|key| !self.config.is_draining(&key.tenant));
        let mut changed = false;
        for key in keys {
            let versions = all.remove(&key);
            let is_here = self.files.contains_key(&key) || needed.contains(&key);
            let put = versions.as_ref().is_some_and(|it| it.offered.by == Way::Rest);
            changed |= match is_here || put {
                true => self.set(key, versions).await?,
                false => self.take_out(&key),
            };
        }
        self.loaded.fresh.clear();
        Ok(changed)
    }

    /// Makes one plugin what its record and its file say.
    async fn set(&mut self, key: PluginKey, versions: Option<Versions>) -> Result<bool> {
        let before = self.catalog.borrow().get(&key).cloned();
        let file = self.files.get(&key).cloned();
        let refused = file.as_ref().and_then(|file| file.refused.clone());
        let Some(versions) = versions else {
            // Only its file is there, and that is refused or not taken in yet.
            let Some((file, why)) = file.clone().zip(refused) else {
                // Its record was removed: what the file is counts again.
                if let Some(file) = self.files.get_mut(&key).filter(|file| file.retry.is_none()) {
                    file.retry = Some((Instant::now(), AT_ONCE));
                }
                return Ok(self.take_out(&key));
            };
            if before
                .as_ref()
                .is_some_and(|it| matches!(&it.state, State::Refused(old) if *old == why))
            {
                return Ok(false);
            }
            let from = FoundIn::Folder(file.path);
            return Ok(self.put(before, self.refused(key, from, why, None)));
        };
        let is_same = before.as_ref().is_some_and(|before| {
            before.versions.as_deref() == Some(&versions)
                && before.update_refused == refused
                && before.is(&versions)
        });
        if is_same {
            return Ok(false);
        }
        let from = match (&file, versions.offered.by) {
            (Some(file), Way::File) if refused.is_none() => FoundIn::Folder(file.path.clone()),
            (Some(_) | None, _) => FoundIn::Store,
        };
        let running = versions.running().to_owned();
        let running = self.version(&key, &versions, &running, before.as_ref()).await?;
        let canary = match versions.canary.as_ref().map(|canary| canary.digest.clone()) {
            Some(digest) => self.version(&key, &versions, &digest, before.as_ref()).await?.ok(),
            None => None,
        };
        let versions = Arc::new(versions);
        let next = match running {
            Ok(plugin) => Entry {
                about: Some(plugin.about.clone()),
                loaded_at: match before.as_ref().and_then(|before| before.active()) {
                    Some(old) if old.about.digest == plugin.about.digest => {
                        before.as_ref().map_or_else(|| self.clock.now(), |before| before.loaded_at)
                    }
                    Some(_) | None => self.clock.now(),
                },
                state: State::Active(plugin),
                key,
                from,
                update_refused: refused,
                versions: Some(versions),
                canary,
            },
            // What runs goes on, and what is told of it is why the other one does not.
            Err(why) => match &before {
                Some(before)
                    if before.update_refused.as_ref() == Some(&why)
                        && before.versions.as_ref() == Some(&versions) =>
                {
                    return Ok(false);
                }
                Some(before) if before.active().is_some() => Entry {
                    update_refused: Some(why),
                    versions: Some(versions),
                    canary,
                    ..before.clone()
                },
                Some(_) | None => self.refused(key, from, why, Some(versions)),
            },
        };
        Ok(self.put(before, next))
    }

    /// A version of a plugin, compiled; or why it can't be.
    async fn version(
        &mut self,
        key: &PluginKey,
        versions: &Versions,
        digest: &str,
        before: Option<&Entry>,
    ) -> Result<std::result::Result<Arc<Plugin>, String>> {
        let is_it = |plugin: &&Arc<Plugin>| plugin.about.digest == digest;
        let loaded = before.into_iter().flat_map(|it| it.active().into_iter().chain(&it.canary));
        let known = loaded.into_iter().find(is_it).or_else(|| self.loaded.fresh.get(digest));
        if let Some(plugin) = known {
            return Ok(Ok(Arc::clone(plugin)));
        }
        if let Some((_, why)) =
            self.loaded.failed.get(digest).filter(|(at, _)| at.elapsed() < AGAIN)
        {
            return Ok(Err(why.clone()));
        }
        let Some(version) = versions.get(digest) else {
            return Ok(Err(format!("version {} is not kept", short(digest))));
        };
        let bytes = match self.intake.shelf().fetch(&key.tenant, version).await? {
            Some(bytes) => Some(bytes),
            None => self.files.get(key).and_then(|file| of_file(&file.path, digest)),
        };
        let loaded = match bytes {
            None => Err(format!(
                "the bytes of version {} are nowhere to be had; put its file here again",
                short(digest)
            )),
            Some(bytes) => match self.may_run(key, &bytes, version.signature.as_deref()) {
                Ok(()) => {
                    self.intake.engine().load(bytes.into()).await.map_err(|why| why.to_string())
                }
                Err(why) => Err(why),
            },
        };
        if let Err(why) = &loaded {
            warn!(plugin = %key.shown(), digest, "can't be loaded: {why}");
            if MAX_FAILED <= self.loaded.failed.len() {
                self.loaded.failed.clear();
            }
            self.loaded.failed.insert(digest.to_owned(), (Instant::now(), why.clone()));
        }
        Ok(loaded)
    }

    /// Whether this host may run bytes that another one took in.
    fn may_run(
        &self,
        key: &PluginKey,
        bytes: &[u8],
        signature: Option<&str>,
    ) -> std::result::Result<(), String> {
        let reload = self.config.reload(&key.tenant);
        match reload.require_signature {
            true => crate::plugin::signature::check(bytes, signature, &reload.signature_keys)
                .map_err(|why| format!("it {why}")),
            false => Ok(()),
        }
    }

    fn refused(
        &self,
        key: PluginKey,
        from: FoundIn,
        why: String,
        versions: Option<Arc<Versions>>,
    ) -> Entry {
        Entry {
            key,
            from,
            about: None,
            state: State::Refused(why),
            loaded_at: self.clock.now(),
            update_refused: None,
            versions,
            canary: None,
        }
    }

    /// Puts an entry into the catalog, and tells what that changes. Answers whether jobs may change.
    fn put(&self, before: Option<Entry>, next: Entry) -> bool {
        let old = before.as_ref().and_then(Entry::active).map(|plugin| plugin.about.digest.clone());
        let new = next.active().map(|plugin| plugin.about.digest.clone());
        for change in changes(before.as_ref(), &next) {
            self.intake.count_change(&next.key, change);
        }
        tell(before.as_ref(), &next, old.as_deref(), new.as_deref());
        let changed = before.is_none() || old != new;
        let catalog = self.catalog.borrow().with(next);
        self.catalog.send_replace(Arc::new(catalog));
        changed
    }

    /// Takes a plugin out of the catalog. Answers whether it was there.
    fn take_out(&self, key: &PluginKey) -> bool {
        let before: Arc<Catalog> = Arc::clone(&self.catalog.borrow());
        if before.get(key).is_none() {
            return false;
        }
        info!(plugin = %key.shown(), "is served no more");
        self.intake.count_change(key, PluginChange::Removed);
        self.catalog.send_replace(Arc::new(before.without(key)));
        true
    }

    /// Removes what no record names any more from the own folder.
    async fn tidy(&mut self, all: &BTreeMap<PluginKey, Versions>) {
        let named = all.iter().flat_map(|(key, versions)| {
            versions.kept.iter().map(|kept| (key.tenant.clone(), kept.digest.clone()))
        });
        let named: BTreeSet<_> = named.collect();
        let is_time = self.loaded.tidied.is_none_or(|at| SPARED < at.elapsed());
        if named != self.loaded.named || is_time {
            let tenants = self.config.tenants.keys().cloned().collect();
            let before = self.clock.now().before(SPARED);
            self.intake.shelf().tidy(tenants, named.clone(), before).await;
            self.loaded.named = named;
            self.loaded.tidied = Some(Instant::now());
        }
    }
}

/// Tells what a change of an entry means.
fn tell(before: Option<&Entry>, next: &Entry, old: Option<&str>, new: Option<&str>) {
    let plugin = next.key.shown();
    match (old, new) {
        (Some(old), Some(new)) if old != new => info!(
            %plugin, was = old, digest = new,
            "replaced; runs under way end with the version that they began with"
        ),
        (None, Some(new)) if next.from == FoundIn::Store => {
            info!(%plugin, digest = new, "loaded from the store");
        }
        (None, Some(new)) => {
            let handlers = next.about.as_ref().map_or(0, |about| about.handlers.len());
            info!(%plugin, digest = new, handlers, "loaded");
        }
        _ => (),
    }
    let held = |entry: &Entry| entry.versions.as_ref().and_then(|it| it.held.clone());
    if let Some(held) = held(next).filter(|it| before.and_then(held).as_ref() != Some(it)) {
        let name = &next.key.plugin;
        warn!(
            %plugin, digest = held.digest,
            "the new version wants {}, which the one before did not: it is held until somebody \
             approves it with `host plugins approve {name}`",
            list(&held.new)
        );
    }
}

/// The bytes of a file, if they are those of the digest.
fn of_file(path: &Path, digest: &str) -> Option<Vec<u8>> {
    let bytes = super::file::read(path).ok()?;
    (crate::engine::plugin::Digest::of(&bytes).to_string() == digest).then_some(bytes)
}
