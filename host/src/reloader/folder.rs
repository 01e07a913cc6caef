//! What lies in the plugins folder, and which files have settled.
//!
//! A file that is being written changes its size or time. It is read once it has stood still for
//! [`SETTLE`], or for [`SETTLE_OPEN`] when somebody wrote to it and has not closed it. One that was
//! read too early all the same is refused as truncated, and read again when it has changed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Config;
use crate::time::Timestamp;

/// How plugins' files end.
pub const PLUGIN: &str = "wasm";
/// How the files beside them end.
pub const SIDECAR: &str = "toml";
/// How the signatures beside plugins end: `name.wasm.minisig`.
pub const SIGNATURE: &str = "minisig";
/// A file that has not changed for so long is taken to be whole.
pub const SETTLE: Duration = Duration::from_millis(100);
/// The same of one that somebody has open to write to it, as far as the machine tells.
pub const SETTLE_OPEN: Duration = Duration::from_secs(2);
/// A file that has been away for so long is gone: some ways to replace one take it away first.
pub const GONE: Duration = Duration::from_secs(2);
/// Files looked at in the plugins folder at most.
pub const MAX_FILES: usize = 10_000;

/// How a file looks from outside; two looks that differ mean that it was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    modified: Option<std::time::SystemTime>,
    inode: u64,
    regular: bool,
}

/// What lies in the folders of plugins.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The files.
    pub files: BTreeMap<PathBuf, Stamp>,
    /// The folders that can't be read, each with the reason: what lies in them is not known.
    pub unreadable: BTreeMap<PathBuf, String>,
}

/// The files of all tenants whose names end with `.` and `ending`.
pub fn scan(config: &Config, ending: &str) -> Scanned {
    let mut all = Scanned::default();
    for tenant in config.tenants.keys().filter(|tenant| !config.is_draining(tenant)) {
        let folder = config.plugins_of(tenant);
        match scan_folder(&folder, ending) {
            Ok(mut files) => all.files.append(&mut files),
            Err(error) => {
                all.unreadable.insert(folder, error.to_string());
            }
        }
    }
    all
}

/// The files in `folder` whose names end with `.` and `ending`, none when there is no such folder.
///
/// # Errors
///
/// The folder can't be read.
fn scan_folder(folder: &Path, ending: &str) -> std::io::Result<BTreeMap<PathBuf, Stamp>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut files = BTreeMap::new();
    for entry in entries.take(MAX_FILES) {
        let path = entry?.path();
        if path.extension() != Some(OsStr::new(ending)) {
            continue;
        }
        // A file that vanished between the two calls is no longer there to be loaded.
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        files.insert(path, Stamp::of(&metadata));
    }
    Ok(files)
}

/// How a file looks now; `None`: there is none.
pub fn stamp(file: &Path) -> Option<Stamp> {
    std::fs::metadata(file).ok().as_ref().map(Stamp::of)
}

impl Stamp {
    /// Whether it is a file that can be read to its end.
    pub fn is_regular(&self) -> bool {
        self.regular
    }

    fn of(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            size: metadata.len(),
            modified: metadata.modified().ok(),
            inode: metadata.ino(),
            regular: metadata.is_file(),
        }
    }
}

/// Remembers what was seen when, and says what has settled.
#[derive(Debug, Default)]
pub struct Settling {
    seen: BTreeMap<PathBuf, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    stamp: Stamp,
    since: Timestamp,
    reported: bool,
    /// Since when it is not there.
    away: Option<Timestamp>,
}

/// What one look at the folder found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Files that have settled since the last look, new or changed.
    pub settled: Vec<PathBuf>,
    /// Files that are gone.
    pub gone: Vec<PathBuf>,
    /// Whether some still change: look again after [`SETTLE`].
    pub pending: bool,
}

impl Settling {
    /// Takes in one look at the folder, made at `now`; `is_open` tells of a file that is written to.
    pub fn look(
        &mut self,
        files: &BTreeMap<PathBuf, Stamp>,
        is_open: impl Fn(&Path) -> bool,
        now: Timestamp,
    ) -> Found {
        let mut found = Found::default();
        self.seen.retain(|path, seen| {
            if files.contains_key(path) {
                seen.away = None;
                return true;
            }
            let away = *seen.away.get_or_insert(now);
            let is_gone = GONE <= now.since(away);
            if is_gone {
                found.gone.push(path.clone());
            } else {
                found.pending = true;
            }
            !is_gone
        });
        for (path, stamp) in files {
            let seen = self.seen.entry(path.clone()).or_insert(Seen {
                stamp: *stamp,
                since: now,
                reported: false,
                away: None,
            });
            if seen.stamp != *stamp || now < seen.since {
                *seen = Seen { stamp: *stamp, since: now, reported: false, away: None };
            }
            if seen.reported {
                continue;
            }
            let settle = if is_open(path) { SETTLE_OPEN } else { SETTLE };
            if now.since(seen.since) >= settle {
                seen.reported = true;
                found.settled.push(path.clone());
            } else {
                found.pending = true;
            }
        }
        found
    }

