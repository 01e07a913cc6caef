//! `host init`: a commented configuration to begin with.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use clap::Args;

use super::args::{Common, cwd};
use super::exit::{Exit, Failure};
use super::screen::print;
use crate::config::FILE_NAME;
use crate::trigger::parse_zone;

/// What is written; [`ZONE`] stands for the machine's zone.
const TEMPLATE: &str = include_str!("init/host.toml");
/// The place of the zone in [`TEMPLATE`].
const ZONE: &str = "@ZONE@";

/// Nothing more than every command takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  host init                             writes ./host.toml and makes the folder plugins/
  host init --config jobs/host.toml

A file that is there is never overwritten.")]
pub struct Init {}

/// Writes the file.
///
/// # Errors
///
/// There is one already, or it can't be written.
pub fn init(common: &Common) -> Result<Exit, Failure> {
    let shown = common.config.as_deref().unwrap_or(Path::new(FILE_NAME));
    let file = cwd()?.join(shown);
    write_new(&file, &template(&machine_zone())).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!(
            "`{0}` is there already and was left as it is; `host validate --config {0}` checks it",
            shown.display()
        )),
        _ => Failure::failed(format!("can't write `{}`: {error}", shown.display())),
    })?;
    let plugins = file.parent().unwrap_or(Path::new(".")).join("plugins");
    fs::create_dir_all(&plugins).map_err(|error| {
        Failure::failed(format!("can't make the folder `{}`: {error}", plugins.display()))
    })?;
    print(format!(
        "wrote {}\n\
         next: copy a plugin (.wasm) into {}, then start with `host serve{}`",
        shown.display(),
        plugins.display(),
        common
            .config
            .as_ref()
            .map(|file| format!(" --config {}", file.display()))
            .unwrap_or_default()
    ))?;
    Ok(Exit::Done)
}

fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(file)?;
    file.write_all(text.as_bytes())
}

fn template(zone: &str) -> String {
    TEMPLATE.replace(ZONE, zone)
}

/// The machine's time zone, or `UTC` when it can't be told.
fn machine_zone() -> String {
    let zone = iana_time_zone::get_timezone().ok();
    zone.filter(|zone| parse_zone(zone).is_ok()).unwrap_or_else(|| "UTC".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Config {
        Config::parse(text, Path::new(FILE_NAME), Path::new("/srv"), 1).unwrap()
    }

    #[test]
    fn the_template_changes_nothing_but_the_zone() {
        let written = parse(&template("Europe/Berlin"));
        assert_eq!(written.timezone, chrono_tz::Europe::Berlin);
        assert_eq!(Config { timezone: chrono_tz::UTC, ..written }, parse(""));
    }

    #[test]
    fn every_line_that_is_commented_out_is_right_as_well() {
        let text: String = template("UTC")
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(code) if code.starts_with('[') || code.contains(" = ") => format!("{code}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        assert_eq!(parse(&text).jobs.len(), 1, "{text}");
    }

    #[test]
    fn a_file_that_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE_NAME);
        write_new(&file, "mine").unwrap();
        assert_eq!(write_new(&file, "yours").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(file).unwrap(), "mine");
    }
}
