//! Loads the plugins folder at start and whatever appears in it later, and brings the jobs that
//! files and plugins declare into the store.
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
//! leaves its jobs as they are.

pub mod apply;
mod company;
mod declared;
pub mod file;
pub mod fleet;
pub mod folder;
mod follow;
mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use notify::Watcher as _;
use serde_json::json;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::audit::action::Action;
use crate::audit::{self, Note};
use crate::catalog::Catalog;
use crate::catalog::intake::{Intake, Offer, Refused};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::config::definitions::Unscheduled;
use crate::job::PluginKey;
use crate::lease::cell::SessionCell;
use crate::plugin::versions::{Taken, Way};
use crate::scheduler::wake::Wake;
use crate::store::Store;
use company::{Exchange, failed};
use fleet::Fleet;
use folder::{PLUGIN, SETTLE, SIDECAR, SIGNATURE, Settling, scan};
use follow::Loaded;
use writers::Writers;

/// The folder is looked at this often even when nobody says that it changed: network file systems
/// do not tell.
const RESCAN: Duration = Duration::from_secs(2);

/// The pause before a refused file is looked at again; doubles up to the longest.
const FIRST_RETRY: Duration = Duration::from_secs(10);
/// The longest of these pauses.
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);
/// The pause between two looks at least.
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps the catalog and the store's jobs in step with the folder.
pub struct Reloader {
    config: Arc<Config>,
    store: Arc<dyn Store>,
    clock: SharedClock,
    catalog: watch::Sender<Arc<Catalog>>,
    wake: Arc<Wake>,
    settling: Settling,
    /// The files beside plugins.
    sidecars: Settling,
    signatures: Settling,
    writers: Writers,
    /// Where plugins come in.
    intake: Arc<Intake>,
    /// Told when there is something to look at.
    heard: Option<Receiver<()>>,
    /// The plugins' files that are there.
    files: BTreeMap<PluginKey, Present>,
    /// Files that are to be taken in once more.
    again: BTreeSet<PathBuf>,
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

/// The reloader's thread; it ends when this is dropped.
pub struct Running {
    stop: Option<Sender<()>>,
    news: SyncSender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A full channel means that it is about to look anyway.
        let _ = self.news.try_send(());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was already printed by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Reloader {
    /// A reloader that has looked at nothing yet.
    pub fn new(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        clock: SharedClock,
        catalog: watch::Sender<Arc<Catalog>>,
        wake: Arc<Wake>,
        session: &Arc<SessionCell>,
        (intake, heard): (Arc<Intake>, Receiver<()>),
    ) -> Self {
        let fleet =
            store.caps().shared.then(|| Fleet::new(Arc::clone(&store), Arc::clone(session)));
        Self {
            config,
            store,
            clock,
            catalog,
            wake,
            settling: Settling::default(),
            sidecars: Settling::default(),
            signatures: Settling::default(),
            writers: Writers::default(),
            intake,
            heard: Some(heard),
            files: BTreeMap::new(),
            again: BTreeSet::new(),
            loaded: Loaded::default(),
            behind: false,
            fleet,
            exchange: Exchange::default(),
        }
    }

    /// Loads all that lies in the folder, which is made when there is none, and reconciles the
    /// jobs. Answers the plugins that nothing schedules.
    ///
    /// # Errors
    ///
    /// The folder can't be read, or the store can't be written. A plugin that is none is a warning.
    pub async fn load_all(&mut self) -> anyhow::Result<Vec<Unscheduled>> {
        let folder = self.config.plugins.clone();
        let shown = folder.display();
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("can't make the folder of plugins `{shown}`"))?;
        let files = scan(&self.config, PLUGIN)
            .with_context(|| format!("can't read the folder of plugins `{shown}` (`plugins`)"))?;
        self.settling.adopt(&files, self.clock.now());
        let sidecars = scan(&self.config, SIDECAR)
            .with_context(|| format!("can't read the folder of plugins `{shown}` (`plugins`)"))?;
        self.sidecars.adopt(&sidecars, self.clock.now());
        let signatures = scan(&self.config, SIGNATURE)
            .with_context(|| format!("can't read the folder of plugins `{shown}` (`plugins`)"))?;
        self.signatures.adopt(&signatures, self.clock.now());
        for path in files.keys() {
            self.load(path, false).await;
        }
        self.follow().await?;
        self.reconcile().await
    }

