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
use crate::job::names::QueueName;
use crate::record::Schedule;
use crate::store::Result;
use crate::store::error::StoreError;

/// How often it is done at most, whatever happens in the folder of plugins.
const EVERY: Duration = Duration::from_secs(1);
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
    /// Those that jobs name which this host declares, and that it lacks.
    pub(super) lacking: BTreeSet<PluginKey>,
    /// When all of it was done last.
    done: Option<Instant>,
    /// When jobs were looked through last, and how many there were.
    looked: Option<(Instant, usize)>,
    /// Digests that could not be fetched or loaded.
    refused: BTreeSet<String>,
}

impl Reloader {
    /// Does all that, once.
    pub(super) async fn keep_company(&mut self) {
        let Some(fleet) = &mut self.fleet else { return };
        if self.exchange.done.is_some_and(|done| done.elapsed() < EVERY) {
            return;
        }
        self.exchange.done = Some(Instant::now());
        match fleet.look().await {
            Ok(_) => self.behind |= fleet.has_settled(),
            Err(error) => return failed(&error, "the other hosts are out of sight"),
        }
        if let Err(error) = self.share().await {
            failed(&error, "plugins are not handed on to other hosts; trying again soon");
        }
        match self.take().await {
            Ok(taken) => self.behind |= taken,
            Err(error) => failed(&error, "plugins of other hosts are not fetched"),
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
        let mut kept = BTreeMap::new();
        for tenant in self.config.tenants.keys() {
            kept.extend(shelf::names(self.store.as_ref(), tenant).await?);
        }
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
        needed.extend(self.exchange.lacking.iter().cloned());
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
                let entry = Entry {
                    key,
                    from: FoundIn::Store,
                    about,
                    state,
                    loaded_at: now,
                    update_refused: None,
                };
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

/// Tells of a store that refuses; of one that is away others tell.
fn failed(error: &StoreError, so: &str) {
    match error {
        StoreError::Unavailable(_) | StoreError::Unknown(_) => debug!(%error, "{so}"),
        _ => warn!(%error, "{so}"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::names::TenantId;
    use crate::plugin::About;
    use crate::record::step::NewSchedule;
    use crate::schedule::reconcile::{Step, reconcile};
    use crate::store::Store as _;
    use crate::store::embedded::EmbeddedStore;
    use crate::time::Timestamp;

    fn key(name: &str) -> PluginKey {
        PluginKey { tenant: TenantId::default_tenant(), plugin: name.parse().unwrap() }
    }

    fn kept(digest: &str) -> Kept {
        Kept { digest: digest.to_owned(), size: 1, written_at: 1 }
    }

    fn entry(name: &str, from: FoundIn, digest: Option<&str>) -> Entry {
        let about = digest.map(|digest| About {
            kind: "component".to_owned(),
            digest: digest.to_owned(),
            size: 1,
            handlers: Vec::new(),
            imports: Vec::new(),
        });
        let state = State::Refused("it is only named here".to_owned());
        Entry {
            key: key(name),
            from,
            about,
            state,
            loaded_at: Timestamp::from_secs(0),
            update_refused: None,
        }
    }

    #[test]
    fn a_file_wins_and_what_came_from_the_store_follows_it() {
        let folder = || FoundIn::Folder("p.wasm".into());
        let catalog = Catalog::default()
            .with(entry("file", folder(), Some("old")))
            .with(entry("broken", folder(), None))
            .with(entry("same", FoundIn::Store, Some("new")))
            .with(entry("older", FoundIn::Store, Some("old")));
        let names = ["file", "broken", "same", "older", "absent"];
        let all = names.into_iter().map(|name| (key(name), kept("new"))).collect();
        let found: Vec<_> = lacking(&all, &catalog).into_keys().collect();
        assert_eq!(found, [key("absent"), key("older")]);
    }

    fn schedules(text: &str) -> Vec<NewSchedule> {
        let here = Path::new("/");
        let config = crate::config::Config::parse(text, &here.join("host.toml"), here, 1).unwrap();
        let jobs = crate::config::definitions::definitions(&config, &[], &[]).jobs;
        let all = reconcile(&jobs, &[], &BTreeSet::new(), None, Timestamp::from_secs(0));
        let created = all.steps.into_iter().map(|step| match step {
            Step::Create(schedule) => schedule,
            other => panic!("{other:?}"),
        });
        created.collect()
    }

    #[tokio::test]
    async fn jobs_need_plugins_in_the_queues_that_a_host_takes_from() {
        let store = EmbeddedStore::memory();
        let text = "[jobs.a]\nplugin = 'one'\n[jobs.b]\nplugin = 'two'\nqueue = 'gpu'\n\
                    [jobs.c]\nplugin = 'three'\n";
        for mut schedule in schedules(text) {
            if schedule.key.job.as_str() == "c" {
                schedule.parked = Some("undeclared".to_owned());
            }
            let now = Timestamp::from_secs(0);
            store.put(schedule, crate::record::step::Conflict::Fail, now).await.unwrap();
        }
        let jobs = all_schedules(&store).await.unwrap();
        let queue = |name: &str| BTreeSet::from([name.parse::<QueueName>().unwrap()]);
        assert_eq!(needs(&jobs, &queue("default")), BTreeSet::from([key("one")]));
        assert_eq!(needs(&jobs, &queue("gpu")), BTreeSet::from([key("two")]));
        assert_eq!(needs(&jobs, &BTreeSet::new()), BTreeSet::new());
    }
}
