//! Builds plugins and puts them where the host loads them from.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cargo;
use crate::house::{self, CORE_TARGET, GUEST_TARGET, House};
use crate::progress::Progress;
use crate::tools::{self, Need};

/// The test guests that are built as core modules too.
const CORE_GUESTS: [&str; 2] = ["--package", "noop"];

/// The example that only [`tenants`] have: nothing in `host.toml` runs it.
const OF_TENANTS: &str = "mill";

/// Which workspaces of guests to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The examples.
    Examples,
    /// The examples, and the plugins that tests run.
    ExamplesAndGuests,
}

/// Builds what is wanted. Examples are put into `plugins/`, test guests stay where they are built.
///
/// # Errors
///
/// A tool is missing, a package does not build, a file can't be written.
pub fn build(house: &House, progress: &Progress, wanted: Wanted) -> Result<()> {
    match wanted {
        Wanted::Examples => tools::ensure(progress, &[Need::Guests])?,
        Wanted::ExamplesAndGuests => {
            tools::ensure(progress, &[Need::Guests, Need::CoreGuests])?;
        }
    }
    progress.step("plugins", || {
        let folder = house.plugins();
        compile(house, &folder, GUEST_TARGET, &[])?;
        let packages = house::packages(&folder)?.into_iter();
        for package in packages.filter(|package| package != OF_TENANTS) {
            let installed = folder.join(house::wasm_file(&package));
            let change = install(&house.built_guest(&package), &installed)?;
            progress.note(format_args!("{} {}", house.short(&installed), change.word()));
        }
        Ok(())
    })?;
    match wanted {
        Wanted::Examples => Ok(()),
        Wanted::ExamplesAndGuests => {
            let guests = house.guests();
            progress.step("test guests", || compile(house, &guests, GUEST_TARGET, &[]))?;
            progress.step("test guests without WASI", || {
                compile(house, &guests, CORE_TARGET, &CORE_GUESTS)
            })
        }
    }
}

/// Gives the tenants of a demo their plugins, which are built, in folders of `plugins`.
///
/// # Errors
///
/// A file can't be written.
pub fn tenants(house: &House, plugins: &Path) -> Result<()> {
    for (tenant, package) in [("good", "hello"), ("greedy", OF_TENANTS), ("hostile", OF_TENANTS)] {
        let folder = plugins.join(tenant);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
        install(&house.built_guest(package), &folder.join(house::wasm_file(package)))?;
    }
    Ok(())
}

/// Builds the packages of a workspace, or those of them that `choice` names to cargo.
fn compile(house: &House, workspace: &Path, target: &str, choice: &[&str]) -> Result<()> {
    let mut build = cargo::cargo(workspace, ["build", "--release", "--locked"]);
    build.args(choice);
    build.args(["--target", target, "--target-dir"]).arg(house.guest_builds());
    cargo::run(&mut build)
}

/// What became of an installed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Added,
    Replaced,
    None,
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Added => "is new",
            Self::Replaced => "was replaced",
            Self::None => "is unchanged",
        }
    }
}

/// Puts the file `from` at `to` in one step: a host that serves at this moment reads the old file
/// or the new one. The same bytes are left alone, since each new file is a reload.
fn install(from: &Path, to: &Path) -> Result<Change> {
    let bytes =
        fs::read(from).with_context(|| format!("cannot read the built `{}`", from.display()))?;
    let before = fs::read(to).ok();
    if before.as_ref() == Some(&bytes) {
        return Ok(Change::None);
    }
    // Not called `*.wasm`: the host looks at those.
    let beside = to.with_extension(format!("wasm.{}.new", std::process::id()));
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, to));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written.with_context(|| format!("cannot write `{}`", to.display()))?;
    Ok(if before.is_some() { Change::Replaced } else { Change::Added })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_in_place_whole_and_only_when_it_differs() {
        let folder = std::env::temp_dir().join(format!("xtask-install-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("built.wasm"), folder.join("hello.wasm"));
        for (bytes, change) in
            [("one", Change::Added), ("one", Change::None), ("two", Change::Replaced)]
        {
            fs::write(&from, bytes).unwrap();
            assert_eq!(install(&from, &to).unwrap(), change);
            assert_eq!(fs::read_to_string(&to).unwrap(), bytes);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing else is left behind");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_was_not_built_is_named() {
        let error = install(Path::new("no-such.wasm"), Path::new("x.wasm")).unwrap_err();
        assert!(error.to_string().contains("no-such.wasm"), "{error}");
    }
}
