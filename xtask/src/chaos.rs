//! The chaos: hosts that are killed, frozen and cut off for minutes or hours, and judged.
//!
//! The run itself is an ignored test of the integration binary, steered by variables: it needs the
//! host that cargo has built for that binary, and the same parts as the other tests.

use std::hash::{BuildHasher, Hasher, RandomState};

use anyhow::Result;

use crate::cargo;
use crate::house::House;
use crate::plugins::{self, Wanted};
use crate::progress::Progress;
use crate::tools::{self, Need};

/// The test that does it.
const TEST: &str = "chaos::run::chaos";
/// Seeds that nobody chose are below this: short enough to be typed.
const SEEDS: u64 = 1_000_000;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long hosts are disturbed.
    pub minutes: u32,
    /// What is done and when follows from it; chosen by chance when it is left out.
    pub seed: Option<u64>,
    /// How many hosts share the store.
    pub hosts: u32,
    /// `redis`, or `sqlite` for one host alone.
    pub store: String,
    /// Kinds of disturbance, with commas between them; none: all.
    pub only: String,
}

/// Runs it.
///
/// # Errors
///
/// A tool is missing, something does not build, or a promise was broken; then what was printed
/// names the seed and the folder with all logs.
pub fn run(house: &House, progress: &Progress, settings: &Settings) -> Result<()> {
    tools::ensure(progress, &[Need::Guests, Need::Host, Need::Fleet])?;
    plugins::build(house, progress, Wanted::ExamplesAndGuests)?;
    let seed = settings.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() % SEEDS);
    progress.note(format_args!("seed {seed}: `--seed {seed}` does the same again"));
    progress.step("chaos", || {
        let mut test = cargo::cargo(house.root(), ["test", "--locked", "--package", "campanile"]);
        test.args(["--test", "it", "--", "--ignored", "--exact", TEST, "--nocapture"]);
        test.env("CAMPANILE_CHAOS_SECONDS", (u64::from(settings.minutes) * 60).to_string());
        test.env("CAMPANILE_CHAOS_SEED", seed.to_string());
        test.env("CAMPANILE_CHAOS_HOSTS", settings.hosts.to_string());
        test.env("CAMPANILE_CHAOS_STORE", &settings.store);
        test.env("CAMPANILE_CHAOS_ONLY", &settings.only);
        cargo::run(&mut test)
    })?;
    progress.finish("every promise held");
    Ok(())
}