    /// The files of these folders as they were seen last: what can't be looked at is as it was.
    pub fn last_seen<'a>(
        &'a self,
        folders: &'a BTreeMap<PathBuf, String>,
    ) -> impl Iterator<Item = (PathBuf, Stamp)> + 'a {
        let is_there =
            |path: &&PathBuf| path.parent().is_some_and(|folder| folders.contains_key(folder));
        let seen = self.seen.iter().filter(move |(path, _)| is_there(path));
        seen.map(|(path, seen)| (path.clone(), seen.stamp))
    }

    /// Puts off what has settled in these folders: it can't be read now, and is found again later.
    pub fn put_off(&mut self, found: &mut Found, folders: &BTreeMap<PathBuf, String>) {
        found.settled.retain(|path| {
            let can_be_read = path.parent().is_none_or(|folder| !folders.contains_key(folder));
            if !can_be_read && let Some(seen) = self.seen.get_mut(path) {
                seen.reported = false;
            }
            can_be_read
        });
    }

    /// Takes in a look that somebody asked for: what has changed counts as it is, and what is not
    /// there is gone.
    pub fn look_at_once(&mut self, files: &BTreeMap<PathBuf, Stamp>, now: Timestamp) -> Found {
        let is_told = |path: &Path, stamp: &Stamp| {
            self.seen.get(path).is_some_and(|seen| seen.stamp == *stamp && seen.reported)
        };
        let news = files.iter().filter(|(path, stamp)| !is_told(path, stamp));
        let settled = news.map(|(path, _)| path.clone()).collect();
        let gone = self.seen.keys().filter(|path| !files.contains_key(*path)).cloned().collect();
        self.seen.retain(|path, _| files.contains_key(path));
        self.adopt(files, now);
        Found { settled, gone, pending: false }
    }

    /// Takes in a look whose files need not settle: those that are there at start.
    pub fn adopt(&mut self, files: &BTreeMap<PathBuf, Stamp>, now: Timestamp) {
        for (path, stamp) in files {
            let seen = Seen { stamp: *stamp, since: now, reported: true, away: None };
            self.seen.insert(path.clone(), seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(size: u64) -> Stamp {
        Stamp { size, modified: None, inode: 1, regular: true }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn looks(settling: &mut Settling, files: &BTreeMap<PathBuf, Stamp>, millis: i64) -> Found {
        settling.look(files, |_| false, at(millis))
    }

    #[test]
    fn a_file_is_settled_once_it_has_stood_still_and_only_once() {
        let mut settling = Settling::default();
        let path = PathBuf::from("a.wasm");
        let files = |size| BTreeMap::from([(path.clone(), stamp(size))]);
        assert!(looks(&mut settling, &files(1), 0).pending);
        assert!(looks(&mut settling, &files(2), 90).pending, "it grew");
        assert!(looks(&mut settling, &files(2), 180).pending);
        assert_eq!(looks(&mut settling, &files(2), 190).settled, std::slice::from_ref(&path));
        assert_eq!(looks(&mut settling, &files(2), 900), Found::default());
        assert!(looks(&mut settling, &files(3), 1_000).pending, "it was written again");
        let nothing = BTreeMap::new();
        assert!(looks(&mut settling, &nothing, 1_100).pending, "it may come back");
        assert_eq!(looks(&mut settling, &nothing, 3_000).gone, [""; 0].map(PathBuf::from));
        assert_eq!(looks(&mut settling, &nothing, 3_100).gone, std::slice::from_ref(&path));
        assert_eq!(looks(&mut settling, &nothing, 9_000), Found::default());
    }

    #[test]
    fn a_file_that_somebody_has_open_is_given_longer() {
        let mut settling = Settling::default();
        let path = PathBuf::from("a.wasm");
        let files = BTreeMap::from([(path.clone(), stamp(1))]);
        assert!(settling.look(&files, |_| true, at(0)).pending);
        assert!(settling.look(&files, |_| true, at(1_999)).pending);
        assert_eq!(settling.look(&files, |_| true, at(2_000)).settled, std::slice::from_ref(&path));
        let mut settling = Settling::default();
        assert!(settling.look(&files, |_| true, at(0)).pending);
        assert_eq!(settling.look(&files, |_| false, at(100)).settled, [path], "it was closed");
    }

    #[test]
    fn a_file_that_is_soon_back_as_it_was_is_no_news() {
        let mut settling = Settling::default();
        let files = BTreeMap::from([(PathBuf::from("a.wasm"), stamp(1))]);
        settling.adopt(&files, at(0));
        assert!(looks(&mut settling, &BTreeMap::new(), 100).pending);
        assert_eq!(looks(&mut settling, &files, 1_000), Found::default());
        assert!(looks(&mut settling, &BTreeMap::new(), 2_500).pending, "it is away anew");
    }

    #[test]
    fn who_asks_waits_for_nothing_and_is_told_of_everything_once() {
        let mut settling = Settling::default();
        let files = |names: &[&str], size| -> BTreeMap<_, _> {
            names.iter().map(|name| (PathBuf::from(name), stamp(size))).collect()
        };
        looks(&mut settling, &files(&["a.wasm", "b.wasm"], 1), 0);
        let found = settling.look_at_once(&files(&["a.wasm"], 1), at(10));
        assert_eq!((found.settled, found.gone), (vec!["a.wasm".into()], vec!["b.wasm".into()]));
        assert_eq!(settling.look_at_once(&files(&["a.wasm"], 1), at(20)), Found::default());
        assert_eq!(looks(&mut settling, &files(&["a.wasm"], 1), 9_000), Found::default());
        let found = settling.look_at_once(&files(&["a.wasm"], 2), at(9_010));
        assert_eq!(found.settled, [PathBuf::from("a.wasm")], "it was written again");
    }

    #[test]
    fn a_clock_stepped_back_only_delays() {
        let mut settling = Settling::default();
        let path = PathBuf::from("a.wasm");
        let files = BTreeMap::from([(path.clone(), stamp(1))]);
        looks(&mut settling, &files, 10_000);
        assert!(looks(&mut settling, &files, 1_000).pending);
        assert_eq!(looks(&mut settling, &files, 1_300).settled, [path]);
    }
}
