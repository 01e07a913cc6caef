//! Carries out what [`removal`](super::removal) decides, until nothing is left of a tenant.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tracing::{info, warn};

use super::export;
use super::removal::{DRAINING, EXPORTS, Next, Seen, export_name, next};
use crate::audit::action::Action;
use crate::audit::{self, Note};
use crate::catalog::shelf::Shelf;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::job::names::TenantId;
use crate::lease::cell::SessionCell;
use crate::record::query::{JobFilter, MAX_PAGE, Page, RunFilter};
use crate::record::step::{LiveRuns, Patch};
use crate::record::tenant::{KeptTenant, Removal, Step};
use crate::record::{Schedule, Session};
use crate::run::{Run, RunState};
use crate::store::error::StoreError;
use crate::store::portable::Writer;
use crate::store::{Result, SPARED, Store};

/// The pause between two looks at a tenant that is being removed.
const EVERY: Duration = Duration::from_millis(500);
/// The same after something failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Records forgotten in one step: others wait for the store meanwhile.
const BUDGET: usize = 256;
/// What is said of a run that is cancelled.
const WHY: &str = "the tenant is being removed";

/// What a remover needs.
pub struct Remover {
    /// Where everything is.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: SharedClock,
    /// Which tenants are being removed.
    pub config: watch::Receiver<Arc<Config>>,
    /// The host's session.
    pub session: Arc<SessionCell>,
    /// Where the files of plugins' versions are.
    pub shelf: Shelf,
}

impl Remover {
    /// Works until `stop` holds true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut told = None;
        while !*stop.borrow() {
            let removed = self.removed();
            let mut pause = EVERY;
            for tenant in &removed {
                match self.look(tenant).await {
                    Ok(()) => told = None,
                    Err(error) => {
                        let error = format!("{error:#}");
                        if told.as_ref() != Some(&error) {
                            warn!(%tenant, %error, "is not removed yet; trying again soon");
                        }
                        (told, pause) = (Some(error), AFTER_FAILURE);
                    }
                }
            }
            let wait = async {
                if !removed.is_empty() {
                    tokio::time::sleep(pause).await;
                } else if self.config.changed().await.is_err() {
                    // Who sends it is gone: the host stops, and says so when its runs have ended.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = wait => (),
                told = stop.changed() => if told.is_err() { return },
            }
        }
    }

    /// The tenants that are being removed, as far as is known here.
    fn removed(&mut self) -> Vec<TenantId> {
        let config = Arc::clone(&self.config.borrow_and_update());
        config.tenants.keys().filter(|name| config.is_draining(name)).cloned().collect()
    }

    /// Does what is next for one of them.
    async fn look(&self, tenant: &TenantId) -> anyhow::Result<()> {
        let store = self.store.as_ref();
        let Some(kept) = super::get(store, tenant).await? else { return Ok(()) };
        let Some(removal) = kept.doc.removal.clone() else { return Ok(()) };
        let own = self.session.current().session.clone();
        let live = self.live(tenant).await?;
        let is_open = removal.session == own.id || self.is_open(&removal).await?;
        let seen = Seen {
            own: own.id,
            is_open,
            is_shared: store.caps().shared,
            has_live: !live.is_empty(),
        };
        match next(&removal, seen, self.clock.now()) {
            Next::Leave => Ok(()),
            Next::TakeOver => Ok(self.take_over(&kept, removal, own).await?),
            Next::Park => {
                self.park(tenant).await?;
                Ok(())
            }
            Next::Cancel => {
                self.park(tenant).await?;
                Ok(self.cancel(&live).await?)
            }
            Next::Export => {
                // Until all jobs were found parked, runs began: also after it was looked for them.
                let is_still = !self.park(tenant).await? && self.live(tenant).await?.is_empty();
                match is_still {
                    true => self.export(&kept, removal).await,
                    false => Ok(()),
                }
            }
            Next::Delete => self.delete(&kept, &removal).await,
        }
    }

    /// Whether the host that carries it out is there.
    async fn is_open(&self, removal: &Removal) -> Result<bool> {
        let hosts = self.store.hosts().await?;
        Ok(hosts.iter().any(|host| host.session.id == removal.session))
    }

    /// Carries on what another host, or this one before its restart, has begun.
    async fn take_over(&self, kept: &KeptTenant, removal: Removal, own: Session) -> Result<()> {
        let tenant = &kept.name;
        info!(%tenant, from = %removal.host, "goes on with the removal");
        let removal = match removal.step {
            // The file that was begun is of no use, and may lie elsewhere.
            Step::Draining => Removal {
                export: export_name(tenant, removal.since),
                host: own.host,
                session: own.id,
                ..removal
            },
            // What is on disk stays where it is.
            Step::Deleting => Removal { session: own.id, ..removal },
        };
        self.write(kept, removal).await
    }

