//! Loads the plugins folder at start and whatever appears in it later, reads `host.toml` again when it
//! changes, and brings the jobs that files and plugins declare into the store.
//!
//! ```text
//! folder --settled--> Intake --> records --follow--> Catalog (one pointer swap)
//! host.toml, sidecars, handlers --definitions--> reconcile --> store
//! ```
//!
//! A file that is replaced is loaded beside the plugin that runs, and takes its place in one step once
//! it is found to be one; runs under way go on with what they began with. A file that is no plugin
//! changes nothing but what is told of it. A plugin whose file is gone is taken out; its jobs wait for
//! it as for any that is not there (rule A21). A sidecar that changes is read again; one that is wrong
//! leaves its jobs as they are. So does a `host.toml` that is wrong.

mod allot;
pub mod apply;
pub mod asked;
mod company;
mod declared;
pub mod file;
pub mod fleet;
pub mod folder;
mod follow;
mod given;
pub mod host_file;
pub mod looks;
mod watch;
mod writers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;
use tokio::sync::{mpsc, watch as value};
use tracing::{debug, info, warn};

use crate::audit::action::Action;
use crate::audit::{self, Note};
use crate::catalog::Catalog;
use crate::catalog::intake::{Intake, Offer, Refused};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::config::definitions::{Unscheduled, definitions};
use crate::config::load;
use crate::job::PluginKey;
use crate::lease::cell::SessionCell;
use crate::metrics::Metrics;
use crate::plugin::versions::{Taken, Way};
use crate::run::id::SessionId;
use crate::schedule::preview::Preview;
use crate::scheduler::wake::Wake;
use crate::status::Status;
use crate::store::Store;
use asked::{Handle, Order, Reloaded};
use company::Exchange;
use fleet::Fleet;
use folder::{PLUGIN, SIDECAR, SIGNATURE, Scanned, Settling, scan};
use follow::Loaded;
use given::GivenTenants;
use host_file::HostFile;
use writers::Writers;

/// The pause before a refused file is looked at again; doubles up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(10);
/// The pause before a file is taken in again that the store, or the folder of versions, did not take.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);

/// What a reloader needs. Its fields are its whole surface.
pub struct Parts {
    /// What counts now; what is read later is sent here, for all at once.
    pub config: value::Sender<Arc<Config>>,
    /// The file that it was read from.
    pub host_file: HostFile,
    /// Where the jobs are.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: SharedClock,
    /// Where plugins are seen by all.
    pub catalog: value::Sender<Arc<Catalog>>,
    /// Who looks at jobs that were changed.
    pub wake: Arc<Wake>,
    /// The session, for the other hosts.
    pub session: Arc<SessionCell>,
    /// Where plugins come in.
    pub intake: Arc<Intake>,
    /// Where it says how the file is.
    pub status: Arc<Status>,
    /// Where reloads are counted.
    pub metrics: Arc<Metrics>,
}

/// Keeps the catalog and the store's jobs in step with the folder and the file of configuration.
pub struct Reloader {
    config: Arc<Config>,
    shared: value::Sender<Arc<Config>>,
    /// What the files say, as they were read last and found right.
    written: Arc<Config>,
    /// Tenants that are laid over it.
    given: GivenTenants,
    /// What the host was built on.
    started: Arc<Config>,
    host_file: HostFile,
    session: Arc<SessionCell>,
    /// The session whose store was told what tenants may have.
    allotted: Option<SessionId>,
    /// When it answered last that another host's word counts, if it did.
    outvoted: Option<Instant>,
    /// Keys whose new values wait for a start, as they were told last.
    waiting: Vec<&'static str>,
    /// What was changed since somebody who asked was told, and when last.
    untold: Option<(Instant, Reloaded)>,
    status: Arc<Status>,
    metrics: Arc<Metrics>,
    handle: Handle,
    orders: mpsc::Receiver<Order>,
    store: Arc<dyn Store>,
    clock: SharedClock,
    catalog: value::Sender<Arc<Catalog>>,
    wake: Arc<Wake>,
    settling: Settling,
    /// The files beside plugins.
    sidecars: Settling,
    signatures: Settling,
    /// The folders that could not be read at the last look, each with the reason.
    unreadable: BTreeMap<PathBuf, String>,
    writers: Writers,
    /// Where plugins come in.
    intake: Arc<Intake>,
    /// The plugins' files that are there.
    files: BTreeMap<PluginKey, Present>,
    loaded: Loaded,
    /// The catalog or the fleet has changed and the store's jobs do not know yet.
    behind: bool,
    /// The hosts that share the store, if it is one that can be shared.
    fleet: Option<Fleet>,
    exchange: Exchange,
}

