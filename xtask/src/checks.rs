//! The tasks that say whether a change is good: tests, lints, measurements.

use std::path::Path;

use anyhow::Result;

use crate::cargo;
use crate::house::{self, House};
use crate::plugins::{self, Wanted};
use crate::progress::Progress;
use crate::tools::{self, Need};

/// Runs the tests: all of them, or those of the workspace that `args` choose.
///
/// # Errors
///
/// A tool is missing, something does not build, a test fails.
pub fn test(house: &House, progress: &Progress, args: &[String]) -> Result<()> {
    tools::ensure(progress, &[Need::Guests, Need::CoreGuests, Need::Host, Need::Fleet])?;
    tests(house, progress, args)?;
    progress.finish(if args.is_empty() { "all tests passed" } else { "the chosen tests passed" });
    Ok(())
}

/// Runs all that a change must pass.
///
/// # Errors
///
/// As [`test`], or the format or a lint is not as it should be.
pub fn ci(house: &House, progress: &Progress) -> Result<()> {
    tools::ensure(
        progress,
        &[Need::Lints, Need::Guests, Need::CoreGuests, Need::Host, Need::Fleet],
    )?;
    progress.step("format", || format(house))?;
    progress.step("lints", || {
        let mut clippy = cargo::cargo(house.root(), ["clippy", "--workspace", "--all-targets"]);
        cargo::run(clippy.args(["--locked", "--", "-D", "warnings"]))
    })?;
    tests(house, progress, &[])?;
    progress.finish("the change may go in: format, lints and tests passed");
    Ok(())
}

/// Runs the benchmark. What it is compared with may lack: then it says so.
///
/// # Errors
///
/// A tool is missing, something does not build, the benchmark ends with an error.
pub fn bench(house: &House, progress: &Progress, args: &[String]) -> Result<()> {
    tools::ensure(progress, &[Need::Guests, Need::Host])?;
    if let Err(error) = tools::ensure(progress, &[Need::Rivals]) {
        progress.note(format_args!("measuring without a comparison: {error:#}"));
    }
    plugins::build(house, progress, Wanted::ExamplesAndGuests)?;
    progress.note("compiling with optimization; the first time takes several minutes");
    progress.step("benchmark", || {
        let mut bench = cargo::cargo(house.root(), ["bench", "--locked"]);
        bench.args(["--package", "campanile", "--bench", "speed", "--"]).args(args);
        cargo::run(&mut bench)
    })?;
    progress.finish("measured");
    Ok(())
}

fn tests(house: &House, progress: &Progress, args: &[String]) -> Result<()> {
    plugins::build(house, progress, Wanted::ExamplesAndGuests)?;
    progress.note("compiling host and tests; the first time takes a few minutes");
    progress.step("tests of the workspace", || {
        let mut test = cargo::cargo(house.root(), ["test", "--workspace", "--locked"]);
        cargo::run(test.args(args))
    })?;
    if !args.is_empty() {
        return Ok(());
    }
    progress.step("tests of the plugins", || {
        let mut test = cargo::cargo(&house.plugins(), ["test", "--locked", "--target-dir"]);
        cargo::run(test.arg(house.native_builds()))
    })
}

/// Guests are looked at package by package: with `--all` rustfmt would follow their paths into the
/// workspace, and look at it again.
fn format(house: &House) -> Result<()> {
    cargo::run(&mut cargo::cargo(house.root(), ["fmt", "--all", "--check"]))?;
    for workspace in [house.plugins(), house.guests()] {
        format_packages(&workspace)?;
    }
    Ok(())
}

fn format_packages(workspace: &Path) -> Result<()> {
    for package in house::packages(workspace)? {
        cargo::run(&mut cargo::cargo(workspace, ["fmt", "--package", &package, "--check"]))?;
    }
    Ok(())
}
