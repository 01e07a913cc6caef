//! Reads one file of the plugins folder into a catalog entry, whatever it turns out to be.

use std::io::Read;
use std::path::Path;

use crate::catalog::{Entry, FoundIn, State};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::form::MAX_PLUGIN_BYTES;
use crate::job::PluginKey;
use crate::job::names::PluginName;
use crate::time::Timestamp;

/// The plugin that a file of a tenant's folder is called after.
///
/// # Errors
///
/// Why its name is none, and what would be one.
pub fn plugin_key(config: &Config, file: &Path) -> Result<PluginKey, String> {
    let tenant = file.parent().and_then(|folder| config.tenant_of(folder));
    let tenant = tenant.ok_or("it lies in no tenant's folder of plugins; move it into one")?;
    let stem = file.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
    let plugin: PluginName = stem.parse().map_err(|error| format!("{error}; rename the file"))?;
    Ok(PluginKey { tenant, plugin })
}

/// Reads, compiles and describes a file.
pub async fn entry(engine: &Engine, key: PluginKey, file: &Path, now: Timestamp) -> Entry {
    let loaded = match read(file) {
        Ok(bytes) => engine.load(bytes.into()).await.map_err(|refusal| refusal.to_string()),
        Err(why) => Err(why),
    };
    let from = FoundIn::Folder(file.to_owned());
    match loaded {
        Ok(plugin) => {
            let about = Some(plugin.about.clone());
            Entry {
                key,
                from,
                about,
                state: State::Active(plugin),
                loaded_at: now,
                update_refused: None,
            }
        }
        Err(why) => Entry {
            key,
            from,
            about: None,
            state: State::Refused(why),
            loaded_at: now,
            update_refused: None,
        },
    }
}

/// The bytes of a regular file of bearable size.
///
/// # Errors
///
/// The rest of a sentence that begins with the file's name.
pub fn read(file: &Path) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(file).map_err(|error| unreadable(&error))?;
    if metadata.is_dir() {
        return Err("it is a folder; only files called *.wasm are plugins".to_owned());
    }
    if !metadata.is_file() {
        return Err("it is not a regular file; copy the plugin itself here".to_owned());
    }
    let open = std::fs::File::open(file).map_err(|error| unreadable(&error))?;
    let mut bytes = Vec::new();
    open.take(MAX_PLUGIN_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > MAX_PLUGIN_BYTES {
        return Err(format!("it is larger than {} MiB; build it smaller", MAX_PLUGIN_BYTES >> 20));
    }
    Ok(bytes)
}

fn unreadable(error: &std::io::Error) -> String {
    format!("it can't be read ({error}); check who may read it")
}