    /// Writes how far it is, unless others did.
    async fn write(&self, kept: &KeptTenant, removal: Removal) -> Result<()> {
        let mut doc = kept.doc.clone();
        doc.removal = Some(removal);
        match super::put(self.store.as_ref(), &kept.name, kept.version, Some(&doc)).await {
            // What stands shows at the next look.
            Ok(_) | Err(StoreError::Conflict { .. } | StoreError::Unknown(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A page of the tenant's live runs.
    async fn live(&self, tenant: &TenantId) -> Result<Vec<Run>> {
        let states = vec![RunState::Queued, RunState::Running, RunState::Retrying];
        let filter = RunFilter { tenant: Some(tenant.clone()), states, ..RunFilter::default() };
        Ok(self.store.runs(filter, Page { limit: MAX_PAGE, cursor: None }).await?.items)
    }

    async fn jobs(&self, tenant: &TenantId) -> Result<Vec<Schedule>> {
        let (mut jobs, mut cursor) = (Vec::new(), None);
        loop {
            let filter = JobFilter { tenant: Some(tenant.clone()) };
            let page = self.store.list(filter, Page { limit: MAX_PAGE, cursor }).await?;
            jobs.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(jobs);
            }
        }
    }

    /// Keeps jobs from firing. One that is parked for another reason stays so. Answers whether there
    /// was one that could fire.
    async fn park(&self, tenant: &TenantId) -> Result<bool> {
        let free = |job: &Schedule| job.parked.is_none();
        let mut was_free = false;
        for job in self.jobs(tenant).await?.into_iter().filter(free) {
            was_free = true;
            let parked = Some(Some(DRAINING.to_owned()));
            let patch = Patch { parked, ..Patch::default() };
            match self.store.patch(&job.key, Some(job.version), patch, self.clock.now()).await {
                // It shows at the next look.
                Ok(_) | Err(StoreError::Conflict { .. } | StoreError::NotFound(_)) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(was_free)
    }

    async fn cancel(&self, live: &[Run]) -> Result<()> {
        for run in live.iter().filter(|run| run.cancel.is_none()) {
            match self.store.cancel(&run.key(), WHY, self.clock.now()).await {
                Ok(_) | Err(StoreError::NotFound(_)) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all that there is, and notes that it is on disk.
    async fn export(&self, kept: &KeptTenant, removal: Removal) -> anyhow::Result<()> {
        let tenant = &kept.name;
        let state_dir = self.config.borrow().state_dir.clone();
        make(&state_dir.join(EXPORTS))?;
        let path = state_dir.join(&removal.export);
        let from = self.store.caps().name;
        let mut writer = Writer::create(Some(&path), &from, self.clock.now())?;
        let counts = export::write(&self.shelf, tenant, Some(kept), &mut writer).await?;
        tokio::task::spawn_blocking(move || writer.finish()).await??;
        info!(%tenant, file = %path.display(), "{counts} are on disk; they are deleted now");
        Ok(self.write(kept, Removal { step: Step::Deleting, ..removal }).await?)
    }

    /// Whether its document is as it was read. Another one may have taken the removal over, and the
    /// tenant may be there anew by now.
    async fn stands(&self, kept: &KeptTenant) -> Result<bool> {
        let now = super::get(self.store.as_ref(), &kept.name).await?;
        Ok(now.is_some_and(|now| now.version == kept.version))
    }

    /// Deletes what is on disk; the document last.
    async fn delete(&self, kept: &KeptTenant, removal: &Removal) -> anyhow::Result<()> {
        let (store, tenant) = (self.store.as_ref(), &kept.name);
        for job in self.jobs(tenant).await? {
            if !self.stands(kept).await? {
                return Ok(());
            }
            // First: what has a job has a past that is looked at.
            store.remove(&job.key, None, LiveRuns::Cancel, self.clock.now()).await?;
        }
        loop {
            if !self.stands(kept).await? {
                return Ok(());
            }
            if !store.erase(tenant, BUDGET, self.clock.now()).await?.more {
                break;
            }
        }
        let left = store.holdings(tenant).await?;
        let mut kinds = left.documents.keys();
        if 0 < left.records + left.counters || kinds.any(|it| !SPARED.contains(&it.as_str())) {
            // What was begun before this host was told: that is seen at the next look.
            return Ok(self.cancel(&self.live(tenant).await?).await?);
        }
        match super::put(store, tenant, kept.version, None).await {
            Ok(_) => (),
            Err(StoreError::Conflict { .. } | StoreError::Unknown(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        info!(%tenant, export = %removal.export, host = %removal.host, "nothing is left of it");
        let note = Note::by_host(self.clock.now(), Action::TenantRemoved, None, tenant);
        let after = json!({"export": removal.export, "host": removal.host});
        let note = Note { who: removal.by.clone(), ..note.changed(Value::Null, after) };
        audit::note(&self.store, note).await;
        Ok(())
    }
}

/// Makes a folder that nobody else may look into.
fn make(folder: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("can't make the folder `{}`", folder.display()))
}

/// Where the exports of a host are.
pub fn folder(config: &Config) -> PathBuf {
    config.state_dir.join(EXPORTS)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake, Waker};

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::load;
    use crate::record::HostInfo;
    use crate::record::step::{Conflict, Put};
    use crate::record::tenant::TenantDoc;
    use crate::store::contract::world::{at, new_run, new_schedule};
    use crate::store::embedded::EmbeddedStore;

    /// A remover, the tenant `acme` that it is to remove, and what ends the configuration.
    async fn world(dir: &Path) -> (Remover, TenantId, watch::Sender<Arc<Config>>) {
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::memory());
        let session = store.attach(HostInfo::named("tower"), at(0)).await.unwrap().session;
        let tenant: TenantId = "acme".parse().unwrap();
        let removal = Removal {
            since: at(0),
            by: "local".to_owned(),
            until: at(0),
            step: Step::Draining,
            export: export_name(&tenant, at(0)),
            host: session.host.clone(),
            session: session.id,
        };
        let doc = TenantDoc { removal: Some(removal), ..TenantDoc::default() };
        crate::tenants::put(store.as_ref(), &tenant, 0, Some(&doc)).await.unwrap();
        let (sender, config) = watch::channel(Arc::new(load::load(None, dir).unwrap()));
        let remover = Remover {
            shelf: Shelf::new(Arc::clone(&store), dir.join("versions")),
            store,
            clock: Arc::new(SystemClock),
            config,
            session: Arc::new(SessionCell::unbounded(session)),
        };
        (remover, tenant, sender)
    }

    impl Remover {
        async fn kept(&self, tenant: &TenantId) -> KeptTenant {
            crate::tenants::get(self.store.as_ref(), tenant).await.unwrap().unwrap()
        }

        /// How far it is after one more look.
        async fn step(&self, tenant: &TenantId) -> Step {
            self.look(tenant).await.unwrap();
            self.kept(tenant).await.doc.removal.unwrap().step
        }

        async fn put(&self, name: &str) -> Put {
            self.store.put(new_schedule(name, 9), Conflict::Fail, at(0)).await.unwrap()
        }
    }

    /// Whether somebody called.
    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn nothing_is_exported_in_the_look_that_parks() {
        let dir = tempfile::tempdir().unwrap();
        let (remover, tenant, _sender) = world(dir.path()).await;
        remover.put("acme/a").await;
        assert_eq!(remover.step(&tenant).await, Step::Draining, "a run may have begun before");
        // As one that did: it is cancelled first.
        remover.store.start(new_run("acme/a", 1, at(0)), at(0)).await.unwrap();
        assert_eq!(remover.step(&tenant).await, Step::Draining);
        assert_eq!(remover.step(&tenant).await, Step::Deleting);
    }

    #[tokio::test]
    async fn what_was_made_anew_is_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let (remover, tenant, _sender) = world(dir.path()).await;
        assert_eq!(remover.step(&tenant).await, Step::Deleting);
        let kept = remover.kept(&tenant).await;
        // Meanwhile another one has ended it, and somebody has made it again.
        let (store, new) = (remover.store.as_ref(), TenantDoc::default());
        crate::tenants::put(store, &tenant, kept.version, Some(&new)).await.unwrap();
        remover.put("acme/a").await;
        let run = new_run("acme/a", 1, at(0));
        let key = crate::run::RunKey { tenant: tenant.clone(), run: run.id };
        store.start(run, at(0)).await.unwrap();
        let removal = kept.doc.removal.clone().unwrap();
        remover.delete(&kept, &removal).await.unwrap();
        assert_eq!(remover.jobs(&tenant).await.unwrap().len(), 1);
        assert_eq!(store.run(&key).await.unwrap().unwrap().state, RunState::Queued);
    }

    #[tokio::test]
    async fn it_waits_for_the_end_when_there_is_no_configuration_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let (remover, _, sender) = world(dir.path()).await;
        let (stop, stopped) = watch::channel(false);
        drop(sender);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut run = pin!(remover.run(stopped));
        assert!(run.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(!woken.0.load(Ordering::Relaxed), "it does not run in circles");
        stop.send_replace(true);
        assert!(run.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    }
}
