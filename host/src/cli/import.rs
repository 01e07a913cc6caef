//! `host import`: what other schedulers have, as jobs of a `host.toml`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::args::Common;
use super::exit::{Exit, Failure};
use super::screen::{harmless, note, print, print_json};
use crate::config::crontab::{Kind, import as import_crontab};

/// Bytes of a crontab at most.
const MAX_BYTES: u64 = 16 << 20;
/// Where crontabs lie that have a user in each line.
const SYSTEM_CRONTABS: &str = "/etc/cron";

/// From what.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Take over a Unix crontab: one job for each line
    #[command(after_help = "\
Examples:
  crontab -l | host import crontab - > jobs.toml
  host import crontab /etc/crontab --system >> host.toml && host validate

Each line becomes a job whose plugin has yet to be written: its command stands in a comment above it.
CRON_TZ and TZ become `timezone`. What has no equivalent, like @reboot, stays as a comment that says
why. Exit code 1 when a line could not be read; the others are printed all the same.")]
    Crontab(Crontab),
}

/// Which crontab.
#[derive(Debug, Args)]
pub struct Crontab {
    /// The file, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Each line names a user before its command, as in /etc/crontab and /etc/cron.d
    #[arg(long)]
    system: bool,
}

/// Prints what becomes of it.
///
/// # Errors
///
/// The file can't be read.
pub fn import(import: &Import, common: &Common) -> Result<Exit, Failure> {
    match import {
        Import::Crontab(args) => crontab(args, common),
    }
}

fn crontab(args: &Crontab, common: &Common) -> Result<Exit, Failure> {
    let shown = args.file.display();
    let text = read(&args.file)
        .map_err(|error| Failure::usage(format!("can't read `{shown}`: {error}")))?;
    let kind = if args.system { Kind::System } else { Kind::User };
    if kind == Kind::User && args.file.to_string_lossy().starts_with(SYSTEM_CRONTABS) {
        note(format!("`{shown}` looks like one with a user in each line: then add --system"));
    }
    let imported = import_crontab(&text, kind);
    if common.json {
        for job in &imported.jobs {
            let (id, trigger, command) = (&job.id, &job.trigger, &job.command);
            print_json(&json!({"id": id, "plugin": id, "trigger": trigger, "command": command}))?;
        }
    } else {
        print(imported.toml.trim_end())?;
    }
    for fault in &imported.faults {
        note(format!("{shown}:{}: {}", fault.line, harmless(&fault.message)));
    }
    match imported.faults.len() {
        0 => Ok(Exit::Done),
        1 => Err(Failure::failed("1 line was not taken")),
        more => Err(Failure::failed(format!("{more} lines were not taken"))),
    }
}

/// The text of a file; what is not Unicode in it, as comments may be, is replaced.
fn read(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    } else {
        File::open(file)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        let message = format!("it is longer than {} MiB", MAX_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
