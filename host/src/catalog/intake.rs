//! What happens to bytes that are offered as a plugin, from a file or over REST, until their version
//! stands in the plugin's record: nothing runs before, and what is wrong changes nothing.
//!
//! ```text
//! bytes ── signature ── compile, link, describe ── smoke ── shelf ── record ── (reloader) ── catalog
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};

use super::quota;
use super::records::{self, Change, MAX_NAMES};
use super::shelf::{MAX_SHARED_BYTES, Shelf};
use super::smoke::smoke;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::plugin::{Digest, Plugin};
use crate::job::names::TenantId;
use crate::job::quota::QuotaKey;
use crate::job::{Job, PluginKey, Smoke};
use crate::metrics::{Metrics, PluginChange};
use crate::plugin::signature;
use crate::plugin::versions::{Offered, Rules, Taken, Version, Versions, Way};
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// Bytes that somebody offers as a plugin.
pub struct Offer {
    /// The file.
    pub bytes: Arc<[u8]>,
    /// The text of its signature.
    pub signature: Option<String>,
    /// When it was written.
    pub written_at: Timestamp,
    /// How it came.
    pub by: Way,
    /// Whether nobody with a name offers it.
    pub unnamed: bool,
    /// Whether it counts though something else was written later: it was put here just now.
    pub any_age: bool,
}

/// Why an offer was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Something is wrong with it: the rest of a sentence about it.
    #[error("{0}")]
    Plugin(String),
    /// The tenant has as many plugins, or bytes of them, as its quota lets it.
    #[error(
        "the tenant has as much as its quota lets it: `quota.{key}` is {}; remove plugins that \
         nobody needs, or raise it", key.show(*limit)
    )]
    Quota {
        /// Of what.
        key: QuotaKey,
        /// The quota.
        limit: u64,
    },
    /// Its tenant is being removed.
    #[error("tenant `{0}` is being removed: nothing of it begins any more")]
    Draining(TenantId),
    /// Its tenant is gone.
    #[error("there is no tenant `{0}`")]
    NoTenant(TenantId),
    /// The store failed; the same offer may be made again.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What an offer came to.
pub struct Answer {
    /// The compiled plugin; `None`: it was known, and nothing was compiled.
    pub plugin: Option<Arc<Plugin>>,
    /// Its digest.
    pub digest: String,
    /// What became of it.
    pub taken: Taken,
}

/// Where plugins come in, for whoever has one.
pub struct Intake {
    engine: Arc<Engine>,
    shelf: Shelf,
    clock: SharedClock,
    config: watch::Receiver<Arc<Config>>,
    news: Arc<Notify>,
    metrics: Arc<Metrics>,
    /// The jobs that a new version is tried with.
    smoked: Mutex<BTreeMap<PluginKey, Vec<Job>>>,
    /// Records that there are of each tenant, as the reloader saw them last.
    records: Mutex<BTreeMap<TenantId, usize>>,
}

impl Intake {
    /// An intake that has taken nothing yet.
    pub fn new(
        engine: Arc<Engine>,
        shelf: Shelf,
        clock: SharedClock,
        config: watch::Receiver<Arc<Config>>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let news = Arc::default();
        Arc::new(Self {
            engine,
            shelf,
            clock,
            config,
            news,
            metrics,
            smoked: Mutex::default(),
            records: Mutex::default(),
        })
    }

    /// The sandbox that plugins are compiled for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where versions are kept.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Says that something is to be looked at. It is soon, also when this is called very often.
    pub fn tell(&self) {
        self.news.notify_one();
    }

    /// What says so, for those that are told by somebody else, and for the one who looks.
    pub fn news(&self) -> Arc<Notify> {
        Arc::clone(&self.news)
    }

    /// Counts what became of a plugin.
    pub fn count_change(&self, plugin: &PluginKey, change: PluginChange) {
        self.metrics.plugin(&plugin.tenant, change);
    }

    /// Says which jobs want a new version of their plugin tried before it takes the place of another.
    pub fn smoke_with(&self, jobs: impl Iterator<Item = Job>) {
        let mut smoked = BTreeMap::<_, Vec<Job>>::new();
        for job in jobs.filter(|job| job.smoke != Smoke::No) {
            smoked.entry(job.plugin_key()).or_default().push(job);
        }
        *self.smoked.lock().unwrap_or_else(PoisonError::into_inner) = smoked;
    }

    fn kept(&self, tenant: &TenantId) -> usize {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.get(tenant).copied().unwrap_or_default()
    }

    async fn smoke(&self, key: &PluginKey, plugin: &Plugin, unnamed: bool) -> Result<(), Refused> {
        let jobs = self.smoked.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        let config = Arc::clone(&self.config.borrow());
        for job in jobs.unwrap_or_default() {
            if unnamed && let Some(why) = unfit_for_unnamed(&job) {
                return Err(Refused::Plugin(format!("its smoke run can't begin: {why}")));
            }
            let tried = smoke(&self.engine, plugin, &job, &config, &self.clock).await;
            tried.map_err(Refused::Plugin)?;
        }
        Ok(())
    }

    /// Notes how many records there are of each tenant.
    pub fn count(&self, records: BTreeMap<TenantId, usize>) {
        *self.records.lock().unwrap_or_else(PoisonError::into_inner) = records;
    }

