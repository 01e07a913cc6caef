//! Reads `host.toml` and the sidecars from disk. The one place below the edges that does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::error::ConfigError;
use super::include::{self, Included, MAX_FILES, Pattern};
use super::sidecar::{BrokenSidecar, Sidecar};
use super::{Config, FILE_NAME, folders};
use crate::job::PluginKey;
use crate::job::names::{PluginName, TenantId};
use crate::problem::Problem;
use crate::table::unit::show_size;

/// Tenants whose folders of plugins can't be read, each with the reason.
pub type Unreadable = BTreeMap<TenantId, ConfigError>;

/// Bytes of one file at most.
pub const MAX_FILE_BYTES: u64 = 64 << 20;
/// Bytes of all files that are included at most.
const MAX_FILES_BYTES: u64 = MAX_FILE_BYTES;

/// Reads the file that was named, which must be there; when none was, `host.toml` of the working
/// folder `cwd` (absolute) if there is one, else the defaults.
///
/// # Errors
///
/// Why the file can't be read, or all its problems.
pub fn load(path: Option<&Path>, cwd: &Path) -> Result<Config, ConfigError> {
    let shown = path.unwrap_or(Path::new(FILE_NAME));
    let file = absolute(shown, cwd);
    match read(&file) {
        Ok((text, seconds)) => {
            let base = file.parent().unwrap_or(cwd);
            let patterns = include::patterns_of(&text, base).unwrap_or_default();
            let included = included(&patterns, &file, base, shown)?;
            let seconds = included.iter().map(|other| other.seconds).fold(seconds, i64::max);
            let config = Config::parse_all(&text, shown, base, seconds, &included)?;
            apart(config, shown)
        }
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => {
            let config = Config::parse("", shown, cwd, 0)?;
            Ok(Config { file: None, ..config })
        }
        Err(error) => Err(unreadable(shown, &error)),
    }
}

/// The entries of `include` of a file as it is now; `None`: it can't be read, or is no TOML.
pub fn patterns(file: &Path) -> Option<Vec<Pattern>> {
    include::patterns_of(&read(file).ok()?.0, file.parent()?)
}

/// The files that are meant by `patterns` and are there, in the order in which they are read; `own` is
/// the file that includes them. More than [`MAX_FILES`] only by one.
///
/// # Errors
///
/// A folder can't be read.
pub fn matching(patterns: &[Pattern], own: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([own.to_owned()]);
    for pattern in patterns {
        let mut files = match pattern.file() {
            Some(file) => Vec::from_iter(file.exists().then_some(file)),
            None => match listed(pattern) {
                Ok(files) => files,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err((pattern.folder.clone(), error)),
            },
        };
        files.sort();
        found.extend(files.into_iter().filter(|file| seen.insert(file.clone())));
        found.truncate(MAX_FILES + 1);
    }
    Ok(found)
}

/// The files of a folder that a pattern means, not many more than are read.
fn listed(pattern: &Pattern) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(&pattern.folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| pattern.matches(name)) {
            files.push(entry.path());
        }
        if MAX_FILES + 1 < files.len() {
            break;
        }
    }
    Ok(files)
}

/// Reads the files that are meant. One that can't be read is a problem of its own.
fn included(
    patterns: &[Pattern],
    own: &Path,
    base: &Path,
    shown: &Path,
) -> Result<Vec<Included>, ConfigError> {
    let wrong = |why: String| ConfigError {
        file: shown.display().to_string(),
        problems: vec![Problem::new("include", why)],
    };
    let mut files = matching(patterns, own).map_err(|(folder, error)| {
        wrong(format!("the folder `{}` can't be read: {error}", folder.display()))
    })?;
    if MAX_FILES < files.len() {
        return Err(wrong(format!("names more than {MAX_FILES} files")));
    }
    // One that is named as it is must be there.
    let missing = patterns.iter().filter_map(Pattern::file).filter(|file| !file.exists());
    files.extend(missing);
    let mut left = MAX_FILES_BYTES;
    let read_one = |file: PathBuf| {
        let read = read_within(&file, left);
        left = left.saturating_sub(read.as_ref().map_or(0, |(text, _)| text.len() as u64));
        let shown = file.strip_prefix(base).unwrap_or(&file).display().to_string();
        let (text, seconds) = match read {
            Ok((text, seconds)) => (Ok(text), seconds),
            Err(error) => (Err(format!("it can't be read: {error}")), 0),
        };
        Included { file, shown, text, seconds }
    };
    Ok(files.into_iter().map(read_one).collect())
}

/// Refuses what `parse` can't see: two tenants whose folders are one behind links.
fn apart(config: Config, shown: &Path) -> Result<Config, ConfigError> {
    match folders::shared(&config.plugins, &config.tenants, real) {
        problems if problems.is_empty() => Ok(config),
        problems => Err(ConfigError { file: shown.display().to_string(), problems }),
    }
}

/// The folder that a path leads to, links followed as far as there is something.
pub fn real(path: &Path) -> PathBuf {
    let path = folders::by_text(path);
    match (fs::canonicalize(&path), path.parent(), path.file_name()) {
        (Ok(real), _, _) => real,
        (Err(_), Some(parent), Some(name)) => real(parent).join(name),
        (Err(_), _, _) => path,
    }
}

