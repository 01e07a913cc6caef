//! The file of configuration while the host serves: when it has changed it is read again, and what it
//! says counts at once, but for what the host was built on.
//!
//! A file that is wrong changes nothing and is told of once. One that is gone changes nothing either.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use super::folder::{Settling, Stamp, stamp};
use super::writers::Writers;
use super::{Present, Reloader};
use crate::config::change::{Changes, between};
use crate::config::error::ConfigError;
use crate::config::include::Pattern;
use crate::config::{Config, FILE_NAME, load};
use crate::job::PluginKey;
use crate::problem::Problem;
use crate::time::Timestamp;

use super::file::plugin_key;

/// The file, and what was seen of it.
pub struct HostFile {
    path: PathBuf,
    /// Its `include` as it was read last, whether or not that file counts.
    include: Vec<Pattern>,
    settling: Settling,
    /// Whether something has settled or gone that was not read yet.
    is_behind: bool,
    /// What is wrong with it, as it was told last.
    refused: Option<String>,
}

impl HostFile {
    /// The file that `config` was read from just before `now`; for the defaults the file that would
    /// have been read.
    pub fn new(config: &Config, now: Timestamp) -> Self {
        let path = config.file.clone().unwrap_or_else(|| config.base.join(FILE_NAME));
        let mut settling = Settling::default();
        let include = config.include.clone();
        settling.adopt(&look_at(&path, &include), now);
        Self { path, include, settling, is_behind: false, refused: None }
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What has become of it and of the files that it includes since the last look.
    pub(super) fn look(&mut self, writers: &Writers, now: Timestamp) -> Look {
        let files = look_at(&self.path, &self.include);
        let found = self.settling.look(&files, |path| writers.has(path), now);
        let is_gone = found.gone.contains(&self.path);
        self.is_behind |= !found.settled.is_empty() || found.gone.iter().any(|it| *it != self.path);
        // While one of them is written to, the others would count without it.
        let is_new = !found.pending && std::mem::take(&mut self.is_behind);
        Look { is_gone, is_new, is_pending: found.pending }
    }

    /// Reads it as it is now. Where there was no file and is none these are the defaults.
    fn read(&mut self, in_force: &Config, now: Timestamp) -> Result<Config, ConfigError> {
        if let Some(include) = is_regular(&self.path).then(|| load::patterns(&self.path)).flatten()
        {
            self.include = include;
        }
        let seen = look_at(&self.path, &self.include);
        self.settling.look_at_once(&seen, now);
        self.is_behind = false;
        match seen.get(&self.path) {
            None if in_force.file.is_none() => return Ok(in_force.clone()),
            // Who reads a pipe might wait for ever.
            Some(stamp) if !stamp.is_regular() => {
                return Err(self.wrong(in_force, "", "it is not a regular file".to_owned()));
            }
            None | Some(_) => (),
        }
        let shown = in_force.short(&self.path);
        load::load(Some(Path::new(&shown)), &in_force.base)
    }

    fn wrong(&self, config: &Config, key: &str, why: String) -> ConfigError {
        ConfigError { file: config.short(&self.path), problems: vec![Problem::new(key, why)] }
    }
}

/// What a look at the file found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Whether it is not there any more.
    pub(super) is_gone: bool,
    /// Whether there is something to read.
    pub(super) is_new: bool,
    /// Whether a file is still being written.
    pub(super) is_pending: bool,
}

/// How it and the files that it includes look from outside; what is not there is left out.
fn look_at(path: &Path, include: &[Pattern]) -> BTreeMap<PathBuf, Stamp> {
    // A folder that can't be read now is told of when the file is read.
    let mut files = load::matching(include, path).unwrap_or_default();
    files.push(path.to_owned());
    files.into_iter().filter_map(|path| stamp(&path).map(|stamp| (path, stamp))).collect()
}

fn is_regular(path: &Path) -> bool {
    stamp(path).is_some_and(|stamp| stamp.is_regular())
}

impl Reloader {
    /// Reads the file of configuration and takes what it says, if nothing in it is wrong.
    ///
    /// # Errors
    ///
    /// All that is wrong; nothing is changed then.
    pub(super) fn take_file(&mut self) -> Result<Changes, ConfigError> {
        let now = self.clock.now();
        let read = self.host_file.read(&self.written, now).and_then(|new| {
            let folder = &new.plugins;
            let made = std::fs::create_dir_all(folder);
            made.map_err(|error| {
                let why = format!("can't make the folder `{}`: {error}", folder.display());
                self.host_file.wrong(&new, "plugins", why)
            })?;
            Ok(new)
        });
        match read {
            Ok(new) => Ok(self.take_config(new)),
            Err(error) => {
                self.tell_refused(&error);
                Err(error)
            }
        }
    }

