//! When the reloader looks, and at what: at everything from time to time, when it hears that something
//! has changed, and when somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::asked::{Answer, NotReloaded, Reloaded};
use super::company::failed;
use super::file::plugin_key;
use super::folder::{Found, PLUGIN, SETTLE, SIDECAR, SIGNATURE, Scanned, Settling, scan};
use super::watch::Watch;
use super::{Present, Reloader};
use crate::audit::action::Action;
use crate::audit::{self, Note};
use crate::config::change::Changes;
use crate::config::definitions::Unscheduled;
use crate::metrics::Reload;
use crate::store::Result;

/// The folder is looked at this often even when nobody says that it changed: network file systems
/// do not tell.
const RESCAN: Duration = Duration::from_secs(2);

/// The pause between two looks that nobody asked for, at least.
const PAUSE: Duration = Duration::from_millis(20);

/// Who asks for a reload is told what the host took by itself so short a time before, too: they may
/// have changed it just for that.
const UNTOLD_FOR: Duration = Duration::from_secs(60);

/// How long a change must have stood still to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// For [`SETTLE`]: it may still be written to.
    Settled,
    /// Not at all: somebody asks for what is there now.
    AtOnce,
}

/// The reloader's thread; it ends when this is dropped.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was already printed by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Reloader {
    /// Watches the folder and the file on a thread of its own.
    ///
    /// # Errors
    ///
    /// The machine gives no thread.
    pub fn watch(self) -> anyhow::Result<Running> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the reloader's runtime can't start")?;
        let body = move || runtime.block_on(self.run(stopped));
        let thread = std::thread::Builder::new().name("reloader".to_owned()).spawn(body);
        let thread = thread.context("the reloader's thread can't start")?;
        Ok(Running { stop: Some(stop), thread: Some(thread) })
    }

    /// Looks whenever there are news, somebody asks, or it is time, until it is told to stop.
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let news = self.intake.news();
        let mut watch =
            Watch::new(Arc::clone(&news), self.writers.clone(), self.host_file.path().file_name());
        let mut wait = SETTLE;
        loop {
            watch.follow(self.folders());
            self.untold.take_if(|(at, _)| UNTOLD_FOR <= at.elapsed());
            let first = tokio::select! {
                biased;
                _ = &mut stopped => return,
                order = self.orders.recv() => order,
                () = news.notified() => None,
                () = tokio::time::sleep(wait) => None,
            };
            self.keep_company().await;
            let mut asked = Vec::from_iter(first);
            // One look answers all who have asked before it.
            asked.extend(std::iter::from_fn(|| self.orders.try_recv().ok()));
            if asked.is_empty() {
                wait = if self.look().await { SETTLE } else { RESCAN };
                // However often it is told: what comes meanwhile is one look.
                tokio::time::sleep(PAUSE).await;
            } else {
                let by = asked.iter().find_map(|order| order.by.clone());
                let answer = self.look_now(by).await;
                asked.into_iter().for_each(|order| order.answer(answer.clone()));
                wait = SETTLE;
            }
        }
    }

    /// Looks once. Answers whether a file is still being written.
    async fn look(&mut self) -> bool {
        let own = self.host_file.look(&self.writers, self.clock.now());
        if own.is_gone {
            self.tell_gone();
        }
        let read = own.is_new.then(|| self.take_file());
        let mut taken = match &read {
            Some(Ok(changes)) => Reloaded::of(changes),
            Some(Err(_)) | None => Reloaded::default(),
        };
        self.allot_soon().await;
        if let Some(Ok(changes)) = &read {
            self.note(changes, None).await;
        }
        let (mut found, followed) = self.look_at_folders(pace(&taken.live)).await;
        let followed = match followed {
            Ok(()) => self.take_given(&mut found).await,
            failed => failed,
        };
        if let Err(error) = followed {
            failed(&error, "plugins and tenants can't be read from the store; trying again soon");
        }
        let mut is_failed = false;
        if self.behind {
            match self.reconcile().await {
                Ok((unscheduled, preview)) => {
                    self.tell_unscheduled(&unscheduled, &found.settled);
                    taken.preview = preview;
                }
                Err(error) => {
                    warn!("jobs are not in the store yet: {error:#}");
                    is_failed = true;
                }
            }
            self.wake.call();
        }
        match read {
            Some(Ok(_)) if is_failed => self.metrics.reloaded(Reload::Failed),
            Some(Ok(changes)) => self.metrics.reloaded(Reload::of(&changes.live)),
            Some(Err(_)) => self.metrics.reloaded(Reload::Refused),
            None => (),
        }
        if taken.is_news() {
            self.untold = Some((Instant::now(), self.after_untold(taken)));
        }
        found.pending || own.is_pending
    }

    /// Looks at everything because somebody asks: nothing needs to settle.
    async fn look_now(&mut self, by: Option<(String, Option<String>)>) -> Answer {
        let changes = self.take_file().map_err(|error| {
            self.metrics.reloaded(Reload::Refused);
            NotReloaded::Refused(error)
        })?;
        self.allot_soon().await;
        self.note(&changes, by).await;
        let (mut found, followed) = self.look_at_folders(Pace::AtOnce).await;
        let followed = match followed {
            Ok(()) => self.take_given(&mut found).await,
            failed => failed,
        };
        let reconciled = match followed {
            Ok(()) => self.reconcile().await,
            Err(error) => Err(error.into()),
        };
        self.wake.call();
        let (_, mut preview) = reconciled.map_err(|error| {
            self.behind = true;
            self.metrics.reloaded(Reload::Failed);
            let taken = self.after_untold(Reloaded::of(&changes));
            self.untold = Some((Instant::now(), taken));
            warn!("jobs are not in the store yet: {error:#}");
            NotReloaded::Behind(format!("{error:#}"))
        })?;
        self.metrics.reloaded(Reload::of(&changes.live));
        preview.warnings.splice(0..0, self.strange());
        Ok(self.after_untold(Reloaded { preview, ..Reloaded::of(&changes) }))
    }

    /// Takes over tenants that were made over REST, and what lies in their folders.
    async fn take_given(&mut self, found: &mut Found) -> Result<()> {
        if !self.look_at_given().await? {
            return Ok(());
        }
        self.allot().await?;
        let (more, followed) = self.look_at_folders(Pace::AtOnce).await;
        found.settled.extend(more.settled);
        followed
    }

    /// Keeps in the audit which keys count now, and who asked for it; nobody: the file did.
    async fn note(&self, changes: &Changes, by: Option<(String, Option<String>)>) {
        if changes.live.is_empty() {
            return;
        }
        let file = self.config.short(self.host_file.path());
        let after = json!({"changed": changes.live, "needs_restart": changes.needs_restart});
        let note = Note::by_file(self.clock.now(), Action::ConfigReloaded, None, file);
        let (who, from) = by.unwrap_or((note.who.clone(), None));
        let note = Note { who, from, ..note.changed(Value::Null, after) };
        audit::note(&self.store, note).await;
    }

    /// The files that are no plugins, each with the reason.
    fn strange(&self) -> Vec<String> {
        let files = scan(&self.config, PLUGIN).files;
        let strange = files.keys().filter_map(|file| {
            let why = plugin_key(&self.config, file).err()?;
            Some(format!("{}: {why}", self.config.short(file)))
        });
        strange.collect()
    }

    /// What was changed now, after what nobody was told of yet.
    fn after_untold(&mut self, now: Reloaded) -> Reloaded {
        match self.untold.take().filter(|(at, _)| at.elapsed() < UNTOLD_FOR) {
            Some((_, before)) => now.after(before),
            None => now,
        }
    }

    /// Looks at plugins and the files beside them, and takes in what has changed. Answers what was
    /// found, and whether the store failed.
    async fn look_at_folders(&mut self, pace: Pace) -> (Found, Result<()>) {
        let config = &self.config;
        let [plugins, sidecars, signatures] =
            [PLUGIN, SIDECAR, SIGNATURE].map(|ending| scan(config, ending));
        let as_it_was = |settling: &Settling, mut scanned: Scanned| {
            scanned.files.extend(settling.last_seen(&scanned.unreadable));
            scanned.files
        };
        let mut unreadable = plugins.unreadable.clone();
        unreadable.extend(sidecars.unreadable.clone());
        unreadable.extend(signatures.unreadable.clone());
        let files = as_it_was(&self.settling, plugins);
        let sidecars = as_it_was(&self.sidecars, sidecars);
        let signatures = as_it_was(&self.signatures, signatures);
        self.tell_unreadable(unreadable);
        let unreadable = self.unreadable.clone();
        self.forget_other_folders();
        let now = self.clock.now();
        let writers = self.writers.clone();
        let is_open = |path: &Path| writers.has(path);
        let look = |settling: &mut Settling, files| {
            let mut found = match pace {
                Pace::Settled => settling.look(files, is_open, now),
                Pace::AtOnce => settling.look_at_once(files, now),
            };
            settling.put_off(&mut found, &unreadable);
            found
        };
        let mut found = look(&mut self.settling, &files);
        let beside = look(&mut self.sidecars, &sidecars);
        let signatures = look(&mut self.signatures, &signatures);
        for path in beside.settled.iter().chain(&beside.gone) {
            info!(file = %self.config.short(path), "changed; the jobs that it defines are read again");
            self.behind = true;
        }
        for path in &found.gone {
            self.remove(path).await;
        }
        let mut settled: BTreeSet<PathBuf> = found.settled.iter().cloned().collect();
        // A signature that comes after its file has that looked at once more.
        settled.extend(signatures.settled.iter().map(|path| path.with_extension("")));
        for path in settled.iter().filter(|path| files.contains_key(*path)) {
            // Written to: it is not what was refused before.
            self.files.values_mut().filter(|it| it.path == **path).for_each(|it| it.retry = None);
            self.load(path, true).await;
        }
        let now = Instant::now();
        let is_due =
            |file: &&Present| file.retry.is_some_and(|(at, _)| at <= now || pace == Pace::AtOnce);
        let due: Vec<PathBuf> =
            self.files.values().filter(is_due).map(|file| file.path.clone()).collect();
        let can_be_read =
            |path: &Path| path.parent().is_none_or(|folder| !unreadable.contains_key(folder));
        let due = due.iter().filter(|path| files.contains_key(*path) && can_be_read(path));
        for path in due.filter(|path| !settled.contains(*path)) {
            self.load(path, true).await;
        }
        let followed = self.follow().await.map(|changed| self.behind |= changed);
        found.pending |= beside.pending || signatures.pending;
        (found, followed)
    }

    /// Tells once which folders can't be read, and which can again.
    pub(super) fn tell_unreadable(&mut self, unreadable: BTreeMap<PathBuf, String>) {
        for (folder, why) in &unreadable {
            if self.unreadable.get(folder) != Some(why) {
                let folder = self.config.short(folder);
                warn!(%folder, %why, "a folder of plugins can't be read; what is known of it stays, \
                    and it is looked at again");
            }
        }
        for folder in self.unreadable.keys().filter(|folder| !unreadable.contains_key(*folder)) {
            info!(folder = %self.config.short(folder), "can be read again");
        }
        // What was left alone meanwhile is looked at.
        self.behind |= self.unreadable.keys().ne(unreadable.keys());
        self.unreadable = unreadable;
    }

    /// Says which of the new plugins nothing runs, and what would.
    fn tell_unscheduled(&self, unscheduled: &[Unscheduled], new: &[PathBuf]) {
        for Unscheduled { plugin, into, write } in unscheduled {
            if new.iter().any(|path| plugin_key(&self.config, path).as_ref() == Ok(plugin)) {
                let write = write.trim_end().replace('\n', "; ");
                info!(plugin = %plugin.shown(), "nothing schedules it; to run it, write in {into}: {write}");
            }
        }
    }
}

/// Other folders are looked at at once: what lies in them was there before.
fn pace(live: &[&str]) -> Pace {
    match live.iter().any(|key| ["plugins", "tenants"].contains(key)) {
        true => Pace::AtOnce,
        false => Pace::Settled,
    }
}
