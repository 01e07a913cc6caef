//! Compiled plugins on disk, so that a start does not compile what was compiled before.
//!
//! A file is named by the plugin's digest and by all engine settings that went into the code. It is
//! machine code: the folder is made for its owner alone, and whatever can't be read is compiled
//! anew.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

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

    /// The component with these bytes, from disk or compiled now.
    ///
    /// # Errors
    ///
    /// The bytes do not compile.
    pub(super) fn component(
        &self,
        engine: &wasmtime::Engine,
        bytes: &[u8],
        digest: &Digest,
    ) -> wasmtime::Result<Component> {
        let Some(file) = self.file(engine, digest) else {
            return Component::new(engine, bytes);
        };
        if let Some(component) = read(engine, &file) {
            return Ok(component);
        }
        if self.keeping == Keeping::ReadOnly {
            return Component::new(engine, bytes);
        }
        let compiled = engine.precompile_component(bytes)?;
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

fn read(engine: &wasmtime::Engine, file: &Path) -> Option<Component> {
    if !file.exists() {
        return None;
    }
    #[expect(unsafe_code, reason = "only this engine writes to its cache, in its owner's folder")]
    let component = unsafe { Component::deserialize_file(engine, file) };
    component
        .inspect_err(|error| tracing::warn!(file = %file.display(), "compiled anew: {error:#}"))
        .ok()
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
