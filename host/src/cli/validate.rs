//! `host validate`: everything that is wrong with the configuration and the files beside plugins.

use clap::Args;
use serde_json::json;

use super::args::Common;
use super::exit::{Exit, Failure};
use super::screen::{print, print_json};
use crate::config::definitions::definitions;
use crate::config::load;

/// Nothing more than every command takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host validate
  host validate --config host.toml && systemctl reload campanile

It reads host.toml and each NAME.toml beside a plugin, and starts nothing. Exit code 2 when anything
is wrong, with all of it listed.")]
pub struct Validate {}

/// Checks.
///
/// # Errors
///
/// All that is wrong.
pub fn validate(common: &Common) -> Result<Exit, Failure> {
    let config = common.load()?;
    let sidecars = load::sidecars(&config).map_err(Failure::usage)?;
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
    if common.json {
        print_json(&json!({"ok": true, "jobs": jobs}))?;
    } else if config.file.is_none() {
        print(format!("ok: {jobs} jobs (there is no host.toml here: these are the defaults)"))?;
    } else {
        print(format!("ok: {jobs} jobs"))?;
    }
    Ok(Exit::Done)
}
