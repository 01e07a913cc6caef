//! What the plugins in the folder say about their jobs, asked here, without a host.

use std::sync::Arc;

use super::exit::Failure;
use crate::catalog::State;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::config::resolve::Carried;
use crate::engine::{Engine, Settings};
use crate::job::PluginKey;
use crate::reloader::file;
use crate::reloader::folder::{PLUGIN, Scanned, scan};

/// Instances that are asked at once.
const INSTANCES: u32 = 4;

/// The plugins of the folder.
#[derive(Debug, Default)]
pub struct Folder {
    /// All of them; of those that are refused nobody knows the handlers.
    pub carried: Vec<Carried>,
    /// Why some are refused.
    pub refused: Vec<(PluginKey, String)>,
    /// Files that are no plugins, each with the reason.
    pub strange: Vec<String>,
}

/// Compiles what lies in the folder and asks it. Compiled plugins that a host keeps are used.
///
/// # Errors
///
/// The folder can't be read, or the machine can't run a plugin.
pub async fn folder(config: &Config) -> Result<Folder, Failure> {
    let Scanned { files, unreadable } = scan(config, PLUGIN);
    if let Some((folder, error)) = unreadable.first_key_value() {
        let shown = config.short(folder);
        return Err(Failure::usage(format!("can't read the folder `{shown}`: {error}")));
    }
    let mut found = Folder::default();
    if files.is_empty() {
        return Ok(found);
    }
    let settings = Settings {
        max_instances: INSTANCES,
        max_memory: config.executor.most_memory(),
        cache_dir: Some(config.cache_dir()),
        clock: Arc::new(SystemClock),
    };
    let engine = Engine::read_only(settings)
        .map_err(|error| Failure::failed(format!("the sandbox can't start: {error:#}")))?;
    for path in files.keys() {
        let key = match file::plugin_key(config, path) {
            Ok(key) => key,
            Err(why) => {
                found.strange.push(format!("{}: {why}", config.short(path)));
                continue;
            }
        };
        let entry = file::entry(&engine, key, path, SystemClock.now()).await;
        let handlers = match entry.state {
            State::Active(plugin) => Some(plugin.about.handlers.clone()),
            State::Refused(why) => {
                found.refused.push((entry.key.clone(), why));
                None
            }
        };
        found.carried.push(Carried { plugin: entry.key, handlers, own: true });
    }
    Ok(found)
}
