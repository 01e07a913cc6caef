//! Where things are in the repository.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The Rust target that plugins are built for.
pub const GUEST_TARGET: &str = "wasm32-wasip2";

/// The Rust target of core modules without WASI, which some test guests are built for too.
pub const CORE_TARGET: &str = "wasm32-unknown-unknown";

/// The folders of one checkout.
#[derive(Clone, Debug)]
pub struct House {
    root: PathBuf,
}

impl House {
    /// The checkout that this program was started from by cargo, else the one it was built in.
    ///
    /// # Errors
    ///
    /// That folder is gone.
    pub fn find() -> Result<Self> {
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|| OsStr::new(env!("CARGO_MANIFEST_DIR")).to_owned());
        let root = Path::new(&package).join("..");
        let root = root.canonicalize().with_context(|| {
            format!("cannot find the repository at `{}`: run `cargo xtask` in it", root.display())
        })?;
        Ok(Self { root })
    }

    /// The top of the checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The workspace of example plugins, and the folder that the host loads them from.
    pub fn plugins(&self) -> PathBuf {
        self.root.join("plugins")
    }

    /// The workspace of the plugins that tests run.
    pub fn guests(&self) -> PathBuf {
        self.root.join("tests/guests")
    }

    /// Where both are built.
    pub fn guest_builds(&self) -> PathBuf {
        self.root.join("target/guests")
    }

    /// Where plugins are built for this machine, to run their unit tests.
    pub fn native_builds(&self) -> PathBuf {
        self.root.join("target/guests-native")
    }

    /// The `.wasm` that the package of this name is built as.
    pub fn built_guest(&self, package: &str) -> PathBuf {
        let file = wasm_file(package);
        self.guest_builds().join(GUEST_TARGET).join("release").join(file)
    }

    /// The host that cargo builds, in the profile and the folder that this program is from.
    ///
    /// # Errors
    ///
    /// The system does not say where this program is.
    pub fn host(&self) -> Result<PathBuf> {
        let own = std::env::current_exe().context("cannot tell where this program is")?;
        Ok(own.with_file_name("host"))
    }

    /// A path as people type it at the top of the checkout.
    pub fn short<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

/// What cargo calls the library of a package.
pub fn wasm_file(package: &str) -> String {
    format!("{}.wasm", package.replace('-', "_"))
}

/// The packages of a workspace of guests, by name: each has a folder called like itself.
///
/// # Errors
///
/// The folder can't be read.
pub fn packages(workspace: &Path) -> Result<Vec<String>> {
    let cannot = || format!("cannot list the packages in `{}`", workspace.display());
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(workspace).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        if entry.path().join("Cargo.toml").is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            packages.push(name);
        }
    }
    packages.sort();
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_holds_what_is_looked_for() {
        let house = House::find().unwrap();
        let plugins = packages(&house.plugins()).unwrap();
        assert!(plugins.iter().any(|name| name == "hello"), "{plugins:?}");
        assert!(house.guests().join("Cargo.toml").is_file());
        assert_eq!(house.short(&house.guests()).to_string(), "tests/guests");
    }

    #[test]
    fn a_built_file_has_underscores() {
        assert_eq!(wasm_file("wants-more"), "wants_more.wasm");
    }
}