    fn take_config(&mut self, new: Config) -> Changes {
        let shown = new.short(self.host_file.path());
        if self.host_file.refused.take().is_some() {
            info!(file = %shown, "is understood again");
        }
        self.status.set_config_refused(None);
        let all = self.lay_over(new.clone());
        let changes = between(&self.started, &self.config, all);
        // The rest is the same in both.
        let Config { tenants, secrets, .. } = new;
        self.written = Arc::new(Config { tenants, secrets, ..changes.config.clone() });
        if self.put_in_force(changes.config.clone()) {
            info!(file = %shown, changed = %changes.live.join(", "), "was read again and counts now");
        }
        if !changes.needs_restart.is_empty() && self.waiting != changes.needs_restart {
            warn!(
                file = %shown, keys = %changes.needs_restart.join(", "),
                "these keep their values until the host starts anew; the rest counts now"
            );
        }
        self.waiting.clone_from(&changes.needs_restart);
        changes
    }

    /// Tells what is wrong with the file, once for each thing that is.
    fn tell_refused(&mut self, error: &ConfigError) {
        let text = error.to_string();
        self.status.set_config_refused(Some(text.clone()));
        if self.host_file.refused.as_ref() != Some(&text) {
            warn!("{text}\n  nothing was changed: what was read before counts");
            self.host_file.refused = Some(text);
        }
    }

    /// The file is not there any more.
    pub(super) fn tell_gone(&mut self) {
        let text = format!("`{}` is gone", self.config.short(self.host_file.path()));
        warn!("{text}; what was read before counts");
        self.status.set_config_refused(Some(text));
    }

    /// Forgets the plugins' files that lie in folders that do not count any more. When there is one in
    /// a folder that does, that is found next.
    pub(super) fn forget_other_folders(&mut self) {
        let config = &self.config;
        let is_other = |key: &PluginKey, file: &mut Present| {
            plugin_key(config, &file.path).as_ref() != Ok(key) || config.is_draining(&key.tenant)
        };
        for (key, _) in self.files.extract_if(.., is_other) {
            info!(plugin = %key.shown(), "its folder does not count any more");
        }
    }

    /// The folders in which something may happen.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let tenants = self.config.tenants.keys();
        let mut folders: BTreeSet<_> =
            tenants.map(|tenant| self.config.plugins_of(tenant)).collect();
        folders.extend(self.host_file.path().parent().map(Path::to_owned));
        folders.extend(self.host_file.include.iter().map(|pattern| pattern.folder.clone()));
        folders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    #[test]
    fn a_file_that_is_included_and_away_for_a_moment_holds_back_what_else_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (own, other) = (path("host.toml"), path("acme.toml"));
        let text = "include = ['acme*.toml']\n";
        std::fs::write(&own, text).unwrap();
        std::fs::write(&other, "[tenants.acme]\n").unwrap();
        let config = load::load(Some(&own), folder.path()).unwrap();
        let mut file = HostFile::new(&config, at(0));
        let mut look = |millis| {
            let look = file.look(&Writers::default(), at(millis));
            (look.is_new, look.is_pending)
        };
        assert_eq!(look(100), (false, false));
        // Some ways to replace a file take it away first.
        std::fs::write(&own, format!("timezone = 'UTC'\n{text}")).unwrap();
        std::fs::rename(&other, path("aside")).unwrap();
        assert_eq!((look(200), look(400)), ((false, true), (false, true)));
        std::fs::rename(path("aside"), &other).unwrap();
        assert_eq!((look(500), look(600)), ((true, false), (false, false)), "it is as it was");
        // One that stays away is gone, and one that is new is told of.
        std::fs::remove_file(&other).unwrap();
        assert_eq!((look(700), look(2_600)), ((false, true), (false, true)));
        assert_eq!((look(2_700), look(2_800)), ((true, false), (false, false)));
        std::fs::write(path("acme2.toml"), "").unwrap();
        assert_eq!((look(2_900), look(3_000)), ((false, true), (true, false)));
    }
}
