//! Reads one file of the plugins folder into a catalog entry, whatever it turns out to be.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::catalog::{Entry, FoundIn, State};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::form::MAX_PLUGIN_BYTES;
use crate::job::PluginKey;
use crate::job::names::PluginName;
use crate::plugin::signature::MAX_SIGNATURE_BYTES;
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
                versions: None,
                canary: None,
            }
        }
        Err(why) => Entry {
            key,
            from,
            about: None,
            state: State::Refused(why),
            loaded_at: now,
            update_refused: None,
            versions: None,
            canary: None,
        },
    }
}

/// When a file came to be what it is. On a host alone that is also when it was moved here; hosts that
/// share a store go by when it was written, since files are unpacked anew wherever a host starts.
pub fn written_at(file: &Path, shared: bool) -> Timestamp {
    use std::os::unix::fs::MetadataExt;
    let micros =
        |secs: i64, nanos: i64| secs.saturating_mul(1_000_000).saturating_add(nanos / 1_000);
    let Ok(about) = std::fs::metadata(file) else { return Timestamp::from_micros(0) };
    let written = micros(about.mtime(), about.mtime_nsec());
    let moved = micros(about.ctime(), about.ctime_nsec());
    Timestamp::from_micros(if shared { written } else { written.max(moved) })
}

/// The text of the signature beside a file, if there is one that can be read.
pub fn signature(file: &Path) -> Option<String> {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(super::folder::SIGNATURE);
    let beside = PathBuf::from(name);
    // Who opens a pipe might wait for ever.
    if !std::fs::metadata(&beside).ok()?.is_file() {
        return None;
    }
    let open = std::fs::File::open(beside).ok()?;
    let mut text = String::new();
    open.take(MAX_SIGNATURE_BYTES as u64).read_to_string(&mut text).ok()?;
    Some(text)
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