    /// Watches the folder on a thread of its own.
    ///
    /// # Errors
    ///
    /// The machine gives no thread.
    pub fn watch(mut self) -> anyhow::Result<Running> {
        let news = self.intake.teller();
        let heard = self.heard.take().context("the reloader runs already")?;
        let (stop, stopped) = std::sync::mpsc::channel();
        let watcher = self.watcher(news.clone());
        let body = move || {
            let _watcher = watcher;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    warn!(%error, "the plugins folder is not watched");
                    return;
                }
            };
            let mut reloader = self;
            let mut wait = SETTLE;
            loop {
                match heard.recv_timeout(wait) {
                    Ok(()) | Err(RecvTimeoutError::Timeout) => (),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
                    return;
                }
                runtime.block_on(reloader.keep_company());
                wait = if runtime.block_on(reloader.look()) { SETTLE } else { RESCAN };
                // However often it is told: what comes meanwhile is one look.
                std::thread::sleep(PAUSE);
            }
        };
        let thread = std::thread::Builder::new().name("reloader".to_owned()).spawn(body);
        let thread = thread.context("the reloader's thread can't start")?;
        Ok(Running { stop: Some(stop), news, thread: Some(thread) })
    }

    /// Says when something in the folder changes, where the machine can tell.
    fn watcher(&self, news: SyncSender<()>) -> Option<notify::RecommendedWatcher> {
        let writers = self.writers.clone();
        let tell = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !writers.hear(&event)) {
                return;
            }
            match news.try_send(()) {
                Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => (),
            }
        };
        let watcher = notify::recommended_watcher(tell).and_then(|mut watcher| {
            for tenant in self.config.tenants.keys() {
                let folder = self.config.plugins_of(tenant);
                match watcher.watch(&folder, notify::RecursiveMode::NonRecursive) {
                    // It is found when it is made.
                    Err(_) if !folder.exists() => (),
                    watched => watched?,
                }
            }
            Ok(watcher)
        });
        watcher
            .inspect_err(|error| info!(%error, "the plugins folder is looked at every {RESCAN:?}"))
            .ok()
    }

    /// Looks once. Answers whether a file is still being written.
    async fn look(&mut self) -> bool {
        let config = &self.config;
        let scanned = scan(config, PLUGIN)
            .and_then(|files| Ok((files, scan(config, SIDECAR)?, scan(config, SIGNATURE)?)));
        let (files, sidecars, signatures) = match scanned {
            Ok(scanned) => scanned,
            Err(error) => {
                warn!(%error, "the plugins folder can't be read; looking again soon");
                return false;
            }
        };
        let writers = self.writers.clone();
        let is_open = |path: &Path| writers.has(path);
        let found = self.settling.look(&files, is_open, self.clock.now());
        let beside = self.sidecars.look(&sidecars, is_open, self.clock.now());
        for path in beside.settled.iter().chain(&beside.gone) {
            info!(file = %self.config.short(path), "changed; the jobs that it defines are read again");
            self.behind = true;
        }
        for path in &found.gone {
            self.remove(path).await;
        }
        let mut settled: BTreeSet<PathBuf> = std::mem::take(&mut self.again);
        settled.extend(found.settled.iter().cloned());
        // A signature that comes after its file has that looked at once more.
        let signatures = self.signatures.look(&signatures, is_open, self.clock.now());
        settled.extend(signatures.settled.iter().map(|path| path.with_extension("")));
        for path in settled.iter().filter(|path| files.contains_key(*path)) {
            // Written to: it is not what was refused before.
            self.files.values_mut().filter(|it| it.path == **path).for_each(|it| it.retry = None);
            self.load(path, true).await;
        }
        let now = Instant::now();
        let is_due = |file: &&Present| file.retry.is_some_and(|(at, _)| at <= now);
        let due: Vec<PathBuf> =
            self.files.values().filter(is_due).map(|file| file.path.clone()).collect();
        for path in due.iter().filter(|path| files.contains_key(*path)) {
            self.load(path, false).await;
        }
        match self.follow().await {
            Ok(changed) => self.behind |= changed,
            Err(error) => {
                failed(&error, "the versions of plugins can't be read; trying again soon")
            }
        }
        if self.behind {
            match self.reconcile().await {
                Ok(unscheduled) => {
                    self.behind = false;
                    self.tell_unscheduled(&unscheduled, &found.settled);
                }
                Err(error) => warn!("jobs of new plugins are not in the store yet: {error:#}"),
            }
            self.wake.call();
        }
        found.pending || beside.pending || signatures.pending || !self.again.is_empty()
    }

    /// Says which of the new plugins nothing runs, and what would.
    fn tell_unscheduled(&self, unscheduled: &[Unscheduled], new: &[PathBuf]) {
        for Unscheduled { plugin, into, write } in unscheduled {
            if new.iter().any(|path| file::plugin_key(&self.config, path).as_ref() == Ok(plugin)) {
                let write = write.trim_end().replace('\n', "; ");
                info!(plugin = %plugin.shown(), "nothing schedules it; to run it, write in {into}: {write}");
            }
        }
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
                    self.note(&key, Some(&answer.digest)).await;
                }
                if let Some(plugin) = answer.plugin {
                    self.loaded.fresh.insert(answer.digest, plugin);
                }
                let file = Present { path: path.to_owned(), refused: None, retry: None };
                self.files.insert(key, file);
            }
            Err(Refused::Plugin(why)) => self.refuse(key, path, why),
            Err(Refused::Store(error)) => {
                failed(&error, "a plugin's file is not taken in; trying again soon");
                self.again.insert(path.to_owned());
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
    async fn note(&self, key: &PluginKey, digest: Option<&str>) {
        let before = self.catalog.borrow().active(key).map(|it| it.about.digest.clone());
        let (now, tenant) = (self.clock.now(), Some(key.tenant.clone()));
        let note = Note::by_file(now, Action::PluginChanged, tenant, &key.plugin);
        audit::note(&self.store, note.changed(json!(before), json!(digest))).await;
    }

    /// Forgets a file that is gone.
    async fn remove(&mut self, path: &Path) {
        self.again.remove(path);
        let gone = self.files.extract_if(.., |_, file| file.path == path).next();
        if let Some((key, _)) = gone {
            info!(
                plugin = %key.shown(), file = %self.config.short(path),
                "its file is gone; runs under way end, and fires wait for it to come back"
            );
            self.note(&key, None).await;
        }
    }

    /// Brings what is declared now into the store.
    async fn reconcile(&mut self) -> anyhow::Result<Vec<Unscheduled>> {
        let catalog = Arc::clone(&self.catalog.borrow());
        let (store, fleet) = (self.store.as_ref(), self.fleet.as_mut());
        let done = apply::reconcile(&self.config, &catalog, store, &self.clock, fleet).await?;
        self.exchange.lacking = done.lacking;
        self.intake.smoke_with(done.smoked.into_iter());
        Ok(done.unscheduled)
    }
}
