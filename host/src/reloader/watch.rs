//! Hears that something in a folder has changed, where the machine can tell. Only a hint: whoever
//! hears it looks, and looks from time to time all the same.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tracing::info;

use super::folder::{PLUGIN, SIDECAR, SIGNATURE};
use super::writers::Writers;

/// Folders that are watched.
pub(super) struct Watch {
    /// `None`: the machine can't tell.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// One that watches nothing yet; it calls `news` when something happens to a plugin, to a file
    /// beside one, or to a file of the name `own`.
    pub(super) fn new(news: Arc<Notify>, writers: Writers, own: Option<&OsStr>) -> Self {
        let own = own.map(OsStr::to_owned);
        let tell = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !(is_news(&event, own.as_ref()) && writers.hear(&event))) {
                return;
            }
            news.notify_one();
        };
        let watcher = notify::recommended_watcher(tell)
            .inspect_err(|error| info!(%error, "folders are looked at from time to time only"));
        Self { watcher: watcher.ok(), folders: BTreeSet::new() }
    }

    /// Watches these folders and no others from now on. One that is not there is watched when it is
    /// there at a later call.
    pub(super) fn follow(&mut self, wanted: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        self.folders.retain(|folder| {
            let stays = wanted.contains(folder) && folder.is_dir();
            if !stays {
                // One that is gone is watched no more already.
                let _ = watcher.unwatch(folder);
            }
            stays
        });
        for folder in wanted {
            if self.folders.contains(&folder) || !folder.is_dir() {
                continue;
            }
            if let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive) {
                let folder = folder.display();
                info!(%error, %folder, "is looked at from time to time only");
            }
            self.folders.insert(folder);
        }
    }
}

/// Whether something may have changed that is looked at.
fn is_news(event: &notify::Event, own: Option<&OsString>) -> bool {
    event.paths.is_empty() || event.paths.iter().any(|path| concerns(path, own))
}

/// Whether a file may be one that is looked at. A link may lead to one, and what is gone may have.
fn concerns(path: &Path, own: Option<&OsString>) -> bool {
    let ending = path.extension();
    let by_name =
        [PLUGIN, SIDECAR, SIGNATURE].into_iter().any(|known| ending == Some(OsStr::new(known)));
    by_name
        || path.file_name() == own.map(OsString::as_os_str)
        || path.symlink_metadata().map_or(true, |about| !about.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::EventKind;
    use notify::event::ModifyKind;

    #[test]
    fn a_store_that_writes_beside_the_configuration_is_no_news() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["campanile.db-wal", "host.conf"] {
            std::fs::write(path(name), "").unwrap();
        }
        std::os::unix::fs::symlink(path("host.conf"), path("link")).unwrap();
        let own = OsString::from("host.conf");
        for (name, expected) in [
            ("campanile.db-wal", false),
            ("host.conf", true),
            ("link", true),
            ("gone", true),
            ("p.wasm", true),
            ("p.toml", true),
        ] {
            assert_eq!(concerns(&path(name), Some(&own)), expected, "{name}");
        }
        let event = notify::Event::new(EventKind::Modify(ModifyKind::Any));
        assert!(is_news(&event, Some(&own)), "something was missed");
        assert!(!is_news(&event.add_path(path("campanile.db-wal")), Some(&own)));
    }
}