/// A plugin's file as it was read last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Present {
    path: PathBuf,
    /// Why it is no plugin.
    refused: Option<String>,
    /// When it is looked at once more though nobody wrote to it, and the pause before that: what
    /// stood in its way may have passed.
    retry: Option<(Instant, Duration)>,
}

impl Reloader {
    /// A reloader that has looked at nothing yet.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            config: shared,
            host_file,
            store,
            clock,
            catalog,
            wake,
            session,
            intake,
            status,
            metrics,
        } = parts;
        let fleet =
            store.caps().shared.then(|| Fleet::new(Arc::clone(&store), Arc::clone(&session)));
        let config = Arc::clone(&shared.borrow());
        let (handle, orders) = asked::channel();
        Self {
            started: Arc::clone(&config),
            written: Arc::clone(&config),
            given: GivenTenants::default(),
            config,
            shared,
            host_file,
            session,
            allotted: None,
            outvoted: None,
            waiting: Vec::new(),
            untold: None,
            status,
            metrics,
            handle,
            orders,
            store,
            clock,
            catalog,
            wake,
            settling: Settling::default(),
            sidecars: Settling::default(),
            signatures: Settling::default(),
            unreadable: BTreeMap::new(),
            writers: Writers::default(),
            intake,
            files: BTreeMap::new(),
            loaded: Loaded::default(),
            behind: false,
            fleet,
            exchange: Exchange::default(),
        }
    }

    /// What asks it to look at everything now.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Loads all that lies in the folder, which is made when there is none, and reconciles the
    /// jobs. Answers the plugins that nothing schedules.
    ///
    /// # Errors
    ///
    /// The folder can't be read, or the store can't be written. A plugin that is none is a warning.
    pub async fn load_all(&mut self) -> anyhow::Result<Vec<Unscheduled>> {
        self.look_at_given().await.context("the tenants that were made over REST")?;
        self.allot().await.context("telling the store what tenants may have")?;
        let folder = self.config.plugins.clone();
        let shown = folder.display();
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("can't make the folder of plugins `{shown}`"))?;
        let Scanned { files, unreadable } = scan(&self.config, PLUGIN);
        if let Some(why) = unreadable.get(&folder) {
            bail!("can't read the folder of plugins `{shown}` (`plugins`): {why}");
        }
        // Of one tenant: the others go on.
        self.tell_unreadable(unreadable);
        self.settling.adopt(&files, self.clock.now());
        let sidecars = scan(&self.config, SIDECAR).files;
        self.sidecars.adopt(&sidecars, self.clock.now());
        let signatures = scan(&self.config, SIGNATURE).files;
        self.signatures.adopt(&signatures, self.clock.now());
        // What files say of smoke runs is known before any plugin is asked.
        let (sidecars, _) = load::sidecars(&self.config);
        let jobs = definitions(&self.config, &sidecars, &[]).jobs;
        self.intake.smoke_with(jobs.into_iter().map(|resolved| resolved.job));
        for path in files.keys() {
            self.load(path, false).await;
        }
        self.follow().await?;
        let (unscheduled, _) = self.reconcile().await?;
        Ok(unscheduled)
    }

    /// Takes in the file of a plugin that was found or written to. One that can't be taken in yet is
    /// looked at again.
    async fn load(&mut self, path: &Path, any_age: bool) {
        let shown = self.config.short(path);
        let key = match file::plugin_key(&self.config, path) {
            Ok(key) => key,
            Err(why) => {
                warn!(file = %shown, "refused: {why}");
                return;
            }
        };
        let there = self.files.get(&key);
        let bytes = match file::read(path) {
            Ok(bytes) => Arc::<[u8]>::from(bytes),
            Err(why) => return self.refuse(key, path, why),
        };
        let written_at = file::written_at(path, self.store.caps().shared);
        let offer = Offer {
            bytes,
            signature: file::signature(path),
            written_at: if any_age { self.clock.now().max(written_at) } else { written_at },
            by: Way::File,
            unnamed: false,
            any_age,
        };
        match self.intake.take(&key, offer).await {
            Ok(answer) => {
                match answer.taken {
                    Taken::Older => info!(plugin = %key.shown(),
                        "the store has a version that was written later, and that one runs; write \
                         this file again to put it in its place"),
                    Taken::Same if there.is_some_and(|file| file.refused.is_some()) => {
                        info!(file = %shown, "is again what it was");
                    }
                    Taken::Same | Taken::Current | Taken::Held(_) => (),
                }
                if matches!(answer.taken, Taken::Current | Taken::Held(_)) {
                    self.note_file(&key, Some(&answer.digest)).await;
                }
                if let Some(plugin) = answer.plugin {
                    self.loaded.fresh.insert(answer.digest, plugin);
                }
                let file = Present { path: path.to_owned(), refused: None, retry: None };
                self.files.insert(key, file);
            }
            Err(Refused::Plugin(why)) => self.refuse(key, path, why),
            Err(
                refused @ (Refused::Quota { .. } | Refused::Draining(_) | Refused::NoTenant(_)),
            ) => self.refuse(key, path, refused.to_string()),
            Err(Refused::Store(error)) => {
                let pause = there.and_then(|file| file.retry).map_or(STORE_RETRY, |(_, it)| it * 2);
                if pause == STORE_RETRY {
                    warn!(file = %shown, %error, "is not taken in; trying again soon");
                }
                let pause = pause.min(LONGEST_RETRY);
                let refused = there.and_then(|file| file.refused.clone());
                let retry = Some((Instant::now() + pause, pause));
                self.files.insert(key, Present { path: path.to_owned(), refused, retry });
            }
        }
    }

    /// Notes that a file is no plugin.
    fn refuse(&mut self, key: PluginKey, path: &Path, why: String) {
        let shown = self.config.short(path);
        let runs = self.catalog.borrow().active(&key).is_some();
        let before = self.files.get(&key);
        let pause = before.and_then(|file| file.retry).map_or(FIRST_RETRY, |(_, pause)| pause * 2);
        let pause = pause.min(LONGEST_RETRY);
        let again = before.is_some_and(|file| file.refused.as_deref() == Some(&why));
        if again {
            debug!(file = %shown, "still refused: {why}");
        } else if runs {
            warn!(file = %shown, "the new version is refused: {why}; the one that was there goes on");
        } else {
            warn!(file = %shown, "refused: {why}");
        }
        let retry = Some((Instant::now() + pause, pause));
        let file = Present { path: path.to_owned(), refused: Some(why), retry };
        self.files.insert(key, file);
    }

    /// Notes in the audit that a plugin's file is another one.
    async fn note_file(&self, key: &PluginKey, digest: Option<&str>) {
        let before = self.catalog.borrow().active(key).map(|it| it.about.digest.clone());
        let (now, tenant) = (self.clock.now(), Some(key.tenant.clone()));
        let note = Note::by_file(now, Action::PluginChanged, tenant, &key.plugin);
        audit::note(&self.store, note.changed(json!(before), json!(digest))).await;
    }

    /// Forgets a file that is gone.
    async fn remove(&mut self, path: &Path) {
        let gone = self.files.extract_if(.., |_, file| file.path == path).next();
        if let Some((key, _)) = gone {
            info!(
                plugin = %key.shown(), file = %self.config.short(path),
                "its file is gone; runs under way end, and fires wait for it to come back"
            );
            self.note_file(&key, None).await;
        }
    }

    /// Brings what is declared now into the store. Answers the plugins that nothing schedules, and
    /// what happened to jobs.
    async fn reconcile(&mut self) -> anyhow::Result<(Vec<Unscheduled>, Preview)> {
        let catalog = Arc::clone(&self.catalog.borrow());
        let (store, fleet) = (self.store.as_ref(), self.fleet.as_mut());
        let done = apply::reconcile(&self.config, &catalog, store, &self.clock, fleet).await?;
        self.exchange.lacking = done.lacking;
        self.intake.smoke_with(done.smoked.into_iter());
        self.behind = false;
        Ok((done.unscheduled, done.preview))
    }
}