    /// Takes an offer in. What it comes to shows in the catalog once its keeper has looked.
    ///
    /// # Errors
    ///
    /// Why it is refused, or that the store failed.
    pub async fn take(&self, plugin: &PluginKey, offer: Offer) -> Result<Answer, Refused> {
        let reload = self.config.borrow().reload(&plugin.tenant);
        let digest = Digest::of(&offer.bytes).to_string();
        self.check_signature(plugin, &offer)?;
        let before = records::get(self.shelf.store(), plugin).await?;
        let known = before.as_ref().is_some_and(|before| before.offered.digest == digest);
        let kept = before.as_ref().and_then(|before| before.get(&digest));
        if known
            && kept.is_some_and(|kept| {
                let signed_anew = offer.signature.is_some() && offer.signature != kept.signature;
                (offer.unnamed || !kept.unnamed) && !signed_anew
            })
        {
            // The bytes may be gone from here: another machine, a folder that was emptied.
            self.shelf.keep(&plugin.tenant, &digest, &offer.bytes).await?;
            return Ok(Answer { plugin: None, digest, taken: Taken::Same });
        }
        if before.is_none() && MAX_NAMES <= self.kept(&plugin.tenant) {
            return Err(Refused::Plugin(format!(
                "the store keeps {MAX_NAMES} plugins of its tenant already; remove some that nobody needs"
            )));
        }
        let loaded = self.engine.load(Arc::clone(&offer.bytes)).await;
        let loaded = loaded.map_err(|refusal| Refused::Plugin(refusal.to_string()))?;
        if before.is_some() {
            self.smoke(plugin, &loaded, offer.unnamed).await?;
        }
        self.check_tenant(&plugin.tenant)?;
        let version = Version {
            digest: digest.clone(),
            size: loaded.about.size,
            added_at: self.clock.now(),
            wants: loaded.about.wants(),
            interpreter: loaded.about.interpreter,
            signature: offer.signature,
            note: None,
            unnamed: offer.unnamed,
        };
        let offered =
            Offered { digest: digest.clone(), written_at: offer.written_at, by: offer.by };
        let rules = Rules {
            keep: reload.keep_versions,
            hold: reload.hold_new_capabilities,
            trial: reload.auto_rollback > 0,
            any_age: offer.any_age,
        };
        let step = |before: Option<Versions>| {
            let (version, offered) = (version.clone(), offered.clone());
            let Some(mut versions) = before else {
                return (Versions::first(version, offered), Taken::Current);
            };
            let taken = versions.offer(version, offered, rules);
            (versions, taken)
        };
        self.make_room(plugin, &step(before).0).await?;
        if !self.shelf.keep(&plugin.tenant, &digest, &offer.bytes).await? {
            tracing::warn!(plugin = %plugin.shown(),
                "is larger than {} MiB and not in the store; each host needs the file",
                MAX_SHARED_BYTES >> 20);
        }
        // All of this takes time, and what is written of a tenant that is gone nobody removes.
        self.check_tenant(&plugin.tenant)?;
        let taken = records::change(&self.shelf, plugin, |before| match step(before) {
            (_, Taken::Older) => Change::Leave(Taken::Older),
            (versions, taken) => Change::Put(Box::new(versions), taken),
        })
        .await?;
        Ok(Answer { plugin: Some(loaded), digest, taken })
    }

    /// Holds the tenant to its quota of plugins: this is the record of one as it will be. What is kept for
    /// going back counts.
    async fn make_room(&self, plugin: &PluginKey, after: &Versions) -> Result<(), Refused> {
        let quota = self.config.borrow().allotment(&plugin.tenant).quota;
        let bytes = quota::bytes_of(after);
        match quota::reserve(self.shelf.store(), plugin, bytes, quota).await {
            Err(StoreError::Quota { key, limit }) => Err(Refused::Quota { key, limit }),
            made => Ok(made?),
        }
    }

    fn check_tenant(&self, tenant: &TenantId) -> Result<(), Refused> {
        let config = self.config.borrow();
        if !config.tenants.contains_key(tenant) {
            return Err(Refused::NoTenant(tenant.clone()));
        }
        match config.is_draining(tenant) {
            true => Err(Refused::Draining(tenant.clone())),
            false => Ok(()),
        }
    }

    fn check_signature(&self, plugin: &PluginKey, offer: &Offer) -> Result<(), Refused> {
        let reload = self.config.borrow().reload(&plugin.tenant);
        if !reload.require_signature {
            return Ok(());
        }
        let signature = offer.signature.as_deref();
        let checked = signature::check(&offer.bytes, signature, &reload.signature_keys);
        checked.map_err(|why| Refused::Plugin(format!("it {why}")))
    }
}

/// Why a job does not run a version that nobody with a name stands behind; `None`: it does.
pub fn unfit_for_unnamed(job: &Job) -> Option<String> {
    let granted = &job.capabilities;
    let kinds = [
        ("dirs", granted.dirs.is_empty()),
        ("env", granted.env.is_empty()),
        ("secrets", granted.secrets.is_empty()),
    ];
    let seen: Vec<_> = kinds.iter().filter(|(_, none)| !none).map(|(kind, _)| *kind).collect();
    (!seen.is_empty()).then(|| {
        format!(
            "this version of plugin `{}` was put over REST without a token, and job `{}` has {}: put \
             it with a token, or as a file",
            job.plugin,
            job.key.job,
            seen.join(", ")
        )
    })
}
