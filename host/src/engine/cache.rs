//! Compiled plugins on disk, so that a start does not compile what was compiled before.
//!
//! A file is named by the plugin's digest and by all engine settings and processor features that
//! went into the code. It is machine code: the folder is made for its owner alone, a file is used
//! only when nobody else can have written it, and whatever can't be used is compiled anew.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use wasmtime::component::Component;

use super::plugin::Digest;

/// Compiled files kept at most; the oldest go first.
const MAX_FILES: usize = 1_000;

/// The folder of compiled plugins, if there is one.
pub(super) struct Cache {
    dir: Option<PathBuf>,
    keeping: Keeping,
}

/// What becomes of a plugin that had to be compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// It is kept for the next start.
    Write,
    /// Nothing is written.
    ReadOnly,
}

impl Cache {
    /// A cache in `dir`, which is made on first need.
    pub(super) fn new(dir: Option<PathBuf>, keeping: Keeping) -> Self {
        Self { dir, keeping }
    }

    /// The plugin of this digest, if it is there.
    pub(super) fn read(&self, engine: &wasmtime::Engine, digest: &Digest) -> Option<Component> {
        read(engine, &self.file(engine, digest)?)
    }

    /// Compiles a component, and keeps it under the digest of the file that it was made of.
    ///
    /// # Errors
    ///
    /// The bytes do not compile.
    pub(super) fn compile(
        &self,
        engine: &wasmtime::Engine,
        component: &[u8],
        digest: &Digest,
    ) -> wasmtime::Result<Component> {
        let file = self.file(engine, digest).filter(|_| self.keeping == Keeping::Write);
        let Some(file) = file else { return Component::new(engine, component) };
        let compiled = engine.precompile_component(component)?;
        if let Err(error) = write(&file, &compiled) {
            tracing::warn!(file = %file.display(), %error, "the compiled plugin can't be kept");
        }
        self.tidy();
        load(engine, &compiled)
    }

    fn file(&self, engine: &wasmtime::Engine, digest: &Digest) -> Option<PathBuf> {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let name = format!("{}-{:016x}.cwasm", digest.hex(), hasher.finish());
        Some(self.dir.as_ref()?.join(name))
    }

    fn tidy(&self) {
        let Some(entries) = self.dir.as_ref().and_then(|dir| fs::read_dir(dir).ok()) else {
            return;
        };
        let mut files: Vec<_> = entries
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        for (_, path) in files.iter().take(files.len().saturating_sub(MAX_FILES)) {
            // Another start may have removed it first; the next one tries again.
            let _ = fs::remove_file(path);
        }
    }
}

/// Reads a file that this user alone can have written; any other is machine code of who knows whom.
fn read(engine: &wasmtime::Engine, file: &Path) -> Option<Component> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let open = rustix::fs::open(file, flags, Mode::empty());
    let open = fs::File::from(match open {
        Ok(open) => open,
        Err(rustix::io::Errno::NOENT) => return None,
        Err(error) => return anew(file, &error.to_string()),
    });
    match written_by_us(&open, file) {
        Ok(()) => (),
        Err(why) => return anew(file, &why),
    }
    #[expect(
        unsafe_code,
        reason = "only this user can have written the file, and only this engine \
                                    writes there"
    )]
    let component = unsafe { Component::deserialize_file(engine, file) };
    match component {
        Ok(component) => Some(component),
        Err(error) => anew(file, &format!("{error:#}")),
    }
}

fn anew(file: &Path, why: &str) -> Option<Component> {
    tracing::warn!(file = %file.display(), why, "the compiled plugin is not used, but made anew");
    None
}

/// Whether nobody but this user can have written an open file, or put it in its folder.
fn written_by_us(open: &fs::File, file: &Path) -> Result<(), String> {
    let dir = file.parent().ok_or("it is in no folder")?;
    let own = rustix::process::geteuid().as_raw();
    let file = open.metadata().map_err(|error| error.to_string())?;
    let dir = fs::metadata(dir).map_err(|error| error.to_string())?;
    if !file.is_file() {
        return Err("it is no regular file".to_owned());
    }
    for (what, place) in [("it", &file), ("its folder", &dir)] {
        if place.uid() != own {
            return Err(format!("{what} belongs to another user"));
        }
        if place.mode() & 0o022 != 0 {
            return Err(format!("{what} can be written by other users"));
        }
    }
    Ok(())
}

fn load(engine: &wasmtime::Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    #[expect(unsafe_code, reason = "these bytes were just compiled by this engine")]
    unsafe {
        Component::deserialize(engine, compiled)
    }
}

/// Writes beside and renames, so that no reader meets half a file.
fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(dir) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let beside = file.with_extension(format!("{}.part", std::process::id()));
    let mut part =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    part.write_all(bytes)?;
    drop(part);
    fs::rename(beside, file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn change_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_what_this_user_alone_can_have_written_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(folder.path().join("cache")), Keeping::Write);
        let engine = wasmtime::Engine::default();
        let component = wat::parse_str("(component)").unwrap();
        let digest = Digest::of(&component);
        assert!(cache.read(&engine, &digest).is_none(), "nothing is there");
        cache.compile(&engine, &component, &digest).unwrap();
        assert!(cache.read(&engine, &digest).is_some());

        let file = cache.file(&engine, &digest).unwrap();
        change_mode(&file, 0o622);
        assert!(cache.read(&engine, &digest).is_none(), "others can write the file");
        change_mode(&file, 0o600);
        change_mode(file.parent().unwrap(), 0o777);
        assert!(cache.read(&engine, &digest).is_none(), "others can write to the folder");
        change_mode(file.parent().unwrap(), 0o700);
        assert!(cache.read(&engine, &digest).is_some());

        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&file, &elsewhere).unwrap();
        symlink(&elsewhere, &file).unwrap();
        assert!(cache.read(&engine, &digest).is_none(), "a link leads elsewhere");
        fs::remove_file(&file).unwrap();
        fs::write(&file, b"not code").unwrap();
        change_mode(&file, 0o600);
        assert!(cache.read(&engine, &digest).is_none(), "it is damaged");
    }
}
