//! Loads the plugins folder at start and whatever appears in it later, and brings the jobs that
//! files and plugins declare into the store.
//!
//! ```text
//! folder --settled--> file::entry --> Catalog (one pointer swap)
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
mod shelf;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, Watcher as _};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::catalog::{Catalog, Entry, FoundIn, State};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::config::definitions::Unscheduled;
use crate::engine::Engine;
use crate::engine::plugin::Digest;
use crate::job::PluginKey;
use crate::lease::cell::SessionCell;
use crate::scheduler::wake::Wake;
use crate::store::Store;
use company::Exchange;
use fleet::Fleet;
use folder::{PLUGIN, SETTLE, SIDECAR, Settling, scan};

/// The folder is looked at this often even when nobody says that it changed: network file systems
/// do not tell.
const RESCAN: Duration = Duration::from_secs(2);

/// Keeps the catalog and the store's jobs in step with the folder.
pub struct Reloader {
    config: Arc<Config>,
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    clock: SharedClock,
    catalog: watch::Sender<Arc<Catalog>>,
    wake: Arc<Wake>,
    settling: Settling,
    /// The files beside plugins.
    sidecars: Settling,
    /// The catalog or the fleet has changed and the store's jobs do not know yet.
    behind: bool,
    /// The hosts that share the store, if it is one that can be shared.
    fleet: Option<Fleet>,
    exchange: Exchange,
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
        engine: Arc<Engine>,
        store: Arc<dyn Store>,
        clock: SharedClock,
        catalog: watch::Sender<Arc<Catalog>>,
        wake: Arc<Wake>,
        session: &Arc<SessionCell>,
    ) -> Self {
        let fleet =
            store.caps().shared.then(|| Fleet::new(Arc::clone(&store), Arc::clone(session)));
        Self {
            config,
            engine,
            store,
            clock,
            catalog,
            wake,
            settling: Settling::default(),
            sidecars: Settling::default(),
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
        for path in files.keys() {
            self.load(path).await;
        }
        self.reconcile().await
    }

    /// Watches the folder on a thread of its own.
    ///
    /// # Errors
    ///
    /// The machine gives no thread.
    pub fn watch(self) -> anyhow::Result<Running> {
        let (news, heard) = sync_channel::<()>(1);
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
            }
        };
        let thread = std::thread::Builder::new().name("reloader".to_owned()).spawn(body);
        let thread = thread.context("the reloader's thread can't start")?;
        Ok(Running { stop: Some(stop), news, thread: Some(thread) })
    }

    /// Says when something in the folder changes, where the machine can tell.
    fn watcher(&self, news: SyncSender<()>) -> Option<notify::RecommendedWatcher> {
        let tell = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| is_only_a_look(event.kind)) {
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
        let scanned = scan(config, PLUGIN).and_then(|files| Ok((files, scan(config, SIDECAR)?)));
        let (files, sidecars) = match scanned {
            Ok(scanned) => scanned,
            Err(error) => {
                warn!(%error, "the plugins folder can't be read; looking again soon");
                return false;
            }
        };
        let found = self.settling.look(&files, self.clock.now());
        let beside = self.sidecars.look(&sidecars, self.clock.now());
        for path in beside.settled.iter().chain(&beside.gone) {
            info!(file = %self.config.short(path), "changed; the jobs that it defines are read again");
            self.behind = true;
        }
        for path in &found.gone {
            self.behind |= self.remove(path);
        }
        for path in &found.settled {
            self.behind |= self.load(path).await;
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
        found.pending || beside.pending
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

    /// Loads a file, unless a plugin of its name is there already. Answers whether the catalog
    /// changed.
    async fn load(&mut self, path: &Path) -> bool {
        let shown = self.config.short(path);
        let key = match file::plugin_key(&self.config, path) {
            Ok(key) => key,
            Err(why) => {
                warn!(file = %shown, "refused: {why}");
                return false;
            }
        };
        let before = Arc::clone(&self.catalog.borrow());
        let own = before.get(&key).is_some_and(|entry| matches!(entry.from, FoundIn::Folder(_)));
        if own && before.active(&key).is_some() {
            return self.replace(&shown, &key, path).await;
        }
        let entry = file::entry(&self.engine, key, path, self.clock.now()).await;
        match &entry.state {
            State::Active(plugin) => info!(
                plugin = %entry.key.shown(), digest = %plugin.about.digest,
                handlers = plugin.about.handlers.len(), "loaded"
            ),
            State::Refused(why) => warn!(file = %shown, "refused: {why}"),
        }
        self.exchange.to_share.insert(entry.key.clone());
        self.catalog.send_replace(Arc::new(before.with(entry)));
        true
    }

    /// Takes out the plugin of a file that is gone. Answers whether the catalog changed.
    fn remove(&mut self, path: &Path) -> bool {
        let before = Arc::clone(&self.catalog.borrow());
        let own = FoundIn::Folder(path.to_owned());
        let entry = before.entries().find(|entry| entry.from == own);
        let Some(key) = entry.map(|entry| entry.key.clone()) else { return false };
        info!(
            plugin = %key.shown(), file = %self.config.short(path),
            "its file is gone; runs under way end, and fires wait for it to come back"
        );
        self.catalog.send_replace(Arc::new(before.without(&key)));
        true
    }

    /// A file of a plugin that is loaded was written to: what it is now takes the plugin's place, if it
    /// is a plugin. Answers whether the catalog changed.
    async fn replace(&mut self, shown: &str, key: &PluginKey, path: &Path) -> bool {
        let before = Arc::clone(&self.catalog.borrow());
        let Some((entry, active)) = before.get(key).zip(before.active(key)) else { return false };
        let digest = &active.about.digest;
        let same = file::read(path).is_ok_and(|bytes| Digest::of(&bytes).to_string() == *digest);
        if same && entry.update_refused.is_none() {
            debug!(file = %shown, "written, and the same as before");
            return false;
        }
        let next = if same {
            info!(file = %shown, "is again what it was");
            Entry { update_refused: None, ..entry.clone() }
        } else {
            let next = file::entry(&self.engine, key.clone(), path, self.clock.now()).await;
            match &next.state {
                State::Active(plugin) => {
                    info!(
                        plugin = %key.shown(), was = %digest, digest = %plugin.about.digest,
                        "replaced; runs under way end with the version that they began with"
                    );
                    self.exchange.to_share.insert(key.clone());
                    next
                }
                State::Refused(why) => {
                    warn!(
                        file = %shown,
                        "the new version is refused: {why}; the one that was there goes on"
                    );
                    Entry { update_refused: Some(why.clone()), ..entry.clone() }
                }
            }
        };
        self.catalog.send_replace(Arc::new(before.with(next)));
        true
    }

    /// Brings what is declared now into the store.
    async fn reconcile(&mut self) -> anyhow::Result<Vec<Unscheduled>> {
        let catalog = Arc::clone(&self.catalog.borrow());
        let (store, fleet) = (self.store.as_ref(), self.fleet.as_mut());
        let done = apply::reconcile(&self.config, &catalog, store, &self.clock, fleet).await?;
        self.exchange.lacking = done.lacking;
        Ok(done.unscheduled)
    }
}

/// Whether nothing was changed: who looks at the folder is told of its own looks too, and would
/// look again and again.
fn is_only_a_look(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, ModifyKind, RemoveKind};

    #[test]
    fn its_own_looks_are_no_news() {
        let opened = AccessKind::Open(AccessMode::Any);
        for kind in [opened, AccessKind::Read, AccessKind::Close(AccessMode::Read)] {
            assert!(is_only_a_look(EventKind::Access(kind)), "{kind:?}");
        }
        for kind in [
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Create(CreateKind::File),
            EventKind::Modify(ModifyKind::Any),
            EventKind::Remove(RemoveKind::File),
            EventKind::Any,
        ] {
            assert!(!is_only_a_look(kind), "{kind:?}");
        }
    }
}
