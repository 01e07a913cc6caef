//! Other programs with the same to do. `cargo xtask bench` gets what they need where it can; without
//! it nothing is compared.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::rig::Drained;

/// What gets them.
const GET: &str = "`cargo xtask bench` puts it there";

/// What a script takes for so many jobs in the Python that knows APScheduler and Celery.
///
/// # Errors
///
/// Why it can't be asked.
pub fn python(script: &str, words: &[String], jobs: usize) -> Result<Drained, String> {
    let python = here().join("../target/venv/bin/python");
    if !python.exists() {
        return Err(format!("it is not in target/venv; {GET}"));
    }
    ask(Command::new(python).arg(here().join("benches").join(script)).args(words), jobs)
}

/// What BullMQ takes for so many jobs, so many of them at once.
///
/// # Errors
///
/// Why it can't be asked.
pub fn bullmq(words: &[String], jobs: usize, at_once: usize) -> Result<Drained, String> {
    let folder = here().join("benches/bullmq");
    if !folder.join("node_modules/bullmq").exists() {
        return Err(format!("it is not in {}; {GET}", folder.join("node_modules").display()));
    }
    let mut node = Command::new("node");
    node.arg(folder.join("burst.mjs")).args(words).arg(jobs.to_string());
    run(node.arg(at_once.to_string()), jobs)
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn ask(command: &mut Command, jobs: usize) -> Result<Drained, String> {
    run(command.arg(jobs.to_string()), jobs)
}

/// Reads the last line: seconds from start to end, and of processor time.
fn run(command: &mut Command, jobs: usize) -> Result<Drained, String> {
    let done = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&done.stdout);
    let last = said.lines().last().unwrap_or_default();
    let seconds: Vec<f64> = last.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match seconds[..] {
        [took, processor] if done.status.success() => Ok(Drained {
            runs: jobs as f64,
            took: Duration::from_secs_f64(took),
            processor: Duration::from_secs_f64(processor),
        }),
        _ => {
            let said = String::from_utf8_lossy(&done.stderr);
            let line = said.lines().map(str::trim).rfind(|line| line.contains("rror"));
            Err(line.or(said.lines().last()).unwrap_or("it said nothing").to_owned())
        }
    }
}
