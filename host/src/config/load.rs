//! Reads `host.toml` and the sidecars from disk. The one place below the edges that does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::error::ConfigError;
use super::sidecar::{BrokenSidecar, Sidecar};
use super::{Config, FILE_NAME, folders};
use crate::job::PluginKey;
use crate::job::names::{PluginName, TenantId};
use crate::problem::Problem;
use crate::table::unit::show_size;

/// Bytes of one file at most.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

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
            let config = Config::parse(&text, shown, base, seconds)?;
            apart(config, shown)
        }
        Err(error) if path.is_none() && error.kind() == io::ErrorKind::NotFound => {
            let config = Config::parse("", shown, cwd, 0)?;
            Ok(Config { file: None, ..config })
        }
        Err(error) => Err(unreadable(shown, &error)),
    }
}

/// Refuses what `parse` can't see: two tenants whose folders are one behind links.
fn apart(config: Config, shown: &Path) -> Result<Config, ConfigError> {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| folders::by_text(path));
    match folders::shared(&config.plugins, &config.tenants, real) {
        problems if problems.is_empty() => Ok(config),
        problems => Err(ConfigError { file: shown.display().to_string(), problems }),
    }
}

/// Reads the sidecars: each `<name>.toml` that stands beside a `<name>.wasm` in the folders of
/// plugins, by tenant and name. A folder that is not there has none.
///
/// # Errors
///
/// Why the folder can't be read. A broken sidecar is an item, not an error.
pub fn sidecars(config: &Config) -> Result<Vec<Result<Sidecar, BrokenSidecar>>, ConfigError> {
    let mut found = Vec::new();
    for tenant in config.tenants.keys() {
        found.extend(sidecars_of(config, tenant)?);
    }
    Ok(found)
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
        match read(&file) {
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
        assert_eq!(sidecars(&config), Ok(vec![]));
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
        let sidecars = sidecars(&config).unwrap();
        assert_eq!(sidecars.len(), 2);
        assert_eq!(sidecars[0].as_ref().unwrap_err().origin, "plugins/a.toml");
        assert_eq!(sidecars[1].as_ref().unwrap().plugin.plugin.as_str(), "b");
    }
}
