//! What a reloader does because its store is shared: it hands its plugins on, takes those that it
//! lacks and needs, and looks after jobs that hosts declared that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{debug, info, warn};

use super::Reloader;
use super::apply::all_schedules;
use super::shelf::{self, Kept, MAX_SHARED_BYTES, Shared};
use crate::catalog::{Catalog, Entry, FoundIn, State};
use crate::job::PluginKey;
use crate::job::names::{QueueName, TenantId};
use crate::record::Schedule;
use crate::store::Result;

/// How often jobs are looked through for plugins that they need and this host lacks.
const NEEDS_EVERY: Duration = Duration::from_secs(2);
/// Jobs up to which that is done each time; of more it is done less often.
const EASY_TO_READ: usize = 5_000;
/// How often it is done then.
const NEEDS_RARELY: Duration = Duration::from_secs(60);
/// A plugin that was refused is not fetched again before the store has another one.
const MAX_REFUSED: usize = 1_000;

/// What a reloader remembers of what it hands on and takes.
#[derive(Default)]
pub(super) struct Exchange {
    /// Loaded from the folder and not handed on yet.
    pub(super) to_share: BTreeSet<PluginKey>,
    /// When jobs were looked through last, and how many there were.
    looked: Option<(Instant, usize)>,
    /// Digests that could not be fetched or loaded.
    refused: BTreeSet<String>,
}

impl Reloader {
    /// Does all that, once.
    pub(super) async fn keep_company(&mut self) {
        let Some(fleet) = &mut self.fleet else { return };
        match fleet.look().await {
            Ok(_) => self.behind |= fleet.has_settled(),
            Err(error) => debug!(%error, "the other hosts are out of sight"),
        }
        if let Err(error) = self.share().await {
            warn!(%error, "plugins could not be handed on to other hosts; trying again soon");
        }
        match self.take().await {
            Ok(taken) => self.behind |= taken,
            Err(error) => warn!(%error, "plugins of other hosts could not be fetched"),
        }
    }

    /// Hands on what was loaded from the folder.
    async fn share(&mut self) -> Result<()> {
        while let Some(key) = self.exchange.to_share.first().cloned() {
            let catalog = std::sync::Arc::clone(&self.catalog.borrow());
            if let Some((FoundIn::Folder(file), plugin)) =
                catalog.get(&key).map(|entry| &entry.from).zip(catalog.active(&key))
            {
                let (bytes, name) = (plugin.bytes(), &key.plugin);
                let written_at = written_at(file);
                match shelf::share(self.store.as_ref(), &key, bytes, written_at).await? {
                    Shared::Put => info!(plugin = %name, "is in the store for other hosts"),
                    Shared::Same => (),
                    Shared::Newer => info!(plugin = %name,
                        "the store has one that was written later; this host's file counts here"),
                    Shared::TooLarge => warn!(plugin = %name,
                        "is larger than {} MiB and not in the store; each host needs the file",
                        MAX_SHARED_BYTES >> 20),
                    Shared::TooMany => warn!(plugin = %name,
                        "the store has as many plugins as it keeps; each host needs the file"),
                }
            }
            self.exchange.to_share.remove(&key);
        }
        Ok(())
    }

    /// Takes what this host lacks and needs. Answers whether the catalog changed.
    async fn take(&mut self) -> Result<bool> {
        let tenant = TenantId::default_tenant();
        let kept = shelf::names(self.store.as_ref(), &tenant).await?;
        let catalog = std::sync::Arc::clone(&self.catalog.borrow());
        let mut others = lacking(&kept, &catalog);
        others.retain(|_, kept| !self.exchange.refused.contains(&kept.digest));
        if others.is_empty() {
            return Ok(false);
        }
        let needed = self.needed(&others, &catalog).await?;
        let mut taken = false;
        for (key, kept) in others.into_iter().filter(|(key, _)| needed.contains(key)) {
            taken |= self.take_one(key, &kept).await?;
        }
        Ok(taken)
    }

    /// Which of the plugins that are to be had this host needs.
    async fn needed(
        &mut self,
        others: &BTreeMap<PluginKey, Kept>,
        catalog: &Catalog,
    ) -> Result<BTreeSet<PluginKey>> {
        // One that came from the store was needed before.
        let held = others.keys().filter(|key| catalog.get(key).is_some()).cloned();
        let mut needed: BTreeSet<PluginKey> = held.collect();
        let pause = match self.exchange.looked {
            Some((_, jobs)) if EASY_TO_READ < jobs => NEEDS_RARELY,
            Some(_) | None => NEEDS_EVERY,
        };
        if self.exchange.looked.is_none_or(|(at, _)| pause <= at.elapsed()) {
            let jobs = all_schedules(self.store.as_ref()).await?;
            self.exchange.looked = Some((Instant::now(), jobs.len()));
            needed.extend(needs(&jobs, &self.config.served()));
        }
        Ok(needed)
    }

    async fn take_one(&mut self, key: PluginKey, kept: &Kept) -> Result<bool> {
        let name = &key.plugin;
        let bytes = shelf::fetch(self.store.as_ref(), &key.tenant, kept).await?;
        let Some(bytes) = bytes else {
            debug!(plugin = %name, "its bytes are gone or not what they are called");
            return Ok(false);
        };
        let now = self.clock.now();
        match self.engine.load(bytes.into()).await {
            Ok(plugin) => {
                info!(plugin = %name, digest = %kept.digest, "loaded from the store");
                let about = Some(plugin.about.clone());
                let state = State::Active(plugin);
                let entry = Entry { key, from: FoundIn::Store, about, state, loaded_at: now };
                let catalog = self.catalog.borrow().with(entry);
                self.catalog.send_replace(std::sync::Arc::new(catalog));
                Ok(true)
            }
            Err(why) => {
                warn!(plugin = %name, "the one that the store has is refused: {why}");
                if self.exchange.refused.len() < MAX_REFUSED {
                    self.exchange.refused.insert(kept.digest.clone());
                }
                Ok(false)
            }
        }
    }
}

/// When a file was written, seconds since 1970; 0 when nobody can tell.
fn written_at(file: &Path) -> i64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).map_or(0, |metadata| metadata.mtime())
}

/// Those that this host has neither from its folder nor just like that from the store. A file wins,
/// even one that is refused.
fn lacking(kept: &BTreeMap<PluginKey, Kept>, catalog: &Catalog) -> BTreeMap<PluginKey, Kept> {
    let lacks = |key: &PluginKey, kept: &Kept| match catalog.get(key) {
        None => true,
        Some(entry) => match (&entry.from, &entry.about) {
            (FoundIn::Folder(_), _) => false,
            (FoundIn::Store, about) => {
                about.as_ref().is_none_or(|about| about.digest != kept.digest)
            }
        },
    };
    let lacking = kept.iter().filter(|(key, kept)| lacks(key, kept));
    lacking.map(|(key, kept)| (key.clone(), kept.clone())).collect()
}

/// The plugins that jobs of these queues need.
fn needs(jobs: &[Schedule], queues: &BTreeSet<QueueName>) -> BTreeSet<PluginKey> {
    let scheduled = jobs.iter().filter(|schedule| schedule.parked.is_none());
    let need = scheduled.filter_map(|schedule| {
        let effective = schedule.def.effective.get();
        let text = |key: &str| effective.get(key).and_then(Value::as_str);
        let queue: QueueName = text("queue")?.parse().ok()?;
        let plugin = text("plugin")?.parse().ok()?;
        let key = PluginKey { tenant: schedule.key.tenant.clone(), plugin };
        queues.contains(&queue).then_some(key)
    });
    need.collect()
}
