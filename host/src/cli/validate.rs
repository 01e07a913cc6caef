//! `host validate`: everything that is wrong with the configuration and the files beside plugins,
//! and what is right and likely not meant.

use clap::Args;
use serde_json::json;

use super::args::Common;
use super::exit::{Exit, Failure};
use super::screen::{Channel, Tone, harmless, note, paint, print, print_json};
use crate::clock::{Clock, SystemClock};
use crate::config::definitions::definitions;
use crate::config::lint::lint;
use crate::config::load;

/// Nothing more than every command takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host validate
  host validate --config host.toml && systemctl reload campanile

It reads host.toml and each NAME.toml beside a plugin, and starts nothing. Exit code 2 when anything
is wrong, with all of it listed. What is right and likely not meant, like a day that some months do
not have, is a warning on standard error, and the exit code is 0.")]
pub struct Validate {}

/// Checks.
///
/// # Errors
///
/// All that is wrong.
pub fn validate(common: &Common) -> Result<Exit, Failure> {
    let config = common.load()?;
    let sidecars = load::all_sidecars(&config).map_err(Failure::usage)?;
    let found = definitions(&config, &sidecars, &[]);
    if !found.problems.is_empty() {
        let mut text = String::new();
        for (origin, problems) in &found.problems {
            text.push_str(&format!("cannot use `{origin}`"));
            for problem in problems {
                text.push_str(&format!("\n  {problem}"));
            }
            text.push('\n');
        }
        return Err(Failure::usage(text.trim_end()));
    }
    let jobs = found.jobs.len();
    let lints = lint(&found.jobs, &config, SystemClock.now());
    if common.json {
        print_json(&json!({"ok": true, "jobs": jobs, "warnings": lints}))?;
        return Ok(Exit::Done);
    }
    for lint in &lints {
        let word = paint("warning:", Tone::Odd, Channel::Err);
        note(format!("{word} {}", harmless(&lint.to_string())));
    }
    if config.file.is_none() {
        print(format!("ok: {jobs} jobs (there is no host.toml here: these are the defaults)"))?;
    } else {
        print(format!("ok: {jobs} jobs"))?;
    }
    Ok(Exit::Done)
}