/// Reads the sidecars: each `<name>.toml` that stands beside a `<name>.wasm` in the folders of
/// plugins, by tenant and name; and of which tenants the folder can't be read, and why. A folder that
/// is not there has none.
pub fn sidecars(config: &Config) -> (Vec<Result<Sidecar, BrokenSidecar>>, Unreadable) {
    let (mut found, mut unreadable) = (Vec::new(), Unreadable::new());
    for tenant in config.tenants.keys().filter(|tenant| !config.is_draining(tenant)) {
        match sidecars_of(config, tenant) {
            Ok(sidecars) => found.extend(sidecars),
            Err(error) => {
                unreadable.insert(tenant.clone(), error);
            }
        }
    }
    (found, unreadable)
}

/// The same for whoever wants all of them.
///
/// # Errors
///
/// Why a folder can't be read.
pub fn all_sidecars(config: &Config) -> Result<Vec<Result<Sidecar, BrokenSidecar>>, ConfigError> {
    let (found, unreadable) = sidecars(config);
    match unreadable.into_values().next() {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

/// The sidecars of one tenant.
fn sidecars_of(
    config: &Config,
    tenant: &TenantId,
) -> Result<Vec<Result<Sidecar, BrokenSidecar>>, ConfigError> {
    let folder = &config.plugins_of(tenant);
    let mut plugins = match plugin_names(folder) {
        Ok(plugins) => plugins,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    plugins.sort();
    let read_one = |plugin: PluginName| {
        let file = folder.join(format!("{plugin}.toml"));
        let plugin = PluginKey { tenant: tenant.clone(), plugin };
        match read_within(&file, MAX_FILE_BYTES) {
            Ok((text, seconds)) => Some(Sidecar::parse(&text, plugin, &file, config, seconds)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let origin = config.short(&file);
                let error = unreadable(Path::new(&origin), &error);
                Some(Err(BrokenSidecar { plugin, origin, error }))
            }
        }
    };
    Ok(plugins.into_iter().filter_map(read_one).collect())
}

/// The names of the plugins in a folder; files whose names are none are not plugins.
fn plugin_names(folder: &Path) -> io::Result<Vec<PluginName>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if path.extension().is_some_and(|extension| extension == "wasm")
            && let Some(Ok(name)) = stem.map(str::parse)
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// The same of one that is included, when all of them may have so many bytes more.
fn read_within(file: &Path, left: u64) -> io::Result<(String, i64)> {
    let about = fs::metadata(file)?;
    if !about.is_file() {
        // Who reads a pipe might wait for ever.
        return Err(io::Error::other("it is not a regular file"));
    }
    if left < about.len() {
        let most = show_size(MAX_FILES_BYTES);
        let message = format!("it, or all included files together, are longer than {most}");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    read(file)
}

/// The text of a file and its time in seconds since the epoch.
fn read(file: &Path) -> io::Result<(String, i64)> {
    let about = fs::metadata(file)?;
    if about.len() > MAX_FILE_BYTES {
        let message = format!("it is longer than {}", show_size(MAX_FILE_BYTES));
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    let since_epoch = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    Ok((fs::read_to_string(file)?, seconds))
}

fn absolute(path: &Path, cwd: &Path) -> PathBuf {
    cwd.join(path).components().collect()
}

fn unreadable(file: &Path, error: &io::Error) -> ConfigError {
    let problem = Problem::new("", format!("it can't be read: {error}"));
    ConfigError { file: file.display().to_string(), problems: vec![problem] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_must_be_there_and_the_usual_one_need_not() {
        let folder = tempfile::tempdir().unwrap();
        let error = load(Some(Path::new("other.toml")), folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("cannot use configuration `other.toml`\n  it can't be read: "));

        let defaults = load(None, folder.path()).unwrap();
        assert_eq!((defaults.file, defaults.config_version), (None, 0));
        assert_eq!(defaults.base, folder.path());

        fs::write(folder.path().join(FILE_NAME), "plugins = 'p'").unwrap();
        let usual = load(None, folder.path()).unwrap();
        assert_eq!(usual.file, Some(folder.path().join(FILE_NAME)));
        assert_eq!(usual.plugins, folder.path().join("p"));
        assert!(usual.config_version > 1_700_000_000);
    }

    #[test]
    fn relative_paths_start_at_the_file_and_not_at_the_working_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("conf")).unwrap();
        fs::write(folder.path().join("conf/h.toml"), "").unwrap();
        let config = load(Some(Path::new("./conf/h.toml")), folder.path()).unwrap();
        assert_eq!(config.plugins, folder.path().join("conf/plugins"));
        assert_eq!(config.origin(), "h.toml");
    }

    #[test]
    fn a_sidecar_stands_beside_its_plugin_and_other_files_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins");
        let config = load(None, folder.path()).unwrap();
        assert_eq!(sidecars(&config), (vec![], Unreadable::new()));
        fs::create_dir(&plugins).unwrap();
        for (name, text) in [
            ("b.wasm", ""),
            ("b.toml", "[jobs.x]"),
            ("a.wasm", ""),
            ("a.toml", "[jobs.y]\nx = 1"),
            ("alone.wasm", ""),
            ("Cargo.toml", "[workspace]"),
        ] {
            fs::write(plugins.join(name), text).unwrap();
        }
        let (sidecars, unreadable) = sidecars(&config);
        assert!(unreadable.is_empty());
        assert_eq!(sidecars.len(), 2);
        assert_eq!(sidecars[0].as_ref().unwrap_err().origin, "plugins/a.toml");
        assert_eq!(sidecars[1].as_ref().unwrap().plugin.plugin.as_str(), "b");
    }
}
